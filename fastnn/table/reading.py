"""Tables: columns of numbers, categories, booleans and dates, made of arrays, data frames and CSV files.

Design
A. A column of texts, wherever it comes from, becomes what ``texts.meant`` says, by its distinct texts alone, so that all readers agree.
B. ``files.py`` reads files; here nothing is opened.
C. A column of numbers is the array that was given, or a view of it: a table of a large array takes no memory.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from fastnn.table import texts as spelling

_STRAY = 0.05  # a column of numbers may have texts in this share of its cells at most, which then count as missing
EXACT = 2**53  # float64 holds all integers up to here


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    kind : {"number", "category", "boolean", "date"}
    values : ndarray, shape (rows,)
        Numbers of any real dtype, NaN where missing; codes of categories, -1 where missing; booleans as 0, 1 and NaN; dates as seconds
        since 1970 (UTC), float64, NaN where missing.
    categories : tuple of str, or None
        Of a category; of a boolean that was text the words for 0 and 1.
    form : str or None
        How texts of numbers or dates were written; see ``texts``.
    """

    name: str
    kind: str
    values: np.ndarray
    categories: tuple | None = None
    form: str | None = None

    def missing(self, rows=slice(None)):
        """Return where these rows have no value, as an array of bool."""
        values = self.values[rows]
        if self.kind == "category":
            return values < 0
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)

    def labels(self):
        """Return what the values of a category or a boolean stand for, as plain values by code."""
        if self.categories is not None:
            return self.categories
        return (False, True)

    def first_other(self, kind):
        """Return the row of the first text that has no value of a kind; where all have, or it is no text, of the first value."""
        given = ~self.missing()
        for comma in (True, False) if self.kind == "category" else ():
            others = [not spelling.has_value(word, kind, comma) for word in self.categories]
            if any(others):
                return int((np.array(others)[self.values] & given).argmax())
        return int(given.argmax())

    def text(self, row):
        """Return a value as one would write it."""
        value = self.values[row]
        if self.missing([row])[0]:
            return ""
        if self.kind == "date":
            return str(np.datetime64(int(value), "s"))
        return str(self.labels()[int(value)]) if self.kind != "number" else as_text(value)


def as_text(number):
    """Return a number as one would write it: integers without a point."""
    if isinstance(number, (int, np.integer)):
        return str(number)
    number = float(number)
    return str(int(number)) if number.is_integer() else repr(number)


class Table:
    """Columns of one length, in order; ``read_table`` makes one.

    Parameters
    ----------
    columns : sequence of Column
    source : str
        For messages: the name of a file or "the table".
    notes : sequence of str
        What whoever uses the table should know about how it was read.
    """

    def __init__(self, columns, source="the table", notes=()):
        self.columns, self.source, self.notes = tuple(columns), source, tuple(notes)
        self._by_name = {column.name: column for column in self.columns}
        if len(self._by_name) < len(self.columns):
            require_unique([column.name for column in self.columns], source)
        for column in self.columns:
            if len(column.values) != len(self):
                raise ValueError(
                    f"read_table: column {column.name!r} has {len(column.values)} rows but {self.columns[0].name!r} has {len(self)}"
                )

    def __len__(self):
        return len(self.columns[0].values) if self.columns else 0

    def __repr__(self):
        return f"<Table of {counted(len(self), 'row')}: {self.kinds()}>"

    def kinds(self):
        """Return how many columns there are of each kind, in words."""
        kinds = [column.kind for column in self.columns]
        plural = {"number": "numbers", "category": "categories", "boolean": "booleans", "date": "dates"}
        return ", ".join(
            f"{kinds.count(kind)} {kind if kinds.count(kind) == 1 else many}"
            for kind, many in plural.items()
            if kind in kinds
        )

    @property
    def names(self):
        """The names of the columns, in order."""
        return tuple(self._by_name)

    def __contains__(self, name):
        return name in self._by_name

    def __getitem__(self, name):
        if name not in self._by_name:
            raise ValueError(self.unknown(name))
        return self._by_name[name]

    def unknown(self, name):
        """Return the message that a column is not there, with the names that are close to it."""
        by_text = {str(known).lower(): known for known in self.names}
        if not self.names:
            return f"{self.source} has no column {name!r}, as it has none"
        close = [by_text[text] for text in get_close_matches(str(name).lower(), by_text)]
        shown = close or self.names[:10]
        more = "" if close or len(shown) == len(self.names) else f" and {len(self.names) - len(shown)} more"
        said = "close to it" if close else "its columns"
        return f"{self.source} has no column {name!r}; {said}: {', '.join(map(repr, shown))}{more}"

    def take(self, rows):
        """Return a table of some rows: an array of their numbers or of bool, or a slice."""
        columns = [replace(column, values=column.values[rows]) for column in self.columns]
        return Table(columns, self.source, self.notes)

    def without(self, name):
        """Return a table of the other columns."""
        self[name]
        return Table([c for c in self.columns if c.name != name], self.source, self.notes)


