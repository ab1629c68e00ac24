"""Callbacks: when they stop, what they keep and write, what a training that they end leaves."""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import callbacks
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, TerminateOnNaN, TimeLimit

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 60)  # nothing to learn: validation gets worse


def trainer(**options):
    return fnn.Trainer(fnn.MLP([4, 16, 3], seed=0), "cross_entropy", fnn.Adam(lr=0.05), seed=0, **options)


def fit(run, *hooks, epochs=30, **options):
    return run.fit(
        X[:40], Y[:40], epochs=epochs, validation_data=(X[40:], Y[40:]), callbacks=hooks, verbose=False, **options
    )


def tell(callback, values, name="val_loss"):
    """Tell a callback the values of some epochs, and return the epoch, from 1, at which it stops the training, or None."""
    model = fnn.Sequential(fnn.Linear(1, 1, rng=0))
    network = SimpleNamespace(evaluated=lambda: model)
    run = SimpleNamespace(model=model, epochs_done=0, _network=lambda func: network)
    history = {name: []}
    for value in values:
        history[name].append(value)
        run.epochs_done += 1
        if callback(run, history):
            return run.epochs_done
    return None


def assert_same_weights(a, b):
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])


# --------------------------------------------------------------------------------------------------------- early stopping


@pytest.mark.parametrize(
    ("options", "values", "stop"),
    [
        ({"patience": 2}, [3, 2, 2, 2, 1], 4),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1], 6),
        ({"patience": 1}, [3, 4], 2),
        ({"patience": 0}, [3, 2, 2], 3),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.5, 2.4], 3),
        ({"patience": 3, "min_delta": 0.5}, [3, 2.6, 2.4, 2.3, 2.2, 2.1], 6),
        ({"patience": 2}, [math.nan, math.nan, 1], 2),
        ({"patience": 2}, [3, math.nan, 2, math.nan, math.nan], 5),
        ({"patience": 2, "mode": "max"}, [3, 4, 4, 3, 9], 4),
        ({"patience": 9}, [1] * 9, None),
    ],
)
def test_early_stopping_waits_for_an_improvement(options, values, stop):
    assert tell(EarlyStopping(**options), values) == stop


@pytest.mark.parametrize("name", ["accuracy", "val_accuracy", "f1_macro", "val_r2", "roc_auc"])
def test_of_these_the_higher_value_is_better(name):
    assert tell(EarlyStopping(name, 1), [1, 2, 3, 3], name) == 4


@pytest.mark.parametrize("name", ["loss", "val_loss", "val_mae", "brier", "log_loss"])
def test_of_these_the_lower_value_is_better(name):
    assert tell(EarlyStopping(name, 1), [3, 2, 1, 1], name) == 4


def test_early_stopping_restores_the_best_weights():
    stopped, plain = trainer(), trainer()
    stopping = EarlyStopping(patience=4)
    history = fit(stopped, stopping)
    best = int(np.argmin(history["val_loss"])) + 1
    assert len(history["val_loss"]) == best + 4 < 30
    assert (stopping.best_epoch, stopping.best) == (best, min(history["val_loss"]))
    fit(plain, epochs=best)
    assert_same_weights(stopped.model.state_dict(), plain.model.state_dict())
    assert stopped.evaluate(X[40:], Y[40:])["loss"] == stopping.best
    last = trainer()
    fit(last, EarlyStopping(patience=4, restore_best_weights=False))
    assert last.evaluate(X[40:], Y[40:])["loss"] == history["val_loss"][-1]


def test_the_best_weights_come_back_where_the_epochs_run_out_too():
    run = trainer()
    stopping = EarlyStopping(patience=100)
    history = fit(run, stopping)
    assert len(history["loss"]) == 30
    assert stopping.best_epoch < 30
    assert run.evaluate(X[40:], Y[40:])["loss"] == min(history["val_loss"])


def test_with_averages_the_measured_ones_come_back_and_are_saved(tmp_path):
    run, stopping = trainer(ema=0.9), EarlyStopping(patience=4)
    history = fit(run, stopping, ModelCheckpoint(tmp_path / "m"))
    assert len(history["val_loss"]) == stopping.best_epoch + 4
    assert run.evaluate(X[40:], Y[40:])["loss"] == min(history["val_loss"])
    assert_same_weights(fnn.load(tmp_path / "m").state_dict(), run.ema_state_dict())
    plain = trainer()
    fit(plain, epochs=stopping.best_epoch)
    assert_same_weights(run.model.state_dict(), plain.model.state_dict())


