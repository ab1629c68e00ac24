"""Layers that work on each element or each row: activations, PReLU, Softmax, Dropout; Flatten."""

import inspect
import math

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F
from fastnn.layers.base import (
    Layer,
    Op,
    as_count,
    as_dtype,
    as_finite,
    as_gradient,
    as_integer,
    as_number,
    as_probability,
    as_real,
)
from fastnn.random import draw_seed


class Activation(Layer):
    """An activation of the table; its class is made from the row, and its parameters are the row's."""

    name = None  # set by the class of each row, as are
    names = ()  # the names of its parameters

    def __init__(self, *args, **params):
        super().__init__()
        func, defaults = type(self).__name__, F.activations()[self.name].params
        names = ", ".join(defaults)
        if len(args) > len(defaults):
            taken = (
                f"at most {len(defaults)} parameter{'s'[: len(defaults) > 1]} ({names})" if names else "no parameters"
            )
            raise TypeError(f"{func} takes {taken} but {len(args)} {'was' if len(args) == 1 else 'were'} given")
        for name, value in zip(defaults, args, strict=False):
            if name in params:
                raise TypeError(f"{func}: {name} given twice")
            params[name] = value
        for name in params:
            if name not in defaults:
                raise TypeError(f"{func}: unknown parameter {name!r} ({func} takes {names or 'none'})")
        for name, default in defaults.items():
            setattr(self, name, as_number(params.get(name, default), func, name))
        _core.backward_reads(self.name, self.params)  # checks the values

    @property
    def params(self):
        """The row's parameters by name."""
        return {name: getattr(self, name) for name in self.names}

    @property
    def saves(self):
        """What the gradient is computed from: "x" or "y"."""
        return _core.backward_reads(self.name, self.params)

    @property
    def _keeps_y(self):
        return self.saves == "y"

    def lower(self, shape):
        return (Op(self.name, tuple(shape), numbers=self.params),)

    def __call__(self, x, out=None):
        return _core.activation_forward(self.name, x, self.params, out)

    def _vjp(self, x, step, train):
        params = self.params
        y = _core.activation_forward(self.name, x, params, None)
        # A y rounded to 1 tells nothing of its tail; training takes it to spare memory.
        saved = (None, y) if train and _core.backward_reads(self.name, params) == "y" else (x, None)
        return y, self._backward(
            lambda dy, need_dx, grads: _core.activation_backward(self.name, dy, *saved, params, None)
        )


def _activation(name):
    """Make the class of a row of the table of activations."""
    info = F.activations()[name]

    def __init__(self, *args, **params):
        Activation.__init__(self, *args, **params)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = [inspect.Parameter(key, kind, default=value) for key, value in info.params.items()]
    __init__.__signature__ = inspect.Signature([inspect.Parameter("self", kind), *arguments])
    doc = f"Activation ``functional.{name}``."
    if info.params:
        lines = "\n    ".join(f"{key} : float, default {value}" for key, value in info.params.items())
        doc += f"\n\n    Parameters\n    ----------\n    {lines}\n    "
    members = {"name": name, "names": tuple(info.params), "__init__": __init__, "__doc__": doc, "__module__": __name__}
    return type(info.layer, (Activation,), members)


Identity = _activation("identity")
ReLU = _activation("relu")
LeakyReLU = _activation("leaky_relu")
ELU = _activation("elu")
CELU = _activation("celu")
Sigmoid = _activation("sigmoid")
Tanh = _activation("tanh")
Softplus = _activation("softplus")
LogSigmoid = _activation("logsigmoid")
Hardshrink = _activation("hardshrink")
Square = _activation("square")
SiLU = _activation("silu")
GELU = _activation("gelu")
GELUTanh = _activation("gelu_tanh")
Mish = _activation("mish")
SELU = _activation("selu")
Softsign = _activation("softsign")
Tanhshrink = _activation("tanhshrink")
Softshrink = _activation("softshrink")
Threshold = _activation("threshold")
ReLU6 = _activation("relu6")
Hardtanh = _activation("hardtanh")
Hardsigmoid = _activation("hardsigmoid")
Hardswish = _activation("hardswish")


class PReLU(Layer):
    """y = x where x > 0, else weight x, with learned slopes (He et al., 2015); see ``functional.prelu``.

    Parameters
    ----------
    num_parameters : int
        1, or one per feature of the last axis: PyTorch's channels where x is (rows, features).
    init : float
    dtype : float32 or float64
    """

    def __init__(self, num_parameters=1, init=0.25, *, dtype=np.float32):
        super().__init__()
        self.num_parameters = as_count(num_parameters, "PReLU", "num_parameters")
        self.dtype = as_dtype(dtype, "PReLU")
        slope = as_finite(init, "PReLU", "init")
        self._keep("weight", self._full((self.num_parameters,), slope, self.dtype))

    def lower(self, shape):
        if self.num_parameters not in (1, *shape[-1:]):
            raise ValueError(f"PReLU: the input has shape {tuple(shape)} but num_parameters is {self.num_parameters}")
        return (Op("prelu", tuple(shape), ("weight",)),)

    def __call__(self, x, out=None):
        return F.prelu(x, self._parameters["weight"], out=out)

    def _vjp(self, x, step, train):
        def pull(dy, need_dx, grads):
            dx, grads["weight"] = F.prelu_backward(dy, x, self._parameters["weight"])
            return dx

        return self(x), self._backward(pull)


