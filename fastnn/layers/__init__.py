"""Layers. A layer is called for inference, ``y = layer(x)``, and for training, ``y, backward = layer.vjp(x)``.

``dx = backward(dy)`` also sets ``layer.grads[name]`` for each of the layer's parameters. There is no tape: a layer returns its own
backward function, and ``Sequential`` chains them.
"""

from fastnn.layers.activations import (
    CELU,
    ELU,
    GELU,
    SELU,
    Dropout,
    GELUTanh,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softshrink,
    Softsign,
    Square,
    Tanh,
    Tanhshrink,
    Threshold,
)
from fastnn.layers.base import Layer
from fastnn.layers.containers import MLP, Residual, Sequential
from fastnn.layers.linear import Linear, Maxout

__all__ = [
    "CELU",
    "Dropout",
    "ELU",
    "GELU",
    "GELUTanh",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "MLP",
    "Maxout",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "Residual",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Square",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]
