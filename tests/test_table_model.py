"""train_table and TableModel: from a table to predictions of it, and back from a file."""

import numpy as np
import pytest

import fastnn as fnn


def classified(rows=300, seed=0):
    """A table whose target, a word, follows from a number and a category; with missing values and more categories than are one-hot."""
    rng = np.random.default_rng(seed)
    x, colour = rng.normal(size=rows), rng.choice(["red", "green", "blue"], rows)
    target = np.where((x > 0) ^ (colour == "red"), "good", "bad")
    x[rng.random(rows) < 0.1] = np.nan
    city = [f"city {i}" for i in rng.integers(0, 12, rows)]
    return {"x": x, "colour": colour, "city": city, "flag": rng.random(rows) < 0.5, "y": target}


def regressed(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=rows), rng.choice(["a", "b"], rows)
    return {"x": x, "group": group, "y": 1000 + 50 * x + 20 * (group == "a") + rng.normal(size=rows)}


@pytest.fixture(scope="module")
def model():
    return fnn.train_table(classified(), "y", epochs=15, seed=0)


def test_classes_are_learned(model):
    new = classified(seed=1)
    assert (model.task, model.classes, model.target) == ("classification", ("bad", "good"), "y")
    assert model.features == ("x", "colour", "city", "flag")
    assert model.evaluate(new)["accuracy"] > 0.8
    predicted, p = model.predict(new), model.predict_proba(new)
    np.testing.assert_array_equal(predicted, np.array(model.classes)[p.argmax(axis=1)])
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert model.evaluate(new)["accuracy"] == pytest.approx((predicted == new["y"]).mean())


def test_numbers_are_predicted_in_their_units():
    model = fnn.train_table(regressed(), "y", epochs=30, seed=0)
    new = regressed(seed=1)
    assert (model.task, model.classes) == ("regression", None)
    found = model.evaluate(new)
    assert found["r2"] > 0.95
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((model.predict(new) - new["y"]) ** 2)))
    with pytest.raises(ValueError, match="^predict_proba: 'y' is a number, which has no probabilities; use predict$"):
        model.predict_proba(new)


def test_a_model_comes_back_from_its_file(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    loaded, new = fnn.load(tmp_path / "m.safetensors"), classified(seed=1)
    np.testing.assert_array_equal(loaded.predict_proba(new), model.predict_proba(new))
    assert (loaded.target, loaded.task, loaded.classes, loaded.features, loaded.preset) == (
        model.target,
        model.task,
        model.classes,
        model.features,
        model.preset,
    )


def test_the_order_of_columns_does_not_matter_and_a_missing_one_is_named(model):
    new = classified(seed=1)
    shuffled = {name: new[name] for name in ("extra", "flag", "colour", "x", "city") if name in new}
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(new))
    del shuffled["colour"]
    with pytest.raises(ValueError, match="^transform: the table has no column 'colour'; "):
        model.predict(shuffled | {"color": new["colour"]})
