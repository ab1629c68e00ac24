"""CSV files: encoding, separator, quotes and header are found here; polars, pandas or the standard library's csv reads.

Design
A. The standard library's reader is the one that decides what a file means. polars and pandas are faster, but fill short lines and know other
   missing values: what they return is taken where it is what csv would return, else csv reads the file again and says what is wrong.
B. They are asked for numbers alone; whatever is text is left to ``reading.made``, which all readers share.
"""

import csv
import gzip
import io
import os
import re
import zlib
from collections import Counter

import numpy as np

from fastnn.table.reading import MISSING, _number, counted, made, require_unique

_SEPARATORS = "\t;|, "  # the earlier of two that fit alike: a comma is a decimal one then
_SINGLE_QUOTED = re.compile(rf"(?:^|[\n{_SEPARATORS}])'[^'\n]*'(?:[\r\n{_SEPARATORS}]|$)")
_SAMPLE = 200  # lines that dialect and header are found from
_CASES = sorted({form for word in MISSING for form in (word, word.upper(), word.capitalize(), "NaN", "NaT", "N/a")})
# What this module reads with: the first of these that is installed.
READERS = ("polars", "pandas", "csv")


def read_file(source, separator, encoding, header):
    """Return the table of a file; see ``reading.read_table``."""
    text, name, notes = _text(source, encoding)
    dialect, names, header = _layout(text, name, separator, header)
    columns = _fast_columns(text, dialect, names, header)
    if columns is None:
        columns = zip(*_csv_rows(text, dialect, names, header, name), strict=True)
    columns = (column if isinstance(column, np.ndarray) else list(column) for column in columns)
    return made(zip(names, columns, strict=True), name, notes, comma=dialect["delimiter"] != ",")


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
        return data.removeprefix("\ufeff").lstrip("\r\n"), name, []
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"read_table: {name}: the compressed file is damaged: {error}") from None
    notes = []
    if encoding is None:
        encoding = _encoding(data)
        if encoding in ("cp1252", "latin-1"):
            notes = [f"{name} is not UTF-8 and was read as {encoding}; pass encoding= if its letters look wrong"]
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
    return text.removeprefix("\ufeff").lstrip("\r\n"), name, notes


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
    columns = [
        [row[i] for row in below if i < len(row) and row[i].strip().lower() not in MISSING] for i in range(len(first))
    ]
    for cell, column in zip(first, columns, strict=True):
        if column and all(map(_is_number, column)) and not _is_number(cell) and cell.strip().lower() not in MISSING:
            return True
    if any(map(_is_number, first)):
        return False
    return not all(cell in column for cell, column in zip(first, columns, strict=True))


def _is_number(cell):
    return _number(cell.strip(), True) is not None and cell.strip().lower() not in MISSING


def _csv_rows(text, dialect, names, header, name):
    """Return the rows below the header as lists of texts, by the standard library's reader."""
    reader = csv.reader(io.StringIO(text, newline=""), **dialect)
    rows, width = [], len(names)
    try:
        for row in reader:
            if len(row) == width:
                rows.append(row)
            elif any(cell.strip() for cell in row):
                expected = "the header" if header else "the first line"
                raise ValueError(
                    f"read_table: {name}, line {reader.line_num} has {counted(len(row), 'field')} but {expected} has {width}; "
                    "mend the line, or quote fields that hold the separator"
                )
    except csv.Error as error:
        raise ValueError(f"read_table: {name}, line {reader.line_num}: {error}") from None
    return rows[header:]


def _fast_columns(text, dialect, names, header):
    """Return a column (array or list) per name, as polars or pandas read it; None where csv has to."""
    mark, quote = dialect["delimiter"], dialect["quotechar"]
    if (
        len(names) == 1 or f"{mark} {quote}" in text
    ):  # to them an empty line would be a row, and a quote after a space text
        return None
    columns = None
    for reader in READERS:
        try:
            if reader != "csv":
                columns = (_by_polars if reader == "polars" else _by_pandas)(text, mark, quote, header)
            break
        except ImportError:
            continue
        except Exception:  # theirs are of many kinds; csv reads the file, or says what is wrong with it
            return None
    fits = columns is not None and len(columns) == len(names)
    return columns if fits and _whole(columns[-1], text, dialect, names, header) else None


def _whole(last, text, dialect, names, header):
    """Return whether no line was too short: such a line has no value in the last column."""
    if None not in last if isinstance(last, list) else last.dtype.kind != "f" or not np.isnan(last).any():
        return True
    widths = [len(row) for row in csv.reader(io.StringIO(text, newline=""), **dialect)]
    return len(widths) - header == len(last) and set(widths) == {len(names)}


def _by_polars(text, mark, quote, header):
    import polars

    options = {
        "separator": mark, "quote_char": quote, "has_header": bool(header), "null_values": _CASES, "infer_schema_length": None,
        "truncate_ragged_lines": False,
    }  # fmt: skip
    data = text.encode()
    frame = polars.read_csv(data, **options)
    booleans = [i for i, dtype in enumerate(frame.dtypes) if dtype == polars.Boolean]
    words = dict.fromkeys((frame.columns[i] for i in booleans), polars.String)
    spelled = polars.read_csv(data, columns=booleans, schema_overrides=words, **options) if booleans else None
    columns = []
    for i in range(frame.width):
        series = spelled.to_series(booleans.index(i)) if i in booleans else frame.to_series(i)
        if series.dtype.is_numeric():
            series = series.cast(float) if series.null_count() else series
            columns.append(series.to_numpy())
        else:
            columns.append(series.cast(polars.String).to_list())
    return columns


def _by_pandas(text, mark, quote, header):
    import pandas

    options = {
        "sep": mark, "quotechar": quote, "header": 0 if header else None, "na_values": _CASES, "keep_default_na": False,
        "skipinitialspace": True, "low_memory": False,
    }  # fmt: skip
    frame = pandas.read_csv(io.StringIO(text), **options)
    if not isinstance(frame.index, pandas.RangeIndex):  # each line has a field more than the header
        return None
    inferred = [pandas.api.types.infer_dtype(frame.iloc[:, i], skipna=True) for i in range(frame.shape[1])]
    booleans = [i for i, kind in enumerate(inferred) if kind == "boolean"]
    spelled = pandas.read_csv(io.StringIO(text), usecols=booleans, dtype=str, **options) if booleans else None
    columns = []
    for i in range(frame.shape[1]):
        series = spelled.iloc[:, booleans.index(i)] if i in booleans else frame.iloc[:, i]
        if series.dtype.kind in "iuf":
            columns.append(series.to_numpy())
        else:
            texts, empty = series.tolist(), series.isna().tolist()
            columns.append([None if missing else str(value) for value, missing in zip(texts, empty, strict=True)])
    return columns
