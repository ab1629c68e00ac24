"""Layers made of layers."""

import inspect
import math
from copy import copy

import numpy as np

from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn._fastnn_core import Predictors
from fastnn.init import as_initialisers, bind, calculate_gain
from fastnn.layers import activations
from fastnn.layers.activations import Dropout
from fastnn.layers.base import Layer, Op, as_count, as_dtype, as_gradient, as_integer, as_probability, as_real, deliver
from fastnn.layers.linear import Linear
from fastnn.random import Philox, as_generator, draw_seed


def _own(layer):
    """Whether a layer is called by the protocol of fastnn's own: ``_vjp``, whose output nobody else sees, and ``need_dx``."""
    return isinstance(layer, Layer) and type(layer).vjp is Layer.vjp


# What a model's outputs are, from task to the activation that makes probabilities of them; None where they are used as they are.
# The losses that belong to the tasks stand in the table of losses.
TASKS = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "classification": "softmax",
    "multilabel": "sigmoid",
    "regression": None,
    "unit_interval": None,
}


def as_task(task, func):
    """Return the name of a task, or None."""
    if task is not None and not (isinstance(task, str) and task in TASKS):
        raise ValueError(f"{func}: task is {task!r} but one of {', '.join(TASKS)} was expected")
    return None if task is None else str(task)


def _rows_of_leaf(layer, shape):
    if not hasattr(layer, "lower"):
        raise NotImplementedError(f"lower: {type(layer).__name__} has no rows; it runs as a layer")
    return layer.lower(shape)


def rows_of(layer, shape, leaf):
    """Return the rows of a layer, where ``leaf(layer, shape)`` returns those of one that is no container."""
    return layer._rows(shape, leaf) if isinstance(layer, Container) else leaf(layer, shape)


def _weights_of(layer):
    if isinstance(layer, Layer):
        return layer._weights()
    return (name for name, value in getattr(layer, "named_parameters", tuple)() if value.ndim > 1)


