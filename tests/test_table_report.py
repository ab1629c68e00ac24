"""What a person is told about a table and a model of it."""

import re
import sys

import numpy as np
import pytest

import fastnn as fnn


def trained(table, capsys, verbose=True, **options):
    """Return the model and the lines on standard error, but those of epochs."""
    model = fnn.train_table(table, "y", **{"preset": "plain", "epochs": 2, "seed": 0} | options, verbose=verbose)
    out, err = capsys.readouterr()
    assert out == ""
    return model, [line for line in err.splitlines() if line and not line.lstrip("\r").startswith("epoch")]


def numbers(rows=50):
    rng = np.random.default_rng(0)
    x = rng.random(rows)
    return {"x": x, "word": rng.choice(["a", "b", ""], rows), "same": np.ones(rows), "y": 3 * x + 5}


def test_numbers(capsys):
    table = numbers()
    model, lines = trained(table, capsys)
    held, empty = model.held_out, (table["word"] == "").sum()
    y = table["y"]
    assert lines[:6] == [
        "table       the table: 50 rows, 4 columns (3 numbers, 1 category)",
        f"target      y: a number from {y.min():.4g} to {y.max():.4g}, mean {y.mean():.4g}",
        "used        2 columns become 4 (1 scaled, 3 of 0 and 1)",
        "ignored     same (always 1)",
        f"missing     word {empty}",
        "split       5 networks, each with another 10 of 50 rows held out (seed 0)",
    ]
    always = f"always {y.mean():.5g}: rmse {np.std(y):.4g}"
    assert lines[6] == f"held out    r2 {held['r2']:.4f}, rmse {held['rmse']:.4g} on 50 rows; {always}"
    assert re.fullmatch(r"errors      half of the rows within \S+, nine tenths within \S+, the worst \S+ off", lines[7])
    assert len(lines) == 8


def test_classes(capsys):
    table = numbers(200)
    table["y"] = np.where(table["x"] > 0.4, "more", "less")
    model, lines = trained(table, capsys, validation=0.25)
    held, more = model.held_out, (table["y"] == "more").sum()
    assert lines[1] == f"target      y: 2 classes (less {200 - more}, more {more})"
    assert lines[5] == f"split       150 rows to train, {held['rows']} held out (seed 0)"
    share = held["baseline"]["accuracy"]
    assert held["baseline"]["always"] == "more"
    assert lines[6].endswith(f"on 50 rows; always 'more': {share:.4f}")
    cells = [[int(cell) for cell in line.split()[1:]] for line in lines[-2:]]
    assert np.sum(cells) == 50
    assert np.trace(cells) / 50 == pytest.approx(held["accuracy"])
    assert np.sum(cells[1]) / 50 == pytest.approx(share)


def test_many_classes_are_told_by_what_is_confused_most(capsys):
    rng = np.random.default_rng(0)
    codes = np.arange(400) % 12
    table = {"x": np.where(codes == 3, 2, codes) + 0.01 * rng.random(400), "y": [f"c{code}" for code in codes]}
    _, lines = trained(table, capsys, epochs=30)
    assert lines[1] == "target      y: 12 classes (c0 34, c1 34, c10 33, c11 33, c2 34, c3 34, c4 33, c5 33 and 4 more)"
    assert re.match(r"confused    c[23] taken for c[23] \d+, c[23] taken for c[23] \d+", lines[-1])


@pytest.mark.parametrize(
    ("verbose", "shown", "epochs"), [("auto", False, 0), (False, False, 0), (True, True, 1), (2, True, 2)]
)
def test_how_much_is_told(verbose, shown, epochs, capsys):
    fnn.train_table(numbers(), "y", preset="plain", epochs=2, seed=0, verbose=verbose)
    err = capsys.readouterr().err
    assert ("table       " in err) == shown
    assert len(re.findall(r"^\r?epoch", err, re.M)) == epochs


def test_a_terminal_is_told(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert trained(numbers(), capsys, verbose="auto")[1][0].startswith("table ")


def test_warnings_name_the_line_that_trains(recwarn):
    table = numbers()
    table["copy"] = table["y"]
    fnn.train_table(table, "y", preset="plain", epochs=1, seed=0)
    (warning,) = [one for one in recwarn if one.category is UserWarning]
    assert warning.filename == __file__


def test_quantiles_are_measured_by_the_median(capsys):
    model, lines = trained(numbers(), capsys, quantiles=(0.1, 0.5, 0.9))
    predicted = model.predict(numbers())
    assert predicted.shape == (50, 3)
    assert lines[6].startswith("held out    r2 ")
    found = model.evaluate(numbers())
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((predicted[:, 1] - numbers()["y"]) ** 2)))
