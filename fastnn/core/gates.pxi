# Gates: one per kind of argument. Each checks an argument or converts it, once.
#
# Design
# A. _array reads an argument as an array, _dtype says what it is computed in, _ready (or _strided_ready, for matrices) makes it
#    what a kernel can read; an array that already is that passes without a copy.
# B. _output checks `out`. Where a kernel cannot write it directly (its layout, or memory that it shares with an input, _apart)
#    the kernel writes a new array, and _deliver copies that into `out` at the end. A call is refused before anything is written.
# C. A long call is made in pieces, between which signals are looked at: Ctrl-C ends it after about 0.1 s, whatever is left. Where
#    a sum goes on from piece to piece its order is that of one call, so the cuts cannot change a bit.
# D. _integer and _number take what NumPy and Python call numbers, and neither text nor, for integers, bool.

cdef enum:
    MAX_NDIM = 64  # NumPy's bound on dimensions
    MULTIPLY_ADDS = 128  # that count as one element of a function between two looks at signals
    MOST_STEP = 1 << 30  # elements, along an axis of a single one

MAX_DIMENSIONS = MAX_NDIM

cdef int64_t _forced_per_look = 0  # 0: what the ISA says
cdef int64_t _looked = 0


def _look_after(int64_t elements):
    """Set how many elements lie between two looks at signals, a multiple of 16; 0 leaves it to the ISA; for tests."""
    global _forced_per_look
    _forced_per_look = elements


cdef inline int64_t _per_look(int dtype) noexcept nogil:
    return _forced_per_look if _forced_per_look else fnn_kernels_for(dtype).per_look


def _looks():
    """How often calls have looked at signals; for tests."""
    return _looked


cdef struct cut:
    int64_t n, most  # items in all, and of a piece
    int64_t first, count  # of this piece


cdef inline cut _cut_at(int64_t n, int64_t most) noexcept nogil:
    cdef cut p
    p.n = n
    p.most = most
    p.first = 0
    p.count = -1
    return p


