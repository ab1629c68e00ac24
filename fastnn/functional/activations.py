"""Activations forward and backward, prelu, maxout and dropout."""

from __future__ import annotations

from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core
from fastnn.functional.signatures import ARRAY, OPTIONAL_ARRAY, OUT, REQUIRED, describe, numbers

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

_Function = abc.Callable[..., np.ndarray]


def activations() -> dict[str, tuple]:
    """Describe every activation.

    Returns
    -------
    dict
        From name to ``ActivationInfo(name, params, saves, ulp, ulp_backward, domain, ...)``: parameters with their defaults;
        ``saves`` is ``"x"`` where the backward call takes the input, ``"y"`` where it may take the output instead (of
        ``leaky_relu`` and ``elu`` only while no parameter is negative: y does not tell the sign of x then); the largest
        errors in units in the last place, float32 and (``ulp_float64``, ``ulp_backward_float64``) float64; the ``layer``
        class's name; with default parameters the ``output`` interval and the ``gain`` for initialisation
        (``torch.nn.init.calculate_gain`` where PyTorch has one, else 1).
    """
    return _core.activations()


def _docstrings(info, formula, derivative):
    """Return the docstrings of an activation and of its gradient."""
    parameters = "".join(f"    {key} : float, default {value}\n" for key, value in info.params.items())
    forward = f"""{formula}

    Parameters
    ----------
    x : array_like
        Any shape.
{parameters}    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``. Within {info.ulp:g} ulp in float32, {info.ulp_float64:g} in float64, at the default parameters.

    Raises
    ------
    ValueError
        For a value that a parameter does not accept, or an ``out`` of another shape than ``x``.
    TypeError
        For an ``x`` that is no array of real numbers, an unknown parameter, or an ``out`` of another dtype than the result.
    """
    backward = f"""Gradient of ``{info.name}``: grad * f', {derivative}

    Parameters
    ----------
    grad : array_like
        Gradient of the output.
    x{", y : array_like, exactly one of them" if info.saves == "y" else " : array_like"}
        Input{" or output" if info.saves == "y" else ""} of the forward call, shape of ``grad``.
{parameters}    out : ndarray, optional
        Receives the result; may be any of the inputs.

    Returns
    -------
    ndarray
        Gradient of the input. From x within {info.ulp_backward:g} ulp in float32 (grad = 1), {info.ulp_backward_float64:g} in float64.

    Raises
    ------
    ValueError
        For shapes that differ, a value that a parameter does not accept, or ``y`` where only ``x`` tells.
    TypeError
        For an argument that is no array of real numbers, an unknown parameter, or an ``out`` of another dtype than the result.
    """
    return forward, backward


def _activation(name: str, formula: str, derivative: str) -> tuple[_Function, _Function]:
    """Make the two functions of a row of the table of activations."""
    info = _core.activations()[name]
    names = tuple(info.params)

    if names:

        def forward(x, *args, out=None, **params):
            if args:
                if len(args) > len(names):
                    raise TypeError(
                        f"{name} takes at most {len(names)} parameter{'s' * (len(names) > 1)} ({', '.join(names)}) "
                        f"but {len(args)} were given"
                    )
                for key, value in zip(names, args, strict=False):
                    if key in params:
                        raise TypeError(f"{name}: {key} is given twice")
                    params[key] = value
            return _core.activation_forward(name, x, params, out)
    else:

        def forward(x, *, out=None, **params):
            return _core.activation_forward(name, x, params, out)

    def backward(grad, *, x=None, y=None, out=None, **params):
        return _core.activation_backward(name, grad, x, y, params, out)

    doc, backward_doc = _docstrings(info, formula, derivative)
    params, out = numbers(info.params), {"out": (OUT, None)}
    saved = {"x": (ARRAY, REQUIRED)} if info.saves == "x" else dict.fromkeys("xy", (OPTIONAL_ARRAY, None))
    describe(forward, name, {"x": (ARRAY, REQUIRED)} | params, out, "np.ndarray", doc)
    grad = {"grad": (ARRAY, REQUIRED)}
    describe(backward, f"{name}_backward", grad, saved | params | out, "np.ndarray", backward_doc)
    return forward, backward


