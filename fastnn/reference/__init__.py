"""Every function of :mod:`fastnn.functional` in plain, vectorised NumPy: same names, same signatures.

In float64 these are the oracle of the tests; in float32 they are the baseline of the benchmarks, written as a competent user
of NumPy would: ``out=`` preallocated, the faster of two forms. The docstrings of :mod:`fastnn.functional` hold here too; checks
of arguments are NumPy's own.
"""

from fastnn.reference.activations import *
from fastnn.reference.losses import *
from fastnn.reference.norms import *
from fastnn.reference.optimizers import *
from fastnn.reference.products import *

__all__ = [name for name, value in globals().items() if callable(value) and not name.startswith("_")]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where users find it, whatever room it is in
