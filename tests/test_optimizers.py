"""Optimizer updates: against float64, against PyTorch and scikit-learn, in place, gates."""

import re
from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest
from support import SIZES, refused

import fastnn as fnn
from fastnn import SGD, Adam, Rprop, optim
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

ADAM_OPTIONS = [{"lr": 0.1}, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}, {"lr": 0.1, "weight_decay": 0.1}]
CASES = {  # each row of the table with options that are not its defaults, every one of them
    "sgd": [{"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.01}, {"lr": 0.1, "momentum": 0.9},
            {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
            {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}],
    "adagrad": [{"lr": 0.1}, {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3}, {"lr": 0.1, "initial_accumulator_value": 0.5},
                {"lr": 0.1, "weight_decay": 0.1}],
    "adadelta": [{"lr": 0.7}, {"lr": 0.5, "rho": 0.5, "eps": 1e-3}, {"lr": 0.5, "weight_decay": 0.1}],
    "rmsprop": [{"lr": 0.1}, {"lr": 0.01, "alpha": 0.5, "eps": 1e-3}, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1},
                {"lr": 0.01, "centered": True}, {"lr": 0.01, "centered": True, "momentum": 0.5}],
    "adam": [*ADAM_OPTIONS, {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}, {"lr": 0.1, "eps": 1e-2, "eps_hat": True}],
    "adamw": [*ADAM_OPTIONS, {"lr": 0.1, "weight_decay": 0.0}, {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)}],
    "adamax": ADAM_OPTIONS,
    "nadam": [*ADAM_OPTIONS, {"lr": 0.1, "momentum_decay": 0.5},
              {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}],
    "radam": [*ADAM_OPTIONS, {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}],
    "lion": [{"lr": 0.1}, {"lr": 0.1, "betas": (0.5, 0.7)}, {"lr": 0.1, "weight_decay": 0.1}],
    "rprop": [{"lr": 0.1}, {"lr": 0.1, "etas": (0.3, 1.5)}, {"lr": 0.1, "step_sizes": (0.05, 0.2)}],
}  # fmt: skip
PAIRS = [(name, options) for name, table in CASES.items() for options in table]
EACH = pytest.mark.parametrize(("name", "options"), PAIRS, ids=str)
PEERS = {  # the class of torch.optim; of Lion, which it has not, the test after its paper
    "sgd": "SGD", "adagrad": "Adagrad", "adadelta": "Adadelta", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW",
    "adamax": "Adamax", "nadam": "NAdam", "radam": "RAdam", "lion": None, "rprop": "Rprop",
}  # fmt: skip
EACH_OF_TORCH = pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, options in PAIRS if PEERS[name] and "eps_hat" not in options],
    ids=str,
)


def run(module, name, options, param, grads):
    """Return the parameters after one update per gradient."""
    param, info = param.copy(), core.OPTIMIZERS[name].info
    state = [np.zeros_like(param) for _ in info.slots]
    for step, grad in enumerate(grads, 1):
        counted = {"step": step} if info.counts or info.counts_if else {}
        getattr(module, f"{name}_update")(param, grad, *state, **options, **counted)
    return param


def test_every_row_and_every_option_has_a_case():
    assert set(CASES) == set(core.OPTIMIZERS)
    for name, table in CASES.items():
        tried = {option for options in table for option in options if options[option] != fields(name)[option]}
        assert tried == set(fields(name)), name


def fields(name):
    """The options of a row, with their defaults."""
    return core.OPTIMIZERS[name].info.params


def test_every_row_has_a_docstring_with_formula_and_source():
    for name in core.OPTIMIZERS:
        doc = getattr(F, f"{name}_update").__doc__
        summary, formula = doc.split("\n\n")[:2]
        assert re.search(r"as ``torch\.optim\.\w+``|et al\., 20\d\d", summary), name
        assert "param -= " in formula, name
        assert all(word in doc for word in fields(name)), name