class Container(Layer):
    """Layers, whose arrays are named "0.weight", "0.bias", "2.weight", ... Base of the containers."""

    _described = ()  # the attributes that make the container again, beside its layers

    def __init__(self, *layers):
        func = type(self).__name__
        for i, layer in enumerate(layers):
            if isinstance(layer, type) or not (callable(layer) and hasattr(layer, "vjp")):
                given = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
                raise TypeError(f"{func}: layer {i} is {given} but a layer (with vjp) was expected")
            if getattr(layer, "_members", None) and not (isinstance(self, Sequential) and i == len(layers) - 1):
                raise ValueError(f"{func}: layer {i} ends with an Ensemble but only the last layer of a Sequential may")
        super().__init__()
        self.layers = tuple(layers)
        leaves = [id(layer) for layer in self._leaves() if next(layer._named_state(), None)]
        if len(set(leaves)) < len(leaves):
            raise ValueError(f"{func}: a layer with parameters appears twice; its gradients would overwrite each other")

    @classmethod
    def _made_of(cls, layers):
        """Return a container of these layers and of what ``_described`` names, given by name."""
        return cls(*layers)

    def __setattr__(self, name, value):
        if name == "layers" and name in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: layers cannot be assigned; make another one of other layers")
        super().__setattr__(name, value)

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, i):
        return self.layers[i]

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    @property
    def is_native(self):
        """Whether the container and all its layers are fastnn's own: what their gradients look like is known then."""
        return type(self).__module__.startswith(f"{__package__}.") and all(
            layer.is_native if isinstance(layer, Container) else type(layer).__module__.startswith(f"{__package__}.")
            for layer in self.layers
        )

    @property
    def dtype(self):
        """The dtype of the parameters; float32 where there are none."""
        return next((p.dtype for _, p in self.named_parameters()), np.dtype(np.float32))

    def named_parameters(self):
        """Yield (name, array) as "0.weight", "0.bias", "2.weight", ..."""
        return self._named("named_parameters")

    def named_buffers(self):
        """Yield (name, array) of each array that belongs to the state but is not trained, named like parameters."""
        return self._named("named_buffers")

    def _named(self, kind):
        for i, layer in enumerate(self.layers):
            for name, value in getattr(layer, kind, tuple)():  # an object without them has no arrays
                yield f"{i}.{name}", value

    def _weights(self):
        for i, layer in enumerate(self.layers):
            for name in _weights_of(layer):
                yield f"{i}.{name}"

    def _leaves(self):
        for layer in self.layers:
            if isinstance(layer, Layer):
                yield from layer._leaves()

    def _cast(self, dtype):
        for layer in self.layers:
            if isinstance(layer, Layer):
                layer._cast(dtype)

    def _take(self, state):
        parts = [{} for _ in self.layers]
        for name, value in state.items():
            i, _, inner = name.partition(".")
            parts[int(i)][inner] = value
        for layer, part in zip(self.layers, parts, strict=True):
            if isinstance(layer, Layer):
                layer._take(part)
            else:
                for name, value in getattr(layer, "named_parameters", tuple)():
                    np.copyto(value, part[name])

    def _as_own(self, x):
        """Return x in the dtype of the parameters; where there are none, in that of functions of x."""
        first = next(self.named_parameters(), None)
        dtype = np.result_type(x.dtype, np.float32) if first is None else first[1].dtype
        return x if x.dtype == dtype else x.astype(dtype)

    def lower(self, shape):
        """As for every layer; the rows of the layers, and those of the container's own that ``_rows`` describes."""
        return tuple(self._rows(tuple(shape), _rows_of_leaf))

    def _rows(self, shape, leaf):
        """Return a list of the rows; see ``rows_of``."""
        raise NotImplementedError

    def _rows_of(self, i, shape, leaf):
        """Return the rows of layer i."""
        return [op.inside(i) for op in rows_of(self.layers[i], shape, leaf)]

    def _vjp_layer(self, i, x, step, train):
        """Return the output of layer i and its backward function, or one like those of fastnn's own layers."""
        layer = self.layers[i]
        if _own(layer):
            return layer._vjp(x, step, train)
        takes_train = "train" in inspect.signature(layer.vjp).parameters
        y, back = layer.vjp(x, step=step, train=train) if takes_train else layer.vjp(x, step=step)

        def backward(dy, need_dx=True):
            dx = back(dy)
            backward.grads = back.grads if hasattr(back, "grads") else getattr(layer, "grads", {})
            return dx

        backward.buffers = getattr(back, "buffers", {})
        return y, backward

    def _trace(self, x, step):
        """Yield (place, layer, output in training) of each layer inside, in the order they are computed.

        A place is what names of arrays begin with, such as "2.0". A container comes after the layers inside it.
        """
        raise NotImplementedError

    def _trace_layer(self, i, x, step):
        """Yield what ``_trace`` does of layer i; return its output."""
        layer = self.layers[i]
        for place, inner, y in layer._trace(x, step) if isinstance(layer, Container) else ():
            yield f"{i}.{place}", inner, y
        y, _ = self._vjp_layer(i, x, step, True)
        yield f"{i}", layer, y
        return y

    def _backward_of(self, backs, pull):
        """Return the backward function, ``pull(dy, need_dx)``, with what those of the layers have made of gradients and buffers."""

        def pull_all(dy, need_dx, grads):
            dx = pull(dy, need_dx)
            grads.update(self._collected(backs, "grads"))
            return dx

        return self._backward(pull_all, dict(self._collected(backs, "buffers")))

    @staticmethod
    def _collected(backs, kind):
        """Yield (name, array) of each layer's ``grads`` or ``buffers``."""
        for i, back in enumerate(backs):
            for name, value in getattr(back, kind).items():
                yield f"{i}.{name}", value

    @property
    def _least_rows(self):
        return max((getattr(layer, "_least_rows", 1) for layer in self.layers), default=1)


def _without_last(layers):
    """Return layers without the last one, or without the last of a container at their end."""
    *first, last = layers
    return (*first, last._without_last()) if isinstance(last, (Sequential, Ensemble)) else tuple(first)


class _Chain(Container):
    """Layers one after the other."""

    @property
    def _any_dtype(self):
        return bool(self.layers) and getattr(self.layers[0], "_any_dtype", False)

    def _input(self, x):
        """Return the input of the first layer: in the dtype of the parameters, or as it came for a layer that takes any."""
        x = as_real(x, type(self).__name__, "x")
        return x if self._any_dtype else self._as_own(x)

    def _check_rows(self, x):
        if self.layers and isinstance(self.layers[0], Layer):
            self.layers[0]._check_rows(x)

    def _run(self, x, out=None):
        """Return the output of the chain for an input of its dtype."""
        if not self.layers:
            return F.identity(x, out=out)
        for layer in self.layers[:-1]:
            x = layer(x)
        last = self.layers[-1]
        return last(x, out=out) if isinstance(last, Layer) else F.identity(last(x), out=out)

    def _rows(self, shape, leaf):
        ops = []
        for i in range(len(self.layers)):
            ops += self._rows_of(i, shape, leaf)
            shape = ops[-1].shape if ops else shape
        return ops

    def _trace(self, x, step):
        x = self._input(x)
        for i in range(len(self.layers)):
            x = yield from self._trace_layer(i, x, step)

    def _run_vjp(self, x, step, train):
        """Return the output of the chain, the backward functions of its layers and ``pull(dy, need_dx)``, which calls them in turn."""
        backs = []
        for i in range(len(self.layers)):
            x, back = self._vjp_layer(i, x, step, train)
            backs.append(back)
        if not backs:
            return x, backs, lambda dy, need_dx: as_gradient(dy, x, type(self).__name__)

        def pull(dy, need_dx):
            for i, back in reversed(list(enumerate(backs))):
                dy = back(dy, need_dx=need_dx or i > 0)
            return dy

        return x, backs, pull


