"""Keras' loss names: probabilities from a last Softmax or Sigmoid, computed from the logits; and pairs of last layer and loss."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from support import central_difference, refused

import fastnn as fnn
from fastnn.serialization import construct, describe

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5))
LABELS = RNG.integers(0, 3, 40)
NAMES = ["binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"]
OBJECTS = [
    fnn.BinaryCrossentropy(),
    fnn.CategoricalCrossentropy(),
    fnn.CategoricalCrossentropy(weight=[1, 2, 3], label_smoothing=0.1),
    fnn.SparseCategoricalCrossentropy(),
    fnn.SparseCategoricalCrossentropy(weight=[1, 2, 3], ignore_index=0, label_smoothing=0.1),
]
TARGETS = {
    "binary_crossentropy": RNG.integers(0, 2, (40, 3)),
    "categorical_crossentropy": np.eye(3, dtype=np.int64)[LABELS],
    "sparse_categorical_crossentropy": LABELS,
}


def kind_of(loss):
    """Return name, last layer, the loss of logits, and targets for each of these."""
    name = loss if isinstance(loss, str) else loss._name
    options = {} if isinstance(loss, str) else {field: getattr(loss, field) for field in loss.__dataclass_fields__}
    y = TARGETS[name]
    if name == "binary_crossentropy":
        return fnn.Sigmoid(), fnn.BCEWithLogits(), y
    return fnn.Softmax(), fnn.CrossEntropy(**options), y.astype(float) if y.ndim == 2 else y


def model_of(*layers, dtype=np.float64, seed=0):
    return fnn.Sequential(*fnn.MLP([5, 8, 3], "tanh", seed=seed, dtype=dtype), *layers)


# The examples of Keras' documentation: y_true, y_pred, the loss of each row.
EXAMPLES = {
    "binary_crossentropy": ([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], [0.916, 0.714]),
    "categorical_crossentropy": ([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [0.0513, 2.303]),
    "sparse_categorical_crossentropy": ([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [0.0513, 2.303]),
}


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_keras(name):
    target, p, want = EXAMPLES[name]
    loss, p = fnn.losses.LOSSES[name](), np.array(p)
    logits = np.log(np.maximum(p, 1e-300)) - (np.log(1 - p) if name == "binary_crossentropy" else 0)
    run = fnn.Trainer(kind_of(name)[0], name)
    np.testing.assert_allclose(run.predict(logits), p, atol=1e-15)
    for i, value in enumerate(want):
        row = slice(i, i + 1)
        np.testing.assert_allclose(run.evaluate(logits[row], target[row])["loss"], value, atol=5e-4)
        np.testing.assert_allclose(loss(p[row], target[row])[0], value, atol=5e-4)
    np.testing.assert_allclose(run.evaluate(logits, target)["loss"], np.mean(want), atol=5e-4)
    np.testing.assert_allclose(run.evaluate(logits, target, [0.3, 0.7])["loss"], np.dot(want, [0.3, 0.7]), atol=5e-4)


@pytest.mark.parametrize("loss", [*NAMES, *OBJECTS], ids=repr)
def test_training_is_that_of_the_logits_bit_for_bit(loss, dtype):
    head, of_logits, y = kind_of(loss)
    x, weight = X.astype(dtype), RNG.random(40)
    plain = fnn.Trainer(model_of(dtype=dtype), of_logits, seed=0)
    fused = fnn.Trainer(model_of(head, dtype=dtype), loss, seed=0)
    options = {"epochs": 3, "batch_size": 16, "sample_weight": weight, "validation_data": (x, y), "verbose": False}
    want, got = plain.fit(x, y, **options), fused.fit(x, TARGETS[fused.loss._name], **options)
    for key in ("loss", "val_loss", "val_accuracy"):
        assert got[key] == want[key], key
    one, two = plain.gradients(x, y), fused.gradients(x, y)
    assert one[0] == two[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(two[1][name], value)
    assert fused.evaluate(x, y, weight) == plain.evaluate(x, y, weight)
    np.testing.assert_array_equal(fused.predict(x), head(plain.predict(x)))
    np.testing.assert_array_equal(fused.predict_proba(x), fused.predict(x))
    np.testing.assert_array_equal(fused.model.predict_proba(x), fused.predict(x))
    np.testing.assert_array_equal(
        fnn.input_gradient(fused.model, loss, x, y), fnn.input_gradient(plain.model, of_logits, x, y)
    )


@pytest.mark.parametrize("loss", OBJECTS, ids=repr)
def test_the_loss_of_probabilities_and_its_gradient(loss):
    head, of_logits, y = kind_of(loss)
    logits = X[:, :3]
    p = head(logits)
    value, gradient = loss(p, y, np.arange(40.0))
    np.testing.assert_allclose(value, of_logits(logits, y, np.arange(40.0))[0], rtol=1e-12)
    want = central_difference(lambda p: loss(p, y, np.arange(40.0))[0], p)
    np.testing.assert_allclose(gradient, want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NAMES[1:])
def test_classes_of_probability_0_give_finite_numbers(name):
    value, gradient = fnn.losses.LOSSES[name]()(np.array([[0, 1, 0]], np.float32), TARGETS[name][:1])
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sure_probability_loses_no_digit(dtype, sign):
    """One logit of +-90: its loss when right is log(1 + e^-90), its gradient e^-90; 1 - p would be 0."""
    tail = np.exp(-90.0)
    for head, name, right, weights in (
        (fnn.Sigmoid(), "binary_crossentropy", [[1.0]], [[1.0]]),
        (fnn.Sigmoid(), "binary_cross_entropy", [[1.0]], [[1.0]]),
        (fnn.Softmax(), "categorical_crossentropy", [[1, 0]], [[0.0], [-1.0]]),
        (fnn.Softmax(), "sparse_categorical_crossentropy", [0], [[0.0], [-1.0]]),
    ):
        first = fnn.Linear(1, len(weights), False, dtype=dtype)
        first.load_state_dict({"weight": np.array(weights)})
        model = fnn.Sequential(first, head)
        run, x = fnn.Trainer(model, name), [[90.0 * sign]]
        value, gradient = run.gradients(x, right)
        want = tail if sign > 0 else 90 + tail
        slope = -tail if sign > 0 else -1 / (1 + tail)
        tolerance = 1e-13 if dtype == np.float64 else 1e-5  # e^-90 is subnormal in float32
        np.testing.assert_allclose(value, want, rtol=tolerance)
        np.testing.assert_allclose(run.evaluate(x, right)["loss"], want, rtol=tolerance)
        np.testing.assert_allclose(gradient["0.weight"][-1], slope * 90 * sign * weights[-1][0], rtol=tolerance)
        np.testing.assert_allclose(fnn.input_gradient(model, name, x, right).item(), slope, rtol=tolerance)


def test_ignored_labels_count_nothing():
    y = np.where(LABELS == 1, -100, LABELS)
    for loss in ("sparse_categorical_crossentropy", fnn.SparseCategoricalCrossentropy(ignore_index=1)):
        run = fnn.Trainer(model_of(fnn.Softmax()), loss, metrics="f1", seed=0)
        kept = LABELS != 1
        got = run.evaluate(X, y if isinstance(loss, str) else LABELS)
        assert got == pytest.approx(run.evaluate(X[kept], LABELS[kept]), rel=1e-12)
        history = run.fit(X, y if isinstance(loss, str) else LABELS, batch_size=8, verbose=False)
        assert np.isfinite(history["loss"]).all()


def test_class_weights_and_metrics():
    run = fnn.Trainer(model_of(fnn.Softmax()), "sparse_categorical_crossentropy", metrics=["f1", "log_loss"], seed=0)
    run.fit(X, LABELS, class_weight="balanced", verbose=False)
    values, p = run.evaluate(X, LABELS), run.predict(X)
    for name in ("accuracy", "f1", "log_loss"):
        assert values[name] == getattr(fnn.metrics, name)(p, LABELS)
    one_hot = fnn.Trainer(copy.deepcopy(run.model), "categorical_crossentropy", metrics=["f1", "log_loss"])
    assert one_hot.evaluate(X, TARGETS["categorical_crossentropy"]) == pytest.approx(values, rel=1e-12)
    binary = fnn.Trainer(fnn.Sequential(fnn.Linear(5, 1, rng=0), fnn.Sigmoid()), "binary_crossentropy", metrics="f1")
    y = X[:, 0] > 0
    values = binary.evaluate(X, y)
    for name in ("accuracy", "f1"):
        assert values[name] == getattr(fnn.metrics, name)(binary.predict(X), y)


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0}])
def test_class_weights_need_one_label_per_row(name, class_weight):
    run = fnn.Trainer(model_of(kind_of(name)[0]), name, seed=0)
    refused(lambda: run.fit(X, TARGETS[name], class_weight=class_weight), ValueError,
            "fit: class_weight needs one label per row but y has shape (40, 3)")  # fmt: skip


class Doubled(fnn.BCE):
    """A loss of one's own, made of another."""

    def __call__(self, output, target, sample_weight=None, divisor=None):
        value, gradient = super().__call__(output, target, sample_weight, divisor)
        return 2 * value, 2 * gradient


