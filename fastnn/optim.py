"""Optimizers as frozen specifications with torch.optim's keywords: one class per row of the table of optimizers.

Their state lives in the trainer. A specification has ``slots``, the names of the arrays kept per parameter, which start as zeros,
and ``update(param, grad, slots, step, lr=None)``, which makes one step in place with a dict of those arrays; step counts from 1.
``lr`` is a number or one of ``fastnn.schedules``.
"""

from dataclasses import replace

from fastnn import _fastnn_core as _core
from fastnn.schedules import Schedule, rate_of
from fastnn.specification import Specification, specification, specified

OPTIMIZERS = {}  # from name to class


class Optimizer(Specification):
    """What all optimizers share; see the module."""

    def __post_init__(self):
        checked = self._row.check(type(self).__name__, vars(self) | {"lr": self.rate(0, 0)})
        for key, value in checked.items():
            if key != "lr" or not isinstance(self.lr, Schedule):
                object.__setattr__(self, key, value)
        object.__setattr__(self, "_packed", self._row.pack(checked))

    @property
    def slots(self):
        """Names of the arrays kept per parameter."""
        slots = self._row.info.slots
        return tuple(slot for slot, needs in slots.items() if needs is None or getattr(self, needs))

    def rate(self, step, epoch):
        """Return the learning rate of the next step.

        Parameters
        ----------
        step, epoch : int
            How many are done.
        """
        return rate_of(self.lr, step, epoch)

    def update(self, param, grad, slots, step, lr=None):
        """Make one step.

        Parameters
        ----------
        param : ndarray of float32 or float64
            Updated.
        grad : array_like, shape of ``param``
        slots : dict
            From name to array, shape and dtype of ``param``; updated.
        step : int
            Counts from 1.
        lr : float, optional
            In place of the specification's, which, where it is a schedule, is that of the first epoch.
        """
        if lr is None and isinstance(self.lr, Schedule):
            lr = self.rate(step - 1, 0)
        self._row.step(self._packed, lr, step, param, grad, slots)


def _optimizer(name):
    """Make the class of a row of the table of optimizers."""
    row = _core.OPTIMIZERS[name]
    info = row.info
    members = {"_row": row, "__module__": __name__, **info.params}
    members["__annotations__"] = {key: type(value) for key, value in info.params.items()}
    members["__doc__"] = (
        f"See ``functional.{name}_update``, whose hyper-parameters it takes; checked here, not at the first step. ``lr`` is a number "
        "or one of ``fastnn.schedules``."
    )
    OPTIMIZERS[name] = specification(type(info.layer, (Optimizer,), members), kw_only=True)
    return OPTIMIZERS[name]


SGD = _optimizer("sgd")
Adagrad = _optimizer("adagrad")
Adadelta = _optimizer("adadelta")
RMSprop = _optimizer("rmsprop")
Adam = _optimizer("adam")
AdamW = _optimizer("adamw")
Adamax = _optimizer("adamax")
NAdam = _optimizer("nadam")
RAdam = _optimizer("radam")
Lion = _optimizer("lion")
Rprop = _optimizer("rprop")


def as_optimizer(optimizer):
    """Return the specification that a name, a class or an object means."""
    optimizer = specified(optimizer, OPTIMIZERS, "optimizer")
    if isinstance(optimizer, type) or not (hasattr(optimizer, "update") and hasattr(optimizer, "slots")):
        hint = "; pass the loss second: Trainer(model, loss, optimizer)" if hasattr(optimizer, "row_weights") else ""
        raise TypeError(f"Trainer: optimizer is {optimizer!r} but a name or a specification was expected{hint}")
    return optimizer


def in_groups(optimizer, groups, names):
    """Return the specification of each parameter, a dict by name.

    Parameters
    ----------
    optimizer
        The specification of those in no group.
    groups : dict
        As ``Trainer`` has them.
    names : iterable of str
        Of all parameters.

    Raises
    ------
    ValueError, TypeError
        For a pattern that matches nothing, and for what an optimizer does not take.
    """
    from fnmatch import fnmatchcase  # on first use: most trainings have no groups

    if not isinstance(groups, dict):
        raise TypeError(f"Trainer: groups is {groups!r} but a dict {{name pattern: {{lr, weight_decay}}}} was expected")
    if groups and not isinstance(optimizer, Optimizer):
        raise TypeError(f"Trainer: groups need an optimizer of fastnn but {optimizer!r} was given")
    given = {name: {} for name in names}
    for pattern, options in groups.items():
        if not (isinstance(pattern, str) and isinstance(options, dict)):
            raise TypeError(
                f"Trainer: groups has {pattern!r}: {options!r} but name pattern: {{lr, weight_decay}} was expected"
            )
        for key in options:
            if key not in ("lr", "weight_decay"):
                raise TypeError(
                    f"Trainer: groups[{pattern!r}]: unknown option {key!r} (a group takes lr, weight_decay)"
                )
            if not hasattr(optimizer, key):
                raise TypeError(f"Trainer: groups[{pattern!r}]: {type(optimizer).__name__} takes no {key}")
        matching = [name for name in given if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f"Trainer: groups has the pattern {pattern!r}, which matches none of {', '.join(given)}")
        for name in matching:
            given[name] |= options
    return {name: replace(optimizer, **options) if options else optimizer for name, options in given.items()}


__all__ = [optimizer.__name__ for optimizer in OPTIMIZERS.values()]
