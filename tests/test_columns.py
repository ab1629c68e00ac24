"""Layers for columns of a table: formulas, statistics, dtypes, errors."""

import numpy as np
import pytest
from support import layouts, refused

import fastnn as fnn


def test_scale_multiplies_each_feature(dtype):
    layer = fnn.Scale(3, init=2, dtype=dtype)
    layer.load_state_dict({"weight": [1, -2, 0.5]})
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(dtype)
    for name, given in layouts(x):
        y, backward = layer.vjp(given)
        np.testing.assert_array_equal(y, x * layer.weight, err_msg=name)
        dx = backward(y)
        np.testing.assert_array_equal(dx, y * layer.weight, err_msg=name)
        np.testing.assert_allclose(layer.grads["weight"], (y * x).sum((0, 1)), rtol=20 * np.finfo(dtype).eps)
        assert layer.grads["weight"].dtype == y.dtype == dx.dtype == dtype
    assert backward(y, need_dx=False) is None
    np.testing.assert_array_equal(fnn.Scale(2).weight, 1)


IMAGES = np.random.default_rng(0).normal(100, 30, (20, 4, 5, 3))


@pytest.mark.parametrize(
    ("num_features", "axes"),
    [(3, (0, 1, 2)), ((4, 5, 3), (0,)), ((4, 1, 1), (0, 2, 3)), ((1, 1, 1), (0, 1, 2, 3)), ((5, 1), (0, 1, 3))],
    ids=["per feature or channel", "mean image", "first axis of channels", "one for all", "two axes"],
)
def test_standardize_takes_mean_and_deviation_over_the_other_axes(num_features, axes, dtype):
    layer = fnn.Standardize(num_features, dtype=dtype)
    np.testing.assert_array_equal(layer(IMAGES.astype(dtype)), IMAGES.astype(dtype))
    assert layer.fit_statistics(IMAGES) is layer
    shape = (num_features,) if isinstance(num_features, int) else num_features
    np.testing.assert_allclose(layer.mean, IMAGES.mean(axes).reshape(shape), rtol=1e-12)
    np.testing.assert_allclose(layer.scale, IMAGES.std(axes).reshape(shape), rtol=1e-12)
    y = layer(IMAGES)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axes), 1, rtol=1e-5)
    assert list(layer.state_dict()) == ["mean", "scale"]
    assert list(layer.named_parameters()) == []


def test_standardize_agrees_with_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal([1e6, 1, -3, 0], [1e-2, 3, 1e-5, 1], (500, 4))
    x[:, 3] = 0.1  # constant, but not in the rounded mean of its squares
    layer, theirs = fnn.Standardize(4, dtype=np.float64).fit_statistics(x), preprocessing.StandardScaler().fit(x)
    np.testing.assert_allclose(layer.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(layer.scale, theirs.scale_, rtol=1e-9)
    assert layer.scale[3] == 1
    np.testing.assert_array_equal(layer(x)[:, 3], 0)


def test_standardize_reads_large_tables_piece_by_piece(monkeypatch):
    x = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    want = fnn.Standardize(7).fit_statistics(x).state_dict()
    monkeypatch.setattr("fastnn.data._PIECE", 70)
    got = fnn.Standardize(7).fit_statistics(x).state_dict()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-12)


def test_standardize_first_in_a_float32_network_keeps_differences():
    seconds = 1.6e9 + np.random.default_rng(0).random((50, 2))
    model = fnn.Sequential(fnn.Standardize(2).fit_statistics(seconds), fnn.Identity())
    want = (seconds - seconds.mean(0)) / seconds.std(0)
    for first in (model, fnn.Sequential(fnn.Sequential(model))):
        y = first(seconds)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, want, atol=3e-6)  # of the mean of numbers near 2^30
        np.testing.assert_array_equal(first.vjp(seconds)[0], y)
    assert model(np.ones((3, 2), np.uint8)).dtype == np.float32
    double = model.astype(np.float64)
    np.testing.assert_allclose(double(seconds), want, atol=3e-6)
    assert double.astype(np.float32)[0].mean.dtype == np.float64


def test_statistics_stay_in_training():
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 2, (60, 3)).astype(np.float32), rng.standard_normal((60, 1))
    model = fnn.Sequential(fnn.Standardize(3).fit_statistics(x), fnn.Linear(3, 1, rng=0))
    before = model.state_dict()
    fnn.Trainer(model, "mse", fnn.Adam(lr=0.1), seed=0).fit(x, y, epochs=2)
    after = model.state_dict()
    for name in ("0.mean", "0.scale"):
        np.testing.assert_array_equal(after[name], before[name])
    assert not np.array_equal(after["1.weight"], before["1.weight"])


def test_layers_are_blank_until_they_are_loaded(tmp_path):
    """A file that names billions of features but holds none is refused without memory for them."""
    for layer in ("Standardize(2)", "Scale(2)"):
        fnn.save(fnn.Sequential(eval(f"fnn.{layer}")), tmp_path / "m")
        text = (tmp_path / "m").read_bytes()
        assert b'num_features\\": 2' in text
        changed = text.replace(b'num_features\\": 2,', b'num_features\\": 2' + 13 * b"0" + b",")
        length = int.from_bytes(changed[:8], "little") + 13
        (tmp_path / "m").write_bytes(length.to_bytes(8, "little") + changed[8:])
        with pytest.raises(ValueError, match=r"load_state_dict: 0\.\w+ has shape \(2,\) but \(20000000000000,\)"):
            fnn.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Scale(0), ValueError, "Scale: num_features is 0 but a positive integer was expected"),
        (lambda: fnn.Scale(3, init=np.inf), ValueError, "Scale: init is inf but a finite number was expected"),
        (lambda: fnn.Scale(3)(np.ones((4, 1))), ValueError, "Scale: the input has shape (4, 1) but num_features is 3"),
        (lambda: fnn.Scale(3).lower((4, 2)), ValueError, "Scale: the input has shape (4, 2) but num_features is 3"),
        (lambda: fnn.Scale(3).vjp(np.ones((4, 3)))[1](np.ones(3)), ValueError,
         "Scale: dy has shape (3,) but the output has shape (4, 3)"),
        (lambda: fnn.Standardize(()), ValueError, "Standardize: num_features is () but a positive integer was expected"),
        (lambda: fnn.Standardize((2, 0)), ValueError, "Standardize: num_features[1] is 0 but a positive integer was expected"),
        (lambda: fnn.Standardize((2, 3))(np.ones((4, 3, 2))), ValueError,
         "Standardize: the input has shape (4, 3, 2) but num_features is (2, 3)"),
        (lambda: fnn.Standardize((2, 3)).lower((3,)), ValueError, "Standardize: the input has shape (3,) but num_features is (2, 3)"),
        (lambda: fnn.Standardize(3).fit_statistics(np.ones(3)), ValueError,
         "fit_statistics: x has shape (3,) but rows before the last 1 axes were expected"),
        (lambda: fnn.Standardize(3).fit_statistics(np.ones((0, 3))), ValueError,
         "fit_statistics: x has shape (0, 3) but rows before the last 1 axes were expected"),
        (lambda: fnn.Standardize(2).fit_statistics([[1, 2], [3, np.nan]]), ValueError,
         "fit_statistics: x is nan at row 1, column 1; finite numbers were expected"),
        (lambda: fnn.Standardize(2).fit_statistics([["1", "2"]]), TypeError,
         "fit_statistics: x has dtype <U1 but a real dtype of at most float64 was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
