"""Steps that run out of memory, at each moment at which they ask for some, and steps that may use no more than they asked for."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import copy, ctypes, os, sys, threading
import numpy as np
import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import compiled

compiled._SLICE = 10.0  # the second call of an epoch gets two minibatches, however slow the machine is
allow = ctypes.CDLL(None).allow_allocations
rng = np.random.default_rng(0)
x, y = rng.standard_normal((40, 200)).astype(np.float32), rng.integers(0, 4, 40)
workers, call = int(sys.argv[1]), sys.argv[2]
core._force_threads(True)
fnn.set_num_threads(workers)

def bits(trainer):
    arrays = [*trainer.model.state_dict().values()]
    arrays += [slot for slots in trainer._owned.state.values() for slot in slots.values()]
    return b"".join(array.tobytes() for array in arrays)

def train(allowed):
    trainer = fnn.Trainer(fnn.MLP([200, 300, 30, 4], seed=0), "cross_entropy", fnn.SGD(lr=0.1, momentum=0.9), seed=0)
    trainer.loss = fnn.losses.CrossEntropy()
    before = bits(trainer)
    allow(allowed)
    try:
        trainer.fit(x, y, batch_size=40, verbose=False) if call == "fit" else trainer.step(x, y)
    except MemoryError:
        assert trainer.steps_done == 0 and bits(trainer) == before, f"half a step, {allowed} allocations allowed"
        return None
    assert trainer._owned.prevented is None and trainer.steps_done == 1
    return bits(trainer)

def train_in_another_thread(allowed):
    "Minibatches of 512, 512 and 513 rows after a first step, by an optimizer that needs no memory up to 512."
    many, labels = rng.standard_normal((1537, 20)).astype(np.float32), rng.integers(0, 4, 1537)
    model = fnn.Sequential(fnn.BatchNorm1d(20), *fnn.MLP([20, 1000], seed=0).layers)
    trainer = fnn.Trainer(model, "cross_entropy", fnn.SGD(lr=0.1), seed=0)
    trainer.step(many[:40], labels[:40])
    twin, failed = copy.deepcopy(trainer), []

    def fit():
        allow(allowed)
        try:
            trainer.fit(many, labels, batch_size=512, shuffle=False, verbose=False)
        except MemoryError as error:
            failed.append(error)
        allow(-1)

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    for first, last in ((0, 512), (512, 1024), (1024, 1537))[: trainer.steps_done - 1]:
        twin.step(many[first:last], labels[first:last])
    assert bits(trainer) == bits(twin), f"half a step, {allowed} allocations allowed"
    assert failed or trainer.steps_done == 4
    return None if failed else bits(trainer)

def child(allowed):
    "What train returns in a process whose threads have no memory yet."
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            result = (train_in_another_thread if call == "thread" else train)(allowed)
            os.write(write, b"refused" if result is None else b"%d" % hash(result))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(0)
    os.close(write)
    result = os.read(read, 100)
    os.close(read)
    os.wait()
    return result

whole, refused = child(-1), 0
for allowed in range(100):
    result = child(allowed)
    assert result in (whole, b"refused"), (allowed, result)
    if result == whole and allowed > 4 * workers:
        break
    refused += result == b"refused"
assert result == whole and refused >= 2, (result, refused)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Return a function that compiles a C file of this folder as a library and returns its path."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not sys.platform.startswith("linux") or compiler is None or "LD_PRELOAD" in os.environ:
        pytest.skip("needs Linux, a C compiler, and no other library loaded first")

    @functools.cache
    def compiled(name):
        path = tmp_path_factory.mktemp(name) / f"{name}.so"
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared"]
        subprocess.run([compiler, *flags, Path(__file__).with_name(f"{name}.c"), "-o", path, "-ldl"], check=True)
        return path

    return compiled


def run_with(library, code, *arguments, folder):
    """Run Python code in a process of its own that loads a library before the C library."""
    (folder / "child.py").write_text(code)
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LD_PRELOAD": str(library), "PYTHONHASHSEED": "0",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "child.py", *arguments], cwd=folder, env=environment, timeout=100,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"


@pytest.mark.parametrize("call", ["step", "fit", "thread"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_step_without_memory_has_changed_nothing(library, workers, call, tmp_path):
    run_with(library("failing"), CHILD, str(workers), call, folder=tmp_path)


FORK = """
import ctypes, os
import numpy as np
import fastnn as fnn
from fastnn import _fastnn_core as core, functional as F

