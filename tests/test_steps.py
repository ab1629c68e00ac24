"""A step: its options against arithmetic by hand, and all of it or nothing."""

import copy
import dataclasses
import functools
import math
import signal
import sys
import threading
import types

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R
from fastnn.losses import LOSSES
from fastnn.optim import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 4))
Y = RNG.integers(0, 3, 12)
WEIGHT = RNG.random(12)


# ---------------------------------------------------------------------------------------------------- options, by hand


def cross_entropy_by_hand(z, y, sample_weight, weight=None, ignore_index=-100, label_smoothing=0.0):
    """Value and gradient by the logits of the mean over the weights of rows."""
    classes = z.shape[1]
    weight = np.ones(classes) if weight is None else np.array(weight)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    value, gradient, total = 0.0, np.zeros_like(z), 0.0
    for i, label in enumerate(y):
        if label == ignore_index:
            continue
        q = weight * ((1 - label_smoothing) * np.eye(classes)[label] + label_smoothing / classes)
        value -= sample_weight[i] * (q * np.log(p[i])).sum()
        gradient[i] = sample_weight[i] * (p[i] * q.sum() - q)
        total += sample_weight[i] * weight[label]
    return value / total, gradient / total


def mse_by_hand(z, y, sample_weight):
    total = sample_weight.sum() * z.shape[1]
    difference = z - y
    return (sample_weight[:, None] * difference**2).sum() / total, 2 * sample_weight[:, None] * difference / total


def huber_by_hand(z, y, sample_weight, delta=1.0):
    total, distance = sample_weight.sum() * z.shape[1], np.abs(z - y)
    value = np.where(distance < delta, distance**2 / 2, delta * (distance - delta / 2))
    return (sample_weight[:, None] * value).sum() / total, sample_weight[:, None] * np.clip(
        z - y, -delta, delta
    ) / total


