"""What a trainer does around an update: groups of parameters, gradients of several minibatches, averages, norms."""

import contextlib

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn.schedules import Exponential

RNG = np.random.default_rng(0)
X, Y, WEIGHT = RNG.standard_normal((20, 4)), RNG.integers(0, 3, 20), RNG.random(20)


def net(dtype=np.float64):
    return fnn.MLP([4, 5, 3], "tanh", seed=0, dtype=dtype)


def trainer(optimizer=None, model=None, loss="cross_entropy", **options):
    optimizer = fnn.SGD(lr=0.5, momentum=0.9) if optimizer is None else optimizer
    return fnn.Trainer(net() if model is None else model, loss, optimizer, seed=0, **options)


def arrays_of(run):
    return run.model.state_dict()


def assert_same(one, two, rtol=0.0):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=rtol, atol=rtol / 100)


# -------------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.5, momentum=0.9), fnn.Adam(lr=0.1), fnn.Lion(lr=0.1, weight_decay=0.3)], ids=repr)  # fmt: skip
def test_each_group_has_its_own_rate_and_decay(optimizer):
    groups = {
        "*.bias": {"weight_decay": 0.0},
        "0.*": {"lr": 0.01},
        "2.weight": {"lr": Exponential(0.2, 0.5, by="step")},
    }
    run = trainer(optimizer, groups=groups)
    params = {name: value.copy() for name, value in run.model.named_parameters()}
    state = {name: {slot: np.zeros_like(value) for slot in optimizer.slots} for name, value in params.items()}
    for step in range(1, 5):
        _, gradients = run.gradients(X, Y)
        for name, param in params.items():
            rate = 0.01 if name.startswith("0.") else optimizer.lr if name == "2.bias" else 0.2 * 0.5 ** (step - 1)
            options = {} if isinstance(optimizer, fnn.SGD) else {"betas": optimizer.betas}
            options |= {"momentum": 0.9} if isinstance(optimizer, fnn.SGD) else {}
            options |= {"step": step} if isinstance(optimizer, fnn.Adam) else {}
            decay = 0.0 if name.endswith("bias") else optimizer.weight_decay
            update = getattr(F, f"{type(optimizer).__name__.lower()}_update")
            update(param, gradients[name], **state[name], lr=rate, weight_decay=decay, **options)
        run.step(X, Y)
        assert_same(arrays_of(run), params)


def test_where_several_patterns_match_the_later_one_wins():
    run, want = trainer(groups={"0.*": {"lr": 0.1, "weight_decay": 0.2}, "*": {"lr": 0.3}}), None
    want = trainer(groups={"0.*": {"lr": 0.3, "weight_decay": 0.2}, "2.*": {"lr": 0.3}})
    for one in (run, want):
        one.step(X, Y)
    assert_same(arrays_of(run), arrays_of(want))


def test_a_rate_of_0_freezes_a_group_and_the_factor_multiplies_all_groups():
    run = trainer(fnn.SGD(lr=0.5), groups={"0.*": {"lr": 0.0}, "2.bias": {"lr": 1.0}})
    before, (_, gradients) = arrays_of(run), run.gradients(X, Y)
    run.lr_factor = 0.5
    run.step(X, Y)
    after = arrays_of(run)
    for name, rate in {"0.weight": 0, "0.bias": 0, "2.weight": 0.25, "2.bias": 0.5}.items():
        np.testing.assert_allclose(before[name] - after[name], rate * gradients[name], rtol=1e-10, atol=1e-15)


