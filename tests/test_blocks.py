"""Where parameters and the slots of optimizers lie: each in a block of memory that never moves, padded with zeros."""

import copy
import math
import pickle
from functools import partial

import numpy as np
import pytest
from layer_cases import every_layer
from support import layouts

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn.layers.base import parameter_array
from fastnn.optim import OPTIMIZERS

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 6)), RNG.integers(0, 3, 20)


def block_of(array, k_major):
    """Return the whole block of an array (rows, padded row), after checking that it is one."""
    rows = array.T if k_major else array.reshape(1, -1)
    n, item = rows.shape[-1], array.itemsize
    padded = -(-n // 16) * 16
    if k_major:
        padded += 16 * (padded * item % 1024 == 0)
        assert array.strides == (item, padded * item)
    else:
        assert array.flags.c_contiguous
    address = array.__array_interface__["data"][0]
    assert address % 64 == 0
    assert array.flags.writeable
    memory = array.base
    start = address - memory.__array_interface__["data"][0]
    assert 0 <= start <= memory.nbytes - len(rows) * padded * item
    return memory[start : start + len(rows) * padded * item].view(array.dtype).reshape(len(rows), padded), n


def assert_in_block(array, k_major):
    block, n = block_of(array, k_major)
    np.testing.assert_array_equal(block[:, :n], array.T if k_major else array.reshape(1, -1))
    assert not block[:, n:].any(), "padding is 0"


def weights_of_products(layer):
    """Return the names of the parameters that x is multiplied by as a matrix."""
    if isinstance(layer, fnn.Linear):
        return {"weight"}
    names = set()
    for i, inner in enumerate(getattr(layer, "layers", ())):
        names |= {f"{i}.{name}" for name in weights_of_products(inner)}
    return names


def assert_in_blocks(layer):
    k_major = weights_of_products(layer)
    for name, array in layer.named_parameters():
        assert_in_block(array, name in k_major)


@every_layer
def test_every_parameter_lives_in_a_block_however_its_layer_was_made(make, tmp_path, dtype):
    layer = make(dtype)
    fnn.save(layer, tmp_path / "layer")
    other = np.float64 if dtype == np.float32 else np.float32
    pickled = [pickle.loads(pickle.dumps(layer, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    made = [layer, fnn.load(tmp_path / "layer"), copy.deepcopy(layer), layer.astype(other), *pickled]
    made += [copy.deepcopy(made[1]), pickled[0].astype(dtype), copy.deepcopy(layer.astype(other))]
    for one in made:
        assert_in_blocks(one)
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(one.state_dict()[name], value.astype(one.state_dict()[name].dtype))


@every_layer
def test_blocks_stay_where_they_are_and_nothing_is_shared(make, dtype):
    layer = make(dtype)
    before = {name: array.__array_interface__ for name, array in layer.named_parameters()}
    copies = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.astype(dtype)
    first = layer.state_dict()
    state = {name: value + 1 for name, value in first.items()}
    layer.load_state_dict(state)
    assert_in_blocks(layer)
    for name, array in layer.named_parameters():
        assert array.__array_interface__ == before[name]
        np.testing.assert_array_equal(array, state[name])
        for other in copies:
            np.testing.assert_array_equal(dict(other.named_parameters())[name], first[name])


def test_a_shallow_copy_shares_its_parameters():
    layer = fnn.Linear(6, 4, rng=0)
    other = copy.copy(layer)
    other.load_state_dict({"weight": np.ones((4, 6)), "bias": np.ones(4)})
    assert (layer.weight == 1).all()
    assert_in_blocks(layer)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (16, 3), (17, 3), (256, 2), (512, 2), (1008, 2), (1009, 2), (1024, 2)]
)
def test_neighbouring_rows_of_a_weight_lie_no_multiple_of_1_kib_apart(shape, dtype):
    array = parameter_array(shape, dtype, k_major=True)
    assert array.shape == shape
    assert array.dtype == dtype
    assert core.is_k_major(array)
    assert array.strides[1] % 1024
    assert array.strides[1] % (16 * array.itemsize) == 0
    array[...] = RNG.standard_normal(shape)
    assert_in_block(array, True)


def test_a_state_dict_holds_copies_in_the_order_of_pytorch(dtype):
    layer = fnn.Linear(6, 4, rng=0, dtype=dtype)
    state = layer.state_dict()
    assert all(value.flags.c_contiguous and value.flags.owndata for value in state.values())
    assert state["weight"].shape == layer.weight.shape == (4, 6)
    state["weight"][...] = 0
    assert layer.weight.all()
    assert not layer.weight.flags.writeable


@every_layer
def test_a_model_file_does_not_depend_on_where_parameters_lie(make, tmp_path, dtype):
    layer = make(dtype)
    fnn.save(layer, tmp_path / "blocks")
    for holder in {id(part): part for part in (layer, *holders(layer))}.values():
        for name, array in holder._parameters.items():
            holder._parameters[name] = None if array is None else np.array(array, order="C")
    fnn.save(layer, tmp_path / "contiguous")
    assert (tmp_path / "blocks").read_bytes() == (tmp_path / "contiguous").read_bytes()


def holders(layer):
    for inner in getattr(layer, "layers", ()):
        yield inner
        yield from holders(inner)


# ------------------------------------------------------------------------------------------------------------- training


def model(dtype, seed=0):
    """Return a model with every kind of layer that has a matrix, of sizes that are no multiple of 16."""
    return fnn.Sequential(
        fnn.Linear(6, 17, rng=seed, dtype=dtype),
        fnn.LayerNorm(17, dtype=dtype),
        fnn.PReLU(17, dtype=dtype),
        fnn.Residual(fnn.Maxout(17, 17, 3, rng=1, dtype=dtype)),
        fnn.Ensemble(
            2, fnn.Linear(17, 20, rng=2, dtype=dtype), fnn.Tanh(), fnn.Linear(20, 3, rng=3, dtype=dtype), rng=4
        ),
    )


def options_of(name):
    """Yield options of an optimizer, with each that keeps a slot."""
    decay = {"weight_decay": 0.1} if hasattr(OPTIMIZERS[name](), "weight_decay") else {}
    yield decay
    yield from {
        "sgd": [{"momentum": 0.9, "nesterov": True} | decay],
        "adam": [{"amsgrad": True} | decay],
        "adamw": [{"amsgrad": True} | decay],
        "adagrad": [{"initial_accumulator_value": 0.1, "eps": 0.0}],
        "rmsprop": [{"centered": True, "momentum": 0.5} | decay],
    }.get(name, [])


SPECIFICATIONS = [OPTIMIZERS[name](**options) for name in OPTIMIZERS for options in options_of(name)]


def assert_all_in_blocks(run):
    network = run._owned
    assert_in_blocks(run.model)
    k_major = weights_of_products(run.model)
    assert network.parameters.keys() == network.state.keys()
    for name, array in run.model.named_parameters():
        assert network.parameters[name] is array
        for slot in network.state[name].values():
            assert_in_block(slot, name in k_major)
            assert slot.strides == array.strides
    if network.averaged is not None:
        assert_in_blocks(network.averaged)


@pytest.mark.parametrize("optimizer", SPECIFICATIONS, ids=repr)
def test_training_leaves_blocks_in_place_and_their_padding_0(optimizer, dtype):
    options = {
        "l1": 0.01,
        "l2": 0.02,
        "clip_value": 0.5,
        "clip_norm": 0.3,
        "max_norm": 1.0,
        "ema": 0.9,
        "accumulate": 2,
    }
    for given in ({}, options):
        run = fnn.Trainer(model(dtype), "cross_entropy", optimizer, seed=0, **given)
        addresses = {name: array.__array_interface__ for name, array in run.model.named_parameters()}
        before = run.model.state_dict()
        for _ in range(20 * run.accumulate):
            run.step(X, Y)
        assert run.steps_done == 20
        assert_all_in_blocks(run)
        for name, array in run.model.named_parameters():
            assert array.__array_interface__ == addresses[name]
            assert np.isfinite(array).all()
            assert (array != before[name]).any(), name


class Contiguous:
    """An optimizer of fastnn as one of the user's own, which sees C-contiguous copies."""

    def __init__(self, optimizer):
        self.optimizer, self.slots = optimizer, optimizer.slots

    def update(self, param, grad, slots, step):
        arrays = [np.array(a, order="C") for a in (param, grad, *slots.values())]
        copies = dict(zip(slots, arrays[2:], strict=True))
        self.optimizer.update(arrays[0], arrays[1], copies, step)
        for array, new in zip((param, *slots.values()), (arrays[0], *copies.values()), strict=True):
            array[...] = new


@pytest.mark.parametrize("optimizer", SPECIFICATIONS, ids=repr)
def test_an_update_has_the_bits_of_one_on_contiguous_arrays(optimizer, isa, dtype):
    one, two = (fnn.Trainer(model(dtype), "cross_entropy", o, seed=0) for o in (optimizer, Contiguous(optimizer)))
    for _ in range(3):
        assert one.step(X, Y) == two.step(X, Y)
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(value, two.model.state_dict()[name])


def test_copies_of_a_trainer_train_on_blocks_of_their_own(dtype):
    options = {"optimizer": fnn.Adam(lr=0.01, amsgrad=True), "seed": 0, "ema": 0.9, "clip_norm": 0.1}
    run = fnn.Trainer(model(dtype), "cross_entropy", **options)
    run.step(X, Y)
    copies = [copy.deepcopy(run), pickle.loads(pickle.dumps(run)), copy.deepcopy(copy.deepcopy(run))]
    losses = [run.step(X, Y) for _ in range(3)]
    for other in copies:
        assert_all_in_blocks(other)
        assert [other.step(X, Y) for _ in range(3)] == losses
        assert_all_in_blocks(other)
        for name, value in run.model.state_dict().items():
            np.testing.assert_array_equal(other.model.state_dict()[name], value)


def test_the_best_weights_come_back_into_the_same_blocks(dtype):
    run = fnn.Trainer(model(dtype), "cross_entropy", fnn.SGD(lr=0.5), seed=0, ema=0.5)
    addresses = {name: array.__array_interface__ for name, array in run.model.named_parameters()}
    stop = fnn.callbacks.EarlyStopping(patience=2)
    run.fit(X, Y, epochs=12, batch_size=7, validation_data=(X, Y), callbacks=[stop], verbose=False)
    assert_all_in_blocks(run)
    assert {name: array.__array_interface__ for name, array in run.model.named_parameters()} == addresses


# ----------------------------------------------------------------------------------------------- layers of the user's own


class Plain(fnn.Layer):
    """A layer of the user's own, y = x w, whose weight (in, out) is an array of any layout."""

    def __init__(self, weight):
        super().__init__()
        self.w = self._parameters["weight"] = weight

    def __call__(self, x, out=None):
        return F.identity(x @ self.w, out=out)

    def vjp(self, x, step=0, train=True):
        def backward(dy):
            self.grads["weight"] = x.T @ dy
            return dy @ self.w.T

        return self(x), backward


@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.1, momentum=0.9), fnn.Adam(lr=0.1)], ids=repr)
@pytest.mark.parametrize(
    "options", [{}, {"clip_norm": 0.1, "l2": 0.1, "max_norm": 2.0, "ema": 0.5}], ids=["", "options"]
)
def test_a_parameter_of_ones_own_stays_the_array_it_is(optimizer, options, dtype):
    weight, want = RNG.standard_normal((6, 3)).astype(dtype), None
    for layout, array in layouts(weight):
        if layout == "read-only":
            continue
        layer = Plain(array)
        run = fnn.Trainer(layer, "cross_entropy", optimizer, seed=0, **options)
        losses = [run.step(X.astype(dtype), Y) for _ in range(4)]
        assert layer.w is layer._parameters["weight"] is array
        want = want or losses
        np.testing.assert_allclose(losses, want, rtol=1e-5, err_msg=layout)
        other = copy.deepcopy(layer)
        assert other.w is other._parameters["weight"]
        np.testing.assert_array_equal(other.w, array)


