"""Layers for columns of a table: formulas, statistics, dtypes, errors."""

import numpy as np
import pytest
from support import layouts, refused

import fastnn as fnn


def test_scale_multiplies_each_feature(dtype):
    layer = fnn.Scale(3, init=2, dtype=dtype)
    layer.load_state_dict({"weight": [1, -2, 0.5]})
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(dtype)
    for name, given in layouts(x):
        y, backward = layer.vjp(given)
        np.testing.assert_array_equal(y, x * layer.weight, err_msg=name)
        dx = backward(y)
        np.testing.assert_array_equal(dx, y * layer.weight, err_msg=name)
        np.testing.assert_allclose(layer.grads["weight"], (y * x).sum((0, 1)), rtol=20 * np.finfo(dtype).eps)
        assert layer.grads["weight"].dtype == y.dtype == dx.dtype == dtype
    assert backward(y, need_dx=False) is None
    np.testing.assert_array_equal(fnn.Scale(2).weight, 1)


IMAGES = np.random.default_rng(0).normal(100, 30, (20, 4, 5, 3))


@pytest.mark.parametrize(
    ("num_features", "axes"),
    [(3, (0, 1, 2)), ((4, 5, 3), (0,)), ((4, 1, 1), (0, 2, 3)), ((1, 1, 1), (0, 1, 2, 3)), ((5, 1), (0, 1, 3))],
    ids=["per feature or channel", "mean image", "first axis of channels", "one for all", "two axes"],
)
def test_standardize_takes_mean_and_deviation_over_the_other_axes(num_features, axes, dtype):
    layer = fnn.Standardize(num_features, dtype=dtype)
    np.testing.assert_array_equal(layer(IMAGES.astype(dtype)), IMAGES.astype(dtype))
    assert layer.fit_statistics(IMAGES) is layer
    shape = (num_features,) if isinstance(num_features, int) else num_features
    np.testing.assert_allclose(layer.mean, IMAGES.mean(axes).reshape(shape), rtol=1e-12)
    np.testing.assert_allclose(layer.scale, IMAGES.std(axes).reshape(shape), rtol=1e-12)
    y = layer(IMAGES)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axes), 1, rtol=1e-5)
    assert list(layer.state_dict()) == ["mean", "scale"]
    assert list(layer.named_parameters()) == []


def test_standardize_agrees_with_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal([1e6, 1, -3, 0], [1e-2, 3, 1e-5, 1], (500, 4))
    x[:, 3] = 0.1  # constant, but not in the rounded mean of its squares
    layer, theirs = fnn.Standardize(4, dtype=np.float64).fit_statistics(x), preprocessing.StandardScaler().fit(x)
    np.testing.assert_allclose(layer.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(layer.scale, theirs.scale_, rtol=1e-9)
    assert layer.scale[3] == 1
    np.testing.assert_array_equal(layer(x)[:, 3], 0)


def test_standardize_reads_large_tables_piece_by_piece(monkeypatch):
    x = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    want = fnn.Standardize(7).fit_statistics(x).state_dict()
    monkeypatch.setattr("fastnn.data._PIECE", 70)
    got = fnn.Standardize(7).fit_statistics(x).state_dict()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-12)


def test_standardize_first_in_a_float32_network_keeps_differences():
    seconds = 1.6e9 + np.random.default_rng(0).random((50, 2))
    model = fnn.Sequential(fnn.Standardize(2).fit_statistics(seconds), fnn.Identity())
    want = (seconds - seconds.mean(0)) / seconds.std(0)
    for first in (model, fnn.Sequential(fnn.Sequential(model))):
        y = first(seconds)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, want, atol=3e-6)  # of the mean of numbers near 2^30
        np.testing.assert_array_equal(first.vjp(seconds)[0], y)
    assert model(np.ones((3, 2), np.uint8)).dtype == np.float32
    double = model.astype(np.float64)
    np.testing.assert_allclose(double(seconds), want, atol=3e-6)
    assert double.astype(np.float32)[0].mean.dtype == np.float64


def test_statistics_stay_in_training():
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 2, (60, 3)).astype(np.float32), rng.standard_normal((60, 1))
    model = fnn.Sequential(fnn.Standardize(3).fit_statistics(x), fnn.Linear(3, 1, rng=0))
    before = model.state_dict()
    fnn.Trainer(model, "mse", fnn.Adam(lr=0.1), seed=0).fit(x, y, epochs=2)
    after = model.state_dict()
    for name in ("0.mean", "0.scale"):
        np.testing.assert_array_equal(after[name], before[name])
    assert not np.array_equal(after["1.weight"], before["1.weight"])


