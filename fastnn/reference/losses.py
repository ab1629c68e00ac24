"""Softmax, and losses with their gradients."""

from __future__ import annotations

import inspect

import numpy as np
from numpy import typing as npt

from fastnn.reference.arrays import copy, real

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_grad", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_with_grad", "cross_entropy", "cross_entropy_with_grad",
    "focal_loss_with_logits", "focal_loss_with_logits_with_grad", "gaussian_nll_loss", "gaussian_nll_loss_with_grad",
    "half_mse_loss", "half_mse_loss_with_grad", "hinge_loss", "hinge_loss_with_grad", "huber_loss",
    "huber_loss_with_grad", "kl_div", "kl_div_with_grad", "l1_loss", "l1_loss_with_grad", "log_cosh_loss",
    "log_cosh_loss_with_grad", "log_softmax", "log_softmax_backward", "mse_loss", "mse_loss_with_grad",
    "multi_margin_loss", "multi_margin_loss_with_grad", "multiclass_hinge_loss", "multiclass_hinge_loss_with_grad",
    "nll_loss", "nll_loss_with_grad", "poisson_nll_loss", "poisson_nll_loss_with_grad", "quantile_loss",
    "quantile_loss_with_grad", "smooth_l1_loss", "smooth_l1_loss_with_grad", "soft_margin_loss",
    "soft_margin_loss_with_grad", "softmax", "softmax_backward", "squared_hinge_loss", "squared_hinge_loss_with_grad",
]  # fmt: skip


def _shifted(x, axis):
    """Return x - max, exp of it, and the logarithm of its sum as log1p of the sum without the largest term."""
    if x.shape[axis] == 0:  # no term is the largest
        return x, x.copy(), x.sum(axis, keepdims=True)
    top = x.argmax(axis, keepdims=True)
    with np.errstate(invalid="ignore"):
        d = x - np.take_along_axis(x, top, axis)
    e = np.exp(d)
    rest = e.copy()
    np.put_along_axis(rest, top, 0, axis)
    return d, e, np.log1p(rest.sum(axis, keepdims=True))