# fmt: off
identity, identity_backward = _activation("identity", "x, as ``torch.nn.Identity``", "f' = 1")
relu, relu_backward = _activation("relu", "max(x, 0) (Nair and Hinton, 2010)", "f' = 1 where x > 0, else 0")
leaky_relu, leaky_relu_backward = _activation("leaky_relu", "x where x > 0, else negative_slope x (Maas et al., 2013)", "f' = 1 where x > 0, else negative_slope")
elu, elu_backward = _activation("elu", "x where x > 0, else alpha (e^x - 1) (Clevert et al., 2016)", "f' = 1 where x > 0, else alpha e^x = y + alpha")
celu, celu_backward = _activation("celu", "x where x > 0, else alpha (e^(x / alpha) - 1) (Barron, 2017)", "f' = 1 where x > 0, else e^(x / alpha)")
sigmoid, sigmoid_backward = _activation("sigmoid", "1 / (1 + e^-x), as ``torch.sigmoid``", "f' = y (1 - y)")
tanh, tanh_backward = _activation("tanh", "(e^x - e^-x) / (e^x + e^-x), as ``torch.tanh``", "f' = 1 - y^2")
softplus, softplus_backward = _activation("softplus", "log(1 + e^(beta x)) / beta, and x where beta x > threshold (Dugas et al., 2001), as ``torch.nn.functional.softplus``", "f' = sigmoid(beta x), and 1 where beta x > threshold")
logsigmoid, logsigmoid_backward = _activation("logsigmoid", "log(sigmoid(x)), as ``torch.nn.functional.logsigmoid``", "f' = sigmoid(-x)")
hardshrink, hardshrink_backward = _activation("hardshrink", "0 where |x| <= lambd, else x (Donoho and Johnstone, 1994)", "f' = 0 where |x| <= lambd, else 1")
square, square_backward = _activation("square", "x^2, as ``torch.square``", "f' = 2 x")
silu, silu_backward = _activation("silu", "x sigmoid(x) (Elfwing et al., 2018)", "f' = sigmoid(x) (1 + x sigmoid(-x))")
gelu, gelu_backward = _activation("gelu", "x Phi(x), Phi the normal distribution (Hendrycks and Gimpel, 2016)", "f' = Phi(x) + x phi(x)")
gelu_tanh, gelu_tanh_backward = _activation("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016)", "f' = s (1 + x u' (1 - s)) with s = sigmoid(u), u = sqrt(8 / pi) (x + 0.044715 x^3)")
mish, mish_backward = _activation("mish", "x tanh(log(1 + e^x)) (Misra, 2019)", "f' = t + x (1 - t^2) sigmoid(x) with t = tanh(log(1 + e^x))")
selu, selu_backward = _activation("selu", "1.0507... elu(x, 1.6732...) (Klambauer et al., 2017)", "f' = 1.0507... where x > 0, else 1.7580... e^x = y + 1.7580...")
softsign, softsign_backward = _activation("softsign", "x / (1 + |x|) (Bergstra et al., 2009)", "f' = 1 / (1 + |x|)^2")
tanhshrink, tanhshrink_backward = _activation("tanhshrink", "x - tanh(x), as ``torch.nn.functional.tanhshrink``", "f' = tanh(x)^2")
softshrink, softshrink_backward = _activation("softshrink", "x - lambd where x > lambd, x + lambd where x < -lambd, else 0 (Donoho and Johnstone, 1994)", "f' = 1 where |x| > lambd, else 0")
threshold, threshold_backward = _activation("threshold", "x where x > threshold, else value, as ``torch.nn.functional.threshold``", "f' = 1 where x > threshold, else 0")
relu6, relu6_backward = _activation("relu6", "min(max(x, 0), 6) (Krizhevsky, 2010)", "f' = 1 between 0 and 6, else 0")
hardtanh, hardtanh_backward = _activation("hardtanh", "min(max(x, min_val), max_val) (Collobert, 2004)", "f' = 1 between min_val and max_val, else 0")
hardsigmoid, hardsigmoid_backward = _activation("hardsigmoid", "min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)", "f' = 1 / 6 between -3 and 3, else 0")
hardswish, hardswish_backward = _activation("hardswish", "x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)", "f' = (2 x + 3) / 6 between -3 and 3, 1 above, 0 below")
# fmt: on