class _AlongAxis(Layer):
    """A function of the rows along an axis, whose gradient is computed from its output."""

    _keeps_y = True
    _kind = None  # the name of the function

    def __init__(self, axis=-1):
        super().__init__()
        self.axis = as_integer(axis, type(self).__name__, "axis")

    def lower(self, shape):
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"{type(self).__name__}: the input has shape {tuple(shape)} but axis is {self.axis}")
        return (Op(self._kind, tuple(shape), numbers={"axis": self.axis}),)

    def __call__(self, x, out=None):
        return getattr(F, self._kind)(x, self.axis, out=out)

    def _vjp(self, x, step, train):
        y, axis, pull = self(x), self.axis, getattr(F, f"{self._kind}_backward")
        return y, self._backward(lambda dy, need_dx, grads: pull(dy, y, axis))


class Softmax(_AlongAxis):
    """y_i = e^x_i / sum_j e^x_j along an axis, as ``torch.nn.Softmax``. Not needed before ``cross_entropy``, which takes logits.

    Parameters
    ----------
    axis : int
    """

    _kind = "softmax"

    def _vjp(self, x, step, train):
        y, backward = super()._vjp(x, step, train)
        if train or not y.size:
            return y, backward
        top = np.argmax(y, self.axis, keepdims=True)

        def pull(dy, need_dx, grads):
            # The gradient stays the same where one number is subtracted from every dy of a row. Here that is the dy of the largest y:
            # then only the small y take part, which have all their digits, and not 1 - y of a y that was rounded to 1.
            dy = as_gradient(dy, y, "Softmax")
            return backward(dy - np.take_along_axis(dy, top, self.axis), need_dx)

        return y, self._backward(pull)


class LogSoftmax(_AlongAxis):
    """y_i = x_i - log sum_j e^x_j along an axis, as ``torch.nn.LogSoftmax``: log-probabilities, as ``nll`` and ``kl_div`` take them.

    Parameters
    ----------
    axis : int
    """

    _kind = "log_softmax"


class Dropout(Layer):
    """y = x / (1 - p) with probability 1 - p, else 0, in training (Srivastava et al., 2014), x at inference; see ``functional.dropout``.

    Parameters
    ----------
    p : float
        Probability of an element to be set to 0.
    seed : int, optional
        In [0, 2**64); drawn and kept as ``seed`` if None.
    layer : int
        In [0, 2**32); tells layers of one seed apart.
    """

    _kind = "dropout"

    def __init__(self, p=0.5, *, seed=None, layer=0):
        super().__init__()
        func = type(self).__name__
        self.p = as_probability(p, func, "p")
        self.seed = draw_seed() if seed is None else as_integer(seed, func, "seed", 0, 2**64 - 1)
        self.layer = as_integer(layer, func, "layer", 0, 2**32 - 1)

    def lower(self, shape):
        return (Op(self._kind, tuple(shape), numbers=self.config),)

    def __call__(self, x, out=None):
        return F.identity(x, out=out)

    def _mask(self, step):
        """Return the function of an array that sets elements to 0 and divides the others by 1 - p."""
        p, seed, layer = self.p, self.seed, self.layer
        return lambda a: _core.dropout(a, p, seed, step, None, layer)

    def _vjp(self, x, step, train):
        apply = self._mask(step) if train else F.identity  # linear in its input, so its own gradient
        y, func = apply(x), type(self).__name__
        return y, self._backward(lambda dy, need_dx, grads: apply(as_gradient(dy, y, func)))


class AlphaDropout(Dropout):
    """Dropout that keeps mean 0 and variance 1, for networks of ``SELU`` (Klambauer et al., 2017); nothing at inference.

    With probability p an element becomes -alpha, alpha = 1.7580993..., the limit of selu at minus infinity; then everything becomes
    a x + b with a = ((1 - p) (1 + p alpha^2))^(-1/2) and b = a p alpha. PyTorch's formula; the mask is that of ``Dropout``.

    Parameters
    ----------
    p : float
        Probability of an element to be replaced.
    seed, layer : int
        As for ``Dropout``.
    """

    _kind = "alpha_dropout"

    def _vjp(self, x, step, train):
        if not train or self.p == 0:
            return super()._vjp(x, step, False)
        drawn = self.p, self.seed, step, self.layer
        y = _core.alpha_dropout(x, *drawn, False)

        def pull(dy, need_dx, grads):
            return _core.alpha_dropout(as_gradient(dy, y, "AlphaDropout"), *drawn, True)

        return y, self._backward(pull)


class Flatten(Layer):
    """Make one axis of several, such as rows (batch, height * width) of images (batch, height, width), as ``torch.nn.Flatten``.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of these axes; PyTorch's names and defaults.
    """

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim = as_integer(start_dim, "Flatten", "start_dim")
        self.end_dim = as_integer(end_dim, "Flatten", "end_dim")

    def _flat(self, shape):
        """Return the shape of the output."""
        n = max(len(shape), 1)  # a scalar counts as one axis
        first, last = (axis + n if axis < 0 else axis for axis in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < n:
            raise ValueError(
                f"Flatten: the input has shape {tuple(shape)} but start_dim is {self.start_dim} and end_dim {self.end_dim}"
            )
        merged = shape[first : last + 1]
        return (*shape[:first], None if None in merged else math.prod(merged), *shape[last + 1 :])

    def lower(self, shape):
        return (Op("flatten", self._flat(tuple(shape))),)

    def __call__(self, x, out=None):
        x = as_real(x, "Flatten", "x")
        return F.identity(x.reshape(self._flat(x.shape)), out=out)

    def _vjp(self, x, step, train):
        y, shape = self(x), np.shape(x)
        return y, self._backward(lambda dy, need_dx, grads: F.identity(as_gradient(dy, y, "Flatten").reshape(shape)))
