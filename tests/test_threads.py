"""Threads: the same bits on any number of them, how many there are, and survival of fork, processes and affinity."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from support import ROWS

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import num_threads

WORKERS = [1, 2, 3, 4, 7]


@pytest.fixture
def forced():
    """Every call on as many threads as the bound says."""
    bound, before = fnn.get_num_threads(), core._force_threads(True)
    yield fnn.set_num_threads
    core._force_threads(before)
    fnn.set_num_threads(bound)


SHAPES = [(64, 70, 600), (7, 300, 40), (300, 7, 530), (1, 210, 700), (210, 1, 64), (101, 103, 33), (49, 50, 0)]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_same_bits_on_any_number_of_threads(forced, workers, m, n, k, dtype, isa):
    rng = np.random.default_rng(m + n + k)
    x, weight = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((n, k)).astype(dtype)
    bias, grad = rng.standard_normal(n).astype(dtype), rng.standard_normal((m, n)).astype(dtype)

    def run():
        y, z = F.linear(x, weight, bias, activation="silu", return_preactivation=True)
        dx, dweight, dbias = F.linear_backward(grad, x, weight, activation="silu", z=z)
        return y, z, dx, dweight, dbias, F.matmul(x, np.ascontiguousarray(weight.T)), F.matmul(x[::-1], weight[::-1].T)

    forced(1)
    alone = run()
    assert core._threads_of_last_job() == 1
    forced(workers)
    for got, want in zip(run(), alone, strict=True):
        np.testing.assert_array_equal(got, want)
    longest = max(m, n)
    pieces = -(-longest // -(-longest // workers))
    assert core._threads_of_last_job() == min(workers, pieces)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_elementwise_bits_on_any_number_of_threads(forced, workers, row, dtype):
    x, grad = np.random.default_rng(0).standard_normal((2, 1003)).astype(dtype) * 3
    f, df = getattr(F, row.name), getattr(F, f"{row.name}_backward")
    forced(1)
    y, dx = f(x), df(grad, x=x)
    forced(workers)
    np.testing.assert_array_equal(f(x), y)
    assert core._threads_of_last_job() == workers
    np.testing.assert_array_equal(df(grad, x=x, out=grad), dx)
    assert f(x[:0]).size == 0


def test_calls_from_several_threads_at_once(forced):
    forced(2)
    core._force_threads(False)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 300), np.float32), rng.standard_normal((300, 400), np.float32)
    want, wrong = F.matmul(a, b), []

    def call():
        for _ in range(50):
            if not np.array_equal(F.matmul(a, b), want):
                wrong.append(threading.get_ident())

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_bound_can_be_entered_again_and_again_inside_itself_and_by_several_threads():
    bound = fnn.get_num_threads()
    fnn.set_num_threads(5)
    try:
        three, one = fnn.threads(3), fnn.threads(1)
        for _ in range(2):
            with three as entered:
                assert entered is three
                with one, one, three:
                    assert fnn.get_num_threads() == 3
                    with one:
                        assert fnn.get_num_threads() == 1
                assert fnn.get_num_threads() == 3
            assert fnn.get_num_threads() == 5
        inside, go_on, seen = threading.Event(), threading.Event(), []

        def enter_in_between():
            with three:
                inside.set()
                go_on.wait()
            seen.append(fnn.get_num_threads())

        other = threading.Thread(target=enter_in_between)
        with one:
            with three:
                other.start()
                inside.wait()
            assert fnn.get_num_threads() == 1
        go_on.set()
        other.join()
        assert seen == [5]
        assert fnn.get_num_threads() == 5
    finally:
        fnn.set_num_threads(bound)


def test_cost_model_spares_small_calls(forced):
    core._force_threads(False)
    forced(2)
    small, large = np.ones((32, 64), np.float32), np.ones((512, 512), np.float32)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    took_part = []
    for _ in range(50):  # a worker that wakes late may find nothing left, but not always
        F.matmul(large, large)
        took_part.append(core._threads_of_last_job())
        F.matmul(small, small.T)
        assert core._threads_of_last_job() == 1
        with fnn.threads(1):
            F.matmul(large, large)
        assert core._threads_of_last_job() == 1
    assert max(took_part) == min(2, available)


def test_no_more_threads_take_part_than_a_job_asks_for(forced):
    small, large = np.ones((40, 40), np.float32), np.ones((512, 512), np.float32)
    for _ in range(50):
        core._force_threads(True)
        forced(4)
        F.matmul(small, small)  # its three workers stay awake for some microseconds
        core._force_threads(False)
        forced(2)
        F.matmul(large, large)
        assert core._threads_of_last_job() <= 2


# ---------------------------------------------------------------- how many processors: recorded trees of /proc and /sys

CONTAINER = "/docker/4e1f"
TREES = {
    "version 2, limited": (2.5, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}),
    "version 2, no limit": (np.inf, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}),
    "version 2, the group above is tighter": (
        1.5,
        {
            "proc/self/cgroup": "0::/user.slice/job.scope\n",
            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/job.scope/cpu.max": "400000 100000\n",
        },
    ),
    "version 1, systemd's names": (
        3.0,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/system.slice\n3:memory:/system.slice\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    ),
    "version 1, in a container that sees the host's path": (
        0.5,
        {
            "proc/self/cgroup": f"4:cpuacct,cpu:{CONTAINER}\n2:cpuset:{CONTAINER}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    ),
    "cpuset is not cpu": (
        np.inf,
        {"proc/self/cgroup": "2:cpuset:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
    ),
    "odd lines": (
        0.25,
        {
            "proc/self/cgroup": "\n:\n::\n0:cpu\ncpu\n9:cpu,:/a:b\n1:,,:/\n0::/caf\udce9\n0::/zero\0byte\n0::/../..\n",
            "sys/fs/cgroup/caf\udce9/cpu.max": "25000 100000\n",
        },
    ),
    **{
        f"cpu.max is {text!r}": (np.inf, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
        for text in ("", "\n", "max", "max 100000\n", "100000\n", "0 100000", "100000 0", "-1 100000", "² 1", "caf\udce9 100000",
                     "1e5 100000", "9" * 400 + " 1", "9" * 5000 + " 1")
    },
    "nothing mounted": (np.inf, {"proc/self/cgroup": "1:cpu:/\n0::/\n"}),
    "no /proc": (np.inf, {}),
}  # fmt: skip


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(text))
    return root


@pytest.mark.parametrize("tree", TREES)
def test_cgroup_quota(tree, tmp_path):
    quota, files = TREES[tree]
    assert num_threads.cgroup_quota(write(tmp_path, files)) == quota


def test_threads_of_one_core_count_once(tmp_path):
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write(tmp_path, {topology.format(i): f"{i % 4},{i % 4 + 4}\n" for i in range(8)})
    assert num_threads.physical_cores(range(8), tmp_path) == 4
    assert num_threads.physical_cores([0, 4], tmp_path) == 1
    assert num_threads.physical_cores([1, 2, 6], tmp_path) == 2
    assert num_threads.physical_cores(range(3), tmp_path / "nowhere") == 3


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"FASTNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "4,2"}, 4),
        ({"FASTNN_NUM_THREADS": "0", "OMP_NUM_THREADS": "many"}, 1),
        ({"FASTNN_NUM_THREADS": "", "OMP_NUM_THREADS": "99999"}, 1),
        ({"FASTNN_NUM_THREADS": "²", "OMP_NUM_THREADS": "7"}, 7),
        *(
            ({"OMP_NUM_THREADS": value}, 1)
            for value in ("²", "④", "-2", "+2", "1_0", "2.0", "0x2", ",2", "9" * 5000, "\udcff")
        ),
        ({"OMP_NUM_THREADS": " 2 "}, 2),
        ({}, 1),
    ],
)
def test_default_number_of_threads(environment, wanted, tmp_path):
    write(tmp_path, TREES["version 1, in a container that sees the host's path"][1])
    assert num_threads.default_num_threads(environment, tmp_path) == wanted


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_the_affinity_that_counts_is_this_process_s_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: asked.append(process) or {0, 1, 2})
    assert num_threads.default_num_threads({}, tmp_path) == 3
    assert asked == [0]


# ------------------------------------------------------------------------------------------- survival, in child processes

PRELUDE = """
import multiprocessing, os, sys, threading
import numpy as np
import fastnn as fnn
from fastnn import _fastnn_core as core, functional as F
a = np.ones((150, 400), np.float32)
def compute():
    c = F.matmul(a, a.T)
    assert (c == 400).all()
    return core._threads_of_last_job()
