"""Compiled inference: the bits of the way layer by layer, from any number of threads, with the same errors."""

import copy
import os
import pickle
import threading

import numpy as np
import pytest
from support import layouts, parts
from test_network import PLACED, TABLES, random_layers, table

import fastnn as fnn
from fastnn import _fastnn_core as core

ROWS = (1, 2, 15, 16, 17, 100, 1000)


def layered(model, x, out=None):
    """Return the output as the layers make it one after the other."""
    return model._run(model._input(x), out)


def random_model(seed, dtype=np.float32):
    """Return a model of all kinds of layers that a compiled network has, and how many features it takes."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 50))
    return fnn.Sequential(*random_layers(rng, width, int(rng.integers(1, 20)), dtype, training=False)), width


def test_statistics_of_the_rows_themselves_are_taken_by_the_layer():
    model = fnn.Sequential(fnn.BatchNorm1d(3, track_running_stats=False), fnn.Linear(3, 2, rng=0))
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    assert not model._predicts(x)
    np.testing.assert_array_equal(model(x), layered(model, x))


def assert_predicts(model, x):
    """Assert that the model has a network for x, and that its output is that of the layers."""
    assert model._predicts(x)
    if x.flags.behaved:
        assert model._predictors.run(np.ascontiguousarray(model._input(x)), None) is not None
    np.testing.assert_array_equal(model(x), layered(model, x), strict=True)


@pytest.mark.parametrize("seed", range(30))
def test_a_random_network_predicts_as_layer_by_layer(seed, dtype):
    model, width = random_model(seed, dtype)
    x = np.random.default_rng(seed).standard_normal((1000, width)).astype(dtype)
    for rows in ROWS:
        assert_predicts(model, x[:rows])
    kinds = {type(part) for part in parts(model)}
    if fnn.BatchNorm1d in kinds:
        with pytest.raises(ValueError, match="BatchNorm1d"):
            model(x[0])
    elif kinds & {fnn.Ensemble, fnn.Flatten}:  # which read the axis before the features
        assert not model._predicts(x[0])
    else:
        assert_predicts(model, x[0])


@pytest.mark.parametrize("place", PLACED)
def test_every_kind_in_every_place_predicts_as_layer_by_layer(place, isa, dtype):
    layers, shape = PLACED[place]
    model = fnn.Sequential(*layers(dtype))
    x = np.random.default_rng(0).standard_normal((1000, *shape)).astype(dtype)
    for rows in ROWS:
        assert_predicts(model, x[:rows])


@pytest.mark.parametrize("source", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
@pytest.mark.parametrize("first", TABLES)
def test_tables_of_every_dtype_predict_as_layer_by_layer(first, source, dtype):
    model, x = fnn.Sequential(*TABLES[first](dtype)), table(1000, source)
    if source in ("i8", "f8") and "embedding" not in first:  # beyond what float32 tells apart
        x[:, :2] += 2**25 + 1
    computed = np.result_type(x.dtype, np.float32)
    for rows in ROWS:
        if first == "columns without parameters" and computed != dtype:
            np.testing.assert_array_equal(model(x[:rows]), layered(model, x[:rows]), strict=True)
        else:
            assert_predicts(model, x[:rows])
    if not any(isinstance(layer, fnn.Flatten) for layer in model.layers):
        np.testing.assert_array_equal(model(x[0]), layered(model, x[0]), strict=True)


@pytest.mark.parametrize("layers", [
    [fnn.Linear(4, 5, rng=0), fnn.ReLU()],
    [fnn.Linear(4, 5, rng=0), fnn.Softmax(1)],
    [fnn.Residual(fnn.Flatten(), fnn.Linear(12, 12, rng=0)), fnn.Softmax()],
    [fnn.Embedding(9, 3, rng=0)],
    [fnn.Standardize(4)],
    [fnn.Standardize((3, 4)), fnn.Flatten()],
    [fnn.Scale(4)],
    [fnn.Linear(4, 6, rng=0), fnn.Residual(fnn.Linear(6, 6, rng=1)), fnn.Flatten()],
], ids=str)  # fmt: skip
def test_outputs_of_several_axes_and_flat_ones(layers):
    model, rng = fnn.Sequential(*layers), np.random.default_rng(0)
    for rows in ROWS:
        x = rng.integers(0, 9, (rows, 12) if isinstance(layers[0], fnn.Residual) else (rows, 3, 4)).astype(np.float32)
        assert_predicts(model, x)
        out = np.empty_like(model(x))
        assert model(x, out=out) is out
        np.testing.assert_array_equal(out, layered(model, x))


def test_out_is_untouched_where_a_row_is_refused():
    model, x = fnn.Sequential(*TABLES["columns"](np.float32)), table(1000, "f4")
    assert_predicts(model, x)
    out = np.zeros((1000, 3), np.float32)
    model(x, out=out)
    np.testing.assert_array_equal(out, layered(model, x))
    x[999, 4] = 9
    out[...] = 7
    with pytest.raises(IndexError, match="row 999, column 4"):
        model(x, out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("rows", ROWS)
def test_every_isa_predicts_as_layer_by_layer(rows, isa, dtype):
    model = fnn.MLP([33, 50, 600, 7], "gelu", seed=0, dtype=dtype)
    assert_predicts(model, np.random.default_rng(0).standard_normal((rows, 33)).astype(dtype))


@pytest.mark.parametrize("seed", range(5))
def test_a_row_does_not_depend_on_the_others(seed):
    model, width = random_model(seed)
    x = np.random.default_rng(seed).standard_normal((100, width)).astype(np.float32)
    y = model(x)
    for first, last in ((0, 1), (3, 5), (7, 30), (90, 100)):
        np.testing.assert_array_equal(model(x[first:last]), y[first:last])
    if not any(isinstance(part, (fnn.BatchNorm1d, fnn.Flatten)) for part in parts(model)):
        np.testing.assert_array_equal(model(x[5]), y[5])


@pytest.mark.parametrize("rows", [1, 15, 100])
def test_inputs_of_every_layout_and_dtype_predict_as_layer_by_layer(rows):
    rng = np.random.default_rng(0)
    model = fnn.MLP([9, 20, 3], seed=0)
    for _, x in layouts(rng.standard_normal((rows, 9)).astype(np.float32)):
        assert_predicts(model, x)
        np.testing.assert_array_equal(model(x[::-1]), layered(model, x[::-1]))
    for source in ("f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "f2", ">f4"):
        assert_predicts(model, (rng.random((rows, 9)) * 5).astype(source))
    np.testing.assert_array_equal(model([[1.0] * 9]), layered(model, [[1.0] * 9]))


def test_images_are_flattened():
    model = fnn.Sequential(fnn.Flatten(), fnn.Linear(12, 3, rng=0), fnn.ReLU())
    x = np.random.default_rng(0).standard_normal((50, 3, 4)).astype(np.float32)
    for part in (x, x[:2], x[:, ::-1], x.transpose(0, 2, 1).copy().transpose(0, 2, 1)):
        assert_predicts(model, part)


@pytest.mark.parametrize("rows", [1, 100])
def test_out_is_written_and_returned(rows):
    model, x = fnn.MLP([6, 20, 6], seed=0), np.random.default_rng(0).standard_normal((rows, 6)).astype(np.float32)
    expected = model(x)
    wide = np.zeros((rows, 12), np.float32)
    for out in (np.zeros((rows, 6), np.float32), np.zeros((rows, 6), np.float32, "F"), wide[:, ::2], x.copy()):
        source = out if out.flags.c_contiguous else x
        source[...] = x
        assert model(source, out=out) is out
        np.testing.assert_array_equal(out, expected)
    memory = np.zeros((rows + 1) * 6, np.float32)
    source, out = memory[6:].reshape(rows, 6), memory[:-6].reshape(rows, 6)
    source[...] = x
    np.testing.assert_array_equal(model(source, out=out), expected)
    row = np.zeros(6, np.float32)
    assert model(x[0], out=row) is row
    np.testing.assert_array_equal(row, expected[0])


class Subclass(np.ndarray):
    """An array of a class of one's own, as np.memmap is one."""


