"""The compiled network: the same bits as layer by layer, and what it does not take."""

import copy

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import trainer as trainer_module
from fastnn.compiled import Compiled
from fastnn.network import Layered

LOSSES = {  # from name to a function of (rng, rows, outputs) that makes targets
    "cross_entropy": lambda rng, n, k: rng.integers(0, k, n),
    "mse": lambda rng, n, k: rng.standard_normal((n, k)),
    "huber": lambda rng, n, k: rng.standard_normal((n, k)),
    "binary_cross_entropy_with_logits": lambda rng, n, k: rng.integers(0, 2, (n, k)).astype(bool),
    "multiclass_hinge": lambda rng, n, k: rng.integers(0, k, n).astype(np.int16),
    "poisson_nll": lambda rng, n, k: rng.integers(0, 4, (n, k)).astype(np.float64),
    "gaussian_nll": lambda rng, n, k: rng.standard_normal((n, k)),
}
OPTIMIZERS = (
    fnn.SGD(lr=0.05),
    fnn.SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    fnn.Adam(lr=0.01),
    fnn.AdamW(lr=fnn.schedules.Cosine(0.01, 40)),
    fnn.RMSprop(lr=0.001, centered=True),
    fnn.Rprop(lr=0.001),
    fnn.Lion(lr=0.001),
)


OPTIONS = (
    {},
    {"l1": 0.01, "l2": 0.02},
    {"clip_value": 0.01},
    {"clip_norm": 0.1, "l2": 0.1},
    {"accumulate": 3},
    {"ema": 0.9, "max_norm": 0.5},
    {"accumulate": 2, "clip_norm": 1.0, "clip_value": 0.1, "l1": 0.01, "ema": 0.5},
    {"groups": {"*.bias": {"lr": 0.001}}},
    {"max_norm": 0.3},
)


def layered(*args, **options):
    """Return a Trainer that goes layer by layer."""
    compiled, trainer_module.Compiled = trainer_module.Compiled, Layered
    try:
        return fnn.Trainer(*args, **options)
    finally:
        trainer_module.Compiled = compiled


def batch_norm(rng, width, dtype, training):
    momentum = None if rng.random() < 0.3 else 0.1
    affine, tracks = bool(rng.random() < 0.7), bool(rng.random() < 0.7) or not training
    layer = fnn.BatchNorm1d(width, momentum=momentum, affine=affine, track_running_stats=tracks, dtype=dtype)
    if tracks:
        statistics = {"running_mean": rng.standard_normal(width), "running_var": rng.random(width)}
        layer.load_state_dict(layer.state_dict() | statistics)
    return layer


def random_layers(rng, width, outputs, dtype, training=True, ensembles=True):
    """Return layers from `width` to `outputs` features, of all kinds that a compiled network has in training or at inference."""
    layers, activations = [], (fnn.ReLU, fnn.GELU, fnn.Tanh, fnn.LeakyReLU, fnn.SiLU, fnn.Softplus, fnn.Identity)
    for _ in range(rng.integers(0, 4)):
        kind, units = rng.integers(0, 13), int(rng.integers(1, 40))
        if kind == 0:
            layers.append(fnn.Maxout(width, units, 3, rng=rng.integers(1000), dtype=dtype))
            width = units
        elif kind == 1:
            inner = fnn.Linear(width, units, rng=rng.integers(1000), dtype=dtype)
            back = fnn.Linear(units, width, bias=False, rng=rng.integers(1000), dtype=dtype)
            layers.append(fnn.Residual(inner, activations[rng.integers(7)](), back))
        elif kind == 2:
            layers.append((fnn.LayerNorm if rng.random() < 0.5 else fnn.RMSNorm)(width, dtype=dtype))
        elif kind == 3:
            layers.append(fnn.PReLU(width if rng.random() < 0.5 else 1, dtype=dtype))
        elif kind == 4:
            layers.append(batch_norm(rng, width, dtype, training))
        elif kind == 5:
            layers.append(fnn.AlphaDropout(0.2 * rng.integers(0, 3), seed=6, layer=len(layers)))
        elif kind == 6:
            layers.append(fnn.Scale(width, init=1.5, dtype=dtype))
        elif kind == 7:  # branches of their own chains, which may share columns
            columns = [rng.integers(0, width, rng.integers(1, 5)).tolist() for _ in range(2)]
            chains = [random_layers(rng, len(chosen), units, dtype, training, ensembles=False) for chosen in columns]
            layers.append(fnn.Columns([(c, fnn.Sequential(*chain)) for c, chain in zip(columns, chains, strict=True)]))
            width = 2 * units
        elif kind == 8:
            layers.append((fnn.Softmax if rng.random() < 0.5 else fnn.LogSoftmax)())
        elif kind == 9 and width < 10:
            layers += [fnn.Periodic(width, 3, 0.5, rng=rng.integers(1000), dtype=dtype), fnn.Flatten()]
            width *= 6
        else:
            layers += [fnn.Linear(width, units, rng=rng.integers(1000), dtype=dtype), activations[rng.integers(7)]()]
            width = units
            if rng.random() < 0.3:
                layers.append(fnn.Dropout(0.3, seed=5, layer=len(layers)))
    layers.append(fnn.Linear(width, outputs, rng=rng.integers(1000), dtype=dtype))
    if ensembles and rng.random() < 0.3:  # the last of them are an ensemble's
        first = max(len(layers) - 3, 0)
        layers[first:] = [fnn.Ensemble(int(rng.integers(1, 5)), *layers[first:], rng=rng.integers(1000))]
    return layers


