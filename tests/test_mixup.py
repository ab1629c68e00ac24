"""Mixup: shares of the beta distribution, mixed inputs, targets and weights, losses that stay what they were."""

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn.data import Mixup
from fastnn.random import MIXUP, Philox

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 4)), RNG.integers(0, 3, 40)


def trainer(loss="cross_entropy", outputs=3):
    return fnn.Trainer(fnn.MLP([4, 8, outputs], "tanh", seed=0, dtype=np.float64), loss, fnn.SGD(lr=0.1), seed=0)


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.2), (1, 1), (0.5, 2), (8, 8)])
def test_shares_have_the_beta_distribution(a, b):
    rng = Philox(3)
    drawn = np.sort([rng.beta(a, b) for _ in range(4000)])
    assert drawn[0] >= 0
    assert drawn[-1] <= 1
    np.testing.assert_allclose(drawn.mean(), a / (a + b), atol=0.03)
    np.testing.assert_allclose(drawn.var(), a * b / (a + b) ** 2 / (a + b + 1), rtol=0.1)
    want = np.sort(np.random.default_rng(0).beta(a, b, 200000))
    assert np.abs(np.searchsorted(want, drawn) / 200000 - np.arange(4000) / 4000).max() < 0.03  # Kolmogorov and Smirnov


def test_a_tiny_alpha_draws_shares_of_0_and_1():
    rng = Philox(0)
    shares = np.array([rng.beta(1e-3, 1e-3) for _ in range(200)])
    assert (np.minimum(shares, 1 - shares) < 1e-6).mean() > 0.95
    assert 0.3 < shares.mean() < 0.7


def test_rows_are_mixed_with_others_of_their_minibatch():
    y = RNG.standard_normal(40)
    x, mixed, weight = Mixup(0.7).mix(X, y, None, Philox(1))
    rng = Philox(1)
    share = rng.beta(0.7, 0.7)
    other = rng.uniform(size=40).argsort(kind="stable")
    np.testing.assert_allclose(x, share * X + (1 - share) * X[other])
    np.testing.assert_allclose(mixed, share * y + (1 - share) * y[other])
    assert weight is None
    _, columns, _ = Mixup(0.7).mix(X, y[:, None], None, Philox(1))
    np.testing.assert_array_equal(columns[:, 0], mixed)
    assert Mixup(1.0).mix(X.astype(np.float32), y, None, rng)[0].dtype == np.float32


@pytest.mark.parametrize("class_weight", [None, (1.0, 2.0, 0.5)])
def test_the_loss_is_that_of_both_rows_by_their_shares_and_weights(class_weight):
    y = np.where(np.arange(40) % 7 == 0, -100, Y)
    w = RNG.random(40)
    loss = fnn.CrossEntropy(class_weight)
    x, target, weight = Mixup(0.7, 3, -100).mix(X, y, w, Philox(1))
    rng = Philox(1)
    share = rng.beta(0.7, 0.7)
    other = rng.uniform(size=40).argsort(kind="stable")
    logits = RNG.standard_normal((40, 3))
    got = loss(logits, target, weight, 40)[0]
    parts = loss(logits, y, share * w, 40)[0] + loss(logits, y[other], (1 - share) * w[other], 40)[0]
    np.testing.assert_allclose(got, parts, rtol=1e-12)
    np.testing.assert_allclose(weight, share * w * (y >= 0) + (1 - share) * (w * (y >= 0))[other])


def test_fit_mixes_each_minibatch_with_numbers_of_the_seed_and_the_epoch():
    run, hand = trainer(), trainer()
    history = run.fit(X, Y, epochs=2, batch_size=16, mixup=0.4, shuffle=False, verbose=False)
    for epoch in range(2):
        rng, total = Philox(0, epoch, MIXUP), 0.0
        for start in range(0, 40, 16):
            x, y, _ = Mixup(0.4, 3, -100).mix(X[start : start + 16], Y[start : start + 16], None, rng)
            total += len(x) * hand.step(x, y)
        np.testing.assert_allclose(history["loss"][epoch], total / 40, rtol=1e-12)
    for name, value in run.model.state_dict().items():
        np.testing.assert_allclose(value, hand.model.state_dict()[name], rtol=1e-12)


def test_mixup_in_pieces_is_mixup_at_once():
    once, pieces = trainer(), trainer()
    once.fit(X, Y, epochs=3, mixup=0.4, verbose=False)
    for _ in range(3):
        pieces.fit(X, Y, mixup=0.4, verbose=False)
    for name, value in once.model.state_dict().items():
        np.testing.assert_array_equal(value, pieces.model.state_dict()[name])


def test_mixup_works_with_weights_ignored_labels_and_numbers():
    y = np.where(np.arange(40) % 7 == 0, -100, Y)
    run = trainer()
    history = run.fit(X, y, epochs=3, batch_size=8, mixup=0.4, sample_weight=RNG.random(40), verbose=False)
    assert np.isfinite(history["loss"]).all()
    run = trainer("mse", 1)
    history = run.fit(X, X.sum(1), epochs=30, batch_size=8, mixup=0.2, verbose=False)
    assert history["loss"][-1] < history["loss"][0] / 3
    run = trainer("mse", 1)
    run.fit(X, Y, mixup=0.2, verbose=False)  # integers are numbers to mse


def test_no_mixup_is_the_default():
    one, two = trainer(), trainer()
    one.fit(X, Y, verbose=False)
    two.fit(X, Y, mixup=0.0, verbose=False)
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(value, two.model.state_dict()[name])


def square(output, target):
    return F.mse_loss_with_grad(output, target)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: trainer().fit(X, Y, mixup=-1), ValueError, "fit: mixup is -1 but a finite, non-negative number was expected"),
        (lambda: trainer().fit(X, Y, mixup="a"), TypeError, "fit: mixup is 'a' but a number was expected"),
        (lambda: trainer(square, 1).fit(X, Y, mixup=1), TypeError,
         "fit: mixup with a callable loss needs targets of floats, such as one-hot labels, but y has dtype int64"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, message):
    refused(call, error, message)
