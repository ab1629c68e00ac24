"""Gradients by inputs: against central differences, products of weights, and PyTorch."""

import numpy as np
import pytest
from layer_cases import every_layer
from support import central_difference, refused

import fastnn as fnn


@pytest.fixture
def model():
    """A network in which dropout would show."""
    return fnn.MLP([6, 8, 4], "tanh", dropout=0.5, seed=0, dtype=np.float64)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((5, 6))


def mean_of_squares(output, target):
    return ((output - target) ** 2).mean(), 2 * (output - target) / output.size


@pytest.mark.parametrize(
    ("loss", "y"),
    [("cross_entropy", [3, 0, 1, 1, 2]), (fnn.Huber(delta=0.1), np.ones((5, 4))), (fnn.MSE, np.ones((5, 4))),
     (mean_of_squares, np.ones((5, 4)))],
)  # fmt: skip
def test_input_gradient_against_central_differences(model, x, loss, y):
    before = model.state_dict()
    dx = fnn.input_gradient(model, loss, x, y)
    evaluate = fnn.Trainer(model.astype(np.float64), loss).evaluate
    want = central_difference(lambda x: evaluate(x, y)["loss"], x)
    np.testing.assert_allclose(dx, want, rtol=1e-6, atol=1e-9)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_input_gradient_leaves_the_model_with_its_trainer(model, x):
    trainer = fnn.Trainer(model, "mse", seed=0)
    fnn.input_gradient(model, "mse", x, np.ones((5, 4)))
    fnn.jacobian(model, x)
    assert trainer.step(x, np.ones((5, 4))) > 0


@every_layer
def test_jacobian_is_what_vjp_says_at_inference(make):
    layer = make(np.float64)
    x = make.draw(np.random.default_rng(0))
    y, backward = layer.vjp(x, train=False)
    dy = np.zeros_like(y)
    dy[0] = np.random.default_rng(1).standard_normal(y[0].shape)
    if len(y) != len(x) or backward(dy)[1:].any():
        return  # it mixes rows
    jacobian = fnn.jacobian(layer, x)
    assert jacobian.shape == (*y.shape, *x.shape[1:])
    for i in np.ndindex(y.shape[1:]):
        dy = np.zeros_like(y)
        dy[(slice(None), *i)] = 1
        np.testing.assert_allclose(jacobian[(slice(None), *i)], backward(dy), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 7, 100, 2000])
def test_jacobian_of_linear_layers_is_the_product_of_their_weights(rows, dtype):
    model = fnn.Sequential(fnn.Linear(3, 40, rng=0), fnn.Linear(40, 30, rng=1)).astype(dtype)
    x = np.random.default_rng(0).standard_normal((rows, 3)).astype(dtype)
    jacobian = fnn.jacobian(model, x)
    assert jacobian.shape == (rows, 30, 3)
    assert jacobian.dtype == dtype
    want = np.broadcast_to(model[1].weight @ model[0].weight, jacobian.shape)
    np.testing.assert_allclose(jacobian, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_jacobian_of_a_sure_output_loses_no_digit(dtype, sign):
    """One logit of +-90, where 1 - p is e^-90; it is subnormal in float32."""
    tail, x = np.exp(-90.0), np.array([[90.0 * sign, 0.0]], dtype)
    tolerance = 1e-13 if dtype == np.float64 else 1e-5
    sigmoid = fnn.jacobian(fnn.Sequential(fnn.Identity(), fnn.Sigmoid()), x)
    np.testing.assert_allclose(sigmoid, [[[tail, 0], [0, 0.25]]], rtol=tolerance)
    for softmax in (fnn.Softmax(), fnn.Sequential(fnn.Softmax(1))):
        np.testing.assert_allclose(fnn.jacobian(softmax, x), [[[tail, -tail], [-tail, tail]]], rtol=tolerance)
    rows = np.repeat(x, 3, 0)[:, None]
    np.testing.assert_allclose(
        fnn.jacobian(fnn.Softmax(2), rows),
        np.array([[[tail, -tail], [-tail, tail]]] * 3)[:, None, :, None],
        rtol=tolerance,
    )
    tanh = fnn.jacobian(fnn.Tanh(), x / 2)
    np.testing.assert_allclose(tanh, [[[4 * tail / (1 + tail) ** 2, 0], [0, 1]]], rtol=tolerance)


def test_jacobian_of_nothing_and_of_images(model):
    assert fnn.Softmax().vjp(np.ones((3, 0)), train=False)[1](np.ones((3, 0))).shape == (3, 0)
    assert fnn.jacobian(model, np.ones((0, 6))).shape == (0, 4, 6)
    images = np.random.default_rng(0).standard_normal((3, 2, 3))
    got = fnn.jacobian(fnn.Sequential(fnn.Flatten(), *model), images)
    np.testing.assert_array_equal(got, fnn.jacobian(model, images.reshape(3, 6)).reshape(3, 4, 2, 3))


def test_jacobian_against_torch(model, x):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    theirs = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Identity(), nn.Linear(8, 4)).double()
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    rows = torch.tensor(x)
    want = torch.func.vmap(torch.func.jacrev(theirs))(rows).detach().numpy()
    np.testing.assert_allclose(fnn.jacobian(model, x), want, rtol=1e-12, atol=1e-14)
    rows.requires_grad_()
    torch.nn.functional.cross_entropy(theirs(rows), torch.tensor([3, 0, 1, 1, 2])).backward()
    got = fnn.input_gradient(model, "cross_entropy", x, [3, 0, 1, 1, 2])
    np.testing.assert_allclose(got, rows.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_a_softmax_before_cross_entropy_warns(x):
    with pytest.warns(
        UserWarning, match="^input_gradient: cross_entropy takes logits, but the model ends with Softmax$"
    ):
        fnn.input_gradient(fnn.Softmax(), "cross_entropy", x, [0, 1, 2, 3, 4])


X = np.ones((5, 6))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.jacobian(3, X), TypeError, "jacobian: model is int but a fastnn layer, such as Sequential, was expected"),
        (lambda: fnn.jacobian(fnn.Flatten(0), X), ValueError,
         "jacobian: x has shape (5, 6), of which the model makes no output per row"),
        (lambda: fnn.input_gradient("mse", fnn.ReLU(), X, X), TypeError,
         "input_gradient: model is str but a fastnn layer, such as Sequential, was expected; "
         "pass the model first: input_gradient(model, loss)"),
        (lambda: fnn.input_gradient(fnn.ReLU(), fnn.SGD(lr=0.1), X, X), TypeError,
         f"input_gradient: loss is {fnn.SGD(lr=0.1)!r} but a name, an object or a callable was expected; pass it as optimizer="),
        (lambda: fnn.input_gradient(fnn.ReLU(), "mse", X, X[:4]), ValueError, "input_gradient: x has 5 rows but y has 4"),
        (lambda: fnn.input_gradient(fnn.ReLU(), lambda output, target: 1.0, X, X), TypeError,
         "input_gradient: the loss returned float but a pair (loss, gradient) was expected"),
        (lambda: fnn.input_gradient(fnn.ReLU(), lambda output, target: (1.0, output[0]), X, X), ValueError,
         "input_gradient: the loss's gradient has shape (6,) but the output has shape (5, 6)"),
        (lambda: fnn.input_gradient(fnn.Sequential(fnn.Embedding(5, 2)), "mse", 9 * X, X), IndexError,
         "Embedding: x is 9.0 at row 0, column 0; an index in [0, 5) was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