def test_layers_are_blank_until_they_are_loaded(tmp_path):
    """A file that names billions of features but holds none is refused without memory for them."""
    for layer in ("Standardize(2)", "Scale(2)"):
        fnn.save(fnn.Sequential(eval(f"fnn.{layer}")), tmp_path / "m")
        text = (tmp_path / "m").read_bytes()
        assert b'num_features\\": 2' in text
        changed = text.replace(b'num_features\\": 2,', b'num_features\\": 2' + 13 * b"0" + b",")
        length = int.from_bytes(changed[:8], "little") + 13
        (tmp_path / "m").write_bytes(length.to_bytes(8, "little") + changed[8:])
        with pytest.raises(ValueError, match=r"load_state_dict: 0\.\w+ has shape \(2,\) but \(20000000000000,\)"):
            fnn.load(tmp_path / "m")


@pytest.mark.parametrize("kind", ["u1", "i4", "i8", ">i8", "u8", "f2", "f4", "f8", "?"])
def test_embedding_looks_up_indices_of_any_dtype(kind, dtype):
    layer = fnn.Embedding(7, 3, rng=0, dtype=dtype)
    x = np.random.default_rng(0).integers(0, 2 if kind == "?" else 7, (5, 2)).astype(kind)
    for name, given in layouts(x):
        y, backward = layer.vjp(given)
        np.testing.assert_array_equal(y, layer.weight[x.astype(int)], err_msg=name)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        dx = backward(dy)
        want = np.zeros((7, 3))
        np.add.at(want, x.astype(int), dy.astype(np.float64))
        np.testing.assert_array_equal(layer.grads["weight"], want.astype(dtype), err_msg=name)
        assert y.dtype == dx.dtype == layer.grads["weight"].dtype == dtype
        assert dx.shape == x.shape
        assert not dx.any()
    np.testing.assert_array_equal(layer(3), layer.weight[3])


def test_embedding_against_torch(dtype):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Embedding(7, 3).to(torch.float64 if dtype == np.float64 else torch.float32)
    ours = fnn.Embedding(7, 3, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).integers(0, 7, (50, 2))
    y, backward = ours.vjp(x)
    want = theirs(torch.tensor(x))
    np.testing.assert_array_equal(y, want.detach().numpy())
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    want.backward(torch.tensor(dy))
    backward(dy)
    tolerance = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(ours.grads["weight"], theirs.weight.grad.numpy(), rtol=tolerance, atol=tolerance)


def test_embedding_draws_from_the_normal_distribution():
    weight = fnn.Embedding(100, 50, rng=0).weight
    assert abs(weight.mean()) < 0.05
    assert abs(weight.std() - 1) < 0.05
    np.testing.assert_array_equal(fnn.Embedding(2, 3, init="ones").weight, 1)


@pytest.fixture(scope="module")
def large():
    """An embedding of more indices than float32 tells apart; index i is embedded as i mod 2^24 where that is below 10."""
    weight = np.zeros((2**24 + 10, 1), np.float32)
    weight[:10, 0] = weight[2**24 :, 0] = np.arange(10)
    return fnn.Embedding(2**24 + 10, 1, init=lambda shape, rng: weight)


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.float64])
def test_indices_beyond_float32_are_exact_in_a_float32_network(large, dtype):
    x = np.array([[2**24 + 1, 5], [2**24 + 3, 7]]).astype(dtype)
    want = x % 2**24
    columns = fnn.Columns([(0, large), (1, fnn.Identity())])
    for model in (columns, fnn.Sequential(columns), fnn.Sequential(fnn.Sequential(columns))):
        y = model(x)
        np.testing.assert_array_equal(y[:, 0], want[:, 0])
        np.testing.assert_array_equal(y[:, 1], x[:, 1])
        np.testing.assert_array_equal(model.vjp(x)[0], y)
        assert y.dtype == np.float32
    message = "Embedding: x is 16777216.0 at row 1, column 0; float32 skips whole numbers beyond 16777216: pass integers, or float64"
    refused(lambda: columns(np.array([[1, 2], [2**24 + 1, 3]], np.float32)), ValueError, message)
    np.testing.assert_array_equal(columns(np.array([[2**24 - 1, 3]], np.float32)), [[0, 3]])


def table(rows, rng):
    """A table of two numbers and two categories, and what depends on all of them."""
    numbers, categories = rng.standard_normal((rows, 2)), rng.integers(0, 5, (rows, 2))
    y = numbers[:, 0] * (categories[:, 0] - 2) + np.sin(categories[:, 1]) + numbers[:, 1]
    return np.concatenate([categories[:, :1], numbers, categories[:, 1:]], 1), y