def finished(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def start():
    fnn.set_num_threads(3)
    core._force_threads(True)
    assert compute() == 3
"""

FORK_100 = """
start()
for i in range(100):
    child = os.fork()
    if child == 0:
        os._exit(0 if compute() == 3 else 1)
    finished(child)
    assert compute() == 3
"""

NESTED = """
start()
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if compute() == 3 else 1)
    finished(grandchild)
    assert compute() == 3
    os._exit(0)
finished(child)
"""

FORK_WHILE_ANOTHER_COMPUTES = """
start()
going = True
def busy():
    while going:
        compute()
thread = threading.Thread(target=busy)
thread.start()
for i in range(50):
    child = os.fork()
    if child == 0:
        os._exit(0 if compute() == 3 else 1)
    finished(child)
going = False
thread.join()
"""

PROCESSES = """
def work(i):
    fnn.set_num_threads(3)
    core._force_threads(True)
    return compute()
if __name__ == "__main__":
    start()
    for method in ("fork", "forkserver", "spawn"):
        if method in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context(method).Pool(2) as pool:
                assert pool.map(work, range(6)) == [3] * 6
"""

AFFINITY = """
start()
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
for i in range(50):
    assert compute() == 3
core._force_threads(False)
fnn.set_num_threads(3)
big = np.ones((600, 600), np.float32)
for i in range(20):
    assert (F.matmul(big, big) == 600).all()
    assert core._threads_of_last_job() == 1
