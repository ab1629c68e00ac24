"""Losses of numbers: those of an input and its target, element by element."""

import mpmath
import numpy as np
import pytest
from support import DTYPES, central_difference, refused

import fastnn as fnn
from fastnn import Huber
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

rng = np.random.default_rng(0)
SAMPLE_WEIGHT = rng.random(12)


def normal(*shape, dtype=np.float32, scale=3.0, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


OTHER_PARAMS = {
    "huber": [{"delta": 2.5}],
    "smooth_l1": [{"beta": 0.3}],
    "focal_with_logits": [{"gamma": 0.0}, {"gamma": 1.5, "alpha": 0.25}, {"alpha": 1.0}],
    "poisson_nll": [{"full": True}, {"log_input": False}, {"log_input": False, "full": True, "eps": 0.1}],
    "kl_div": [{"log_target": True}],
    "gaussian_nll": [{"full": True, "eps": 0.5}],
}
PLAIN = {name: row.info for name, row in core.LOSSES.items() if not row.info.labels}


def uniform(low, high, *shape, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape)


def arguments(info, *shape, dtype=np.float64, params=None):
    """Return an input and what else a loss of numbers takes by place, of values that it accepts."""
    x, t = normal(*shape, dtype=np.float64), normal(*shape, dtype=np.float64, seed=7)
    if info.accepts[1]:
        x = uniform(0.02, 0.98, *shape)
    if info.accepts[0] == "-1 or 1":
        t = np.where(t < 0, -1.0, 1.0)
    elif info.accepts[0] or info.name == "kl_div":
        t = uniform(0.02, 0.98, *shape, seed=8)
    elif info.name == "poisson_nll":
        t = np.floor(uniform(0, 6, *shape, seed=8))
    if params == {"log_target": True}:
        t = np.log(t)
    if (params or {}).get("log_input") is False:
        x = np.abs(x) + 0.1
    others = [t[:, 0] if info.shared else t]
    if info.pair:
        others.append(uniform(0.1, 3, *shape, seed=9))
    return x.astype(dtype), [a.astype(dtype) for a in others]


def per_column(info, shape):
    """Return a second argument for each column."""
    columns = shape[-1] if shape[1:] else 1
    return np.linspace(0.1, 0.9, columns) if info.columns else 3 * uniform(0, 1, columns, seed=5)


def choices():
    """Return each loss of numbers with the default parameters and, where there are any, others; and with a second argument."""
    found = []
    for name, info in PLAIN.items():
        every = [{}, *OTHER_PARAMS.get(name, [])]
        found += [pytest.param(info, params, bool(info.columns), id=f"{name}-{params}") for params in every]
        if info.second and not info.columns and not info.pair:
            found.append(pytest.param(info, {}, True, id=f"{name}-{info.second}"))
    return found


def focal(torch, x, t, gamma=2.0, alpha=None):
    p = torch.sigmoid(x)
    miss = t * (1 - p) + (1 - t) * p
    factor = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    return factor * miss**gamma * torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")


def quantile(torch, x, t, quantiles):
    d = t[:, None] - x
    return torch.maximum(quantiles * d, (quantiles - 1) * d)


PEERS = {  # the function of torch.nn.functional, or the formula in PyTorch's operations where it has none
    "mse": "mse_loss",
    "huber": "huber_loss",
    "half_mse": lambda torch, x, t: (x - t) ** 2 / 2,
    "l1": "l1_loss",
    "smooth_l1": "smooth_l1_loss",
    "log_cosh": lambda torch, x, t: (x - t) + torch.nn.functional.softplus(-2 * (x - t)) - np.log(2),
    "binary_cross_entropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits",
    "focal_with_logits": focal,
    "hinge": lambda torch, x, t: torch.relu(1 - t * x),
    "squared_hinge": lambda torch, x, t: torch.relu(1 - t * x) ** 2,
    "soft_margin": "soft_margin_loss",
    "poisson_nll": "poisson_nll_loss",
    "kl_div": "kl_div",
    "quantile": quantile,
    "gaussian_nll": "gaussian_nll_loss",
}


def torch_peer(torch, name):
    """PyTorch's loss with the arguments of ours."""
    peer = PEERS[name]
    if isinstance(peer, str):
        return getattr(torch.nn.functional, peer)

    def loss(*tensors, reduction, **params):
        value = peer(torch, *tensors, **params)
        return value if reduction == "none" else getattr(value, reduction)()

    return loss


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # of kl_div, about the mean it has
@pytest.mark.parametrize(("info", "params", "columns"), choices())
@pytest.mark.parametrize("name", ["float64", "float32"])
def test_losses_of_numbers_against_torch(info, params, columns, name):
    torch = pytest.importorskip("torch")
    x, others = arguments(info, 12, 7, dtype=name, params=params)
    second = {info.second: per_column(info, x.shape).astype(name)} if columns else {}
    rtol = 1e-12 if name == "float64" else 1e-6
    for reduction in ("mean", "sum", "none"):
        tensors = [torch.tensor(a) for a in (x, *others)]
        wanted = [tensors[0], *tensors[2:]]
        for tensor in wanted:
            tensor.requires_grad_()
        given = params | {key: torch.tensor(v) for key, v in second.items()}
        want = torch_peer(torch, info.name)(*tensors, reduction=reduction, **given)
        want.sum().backward()
        value, *gradients = getattr(F, f"{info.function}_with_grad")(
            x, *others, reduction=reduction, **params, **second
        )
        np.testing.assert_allclose(value, want.detach().numpy(), rtol=rtol, atol=rtol)
        for gradient, tensor in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=rtol, atol=rtol)


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


