"""What the gates take and refuse, argument by argument."""

import math
from functools import partial

import alias
import numpy as np
import pytest
from calls import FUNCTIONS, calls
from support import OnlyDlpack, layouts, refused

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R


def test_real_array_reads_whatever_the_functions_read(dtype):
    x = np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3)
    assert core.real_array(x, "f", "x") is x
    for given in (x.tolist(), OnlyDlpack(x), np.asfortranarray(x), x > 0, np.arange(6, dtype=np.int8)):
        np.testing.assert_array_equal(core.real_array(given, "f", "x"), np.asarray(getattr(given, "_x", given)))
    for given in ("1.5", ["1.5"], [1j], [object()], np.zeros(2, np.longdouble)):
        with pytest.raises(TypeError, match=r"^f: x has dtype .* but a real dtype of at most float64 was expected$"):
            core.real_array(given, "f", "x")
    refused(
        lambda: core.real_array(None, "f", "x"), TypeError, "f: x is None but an array of real numbers was expected"
    )


def test_a_result_of_more_dimensions_than_numpy_has_is_refused():
    grad, index = np.ones([1] * 64), np.zeros([1] * 64, np.int64)
    refused(
        lambda: F.maxout_backward(grad, index, 2),
        ValueError,
        "maxout_backward: grad has 64 dimensions but at most 63 were expected",
    )
    assert F.maxout_backward(grad[0], index[0], 2).shape == (1,) * 63 + (2,)
    assert F.linear(grad, np.ones((3, 1))).shape == (1,) * 63 + (3,)
    assert F.matmul(grad, np.ones(1)).shape == (1,) * 63
    assert [g.shape for g in F.linear_backward(grad, grad, np.ones((1, 1)))] == [(1,) * 64, (1, 1), (1,)]


@pytest.mark.parametrize(
    "make", [partial(fnn.Periodic, 1, 2), partial(fnn.PiecewiseLinear, 1, 2), partial(fnn.Embedding, 1, 2)]
)
def test_a_layer_whose_output_has_more_dimensions_than_numpy_has_refuses_them(make):
    layer, x = make(), np.zeros([1] * 64)
    message = f"{type(layer).__name__}: x has 64 dimensions but at most 63 were expected"
    for model in (layer, fnn.Sequential(layer)):
        assert model(x[0]).shape[:-1] == (1,) * 63
        refused(lambda: model(x), ValueError, message)  # noqa: B023
        refused(lambda: model.vjp(x), ValueError, message)  # noqa: B023


@pytest.mark.parametrize("steps", [(2**57, 1), (1, 2**57), (-(2**57), -(2**57)), (2**40, 2**57)])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 40, 30), (40, 1, 30), (40, 40, 1), (1, 1, 30), (1, 40, 1), (20, 20, 1)])
def test_an_axis_of_one_element_may_have_any_stride(m, n, k, steps, isa, dtype):
    """Kernels form addresses a few steps ahead, which must not overflow: that shows under UndefinedBehaviorSanitizer."""

    def far(*shape):
        x = np.arange(math.prod(shape), dtype=dtype).reshape(shape) % 7
        strides = [
            step * x.itemsize if length == 1 else stride
            for stride, length, step in zip(x.strides, shape, steps, strict=True)
        ]
        return np.lib.stride_tricks.as_strided(x, shape, strides)

    a, b, weight = far(m, k), far(k, n), far(n, k)
    np.testing.assert_array_equal(F.matmul(a, b), a.copy() @ b.copy())
    np.testing.assert_array_equal(F.linear(a, weight), a.copy() @ weight.T.copy())
    dx, dweight, _ = F.linear_backward(far(m, n), a, weight)
    np.testing.assert_array_equal(dx, far(m, n).copy() @ weight.copy())
    np.testing.assert_array_equal(dweight, far(m, n).T.copy() @ a.copy())
    param, grad = far(m, n).copy(), far(m, n)
    want = param - 0.5 * grad
    given = np.lib.stride_tricks.as_strided(param, param.shape, grad.strides)
    F.sgd_update(given, grad, lr=0.5)
    np.testing.assert_array_equal(given, want)
    model = fnn.Sequential(fnn.Linear(k, n, dtype=dtype))
    np.testing.assert_array_equal(model(a), model(a.copy()))


