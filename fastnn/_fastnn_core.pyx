# The one extension module: gates between NumPy arrays and the kernels of csrc/.
#
# Design
# A. One gate per kind of array (input, matrix, output, in-place, labels) checks or converts it; a function is then: gates,
#    one nogil call, delivery of the output. Names, signatures and docstrings stand in functional.py.
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
from libc.stdint cimport int64_t, uint32_t, uint64_t

cnp.import_array()

cdef extern from "fastnn.h" nogil:
    enum:
        FNN_OK, FNN_NO_MEMORY, FNN_BAD_LABEL
        FNN_F32, FNN_F64
        FNN_ROW_LANES, FNN_MAX_PARAMS
        FNN_ACTIVATION_COUNT, FNN_identity
        FNN_LOSS_mse
        NONZERO, NONNEGATIVE, POSITIVE

    ctypedef struct fnn_matrix:
        const void *data
        int64_t row, col

    ctypedef struct fnn_epilogue:
        const void *bias
        void *z
        int activation
        const double *params

    ctypedef struct fnn_target:
        const int64_t *labels
        const void *probabilities
        const void *class_weight
        const void *sample_weight
        int64_t ignore_index
        double label_smoothing

    ctypedef void (*fnn_loss_fn)(double *, void *, void *, const void *, const void *, const void *, double, int64_t,
                                 int64_t) noexcept nogil
    ctypedef void (*fnn_rows_fn)(void *, const void *, int64_t, int64_t) noexcept nogil
    ctypedef void (*fnn_rows_backward_fn)(void *, const void *, const void *, int64_t, int64_t) noexcept nogil

    ctypedef struct fnn_kernels:
        fnn_rows_fn sum_rows
        void (*to_panels)(void *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        void (*from_panels)(void *, int64_t, const void *, int64_t, int64_t) noexcept nogil
        void (*turn_panels)(void *, const void *, int64_t, int64_t) noexcept nogil
        int (*forward_panels)(void *, const void *, const void *, int64_t, int64_t, int64_t, int64_t,
                              const fnn_epilogue *) noexcept nogil
        int (*dx_panels)(void *, const void *, const void *, int64_t, int64_t, int64_t, int64_t) noexcept nogil
        int (*dweight_panels)(void *, int64_t, const void *, const void *, int64_t, int64_t, int64_t) noexcept nogil
        int64_t (*fma_chains)(int64_t) noexcept nogil
        void (*prelu_forward)(void *, const void *, const void *, int64_t, int64_t, int) noexcept nogil
        void (*prelu_backward)(void *, void *, double *, const void *, const void *, const void *, int64_t, int64_t,
                               int) noexcept nogil
        void (*maxout_forward)(void *, int64_t *, const void *, int64_t, int64_t) noexcept nogil
        void (*maxout_backward)(void *, const void *, const int64_t *, int64_t, int64_t) noexcept nogil
        fnn_rows_fn softmax_forward
        fnn_rows_fn log_softmax_forward
        fnn_rows_backward_fn softmax_backward
        fnn_rows_backward_fn log_softmax_backward
        void (*dropout)(void *, const void *, double, uint64_t, uint32_t, uint32_t, int64_t, int64_t) noexcept nogil
        int (*cross_entropy)(double *, void *, void *, int64_t *, const void *, const fnn_target *, int, int64_t,
                             int64_t) noexcept nogil
        fnn_loss_fn *losses
        void (*sgd)(void *, void *, const void *, int64_t, double, double, int, double) noexcept nogil
        void (*adam)(void *, void *, void *, const void *, int64_t, int64_t, double, double, double, double,
                     double) noexcept nogil

    ctypedef struct fnn_param:
        const char *name
        double value
        int accepted

    ctypedef struct fnn_activation_row:
        const char *name
        const char *layer
        char saves
        double ulp[4]
        double domain[2]
        fnn_param params[2]

    const fnn_activation_row *fnn_activation_rows

    int fnn_isa_count()
    const char *fnn_isa_name(int i)
    int fnn_isa_supported(int i)
    int fnn_isa_active()
    int fnn_isa_use(const char *name)
    const fnn_kernels *fnn_active(int dtype)

    enum:
        FNN_MAX_THREADS
    void fnn_set_num_threads(int n)
    int fnn_get_num_threads()
    int fnn_set_thread_bound(int n)
    int fnn_force_threads(int on)
    int fnn_threads_of_last_job()
    void fnn_forward(int, int, void *, const void *, int64_t, const double *) noexcept nogil
    void fnn_backward(int, int, int, void *, const void *, const void *, int64_t, const double *) noexcept nogil
    int fnn_matmul(int, void *, int64_t, fnn_matrix, fnn_matrix, int64_t, int64_t, int64_t,
                   const fnn_epilogue *) noexcept nogil


# ---------------------------------------------------------------------------------------------------------------- gates

cdef ndarray _array(object x, str func, str arg):
    """Anything NumPy can read as an array."""
    if type(x) is ndarray:
        return x
    if not hasattr(x, "__array__") and hasattr(x, "__dlpack__"):
        x = np.from_dlpack(x)
    else:
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise ValueError(f"{func}: {arg} is no array of numbers: {error}") from None
    return x


cdef int _dtype(ndarray x, str func, str arg) except -1:
    """The dtype x is computed in: np.result_type(x, np.float32), refused beyond float64."""
    cdef int number = typenum(x)
    if number == NPY_FLOAT32:
        return FNN_F32
    if number == NPY_FLOAT64:
        return FNN_F64
    kind = x.dtype.kind
    if kind in "biu" or (kind == "f" and x.dtype.itemsize <= 8):
        return FNN_F32 if np.result_type(x.dtype, np.float32) == np.float32 else FNN_F64
    raise TypeError(f"{func}: {arg} has dtype {x.dtype} but a real dtype of at most float64 was expected")


cdef inline int _type_number(int dtype) noexcept:
    return NPY_FLOAT32 if dtype == FNN_F32 else NPY_FLOAT64


cdef inline int64_t _itemsize(int dtype) noexcept:
    return 4 if dtype == FNN_F32 else 8


cdef int64_t _copied = 0


def _copies():
    """How many inputs the gates have copied; for tests."""
    return _copied


cdef inline ndarray _ready(ndarray x, int dtype):
    """Input gate: x as a contiguous, aligned array of dtype in native byte order; x itself where it is one."""
    global _copied
    if typenum(x) == _type_number(dtype) and cnp.PyArray_ISCARRAY_RO(x):
        return x
    _copied += 1
    return cnp.PyArray_FROMANY(x, _type_number(dtype), 0, 0, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST
                               | cnp.NPY_ARRAY_NOTSWAPPED)


cdef inline ndarray _new(int ndim, npy_intp *shape, int dtype):
    return cnp.PyArray_EMPTY(ndim, shape, _type_number(dtype), 0)


cdef tuple _shape(ndarray x):
    return tuple([x.shape[i] for i in range(x.ndim)])


cdef ndarray _output(object out, int ndim, npy_intp *shape, int dtype, str func):
    """Output gate: the array a kernel writes. That is `out` where it is contiguous, else a new array; see _deliver."""
    cdef ndarray a
    cdef int i
    if out is None:
        return _new(ndim, shape, dtype)
    if not isinstance(out, ndarray):
        raise TypeError(f"{func}: out is {type(out).__name__} but an ndarray was expected")
    a = out
    if cnp.PyArray_NDIM(a) != ndim or not cnp.PyArray_CompareLists(a.shape, shape, ndim):
        raise ValueError(f"{func}: out has shape {_shape(a)} but {tuple([shape[i] for i in range(ndim)])} was expected")
    if typenum(a) != _type_number(dtype):
        raise TypeError(f"{func}: out has dtype {a.dtype} but {'float32' if dtype == FNN_F32 else 'float64'} was expected")
    if not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{func}: out is read-only")
    return a if cnp.PyArray_ISCARRAY(a) else _new(ndim, shape, dtype)


cdef ndarray _apart(ndarray written, object out, ndarray source, bint elementwise):
    """`written`, or a new array if it shares memory with an input that the kernel would still read. An elementwise kernel
    may write exactly onto an input; `source` has passed its own gate."""
    if written is not out:
        return written
    cdef char *start = cnp.PyArray_BYTES(written)
    cdef char *end = start + cnp.PyArray_NBYTES(written)
    cdef char *low = cnp.PyArray_BYTES(source)
    cdef char *high = low + cnp.PyArray_ITEMSIZE(source)
    cdef int i
    if elementwise and start == low:
        return written
    for i in range(source.ndim):
        if source.shape[i] == 0:
            return written
        if source.strides[i] > 0:
            high += source.strides[i] * (source.shape[i] - 1)
        else:
            low += source.strides[i] * (source.shape[i] - 1)
    if end <= low or high <= start:
        return written
    return cnp.PyArray_EMPTY(written.ndim, written.shape, typenum(written), 0)


cdef inline object _deliver(object out, ndarray written):
    if out is None or out is written:
        return written
    np.copyto(out, written)
    return out


cdef fnn_matrix _matrix(ndarray x, int64_t row, int64_t col) noexcept:
    cdef fnn_matrix m
    m.data = data(x)
    m.row = row
    m.col = col
    return m


cdef fnn_matrix _strided(ndarray x, int dtype) noexcept:
    """A 2-D array that passed _strided_ready, with its own strides."""
    return _matrix(x, x.strides[0] // _itemsize(dtype), x.strides[1] // _itemsize(dtype))


cdef ndarray _strided_ready(ndarray x, int dtype):
    """Matrix gate: x itself where a kernel can walk it by strides of whole elements, else a contiguous copy."""
    if (typenum(x) == _type_number(dtype) and cnp.PyArray_ISBEHAVED_RO(x)
            and x.strides[0] % _itemsize(dtype) == 0 and x.strides[1] % _itemsize(dtype) == 0):
        return x
    return _ready(x, dtype)


cdef inline int64_t _rows(ndarray x) noexcept:
    """The product of all dimensions but the last."""
    cdef int64_t n = 1
    cdef int i
    for i in range(x.ndim - 1):
        n *= x.shape[i]
    return n


cdef inline int64_t _last(ndarray x) noexcept:
    return x.shape[x.ndim - 1] if x.ndim else 1


cdef int _shape_like(npy_intp *shape, ndarray x, int64_t last) noexcept:
    """shape = x.shape with another last dimension; returns its length."""
    cdef int i
    for i in range(x.ndim - 1):
        shape[i] = x.shape[i]
    shape[x.ndim - 1] = last
    return x.ndim


cdef ndarray _as_matrix(ndarray x, int dtype):
    """x (..., k) as a matrix (rows, k); a view where possible."""
    return _strided_ready(x, dtype) if x.ndim == 2 else _ready(x, dtype).reshape(_rows(x), _last(x))


cdef ndarray _in_place(object x, str func, str arg):
    if not isinstance(x, ndarray):
        raise TypeError(f"{func}: {arg} is {type(x).__name__} but an ndarray was expected: it is updated in place")
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{func}: {arg} has dtype {x.dtype} but float32 or float64 was expected")
    if not x.flags.writeable:
        raise ValueError(f"{func}: {arg} is read-only but is updated in place")
    return x


cdef object _require_same_shape(str func, str a_name, ndarray a, str b_name, ndarray b):
    if not cnp.PyArray_SAMESHAPE(a, b):
        raise ValueError(f"{func}: {a_name} has shape {_shape(a)} but {b_name} has shape {_shape(b)}; equal shapes were expected")


cdef object _integer(object x, str func, str arg, object least, object most):
    try:
        n = operator.index(x)
    except TypeError:
        raise TypeError(f"{func}: {arg} is {x!r} but an integer was expected") from None
    if not least <= n <= most:
        raise ValueError(f"{func}: {arg} is {n} but an integer from {least} to {most} was expected")
    return n


cdef ndarray _labels(ndarray x, str func, str arg):
    """Label gate: a contiguous int64 array."""
    if x.dtype.kind not in "iu":
        raise TypeError(f"{func}: {arg} has dtype {x.dtype} but integers were expected")
    return cnp.PyArray_FROMANY(x, cnp.NPY_INT64, 0, 0, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST
                               | cnp.NPY_ARRAY_NOTSWAPPED)


# ---------------------------------------------------------------------------------------------------------- activations

ActivationInfo = namedtuple("ActivationInfo", "name params saves ulp ulp_backward domain layer ulp_float64 "
                            "ulp_backward_float64")


cdef dict _describe_activations():
    infos = {}
    for i in range(FNN_ACTIVATION_COUNT):
        row = &fnn_activation_rows[i]
        params = {}
        for j in range(FNN_MAX_PARAMS):
            if row.params[j].name == NULL:
                break
            params[row.params[j].name.decode()] = row.params[j].value
        name = row.name.decode()
        infos[name] = ActivationInfo(name, params, "x" if row.saves == b"x" else "y", row.ulp[0], row.ulp[1],
                                     (row.domain[0], row.domain[1]), row.layer.decode(), row.ulp[2], row.ulp[3])
    return infos


cdef dict _infos = _describe_activations()
cdef dict _row_of = {name: i for i, name in enumerate(_infos)}


def activations():
    return dict(_infos)


cdef int _row(object name, str func) except -1:
    if name is None:
        return FNN_identity
    row = _row_of.get(name)
    if row is None:
        raise ValueError(f"{func}: activation is {name!r} but one of {', '.join(_row_of)} was expected")
    return row


cdef int _params(double *values, int row, dict given, str func) except -1:
    """Fills values with the row's defaults and what is given."""
    cdef int i
    cdef const fnn_activation_row *r = &fnn_activation_rows[row]
    for i in range(FNN_MAX_PARAMS):
        values[i] = r.params[i].value
    if not given:
        return 0
    names = list(_infos[r.name.decode()].params)
    for name, value in given.items():
        if name not in names:
            raise TypeError(f"{func}: {name} is no parameter of {r.name.decode()}; expected: {', '.join(names) or 'none'}")
        i = names.index(name)
        try:
            values[i] = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{func}: {name} is {value!r} but a number was expected") from None
        if (r.params[i].accepted == NONZERO and values[i] == 0 or r.params[i].accepted == POSITIVE and not values[i] > 0
                or r.params[i].accepted == NONNEGATIVE and not values[i] >= 0):
            wanted = {NONZERO: "a number other than 0", NONNEGATIVE: "a number of at least 0",
                      POSITIVE: "a positive number"}[r.params[i].accepted]
            raise ValueError(f"{func}: {name} is {value} but {wanted} was expected")
    return 0


cdef bint _knows_y(int row, const double *params) noexcept:
    """Whether the derivative can be had from y: the row has that form, and it holds for these parameters."""
    cdef char saved = fnn_activation_rows[row].saves
    return saved == b"y" or saved == b"p" and params[0] >= 0 and params[1] >= 0


def saves(name, dict params):
    """"x" or "y": what the backward call of an activation with these parameters takes."""
    cdef double values[2]
    cdef int row = _row(name, "activation")
    _params(values, row, params, name)
    return "y" if _knows_y(row, values) else "x"


def activation_forward(str name, object x, dict params, object out):
    cdef double values[2]
    cdef int row = _row(name, name)
    _params(values, row, params, name)
    cdef ndarray source = _array(x, name, "x")
    cdef int dtype = _dtype(source, name, "x")
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim, source.shape, dtype, name), out, source, True)
    with nogil:
        fnn_forward(dtype, row, data(y), data(source), size(source), values)
    return _deliver(out, y)