"""

EXIT = """
start()
def busy():
    while True:
        compute()
threading.Thread(target=busy, daemon=True).start()
compute()
"""

INTERRUPT = """
import signal, time
start()
signal.setitimer(signal.ITIMER_REAL, 0.05)
caught = []
signal.signal(signal.SIGALRM, lambda *_: caught.append(threading.current_thread() is threading.main_thread()))
while not caught:
    compute()
assert caught == [True]
"""

TIDS = """
import time
def workers():
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            with open(f"/proc/self/task/{task}/status") as status:
                yield {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
"""

ONLY_THE_WORKERS_A_JOB_USES = (
    TIDS
    + """
threads_of_numpy = len(list(workers()))
core._force_threads(True)
fnn.set_num_threads(6)
compute()
time.sleep(0.2)
def switches():
    return {worker["Pid"]: int(worker["voluntary_ctxt_switches"]) for worker in workers()}
before = switches()
fnn.set_num_threads(2)
for i in range(100):
    compute()
    time.sleep(0.002)
woken = [tid for tid, n in switches().items() if n != before[tid]]
assert len(before) == 5 + threads_of_numpy, before
assert len(woken) == 1, woken
"""
)

FAULTS_STAY_OPEN = (
    TIDS
    + """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSEGV])
before = {worker["Pid"] for worker in workers()}
start()
started = [worker for worker in workers() if worker["Pid"] not in before]
assert len(started) == 2
for worker in started:
    blocked = int(worker["SigBlk"], 16)
    for fault in ("SEGV", "BUS", "FPE", "ILL", "TRAP", "ABRT", "SYS"):
        assert not blocked >> getattr(signal, "SIG" + fault) - 1 & 1, fault
    for sent in ("INT", "TERM", "HUP", "ALRM", "CHLD", "USR1"):
        assert blocked >> getattr(signal, "SIG" + sent) - 1 & 1, sent
