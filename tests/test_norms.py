"""Layer norm, RMS norm and batch norm: functions against the reference, differences and PyTorch."""

from functools import partial

import numpy as np
import pytest
from support import SIZES, central_difference, refused

from fastnn import functional as F
from fastnn import reference as R

ROW_NORMS = {"layer_norm": ("weight", "bias"), "rms_norm": ("weight",)}
row_norms = pytest.mark.parametrize("name", ROW_NORMS)


def draw(rng, dtype, *shape, offset=0.0):
    """Return normal numbers about an offset."""
    return (rng.standard_normal(shape) + offset).astype(dtype)


def affine(name, rng, features, dtype):
    """Return the weight and, where the norm has one, the bias."""
    both = {"weight": rng.uniform(0.5, 2, features), "bias": rng.standard_normal(features)}
    return {key: both[key].astype(dtype) for key in ROW_NORMS.get(name, both)}


def assert_close(got, want, dtype):
    """Each of got is within a few units of dtype's epsilon, of its largest number or of 1 where that is larger.

    Sums are float64, so that in float64 their own roundings add up.
    """
    units = 4 if dtype is np.float32 else 500
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        error = np.abs(g - w).max(initial=0) / np.abs(w).max(initial=1)
        assert error <= units * np.finfo(dtype).eps, error / np.finfo(dtype).eps


def wide(arrays):
    return {key: value.astype(np.longdouble) for key, value in arrays.items()}


# ---------------------------------------------------------------------------------------------------- layer norm and RMS norm


@row_norms
def test_rows_of_every_length(name, isa, dtype):
    function, reference, rng = getattr(F, name), getattr(R, name), np.random.default_rng(0)
    for features in [*SIZES[1:], 257, 600, 1100]:
        x, given = draw(rng, dtype, 5, features, offset=3), affine(name, rng, features, dtype)
        for eps in (1e-5, 0.25):
            y = function(x, **given, eps=eps)
            assert y.dtype == dtype
            assert_close([y], [reference(**wide({"x": x} | given), eps=eps)], dtype)
            assert_close([function(x, eps=eps)], [reference(**wide({"x": x}), eps=eps)], dtype)


@row_norms
def test_gradients_of_rows_of_every_length(name, isa, dtype):
    backward, rng = getattr(F, f"{name}_backward"), np.random.default_rng(0)
    reference = getattr(R, f"{name}_backward")
    for features in [*SIZES[2:], 257, 600, 1100]:
        for rows in (1, 3, 4, 9):
            arrays = {"grad": draw(rng, dtype, rows, features), "x": draw(rng, dtype, rows, features)}
            arrays["weight"] = rng.uniform(0.5, 2, features).astype(dtype)
            assert_close(backward(**arrays, eps=0.25), reference(**wide(arrays), eps=0.25), dtype)
            del arrays["weight"]
            assert_close(backward(**arrays, eps=0.25), reference(**wide(arrays), eps=0.25), dtype)


@row_norms
def test_gradients_are_those_of_differences(name, isa):
    rng = np.random.default_rng(1)
    function, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x, grad, given = draw(rng, float, 3, 7), draw(rng, float, 3, 7), affine(name, rng, 7, float)

    def objective(_):
        return float((function(x, **given, eps=0.01) * grad).sum())

    gradients = backward(grad, x, given["weight"], eps=0.01)
    for got, array in zip(gradients, (x, *given.values()), strict=True):
        np.testing.assert_allclose(got, central_difference(objective, array), rtol=1e-6, atol=1e-8)


@row_norms
def test_leading_dimensions_and_none(name, dtype):
    function, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = draw(np.random.default_rng(0), dtype, 2, 3, 5)
    np.testing.assert_array_equal(function(x), function(x.reshape(6, 5)).reshape(2, 3, 5))
    np.testing.assert_array_equal(function(x[1, 2]), function(x)[1, 2])
    for got, want in zip(backward(x, x), backward(x.reshape(6, 5), x.reshape(6, 5)), strict=True):
        np.testing.assert_array_equal(got.ravel(), want.ravel())
    assert function(np.empty((0, 4), dtype)).shape == (0, 4)
    assert function(np.empty((3, 0), dtype)).shape == (3, 0)
    dx, *sums = backward(np.empty((0, 4), dtype), np.empty((0, 4), dtype))
    assert dx.shape == (0, 4)
    assert all((total == np.zeros(4)).all() for total in sums)