class WithoutRate:
    slots = ()

    def update(self, param, grad, slots, step):
        param -= 0.1 * grad

    def __repr__(self):
        return "WithoutRate()"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"groups": {"3.*": {"lr": 0.1}}}, ValueError,
         "Trainer: groups has the pattern '3.*', which matches none of 0.weight, 0.bias, 2.weight, 2.bias"),
        ({"groups": ["0.*"]}, TypeError, "Trainer: groups is ['0.*'] but a dict {name pattern: {lr, weight_decay}} was expected"),
        ({"groups": {"0.*": 0.1}}, TypeError, "Trainer: groups has '0.*': 0.1 but name pattern: {lr, weight_decay} was expected"),
        ({"groups": {"0.*": {"momentum": 0.1}}}, TypeError,
         "Trainer: groups['0.*']: unknown option 'momentum' (a group takes lr, weight_decay)"),
        ({"groups": {"0.*": {"weight_decay": 0.1}}, "optimizer": fnn.Rprop()}, TypeError,
         "Trainer: groups['0.*']: Rprop takes no weight_decay"),
        ({"groups": {"0.*": {"lr": 0.1}}, "optimizer": WithoutRate()}, TypeError,
         "Trainer: groups need an optimizer of fastnn but WithoutRate() was given"),
        ({"groups": {"0.*": {"lr": -0.1}}}, ValueError, "SGD: lr is -0.1 but a number of at least 0 was expected"),
        ({"accumulate": 0}, ValueError, "Trainer: accumulate is 0 but a positive integer was expected"),
        ({"accumulate": 1.5}, ValueError, "Trainer: accumulate is 1.5 but a positive integer was expected"),
        ({"ema": 1.0}, ValueError, "Trainer: ema is 1.0 but a number in [0, 1) was expected"),
        ({"ema": "no"}, TypeError, "Trainer: ema is 'no' but a number was expected"),
        ({"max_norm": 0}, ValueError, "Trainer: max_norm is 0 but a positive number was expected"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_and_the_model_stays_with_its_trainer(options, error, message):
    model = net()
    earlier = trainer(model=model)
    refused(lambda: trainer(model=model, **options), error, message)
    earlier.step(X, Y)


# --------------------------------------------------------------------------------------------- gradients of minibatches


def softplus(output, target):
    """A loss of the user's own, a mean over rows."""
    return float(np.logaddexp(0, output).mean()), 1 / (1 + np.exp(-output)) / output.size


LOSSES = {
    "cross_entropy": ("cross_entropy", Y),
    "weights of classes, ignored labels": (fnn.CrossEntropy((0.5, 2.0, 1.0), ignore_index=1), Y),
    "mse": ("mse", np.eye(3)[Y]),
    "a callable": (softplus, Y),
}
WEIGHED = pytest.mark.parametrize(  # a callable takes no weights
    ("name", "weights"),
    [*((name, None) for name in LOSSES), *((name, WEIGHT) for name in LOSSES if name != "a callable")],
    ids=lambda value: value if isinstance(value, str) else "" if value is None else "sample_weight",
)
OPTIONS = [{}, {"l1": 0.1, "l2": 0.2}, {"clip_norm": 0.1}, {"clip_value": 0.05}, {"max_norm": 0.5}, {"ema": 0.5}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@WEIGHED
def test_several_minibatches_are_those_of_their_rows_at_once(name, weights, options):
    (loss, y), cuts = LOSSES[name], [(0, 6), (6, 7), (7, 12)]
    run, whole = trainer(loss=loss, accumulate=3, **options), trainer(loss=loss, **options)
    for _ in range(3):
        for start, stop in cuts:
            run.step(X[start:stop], y[start:stop], None if weights is None else weights[start:stop])
        whole.step(X[:12], y[:12], None if weights is None else weights[:12])
    assert run.steps_done == whole.steps_done == 3
    assert_same(arrays_of(run), arrays_of(whole), rtol=1e-11)
    np.testing.assert_allclose(run.predict(X), whole.predict(X), rtol=1e-10)


@WEIGHED
def test_fit_makes_a_step_of_what_is_left_at_the_end_of_an_epoch(name, weights):
    loss, y = LOSSES[name]
    run, whole = trainer(loss=loss, accumulate=3), trainer(loss=loss)
    for one, size in ((run, 4), (whole, 12)):
        one.fit(X, y, epochs=3, batch_size=size, sample_weight=weights, verbose=False)
    assert run.steps_done == whole.steps_done == 6
    assert_same(arrays_of(run), arrays_of(whole), rtol=1e-11)


def test_nothing_changes_before_the_last_of_the_minibatches():
    run = trainer(accumulate=3)
    before, alone = arrays_of(run), run.gradients(X, Y)[0]
    assert run.step(X, Y) == run.step(X, Y) == pytest.approx(alone)
    assert_same(arrays_of(run), before)
    assert run.steps_done == 0
    run.step(X, Y)
    assert run.steps_done == 1
    assert (arrays_of(run)["0.weight"] != before["0.weight"]).all()


def test_a_minibatch_that_fails_leaves_those_before_it():
    run, whole = trainer(accumulate=2), trainer(accumulate=2)
    for one in (run, whole):
        one.step(X[:5], Y[:5])
    with pytest.raises(FloatingPointError):
        run.step(X[:5] * np.nan, Y[:5])
    with pytest.raises(IndexError):
        run.step(X[:5], Y[:5] + 9)
    for one in (run, whole):
        one.step(X[5:], Y[5:])
    assert_same(arrays_of(run), arrays_of(whole))


class StopsAt:
    """A loss that is interrupted in one of its calls."""

    def __init__(self, call):
        self.calls, self.call = 0, call

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == self.call:
            raise KeyboardInterrupt
        return softplus(output, target)


def test_an_epoch_begins_and_ends_with_no_minibatch_that_waits():
    run, whole = trainer(loss=StopsAt(5), accumulate=3), trainer(loss=softplus, accumulate=3)
    run.step(X, Y)  # dropped
    with contextlib.suppress(KeyboardInterrupt):
        run.fit(X, Y, batch_size=5, shuffle=False, verbose=False)  # the last of four is interrupted
    for i in range(3):
        whole.step(X[5 * i : 5 * i + 5], Y[5 * i : 5 * i + 5])
    assert run.steps_done == 1
    assert_same(arrays_of(run), arrays_of(whole))
    for one in (run, whole):
        for _ in range(3):
            one.step(X, Y)
    assert_same(arrays_of(run), arrays_of(whole))


def test_the_minibatches_of_a_step_have_masks_of_their_own():
    model = fnn.Sequential(fnn.Dropout(0.5, seed=3), fnn.Linear(4, 3, rng=0, dtype=np.float64))
    run, losses = trainer(model=model, accumulate=4), set()
    for _ in range(4):
        losses.add(run.step(X, Y))
    assert len(losses) == 4


# ---------------------------------------------------------------------------------------------------------------- averages


@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.5), WithoutRate()], ids=repr)
def test_averages_are_those_by_hand_and_predictions_use_them(optimizer, dtype):
    run, plain = trainer(optimizer, net(dtype), ema=0.75), trainer(optimizer, net(dtype))
    np.testing.assert_array_equal(run.predict(X), run.model(X))
    assert_same(run.ema_state_dict(), arrays_of(run))
    averages = None
    for _ in range(5):
        for one in (run, plain):
            one.step(X, Y)
        assert_same(arrays_of(run), arrays_of(plain))
        own = arrays_of(run)
        averages = own if averages is None else {k: a + dtype(0.25) * (own[k] - a) for k, a in averages.items()}
        assert_same(run.ema_state_dict(), averages)
    assert run.ema_state_dict()["0.weight"].dtype == dtype
    other = net(dtype)
    other.load_state_dict(averages)
    np.testing.assert_array_equal(run.predict(X), other(X))
    assert (run.predict(X) != run.model(X)).all()
    assert run.evaluate(X, Y) == fnn.Trainer(other, "cross_entropy").evaluate(X, Y)


