"""Layers with a weight matrix."""

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F
from fastnn.init import as_initialisers, bind, draw
from fastnn.layers.base import Layer, Op, as_count, as_dtype, as_flag, blank
from fastnn.random import as_generator


class Linear(Layer):
    """y = x @ weight.T + bias, as ``torch.nn.Linear``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    init : str, callable or pair of them, optional
        Initialiser of the weight: a name of ``fastnn.init``, or a function (shape, rng) -> array; the bias is then 0, except for
        "torch" and "sklearn". Or a pair (weight, bias), such as ``("kaiming_normal", "constant")``. PyTorch's default if None.
    rng : numpy.random.Generator or int, optional
        An integer is a seed in [0, 2^64), whose numbers are the same everywhere (``fastnn.random.Philox``).
    dtype : float32 or float64
    """

    def __init__(self, in_features, out_features, bias=True, *, init=None, rng=None, dtype=np.float32):
        super().__init__()
        func = type(self).__name__
        self.in_features = as_count(in_features, func, "in_features")
        self.out_features = as_count(out_features, func, "out_features")
        self.dtype = as_dtype(dtype, func)
        bias = as_flag(bias, func, "bias")
        shapes = {"weight": (self._rows(), self.in_features), "bias": (self._rows(),) if bias else None}
        if self._blank:
            arrays = {name: shape and blank(shape, self.dtype) for name, shape in shapes.items()}
        else:
            arrays = self._drawn(shapes, as_initialisers(init, func), as_generator(rng, func))
        for name, array in arrays.items():
            self._keep(name, array, k_major=name == "weight")

    def _drawn(self, shapes, initialisers, rng):
        """Return the parameters of these shapes, drawn in their order."""
        func, fans, drawn = type(self).__name__, (self.in_features, self._rows()), {}
        for (name, shape), initialiser in zip(shapes.items(), initialisers, strict=True):
            array = shape and draw(bind(initialiser, fans=fans), shape, rng, func, name)
            drawn[name] = None if array is None else np.asarray(array, self.dtype)
        return drawn

    def _rows(self):
        """Return how many rows the weight has."""
        return self.out_features

    @property
    def config(self):
        """As for every layer; ``bias`` tells whether there is one, while the attribute is the bias itself."""
        return super().config | {"bias": self._parameters["bias"] is not None}

    def _affine(self, x, out=None):
        return _core.linear(x, self._parameters["weight"], self._parameters["bias"], None, out, False, {})

    def _affine_backward(self, dz, x, need_dx, grads):
        weight = self._parameters["weight"]
        dx, grads["weight"], dbias = _core.linear_backward(dz, x, weight, None, None, None, need_dx, {})
        if self._parameters["bias"] is not None:
            grads["bias"] = dbias
        return dx

    def __call__(self, x, out=None):
        return self._affine(x, out)

    def lower(self, shape):
        if not shape or shape[-1] != self.in_features:
            raise ValueError(
                f"{type(self).__name__}: the input has shape {tuple(shape)} but in_features is {self.in_features}"
            )
        return (Op("linear", (*shape[:-1], self._rows()), tuple(name for name, _ in self.named_parameters())),)

    def _vjp(self, x, step, train):
        return self._affine(x), self._backward(lambda dy, need_dx, grads: self._affine_backward(dy, x, need_dx, grads))


class Maxout(Linear):
    """Largest of ``pieces`` linear functions per unit: y_u = max over p of (weight x + bias)_(u, p) (Goodfellow et al., 2013).

    Parameters
    ----------
    in_features, out_features : int
        out_features counts units.
    pieces : int
        weight is (out_features * pieces, in_features); row u * pieces + p is piece p of unit u.
    bias : bool
    init, rng, dtype
        As for ``Linear``.
    """

    def __init__(self, in_features, out_features, pieces=2, bias=True, *, init=None, rng=None, dtype=np.float32):
        self.pieces = as_count(pieces, type(self).__name__, "pieces")
        super().__init__(in_features, out_features, bias, init=init, rng=rng, dtype=dtype)

    def _rows(self):
        return self.out_features * self.pieces

    def lower(self, shape):
        return (*super().lower(shape), Op("maxout", (*shape[:-1], self.out_features), numbers={"pieces": self.pieces}))

    def _pieces(self, x):
        z = self._affine(x)
        return z.reshape(*z.shape[:-1], self.out_features, self.pieces)

    def __call__(self, x, out=None):
        return F.maxout(self._pieces(x), out=out)

    def _vjp(self, x, step, train):
        y, index = F.maxout(self._pieces(x), return_index=True)

        def pull(dy, need_dx, grads):
            dz = F.maxout_backward(dy, index, self.pieces)
            return self._affine_backward(dz.reshape(*dz.shape[:-2], self._rows()), x, need_dx, grads)

        return y, self._backward(pull)
