"""README's examples run and print what README says."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastnn import _fastnn_core as core
from fastnn import functional, reference

README = Path(__file__).parents[1] / "README.md"


def blocks():
    return re.findall(r"```python\n(.*?)```(?:\n\n((?:    [^\n]*\n)+))?", README.read_text(), re.S)


def test_the_ten_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, output = blocks()[0]
    exec(code, {})
    printed = capsys.readouterr().out
    wanted = re.sub(r"^    ", "", output, flags=re.M)
    if core.isa() != "portable":  # other bits
        assert printed == wanted
    assert len(printed.splitlines()) == 2
    assert (tmp_path / "digits.safetensors").exists()


@pytest.mark.parametrize("module", [functional, reference])
def test_the_step_before_and_after(module):
    def variables():
        rng = np.random.default_rng(0)
        x, y = rng.random((32, 64), np.float32), rng.integers(0, 10, 32)
        weights = [
            (rng.standard_normal(shape) / 10).astype(np.float32) for shape in ((100, 64), (100,), (10, 100), (10,))
        ]
        return {
            "x": x,
            "y": y,
            "rows": np.arange(32),
            "np": np,
            "F": module,
            **dict(zip(("w1", "b1", "w2", "b2"), weights, strict=True)),
        }

    before, after = variables(), variables()
    for _ in range(3):
        exec(blocks()[1][0], before)
        exec(blocks()[2][0], after)
        assert abs(before["loss"] - after["loss"]) < 1e-5
    for name in ("w1", "b1", "w2", "b2"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-6)
