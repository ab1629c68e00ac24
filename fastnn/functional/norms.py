"""Layer norm, RMS norm, batch norm."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core

__all__ = ["batch_norm", "batch_norm_backward", "layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"]


def layer_norm(
    x: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    *,
    eps: float = 1e-5,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Layer norm of the last axis: (x - mean) / sqrt(var + eps) * weight + bias (Ba et al., 2016).

    Mean and variance, which divides by the number of features, are those of each row, in float64. ``torch.nn.functional.layer_norm``
    takes the length of the last axis as a second argument; here x says it.

    Parameters
    ----------
    x : array_like, shape (..., features)
    weight, bias : array_like, shape (features,), optional
        1 and 0 if None.
    eps : float
        At least 0.
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``.

    Raises
    ------
    ValueError
        For a ``weight`` or ``bias`` of another shape, a negative ``eps``, or an ``out`` of another shape than ``x``.
    TypeError
        For an argument that is no array of real numbers, or an ``out`` of another dtype than the result.
    """
    return _core.layer_norm(x, weight, bias, eps, out)


def layer_norm_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of ``layer_norm``, with x^ = (x - mean) / sqrt(var + eps) and g = grad weight.

    dx = (g - mean(g) - x^ mean(g x^)) / sqrt(var + eps), means of a row; dweight = sum of grad x^, dbias = sum of grad, over rows.

    Parameters
    ----------
    grad : array_like, shape of ``x``
        Gradient of the output.
    x : array_like, shape (..., features)
    weight : array_like, shape (features,), optional
    eps : float
        As in the forward call.

    Returns
    -------
    dx : ndarray
        Shape of ``x``.
    dweight, dbias : ndarray, shape (features,)
        Summed in float64.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, or a negative ``eps``.
    TypeError
        For an argument that is no array of real numbers.
    """
    return _core.layer_norm_backward(grad, x, weight, eps)


def rms_norm(
    x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """RMS norm of the last axis: x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich, 2019).

    The mean is that of each row, in float64. ``torch.nn.functional.rms_norm`` takes the length of the last axis as a second argument;
    here x says it.

    Parameters
    ----------
    x : array_like, shape (..., features)
    weight : array_like, shape (features,), optional
        1 if None.
    eps : float, optional
        At least 0; the epsilon of the result's dtype if None.
    out : ndarray, optional
        Receives the result; may be ``x``.

    Returns
    -------
    ndarray
        Shape of ``x``.

    Raises
    ------
    ValueError
        For a ``weight`` of another shape, a negative ``eps``, or an ``out`` of another shape than ``x``.
    TypeError
        For an argument that is no array of real numbers, or an ``out`` of another dtype than the result.
    """
    return _core.rms_norm(x, weight, eps, out)


def rms_norm_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of ``rms_norm``, with x^ = x / sqrt(mean(x^2) + eps) and g = grad weight.

    dx = (g - x^ mean(g x^)) / sqrt(mean(x^2) + eps), means of a row; dweight = sum of grad x^ over rows.

    Parameters
    ----------
    grad : array_like, shape of ``x``
        Gradient of the output.
    x : array_like, shape (..., features)
    weight : array_like, shape (features,), optional
    eps : float, optional
        As in the forward call.

    Returns
    -------
    dx : ndarray
        Shape of ``x``.
    dweight : ndarray, shape (features,)
        Summed in float64.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, or a negative ``eps``.
    TypeError
        For an argument that is no array of real numbers.
    """
    return _core.rms_norm_backward(grad, x, weight, eps)


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
    """Batch norm of each feature: (x - mean) / sqrt(var + eps) * weight + bias (Ioffe and Szegedy, 2015).

    Mean and variance are the running ones or, with ``training``, those of the feature's values in x, where the variance divides by
    their number. Training then updates the running ones that are given, in place, as PyTorch does:
    running = (1 - momentum) running + momentum new, where the new variance is the unbiased one; nothing where x has no rows.

    Parameters
    ----------
    x : array_like, shape (batch, features) or (batch, features, ...)
    running_mean, running_var : array_like, shape (features,)
        Of any dtype: they have no part in that of the result. With ``training`` optional, and ndarrays that share no memory.
    weight, bias : array_like, shape (features,), optional
        1 and 0 if None.
    training : bool
    momentum : float
        In [0, 1].
    eps : float
        At least 0.
    return_statistics : bool
        Also return the statistics used, for ``batch_norm_backward``.
    out : ndarray, optional
        Receives y; may be ``x``.

    Returns
    -------
    y : ndarray
        Shape of ``x``.
    mean, var : ndarray of float64, shape (features,)
        Only with ``return_statistics``; var is not the unbiased one.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, training with one value per feature, missing running statistics without ``training``,
        those that share memory with each other or with ``out``, and a ``momentum`` or ``eps`` out of range.
    TypeError
        For an argument that is no array of real numbers or, where it is updated, no ndarray of floats; an ``out`` of another dtype.
    """
    return _core.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps, return_statistics, out)


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
    """Gradients of ``batch_norm``, with x^ = (x - mean) / sqrt(var + eps).

    dweight = sum of grad x^, dbias = sum of grad, over the n values of a feature, and dx = weight / sqrt(var + eps) times grad or, with
    ``training``, where mean and var are functions of x, times (grad - dbias / n - x^ dweight / n).

    Parameters
    ----------
    grad : array_like, shape of ``x``
        Gradient of the output.
    x : array_like, shape (batch, features) or (batch, features, ...)
    mean, var : array_like, shape (features,)
        The statistics that the forward call used: the running ones or, with ``training``, those it returned.
    weight : array_like, shape (features,), optional
    training : bool
    eps : float
        As in the forward call.

    Returns
    -------
    dx : ndarray
        Shape of ``x``.
    dweight, dbias : ndarray, shape (features,)
        Summed in float64.

    Raises
    ------
    ValueError
        For shapes that do not fit each other, or a negative ``eps``.
    TypeError
        For an argument that is no array of real numbers.
    """
    return _core.batch_norm_backward(grad, x, mean, var, weight, training, eps)
