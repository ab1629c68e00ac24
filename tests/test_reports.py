"""What `fastnn bench` says: the machine, rows and summary in 80 columns, JSON; of measurements that are made up."""

import json
import sys
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fnn
from fastnn import benchmarks, cli
from fastnn.benchmarks import machine, report

CASES = benchmarks.cases()


CPU = "AMD EPYC, family 25 model 17"


@pytest.fixture
def peaks(monkeypatch):
    """Peaks of 0, 1, 2 ... and bandwidths of 10, 11, ...; the threads that were asked for."""
    numbers, bandwidths, threads = count(), count(10), []
    monkeypatch.setattr(report, "fma_peak", lambda n: threads.append(n) or float(next(numbers)))
    monkeypatch.setattr(report, "copy_bandwidth", lambda: float(next(bandwidths)))
    monkeypatch.setattr(report, "cpu", lambda: CPU)
    return threads


def test_the_peak_as_text(peaks, capsys):
    report.print_peak()
    assert capsys.readouterr().out == (
        f"{CPU}; isa {fnn.isa()}, 1 thread(s)\n"
        "median of 9 repeats, and their spread\n"
        "multiply-add peak     41.0 GFLOP/s  175.6%\n"
        "memcpy, 1 thread      14.0 GB/s      57.1%\n"
    )
    assert set(peaks) == {1}