def softmax(x: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    y = np.subtract(x, x.max(axis, keepdims=True, initial=-np.inf), out=out)
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


def _value_of(with_grad):
    """Return the function of a loss alone, given that of a loss and its gradient."""

    def value(*arguments, **options):
        return with_grad(*arguments, **options)[0]

    signature = inspect.signature(with_grad)
    taken = [parameter for name, parameter in signature.parameters.items() if name != "out"]
    value.__signature__ = inspect.Signature(taken, return_annotation="float | np.ndarray")
    value.__annotations__ = {parameter.name: parameter.annotation for parameter in taken} | {
        "return": "float | np.ndarray"
    }
    value.__name__ = value.__qualname__ = with_grad.__name__.removesuffix("_with_grad")
    return value


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


cross_entropy = _value_of(cross_entropy_with_grad)


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
    rows, slopes = losses.shape[:1], np.asarray(slopes)  # NumPy's own result of numbers is no array
    w = np.ones(rows, losses.dtype) if sample_weight is None else np.asarray(sample_weight, losses.dtype).reshape(rows)
    w = w.reshape(rows + (1,) * (losses.ndim - 1))
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


mse_loss = _value_of(mse_loss_with_grad)


def huber_loss_with_grad(
    input: npt.ArrayLike,
    target: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    delta: float = 1.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    clamped = np.clip(d, -delta, delta)
    return _pointwise(clamped * (d - clamped / 2), clamped, sample_weight, reduction, out)


huber_loss = _value_of(huber_loss_with_grad)


def _labelled(input, target, weight, sample_weight, ignore_index):
    """Return the input as a matrix, its labels, and of each row its sample weight, 0 where ignored, and its class weight."""
    x = np.atleast_2d(real(input))
    labels = np.asarray(target).reshape(-1)
    kept = labels != ignore_index
    labels = np.where(kept, labels, 0)
    w = kept * (np.ones(len(x), x.dtype) if sample_weight is None else np.asarray(sample_weight, x.dtype).reshape(-1))
    return x, labels, w, np.ones(len(x), x.dtype) if weight is None else np.asarray(weight, x.dtype)[labels]


def _by_row(input, losses, slopes, weights, counted, reduction, out):
    """Return the loss and its gradient, given the loss of each row and its derivatives, and what a mean counts of each row."""
    shape = np.shape(input)
    losses = losses * weights
    scale, loss = _reduce(losses.reshape(shape[:-1]), counted.sum(dtype=np.float64), reduction)
    slopes *= (weights * scale).astype(slopes.dtype)[:, None]
    return loss, copy(slopes.reshape(shape), out)


def _hinge_rows(x, labels, margin, p):
    """Return for each row the sum over the wrong classes of max(0, x_j - x_label + margin)^p, and its derivatives."""
    rows = np.arange(len(x))
    beyond = np.maximum(0, x - x[rows, labels][:, None] + margin)
    beyond[rows, labels] = 0
    slopes = (beyond > 0).astype(x.dtype) if p == 1 else 2 * beyond
    slopes[rows, labels] = -slopes.sum(-1)
    return (beyond if p == 1 else beyond * beyond).sum(-1), slopes


# fmt: off
def half_mse_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    return _pointwise(d * d / 2, d, sample_weight, reduction, out)


half_mse_loss = _value_of(half_mse_loss_with_grad)


def l1_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    return _pointwise(np.abs(d), np.sign(d), sample_weight, reduction, out)


l1_loss = _value_of(l1_loss_with_grad)


def smooth_l1_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, beta: float = 1.0, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    slopes = np.clip(d / beta, -1, 1) if beta else np.sign(d)
    return _pointwise(slopes * (d - slopes * (beta / 2)), slopes, sample_weight, reduction, out)


smooth_l1_loss = _value_of(smooth_l1_loss_with_grad)


def log_cosh_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    d = _difference(input, target)
    size = np.abs(d)
    losses = np.where(size < 1, np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2), size + np.log1p(np.exp(-2 * size)) - np.log(2))
    return _pointwise(losses.astype(d.dtype, copy=False), np.tanh(d), sample_weight, reduction, out)


log_cosh_loss = _value_of(log_cosh_loss_with_grad)


def binary_cross_entropy_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    with np.errstate(divide="ignore"):
        losses = -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))
    return _pointwise(losses, (x - t) / np.maximum(x * (1 - x), 1e-12), sample_weight, reduction, out)


binary_cross_entropy = _value_of(binary_cross_entropy_with_grad)


def binary_cross_entropy_with_logits_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, pos_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    u = np.exp(-np.abs(x))
    yes = t if pos_weight is None else t * np.asarray(pos_weight, x.dtype)
    losses = (yes + (1 - t)) * np.log1p(u) + yes * np.maximum(-x, 0) + (1 - t) * np.maximum(x, 0)
    slopes = ((1 - t) * np.where(x < 0, u, 1) - yes * np.where(x < 0, 1, u)) / (1 + u)
    return _pointwise(losses, slopes, sample_weight, reduction, out)


binary_cross_entropy_with_logits = _value_of(binary_cross_entropy_with_logits_with_grad)


def focal_loss_with_logits_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, gamma: float = 2.0, alpha: float | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    u = np.exp(-np.abs(x))
    p, q = np.where(x < 0, u, 1) / (1 + u), np.where(x < 0, 1, u) / (1 + u)
    miss, bce = t * q + (1 - t) * p, np.log1p(u) + t * np.maximum(-x, 0) + (1 - t) * np.maximum(x, 0)
    factor = miss**gamma if alpha is None else miss**gamma * (t * alpha + (1 - t) * (1 - alpha))
    with np.errstate(invalid="ignore"):
        share = np.where(miss > 0, p * q / miss, 0)
    slopes = factor * ((1 - t) * p - t * q + gamma * (1 - 2 * t) * share * bce)
    return _pointwise(factor * bce, slopes, sample_weight, reduction, out)


focal_loss_with_logits = _value_of(focal_loss_with_logits_with_grad)


def hinge_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    losses = np.maximum(0, 1 - t * x)
    return _pointwise(losses, np.where(losses > 0, -t, losses), sample_weight, reduction, out)


hinge_loss = _value_of(hinge_loss_with_grad)


