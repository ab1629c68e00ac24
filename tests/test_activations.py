"""Every row of the table of activations, on every ISA: accuracy, special values, layouts, gates."""

import mpmath
import numpy as np
import pytest
from support import ROWS, SIZES, OnlyDlpack, central_difference, floats, layouts, other_params, refused, special, ulps

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R
from fastnn.reference.activations import _philox

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
from_y = pytest.mark.parametrize("row", [row for row in ROWS if row.saves == "y"], ids=lambda row: row.name)
wide_oracle = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")


def functions(row, module=F):
    return getattr(module, row.name), getattr(module, f"{row.name}_backward")


def samples32(row):
    """A prime stride through all floats, and the neighbourhoods of special points and of a root of a derivative."""
    centres = np.array(
        [0, 0.5, 1, 3, 6, -3, -0.75179164, -1.2784645, -1.1924312, -0.7524614, 20, -88, 88, -103, 14.5], np.float32
    )
    near = (
        (centres.view(np.int32)[:, None] + np.arange(-200, 201, dtype=np.int32))
        .astype(np.int32)
        .ravel()
        .view(np.float32)
    )
    x = np.concatenate([floats(10007), near[np.isfinite(near)]])
    return x[(x >= row.domain[0]) & (x <= row.domain[1])]


@rows
def test_float32_is_within_the_bounds_of_the_row(row, isa):
    x = samples32(row)
    wide, one = x.astype(np.longdouble), np.ones_like(x)
    (f, df), (rf, rdf) = functions(row), functions(row, R)
    with np.errstate(over="ignore"):
        assert ulps(f(x), rf(wide)) <= row.ulp
        assert ulps(df(one, x=x), rdf(np.ones_like(wide), x=wide)) <= row.ulp_backward


@wide_oracle
@rows
def test_float64_is_within_the_bounds_of_the_row(row, isa):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.standard_normal(4000) * s for s in (1e-300, 1e-8, 0.1, 1, 3, 10, 30)]
        + [np.linspace(-37, 37, 9999), np.linspace(-750, -700, 999)]
    )
    wide, one = x.astype(np.longdouble), np.ones_like(x)
    (f, df), (rf, rdf) = functions(row), functions(row, R)
    assert ulps(f(x), rf(wide)) <= row.ulp_float64
    far = np.abs(x - ROOTS.get(row.name, np.inf)) > 2**-6  # nearer even long double cancels
    assert ulps(df(one, x=x)[far], rdf(np.ones_like(wide), x=wide)[far]) <= row.ulp_backward_float64


def gate(u, xdu):
    """Derivative of x sigmoid(u) from u and x u'."""
    s = 1 / (1 + mpmath.exp(-u))
    return s + xdu * s * (1 - s)


def mish_dx(x):
    t = mpmath.tanh(mpmath.log1p(mpmath.exp(x)))
    return t + x * (1 - t * t) / (1 + mpmath.exp(-x))


def gelu_tanh_dx(x):
    c, d = 2 * mpmath.sqrt(2 / mpmath.pi), 2 * mpmath.sqrt(2 / mpmath.pi) * mpmath.mpf("0.044715")
    return gate(x * (c + d * x * x), x * (c + 3 * d * x * x))


ROOTS = {"silu": -1.2784645, "gelu": -0.7517916, "mish": -1.1924312, "gelu_tanh": -0.7524614}
DERIVATIVES = {
    "silu": lambda x: gate(x, x),
    "gelu": lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x),
    "mish": mish_dx,
    "gelu_tanh": gelu_tanh_dx,
}


