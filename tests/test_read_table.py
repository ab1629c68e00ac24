"""read_table: what a file, a frame or arrays become, whichever library reads; and the one line that each broken file gets."""

import csv
import gzip
import io
import random

import numpy as np
import pytest

import fastnn as fnn
from fastnn.table import files

NAN = float("nan")


@pytest.fixture(params=files.READERS)
def reader(request, monkeypatch):
    """Read files with one library."""
    if request.param != "csv":
        pytest.importorskip(request.param)
    monkeypatch.setattr(files, "READERS", (request.param, "csv"))
    return request.param


@pytest.fixture
def read(tmp_path, reader):
    """Return the table of a text or of bytes, read from a file."""

    def read(text, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return fnn.read_table(path, **options)

    return read


def shown(table):
    """Return name -> (kind, values as one would write them)."""
    return {c.name: (c.kind, [c.text(i) for i in range(len(table))]) for c in table.columns}


def test_the_kinds_of_columns(read):
    table = read(
        "n,i,word,flag,day,time,gone\n"
        "1.5,1,red,yes,2024-01-31,2024-01-31 12:00,\n"
        ",2,blue,no,2024-02-01,2024-01-31T12:00:30,NA\n"
        "-2e3,-3,?,YES,,2024-01-31T12:00:30.500Z,null\n"
    )
    assert shown(table) == {
        "n": ("number", ["1.5", "", "-2000"]),
        "i": ("number", ["1", "2", "-3"]),
        "word": ("category", ["red", "blue", ""]),
        "flag": ("boolean", ["YES", "no", "YES"]),
        "day": ("date", ["2024-01-31T00:00:00", "2024-02-01T00:00:00", ""]),
        "time": ("date", ["2024-01-31T12:00:00", "2024-01-31T12:00:30", "2024-01-31T12:00:30"]),
        "gone": ("number", ["", "", ""]),
    }
    assert table["time"].values[2] == np.datetime64("2024-01-31T12:00:30.5").astype("M8[us]").astype(int) / 1e6
    assert table["word"].categories == ("blue", "red")
    assert repr(table) == "<Table of 3 rows: 3 numbers, 1 category, 1 boolean, 2 dates>"


@pytest.mark.parametrize(
    "words",
    [("false", "true"), ("False", "True"), ("FALSE", "TRUE"), ("no", "yes"), ("N", "Y"), ("f", "t"), ("off", "on")],
)
def test_booleans_keep_their_words(words, read):
    column = read(f"a,b\n1,{words[1]}\n2,{words[0]}\n3,\n4,{words[1]}\n")["b"]
    assert (column.kind, column.categories) == ("boolean", words)
    np.testing.assert_array_equal(column.values, np.float32([1, 0, NAN, 1]))


@pytest.mark.parametrize("token", ["", "NA", "na", "N/A", "nan", "NaN", "null", "NULL", "None", "?", "-"])
def test_what_is_missing(token, read):
    table = read(f"a,b,c\n1,red,1\n{token},{token},2\n3,blue,3\n")
    assert shown(table) == {
        "a": ("number", ["1", "", "3"]),
        "b": ("category", ["red", "", "blue"]),
        "c": ("number", ["1", "2", "3"]),
    }


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " "])
def test_separators_are_recognised_and_may_be_quoted(mark, read):
    text = f'a{mark}b{mark}c\n1{mark}"x{mark}y"{mark}2\n3{mark}"say ""so"""{mark}4\n5{mark}"two\nlines"{mark}6\n'
    for options in ({}, {"separator": mark}):
        table = read(text, **options)
        assert table.names == ("a", "b", "c")
        assert shown(table)["b"] == ("category", [f"x{mark}y", 'say "so"', "two\nlines"])
        np.testing.assert_array_equal(table["c"].values, [2, 4, 6])


