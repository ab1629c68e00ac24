"""Layers for columns of a table: scaling, vectors for categories and for numbers, and columns sent to layers of their own.

Design
A. What comes first in a network reads x in the dtype it has (see ``layers.base``) and returns its own: differences and look-ups are
   made before anything is rounded to float32.
B. The error of an index keeps what it is made of, so that whoever passed on some columns, or some rows, of a larger x makes it again
   with their numbers in that x (``_moved``).
"""

import functools
import math

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn.data import pieces, place, require_finite
from fastnn.init import as_initialisers, bind, draw, normal
from fastnn.layers.base import (
    Layer,
    Op,
    as_count,
    as_dtype,
    as_finite,
    as_float,
    as_gradient,
    as_integer,
    as_number,
    as_real,
    blank,
    deliver,
)
from fastnn.layers.containers import Container
from fastnn.random import as_generator


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
    """y = (x - mean) / scale, not trained, as scikit-learn's ``StandardScaler``; 0 and 1 until they are fitted or loaded.

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
                f"fit_statistics: x has shape {x.shape} but (rows, ..., {', '.join(map(str, shape))}) was expected"
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

    def _places(self, shape):
        """Return which of the numbers of mean and scale each one of the last axes of an input of this shape meets, in one axis."""
        mean = self._buffers["mean"]
        _require_features(self, shape, mean.shape)
        places = np.arange(mean.size).reshape(mean.shape)
        return np.broadcast_to(places, shape[len(shape) - mean.ndim :]).astype(np.int64).reshape(-1)

    def lower(self, shape):
        _require_features(self, shape, self._buffers["mean"].shape)
        return (Op("standardize", tuple(shape)),)

    def __call__(self, x, out=None):
        x = as_float(x, "Standardize", self.dtype)
        y = _core.standardize(x, *self._buffers.values(), self._places(x.shape), "Standardize")
        return deliver(y.astype(self.dtype, copy=False), out)

    def _vjp(self, x, step, train):
        y = self(x)

        def pull(dy, need_dx, grads):
            dy, scale = as_gradient(dy, y, "Standardize"), self._buffers["scale"]
            return _core.standardize(dy, None, scale, self._places(y.shape), "Standardize") if need_dx else None

        return y, self._backward(pull)


class Scale(Layer):
    """y = x * weight, one learned factor per feature (Holzmüller, Grinsztajn and Steinwart, 2024).

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
        factor = as_finite(init, "Scale", "init")
        self._keep("weight", self._full((self.num_features,), factor, self.dtype))

    def lower(self, shape):
        _require_features(self, shape, (self.num_features,))
        return (Op("scale", tuple(shape), ("weight",)),)

    def __call__(self, x, out=None):
        x = as_float(x, "Scale")
        _require_features(self, x.shape, (self.num_features,))
        return deliver(_core.scale_rows(x, self._parameters["weight"], "Scale"), out)

    def _vjp(self, x, step, train):
        y = self(x)

        def pull(dy, need_dx, grads):
            weight = self._parameters["weight"]
            dy = as_gradient(dy, y, "Scale")
            grads["weight"] = _core.sum_products(dy, x, weight, "Scale")
            return _core.scale_rows(dy, weight, "Scale") if need_dx else None

        return y, self._backward(pull)


def _drawn(layer, shape, init, default, rng):
    """Return a layer's only weight: drawn by ``init``, or by the default where that is None; blank in a blank layer."""
    if layer._blank:
        return blank(shape, layer.dtype)
    func = type(layer).__name__
    initialiser = as_initialisers(default if init is None else init, func)[0]
    return np.asarray(draw(bind(initialiser), shape, as_generator(rng, func), func, "weight"), layer.dtype)


def _index_error(kind, value, index, text):
    """Return the error of a value that is no index, at this index of the input."""
    error = kind(f"Embedding: x is {value} at {place(*index)}; {text}" if index else f"Embedding: x is {value}; {text}")
    error._made_of = kind, value, index, text
    return error


