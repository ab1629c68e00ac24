"""Losses of labels beside cross_entropy: nll, multiclass_hinge, multi_margin."""

import numpy as np
import pytest
from support import central_difference, layouts, refused

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import reference as R

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 7, 12)
IGNORED = np.where(np.arange(12) % 4 == 0, -100, LABELS)
CLASS_WEIGHT, SAMPLE_WEIGHT = rng.random(7) + 0.1, rng.random(12)
ROWS = {name: row.info for name, row in core.LOSSES.items() if row.info.labels and not row.info.probabilities}
PEERS = {"nll": "nll_loss", "multiclass_hinge": "multi_margin_loss", "multi_margin": "multi_margin_loss"}  # of PyTorch
WEIGHTS = [{}, {"weight": CLASS_WEIGHT}, {"sample_weight": SAMPLE_WEIGHT}]
WEIGHTS.append(WEIGHTS[1] | WEIGHTS[2])


def normal(*shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 2).astype(dtype)


def choices():
    """Return each loss with the default parameters and, where there are any, others."""
    found = []
    for info in ROWS.values():
        every = [{}, {"margin": 0.3}, {"p": 2}, {"p": 2, "margin": 2.5}] if info.params else [{}]
        found += [pytest.param(info, params, id=f"{info.name}-{params}") for params in every]
    return found


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda w: "-".join(w))
@pytest.mark.parametrize(("info", "params"), choices())
def test_losses_of_labels_against_the_reference(info, params, weights, reduction, dtype, isa):
    with_grad, reference = (getattr(module, f"{info.function}_with_grad") for module in (F, R))
    eps = np.finfo(dtype).eps
    for classes, target in (
        (7, LABELS),
        (7, IGNORED),
        (7, LABELS[:, None]),
        (1, 0 * LABELS),
        (16, LABELS),
        (37, LABELS),
    ):
        x = normal(12, classes, dtype=dtype)
        given = params | weights | ({"weight": np.resize(CLASS_WEIGHT, classes)} if "weight" in weights else {})
        value, dx = with_grad(x, target, reduction=reduction, **given)
        want, want_dx = reference(x.astype(np.float64), target, reduction=reduction, **given)
        np.testing.assert_allclose(value, want, rtol=8 * eps, atol=8 * eps)
        np.testing.assert_allclose(dx, want_dx, rtol=8 * eps, atol=8 * eps)
        np.testing.assert_array_equal(getattr(F, info.function)(x, target, reduction=reduction, **given), value)
        np.testing.assert_array_equal(with_grad(x, target, reduction=reduction, out=x, **given)[1], dx)


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda w: "-".join(w))
@pytest.mark.parametrize(("info", "params"), choices())
def test_gradients_of_losses_of_labels_against_central_differences(info, params, weights, isa):
    x = normal(12, 7)
    _, dx = getattr(F, f"{info.function}_with_grad")(x, IGNORED, **params, **weights)
    numeric = central_difference(lambda a: getattr(F, info.function)(a, IGNORED, **params, **weights), x)
    np.testing.assert_allclose(dx, numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["float64", "float32"])
@pytest.mark.parametrize("weights", WEIGHTS[:2], ids=lambda w: "-".join(w))  # torch has no weights of rows
@pytest.mark.parametrize(("info", "params"), choices())
def test_losses_of_labels_against_torch(info, params, weights, name):
    torch = pytest.importorskip("torch")
    functional, rtol = torch.nn.functional, 1e-12 if name == "float64" else 1e-6
    peer = getattr(functional, PEERS[info.name])
    factor = 7 if info.name == "multiclass_hinge" else 1  # the sum over classes, not their mean
    target = IGNORED if info.name == "nll" else LABELS
    x, w = normal(12, 7, dtype=name), {key: torch.tensor(v.astype(name)) for key, v in weights.items()}
    for reduction in ("mean", "sum", "none"):
        tensor = torch.tensor(x, requires_grad=True)
        want = factor * peer(tensor, torch.tensor(target), reduction=reduction, **w, **params)
        if info.name == "multiclass_hinge" and weights and reduction == "mean":
            want = want * len(target) / w["weight"][target].sum()  # multi_margin does not divide by the weights
        want.sum().backward()
        value, dx = getattr(F, f"{info.function}_with_grad")(x, target, reduction=reduction, **weights, **params)
        np.testing.assert_allclose(value, want.detach().numpy(), rtol=rtol, atol=rtol)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=rtol, atol=rtol)


