"""What makes numbers of a table's columns, learned from the rows to train on.

Design
A. The output's columns come in three groups, said by ``Layout``: scaled numbers, then 0 or 1, then codes of categories to embed. A model
   is built on the layout alone.
B. Statistics are of finite values; an infinite one is taken for the smallest or the largest finite one.
C. Columns are read one at a time and in pieces, so that beside its output a transformation takes no memory to speak of.
"""

import re
from dataclasses import dataclass

import numpy as np

from fastnn.table.reading import as_text, counted, read, read_table
from fastnn.table.texts import number

_PIECE = 65536  # rows at a time
_IDENTIFIER = re.compile(r"(?:.*[\W_])?(?:id|uuid|guid|index|key|rowid|row|nr|no)|unnamed: 0|column 1|", re.I)
_FAR = 1e6  # no scaled number is farther from 0
_LEAST = 20  # rows from which distinct values make an identifier


@dataclass(frozen=True)
class Layout:
    """The columns of a transformed table.

    Attributes
    ----------
    numeric : int
        How many scaled numbers come first.
    one_hot : int
        How many columns of 0 and 1 follow.
    embedded : tuple of int
        For each column of codes, the last ones, how many there are. Code 0 is a category not seen in training.
    """

    numeric: int
    one_hot: int
    embedded: tuple

    @property
    def width(self):
        """How many columns there are."""
        return self.numeric + self.one_hot + len(self.embedded)