def test_validation_uses_the_averages():
    run = trainer(ema=0.9)
    history = run.fit(X, Y, epochs=3, batch_size=5, validation_data=(X, Y), verbose=False)
    assert history["val_loss"][-1] == run.evaluate(X, Y)["loss"]
    assert history["val_loss"][-1] != fnn.Trainer(run.model, "cross_entropy").evaluate(X, Y)["loss"]


def test_averages_of_decay_0_are_the_parameters():
    run = trainer(ema=0.0)
    for _ in range(3):
        run.step(X, Y)
    assert_same(run.ema_state_dict(), arrays_of(run), rtol=1e-14)


def test_what_is_not_trained_is_never_averaged():
    model = fnn.Sequential(fnn.Standardize(4, dtype=np.float64), fnn.Linear(4, 3, rng=0, dtype=np.float64))
    run = trainer(model=model, ema=0.5)
    run.step(X, Y)
    run.model[0].fit_statistics(5 * X + 7)
    averages = run.ema_state_dict()
    np.testing.assert_array_equal(averages["0.mean"], run.model[0].mean)
    np.testing.assert_allclose(
        run.predict(5 * X + 7), run.model(5 * X + 7), rtol=1e-12
    )  # after one step they are equal


def test_averages_must_be_asked_for():
    refused(trainer().ema_state_dict, ValueError,
            "ema_state_dict: the Trainer keeps no averages; pass it ema, such as ema=0.999")  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------- norms


