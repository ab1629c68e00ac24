"""What every layer has: arguments, arrays, gradients, a description of itself.

Design
A. A layer keeps each argument of its constructor as an attribute of the same name, as a plain Python number; ``config`` reads
   them back from the constructor's signature. So what trains can be saved, whatever kinds of numbers it was made with.
B. ``vjp`` returns a backward function that fills a dict of gradients of its own, ``backward.grads``; ``layer.grads`` is the dict
   of the last backward call. Two threads that train one model never mix their gradients.
C. Containers call ``_vjp``, whose output may be what the backward function reads. ``vjp`` hands such an output to the outside as
   a copy, so that ``y -= target`` cannot corrupt the gradient.
D. A blank layer, made by ``_made_blank``, has arrays of the right shapes without memory of their own, until ``load_state_dict``
   makes them. A file is compared with its architecture this way before anything is drawn or allocated.
E. A chain casts its input to the dtype of its parameters, except for a first layer that takes any dtype (``_any_dtype``): an index
   beyond 2^24 and a date in seconds would lose digits in float32 before that layer sees them.
F. A parameter of fastnn's own layers lives in a block (``parameter_array``), which never moves: whatever changes the parameter
   copies into it. NumPy's copies and pickles of a view leave its block behind; ``__setstate__`` makes a new one.
"""

import functools
import inspect
import math
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from fastnn._fastnn_core import flag, is_k_major
from fastnn._fastnn_core import real_array as as_real
from fastnn.functional import identity


def blank(shape, dtype):
    """Return zeros of this shape and dtype that are one element in memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def parameter_array(shape, dtype, k_major=False):
    """Return zeros for a parameter, in a block of memory of its own: aligned to 64 bytes, its rows padded with zeros to 16 elements.

    With ``k_major``, a matrix (out, in) is the transposed view of rows (in, out), of which no two neighbours lie a multiple of
    1024 bytes apart: a column of them would share few sets of the caches. Any other array is one row.
    """
    dtype = np.dtype(dtype)
    rows, n = shape[::-1] if k_major else (1, math.prod(shape))
    padded = -(-n // 16) * 16
    if k_major and padded * dtype.itemsize % 1024 == 0:
        padded += 16
    nbytes = rows * padded * dtype.itemsize
    memory = np.zeros(nbytes + 64, np.uint8)
    start = -memory.__array_interface__["data"][0] % 64
    block = memory[start : start + nbytes].view(dtype).reshape(rows, padded)[:, :n]
    return block.T if k_major else block.reshape(shape)


def parameter_like(array):
    """Return zeros of the shape, dtype and orientation of a parameter."""
    return parameter_array(array.shape, array.dtype, is_k_major(array))


def _in_block(value, k_major):
    """Return a copy in a block."""
    array = parameter_array(value.shape, value.dtype, k_major)
    array[...] = value
    return array


def _is_in_block(array):
    """Whether an array is what ``parameter_array`` returned: a view of bytes."""
    return isinstance(array.base, np.ndarray) and array.base.dtype == np.uint8


def as_float(x, func, dtype=np.float32):
    """Return x as an array of float32 or float64, whichever holds both ``dtype`` and the dtype of x."""
    x = as_real(x, func, "x")
    return x.astype(np.result_type(x.dtype, dtype), copy=False)


def as_gradient(dy, y, func):
    """Return dy, the gradient by the output y, as an array of floats; its shape must be y's."""
    dy = as_real(dy, func, "dy")
    if dy.shape != y.shape:
        raise ValueError(f"{func}: dy has shape {dy.shape} but the output has shape {y.shape}")
    return dy.astype(np.result_type(dy.dtype, np.float32), copy=False)


def deliver(y, out):
    """Return y, which nobody else holds, or what it was copied into."""
    return y if out is None else identity(y, out=out)


# Arguments of constructors. Each function returns the plain Python value, or raises an error that names layer and argument.


def as_dtype(dtype, func):
    """Return the dtype, float32 or float64."""
    try:
        found = None if dtype is None else np.dtype(dtype)  # NumPy reads None as float64
    except (TypeError, ValueError, SyntaxError):  # NumPy reads a string as a list of fields
        found = None
    if found not in (np.float32, np.float64):
        raise TypeError(f"{func}: dtype is {found or repr(dtype)} but float32 or float64 was expected")
    return found


def as_count(value, func, name):
    """Return a positive integer; a bool is none."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{func}: {name} is {value!r} but a positive integer was expected")
    if value >= 2**63:
        raise ValueError(f"{func}: {name} is {value} but no array has more than {2**63 - 1} elements")
    return int(value)


def as_integer(value, func, name, least=-(2**63), most=2**63 - 1):
    """Return an integer in [least, most]; a bool is none."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{func}: {name} is {value!r} but an integer was expected")
    if not least <= value <= most:
        raise ValueError(f"{func}: {name} is {value} but an integer from {least} to {most} was expected")
    return int(value)


