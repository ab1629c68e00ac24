"""Work that is counted, not timed: instructions of a kernel, and how many threads a call takes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F

ROOT = Path(__file__).parents[1]

# (ISA, kernel, size): instructions per multiply-add or element in float32 and in float64, a fifth to a third above what gcc 12
# makes of them. One multiply-add of a vector of eight, 12 of them for 8 loads, is 0.21; a loop that lost its vectors has 8 times
# as many. softmax is of rows of 8, each in a lane of its own; row by row it is twice the work.
LIMITS = {
    ("avx2", "matmul", 192): (0.34, 0.68),
    ("avx2", "matmul", 48): (0.40, 0.80),
    ("avx2", "relu", 4096): (0.60, 1.20),
    ("avx2", "sigmoid", 4096): (6.5, 16),
    ("avx2", "softmax", 4096): (21, 40),
    ("portable", "matmul", 192): (6.5, 5.0),
    ("portable", "matmul", 48): (6.5, 5.0),
    ("portable", "relu", 4096): (3.0, 6.0),
    ("portable", "sigmoid", 4096): (110, 140),
    ("portable", "softmax", 4096): (115, 130),
}


@pytest.fixture(scope="module")
def program():
    if not (shutil.which("make") and shutil.which("cc") and shutil.which("valgrind")):
        pytest.skip("needs make, a C compiler and valgrind")
    if not any(ROOT.glob("build/temp.*/f32/csrc/isa_*.o")):
        pytest.skip("no objects of the kernels here to link count.c with")
    subprocess.run(["make", "-s", "-C", ROOT, "build/count"], check=True)
    return ROOT / "build" / "count"


UNCOUNTED = {"avx512"}  # valgrind knows no such instructions


def test_every_isa_has_limits():
    assert {isa for isa, _, _ in LIMITS} | UNCOUNTED >= set(core.available_isas())


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("name", "kernel", "size"), [row for row in LIMITS if row[0] in core.available_isas()], ids=lambda value: str(value)
)
def test_instructions_per_multiply_add_and_per_element(program, name, kernel, size, bits):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=measured"]
    run = subprocess.run([*command, program, name, str(bits), kernel, str(size)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    instructions = int(re.search(r"Collected : (\d+)", run.stderr)[1])
    assert 0 < instructions / (size**3 if kernel == "matmul" else size) <= LIMITS[name, kernel, size][bits == 64]


# ---------------------------------------------------------------------------------------------------------------- threads

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
PAYS = 2e6, 5e5  # multiply-adds, and elements, that pay for one thread more


@pytest.fixture(params=[1, 2, 3, 8])
def bound(request):
    before = fnn.get_num_threads()
    fnn.set_num_threads(request.param)
    yield request.param
    fnn.set_num_threads(before)


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(1, 1, 1), (1, 4096, 900), (32, 64, 10), (64, 64, 64), (128, 128, 128), (3990, 10, 100), (158, 158, 158),
     (160, 160, 160), (7, 2000, 300), (2000, 7, 300), (400, 400, 400)])  # fmt: skip
def test_a_product_takes_no_more_threads_than_pay(bound, m, n, k):
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    for _ in range(3):
        F.matmul(a, b)
        assert 1 <= core._threads_of_last_job() <= max(1, min(bound, PROCESSORS, m * n * k // PAYS[0]))


@pytest.mark.parametrize("n", [0, 1, 1000, 65536, 999_999, 1_000_000, 1_700_000])
def test_an_elementwise_call_takes_no_more_threads_than_pay(bound, n):
    x = np.ones(n, np.float32)
    for call in (lambda: F.relu(x), lambda: F.gelu_backward(x, x=x)):
        call()
        assert 1 <= core._threads_of_last_job() <= max(1, min(bound, PROCESSORS, n // PAYS[1]))


two_processors = pytest.mark.skipif(PROCESSORS < 2, reason="one processor: nothing is cut")


# 2 threads: one part each, or up to four where each is of 3e7 multiply-adds or 2.5e5 elements, and of 64 columns, 32 rows;
# their lengths are rounded up to multiples of 16 columns, 8 rows and 64 elements.
@two_processors
@pytest.mark.parametrize(
    ("m", "n", "k", "parts"),
    [(128, 128, 64, 1), (128, 1024, 16, 1), (128, 1024, 64, 2), (64, 1024, 512, 2), (512, 512, 512, 4), (256, 2048, 256, 4), (512, 1024, 512, 8), (100, 100, 10000, 2),
     (300, 300, 300, 2), (300, 330, 300, 2), (330, 300, 300, 2), (2000, 7, 1000, 2), (4000, 20, 1000, 2), (1000, 20, 1300, 2),
     (100, 90, 5000, 2), (60, 50, 20000, 2), (50, 60, 20000, 2)])  # fmt: skip
def test_parts_of_a_product(m, n, k, parts, dtype):
    rng = np.random.default_rng(0)
    a, b, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (n, k), n))
    with fnn.threads(1):
        alone = F.linear(a, b, bias)
        assert core._parts_of_last_job() == 1
    before = fnn.get_num_threads()
    fnn.set_num_threads(2)
    try:
        together = F.linear(a, b, bias)
        assert core._parts_of_last_job() == parts
    finally:
        fnn.set_num_threads(before)
    np.testing.assert_array_equal(together, alone)


@two_processors
@pytest.mark.parametrize(
    ("n", "parts"),
    [
        (0, 0),
        (999_999, 1),
        (1_000_000, 4),
        (1_024_000, 4),
        (1_400_000, 4),
        (1_600_000, 6),
        (1_999_999, 6),
        (2_048_000, 8),
    ],
)
def test_parts_of_an_elementwise_call(n, parts):
    x, before = np.linspace(-3, 3, n, dtype=np.float32), fnn.get_num_threads()
    fnn.set_num_threads(2)
    try:
        y = F.relu(x)
        assert core._parts_of_last_job() == parts
        dx = F.relu_backward(x, y=y)
        assert core._parts_of_last_job() == parts
    finally:
        fnn.set_num_threads(before)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(dx, y)


SMALL_NETWORK = """
import os
import numpy as np, fastnn as fnn
from fastnn import functional as F
fnn.set_num_threads(4)
before = len(os.listdir("/proc/self/task"))
trainer = fnn.Trainer(fnn.MLP([64, 100, 10], task="classification", seed=0), seed=0)
x, y = np.ones((640, 64), np.float32), np.zeros(640, int)
trainer.fit(x, y, epochs=2, batch_size=32, verbose=False)
trainer.predict(x[:100])
assert len(os.listdir("/proc/self/task")) == before
F.matmul(np.ones((600, 600)), np.ones((600, 600)))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_training_a_small_network_starts_no_thread(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", SMALL_NETWORK], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == min(4, PROCESSORS) - 1, "a large product does start them"
