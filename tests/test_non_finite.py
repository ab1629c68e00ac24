"""A loss that is not finite: nothing of its step is applied, and the error names the layer it comes from."""

import math

import numpy as np
import pytest
from layer_cases import every_layer

import fastnn as fnn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 12)


class Spoilt(fnn.Layer):
    """The identity, but for a NaN in the minibatches of some numbers."""

    def __init__(self, *minibatches):
        super().__init__()
        self.minibatches = minibatches

    def __call__(self, x, out=None):
        return x

    def vjp(self, x, step=0, train=True):
        return np.where(step in self.minibatches, np.float32(np.nan), x), lambda dy: dy


def linear(n_in, n_out, size=None):
    """Return a Linear, all of whose weights have this size, where one is given."""
    layer = fnn.Linear(n_in, n_out, rng=0)
    if size is not None:
        layer.load_state_dict({name: np.copysign(size, value) for name, value in layer.state_dict().items()})
    return layer


HUGE = 3e38  # with weights of this size two numbers of 1 overflow
PLACES = {
    "layer 0 (Linear)": [linear(4, 3, HUGE), fnn.Tanh()],  # which makes 1 of infinity
    "layer 1 (Square)": [linear(4, 3, 1e25), fnn.Square(), fnn.Sigmoid()],
    "layer 1.0 (Linear)": [fnn.Tanh(), fnn.Sequential(linear(4, 3, HUGE), fnn.Hardtanh())],
    "layer 1.1.0 (Linear)": [linear(4, 3), fnn.Residual(fnn.Tanh(), fnn.Sequential(linear(3, 3, HUGE), fnn.Tanh()))],
    "layer 1 (Residual)": [fnn.Scale(4, init=2e38), fnn.Residual(fnn.Sequential(fnn.Identity())), fnn.Hardtanh()],
    "layer 0.1.0 (Linear)": [
        fnn.Columns([([0, 1], fnn.Tanh()), ([1, 2, 3], fnn.Sequential(linear(3, 2, HUGE), fnn.Sigmoid()))])
    ],
    "layer 1 (Linear)": [fnn.Identity()],  # the one below
}


@pytest.mark.parametrize("place", PLACES)
def test_the_error_names_the_first_layer_with_a_value_that_is_not_finite(place):
    x = X / np.abs(X).max()
    layers = PLACES[place]
    with np.errstate(over="ignore"):
        model = fnn.Sequential(*layers, linear(fnn.Sequential(*layers)(x).shape[1], 3, HUGE))
        with pytest.raises(FloatingPointError) as caught:
            fnn.Trainer(model, "cross_entropy").step(x, Y)
    assert str(caught.value).partition("; ")[2] == (
        f"the first output that is not finite is that of {place}; nothing of this step was applied"
    )


def test_members_of_an_ensemble_are_named_as_its_layers():
    model = fnn.Sequential(fnn.Ensemble(3, fnn.Tanh(), linear(4, 3, HUGE), rng=0))
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(FloatingPointError, match=r"that of layer 0\.1 \(Linear\);"),
    ):
        fnn.Trainer(model, "cross_entropy").step(X, Y)


def test_the_error_says_where_the_loss_itself_made_it():
    with pytest.raises(FloatingPointError) as caught:
        fnn.Trainer(fnn.MLP([4, 3], seed=0), lambda output, target: (math.inf, output)).step(X, Y)
    assert (
        str(caught.value)
        == "step: the loss is inf at step 1; every layer's output is finite; nothing of this step was applied"
    )


def test_a_last_sigmoid_that_is_one_with_its_loss_is_not_to_blame():
    model = fnn.Sequential(linear(4, 1, HUGE), fnn.Sigmoid())
    with pytest.raises(FloatingPointError, match=r"that of layer 0 \(Linear\);"):
        fnn.Trainer(model, "binary_cross_entropy").step(X, Y > 0)


def trainer(*minibatches, **options):
    """Return a trainer of a model with everything that a step may change, whose layer 3 spoils minibatches of these numbers."""
    layers = linear(4, 6), fnn.BatchNorm1d(6), fnn.Dropout(0.3, seed=1), Spoilt(*minibatches), fnn.Linear(6, 3, rng=2)
    return fnn.Trainer(fnn.Sequential(*layers), "cross_entropy", "adam", seed=0, ema=0.9, max_norm=1.0, **options)


