"""Generated data sets: the places and classes of the playground's, the same for the same seed."""

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import datasets

CLASSES = ["circle", "xor", "gaussians", "spirals", "moons"]
ALL = [*CLASSES, "planes"]


def make(name, *arguments, **options):
    return getattr(datasets, name)(*arguments, **options)


@pytest.mark.parametrize("name", ALL)
def test_sizes_dtypes_and_seeds(name):
    for n in (1, 2, 7, 500):
        x, y = make(name, n, 0.1, seed=1)
        assert (x.shape, x.dtype, y.shape) == ((n, 2), np.float32, (n,))
        assert y.dtype == (np.float32 if name == "planes" else np.int64)
    assert len(make(name)[0]) == 500
    again, other = make(name, 500, 0.1, 1), make(name, 500, 0.1, 2)
    np.testing.assert_array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], y)
    assert (other[0] != x).any(1).all()
    assert (make(name, seed=None)[0] != make(name)[0]).any()


@pytest.mark.parametrize("name", CLASSES)
def test_both_classes_come_in_a_random_order(name):
    _, y = make(name, 501, seed=3)
    assert set(y.tolist()) == {0, 1}
    if name != "xor":
        assert abs(y.sum() - 250) <= 1
    assert 150 < (y[1:] != y[:-1]).sum() < 350


def test_the_circle():
    x, y = make("circle", 2000, seed=0)
    r = np.hypot(*x.T.astype(float))
    assert r[y == 1].max() < 2.5
    assert 3.5 < r[y == 0].min() < 3.52
    assert 4.98 < r.max() < 5
    np.testing.assert_allclose(np.histogram(r[y == 1], 5, (0, 2.5))[0], 200, atol=50)  # even along the radius
    np.testing.assert_allclose(np.histogram(np.arctan2(*x.T), 8)[0], 250, atol=60)
    x, y = make("circle", 2000, 0.5, seed=0)
    wrong = y != (np.hypot(*x.T) < 2.5)
    assert 0.1 < wrong.mean() < 0.5


def test_the_exclusive_or():
    x, y = make("xor", 2000, seed=0)
    np.testing.assert_array_equal(y, x[:, 0] * x[:, 1] > 0)
    assert 0.3 <= np.abs(x).min() < 0.31
    assert 5.29 < np.abs(x).max() <= 5.3
    x, y = make("xor", 2000, 0.5, seed=0)
    assert 0.05 < (y != (x[:, 0] * x[:, 1] > 0)).mean() < 0.5


@pytest.mark.parametrize("noise", [0, 0.5])
def test_the_gaussians(noise):
    x, y = make("gaussians", 4000, noise, seed=0)
    for label, centre in ((0, -2), (1, 2)):
        np.testing.assert_allclose(x[y == label].mean(0), centre, atol=0.15)
        np.testing.assert_allclose(x[y == label].var(0), 0.5 + 7 * noise, rtol=0.1)


def test_the_spirals():
    x, y = make("spirals", 400, seed=0)
    for label, start in ((1, 0), (0, np.pi)):
        arm = x[y == label]
        arm = arm[np.hypot(*arm.T).argsort()]
        r = 5 * np.arange(200) / 200
        angle = r / 5 * 3.5 * np.pi + start
        np.testing.assert_allclose(arm, np.stack([r * np.sin(angle), r * np.cos(angle)], 1), atol=1e-6)
    curve, of = make("spirals", 20000, seed=0)
    noisy, labels = make("spirals", 400, 0.3, seed=0)
    for label in (0, 1):
        offset = noisy[labels == label][:, None] - curve[of == label]
        nearest = np.hypot(*offset.T).min(0)
        assert 0.2 < nearest.max() < 0.43


