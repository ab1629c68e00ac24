"""Schedules: against formulas by hand and PyTorch's schedulers over 200 steps, composed, checked, saved, and in a trainer."""

import dataclasses
import json
import math
from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import schedules, serialization
from fastnn.schedules import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    InverseScaling,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    Step,
    Warmup,
)


def cosine(high, low, share):
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def restarts(t, first, factor):
    """Where t lies in its period, from 0 to 1."""
    while t >= first:
        t, first = t - first, first * factor
    return t / first


def triangle(t, up, down):
    t %= up + down
    return t / up if t <= up else 1 - (t - up) / down


CASES = [  # schedule, its value by hand, its name in torch.optim.lr_scheduler and the arguments there, the rate it starts from
    (Step(0.1, 30), lambda t: 0.1 * 0.1 ** (t // 30), "StepLR", {"step_size": 30}, 0.1),
    (Step(0.5, 7, gamma=0.9), lambda t: 0.5 * 0.9 ** (t // 7), "StepLR", {"step_size": 7, "gamma": 0.9}, 0.5),
    (MultiStep(0.1, [30, 80, 80]), lambda t: 0.1 * 0.1 ** ((t >= 30) + 2 * (t >= 80)), "MultiStepLR", {"milestones": [30, 80, 80]}, 0.1),
    (MultiStep(0.1, (1, 5), 0.5), lambda t: 0.1 * 0.5 ** ((t >= 1) + (t >= 5)), "MultiStepLR", {"milestones": [1, 5], "gamma": 0.5}, 0.1),
    (Exponential(0.1, 0.97), lambda t: 0.1 * 0.97**t, "ExponentialLR", {"gamma": 0.97}, 0.1),
    (Polynomial(0.1), lambda t: 0.1 * max(0, 1 - t / 5), "PolynomialLR", {}, 0.1),
    (Polynomial(0.1, 150, power=0.9), lambda t: 0.1 * max(0, 1 - t / 150) ** 0.9, "PolynomialLR", {"total_iters": 150, "power": 0.9}, 0.1),
    (Cosine(0.1, 200), lambda t: cosine(0.1, 0, t / 200), "CosineAnnealingLR", {"T_max": 200}, 0.1),
    (Cosine(0.1, 60, 0.01), lambda t: cosine(0.1, 0.01, t / 60), "CosineAnnealingLR", {"T_max": 60, "eta_min": 0.01}, 0.1),
    (Cosine(0.1, 30, 0.01, restarts=True), lambda t: cosine(0.1, 0.01, t % 30 / 30), "CosineAnnealingWarmRestarts",
     {"T_0": 30, "eta_min": 0.01}, 0.1),
    (Cosine(0.1, 10, restarts=True, T_mult=2), lambda t: cosine(0.1, 0, restarts(t, 10, 2)), "CosineAnnealingWarmRestarts",
     {"T_0": 10, "T_mult": 2}, 0.1),
    (OneCycle(0.1, 200), lambda t: cosine(4e-3, 0.1, t / 59) if t <= 59 else cosine(0.1, 4e-7, (t - 59) / 140), "OneCycleLR",
     {"max_lr": 0.1, "total_steps": 200}, 0.1),
    (OneCycle(0.1, 200, pct_start=0.25, anneal_strategy="linear", div_factor=10, final_div_factor=100, three_phase=True),
     lambda t: np.interp(t, [0, 49, 98, 199], [0.01, 0.1, 0.01, 1e-4]), "OneCycleLR",
     {"max_lr": 0.1, "total_steps": 200, "pct_start": 0.25, "anneal_strategy": "linear", "div_factor": 10, "final_div_factor": 100,
      "three_phase": True}, 0.1),
    (Cyclic(0.01, 0.1, 20), lambda t: 0.01 + 0.09 * triangle(t, 20, 20), "CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20}, 0.1),
    (Cyclic(0.01, 0.1, 15, 35, mode="triangular2"), lambda t: 0.01 + 0.09 * triangle(t, 15, 35) * 0.5 ** (t // 50), "CyclicLR",
     {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 15, "step_size_down": 35, "mode": "triangular2"}, 0.1),
    (Cyclic(0.01, 0.1, 20, mode="exp_range", gamma=0.99), lambda t: 0.01 + 0.09 * triangle(t, 20, 20) * 0.99**t, "CyclicLR",
     {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20, "mode": "exp_range", "gamma": 0.99}, 0.1),
    (Constant(0.1), lambda t: 0.1, "ConstantLR", {"factor": 1.0}, 0.1),
    (InverseScaling(0.1), lambda t: 0.1 / (1 + t) ** 0.5, None, {}, 0.1),
    (InverseScaling(0.1, 0.7, scale=50), lambda t: 0.1 / (1 + 50 * t) ** 0.7, None, {}, 0.1),
    (Warmup(10, then=0.1), lambda t: 0.1 * min(1, (t + 1) / 10), "LinearLR", {"start_factor": 0.1, "total_iters": 9}, 0.1),
    (Warmup(10, then=Cosine(0.1, 50, by="step")), lambda t: 0.1 * (t + 1) / 10 if t < 10 else cosine(0.1, 0, (t - 10) / 50), None, {}, 0.1),
]  # fmt: skip
IN_SCIKIT_LEARN = {"InverseScaling"}  # beside those that have a name in PyTorch
COLUMNS = "schedule", "by_hand", "name", "options", "start"
EACH = pytest.mark.parametrize(COLUMNS, CASES, ids=lambda v: repr(v)[:50])
EACH_OF_TORCH = pytest.mark.parametrize(
    COLUMNS, [case for case in CASES if case[2] is not None], ids=lambda v: repr(v)[:50]
)


def at(schedule, t):
    """The value where t epochs or steps are done, whichever counts; the other count is one that would be noticed."""
    return schedule(10**6, t) if getattr(schedule, "by", "epoch") == "epoch" else schedule(t, 10**6)


@EACH
def test_values_are_those_by_hand_over_200_steps(schedule, by_hand, name, options, start):
    got, want = [at(schedule, t) for t in range(200)], [by_hand(t) for t in range(200)]
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-16)
    assert {type(value) for value in got} == {float}


@EACH_OF_TORCH
def test_values_are_those_of_torch_over_200_steps(schedule, by_hand, name, options, start):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start, momentum=0.9)
    scheduler, want = getattr(torch.optim.lr_scheduler, name)(optimizer, **options), []
    for _ in range(200):
        want.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    # PyTorch multiplies from step to step, so that its roundings add up: at a rate of about 0, to 1e-15.
    np.testing.assert_allclose([at(schedule, t) for t in range(200)], want, rtol=1e-14, atol=1e-15)


def test_a_warm_up_before_another_is_torchs_sequence():
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    kinds = torch.optim.lr_scheduler
    parts = [kinds.LinearLR(optimizer, start_factor=1 / 10, total_iters=9), kinds.ExponentialLR(optimizer, 0.97)]
    scheduler, want = kinds.SequentialLR(optimizer, parts, [10]), []
    for _ in range(200):
        want.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = Warmup(10, then=Exponential(0.1, 0.97, by="step"))
    np.testing.assert_allclose([ours(t, 0) for t in range(200)], want, rtol=1e-12)


def test_inverse_scaling_is_that_of_scikit_learn():
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    theirs, rows, want = optimizers.SGDOptimizer([], 0.1, "invscaling", power_t=0.3), 77, []
    for epoch in range(200):
        want.append(theirs.learning_rate)
        theirs.iteration_ends((epoch + 1) * rows)
    np.testing.assert_allclose([at(InverseScaling(0.1, 0.3, scale=rows), t) for t in range(200)], want, rtol=1e-14)


def test_every_schedule_has_a_case_and_a_docstring_with_its_source():
    tried = {type(schedule) for schedule, *_ in CASES}
    assert tried == set(schedules.SCHEDULES.values())
    assert {*schedules.__all__} == {"Schedule", *schedules.SCHEDULES}
    for name, cls in schedules.SCHEDULES.items():
        assert ("scikit-learn" if name in IN_SCIKIT_LEARN else "torch.optim.lr_scheduler") in cls.__doc__
        for field in dataclasses.fields(cls):
            assert field.name in cls.__doc__.split("----------")[1], (name, field.name)


@pytest.mark.parametrize("schedule", [schedule for schedule, *_ in CASES], ids=repr)
def test_schedules_count_in_the_unit_they_are_told(schedule):
    if not isinstance(schedule, (Constant, Warmup)):
        for by in ("epoch", "step"):
            other = dataclasses.replace(schedule, by=by)
            assert [at(other, t) for t in range(50)] == [at(schedule, t) for t in range(50)]
    assert schedule == dataclasses.replace(schedule)
    assert hash(schedule) == hash(dataclasses.replace(schedule))
    with pytest.raises(FrozenInstanceError):
        schedule.lr = 1.0


def test_a_warm_up_counts_in_its_own_unit_and_shifts_what_counts_in_it():
    by_epoch, by_step = Exponential(1.0, 0.5), Exponential(1.0, 0.5, by="step")
    assert Warmup(4, then=by_epoch)(3, 2) == 0.25
    assert Warmup(4, then=by_epoch)(9, 2) == 0.25
    assert Warmup(4, then=by_step)(9, 2) == 2.0**-5
    assert Warmup(4, then=by_epoch, by="epoch")(100, 6) == 0.25
    assert Warmup(4, then=by_step, by="epoch")(3, 0) == 0.25 * 0.125
    assert Warmup(2, then=Warmup(2, then=1.0))(2, 0) == 0.5


def test_the_rate_of_one_cycle_stays_where_it_ends():
    schedule = OneCycle(0.1, 10, div_factor=10, final_div_factor=100)
    assert schedule(10, 0) == schedule(9, 0) == schedule(10**9, 0) == pytest.approx(1e-4, rel=1e-14)
    assert OneCycle(0.1, 1)(0, 0) == pytest.approx(4e-7, rel=1e-14)
    assert OneCycle(0.1, 10, pct_start=0.1)(0, 0) == 0.1, "no step is left to rise in"


def test_powers_and_cosines_are_right_to_the_last_digits():
    with mpmath.workdps(40):
        for x in [*np.linspace(-3, 3, 101), 1e-9, 0.25, 0.5 - 1e-12, 1e6 + 1 / 3]:
            assert abs(schedules._cosine(float(x)) - mpmath.cos(mpmath.pi * mpmath.mpf(float(x)))) < 2.0**-52
        for base, exponent in [(0.97, 10**6), (0.1, 3), (12.5, 0.5), (0.3, 0.7), (0.0, 2), (0.0, 0), (1e-300, 0.9), (0.5, 2000)]:  # fmt: skip
            want = mpmath.mpf(base) ** mpmath.mpf(exponent)
            assert schedules._power(base, exponent) == float(want)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Constant(-1), ValueError, "Constant: lr is -1 but a finite, non-negative number was expected"),
        (lambda: Constant("fast"), TypeError, "Constant: lr is 'fast' but a number was expected"),
        (lambda: Step(0.1, 0), ValueError, "Step: step_size is 0 but a positive integer was expected"),
        (lambda: Step(0.1, 3, gamma=np.nan), ValueError, "Step: gamma is nan but a number was expected"),
        (lambda: Step(0.1, 3, by="batch"), ValueError, "Step: by is 'batch' but one of 'epoch', 'step' was expected"),
        (lambda: MultiStep(0.1, 30), TypeError, "MultiStep: milestones is 30 but a sequence of integers was expected"),
        (lambda: MultiStep(0.1, [30, 20]), ValueError, "MultiStep: milestones is (30, 20) but increasing numbers were expected"),
        (lambda: MultiStep(0.1, [0.5]), ValueError, "MultiStep: milestones[0] is 0.5 but a positive integer was expected"),
        (lambda: Exponential(0.1, math.inf), ValueError, "Exponential: gamma is inf but a finite, non-negative number was expected"),
        (lambda: Polynomial(0.1, 2.5), ValueError, "Polynomial: total_iters is 2.5 but a positive integer was expected"),
        (lambda: Cosine(0.1, 5, restarts=2), TypeError, "Cosine: restarts is 2 but True or False was expected"),
        (lambda: OneCycle(0.1, 5, pct_start=1.5), ValueError, "OneCycle: pct_start is 1.5 but a probability in [0, 1] was expected"),
        (lambda: OneCycle(0.1, 5, div_factor=0), ValueError, "OneCycle: div_factor is 0 but a finite, positive number was expected"),
        (lambda: OneCycle(0.1, 5, anneal_strategy="x"), ValueError, "OneCycle: anneal_strategy is 'x' but one of 'cos', 'linear' was expected"),
        (lambda: Cyclic(0.1, 1, step_size_down=0), ValueError, "Cyclic: step_size_down is 0 but a positive integer was expected"),
        (lambda: Cyclic(0.1, 1, mode="x"), ValueError,
         "Cyclic: mode is 'x' but one of 'triangular', 'triangular2', 'exp_range' was expected"),
        (lambda: Step(0.1, 3, factor=2), TypeError, "Step: unknown parameter 'factor' (Step takes lr, step_size, gamma, by)"),
        (lambda: Step(0.1), TypeError, "Step: missing a required argument: 'step_size'"),
        (lambda: Warmup(5, then="x"), TypeError, "Warmup: then is 'x' but a number was expected"),
        (lambda: Warmup(0, then=1), ValueError, "Warmup: n is 0 but a positive integer was expected"),
    ],
)  # fmt: skip
def test_schedules_check_their_arguments_at_construction(call, error, message):
    refused(call, error, message)


# ----------------------------------------------------------------------------------------------------- in an optimizer


@pytest.mark.parametrize("schedule", [schedule for schedule, *_ in CASES], ids=repr)
def test_optimizers_with_a_schedule_are_described_and_constructed(schedule):
    for spec in (schedule, fnn.Adam(lr=schedule), fnn.Rprop(lr=schedule)):
        again = serialization.construct(json.loads(json.dumps(serialization.describe(spec))))
        assert again == spec
        assert repr(again) == repr(spec)


X, Y = np.random.default_rng(0).standard_normal((10, 4)), np.arange(10) % 3


def trainer(optimizer, **options):
    return fnn.Trainer(fnn.Linear(4, 3, rng=0, dtype=np.float64), "cross_entropy", optimizer, seed=0, **options)


def test_a_trainer_follows_a_schedule_by_steps_and_by_epochs():
    for schedule in (Exponential(0.5, 0.9, by="step"), Exponential(0.5, 0.5), Warmup(3, then=Step(0.5, 1))):
        run, by_hand = trainer(fnn.SGD(lr=schedule)), trainer(fnn.SGD(lr=1.0))
        run.fit(X, Y, epochs=3, batch_size=5, shuffle=False, verbose=False)
        for step in range(6):
            by_hand.lr_factor = schedule(step, step // 2)
            by_hand.step(*((X[:5], Y[:5]) if step % 2 == 0 else (X[5:], Y[5:])))
        for one, two in zip(run.model.state_dict().values(), by_hand.model.state_dict().values(), strict=True):
            np.testing.assert_array_equal(one, two)
        run.step(X, Y)
        by_hand.lr_factor = schedule(6, 3)
        by_hand.step(X, Y)
        np.testing.assert_array_equal(run.model[0].weight, by_hand.model[0].weight)


def test_the_factor_multiplies_number_and_schedule_and_callbacks_may_set_it():
    def halve(run, history):
        run.lr_factor *= 0.5

    for rate in (0.5, Constant(0.5)):
        run = trainer(fnn.SGD(lr=rate))
        run.fit(X, Y, epochs=3, batch_size=10, verbose=False, callbacks=halve)
        assert run.lr_factor == 0.125
        other = trainer(fnn.SGD(lr=Exponential(0.5, 0.5)))
        other.fit(X, Y, epochs=3, batch_size=10, verbose=False)
        np.testing.assert_array_equal(run.model[0].weight, other.model[0].weight)


def test_a_specification_alone_follows_its_schedule_through_the_first_epoch():
    param, spec = np.zeros(1), fnn.SGD(lr=Step(1.0, 2, gamma=0.5, by="step"))
    path = []
    for step in range(1, 6):
        spec.update(param, np.ones(1), {}, step)
        path.append(-param[0])
    assert path == [1, 2, 2.5, 3, 3.25]
    spec.update(param, np.ones(1), {}, 6, lr=10.0)
    assert param[0] == -13.25


class Broken(Schedule):
    """A schedule of the user's own that fails after two steps."""

    by = "step"

    def at(self, t):
        return 0.1 if t < 2 else math.nan


class WithoutRate:
    slots = ()

    def update(self, param, grad, slots, step):
        param -= 0.1 * grad


def test_a_rate_that_is_none_stops_the_step_before_anything_changes():
    run = trainer(fnn.SGD(lr=Broken()))
    for _ in range(2):
        run.step(X, Y)
    before = run.model.state_dict()
    refused(lambda: run.step(X, Y), ValueError, "Trainer: lr is nan after 2 steps and 0 epochs (Broken())")
    assert run.steps_done == 2
    np.testing.assert_array_equal(run.model[0].weight, before["0.weight"])


def test_what_cannot_be_a_factor_is_refused():
    run = trainer(fnn.SGD())
    for value, error, what in [
        (-1, ValueError, "-1 but a finite, non-negative number"),
        (math.inf, ValueError, "inf but a finite, non-negative number"),
        ("half", TypeError, "'half' but a number"),
    ]:
        refused(
            lambda value=value: setattr(run, "lr_factor", value), error, f"Trainer: lr_factor is {what} was expected"
        )
    assert run.lr_factor == 1
    spec = WithoutRate()
    refused(lambda: setattr(trainer(spec), "lr_factor", 0.5), TypeError,
            f"Trainer: lr_factor needs an optimizer with lr, but {spec!r} has none")  # fmt: skip
    refused(lambda: fnn.SGD(lr=Constant), TypeError, f"SGD: lr is {Constant!r} but a number was expected")