@EACH
def test_against_the_reference(name, options, dtype, isa):
    rng = np.random.default_rng(0)
    for n in SIZES:
        param, grads = rng.standard_normal(n).astype(dtype), rng.standard_normal((5, n)).astype(dtype)
        got = run(F, name, options, param, grads)
        want = run(R, name, options, param.astype(np.float64), grads.astype(np.float64))
        np.testing.assert_allclose(got, want, rtol=40 * np.finfo(dtype).eps, atol=40 * np.finfo(dtype).eps)


@EACH_OF_TORCH
def test_fifty_steps_against_torch(name, options, isa):
    torch = pytest.importorskip("torch")
    kind = getattr(torch.optim, PEERS[name])
    rng = np.random.default_rng(0)
    param, grads = rng.standard_normal(19), rng.standard_normal((50, 19))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which its optimizers keep numbers of their own
    try:
        tensor = torch.tensor(param, requires_grad=True)
        optimizer = kind([tensor], **options)
        for grad in grads:
            tensor.grad = torch.tensor(grad)
            optimizer.step()
    finally:
        torch.set_default_dtype(before)
    np.testing.assert_allclose(run(F, name, options, param, grads), tensor.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_fifty_steps_of_adam_with_eps_hat_are_those_of_scikit_learn():
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    rng = np.random.default_rng(0)
    param, grads = rng.standard_normal(19), rng.standard_normal((50, 19))
    want, theirs = param.copy(), optimizers.AdamOptimizer([param], 0.1, 0.8, 0.99, 0.01)
    for grad in grads:
        want += theirs._get_updates([grad])[0]
    options = {"lr": 0.1, "betas": (0.8, 0.99), "eps": 0.01}
    np.testing.assert_allclose(run(F, "adam", options | {"eps_hat": True}, param, grads), want, rtol=1e-12)
    assert np.abs(run(F, "adam", options, param, grads) - want).max() > 1e-3


def test_lion_is_algorithm_2_of_its_paper():
    rng = np.random.default_rng(0)
    w, m, grads = rng.standard_normal(19), np.zeros(19), rng.standard_normal((50, 19))
    param, lr, (beta1, beta2), decay = w.copy(), 0.01, (0.9, 0.99), 0.1
    for g in grads:
        c = beta1 * m + (1 - beta1) * g
        w = w - lr * (np.sign(c) + decay * w)
        m = beta2 * m + (1 - beta2) * g
    got = run(F, "lion", {"lr": lr, "betas": (beta1, beta2), "weight_decay": decay}, param, grads)
    np.testing.assert_allclose(got, w, rtol=1e-12)


def test_fifty_steps_of_lion_are_those_of_optax():
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    rng = np.random.default_rng(0)
    param, grads = rng.standard_normal(19), rng.standard_normal((50, 19))
    for options in CASES["lion"]:
        b1, b2 = options.get("betas", (0.9, 0.99))
        theirs = optax.lion(options["lr"], b1, b2, weight_decay=options.get("weight_decay", 0.0))
        with jax.enable_x64(True):
            want = jax.numpy.asarray(param)
            state = theirs.init(want)
            for grad in grads:
                updates, state = theirs.update(jax.numpy.asarray(grad), state, want)
                want = optax.apply_updates(want, updates)
        np.testing.assert_allclose(run(F, "lion", options, param, grads), want, rtol=1e-9, atol=1e-12)


def test_the_sign_of_lion_is_0_at_0_and_keeps_nan(dtype, isa):
    param, m = np.ones(3, dtype), np.zeros(3, dtype)
    F.lion_update(param, np.array([0, np.nan, -1], dtype), m, lr=0.5)
    np.testing.assert_array_equal(param, [1, np.nan, 1.5])


def test_rprop_goes_back_to_a_halved_step_where_the_gradient_changes_its_sign(dtype, isa):
    param, prev, size = (np.zeros(1, dtype) for _ in range(3))
    path = []
    for step, grad in enumerate([1, 1, -1, -1, 1, 0], 1):
        F.rprop_update(param, np.full(1, grad, dtype), prev, size, step=step, lr=1.0, etas=(0.5, 2.0))
        path.append((float(param[0]), float(prev[0]), float(size[0])))
    assert path == [(-1, 1, 1), (-3, 1, 2), (-3, 0, 1), (-2, -1, 1), (-2, 0, 0.5), (-2, 0, 0.5)]


def test_dampening_spares_the_first_step():
    param, velocity = np.zeros(1), np.zeros(1)
    for step in (1, 2):
        F.sgd_update(param, np.ones(1), velocity, step=step, lr=1.0, momentum=0.5, dampening=0.75)
        assert velocity[0] == (1 if step == 1 else 0.75)


def test_a_centered_variance_is_never_negative(dtype, isa):
    param, square, mean = (np.zeros(9, dtype) for _ in range(3))
    for _ in range(300):  # equal gradients: the true difference falls to 0, rounding makes it negative
        F.rmsprop_update(param, np.full(9, 0.1, dtype), square, None, mean, lr=1e-3, alpha=0.5, eps=1.0, centered=True)
    assert np.isfinite(param).all()
    np.testing.assert_allclose(param, -300 * 1e-4, rtol=1e-2)


@pytest.mark.parametrize("decay", [0.0, 0.004, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("step", [1, 2, 50, 1000, 20000])
@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_the_product_of_momenta_of_nadam(isa, beta, step, decay):
    # m and v stay 1 and 0 where beta1 keeps all of m: what remains of the step are its two rates.
    options = {"step": step, "lr": 1.0, "betas": (beta, 0.0), "eps": 1.0, "momentum_decay": decay}
    param, m = np.zeros(1), np.ones(1)
    F.nadam_update(param, np.ones(1), m, np.ones(1), **options)
    t = np.arange(1, step + 2)
    mu = beta * (1 - 0.5 * np.exp(t * decay * np.log(0.96)))
    log_product = np.log(mu[:-1]).sum() if beta else -np.inf
    one_minus, one_minus_next = -np.expm1([log_product, log_product + np.log(mu[-1])] if beta else [-np.inf] * 2)
    want = (1 - mu[-2]) / one_minus + mu[-1] / one_minus_next
    np.testing.assert_allclose(-2 * param[0], want, rtol=1e-12)


@EACH
@pytest.mark.parametrize("module", [F, R], ids=["kernel", "reference"])
def test_a_moment_without_gradients_falls_to_0_and_not_to_subnormal_numbers(module, name, options, dtype, isa):
    smallest, info = np.finfo(dtype).smallest_normal, core.OPTIMIZERS[name].info
    param, none = np.zeros(4, dtype), np.zeros(4, dtype)
    slots = [np.array([smallest, -smallest, 4 * smallest, np.nan], dtype) for _ in info.slots]
    for step in range(1, 41):
        counted = {"step": step} if info.counts or info.counts_if else {}
        getattr(module, f"{name}_update")(param, none, *slots, **options, **counted)
    for slot in slots:
        assert not ((slot != 0) & (np.abs(slot) < smallest)).any()


def test_a_dead_unit_is_left_without_momentum(dtype, isa):
    param, velocity = np.zeros(3, dtype), np.array([1, -1, np.nan], dtype)
    for _ in range(10_000):
        F.sgd_update(param, np.zeros(3, dtype), velocity, step=2, lr=1.0, momentum=0.9)
    np.testing.assert_array_equal(velocity, np.array([0, 0, np.nan], dtype))
    np.testing.assert_allclose(param, [-9, 9, np.nan], rtol=100 * np.finfo(dtype).eps)


def test_nadam_of_a_late_step_costs_no_more_than_some_thousand_factors():
    param, m, v = np.zeros(1), np.zeros(1), np.zeros(1)
    F.nadam_update(param, np.ones(1), m, v, step=2**62, lr=1.0, betas=(1 - 2.0**-40, 0.5), momentum_decay=100.0)
    assert np.isfinite(param).all()


def test_each_multiply_add_is_one_rounding(isa):
    # 1 + 2^-13 squared has a bit that a separate product loses: lr * grad must not be rounded before it meets param.
    small = np.float32(1 + 2.0**-13)
    param = np.full(20, -(small * small), np.float32)
    F.sgd_update(param, np.full(20, -small), lr=float(small))
    np.testing.assert_array_equal(param, np.float32(2.0**-26))


def test_layouts_of_parameters(dtype):
    base = np.arange(24, dtype=dtype).reshape(4, 6)
    want = base[:, ::2] - 0.5
    view = base[:, ::2]
    F.sgd_update(view, np.ones((4, 3)) if dtype == np.float64 else np.ones((4, 3), np.float32), lr=0.5)
    np.testing.assert_array_equal(base[:, ::2], want)
    np.testing.assert_array_equal(base[:, 1], np.arange(1, 24, 6))
    turned, state = np.ones((3, 2), dtype).T, np.zeros((3, 2), dtype).T
    F.sgd_update(turned, np.ones((2, 3), np.float32), state, lr=1.0, momentum=0.5)
    np.testing.assert_array_equal(turned, 0)
    np.testing.assert_array_equal(state, 1)


P = np.zeros(3, np.float32)
READ_ONLY = np.broadcast_to(np.float32(0), (3,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.sgd_update([1.0], [1.0], lr=1), TypeError,
         "sgd_update: param is list but an ndarray was expected: it is updated in place"),
        (lambda: F.sgd_update(READ_ONLY, P, lr=1), ValueError, "sgd_update: param is read-only but is updated in place"),
        (lambda: F.sgd_update(P.astype(int), P, lr=1), TypeError,
         "sgd_update: param has dtype int64 but float32 or float64 was expected"),
        (lambda: F.sgd_update(P, P[:2], lr=1), ValueError,
         "sgd_update: grad has shape (2,) but param has shape (3,); equal shapes were expected"),
        (lambda: F.sgd_update(P, P, lr=1, momentum=0.9), ValueError,
         "sgd_update: momentum is 0.9 but velocity is None; an array shaped like param was expected"),
        (lambda: F.sgd_update(P, P, lr=1, nesterov=True), ValueError, "sgd_update: nesterov needs a momentum other than 0"),
        (lambda: F.sgd_update(P, P, lr=1, momentum=0.9, dampening=0.1, nesterov=True), ValueError,
         "sgd_update: nesterov needs a dampening of 0"),
        (lambda: F.sgd_update(P, P, P.copy(), lr=1, momentum=0.9, dampening=0.1), TypeError,
         "sgd_update: step is missing, which dampening needs"),
        (lambda: F.adam_update(P, P, P.copy(), P.copy(), step=1, lr=1, amsgrad=True), ValueError,
         "adam_update: amsgrad is True but max_exp_avg_sq is None; an array shaped like param was expected"),
        (lambda: F.rprop_update(P, P, P.copy(), P.copy(), lr=1), TypeError, "rprop_update: step is missing"),
        (lambda: F.adam_update(P, P, P.copy(), P.copy().astype(float), step=1, lr=1), TypeError,
         "adam_update: exp_avg_sq has dtype float64 but param has dtype float32"),
        (lambda: F.adam_update(P, P, P.copy(), P.copy(), step=0, lr=1), ValueError,
         f"adam_update: step is 0 but an integer from 1 to {2**62} was expected"),
        (lambda: F.adam_update(P, P, P.copy(), P.copy(), step=1, lr=1, betas=(1, 0.9)), ValueError,
         "adam_update: betas[0] is 1 but a value in [0, 1) was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
    assert (P == 0).all()


# ------------------------------------------------------------------------------------------- optimizers as specifications


@pytest.mark.parametrize(
    "spec", [SGD(lr=0.1), SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1), Adam(lr=0.1, eps=0.01)]
)
def test_a_specification_makes_the_step_of_its_function(spec, dtype):
    param, grad = np.ones(5, dtype), np.arange(5, dtype=dtype)
    want, names = param.copy(), spec.slots
    slots, state = ({name: np.zeros(5, dtype) for name in names} for _ in range(2))
    options = {
        name: getattr(spec, name)
        for name in ("lr", "momentum", "nesterov", "betas", "eps", "weight_decay")
        if hasattr(spec, name)
    }
    for step in (1, 2):
        spec.update(param, grad, slots, step)
        if isinstance(spec, Adam):
            F.adam_update(want, grad, **state, step=step, **options)
        else:
            F.sgd_update(want, grad, **state, **options)
    np.testing.assert_array_equal(param, want)
    for name in names:
        np.testing.assert_array_equal(slots[name], state[name])
    before = param.copy()
    spec.update(param, grad, slots, 3, lr=0.0)
    np.testing.assert_array_equal(param, before)


def test_the_gradient_is_brought_to_the_dtype_of_the_parameter():
    for dtype in (np.float32, np.float64):
        for grad in (np.arange(3), np.arange(3.0), np.arange(3, dtype=np.float16), [0, 1, 2]):
            param, want = np.ones(3, dtype), np.ones(3, dtype)
            F.sgd_update(param, grad, lr=0.5)
            F.sgd_update(want, np.arange(3, dtype=dtype), lr=0.5)
            np.testing.assert_array_equal(param, want)


def test_specifications_of_optimizers_keep_plain_numbers():
    spec = Adam(lr=np.float32(0.5), betas=np.array([0.5, 0.25]), eps=np.float64(1e-3), weight_decay=np.int64(0))
    assert spec == Adam(lr=0.5, betas=(0.5, 0.25), eps=1e-3)
    assert [type(v) for v in (spec.lr, spec.betas, spec.betas[0], spec.eps, spec.weight_decay)] == [
        float,
        tuple,
        float,
        float,
        float,
    ]
    assert SGD(momentum=0.5, nesterov=np.bool_(True)).nesterov is True
    assert SGD().slots == ()
    assert SGD(momentum=0.9).slots == ("velocity",)
    assert Adam().slots == ("exp_avg", "exp_avg_sq")


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_specifications_of_optimizers_are_frozen_and_take_keywords(kind):
    with pytest.raises(FrozenInstanceError):
        kind().lr = 1.0
    with pytest.raises(TypeError, match="positional"):
        kind(0.1)
    assert hash(kind(lr=1)) == hash(kind(lr=1.0))


def test_betas_may_be_zero():
    assert Adam(betas=(0, 0)).betas == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SGD(lr=-1), ValueError, "SGD: lr is -1 but a number of at least 0 was expected"),
        (lambda: SGD(lr=np.nan), ValueError, "SGD: lr is nan but a number was expected"),
        (lambda: SGD(lr="fast"), TypeError, "SGD: lr is 'fast' but a number was expected"),
        (lambda: SGD(momentum=-0.1), ValueError, "SGD: momentum is -0.1 but a number of at least 0 was expected"),
        (lambda: SGD(weight_decay=-0.1), ValueError, "SGD: weight_decay is -0.1 but a number of at least 0 was expected"),
        (lambda: SGD(nesterov=True), ValueError, "SGD: nesterov needs a momentum other than 0"),
        (lambda: Adam(eps=-1), ValueError, "Adam: eps is -1 but a number of at least 0 was expected"),
        (lambda: Adam(betas=(0.9, 1)), ValueError, "Adam: betas[1] is 1 but a value in [0, 1) was expected"),
        (lambda: Adam(betas=(np.nan, 0.9)), ValueError, "Adam: betas[0] is nan but a number was expected"),
        (lambda: SGD(momentum=0.9, dampening=0.5, nesterov=True), ValueError, "SGD: nesterov needs a dampening of 0"),
        (lambda: SGD(momentum=0.9, dampening=1.5), ValueError, "SGD: dampening is 1.5 but a value in [0, 1] was expected"),
        (lambda: Rprop(etas=(0, 1.2)), ValueError, "Rprop: etas[0] is 0 but a value between 0 and 1 was expected"),
        (lambda: Rprop(etas=(0.5, 1)), ValueError, "Rprop: etas[1] is 1 but a number above 1 was expected"),
        (lambda: Rprop(step_sizes=(1, 0.5)), ValueError,
         "Rprop: step_sizes[1] is 0.5 but at least step_sizes[0] (1) was expected"),
        (lambda: SGD(lr=np.inf), ValueError, "SGD: lr is inf but a finite number was expected"),
        (lambda: Adam(amsgrad="no"), TypeError, "Adam: amsgrad is 'no' but True or False was expected"),
        (lambda: SGD(momentum=0.9, nesterov=2), TypeError, "SGD: nesterov is 2 but True or False was expected"),
        (lambda: F.adam_update(*np.zeros((4, 3)), step=1, lr=0.1, eps_hat=None), TypeError,
         "adam_update: eps_hat is None but True or False was expected"),
        (lambda: Adam(beta1=0.9), TypeError,
         "Adam: unknown parameter 'beta1' (Adam takes lr, betas, eps, weight_decay, amsgrad, eps_hat)"),
        (lambda: Adam(betas=0.9), TypeError, "Adam: betas is 0.9 but a pair of numbers was expected"),
    ],
)  # fmt: skip
def test_optimizers_check_their_arguments_at_construction(call, error, message):
    refused(call, error, message)


def test_the_decay_of_adamw_is_rounded_once(isa):
    # float32 holds 1 - 1e-5 to 0.3 % of the 1e-5 only.
    param = np.ones(20, np.float32)
    for step in range(1, 1001):
        F.adamw_update(param, np.zeros(20), np.zeros_like(param), np.zeros_like(param), step=step, lr=1e-3)
    np.testing.assert_allclose(1 - param.astype(float), 1 - (1 - 1e-5) ** 1000, rtol=3e-3)


def test_every_row_of_the_table_has_its_function_and_its_class():
    for name, row in core.OPTIMIZERS.items():
        assert optim.OPTIMIZERS[name] is getattr(fnn, row.info.layer)
        assert callable(getattr(F, f"{name}_update"))
        assert callable(getattr(R, f"{name}_update"))
        assert f"``functional.{name}_update``" in optim.OPTIMIZERS[name].__doc__
        spec = optim.OPTIMIZERS[name]()
        assert {key: getattr(spec, key) for key in row.info.params} == row.info.params
    assert set(optim.OPTIMIZERS) == set(core.OPTIMIZERS)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 1 - 2**-30])
