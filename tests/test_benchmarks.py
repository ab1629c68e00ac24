"""The benchmarks: what each case computes, on which data, and how much; clocks and peers, with clocks and peers that are made up."""

import importlib.util
import io
import math
import os
import re
import statistics
import sys
import threading
import time
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch_stand_in

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import benchmarks
from fastnn import functional as F
from fastnn import reference as R
from fastnn.benchmarks import peers, timing
from fastnn.benchmarks.cases import loss_operands

# Measurements are compared by these names.
QUICK_PRODUCTS = """1x784x512 1x256x256 6x256x256 16x256x256 32x64x64 32x64x100 64x128x10 64x784x128 64x1000x100 784x64x128 128x784x256
    128x512x512 256x512x512 512x256x512 256x17x256 512x1024x2048 2048x512x1024 1024x1024x1024 4096x256x256 50x333x77 7x1500x13
    300x300x300 96x96x96 200x64x100"""
PRODUCTS = QUICK_PRODUCTS + " 2x256x256 64x64x64 64x16384x10 2048x2048x2048"
LAYERS = """784-512:128 512-512:128 784-128:128 1000-100:64 256-256:256 64-100:32 500-500:256 1024-2048:512 2048-2048:512
    64-64:64"""
STEPS = ["32:64-100-10", "64:1000-100-10", "256:17-256-256-6", "128:784-128-10", "128:784-512-512-10", "256:500 x 10 layers",
         "512:1024-2048-2048-1000"]  # fmt: skip
CASES = benchmarks.cases()
SMALL = [case for case in CASES if case.work < 2e7]
ACTIVATIONS = {info.layer for info in F.activations().values()}


def case_id(case):
    return f"{case.group} {case.name}"


@pytest.fixture
def torch(monkeypatch):
    """PyTorch, or what stands in for it."""
    if importlib.util.find_spec("torch") is None:
        torch_stand_in.install(monkeypatch)


# ------------------------------------------------------------------------------------------------------------------ cases


def test_the_list_of_cases():
    names = [case_id(case) for case in CASES]
    wanted = [f"{group} {shape}" for shape in PRODUCTS.split() for group in ("matmul", "matmul da", "matmul db")]
    for layer in LAYERS.split():
        wanted += [f"panels {form} {layer.replace(':', ' batch ')}" for form in ("forward", "dx", "dweight")]
    for group in ("forward", "backward"):
        wanted += [f"{group} {name} {n}" for name in F.activations() for n in (65536, 1048576)]
    named = [name for name in fnn.layers.__all__ if name != "Layer" and name not in ACTIVATIONS]
    wanted += ["dropout dropout 65536", *(f"layer {name} 256x64" for name in named)]
    wanted += ["softmax softmax 256x1000", "softmax log_softmax 256x1000"]
    shapes = ["64x10", "256x100", "4096x100"]
    wanted += [f"cross_entropy with_grad {shape}" for shape in (*shapes, "256x1000", "4096x1000", "512x32000")]
    norms = [
        f"{name} {shape}" for name in ("layer_norm", "rms_norm", "batch_norm") for shape in ("128x512", "4096x256")
    ]
    wanted += [f"{group} {norm}" for group in ("norm", "norm backward") for norm in norms]
    for name in [row.info.layer for row in core.LOSSES.values()][1:]:
        wanted += [f"loss {name} {shape}" for shape in shapes]
    wanted += [f"update {name} 1048576" for name in core.OPTIMIZERS]
    wanted += [f"step {sizes}" for sizes in STEPS]
    assert names == wanted


def test_a_quick_run_has_the_shapes_that_fastnn_is_judged_by_and_each_activation_once():
    quick = benchmarks.cases(quick=True)
    assert {case_id(case) for case in quick} < {case_id(case) for case in CASES}
    for group in ("matmul", "matmul da", "matmul db"):
        assert [case.name for case in quick if case.group == group] == QUICK_PRODUCTS.split()
    for group in ("forward", "backward"):
        assert [case.name for case in quick if case.group == group] == [f"{name} 65536" for name in F.activations()]
    judged = ("softmax", "cross_entropy", "norm", "norm backward", "loss", "update", "step")
    rest = [case_id(case) for case in CASES if case.group in judged and case.name not in STEPS[4:]]
    assert [case_id(case) for case in quick[-len(rest) :]] == rest


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_each_benchmark_case_verifies(case):
    case.verify()


