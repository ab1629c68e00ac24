"""Callbacks of ``Trainer.fit``, and the learning-rate finder.

Design
A. A callback is any callable: after each epoch it is called as ``callback(trainer, history)``, and training stops where one returns True.
B. Those of this module are ``Callback`` objects, which also learn when a training begins and ends, and may catch the FloatingPointError of
   a loss that is not finite.
C. Where "min" or "max" is not said, the row of a metric in ``fastnn.metrics`` says which is better; of a loss the lower one is.
"""

import copy
import itertools
import math
import os
import time

import numpy as np

from fastnn.data import as_pair
from fastnn.layers.base import as_count, as_flag, as_integer, as_nonnegative, as_number
from fastnn.metrics import METRICS
from fastnn.random import permutation
from fastnn.schedules import rate_of
from fastnn.serialization import as_path, require_folder, save


class Callback:
    """Base of the callbacks that do more than look at an epoch."""

    def __call__(self, trainer, history):
        """Answer the end of an epoch; True stops the training."""

    def begin(self, trainer, names):
        """Note that a training begins, whose history will have these names."""

    def end(self, trainer):
        """Note that a training has ended, by a callback or with its last epoch, but not by an error."""

    def catch(self, trainer, error):
        """Return True if the training is to end here quietly, after a loss that is not finite."""
        return False


def as_callbacks(callbacks):
    """Return the argument ``callbacks`` of fit as a tuple."""
    if callable(callbacks):
        callbacks = (callbacks,)
    if not hasattr(callbacks, "__iter__"):
        raise TypeError(f"fit: callbacks is {callbacks!r} but functions (trainer, history) were expected")
    callbacks = tuple(callbacks)
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, Callback):
            name = callback.__name__
            raise TypeError(f"fit: callback is the class {name} but an object of it was expected: {name}(...)")
        if not callable(callback):
            raise TypeError(f"fit: callback is {callback!r} but a function (trainer, history) was expected")
    return callbacks


class _Monitor(Callback):
    """A callback that compares a value of each epoch with the best before it.

    A subclass has the attributes ``monitor``, ``mode`` and ``min_delta``.
    """

    min_delta = 0.0

    def _set_monitor(self, monitor, mode):
        func = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{func}: monitor is {monitor!r} but a name of the history was expected")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{func}: mode is {mode!r} but 'auto', 'min' or 'max' was expected")
        name = monitor.removeprefix("val_")
        if name in METRICS and METRICS[name].better is None:
            raise ValueError(f"{func}: monitor is {monitor!r}, whose values are no numbers")
        if mode == "auto":
            if name != "loss" and name not in METRICS:
                raise ValueError(
                    f"{func}: whether a low or a high {monitor!r} is better is unknown; pass mode='min' or 'max'"
                )
            mode = "min" if name == "loss" else METRICS[name].better
        self.monitor, self.mode = monitor, mode
        self.best = math.inf if mode == "min" else -math.inf

    def begin(self, trainer, names):
        """Start anew; a name that the history will not have is refused before the first step."""
        if self.monitor not in names:
            raise ValueError(
                f"{type(self).__name__}: monitor is {self.monitor!r} but the history has {', '.join(names)}; "
                "val_ names need validation data"
            )
        self.best = math.inf if self.mode == "min" else -math.inf

    def _improves(self, history):
        """Return whether the latest value is better than the best by more than ``min_delta``; it is the best then."""
        value = history[self.monitor][-1]
        better = value < self.best - self.min_delta if self.mode == "min" else value > self.best + self.min_delta
        if better:
            self.best = value
        return better


def _models(trainer):
    """Return the model and, where the trainer keeps averages of its parameters, the model of these, which validation measures."""
    measured = trainer._network("callbacks").evaluated()
    return [trainer.model] if measured is trainer.model else [trainer.model, measured]


