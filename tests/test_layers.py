"""Layers: gradients, names, copies, and agreement with PyTorch."""

import copy
import inspect
import json
import pickle
import re
import threading

import numpy as np
import pytest
from layer_cases import KINDS, every_layer
from support import ROWS, central_difference, refused

import fastnn as fnn
from fastnn import functional as F
from fastnn import reference as R


@every_layer
def test_gradients_against_central_differences(make):
    layer = make(np.float64)
    rng = np.random.default_rng(1)
    x = make.draw(rng)
    y, backward = layer.vjp(x, step=3)
    grad = rng.standard_normal(y.shape)
    dx = backward(grad)

    def objective(_):
        return float((layer.vjp(x, step=3)[0] * grad).sum())

    assert dx.shape == x.shape
    if make.whole_columns:
        np.testing.assert_array_equal(dx[..., make.whole_columns], 0)
    want = central_difference(objective, x, skip=make.whole_columns)
    np.testing.assert_allclose(dx, want, rtol=1e-6, atol=1e-8)
    grads = dict(layer.grads)
    names = [name for name, _ in layer.named_parameters()]
    assert list(grads) == names
    for name, param in layer.named_parameters():
        np.testing.assert_allclose(grads[name], central_difference(objective, param), rtol=1e-6, atol=1e-8)


@every_layer
def test_inference_equals_training_output_without_dropout(make, dtype):
    layer = make(dtype)
    x = make.draw(np.random.default_rng(1)).astype(dtype)
    y = layer(x)
    assert y.dtype == dtype
    if "Ensemble" in repr(layer):  # keeps its members in training
        np.testing.assert_allclose(layer.vjp(x)[0].mean(-2), y, rtol=1e-5, atol=1e-6)
    elif "Dropout" not in repr(layer) and "BatchNorm" not in repr(layer):
        np.testing.assert_array_equal(layer.vjp(x)[0], y)
    out = np.empty_like(y)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, y)


@every_layer
def test_copies_share_nothing(make):
    layer = make(np.float32)
    double = layer.astype(np.float64)
    x = make.draw(np.random.default_rng(1))
    np.testing.assert_allclose(double(x), layer(x.astype(np.float32)), rtol=1e-5, atol=1e-6)
    assert all(value.dtype in (np.float64, np.int64) for value in double.state_dict().values())
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


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_parameters_cannot_be_assigned(name):
    for layer in (fnn.Linear(2, 3), fnn.Linear(2, 3, bias=False)):
        before = layer.state_dict()
        with pytest.raises(AttributeError, match=f"^Linear: {name} cannot be assigned; use load_state_dict$"):
            setattr(layer, name, np.zeros(3))
        for key, value in layer.state_dict().items():
            np.testing.assert_array_equal(value, before[key])


@every_layer
def test_the_configuration_makes_the_layer_again(make):
    layer = make(np.float32)
    if isinstance(layer, (fnn.Sequential, fnn.Residual, fnn.Columns, fnn.Ensemble)) and not isinstance(layer, fnn.MLP):
        beside = {fnn.Columns: "columns", fnn.Ensemble: "k"}.get(type(layer))
        assert layer.config == ({beside: getattr(layer, beside)} if beside else {})
        return
    again = type(layer)(**json.loads(json.dumps(layer.config)))
    assert repr(again) == repr(layer)
    assert {n: v.shape for n, v in again.state_dict().items()} == {n: v.shape for n, v in layer.state_dict().items()}
    again.load_state_dict(layer.state_dict())
    x = make.draw(np.random.default_rng(0)).astype(np.float32)
    np.testing.assert_array_equal(again.vjp(x, step=1)[0], layer.vjp(x, step=1)[0])


