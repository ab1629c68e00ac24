"""Softmax, and losses with their gradients."""

from __future__ import annotations

from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core
from fastnn.functional.signatures import ARRAY, OPTIONAL_ARRAY, OUT, REQUIRED, describe, numbers

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_grad", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_with_grad", "cross_entropy", "cross_entropy_with_grad", "half_mse_loss",
    "half_mse_loss_with_grad", "huber_loss", "huber_loss_with_grad", "l1_loss", "l1_loss_with_grad", "log_cosh_loss",
    "log_cosh_loss_with_grad", "log_softmax", "log_softmax_backward", "mse_loss", "mse_loss_with_grad", "smooth_l1_loss",
    "smooth_l1_loss_with_grad", "softmax", "softmax_backward",
]  # fmt: skip

_Loss = abc.Callable[..., float | np.ndarray]
_LossWithGrad = abc.Callable[..., tuple[float | np.ndarray, np.ndarray]]


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
        (batch,) and (batch, 1) count as one shape.{accepted}
    sample_weight : array_like, shape (batch,), optional
        Weight of each row.
"""


def _loss_docs(info, formula, derivative):
    """Return the docstrings of the two functions of a loss."""
    x = "logits" if info.labels else "input"
    shape, terms = (
        ("(batch,)", "rows: sample weight times class weight") if info.labels else ("of ``input``", "elements")
    )
    accepted, accepted_input = (f" Each {words}." if words else "" for words in info.accepts)
    target = _LABEL_TARGET if info.labels else _NUMBERS_TARGET.format(accepted=accepted)
    parameters = "".join(f"    {key} : float, default {value:g}\n" for key, value in info.params.items())
    if info.second:
        parameters = (
            f"    {info.second} : array_like, shape (columns,), optional\n        {SECONDS[info.second]}\n{parameters}"
        )
    doc = f"""{formula}

    Parameters
    ----------
    {x} : array_like, shape {"(batch, classes) or (classes,)" if info.labels else "(batch, ...)"}
{accepted_input and f"       {accepted_input}{chr(10)}"}{target}{parameters}    reduction : {{"mean", "sum", "none"}}
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


SECONDS = {"pos_weight": "Weight of the positive targets of each column, at least 0; 1 each where it is None."}


def _loss(name: str, formula: str, derivative: str) -> tuple[_Loss, _LossWithGrad]:
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
    given = {x: (ARRAY, REQUIRED), "target": (ARRAY, REQUIRED)}
    weights = ["weight", "sample_weight"] if info.labels else ["sample_weight"]
    options = dict.fromkeys(weights, (OPTIONAL_ARRAY, None))
    options |= {"ignore_index": ("int", -100)} if info.labels else {}
    options |= {info.second: (OPTIONAL_ARRAY, None)} if info.second else {}
    options |= numbers(info.params) | {"reduction": ("str", "mean")}
    doc, doc_with_grad = _loss_docs(info, formula, derivative)
    describe(plain, plain_name, given, options, "float | np.ndarray", doc)
    options |= {"out": (OUT, None)}
    describe(with_grad, grad_name, given, options, "tuple[float | np.ndarray, np.ndarray]", doc_with_grad)
    return plain, with_grad


# fmt: off
cross_entropy, cross_entropy_with_grad = _loss("cross_entropy", "Softmax cross-entropy of logits, as ``torch.nn.functional.cross_entropy``: -sum_j q_j log softmax_j with q_j = weight_j ((1 - label_smoothing) target_j + label_smoothing / classes).", "softmax sum_j q_j - q")
mse_loss, mse_loss_with_grad = _loss("mse", "Squared error (input - target)^2.", "2 (input - target)")
huber_loss, huber_loss_with_grad = _loss("huber", "d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = input - target (Huber, 1964), as ``torch.nn.functional.huber_loss``.", "d clamped to +-delta")
half_mse_loss, half_mse_loss_with_grad = _loss("half_mse", "Half of the squared error, (input - target)^2 / 2, whose derivative is the error itself.", "input - target")
l1_loss, l1_loss_with_grad = _loss("l1", "Absolute error |input - target|, as ``torch.nn.functional.l1_loss``.", "the sign of input - target, 0 where they are equal")
smooth_l1_loss, smooth_l1_loss_with_grad = _loss("smooth_l1", "d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, with d = input - target (Girshick, 2015), as ``torch.nn.functional.smooth_l1_loss``: ``huber_loss`` over beta, and ``l1_loss`` for beta = 0.", "d / beta clamped to +-1")
log_cosh_loss, log_cosh_loss_with_grad = _loss("log_cosh", "log(cosh(d)) with d = input - target, about d^2 / 2 near 0 and |d| - log(2) far away, as Keras' ``LogCosh``.", "tanh(d)")
binary_cross_entropy, binary_cross_entropy_with_grad = _loss("binary_cross_entropy", "-(target log(input) + (1 - target) log(1 - input)) of probabilities, as ``torch.nn.functional.binary_cross_entropy``: logarithms count as -100 where they are less.", "(input - target) / (input (1 - input)), of which the denominator is at least 1e-12")
binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_with_grad = _loss("binary_cross_entropy_with_logits", "-(pos_weight target log(p) + (1 - target) log(1 - p)) with p = sigmoid(input), as ``torch.nn.functional.binary_cross_entropy_with_logits``.", "(1 - target) p - pos_weight target (1 - p)")
# fmt: on
