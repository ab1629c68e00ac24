"""softmax, log_softmax, cross-entropy and the pointwise losses."""

import re
from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest
from support import SIZES, central_difference, layouts, refused, ulps

from fastnn import MSE, CrossEntropy
from fastnn import functional as F
from fastnn import reference as R

SHAPES = [(1, 1), (3, 2), (2, 15), (4, 16), (3, 17), (5, 33), (2, 1000), (1, 20001)]
SOFTMAX_ULP = {np.float32: 2, np.float64: 6}  # float64 has no wider lanes for the factor and for sums of 140,000


def normal(*shape, dtype=np.float32, scale=3.0, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


@pytest.mark.parametrize("scale", [3.0, 0.1])  # few terms count; all do, and their sum is large
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_and_log_softmax(shape, scale, dtype, isa):
    x, grad = normal(*shape, dtype=dtype, scale=scale), normal(*shape, dtype=dtype, seed=1)
    wide = x.astype(np.longdouble)
    assert ulps(F.softmax(x), R.softmax(wide)) <= SOFTMAX_ULP[dtype]
    assert ulps(F.log_softmax(x), R.log_softmax(wide)) <= SOFTMAX_ULP[dtype]
    y, log_y = F.softmax(x), F.log_softmax(x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y.sum(-1), 1, rtol=20 * eps * np.sqrt(shape[1]))
    want = R.softmax_backward(grad.astype(np.longdouble), y.astype(np.longdouble))
    np.testing.assert_allclose(F.softmax_backward(grad, y), want.astype(dtype), rtol=8 * eps, atol=2 * eps)
    want = R.log_softmax_backward(grad.astype(np.longdouble), log_y.astype(np.longdouble))
    atol = 4 * eps * np.abs(grad).sum(-1).max()
    np.testing.assert_allclose(F.log_softmax_backward(grad, log_y), want.astype(dtype), rtol=8 * eps, atol=atol)


def test_softmax_against_mpmath(dtype, isa):
    x = normal(5, 37, dtype=dtype, scale=20)
    x[4] *= 8  # float64 keeps the digits of e^-600 too
    with mpmath.workdps(60):
        for row, got in zip(x, F.softmax(x), strict=True):
            terms = [mpmath.exp(mpmath.mpf(float(v))) for v in row]
            total = mpmath.fsum(terms)
            for value, term in zip(got, terms, strict=True):
                true = term / total
                spacing = np.spacing(max(dtype(float(true)), np.finfo(dtype).smallest_normal))
                assert abs(mpmath.mpf(float(value)) - true) / mpmath.mpf(float(spacing)) <= SOFTMAX_ULP[dtype]


@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
def test_axes_layouts_and_out(function, dtype, isa):
    f, df = getattr(F, function), getattr(F, f"{function}_backward")
    x = normal(3, 4, 5, dtype=dtype)
    for axis in (0, 1, 2, -1, -2):
        y = f(x, axis)
        want = np.moveaxis(f(np.moveaxis(x, axis, -1).copy()), -1, axis)
        np.testing.assert_array_equal(y, want)
        for out in (np.empty_like(x), np.empty((3, 4, 10), dtype)[..., ::2], x.copy()):
            assert f(x, axis, out=out) is out
            np.testing.assert_array_equal(out, y)
        grad = df(x, y, axis)
        np.testing.assert_array_equal(
            grad, np.moveaxis(df(np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)), -1, axis)
        )
        kept = x.copy()
        np.testing.assert_array_equal(df(kept, y, axis, out=kept), grad)
    same = x.copy()
    np.testing.assert_array_equal(f(same, out=same), f(x))
    y = f(x[0])
    for name, a in layouts(x[0]):
        np.testing.assert_array_equal(f(a), y, err_msg=name)
        np.testing.assert_array_equal(df(a, y), df(x[0], y), err_msg=name)


