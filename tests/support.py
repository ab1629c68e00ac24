"""What several test files share: the ISAs and dtypes to test, errors in ulp, awkward arrays."""

import os

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import accuracy
from fastnn import functional as F

ISAS = [os.environ["FASTNN_ISA"]] if os.environ.get("FASTNN_ISA") else core.available_isas()
EXACT = [name for name in core.available_isas() if name != "portable"]  # those that promise the same bits
DTYPES = [np.float32, np.float64]
ROWS = list(F.activations().values())
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100]  # around the lengths of vectors


def ulps(got, true):
    """Largest error of got in units in the last place of its dtype at the true value, which is wider."""
    return float(accuracy.ulps(got, np.asarray(true)).max(initial=0))


def special(dtype):
    """Zeros, subnormals, the largest finite numbers, infinities, and all that at both signs; no NaN."""
    info = np.finfo(dtype)
    positive = [
        0,
        info.smallest_subnormal,
        info.smallest_normal / 2,
        info.smallest_normal,
        info.eps,
        0.5,
        1,
        1.5,
        20,
        88,
        709,
    ]
    positive = np.array([*positive, info.max, np.inf], dtype)
    return np.concatenate([positive, -positive])


def other_params(row):
    """Parameters of an activation that are not the defaults."""
    return {name: 0.7 * value for name, value in row.params.items()}


def floats(stride):
    """Every stride-th of all finite float32 numbers."""
    x = np.arange(0, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return x[np.isfinite(x)]


def layouts(x):
    """Yield (name, array): equal to x, in every layout the gates must take."""
    yield "contiguous", x.copy()
    yield "fortran", x.copy("F")
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    wide[..., 1::2] = x
    yield "strided", wide[..., 1::2]
    yield "reversed", x[..., ::-1].copy()[..., ::-1]
    bytes_ = np.zeros(x.nbytes + 1, np.uint8)
    unaligned = bytes_[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    yield "misaligned", unaligned
    yield "byteswapped", x.astype(x.dtype.newbyteorder())
    readonly = x.copy()
    readonly.flags.writeable = False
    yield "read-only", readonly


class OnlyDlpack:
    """An array that can be read through __dlpack__ alone."""

    def __init__(self, x):
        self._x = x

    def __dlpack__(self, **keywords):
        return self._x.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._x.__dlpack_device__()


def refused(call, error, message):
    """Assert that a call without arguments raises this error with exactly this message."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def central_difference(f, x, step=1e-6, skip=()):
    """Gradient of the scalar function f at x, float64; 0 in the columns to skip."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        if i and i[-1] in skip:
            continue
        kept = x[i]
        x[i] = kept + step
        above = f(x)
        x[i] = kept - step
        below = f(x)
        x[i] = kept
        gradient[i] = (above - below) / (2 * step)
    return gradient


CHAINS = fnn.Sequential, fnn.Residual


def parts(layer):
    """Yield a layer and all the layers in it."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from parts(inner)


def torch_twin(torch, layer):
    """Return PyTorch's module of the same layers, options and arrays; None where it has no such class."""

    class Residual(torch.nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    def made(layer):
        if isinstance(layer, CHAINS):
            kind = Residual if isinstance(layer, fnn.Residual) else torch.nn.Sequential
            return kind(*[made(inner) for inner in layer.layers])
        options = {key: value for key, value in layer.config.items() if key not in ("dtype", "seed", "layer")}
        if "axis" in options:
            options["dim"] = options.pop("axis")
        return getattr(torch.nn, type(layer).__name__)(**options)

    if not all(isinstance(part, CHAINS) or hasattr(torch.nn, type(part).__name__) for part in parts(layer)):
        return None
    twin, arrays = made(layer), layer.state_dict()
    if any(value.dtype == np.float64 for value in arrays.values()):
        twin.double()
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()}, strict=True)
    return twin
