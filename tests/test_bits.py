"""Bits: whatever has multiply-add gives the same, in every function, at every edge of a tile, in training."""

import numpy as np
import pytest
from calls import calls
from support import EXACT, ROWS, floats, other_params

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F

pytestmark = pytest.mark.skipif(len(EXACT) < 2, reason="one ISA alone promises bits here; make emulate compares two")
rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def bits(x):
    """Return the bytes of an array, in which a NaN is as good as another."""
    x = np.array(x)
    if x.dtype.kind == "f":
        x[np.isnan(x)] = np.nan
    return x.shape, x.tobytes()


def same_bits(compute):
    """Assert that compute() yields the same names and arrays on every ISA that promises bits."""
    before, results = core.isa(), []
    try:
        for isa in EXACT:
            core._use_isa(isa)
            results.append([(name, bits(array)) for name, array in compute()])
    finally:
        core._use_isa(before)
    for isa, other in zip(EXACT[1:], results[1:], strict=True):
        differing = [name for (name, one), (_, two) in zip(results[0], other, strict=True) if one != two]
        assert not differing, f"{isa} differs from {EXACT[0]} in {len(differing)} of {len(other)}, first {differing[0]}"


def normal(rng, *shape, dtype, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize(("n", "columns"), [(4, 3), (7, 16), (9, 33), (3, 1000), (70, 10), (37, 70)])
def test_of_every_function(n, columns, dtype):
    def compute():
        for call in calls(dtype, np.random.default_rng(0), n, columns):
            for i, result in enumerate(call.run(call.copies())):
                yield f"{call.id}, result {i}", result

    same_bits(compute)


def numbers(dtype):
    """Numbers of every size and sign, those that are none, and many of an ordinary size."""
    rng = np.random.default_rng(0)
    if dtype == np.float32:
        return np.concatenate([floats(20011), [np.inf, -np.inf, np.nan]]).astype(dtype)
    any_bits = rng.integers(0, 2**64, 50_000, np.uint64, endpoint=False).view(dtype)
    ordinary = [normal(rng, 20_000, dtype=dtype, scale=scale) for scale in (1e-3, 1, 30, 700)]
    return np.concatenate([any_bits, *ordinary, [np.inf, -np.inf, np.nan, 0.0, -0.0]])


@rows
def test_of_activations_at_numbers_of_every_size(row, dtype):
    x = numbers(dtype)
    grad = normal(np.random.default_rng(1), x.size, dtype=dtype)
    f, df = getattr(F, row.name), getattr(F, f"{row.name}_backward")

    def compute():
        for params in ({}, other_params(row)):
            y = f(x, **params)
            yield f"{params}", y
            yield f"{params}, from x", df(grad, x=x, **params)
            if row.saves == "y":
                yield f"{params}, from y", df(grad, y=y, **params)

    same_bits(compute)


@pytest.mark.parametrize("scale", [0.1, 3, 200])
def test_of_rows_of_every_length(scale, dtype):
    def compute():
        for classes in [*range(1, 50), 100, 257, 1000, 2049, 20001]:
            rng, n = np.random.default_rng(classes), 19 if classes < 1000 else 2
            x, grad = normal(rng, n, classes, dtype=dtype, scale=scale), normal(rng, n, classes, dtype=dtype)
            labels, weight, of_rows = rng.integers(0, classes, n), rng.random(classes), rng.random(n)
            for name in ("softmax", "log_softmax"):
                y = getattr(F, name)(x)
                yield f"{name} of {classes}", y
                yield f"{name}_backward of {classes}", getattr(F, f"{name}_backward")(grad, y)
            options = {"weight": weight, "sample_weight": of_rows, "label_smoothing": 0.1}
            for some in ({}, {"reduction": "none"}, options):
                for i, result in enumerate(F.cross_entropy_with_grad(x, labels, **some)):
                    yield f"cross_entropy of {classes}, {list(some)}, result {i}", result

    same_bits(compute)


STEPS = [1, 2, 3, 16, 100, 511, 512, 513, 1023, 1024, 1025]  # of k, around chunks
LAYOUTS = {
    "contiguous": lambda x: x.copy(),
    "transposed": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


@pytest.mark.parametrize("of_b", LAYOUTS)
@pytest.mark.parametrize("of_a", LAYOUTS)
def test_of_products_around_every_edge_of_a_tile(of_a, of_b, dtype):
    """Steps of k take turns, so that rows and columns meet all of them."""
    rng = np.random.default_rng(0)
    a, b = normal(rng, 200, 1025, dtype=dtype), normal(rng, 1025, 200, dtype=dtype)
    shapes = [(m, n) for m in range(1, 18) for n in [*range(1, 50), *range(93, 100)]]
    shapes += [(m, n) for m in (31, 47, 48, 49, 95, 96, 97, 193) for n in (1, 8, 15, 33, 97, 191, 192, 193)]

    def compute():
        for i, (m, n) in enumerate(shapes):
            k = STEPS[(i + m) % len(STEPS)]
            left, right = LAYOUTS[of_a](a[:m, :k]), LAYOUTS[of_b](b[:k, :n])
            yield f"m {m}, n {n}, k {k}", F.matmul(left, right)

    same_bits(compute)


@rows
def test_of_linear_with_every_activation(row, dtype):
    def compute():
        for n, out, inputs in [(1, 10, 70), (5, 17, 33), (9, 150, 21), (33, 50, 515)]:
            rng = np.random.default_rng(n)
            x, weight, bias, grad = (
                normal(rng, *shape, dtype=dtype) for shape in [(n, inputs), (out, inputs), (out,), (n, out)]
            )
            for params in ({}, other_params(row)):
                what = f"{(n, out, inputs)}, {params}"
                y, z = F.linear(x, weight, bias, activation=row.name, return_preactivation=True, **params)
                yield f"{what}, y", y
                yield f"{what}, z", z
                for saved in ({"z": z}, {"y": y}) if row.saves == "y" else ({"z": z},):
                    results = F.linear_backward(grad, x, weight, activation=row.name, **saved, **params)
                    for name, result in zip(("dx", "dweight", "dbias"), results, strict=True):
                        yield f"{what}, {name} from {list(saved)}", result

    same_bits(compute)


@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.1, momentum=0.9, nesterov=True), fnn.Adam(lr=1e-3)], ids=["SGD", "Adam"])  # fmt: skip
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_of_three_epochs_of_fit(activation, optimizer, dtype):
    x, y = fnn.datasets.load_digits()
    x, y = (x[:500] / 16).astype(dtype), y[:500]

    def compute():
        model = fnn.MLP([64, 50, 30, 10], activation, dropout=0.1, seed=0, dtype=dtype)
        history = fnn.Trainer(model, optimizer=optimizer, seed=0).fit(x, y, epochs=3, batch_size=32, verbose=False)
        yield "the loss", history["loss"]
        yield from model.state_dict().items()
        yield "the output", model(x)

    same_bits(compute)