class Preprocessing:
    """Makes float32 columns of a table: numbers scaled, few categories one-hot, many as codes, missing values marked and filled.

    Parameters
    ----------
    scaling : {"robust", "standard"}
        "robust": z = (x - median) / (distance of the quartiles), then z / sqrt(1 + (z / 3)^2), which lies in (-3, 3): the smooth clipping
        of RealMLP (Holzmueller et al., 2024). "standard": (x - mean) / standard deviation.
    max_one_hot : int
        A column with more categories is embedded.

    Attributes
    ----------
    layout : Layout
        Of the output.
    features : tuple of str
        The columns that are used.
    ignored : dict
        From the name of a column that is not used to why.
    warnings : list of str
        What may be wrong with columns that are used.

    Notes
    -----
    Missing numbers, dates and booleans become the median, with a column of 0 and 1 that says where, if any is missing in training; missing
    categories are a category of their own. A category not seen in training is 0 in all columns of its one-hot, or code 0; embedded
    categories with one row in training have code 0 too, so that something is learned for it.
    """

    def __init__(self, *, scaling="robust", max_one_hot=8):
        if scaling not in ("robust", "standard"):
            raise ValueError(f"Preprocessing: scaling is {scaling!r} but 'robust' or 'standard' was expected")
        if isinstance(max_one_hot, bool) or not isinstance(max_one_hot, (int, np.integer)) or max_one_hot < 0:
            raise ValueError(f"Preprocessing: max_one_hot is {max_one_hot!r} but an integer of at least 0 was expected")
        self.scaling, self.max_one_hot = scaling, int(max_one_hot)
        self._columns = None

    def __repr__(self):
        fitted = "not fitted" if self._columns is None else f"{self.layout}"
        return f"<Preprocessing scaling={self.scaling!r}, max_one_hot={self.max_one_hot}, {fitted}>"

    # --------------------------------------------------------------------------------------------------------------- fit

    def fit(self, table, *, rows=None):
        """Learn from a table of features.

        Parameters
        ----------
        table : Table, or whatever ``read_table`` takes
            Without the target.
        rows : ndarray of int, optional
            Those to learn from; all if None.

        Returns
        -------
        Preprocessing
            This one.

        Raises
        ------
        ValueError
            For no rows, and where no column is of use.
        """
        table = read_table(table)
        rows = np.arange(len(table)) if rows is None else rows
        if len(rows) == 0:
            raise ValueError(f"Preprocessing: {table.source} has no rows to learn from")
        self.ignored, self.warnings, columns = {}, [], []
        for column in table.columns:
            learned = self._learn(column, rows)
            if isinstance(learned, str):
                self.ignored[column.name] = learned
            else:
                columns.append({"name": column.name, "kind": column.kind, **learned})
        if not columns:
            reasons = "; ".join(f"{name!r}: {why}" for name, why in self.ignored.items())
            raise ValueError(
                f"Preprocessing: {table.source} has no column to learn from ({reasons or 'there is none'})"
            )
        self._columns = columns
        return self

    def _learn(self, column, rows):
        """Return what is to be kept of a column as a dict, or why it is ignored."""
        missing = column.missing(rows)
        count = len(rows) - int(missing.sum())
        if count == 0:
            return "empty"
        if column.kind == "category":
            return self._learn_categories(column, rows, count)
        values = column.values[rows]
        values = values.astype(np.float64, copy=False)
        values = values[np.isfinite(values)]
        if values.size == 0:
            return "no finite number"
        low, high = float(values.min()), float(values.max())
        marked = count < len(rows)
        if low == high and not marked:
            return f"always {as_text(low) if column.kind == 'number' else column.text(int(rows[0]))}"
        if column.kind == "number" and self._identifies(column.name, values, low, high):
            return "an identifier: each row has another"
        median = float(np.median(values))
        fill = float(median > 0.5) if column.kind == "boolean" else median
        middle, scale = self._scale(values, low, high)
        return {
            "form": column.form, "missing": marked, "low": low, "high": high, "fill": fill, "middle": middle, "scale": scale,
        }  # fmt: skip

    def _identifies(self, name, values, low, high):
        """Return whether integers are an identifier: all differ, and they are called so. Warn of others that number the rows."""
        named, numbering = _IDENTIFIER.fullmatch(name), len(values) - 1 <= high - low < 2 * len(values)
        if len(values) < _LEAST or not (named or numbering) or (values != np.floor(values)).any():
            return False
        if len(np.unique(values)) < len(values):
            return False
        if not named:
            self.warnings.append(
                f"column {name!r} numbers the rows: if it is an identifier leave it out, as new rows have other numbers"
            )
        return bool(named)

    def _scale(self, values, low, high):
        """Return middle and scale of finite numbers; a scale of 0 means that the column is constant."""
        if low == high:
            return low, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scaling == "standard":
                middle, scale = float(values.mean()), float(values.std())
            else:
                first, middle, third = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
                scale = third - first or (high - low) / 2
        if not (np.isfinite(middle) and 0 < scale < np.inf):
            return low / 2 + high / 2, high / 2 - low / 2 or high - low
        return middle, scale

    def _learn_categories(self, column, rows, count):
        codes = column.values[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(column.categories))
        seen = int((counts > 0).sum())
        missing = count < len(rows)
        if seen == 1 and not missing:
            return f"always {column.categories[int(counts.argmax())]!r}"
        if count >= _LEAST and seen > 0.9 * count:
            return f"an identifier, or free text: {counted(seen, 'value')} in {counted(count, 'row')}"
        embedded = seen > self.max_one_hot
        kept = [word for word, number in zip(column.categories, counts.tolist(), strict=True) if number > embedded]
        if not kept:
            return "no category occurs twice"
        return {"missing": missing, "categories": kept, "embedded": embedded}

    # --------------------------------------------------------------------------------------------------------- transform

    @property
    def features(self):
        """The columns that are used, in order."""
        return tuple(column["name"] for column in self._fitted())

    @property
    def known(self):
        """Kind and form, or categories, of the columns that are used, by name, as ``table.reading.read`` takes them."""
        return {
            c["name"]: (c["kind"], c["categories"] if c["kind"] == "category" else c["form"]) for c in self._fitted()
        }

    @property
    def layout(self):
        """What the output's columns are."""
        numeric, one_hot, embedded = 0, 0, []
        for column in self._fitted():
            if column["kind"] == "category":
                if column["embedded"]:
                    embedded.append(1 + len(column["categories"]) + column["missing"])
                else:
                    one_hot += len(column["categories"]) + column["missing"]
            else:
                varies = column["scale"] != 0
                numeric += varies and column["kind"] != "boolean"
                one_hot += (varies and column["kind"] == "boolean") + column["missing"]
        return Layout(numeric, one_hot, tuple(embedded))

    def _fitted(self):
        if self._columns is None:
            raise RuntimeError("Preprocessing: fit comes first")
        return self._columns

    def transform(self, table, *, rows=None):
        """Return the columns of a table as numbers.

        Parameters
        ----------
        table : Table, or whatever ``read_table`` takes
            Its columns may come in any order; those that training did not see are left out.
        rows : ndarray of int, optional
            Those to transform, in their order; all if None.

        Returns
        -------
        ndarray of float32, shape (rows, layout.width)

        Raises
        ------
        ValueError
            For a column that is missing, or has a value of another kind, by column and row.
        """
        columns, layout = self._fitted(), self.layout
        table = read(table, self.known)
        for column in columns:
            if column["name"] not in table:
                raise ValueError(f"transform: {table.unknown(column['name'])}")
        out = np.empty((len(table) if rows is None else len(rows), layout.width), np.float32)
        numeric, one_hot, embedded = 0, layout.numeric, layout.numeric + layout.one_hot
        for column in columns:
            given = table[column["name"]]
            if column["kind"] == "category":
                codes = _codes(column, given, table.source)
                if column["embedded"]:
                    out[:, embedded] = codes if rows is None else codes[rows]
                    embedded += 1
                else:
                    width = len(column["categories"]) + column["missing"]
                    for i in range(width):
                        out[:, one_hot + i] = (codes if rows is None else codes[rows]) == i + 1
                    one_hot += width
                continue
            values = _numbers(column, given, table.source)
            varies, boolean = column["scale"] != 0, column["kind"] == "boolean"
            place = None if not varies else one_hot if boolean else numeric
            self._fill(column, values, rows, out, place, one_hot + (varies and boolean))
            numeric += varies and not boolean
            one_hot += (varies and boolean) + column["missing"]
        return out

    def unknown(self, table):
        """Yield for each column with categories that were not learned, for they did not occur in training or once only, a line that says so."""
        for column in self._fitted():
            if column["kind"] != "category" or column["name"] not in table:
                continue
            given = table[column["name"]]
            strange = (_codes(column, given, table.source) == 0) & ~given.missing()
            if strange.any():
                row = int(strange.argmax())
                yield (
                    f"column {given.name!r}: {counted(int(strange.sum()), 'cell')} of {len(strange):,} with categories that the model does not "
                    f"know (the first is {given.text(row)!r} in row {row + 1})"
                )

    def _fill(self, column, values, rows, out, place, mark):
        """Write the numbers of a column, piece by piece: scaled to column ``place`` unless None, where they are missing to ``mark``."""
        for start in range(0, len(out), _PIECE):
            piece = slice(start, start + _PIECE)
            x = values[piece if rows is None else rows[piece]].astype(np.float64)
            missing = np.isnan(x)
            if column["missing"]:
                out[piece, mark] = missing
            if place is None:
                continue
            x[missing] = column["fill"]
            np.copyto(x, column["low"], where=x == -np.inf)
            np.copyto(x, column["high"], where=x == np.inf)
            if column["kind"] != "boolean":
                with np.errstate(over="ignore"):
                    x = np.clip((x - column["middle"]) / column["scale"], -_FAR, _FAR)
                if self.scaling == "robust":
                    x /= np.sqrt(1 + np.square(x / 3))
            out[piece, place] = x

    # --------------------------------------------------------------------------------------------------------------- files

    def describe(self):
        """Return everything that was learned, as JSON can hold it; ``Preprocessing.of`` takes it."""
        return {"scaling": self.scaling, "max_one_hot": self.max_one_hot, "columns": [dict(c) for c in self._fitted()]}

    @classmethod
    def of(cls, description):
        """Return the preprocessing that ``describe`` described.

        Raises
        ------
        ValueError, TypeError, KeyError
            For anything that ``describe`` would not return.
        """
        if not isinstance(description, dict) or set(description) != {"scaling", "max_one_hot", "columns"}:
            raise ValueError("the preprocessing is not one that describe returns")
        made = cls(scaling=description["scaling"], max_one_hot=description["max_one_hot"])
        made.ignored, made.warnings = {}, []
        made._columns = [_checked(column) for column in description["columns"]]
        if not made._columns or len(set(made.features)) < len(made._columns):
            raise ValueError("the columns of the preprocessing are none, or two of one name")
        return made