def sizes_of(case):
    """The numbers in the name, without those of an activation or a loss; the batch and the widths of a training step."""
    repeated = re.fullmatch(r"(\d+):(\d+) x (\d+) layers", case.name)
    if repeated:
        batch, width, layers = map(int, repeated.groups())
        return [batch] + [width] * (layers + 1)
    return [int(digits) for digits in re.findall(r"\d+", re.sub(r"^[A-Za-z]\w* ", "", case.name))]


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_work_of_a_case_is_its_operations_or_its_bytes(case):
    sizes = sizes_of(case)
    float32, multiply_add = 4, 2  # bytes; operations
    if case.group == "step":
        batch, *widths = sizes
        products = [batch * a * b for a, b in pairwise(widths)]
        total = 2 * sum(products) + sum(products[1:])  # forward, dweight; dx, which the first layer does not need
        assert (case.unit, case.work) == ("GFLOP/s", multiply_add * total)
    elif case.group.startswith(("matmul", "panels")):
        assert (case.unit, case.work) == ("GFLOP/s", multiply_add * math.prod(sizes))
    else:
        arrays = 3 if case.group in ("backward", "norm backward", "loss") else 2
        if case.group == "layer":
            ours, _ = case.build()
            read, written = ours.args[0].size, ours().size
            assert (case.unit, case.work, read) == ("GB/s", float32 * (read + written), math.prod(sizes))
            return
        if case.group == "update":  # all are read, all but the gradient written
            slots = core.OPTIMIZERS[case.name.split()[0]].info.slots
            arrays = 3 + 2 * list(slots.values()).count(None)
        assert (case.unit, case.work) == ("GB/s", arrays * float32 * math.prod(sizes))


def normal(*shape, scale=1.0):
    return np.float32(np.random.default_rng(0).standard_normal(shape) * scale)


def expected(case):
    """What a case computes, said again."""
    sizes, name = sizes_of(case), case.name.split()[0]
    if case.group.startswith("matmul"):
        m, k, n = sizes
        a, b, dc = normal(m, k), normal(k, n), normal(m, n)
        return {"matmul": lambda: a @ b, "matmul da": lambda: dc @ b.T, "matmul db": lambda: a.T @ dc}[case.group]()
    if case.group.startswith("panels"):
        inputs, outputs, batch = sizes
        x, weight, dz = normal(batch, inputs), normal(inputs, outputs), normal(batch, outputs)
        return {"forward": lambda: x @ weight, "dx": lambda: dz @ weight.T, "dweight": lambda: x.T @ dz}[
            case.group[7:]
        ]()
    x = normal(*sizes, scale=3)
    if case.group == "backward":
        return getattr(R, f"{name}_backward")(normal(*sizes), x=x)
    if case.group.startswith("norm"):
        weight, bias, grad = normal(sizes[1]) + 2, normal(sizes[1]), normal(*sizes)[::-1]
        axis = 0 if name == "batch_norm" else 1
        mean = 0 if name == "rms_norm" else x.mean(axis, keepdims=True)
        scale = 1 / np.sqrt(np.square(x - mean).mean(axis, keepdims=True) + (0 if name == "rms_norm" else 1e-5))
        standard, g = (x - mean) * scale, grad * weight
        if case.group == "norm":
            return standard * weight + (0 if name == "rms_norm" else bias)
        level = 0 if name == "rms_norm" else g.mean(axis, keepdims=True)
        return scale * (g - level - standard * (g * standard).mean(axis, keepdims=True))
    if case.group == "loss":
        info = next(row.info for row in core.LOSSES.values() if row.info.layer == name)
        x, others, columns = loss_operands(info, *sizes)
        exact = [a.astype(np.float64) if a.dtype == np.float32 else a for a in (x, *others)]
        return getattr(R, f"{info.function}_with_grad")(*exact, **columns)[1]
    if case.group == "cross_entropy":
        return R.cross_entropy_with_grad(x, np.random.default_rng(1).integers(0, sizes[1], sizes[0]))[1]
    if case.group == "dropout":
        return R.dropout(normal(*sizes), 0.5, seed=0)
    return getattr(R, name)(x)