a = np.ones((150, 400), np.float32)
fnn.set_num_threads(3)
core._force_threads(True)
ctypes.CDLL(None).refuse_fork_handlers()
assert (F.matmul(a, a.T) == 400).all()
child = os.fork()
if child == 0:
    os._exit(int((F.matmul(a, a.T) != 400).any()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_child_waits_for_no_threads_where_a_fork_cannot_be_watched(library, tmp_path):
    run_with(library("failing"), FORK, folder=tmp_path)


SMALLER = """
import ctypes
import numpy as np
import fastnn as fnn

allow = ctypes.CDLL(None).allow_allocations
x, y = np.ones((20_000, 20), np.float32), np.arange(20_000) % 4
trainers = [fnn.Trainer(fnn.MLP([20, 50, 4], seed=0), "cross_entropy", fnn.SGD(lr=0.1), seed=0) for _ in range(2)]
for trainer in trainers:
    trainer.step(x[:40], y[:40])
allow(0)
try:
    trainers[0].step(x, y)
except MemoryError:
    allow(-1)
else:
    raise AssertionError("a step of 20,000 rows asked for no memory")
losses = [trainer.step(x[:40], y[:40]) for trainer in trainers]
assert losses[0] == losses[1], losses
"""


def test_a_small_step_follows_one_that_found_no_memory(library, tmp_path):
    run_with(library("failing"), SMALLER, folder=tmp_path)


FENCED = """
import sys
import numpy as np
import fastnn as fnn

rng, wide = np.random.default_rng(0), 6000  # the sums of a row take pages, and what follows it needs less scratch
edges = fnn.PiecewiseLinear(1, 2000).fit_statistics(rng.standard_normal((9000, 1)))
layers = {
    "linear": [fnn.Linear(3, wide, rng=0), fnn.ReLU(), fnn.Linear(wide, 1, rng=0)],
    "output": [fnn.Linear(3, wide, rng=0)],
    "max_norm": [fnn.Linear(wide, 1, rng=0)],
    "prelu": [fnn.PReLU(wide), fnn.Linear(wide, 1, rng=0)],
    "layer_norm": [fnn.LayerNorm(wide), fnn.Linear(wide, 1, rng=0)],
    "rms_norm": [fnn.RMSNorm(wide), fnn.Linear(wide, 1, rng=0)],
    "batch_norm": [fnn.BatchNorm1d(wide), fnn.Linear(wide, 1, rng=0)],
    "scale": [fnn.Scale(wide), fnn.Linear(wide, 1, rng=0)],
    "embedding": [fnn.Embedding(wide, 4, rng=0), fnn.Flatten(), fnn.Linear(4, 1, rng=0)],
    "periodic": [fnn.Periodic(1, wide, rng=0), fnn.Flatten(), fnn.Linear(2 * wide, 1, rng=0)],
    "piecewise_linear": [edges, fnn.Flatten(), fnn.Linear(2000, 1, rng=0)],
    "members_in": [fnn.Ensemble(8, fnn.Linear(wide, 1, rng=0), rng=0)],
    "members_out": [fnn.Ensemble(8, fnn.Linear(3, wide, rng=0), rng=0)],
}[sys.argv[1]]
features = {"linear": 3, "output": 3, "members_out": 3, "embedding": 1, "periodic": 1, "piecewise_linear": 1}
outputs = wide if sys.argv[1] in ("output", "members_out") else 1
for rows in (2, 1):
    if rows == 1 and sys.argv[1] == "batch_norm":
        continue
    x = rng.integers(0, 9, (rows, features.get(sys.argv[1], wide))).astype(np.float64)
    trainer = fnn.Trainer(fnn.Sequential(*layers), "mse", fnn.Adam(), seed=0, max_norm=0.5)
    trainer.step(x, np.zeros((rows, outputs), np.float32))
    trainer.predict(x)
    assert trainer._owned.prevented is None
"""


@pytest.mark.parametrize(
    "kind",
    ["linear", "output", "max_norm", "prelu", "layer_norm", "rms_norm", "batch_norm", "scale", "embedding", "periodic",
     "piecewise_linear", "members_in", "members_out"],
)  # fmt: skip
def test_a_step_stays_inside_the_memory_it_asked_for(library, kind, tmp_path):
    run_with(library("fenced"), FENCED, kind, folder=tmp_path)
