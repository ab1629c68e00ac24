"""Matrix products."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

from fastnn.reference.activations import both_of
from fastnn.reference.arrays import real

__all__ = ["linear", "linear_backward", "matmul"]


def matmul(a: npt.ArrayLike, b: npt.ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    a, b = real(a, b)
    return np.matmul(a, b, out=out)


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
    x, weight = real(x, weight)
    z = np.matmul(x, weight.T, out=None if return_preactivation else out)
    if bias is not None:
        z += bias
    y = both_of(activation)[0](z, **params, out=out if return_preactivation else z)
    return (y, z) if return_preactivation else y


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
    grad, x, weight = real(grad, x, weight)
    if activation not in (None, "identity"):
        saved = {"y": y} if z is None else {"x": z}
        grad = both_of(activation)[1](grad, **saved, **params)
    dz = grad.reshape(-1, weight.shape[0])
    dx = np.matmul(grad, weight) if need_dx else None
    return dx, np.matmul(dz.T, x.reshape(-1, x.shape[-1])), dz.sum(0)