def both(model, *args, **options):
    """Return two trainers of equal models: one compiled, one layer by layer."""
    return fnn.Trainer(model, *args, **options), layered(copy.deepcopy(model), *args, **options)


def assert_equal(compiled, other):
    assert compiled._owned.prevented is None
    assert compiled.steps_done == other.steps_done
    for name, value in other.model.state_dict().items():
        np.testing.assert_array_equal(compiled.model.state_dict()[name], value, err_msg=name)
    for name, value in other._owned.evaluated().state_dict().items():
        np.testing.assert_array_equal(
            compiled._owned.evaluated().state_dict()[name], value, err_msg=f"average of {name}"
        )
    for name, slots in other._owned.state.items():
        for slot, value in slots.items():
            np.testing.assert_array_equal(compiled._owned.state[name][slot], value, err_msg=f"{name} {slot}")


@pytest.mark.parametrize("seed", range(40))
def test_a_random_network_trains_as_layer_by_layer(seed):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if seed % 4 else np.float64
    width, outputs, rows = int(rng.integers(1, 50)), int(rng.integers(1, 20)), int(rng.integers(2, 200))
    name = list(LOSSES)[seed % len(LOSSES)]
    model = fnn.Sequential(*random_layers(rng, width, outputs * (1 + (name == "gaussian_nll")), dtype))
    x, y = rng.standard_normal((rows, width)), LOSSES[name](rng, rows, outputs)
    options = OPTIONS[seed % len(OPTIONS)]
    pair = both(model, name, OPTIMIZERS[seed % len(OPTIMIZERS)], seed=seed, **options)
    fit = {"epochs": 2, "batch_size": int(rng.integers(1, 70)), "shuffle": bool(seed % 2), "verbose": False}
    if seed % 5 == 0:
        fit["sample_weight"] = rng.integers(0, 3, rows) + 1e-3
    first = [t.fit(x, y, **fit)["loss"] for t in pair]
    assert first[0] == first[1]
    least = min(rows, model._least_rows)
    steps = [[t.step(x[:n], y[:n]) for n in (rows, least, min(rows, 33))] for t in pair]
    assert steps[0] == steps[1]
    assert pair[0]._owned._lazy is not None  # that step was compiled
    np.testing.assert_array_equal(*(t._owned.output for t in pair))
    assert_equal(*pair)