def long_row(kind, n, dtype):
    """Rows of several blocks: the maximum found so far moves from block to block, or does not."""
    x = normal(n, dtype=dtype, scale=2)
    if kind in ("rising", "falling"):
        x += np.linspace(-300, 80, n, dtype=dtype)
    if kind == "falling":
        x = x[::-1].copy()
    if kind == "equal":
        x[:] = dtype(-3.7)
    if kind == "late":
        x[: 2 * n // 3] = -np.inf
    if kind == "huge":
        x *= dtype(1e9)
        x[-2:] = x.max()
    return x


@pytest.mark.parametrize("kind", ["normal", "rising", "falling", "equal", "late", "huge"])
def test_long_rows(kind, dtype, isa):
    for n in (2048, 2049, 6000, 100_000, 140_000):
        x = long_row(kind, n, dtype)
        wide = x.astype(np.longdouble)
        with np.errstate(invalid="ignore"):
            want = R.softmax(wide)
        y = F.softmax(x)
        assert ulps(y, want) <= SOFTMAX_ULP[dtype], n
        with np.errstate(invalid="ignore"):
            assert ulps(F.log_softmax(x), R.log_softmax(wide)) <= SOFTMAX_ULP[dtype] / 2, n
        np.testing.assert_array_equal(F.softmax(x, out=x.copy()), y)
        for label in (0, n // 2, n - 1):
            if kind == "late" and label < n - 1:
                continue
            loss, gradient = F.cross_entropy_with_grad(x[None], [label])
            want_loss, want_gradient = R.cross_entropy_with_grad(wide[None], [label])
            np.testing.assert_allclose(loss, np.float64(want_loss), rtol=4 * np.finfo(dtype).eps)
            assert ulps(gradient, want_gradient) <= SOFTMAX_ULP[dtype], (n, label)


@pytest.mark.parametrize("n", [1, 5000])
def test_rows_without_a_finite_maximum_are_nan(n, dtype, isa):
    for value, where in ((-np.inf, slice(None)), (np.inf, -1), (np.inf, 0), (np.nan, n // 2)):
        x = np.full(n, -np.inf if where == slice(None) else 1, dtype)
        x[where] = value
        assert np.isnan(F.softmax(x)).all()
        assert np.isnan(F.log_softmax(x)).all()


def test_softmax_of_awkward_rows(dtype, isa):
    inf, nan = np.inf, np.nan
    x = np.array(
        [[0, 0, 0, 0], [1e30, -1e30, 0, 1], [-inf, 0, -inf, 0], [-inf, 3, -inf, -inf], [700, 701, 0, -700]], dtype
    )
    y = F.softmax(x)
    np.testing.assert_array_equal(y[:4], [[0.25] * 4, [1, 0, 0, 0], [0, 0.5, 0, 0.5], [0, 1, 0, 0]])
    np.testing.assert_array_equal(F.log_softmax(x)[3], [-inf, 0, -inf, -inf])
    for row in ([nan, 1, 2], [1, 2, nan], [inf, 0, 1], [-inf, -inf, -inf]):
        assert np.isnan(F.softmax(np.array([row], dtype))).all()
    assert F.softmax(np.empty((0, 3), dtype)).shape == (0, 3)
    assert F.softmax(np.empty((3, 0), dtype)).shape == (3, 0)
    np.testing.assert_array_equal(F.softmax(np.array([7], dtype)), [1])
    with pytest.raises(ValueError, match="^softmax: axis is 2 but an integer from -2 to 1 was expected$"):
        F.softmax(np.zeros((1, 3)), 2)


def test_the_maximum_may_stand_anywhere(dtype, isa):
    for n in (1, 8, 9, 40):
        x = 1e5 * np.eye(n, dtype=dtype)
        np.testing.assert_array_equal(F.softmax(x), np.eye(n))
        np.testing.assert_array_equal(F.log_softmax(x), x - dtype(1e5))
        np.testing.assert_array_equal(F.cross_entropy(x, np.arange(n), reduction="none"), 0)


def test_log_of_sums_just_above_a_power_of_two(isa):
    # 1 + rest crosses into the next binade and loses a bit of rest, which log1p must put back divided by 1 + rest.
    for n in (4, 64, 512, 4096):
        for z in np.linspace(-3, -0.1, 60):
            x = np.append(np.zeros(n), z)
            true = float(mpmath.log(n + mpmath.exp(mpmath.mpf(float(z)))))
            for got in (-F.log_softmax(x)[0], F.cross_entropy(x[None], [0])):
                assert abs(got - true) <= 2 * np.spacing(true), (n, z)


def test_rows_of_any_length_and_position(dtype, isa):
    x = normal(200, dtype=dtype)
    for n in SIZES[1:]:
        want = F.softmax(x[:n].copy())
        np.testing.assert_array_equal(F.softmax(np.stack([x[:n]] * 3))[2], want)
        np.testing.assert_array_equal(F.softmax(np.concatenate([x[:1], x[:n]])[1:]), want)


# ------------------------------------------------------------------------------------------------------- cross-entropy

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 7, 12)
IGNORED = np.where(np.arange(12) % 4 == 0, -100, LABELS)
PROBABILITIES = rng.dirichlet(np.ones(7), 12)
ONE_HOT = np.eye(7)[LABELS]
CLASS_WEIGHT, SAMPLE_WEIGHT = rng.random(7) + 0.1, rng.random(12)
TARGETS = {
    "labels": LABELS,
    "ignored": IGNORED,
    "probabilities": PROBABILITIES,
    "one-hot": ONE_HOT,
    "column": LABELS[:, None],
}
PEERS = {"cross_entropy": "cross_entropy"}  # of torch.nn.functional
OPTIONS = [{}, {"label_smoothing": 0.1}, {"weight": CLASS_WEIGHT}, {"sample_weight": SAMPLE_WEIGHT}, {"label_smoothing": 1.0},
           {"weight": CLASS_WEIGHT, "sample_weight": SAMPLE_WEIGHT, "label_smoothing": 0.3}]  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_cross_entropy_against_the_reference(target, options, reduction, dtype, isa):
    x = normal(12, 7, dtype=dtype)
    loss, dx = F.cross_entropy_with_grad(x, TARGETS[target], reduction=reduction, **options)
    want, want_dx = R.cross_entropy_with_grad(x.astype(np.float64), TARGETS[target], reduction=reduction, **options)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(loss, want, rtol=10 * eps, atol=1e-15)
    np.testing.assert_allclose(dx, want_dx, rtol=20 * eps, atol=2 * eps)
    again = F.cross_entropy(x, TARGETS[target], reduction=reduction, **options)
    np.testing.assert_array_equal(again, loss)


@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_cross_entropy_of_many_classes_against_the_reference(target, dtype, isa):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for classes in (17, 40, 100, 2049, 6000):
        x, weight = normal(3, classes, dtype=dtype), rng.random(classes) + 0.1
        probabilities = rng.dirichlet(np.ones(classes), 3)
        targets = probabilities if target == "probabilities" else rng.integers(0, classes, 3)
        for smoothing in (0.0, 0.1, 1.0):
            for options in ({}, {"weight": weight}):
                options = options | {"label_smoothing": smoothing, "reduction": "none"}
                loss, dx = F.cross_entropy_with_grad(x, targets, **options)
                want, want_dx = R.cross_entropy_with_grad(x.astype(np.longdouble), targets, **options)
                np.testing.assert_allclose(loss, want, rtol=10 * eps, err_msg=f"{classes} {options}")
                np.testing.assert_allclose(dx, want_dx, rtol=20 * eps, atol=4 * eps / classes, err_msg=f"{classes}")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_cross_entropy_gradient_against_central_differences(target, options, isa):
    x = normal(12, 7, dtype=np.float64)
    _, dx = F.cross_entropy_with_grad(x, TARGETS[target], **options)
    numeric = central_difference(lambda a: F.cross_entropy(a, TARGETS[target], **options), x)
    np.testing.assert_allclose(dx, numeric, atol=1e-8)


def test_impossible_classes_cost_nothing(dtype, isa):
    for row in ([1000], [3, -np.inf], [3e6, -1e30, -np.inf], [0.1] + 40 * [-900]):
        x = np.array([row], dtype)
        assert F.cross_entropy(x, [0]) == 0
        loss, gradient = F.cross_entropy_with_grad(x, [0])
        assert loss == 0
        assert not gradient.any()


def test_cross_entropy_keeps_small_losses(dtype, isa):
    x = np.array([[5, -20, -20], [5, 5, -20], [0, -90, -200]], dtype)
    losses = F.cross_entropy(x, np.zeros(3, int), reduction="none")
    true = [
        float(mpmath.log1p(2 * mpmath.exp(-25))),
        float(mpmath.log(2 + mpmath.exp(-25))),
        float(mpmath.log1p(mpmath.exp(-90))),
    ]
    np.testing.assert_allclose(losses, true, rtol=2 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal)
    gradient = F.cross_entropy_with_grad(x, np.zeros(3, int), reduction="none")[1]
    np.testing.assert_allclose(gradient[:2, 0], np.expm1(-np.array(true[:2])), rtol=2 * np.finfo(dtype).eps)


def test_a_small_loss_keeps_its_digits_wherever_the_maximum_stands(dtype, isa):
    for n in (2, 7, 16, 17, 64, 100, 2048, 2049, 6000):
        labels = np.arange(n) if n <= 100 else np.array([0, 1, 15, 16, 63, 64, 2046, 2047, n - 1])
        x = np.full((len(labels), n), -40, dtype)
        x[np.arange(len(labels)), labels] = 0
        true = np.full(len(labels), np.log1p((n - 1) * np.exp(np.longdouble(-40))))
        for got in (-F.log_softmax(x)[x == 0], F.cross_entropy(x, labels, reduction="none")):
            assert ulps(got, true) <= SOFTMAX_ULP[dtype], n


def test_hard_and_soft_targets_agree(dtype, isa):
    x = normal(12, 7, dtype=dtype)
    loss, dx = F.cross_entropy_with_grad(x, LABELS)
    soft_loss, soft_dx = F.cross_entropy_with_grad(x, ONE_HOT.astype(dtype))
    np.testing.assert_allclose(soft_loss, loss, rtol=1e-14 if dtype == np.float64 else 1e-7)
    np.testing.assert_allclose(soft_dx, dx, atol=np.finfo(dtype).eps)


def test_cross_entropy_of_awkward_rows(dtype, isa):
    inf = np.inf
    x = np.array([[0, -inf, 1], [inf, 0, 0], [np.nan, 0, 0], [-inf, -inf, -inf]], dtype)
    losses = F.cross_entropy(x, np.array([1, 0, 1, 2]), reduction="none")
    assert losses[0] == inf
    assert np.isnan(losses[1:]).all()
    loss, dx = F.cross_entropy_with_grad(x[:2], np.array([2, -100]))
    np.testing.assert_allclose(loss, np.log1p(np.exp(-1)), rtol=1e-6)
    np.testing.assert_array_equal(dx[1], 0)
    masked = np.array([[0.5, 0, 0.5]], dtype)  # no probability where the logit is -inf
    assert np.isfinite(F.cross_entropy(x[:1], masked))
    assert np.isnan(F.cross_entropy(x[:1], np.array([-100])))
    assert np.isnan(F.cross_entropy(np.empty((0, 3), dtype), np.empty(0, int)))
    assert F.cross_entropy(np.empty((0, 3), dtype), np.empty(0, int), reduction="sum") == 0


def few_classes(kind, rows, classes, dtype):
    x = normal(rows, classes, dtype=dtype, seed=classes)
    where = np.random.default_rng(rows).random
    if kind == "ties":
        x = np.round(x)
    if kind == "infinite":
        x[where(x.shape) < 0.3] = -np.inf
        x[where(rows) < 0.2] = -np.inf
        x[where(x.shape) < 0.02] = np.inf
    if kind == "nan":
        x[where(x.shape) < 0.05] = np.nan
    if kind == "huge":
        x[where(rows) < 0.2] *= dtype(1e9)
    if kind == "far":
        x *= dtype(60)
    return x


def same_bits(got, want):
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got) & (got == 0), np.signbit(want) & (want == 0))


KINDS = ["normal", "ties", "infinite", "nan", "huge", "far"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", range(1, 18))
def test_few_classes_have_the_bits_of_a_longer_row(classes, kind, dtype, isa):
    """Up to 16 classes a row is a lane; with as many of -inf behind them as make it longer it is a row of lanes."""
    for rows in (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33):
        x = few_classes(kind, rows, classes, dtype)
        long = np.full((rows, 20), -np.inf, dtype)
        long[:, :classes] = x
        want = F.softmax(long)[:, :classes]
        same_bits(F.softmax(x), want)
        same_bits(F.softmax(x, out=x.copy()), want)
        rng = np.random.default_rng(rows)
        labels = np.where(rng.random(rows) < 0.2, -100, rng.integers(0, classes, rows))
        weights = (rng.random(rows) * (rng.random(rows) < 0.7)).astype(dtype)
        for options in (
            {},
            {"sample_weight": weights},
            {"sample_weight": weights, "reduction": "sum"},
            {"reduction": "none"},
        ):
            want_loss, want_gradient = F.cross_entropy_with_grad(long, labels, **options)
            loss, gradient = F.cross_entropy_with_grad(x, labels, out=x.copy(), **options)
            same_bits(np.asarray(loss), np.asarray(want_loss))
            same_bits(gradient, want_gradient[:, :classes])
            same_bits(np.asarray(F.cross_entropy(x, labels, **options)), np.asarray(want_loss))


def test_few_classes_write_no_further_than_their_rows(dtype, isa):
    for rows, classes in ((5, 3), (16, 10), (17, 7), (33, 15)):
        kept = np.full(rows * classes + 40, 7, dtype)
        out = kept[20 : 20 + rows * classes].reshape(rows, classes)
        F.softmax(normal(rows, classes, dtype=dtype), out=out)
        F.cross_entropy_with_grad(out, np.zeros(rows, int), out=out)
        assert (kept[:20] == 7).all()
        assert (kept[-20:] == 7).all()


def test_cross_entropy_shapes_and_out(dtype):
    x = normal(5, 4, dtype=dtype)
    labels = np.array([0, 1, 2, 3, 0], np.uint8)
    loss, dx = F.cross_entropy_with_grad(x, labels)
    assert isinstance(loss, float)
    assert F.cross_entropy(x, labels, reduction="none").shape == (5,)
    one, done = F.cross_entropy_with_grad(x[1], 1)
    assert done.shape == (4,)
    np.testing.assert_allclose(one, F.cross_entropy(x[1:2], [1]))
    out = x.copy()
    loss_in_place, result = F.cross_entropy_with_grad(out, labels, out=out)
    assert result is out
    assert loss_in_place == loss
    np.testing.assert_array_equal(out, dx)
    for name, a in layouts(x):
        np.testing.assert_array_equal(F.cross_entropy_with_grad(a, labels)[1], dx, err_msg=name)


@pytest.mark.parametrize("target", ["labels", "ignored", "probabilities"])
@pytest.mark.parametrize("options", [o for o in OPTIONS if "sample_weight" not in o], ids=str)  # torch has none
def test_cross_entropy_against_torch(target, options, dtype):
    torch = pytest.importorskip("torch")
    peer = getattr(torch.nn.functional, PEERS["cross_entropy"])
    x, labels = torch.tensor(normal(12, 7, dtype=dtype), requires_grad=True), TARGETS[target]
    labels = labels.astype(dtype) if labels.dtype.kind == "f" else labels
    given = {**options, "weight": torch.tensor(options["weight"].astype(dtype))} if "weight" in options else options
    tolerance = {"rtol": 1e-12, "atol": 1e-15} if dtype == np.float64 else {"rtol": 1e-6, "atol": 1e-6}
    for reduction in ("mean", "sum", "none"):
        x.grad = None
        want = peer(x, torch.tensor(labels), reduction=reduction, **given)
        want.sum().backward()
        loss, dx = F.cross_entropy_with_grad(x.detach().numpy(), labels, reduction=reduction, **options)
        np.testing.assert_allclose(loss, want.detach().numpy(), **tolerance)
        np.testing.assert_allclose(dx, x.grad.numpy(), **tolerance)


X = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.cross_entropy(X, [0, 2, 1]), IndexError,
         "cross_entropy: target[1] is 2 but a label in [0, 2) or ignore_index (-100) was expected"),
        (lambda: F.cross_entropy(X, [0, 1]), ValueError,
         "cross_entropy: target has shape (2,) but labels (3,) or probabilities (3, 2) were expected"),
        (lambda: F.cross_entropy(X, [0.0, 1, 0]), TypeError, "cross_entropy: target has dtype float64 but integers were expected"),
        (lambda: F.cross_entropy(X, X.astype(int)), TypeError,
         "cross_entropy: target has dtype int64 and the shape of logits (3, 2); probabilities must be floats"),
        (lambda: F.cross_entropy(X[None], [0]), ValueError,
         "cross_entropy: logits have shape (1, 3, 2) but (batch, classes) or (classes,) was expected"),
        (lambda: F.cross_entropy(X, [0, 1, 1], weight=[1, 2, 3]), ValueError,
         "cross_entropy: weight has shape (3,) but (2,) was expected"),
        (lambda: F.cross_entropy(X, [0, 1, 1], sample_weight=[1, 2]), ValueError,
         "cross_entropy: sample_weight has shape (2,) but (3,) was expected"),
        (lambda: F.cross_entropy(X, [0, 1, 1], reduction="avg"), ValueError,
         "cross_entropy: reduction is 'avg' but 'mean', 'sum' or 'none' was expected"),
        (lambda: F.cross_entropy(X, [0, 1, 1], label_smoothing=2), ValueError,
         "cross_entropy: label_smoothing is 2 but a value in [0, 1] was expected"),
        (lambda: F.mse_loss(X, X[0]), ValueError,
         "mse_loss: input has shape (3, 2) but target has shape (2,); equal shapes were expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)


@pytest.mark.parametrize("row", range(3))
def test_a_bad_label_leaves_the_output_alone(row, isa):
    out, labels = np.full_like(X, 7), [0, 0, 0]
    for labels[row] in (5, -1, 2):
        with pytest.raises(IndexError, match=rf"target\[{row}\] is {labels[row]} "):
            F.cross_entropy_with_grad(X, labels, out=out)
    assert (out == 7).all()


# ---------------------------------------------------------------------------------------------- losses as specifications


def test_a_divisor_replaces_the_sum_of_the_weights(dtype):
    x, w = normal(12, 7, dtype=dtype), SAMPLE_WEIGHT
    for loss, target, function in (
        (CrossEntropy(label_smoothing=0.1), IGNORED, F.cross_entropy),
        (MSE(), normal(12, 7, seed=1), None),
    ):
        value, gradient = loss(x, target, w, divisor=9)
        each = (
            function(x, target, sample_weight=w, label_smoothing=0.1, reduction="none")
            if function
            else F.mse_loss(x, target, sample_weight=w, reduction="none").mean(-1)
        )
        np.testing.assert_allclose(value, each.sum() / 9, rtol=1e-6)
        _, mean_gradient = loss(x, target, w)
        divisor = (w * (loss.row_weights(target) if function else 1)).sum()
        np.testing.assert_allclose(gradient, mean_gradient * (divisor / 9), rtol=1e-5, atol=1e-7)
        assert gradient.dtype == dtype


def test_the_gradient_has_the_dtype_of_the_output_whatever_the_target():
    x, t = normal(5, dtype=np.float32), np.arange(5)
    want = MSE()(x, t.astype(np.float32))
    for target in (t, t.tolist(), t.astype(np.float64), t.astype(np.float16), t[:, None]):
        value, gradient = MSE()(x, target)
        assert value == want[0]
        assert gradient.dtype == np.float32
        np.testing.assert_array_equal(gradient, want[1])


def test_row_weights_are_the_class_weights_of_the_labels():
    loss = CrossEntropy(weight=[1, 2, 0.5], ignore_index=-1)
    np.testing.assert_array_equal(loss.row_weights([2, -1, 0, 1]), [0.5, 0, 1, 2])
    np.testing.assert_array_equal(loss.row_weights(np.array([[2], [1]], np.uint8)), [0.5, 2])
    np.testing.assert_array_equal(CrossEntropy().row_weights([0, -100, 5]), [1, 0, 1])
    assert CrossEntropy().row_weights([0, 5]) is None
    assert loss.row_weights(np.eye(3)) is None
    assert MSE().row_weights(np.zeros(3)) is None
    with pytest.raises(IndexError, match=re.escape("cross_entropy: target[1] is 3 but a label in [0, 3)")):
        loss.row_weights([0, 3])


def test_specifications_of_losses_keep_plain_numbers():
    loss = CrossEntropy(np.array([1, 2], np.float32), np.int64(-1), np.float32(0.25))
    assert loss == CrossEntropy((1.0, 2.0), -1, 0.25)
    assert [type(v) for v in (loss.weight, loss.weight[0], loss.ignore_index, loss.label_smoothing)] == [
        tuple,
        float,
        int,
        float,
    ]
    assert hash(loss) == hash(CrossEntropy((1.0, 2.0), -1, 0.25))


@pytest.mark.parametrize("loss", [CrossEntropy(), MSE()])
def test_specifications_of_losses_are_frozen(loss):
    with pytest.raises(FrozenInstanceError):
        loss.ignore_index = 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing is 1.5 but a value in [0, 1] was expected"),
        ({"label_smoothing": np.nan}, ValueError, "label_smoothing is nan but a number was expected"),
        ({"label_smoothing": "x"}, TypeError, "label_smoothing is 'x' but a number was expected"),
        ({"ignore_index": 1.0}, TypeError, "ignore_index is 1.0 but an integer was expected"),
        ({"weight": [[1.0]]}, ValueError, "weight has shape (1, 1) but one weight per class was expected"),
        ({"weight": [1, -1]}, ValueError, "weight is [ 1 -1] but finite weights of at least 0 were expected"),
        ({"weight": [1, np.nan]}, ValueError, "weight is [ 1. nan] but finite weights of at least 0 were expected"),
        ({"weight": [1, np.inf]}, ValueError, "weight is [ 1. inf] but finite weights of at least 0 were expected"),
        ({"weight": ["a"]}, TypeError, "weight has dtype <U1 but numbers were expected"),
    ],
)
def test_losses_check_their_arguments_at_construction(arguments, error, message):
    refused(lambda: CrossEntropy(**arguments), error, f"CrossEntropy: {message}")


