"""fastnn.sklearn beside scikit-learn: the same training for a random_state, its checks of estimators, its own tests."""

import inspect
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")

from sklearn import datasets  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier as StockClassifier  # noqa: E402
from sklearn.neural_network import MLPRegressor as StockRegressor  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from fastnn.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
DIGITS = datasets.load_digits(return_X_y=True)
DIGITS = DIGITS[0][:300] / 16, DIGITS[1][:300]
X, Y = datasets.make_regression(150, 8, n_targets=2, random_state=0)
REGRESSION = X, Y / Y.std()
COUNTS = X, RNG.poisson(3, len(X)).astype(np.float64)
MULTILABEL = datasets.make_multilabel_classification(120, random_state=0)
BINARY = datasets.make_classification(150, random_state=0)
RAW = datasets.load_wine(return_X_y=True)  # numbers up to thousands: probabilities of 0 and 1

CONFIGURATIONS = {
    "adam": (DIGITS, {}),
    "adam, minibatches of 32": (DIGITS, {"batch_size": 32, "hidden_layer_sizes": (30, 20), "activation": "logistic"}),
    "adam, its own numbers": (REGRESSION, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-4, "learning_rate_init": 0.01}),
    "adam, no hidden layer, no shuffle": (BINARY, {"hidden_layer_sizes": (), "shuffle": False}),
    "adam, early stopping": (DIGITS, {"early_stopping": True, "activation": "tanh", "n_iter_no_change": 3, "tol": 1e-2}),
    "sgd, invscaling": (DIGITS, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5}),
    "sgd, adaptive": (
        BINARY,
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 1e-2, "n_iter_no_change": 2},
    ),
    "sgd, no momentum, early stopping": (
        BINARY,
        {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1, "early_stopping": True, "validation_fraction": 0.2},
    ),
    "sgd, plain momentum, several labels": (
        MULTILABEL,
        {"solver": "sgd", "nesterovs_momentum": False, "activation": "identity", "alpha": 1.0},
    ),
    "sgd, regression, early stopping": (
        REGRESSION,
        {"solver": "sgd", "early_stopping": True, "batch_size": 17, "learning_rate_init": 0.01, "activation": "logistic"},
    ),
    "counts": (COUNTS, {"loss": "poisson", "alpha": 0.1}),
    "sure predictions that are wrong": (RAW, {"solver": "sgd"}),
    "lbfgs": (DIGITS, {"solver": "lbfgs", "activation": "tanh", "max_iter": 15}),
    "lbfgs, regression": (REGRESSION, {"solver": "lbfgs", "alpha": 1.0}),
    "lbfgs, counts": (COUNTS, {"solver": "lbfgs", "loss": "poisson", "hidden_layer_sizes": (5,)}),
}  # fmt: skip


def fitted(data, params, weighted):
    """Return scikit-learn's estimator and fastnn's after the same fit."""
    x, y = data
    numbers = y.dtype.kind == "f"
    pair = (StockRegressor, MLPRegressor) if numbers else (StockClassifier, MLPClassifier)
    weight = np.random.RandomState(1).uniform(0, 2, len(x)) if weighted else None
    params = {"max_iter": 12, "random_state": 0, "hidden_layer_sizes": (40,)} | params
    return [kind(**params).fit(x, y, sample_weight=weight) for kind in pair]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_training_is_scikit_learns(name, weighted):
    data, params = CONFIGURATIONS[name]
    stock, ours = fitted(data, params, weighted)
    assert (ours.n_iter_, ours.n_layers_, ours.n_outputs_) == (stock.n_iter_, stock.n_layers_, stock.n_outputs_)
    assert ours.out_activation_ == stock.out_activation_
    np.testing.assert_allclose(ours.loss_, stock.loss_, rtol=1e-7)
    for mine, theirs in zip(ours.coefs_ + ours.intercepts_, stock.coefs_ + stock.intercepts_, strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)
    output = "predict_proba" if isinstance(ours, MLPClassifier) else "predict"
    np.testing.assert_allclose(getattr(ours, output)(data[0]), getattr(stock, output)(data[0]), rtol=1e-6, atol=1e-6)
    assert ours.score(*data) == pytest.approx(stock.score(*data))
    if ours.solver == "lbfgs":
        return
    np.testing.assert_allclose(ours.loss_curve_, stock.loss_curve_, rtol=1e-7, atol=1e-12)
    assert (ours.t_, ours._no_improvement_count) == (stock.t_, stock._no_improvement_count)
    assert ours._optimizer.learning_rate == pytest.approx(stock._optimizer.learning_rate, rel=1e-12)
    for attribute in ("best_loss_", "validation_scores_", "best_validation_score_"):
        mine, theirs = getattr(ours, attribute), getattr(stock, attribute)
        assert mine is theirs is None or mine == pytest.approx(theirs, rel=1e-7)


