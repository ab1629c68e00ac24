"""How sure predictions of tables are: quantiles, variances, intervals, probabilities."""

import json
import math

import numpy as np
import pytest

import fastnn as fnn
from fastnn.table.uncertainty import Head, best_temperature


def noisy(rows=500, seed=0):
    """A table whose target has noise that grows with one of its numbers."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (rows, 3))
    y = 100 + 20 * x[:, 0] - 10 * x[:, 2] ** 2 + (1 + 4 * (x[:, 1] > 0)) * rng.normal(size=rows)
    return {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}


def train(table, **options):
    return fnn.train_table(table, "y", seed=0, verbose=False, **options)


# ---------------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("kind", [{}, {"variance": True}, {"quantiles": (0.1, 0.5, 0.9)}])
@pytest.mark.parametrize("interval", [0.5, 0.8, 0.9])
def test_of_rows_that_are_alike_each_left_out_in_turn_the_stated_share_is_covered(kind, interval):
    head, rng, n = Head(**kind), np.random.default_rng(0), 41
    outputs, y, covered = rng.normal(size=(n, head.outputs)), rng.normal(size=n), 0
    outputs = head.combined([outputs])
    for i in range(n):
        others = np.arange(n) != i
        head.calibrate(outputs[others], y[others])
        low, high = head.bounds(outputs[[i]], interval)[0]
        assert low <= high
        covered += low <= y[i] <= high
    assert math.ceil(n * interval) <= covered <= math.ceil(n * interval) + 1


def test_too_few_rows_for_an_interval_are_refused_with_their_number():
    head = Head()
    head.calibrate(np.zeros((8, 1)), np.arange(8.0))
    with pytest.raises(
        ValueError, match="^predict: an interval of 0.9 needs at least 9 rows held out in training but there were 8$"
    ):
        head.bounds(np.zeros((1, 1)), 0.9)
    head.calibrate(np.zeros((9, 1)), np.arange(9.0))
    np.testing.assert_array_equal(head.bounds(np.ones((1, 1)), 0.9), [[-7, 9]])


def test_intervals_of_a_million_rows_keep_a_share_of_the_scores():
    head = Head()
    head.calibrate(np.zeros((1_000_000, 1)), np.arange(1_000_000.0))
    assert len(head.scores) == 10_000
    np.testing.assert_allclose(head.bounds(np.zeros((1, 1)), 0.9), [[-900_000, 900_000]], rtol=1e-3)


@pytest.mark.parametrize(
    ("interval", "kind"), [(1.0, ValueError), (0, ValueError), ("90%", TypeError), (True, TypeError)]
)
def test_an_interval_that_is_no_probability_is_refused(interval, kind):
    with pytest.raises(kind, match="^predict: interval is "):
        Head().bounds(np.zeros((1, 1)), interval)


def test_classes_have_no_intervals():
    with pytest.raises(
        ValueError, match="^predict: interval is for regression; predict_proba tells how sure a class is$"
    ):
        Head(2).bounds(np.zeros((1, 2)), 0.9)


@pytest.mark.parametrize("options", [{}, {"variance": True}, {"quantiles": (0.05, 0.5, 0.95)}, {"validation": 0.3}])
def test_intervals_cover_new_rows_in_the_units_of_the_target(options):
    model, new = train(noisy(), preset="plain", epochs=40, **options), noisy(2000, seed=1)
    predicted, bounds = model.predict(new, interval=0.9)
    assert len(predicted) == 2000
    assert bounds.shape == (2000, 2)
    np.testing.assert_array_equal(predicted, model.predict(new))
    low, high = bounds.T
    assert 0.85 < ((low <= new["y"]) & (new["y"] <= high)).mean() < 0.95
    width = high - low
    ratio = width[new["b"] > 0.1].mean() / width[new["b"] < -0.1].mean()
    assert ratio > 1.5 if "variance" in options or "quantiles" in options else ratio == pytest.approx(1)


# --------------------------------------------------------------------------------------------------- quantiles and variances


def test_quantiles_never_cross():
    head, rng = Head(quantiles=(0.1, 0.2, 0.5, 0.9)), np.random.default_rng(0)
    outputs = [rng.normal(size=(50, 4)) for _ in range(3)]
    combined = head.combined(outputs)
    assert (np.diff(combined, axis=1) >= 0).all()
    np.testing.assert_allclose(combined.sum(axis=1), np.mean(outputs, axis=0).sum(axis=1))


def test_each_quantile_lies_above_its_share_of_new_rows():
    quantiles, new = (0.1, 0.5, 0.9), noisy(2000, seed=1)
    model = train(noisy(), preset="plain", epochs=40, quantiles=quantiles)
    predicted = model.predict(new)
    assert predicted.shape == (2000, 3)
    assert (np.diff(predicted, axis=1) >= 0).all()
    np.testing.assert_allclose((new["y"][:, None] <= predicted).mean(axis=0), quantiles, atol=0.08)
    rmse = np.sqrt(np.mean((predicted[:, 1] - new["y"]) ** 2))
    assert model.evaluate(new)["rmse"] == pytest.approx(rmse)


def test_the_standard_deviation_of_each_row_is_found():
    model, new = train(noisy(), preset="plain", epochs=40, variance=True), noisy(2000, seed=1)
    predicted, std = model.predict(new, return_std=True)
    assert predicted.shape == std.shape == (2000,)
    assert 3.5 < std[new["b"] > 0.1].mean() < 7
    assert 0.7 < std[new["b"] < -0.1].mean() < 3
    both = model.predict(new, interval=0.8, return_std=True)
    assert [part.shape for part in both] == [(2000,), (2000, 2), (2000,)]


def test_the_variance_of_several_networks_is_that_of_their_mixture():
    rng = np.random.default_rng(0)
    networks = [np.stack([rng.normal(size=2), rng.normal(size=2)], axis=1) for _ in range(3)]
    drawn = np.concatenate([one[0, 0] + np.exp(one[0, 1] / 2) * rng.normal(size=200_000) for one in networks])
    mean, log_variance = Head(variance=True).combined(networks)[0]
    assert mean == pytest.approx(drawn.mean(), abs=0.01)
    assert math.exp(log_variance) == pytest.approx(drawn.var(), rel=0.01)


@pytest.mark.parametrize(("quantiles", "kind"), [((), ValueError), ((0.5, 0.1), ValueError), ((0.5, 1.0), ValueError), (0.5, TypeError), ("ab", TypeError)])  # fmt: skip
def test_quantiles_that_are_none_are_refused(quantiles, kind):
    with pytest.raises(kind, match="^train_table: quantiles is "):
        Head(quantiles=quantiles)


def test_kinds_of_uncertainty_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="^train_table: pass at most one of quantiles and variance$"):
        Head(quantiles=(0.5,), variance=True)
    with pytest.raises(ValueError, match="^train_table: quantiles and variance are for regression but the target has "):
        Head(2, variance=True)
    model = train(noisy(60), preset="plain", epochs=1)
    with pytest.raises(ValueError, match="^predict: return_std needs a model of both, trained with variance=True$"):
        model.predict(noisy(3), return_std=True)


# -------------------------------------------------------------------------------------------------------------- temperature


def negative_log_likelihood(p, labels, temperature):
    powers = p ** (1 / temperature)
    return -np.log((powers / powers.sum(axis=1, keepdims=True))[np.arange(len(p)), labels]).sum()


@pytest.mark.parametrize("wrong", [0.5, 1.0, 3.0])
def test_the_temperature_makes_up_for_logits_that_are_too_large_or_too_small(wrong):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random(4000)[:, None] > p.cumsum(axis=1)).sum(axis=1)
    given = p**wrong / (p**wrong).sum(axis=1, keepdims=True)
    found = best_temperature(given, labels)
    assert found == pytest.approx(wrong, rel=0.06)
    best = negative_log_likelihood(given, labels, found)
    assert all(negative_log_likelihood(given, labels, found * factor) > best for factor in (0.9, 1.1))
    head = Head(3)
    head.calibrate(given, labels)
    assert np.abs(head.combined([given]) - p).max() < 0.03


def test_a_few_rows_that_are_all_right_do_not_make_every_prediction_sure():
    p = np.full((10, 2), [0.7, 0.3])
    temperature = best_temperature(p, np.zeros(10, int))
    assert 0.2 < temperature < 1
    assert best_temperature(np.array([[1.0, 0.0]] * 5), np.array([0, 0, 0, 0, 1])) <= 5.0001


def test_a_head_comes_back_from_its_description():
    outputs, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30.0)
    for head in (Head(), Head(quantiles=(0.2, 0.8)), Head(variance=True)):
        head.calibrate(outputs[:, : head.outputs], y)
        again = Head.of(json.loads(json.dumps(head.describe())))
        np.testing.assert_array_equal(again.bounds(outputs, 0.8), head.bounds(outputs, 0.8))
        assert again.describe() == head.describe()


@pytest.mark.parametrize(("key", "value"), [
    ("classes", -1), ("classes", "two"), ("variance", 1), ("temperature", 0.0), ("temperature", float("nan")), ("quantiles", [2.0]),
    ("scores", [2.0, 1.0]), ("scores", [float("inf")]), ("scores", "abc"), ("quantiles", {}),
])  # fmt: skip
def test_a_damaged_description_is_refused(key, value):
    with pytest.raises((ValueError, TypeError)):
        Head.of(Head().describe() | {key: value})


def test_a_model_with_intervals_comes_back_from_its_file(tmp_path):
    for i, options in enumerate(({}, {"quantiles": (0.1, 0.9)}, {"variance": True})):
        model, new = train(noisy(100), preset="plain", epochs=2, **options), noisy(20, seed=1)
        model.save(tmp_path / f"{i}.safetensors")
        loaded = fnn.load(tmp_path / f"{i}.safetensors")
        for a, b in zip(loaded.predict(new, interval=0.9), model.predict(new, interval=0.9), strict=True):
            np.testing.assert_array_equal(a, b)
