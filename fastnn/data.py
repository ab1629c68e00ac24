"""What may be trained on: rows, targets, weights, splits. Every check of ``fit`` that looks at data, before the first step.

Design
A. Arrays stay as they came: what is converted is a minibatch, at its step. So a memory-mapped file is read piece by piece, and a table
   of bytes or float64 never exists a second time.
B. Checks read pieces of ``_PIECE`` elements, for the same reason.
"""

import dataclasses

import numpy as np

from fastnn._fastnn_core import is_rows

_PIECE = 1 << 20


# ------------------------------------------------------------------------------------------------------------------- rows


def as_rows(x, func, name):
    """Return x as an array of real numbers with one row per sample.

    Parameters
    ----------
    x : array_like
        Anything with ``__array__`` or, on the CPU, ``__dlpack__``; nested lists. Nothing is converted or copied that is an array already.
    func, name : str
        For the message: the function and its argument.

    Raises
    ------
    TypeError
        For what holds no real numbers of at most 64 bits, by the name of its type: sparse matrices, iterators, data loaders, text.
    ValueError
        For a scalar, and for rows of unequal length.
    """
    kind = type(x)
    if is_rows(x):
        return x
    if kind is not np.ndarray:
        try:
            only_dlpack = hasattr(x, "__dlpack__") and not hasattr(x, "__array__")
            x = np.from_dlpack(x) if only_dlpack else np.asarray(x)
        except ValueError as error:
            raise ValueError(f"{func}: {name} is a {kind.__name__} of rows of unequal length ({error})") from None
        except (BufferError, RuntimeError, TypeError) as error:  # a tensor on another device, or of a dtype NumPy lacks
            raise TypeError(f"{func}: {name} cannot be read as an array: {error}") from None
    if x.dtype.kind == "O" and kind is not np.ndarray and not issubclass(kind, (list, tuple)):
        full_name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(f"{func}: {name} is a {full_name} but {_hint(kind)}")
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        raise TypeError(f"{func}: {name} has dtype {x.dtype} but real numbers of at most 64 bits were expected")
    if x.ndim == 0:
        raise ValueError(f"{func}: {name} is a scalar but one row per sample was expected")
    return x


def _hint(kind):
    if hasattr(kind, "toarray"):
        return "a dense array was expected: pass its .toarray()"
    if hasattr(kind, "__array__"):
        return "an array of numbers was expected: convert its columns to numbers first"
    if hasattr(kind, "__iter__") or hasattr(kind, "__getitem__"):
        return "an array of all rows was expected: collect its rows first, or call step for each of its minibatches"
    return "an array of numbers was expected"


def as_pair(x, y, func, x_name="x", y_name="y"):
    """Return inputs and targets as arrays of equally many rows."""
    x, y = as_rows(x, func, x_name), as_rows(y, func, y_name)
    if len(x) != len(y):
        raise ValueError(f"{func}: {x_name} has {len(x)} rows but {y_name} has {len(y)}")
    return x, y


def require_fit(out, rows, output):
    """Raise ValueError where out, unless None, is not an array for so many rows like those of an output."""
    shape = (rows, *output.shape[1:])
    if out is not None and (out.shape != shape or out.dtype != output.dtype):
        raise ValueError(f"predict: out is {out.dtype} {out.shape} but {output.dtype} {shape} was expected")