def sgd_by_hand(w, g, slots, step, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    slots["v"] = g if step == 1 else momentum * slots["v"] + (1 - dampening) * g
    if not momentum:
        return w - lr * g
    return w - lr * (g + momentum * slots["v"] if nesterov else slots["v"])


def adagrad_by_hand(
    w, g, slots, step, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10
):
    g = g + weight_decay * w
    slots["sum"] = slots.get("sum", initial_accumulator_value) + g * g
    return w - lr / (1 + (step - 1) * lr_decay) * g / (slots["sum"] ** 0.5 + eps)


def adadelta_by_hand(w, g, slots, step, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    g = g + weight_decay * w
    slots["v"] = rho * slots.get("v", 0) + (1 - rho) * g * g
    delta = ((slots.get("u", 0) + eps) / (slots["v"] + eps)) ** 0.5 * g
    slots["u"] = rho * slots.get("u", 0) + (1 - rho) * delta * delta
    return w - lr * delta


def rmsprop_by_hand(w, g, slots, step, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    g = g + weight_decay * w
    slots["v"] = alpha * slots.get("v", 0) + (1 - alpha) * g * g
    slots["m"] = alpha * slots.get("m", 0) + (1 - alpha) * g
    root = (slots["v"] - slots["m"] ** 2 if centered else slots["v"]) ** 0.5
    slots["b"] = momentum * slots.get("b", 0) + g / (root + eps)
    return w - lr * slots["b"]


def moments_by_hand(g, slots, betas):
    slots["m"] = betas[0] * slots.get("m", 0) + (1 - betas[0]) * g
    slots["v"] = betas[1] * slots.get("v", 0) + (1 - betas[1]) * g * g
    return slots["m"], slots["v"]


def adam_by_hand(
    w, g, slots, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, eps_hat=False
):
    m, v = moments_by_hand(g + weight_decay * w, slots, betas)
    if amsgrad:
        v = slots["max"] = np.maximum(slots.get("max", 0), v)
    if eps_hat:
        return w - lr * (1 - betas[1] ** step) ** 0.5 / (1 - betas[0] ** step) * m / (v**0.5 + eps)
    return w - lr * m / (1 - betas[0] ** step) / ((v / (1 - betas[1] ** step)) ** 0.5 + eps)


def adamw_by_hand(w, g, slots, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
    return adam_by_hand(w - lr * weight_decay * w, g, slots, step, lr, betas, eps, 0.0, amsgrad)


def adamax_by_hand(w, g, slots, step, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    m, _ = moments_by_hand(g + weight_decay * w, slots, betas)
    slots["u"] = np.maximum(betas[1] * slots.get("u", 0), abs(g + weight_decay * w) + eps)
    return w - lr * m / (1 - betas[0] ** step) / slots["u"]


def nadam_by_hand(
    w, g, slots, step, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3,
    decoupled_weight_decay=False,
):  # fmt: skip
    g, w = (g, w - lr * weight_decay * w) if decoupled_weight_decay else (g + weight_decay * w, w)
    m, v = moments_by_hand(g, slots, betas)
    mu, after = (betas[0] * (1 - 0.96 ** (t * momentum_decay) / 2) for t in (step, step + 1))
    slots["product"] = slots.get("product", 1) * mu
    direction = (1 - mu) * g / (1 - slots["product"]) + after * m / (1 - slots["product"] * after)
    return w - lr * direction / ((v / (1 - betas[1] ** step)) ** 0.5 + eps)


def radam_by_hand(
    w, g, slots, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False
):
    g, w = (g, w - lr * weight_decay * w) if decoupled_weight_decay else (g + weight_decay * w, w)
    m, v = moments_by_hand(g, slots, betas)
    most, power = 2 / (1 - betas[1]) - 1, betas[1] ** step
    rho = most - 2 * step * power / (1 - power)
    if rho > 5:
        r = ((rho - 4) / (most - 4) * (rho - 2) / (most - 2) * most / rho) ** 0.5
        m = m * r * (1 - power) ** 0.5 / (v**0.5 + eps)
    return w - lr * m / (1 - betas[0] ** step)


def lion_by_hand(w, g, slots, step, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    m = slots.get("m", 0)
    slots["m"] = betas[1] * m + (1 - betas[1]) * g
    return w - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * w)


def rprop_by_hand(w, g, slots, step, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0)):
    turned = np.sign(g * slots.get("before", 0 * g))
    factor = np.choose(turned.astype(int) + 1, (etas[0], 1, etas[1]))
    slots["size"] = np.clip(slots.get("size", lr) * factor, *step_sizes)
    slots["before"] = np.where(turned < 0, 0, g)
    return w - np.sign(slots["before"]) * slots["size"]


BY_HAND = {
    "cross_entropy": cross_entropy_by_hand, "mse": mse_by_hand, "huber": huber_by_hand,
} | {name: globals()[f"{name}_by_hand"] for name in OPTIMIZERS}  # fmt: skip


def regularised_by_hand(w, gradients, l1=0.0, l2=0.0, clip_norm=None, clip_value=None):
    dw, db = gradients
    dw = dw + l1 * np.sign(w) + 2 * l2 * w
    if clip_value is not None:
        dw, db = (np.minimum(np.maximum(g, -clip_value), clip_value) for g in (dw, db))
    if clip_norm is not None:
        norm = math.sqrt((dw**2).sum() + (db**2).sum())
        factor = min(1.0, clip_norm / norm)
        dw, db = factor * dw, factor * db
    return dw, db


STEPS = range(1, 9)  # RAdam rectifies from its sixth on


def loss_by_hand(name):
    """Return the loss by hand, or the reference's, which other tests compare with PyTorch."""
    if name in BY_HAND:
        return BY_HAND[name]
    reference = getattr(R, f"{core.LOSSES[name].info.function}_with_grad")
    return lambda z, y, sample_weight, **options: reference(z, y, sample_weight=sample_weight, **options)


def target_of(loss):
    info = core.LOSSES[loss].info
    if info.labels or info.shared:
        return Y
    return 2 * np.eye(3)[Y] - 1 if info.accepts[0] == "-1 or 1" else np.eye(3)[Y]


def steps_by_hand(loss, loss_options, optimizer, optimizer_options, trainer_options, sample_weight):
    """Return the losses of STEPS of a linear model, and its parameters after them."""
    linear = fnn.Linear(4, 3, rng=0, dtype=np.float64)
    w, b = linear.weight.copy(), linear.bias.copy()
    y = target_of(loss)
    sample_weight = np.ones(12) if sample_weight is None else sample_weight
    slots, losses = ({}, {}), []
    for step in STEPS:
        value, dz = loss_by_hand(loss)(X @ w.T + b, y, sample_weight, **loss_options)
        dw, db = regularised_by_hand(w, (dz.T @ X, dz.sum(0)), **trainer_options)
        w = BY_HAND[optimizer](w, dw, slots[0], step, **optimizer_options)
        b = BY_HAND[optimizer](b, db, slots[1], step, **optimizer_options)
        losses.append(value)
    return losses, w, b


def steps_of_a_trainer(loss, loss_options, optimizer, optimizer_options, trainer_options, sample_weight):
    run = fnn.Trainer(
        fnn.Linear(4, 3, rng=0, dtype=np.float64),
        LOSSES[loss](**loss_options),
        OPTIMIZERS[optimizer](**optimizer_options),
        **trainer_options,
    )
    y = target_of(loss)
    losses = [run.step(X, y, sample_weight) for _ in STEPS]
    return losses, run.model[0].weight, run.model[0].bias


def more_optimizers():
    """Yield (name, number, options) of the optimizers: those that others are compared with, then each option alone."""
    betas, decays = {"betas": (0.5, 0.7)}, {"weight_decay": 0.2}
    decoupled = decays | {"decoupled_weight_decay": True}
    table = {
        "sgd": [{"momentum": 0.9, "dampening": 0.3}],
        "adam": [{"lr": 1.0, "betas": (0.9, 0.5)}, {"lr": 1.0, "betas": (0.9, 0.5), "amsgrad": True},
                 {"eps": 0.1, "eps_hat": True}],
        "adamw": [{"lr": 1.0, "betas": (0.9, 0.5)}, {"lr": 1.0, "betas": (0.9, 0.5), "amsgrad": True}],
        "adagrad": [{}, {"lr": 0.2}, {"lr_decay": 0.1}, decays, {"initial_accumulator_value": 0.1}, {"eps": 0.1}],
        "adadelta": [{}, {"lr": 0.2}, {"rho": 0.5}, {"eps": 0.1}, decays],
        "rmsprop": [{}, {"lr": 0.2}, {"alpha": 0.5}, {"eps": 0.1}, decays, {"momentum": 0.5}, {"centered": True},
                    {"centered": True, "momentum": 0.5}],
        "adamax": [{}, {"lr": 0.2}, betas, {"eps": 0.1}, decays],
        "nadam": [{}, {"lr": 0.2}, betas, {"eps": 0.1}, decays, {"momentum_decay": 0.5}, decoupled],
        "radam": [{}, {"lr": 0.2}, betas, {"eps": 0.1}, decays, decoupled],
        "lion": [{"lr": 0.3}, {"lr": 0.3} | betas, {"lr": 0.3} | decays],
        "rprop": [{"lr": 0.3}, {"lr": 0.3, "etas": (0.3, 1.5)}, {"lr": 0.3, "step_sizes": (0.25, 0.4)}],
    }  # fmt: skip
    for name, choices in table.items():
        yield from ((name, n, options) for n, options in enumerate(choices))


MORE_OPTIMIZERS = list(more_optimizers())
LOSS_OPTIONS = {  # name: each option alone
    "smooth_l1": [{"beta": 0.3}, {"beta": 0.1}],  # 1 is huber
    "binary_cross_entropy_with_logits": [{}, {"pos_weight": (0.5, 2.0, 3.0)}],
    "half_mse": [{}],
    "l1": [{}],
    "log_cosh": [{}],
    "focal_with_logits": [{}, {"gamma": 1.0}, {"alpha": 0.25}],
    "hinge": [{}],
    "squared_hinge": [{}],
    "poisson_nll": [{}, {"log_input": False, "eps": 100.0}, {"log_input": False, "eps": 50.0}],
    "kl_div": [{}, {"log_target": True}],
    "quantile": [{}, {"quantiles": (0.2, 0.3, 0.4)}],
    "nll": [{}, {"weight": (0.5, 2.0, 3.0)}, {"ignore_index": 1}],
    "multiclass_hinge": [{}, {"margin": 0.3}, {"p": 2}, {"weight": (0.5, 2.0, 3.0)}, {"ignore_index": 1}],
    "multi_margin": [{}, {"margin": 0.3}, {"p": 2}, {"weight": (0.5, 2.0, 3.0)}, {"ignore_index": 1}],
}
OPTIONS = {  # name: loss, its options, optimizer, its options, the trainer's; each differs from what it is compared with
    "sgd": ("cross_entropy", {}, "sgd", {}, {}),
    "sgd lr": ("cross_entropy", {}, "sgd", {"lr": 0.3}, {}),
    "sgd momentum": ("cross_entropy", {}, "sgd", {"momentum": 0.9}, {}),
    "sgd nesterov": ("cross_entropy", {}, "sgd", {"momentum": 0.9, "nesterov": True}, {}),
    "sgd weight_decay": ("cross_entropy", {}, "sgd", {"weight_decay": 0.2}, {}),
    "adam": ("cross_entropy", {}, "adam", {}, {}),
    "adam lr": ("cross_entropy", {}, "adam", {"lr": 0.2}, {}),
    "adam betas": ("cross_entropy", {}, "adam", {"betas": (0.5, 0.7)}, {}),
    "adam second of betas": ("cross_entropy", {}, "adam", {"betas": (0.9, 0.7)}, {}),
    "adam eps": ("cross_entropy", {}, "adam", {"eps": 0.1}, {}),
    "adam weight_decay": ("cross_entropy", {}, "adam", {"weight_decay": 0.2}, {}),
    "adamw": ("cross_entropy", {}, "adamw", {}, {}),
    "adamw lr": ("cross_entropy", {}, "adamw", {"lr": 0.2}, {}),
    "adamw betas": ("cross_entropy", {}, "adamw", {"betas": (0.5, 0.7)}, {}),
    "adamw second of betas": ("cross_entropy", {}, "adamw", {"betas": (0.9, 0.7)}, {}),
    "adamw eps": ("cross_entropy", {}, "adamw", {"eps": 0.1}, {}),
    "adamw weight_decay": ("cross_entropy", {}, "adamw", {"weight_decay": 0.2}, {}),
    **{f"{name} {n}": ("cross_entropy", {}, name, options, {}) for name, n, options in MORE_OPTIMIZERS},
    **{f"{name} {n}": (name, options, "sgd", {}, {}) for name in LOSS_OPTIONS for n, options in enumerate(LOSS_OPTIONS[name])},
    "mse": ("mse", {}, "sgd", {}, {}),
    "huber": ("huber", {}, "sgd", {}, {}),
    "huber delta": ("huber", {"delta": 0.3}, "sgd", {}, {}),
    "cross_entropy weight": ("cross_entropy", {"weight": (0.5, 2.0, 3.0)}, "sgd", {}, {}),
    "cross_entropy ignore_index": ("cross_entropy", {"ignore_index": 1}, "sgd", {}, {}),
    "cross_entropy label_smoothing": ("cross_entropy", {"label_smoothing": 0.3}, "sgd", {}, {}),
    "cross_entropy all": ("cross_entropy", {"weight": (0.5, 2.0, 3.0), "ignore_index": 1, "label_smoothing": 0.3}, "adam", {}, {}),
    "l1": ("cross_entropy", {}, "sgd", {}, {"l1": 0.3}),
    "l2": ("cross_entropy", {}, "sgd", {}, {"l2": 0.3}),
    "clip_norm": ("cross_entropy", {}, "sgd", {}, {"clip_norm": 0.1}),
    "clip_norm that is not reached": ("cross_entropy", {}, "sgd", {"lr": 0.01}, {"clip_norm": 100.0}),
    "clip_value": ("cross_entropy", {}, "sgd", {}, {"clip_value": 0.02}),
    "clip_value before clip_norm": ("cross_entropy", {}, "sgd", {}, {"clip_value": 0.02, "clip_norm": 0.05}),
    "penalties before clipping": ("mse", {}, "sgd", {"lr": 0.1}, {"l1": 0.3, "l2": 0.1, "clip_value": 0.4}),
}  # fmt: skip

# A step of these losses is tried on what comes out of a Linear, which is no log-probability and no rate.
UNPAIRED = pytest.mark.filterwarnings("ignore:Trainer. (nll|kl_div|poisson_nll) takes:UserWarning")


@UNPAIRED
@pytest.mark.parametrize("weights", [None, WEIGHT], ids=["", "sample_weight"])
@pytest.mark.parametrize("name", OPTIONS)
def test_steps_are_those_by_hand(name, weights):
    losses, w, b = steps_of_a_trainer(*OPTIONS[name], weights)
    want_losses, want_w, want_b = steps_by_hand(*OPTIONS[name], weights)
    np.testing.assert_allclose(losses, want_losses, rtol=1e-12)
    np.testing.assert_allclose(w, want_w, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(b, want_b, rtol=1e-11, atol=1e-14)


@UNPAIRED
def test_every_option_changes_a_step():
    results = [
        steps_of_a_trainer(*options, weights)[1].tobytes() for options in OPTIONS.values() for weights in (None, WEIGHT)
    ]
    assert len(set(results)) == len(results)


# binary_cross_entropy and Keras' take probabilities, gaussian_nll two outputs for each target, poisson_nll's full term no part in a
# gradient.
KERAS = {"binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"}
TRIED_ELSEWHERE = {"binary_cross_entropy", "gaussian_nll", "poisson_nll"} | KERAS


@pytest.mark.parametrize(("kind", "position"), [(LOSSES, 1), (OPTIMIZERS, 3)], ids=["losses", "optimizers"])
def test_every_field_of_a_specification_is_among_the_options(kind, position):
    for name, cls in kind.items():
        if name in TRIED_ELSEWHERE:
            continue
        tried = {field for options in OPTIONS.values() if options[position - 1] == name for field in options[position]}
        assert tried == {field.name for field in dataclasses.fields(cls)}, name


# ----------------------------------------------------------------------------------------------------- all or nothing


def state_of(run):
    """Everything a step changes, as bytes."""
    arrays = run.model.state_dict()
    slots = {(name, slot): a for name, s in run._owned.state.items() for slot, a in s.items()}
    arrays |= slots | {("gathered", name): a for name, a in run._owned.kept().get("gathered", {}).items()}
    return run._owned.counters(), {name: a.tobytes() for name, a in arrays.items()}


class Scale(fnn.Layer):
    """A layer of the user's own; what its backward function gives as gradient can be chosen."""

    def __init__(self, gradient=None):
        super().__init__()
        self.gradient = gradient
        self._parameters["scale"] = np.ones(3, np.float32)

    def __call__(self, x, out=None):
        return F.identity(x * self._parameters["scale"], out=out)

    def vjp(self, x, step=0, train=True):
        def backward(dy):
            own = (dy * x).sum(0)
            self.grads["scale"] = own if self.gradient is None else self.gradient(own)
            return dy * self._parameters["scale"]

        return self(x), backward


def raises(error):
    def f(*arguments):
        raise error

    return f


class Misshapen(fnn.Sequential):
    """A container of the user's own, of fastnn's layers, whose last gradient has a wrong shape."""

    def vjp(self, x, step=0, train=True):
        y, backward = super().vjp(x, step, train)

        def wrong(dy, need_dx=True):
            dx = backward(dy, need_dx)
            last = list(backward.grads)[-1]
            wrong.grads = backward.grads | {last: backward.grads[last][:-1]}
            return dx

        return y, wrong


def test_a_container_of_ones_own_is_checked_before_the_first_update():
    run = fnn.Trainer(Misshapen(fnn.Linear(4, 5, rng=0), fnn.ReLU(), fnn.Linear(5, 3, rng=1)), "cross_entropy")
    before = state_of(run)
    with pytest.raises(ValueError, match=r"2\.bias has shape"):
        run.step(X, Y)
    assert state_of(run) == before


class FailsAtTheSecond:
    """An optimizer of the user's own that updates one parameter and then raises."""

    slots = ("previous",)

    def __init__(self, error):
        self.error, self.calls = error, 0

    def update(self, param, grad, slots, step):
        self.calls += 1
        if self.calls == 2:
            slots["previous"] += 7
            raise self.error
        slots["previous"][...] = param
        param -= 0.1 * grad


REFUSED = {
    "x of another width": ({}, lambda run: run.step(X[:, :2], Y), ValueError),
    "y of another length": ({}, lambda run: run.step(X, Y[:5]), ValueError),
    "a label out of range": ({}, lambda run: run.step(X, Y + 1), IndexError),
    "x of text": ({}, lambda run: run.step([["a"] * 4] * 12, Y), TypeError),
    "a weight below 0": ({}, lambda run: run.step(X, Y, -WEIGHT), ValueError),
    "NaN in x": ({}, lambda run: run.step(np.where(X > 2, X, np.nan), Y), FloatingPointError),
    "a loss that raises": ({"loss": raises(ZeroDivisionError())}, lambda run: run.step(X, Y), ZeroDivisionError),
    "a loss that is interrupted": ({"loss": raises(KeyboardInterrupt())}, lambda run: run.step(X, Y), KeyboardInterrupt),
    "a loss without gradient": ({"loss": lambda z, y: 1.0}, lambda run: run.step(X, Y), TypeError),
    "a loss with a gradient of another shape": ({"loss": lambda z, y: (1.0, z[:3])}, lambda run: run.step(X, Y), ValueError),
    "an infinite loss": ({"loss": lambda z, y: (math.inf, z)}, lambda run: run.step(X, Y), FloatingPointError),
    "a gradient that raises": ({"layer": Scale(raises(OSError()))}, lambda run: run.step(X, Y), OSError),
    "a gradient of another shape": ({"layer": Scale(lambda g: g[:2])}, lambda run: run.step(X, Y), ValueError),
    "a gradient of text": ({"layer": Scale(lambda g: np.array(["a"] * 3))}, lambda run: run.step(X, Y), ValueError),
    "an optimizer that raises": ({"optimizer": FailsAtTheSecond(OSError())}, lambda run: run.step(X, Y), OSError),
    "an optimizer that is interrupted": ({"optimizer": FailsAtTheSecond(KeyboardInterrupt())}, lambda run: run.step(X, Y), KeyboardInterrupt),
}  # fmt: skip


def network(layer=None, loss="cross_entropy", optimizer="adam"):
    model = fnn.Sequential(fnn.Linear(4, 5, rng=0), fnn.Tanh(), fnn.Linear(5, 3, rng=1), layer or Scale())
    return fnn.Trainer(model, loss, optimizer, seed=0)


@pytest.mark.parametrize("name", REFUSED)
def test_a_step_that_raises_has_changed_nothing_and_not_counted(name):
    options, call, error = copy.deepcopy(REFUSED[name])
    run = network(**options)
    before = state_of(run)
    with pytest.raises(error):
        call(run)
    assert state_of(run) == before


def test_a_refused_first_step_does_not_choose_the_loss():
    run = fnn.Trainer(fnn.MLP([4, 3], seed=0))
    with pytest.raises(IndexError):
        run.step(X, Y + 1)
    with pytest.raises(ValueError, match="nan"):
        run.fit(X * np.nan, Y)
    assert run.loss is None
    run.step(X, np.eye(3)[Y])
    assert run.loss == fnn.MSE()


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C raise KeyboardInterrupt, which a process in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("waiting", [None, 0, 1])
def test_ctrl_c_at_any_line_of_a_step_leaves_all_of_it_or_nothing(waiting):
    after, seen, line = None, set(), 0
    while True:
        model = fnn.Sequential(fnn.BatchNorm1d(4), fnn.Linear(4, 3, rng=0))
        run = fnn.Trainer(model, "cross_entropy", "adam", accumulate=1 if waiting is None else 2)
        for _ in range(waiting or 0):
            run.step(X, Y)
        before = state_of(run)
        left = line

        def trace(frame, event, argument):
            nonlocal left
            if "/fastnn/" not in frame.f_code.co_filename.replace("\\", "/"):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    signal.raise_signal(signal.SIGINT)
            return trace

        sys.settrace(trace)
        try:
            run.step(X, Y)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if line == 0:
            after = state_of(run)
        assert state_of(run) in (before, after), f"half a step after Ctrl-C at its line {line}"
        seen.add(state_of(run) == after)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if left > 0:
            break
        line += 1
    assert seen == {False, True}
    assert line > 50


def test_any_object_with_slots_and_update_is_an_optimizer():
    def update(param, grad, slots, step):
        param -= 0.1 * grad

    own = types.SimpleNamespace(slots=(), update=functools.partial(update))
    run, want = network(optimizer=own), network(optimizer=fnn.SGD(lr=0.1))
    for each in (run, want):
        each.step(X, Y)
    for name, value in run.model.state_dict().items():
        np.testing.assert_allclose(value, want.model.state_dict()[name], rtol=1e-6)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.1), fnn.Adam()], ids=["sgd", "adam"])
def test_ctrl_c_between_two_updates_waits_for_the_rest(optimizer, monkeypatch):
    update, calls = type(optimizer).update, []

    @functools.wraps(update)
    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        update(*arguments)

    run, whole = network(optimizer=optimizer), network(optimizer=optimizer)
    whole.step(X, Y)
    monkeypatch.setattr(type(optimizer), "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.step(X, Y)
    assert len(calls) == 5
    assert state_of(run) == state_of(whole)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_a_step_leaves_the_handler_of_ctrl_c_as_it_was(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        network().step(X, Y)
        with pytest.raises(OSError):
            network(optimizer=FailsAtTheSecond(OSError())).step(X, Y)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_steps_in_another_thread():
    here, there = network(), network()
    here.step(X, Y)
    thread = threading.Thread(target=there.step, args=(X, Y))
    thread.start()
    thread.join()
    assert state_of(there) == state_of(here)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_stops_fit_leaves_the_history_and_a_trainer_that_goes_on(error):
    def stop(trainer, history):
        if len(history["loss"]) == 2:
            raise error

    options = {"batch_size": 4, "verbose": False}
    run, whole = network(), network()
    with pytest.raises(error):
        run.fit(X, Y, epochs=5, callbacks=stop, **options)
    want = whole.fit(X, Y, epochs=4, **options)
    assert run.history["loss"] == want["loss"][:2]
    assert (run.epochs_done, run.steps_done) == (2, 6)
    assert run.fit(X, Y, epochs=2, **options)["loss"] == want["loss"][2:]
    assert run.history["loss"] == want["loss"][2:]
    assert state_of(run) == state_of(whole)


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    calls = []

    def loss(output, target):
        calls.append(1)
        return (math.nan if len(calls) == 5 else 1.0), output

    run = network(loss=loss)
    message = (
        "fit, epoch 2: the loss is nan at step 5; every layer's output is finite; nothing of this step was applied"
    )
    with pytest.raises(FloatingPointError) as caught:
        run.fit(X, Y, epochs=3, batch_size=4, verbose=False)
    assert str(caught.value) == message
    assert run.steps_done == 4
    assert run.history["loss"] == [1.0]


def test_what_gradients_are_made_of_does_not_change_in_the_step():
    kept = []

    def remember(gradient):
        kept.append((gradient, gradient.copy()))
        return gradient

    run = fnn.Trainer(fnn.Sequential(Scale(remember)), "mse", "sgd", l1=0.1, l2=0.1, clip_value=0.01, clip_norm=0.01)
    run.step(X[:, :3], X[:, 1:])
    np.testing.assert_array_equal(*kept[0])


def test_a_parameter_as_its_own_gradient():
    layer = Scale()
    layer.gradient = lambda g: layer._parameters["scale"]
    run = fnn.Trainer(fnn.Sequential(layer), "mse", fnn.SGD(lr=0.25))
    run.step(X[:, :3], X[:, 1:])
    np.testing.assert_array_equal(layer.scale, np.full(3, 0.75, np.float32))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradients_and_chains_of_mixed_dtypes(optimizer):
    def loss(output, target):
        difference = output.astype(np.float64) - target
        return (difference**2).mean(), 2 * difference / difference.size

    for dtypes in ((np.float32, np.float64), (np.float64, np.float32)):
        layers = [fnn.Linear(4, 5, rng=0, dtype=dtypes[0]), fnn.Tanh(), fnn.Linear(5, 3, rng=1, dtype=dtypes[1])]
        run = fnn.Trainer(fnn.Sequential(*layers, Scale(lambda g: g.astype(np.float64))), loss, optimizer)
        kinds = {name: a.dtype for name, a in run.model.state_dict().items()}
        losses = [run.step(X, np.eye(3)[Y]) for _ in range(20)]
        assert losses[-1] < losses[0]
        assert {name: a.dtype for name, a in run.model.state_dict().items()} == kinds


@pytest.mark.parametrize("layer", [fnn.Linear(3, 2), fnn.Maxout(3, 2), fnn.GELU(), fnn.Sigmoid(), fnn.Softmax()])
def test_an_output_is_copied_only_where_backward_reads_it(layer, monkeypatch):
    made, inner = [], type(layer)._vjp

    def recording(*arguments):
        made.append(inner(*arguments))
        return made[-1]

    monkeypatch.setattr(type(layer), "_vjp", recording)
    x, grad = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), np.ones((4, 3), np.float32)
    y, backward = layer.vjp(x)
    want = layer(x)
    grad = grad[:, : y.shape[-1]]
    dx = backward(grad)
    reads = isinstance(layer, (fnn.Sigmoid, fnn.Softmax))
    assert (y is not made[0][0]) == reads
    made[0][0][...] = np.nan  # what the chain would hand on
    assert np.isnan(backward(grad)).any() == reads
    assert np.isfinite(dx).all()
    if reads:
        np.testing.assert_array_equal(y, want)
