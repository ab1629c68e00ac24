"""train_table and TableModel: from a table to predictions of it, and back from a file."""

import os
import tracemalloc
import warnings

import large_table
import numpy as np
import pytest

import fastnn as fnn
from fastnn import preprocessing
from fastnn.table.training import _folds


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
    return fnn.train_table(classified(), "y", preset="plain", epochs=15, seed=0)


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
    model = fnn.train_table(regressed(), "y", preset="plain", epochs=30, seed=0)
    new = regressed(seed=1)
    assert (model.task, model.classes) == ("regression", None)
    found = model.evaluate(new)
    assert found["r2"] > 0.95
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((model.predict(new) - new["y"]) ** 2)))
    with pytest.raises(ValueError, match="^predict_proba: 'y' is a number, which has no probabilities; use predict$"):
        model.predict_proba(new)


@pytest.mark.parametrize("rows", [20, 300])
@pytest.mark.parametrize("validation", [None, 0.2])
def test_the_default_recipe_predicts_within_the_range_of_its_targets(rows, validation, tmp_path):
    x = np.linspace(-1, 1, rows)
    model = fnn.train_table(
        {"x": x, "y": 1000 + 50 * x}, "y", task="regression", epochs=60, validation=validation, seed=0
    )
    far = {"x": [-1e3, -5, 5, 1e3]}
    for one in model.models:
        assert np.ptp(one(model.preprocessing.transform(far))) > 0, "a constant would stay within, too"
    model.save(tmp_path / "m")
    for predicted in (model.predict(far), fnn.load(tmp_path / "m").predict(far)):
        assert 950 - 1e-3 <= predicted.min() < predicted.max() <= 1050 + 1e-3


@pytest.mark.parametrize("unit", [2.0**-1040, 2.0**1010])
def test_targets_at_the_limits_are_predicted_in_their_units(unit):
    table = regressed(60)
    plain, extreme = (trained(table | {"y": table["y"] * scale}, task="regression")[0] for scale in (1.0, unit))
    np.testing.assert_allclose(extreme.predict(table), plain.predict(table) * unit, rtol=1e-5)


def test_equal_targets_are_predicted():
    model, _ = trained({"x": np.arange(30.0), "y": np.full(30, 2.5)}, preset="realmlp")
    assert np.isfinite(model.predict({"x": [1.0, 40.0]})).all()


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


# ------------------------------------------------------------------------------------------------ data it has to survive


