"""Benchmarks: each case is fastnn and the NumPy reference on the same data, verified, then timed interleaved.

``fastnn bench`` prints the list as a table; ``bench/test_*.py`` runs it under pytest-benchmark.
"""

from fastnn.benchmarks.cases import ELEMENTS, Case, cases
from fastnn.benchmarks.peers import Peer, ReferenceMLP, has_torch, serve
from fastnn.benchmarks.timing import copy_bandwidth, fma_peak, interleaved, measure
