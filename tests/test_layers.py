"""Layers: gradients, names, copies, and agreement with PyTorch."""

import numpy as np
import pytest
from support import ROWS, central_difference

import fastnn as fnn
from fastnn import functional as F
from fastnn import reference as R


def layers(dtype):
    """One of each layer with 6 features in."""
    rng = np.random.default_rng(0)
    yield fnn.Linear(6, 4, rng=rng, dtype=dtype)
    yield fnn.Linear(6, 4, bias=False, rng=rng, dtype=dtype)
    yield fnn.Maxout(6, 4, rng=rng, dtype=dtype)
    yield fnn.Maxout(6, 3, pieces=3, bias=False, rng=rng, dtype=dtype)
    yield fnn.PReLU(dtype=dtype)
    yield fnn.PReLU(6, init=0.1, dtype=dtype)
    yield fnn.Dropout(0.4, seed=1)
    yield fnn.Softmax()
    yield fnn.Softmax(axis=0)
    for row in ROWS:
        yield getattr(fnn, row.layer)()
    yield fnn.LeakyReLU(0.2)
    yield fnn.LeakyReLU(-0.2)
    yield fnn.Softplus(beta=2.0, threshold=3.0)
    yield fnn.Sequential(
        fnn.Linear(6, 5, rng=rng, dtype=dtype), fnn.Tanh(), fnn.Sequential(fnn.Linear(5, 2, rng=rng, dtype=dtype))
    )
    yield fnn.MLP([6, 5, 4, 3], "gelu", dropout=0.2, seed=0, dtype=dtype)


every_layer = pytest.mark.parametrize(
    "index", range(len(list(layers(np.float32)))), ids=[repr(x)[:60] for x in layers(np.float32)]
)


def layer_of(index, dtype=np.float64):
    return list(layers(dtype))[index]


@every_layer
def test_gradients_against_central_differences(index):
    layer = layer_of(index)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 6))
    y, backward = layer.vjp(x, step=3)
    grad = rng.standard_normal(y.shape)
    dx = backward(grad)

    def objective(_):
        return float((layer.vjp(x, step=3)[0] * grad).sum())

    np.testing.assert_allclose(dx, central_difference(objective, x), rtol=1e-6, atol=1e-8)
    grads = dict(layer.grads)
    names = [name for name, _ in layer.named_parameters()]
    assert list(grads) == names
    for name, param in layer.named_parameters():
        np.testing.assert_allclose(grads[name], central_difference(objective, param), rtol=1e-6, atol=1e-8)


@every_layer
def test_inference_equals_training_output_without_dropout(index, dtype):
    layer = layer_of(index, dtype)
    x = np.random.default_rng(1).standard_normal((5, 6)).astype(dtype)
    y = layer(x)
    assert y.dtype == dtype
    if "Dropout" not in repr(layer):
        np.testing.assert_array_equal(layer.vjp(x)[0], y)
    out = np.empty_like(y)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, y)


@every_layer
def test_copies_share_nothing(index):
    layer = layer_of(index, np.float32)
    double = layer.astype(np.float64)
    x = np.random.default_rng(1).standard_normal((5, 6))
    np.testing.assert_allclose(double(x), layer(x.astype(np.float32)), rtol=1e-5, atol=1e-6)
    assert all(value.dtype == np.float64 for value in double.state_dict().values())
    before = layer.state_dict()
    for _, param in double.named_parameters():
        param += 1
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    state = layer.state_dict()
    for value in state.values():
        value += 1
    layer.load_state_dict(state)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name] + 1)


def test_names_and_shapes_are_pytorchs():
    model = fnn.MLP([4, 8, 3], seed=0)
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        "0.weight": (8, 4), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}  # fmt: skip
    assert [type(layer).__name__ for layer in model] == ["Linear", "ReLU", "Linear"]
    dropped = fnn.MLP([4, 8, 8, 3], "tanh", dropout=0.5, seed=0)
    assert [type(layer).__name__ for layer in dropped] == ["Linear", "Tanh", "Dropout"] * 2 + ["Linear"]
    assert dropped[2].config["layer"] != dropped[5].config["layer"]
    nested = fnn.Sequential(fnn.ReLU(), fnn.Sequential(fnn.PReLU()))
    assert list(nested.state_dict()) == ["1.0.weight"]


def test_against_torch(dtype):
    torch = pytest.importorskip("torch")
    ours = fnn.Sequential(
        fnn.Linear(5, 7), fnn.GELU(), fnn.Linear(7, 7), fnn.PReLU(7), fnn.Linear(7, 3), fnn.LogSigmoid()
    ).astype(dtype)
    nn = torch.nn
    theirs = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 7), nn.PReLU(7), nn.Linear(7, 3), nn.LogSigmoid())
    theirs = theirs.to(torch.float64 if dtype == np.float64 else torch.float32)
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(dtype)
    y, backward = ours.vjp(x)
    tensor = torch.tensor(x, requires_grad=True)
    want = theirs(tensor)
    want.sum().backward()
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, want.detach().numpy(), **tolerance)
    np.testing.assert_allclose(backward(np.ones_like(y)), tensor.grad.numpy(), **tolerance)
    for name, param in theirs.named_parameters():
        np.testing.assert_allclose(ours.grads[name], param.grad.numpy(), **tolerance)


