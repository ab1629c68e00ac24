"""Initial weights and seeds. An initialiser is a function (shape, rng) -> float64 array, shape (out_features, in_features)."""

import os

import numpy as np


def draw_seed():
    """Return a seed of 32 bits from the operating system, for whoever gave none."""
    return int.from_bytes(os.urandom(4), "little")


def uniform_fan_in(shape, rng):
    """Draw from U(-b, b) with b = 1 / sqrt(in_features): PyTorch's default for Linear, weight and bias.

    Parameters
    ----------
    shape : tuple
        (..., in_features).
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float64
    """
    bound = 1 / np.sqrt(max(shape[-1], 1))
    return rng.uniform(-bound, bound, shape)
