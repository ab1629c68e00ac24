"""Activations forward and backward, prelu, maxout and dropout."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn.reference.arrays import copy, like, real

__all__ = [
    "activations", "celu", "celu_backward", "dropout", "elu", "elu_backward", "gelu", "gelu_backward", "gelu_tanh",
    "gelu_tanh_backward", "hardshrink", "hardshrink_backward", "hardsigmoid", "hardsigmoid_backward", "hardswish",
    "hardswish_backward", "hardtanh", "hardtanh_backward", "identity", "identity_backward", "leaky_relu",
    "leaky_relu_backward", "logsigmoid", "logsigmoid_backward", "maxout", "maxout_backward", "mish", "mish_backward",
    "prelu", "prelu_backward", "relu", "relu6", "relu6_backward", "relu_backward", "selu", "selu_backward", "sigmoid",
    "sigmoid_backward", "silu", "silu_backward", "softplus", "softplus_backward", "softshrink", "softshrink_backward",
    "softsign", "softsign_backward", "square", "square_backward", "tanh", "tanh_backward", "tanhshrink",
    "tanhshrink_backward", "threshold", "threshold_backward",
]  # fmt: skip


def activations() -> dict[str, tuple]:
    from fastnn import functional  # the one function that describes the library, not a computation

    return functional.activations()


def both_of(name):
    """Return the two functions of an activation; None is the identity."""
    name = name or "identity"
    return globals()[name], globals()[f"{name}_backward"]


def identity(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    return copy(real(x), out)


def identity_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    return copy(real(grad), out)


def relu(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    return np.maximum(real(x), 0, out=out)


def relu_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    return np.multiply(grad, saved > 0, out=out)


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.01, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    pick = np.maximum if negative_slope <= 1 else np.minimum
    return pick(x, x * negative_slope, out=out)


def leaky_relu_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    negative_slope: float = 0.01,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    return np.multiply(grad, np.where(saved > 0, grad.dtype.type(1), grad.dtype.type(negative_slope)), out=out)


def elu(x: npt.ArrayLike, alpha: float = 1.0, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    positive = np.maximum(x, 0)
    y = np.minimum(x, 0, out=like(x, out))
    np.expm1(y, out=y)
    y *= alpha
    y += positive
    return y


def elu_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    alpha: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    negative = alpha * np.exp(np.minimum(saved, 0)) if y is None else saved + alpha
    return np.multiply(grad, np.where(saved > 0, grad.dtype.type(1), negative), out=out)


def celu(x: npt.ArrayLike, alpha: float = 1.0, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    positive = np.maximum(x, 0)
    y = np.minimum(x, 0, out=like(x, out))
    y /= alpha
    np.expm1(y, out=y)
    y *= alpha
    y += positive
    return y


def celu_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    alpha: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    negative = np.exp(np.minimum(saved, 0) / alpha) if y is None else (saved + alpha) / alpha
    return np.multiply(grad, np.where(saved > 0, grad.dtype.type(1), negative), out=out)


def sigmoid(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    y = np.negative(x, out=like(x, out))
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def sigmoid_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    if x is None:
        slope = 1 - saved
        slope *= saved
    else:  # e / (1 + e)^2 with e = exp(-|x|) keeps the digits of the tails, which y (1 - y) loses
        e = np.exp(-np.abs(saved))
        slope = e / np.square(1 + e)
    return np.multiply(grad, slope, out=out)


def tanh(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    return np.tanh(real(x), out=out)


def tanh_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    if x is None:
        slope = (1 - saved) * (1 + saved)  # 1 - y^2 loses digits near 1
    else:
        e = np.exp(-2 * np.abs(saved))
        slope = 4 * e / np.square(1 + e)
    return np.multiply(grad, slope, out=out)


def _log1p_exp(z):
    """Return log(1 + e^z) = max(z, 0) + log1p(e^-|z|)."""
    y = np.abs(z, out=np.empty_like(z))
    np.negative(y, out=y)
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y += np.maximum(z, 0)
    return y


def softplus(
    x: npt.ArrayLike, beta: float = 1.0, threshold: float = 20.0, *, out: np.ndarray | None = None
) -> np.ndarray:
    x = real(x)
    z = x * beta
    y = _log1p_exp(z)
    y /= beta
    return copy(np.where(z > threshold, x, y), out)


def softplus_backward(
    grad: npt.ArrayLike, *, x: npt.ArrayLike, beta: float = 1.0, threshold: float = 20.0, out: np.ndarray | None = None
) -> np.ndarray:
    grad, x = real(grad, x)
    z = x * beta
    return np.multiply(grad, np.where(z > threshold, grad.dtype.type(1), sigmoid(z)), out=out)


def logsigmoid(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    y = _log1p_exp(-real(x))
    return np.negative(y, out=y if out is None else out)


def logsigmoid_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    return np.multiply(grad, sigmoid(-x), out=out)


def hardshrink(x: npt.ArrayLike, lambd: float = 0.5, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    return np.multiply(x, ~(np.abs(x) <= lambd), out=out)


def hardshrink_backward(
    grad: npt.ArrayLike, *, x: npt.ArrayLike, lambd: float = 0.5, out: np.ndarray | None = None
) -> np.ndarray:
    grad, x = real(grad, x)
    return np.multiply(grad, ~(np.abs(x) <= lambd), out=out)


def square(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    return np.square(real(x), out=out)


def square_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    return np.multiply(grad, 2 * x, out=out)


def silu(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    return np.multiply(np.maximum(x, -1000), sigmoid(x), out=out)  # -inf * 0 is kept away; the value there is 0


def silu_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    c = np.clip(x, -1000, 1000)
    slope = sigmoid(x)
    slope *= 1 + c * sigmoid(-c)
    return np.multiply(grad, slope, out=out)


# R(a) = Q(a) exp(a^2 / 2) with Q(a) = erfc(a / sqrt(2)) / 2 as a Chebyshev series in t = (a - 3) / (a + 3), from mpmath with 60
# digits on 200 nodes; its first 13 terms reach float32, 27 float64, all long double. Text, so that a wider type gets all digits.
_GAUSS_TAIL = np.array([
    "0.18514957201209624282", "-0.23940761594133568166", "0.064266928339856979243", "-0.010740314637849495287",
    "0.00060662418653222822778", "0.00015142920276627200083", "-0.000023878845891743236181", "-3.64016810956319577e-6",
    "7.7757118193495981548e-7", "1.4898760096630540297e-7", "-2.3699624889864749895e-8", "-7.8411072168217075865e-9",
    "4.1214506638056219946e-10", "4.1593926901840809739e-10", "2.7564947286810201553e-11", "-1.8327743351331340467e-11",
    "-4.1607985604283937909e-12", "3.9538293576848083426e-13", "3.13742511918623944e-13", "3.2371210871387853227e-14",
    "-1.36694850736111736e-14", "-4.8660308767185349755e-15", "-1.1284648695563601939e-16", "3.0964925134234311551e-16",
    "7.9086498446468503763e-17", "-3.4773442483978619383e-18", "-6.6858323686959337065e-18", "-1.4399036899662163843e-18",
    "1.3573783934506029923e-19", "1.492257462692367502e-19", "3.0466444920763566812e-20", "-3.4587638482104300024e-21",
])  # fmt: skip


def _gauss_tail(a):
    """Return R(a) and exp(-a^2 / 2) for a >= 0; Q(a), the normal distribution's tail, is their product."""
    series = _GAUSS_TAIL[: {4: 13, 8: 27}.get(a.itemsize)]
    ratio = np.polynomial.chebyshev.chebval((a - 3) / (a + 3), series.astype(a.dtype))
    return ratio, np.exp(-0.5 * np.square(a))


