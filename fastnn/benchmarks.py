"""The one list of benchmark cases: each is fastnn and the NumPy reference on the same data, verified, then timed interleaved.

``fastnn bench`` prints the list as a table; ``bench/test_*.py`` runs it under pytest-benchmark.
"""

import importlib.util
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fastnn import _fastnn_core, parallel
from fastnn import functional as F
from fastnn import reference as R
from fastnn.layers import MLP
from fastnn.optim import Adam
from fastnn.trainer import Trainer


@dataclass(frozen=True)
class Case:
    """One benchmark.

    ``build()`` returns two callables without arguments, fastnn's and NumPy's, which do the same work and return the same values,
    once ``view`` has brought fastnn's to NumPy's layout. ``torch()``, where there is one, returns PyTorch's, or None if it
    has none. ``work`` is the floating-point operations of a call in unit GFLOP/s, or the bytes it reads and writes in unit GB/s.
    """

    group: str
    name: str
    work: float
    unit: str
    build: Callable
    tolerance: float = 1e-5
    view: Callable = np.asarray
    torch: Callable | None = None

    def verify(self):
        """Compare the two results; AssertionError if they differ by more than the tolerance, relative to the largest value."""
        ours, theirs = (run() for run in self.build())
        ours, theirs = self.view(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape, f"{self.name}: {ours.shape} against {theirs.shape}"
        assert np.isfinite(ours).all(), f"{self.name}: not finite"
        error = np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max()
        assert error <= self.tolerance, f"{self.name}: relative difference {error:.2e}"


def _normal(*shape, scale=1.0):
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)


def _product(group, name, m, k, n, operands):
    """``operands()`` returns a (m, k) and b (k, n)."""

    def build():
        (a, b), ours, theirs = operands(), *np.empty((2, m, n), np.float32)
        return partial(F.matmul, a, b, out=ours), partial(np.matmul, a, b, out=theirs)

    def build_torch():
        import torch

        a, b = (torch.from_numpy(x) for x in operands())
        return partial(torch.matmul, a, b, out=torch.empty(m, n))

    return Case(group, name, 2 * m * k * n, "GFLOP/s", build, 1e-5 * max(1, math.sqrt(k / 500)), torch=build_torch)


def _products(m, k, n):
    """Yield a b and its two backward products."""
    name = f"{m}x{k}x{n}"
    yield _product("matmul", name, m, k, n, lambda: (_normal(m, k), _normal(k, n)))
    yield _product("matmul da", name, m, n, k, lambda: (_normal(m, n), _normal(k, n).T))
    yield _product("matmul db", name, k, m, n, lambda: (_normal(m, k).T, _normal(m, n)))


def _aligned(*shape):
    """An uninitialised array that starts with a line of memory, as those of a compiled network do."""
    memory = np.empty(math.prod(shape) + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + math.prod(shape)].reshape(shape)