def test_the_peak_as_json(peaks, capsys):
    report.print_peak(2, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    spreads = {"fma_gflops_spread": (77 - 5) / 41, "copy_gbs_spread": (18 - 10) / 14}
    assert printed.pop("cpu") == CPU
    assert printed.pop("isa") == fnn.isa()
    assert printed == pytest.approx({"threads": 2, "fma_gflops": 41, "copy_gbs": 14, **spreads})
    assert set(peaks) == {2}


RESULTS = {
    "first": {"fastnn_seconds": 1e-6, "reference_seconds": 2.5e-6, "ratio": 2.5, "rate": 30.0, "unit": "GFLOP/s", "peak": 0.75},
    "second": {"fastnn_seconds": 2e-6, "reference_seconds": 1e-6, "ratio": 0.5, "rate": 4.0, "unit": "GB/s",
               "torch_seconds": 3e-6, "torch_ratio": 1.5}}  # fmt: skip


@pytest.fixture
def measured(monkeypatch):
    """Two cases, one of which PyTorch has, with made-up results; a quick run has the second only. What was asked for."""
    seen, before = SimpleNamespace(measured=[], peers=[], closed=[], clocks=[]), fnn.get_num_threads()
    cases = [
        benchmarks.Case("group", name, 1, "GB/s", None, torch=torch)
        for name, torch in (("first", None), ("second", print))
    ]

    def peer(name, threads):
        seen.peers.append((name, threads))
        return SimpleNamespace(name=name, close=lambda: seen.closed.append(name))

    def measure(case, seconds, threads, peers):
        assert fnn.get_num_threads() == threads
        seen.measured.append((case.name, seconds, threads, sorted(peers)))
        return {"group": "group", "name": case.name, **RESULTS[case.name]}

    def clock(threads):
        seen.clocks.append((threads, len(seen.measured)))
        return {"fma_gflops": 100.0 / len(seen.clocks), "lost": 0.0}

    monkeypatch.setattr(report, "cases", lambda quick: cases[1:] if quick else cases)
    monkeypatch.setattr(report, "Peer", peer)
    monkeypatch.setattr(report, "measure", measure)
    monkeypatch.setattr(report, "has_torch", lambda: True)
    monkeypatch.setattr(report, "clock", clock)
    monkeypatch.setattr(report, "cpu", lambda: CPU)
    monkeypatch.setattr(report, "limits", lambda: {})
    monkeypatch.setattr(report, "_version", {"numpy": "2.4", "torch": "2.13"}.get)
    yield seen
    fnn.set_num_threads(before)


def head(threads, peers="NumPy 2.4, PyTorch 2.13"):
    return (
        f"{CPU}; isa {fnn.isa()}, {threads} thread(s)\n"
        f"float32, against {peers}\n"
        "medians of interleaved runs, the same threads on each side; verified first\n\n"
        "                                            times as fast as\n"
        "case                                     us   NumPy  PyTorch   rate      of peak\n"
    )


FIRST = "group first                             1.0   2.50x        -   30.0 GFLOP/s  75%\n"
SECOND = "group second                            2.0   0.50x    1.50x    4.0 GB/s\n"


def test_results_as_text_beside_numpy_and_pytorch(measured, capsys):
    report.print_cases()
    printed, both = capsys.readouterr().out, ["numpy", "torch"]
    assert printed.startswith(head(1) + FIRST + SECOND + "\nagainst NumPy    cases ")
    assert printed.endswith("\nclock ratio 0.50; 0% and 0% of the time went to other programs\n")
    assert measured.measured == [("first", 0.3, 1, both), ("second", 0.3, 1, both)]
    assert measured.peers == [("numpy", 1), ("torch", 1)]
    assert measured.closed == both
    assert measured.clocks == [(1, 0), (1, 2)], "before and after"


def test_results_as_text_without_pytorch(measured, capsys):
    report.print_cases("group first", 2, 3)
    assert capsys.readouterr().out.startswith(head(3, "NumPy 2.4") + FIRST + "\n")
    assert measured.measured == [("first", 2, 3, ["numpy"])]
    assert measured.peers == [("numpy", 3)]


@pytest.mark.parametrize(("given", "seconds"), [((), 0.04), (("", 2), 2)])
def test_a_quick_run_measures_fewer_cases_for_less_time(measured, capsys, given, seconds):
    report.print_cases(*given, quick=True)
    assert capsys.readouterr().out.startswith(head(1) + SECOND + "\n")
    assert measured.measured == [("second", seconds, 1, ["numpy", "torch"])]


def test_results_as_json(measured, capsys, monkeypatch):
    monkeypatch.setattr(report, "has_torch", lambda: False)
    report.print_cases(threads=2, as_json=True)
    results = [{"group": "group", "name": name, **RESULTS[name]} for name in ("first", "second")]
    assert json.loads(capsys.readouterr().out) == {
        "cpu": CPU, "isa": fnn.isa(), "threads": 2, "peers": {"numpy": "2.4"}, "limits": {},
        "start": {"fma_gflops": 100, "lost": 0}, "end": {"fma_gflops": 50, "lost": 0}, "clock_ratio": 0.5,
        "summary": report.summarize(results), "results": results}  # fmt: skip
    assert measured.closed == ["numpy"]


def test_the_version_of_a_package_is_known_without_an_import():
    assert report._version("numpy") == np.__version__
    assert report._version("no such package") == "of unknown version"


def test_peers_end_with_a_measurement_that_fails(measured, monkeypatch):
    def measure(*arguments):
        raise AssertionError("first: relative difference 1")

    monkeypatch.setattr(report, "measure", measure)
    with pytest.raises(AssertionError):
        report.print_cases()
    assert measured.closed == ["numpy", "torch"]


def test_no_case_contains_the_text(measured):
    with pytest.raises(ValueError, match="^no case contains 'third'$"):
        report.print_cases("third")
    assert measured.peers == []


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ("bench", ("cases", "", None, 1, False, False)),
        ("bench --only relu --seconds 2 --threads 3 --json", ("cases", "relu", 2, 3, False, True)),
        ("bench --quick", ("cases", "", None, 1, True, False)),
        ("bench --peak", ("peak", 1, False)),
        ("bench --peak --threads 2 --json", ("peak", 2, True)),
    ],
)
def test_the_command_line_asks_for_a_report(arguments, call, monkeypatch):
    calls = []
    monkeypatch.setattr(
        report, "print_cases", lambda *given, quick, as_json: calls.append(("cases", *given, quick, as_json))
    )
    monkeypatch.setattr(report, "print_peak", lambda *given, as_json: calls.append(("peak", *given, as_json)))
    cli.main(arguments.split())
    assert calls == [call]


