"""What fit is given: rows, targets, weights, splits; all that can be wrong with them is found before the first step."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn import data
from fastnn import functional as F

SIZES = [4, 8, 3]


def blobs(n=60, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.standard_normal((n, 4)) + 4 * np.eye(3, 4)[y]).astype(dtype), y


def trainer(loss="cross_entropy", optimizer=None, outputs=3, **options):
    model = fnn.MLP([4, 8, outputs], "tanh", seed=0, dtype=np.float64)
    return fnn.Trainer(model, loss, fnn.SGD(lr=0.1) if optimizer is None else optimizer, seed=0, **options)


def train(x, y, loss="cross_entropy", **options):
    """Train an epoch in order, and return the trainer and the epoch's loss."""
    run = trainer(loss)
    history = run.fit(x, y, **{"shuffle": False, "verbose": False, **options})
    return run, history["loss"]


def assert_same_state(a, b, rtol=1e-12):
    for name, value in a.model.state_dict().items():
        np.testing.assert_allclose(value, b.model.state_dict()[name], rtol=rtol, atol=1e-14, err_msg=name)


def refused(call, run, error, message):
    """The call raises this error with this message, and the trainer is as before."""
    before = run.model.state_dict()
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
    assert (run.steps_done, run.epochs_done) == (0, 0)
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


# ---------------------------------------------------------------------------------------------------------------- weights


def minibatch_losses(x, y, loss, weight, batch_size, own):
    """Train by hand with the documented arithmetic: return the model and the epoch's loss."""
    run = trainer(loss)
    total = weight * own
    counts = total != 0
    scale = counts.sum() / total.sum()
    summed = 0.0
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        number = counts[rows].sum()
        if number == 0:
            continue
        output, backward = run.model.vjp(x[rows])
        value, gradient = run.loss(output, y[rows], weight[rows] * scale, number)
        backward(gradient)
        summed += value * number / scale
        for name, param in run.model.named_parameters():
            param -= 0.1 * backward.grads[name]
    return run, summed / total.sum()


WEIGHTED = {
    "sample weights": ("cross_entropy", lambda rng, y: rng.random(len(y)), lambda y: np.ones(len(y))),
    "class weights of the loss": (fnn.CrossEntropy(weight=[0.5, 2.0, 3.0]), lambda rng, y: rng.random(len(y)), lambda y: np.array([0.5, 2, 3])[y]),
    "weights of 0": ("cross_entropy", lambda rng, y: rng.integers(0, 2, len(y)) * rng.random(len(y)), lambda y: np.ones(len(y))),
    "an ignored label": (fnn.CrossEntropy(ignore_index=1), lambda rng, y: rng.random(len(y)), lambda y: (y != 1) * 1.0),
    "mse": ("mse", lambda rng, y: rng.integers(0, 3, len(y)) * 1.0, lambda y: np.ones(len(y))),
}  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 7, 60])
@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_in_fit_are_the_documented_arithmetic(kind, batch_size):
    loss, draw, own = WEIGHTED[kind]
    x, y = blobs(dtype=np.float64)
    weight = draw(np.random.default_rng(1), y)
    targets = np.eye(3)[y] if loss == "mse" else y
    want, want_loss = minibatch_losses(x, targets, loss, weight, batch_size, own(y))
    got, got_loss = train(x, targets, loss, sample_weight=weight, batch_size=batch_size)
    assert_same_state(got, want)
    np.testing.assert_allclose(got_loss, [want_loss], rtol=1e-12)


def test_the_scale_of_weights_changes_nothing():
    x, y = blobs()
    weight = np.random.default_rng(1).random(60)
    want, losses = train(x, y, sample_weight=weight, batch_size=8)
    for factor in (1e-300, 7.0, 1e300):
        got, same = train(x, y, sample_weight=weight * factor, batch_size=8)
        np.testing.assert_allclose(same, losses, rtol=1e-12)
        assert_same_state(got, want)


def test_weights_have_an_effect_in_minibatches_of_one_row():
    x, y = blobs()
    weight = np.where(y == 0, 10.0, 1.0)
    a, b = train(x, y, batch_size=1)[0], train(x, y, batch_size=1, sample_weight=weight)[0]
    assert not np.array_equal(a.model[0].weight, b.model[0].weight)


