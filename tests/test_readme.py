"""README's examples run and print what README says, and the places that documents name exist."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from fastnn import _fastnn_core as core
from fastnn import functional, layers, losses, optim, reference

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIRST_HOUR = 5  # blocks of code that run one after the other: the ten lines, a table, and what follows from the first


def blocks():
    return re.findall(r"```python\n(.*?)```(?:\n\n((?:    [^\n]*\n)+))?", README.read_text(), re.S)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the ten lines and the first hour print, (printed, said by README) per block; they share their variables."""
    folder = tmp_path_factory.mktemp("readme")
    variables, results = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code, output in blocks()[:FIRST_HOUR]:
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(code, variables)
            results.append((stream.getvalue(), re.sub(r"^    ", "", output, flags=re.M)))
        assert (folder / "digits.safetensors").exists()
    return results


def test_the_ten_lines(printed):
    got, said = printed[0]
    if core.isa() != "portable":  # other bits
        assert got == said
    assert len(got.splitlines()) == 2


def test_a_table_in_ten_lines(printed):
    got, said = printed[1]
    number = re.compile(r"0\.\d+")
    if core.isa() != "portable":  # other bits
        assert got == said
    assert number.sub("", got) == number.sub("", said)
    code = blocks()[1][0].strip().splitlines()
    assert len(code) <= 10


def test_the_first_hour(printed):
    loaded, layer, both = printed[2:]
    if core.isa() != "portable":
        assert loaded[0] == loaded[1]
    assert layer == ("", "")
    number = re.compile(r"\d+\.\d+")
    got, said = both  # computed by NumPy, whose bits depend on its version
    assert number.sub("", got) == number.sub("", said)
    np.testing.assert_allclose(
        [float(x) for x in number.findall(got)], [float(x) for x in number.findall(said)], atol=0.02
    )


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
        exec(blocks()[FIRST_HOUR][0], before)
        exec(blocks()[FIRST_HOUR + 1][0], after)
        assert abs(before["loss"] - after["loss"]) < 1e-5
    for name in ("w1", "b1", "w2", "b2"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4, atol=1e-6)


def test_readme_lists_every_activation_loss_and_optimizer():
    listed = re.search(r"^Activations: .*?\n\n", README.read_text(), re.S | re.M).group()
    names = [*functional.activations(), *losses.LOSSES, *(spec.__name__ for spec in optim.OPTIMIZERS.values())]
    assert [name for name in names if f"`{name}`" not in listed] == []


def test_the_list_of_what_there_is_names_every_layer_in_less_than_40_lines():
    listed = re.search(r"^## What there is\n(.*?)^## ", README.read_text(), re.S | re.M).group(1)
    rows = {row.layer for row in functional.activations().values()}
    names = [*(set(layers.__all__) - rows - {"Layer"}), "schedules", "init", "metrics", "callbacks", "datasets"]
    assert [name for name in names if f"`{name}" not in listed] == []
    assert len(listed.strip().splitlines()) < 40


@pytest.mark.parametrize("document", ["README.md", "docs/design.md", "docs/contributing.md"])
def test_documents_name_places_that_exist(document):
    text = (ROOT / document).read_text()
    named = re.findall(r"`((?:csrc|docs|fastnn|tests|bench)/[\w*./-]+)`", text)
    assert named or document == "README.md"
    for place in named:
        if "avx512" not in place:  # the example of an instruction set to add
            assert list(ROOT.glob(place)), place
    headings = {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in headings, link
        elif not link.startswith("http"):
            assert (ROOT / document).parent.joinpath(link).exists(), link