as_flag = flag  # by which the switches of losses and optimizers are checked too


def as_number(value, func, name):
    """Return a float that is not NaN."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{func}: {name} is {value!r} but a number was expected")
    if value != value:
        raise ValueError(f"{func}: {name} is nan but a number was expected")
    return float(value)


def as_finite(value, func, name):
    """Return a finite float."""
    number = as_number(value, func, name)
    if math.isinf(number):
        raise ValueError(f"{func}: {name} is {value} but a finite number was expected")
    return number


def as_nonnegative(value, func, name):
    """Return a finite float of at least 0."""
    number = as_number(value, func, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{func}: {name} is {value} but a finite, non-negative number was expected")
    return number


def as_probability(value, func, name):
    """Return a float in [0, 1]."""
    number = as_number(value, func, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{func}: {name} is {value} but a probability in [0, 1] was expected")
    return number


def as_limit(value, func, name):
    """Return a positive float, or None for None."""
    if value is None:
        return None
    number = as_number(value, func, name)
    if not number > 0:
        raise ValueError(f"{func}: {name} is {value} but a positive number was expected")
    return number


def as_decay(value, func, name):
    """Return a float in [0, 1), the share that an average keeps of itself, or None for None."""
    if value is None:
        return None
    number = as_number(value, func, name)
    if not 0 <= number < 1:
        raise ValueError(f"{func}: {name} is {value} but a number in [0, 1) was expected")
    return number


def _fitting(value, own, name):
    """Return value as an array; its shape must be own's."""
    array = as_real(value, "load_state_dict", name)
    if array.shape != own.shape:
        raise ValueError(f"load_state_dict: {name} has shape {array.shape} but {own.shape} was expected")
    return array


def _converted(array, own, name):
    """Return a new array of own's dtype with the numbers of array."""
    if own.dtype.kind == "i":
        whole = np.array(array, np.float64) if array.dtype.kind == "f" else array
        if not ((whole >= -(2.0**63)) & (whole < 2.0**63) & (whole == np.rint(whole))).all():
            raise ValueError(f"load_state_dict: {name} holds numbers that are no {own.dtype}")
    with np.errstate(over="raise", invalid="ignore"):  # a signalling NaN stays a NaN
        try:
            return np.array(array, own.dtype, order="C")
        except FloatingPointError:
            raise ValueError(f"load_state_dict: {name} holds numbers beyond the range of {own.dtype}") from None


@functools.cache
def argument_names(cls):
    """Return the names of a constructor's arguments in order, without ``*args`` and ``**params``."""
    variable = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return tuple(name for name, p in inspect.signature(cls).parameters.items() if p.kind not in variable)


def _plain(value):
    """Return a dtype by its name, all else as it is."""
    return np.dtype(value).name if isinstance(value, (np.dtype, type)) else value


@dataclass(frozen=True)
class Op:
    """A row that a layer becomes, for a summary, a compiler or an export.

    Attributes
    ----------
    kind : str
        ``"linear"``, ``"maxout"``, ``"prelu"``, ``"softmax"``, ``"dropout"``, ``"residual"``, or the name of an activation.
    shape : tuple
        Shape of the output.
    params : tuple of str
        Names of the parameters in the state_dict of the layer that was lowered.
    numbers : dict
        What else it is made of, by name.
    layer : str
        Which layer inside the lowered one it comes from, as the names of parameters have it, such as ``"2.0"``; ``""`` for itself.
    """

    kind: str
    shape: tuple
    params: tuple = ()
    numbers: dict = field(default_factory=dict)
    layer: str = ""

    def inside(self, i):
        """Return this row as one of a container whose layer i was lowered."""
        layer = f"{i}.{self.layer}" if self.layer else f"{i}"
        return replace(self, params=tuple(f"{i}.{name}" for name in self.params), layer=layer)