def test_equal_weights_are_no_weights():
    x, y = blobs()
    want, losses = train(x, y, batch_size=8)
    for options in (
        {"sample_weight": np.full(60, 3.0)},
        {"class_weight": {0: 2, 1: 2, 2: 2}},
        {"class_weight": [5, 5, 5]},
    ):
        got, same = train(x, y, batch_size=8, **options)
        assert same == losses
        assert_same_state(got, want, rtol=0)


@pytest.mark.parametrize("loss", ["cross_entropy", fnn.CrossEntropy(weight=[1, 2, 0.5]), "mse"])
def test_fit_is_equivariant_under_permutations(loss):
    x, y = blobs(dtype=np.float64)
    y = np.eye(3)[y] if loss == "mse" else y
    weight = np.random.default_rng(1).random(60)
    order = np.random.default_rng(2).permutation(60)
    options = {"batch_size": 60, "epochs": 3}
    a, losses = train(x, y, loss, sample_weight=weight, **options)
    b, permuted = train(x[order], y[order], loss, sample_weight=weight[order], **options)
    np.testing.assert_allclose(permuted, losses, rtol=1e-12)
    assert_same_state(a, b)


def test_weights_are_shuffled_with_their_rows():
    x, y = blobs()
    weight = (np.arange(60) % 2).astype(float)
    x[::2] = 1e3  # rows of weight 0: were a weight another row's, this would be felt
    got, _ = train(x, y, sample_weight=weight, shuffle=True, batch_size=8)
    x[::2] = -1e3
    want, _ = train(x, y, sample_weight=weight, shuffle=True, batch_size=8)
    assert_same_state(got, want)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_a_minibatch_in_which_nothing_counts_changes_nothing(loss):
    x, y = blobs(40)
    weight = np.ones(40)
    weight[8:24] = 0
    targets = y if loss == "cross_entropy" else np.eye(3)[y]
    runs = [trainer(loss, fnn.Adam(lr=0.1)) for _ in range(2)]
    a = runs[0].fit(x, targets, batch_size=8, sample_weight=weight, shuffle=False, verbose=False)
    b = runs[1].fit(x[weight > 0], targets[weight > 0], batch_size=8, shuffle=False, verbose=False)
    assert a == b
    assert runs[0].steps_done == runs[1].steps_done == 3
    assert_same_state(*runs, rtol=0)


def test_minibatches_of_ignored_labels_change_nothing():
    x, y = blobs(40)
    y[8:24] = -100
    a, losses = train(x, y, batch_size=8)
    b, want = train(x[y >= 0], y[y >= 0], batch_size=8)
    assert losses == want
    assert a.steps_done == b.steps_done == 3
    assert_same_state(a, b, rtol=0)


def test_the_epochs_loss_is_the_weighted_mean():
    x, y = blobs(50)
    y[::7] = -100
    weight = np.random.default_rng(0).random(50)
    loss = fnn.CrossEntropy(weight=[1.0, 2.0, 3.0])
    run = trainer(loss, fnn.SGD(lr=0.0))
    got = run.fit(x, y, batch_size=7, sample_weight=weight, verbose=False)["loss"][0]
    assert got == pytest.approx(F.cross_entropy(run.predict(x), y, weight=loss.weight, sample_weight=weight), rel=1e-12)
    assert got == pytest.approx(run.evaluate(x, y, sample_weight=weight)["loss"], rel=1e-12)


def test_class_weights_multiply_sample_weights():
    x, y = blobs()
    weight = np.random.default_rng(0).random(60)
    by_label = np.array([2.0, 1.0, 0.5])
    want, losses = train(x, y, sample_weight=weight * by_label[y])
    for class_weight in ({0: 2.0, 2: 0.5}, {np.int64(0): 2, 1: 1, 2: np.float32(0.5)}, [2.0, 1.0, 0.5], by_label):
        got, same = train(x, y, sample_weight=weight, class_weight=class_weight)
        assert same == losses
        assert_same_state(got, want, rtol=0)


