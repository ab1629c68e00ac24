"""Matrix products: bits against a plain C loop, exact integers, layouts, epilogues, gradients, gates."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROWS, layouts, refused

from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

SHAPES = [(1, 1, 1), (1, 8, 5), (2, 16, 3), (5, 7, 9), (6, 16, 512), (7, 17, 513), (12, 33, 100), (13, 130, 40), (3, 257, 70),
          (64, 10, 128), (19, 129, 1030), (1, 300, 600), (40, 1, 77), (6, 128, 511), (25, 48, 1537), (1030, 5, 3), (513, 17, 4),
          (7, 300, 200), (70, 260, 130), (16, 40, 600), (3, 40, 1100), (1, 100, 1030), (11, 90, 700), (130, 530, 20), (520, 40, 530),
          (60, 2100, 18), (13, 10, 1030), (9, 6, 515), (8, 7, 70), (20, 9, 513), (40, 8, 30)]  # fmt: skip


@pytest.fixture(scope="session")
def oracle(tmp_path_factory):
    """Compile oracle.c; return matmul(a, b, isa) for contiguous arrays."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler for the oracle")
    library = tmp_path_factory.mktemp("oracle") / "oracle.so"
    source = Path(__file__).with_name("oracle.c")
    subprocess.run(
        [compiler, "-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-shared", source, "-o", library, "-lm"], check=True
    )
    loaded = ctypes.CDLL(str(library))

    def matmul(a, b, isa):
        (m, k), n = a.shape, b.shape[1]
        c = np.empty((m, n), a.dtype)
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (c, a, b)]
        fused, is_double = isa != "portable", a.dtype == np.float64
        loaded.plain_product(*pointers, *map(ctypes.c_int64, (m, n, k)), int(fused), int(is_double))
        return c

    return matmul