def test_decimal_commas_where_a_comma_does_not_separate(read):
    assert shown(read("a;b\n1,5;x\n2;y\n-3,25;x\n"))["a"] == ("number", ["1.5", "2", "-3.25"])
    assert shown(read("1,5;2,5\n3,5;4,0\n")) == {"x0": ("number", ["1.5", "3.5"]), "x1": ("number", ["2.5", "4"])}


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;\r"])
def test_a_line_that_names_the_separator_is_no_header(line, read):
    assert shown(read(f"{line}\na;b\n1,5;x\n2;y\n")) == {"a": ("number", ["1.5", "2"]), "b": ("category", ["x", "y"])}
    assert read("sep=a,b\n1,2\n3,4\n").names == ("sep=a", "b")


def test_commas_of_the_numbers_of_a_single_column_do_not_separate(read):
    assert shown(read("a\n1,5\n2\n-3,25\n")) == {"a": ("number", ["1.5", "2", "-3.25"])}
    assert shown(read("a\n1,234,567\n2\n")) == {"a": ("number", ["1234567", "2"])}
    with pytest.raises(ValueError, match="line 2 has 2 fields but the header has 1; mend the line"):
        read("a\n1,x\n3,y\n")


def test_single_quotes_spaces_after_separators_and_blank_lines(read):
    assert shown(read("a,b\n'1,5','x'\n'2','y'\n"))["b"] == ("category", ["x", "y"])
    table = read('a, b, c\n1, "x, y", 2\n\n3, z, 4\n\n')
    assert shown(table) == {"a": ("number", ["1", "3"]), "b": ("category", ["x, y", "z"]), "c": ("number", ["2", "4"])}
    assert shown(read("a,b\n1,2\n   \n3,\n \n")) == {"a": ("number", ["1", "3"]), "b": ("number", ["2", ""])}
    assert shown(read("name\nJohn Smith\nAnn Lee\n")) == {"name": ("category", ["John Smith", "Ann Lee"])}
    assert shown(read("\n\na\r\n1\r\n2\r\n")) == {"a": ("number", ["1", "2"])}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
def test_encodings_are_recognised(encoding, read):
    data = "größe,ort\n1,Köln\n2,Nîmes\n".encode(encoding)
    for options in ({}, {"encoding": encoding}):
        table = read(data, **options)
        assert shown(table) == {"größe": ("number", ["1", "2"]), "ort": ("category", ["Köln", "Nîmes"])}
    assert (read(data).notes == ()) == encoding.startswith("utf")


def test_a_compressed_file_and_an_open_one(read, tmp_path):
    text = "a,b\n1,x\n2,y\n"
    want = shown(read(text))
    assert shown(read(gzip.compress(text.encode()), "t.csv.gz")) == want
    assert shown(read(gzip.compress(text.encode()), "t.csv")) == want, "by its bytes, not its name"
    assert shown(fnn.read_table(io.StringIO(text))) == want
    with open(tmp_path / "t.csv", "rb") as file:
        assert shown(fnn.read_table(file)) == want


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,x\n2,y\n", ("a", "b")),
        ("1,x\n2,y\n3,x\n", ("x0", "x1")),
        ("a,b\nx,y\nz,w\n", ("a", "b")),
        ("x,y\nx,w\nz,y\n", ("x0", "x1")),  # its texts occur below again
        ("1,2\n3,4\n", ("x0", "x1")),
        (",b\n1,x\n2,y\n", ("column 1", "b")),
        ("2019,2020,place\n1,2,x\n3,4,y\n", ("x0", "x1", "x2")),
    ],
)
def test_a_header_is_recognised(text, names, read):
    assert read(text).names == names
    assert len(read(text, header=False)) == text.count("\n")
    assert read(text, header=True).names == tuple(cell or "column 1" for cell in text.split("\n")[0].split(","))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv is empty; a line with the names of columns and lines of values were expected"),
        (" \n\n", "t.csv is empty; a line with the names of columns and lines of values were expected"),
        ("a,b\n", "t.csv has the names of 2 columns but no rows below them"),
        ("a,b,c\n1,x,2\n3,y\n", "t.csv, line 3 has 2 fields but the header has 3; mend the line, or quote fields that hold the separator"),
        ("a,b\n1,x\n3,y,4\n", "t.csv, line 3 has 3 fields but the header has 2; mend the line, or quote fields that hold the separator"),
        ("a,b\n1,\n3\n", "t.csv, line 3 has 1 field but the header has 2; mend the line, or quote fields that hold the separator"),
        ("a,b\n1,x,\n3,y,\n", "t.csv, line 2 has 3 fields but the header has 2; mend the line, or quote fields that hold the separator"),
        ("a,b,a\n1,2,3\n", "t.csv: columns 1 and 3 are both called 'a'; rename one of them"),
        (b"PK\3\4\0\0\0\0a,b", "t.csv is no text; a CSV file was expected (read other formats with pandas or polars and pass the frame)"),
        (gzip.compress(b"a,b\n1,2\n" * 99)[:-9], "t.csv: the compressed file is damaged: Compressed file ended before the end-of-stream marker was reached"),
    ],
)  # fmt: skip
def test_a_broken_file_gets_one_line(text, message, read, tmp_path):
    with pytest.raises(ValueError) as caught:
        read(text)
    assert str(caught.value).replace(str(tmp_path) + "/", "") == f"read_table: {message}"