class Sequential(_Chain):
    """y = f_n(... f_1(x)): layers one after the other, as ``torch.nn.Sequential``. Immutable: the chain of layers never changes.

    ``task``, which says what the outputs are as ``MLP`` has it, may be assigned.

    Parameters
    ----------
    *layers
        Layers, or any objects with ``__call__(x)`` and ``vjp(x, step) -> (y, backward)``.
    """

    task = None
    _described = ("task",)

    def __init__(self, *layers):
        super().__init__(*layers)
        self._predictors, self._shortened = Predictors(), None

    def __setattr__(self, name, value):
        super().__setattr__(name, as_task(value, type(self).__name__) if name == "task" else value)

    def __getstate__(self):
        """Return what is pickled and copied: all but what is made again of the layers."""
        state = super().__getstate__()
        del state["_predictors"], state["_shortened"]
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        self._predictors, self._shortened = Predictors(), None

    @classmethod
    def _made_of(cls, layers, task):
        model = cls(*layers)
        model.task = task
        return model

    @property
    def _members(self):
        return getattr(self.layers[-1], "_members", None) if self.layers else None

    @property
    def _keeps_y(self):
        return not (self.layers and _own(self.layers[-1])) or self.layers[-1]._keeps_y  # others may return their input

    def __call__(self, x, out=None):
        y = self._predictors.run(x, out)
        return self._unusual(x, out) if y is None else y

    def _unusual(self, x, out):
        """Return the output for an input that is not like the one before; layer by layer where that is the only way."""
        x = self._input(x)
        y = self._predictors.run(np.ascontiguousarray(x), out) if self._predicts(x) else None
        return self._run(x, out) if y is None else y

    def _predicts(self, x):
        """Whether there is a network that computes the output for an array like x at once."""
        from fastnn.plan import predictor  # which imports this module

        return self._predictors.find(x, lambda shape: predictor(self, shape))

    def predict(self, x, *, out=None):
        """Return the output, as calling the model does: logits for a classifier without a last Softmax or Sigmoid."""
        return self(x, out=out)

    def predict_proba(self, x):
        """Return the probabilities that the output means, by the model's task or its last layer.

        Parameters
        ----------
        x : array_like, shape (rows, ...)

        Returns
        -------
        ndarray, shape of the output
            The output itself where it ends with Softmax or Sigmoid; else its softmax for multiclass, its sigmoid for binary and multilabel.

        Raises
        ------
        ValueError
            Where neither tells.
        """
        output = self(x)
        if self._gives_probabilities:
            return output
        outputs = TASKS.get(self.task)
        if outputs is None:
            raise ValueError(
                f"predict_proba: the model's task is {self.task!r}, without probabilities; binary, multiclass or multilabel was expected"
            )
        return getattr(F, outputs)(output)

    @property
    def _last(self):
        """The layer that makes the output: of a chain or an ensemble at the end, the last one there."""
        last = self
        while isinstance(last, (Sequential, Ensemble)) and last.layers:
            last = last.layers[-1]
        return last

    @property
    def _gives_probabilities(self):
        return isinstance(self._last, (activations.Softmax, activations.Sigmoid))

    @property
    def _is_chain(self):
        """Whether the output is what the layers make of x, one after the other: in a class of the user's own too that makes its layers."""
        cls, last = type(self), self.layers[-1] if self.layers else None
        plain = cls.__call__ is Sequential.__call__ and cls._vjp is Sequential._vjp and _own(self)
        return plain and (last._is_chain if isinstance(last, Sequential) else True)

    def _without_last(self):
        """Return a chain without the layer that makes the output; its arrays are the same ones by the same names."""
        if self._shortened is None:
            self._shortened = Sequential(*_without_last(self.layers))
        return self._shortened

    def _vjp(self, x, step, train):
        y, backs, pull = self._run_vjp(self._input(x), step, train)
        return y, self._backward_of(backs, pull)