def _moved(error, first_row=0, columns=None):
    """Return the error of an index for an x of which the input was some rows, or some columns; other errors as they are."""
    if not getattr(error, "_made_of", None):
        return error
    kind, value, index, text = error._made_of
    if columns is not None:
        index = (*index[:-1], columns[index[-1]])
    elif index:
        index = (index[0] + first_row, *index[1:])
    return _index_error(kind, value, index, text)


class Embedding(Layer):
    """A learned vector for each of several things: y[..., :] = weight[x[...]], as ``torch.nn.Embedding``.

    Parameters
    ----------
    num_embeddings : int
        x holds whole numbers in [0, num_embeddings), as integers or floats; another is an IndexError that names its row and column.
    embedding_dim : int
        Numbers in a vector. x (rows, columns) gives y (rows, columns, embedding_dim); ``Flatten`` makes rows of numbers of it.
    init : str or callable, optional
        Initialiser of the weight; N(0, 1), PyTorch's, if None.
    rng : numpy.random.Generator or int, optional
        As for ``Linear``.
    dtype : float32 or float64

    Notes
    -----
    As the first layer of a network it reads x as it comes: indices beyond 2^24, which float32 does not tell apart, are exact in
    integers and in float64. There is no gradient by an index: dx is 0.
    """

    _any_dtype = True

    def __init__(self, num_embeddings, embedding_dim, *, init=None, rng=None, dtype=np.float32):
        super().__init__()
        self.num_embeddings = as_count(num_embeddings, "Embedding", "num_embeddings")
        self.embedding_dim = as_count(embedding_dim, "Embedding", "embedding_dim")
        self.dtype = as_dtype(dtype, "Embedding")
        self._keep("weight", _drawn(self, (self.num_embeddings, self.embedding_dim), init, normal, rng))

    def _indices(self, x):
        """Return x as int64; ValueError for what is no whole number, IndexError for one out of range."""
        x, n, most = as_real(x, "Embedding", "x"), self.num_embeddings, _core.MAX_DIMENSIONS - 1
        if x.ndim > most:
            raise ValueError(f"Embedding: x has {x.ndim} dimensions but at most {most} were expected")
        if x.dtype.kind == "f":
            self._refuse(x, ~(np.floor(x) == x), ValueError, "a whole number was expected")
            exact = 2 ** (np.finfo(x.dtype).nmant + 1)
            if n > exact:
                text = f"{x.dtype} skips whole numbers beyond {exact}: pass integers{', or float64' * (x.dtype.itemsize < 8)}"
                self._refuse(x, (x >= exact) & (x < n), ValueError, text)
        self._refuse(x, (x < 0) | (x >= n), IndexError, f"an index in [0, {n}) was expected")
        return x.astype(np.int64)

    @staticmethod
    def _refuse(x, bad, kind, text):
        if bad.any():
            index = tuple(np.argwhere(bad)[0].tolist())
            raise _index_error(kind, x[index], index, text)

    def _check_rows(self, x):
        for start, rows in pieces(x):
            try:
                self._indices(rows)
            except (ValueError, IndexError) as error:
                raise _moved(error, start) from None

    def lower(self, shape):
        return (Op("embedding", (*shape, self.embedding_dim), ("weight",)),)

    def __call__(self, x, out=None):
        return deliver(self._parameters["weight"][self._indices(x)], out)

    def _vjp(self, x, step, train):
        indices, weight = self._indices(x), self._parameters["weight"]
        y = weight[indices]

        def pull(dy, need_dx, grads):
            dy = as_gradient(dy, y, "Embedding").reshape(-1, self.embedding_dim)
            grads["weight"] = _core.sum_of_indices(indices, dy, weight, "Embedding")
            return np.zeros(indices.shape, dy.dtype) if need_dx else None

        return y, self._backward(pull)


