"""Learning rates that change while training goes on: frozen specifications, each a pure function of step and epoch.

``lr=`` of any optimizer takes one in place of a number: ``fastnn.Adam(lr=schedules.Cosine(1e-3, 50))``. Called as
``schedule(step, epoch)`` with the number of steps and of whole epochs done before, both from 0 on, it returns the learning rate. Each
counts what its ``by`` says: "epoch" or "step". The default is what PyTorch's documentation counts, whose names, formulas and values
these are: epochs, but steps for OneCycle, Cyclic and Warmup. Momentum does not change.

Powers and cosines are made of operations that round alike everywhere, so that a training has the same bits with every C library.
"""

import math
from dataclasses import field, fields

from fastnn.layers.base import as_count, as_flag, as_nonnegative, as_number, as_probability
from fastnn.specification import Specification, specification

__all__ = [
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "InverseScaling",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "Step",
    "Warmup",
]


def _power(base, exponent):
    """Return base**exponent for numbers of at least 0, rounded from 30 digits."""
    from decimal import Context, Decimal  # on first use: its import takes a millisecond

    return float(Context(prec=30).power(Decimal(base), Decimal(exponent))) if exponent else 1.0


def _cosine(x):
    """Return cos(pi x), by Taylor's series of cosine or sine for an angle of at most pi / 4."""
    x = abs(x) % 2
    x = min(x, 2 - x)
    if x > 0.5:
        return -_cosine(1 - x)
    first = 0 if x <= 0.25 else 1  # cos(pi x) or sin(pi (1 / 2 - x)), in even or odd powers
    angle = math.pi * (0.5 - x if first else x)
    total = 0.0
    for n in range(20 + first, -1, -2):
        total = 1 / math.factorial(n) - angle * angle * total
    return total * angle if first else total


def _as_divisor(value, func, name):
    number = as_number(value, func, name)
    if not 0 < number < math.inf:
        raise ValueError(f"{func}: {name} is {value} but a finite, positive number was expected")
    return number


def _as_milestones(value, func, name):
    try:
        milestones = tuple(value)
    except TypeError:
        raise TypeError(f"{func}: {name} is {value!r} but a sequence of integers was expected") from None
    milestones = tuple(as_count(one, func, f"{name}[{i}]") for i, one in enumerate(milestones))
    if list(milestones) != sorted(milestones):
        raise ValueError(f"{func}: {name} is {milestones} but increasing numbers were expected")
    return milestones


def _as_rate_or_schedule(value, func, name):
    return value if isinstance(value, Schedule) else as_nonnegative(value, func, name)


def _one_of(*choices):
    def check(value, func, name):
        if value not in choices:
            raise ValueError(f"{func}: {name} is {value!r} but one of {', '.join(map(repr, choices))} was expected")
        return value

    return check


_CHECKS = {
    **dict.fromkeys(("lr", "max_lr", "base_lr", "eta_min", "gamma", "power", "scale"), as_nonnegative),
    **dict.fromkeys(("step_size", "total_iters", "T_max", "T_mult", "total_steps", "step_size_up", "n"), as_count),
    "step_size_down": lambda value, func, name: None if value is None else as_count(value, func, name),
    **dict.fromkeys(("div_factor", "final_div_factor"), _as_divisor),
    **dict.fromkeys(("restarts", "three_phase"), as_flag),
    "milestones": _as_milestones,
    "pct_start": as_probability,
    "anneal_strategy": _one_of("cos", "linear"),
    "mode": _one_of("triangular", "triangular2", "exp_range"),
    "then": _as_rate_or_schedule,
    "by": _one_of("epoch", "step"),
}


@specification
class Schedule(Specification):
    """What all schedules share. A subclass has fields, ``by`` among them, and ``at(t)``, its value where t epochs or steps are done."""

    def __post_init__(self):
        for one in fields(self):
            value = _CHECKS[one.name](getattr(self, one.name), type(self).__name__, one.name)
            object.__setattr__(self, one.name, value)

    def __call__(self, step, epoch):
        """Return the learning rate.

        Parameters
        ----------
        step, epoch : int
            How many are done.

        Returns
        -------
        float
        """
        return self.at(step if self.by == "step" else epoch)


def rate_of(lr, step, epoch):
    """Return the learning rate, a number or what a schedule has, where so many steps and epochs are done."""
    return lr(step, epoch) if isinstance(lr, Schedule) else lr


def _by(default):
    return field(default=default, kw_only=True)


@specification
class Constant(Schedule):
    """The same lr at every t = 0, 1, 2, ...: ``torch.optim.lr_scheduler.ConstantLR`` with a factor of 1.

    Parameters
    ----------
    lr : float
    """

    lr: float

    def __call__(self, step, epoch):
        """Return lr."""
        return self.lr