def prelu(x: npt.ArrayLike, weight: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """Parametric ReLU: x where x > 0, else weight * x (He et al., 2015).

    Parameters
    ----------
    x : array_like, shape (..., features)
    weight : array_like, shape (1,) or (features,)
        One slope for all, or one per feature of the last axis.
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``.

    Raises
    ------
    ValueError
        For a ``weight`` of another shape, or an ``out`` of another shape than ``x``.
    TypeError
        For an argument that is no array of real numbers, or an ``out`` of another dtype than the result.
    """
    return _core.prelu(x, weight, out)


def prelu_backward(grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of ``prelu``: dx = grad (1 where x > 0, else weight); dweight sums grad x over x <= 0.

    Parameters
    ----------
    grad : array_like, shape of ``x``
        Gradient of the output.
    x : array_like, shape (..., features)
    weight : array_like, shape (1,) or (features,)
        As in the forward call.

    Returns
    -------
    dx : ndarray
        Shape of ``x``.
    dweight : ndarray
        Shape of ``weight``; summed in float64.

    Raises
    ------
    ValueError
        For shapes that do not fit each other.
    TypeError
        For an argument that is no array of real numbers.
    """
    return _core.prelu_backward(grad, x, weight)


def maxout(
    x: npt.ArrayLike, *, return_index: bool = False, out: np.ndarray | None = None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Largest of the pieces of each unit (Goodfellow et al., 2013); the first of equals; NaN wins.

    Parameters
    ----------
    x : array_like, shape (..., units, pieces)
    return_index : bool
        Also return which piece won, for ``maxout_backward``.
    out : ndarray, shape (..., units), optional
        Receives y.

    Returns
    -------
    y : ndarray, shape (..., units)
    index : ndarray of int64, shape (..., units)
        Only with ``return_index``.

    Raises
    ------
    ValueError
        For an ``x`` without pieces, or an ``out`` of another shape.
    TypeError
        For an ``x`` that is no array of real numbers, or an ``out`` of another dtype than the result.
    """
    return _core.maxout(x, return_index, out)


def maxout_backward(
    grad: npt.ArrayLike, index: npt.ArrayLike, pieces: int, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Gradient of ``maxout``: grad at the piece that won, 0 at the others.

    Parameters
    ----------
    grad : array_like, shape (..., units)
        Gradient of the output; at most 63 dimensions.
    index : array_like of int, shape (..., units)
        As returned by ``maxout``.
    pieces : int
        At least 1.
    out : ndarray, shape (..., units, pieces), optional
        Receives the result.

    Returns
    -------
    ndarray, shape (..., units, pieces)

    Raises
    ------
    IndexError
        For an index that is not in [0, pieces).
    ValueError
        For shapes that do not fit each other.
    TypeError
        For an argument that is no array of real numbers or, where integers are meant, of integers; an ``out`` of another dtype.
    """
    return _core.maxout_backward(grad, index, pieces, out)


def dropout(x: npt.ArrayLike, p: float, *, seed: int, step: int = 0, out: np.ndarray | None = None) -> np.ndarray:
    """Set elements to 0 with probability p and divide the others by 1 - p (Srivastava et al., 2014).

    Element i reads word i mod 4 of Philox4x32-10 (Salmon et al., SC 2011) with key ``seed`` and counter (i // 4, step, 0), so the
    same seed and step give the same mask, and the gradient is the same call on the gradient of the output.

    Parameters
    ----------
    x : array_like
        Any shape.
    p : float
        Probability in [0, 1].
    seed : int
        In [0, 2**64).
    step : int
        In [0, 2**32).
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``.

    Raises
    ------
    ValueError
        For a ``p``, ``seed`` or ``step`` out of range, or an ``out`` of another shape than ``x``.
    TypeError
        For an ``x`` that is no array of real numbers, a ``p`` that is no number, a ``seed`` that is no integer, an ``out`` of another dtype.
    """
    return _core.dropout(x, p, seed, step, out)