def test_a_number_that_is_refused_is_named_wherever_it_stands_and_out_stays_as_it_is(dtype, isa):
    x, t = uniform(0.1, 0.9, 200, 60).astype(dtype), uniform(0, 1, 200, 60, seed=1).astype(dtype)
    var = uniform(0.5, 2, 200, 60, seed=2).astype(dtype)
    t[150, 7], var[199, 59] = 2, -1
    target = "target is 2.0 at row 150, column 7 but a value in [0, 1] was expected"
    for out in (None, np.full_like(x, 7)):
        refused(
            lambda out=out: F.binary_cross_entropy_with_grad(x, t, out=out),
            ValueError,
            f"binary_cross_entropy_with_grad: {target}",
        )
        message = (
            "gaussian_nll_loss_with_grad: var is -1.0 at row 199, column 59 but a number of at least 0 was expected"
        )
        refused(lambda out=out: F.gaussian_nll_loss_with_grad(x, t, var, out=out), ValueError, message)
        assert out is None or (out == 7).all()
    refused(lambda: F.binary_cross_entropy(x, t, reduction="none"), ValueError, f"binary_cross_entropy: {target}")
    x[190, 0] = -1  # the input is looked at first
    message = "binary_cross_entropy: input is -1.0 at row 190, column 0 but a value in [0, 1] was expected"
    refused(lambda: F.binary_cross_entropy(x, t), ValueError, message)


SHAPES = [(1, 1), (4, 3), (5,), (7, 16), (3, 33), (2, 3, 4)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("info", "params", "columns"), choices())
def test_losses_of_numbers(info, params, columns, weighted, reduction, dtype, isa):
    with_grad, reference = (getattr(module, f"{info.function}_with_grad") for module in (F, R))
    eps = np.finfo(dtype).eps
    for shape in [shape for shape in SHAPES if len(shape) == 2 or not info.shared]:
        x, others = arguments(info, *shape, dtype=dtype, params=params)
        given = params | ({info.second: per_column(info, shape).astype(dtype)} if columns else {})
        given |= {"sample_weight": np.random.default_rng(2).random(shape[0])} if weighted else {}
        value, *gradients = with_grad(x, *others, reduction=reduction, **given)
        want = reference(*(a.astype(np.float64) for a in (x, *others)), reduction=reduction, **given)
        size = np.abs(
            getattr(R, info.function)(*(a.astype(np.float64) for a in (x, *others)), reduction="none", **given)
        ).max()
        np.testing.assert_allclose(
            value, want[0], rtol=8 * eps, atol=(4 * eps) * size * (x.size if reduction == "sum" else 1)
        )
        for gradient, exact in zip(gradients, want[1:], strict=True):
            np.testing.assert_allclose(gradient, exact, rtol=8 * eps, atol=4 * eps * max(1, np.abs(exact).max()))
        np.testing.assert_array_equal(getattr(F, info.function)(x, *others, reduction=reduction, **given), value)


@pytest.mark.parametrize(("info", "params", "columns"), choices())
def test_gradients_of_losses_of_numbers_against_central_differences(info, params, columns, isa):
    x, others = arguments(info, 5, 7, params=params)
    params = params | ({info.second: per_column(info, x.shape)} if columns else {})
    if info.pair:
        others[1] = np.maximum(others[1], params.get("eps", 0) + 0.01)  # a variance below eps has the gradient of eps
    for weights in ({}, {"sample_weight": SAMPLE_WEIGHT[:5]}):
        _, *gradients = getattr(F, f"{info.function}_with_grad")(x, *others, **params, **weights)
        for gradient, place in zip(gradients, (0, 2), strict=False):
            every = [x, *others]

            def f(a, every=every, place=place, weights=weights):
                every = [a if k == place else b for k, b in enumerate(every)]
                return getattr(F, info.function)(*every, **params, **weights)

            np.testing.assert_allclose(gradient, central_difference(f, every[place]), rtol=1e-5, atol=1e-8)


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


