"""Initialisers: functions (shape, rng) -> float64 array, one for each name that ``init=`` takes.

Design
A. ``shape`` is (out_features, in_features) for a weight and (out_features,) for a bias; ``rng`` is a ``fastnn.random.Philox`` or a
   ``numpy.random.Generator``. Options are keywords: ``functools.partial(init.normal, std=0.01)`` is an initialiser too, and so is
   any function of one's own.
B. ``init=`` of a layer is the initialiser of its weight, by name or function, or a pair (weight, bias). The bias of a weight alone is 0,
   but for ``torch`` and ``sklearn``, which draw both.
C. What is known of the place of a weight is passed to the initialisers that ask for it by name, unless a partial has settled it: by
   MLP ``gain``, that of the activation which comes after (``calculate_gain``), 1 for the last layer, and ``activation``, the name of
   the hidden layers'; by each layer ``fans``, so that a bias is drawn with those of its weight. A Linear alone knows no activation:
   the function's own default, PyTorch's, holds.
D. Draws are made of uniform words by additions, multiplications, divisions and square roots, products by the package's own kernel: the
   numbers of a seed are the same on every machine.
"""

import functools
import inspect
import math

import numpy as np

from fastnn import functional as F
from fastnn._fastnn_core import real_array
from fastnn.data import require_finite
from fastnn.layers.base import as_finite, as_nonnegative, as_number
from fastnn.random import normal_cdf, normal_quantile


def calculate_gain(activation, **params):
    """Factor of a weight's standard deviation that keeps the scale of signals through an activation.

    Parameters
    ----------
    activation : str
        A name of ``functional.activations()``.
    **params
        The activation's parameters; those of ``leaky_relu`` change its gain.

    Returns
    -------
    float
        That of ``torch.nn.init.calculate_gain`` where PyTorch defines one, sqrt(2 / (1 + negative_slope^2)) for ``leaky_relu``; else 1.

    Raises
    ------
    ValueError
        For a name that is none.
    TypeError
        For a parameter that the activation does not have.
    """
    known = F.activations()
    if activation not in known:
        raise ValueError(f"calculate_gain: activation is {activation!r} but one of {', '.join(known)} was expected")
    for name in params:
        if name not in known[activation].params:
            takes = f"{activation} takes {', '.join(known[activation].params) or 'none'}"
            raise TypeError(f"calculate_gain: unknown parameter {name!r} ({takes})")
    if activation == "leaky_relu" and params:
        slope = as_finite(params["negative_slope"], "calculate_gain", "negative_slope")
        return float(np.sqrt(2 / (1 + slope**2)))
    return known[activation].gain


def _fans(shape, fans):
    """Return (fan_in, fan_out): those given, else those of a weight's shape."""
    fan_in, fan_out = (shape[-1], shape[0]) if fans is None else fans
    return max(fan_in, 1), max(fan_out, 1)


def _matrix(shape, name):
    if len(shape) != 2:
        raise ValueError(f"{name}: shape is {tuple(shape)} but (out_features, in_features) was expected")


# --------------------------------------------------------------------------------------------------------------- constants


def zeros(shape, rng):
    """0 everywhere (``torch.nn.init.zeros_``)."""
    return np.zeros(shape)


def ones(shape, rng):
    """1 everywhere (``torch.nn.init.ones_``)."""
    return np.ones(shape)


def constant(shape, rng, *, val=0.1):
    """One number everywhere (``torch.nn.init.constant_``); 0.1 keeps the units of relu alive at the start, as a bias."""
    return np.full(shape, as_finite(val, "constant", "val"))


def identity(shape, rng):
    """1 on the diagonal, else 0 (``torch.nn.init.eye_``)."""
    _matrix(shape, "identity")
    return np.eye(*shape)


# ------------------------------------------------------------------------------------------------- numbers of a distribution


def normal(shape, rng, *, mean=0.0, std=1.0):
    """N(mean, std^2) (``torch.nn.init.normal_``)."""
    return rng.normal(as_finite(mean, "normal", "mean"), as_nonnegative(std, "normal", "std"), shape)


