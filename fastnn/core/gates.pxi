# Gates: one per kind of array (input, matrix, output, in-place, labels). Each checks an argument or converts it, once.

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


cdef void *_data(object x) noexcept:
    return NULL if x is None else data(<ndarray>x)