cdef object _differentiate(ndarray dx, ndarray dy, ndarray saved, int row, bint from_y, const double *params,
                           int dtype):
    """dx = dy * f'(saved); contiguous arrays."""
    with nogil:
        fnn_backward(dtype, row, from_y, data(dx), data(dy), data(saved), size(dy), params)


def activation_backward(str name, object grad, object x, object y, dict params, object out):
    cdef str func = name + "_backward"
    cdef double values[2]
    cdef int row = _row(name, func)
    _params(values, row, params, func)
    if (x is None) == (y is None):
        raise TypeError(f"{func}: exactly one of x and y was expected but {'none' if x is None else 'both'} came")
    cdef bint from_y = x is None
    if from_y and not _knows_y(row, values):
        raise ValueError(f"{func}: y came but {name} has no derivative from y"
                         f"{' with a negative parameter' if fnn_activation_rows[row].saves == b'p' else ''}; pass x")
    cdef str arg = "y" if from_y else "x"
    cdef ndarray dy = _array(grad, func, "grad"), saved = _array(y if from_y else x, func, arg)
    _require_same_shape(func, "grad", dy, arg, saved)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(saved, func, arg))
    dy = _ready(dy, dtype)
    saved = _ready(saved, dtype)
    cdef ndarray dx = _apart(_output(out, dy.ndim, dy.shape, dtype, func), out, dy, True)
    dx = _apart(dx, out, saved, True)
    _differentiate(dx, dy, saved, row, from_y, values, dtype)
    return _deliver(out, dx)