def test_the_moons_are_scikit_learns():
    theirs = pytest.importorskip("sklearn.datasets")
    for n in (100, 101):
        want, labels = theirs.make_moons(n, shuffle=False)
        x, y = make("moons", n, seed=0)
        for label in (0, 1):
            got = x[y == label]
            np.testing.assert_allclose(
                got[got[:, 0].argsort()], want[labels == label][want[labels == label][:, 0].argsort()], atol=1e-6
            )
    x, y = make("moons", 4000, 0.1, seed=0)
    clean = np.abs(np.hypot(*(x[y == 0].T)) - 1)
    np.testing.assert_allclose(np.sqrt((clean**2).mean()), 0.1, rtol=0.1)


def test_the_planes():
    x, y = make("planes", 3000, seed=0)
    np.testing.assert_allclose(y, x.sum(1) / 10, atol=1e-6)
    assert 5.98 < np.abs(x).max() <= 6
    x, y = make("planes", 3000, seed=0, kind="gauss")
    assert 0.85 < y.max() <= 1
    assert -1 <= y.min() < -0.85
    for centre, sign in (
        ((-4, 2.5), 1),
        ((0, 2.5), -1),
        ((4, 2.5), 1),
        ((-4, -2.5), -1),
        ((0, -2.5), 1),
        ((4, -2.5), -1),
    ):
        near = np.hypot(*(x - centre).T) < 1.5
        np.testing.assert_allclose(y[near], sign * (1 - np.hypot(*(x[near] - centre).T) / 2), atol=1e-6)
    assert (y[np.abs(x[:, 1]) > 4.6] == 0).all()
    noisy, values = make("planes", 3000, 0.1, seed=0)
    np.testing.assert_allclose((values - noisy.sum(1) / 10).std(), 0.6 / np.sqrt(3) * np.sqrt(2) / 10, rtol=0.1)


def test_digits_scaled_and_as_images():
    x, y = datasets.load_digits()
    assert x.shape == (1797, 64)
    assert x.max() == 16
    scaled, labels = datasets.load_digits(scaled=True, flat=False)
    assert (scaled.shape, scaled.dtype) == ((1797, 8, 8), np.float32)
    np.testing.assert_array_equal(scaled.reshape(-1, 64) * 16, x)
    np.testing.assert_array_equal(labels, y)


def test_mean_images():
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 3, 2), np.uint8)
    np.testing.assert_allclose(datasets.mean_image(x), x.mean(0))
    np.testing.assert_allclose(datasets.channel_mean(x), x.reshape(-1, 2).mean(0))
    big = np.full((70000, 1, 1), 16777217 / 2**24, np.float32)
    assert datasets.mean_image(big).dtype == datasets.channel_mean(big).dtype == np.float64
    layer = fnn.Standardize(2).fit_statistics(x)
    np.testing.assert_allclose(layer.mean, datasets.channel_mean(x))
    np.testing.assert_allclose(fnn.Standardize((4, 3, 2)).fit_statistics(x).mean, datasets.mean_image(x))


def test_a_small_network_learns_the_spirals():
    x, y = datasets.spirals(400, seed=0)
    run = fnn.Trainer(fnn.MLP([2, 32, 32, 2], "tanh", seed=0), "cross_entropy", fnn.Adam(lr=0.02), seed=0)
    run.fit(x, y, epochs=150, batch_size=100, verbose=False)
    assert run.evaluate(x, y)["accuracy"] > 0.98


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.circle(0), ValueError, "circle: n is 0 but a positive integer was expected"),
        (lambda: datasets.xor(5, -1), ValueError, "xor: noise is -1.0 but a finite, non-negative number was expected"),
        (lambda: datasets.moons(5, "x"), TypeError, "moons: noise is 'x' but a number was expected"),
        (lambda: datasets.spirals(seed=-1), ValueError, f"spirals: seed is -1 but an integer from 0 to {2**64 - 1} was expected"),
        (lambda: datasets.planes(kind="hill"), ValueError, "planes: kind is 'hill' but 'plane' or 'gauss' was expected"),
        (lambda: datasets.mean_image(["a"]), TypeError, "mean_image: x has dtype <U1 but real numbers of at most 64 bits were expected"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, message):
    refused(call, error, message)
