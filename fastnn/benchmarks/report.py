"""What ``fastnn bench`` prints: a table of cases, or the machine's peak; as text or JSON."""

import json
import statistics

from fastnn import _fastnn_core
from fastnn.benchmarks.cases import cases
from fastnn.benchmarks.peers import Peer, has_torch
from fastnn.benchmarks.timing import copy_bandwidth, fma_peak, measure
from fastnn.num_threads import set_num_threads


def print_peak(threads=1, *, as_json=False):
    """Measure and print the machine's speed of multiply-adds and of memcpy.

    Parameters
    ----------
    threads : int
        That multiply and add.
    as_json : bool
    """
    fma_peak(threads)  # warms up
    result = {"isa": _fastnn_core.isa(), "threads": threads}
    for name, samples in (
        ("fma_gflops", [statistics.median(fma_peak(threads) for _ in range(9)) for _ in range(9)]),
        ("copy_gbs", [copy_bandwidth() for _ in range(9)]),
    ):
        result[name] = median = statistics.median(samples)
        result[name + "_spread"] = (max(samples) - min(samples)) / median
    if as_json:
        print(json.dumps(result))
        return
    print(f"isa {result['isa']}, {result['threads']} thread(s); median of 9 repeats, and their spread")
    print(f"multiply-add peak {result['fma_gflops']:8.1f} GFLOP/s  {result['fma_gflops_spread']:6.1%}")
    print(f"memcpy, 1 thread  {result['copy_gbs']:8.1f} GB/s     {result['copy_gbs_spread']:6.1%}")


def print_cases(only="", seconds=0.3, threads=1, *, as_json=False):
    """Measure cases and print a row for each when it is done, or one JSON object in the end.

    Parameters
    ----------
    only : str
        Cases whose group and name contain it.
    seconds : float
        Per case and side.
    threads : int
        Of fastnn, for the rest of this process, and of each peer.
    as_json : bool

    Raises
    ------
    ValueError
        If no case contains the text.
    """
    set_num_threads(threads)
    chosen = [case for case in cases() if only in f"{case.group} {case.name}"]
    if not chosen:
        raise ValueError(f"no case contains {only!r}")
    names = ["numpy"] + ["torch"] * (has_torch() and any(case.torch for case in chosen))
    peers, results = {name: Peer(name, threads) for name in names}, []
    try:
        for case in chosen:
            results.append(measure(case, seconds, threads, peers))
            if not as_json:
                _print_row(results, threads, "torch" in peers)
    finally:
        for peer in peers.values():
            peer.close()
    if as_json:
        print(json.dumps({"isa": _fastnn_core.isa(), "threads": threads, "results": results}))


def _print_row(results, threads, torch):
    """The last result as a row; before the first one, the head of the table."""
    result = results[-1]
    if len(results) == 1:
        print(
            f"isa {_fastnn_core.isa()}, {threads} thread(s) on each side, float32; median of interleaved runs, each case verified first"
        )
        print(f"{'case':36} {'fastnn':>12} {'NumPy':>12} {'faster':>8} " + f"{'PyTorch':>12} {'faster':>8} " * torch
              + f"{'rate':>16} {'of peak':>8}")  # fmt: skip
    row = f"{result['group'] + ' ' + result['name']:36} {result['fastnn_seconds'] * 1e6:9.1f} us "
    row += f"{result['reference_seconds'] * 1e6:9.1f} us {result['ratio']:7.2f}x "
    if "torch_ratio" in result:
        row += f"{result['torch_seconds'] * 1e6:9.1f} us {result['torch_ratio']:7.2f}x "
    else:
        row += " " * 22 * torch
    row += f"{result['rate']:8.1f} {result['unit']:7}" + (f" {result['peak']:8.2f}" if "peak" in result else "")
    print(row.rstrip(), flush=True)