def test_arguments_are_attributes_and_plain_numbers():
    i, f = np.int64, np.float32
    made = [
        (fnn.Linear(i(4), np.uint8(3), np.bool_(False), dtype="float64"), {"in_features": 4, "out_features": 3, "bias": False, "dtype": "float64"}),
        (fnn.Maxout(i(4), i(3), i(3)), {"in_features": 4, "out_features": 3, "pieces": 3, "bias": True, "dtype": "float32"}),
        (fnn.PReLU(i(4), f(0.5)), {"num_parameters": 4, "dtype": "float32"}),
        (fnn.Dropout(f(0.25), seed=i(7), layer=np.uint32(2)), {"p": 0.25, "seed": 7, "layer": 2}),
        (fnn.Softmax(i(0)), {"axis": 0}),
        (fnn.LeakyReLU(f(0.5)), {"negative_slope": 0.5}),
        (fnn.Hardtanh(max_val=i(2)), {"min_val": -1.0, "max_val": 2.0}),
        (fnn.MLP(np.array([4, 3, 2]), np.str_("elu"), dropout=f(0.5), task=np.str_("regression"), seed=i(3), alpha=f(2)),
         {"sizes": (4, 3, 2), "activation": "elu", "dropout": 0.5, "task": "regression", "seed": 3, "dtype": "float32", "alpha": 2.0}),
    ]  # fmt: skip
    for layer, config in made:
        assert layer.config == config
        json.dumps(config)
        for name, value in layer.config.items():
            if name not in ("bias", "alpha"):
                assert getattr(layer, name) == value
            assert type(value) in (int, float, bool, str, tuple), (layer, name)
    assert [type(size) for size in made[-1][0].sizes] == [int] * 3


def test_layers_show_themselves():
    assert repr(fnn.Linear(4, 3)) == "Linear(in_features=4, out_features=3)"
    assert (
        repr(fnn.Linear(4, 3, bias=False, dtype="float64"))
        == "Linear(in_features=4, out_features=3, bias=False, dtype='float64')"
    )
    assert repr(fnn.Sequential(fnn.LeakyReLU(0.2), fnn.ELU())) == "Sequential(LeakyReLU(negative_slope=0.2), ELU())"
    assert str(inspect.signature(fnn.LeakyReLU)) == "(negative_slope=0.01)"
    assert str(inspect.signature(fnn.ReLU)) == "()"
    assert {"weight", "bias", "in_features", "vjp"} <= set(dir(fnn.Linear(4, 3)))
    assert "negative_slope : float, default 0.01" in fnn.LeakyReLU.__doc__
    assert fnn.Linear(4, 3, bias=False).bias is None


def test_a_chain_never_changes_and_its_task_is_one_of_the_names():
    model = fnn.Sequential(fnn.Linear(4, 3, rng=0), fnn.ReLU())
    for chain in (
        model,
        fnn.Residual(fnn.ReLU()),
        fnn.Columns([(0, fnn.ReLU())]),
        fnn.Ensemble(2, fnn.Linear(4, 3, rng=0), rng=0),
    ):
        name, layers = type(chain).__name__, chain.layers
        message = f"{name}: layers cannot be assigned; make another one of other layers"
        refused(lambda chain=chain: setattr(chain, "layers", ()), AttributeError, message)
        assert chain.layers is layers
    names = "binary, multiclass, classification, multilabel, regression, unit_interval"
    for chain in (model, fnn.MLP([4, 3], seed=0)):
        message = f"{type(chain).__name__}: task is 'classes' but one of {names} was expected"
        refused(lambda chain=chain: setattr(chain, "task", "classes"), ValueError, message)
        assert chain.task is None
        chain.task = np.str_("multiclass")
        assert type(chain.task) is str
        assert type(fnn.Trainer(chain).loss) is fnn.CrossEntropy


def test_the_class_lines_are_the_table():
    lines = re.findall(r'^(\w+) = _activation\("(\w+)"\)$', inspect.getsource(inspect.getmodule(fnn.ReLU)), re.M)
    assert lines == [(row.layer, row.name) for row in ROWS]
    for layer, name in lines:
        assert getattr(fnn, layer).name == name


class Counting(fnn.Layer):
    """A user's layer: scales, and counts in a buffer how often it was trained."""

    def __init__(self, scale, dtype="float32"):
        super().__init__()
        self.scale, self.dtype = scale, np.dtype(dtype)
        self._parameters["factor"] = np.full(1, scale, dtype)
        self._buffers["calls"] = np.zeros(1, dtype)

    def __call__(self, x, out=None):
        return F.identity(x * self._parameters["factor"], out=out)

    def vjp(self, x, step=0, train=True):
        self._buffers["calls"] += train

        def backward(dy, need_dx=True):
            self.grads = {"factor": np.sum(dy * x).reshape(1)}
            return dy * self._parameters["factor"]

        return self(x), backward


