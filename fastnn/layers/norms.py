"""Layers that bring their input to mean 0 and variance 1: LayerNorm and RMSNorm each row, BatchNorm1d each feature.

Design
A. What training changes besides the parameters is not changed by ``vjp``: the running statistics after a step are new arrays in
   ``backward.buffers``, by name. Containers gather them, and who makes the step copies them in together with the updates.
"""

import math

import numpy as np

from fastnn import functional as F
from fastnn.layers.base import (
    Layer,
    Op,
    as_count,
    as_dtype,
    as_flag,
    as_gradient,
    as_nonnegative,
    as_number,
    as_real,
    deliver,
)


class _RowNorm(Layer):
    """A norm of the last axes, with a weight per element of them."""

    _kind = None  # of the row that it becomes, and the name of its function
    _only_factors = True

    def __init__(self, normalized_shape, eps, elementwise_affine, dtype):
        super().__init__()
        func = type(self).__name__
        shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        if not shape:
            raise ValueError(f"{func}: normalized_shape is {normalized_shape!r} but at least one axis was expected")
        self.normalized_shape = tuple(as_count(n, func, "normalized_shape") for n in shape)
        self.eps = eps
        self.elementwise_affine = as_flag(elementwise_affine, func, "elementwise_affine")
        self.dtype = as_dtype(dtype, func)
        self._keep("weight", self._full(self.normalized_shape, 1.0, self.dtype) if elementwise_affine else None)

    def _require_shape(self, shape):
        if tuple(shape[max(0, len(shape) - len(self.normalized_shape)) :]) != self.normalized_shape:
            name = type(self).__name__
            raise ValueError(
                f"{name}: the input has shape {tuple(shape)} but normalized_shape is {self.normalized_shape}"
            )

    def lower(self, shape):
        self._require_shape(shape)
        names = tuple(name for name, _ in self.named_parameters())
        return (Op(self._kind, tuple(shape), names, {"axes": len(self.normalized_shape), "eps": self.eps}),)

    def _flat(self, x):
        """Return x with the axes that are normalised in one."""
        x = as_real(x, type(self).__name__, "x")
        self._require_shape(x.shape)
        if len(self.normalized_shape) == 1:
            return x
        return x.reshape(*x.shape[: x.ndim - len(self.normalized_shape)], math.prod(self.normalized_shape))

    def _apply(self, flat, out=None):
        arrays = {name: value.reshape(-1) for name, value in self.named_parameters()}
        return getattr(F, self._kind)(flat, **arrays, eps=self.eps, out=out)

    def __call__(self, x, out=None):
        flat = self._flat(x)
        if len(self.normalized_shape) == 1:
            return self._apply(flat, out)
        return deliver(self._apply(flat).reshape(np.shape(x)), out)

    def _vjp(self, x, step, train):
        flat = self._flat(x)
        y = self._apply(flat).reshape(np.shape(x))

        def pull(dy, need_dx, grads):
            dy = as_gradient(dy, y, type(self).__name__).reshape(flat.shape)
            weight = self._parameters["weight"]
            weight = None if weight is None else weight.reshape(-1)
            dx, *sums = getattr(F, f"{self._kind}_backward")(dy, flat, weight, eps=self.eps)
            for (name, value), total in zip(self._parameters.items(), sums, strict=True):
                if value is not None:
                    grads[name] = total.reshape(value.shape)
            return dx.reshape(y.shape)

        return y, self._backward(pull)