def test_a_loss_of_ones_own_is_called_as_it_is():
    y, model = TARGETS["binary_crossentropy"], model_of(fnn.Sigmoid())
    want = fnn.input_gradient(model, "binary_cross_entropy", X, y)
    np.testing.assert_allclose(fnn.input_gradient(model, Doubled(), X, y), 2 * want, rtol=1e-10)
    want = fnn.Trainer(model, "binary_cross_entropy").evaluate(X, y)["loss"]
    np.testing.assert_allclose(fnn.Trainer(model, Doubled()).evaluate(X, y)["loss"], 2 * want, rtol=1e-12)


def test_mixup_needs_a_loss_that_takes_probabilities():
    run = fnn.Trainer(model_of(fnn.Softmax()), "categorical_crossentropy", seed=0)
    run.fit(X, TARGETS["categorical_crossentropy"], mixup=0.3, verbose=False)
    run = fnn.Trainer(model_of(fnn.Softmax()), "sparse_categorical_crossentropy", seed=0)
    with pytest.raises(TypeError, match="categorical_crossentropy takes one-hot rows and probabilities$"):
        run.fit(X, LABELS, mixup=0.3, verbose=False)


@pytest.mark.parametrize("loss", OBJECTS, ids=repr)
def test_they_are_frozen_specifications(loss):
    assert construct(describe(loss)) == loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert eval(repr(loss), vars(fnn)) == loss
    assert hash(copy.deepcopy(loss)) == hash(loss)
    assert loss != type(loss).__mro__[1]


