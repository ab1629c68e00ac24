"""What texts of a column mean, and that a file to predict means what the file of the training meant."""

import csv
import io
import random

import numpy as np
import pytest

import fastnn as fnn
from fastnn import cli
from fastnn.table import files


@pytest.fixture(params=files.READERS)
def read(request, monkeypatch):
    """Return a function from the cells of a column, each quoted, to the column and the notes; ``beside`` are those of a second column."""
    if request.param != "csv":
        pytest.importorskip(request.param)
    monkeypatch.setattr(files, "READERS", (request.param, "csv"))

    def read(cells, separator=",", beside=None):
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([("a", "b"), *zip(cells, beside or ["x"] * len(cells), strict=True)])
        table = fnn.read_table(io.StringIO(stream.getvalue()))
        return table["a"], table.notes

    return read


# ------------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("cells", "separator", "numbers"),
    [
        (["1,234", "950", "1,234,567.5"], ",", [1234, 950, 1234567.5]),
        (["-1,234.50", "+2,000"], ",", [-1234.5, 2000]),
        (["1.234,5", "2,5", "1.000"], ";", [1234.5, 2.5, 1000]),
        (["1.234.567", "950"], ";", [1234567, 950]),
        (["1.234,5", "2,5"], ",", [1234.5, 2.5]),
        (["1 234,5", "2,5"], ";", [1234.5, 2.5]),
        (["12\u00a0345", "1\u202f000\u202f000"], ",", [12345, 1e6]),
        (["1'234.5", "1\u2019000"], ",", [1234.5, 1000]),
        (["1,5", "2,25"], ";", [1.5, 2.25]),
    ],
)
def test_numbers_may_have_marks_between_thousands(cells, separator, numbers, read):
    column, notes = read(cells, separator)
    assert (column.kind, column.values.tolist(), notes) == ("number", numbers, ())


@pytest.mark.parametrize("cells", [["1,2", "3,4"], ["12,34,567", "1"], ["1,234", "1 234"], ["0,123", "1,234"]])
def test_commas_that_part_no_thousands_make_no_numbers(cells, read):
    assert read(cells)[0].kind == "category"


def test_a_number_with_a_comma_alone_is_a_decimal_one_where_commas_do_not_separate_and_that_is_said(read):
    column, notes = read(["1,234", "5,678"], ";")
    assert column.values.tolist() == [1.234, 5.678]
    assert notes == ("column 'a': '1,234' is read as 1.234 but could be 1234.0: no row tells which",)
    assert read(["1,234", "5,67"], ";")[1] == ()


def test_decimal_commas_of_one_column_make_points_of_another_part_thousands(read):
    assert read(["1.234", "950"], ";", ["1,5", "2,5"])[0].values.tolist() == [1234, 950]
    assert read(["1.234", "950"], ";", ["1.5", "2.5"])[0].values.tolist() == [1.234, 950]
    assert read(["1.234", "0.5"], ";", ["1,5", "2,5"])[0].values.tolist() == [1.234, 0.5]


def test_a_few_numbers_with_thousands_are_no_strays(read):
    column, notes = read([*map(str, range(60)), "1,234"])
    assert (column.values[-1], notes) == (1234, ())


@pytest.mark.parametrize("cells", [["01", "02"], ["1", "007"], ["00", "-1", "NA"]])
def test_integers_with_leading_zeros_are_codes(cells, read):
    column, notes = read(cells)
    assert (column.kind, notes) == ("category", ())
    assert column.categories == tuple(sorted(cell for cell in cells if cell != "NA"))


@pytest.mark.parametrize("cells", [["0", "10"], ["0.5", "007"], ["0", "1"], ["-0.1", "00.5"]])
def test_zeros_of_other_numbers_make_no_codes(cells, read):
    assert read(cells)[0].kind == "number"


def test_codes_with_a_few_other_texts_are_categories(read):
    assert read([*(f"{i:03}" for i in range(60)), "n.k."])[0].kind == "category"


def test_large_integers_are_exact(read):
    column, _ = read(["9007199254740993", "9007199254740992", "-9223372036854775807"])
    assert [column.text(i) for i in range(3)] == ["9007199254740993", "9007199254740992", "-9223372036854775807"]
    column = fnn.read_table({"a": [2**53 + 1, 2**53]})["a"]
    assert [column.text(i) for i in range(2)] == ["9007199254740993", "9007199254740992"]


