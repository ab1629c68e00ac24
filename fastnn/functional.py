"""The kernels as functions on arrays.

Everywhere: arrays are NumPy arrays or anything NumPy can read (``__array__``, CPU ``__dlpack__``), of any layout. The dtype of the
result is ``np.result_type(x, np.float32)``, at most float64. ``out=`` must have the exact shape and dtype, is returned, and may be
the input of an elementwise call. Errors are raised before anything is written: ValueError for shapes and values, TypeError for
types and unknown keywords, IndexError for labels out of range. :mod:`fastnn.reference` holds the same functions in NumPy.
"""

from __future__ import annotations

import inspect
from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core

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


# ----------------------------------------------------------------------------------------------------------- activations


def _signature(first, info, last):
    """Return the signature (first..., parameters with defaults, last...) of an activation's function."""
    given, only = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    kind = given if first == ["x"] else only
    names = [inspect.Parameter(name, given) for name in first]
    names += [inspect.Parameter(name, only) for name in last[:-1] if info.saves == "x"]
    names += [inspect.Parameter(name, only, default=None) for name in last[:-1] if info.saves == "y"]
    names += [inspect.Parameter(name, kind, default=value) for name, value in info.params.items()]
    return inspect.Signature([*names, inspect.Parameter("out", only, default=None)])


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

    saved = ["x", "y"] if info.saves == "y" else ["x"]
    for function, suffix in ((forward, ""), (backward, "_backward")):
        function.__name__ = function.__qualname__ = name + suffix
    forward.__signature__ = _signature(["x"], info, ["out"])
    backward.__signature__ = _signature(["grad"], info, [*saved, "out"])
    forward.__doc__, backward.__doc__ = _docstrings(info, formula, derivative)
    return forward, backward


# fmt: off
identity, identity_backward = _activation("identity", "x", "f' = 1")
relu, relu_backward = _activation("relu", "max(x, 0)", "f' = 1 where x > 0, else 0")
leaky_relu, leaky_relu_backward = _activation("leaky_relu", "x where x > 0, else negative_slope x", "f' = 1 where x > 0, else negative_slope")
elu, elu_backward = _activation("elu", "x where x > 0, else alpha (e^x - 1)", "f' = 1 where x > 0, else alpha e^x = y + alpha")
celu, celu_backward = _activation("celu", "x where x > 0, else alpha (e^(x / alpha) - 1)", "f' = 1 where x > 0, else e^(x / alpha)")
sigmoid, sigmoid_backward = _activation("sigmoid", "1 / (1 + e^-x)", "f' = y (1 - y)")
tanh, tanh_backward = _activation("tanh", "(e^x - e^-x) / (e^x + e^-x)", "f' = 1 - y^2")
softplus, softplus_backward = _activation("softplus", "log(1 + e^(beta x)) / beta, and x where beta x > threshold", "f' = sigmoid(beta x), and 1 where beta x > threshold")
logsigmoid, logsigmoid_backward = _activation("logsigmoid", "log(sigmoid(x))", "f' = sigmoid(-x)")
hardshrink, hardshrink_backward = _activation("hardshrink", "0 where |x| <= lambd, else x", "f' = 0 where |x| <= lambd, else 1")
square, square_backward = _activation("square", "x^2", "f' = 2 x")
silu, silu_backward = _activation("silu", "x sigmoid(x) (Elfwing et al., 2018)", "f' = sigmoid(x) (1 + x sigmoid(-x))")
gelu, gelu_backward = _activation("gelu", "x Phi(x), Phi the normal distribution (Hendrycks and Gimpel, 2016)", "f' = Phi(x) + x phi(x)")
gelu_tanh, gelu_tanh_backward = _activation("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016)", "f' = s (1 + x u' (1 - s)) with s = sigmoid(u), u = sqrt(8 / pi) (x + 0.044715 x^3)")
mish, mish_backward = _activation("mish", "x tanh(log(1 + e^x)) (Misra, 2019)", "f' = t + x (1 - t^2) sigmoid(x) with t = tanh(log(1 + e^x))")
selu, selu_backward = _activation("selu", "1.0507... elu(x, 1.6732...) (Klambauer et al., 2017)", "f' = 1.0507... where x > 0, else 1.7580... e^x = y + 1.7580...")
softsign, softsign_backward = _activation("softsign", "x / (1 + |x|)", "f' = 1 / (1 + |x|)^2")
tanhshrink, tanhshrink_backward = _activation("tanhshrink", "x - tanh(x)", "f' = tanh(x)^2")
softshrink, softshrink_backward = _activation("softshrink", "x - lambd where x > lambd, x + lambd where x < -lambd, else 0", "f' = 1 where |x| > lambd, else 0")
threshold, threshold_backward = _activation("threshold", "x where x > threshold, else value", "f' = 1 where x > threshold, else 0")
relu6, relu6_backward = _activation("relu6", "min(max(x, 0), 6)", "f' = 1 between 0 and 6, else 0")
hardtanh, hardtanh_backward = _activation("hardtanh", "min(max(x, min_val), max_val)", "f' = 1 between min_val and max_val, else 0")
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