def test_a_second_training_starts_anew():
    run, stopping = trainer(), EarlyStopping(patience=3)
    fit(run, stopping)
    first = stopping.best
    history = run.fit(X[:40], Y[:40], epochs=2, validation_data=(X[:40], 2 - Y[:40]), callbacks=stopping, verbose=False)
    assert stopping.best == min(history["val_loss"]) > first
    assert stopping.best_epoch > run.epochs_done - 2


def test_a_name_that_the_history_will_not_have_is_refused_before_the_first_step():
    message = "monitor is 'val_loss' but the history has loss; val_ names need validation data"
    reduced, divided = callbacks.ReduceLROnPlateau(), callbacks.AdaptiveLR("val_loss")
    for callback in (EarlyStopping(), ModelCheckpoint("unused"), reduced, divided):
        run = trainer()
        refused(
            lambda callback=callback, run=run: run.fit(X, Y, callbacks=callback, verbose=False),
            ValueError,
            f"{type(callback).__name__}: {message}",
        )
        assert run.steps_done == 0
    message = "EarlyStopping: monitor is 'val_mae' but the history has loss, val_loss, val_accuracy; val_ names need validation data"
    refused(lambda: fit(trainer(), EarlyStopping("val_mae")), ValueError, message)


def test_callbacks_that_cannot_be_are_refused_before_the_first_step(tmp_path):
    run, missing = trainer(), tmp_path / "no" / "m"
    nowhere = f"{missing}: the folder {tmp_path / 'no'} does not exist"
    for given, error, message in (
        (3, TypeError, "fit: callbacks is 3 but functions (trainer, history) were expected"),
        (None, TypeError, "fit: callbacks is None but functions (trainer, history) were expected"),
        ([3], TypeError, "fit: callback is 3 but a function (trainer, history) was expected"),
        (EarlyStopping, TypeError, "fit: callback is the class EarlyStopping but an object of it was expected: EarlyStopping(...)"),
        (ModelCheckpoint(missing, keep="last"), FileNotFoundError, f"ModelCheckpoint: {nowhere}"),
        (CSVLogger(missing), FileNotFoundError, f"CSVLogger: {nowhere}"),
    ):  # fmt: skip
        refused(lambda given=given: run.fit(X, Y, callbacks=given, verbose=False), error, message)
        assert run.steps_done == 0


# ------------------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_keeps_the_best_model_or_the_last(tmp_path):
    run = trainer()
    history = fit(run, ModelCheckpoint(tmp_path / "best"), ModelCheckpoint(tmp_path / "last", keep="last"), epochs=20)
    last, best = fnn.load(tmp_path / "last"), fnn.load(tmp_path / "best")
    assert_same_weights(last.state_dict(), run.model.state_dict())
    loss = fnn.Trainer(best, "cross_entropy").evaluate(X[40:], Y[40:])["loss"]
    assert loss == min(history["val_loss"]) < history["val_loss"][-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "last"]


def test_a_checkpoint_of_the_last_model_needs_no_validation(tmp_path):
    run = trainer()
    run.fit(X, Y, callbacks=ModelCheckpoint(tmp_path / "m", keep="last"), verbose=False)
    assert_same_weights(fnn.load(tmp_path / "m").state_dict(), run.model.state_dict())


def test_a_checkpoint_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    run, checkpoint = trainer(), ModelCheckpoint(tmp_path / "m", keep="last")
    fit(run, checkpoint, epochs=1)
    before = (tmp_path / "m").read_bytes()
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        fit(run, checkpoint, epochs=1)
    assert (tmp_path / "m").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


# --------------------------------------------------------------------------------------------------------------------- log


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_a_log_holds_the_history_to_the_last_digit(tmp_path):
    run = trainer(metrics=["f1", "confusion_matrix", lambda output, target: 1.5])
    history = fit(run, CSVLogger(tmp_path / "log.csv"), epochs=3)
    head, *lines = read(tmp_path / "log.csv")
    assert head == ["epoch", "loss", "val_loss", "val_accuracy", "val_f1", "val_<lambda>"]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    for i, name in enumerate(head[1:], 1):
        assert [float(line[i]) for line in lines] == history[name]


