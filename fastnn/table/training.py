"""From a table to a model of it."""

import sys
import warnings

import numpy as np

from fastnn.layers.base import as_count, as_flag, as_integer
from fastnn.preprocessing import Preprocessing
from fastnn.random import draw_seed, permutation
from fastnn.table import recipes, report
from fastnn.table.model import TableModel
from fastnn.table.reading import counted, read
from fastnn.table.target import Target, parted
from fastnn.table.uncertainty import Head

_FEW = 4000  # rows up to which several networks hold out parts in turn
_FOLDS = 5


def train_table(
    table, target, *, task=None, preset=recipes.DEFAULT, epochs=None, validation=None, quantiles=None, variance=False, seed=None,
    verbose="auto",
):  # fmt: skip
    """Train a model that predicts a column of a table from the others.

    Parameters
    ----------
    table : Table, or whatever ``read_table`` takes
    target : str or array_like
        The column to predict, or an array of its values beside the table. Rows without a value in it are left out.
    task : {"classification", "regression"}, optional
        Recognised if None: text, booleans and integers of at most 20 values that occur three times or more in the mean are classes.
    preset : {"realmlp", "tabm", "plain"}
        The recipe: RealMLP (Holzmueller et al., 2024), an ensemble whose members share weights (TabM; Gorishniy et al., 2024), or a plain
        multilayer perceptron.
    epochs : int, optional
        At most; the recipe's number if None.
    validation : float, optional
        Share of rows that are held out: they decide the best epoch, and how well they are predicted is told. If None a fifth, and of up to
        4,000 rows each fifth in turn, by five networks, whose mean is the prediction.
    quantiles : sequence of float, optional
        For regression: predict these, such as (0.1, 0.5, 0.9), instead of the mean; they never cross.
    variance : bool
        For regression: predict a standard deviation for each row too, which ``predict(table, return_std=True)`` returns.
    seed : int, optional
        Of the split, the weights and the order; drawn if None.
    verbose : "auto", bool or 2
        Say on standard error what was understood, how training goes and what came of it; "auto" where that is a terminal; 2 with a line for
        each epoch.

    Returns
    -------
    TableModel

    Raises
    ------
    ValueError
        For a target that is not there, names close ones; has one class; or does not fit the task; where no column is of use; and for
        arguments out of range.
    TypeError
        For arguments of another type.

    Warns
    -----
    UserWarning
        For rows without target, identifiers, and columns that tell the target.
    """
    shown = verbose if verbose != "auto" else sys.stderr is not None and sys.stderr.isatty()

    def say(text, warning=False):
        if warning:
            warnings.warn(text, UserWarning, stacklevel=4)  # the caller of train_table
        elif shown:
            print(text, file=sys.stderr)

    options = {
        "task": task, "preset": preset, "epochs": epochs, "validation": validation, "quantiles": quantiles, "variance": variance,
        "seed": seed, "verbose": verbose,
    }  # fmt: skip
    return train(read(table, known_before(target, task)), target, say, **options)


def known_before(target, task):
    """Return what is known of a table before it is read, as ``reading.read`` takes it: the target of a regression is numbers."""
    return {target: ("number", None)} if task == "regression" and isinstance(target, str) else {}