# ---------------------------------------------------------------------------------------------------------------- machine

LINUX_X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC   9R14
stepping\t: 1

processor\t: 1
cpu family\t: 26
model name\t: another
"""
LINUX_ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n"
MACOS_X86 = """machdep.cpu.brand_string: Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz
machdep.cpu.family: 6
machdep.cpu.model: 158
machdep.cpu.extmodel: 9
"""


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (LINUX_X86, "AMD EPYC 9R14, family 25 model 17"),
        (LINUX_ARM, "unknown CPU, implementer 0x41 part 0xd0c"),
        (MACOS_X86, "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz, family 6 model 158"),
        ("machdep.cpu.cores_per_package: 8\nmachdep.cpu.brand_string: Apple M1\n", "Apple M1"),
        (
            "model name: Intel64 Family 6 Model 85 Stepping 7, GenuineIntel",
            "Intel64 Family 6 Model 85 Stepping 7, GenuineIntel",
        ),
        ("model name\t:\nno colon here\n", "unknown CPU"),
        ("", "unknown CPU"),
    ],
)
def test_a_processor_is_described_by_its_name_and_numbers(text, described):
    assert machine.describe_cpu(text) == described


def test_each_system_is_asked_in_its_own_way(monkeypatch):
    monkeypatch.setattr(machine.Path, "read_text", lambda path: {"/proc/cpuinfo": LINUX_X86}[str(path)])
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine.cpu() == "AMD EPYC 9R14, family 25 model 17"
    monkeypatch.setattr(sys, "platform", "darwin")
    asked = []
    monkeypatch.setattr(
        machine.subprocess, "run", lambda command, **_: asked.append(command) or SimpleNamespace(stdout=MACOS_X86)
    )
    assert machine.cpu().startswith("Intel(R) Core(TM) i7-9750H")
    assert asked == [["sysctl", "machdep.cpu"]]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(machine.platform, "processor", lambda: "AMD64 Family 25 Model 33 Stepping 2, AuthenticAMD")
    assert machine.cpu() == "AMD64 Family 25 Model 33 Stepping 2, AuthenticAMD"


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_a_system_that_does_not_tell_has_an_unknown_cpu(system, monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(machine.Path, "read_text", absent)
    monkeypatch.setattr(machine.subprocess, "run", absent)
    assert machine.cpu() == "unknown CPU"


def test_what_holds_peers_back_is_found_in_the_environment(monkeypatch):
    for name in ("MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert machine.limits() == {"OPENBLAS_CORETYPE": "Haswell"}


# ---------------------------------------------------------------------------------------------------------------- summary


def result_of(group, name, ratio, torch_ratio=None, peak=None, unit="GFLOP/s", seconds=1e-6):
    return {
        "group": group, "name": name, "fastnn_seconds": seconds, "reference_seconds": seconds * ratio, "ratio": ratio, "rate": 3.0,
        "unit": unit, **({"torch_ratio": torch_ratio} if torch_ratio else {}), **({"peak": peak} if peak else {})}  # fmt: skip


MEASURED = [
    result_of("matmul", "small", 2.0, 0.5, 0.25),
    result_of("matmul", "large", 0.5, 0.25, 1.0),
    result_of("forward", "relu", 8.0, 2.0, unit="GB/s"),
    result_of("forward", "square", 1.0, unit="GB/s"),
]


def test_a_summary_has_each_group_and_all_against_each_peer():
    def found(cases, geometric_mean, worst, worst_case, below_1):
        mean = pytest.approx(geometric_mean)
        return {"cases": cases, "geometric_mean": mean, "worst": worst, "worst_case": worst_case, "below_1": below_1}

    assert report.summarize(MEASURED) == {
        "numpy": {
            "matmul": found(2, 1.0, 0.5, "large", 0.5),
            "forward": found(2, 8**0.5, 1.0, "square", 0.0),
            "all": found(4, 8**0.25, 0.5, "matmul large", 0.25),
        },
        "torch": {
            "matmul": found(2, 8**-0.5, 0.25, "large", 1.0),
            "forward": found(1, 2.0, 2.0, "relu", 0.0),
            "all": found(3, 0.25 ** (1 / 3), 0.25, "matmul large", 2 / 3),
        },
        "peak": {
            "matmul": found(2, 0.5, 0.25, "small", 0.5),
            "all": found(2, 0.5, 0.25, "matmul small", 0.5),
        },
    }
    assert list(report.summarize(MEASURED[3:])) == ["numpy"], "neither PyTorch nor products"


def report_of(results, **facts):
    given = {
        "start": {"fma_gflops": 118.04, "lost": 0.0},
        "end": {"fma_gflops": 59.02, "lost": 0.256},
        "clock_ratio": 0.5,
    }
    return given | {
        "cpu": CPU, "isa": "avx512", "threads": 1, "peers": {"numpy": "2.4.6", "torch": "2.13.0+cpu"},
        "limits": {}, "summary": report.summarize(results), **facts}  # fmt: skip


def test_the_lines_of_a_summary():
    assert report.summary_lines(report_of(MEASURED)) == [
        "",
        "against NumPy    cases  geomean below 1  worst",
        "matmul               2    1.00x     50%  0.50x large",
        "forward              2    2.83x      0%  1.00x square",
        "all                  4    1.68x     25%  0.50x matmul large",
        "",
        "against PyTorch  cases  geomean below 1  worst",
        "matmul               2    0.35x    100%  0.25x large",
        "forward              1    2.00x      0%  2.00x relu",
        "all                  3    0.63x     67%  0.25x matmul large",
        "",
        "share of peak    cases  geomean          worst",
        "matmul               2      50%            25% small",
        "all                  2      50%            25% matmul small",
        "",
        "multiply-adds of avx512: 118.0 GFLOP/s at the start, 59.0 at the end",
        "clock ratio 0.50; 0% and 26% of the time went to other programs",
    ]


def test_the_head_says_which_machine_and_what_holds_peers_back():
    head = report.head_lines(report_of(MEASURED))
    assert head[:2] == [f"{CPU}; isa avx512, 1 thread(s)", "float32, against NumPy 2.4.6, PyTorch 2.13.0+cpu"]
    held = report.head_lines(
        report_of(MEASURED, limits={"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "avx2"})
    )
    assert " ".join(held).startswith(
        " ".join(head[:2]) + ", held back by OPENBLAS_CORETYPE=Haswell, ATEN_CPU_CAPABILITY=avx2 medians"
    )


def test_every_line_fits_80_columns():
    extremes = [(1e-6, 0.01, 0.0001), (98.7, 99.994, 0.999), (9.9999e-2, 12345.6, 1.0)]
    for seconds, ratio, peak in extremes:
        results = [
            result_of(case.group, case.name, ratio, ratio, peak if case.unit == "GFLOP/s" else None, case.unit, seconds)
            | {"rate": 9999.94}
            for case in CASES
        ]
        held = dict.fromkeys(
            ["OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "NPY_DISABLE_CPU_FEATURES"], "AVX512F AVX512CD"
        )
        for facts in (
            {},
            {
                "cpu": "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz, family 6 model 106",
                "isa": "portable",
                "limits": held,
            },
        ):
            found = report_of(results, **facts)
            rows = [report.row(result) for result in results]
            lines = [*report.head_lines(found), *rows, *report.summary_lines(found)]
            assert [line for line in lines if len(line) > 80 or line != line.rstrip()] == []
            assert all(line.startswith(f"{case.group} {case.name} ") for line, case in zip(rows, CASES, strict=True))


def test_rows_show_times_ratios_rates_and_the_share_of_the_peak():
    assert report.row(result_of("matmul", "1x2x3", 123.4, 0.256, 0.756)) == (
        "matmul 1x2x3                            1.0    123x    0.26x    3.0 GFLOP/s  76%"
    )
    assert report.row(result_of("forward", "relu", 1.0, unit="GB/s", seconds=0.25)) == (
        "forward relu                         250000   1.00x        -    3.0 GB/s"
    )