def test_classes_that_floats_do_not_hold_are_refused():
    y = [2**53 + 1, 2**53] * 10
    table = {"x": np.random.default_rng(0).random(20), "y": y}
    assert fnn.train_table(table, "y", preset="plain", epochs=1).classes == (2**53, 2**53 + 1)
    with pytest.raises(
        ValueError, match="^train_table: target 'y' has classes such as 9007199254740992, which as floating"
    ):
        fnn.train_table(table | {"y": [None, *y[1:]]}, "y", preset="plain", epochs=1)


# -------------------------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (["3/25/2024", "4/5/2024"], ["2024-03-25", "2024-04-05"]),
        (["25/3/2024", "4/5/2024"], ["2024-03-25", "2024-05-04"]),
        (["03-25-2024", "04-05-2024"], ["2024-03-25", "2024-04-05"]),
        (["25-03-2024", "04-05-2024"], ["2024-03-25", "2024-05-04"]),
        (["4.5.2024", "25.03.24"], ["2024-05-04", "2024-03-25"]),
        (["3/25/24", "4/5/68", "4/5/69"], ["2024-03-25", "2068-04-05", "1969-04-05"]),
        (["02-Mar-2024", "2 March 2024", "02MAR24", "2. Sept. 2024"], ["2024-03-02", "2024-03-02", "2024-03-02", "2024-09-02"]),
        (["Mar 2, 2024", "December 31 1999"], ["2024-03-02", "1999-12-31"]),
        (["2024-03", "1999-12"], ["2024-03-01", "1999-12-01"]),
        (["3/3/2024", "5/5/2024"], ["2024-03-03", "2024-05-05"]),
    ],
)  # fmt: skip
def test_dates_of_common_forms(cells, days, read):
    column, notes = read(cells)
    assert (column.kind, notes) == ("date", ())
    assert [column.text(i)[:10] for i in range(len(cells))] == days


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2024-03-02 1:05", "2024-03-02T01:05:00"), ("2024-03-02T01:05:06.25Z", "2024-03-02T01:05:06.25"),
        ("3/20/2024 1:05 PM", "2024-03-20T13:05:00"), ("3/20/2024 12:00:01 a.m.", "2024-03-20T00:00:01"),
        ("2024-03-02 01:05+02:00", "2024-03-01T23:05:00"), ("2024-03-02T01:05:06,5-0330", "2024-03-02T04:35:06.5"),
        ("2024-03-02 01:05 UTC", "2024-03-02T01:05:00"), ("20-Mar-2024 23:59", "2024-03-20T23:59:00"),
    ],
)  # fmt: skip
def test_times_of_common_forms(cell, seconds, read):
    column, _ = read([cell, ""])
    assert (column.kind, column.values[0]) == ("date", np.datetime64(seconds, "ms").astype(int) / 1e3)


@pytest.mark.parametrize(
    "cell",
    [
        "2024-02-30",
        "13/13/2024",
        "3/2/2024 25:00",
        "3/2/2024 13:00 PM",
        "2 Mai 2024",
        "1.2.3",
        "12-05-33",
        "20240302",
        "2024-13",
        "1001-02",
    ],
)
def test_what_is_no_date(cell, read):
    assert read([cell, cell])[0].kind != "date"


def test_dates_of_which_no_row_tells_the_order_are_said(read):
    for cells, day, other in (
        (["3/2/2024", ""], "2024-03-02", "2024-02-03"),
        (["3-2-2024"], "2024-02-03", "2024-03-02"),
    ):
        column, notes = read(cells)
        assert column.text(0)[:10] == day
        assert notes == (f"column 'a': {cells[0]!r} is read as {day} but could be {other}: no row tells which",)


def test_dates_of_two_orders_are_said(read):
    column, notes = read(["13/2/2024", "4/25/2024"])
    assert column.kind == "category"
    assert notes == (
        "column 'a': '13/2/2024' has the day first but '4/25/2024' the month: so they are categories, not dates",
    )


def test_a_few_texts_among_dates_are_missing_and_noted(read):
    column, notes = read([f"2024-01-{day:02}" for day in range(1, 30)] + ["0000-00-00"])
    assert (column.kind, np.flatnonzero(column.missing()).tolist()) == ("date", [29])
    assert notes == (
        "column 'a': text among dates counts as missing (1 of 30 cells; the first is '0000-00-00' in row 30)",
    )


