"""Initial weights. An initialiser is a function (shape, rng) -> float64 array, shape (out_features, in_features)."""

import numpy as np


def uniform_fan_in(shape, rng):
    """Draw from U(-b, b) with b = 1 / sqrt(in_features): PyTorch's default for Linear, weight and bias.

    Parameters
    ----------
    shape : tuple
        (..., in_features).
    rng : numpy.random.Generator or fastnn.random.Philox

    Returns
    -------
    ndarray of float64
    """
    bound = 1 / np.sqrt(max(shape[-1], 1))
    return rng.uniform(-bound, bound, shape)