class Residual(_Chain):
    """y = x + inner(x), where inner is the chain of the layers (He et al., 2016).

    Parameters
    ----------
    *layers
        As for ``Sequential``; at least one. Together they must keep the shape of their input.
    """

    _any_dtype = False  # x is added in the dtype of the layers

    def __init__(self, *layers):
        if not layers:
            raise ValueError("Residual: at least one layer was expected")
        super().__init__(*layers)

    def _rows(self, shape, leaf):
        """Return the rows of the layers and at last ``residual``, which adds what went into the first of the ``ops`` rows before it."""
        ops = super()._rows(shape, leaf)
        if ops and ops[-1].shape != shape:
            self._refuse(shape, ops[-1].shape)
        return [*ops, Op("residual", shape, numbers={"ops": len(ops)})]

    def _refuse(self, before, after):
        raise ValueError(f"Residual: the layers turn the shape {before} into {after} but must keep it")

    def _sum(self, x, inner):
        if np.shape(inner) != x.shape:
            self._refuse(x.shape, np.shape(inner))
        return x + inner

    def __call__(self, x, out=None):
        x = self._input(x)
        y = self._sum(x, self._run(x))
        return deliver(y, out)

    def _vjp(self, x, step, train):
        x = self._input(x)
        inner, backs, pull_inner = self._run_vjp(x, step, train)

        def pull(dy, need_dx):
            dx = pull_inner(dy, need_dx)
            return dx + dy if need_dx else None

        return self._sum(x, inner), self._backward_of(backs, pull)


def _mean_of_probabilities(logits, binary):
    """Return the logits of the mean of members' probabilities, and the function that takes a gradient by them back to the members.

    They are the logarithms of sums over members of p = softmax(logits), in which a p near 0 or 1 keeps its digits. A sigmoid is the
    first number of a softmax of two, of (logit, 0), and its logit the difference of their logarithms.

    Parameters
    ----------
    logits : ndarray, shape (..., k, features)
    binary : bool
        Whether p is a sigmoid.
    """
    members = -3 if binary else -2  # the axis
    each = np.stack([logits, np.zeros_like(logits)], -1) if binary else logits
    logs = F.log_softmax(each.astype(np.float64))
    shares = F.log_softmax(logs, members)  # log(p / sum of p): the largest gives the sum without a cancellation
    sums = logs.max(members) - shares.max(members)
    y = sums[..., 0] - sums[..., 1] if binary else sums

    def spread(dy):
        dy = np.stack([dy, -dy], -1) if binary else dy
        dlogits = F.log_softmax_backward(np.expand_dims(dy, members) * F.softmax(logs, members), logs)
        return (dlogits[..., 0] if binary else dlogits).astype(logits.dtype)

    return y.astype(logits.dtype), spread


