"""What was learned from a table: networks, the preprocessing they expect, and what their outputs mean."""

import numpy as np

from fastnn import metrics
from fastnn.preprocessing import Preprocessing
from fastnn.serialization import as_path, construct, describe, parse, write
from fastnn.table import recipes
from fastnn.table.reading import counted, read
from fastnn.table.target import Target, parted
from fastnn.table.uncertainty import Head

_VERSION = 1  # of the table in a file
_KEYS = {"version", "preset", "target", "preprocessing", "head"}


class TableModel:
    """Predicts a column of tables from other columns; ``train_table`` makes it, ``save`` and ``fastnn.load`` keep it.

    Tables may be anything that ``read_table`` takes. Their columns may come in any order; the target may be among them or not. Texts of files,
    frames and arrays are read as those of the training were; a ``Table`` has been read already, by itself.

    Attributes
    ----------
    target : str
        The column that is predicted.
    task : {"classification", "regression"}
    classes : tuple or None
        Of classification, in the order of the columns of ``predict_proba``.
    features : tuple of str
        The columns that are needed.
    preset : str
        The recipe that was trained.
    models : list of Sequential
        Whose mean is the prediction.
    preprocessing : Preprocessing
    head : Head
        What outputs of the networks mean, and what rows held out told about how sure they are.
    history : History or None
        Of the training, of several the first; None of a model that was loaded.
    held_out : dict or None
        How well the rows held out were predicted, and the baseline; None of a model that was loaded.
    seed : int or None
        Of the training; None of a model that was loaded.
    """

    def __init__(self, models, preprocessing, target, head, *, preset, history=None, seed=None):
        self.models, self.preprocessing, self._target, self.head = list(models), preprocessing, target, head
        self.preset, self.history, self.held_out, self.seed = preset, history, None, seed

    def __repr__(self):
        return f"<TableModel of {self.target!r}: {self.task} by {counted(len(self.features), 'column')}, preset {self.preset!r}>"

    @property
    def target(self):
        """The column that is predicted."""
        return self._target.name

    @property
    def task(self):
        """Classification or regression."""
        return self._target.task

    @property
    def classes(self):
        """The classes, or None."""
        return self._target.classes

    @property
    def features(self):
        """The columns that are needed."""
        return self.preprocessing.features

    @property
    def known(self):
        """Kind and form, or categories, of the target and the columns that are needed, by name: texts of a new table are read so."""
        return {self.target: self._target.known} | self.preprocessing.known

    def _outputs(self, table, rows=None):
        """Return what the networks say together."""
        return self.head.combined(recipes.outputs(self.models, self.preprocessing.transform(table, rows=rows)))

    def predict(self, table, *, interval=None, return_std=False):
        """Predict the target.

        Parameters
        ----------
        table : Table, or whatever ``read_table`` takes
        interval : float, optional
            For regression: also return low and high ends between which the target lies with this probability, such as 0.9, in the
            mean over rows like those of the training, whatever their distribution (conformal prediction).
        return_std : bool
            For a model trained with ``variance``: also return the standard deviation of the target.

        Returns
        -------
        prediction : ndarray, shape (rows,) or (rows, quantiles)
            Classes, or numbers in the target's units: means, or the quantiles that were trained.
        bounds : ndarray, shape (rows, 2)
            Where ``interval`` is given.
        std : ndarray, shape (rows,)
            Where ``return_std`` is given.

        Raises
        ------
        ValueError
            For a column that is missing, or has a value of another kind, by column and row; and for an interval, or a standard
            deviation, that the model does not know.
        """
        head = self.head
        if return_std and not head.variance:
            raise ValueError("predict: return_std needs a model of both, trained with variance=True")
        output = self._outputs(read(table, self.known))
        predicted = self.decided(output) if head.quantiles is None else self._in_units(output)
        extra = () if interval is None else (self._in_units(head.bounds(output, interval)),)
        extra += (np.exp(output[:, 1] / 2) * self._target.scale,) if return_std else ()
        return (predicted, *extra) if extra else predicted

    def _in_units(self, numbers):
        return numbers * self._target.scale + self._target.center

    def decided(self, output):
        """Return the one prediction of each row that outputs of the networks mean: of several quantiles that nearest to the median."""
        if self.task == "classification":
            return self._target.labels(output.argmax(axis=1))
        return self._in_units(self.head.point(output))

    def predict_proba(self, table):
        """Return the probability of each class.

        Parameters
        ----------
        table : Table, or whatever ``read_table`` takes

        Returns
        -------
        ndarray of float64, shape (rows, classes)

        Raises
        ------
        ValueError
            As ``predict``, and for regression.
        """
        if self.task != "classification":
            raise ValueError(f"predict_proba: {self.target!r} is a number, which has no probabilities; use predict")
        return self._outputs(read(table, self.known))

    def evaluate(self, table, target=None):
        """Compare predictions with the target; rows without one are left out.

        Parameters
        ----------
        table : Table, or whatever ``read_table`` takes
        target : array_like, optional
            Beside the table; its column of the name ``target`` if None.

        Returns
        -------
        dict
            ``{"loss": mean of -log(probability of the class), "accuracy": share of rows that are right}``, or ``{"r2": ..., "rmse": ...}``.

        Raises
        ------
        ValueError
            As ``predict``, and where the target is missing or holds what is no class.
        """
        return self.measured(*self.outputs_and_target(read(table, self.known), target))

    def outputs_and_target(self, table, target=None):
        """Return the networks' outputs and the targets of the rows that have one."""
        column, _ = parted(table, self.target if target is None else target, "evaluate", self._target.known)
        y = self._target.encode(column, "evaluate")
        rows = self._target.labelled(y)
        if rows.size == 0:
            raise ValueError(f"evaluate: {table.source} has no row with a value of {self.target!r}")
        return self._outputs(table, rows), y[rows]

    def measured(self, output, y):
        """Return the metrics of outputs and targets, as ``evaluate`` does."""
        if self.task == "classification":
            return {"loss": metrics.log_loss(output, y), "accuracy": metrics.accuracy(output, y)}
        predicted = self.decided(output)
        return {"r2": metrics.r2(predicted, y) if len(y) > 1 else float("nan"), "rmse": metrics.rmse(predicted, y)}

    def save(self, path):
        """Write the model to a safetensors file, from which ``fastnn.load`` reads it; no code is in it.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            Where the file cannot be written.
        """
        from json import dumps

        table = {
            "version": _VERSION, "preset": self.preset, "target": self._target.describe(), "preprocessing": self.preprocessing.describe(),
            "head": self.head.describe(),
        }  # fmt: skip
        tensors = {
            f"{i}.{name}": array for i, model in enumerate(self.models) for name, array in model.state_dict().items()
        }
        architecture = dumps([describe(model) for model in self.models])
        write(
            as_path(path, "save"), tensors, {"format": "fastnn", "architectures": architecture, "table": dumps(table)}
        )

    @classmethod
    def of(cls, tensors, metadata):
        """Return the model of a file's tensors and metadata.

        Raises
        ------
        ValueError, TypeError, KeyError
            For anything that ``save`` would not have written.
        """
        table = parse(metadata["table"])
        if not isinstance(table, dict) or table.get("version") != _VERSION:
            raise ValueError(f"the table in the file is not of version {_VERSION}, which this fastnn reads")
        if set(table) != _KEYS or not isinstance(table["preset"], str):
            raise ValueError("the table in the file is not one that save writes")
        descriptions = parse(metadata["architectures"])
        if not isinstance(descriptions, list) or not descriptions:
            raise ValueError("the file holds no networks")
        target, preprocessing = Target.made(table["target"]), Preprocessing.of(table["preprocessing"])
        models = [construct(description) for description in descriptions]
        parts = [{} for _ in models]
        for name, array in tensors.items():
            number, _, rest = name.partition(".")
            if not number.isdecimal() or int(number) >= len(models):
                raise ValueError(f"tensor {name!r:.60} belongs to no network")
            parts[int(number)][rest] = array
        head = Head.of(table["head"])
        if head.classes != (target.classes and len(target.classes)):
            raise ValueError("the target and the outputs in the file do not fit each other")
        for model, part in zip(models, parts, strict=True):
            model.load_state_dict(part)
        for probe in recipes.outputs(models, np.zeros((1, preprocessing.layout.width), np.float32)):
            if probe.shape != (1, head.outputs):
                raise ValueError(
                    f"a network makes outputs {probe.shape[1:]} of a row but ({head.outputs},) were expected"
                )
        return cls(models, preprocessing, target, head, preset=table["preset"])
