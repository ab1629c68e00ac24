"""Optimizers as frozen specifications with torch.optim's keywords; their state lives in the trainer.

A specification has ``slots``, the names of the arrays kept per parameter, which start as zeros, and
``update(param, grad, slots, step, lr=None)``, which makes one step in place with a dict of those arrays; step counts from 1.
"""

from dataclasses import dataclass, fields

from fastnn import functional as F


def _number(spec, name, value):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{spec}: {name} is {value!r} but a number was expected") from None


class _Optimizer:
    def __post_init__(self):
        name = type(self).__name__
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "betas":
                value = self._checked_betas(value)
            elif field.type is bool:
                value = bool(value)
            else:
                value = _number(name, field.name, value)
                if not value >= 0:
                    raise ValueError(f"{name}: {field.name} is {value} but a number of at least 0 was expected")
            object.__setattr__(self, field.name, value)

    def _checked_betas(self, betas):
        name = type(self).__name__
        try:
            beta1, beta2 = betas
        except (TypeError, ValueError):
            raise TypeError(f"{name}: betas is {betas!r} but a pair of numbers was expected") from None
        betas = _number(name, "betas[0]", beta1), _number(name, "betas[1]", beta2)
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"{name}: betas are {betas} but values in [0, 1) were expected")
        return betas


@dataclass(frozen=True, kw_only=True)
class SGD(_Optimizer):
    """Stochastic gradient descent; see ``functional.sgd_update``."""

    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum other than 0")

    @property
    def slots(self):
        """Names of the arrays kept per parameter."""
        return ("velocity",) if self.momentum else ()

    def update(self, param, grad, slots, step, lr=None):
        """Make one step, in place; ``lr`` replaces the specification's."""
        F.sgd_update(
            param,
            grad,
            **slots,
            lr=self.lr if lr is None else lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True, kw_only=True)
class Adam(_Optimizer):
    """Adam; see ``functional.adam_update``."""

    lr: float = 1e-3
    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    slots = ("exp_avg", "exp_avg_sq")

    def update(self, param, grad, slots, step, lr=None):
        """Make one step, in place; ``lr`` replaces the specification's."""
        F.adam_update(
            param,
            grad,
            **slots,
            step=step,
            lr=self.lr if lr is None else lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
        )


OPTIMIZERS = {"sgd": SGD, "adam": Adam}
