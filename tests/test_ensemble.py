"""Ensemble: its members against networks of their own, training, and what is shared."""

import copy

import numpy as np
import pytest
from support import central_difference, refused

import fastnn as fnn

RNG = np.random.default_rng(0)


@pytest.fixture
def ensemble():
    """Three members whose factors are all different."""
    layer = fnn.Ensemble(
        3, fnn.Standardize(6, dtype=np.float64).fit_statistics(RNG.normal(2, 3, (50, 6))),
        fnn.Linear(6, 5, rng=0, dtype=np.float64), fnn.GELU(), fnn.Linear(5, 4, False, rng=1, dtype=np.float64), rng=2,
    )  # fmt: skip
    state = layer.state_dict()
    for name, value in state.items():
        if name[-1] in "rsb":
            value += 0.3 * np.random.default_rng(0).standard_normal(value.shape)
    layer.load_state_dict(state)
    return layer


def member(ensemble, i):
    """Return a network that is member i, and the names of its arrays in the ensemble."""
    layers = []
    for number, layer in enumerate(ensemble.layers):
        if isinstance(layer, fnn.Linear):
            r, s, b = (ensemble.state_dict()[f"{number}.{name}"][i] for name in "rsb")
            own = fnn.Linear(layer.in_features, layer.out_features, dtype=np.float64)
            bias = 0 if layer.bias is None else layer.bias
            own.load_state_dict({"weight": s[:, None] * layer.weight * r, "bias": s * bias + b})
            layers.append(own)
        else:
            layers.append(layer)
    return fnn.Sequential(*layers)


def test_each_member_is_a_network_and_the_output_is_their_mean(ensemble):
    x = RNG.standard_normal((7, 6))
    outputs = np.stack([member(ensemble, i)(x) for i in range(3)], 1)
    y, backward = ensemble.vjp(x)
    assert y.shape == (7, 3, 4)
    np.testing.assert_allclose(y, outputs, rtol=1e-10)
    np.testing.assert_allclose(ensemble(x), outputs.mean(1), rtol=1e-10)
    np.testing.assert_allclose(ensemble.vjp(x, train=False)[0], outputs.mean(1), rtol=1e-10)
    np.testing.assert_allclose(ensemble(x.reshape(7, 1, 6)), outputs.mean(1)[:, None], rtol=1e-10)
    dy = RNG.standard_normal(y.shape)
    want = sum(member(ensemble, i).vjp(x)[1](dy[:, i]) for i in range(3))
    np.testing.assert_allclose(backward(dy), want, rtol=1e-9)
    assert ensemble(x[:0]).shape == (0, 4)


def test_one_member_without_factors_is_the_chain_of_its_layers():
    layers = fnn.Linear(6, 5, rng=0), fnn.ReLU(), fnn.Linear(5, 2, rng=1)
    ensemble = fnn.Ensemble(1, *layers, rng=0)
    state = ensemble.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "0.weight": (5, 6), "0.bias": (5,), "0.r": (1, 6), "0.s": (1, 5), "0.b": (1, 5),
        "2.weight": (2, 5), "2.bias": (2,), "2.r": (1, 5), "2.s": (1, 2), "2.b": (1, 2)}  # fmt: skip
    state["0.r"][:] = 1
    ensemble.load_state_dict(state)
    x = RNG.standard_normal((4, 6)).astype(np.float32)
    np.testing.assert_array_equal(ensemble(x), fnn.Sequential(*layers)(x))


def test_members_start_apart_by_signs():
    state = fnn.Ensemble(32, fnn.Linear(50, 4, rng=0), fnn.Linear(4, 2, rng=0), rng=0).state_dict()
    assert set(np.unique(state["0.r"])) == {-1, 1}
    assert abs(state["0.r"].mean()) < 0.1
    for name in ("0.s", "1.r", "1.s"):
        np.testing.assert_array_equal(state[name], 1)
    for name in ("0.b", "1.b"):
        np.testing.assert_array_equal(state[name], 0)