@pytest.mark.parametrize("name", ROOTS)
def test_derivatives_keep_their_digits_near_their_roots(name, dtype, isa):
    row, rng = F.activations()[name], np.random.default_rng(0)
    with mpmath.workdps(60):
        root = dtype(mpmath.findroot(DERIVATIVES[name], ROOTS[name]))
        x = np.concatenate(
            [root + rng.uniform(-w, w, 60) for w in (0.6, 0.4, 1e-3, 1e-6)] + [[root, np.nextafter(root, dtype(0))]]
        )
        x = x.astype(dtype)
        for value, got in zip(x, getattr(F, f"{name}_backward")(np.ones_like(x), x=x), strict=True):
            true = DERIVATIVES[name](mpmath.mpf(float(value)))
            spacing = mpmath.mpf(float(np.spacing(abs(dtype(true)))))
            bound = row.ulp_backward if dtype is np.float32 else row.ulp_backward_float64
            assert abs(mpmath.mpf(float(got)) - true) / spacing <= bound, value


@from_y
def test_derivative_from_y_is_within_one_ulp_as_a_function_of_y(row, isa):
    f, df = functions(row)
    y = f(np.concatenate([floats(100003), np.linspace(-20, 20, 20001, dtype=np.float32)]))
    true = functions(row, R)[1](np.ones(y.shape), y=y.astype(np.float64))
    assert ulps(df(np.ones_like(y), y=y), true) <= 1


@from_y
def test_derivatives_from_x_and_from_y_agree(row, dtype, isa):
    x = np.linspace(-4, 4, 1001, dtype=dtype)
    f, df = functions(row)
    grad = np.linspace(1, 2, 1001, dtype=dtype)
    params = other_params(row)
    a, b = df(grad, x=x, **params), df(grad, y=f(x, **params), **params)
    np.testing.assert_allclose(a, b, rtol=0, atol=20 * np.finfo(dtype).eps)


@rows
def test_output_is_the_smallest_interval_of_all_values(row, dtype, isa):
    low, high = row.output
    x = np.concatenate([np.linspace(-12, 12, 240_001), special(np.float32)]).astype(dtype)
    y = getattr(F, row.name)(x)
    y = y[~np.isnan(y)].astype(np.float64)  # square and others of infinities
    slack = 4 * np.finfo(dtype).eps
    near = slack + 1e-8  # of an extremum, the grid meets no more
    assert y.min() == low or low - slack <= y.min() <= low + near
    assert y.max() == high or high - near <= y.max() <= high + slack


def test_saves_says_when_the_output_does_not_suffice(dtype):
    y = np.array([-1, 1], dtype)
    for row in ROWS:
        backward = getattr(F, f"{row.name}_backward")
        if row.saves == "x":
            with pytest.raises((TypeError, ValueError)):
                backward(y, y=y)
            continue
        backward(y, y=y)
        if row.name in ("leaky_relu", "elu"):
            with pytest.raises(ValueError, match="negative parameter"):
                backward(y, y=y, **{name: -value for name, value in row.params.items()})