class EarlyStopping(_Monitor):
    """Stop where a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
        A name of the history: "val_loss", "val_accuracy", "loss", ...
    patience : int
        Stop after this many epochs in a row without improvement.
    min_delta : float
        What a value must be better by to count as an improvement.
    mode : {"auto", "min", "max"}
        Which is better. "auto" knows it of losses and of the metrics of ``fastnn.metrics``.
    restore_best_weights : bool
        Give the model its weights after the best epoch back, when training stops or ends; with ``ema`` the averages too.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int or None
        Of the trainer's epochs, from 1, the one with the best value.

    Raises
    ------
    ValueError
        At the start of a training whose history will not have ``monitor``.
    """

    def __init__(self, monitor="val_loss", patience=10, min_delta=0.0, *, mode="auto", restore_best_weights=True):
        self._set_monitor(monitor, mode)
        self.patience = as_integer(patience, "EarlyStopping", "patience", 0)
        self.min_delta = as_nonnegative(min_delta, "EarlyStopping", "min_delta")
        self.restore_best_weights = as_flag(restore_best_weights, "EarlyStopping", "restore_best_weights")
        self.best_epoch, self._weights, self._without = None, None, 0

    def begin(self, trainer, names):
        """As every monitor, and forget the weights of an earlier training."""
        super().begin(trainer, names)
        self.best_epoch, self._weights, self._without = None, None, 0

    def __call__(self, trainer, history):
        """Compare, and stop where patience has run out."""
        if self._improves(history):
            self.best_epoch, self._without = trainer.epochs_done, 0
            if self.restore_best_weights:
                self._weights = [model.state_dict() for model in _models(trainer)]
            return False
        self._without += 1
        if self._without < self.patience:
            return False
        self.end(trainer)
        return True

    def end(self, trainer):
        """Give the best weights back."""
        for model, weights in zip(_models(trainer), self._weights or (), strict=False):
            model.load_state_dict(weights)


class ModelCheckpoint(_Monitor):
    """Save the model or the trainer after each epoch, or after each that is the best so far.

    The file is replaced only once the new one is complete, so that a crash leaves the one before.

    Parameters
    ----------
    path : str or path-like
        A safetensors file, from which ``fastnn.load`` reads the model; with ``ema`` the one of the averages, which is measured.
    monitor, mode
        As for ``EarlyStopping``; not used with keep="last".
    keep : {"best", "last"}
    save : {"model", "trainer"}
        "trainer" calls ``trainer.save``: ``Trainer.load`` then goes on from the file, about three times as large with Adam.

    Raises
    ------
    ValueError
        At the start of a training whose history will not have ``monitor``.
    """

    def __init__(self, path, monitor="val_loss", *, keep="best", mode="auto", save="model"):
        if keep not in ("best", "last"):
            raise ValueError(f"ModelCheckpoint: keep is {keep!r} but 'best' or 'last' was expected")
        if save not in ("model", "trainer"):
            raise ValueError(f"ModelCheckpoint: save is {save!r} but 'model' or 'trainer' was expected")
        self.path, self.keep, self.save = as_path(path, "ModelCheckpoint"), keep, save
        self._set_monitor(monitor, mode)

    def begin(self, trainer, names):
        """As every monitor, where one is used; a folder that does not exist is refused before the first step."""
        require_folder(self.path, "ModelCheckpoint")
        if self.keep == "best":
            super().begin(trainer, names)

    def __call__(self, trainer, history):
        """Save."""
        if self.keep != "last" and not self._improves(history):
            return
        if self.save == "trainer":
            trainer.save(self.path)
        else:
            save(_models(trainer)[-1], self.path)


