"""Layers. A layer is called for inference, ``y = layer(x)``, and for training, ``y, backward = layer.vjp(x)``.

``dx = backward(dy)`` also sets ``layer.grads[name]`` for each of the layer's parameters. There is no tape: a layer returns its own
backward function, and ``Sequential`` chains them.
"""

import numpy as np

from fastnn import functional as F
from fastnn import init as initialisers

__all__ = [
    "Dropout",
    "Layer",
    "Linear",
    "MLP",
    "Maxout",
    "PReLU",
    "Sequential",
    "Softmax",
]  # and the activations, below


class Layer:
    """Base of all layers: parameters by name, their gradients, and the constructor's arguments.

    A subclass defines ``__call__(x, out=None)`` and ``vjp(x, step=0) -> (y, backward)``, keeps its parameters in ``params`` and
    sets ``grads``. Reading a parameter as an attribute gives a read-only view.
    """

    def __init__(self, **config):
        self.config = config  # what the constructor needs to make this layer again
        self.params = {}
        self.grads = {}
        self.owner = None  # weak reference to the trainer this layer belongs to

    def __getattr__(self, name):
        params = self.__dict__.get("params", {})
        if name not in params:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        view = params[name].view()
        view.flags.writeable = False
        return view

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config.items())})"

    def named_parameters(self):
        """Yield (name, array) of each parameter; the arrays themselves, which an optimizer updates."""
        yield from self.params.items()

    def named_grads(self):
        """Yield (name, array) of each gradient the last backward call set."""
        yield from self.grads.items()

    def state_dict(self):
        """Return a copy of the parameters by PyTorch's names, in PyTorch's shapes."""
        return {name: value.copy() for name, value in self.named_parameters()}

    def load_state_dict(self, state):
        """Copy parameters in; names and shapes must be exactly this layer's, else ValueError and nothing changes.

        Parameters
        ----------
        state : dict
            From name to array (or tensor with ``__array__``).
        """
        own = dict(self.named_parameters())
        given = {name: np.asarray(value) for name, value in state.items()}
        missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        if missing or extra:
            raise ValueError(f"load_state_dict: missing {missing or 'nothing'}, unexpected {extra or 'nothing'}")
        for name, value in given.items():
            if value.shape != own[name].shape:
                raise ValueError(f"load_state_dict: {name} has shape {value.shape} but {own[name].shape} was expected")
        for name, value in given.items():
            np.copyto(own[name], value, casting="same_kind")

    def astype(self, dtype):
        """Return a copy of this layer with parameters of dtype float32 or float64."""
        dtype = _dtype(dtype, "astype")
        copy = self._rebuild()
        for layer in copy._leaves():
            layer.params = {name: value.astype(dtype) for name, value in layer.params.items()}
            if "dtype" in layer.config:
                layer.config["dtype"] = dtype.name
        return copy

    def _rebuild(self):
        """Return a copy that shares no array."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.config = dict(self.config)
        copy.params = {name: value.copy() for name, value in self.params.items()}
        copy.grads = {}
        copy.owner = None
        return copy

    def _leaves(self):
        """Yield the layers that hold parameters themselves."""
        yield self


def _dtype(dtype, func):
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"{func}: dtype is {dtype} but float32 or float64 was expected")
    return dtype


def _count(value, func, name):
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{func}: {name} is {value!r} but a positive integer was expected")
    return int(value)


def _draw_linear(rows, in_features, bias, init, rng, dtype):
    """Return the parameters of a linear map, weight before bias."""
    rng = np.random.default_rng(rng)
    weight = np.asarray((init or initialisers.uniform_fan_in)((rows, in_features), rng))
    if weight.shape != (rows, in_features):
        raise ValueError(f"init: the weight drawn has shape {weight.shape} but {(rows, in_features)} was expected")
    params = {"weight": np.array(weight, dtype, order="C")}
    if bias:
        params["bias"] = initialisers.uniform_fan_in((rows, in_features), rng)[:, 0].astype(dtype)
    return params


class Linear(Layer):
    """y = x @ weight.T + bias.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    init : callable, optional
        (shape, rng) -> array, for the weight; PyTorch's default if None.
    rng : numpy.random.Generator or int, optional
    dtype : float32 or float64
    """

    def __init__(self, in_features, out_features, bias=True, *, init=None, rng=None, dtype=np.float32):
        dtype = _dtype(dtype, "Linear")
        super().__init__(
            in_features=_count(in_features, "Linear", "in_features"),
            out_features=_count(out_features, "Linear", "out_features"),
            bias=bool(bias),
            dtype=dtype.name,
        )
        self.params = _draw_linear(out_features, in_features, bias, init, rng, dtype)

    def __call__(self, x, out=None):
        return F.linear(x, self.params["weight"], self.params.get("bias"), out=out)

    def vjp(self, x, step=0):
        """Return y and backward."""

        def backward(dy, need_dx=True):
            return self._backward(dy, x, need_dx)

        return self(x), backward

    def _backward(self, dy, x, need_dx):
        dx, self.grads["weight"], dbias = F.linear_backward(dy, x, self.params["weight"], need_dx=need_dx)
        if "bias" in self.params:
            self.grads["bias"] = dbias
        return dx


class Maxout(Linear):
    """Largest of ``pieces`` linear functions per unit (Goodfellow et al., 2013).

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
        dtype = _dtype(dtype, "Maxout")
        Layer.__init__(
            self,
            in_features=_count(in_features, "Maxout", "in_features"),
            out_features=_count(out_features, "Maxout", "out_features"),
            pieces=_count(pieces, "Maxout", "pieces"),
            bias=bool(bias),
            dtype=dtype.name,
        )
        self.params = _draw_linear(out_features * pieces, in_features, bias, init, rng, dtype)

    def _pieces(self, x):
        z = super().__call__(x)
        return z.reshape(*z.shape[:-1], self.config["out_features"], self.config["pieces"])

    def __call__(self, x, out=None):
        return F.maxout(self._pieces(x), out=out)

    def vjp(self, x, step=0):
        """Return y and backward."""
        y, index = F.maxout(self._pieces(x), return_index=True)

        def backward(dy, need_dx=True):
            dz = F.maxout_backward(dy, index, self.config["pieces"])
            return self._backward(dz.reshape(*dz.shape[:-2], -1), x, need_dx)

        return y, backward


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
        dtype = _dtype(dtype, "PReLU")
        super().__init__(num_parameters=_count(num_parameters, "PReLU", "num_parameters"), init=init, dtype=dtype.name)
        self.params["weight"] = np.full(num_parameters, init, dtype)

    def __call__(self, x, out=None):
        return F.prelu(x, self.params["weight"], out=out)

    def vjp(self, x, step=0):
        """Return y and backward."""

        def backward(dy, need_dx=True):
            dx, self.grads["weight"] = F.prelu_backward(dy, x, self.params["weight"])
            return dx

        return self(x), backward