class Ensemble(_Chain):
    """k networks that share their weights; y is the mean of their outputs.

    The i-th member has factors and biases of its own around each Linear among the layers: z_i = s_i * (weight (r_i * x_i) + bias) + b_i
    (BatchEnsemble; Wen, Tran and Ba, 2020). Members start apart by random signs r in the first Linear; other factors are 1, b is 0
    (TabM; Gorishniy, Kotelnikov and Babenko, 2024). Layers before the first Linear are computed once for all, those after it on k
    times the rows at once.

    Parameters
    ----------
    k : int
        Number of members.
    *layers
        As for ``Sequential``; among them at least one Linear.
    rng : numpy.random.Generator or int, optional
        Of the signs; as for ``Linear``.

    Notes
    -----
    In training, the output of ``vjp`` keeps the members, (rows, k, features); ``Trainer`` trains each on its own loss, and reports their
    mean. So it must be a model, or the last layer of one. The mean of a classifier's members is of logits, or of probabilities where a
    Softmax is the last of the layers. The parameters of a Linear at 0 are "0.weight", "0.bias", "0.r", "0.s" and "0.b", the last three
    of shape (k, features), which no penalty counts.
    """

    _described = ("k",)
    _keeps_y = True
    _head = None  # a last Softmax or Sigmoid that was taken off, so that outputs are logits

    def __init__(self, k, *layers, rng=None):
        self.k = as_count(k, "Ensemble", "k")
        super().__init__(*layers)
        self._linear = tuple(i for i, layer in enumerate(layers) if type(layer) is Linear)
        if not self._linear:
            raise ValueError("Ensemble: at least one Linear was expected among the layers")
        signs = None
        if not self._blank:
            signs = as_generator(rng, "Ensemble").uniform(-1, 1, (k, layers[self._linear[0]].in_features))
        for i in self._linear:
            sizes = {"r": layers[i].in_features, "s": layers[i].out_features, "b": layers[i].out_features}
            for name, size in sizes.items():
                self._keep(f"{i}.{name}", self._full((self.k, size), float(name != "b"), layers[i].dtype))
        if signs is not None:
            self._parameters[f"{self._linear[0]}.r"][signs < 0] = -1

    @classmethod
    def _made_of(cls, layers, k):
        return cls._made_blank(k, *layers)

    def __repr__(self):
        return f"Ensemble({self.k}, {', '.join(map(repr, self.layers))})"

    @property
    def _members(self):
        return self.k

    def _named(self, kind):
        for i, layer in enumerate(self.layers):
            for name, value in getattr(layer, kind, tuple)():
                yield f"{i}.{name}", value
            if kind == "named_parameters" and i in self._linear:
                for name in "rsb":
                    yield f"{i}.{name}", self._parameters[f"{i}.{name}"]

    def _cast(self, dtype):
        super()._cast(dtype)
        Layer._cast(self, dtype)

    def _take(self, state):
        for name, value in self._parameters.items():
            if value.flags.writeable:
                np.copyto(value, state[name])
            else:
                self._parameters[name] = self._own(name, state[name])
        super()._take({name: value for name, value in state.items() if name not in self._parameters})

    def _rows(self, shape, leaf):
        """Return the rows of the layers, ``members`` after each Linear, and at last ``mean``; between these k rows stand for one.

        The mean is of probabilities where it names the layer that makes them, a ``head``.
        """
        ops, lead = [], None
        for i in range(len(self.layers)):
            branch = self._rows_of(i, shape, leaf)
            if i in self._linear:
                if lead is None:
                    lead = shape[:-1]
                    shape = (None if None in lead else self.k * math.prod(lead), shape[-1])
                    branch = self._rows_of(i, shape, leaf)
                factors = tuple(f"{i}.{name}" for name in "rsb")
                branch.append(Op("members", branch[-1].shape, factors, {"k": self.k}, str(i)))
            ops += branch
            shape = ops[-1].shape if ops else shape
        head = {} if self._head is None else {"head": type(self._head).__name__}
        return [*ops, Op("mean", (*lead, *shape[1:]), numbers={"k": self.k} | head)]

    def _vjp_layer(self, i, x, step, train):
        return (self._vjp_members if i in self._linear else super()._vjp_layer)(i, x, step, train)

    def _vjp_members(self, i, x, step, train):
        """Return the output of the Linear i and its backward function; before the first of them a row stands for all members."""
        self.layers[i].lower(x.shape)  # checks the shape, which a factor could stretch
        r, s, b = (self._parameters[f"{i}.{name}"] for name in "rsb")
        each = x.reshape(-1, 1 if i == self._linear[0] else self.k, x.shape[-1])
        each = np.broadcast_to(each, (len(each), *r.shape))
        z, back = self.layers[i]._vjp(core.scale_rows(each, r, "Ensemble").reshape(-1, r.shape[1]), step, train)
        members = z.reshape(-1, *s.shape)
        y = core.add_rows(core.scale_rows(members, s, "Ensemble"), b, "Ensemble").reshape(z.shape)

        def backward(dy, need_dx=True):
            dy = dy.reshape(members.shape)
            dmembers = back(core.scale_rows(dy, s, "Ensemble").reshape(z.shape)).reshape(-1, *r.shape)
            factors = (("r", dmembers, each, r), ("s", dy, members, s), ("b", dy, None, b))
            own = {name: core.sum_products(a, c, like, "Ensemble") for name, a, c, like in factors}
            backward.grads = back.grads | own
            dx = core.scale_rows(dmembers, r, "Ensemble")
            return (core.sum_of_members(dx) if i == self._linear[0] else dx).reshape(x.shape)

        backward.buffers = {}
        return y, backward

    def _outputs(self, x, step, train):
        """Return the outputs of the members (..., k, features), the backward functions of the layers, and the axes before k."""
        x, backs, lead = self._input(x), [], None
        for i in range(len(self.layers)):
            if i == self._linear[0]:
                lead = x.shape[:-1]
            x, back = self._vjp_layer(i, x, step, train)
            backs.append(back)
        return x.reshape(*lead, self.k, *x.shape[1:]), backs

    def _without_last(self):
        """Return an ensemble without the layer that makes the output, on whose outputs ``_mean`` computes as that layer would have."""
        rest = copy(self)
        rest.__dict__ |= {"layers": _without_last(self.layers), "_head": Sequential(self)._last}
        return rest

    def _mean(self, ys):
        """Return the mean of the members' outputs, and the function that takes its gradient back to them."""
        if self._head is not None:
            return _mean_of_probabilities(ys, isinstance(self._head, activations.Sigmoid))
        return core.sum_of_members(ys, self.k), lambda dy: np.broadcast_to(dy[..., None, :] / self.k, ys.shape)

    def __call__(self, x, out=None):
        return deliver(self._mean(self._outputs(x, 0, False)[0])[0], out)

    def _vjp(self, x, step, train):
        ys, backs = self._outputs(x, step, train)
        y, spread = (ys, lambda dy: dy) if train else self._mean(ys)

        def pull(dy, need_dx):
            dy = spread(as_gradient(dy, y, "Ensemble"))
            dy = dy.reshape(-1, ys.shape[-1])
            for i, back in reversed(list(enumerate(backs))):
                dy = back(dy, need_dx=need_dx or i > 0)
            return dy

        return y, self._backward_of(backs, pull)