def state_of(run):
    arrays = run.model.state_dict() | {f"ema.{name}": a for name, a in run.ema_state_dict().items()}
    arrays |= {f"{name}.{slot}": a for name, slots in run._owned.state.items() for slot, a in slots.items()}
    return run.steps_done, run.epochs_done, run.lr_factor, {name: a.tobytes() for name, a in arrays.items()}


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_step_whose_loss_is_not_finite_leaves_everything_as_it_was(accumulate):
    run, twin = trainer(4, accumulate=accumulate), trainer(accumulate=accumulate)
    for _ in range(4):
        assert run.step(X, Y) == twin.step(X, Y)
    before = state_of(run)
    assert before == state_of(twin)
    for _ in range(2):
        with pytest.raises(FloatingPointError, match=r"that of layer 3 \(Spoilt\);"):
            run.step(X, Y)
        assert state_of(run) == before
    run.model[3].minibatches = ()
    for _ in range(5):
        assert run.step(X, Y) == twin.step(X, Y)
    assert state_of(run) == state_of(twin)


def test_fit_names_epoch_step_and_layer_and_keeps_the_steps_before():
    run, twin = trainer(5), trainer()
    with pytest.raises(FloatingPointError) as caught:
        run.fit(X, Y, epochs=3, batch_size=4, shuffle=False, verbose=False)
    assert str(caught.value) == (
        "fit, epoch 2: the loss is nan at step 6; the first output that is not finite is that of layer 3 (Spoilt); "
        "nothing of this step was applied"
    )
    twin.fit(X, Y, batch_size=4, shuffle=False, verbose=False)
    for rows in (slice(0, 4), slice(4, 8)):
        twin.step(X[rows], Y[rows])
    assert state_of(run) == state_of(twin)


def test_backward_never_sees_a_loss_that_is_not_finite():
    class Counts(Spoilt):
        backward_calls = 0

        def vjp(self, x, step=0, train=True):
            def backward(dy):
                self.backward_calls += 1
                return dy

            return super().vjp(x, step, train)[0], backward

    layer = Counts(1)
    run = fnn.Trainer(fnn.Sequential(fnn.Linear(4, 3, rng=0), layer), "cross_entropy")
    run.step(X, Y)
    with pytest.raises(FloatingPointError):
        run.step(X, Y)
    assert layer.backward_calls == 1


@every_layer
def test_every_layer_is_traced_once_in_the_order_it_is_computed_with_the_bits_of_training(make, dtype):
    layer = make(dtype)
    if layer._members:
        return  # at the end of a model alone, whose outputs the test below sees
    model = fnn.Sequential(fnn.Identity(), layer)
    x = make.draw(np.random.default_rng(0)).astype(dtype)
    traced = list(model._trace(x, 3))
    assert [place for place, _, _ in traced][:1] == ["0"]
    assert [place for place, _, _ in traced if "." not in place] == ["0", "1"]
    np.testing.assert_array_equal(traced[-1][2], model.vjp(x, step=3)[0])
    assert [inner for _, inner, _ in traced] == [model[0], *_inside(layer), layer]


def _inside(layer):
    """Yield the layers inside a container, each after those inside itself."""
    for inner in getattr(layer, "layers", ()):
        yield from _inside(inner)
        yield inner


def test_members_of_an_ensemble_are_traced_with_the_bits_of_training():
    model = fnn.Sequential(
        fnn.Tanh(), fnn.Ensemble(2, fnn.Scale(4), linear(4, 5), fnn.Dropout(0.5, seed=1), linear(5, 2), rng=0)
    )
    traced = list(model._trace(X, 3))
    assert [place for place, _, _ in traced] == ["0", "1.0", "1.1", "1.2", "1.3", "1"]
    y = model.vjp(X, step=3)[0]
    np.testing.assert_array_equal(traced[-1][2], y)
    np.testing.assert_array_equal(traced[-2][2].reshape(y.shape), y)
