"""Periodic and PiecewiseLinear: formulas, bits, statistics, training."""

import numpy as np
import pytest
from support import layouts, refused

import fastnn as fnn


def cos_and_sin(t):
    layer = fnn.Periodic(1, 1, dtype=t.dtype)
    layer.load_state_dict({"weight": np.ones((1, 1))})
    y = layer(t[:, None])
    return y[:, 0, 0], y[:, 0, 1]


def test_cosines_and_sines_of_turns(dtype):
    rng = np.random.default_rng(0)
    t = np.concatenate([np.arange(-24, 25) / 8, rng.uniform(-3, 3, 20000), rng.uniform(-1e4, 1e4, 2000)]).astype(dtype)
    cos, sin = cos_and_sin(t)
    assert cos.dtype == sin.dtype == dtype
    exact = t.astype(np.longdouble) - np.rint(t.astype(np.longdouble))
    pi = np.longdouble("3.14159265358979323846264338327950288")
    tolerance = {"rtol": 2.5 * np.finfo(dtype).eps, "atol": 1e-19}
    np.testing.assert_allclose(sin, np.sin(2 * pi * exact), **tolerance)
    away = np.abs(np.abs(exact) - np.longdouble(0.25)) > 1e-3  # where pi itself would be too short
    np.testing.assert_allclose(cos[away], np.cos(2 * pi * exact)[away], **tolerance)
    quarters = np.array([0, 0.25, 0.5, 0.75, 1, -0.25, 1e6], dtype)
    np.testing.assert_array_equal(cos_and_sin(quarters)[0], [1, 0, -1, 0, 1, 0, 1])
    np.testing.assert_array_equal(cos_and_sin(quarters)[1], [0, 1, 0, -1, 0, -1, 0])
    assert np.isnan(cos_and_sin(np.array([np.nan, np.inf, -np.inf], dtype))).all()