class Periodic(Layer):
    """Numbers as waves of learned frequencies: y[..., i, :] = (cos(2 pi c_i x_i), sin(2 pi c_i x_i)) with c the weight.

    The periodic embedding of Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
    NeurIPS 2022. x (rows, num_features) gives y (rows, num_features, 2 * num_frequencies), cosines first.

    Parameters
    ----------
    num_features : int
    num_frequencies : int
    sigma : float
        Standard deviation of the initial frequencies, N(0, sigma^2); the paper tunes it between 0.01 and 100, for x of deviation 1.
    init : str or callable, optional
        Another initialiser of the weight, of shape (num_features, num_frequencies).
    rng : numpy.random.Generator or int, optional
        As for ``Linear``.
    dtype : float32 or float64

    Examples
    --------
    The paper's best embedding, with a linear layer that all features share, then a network:

    >>> fnn.Sequential(fnn.Periodic(8, 24), fnn.Linear(48, 16), fnn.ReLU(), fnn.Flatten(), fnn.MLP([128, 64, 1]))
    """

    _keeps_y = True
    _only_factors = True  # a penalty would slow the waves down

    def __init__(self, num_features, num_frequencies=48, sigma=0.01, *, init=None, rng=None, dtype=np.float32):
        super().__init__()
        self.num_features = as_count(num_features, "Periodic", "num_features")
        self.num_frequencies = as_count(num_frequencies, "Periodic", "num_frequencies")
        self.sigma = as_number(sigma, "Periodic", "sigma")
        if not 0 < self.sigma < np.inf:
            raise ValueError(f"Periodic: sigma is {sigma} but a positive, finite number was expected")
        self.dtype = as_dtype(dtype, "Periodic")
        default = functools.partial(normal, std=self.sigma)
        self._keep("weight", _drawn(self, (self.num_features, self.num_frequencies), init, default, rng))

    def lower(self, shape):
        _require_features(self, shape, (self.num_features,))
        return (Op("periodic", (*shape, 2 * self.num_frequencies), ("weight",)),)

    def __call__(self, x, out=None):
        x = as_float(x, "Periodic")
        _require_features(self, x.shape, (self.num_features,))
        return deliver(_core.waves(x, self._parameters["weight"], "Periodic"), out)

    def _vjp(self, x, step, train):
        y, weight = self(x), self._parameters["weight"]

        def pull(dy, need_dx, grads):
            dy = as_gradient(dy, y, "Periodic")
            dx, grads["weight"] = _core.waves_backward(dy, y, x, weight, need_dx, "Periodic")
            return dx

        return y, self._backward(pull)


class PiecewiseLinear(_Fitted):
    """Numbers as how far they have come through each of several bins: y[..., i, t] = (x_i - b_(t-1)) / (b_t - b_(t-1)) in [0, 1].

    The piecewise linear encoding of Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
    NeurIPS 2022: 1 for bins that x has passed, 0 for those it has not reached, except that the first bin goes on below 0 and the last
    above 1. x (rows, num_features) gives y (rows, num_features, num_bins).

    Parameters
    ----------
    num_features : int
    num_bins : int
        Between the num_bins + 1 numbers of a row of ``edges``, which are not trained: equally spaced from 0 to 1 until they are fitted
        or loaded.
    dtype : float32 or float64
        Of the output; ``edges`` is float64, as for ``Standardize``.
    """

    def __init__(self, num_features, num_bins=48, *, dtype=np.float32):
        super().__init__()
        self.num_features = as_count(num_features, "PiecewiseLinear", "num_features")
        self.num_bins = as_count(num_bins, "PiecewiseLinear", "num_bins")
        self.dtype = as_dtype(dtype, "PiecewiseLinear")
        self._buffers["edges"] = self._full((self.num_features, self.num_bins + 1), 0.0, np.float64)
        if not self._blank:
            self._buffers["edges"][:] = np.arange(self.num_bins + 1) / self.num_bins

    def fit_statistics(self, x):
        """Set the edges to quantiles of x, so that bins hold equally many rows.

        Where quantiles are equal a feature has fewer bins, and the others, whose edges are infinite, are always 0; for a constant
        feature these are all.

        Parameters
        ----------
        x : array_like, shape (rows, ..., num_features)
            Finite.

        Returns
        -------
        PiecewiseLinear
            This layer.

        Raises
        ------
        ValueError
            For no rows, a shape that does not fit, NaN and infinity.
        """
        x = as_real(x, "fit_statistics", "x")
        _require_features(self, x.shape, (self.num_features,))
        if x.ndim < 2 or x.size == 0:
            raise ValueError(f"fit_statistics: x has shape {x.shape} but (rows, ..., {self.num_features}) was expected")
        require_finite(x, self.dtype, "fit_statistics", "x")
        shares = np.arange(self.num_bins + 1) / self.num_bins
        quantiles = np.quantile(x.reshape(-1, self.num_features).astype(np.float64), shares, axis=0)
        edges = np.full((self.num_features, self.num_bins + 1), np.inf)
        for feature, numbers in zip(edges, quantiles.T, strict=True):
            unique = np.unique(numbers)
            feature[: unique.size] = unique
        self._take({"edges": edges})
        return self

    def _input(self, x):
        """Return x in the dtype that is computed in."""
        x = as_float(x, "PiecewiseLinear", self.dtype)
        _require_features(self, x.shape, (self.num_features,))
        return x

    def lower(self, shape):
        _require_features(self, shape, (self.num_features,))
        return (Op("piecewise_linear", (*shape, self.num_bins)),)

    def _computed(self, x, slopes):
        return _core.bins(self._input(x), self._buffers["edges"], "PiecewiseLinear", slopes).astype(
            self.dtype, copy=False
        )

    def __call__(self, x, out=None):
        return deliver(self._computed(x, False), out)

    def _vjp(self, x, step, train):
        y = self(x)

        def pull(dy, need_dx, grads):
            dy = as_gradient(dy, y, "PiecewiseLinear")
            return _core.sum_last(dy, self._computed(x, True), "PiecewiseLinear") if need_dx else None

        return y, self._backward(pull)