# ------------------------------------------------------------------------------------------------- rows that count nothing


def test_weights_that_sum_to_zero_give_nan_and_no_gradient(dtype, isa):
    x, zeros = normal(12, 7, dtype=dtype), np.zeros(12)
    for target, options in (
        (LABELS, {"sample_weight": zeros}),
        (PROBABILITIES, {"sample_weight": zeros}),
        (LABELS, {"weight": np.zeros(7)}),
        (np.full(12, -100), {}),
    ):
        loss, gradient = F.cross_entropy_with_grad(x, target, **options)
        assert np.isnan(loss)
        np.testing.assert_array_equal(gradient, 0)
        np.testing.assert_array_equal(F.cross_entropy(x, target, reduction="none", **options), 0)
    loss, gradient = F.mse_loss_with_grad(x, x + 1, sample_weight=zeros)
    assert np.isnan(loss)
    np.testing.assert_array_equal(gradient, 0)


def test_a_mean_over_labels_without_weight_is_nan_where_smoothing_gives_rows_a_loss(dtype, isa):
    x, labels, weight = normal(4, 3, dtype=dtype), np.zeros(4, int), np.array([0, 1, 2], dtype)
    options = {"weight": weight, "label_smoothing": 0.1}
    assert F.cross_entropy(x, labels, reduction="sum", **options) > 0
    loss, gradient = F.cross_entropy_with_grad(x, labels, **options)  # as PyTorch: it divides by a sum of 0
    assert np.isnan(loss)
    assert np.isnan(gradient).all()
    assert np.isnan(CrossEntropy(**options)(x, labels)[0])
    assert np.isnan(R.cross_entropy(x, labels, **options))