# Models in which a kind of row meets what a random network seldom has: a place that is not the usual one, or another shape of x.
PLACED = {
    "batch norm first": (lambda dtype: [fnn.BatchNorm1d(6, dtype=dtype), fnn.Linear(6, 3, rng=0, dtype=dtype)], (6,)),
    "batch norm inside a residual block": (
        lambda dtype: [
            fnn.Linear(6, 5, rng=0, dtype=dtype),
            fnn.Residual(fnn.BatchNorm1d(5, momentum=None, dtype=dtype), fnn.ReLU()),
            fnn.Linear(5, 3, rng=1, dtype=dtype),
        ],
        (6,),
    ),
    "batch norm last": (lambda dtype: [fnn.Linear(6, 3, rng=0, dtype=dtype), fnn.BatchNorm1d(3, dtype=dtype)], (6,)),
    "alpha dropout after selu": (
        lambda dtype: [
            fnn.Linear(6, 9, rng=0, dtype=dtype),
            fnn.SELU(),
            fnn.AlphaDropout(0.3, seed=1),
            fnn.Linear(9, 3, rng=1, dtype=dtype),
        ],
        (6,),
    ),
    "scale first, of one factor": (
        lambda dtype: [fnn.Scale(1, dtype=dtype), fnn.Linear(6, 3, rng=0, dtype=dtype), fnn.Scale(3, dtype=dtype)],
        (6,),
    ),
    "ensemble": (
        lambda dtype: [
            fnn.Tanh(),
            fnn.Ensemble(
                3,
                fnn.Scale(6, dtype=dtype),
                fnn.Linear(6, 5, rng=0, dtype=dtype),
                fnn.BatchNorm1d(5, dtype=dtype),
                fnn.ReLU(),
                fnn.Dropout(0.2, seed=1),
                fnn.Linear(5, 3, bias=False, rng=1, dtype=dtype),
                rng=2,
            ),
        ],
        (6,),
    ),
    "ensemble behind a layer that is trained, with probabilities": (
        lambda dtype: [
            fnn.Linear(6, 5, rng=0, dtype=dtype),
            fnn.Ensemble(4, fnn.GELU(), fnn.Linear(5, 3, rng=1, dtype=dtype), fnn.LogSoftmax(), rng=2),
        ],
        (6,),
    ),
    "linear on the rows of a matrix": (
        lambda dtype: [
            fnn.Linear(4, 5, rng=0, dtype=dtype),
            fnn.GELU(),
            fnn.Dropout(0.2, seed=3),
            fnn.Residual(fnn.Linear(5, 5, rng=1, dtype=dtype)),
            fnn.Flatten(),
            fnn.Linear(15, 3, rng=2, dtype=dtype),
        ],
        (3, 4),
    ),
    "along the first axis of a matrix": (
        lambda dtype: [
            fnn.BatchNorm1d(3, dtype=dtype),
            fnn.Linear(4, 5, rng=0, dtype=dtype),
            fnn.Softmax(1),
            fnn.BatchNorm1d(3, momentum=None, dtype=dtype),
            fnn.LogSoftmax(-2),
            fnn.Flatten(),
            fnn.Linear(15, 3, rng=2, dtype=dtype),
        ],
        (3, 4),
    ),
    "norms of the rows of a matrix": (
        lambda dtype: [
            fnn.LayerNorm((3, 4), dtype=dtype),
            fnn.PReLU(4, dtype=dtype),
            fnn.RMSNorm(4, dtype=dtype),
            fnn.Maxout(4, 2, 3, rng=0, dtype=dtype),
            fnn.LogSoftmax(2),
            fnn.Flatten(),
            fnn.Linear(6, 3, rng=2, dtype=dtype),
        ],
        (3, 4),
    ),
}


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "clip_norm": 0.5, "l2": 0.01}], ids=str)
@pytest.mark.parametrize("place", PLACED)
def test_every_kind_in_every_place_trains_as_layer_by_layer(place, options, isa, dtype):
    layers, shape = PLACED[place]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((70, *shape)).astype(dtype), rng.integers(0, 3, 70)
    pair = both(fnn.Sequential(*layers(dtype)), "cross_entropy", "adam", seed=0, **options)
    fits = [t.fit(x, y, epochs=2, batch_size=23, verbose=False)["loss"] for t in pair]
    assert fits[0] == fits[1]
    assert_equal(*pair)
    steps = [[t.step(x[:n], y[:n]) for n in (70, 2)] for t in pair]
    assert steps[0] == steps[1]
    assert pair[0]._owned._lazy is not None  # that step was compiled
    np.testing.assert_array_equal(*(t._owned.output for t in pair))
    assert_equal(*pair)