_NUMBERS = ("low", "high", "fill", "middle", "scale")


def _checked(column):
    """Return the description of a column, each part of which is of the type it should be."""
    category = isinstance(column, dict) and column.get("kind") == "category"
    expected = ("categories", "embedded") if category else ("form", *_NUMBERS)
    if not isinstance(column, dict) or set(column) != {"name", "kind", "missing", *expected}:
        raise ValueError("a column of the preprocessing is not one that describe returns")
    numbers = [] if category else [column[name] for name in _NUMBERS]
    if (
        column["kind"] not in ("number", "category", "boolean", "date")
        or not isinstance(column["name"], str)
        or not isinstance(column["missing"], bool)
        or not isinstance(column.get("form"), str | None)
        or not all(isinstance(number, (int, float)) and np.isfinite(number) for number in numbers)
        or (numbers and column["scale"] < 0)
    ):
        raise ValueError(f"column {column['name']!r:.60} of the preprocessing is not what describe returns")
    if category and not (
        isinstance(column["embedded"], bool)
        and isinstance(column["categories"], list)
        and all(isinstance(word, str) for word in column["categories"])
    ):
        raise ValueError(f"the categories of column {column['name']!r:.60} are not texts")
    return column


def _refuse(column, given, row, source, expected):
    raise ValueError(
        f"transform: {source}, column {given.name!r}, row {row + 1}: {given.text(row)!r} but {expected} was expected; leave the cell empty "
        "if the value is not known"
    )