def test_a_row_without_weight_counts_nothing_whatever_it_holds(dtype, isa):
    x, weight = normal(3, 4, dtype=dtype), [1, 0, 2]
    for bad in (np.nan, np.inf):
        x[1] = bad
        for f, target in ((F.cross_entropy_with_grad, [0, 1, 2]), (F.mse_loss_with_grad, np.zeros((3, 4), dtype))):
            kept = [0, 2]
            loss, gradient = f(x, target, sample_weight=weight)
            want, want_gradient = f(x[kept], np.asarray(target)[kept], sample_weight=[1, 2])
            assert loss == want
            np.testing.assert_array_equal(gradient[kept], want_gradient)
            np.testing.assert_array_equal(gradient[1], 0)
            np.testing.assert_array_equal(f(x, target, sample_weight=weight, reduction="none")[0][1], 0)


def test_smoothing_counts_where_the_label_has_no_weight(dtype, isa):
    x = normal(2, 3, dtype=dtype)
    options = {"weight": [0.0, 1.0, 2.0], "label_smoothing": 0.3}
    loss, gradient = F.cross_entropy_with_grad(x, [0, 1], **options)
    want, want_gradient = R.cross_entropy_with_grad(x.astype(np.float64), [0, 1], **options)
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,)])
def test_losses_of_nothing(shape, dtype, isa):
    empty = np.zeros(shape, dtype)
    for target in (empty, np.zeros(shape)):
        loss, gradient = F.mse_loss_with_grad(empty, target)
        assert np.isnan(loss)
        assert gradient.shape == shape
        assert F.mse_loss(empty, target, reduction="sum") == 0
        assert F.mse_loss(empty, target, reduction="none").shape == shape