def pieces(array):
    """Yield (number of the first row, rows) of about ``_PIECE`` elements each."""
    step = max(1, _PIECE // max(1, array[:1].size))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def place(row, *column):
    """Return "row 3, column 2" for an index of an array."""
    return f"row {row}" + (f", column {column[0] if len(column) == 1 else column}" if column else "")


def require_finite(array, dtype, func, name):
    """Raise ValueError for a NaN or infinity in array, or a number that dtype cannot hold, by row and column."""
    if array.dtype.kind != "f":
        return
    for start, rows in pieces(array):
        with np.errstate(over="ignore"):
            finite = np.isfinite(rows.astype(dtype, copy=False) if rows.dtype.itemsize > dtype.itemsize else rows)
        if not finite.all():
            row, *column = (int(i) for i in np.argwhere(~finite)[0])
            value = rows[(row, *column)]
            unfit = f", too large for {dtype.name}" if np.isfinite(value) else ""
            raise ValueError(
                f"{func}: {name} is {value} at {place(start + row, *column)}{unfit}; finite numbers were expected"
            )


def require_labels(y, classes, ignore_index, func, name):
    """Raise IndexError for the first label of y that is neither in [0, classes) nor ignore_index, by its row."""
    for start, labels in pieces(y.reshape(-1)):
        bad = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
        if bad.any():
            row = int(bad.argmax())
            raise IndexError(
                f"{func}: {name}[{start + row}] is {labels[row]} but a label in [0, {classes}) or ignore_index ({ignore_index}) "
                "was expected"
            )


def require_targets(y, dtype, first_refused, expected, func, name):
    """Raise ValueError for the first number of y that is no target, by row and column.

    Parameters
    ----------
    y : ndarray
    dtype : dtype
        In which targets are read.
    first_refused : callable
        Takes some rows of that dtype, and returns the indices of the first of their numbers that is no target, or None.
    expected, func, name : str
        For the message.
    """
    for start, rows in pieces(y):
        index = first_refused(rows.astype(dtype, copy=False))
        if index is not None:
            row, *column = index
            raise ValueError(
                f"{func}: {name} is {rows[index]} at {place(start + row, *column)} but {expected} was expected"
            )


# ---------------------------------------------------------------------------------------------------------------- weights


def as_weights(weight, rows, func, name="sample_weight", y_name="y"):
    """Return a weight per row as float64, shape (rows,), or None for None; each finite and not negative."""
    if weight is None:
        return None
    weight = as_rows(weight, func, name)
    if weight.shape[1:] not in ((), (1,)):
        raise ValueError(f"{func}: {name} has shape {weight.shape} but one weight per row, ({rows},), was expected")
    if len(weight) != rows:
        raise ValueError(f"{func}: {name} has {len(weight)} rows but {y_name} has {rows}")
    weight = weight.reshape(-1).astype(np.float64, copy=False)
    bad = ~((weight >= 0) & (weight < np.inf))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{func}: {name}[{row}] is {weight[row]} but a finite, non-negative weight was expected")
    return weight


def balanced_weights(y, *weights):
    """Return a dict from label to rows / (labels * rows of that label): all labels weigh the same, and a row weighs 1 in the mean.

    Parameters
    ----------
    y : ndarray of int
    *weights : ndarray of float64, shape (rows,), or None
        Rows where one of them is 0 count nothing. All others count alike, as in scikit-learn's ``compute_class_weight``.
    """
    labels = y.reshape(-1)
    counting = np.ones(len(labels), bool)
    for weight in weights:
        if weight is not None:
            counting &= weight != 0
    labels, counts = np.unique(labels[counting], return_counts=True)
    return {int(label): counts.sum() / (len(labels) * count) for label, count in zip(labels, counts, strict=True)}


def label_weights(class_weight, y, classes, func):
    """Return the weight of each row's label as float64, shape (rows,); 1 for labels that class_weight does not name.

    Parameters
    ----------
    class_weight : dict or array_like
        From label to weight; a sequence has one for each class.
    y : ndarray of int
        Labels outside [0, classes), which the loss ignores, weigh 1.
    classes : int or None
        None where the loss does not tell: up to the largest label.
    func : str
        For the message.
    """
    classes = max(int(y.max()) + 1, 0) if classes is None else classes
    if isinstance(class_weight, dict):
        unknown = [key for key in class_weight if isinstance(key, (str, bytes)) or key not in range(classes)]
        if unknown:
            raise ValueError(
                f"{func}: class_weight has the key {unknown[0]!r}, which is no label; integers in [0, {classes}) were expected"
            )
        by_label = [class_weight.get(label, 1.0) for label in range(classes)]
    else:
        by_label = class_weight
        if isinstance(class_weight, str) or np.ndim(class_weight) == 0:
            raise ValueError(
                f"{func}: class_weight is {class_weight!r} but 'balanced', a dict from label to weight, or a weight per class, was expected"
            )
        if len(as_rows(by_label, func, "class_weight")) != classes:
            raise ValueError(f"{func}: class_weight has {len(by_label)} weights but there are {classes} classes")
    by_label = as_weights(by_label, classes, func, "class_weight")
    labels = y.reshape(-1)
    known = (labels >= 0) & (labels < classes)
    return np.where(known, by_label[np.where(known, labels, 0)], 1.0)


# --------------------------------------------------------------------------------------------------------------- training


def as_validation(validation_data):
    """Return validation_data as a tuple (x, y, sample_weight or None) of arrays."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        given = type(validation_data).__name__
        if isinstance(validation_data, (tuple, list)):
            given += f" of {len(validation_data)}"
        raise ValueError(f"fit: validation_data is {given} but (x, y) or (x, y, sample_weight) was expected")
    x, y = as_pair(*validation_data[:2], "fit", "validation x", "validation y")
    if len(x) == 0:
        raise ValueError("fit: validation x has no rows")
    weight = validation_data[2] if len(validation_data) == 3 else None
    return x, y, as_weights(weight, len(x), "fit", "validation sample_weight", "validation y")


def kept_rows(rows, share):
    """Return how many of the first rows to train on where the last ``share`` of them is held out."""
    if not 0 <= share < 1:
        raise ValueError(f"fit: validation_split is {share} but a share in [0, 1) was expected")
    kept = rows - round(rows * share)
    if share and not 0 < kept < rows:
        side = "train on" if kept == 0 else "validate on"
        raise ValueError(f"fit: validation_split={share} of {rows} rows leaves no row to {side}")
    return kept


def count_rows(rows, given, own):
    """Return how many rows have weights other than 0, given and of the loss itself; None means 1 each."""
    if given is None or own is None:
        weight = own if given is None else given
        return rows if weight is None else int(np.count_nonzero(weight))
    return int(np.count_nonzero(given * own))


@dataclasses.dataclass(eq=False, repr=False)  # methods that nobody calls would be compiled at import
class Mixup:
    """Mixes each row of a minibatch with another of it (Zhang et al., 2018); labels become probabilities.

    The mixture is ``share`` of the row and ``1 - share`` of the other, with one share of the distribution Beta(alpha, alpha) for the
    minibatch. A row's weight counts for its own part of the mixture's target, so a row that weighs nothing, or whose label is ignored,
    adds nothing to one.

    Attributes
    ----------
    alpha : float
    classes : int or None
        How many there are, for labels; None for targets that are numbers or probabilities.
    ignore_index : int or None
    """

    alpha: float
    classes: int | None = None
    ignore_index: int | None = None

    def mix(self, x, y, weight, rng):
        """Return inputs, targets and weights, of which the latter may be None, of the mixed rows.

        Parameters
        ----------
        x, y : ndarray
        weight : ndarray of float64, shape (rows,), or None
        rng : fastnn.random.Philox
        """
        share = rng.beta(self.alpha, self.alpha)
        other = rng.uniform(size=len(x)).argsort(kind="stable")
        weighs = np.ones(len(x)) if weight is None else weight
        if self.classes is not None:
            labels = y.reshape(-1)
            counted = labels != self.ignore_index
            weighs = weighs * counted
            y = np.where(counted, labels, 0)[:, None] == np.arange(self.classes)
        x = x.astype(np.result_type(x, np.float32), copy=False)
        mixed = (share * weighs, (1 - share) * weighs[other])
        total = mixed[0] + mixed[1]
        parts = (part / np.where(total > 0, total, 1.0) for part in mixed)
        column = (len(x),) + (1,) * (y.ndim - 1)
        y = sum(part.reshape(column) * rows for part, rows in zip(parts, (y, y[other]), strict=True))
        x = x.dtype.type(share) * x + x.dtype.type(1 - share) * x[other]
        return x, y, None if weight is None and (weighs == 1).all() else total

    def minibatches(self, minibatches, rng):
        """Yield the minibatches of ``TrainingRows.minibatches``, mixed. Mixing keeps the sum of the weights, and so how many rows count."""
        for x, y, weight, counting in minibatches:
            yield *self.mix(x, y, weight, rng), counting


@dataclasses.dataclass(eq=False, repr=False)  # methods that nobody calls would be compiled at import
class TrainingRows:
    """Inputs, targets and weights of all rows, and minibatches of them.

    Attributes
    ----------
    x, y : ndarray
    weight : ndarray of float64, shape (rows,), or None
        What the loss is given, so scaled that the mean of all weights over the rows that count is 1. None means 1 each.
    counts : ndarray of bool, shape (rows,), or None
        Rows whose weight is not 0 and whose label is not ignored. None means every row.
    mixup : Mixup or None
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None
    counts: np.ndarray | None = None
    mixup: Mixup | None = None

    @classmethod
    def weighted(cls, x, y, given, own, mixup=None):
        """Scale the weights; see the class.

        Parameters
        ----------
        x, y : ndarray
        given : ndarray, shape (rows,), or None
            Sample weight times class weight of the caller.
        own : ndarray, shape (rows,), or None
            The weight the loss itself gives each row; it stays with the loss.
        mixup : Mixup or None
        """
        if given is None and own is None:
            return cls(x, y, mixup=mixup)
        given = np.ones(len(x)) if given is None else given
        total = given if own is None else given * own
        counts = total != 0
        number = np.count_nonzero(counts)
        if number == 0:
            raise ValueError("fit: no row counts: each has a weight of 0 or an ignored label")
        largest = total.max()  # first divided by it, weights near the limits of float64 have a finite sum
        given = given / largest * (number / (total / largest).sum())
        return cls(x, y, None if (given == 1).all() else given, None if number == len(x) else counts, mixup)

    def starts(self, batch_size, least=1):
        """Return the rows at which minibatches start, and at last the number of rows, int64.

        A last minibatch of fewer than ``least`` rows joins the one before.
        """
        rows = len(self.x)
        starts = np.arange(0, rows, batch_size, np.int64)
        if len(starts) > 1 and rows - starts[-1] < least:
            starts = starts[:-1]
        return np.append(starts, rows)

    def counting(self, starts, order=None):
        """Return how many rows count in each of the minibatches between ``starts``, as float64."""
        if self.counts is None:
            return np.diff(starts).astype(np.float64)
        counts = self.counts if order is None else self.counts[order]
        return np.add.reduceat(counts, starts[:-1], dtype=np.float64)

    def minibatch(self, rows, order=None):
        """Return (x, y, weight or None, rows that count) of a slice of rows, in the given order of rows."""
        if order is not None:
            rows = order[rows]
        x = self.x[rows]
        counting = len(x) if self.counts is None else int(np.count_nonzero(self.counts[rows]))
        return x, self.y[rows], None if self.weight is None else self.weight[rows], counting

    def minibatches(self, batch_size, order=None, least=1):
        """Yield each minibatch; see ``starts`` and ``minibatch``."""
        starts = self.starts(batch_size, least).tolist()
        for start, stop in zip(starts, starts[1:], strict=False):
            yield self.minibatch(slice(start, stop), order)
