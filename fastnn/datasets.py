"""Data sets: the digits that come with the package, readers for MNIST's file format, points in a plane, and means of images."""

import math
import os

import numpy as np

from fastnn.data import as_rows
from fastnn.layers.base import as_count, as_flag, as_integer, as_number
from fastnn.random import DATA, Philox, draw_seed

_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 64
_PIECE = 1 << 20  # bytes read at a time


def load_digits(*, scaled=False, flat=True):
    """Return 1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, UCI; see fastnn/data/NOTICE).

    Parameters
    ----------
    scaled : bool
        Pixels from 0 to 1 instead of 0 to 16.
    flat : bool
        False for images, shape (1797, 8, 8).

    Returns
    -------
    x : ndarray of float32, shape (1797, 64)
        Pixels, row by row, from 0 to 16.
    y : ndarray of int64, shape (1797,)
        The digits 0 to 9.
    """
    with np.load(os.path.join(os.path.dirname(__file__), "data", "digits.npz"), allow_pickle=False) as file:
        x, y = file["x"].astype(np.float32), file["y"].astype(np.int64)
    if as_flag(scaled, "load_digits", "scaled"):
        x /= 16
    return x if as_flag(flat, "load_digits", "flat") else x.reshape(-1, 8, 8), y


def load_idx(path):
    """Read an array from a file in MNIST's IDX format, plain or gzipped.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray
        In the file's shape and dtype, native byte order.

    Raises
    ------
    ValueError
        For a file that is not IDX, whose length does not fit its header, or whose compression is damaged.
    OSError
        For a file that cannot be read.
    """
    import gzip  # on first use, with zlib
    import zlib

    with open(path, "rb") as raw:
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        try:
            return _read_idx(gzip.GzipFile(fileobj=raw) if zipped else raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"load_idx: {path}: damaged gzip file: {error}") from None
        except ValueError as error:
            raise ValueError(f"load_idx: {path}: {error}") from None