def test_a_step_trains_each_member_on_its_own_loss(ensemble):
    x, y = RNG.standard_normal((7, 6)), RNG.integers(0, 4, 7)
    model = fnn.Sequential(ensemble)
    trainer = fnn.Trainer(model, "cross_entropy", seed=0)
    loss, gradients = trainer.gradients(x, y)
    alone = [fnn.Trainer(member(ensemble, i), "cross_entropy").gradients(x, y) for i in range(3)]
    np.testing.assert_allclose(loss, np.mean([value for value, _ in alone]), rtol=1e-10)
    state = ensemble.state_dict()
    want = sum(grads["1.weight"] * state["1.s"][i][:, None] * state["1.r"][i] for i, (_, grads) in enumerate(alone))
    np.testing.assert_allclose(gradients["0.1.weight"], want / 3, rtol=1e-8)
    np.testing.assert_allclose(gradients["0.3.b"], np.stack([grads["3.bias"] for _, grads in alone]) / 3, rtol=1e-8)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_an_ensemble_trains(loss):
    x, y = fnn.datasets.load_digits()
    x, y = x[:600] / 16, y[:600]
    model = fnn.Ensemble(4, fnn.Linear(64, 32, rng=0), fnn.ReLU(), fnn.Linear(32, 10, rng=1), rng=0)
    trainer = fnn.Trainer(model, loss, fnn.Adam(lr=0.01), seed=0)
    target = y if loss == "cross_entropy" else np.eye(10)[y]
    weight = np.linspace(0.5, 1.5, 500)
    history = trainer.fit(
        x[:500], target[:500], epochs=12, sample_weight=weight, validation_data=(x[500:], target[500:])
    )
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert (trainer.predict(x[500:]).argmax(-1) == y[500:]).mean() > 0.8
    assert trainer.predict(x[:3]).shape == (3, 10)


def test_penalties_and_norms_leave_factors_alone():
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32)
    model = fnn.Sequential(fnn.Ensemble(2, fnn.Linear(3, 2, False, rng=0), rng=0))
    before = model.state_dict()
    fnn.Trainer(model, "mse", fnn.SGD(lr=0.1), l2=0.5, max_norm=0.2).step(x, y)
    after = model.state_dict()
    for name in ("0.0.r", "0.0.s"):
        np.testing.assert_array_equal(after[name], before[name])
    assert np.linalg.norm(after["0.0.weight"], axis=1).max() <= 0.2001


def test_rows_of_an_ensemble():
    layer = fnn.Ensemble(4, fnn.Tanh(), fnn.Linear(3, 5), fnn.ReLU())
    assert [(op.kind, op.shape, op.params) for op in layer.lower((7, 3))] == [
        ("tanh", (7, 3), ()),
        ("linear", (28, 5), ("1.weight", "1.bias")),
        ("members", (28, 5), ("1.r", "1.s", "1.b")),
        ("relu", (28, 5), ()),
        ("mean", (7, 5), ()),
    ]
    assert layer.lower((None, 3))[-1].shape == (None, 5)


LINEAR = fnn.Linear(3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fnn.Ensemble(0, LINEAR), "Ensemble: k is 0 but a positive integer was expected"),
        (lambda: fnn.Ensemble(2), "Ensemble: at least one Linear was expected among the layers"),
        (lambda: fnn.Ensemble(2, fnn.ReLU()), "Ensemble: at least one Linear was expected among the layers"),
        (lambda: fnn.Ensemble(2, LINEAR)(np.ones((4, 1))), "Linear: the input has shape (4, 1) but in_features is 3"),
        (lambda: fnn.Sequential(fnn.Ensemble(2, LINEAR), fnn.ReLU()),
         "Sequential: layer 0 ends with an Ensemble but only the last layer of a Sequential may"),
        (lambda: fnn.Residual(fnn.Sequential(fnn.Ensemble(2, LINEAR))),
         "Residual: layer 0 ends with an Ensemble but only the last layer of a Sequential may"),
        (lambda: fnn.Ensemble(2, LINEAR).vjp(np.ones((4, 3)))[1](np.ones((4, 2))),
         "Ensemble: dy has shape (4, 2) but the output has shape (4, 2, 2)"),
    ],
)  # fmt: skip
def test_errors(call, message):
    refused(call, ValueError, message)


