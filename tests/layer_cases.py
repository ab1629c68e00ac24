"""One of each layer, for the tests that every layer must pass."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from support import ROWS

import fastnn as fnn

RNG = np.random.default_rng(0)

# Kinds of rows beside the activations.
KINDS = {
    "alpha_dropout",
    "batch_norm",
    "columns",
    "concatenate",
    "dropout",
    "embedding",
    "flatten",
    "layer_norm",
    "linear",
    "log_softmax",
    "maxout",
    "mean",
    "members",
    "periodic",
    "piecewise_linear",
    "prelu",
    "residual",
    "rms_norm",
    "scale",
    "softmax",
    "standardize",
}


@dataclasses.dataclass
class Case:
    """A layer, made by a function of the dtype, and inputs for it."""

    make: Callable
    draw: Callable = lambda rng: rng.standard_normal((5, 6))  # float64
    whole_columns: tuple = ()  # those that hold indices, by which nothing is differentiated

    def __call__(self, dtype):
        return self.make(dtype)


def indices(rng):
    return rng.integers(0, 4, (5, 6)).astype(np.float64)


# Those that are no Case take 6 features.
LAYERS = [
    lambda dtype: fnn.Linear(6, 4, rng=RNG, dtype=dtype),
    lambda dtype: fnn.Linear(6, 4, bias=False, rng=RNG, dtype=dtype),
    lambda dtype: fnn.Maxout(6, 4, rng=RNG, dtype=dtype),
    lambda dtype: fnn.Maxout(6, 3, pieces=3, bias=False, rng=RNG, dtype=dtype),
    lambda dtype: fnn.PReLU(dtype=dtype),
    lambda dtype: fnn.PReLU(6, init=0.1, dtype=dtype),
    lambda dtype: fnn.Dropout(0.4, seed=1),
    lambda dtype: fnn.Softmax(),
    lambda dtype: fnn.Softmax(axis=0),
    lambda dtype: fnn.LogSoftmax(),
    lambda dtype: fnn.LogSoftmax(axis=0),
    lambda dtype: fnn.AlphaDropout(0.4, seed=1),
    lambda dtype: fnn.Flatten(),
    Case(lambda dtype: fnn.Flatten(), lambda rng: rng.standard_normal((5, 2, 3))),
    Case(lambda dtype: fnn.Flatten(0, 1), lambda rng: rng.standard_normal((5, 2, 3))),
    lambda dtype: fnn.LayerNorm(6, dtype=dtype),
    lambda dtype: fnn.LayerNorm(6, 0.1, bias=False, dtype=dtype),
    lambda dtype: fnn.LayerNorm(6, elementwise_affine=False, dtype=dtype),
    Case(lambda dtype: fnn.LayerNorm((2, 3), dtype=dtype), lambda rng: rng.standard_normal((5, 2, 3))),
    lambda dtype: fnn.RMSNorm(6, dtype=dtype),
    Case(lambda dtype: fnn.RMSNorm((2, 3), 0.1, dtype=dtype), lambda rng: rng.standard_normal((5, 2, 3))),
    lambda dtype: fnn.BatchNorm1d(6, dtype=dtype),
    lambda dtype: fnn.BatchNorm1d(6, 0.1, None, affine=False, dtype=dtype),
    lambda dtype: fnn.BatchNorm1d(6, track_running_stats=False, dtype=dtype),
    Case(lambda dtype: fnn.BatchNorm1d(2, dtype=dtype), lambda rng: rng.standard_normal((5, 2, 3))),
    lambda dtype: fnn.Scale(6, init=0.3, dtype=dtype),
    lambda dtype: fnn.Standardize(6, dtype=dtype).fit_statistics(RNG.normal(3, 2, (20, 6))),
    Case(
        lambda dtype: fnn.Standardize((2, 1), dtype=dtype).fit_statistics(RNG.normal(3, 2, (20, 2, 3))),
        lambda rng: rng.standard_normal((5, 2, 3)),
    ),
    *[lambda dtype, name=row.layer: getattr(fnn, name)() for row in ROWS],
    lambda dtype: fnn.LeakyReLU(0.2),
    lambda dtype: fnn.LeakyReLU(-0.2),
    lambda dtype: fnn.Softplus(beta=2.0, threshold=3.0),
    lambda dtype: fnn.Sequential(
        fnn.Linear(6, 5, rng=RNG, dtype=dtype), fnn.Tanh(), fnn.Sequential(fnn.Linear(5, 2, rng=RNG, dtype=dtype))
    ),
    lambda dtype: fnn.Sequential(fnn.Linear(6, 5, rng=RNG, dtype=dtype), fnn.Sequential(fnn.Sigmoid())),
    lambda dtype: fnn.Sequential(),
    lambda dtype: fnn.Residual(
        fnn.Linear(6, 5, rng=RNG, dtype=dtype), fnn.Tanh(), fnn.Linear(5, 6, rng=RNG, dtype=dtype)
    ),
    lambda dtype: fnn.Sequential(
        fnn.Linear(6, 4, rng=RNG, dtype=dtype), fnn.Residual(fnn.PReLU(4, dtype=dtype)), fnn.Residual(fnn.Sigmoid())
    ),
    lambda dtype: fnn.Ensemble(
        3, fnn.Linear(6, 5, rng=RNG, dtype=dtype), fnn.Tanh(), fnn.Linear(5, 2, rng=RNG, dtype=dtype), rng=RNG
    ),
    lambda dtype: fnn.Sequential(
        fnn.Tanh(),
        fnn.Ensemble(
            2, fnn.Scale(6, dtype=dtype), fnn.Linear(6, 5, False, rng=RNG, dtype=dtype), fnn.Sigmoid(), rng=RNG
        ),
    ),
    lambda dtype: fnn.Periodic(6, 3, 0.5, rng=RNG, dtype=dtype),
    lambda dtype: fnn.PiecewiseLinear(6, 4, dtype=dtype).fit_statistics(RNG.standard_normal((30, 6))),
    lambda dtype: fnn.Sequential(
        fnn.Periodic(6, 2, 0.3, rng=RNG, dtype=dtype), fnn.Linear(4, 2, rng=RNG, dtype=dtype), fnn.Tanh(), fnn.Flatten()
    ),
    Case(lambda dtype: fnn.Embedding(4, 3, rng=RNG, dtype=dtype), indices, tuple(range(6))),
    Case(
        lambda dtype: fnn.Sequential(
            fnn.Embedding(4, 3, rng=RNG, dtype=dtype), fnn.Flatten(), fnn.Linear(18, 2, rng=RNG, dtype=dtype)
        ),
        indices,
        tuple(range(6)),
    ),
    lambda dtype: fnn.Columns(
        [
            (range(6), fnn.Tanh()),
            ((5, 0, 5), fnn.Linear(3, 2, rng=RNG, dtype=dtype)),
            (1, fnn.Standardize(1, dtype=dtype)),
        ]
    ),
    Case(
        lambda dtype: fnn.Sequential(
            fnn.Columns(
                [
                    ([0, 1, 2], fnn.Linear(3, 4, rng=RNG, dtype=dtype)),
                    ([4, 3], fnn.Embedding(4, 3, rng=RNG, dtype=dtype)),
                    (5, fnn.Sequential(fnn.Embedding(4, 2, rng=RNG, dtype=dtype), fnn.Tanh())),
                ]
            ),
            fnn.Linear(12, 2, rng=RNG, dtype=dtype),
        ),
        lambda rng: np.concatenate([rng.standard_normal((5, 3)), rng.integers(0, 4, (5, 3))], 1),
        (3, 4, 5),
    ),
    lambda dtype: fnn.MLP([6, 5, 4, 3], "gelu", dropout=0.2, seed=0, dtype=dtype),
    lambda dtype: fnn.MLP([6, 5, 3], "leaky_relu", negative_slope=0.3, seed=0, dtype=dtype),
]

CASES = [layer if isinstance(layer, Case) else Case(layer) for layer in LAYERS]

every_layer = pytest.mark.parametrize("make", CASES, ids=[repr(make(np.float32))[:60] for make in CASES])