def test_gains_are_those_of_pytorch():
    gains = {row.name: row.gain for row in ROWS if row.gain != 1}
    assert gains == {
        "relu": np.sqrt(2),
        "leaky_relu": np.sqrt(2 / (1 + 0.01**2)),
        "tanh": 5 / 3,
        "selu": 3 / 4,
    }
    init = pytest.importorskip("torch").nn.init
    for name in ("sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert F.activations()[name].gain == init.calculate_gain(name)
    assert F.activations()["identity"].gain == init.calculate_gain("linear")


rows_with_parameters = pytest.mark.parametrize("row", [row for row in ROWS if row.params], ids=lambda row: row.name)


@rows_with_parameters
def test_parameters_by_position_and_name(row, dtype):
    x = np.linspace(-5, 5, 999, dtype=dtype)
    f, params = functions(row)[0], other_params(row)
    np.testing.assert_array_equal(f(x, *params.values()), f(x, **params))
    assert not np.array_equal(f(x, **params), f(x)), "the parameters change something"


@wide_oracle
@rows_with_parameters
def test_other_parameters_are_as_accurate(row, dtype, isa):
    x = np.concatenate([floats(1000003).astype(dtype), np.linspace(-110, 110, 9999, dtype=dtype)])
    (f, df), (rf, rdf) = functions(row), functions(row, R)
    wide = x.astype(np.longdouble)
    sets = [{name: factor * (value or 1) for name, value in row.params.items()} for factor in (0.7, 1.9)]
    alone = [{name: value} for params in sets for name, value in params.items()]  # beside the defaults of the others
    for given in sets + alone:
        params = {name: float(np.float32(value)) for name, value in given.items()}
        with np.errstate(over="ignore"):
            assert ulps(f(x, **params), rf(wide, **params)) <= 2
            assert ulps(df(np.ones_like(x), x=x, **params), rdf(np.ones_like(wide), x=wide, **params)) <= 2


@wide_oracle
def test_negative_beta_of_softplus(dtype, isa):
    x = np.linspace(-30, 30, 61, dtype=dtype)
    wide = x.astype(np.longdouble)
    assert ulps(F.softplus(x, -1.0), R.softplus(wide, -1.0)) <= 2
    slope = F.softplus_backward(np.ones_like(x), x=x, beta=-1.0)
    assert ulps(slope, R.softplus_backward(np.ones_like(wide), x=wide, beta=-1.0)) <= 2


@rows
def test_derivative_against_central_differences(row, isa):
    x = np.array([-3.1, -1.3, -0.8, -0.2, 0.3, 0.9, 1.9, 4.2])  # no kink among them
    f, df = functions(row)
    for params in ({}, other_params(row)):
        numeric = central_difference(lambda a, p=params: float(f(a, **p).sum()), x)
        np.testing.assert_allclose(df(np.ones_like(x), x=x, **params), numeric, rtol=1e-6, atol=1e-8)


@rows
def test_special_values(row, dtype, isa):
    x = special(dtype)
    (f, df), (rf, rdf) = functions(row), functions(row, R)
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble)
        true, slope = rf(wide).astype(dtype), rdf(np.ones_like(wide), x=wide).astype(dtype)
    tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": float(np.finfo(dtype).smallest_subnormal)}
    np.testing.assert_allclose(f(x), true, **tolerance)
    np.testing.assert_allclose(df(np.ones_like(x), x=x), slope, **tolerance)


@rows
def test_nan_in_nan_out(row, dtype, isa):
    f, df = functions(row)
    x = np.zeros(21, dtype)
    x[[0, 7, 20]] = np.nan
    one = np.ones_like(x)
    np.testing.assert_array_equal(np.isnan(f(x)), np.isnan(x))
    derivatives = [df(one, x=x)] + ([df(one, y=x)] if row.saves == "y" else [])
    if row.name == "identity":  # f' is 1 and looks at nothing
        np.testing.assert_array_equal(derivatives, [one, one])
        derivatives = []
    for result in [df(x, x=one), *derivatives]:
        np.testing.assert_array_equal(np.isnan(result), np.isnan(x))


@rows
def test_zero_keeps_its_sign_where_the_function_passes_through_zero_with_a_slope(row, dtype, isa):
    f, df = functions(row)
    zeros = np.array([0.0, -0.0], dtype)
    if f(zeros)[0] == 0 and df(np.ones_like(zeros), x=zeros + np.finfo(dtype).tiny)[0] > 0.1:
        np.testing.assert_array_equal(np.signbit(f(zeros)), [False, True])