def prelu(object x, object weight, object out):
    cdef ndarray source = _array(x, "prelu", "x"), w = _array(weight, "prelu", "weight")
    cdef int dtype = max(_dtype(source, "prelu", "x"), _dtype(w, "prelu", "weight"))
    source = _ready(source, dtype)
    w = _prelu_weight(source, w, dtype, "prelu")
    cdef ndarray y = _apart(_output(out, source.ndim, source.shape, dtype, "prelu"), out, source, True)
    y = _apart(y, out, w, False)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef int shared = size(w) == 1
    cdef int64_t batch = _rows(source), features = _last(source)
    with nogil:
        kernels.prelu_forward(data(y), data(source), data(w), batch, features, shared)
    return _deliver(out, y)


cdef ndarray _prelu_weight(ndarray x, ndarray weight, int dtype, str func):
    cdef int64_t n = size(weight)
    if weight.ndim > 1 or (n != 1 and n != _last(x)):
        raise ValueError(f"{func}: weight has shape {_shape(weight)} but (1,) or one value per feature of x {_shape(x)} was "
                         "expected")
    return _ready(weight, dtype)


def prelu_backward(object grad, object x, object weight):
    cdef str func = "prelu_backward"
    cdef ndarray dy = _array(grad, func, "grad"), source = _array(x, func, "x"), w = _array(weight, func, "weight")
    _require_same_shape(func, "grad", dy, "x", source)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(source, func, "x"), _dtype(w, func, "weight"))
    dy = _ready(dy, dtype)
    source = _ready(source, dtype)
    w = _prelu_weight(source, w, dtype, func)
    cdef int64_t batch = _rows(source), features = _last(source)
    cdef npy_intp padded = (features + FNN_ROW_LANES) // FNN_ROW_LANES * FNN_ROW_LANES
    cdef ndarray dx = _new(source.ndim, source.shape, dtype), dweight = _new(w.ndim, w.shape, dtype)
    cdef ndarray sums = _new(1, &padded, FNN_F64)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef int shared = size(w) == 1
    with nogil:
        kernels.prelu_backward(data(dx), data(dweight), <double *>data(sums), data(dy), data(source), data(w), batch,
                               features, shared)
    return dx, dweight