def test_a_row_of_layer_norm_far_from_0_keeps_its_digits(isa, dtype):
    rng = np.random.default_rng(0)
    for n in (3, 16, 100, 600):
        x = draw(rng, dtype, 4, n, offset=1e4)
        x[1, 0] = -1e6  # the first number, from which the others are counted, is an outlier
        want = R.layer_norm(x.astype(np.longdouble))
        tolerance = 5e-7 if dtype is np.float32 else 1e-10
        np.testing.assert_allclose(F.layer_norm(x), want, rtol=tolerance, atol=tolerance)


@row_norms
def test_nan_stays_in_its_row_and_constants_are_0(name, isa, dtype):
    x = draw(np.random.default_rng(0), dtype, 4, 37)
    x[1, 5], x[2, 0] = np.nan, -np.inf
    y = getattr(F, name)(x)
    assert np.isnan(y[1]).all()
    assert np.isnan(y[2]).any()
    np.testing.assert_array_equal(y[[0, 3]], getattr(F, name)(x[[0, 3]]))
    if name == "layer_norm":
        np.testing.assert_array_equal(F.layer_norm(np.full((2, 37), 1234.5, dtype)), 0)
    assert not getattr(F, name)(np.zeros((2, 37), dtype)).any()


def test_the_epsilon_of_rms_norm_is_that_of_the_result(dtype):
    x = np.full((1, 4), 1e-8, dtype)
    np.testing.assert_array_equal(F.rms_norm(x), F.rms_norm(x, eps=np.finfo(dtype).eps))


# ------------------------------------------------------------------------------------------------------------------ batch norm

SHAPES = [(2, 1), (3, 5), (8, 16), (9, 17), (33, 31), (70, 513), (300, 40), (3, 1100), (4, 3, 5), (2, 3, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_of_every_shape(shape, isa, dtype):
    rng, features = np.random.default_rng(0), shape[1]
    x, given, grad = draw(rng, dtype, *shape, offset=3), affine("", rng, features, dtype), draw(rng, dtype, *shape)
    mean, var = draw(rng, dtype, features), rng.uniform(0.5, 2, features).astype(dtype)

    running = mean.copy(), var.copy()
    want_running = mean.astype(np.longdouble), var.astype(np.longdouble)
    options = {"training": True, "return_statistics": True, "eps": 0.25}
    got = F.batch_norm(x, *running, **given, **options)
    want = R.batch_norm(x.astype(np.longdouble), *want_running, **wide(given), **options)
    assert_close(got, want, dtype)
    assert [a.dtype for a in got] == [dtype, np.float64, np.float64]
    assert_close(running, want_running, dtype)
    frozen = {"running_mean": mean, "running_var": var} | given
    assert_close([F.batch_norm(x, **frozen)], [R.batch_norm(**wide({"x": x} | frozen))], dtype)
    arrays = {"grad": grad, "x": x, "weight": given["weight"]}
    for training in (False, True):
        for some in (arrays, {"grad": grad, "x": x}):
            options = {"training": training, "eps": 0.25}
            want_gradients = R.batch_norm_backward(**wide(some), mean=want[1], var=want[2], **options)
            assert_close(F.batch_norm_backward(**some, mean=got[1], var=got[2], **options), want_gradients, dtype)


@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4)])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_batch_norm_are_those_of_differences(shape, training, isa):
    rng = np.random.default_rng(1)
    x, grad, given = draw(rng, float, *shape), draw(rng, float, *shape), affine("", rng, shape[1], float)
    statistics = np.zeros(shape[1]), np.ones(shape[1])

    def forward():
        running = () if training else statistics
        return F.batch_norm(x, *running, **given, training=training, return_statistics=True)

    gradients = F.batch_norm_backward(grad, x, *forward()[1:], given["weight"], training=training)
    for got, array in zip(gradients, (x, *given.values()), strict=True):
        want = central_difference(lambda _: float((forward()[0] * grad).sum()), array)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


