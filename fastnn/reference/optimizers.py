"""Steps of optimizers, in place."""

from __future__ import annotations

import numpy as np
from numpy import typing as npt

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adamax_update",
    "adamw_update",
    "lion_update",
    "nadam_update",
    "radam_update",
    "rmsprop_update",
    "rprop_update",
    "sgd_update",
]


def _decayed(grad, param, weight_decay):
    return grad + weight_decay * param if weight_decay else np.asarray(grad)


def _settle(moment):
    """Let subnormal numbers be 0, in place: arithmetic on them is slow, and a moment without gradients would stay at them."""
    moment[np.abs(moment) < np.finfo(moment.dtype).smallest_normal] = 0


def _average(average, x, new):
    """Let an average take the share ``new`` of x, in place."""
    average += new * (x - average)
    _settle(average)


def sgd_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    velocity: np.ndarray | None = None,
    *,
    step: int | None = None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    grad = _decayed(grad, param, weight_decay)
    if momentum:
        velocity *= momentum
        velocity += grad if step == 1 or not dampening else (1 - dampening) * grad
        _settle(velocity)
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def adagrad_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    sum: np.ndarray,  # noqa: A002 (PyTorch's name)
    *,
    step: int,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> None:
    grad = _decayed(grad, param, weight_decay)
    if step == 1:
        np.maximum(sum, initial_accumulator_value, out=sum)
    sum += np.square(grad)
    param -= lr / (1 + (step - 1) * lr_decay) * grad / (np.sqrt(sum) + eps)


def adadelta_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    square_avg: np.ndarray,
    acc_delta: np.ndarray,
    *,
    lr: float,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> None:
    grad = _decayed(grad, param, weight_decay)
    _average(square_avg, np.square(grad), 1 - rho)
    delta = np.sqrt(acc_delta + eps) / np.sqrt(square_avg + eps) * grad
    _average(acc_delta, np.square(delta), 1 - rho)
    param -= lr * delta


def rmsprop_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    square_avg: np.ndarray,
    momentum_buffer: np.ndarray | None = None,
    grad_avg: np.ndarray | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> None:
    grad = _decayed(grad, param, weight_decay)
    _average(square_avg, np.square(grad), 1 - alpha)
    variance = square_avg
    if centered:
        _average(grad_avg, grad, 1 - alpha)
        variance = np.maximum(square_avg - np.square(grad_avg), 0)
    direction = grad / (np.sqrt(variance) + eps)
    if momentum:
        momentum_buffer *= momentum
        momentum_buffer += direction
        _settle(momentum_buffer)
        direction = momentum_buffer
    param -= lr * direction


def adam_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    max_exp_avg_sq: np.ndarray | None = None,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    eps_hat: bool = False,
) -> None:
    beta1, beta2 = betas
    grad = _decayed(grad, param, weight_decay)
    _average(exp_avg, grad, 1 - beta1)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * np.square(grad)
    _settle(exp_avg_sq)
    if amsgrad:
        np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    correction = (1 - beta2**step) ** -0.5
    denominator = np.sqrt(max_exp_avg_sq if amsgrad else exp_avg_sq)
    denominator *= correction
    denominator += eps * correction if eps_hat else eps
    param -= lr / (1 - beta1**step) * exp_avg / denominator


def adamw_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    max_exp_avg_sq: np.ndarray | None = None,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
) -> None:
    param -= lr * weight_decay * param
    adam_update(
        param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step=step, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad
    )


def adamax_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    exp_inf: np.ndarray,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    beta1, beta2 = betas
    grad = _decayed(grad, param, weight_decay)
    _average(exp_avg, grad, 1 - beta1)
    np.maximum(beta2 * exp_inf, np.abs(grad) + eps, out=exp_inf)
    param -= lr / (1 - beta1**step) * exp_avg / exp_inf


def nadam_update(
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
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
) -> None:
    beta1, beta2 = betas
    mu = [beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(1, step + 2)]
    product, product_next = np.prod(mu[:-1]), np.prod(mu)
    if decoupled_weight_decay:
        param -= lr * weight_decay * param
    else:
        grad = _decayed(grad, param, weight_decay)
    _average(exp_avg, grad, 1 - beta1)
    _average(exp_avg_sq, np.square(grad), 1 - beta2)
    denominator = np.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    direction = (1 - mu[-2]) / (1 - product) * grad + mu[-1] / (1 - product_next) * exp_avg
    param -= lr * direction / denominator


def radam_update(
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
    decoupled_weight_decay: bool = False,
) -> None:
    beta1, beta2 = betas
    if decoupled_weight_decay:
        param -= lr * weight_decay * param
    else:
        grad = _decayed(grad, param, weight_decay)
    _average(exp_avg, grad, 1 - beta1)
    _average(exp_avg_sq, np.square(grad), 1 - beta2)
    rho_inf, unbiased = 2 / (1 - beta2) - 1, 1 - beta2**step
    rho = rho_inf - 2 * step * beta2**step / unbiased
    direction = exp_avg / (1 - beta1**step)
    if rho > 5:
        r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
        direction = direction * (r * unbiased**0.5) / (np.sqrt(exp_avg_sq) + eps)
    param -= lr * direction


def lion_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    exp_avg: np.ndarray,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> None:
    beta1, beta2 = betas
    param -= lr * weight_decay * param
    param -= lr * np.sign(beta1 * exp_avg + (1 - beta1) * np.asarray(grad))
    _average(exp_avg, np.asarray(grad), 1 - beta2)


def rprop_update(
    param: np.ndarray,
    grad: npt.ArrayLike,
    prev: np.ndarray,
    step_size: np.ndarray,
    *,
    step: int,
    lr: float,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
) -> None:
    if step == 1:
        step_size[...] = lr
    both = grad * prev
    step_size *= np.where(both < 0, etas[0], np.where(both > 0, etas[1], 1))
    np.clip(step_size, *step_sizes, out=step_size)
    prev[...] = np.where(both < 0, 0, grad)
    param -= np.sign(prev) * step_size
