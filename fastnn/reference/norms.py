"""Layer norm, RMS norm, batch norm."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn.reference.arrays import real

__all__ = ["batch_norm", "batch_norm_backward", "layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"]


def _scaled(x, weight, bias, out):
    """Return x weight + bias, in the memory of x where out is None."""
    out = x if out is None else out
    if weight is not None or out is not x:
        x = np.multiply(x, 1 if weight is None else weight, out=out)
    if bias is not None:
        x += bias
    return x


def _given(*arrays):
    """Return the arrays in their common dtype; None stays."""
    found = iter(real(np.float32(0), *(a for a in arrays if a is not None))[1:])
    return [a if a is None else next(found) for a in arrays]


def layer_norm(
    x: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    out: np.ndarray | None = None,
) -> np.ndarray:
    x, weight, bias = _given(x, weight, bias)
    d = x - x.mean(-1, keepdims=True)
    d /= np.sqrt(np.square(d).mean(-1, keepdims=True) + x.dtype.type(eps))
    return _scaled(d, weight, bias, out)


def layer_norm_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grad, x, weight = _given(grad, x, weight)
    d = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt(np.square(d).mean(-1, keepdims=True) + x.dtype.type(eps))
    d /= deviation
    dx = grad.copy() if weight is None else grad * weight
    products = dx * d
    dx -= dx.mean(-1, keepdims=True)
    dx -= d * products.mean(-1, keepdims=True)
    dx /= deviation
    rows = tuple(range(x.ndim - 1))
    return dx, (grad * d).sum(rows), grad.sum(rows)


def rms_norm(
    x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    x, weight = _given(x, weight)
    return _scaled(x / _root_mean_square(x, eps), weight, None, out)


def _root_mean_square(x, eps):
    eps = np.finfo(x.dtype).eps if eps is None else x.dtype.type(eps)
    return np.sqrt(np.square(x).mean(-1, keepdims=True) + eps)


def rms_norm_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    grad, x, weight = _given(grad, x, weight)
    root = _root_mean_square(x, eps)
    d = x / root
    dx = grad.copy() if weight is None else grad * weight
    dx -= d * (dx * d).mean(-1, keepdims=True)
    dx /= root
    return dx, (grad * d).sum(tuple(range(x.ndim - 1)))


def _along_features(values, x):
    """Return one value per feature, axis 1 of x, in such a shape and dtype that it meets x."""
    return None if values is None else np.asarray(values, x.dtype).reshape(-1, *[1] * (x.ndim - 2))


def _rows(x):
    """Return all axes of x but that of the features."""
    return (0, *range(2, x.ndim))


def batch_norm(
    x: npt.ArrayLike,
    running_mean: npt.ArrayLike | None = None,
    running_var: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    return_statistics: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, weight, bias = _given(x, weight, bias)
    mean, var = running_mean, running_var
    if training:
        mean, var = x.mean(_rows(x), np.float64), x.var(_rows(x), np.float64)
        count = x.size // max(x.shape[1], 1)
        for running, value in ((running_mean, mean), (running_var, var * count / max(count - 1, 1))):
            if running is not None and count:
                running *= 1 - momentum
                running += momentum * value
    mean, var = np.array(mean, np.float64), np.array(var, np.float64)
    y = x - _along_features(mean, x)
    y *= _along_features(1 / np.sqrt(var + eps), x)
    y = _scaled(y, _along_features(weight, x), _along_features(bias, x), out)
    return (y, mean, var) if return_statistics else y


def batch_norm_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    *,
    training: bool = False,
    eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grad, x, weight = _given(grad, x, weight)
    scale = _along_features(1 / np.sqrt(np.asarray(var, np.float64) + eps), x)
    d = x - _along_features(mean, x)
    d *= scale
    dweight, dbias = (grad * d).sum(_rows(x)), grad.sum(_rows(x))
    dx = grad.copy()
    if training:
        count = x.size // max(x.shape[1], 1)
        dx -= _along_features(dbias / count, x)
        dx -= d * _along_features(dweight / count, x)
    dx *= scale if weight is None else scale * _along_features(weight, x)
    return dx, dweight, dbias