@pytest.mark.parametrize("kind", [np.ndarray, Subclass])
@pytest.mark.parametrize("shift", [0, 1, 5, -3])
def test_out_may_share_memory_with_x(kind, shift, dtype):
    model, rows = fnn.Sequential(fnn.Linear(600, 600, rng=0, dtype=dtype)), 100
    memory = np.random.default_rng(0).standard_normal((rows + 10, 600)).astype(dtype)
    source, out = memory[5:-5], memory[5 + shift : 5 + shift + rows].view(kind)
    expected = model(source.copy())
    assert model(source, out=out) is out
    np.testing.assert_array_equal(out.view(np.ndarray), expected)


def test_what_is_refused_is_refused_as_layer_by_layer():
    model, x = fnn.MLP([6, 20, 3], seed=0), np.ones((20, 6), np.float32)
    model(x)
    read_only = np.zeros((20, 3), np.float32)
    read_only.flags.writeable = False
    for bad, out in (
        (x[:, :5], None),
        (x[0, :5], None),
        (np.float32(1), None),
        (x.astype(complex), None),
        ([["a"] * 6], None),
        (x, np.zeros((20, 4), np.float32)),
        (x, np.zeros((19, 3), np.float32)),
        (x, np.zeros((20, 3))),
        (x, [[0.0] * 3] * 20),
        (x, read_only),
        (x, np.broadcast_to(np.zeros(3, np.float32), (20, 3))),
        (x, np.lib.stride_tricks.as_strided(np.zeros(3, np.float32), (20, 3), (0, 4))),
        (x[0], np.zeros((1, 3), np.float32)),
    ):
        with pytest.raises((TypeError, ValueError)) as expected:
            layered(model, bad, out)
        with pytest.raises(type(expected.value)) as caught:
            model(bad, out=out)
        assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("shape", [(4, 0, 3), (2, 0, 0, 3), (4, 3, 0), (0, 2, 3)])