def test_focal_loss_of_sure_predictions(dtype, isa):
    with mpmath.workdps(60):
        x = [-30.0, -5.0, 0.5, 4.0, 12.0]
        p = [1 / (1 + mpmath.exp(-mpmath.mpf(v))) for v in x]
        losses, dx = one_by_one("focal_loss_with_logits", x, [1] * 5, dtype)
        close_to(losses, [-((1 - q) ** 2) * mpmath.log(q) for q in p], dtype, 0.6 if dtype == np.float32 else 8)
        exact = [(1 - q) ** 2 * (2 * q * mpmath.log(q) - (1 - q)) for q in p]
        close_to(dx, exact, dtype, 0.6 if dtype == np.float32 else 8)
        losses, _ = one_by_one("focal_loss_with_logits", [1.0, -2.0], [1, 0], dtype, gamma=0.5, alpha=0.25)
        exact = [
            -((1 - q) ** 0.5) * mpmath.log(q) * a
            for q, a in ((1 / (1 + mpmath.exp(-1)), 0.25), (1 / (1 + mpmath.exp(-2)), 0.75))
        ]
        close_to(losses, exact, dtype, 0.6 if dtype == np.float32 else 8)
    for sure in (800.0, np.finfo(dtype).max):
        losses, dx = one_by_one("focal_loss_with_logits", [sure, -sure], [1, 0], dtype)
        np.testing.assert_array_equal([losses, dx], 0)


def test_margins_have_no_slope_where_they_end(dtype, isa):
    x, t = [2, 1, 0, -1, 1, -3, np.nan], [1, 1, 1, 1, -1, -1, 1]
    losses, dx = one_by_one("hinge_loss", x, t, dtype)
    np.testing.assert_array_equal(losses, [0, 0, 1, 2, 2, 0, np.nan])
    np.testing.assert_array_equal(dx, [0, 0, -1, -1, 1, 0, np.nan])
    losses, dx = one_by_one("squared_hinge_loss", x, t, dtype)
    np.testing.assert_array_equal(losses, [0, 0, 1, 4, 4, 0, np.nan])
    np.testing.assert_array_equal(dx, [0, 0, -2, -4, 4, 0, np.nan])
    losses, dx = one_by_one("soft_margin_loss", TAILS, [-1] * len(TAILS), dtype)
    want = one_by_one("binary_cross_entropy_with_logits", TAILS, [0] * len(TAILS), dtype)
    np.testing.assert_array_equal(losses, want[0])
    np.testing.assert_array_equal(dx, want[1])


def test_poisson_and_kl_div_at_their_edges(dtype, isa):
    losses, dx = one_by_one("poisson_nll_loss", [0, 1000, -1000, np.nan], [0, 1, 0, 1], dtype)
    np.testing.assert_array_equal(losses, [1, np.inf, 0, np.nan])
    np.testing.assert_array_equal(dx, [1, np.inf, 0, np.nan])
    assert F.poisson_nll_loss(np.full(3, 1000, dtype), np.ones(3)) == np.inf
    losses, dx = one_by_one("poisson_nll_loss", [2, 0, -1], [0, 2, 1], dtype, log_input=False, eps=0.0)
    np.testing.assert_array_equal(losses, [2, np.inf, np.nan])
    np.testing.assert_array_equal(dx, [1, -np.inf, 2])
    losses, dx = one_by_one("kl_div", [-1, -3, np.nan], [0, -1e-40, 0.5], dtype)
    np.testing.assert_array_equal(losses, [0, np.nan, np.nan])
    tiny = float(dtype(1e-40))
    losses, dx = one_by_one("kl_div", [0], [tiny], dtype)
    np.testing.assert_allclose(losses, tiny * np.log(tiny), rtol=1e-4 if dtype == np.float32 else 1e-14)
    np.testing.assert_array_equal(dx, -np.array([tiny], dtype))