def squared_hinge_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    losses = np.maximum(0, 1 - t * x)
    return _pointwise(losses * losses, -2 * t * losses, sample_weight, reduction, out)


squared_hinge_loss = _value_of(squared_hinge_loss_with_grad)


def soft_margin_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    z = -t * x
    u = np.exp(-np.abs(z))
    slopes = -t * np.where(z < 0, u, 1) / (1 + u)
    return _pointwise(np.log1p(u) + np.maximum(z, 0), slopes, sample_weight, reduction, out)


soft_margin_loss = _value_of(soft_margin_loss_with_grad)


def poisson_nll_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    if log_input:
        rate = np.exp(x)
        losses, slopes = rate - t * x, rate - t
    else:
        losses, slopes = x - t * np.log(x + eps), 1 - t / (x + eps)
    if full:
        above = np.maximum(t, 1)
        losses = losses + np.where(t > 1, above * np.log(above) - above + np.log(2 * np.pi * above) / 2, 0)
    return _pointwise(losses, slopes, sample_weight, reduction, out)


poisson_nll_loss = _value_of(poisson_nll_loss_with_grad)


def kl_div_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, log_target: bool = False, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, t = _same_shape(input, target)
    if log_target:
        p = np.exp(t)
        return _pointwise(p * (t - x), -p, sample_weight, reduction, out)
    with np.errstate(divide="ignore"):
        losses = t * (np.where(t == 0, 0, np.log(t)) - x)
    return _pointwise(losses, -t, sample_weight, reduction, out)


kl_div = _value_of(kl_div_with_grad)


def quantile_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9), reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x = real(input)
    d, q = np.asarray(target, x.dtype).reshape(-1, 1) - x, np.asarray(quantiles, x.dtype)
    slopes = np.where(d > 0, -q, np.where(d < 0, 1 - q, d))
    return _pointwise(np.maximum(q * d, (q - 1) * d), slopes, sample_weight, reduction, out)


quantile_loss = _value_of(quantile_loss_with_grad)


def gaussian_nll_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, var: npt.ArrayLike, *,
    sample_weight: npt.ArrayLike | None = None, full: bool = False, eps: float = 1e-6, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray, np.ndarray]:
    d, v = _difference(input, target), np.maximum(_same_shape(input, var)[1], eps)
    losses = (np.log(v) + d * d / v) / 2 + (np.log(2 * np.pi) / 2 if full else 0)
    _, dvar = _pointwise(losses, (1 / v - d * d / (v * v)) / 2, sample_weight, reduction, None)
    return *_pointwise(losses, d / v, sample_weight, reduction, out), dvar


gaussian_nll_loss = _value_of(gaussian_nll_loss_with_grad)


def nll_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    weight: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, y, w, own = _labelled(input, target, weight, sample_weight, ignore_index)
    rows, slopes = np.arange(len(x)), np.zeros_like(x)
    slopes[rows, y] = -1
    return _by_row(input, -x[rows, y], slopes, w * own, w * own, reduction, out)


nll_loss = _value_of(nll_loss_with_grad)


def multiclass_hinge_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    weight: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None, ignore_index: int = -100, margin: float = 1.0, p: int = 1, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, y, w, own = _labelled(input, target, weight, sample_weight, ignore_index)
    return _by_row(input, *_hinge_rows(x, y, margin, p), w * own, w * own, reduction, out)


multiclass_hinge_loss = _value_of(multiclass_hinge_loss_with_grad)


def multi_margin_loss_with_grad(
    input: npt.ArrayLike, target: npt.ArrayLike, *,
    weight: npt.ArrayLike | None = None, sample_weight: npt.ArrayLike | None = None, ignore_index: int = -100, p: int = 1, margin: float = 1.0, reduction: str = "mean",
    out: np.ndarray | None = None
) -> tuple[float | np.ndarray, np.ndarray]:
    x, y, w, own = _labelled(input, target, weight, sample_weight, ignore_index)
    losses, slopes = _hinge_rows(x, y, margin, p)
    return _by_row(input, losses / x.shape[1], slopes / x.shape[1], w * own, w, reduction, out)


multi_margin_loss = _value_of(multi_margin_loss_with_grad)
# fmt: on