class Own(fnn.Sequential):
    """A model whose class only makes its layers."""

    def __init__(self):
        super().__init__(*model_of(fnn.Softmax()))


class Scaled(Own):
    """A model whose class does more."""

    def __call__(self, x, out=None):
        return super().__call__(np.multiply(x, 2), out)

    def _vjp(self, x, step, train):
        return super()._vjp(np.multiply(x, 2), step, train)


def test_models_of_ones_own_and_nested_ones():
    want = fnn.Trainer(model_of(), "cross_entropy", seed=0).gradients(X, LABELS)
    nested = fnn.Sequential(*model_of(fnn.Sequential(fnn.Sequential(fnn.Softmax(1)))))
    for model in (Own(), nested):
        value, gradients = fnn.Trainer(model, "sparse_categorical_crossentropy").gradients(X, LABELS)
        assert value == want[0]
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(gradient, want[1][name])
        assert model.predict_proba(X).sum() == pytest.approx(len(X))
    want = fnn.Trainer(model_of(), "cross_entropy", seed=0).gradients(2 * X, LABELS)
    value, gradients = fnn.Trainer(Scaled(), "sparse_categorical_crossentropy").gradients(X, LABELS)
    assert value == pytest.approx(want[0], rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, want[1][name], rtol=1e-10, atol=1e-14)


