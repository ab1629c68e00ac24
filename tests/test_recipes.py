"""What is trained on tables: the recipes and their folds."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.preprocessing import Layout
from fastnn.table import recipes
from fastnn.table.uncertainty import Head

LAYOUTS = [Layout(3, 2, (9, 12)), Layout(3, 0, ()), Layout(0, 4, ()), Layout(0, 0, (10,)), Layout(0, 1, (10,))]
HEADS = [Head(3), Head(2), Head(), Head(quantiles=(0.1, 0.5, 0.9)), Head(variance=True)]


def rows_of(layout, head, rows=40, seed=0):
    """Random columns and targets."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(rows, layout.numeric)), rng.integers(0, 2, (rows, layout.one_hot))]
    parts += [rng.integers(0, size, (rows, 1)) for size in layout.embedded]
    y = rng.integers(0, head.classes, rows) if head.classes else rng.normal(size=(rows, 1)).astype(np.float32)
    return np.hstack(parts).astype(np.float32), y


@pytest.mark.parametrize("preset", recipes.PRESETS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_recipe_is_trained_by_the_compiled_network(preset, layout):
    for head in HEADS:
        x, y = rows_of(layout, head)
        recipe = recipes.recipe(preset, layout, head, rows=len(x), seed=0)
        trainer = fnn.Trainer(recipe.model, **recipe.trainer, seed=0)
        trainer.fit(x, y, **recipe.fit | {"epochs": 1}, verbose=False)
        assert "layer by layer" not in repr(trainer)
        assert trainer.predict(x).shape == (len(x), head.outputs)


@pytest.mark.parametrize("preset", recipes.PRESETS)
def test_rows_held_out_are_predicted_by_the_network_that_has_not_seen_them(preset):
    head, layout = Head(2), Layout(2, 0, ())
    x, y = rows_of(layout, head, 50)
    folds = [np.arange(i, 50, 3) for i in range(3)]
    fitted = recipes.fit(x, y, layout, head, preset=preset, folds=folds, epochs=3, seed=1, verbose=False)
    assert sorted(fitted.held.tolist()) == list(range(50))
    assert len(fitted.models) == 3
    for model, held in zip(fitted.models, folds, strict=True):
        places = np.flatnonzero(np.isin(fitted.held, held))
        np.testing.assert_array_equal(fitted.held[places], held)
        np.testing.assert_array_equal(fitted.outputs[places], recipes.outputs([model], x[held])[0])


def test_a_network_depends_on_its_own_rows_alone():
    head, layout = Head(), Layout(2, 0, ())
    x, y = rows_of(layout, head, 40)
    held = np.arange(30, 40)

    def weights(x):
        fitted = recipes.fit(x, y, layout, head, preset="realmlp", folds=[held], epochs=1, seed=0, verbose=False)
        return np.concatenate([array.ravel() for array in fitted.models[0].state_dict().values()])

    np.testing.assert_array_equal(weights(np.where(np.arange(40)[:, None] < 30, x, x + 1)), weights(x))
    assert (weights(np.where(np.arange(40)[:, None] < 29, x, x + 1)) != weights(x)).any()


def friedman(rows, seed):
    """Friedman's first function, of 1991; five of ten numbers matter."""
    x = np.random.default_rng(seed).uniform(size=(rows, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return {**{f"x{i}": x[:, i] for i in range(10)}, "y": y + np.random.default_rng(seed + 1).normal(size=rows)}


def test_the_default_finds_what_is_not_linear():
    model, new = fnn.train_table(friedman(400, 0), "y", seed=0, verbose=False), friedman(1000, 2)
    assert model.preset == recipes.DEFAULT
    x = np.stack([new[f"x{i}"] for i in range(10)] + [np.ones(1000)], axis=1)
    linear = x @ np.linalg.lstsq(x, new["y"], rcond=None)[0]  # which has even seen the new rows
    assert model.evaluate(new)["rmse"] < 0.65 * np.sqrt(np.mean((linear - new["y"]) ** 2))


def test_the_default_finds_classes_that_no_line_separates():
    def spirals(rows, seed):
        rng = np.random.default_rng(seed)
        angle, side = rng.uniform(0.5, 2.5 * np.pi, rows), rng.integers(0, 2, rows)
        turned = angle + np.pi * side
        x = angle[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=1) + 0.3 * rng.normal(size=(rows, 2))
        return {"a": x[:, 0], "b": x[:, 1], "y": np.array(["left", "right"])[side]}

    model = fnn.train_table(spirals(600, 0), "y", seed=0, verbose=False)
    assert model.evaluate(spirals(1000, 1))["accuracy"] > 0.95


@pytest.mark.parametrize("rows", [2, 3, 7, 20])
@pytest.mark.parametrize("preset", recipes.PRESETS)
def test_tables_of_few_rows_are_trained_on(preset, rows):
    table = {"x": np.arange(rows) / 3, "y": np.arange(rows) * 1.5}
    model = fnn.train_table(table, "y", preset=preset, epochs=2, task="regression", seed=0, verbose=False)
    assert np.isfinite(model.predict(table)).all()


def test_the_same_seed_trains_the_same_model():
    one, two, other = (fnn.train_table(friedman(60, 0), "y", epochs=2, seed=s, verbose=False) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.predict(friedman(9, 1)), two.predict(friedman(9, 1)))
    assert (one.predict(friedman(9, 1)) != other.predict(friedman(9, 1))).any()