@specification
class Step(Schedule):
    """lr gamma^floor(t / step_size): ``torch.optim.lr_scheduler.StepLR``.

    Parameters
    ----------
    lr : float
    step_size : int
    gamma : float
    by : "epoch" or "step"
    """

    lr: float
    step_size: int
    gamma: float = 0.1
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        return self.lr * _power(self.gamma, t // self.step_size)


@specification
class MultiStep(Schedule):
    """lr gamma^(number of milestones that t has reached): ``torch.optim.lr_scheduler.MultiStepLR``.

    Parameters
    ----------
    lr : float
    milestones : sequence of int
        Increasing; one that stands twice counts twice.
    gamma : float
    by : "epoch" or "step"
    """

    lr: float
    milestones: tuple
    gamma: float = 0.1
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        return self.lr * _power(self.gamma, sum(milestone <= t for milestone in self.milestones))


@specification
class Exponential(Schedule):
    """lr gamma^t: ``torch.optim.lr_scheduler.ExponentialLR``.

    Parameters
    ----------
    lr, gamma : float
    by : "epoch" or "step"
    """

    lr: float
    gamma: float
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        return self.lr * _power(self.gamma, t)


@specification
class InverseScaling(Schedule):
    """lr / (1 + scale t)^power: scikit-learn's ``learning_rate="invscaling"``, which counts rows: scale is their number per epoch.

    Parameters
    ----------
    lr : float
    power : float
        scikit-learn's ``power_t``.
    scale : float
    by : "epoch" or "step"
    """

    lr: float
    power: float = 0.5
    scale: float = 1.0
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        return self.lr / _power(1 + self.scale * t, self.power)


@specification
class Polynomial(Schedule):
    """lr (1 - t / total_iters)^power, then 0: ``torch.optim.lr_scheduler.PolynomialLR``.

    Parameters
    ----------
    lr : float
    total_iters : int
    power : float
    by : "epoch" or "step"
    """

    lr: float
    total_iters: int = 5
    power: float = 1.0
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        return self.lr * _power(1 - min(t, self.total_iters) / self.total_iters, self.power)


@specification
class Cosine(Schedule):
    """eta_min + (lr - eta_min) (1 + cos(pi t / T_max)) / 2: ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    Parameters
    ----------
    lr : float
    T_max : int
        From lr down to eta_min; without restarts the rate then rises again for as long.
    eta_min : float
    restarts : bool
        Begin at lr again after T_max, and whenever a period has ended: ``CosineAnnealingWarmRestarts``.
    T_mult : int
        With restarts, each period is T_mult times as long as the one before.
    by : "epoch" or "step"
    """

    lr: float
    T_max: int
    eta_min: float = 0.0
    restarts: bool = False
    T_mult: int = 1
    by: str = _by("epoch")

    def at(self, t):
        """Return the value at t."""
        period = self.T_max
        if self.restarts and self.T_mult == 1:
            t %= period
        while self.restarts and t >= period:
            t -= period
            period *= self.T_mult
        return self.eta_min + (self.lr - self.eta_min) * (1 + _cosine(t / period)) / 2


@specification
class OneCycle(Schedule):
    """From max_lr / div_factor up to max_lr, then down to that over final_div_factor: ``torch.optim.lr_scheduler.OneCycleLR``.

    Parameters
    ----------
    max_lr : float
    total_steps : int
        Afterwards the rate stays.
    pct_start : float
        Share of them in which the rate rises.
    anneal_strategy : "cos" or "linear"
    div_factor, final_div_factor : float
    three_phase : bool
        Come down to max_lr / div_factor as fast as up, and only then to the end.
    by : "step" or "epoch"
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False
    by: str = _by("step")

    def _turns(self):
        """Yield (t, rate): what is reached when."""
        first = self.max_lr / self.div_factor
        yield 0.0, first
        yield self.pct_start * self.total_steps - 1, self.max_lr
        if self.three_phase:
            yield 2 * self.pct_start * self.total_steps - 2, first
        yield self.total_steps - 1, first / self.final_div_factor

    def at(self, t):
        """Return the value at t."""
        turns = list(self._turns())
        last, t = turns[-1][0], min(t, self.total_steps - 1)
        for (start, low), (end, high) in zip(turns, turns[1:], strict=False):
            if t <= end or end == last:
                share = (t - start) / (end - start) if end > start else 1.0
                if self.anneal_strategy == "linear":
                    return low + (high - low) * share
                return high + (low - high) / 2 * (1 + _cosine(share))
        raise AssertionError("the last turn ends the loop")


@specification
class Cyclic(Schedule):
    """base_lr + (max_lr - base_lr) r, where r goes from 0 to 1 and back in straight lines: ``torch.optim.lr_scheduler.CyclicLR``.

    Parameters
    ----------
    base_lr, max_lr : float
    step_size_up, step_size_down : int
        step_size_down is step_size_up if None.
    mode : "triangular", "triangular2" or "exp_range"
        Each cycle as high as the first, half as high as the one before, or gamma^t times as high.
    gamma : float
    by : "step" or "epoch"
    """

    base_lr: float
    max_lr: float
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    by: str = _by("step")

    def at(self, t):
        """Return the value at t."""
        up = self.step_size_up
        down = up if self.step_size_down is None else self.step_size_down
        cycle, t_cycle = divmod(t, up + down)
        height = t_cycle / up if t_cycle <= up else (up + down - t_cycle) / down
        base, power = {"triangular": (1.0, 0), "triangular2": (0.5, cycle), "exp_range": (self.gamma, t)}[self.mode]
        return self.base_lr + (self.max_lr - self.base_lr) * height * _power(base, power)


@specification
class Warmup(Schedule):
    """(t + 1) / n of the rate with which ``then`` begins, n times: ``torch.optim.lr_scheduler.LinearLR``; then ``then`` from 0.

    PyTorch has it as ``SequentialLR`` of ``LinearLR(start_factor=1 / n, total_iters=n - 1)`` and another.

    Parameters
    ----------
    n : int
    then : float or Schedule
        One that counts in the other unit is not shifted.
    by : "step" or "epoch"
    """

    n: int
    then: object = field(kw_only=True)
    by: str = _by("step")

    def __call__(self, step, epoch):
        """Return the learning rate; see ``Schedule``."""
        t = step if self.by == "step" else epoch
        after, share = max(t - self.n, 0), min((t + 1) / self.n, 1.0)
        return share * rate_of(self.then, *((after, epoch) if self.by == "step" else (step, after)))


SCHEDULES = {cls.__name__: cls for cls in Schedule.__subclasses__()}
