"""The benchmarks: their list, their clocks with a clock of the test's own, what they print, and the peers."""

import json
import math
import sys
import threading

import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import benchmarks
from fastnn import functional as F
from fastnn.benchmarks import peers, report, timing

# --------------------------------------------------------------------------------------------------------------- the list


def test_the_benchmark_list_covers_the_table():
    names = {(case.group, case.name) for case in benchmarks.cases()}
    assert len(names) == len(benchmarks.cases())
    for name in F.activations():
        assert {("forward", f"{name} {n}") for n in benchmarks.ELEMENTS} <= names
        assert {("backward", f"{name} {n}") for n in benchmarks.ELEMENTS} <= names


@pytest.mark.parametrize("case", benchmarks.cases(), ids=lambda case: f"{case.group} {case.name}")
def test_each_benchmark_case_verifies(case):
    case.verify()


def test_a_case_with_wrong_results_does_not_verify():
    def build():
        return (lambda: np.ones(3)), (lambda: np.ones(3) * 1.001)

    with pytest.raises(AssertionError, match="relative difference"):
        benchmarks.Case("group", "name", 1, "GB/s", build).verify()


def test_a_peer_times_a_case_and_says_when_its_process_has_ended():
    case = next(case for case in benchmarks.cases() if case.group == "softmax")
    peer = benchmarks.Peer("numpy")
    try:
        assert peer.time(case, 1) > 0
        peer._process.kill()
        peer._process.wait()
        with pytest.raises(ChildProcessError, match="^the process that times numpy has ended$"):
            peer.time(case, 1)
    finally:
        peer.close()


def test_pytorch_may_lack_a_function():
    pytest.importorskip("torch")
    assert benchmarks.peers.torch_forward("square_of_cube") is None
    by_name = {case.name: case for case in benchmarks.cases() if case.group == "backward"}
    lacking, having = by_name["square 65536"], by_name["relu 65536"]
    peer = benchmarks.Peer("torch")
    try:
        assert np.isnan(peer.time(lacking, 1))
        assert peer.time(having, 1) > 0
        assert "torch_ratio" not in benchmarks.measure(lacking, 0.01, peers={"torch": peer})
    finally:
        peer.close()


def test_work_is_counted_in_operations_or_in_bytes():
    work = {f"{case.group} {case.name}": (case.work, case.unit) for case in benchmarks.cases()}
    assert work["forward relu 65536"] == (8 * 65536, "GB/s")
    assert work["backward relu 65536"] == (12 * 65536, "GB/s")
    assert work["softmax softmax 256x1000"] == (8 * 256 * 1000, "GB/s")
    assert work["cross_entropy with_grad 64x10"] == (8 * 64 * 10, "GB/s")
    for name in ("matmul", "matmul da", "matmul db"):
        assert work[f"{name} 64x784x128"] == (2 * 64 * 784 * 128, "GFLOP/s")
    for name in ("forward", "dx", "dweight"):
        assert work[f"panels {name} 64-100 batch 32"] == (2 * 32 * 64 * 100, "GFLOP/s")
    products = 3 * 64 * 256 + 3 * 256 * 10 - 64 * 256  # forward, dweight, and dx but of the first layer
    assert work["training step 32:64-256-10"] == (2 * 32 * products, "GFLOP/s")


def test_a_case_that_is_not_finite_or_of_another_shape_does_not_verify():
    def case(ours, theirs):
        return benchmarks.Case("group", "name", 1, "GB/s", lambda: ((lambda: ours), (lambda: theirs)))

    with pytest.raises(AssertionError, match="name: not finite"):
        case(np.array([1, np.inf]), np.ones(2)).verify()
    with pytest.raises(AssertionError, match=r"name: \(2,\) against \(1,\)"):
        case(np.ones(2), np.ones(1)).verify()
    case(np.array([1.0, 100.0]), np.array([1.0005, 100.0])).verify()  # relative to the largest


# ------------------------------------------------------------------------------------------------------------- the clocks