# ------------------------------------------------------------------------------------------------------------- functions


def arrays_for_an_update(shape, dtype):
    """Yield (layout, maker): arrays of numbers that lie as the layout says."""
    yield "contiguous", lambda value: value.copy()
    yield "block", lambda value: filled(parameter_array(shape, dtype, k_major=True), value)
    yield "fortran", lambda value: value.copy("F")
    yield "padded rows", lambda value: filled(np.full((shape[0], shape[1] + 5), 7, dtype)[:, :-5], value)
    yield "strided", lambda value: filled(np.full((2 * shape[0], 3 * shape[1]), 7, dtype)[::2, ::3], value)
    yield "reversed", lambda value: value[::-1, ::-1].copy()[::-1, ::-1]


def filled(array, value):
    array[...] = value
    return array


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 40), (40, 3), (33, 17)])
@pytest.mark.parametrize("look_after", [0, 16], ids=["", "in pieces"])
def test_an_update_takes_every_mixture_of_layouts(shape, look_after, isa, dtype):
    numbers = np.random.default_rng(1).standard_normal((4, *shape)).astype(dtype)
    numbers[3] = abs(numbers[3])
    update = partial(F.adam_update, step=2, lr=0.1, weight_decay=0.1)
    want = [a.copy() for a in numbers]
    update(*want)
    makers = list(arrays_for_an_update(shape, dtype))
    core._look_after(look_after)
    try:
        for i, (layout, make) in enumerate(makers):
            for others in range(len(makers)):
                arrays = [make(numbers[0])] + [makers[(i + j * others) % 6][1](numbers[j]) for j in (1, 2, 3)]
                update(*arrays)
                for got, expected in zip(arrays, want, strict=True):
                    np.testing.assert_array_equal(got, expected, err_msg=f"{layout} {others}")
    finally:
        core._look_after(0)