class MLP(Sequential):
    """Sequential(Linear, activation[, Dropout], ..., Linear), as scikit-learn's ``MLPClassifier``; a last Sigmoid for one task.

    Parameters
    ----------
    sizes : sequence of int
        Features of the input, the hidden layers and the output.
    activation : str
        A name of ``functional.activations()``.
    dropout : float
        Probability; 0 means no Dropout layers.
    init : str, callable or pair of them, optional
        As for ``Linear``; the gain follows the activation.
    task : str, optional
        Decides the trainer's loss where none is given: "binary" and "multilabel" mean binary_cross_entropy_with_logits with targets 0
        and 1, one or more outputs; "multiclass" (or "classification") cross_entropy; "regression" mse. "unit_interval", regression in
        [0, 1], adds a last ``Sigmoid`` and means binary_cross_entropy, computed from the logits before it.
    seed : int, optional
        Of the initial weights and dropout; drawn and recorded in ``seed`` if None.
    dtype : float32 or float64
    **params
        Parameters of the activation, such as ``negative_slope=0.2``.
    """

    def __init__(
        self, sizes, activation="relu", *, dropout=0.0, init=None, task=None, seed=None, dtype=np.float32, **params
    ):
        if isinstance(sizes, (str, int)) or not hasattr(sizes, "__len__"):
            raise TypeError(f"MLP: sizes is {sizes!r} but a sequence of integers was expected")
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes is {list(sizes)} but at least an input and an output size were expected")
        sizes = tuple(as_count(size, "MLP", f"sizes[{i}]") for i, size in enumerate(sizes))
        if not isinstance(activation, str) or activation not in F.activations():
            raise ValueError(f"MLP: activation is {activation!r} but one of {', '.join(F.activations())} was expected")
        activation_class = getattr(activations, F.activations()[activation].layer)
        taken = activation_class(**params).params
        dtype = as_dtype(dtype, "MLP")
        dropout = as_probability(dropout, "MLP", "dropout")
        seed = draw_seed() if seed is None else as_integer(seed, "MLP", "seed", 0, 2**64 - 1)
        rng = Philox(seed)
        self.task = task
        layers = []
        for i in range(len(sizes) - 1):
            hidden = i < len(sizes) - 2
            known = {"gain": calculate_gain(activation, **taken) if hidden else 1.0, "activation": activation}
            inits = tuple(bind(function, **known) for function in as_initialisers(init, "MLP"))
            layers.append(Linear(sizes[i], sizes[i + 1], init=inits, rng=rng, dtype=dtype))
            if hidden:
                layers.append(activation_class(**params))
                if dropout:
                    layers.append(Dropout(dropout, seed=seed, layer=len(layers)))
        if self.task == "unit_interval":
            layers.append(activations.Sigmoid())
        super().__init__(*layers)
        self.sizes, self.activation, self.dropout, self.seed = sizes, str(activation), dropout, seed
        self.params = {name: taken[name] for name in params}

    @property
    def config(self):
        """As for every layer, and the parameters of the activation."""
        return super().config | self.params
