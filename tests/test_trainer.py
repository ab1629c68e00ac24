"""The trainer: the digits run as literals, equality with steps by hand, options, prediction, errors."""

import copy
import json

import numpy as np
import pytest

import fastnn as fnn
from fastnn import functional as F
from fastnn.benchmarks import ReferenceMLP
from fastnn.losses import LOSSES

# Losses of the first ten steps on the digits, from the NumPy reference in float64 (ReferenceMLP): MLP 64-100-10, seed 0, Adam(1e-3),
# minibatches of 32 in order, pixels divided by 16.
FIRST_LOSSES = [2.315401356338, 2.251219523392, 2.294352388799, 2.269475743951, 2.280717293870,
                2.243858878184, 2.248327283031, 2.277797709871, 2.222927594701, 2.198960091246]  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    x, y = fnn.datasets.load_digits()
    return x / 16, y


def blobs(n=300, dtype=np.float32, seed=0):
    """Three separable classes in 4 dimensions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return (rng.standard_normal((n, 4)) + 4 * np.eye(3, 4)[y]).astype(dtype), y


def trainer(seed=0, **options):
    return fnn.Trainer(fnn.MLP([4, 16, 3], seed=seed), "cross_entropy", **{"seed": seed, **options})


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-6)])
def test_first_losses_of_the_digits_run(digits, dtype, tolerance, isa):
    x, y = digits[0][:320].astype(dtype), digits[1][:320]
    run = fnn.Trainer(fnn.MLP([64, 100, 10], seed=0, dtype=dtype), "cross_entropy", fnn.Adam(lr=1e-3), seed=0)
    losses = [run.step(x[i : i + 32], y[i : i + 32]) for i in range(0, 320, 32)]
    np.testing.assert_allclose(losses, FIRST_LOSSES, rtol=tolerance)


def test_the_literals_are_the_references(digits):
    x, y = digits[0][:320].astype(np.float64), digits[1][:320]
    reference = ReferenceMLP(fnn.MLP([64, 100, 10], seed=0, dtype=np.float64), lr=1e-3)
    losses = [reference.step(x[i : i + 32], y[i : i + 32]) for i in range(0, 320, 32)]
    np.testing.assert_allclose(losses, FIRST_LOSSES, rtol=1e-11)


def test_step_is_forward_loss_backward_update_bitwise(isa):
    x, y = blobs(20)
    run = trainer(optimizer=fnn.SGD(lr=0.5, momentum=0.9))
    model = fnn.MLP([4, 16, 3], seed=0)
    velocity = {name: np.zeros_like(value) for name, value in model.named_parameters()}
    for _ in range(3):
        h, z = F.linear(x, model[0].weight, model[0].bias, activation="relu", return_preactivation=True)
        loss, grad = F.cross_entropy_with_grad(F.linear(h, model[2].weight, model[2].bias), y)
        dh, dw2, db2 = F.linear_backward(grad, h, model[2].weight)
        _, dw0, db0 = F.linear_backward(dh, x, model[0].weight, activation="relu", y=h, need_dx=False)
        for name, param in model.named_parameters():
            gradient = {"0.weight": dw0, "0.bias": db0, "2.weight": dw2, "2.bias": db2}[name]
            F.sgd_update(param, gradient, velocity[name], lr=0.5, momentum=0.9)
        assert run.step(x, y) == loss
    for name, value in run.model.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])


def test_fit_learns_and_records():
    x, y = blobs()
    run = trainer(optimizer=fnn.Adam(lr=0.01))
    history = run.fit(x, y, epochs=12, validation_data=blobs(seed=1), verbose=False)
    assert list(history) == ["loss", "val_loss", "val_accuracy"]
    assert all(len(values) == 12 for values in history.values())
    assert history["loss"][-1] < history["loss"][0] / 3
    assert history["val_accuracy"][-1] > 0.95
    assert history.seed == run.seed == 0
    json.dumps(history)
    assert run.epochs_done == 12
    assert run.steps_done == 12 * 10


def test_fit_in_pieces_equals_fit_at_once():
    x, y = blobs()
    whole, pieces = trainer(), trainer()
    losses = whole.fit(x, y, epochs=4, verbose=False)["loss"]
    again = [pieces.fit(x, y, epochs=1, verbose=False)["loss"][0] for _ in range(4)]
    assert losses == again
    other = trainer(seed=1)
    assert other.fit(x, y, epochs=4, verbose=False)["loss"] != losses


def test_order_of_samples():
    x, y = blobs(64)
    seen = []

    class Spy:
        def __call__(self, a):
            return a

        def vjp(self, a, step=0):
            seen.append(a.copy())
            return a, lambda dy: dy

    run = fnn.Trainer(fnn.Sequential(Spy(), fnn.Linear(4, 3, rng=0)), "cross_entropy", seed=5)
    run.fit(x, y, epochs=2, batch_size=24, verbose=False)
    assert [len(a) for a in seen] == [24, 24, 16] * 2
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)
    for a in (first, second):
        np.testing.assert_array_equal(np.sort(a, 0), np.sort(x, 0))
    seen.clear()
    run.fit(x, y, batch_size=64, shuffle=False, verbose=False)
    np.testing.assert_array_equal(seen[0], x)


def test_epoch_loss_is_the_mean_over_rows():
    x, y = blobs(50)
    run = trainer(optimizer=fnn.SGD(lr=1e-30))
    loss = run.fit(x, y, batch_size=32, verbose=False)["loss"][0]
    assert loss == pytest.approx(run.evaluate(x, y)["loss"], rel=1e-6)


def test_validation_split_holds_out_the_last_rows():
    x, y = blobs(50)
    a, b = trainer(), trainer()
    split = a.fit(x, y, validation_split=0.2, verbose=False)
    given = b.fit(x[:40], y[:40], validation_data=(x[40:], y[40:]), verbose=False)
    assert split == given


def test_weights_of_samples_and_classes():
    x, y = blobs(60)
    weight = np.random.default_rng(0).random(60)
    by_class = {0: 2.0, 2: 0.5}
    loss = trainer().step(x, y, sample_weight=weight)
    assert loss == pytest.approx(F.cross_entropy(fnn.MLP([4, 16, 3], seed=0)(x), y, sample_weight=weight))
    kept = trainer()
    kept.fit(x, y, sample_weight=(y != 1).astype(float), batch_size=60, shuffle=False, verbose=False)
    dropped = trainer()
    dropped.fit(x[y != 1], y[y != 1], batch_size=60, shuffle=False, verbose=False)
    for name, value in kept.model.state_dict().items():
        np.testing.assert_allclose(value, dropped.model.state_dict()[name], rtol=1e-4, atol=1e-6)
    a = trainer().fit(x, y, class_weight=by_class, verbose=False)
    b = trainer().fit(x, y, class_weight=[2.0, 1.0, 0.5], verbose=False)
    c = trainer().fit(x, y, sample_weight=np.array([2.0, 1.0, 0.5])[y], verbose=False)
    assert a == b == c != trainer().fit(x, y, verbose=False)


def test_penalties():
    x, y = blobs(30, np.float64)
    plain = fnn.Trainer(fnn.MLP([4, 5, 3], seed=0, dtype=np.float64), "cross_entropy", fnn.SGD(lr=0.1), seed=0)
    _, gradients = plain.gradients(x, y)
    before = plain.model.state_dict()
    run = fnn.Trainer(
        fnn.MLP([4, 5, 3], seed=0, dtype=np.float64), "cross_entropy", fnn.SGD(lr=0.1), l1=0.3, l2=0.2, seed=0
    )
    assert run.step(x, y) == plain.evaluate(x, y)["loss"]
    for name, value in run.model.state_dict().items():
        penalty = 0.3 * np.sign(before[name]) + 0.4 * before[name] if "weight" in name else 0
        np.testing.assert_allclose(value, before[name] - 0.1 * (gradients[name] + penalty), rtol=1e-12)


@pytest.mark.parametrize("options", [{"clip_norm": 0.01}, {"clip_value": 0.001}, {"clip_norm": 1e9}])
def test_clipping(options):
    x, y = blobs(30, np.float64)
    run = fnn.Trainer(fnn.MLP([4, 5, 3], seed=0, dtype=np.float64), "cross_entropy", fnn.SGD(lr=1.0), seed=0, **options)
    _, gradients = run.gradients(x, y)
    before = run.model.state_dict()
    run.step(x, y)
    moved = {name: before[name] - value for name, value in run.model.state_dict().items()}
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    for name, g in gradients.items():
        want = np.clip(g, -0.001, 0.001) if "clip_value" in options else g * min(1, options["clip_norm"] / norm)
        np.testing.assert_allclose(moved[name], want, rtol=1e-9, atol=1e-15)


def test_gradients_change_nothing():
    x, y = blobs(30)
    run = trainer(optimizer="sgd")
    before = run.model.state_dict()
    loss, gradients = run.gradients(x, y)
    assert run.steps_done == 0
    assert loss == run.step(x, y)
    np.testing.assert_array_equal(run.model[0].weight, F_sgd(before["0.weight"], gradients["0.weight"]))


def F_sgd(param, grad):  # noqa: N802
    param = param.copy()
    F.sgd_update(param, grad, lr=1e-3)
    return param


def test_regression_and_default_losses():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2, 0.5], np.float32)
    run = fnn.Trainer(fnn.MLP([3, 1], task="regression", seed=0), optimizer=fnn.Adam(lr=0.05), seed=0)
    history = run.fit(x, y, epochs=30, verbose=False)
    assert history["loss"][-1] < 1e-4
    assert run.evaluate(x, y[:, None]) == run.evaluate(x, y)
    assert list(run.evaluate(x, y)) == ["loss"]
    with pytest.raises(ValueError, match="gives no probabilities"):
        run.predict_proba(x)
    assert type(fnn.Trainer(fnn.MLP([3, 2], task="classification")).loss) is fnn.CrossEntropy
    for target, loss in ((np.zeros(5, int), fnn.CrossEntropy), (np.zeros((5, 2), np.float32), fnn.MSE)):
        guess = fnn.Trainer(fnn.MLP([3, 2], seed=0))
        guess.step(x[:5], target)
        assert type(guess.loss) is loss


def test_losses_metrics_and_callbacks_of_the_user():
    x, y = blobs(40)

    def loss(output, target):
        return F.cross_entropy_with_grad(output, target)

    def worst(output, target):
        return output.max()

    run = trainer()
    mine = fnn.Trainer(fnn.MLP([4, 16, 3], seed=0), loss, metrics=[worst, "accuracy"], seed=0)
    called = []

    def callback(trainer, history):
        called.append((trainer, len(history["loss"])))
        return len(called) == 2

    losses = mine.fit(x, y, epochs=5, callbacks=[callback], verbose=False)["loss"]
    assert losses == run.fit(x, y, epochs=2, verbose=False)["loss"]
    assert called == [(mine, 1), (mine, 2)]
    values = mine.evaluate(x, y)
    assert values["worst"] == mine.predict(x).max()
    assert values["accuracy"] == np.mean(mine.predict(x).argmax(1) == y)
    with pytest.raises(TypeError, match="a callable loss takes no sample_weight"):
        mine.step(x, y, sample_weight=np.ones(40))


def test_predict(dtype):
    x, y = blobs(100, dtype)
    run = fnn.Trainer(fnn.MLP([4, 16, 3], seed=0, dtype=dtype), "cross_entropy", seed=0)
    want = run.model(x)
    for batch_size in (1, 7, 99, 100, 1024):
        np.testing.assert_array_equal(run.predict(x, batch_size=batch_size), want)
        out = np.empty_like(want)
        assert run.predict(x, batch_size=batch_size, out=out) is out
        np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(run.predict_proba(x), F.softmax(want))
    assert run.predict(x[:0]).shape == (0, 3)
    values = run.evaluate(x, y)
    assert values == {"loss": F.cross_entropy(want, y), "accuracy": np.mean(want.argmax(1) == y)}


def test_softmax_before_cross_entropy_warns():
    model = fnn.Sequential(fnn.Linear(4, 3, rng=0), fnn.Softmax())
    with pytest.warns(UserWarning, match="cross_entropy takes logits, but the model ends with Softmax"):
        run = fnn.Trainer(model, "cross_entropy")
    x, _ = blobs(5)
    np.testing.assert_array_equal(run.predict_proba(x), model(x))


def test_dropout_follows_the_steps():
    x, y = blobs(40)
    a, b = (fnn.Trainer(fnn.MLP([4, 32, 3], dropout=0.5, seed=0), "cross_entropy", seed=0) for _ in range(2))
    first = [a.step(x, y) for _ in range(3)]
    assert first == [b.step(x, y) for _ in range(3)]
    frozen = fnn.Trainer(fnn.MLP([4, 32, 3], dropout=0.5, seed=0), "cross_entropy", fnn.SGD(lr=1e-30))
    assert frozen.step(x, y) != frozen.step(x, y), "each step has its own mask"


def test_a_seed_is_drawn_and_recorded():
    x, y = blobs(40)
    run = fnn.Trainer(fnn.MLP([4, 3], seed=0), "cross_entropy")
    history = run.fit(x, y, epochs=2, verbose=False)
    assert trainer_like(history.seed).fit(x, y, epochs=2, verbose=False) == history
    assert fnn.MLP([4, 3]).seed != fnn.MLP([4, 3]).seed


def trainer_like(seed):
    return fnn.Trainer(fnn.MLP([4, 3], seed=0), "cross_entropy", seed=seed)


X, Y = blobs(10)


def test_a_single_callback_and_early_stop():
    x, y = blobs(40)
    called = []

    def callback(trainer, history):
        called.append((trainer, history["loss"][-1]))
        return len(called) == 2

    run = trainer()
    history = run.fit(x, y, epochs=5, callbacks=callback, verbose=False)
    assert called == [(run, value) for value in history["loss"]]
    assert len(called) == run.epochs_done == 2
    assert run.history is history


def test_every_callback_is_called_though_an_earlier_one_stops():
    x, y = blobs(40)
    called = []
    trainer().fit(x, y, epochs=3, callbacks=[lambda *_: True, lambda *_: called.append(1)], verbose=False)
    assert called == [1]


def test_trainers_and_their_attributes_can_be_read():
    run = trainer(optimizer=fnn.SGD(lr=0.5))
    assert run.history == {}
    run.fit(*blobs(40), epochs=2, verbose=False)
    assert repr(run) == (
        "<Trainer of MLP, loss=CrossEntropy(weight=None, ignore_index=-100, label_smoothing=0.0), optimizer=SGD(lr=0.5, "
        "momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0), seed=0, 2 epochs and 4 steps done>"
    )
    public = {name for name in dir(run) if not name.startswith("_")}
    methods = {"fit", "step", "gradients", "evaluate", "predict", "predict_proba", "ema_state_dict", "save", "load"}
    options = {"model", "loss", "optimizer", "metrics", "l1", "l2", "clip_norm", "clip_value", "seed"}
    options |= {"groups", "accumulate", "ema", "max_norm"}
    assert public == methods | options | {"history", "epochs_done", "steps_done", "lr_factor"}


def test_names_classes_and_objects_mean_the_same():
    x, y = blobs(20)
    losses = ("cross_entropy", fnn.CrossEntropy, fnn.CrossEntropy())
    optimizers = ("sgd", fnn.SGD, fnn.SGD())
    steps = {trainer_of(loss, optimizer).step(x, y) for loss in losses for optimizer in optimizers}
    assert len(steps) == 1


def trainer_of(loss, optimizer):
    run = fnn.Trainer(fnn.MLP([4, 16, 3], seed=0), loss, optimizer, seed=np.int64(3))
    assert type(run.seed) is int
    return run


def test_predict_into_its_own_input(dtype):
    square = fnn.Trainer(fnn.Sequential(fnn.Linear(4, 4, rng=0, dtype=dtype)), "mse")
    x, _ = blobs(100, dtype)
    want = square.predict(x)
    for batch_size in (1, 7, 100):
        buffer = np.zeros((150, 4), dtype)
        for shift in (0, 1, 25, 50):
            buffer[25:125] = x
            out = buffer[shift : shift + 100]
            assert square.predict(buffer[25:125], batch_size=batch_size, out=out) is out
            np.testing.assert_array_equal(out, want, err_msg=f"batch_size {batch_size}, shift {shift}")


def test_predict_refuses_before_it_writes():
    x, _ = blobs(10)
    run = trainer()
    for out, error in ((np.full((10, 2), 7.0, np.float32), ValueError), (np.full((9, 3), 7.0, np.float32), ValueError),
                       (np.full((10, 3), 7.0), (TypeError, ValueError)), ([[0.0] * 3] * 10, TypeError)):  # fmt: skip
        for batch_size in (3, 10):
            with pytest.raises(error, match="out "):
                run.predict(x, batch_size=batch_size, out=out)
            assert np.all(np.array(out) == np.array(out)[0, 0])
    for batch_size in (-1, 0, 2.0, None, True):
        with pytest.raises(
            ValueError, match=f"predict: batch_size is {batch_size} but a positive integer was expected"
        ):
            run.predict(x, batch_size=batch_size)


def test_the_loss_that_targets_chose_stays():
    run = fnn.Trainer(fnn.MLP([4, 3], seed=0))
    assert run.loss is None
    with pytest.raises(ValueError, match=r"predict_proba: the loss \(None\) gives no probabilities"):
        run.predict_proba(X)
    run.fit(X, Y, verbose=False)
    assert run.loss == fnn.CrossEntropy()
    assert run.predict_proba(X).sum() == pytest.approx(10)


def test_a_model_belongs_to_its_latest_trainer():
    model = fnn.MLP([4, 3], seed=0)
    first = fnn.Trainer(model, "cross_entropy")
    first.step(X, Y)
    with pytest.raises(ValueError, match="l1 is -1"):
        fnn.Trainer(model, l1=-1)
    first.step(X, Y)  # a trainer that could not be made has taken nothing
    copied = fnn.Trainer(copy.deepcopy(model), "cross_entropy")
    second = fnn.Trainer(fnn.Sequential(fnn.Tanh(), model[0]), "cross_entropy")
    before = model.state_dict()
    for name, call in {
        "fit": lambda: first.fit(X, Y),
        "step": lambda: first.step(X, Y),
        "gradients": lambda: first.gradients(X, Y),
        "evaluate": lambda: first.evaluate(X, Y),
        "predict": lambda: first.predict(X),
    }.items():
        with pytest.raises(RuntimeError, match=f"{name}: the model was taken over by a later Trainer; use that one"):
            call()
    assert np.array_equal(model[0].weight, before["0.weight"])
    assert "taken over" in repr(first)
    copied.step(X, Y)
    second.step(X, Y)
    fnn.Trainer(second.model).step(X, Y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Trainer("x"), TypeError, "Trainer: model is str but a fastnn layer, such as Sequential, was expected"),
        (lambda: trainer(optimizer="adm"), ValueError, "Trainer: optimizer is 'adm' but one of sgd, adagrad, adadelta, rmsprop, adam, adamw, adamax, nadam, radam, lion, rprop was expected"),
        (lambda: trainer(optimizer=3), TypeError, "Trainer: optimizer is 3 but a name or a specification was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), "mae"), ValueError,
         f"Trainer: loss is 'mae' but one of {', '.join(LOSSES)} was expected"),
        (lambda: fnn.Trainer("cross_entropy", fnn.MLP([4, 3])), TypeError,
         "Trainer: model is str but a fastnn layer, such as Sequential, was expected; pass the model first: Trainer(model, loss)"),
        (lambda: fnn.Trainer(fnn.MLP), TypeError,
         "Trainer: model is the class MLP but a fastnn layer, such as Sequential, was expected; pass an object, made by calling the class"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), fnn.SGD()), TypeError,
         "Trainer: loss is SGD(lr=0.001, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0) but a name, an object or a callable was "
         "expected; pass it as optimizer="),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), fnn.SGD), TypeError,
         "Trainer: loss is <class 'fastnn.optim.SGD'> but a name, an object or a callable was expected; pass it as optimizer="),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), "adam"), ValueError,
         f"Trainer: loss is 'adam' but one of {', '.join(LOSSES)} was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), "mse", fnn.MSE()), TypeError,
         "Trainer: optimizer is MSE() but a name or a specification was expected; pass the loss second: Trainer(model, loss, optimizer)"),
        (lambda: trainer(optimizer={}), TypeError, "Trainer: optimizer is {} but a name or a specification was expected"),
        (lambda: trainer(optimizer=dict), TypeError, "Trainer: optimizer is <class 'dict'> but a name or a specification was expected"),
        (lambda: trainer(l1=-0.1), ValueError, "Trainer: l1 is -0.1 but a finite, non-negative number was expected"),
        (lambda: trainer(l2=np.inf), ValueError, "Trainer: l2 is inf but a finite, non-negative number was expected"),
        (lambda: trainer(l2=np.nan), ValueError, "Trainer: l2 is nan but a number was expected"),
        (lambda: trainer(l2="0.1"), TypeError, "Trainer: l2 is '0.1' but a number was expected"),
        (lambda: trainer(l1=None), TypeError, "Trainer: l1 is None but a number was expected"),
        (lambda: trainer(clip_norm=0), ValueError, "Trainer: clip_norm is 0 but a positive number was expected"),
        (lambda: trainer(clip_norm=np.nan), ValueError, "Trainer: clip_norm is nan but a number was expected"),
        (lambda: trainer(clip_value=-1), ValueError, "Trainer: clip_value is -1 but a positive number was expected"),
        (lambda: trainer(clip_value=[1]), TypeError, "Trainer: clip_value is [1] but a number was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), seed=1.5), TypeError, "Trainer: seed is 1.5 but an integer was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), seed="1"), TypeError, "Trainer: seed is '1' but an integer was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), seed=True), TypeError, "Trainer: seed is True but an integer was expected"),
        (lambda: fnn.Trainer(fnn.MLP([4, 3]), seed=-1), ValueError, "Trainer: seed is -1 but an integer from 0 to 18446744073709551615 was expected"),
        (lambda: trainer().fit(X, Y[:3]), ValueError, "fit: x has 10 rows but y has 3"),
        (lambda: trainer().fit(X[:0], Y[:0]), ValueError, "fit: x has no rows"),
        (lambda: trainer().fit(X, Y, batch_size=0), ValueError, "fit: batch_size is 0 but a positive integer was expected"),
        (lambda: trainer().fit(X, Y, epochs=-1), ValueError, "fit: epochs is -1 but an integer of at least 0 was expected"),
        (lambda: trainer().fit(X, Y, validation_split=1), ValueError,
         "fit: validation_split is 1 but a share in [0, 1) was expected"),
        (lambda: trainer().fit(X, Y, sample_weight=[1]), ValueError, "fit: sample_weight has 1 rows but y has 10"),
        (lambda: trainer().fit(X, Y.astype(float), class_weight={}), TypeError,
         "fit: class_weight needs integer labels but y has dtype float64"),
        (lambda: trainer().fit(X, Y + 1), IndexError, None),
        (lambda: trainer().step(X[:, :2], Y), ValueError,
         "linear: x has 2 features but weight expects 4 (x (10, 2), weight (16, 4))"),
        (lambda: trainer().evaluate(X, Y[:3]), ValueError, "evaluate: x has 10 rows but y has 3"),
        (lambda: trainer().predict(1.0), ValueError, "predict: x is a scalar but one row per sample was expected"),
        (lambda: trainer().predict(X, batch_size=5, out=np.empty((10, 3))), ValueError,
         "predict: out is float64 (10, 3) but float32 (10, 3) was expected"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error) as caught:
        call()
    if message:
        assert str(caught.value) == message