class LayerNorm(_RowNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and variance of each row; see ``functional.layer_norm``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which mean and variance are taken; weight and bias have this shape.
    eps : float
    elementwise_affine : bool
        Whether there are a weight and a bias; they start as 1 and 0.
    bias : bool
    dtype : float32 or float64
    """

    _kind = "layer_norm"

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, *, dtype=np.float32):
        super().__init__(normalized_shape, as_nonnegative(eps, "LayerNorm", "eps"), elementwise_affine, dtype)
        with_bias = as_flag(bias, "LayerNorm", "bias") and self.elementwise_affine
        self._keep("bias", self._full(self.normalized_shape, 0.0, self.dtype) if with_bias else None)

    @property
    def config(self):
        """As for every layer; ``bias`` tells whether there is one, while the attribute is the bias itself."""
        return super().config | {"bias": self._parameters["bias"] is not None or not self.elementwise_affine}


class RMSNorm(_RowNorm):
    """y = x / sqrt(mean(x^2) + eps) * weight, with the mean of each row; see ``functional.rms_norm``.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The last axes of x, over which the mean is taken; the weight has this shape.
    eps : float, optional
        The epsilon of the dtype of x if None.
    elementwise_affine : bool
        Whether there is a weight; it starts as 1.
    dtype : float32 or float64
    """

    _kind = "rms_norm"

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, *, dtype=np.float32):
        eps = None if eps is None else as_nonnegative(eps, "RMSNorm", "eps")
        super().__init__(normalized_shape, eps, elementwise_affine, dtype)


class BatchNorm1d(Layer):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and variance of each feature; see ``functional.batch_norm``.

    In training they are those of the minibatch, which needs at least two values of each feature. ``Trainer.step`` and ``fit`` move
    the running ones towards them; inference uses the running ones. ``vjp`` changes nothing: ``backward.buffers`` has what the
    running statistics are to become.

    Parameters
    ----------
    num_features : int
        x has shape (rows, num_features) or (rows, num_features, length).
    eps : float
    momentum : float, optional
        Share of the new statistics in the running ones; if None these are the mean over all minibatches so far.
    affine : bool
        Whether there are a weight and a bias; they start as 1 and 0.
    track_running_stats : bool
        False: there are no running statistics, and a result at inference depends on the rows it is computed with, two at least;
        ``Trainer`` predicts and evaluates 1024 at a time.
    dtype : float32 or float64
    """

    def __init__(
        self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, *, dtype=np.float32
    ):
        super().__init__()
        func = type(self).__name__
        self.num_features = as_count(num_features, func, "num_features")
        self.eps = as_nonnegative(eps, func, "eps")
        self.momentum = None if momentum is None else as_number(momentum, func, "momentum")
        if momentum is not None and not 0 <= self.momentum <= 1:
            raise ValueError(f"{func}: momentum is {momentum} but a number in [0, 1] or None was expected")
        self.affine = as_flag(affine, func, "affine")
        self.track_running_stats = as_flag(track_running_stats, func, "track_running_stats")
        self.dtype = as_dtype(dtype, func)

        def made(wanted, value, shape=(self.num_features,), dtype=self.dtype):
            return self._full(shape, value, dtype) if wanted else None

        self._keep("weight", made(self.affine, 1.0))
        self._keep("bias", made(self.affine, 0.0))
        self._buffers = {
            "running_mean": made(self.track_running_stats, 0.0),
            "running_var": made(self.track_running_stats, 1.0),
            "num_batches_tracked": made(self.track_running_stats, 0, (), np.int64),
        }

    _least_rows = 2

    def _require_shape(self, shape):
        if len(shape) not in (2, 3) or shape[1] != self.num_features:
            n = self.num_features
            raise ValueError(
                f"BatchNorm1d: the input has shape {tuple(shape)} but (rows, {n}) or (rows, {n}, length) was expected"
            )

    def lower(self, shape):
        self._require_shape(shape)
        names = tuple(name for name, _ in self.named_parameters())
        return (Op("batch_norm", tuple(shape), names, {"eps": self.eps, "momentum": self.momentum}),)

    def _input(self, x):
        x = as_real(x, "BatchNorm1d", "x")
        self._require_shape(x.shape)
        return x

    def _norm(self, x, running, training, **options):
        weight, bias = self._parameters.values()
        mean, var = running.get("running_mean"), running.get("running_var")
        return F.batch_norm(x, mean, var, weight, bias, training=training, eps=self.eps, **options)

    def __call__(self, x, out=None):
        return self._norm(self._input(x), self._buffers, not self.track_running_stats, out=out)

    def _vjp(self, x, step, train):
        x, training, new, momentum = self._input(x), train or not self.track_running_stats, {}, 0.0
        if train and self.track_running_stats:
            new = {name: value.copy() for name, value in self.named_buffers()}
            new["num_batches_tracked"] += 1
            momentum = 1 / int(new["num_batches_tracked"]) if self.momentum is None else self.momentum
        running = new if training else self._buffers
        y, mean, var = self._norm(x, running, training, momentum=momentum, return_statistics=True)

        def pull(dy, need_dx, grads):
            weight = self._parameters["weight"]
            dx, *sums = F.batch_norm_backward(dy, x, mean, var, weight, training=training, eps=self.eps)
            if self.affine:
                grads["weight"], grads["bias"] = sums
            return dx

        return y, self._backward(pull, new)
