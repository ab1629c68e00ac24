"""Losses of numbers: those of an input and its target, element by element."""

import mpmath
import numpy as np
import pytest
from support import DTYPES, central_difference, refused

import fastnn as fnn
from fastnn import Huber, losses
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

rng = np.random.default_rng(0)
SAMPLE_WEIGHT = rng.random(12)


def normal(*shape, dtype=np.float32, scale=3.0, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


PER_COLUMN = {"pos_weight": rng.random(7) * 3}
OTHER_PARAMS = {"huber": {"delta": 2.5}, "smooth_l1": {"beta": 0.3}}
PLAIN = {name: row.info for name, row in core.LOSSES.items() if not row.info.labels}


def arguments(info, *shape, dtype=np.float64, seed=0):
    """Return an input and a target of a loss of numbers, of values that it accepts."""
    x, t = (
        np.random.default_rng(seed + 1).uniform(0.02, 0.98, shape) if words else normal(*shape, seed=seed)
        for seed, words in zip((seed, seed + 7), reversed(info.accepts), strict=True)
    )
    return x.astype(dtype), t.astype(dtype)


def choices():
    """Return each loss of numbers with the default parameters and, where there are any, others."""
    found = []
    for name, info in PLAIN.items():
        found.append(pytest.param(info, {}, id=name))
        if name in OTHER_PARAMS:
            found.append(pytest.param(info, OTHER_PARAMS[name], id=f"{name}-{OTHER_PARAMS[name]}"))
        if info.second:
            found.append(pytest.param(info, {info.second: PER_COLUMN[info.second]}, id=f"{name}-{info.second}"))
    return found


def torch_peer(torch, function):
    """PyTorch's loss with the arguments of ours, or what its operations make of the formula where it has none."""

    def by_formula(formula):
        def loss(x, t, reduction):
            value = formula(x, t)
            return value if reduction == "none" else getattr(value, reduction)()

        return loss

    softplus = torch.nn.functional.softplus
    return {
        "half_mse_loss": by_formula(lambda x, t: (x - t) ** 2 / 2),
        "log_cosh_loss": by_formula(lambda x, t: (x - t) + softplus(-2 * (x - t)) - np.log(2)),
    }.get(function) or getattr(torch.nn.functional, function)


@pytest.mark.parametrize(("info", "options"), choices())
@pytest.mark.parametrize("name", ["float64", "float32"])
def test_losses_of_numbers_against_torch(info, options, name):
    torch = pytest.importorskip("torch")
    x, t = arguments(info, 12, 7, dtype=name)
    given = {key: torch.tensor(v.astype(name)) if key == info.second else v for key, v in options.items()}
    rtol = 1e-12 if name == "float64" else 1e-6
    for reduction in ("mean", "sum", "none"):
        tensor = torch.tensor(x, requires_grad=True)
        want = torch_peer(torch, info.function)(tensor, torch.tensor(t), reduction=reduction, **given)
        want.sum().backward()
        value, dx = getattr(F, f"{info.function}_with_grad")(x, t, reduction=reduction, **options)
        np.testing.assert_allclose(value, want.detach().numpy(), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=10 * rtol, atol=rtol)


def test_huber_where_the_formulas_meet_and_far_away(dtype, isa):
    x = np.array([0.5, 2, -2, 3, -3, np.inf, -np.inf, np.nan], dtype)
    losses, dx = F.huber_loss_with_grad(x, np.zeros_like(x), delta=2.0, reduction="none")
    np.testing.assert_array_equal(losses, [0.125, 2, 2, 4, 4, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(dx, [0.5, 2, -2, 2, -2, 2, -2, np.nan])
    for delta in (0, -1, np.nan):
        with pytest.raises(ValueError, match="^huber_loss: delta is .* was expected$"):
            F.huber_loss(x, x, delta=delta)
        with pytest.raises(ValueError, match="^Huber: delta is .* was expected$"):
            Huber(delta=delta)
    assert Huber(2.0)(x[:5], x[:5] + 1)[0] == F.huber_loss(x[:5], x[:5] + 1, delta=2.0)


def test_every_row_of_the_table_has_its_functions_and_its_class():
    for name, row in core.LOSSES.items():
        assert losses.LOSSES[name] is getattr(fnn, row.info.layer)
        for function in (row.info.function, f"{row.info.function}_with_grad"):
            assert callable(getattr(F, function))
            assert callable(getattr(R, function))
    assert set(losses.LOSSES) == set(core.LOSSES)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("info", "options"), choices())
def test_losses_of_numbers(info, options, weighted, reduction, dtype, isa):
    with_grad, reference = (getattr(module, f"{info.function}_with_grad") for module in (F, R))
    for shape in ((1, 1), (4, 3), (5,), (7, 16), (3, 33), (2, 3, 4)):
        x, t = arguments(info, *shape, dtype=dtype)
        given = {key: np.resize(v, shape[1:] and shape[-1]) if key == info.second else v for key, v in options.items()}
        given |= {"sample_weight": np.random.default_rng(2).random(shape[0])} if weighted else {}
        value, dx = with_grad(x, t, reduction=reduction, **given)
        want, want_dx = reference(x.astype(np.float64), t.astype(np.float64), reduction=reduction, **given)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(value, want, rtol=8 * eps)
        np.testing.assert_allclose(dx, want_dx, rtol=8 * eps, atol=2 * eps)
        np.testing.assert_array_equal(getattr(F, info.function)(x, t, reduction=reduction, **given), value)


@pytest.mark.parametrize(("info", "options"), choices())
def test_gradients_of_losses_of_numbers_against_central_differences(info, options, isa):
    x, t = arguments(info, 5, 7)
    for weights in ({}, {"sample_weight": SAMPLE_WEIGHT[:5]}):
        _, dx = getattr(F, f"{info.function}_with_grad")(x, t, **options, **weights)
        numeric = central_difference(lambda a: getattr(F, info.function)(a, t, **options, **weights), x)  # noqa: B023
        np.testing.assert_allclose(dx, numeric, rtol=1e-5, atol=1e-8)


def one_by_one(function, inputs, targets, dtype, **options):
    """Values and derivatives of a loss of numbers, without any reduction."""
    x, t = np.array(inputs, dtype), np.array(targets, dtype)
    return getattr(F, f"{function}_with_grad")(x, t, reduction="none", **options)


def close_to(got, exact, dtype, ulp=1):
    """Compare with exact numbers of mpmath, in units in the last place."""
    for value, true in zip(got.tolist(), exact, strict=True):
        spacing = np.spacing(dtype(abs(float(true))))
        assert abs(mpmath.mpf(value) - true) <= ulp * mpmath.mpf(float(spacing)), (value, float(true))


TAILS = [-700, -110, -90, -40, -17, -2, -1e-3, -1e-20, 0, 1e-20, 0.5, 3, 20, 60, 90, 110, 600]


def test_a_sure_logit_loses_no_digit(dtype, isa):
    with mpmath.workdps(400):
        below = [mpmath.log1p(mpmath.exp(mpmath.mpf(float(dtype(x))))) for x in TAILS]  # of target 0
        slopes = [1 / (1 + mpmath.exp(-mpmath.mpf(float(dtype(x))))) for x in TAILS]
        ulp = 0.6 if dtype == np.float32 else 4
        for sign, target in ((1, 0), (-1, 1)):
            losses, dx = one_by_one(
                "binary_cross_entropy_with_logits", sign * np.array(TAILS), [target] * len(TAILS), dtype
            )
            close_to(losses, below, dtype, ulp)
            close_to(sign * dx, slopes, dtype, ulp)


def test_binary_cross_entropy_near_0_and_1(dtype, isa):
    tiny = [1e-40, 1e-30, 1e-20, 1e-9, 1e-3, 0.25]
    with mpmath.workdps(80):
        exact = [-mpmath.log1p(-mpmath.mpf(float(dtype(p)))) for p in tiny]
        close_to(one_by_one("binary_cross_entropy", tiny, [0] * 6, dtype)[0], exact, dtype, 1.5)
        exact = [-mpmath.log(mpmath.mpf(float(dtype(p)))) for p in (1e-30, 1e-9, 0.25, 0.9999)]
        close_to(one_by_one("binary_cross_entropy", [1e-30, 1e-9, 0.25, 0.9999], [1] * 4, dtype)[0], exact, dtype, 1.5)
    losses, dx = one_by_one("binary_cross_entropy", [0, 1, 0, 1, -0.0, np.nan], [0, 1, 1, 0, 1, 0], dtype)
    np.testing.assert_array_equal(losses, [0, 0, 100, 100, 100, np.nan])
    np.testing.assert_allclose(dx, np.array([0, 0, -1e12, 1e12, -1e12, np.nan]), rtol=1e-6)


def test_log_cosh_is_accurate_near_0_and_far_away(dtype, isa):
    d = [0, 1e-30, -1e-6, 1e-3, 0.1, -0.7, 1.2, 1.2499, 1.2501, -2, 15, 50, 1e6]
    with mpmath.workdps(80):
        exact = [mpmath.mpf(float(dtype(v))) for v in d]
        losses, dx = one_by_one("log_cosh_loss", d, [0] * len(d), dtype)
        ulp = 0.6 if dtype == np.float32 else 4
        close_to(losses, [abs(v) + mpmath.log1p(mpmath.exp(-2 * abs(v))) - mpmath.log(2) for v in exact], dtype, ulp)
        close_to(dx, [mpmath.tanh(v) for v in exact], dtype, ulp)
    losses, dx = one_by_one("log_cosh_loss", [np.inf, -np.inf, np.nan], [0, 0, 0], dtype)
    np.testing.assert_array_equal(losses, [np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(dx, [1, -1, np.nan])


def test_absolute_losses_have_no_slope_where_input_and_target_are_equal(dtype, isa):
    x = [-1, 0, 2, np.inf, np.nan]
    for function, options in (("l1_loss", {}), ("smooth_l1_loss", {"beta": 0.0})):
        losses, dx = one_by_one(function, x, [0] * 5, dtype, **options)
        np.testing.assert_array_equal(losses, [1, 0, 2, np.inf, np.nan])
        np.testing.assert_array_equal(dx, [-1, 0, 1, 1, np.nan])
    losses, dx = one_by_one("smooth_l1_loss", [0.25, 0.5, -3], [0, 0, 0], dtype, beta=0.5)
    np.testing.assert_array_equal(losses, [0.0625, 0.25, 2.75])
    np.testing.assert_array_equal(dx, [0.5, 1, -1])


def test_a_weight_of_positive_targets_belongs_to_its_column(dtype, isa):
    x, t = normal(4, 3, dtype=dtype), np.array([[0, 1, 0.5]] * 4, dtype)
    weight = np.array([2, 3, 0.5])
    plain = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    losses = F.binary_cross_entropy_with_logits(x, t, reduction="none", pos_weight=weight)
    np.testing.assert_array_equal(losses[:, 0], plain[:, 0])
    np.testing.assert_allclose(losses[:, 1], 3 * plain[:, 1], rtol=1e-6)
    every = F.binary_cross_entropy_with_logits(
        np.stack([x, x], 1), np.stack([t, t], 1), reduction="none", pos_weight=weight
    )
    np.testing.assert_array_equal(every[:, 1], losses)
    for one in (2, [2], [[2.0]]):
        np.testing.assert_array_equal(
            F.binary_cross_entropy_with_logits(x[:, 1], t[:, 1], pos_weight=one),
            F.binary_cross_entropy_with_logits(x[:, 1:2], t[:, 1:2], pos_weight=[2]),
        )
    loss = fnn.BCEWithLogits(weight)
    assert loss.pos_weight == (2, 3, 0.5)
    assert loss == fnn.BCEWithLogits([2, 3, 0.5])
    assert loss(x, t)[0] == F.binary_cross_entropy_with_logits(x, t, pos_weight=weight)


HALF = np.full((3, 2), 0.5, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.binary_cross_entropy(HALF, [[0, 1], [1, 2], [0, 0]]), ValueError,
         "binary_cross_entropy: target is 2.0 at row 1, column 1 but a value in [0, 1] was expected"),
        (lambda: F.binary_cross_entropy(HALF - [[0, 0], [0, 0], [0.75, 0]], HALF), ValueError,
         "binary_cross_entropy: input is -0.25 at row 2, column 0 but a value in [0, 1] was expected"),
        (lambda: F.binary_cross_entropy([0.5, 1.5], [0, 1]), ValueError,
         "binary_cross_entropy: input is 1.5 at row 1 but a value in [0, 1] was expected"),
        (lambda: F.binary_cross_entropy(2, 1), ValueError, "binary_cross_entropy: input is 2.0 but a value in [0, 1] was expected"),
        (lambda: F.binary_cross_entropy_with_logits(HALF[None], np.stack([HALF + [0, 1]])), ValueError,
         "binary_cross_entropy_with_logits: target is 1.5 at row 0, column (0, 1) but a value in [0, 1] was expected"),
        (lambda: F.binary_cross_entropy_with_logits(HALF, HALF, pos_weight=[1, 2, 3]), ValueError,
         "binary_cross_entropy_with_logits: pos_weight has shape (3,) but one number per column, (2,), was expected"),
        (lambda: F.binary_cross_entropy_with_logits(HALF[:, 0], HALF[:, 0], pos_weight=[1, 2, 3]), ValueError,
         "binary_cross_entropy_with_logits: pos_weight has shape (3,) but one number per column, (1,), was expected"),
        (lambda: F.binary_cross_entropy_with_logits(HALF, HALF, pos_weight=[1, -2]), ValueError,
         "binary_cross_entropy_with_logits: pos_weight[1] is -2.0 but a number of at least 0 was expected"),
        (lambda: F.binary_cross_entropy_with_logits(HALF, HALF, weight=1), TypeError,
         "binary_cross_entropy_with_logits: unknown parameter 'weight' (binary_cross_entropy_with_logits takes pos_weight)"),
        (lambda: F.smooth_l1_loss(HALF, HALF, beta=-1), ValueError, "smooth_l1_loss: beta is -1 but a number of at least 0 was expected"),
        (lambda: fnn.BCEWithLogits(pos_weight=[[1.0, 2.0]]), ValueError,
         "BCEWithLogits: pos_weight has shape (1, 2) but one number per column was expected"),
        (lambda: fnn.BCEWithLogits(pos_weight=[1, -1]), ValueError,
         "BCEWithLogits: pos_weight[1] is -1.0 but a number of at least 0 was expected"),
        (lambda: fnn.BCEWithLogits(pos_weight=["a"]), TypeError,
         "BCEWithLogits: pos_weight has dtype <U1 but a real dtype of at most float64 was expected"),
    ],
)  # fmt: skip
def test_errors_of_losses_of_numbers(call, error, message):
    refused(call, error, message)


def test_a_number_that_is_not_accepted_leaves_the_output_alone(isa):
    for shape in ((40, 7), (300,)):
        x, out = np.full(shape, 0.5), np.full(shape, 7.0)
        for at in (0, 17, x.size - 1):
            target = x.copy()
            target.flat[at] = 1 + 1e-15
            for loss in (F.binary_cross_entropy_with_grad, F.binary_cross_entropy_with_logits_with_grad):
                with pytest.raises(ValueError, match=rf"target is 1.000000000000001 at row {at // x[0].size}\b"):
                    loss(x, target, out=out)
        assert (out == 7).all()


def test_a_column_is_a_vector_and_nothing_is_broadcast(dtype):
    x, t = normal(5, dtype=dtype), normal(5, dtype=dtype, seed=1)
    want = F.mse_loss(x, t)
    assert F.mse_loss(x[:, None], t) == want
    loss, dx = F.mse_loss_with_grad(x, t[:, None])
    assert loss == want
    assert dx.shape == (5,)
    with pytest.raises(ValueError, match="equal shapes"):
        F.mse_loss(x[:, None], t[None])
    a = x.copy()
    assert F.mse_loss_with_grad(a, t, out=a)[1] is a
    np.testing.assert_array_equal(a, dx)


def test_sums_over_rows_are_float64():
    x = np.full((100_000, 1), 0.1, np.float32)
    assert F.mse_loss(x, np.zeros_like(x)) == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-12)
    assert [np.float32, np.float64] == DTYPES