def normal(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_bits_of_the_plain_loop(oracle, m, n, k, dtype, isa):
    rng = np.random.default_rng(m * n + k)
    a, b = normal(rng, m, k, dtype=dtype), normal(rng, k, n, dtype=dtype)
    want = oracle(a, b, isa)
    np.testing.assert_array_equal(F.matmul(a, b), want)
    for left, right in [
        (np.asfortranarray(a), b),
        (a, np.asfortranarray(b)),
        (np.asfortranarray(a), np.asfortranarray(b)),
    ]:
        np.testing.assert_array_equal(F.matmul(left, right), want)
    np.testing.assert_array_equal(F.linear(a, np.ascontiguousarray(b.T)), want)
    np.testing.assert_array_equal(F.linear(a, b.T), want)


@pytest.mark.parametrize("shift", [0, 1, 4, 15])
@pytest.mark.parametrize("k", [1, 3, 8, 17, 70, 512, 530, 1024, 1100])
def test_few_rows_against_weights_of_any_alignment_and_distance(k, shift, dtype, isa):
    rng, n = np.random.default_rng(0), 70
    weight = rng.standard_normal(n * k + 16).astype(dtype)[shift:][: n * k].reshape(n, k)
    x = rng.standard_normal((10, k)).astype(dtype)
    want = F.matmul(x, np.ascontiguousarray(weight.T))
    for m in range(1, 11):
        for rows in (x[:m], np.repeat(x, 2, axis=1)[:m, ::2]):
            got = np.full((m, n + 1), 7, dtype)
            F.matmul(rows, weight.T, out=got[:, :n])
            np.testing.assert_array_equal(got[:, :n], want[:m])
            assert (got[:, n] == 7).all()


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_bits_of_the_backward_products(oracle, m, n, k, dtype, isa):
    rng = np.random.default_rng(m + n * k)
    x, weight, grad = normal(rng, m, k, dtype=dtype), normal(rng, n, k, dtype=dtype), normal(rng, m, n, dtype=dtype)
    dx, dweight, dbias = F.linear_backward(grad, x, weight)
    np.testing.assert_array_equal(dx, oracle(grad, weight, isa))
    np.testing.assert_array_equal(dweight, oracle(np.ascontiguousarray(grad.T), x, isa))
    np.testing.assert_array_equal(dbias, oracle(np.ones((1, m), dtype), grad, isa)[0])
    assert F.linear_backward(grad, x, weight, need_dx=False)[0] is None


@settings(max_examples=80, deadline=None)
@given(
    m=st.integers(1, 60), n=st.integers(1, 300), k=st.integers(0, 1100), turned=st.tuples(st.booleans(), st.booleans()),
    threads=st.sampled_from([1, 2, 5]), double=st.booleans(), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_bits_of_random_shapes(oracle, m, n, k, turned, threads, double, bias, seed):
    rng, dtype = np.random.default_rng(seed), np.float64 if double else np.float32
    a, b, c = normal(rng, m, k, dtype=dtype), normal(rng, k, n, dtype=dtype), normal(rng, n, dtype=dtype)
    want = oracle(a, b, core.isa()) + (c if bias else 0)
    a, b = (np.asfortranarray(x) if turn else x for x, turn in zip((a, b), turned, strict=True))
    bound, before = core.get_num_threads(), core._force_threads(True)
    try:
        core.set_num_threads(threads)
        got = F.linear(a, b.T, c) if bias else F.matmul(a, b)
    finally:
        core._force_threads(before)
        core.set_num_threads(bound)
    np.testing.assert_array_equal(got, want)
    row = seed % m
    np.testing.assert_array_equal(F.linear(a[row], b.T, c) if bias else F.matmul(a[row], b), want[row])


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(0, 30), n=st.integers(0, 150), k=st.integers(0, 40), turned=st.tuples(st.booleans(), st.booleans()),
    steps=st.tuples(*[st.sampled_from([-2, -1, 1, 3])] * 4), double=st.booleans(),
)  # fmt: skip
def test_integers_are_exact_through_any_strides(m, n, k, turned, steps, double):
    rng = np.random.default_rng(0)

    def strided(rows, columns, turn, row_step, column_step):
        base = rng.integers(-8, 9, (abs(row_step) * rows + 1, abs(column_step) * columns + 1))
        base = base.astype(np.float64 if double else np.float32)
        view = base[::row_step, ::column_step][:rows, :columns]
        return np.asfortranarray(view) if turn else view

    a, b = strided(m, k, turned[0], *steps[:2]), strided(k, n, turned[1], *steps[2:])
    np.testing.assert_array_equal(F.matmul(a, b), np.matmul(a, b))


# ------------------------------------------------------------------------------------------------------------------ panels

LAYERS = [(16, 6, 16), (1, 1, 1), (32, 64, 100), (37, 45, 70), (64, 10, 530), (600, 19, 33), (5, 600, 600), (16, 520, 1024),
          (33, 50, 17), (100, 48, 13), (1030, 3, 9), (0, 5, 7), (20, 130, 0)]  # fmt: skip


def nan_panels(features, rows, dtype, gap=0):
    """Unwritten panels [rows / 16][features][16], `gap` numbers apart."""
    return np.full((-(-rows // 16), features + gap, 16), np.nan, dtype)[:, :features]


def in_panels(rows, padding=0, gap=0):
    """Rows in panels; what pads the rows is `padding`."""
    panels = nan_panels(rows.shape[1], rows.shape[0], rows.dtype, gap)
    whole = np.full((panels.shape[0] * 16, rows.shape[1]), padding, rows.dtype)
    whole[: len(rows)] = rows
    panels[:] = whole.reshape(len(panels), 16, rows.shape[1]).swapaxes(1, 2)
    return panels


def in_rows(panels, rows):
    return panels.swapaxes(1, 2).reshape(len(panels) * 16, panels.shape[1])[:rows]


def k_major(weight, gap=0):
    """weight (in, out), its rows padded to whole panels and gaps; zeros there."""
    inputs, out = weight.shape
    whole = np.zeros((inputs, -(-out // 16) * 16 + 16 * gap), weight.dtype)
    whole[:, :out] = weight
    return whole[:, :out]


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize(("batch", "out", "inputs"), LAYERS)
def test_bits_of_the_forward_form_of_a_network(oracle, batch, out, inputs, gap, dtype, isa):
    """NumPy says where each element lies, the plain loop what it is."""
    rng = np.random.default_rng(batch + out + inputs)
    x, weight, bias = (normal(rng, *shape, dtype=dtype) for shape in [(batch, inputs), (inputs, out), (out,)])
    px, pw = in_panels(x, padding=np.nan, gap=gap), k_major(weight, gap)  # what pads the batch never counts
    plain = oracle(x, weight, isa)
    for activation in (None, "relu", "leaky_relu", "tanh"):
        z = plain + bias
        want = getattr(F, activation)(z) if activation else z
        y, kept = (nan_panels(out, batch, dtype, gap) for _ in range(2))
        core._forward_panels(y, px, pw, batch, bias, activation, kept)
        np.testing.assert_array_equal(in_rows(y, batch), want)
        if activation:
            np.testing.assert_array_equal(in_rows(kept, batch), z)
        np.testing.assert_array_equal(F.linear(x, weight.T, bias, activation=activation), want)
    np.testing.assert_array_equal(in_rows(core._forward_panels(y, px, pw, batch), batch), plain)
    assert np.isnan(y.base[:, out:]).all()  # the gaps


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize(("batch", "out", "inputs"), LAYERS)
def test_bits_of_the_backward_forms_of_a_network(oracle, batch, out, inputs, gap, dtype, isa):
    rng = np.random.default_rng(batch + out + inputs)
    x, weight, grad = (normal(rng, *shape, dtype=dtype) for shape in [(batch, inputs), (inputs, out), (batch, out)])
    dz, pw = in_panels(grad, padding=np.nan, gap=gap), k_major(weight, gap)
    plain = oracle(grad, np.ascontiguousarray(weight.T), isa)
    dx = nan_panels(inputs, batch, dtype, gap)
    np.testing.assert_array_equal(in_rows(core._dx_panels(dx, dz, pw, batch), batch), plain)
    for activation in ("relu", "gelu"):
        want = getattr(F, f"{activation}_backward")(plain, x=x)
        got = core._dx_panels(dx, dz, pw, batch, activation, in_panels(x, gap=gap))
        np.testing.assert_array_equal(in_rows(got, batch), want)
    assert np.isnan(dx.base[:, inputs:]).all()

    px = in_panels(x, padding=np.nan, gap=gap)
    turned = in_panels(grad.T, gap=gap)
    want = np.zeros((inputs, pw.base.shape[1]), dtype)
    want[:, :out] = oracle(np.ascontiguousarray(x.T), grad, isa)
    for in_scratch in (False, True):
        dweight = np.full_like(want, np.nan)[:, :out]
        core._dweight_panels(dweight, px, turned, batch, in_scratch)
        np.testing.assert_array_equal(dweight.base, want)
        first, last = inputs // 3, inputs - inputs // 4
        dweight.base[:] = np.nan
        core._dweight_panels(dweight, px, turned, batch, in_scratch, (first, last))
        np.testing.assert_array_equal(dweight.base[first:last], want[first:last])
        assert np.isnan(dweight.base[:first]).all()
        assert np.isnan(dweight.base[last:]).all()
    if batch <= 512:
        stepped, updated = weight.copy(), k_major(weight, gap)
        F.sgd_update(stepped, want[:, :out], lr=0.3)
        np.testing.assert_array_equal(core._descend_panels(updated, px, turned, batch, -0.3), stepped)
        np.testing.assert_array_equal(updated.base[:, out:], want[:, out:])
    dbias = np.full(out, np.nan, dtype)
    core._transpose_panels(nan_panels(batch, out, dtype, gap), in_panels(grad, gap=gap), batch, dbias)
    np.testing.assert_array_equal(dbias, oracle(np.ones((1, batch), dtype), grad, isa)[0])


def test_an_infinite_input_leaves_what_pads_a_gradient_zero(dtype, isa):
    x, grad = np.full((3, 20), np.inf, dtype), np.ones((3, 5), dtype)
    for in_scratch in (False, True):
        dweight = np.full((20, 48), np.nan, dtype)[:, :5]
        core._dweight_panels(dweight, in_panels(x), in_panels(grad.T), 3, in_scratch)
        assert np.isinf(dweight).all()
        np.testing.assert_array_equal(dweight.base[:, 5:], np.zeros((20, 43)))
    weight = np.zeros((20, 48), dtype)[:, :5]
    core._descend_panels(weight, in_panels(x), in_panels(grad.T), 3, -1.0)
    assert np.isneginf(weight).all()
    np.testing.assert_array_equal(weight.base[:, 5:], np.zeros((20, 43)))


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize(("batch", "features"), [(1, 1), (16, 16), (37, 70), (5, 33), (100, 130), (0, 3), (3, 0)])
def test_rows_to_panels_and_back_and_transposed(batch, features, gap, dtype, isa):
    x = normal(np.random.default_rng(batch), batch, features + gap, dtype=dtype)[:, :features]
    panels = core._to_panels(nan_panels(features, batch, dtype, gap), x)
    np.testing.assert_array_equal(panels, in_panels(x))
    rows = np.full((batch, features + gap), np.nan, dtype)[:, :features]
    np.testing.assert_array_equal(core._from_panels(rows, panels), x)
    assert np.isnan(rows.base[:, features:]).all()
    turned = core._transpose_panels(nan_panels(batch, features, dtype, gap), panels, batch)
    np.testing.assert_array_equal(turned, in_panels(x.T))
    assert np.isnan(turned.base[:, batch:]).all()


@pytest.mark.parametrize("of", [np.float32, np.float64, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64,
                                np.uint64, np.bool_])  # fmt: skip
@pytest.mark.parametrize("features", [1, 15, 16, 31, 70, 150])
def test_rows_of_any_order_and_dtype_to_panels(features, of, dtype, isa):
    rng = np.random.default_rng(features)
    if np.issubdtype(of, np.floating):
        x = (rng.standard_normal((50, features + 3)) * 1e3).astype(of)
    else:
        x = np.frombuffer(rng.bytes(50 * (features + 3) * np.dtype(of).itemsize), of).reshape(50, -1)
    x = x[:, :features]
    order, following = rng.permutation(50)[:37], rng.permutation(50)
    want = in_panels(x[order].astype(dtype))
    for then in (None, following):
        got = core._gather_panels(nan_panels(features, 37, dtype, 2), x, order, then)
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(core._gather_panels(nan_panels(features, 50, dtype), x), in_panels(x.astype(dtype)))


def test_accuracy_of_long_sums(dtype, isa):
    k = 100_000
    a, b = np.random.default_rng(0).random((2, k)).astype(dtype)
    exact = np.dot(a.astype(np.longdouble), b.astype(np.longdouble))
    assert abs(F.matmul(a, b) - exact) / exact < 30 * np.finfo(dtype).eps


def test_rows_do_not_depend_on_each_other(dtype, isa):
    rng = np.random.default_rng(0)
    x, weight, bias = normal(rng, 37, 700, dtype=dtype), normal(rng, 45, 700, dtype=dtype), normal(rng, 45, dtype=dtype)
    y = F.linear(x, weight, bias, activation="gelu")
    for rows in (slice(0, 1), slice(5, 6), slice(30, 37), slice(3, 24)):
        np.testing.assert_array_equal(F.linear(x[rows], weight, bias, activation="gelu"), y[rows])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(9, 21, 150), (1, 70, 100), (3, 70, 100), (3, 70, 10), (40, 70, 10), (40, 70, 14), (40, 70, 1)],
)
def test_fused_equals_unfused_bitwise(row, rows, inputs, outputs, dtype, isa):
    """Each way through a product has an epilogue."""
    rng = np.random.default_rng(0)
    x, weight, bias = (normal(rng, *shape, dtype=dtype) for shape in ((rows, inputs), (outputs, inputs), (outputs,)))
    params = {name: 0.5 * value for name, value in row.params.items()}
    z = F.linear(x, weight) + bias
    want = getattr(F, row.name)(z, **params)
    np.testing.assert_array_equal(F.linear(x, weight, bias, activation=row.name, **params), want)
    y, got_z = F.linear(x, weight, bias, activation=row.name, return_preactivation=True, **params)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(got_z, z)

    grad = normal(rng, rows, outputs, dtype=dtype)
    dz = getattr(F, f"{row.name}_backward")(grad, x=z, **params)
    for got, plain in zip(F.linear_backward(grad, x, weight, activation=row.name, z=z, **params),
                          F.linear_backward(dz, x, weight), strict=True):  # fmt: skip
        np.testing.assert_array_equal(got, plain)
    if row.saves == "y":
        dz = getattr(F, f"{row.name}_backward")(grad, y=y, **params)
        got = F.linear_backward(grad, x, weight, activation=row.name, y=y, z=z, **params)[1]
        np.testing.assert_array_equal(got, F.linear_backward(dz, x, weight)[1])


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fused_activation_of_every_small_shape_stays_inside_its_output(row, with_bias, dtype, isa):
    """Element (i, j) depends on row i and output j alone, so that one unfused product serves all smaller ones."""
    rng, most = np.random.default_rng(0), 33
    x, weight, bias = (normal(rng, *shape, dtype=dtype) for shape in [(most, 3), (most, 3), (most,)])
    params = {name: 0.5 * value for name, value in row.params.items()}
    unfused = getattr(F, row.name)(F.linear(x, weight, bias if with_bias else None), **params)
    guard = 16 * most
    for rows in range(1, most + 1):
        for outputs in range(1, most + 1):
            memory = np.full(2 * guard + rows * outputs, -7, dtype)
            want = memory.copy()
            want[guard:-guard] = unfused[:rows, :outputs].ravel()
            out = memory[guard:-guard].reshape(rows, outputs)
            F.linear(x[:rows], weight[:outputs], bias[:outputs] if with_bias else None, activation=row.name, out=out,
                     **params)  # fmt: skip
            assert memory.tobytes() == want.tobytes(), (rows, outputs)


def test_linear_backward_falls_back_to_z_where_y_does_not_tell(dtype):
    rng = np.random.default_rng(0)
    x, weight, grad = normal(rng, 4, 3, dtype=dtype), normal(rng, 5, 3, dtype=dtype), normal(rng, 4, 5, dtype=dtype)
    y, z = F.linear(x, weight, activation="leaky_relu", return_preactivation=True, negative_slope=-0.5)
    got = F.linear_backward(grad, x, weight, activation="leaky_relu", y=y, z=z, negative_slope=-0.5)
    want = F.linear_backward(F.leaky_relu_backward(grad, x=z, negative_slope=-0.5), x, weight)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shapes_are_those_of_numpy(dtype):
    rng = np.random.default_rng(0)
    for a, b in [((3,), (3,)), ((3,), (3, 4)), ((5, 3), (3,)), ((2, 5, 3), (3, 4)), ((2, 5, 3), (3,)), ((0, 3), (3, 4)),
                 ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((2, 1, 2, 3), (3, 2))]:  # fmt: skip
        a, b = normal(rng, *a, dtype=dtype), normal(rng, *b, dtype=dtype)
        got, want = F.matmul(a, b), np.matmul(a, b)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    y = F.linear(normal(rng, 2, 0, 3, dtype=dtype), normal(rng, 4, 3, dtype=dtype))
    assert y.shape == (2, 0, 4)
    np.testing.assert_array_equal(F.linear(np.ones((2, 0)), np.ones((3, 0)), [1, 2, 3]), [[1, 2, 3]] * 2)


def test_leading_dimensions(dtype):
    rng = np.random.default_rng(0)
    x, weight, grad = (
        normal(rng, 2, 3, 4, 5, dtype=dtype),
        normal(rng, 6, 5, dtype=dtype),
        normal(rng, 2, 3, 4, 6, dtype=dtype),
    )
    flat = F.linear(x.reshape(24, 5), weight)
    np.testing.assert_array_equal(F.linear(x, weight), flat.reshape(2, 3, 4, 6))
    dx, dweight, dbias = F.linear_backward(grad, x, weight)
    want = F.linear_backward(grad.reshape(24, 6), x.reshape(24, 5), weight)
    np.testing.assert_array_equal(dx.reshape(24, 5), want[0])
    np.testing.assert_array_equal(dweight, want[1])
    np.testing.assert_array_equal(F.linear(x[0, 0, 0], weight), flat[0])
    np.testing.assert_array_equal(F.linear(x[::-1, :, ::2], weight), F.linear(x, weight)[::-1, :, ::2])


def test_layouts(dtype):
    rng = np.random.default_rng(0)
    a, b, bias = normal(rng, 6, 8, dtype=dtype), normal(rng, 8, 8, dtype=dtype), normal(rng, 8, dtype=dtype)
    grad = normal(rng, 6, 8, dtype=dtype)
    product, y, backward = F.matmul(a, b), F.linear(a, b, bias), F.linear_backward(grad, a, b)
    for name, left in layouts(a):
        np.testing.assert_array_equal(F.matmul(left, b), product, err_msg=name)
        np.testing.assert_array_equal(F.linear(left, b, bias), y, err_msg=name)
        for got, want in zip(F.linear_backward(grad, left, b), backward, strict=True):
            np.testing.assert_array_equal(got, want, err_msg=name)
    for name, right in layouts(b):
        np.testing.assert_array_equal(F.matmul(a, right), product, err_msg=name)
        np.testing.assert_array_equal(F.linear(a, right, bias), y, err_msg=name)
    for name, given_bias in layouts(bias):
        np.testing.assert_array_equal(F.linear(a, b, given_bias), y, err_msg=name)
    for name, given_grad in layouts(grad):
        np.testing.assert_array_equal(F.linear_backward(given_grad, a, b)[1], backward[1], err_msg=name)


def test_transposed_views_are_not_copied():
    a = np.ones((4, 3), np.float32)
    before = core._copies()
    F.matmul(a.T, a)
    F.linear(a, a[::-1])
    F.linear_backward(np.ones((4, 4), np.float32), a, a)
    assert core._copies() == before
    F.matmul(a.astype(np.int8).T, a)
    assert core._copies() == before + 1


def test_out(dtype):
    rng = np.random.default_rng(0)
    a, b = normal(rng, 4, 4, dtype=dtype), normal(rng, 4, 4, dtype=dtype)
    want = F.matmul(a, b)
    for out in (np.empty((4, 4), dtype), np.empty((4, 8), dtype)[:, ::2], np.empty((4, 4), dtype).T):
        assert F.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, want)
        assert F.linear(a, b.T, out=out) is out
        np.testing.assert_array_equal(out, want)
    for target in (0, 1):
        pair = [a.copy(), b.copy()]
        F.matmul(*pair, out=pair[target])
        np.testing.assert_array_equal(pair[target], want)
    both = a.copy()
    np.testing.assert_array_equal(F.matmul(both, both.T, out=both), F.matmul(a, a.T))


def test_nan_and_infinity_reach_only_their_outputs(dtype, isa):
    a, b = np.ones((8, 9), dtype), np.ones((9, 20), dtype)
    a[2, 3], b[4, 17], b[5, 18] = np.nan, np.inf, np.nan
    c = F.matmul(a, b)
    want = np.matmul(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_array_equal(c, want)


def test_mixed_dtypes_compute_in_the_larger():
    rng = np.random.default_rng(0)
    x, weight = normal(rng, 3, 4), normal(rng, 2, 4, dtype=np.float64)
    y = F.linear(x, weight)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, F.linear(x.astype(np.float64), weight))
    assert F.linear(x, weight.astype(np.float32), np.ones(2)).dtype == np.float64
    assert F.matmul(np.ones((2, 2), np.int8), np.ones((2, 2), np.int8)).dtype == np.float32


def test_against_the_reference(dtype, isa):
    rng = np.random.default_rng(0)
    x, weight, bias = normal(rng, 7, 33, dtype=dtype), normal(rng, 12, 33, dtype=dtype), normal(rng, 12, dtype=dtype)
    grad = normal(rng, 7, 12, dtype=dtype)
    wide = [v.astype(np.float64) for v in (x, weight, bias, grad)]
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
    y, z = F.linear(x, weight, bias, activation="tanh", return_preactivation=True)
    want_y, want_z = R.linear(*wide[:3], activation="tanh", return_preactivation=True)
    np.testing.assert_allclose(y, want_y, **tolerance)
    np.testing.assert_allclose(z, want_z, **tolerance)
    out = np.empty_like(want_y)
    again, z = R.linear(*wide[:3], activation="tanh", return_preactivation=True, out=out)
    assert again is out
    np.testing.assert_array_equal(z, want_z)  # not what was made of it
    got = F.linear_backward(grad, x, weight, activation="tanh", y=y)
    for a, b in zip(got, R.linear_backward(wide[3], *wide[:2], activation="tanh", y=want_y), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


X, W = np.zeros((8, 3), np.float32), np.zeros((16, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.linear(X, W), ValueError, "linear: x has 3 features but weight expects 4 (x (8, 3), weight (16, 4))"),
        (lambda: F.linear(X, X[0]), ValueError, "linear: weight has shape (3,) but (out_features, in_features) was expected"),
        (lambda: F.linear(X, X, X[0]), ValueError, "linear: bias has shape (3,) but (8,) was expected (weight (8, 3))"),
        (lambda: F.linear(X, X, activation="rlu"), ValueError,
         f"linear: activation is 'rlu' but one of {', '.join(F.activations())} was expected"),
        (lambda: F.linear(X, X, activation=F.relu.__name__.encode()), TypeError,
         "linear: activation is b'relu' but a name was expected, such as 'relu'"),
        (lambda: F.linear(1.0, X), ValueError, "linear: x has shape () but (..., in_features) was expected"),
        (lambda: F.linear(X, X, activation="elu", slope=1), TypeError, "linear: unknown parameter 'slope' (elu takes alpha)"),
        (lambda: F.linear(X, X, out=np.zeros((8, 7))), ValueError, "linear: out has shape (8, 7) but (8, 8) was expected"),
        (lambda: F.matmul(X, W), ValueError, "matmul: a has 3 columns but b has 16 rows (a (8, 3), b (16, 4))"),
        (lambda: F.matmul(X, 1.0), ValueError, "matmul: a (8, 3) and b () need at least one dimension each"),
        (lambda: F.matmul(X, np.zeros((2, 3, 4))), ValueError,
         "matmul: b has shape (2, 3, 4) but at most two dimensions were expected"),
        (lambda: F.matmul(X, np.zeros((3, 2), complex)), TypeError,
         "matmul: b has dtype complex128 but a real dtype of at most float64 was expected"),
        (lambda: F.linear_backward(X, X, X), ValueError,
         "linear_backward: grad has shape (8, 3) but (8, 8) was expected (x (8, 3), weight (8, 3))"),
        (lambda: F.linear_backward(X @ X.T, X, X, activation="gelu"), TypeError,
         "linear_backward: gelu needs z of the forward call"),
        (lambda: F.linear_backward(X @ X.T, X, X, activation="relu"), TypeError,
         "linear_backward: relu needs z or y of the forward call"),
        (lambda: F.linear_backward(X @ X.T, X, X, activation="relu", y=X), ValueError,
         "linear_backward: grad has shape (8, 8) but y has shape (8, 3); equal shapes were expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)


def test_chains_of_multiply_adds_count_their_operations(isa):
    for dtype in (0, 1):
        steps, chains, each = 10, 12, 2  # operations of a multiply-add
        counted = core._fma_chains(steps, dtype)
        assert counted > 0
        assert counted % (steps * chains * each) == 0  # a multiple of the lanes of a vector
        assert core._fma_chains(2 * steps, dtype) == 2 * counted
