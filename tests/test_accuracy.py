"""The exhaustive checker, at a large stride, and the table of docs/accuracy.md."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support import ROWS

from fastnn import accuracy

wide = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
KINDS = [(row, kind) for row in ROWS for kind in accuracy.kinds(row)]


@wide
@pytest.mark.parametrize(("row", "kind"), KINDS, ids=lambda value: getattr(value, "name", value))
def test_no_float_exceeds_the_bound(row, kind, isa):
    worst, witness = accuracy.measure(row.name, kind, stride=20011)
    assert worst <= accuracy.bound(row, kind), witness


def test_ulps():
    one = np.float32(1)
    y = np.array([1, np.nextafter(one, 2), np.inf, np.nan, 0, 1, np.inf], np.float32)
    true = np.array([1, 1, 1e39, np.nan, 2.0**-149, np.nan, 1])
    np.testing.assert_array_equal(accuracy.ulps(y, true), [0, 1, 0, 0, 1, np.inf, np.inf])
    np.testing.assert_array_equal(accuracy.ulps(y, true.astype(np.longdouble)), [0, 1, 0, 0, 1, np.inf, np.inf])


@wide
def test_it_sees_a_wrong_result(monkeypatch):
    tanh = accuracy.F.tanh
    monkeypatch.setattr(
        accuracy.F, "tanh", lambda x: tanh(x) if x.dtype != np.float32 else np.nextafter(tanh(x), 2, dtype=np.float32)
    )
    assert accuracy.measure("tanh", "forward", stride=1000003)[0] > 0.9


@wide
def test_command(tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("results.json", "table.md")]
    code = accuracy.main(
        ["tanh", "--stride", "1000003", "--float64", "9000", "--json", files[0], "--markdown", files[1]]
    )
    assert code == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    results = json.loads(Path(files[0]).read_text())
    assert [result["kind"] for result in results] == ["forward", "x", "y"]
    assert all(0.4 < result["ulp"] <= result["bound"] for result in results)
    assert f"| tanh | f' | {results[1]['bound']:g} |" in Path(files[1]).read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tahn"], "accuracy: unknown activation 'tahn' (there are identity, relu"),
        (["tanh", "--stride", "0"], "accuracy: --stride is 0 but a positive number was expected\n"),
    ],
)
def test_errors_of_use_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        accuracy.main(arguments)
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(message)
    assert complaint.count("\n") == 1


def test_the_document_holds_the_rows_bounds():
    document = Path(__file__).parents[1] / "docs" / "accuracy.md"
    rows = re.findall(r"^\| (\w+) \| (f\S*) \| (\S+) \| (\S+) \|", document.read_text(), re.MULTILINE)
    of = {"forward": "f", "x": "f'", "y": "f'(y)"}
    assert [(name, kind, float(bound)) for name, kind, bound, _ in rows] == [
        (row.name, of[kind], round(accuracy.bound(row, kind), 6)) for row, kind in KINDS
    ]
    assert all(float(worst) <= float(bound) for _, _, bound, worst in rows)