class Activation(Layer):
    """An activation of the table; its class is made from the row. Parameters are the row's."""

    name = None  # set by the class of each row

    def __init__(self, *args, **params):
        names = F.activations()[self.name].params
        if len(args) > len(names):
            raise TypeError(
                f"{type(self).__name__}: {len(args)} parameters came but at most {len(names)} were expected"
            )
        params = dict(zip(names, args, strict=False)) | params
        self.saves = F._core.saves(self.name, params)  # also checks them
        super().__init__(**params)

    def __call__(self, x, out=None):
        return F._core.activation_forward(self.name, x, self.config, out)

    def vjp(self, x, step=0):
        """Return y and backward."""
        y = self(x)
        saved = (None, y) if self.saves == "y" else (x, None)

        def backward(dy, need_dx=True):
            return F._core.activation_backward(self.name, dy, *saved, self.config, None)

        return y, backward


for _info in F.activations().values():
    _doc = f"Activation ``functional.{_info.name}``; parameters: {', '.join(_info.params) or 'none'}."
    globals()[_info.layer] = type(
        _info.layer, (Activation,), {"name": _info.name, "__doc__": _doc, "__module__": __name__}
    )
    __all__.append(_info.layer)


class Softmax(Layer):
    """Softmax along an axis. Not needed before ``cross_entropy``, which takes logits.

    Parameters
    ----------
    axis : int
    """

    def __init__(self, axis=-1):
        super().__init__(axis=axis)
        self.axis = axis

    def __call__(self, x, out=None):
        return F.softmax(x, self.axis, out=out)

    def vjp(self, x, step=0):
        """Return y and backward."""
        y = self(x)
        return y, lambda dy, need_dx=True: F.softmax_backward(dy, y, self.axis)


class Dropout(Layer):
    """Dropout in training, nothing at inference; see ``functional.dropout``.

    Parameters
    ----------
    p : float
        Probability of an element to be set to 0.
    seed : int, optional
        Drawn and kept in ``config`` if None.
    layer : int
        Tells layers of one seed apart.
    """

    def __init__(self, p=0.5, *, seed=None, layer=0):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p} but a probability in [0, 1] was expected")
        super().__init__(p=p, seed=initialisers.draw_seed() if seed is None else seed, layer=layer)

    def __call__(self, x, out=None):
        return F.identity(x, out=out)

    def vjp(self, x, step=0):
        """Return y and backward."""
        p, seed, layer = self.config["p"], self.config["seed"], self.config["layer"]

        def apply(a, need_dx=True):  # linear in its input, so its own gradient
            return F._core.dropout(a, p, seed, step, None, layer)

        return apply(x), apply