def test_default_initialisation_is_pytorchs():
    layer = fnn.Linear(100, 200, rng=0)
    for value in (layer.weight, layer.bias):
        assert 0.097 < np.abs(value).max() <= 0.1
        assert abs(value.std() - 0.1 / np.sqrt(3)) < 0.006
    np.testing.assert_array_equal(layer.weight, fnn.Linear(100, 200, rng=0).weight)
    np.testing.assert_array_equal(
        fnn.Linear(9, 2, rng=0, dtype=np.float64).weight.astype(np.float32), fnn.Linear(9, 2, rng=0).weight
    )
    ones = fnn.Linear(3, 2, init=lambda shape, rng: np.ones(shape))
    np.testing.assert_array_equal(ones.weight, 1)


def test_maxout_pieces_are_rows_of_the_weight():
    layer = fnn.Maxout(3, 2, pieces=2, rng=0)
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    z = R.linear(x, layer.weight, layer.bias)
    np.testing.assert_allclose(layer(x), np.stack([z[:, :2].max(1), z[:, 2:].max(1)], 1), rtol=1e-6)


def test_dropout_trains_and_rests():
    layer, x = fnn.Dropout(0.5, seed=3), np.ones((4, 50), np.float32)
    np.testing.assert_array_equal(layer(x), x)
    y, backward = layer.vjp(x, step=2)
    np.testing.assert_array_equal(y, F.dropout(x, 0.5, seed=3, step=2))
    np.testing.assert_array_equal(backward(x), y)
    assert not np.array_equal(layer.vjp(x, step=3)[0], y)
    assert fnn.Dropout(0.5).config["seed"] != fnn.Dropout(0.5).config["seed"]


def test_a_users_own_layer_runs_in_a_sequential():
    class Double:
        def __call__(self, x):
            return 2 * x

        def vjp(self, x, step=0):
            return 2 * x, lambda dy: 2 * dy

    model = fnn.Sequential(Double(), fnn.Linear(3, 2, rng=0), Double())
    x = np.ones((4, 3), np.float32)
    y, backward = model.vjp(x)
    np.testing.assert_array_equal(y, model(x))
    np.testing.assert_array_equal(y, 2 * model[1](2 * x))
    np.testing.assert_allclose(backward(y), 4 * y @ model[1].weight, rtol=1e-6)


def test_parameters_shown_are_read_only():
    layer = fnn.Linear(2, 3)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 1
    with pytest.raises(AttributeError, match=r"^Linear has no attribute 'wieght'$"):
        layer.wieght  # noqa: B018


def test_inputs_are_computed_in_the_models_dtype():
    model = fnn.MLP([3, 2], seed=0)
    assert model(np.ones((2, 3))).dtype == np.float32
    np.testing.assert_array_equal(model(np.ones((2, 3))), model(np.ones((2, 3), int)))
    assert model.astype("float64")(np.ones((2, 3), np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Linear(0, 2), ValueError, "Linear: in_features is 0 but a positive integer was expected"),
        (lambda: fnn.Linear(2, 2, dtype=np.float16), TypeError, "Linear: dtype is float16 but float32 or float64 was expected"),
        (lambda: fnn.Dropout(2), ValueError, "Dropout: p is 2 but a probability in [0, 1] was expected"),
        (lambda: fnn.ReLU(1), TypeError, "ReLU: 1 parameters came but at most 0 were expected"),
        (lambda: fnn.ELU(slope=1), TypeError, "elu: slope is no parameter of elu; expected: alpha"),
        (lambda: fnn.Sequential(3), TypeError, "Sequential: layer 0 is int but a layer (with vjp) was expected"),
        (lambda: fnn.Sequential(*[fnn.Linear(2, 2)] * 2), ValueError,
         "Sequential: a layer with parameters appears twice; its gradients would overwrite each other"),
        (lambda: fnn.MLP([3]), ValueError, "MLP: sizes is [3] but at least an input and an output size were expected"),
        (lambda: fnn.MLP([3, 2], "rlu"), ValueError, f"MLP: activation is 'rlu' but one of {', '.join(F.activations())} was expected"),
        (lambda: fnn.MLP([3, 2], task="x"), ValueError, "MLP: task is 'x' but 'classification' or 'regression' was expected"),
        (lambda: fnn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "b": 1}), ValueError,
         "load_state_dict: missing ['bias'], unexpected ['b']"),
        (lambda: fnn.Linear(2, 3, bias=False).load_state_dict({"weight": np.ones((2, 3))}), ValueError,
         "load_state_dict: weight has shape (2, 3) but (3, 2) was expected"),
        (lambda: fnn.MLP([3, 2], seed=0)(np.ones((4, 5))), ValueError,
         "linear: x has 5 features but weight expects 3 (x (4, 5), weight (2, 3))"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