def maxout(object x, bint return_index, object out):
    cdef ndarray source = _array(x, "maxout", "x"), index = None
    cdef int dtype = _dtype(source, "maxout", "x")
    if source.ndim == 0 or _last(source) == 0:
        raise ValueError(f"maxout: x has shape {_shape(source)} but (..., units, pieces) with at least one piece was expected")
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim - 1, source.shape, dtype, "maxout"), out, source, False)
    cdef int64_t n = _rows(source), pieces = _last(source)
    cdef int64_t *winners = NULL
    if return_index:
        index = cnp.PyArray_EMPTY(source.ndim - 1, source.shape, cnp.NPY_INT64, 0)
        winners = <int64_t *>data(index)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    with nogil:
        kernels.maxout_forward(data(y), winners, data(source), n, pieces)
    return (_deliver(out, y), index) if return_index else _deliver(out, y)


def maxout_backward(object grad, object index, object pieces, object out):
    cdef str func = "maxout_backward"
    cdef ndarray dy = _array(grad, func, "grad"), chosen = _labels(_array(index, func, "index"), func, "index")
    _require_same_shape(func, "grad", dy, "index", chosen)
    cdef int dtype = _dtype(dy, func, "grad"), i
    cdef int64_t count = _integer(pieces, func, "pieces", 1, 2 ** 31), n = size(dy), u
    dy = _ready(dy, dtype)
    cdef const int64_t *winners = <const int64_t *>data(chosen)
    for u in range(n):
        if winners[u] < 0 or winners[u] >= count:
            raise IndexError(f"{func}: index has {winners[u]} but a piece in [0, {count}) was expected")
    cdef npy_intp shape[64]
    for i in range(dy.ndim):
        shape[i] = dy.shape[i]
    shape[dy.ndim] = count
    cdef ndarray dx = _apart(_output(out, dy.ndim + 1, shape, dtype, func), out, dy, False)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    with nogil:
        kernels.maxout_backward(data(dx), data(dy), winners, n, count)
    return _deliver(out, dx)


def dropout(object x, object p, object seed, object step, object out, object layer=0, object first=0):
    """functional.dropout for one of several layers, or for a part of an array that starts at element `first` of it."""
    cdef ndarray source = _array(x, "dropout", "x")
    cdef int dtype = _dtype(source, "dropout", "x")
    cdef double probability = p
    if not 0 <= probability <= 1:
        raise ValueError(f"dropout: p is {p} but a probability in [0, 1] was expected")
    cdef uint64_t key = _integer(seed, "dropout", "seed", 0, 2 ** 64 - 1)
    cdef uint32_t at = _integer(step, "dropout", "step", 0, 2 ** 32 - 1)
    cdef uint32_t stream = _integer(layer, "dropout", "layer", 0, 2 ** 32 - 1)
    cdef int64_t start = _integer(first, "dropout", "first", 0, 2 ** 62)
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim, source.shape, dtype, "dropout"), out, source, True)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    with nogil:
        kernels.dropout(data(y), data(source), probability, key, at, stream, start, size(source))
    return _deliver(out, y)