class Sequential(Layer):
    """Layers one after the other. Immutable: the chain of layers never changes.

    Parameters
    ----------
    *layers
        Layers, or any objects with ``__call__(x)`` and ``vjp(x, step) -> (y, backward)``.
    """

    task = None

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            if not (callable(layer) and hasattr(layer, "vjp")):
                raise TypeError(f"Sequential: layer {i} is {type(layer).__name__} but a layer (with vjp) was expected")
        super().__init__()
        self.layers = tuple(layers)
        leaves = [id(layer) for layer in self._leaves() if layer.params]
        if len(set(leaves)) < len(leaves):
            raise ValueError(
                "Sequential: a layer with parameters appears twice; its gradients would overwrite each other"
            )

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, i):
        return self.layers[i]

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    @property
    def dtype(self):
        """The dtype of the parameters; float32 where there are none."""
        return next((p.dtype for _, p in self.named_parameters()), np.dtype(np.float32))

    @property
    def grads(self):
        """Gradients of the last backward call, by name."""
        return dict(self.named_grads())

    @grads.setter
    def grads(self, value):
        pass  # the layers keep their own

    def _leaves(self):
        for layer in self.layers:
            if isinstance(layer, Layer):
                yield from layer._leaves()

    def _rebuild(self):
        copy = super()._rebuild()
        copy.layers = tuple(layer._rebuild() if isinstance(layer, Layer) else layer for layer in self.layers)
        return copy

    def named_parameters(self):
        """Yield (name, array) as "0.weight", "0.bias", "2.weight", ..."""
        for i, layer in enumerate(self.layers):
            items = layer.named_parameters() if isinstance(layer, Layer) else getattr(layer, "params", {}).items()
            for name, value in items:
                yield f"{i}.{name}", value

    def named_grads(self):
        """Yield (name, array) of each gradient the last backward call set."""
        for i, layer in enumerate(self.layers):
            items = layer.named_grads() if isinstance(layer, Layer) else getattr(layer, "grads", {}).items()
            for name, value in items:
                yield f"{i}.{name}", value

    def __call__(self, x, out=None):
        y = np.asarray(x, self.dtype)
        for layer in self.layers[:-1]:
            y = layer(y)
        if not self.layers:
            return F.identity(y, out=out)
        last = self.layers[-1]
        if isinstance(last, Layer):
            return last(y, out=out)
        return F.identity(last(y), out=out)

    def vjp(self, x, step=0):
        """Return y and backward; ``step`` numbers the training step, for dropout."""
        y = np.asarray(x, self.dtype)
        chain = []
        for layer in self.layers:
            y, back = layer.vjp(y, step=step)
            chain.append((layer, back))

        def backward(dy, need_dx=True):
            for i, (layer, back) in reversed(list(enumerate(chain))):
                dy = back(dy) if need_dx or i or not isinstance(layer, Layer) else back(dy, need_dx=False)
            return dy

        return y, backward


class MLP(Sequential):
    """Sequential(Linear, activation[, Dropout], ..., Linear).

    Parameters
    ----------
    sizes : sequence of int
        Features of the input, the hidden layers and the output.
    activation : str
        A name of ``functional.activations()``.
    dropout : float
        Probability; 0 means no Dropout layers.
    task : {"classification", "regression"}, optional
        Decides the trainer's loss where none is given.
    seed : int, optional
        Of the initial weights and dropout; drawn and recorded in ``seed`` if None.
    dtype : float32 or float64
    """

    def __init__(self, sizes, activation="relu", *, dropout=0.0, task=None, seed=None, dtype=np.float32):
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes is {list(sizes)} but at least an input and an output size were expected")
        if task not in (None, "classification", "regression"):
            raise ValueError(f"MLP: task is {task!r} but 'classification' or 'regression' was expected")
        if activation not in F.activations():
            raise ValueError(f"MLP: activation is {activation!r} but one of {', '.join(F.activations())} was expected")
        self.seed = initialisers.draw_seed() if seed is None else seed
        rng = np.random.default_rng(self.seed)
        layers = []
        for i in range(len(sizes) - 1):
            layers.append(Linear(sizes[i], sizes[i + 1], rng=rng, dtype=dtype))
            if i < len(sizes) - 2:
                layers.append(globals()[F.activations()[activation].layer]())
                if dropout:
                    layers.append(Dropout(dropout, seed=self.seed, layer=len(layers)))
        super().__init__(*layers)
        self.task = task