def train(
    table, target, say, *, task=None, preset=recipes.DEFAULT, epochs=None, validation=None, quantiles=None, variance=False, seed=None,
    verbose="auto", compare=False,
):  # fmt: skip
    """Do what ``train_table`` does; ``say`` is told texts, with ``warning=True`` what may be wrong, and with ``compare`` how others do."""
    if preset not in recipes.PRESETS:
        raise ValueError(f"train_table: preset is {preset!r} but one of {', '.join(recipes.PRESETS)} was expected")
    epochs = None if epochs is None else as_count(epochs, "train_table", "epochs")
    variance = as_flag(variance, "train_table", "variance")
    seed = draw_seed() if seed is None else as_integer(seed, "train_table", "seed", 0, 2**64 - 1)
    column, features = parted(table, target, "train_table", ("number" if task == "regression" else None, None))
    target = Target.of(column, task, table.source)
    head = Head(target.classes and len(target.classes), quantiles=quantiles, variance=variance)
    y = target.encode(column, "train_table")
    rows = target.labelled(y)
    if rows.size < 2:
        raise ValueError(
            f"train_table: {table.source} has {counted(rows.size, 'row')} with a number in {target.name!r} but two or more were expected"
        )
    classify = target.task == "classification"
    order, folds = _folds(y[rows] if classify else None, len(rows), validation, seed)
    rows = rows[order]
    y, kept = y[rows], len(rows) - len(folds[0]) if len(folds) == 1 else len(rows)
    del order  # of a large table each array of row numbers counts
    preprocessing = Preprocessing().fit(features, rows=rows[:kept])
    say(report.understood(table, target, y, preprocessing, folds, seed))
    for text in _doubts(table, target, features, preprocessing, rows, y):
        say(text, warning=True)
    t = y if classify else target.standardise(y, kept)
    x = preprocessing.transform(features, rows=rows)
    del rows
    fitted = recipes.fit(
        x, t, preprocessing.layout, head, preset=preset, epochs=epochs, folds=folds, seed=seed, verbose=verbose
    )
    head.calibrate(fitted.outputs, t[fitted.held])
    outputs = head.tempered(fitted.outputs)
    model = TableModel(fitted.models, preprocessing, target, head, preset=preset, history=fitted.history, seed=seed)
    model.held_out = report.measured(model, outputs, y[fitted.held], y[:kept])
    say(report.result(model, outputs, y[fitted.held], model.held_out))
    if compare:
        model.held_out["compared"] = report.compared(model, x, t, y, folds)
        say(report.told(model.held_out["compared"]))
    return model


def _folds(codes, rows, validation, seed):
    """Return an order of the rows, and lists of places in it to hold out in turn, over which each class, if there are any, is spread evenly.

    Where one part alone is held out it comes last, so that either part is a view of what is in this order.
    """
    order = permutation(rows, seed, 0)
    if codes is not None:
        order = order[codes[order].argsort(kind="stable")]
    if validation is None and rows <= _FEW:
        parts = [np.sort(order[i::_FOLDS]) for i in range(min(_FOLDS, rows))]
        return np.arange(rows), parts
    share = 0.2 if validation is None else validation
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"train_table: validation is {validation!r} but a share between 0 and 1 was expected")
    classes = [order] if codes is None else [order[codes[order] == label] for label in np.unique(codes)]
    held = [of_class[: min(round(len(of_class) * share), len(of_class) - 1)] for of_class in classes]
    held = np.sort(np.concatenate(held))
    held = held if held.size else order[:1]
    kept = np.setdiff1d(np.arange(rows), held)
    return np.concatenate([kept, held]), [np.arange(len(kept), rows)]


def _doubts(table, target, features, preprocessing, rows, y):
    """Yield what may be wrong with a table, a line each."""
    left_out = len(table) - len(rows)
    if left_out:
        yield f"{counted(left_out, 'row')} of {len(table):,} without a value of {target.name!r} (empty, NA, None, ? and the like) left out"
    yield from table.notes
    yield from preprocessing.warnings
    yield from (
        f"column {name!r} left out: {why}" for name, why in preprocessing.ignored.items() if "identifier" in why
    )
    yield from (
        f"column {feature.name!r} tells the target {target.name!r} by itself: leave it out if it will not be known when predicting"
        for feature in features.columns
        if feature.name not in preprocessing.ignored and _tells(feature, rows, y, target)
    )


def _tells(feature, rows, y, target):
    """Return whether a feature is the target by another name: equal numbers, or each value goes with one class and each class with one."""
    same = _one_to_one if target.task == "classification" else np.array_equal
    sample = slice(0, 1000)  # of nearly all columns a few rows already say no
    return all(same(feature.values[rows[part]], y[part]) for part in (sample, slice(None)))


def _one_to_one(values, y):
    values, codes = (np.unique(array, return_inverse=True)[1] for array in (values, y))
    number = values.max() + 1
    return number == codes.max() + 1 > 1 and len(np.unique(values.astype(np.int64) * number + codes)) == number