def test_running_statistics_are_those_of_steps_that_were_made():
    x, y = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32), np.array([0, 1, 0, 1, 1, 0])
    pair = both(fnn.Sequential(fnn.BatchNorm1d(2), fnn.Linear(2, 2, rng=0)), "cross_entropy", "adam", seed=0)
    for t in pair:
        t.step(x, y)
        with pytest.raises(FloatingPointError):
            t.step(x * np.nan, y)
        with pytest.raises(ValueError, match="one value per feature"):
            t.step(x[:1], y[:1])
        assert t.model[0].num_batches_tracked == 1
    assert_equal(*pair)


# First layers that read x in whatever dtype it comes: the numbers of four columns, then an index.
TABLES = {
    "standardize": lambda dtype: [
        fnn.Standardize(5, dtype=dtype).fit_statistics(table(30, "f8")),
        fnn.Linear(5, 3, rng=0, dtype=dtype),
    ],
    "standardize in the middle": lambda dtype: [
        fnn.Linear(5, 6, rng=0, dtype=dtype),
        fnn.Standardize(1, dtype=dtype).fit_statistics(table(30, "f8")[:, :1]),
        fnn.ReLU(),
        fnn.Linear(6, 3, rng=0, dtype=dtype),
    ],
    "embedding": lambda dtype: [
        fnn.Embedding(9, 4, rng=0, dtype=dtype),
        fnn.Dropout(0.2, seed=2),
        fnn.Flatten(),
        fnn.Linear(20, 3, rng=0, dtype=dtype),
    ],
    "piecewise linear": lambda dtype: [
        fnn.PiecewiseLinear(5, 6, dtype=dtype).fit_statistics(table(30, "f8")),
        fnn.Linear(6, 4, rng=0, dtype=dtype),
        fnn.ReLU(),
        fnn.Flatten(),
        fnn.Linear(20, 3, rng=1, dtype=dtype),
    ],
    "piecewise linear in the middle": lambda dtype: [
        fnn.Linear(5, 2, rng=0, dtype=dtype),
        fnn.PiecewiseLinear(1, 3, dtype=dtype),
        fnn.Flatten(),
        fnn.Linear(6, 3, rng=1, dtype=dtype),
    ],
    "periodic": lambda dtype: [
        fnn.Periodic(5, 7, 0.5, rng=0, dtype=dtype),
        fnn.Linear(14, 4, rng=1, dtype=dtype),
        fnn.ReLU(),
        fnn.Flatten(),
        fnn.Linear(20, 3, rng=1, dtype=dtype),
    ],
    "periodic in the middle": lambda dtype: [
        fnn.Linear(5, 4, rng=0, dtype=dtype),
        fnn.Periodic(1, 3, 0.5, rng=0, dtype=dtype),
        fnn.Flatten(),
        fnn.Linear(24, 3, rng=1, dtype=dtype),
    ],
    "columns": lambda dtype: [
        fnn.Columns(
            [
                ([0, 1], fnn.Standardize(2, dtype=dtype).fit_statistics(table(30, "f8")[:, :2])),
                ([4, 2, 4], fnn.Embedding(9, 3, rng=1, dtype=dtype)),
                ([3, 1, 3], fnn.Sequential(fnn.Linear(3, 2, rng=2, dtype=dtype), fnn.Tanh())),
                (2, fnn.Periodic(1, 3, rng=3, dtype=dtype)),
                (0, fnn.Sequential(fnn.PiecewiseLinear(1, 4, dtype=dtype), fnn.Linear(4, 2, rng=4, dtype=dtype))),
            ]
        ),
        fnn.Residual(fnn.Linear(21, 21, rng=5, dtype=dtype), fnn.ReLU()),
        fnn.Linear(21, 3, rng=6, dtype=dtype),
    ],
    "columns in the middle": lambda dtype: [
        fnn.Linear(5, 6, rng=0, dtype=dtype),
        fnn.Columns(
            [
                ([1, 2], fnn.Sequential()),
                (range(4), fnn.Residual(fnn.Columns([(range(4), fnn.Tanh())]))),
                ([5, 0, 5], fnn.Linear(3, 2, rng=2, dtype=dtype)),
                (0, fnn.Identity()),
            ]
        ),
        fnn.Linear(9, 3, rng=6, dtype=dtype),
    ],
    "columns without parameters": lambda dtype: [
        fnn.Columns([(range(4), fnn.Tanh()), ([4, 0], fnn.Standardize(2, dtype=dtype))]),
        fnn.Linear(6, 3, rng=6, dtype=dtype),
    ],
}