def test_a_log_starts_anew_or_goes_on(tmp_path):
    run = trainer()
    for append, lines in ((False, 3), (True, 5), (False, 3)):
        fit(run, CSVLogger(tmp_path / "log.csv", append=append), epochs=2)
        rows = read(tmp_path / "log.csv")
        assert len(rows) == lines
        assert [row[0] for row in rows].count("epoch") == 1
    assert [row[0] for row in rows[1:]] == ["5", "6"]
    fit(run, CSVLogger(tmp_path / "new.csv", append=True), epochs=1)
    assert len(read(tmp_path / "new.csv")) == 2


# -------------------------------------------------------------------------------------------------------------------- ends


def test_a_time_limit_ends_after_the_epoch_in_which_it_passes(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    limit = TimeLimit(10)
    now[0] = 500.0  # the clock starts with the training

    def pass_time(run, history):
        now[0] += 4

    assert len(fit(trainer(), pass_time, limit)["loss"]) == 3
    assert len(fit(trainer(), pass_time, limit)["loss"]) == 3
    assert tell(TimeLimit(0), [1]) == 1


def diverging():
    return fnn.Trainer(fnn.MLP([4, 16, 3], seed=0), "mse", fnn.SGD(lr=50), seed=0)


def test_terminate_on_nan_ends_a_training_as_it_was_before_the_step():
    target = np.eye(3)[Y]
    plain, caught = diverging(), diverging()
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        plain.fit(X, target, epochs=50, batch_size=4, verbose=False)
    with np.errstate(all="ignore"):
        history = caught.fit(X, target, epochs=50, batch_size=4, callbacks=TerminateOnNaN(), verbose=False)
    assert history == plain.history
    assert caught.history is history
    assert caught.steps_done == plain.steps_done > 0
    assert_same_weights(plain.model.state_dict(), caught.model.state_dict())


def test_after_terminate_on_nan_the_best_weights_come_back():
    run, stopping, target = diverging(), EarlyStopping("loss"), np.eye(3)[Y]
    weights = []

    def destroy(trainer, history):
        weights.append(trainer.model.state_dict())
        if trainer.epochs_done == 2:
            trainer.model.load_state_dict({name: np.full_like(value, 1e38) for name, value in weights[-1].items()})

    run.optimizer = fnn.SGD(lr=0.0)
    run = fnn.Trainer(run.model, "mse", fnn.SGD(lr=1e-3), seed=0)
    with np.errstate(all="ignore"):
        history = run.fit(X, target, epochs=5, callbacks=[stopping, TerminateOnNaN(), destroy], verbose=False)
    assert len(history["loss"]) == 2
    assert_same_weights(weights[stopping.best_epoch - 1], run.model.state_dict())


def test_terminate_on_nan_stops_at_a_validation_loss_that_is_not_finite():
    assert tell(TerminateOnNaN(), [1.0, math.inf, 1.0]) == 2
    assert tell(TerminateOnNaN(), [1.0, math.nan]) == 2
    assert tell(TerminateOnNaN(), [1.0, 2.0]) is None
    assert tell(TerminateOnNaN(), [1.0], "loss") is None


def test_other_errors_are_not_caught():
    def fails(run, history):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(trainer(), TerminateOnNaN(), fails)


def test_callbacks_learn_of_the_begin_and_the_end():
    seen = []

    class Note(Callback):
        def begin(self, run, names):
            seen.append(("begin", run.steps_done, names))

        def __call__(self, run, history):
            seen.append(("epoch", len(history["loss"])))

        def end(self, run):
            seen.append(("end", run.epochs_done))

    run = trainer()
    fit(run, Note(), epochs=2)
    assert seen == [("begin", 0, ["loss", "val_loss", "val_accuracy"]), ("epoch", 1), ("epoch", 2), ("end", 2)]
    run.fit(X, Y, epochs=0, callbacks=Note(), verbose=False)
    assert seen[4:] == [("begin", run.steps_done, ["loss"]), ("end", 2)]
    assert Callback()(run, {}) is None


# ---------------------------------------------------------------------------------------------------------- learning rates


def follow(callback, values, lr=0.1, name="val_loss"):
    """Return the learning rates after each of these values, up to where the callback stops."""
    run = SimpleNamespace(optimizer=fnn.SGD(lr=lr), steps_done=0, epochs_done=0, lr_factor=1.0)
    history, rates = {name: []}, []
    for value in values:
        history[name].append(value)
        if callback(run, history):
            break
        rates.append(lr * run.lr_factor)
    return rates


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 0},
        {"patience": 2, "factor": 0.5, "threshold": 0.05},
        {"patience": 3, "threshold": 0.01, "threshold_mode": "abs"},
        {"patience": 1, "cooldown": 4},
        {"patience": 0, "min_lr": 3e-3},
        {"patience": 0, "eps": 1e-3},
        {"patience": 2, "mode": "max"},
        {"patience": 2, "mode": "max", "threshold_mode": "abs"},
    ],
)
def test_reduce_on_plateau_is_pytorchs(options):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(3).random(200).round(2) + np.linspace(1, 0, 200)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs, want = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options), []
    for value in values:
        theirs.step(value)
        want.append(optimizer.param_groups[0]["lr"])
    got = follow(callbacks.ReduceLROnPlateau(**options), values)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    assert want[-1] < want[0]


