"""Losses as frozen specifications for the trainer.

A loss is called as ``loss(output, target, sample_weight=None, divisor=None) -> (value, gradient)``. With w_i the weight of row i and
l_i its loss, the mean over its elements where it has several, the value is sum(w_i l_i) / divisor; the gradient is its gradient by
the output and has the output's dtype. A divisor of None means PyTorch's weighted mean, whose divisor is the sum of the rows' weights.
"""

import operator
from dataclasses import dataclass

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F


def _class_weights(weight):
    """Return weights of classes as a tuple of numbers, which compares, hashes and saves; None stays None."""
    if weight is None:
        return None
    weight = np.asarray(weight)
    if weight.dtype.kind not in "biuf":
        raise TypeError(f"CrossEntropy: weight has dtype {weight.dtype} but numbers were expected")
    if weight.ndim != 1:
        raise ValueError(f"CrossEntropy: weight has shape {weight.shape} but one weight per class was expected")
    if not (weight >= 0).all():
        raise ValueError(f"CrossEntropy: weight is {weight} but weights of at least 0 were expected")
    return tuple(weight.astype(np.float64).tolist())


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy of logits; see ``functional.cross_entropy``.

    Parameters
    ----------
    weight : array_like, shape (classes,), optional
        Weight of each class, at least 0.
    ignore_index : int
    label_smoothing : float
        In [0, 1].
    """

    weight: tuple | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    metrics = ("accuracy",)

    def __post_init__(self):
        object.__setattr__(self, "weight", _class_weights(self.weight))
        try:
            object.__setattr__(self, "ignore_index", operator.index(self.ignore_index))
        except TypeError:
            raise TypeError(
                f"CrossEntropy: ignore_index is {self.ignore_index!r} but an integer was expected"
            ) from None
        try:
            object.__setattr__(self, "label_smoothing", float(self.label_smoothing))
        except (TypeError, ValueError):
            raise TypeError(
                f"CrossEntropy: label_smoothing is {self.label_smoothing!r} but a number was expected"
            ) from None
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropy: label_smoothing is {self.label_smoothing} but a value in [0, 1] was expected"
            )

    def __call__(self, output, target, sample_weight=None, divisor=None):
        """Return the loss and its gradient by the logits."""
        return _core.cross_entropy(
            "cross_entropy", output, target, self.weight, sample_weight, self.ignore_index, self.label_smoothing,
            "mean", divisor, True, None
        )  # fmt: skip

    def row_weights(self, target):
        """Return the weight that the loss itself gives each row: its label's class weight, 0 where ignored; None if all are 1.

        Parameters
        ----------
        target : array_like

        Returns
        -------
        ndarray of float64, shape (rows,), or None
        """
        target = np.asarray(target)
        if target.dtype.kind not in "iu":
            return None  # probabilities
        labels = target.reshape(-1)
        counted = labels != self.ignore_index
        if self.weight is None:
            return None if counted.all() else counted.astype(np.float64)
        wrong = counted & ((labels < 0) | (labels >= len(self.weight)))
        if wrong.any():
            row = int(wrong.argmax())
            raise IndexError(
                f"cross_entropy: target[{row}] is {labels[row]} but a label in [0, {len(self.weight)}) or ignore_index "
                f"({self.ignore_index}) was expected"
            )
        weights = np.zeros(len(labels))
        weights[counted] = np.array(self.weight)[labels[counted].astype(np.int64)]
        return weights

    def probabilities(self, output):
        """Return class probabilities from logits."""
        return F.softmax(output)


@dataclass(frozen=True)
class MSE:
    """Mean squared error; see ``functional.mse_loss``."""

    metrics = ()

    def __call__(self, output, target, sample_weight=None, divisor=None):
        """Return the loss and its gradient by the output."""
        return _core.pointwise_loss("mse_loss", _core.MSE, output, target, sample_weight, "mean", divisor, True, None)

    def row_weights(self, target):
        """Return None: every row has weight 1."""
        return


LOSSES = {"cross_entropy": CrossEntropy, "mse": MSE}
