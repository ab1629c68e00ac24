"""Data sets: the digits that come with the package, and readers for MNIST's file format."""

import gzip
import os

import numpy as np

_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_digits():
    """Return 1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, UCI; see fastnn/data/NOTICE).

    Returns
    -------
    x : ndarray of float32, shape (1797, 64)
        Pixels, row by row, from 0 to 16.
    y : ndarray of int64, shape (1797,)
        The digits 0 to 9.
    """
    with np.load(os.path.join(os.path.dirname(__file__), "data", "digits.npz"), allow_pickle=False) as file:
        return file["x"].astype(np.float32), file["y"].astype(np.int64)


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
        For a file that is not IDX, or whose length does not fit its header.
    """
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"load_idx: {path}: broken gzip file: {error}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_DTYPES:
        raise ValueError(f"load_idx: {path}: not an IDX file (it starts with {data[:4].hex() or 'nothing'})")
    dtype, start = np.dtype(_IDX_DTYPES[data[2]]), 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    expected = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise ValueError(f"load_idx: {path}: {len(data)} bytes came but {expected} were expected for shape {shape}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


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
        Where images and labels differ in number.
    """
    sets = []
    for part in ("train", "t10k"):
        x, y = (
            load_idx(_find(folder, f"{part}-images", "idx3-ubyte")),
            load_idx(_find(folder, f"{part}-labels", "idx1-ubyte")),
        )
        if len(x) != len(y):
            raise ValueError(f"load_mnist: {folder}: {part} has {len(x)} images but {len(y)} labels")
        sets.append((x, y.astype(np.int64)))
    return tuple(sets)


def _find(folder, stem, kind):
    names = [f"{stem}{dot}{kind}{zipped}" for dot in "-." for zipped in ("", ".gz")]
    for name in names:
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise FileNotFoundError(f"load_mnist: {folder} holds none of {', '.join(names)}")
