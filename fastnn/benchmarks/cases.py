"""The one list of cases: what is timed, on which sizes, and how fast it would be to move or multiply that much."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from fastnn import _fastnn_core, layers
from fastnn import functional as F
from fastnn import reference as R
from fastnn.benchmarks.peers import ReferenceMLP, torch_backward, torch_forward
from fastnn.layers import MLP, Linear
from fastnn.reference.layers import forward
from fastnn.trainer import Trainer

TOLERANCE = 1e-5  # ten times what the order of sums in float32 makes


@dataclass(frozen=True)
class Case:
    """One benchmark.

    ``build()`` returns two callables without arguments, fastnn's and NumPy's, which do the same work. They return the same values,
    once ``view`` has brought fastnn's to NumPy's layout. ``torch()``, if given, returns PyTorch's callable, or None where PyTorch
    lacks the function. ``rows()``, if given, returns what the rows of a compiled network take, a list of (name, share). ``work`` counts the floating-point operations of a call where ``unit`` is "GFLOP/s", and the bytes that it reads
    and writes where ``unit`` is "GB/s".
    """

    group: str
    name: str
    work: float
    unit: str
    build: Callable
    view: Callable = np.asarray
    torch: Callable | None = None
    rows: Callable | None = None

    def verify(self):
        """Compare the two results; AssertionError if they differ by more than TOLERANCE, relative to the largest value."""
        ours, theirs = (run() for run in self.build())
        ours, theirs = self.view(ours), np.asarray(theirs)
        assert ours.shape == theirs.shape, f"{self.name}: {ours.shape} against {theirs.shape}"
        assert np.isfinite(ours).all(), f"{self.name}: not finite"
        error = np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max()
        assert error <= TOLERANCE, f"{self.name}: relative difference {error:.2e}"


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

    return Case(group, name, 2 * m * k * n, "GFLOP/s", build, torch=build_torch)


def _products(m, k, n):
    """Yield a b and its two backward products."""
    name = f"{m}x{k}x{n}"
    yield _product("matmul", name, m, k, n, lambda: (_normal(m, k), _normal(k, n)))
    yield _product("matmul da", name, m, n, k, lambda: (_normal(m, n), _normal(k, n).T))
    yield _product("matmul db", name, k, m, n, lambda: (_normal(m, k).T, _normal(m, n)))


def _aligned(*shape):
    """An uninitialised array that starts at a cache line, as those of a compiled network do."""
    memory = np.empty(4 * math.prod(shape) + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return np.ndarray(shape, np.float32, memory, start)


def _padded(size):
    return -(-size // 16) * 16


def _blank_panels(features, rows):
    """Panels [rows / 16][features][16], as far apart as in a compiled network: by no multiple of 4 KiB."""
    gap = features % 64 == 0
    return _aligned(_padded(rows) // 16, features + gap, 16)[:, :features]


def _panels(rows):
    """Rows (batch, features) in panels."""
    return _fastnn_core._to_panels(_blank_panels(rows.shape[1], rows.shape[0]), rows)


def _rows(panels, batch, features):
    return _fastnn_core._from_panels(np.empty((batch, features), np.float32), panels)


def _k_major(weight):
    """A weight (in, out) as a compiled network keeps it: rows padded with zeros, by no multiple of 4 KiB apart."""
    inputs, outputs = weight.shape
    row = _padded(outputs)
    whole = _aligned(inputs, row + 16 * (row % 1024 == 0))
    whole[:] = 0
    whole[:, :outputs] = weight
    return whole[:, :outputs]


def _panel_forms(inputs, outputs, batch):
    """The forms of a compiled network: forward, dx and dweight of a layer, beside NumPy's products on rows."""
    work = 2 * batch * outputs * inputs

    def case(form, function, operands, view, theirs):
        def build():
            rows = theirs()
            out = np.empty((rows[0].shape[0], rows[1].shape[1]), np.float32)
            return partial(function, *operands(), batch), partial(np.matmul, *rows, out=out)

        return Case("panels " + form, f"{inputs}-{outputs} batch {batch}", work, "GFLOP/s", build, view=view)

    x, dz, weight = (partial(_normal, *shape) for shape in [(batch, inputs), (batch, outputs), (inputs, outputs)])
    core = _fastnn_core
    return [
        case("forward", core._forward_panels, lambda: (_blank_panels(outputs, batch), _panels(x()), _k_major(weight())),
             lambda y: _rows(y, batch, outputs), lambda: (x(), weight())),
        case("dx", core._dx_panels, lambda: (_blank_panels(inputs, batch), _panels(dz()), _k_major(weight())),
             lambda dx: _rows(dx, batch, inputs), lambda: (dz(), weight().T)),
        case("dweight", core._dweight_panels, lambda: (_k_major(weight()), _panels(x()), _panels(np.ascontiguousarray(dz().T))), np.asarray,
             lambda: (x().T, dz())),
    ]  # fmt: skip


