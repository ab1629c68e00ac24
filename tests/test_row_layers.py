"""Layers of fastnn/layers/activations.py that are no row of the table: formulas, PyTorch, errors."""

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn import reference as R

ALPHA = 1.6732632423543772848170429916717 * 1.0507009873554804934193349852946  # of selu


def test_alpha_dropout_is_pytorchs_formula(dtype):
    x = np.random.default_rng(0).standard_normal((40, 30)).astype(dtype)
    p, layer = 0.3, fnn.AlphaDropout(0.3, seed=5, layer=2)
    mask = fnn.Dropout(p, seed=5, layer=2).vjp(np.ones_like(x), step=4)[0] != 0
    a = ((1 - p) * (1 + p * ALPHA**2)) ** -0.5
    y, backward = layer.vjp(x, step=4)
    want = a * np.where(mask, x.astype(np.float64), -ALPHA) + a * p * ALPHA
    assert y.dtype == dtype
    np.testing.assert_allclose(y, want, atol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(backward(x), a * mask * x, rtol=4 * np.finfo(dtype).eps)
    assert 0.6 < mask.mean() < 0.8
    assert not np.array_equal(layer.vjp(x, step=5)[0], y)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).standard_normal(200_000)
    for p in (0.05, 0.5, 0.9):
        y = fnn.AlphaDropout(p, seed=0).vjp(x)[0]
        assert abs(y.mean()) < 0.02
        assert abs(y.std() - 1) < 0.02


def test_alpha_dropout_of_nothing_and_of_everything():
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    np.testing.assert_array_equal(fnn.AlphaDropout(0.0).vjp(x)[0], x)
    y, backward = fnn.AlphaDropout(1.0).vjp(x)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(backward(x), 0)
    np.testing.assert_array_equal(fnn.AlphaDropout(0.5).vjp(x, train=False)[0], x)
    assert fnn.AlphaDropout(0.5).vjp(np.ones(3, int))[0].dtype == np.float64


def test_alpha_dropout_against_torch(dtype):
    torch = pytest.importorskip("torch")
    x, p = np.full(1000, 0.7, dtype), 0.4
    theirs = torch.nn.AlphaDropout(p)(torch.tensor(x)).numpy()
    ours = fnn.AlphaDropout(p, seed=0).vjp(x)[0]
    tolerance = {"rtol": 8 * np.finfo(dtype).eps, "atol": 8 * np.finfo(dtype).eps}
    for pick in (np.min, np.max):  # what is dropped, and what is kept
        np.testing.assert_allclose(pick(ours), pick(theirs), **tolerance)
    assert len(np.unique(ours)) == len(np.unique(theirs)) == 2


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_log_softmax_is_the_function(dtype, axis):
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    y, backward = fnn.LogSoftmax(axis).vjp(x)
    np.testing.assert_array_equal(y, F.log_softmax(x, axis))
    np.testing.assert_allclose(y, R.log_softmax(x.astype(np.float64), axis), rtol=16 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(backward(x), F.log_softmax_backward(x, y, axis))


SHAPES = [((), 0, -1), ((3,), 0, -1), ((4, 5), 1, -1), ((4, 2, 3), 1, -1), ((4, 2, 3), 0, 1), ((4, 2, 3, 5), 1, 2),
          ((4, 2, 3, 5), -3, -2), ((0, 2, 3), 1, -1)]  # fmt: skip


@pytest.mark.parametrize(("shape", "start", "end"), SHAPES)
def test_flatten_keeps_the_order_of_elements(shape, start, end):
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    layer = fnn.Flatten(start, end)
    y, backward = layer.vjp(x)
    assert y.shape == layer.lower(shape)[0].shape
    np.testing.assert_array_equal(y.ravel(), x.ravel())
    np.testing.assert_array_equal(backward(y), x)
    assert not np.may_share_memory(y, x)


@pytest.mark.parametrize(("shape", "start", "end"), SHAPES)
def test_flatten_against_torch(shape, start, end):
    torch = pytest.importorskip("torch")
    x = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(fnn.Flatten(start, end)(x), torch.nn.Flatten(start, end)(torch.tensor(x)).numpy())


def test_images_train_through_flatten():
    x, y = fnn.datasets.load_digits()
    images = x[:200].reshape(-1, 8, 8) / 16
    model = fnn.Sequential(fnn.Flatten(), fnn.Linear(64, 10, rng=0))
    assert model.lower((None, 8, 8))[0].shape == (None, 64)
    assert fnn.Flatten().lower((5, None, 8))[0].shape == (5, None)
    losses = fnn.Trainer(model, "cross_entropy", fnn.Adam(lr=0.01), seed=0).fit(images, y[:200], epochs=5)["loss"]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.AlphaDropout(2), ValueError, "AlphaDropout: p is 2 but a probability in [0, 1] was expected"),
        (lambda: fnn.AlphaDropout(seed=-1), ValueError, f"AlphaDropout: seed is -1 but an integer from 0 to {2**64 - 1} was expected"),
        (lambda: fnn.LogSoftmax(1.0), TypeError, "LogSoftmax: axis is 1.0 but an integer was expected"),
        (lambda: fnn.LogSoftmax(1).lower((3,)), ValueError, "LogSoftmax: the input has shape (3,) but axis is 1"),
        (lambda: fnn.Flatten("a"), TypeError, "Flatten: start_dim is 'a' but an integer was expected"),
        (lambda: fnn.Flatten(2, 1)(np.ones((2, 3, 4))), ValueError,
         "Flatten: the input has shape (2, 3, 4) but start_dim is 2 and end_dim 1"),
        (lambda: fnn.Flatten()(np.ones(3)), ValueError, "Flatten: the input has shape (3,) but start_dim is 1 and end_dim -1"),
        (lambda: fnn.Flatten().vjp(np.ones((2, 3, 4)))[1](np.ones((2, 3, 4))), ValueError,
         "Flatten: dy has shape (2, 3, 4) but the output has shape (2, 12)"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
