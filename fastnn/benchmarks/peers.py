"""What fastnn is compared with: NumPy, as :mod:`fastnn.reference` uses it, and PyTorch, each timed in a process of its own."""

import contextlib
import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from fastnn import reference as R
from fastnn.benchmarks.timing import seconds_a_call


class ReferenceMLP:
    """An MLP with ReLU, dropout, cross-entropy and Adam, trained step by step with :mod:`fastnn.reference`.

    Dropout draws from NumPy's generator, as a user of NumPy would.

    Parameters
    ----------
    model : Sequential
        Its weights are copied.
    lr, dropout, label_smoothing : float
    """

    def __init__(self, model, lr=1e-3, dropout=0.0, label_smoothing=0.0):
        params = list(model.state_dict().values())
        self.weights, self.biases = params[::2], params[1::2]
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
        self.lr, self.dropout, self.label_smoothing = lr, dropout, label_smoothing
        self.rng, self.steps = np.random.default_rng(0), 0

    def _mask(self, shape):
        mask = (self.rng.random(shape, np.float32) >= self.dropout).astype(np.float32)
        mask *= 1 / (1 - self.dropout)
        return mask

    def step(self, x, y):
        """Train on one minibatch and return its loss."""
        last, inputs, outputs, masks = len(self.weights) - 1, [x], [], []
        for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            outputs.append(R.linear(inputs[-1], w, b, activation=None if i == last else "relu"))
            masks.append(self._mask(outputs[-1].shape) if self.dropout and i < last else None)
            inputs.append(outputs[-1] if masks[-1] is None else outputs[-1] * masks[-1])
        loss, grad = R.cross_entropy_with_grad(outputs[-1], y, label_smoothing=self.label_smoothing)
        self.steps += 1
        for i in range(last, -1, -1):
            grad, dw, db = R.linear_backward(grad, inputs[i], self.weights[i], need_dx=i > 0)
            if i > 0:
                grad = grad if masks[i - 1] is None else grad * masks[i - 1]
                grad = R.relu_backward(grad, y=outputs[i - 1])
            for param, g, state in ((self.weights[i], dw, 2 * i), (self.biases[i], db, 2 * i + 1)):
                R.adam_update(param, g, *self.moments[state], step=self.steps, lr=self.lr)
        return loss


def torch_forward(name):
    """PyTorch's function of (x, out), without allocation where it offers that; None where it has none."""
    import torch

    nn, clamp = torch._C._nn, torch.clamp
    given = {
        "identity": lambda x, out: out.copy_(x),
        "relu": lambda x, out: clamp(x, min=0, out=out),
        "celu": lambda x, out: torch.celu(x),
        "selu": lambda x, out: torch.selu(x),
        "softsign": lambda x, out: torch.nn.functional.softsign(x),
        "tanhshrink": lambda x, out: torch.nn.functional.tanhshrink(x),
        "logsigmoid": lambda x, out: nn.log_sigmoid(x, out=out),
        "gelu_tanh": lambda x, out: nn.gelu(x, approximate="tanh", out=out),
        "relu6": lambda x, out: nn.hardtanh(x, 0, 6, out=out),
        "hardshrink": lambda x, out: torch.ops.aten.hardshrink.out(x, out=out),
        "threshold": lambda x, out: torch.ops.aten.threshold.out(x, 1.0, 0.0, out=out),
    }
    function = getattr(nn, name, None) or getattr(torch, name, None)
    return given.get(name) or (function and (lambda x, out: function(x, out=out)))


def torch_backward(name):
    """PyTorch's derivative of (grad, saved, out); None where its autograd combines several."""
    import torch

    ops, elu = torch.ops.aten, torch.ops.aten.elu_backward.grad_input
    kept = []

    def logsigmoid(g, x, out):  # from what its forward pass keeps besides x
        if not kept:
            kept.append(ops.log_sigmoid_forward(x)[1])
        return ops.log_sigmoid_backward.grad_input(g, x, kept[0], grad_input=out)

    return {
        "relu": lambda g, y, out: ops.threshold_backward.grad_input(g, y, 0.0, grad_input=out),
        "leaky_relu": lambda g, y, out: ops.leaky_relu_backward.grad_input(g, y, 0.01, True, grad_input=out),
        "elu": lambda g, y, out: elu(g, 1.0, 1.0, 1.0, True, y, grad_input=out),
        "celu": lambda g, y, out: elu(g, 1.0, 1.0, 1.0, True, y, grad_input=out),
        "selu": lambda g, y, out: elu(g, 1.6732632423543772, 1.0507009873554805, 1.0, True, y, grad_input=out),
        "sigmoid": lambda g, y, out: ops.sigmoid_backward.grad_input(g, y, grad_input=out),
        "tanh": lambda g, y, out: ops.tanh_backward.grad_input(g, y, grad_input=out),
        "softplus": lambda g, x, out: ops.softplus_backward.grad_input(g, x, 1.0, 20.0, grad_input=out),
        "logsigmoid": logsigmoid,
        "hardshrink": lambda g, x, out: ops.hardshrink_backward.grad_input(g, x, 0.5, grad_input=out),
        "silu": lambda g, x, out: ops.silu_backward.grad_input(g, x, grad_input=out),
        "gelu": lambda g, x, out: ops.gelu_backward.grad_input(g, x, grad_input=out),
        "gelu_tanh": lambda g, x, out: ops.gelu_backward.grad_input(g, x, approximate="tanh", grad_input=out),
        "mish": lambda g, x, out: ops.mish_backward(g, x),
        "softshrink": lambda g, y, out: ops.softshrink_backward.grad_input(g, y, 0.5, grad_input=out),
        "threshold": lambda g, x, out: ops.threshold_backward.grad_input(g, x, 1.0, grad_input=out),
        "relu6": lambda g, y, out: ops.hardtanh_backward.grad_input(g, y, 0.0, 6.0, grad_input=out),
        "hardtanh": lambda g, y, out: ops.hardtanh_backward.grad_input(g, y, -1.0, 1.0, grad_input=out),
        "hardsigmoid": lambda g, y, out: ops.hardsigmoid_backward.grad_input(g, y, grad_input=out),
        "hardswish": lambda g, x, out: ops.hardswish_backward(g, x),
    }.get(name)


def has_torch():
    """Return whether PyTorch is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


_SERVE = "import sys; from fastnn import benchmarks; benchmarks.serve(sys.argv[1], benchmarks.cases())"


class Peer:
    """Another package, timed in a process of its own, so that its threads, which may spin while they wait, take no processor from fastnn.

    Parameters
    ----------
    name : str
        "numpy" or "torch".
    threads : int
    """

    def __init__(self, name, threads=1):
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **dict.fromkeys(variables, str(threads))},
            cwd=Path(__file__).parents[2],  # where -c finds this very package
            start_new_session=True,  # Ctrl-C is for this process, which then ends the other
        )

    def time(self, case, count):
        """Return the seconds of one of `count` calls of its side of the case; NaN if it has none."""
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{case.group}\t{case.name}\t{count}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise ChildProcessError(f"the process that times {self.name} has ended")
        return float(answer)

    def close(self):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve(name, cases):
    """Be the process of a :class:`Peer`: read from standard input which case to time, print how long a call took."""
    by_name, loaded, run = {(case.group, case.name): case for case in cases}, None, None
    for line in sys.stdin:
        group, case, count = line.rstrip("\n").split("\t")
        if loaded != (group, case):
            loaded = group, case
            run = by_name[loaded].build()[1] if name == "numpy" else by_name[loaded].torch()
        print(seconds_a_call(run, int(count)) if run else math.nan, flush=True)