ELEMENTS = (65_536, 1_048_576)  # float32: 256 KiB, inside the second-level cache, and 4 MiB


def _forward(name, n):
    def build():
        x, ours, theirs = _normal(n, scale=3), *np.empty((2, n), np.float32)
        return partial(getattr(F, name), x, out=ours), partial(getattr(R, name), x, out=theirs)

    def build_torch():
        import torch

        function = torch_forward(name)
        return function and partial(function, torch.from_numpy(_normal(n, scale=3)), torch.empty(n))

    return Case("forward", f"{name} {n}", 8 * n, "GB/s", build, torch=build_torch)


def _backward(info, n):
    def operands():
        x = _normal(n, scale=3)
        return _normal(n), x if info.saves == "x" else getattr(F, info.name)(x)

    def build():
        (grad, saved), (ours, theirs) = operands(), np.empty((2, n), np.float32)
        name, saved = f"{info.name}_backward", {info.saves: saved}
        return partial(getattr(F, name), grad, **saved, out=ours), partial(getattr(R, name), grad, **saved, out=theirs)

    def build_torch():
        import torch

        function, (grad, saved) = torch_backward(info.name), operands()
        if info.name in ("softshrink", "hardsigmoid"):  # PyTorch takes their derivatives from x
            saved = _normal(n, scale=3)
        return function and partial(function, torch.from_numpy(grad), torch.from_numpy(saved), torch.empty(n))

    return Case("backward", f"{info.name} {n}", 12 * n, "GB/s", build, torch=build_torch)


def _dropout(n):
    def build():
        x, ours, theirs = _normal(n), *np.empty((2, n), np.float32)
        return partial(F.dropout, x, 0.5, seed=0, out=ours), partial(R.dropout, x, 0.5, seed=0, out=theirs)

    def build_torch():
        import torch

        return partial(torch.nn.functional.dropout, torch.from_numpy(_normal(n)))

    return Case("dropout", f"dropout {n}", 8 * n, "GB/s", build, torch=build_torch)