@pytest.mark.parametrize(
    "layers",
    [
        (fnn.Softmax(axis=1),),
        (fnn.LogSoftmax(axis=-2),),
        (fnn.Standardize(3), fnn.LogSoftmax(axis=1)),
        (fnn.Linear(3, 3), fnn.Softmax(axis=1), fnn.LayerNorm(3)),
        (fnn.Periodic(3, 2), fnn.Softmax(axis=1)),
        (fnn.Standardize(3), fnn.Maxout(3, 3, 2)),
    ],
    ids=repr,
)
def test_an_axis_without_elements_is_no_error(layers, shape):
    model, x = fnn.Sequential(*layers), np.zeros(shape, np.float32)
    if shape[-1] == 0 and type(layers[0]).__name__ not in ("Softmax", "LogSoftmax"):
        with pytest.raises(ValueError, match="features"):
            model(x)
        return
    y = model(x)
    np.testing.assert_array_equal(y, layered(model, x), strict=True)
    dx = model.vjp(x)[1](np.zeros_like(y))
    assert dx.shape == shape
    assert y.size == 0


def test_shapes_alternate():
    model = fnn.Sequential(fnn.Flatten(), fnn.Linear(12, 3, rng=0))
    rng = np.random.default_rng(0)
    for shape in ((5, 12), (5, 3, 4), (12,), (40, 2, 6), (5, 12), (0, 12), (7, 13)):
        x = rng.standard_normal(shape).astype(np.float32)
        if shape in ((12,), (7, 13)):
            with pytest.raises(ValueError, match=r"Flatten|features"):
                model(x)
        else:
            np.testing.assert_array_equal(model(x), layered(model, x), strict=True)


def test_what_has_no_row_predicts_layer_by_layer():
    class Own(fnn.layers.Layer):
        def __call__(self, x, out=None):
            return 2 * x

        def vjp(self, x, step=0, train=True):
            return 2 * x, lambda dy, need_dx=True: 2 * dy

    x = np.ones((20, 2), np.float32)
    for model in (
        fnn.Sequential(fnn.Linear(2, 2, rng=0), Own()),
        fnn.Sequential(),
        fnn.Sequential(fnn.ReLU()),
        fnn.Sequential(fnn.Linear(2, 2, rng=0), fnn.BatchNorm1d(2)),
        fnn.Sequential(fnn.Standardize(2), fnn.Linear(2, 2, rng=0)),
    ):
        np.testing.assert_array_equal(model(x), layered(model, x), strict=True)


def test_parameters_that_change_are_seen():
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    model, other = fnn.MLP([6, 20, 3], seed=0), fnn.MLP([6, 20, 3], seed=1)
    before = model(x)
    model.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(model(x), other(x))
    fnn.Trainer(model, "cross_entropy", "sgd", seed=0).step(x, np.zeros(20, np.int64))
    assert not np.array_equal(model(x), other(x))
    assert not np.array_equal(model(x), before)


def test_copies_predict_with_parameters_of_their_own():
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    model = fnn.MLP([6, 20, 3], seed=0)
    expected = model(x)
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)
    double = model.astype(np.float64)
    assert double(x).dtype == np.float64
    np.testing.assert_array_equal(double(x), layered(double, x))
    for twin in copies:
        np.testing.assert_array_equal(twin(x), expected)
    model.load_state_dict({name: 0 * value for name, value in model.state_dict().items()})
    for twin in copies[:2]:
        np.testing.assert_array_equal(twin(x), expected)
    assert not model(x).any()


def test_dropout_rests():
    model = fnn.MLP([6, 20, 3], dropout=0.5, seed=0)
    assert_predicts(model, np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32))


@pytest.mark.parametrize("model", [
    fnn.MLP([33, 50, 7], "gelu", seed=0),
    fnn.Sequential(fnn.Ensemble(5, *fnn.MLP([33, 50, 7], seed=0).layers, rng=0)),
    fnn.Sequential(fnn.Periodic(33, 5, rng=0), fnn.Linear(10, 3, rng=0), fnn.Flatten(), fnn.Linear(99, 7, rng=1)),
], ids=["mlp", "ensemble", "periodic"])  # fmt: skip
def test_blocks_are_shared_among_threads(model):
    x = np.random.default_rng(0).standard_normal((60, 33)).astype(np.float32)
    expected = layered(model, x)
    before = core._force_threads(True)
    try:
        for threads in (2, 3, 4):
            with fnn.threads(threads):
                bound = fnn.get_num_threads()
                np.testing.assert_array_equal(model(x), expected)
                assert core._threads_of_last_job() == bound
    finally:
        core._force_threads(before)


