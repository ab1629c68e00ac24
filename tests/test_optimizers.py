"""Optimizer updates: against float64, against PyTorch, in place, gates."""

from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest
from support import SIZES, refused

import fastnn as fnn
from fastnn import SGD, Adam, optim
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

SGD_OPTIONS = [{"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.01}, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "nesterov": True},
       {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}]  # fmt: skip
ADAM_OPTIONS = [{"lr": 0.1}, {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6}, {"lr": 0.1, "weight_decay": 0.1}]
ADAMW_OPTIONS = [*ADAM_OPTIONS, {"lr": 0.1, "weight_decay": 0.0}]
CASES = [
    (name, options)
    for name, table in (("sgd", SGD_OPTIONS), ("adam", ADAM_OPTIONS), ("adamw", ADAMW_OPTIONS))
    for options in table
]


def run(module, name, options, param, grads):
    """Return the parameters after one update per gradient."""
    param = param.copy()
    state = [np.zeros_like(param) for _ in range(1 if name == "sgd" else 2)]
    for step, grad in enumerate(grads, 1):
        extra = {} if name == "sgd" else {"step": step}
        getattr(module, f"{name}_update")(param, grad, *state, **options, **extra)
    return param


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_against_the_reference_and_torch(name, options, dtype, isa):
    rng = np.random.default_rng(0)
    for n in SIZES:
        param, grads = rng.standard_normal(n).astype(dtype), rng.standard_normal((5, n)).astype(dtype)
        got = run(F, name, options, param, grads)
        want = run(R, name, options, param.astype(np.float64), grads.astype(np.float64))
        np.testing.assert_allclose(got, want, rtol=40 * np.finfo(dtype).eps, atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_against_torch(name, options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    param, grads = rng.standard_normal(19), rng.standard_normal((20, 19))
    tensor = torch.tensor(param, requires_grad=True)
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
        [tensor], **options
    )
    for grad in grads:
        tensor.grad = torch.tensor(grad)
        optimizer.step()
    np.testing.assert_allclose(run(F, name, options, param, grads), tensor.detach().numpy(), rtol=1e-12, atol=1e-14)


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