# ------------------------------------------------------------------------------------------------------ matrix products

cdef object _multiply(ndarray c, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k, int dtype,
                      const fnn_epilogue *epilogue):
    """c (m, n), contiguous, = epilogue(a (m, k) @ b (k, n)); epilogue may be NULL."""
    cdef fnn_epilogue nothing
    cdef int code
    if epilogue == NULL:
        nothing.bias = NULL
        nothing.z = NULL
        nothing.activation = FNN_identity
        nothing.params = NULL
        epilogue = &nothing
    with nogil:
        code = fnn_matmul(dtype, data(c), n, a, b, m, n, k, epilogue)
    if code == FNN_NO_MEMORY:
        raise MemoryError("fastnn: no memory for scratch space")


def matmul(object a, object b, object out):
    cdef ndarray left = _array(a, "matmul", "a"), right = _array(b, "matmul", "b"), c
    cdef int dtype = max(_dtype(left, "matmul", "a"), _dtype(right, "matmul", "b"))
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError(f"matmul: a {_shape(left)} and b {_shape(right)} need at least one dimension each")
    if right.ndim > 2:
        raise ValueError(f"matmul: b has shape {_shape(right)} but at most two dimensions were expected")
    cdef int64_t k = _last(left), m = _rows(left), n = right.shape[1] if right.ndim == 2 else 1
    if right.shape[0] != k:
        raise ValueError(f"matmul: a has {k} columns but b has {right.shape[0]} rows (a {_shape(left)}, b {_shape(right)})")
    cdef npy_intp shape[64]
    cdef int ndim = _shape_like(shape, left, n) - (right.ndim == 1)
    left = _as_matrix(left, dtype)
    right = _strided_ready(right if right.ndim == 2 else right.reshape(-1, 1), dtype)
    c = _apart(_apart(_output(out, ndim, shape, dtype, "matmul"), out, left, False), out, right, False)
    _multiply(c, _strided(left, dtype), _strided(right, dtype), m, n, k, dtype, NULL)
    return _deliver(out, c)


def _panels(str form, ndarray out, ndarray first, ndarray second, int64_t batch, int64_t outputs, int64_t inputs,
            ndarray bias=None, activation=None):
    """A form of a compiled network (fastnn.h), on contiguous arrays of one dtype whose sizes are right; for tests and
    benchmarks."""
    cdef int dtype = _dtype(first, "_panels", "first"), code = 0
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef double values[2]
    cdef fnn_epilogue epilogue
    epilogue.bias = _data(bias)
    epilogue.z = NULL
    epilogue.activation = _row(activation, "_panels")
    epilogue.params = values
    _params(values, epilogue.activation, {}, "_panels")
    if form == "to":
        kernels.to_panels(data(out), data(first), inputs, batch, inputs)
    elif form == "from":
        kernels.from_panels(data(out), inputs, data(first), batch, inputs)
    elif form == "turn":
        kernels.turn_panels(data(out), data(first), batch, inputs)
    elif form == "forward":
        code = kernels.forward_panels(data(out), data(first), data(second), inputs, batch, outputs, inputs, &epilogue)
    elif form == "dx":
        code = kernels.dx_panels(data(out), data(first), data(second), inputs, batch, outputs, inputs)
    else:
        code = kernels.dweight_panels(data(out), inputs, data(first), data(second), batch, outputs, inputs)
    if code == FNN_NO_MEMORY:
        raise MemoryError("fastnn: no memory for scratch space")
    return out


def _fma_chains(int64_t steps, int dtype=FNN_F32):
    """Run 12 independent chains of multiply-adds in registers; returns how many operations; for benchmarks."""
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    with nogil:
        steps = kernels.fma_chains(steps)
    return steps


cdef object _check_weight(ndarray x, ndarray weight, str func):
    if weight.ndim != 2:
        raise ValueError(f"{func}: weight has shape {_shape(weight)} but (out_features, in_features) was expected")
    if x.ndim == 0 or _last(x) != weight.shape[1]:
        raise ValueError(f"{func}: x has {_last(x)} features but weight expects {weight.shape[1]} "
                         f"(x {_shape(x)}, weight {_shape(weight)})")


def linear(object x, object weight, object bias, object activation, object out, bint return_preactivation, dict params):
    cdef double values[2]
    cdef int row = _row(activation, "linear")
    _params(values, row, params, "linear")
    cdef ndarray source = _array(x, "linear", "x"), w = _array(weight, "linear", "weight"), b = None, y, z = None
    cdef int dtype = max(_dtype(source, "linear", "x"), _dtype(w, "linear", "weight"))
    _check_weight(source, w, "linear")
    cdef int64_t m = _rows(source), n = w.shape[0], k = w.shape[1]
    if bias is not None:
        b = _array(bias, "linear", "bias")
        if b.ndim != 1 or b.shape[0] != n:
            raise ValueError(f"linear: bias has shape {_shape(b)} but ({n},) was expected (weight {_shape(w)})")
        dtype = max(dtype, _dtype(b, "linear", "bias"))
        b = _ready(b, dtype)
    cdef npy_intp shape[64]
    y = _output(out, _shape_like(shape, source, n), shape, dtype, "linear")
    source = _as_matrix(source, dtype)
    w = _strided_ready(w, dtype)
    y = _apart(_apart(y, out, source, False), out, w, False)
    if b is not None:
        y = _apart(y, out, b, False)
    cdef fnn_epilogue epilogue
    epilogue.bias = NULL if b is None else data(b)
    epilogue.z = NULL
    epilogue.activation = row
    epilogue.params = values
    if return_preactivation and row != FNN_identity:
        z = cnp.PyArray_EMPTY(y.ndim, y.shape, typenum(y), 0)
        epilogue.z = data(z)
    _multiply(y, _strided(source, dtype), _strided(w.T, dtype), m, n, k, dtype, &epilogue)
    if return_preactivation:
        return _deliver(out, y), y.copy() if z is None else z
    return _deliver(out, y)