def _numbers(column, given, source):
    """Return the values of a column that training knew as numbers, dates or booleans."""
    kind = column["kind"]
    if given.kind == kind or (kind == "number" and given.kind == "boolean"):
        return given.values
    if given.missing().all():
        return np.full(len(given.values), np.nan)
    if kind == "boolean" and given.kind == "number":
        wrong = ~(given.missing() | (given.values == 0) | (given.values == 1))
        if wrong.any():
            _refuse(column, given, int(wrong.argmax()), source, "0 or 1")
        return given.values
    expected = {"number": "a number", "date": "a date", "boolean": "true or false"}[kind]
    return _refuse(column, given, given.first_other(kind), source, expected)


def _codes(column, given, source):
    """Return for each row 0 for a category not seen in training, 1 and more for the others, and the last where it is missing."""
    places = {word: i for i, word in enumerate(column["categories"], 1)}
    nothing = len(places) + 1 if column["missing"] else 0
    if given.kind in ("category", "boolean"):
        words = [places.get(str(label), 0) for label in given.labels()]
        codes = np.where(given.missing(), -1, given.values).astype(np.intp)
        return np.array([*words, nothing], np.int32)[codes]
    if given.missing().all():
        return np.full(len(given.values), nothing, np.int32)
    if given.kind == "date":
        _refuse(column, given, int((~given.missing()).argmax()), source, "a category, as in training,")
    numbers = {}
    for word, place in places.items():
        value = number(word, ".")
        numbers[value] = 0 if value in numbers else place  # written in two ways it could be either category
    distinct, codes = np.unique(given.values, return_inverse=True)
    words = [
        nothing if value != value else places.get(as_text(value), numbers.get(value, 0)) for value in distinct.tolist()
    ]
    return np.array(words, np.int32)[codes]
