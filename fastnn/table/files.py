"""CSV files: encoding, separator, quotes and header are found here; polars, pandas or the standard library's csv reads.

Design
A. The standard library's reader is the one that decides what a file means. polars and pandas are faster, but fill short lines and know other
   missing values: what they return is taken where it is what csv would return, else csv reads the file again and says what is wrong.
B. They are asked for numbers alone; whatever is text is left to ``reading.made``, which all readers share. Numbers whose spelling counts, and
   columns that training knew as categories, they read as text too.
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections import Counter

import numpy as np

from fastnn.table.reading import counted, made, require_unique
from fastnn.table.texts import MISSING, is_missing, is_number

_SEPARATORS = "\t;|, "  # the earlier of two that fit alike: a comma is a decimal one then
_SINGLE_QUOTED = re.compile(rf"(?:^|[\n{_SEPARATORS}])'[^'\n]*'(?:[\r\n{_SEPARATORS}]|$)")
_SAMPLE = 200  # lines that dialect and header are found from
_END = "\x1f\x1f"  # a last line for csv, which does not say that a file ends inside quotes
# Missing values for polars and pandas; whether - is one, the other texts of its column decide.
_CASES = sorted(
    {form for word in MISSING - {"-"} for form in (word, word.upper(), word.capitalize(), "NaN", "NaT", "N/a")}
)
# What this module reads with: the first of these that is installed.
READERS = ("polars", "pandas", "csv")


def read_file(source, known, separator, encoding, header):
    """Return the table of a file; see ``reading.read``."""
    text, name, notes = _text(source, encoding)
    dialect, names, header = _layout(text, name, separator, header)
    words = [known.get(one, (None,))[0] == "category" for one in names]
    columns = _fast_columns(text, dialect, words, header)
    if columns is None:
        columns = zip(*_csv_rows(text, dialect, names, header, name), strict=True)
    columns = (column if isinstance(column, np.ndarray) else list(column) for column in columns)
    return made(zip(names, columns, strict=True), known, name, notes, comma=dialect["delimiter"] != ",")


def rows_of(path, header=None):
    """Return the names of a file's columns, and its rows as lists of texts."""
    text, name, _ = _text(path, None)
    dialect, names, header = _layout(text, name, None, header)
    return names, _csv_rows(text, dialect, names, header, name)


def _layout(text, name, separator, header):
    """Return the options of csv's reader, the names of the columns, and whether the first line has them."""
    if not text or text.isspace():
        raise ValueError(
            f"read_table: {name} is empty; a line with the names of columns and lines of values were expected"
        )
    dialect = _dialect(text, separator)
    sample = _rows(text, dialect, name, _SAMPLE)
    header = _has_header(sample) if header is None else header
    if header:
        names = [cell.strip() or f"column {i}" for i, cell in enumerate(sample[0], 1)]
    else:
        names = [f"x{i}" for i in range(len(sample[0]))]
    require_unique(names, name)
    if header and len(sample) == 1:
        raise ValueError(f"read_table: {name} has the names of {counted(len(names), 'column')} but no rows below them")
    return dialect, names, header


def _text(source, encoding):
    """Return the text of a file, its name for messages, and notes."""
    if hasattr(source, "read"):
        data, name = source.read(), os.path.basename(str(getattr(source, "name", "the file")))
    else:
        name = os.fsdecode(source)
        with open(source, "rb") as file:
            data = file.read()
    if isinstance(data, str):
        return _bare(data), name, []
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"read_table: {name}: the compressed file is damaged: {error}") from None
    notes = []
    if encoding is None:
        encoding = _encoding(data)
        if encoding in ("cp1252", "latin-1"):
            notes = [f"{name} is not UTF-8 and was read as {encoding}; if its letters look wrong, save it as UTF-8"]
    try:
        text = data.decode(encoding)
    except LookupError:
        raise ValueError(
            f"read_table: encoding is {encoding!r}, which Python does not know; 'utf-8' or 'latin-1' are examples"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_table: {name} is not {encoding}: byte {error.start} is 0x{data[error.start]:02x}; pass another encoding"
        ) from None
    if "\0" in text[:100_000]:
        raise ValueError(
            f"read_table: {name} is no text; a CSV file was expected (read other formats with pandas or polars and pass the frame)"
        )
    return _bare(text), name, notes


