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


# ------------------------------------------------------------------------------------------------- how it is measured


def test_where_the_derivative_is_a_function_of_y_its_domain_is_the_range_of_y():
    rows = accuracy.F.activations()
    for name, want in {
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "relu": (0, np.inf),
        "elu": (-1, np.inf),
        "relu6": (0, 6),
    }.items():
        assert accuracy._domain(rows[name], "y") == want
        assert accuracy._domain(rows[name], "x") == (-np.inf, np.inf)


def test_what_is_near_a_root_is_told_by_the_number_of_floats_in_between():
    root = np.float32(accuracy.ROOTS["gelu"])
    steps = np.array([-accuracy.NEAR, 1 - accuracy.NEAR, 0, accuracy.NEAR - 1, accuracy.NEAR], np.int32)
    x = (root.view(np.int32) + steps).view(np.float32)
    assert accuracy._near_root("gelu", x).tolist() == [1, 2, 3]
    assert accuracy._near_root("relu", x).tolist() == []


def test_the_roots_are_those_of_the_derivatives():
    for name, root in accuracy.ROOTS.items():
        around = np.float32(root) + np.array([-1e-6, 1e-6])
        below, above = accuracy._evaluate(accuracy.F, name, "x", around)
        assert below < 0 < above


def test_bounds_are_those_of_the_row():
    row = accuracy.F.activations()["elu"]
    assert [accuracy.bound(row, kind) for kind in accuracy.kinds(row)] == [row.ulp, row.ulp_backward, 1.0]
    assert accuracy.kinds(accuracy.F.activations()["gelu"]) == ("forward", "x")


def wrong_at(monkeypatch, name, place):
    """Let a function of float32 err by three ulp at one number; return a list of all arrays it is asked for."""
    asked, right = [], getattr(accuracy.F, name)

    def function(x):
        y = right(x)
        if x.dtype == np.float32:
            asked.append(x.copy())
            y[x == place] += 3 * np.spacing(y[x == place])
        return y

    monkeypatch.setattr(accuracy.F, name, function)
    return asked


@wide
def test_the_worst_number_of_any_block_is_found_and_every_block_is_looked_at(monkeypatch):
    stride = 1 << 17
    bits = np.arange(0, 2**32, stride, dtype=np.uint64).astype(np.uint32)
    numbers = bits.view(np.float32)
    assert bits.size == 4 * accuracy.BLOCK
    for place in numbers[
        [7600, 8700, 2**14 + 7600, 2**14 + 8700]
    ]:  # about 2^-9 and 2^9 and the negatives: one in each block
        with monkeypatch.context() as patch:
            asked = wrong_at(patch, "square", place)
            worst, where = accuracy.measure("square", "forward", stride=stride)
        assert 2.5 <= worst <= 3.5
        assert where == place
        seen = np.sort(np.concatenate(asked).view(np.uint32))
        np.testing.assert_array_equal(seen, bits[~np.isnan(numbers)], "all but NaN, once each")


@wide
def test_a_pool_gives_what_one_process_gives():
    with accuracy.ProcessPoolExecutor(2) as pool:
        for kind in ("forward", "x"):
            both = [accuracy.measure("silu", kind, stride=1000003, pool=p) for p in (None, pool)]
            assert both[0] == both[1]
        assert accuracy.measure_float64("silu", "x", points=20_000) == accuracy.measure_float64(
            "silu", "x", points=20_000, pool=pool
        )


@wide
def test_float64_is_measured_at_other_points_for_another_seed_and_sees_a_wrong_result(monkeypatch):
    worst = [accuracy.measure_float64("tanh", "forward", points=20_000, seed=seed) for seed in (0, 0, 1)]
    assert worst[0] == worst[1] != worst[2]
    assert all(0.4 < error <= 2 for error in worst)
    tanh, points = accuracy.F.tanh, []

    def function(x):
        points.append(x)
        return np.nextafter(tanh(x), 2)

    monkeypatch.setattr(accuracy.F, "tanh", function)
    assert 0.9 < accuracy.measure_float64("tanh", "forward", points=3 * accuracy.BLOCK) < 3
    assert len(points) == 3
    x = np.abs(np.concatenate(points))
    assert x.size == 3 * accuracy.BLOCK
    assert x.min() < 1e-9
    assert 200 < x.max() < 10_000
    assert 0.15 < (x > 20).mean() < 0.5


