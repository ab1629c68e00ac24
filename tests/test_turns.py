"""One training of a trainer at a time: a second one, from another thread or a callback, is refused and changes nothing."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastnn as fnn
from fastnn.callbacks import Callback

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 60)
TRAINING = "the trainer is training already, in another thread or in the fit that calls this callback"


def trainer():
    return fnn.Trainer(fnn.MLP([4, 16, 3], seed=0), "cross_entropy", "adam", seed=0)


def state_of(run):
    return run.epochs_done, run.steps_done, {name: a.tobytes() for name, a in run.model.state_dict().items()}


def in_a_thread(call):
    """Return what a call returns or raises in another thread."""
    result = []

    def work():
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return result[0]


CALLS = {
    "fit": lambda run: run.fit(X, Y, epochs=2, verbose=False),
    "step": lambda run: run.step(X, Y),
}


@pytest.mark.parametrize("during", ["fit", "step"])
@pytest.mark.parametrize("call", CALLS)
def test_another_thread_may_not_train_while_one_does(call, during):
    errors, run, twin = [], trainer(), trainer()

    def loss(output, target):
        errors.append(in_a_thread(lambda: CALLS[call](run)))
        return fnn.CrossEntropy()(output, target)

    run.loss = loss
    CALLS[during](run)
    CALLS[during](twin)
    assert {(type(error), str(error)) for error in errors} == {(RuntimeError, f"{call}: {TRAINING}")}
    assert state_of(run) == state_of(twin)
    run.loss = twin.loss
    CALLS[call](run)
    CALLS[call](twin)
    assert state_of(run) == state_of(twin)


@pytest.mark.parametrize("call", CALLS)
def test_a_callback_may_not_train_the_trainer_that_calls_it(call):
    errors, run, twin = [], trainer(), trainer()

    def train(trainer, history):
        with pytest.raises(RuntimeError) as caught:
            CALLS[call](trainer)
        errors.append(str(caught.value))

    got = run.fit(X, Y, epochs=3, callbacks=train, verbose=False)
    assert got == twin.fit(X, Y, epochs=3, verbose=False)
    assert errors == [f"{call}: {TRAINING}"] * 3
    assert state_of(run) == state_of(twin)


def test_others_may_look_on_while_a_trainer_trains():
    seen, run, twin = [], trainer(), trainer()

    class Looks(Callback):
        def begin(self, trainer, names):
            self(trainer, None)

        def __call__(self, trainer, history):
            def look():
                return trainer.evaluate(X, Y), trainer.predict(X), trainer.predict_proba(X), trainer.gradients(X, Y)[0]

            for here, there in zip(look(), in_a_thread(look), strict=True):
                np.testing.assert_equal(here, there)
            assert fnn.callbacks.lr_find(trainer, X, Y, steps=3)[0].size == 3
            seen.append(trainer.epochs_done)

    got = run.fit(X, Y, epochs=3, callbacks=Looks(), verbose=False)
    assert got == twin.fit(X, Y, epochs=3, verbose=False)
    assert seen == [0, 1, 2, 3]
    assert state_of(run) == state_of(twin)


def test_predictions_in_other_threads_at_any_moment_of_a_training_do_not_touch_it():
    run, twin = (
        fnn.Trainer(fnn.MLP([4, 64, 3], dropout=0.2, seed=0), "cross_entropy", seed=0, ema=0.9) for _ in range(2)
    )
    ended, shapes, losses = threading.Event(), set(), []

    def look():
        while not ended.is_set():
            shapes.add((run.predict(X).shape, run.model(X).shape, run.predict_proba(X[:7]).shape))
            losses.append(run.evaluate(X, Y)["loss"])

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        history = run.fit(X, Y, epochs=60, batch_size=4, verbose=False)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert history == twin.fit(X, Y, epochs=60, batch_size=4, verbose=False)
    assert state_of(run) == state_of(twin)
    assert shapes == {((60, 3), (60, 3), (7, 3))}
    assert np.isfinite(losses).all()


def test_gradients_asked_for_meanwhile_do_not_touch_what_fit_shows(capsys):
    def run(look):
        run = trainer()

        def loss(output, target):
            if look and threading.current_thread() is threading.main_thread():
                in_a_thread(lambda: run.gradients(X[:1], Y[:1]))
            return fnn.CrossEntropy()(output, target)

        loss.metrics = ("accuracy",)
        run.loss = loss
        run.fit(X, Y, epochs=2, verbose=2)
        return [line.split("  ")[:3] for line in capsys.readouterr().err.splitlines()]

    assert run(look=True) == run(look=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_training_that_ends_by_an_error_lets_the_next_one_begin(error):
    def stop(*arguments):
        raise error

    run = trainer()
    with pytest.raises(error):
        run.fit(X, Y, callbacks=stop, verbose=False)
    run.loss = stop
    with pytest.raises(error):
        run.step(X, Y)
    run.loss = fnn.CrossEntropy()
    for call in CALLS.values():
        call(run)
        in_a_thread(lambda call=call: call(run))
    assert run.epochs_done == 5


def test_many_threads_that_step_one_trainer_make_each_step_whole_or_not_at_all():
    run, made, errors = trainer(), [], set()

    def work():
        for _ in range(50):
            try:
                run.step(X, Y)
                made.append(1)
            except RuntimeError as error:
                errors.add(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors <= {f"step: {TRAINING}"}
    twin = trainer()
    for _ in made:
        twin.step(X, Y)
    assert state_of(run) == state_of(twin)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))], ids=["copy", "pickle"])
def test_a_copy_made_in_a_callback_trains_by_itself(copied):
    copies, run = [], trainer()

    def train(trainer, history):
        copies.append(copied(trainer))
        copies[-1].fit(X, Y, verbose=False)

    run.fit(X, Y, epochs=2, callbacks=train, verbose=False)
    assert [each.epochs_done for each in copies] == [2, 3]
    assert state_of(copies[0]) == state_of(run)
