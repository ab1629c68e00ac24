"""The column that is to be predicted: what task it means, its classes or its scale."""

import numpy as np

from fastnn.table.reading import EXACT, as_text, counted, read

_MOST_CLASSES = 20  # integers with more distinct values are numbers to predict, not classes
_ROWS_PER_CLASS = 3  # and so are those that occur less often in the mean


class Target:
    """What is to be predicted.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    classes : tuple or None
        Of classification: texts, integers, floats or booleans, in ascending order.
    center, scale : float
        Of regression: mean and standard deviation of the rows trained on, by which targets are standardised.
    """

    def __init__(self, name, task, classes=None, center=0.0, scale=1.0):
        self.name, self.task, self.classes, self.center, self.scale = name, task, classes, center, scale

    @property
    def known(self):
        """Kind of column and categories that texts of the target are; no kind for booleans, which may be written in several ways."""
        if self.task == "regression":
            return "number", None
        kind = {str: "category", bool: None}.get(type(self.classes[0]), "number")
        return kind, self.classes if kind == "category" else None

    @classmethod
    def of(cls, column, task, source):
        """Return the target that a column is, for the task that is said, or the one it means.

        Raises
        ------
        ValueError
            For a task that does not fit the column, and for a single class.
        """
        if task not in (None, "classification", "regression"):
            raise ValueError(f"train_table: task is {task!r} but 'classification' or 'regression' was expected")
        if column.kind == "date":
            raise ValueError(
                f"train_table: target {column.name!r} holds dates, which cannot be predicted; numbers or classes were expected"
            )
        known = np.flatnonzero(~column.missing())
        if known.size == 0:
            raise ValueError(
                f"train_table: target {column.name!r} of {source} has no value in any of its {counted(len(column.values), 'row')}"
            )
        task = task or cls._meant(column, known)
        if task == "regression":
            if column.kind == "category":
                row = column.first_other("number")
                raise ValueError(
                    f"train_table: target {column.name!r}, row {row + 1}: {column.text(row)!r} but numbers were expected for regression; "
                    "leave task to be recognised, or say classification"
                )
            return cls(column.name, task)
        target = cls(column.name, task, cls._distinct(column, known))
        if len(target.classes) < 2:
            raise ValueError(
                f"train_table: target {column.name!r} is {target.classes[0]!r} in each of {counted(known.size, 'row')} but two classes or more "
                "were expected; choose another column with --target, or add rows of another class"
            )
        return target

    @staticmethod
    def _meant(column, known):
        """Return the task that the values of a column mean."""
        if column.kind != "number":
            return "classification"
        values = column.values[known]
        if not np.isfinite(values).all() or (values != np.floor(values)).any():
            return "regression"
        distinct = len(np.unique(values))
        return "classification" if distinct <= min(_MOST_CLASSES, known.size / _ROWS_PER_CLASS) else "regression"

    @staticmethod
    def _distinct(column, known):
        """Return the classes of a column, as plain values."""
        values = np.unique(column.values[known])
        if column.kind != "number":
            labels = column.labels()
            return tuple(labels[int(code)] for code in values)
        whole = bool((np.isfinite(values) & (values == np.floor(values))).all())
        if whole and values.dtype.kind == "f" and np.abs(values).max() >= EXACT:
            raise ValueError(
                f"train_table: target {column.name!r} has classes such as {as_text(np.abs(values).max())}, which as floating-point numbers are "
                "not exact; remove the rows without a class, or write the classes as text"
            )
        return tuple(int(value) if whole else float(value) for value in values)

    def encode(self, column, func):
        """Return the targets of all rows: numbers of classes, -1 where missing; or numbers, NaN where missing or infinite.

        Raises
        ------
        ValueError
            For a value that is no class, and for text where numbers are expected, by row.
        """
        missing = column.missing()
        if self.task == "regression":
            if column.kind in ("category", "date") and not missing.all():
                row = column.first_other("number")
                raise ValueError(
                    f"{func}: target {self.name!r}, row {row + 1}: {column.text(row)!r} but a number was expected"
                )
            values = column.values.astype(np.float64)
            return np.where(missing | ~np.isfinite(values), np.nan, values)
        places = {}
        for i, label in enumerate(self.classes):
            places |= {word: i for word in _words(label)}
        distinct, codes = np.unique(np.where(missing, -1, column.values), return_inverse=True)
        labels = (
            distinct.tolist()
            if column.kind == "number"
            else [column.labels()[int(code)] if code >= 0 else None for code in distinct]
        )
        found = np.array(
            [next((places[word] for word in _words(label) if word in places), -1) for label in labels], np.int64
        )[codes]
        found[missing] = -1
        strange = (found < 0) & ~missing
        if strange.any():
            row = int(strange.argmax())
            classes = ", ".join(map(str, self.classes[:10])) + (" ..." if len(self.classes) > 10 else "")
            raise ValueError(
                f"{func}: target {self.name!r}, row {row + 1}: {column.text(row)!r} is none of the classes of the training ({classes})"
            )
        return found

    def labelled(self, codes):
        """Return the rows that have a target, of what ``encode`` returns."""
        return np.flatnonzero(codes >= 0 if self.task == "classification" else ~np.isnan(codes))

    def standardise(self, y, kept):
        """Learn centre and scale of the first ``kept`` numbers, and return all standardised, float32."""
        exponent = np.frexp(np.abs(y).max())[1]  # between -1 and 1 no square overflows, and few vanish
        y = np.ldexp(y, -exponent)
        center, scale = float(y[:kept].mean()), float(y[:kept].std()) or 1.0
        self.center, self.scale = (float(np.ldexp(number, exponent)) for number in (center, scale))
        return ((y - center) / scale).astype(np.float32)

    def labels(self, codes):
        """Return the classes of their numbers, as an array."""
        return np.array(self.classes)[codes]

    def describe(self):
        """Return the target as JSON can hold it."""
        return {
            "name": self.name,
            "task": self.task,
            "classes": self.classes and list(self.classes),
            "center": self.center,
            "scale": self.scale,
        }

    @classmethod
    def made(cls, description):
        """Return what ``describe`` described.

        Raises
        ------
        ValueError, TypeError
            For anything else.
        """
        if not isinstance(description, dict) or set(description) != {"name", "task", "classes", "center", "scale"}:
            raise ValueError("the target is not one that describe returns")
        classes, task = description["classes"], description["task"]
        known = isinstance(classes, list) and len({str(one) for one in classes}) == len(classes) > 1
        known = known and all(type(one) in (str, int, float, bool) for one in classes)
        numbers = [description[name] for name in ("center", "scale")]
        fits = known if task == "classification" else task == "regression" and classes is None
        if (
            not fits
            or not isinstance(description["name"], str)
            or not all(type(n) in (int, float) and np.isfinite(n) for n in numbers)
        ):
            raise ValueError("the target is not one that describe returns")
        return cls(**{**description, "classes": None if classes is None else tuple(classes)})


def _words(label):
    """Return the ways a class may be written."""
    if label is None:
        return ()
    if isinstance(label, bool):
        return (str(label).lower(), str(label), "1" if label else "0")
    return (label,) if isinstance(label, str) else (as_text(label),)


def parted(table, target, func, known=(None, None)):
    """Return the column to predict, whose kind and categories may be known, and the table of the others."""
    if isinstance(target, str):
        return table[target], table.without(target)
    values = target if hasattr(target, "dtype") else np.asarray(target)
    if np.ndim(values) == 0:
        raise TypeError(
            f"{func}: target is {target!r} but the name of a column, or an array of its values, was expected"
        )
    column = read({"target": values}, {"target": known})["target"]
    if len(column.values) != len(table):
        raise ValueError(
            f"{func}: target has {counted(len(column.values), 'row')} but {table.source} has {len(table):,}"
        )
    return column, table
