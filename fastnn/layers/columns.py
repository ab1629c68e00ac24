"""Layers for columns of a table: scaling.

Design
A. What comes first in a network reads x in the dtype it has (see ``layers.base``) and returns its own: differences, ratios and look-ups
   are made before anything is rounded to float32.
"""

import math

import numpy as np

from fastnn.data import pieces, require_finite
from fastnn.layers.base import (
    Layer,
    Op,
    as_count,
    as_dtype,
    as_float,
    as_gradient,
    as_number,
    as_real,
    deliver,
)


def _as_shape(num_features, func):
    """Return a shape that a positive integer or a sequence of them means, and the argument as plain numbers."""
    if isinstance(num_features, (tuple, list)) and num_features:
        shape = tuple(as_count(n, func, f"num_features[{i}]") for i, n in enumerate(num_features))
        return shape, shape
    count = as_count(num_features, func, "num_features")
    return (count,), count


def _require_features(layer, shape, wanted):
    """Raise ValueError unless the last axes of an input of this shape are those wanted, of which those of length 1 fit any."""
    last = tuple(shape)[len(shape) - len(wanted) :]
    if len(shape) < len(wanted) or any(n not in (1, m) for n, m in zip(wanted, last, strict=True)):
        name = type(layer).__name__
        raise ValueError(f"{name}: the input has shape {tuple(shape)} but num_features is {layer.num_features}")


class _Fitted(Layer):
    """A layer of statistics that ``fit_statistics`` takes from data; they stay in float64 whatever the layer returns."""

    _any_dtype = True

    def _cast(self, dtype):
        self.dtype = dtype


class Standardize(_Fitted):
    """y = (x - mean) / scale, with a mean and a scale that are not trained; 0 and 1 until they are fitted or loaded.

    Parameters
    ----------
    num_features : int or tuple of int
        The shape of ``mean`` and ``scale``, which meet the last axes of x: an integer means a mean per feature, or per channel of
        images (rows, height, width, channels); ``(channels, 1, 1)`` one per channel of images (rows, channels, height, width); the
        shape of an image a mean image.
    dtype : float32 or float64
        Of the output. ``mean`` and ``scale`` are float64, and x is read as it comes where this is a network's first layer: large
        numbers, such as dates in seconds, keep their differences in a float32 network.

    Notes
    -----
    For a mean alone, ``load_state_dict({"mean": mean, "scale": np.ones_like(mean)})``.
    """

    def __init__(self, num_features, *, dtype=np.float32):
        super().__init__()
        shape, self.num_features = _as_shape(num_features, "Standardize")
        self.dtype = as_dtype(dtype, "Standardize")
        self._buffers = {"mean": self._full(shape, 0.0, np.float64), "scale": self._full(shape, 1.0, np.float64)}

    def fit_statistics(self, x):
        """Set mean and scale to the mean and the standard deviation (divided by n) of x; a scale is 1 where x is constant.

        Parameters
        ----------
        x : array_like, shape (rows, ..., *num_features)
            Finite; axes where ``mean`` has length 1 are averaged too. Memory-mapped arrays are read piece by piece.

        Returns
        -------
        Standardize
            This layer.

        Raises
        ------
        ValueError
            For no rows, a shape that does not fit, NaN and infinity.
        """
        x = as_real(x, "fit_statistics", "x")
        shape = self._buffers["mean"].shape
        _require_features(self, x.shape, shape)
        if x.ndim == len(shape) or x.size == 0:
            raise ValueError(
                f"fit_statistics: x has shape {x.shape} but rows before the last {len(shape)} axes were expected"
            )
        require_finite(x, self.dtype, "fit_statistics", "x")
        lead = x.ndim - len(shape)
        axes = tuple(i for i in range(x.ndim) if i < lead or shape[i - lead] == 1)
        first = x[tuple(slice(0, 1) if i in axes else slice(None) for i in range(x.ndim))].astype(np.float64)
        count = math.prod(x.shape[i] for i in axes)

        def average(function):  # of differences from the first row: those of a constant are exactly 0
            return sum(function(rows - first).sum(axes, keepdims=True) for _, rows in pieces(x)) / count

        mean = average(lambda d: d)
        scale = np.sqrt(average(lambda d: np.square(d - mean))).reshape(shape)
        self._take(
            {"mean": (first + mean).reshape(shape), "scale": np.where(scale.astype(self.dtype) == 0, 1.0, scale)}
        )
        return self

    def _statistics(self, x):
        """Return x, mean and scale in the dtype that is computed in."""
        x = as_float(x, "Standardize", self.dtype)
        mean, scale = (self._buffers[name].astype(x.dtype, copy=False) for name in ("mean", "scale"))
        _require_features(self, x.shape, mean.shape)
        return x, mean, scale

    def lower(self, shape):
        _require_features(self, shape, self._buffers["mean"].shape)
        return (Op("standardize", tuple(shape)),)

    def __call__(self, x, out=None):
        x, mean, scale = self._statistics(x)
        y = x - mean
        y /= scale
        return deliver(y.astype(self.dtype, copy=False), out)

    def _vjp(self, x, step, train):
        y = self(x)
        scale = self._buffers["scale"].astype(y.dtype)
        return y, self._backward(lambda dy, need_dx, grads: as_gradient(dy, y, "Standardize") / scale)


class Scale(Layer):
    """y = x * weight, one learned factor per feature.

    Parameters
    ----------
    num_features : int
    init : float
    dtype : float32 or float64
    """

    def __init__(self, num_features, init=1.0, *, dtype=np.float32):
        super().__init__()
        self.num_features = as_count(num_features, "Scale", "num_features")
        self.dtype = as_dtype(dtype, "Scale")
        factor = as_number(init, "Scale", "init")
        if not np.isfinite(factor):
            raise ValueError(f"Scale: init is {init} but a finite number was expected")
        self._parameters["weight"] = self._full((self.num_features,), factor, self.dtype)

    def lower(self, shape):
        _require_features(self, shape, (self.num_features,))
        return (Op("scale", tuple(shape), ("weight",)),)

    def __call__(self, x, out=None):
        x = as_float(x, "Scale")
        _require_features(self, x.shape, (self.num_features,))
        return deliver(x * self._parameters["weight"], out)

    def _vjp(self, x, step, train):
        y = self(x)

        def pull(dy, need_dx, grads):
            weight = self._parameters["weight"]
            dy = as_gradient(dy, y, "Scale")
            products = (dy * as_real(x, "Scale", "x")).reshape(-1, self.num_features)
            grads["weight"] = products.sum(0, dtype=np.float64).astype(weight.dtype)
            return dy * weight if need_dx else None

        return y, self._backward(pull)
