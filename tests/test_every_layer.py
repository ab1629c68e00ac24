"""Every exported layer, alone and in one model: files, copies, tables, PyTorch's state_dict. A new layer without these fails."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest
from layer_cases import CASES, every_layer
from support import parts, torch_twin

import fastnn as fnn
from fastnn.layers.activations import Activation
from fastnn.layers.base import argument_names
from fastnn.layers.containers import Container
from fastnn.reference.layers import forward


def same(layer, other):
    """Assert that two layers are the same in structure and numbers."""
    assert type(other) is type(layer)
    assert repr(other) == repr(layer)
    assert list(other.state_dict()) == list(layer.state_dict())
    for name, value in layer.state_dict().items():
        got = other.state_dict()[name]
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)


@pytest.fixture(scope="module")
def model():
    """One network with a layer of every kind that takes rows of a table: whole numbers, some of which are categories."""
    tables = [case(np.float32) for case in CASES if case.draw(np.random.default_rng(0)).ndim == 2]
    columns = fnn.Columns([(range(6), layer) for layer in tables if layer._members is None])
    width = columns.lower((5, 6))[-1].shape[-1]
    return fnn.Sequential(columns, fnn.Ensemble(2, fnn.Linear(width, 3, rng=0), rng=0))


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).integers(0, 4, (5, 6)).astype(np.float32)


def kinds_of(cls):
    """Yield the public classes of the package that are layers."""
    for kind in cls.__subclasses__():
        if kind.__module__.startswith("fastnn.") and not kind.__name__.startswith("_"):
            yield kind
        yield from kinds_of(kind)


def test_every_layer_is_exported_and_has_a_case():
    classes = {getattr(fnn, name) for name in fnn.layers.__all__} - {fnn.Layer}
    assert classes == set(kinds_of(fnn.Layer)) - {Activation, Container}
    assert classes - {type(part) for case in CASES for part in parts(case(np.float32))} == set()


@every_layer
def test_a_layer_agrees_with_the_reference(make, dtype):
    layer = make(dtype)
    x = make.draw(np.random.default_rng(0)).astype(dtype)
    want = forward(layer.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(layer(x), want, atol=20 * np.finfo(dtype).eps * max(1, np.abs(want).max()))
    assert forward(layer, x).dtype == dtype


@every_layer
@pytest.mark.parametrize("train", [False, True])
def test_a_layer_takes_no_rows_and_refuses_a_gradient_of_another_shape(make, train, dtype):
    layer = make(dtype)
    x = make.draw(np.random.default_rng(0)).astype(dtype)
    y, backward = layer.vjp(x, train=train)
    for wrong in (np.ones((*y.shape, 2), dtype), y[:, :1], y[:1], dtype(1)):
        with pytest.raises(ValueError, match="shape"):
            backward(wrong)
    nothing, backward = layer.vjp(x[:0], train=train)
    assert nothing.shape == (0, *y.shape[1:])
    assert backward(nothing).shape == (0, *x.shape[1:])
    for name, value in layer.named_parameters():
        np.testing.assert_array_equal(layer.grads[name], np.zeros_like(value), err_msg=name)


@every_layer
def test_a_layer_comes_back_from_files_copies_and_pickles(make, tmp_path, dtype):
    layer = make(dtype)
    x = make.draw(np.random.default_rng(0)).astype(dtype)
    fnn.save(layer, tmp_path / "layer")
    loaded = fnn.load(tmp_path / "layer")
    if not isinstance(layer, fnn.MLP):  # it comes back as the Sequential it is
        same(layer, loaded)
    for other in (loaded, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other(x), layer(x))
        np.testing.assert_array_equal(other.vjp(x, step=2)[0], layer.vjp(x, step=2)[0])
        assert all(value.flags.writeable for _, value in other._named_state())


@every_layer
def test_a_layer_in_another_dtype_is_described_as_one_made_in_it(make, tmp_path):
    layer, other = make(np.float32).astype(np.float64), make(np.float64)
    for part, made in zip(parts(layer), parts(other), strict=True):
        if not getattr(part, "layers", ()):
            assert part.config == made.config
    fnn.save(layer, tmp_path / "layer")
    for name, value in fnn.load(tmp_path / "layer").state_dict().items():
        np.testing.assert_array_equal(value, layer.state_dict()[name])
        assert value.dtype == other.state_dict()[name].dtype


@every_layer
def test_a_layer_has_a_summary(make):
    layer = make(np.float32)
    x = make.draw(np.random.default_rng(0)).astype(np.float32)
    summary = layer.summary(x.shape[1:])
    rows = [row for row in summary.rows if row.output]
    assert len(rows) == len(summary.rows)
    if rows and rows[-1].output[0] is None:
        assert rows[-1].output[1:] == layer(x).shape[1:]
    assert sum(row.parameters for row in rows) == summary.parameters == sum(v.size for _, v in layer.named_parameters())
    assert summary.statistics == sum(v.size for _, v in layer.named_buffers())
    for text in (str(summary), repr(summary), summary._repr_html_()):
        assert f"{summary.parameters:,}" in text
        assert all(row.layer in text for row in rows)


@pytest.mark.parametrize("name", [name for name in fnn.layers.__all__ if name != "Layer"])
def test_documentation_lists_every_argument(name):
    first, _, arguments = inspect.getdoc(getattr(fnn, name)).partition("Parameters\n----------\n")
    assert first
    for argument in argument_names(getattr(fnn, name)):
        assert re.search(rf"^(?:\w+, )*{argument}\b", arguments, re.M), argument


@every_layer
def test_a_state_dict_goes_to_pytorch_and_back(make):
    torch = pytest.importorskip("torch")
    layer = make(np.float32)
    ours, theirs = layer.state_dict(), torch_twin(torch, layer)
    if theirs is None:
        tensors = {name: torch.from_numpy(value) for name, value in ours.items()}
    else:
        tensors = theirs.state_dict()
        assert {name: tuple(value.shape) for name, value in tensors.items()} == {n: v.shape for n, v in ours.items()}
        x = make.draw(np.random.default_rng(0)).astype(np.float32)
        want = theirs.eval()(torch.from_numpy(x.astype(int) if make.whole_columns else x)).detach().numpy()
        np.testing.assert_allclose(layer(x), want, rtol=1e-5, atol=1e-6)
    comes_back_from(torch, tensors, make(np.float32), ours)


def comes_back_from(torch, tensors, layer, ours):
    """Assert that a layer loads PyTorch's tensors, which hold the arrays of ours."""
    layer.load_state_dict({name: torch.zeros_like(value) for name, value in tensors.items()})
    layer.load_state_dict(tensors)
    for name, value in ours.items():
        np.testing.assert_array_equal(layer.state_dict()[name], value)