def linear_backward(object grad, object x, object weight, object activation, object z, object y, bint need_dx, dict params):
    cdef str func = "linear_backward"
    cdef double values[2]
    cdef int row = _row(activation, func)
    _params(values, row, params, func)
    cdef ndarray dy = _array(grad, func, "grad"), source = _array(x, func, "x"), w = _array(weight, func, "weight"), saved
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(source, func, "x"), _dtype(w, func, "weight"))
    _check_weight(source, w, func)
    cdef int64_t batch = _rows(source), features = w.shape[1], outputs = w.shape[0]
    cdef npy_intp shape[64]
    if dy.ndim != _shape_like(shape, source, outputs) or not cnp.PyArray_CompareLists(dy.shape, shape, dy.ndim):
        raise ValueError(f"{func}: grad has shape {_shape(dy)} but {tuple([shape[i] for i in range(source.ndim)])} was expected "
                         f"(x {_shape(source)}, weight {_shape(w)})")
    cdef bint from_y = y is not None and _knows_y(row, values)
    if row == FNN_identity:
        dy = _ready(dy, dtype)
    else:
        if not from_y and z is None:
            raise TypeError(f"{func}: {activation} needs {'z or y' if _knows_y(row, values) else 'z'} of the forward call")
        saved = _array(y if from_y else z, func, "y" if from_y else "z")
        _require_same_shape(func, "grad", dy, "y" if from_y else "z", saved)
        dtype = max(dtype, _dtype(saved, func, "y" if from_y else "z"))
        dy = _ready(dy, dtype)
        dz = _new(dy.ndim, dy.shape, dtype)
        _differentiate(dz, dy, _ready(saved, dtype), row, from_y, values, dtype)
        dy = dz
    cdef ndarray dx = None, rows = _as_matrix(source, dtype), dz2 = dy.reshape(batch, outputs)
    cdef ndarray dweight = _new(2, w.shape, dtype), dbias = _new(1, w.shape, dtype)
    w = _strided_ready(w, dtype)
    if need_dx:
        dx = _new(source.ndim, source.shape, dtype)
        _multiply(dx, _strided(dz2, dtype), _strided(w, dtype), batch, features, outputs, dtype, NULL)
    _multiply(dweight, _matrix(dz2, 1, outputs), _strided(rows, dtype), outputs, features, batch, dtype, NULL)
    cdef fnn_rows_fn kernel = fnn_active(dtype).sum_rows
    with nogil:
        kernel(data(dbias), data(dz2), batch, outputs)
    return dx, dweight, dbias


# -------------------------------------------------------------------------------------------------- softmax and the losses

cdef ndarray _axis_last(ndarray x, int axis, int dtype):
    return _ready(x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1), dtype)


cdef int _axis(object axis, ndarray x, str func) except -1:
    cdef int a = _integer(axis, func, "axis", -x.ndim, x.ndim - 1)
    return a if a >= 0 else a + x.ndim


def softmax(str func, object x, object axis, object out):
    """softmax or log_softmax."""
    cdef ndarray source = _array(x, func, "x"), y
    cdef int dtype = _dtype(source, func, "x"), last = _axis(axis, source, func)
    cdef bint moved = last != source.ndim - 1
    y = _output(out, source.ndim, source.shape, dtype, func)
    source = _axis_last(source, last, dtype)
    y = _new(source.ndim, source.shape, dtype) if moved else _apart(y, out, source, True)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef fnn_rows_fn kernel = kernels.softmax_forward if func == "softmax" else kernels.log_softmax_forward
    cdef int64_t batch = _rows(source), classes = _last(source)
    with nogil:
        kernel(data(y), data(source), batch, classes)
    return _deliver_moved(out, y, moved, last)


cdef object _deliver_moved(object out, ndarray y, bint moved, int axis):
    if moved:
        y = np.moveaxis(y, -1, axis)
        if out is None:
            y = np.ascontiguousarray(y)
    return _deliver(out, y)


def softmax_backward(str func, object grad, object y, object axis, object out):
    """softmax_backward or log_softmax_backward."""
    cdef ndarray dy = _array(grad, func, "grad"), result = _array(y, func, "y"), dx
    _require_same_shape(func, "grad", dy, "y", result)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(result, func, "y")), last = _axis(axis, dy, func)
    cdef bint moved = last != dy.ndim - 1
    dx = _output(out, dy.ndim, dy.shape, dtype, func)
    dy = _axis_last(dy, last, dtype)
    result = _axis_last(result, last, dtype)
    dx = _new(dy.ndim, dy.shape, dtype) if moved else _apart(_apart(dx, out, dy, True), out, result, True)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef fnn_rows_backward_fn kernel = kernels.softmax_backward if func == "softmax_backward" \
        else kernels.log_softmax_backward
    cdef int64_t batch = _rows(dy), classes = _last(dy)
    with nogil:
        kernel(data(dx), data(dy), data(result), batch, classes)
    return _deliver_moved(out, dx, moved, last)