def test_rows_of_weights_are_held_within_a_norm(dtype):
    run, plain = trainer(model=net(dtype), max_norm=0.45), trainer(model=net(dtype))
    for one in (run, plain):
        one.step(X, Y)
    free, held = arrays_of(plain), arrays_of(run)
    for name in free:
        if name.endswith("bias"):
            np.testing.assert_array_equal(held[name], free[name])
            continue
        norms = np.linalg.norm(free[name].astype(float), axis=1)
        assert (norms > 0.45).any(), "or nothing is tried"
        np.testing.assert_array_equal(held[name][norms <= 0.45], free[name][norms <= 0.45])
        want = free[name] * np.minimum(1, 0.45 / norms)[:, None]
        np.testing.assert_allclose(held[name], want, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        (fnn.Linear(3, 2, rng=0), ["weight"]), (fnn.Maxout(3, 2, rng=0), ["weight"]), (fnn.Embedding(5, 2, rng=0), ["weight"]),
        (fnn.LayerNorm((2, 3)), []), (fnn.RMSNorm((2, 3)), []), (fnn.BatchNorm1d(3), []), (fnn.Periodic(3, 4, 1.0, rng=0), []),
        (fnn.PReLU(3), []), (fnn.Scale(3), []),
        (fnn.Columns([([0, 1], fnn.Sequential(fnn.LayerNorm(2), fnn.Linear(2, 2, rng=0))), (2, fnn.Embedding(5, 2, rng=0))]),
         ["0.1.weight", "1.weight"]),
        (fnn.Residual(fnn.LayerNorm((2, 3)), fnn.Linear(3, 3, rng=0)), ["1.weight"]),
    ],
    ids=repr,
)  # fmt: skip
def test_penalties_and_norms_are_for_weights_of_linear_maps(layer, weights):
    model = fnn.Sequential(layer)
    before = model.state_dict()
    x = np.ones((2, 2, 3)) if "(2, 3)" in repr(layer) else np.ones((2, 3))
    run = fnn.Trainer(model, nothing_to_learn, fnn.SGD(lr=0.5), l1=0.01, l2=0.1, max_norm=1e-3)
    run.step(x, np.zeros(2))
    changed = [
        name
        for name, value in model.state_dict().items()
        if name in run._owned.parameters and (value != before[name]).any()
    ]
    assert changed == [f"0.{name}" for name in weights]


def nothing_to_learn(output, target):
    return 0.0, np.zeros_like(output)


def test_a_norm_that_is_not_reached_changes_nothing():
    run, plain = trainer(max_norm=100.0), trainer()
    for one in (run, plain):
        one.fit(X, Y, epochs=2, batch_size=5, verbose=False)
    assert_same(arrays_of(run), arrays_of(plain))
