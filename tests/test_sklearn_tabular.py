"""train_table inside estimators of scikit-learn."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastnn as fnn
from fastnn.sklearn import TabularClassifier, TabularRegressor


def mixed(rows=120, seed=0):
    """An array of texts, numbers and missing values, classes, and numbers to predict."""
    rng = np.random.default_rng(seed)
    colour, number = rng.choice(["red", "green", "blue"], rows), rng.normal(size=rows)
    side = (number > 0) ^ (colour == "red")
    x = np.stack([colour.astype(object), np.where(rng.random(rows) < 0.05, None, number)], axis=1)
    return x, np.where(side, "yes", "no"), 10 * number + 5 * (colour == "red") + 0.1 * rng.normal(size=rows)


@parametrize_with_checks([
    TabularClassifier("plain", epochs=60, validation=0.2, random_state=0),
    TabularRegressor("plain", epochs=60, validation=0.2, random_state=0),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_texts_and_missing_values_are_learned_from():
    (x, y, _), (new, truth, _) = mixed(300), mixed(300, seed=1)
    classifier = TabularClassifier(random_state=0).fit(x, y)
    assert classifier.score(new, truth) > 0.9
    assert classifier.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(
        classifier.predict(new), classifier.classes_[classifier.predict_proba(new).argmax(axis=1)]
    )


def test_a_regressor_predicts_intervals_and_deviations():
    (x, _, y), (new, _, truth) = mixed(300), mixed(300, seed=1)
    regressor = TabularRegressor("plain", epochs=20, variance=True, random_state=0).fit(x, y)
    assert regressor.score(new, truth) > 0.7
    predicted, bounds, std = regressor.predict(new, interval=0.8, return_std=True)
    np.testing.assert_array_equal(predicted, regressor.predict(new))
    assert bounds.shape == (300, 2)
    assert (std > 0).all()


def test_it_works_in_pipelines_searches_copies_and_pickles():
    x, y, _ = mixed()
    fast = TabularClassifier("plain", epochs=3, validation=0.2, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(), fast)
    assert len(cross_val_score(pipeline, x, y, cv=3)) == 3
    search = GridSearchCV(fast, {"preset": ["plain", "realmlp"]}, cv=2).fit(x, y)
    assert search.best_params_["preset"] in ("plain", "realmlp")
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(x), search.predict_proba(x))
    assert clone(fast).get_params() == fast.get_params()


def test_the_model_inside_is_saved_and_loaded(tmp_path):
    x, y, _ = mixed()
    classifier = TabularClassifier("plain", epochs=3, random_state=0).fit(x, y)
    classifier.model_.save(tmp_path / "m.safetensors")
    loaded = fnn.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(x), classifier.predict_proba(x))


def test_frames_keep_their_names():
    pandas = pytest.importorskip("pandas")
    x, y, _ = mixed()
    frame = pandas.DataFrame({"colour": x[:, 0], "number": x[:, 1].astype(float)})
    classifier = TabularClassifier("plain", epochs=3, random_state=0).fit(frame, y)
    assert classifier.feature_names_in_.tolist() == ["colour", "number"]
    assert classifier.model_.features == ("colour", "number")
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame.rename(columns={"number": "n"}))


def test_a_row_without_a_class_is_named():
    x, y, _ = mixed(20)
    y = y.astype(object)
    y[3] = None
    with pytest.raises(
        ValueError, match="^TabularClassifier: y has no class in row 4; leave out rows without a class$"
    ):
        TabularClassifier("plain").fit(x, y)


def test_texts_mean_what_they_meant_in_fit():
    pandas = pytest.importorskip("pandas")
    cells = ["01", "2", "x", "7"] * 10
    for x in (np.array(cells, object)[:, None], pandas.DataFrame({"c": cells})):
        classifier = TabularClassifier("plain", epochs=30, validation=0.2, random_state=0).fit(
            x, ["u", "v", "v", "u"] * 10
        )
        want = classifier.predict_proba(x)
        for rows in ([0], [0, 1], [1, 3], [3]):
            new = x.iloc[rows] if hasattr(x, "iloc") else x[rows]
            np.testing.assert_array_equal(classifier.predict_proba(new), want[rows])


def test_structured_arrays_have_features_with_names():
    x, y, _ = mixed(40)
    rows = np.array(
        [(colour, np.nan if number is None else number) for colour, number in x], [("colour", "U5"), ("number", "f8")]
    )
    classifier = TabularClassifier("plain", epochs=2, validation=0.2, random_state=0).fit(rows, y)
    assert (classifier.n_features_in_, classifier.feature_names_in_.tolist()) == (2, ["colour", "number"])
    np.testing.assert_array_equal(classifier.predict_proba(rows[["number", "colour"]]), classifier.predict_proba(rows))
    with pytest.raises(ValueError, match="^transform: the table has no column 'number'; its columns: 'colour'$"):
        classifier.predict(rows[["colour"]])


def test_columns_without_the_names_of_fit_are_taken_by_position():
    pandas = pytest.importorskip("pandas")
    x, y, _ = mixed(40)
    frame = pandas.DataFrame(x, columns=["colour", "number"])
    numbered = pandas.DataFrame(x)
    fits = {"frame": frame, "numbered": numbered, "array": x}
    for name, given in fits.items():
        classifier = TabularClassifier("plain", epochs=2, validation=0.2, random_state=0).fit(given, y)
        want = classifier.predict_proba(given)
        for other, new in fits.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                np.testing.assert_array_equal(classifier.predict_proba(new), want)
            assert len(caught) == (name != other and "frame" in (name, other)), (
                "scikit-learn warns of names on one side"
            )
        with pytest.raises(ValueError, match="X has 1 features, but TabularClassifier is expecting 2 features"):
            classifier.predict(x[:, :1])