def takes(loss, layers, message):
    return (
        lambda: fnn.Trainer(model_of(*layers), loss),
        ValueError,
        f"Trainer: {loss} takes probabilities, but {message}",
    )


SOFTMAX = "add it, or use cross_entropy, which takes logits"
SIGMOID = "add it, or use binary_cross_entropy_with_logits, which takes logits"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        takes("categorical_crossentropy", (), f"the model does not end with Softmax; {SOFTMAX}"),
        takes("categorical_crossentropy", (fnn.Sigmoid(),), f"the model does not end with Softmax; {SOFTMAX}"),
        takes("sparse_categorical_crossentropy", (fnn.LogSoftmax(),), f"the model does not end with Softmax; {SOFTMAX}"),
        takes("sparse_categorical_crossentropy", (fnn.Softmax(0),),
              f"the model does not end with Softmax over the last axis, but with Softmax(axis=0); {SOFTMAX}"),
        takes("binary_crossentropy", (), f"the model does not end with Sigmoid; {SIGMOID}"),
        takes("binary_crossentropy", (fnn.Residual(fnn.Sigmoid()),), f"the model does not end with Sigmoid; {SIGMOID}"),
        takes("binary_crossentropy", (fnn.Hardsigmoid(),), f"the model does not end with Sigmoid; {SIGMOID}"),
        (lambda: fnn.input_gradient(model_of(), "categorical_crossentropy", X, X), ValueError,
         f"input_gradient: categorical_crossentropy takes probabilities, but the model does not end with Softmax; {SOFTMAX}"),
    ],
)  # fmt: skip
def test_a_missing_last_layer_is_refused(call, error, message):
    refused(call, error, message)


@pytest.mark.parametrize(
    ("name", "y", "error", "message"),
    [
        ("categorical_crossentropy", LABELS, ValueError,
         "target has shape ({n},) but probabilities ({n}, 3) were expected; sparse_categorical_crossentropy takes labels"),
        ("categorical_crossentropy", np.eye(2)[LABELS % 2], ValueError,
         "target has shape ({n}, 2) but probabilities ({n}, 3) were expected; sparse_categorical_crossentropy takes labels"),
        ("sparse_categorical_crossentropy", LABELS.astype(float), TypeError,
         "target has dtype float64 but integer labels were expected; categorical_crossentropy takes one-hot rows and probabilities"),
        ("sparse_categorical_crossentropy", np.eye(3, dtype=int)[LABELS], ValueError,
         "target has shape ({n}, 3) but labels ({n},) were expected; categorical_crossentropy takes one-hot rows"),
        ("binary_crossentropy", np.full((40, 3), 2.0), ValueError, "target is 2.0 at row 0, column 0 but a value in [0, 1] was expected"),
        ("binary_crossentropy", LABELS, ValueError,
         "input has shape ({n}, 3) but target has shape ({n},); equal shapes were expected"),
    ],
)  # fmt: skip
def test_a_wrong_kind_of_target_is_refused(name, y, error, message):
    run = fnn.Trainer(model_of(kind_of(name)[0]), name, seed=0)
    before = run.model.state_dict()
    for call in (run.step, run.gradients, run.evaluate, lambda x, y: fnn.input_gradient(run.model, name, x, y)):
        refused(lambda call=call: call(X, y), error, f"{name}: {message.format(n=40)}")
    refused(lambda: run.fit(X, y, verbose=False), error, f"{name}: {message.format(n=2)}")
    for key, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_labels_out_of_range_are_index_errors():
    run = fnn.Trainer(model_of(fnn.Softmax()), "sparse_categorical_crossentropy", seed=0)
    refused(lambda: run.step(X[:2], [1, 3]), IndexError,
            "sparse_categorical_crossentropy: target[1] is 3 but a label in [0, 3) or ignore_index (-100) was expected")  # fmt: skip
    refused(lambda: run.fit(X[:2], [1, 3]), IndexError,
            "fit: y[1] is 3 but a label in [0, 3) or ignore_index (-100) was expected")  # fmt: skip


