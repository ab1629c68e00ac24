"""fastnn.sklearn: what scikit-learn has not, and its estimators among scikit-learn's tools."""

import copy
import os
import pickle
import re
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib  # noqa: E402
import sklearn.neural_network  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn import datasets, set_config  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.class_weight import compute_sample_weight  # noqa: E402

import fastnn as fnn  # noqa: E402
from fastnn.sklearn import MLPClassifier, MLPRegressor, TabularClassifier, patch, unpatch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = datasets.load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"], object)
XR, YR = datasets.make_regression(120, 5, noise=5.0, random_state=0)
YR = YR / YR.std()
FAST = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


# -------------------------------------------------------------------------------------------------------------- keywords


def test_each_hidden_layer_has_an_activation_of_its_own():
    activations = ("gelu", fnn.LeakyReLU(0.2), "logistic")
    model = MLPClassifier((6, 5, 4), activations, max_iter=3, random_state=0).fit(X, Y)
    z = X
    functions = fnn.functional.gelu, lambda z: np.where(z > 0, z, 0.2 * z), fnn.functional.sigmoid
    for function, coef, intercept in zip(functions, model.coefs_, model.intercepts_, strict=False):
        z = function(z @ coef + intercept)
    z = z @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_allclose(model.predict_proba(X), fnn.functional.softmax(z), rtol=1e-12)


@pytest.mark.parametrize("activation", [("relu",), ("relu", "nonsense"), [fnn.Linear(2, 2), "relu"]], ids=str)
def test_activations_that_fit_no_layer_are_refused(activation):
    with pytest.raises(ValueError, match="activation has"):
        MLPClassifier((3, 3), activation).fit(X, Y)


def test_dropout_trains_other_networks_and_rests_in_prediction():
    plain, dropped = (MLPClassifier(**FAST, dropout=p).fit(X, Y) for p in (0.0, 0.5))
    again = MLPClassifier(**FAST, dropout=0.5).fit(X, Y)
    assert not np.array_equal(plain.coefs_[0], dropped.coefs_[0])
    np.testing.assert_array_equal(again.coefs_[0], dropped.coefs_[0])
    hidden = np.maximum(X @ dropped.coefs_[0] + dropped.intercepts_[0], 0)
    logits = hidden @ dropped.coefs_[1] + dropped.intercepts_[1]
    np.testing.assert_allclose(dropped.predict_proba(X), fnn.functional.softmax(logits), rtol=1e-12)


def test_l1_is_a_penalty_of_the_objective():
    """One step of gradient descent on all rows, by hand; and the loss that is told."""
    params = FAST | {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1, "max_iter": 1, "batch_size": 120}
    plain, penalised = (MLPRegressor(**params, l1=l1, alpha=0.0).fit(XR, YR) for l1 in (0.0, 2.0))
    start = MLPRegressor(**params | {"learning_rate_init": 1e-300}).fit(XR, YR)
    for one, other, before in zip(plain.coefs_, penalised.coefs_, start.coefs_, strict=True):
        np.testing.assert_allclose(other, one - 0.1 * 2.0 * np.sign(before) / 120, rtol=1e-9, atol=1e-12)
    magnitudes = sum(np.abs(coef).sum() for coef in start.coefs_)
    assert penalised.loss_ == pytest.approx(plain.loss_ + 2.0 * magnitudes / 120)
    np.testing.assert_array_equal(plain.intercepts_[0], penalised.intercepts_[0])


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"l1": 0.1}], ids=str)
def test_lbfgs_refuses_what_it_cannot_minimise(options):
    with pytest.raises(ValueError, match="dropout and l1 need"):
        MLPClassifier(solver="lbfgs", **options).fit(X, Y)


@pytest.mark.parametrize("class_weight", ["balanced", {"setosa": 2.0, "virginica": 0.5}], ids=str)
def test_class_weights_are_weights_of_rows(class_weight):
    y, weight = NAMES[Y][30:], np.random.RandomState(0).random_sample(120)
    model = MLPClassifier(**FAST, class_weight=class_weight).fit(X[30:], y, sample_weight=weight)
    other = MLPClassifier(**FAST).fit(X[30:], y, sample_weight=weight * compute_sample_weight(class_weight, y))
    assert model.loss_curve_ == other.loss_curve_