def test_buffers_are_state_but_not_trained():
    model = fnn.Sequential(fnn.Linear(3, 2, rng=0), Counting(2.0))
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.factor"]
    assert [name for name, _ in model.named_buffers()] == ["1.calls"]
    assert sorted(model.state_dict()) == ["0.bias", "0.weight", "1.calls", "1.factor"]
    x = np.ones((4, 3), np.float32)
    y, backward = model.vjp(x)
    model.vjp(x, train=False)
    backward(y)
    assert list(backward.grads) == ["0.weight", "0.bias", "1.factor"]
    assert model[1].calls == 1
    state = model.state_dict()
    state["1.calls"] += 4
    model.load_state_dict(state)
    assert model[1].calls == 5
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.astype("float64")):
        assert copied[1].calls == 5
        assert copied[1].scale == 2
        copied[1]._buffers["calls"] += 1
        assert model[1].calls == 5
    assert repr(Counting(2.0)) == "Counting(scale=2.0)"


def test_a_chain_is_a_sequence_of_its_layers():
    first, second = fnn.ReLU(), fnn.Softmax()
    for chain in (fnn.Sequential(first, second), fnn.Residual(first, second)):
        assert len(chain) == 2
        assert list(chain) == [first, second]
        assert chain[-1] is second
    assert len(fnn.Sequential()) == 0


def test_residual_adds_its_input():
    inner = fnn.Linear(4, 4, rng=0), fnn.Tanh()
    layer, x = fnn.Residual(*inner), np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), x + fnn.Sequential(*inner)(x))
    assert list(layer.state_dict()) == ["0.weight", "0.bias"]
    assert list(fnn.Sequential(fnn.ReLU(), layer).state_dict()) == ["1.0.weight", "1.0.bias"]
    y, backward = layer.vjp(x)
    dx = backward(y)
    grads = {name: value.copy() for name, value in layer.grads.items()}
    assert backward(y, need_dx=False) is None
    for name, value in layer.grads.items():
        np.testing.assert_array_equal(value, grads[name])
    np.testing.assert_allclose(dx, y + fnn.Sequential(*inner).vjp(x)[1](y), rtol=1e-6)
    out = x.copy()
    assert layer(out, out=out) is out
    np.testing.assert_array_equal(out, y)
    assert fnn.Residual(fnn.ReLU())(np.arange(3)).dtype == np.float64


def test_residual_trains_in_a_chain():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4)).astype(np.float32)
    model = fnn.Sequential(
        fnn.Residual(fnn.Linear(4, 8, rng=0), fnn.ReLU(), fnn.Linear(8, 4, rng=1)), fnn.Linear(4, 2, rng=2)
    )
    losses = fnn.Trainer(model, "mse", fnn.Adam(lr=0.01), seed=0).fit(x, x[:, :2] ** 2, epochs=40, verbose=False)[
        "loss"
    ]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("x", [np.ones((5, 4)), np.ones((5, 1))], ids=["wider", "broadcast"])
def test_residual_must_keep_the_shape(x):
    width = x.shape[1]
    layer = fnn.Residual(fnn.Linear(width, 3, rng=0))
    for call in (layer, layer.vjp, lambda x: layer.lower(x.shape)):
        message = rf"^Residual: the layers turn the shape \(5, {width}\) into \(5, 3\) but must keep it$"
        with pytest.raises(ValueError, match=message):
            call(x)


@every_layer
def test_rows_have_the_shapes_of_the_outputs(make):
    layer = make(np.float32)
    x = make.draw(np.random.default_rng(1)).astype(np.float32)
    ops = layer.lower(x.shape)
    assert (ops[-1].shape if ops else x.shape) == layer(x).shape
    assert [op.shape[0] for op in layer.lower((None, *x.shape[1:]))] == [None] * len(ops)
    assert [name for op in ops for name in op.params] == [name for name, _ in layer.named_parameters()]
    assert {op.kind for op in ops} <= KINDS | set(F.activations())