def test_balanced_class_weights_are_scikit_learns_of_the_training_rows_that_count():
    rng = np.random.default_rng(5)
    x, y = blobs(60)[0], rng.choice([0, 0, 0, 1, 2, -100], 60)
    weight, split = rng.integers(0, 3, 60).astype(float), 0.25
    counting = (y >= 0) & (weight != 0) & (np.arange(60) < 45)
    labels, counts = np.unique(y[counting], return_counts=True)
    by_label = {int(k): counting.sum() / (3 * n) for k, n in zip(labels, counts, strict=True)}
    got, losses = train(x, y, sample_weight=weight, class_weight="balanced", validation_split=split)
    want, same = train(x, y, sample_weight=weight, class_weight=by_label, validation_split=split)
    assert_same_state(got, want)
    assert losses == same
    compute = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    np.testing.assert_allclose(list(by_label.values()), compute("balanced", classes=labels, y=y[counting]))


def test_class_weights_beside_ignored_labels():
    x, y = blobs()
    y[::4] = -100
    by_dict, losses = train(x, y, class_weight={0: 1.0, 1: 2.0, 2: 3.0})
    by_list, same = train(x, y, class_weight=[1.0, 2.0, 3.0])
    assert same == losses
    assert_same_state(by_dict, by_list, rtol=0)
    kept, _ = train(x[y >= 0], y[y >= 0], class_weight=[1.0, 2.0, 3.0], batch_size=60)
    assert_same_state(train(x, y, class_weight=[1.0, 2.0, 3.0], batch_size=60)[0], kept)


def test_step_and_evaluate_keep_the_weighted_mean():
    x, y = blobs(20)
    y[3] = -100
    weight = np.random.default_rng(0).random(20)
    run = trainer(fnn.CrossEntropy(weight=[1, 2, 3]))
    want = F.cross_entropy(run.predict(x), y, weight=[1, 2, 3], sample_weight=weight)
    assert run.evaluate(x, y, sample_weight=weight)["loss"] == want
    assert run.step(x, y, sample_weight=weight) == want


def test_a_step_in_which_nothing_counts_is_none():
    x, y = blobs(5)
    run = trainer(optimizer=fnn.Adam())
    before = run.model.state_dict()
    assert np.isnan(run.step(x, np.full(5, -100)))
    assert np.isnan(run.step(x, y, sample_weight=np.zeros(5)))
    assert np.isnan(run.step(x[:0], y[:0]))
    assert run.steps_done == 0
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_validation_rows_keep_their_weights():
    x, y = blobs(50)
    weight = np.random.default_rng(0).random(50)
    runs = [trainer() for _ in range(2)]
    split = runs[0].fit(x, y, validation_split=0.2, sample_weight=weight, verbose=False)
    held_out = (x[40:], y[40:], weight[40:])
    given = runs[1].fit(x[:40], y[:40], validation_data=held_out, sample_weight=weight[:40], verbose=False)
    assert split == given
    assert split["val_loss"][0] == runs[0].evaluate(*held_out)["loss"]
    assert_same_state(*runs, rtol=0)


# ------------------------------------------------------------------------------------------------------- kinds of arrays


