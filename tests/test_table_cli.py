"""fastnn train FILE, predict and evaluate: what they write, what they say, and the one line that each mistake gets."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn import cli


def text(rows=240, seed=0):
    """A CSV file with categories, missing values, booleans, dates and quotes; ``grade`` follows from colour and size."""
    rng = np.random.default_rng(seed)
    lines = ["size,colour,day,ok,place,grade"]
    for _ in range(rows):
        size, colour = rng.normal(), rng.choice(["red", "green", "blue"])
        grade = "good" if (size > 0) ^ (colour == "red") else "bad"
        shown = "" if rng.random() < 0.1 else f"{size:.4f}"
        shown_colour = "NA" if rng.random() < 0.05 else colour
        place = f'"street {rng.integers(12)}, town"'
        lines.append(
            f"{shown},{shown_colour},2024-01-{rng.integers(1, 29):02},{rng.choice(['yes', 'no'])},{place},{grade}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(text())
    (tmp_path / "new.csv").write_text(text(50, seed=1))
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """Run a command in this process, and return what it wrote to standard output and error."""

    def run(*arguments):
        cli.main(list(arguments))
        return capsys.readouterr()

    return run


@pytest.fixture
def refused(folder, capsys):
    """Assert that a command ends with exit status 2 and this line."""

    def refused(arguments, message):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert caught.value.code == 2
        assert (out, err) == ("", f"fastnn {arguments[0]}: {message}\n")

    return refused


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_three_commands(folder):
    def fastnn(*arguments):
        command = [sys.executable, "-m", "fastnn", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = fastnn("train", "data.csv", "--target", "grade", "--seed", "0")
    assert fastnn("predict", "data.safetensors", "new.csv", "--out", "out.csv") == ""
    found = json.loads(fastnn("evaluate", "data.safetensors", "new.csv", "--json"))
    written = rows((folder / "out.csv").read_text())
    assert found["accuracy"] == pytest.approx(np.mean([row["label"] == row["grade"] for row in written]))
    assert found["accuracy"] > 0.7
    assert found["loss"] > 0
    assert (
        "saved       data.safetensors\nnext        fastnn predict data.safetensors NEW.csv --out PREDICTED.csv\n"
        in told
    )


def test_train_says_what_was_understood_and_how_good_it_is(run):
    out = run("train", "data.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "5").out
    heads = [line.split()[0] for line in out.splitlines() if line[0] != " "]
    assert heads == ["table", "target", "used", "missing", "split", "held", "confusion", "saved", "next"]
    assert "data.csv: 240 rows, 6 columns (1 number, 3 categories, 1 boolean, 1 date)" in out
    assert "; always '" in out


def test_the_next_command_may_be_copied(run):
    out = run("train", "data.csv", "--target", "grade", "--preset", "plain", "--epochs", "1", "--out", "my model").out
    assert out.endswith("\nnext        fastnn predict 'my model' NEW.csv --out PREDICTED.csv\n")


def test_train_in_json(run):
    options = ("--target", "grade", "--seed", "3", "--preset", "plain", "--epochs", "4", "--out", "m", "--json")
    printed = json.loads(run("train", "data.csv", *options).out)
    assert (printed["target"], printed["task"], printed["classes"]) == ("grade", "classification", ["bad", "good"])
    assert (printed["rows"], printed["seed"], printed["saved"], printed["warnings"]) == (240, 3, "m", [])
    assert set(printed["held_out"]) == {"rows", "loss", "accuracy", "baseline"}
    assert json.loads(run("train", "data.csv", *options).out) == printed, "a seed says everything"


def test_predictions_stand_beside_the_columns_as_they_were_written(run):
    run("train", "data.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "4")
    out = run("predict", "data.safetensors", "new.csv").out
    got, given = rows(out), rows(Path("new.csv").read_text())
    added = ["label", "probability_bad", "probability_good"]
    assert [{name: row[name] for name in given[0]} for row in got] == given
    assert list(got[0]) == [*given[0], *added]
    p = fnn.load("data.safetensors").predict_proba("new.csv")
    np.testing.assert_allclose([[float(row[name]) for name in added[1:]] for row in got], p, atol=1e-6)
    assert [row["label"] for row in got] == [("bad", "good")[i] for i in p.argmax(axis=1)]
    without = "\n".join(",".join(line.split(",")[:-1]) for line in Path("new.csv").read_text().splitlines())
    Path("without.csv").write_text(without)
    assert [row["label"] for row in rows(run("predict", "data.safetensors", "without.csv").out)] == [
        row["label"] for row in got
    ]
    printed = json.loads(run("predict", "data.safetensors", "new.csv", "--json").out)
    assert list(printed) == added
    assert printed["label"] == [row["label"] for row in got]


def test_numbers(run, folder):
    x = np.random.default_rng(0).normal(size=100)
    (folder / "n.csv").write_text(
        "a;b\n" + "".join(f"{v:.3f}".replace(".", ",") + f";{3 * v + 100:.3f}".replace(".", ",") + "\n" for v in x)
    )
    out = run("train", "n.csv", "--target", "b", "--seed", "0", "--preset", "plain", "--epochs", "20").out
    assert "target      b: a number from " in out
    assert "errors      half of the rows within " in out
    found = json.loads(run("evaluate", "n.safetensors", "n.csv", "--json").out)
    assert set(found) == {"rows", "r2", "rmse"}
    assert found["r2"] > 0.9
    got = rows(run("predict", "n.safetensors", "n.csv", "--interval", "0.9").out)
    assert list(got[0]) == ["a", "b", "prediction", "low", "high"]
    assert list(rows(run("predict", "n.safetensors", "n.csv").out)[0]) == ["a", "b", "prediction"]
    predicted, bounds = fnn.load("n.safetensors").predict("n.csv", interval=0.9)
    for i, name in enumerate(("low", "high")):
        np.testing.assert_allclose([float(row[name]) for row in got], bounds[:, i], rtol=1e-6)
    np.testing.assert_allclose([float(row["prediction"]) for row in got], predicted, rtol=1e-6)


def test_the_target_tells_that_there_is_a_header(run, folder):
    rng = np.random.default_rng(0)
    lines = ["2019,2020,place", *(f"{a:.3f},{b:.3f},{'x' if a > b else 'y'}" for a, b in rng.random((60, 2)))]
    (folder / "years.csv").write_text("\n".join(lines))
    run("train", "years.csv", "--target", "place", "--seed", "0", "--preset", "plain", "--epochs", "2")
    assert list(rows(run("predict", "years.safetensors", "years.csv").out)[0])[:4] == ["2019", "2020", "place", "label"]
    assert json.loads(run("evaluate", "years.safetensors", "years.csv", "--json").out)["rows"] == 60


def test_doubts_are_lines_of_the_report(run, folder):
    lines = [line.replace("bad", "") if i % 9 == 5 else line for i, line in enumerate(text().splitlines())]
    numbered = [f"{',' if i == 0 else f'{i},'}{line}" for i, line in enumerate(lines)]
    (folder / "gaps.csv").write_text("\n".join(numbered))
    out = run("train", "gaps.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "2").out
    told = [line for line in out.splitlines() if line.startswith(("warning", "ignored"))]
    assert told[0] == "ignored     column 1 (an identifier: each row has another)"
    assert re.fullmatch(
        r"warning     \d+ rows of 240 without a value of 'grade' \(empty, NA, None, \? and the like\) left out", told[1]
    )
    assert told[2] == "warning     column 'column 1' left out: an identifier: each row has another"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "data.csv", "--target", "grad"], "data.csv has no column 'grad'; close to it: 'grade'"),
        (["train", "data.csv", "--target", "xyz"], "data.csv has no column 'xyz'; its columns: 'size', 'colour', 'day', 'ok', 'place', 'grade'"),
        (["train", "data.csv"], "which column is to be predicted? say --target COLUMN; the columns of data.csv: size, colour, day, ok, place, grade"),
        (["train", "data.csv", "--target", "day"], "train_table: target 'day' holds dates, which cannot be predicted; numbers or classes were expected"),
        (["train", "data.csv", "--target", "grade", "--lr", "0.1"], "--lr is for digits, not for data.csv"),
        (["train", "data.csv", "--target", "grade", "--out", "no/m"], "no/m: No such file or directory"),
        (["train", "none.csv", "--target", "grade"], "none.csv: No such file; a CSV file, or digits, was expected"),
        (["predict", "none", "data.csv"], "none: No such file or directory"),
        (["predict", "data.csv", "data.csv"], "load: data.csv: not a safetensors file of float32, float64 or int64: the header's length does not fit the file"),
        (["predict", "net", "data.csv"], "net holds a network but no table's model; fastnn train FILE --target COLUMN makes one"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line(arguments, message, refused):
    fnn.save(fnn.MLP([2, 2], seed=0), "net")
    refused(arguments, message)


def test_what_was_read_doubtfully_is_said(run, folder):
    run("train", "data.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "1")
    (folder / "new.csv").write_text(re.sub(r"^[-\d.]+,", "n.k.,", text(60), count=1, flags=re.M))
    for command in (("predict",), ("evaluate", "--json")):
        err = run(*command, "data.safetensors", "new.csv").err
        assert re.fullmatch(
            r"warning     column 'size': text among numbers counts as missing \(1 of 60 cells; the first is 'n.k.' in row \d+\)\n",
            err,
        )


def test_categories_that_the_model_does_not_know_are_said(run, folder):
    run("train", "data.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "1")
    lines = text(20).splitlines()
    lines[3] = '0.5,Green,2024-01-03,yes,"street 1, town",good'
    (folder / "new.csv").write_text("\n".join(lines))
    for command in (("predict",), ("evaluate", "--json")):
        assert run(*command, "data.safetensors", "new.csv").err == (
            "warning     column 'colour': 1 cell of 20 with categories that the model does not know (the first is 'Green' in row 3)\n"
        )


@pytest.mark.parametrize("name", ["data.csv", "./data.csv", "link.csv"])
def test_nothing_that_is_read_is_overwritten(name, folder, refused, run):
    run("train", "data.csv", "--target", "grade", "--seed", "0", "--preset", "plain", "--epochs", "1", "--out", "m")
    (folder / "link.csv").symlink_to("data.csv")
    message = "--out {} is the file that is read; give it another name"
    for arguments in (["train", "data.csv", "--target", "grade"], ["predict", "m", "data.csv"]):
        refused([*arguments, "--out", name], message.format(name))
    refused(["predict", "m", "data.csv", "--out", "m"], message.format("m"))
    assert (folder / "data.csv").read_text() == text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "read_table: b.csv is empty; a line with the names of columns and lines of values were expected"),
        (b"x,y\n", "read_table: b.csv has the names of 2 columns but no rows below them"),
        (b"x,y\n1,a\n2\n", "read_table: b.csv, line 3 has 1 field but the header has 2; mend the line, or quote fields that hold the separator"),
        (b"x,y,x\n1,a,2\n", "read_table: b.csv: columns 1 and 3 are both called 'x'; rename one of them"),
        (b"x,y\n1,a\n2,a\n", "train_table: target 'y' is 'a' in each of 2 rows but two classes or more were expected; choose another column with --target, or add rows of another class"),
        (b"x,y\n1,\n2,NA\n", "train_table: target 'y' of b.csv has no value in any of its 2 rows"),
        (b"x,y\n1,a\n1,b\n", "Preprocessing: b.csv has no column to learn from ('x': always 1)"),
        (b"\x89PNG\r\n\0\0", "read_table: b.csv is no text; a CSV file was expected (read other formats with pandas or polars and pass the frame)"),
    ],
)  # fmt: skip
def test_each_broken_file_gets_its_line(content, message, refused, folder):
    (folder / "b.csv").write_bytes(content)
    refused(["train", "b.csv", "--target", "y"], message)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("tall,red", "transform: new.csv, column 'size', row 2: 'tall' but a number was expected; leave the cell empty if the value is not known"),
        (None, "transform: new.csv has no column 'colour'; its columns: 'size'"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_predicted_get_one_line(cell, message, refused, run, folder):
    rng = np.random.default_rng(0)
    lines = [f"{size:.3f},{rng.choice(['red', 'blue'])},{'yes' if size > 0 else 'no'}" for size in rng.normal(size=40)]
    (folder / "data.csv").write_text("\n".join(["size,colour,large", *lines]))
    run("train", "data.csv", "--target", "large", "--seed", "0", "--preset", "plain", "--epochs", "1")
    (folder / "new.csv").write_text("size\n1\n" if cell is None else f"size,colour\n1,red\n{cell}\n")
    refused(["predict", "data.safetensors", "new.csv"], message)


@pytest.mark.parametrize("target", ["grade", "size"])
def test_other_libraries_are_compared_with_on_the_same_rows(target, run):
    pytest.importorskip("sklearn")
    arguments = (
        "train",
        "data.csv",
        "--target",
        target,
        "--seed",
        "0",
        "--preset",
        "plain",
        "--epochs",
        "2",
        "--compare",
    )
    out = run(*arguments).out
    assert re.search(r"^beside      scikit-learn's MLP: (loss|r2) \S+, (accuracy|rmse) \S+$", out, re.M)
    held = json.loads(run(*arguments, "--json").out)["held_out"]
    assert list(held["compared"]) == ["scikit-learn's MLP", "LightGBM"]
    assert set(held["compared"]["scikit-learn's MLP"]) == set(held) - {"rows", "baseline", "compared"}
