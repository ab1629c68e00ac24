"""Matrix products."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core

__all__ = ["linear", "linear_backward", "matmul"]


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