class Clock:
    """Stands in for time.perf_counter: it goes on by what a call is said to take."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def taking(self, seconds):
        """Return a callable that takes so long."""

        def run():
            self.now += seconds

        return run


def test_the_seconds_of_a_call_are_the_mean_of_all(monkeypatch):
    clock = Clock(monkeypatch)
    assert timing.seconds_a_call(clock.taking(0.25), 8) == 0.25


def test_timers_take_turns_for_as_long_as_they_are_given(monkeypatch):
    clock, calls = Clock(monkeypatch), []

    def timer(name, seconds):
        def time(count):
            calls.append((name, count))
            clock.now += count * seconds
            return seconds

        return time

    assert timing.interleaved([timer("a", 1e-3), timer("b", 4e-6)], 0.051) == [1e-3, 4e-6]
    assert calls[:4] == [("a", 1), ("a", 1), ("b", 1), ("b", 1)], "a first call warms up"
    turns = calls[4:]
    assert turns[::2] == [("a", 2)] * (len(turns) // 2), "2 ms at a time"
    assert turns[1::2] == [("b", 500)] * (len(turns) // 2)
    assert len(turns) == 2 * 26, "4 ms a turn until 0.102 s are over"
    calls.clear()
    assert timing.interleaved([timer("slow", 1.0)], 0.05) == [1.0]
    assert calls == [("slow", 1)] * 7, "five samples at least"


def test_a_median_is_not_moved_by_one_slow_call(monkeypatch):
    clock = Clock(monkeypatch)
    times = iter([1, 1, 1, 90, 1, 1, 2])

    def time(count):
        clock.now += 1
        return next(times)

    assert timing.interleaved([time], 0.0) == [1]


def test_the_peak_is_what_all_threads_do_in_the_time_of_the_slowest(monkeypatch):
    started, order, lock, barrier = [], [], threading.Lock(), threading.Barrier
    monkeypatch.setattr(timing.threading, "Barrier", lambda n: barrier(n, timeout=30))

    def chains(steps):
        with lock:
            order.append(steps)
        return 100.0 * steps

    def seconds():
        with lock:  # each thread starts at 0 and ends after 1, 2 ... seconds
            me = threading.get_ident()
            if me in started:
                return float(1 + started.index(me))
            started.append(me)
            return 0.0

    monkeypatch.setattr(timing._fastnn_core, "_fma_chains", chains)
    monkeypatch.setattr(timing.time, "perf_counter", seconds)
    assert timing.fma_peak(3) == 3 * 100 * 200_000 / 3 / 1e9
    assert sorted(order) == [20_000] * 3 + [200_000] * 3, "a tenth warms up"


def test_the_bandwidth_counts_reading_and_writing(monkeypatch):
    def seconds(run, count):
        target, source = run.args
        assert (count, target.nbytes, source.nbytes) == (3, 2**26, 2**26)
        run()
        assert (target == source).all()
        return 0.5

    monkeypatch.setattr(timing, "seconds_a_call", seconds)
    assert timing.copy_bandwidth() == 2 * 2**26 / 0.5 / 1e9


@pytest.fixture
def fixed(monkeypatch):
    """Times as if they had been measured: 2 s for fastnn, 3 s for NumPy, 5 s for PyTorch, 0.25 s a GFLOP."""
    seen = {}

    def interleaved(timers, seconds):
        seen["timers"], seen["seconds"], seen["threads"] = len(timers), seconds, fnn.get_num_threads()
        return [2.0, 3.0, *[5.0] * (len(timers) - 3), 0.25]

    monkeypatch.setattr(timing, "interleaved", interleaved)
    return seen


class OtherProcess:
    """Stands in for a Peer."""

    def __init__(self, seconds):
        self.seconds = seconds

    def time(self, case, count):
        return self.seconds


def case_of(unit="GFLOP/s", torch=None):
    return benchmarks.Case(
        "group", "name", 6e9, unit, lambda: ((lambda: np.ones(1)), (lambda: np.ones(1))), torch=torch
    )


def test_a_measurement_holds_times_ratios_rate_and_share_of_the_peak(fixed):
    assert benchmarks.measure(case_of(), 0.1, threads=1) == {
        "group": "group", "name": "name", "fastnn_seconds": 2.0, "reference_seconds": 3.0, "ratio": 1.5, "rate": 3.0,
        "unit": "GFLOP/s", "peak": 0.75,
    }  # fmt: skip
    assert fixed == {"timers": 3, "seconds": 0.1, "threads": 1}
    assert "peak" not in benchmarks.measure(case_of("GB/s"))
    assert fixed["seconds"] == 0.3


def test_pytorch_is_measured_where_it_has_the_function(fixed):
    result = benchmarks.measure(case_of(torch=bool), peers={"torch": OtherProcess(1.0)})
    assert (result["torch_seconds"], result["torch_ratio"]) == (5.0, 2.5)
    assert fixed["timers"] == 4
    for case, peer in ((case_of(torch=bool), OtherProcess(math.nan)), (case_of(), OtherProcess(1.0))):
        assert "torch_ratio" not in benchmarks.measure(case, peers={"torch": peer})


# ----------------------------------------------------------------------------------------------------------- what is printed


def test_the_peak_is_printed_with_its_spread(monkeypatch, capsys):
    peaks, copies = iter([0.0, *[10.0, 12.0, 11.0] * 27]), iter([4.0, 5.0, 6.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0] * 2)
    monkeypatch.setattr(report, "fma_peak", lambda threads: next(peaks))
    monkeypatch.setattr(report, "copy_bandwidth", lambda: next(copies))
    report.print_peak(2, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "isa": core.isa(), "threads": 2, "fma_gflops": 11.0, "fma_gflops_spread": 0.0, "copy_gbs": 5.0, "copy_gbs_spread": 0.4,
    }  # fmt: skip
    peaks = iter([0.0, *[10.0] * 9, *[11.0] * 63, *[12.0] * 9])
    report.print_peak()
    assert capsys.readouterr().out.splitlines() == [
        f"isa {core.isa()}, 1 thread(s); median of 9 repeats, and their spread",
        "multiply-add peak     11.0 GFLOP/s   18.2%",
        "memcpy, 1 thread       5.0 GB/s      40.0%",
    ]


@pytest.fixture
def measured(monkeypatch):
    """What print_cases measures, without a process or a clock."""
    results = []

    class Peer:
        def __init__(self, name, threads):
            self.name, self.closed = name, False
            seen.append((self, threads))

        def close(self):
            self.closed = True

    seen = []

    def measure(case, seconds, threads, peers):
        result = {"group": case.group, "name": case.name, "fastnn_seconds": 2e-6, "reference_seconds": 3e-6, "ratio": 1.5,
                  "rate": 7.25, "unit": case.unit}  # fmt: skip
        if "torch" in peers and case.torch:
            result |= {"torch_seconds": 5e-6, "torch_ratio": 2.5}
        if case.unit == "GFLOP/s":
            result["peak"] = 0.5
        results.append((case.name, seconds, threads, sorted(peers)))
        return result

    def cases():
        return [case_of(), benchmarks.Case("group", "other", 1, "GB/s", None, torch=bool)]

    monkeypatch.setattr(report, "Peer", Peer)
    monkeypatch.setattr(report, "measure", measure)
    monkeypatch.setattr(report, "cases", cases)
    bound = fnn.get_num_threads()
    yield results, seen
    fnn.set_num_threads(bound)


def test_cases_are_printed_as_a_table(monkeypatch, measured, capsys):
    results, peers_made = measured
    monkeypatch.setattr(report, "has_torch", lambda: True)
    report.print_cases(threads=3)
    assert fnn.get_num_threads() == 3
    assert capsys.readouterr().out.splitlines() == [
        f"isa {core.isa()}, 3 thread(s) on each side, float32; median of interleaved runs, each case verified first",
        "case                                       fastnn        NumPy   faster      PyTorch   faster             rate  of peak",
        "group name                                 2.0 us       3.0 us    1.50x                            7.2 GFLOP/s     0.50",
        "group other                                2.0 us       3.0 us    1.50x       5.0 us    2.50x      7.2 GB/s",
    ]
    assert results == [("name", 0.3, 3, ["numpy", "torch"]), ("other", 0.3, 3, ["numpy", "torch"])]
    assert [(peer.name, threads, peer.closed) for peer, threads in peers_made] == [
        ("numpy", 3, True),
        ("torch", 3, True),
    ]


def test_cases_are_chosen_by_text_and_printed_as_json(monkeypatch, measured, capsys):
    results, peers_made = measured
    monkeypatch.setattr(report, "has_torch", lambda: True)
    report.print_cases("up na", 0.5, as_json=True)
    assert results == [("name", 0.5, 1, ["numpy"])], "no process for PyTorch, which has no such case"
    printed = json.loads(capsys.readouterr().out)
    assert (printed["isa"], printed["threads"], len(printed["results"])) == (core.isa(), 1, 1)
    assert printed["results"][0]["name"] == "name"
    monkeypatch.setattr(report, "has_torch", lambda: False)
    report.print_cases("other")
    assert results[-1][3] == ["numpy"]
    head, row = capsys.readouterr().out.splitlines()[1:]
    assert "PyTorch" not in head
    assert row == "group other                                2.0 us       3.0 us    1.50x      7.2 GB/s"
    with pytest.raises(ValueError, match="^no case contains 'none'$"):
        report.print_cases("none")
    assert all(peer.closed for peer, _ in peers_made)


# --------------------------------------------------------------------------------------------------------------- the peers


def test_the_process_of_a_peer_has_the_threads_it_is_given(monkeypatch):
    seen = {}

    def start(command, **options):
        seen.update(options, command=command)

    monkeypatch.setattr(peers.subprocess, "Popen", start)
    peers.Peer("numpy", 3)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")
    assert [seen["env"][name] for name in names] == ["3"] * 4
    assert seen["command"][0] == sys.executable
    assert seen["command"][-1] == "numpy"
    assert seen["start_new_session"] is True
    assert (seen["cwd"] / "fastnn" / "benchmarks").is_dir()


def test_serving_times_the_case_of_each_line_and_builds_it_once(monkeypatch, capsys):
    built = []

    def case(name, torch=None):
        def build():
            built.append(name)
            return None, lambda: name

        return benchmarks.Case("group", name, 1, "GB/s", build, torch=torch)

    monkeypatch.setattr(peers, "seconds_a_call", lambda run, count: f"{run()} {count}")
    cases = [case("a", lambda: lambda: "torch"), case("b", lambda: None)]
    monkeypatch.setattr(sys, "stdin", ["group\ta\t1\n", "group\ta\t20\n", "group\tb\t3\n", "group\ta\t4\n"])
    peers.serve("numpy", cases)
    assert capsys.readouterr().out.splitlines() == ["a 1", "a 20", "b 3", "a 4"]
    assert built == ["a", "b", "a"]
    peers.serve("torch", cases)
    assert capsys.readouterr().out.splitlines() == ["torch 1", "torch 20", "nan", "torch 4"]


def test_pytorch_is_found_without_an_import(monkeypatch):
    for spec in (None, "found"):
        monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name, spec=spec: name == "torch" and spec)
        assert peers.has_torch() is (spec is not None)


def test_the_reference_net_drops_and_scales():
    net = benchmarks.ReferenceMLP(fnn.MLP([3, 4, 2], seed=0), dropout=0.25)
    mask = net._mask((100, 100))
    assert set(np.unique(mask)) == {0, np.float32(1 / 0.75)}
    assert abs((mask == 0).mean() - 0.25) < 0.02
    assert mask.dtype == np.float32


def test_the_reference_net_steps_as_the_trainer_does():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 3)), rng.integers(0, 2, 20)
    loss = fnn.CrossEntropy(label_smoothing=0.1)
    trainer = fnn.Trainer(fnn.MLP([3, 5, 4, 2], seed=0, dtype=np.float64), loss, fnn.Adam(lr=0.01))
    net = benchmarks.ReferenceMLP(trainer.model, lr=0.01, label_smoothing=0.1)
    for _ in range(5):
        assert trainer.step(x, y) == pytest.approx(net.step(x, y), rel=1e-12)
    net = benchmarks.ReferenceMLP(trainer.model, lr=1e-3, dropout=0.5)
    masks = [np.zeros((20, 5)), np.ones((20, 4))]
    net._mask = lambda shape: masks.pop(0)  # nothing of x passes the first mask: the first weight gets no gradient
    first, second = net.weights[0].copy(), net.weights[1].copy()
    net.step(x, y)
    np.testing.assert_array_equal(net.weights[0], first)
    np.testing.assert_array_equal(net.weights[1], second), "its input is 0"
    assert masks == []
