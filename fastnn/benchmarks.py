"""The one list of benchmark cases: each is fastnn and the NumPy reference on the same data, verified, then timed interleaved.

``fastnn bench`` prints the list as a table; ``bench/test_*.py`` runs it under pytest-benchmark.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fastnn import functional as F
from fastnn import reference as R
from fastnn.layers import MLP
from fastnn.optim import Adam
from fastnn.trainer import Trainer


@dataclass(frozen=True)
class Case:
    """One benchmark.

    ``build()`` returns two callables without arguments, fastnn's and NumPy's, which do the same work and return the same values.
    ``work`` is the floating-point operations of a call in unit GFLOP/s, or the bytes it reads and writes in unit GB/s.
    """

    group: str
    name: str
    work: float
    unit: str
    build: Callable
    tolerance: float = 1e-5

    def verify(self):
        """Compare the two results; AssertionError if they differ by more than the tolerance, relative to the largest value."""
        ours, theirs = (np.asarray(run()) for run in self.build())
        assert ours.shape == theirs.shape, f"{self.name}: {ours.shape} against {theirs.shape}"
        assert np.isfinite(ours).all(), f"{self.name}: not finite"
        error = np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max()
        assert error <= self.tolerance, f"{self.name}: relative difference {error:.2e}"


def _normal(*shape, scale=1.0):
    return (np.random.default_rng(0).standard_normal(shape) * scale).astype(np.float32)


def _matmul(m, k, n):
    def build():
        a, b, ours, theirs = _normal(m, k), _normal(k, n), *np.empty((2, m, n), np.float32)
        return partial(F.matmul, a, b, out=ours), partial(R.matmul, a, b, out=theirs)

    return Case("matmul", f"{m}x{k}x{n}", 2 * m * k * n, "GFLOP/s", build)


ELEMENTS = 65_536  # 256 KiB of float32: inside the second-level cache


def _forward(name):
    def build():
        x, ours, theirs = _normal(ELEMENTS, scale=3), *np.empty((2, ELEMENTS), np.float32)
        return partial(getattr(F, name), x, out=ours), partial(getattr(R, name), x, out=theirs)

    return Case("forward", name, 8 * ELEMENTS, "GB/s", build)


def _backward(info):
    def build():
        grad, x, ours, theirs = _normal(ELEMENTS), _normal(ELEMENTS, scale=3), *np.empty((2, ELEMENTS), np.float32)
        saved = {info.saves: getattr(F, info.name)(x) if info.saves == "y" else x}
        name = f"{info.name}_backward"
        return partial(getattr(F, name), grad, **saved, out=ours), partial(getattr(R, name), grad, **saved, out=theirs)

    return Case("backward", info.name, 12 * ELEMENTS, "GB/s", build)


def _softmax(name, batch, classes):
    def build():
        x, ours, theirs = _normal(batch, classes, scale=3), *np.empty((2, batch, classes), np.float32)
        return partial(getattr(F, name), x, out=ours), partial(getattr(R, name), x, out=theirs)

    return Case("softmax", f"{name} {batch}x{classes}", 8 * batch * classes, "GB/s", build)


def _cross_entropy(batch, classes):
    def build():
        x, labels = _normal(batch, classes, scale=3), np.random.default_rng(1).integers(0, classes, batch)
        outs = np.empty((2, batch, classes), np.float32)

        def gradient(functions, out):
            return functions.cross_entropy_with_grad(x, labels, out=out)[1]

        return partial(gradient, F, outs[0]), partial(gradient, R, outs[1])

    return Case("cross_entropy", f"with_grad {batch}x{classes}", 8 * batch * classes, "GB/s", build)


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


def cases():
    """Return the list of cases."""
    return [
        *(_matmul(*shape) for shape in [(32, 64, 64), (64, 784, 128), (256, 256, 256), (512, 512, 512)]),
        *(_forward(name) for name in F.activations()),
        *(_backward(info) for info in F.activations().values()),
        _softmax("softmax", 256, 1000),
        _softmax("log_softmax", 256, 1000),
        *(_cross_entropy(*shape) for shape in [(64, 10), (256, 1000)]),
        *(_training_step(*sizes) for sizes in [(32, 64, 256, 10), (32, 64, 100, 10), (128, 784, 128, 10)]),
    ]


def interleaved(runs, seconds=0.3):
    """Time callables in turn, a few calls at a time, so that they share the machine's moods.

    Parameters
    ----------
    runs : sequence of callable
    seconds : float
        For each.

    Returns
    -------
    list of float
        Median seconds of a call of each.
    """
    counts = []
    for run in runs:
        run()
        start = time.perf_counter()
        run()
        counts.append(max(1, round(2e-3 / (time.perf_counter() - start + 1e-9))))
    samples = [[] for _ in runs]
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(samples[0]) < 5:
        for run, count, sample in zip(runs, counts, samples, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                run()
            sample.append((time.perf_counter() - start) / count)
    return [statistics.median(sample) for sample in samples]


def measure(case, seconds=0.3):
    """Verify a case, then time it.

    Returns
    -------
    dict
        group, name, seconds of fastnn and of the reference, their ratio, rate and unit.
    """
    case.verify()
    ours, theirs = interleaved(case.build(), seconds)
    return {
        "group": case.group,
        "name": case.name,
        "fastnn_seconds": ours,
        "reference_seconds": theirs,
        "ratio": theirs / ours,
        "rate": case.work / ours / 1e9,
        "unit": case.unit,
    }