def test_the_variance_far_from_0_keeps_its_digits(isa, dtype):
    rng = np.random.default_rng(0)
    x = draw(rng, dtype, 200, 20, offset=1e4)
    x[0] = -1e6
    _, mean, var = F.batch_norm(x, training=True, return_statistics=True)
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(var, exact.var(0), rtol=1e-12)


def test_no_rows_change_no_statistics(dtype):
    running = np.ones(3, dtype), np.ones(3, dtype)
    y, mean, var = F.batch_norm(np.empty((0, 3), dtype), *running, training=True, return_statistics=True)
    assert y.shape == (0, 3)
    assert np.isnan([mean, var]).all()
    np.testing.assert_array_equal(running, 1)
    assert F.batch_norm(np.empty((4, 0), dtype), training=True).shape == (4, 0)


def test_statistics_have_no_part_in_the_dtype(dtype):
    x = draw(np.random.default_rng(0), np.float32, 5, 3)
    y, mean, var = F.batch_norm(x, np.zeros(3), np.ones(3), return_statistics=True)
    assert (y.dtype, mean.dtype) == (np.float32, np.float64)
    assert F.batch_norm(x, training=True, weight=np.ones(3, dtype)).dtype == dtype
    kept = np.zeros(3)
    y, mean, var = F.batch_norm(x, kept, np.ones(3), return_statistics=True)
    mean += 1
    assert not kept.any(), "the statistics returned are copies"


def test_running_statistics_of_either_kind_alone():
    x = draw(np.random.default_rng(0), np.float32, 5, 3)
    mean, var = np.zeros(3), np.ones(3)
    F.batch_norm(x, mean, training=True, momentum=1)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    F.batch_norm(x, running_var=var, training=True, momentum=1)
    np.testing.assert_allclose(var, x.var(0, ddof=1), rtol=1e-5)


X = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(F.layer_norm, X, np.ones(4)), ValueError, "layer_norm: weight has shape (4,) but (3,) was expected (x (4, 3))"),
        (partial(F.layer_norm, X, None, X), ValueError, "layer_norm: bias has shape (4, 3) but (3,) was expected (x (4, 3))"),
        (partial(F.layer_norm, X, eps=-1), ValueError, "layer_norm: eps is -1 but a number of at least 0 was expected"),
        (partial(F.layer_norm, X, eps=None), TypeError, "layer_norm: eps is None but a number was expected"),
        (partial(F.rms_norm, X, eps=np.nan), ValueError, "rms_norm: eps is nan but a number of at least 0 was expected"),
        (partial(F.rms_norm_backward, X, X[:2]), ValueError,
         "rms_norm_backward: grad has shape (4, 3) but x has shape (2, 3); equal shapes were expected"),
        (partial(F.batch_norm, X[0], training=True), ValueError,
         "batch_norm: x has shape (3,) but (batch, features) or (batch, features, ...) was expected"),
        (partial(F.batch_norm, X[:1], training=True), ValueError,
         "batch_norm: x (1, 3) has one value per feature but training needs at least two"),
        (partial(F.batch_norm, X), ValueError,
         "batch_norm: pass running_mean and running_var, or training=True for the statistics of x"),
        (partial(F.batch_norm, X, np.zeros(3), np.ones(2)), ValueError,
         "batch_norm: running_var has shape (2,) but (3,) was expected (x (4, 3))"),
        (partial(F.batch_norm, X, training=True, momentum=2), ValueError,
         "batch_norm: momentum is 2 but a number in [0, 1] was expected"),
        (partial(F.batch_norm, X, [0, 0, 0], training=True), TypeError,
         "batch_norm: running_mean is list but an ndarray was expected: it is updated in place"),
        (partial(F.batch_norm_backward, X, X, None, np.ones(3)), TypeError,
         "batch_norm_backward: mean is None but an array of real numbers was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)


def test_a_refused_call_changes_nothing():
    same = np.ones(3)
    message = (
        "batch_norm: running_mean and running_var share memory, but arrays that are updated in place must stand apart"
    )
    refused(lambda: F.batch_norm(X, same, same, training=True), ValueError, message)
    out = np.zeros((4, 3), np.float32)
    message = "batch_norm: running_mean and out share memory, but arrays that are updated in place must stand apart"
    refused(lambda: F.batch_norm(X, out[0], None, training=True, out=out), ValueError, message)
    refused(
        lambda: F.batch_norm(X[:1], same, training=True),
        ValueError,
        "batch_norm: x (1, 3) has one value per feature but training needs at least two",
    )
    assert (same == 1).all()
    assert not out.any()


# ------------------------------------------------------------------------------------------------------------------ PyTorch


def tensor(torch, array, grad=False):
    return torch.tensor(np.asarray(array), requires_grad=grad)


@row_norms
def test_rows_against_torch(name, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype is np.float64 else {"rtol": 2e-6, "atol": 2e-6}
    for shape in [(64, 10), (3, 5, 33), (128, 512)]:
        x, grad, given = draw(rng, dtype, *shape), draw(rng, dtype, *shape), affine(name, rng, shape[-1], dtype)
        inputs = [tensor(torch, a, True) for a in (x, *given.values())]
        for eps in ({"eps": 0.1}, {}):
            want = getattr(torch.nn.functional, name)(inputs[0], shape[-1:], *inputs[1:], **eps)
            np.testing.assert_allclose(getattr(F, name)(x, **given, **eps), want.detach().numpy(), **tolerance)
        gradients = torch.autograd.grad(want, inputs, tensor(torch, grad))
        for got, w in zip(getattr(F, f"{name}_backward")(grad, x, given["weight"]), gradients, strict=True):
            np.testing.assert_allclose(got, w.numpy(), rtol=tolerance["rtol"], atol=30 * tolerance["atol"])


@pytest.mark.parametrize("shape", [(64, 10), (2, 3), (128, 512), (5, 4, 7)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_against_torch(shape, training, dtype):
    torch = pytest.importorskip("torch")
    rng, features = np.random.default_rng(0), shape[1]
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype is np.float64 else {"rtol": 2e-6, "atol": 2e-6}
    x, grad, given = draw(rng, dtype, *shape, offset=1), draw(rng, dtype, *shape), affine("", rng, features, dtype)
    running = draw(rng, dtype, features), rng.uniform(0.5, 2, features).astype(dtype)
    inputs = [tensor(torch, a, True) for a in (x, *given.values())]
    theirs = [tensor(torch, a) for a in running]
    statistics = (x.mean((0, *range(2, x.ndim)), np.float64), x.var((0, *range(2, x.ndim)), np.float64))
    want = torch.nn.functional.batch_norm(inputs[0], *theirs, *inputs[1:], training, 0.3, 0.01)
    got = F.batch_norm(x, *running, **given, training=training, momentum=0.3, eps=0.01)
    np.testing.assert_allclose(got, want.detach().numpy(), **tolerance)
    for ours, other in zip(running, theirs, strict=True):
        np.testing.assert_allclose(ours, other.numpy(), rtol=0, atol=20 * np.finfo(dtype).eps)
    gradients = torch.autograd.grad(want, inputs, tensor(torch, grad))
    statistics = statistics if training else running
    for g, w in zip(
        F.batch_norm_backward(grad, x, *statistics, given["weight"], training=training, eps=0.01),
        gradients,
        strict=True,
    ):
        np.testing.assert_allclose(g, w.numpy(), rtol=tolerance["rtol"], atol=30 * tolerance["atol"])