def table(rows, source):
    rng = np.random.default_rng(1)
    return rng.integers(0, 9, (rows, 5)).astype(source)


@pytest.mark.parametrize("source", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", ">f4", "large"])
@pytest.mark.parametrize("first", TABLES)
def test_tables_of_every_dtype_train_as_layer_by_layer(first, source, dtype):
    x = table(70, "i8" if source == "large" else source)
    if source == "large" and "embedding" not in first:  # beyond what float32 and float64 tell apart
        x[:, :2] += [2**25 + 1, 2**60 + 1]
    y = np.random.default_rng(0).integers(0, 3, 70)
    pair = both(fnn.Sequential(*TABLES[first](dtype)), "cross_entropy", "adam", seed=0)
    for t in pair:
        t.step(x[:9], y[:9])
    if source not in ("f2", ">f4") and first != "columns without parameters":
        assert pair[0]._owned._lazy is not None  # that step was compiled
    assert_equal(*pair)
    fits = [t.fit(x, y, epochs=2, batch_size=23, verbose=False)["loss"] for t in pair]
    assert fits[0] == fits[1]
    assert_equal(*pair)


@pytest.mark.parametrize("source", ["u1", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1,), (300,), (3, 1), (3, 300)], ids=str)
def test_images_are_standardized_as_layer_by_layer(shape, source, dtype):
    rng = np.random.default_rng(0)
    x, y = (rng.random((90, 3, 300)) * 255).astype(source), rng.integers(0, 3, 90)
    statistics = {"mean": 100 * rng.random(shape), "scale": 50 + rng.random(shape)}
    first = fnn.Standardize(shape, dtype=dtype)
    first.load_state_dict(statistics)
    pair = both(
        fnn.Sequential(first, fnn.Flatten(), fnn.Linear(900, 3, rng=0, dtype=dtype)), "cross_entropy", "adam", seed=0
    )
    fits = [t.fit(x, y, epochs=2, batch_size=25, verbose=False)["loss"] for t in pair]
    assert fits[0] == fits[1]
    assert [pair[0].step(x, y), pair[0].step(x[:1], y[:1])] == [pair[1].step(x, y), pair[1].step(x[:1], y[:1])]
    assert pair[0]._owned._lazy is not None  # that step was compiled
    assert_equal(*pair)
    model = pair[0].model
    assert model._predicts(x)
    np.testing.assert_array_equal(model(x), model._run(model._input(x)))


def test_an_index_out_of_range_is_named_as_layer_by_layer():
    x, y = table(8, "f4"), np.zeros(8, np.int64)
    x[5, 4] = 9
    pair = both(fnn.Sequential(*TABLES["columns"](np.float32)), "cross_entropy", "sgd", seed=0)
    for bad in (9, -1, 2.5, np.nan):
        x[5, 4] = bad
        messages = []
        for t in pair:
            with pytest.raises((IndexError, ValueError)) as caught:
                t.step(x, y)
            messages.append(str(caught.value))
        assert "row 5, column 4" in messages[0]
        assert messages[0] == messages[1]
        assert_equal(*pair)


@pytest.mark.parametrize("batch", [1, 15, 16, 17, 600])
def test_batches_of_every_size_train_as_layer_by_layer(batch, isa, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, 33)).astype(dtype), rng.integers(0, 7, batch)
    pair = both(fnn.MLP([33, 50, 7], "gelu", seed=0, dtype=dtype), "cross_entropy", "adam", seed=0)
    losses = [[t.step(x, y) for _ in range(3)] for t in pair]
    assert losses[0] == losses[1]
    assert_equal(*pair)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_threads_change_no_bit(workers, isa):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 60)).astype(np.float32), rng.integers(0, 30, 100)
    model = fnn.MLP([60, 130, 70, 30], "gelu", seed=0)
    pair = both(model, "cross_entropy", "adam", seed=0, l2=1e-3)
    want = [pair[1].step(x, y) for _ in range(3)]
    before, forced = fnn.get_num_threads(), core._force_threads(True)
    try:
        fnn.set_num_threads(workers)
        got = [pair[0].step(x, y) for _ in range(3)]
        assert core._threads_of_last_job() == workers
    finally:
        core._force_threads(forced)
        fnn.set_num_threads(before)
    assert got == want
    assert_equal(*pair)