class Layer:
    """Base of all layers.

    A layer of one's own calls ``super().__init__()``, keeps each constructor argument as an attribute of the same name, puts its
    trained arrays into ``_parameters`` and other arrays that belong to its state into ``_buffers``, dicts by name, and defines

    - ``__call__(x, out=None)``: the output at inference;
    - ``vjp(x, step=0, train=True) -> (y, backward)``: the output and the function ``backward(dy, need_dx=True) -> dx``, which also
      sets ``grads[name]`` for each parameter; ``step`` numbers the training step, ``train=False`` asks for the output at inference;
      where ``need_dx`` is False dx may be None. What training makes of buffers, such as running statistics, are new arrays in
      ``backward.buffers``, by name; ``Trainer.step`` and ``fit`` copy them in once the step is made.

    x must not change between ``vjp`` and ``backward``, which may read it. Reading a parameter or buffer as an attribute gives a
    read-only view.
    """

    _keeps_y = False  # whether the function that _vjp returns reads the y it returns
    _any_dtype = False  # whether the layer reads x in whatever dtype it comes, and returns its own
    _blank = False  # whether the constructor makes arrays without memory
    _members = None  # how many outputs the output in training has on its last axis but one, where it keeps those of an ensemble
    _least_rows = 1  # of a minibatch that the layer can be trained on
    _only_factors = False  # whether no parameter is a weight of a linear map, however many dimensions it has

    def __init__(self):
        self._parameters = {}  # None where the layer goes without, such as a bias
        self._buffers = {}
        self._blocks = {}  # from the name of each parameter that lives in a block to whether it is k-major
        self._grads = {}
        self._owner = None  # weak reference to the trainer this layer belongs to

    @classmethod
    def _made_blank(cls, *args, **config):
        """Return a layer whose constructor has made its arrays blank."""
        layer = cls.__new__(cls)
        layer._blank = True
        layer.__init__(*args, **config)
        del layer._blank
        return layer

    def __getattr__(self, name):
        for arrays in (self.__dict__.get("_parameters", {}), self.__dict__.get("_buffers", {})):
            if name in arrays:
                if arrays[name] is None:
                    return None
                view = arrays[name].view()
                view.flags.writeable = False
                return view
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name, value):
        if name in self.__dict__.get("_parameters", ()) or name in self.__dict__.get("_buffers", ()):
            raise AttributeError(f"{type(self).__name__}: {name} cannot be assigned; use load_state_dict")
        super().__setattr__(name, value)

    def __dir__(self):
        return [*super().__dir__(), *self._parameters, *self._buffers]

    def __repr__(self):
        """Return the constructor call: arguments without default, and those that differ from it."""
        try:
            config = self.config
        except TypeError:
            return f"{type(self).__name__}(...)"
        shown = []
        for name, p in inspect.signature(type(self)).parameters.items():
            if name in config and (p.default is p.empty or config[name] != _plain(p.default)):
                shown.append(f"{name}={config[name]!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __getstate__(self):
        """Return what is pickled and copied: all but the gradients and the trainer the layer belongs to."""
        return self.__dict__ | {"_grads": {}, "_owner": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in self._blocks:
            value = self._parameters[name]
            if value is not None and not _is_in_block(value):
                self._parameters[name] = self._own(name, value)

    @property
    def config(self):
        """The constructor's arguments by name, as plain numbers and strings; without ``init`` and ``rng``, which only draw."""
        config = {}
        for name in argument_names(type(self)):
            if name not in ("init", "rng"):
                try:
                    value = getattr(self, name)
                except AttributeError:
                    message = f"{type(self).__name__}: the constructor's argument {name} is not kept as an attribute"
                    raise TypeError(message) from None
                config[name] = _plain(value)
        return config

    @property
    def grads(self):
        """Gradients by parameter name, as the last backward call set them."""
        return self._grads

    @grads.setter
    def grads(self, value):
        self._grads = value

    def vjp(self, x, step=0, train=True):
        """Return the output and the function that takes its gradient back.

        Parameters
        ----------
        x : array_like
            Read again by ``backward``; it must not change until then.
        step : int
            Number of the training step, which tells the masks of dropout apart.
        train : bool
            False computes the output at inference: dropout rests.

        Returns
        -------
        y : ndarray
        backward : callable
            ``backward(dy, need_dx=True)`` returns the gradient by x (None if not ``need_dx``), and sets ``backward.grads`` and
            ``layer.grads``, from parameter name to gradient. ``backward.buffers`` holds what a training step makes of buffers, by name;
            the buffers themselves stay as they are.
        """
        y, backward = self._vjp(x, step, train)
        return (y.copy() if self._keeps_y else y), backward

    def _vjp(self, x, step, train):
        """Return what vjp returns, for a caller that leaves y as it is."""
        raise NotImplementedError(f"{type(self).__name__}: vjp is not defined, so the layer cannot be trained")

    def lower(self, shape):
        """Return the rows this layer becomes.

        Parameters
        ----------
        shape : tuple
            Shape of the input; dimensions before the last may be None.

        Returns
        -------
        tuple of Op
            In the order they are computed; each takes the output of the one before.

        Raises
        ------
        ValueError
            For an input shape that the layer does not take.
        NotImplementedError
            For a layer that has no rows, such as a user's own.
        """
        raise NotImplementedError(f"lower: {type(self).__name__} has no rows; it runs as a layer")

    def summary(self, input_shape):
        """Return a table of the layers: shapes of outputs, numbers of parameters, what is fused.

        Parameters
        ----------
        input_shape : int or tuple of int
            Of one row: ``(64,)`` for x of shape (rows, 64).

        Returns
        -------
        Summary
            ``print`` shows it, and so do notebooks; ``rows`` has its lines, ``parameters`` the number of all trained numbers.

        Raises
        ------
        ValueError
            For an input shape that the layers do not take.
        """
        from fastnn.layers.summary import Summary  # which imports this module

        return Summary(self, input_shape)

    def _check_rows(self, x):
        """Raise what would be wrong with some row of x, as an error that names it, before any is computed."""

    def _full(self, shape, value, dtype):
        """Return a new array filled with one value; blank in a blank layer."""
        return blank(shape, dtype) if self._blank else np.full(shape, value, dtype)

    def _keep(self, name, value, k_major=False):
        """Make a copy of an array a parameter, in a block of its own; None and a blank array stay as they are."""
        self._blocks[name] = k_major
        self._parameters[name] = value if value is None or self._blank else self._own(name, value)

    def _own(self, name, value):
        """Return what is kept of the parameter or buffer of this name: a copy in a block, where it lives in one, else the array."""
        return _in_block(value, self._blocks[name]) if name in self._blocks else value

    def _backward(self, pull, buffers=None):
        """Return the backward function of one vjp call.

        ``pull(dy, need_dx, grads)`` returns dx and fills grads; ``buffers`` has what a training step makes of buffers, by name.
        """
        grads = {}

        def backward(dy, need_dx=True):
            dx = pull(dy, need_dx, grads)
            self.__dict__["_grads"] = grads  # not by __setattr__, whose guard of parameters takes a microsecond
            return dx

        backward.grads, backward.buffers = grads, buffers or {}
        return backward

    def named_parameters(self):
        """Yield (name, array) of each parameter; the arrays themselves, which an optimizer updates."""
        for name, value in self._parameters.items():
            if value is not None:
                yield name, value

    def _weights(self):
        """Yield the names of the parameters that penalties and max_norm count: weights of linear maps, not biases and factors."""
        return (name for name, value in self.named_parameters() if value.ndim > 1 and not self._only_factors)

    def named_buffers(self):
        """Yield (name, array) of each array that belongs to the state but is not trained."""
        for name, value in self._buffers.items():
            if value is not None:
                yield name, value

    def _named_state(self):
        yield from self.named_parameters()
        yield from self.named_buffers()

    def state_dict(self):
        """Return a copy of parameters and buffers by PyTorch's names, in PyTorch's shapes."""
        return {name: value.copy() for name, value in self._named_state()}

    def load_state_dict(self, state):
        """Copy parameters and buffers in. Nothing changes unless every entry fits.

        Parameters
        ----------
        state : dict
            From each name of ``state_dict()`` to an array (or tensor) of that shape; converted to the layer's dtype.

        Raises
        ------
        ValueError
            Where a name is missing or unknown, a shape differs, or a finite number is beyond the range of the layer's dtype.
        TypeError
            Where an entry does not hold real numbers of at most float64.
        """
        if not hasattr(state, "items"):
            raise TypeError(
                f"load_state_dict: state is {type(state).__name__} but a dict from name to array was expected"
            )
        own, given = dict(self._named_state()), dict(state.items())
        missing, extra = [n for n in own if n not in given], [n for n in given if n not in own]
        if missing or extra:
            raise ValueError(f"load_state_dict: missing {missing or 'nothing'}, unexpected {extra or 'nothing'}")
        arrays = {name: _fitting(given[name], value, name) for name, value in own.items()}
        self._take({name: _converted(arrays[name], value, name) for name, value in own.items()})

    def _take(self, state):
        """Copy in arrays of the right shapes and dtypes; a blank layer takes buffers themselves."""
        for name, value in list(self._named_state()):
            if value.flags.writeable:
                np.copyto(value, state[name])
            else:
                (self._parameters if name in self._parameters else self._buffers)[name] = self._own(name, state[name])

    def astype(self, dtype):
        """Return a copy of this layer with parameters of dtype float32 or float64."""
        copy = deepcopy(self)
        copy._cast(as_dtype(dtype, "astype"))
        return copy

    def _cast(self, dtype):
        for arrays in (self._parameters, self._buffers):
            for name, value in arrays.items():
                if value is not None and value.dtype.kind == "f":
                    arrays[name] = self._own(name, value.astype(dtype))
        if "dtype" in self.__dict__:
            self.dtype = dtype

    def _leaves(self):
        """Yield the layers that hold arrays themselves."""
        yield self
