"""Losses as objects for the trainer. A loss is called as loss(output, target, sample_weight) -> (value, gradient by output)."""

from dataclasses import dataclass

import numpy as np

from fastnn import functional as F


@dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy of logits; see ``functional.cross_entropy``."""

    weight: np.ndarray | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    metrics = ("accuracy",)

    def __call__(self, output, target, sample_weight=None):
        """Return the mean loss and its gradient by the logits."""
        return F.cross_entropy_with_grad(
            output,
            target,
            weight=self.weight,
            sample_weight=sample_weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def probabilities(self, output):
        """Class probabilities from logits."""
        return F.softmax(output)


@dataclass(frozen=True)
class MSE:
    """Mean squared error; see ``functional.mse_loss``."""

    metrics = ()

    def __call__(self, output, target, sample_weight=None):
        """Return the mean loss and its gradient by the output."""
        return F.mse_loss_with_grad(output, target, sample_weight=sample_weight)


LOSSES = {"cross_entropy": CrossEntropy, "mse": MSE}
