"""What every layer returns at inference, in plain NumPy, from the layer's arguments and arrays: ``forward(layer, x)``."""

import numpy as np

from fastnn.reference.activations import both_of, maxout, prelu
from fastnn.reference.losses import log_softmax, softmax
from fastnn.reference.norms import batch_norm, layer_norm, rms_norm
from fastnn.reference.products import linear


def _norm(function, layer, x, **options):
    """A norm of rows, over as many of the last axes as the layer says."""
    affine = {name: getattr(layer, name) for name in ("weight", "bias") if getattr(layer, name, None) is not None}
    flat = {name: value.reshape(-1) for name, value in affine.items()}
    rows = x.reshape(*x.shape[: x.ndim - len(layer.normalized_shape)], -1)
    return function(rows, **flat, **options).reshape(x.shape)


def _batch_norm(layer, x):
    running = (layer.running_mean, layer.running_var) if layer.track_running_stats else ()
    return batch_norm(
        x, *running, weight=layer.weight, bias=layer.bias, training=not layer.track_running_stats, eps=layer.eps
    )


def _maxout(layer, x):
    return maxout(_linear(layer, x).reshape(*x.shape[:-1], -1, layer.pieces))


def _linear(layer, x):
    return linear(x, layer.weight, layer.bias)


def _flatten(layer, x):
    last = layer.end_dim % x.ndim + 1
    return x.reshape(*x.shape[: layer.start_dim], -1, *x.shape[last:])


def _periodic(layer, x):
    phase = 2 * np.pi * x[..., None] * layer.weight
    return np.concatenate([np.cos(phase), np.sin(phase)], -1)


def _piecewise_linear(layer, x):
    """Each bin's share between 0 and 1, but the first may be less and the last more; bins without a width, which are last, 0."""
    y = np.zeros((*x.shape, layer.num_bins), layer.dtype)
    for i, edges in enumerate(layer.edges):
        edges = edges[np.isfinite(edges)]
        for t in range(len(edges) - 1):
            low, high = -np.inf if t == 0 else 0, np.inf if t == len(edges) - 2 else 1
            y[..., i, t] = np.clip((x[..., i] - edges[t]) / (edges[t + 1] - edges[t]), low, high)
    return y


def _chain(layer, x):
    for part in layer.layers:
        x = forward(part, x)
    return x


def _columns(layer, x):
    """What each part makes of its columns, as rows of numbers, side by side."""
    parts = zip(layer.columns, layer.layers, strict=True)
    return np.concatenate([forward(part, x[..., list(c)]).reshape(*x.shape[:-1], -1) for c, part in parts], -1)


def _ensemble(layer, x):
    """The mean over the members, one after the other."""
    state, total = layer.state_dict(), 0
    for k in range(layer.k):
        y = x
        for i, part in enumerate(layer.layers):
            if f"{i}.r" in state:
                r, s, b = (state[f"{i}.{name}"][k] for name in "rsb")
                y = s * forward(part, y * r) + b
            else:
                y = forward(part, y)
        total = total + y
    return total / layer.k


FORWARD = {  # by class; other layers are rows of the table of activations
    "AlphaDropout": lambda layer, x: x,
    "BatchNorm1d": _batch_norm,
    "Columns": _columns,
    "Dropout": lambda layer, x: x,
    "Embedding": lambda layer, x: layer.weight[x.astype(np.int64)],
    "Ensemble": _ensemble,
    "Flatten": _flatten,
    "LayerNorm": lambda layer, x: _norm(layer_norm, layer, x, eps=layer.eps),
    "Linear": _linear,
    "LogSoftmax": lambda layer, x: log_softmax(x, layer.axis),
    "MLP": _chain,
    "Maxout": _maxout,
    "PReLU": lambda layer, x: prelu(x, layer.weight),
    "Periodic": _periodic,
    "PiecewiseLinear": _piecewise_linear,
    "RMSNorm": lambda layer, x: _norm(rms_norm, layer, x, eps=layer.eps),
    "Residual": lambda layer, x: x + _chain(layer, x),
    "Scale": lambda layer, x: x * layer.weight,
    "Sequential": _chain,
    "Softmax": lambda layer, x: softmax(x, layer.axis),
    "Standardize": lambda layer, x: ((x - layer.mean) / layer.scale).astype(layer.dtype, copy=False),
}


def forward(layer, x):
    """Return what ``layer(x)`` returns.

    Parameters
    ----------
    layer : Layer
    x : ndarray of float

    Returns
    -------
    ndarray
    """
    formula = FORWARD.get(type(layer).__name__)
    return formula(layer, x) if formula else both_of(layer.name)[0](x, **layer.config)