def fused_ensemble(ensemble, head):
    """Return the ensemble with a last layer, of equal arrays."""
    fused = fnn.Ensemble(3, *copy.deepcopy(ensemble).layers, head, rng=0)
    fused.load_state_dict(ensemble.state_dict())
    return fused


HEADS = {
    "categorical_crossentropy": (fnn.Softmax(), "cross_entropy", np.eye(4)[RNG.integers(0, 4, 7)]),
    "sparse_categorical_crossentropy": (fnn.Softmax(1), "cross_entropy", RNG.integers(0, 4, 7)),
    "binary_crossentropy": (fnn.Sigmoid(), "binary_cross_entropy_with_logits", RNG.integers(0, 2, (7, 4))),
    "binary_cross_entropy": (fnn.Sequential(fnn.Sigmoid()), "binary_cross_entropy_with_logits", RNG.random((7, 4))),
}


@pytest.mark.parametrize("loss", HEADS)
def test_a_last_layer_in_an_ensemble_and_its_loss_are_one(ensemble, loss):
    head, of_logits, y = HEADS[loss]
    x = RNG.standard_normal((7, 6))
    plain = fnn.Trainer(fnn.Sequential(ensemble), of_logits, seed=0)
    value, want = plain.gradients(x, y)
    fused = fnn.Trainer(fnn.Sequential(fused_ensemble(ensemble, head)), loss, seed=0)
    got, gradients = fused.gradients(x, y)
    assert got == value
    for name, gradient in want.items():
        np.testing.assert_array_equal(gradients[name], gradient)
    assert fused.step(x, y) == plain.step(x, y)
    fused.model.load_state_dict(plain.model.state_dict())

    p = np.mean([head(member(ensemble, i)(x)) for i in range(3)], 0)
    np.testing.assert_allclose(fused.predict(x), p, rtol=1e-12)
    np.testing.assert_array_equal(fused.predict_proba(x), fused.predict(x))
    np.testing.assert_array_equal(fused.model.predict_proba(x), fused.predict(x))
    values = fused.evaluate(x, y)
    np.testing.assert_allclose(values["loss"], fused.loss(p, y)[0], rtol=1e-12)
    if loss != "binary_cross_entropy":
        assert values["accuracy"] == fnn.metrics.accuracy(p, y, multilabel=loss == "binary_crossentropy")
    np.testing.assert_allclose(
        fnn.input_gradient(fused.model, loss, x, y),
        central_difference(lambda x: fused.evaluate(x, y)["loss"], x), rtol=1e-5, atol=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sure_ensemble_loses_no_digit(dtype, sign):
    """Members with logits of 90 and 88 times x, so that the mean of their probabilities of being wrong is that of e^-90 and e^-88."""
    for head, loss, target, outputs in (
        (fnn.Sigmoid(), "binary_crossentropy", [[(sign + 1) // 2]], [[1.0]]),
        (fnn.Softmax(), "sparse_categorical_crossentropy", [(1 - sign) // 2], [[1.0], [0.0]]),
    ):
        ensemble = fnn.Ensemble(2, fnn.Linear(1, len(outputs), False, dtype=dtype), head, rng=0)
        state = ensemble.state_dict()
        state["0.weight"][...], state["0.r"][...], state["0.s"][...] = outputs, 1, [[90.0], [88.0]]
        ensemble.load_state_dict(state)
        run = fnn.Trainer(ensemble, loss)
        wrong = (np.exp(-90) + np.exp(-88)) / 2
        tolerance = 1e-14 if dtype == np.float64 else 1e-4  # logits near 90 in float32
        np.testing.assert_allclose(run.evaluate([[float(sign)]], target)["loss"], wrong, rtol=tolerance)
        np.testing.assert_allclose(run.evaluate([[float(-sign)]], target)["loss"], -np.log(wrong), rtol=tolerance)
        slope = -sign * (90 * np.exp(-90) + 88 * np.exp(-88)) / 2
        got = fnn.input_gradient(ensemble, loss, [[float(sign)]], target).item()
        np.testing.assert_allclose(got, slope, rtol=tolerance)
