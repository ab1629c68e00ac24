"""The kernels as functions on arrays.

Everywhere: arrays are NumPy arrays or anything NumPy can read (``__array__``, CPU ``__dlpack__``), of any layout. The dtype of the
result is ``np.result_type(x, np.float32)``, at most float64. ``out=`` must have the exact shape and dtype, is returned, and may be
the input of an elementwise call. Errors are raised before anything is written: ValueError for shapes and values, TypeError for
types and unknown keywords, IndexError for labels out of range. :mod:`fastnn.reference` holds the same functions in NumPy.
"""

from fastnn.functional.activations import *
from fastnn.functional.losses import *
from fastnn.functional.norms import *
from fastnn.functional.optimizers import *
from fastnn.functional.products import *

__all__ = [name for name, value in globals().items() if callable(value) and not name.startswith("_")]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where users find it, whatever room it is in