def assert_close(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("case", [case for case in SMALL if case.group not in ("update", "step", "layer")], ids=case_id)
def test_the_sides_of_a_case_compute_the_same_on_the_same_data(case, torch):
    want = expected(case)
    ours, theirs = case.build()
    assert_close(case.view(ours()), want)
    assert_close(theirs(), want)
    run = case.torch and case.group != "dropout" and case.torch()  # whose masks are PyTorch's own
    if run:
        run()
        assert_close(run(), want)
    if case.group not in ("cross_entropy", "norm backward", "loss") and not case.group.startswith("panels"):
        assert ours() is ours.keywords["out"], "nothing is allocated"
        assert theirs() is theirs.keywords["out"]
    if case.group.startswith("panels"):
        assert all(operand.ctypes.data % 64 == 0 for operand in ours.args[:3])


@pytest.mark.parametrize("case", [case for case in CASES if case.group == "update"], ids=case_id)
def test_both_sides_of_an_update_go_on_alike_and_torch_makes_steps_of_its_own(case, torch):
    (ours, theirs), before = case.build(), normal(*sizes_of(case))
    for _ in range(3):
        assert ours() is ours.args[1][0], "in place"
        assert_close(ours.args[1][0], theirs())
    assert 1e-4 < np.abs(ours.args[1][0] - before).max() < 4
    step = case.torch()
    assert step is None or step() is None


@pytest.mark.parametrize("case", [case for case in CASES if case.group == "step"], ids=case_id)
def test_a_training_step_goes_on_as_the_reference_does(case):
    batch, *sizes = sizes_of(case)
    x, y = normal(batch, sizes[0]), np.random.default_rng(1).integers(0, sizes[-1], batch)
    reference = benchmarks.ReferenceMLP(fnn.MLP(sizes, seed=0), lr=1e-3)
    want = [reference.step(x, y) for _ in range(3)]
    for side in case.build():
        np.testing.assert_allclose([side() for _ in range(3)], want, rtol=1e-5)
    shares = dict(case.rows(seconds=0.01))
    assert sum(shares.values()) == pytest.approx(1)
    assert all(0 <= share < 1 for share in shares.values())
    products = {f"linear {a}-{b}, forward" if a != b else f"linear {a}, forward" for a, b in pairwise(sizes)}
    assert products <= {name.partition(" ")[2] for name in shares}


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([1, 2], [1, 2], None),
        ([1, 2], [1, 2 - 1.9e-5], None),
        ([1, 2], [1 + 1.9e-5, 2], None),
        ([1, 2], [1 + 2.1e-5, 2], "name: relative difference 1.05e-05"),
        ([-1, -2], [-1, -2 + 3e-3], "name: relative difference 1.50e-03"),
        ([1, 2], [[1, 2]], r"name: \(2,\) against \(1, 2\)"),
        ([1, np.inf], [1, np.inf], "name: not finite"),
        ([np.nan, 1], [np.nan, 1], "name: not finite"),
    ],
)
def test_a_case_verifies_when_both_sides_agree(ours, theirs, message):
    case = benchmarks.Case("group", "name", 1, "GB/s", lambda: (lambda: np.array(ours), lambda: np.array(theirs)))
    if message is None:
        case.verify()
    else:
        with pytest.raises(AssertionError, match=f"^{message}"):
            case.verify()


# ----------------------------------------------------------------------------------------------------------------- clocks