def test_margins_at_their_edges(dtype, isa):
    inf = np.inf
    x = np.array([[1, 0, -3], [1, 2, 1], [0, inf, 0], [-inf, 0, 0], [inf, 0, 5], [0, np.nan, 0]], dtype)
    losses, dx = F.multiclass_hinge_loss_with_grad(x, [0] * 6, reduction="none")
    np.testing.assert_array_equal(losses, [0, 3, inf, inf, 0, np.nan])
    np.testing.assert_array_equal(dx[:2], [[0, 0, 0], [-2, 1, 1]])
    np.testing.assert_array_equal(dx[3:5], [[-2, 1, 1], [0, 0, 0]])
    assert not np.signbit(dx[:2][dx[:2] == 0]).any()
    losses, dx = F.nll_loss_with_grad(x, [1, 0, -100, 0, 2, 1], reduction="none")
    np.testing.assert_array_equal(losses, [0, -1, 0, inf, -5, np.nan])
    assert (dx.sum(-1) == [-1, -1, 0, -1, -1, -1]).all()


@pytest.mark.parametrize("info", ROWS.values(), ids=list(ROWS))
def test_rows_that_count_nothing(info, dtype, isa):
    with_grad, x = getattr(F, f"{info.function}_with_grad"), normal(4, 5, dtype=dtype)
    x[1] = np.nan
    value, dx = with_grad(x, [0, 1, -1, 2], sample_weight=[1, 0, 5, 2], ignore_index=-1)
    want, want_dx = with_grad(x[[0, 3]], [0, 2], sample_weight=[1, 2])
    assert value == want
    np.testing.assert_array_equal(dx[[0, 3]], want_dx)
    np.testing.assert_array_equal(dx[1:3], 0)
    assert not np.signbit(dx[1:3]).any()
    value, dx = with_grad(x, [-1] * 4, ignore_index=-1)
    assert np.isnan(value)
    np.testing.assert_array_equal(dx, 0)
    assert np.isnan(with_grad(x[:0], np.zeros(0, int))[0])
    one, gradient = with_grad(x[0], 3)
    assert one == with_grad(x[:1], [3])[0]
    assert gradient.shape == (5,)
    for name, a in layouts(x):
        np.testing.assert_array_equal(with_grad(a, [0, -100, 1, 2])[1], with_grad(x, [0, -100, 1, 2])[1], err_msg=name)


def test_class_weights_of_multi_margin_are_no_part_of_its_mean():
    x = normal(12, 7)
    each = F.multi_margin_loss(x, LABELS, weight=CLASS_WEIGHT, reduction="none")
    assert F.multi_margin_loss(x, LABELS, weight=CLASS_WEIGHT) == pytest.approx(each.mean())
    assert fnn.MultiMargin(weight=CLASS_WEIGHT).row_weights(LABELS) is None
    assert fnn.MulticlassHinge(weight=CLASS_WEIGHT).row_weights(LABELS) is not None


X = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.nll_loss(X, [0, 2, 1]), IndexError,
         "nll_loss: target[1] is 2 but a label in [0, 2) or ignore_index (-100) was expected"),
        (lambda: F.nll_loss(X, X), ValueError, "nll_loss: target has shape (3, 2) but labels (3,) were expected"),
        (lambda: F.multi_margin_loss(X, [0.0, 1, 0]), TypeError,
         "multi_margin_loss: target has dtype float64 but integers were expected"),
        (lambda: F.multiclass_hinge_loss(X, [0, 1, 1], p=3), ValueError, "multiclass_hinge_loss: p is 3 but 1 or 2 was expected"),
        (lambda: F.multiclass_hinge_loss(X[None], [0]), ValueError,
         "multiclass_hinge_loss: input has shape (1, 3, 2) but (batch, classes) or (classes,) was expected"),
        (lambda: fnn.MultiMargin(p=1.5), ValueError, "MultiMargin: p is 1.5 but 1 or 2 was expected"),
    ],
)  # fmt: skip
def test_errors_of_losses_of_labels(call, error, message):
    refused(call, error, message)