def test_reduce_on_plateau_waits_cools_and_stays_above_a_rate():
    reduce = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=1, min_lr=0.02)
    assert follow(reduce, [1.0] * 9) == [0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, pytest.approx(0.02)]


@pytest.mark.parametrize(("monitor", "sign"), [("loss", 1), ("val_accuracy", -1)])
def test_adaptive_is_scikit_learns(monitor, sign):
    optimizers = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    theirs, best, without, want = optimizers.SGDOptimizer([], 0.1, "adaptive"), math.inf, 0, []
    values = np.random.default_rng(1).random(400).round(3) + np.geomspace(3, 0.1, 400)
    for value in values:  # MLPClassifier._update_no_improvement_count and _fit_stochastic
        without = without + 1 if value > best - 1e-4 else 0
        best = min(best, value)
        if without > 10:
            if theirs.trigger_stopping("", False):
                break
            without = 0
        want.append(theirs.learning_rate)
    got = follow(callbacks.AdaptiveLR(monitor), sign * values, name=monitor)
    assert len(got) == len(want) < 400
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_learning_rates_fall_in_a_training():
    run = trainer()
    fit(run, callbacks.ReduceLROnPlateau(patience=1))
    assert run.lr_factor < 1
    run = fnn.Trainer(fnn.MLP([4, 3], seed=0), "cross_entropy", fnn.SGD(lr=fnn.schedules.Constant(1e-5)), seed=0)
    history = fit(run, callbacks.AdaptiveLR(tol=1.0, n_iter_no_change=1))
    assert len(history["loss"]) == 7  # epochs 3 and 5 divide; at 4e-7 epoch 7 stops
    assert run.lr_factor == 1 / 25


def test_the_finder_leaves_everything_as_it_was():
    run, plain = trainer(), trainer()
    fit(run, epochs=2)
    fit(plain, epochs=2)
    lrs, losses = callbacks.lr_find(run, X, Y, steps=50, end=1e4, batch_size=16)
    assert len(lrs) == len(losses) < 50
    np.testing.assert_allclose(lrs, np.geomspace(1e-7, 1e4, 50)[: len(lrs)])
    assert losses[-1] > 4 * losses.min()
    np.testing.assert_allclose(losses[0], fnn.functional.cross_entropy(run.predict(X), Y), rtol=0.5)
    assert (run.steps_done, run.epochs_done, run.lr_factor) == (plain.steps_done, 2, 1)
    fit(run, epochs=2)
    fit(plain, epochs=2)
    assert_same_weights(run.model.state_dict(), plain.model.state_dict())


def test_the_finder_ends_at_a_loss_that_is_not_finite():
    run = fnn.Trainer(fnn.MLP([4, 16, 16, 16, 3], seed=0), "mse", fnn.SGD(lr=0.1), seed=0)
    with np.errstate(all="ignore"):
        lrs, losses = callbacks.lr_find(run, X, np.eye(3)[Y] * 1e15, start=1.0, end=1e30, steps=40)
    assert 0 < len(lrs) == len(losses) < 40
    assert np.isfinite(losses).all()