def uniform(shape, rng, *, a=0.0, b=1.0):
    """U(a, b) (``torch.nn.init.uniform_``)."""
    a, b = as_finite(a, "uniform", "a"), as_finite(b, "uniform", "b")
    if a > b:
        raise ValueError(f"uniform: a is {a:g} and b is {b:g} but a <= b was expected")
    return rng.uniform(a, b, shape)


def trunc_normal(shape, rng, *, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """N(mean, std^2) within [a, b], which are values, not multiples of std (``torch.nn.init.trunc_normal_``)."""
    func = "trunc_normal"
    mean, std = as_finite(mean, func, "mean"), as_nonnegative(std, func, "std")
    a, b = as_number(a, func, "a"), as_number(b, func, "b")
    if not (std > 0 and a < b):
        raise ValueError(f"{func}: std is {std:g}, a is {a}, b is {b} but std > 0 and a < b were expected")
    low, high = normal_cdf((a - mean) / std), normal_cdf((b - mean) / std)
    p = np.clip(rng.uniform(low, high, shape), 2.0**-60, 1 - 2.0**-53)
    return np.clip(mean + std * normal_quantile(p), a, b)


# ------------------------------------------------------------------------------------------------------- scaled by the fans


def xavier_uniform(shape, rng, *, gain=1.0, fans=None):
    """U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010; ``torch.nn.init.xavier_uniform_``)."""
    bound = as_nonnegative(gain, "xavier_uniform", "gain") * np.sqrt(6 / sum(_fans(shape, fans)))
    return rng.uniform(-bound, bound, shape)


def xavier_normal(shape, rng, *, gain=1.0, fans=None):
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010; ``torch.nn.init.xavier_normal_``)."""
    gain = as_nonnegative(gain, "xavier_normal", "gain")
    return rng.normal(0.0, gain * np.sqrt(2 / sum(_fans(shape, fans))), shape)


def _kaiming_std(name, shape, gain, mode, fans):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is {mode!r} but 'fan_in' or 'fan_out' was expected")
    return as_nonnegative(gain, name, "gain") / np.sqrt(_fans(shape, fans)[mode == "fan_out"])


def kaiming_uniform(shape, rng, *, gain=2**0.5, mode="fan_in", fans=None):
    """U(-b, b), b = gain sqrt(3 / fan) (He et al., 2015; ``torch.nn.init.kaiming_uniform_``)."""
    bound = np.sqrt(3.0) * _kaiming_std("kaiming_uniform", shape, gain, mode, fans)
    return rng.uniform(-bound, bound, shape)


def kaiming_normal(shape, rng, *, gain=2**0.5, mode="fan_in", fans=None):
    """N(0, s^2), s = gain / sqrt(fan) (He et al., 2015; ``torch.nn.init.kaiming_normal_``)."""
    return rng.normal(0.0, _kaiming_std("kaiming_normal", shape, gain, mode, fans), shape)


def lecun_uniform(shape, rng, *, fans=None):
    """U(-b, b), b = sqrt(3 / fan_in) (LeCun et al., 1998; Keras' ``LecunUniform``)."""
    bound = np.sqrt(3 / _fans(shape, fans)[0])
    return rng.uniform(-bound, bound, shape)


def lecun_normal(shape, rng, *, fans=None):
    """N(0, s^2), s = 1 / sqrt(fan_in) (LeCun et al., 1998; Klambauer et al., 2017, for selu); Keras cuts off its tails."""
    return rng.normal(0.0, 1 / np.sqrt(_fans(shape, fans)[0]), shape)


def torch(shape, rng, *, fans=None):
    """U(-b, b), b = 1 / sqrt(fan_in): PyTorch's default for Linear, weight and bias."""
    fan_in, _ = _fans(shape, fans)
    bound = 1 / np.sqrt(fan_in)
    if len(shape) == 1:  # the first of the numbers for a row of a weight: what a seed gives has always been this
        return rng.uniform(-bound, bound, (*shape, fan_in))[:, 0]
    return rng.uniform(-bound, bound, shape)


def sklearn(shape, rng, *, activation=None, fans=None):
    """U(-b, b), b = sqrt(6 / (fan_in + fan_out)), sqrt(2 / ...) with sigmoid: ``MLPClassifier``'s of scikit-learn, weight and bias."""
    bound = np.sqrt((2 if activation == "sigmoid" else 6) / sum(_fans(shape, fans)))
    return rng.uniform(-bound, bound, shape)


# -------------------------------------------------------------------------------------------------------- rows and columns


def orthogonal(shape, rng, *, gain=1.0):
    """Gain times a random matrix of orthonormal rows, or columns where these are fewer (Saxe et al., 2014; ``torch.nn.init.orthogonal_``)."""
    _matrix(shape, "orthogonal")
    gain = as_finite(gain, "orthogonal", "gain")
    drawn = rng.normal(0.0, 1.0, shape)
    rows = np.ascontiguousarray(drawn.T if shape[0] >= shape[1] else drawn)
    _orthonormalise(rows)
    return gain * (rows.T if shape[0] >= shape[1] else rows)


def _orthonormalise(rows):
    """Make the rows orthonormal in place, in their order: Gram and Schmidt, by blocks, and twice because once leaves rounding errors."""
    for start in range(0, len(rows), 32):
        done, block = rows[:start], rows[start : start + 32]
        for _ in range(2):
            block -= F.matmul(F.matmul(block, done.T), done)
            for i, row in enumerate(block):
                row -= F.matmul(F.matmul(block[:i], row), block[:i])
                row /= np.sqrt(F.matmul(row, row))


def sparse(shape, rng, *, sparsity=0.1, std=0.01):
    """N(0, std^2), but 0 in ceil(sparsity * out_features) random rows of each column (Martens, 2010; ``torch.nn.init.sparse_``)."""
    _matrix(shape, "sparse")
    sparsity, std = as_number(sparsity, "sparse", "sparsity"), as_nonnegative(std, "sparse", "std")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse: sparsity is {sparsity} but a share in [0, 1] was expected")
    weight = rng.normal(0.0, std, shape)
    order = rng.uniform(size=shape).argsort(0, kind="stable")
    np.put_along_axis(weight, order[: int(np.ceil(sparsity * shape[0]))], 0.0, axis=0)
    return weight


INITIALISERS = {
    function.__name__: function
    for function in (
        zeros, ones, constant, normal, uniform, trunc_normal, xavier_normal, xavier_uniform, kaiming_normal, kaiming_uniform,
        lecun_normal, lecun_uniform, orthogonal, sparse, identity, torch, sklearn,
    )
}  # fmt: skip

# ------------------------------------------------------------------------------------------------------------------ layers


def as_initialisers(init, func):
    """Return the functions of weight and bias that the argument ``init`` of a layer means.

    Parameters
    ----------
    init : None, str, callable, or pair of them
        None is PyTorch's default.
    func : str
        For the message.
    """
    pair = tuple(init) if isinstance(init, (tuple, list)) else (init,)
    if len(pair) > 2 or not pair:
        raise ValueError(f"{func}: init has {len(pair)} initialisers but one, or a pair (weight, bias), was expected")
    found = [_function(torch if part is None else part, func) for part in pair]
    if len(found) == 1:
        found.append(found[0] if getattr(found[0], "func", found[0]) in (torch, sklearn) else zeros)
    return tuple(found)


def _function(init, func):
    if isinstance(init, str):
        if init not in INITIALISERS:
            raise ValueError(f"{func}: init is {init!r} but one of {', '.join(INITIALISERS)} was expected")
        return INITIALISERS[init]
    if not callable(init):
        raise TypeError(f"{func}: init is {init!r} but a name or a function (shape, rng) -> array was expected")
    return init


def bind(function, **known):
    """Return the initialiser with those of ``known`` (gain, activation, fans) that it asks for by name and nobody has settled."""
    settled = getattr(function, "keywords", {})  # of a functools.partial
    try:
        asked = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables have no signature
        asked = ()
    return functools.partial(
        function, **{key: value for key, value in known.items() if key in asked and key not in settled}
    )


def draw(function, shape, rng, func, what):
    """Return the array an initialiser makes, checked; func and what ("weight", "bias") make the message."""
    if math.prod(shape) > np.iinfo(np.intp).max // 8:
        raise ValueError(f"{func}: the {what} has shape {shape} but no array is that large")
    array = real_array(function(shape, rng), func, f"init's {what}")
    if array.shape != shape:
        raise ValueError(f"{func}: init's {what} has shape {array.shape} but {shape} was expected")
    require_finite(array, array.dtype, func, f"init's {what}")
    return array