@wide
def test_float64_leaves_out_what_long_double_cannot_tell(monkeypatch):
    evaluate, root = accuracy.F.gelu_backward, accuracy.ROOTS["gelu"]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(accuracy.np.random, "default_rng", lambda seed: Fixed(rng, root))
    assert accuracy._float64_block(("gelu", "forward", 0)) < 2
    monkeypatch.setattr(accuracy.F, "gelu_backward", lambda grad, **saved: evaluate(grad, **saved) * (1 + 1e-9))
    assert accuracy._float64_block(("gelu", "x", 0)) == 0
    monkeypatch.setattr(accuracy.np.random, "default_rng", lambda seed: Fixed(rng, root + 0.1))
    assert accuracy._float64_block(("gelu", "x", 0)) > 1000


class Fixed:
    """A generator of numbers near one."""

    def __init__(self, rng, center):
        self.rng, self.center = rng, center

    def standard_normal(self, n):
        return np.full(n, self.center)

    def uniform(self, low, high, n):
        return np.zeros(n) if low == -40 and high == 10 else self.center + self.rng.uniform(-0.01, 0.01, n)


@pytest.fixture
def measured(monkeypatch):
    """Errors as if they had been measured."""
    asked = []

    def measure(name, kind, *, stride, pool, package=None):
        asked.append((name, kind, stride, package))
        return {None: 0.5, "numpy": 7.125, "torch": 2.25}[package], 1.5

    def measure_float64(name, kind, *, points, pool):
        return points / 1000

    monkeypatch.setattr(accuracy, "measure", measure)
    monkeypatch.setattr(accuracy, "measure_float64", measure_float64)
    return asked


def test_the_command_prints_a_line_for_each_kind(measured, capsys):
    assert accuracy.main(["gelu", "silu", "tanh"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    ulp = accuracy.F.activations()["gelu"].ulp
    assert first == f"gelu         forward   0.500000 ulp of {ulp:4.2f} at 1.5                     "
    assert [line.split()[:2] for line in others] == [
        ["gelu", "x"],
        ["silu", "forward"],
        ["silu", "x"],
        ["tanh", "forward"],
        ["tanh", "x"],
        ["tanh", "y"],
    ]
    assert measured == [(*line.split()[:2], 1, None) for line in (first, *others)]
    accuracy.main([])
    assert len(capsys.readouterr().out.splitlines()) == len(KINDS)


def test_the_command_measures_peers_at_a_larger_stride(measured, tmp_path, capsys):
    files = [str(tmp_path / name) for name in ("results.json", "table.md")]
    options = ["sigmoid", "--stride", "3", "--peers", "--float64", "1250", "--json", files[0], "--markdown", files[1]]
    assert accuracy.main(options) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(" numpy 7.12 torch 2.25")
    assert printed[2].split()[-1] == "1.5", "no peer has the derivative as a function of y"
    assert [a[2:] for a in measured] == [(3, None), (1009, "numpy"), (1009, "torch")] * 2 + [(3, None)]
    row = accuracy.F.activations()["sigmoid"]
    assert json.loads(Path(files[0]).read_text())[0] == {
        "name": "sigmoid", "kind": "forward", "bound": row.ulp, "ulp": 0.5, "witness": 1.5, "numpy": 7.125, "torch": 2.25,
        "float64": 1.25, "stride": 3,
    }  # fmt: skip
    table = Path(files[1]).read_text()
    assert "over one in 3 of all float32 numbers and" in table
    assert "float64 at 1,250 random points" in table
    assert table.splitlines()[-3:] == [
        f"| sigmoid | f | {row.ulp:g} | 0.5000 | 1.5 | 7.12 | 2.25 | 1.25 |",
        f"| sigmoid | f' | {row.ulp_backward:g} | 0.5000 | 1.5 | 7.12 | 2.25 | 1.25 |",
        "| sigmoid | f'(y) | 1 | 0.5000 | 1.5 |  |  | 1.25 |",
    ]


def test_the_command_fails_where_a_bound_is_exceeded(monkeypatch, tmp_path, capsys):
    errors = iter([0.0, 0.0, 0.0, 0.0, 0.0, 1.01])
    monkeypatch.setattr(accuracy, "measure", lambda *a, **k: (next(errors), 1.0))
    file = tmp_path / "table.md"
    assert accuracy.main(["relu", "--markdown", str(file)]) == 0
    assert "over all float32 numbers and" in file.read_text()
    assert "| relu | f | 0 | 0.0000 |  |  |  |  |" in file.read_text(), "no place of an error of 0"
    assert accuracy.main(["tanh"]) == 1


def test_peers_are_asked_for_the_same(monkeypatch):
    x = np.linspace(-2, 2, 5, dtype=np.float32)
    for kind in ("forward", "x"):
        got = accuracy._peer("numpy", "silu", kind, x)
        np.testing.assert_array_equal(got, accuracy._evaluate(accuracy.R, "silu", kind, x))
    assert accuracy.measure("silu", "forward", stride=1000003, package="numpy")[0] > 1