def test_the_finder_takes_these_steps():
    run = fnn.Trainer(fnn.MLP([4, 3], seed=0), optimizer="sgd", seed=5)
    lrs, losses = callbacks.lr_find(run, X, Y, start=1e-3, end=1e-1, steps=7, batch_size=20)
    assert run.loss is None
    by_hand = fnn.Trainer(fnn.MLP([4, 3], seed=0), "cross_entropy", fnn.SGD(lr=1.0), seed=5)
    for i, (lr, loss) in enumerate(zip(lrs, losses, strict=True)):
        rows = fnn.random.permutation(60, 5, i // 3)[20 * (i % 3) :][:20]
        by_hand.lr_factor = lr
        np.testing.assert_allclose(by_hand.step(X[rows], Y[rows]), loss, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: EarlyStopping(3), TypeError, "EarlyStopping: monitor is 3 but a name of the history was expected"),
        (lambda: EarlyStopping("val_mine"), ValueError,
         "EarlyStopping: whether a low or a high 'val_mine' is better is unknown; pass mode='min' or 'max'"),
        (lambda: EarlyStopping(mode="low"), ValueError, "EarlyStopping: mode is 'low' but 'auto', 'min' or 'max' was expected"),
        (lambda: EarlyStopping(patience=-1), ValueError,
         f"EarlyStopping: patience is -1 but an integer from 0 to {2**63 - 1} was expected"),
        (lambda: EarlyStopping(min_delta="x"), TypeError, "EarlyStopping: min_delta is 'x' but a number was expected"),
        (lambda: EarlyStopping(min_delta=-1), ValueError,
         "EarlyStopping: min_delta is -1 but a finite, non-negative number was expected"),
        (lambda: EarlyStopping("val_confusion_matrix", mode="min"), ValueError,
         "EarlyStopping: monitor is 'val_confusion_matrix', whose values are no numbers"),
        (lambda: callbacks.ReduceLROnPlateau(threshold=-1), ValueError,
         "ReduceLROnPlateau: threshold is -1 but a finite, non-negative number was expected"),
        (lambda: callbacks.ReduceLROnPlateau(min_lr=-1), ValueError,
         "ReduceLROnPlateau: min_lr is -1 but a finite, non-negative number was expected"),
        (lambda: callbacks.ReduceLROnPlateau(eps=-1), ValueError,
         "ReduceLROnPlateau: eps is -1 but a finite, non-negative number was expected"),
        (lambda: callbacks.AdaptiveLR(tol=-1), ValueError, "AdaptiveLR: tol is -1 but a finite, non-negative number was expected"),
        (lambda: TimeLimit(-1), ValueError, "TimeLimit: seconds is -1 but a finite, non-negative number was expected"),
        (lambda: ModelCheckpoint(3), TypeError, "ModelCheckpoint: path is 3 but the name of a file was expected"),
        (lambda: CSVLogger(None), TypeError, "CSVLogger: path is None but the name of a file was expected"),
        (lambda: callbacks.lr_find(trainer(), X, Y, start="x"), TypeError, "lr_find: start is 'x' but a number was expected"),
        (lambda: callbacks.lr_find(fnn.MLP([4, 3]), X, Y), TypeError, "lr_find: trainer is MLP but a Trainer was expected"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1), ValueError, "ReduceLROnPlateau: factor is 1 but a number in (0, 1) was expected"),
        (lambda: callbacks.ReduceLROnPlateau(threshold_mode="x"), ValueError,
         "ReduceLROnPlateau: threshold_mode is 'x' but 'rel' or 'abs' was expected"),
        (lambda: callbacks.AdaptiveLR(n_iter_no_change=0), ValueError,
         f"AdaptiveLR: n_iter_no_change is 0 but an integer from 1 to {2**63 - 1} was expected"),
        (lambda: callbacks.lr_find(trainer(), X, Y, start=1, end=1), ValueError,
         "lr_find: start is 1 and end is 1 but 0 < start < end was expected"),
        (lambda: callbacks.lr_find(trainer(), X[:0], Y[:0]), ValueError, "lr_find: x has no rows"),
        (lambda: callbacks.lr_find(fnn.Trainer(fnn.MLP([4, 3]), optimizer=fnn.SGD(lr=0)), X, Y), ValueError,
         "lr_find: the learning rate of SGD(lr=0.0, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0) is 0.0 "
         "but a positive one was expected"),
        (lambda: ModelCheckpoint("m", keep="all"), ValueError, "ModelCheckpoint: keep is 'all' but 'best' or 'last' was expected"),
        (lambda: TimeLimit("1"), TypeError, "TimeLimit: seconds is '1' but a number was expected"),
        (lambda: CSVLogger("m", append=3), TypeError, "CSVLogger: append is 3 but True or False was expected"),
    ],
)  # fmt: skip
def test_arguments_are_checked_at_construction(call, error, message):
    refused(call, error, message)