cdef ndarray _weights(object weight, int64_t n, int dtype, str func, str arg):
    """A weight per class or per sample."""
    cdef ndarray w = _array(weight, func, arg)
    if w.ndim == 2 and w.shape[1] == 1:
        w = w.reshape(-1)
    if w.ndim != 1 or w.shape[0] != n:
        raise ValueError(f"{func}: {arg} has shape {_shape(w)} but ({n},) was expected")
    return _ready(w, dtype) if _dtype(w, func, arg) <= dtype else w.astype(np.float32)


cdef int _reduction(object reduction, str func) except -1:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{func}: reduction is {reduction!r} but 'mean', 'sum' or 'none' was expected")
    return ("mean", "sum", "none").index(reduction)


def cross_entropy(str func, object logits, object target, object weight, object sample_weight, object ignore_index,
                  object label_smoothing, object reduction, bint with_grad, object out):
    """cross_entropy or cross_entropy_with_grad."""
    cdef ndarray x = _array(logits, func, "logits"), t = _array(target, func, "target"), dlogits = None, losses = None
    cdef ndarray class_weights = None, sample_weights = None
    cdef int dtype = _dtype(x, func, "logits"), kind = _reduction(reduction, func)
    if not 1 <= x.ndim <= 2:
        raise ValueError(f"{func}: logits have shape {_shape(x)} but (batch, classes) or (classes,) was expected")
    cdef int64_t batch = _rows(x), classes = _last(x), bad_row = 0
    cdef fnn_target spec
    spec.labels = NULL
    spec.probabilities = NULL
    spec.class_weight = NULL
    spec.sample_weight = NULL
    spec.ignore_index = ignore_index
    spec.label_smoothing = label_smoothing
    if not 0 <= spec.label_smoothing <= 1:
        raise ValueError(f"{func}: label_smoothing is {label_smoothing} but a value in [0, 1] was expected")
    if cnp.PyArray_SAMESHAPE(t, x) and t.dtype.kind not in "iu":
        t = _ready(t, dtype) if _dtype(t, func, "target") <= dtype else t.astype(np.float32)
        spec.probabilities = data(t)
    elif size(t) == batch and (t.ndim == x.ndim - 1 or t.ndim == x.ndim and _last(t) == 1):
        t = _labels(t, func, "target")
        spec.labels = <const int64_t *>data(t)
    elif cnp.PyArray_SAMESHAPE(t, x):
        raise TypeError(f"{func}: target has dtype {t.dtype} and the shape of logits {_shape(x)}; probabilities must be floats")
    else:
        raise ValueError(f"{func}: target has shape {_shape(t)} but labels {_shape(x)[:-1]} or probabilities {_shape(x)} "
                         "were expected")
    if weight is not None:
        class_weights = _weights(weight, classes, dtype, func, "weight")
        spec.class_weight = data(class_weights)
    if sample_weight is not None:
        sample_weights = _weights(sample_weight, batch, dtype, func, "sample_weight")
        spec.sample_weight = data(sample_weights)
    if with_grad:
        dlogits = _output(out, x.ndim, x.shape, dtype, func)
    x = _ready(x, dtype)
    if with_grad:
        dlogits = _apart(dlogits, out, x, True)
        for used in (t, class_weights, sample_weights):
            if used is not None:
                dlogits = _apart(dlogits, out, used, False)
    if kind == 2:
        losses = _new(x.ndim - 1, x.shape, dtype)
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef void *to = NULL if dlogits is None else data(dlogits)
    cdef void *each = NULL if losses is None else data(losses)
    cdef int mean = kind == 0, code
    cdef double total = 0
    with nogil:
        code = kernels.cross_entropy(&total, each, to, &bad_row, data(x), &spec, mean, batch, classes)
    if code == FNN_BAD_LABEL:
        raise IndexError(f"{func}: target[{bad_row}] is {spec.labels[bad_row]} but a label in [0, {classes}) or "
                         f"ignore_index ({ignore_index}) was expected")
    loss = total if losses is None else losses
    return (loss, _deliver(out, dlogits)) if with_grad else loss


def pointwise_loss(str func, int row, object input, object target, object sample_weight, object reduction, bint with_grad,
                   object out):
    """NAME_loss or NAME_loss_with_grad of a row of the table of losses."""
    cdef ndarray x = _array(input, func, "input"), t = _array(target, func, "target"), dx = None, losses = None
    cdef ndarray sample_weights = None
    cdef int dtype = max(_dtype(x, func, "input"), _dtype(t, func, "target")), kind = _reduction(reduction, func)
    if not cnp.PyArray_SAMESHAPE(x, t):
        if _shape(x) == _shape(t) + (1,) or _shape(t) == _shape(x) + (1,):
            t = t.reshape(_shape(x))
        else:
            raise ValueError(f"{func}: input has shape {_shape(x)} but target has shape {_shape(t)}; equal shapes were expected")
    cdef int64_t batch = x.shape[0] if x.ndim else 1, i
    cdef int64_t features = size(x) // batch if batch else 0
    cdef const void *weights = NULL
    cdef double scale = 1, total = 0
    if sample_weight is not None:
        sample_weights = _weights(sample_weight, batch, dtype, func, "sample_weight")
        weights = data(sample_weights)
    if kind == 0:
        scale = batch if weights == NULL else 0
        for i in range(batch if weights != NULL else 0):
            scale += (<const float *>weights)[i] if dtype == FNN_F32 else (<const double *>weights)[i]
        scale = 1 / (scale * features)
    if with_grad:
        dx = _output(out, x.ndim, x.shape, dtype, func)
    x = _ready(x, dtype)
    t = _ready(t, dtype)
    if with_grad:
        dx = _apart(_apart(dx, out, x, True), out, t, True)
        if sample_weights is not None:
            dx = _apart(dx, out, sample_weights, False)
    if kind == 2:
        losses = _new(x.ndim, x.shape, dtype)
    cdef fnn_loss_fn kernel = fnn_active(dtype).losses[row]
    cdef void *to = NULL if dx is None else data(dx)
    cdef void *each = NULL if losses is None else data(losses)
    with nogil:
        kernel(&total, each, to, data(x), data(t), weights, scale, batch, features)
    loss = total if losses is None else losses
    return (loss, _deliver(out, dx)) if with_grad else loss


