"""Softmax, and losses with their gradients."""

from __future__ import annotations

from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core
from fastnn.functional.signatures import ARRAY, OPTIONAL_ARRAY, OUT, REQUIRED, describe, numbers

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


_TARGETS = {
    "labels": "shape (batch,) or (batch, 1)\n        Integer labels.",
    "probabilities": "\n        Integer labels, shape (batch,) or (batch, 1); or probabilities, shape of ``logits``.",
    "shared": "shape (batch,) or (batch, 1)\n        One number for all columns of a row.",
    "numbers": "shape of ``input``\n        (batch,) and (batch, 1) count as one shape.",
}
_LABEL_OPTIONS = """    weight : array_like, shape (classes,), optional
        Weight of each class.{weight}
    sample_weight : array_like, shape (batch,), optional
        Weight of each row.
    ignore_index : int
        Rows with this label count nothing.
"""
_NUMBER_OPTIONS = """    sample_weight : array_like, shape (batch,), optional
        Weight of each row.
"""
_SECONDS = {
    "pos_weight": "shape (columns,), optional\n        Weight of the positive targets of each column, at least 0; 1 each where it is None.",
    "quantiles": "shape (columns,)\n        The quantile that each column estimates, between 0 and 1.",
    "var": "shape of ``input``\n        Variances, at least 0; less than ``eps`` counts as that.",
}
_PARAMETERS = {
    "label_smoothing": "Share of each target that is spread over all classes, in [0, 1].",
    "delta": "Up to which error the loss is a square, above 0; beyond it is a line.",
    "beta": "Up to which error the loss is a square, at least 0; beyond it is a line.",
    "gamma": "How much less a sure prediction counts, at least 0.",
    "alpha": "Weight of positive targets in [0, 1], against 1 - alpha of others; 1 each where it is None.",
    "log_input": "Whether ``input`` holds logarithms of rates, not rates.",
    "log_target": "Whether ``target`` holds logarithms too.",
    "full": "Whether the terms that do not depend on ``input`` are added.",
    "eps": "What keeps a logarithm or a quotient finite.",
    "margin": "How far the right class should be ahead.",
    "p": "Power of what a wrong class exceeds its bound by, 1 or 2.",
}
_LABEL_ERROR = "    IndexError\n        For a label that is neither in [0, classes) nor ``ignore_index``.\n"


def _input_of(info):
    return "logits" if info.probabilities else "input"


def _parameter_docs(info):
    """Return the Parameters section of a loss, up to its reduction."""
    accepted, accepted_input = (f" Each {words}." if words else "" for words in info.accepts)
    kind = (
        "probabilities" if info.probabilities else "labels" if info.labels else "shared" if info.shared else "numbers"
    )
    text = f"    {_input_of(info)} : array_like, shape {'(batch, classes) or (classes,)' if info.labels else '(batch, ...)'}\n"
    text += f"       {accepted_input}\n" if accepted_input else ""
    text += f"    target : array_like, {_TARGETS[kind]}{accepted}\n".replace(", \n", "\n")
    weight = " It scales the losses; a mean does not divide by it." if info.weighs_values else ""
    second = f"    {info.second} : array_like, {_SECONDS[info.second]}\n" if info.second else ""
    options = _LABEL_OPTIONS.format(weight=weight) if info.labels else _NUMBER_OPTIONS
    text += second + options if info.pair else options + second
    for key, value in info.params.items():
        kind = {bool: "bool", int: "int", float: "float"}.get(type(value), "float, optional")
        text += f"    {key} : {kind}, default {value if value is None or value is True or value is False else f'{value:g}'}\n"
        text += f"        {_PARAMETERS[key]}\n"
    return text


def _loss_docs(info, formula, derivative):
    """Return the docstrings of the two functions of a loss."""
    x = _input_of(info)
    terms = (
        "rows: sample weight times class weight"
        if info.labels and not info.weighs_values
        else "rows"
        if info.labels
        else "elements"
    )
    shape = "(batch,)" if info.labels else f"of ``{x}``"
    doc = f"""{formula}

    Parameters
    ----------
{_parameter_docs(info)}    reduction : {{"mean", "sum", "none"}}
        The mean divides by the sum of the weights of all {terms}; NaN where that is 0.

    Returns
    -------
    float, or ndarray of shape {shape} for "none"

    Raises
    ------
    TypeError, ValueError
        For an unknown parameter, shapes that do not fit and values that are not accepted.
{_LABEL_ERROR if info.labels else ""}    """
    second = (
        f"    d{info.second} : ndarray, shape and dtype of ``{x}``\n        Gradient by ``{info.second}``.\n"
        if info.pair
        else ""
    )
    doc_with_grad = f"""``{info.function}`` and its gradient by ``{x}``, {derivative}, in one pass.

    Parameters are those of ``{info.function}``; ``out`` receives the gradient and may be ``{x}``.

    Returns
    -------
    loss : float, or ndarray of shape {shape} for "none"
    d{x} : ndarray, shape and dtype of ``{x}``
        Gradient of the loss; for "none" of the sum of the losses.
{second}    """
    return doc, doc_with_grad


