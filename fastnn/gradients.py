"""Gradients by inputs, at inference: what a model's output, or its loss, depends on."""

import math

import numpy as np

from fastnn import data
from fastnn.losses import as_loss, differentiate, fused
from fastnn.trainer import as_model

_ROWS = 1024  # that go backward through the model at a time


def input_gradient(model, loss, x, y):
    """Gradient of a loss by the inputs, as for adversarial examples and saliency. Dropout rests; no parameter changes.

    Parameters
    ----------
    model : Sequential
        Or a single layer.
    loss : str, object or callable
        As ``Trainer`` takes it. Its mean over the rows is differentiated: the gradient of one row's own loss is ``len(x)`` times that
        row of the result.
    x, y : array_like
        Inputs and targets, one row per sample.

    Returns
    -------
    ndarray, shape of x
        0 in columns of indices, by which nothing is differentiated.

    Raises
    ------
    TypeError, ValueError, IndexError
        As ``Trainer.gradients``.
    """
    model = as_model(model, loss, "input_gradient")
    loss = as_loss(loss, model, "input_gradient")
    x, y = data.as_pair(x, y, "input_gradient")
    before_last = fused(loss, model)
    output, backward = (model._without_last() if before_last else model).vjp(x, train=False)
    return backward(differentiate(loss, output, y, func="input_gradient", before_last=before_last)[1])


def jacobian(model, x):
    """Derivatives of each output by each input of its row. Dropout rests; no parameter changes.

    Each is computed backwards from an output; copies of x let many outputs go back together where there are few rows.

    Parameters
    ----------
    model : Sequential
        Or a single layer; a row of its output depends on that row of the input alone.
    x : array_like, shape (batch, inputs)
        Or (batch, ...), such as images.

    Returns
    -------
    ndarray, shape (batch, outputs, inputs)
        In general the shape of the output followed by that of a row of x.

    Raises
    ------
    TypeError
        For a model that is no layer, or an x that holds no real numbers.
    ValueError
        For an x of which the model does not make one output per row.
    """
    model = as_model(model, func="jacobian")
    x = data.as_rows(x, "jacobian", "x")
    y = model(x)
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"jacobian: x has shape {x.shape}, of which the model makes no output per row")
    batch, outputs = len(x), math.prod(y.shape[1:])
    result = np.empty((batch, outputs, *x.shape[1:]), y.dtype)
    together = min(max(_ROWS // max(batch, 1), 1), outputs)
    if result.size == 0:
        return result.reshape(*y.shape, *x.shape[1:])
    _, backward = model.vjp(np.concatenate([x] * together), train=False)
    for first in range(0, outputs, together):
        chosen = np.arange(first, min(first + together, outputs))
        dy = np.zeros((together, batch, outputs), y.dtype)
        dy[np.arange(chosen.size), :, chosen] = 1
        dx = backward(dy.reshape(together * batch, *y.shape[1:])).reshape(together, *x.shape)
        result[:, chosen] = dx[: chosen.size].swapaxes(0, 1)
    return result.reshape(*y.shape, *x.shape[1:])