def gelu(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    ratio, density = _gauss_tail(np.minimum(np.abs(x), 50))
    tail = ratio * density
    return np.multiply(np.maximum(x, -50), np.where(x < 0, tail, 1 - tail), out=out)


def gelu_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    a = np.minimum(np.abs(x), 50)
    ratio, density = _gauss_tail(a)
    slope = density * (ratio - a / np.sqrt(8 * np.arctan(x.dtype.type(1))))  # sqrt(2 pi), in the dtype
    return np.multiply(grad, np.where(x < 0, slope, 1 - slope), out=out)


def _gelu_tanh_argument(x):
    """Return u with gelu_tanh(x) = x sigmoid(u), and x u'(x)."""
    c = np.sqrt(8 / (4 * np.arctan(x.dtype.type(1))))  # 2 sqrt(2 / pi), in the dtype
    x2 = x.dtype.type("0.044715") * np.square(x)
    return c * x * (1 + x2), c * x * (1 + 3 * x2)


def gelu_tanh(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    return np.multiply(np.maximum(x, -50), sigmoid(_gelu_tanh_argument(np.clip(x, -50, 50))[0]), out=out)


def gelu_tanh_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    u, slope = _gelu_tanh_argument(np.clip(x, -50, 50))
    slope *= sigmoid(-u)
    slope += 1
    slope *= sigmoid(u)
    return np.multiply(grad, slope, out=out)


def _mish_parts(x):
    """Return e = exp(-|x|) and n, d with tanh(log(1 + e^x)) = n / d."""
    e = np.exp(-np.abs(x))
    n = 2 * e + np.where(x < 0, e * e, 1)
    return e, n, n + 2 * np.where(x < 0, 1, e * e)


def mish(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    c = np.maximum(x, -1000)  # keeps -inf * 0 away; the value there is 0
    _, n, d = _mish_parts(c)
    n /= d
    return np.multiply(c, n, out=out)


def mish_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    c = np.clip(x, -1000, 1000)
    e, n, d = _mish_parts(c)
    slope = n * d + 4 * c * (1 + e) * np.where(x < 0, e, e * e)
    slope /= d
    slope /= d
    return np.multiply(grad, slope, out=out)


_SELU_SCALE, _SELU_ALPHA = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"


def selu(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    scale, alpha = map(x.dtype.type, (_SELU_SCALE, _SELU_ALPHA))
    return np.multiply(elu(x, alpha), scale, out=out)


def selu_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    scale, alpha = map(saved.dtype.type, (_SELU_SCALE, _SELU_ALPHA))
    negative = scale * alpha * np.exp(np.minimum(saved, 0)) if y is None else saved + scale * alpha
    return np.multiply(grad, np.where(saved > 0, scale, negative), out=out)


def softsign(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    c = np.clip(x, -np.finfo(x.dtype).max, np.finfo(x.dtype).max)
    return np.divide(c, 1 + np.abs(c), out=out)


def softsign_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    slope = np.reciprocal(1 + np.abs(x))
    slope *= slope
    return np.multiply(grad, slope, out=out)


def tanhshrink(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    y = x - np.tanh(x)
    if x.dtype not in (np.float32, np.float64):  # the oracle: near 0 the difference has no digits, the series has all
        x2, term, series = np.square(x), x.dtype.type(1), x.dtype.type(0)
        for n in range(1, 20):
            term = term * x2 / ((2 * n) * (2 * n + 1))
            series = series + 2 * n * term
        y = np.where(np.abs(x) < 1, x * series / np.cosh(np.minimum(np.abs(x), 1)), y)
    return copy(y, out)


def tanhshrink_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    return np.multiply(grad, np.square(np.tanh(x)), out=out)


def softshrink(x: npt.ArrayLike, lambd: float = 0.5, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    return np.subtract(x, np.clip(x, -lambd, lambd), out=out)


def softshrink_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    lambd: float = 0.5,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    return np.multiply(grad, ~(np.abs(saved) <= (lambd if y is None else 0)), out=out)


def threshold(
    x: npt.ArrayLike, threshold: float = 1.0, value: float = 0.0, *, out: np.ndarray | None = None
) -> np.ndarray:
    x = real(x)
    return copy(np.where(x <= threshold, x.dtype.type(value), x), out)


def threshold_backward(
    grad: npt.ArrayLike, *, x: npt.ArrayLike, threshold: float = 1.0, value: float = 0.0, out: np.ndarray | None = None
) -> np.ndarray:
    grad, x = real(grad, x)
    return np.multiply(grad, ~(x <= threshold), out=out)


def relu6(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    return np.clip(real(x), 0, 6, out=out)


def relu6_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    return np.multiply(grad, (saved > 0) & (saved < 6), out=out)


def hardtanh(
    x: npt.ArrayLike, min_val: float = -1.0, max_val: float = 1.0, *, out: np.ndarray | None = None
) -> np.ndarray:
    return np.clip(real(x), min_val, max_val, out=out)


def hardtanh_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    min_val: float = -1.0,
    max_val: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    return np.multiply(grad, (saved > min_val) & (saved < max_val), out=out)


def hardsigmoid(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    y = np.clip(real(x) + 3, 0, 6, out=out)
    y /= 6
    return y


def hardsigmoid_backward(
    grad: npt.ArrayLike,
    *,
    x: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    grad, saved = real(grad, y if x is None else x)
    inside = (saved > -3) & (saved < 3) if y is None else (saved > 0) & (saved < 1)
    return np.multiply(grad, inside / grad.dtype.type(6), out=out)


def hardswish(x: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    c = np.maximum(x, -3)  # keeps -inf * 0 away; the value there is 0
    return np.multiply(c, np.minimum(c + 3, 6) / 6, out=out)


def hardswish_backward(grad: npt.ArrayLike, *, x: npt.ArrayLike, out: np.ndarray | None = None) -> np.ndarray:
    grad, x = real(grad, x)
    slope = np.where(x < 3, (2 * x + 3) / 6, x.dtype.type(1))
    return np.multiply(grad, np.where(x <= -3, x.dtype.type(0), slope), out=out)


def _slopes(weight):
    """Return the slope of each feature, or one for all as a number, so that x keeps its shape."""
    return weight.reshape(()) if weight.size == 1 else weight


def prelu(x: npt.ArrayLike, weight: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    x, weight = real(x, weight)
    y = np.where(x > 0, x, x * _slopes(weight))
    return y if out is None else copy(y, out)


def prelu_backward(grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    grad, x, weight = real(grad, x, weight)
    positive = x > 0
    dx = grad * np.where(positive, grad.dtype.type(1), _slopes(weight))
    dweight = np.where(positive, 0, grad * x).sum(
        axis=None if weight.size == 1 else tuple(range(x.ndim - 1)), dtype=np.float64
    )
    return dx, np.reshape(dweight, weight.shape).astype(x.dtype)


def maxout(
    x: npt.ArrayLike, *, return_index: bool = False, out: np.ndarray | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    x = real(x)
    if not return_index:
        return x.max(-1, out=out)
    index = x.argmax(-1)
    y = np.take_along_axis(x, index[..., None], -1)[..., 0]
    return copy(y, out), index


def maxout_backward(
    grad: npt.ArrayLike, index: npt.ArrayLike, pieces: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    grad = real(grad)
    dx = np.empty((*grad.shape, pieces), grad.dtype) if out is None else out
    dx[...] = 0
    np.put_along_axis(dx, np.asarray(index)[..., None], grad[..., None], -1)
    return dx


def _philox(block, step, layer, seed):
    """Return the four words of Philox4x32-10 for an array of block numbers; shape (blocks, 4)."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    word = np.stack([block & low, block >> half, np.full_like(block, step), np.full_like(block, layer)])
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = word[0] * np.uint64(0xD2511F53), word[2] * np.uint64(0xCD9E8D57)
        word = np.stack([(b >> half) ^ word[1] ^ np.uint64(key[0]), b & low,
                         (a >> half) ^ word[3] ^ np.uint64(key[1]), a & low])  # fmt: skip
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return word.T


def dropout(x: npt.ArrayLike, p: float, *, seed: int, step: int = 0, out: np.ndarray | None = None) -> np.ndarray:
    x = real(x)
    words = _philox(np.arange((x.size + 3) // 4, dtype=np.uint64), step, 0, seed).ravel()[: x.size].reshape(x.shape)
    scale = x.dtype.type(1 / (1 - p)) if p < 1 else x.dtype.type(0)
    return copy(np.where(words >= p * 2.0**32, x * scale, x.dtype.type(0)), out)