def test_minus_is_missing_but_beside_plus(read):
    column, _ = read(["+", "-", "", "+"])
    assert (column.kind, column.categories, column.values.tolist()) == ("category", ("+", "-"), [0, 1, -1, 0])
    assert read(["1.5", "-", "2"])[0].missing().tolist() == [False, True, False]
    assert read(["a", "-", "b"])[0].missing().tolist() == [False, True, False]


def test_a_quote_that_is_never_closed_is_an_error(read):
    for text, line in (('a,b\n1,"x\n2,y\n', 2), ('a,b\n1,x\n2,"', 3)):
        with pytest.raises(
            ValueError, match=f"^read_table: the file, line {line}: a quote is opened but never closed; close it"
        ):
            fnn.read_table(io.StringIO(text))
    assert len(fnn.read_table(io.StringIO('a,b\n1,5" disk\n2,"y\n"\n'))) == 2


# ------------------------------------------------------------------------------------------- what training knew decides


pytestmark = pytest.mark.filterwarnings("ignore:column .* (tells the target|numbers the rows):UserWarning")


def model(table, target="y", **options):
    return fnn.train_table(table, target, **{"preset": "plain", "epochs": 3, "validation": 0.2, "seed": 0} | options)


def file_of(**columns):
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerows([columns, *zip(*columns.values(), strict=True)])
    return io.StringIO(stream.getvalue())


TRAINED = {  # cells of a column of the training, and of files whose cells by themselves are of another kind or form
    "codes": (["01", "02", "A3", "7"], ["01", "02"]),
    "categories that are numbers": (["1.0", "2", "x", "1e3"], ["1.0", "1e3"]),
    "categories that are booleans": (["yes", "no", "maybe", "Yes"], ["Yes", "no"]),
    "categories that are dates": (["2024-01-01", "2024-02-01", "never", "1/1/2024"], ["1/1/2024", "2024-01-01"]),
    "categories that are integers": (["1", "2", "x", "0"], ["1", "0"]),
    "categories of signs": (["+", "-", "0", "++"], ["-", "-"]),
    "numbers that look like codes": (["1", "2.5", "07", "3"], ["07", "07"]),
    "numbers with thousands": (["1,234", "950", "1,234,567", "5"], ["1,234", "1,234"]),
    "numbers that are booleans": (["1", "0", "2", "3"], ["1", "0"]),
    "dates with the month first": (["3/25/2024", "4/5/2024", "1/2/2024", "1/3/2024"], ["4/5/2024", "1/2/2024"]),
    "dates with the day first": (["25/3/2024", "4/5/2024", "1/2/2024", "1/3/2024"], ["4/5/2024", "1/2/2024"]),
}


@pytest.mark.parametrize("cells", TRAINED.values(), ids=TRAINED.keys())
@pytest.mark.parametrize("reader", files.READERS)
def test_a_column_is_of_the_kind_that_training_knew(cells, reader, monkeypatch, tmp_path):
    if reader != "csv":
        pytest.importorskip(reader)
    monkeypatch.setattr(files, "READERS", (reader, "csv"))
    cells, few = cells
    x, words = np.linspace(0, 1, 40).tolist(), (cells * 10)
    trained = model(file_of(a=words, x=x, y=["u", "v"] * 20))
    trained.save(tmp_path / "m")
    rows = [words.index(cell) for cell in few]
    want = trained.predict_proba(file_of(a=words, x=x))[rows]
    for one in (trained, fnn.load(tmp_path / "m")):
        got = one.predict_proba(file_of(a=few, x=[x[row] for row in rows]))
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(one.predict_proba({"a": few, "x": [x[row] for row in rows]}), want)
    assert want[0, 0] != trained.predict_proba({"a": [""], "x": [x[rows[0]]]})[0, 0], "the column counts"


def test_numbers_of_a_frame_are_the_categories_that_they_were_as_text():
    x = [0.5] * 40
    trained = model(
        file_of(a=["1.0", "2", "x", "3"] * 10, x=np.linspace(0, 1, 40).tolist(), y=["u", "v", "v", "u"] * 10), epochs=20
    )
    texts = trained.predict_proba(file_of(a=["1.0", "2", "3"], x=x[:3]))
    np.testing.assert_array_equal(trained.predict_proba({"a": np.array([1, 2, 3]), "x": x[:3]}), texts)
    np.testing.assert_array_equal(trained.predict_proba({"a": np.array([1.0, 2.0, 3.0]), "x": x[:3]}), texts)