cdef inline cut _cut(int64_t n, int64_t each, int dtype) noexcept:
    """n items of so many elements each, to be worked on in pieces: `while _next(&p)`."""
    cdef int64_t most = _per_look(dtype)
    return _cut_at(n, n if n * each <= most else max(most // each, 1))


cdef inline bint _next(cut *p) except -1 nogil:
    """Go on to the next piece, or the first, which may be empty. False behind the last; raises what a signal has raised."""
    if p.count >= 0:
        p.first += p.count
        if p.first >= p.n:
            return False
        _look_at_signals()
    p.count = min(p.most, p.n - p.first)
    return True


cdef int _look_at_signals() except -1 with gil:
    global _looked
    _looked += 1
    return PyErr_CheckSignals()


cdef inline void *_at(const void *array, int64_t first, int dtype) noexcept nogil:
    """Where element `first` lies; NULL for no array."""
    return NULL if array == NULL else <char *>array + first * _itemsize(dtype)


cdef ndarray _array(object x, str func, str arg):
    """Anything NumPy can read as an array."""
    cdef ndarray a
    if type(x) is ndarray:
        return x
    if x is None:
        raise TypeError(f"{func}: {arg} is None but an array of real numbers was expected")
    try:
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
            return np.from_dlpack(x)
        a = np.asarray(x)
    except ValueError as error:  # a ragged list, for example
        raise ValueError(f"{func}: {arg} cannot be read as an array: {error}") from None
    except (BufferError, RuntimeError, TypeError) as error:  # a tensor on another device, or of a dtype NumPy lacks
        raise TypeError(f"{func}: {arg} cannot be read as an array: {error}") from None
    if typenum(a) == cnp.NPY_OBJECT and a.ndim == 0:  # NumPy wraps what it cannot read: sparse matrices, iterators, dicts
        raise TypeError(f"{func}: {arg} is {type(x).__name__} but an array of real numbers was expected")
    return a


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


cdef inline int64_t _itemsize(int dtype) noexcept nogil:
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


cdef inline bint _k_major(ndarray x) noexcept:
    """Whether a matrix (out, in) is the transpose of rows that are contiguous and do not overlap, as weights are stored."""
    cdef npy_intp item = cnp.PyArray_ITEMSIZE(x)
    return x.ndim == 2 and x.strides[0] == item and x.strides[1] > item and x.strides[1] >= x.shape[0] * item


def is_k_major(ndarray x):
    return _k_major(x)


cdef ndarray _rows_ready(ndarray x, int dtype):
    """Row gate: x itself where it is a matrix of contiguous rows, whatever lies between them, else a contiguous array."""
    if (x.ndim == 2 and typenum(x) == _type_number(dtype) and cnp.PyArray_ISBEHAVED_RO(x) and x.strides[1] == x.itemsize
            and x.strides[0] >= x.shape[1] * x.itemsize):
        return x
    return _ready(x, dtype)


cdef inline ndarray _new(int ndim, npy_intp *shape, int dtype):
    return cnp.PyArray_EMPTY(ndim, shape, _type_number(dtype), 0)


cdef tuple _shape(ndarray x):
    return tuple([x.shape[i] for i in range(x.ndim)])


cdef object _refuse_self_overlap(ndarray a, str func, str arg):
    """ValueError where two elements of an array that is written lie in the same memory, as in a broadcast view."""
    if size(a) == 0 or _k_major(a):
        return
    axes = sorted([(abs(a.strides[i]), a.shape[i]) for i in range(a.ndim) if a.shape[i] > 1])
    cdef int64_t extent = a.itemsize  # bytes that the axes so far span
    nested = True  # an axis steps beyond all that the finer ones span: then no two elements meet
    for stride, length in axes:
        nested = nested and stride >= extent
        extent += stride * (length - 1)
    if nested:
        return
    offsets = np.zeros(1, np.int64)
    for stride, length in axes if axes[0][0] else ():
        offsets = np.add.outer(offsets, stride * np.arange(length)).ravel()
    if axes[0][0] == 0 or (np.diff(np.sort(offsets)) < a.itemsize).any():
        raise ValueError(f"{func}: elements of {arg} share memory with each other, but {arg} is written")


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
    if cnp.PyArray_ISCARRAY(a):
        return a
    _refuse_self_overlap(a, func, "out")
    return _new(ndim, shape, dtype)


cdef void _extent(ndarray a, char **low, char **high) noexcept:
    """The bytes from the first to behind the last that an array with elements touches."""
    cdef int i
    low[0] = cnp.PyArray_BYTES(a)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(a)
    for i in range(a.ndim):
        if a.strides[i] > 0:
            high[0] += a.strides[i] * (a.shape[i] - 1)
        else:
            low[0] += a.strides[i] * (a.shape[i] - 1)


cdef bint _near(ndarray a, ndarray b) noexcept:
    """Whether the extents of two arrays meet: those of two that share memory always do."""
    cdef char *low
    cdef char *high
    cdef char *other_low
    cdef char *other_high
    if size(a) == 0 or size(b) == 0:
        return False
    _extent(a, &low, &high)
    _extent(b, &other_low, &other_high)
    return low < other_high and other_low < high


cdef ndarray _apart(ndarray written, object out, ndarray source, bint elementwise):
    """`written`, or a new array if it may share memory with an input that the kernel would still read. An elementwise kernel
    may write exactly onto an input; `source` has passed its own gate."""
    if written is not out or not _near(written, source):
        return written
    if elementwise and data(written) == data(source):
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


cdef inline int64_t _step(ndarray x, int axis) noexcept:
    """Elements from one index of an axis to the next. Where there is no next one NumPy lets that be any number, which is bounded
    here: kernels form addresses a few steps ahead, and these must not overflow."""
    cdef int64_t step = x.strides[axis] // cnp.PyArray_ITEMSIZE(x)
    return step if x.shape[axis] > 1 else max(min(step, MOST_STEP), -MOST_STEP)


cdef fnn_matrix _strided(ndarray x) noexcept:
    """A 2-D array that passed _strided_ready, with its own strides."""
    return _matrix(x, _step(x, 0), _step(x, 1))


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


cdef int _shape_and(npy_intp *shape, ndarray x, int64_t last, str func, str arg) except -1:
    """shape = x.shape and one dimension more; returns its length."""
    cdef int i
    if x.ndim == MAX_NDIM:
        raise ValueError(f"{func}: {arg} has {MAX_NDIM} dimensions but at most {MAX_NDIM - 1} were expected")
    for i in range(x.ndim):
        shape[i] = x.shape[i]
    shape[x.ndim] = last
    return x.ndim + 1


cdef ndarray _as_matrix(ndarray x, int dtype):
    """x (..., k) as a matrix (rows, k); a view where possible."""
    return _strided_ready(x, dtype) if x.ndim == 2 else _ready(x, dtype).reshape(_rows(x), _last(x))


cdef ndarray _in_place(object x, str func, str arg):
    """In-place gate: an array that a call updates, in any layout."""
    if not isinstance(x, ndarray):
        raise TypeError(f"{func}: {arg} is {type(x).__name__} but an ndarray was expected: it is updated in place")
    if typenum(x) != NPY_FLOAT32 and typenum(x) != NPY_FLOAT64:
        raise TypeError(f"{func}: {arg} has dtype {x.dtype} but float32 or float64 was expected")
    if not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(f"{func}: {arg} is read-only but is updated in place")
    if not cnp.PyArray_ISCARRAY(x):
        _refuse_self_overlap(x, func, arg)
    return x


cdef object _require_same_shape(str func, str a_name, ndarray a, str b_name, ndarray b):
    if not cnp.PyArray_SAMESHAPE(a, b):
        raise ValueError(f"{func}: {a_name} has shape {_shape(a)} but {b_name} has shape {_shape(b)}; equal shapes were expected")


cdef object _integer(object x, str func, str arg, object least, object most):
    n = x
    if type(x) is not int:
        if isinstance(x, bool):
            raise TypeError(f"{func}: {arg} is {x!r} but an integer was expected")
        try:
            n = operator.index(x)
        except TypeError:
            raise TypeError(f"{func}: {arg} is {x!r} but an integer was expected") from None
    if not least <= n <= most:
        raise ValueError(f"{func}: {arg} is {n} but an integer from {least} to {most} was expected")
    return n


def flag(object x, str func, str arg):
    """`x` as a bool; the integers 0 and 1 count as such."""
    if not isinstance(x, (int, np.bool_, np.integer)) or x not in (0, 1):
        raise TypeError(f"{func}: {arg} is {x!r} but True or False was expected")
    return bool(x)


cdef inline bint _flag(object x, str func, str arg) except -1:
    """flag(), for calls in which nanoseconds count."""
    return True if x is True else False if x is False else flag(x, func, arg)


cdef double _number(object x, str func, str arg) except? -1:
    """A real number as a double: what float() takes, but for text and for complex numbers, whose half it would drop."""
    if type(x) is float:
        return x
    kind = x.dtype.kind if isinstance(x, (ndarray, np.generic)) else "f"
    if isinstance(x, (str, bytes, bytearray)) or kind not in "biuf":
        raise TypeError(f"{func}: {arg} is {x!r} but a number was expected")
    try:
        return float(x)
    except TypeError:
        raise TypeError(f"{func}: {arg} is {x!r} but a number was expected") from None
    except OverflowError:
        raise ValueError(f"{func}: {arg} is beyond the range of float64") from None


cdef ndarray _labels(ndarray x, str func, str arg):
    """Label gate: a contiguous int64 array; a uint64 beyond int64 becomes negative."""
    if typenum(x) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(x):
        return x
    if not cnp.PyTypeNum_ISINTEGER(typenum(x)):
        raise TypeError(f"{func}: {arg} has dtype {x.dtype} but integers were expected")
    return cnp.PyArray_FROMANY(x, cnp.NPY_INT64, 0, 0, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST
                               | cnp.NPY_ARRAY_NOTSWAPPED)


cdef void *_data(object x) noexcept:
    return NULL if x is None else data(<ndarray>x)


def real_array(object x, str func, str arg):
    """`x` as an array, of whatever dtype and layout it has; TypeError unless it holds real numbers of at most float64."""
    cdef ndarray a = _array(x, func, arg)
    _dtype(a, func, arg)
    return a


def is_rows(object x):
    """Whether x is an array, of no subclass, of real numbers of at most 64 bits with at least one dimension."""
    if type(x) is not ndarray:
        return False
    cdef int number = typenum(<ndarray>x)
    real = number <= cnp.NPY_ULONGLONG or number == NPY_FLOAT32 or number == NPY_FLOAT64 or number == cnp.NPY_FLOAT16
    return real and (<ndarray>x).ndim > 0


cpdef bint is_labels(ndarray y):
    """Whether y is labels as a network reads them: contiguous int64 of one dimension."""
    return y.ndim == 1 and typenum(y) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(y)