def test_quantiles_stand_in_columns(dtype, isa):
    x, t = np.array([[1, 1, 1], [2, 0, 5]], dtype), np.array([3, 2], dtype)
    losses, dx = F.quantile_loss_with_grad(x, t, reduction="none")
    np.testing.assert_allclose(losses, [[0.2, 1, 1.8], [0, 1, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(dx, [[-0.1, -0.5, -0.9], [0, -0.5, 0.1]], rtol=1e-6)
    assert F.quantile_loss(x, t[:, None]) == pytest.approx(losses.mean(), rel=1e-6)
    assert fnn.Quantile((0.1, 0.5, 0.9)) == fnn.Quantile()
    assert fnn.Quantile([0.25])(x[:, :1], t)[0] == F.quantile_loss(x[:, :1], t, quantiles=(0.25,))


def test_gaussian_variances_and_their_logarithms(dtype, isa):
    x, (t, var) = arguments(PLAIN["gaussian_nll"], 6, 5, dtype=dtype)
    eps = float(np.finfo(dtype).eps)
    for params in ({}, {"full": True}, {"eps": 0.5}):
        want, dx, dvar = F.gaussian_nll_loss_with_grad(x, t, var, **params)
        value, gradient = fnn.GaussianNLL(**params)(np.concatenate([x, np.log(var)], 1), t)
        assert value == pytest.approx(want, rel=10 * eps)
        np.testing.assert_allclose(gradient, np.concatenate([dx, dvar * var], 1), rtol=40 * eps, atol=eps)
    value, dx, dvar = F.gaussian_nll_loss_with_grad(x[:, 0], t[:, :1], var[:, 0])
    assert (dx.shape, dvar.shape) == ((6,), (6,))
    value, gradient = fnn.GaussianNLL()(np.stack([x[:, 0], np.log(var[:, 0])], 1), t[:, 0])
    np.testing.assert_allclose(gradient[:, 0], dx, rtol=1e-5)
    assert fnn.GaussianNLL()(np.array([[0, -2000.0]]), [[1e-4]])[0] == pytest.approx((np.log(1e-6) + 0.01) / 2)


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
        (lambda: F.hinge_loss([0.5, 2], [1, 0]), ValueError, "hinge_loss: target is 0.0 at row 1 but -1 or 1 was expected"),
        (lambda: F.soft_margin_loss(HALF, [[1, -1], [1, 1], [1, 0.5]]), ValueError,
         "soft_margin_loss: target is 0.5 at row 2, column 1 but -1 or 1 was expected"),
        (lambda: F.quantile_loss(HALF, [1, 2, 3], quantiles=(0.5, 1)), ValueError,
         "quantile_loss: quantiles[1] is 1.0 but a value between 0 and 1 was expected"),
        (lambda: F.quantile_loss(HALF, [1, 2, 3]), ValueError,
         "quantile_loss: quantiles has shape (3,) but one number per column, (2,), was expected"),
        (lambda: F.quantile_loss(HALF, [1, 2, 3], quantiles=(0.5,)), ValueError,
         "quantile_loss: quantiles has shape (1,) but one number per column, (2,), was expected"),
        (lambda: F.quantile_loss(HALF, HALF, quantiles=(0.5, 0.7)), ValueError,
         "quantile_loss: target has shape (3, 2) but one number per row, (3,), was expected"),
        (lambda: F.quantile_loss(HALF[0], 1), ValueError, "quantile_loss: input has shape (2,) but (batch, columns) was expected"),
        (lambda: F.gaussian_nll_loss(HALF, HALF, HALF - [[0, 0], [0, 1], [0, 0]]), ValueError,
         "gaussian_nll_loss: var is -0.5 at row 1, column 1 but a number of at least 0 was expected"),
        (lambda: F.gaussian_nll_loss(HALF, HALF, HALF[0]), ValueError,
         "gaussian_nll_loss: input has shape (3, 2) but var has shape (2,); equal shapes were expected"),
        (lambda: F.gaussian_nll_loss(HALF, HALF, HALF, eps=0), ValueError, "gaussian_nll_loss: eps is 0 but a positive number was expected"),
        (lambda: F.focal_loss_with_logits(HALF, HALF, alpha=2), ValueError,
         "focal_loss_with_logits: alpha is 2 but a value in [0, 1] was expected"),
        (lambda: F.focal_loss_with_logits(HALF, HALF, gamma=None), TypeError,
         "focal_loss_with_logits: gamma is None but a number was expected"),
        (lambda: F.poisson_nll_loss(HALF, HALF, log_input="no"), TypeError,
         "poisson_nll_loss: log_input is 'no' but True or False was expected"),
        (lambda: fnn.KLDiv(log_target=2), TypeError, "KLDiv: log_target is 2 but True or False was expected"),
        (lambda: fnn.FocalWithLogits(gamma=np.inf), ValueError, "FocalWithLogits: gamma is inf but a finite number was expected"),
        (lambda: F.focal_loss_with_logits(HALF, HALF, alpha=np.nan), ValueError,
         "focal_loss_with_logits: alpha is nan but a number was expected"),
        (lambda: fnn.MSE(beta=1), TypeError, "MSE: unknown parameter 'beta' (MSE takes none)"),
        (lambda: fnn.Quantile((0.5, 2)), ValueError, "Quantile: quantiles[1] is 2.0 but a value between 0 and 1 was expected"),
        (lambda: fnn.GaussianNLL()(HALF[:, :1], HALF[:, 0]), ValueError,
         "GaussianNLL: output has shape (3, 1) but (batch, 2 k) was expected: k means, then k logarithms of variances"),
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
