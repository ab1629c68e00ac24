"""Steps of optimizers, in place."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

__all__ = ["adam_update", "adamw_update", "sgd_update"]


def sgd_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    velocity: np.ndarray | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    if weight_decay:
        grad = grad + weight_decay * param
    if momentum:
        velocity *= momentum
        velocity += grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def adam_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    beta1, beta2 = betas
    if weight_decay:
        grad = grad + weight_decay * param
    exp_avg += (1 - beta1) * (grad - exp_avg)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * np.square(grad)
    denominator = np.sqrt(exp_avg_sq)
    denominator *= (1 - beta2**step) ** -0.5
    denominator += eps
    param -= lr / (1 - beta1**step) * exp_avg / denominator


def adamw_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    param -= lr * weight_decay * param
    adam_update(param, grad, exp_avg, exp_avg_sq, step=step, lr=lr, betas=betas, eps=eps)
