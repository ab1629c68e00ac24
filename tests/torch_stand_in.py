"""What the benchmarks use of PyTorch, in NumPy: it stands in where PyTorch is not installed, so that their calls are tested.

Derivatives are ATen's, with ATen's order of arguments; functions are those of fastnn.reference, whose names are PyTorch's.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np

from fastnn import reference as R


class Tensor(np.ndarray):
    """An array with a gradient, which adds up as PyTorch's does."""

    tracked, grad = False, None

    def requires_grad_(self):
        self.tracked = True

    def copy_(self, x):
        self[...] = x
        return self


class CrossEntropy:
    """The loss of x, of which only the gradient is asked for."""

    def __init__(self, x, labels):
        self.x, self.gradient = x, R.cross_entropy_with_grad(np.asarray(x), labels)[1]

    def backward(self):
        assert self.x.tracked
        self.x.grad = self.gradient if self.x.grad is None else self.x.grad + self.gradient


def _into(function):
    """The function with an output, under each name that ATen gives that."""

    def call(*arguments, out=None, grad_input=None, **options):
        result = np.asarray(function(*arguments, **options))
        target = out if grad_input is None else grad_input
        if target is None:
            return result
        target[...] = result
        return target

    call.out = call.grad_input = call
    return call


def _elu_backward(grad, alpha, scale, input_scale, is_result, y):
    assert is_result
    return np.where(y <= 0, grad * input_scale * (y + alpha * scale), grad * scale)


def _leaky_relu_backward(grad, y, slope, is_result):
    assert is_result
    return np.where(y > 0, grad, grad * slope)


def _softplus_backward(grad, x, beta, threshold):
    assert threshold == 20, "PyTorch's own"
    return R.softplus_backward(grad, x=beta * x)


def _log_sigmoid_backward(grad, x, kept):
    share = kept / (1 + kept)
    return grad * np.where(x < 0, 1 - share, share)


def _gelu_backward(grad, x, approximate="none"):
    return {"none": R.gelu_backward, "tanh": R.gelu_tanh_backward}[approximate](grad, x=x)


def _gelu(x, approximate="none"):
    return {"none": R.gelu, "tanh": R.gelu_tanh}[approximate](x)


OPS = {
    "hardshrink": R.hardshrink,
    "threshold": lambda x, threshold, value: np.where(x > threshold, x, value),
    "threshold_backward": lambda grad, x, threshold: np.where(x > threshold, grad, 0),
    "leaky_relu_backward": _leaky_relu_backward,
    "elu_backward": _elu_backward,
    "sigmoid_backward": lambda grad, y: grad * y * (1 - y),
    "tanh_backward": lambda grad, y: grad * (1 - y * y),
    "softplus_backward": _softplus_backward,
    "log_sigmoid_forward": lambda x: (R.logsigmoid(x), np.exp(-np.abs(x))),
    "log_sigmoid_backward": _log_sigmoid_backward,
    "hardshrink_backward": lambda grad, x, lambd: np.where(np.abs(x) <= lambd, 0, grad),
    "softshrink_backward": lambda grad, x, lambd: np.where(np.abs(x) <= lambd, 0, grad),
    "silu_backward": lambda grad, x: R.silu_backward(grad, x=x),
    "gelu_backward": _gelu_backward,
    "mish_backward": lambda grad, x: R.mish_backward(grad, x=x),
    "hardtanh_backward": lambda grad, x, low, high: np.where((x > low) & (x < high), grad, 0),
    "hardsigmoid_backward": lambda grad, x: np.where(np.abs(x) < 3, grad / 6, 0),
    "hardswish_backward": lambda grad, x: R.hardswish_backward(grad, x=x),
}
NN = ("elu", "leaky_relu", "softplus", "silu", "mish", "softshrink", "hardsigmoid", "hardswish")


class Adam:
    """The optimizer that stands for all of them: it makes its first step again and again."""

    def __init__(self, params, lr):
        self.params, self.lr = params, lr

    def step(self):
        for param in self.params:
            R.adam_update(param, param.grad, *np.zeros((2, *param.shape)), step=1, lr=self.lr)


def _norm(name):
    """A norm that takes the shape of the last axis or two statistics after x, and remembers the gradient of its input."""

    def forward(x, *arguments):
        x, arrays = np.asarray(x), [np.asarray(a) for a in arguments if isinstance(a, np.ndarray)]
        training = {"training": True} if name == "batch_norm" else {}
        y = getattr(R, name)(x, **dict(zip(("weight", "bias"), arrays, strict=False)), **training).view(Tensor)
        statistics = (x.mean(0), x.var(0)) if training else ()
        y.pull = lambda grad: getattr(R, f"{name}_backward")(grad, x, *statistics, arrays[0], **training)
        return y

    return forward


def _softmax_of(function):
    return _into(lambda x, dim: function(x, axis=dim))


def install(monkeypatch):
    """Let `import torch` find the stand-in until the test is over."""
    torch = ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    torch.empty = lambda *shape: np.full(shape, np.nan, np.float32).view(Tensor)
    torch.from_numpy = lambda x: x.view(Tensor)
    torch.matmul, torch.softmax, torch.log_softmax = (
        _into(np.matmul),
        _softmax_of(R.softmax),
        _softmax_of(R.log_softmax),
    )
    torch.clamp = _into(lambda x, min: np.maximum(x, min))
    for name in ("sigmoid", "tanh", "square", "celu", "selu"):
        setattr(torch, name, _into(getattr(R, name)))
    torch.ops = SimpleNamespace(aten=SimpleNamespace(**{name: _into(function) for name, function in OPS.items()}))
    functional = SimpleNamespace(softsign=R.softsign, tanhshrink=R.tanhshrink, cross_entropy=CrossEntropy)
    for name in ("layer_norm", "rms_norm", "batch_norm"):
        setattr(functional, name, _norm(name))
    torch.autograd = SimpleNamespace(grad=lambda y, inputs, grad, retain_graph: y.pull(grad))
    torch.optim = SimpleNamespace(Adam=Adam)
    torch.nn = SimpleNamespace(functional=functional)
    functions = {name: getattr(R, name) for name in NN}
    functions |= {
        "gelu": _gelu,
        "log_sigmoid": R.logsigmoid,
        "hardtanh": lambda x, low=-1, high=1: np.clip(x, low, high),
    }
    torch._C = SimpleNamespace(_nn=SimpleNamespace(**{name: _into(f) for name, f in functions.items()}))
    monkeypatch.setitem(sys.modules, "torch", torch)