def test_indices_beyond_int64_do_not_wrap():
    index = np.array([[0, 1], [2**64 - 1, 0]], np.uint64)
    refused(
        lambda: F.maxout_backward(np.ones((2, 2)), index, 2),
        IndexError,
        "maxout_backward: index has 18446744073709551615 but a piece in [0, 2) was expected",
    )


def test_bool_is_no_integer():
    refused(lambda: F.softmax(np.ones((2, 2)), True), TypeError, "softmax: axis is True but an integer was expected")
    refused(
        lambda: F.dropout(np.ones(2), 0.5, seed=False), TypeError, "dropout: seed is False but an integer was expected"
    )


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3)])
def test_an_output_whose_elements_share_memory_is_refused(shape, dtype):
    x = np.ones(shape, dtype)
    base = np.zeros(100, dtype)
    step = base.itemsize
    for strides in ([0] * len(shape), [step] * len(shape), [step * 2, step, step][-len(shape) :]):
        out = np.lib.stride_tricks.as_strided(base, shape, strides)
        if strides == [step]:
            F.relu(x, out=out)  # contiguous after all
            continue
        refused(
            partial(F.relu, x, out=out),
            ValueError,
            "relu: elements of out share memory with each other, but out is written",
        )
    assert not base[3:].any()
    odd = np.lib.stride_tricks.as_strided(base, (2, 3), (3 * step, 2 * step))  # 0 2 4 and 3 5 7: interlaced, yet apart
    assert F.relu(np.ones((2, 3), dtype), out=odd) is odd
    np.testing.assert_array_equal(odd, 1)


# ------------------------------------------------------------------------------------------- every argument of every call

TABLE = calls(np.float32, np.random.default_rng(0))
ARGUMENTS = [pytest.param(i, arg, id=f"{call.id}:{arg}") for i, call in enumerate(TABLE) for arg in call.arrays]
OUTPUTS = [pytest.param(i, id=call.id) for i, call in enumerate(TABLE) if call.takes_out]


def table(dtype):
    return calls(dtype, np.random.default_rng(0))


class OnlyArray:
    """An array that can be read through __array__ alone."""

    def __init__(self, x):
        self._x = x

    def __array__(self, dtype=None, copy=None):
        return self._x


def readable(a):
    """Yield (name, given, values): what an input may be, and a contiguous array of the values that must be read from it."""
    for name, view in layouts(a):
        yield name, view, a
    yield "rows reversed", a[::-1].copy()[::-1], a
    yield "__array__", OnlyArray(a), a
    yield "__dlpack__", OnlyDlpack(a), a
    views = {"list": a.tolist(), "one row for all": np.broadcast_to(a[:1], a.shape),
             "one column for all": np.broadcast_to(a[..., :1], a.shape)}  # fmt: skip
    others = [np.int8, np.uint8, np.int32, np.uint64] if a.dtype.kind == "i" else [np.float16, np.float32, np.float64]
    for other in others:
        swapped = np.dtype(other).newbyteorder()
        views |= {other.__name__: a.astype(other), f"fortran {other.__name__}": np.asfortranarray(a.astype(other)),
                  f"byteswapped reversed {other.__name__}": a.astype(swapped)[::-1]}  # fmt: skip
    for name, view in views.items():
        yield name, view, np.array(view, order="C")


def integers(a):
    """Yield (name, given, values) of arrays of integers, for an argument of floats."""
    for kind in (np.int8, np.uint16, np.int32, np.int64, bool):
        small = np.rint(a * 2).astype(kind)
        yield kind.__name__, small, small
        yield f"fortran {kind.__name__}", np.asfortranarray(small), small


def writable(a):
    """Yield (name, array) equal to `a`, in every layout a call must be able to write."""
    yield from ((name, view) for name, view in layouts(a) if name != "read-only")
    yield "rows reversed", a[::-1].copy()[::-1]


def assert_same(got, want, name):
    """Bit by bit; the byte order of an array that was written in place aside."""
    for g, w in zip(got, want, strict=True):
        g = g.astype(g.dtype.newbyteorder("="))
        assert g.dtype == w.dtype, name
        assert g.shape == w.shape, name
        assert g.tobytes() == w.tobytes(), name