"""
)

NO_KEYS_LEFT = """
import ctypes
libc = ctypes.CDLL(None)
key, keys = ctypes.c_uint(), []
while libc.pthread_key_create(ctypes.byref(key), None) == 0:
    keys.append(key.value)
for k in keys:
    libc.pthread_setspecific(k, ctypes.c_void_p(k + 1))
try:
    F.matmul(np.ones((500, 500)), np.ones((500, 500)))
except MemoryError:
    pass
else:
    raise AssertionError("scratch without an owner")
libc.pthread_getspecific.restype = ctypes.c_void_p
assert [libc.pthread_getspecific(k) for k in keys] == [k + 1 for k in keys]
"""

MEMORY_AFTER_THE_END = """
import ctypes, time
libc = ctypes.CDLL(None)
assert libc.mallopt(-3, 1 << 16)  # M_MMAP_THRESHOLD: what is freed can be touched no more
x, done, key = np.ones((300, 300)), [], ctypes.c_uint()
F.matmul(x, x)  # makes the pool's keys, whose destructors run before that of the next one
at_end = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda value: done.append(F.matmul(x, x)))
assert libc.pthread_key_create(ctypes.byref(key), at_end) == 0

def run():
    F.matmul(x, x)
    libc.pthread_setspecific(key, ctypes.c_void_p(1))

threading.Thread(target=run).start()
until = time.monotonic() + 20
while not done and time.monotonic() < until:
    time.sleep(0.01)
assert (done[0] == 300).all()
"""

JOBLIB = """
import joblib
def work(i):
    fnn.set_num_threads(3)
    core._force_threads(True)
    assert compute() >= 1
    return i
if __name__ == "__main__":
    start()
    for backend in ("loky", "threading"):
        assert joblib.Parallel(2, backend=backend)(joblib.delayed(work)(i) for i in range(8)) == list(range(8))
"""


def survives(tmp_path, code):
    (tmp_path / "child.py").write_text(PRELUDE + code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "child.py"], cwd=tmp_path, env=environment, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")


@posix
@pytest.mark.parametrize("code", [FORK_100, NESTED, FORK_WHILE_ANOTHER_COMPUTES, EXIT, INTERRUPT],
                         ids=["fork x 100", "nested", "while another thread computes", "daemon at exit", "signals"])  # fmt: skip
def test_survives_fork_and_exit(code, tmp_path):
    survives(tmp_path, code)


def test_survives_multiprocessing(tmp_path):
    assert multiprocessing.get_all_start_methods()
    survives(tmp_path, PROCESSES)


def test_survives_joblib(tmp_path):
    pytest.importorskip("joblib")
    survives(tmp_path, JOBLIB)


@linux
def test_a_job_wakes_only_the_workers_it_uses(tmp_path):
    survives(tmp_path, ONLY_THE_WORKERS_A_JOB_USES)


@linux
def test_workers_receive_faults_and_no_other_signals(tmp_path):
    survives(tmp_path, FAULTS_STAY_OPEN)


@linux
def test_scratch_that_nobody_would_free_is_not_allocated(tmp_path):
    survives(tmp_path, NO_KEYS_LEFT)


@linux
def test_a_thread_that_ends_may_still_multiply(tmp_path):
    """In the destructor of another library's key, after the pool has freed the thread's memory."""
    survives(tmp_path, MEMORY_AFTER_THE_END)


@linux
def test_survives_affinity_to_one_core(tmp_path):
    survives(tmp_path, AFFINITY)