def test_a_table_trains_through_columns(tmp_path):
    x, y = table(400, np.random.default_rng(0))
    model = fnn.Sequential(
        fnn.Columns(
            [
                ([1, 2], fnn.Standardize(2).fit_statistics(x[:, 1:3])),
                (0, fnn.Embedding(5, 4, rng=0)),
                (3, fnn.Embedding(5, 4, rng=1)),
            ]
        ),
        fnn.Linear(10, 32, rng=2),
        fnn.ReLU(),
        fnn.Linear(32, 1, rng=3),
    )
    assert list(model.state_dict()) == [
        "0.1.weight", "0.2.weight", "1.weight", "1.bias", "3.weight", "3.bias", "0.0.mean", "0.0.scale"]  # fmt: skip
    trainer = fnn.Trainer(model, "mse", fnn.Adam(lr=0.01), seed=0)
    losses = trainer.fit(x, y, epochs=40)["loss"]
    assert losses[-1] < losses[0] / 20
    fnn.save(model, tmp_path / "m")
    again = fnn.load(tmp_path / "m")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again(x), model(x))


def test_columns_concatenate_in_order_and_add_gradients_of_shared_columns(dtype):
    x = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(dtype)
    first, second = fnn.Linear(2, 3, rng=0, dtype=dtype), fnn.Linear(3, 2, rng=1, dtype=dtype)
    layer = fnn.Columns([([3, 0], first), ((0, 1, 0), second), (2, fnn.Identity())])
    for name, given in layouts(x):
        y, backward = layer.vjp(given)
        np.testing.assert_array_equal(
            y, np.concatenate([first(x[..., [3, 0]]), second(x[..., [0, 1, 0]]), x[..., [2]]], -1), err_msg=name
        )
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        a, b, c = dy[..., :3] @ first.weight, dy[..., 3:5] @ second.weight, dy[..., 5]
        want = np.stack([a[..., 1] + b[..., 0] + b[..., 2], b[..., 1], c, a[..., 0]], -1)
        np.testing.assert_allclose(backward(dy), want, rtol=1e-5, atol=1e-6, err_msg=name)
    assert backward(dy, need_dx=False) is None
    assert list(layer.grads) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert layer(x[:0]).shape == (0, 5, 6)
    assert layer(x[0, 0]).shape == (6,)


def test_a_users_layer_takes_columns():
    class Double:
        def __call__(self, x):
            return 2 * x

        def vjp(self, x, step=0):
            return 2 * x, lambda dy: 2 * dy

    layer, x = fnn.Columns([(1, Double()), (0, fnn.Tanh())]), np.array([[0.5, 3]])
    y, backward = layer.vjp(x)
    np.testing.assert_array_equal(y, [[6, np.tanh(0.5)]])
    np.testing.assert_allclose(backward(y), [[np.tanh(0.5) * (1 - np.tanh(0.5) ** 2), 12]], rtol=1e-12)
    assert not layer.is_native


def test_rows_of_columns():
    layer = fnn.Columns([([2, 0], fnn.Linear(2, 3)), (1, fnn.Embedding(4, 5))])
    assert [(op.kind, op.shape, op.params, op.numbers) for op in fnn.Sequential(layer).lower((None, 3))] == [
        ("columns", (None, 2), (), {"columns": (2, 0)}),
        ("linear", (None, 3), ("0.0.weight", "0.0.bias"), {}),
        ("columns", (None, 1), (), {"columns": (1,)}),
        ("embedding", (None, 1, 5), ("0.1.weight",), {}),
        ("concatenate", (None, 8), (), {"ops": (2, 2)}),
    ]