def test_the_table_calls_every_function():
    assert {call.function for call in TABLE} == set(FUNCTIONS) - {"activations"}


@pytest.mark.parametrize(("i", "arg"), ARGUMENTS)
def test_every_argument_is_read_in_every_layout(i, arg, dtype):
    call = table(dtype)[i]
    a = call.arrays[arg]
    if arg in call.in_place:
        want = call.run(call.copies())
        for name, view in writable(a):
            assert_same(call.run({**call.copies(), arg: view}), want, name)
        return
    given = list(readable(a))
    soft_targets = "target" in call.arrays and call.function.startswith("cross_entropy")  # integers would be labels
    if a.dtype == dtype and not (arg == "target" and soft_targets) and call.numbers == "any":
        given += integers(a)
    for name, view, values in given:
        if a.dtype == dtype:
            values = values.astype(np.result_type(values, np.float32))
        want = call.run({**call.copies(), arg: values})
        assert_same(call.run({**call.copies(), arg: view}), want, name)


@pytest.mark.parametrize("i", OUTPUTS)
def test_every_output_is_written_in_every_layout(i, dtype):
    call = table(dtype)[i]
    want = call.run()
    position = next(k for k, result in enumerate(want) if result.ndim)  # a loss comes before its gradient
    position = 1 if "with_grad" in call.function else position
    for name, out in writable(want[position]):
        out[...] = 7
        got = call.run(out=out)
        assert got[position] is out, name
        assert_same(got, want, name)
    still = np.full_like(want[position], 7)
    still.flags.writeable = False
    refused(lambda: call.run(out=still), ValueError, f"{call.function}: out is read-only")
    small = np.full((*still.shape, 1), 7, dtype)
    refused(
        lambda: call.run(out=small),
        ValueError,
        f"{call.function}: out has shape {small.shape} but {still.shape} was expected",
    )
    other = np.full(still.shape, 7, np.float64 if dtype is np.float32 else np.float32)
    refused(
        lambda: call.run(out=other),
        TypeError,
        f"{call.function}: out has dtype {other.dtype} but {still.dtype} was expected",
    )
    assert (still == 7).all()
    assert (small == 7).all()
    assert (other == 7).all()


def unreadable(a):
    """Yield (what the message must name, argument) that are no arrays of real numbers."""
    yield "complex128", a.astype(complex)
    yield "complex128", (a + 1j).tolist()
    yield "<U", a.astype(str)
    yield "<U", np.full(a.shape, "a").tolist()
    yield "|S", a.astype(bytes)
    yield "object", a.astype(object)
    yield "timedelta64", np.zeros(a.shape, "m8[s]")
    yield "generator", (row for row in a)
    yield "map", map(float, a.ravel())
    yield "set", set(a.ravel().tolist())
    yield "dict", {"a": a}
    yield "Matrix", Matrix()
    if np.dtype(np.longdouble).itemsize > 8:
        yield str(np.dtype(np.longdouble)), a.astype(np.longdouble)


class Matrix:
    """As NumPy sees a sparse matrix: an object of its own, neither array nor sequence."""

    shape = (4, 3)


@pytest.mark.parametrize(("i", "arg"), ARGUMENTS)
def test_no_argument_takes_what_is_no_array_of_real_numbers(i, arg, dtype):
    call = table(dtype)[i]
    kept = call.copies()
    out = {}
    if call.takes_out:
        results = call.run(call.copies())
        out = {"out": np.full_like(results["with_grad" in call.function], 7)}
    for what, given in unreadable(call.arrays[arg]):
        with pytest.raises(TypeError) as caught:
            call.run({**call.arrays, arg: given}, **out)
        message = str(caught.value)
        assert message.startswith(f"{call.function}: {arg} "), message
        assert what in message or f" {type(given).__name__} " in message, message
    if not call.optional(arg) and call.function != "activations":
        with pytest.raises(TypeError, match=f"^{call.function}: "):
            call.run({**call.arrays, arg: None}, **out)
    for name, a in call.arrays.items():
        np.testing.assert_array_equal(a, kept[name], err_msg=name)
    assert all((a == 7).all() for a in out.values())


X = np.ones((4, 3))


