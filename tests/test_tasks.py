"""Tasks: the last layer, loss, probabilities and metrics that belong together, and pairs that do not."""

import warnings

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn import metrics
from fastnn.layers.containers import TASKS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4)).astype(np.float32)
SUM = X.sum(1)
TARGETS = {
    "binary": (SUM > 0).astype(np.int64),
    "multiclass": np.digitize(SUM, [-1, 1]),
    "classification": np.digitize(SUM, [-1, 1]),
    "multilabel": (X[:, :3] > 0).astype(np.int64),
    "regression": SUM,
    "unit_interval": 1 / (1 + np.exp(-SUM)),
}
OUTPUTS = {"binary": 1, "multiclass": 3, "classification": 3, "multilabel": 3, "regression": 1, "unit_interval": 1}
LOSS = {
    "binary": fnn.BCEWithLogits, "multiclass": fnn.CrossEntropy, "classification": fnn.CrossEntropy,
    "multilabel": fnn.BCEWithLogits, "regression": fnn.MSE, "unit_interval": fnn.BCE,
}  # fmt: skip


def model_of(task, outputs=None, dtype=np.float32):
    return fnn.MLP([4, 16, outputs or OUTPUTS[task]], task=task, seed=0, dtype=dtype)


def trained(task, y=None, **options):
    run = fnn.Trainer(model_of(task), optimizer=fnn.Adam(lr=0.02), seed=0, **options)
    history = run.fit(X, TARGETS[task] if y is None else y, epochs=40, batch_size=16, verbose=False)
    return run, history


@pytest.mark.parametrize("task", TASKS)
def test_a_task_decides_loss_and_last_layer_and_trains(task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run, history = trained(task)
    assert type(run.loss) is LOSS[task]
    assert type(run.model[-1]) is (fnn.Sigmoid if task == "unit_interval" else fnn.Linear)
    assert list(run.model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert history["loss"][-1] < history["loss"][0]
    values = run.evaluate(X, TARGETS[task])
    if task in ("regression", "unit_interval"):
        assert list(values) == ["loss"]
    else:
        assert values["accuracy"] > 0.9


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "unit_interval"])
def test_probabilities_and_metrics_follow_the_task(task):
    run, _ = trained(task, metrics=() if task == "unit_interval" else ("f1", "roc_auc", "log_loss", "brier"))
    output = run.predict(X)
    want = {"binary": F.sigmoid, "multiclass": F.softmax, "multilabel": F.sigmoid, "unit_interval": F.identity}[task](
        output
    )
    np.testing.assert_array_equal(run.model.predict(X), output)
    np.testing.assert_array_equal(run.model.predict_proba(X), want)
    np.testing.assert_array_equal(run.predict_proba(X), want)
    y = TARGETS[task]
    if task != "unit_interval":
        several = {"multilabel": True} if task == "multilabel" else {}
        values = run.evaluate(X, y)
        for name in ("accuracy", "f1", "roc_auc", "log_loss", "brier"):
            assert values[name] == getattr(metrics, name)(want, y, **several), name


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64, list])
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_targets_of_0_and_1_have_any_dtype(task, dtype):
    y = TARGETS[task].tolist() if dtype is list else TARGETS[task].astype(dtype)
    run, history = trained(task, y)
    want, wanted = trained(task)
    assert history["loss"] == wanted["loss"]
    assert run.evaluate(X, y) == want.evaluate(X, TARGETS[task])


def test_binary_takes_a_column_and_several_columns():
    y = TARGETS["binary"]
    _, history = trained("binary", y[:, None])
    assert history["loss"] == trained("binary")[1]["loss"]
    run = fnn.Trainer(model_of("binary", 3), seed=0)
    run.fit(X, TARGETS["multilabel"], verbose=False)
    assert run.predict_proba(X).shape == (80, 3)


