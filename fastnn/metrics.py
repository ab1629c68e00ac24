"""Metrics: functions (output, target) -> float, the mean over rows."""

import numpy as np


def accuracy(output, target):
    """Share of rows whose largest output is at the target.

    Parameters
    ----------
    output : ndarray, shape (batch, classes)
    target : ndarray
        Labels, shape (batch,) or (batch, 1), or probabilities of the shape of ``output``.

    Returns
    -------
    float
    """
    labels = target.argmax(-1) if target.shape == output.shape and output.shape[-1] > 1 else target.reshape(-1)
    return float(np.mean(output.argmax(-1) == labels))


METRICS = {"accuracy": accuracy}