def _layers(x):
    """Make one layer of each kind for rows x, without those of activations."""
    n = x.shape[1]
    linear = partial(Linear, rng=0)
    return [
        layers.AlphaDropout(seed=0), layers.BatchNorm1d(n), layers.Columns([(range(n // 2), linear(n // 2, n)), (range(n // 2, n), layers.Tanh())]),
        layers.Dropout(seed=0), layers.Embedding(8, 16, rng=0), layers.Ensemble(4, linear(n, n), layers.ReLU(), rng=0), layers.Flatten(0),
        layers.LayerNorm(n), linear(n, n), layers.LogSoftmax(), layers.MLP([n, n, n], seed=0), layers.Maxout(n, n, rng=0), layers.PReLU(n),
        layers.Periodic(n, 8, rng=0), layers.PiecewiseLinear(n, 8).fit_statistics(x), layers.RMSNorm(n), layers.Residual(linear(n, n)),
        layers.Scale(n, 2.0), layers.Sequential(linear(n, n), layers.Sigmoid()), layers.Softmax(), layers.Standardize(n).fit_statistics(x),
    ]  # fmt: skip


def _layer_cases(batch, features):
    """Yield each kind of layer at inference."""
    x = _normal(batch, features)
    for layer in _layers(x):
        rows = np.abs(np.rint(x)) if isinstance(layer, layers.Embedding) else x
        work = 4 * (rows.size + layer(rows).size)
        sides = partial(layer, rows), partial(forward, layer, rows)
        yield Case("layer", f"{type(layer).__name__} {batch}x{features}", work, "GB/s", lambda sides=sides: sides)


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
            return x.grad

        return gradient

    return Case("cross_entropy", f"with_grad {batch}x{classes}", 8 * batch * classes, "GB/s", build, torch=build_torch)


def _norm_operands(batch, features):
    """Return x, weight, bias and the gradient of the output."""
    x, weight, bias = _normal(batch, features, scale=3), _normal(features) + 2, _normal(features)
    return x, weight, bias, _normal(batch, features)[::-1].copy()  # not along x: the gradient would cancel


def _torch_norm(name, x, weight, bias):
    import torch

    if name == "batch_norm":
        return torch.nn.functional.batch_norm(x, None, None, weight, bias, True)
    return getattr(torch.nn.functional, name)(x, weight.shape, weight, *[bias] * (name == "layer_norm"))


def _norm(name, batch, features):
    """A norm, batch norm as in training."""

    def build():
        x, weight, bias, _ = _norm_operands(batch, features)
        given = {"weight": weight} | ({} if name == "rms_norm" else {"bias": bias})
        given |= {"training": True} if name == "batch_norm" else {}
        outs = np.empty((2, batch, features), np.float32)
        sides = zip((F, R), outs, strict=True)
        return tuple(partial(getattr(functions, name), x, **given, out=out) for functions, out in sides)

    def build_torch():
        import torch

        return partial(_torch_norm, name, *(torch.from_numpy(a) for a in _norm_operands(batch, features)[:3]))

    return Case("norm", f"{name} {batch}x{features}", 8 * batch * features, "GB/s", build, torch=build_torch)


def _norm_backward(name, batch, features):
    def build():
        x, weight, _, grad = _norm_operands(batch, features)
        saved, given = (grad, x), {"weight": weight}
        if name == "batch_norm":
            saved = (grad, x, *F.batch_norm(x, training=True, return_statistics=True)[1:])
            given |= {"training": True}

        def gradient(functions):
            return getattr(functions, f"{name}_backward")(*saved, **given)[0]

        return partial(gradient, F), partial(gradient, R)

    def build_torch():
        import torch

        *inputs, grad = (torch.from_numpy(a) for a in _norm_operands(batch, features))
        inputs = inputs[: 2 if name == "rms_norm" else 3]
        for tensor in inputs:
            tensor.requires_grad_()
        y = _torch_norm(name, *inputs, *[None] * (3 - len(inputs)))
        return lambda: torch.autograd.grad(y, inputs, grad, retain_graph=True)[0]

    return Case("norm backward", f"{name} {batch}x{features}", 12 * batch * features, "GB/s", build, torch=build_torch)


def loss_operands(info, batch, classes):
    """Return the input of a loss, what else it takes by place, and what it takes by name because of its columns."""
    rng = np.random.default_rng(1)
    x, t = _normal(batch, classes, scale=3), rng.standard_normal((batch, classes), np.float32)
    if info.accepts[1]:
        x = rng.uniform(0.05, 0.95, x.shape).astype(np.float32)
    if info.accepts[0] == "-1 or 1":
        t = np.copysign(np.float32(1), t)
    elif info.accepts[0] or info.name == "kl_div":  # kl_div refuses nothing, but takes probabilities
        t = rng.uniform(0, 1, t.shape).astype(np.float32)
    if info.labels:
        t = rng.integers(0, classes, batch)
    others = [t[:, 0].copy() if info.shared else t]
    if info.pair:
        others.append(rng.uniform(0.5, 2, x.shape).astype(np.float32))
    return x, others, {info.second: np.linspace(0.05, 0.95, classes, dtype=np.float32)} if info.columns else {}


def _loss(info, batch, classes):
    def build():
        x, others, columns = loss_operands(info, batch, classes)
        ours, theirs = np.empty((2, batch, classes), np.float32)

        def gradient(functions, out):
            return getattr(functions, f"{info.function}_with_grad")(x, *others, out=out, **columns)[1]

        return partial(gradient, F, ours), partial(gradient, R, theirs)

    def build_torch():
        import torch

        function = getattr(torch.nn.functional, info.function, None)
        x, others, _ = loss_operands(info, batch, classes)
        tensors = [torch.from_numpy(a) for a in (x, *others)]

        def gradient():
            tensors[0].grad = None
            function(*tensors).backward()
            return tensors[0].grad

        if function is not None:
            tensors[0].requires_grad_()
        return function and gradient

    return Case("loss", f"{info.layer} {batch}x{classes}", 12 * batch * classes, "GB/s", build, torch=build_torch)


LOSSES = [row.info for row in _fastnn_core.LOSSES.values() if not row.info.probabilities]
LOSS_SHAPES = [(64, 10), (256, 100), (4096, 100)]


def _update(info, n):
    """A late step with the default options."""
    slots = [name for name, needs in info.slots.items() if needs is None]

    def arrays():
        return [_normal(n), _normal(n, scale=0.1), *(np.abs(_normal(n, scale=0.1)) for _ in slots)]

    def build():
        ours, theirs = arrays(), arrays()
        options = {"lr": 1e-3} | ({"step": 1000} if info.counts else {})

        def step(functions, given):
            getattr(functions, info.function)(*given, **options)
            return given[0]

        return partial(step, F, ours), partial(step, R, theirs)

    def build_torch():
        import torch

        if not hasattr(torch.optim, info.layer):
            return None
        param, param.grad = (torch.from_numpy(a) for a in arrays()[:2])
        return getattr(torch.optim, info.layer)([param], lr=1e-3).step

    moved = 3 + 2 * len(slots)  # arrays: all are read, all but the gradient written
    return Case("update", f"{info.name} {n}", 4 * moved * n, "GB/s", build, torch=build_torch)


def _training_step(batch, *sizes):
    def build():
        x, y = _normal(batch, sizes[0]), np.random.default_rng(1).integers(0, sizes[-1], batch)
        model = MLP(sizes, task="classification", seed=0)
        baseline = ReferenceMLP(model)
        trainer = Trainer(model)
        return partial(trainer.step, x, y), partial(baseline.step, x, y)

    def build_torch():
        import torch

        layers = [layer for a, b in pairwise(sizes) for layer in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        model = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x, y = torch.from_numpy(_normal(batch, sizes[0])), torch.from_numpy(np.arange(batch) % sizes[-1])

        def step():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return step

    flops = 6 * batch * sum(a * b for a, b in pairwise(sizes)) - 2 * batch * sizes[0] * sizes[1]
    names = [str(size) for size in sizes]
    name = f"{batch}:{'-'.join(names)}" if len(sizes) < 6 else f"{batch}:{names[0]} x {len(sizes) - 1} layers"
    return Case("step", name, flops, "GFLOP/s", build, torch=build_torch, rows=partial(_rows_of_step, batch, sizes))


def _rows_of_step(batch, sizes, seconds=0.2):
    """The share of a training step's time that each row of its compiled network takes, forward and backward."""
    x, y = _normal(batch, sizes[0]), np.random.default_rng(1).integers(0, sizes[-1], batch)
    trainer = Trainer(MLP(sizes, task="classification", seed=0))
    trainer.step(x, y)
    network, began = trainer._owned._plan, time.perf_counter()
    network.start_clock()
    while time.perf_counter() - began < seconds:
        trainer.step(x, y)
    taken = time.perf_counter() - began
    shares = []
    for i, (kind, inputs, outputs, *passes) in enumerate(network.read_clock()):
        name = f"{i} {kind} {inputs}-{outputs}" if inputs != outputs else f"{i} {kind} {outputs}"
        shares += [
            (f"{name}, {way}", spent / taken) for way, spent in zip(("forward", "backward"), passes, strict=True)
        ]
    return [*shares, ("all else", 1 - sum(share for _, share in shares))]


PRODUCTS = [(1, 784, 512), (1, 256, 256), (6, 256, 256), (16, 256, 256), (32, 64, 64), (32, 64, 100), (64, 128, 10), (64, 784, 128),
            (64, 1000, 100), (784, 64, 128), (128, 784, 256), (128, 512, 512), (256, 512, 512), (512, 256, 512), (256, 17, 256),
            (512, 1024, 2048), (2048, 512, 1024), (1024, 1024, 1024), (4096, 256, 256), (50, 333, 77), (7, 1500, 13), (300, 300, 300),
            (96, 96, 96), (200, 64, 100)]  # fmt: skip
MORE_PRODUCTS = [(2, 256, 256), (64, 64, 64), (64, 16384, 10), (2048, 2048, 2048)]
NORMS = [(name, *shape) for name in ("layer_norm", "rms_norm", "batch_norm") for shape in ((128, 512), (4096, 256))]
LAYERS = [(784, 512, 128), (512, 512, 128), (784, 128, 128), (1000, 100, 64), (256, 256, 256), (64, 100, 32), (500, 500, 256),
          (1024, 2048, 512), (2048, 2048, 512), (64, 64, 64)]  # fmt: skip


STEPS = [(32, 64, 100, 10), (64, 1000, 100, 10), (256, 17, 256, 256, 6), (128, 784, 128, 10), (128, 784, 512, 512, 10),
         (256, *[500] * 11), (512, 1024, 2048, 2048, 1000)]  # fmt: skip


def cases(quick=False):
    """Return the list of cases, or the shorter list of a quick run."""
    products, networks, elements = PRODUCTS + MORE_PRODUCTS, LAYERS, ELEMENTS
    if quick:
        products, networks, elements = PRODUCTS, [], ELEMENTS[:1]
    return [
        *(case for shape in products for case in _products(*shape)),
        *(case for layer in networks for case in _panel_forms(*layer)),
        *(_forward(name, n) for name in F.activations() for n in elements),
        *(_backward(info, n) for info in F.activations().values() for n in elements),
        *([] if quick else [_dropout(ELEMENTS[0]), *_layer_cases(256, 64)]),
        _softmax("softmax", 256, 1000),
        _softmax("log_softmax", 256, 1000),
        *(_cross_entropy(*shape) for shape in [*LOSS_SHAPES, (256, 1000), (4096, 1000), (512, 32000)]),
        *(_norm(*norm) for norm in NORMS),
        *(_norm_backward(*norm) for norm in NORMS),
        *(_loss(info, *shape) for info in LOSSES for shape in LOSS_SHAPES),
        *(_update(row.info, ELEMENTS[-1]) for row in _fastnn_core.OPTIMIZERS.values()),
        *(_training_step(*sizes) for sizes in STEPS[: 4 if quick else None]),
    ]