def _bare(text):
    """Return a text without what may stand before its first line: byte order mark, empty lines, and the separator as Excel writes it."""
    text = text.removeprefix("\ufeff").lstrip("\r\n")
    return re.sub(r'\A"?sep=[^\w\s]"?[ \t]*\r?\n|\Asep=\t\r?\n', "", text, flags=re.I)


def _encoding(data):
    """Return the encoding that bytes seem to have."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            continue
    return "latin-1"


def _dialect(text, separator):
    """Return the options of csv's reader for a text."""
    head = text[:100_000]
    quote = "'" if '"' not in head and _SINGLE_QUOTED.search(head) else '"'
    if separator is not None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in "\r\n":
            raise ValueError(f"read_table: separator is {separator!r} but one character was expected")
        return {"delimiter": separator, "quotechar": quote, "skipinitialspace": True}
    best, chosen = 0.0, ","
    for mark in _SEPARATORS:
        dialect = {"delimiter": mark, "quotechar": quote, "skipinitialspace": True}
        try:
            widths = Counter(len(row) for row in _head(text, dialect, _SAMPLE))
        except csv.Error:
            continue
        width, count = widths.most_common(1)[0]
        share = count / widths.total()
        if width > 1 and share > best and (mark != " " or share == 1):
            best, chosen = share, mark
    first, *lines = head.splitlines()[:_SAMPLE]
    if chosen == "," and "," not in first and all(is_number(line.strip()) for line in lines if "," in line):
        chosen = "\t"  # one column, whose numbers have commas
    return {"delimiter": chosen, "quotechar": quote, "skipinitialspace": True}


def _head(text, dialect, rows):
    """Return the first rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), **dialect)
    found = []
    for row in reader:
        if row:
            found.append(row)
            if len(found) == rows:
                break
    return found


def _rows(text, dialect, name, rows):
    try:
        return _head(text, dialect, rows)
    except csv.Error as error:
        raise ValueError(f"read_table: {name} is no CSV file: {error}") from None


def _has_header(rows):
    """Return whether the first of some rows has names.

    It has where text stands above numbers; it has none where a number stands in it, or where all its texts occur below again.
    """
    first, below = rows[0], rows[1:]
    if not below:
        return not any(_is_number(cell) for cell in first)
    columns = [[row[i] for row in below if i < len(row) and not is_missing(row[i].strip())] for i in range(len(first))]
    for cell, column in zip(first, columns, strict=True):
        if column and all(map(_is_number, column)) and not (_is_number(cell) or is_missing(cell.strip())):
            return True
    if any(map(_is_number, first)):
        return False
    return not all(cell in column for cell, column in zip(first, columns, strict=True))


def _is_number(cell):
    return is_number(cell.strip())


def _csv_rows(text, dialect, names, header, name):
    """Return the rows below the header as lists of texts, by the standard library's reader."""
    reader = csv.reader(io.StringIO(f"{text}\n{_END}", newline=""), **dialect)
    rows, width, first = [], len(names), 1
    try:
        for row in reader:
            if row == [_END]:
                break
            if row and row[-1].endswith(_END):
                raise ValueError(
                    f"read_table: {name}, line {first}: a quote is opened but never closed; close it, or double it if it belongs to the text"
                )
            if len(row) == width:
                rows.append(row)
            elif any(cell.strip() for cell in row):
                expected = "the header" if header else "the first line"
                raise ValueError(
                    f"read_table: {name}, line {reader.line_num} has {counted(len(row), 'field')} but {expected} has {width}; "
                    "mend the line, or quote fields that hold the separator"
                )
            first = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"read_table: {name}, line {reader.line_num}: {error}") from None
    return rows[header:]