def test_an_update_of_blocks_copies_nothing_and_leaves_what_lies_between_rows(isa, dtype):
    shape = 20, 5
    memory = [np.full((5, 32), 7, dtype) for _ in range(4)]
    arrays = [block[:, :20].T for block in memory]
    for array in arrays:
        array[...] = RNG.random(shape)
    before = core._copies()
    F.adam_update(*arrays, step=1, lr=0.1)
    assert core._copies() == before
    for block in memory:
        assert (block[:, 20:] == 7).all()
    arrays[1] = np.ascontiguousarray(arrays[1])
    F.adam_update(*arrays, step=2, lr=0.1)
    assert core._copies() == before + 1, "a gradient that lies otherwise is turned"


@pytest.mark.parametrize("out", [1, 3, 10, 16, 33, 130])
@pytest.mark.parametrize("features", [1, 5, 40, 600])
@pytest.mark.parametrize("batch", [0, 1, 3, 20, 70])
def test_linear_has_the_same_bits_wherever_its_weight_lies(out, features, batch, isa, dtype):
    rng = np.random.default_rng(2)
    x, dy, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((batch, features), (batch, out), out))
    plain = rng.standard_normal((out, features)).astype(dtype)
    weight = filled(parameter_array((out, features), dtype, k_major=True), plain)
    before = core._copies()
    y, (dx, dweight, dbias) = F.linear(x, weight, bias, activation="relu"), F.linear_backward(dy, x, weight)
    assert core._copies() == before
    np.testing.assert_array_equal(y, F.linear(x, plain, bias, activation="relu"))
    want = F.linear_backward(dy, x, plain)
    for got, expected in zip((dx, dweight, dbias), want, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert dweight.T.flags.c_contiguous
    assert want[1].flags.c_contiguous


# ------------------------------------------------------------------------------------------------------ norm of gradients


@pytest.mark.parametrize(
    "shape", [(), (0,), (5,), (1, 1), (0, 3), (3, 0), (40, 7), (7, 40), (1, 40), (40, 1), (3, 4, 5)]
)
def test_squares_are_added_row_by_row_of_the_memory(shape, isa, dtype):
    x = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    exact = math.fsum(float(value) ** 2 for value in x.ravel())
    total = core.sum_of_squares(x, False)
    assert isinstance(total, float)
    assert total == pytest.approx(exact, rel=1e-14)
    by_row = 0.0
    for row in x.reshape(math.prod(shape[:-1]), -1 if x.size else 0) if shape else [x.reshape(1)]:
        by_row += core.sums_of_squares(row.reshape(1, -1))[0]
    assert total == by_row
    if len(shape) == 2:
        for turned in (x, x.copy("F"), filled(parameter_array(shape, dtype, k_major=True), x)):
            assert core.sum_of_squares(turned, True) == core.sum_of_squares(np.ascontiguousarray(x.T), False)


def test_the_norm_of_gradients_is_that_of_all_parameters(dtype):
    run = fnn.Trainer(model(dtype), "cross_entropy", fnn.SGD(lr=1.0), seed=0, clip_norm=1e-3)
    _, gradients = run.gradients(X, Y)
    before = run.model.state_dict()
    norm = math.sqrt(math.fsum(float(value) ** 2 for g in gradients.values() for value in g.ravel()))
    assert run._owned._norm(gradients) == pytest.approx(norm, rel=1e-14)
    contiguous = {name: np.array(g, order="C") for name, g in gradients.items()}
    assert run._owned._norm(contiguous) == run._owned._norm(gradients), "whatever the layout of a gradient"
    run.step(X, Y)
    after = run.model.state_dict()
    moved = math.sqrt(math.fsum(float(v) ** 2 for n in gradients for v in (after[n] - before[n]).ravel()))
    assert moved == pytest.approx(1e-3, rel=1e-3)
