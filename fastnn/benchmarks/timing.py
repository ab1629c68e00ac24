"""Clocks: a case timed in turn with its peers, and what the machine can do at most."""

import math
import statistics
import threading
import time
from functools import partial

import numpy as np

from fastnn import _fastnn_core, num_threads


def seconds_a_call(run, count):
    """Seconds of one of `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def fma_peak(threads=1):
    """Measure the speed of multiply-adds in registers.

    Twelve independent chains on each of so many threads at once: no matrix product can be faster. They run twice; the first time
    warms up.

    Parameters
    ----------
    threads : int

    Returns
    -------
    float
        GFLOP/s in float32.
    """
    steps, ready, ends, operations = 200_000, threading.Barrier(threads), [], []

    def run():
        _fastnn_core._fma_chains(steps)
        ready.wait()
        start = time.perf_counter()
        operations.append(_fastnn_core._fma_chains(steps))
        ends.append(time.perf_counter() - start)

    others = [threading.Thread(target=run) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    return sum(operations) / max(ends) / 1e9


def clock(threads=1):
    """Measure :func:`fma_peak` for about a quarter of a second, as a sign of how fast the processor runs and whom else it serves.

    Parameters
    ----------
    threads : int

    Returns
    -------
    dict
        ``fma_gflops``, the median; ``lost``, the share of the time that went to other programs or machines, because of which the mean
        speed is below the median.
    """
    speeds = [fma_peak(threads) for _ in range(250)][50:]  # the first ones bring the clock up
    median = statistics.median(speeds)
    return {"fma_gflops": median, "lost": max(0.0, 1 - statistics.harmonic_mean(speeds) / median)}


def copy_bandwidth():
    """Measure memcpy on arrays of 64 MiB, far larger than the caches; the mean of three copies.

    Returns
    -------
    float
        GB/s, counting what is read and what is written.
    """
    source, target = np.ones((2, 2**24), np.float32)  # written, so that every page of both is in memory
    return 2 * source.nbytes / seconds_a_call(partial(np.copyto, target, source), 3) / 1e9


def interleaved(timers, seconds=0.3):
    """Time several things in turn, a few calls at a time, so that changes of clock rate and load meet them all alike.

    Parameters
    ----------
    timers : sequence of callable
        Each takes a number of calls, makes them and returns the seconds of one.
    seconds : float
        For each.

    Returns
    -------
    list of float
        Median seconds of a call of each.
    """
    counts = []
    for timer in timers:
        timer(1)
        counts.append(max(1, round(2e-3 / (timer(1) + 1e-9))))
    samples = [[] for _ in timers]
    end = time.perf_counter() + seconds * len(timers)
    while time.perf_counter() < end or len(samples[0]) < 5:
        for timer, count, sample in zip(timers, counts, samples, strict=True):
            sample.append(timer(count))
    return [statistics.median(sample) for sample in samples]


def measure(case, seconds=0.3, threads=1, peers=None):
    """Verify a case, then time it.

    Parameters
    ----------
    case : Case
    seconds : float
        For each side.
    threads : int
        Bound on fastnn's.
    peers : dict of str to Peer, optional
        "numpy" and "torch"; without, NumPy is timed in this process.

    Returns
    -------
    dict
        group, name, seconds of fastnn and of the reference, their ratio, rate and unit; for products ``peak``, the share of the
        multiply-add peak measured in between; for cases PyTorch has, with a "torch" peer, its seconds and ratio;
        for training steps ``rows``, the share of the time that each row of the compiled network takes.
    """
    case.verify()
    ours, theirs = case.build()
    timers = [partial(seconds_a_call, ours), partial(seconds_a_call, theirs)]
    peers = peers or {}
    if "numpy" in peers:
        timers[1] = partial(peers["numpy"].time, case)
    if "torch" in peers and case.torch and not math.isnan(peers["torch"].time(case, 1)):
        timers.append(partial(peers["torch"].time, case))
    timers.append(lambda count: 1 / fma_peak(threads))
    with num_threads.threads(threads):
        ours, theirs, *torch, per_gflop = interleaved(timers, seconds)
    result = {
        "group": case.group,
        "name": case.name,
        "fastnn_seconds": ours,
        "reference_seconds": theirs,
        "ratio": theirs / ours,
        "rate": case.work / ours / 1e9,
        "unit": case.unit,
    }
    if case.unit == "GFLOP/s":
        result["peak"] = result["rate"] * per_gflop
    if case.rows:
        result["rows"] = case.rows()
    if torch:
        result["torch_seconds"], result["torch_ratio"] = torch[0], torch[0] / ours
    return result