def test_options_that_cannot_be_get_one_line(read):
    with pytest.raises(ValueError, match="^read_table: separator is ';;' but one character was expected$"):
        read("a;;b\n1;;2\n", separator=";;")
    with pytest.raises(ValueError, match="^read_table: encoding is 'utf-9', which Python does not know"):
        read("a,b\n1,2\n", encoding="utf-9")
    with pytest.raises(ValueError, match="t.csv is not utf-8: byte 6 is 0xff; pass another encoding$"):
        read(b"a,b\n1,\xff\n", encoding="utf-8")
    with pytest.raises(TypeError, match="^read_table: separator, encoding and header are of files but source is dict$"):
        fnn.read_table({"a": [1]}, header=True)


def test_a_few_texts_among_numbers_are_missing_and_noted(read):
    cells = [str(i) for i in range(40)]
    cells[7] = cells[30] = "n.k."
    table = read("a,b\n" + "".join(f"{cell},x\n" for cell in cells))
    assert table["a"].kind == "number"
    assert np.flatnonzero(np.isnan(table["a"].values)).tolist() == [7, 30]
    assert table.notes == (
        "column 'a': text among numbers counts as missing (2 of 40 cells; the first is 'n.k.' in row 8)",
    )
    cells[:3] = ["x", "y", "z"]
    assert read("a,b\n" + "".join(f"{cell},x\n" for cell in cells))["a"].kind == "category"


@pytest.mark.parametrize(
    ("cell", "date"),
    [
        ("2024-03-02", "2024-03-02T00:00:00"), ("2024/3/2", "2024-03-02T00:00:00"), ("2.3.2024", "2024-03-02T00:00:00"),
        ("3/2/2024", "2024-03-02T00:00:00"), ("2024-03-02 01:02:03+02:00", "2024-03-01T23:02:03"),
    ],
)  # fmt: skip
def test_dates(cell, date, read):
    assert shown(read(f"a,b\n{cell},1\n,2\n"))["a"] == ("date", [date, ""])


def test_a_day_above_12_says_which_part_is_the_day(read):
    assert shown(read("a,b\n2/3/2024,1\n13/3/2024,2\n"))["a"] == (
        "date",
        ["2024-03-02T00:00:00", "2024-03-13T00:00:00"],
    )
    assert shown(read("a,b\n2024-13-01,1\n2024-12-01,2\n"))["a"][0] == "category"


CELLS = {
    "float": [
        "1.5",
        "-2e3",
        "+3",
        ".5",
        "5.",
        "inf",
        "-Infinity",
        "007",
        "1e-400",
        "123456789012345678901234567890",
        "  7 ",
    ],
    "integer": ["1", "-9", "0", "18446744073709551616", "9007199254740993"],
    "boolean": ["true", "False", "TRUE"],
    "word": [
        "a,b",
        "x;y",
        'say "hi"',
        "two\nlines",
        " lead",
        "trail ",
        "é",
        "1",
        "true",
        "'q'",
        "a\tb",
        "1_000",
        "0x1F",
        "#c",
    ],
    "date": ["2024-01-31", "2024-02-01 12:00", "2023-12-31"],
}
GAPS = ["", "NA", "nan", "?", " ", "-"]