@pytest.mark.parametrize("source", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "f2", ">f4"])
def test_inputs_of_every_dtype_train_as_layer_by_layer(source):
    rng = np.random.default_rng(0)
    x, y = (rng.random((60, 9)) * 5).astype(source), rng.integers(0, 3, 60)
    pair = both(fnn.MLP([9, 20, 3], seed=0), "cross_entropy", "sgd", seed=0)
    losses = [t.fit(x, y, epochs=2, verbose=False)["loss"] for t in pair]
    assert losses[0] == losses[1]
    assert_equal(*pair)


def test_inputs_of_every_layout_train_as_layer_by_layer():
    rng = np.random.default_rng(0)
    whole, y = rng.standard_normal((120, 18)).astype(np.float32), rng.integers(0, 3, 60)
    for x in (
        whole[::2, :9],
        whole[:60][::-1, ::2],
        np.asfortranarray(whole[:60, :9]),
        whole[:60].reshape(60, 6, 3)[:, ::2],
    ):
        layers = (fnn.Flatten(),) if x.ndim > 2 else ()
        pair = both(fnn.Sequential(*layers, fnn.Linear(9, 3, rng=0)), "cross_entropy", "sgd", seed=0)
        losses = [t.fit(x, y, epochs=2, verbose=False)["loss"] for t in pair]
        assert losses[0] == losses[1]
        assert_equal(*pair)


def test_ignored_rows_and_weights_train_as_layer_by_layer():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 6)).astype(np.float32), rng.integers(0, 3, 90)
    y[::3] = -100
    y[30:60] = -100  # a whole minibatch in which no row counts
    loss = fnn.losses.CrossEntropy(weight=(1.0, 0.5, 2.0), label_smoothing=0.1)
    pair = both(fnn.MLP([6, 8, 3], seed=0), loss, "adam", seed=0)
    losses = [
        t.fit(x, y, epochs=2, batch_size=30, shuffle=False, sample_weight=rng.random(90), verbose=False)["loss"]
        for t, rng in ((t, np.random.default_rng(1)) for t in pair)
    ]
    assert losses[0] == losses[1]
    assert pair[0].steps_done == 4
    assert_equal(*pair)
    assert np.isnan(pair[0].step(x[30:60], y[30:60]))
    assert_equal(*pair)


def test_what_is_refused_changes_nothing_and_raises_as_layer_by_layer():
    x, y = np.ones((4, 2), np.float32), np.array([0, 1, 1, 0])
    pair = both(fnn.MLP([2, 3, 2], seed=0), "cross_entropy", "adam", seed=0)
    for t in pair:
        t.step(x, y)
    for bad_x, bad_y, error in (
        (x, y + 1, IndexError),
        (x * np.nan, y, FloatingPointError),
        (x[:, :1], y, ValueError),
        (x, np.zeros((4, 3), np.int64), ValueError),
    ):
        messages = []
        for t in pair:
            with pytest.raises(error) as caught:
                t.step(bad_x, bad_y)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
        assert_equal(*pair)


def test_what_has_no_row_is_named_and_runs_layer_by_layer():
    class Own(fnn.layers.Layer):
        def __call__(self, x, out=None):
            return x

        def vjp(self, x, step=0, train=True):
            return x, lambda dy, need_dx=True: dy

    x, y = np.ones((4, 2), np.float32), np.array([0, 1, 1, 0])
    t = fnn.Trainer(fnn.Sequential(fnn.Linear(2, 2, rng=0), Own()), "cross_entropy", "sgd", seed=0)
    t.step(x, y)
    assert "Own" in t._owned.prevented
    assert "Own" in repr(t)
    t = fnn.Trainer(fnn.Sequential(fnn.Linear(2, 2, rng=0)), lambda output, target: (0.0, 0 * output), "sgd", seed=0)
    t.step(x, y)
    assert "<lambda>" in repr(t)