@pytest.mark.parametrize("step", [1, 2, 3, 10, 1000, 10**6, 2**40, 2**62])
def test_the_correction_of_adam_is_exact_to_the_last_bit_but_one(isa, beta, step):
    param, ones = np.zeros(1), np.ones(1)
    # exp_avg stays 1 and exp_avg_sq becomes 1: the update is minus the correction.
    F.adam_update(param, ones, ones.copy(), ones.copy(), step=step, lr=1.0, betas=(beta, 0.0), eps=0.0)
    with mpmath.workdps(60):
        true = 1 / (1 - mpmath.mpf(beta) ** step)
        assert abs(-float(param[0]) / true - 1) < 2.0**-52


def test_sums_of_squares_run_in_sixteen_lanes_of_float64(isa):
    x = np.random.default_rng(0).standard_normal((3, 1003)).astype(np.float32)
    lanes = np.zeros((3, 16))
    for start in range(0, 1003, 16):
        part = x[:, start : start + 16].astype(np.float64)
        lanes[:, : part.shape[1]] += part * part  # exact
    while lanes.shape[1] > 1:
        lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
    np.testing.assert_array_equal(core.sums_of_squares(x), lanes[:, 0])
    np.testing.assert_array_equal(core.sums_of_squares(x[:, ::-1][:, ::-1]), lanes[:, 0])
    np.testing.assert_allclose(core.sums_of_squares(x.astype(np.float64)), lanes[:, 0], rtol=1e-14)
    assert core.sums_of_squares(np.zeros((0, 3))).shape == (0,)
    np.testing.assert_array_equal(core.sums_of_squares(np.zeros((2, 0))), [0, 0])