MSE = FNN_LOSS_mse


# ------------------------------------------------------------------------------------------------------------- optimizers

cdef int _state(list arrays, str func, tuple names) except -1:
    """In-place gate: param and its state arrays as the kernel wants them, and grad (index 1) read-only."""
    cdef ndarray param = _in_place(arrays[0], func, "param"), a
    cdef int dtype = FNN_F32 if param.dtype == np.float32 else FNN_F64
    for i, name in enumerate(names):
        if arrays[i] is None:
            continue
        a = _array(arrays[i], func, name) if name == "grad" else _in_place(arrays[i], func, name)
        _require_same_shape(func, name, a, "param", param)
        if _dtype(a, func, name) != dtype and (name != "grad" or _dtype(a, func, name) > dtype):
            raise TypeError(f"{func}: {name} has dtype {a.dtype} but param has dtype {param.dtype}")
        arrays[i] = _ready(a, dtype)
    return dtype


cdef void *_data(object x) noexcept:
    return NULL if x is None else data(<ndarray>x)


cdef object _write_back(tuple given, list worked):
    for to, done in zip(given, worked):
        if to is not None and to is not done:
            np.copyto(to, done)


def sgd_update(object param, object grad, object velocity, double lr, double momentum, bint nesterov, double weight_decay):
    cdef str func = "sgd_update"
    if velocity is None and momentum != 0:
        raise ValueError(f"{func}: momentum is {momentum} but velocity is None; an array shaped like param was expected")
    if nesterov and momentum == 0:
        raise ValueError(f"{func}: nesterov needs a momentum other than 0")
    cdef list arrays = [param, grad, velocity if momentum != 0 else None]
    cdef int dtype = _state(arrays, func, ("param", "grad", "velocity"))
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef void *p = _data(arrays[0])
    cdef const void *g = _data(arrays[1])
    cdef void *v = _data(arrays[2])
    cdef int64_t n = size(arrays[0])
    with nogil:
        kernels.sgd(p, v, g, n, lr, momentum, nesterov, weight_decay)
    _write_back((param, None, velocity), arrays[:2] + [arrays[2] if momentum != 0 else velocity])


def adam_update(object param, object grad, object exp_avg, object exp_avg_sq, object step, double lr, double beta1,
                double beta2, double eps, double weight_decay):
    cdef str func = "adam_update"
    cdef int64_t t = _integer(step, func, "step", 1, 2 ** 62)
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        raise ValueError(f"{func}: betas are {(beta1, beta2)} but values in [0, 1) were expected")
    cdef list arrays = [param, grad, exp_avg, exp_avg_sq]
    cdef int dtype = _state(arrays, func, ("param", "grad", "exp_avg", "exp_avg_sq"))
    cdef const fnn_kernels *kernels = fnn_active(dtype)
    cdef void *p = _data(arrays[0])
    cdef const void *g = _data(arrays[1])
    cdef void *m = _data(arrays[2])
    cdef void *v = _data(arrays[3])
    cdef int64_t n = size(arrays[0])
    with nogil:
        kernels.adam(p, m, v, g, n, t, lr, beta1, beta2, eps, weight_decay)
    _write_back((param, None, exp_avg, exp_avg_sq), arrays)


# --------------------------------------------------------------------------------------------------------- ISA and threads

def available_isas():
    return [fnn_isa_name(i).decode() for i in range(fnn_isa_count()) if fnn_isa_supported(i)]


def isa():
    return fnn_isa_name(fnn_isa_active()).decode()


def _use_isa(name):
    """Switch the kernels of this process; for tests."""
    if not isinstance(name, str) or fnn_isa_use(name.encode()) != 0:
        raise ValueError(f"_use_isa: {name!r} is unknown or unsupported by this CPU; available: {', '.join(available_isas())}")


def _obey_environment():
    """FASTNN_ISA, read once at import."""
    wanted = os.environ.get("FASTNN_ISA")
    if wanted and fnn_isa_use(wanted.encode()) != 0:
        raise ImportError(f"FASTNN_ISA is {wanted!r}, unknown or unsupported by this CPU; choices: {', '.join(available_isas())}")


_obey_environment()

MAX_THREADS = FNN_MAX_THREADS


def check_num_threads(func, n):
    return _integer(n, func, "n", 1, FNN_MAX_THREADS)


def set_num_threads(n):
    """Bound the threads of every call of this process.

    Parameters
    ----------
    n : int
        From 1 to 1024.
    """
    fnn_set_num_threads(check_num_threads("set_num_threads", n))


def get_num_threads():
    """Return the bound on the threads of a call made here."""
    return fnn_get_num_threads()


def set_thread_bound(int n):
    """Bound the calling thread; 0 lifts the bound. Returns the previous one."""
    return fnn_set_thread_bound(n)


def _force_threads(bint on):
    """Without the cost model: every call on as many threads as the bound says; for tests. Returns the setting before."""
    return bool(fnn_force_threads(on))


def _threads_of_last_job():
    """How many threads worked on the last parallel call of this thread; for tests."""
    return fnn_threads_of_last_job()