def _functions(row, info, plain_name, grad_name):
    """Return the two functions of a row, which differ by what comes by place and by what weighs."""
    # fmt: off
    if info.probabilities:
        def plain(logits, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", **params):
            return _core.loss(plain_name, row, False, logits, target, weight, sample_weight, ignore_index, params, reduction, None, None)

        def with_grad(logits, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, logits, target, weight, sample_weight, ignore_index, params, reduction, None, out)
    elif info.labels:
        def plain(input, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", **params):
            return _core.loss(plain_name, row, False, input, target, weight, sample_weight, ignore_index, params, reduction, None, None)

        def with_grad(input, target, *, weight=None, sample_weight=None, ignore_index=-100, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, input, target, weight, sample_weight, ignore_index, params, reduction, None, out)
    elif info.pair:
        def plain(input, target, var, *, sample_weight=None, reduction="mean", **params):
            return _core.loss(plain_name, row, False, input, target, None, sample_weight, None, params | {info.second: var}, reduction, None, None)

        def with_grad(input, target, var, *, sample_weight=None, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, input, target, None, sample_weight, None, params | {info.second: var}, reduction, None, out)
    else:
        def plain(input, target, *, sample_weight=None, reduction="mean", **params):
            return _core.loss(plain_name, row, False, input, target, None, sample_weight, None, params, reduction, None, None)

        def with_grad(input, target, *, sample_weight=None, reduction="mean", out=None, **params):
            return _core.loss(grad_name, row, True, input, target, None, sample_weight, None, params, reduction, None, out)
    # fmt: on
    return plain, with_grad


def _loss(name: str, formula: str, derivative: str) -> tuple[_Loss, _LossWithGrad]:
    """Make the two functions of a row of the table of losses."""
    row = _core.LOSSES[name]
    info = row.info
    plain_name, grad_name = info.function, f"{info.function}_with_grad"
    plain, with_grad = _functions(row, info, plain_name, grad_name)
    given = {_input_of(info): (ARRAY, REQUIRED), "target": (ARRAY, REQUIRED)}
    given |= {info.second: (ARRAY, REQUIRED)} if info.pair else {}
    weights = ["weight", "sample_weight"] if info.labels else ["sample_weight"]
    options = dict.fromkeys(weights, (OPTIONAL_ARRAY, None))
    options |= {"ignore_index": ("int", -100)} if info.labels else {}
    if info.second and not info.pair:
        options[info.second] = (OPTIONAL_ARRAY, None) if info.columns is None else ("tuple[float, ...]", info.columns)
    options |= numbers(info.params) | {"reduction": ("str", "mean")}
    doc, doc_with_grad = _loss_docs(info, formula, derivative)
    describe(plain, plain_name, given, options, "float | np.ndarray", doc)
    options |= {"out": (OUT, None)}
    gradients = ", np.ndarray" * (2 if info.pair else 1)
    describe(with_grad, grad_name, given, options, f"tuple[float | np.ndarray{gradients}]", doc_with_grad)
    return plain, with_grad


# fmt: off
cross_entropy, cross_entropy_with_grad = _loss("cross_entropy", "Softmax cross-entropy of logits, as ``torch.nn.functional.cross_entropy``: -sum_j q_j log softmax_j with q_j = weight_j ((1 - label_smoothing) target_j + label_smoothing / classes).", "softmax sum_j q_j - q")
mse_loss, mse_loss_with_grad = _loss("mse", "Squared error (input - target)^2, as ``torch.nn.functional.mse_loss``.", "2 (input - target)")
huber_loss, huber_loss_with_grad = _loss("huber", "d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = input - target (Huber, 1964), as ``torch.nn.functional.huber_loss``.", "d clamped to +-delta")
half_mse_loss, half_mse_loss_with_grad = _loss("half_mse", "Half of the squared error of ``torch.nn.functional.mse_loss``, (input - target)^2 / 2, whose derivative is the error itself.", "input - target")
l1_loss, l1_loss_with_grad = _loss("l1", "Absolute error |input - target|, as ``torch.nn.functional.l1_loss``.", "the sign of input - target, 0 where they are equal")
smooth_l1_loss, smooth_l1_loss_with_grad = _loss("smooth_l1", "d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, with d = input - target (Girshick, 2015), as ``torch.nn.functional.smooth_l1_loss``: ``huber_loss`` over beta, and ``l1_loss`` for beta = 0.", "d / beta clamped to +-1")
log_cosh_loss, log_cosh_loss_with_grad = _loss("log_cosh", "log(cosh(d)) with d = input - target, about d^2 / 2 near 0 and |d| - log(2) far away, as Keras' ``LogCosh``.", "tanh(d)")
binary_cross_entropy, binary_cross_entropy_with_grad = _loss("binary_cross_entropy", "-(target log(input) + (1 - target) log(1 - input)) of probabilities, as ``torch.nn.functional.binary_cross_entropy``: logarithms count as -100 where they are less.", "(input - target) / (input (1 - input)), of which the denominator is at least 1e-12")
binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_with_grad = _loss("binary_cross_entropy_with_logits", "-(pos_weight target log(p) + (1 - target) log(1 - p)) with p = sigmoid(input), as ``torch.nn.functional.binary_cross_entropy_with_logits``.", "(1 - target) p - pos_weight target (1 - p)")
focal_loss_with_logits, focal_loss_with_logits_with_grad = _loss("focal_with_logits", "alpha_t (1 - p_t)^gamma times ``binary_cross_entropy_with_logits``, where p_t is the probability of what the target says and alpha_t its weight (Lin et al., 2017), as ``torchvision.ops.sigmoid_focal_loss``.", "alpha_t m^gamma (b' + gamma b m' / m) with m = 1 - p_t and b that cross-entropy")
hinge_loss, hinge_loss_with_grad = _loss("hinge", "max(0, 1 - target input) for targets of -1 and 1, as Keras' ``Hinge``.", "-target where it is positive, else 0")
squared_hinge_loss, squared_hinge_loss_with_grad = _loss("squared_hinge", "max(0, 1 - target input)^2 for targets of -1 and 1, as Keras' ``SquaredHinge``.", "-2 target max(0, 1 - target input)")
soft_margin_loss, soft_margin_loss_with_grad = _loss("soft_margin", "log(1 + e^(-target input)) for targets of -1 and 1, as ``torch.nn.functional.soft_margin_loss``.", "-target sigmoid(-target input)")
poisson_nll_loss, poisson_nll_loss_with_grad = _loss("poisson_nll", "e^input - target input, or input - target log(input + eps) of rates, as ``torch.nn.functional.poisson_nll_loss``; ``full`` adds Stirling's target log(target) - target + log(2 pi target) / 2 for targets above 1.", "e^input - target, or 1 - target / (input + eps)")
kl_div, kl_div_with_grad = _loss("kl_div", "target (log(target) - input) of log-probabilities ``input``, as ``torch.nn.functional.kl_div``: the divergence of Kullback and Leibler is its sum.", "-target, or -e^target")
quantile_loss, quantile_loss_with_grad = _loss("quantile", "max(q d, (q - 1) d) with d = target - input for the quantile q of each column (Koenker and Bassett, 1978), as scikit-learn's ``mean_pinball_loss``.", "-q where the estimate is too low, 1 - q where it is too high, 0 where it is right")
gaussian_nll_loss, gaussian_nll_loss_with_grad = _loss("gaussian_nll", "(log(var) + (input - target)^2 / var) / 2 (Nix and Weigend, 1994), as ``torch.nn.functional.gaussian_nll_loss``; ``full`` adds log(2 pi) / 2.", "(input - target) / var, and by ``var``, (1 / var - (input - target)^2 / var^2) / 2")
nll_loss, nll_loss_with_grad = _loss("nll", "-input[target] of log-probabilities, as ``torch.nn.functional.nll_loss``.", "-1 at the label, else 0")
multiclass_hinge_loss, multiclass_hinge_loss_with_grad = _loss("multiclass_hinge", "The sum over the wrong classes j of max(0, input_j - input_target + margin)^p (Weston and Watkins, 1999).", "p max(0, ...)^(p - 1) of the wrong classes, and less the sum of these at the label")
multi_margin_loss, multi_margin_loss_with_grad = _loss("multi_margin", "``multiclass_hinge_loss`` / classes, as ``torch.nn.functional.multi_margin_loss``.", "that of ``multiclass_hinge_loss`` over the number of classes")
# fmt: on