class OnlyArray:
    """Like a data frame: no ndarray, but readable as one."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x if dtype is None else self.x.astype(dtype)


class DataLoader:
    def __iter__(self):
        return iter([])

    def __len__(self):
        return 0


class Sparse:
    def toarray(self):
        return np.ones((60, 4))


def test_everything_numpy_can_read_trains_alike():
    x, y = blobs()
    want, losses = train(x, y)
    for x_kind in (
        x.tolist(),
        tuple(map(tuple, x.tolist())),
        OnlyArray(x),
        np.asfortranarray(x),
        x.astype(">f8"),
        x[::-1][::-1],
    ):
        for y_kind in (y.tolist(), OnlyArray(y), y[:, None], y.astype(np.uint8), y.astype(">i4")):
            got, same = train(x_kind, y_kind)
            assert same == losses
            assert_same_state(got, want, rtol=0)


@pytest.mark.parametrize("kind", [np.float16, np.float32, ">f8", np.int64, np.uint8, np.int8, bool, list])
def test_regression_takes_targets_of_any_kind(kind, dtype):
    x, y = blobs()
    want = y > 0 if kind is bool else y
    target = want.tolist() if kind is list else want.astype(kind)
    losses = []
    for given in (target, want.astype(dtype)):
        run = fnn.Trainer(fnn.MLP([4, 8, 1], seed=0, dtype=dtype), "mse", seed=0)
        losses.append(run.fit(x, given, epochs=2, verbose=False)["loss"])
        assert {value.dtype for value in run.model.state_dict().values()} == {np.dtype(dtype)}
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_memory_mapped_arrays_are_read_piece_by_piece(tmp_path, monkeypatch):
    x, y = blobs(20_000, np.float64)
    x = np.repeat(x, 8, axis=1)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr("fastnn.data._PIECE", 1 << 14)
    runs = [fnn.Trainer(fnn.MLP([32, 3], seed=0), "cross_entropy", seed=0) for _ in range(2)]
    want = runs[0].fit(x, y, batch_size=512, verbose=False)
    tracemalloc.start()
    try:
        got = runs[1].fit(mapped, y, batch_size=512, verbose=False)
        runs[1].predict(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == want
    assert_same_state(*runs, rtol=0)
    assert peak < mapped.nbytes / 4, "neither a copy nor a float32 table of it was made"


def test_a_file_of_300_mb_is_trained_on_with_100_mb_and_memory_does_not_grow_with_epochs(tmp_path):
    """``make mapped`` does it with 2 GB."""
    program = Path(__file__).with_name("mapped.py")
    command = [sys.executable, program, "300", "2048"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("x", "name"),
    [
        (iter(np.ones((60, 4))), "x is a"),
        ((row for row in np.ones((60, 4))), "x is a generator but an array of all rows was expected"),
        (DataLoader(), "DataLoader but an array of all rows was expected: collect its rows first, or call step"),
        (Sparse(), "Sparse but a dense array was expected: pass its .toarray()"),
        (OnlyArray(np.ones((60, 4), object)), "OnlyArray but an array of numbers was expected: convert its columns"),
        (None, "x is a NoneType but an array of numbers was expected"),
        ({"a": 1}, "x is a dict but"),
        (np.ones((60, 4), object), "x has dtype object but real numbers of at most 64 bits were expected"),
        (np.ones((60, 4), complex), "x has dtype complex128 but"),
        (np.ones((60, 4), np.longdouble), "but real numbers of at most 64 bits were expected"),
        ([["a"] * 4] * 60, "x has dtype <U1 but"),
        (np.zeros((60, 4), "M8[s]"), "x has dtype datetime64[s] but"),
    ],
)
def test_what_holds_no_rows_is_named_by_its_type(x, name):
    y = np.arange(60) % 3
    run = trainer()
    for call in (
        lambda: run.fit(x, y),
        lambda: run.step(x, y),
        lambda: run.gradients(x, y),
        lambda: run.evaluate(x, y),
        lambda: run.predict(x),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert name in str(caught.value)
    with pytest.raises(TypeError, match=": y "):
        run.fit(np.ones((60, 4)), x)
    assert run.steps_done == 0


def test_sparse_matrices_of_scipy():
    scipy = pytest.importorskip("scipy.sparse")
    for kind in (scipy.csr_matrix, scipy.csr_array, scipy.coo_matrix):
        with pytest.raises(TypeError, match=rf"fit: x is a scipy.sparse.*{kind.__name__} but .* pass its .toarray()"):
            trainer().fit(kind(np.eye(4)), np.arange(4) % 3)


def test_rows_of_unequal_length():
    with pytest.raises(ValueError, match="fit: x is a list of rows of unequal length"):
        trainer().fit([[1.0, 2.0], [3.0]], [0, 1])


# ------------------------------------------------------------------------------------------------------ before the first step


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_that_are_not_finite_are_named_by_row_and_column(value, kind, monkeypatch):
    monkeypatch.setattr("fastnn.data._PIECE", 10)
    x, y = blobs(30)
    x = x.astype(kind)
    x[17, 2] = value
    run = trainer()
    refused(
        lambda: run.fit(x, y), run, ValueError, f"fit: x is {value} at row 17, column 2; finite numbers were expected"
    )
    good = blobs(30)
    message = f"fit: validation x is {value} at row 17, column 2; finite numbers were expected"
    refused(lambda: run.fit(*good, validation_data=(x, y)), run, ValueError, message)
    message = f"fit: x is {value} at row 17, column (2, 0); finite numbers were expected"
    refused(lambda: run.fit(x[:, :, None], y), run, ValueError, message)


def test_targets_that_are_not_finite_are_named_by_row():
    x, y = blobs(30)
    target = y.astype(np.float64)
    target[[11, 20]] = np.nan
    run = trainer("mse", outputs=1)
    refused(lambda: run.fit(x, target), run, ValueError, "fit: y is nan at row 11; finite numbers were expected")
    message = "fit: y is nan at row 11, column 0; finite numbers were expected"
    refused(lambda: run.fit(x, target[:, None]), run, ValueError, message)
    message = "fit: y is nan at row 11; finite numbers were expected"
    refused(lambda: run.fit(x, target, validation_split=0.7), run, ValueError, message)


def test_numbers_too_large_for_the_model():
    x, y = blobs(30, np.float64)
    x[3, 1] = 1e39
    run = fnn.Trainer(fnn.MLP(SIZES, seed=0), "cross_entropy")
    message = "fit: x is 1e+39 at row 3, column 1, too large for float32; finite numbers were expected"
    refused(lambda: run.fit(x, y), run, ValueError, message)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.uint64, ">i2"])
def test_labels_out_of_range_are_named_by_their_row(kind, monkeypatch):
    monkeypatch.setattr("fastnn.data._PIECE", 10)
    x, y = blobs(30)
    wrong = y.astype(kind)
    wrong[[23, 27]] = 3
    run = trainer()
    message = "fit: y[23] is 3 but a label in [0, 3) or ignore_index (-100) was expected"
    refused(lambda: run.fit(x, wrong), run, IndexError, message)
    refused(lambda: run.fit(x, wrong, validation_split=0.5), run, IndexError, message)
    message = message.replace("y[23]", "validation y[23]")
    refused(lambda: run.fit(x, y, validation_data=(x, wrong)), run, IndexError, message)
    if np.dtype(kind).kind == "i":
        wrong[5] = -1
        message = "fit: y[5] is -1 but a label in [0, 3) or ignore_index (-100) was expected"
        refused(lambda: run.fit(x, wrong), run, IndexError, message)


X, Y = blobs(10)
WEIGHT = np.ones(10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample_weight": [1]}, ValueError, "fit: sample_weight has 1 rows but y has 10"),
        ({"sample_weight": np.ones((5, 2))}, ValueError, "fit: sample_weight has shape (5, 2) but one weight per row, (10,), was expected"),
        ({"sample_weight": -WEIGHT}, ValueError, "fit: sample_weight[0] is -1.0 but a finite, non-negative weight was expected"),
        ({"sample_weight": WEIGHT * np.nan}, ValueError, "fit: sample_weight[0] is nan but a finite, non-negative weight was expected"),
        ({"sample_weight": np.where(np.arange(10) == 3, np.inf, 1)}, ValueError,
         "fit: sample_weight[3] is inf but a finite, non-negative weight was expected"),
        ({"sample_weight": 0 * WEIGHT}, ValueError, "fit: no row counts: each has a weight of 0 or an ignored label"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "fit: no row counts: each has a weight of 0 or an ignored label"),
        ({"class_weight": {"0": 1.0}}, ValueError, "fit: class_weight has the key '0', which is no label; integers in [0, 3) were expected"),
        ({"class_weight": {0: 1.0, 3: 2.0}}, ValueError, "fit: class_weight has the key 3, which is no label; integers in [0, 3) were expected"),
        ({"class_weight": {0.5: 1.0}}, ValueError, "fit: class_weight has the key 0.5, which is no label; integers in [0, 3) were expected"),
        ({"class_weight": [1.0, 2.0]}, ValueError, "fit: class_weight has 2 weights but there are 3 classes"),
        ({"class_weight": [1.0, -2.0, 1.0]}, ValueError, "fit: class_weight[1] is -2.0 but a finite, non-negative weight was expected"),
        ({"class_weight": "equal"}, ValueError, "fit: class_weight is 'equal' but 'balanced', a dict from label to weight, or a weight per class, was expected"),
        ({"validation_split": 0.01}, ValueError, "fit: validation_split=0.01 of 10 rows leaves no row to validate on"),
        ({"validation_split": 0.99}, ValueError, "fit: validation_split=0.99 of 10 rows leaves no row to train on"),
        ({"class_weight": 3}, ValueError, "fit: class_weight is 3 but 'balanced', a dict from label to weight, or a weight per class, was expected"),
        ({"validation_split": np.nan}, ValueError, "fit: validation_split is nan but a number was expected"),
        ({"validation_split": 1}, ValueError, "fit: validation_split is 1 but a share in [0, 1) was expected"),
        ({"validation_split": None}, TypeError, "fit: validation_split is None but a number was expected"),
        ({"validation_split": "0.1"}, TypeError, "fit: validation_split is '0.1' but a number was expected"),
        ({"shuffle": "batch"}, TypeError, "fit: shuffle is 'batch' but True or False was expected"),
        ({"shuffle": None}, TypeError, "fit: shuffle is None but True or False was expected"),
        ({"validation_split": 0.5, "validation_data": (X, Y)}, ValueError, "fit: pass one of validation_data and validation_split"),
        ({"validation_data": X}, ValueError, "fit: validation_data is ndarray but (x, y) or (x, y, sample_weight) was expected"),
        ({"validation_data": (X,)}, ValueError, "fit: validation_data is tuple of 1 but (x, y) or (x, y, sample_weight) was expected"),
        ({"validation_data": (X, Y[:3])}, ValueError, "fit: validation x has 10 rows but validation y has 3"),
        ({"validation_data": (X[:0], Y[:0])}, ValueError, "fit: validation x has no rows"),
        ({"validation_data": (X, Y, WEIGHT[:3])}, ValueError, "fit: validation sample_weight has 3 rows but validation y has 10"),
        ({"validation_data": (X[:, :2], Y)}, ValueError,
         "linear: x has 2 features but weight expects 4 (x (2, 2), weight (8, 4))"),
        ({"callbacks": [3]}, TypeError, "fit: callback is 3 but a function (trainer, history) was expected"),
        ({"batch_size": True}, ValueError, "fit: batch_size is True but a positive integer was expected"),
        ({"epochs": 1.5}, ValueError, "fit: epochs is 1.5 but an integer of at least 0 was expected"),
    ],
)  # fmt: skip
def test_options_are_checked_before_the_first_step(options, error, message):
    run = trainer()
    refused(lambda: run.fit(X, Y, **{"verbose": False, **options}), run, error, message)


def test_no_row_counts_where_every_label_is_ignored():
    run = trainer()
    message = "fit: no row counts: each has a weight of 0 or an ignored label"
    refused(lambda: run.fit(X, np.full(10, -100)), run, ValueError, message)


def test_wrong_weights_are_refused_by_step_and_evaluate():
    run = trainer()
    for name, call in (("step", run.step), ("evaluate", run.evaluate)):
        message = f"{name}: sample_weight[2] is -1.0 but a finite, non-negative weight was expected"
        refused(lambda call=call: call(X, Y, sample_weight=[1, 1, -1] + [1] * 7), run, ValueError, message)


def test_integer_targets_of_one_output_need_a_loss_that_is_said():
    run = fnn.Trainer(fnn.MLP([4, 1], seed=0))
    message = (
        "fit: y holds integers, which mean classes, but the model has one output; give it an output per class, or pass loss='mse' "
        "to Trainer for regression"
    )
    refused(lambda: run.fit(X, Y), run, ValueError, message)
    fnn.Trainer(fnn.MLP([4, 1], seed=0), "mse").fit(X, Y, verbose=False)


def test_a_loss_of_the_users_own_may_take_weights():
    class Own:
        def __call__(self, output, target, sample_weight=None, divisor=None):
            return fnn.MSE()(output, target, sample_weight, divisor)

        def row_weights(self, target):
            return None

    x, y = blobs()
    weight = np.random.default_rng(1).random(60)
    got, losses = train(x, np.eye(3)[y], Own(), sample_weight=weight)
    want, same = train(x, np.eye(3)[y], "mse", sample_weight=weight)
    assert losses == same
    assert_same_state(got, want, rtol=0)


@pytest.mark.parametrize(
    ("loss", "good", "bad", "expected"),
    [
        ("binary_cross_entropy_with_logits", 1, 2, "a value in [0, 1]"),
        ("focal_with_logits", 0, -1, "a value in [0, 1]"),
        ("hinge", -1, 0, "-1 or 1"),
        ("squared_hinge", 1, 0, "-1 or 1"),
        ("soft_margin", 1, 0, "-1 or 1"),
    ],
)
@pytest.mark.parametrize("kind", [np.int64, np.float64, np.float32])
def test_a_number_that_is_no_target_is_found_before_the_first_step(loss, good, bad, expected, kind, monkeypatch):
    monkeypatch.setattr(data, "_PIECE", 16)  # the row is counted from the first, whatever the piece
    x, _ = blobs(60)
    run, y = trainer(loss, outputs=1), np.full(60, good, kind)
    y[50] = bad
    refused(lambda: run.fit(x, y), run, ValueError, f"fit: y is {y[50]} at row 50 but {expected} was expected")
    validation = x, y[:, None]
    message = f"fit: validation y is {y[50]} at row 50, column 0 but {expected} was expected"
    refused(lambda: run.fit(x, np.full(60, good, kind), validation_data=validation), run, ValueError, message)


def test_targets_of_a_loss_of_the_users_own_are_its_own_affair():
    class OfLabels(fnn.SoftMargin):
        def __call__(self, output, target, sample_weight=None, divisor=None):
            return super().__call__(output, 2.0 * np.asarray(target) - 1, sample_weight, divisor)

    x, y = blobs()
    own, known = trainer(OfLabels(), outputs=1), trainer("soft_margin", outputs=1)
    assert own.fit(x, y > 0, verbose=False) == known.fit(x, np.where(y > 0, 1, -1), verbose=False)
    assert_same_state(own, known, rtol=0)


def test_targets_of_another_shape_are_found_before_the_first_step():
    run = trainer("mse")
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        run.fit(X, np.ones((10, 2)))
    assert run.steps_done == 0


def test_class_weights_of_targets_that_are_no_labels():
    run = trainer()
    message = "fit: class_weight needs integer labels but y has dtype float64"
    refused(lambda: run.fit(X, np.eye(3)[Y], class_weight={0: 2.0}), run, TypeError, message)
    by_value = trainer("mse", outputs=1)
    by_value.fit(X, Y, class_weight={0: 2.0, int(Y.max()): 3.0}, verbose=False)
    weights = np.where(Y == 0, 2.0, np.where(Y.max() == Y, 3.0, 1.0))
    by_row = trainer("mse", outputs=1)
    by_row.fit(X, Y, sample_weight=weights, verbose=False)
    assert_same_state(by_value, by_row, rtol=0)


@pytest.mark.parametrize("call", ["fit", "step", "gradients", "evaluate", "predict"])
def test_rows_of_another_number_of_dimensions_say_what_to_pass(call):
    images = np.ones((6, 2, 2), np.float32)
    y = np.arange(6) % 3
    for x, size, hint in ((images, 4, "x.reshape(len(x), -1)"), (np.ones(6), 1, "x[:, None]")):
        run = fnn.Trainer(fnn.MLP([size, 3], seed=0), "cross_entropy")
        with pytest.raises(ValueError, match="linear: x has") as caught:
            getattr(run, call)(*((x,) if call == "predict" else (x, y)))
        assert str(caught.value).endswith(f": pass {hint}")
        assert run.steps_done == 0
        run.fit(eval(hint, {"x": x}), y, verbose=False)


def test_rows_are_looked_at_in_pieces_of_a_million_numbers():
    for shape, sizes in (
        ((3, 2**10), [3]),
        ((3 << 9, 2**10), [1024, 512]),
        ((2, 2**21), [1, 1]),
        ((5, 0), [5]),
        ((0, 4), []),
    ):
        pieces = list(data.pieces(np.broadcast_to(np.zeros(1), shape)))
        assert [len(rows) for _, rows in pieces] == sizes
        assert [start for start, _ in pieces] == [0, *np.cumsum(sizes)][: len(sizes)]
