"""Softmax, and losses with their gradients."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn.reference.arrays import copy, real

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_grad", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_with_grad", "cross_entropy", "cross_entropy_with_grad", "half_mse_loss",
    "half_mse_loss_with_grad", "huber_loss", "huber_loss_with_grad", "l1_loss", "l1_loss_with_grad", "log_cosh_loss",
    "log_cosh_loss_with_grad", "log_softmax", "log_softmax_backward", "mse_loss", "mse_loss_with_grad", "smooth_l1_loss",
    "smooth_l1_loss_with_grad", "softmax", "softmax_backward",
]  # fmt: skip


def _shifted(x, axis):
    """Return x - max, exp of it, and the logarithm of its sum as log1p of the sum without the largest term."""
    top = x.argmax(axis, keepdims=True)
    with np.errstate(invalid="ignore"):
        d = x - np.take_along_axis(x, top, axis)
    e = np.exp(d)
    rest = e.copy()
    np.put_along_axis(rest, top, 0, axis)
    return d, e, np.log1p(rest.sum(axis, keepdims=True))


def softmax(x: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    y = np.subtract(x, x.max(axis, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis, keepdims=True)
    return y


def softmax_backward(
    grad: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None
) -> np.ndarray:
    grad, y = real(grad, y)
    return np.multiply(y, grad - (grad * y).sum(axis, keepdims=True), out=out)


def log_softmax(x: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None) -> np.ndarray:
    d, _, log_sum = _shifted(real(x), axis)
    return np.subtract(d, log_sum, out=out)


def log_softmax_backward(
    grad: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None
) -> np.ndarray:
    grad, y = real(grad, y)
    return np.subtract(grad, np.exp(y) * grad.sum(axis, keepdims=True), out=out)


def cross_entropy(
    logits: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> float | np.ndarray:
    return cross_entropy_with_grad(
        logits,
        target,
        weight=weight,
        sample_weight=sample_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )[0]


def cross_entropy_with_grad(
    logits: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> tuple[float | np.ndarray, np.ndarray]:
    logits, target = real(logits), np.asarray(target)
    x = np.atleast_2d(logits)
    classes, rows = x.shape[1], np.arange(len(x))
    is_labels = target.shape != logits.shape or target.dtype.kind in "iu"
    w = np.ones(len(x), x.dtype) if sample_weight is None else np.asarray(sample_weight, x.dtype).reshape(-1)
    divisor = w
    if is_labels:
        labels = target.reshape(-1)
        kept = labels != ignore_index
        labels, w = np.where(kept, labels, 0), w * kept
        divisor = w if weight is None else w * np.asarray(weight, x.dtype)[labels]
    simple = is_labels and weight is None and label_smoothing == 0

    d, dlogits, log_sum = _shifted(x, -1)
    dlogits /= dlogits.sum(-1, keepdims=True)
    if simple:
        losses = log_sum[:, 0] - d[rows, labels]
        dlogits[rows, labels] -= 1
    else:
        q = np.eye(classes, dtype=x.dtype)[labels] if is_labels else np.asarray(target, x.dtype).reshape(x.shape)
        q = (1 - label_smoothing) * q + label_smoothing / classes
        if weight is not None:
            q = q * np.asarray(weight, x.dtype)
        losses = (q * (log_sum - d)).sum(-1)
        dlogits *= q.sum(-1, keepdims=True)
        dlogits -= q
    losses *= w
    scale, loss = _reduce(losses.reshape(logits.shape[:-1]), divisor.sum(dtype=np.float64), reduction)
    dlogits *= (w * scale).astype(x.dtype)[:, None]
    return loss, copy(dlogits.reshape(logits.shape), out)


def _reduce(losses, divisor, reduction):
    """Return what a reduction multiplies the gradient by, and the loss: of a mean over nothing 0 and NaN."""
    if reduction == "none":
        return 1.0, losses
    total = float(losses.sum(dtype=np.float64))
    if reduction == "sum":
        return 1.0, total
    return (1 / divisor, total / divisor) if divisor else (0.0, np.nan)


def _pointwise(losses, slopes, sample_weight, reduction, out):
    """Return the loss and its gradient, given the loss of each element and its derivative."""
    rows = losses.shape[:1]
    w = np.ones(rows, losses.dtype) if sample_weight is None else np.asarray(sample_weight, losses.dtype).reshape(rows)
    w = w.reshape(*rows, *[1] * (losses.ndim - 1))
    if sample_weight is not None:
        losses = losses * w
    divisor = w.sum(dtype=np.float64) * np.prod(losses.shape[1:], dtype=int)
    scale, loss = _reduce(losses, divisor, reduction)
    factor = slopes.dtype.type(scale) if sample_weight is None else (scale * w).astype(slopes.dtype)
    return loss, np.multiply(slopes, factor, out=slopes if out is None else out)


def _same_shape(input, target):
    """Return the input, and the target in its dtype and shape."""
    input = real(input)
    return input, np.asarray(target, input.dtype).reshape(input.shape)


def _difference(input, target):
    return np.subtract(*_same_shape(input, target))


def mse_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return mse_loss_with_grad(input, target, sample_weight=sample_weight, reduction=reduction)[0]


def mse_loss_with_grad(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> tuple[float | np.ndarray, np.ndarray]:
    input, target = _same_shape(input, target)
    d = np.subtract(input, target, out=out)
    losses = np.square(d)
    d *= 2
    return _pointwise(losses, d, sample_weight, reduction, out)


def huber_loss(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
) -> float | np.ndarray:
    return huber_loss_with_grad(input, target, delta=delta, sample_weight=sample_weight, reduction=reduction)[0]


def huber_loss_with_grad(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: npt.ArrayLike | None = None,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    clamped = np.clip(d, -delta, delta)
    return _pointwise(clamped * (d - clamped / 2), clamped, sample_weight, reduction, out)


# fmt: off
def half_mse_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return half_mse_loss_with_grad(**locals())[0]


def half_mse_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    return _pointwise(d * d / 2, d, sample_weight, reduction, out)


def l1_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return l1_loss_with_grad(**locals())[0]


def l1_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    return _pointwise(np.abs(d), np.sign(d), sample_weight, reduction, out)


def smooth_l1_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, *, beta: float = 1.0, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return smooth_l1_loss_with_grad(**locals())[0]


def smooth_l1_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, beta: float = 1.0, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    slopes = np.clip(d / beta, -1, 1) if beta else np.sign(d)
    return _pointwise(slopes * (d - slopes * (beta / 2)), slopes, sample_weight, reduction, out)


def log_cosh_loss(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return log_cosh_loss_with_grad(**locals())[0]


def log_cosh_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    size = np.abs(d)
    losses = np.where(size < 1, np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2), size + np.log1p(np.exp(-2 * size)) - np.log(2))
    return _pointwise(losses.astype(d.dtype, copy=False), np.tanh(d), sample_weight, reduction, out)


def binary_cross_entropy(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return binary_cross_entropy_with_grad(**locals())[0]


def binary_cross_entropy_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    with np.errstate(divide="ignore"):
        losses = -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))
    return _pointwise(losses, (x - t) / np.maximum(x * (1 - x), 1e-12), sample_weight, reduction, out)


def binary_cross_entropy_with_logits(
    input: npt.ArrayLike, target: npt.ArrayLike, *, pos_weight: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean"
) -> float | np.ndarray:
    return binary_cross_entropy_with_logits_with_grad(**locals())[0]


def binary_cross_entropy_with_logits_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, pos_weight: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    u = np.exp(-np.abs(x))
    yes = t if pos_weight is None else t * np.asarray(pos_weight, x.dtype)
    losses = (yes + (1 - t)) * np.log1p(u) + yes * np.maximum(-x, 0) + (1 - t) * np.maximum(x, 0)
    slopes = ((1 - t) * np.where(x < 0, u, 1) - yes * np.where(x < 0, 1, u)) / (1 + u)
    return _pointwise(losses, slopes, sample_weight, reduction, out)
# fmt: on