def _fast_columns(text, dialect, words, header):
    """Return an array or a list for each column, as polars or pandas read it, a list of texts where ``words`` says so; None where csv has to."""
    mark, quote = dialect["delimiter"], dialect["quotechar"]
    if len(words) == 1 or f"{mark} {quote}" in text or text.count(quote) % 2:
        return None  # to them an empty line would be a row, and a quote after a space text; an odd one may be open to the end
    columns = None
    words = [True] * len(words) if _spelling_counts(text, mark, quote) else words
    for reader in READERS:
        try:
            if reader != "csv":
                columns = (_by_polars if reader == "polars" else _by_pandas)(text, mark, quote, header, words)
            break
        except ImportError:
            continue
        except Exception:  # theirs are of many kinds; csv reads the file, or says what is wrong with it
            return None
    fits = columns is not None and len(columns) == len(words)
    return columns if fits and _whole(columns[-1], text, dialect, len(words), header) else None


def _spelling_counts(text, mark, quote):
    """Return whether some cell is a code such as 007, or may be a thousand such as 1.234 in a file with decimal commas."""
    cell = r"0\d+"
    if mark != "," and re.search(r"\d,\d", text):
        cell = r"(?:0\d+|[+-]?[1-9]\d{0,2}(?:\.\d{3})+)"
    end = rf" *(?=[{re.escape(mark + quote)}\r\n]|\Z)"
    starts = (
        "\n",
        quote,
        " ",
        mark,
    )  # each for itself: a pattern that starts with a certain letter is searched for faster
    return any(re.search(re.escape(start) + cell + end, text) for start in starts) or bool(re.match(cell + end, text))


def _whole(last, text, dialect, width, header):
    """Return whether no line was too short: such a line has no value in the last column."""
    if None not in last if isinstance(last, list) else last.dtype.kind != "f" or not np.isnan(last).any():
        return True
    widths = [len(row) for row in csv.reader(io.StringIO(text, newline=""), **dialect)]
    return len(widths) - header == len(last) and set(widths) == {width}


def _by_polars(text, mark, quote, header, words):
    import polars

    options = {
        "separator": mark, "quote_char": quote, "has_header": bool(header), "null_values": _CASES, "infer_schema_length": None,
        "truncate_ragged_lines": False,
    }  # fmt: skip
    data = text.encode()
    frame = polars.read_csv(data, **options)
    again = [
        i for i, dtype in enumerate(frame.dtypes) if dtype == polars.Boolean or words[i] and dtype != polars.String
    ]
    as_text = dict.fromkeys((frame.columns[i] for i in again), polars.String)
    spelled = polars.read_csv(data, columns=again, schema_overrides=as_text, **options) if again else None
    columns = []
    for i in range(frame.width):
        series = spelled.to_series(again.index(i)) if i in again else frame.to_series(i)
        if series.dtype.is_numeric():
            series = series.cast(float) if series.null_count() else series
            columns.append(series.to_numpy())
        else:
            columns.append(series.cast(polars.String).to_list())
    return columns


def _by_pandas(text, mark, quote, header, words):
    import pandas

    options = {
        "sep": mark, "quotechar": quote, "header": 0 if header else None, "na_values": _CASES, "keep_default_na": False,
        "skipinitialspace": True, "low_memory": False,
    }  # fmt: skip
    frame = pandas.read_csv(io.StringIO(text), **options)
    if not isinstance(frame.index, pandas.RangeIndex):  # each line has a field more than the header
        return None
    inferred = [pandas.api.types.infer_dtype(frame.iloc[:, i], skipna=True) for i in range(frame.shape[1])]
    again = [i for i, kind in enumerate(inferred) if kind == "boolean" or words[i] and kind != "string"]
    spelled = pandas.read_csv(io.StringIO(text), usecols=again, dtype=str, **options) if again else None
    columns = []
    for i in range(frame.shape[1]):
        series = spelled.iloc[:, again.index(i)] if i in again else frame.iloc[:, i]
        if series.dtype.kind in "iuf":
            columns.append(series.to_numpy())
        else:
            texts, empty = series.tolist(), series.isna().tolist()
            columns.append([None if missing else str(value) for value, missing in zip(texts, empty, strict=True)])
    return columns