class CSVLogger(Callback):
    """Write the history to a file of comma-separated values, a line after each epoch.

    Its columns are ``epoch``, which counts the trainer's epochs from 1, and the names of the history; numbers have all their digits.

    Parameters
    ----------
    path : str or path-like
    append : bool
        Go on with the file of an earlier training, instead of a new one.
    """

    def __init__(self, path, *, append=False):
        self.path, self.append = as_path(path, "CSVLogger"), as_flag(append, "CSVLogger", "append")
        self._started = self.append

    def begin(self, trainer, names):
        """Start a file, unless it is to be appended to; a folder that does not exist is refused before the first step."""
        require_folder(self.path, "CSVLogger")
        self._started = self.append

    def __call__(self, trainer, history):
        """Write a line."""
        import csv  # on first use

        row = {"epoch": trainer.epochs_done}
        row |= {name: values[-1] for name, values in history.items() if np.ndim(values[-1]) == 0}
        fresh = not self._started or not os.path.exists(self.path) or os.path.getsize(self.path) == 0
        with open(self.path, "w" if fresh else "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(([list(row)] if fresh else []) + [list(row.values())])
        self._started = True


class TimeLimit(Callback):
    """Stop after the epoch in which a time has passed.

    Parameters
    ----------
    seconds : float
        From the start of ``fit``.
    """

    def __init__(self, seconds):
        self.seconds = as_nonnegative(seconds, "TimeLimit", "seconds")
        self._start = time.monotonic()

    def begin(self, trainer, names):
        """Start the clock."""
        self._start = time.monotonic()

    def __call__(self, trainer, history):
        """Look at the clock."""
        return time.monotonic() - self._start >= self.seconds


class TerminateOnNaN(Callback):
    """End the training quietly at a loss that is not finite, where ``fit`` otherwise raises FloatingPointError.

    The model is as after the last step whose loss was finite; the history holds the epochs before.
    """

    def catch(self, trainer, error):
        """End the training."""
        return True

    def __call__(self, trainer, history):
        """Stop at a validation loss that is not finite."""
        return not math.isfinite(history.get("val_loss", [0.0])[-1])


# ----------------------------------------------------------------------------------------------------------- learning rates


def _rate(trainer):
    """Return the learning rate of the trainer's next step, without its ``lr_factor``."""
    return rate_of(getattr(trainer.optimizer, "lr", None), trainer.steps_done, trainer.epochs_done)


class ReduceLROnPlateau(_Monitor):
    """Multiply the learning rate by a factor where a value has not improved for more than ``patience`` epochs.

    Names, defaults and rules are those of ``torch.optim.lr_scheduler.ReduceLROnPlateau``. The factor goes to ``trainer.lr_factor``, so it
    multiplies a schedule as well.

    Parameters
    ----------
    monitor, mode
        As for ``EarlyStopping``.
    factor : float
        In (0, 1).
    patience : int
    threshold : float
        What a value must be better by: a share of the best with threshold_mode="rel", a difference with "abs".
    threshold_mode : {"rel", "abs"}
    cooldown : int
        Epochs after a reduction that count nothing.
    min_lr : float
        The learning rate stays at least this.
    eps : float
        A smaller reduction is not made.

    Raises
    ------
    ValueError
        At the start of a training whose history will not have ``monitor``.
    """

    def __init__(
        self, monitor="val_loss", factor=0.1, patience=10, threshold=1e-4, *, threshold_mode="rel", cooldown=0, min_lr=0.0,
        eps=1e-8, mode="auto",
    ):  # fmt: skip
        func = "ReduceLROnPlateau"
        self._set_monitor(monitor, mode)
        self.factor = as_number(factor, func, "factor")
        if not 0 < self.factor < 1:
            raise ValueError(f"{func}: factor is {factor} but a number in (0, 1) was expected")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{func}: threshold_mode is {threshold_mode!r} but 'rel' or 'abs' was expected")
        self.patience, self.cooldown = (
            as_integer(patience, func, "patience", 0),
            as_integer(cooldown, func, "cooldown", 0),
        )
        self.threshold, self.threshold_mode = as_nonnegative(threshold, func, "threshold"), threshold_mode
        self.min_lr, self.eps = as_nonnegative(min_lr, func, "min_lr"), as_nonnegative(eps, func, "eps")
        self._without = self._cooling = 0

    def begin(self, trainer, names):
        """As every monitor, with no epoch counted."""
        super().begin(trainer, names)
        self._without = self._cooling = 0

    @property
    def min_delta(self):
        """What a value must be better than the best by."""
        return self.threshold * (self.best if self.threshold_mode == "rel" and math.isfinite(self.best) else 1.0)

    def __call__(self, trainer, history):
        """Compare, and reduce."""
        self._without = 0 if self._improves(history) else self._without + 1
        if self._cooling:
            self._cooling -= 1
            self._without = 0
        if self._without > self.patience:
            self._cooling, self._without = self.cooldown, 0
            old = _rate(trainer) * trainer.lr_factor
            new = max(old * self.factor, self.min_lr)
            if old - new > self.eps:
                trainer.lr_factor *= new / old


class AdaptiveLR(_Monitor):
    """Divide the learning rate by 5 where a value has not improved for some epochs, and stop at 1e-6: scikit-learn's "adaptive".

    Names, defaults and rules are those of ``MLPClassifier(learning_rate="adaptive")``.

    Parameters
    ----------
    monitor, mode
        As for ``EarlyStopping``; scikit-learn looks at the loss, with early_stopping=True at "val_accuracy".
    tol : float
        What a value must be better than the best by.
    n_iter_no_change : int
        Divide where more epochs than this in a row are not better.

    Raises
    ------
    ValueError
        At the start of a training whose history will not have ``monitor``.
    """

    def __init__(self, monitor="loss", tol=1e-4, n_iter_no_change=10, *, mode="auto"):
        self._set_monitor(monitor, mode)
        self.tol = as_nonnegative(tol, "AdaptiveLR", "tol")
        self.n_iter_no_change = as_integer(n_iter_no_change, "AdaptiveLR", "n_iter_no_change", 1)
        self._without = 0

    def begin(self, trainer, names):
        """As every monitor, with no epoch counted."""
        super().begin(trainer, names)
        self._without = 0

    def __call__(self, trainer, history):
        """Compare, and divide or stop."""
        value, best = history[self.monitor][-1], self.best
        short = value > best - self.tol if self.mode == "min" else value < best + self.tol
        self._without = self._without + 1 if short else 0
        self._improves(history)
        if self._without <= self.n_iter_no_change:
            return False
        self._without = 0
        if _rate(trainer) * trainer.lr_factor <= 1e-6:
            return True
        trainer.lr_factor /= 5
        return False


def lr_find(trainer, x, y, *, start=1e-7, end=10.0, steps=100, batch_size=32):
    """Train a copy of the trainer with learning rates that grow from step to step (Smith, 2017), to see which one trains.

    The largest rate before the loss stops falling, divided by ten, is a good one. The trainer and its model stay as they are.

    Parameters
    ----------
    trainer : Trainer
    x, y : array_like
        Inputs and targets, one row per sample.
    start, end : float
        The learning rates grow by a constant factor from one to the other.
    steps, batch_size : int

    Returns
    -------
    lrs, losses : ndarray of float64
        The learning rate of each step and the loss before it. They end early where a loss is not finite, or four times the lowest.

    Raises
    ------
    ValueError
        For an argument of the wrong value, and where the optimizer has no learning rate that is not 0.
    """
    if not hasattr(trainer, "lr_factor"):
        raise TypeError(f"lr_find: trainer is {type(trainer).__name__} but a Trainer was expected")
    x, y = as_pair(x, y, "lr_find")
    start, end = as_number(start, "lr_find", "start"), as_number(end, "lr_find", "end")
    if not 0 < start < end < math.inf:
        raise ValueError(f"lr_find: start is {start:g} and end is {end:g} but 0 < start < end was expected")
    steps, batch_size = as_count(steps, "lr_find", "steps"), as_count(batch_size, "lr_find", "batch_size")
    if len(x) == 0:
        raise ValueError("lr_find: x has no rows")
    trial = copy.deepcopy(trainer)
    lrs, losses = np.geomspace(start, end, steps), []
    orders = (permutation(len(x), trainer.seed, epoch) for epoch in itertools.count(trainer.epochs_done))
    minibatches = (order[i : i + batch_size] for order in orders for i in range(0, len(x), batch_size))
    for lr, rows in zip(lrs, minibatches, strict=False):
        rate = _rate(trial)
        if not rate:
            raise ValueError(
                f"lr_find: the learning rate of {trainer.optimizer!r} is {rate} but a positive one was expected"
            )
        trial.lr_factor = lr / rate
        try:
            losses.append(trial.step(x[rows], y[rows]))
        except FloatingPointError:
            break
        if losses[-1] > 4 * min(losses):
            break
    return lrs[: len(losses)], np.array(losses)


CALLBACKS = (
    EarlyStopping,
    ModelCheckpoint,
    CSVLogger,
    TimeLimit,
    TerminateOnNaN,
    ReduceLROnPlateau,
    AdaptiveLR,
    lr_find,
)