def warned(call):
    """Return what a call returns, and the messages of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(one.message) for one in caught if one.category is UserWarning]


def trained(table, **options):
    options = {"preset": "plain", "epochs": 2, "seed": 0} | options
    return warned(lambda: fnn.train_table(table, "y", **options))


def test_numbers_that_are_no_numbers_are_survived():
    table = classified()
    table["x"][:3] = np.inf, -np.inf, np.nan
    model, said = trained(table)
    assert said == []
    assert np.isfinite(model.predict_proba(table)).all()
    table = regressed()
    table["x"][:3] = np.inf, -np.inf, np.nan
    model, said = trained(table)
    assert np.isfinite(model.predict(table)).all()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_without_a_target_are_left_out_and_said(task):
    table = classified() if task == "classification" else regressed()
    whole = {name: np.delete(values, [0, 7]) for name, values in table.items()}
    gaps = dict(table)
    gaps["y"] = np.array(table["y"], object)
    gaps["y"][[0, 7]] = None
    model, said = trained(gaps)
    assert said == ["2 rows of 300 without a value of 'y' (empty, NA, None, ? and the like) left out"]
    np.testing.assert_array_equal(model.predict(table), trained(whole)[0].predict(table))
    assert model.evaluate(gaps) == model.evaluate(whole)
    gaps["y"] = [None] * 300
    with pytest.raises(ValueError, match="^evaluate: the table has no row with a value of 'y'$"):
        model.evaluate(gaps)


def test_infinite_targets_are_left_out():
    table = regressed()
    table["y"][4] = np.inf
    model, said = trained(table)
    assert said == ["1 row of 300 without a value of 'y' (empty, NA, None, ? and the like) left out"]
    assert np.isfinite(model.predict(table)).all()


def test_a_class_of_one_row_is_survived():
    table = classified()
    table["y"][5] = "only"
    for options in ({}, {"validation": 0.2}):
        model, said = trained(table, **options)
        assert model.classes == ("bad", "good", "only")
        assert model.predict_proba(table).shape == (300, 3)
        assert np.isfinite(model.evaluate(table)["loss"])


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"x": [1, 2, 3], "y": ["a", "a", "a"]}, {}, "train_table: target 'y' is 'a' in each of 3 rows but two classes or more were expected; choose another column with --target, or add rows of another class"),
        ({"x": [1, 2], "y": [None, None]}, {}, "train_table: target 'y' of the table has no value in any of its 2 rows"),
        ({"x": [1, 2], "y": [1.5, None]}, {}, "train_table: the table has 1 row with a number in 'y' but two or more were expected"),
        ({"x": [1, 2], "y": ["a", "b"]}, {"task": "regression"}, "train_table: target 'y', row 1: 'a' but numbers were expected for regression; leave task to be recognised, or say classification"),
        ({"x": [1, 2], "y": [1.5, 2]}, {"task": "ranking"}, "train_table: task is 'ranking' but 'classification' or 'regression' was expected"),
        ({"x": [1, 2], "y": [1.5, 2]}, {"validation": 1.0}, "train_table: validation is 1.0 but a share between 0 and 1 was expected"),
        ({"x": [1, 1], "y": [1.5, 2]}, {}, "Preprocessing: the table has no column to learn from ('x': always 1)"),
        ({"x": [1, 2], "z": [1.5, 2]}, {}, "the table has no column 'y'; its columns: 'x', 'z'"),
        ({}, {}, "the table has no column 'y', as it has none"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_trained_on_get_one_line(table, options, message):
    with pytest.raises(ValueError) as caught:
        fnn.train_table(table, "y", **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "train_table: epochs is 0 but a positive integer was expected"),
        ({"epochs": 1.5}, ValueError, "train_table: epochs is 1.5 but a positive integer was expected"),
        ({"variance": "yes"}, TypeError, "train_table: variance is 'yes' but True or False was expected"),
        ({"seed": 1.5}, TypeError, "train_table: seed is 1.5 but an integer was expected"),
        ({"target": 3}, TypeError, "train_table: target is 3 but the name of a column, or an array of its values, was expected"),
        ({"target": None}, TypeError, "train_table: target is None but the name of a column, or an array of its values, was expected"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_get_one_line(options, error, message):
    with pytest.raises(error) as caught:
        fnn.train_table(regressed(20), **{"target": "y", "seed": 0} | options)
    assert str(caught.value) == message


def test_identifiers_and_leaks_are_warned_of():
    table = classified()
    table |= {"id": np.arange(300), "leak": np.where(table["y"] == "bad", "B", "G"), "line": np.arange(300)}
    model, said = trained(table)
    assert said == [
        "column 'line' numbers the rows: if it is an identifier leave it out, as new rows have other numbers",
        "column 'id' left out: an identifier: each row has another",
        "column 'leak' tells the target 'y' by itself: leave it out if it will not be known when predicting",
    ]
    assert "id" not in model.features
    table = regressed()
    table["copy"] = table["y"].copy()
    assert trained(table)[1] == [
        "column 'copy' tells the target 'y' by itself: leave it out if it will not be known when predicting"
    ]
    table["copy"][299] += 1
    assert trained(table)[1] == []


# -------------------------------------------------------------------------------------------------------- what the target is


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (np.tile([1, 2, 3], 20), "classification", (1, 2, 3)),
        (np.tile([1.0, 2.0, np.nan], 20), "classification", (1, 2)),
        (np.tile([True, False, True], 20), "classification", (False, True)),
        (["yes", "no", "no"] * 20, "classification", ("no", "yes")),
        (["b", "a", "é"] * 20, "classification", ("a", "b", "é")),
        (np.tile([-1, 1, 1], 20).astype(np.int8), "classification", (-1, 1)),
        (np.tile([0.5, 1.0, 2.0], 20), "regression", None),
        (np.arange(60) * 2, "regression", None),
        (np.tile(np.arange(30), 2), "regression", None),
    ],
)
def test_the_task_is_recognised(y, task, classes, tmp_path):
    table = {"x": np.random.default_rng(0).random(60), "y": y}
    model, _ = trained(table)
    assert (model.task, model.classes) == (task, classes)
    model.save(tmp_path / "m")
    loaded = fnn.load(tmp_path / "m")
    assert (loaded.task, loaded.classes) == (task, classes)
    predicted = loaded.predict(table)
    assert predicted.shape == (60,)
    if classes is not None:
        assert predicted.dtype == np.array(classes).dtype
        assert [type(one) for one in loaded.classes] == [type(one) for one in classes]
    found = loaded.evaluate(table)
    assert all(np.isfinite(value) for value in found.values())


def test_a_seed_may_be_any_of_64_bits():
    table = regressed(20)
    one, same, other = (trained(table, seed=seed)[0].predict(table) for seed in (2**64 - 1, 2**64 - 1, 0))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_task_may_be_said():
    table = {"x": np.random.default_rng(0).random(60), "y": np.tile([1, 2, 3], 20)}
    assert trained(table, task="regression")[0].task == "regression"
    table["y"] = np.arange(60) // 2
    assert trained(table, task="classification")[0].classes == tuple(range(30))


def test_a_class_that_training_did_not_see_is_named():
    model, _ = trained(classified())
    new = classified(seed=1)
    new["y"][3] = "ugly"
    with pytest.raises(
        ValueError, match=r"^evaluate: target 'y', row 4: 'ugly' is none of the classes of the training \(bad, good\)$"
    ):
        model.evaluate(new)


def test_the_target_may_be_an_array_beside_the_table():
    table = classified()
    y = table.pop("y")
    model, _ = warned(lambda: fnn.train_table(table, y, preset="plain", epochs=2, seed=0))
    assert model.evaluate(table, y) == model.evaluate(table | {"target": y})
    with pytest.raises(ValueError, match="^train_table: target has 299 rows but the table has 300$"):
        fnn.train_table(table, y[1:])


# -------------------------------------------------------------------------------------------------------------- the split


def test_each_row_is_held_out_once_and_classes_are_spread_evenly():
    codes = np.repeat([0, 1, 2], [50, 30, 7])
    order, parts = _folds(codes, 87, None, 0)
    np.testing.assert_array_equal(order, np.arange(87))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(87))
    counts = np.array([np.bincount(codes[part], minlength=3) for part in parts])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert [part.tolist() for part in _folds(codes, 87, None, 0)[1]] == [part.tolist() for part in parts]
    assert [part.tolist() for part in _folds(codes, 87, None, 1)[1]] != [part.tolist() for part in parts]


@pytest.mark.parametrize("rows", [2, 3, 10, 4001])
@pytest.mark.parametrize("labels", [None, 2])
def test_one_part_that_is_held_out_comes_last(rows, labels):
    codes = None if labels is None else np.arange(rows) % labels
    order, (held,) = _folds(codes, rows, 0.3, 0)
    np.testing.assert_array_equal(np.sort(order), np.arange(rows))
    np.testing.assert_array_equal(held, np.arange(rows - len(held), rows))
    assert 1 <= len(held) < rows
    assert abs(len(held) - 0.3 * rows) <= 1


def test_statistics_are_of_the_rows_to_train_on():
    table = regressed()
    order, (held,) = _folds(None, 300, 0.2, 0)
    kept = order[: 300 - len(held)]
    table["x"][order[len(kept) :]] = 1e6
    model, _ = trained(table, validation=0.2)
    want = fnn.Preprocessing().fit({name: values[kept] for name, values in table.items() if name != "y"})
    assert model.preprocessing.describe() == want.describe()


# ----------------------------------------------------------------------------------------------------------- large tables


def test_training_makes_one_float32_copy_of_a_large_table(monkeypatch):
    """``make large`` trains on a million rows, with a limit for the whole process."""
    monkeypatch.setattr(preprocessing, "_PIECE", 1000)  # as small beside these tables as it is beside large ones

    def peak(rows):
        x, y = large_table.table(rows, 100)
        tracemalloc.start()
        try:
            fnn.train_table(x, y, preset="plain", epochs=1, seed=0, verbose=False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    fnn.train_table(*large_table.table(100, 2), preset="plain", epochs=1, verbose=False)  # imports take memory too
    assert peak(15_000) - peak(5_000) < 5.5 * 10_000 * 100, "4 bytes a number, and some for the rows"


# ------------------------------------------------------------------------------------------------------------------ files


def refusal(call):
    """Return the message of the ValueError that a call raises, or None."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def test_files_with_flipped_bytes_are_loaded_or_refused(model, tmp_path):
    """``make fuzz`` tries 10,000."""
    flips = int(os.environ.get("FASTNN_FLIPS", 400))
    path, rng, loaded = tmp_path / "m", np.random.default_rng(flips), 0
    model.save(path)
    good, table = path.read_bytes(), classified(20)
    header = 8 + int.from_bytes(good[:8], "little")
    for _ in range(flips):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(header)] = rng.choice(list(b'0123456789[]{},:"-+.eE'))
        path.write_bytes(data)
        message = refusal(lambda: fnn.load(path))
        assert message is None or message.startswith(f"load: {path}: ")
        assert "\n" not in str(message)
        if message is None:
            loaded += 1
            message = refusal(lambda: fnn.load(path).predict_proba(table))
            assert message is None or message.startswith("transform: "), "a column has another name now"
    assert 0 < loaded < flips


def test_a_file_without_its_networks_is_refused(model, tmp_path):
    path = tmp_path / "m"
    model.save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"architectures"', b'"architectureX"'))
    with pytest.raises(ValueError, match=f"^load: {path}: the table in the file is not fastnn's, or does not fit: "):
        fnn.load(path)