def test_partial_fit_refuses_balanced_weights():
    with pytest.raises(ValueError, match="partial_fit takes no class_weight='balanced'"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


LOSSES = {
    "absolute_error": lambda d: np.abs(d),
    "huber": lambda d: np.where(np.abs(d) < 1, d * d / 2, np.abs(d) - 0.5),
    "quantile": lambda d: np.abs(d) / 2,
    "log_cosh": lambda d: np.log(np.cosh(d)),
    fnn.Quantile(quantiles=(0.9,)): lambda d: np.maximum(0.9 * d, -0.1 * d),
    fnn.MSE(): lambda d: d * d,
}


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_other_losses_are_trained_on(loss):
    y = np.column_stack([YR, XR[:, 0]]) if "uantile" not in str(loss) else YR[:, None]
    start = MLPRegressor(loss, **FAST | {"max_iter": 1, "batch_size": 120, "alpha": 0.0, "learning_rate_init": 1e-300})
    start.fit(XR, y.squeeze())
    difference = y - start.predict(XR).reshape(y.shape)
    assert start.loss_ == pytest.approx(LOSSES[loss](difference).mean())
    model = MLPRegressor(loss, hidden_layer_sizes=(20,), learning_rate_init=0.02, max_iter=100, random_state=0)
    model.fit(XR, y.squeeze())
    assert model.loss_ < 0.3 * start.loss_
    if loss == fnn.Quantile(quantiles=(0.9,)):
        assert 0.8 < (y.squeeze() < model.predict(XR)).mean() < 0.98


@pytest.mark.parametrize("loss", [fnn.PoissonNLL(log_input=False), fnn.Quantile(), fnn.CrossEntropy()], ids=str)
def test_losses_that_are_none_of_numbers_are_refused(loss):
    with pytest.raises(ValueError, match="MLPRegressor: loss is"):
        MLPRegressor(loss).fit(XR, np.abs(YR))


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="y has -1.0 but the poisson loss"):
        MLPRegressor("poisson").fit(XR, np.append(-1.0, np.ones(119)))


def test_any_optimizer_and_schedule_trains():
    spec = fnn.AdamW(lr=fnn.schedules.Cosine(0.05, 20), weight_decay=0.1)
    model = MLPClassifier(solver=spec, batch_size=15, hidden_layer_sizes=(8,), max_iter=20, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert model._optimizer.learning_rate == spec.rate(200, 20)


def test_parameters_of_specifications_are_set_like_those_of_estimators():
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(fnn.Huber(delta=2.0), solver=fnn.AdamW(lr=0.1)))
    params = pipeline.get_params()
    assert (params["mlpregressor__loss__delta"], params["mlpregressor__solver__lr"]) == (2.0, 0.1)
    pipeline.set_params(mlpregressor__loss__delta=3.0, mlpregressor__solver__lr=0.01, mlpregressor__alpha=1.0)
    model = clone(pipeline)[-1]
    assert (model.loss, model.solver.lr, model.alpha) == (fnn.Huber(delta=3.0), 0.01, 1.0)
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(loss__nonsense=1)
    message = "MLPRegressor: solver__lr is given but solver is 'adam', which has no parameters; set solver to a specification, such as fastnn.Adam()"
    with pytest.raises(ValueError) as caught:
        MLPRegressor().set_params(solver__lr=0.1)
    assert str(caught.value) == message
    assert MLPRegressor().set_params(solver__lr=0.1, solver=fnn.SGD(lr=1.0)).solver.lr == 0.1


# ------------------------------------------------------------------------------------------------------------ validation


def test_validation_data_are_scored_after_each_epoch():
    weight = np.random.RandomState(0).random_sample(50)
    model = MLPClassifier(**FAST).fit(X[::2], Y[::2], validation_data=(X[1::3], Y[1::3], weight))
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_
    p = model.predict_proba(X[1::3])[np.arange(50), Y[1::3]]
    assert model.validation_loss_curve_[-1] == pytest.approx(np.average(-np.log(p), weights=weight))
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[1::3], Y[1::3], weight))
    assert model.best_loss_ == min(model.loss_curve_)


def test_early_stopping_takes_validation_data_instead_of_training_rows():
    model = MLPRegressor(**FAST | {"early_stopping": True, "max_iter": 30}).fit(XR, YR, validation_data=(XR, YR))
    assert model.t_ == model.n_iter_ * len(XR)
    assert model.score(XR, YR) == pytest.approx(max(model.validation_scores_))


