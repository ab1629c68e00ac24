"""The cases of fastnn.benchmarks under pytest-benchmark: `pytest bench`; `pytest bench --benchmark-disable` only verifies them.

Each group holds one case, once by fastnn and once by the NumPy reference. Set OPENBLAS_NUM_THREADS=1 to compare one thread with one.
"""

import pytest

import fastnn
from fastnn.benchmarks import cases


@pytest.mark.parametrize("side", ["fastnn", "reference"])
@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.group} {case.name}")
def test_case(case, side, benchmark):
    case.verify()
    run = case.build()[side == "reference"]
    benchmark.group = f"{case.group} {case.name}"
    benchmark(run)
    benchmark.extra_info.update(side=side, isa=fastnn.isa(), threads=fastnn.get_num_threads())
    if benchmark.stats:  # absent with --benchmark-disable
        benchmark.extra_info[case.unit] = case.work / benchmark.stats.stats.median / 1e9