def test_every_argument_of_a_loss_may_have_any_layout(isa):
    x, t = normal(12, 7), normal(12, 7, dtype=np.float64, seed=1)
    arguments = {"weight": CLASS_WEIGHT, "sample_weight": SAMPLE_WEIGHT}
    want = F.cross_entropy_with_grad(x, PROBABILITIES, **arguments)
    by_label = F.cross_entropy_with_grad(x, LABELS)
    want_mse = F.mse_loss_with_grad(x, t, sample_weight=SAMPLE_WEIGHT)
    for name, a in layouts(t):
        check_equal(F.mse_loss_with_grad(x, a, sample_weight=SAMPLE_WEIGHT), want_mse, name)
    for name, a in layouts(PROBABILITIES):
        check_equal(F.cross_entropy_with_grad(x, a, **arguments), want, name)
    for argument, value in arguments.items():
        for name, a in layouts(value):
            check_equal(F.cross_entropy_with_grad(x, PROBABILITIES, **{**arguments, argument: a}), want, name)
    for name, a in layouts(SAMPLE_WEIGHT):
        check_equal(F.mse_loss_with_grad(x, t, sample_weight=a), want_mse, name)
    for name, a in layouts(LABELS):
        check_equal(F.cross_entropy_with_grad(x, a), by_label, name)
    for name, a in layouts(x):
        check_equal(F.mse_loss_with_grad(a, t, sample_weight=SAMPLE_WEIGHT), want_mse, name)