ODD = ["identity", "tanh", "softsign", "tanhshrink", "hardshrink", "softshrink", "hardtanh"]
INCREASING = [
    *ODD,
    "relu",
    "leaky_relu",
    "elu",
    "celu",
    "selu",
    "sigmoid",
    "softplus",
    "logsigmoid",
    "threshold",
    "relu6",
    "hardsigmoid",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_functions_are_odd_bit_by_bit(name, dtype, isa):
    x = samples32(F.activations()[name]).astype(dtype)
    f, df = getattr(F, name), getattr(F, f"{name}_backward")
    np.testing.assert_array_equal(f(-x), -f(x))
    np.testing.assert_array_equal(df(x, x=-x), df(x, x=x))


@pytest.mark.parametrize("name", INCREASING)
def test_increasing_functions_increase(name, isa):
    x = samples32(F.activations()[name])
    centres = np.array([-20, -7, -1, -0.06, 0.06, 0.2, 0.5, 0.6, 1, 1.8, 2.6, 4.2, 5.8, 7, 9, 9.02, 20], np.float32)
    dense = (centres.view(np.int32)[:, None] + np.arange(-3000, 3000, dtype=np.int32)).astype(np.int32).view(np.float32)
    y = getattr(F, name)(np.sort(np.concatenate([x, dense.ravel()])))
    assert (y[1:] >= y[:-1]).all()


def test_saturation_is_exact(dtype, isa):
    big = np.array([1000, np.finfo(dtype).max, np.inf], dtype)
    for name, low, high in [("sigmoid", 0, 1), ("tanh", -1, 1), ("hardsigmoid", 0, 1), ("hardtanh", -1, 1), ("relu6", 0, 6), ("elu", -1, None),
                            ("silu", 0, big), ("gelu", 0, big), ("gelu_tanh", 0, big), ("mish", 0, big), ("softplus", 0, big),
                            ("logsigmoid", -big, 0), ("hardswish", 0, big)]:  # fmt: skip
        np.testing.assert_array_equal(getattr(F, name)(-big), np.broadcast_to(low, 3), err_msg=name)
        if high is not None:
            np.testing.assert_array_equal(getattr(F, name)(big), np.broadcast_to(high, 3), err_msg=name)


@rows
def test_lengths_and_positions_do_not_matter(row, dtype, isa):
    f, df = functions(row)
    x = np.linspace(-6, 6, 150, dtype=dtype)
    y, dx = f(x), df(x, x=x)
    for n in SIZES:
        for start in (0, 1, 3, 8, 50 - min(n, 50)):
            part = x[start : start + n]
            np.testing.assert_array_equal(f(part), y[start : start + n])
            np.testing.assert_array_equal(df(part, x=part), dx[start : start + n])


@rows
def test_long_arrays_are_like_short_ones(row, dtype, isa):
    """Tiles and aligned stores: wherever the output starts."""
    f, df = functions(row)
    x, room = np.linspace(-6, 6, 4999, dtype=dtype), np.empty(5010, dtype)

    def backward(a, out=None):
        return df(a, x=a, out=out)

    for g in (f, backward):
        parts = np.concatenate([g(part) for part in np.array_split(x, 60)])
        for start in (0, 1, 5):
            out = room[start : start + x.size]
            g(x, out=out)
            np.testing.assert_array_equal(out, parts)


@rows
def test_layouts(row, dtype):
    f, df = functions(row)
    x = np.linspace(-3, 3, 35, dtype=dtype).reshape(5, 7)
    y, dx = f(x), df(x, x=x)
    for name, a in layouts(x):
        np.testing.assert_array_equal(f(a), y, err_msg=name)
        np.testing.assert_array_equal(df(a, x=a), dx, err_msg=name)
    assert f(x[0, 0]).shape == ()
    assert f(np.empty((0, 3), dtype)).shape == (0, 3)


def test_in_place_and_out(dtype, isa):
    x = np.linspace(-3, 3, 40, dtype=dtype)
    y = F.tanh(x)
    for out in (np.empty_like(x), np.empty(80, dtype)[::2]):
        assert F.tanh(x, out=out) is out
        np.testing.assert_array_equal(out, y)
    a = x.copy()
    assert F.tanh(a, out=a) is a
    np.testing.assert_array_equal(a, y)
    for keep in (0, 1):  # the gradient may land on either input
        grad, saved = x[::-1].copy(), x.copy()
        want = F.tanh_backward(grad, x=saved)
        F.tanh_backward(grad, x=saved, out=(grad, saved)[keep])
        np.testing.assert_array_equal((grad, saved)[keep], want)


@pytest.mark.parametrize("shift", [1, 3, 8])
def test_out_that_overlaps_the_input(dtype, isa, shift):
    base = np.linspace(-3, 3, 64, dtype=dtype)
    want = F.tanh(base[:-shift])
    F.tanh(base[:-shift], out=base[shift:])
    np.testing.assert_array_equal(base[shift:], want)
    base = np.linspace(-3, 3, 64, dtype=dtype)
    want = F.tanh(base[::-1].copy())
    F.tanh(base[::-1], out=base)
    np.testing.assert_array_equal(base, want)


def test_dtypes():
    for given, result in [(np.float16, np.float32), (np.int8, np.float32), (np.uint16, np.float32), (bool, np.float32),
                          (np.int32, np.float64), (np.int64, np.float64), (np.float32, np.float32)]:  # fmt: skip
        y = F.relu(np.array([0, 1], given))
        assert y.dtype == result
        np.testing.assert_array_equal(y, [0, 1])
    assert F.relu([1, 2]).dtype == np.float64
    assert F.relu_backward(np.ones(2, np.float32), x=np.ones(2)).dtype == np.float64
    for dtype in (complex, object, np.longdouble, "S1"):
        with pytest.raises(TypeError, match=r"^relu: x has dtype .* but a real dtype of at most float64 was expected$"):
            F.relu(np.zeros(2, dtype))


def test_foreign_arrays():
    x = np.linspace(-1, 1, 5, dtype=np.float32)

    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return x

    np.testing.assert_array_equal(F.relu(Foreign()), F.relu(x))
    np.testing.assert_array_equal(F.relu(OnlyDlpack(x)), F.relu(x))


def test_no_numpy_warnings_and_inputs_untouched(dtype):
    x = special(dtype)
    kept = x.copy()
    with np.errstate(all="raise"):
        for row in ROWS:
            functions(row)[0](x)
            functions(row)[1](x, x=x)
    np.testing.assert_array_equal(x, kept)


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.relu(X, out=[1]), TypeError, "relu: out is list but an ndarray was expected"),
        (lambda: F.relu(X, out=np.zeros((3, 2), np.float32)), ValueError, "relu: out has shape (3, 2) but (2, 3) was expected"),
        (lambda: F.relu(X, out=np.zeros((2, 3))), TypeError, "relu: out has dtype float64 but float32 was expected"),
        (lambda: F.relu(X, out=np.broadcast_to(X[0], (2, 3))), ValueError, "relu: out is read-only"),
        (lambda: F.relu("x"), TypeError, "relu: x has dtype <U1 but a real dtype of at most float64 was expected"),
        (lambda: F.leaky_relu(X, slope=1), TypeError, "leaky_relu: unknown parameter 'slope' (leaky_relu takes negative_slope)"),
        (lambda: F.relu(X, alpha=1), TypeError, "relu: unknown parameter 'alpha' (relu takes none)"),
        (lambda: F.leaky_relu(X, 1, 2), TypeError, "leaky_relu takes at most 1 parameter (negative_slope) but 2 were given"),
        (lambda: F.softplus(X, 1, 2, 3), TypeError, "softplus takes at most 2 parameters (beta, threshold) but 3 were given"),
        (lambda: F.elu(X, 1, alpha=1), TypeError, "elu: alpha is given twice"),
        (lambda: F.elu(X, alpha="a"), TypeError, "elu: alpha is 'a' but a number was expected"),
        (lambda: F.elu(X, alpha="1"), TypeError, "elu: alpha is '1' but a number was expected"),
        (lambda: F.elu(X, alpha=np.array("1")), TypeError, "elu: alpha is array('1', dtype='<U1') but a number was expected"),
        (lambda: F.elu(X, alpha=np.complex128(1j)), TypeError, "elu: alpha is np.complex128(1j) but a number was expected"),
        (lambda: F.elu(X, alpha=10**400), ValueError, "elu: alpha is beyond the range of float64"),
        (lambda: F.elu(X, alpha=None), TypeError, "elu: alpha is None but a number was expected"),
        (lambda: F.elu(X, alpha=np.nan), ValueError, "elu: alpha is nan but a number was expected"),
        (lambda: F.celu(X, np.nan), ValueError, "celu: alpha is nan but a number was expected"),
        (lambda: F.hardtanh(X, 1, -1), ValueError, "hardtanh: max_val is -1 but at least min_val (1) was expected"),
        (lambda: F.hardtanh(X, 2), ValueError, "hardtanh: max_val is 1 but at least min_val (2) was expected"),
        (lambda: F.hardtanh_backward(X, y=X, max_val=-2), ValueError,
         "hardtanh_backward: max_val is -2 but at least min_val (-1) was expected"),
        (lambda: fnn.Hardtanh(max_val=-2), ValueError, "hardtanh: max_val is -2 but at least min_val (-1) was expected"),
        (lambda: F.celu(X, -1), ValueError, "celu: alpha is -1 but a positive number was expected"),
        (lambda: F.softshrink(X, -1), ValueError, "softshrink: lambd is -1 but a number of at least 0 was expected"),
        (lambda: F.softplus(X, 0), ValueError, "softplus: beta is 0 but a number other than 0 was expected"),
        (lambda: F.relu_backward(X), TypeError, "relu_backward: pass exactly one of x and y"),
        (lambda: F.relu_backward(X, x=X, y=X), TypeError, "relu_backward: pass exactly one of x and y"),
        (lambda: F.gelu_backward(X), TypeError, "gelu_backward: pass x"),
        (lambda: F.gelu_backward(X, y=X), ValueError, "gelu_backward: gelu has no derivative from y; pass x"),
        (lambda: F.elu_backward(X, y=X, alpha=-1), ValueError,
         "elu_backward: elu has no derivative from y with a negative parameter; pass x"),
        (lambda: F.relu_backward(X, x=X.T), ValueError,
         "relu_backward: grad has shape (2, 3) but x has shape (3, 2); equal shapes were expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)


def test_prelu(dtype, isa):
    rng = np.random.default_rng(0)
    for n in (1, 3, 8, 17, 40):
        for weight in (np.array([0.3], dtype), rng.standard_normal(n).astype(dtype)):
            x, grad = rng.standard_normal((2, 4, 5, n)).astype(dtype)
            np.testing.assert_array_equal(F.prelu(x, weight), R.prelu(x, weight))
            dx, dweight = F.prelu_backward(grad, x, weight)
            want_dx, _ = R.prelu_backward(grad, x, weight)
            _, want_dweight = R.prelu_backward(grad.astype(np.float64), x.astype(np.float64), weight.astype(np.float64))
            np.testing.assert_array_equal(dx, want_dx)
            np.testing.assert_allclose(dweight, want_dweight, rtol=4 * np.finfo(dtype).eps, atol=1e-14)
            a = x.copy()
            assert F.prelu(a, weight, out=a) is a
            np.testing.assert_array_equal(a, F.prelu(x, weight))
    assert np.isnan(F.prelu(np.array([np.nan], dtype), [0.1])).all()
    with pytest.raises(
        ValueError, match=r"prelu: weight has shape \(2,\) but \(1,\) or one value per feature of x \(4, 3\)"
    ):
        F.prelu(np.zeros((4, 3)), np.zeros(2))


@pytest.mark.parametrize("features", [1, 3, 8, 17])
def test_weight_of_prelu_gets_no_gradient_where_x_is_positive(features, dtype, isa):
    """Not even from an infinite gradient or an infinite x: 0 is selected, not multiplied."""
    x = np.array([2, np.inf, 3, np.inf, -4, -5], dtype)[:, None] * np.ones(features, dtype)
    grad = np.array([np.inf, 7, np.nan, -np.inf, 3, -2], dtype)[:, None] * np.ones(features, dtype)
    dx, dweight = F.prelu_backward(grad, x, np.full(features, 0.5, dtype))
    np.testing.assert_array_equal(dweight, np.full(features, -2, dtype))
    np.testing.assert_array_equal(dx, grad * np.array([1, 1, 1, 1, 0.5, 0.5], dtype)[:, None])
    np.testing.assert_array_equal(F.prelu_backward(grad, x, np.full(1, 0.5, dtype))[1], [-2 * features])
    grad[4] = np.inf  # where x is negative, it counts
    np.testing.assert_array_equal(
        F.prelu_backward(grad, x, np.full(features, 0.5, dtype))[1], np.full(features, -np.inf)
    )


def test_maxout(dtype, isa):
    rng = np.random.default_rng(0)
    for pieces in (1, 2, 3, 5):
        x = rng.integers(-2, 3, (6, 7, pieces)).astype(dtype)  # many equals
        x[0, 0, pieces // 2] = np.nan
        y, index = F.maxout(x, return_index=True)
        want, want_index = R.maxout(x, return_index=True)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(index, want_index)
        np.testing.assert_array_equal(F.maxout(x), want)
        grad = rng.standard_normal(y.shape).astype(dtype)
        np.testing.assert_array_equal(F.maxout_backward(grad, index, pieces), R.maxout_backward(grad, index, pieces))
    with pytest.raises(IndexError, match=r"^maxout_backward: index has 2 but a piece in \[0, 2\) was expected$"):
        F.maxout_backward(np.ones(1), np.array([2]), 2)
    with pytest.raises(ValueError, match="at least one piece"):
        F.maxout(np.zeros((3, 0)))


def test_dropout(dtype, isa):
    x = np.linspace(1, 2, 1003, dtype=dtype)
    for p in (0, 1e-12, 0.1, 0.5, 0.99, 1):
        for seed, step in ((0, 0), (7, 3), (2**40 + 5, 2**32 - 1), (2**64 - 1, 1)):
            y = F.dropout(x, p, seed=seed, step=step)
            np.testing.assert_array_equal(y, R.dropout(x, p, seed=seed, step=step))
    kept = np.mean(F.dropout(np.ones(200_000, dtype), 0.3, seed=1) != 0)
    assert abs(kept - 0.7) < 0.005
    np.testing.assert_array_equal(F.dropout(x[:37], 0.5, seed=1), F.dropout(x, 0.5, seed=1)[:37])
    assert not np.array_equal(F.dropout(x, 0.5, seed=1), F.dropout(x, 0.5, seed=1, step=1))
    with pytest.raises(ValueError, match=r"^dropout: p is 1.5 but a probability in \[0, 1\] was expected$"):
        F.dropout(x, 1.5, seed=0)
    with pytest.raises(ValueError, match="dropout: seed is -1 but"):
        F.dropout(x, 0.5, seed=-1)


def test_dropout_of_a_layer_and_of_a_part(dtype, isa):
    x, seed, step, layer = np.ones(100, dtype), 2**50 + 9, 3, 5
    for first in (0, 1, 37, 64, 2**34 + 3, 2**40 + 62):  # from 2^34 on the block number needs its upper word
        blocks = np.arange(first // 4, (first + 99) // 4 + 1, dtype=np.uint64)
        words = _philox(blocks, step, layer, seed).ravel()[first % 4 :][:100]
        got = core.dropout(x, 0.5, seed, step, None, layer, first)
        np.testing.assert_array_equal(got, np.where(words >= 2**31, 2, 0))


def test_philox_gives_the_published_words():
    # Known answers of the Random123 distribution for philox4x32-10 (kat_vectors).
    words = _philox(np.zeros(1, np.uint64), 0, 0, 0)[0]
    assert [f"{w:08x}" for w in words] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    words = _philox(np.array([0xFFFFFFFFFFFFFFFF], np.uint64), 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)[0]
    assert [f"{w:08x}" for w in words] == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]