@pytest.mark.parametrize("validated", [False, True])
def test_the_best_coefficients_are_restored(validated):
    params = FAST | {"solver": "sgd", "learning_rate_init": 0.4, "max_iter": 12, "batch_size": 30, "restore_best": True}
    data = {"validation_data": (XR, YR)} if validated else {}
    model = MLPRegressor(**params).fit(XR, YR, **data)
    curve = model.validation_loss_curve_ if validated else model.loss_curve_
    best = int(np.argmin(curve))
    assert best < 11  # else nothing is shown
    other = MLPRegressor(**params | {"restore_best": False, "max_iter": best + 1}).fit(XR, YR)
    for one, two in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_new_fit_forgets_the_best_coefficients_of_the_one_before():
    """The best of a training that diverges at once are those it began with."""
    model = MLPRegressor(**FAST, restore_best=True).fit(XR, YR)
    model.set_params(
        hidden_layer_sizes=(3,), solver="sgd", activation="identity", learning_rate_init=1e300, batch_size=10
    )
    model.fit(XR, YR)
    other = MLPRegressor(**FAST | {"hidden_layer_sizes": (3,), "solver": "sgd", "learning_rate_init": 1e-300}).fit(
        XR, YR
    )
    np.testing.assert_array_equal(model.coefs_[0], other.coefs_[0])


def test_partial_fit_keeps_what_it_has_learned_where_the_best_are_restored():
    pair = [MLPRegressor(**FAST, restore_best=restore) for restore in (True, False)]
    for y in (YR, -YR, -YR):
        outputs = [model.partial_fit(XR, y).predict(XR) for model in pair]
        np.testing.assert_array_equal(*outputs)


def test_validation_labels_that_fit_has_not_seen_are_refused():
    with pytest.raises(ValueError, match="`y` has classes not in"):
        MLPClassifier(**FAST).fit(X[:100], Y[:100], validation_data=(X, Y))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_the_optimizer_goes_on_with_warm_start_where_it_is_kept(solver):
    whole = MLPClassifier(**FAST | {"solver": solver, "max_iter": 6, "shuffle": False}).fit(X, Y)
    pieces = MLPClassifier(
        **FAST | {"solver": solver, "max_iter": 3, "shuffle": False}, warm_start=True, keep_optimizer=True
    )
    pieces = pickle.loads(pickle.dumps(pieces.fit(X, Y))).fit(X, Y)
    assert pieces.loss_curve_ == whole.loss_curve_


# --------------------------------------------------------------------------------------------------------------- objects


def test_a_fitted_estimator_is_pickled_copied_and_dumped(tmp_path):
    model = MLPClassifier(**FAST, dropout=0.1).fit(X, NAMES[Y])
    joblib.dump(model, tmp_path / "model.joblib")
    others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), joblib.load(tmp_path / "model.joblib")]
    expected = model.predict_proba(X)
    for other in others:
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert (other.predict(X) == model.predict(X)).all()
    trained = model.partial_fit(X, NAMES[Y]).predict_proba(X)
    for other in others:
        np.testing.assert_array_equal(other.partial_fit(X, NAMES[Y]).predict_proba(X), trained)
    assert not np.array_equal(trained, expected)


@pytest.mark.parametrize("kind", [MLPClassifier, TabularClassifier])
def test_a_pickle_of_another_version_is_warned_of(kind, monkeypatch, recwarn):
    model = kind(random_state=0, **({"max_iter": 2} if kind is MLPClassifier else {"preset": "plain", "epochs": 1}))
    model.fit(X, Y)
    recwarn.clear()
    expected = pickle.loads(pickle.dumps(model)).predict(X)
    assert not recwarn.list
    with monkeypatch.context() as patched:
        patched.setattr("fastnn.sklearn.pickling.__version__", "0.0.9")
        old = pickle.dumps(model)
    with pytest.warns(
        UserWarning,
        match=f"^{kind.__name__}: the pickle was written by fastnn 0.0.9 but is read by fastnn {fnn.__version__}",
    ):
        other = pickle.loads(old)
    np.testing.assert_array_equal(other.predict(X), expected)
    assert not hasattr(other, "_fastnn_version")


