"""Metrics, and which of them evaluate reports."""

import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.metrics import accuracy

X = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)


def classifier(**options):
    return fnn.Trainer(fnn.MLP([4, 8, 3], seed=0), options.pop("loss", "cross_entropy"), seed=0, **options)


def test_accuracy_is_the_share_of_rows_whose_largest_output_is_the_target():
    output = np.array([[1, 2, 0], [3, 1, 1], [0, 0, 1], [5, 6, 4]], float)
    for target in (
        [1, 0, 0, 0],
        np.array([[1], [0], [0], [0]], np.uint8),
        np.eye(3)[[1, 0, 0, 0]],
        [1.0, 0.0, 0.0, 0.0],
    ):
        assert accuracy(output, target) == 0.5


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_accuracy_of_one_column_compares_it_with_the_threshold(shape):
    output = np.array([-2, -0.1, 0.1, 0.4, 0.6, 3]).reshape(shape)
    target = np.array([0, 0, 1, 1, 1, 1])
    for given in (target, target.reshape(shape), target.astype(bool), target.astype(np.float32).tolist()):
        assert accuracy(output, given, threshold=0.0) == 1
        assert accuracy(output, given) == 4 / 6


def test_accuracy_leaves_out_what_does_not_count():
    output = np.eye(3)[[0, 1, 2, 0]]
    assert accuracy(output, [0, -100, 2, 1]) == 2 / 3
    assert accuracy(output, [0, 1, 1, 1], ignore_index=1) == 1
    assert accuracy(output, [0, 1, 1, 1], sample_weight=[1, 2, 3, 4]) == pytest.approx(0.3)
    assert math.isnan(accuracy(output, np.full(4, -100)))
    assert math.isnan(accuracy(output[:0], []))
    assert math.isnan(accuracy(output, [0, 1, 2, 0], sample_weight=np.zeros(4)))


def test_accuracy_refuses_targets_that_are_no_labels():
    with pytest.raises(
        ValueError, match=r"accuracy: target has shape \(4, 2\) but one label per row of output \(4, 3\)"
    ):
        accuracy(np.ones((4, 3)), np.ones((4, 2)))


@pytest.mark.parametrize("loss", ["cross_entropy", fnn.CrossEntropy(ignore_index=7)])
def test_evaluate_does_not_count_ignored_rows(loss):
    run = classifier(loss=loss)
    y = run.predict(X).argmax(1)
    y[::2] = run.loss.ignore_index
    assert run.evaluate(X, y)["accuracy"] == 1
    assert run.evaluate(X, y, sample_weight=np.ones(30))["accuracy"] == 1


def test_evaluate_weighs_rows():
    run = classifier()
    y = np.where(np.arange(30) < 10, run.predict(X).argmax(1), (run.predict(X).argmax(1) + 1) % 3)
    weight = np.where(np.arange(30) < 10, 4.0, 1.0)
    assert run.evaluate(X, y)["accuracy"] == pytest.approx(1 / 3)
    assert run.evaluate(X, y, sample_weight=weight)["accuracy"] == pytest.approx(2 / 3)


def test_one_column_against_targets_of_0_and_1():
    model = fnn.Sequential(fnn.Linear(1, 1))
    model.load_state_dict({"0.weight": [[1.0]], "0.bias": [0.0]})
    x = np.array([[0.0], [0.3], [0.7], [1.0]])
    run = fnn.Trainer(model, "mse", metrics="accuracy")
    for y in ([0, 0, 1, 1], np.array([[0], [0], [1], [1]]), np.array([0.0, 0.0, 1.0, 1.0])):
        assert run.evaluate(x, y)["accuracy"] == 1


def test_evaluate_of_no_rows_is_nan_without_warnings():
    for run, y in ((classifier(), np.zeros(0, int)), (classifier(loss="mse", metrics="accuracy"), np.zeros((0, 3)))):
        values = run.evaluate(X[:0], y)
        assert list(values) == ["loss", "accuracy"]
        assert all(map(math.isnan, values.values()))


def test_metrics_by_name_function_or_several():
    def largest(output, target):
        return output.max()

    y = np.arange(30) % 3
    for metrics, names in (
        ("accuracy", ["loss", "accuracy"]),
        (accuracy, ["loss", "accuracy"]),
        (largest, ["loss", "accuracy", "largest"]),
        ([largest, "accuracy"], ["loss", "accuracy", "largest"]),
        ((), ["loss", "accuracy"]),
    ):
        run = classifier(metrics=metrics)
        values = run.evaluate(X, y)
        assert list(values) == names
        assert all(type(value) is float for value in values.values())
        history = run.fit(X, y, validation_data=(X, y), verbose=False)
        assert list(history) == ["loss", *("val_" + name for name in names)]


def loss(output, target):
    return 0.0


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (
            ["accuracy", "accuracy"],
            ValueError,
            "Trainer: 'accuracy' names two values; each metric needs a name of its own",
        ),
        (
            [lambda o, t: 0, lambda o, t: 1],
            ValueError,
            "Trainer: '<lambda>' names two values; each metric needs a name of its own",
        ),
        (loss, ValueError, "Trainer: 'loss' names two values; each metric needs a name of its own"),
        ([3], TypeError, "Trainer: metric is 3 but a name or a function (output, target) -> float was expected"),
        ("f1", ValueError, "Trainer: metric is 'f1' but one of accuracy was expected"),
        (3, TypeError, "Trainer: metrics is 3 but names or functions (output, target) -> float were expected"),
    ],
)
def test_metrics_that_cannot_be(metrics, error, message):
    with pytest.raises(error) as caught:
        classifier(metrics=metrics)
    assert str(caught.value) == message


@pytest.mark.parametrize("weight", [None, (1.0, 0.0, 2.0)])
def test_evaluate_counts_no_row_that_the_loss_leaves_out_and_weights_the_others(weight):
    y = np.arange(30) % 3
    y[::5] = -100
    run = classifier(loss=fnn.CrossEntropy(weight))
    right = run.predict(X).argmax(-1) == y
    counts = (y != -100) & (y != (1 if weight else -100))
    assert run.evaluate(X, y)["accuracy"] == pytest.approx(right[counts].mean())
    given = np.arange(30.0)
    assert run.evaluate(X, y, given)["accuracy"] == pytest.approx(np.average(right[counts], weights=given[counts]))