def test_a_model_with_every_kind_of_layer_goes_to_pytorch_and_back(model):
    torch = pytest.importorskip("torch")
    ours = model.state_dict()
    tensors = {name: torch.from_numpy(value) for name, value in ours.items()}
    comes_back_from(torch, tensors, copy.deepcopy(model), ours)


def test_what_pytorch_has_is_compared_with_it():
    torch = pytest.importorskip("torch")
    compared = {type(part) for case in CASES if torch_twin(torch, case(np.float32)) for part in parts(case(np.float32))}
    assert {getattr(fnn, name) for name in fnn.layers.__all__ if hasattr(torch.nn, name)} <= compared


def test_one_model_with_every_kind_of_layer(model, table, tmp_path):
    kinds = {type(part) for part in parts(model)}
    assert {getattr(fnn, name) for name in fnn.layers.__all__} - {fnn.Layer} - kinds == set()
    y = model(table)
    fnn.save(model, tmp_path / "model")
    for other in (fnn.load(tmp_path / "model"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(table), y)
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[name], value)
        assert repr(other).replace("MLP(", "Sequential(") == repr(model).replace("MLP(", "Sequential(")
    assert {kind.__name__ for kind in kinds - {fnn.MLP}} <= set(re.findall(r"\w+", repr(model)))
    summary = model.summary((6,))
    assert {row.layer.split()[-1] for row in summary.rows} | {"MLP", "Sequential"} >= {kind.__name__ for kind in kinds}
    assert len(str(summary).splitlines()) == len(summary.rows) + 2
    assert summary._repr_html_().count("<tr>") == len(summary.rows) + 2
    trainer = fnn.Trainer(copy.deepcopy(model), "mse", fnn.Adam(lr=1e-3), seed=0)
    assert trainer.step(table, np.zeros((5, 3))) > 0
    for name, gradient in trainer.gradients(table, np.zeros((5, 3)))[1].items():
        assert np.isfinite(gradient).all(), name