def test_coefficients_are_the_networks_own():
    model = MLPRegressor(**FAST).fit(XR, YR)
    before = model.coefs_
    model.coefs_[1][...] = 0
    model.intercepts_[1][0] = 7.0
    assert (model.predict(XR) == 7).all()
    model.coefs_[0] = np.zeros((5, 8))
    model.intercepts_ = [np.ones(8), np.array([1.0])]
    model.coefs_[1] = np.full((8, 1), 0.5)
    assert (model.predict(XR) == 5).all()
    model.fit(XR, YR)
    assert (before[0] == 0).all()  # a new fit has arrays of its own


def test_to_sklearn_returns_a_fitted_stock_estimator():
    cases = [
        (MLPClassifier(**FAST, early_stopping=True), X, NAMES[Y]),
        (MLPClassifier(**FAST, dropout=0.2, activation=["sigmoid"]), X, Y == 1),
        (MLPRegressor("huber", **FAST, solver=fnn.SGD(lr=0.01)), XR, YR),
        (MLPRegressor("poisson", **FAST), XR, np.abs(YR)),
        (MLPRegressor(**FAST | {"solver": "lbfgs"}), XR, np.column_stack([YR, YR])),
    ]
    for model, x, y in cases:
        stock = model.fit(x, y).to_sklearn()
        assert type(stock).__module__.startswith("sklearn.")
        output = "predict_proba" if hasattr(stock, "predict_proba") else "predict"
        np.testing.assert_allclose(getattr(stock, output)(x), getattr(model, output)(x), rtol=1e-9)
        assert stock.score(x, y) == pytest.approx(model.score(x, y))
        assert all("fastnn" not in type(value).__module__ for value in vars(stock).values())
        pickle.loads(pickle.dumps(stock))
        if stock.solver != "lbfgs" and not stock.early_stopping:
            stock.partial_fit(x, y)
        stock.set_params(warm_start=True).fit(x, y)


def test_to_sklearn_refuses_activations_that_scikit_learn_has_not():
    for activation in ("gelu", ("relu", "tanh")):
        with pytest.raises(ValueError, match="to_sklearn: activation is"):
            MLPClassifier((4, 4), activation, max_iter=2).fit(X, Y).to_sklearn()


def test_a_stock_estimators_fit_is_gone_on_with():
    """As where a pickle was written by scikit-learn and is read after ``patch``."""
    stock = sklearn.neural_network.MLPClassifier(**FAST).fit(X, Y)
    model = MLPClassifier(**FAST)
    vars(model).update(copy.deepcopy(vars(stock)))
    np.testing.assert_allclose(model.predict_proba(X), stock.predict_proba(X), rtol=1e-12)


# ------------------------------------------------------------------------------------------------------------------ tools


def test_several_processes_get_one_thread_each_and_the_same_scores():
    model = make_pipeline(StandardScaler(), MLPClassifier(**FAST))
    alone = cross_val_score(model, X, Y, cv=3)
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        np.testing.assert_array_equal(cross_val_score(model, X, Y, cv=3), alone)
        assert joblib.Parallel()(joblib.delayed(fnn.get_num_threads)() for _ in range(2)) == [1, 1]


def test_a_grid_search_finds_its_way():
    grid = {"mlpclassifier__hidden_layer_sizes": [(2,), (8,)], "mlpclassifier__solver__lr": [1e-6, 0.05]}
    model = make_pipeline(StandardScaler(), MLPClassifier(solver=fnn.AdamW(), max_iter=15, random_state=0))
    search = GridSearchCV(model, grid, cv=3).fit(X, Y)
    assert search.best_params_["mlpclassifier__solver__lr"] == 0.05
    assert search.best_estimator_.score(X, Y) > 0.9


def test_weights_are_routed():
    set_config(enable_metadata_routing=True)
    try:
        model = MLPRegressor(**FAST).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weight = np.random.RandomState(0).random_sample(len(XR))
        routed = cross_val_score(model, XR, YR, cv=3, params={"sample_weight": weight})
    finally:
        set_config(enable_metadata_routing=False)
    assert not np.array_equal(routed, cross_val_score(MLPRegressor(**FAST), XR, YR, cv=3))


