"""LayerNorm, RMSNorm, BatchNorm1d; and what a trainer does with running statistics."""

import copy

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F

RNG = np.random.default_rng(0)
X = RNG.normal(1, 2, (40, 6)).astype(np.float32)
Y = RNG.standard_normal((40, 2)).astype(np.float32)


def network(momentum=0.1, dtype=np.float32):
    """Batch norm at the top, in a Sequential, in a Residual and in Columns."""
    return fnn.Sequential(
        fnn.BatchNorm1d(6, momentum=momentum, dtype=dtype),
        fnn.Sequential(fnn.Linear(6, 5, rng=1, dtype=dtype), fnn.BatchNorm1d(5, dtype=dtype), fnn.Tanh()),
        fnn.Residual(fnn.BatchNorm1d(5, dtype=dtype), fnn.Linear(5, 5, rng=2, dtype=dtype)),
        fnn.Columns([([0, 1], fnn.BatchNorm1d(2, dtype=dtype)), ([2, 3, 4], fnn.Linear(3, 2, rng=4, dtype=dtype))]),
        fnn.Linear(4, 2, rng=3, dtype=dtype),
    )


def statistics(model):
    return {name: value.copy() for name, value in model.named_buffers()}


def unchanged(model, before):
    return all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_layers_are_their_functions(dtype):
    x = X.astype(dtype)
    weight, bias = (RNG.standard_normal(6).astype(dtype) for _ in range(2))
    layer = fnn.LayerNorm(6, 0.01, dtype=dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    np.testing.assert_array_equal(layer(x), F.layer_norm(x, weight, bias, eps=0.01))
    layer = fnn.RMSNorm(6, dtype=dtype)
    layer.load_state_dict({"weight": weight})
    np.testing.assert_array_equal(layer(x), F.rms_norm(x, weight))
    layer = fnn.BatchNorm1d(6, dtype=dtype)
    state = layer.state_dict() | {"weight": weight, "bias": bias, "running_mean": bias, "running_var": weight**2}
    layer.load_state_dict(state)
    np.testing.assert_array_equal(layer(x), F.batch_norm(x, bias, weight**2, weight, bias))
    np.testing.assert_array_equal(layer.vjp(x)[0], F.batch_norm(x, weight=weight, bias=bias, training=True))
    np.testing.assert_array_equal(layer.vjp(x, train=False)[0], layer(x))


def test_several_axes_are_one(dtype):
    x = X.astype(dtype).reshape(40, 2, 3)
    for layer, flat in ((fnn.LayerNorm((2, 3), dtype=dtype), fnn.LayerNorm(6, dtype=dtype)),
                        (fnn.RMSNorm([2, 3], dtype=dtype), fnn.RMSNorm(6, dtype=dtype))):  # fmt: skip
        y, backward = layer.vjp(x)
        want, want_backward = flat.vjp(x.reshape(40, 6))
        np.testing.assert_array_equal(y, want.reshape(x.shape))
        out = np.empty_like(x)
        assert layer(x, out=out) is out
        np.testing.assert_array_equal(out, y)
        np.testing.assert_array_equal(backward(x), want_backward(x.reshape(40, 6)).reshape(x.shape))
        for name, gradient in layer.grads.items():
            np.testing.assert_array_equal(gradient, flat.grads[name].reshape(2, 3))


def test_names_shapes_and_arguments_are_pytorchs():
    assert {n: (v.shape, v.dtype) for n, v in fnn.BatchNorm1d(3).state_dict().items()} == {
        "weight": ((3,), np.float32), "bias": ((3,), np.float32), "running_mean": ((3,), np.float32),
        "running_var": ((3,), np.float32), "num_batches_tracked": ((), np.int64)}  # fmt: skip
    assert list(fnn.BatchNorm1d(3, affine=False).state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    assert list(fnn.BatchNorm1d(3, track_running_stats=False).state_dict()) == ["weight", "bias"]
    assert {n: v.shape for n, v in fnn.LayerNorm((2, 3)).state_dict().items()} == {"weight": (2, 3), "bias": (2, 3)}
    assert list(fnn.LayerNorm(3, bias=False).state_dict()) == list(fnn.RMSNorm(3).state_dict()) == ["weight"]
    assert not fnn.LayerNorm(3, elementwise_affine=False).state_dict()
    assert not fnn.RMSNorm(3, elementwise_affine=False).state_dict()
    assert (
        repr(fnn.LayerNorm(3, elementwise_affine=False)) == "LayerNorm(normalized_shape=(3,), elementwise_affine=False)"
    )
    assert repr(fnn.LayerNorm(3, bias=False)) == "LayerNorm(normalized_shape=(3,), bias=False)"
    assert repr(fnn.BatchNorm1d(3, momentum=None)) == "BatchNorm1d(num_features=3, momentum=None)"
    assert fnn.BatchNorm1d(3, affine=False).weight is None


def test_rows_hold_the_numbers():
    model = fnn.Sequential(fnn.LayerNorm((2, 3)), fnn.RMSNorm(3, eps=0.5), fnn.BatchNorm1d(2, affine=False))
    assert [(op.kind, op.shape, op.params, op.numbers) for op in model.lower((None, 2, 3))] == [
        ("layer_norm", (None, 2, 3), ("0.weight", "0.bias"), {"axes": 2, "eps": 1e-5}),
        ("rms_norm", (None, 2, 3), ("1.weight",), {"axes": 1, "eps": 0.5}),
        ("batch_norm", (None, 2, 3), (), {"eps": 1e-5, "momentum": 0.1}),
    ]


# ------------------------------------------------------------------------------------------------------------ running statistics


def test_vjp_hands_out_new_statistics_and_changes_nothing():
    layer = fnn.BatchNorm1d(6)
    before = layer.state_dict()
    _, backward = layer.vjp(X)
    assert unchanged(layer, before)
    new = backward.buffers
    np.testing.assert_allclose(new["running_mean"], 0.1 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(new["running_var"], 0.9 + 0.1 * X.var(0, ddof=1), rtol=1e-5)
    assert new["num_batches_tracked"] == 1
    assert layer.vjp(X, train=False)[1].buffers == {}
    assert fnn.Linear(6, 2).vjp(X)[1].buffers == {}


def test_only_step_and_fit_commit_the_statistics_of_every_layer():
    model = network()
    before = model.state_dict()
    trainer = fnn.Trainer(model, "mse", fnn.SGD(lr=0.0), seed=0)
    trainer.gradients(X, Y)
    trainer.evaluate(X, Y)
    trainer.predict(X)
    model(X)
    assert unchanged(model, before)
    assert len(statistics(model)) == 12
    _, backward = model.vjp(X)
    assert list(backward.buffers) == list(statistics(model))
    trainer.step(X, Y)
    for name, value in statistics(model).items():
        np.testing.assert_array_equal(value, backward.buffers[name])
        assert not np.array_equal(value, before[name])
    trainer.fit(X, Y, epochs=2, batch_size=10, verbose=False)
    counts = [value for name, value in model.state_dict().items() if name.endswith("tracked")]
    assert counts == [9] * 4


def test_statistics_follow_each_minibatch_of_a_step_of_several():
    models = [network(), network()]
    for model, accumulate in zip(models, (1, 2), strict=True):
        trainer = fnn.Trainer(model, "mse", fnn.SGD(lr=0.0), accumulate=accumulate)
        trainer.step(X[:20], Y[:20])
        trainer.step(X[20:], Y[20:])
    for name, value in statistics(models[0]).items():
        np.testing.assert_array_equal(value, models[1].state_dict()[name])


class Failing:
    """An optimizer that fails at its second parameter."""

    slots = ()

    def __init__(self):
        self.calls = 0

    def update(self, param, grad, slots, step, lr=None):
        self.calls += 1
        param -= 0.1 * grad
        if self.calls == 2:
            raise RuntimeError("broken")


def test_a_step_that_is_refused_commits_no_statistics():
    model = network()
    before = model.state_dict()
    trainer = fnn.Trainer(model, "cross_entropy", Failing())
    with pytest.raises(RuntimeError, match="^broken$"):
        trainer.step(X, np.zeros(40, int))
    assert unchanged(model, before)
    assert np.isnan(trainer.step(X, np.full(40, -100))), "no row counts"
    assert unchanged(model, before)
    trainer = fnn.Trainer(model, lambda output, target: (np.nan, output))
    with pytest.raises(FloatingPointError):
        trainer.step(X, Y)
    with pytest.raises(ValueError, match=r"^batch_norm: x \(1, 6\) has one value per feature but training needs"):
        trainer.step(X[:1], Y[:1])
    assert unchanged(model, before)


class Mean(fnn.Layer):
    """A user's layer with a statistic that follows the data, as BatchNorm1d has them."""

    def __init__(self, shape=(1,)):
        super().__init__()
        self.shape = shape
        self._buffers["mean"] = np.zeros(1, np.float32)

    def __call__(self, x, out=None):
        return F.identity(x - self.mean, out=out)

    def vjp(self, x, step=0, train=True):
        def backward(dy, need_dx=True):
            self.grads = {}
            return dy

        backward.buffers = {"mean": np.full(self.shape, x.mean())} if train else {}
        return self(x), backward


def test_statistics_of_a_users_layer():
    model = fnn.Sequential(fnn.Linear(6, 2, rng=0), Mean())
    fnn.Trainer(model, "mse", fnn.SGD(lr=0.0)).step(X, Y)
    np.testing.assert_allclose(model[1].mean, model[0](X).mean(), rtol=1e-6)
    model = fnn.Sequential(fnn.Linear(6, 2, rng=0), Mean((2,)))
    before = model.state_dict()
    message = "1.mean has shape (1,) but its new value has shape (2,)"
    refused(lambda: fnn.Trainer(model, "mse").step(X, Y), ValueError, message)
    assert unchanged(model, before)


def test_the_mean_over_all_minibatches():
    layer = fnn.BatchNorm1d(6, momentum=None)
    trainer = fnn.Trainer(fnn.Sequential(layer, fnn.Linear(6, 2)), "mse", fnn.SGD(lr=0.0))
    for i in range(0, 40, 10):
        trainer.step(X[i : i + 10], Y[i : i + 10])
    np.testing.assert_allclose(layer.running_mean, X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, X.reshape(4, 10, 6).var(1, ddof=1).mean(0), rtol=1e-5)


def test_without_running_statistics_inference_uses_those_of_its_rows():
    layer = fnn.BatchNorm1d(6, track_running_stats=False)
    y, backward = layer.vjp(X)
    np.testing.assert_array_equal(layer(X), y)
    np.testing.assert_array_equal(y, F.batch_norm(X, training=True))
    np.testing.assert_array_equal(layer.vjp(X, train=False)[1](X), backward(X))
    assert backward.buffers == {}
    predict = fnn.Trainer(fnn.Sequential(layer), "mse").predict
    np.testing.assert_array_equal(predict(X), y)
    np.testing.assert_array_equal(predict(X, batch_size=20), np.concatenate([layer(X[:20]), layer(X[20:])]))


# ------------------------------------------------------------------------------------------------------------- minibatches of fit


def sizes_of(model, x, **options):
    """Return how many rows each minibatch of an epoch has, as a loss of one's own sees them."""
    seen = []

    def loss(output, target):
        seen.append(len(output))
        return F.mse_loss_with_grad(output, target)

    trainer = fnn.Trainer(copy.deepcopy(model), loss)
    trainer.fit(x, Y[: len(x)].astype(np.float32), verbose=False, **options)
    trainer = fnn.Trainer(copy.deepcopy(model), "mse")
    trainer.fit(x, Y[: len(x)], verbose=False, **options)
    assert trainer.steps_done == len(seen)
    return seen


@pytest.mark.parametrize(
    ("rows", "batch_size", "joined"), [(7, 2, [2, 2, 3]), (7, 3, [3, 4]), (7, 4, [4, 3]), (7, 6, [7]), (7, 7, [7]), (6, 3, [3, 3]), (2, 9, [2])]
)  # fmt: skip
def test_a_last_minibatch_of_one_row_joins_the_one_before_where_a_layer_needs_two(rows, batch_size, joined):
    nested = fnn.Sequential(fnn.Residual(fnn.Columns([(range(6), fnn.BatchNorm1d(6))])), fnn.Linear(6, 2))
    for shuffle in (True, False):
        assert sizes_of(nested, X[:rows], batch_size=batch_size, shuffle=shuffle) == joined
    plain = fnn.Sequential(fnn.LayerNorm(6), fnn.Linear(6, 2))
    whole = [batch_size] * (rows // batch_size) + [rows % batch_size] * (rows % batch_size > 0)
    assert sizes_of(plain, X[:rows], batch_size=batch_size) == whole


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 4, "validation_split": 0.5}])
def test_minibatches_of_one_row_are_refused_before_the_first_step(options):
    model = network()
    before = model.state_dict()
    rows = 5 if options["batch_size"] == 1 else 2
    trainer = fnn.Trainer(model, "mse")
    with pytest.raises(ValueError, match=r"^batch_norm: x \(1, 6\) has one value per feature but training needs"):
        trainer.fit(X[:rows], Y[:rows], verbose=False, **options)
    assert unchanged(model, before)
    assert trainer.steps_done == 0


# -------------------------------------------------------------------------------------------------------------------- files


def test_counts_are_whole_numbers_in_files_and_state(tmp_path):
    layer = fnn.BatchNorm1d(3)
    layer.load_state_dict(layer.state_dict() | {"num_batches_tracked": np.float64(2**40)})
    fnn.save(layer, tmp_path / "layer")
    loaded = fnn.load(tmp_path / "layer")
    assert loaded.num_batches_tracked == 2**40
    assert loaded.num_batches_tracked.dtype == layer.astype(np.float64).num_batches_tracked.dtype == np.int64
    safetensors = pytest.importorskip("safetensors.numpy")
    assert safetensors.load_file(tmp_path / "layer")["num_batches_tracked"].dtype == np.int64
    for bad in (1.5, np.nan, np.inf, 1e300, -1e19, np.uint64(2**63)):
        message = "load_state_dict: num_batches_tracked holds numbers that are no int64"
        refused(
            lambda bad=bad: layer.load_state_dict(layer.state_dict() | {"num_batches_tracked": bad}),
            ValueError,
            message,
        )
    assert layer.num_batches_tracked == 2**40


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.LayerNorm(0), ValueError, "LayerNorm: normalized_shape is 0 but a positive integer was expected"),
        (lambda: fnn.LayerNorm(()), ValueError, "LayerNorm: normalized_shape is () but at least one axis was expected"),
        (lambda: fnn.LayerNorm(3, eps=-1), ValueError, "LayerNorm: eps is -1 but a finite, non-negative number was expected"),
        (lambda: fnn.LayerNorm(3, bias=2), TypeError, "LayerNorm: bias is 2 but True or False was expected"),
        (lambda: fnn.RMSNorm(3, eps="x"), TypeError, "RMSNorm: eps is 'x' but a number was expected"),
        (lambda: fnn.RMSNorm(3, elementwise_affine="no"), TypeError,
         "RMSNorm: elementwise_affine is 'no' but True or False was expected"),
        (lambda: fnn.RMSNorm((3, 2))(X), ValueError, "RMSNorm: the input has shape (40, 6) but normalized_shape is (3, 2)"),
        (lambda: fnn.LayerNorm((3, 6))(X[0]), ValueError, "LayerNorm: the input has shape (6,) but normalized_shape is (3, 6)"),
        (lambda: fnn.LayerNorm(5).lower((4, 6)), ValueError, "LayerNorm: the input has shape (4, 6) but normalized_shape is (5,)"),
        (lambda: fnn.BatchNorm1d(3, momentum=2), ValueError, "BatchNorm1d: momentum is 2 but a number in [0, 1] or None was expected"),
        (lambda: fnn.BatchNorm1d(3)(X), ValueError,
         "BatchNorm1d: the input has shape (40, 6) but (rows, 3) or (rows, 3, length) was expected"),
        (lambda: fnn.BatchNorm1d(6).vjp(X[0]), ValueError,
         "BatchNorm1d: the input has shape (6,) but (rows, 6) or (rows, 6, length) was expected"),
        (lambda: fnn.BatchNorm1d(3).lower((None, 6)), ValueError,
         "BatchNorm1d: the input has shape (None, 6) but (rows, 3) or (rows, 3, length) was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)


# ------------------------------------------------------------------------------------------------------------------ PyTorch


@pytest.mark.parametrize("momentum", [0.1, None])
def test_training_follows_torch(momentum, dtype):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    ours = fnn.Sequential(
        fnn.Linear(6, 8, rng=0), fnn.BatchNorm1d(8, momentum=momentum), fnn.Tanh(), fnn.LayerNorm(8),
        fnn.Residual(fnn.RMSNorm(8), fnn.Linear(8, 8, rng=1), fnn.BatchNorm1d(8)), fnn.Linear(8, 2, rng=2),
    ).astype(dtype)  # fmt: skip

    class Residual(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    theirs = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8, momentum=momentum), nn.Tanh(), nn.LayerNorm(8),
        Residual(nn.RMSNorm(8), nn.Linear(8, 8), nn.BatchNorm1d(8)), nn.Linear(8, 2),
    ).to(getattr(torch, np.dtype(dtype).name))  # fmt: skip
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    trainer, optimizer = fnn.Trainer(ours, "mse", fnn.SGD(lr=0.05)), torch.optim.SGD(theirs.parameters(), lr=0.05)
    rng = np.random.default_rng(1)
    for _ in range(50):
        x, y = rng.normal(1, 2, (16, 6)).astype(dtype), rng.standard_normal((16, 2)).astype(dtype)
        optimizer.zero_grad()
        nn.functional.mse_loss(theirs(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
        trainer.step(x, y)
    tolerance = 1e-12 if dtype is np.float64 else 1e-6
    got = ours.state_dict()
    assert set(got) == set(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        if "running" in name or dtype is np.float64:
            np.testing.assert_allclose(got[name], value.numpy(), rtol=tolerance, atol=tolerance, err_msg=name)
    assert got["1.num_batches_tracked"] == 50
    theirs.eval()
    x = torch.from_numpy(x)
    np.testing.assert_allclose(ours(x), theirs(x).detach().numpy(), rtol=50 * tolerance, atol=50 * tolerance)