def drawn(rng):
    """Return the text of a file of random columns in a random dialect."""
    kinds = [rng.choice(list(CELLS)) for _ in range(rng.randint(1, 6))]
    stream = io.StringIO()
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(
        stream, delimiter=rng.choice(",;\t|"), lineterminator=rng.choice(["\n", "\r\n"]), quoting=quoting
    )
    if rng.random() < 0.8:
        writer.writerow([f"n{i}" for i in range(len(kinds))])
    for _ in range(rng.randint(1, 30)):
        row = [rng.choice(GAPS if rng.random() < 0.15 else CELLS[kind]) for kind in kinds]
        writer.writerow(row[: rng.randint(1, len(row))] if rng.random() < 0.01 else row)
    return stream.getvalue()


def test_every_library_reads_the_same(reader, monkeypatch):
    def outcome(text, first):
        monkeypatch.setattr(files, "READERS", (first, "csv"))
        try:
            table = fnn.read_table(io.StringIO(text))
        except ValueError as error:
            return str(error)
        return [(c.name, c.kind, c.categories, c.values.astype(float).tolist()) for c in table.columns], table.notes

    rng = random.Random(0)
    for _ in range(100):
        text = drawn(rng)
        assert repr(outcome(text, reader)) == repr(outcome(text, "csv")), text


# ------------------------------------------------------------------------------------------------------- frames and arrays


def test_arrays():
    x = np.random.default_rng(0).random((5, 3))
    table = fnn.read_table(x)
    assert table.names == ("x0", "x1", "x2")
    assert all(np.shares_memory(column.values, x) for column in table.columns)
    rows = np.array([(1, 2.5, "a"), (2, NAN, "")], [("i", "i8"), ("f", "f4"), ("s", "U5")])
    assert shown(fnn.read_table(rows)) == {
        "i": ("number", ["1", "2"]),
        "f": ("number", ["2.5", ""]),
        "s": ("category", ["a", ""]),
    }
    table = fnn.read_table(
        {
            "b": [True, None, False],
            "d": np.array(["2024-01-01", "NaT", "1969-12-31"], "M8[D]"),
            "o": np.array(["x", None, 3], object),
            "n": [1, None, 2.5],
            "t": np.array([1, 2, 3], "m8[m]"),
        }
    )
    assert shown(table) == {
        "b": ("boolean", ["True", "", "False"]),
        "d": ("date", ["2024-01-01T00:00:00", "", "1969-12-31T00:00:00"]),
        "o": ("category", ["x", "", "3"]),
        "n": ("number", ["1", "", "2.5"]),
        "t": ("number", ["60", "120", "180"]),
    }
    assert fnn.read_table(table) is table