@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("maxout", (X,), ["return_index"]),
        ("linear", (X, X), ["return_preactivation"]),
        ("linear_backward", (np.ones((4, 4)), X, X), ["need_dx"]),
        ("batch_norm", (X, np.zeros(3), np.ones(3)), ["training", "return_statistics"]),
        ("batch_norm_backward", (X, X, np.zeros(3), np.ones(3)), ["training"]),
    ],
)
def test_switches_take_true_or_false_alone(name, arrays, options):
    function = getattr(F, name)
    for option in options:
        for wrong in ("no", None, 2, [True]):
            message = f"{name}: {option} is {wrong!r} but True or False was expected"
            refused(lambda option=option, wrong=wrong: function(*arrays, **{option: wrong}), TypeError, message)
        for given, meant in ((np.True_, True), (1, True), (0, False)):
            got, want = (function(*arrays, **{option: value}) for value in (given, meant))
            assert type(got) is type(want)
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a, b)


def test_sparse_matrices_are_named():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.csr_matrix(np.eye(3))
    refused(lambda: F.relu(x), TypeError, "relu: x is csr_matrix but an array of real numbers was expected")


def test_tensors_that_numpy_cannot_read_are_named():
    class Bfloat16:  # as those of PyTorch
        def __array__(self, dtype=None, copy=None):
            raise TypeError("Got unsupported ScalarType BFloat16")

    message = "x cannot be read as an array: Got unsupported ScalarType BFloat16"
    refused(lambda: F.relu(Bfloat16()), TypeError, f"relu: {message}")
    run = fnn.Trainer(fnn.MLP([3, 2], seed=0), seed=0)
    refused(lambda: run.fit(Bfloat16(), [0]), TypeError, f"fit: {message}")
    refused(lambda: run.predict(Bfloat16()), TypeError, f"predict: {message}")


def same_in_the_reference(name, *arrays, **options):
    got, want = (getattr(room, name)(*arrays, **options) for room in (F, R))
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want)), strict=True):
        assert np.shape(a) == np.shape(b), name
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", F.activations())
@pytest.mark.parametrize("x", [1.5, -1.5, np.float32(0.5), np.array(-0.5), 2, True])
def test_the_reference_takes_numbers_too(name, x):
    same_in_the_reference(name, x)
    same_in_the_reference(f"{name}_backward", 1.0, x=x)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("row", core.LOSSES.values(), ids=lambda row: row.info.name)
def test_the_reference_takes_numbers_and_nothing_in_losses_too(row, reduction):
    info = row.info
    if info.labels:
        cases = [(np.array([0.5, 0.2]), 1), (np.zeros((0, 2)), np.zeros(0, int))]
        cases += [(np.zeros((0, 0)), np.zeros(0, int))] if info.probabilities else []
    elif info.shared:
        cases = [(np.zeros((0, 3)), np.zeros(0))]
    else:
        cases = [
            (0.5, 1.0),
            (np.zeros(0), np.zeros(0)),
            (np.zeros((0, 3)), np.zeros((0, 3))),
            (np.zeros((3, 0)), np.zeros((3, 0))),
        ]
        cases = [(*case, case[1]) for case in cases] if info.pair else cases
    for case in cases:
        same_in_the_reference(f"{info.function}_with_grad", *case, reduction=reduction)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_reference_takes_rows_of_nothing_too(name):
    for shape in ((0,), (0, 3), (3, 0)):
        same_in_the_reference(name, np.zeros(shape))
        same_in_the_reference(f"{name}_backward", np.zeros(shape), np.zeros(shape))


def test_lists_and_numbers_have_one_dtype_in_functional_and_reference():
    for x in ([1.0, -2.0], [1, -2], 3, -3.0, np.float16([1, -2]), np.float32(-4)):
        got, want = F.leaky_relu(x), R.leaky_relu(x)
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert got.dtype == want.dtype, x
    np.testing.assert_array_equal(R.matmul([[1, 2]], [[3], [4]]), F.matmul([[1, 2]], [[3], [4]]))


def test_linear_onto_its_own_bias(dtype, isa):
    """The one row of the result lies on the bias, apart from x and weight; the sums must not be added to themselves."""
    rng = np.random.default_rng(0)
    for outputs in (1, 5, 16, 40):
        x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in [(1, 7), (outputs, 7), outputs])
        want = F.linear(x, weight, bias, activation="tanh")
        got = F.linear(x, weight, bias, activation="tanh", out=bias.reshape(1, outputs))
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(bias, want[0])


