"""Data sets: the digits that come with the package, and readers for MNIST's file format."""

import math
import os

import numpy as np

_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 64
_PIECE = 1 << 20  # bytes read at a time


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
