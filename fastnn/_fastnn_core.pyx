# The one extension module: gates between NumPy arrays and the kernels of csrc/.
#
# Design
# A. One gate per kind of array (input, matrix, output, in-place, labels) checks or converts it; a function is then: gates,
#    one nogil call, delivery of the output. Names, signatures and docstrings stand in functional/.
# B. cimport numpy instead of typed memoryviews: a memoryview costs 0.1 to 0.5 us an argument.
# C. Errors are one line: function, argument, what came, what was expected. Nothing is written before all gates are passed.
# D. dtype is FNN_F32 or FNN_F64, the larger of what np.result_type(argument, float32) gives for the arguments.

import operator
import os
from collections import namedtuple

import numpy as np

cimport numpy as cnp
from numpy cimport NPY_FLOAT32, NPY_FLOAT64, ndarray, npy_intp
from numpy cimport PyArray_DATA as data, PyArray_SIZE as size, PyArray_TYPE as typenum
from cpython.exc cimport PyErr_CheckSignals
from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport INFINITY, NAN, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastnn.kernels cimport *

include "core/gates.pxi"
include "core/activations.pxi"
include "core/products.pxi"
include "core/losses.pxi"
include "core/norms.pxi"
include "core/optimizers.pxi"
include "core/layers.pxi"
include "core/network.pxi"
include "core/runtime.pxi"