# ------------------------------------------------------------------------------------------------- pairs that only warn

ENDS = ["Sigmoid", "Hardsigmoid", "Softmax", "LogSoftmax", "LogSigmoid", "Softplus", "ReLU", "Tanh", None]
_BOUNDED = {"Sigmoid", "Hardsigmoid", "Softmax", "LogSoftmax", "LogSigmoid"}
WRONG = {  # from loss to the last layers after which it is out of place
    "cross_entropy": _BOUNDED - {"LogSoftmax"},
    "binary_cross_entropy_with_logits": _BOUNDED,
    "focal_with_logits": _BOUNDED,
    "soft_margin": _BOUNDED,
    "hinge": _BOUNDED,
    "squared_hinge": _BOUNDED,
    "multiclass_hinge": _BOUNDED,
    "multi_margin": _BOUNDED,
    "binary_cross_entropy": set(ENDS) - {"Sigmoid", "Hardsigmoid", "Softmax"},
    "nll": set(ENDS) - {"LogSoftmax", "LogSigmoid"},
    "kl_div": set(ENDS) - {"LogSoftmax", "LogSigmoid"},
    "poisson_nll": _BOUNDED | {"Softplus", "ReLU"},
    fnn.PoissonNLL(log_input=False): {"LogSoftmax", "LogSigmoid", "Tanh", None},
    "gaussian_nll": _BOUNDED | {"Softplus", "ReLU"},
    **dict.fromkeys(("mse", "half_mse", "l1", "smooth_l1", "huber", "log_cosh", "quantile"), set()),
}


@pytest.mark.parametrize("loss", WRONG, ids=repr)
@pytest.mark.parametrize("end", ENDS)
def test_a_last_layer_that_does_not_give_what_a_loss_takes_warns_once(loss, end):
    layers = () if end is None else (getattr(fnn, end)(),)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fnn.Trainer(model_of(*layers), loss)
    assert len(caught) == (end in WRONG[loss])


def test_every_loss_has_its_pairs():
    names = {loss if isinstance(loss, str) else loss._name for loss in WRONG}
    assert names | set(NAMES) == set(fnn.losses.LOSSES)


@pytest.mark.parametrize(
    ("loss", "layer", "message"),
    [
        ("nll", fnn.Softmax(), "nll takes log-probabilities, but the model does not end with LogSoftmax; cross_entropy takes logits"),
        ("kl_div", fnn.Tanh(), "kl_div takes log-probabilities, but the model does not end with LogSoftmax"),
        ("focal_with_logits", fnn.Sigmoid(), "focal_with_logits takes logits, but the model ends with Sigmoid"),
        ("hinge", fnn.Sigmoid(), "hinge takes scores of any sign, but the model ends with Sigmoid"),
        ("poisson_nll", fnn.Softplus(), "poisson_nll takes logarithms of rates, but the model ends with Softplus; log_input=False takes rates"),
        (fnn.PoissonNLL(log_input=False), fnn.Tanh(),
         "poisson_nll takes rates, but the model does not end with Softplus; log_input=True takes their logarithms"),
        ("gaussian_nll", fnn.ReLU(), "gaussian_nll takes means and logarithms of variances, but the model ends with ReLU"),
    ],
)  # fmt: skip
def test_what_a_warning_says(loss, layer, message):
    with pytest.warns(UserWarning, match="^Trainer: ") as caught:
        fnn.Trainer(model_of(layer), loss)
    assert [str(warning.message) for warning in caught] == [f"Trainer: {message}"]
    assert caught[0].filename == __file__