def _panels(rows):
    """Rows (batch, features) as panels [batch / 16][features][16]."""
    batch, features = rows.shape
    panels = _aligned(-(-batch // 16), features, 16)
    return _fastnn_core._panels("to", panels, rows, None, batch, 0, features)


def _rows(panels, batch, features):
    return _fastnn_core._panels("from", np.empty((batch, features), np.float32), panels, None, batch, 0, features)


def _panel_forms(inputs, outputs, batch):
    """The forms of a compiled network: forward, dx and dweight of a layer, beside NumPy's products on rows."""
    sizes, work = (batch, outputs, inputs), 2 * batch * outputs * inputs

    def case(form, operands, ours_like, view, theirs):
        def build():
            first, second = operands()
            rows = theirs()
            out = np.empty((rows[0].shape[0], rows[1].shape[1]), np.float32)
            ours = partial(_fastnn_core._panels, form, _aligned(*ours_like().shape), first, second, *sizes)
            return ours, partial(np.matmul, *rows, out=out)

        return Case("panels " + form, f"{inputs}-{outputs} batch {batch}", work, "GFLOP/s", build, 2e-5, view=view)

    x, dz = partial(_normal, batch, inputs), partial(_normal, batch, outputs)

    def weight():
        out = _aligned(outputs, inputs)
        out[:] = _normal(outputs, inputs)
        return out

    def turned():
        out = _aligned(-(-inputs // 16), batch, 16)
        return _fastnn_core._panels("turn", out, _panels(x()), None, *sizes)

    return [
        case("forward", lambda: (_panels(x()), weight()), lambda: _panels(dz()),
             lambda y: _rows(y, batch, outputs), lambda: (x(), weight().T)),
        case("dx", lambda: (_panels(dz()), weight()), lambda: _panels(x()),
             lambda dx: _rows(dx, batch, inputs), lambda: (dz(), weight())),
        case("dweight", lambda: (_panels(dz()), turned()), weight, np.asarray, lambda: (dz().T, x())),
    ]  # fmt: skip


ELEMENTS = (65_536, 1_048_576)  # float32: 256 KiB, inside the second-level cache, and 4 MiB


def _torch_forward(name):
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


def _torch_backward(name):
    """PyTorch's derivative of (grad, saved, out); None where its autograd combines several."""
    import torch

    ops, elu = torch.ops.aten, torch.ops.aten.elu_backward.grad_input
    return {
        "relu": lambda g, y, out: ops.threshold_backward.grad_input(g, y, 0.0, grad_input=out),
        "leaky_relu": lambda g, y, out: ops.leaky_relu_backward.grad_input(g, y, 0.01, True, grad_input=out),
        "elu": lambda g, y, out: elu(g, 1.0, 1.0, 1.0, True, y, grad_input=out),
        "celu": lambda g, y, out: elu(g, 1.0, 1.0, 1.0, True, y, grad_input=out),
        "selu": lambda g, y, out: elu(g, 1.6732632423543772, 1.0507009873554805, 1.0, True, y, grad_input=out),
        "sigmoid": lambda g, y, out: ops.sigmoid_backward.grad_input(g, y, grad_input=out),
        "tanh": lambda g, y, out: ops.tanh_backward.grad_input(g, y, grad_input=out),
        "softplus": lambda g, x, out: ops.softplus_backward.grad_input(g, x, 1.0, 20.0, grad_input=out),
        "logsigmoid": lambda g, x, out: ops.log_sigmoid_backward.grad_input(g, x, out, grad_input=out),
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


def _forward(name, n):
    def build():
        x, ours, theirs = _normal(n, scale=3), *np.empty((2, n), np.float32)
        return partial(getattr(F, name), x, out=ours), partial(getattr(R, name), x, out=theirs)

    def build_torch():
        import torch

        function = _torch_forward(name)
        return function and partial(function, torch.from_numpy(_normal(n, scale=3)), torch.empty(n))

    return Case("forward", f"{name} {n}", 8 * n, "GB/s", build, torch=build_torch)


def _backward(info, n):
    def operands():
        x = _normal(n, scale=3)
        return _normal(n), getattr(F, info.name)(x) if info.saves == "y" else x

    def build():
        (grad, saved), (ours, theirs) = operands(), np.empty((2, n), np.float32)
        name, saved = f"{info.name}_backward", {info.saves: saved}
        return partial(getattr(F, name), grad, **saved, out=ours), partial(getattr(R, name), grad, **saved, out=theirs)

    def build_torch():
        import torch

        function, (grad, saved) = _torch_backward(info.name), operands()
        if info.name in ("softshrink", "hardsigmoid"):  # PyTorch takes their derivatives from x
            saved = _normal(n, scale=3)
        return function and partial(function, torch.from_numpy(grad), torch.from_numpy(saved), torch.empty(n))

    return Case("backward", f"{info.name} {n}", 12 * n, "GB/s", build, torch=build_torch)


def _softmax(name, batch, classes):
    def build():
        x, ours, theirs = _normal(batch, classes, scale=3), *np.empty((2, batch, classes), np.float32)
        return partial(getattr(F, name), x, out=ours), partial(getattr(R, name), x, out=theirs)

    def build_torch():
        import torch

        x, out = torch.from_numpy(_normal(batch, classes, scale=3)), torch.empty(batch, classes)
        return partial(getattr(torch, name), x, 1, out=out)

    return Case("softmax", f"{name} {batch}x{classes}", 8 * batch * classes, "GB/s", build, torch=build_torch)


def _cross_entropy(batch, classes):
    def operands():
        return _normal(batch, classes, scale=3), np.random.default_rng(1).integers(0, classes, batch)

    def build():
        x, labels = operands()
        outs = np.empty((2, batch, classes), np.float32)

        def gradient(functions, out):
            return functions.cross_entropy_with_grad(x, labels, out=out)[1]

        return partial(gradient, F, outs[0]), partial(gradient, R, outs[1])

    def build_torch():
        import torch

        x, labels = map(torch.from_numpy, operands())
        x.requires_grad_()

        def gradient():
            x.grad = None
            torch.nn.functional.cross_entropy(x, labels).backward()

        return gradient

    return Case("cross_entropy", f"with_grad {batch}x{classes}", 8 * batch * classes, "GB/s", build, torch=build_torch)


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


def _training_step(batch, *sizes):
    def build():
        x, y = _normal(batch, sizes[0]), np.random.default_rng(1).integers(0, sizes[-1], batch)
        model = MLP(sizes, task="classification", seed=0)
        baseline = ReferenceMLP(model)
        trainer = Trainer(model, optimizer=Adam(lr=1e-3), seed=0)
        return partial(trainer.step, x, y), partial(baseline.step, x, y)

    flops = 6 * batch * sum(a * b for a, b in zip(sizes, sizes[1:], strict=False)) - 2 * batch * sizes[0] * sizes[1]
    return Case("training step", f"{batch}:{'-'.join(map(str, sizes))}", flops, "GFLOP/s", build)


PRODUCTS = [(1, 784, 512), (1, 256, 256), (2, 256, 256), (6, 256, 256), (16, 256, 256), (32, 64, 64), (32, 64, 100), (64, 64, 64),
            (64, 128, 10), (64, 16384, 10), (64, 784, 128), (64, 1000, 100), (784, 64, 128), (128, 784, 256), (128, 512, 512),
            (256, 512, 512), (512, 256, 512), (256, 17, 256), (512, 1024, 2048), (2048, 512, 1024), (1024, 1024, 1024),
            (2048, 2048, 2048), (4096, 256, 256)]  # fmt: skip
LAYERS = [(784, 512, 128), (512, 512, 128), (784, 128, 128), (1000, 100, 64), (256, 256, 256), (64, 100, 32), (500, 500, 256),
          (1024, 2048, 512), (2048, 2048, 512), (64, 64, 64)]  # fmt: skip


def cases():
    """Return the list of cases."""
    return [
        *(case for shape in PRODUCTS for case in _products(*shape)),
        *(case for layer in LAYERS for case in _panel_forms(*layer)),
        *(_forward(name, n) for name in F.activations() for n in ELEMENTS),
        *(_backward(info, n) for info in F.activations().values() for n in ELEMENTS),
        _softmax("softmax", 256, 1000),
        _softmax("log_softmax", 256, 1000),
        *(_cross_entropy(*shape) for shape in [(64, 10), (256, 100), (256, 1000), (4096, 1000), (512, 32000)]),
        *(_training_step(*sizes) for sizes in [(32, 64, 256, 10), (32, 64, 100, 10), (128, 784, 128, 10)]),
    ]


def _time(run, count):
    """Seconds of one of `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def fma_peak(threads=1):
    """Measure the speed of multiply-adds in registers.

    Twelve independent chains on each of so many threads at once: no matrix product can be faster.

    Parameters
    ----------
    threads : int

    Returns
    -------
    float
        GFLOP/s in float32.
    """
    steps, ready, ends, operations = 200_000, threading.Barrier(threads), [], []

    def run():
        _fastnn_core._fma_chains(steps // 10)
        ready.wait()
        start = time.perf_counter()
        operations.append(_fastnn_core._fma_chains(steps))
        ends.append(time.perf_counter() - start)

    others = [threading.Thread(target=run) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    return sum(operations) / max(ends) / 1e9


def copy_bandwidth():
    """Measure memcpy on arrays of 64 MiB, far larger than the caches.

    Returns
    -------
    float
        GB/s, counting what is read and what is written.
    """
    source = np.ones(2**24, np.float32)
    target = np.zeros_like(source)
    return 2 * source.nbytes / _time(partial(np.copyto, target, source), 3) / 1e9


class Peer:
    """Another package, timed in a process of its own: its threads, which may wait awake, then disturb nobody.

    Parameters
    ----------
    name : str
        "numpy" or "torch".
    threads : int
    """

    def __init__(self, name, threads=1):
        number = str(threads)
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastnn.benchmarks", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **dict.fromkeys(variables, number)},
            cwd=Path(__file__).parents[1],  # where -m finds this very package
        )  # fmt: skip

    def time(self, case, count):
        """Return the seconds of one of `count` calls of its side of the case; NaN if it has none."""
        self._process.stdin.write(f"{case.group}\t{case.name}\t{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _serve(name):
    """The process of a Peer: reads what to time, prints how long a call took."""
    by_name, loaded, run = {(case.group, case.name): case for case in cases()}, None, None
    for line in sys.stdin:
        group, case, count = line.rstrip("\n").split("\t")
        if loaded != (group, case):
            loaded = group, case
            run = by_name[loaded].build()[1] if name == "numpy" else by_name[loaded].torch()
        print(_time(run, int(count)) if run else math.nan, flush=True)


def has_torch():
    """Return whether PyTorch is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


def interleaved(timers, seconds=0.3):
    """Time several things in turn, a few calls at a time, so that they share the machine's moods.

    Parameters
    ----------
    timers : sequence of callable
        Each takes a number of calls, makes them and returns the seconds of one.
    seconds : float
        For each.

    Returns
    -------
    list of float
        Median seconds of a call of each.
    """
    counts = []
    for timer in timers:
        timer(1)
        counts.append(max(1, round(2e-3 / (timer(1) + 1e-9))))
    samples = [[] for _ in timers]
    end = time.perf_counter() + seconds * len(timers)
    while time.perf_counter() < end or len(samples[0]) < 5:
        for timer, count, sample in zip(timers, counts, samples, strict=True):
            sample.append(timer(count))
    return [statistics.median(sample) for sample in samples]


def measure(case, seconds=0.3, threads=1, peers=None):
    """Verify a case, then time it.

    Parameters
    ----------
    case : Case
    seconds : float
        For each side.
    threads : int
        Bound on fastnn's.
    peers : dict of str to Peer, optional
        "numpy" and "torch"; without, NumPy is timed in this process.

    Returns
    -------
    dict
        group, name, seconds of fastnn and of the reference, their ratio, rate and unit; for products ``peak``, the share of the
        multiply-add peak measured in between; for cases PyTorch has, with a "torch" peer, its seconds and ratio.
    """
    case.verify()
    ours, theirs = case.build()
    timers = [partial(_time, ours), partial(_time, theirs)]
    peers = peers or {}
    if "numpy" in peers:
        timers[1] = partial(peers["numpy"].time, case)
    if "torch" in peers and case.torch and not math.isnan(peers["torch"].time(case, 1)):
        timers.append(partial(peers["torch"].time, case))
    timers.append(lambda count: 1 / fma_peak(threads))
    with parallel.threads(threads):
        ours, theirs, *torch, per_gflop = interleaved(timers, seconds)
    result = {
        "group": case.group,
        "name": case.name,
        "fastnn_seconds": ours,
        "reference_seconds": theirs,
        "ratio": theirs / ours,
        "rate": case.work / ours / 1e9,
        "unit": case.unit,
    }
    if case.unit == "GFLOP/s":
        result["peak"] = result["rate"] * per_gflop
    if torch:
        result["torch_seconds"], result["torch_ratio"] = torch[0], torch[0] / ours
    return result


if __name__ == "__main__":
    _serve(sys.argv[1])