def test_an_index_out_of_range_names_row_and_column_of_the_table(monkeypatch):
    monkeypatch.setattr("fastnn.data._PIECE", 700)
    x, y = table(3000, np.random.default_rng(0))
    inner = fnn.Columns([(0, fnn.Identity()), (1, fnn.Sequential(fnn.Embedding(5, 2, rng=0), fnn.Tanh()))])
    model = fnn.Sequential(fnn.Columns([([1, 2], fnn.Standardize(2)), ([0, 3], inner)]), fnn.Linear(5, 1, rng=0))
    x[2500, 3] = 5
    message = "Embedding: x is 5.0 at row 2500, column 3; an index in [0, 5) was expected"
    trainer = fnn.Trainer(model, "mse")
    for call in (model, model.vjp, trainer.predict, lambda x: trainer.fit(x, y), lambda x: trainer.evaluate(x, y)):
        refused(lambda call=call: call(x), IndexError, message)
    assert trainer.steps_done == 0
    refused(lambda: fnn.Embedding(5, 2)(np.array([[[1, 5]]])), IndexError,
            "Embedding: x is 5 at row 0, column (0, 1); an index in [0, 5) was expected")  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Scale(0), ValueError, "Scale: num_features is 0 but a positive integer was expected"),
        (lambda: fnn.Scale(3, init=np.inf), ValueError, "Scale: init is inf but a finite number was expected"),
        (lambda: fnn.Scale(3)(np.ones((4, 1))), ValueError, "Scale: the input has shape (4, 1) but num_features is 3"),
        (lambda: fnn.Scale(3).lower((4, 2)), ValueError, "Scale: the input has shape (4, 2) but num_features is 3"),
        (lambda: fnn.Scale(3).vjp(np.ones((4, 3)))[1](np.ones(3)), ValueError,
         "Scale: dy has shape (3,) but the output has shape (4, 3)"),
        (lambda: fnn.Standardize(()), ValueError, "Standardize: num_features is () but a positive integer was expected"),
        (lambda: fnn.Standardize((2, 0)), ValueError, "Standardize: num_features[1] is 0 but a positive integer was expected"),
        (lambda: fnn.Standardize((2, 3))(np.ones((4, 3, 2))), ValueError,
         "Standardize: the input has shape (4, 3, 2) but num_features is (2, 3)"),
        (lambda: fnn.Standardize((2, 3)).lower((3,)), ValueError, "Standardize: the input has shape (3,) but num_features is (2, 3)"),
        (lambda: fnn.Standardize(3).fit_statistics(np.ones(3)), ValueError,
         "fit_statistics: x has shape (3,) but (rows, ..., 3) was expected"),
        (lambda: fnn.Standardize(3).fit_statistics(np.ones((0, 3))), ValueError,
         "fit_statistics: x has shape (0, 3) but (rows, ..., 3) was expected"),
        (lambda: fnn.Standardize(2).fit_statistics([[1, 2], [3, np.nan]]), ValueError,
         "fit_statistics: x is nan at row 1, column 1; finite numbers were expected"),
        (lambda: fnn.Embedding(5, 2)([1, -1]), IndexError, "Embedding: x is -1 at row 1; an index in [0, 5) was expected"),
        (lambda: fnn.Embedding(5, 2)(5), IndexError, "Embedding: x is 5; an index in [0, 5) was expected"),
        (lambda: fnn.Embedding(5, 2)(np.array([2**64 - 1], np.uint64)), IndexError,
         f"Embedding: x is {2**64 - 1} at row 0; an index in [0, 5) was expected"),
        (lambda: fnn.Embedding(5, 2)([[1, 2], [3, 1.5]]), ValueError,
         "Embedding: x is 1.5 at row 1, column 1; a whole number was expected"),
        (lambda: fnn.Embedding(5, 2)([np.nan]), ValueError, "Embedding: x is nan at row 0; a whole number was expected"),
        (lambda: fnn.Embedding(5, 2)([np.inf]), IndexError, "Embedding: x is inf at row 0; an index in [0, 5) was expected"),
        (lambda: fnn.Embedding(0, 2), ValueError, "Embedding: num_embeddings is 0 but a positive integer was expected"),
        (lambda: fnn.Columns(3), TypeError, "Columns: branches is 3 but a sequence of pairs (columns, layer) was expected"),
        (lambda: fnn.Columns([]), ValueError, "Columns: at least one branch was expected"),
        (lambda: fnn.Columns([fnn.ReLU()]), TypeError, "Columns: branch 0 is ReLU() but a pair (columns, layer) was expected"),
        (lambda: fnn.Columns([(0, fnn.ReLU()), (1, 2)]), TypeError, "Columns: layer 1 is int but a layer (with vjp) was expected"),
        (lambda: fnn.Columns([([], fnn.ReLU())]), ValueError, "Columns: columns 0 is empty but at least one column was expected"),
        (lambda: fnn.Columns([("ab", fnn.ReLU())]), TypeError,
         "Columns: columns 0 is 'ab' but an integer or a sequence of integers was expected"),
        (lambda: fnn.Columns([(-1, fnn.ReLU())]), ValueError,
         f"Columns: a column of branch 0 is -1 but an integer from 0 to {2**63 - 1} was expected"),
        (lambda: fnn.Columns([(0, fnn.ReLU()), ([1, 4], fnn.ReLU())])(np.ones((2, 4))), ValueError,
         "Columns: the input has shape (2, 4) but branch 1 reads column 4"),
        (lambda: fnn.Columns([(0, fnn.ReLU()), ([1, 4], fnn.ReLU())]).lower((2, 4)), ValueError,
         "Columns: the input has shape (2, 4) but branch 1 reads column 4"),
        (lambda: fnn.Columns([([0, 1], fnn.Flatten(0))])(np.ones((2, 4))), ValueError,
         "Columns: branch 0 returns shape (4,) but its first axes should be (2,)"),
        (lambda: fnn.Standardize(2).fit_statistics([["1", "2"]]), TypeError,
         "fit_statistics: x has dtype <U1 but a real dtype of at most float64 was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    refused(call, error, message)