def _as_columns(columns, i):
    """Return the columns of branch i as a tuple of integers."""
    name = f"columns {i}"
    if isinstance(columns, (int, np.integer)) and not isinstance(columns, bool):
        columns = (columns,)
    if isinstance(columns, (str, bytes)) or not hasattr(columns, "__iter__"):
        raise TypeError(f"Columns: {name} is {columns!r} but an integer or a sequence of integers was expected")
    columns = tuple(as_integer(column, "Columns", f"a column of branch {i}", 0) for column in columns)
    if not columns:
        raise ValueError(f"Columns: {name} is empty but at least one column was expected")
    return columns


class Columns(Container):
    """y = (f_1(some columns of x), f_2(others), ...): what layers make of their columns, as scikit-learn's ``ColumnTransformer``.

    Parameters
    ----------
    branches : sequence of (columns, layer)
        Columns are an integer, which means a list of one, or a sequence of them, such as ``range(3)``; numbers from 0, in the last
        axis of x. Branches may share columns. A layer, or a chain, takes x[..., columns]; what it returns, such as the vectors of an
        ``Embedding``, is flattened to one axis behind the leading axes of x.

    Examples
    --------
    >>> fnn.Columns([([0, 1, 2], fnn.Standardize(3)), (3, fnn.Embedding(7, 4))])  # (rows, 4) -> (rows, 3 + 4)

    Notes
    -----
    Each branch gets its columns in the dtype of the container's parameters, except for a layer that takes any dtype, such as
    ``Embedding``, which gets them as they came: indices stay exact beside float32 numbers.
    """

    _any_dtype = True
    _described = ("columns",)

    def __init__(self, branches):
        if not hasattr(branches, "__iter__"):
            raise TypeError(f"Columns: branches is {branches!r} but a sequence of pairs (columns, layer) was expected")
        branches = list(branches)
        pairs = [tuple(branch) if isinstance(branch, (tuple, list)) else () for branch in branches]
        for i, pair in enumerate(pairs):
            if len(pair) != 2:
                raise TypeError(f"Columns: branch {i} is {branches[i]!r} but a pair (columns, layer) was expected")
        if not pairs:
            raise ValueError("Columns: at least one branch was expected")
        self.columns = tuple(_as_columns(columns, i) for i, (columns, _) in enumerate(pairs))
        super().__init__(*[layer for _, layer in pairs])

    @classmethod
    def _made_of(cls, layers, columns):
        return cls(list(zip(columns, layers, strict=True)))

    def __repr__(self):
        branches = ", ".join(
            f"({list(columns)}, {layer!r})" for columns, layer in zip(self.columns, self.layers, strict=True)
        )
        return f"Columns([{branches}])"

    @property
    def config(self):
        """The columns of each branch; the layers are in ``layers``."""
        return {"columns": self.columns}

    def _through(self, i, function, x):
        """Return a function of the columns of branch i; the error of an index names its column in x."""
        if x.ndim == 0 or x.shape[-1] <= max(self.columns[i]):
            raise ValueError(
                f"Columns: the input has shape {x.shape} but branch {i} reads column {max(self.columns[i])}"
            )
        part, any_dtype = x[..., list(self.columns[i])], getattr(self.layers[i], "_any_dtype", False)
        try:
            return function(part if any_dtype else self._as_own(part))
        except (ValueError, IndexError) as error:
            raise (_moved(error, columns=self.columns[i]) if any_dtype else error) from None

    def _check_rows(self, x):
        checked = [(i, layer) for i, layer in enumerate(self.layers) if getattr(layer, "_any_dtype", False)]
        for start, rows in pieces(x) if checked else ():
            try:
                for i, layer in checked:
                    self._through(i, layer._check_rows, rows)
            except (ValueError, IndexError) as error:
                raise _moved(error, start) from None

    def _flat(self, i, shape, lead):
        """Return the shape of what branch i adds to the output, of the shape its layer returns behind the axes lead."""
        if shape[: len(lead)] != lead:
            raise ValueError(f"Columns: branch {i} returns shape {shape} but its first axes should be {lead}")
        rest = shape[len(lead) :]
        return (*lead, None if None in rest else math.prod(rest))

    def _joined(self, ys, lead):
        return np.concatenate([y.reshape(self._flat(i, y.shape, lead)) for i, y in enumerate(ys)], axis=-1)

    def _rows(self, shape, leaf):
        """Return for each branch ``columns``, which takes these from the input, and its own rows; at last ``concatenate``.

        Its ``ops`` are the numbers of rows of the branches, with the row ``columns`` counted.
        """
        ops, counts, width = [], [], 0
        for i, columns in enumerate(self.columns):
            if not shape or shape[-1] <= max(columns):
                raise ValueError(f"Columns: the input has shape {shape} but branch {i} reads column {max(columns)}")
            taken = Op("columns", (*shape[:-1], len(columns)), numbers={"columns": columns})
            branch = [taken, *self._rows_of(i, taken.shape, leaf)]
            added = self._flat(i, branch[-1].shape, shape[:-1])[-1]
            width = None if None in (width, added) else width + added
            ops += branch
            counts.append(len(branch))
        return [*ops, Op("concatenate", (*shape[:-1], width), numbers={"ops": tuple(counts)})]

    def __call__(self, x, out=None):
        x = as_real(x, "Columns", "x")
        return deliver(
            self._joined([self._through(i, layer, x) for i, layer in enumerate(self.layers)], x.shape[:-1]), out
        )

    def _trace(self, x, step):
        x = as_real(x, "Columns", "x")
        for i in range(len(self.layers)):
            yield from self._trace_layer(i, self._through(i, lambda part: part, x), step)

    def _vjp(self, x, step, train):
        x = as_real(x, "Columns", "x")
        ys, backs = [], []
        for i in range(len(self.layers)):
            y, back = self._through(i, lambda part, i=i: self._vjp_layer(i, part, step, train), x)
            ys.append(y)
            backs.append(back)
        joined, shapes = self._joined(ys, x.shape[:-1]), [y.shape for y in ys]

        def pull(dy, need_dx):
            dy = as_gradient(dy, joined, "Columns")
            dx, start = np.zeros(x.shape, dy.dtype) if need_dx else None, 0
            for columns, shape, back in zip(self.columns, shapes, backs, strict=True):
                stop = start + math.prod(shape[x.ndim - 1 :])
                part = back(dy[..., start:stop].reshape(shape), need_dx=need_dx)
                if need_dx:
                    np.add.at(dx, (..., list(columns)), part)
                start = stop
            return dx

        return joined, self._backward_of(backs, pull)
