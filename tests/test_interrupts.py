"""A long call is made in pieces, between which signals are looked at."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from calls import calls
from support import ROWS

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F

NEVER = 1 << 40  # elements: no call of these tests is that long


@pytest.fixture
def looks_of():
    """Return a function (call, elements between two looks) -> (result, looks)."""

    def run(call, elements):
        core._look_after(elements)
        looks = core._looks()
        return call(), core._looks() - looks

    yield run
    core._look_after(0)


def test_a_call_in_pieces_has_the_bits_of_one_call(looks_of, isa, dtype):
    for whole in calls(dtype, np.random.default_rng(0), rows=70, columns=9):
        cut = whole._replace(arrays=whole.copies())
        want, none = looks_of(whole.run, NEVER)
        got, looks = looks_of(cut.run, 48)
        assert none == 0
        assert looks > 0 or whole.function in ("matmul", "linear"), whole.id
        for a, b in zip(got, want, strict=True):
            assert a.tobytes() == b.tobytes(), whole.id


@pytest.mark.parametrize(("m", "n", "k"), [(300, 500, 20), (1, 700, 30), (700, 1, 30), (145, 144, 600), (400, 7, 1100)])
def test_a_product_in_pieces_has_the_bits_of_one_product(looks_of, isa, dtype, m, n, k):
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (n, k), n))
    for activation in ("relu", "tanh"):

        def product(activation=activation):
            return F.linear(x, weight, bias, activation=activation, return_preactivation=True)

        want, none = looks_of(product, NEVER)
        got, looks = looks_of(product, 16)
        assert none == 0
        assert looks > 0
        for a, b in zip(got, want, strict=True):
            assert a.tobytes() == b.tobytes()


def test_a_call_looks_at_signals_once_a_piece(isa):
    piece = 1 << (21 if isa == "portable" else 23)
    before = core._looks()
    F.relu(np.zeros(4 * piece, np.float32))
    F.relu(np.zeros(2 * piece, np.float64))
    assert core._looks() - before == 3 + 3


@pytest.mark.parametrize("threads", [1, 2])
def test_a_product_looks_at_signals_between_pieces_that_are_about_squares(looks_of, threads):
    with fnn.threads(threads):
        for m, n, looks in (
            (640, 640, 0),
            (1872, 1248, 5),
            (1900, 1300, 11),
            (64, 5000, 0),
            (64, 20000, 3),
            (20000, 64, 3),
        ):
            a, b = (np.broadcast_to(np.float32(1), shape) for shape in ((m, 20), (20, n)))
            _, counted = looks_of(lambda a=a, b=b: F.matmul(a, b), 640 * 640 * 20 // 128 // threads)
            assert counted == looks, (m, n)  # pieces of 624 by 624, a multiple of 48, or of 64 by 6384


@pytest.mark.parametrize("size", [1, 10000])
def test_short_calls_never_look_at_signals(size):
    before = core._looks()
    for row in ROWS:
        getattr(F, row.name)(np.ones(size))
    F.matmul(np.ones((64, size)), np.ones((size, 64)))
    assert core._looks() == before


PRODUCT = """
import os, signal
import numpy as np
import fastnn
from fastnn import functional as F

fastnn.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
a, out = np.broadcast_to(np.float32(1), (6000, 6000)), np.zeros((6000, 6000), np.float32)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    F.matmul(a, a, out=out)
finally:
    print(np.count_nonzero(out))
"""


def test_ctrl_c_ends_a_product_of_6000_cubed_before_its_end(tmp_path):
    command = [sys.executable, "-c", PRODUCT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert 0 < int(done.stdout) < 6000 * 6000


def test_a_handler_that_returns_lets_the_call_go_on():
    seen, before = [], signal.signal(signal.SIGALRM, lambda *_: seen.append(core._looks()))
    first = last = core._looks()
    y = np.zeros(5 << 23, np.float32)
    core._look_after(1 << 23)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while not any(first < looks < last for looks in seen):  # inside a call
            first = core._looks()
            y = F.tanh(y)
            last = core._looks()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        core._look_after(0)
    assert last - first == 4
    assert not y.any()


def test_an_epoch_whose_validation_is_interrupted_does_not_count():
    x, y = np.ones((8, 3), np.float32), np.zeros(8, np.int64)
    calls = []

    def interrupted(output, target):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 1.0

    def trainer(**options):
        return fnn.Trainer(fnn.MLP([3, 4, 2], seed=0), "cross_entropy", seed=0, **options)

    run, twin = trainer(metrics=interrupted), trainer()
    with pytest.raises(KeyboardInterrupt):
        run.fit(x, y, epochs=5, batch_size=4, validation_data=(x, y), verbose=False)
    twin.fit(x, y, epochs=2, batch_size=4, verbose=False)
    assert (run.epochs_done, run.steps_done) == (2, 6)
    assert {name: len(values) for name, values in run.history.items()} == dict.fromkeys(run.history, 2)
    assert run.history["loss"] == twin.history["loss"]


TRAININGS = """
import os, random, signal
import numpy as np
import fastnn as fnn
from fastnn.random import permutation

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
rng = np.random.default_rng(0)
x, y = rng.standard_normal((200, 20)).astype(np.float32), rng.integers(0, 3, 200)


def trainer():
    layers = fnn.Linear(20, 40, rng=0), fnn.BatchNorm1d(40), fnn.Dropout(0.2, seed=1), fnn.Linear(40, 3, rng=1)
    return fnn.Trainer(fnn.Sequential(*layers), "cross_entropy", "adam", seed=5, ema=0.9, clip_norm=1.0)


def go_on(run, steps):
    order = permutation(200, run.seed, run.epochs_done)
    for i in range(steps):
        rows = order[16 * i : 16 * i + 16]
        run.step(x[rows], y[rows])


def file_of(run):
    run.save("m")
    with open("m", "rb") as file:
        return file.read()


def same(run, twin):
    assert file_of(run) == file_of(twin), (run.epochs_done, run.steps_done)


within, delays = 0, random.Random(0)
while within < 8:
    run, twin = trainer(), trainer()
    try:
        signal.setitimer(signal.ITIMER_REAL, delays.uniform(0.001, 0.05))
        run.fit(x, y, epochs=10_000, batch_size=16, verbose=False)
    except KeyboardInterrupt:
        pass
    twin.fit(x, y, epochs=run.epochs_done, batch_size=16, verbose=False)
    assert run.history == twin.history
    left = run.steps_done - twin.steps_done
    assert 0 <= left <= 13  # all steps of an epoch that was not counted yet
    go_on(twin, left)
    same(run, twin)
    within += left > 0
    run.fit(x, y, epochs=1, batch_size=16, verbose=False)
    go_on(twin, 13)
    twin.epochs_done, twin.history = run.epochs_done, run.history
    same(run, twin)
print("whole")
"""


def test_ctrl_c_leaves_a_training_of_whole_steps_and_the_next_fit_starts_its_epoch_anew(tmp_path):
    command = [sys.executable, "-c", TRAININGS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