def test_periodic_is_the_papers_formula(dtype):
    layer = fnn.Periodic(3, 5, sigma=2.0, rng=0, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(dtype)
    phase = 2 * np.pi * x[..., None].astype(np.float64) * layer.weight
    for name, given in layouts(x):
        y = layer(given)
        assert y.dtype == dtype
        assert y.shape == (4, 2, 3, 10)
        want = np.concatenate([np.cos(phase), np.sin(phase)], -1)
        np.testing.assert_allclose(y, want, atol=60 * np.finfo(dtype).eps, err_msg=name)


def test_frequencies_are_drawn_with_deviation_sigma():
    weight = fnn.Periodic(40, 60, sigma=0.3, rng=0).weight
    assert weight.shape == (40, 60)
    assert abs(weight.std() - 0.3) < 0.02
    assert abs(weight.mean()) < 0.02


def test_piecewise_linear_is_the_papers_formula(dtype):
    layer = fnn.PiecewiseLinear(1, 3, dtype=dtype)
    layer.load_state_dict({"edges": [[0, 1, 3, 4]]})
    x = np.array([[-1], [0], [0.5], [1], [2], [3], [3.5], [6]], dtype)
    want = [[-1, 0, 0], [0, 0, 0], [0.5, 0, 0], [1, 0, 0], [1, 0.5, 0], [1, 1, 0], [1, 1, 0.5], [1, 1, 3]]
    for name, given in layouts(x):
        np.testing.assert_array_equal(layer(given)[:, 0], want, err_msg=name)
    assert layer(x).dtype == dtype
    dx = layer.vjp(x)[1](np.ones((8, 1, 3), dtype))
    np.testing.assert_array_equal(dx[:, 0], [1, 1, 1, 0.5, 0.5, 1, 1, 1])
    np.testing.assert_array_equal(fnn.PiecewiseLinear(2, 4).edges, [[0, 0.25, 0.5, 0.75, 1]] * 2)


def test_edges_are_quantiles():
    x = np.random.default_rng(0).standard_normal((1000, 2)) * [1, 50]
    layer = fnn.PiecewiseLinear(2, 10)
    assert layer.fit_statistics(x) is layer
    np.testing.assert_allclose(layer.edges, np.quantile(x, np.arange(11) / 10, axis=0).T, rtol=1e-12)
    for feature in range(2):
        counts, _ = np.histogram(x[:, feature], layer.edges[feature])
        np.testing.assert_array_equal(counts, 100)


def test_equal_quantiles_make_fewer_bins(dtype):
    x = np.array([[0, 7.0], [0, 7], [0, 7], [0, 7], [1, 7], [2, 7], [2, 7], [2, 7]])
    layer = fnn.PiecewiseLinear(2, 4, dtype=dtype).fit_statistics(x)
    np.testing.assert_array_equal(layer.edges, [[0, 0.5, 2, np.inf, np.inf], [7] + 4 * [np.inf]])
    y = layer(np.array([[-1, 7], [0.25, 0], [1.25, 9], [3.5, 7]], dtype))
    np.testing.assert_array_equal(y[:, 0], [[-2, 0, 0, 0], [0.5, 0, 0, 0], [1, 0.5, 0, 0], [1, 2, 0, 0]])
    np.testing.assert_array_equal(y[:, 1], 0)
    np.testing.assert_array_equal(layer.vjp(x)[1](np.ones((8, 2, 4)))[:, 1], 0)


def test_edges_that_float32_does_not_tell_apart_make_an_empty_bin():
    layer = fnn.PiecewiseLinear(1, 3)
    layer.load_state_dict({"edges": [[0, 1, 1 + 1e-12, 2]]})
    y, backward = layer.vjp(np.array([[0.5], [1], [1.5]], np.float32))
    np.testing.assert_array_equal(y[:, 0], [[0.5, 0, 0], [1, 0, 0], [1, 0, 0.5]])
    assert np.isfinite(backward(np.ones_like(y))).all()


def test_large_numbers_are_encoded_before_they_are_rounded():
    seconds = 1.6e9 + np.random.default_rng(0).random((200, 1))
    model = fnn.Sequential(fnn.PiecewiseLinear(1, 4).fit_statistics(seconds), fnn.Flatten())
    y = model(seconds)
    assert y.dtype == np.float32
    want = model.astype(np.float64)(seconds)
    np.testing.assert_allclose(y, want, atol=1e-6)
    assert 0.4 < want.mean() < 0.7


@pytest.mark.parametrize("kind", ["periodic", "piecewise"])
def test_numeric_embeddings_help_a_small_network(kind):
    """A fast wave, which a small network alone does not find."""
    x = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = np.sin(12 * x[:, :1]) * np.sign(x[:, 1:])

    def loss(first, width):
        model = fnn.Sequential(
            *first, fnn.Flatten(), fnn.Linear(width, 16, rng=0), fnn.ReLU(), fnn.Linear(16, 1, rng=1)
        )
        return fnn.Trainer(model, "mse", fnn.Adam(lr=0.01), seed=0).fit(x, y, epochs=15)["loss"][-1]

    if kind == "periodic":
        embedded = loss([fnn.Periodic(2, 16, 1.0, rng=0)], 64)
    else:
        embedded = loss([fnn.PiecewiseLinear(2, 16).fit_statistics(x)], 32)
    assert embedded < 0.7 * loss([], 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Periodic(0), ValueError, "Periodic: num_features is 0 but a positive integer was expected"),
        (lambda: fnn.Periodic(1, 0), ValueError, "Periodic: num_frequencies is 0 but a positive integer was expected"),
        (lambda: fnn.Periodic(1, 2, 0), ValueError, "Periodic: sigma is 0 but a positive, finite number was expected"),
        (lambda: fnn.Periodic(3, 2)(np.ones((4, 2))), ValueError, "Periodic: the input has shape (4, 2) but num_features is 3"),
        (lambda: fnn.Periodic(3, 2).lower((4, 2)), ValueError, "Periodic: the input has shape (4, 2) but num_features is 3"),
        (lambda: fnn.PiecewiseLinear(1, 0), ValueError, "PiecewiseLinear: num_bins is 0 but a positive integer was expected"),
        (lambda: fnn.PiecewiseLinear(3)(np.ones((4, 2))), ValueError,
         "PiecewiseLinear: the input has shape (4, 2) but num_features is 3"),
        (lambda: fnn.PiecewiseLinear(3).fit_statistics(np.ones(3)), ValueError,
         "fit_statistics: x has shape (3,) but (rows, ..., 3) was expected"),
        (lambda: fnn.PiecewiseLinear(1).fit_statistics([[1], [np.inf]]), ValueError,
         "fit_statistics: x is inf at row 1, column 0; finite numbers were expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