def _read_idx(file):
    """The array in an open file. Memory follows what the file holds, never what its header promises, and never exceeds that."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
        raise ValueError(f"not an IDX file (it starts with {magic.hex() or 'nothing'})")
    dtype, ndim = np.dtype(_IDX_DTYPES[magic[2]]), magic[3]
    if ndim > _MAX_DIMENSIONS:
        raise ValueError(f"{ndim} dimensions, but a NumPy array has at most {_MAX_DIMENSIONS}")
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"the header ends before its {ndim} sizes")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * ndim, 4))
    expected, data = dtype.itemsize * math.prod(shape), bytearray()
    while piece := file.read(
        min(_PIECE, expected + 1 - len(data))
    ):  # one byte more than expected: it must not be there
        data += piece
    if len(data) != expected:
        held = "more" if len(data) > expected else f"only {len(data)}"
        raise ValueError(f"shape {shape} of {dtype.name} takes {expected} bytes but the file holds {held}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def load_mnist(folder):
    """Read MNIST, or a data set in its format, from a folder with its four IDX files, plain or gzipped.

    Parameters
    ----------
    folder : str or path-like
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images, shape (n, 28, 28), uint8; labels, shape (n,), int64.

    Raises
    ------
    FileNotFoundError
        Where a file is missing.
    ValueError
        For a broken file (see :func:`load_idx`), and where images and labels differ in number.
    """
    sets = []
    for part in ("train", "t10k"):
        x, y = (
            load_idx(_find(folder, f"{part}-images", "idx3-ubyte")),
            load_idx(_find(folder, f"{part}-labels", "idx1-ubyte")),
        )
        if x.ndim != 3 or y.ndim != 1 or y.dtype.kind not in "iu":
            raise ValueError(
                f"load_mnist: {folder}: {part} has images of shape {x.shape} and labels {y.dtype} {y.shape}"
                " but (n, height, width) and integers (n,) were expected"
            )
        if len(x) != len(y):
            raise ValueError(f"load_mnist: {folder}: {part} has {len(x)} images but {len(y)} labels")
        sets.append((x, y.astype(np.int64)))
    return tuple(sets)


def _find(folder, stem, kind):
    """The path of one of the four files. A widespread copy of MNIST has folders of these names, with the files inside."""
    names = [f"{stem}{dot}{kind}{zipped}" for dot in "-." for zipped in ("", ".gz")]
    for name in names + [os.path.join(name, name) for name in names]:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"load_mnist: {folder} holds none of {', '.join(names)}")


# --------------------------------------------------------------------------------------------------------- points in a plane


def _drawing(func, n, noise, seed):
    """Return the arguments of a generator, checked, and its random numbers."""
    n, noise = as_count(n, func, "n"), as_number(noise, func, "noise")
    if not 0 <= noise < math.inf:
        raise ValueError(f"{func}: noise is {noise} but a finite, non-negative number was expected")
    seed = draw_seed() if seed is None else as_integer(seed, func, "seed", 0, 2**64 - 1)
    return n, noise, Philox(seed, layer=DATA)


def _points(x, y, rng, dtype=np.int64):
    """Return columns of coordinates and their targets in a random order."""
    order = rng.uniform(size=len(y)).argsort(kind="stable")
    return np.stack(x, 1).astype(np.float32)[order], np.asarray(y).astype(dtype)[order]


def circle(n=500, noise=0.0, seed=None):
    """A disc of radius 2.5 around the origin, class 1, within a ring of radii 3.5 to 5, class 0: the playground's "circle".

    Parameters
    ----------
    n : int
        Points in all, as many of each class.
    noise : float
        The class is that of the place up to 5 noise away in each coordinate; the playground goes to 0.5.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
    y : ndarray of int64, shape (n,)

    Notes
    -----
    The playground is TensorFlow's (Smilkov et al., 2017, playground.tensorflow.org); its classes are -1 and 1.
    """
    n, noise, rng = _drawing("circle", n, noise, seed)
    inside = np.arange(n) < n // 2
    radius = np.where(inside, rng.uniform(0, 2.5, n), rng.uniform(3.5, 5, n))
    angle = rng.uniform(0, 2 * np.pi, n)
    x = radius * np.sin(angle), radius * np.cos(angle)
    seen = [a + noise * rng.uniform(-5, 5, n) for a in x]
    return _points(x, np.hypot(*seen) < 2.5, rng)


def xor(n=500, noise=0.0, seed=None):
    """Points whose coordinates have one sign, class 1, or two, class 0, and at least 0.3 from the axes: the playground's "exclusive or".

    Parameters
    ----------
    n : int
    noise : float
        The class is that of the place up to 5 noise away in each coordinate.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
        From -5.3 to 5.3.
    y : ndarray of int64, shape (n,)
    """
    n, noise, rng = _drawing("xor", n, noise, seed)
    x = [a + np.where(a > 0, 0.3, -0.3) for a in (rng.uniform(-5, 5, n), rng.uniform(-5, 5, n))]
    seen = [a + noise * rng.uniform(-5, 5, n) for a in x]
    return _points(x, seen[0] * seen[1] >= 0, rng)


def gaussians(n=500, noise=0.0, seed=None):
    """Two clouds around (2, 2), class 1, and (-2, -2), class 0: the playground's "Gaussian".

    Parameters
    ----------
    n : int
        Points in all, as many of each class.
    noise : float
        The variance of each coordinate is 0.5 + 7 noise.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
    y : ndarray of int64, shape (n,)
    """
    n, noise, rng = _drawing("gaussians", n, noise, seed)
    y = np.arange(n) < n // 2
    x = [np.where(y, 2, -2) + rng.normal(0, np.sqrt(0.5 + 7 * noise), n) for _ in range(2)]
    return _points(x, y, rng)


def spirals(n=500, noise=0.0, seed=None):
    """Two arms of 1.75 turns that wind around each other, to a radius of 5: the playground's "spiral".

    Parameters
    ----------
    n : int
        Points in all, as many of each class.
    noise : float
        Each coordinate moves by up to noise.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
    y : ndarray of int64, shape (n,)
    """
    n, noise, rng = _drawing("spirals", n, noise, seed)
    y = np.arange(n) < n // 2
    along = np.concatenate([np.arange(k) / max(k, 1) for k in (n // 2, n - n // 2)])
    angle = 1.75 * 2 * np.pi * along + np.where(y, 0, np.pi)
    x = [5 * along * f(angle) + noise * rng.uniform(-1, 1, n) for f in (np.sin, np.cos)]
    return _points(x, y, rng)


def moons(n=500, noise=0.0, seed=None):
    """Two half circles of radius 1 that reach into each other: ``sklearn.datasets.make_moons``.

    Parameters
    ----------
    n : int
        Points in all, as many of each class.
    noise : float
        Standard deviation of the normal noise of each coordinate.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
    y : ndarray of int64, shape (n,)
    """
    n, noise, rng = _drawing("moons", n, noise, seed)
    angle = np.pi * np.concatenate([np.linspace(0, 1, k) for k in (n // 2, n - n // 2)])
    y = np.arange(n) >= n // 2
    x = [np.where(y, 1 - np.cos(angle), np.cos(angle)), np.where(y, 0.5 - np.sin(angle), np.sin(angle))]
    return _points([a + noise * rng.normal(0, 1, n) for a in x], y, rng)


_BUMPS = ((-4, 2.5, 1), (0, 2.5, -1), (4, 2.5, 1), (-4, -2.5, -1), (0, -2.5, 1), (4, -2.5, -1))  # x, y, sign


def planes(n=500, noise=0.0, seed=None, *, kind="plane"):
    """Numbers over the square from -6 to 6, for regression: the playground's "plane" and "multi gaussian".

    Parameters
    ----------
    n : int
    noise : float
        The number is that of the place up to 6 noise away in each coordinate.
    seed : int, optional
        The same points for the same seed, everywhere; drawn if None.
    kind : {"plane", "gauss"}
        "plane" is (x0 + x1) / 10; "gauss" six cones of radius 2 and height 1 or -1, of which the highest or lowest counts.

    Returns
    -------
    x : ndarray of float32, shape (n, 2)
    y : ndarray of float32, shape (n,)
        From -1.2 to 1.2 where there is no noise.
    """
    n, noise, rng = _drawing("planes", n, noise, seed)
    if kind not in ("plane", "gauss"):
        raise ValueError(f"planes: kind is {kind!r} but 'plane' or 'gauss' was expected")
    x = [rng.uniform(-6, 6, n) for _ in range(2)]
    seen = [a + noise * rng.uniform(-6, 6, n) for a in x]
    if kind == "plane":
        return _points(x, (seen[0] + seen[1]) / 10, rng, np.float32)
    heights = np.stack([sign * np.maximum(0, 1 - np.hypot(seen[0] - a, seen[1] - b) / 2) for a, b, sign in _BUMPS])
    return _points(x, heights[np.abs(heights).argmax(0), np.arange(n)], rng, np.float32)


# ------------------------------------------------------------------------------------------------------------------- images


def mean_image(x):
    """Mean of images over rows, in float64, to be subtracted from each.

    Parameters
    ----------
    x : array_like, shape (rows, ...)

    Returns
    -------
    ndarray of float64, shape of a row
    """
    return as_rows(x, "mean_image", "x").mean(0, dtype=np.float64)


def channel_mean(x):
    """Mean of each channel over rows and places, in float64, to be subtracted from each pixel.

    Parameters
    ----------
    x : array_like, shape (rows, height, width, channels)
        Or any number of axes, of which the last are the channels.

    Returns
    -------
    ndarray of float64, shape (channels,)
    """
    x = as_rows(x, "channel_mean", "x")
    return x.mean(tuple(range(x.ndim - 1)), dtype=np.float64)
