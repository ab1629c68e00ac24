"""Metrics: functions (output, target) -> float, the mean over rows.

The metrics of this module also take ``sample_weight`` and ``threshold``, which the trainer knows.
"""

import numpy as np


def accuracy(output, target, *, sample_weight=None, threshold=0.5, ignore_index=-100):
    """Share of rows whose prediction is the target: the largest output, or, for one column, whether it exceeds a threshold.

    Parameters
    ----------
    output : array_like, shape (batch, classes), or (batch, 1) or (batch,) for two classes
    target : array_like
        Labels, shape (batch,) or (batch, 1), of any dtype; or probabilities of the shape of ``output``.
    sample_weight : array_like, shape (batch,), optional
        Weight of each row; rows of weight 0 count nothing.
    threshold : float
        Of one column: 0 for logits, 0.5 for probabilities and for targets 0 and 1.
    ignore_index : int
        Rows with this label count nothing.

    Returns
    -------
    float
        NaN where no row counts.

    Raises
    ------
    ValueError
        Where there is not one target per row of ``output``.
    """
    output, target = np.asarray(output), np.asarray(target)
    batch = len(output)
    output = output[:, None] if output.ndim == 1 else output
    labels = target.argmax(-1) if target.shape == output.shape and output.shape[-1] > 1 else target
    if labels.shape not in ((batch,), (batch, 1)):
        raise ValueError(
            f"accuracy: target has shape {target.shape} but one label per row of output {output.shape} was expected"
        )
    labels = labels.reshape(-1)
    predicted = output[:, 0] > threshold if output.shape[-1] == 1 else output.argmax(-1)
    weight = np.ones(batch) if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(-1)
    weight = np.where(labels == ignore_index, 0.0, weight)
    total = weight.sum()
    return float((weight * (predicted == labels)).sum() / total) if total else float("nan")


METRICS = {"accuracy": accuracy}