def test_binary_cross_entropy_after_a_sigmoid_is_computed_from_its_logits(dtype):
    y, x = TARGETS["unit_interval"], X.astype(dtype)
    plain = fnn.Trainer(
        fnn.Sequential(*model_of("unit_interval", dtype=dtype)[:-1]),
        "binary_cross_entropy_with_logits",
        fnn.SGD(lr=0.5),
        seed=0,
    )
    fused = fnn.Trainer(model_of("unit_interval", dtype=dtype), optimizer=fnn.SGD(lr=0.5), seed=0)
    want, got = (run.fit(x, y, epochs=3, verbose=False, validation_data=(x, y)) for run in (plain, fused))
    assert got["loss"] == want["loss"]
    assert got["val_loss"] == want["val_loss"]
    np.testing.assert_array_equal(fused.predict(x), F.sigmoid(plain.predict(x)))
    for name, value in plain.model.state_dict().items():
        np.testing.assert_array_equal(fused.model.state_dict()[name], value)
    one, two = plain.gradients(x, y), fused.gradients(x, y)
    assert one[0] == two[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(two[1][name], value)


def test_a_sure_wrong_prediction_keeps_its_gradient():
    model = fnn.Sequential(fnn.Linear(1, 1, init="ones"), fnn.Sigmoid())
    run = fnn.Trainer(model, "binary_cross_entropy", fnn.SGD(lr=0.0))
    loss, gradients = run.gradients([[200.0]], [[0.0]])
    assert loss == 200
    assert gradients["0.bias"] == [1.0]
    assert run.evaluate([[200.0]], [[0.0]])["loss"] == 200


def test_a_task_is_saved_and_loaded(tmp_path):
    for task in TASKS:
        model = model_of(task)
        fnn.save(model, tmp_path / "m")
        loaded = fnn.load(tmp_path / "m")
        assert loaded.task == task
        np.testing.assert_array_equal(loaded(X), model(X))
        assert type(fnn.Trainer(loaded).loss) is LOSS[task]


def ends(*layers):
    return fnn.Sequential(fnn.Linear(4, 3, rng=0), *layers)


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [
        ((fnn.Softmax(),), "cross_entropy", "cross_entropy takes logits, but the model ends with Softmax"),
        ((fnn.Sigmoid(),), "cross_entropy", "cross_entropy takes logits, but the model ends with Sigmoid"),
        ((fnn.Sigmoid(),), "binary_cross_entropy_with_logits",
         "binary_cross_entropy_with_logits takes logits, but the model ends with Sigmoid"),
        ((fnn.Sequential(fnn.Sigmoid()),), fnn.BCEWithLogits(), "binary_cross_entropy_with_logits takes logits, but the model ends with Sigmoid"),
        ((), "binary_cross_entropy", "binary_cross_entropy takes probabilities, but the model does not end with Sigmoid; "
         "binary_cross_entropy_with_logits takes logits"),
        ((fnn.ReLU(),), "binary_cross_entropy", "binary_cross_entropy takes probabilities, but the model does not end with Sigmoid; "
         "binary_cross_entropy_with_logits takes logits"),
    ],
)  # fmt: skip
def test_a_wrong_pair_warns_once_at_construction(layers, loss, message):
    with pytest.warns(UserWarning, match="^Trainer: ") as caught:
        fnn.Trainer(ends(*layers), loss)
    assert [str(warning.message) for warning in caught] == [f"Trainer: {message}"]
    assert caught[0].filename == __file__


def test_right_pairs_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layers, loss in (
            ((), "cross_entropy"), ((), "binary_cross_entropy_with_logits"), ((fnn.Sigmoid(),), "binary_cross_entropy"),
            ((fnn.Softmax(),), "binary_cross_entropy"), ((fnn.Sigmoid(),), "mse"), ((fnn.Residual(fnn.Identity()),), "binary_cross_entropy"),
        ):  # fmt: skip
            fnn.Trainer(ends(*layers), loss)


def test_models_without_probabilities_say_so():
    refused(
        lambda: model_of("regression").predict_proba(X), ValueError,
        "predict_proba: the model's task is 'regression', without probabilities; binary, multiclass or multilabel was expected",
    )  # fmt: skip
    np.testing.assert_array_equal(ends(fnn.Softmax()).predict_proba(X), ends(fnn.Softmax()).predict(X))
    refused(
        lambda: fnn.MLP([4, 2], task="x"), ValueError,
        "MLP: task is 'x' but one of binary, multiclass, classification, multilabel, regression, unit_interval was expected",
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"^MLP: task is \[\] but one of"):
        fnn.MLP([4, 2], task=[])


def test_metrics_of_one_label_per_row_refuse_several():
    run = fnn.Trainer(model_of("multilabel"), metrics="balanced_accuracy")
    refused(
        lambda: run.evaluate(X, TARGETS["multilabel"]), ValueError,
        "balanced_accuracy: one label per row was expected but each column is a label of its own",
    )  # fmt: skip