def test_threads_fit_and_predict_at_once():
    expected = [MLPClassifier(**FAST | {"random_state": seed}).fit(X, Y).predict_proba(X) for seed in range(8)]

    def fit(seed):
        return MLPClassifier(**FAST | {"random_state": seed}).fit(X, Y)

    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(fit, range(8)))
        copies = [pickle.loads(pickle.dumps(models[0]))] * 8
        for model, output in zip(models, expected, strict=True):
            np.testing.assert_array_equal(model.predict_proba(X), output)
        for output in pool.map(lambda model: model.predict_proba(X), copies):
            np.testing.assert_array_equal(output, expected[0])


def test_a_training_that_diverges_says_so_once():
    model = MLPRegressor(solver="sgd", learning_rate_init=1e9, max_iter=5, activation="identity")
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        model.fit(XR, YR)


def test_rows_that_weigh_nothing_change_nothing():
    weight = np.repeat([1.0, 0.0], [60, 60])
    params = FAST | {"shuffle": False, "batch_size": 30, "alpha": 0.0, "solver": "sgd"}
    model = MLPRegressor(**params).fit(XR, YR, sample_weight=weight)
    other = MLPRegressor(**params).fit(XR[:60], YR[:60])
    for one, two in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_sparse_labels_of_several_kinds_are_trained_on():
    x, y = datasets.make_multilabel_classification(60, random_state=0)
    model = MLPClassifier(**FAST).fit(x, y)
    other = MLPClassifier(**FAST).fit(x, sparse.csr_matrix(y))
    np.testing.assert_array_equal(other.predict(x).toarray(), model.predict(x))


# ------------------------------------------------------------------------------------------------------------------ patch


def test_patch_replaces_scikit_learns_own_and_unpatch_brings_them_back():
    stock = sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor
    try:
        patch()
        patch()
        assert sklearn.neural_network.MLPClassifier is MLPClassifier
        assert sklearn.neural_network.MLPRegressor is MLPRegressor
        assert isinstance(MLPClassifier(**FAST).fit(X, Y).to_sklearn(), stock[0])
    finally:
        unpatch()
    assert (sklearn.neural_network.MLPClassifier, sklearn.neural_network.MLPRegressor) == stock


def test_a_script_is_run_with_fastnns_estimators(tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, beside\nfrom sklearn.neural_network import MLPClassifier\n"
        "print(MLPClassifier.__module__, beside.NAME, __name__, sys.argv[1:])\n"
    )
    command = [sys.executable, "-m", "fastnn.sklearn"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run([*command, script, "a", "-b"], cwd=elsewhere, capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "fastnn.sklearn.estimators beside __main__ ['a', '-b']\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m fastnn.sklearn script.py [arguments]"),
        (["none.py"], "fastnn.sklearn: none.py is no file"),
    ],
    ids=str,
)
def test_a_script_that_is_not_there_is_one_line(arguments, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fastnn.sklearn", *arguments])
    with pytest.raises(SystemExit, match="^" + re.escape(said) + "$"):
        runpy.run_module("fastnn.sklearn", run_name="__main__")


def test_without_scikit_learn_the_error_says_what_to_install(tmp_path):
    code = "import sys\nsys.modules['sklearn'] = None\nimport fastnn\nfastnn.sklearn"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    said = "ImportError: fastnn.sklearn needs scikit-learn: pip install 'fastnn-kernels[sklearn]'"
    assert done.stderr.splitlines()[-1] == said


def test_ctrl_c_ends_a_training_that_keeps_what_it_has(monkeypatch):
    model = MLPClassifier(**FAST | {"max_iter": 50})
    ended = MLPClassifier._epoch_ended

    def interrupted(self, *arguments):
        if self.n_iter_ == 2:
            raise KeyboardInterrupt
        return ended(self, *arguments)

    monkeypatch.setattr(MLPClassifier, "_epoch_ended", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        model.fit(X, Y)
    assert len(model.loss_curve_) == 2


def test_what_is_told_is_scikit_learns(capsys):
    stock = sklearn.neural_network.MLPClassifier
    params = {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "early_stopping": True,
        "max_iter": 30,
        "n_iter_no_change": 2,
    }
    told = []
    for kind in (stock, MLPClassifier):
        kind(**params, random_state=0, verbose=True).fit(X, Y)
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "Setting learning rate to" in told[1]


def test_no_convergence_is_warned_of():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(5\) reached"):
        MLPClassifier(**FAST).fit(X, Y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        MLPClassifier(**FAST | {"solver": "lbfgs", "max_iter": 2}).fit(X, Y)