def test_a_call_in_pieces_has_the_same_bits():
    x = np.random.default_rng(0).standard_normal((1000, 33)).astype(np.float32)
    model = fnn.MLP([33, 50, 7], "gelu", seed=0)
    expected, looks = model(x), core._looks()
    core._look_after(64 * 16)
    try:
        np.testing.assert_array_equal(model(x), expected)
    finally:
        core._look_after(0)
    assert core._looks() > looks + 10


def test_nothing_is_allocated_after_the_first_call_with_out():
    x = np.random.default_rng(0).standard_normal((1000, 33)).astype(np.float32)
    model = fnn.Sequential(fnn.Maxout(33, 50, rng=0), fnn.LayerNorm(50), fnn.Linear(50, 7, rng=0), fnn.Softmax())
    for rows in (1, 7, 1000):
        part, out = x[:rows], np.empty((rows, 7), np.float32)
        with fnn.threads(1):
            model(part, out=out)
            grown = core._times_memory_has_grown()
            for _ in range(10):
                model(part, out=out)
        assert core._times_memory_has_grown() == grown


def test_the_memory_of_a_prediction_does_not_grow_with_its_rows():
    model, x = fnn.MLP([8, 64, 2], seed=0), np.zeros((200000, 8), np.uint8)
    with fnn.threads(1):
        trainer = fnn.Trainer(model, "cross_entropy", seed=0)
        trainer.predict(x[:1000])
        grown = core._times_memory_has_grown()
        trainer.predict(x)
        assert core._times_memory_has_grown() == grown


def in_threads(work, n=4):
    """Run work(i) in n threads at once; raise what one of them raised."""
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def test_threads_that_call_one_model_at_once_get_their_own_outputs():
    rng = np.random.default_rng(0)
    model = fnn.MLP([17, 256, 256, 6], seed=0)
    inputs = [rng.standard_normal((n, 17)).astype(np.float32) for n in (1, 3, 40, 300)]
    expected = [layered(model, x) for x in inputs]

    def work(i):
        out = np.empty_like(expected[i])
        for _ in range(200):
            np.testing.assert_array_equal(model(inputs[i], out=out), expected[i])

    in_threads(work)


def test_predictions_while_fit_runs_are_numbers_of_the_right_shape():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 17)).astype(np.float32), rng.integers(0, 6, 2000)
    model = fnn.MLP([17, 64, 6], seed=0)
    trainer, done = fnn.Trainer(model, "cross_entropy", seed=0), threading.Event()

    def work(i):
        if i == 0:
            try:
                trainer.fit(x, y, epochs=20, verbose=False)
            finally:
                done.set()
        while not done.is_set():
            assert np.isfinite(model(x[: 10**i])).all()
            assert trainer.predict(x).shape == (2000, 6)

    in_threads(work, 3)
    np.testing.assert_array_equal(model(x), layered(model, x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_predicts():
    x = np.random.default_rng(0).standard_normal((1000, 33)).astype(np.float32)
    model = fnn.MLP([33, 50, 7], "gelu", seed=0)
    expected = model(x)
    child = os.fork()
    if child == 0:
        same = np.array_equal(model(x), expected) and np.array_equal(model(x[:1]), expected[:1])
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("loss", ["cross_entropy", "categorical_crossentropy", "mse"])
def test_trainer_predicts_and_evaluates_as_layer_by_layer(loss, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 6)).astype(np.float32), np.eye(3)[rng.integers(0, 3, 300)]
    layers = (fnn.Linear(6, 20, rng=0), fnn.Tanh(), fnn.Linear(20, 3, rng=1))
    model = fnn.Sequential(*layers, *(fnn.Softmax(),) * (loss == "categorical_crossentropy"))
    trainer = fnn.Trainer(model, loss, seed=0, ema=0.9)
    trainer.fit(x, y, verbose=False)
    averages = copy.deepcopy(model)
    averages.load_state_dict(trainer.ema_state_dict())
    output = layered(averages, x)
    np.testing.assert_array_equal(trainer.predict(x, batch_size=64), output)
    found = trainer.evaluate(x, y)
    monkeypatch.setattr(fnn.Sequential, "_predicts", lambda model, x: False)
    other = fnn.Trainer(averages, loss, seed=0)
    assert found == other.evaluate(x, y)
