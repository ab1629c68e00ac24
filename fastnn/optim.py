"""Optimizers as frozen specifications with torch.optim's keywords: one class per row of the table of optimizers.

Their state lives in the trainer. A specification has ``slots``, the names of the arrays kept per parameter, which start as zeros,
and ``update(param, grad, slots, step, lr=None)``, which makes one step in place with a dict of those arrays; step counts from 1.
``lr`` is a number or one of ``fastnn.schedules``.
"""

from dataclasses import field, make_dataclass

from fastnn import _fastnn_core as _core
from fastnn.schedules import Schedule

OPTIMIZERS = {}  # from name to class


class Optimizer:
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
        return self.lr(step, epoch) if isinstance(self.lr, Schedule) else self.lr

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
    fields = [(key, type(value), field(default=value)) for key, value in info.params.items()]
    members = {"_row": row, "__module__": __name__}
    members["__doc__"] = (
        f"See ``functional.{name}_update``, whose hyper-parameters it takes; checked here, not at the first step."
    )
    OPTIMIZERS[name] = make_dataclass(
        info.layer, fields, bases=(Optimizer,), namespace=members, frozen=True, kw_only=True
    )
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

__all__ = [optimizer.__name__ for optimizer in OPTIMIZERS.values()]