@pytest.mark.parametrize("x_dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_have_scikit_learns_dtype(dtype, x_dtype):
    for kinds, (x, y), method in (
        ((StockClassifier, MLPClassifier), BINARY, "predict_proba"), ((StockRegressor, MLPRegressor), REGRESSION, "predict"),
    ):  # fmt: skip
        models = [kind(max_iter=2, random_state=0).fit(x.astype(dtype), y) for kind in kinds]
        stock, ours = (getattr(model, method)(x.astype(x_dtype)) for model in models)
        assert ours.dtype == stock.dtype
        np.testing.assert_allclose(ours, stock, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "data", [DIGITS, BINARY, MULTILABEL, REGRESSION], ids=["labels", "binary", "several", "numbers"]
)
def test_negative_weights_are_scikit_learns(data):
    x, y = data
    weight = np.where(np.random.RandomState(2).rand(len(x)) < 0.1, -0.5, 1.0)
    kinds = (StockRegressor, MLPRegressor) if y.dtype.kind == "f" else (StockClassifier, MLPClassifier)
    stock, ours = (kind(max_iter=10, random_state=0).fit(x, y, sample_weight=weight) for kind in kinds)
    np.testing.assert_allclose(ours.loss_curve_, stock.loss_curve_, rtol=1e-7)


def test_trainings_in_pieces_are_scikit_learns():
    """partial_fit, fit after it, and fit with warm_start."""
    x, y = DIGITS
    for solver in ("sgd", "adam"):
        params = {"solver": solver, "random_state": 3, "learning_rate_init": 0.01, "max_iter": 4}
        pair = [kind(warm_start=True, **params) for kind in (StockClassifier, MLPClassifier)]
        for model in pair:
            for first in (0, 100, 200):
                model.partial_fit(x[first : first + 100], y[first : first + 100], classes=np.arange(10))
            model.fit(x, y)
            model.set_params(learning_rate_init=0.02, alpha=0.1).fit(x, y)
            model.partial_fit(x, y)
        np.testing.assert_allclose(pair[1].loss_curve_, pair[0].loss_curve_, rtol=1e-7)
        np.testing.assert_allclose(pair[1].predict_proba(x), pair[0].predict_proba(x), atol=1e-7)


def test_float32_is_trained_in_float32():
    x, y = DIGITS[0].astype(np.float32), DIGITS[1]
    stock, ours = fitted((x, y), {}, False)
    assert {array.dtype for array in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert ours.predict_proba(x).dtype == np.float32
    np.testing.assert_allclose(ours.loss_curve_, stock.loss_curve_, rtol=1e-4)


def test_sparse_rows_are_trained_on_as_dense_ones():
    sparse = pytest.importorskip("scipy.sparse")
    x, y = DIGITS
    for solver in ("adam", "lbfgs"):
        dense = MLPClassifier(solver=solver, random_state=0, max_iter=5, early_stopping=True).fit(x, y)
        for kind in (sparse.csr_matrix, sparse.csc_array):
            model = MLPClassifier(solver=solver, random_state=0, max_iter=5, early_stopping=True).fit(kind(x), y)
            np.testing.assert_array_equal(model.predict_proba(kind(x)), dense.predict_proba(x))


def test_the_constructors_are_scikit_learns_with_further_keywords():
    for stock, ours in ((StockClassifier, MLPClassifier), (StockRegressor, MLPRegressor)):
        theirs, mine = (list(inspect.signature(kind).parameters.values()) for kind in (stock, ours))
        assert mine[: len(theirs)] == theirs
        assert {parameter.kind for parameter in mine[len(theirs) :]} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_warnings_are_scikit_learns(kind):
    stock = kind._stock
    told = []
    for model in (stock, kind):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model(max_iter=2, batch_size=1000).fit(X, (Y[:, :1] > 0).astype(int))
        told.append([(one.category, str(one.message)) for one in caught])
    assert told[0] == told[1]
    assert {category for category, _ in told[1]} >= {UserWarning, ConvergenceWarning}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks_of_estimators(estimator, check):
    check(estimator)


# Tests of scikit-learn that call methods it keeps to itself, with the method.
EXCLUDED = {"test_gradient": "_loss_grad_lbfgs"}


def test_scikit_learns_own_tests_pass_with_these_estimators(tmp_path):
    excluded = " and ".join(f"not {name}" for name in EXCLUDED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "sklearn_patched", "-p", "no:cacheprovider", "-k", excluded]
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(Path(__file__).parent)])
    done = subprocess.run(
        [*command, "--pyargs", "sklearn.neural_network.tests.test_mlp"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    passed = int(done.stdout.strip().splitlines()[-1].split(" passed")[0].split()[-1])
    assert passed >= 50