def counted(number, noun):
    """Return "1 row", "1,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def require_unique(names, source):
    """Raise ValueError where a name of a column stands twice."""
    seen = {}
    for i, name in enumerate(names, 1):
        if name in seen:
            raise ValueError(
                f"read_table: {source}: columns {seen[name]} and {i} are both called {name!r}; rename one of them"
            )
        seen[name] = i


def read_table(source, *, separator=None, encoding=None, header=None):
    """Return a table of a CSV file, a data frame or arrays.

    Parameters
    ----------
    source : str, path-like, open text file, DataFrame of pandas or polars, structured array, dict, 2-D array or Table
        A file may be compressed by gzip. A dict has an array for each name; the columns of a 2-D array are "x0", "x1", ...
    separator : str, optional
        Of a file; a comma, semicolon, tabulator, bar or space is recognised.
    encoding : str, optional
        Of a file; UTF-8 and UTF-16 are recognised, anything else is read as Windows-1252, which holds Latin-1's letters.
    header : bool, optional
        Whether a file's first line has the names of the columns; recognised if None. Without one they are "x0", "x1", ...

    Returns
    -------
    Table
        A text is missing where it is empty or one of NA, n/a, NaN, null, None, ?, - and their like; - is not beside +. A column of text is boolean (true and
        false, yes and no, t and f, y and n, on and off), numbers (1.5; 1,234.5 or 1 234.5; where no comma separates cells 1,5 and 1.234,5),
        dates (2024-01-31, 31.01.2024, 1/31/2024, 31-Jan-2024, Jan 31, 2024, with or without a time), or else categories, as are integers of
        which one has leading zeros. All its rows together say whether 3/2/2024 has the month first; where none does it has, and ``notes``
        says so. Up to a twentieth of the cells of a column of numbers may be other text; they count as missing, and ``notes`` says so.

    Raises
    ------
    ValueError
        For a file without rows, lines of unequal length, names that stand twice.
    OSError
        Where the file cannot be read.
    TypeError
        For another kind of source.
    """
    return read(source, {}, separator, encoding, header)


def read(source, known, separator=None, encoding=None, header=None):
    """Do what ``read_table`` does; ``known`` has kind and form, or categories, of columns that training knew, by name."""
    if isinstance(source, Table):
        return source
    if hasattr(source, "__fspath__") or isinstance(source, str) or hasattr(source, "read"):
        from fastnn.table.files import read_file

        return read_file(source, known, separator, encoding, header)
    if any(option is not None for option in (separator, encoding, header)):
        raise TypeError(
            f"read_table: separator, encoding and header are of files but source is {type(source).__name__}"
        )
    if hasattr(source, "columns") and hasattr(source, "dtypes"):
        return made(_frame_columns(source), _declared(source) | known)
    if isinstance(source, dict):
        return made(source.items(), known)
    array = (
        source if isinstance(source, np.ndarray) else np.asarray(source, object if isinstance(source, list) else None)
    )
    if array.dtype.names:
        return made(((name, array[name]) for name in array.dtype.names), known)
    if array.ndim != 2:
        raise TypeError(
            f"read_table: source is {type(source).__name__} of shape {array.shape} but the name of a file, a data frame, a dict of arrays, "
            "a structured array or a 2-D array was expected"
        )
    return made(((f"x{i}", array[:, i]) for i in range(array.shape[1])), known)


def made(named, known, source="the table", notes=(), comma=False):
    """Return the table of pairs (name, array, or list of texts); ``comma`` says that 1,5 may be a number."""
    columns, told, pointed = [], {}, {}
    for i, (name, values) in enumerate(named):
        column, told[i] = _column(str(name), values, comma, known.get(str(name), _NEW))
        columns.append(column)
        if comma and column.form == ".":
            pointed[i] = values
    if any(column.form and column.form[0] == "," for column in columns):  # so that 1.234 is a thousand and more here
        for i, values in pointed.items():
            columns[i], told[i] = _column(columns[i].name, values, comma, ("number", ",."))
    return Table(columns, source, [*notes, *filter(None, told.values())])


def _declared(frame):
    """Return the columns of a frame whose type says that they are categories, as ``read`` takes what is known."""
    types = zip(frame.columns, frame.dtypes, strict=True)
    return {
        str(name): ("category", None) for name, dtype in types if str(dtype).lower().startswith(("categor", "enum"))
    }


def _frame_columns(frame):
    """Yield (name, array or list) of a frame of pandas or polars."""
    require_unique([str(name) for name in frame.columns], "the data frame")
    polars = type(frame).__module__.partition(".")[0] == "polars"
    for i, name in enumerate(frame.columns):
        yield name, _of_polars(frame.to_series(i)) if polars else _of_pandas(frame.iloc[:, i])


def _of_polars(series):
    """Return a series of polars as an array, or as a list with None where it has no value."""
    if series.dtype.is_numeric():
        plain = series.dtype.is_float() or (series.dtype.is_integer() and not series.null_count())
        return (series if plain else series.cast(float)).to_numpy()
    if series.dtype.is_temporal() and str(series.dtype) != "Time":
        return series.to_numpy()
    return series.to_list()


def _of_pandas(series):
    """Return a series of pandas as an array, or as a list with None where it has no value."""
    kind, plain = series.dtype.kind, isinstance(series.dtype, np.dtype)
    if kind in "iufc":
        return series.to_numpy() if plain else series.to_numpy(float, na_value=np.nan)
    if kind in "mM":
        return (series if plain else series.dt.tz_convert("UTC").dt.tz_localize(None)).to_numpy()
    empty = series.isna().tolist()
    if str(series.dtype) == "category":
        series = series.astype(object).map(lambda value: as_text(value) if isinstance(value, float) else str(value))
    return [None if missing else value for value, missing in zip(series.tolist(), empty, strict=True)]


# ---------------------------------------------------------------------------------------------------------------- columns


_NEW = (None, None)  # what is known of a column that training did not know


def _column(name, values, comma, known):
    """Return the column of an array or a list, and a note about it or None."""
    if isinstance(values, (list, tuple, np.ma.MaskedArray)):
        return _of_list(name, values if isinstance(values, (list, tuple)) else values.tolist(), comma, known)
    values = np.asarray(values)
    kind = values.dtype.kind
    if values.ndim != 1:
        raise ValueError(f"read_table: column {name!r} has shape {values.shape} but one value per row was expected")
    if kind == "b":
        return Column(name, "boolean", values.astype(np.float32)), None
    if kind in "iuf":
        values = values.astype(np.float64) if values.dtype.itemsize > 8 else values
        return Column(name, "number", values), None
    if kind in "Mm":
        seconds = values.astype(f"{kind}8[us]").astype(np.int64) / 1e6
        seconds[np.isnat(values)] = np.nan
        return Column(name, "date" if kind == "M" else "number", seconds), None
    if kind in "SUOT":
        return _of_list(name, values.tolist(), comma, known)
    raise TypeError(
        f"read_table: column {name!r} has dtype {values.dtype} but real numbers, text, booleans or dates were expected"
    )


def _of_list(name, values, comma, known):
    """Return the column of a list, and a note about it or None: its own numbers and booleans, or whatever its texts are."""
    types = set(map(type, values)) - {type(None)}
    kinds = {np.dtype(one).kind if issubclass(one, (bool, int, float, np.generic)) else "O" for one in types}
    if kinds == {"b"}:
        return Column(name, "boolean", np.array([np.nan if v is None else v for v in values], np.float32)), None
    if kinds and kinds <= set("iuf"):
        numbers = np.array([np.nan if v is None else v for v in values], np.float64)
        return Column(name, "number", _exact(numbers, map(str, values))), None
    return _of_texts(name, [value if type(value) is str else _as_word(value) for value in values], comma, known)


def _exact(numbers, written):
    """Return numbers in int64 where, as they are written, they are integers that float64 does not hold, and none is missing."""
    if numbers.size and np.abs(numbers).max() >= EXACT:
        try:
            return np.array([int(one) for one in written], np.int64)
        except (ValueError, OverflowError):  # one is no integer, or none of 64 bits
            pass
    return numbers


def _as_word(value):
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _of_texts(name, texts, comma, known):
    """Return the column that texts mean, and a note about it or None."""
    distinct = {}
    codes = np.array([distinct.setdefault(text, len(distinct)) for text in texts], np.intp)
    words = [text.strip() for text in distinct]
    learned = known[1] or () if known[0] == "category" else ()
    missing = {word for word in words if spelling.is_missing(word)} - {"-" if "+" in words else None, *learned}
    given = [word for word in words if word not in missing]
    kind, form, found, doubt = spelling.meant(given, comma, known)
    doubt = doubt and f"column {name!r}: {doubt}"
    if kind == "category":
        column, note = _with_strays(name, words, missing, codes, comma, known[0])
        return (column, note) if column else (_categories(name, words, given, codes), doubt)
    values = np.array([found.get(word, np.nan) for word in words], np.float32 if kind == "boolean" else np.float64)
    if kind == "boolean":
        return Column(name, kind, values[codes], _spelled(found, form)), None
    if kind == "number":
        values = _exact(values, words)
    return Column(name, kind, values[codes], form=form), doubt


def _spelled(booleans, pair):
    """Return the words for 0 and 1; one that does not occur is made up."""
    words = {value: word for word, value in booleans.items()}
    return tuple(words.get(value, pair[value]) for value in (0, 1))


def _categories(name, words, given, codes):
    """Return the column of texts that are categories."""
    categories = sorted(set(given))
    places = {word: i for i, word in enumerate(categories)}
    return Column(
        name, "category", np.array([places.get(word, -1) for word in words], np.int32)[codes], tuple(categories)
    )


def _with_strays(name, words, missing, codes, comma, known):
    """Return the column of texts that are numbers or dates but a few, and a note about these; (None, None) where there are more."""
    given = [word for word in words if word not in missing]
    most = _STRAY * np.array([word not in missing for word in words])[codes].sum()
    for kind in (one for one in ("number", "date") if known in (None, one)):
        found = spelling.nearly_all(kind, given, comma, most)
        if not found or kind == "number" and known is None and spelling.are_codes(found):
            continue
        strays = np.array([word not in found and word not in missing for word in words])[codes]
        if strays.sum() <= most:
            row = int(strays.argmax())
            note = (
                f"column {name!r}: text among {kind}s counts as missing ({int(strays.sum())} of {len(codes):,} cells; the first is "
                f"{words[codes[row]]!r} in row {row + 1})"
            )
            return Column(name, kind, np.array([found.get(word, np.nan) for word in words])[codes]), note
    return None, None
