"""What ``fastnn bench`` prints: a table of cases with a summary, or the machine's peak; as text or JSON."""

import importlib.metadata
import json
import statistics
import textwrap

from fastnn import _fastnn_core
from fastnn.benchmarks.cases import cases
from fastnn.benchmarks.machine import cpu, limits
from fastnn.benchmarks.peers import Peer, has_torch
from fastnn.benchmarks.timing import clock, copy_bandwidth, fma_peak, measure
from fastnn.num_threads import set_num_threads

WIDTH = 80  # columns of the terminal
SECONDS, QUICK_SECONDS = 0.3, 0.04  # per case and side
TITLES = {"numpy": "NumPy", "torch": "PyTorch"}
SUMMARIZED = {"numpy": "ratio", "torch": "torch_ratio", "peak": "peak"}  # the key in a result of measure()


def machine_facts(threads):
    """Return processor, ISA and threads as a dict of plain values."""
    return {"cpu": cpu(), "isa": _fastnn_core.isa(), "threads": threads}


def _version(package):
    """The version of a package that is there, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # it was put there by hand
        return "of unknown version"


def print_peak(threads=1, *, as_json=False):
    """Measure and print the machine's speed of multiply-adds and of memcpy.

    Parameters
    ----------
    threads : int
        That multiply and add.
    as_json : bool
    """
    fma_peak(threads)  # warms up
    result = machine_facts(threads)
    for name, samples in (
        ("fma_gflops", [statistics.median(fma_peak(threads) for _ in range(9)) for _ in range(9)]),
        ("copy_gbs", [copy_bandwidth() for _ in range(9)]),
    ):
        result[name] = median = statistics.median(samples)
        result[name + "_spread"] = (max(samples) - min(samples)) / median
    if as_json:
        print(json.dumps(result))
        return
    print(*machine_lines(result), "median of 9 repeats, and their spread", sep="\n")
    print(f"multiply-add peak {result['fma_gflops']:8.1f} GFLOP/s  {result['fma_gflops_spread']:6.1%}")
    print(f"memcpy, 1 thread  {result['copy_gbs']:8.1f} GB/s     {result['copy_gbs_spread']:6.1%}")


def print_cases(only="", seconds=None, threads=1, *, quick=False, as_json=False):
    """Measure cases and print a row for each when it is done and a summary in the end, or one JSON object in the end.

    Parameters
    ----------
    only : str
        Cases whose group and name contain it.
    seconds : float, optional
        Per case and side; without, 0.3, or 0.04 of a quick run.
    threads : int
        Of fastnn, for the rest of this process, and of each peer.
    quick : bool
        Fewer cases.
    as_json : bool

    Raises
    ------
    ValueError
        If no case contains the text.
    """
    set_num_threads(threads)
    chosen = [case for case in cases(quick) if only in f"{case.group} {case.name}"]
    if not chosen:
        raise ValueError(f"no case contains {only!r}")
    seconds = seconds or (QUICK_SECONDS if quick else SECONDS)
    names = ["numpy"] + ["torch"] * (has_torch() and any(case.torch for case in chosen))
    report = machine_facts(threads) | {
        "peers": {name: _version(name) for name in names},
        "limits": limits(),
        "start": clock(threads),
    }
    peers, results = {name: Peer(name, threads) for name in names}, []
    if not as_json:
        print(*head_lines(report), sep="\n", flush=True)
    try:
        for case in chosen:
            results.append(measure(case, seconds, threads, peers))
            if not as_json:
                print(row(results[-1]), *row_lines(results[-1]), sep="\n", flush=True)
    finally:
        for peer in peers.values():
            peer.close()
    report["end"] = clock(threads)
    report["clock_ratio"] = report["end"]["fma_gflops"] / report["start"]["fma_gflops"]
    report["summary"] = summarize(results)
    if as_json:
        print(json.dumps(report | {"results": results}))
    else:
        print(*summary_lines(report), sep="\n")


def machine_lines(facts):
    """Return what :func:`machine_facts` found, in lines."""
    return textwrap.wrap(f"{facts['cpu']}; isa {facts['isa']}, {facts['threads']} thread(s)", WIDTH)


def head_lines(report):
    """Return the lines above the rows: the machine, the peers and what holds them back, the heads of the columns."""
    peers = ", ".join(f"{TITLES[name]} {version}" for name, version in report["peers"].items())
    held = ", ".join(f"{name}={value}" for name, value in report["limits"].items())
    return [
        *machine_lines(report),
        *textwrap.wrap(f"float32, against {peers}" + f", held back by {held}" * bool(held), WIDTH),
        "medians of interleaved runs, the same threads on each side; verified first",
        "",
        f"{'':43}{'times as fast as':>17}",
        f"{'case':34}{'us':>9}{'NumPy':>8}{'PyTorch':>9}{'rate':>7}{'of peak':>13}",
    ]


def row(result):
    """Return the line of one result of :func:`~fastnn.benchmarks.measure`."""
    microseconds = result["fastnn_seconds"] * 1e6
    torch = _times(result["torch_ratio"]) if "torch_ratio" in result else "-"
    line = f"{result['group'] + ' ' + result['name']:34}{microseconds:9.{1 if microseconds < 1e5 else 0}f}"
    line += f"{_times(result['ratio']):>8}{torch:>9}{result['rate']:7.1f} {result['unit']:7}"
    return (line + (f"{result['peak']:5.0%}" if "peak" in result else "")).rstrip()


def row_lines(result):
    """Return the lines below the row of a training step: what takes the time, from 2 % on."""
    parts = [f"{name} {share:.0%}" for name, share in result.get("rows", ()) if share >= 0.02]
    return textwrap.wrap("; ".join(parts), WIDTH, initial_indent="    ", subsequent_indent="    ")


def _times(ratio):
    return f"{ratio:.2f}x" if ratio < 100 else f"{ratio:.0f}x"


def summarize(results):
    """Sum up, against NumPy, against PyTorch and for the share of the peak, each group of results and all of them.

    Parameters
    ----------
    results : list of dict
        Of :func:`~fastnn.benchmarks.measure`.

    Returns
    -------
    dict of str to dict
        By "numpy", "torch" and "peak", as far as measured, then by group and "all": ``cases``, their number; ``geometric_mean``;
        ``worst``, the lowest value, and ``worst_case``, which has it; ``below_1``, the share of the cases with a value below 1.
    """
    summary = {}
    for name, key in SUMMARIZED.items():
        groups = {}
        for result in results:
            if key in result:
                groups.setdefault(result["group"], []).append((result[key], result["name"]))
        if groups:
            whole = [(value, f"{group} {case}") for group, values in groups.items() for value, case in values]
            summary[name] = {group: _sum_up(values) for group, values in (groups | {"all": whole}).items()}
    return summary


def _sum_up(values):
    ratios, (worst, worst_case) = [ratio for ratio, _ in values], min(values)
    return {
        "cases": len(values),
        "geometric_mean": statistics.geometric_mean(ratios),
        "worst": worst,
        "worst_case": worst_case,
        "below_1": sum(ratio < 1 for ratio in ratios) / len(ratios),
    }


def summary_lines(report):
    """Return the lines below the rows: each table of :func:`summarize`, and the clock at the start and at the end."""
    lines = []
    for name, groups in report["summary"].items():
        shares = name == "peak"
        title = "share of peak" if shares else f"against {TITLES[name]}"
        lines += ["", f"{title:16}{'cases':>6}{'geomean':>9}{'' if shares else 'below 1':>8}{'worst':>7}"]
        for group, found in groups.items():
            mean, worst = (f"{x:.0%}" if shares else _times(x) for x in (found["geometric_mean"], found["worst"]))
            below = "" if shares else f"{found['below_1']:.0%}"
            lines.append(f"{group:16}{found['cases']:6}{mean:>9}{below:>8}{worst:>7} {found['worst_case']}")
    start, end = report["start"], report["end"]
    return [
        *lines,
        "",
        f"multiply-adds of {report['isa']}: {start['fma_gflops']:.1f} GFLOP/s at the start, {end['fma_gflops']:.1f} at the end",
        f"clock ratio {report['clock_ratio']:.2f}; {start['lost']:.0%} and {end['lost']:.0%} of the time went to other programs",
    ]
