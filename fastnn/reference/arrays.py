"""What the functions make of their arguments, and where they put a result."""

import numpy as np


def real(*arrays):
    """Return the arrays in their common dtype, at least float32."""
    arrays = tuple(np.asarray(a) for a in arrays)
    dtype = np.result_type(np.float32, *arrays)
    arrays = tuple(a.astype(dtype, copy=False) for a in arrays)
    return arrays if len(arrays) > 1 else arrays[0]


def like(x, out):
    """Return out, or an array like x where it is None: NumPy's own result of a number is no array, which could be updated."""
    return np.empty_like(x) if out is None else out


def copy(x, out):
    """Return x in out, or a copy of it where that is None."""
    if out is None:
        return x.copy()
    if out is not x:
        np.copyto(out, x)
    return out
