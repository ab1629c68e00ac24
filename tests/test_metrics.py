"""Metrics, and which of them evaluate reports."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn import metrics
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
    for given, names in (
        ("accuracy", ["loss", "accuracy"]),
        (accuracy, ["loss", "accuracy"]),
        (largest, ["loss", "accuracy", "largest"]),
        ([largest, "accuracy"], ["loss", "accuracy", "largest"]),
        ((), ["loss", "accuracy"]),
    ):
        run = classifier(metrics=given)
        values = run.evaluate(X, y)
        assert list(values) == names
        assert all(type(value) is float for value in values.values())
        history = run.fit(X, y, validation_data=(X, y), verbose=False)
        assert list(history) == ["loss", *("val_" + name for name in names)]


def loss(output, target):
    return 0.0


@pytest.mark.parametrize(
    ("given", "error", "message"),
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
        ("f2", ValueError, f"Trainer: metric is 'f2' but one of {', '.join(metrics.METRICS)} was expected"),
        (
            [partial(metrics.f1, average="micro"), "f1"],
            ValueError,
            "Trainer: 'f1' names two values; each metric needs a name of its own",
        ),
        (3, TypeError, "Trainer: metrics is 3 but names or functions (output, target) -> float were expected"),
    ],
)
def test_metrics_that_cannot_be(given, error, message):
    with pytest.raises(error) as caught:
        classifier(metrics=given)
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


# ----------------------------------------------------------------------------------------------------------- scikit-learn


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.fixture(params=range(12))
def rows(request):
    """Yield scikit-learn's metrics, a generator, the number of rows, and weights: none, integers with zeros, or any."""
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(request.param)
    n = int(rng.integers(3, 60))
    weights = None, np.arange(n) % 3.0, rng.random(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of both sides, for classes that do not occur
        yield theirs, rng, n, weights[request.param % 3]


PEERS = {  # in sklearn.metrics; below, options are tried too
    "accuracy": "accuracy_score", "top_k_accuracy": "top_k_accuracy_score", "balanced_accuracy": "balanced_accuracy_score",
    "confusion_matrix": "confusion_matrix", "precision": "precision_score", "recall": "recall_score", "f1": "f1_score",
    "precision_micro": "precision_score", "precision_macro": "precision_score", "precision_weighted": "precision_score",
    "recall_micro": "recall_score", "recall_macro": "recall_score", "recall_weighted": "recall_score", "f1_micro": "f1_score",
    "f1_macro": "f1_score", "f1_weighted": "f1_score", "roc_auc": "roc_auc_score", "average_precision": "average_precision_score",
    "log_loss": "log_loss", "brier": "brier_score_loss", "mse": "mean_squared_error", "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error", "r2": "r2_score",
}  # fmt: skip


@pytest.mark.parametrize("name", PEERS)
def test_each_row_agrees_with_scikit_learn(name):
    peer = getattr(pytest.importorskip("sklearn.metrics"), PEERS[name])
    row, rng = metrics.METRICS[name], np.random.default_rng(0)
    y, t, x = rng.integers(0, 3, 50), rng.standard_normal((50, 2)), rng.standard_normal((50, 2))
    scores = F.softmax(rng.standard_normal((50, 3)))
    w, average = rng.random(50), name.rpartition("_")[2]
    options = {"average": average if average in AVERAGES else "macro"} if name.split("_")[0] in RATIOS else {}
    if name == "roc_auc":
        options = {"multi_class": "ovr"}
    if row.takes == "numbers":
        same(row.function(x, t, sample_weight=w), peer(t, x, sample_weight=w))
    elif row.takes == "labels" and name != "top_k_accuracy":
        same(row.function(scores, y, sample_weight=w), peer(y, scores.argmax(1), sample_weight=w, **options))
    else:
        given = {"k": 2} if name == "top_k_accuracy" else {}
        same(row.function(scores, y, sample_weight=w, **given), peer(y, scores, sample_weight=w, **given, **options))


AVERAGES = ("micro", "macro", "weighted")
RATIOS = ("precision", "recall", "f1")


def test_classes_agree_with_scikit_learn(rows):
    theirs, rng, n, w = rows
    for k in (2, 3, 6):
        y, scores = rng.integers(0, k, n), rng.integers(0, 5, (n, k)) / 4  # with many ties
        predicted = scores.argmax(1)
        same(accuracy(scores, y, sample_weight=w), theirs.accuracy_score(y, predicted, sample_weight=w))
        same(
            metrics.balanced_accuracy(scores, y, sample_weight=w),
            theirs.balanced_accuracy_score(y, predicted, sample_weight=w),
        )
        matrix = metrics.confusion_matrix(scores, y, sample_weight=w)
        same(matrix, theirs.confusion_matrix(y, predicted, labels=range(k), sample_weight=w))
        assert matrix.dtype == (np.int64 if w is None else np.float64)
        for name in RATIOS:
            ours, score = getattr(metrics, name), getattr(theirs, f"{name}_score")
            for average in AVERAGES:
                want = score(y, predicted, average=average, sample_weight=w)
                same(ours(scores, y, average=average, sample_weight=w), want)
                same(ours(predicted, y, average=average, sample_weight=w), want)
                same(metrics.METRICS[f"{name}_{average}"].function(scores, y, sample_weight=w), want)
            same(
                ours(scores, y, sample_weight=w),
                score(y, predicted, average="macro" if k > 2 else "binary", sample_weight=w),
            )
        if k > 2:
            for best in (1, 2, 3):
                want = theirs.top_k_accuracy_score(y, scores, k=best, labels=range(k), sample_weight=w)
                same(metrics.top_k_accuracy(scores, y, k=best, sample_weight=w), want)


def test_one_column_agrees_with_scikit_learn(rows):
    theirs, rng, n, w = rows
    y, p = rng.integers(0, 2, n), rng.integers(0, 11, n) / 10
    y[:2] = 0, 1
    y[2] = 1
    for output, target in ((p, y), (p[:, None], y[:, None].astype(np.float32))):
        for name in RATIOS:
            same(
                getattr(metrics, name)(output, target, sample_weight=w),
                getattr(theirs, f"{name}_score")(y, p > 0.5, sample_weight=w),
            )
        same(
            metrics.balanced_accuracy(output, target, sample_weight=w),
            theirs.balanced_accuracy_score(y, p > 0.5, sample_weight=w),
        )
        same(
            metrics.confusion_matrix(output, target, sample_weight=w),
            theirs.confusion_matrix(y, p > 0.5, sample_weight=w),
        )
        same(metrics.roc_auc(output, target, sample_weight=w), theirs.roc_auc_score(y, p, sample_weight=w))
        same(
            metrics.average_precision(output, target, sample_weight=w),
            theirs.average_precision_score(y, p, sample_weight=w),
        )
        same(metrics.log_loss(output, target, sample_weight=w), theirs.log_loss(y, p, labels=[0, 1], sample_weight=w))
        same(metrics.brier(output, target, sample_weight=w), theirs.brier_score_loss(y, p, sample_weight=w))
        for k in (1, 2):
            same(
                metrics.top_k_accuracy(output, target, k=k, sample_weight=w),
                theirs.top_k_accuracy_score(y, p, k=k, sample_weight=w),
            )


def test_probabilities_agree_with_scikit_learn(rows):
    theirs, rng, n, w = rows
    for k in (2, 3):
        y, p = np.concatenate([np.arange(k), rng.integers(0, k, n - k)]), rng.integers(1, 5, (n, k)).astype(float)
        p[:, 0] = 3  # rounding aside p has ties
        p /= p.sum(1, keepdims=True)
        same(metrics.log_loss(p, y, sample_weight=w), theirs.log_loss(y, p, labels=range(k), sample_weight=w))
        same(
            metrics.log_loss(p, np.eye(k)[y], sample_weight=w), theirs.log_loss(y, p, labels=range(k), sample_weight=w)
        )
        same(metrics.brier(p, y, sample_weight=w), theirs.brier_score_loss(y, p, labels=range(k), sample_weight=w))
        scores = p if k > 2 else p[:, 1]
        for average in AVERAGES:
            got = metrics.average_precision(p, y, average=average, sample_weight=w)
            same(got, theirs.average_precision_score(y, scores, average=average, sample_weight=w))
            if w is None or k > 2:
                got = metrics.roc_auc(p, y, average=average, sample_weight=w)
                same(got, theirs.roc_auc_score(y, scores, average=average, sample_weight=w, multi_class="ovr"))


def test_several_labels_per_row_agree_with_scikit_learn(rows):
    theirs, rng, n, w = rows
    y, p = rng.integers(0, 2, (n, 4)), rng.integers(0, 11, (n, 4)) / 10
    y[:2] = [[0], [1]]
    y[2] = 1
    same(accuracy(p, y, multilabel=True, sample_weight=w), theirs.accuracy_score(y, p > 0.5, sample_weight=w))
    for average in AVERAGES:
        for name in RATIOS:
            got = getattr(metrics, name)(p, y, average=average, multilabel=True, sample_weight=w)
            same(got, getattr(theirs, f"{name}_score")(y, p > 0.5, average=average, sample_weight=w))
        for name in ("roc_auc", "average_precision"):
            got = getattr(metrics, name)(p, y, average=average, multilabel=True, sample_weight=w)
            same(got, getattr(theirs, f"{name}_score")(y, p, average=average, sample_weight=w))
    for name, score in (("log_loss", theirs.log_loss), ("brier", theirs.brier_score_loss)):
        each = [
            score(y[:, i], p[:, i], sample_weight=w, **({"labels": [0, 1]} if name == "log_loss" else {}))
            for i in range(4)
        ]
        same(getattr(metrics, name)(p, y, multilabel=True, sample_weight=w), np.mean(each))


def test_numbers_agree_with_scikit_learn(rows):
    theirs, rng, n, w = rows
    t, x = rng.standard_normal((n, 3)), rng.standard_normal((n, 3))
    for name, score in (
        ("mse", theirs.mean_squared_error),
        ("rmse", theirs.root_mean_squared_error),
        ("mae", theirs.mean_absolute_error),
        ("r2", theirs.r2_score),
    ):
        ours = getattr(metrics, name)
        same(ours(x, t, sample_weight=w), score(t, x, sample_weight=w))
        same(ours(x[:, 0], t[:, :1], sample_weight=w), score(t[:, 0], x[:, 0], sample_weight=w))
    t[:, 0] = x[:, 1] = t[:, 1] = 2  # whose mean is exact: scikit-learn divides by rounding errors otherwise
    same(metrics.r2(x, t), theirs.r2_score(t, x))
    t[:, 0] = x[:, 1] = t[:, 1] = 0.1
    same(metrics.r2(x, t, sample_weight=w), (0 + 1 + metrics.r2(x[:, 2], t[:, 2], sample_weight=w)) / 3)


def test_r2_of_a_target_that_is_constant_where_rows_count():
    t, w = np.array([5, 0.1, 0.1, 0.1]), [0, 1, 1, 1]
    assert metrics.r2([0, 0.1, 0.1, 0.1], t, sample_weight=w) == 1
    assert metrics.r2([5, 0.1, 0.1, 0.2], t, sample_weight=w) == 0


# -------------------------------------------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("average", ["macro", "micro"])
def test_warnings_point_at_the_call(name, average):
    with pytest.warns(RuntimeWarning) as caught:
        getattr(metrics, name)([[0.1], [0.2]], [0, 0], average=average)
    assert caught[0].filename == __file__


def test_roc_auc_of_one_class_is_nan_with_a_warning():
    for y in ([0, 0, 0], [1, 1, 1]):
        with pytest.warns(RuntimeWarning, match="^roc_auc: the target holds one class only, so there is no area: NaN$"):
            assert math.isnan(metrics.roc_auc([0.1, 0.2, 0.3], y))
    with pytest.warns(RuntimeWarning, match="one class only"):  # rows of weight 0 count nothing
        assert math.isnan(metrics.roc_auc([0.1, 0.2, 0.3], [0, 1, 1], sample_weight=[0, 1, 1]))
    with pytest.warns(RuntimeWarning, match="one class only"):
        assert math.isnan(metrics.roc_auc(np.eye(3)[:2], [0, 1]))  # class 2 does not occur
    with pytest.warns(RuntimeWarning, match="^average_precision: the target holds no row of a class: 0$"):
        assert metrics.average_precision([0.1, 0.2], [0, 0]) == 0


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_of_a_probability_that_is_nan_a_metric_is_nan(name):
    for p in ([0.2, np.nan, 0.7], np.array([[0.2, 0.8], [0.5, np.nan], [0.7, 0.3]])):
        function = getattr(metrics, name)
        assert math.isnan(function(p, [0, 1, 1]))
        if name in ("roc_auc", "average_precision"):  # the others multiply by the weight, and 0 times NaN is NaN
            assert not math.isnan(function(p, [0, 1, 1], sample_weight=[1, 0, 1]))


def test_a_target_of_one_column_may_be_any_two_numbers_around_one_half():
    for target in ([-1, 1, 1], [0, 2, 2], [0.1, 0.9, 1.0]):
        assert accuracy([-3.0, 4.0, -1.0], target, threshold=0) == 2 / 3
        assert metrics.recall([-3.0, 4.0, -1.0], target, threshold=0) == 1 / 2
        assert metrics.top_k_accuracy([-3.0, 4.0, -1.0], target, k=1, threshold=0) == 2 / 3


def test_a_class_without_denominator_counts_as_0():
    assert metrics.precision([0, 0], [1, 1]) == metrics.recall([1, 1], [0, 0]) == metrics.f1([0, 0], [0, 0]) == 0
    assert metrics.f1([0, 0], [0, 0], average="weighted") == 1


@pytest.mark.parametrize("name", [name for name in metrics.METRICS if name != "confusion_matrix"])
def test_of_no_rows_and_of_rows_that_weigh_nothing_a_metric_is_nan(name):
    function = metrics.METRICS[name].function
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(function(np.zeros((0, 1)), np.zeros(0)))
        if name in ("roc_auc", "average_precision", "r2"):
            return
        assert math.isnan(function([0.2, 0.7], [0, 1], sample_weight=[0, 0]))


def test_probabilities_of_float32_are_clipped_to_its_precision():
    for dtype in (np.float32, np.float64):
        value = metrics.log_loss(np.array([0.0, 1.0], dtype), [1, 0])
        np.testing.assert_allclose(value, -math.log(np.finfo(dtype).eps))


def test_the_epoch_is_measured_at_once():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((101, 4)), rng.integers(0, 3, 101)
    names = ["f1", "roc_auc", "log_loss", "confusion_matrix", "top_k_accuracy"]
    run = classifier(metrics=[*names, partial(metrics.precision, average="weighted")])
    w = rng.random(101)
    history = run.fit(x, y, batch_size=7, validation_data=(x, y, w), epochs=2, verbose=False)
    values = run.evaluate(x, y, w)
    logits, p = run.predict(x), run.predict_proba(x)
    want = {
        "f1": metrics.f1(logits, y, sample_weight=w),
        "roc_auc": metrics.roc_auc(p, y, sample_weight=w),
        "log_loss": metrics.log_loss(p, y, sample_weight=w),
        "confusion_matrix": metrics.confusion_matrix(logits, y, sample_weight=w),
        "top_k_accuracy": metrics.top_k_accuracy(logits, y, sample_weight=w),
        "precision": metrics.precision(logits, y, average="weighted", sample_weight=w),
    }
    assert list(values) == ["loss", "accuracy", *want]
    for name, value in want.items():
        np.testing.assert_array_equal(values[name], value)
        np.testing.assert_array_equal(history["val_" + name][-1], value)
    assert values["confusion_matrix"].shape == (3, 3)
    assert "val_accuracy" in repr(history)


def test_a_matrix_is_not_shown_on_the_progress_line(capsys):
    run = classifier(metrics="confusion_matrix")
    run.fit(X, np.arange(30) % 3, validation_data=(X, np.arange(30) % 3), verbose=2)
    assert "confusion_matrix" not in capsys.readouterr().err


def test_ignored_rows_are_left_out_of_every_metric():
    y = np.arange(30) % 3
    ignored = np.where(np.arange(30) % 5 == 0, -100, y)
    keep = ignored >= 0
    run = classifier(
        metrics=[name for name in metrics.METRICS if metrics.METRICS[name].takes != "numbers" and name != "accuracy"]
    )
    got, want = run.evaluate(X, ignored), run.evaluate(X[keep], y[keep])
    for name in list(want)[1:]:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def test_metrics_of_numbers_take_the_output_as_it_is():
    x, t = np.random.default_rng(1).standard_normal((2, 20, 2))
    run = fnn.Trainer(fnn.MLP([2, 2], seed=0), "mse", metrics=("mse", "rmse", "mae", "r2"))
    values = run.evaluate(x, t)
    for name in ("mse", "rmse", "mae", "r2"):
        assert values[name] == getattr(metrics, name)(run.predict(x), t)
    np.testing.assert_allclose(values["mse"], F.mse_loss(run.predict(x), t), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.f1(np.ones((4, 3)), [0, 1, 2, 0], average="binary"), ValueError,
         "f1: average is 'binary' but there are 3 classes"),
        (lambda: metrics.f1(np.ones((4, 3)), np.ones((4, 3)), average="binary", multilabel=True), ValueError,
         "f1: average is 'binary' but multilabel is set"),
        (lambda: metrics.recall([1, 0], [1, 0], average="mean"), ValueError,
         "recall: average is 'mean' but auto, binary, micro, macro or weighted was expected"),
        (lambda: metrics.roc_auc([1, 0], [1, 0], average="mean"), ValueError,
         "roc_auc: average is 'mean' but micro, macro or weighted was expected"),
        (lambda: metrics.precision(np.ones((4, 3)), np.ones((4, 2)), multilabel=True), ValueError,
         "precision: target has shape (4, 2) but that of output, (4, 3), was expected"),
        (lambda: metrics.log_loss([0.5, 1.5], [0, 1]), ValueError, "log_loss: output is not in [0, 1] but probabilities were expected"),
        (lambda: metrics.brier(np.full((2, 2), 0.5), [0, 2]), IndexError, "brier: target[1] is 2 but a label in [0, 2) was expected"),
        (lambda: metrics.confusion_matrix(np.eye(2), [0, -1]), IndexError,
         "confusion_matrix: target[1] is -1 but a label in [0, 2) was expected"),
        (lambda: metrics.roc_auc(np.ones((2, 2, 2)), [0, 1]), ValueError,
         "roc_auc: output has shape (2, 2, 2) but (rows,) or (rows, columns) was expected"),
        (lambda: metrics.mae(np.ones((2, 2)), [0, 1]), ValueError,
         "mae: target has shape (2,) but that of output, (2, 2), was expected"),
        (lambda: metrics.log_loss([0.5, 0.5], [0, 2]), ValueError, "log_loss: target is not in [0, 1] but probabilities were expected"),
        (lambda: metrics.brier(np.full((2, 2), 0.5), np.full((2, 2), 5.0)), ValueError,
         "brier: target is not in [0, 1] but probabilities were expected"),
        (lambda: metrics.accuracy(np.eye(2), [0, 2]), IndexError,
         "accuracy: target[1] is 2 but a label in [0, 2) or ignore_index (-100) was expected"),
        (lambda: metrics.f1(np.eye(2), [0.5, 1]), IndexError, "f1: target[0] is 0.5 but a label in [0, 2) was expected"),
        (lambda: metrics.balanced_accuracy(np.eye(2), [0, 2]), IndexError,
         "balanced_accuracy: target[1] is 2 but a label in [0, 2) was expected"),
        (lambda: metrics.recall([0.2, 0.7], [0, np.nan]), ValueError, "recall: target is nan at row 1; finite numbers were expected"),
        (lambda: metrics.r2([0.2, 0.7], [0, np.inf]), ValueError, "r2: target is inf at row 1; finite numbers were expected"),
        (lambda: metrics.precision(np.eye(2), ["a", "b"]), TypeError,
         "precision: target has dtype <U1 but real numbers of at most 64 bits were expected"),
        (lambda: metrics.confusion_matrix([["a"]], [0]), TypeError,
         "confusion_matrix: output has dtype <U1 but real numbers of at most 64 bits were expected"),
        (lambda: metrics.average_precision(None, [0]), TypeError, "average_precision: output is a NoneType but an array of numbers was expected"),
        (lambda: metrics.rmse(1.0, 2.0), ValueError, "rmse: output is a scalar but one row per sample was expected"),
        (lambda: metrics.accuracy(np.ones((2, 0)), [0, 1]), ValueError,
         "accuracy: output has shape (2, 0) but (rows,) or (rows, columns) was expected"),
        (lambda: metrics.top_k_accuracy(np.eye(2), [0, 1], k=0), ValueError,
         "top_k_accuracy: k is 0 but a positive integer was expected"),
        (lambda: metrics.precision([0.2, 0.7], [0, 1], threshold=np.nan), ValueError,
         "precision: threshold is nan but a number was expected"),
        (lambda: metrics.recall(np.eye(2), np.eye(2), threshold="x", multilabel=True), TypeError,
         "recall: threshold is 'x' but a number was expected"),
        (lambda: metrics.mse([1.0, 2.0], [0, 1], sample_weight=[1]), ValueError, "mse: sample_weight has 1 rows but target has 2"),
        (lambda: metrics.f1([1.0, 2.0], [0, 1], sample_weight=[1, -1]), ValueError,
         "f1: sample_weight[1] is -1.0 but a finite, non-negative weight was expected"),
    ],
)  # fmt: skip
def test_what_metrics_refuse(call, error, message):
    refused(call, error, message)