@pytest.mark.parametrize(
    "options", [{"l2": 0.02}, {"l1": 0.03, "l2": 0.02, "clip_norm": 0.1}, {"accumulate": 2, "l1": 0.1}]
)
def test_penalties_of_a_sum_of_losses_are_divided_as_the_loss_is(options, dtype, isa):
    """The objective of a minibatch is then (sum of its losses + penalties) / divisor."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 7)).astype(dtype), rng.integers(0, 3, 40)
    starts, divisors = np.array([0, 17, 36, 40]), np.array([17.0, 9.5, 4.0])
    none = {
        "l1": 0.0,
        "clip_norm": None,
        "clip_value": None,
        "groups": {},
        "accumulate": 1,
        "ema": None,
        "max_norm": None,
    }
    model = fnn.MLP([7, 5, 3], "tanh", seed=1, dtype=dtype)
    networks = [
        kind(copy.deepcopy(model), fnn.SGD(lr=0.5), of_sum=True, **none | {"l2": 0.0} | options)
        for kind in (Compiled, Layered)
    ]
    penalties, told = np.empty(3), []
    plan = networks[0]._planned(fnn.CrossEntropy(), False, (7,))
    slices = networks[0].slices(plan, (x, y, True, None, None), starts, divisors, True, 0, None, penalties)
    losses = [loss for part in slices for loss in part]
    for first, last, divisor in zip(starts, starts[1:], divisors.tolist(), strict=False):
        told.append(networks[1].penalty())
        rows = slice(first, last)
        value = networks[1].step(
            x[rows], lambda z, rows=rows, n=divisor: fnn.CrossEntropy()(z, y[rows], divisor=n), rows=divisor
        )
        assert value == losses[len(told) - 1]
    assert penalties.tolist() == told
    for name, value in networks[1].parameters.items():
        np.testing.assert_array_equal(networks[0].parameters[name], value, err_msg=name)


def test_a_penalty_of_a_sum_of_losses_is_by_hand_what_it_says():
    x, y = np.ones((4, 2)), np.zeros(4)
    model = fnn.MLP([2, 1], task="regression", init="ones", dtype=np.float64)
    network = Compiled(
        model, fnn.SGD(lr=1.0), l1=0.5, l2=0.25, of_sum=True, clip_norm=None, clip_value=None, groups={}, accumulate=1,
        ema=None, max_norm=None,
    )  # fmt: skip
    plan, penalties = network._planned(fnn.HalfMSE(), False, (2,)), np.empty(1)
    (loss,) = next(
        network.slices(plan, (x, y, False, None, None), np.array([0, 4]), np.array([4.0]), True, 0, None, penalties)
    )
    assert (loss, penalties[0]) == (2.0, 0.5 * 2 + 0.25 * 2)
    np.testing.assert_array_equal(model.layers[0].weight, [[1 - (2 + (0.5 + 0.5) / 4)] * 2])


@pytest.mark.parametrize("weighted", [False, True])
def test_what_a_value_of_the_loss_counts_at_most_changes_what_is_told_alone(weighted, dtype, isa):
    rng = np.random.default_rng(0)
    x, y, weight = 9 * rng.standard_normal((20, 4)), rng.integers(0, 2, (20, 3)), rng.random(20)
    starts, told = np.array([0, 20]), []
    model = fnn.MLP([4, 3], seed=1, dtype=dtype)
    trainers = [
        fnn.Trainer(copy.deepcopy(model), "binary_cross_entropy_with_logits", fnn.SGD(lr=0.5)) for _ in range(2)
    ]
    for trainer, most in zip(trainers, (np.inf, 0.5), strict=True):
        network = trainer._owned
        plan = network._planned(trainer.loss, False, (4,))
        plan.limit_told(most)
        arguments = x, y.astype(dtype), False, weight if weighted else None, None
        (losses,) = network.slices(plan, arguments, starts, np.array([20.0]), True, 0, None)
        told.append(losses[0])
    values = fnn.functional.binary_cross_entropy_with_logits(model(x), y, reduction="none")
    weights = weight[:, None] if weighted else 1
    for value, most in zip(told, (np.inf, 0.5), strict=True):
        np.testing.assert_allclose(value, (weights * np.minimum(values, most)).sum() / 60, rtol=1e-6)
    np.testing.assert_array_equal(*(trainer.model.layers[0].weight for trainer in trainers))


def step_of_each_kind(trainer, x, y):
    """Make steps, each unlike the one before, and return their losses or errors."""
    results = []

    def step(x, y, **options):
        try:
            results.append(trainer.step(x, y, **options))
        except (ValueError, IndexError, TypeError, FloatingPointError) as error:
            results.append((type(error), str(error)))

    out_of_range, fewer = np.full_like(y, 9), x[..., 1:].copy()
    for unlike in (
        lambda: step(x, y),
        lambda: step(x[1:7], y[1:7]),
        lambda: step(x[:9:-2], y[4::-1]),
        lambda: step(x.astype(np.float16), y.astype(np.int32)),
        lambda: step(x.tolist(), y),
        lambda: [step(x, np.eye(4, dtype=kind)[y]) for kind in (x.dtype, x.dtype, np.int64)],
        lambda: step(x, y[:, None]),
        lambda: step(x, y, sample_weight=np.arange(len(x))),
        lambda: step(x, y, sample_weight=np.zeros(len(x))),
        lambda: step(x.reshape(len(x), -1), y),
        lambda: step(x.reshape(len(x), *x.shape[:0:-1]), y),
        lambda: step(fewer, y),
        lambda: step(x, y[1:]),
        lambda: step(x[1:], y),
        lambda: step(x[0], y),
        lambda: step(x[0, 0], y),
        lambda: step(x + 0j, y),
        lambda: step(x, out_of_range),
        lambda: step(x * np.inf, y),
        lambda: setattr(trainer, "lr_factor", 0.5),
        lambda: setattr(trainer, "lr_factor", 1.0),
        lambda: setattr(trainer, "loss", fnn.losses.MulticlassHinge()),
        lambda: setattr(trainer, "loss", fnn.losses.CrossEntropy()),
        lambda: trainer.fit(x, y, batch_size=5, verbose=False),
    ):
        unlike()
        step(x, y)
        step(x, y)
    return results


@pytest.mark.parametrize("loss", [None, "cross_entropy"])
@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
def test_a_step_unlike_the_one_before_is_that_of_layer_by_layer(shape, loss, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, *shape)).astype(dtype), rng.integers(0, 4, 20)
    first = [] if shape == (6,) else [fnn.LayerNorm(shape, dtype=dtype), fnn.Flatten()]
    model = fnn.Sequential(*first, *fnn.MLP([6, 9, 4], seed=0, dtype=dtype).layers)
    pair = both(model, loss, fnn.SGD(lr=0.1, momentum=0.9), seed=0)
    results = [step_of_each_kind(t, x, y) for t in pair]
    for one, other in zip(*results, strict=True):
        assert one == other or np.isnan(one) and np.isnan(other)
    assert_equal(*pair)
    np.testing.assert_array_equal(*(t._owned.output for t in pair))


@pytest.mark.parametrize("classes", [1, 2, 10, 16, 17])
def test_few_classes_train_as_layer_by_layer(classes, dtype, isa):
    rng = np.random.default_rng(classes)
    x, y = rng.standard_normal((70, 9)).astype(dtype), rng.integers(0, classes, 70)
    y[::7] = -100
    pair = both(fnn.MLP([9, 20, classes], seed=0, dtype=dtype), fnn.losses.CrossEntropy(), fnn.SGD(lr=1e-9))
    for rows in (1, 2, 3, 16, 37, 70):
        for huge in (False, True):
            x[rows // 2] *= 1e8 if huge else 1  # softmax refuses such rows side by side with others
            for weight in (None, rng.random(rows)):
                losses = [t.step(x[:rows], y[:rows], weight) for t in pair]
                assert losses[0] == losses[1] or np.isnan(losses).all()
                if not np.isnan(losses[0]):
                    assert pair[0]._owned._lazy is not None  # that step was compiled
                    np.testing.assert_array_equal(*(t._owned.output for t in pair))
                assert_equal(*pair)
            x[rows // 2] = 1


@pytest.mark.parametrize("layer", [lambda: fnn.PReLU(31), lambda: fnn.LayerNorm(31), lambda: fnn.Scale(31)])
def test_sums_over_few_rows_fit_into_the_scratch(layer):
    """Scratch ends the arena, and arenas of some widths end their memory: whoever writes too far damages the heap."""
    kept = []
    for width in range(1, 140):
        model = fnn.Sequential(fnn.Linear(width, 31, rng=0), layer(), fnn.Linear(31, 1, rng=0))
        trainer = fnn.Trainer(model, "mse")
        losses = [trainer.step(np.ones((1, width), np.float32), np.ones((1, 1))) for _ in range(2)]
        assert np.isfinite(losses).all()
        kept.append(trainer)