def test_dates_of_another_order_than_in_training_are_said():
    trained = model(file_of(a=["3/25/2024", "4/5/2024"] * 20, y=["u", "v"] * 20))
    table = fnn.table.reading.read(file_of(a=["4/5/2024", "25/3/2024"]), trained.known)
    assert table.notes == ("column 'a': '25/3/2024' has the day first, in training it was the month first",)
    assert table["a"].text(0) == "2024-05-04T00:00:00"


@pytest.mark.parametrize(
    ("classes", "few"),
    [
        (["01", "02", "10"], ["01", "01"]), (["0", "1", "no"], ["1", "0"]), (["yes", "no", "?x"], ["yes", "yes"]),
        (["a, b", 'say "so"', "日本"], ["a, b", "日本"]), (["2024-01-01", "1/1/2024", "x"], ["1/1/2024"] * 2), (["0", "1"], ["1", "1"]),
        (["+", "-"], ["-", "-"]), (["no", "yes"], ["yes", "yes"]), (["TRUE", "FALSE"], ["TRUE", "FALSE"]),
    ],
)  # fmt: skip
def test_classes_are_those_of_the_training_however_few_are_there(classes, few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = classes * 20
    x = [float(classes.index(one)) for one in y]
    (tmp_path / "t.csv").write_text(file_of(x=x, y=y).getvalue())
    cli.main(
        [
            "train",
            "t.csv",
            "--target",
            "y",
            "--task",
            "classification",
            "--preset",
            "plain",
            "--epochs",
            "60",
            "--seed",
            "0",
        ]
    )
    (tmp_path / "few.csv").write_text(file_of(x=[float(classes.index(one)) for one in few], y=few).getvalue())
    capsys.readouterr()
    cli.main(["predict", "t.safetensors", "few.csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["label"] for row in rows] == few
    assert {f"probability_{one}" for one in classes} < set(rows[0])
    assert fnn.load("t.safetensors").evaluate("few.csv")["accuracy"] == 1


def test_the_target_of_a_regression_is_numbers_even_if_it_looks_like_codes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = [f"{i:03}" for i in range(40)]
    (tmp_path / "t.csv").write_text(file_of(x=range(40), y=y).getvalue())
    assert model("t.csv", task="regression").task == "regression"
    assert model({"x": np.arange(40.0)}, y, task="regression").task == "regression"
    cli.main(["train", "t.csv", "--target", "y", "--task", "regression", "--preset", "plain", "--epochs", "1"])
    assert "target      y: a number from 0 to 39" in capsys.readouterr().out


def test_the_first_text_of_a_target_that_is_no_number_is_named():
    table = {"x": [1, 2, 3], "y": ["1.5", "", "high"]}
    with pytest.raises(
        ValueError, match="^train_table: target 'y', row 3: 'high' but numbers were expected for regression"
    ):
        fnn.train_table(table, "y", task="regression")
    trained = model({"x": [1.0, 2, 3, 4], "y": [1.5, 2.5, 3.5, 4]})
    with pytest.raises(ValueError, match="^evaluate: target 'y', row 3: 'high' but a number was expected$"):
        trained.evaluate(table)


def test_random_columns_predict_alike_row_by_row_and_together():
    rng = random.Random(0)
    kinds = [
        ["1", "2", "x"],
        ["01", "7"],
        ["1/2/2024", "13/2/2024"],
        ["yes", "no"],
        ["1,000", "2"],
        ["a", ""],
        ["5", "", "6.5"],
    ]
    for _ in range(6):
        chosen = rng.sample(kinds, 3)
        columns = {f"c{i}": [rng.choice(cells) for _ in range(30)] for i, cells in enumerate(chosen)}
        trained = model(file_of(**columns, y=["u", "v"] * 15), epochs=1)
        want = trained.predict_proba(file_of(**columns))
        for i in range(0, 30, 7):
            got = trained.predict_proba(file_of(**{name: [cells[i]] for name, cells in columns.items()}))
            np.testing.assert_array_equal(got, want[i : i + 1])