def test_arrays_that_overlap(capsys):
    assert alias.main(8000) == 0, capsys.readouterr().out


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_arrays_updated_in_place_stand_apart(shift, dtype):
    base = np.linspace(0.1, 0.9, 40, dtype=dtype)
    call = next(call for call in table(dtype) if call.function == "adam_update")
    for a, b in [("param", "grad"), ("param", "exp_avg"), ("grad", "exp_avg_sq"), ("exp_avg", "exp_avg_sq")]:
        arrays = call.copies() | {a: base[:12].reshape(4, 3), b: base[shift : shift + 12].reshape(4, 3)}
        kept = [array.copy() for array in arrays.values()]
        message = f"adam_update: {a} and {b} share memory, but arrays that are updated in place must stand apart"
        refused(partial(call.run, arrays), ValueError, message)
        for array, before in zip(arrays.values(), kept, strict=True):
            np.testing.assert_array_equal(array, before)
    arrays = call.copies() | {"param": base[0:24:2].reshape(4, 3), "exp_avg": base[1:25:2].reshape(4, 3)}  # interlaced
    want = call.run({name: a.copy() for name, a in arrays.items()})
    assert_same(call.run(arrays), want, "interlaced")


def unwritable(a):
    """Yield (given, error, what is wrong) of what is no array of floats that a call could update in place."""
    yield a.tolist(), TypeError, "is list but an ndarray was expected: it is updated in place"
    yield a.astype(np.int64), TypeError, "has dtype int64 but float32 or float64 was expected"
    yield a.astype(np.float16), TypeError, "has dtype float16 but float32 or float64 was expected"
    still = a.copy()
    still.flags.writeable = False
    yield still, ValueError, "is read-only but is updated in place"
    item = a.itemsize
    row = item * a.shape[-1]
    for strides in (
        ((item, item), (0, item), (row // 2, item), (row, item // 2)) if a.ndim == 2 else ((0,), (item // 2,))
    ):
        shared = np.lib.stride_tricks.as_strided(np.ones(a.size + 8, a.dtype), a.shape, strides)
        yield shared, ValueError, "share memory with each other, but {} is written"


@pytest.mark.parametrize(("i", "arg"), [(i, arg) for i, call in enumerate(TABLE) for arg in call.in_place])
def test_what_cannot_be_updated_in_place_is_refused(i, arg, dtype):
    call = table(dtype)[i]
    for given, error, what in unwritable(call.arrays[arg]):
        arrays = {**call.copies(), arg: given}
        before = np.array(given)
        message = (
            f"{call.function}: elements of {arg} {what.format(arg)}"
            if "{}" in what
            else f"{call.function}: {arg} {what}"
        )
        refused(partial(call.run, arrays), error, message)
        np.testing.assert_array_equal(given, before)
        for name, a in call.arrays.items():
            if name != arg:
                np.testing.assert_array_equal(arrays[name], a, err_msg=name)


def test_arrays_whose_elements_interlace_are_updated_in_place(dtype):
    """Strides may be smaller than what the finer axis spans while no two elements meet; one element may lie anywhere."""
    item = np.dtype(dtype).itemsize
    for shape, strides in (((3, 2), (2, 3)), ((1, 2), (0, 2)), ((2, 1), (3, 0)), ((0, 3), (0, 0))):
        base = np.linspace(0.1, 0.9, 16, dtype=dtype)
        param = np.lib.stride_tricks.as_strided(base, shape, [s * item for s in strides])
        want = param - dtype(0.5)
        F.sgd_update(param, np.ones(shape, dtype), lr=0.5)
        np.testing.assert_array_equal(param, want)


def test_a_number_is_an_array_of_one_feature(dtype, isa):
    x, weight = np.array(-2, dtype), np.array([0.5], dtype)
    for room in (F, R):
        assert (room.prelu(x, weight), np.shape(room.prelu(x, weight))) == (-1, ())
        dx, dweight = room.prelu_backward(np.array(3, dtype), x, weight)
        assert (dx, np.shape(dx), dweight.tolist()) == (1.5, (), [-6.0])
    assert F.mse_loss(dtype(3), dtype(1)) == 4