def test_a_table_is_taken_apart():
    table = fnn.read_table({"a": np.arange(5), "b": list("xyxyx")})
    assert shown(table.take([3, 1])) == {"a": ("number", ["3", "1"]), "b": ("category", ["y", "y"])}
    assert shown(table.take(table["a"].values > 3).without("b")) == {"a": ("number", ["4"])}
    with pytest.raises(ValueError, match=r"^the table has no column 'c'; its columns: 'a', 'b'$"):
        table["c"]
    with pytest.raises(ValueError, match=r"^the table has no column 'prize'; close to it: 'price'$"):
        fnn.read_table({"price": [1], "colour": [2]})["prize"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.ones(3), TypeError, r"read_table: source is ndarray of shape \(3,\) but the name of a file, a data frame"),
        ({"a": [1], "b": [1, 2]}, ValueError, "read_table: column 'b' has 2 rows but 'a' has 1"),
        ({"a": np.ones((2, 2))}, ValueError, r"read_table: column 'a' has shape \(2, 2\) but one value per row was expected"),
        ({"a": np.ones(2, complex)}, TypeError, "read_table: column 'a' has dtype complex128 but real numbers, text, booleans or dates"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_table(source, error, message):
    with pytest.raises(error, match=f"^{message}"):
        fnn.read_table(source)


def test_types_that_say_categories_make_categories_of_numbers_too():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"i": pandas.Categorical([2, 10, None]), "f": pandas.Categorical([1.0, 2.5, 1.0])})
    want = {"i": ("category", ["2", "10", ""]), "f": ("category", ["1", "2.5", "1"])}
    assert shown(fnn.read_table(frame)) == want
    polars = pytest.importorskip("polars")
    kinds = {"c": polars.Categorical, "e": polars.Enum(["1", "2"])}
    table = fnn.read_table(
        polars.DataFrame({name: polars.Series(["2", None], dtype=kind) for name, kind in kinds.items()})
    )
    assert shown(table) == {name: ("category", ["2", ""]) for name in kinds}
    trained = fnn.train_table({"a": np.arange(20) % 3, "y": list("uv") * 10}, "y", preset="plain", epochs=1, seed=0)
    frame = pandas.DataFrame({"a": pandas.Categorical([0, 1, 2])})
    np.testing.assert_array_equal(trained.predict_proba(frame), trained.predict_proba({"a": [0, 1, 2]}))


def test_complex_numbers_of_a_frame_are_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(
        TypeError, match="^read_table: column 'a' has dtype complex128 but real numbers, text, booleans or dates"
    ):
        fnn.read_table(pandas.DataFrame({"a": [1j, 2]}))


def frame_columns(library):
    columns = {"i": [1, 2], "f": [1.5, None], "s": ["x", None], "b": [True, False]}
    frame = library.DataFrame(columns)
    want = {
        "i": ("number", ["1", "2"]), "f": ("number", ["1.5", ""]), "s": ("category", ["x", ""]), "b": ("boolean", ["True", "False"]),
    }  # fmt: skip
    return frame, want


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame, want = frame_columns(pandas)
    frame["n"] = pandas.array([1, None], dtype="Int64")
    frame["m"] = pandas.array([True, None], dtype="boolean")
    frame["c"] = pandas.Categorical(["u", None])
    frame["d"] = pandas.to_datetime(["2024-01-31 12:00", None])
    frame["z"] = pandas.to_datetime(["2024-01-31 12:00", None]).tz_localize("Europe/Berlin")
    frame[7] = [1, 2]
    table = fnn.read_table(frame)
    assert shown(table) == want | {
        "n": ("number", ["1", ""]), "m": ("boolean", ["True", ""]), "c": ("category", ["u", ""]),
        "d": ("date", ["2024-01-31T12:00:00", ""]), "z": ("date", ["2024-01-31T11:00:00", ""]), "7": ("number", ["1", "2"]),
    }  # fmt: skip
    assert table["b"].categories is None
    with pytest.raises(
        ValueError, match="^read_table: the data frame: columns 1 and 2 are both called 'a'; rename one of them$"
    ):
        fnn.read_table(pandas.DataFrame([[1, 2]], columns=["a", "a"]))


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    from datetime import date, datetime, timezone

    frame, want = frame_columns(polars)
    frame = frame.with_columns(
        polars.Series("n", [1, None], polars.Int32),
        polars.Series("m", [True, None]),
        polars.Series("c", ["u", None], polars.Categorical),
        polars.Series("d", [date(2024, 1, 31), None]),
        polars.Series("z", [datetime(2024, 1, 31, 12, tzinfo=timezone.utc), None]),
    )
    assert shown(fnn.read_table(frame)) == want | {
        "n": ("number", ["1", ""]), "m": ("boolean", ["True", ""]), "c": ("category", ["u", ""]),
        "d": ("date", ["2024-01-31T00:00:00", ""]), "z": ("date", ["2024-01-31T12:00:00", ""]),
    }  # fmt: skip
