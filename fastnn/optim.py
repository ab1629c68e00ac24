"""Optimizers as frozen specifications with torch.optim's keywords; their state lives in the trainer.

A specification has ``state``, the names of the arrays kept per parameter, and ``update(param, grad, state, step)``, which makes one
step in place; step counts from 1.
"""

from dataclasses import dataclass

from fastnn import functional as F


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent; see ``functional.sgd_update``."""

    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    @property
    def state(self):
        """Names of the arrays kept per parameter."""
        return ("velocity",) if self.momentum else ()

    def update(self, param, grad, state, step):
        """Make one step, in place."""
        F.sgd_update(
            param,
            grad,
            *state,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam; see ``functional.adam_update``."""

    lr: float = 1e-3
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    state = ("exp_avg", "exp_avg_sq")

    def update(self, param, grad, state, step):
        """Make one step, in place."""
        F.adam_update(
            param, grad, *state, step=step, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay
        )


OPTIMIZERS = {"sgd": SGD, "adam": Adam}
