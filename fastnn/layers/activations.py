"""Layers that work on each element or each row: activations, PReLU, Softmax, Dropout."""

import inspect

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F
from fastnn.layers.base import BLANK, Layer, Op, as_count, as_dtype, as_integer, as_number, as_probability, blank
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
            raise TypeError(f"{func} takes {taken} but {len(args)} were given")
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
        saved = (None, y) if _core.backward_reads(self.name, params) == "y" else (x, None)
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
    """ReLU with learned slopes; see ``functional.prelu``.

    Parameters
    ----------
    num_parameters : int
        1, or one per feature.
    init : float
    dtype : float32 or float64
    """

    def __init__(self, num_parameters=1, init=0.25, *, dtype=np.float32):
        super().__init__()
        self.num_parameters = as_count(num_parameters, "PReLU", "num_parameters")
        self.dtype = as_dtype(dtype, "PReLU")
        if init is BLANK:
            self._parameters["weight"] = blank((self.num_parameters,), self.dtype)
            return
        slope = as_number(init, "PReLU", "init")
        if not np.isfinite(slope):
            raise ValueError(f"PReLU: init is {init} but a finite number was expected")
        self._parameters["weight"] = np.full(self.num_parameters, slope, self.dtype)

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


class Softmax(Layer):
    """Softmax along an axis. Not needed before ``cross_entropy``, which takes logits.

    Parameters
    ----------
    axis : int
    """

    _keeps_y = True

    def __init__(self, axis=-1):
        super().__init__()
        self.axis = as_integer(axis, "Softmax", "axis")

    def lower(self, shape):
        if not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"Softmax: the input has shape {tuple(shape)} but axis is {self.axis}")
        return (Op("softmax", tuple(shape), numbers={"axis": self.axis}),)

    def __call__(self, x, out=None):
        return F.softmax(x, self.axis, out=out)

    def _vjp(self, x, step, train):
        y, axis = self(x), self.axis
        return y, self._backward(lambda dy, need_dx, grads: F.softmax_backward(dy, y, axis))


class Dropout(Layer):
    """Dropout in training, nothing at inference; see ``functional.dropout``.

    Parameters
    ----------
    p : float
        Probability of an element to be set to 0.
    seed : int, optional
        In [0, 2**64); drawn and kept as ``seed`` if None.
    layer : int
        In [0, 2**32); tells layers of one seed apart.
    """

    def __init__(self, p=0.5, *, seed=None, layer=0):
        super().__init__()
        self.p = as_probability(p, "Dropout", "p")
        self.seed = draw_seed() if seed is None else as_integer(seed, "Dropout", "seed", 0, 2**64 - 1)
        self.layer = as_integer(layer, "Dropout", "layer", 0, 2**32 - 1)

    def lower(self, shape):
        return (Op("dropout", tuple(shape), numbers=self.config),)

    def __call__(self, x, out=None):
        return F.identity(x, out=out)

    def _vjp(self, x, step, train):
        p, seed, layer = self.p, self.seed, self.layer

        def apply(a, *_):  # linear in its input, so its own gradient
            return _core.dropout(a, p, seed, step, None, layer) if train else F.identity(a)

        return apply(x), self._backward(apply)