# ------------------------------------------------------------------------------------------------------- matrix products


def matmul(a: npt.ArrayLike, b: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """Matrix product, as ``np.matmul`` for 1-D and 2-D arrays and (..., k) @ (k, n). Transposed views cost no copy.

    Sums over k run in chunks of 512, each one chain of fused multiply-adds: the same bits on every CPU with FMA.

    Parameters
    ----------
    a : array_like, shape (k,) or (..., k)
    b : array_like, shape (k,) or (k, n)
    out : ndarray, optional
        Receives the result; a copy is made where it overlaps an input.

    Returns
    -------
    ndarray
        Shape (..., n); without n where ``b`` is 1-D.

    Raises
    ------
    ValueError
        For shapes that do not fit each other.
    TypeError
        For an argument that is no array of real numbers, or an ``out`` of another dtype than the result.
    """
    return _core.matmul(a, b, out)


def linear(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: np.ndarray | None = None,
    return_preactivation: bool = False,
    **params: float,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """activation(x @ weight.T + bias), fused.

    Parameters
    ----------
    x : array_like, shape (..., in_features)
    weight : array_like, shape (out_features, in_features)
    bias : array_like, shape (out_features,), optional
    activation : str, optional
        A name of ``activations()``.
    out : ndarray, shape (..., out_features), optional
        Receives y; a copy is made where it overlaps an input.
    return_preactivation : bool
        Also return z = x @ weight.T + bias.
    **params : float
        Parameters of the activation.

    Returns
    -------
    y : ndarray, shape (..., out_features)
    z : ndarray, shape (..., out_features)
        Only with ``return_preactivation``.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, an unknown activation or a value that it does not accept.
    TypeError
        For an argument that is no array of real numbers, an unknown parameter of the activation, an ``out`` of another dtype.
    """
    return _core.linear(x, weight, bias, activation, out, return_preactivation, params)


def linear_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    activation: str | None = None,
    z: npt.ArrayLike | None = None,
    y: npt.ArrayLike | None = None,
    need_dx: bool = True,
    **params: float,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of ``linear``: with dz = grad * activation'(z), dx = dz @ weight, dweight = dz.T @ x, dbias = sum of dz.

    Parameters
    ----------
    grad : array_like, shape (..., out_features)
        Gradient of the output.
    x : array_like, shape (..., in_features)
    weight : array_like, shape (out_features, in_features)
    activation : str, optional
        As in the forward call; ``activations()[name].saves`` says whether ``y`` suffices; else it needs ``z``.
    z, y : array_like, shape (..., out_features), optional
        Preactivation and output of the forward call.
    need_dx : bool
        Whether to compute dx; the first layer of a network needs none.
    **params : float
        Parameters of the activation.

    Returns
    -------
    dx : ndarray, shape of ``x``, or None
    dweight : ndarray, shape (out_features, in_features)
    dbias : ndarray, shape (out_features,)

    Raises
    ------
    ValueError
        For shapes that do not fit each other, an unknown activation or a value that it does not accept.
    TypeError
        For an argument that is no array of real numbers, an unknown parameter of the activation, or a missing ``z`` or ``y``.
    """
    return _core.linear_backward(grad, x, weight, activation, z, y, need_dx, params)


# ----------------------------------------------------------------------------------------------------- softmax and losses


def softmax(x: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None) -> np.ndarray:
    """e^x / sum of e^x along an axis, shifted by the maximum.

    Parameters
    ----------
    x : array_like, at least 1-D
    axis : int
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``. A row with NaN, +inf, or only -inf gives NaN, as in PyTorch.

    Raises
    ------
    ValueError
        For an ``axis`` that is not one of the array, a 0-d array, or an ``out`` of another shape.
    TypeError
        For an argument that is no array of real numbers, an ``axis`` that is no integer, or an ``out`` of another dtype than the result.
    """
    return _core.softmax(x, axis, out)


def softmax_backward(
    grad: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Gradient of ``softmax`` from its output: y (grad - sum of grad y).

    Parameters
    ----------
    grad, y : array_like
        Of one shape.
    axis : int
    out : ndarray, optional
        Receives the result; may be an input.

    Returns
    -------
    ndarray
        Shape of ``grad``.

    Raises
    ------
    ValueError
        For an ``axis`` that is not one of the array, a 0-d array, or an ``out`` of another shape.
    TypeError
        For an argument that is no array of real numbers, an ``axis`` that is no integer, or an ``out`` of another dtype than the result.
    """
    return _core.softmax_backward(grad, y, axis, out)


def log_softmax(x: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None) -> np.ndarray:
    """Logarithm of ``softmax``: x - max - log1p of the sum of the other terms, exact near 0.

    Parameters
    ----------
    x : array_like, at least 1-D
    axis : int
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``grad``.
        Shape of ``x``.

    Raises
    ------
    ValueError
        For an ``axis`` that is not one of the array, a 0-d array, or an ``out`` of another shape.
    TypeError
        For an argument that is no array of real numbers, an ``axis`` that is no integer, or an ``out`` of another dtype than the result.
    """
    return _core.log_softmax(x, axis, out)


def log_softmax_backward(
    grad: npt.ArrayLike, y: npt.ArrayLike, axis: int = -1, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Gradient of ``log_softmax`` from its output: grad - e^y sum of grad.

    Parameters
    ----------
    grad, y : array_like
        Of one shape.
    axis : int
    out : ndarray, optional
        Receives the result; may be an input.

    Returns
    -------
    ndarray
        Shape of ``grad``.

    Raises
    ------
    ValueError
        For an ``axis`` that is not one of the array, a 0-d array, or an ``out`` of another shape.
    TypeError
        For an argument that is no array of real numbers, an ``axis`` that is no integer, or an ``out`` of another dtype than the result.
    """
    return _core.log_softmax_backward(grad, y, axis, out)


def _describe(function, name, positional, keywords, doc):
    """Give a function its name, docstring and signature, from arguments to defaults."""
    first = dict.fromkeys(positional, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    function.__signature__ = inspect.Signature(
        inspect.Parameter(key, first.get(key, inspect.Parameter.KEYWORD_ONLY), default=value)
        for key, value in (positional | keywords).items()
    )
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc


_LABEL_TARGET = """    target : array_like
        Integer labels, shape (batch,) or (batch, 1); or probabilities, shape of ``logits``.
    weight : array_like, shape (classes,), optional
        Weight of each class.
    sample_weight : array_like, shape (batch,), optional
        Weight of each row.
    ignore_index : int
        Rows with this label count nothing.
"""
_LABEL_ERROR = "    IndexError\n        For a label that is neither in [0, classes) nor ``ignore_index``.\n"
_NUMBERS_TARGET = """    target : array_like, shape of ``input``
        (batch,) and (batch, 1) count as one shape.
    sample_weight : array_like, shape (batch,), optional
        Weight of each row.
"""


def _loss_docs(info, formula, derivative):
    """Return the docstrings of the two functions of a loss."""
    x = "logits" if info.labels else "input"
    shape, terms = (
        ("(batch,)", "rows: sample weight times class weight") if info.labels else ("of ``input``", "elements")
    )
    parameters = "".join(f"    {key} : float, default {value:g}\n" for key, value in info.params.items())
    doc = f"""{formula}

    Parameters
    ----------
    {x} : array_like, shape {"(batch, classes) or (classes,)" if info.labels else "(batch, ...)"}
{_LABEL_TARGET if info.labels else _NUMBERS_TARGET}{parameters}    reduction : {{"mean", "sum", "none"}}
        The mean divides by the sum of the weights of all {terms}; NaN where that is 0.

    Returns
    -------
    float, or ndarray of shape {shape} for "none"

    Raises
    ------
    TypeError, ValueError
        For an unknown parameter, shapes that do not fit and values that are not accepted.
{_LABEL_ERROR if info.labels else ""}    """
    doc_with_grad = f"""``{info.function}`` and its gradient by ``{x}``, {derivative}, in one pass.

    Parameters are those of ``{info.function}``; ``out`` receives the gradient and may be ``{x}``.

    Returns
    -------
    loss : float, or ndarray of shape {shape} for "none"
    d{x} : ndarray, shape and dtype of ``{x}``
        Gradient of the loss; for "none" of the sum of the losses.
    """
    return doc, doc_with_grad


def _loss(name, formula, derivative):
    """Make the two functions of a row of the table of losses."""
    row = _core.LOSSES[name]
    info = row.info
    plain_name, grad_name = info.function, f"{info.function}_with_grad"

    # fmt: off
    if info.labels:
        def plain(logits, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", **params):
            return _core.loss(plain_name, row, False, logits, target, weight, sample_weight, ignore_index, params, reduction, None, None)

        def with_grad(logits, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, logits, target, weight, sample_weight, ignore_index, params, reduction, None, out)
    else:
        def plain(input, target, *, sample_weight=None, reduction="mean", **params):
            return _core.loss(plain_name, row, False, input, target, None, sample_weight, None, params, reduction, None, None)

        def with_grad(input, target, *, sample_weight=None, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, input, target, None, sample_weight, None, params, reduction, None, out)
    # fmt: on

    x = "logits" if info.labels else "input"
    given = {x: inspect.Parameter.empty, "target": inspect.Parameter.empty}
    options = {"weight": None, "sample_weight": None, "ignore_index": -100} if info.labels else {"sample_weight": None}
    options |= info.params | {"reduction": "mean"}
    doc, doc_with_grad = _loss_docs(info, formula, derivative)
    _describe(plain, plain_name, given, options, doc)
    _describe(with_grad, grad_name, given, options | {"out": None}, doc_with_grad)
    return plain, with_grad


# fmt: off
cross_entropy, cross_entropy_with_grad = _loss("cross_entropy", "Softmax cross-entropy of logits, as ``torch.nn.functional.cross_entropy``: -sum_j q_j log softmax_j with q_j = weight_j ((1 - label_smoothing) target_j + label_smoothing / classes).", "softmax sum_j q_j - q")
mse_loss, mse_loss_with_grad = _loss("mse", "Squared error (input - target)^2.", "2 (input - target)")
huber_loss, huber_loss_with_grad = _loss("huber", "d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = input - target (Huber, 1964), as ``torch.nn.functional.huber_loss``.", "d clamped to +-delta")
# fmt: on


# ------------------------------------------------------------------------------------------------------------- optimizers


def _update(optimizer, title, formula):
    """Make the function of a row of the table of optimizers."""
    row = _core.OPTIMIZERS[optimizer]
    info, name, required = row.info, f"{optimizer}_update", inspect.Parameter.empty

    def update(param, grad, *slots, **options):
        _core.update(name, row, param, grad, slots, options)

    given = {"param": required, "grad": required}
    given |= {slot: None if needs else required for slot, needs in info.slots.items()}
    options = ({"step": required} if info.counts else {}) | info.params | {"lr": required}
    slots = "".join(
        f"    {slot} : ndarray, shape and dtype of ``param``{', optional' if needs else ''}\n"
        f"        Updated; starts as zeros{f'; needed where {needs} is not 0' if needs else ''}.\n"
        for slot, needs in info.slots.items()
    )
    kinds = {bool: "bool", tuple: "pair of float", float: "float"}
    parameters = "".join(
        f"    {key} : {kinds[type(value)]}{'' if key == 'lr' else f', default {value}'}\n"
        for key, value in info.params.items()
    )
    step = "    step : int\n        Counts from 1.\n" if info.counts else ""
    doc = f"""One step of {title}; in place.

    {formula}

    Parameters
    ----------
    param : ndarray of float32 or float64
        Updated.
    grad : array_like, shape of ``param``
{slots}{step}{parameters}
    Raises
    ------
    ValueError
        For shapes that differ, hyper-parameters that are not accepted, and arrays that share memory.
    TypeError
        For arrays that cannot be updated in place.
    """
    _describe(update, name, given, options, doc)
    return update


# fmt: off
sgd_update = _update("sgd", "stochastic gradient descent, as ``torch.optim.SGD``", "g = grad + weight_decay param; velocity = momentum velocity + g; param -= lr velocity, or lr (g + momentum velocity) with nesterov.")
adam_update = _update("adam", "Adam (Kingma and Ba, 2015), as ``torch.optim.Adam``", "g = grad + weight_decay param; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; param -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps).")
adamw_update = _update("adamw", "AdamW (Loshchilov and Hutter, 2019), as ``torch.optim.AdamW``", "param -= lr weight_decay param; then as ``adam_update`` without weight decay.")
# fmt: on