def test_rows_hold_the_numbers():
    model = fnn.Sequential(
        fnn.Maxout(6, 4, pieces=3, bias=False, rng=0),
        fnn.Residual(fnn.LeakyReLU(0.2), fnn.Dropout(0.5, seed=3, layer=1)),
        fnn.Sequential(fnn.Linear(4, 2, rng=0), fnn.Softmax()),
    )
    assert [(op.kind, op.shape, op.params, op.numbers) for op in model.lower((7, 6))] == [
        ("linear", (7, 12), ("0.weight",), {}),
        ("maxout", (7, 4), (), {"pieces": 3}),
        ("leaky_relu", (7, 4), (), {"negative_slope": 0.2}),
        ("dropout", (7, 4), (), {"p": 0.5, "seed": 3, "layer": 1}),
        ("residual", (7, 4), (), {"ops": 2}),
        ("linear", (7, 2), ("2.0.weight", "2.0.bias"), {}),
        ("softmax", (7, 2), (), {"axis": -1}),
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (fnn.Linear(3, 2), (5, 4), r"^Linear: the input has shape \(5, 4\) but in_features is 3$"),
        (fnn.Maxout(3, 2), (), r"^Maxout: the input has shape \(\) but in_features is 3$"),
        (fnn.PReLU(3), (5, 4), r"^PReLU: the input has shape \(5, 4\) but num_parameters is 3$"),
        (fnn.Softmax(1), (4,), r"^Softmax: the input has shape \(4,\) but axis is 1$"),
        (fnn.MLP([3, 4, 2]), (5, 4), r"^Linear: the input has shape \(5, 4\) but in_features is 3$"),
    ],
)
def test_rows_check_the_shape(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.lower(shape)


def test_a_users_layer_has_no_rows():
    for layer in (Counting(2.0), fnn.Sequential(Counting(2.0))):
        with pytest.raises(NotImplementedError, match="^lower: Counting has no rows; it runs as a layer$"):
            layer.lower((5, 6))


def test_a_layer_that_hides_an_argument_says_so():
    class Hidden(fnn.Layer):
        def __init__(self, size):
            super().__init__()

    with pytest.raises(TypeError, match=r"^Hidden: the constructor's argument size is not kept as an attribute$"):
        Hidden(3).config  # noqa: B018
    assert repr(Hidden(3)) == "Hidden(...)"


def test_train_false_differentiates_inference():
    model = fnn.Sequential(fnn.Linear(6, 4, rng=0), fnn.Dropout(0.5, seed=1), fnn.Sequential(fnn.Dropout(0.9, seed=2)))
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    y, backward = model.vjp(x, train=False)
    np.testing.assert_array_equal(y, model(x))
    np.testing.assert_array_equal(backward(np.ones_like(y)), np.ones_like(y) @ model[0].weight)
    assert not np.array_equal(model.vjp(x)[0], y)


@every_layer
def test_the_output_may_be_overwritten_before_backward(make):
    layer = make(np.float64)
    x = make.draw(np.random.default_rng(1))
    kept = x.copy()
    y, backward = layer.vjp(x, step=3)
    want = backward(np.ones_like(y)).copy()
    grads = {name: value.copy() for name, value in layer.grads.items()}
    y, backward = layer.vjp(x, step=3)
    y -= 5
    np.testing.assert_array_equal(backward(np.ones_like(y)), want)
    for name, value in layer.grads.items():
        np.testing.assert_array_equal(value, grads[name])
    np.testing.assert_array_equal(x, kept)


def test_a_layer_that_returns_its_input_shares_nothing_with_the_outside():
    class Through:
        def __call__(self, x):
            return x

        def vjp(self, x, step=0):
            return x, lambda dy: dy

    model, x = fnn.Sequential(fnn.Tanh(), Through()), np.linspace(-1, 1, 5)
    y, backward = model.vjp(x)
    y -= 5
    np.testing.assert_array_equal(backward(np.ones(5)), F.tanh_backward(np.ones(5), y=F.tanh(x)))


@every_layer
def test_gradients_belong_to_the_call_that_made_them(make):
    layer = make(np.float64)
    rng = np.random.default_rng(1)
    xs = [make.draw(rng) for _ in range(2)]
    wants = []
    for x in xs:
        y, backward = layer.vjp(x, step=1)
        backward(np.ones_like(y))
        wants.append({name: value.copy() for name, value in backward.grads.items()})
        assert layer.grads.keys() == wants[-1].keys()
    calls = [layer.vjp(x, step=1) for x in xs]
    for (y, backward), want in zip(reversed(calls), reversed(wants), strict=True):
        backward(np.ones_like(y))
        for name, value in want.items():
            np.testing.assert_array_equal(layer.grads[name], value)
    for (_, backward), want in zip(calls, wants, strict=True):
        for name, value in want.items():
            np.testing.assert_array_equal(backward.grads[name], value)


def test_two_threads_on_one_model_do_not_mix_gradients():
    model = fnn.MLP([6, 5, 4], "tanh", seed=0, dtype=np.float64)
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((n, 6)) for n in (3, 50)]

    def gradients(x):
        y, backward = model.vjp(x)
        backward(np.ones_like(y))
        return backward.grads

    wants, mixed = [gradients(x) for x in xs], []

    def work(x, want):
        for _ in range(200):
            got = gradients(x)
            mixed.extend(name for name in want if not np.array_equal(got[name], want[name]))
            shown = model.grads  # the last of either thread, whole
            mixed.extend(
                "shown"
                for other in wants
                if np.array_equal(shown["0.bias"], other["0.bias"])
                != np.array_equal(shown["2.weight"], other["2.weight"])
            )

    threads = [threading.Thread(target=work, args=pair) for pair in zip(xs, wants, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []


@every_layer
def test_a_layer_in_training_can_be_copied_and_sent(make):
    layer = make(np.float32)
    trainer = fnn.Trainer(layer, "mse")
    x = make.draw(np.random.default_rng(0)).astype(np.float32)
    for copied in (copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(copied) is type(layer)
        assert repr(copied) == repr(layer)
        np.testing.assert_array_equal(copied.vjp(x, step=2)[0], layer.vjp(x, step=2)[0])
    fnn.Trainer(copy.deepcopy(layer), "mse")  # the copy belongs to nobody
    del trainer


BAD_ENTRIES = {
    "shape": (np.ones(4), ValueError),
    "text": (np.array(["a"] * 3), TypeError),
    "complex": (np.ones(3) * 1j, TypeError),
    "objects": (np.array([object()] * 3), TypeError),
    "ragged": ([[1], [1, 2], [3]], ValueError),
    "nothing": (None, TypeError),
    "long double": (np.ones(3, np.longdouble), TypeError),
    "beyond float32": (np.full(3, 1e300), ValueError),
}


@pytest.mark.parametrize("kind", BAD_ENTRIES)
def test_load_state_dict_changes_all_or_nothing(kind):
    bad, error = BAD_ENTRIES[kind]
    model = fnn.MLP([4, 8, 3], seed=0)
    before = model.state_dict()
    state = {name: np.full(value.shape, 7.0) for name, value in before.items()} | {"2.bias": bad}
    with pytest.raises(error, match=r"^load_state_dict: 2\.bias "):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_load_state_dict_takes_any_real_numbers():
    model = fnn.Linear(2, 3, rng=0)
    held = dict(model.named_parameters())
    model.load_state_dict({"bias": [1, 2, 3], "weight": np.array([[1, np.nan], [np.inf, 2], [3, 4]], ">f8")})
    np.testing.assert_array_equal(model.weight, np.array([[1, np.nan], [np.inf, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(model.bias, np.array([1, 2, 3], np.float32))
    assert held["bias"] is dict(model.named_parameters())["bias"], "an optimizer holds the arrays"


def test_a_signalling_nan_is_loaded_as_nan():
    layer = fnn.PReLU()
    layer.load_state_dict({"weight": np.array([0x7FF0000000000001], np.uint64).view(np.float64)})
    assert np.isnan(layer.weight).all()


def test_a_layer_without_vjp_says_so():
    class Inference(fnn.Layer):
        def __call__(self, x, out=None):
            return F.identity(x, out=out)

    for layer in (Inference(), fnn.Sequential(Inference())):
        np.testing.assert_array_equal(layer(np.ones(3)), np.ones(3))
        with pytest.raises(
            NotImplementedError, match="^Inference: vjp is not defined, so the layer cannot be trained$"
        ):
            layer.vjp(np.ones(3))


def test_load_state_dict_reads_all_before_it_writes():
    model = fnn.Sequential(fnn.Linear(3, 3, rng=0), fnn.Linear(3, 3, rng=1))
    before, live = model.state_dict(), dict(model.named_parameters())
    model.load_state_dict(
        {
            "0.weight": live["1.weight"],
            "0.bias": live["1.bias"],
            "1.weight": live["0.weight"].T,
            "1.bias": live["0.bias"][::-1],
        }
    )
    np.testing.assert_array_equal(model[0].weight, before["1.weight"])
    np.testing.assert_array_equal(model[1].weight, before["0.weight"].T)
    np.testing.assert_array_equal(model[1].bias, before["0.bias"][::-1])


@pytest.mark.parametrize("x", [np.ones((2, 6)) * 1j, np.full((2, 6), "1.5"), np.full((2, 6), None), np.ones((2, 6), np.longdouble)],
                         ids=["complex", "text", "objects", "long double"])  # fmt: skip
@every_layer
def test_layers_refuse_what_functions_refuse(make, x):
    layer = make(np.float32)
    for call in (layer, layer.vjp):
        with pytest.raises(TypeError, match=r"^\w+: x has dtype .* but a real dtype of at most float64 was expected$"):
            call(x)


def test_mlp_passes_init_and_the_activations_parameters_on():
    model = fnn.MLP(
        [4, 3, 2], "hardtanh", min_val=-2, max_val=np.float32(3), init=lambda shape, rng: np.ones(shape), seed=0
    )
    assert repr(model[1]) == "Hardtanh(min_val=-2.0, max_val=3.0)"
    np.testing.assert_array_equal(model[2].weight, 1)


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
        (lambda: fnn.ReLU(1), TypeError, "ReLU takes no parameters but 1 was given"),
        (lambda: fnn.ELU(slope=1), TypeError, "ELU: unknown parameter 'slope' (ELU takes alpha)"),
        (lambda: fnn.Sequential(3), TypeError, "Sequential: layer 0 is int but a layer (with vjp) was expected"),
        (lambda: fnn.Sequential(*[fnn.Linear(2, 2)] * 2), ValueError,
         "Sequential: a layer with parameters appears twice; its gradients would overwrite each other"),
        (lambda: fnn.Residual(), ValueError, "Residual: at least one layer was expected"),
        (lambda: fnn.Sequential(fnn.ReLU), TypeError, "Sequential: layer 0 is the class ReLU but a layer (with vjp) was expected"),
        (lambda: fnn.Linear(True, 2), ValueError, "Linear: in_features is True but a positive integer was expected"),
        (lambda: fnn.Linear(2, 2, bias="no"), TypeError, "Linear: bias is 'no' but True or False was expected"),
        (lambda: fnn.Linear(2, 2, dtype="nonsense"), TypeError, "Linear: dtype is 'nonsense' but float32 or float64 was expected"),
        (lambda: fnn.Linear(2, 2, dtype=",f4"), TypeError, "Linear: dtype is ',f4' but float32 or float64 was expected"),
        (lambda: fnn.Linear(2, 2, rng=-1), ValueError,
         f"Linear: rng is -1 but a numpy.random.Generator or an integer from 0 to {2**64 - 1} was expected"),
        (lambda: fnn.Maxout(2, 2, rng="x"), TypeError,
         f"Maxout: rng is 'x' but a numpy.random.Generator or an integer from 0 to {2**64 - 1} was expected"),
        (lambda: fnn.Linear(2**40, 2**40), ValueError, f"Linear: the weight has shape ({2**40}, {2**40}) but no array is that large"),
        (lambda: fnn.Linear(2**32, 2**32), ValueError, f"Linear: the weight has shape ({2**32}, {2**32}) but no array is that large"),
        (lambda: fnn.Embedding(2**32, 2**32), ValueError, f"Embedding: the weight has shape ({2**32}, {2**32}) but no array is that large"),
        (lambda: fnn.Linear(2**70, 2), ValueError, f"Linear: in_features is {2**70} but no array has more than {2**63 - 1} elements"),
        (lambda: fnn.Softplus(1, 2, 3), TypeError, "Softplus takes at most 2 parameters (beta, threshold) but 3 were given"),
        (lambda: fnn.Linear(2, 2, dtype=None), TypeError, "Linear: dtype is None but float32 or float64 was expected"),
        (lambda: fnn.Maxout(2, 2, 0), ValueError, "Maxout: pieces is 0 but a positive integer was expected"),
        (lambda: fnn.PReLU(init=np.nan), ValueError, "PReLU: init is nan but a number was expected"),
        (lambda: fnn.PReLU(init=np.inf), ValueError, "PReLU: init is inf but a finite number was expected"),
        (lambda: fnn.LeakyReLU(np.nan), ValueError, "LeakyReLU: negative_slope is nan but a number was expected"),
        (lambda: fnn.LeakyReLU("1"), TypeError, "LeakyReLU: negative_slope is '1' but a number was expected"),
        (lambda: fnn.LeakyReLU(1, negative_slope=2), TypeError, "LeakyReLU: negative_slope given twice"),
        (lambda: fnn.LeakyReLU(1, 2), TypeError, "LeakyReLU takes at most 1 parameter (negative_slope) but 2 were given"),
        (lambda: fnn.Dropout(np.nan), ValueError, "Dropout: p is nan but a number was expected"),
        (lambda: fnn.Dropout("0.5"), TypeError, "Dropout: p is '0.5' but a number was expected"),
        (lambda: fnn.Dropout(seed=-1), ValueError, "Dropout: seed is -1 but an integer from 0 to 18446744073709551615 was expected"),
        (lambda: fnn.Dropout(seed=2**64), ValueError, f"Dropout: seed is {2**64} but an integer from 0 to {2**64 - 1} was expected"),
        (lambda: fnn.Dropout(seed=1.0), TypeError, "Dropout: seed is 1.0 but an integer was expected"),
        (lambda: fnn.Softmax(1.0), TypeError, "Softmax: axis is 1.0 but an integer was expected"),
        (lambda: fnn.Softmax(2**63), ValueError, f"Softmax: axis is {2**63} but an integer from {-(2**63)} to {2**63 - 1} was expected"),
        (lambda: fnn.Softmax(-(2**63) - 1), ValueError,
         f"Softmax: axis is {-(2**63) - 1} but an integer from {-(2**63)} to {2**63 - 1} was expected"),
        (lambda: fnn.MLP(3), TypeError, "MLP: sizes is 3 but a sequence of integers was expected"),
        (lambda: fnn.MLP([3, 0, 2]), ValueError, "MLP: sizes[1] is 0 but a positive integer was expected"),
        (lambda: fnn.MLP([3, 2.0]), ValueError, "MLP: sizes[1] is 2.0 but a positive integer was expected"),
        (lambda: fnn.MLP([3, 2], dropout=1.5), ValueError, "MLP: dropout is 1.5 but a probability in [0, 1] was expected"),
        (lambda: fnn.MLP([3, 2], dropout=np.nan), ValueError, "MLP: dropout is nan but a number was expected"),
        (lambda: fnn.MLP([3, 2], dtype=int), TypeError, "MLP: dtype is int64 but float32 or float64 was expected"),
        (lambda: fnn.MLP([3, 2], seed=-1), ValueError, f"MLP: seed is -1 but an integer from 0 to {2**64 - 1} was expected"),
        (lambda: fnn.MLP([3, 2], "relu", alpha=1), TypeError, "ReLU: unknown parameter 'alpha' (ReLU takes none)"),
        (lambda: fnn.MLP([3, 2], seed=0).load_state_dict([1]), TypeError,
         "load_state_dict: state is list but a dict from name to array was expected"),
        (lambda: fnn.MLP([3]), ValueError, "MLP: sizes is [3] but at least an input and an output size were expected"),
        (lambda: fnn.MLP([3, 2], "rlu"), ValueError, f"MLP: activation is 'rlu' but one of {', '.join(F.activations())} was expected"),
        (lambda: fnn.Linear(2, 3).load_state_dict({"weight": np.ones((3, 2)), "b": 1}), ValueError,
         "load_state_dict: missing ['bias'], unexpected ['b']"),
        (lambda: fnn.Linear(2, 3, bias=False).load_state_dict({"weight": np.ones((2, 3))}), ValueError,
         "load_state_dict: weight has shape (2, 3) but (3, 2) was expected"),
        (lambda: fnn.MLP([3, 2], seed=0)(np.ones((4, 5))), ValueError,
         "linear: x has 5 features but weight expects 3 (x (4, 5), weight (2, 3))"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
