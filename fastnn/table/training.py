"""From a table to a model of it."""

import sys
import warnings

import numpy as np

from fastnn.layers.base import as_integer
from fastnn.preprocessing import Preprocessing
from fastnn.random import draw_seed, permutation
from fastnn.table import recipes, report
from fastnn.table.model import TableModel
from fastnn.table.reading import counted, read_table
from fastnn.table.target import Target

_FEW = 4000  # rows up to which several networks hold out parts in turn
_FOLDS = 5


def train_table(
    table, target, *, task=None, preset=recipes.DEFAULT, epochs=None, validation=None, seed=None, verbose="auto"
):
    """Train a model that predicts a column of a table from the others.

    Parameters
    ----------
    table : Table, or whatever ``read_table`` takes
    target : str
        The column to predict. Rows without a value in it are left out.
    task : {"classification", "regression"}, optional
        Recognised if None: text, booleans and integers of at most 20 values that occur three times or more in the mean are classes.
    preset : str
        The recipe.
    epochs : int, optional
        At most; the recipe's number if None.
    validation : float, optional
        Share of rows that are held out: they decide the best epoch, and how well they are predicted is told. If None a fifth, and of up to
        4,000 rows each fifth in turn, by five networks, whose mean is the prediction.
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
        For a target that is not there, names close ones; has one class; or does not fit the task; and where no column is of use.

    Warns
    -----
    UserWarning
        For rows without target, identifiers, and columns that tell the target.
    """
    lines = []

    def say(text, warning=False):
        lines.append(text)
        if warning:
            warnings.warn(text, UserWarning, stacklevel=3)
        shown = verbose if verbose != "auto" else sys.stderr is not None and sys.stderr.isatty()
        if shown and not warning:
            print(text, file=sys.stderr)

    return train(
        read_table(table),
        target,
        say,
        task=task,
        preset=preset,
        epochs=epochs,
        validation=validation,
        seed=seed,
        verbose=verbose,
    )


def train(
    table, name, say, *, task=None, preset=recipes.DEFAULT, epochs=None, validation=None, seed=None, verbose="auto"
):
    """Do what ``train_table`` does; ``say`` is told texts, and with ``warning=True`` what may be wrong."""
    if preset not in recipes.PRESETS:
        raise ValueError(f"train_table: preset is {preset!r} but one of {', '.join(recipes.PRESETS)} was expected")
    seed = draw_seed() if seed is None else as_integer(seed, "train_table", "seed", 0, 2**64 - 1)
    column = table[name]
    target = Target.of(column, task, table.source)
    y = target.encode(column, "train_table")
    rows = target.known(y)
    if rows.size < 2:
        raise ValueError(
            f"train_table: {table.source} has {counted(rows.size, 'row')} with a value of {name!r} but two or more were expected"
        )
    y = y[rows]
    features = table.without(name)
    folds = _folds(y if target.task == "classification" else None, len(rows), validation, seed)
    if len(folds) == 1:  # the rows to train on come first, so that either part is a view
        order = np.concatenate([np.setdiff1d(np.arange(len(rows)), folds[0]), folds[0]])
        rows, y, folds = rows[order], y[order], [np.arange(len(rows) - len(folds[0]), len(rows))]
    fitted_on = rows[: len(rows) - len(folds[0])] if len(folds) == 1 else rows
    preprocessing = Preprocessing().fit(features, rows=fitted_on)
    for text in _doubts(table, target, features, preprocessing, rows, y):
        say(text, warning=True)
    say(report.understood(table, target, y, preprocessing, folds))
    if target.task == "regression":
        target.standardise(y[: len(fitted_on)])
        t = ((y - target.center) / target.scale).astype(np.float32)[:, None]
    fitted = recipes.fit(
        preprocessing.transform(features, rows=rows), y if target.task == "classification" else t, preprocessing.layout, task=target.task,
        outputs=1 if target.classes is None else len(target.classes), preset=preset, epochs=epochs, folds=folds, seed=seed, verbose=verbose,
    )  # fmt: skip
    model = TableModel(fitted.models, preprocessing, target, preset=preset, history=fitted.history)
    model.held_out = report.result(model, fitted.outputs, y, fitted.held)
    say(report.told(model, fitted.outputs, y[fitted.held]))
    return model


def _folds(codes, rows, validation, seed):
    """Return the rows to hold out, a list of arrays of ascending numbers; each class, if there are any, is spread over them evenly."""
    order = permutation(rows, seed, 0)
    if codes is not None:
        order = order[codes[order].argsort(kind="stable")]
    if validation is None and rows <= _FEW:
        count = min(_FOLDS, rows)
        return [np.sort(order[i::count]) for i in range(count)]
    share = 0.2 if validation is None else validation
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"train_table: validation is {validation!r} but a share between 0 and 1 was expected")
    if codes is None:
        return [np.sort(order[: min(rows - 1, max(1, round(rows * share)))])]
    held = []
    for label in np.unique(codes):
        of_class = order[codes[order] == label]
        held.append(of_class[: min(round(len(of_class) * share), len(of_class) - 1)])
    held = np.sort(np.concatenate(held))
    return [held if held.size else order[:1]]


def _doubts(table, target, features, preprocessing, rows, y):
    """Yield what may be wrong with a table, a line each."""
    left_out = len(table) - len(rows)
    if left_out:
        yield f"{counted(left_out, 'row')} of {len(table):,} without a value of {target.name!r} left out"
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