def check_equal(got, want, name):
    assert got[0] == want[0], name
    np.testing.assert_array_equal(got[1], want[1], err_msg=name)


def test_a_label_beyond_int64_does_not_wrap_around():
    for label, classes in ((2**64 - 100, 2), (2**64 - 1, 2), (2**63, 2)):
        with pytest.raises(
            IndexError, match=re.escape(f"cross_entropy: target[1] is {label} but a label in [0, {classes})")
        ):
            F.cross_entropy(X, np.array([0, label, 0], np.uint64))


@pytest.mark.parametrize("n", [*range(1, 70), 2047, 2049, 6000])
def test_a_row_far_below_0_is_the_row_shifted(n, dtype, isa):
    x, labels = np.round(8 * normal(2, n, dtype=dtype)) / 8, np.array([0, n - 1])  # the shift is exact
    for shift in (-1000, 1000):
        far = x + dtype(shift)
        np.testing.assert_array_equal(F.softmax(far), F.softmax(x))
        np.testing.assert_array_equal(F.log_softmax(far), F.log_softmax(x))
        for smoothing in (0.0, 0.1):
            loss, grad = F.cross_entropy_with_grad(far, labels, label_smoothing=smoothing)
            want_loss, want_grad = F.cross_entropy_with_grad(x, labels, label_smoothing=smoothing)
            assert loss == pytest.approx(want_loss, rel=1e-6)
            np.testing.assert_array_equal(grad, want_grad)


def test_softmax_of_a_scalar_is_refused_by_name():
    for f in (F.softmax, F.log_softmax):
        for axis in (-1, 0):
            with pytest.raises(
                ValueError, match=f"^{f.__name__}: x is a 0-d array but at least one dimension was expected$"
            ):
                f(np.float32(2), axis)


@pytest.mark.parametrize("name", ["cross_entropy", "mse_loss", "huber_loss"])
@pytest.mark.parametrize("module", [F, R], ids=["functional", "reference"])
def test_a_mean_over_nothing_is_nan_and_its_gradient_0(module, name, dtype):
    loss = getattr(module, f"{name}_with_grad")
    for rows in (0, 4):
        x = np.random.default_rng(0).standard_normal((rows, 3)).astype(dtype)
        target = np.zeros(rows, int) if name == "cross_entropy" else np.zeros_like(x)
        weight = np.zeros(rows)
        value, gradient = loss(x, target, sample_weight=weight)
        assert np.isnan(value)
        np.testing.assert_array_equal(gradient, np.zeros_like(x))
        assert loss(x, target, sample_weight=weight, reduction="sum")[0] == 0
        assert np.isnan(loss(x[:0], target[:0])[0])