class Clock(threading.local):
    """A clock of each thread's own, which stands still until it is told that time has passed."""

    now = 1000.0

    def __call__(self):
        return self.now

    def passes(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_seconds_a_call(clock):
    calls = count()

    def run():
        next(calls)
        clock.passes(0.25)

    assert timing.seconds_a_call(run, 4) == 0.25
    assert next(calls) == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_the_peak_is_what_all_threads_do_in_the_time_of_the_slowest(threads, clock, monkeypatch):
    caller, lock, runs, started = threading.current_thread(), threading.Lock(), [], threading.Event()

    def chains(steps):
        me = threading.current_thread()
        with lock:
            first = me not in [thread for thread, _ in runs]
            runs.append((me, steps))
        if first and me is not caller:
            started.wait(0.1)  # for somebody who does not wait until all are warm
        elif not first:
            with lock:
                assert {thread for thread, _ in runs} == warm
            started.set()
            if me is not caller:
                time.sleep(0.02)  # the caller is ready long before
        with lock:
            warm.add(me)
        clock.passes(2 if me is caller else 4)
        return 10**9

    warm = set()
    monkeypatch.setattr(core, "_fma_chains", chains)
    peak = benchmarks.fma_peak(threads) if threads > 1 else benchmarks.fma_peak()
    assert peak == threads / (2 if threads == 1 else 4)
    assert len(warm) == threads
    assert len(runs) == 2 * threads
    assert len({steps for _, steps in runs}) == 1


def test_the_clock_is_the_median_speed_and_what_was_lost_of_the_time(monkeypatch):
    speeds = iter([1.0] * 50 + [100.0] * 100 + [50.0] * 50 + [200.0] * 50)
    monkeypatch.setattr(timing, "fma_peak", lambda threads: next(speeds) * threads)
    found = timing.clock(2)
    assert found["fma_gflops"] == 200
    assert found["lost"] == pytest.approx(1 - 1 / (0.5 + 0.5 + 0.125))
    monkeypatch.setattr(timing, "fma_peak", lambda threads: 7.0)
    assert timing.clock() == {"fma_gflops": 7, "lost": 0}


def test_the_bandwidth_of_copies_counts_what_is_read_and_what_is_written(clock, monkeypatch):
    copies = []

    def copyto(target, source):
        copies.append((target, source))
        clock.passes(0.5)

    monkeypatch.setattr(np, "copyto", copyto)
    assert benchmarks.copy_bandwidth() == 2 * 2**26 / 0.5 / 1e9
    assert len(copies) == 3
    for target, source in copies:
        assert target.nbytes == source.nbytes == 2**26
        assert not np.shares_memory(target, source)
        assert source.all(), "zeros would be one page of memory, and"
        assert target.all(), "fresh zeros none"


def test_timers_take_turns(clock):
    turns = []

    def timer(name, seconds):
        factors = iter([9, 1, 1, 2, 1.5, 1.4, 1.2, *[50] * 4])  # it slows down in the end

        def run(calls):
            turns.append((name, calls))
            clock.passes(1)
            return seconds * next(factors)

        return run

    medians = benchmarks.interleaved([timer("quick", 1e-4), timer("slow", 1.0)], seconds=7)
    assert turns == [("quick", 1), ("quick", 1), ("slow", 1), ("slow", 1)] + 7 * [("quick", 20), ("slow", 1)]
    assert medians == [statistics.median([1, 2, 1.5, 1.4, 1.2, 50, 50]) * seconds for seconds in (1e-4, 1.0)]


@pytest.mark.parametrize(("options", "seconds", "samples"), [({}, 2**-5, 10), ({}, 0.2, 5), ({"seconds": 0}, 1, 5)])
def test_timers_run_for_so_long_and_at_least_five_times(clock, options, seconds, samples):
    calls = []

    def timer(n):
        calls.append(n)
        clock.passes(seconds)
        return 0.0

    assert benchmarks.interleaved([timer], **options) == [0.0]
    assert calls == [1, 1] + [2_000_000] * samples, "2 ms of calls that take no time are 1 ns long"


def case_of(unit, calls, torch=None):
    """A case whose sides say that they were called."""

    def build():
        return (lambda: calls.append("fastnn") or 1.0), (lambda: calls.append("reference") or 1.0)

    return benchmarks.Case("group", "name", 6e9, unit, build, torch=torch)


class FakePeer:
    def __init__(self, name, calls, answer=0.0):
        self.name, self.calls, self.answer = name, calls, answer

    def time(self, case, n):
        self.calls.append(f"{self.name} {case.name} x {n}")
        return self.answer


@pytest.fixture
def interleaving(monkeypatch):
    """Instead of the clock: each timer is asked once; the arguments, and the seconds of each."""
    seen = SimpleNamespace(seconds=None, answers=None, threads=None, per_gflop=None)

    def interleaved(timers, seconds):
        *timers, peak = timers
        for timer in timers:
            timer(2)
        seen.seconds, seen.threads, seen.per_gflop = seconds, fnn.get_num_threads(), peak(2)
        return seen.answers

    monkeypatch.setattr(timing, "interleaved", interleaved)
    monkeypatch.setattr(timing, "fma_peak", lambda threads: 50.0 * threads)
    before = fnn.get_num_threads()
    fnn.set_num_threads(4)
    yield seen
    fnn.set_num_threads(before)


def test_a_case_is_verified_and_measured(interleaving):
    calls, interleaving.answers = [], [2.0, 5.0, 0.02]
    result = benchmarks.measure(case_of("GFLOP/s", calls))
    assert calls == ["fastnn", "reference", "fastnn", "fastnn", "reference", "reference"]
    assert (interleaving.seconds, interleaving.threads, interleaving.per_gflop) == (0.3, 1, 1 / 50)
    assert result == {
        "group": "group", "name": "name", "fastnn_seconds": 2.0, "reference_seconds": 5.0, "ratio": 2.5, "rate": 3.0, "unit": "GFLOP/s",
        "peak": 0.06}  # fmt: skip


def test_a_case_is_measured_beside_peers(interleaving):
    calls, interleaving.answers = [], [2.0, 5.0, 3.0, 0.02]
    beside = {"numpy": FakePeer("numpy", calls), "torch": FakePeer("torch", calls)}
    result = benchmarks.measure(case_of("GB/s", calls, torch=lambda: None), 7, 3, beside)
    timed = ["torch name x 1", "fastnn", "fastnn", "numpy name x 2", "torch name x 2"]
    assert calls == ["fastnn", "reference", *timed]
    assert (interleaving.seconds, interleaving.threads, interleaving.per_gflop) == (7, 3, 1 / 150)
    assert result == {
        "group": "group", "name": "name", "fastnn_seconds": 2.0, "reference_seconds": 5.0, "ratio": 2.5, "rate": 3.0, "unit": "GB/s",
        "torch_seconds": 3.0, "torch_ratio": 1.5}  # fmt: skip


@pytest.mark.parametrize(("torch", "answer"), [(None, 1.0), (lambda: None, math.nan)])
def test_a_case_that_pytorch_lacks_is_measured_without(interleaving, torch, answer):
    calls, interleaving.answers = [], [2.0, 5.0, 0.02]
    result = benchmarks.measure(case_of("GB/s", calls, torch), peers={"torch": FakePeer("torch", calls, answer)})
    assert "torch_seconds" not in result
    assert "torch name x 2" not in calls
    assert calls.count("reference") == 3, "NumPy is timed here, as it is no peer"


# ------------------------------------------------------------------------------------------------------------------ peers


def test_the_reference_trains_as_the_trainer_does():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    model = fnn.MLP([4, 6, 5, 3], seed=0, dtype=np.float64)
    reference = benchmarks.ReferenceMLP(model, label_smoothing=0.1)
    trainer = fnn.Trainer(model, fnn.losses.CrossEntropy(label_smoothing=0.1), fnn.Adam(lr=1e-3))
    for _ in range(5):
        assert reference.step(x, y) == pytest.approx(trainer.step(x, y), rel=1e-12)
    for i, name in enumerate(["0", "2", "4"]):
        np.testing.assert_allclose(reference.weights[i], model.state_dict()[f"{name}.weight"], rtol=1e-9)
        np.testing.assert_allclose(reference.biases[i], model.state_dict()[f"{name}.bias"], rtol=1e-9)


def test_the_reference_drops_what_numpy_draws():
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
    reference = benchmarks.ReferenceMLP(fnn.MLP([4, 6, 3], seed=0, dtype=np.float64), lr=0.01, dropout=0.25)
    w, b, v, c = (p.copy() for pair in zip(reference.weights, reference.biases, strict=True) for p in pair)
    moments, draws = [(np.zeros_like(p), np.zeros_like(p)) for p in (w, b, v, c)], np.random.default_rng(0)
    for step in (1, 2, 3):
        mask = np.float32(draws.random((8, 6), np.float32) >= 0.25) * np.float32(1 / 0.75)
        h = np.maximum(x @ w.T + b, 0)
        loss, dz = R.cross_entropy_with_grad(h * mask @ v.T + c, y)
        dh = dz @ v * mask * (h > 0)
        gradients = dh.T @ x, dh.sum(0), dz.T @ (h * mask), dz.sum(0)
        assert reference.step(x, y) == pytest.approx(loss, rel=1e-9)
        for param, gradient, state in zip((w, b, v, c), gradients, moments, strict=True):
            R.adam_update(param, gradient, *state, step=step, lr=0.01)
    np.testing.assert_allclose(reference.weights[0], w, rtol=1e-6)
    np.testing.assert_allclose(reference.weights[1], v, rtol=1e-6)


def test_a_peer_times_a_case_and_says_when_its_process_has_ended():
    case = next(case for case in CASES if case.group == "softmax")
    peer = benchmarks.Peer("numpy")
    try:
        assert peer.time(case, 1) > 0
        peer._process.kill()
        peer._process.wait()
        with pytest.raises(ChildProcessError, match="^the process that times numpy has ended$"):
            peer.time(case, 1)
    finally:
        peer.close()


class Process:
    """Instead of a peer's process: answers 0.5 and notes what happens."""

    def __init__(self, command, **options):
        self.command, self.options, self.events = command, options, []
        note = self.events.append
        self.stdin = SimpleNamespace(write=note, flush=lambda: note("flushed"), close=lambda: note("stdin closed"))
        self.stdout = SimpleNamespace(readline=lambda: "0.5\n", close=lambda: note("stdout closed"))
        self.wait = lambda: note("waited")


@pytest.mark.parametrize(("given", "threads"), [((), "1"), ((3,), "3")])
def test_a_peer_is_a_process_of_its_own_with_so_many_threads(given, threads, monkeypatch):
    monkeypatch.setattr(peers.subprocess, "Popen", Process)
    monkeypatch.setenv("KEPT", "as it is")
    peer = benchmarks.Peer("torch", *given)
    process = peer._process
    assert (process.command[0], process.command[1], process.command[-1]) == (sys.executable, "-c", "torch")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS"):
        assert process.options["env"][name] == threads
    assert process.options["env"]["KEPT"] == "as it is"
    assert process.options["start_new_session"], "or Ctrl-C would end it too"
    assert os.path.samefile(Path(process.options["cwd"]) / "fastnn", Path(fnn.__file__).parent)
    assert peer.time(CASES[0], 7) == 0.5
    peer.close()
    assert process.events == ["matmul\t1x784x512\t7\n", "flushed", "stdin closed", "waited", "stdout closed"]


@pytest.mark.parametrize(("name", "printed"), [("numpy", "7.0\n" * 4), ("torch", "9.0\n9.0\nnan\n9.0\n")])
def test_the_process_of_a_peer_answers_line_by_line(name, printed, monkeypatch, capsys):
    built = []

    def case(name, torch):
        def build():
            built.append(name)
            return (lambda: 5), (lambda: 7)

        return benchmarks.Case("group", name, 1, "GB/s", build, torch=lambda: built.append(name) or torch)

    cases = [case("had", lambda: 9), case("lacking", None), case("other", None)]
    lines = ["group\thad\t1", "group\thad\t20", "group\tlacking\t3", "group\thad\t20"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, ""])))
    asked = []
    monkeypatch.setattr(peers, "seconds_a_call", lambda run, n: asked.append(n) or float(run()))
    benchmarks.serve(name, cases)
    assert capsys.readouterr().out == printed
    assert built == ["had", "lacking", "had"], "anew only for another case"
    assert asked == [1, 20, *([3] if name == "numpy" else []), 20]


def test_whether_pytorch_is_there(monkeypatch, torch):
    assert benchmarks.has_torch()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not benchmarks.has_torch()


def test_pytorch_may_lack_a_function(torch):
    assert peers.torch_forward("square_of_cube") is None
    by_name = {case_id(case): case for case in CASES}
    assert by_name["backward square 65536"].torch() is None
    assert by_name["backward relu 65536"].torch() is not None
    assert by_name["forward square 65536"].torch() is not None
