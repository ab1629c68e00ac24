# What layers compute by the kernels of plain.h. Whoever calls has checked shapes; arrays of real numbers of any dtype and layout are
# computed in the common one.

cdef int _common(ndarray a, ndarray b, str func) except -1:
    return max(_dtype(a, func, "x"), _dtype(b, func, "weight"))


cdef object _by_rows(object x, object each, str func, bint adds):
    """x, of rows of as many elements as `each` has, times or plus that."""
    cdef ndarray a = _array(x, func, "x"), b = _array(each, func, "weight")
    cdef int dtype = _common(a, b, func)
    a = _ready(a, dtype)
    b = _ready(b, dtype)
    cdef ndarray y = _new(a.ndim, a.shape, dtype)
    cdef int64_t n = size(b), rows = size(a) // n
    cdef const fnn_plain *plain = fnn_plain_for(dtype)
    cdef void *to = data(y)
    cdef void *source = data(a)
    cdef void *more = data(b)
    with nogil:
        if adds:
            plain.add_rows(to, source, more, rows, n)
        else:
            plain.scale_rows(to, source, more, rows, n)
    return y


def scale_rows(object x, object factor, str func):
    """x times factor, whose elements are those of one or more of the last axes of x, or one."""
    return _by_rows(x, factor, func, False)


def add_rows(object x, object more, str func):
    """x plus more; see scale_rows."""
    return _by_rows(x, more, func, True)


def sum_products(object a, object b, object like, str func):
    """The sum over rows of a b, or of a where b is None, in the shape and dtype of `like`: an array of the elements of a row."""
    cdef ndarray first = _array(a, func, "dy"), second = None, result = like
    cdef int dtype = _dtype(first, func, "dy")
    if b is not None:
        second = _array(b, func, "x")
        dtype = max(dtype, _dtype(second, func, "x"))
        second = _ready(second, dtype)
    first = _ready(first, dtype)
    cdef ndarray total = _new(result.ndim, result.shape, dtype), sums = np.empty(size(result))
    cdef const fnn_plain *plain = fnn_plain_for(dtype)
    cdef void *to = data(total)
    cdef double *scratch = <double *>data(sums)
    cdef void *left = data(first)
    cdef void *right = _data(second)
    cdef int64_t n = size(result), rows = size(first) // n
    with nogil:
        plain.sum_products(to, scratch, left, right, rows, n)
    return total.astype(result.dtype, copy=False)


def alpha_dropout(object x, double p, uint64_t seed, uint32_t step, uint32_t layer, bint backward):
    """Alpha dropout of x, or the gradient by it from that by the output; see fnn_alpha_dropout."""
    cdef ndarray source = _array(x, "AlphaDropout", "x")
    cdef int dtype = _dtype(source, "AlphaDropout", "x")
    source = _ready(source, dtype)
    cdef ndarray y = _new(source.ndim, source.shape, dtype)
    cdef cut piece = _cut(size(source), 1, dtype)
    with nogil:
        while _next(&piece):
            fnn_alpha_dropout(dtype, _at(data(y), piece.first, dtype), _at(data(source), piece.first, dtype), p, seed, step, layer,
                              piece.first, piece.count, backward)
    return y


def sum_of_members(ndarray y, double divisor=1.0):
    """The sum over the last axis but one of a contiguous array, divided by a number."""
    cdef int dtype = _dtype(y, "Ensemble", "dy")
    cdef npy_intp shape[MAX_NDIM]
    cdef int ndim = y.ndim, i
    cdef int64_t members = y.shape[ndim - 2], n = y.shape[ndim - 1]
    y = _ready(y, dtype)
    for i in range(ndim - 2):
        shape[i] = y.shape[i]
    shape[ndim - 2] = n
    cdef ndarray x = _new(ndim - 1, shape, dtype)
    cdef const fnn_plain *plain = fnn_plain_for(dtype)
    cdef void *to = data(x)
    cdef void *source = data(y)
    cdef int64_t rows = size(x) // n
    with nogil:
        plain.gather(to, source, rows, members, n, divisor)
    return x


cdef ndarray _as_stored(ndarray a, bint k_major, int dtype):
    """An array with its elements in the order of a parameter's memory, contiguous or in rows; see parameter_array."""
    return _rows_ready(a.T, dtype) if k_major else _ready(a, dtype)


def regularised(ndarray gradient, ndarray param, double l1, double l2, double clip):
    """A new gradient, with penalties and each element clipped; see fnn_kernels.regularise."""
    cdef bint k_major = _k_major(param)
    cdef int dtype = FNN_F32 if typenum(param) == NPY_FLOAT32 else FNN_F64
    cdef ndarray p = _as_stored(param, k_major, dtype), g = np.array(gradient.T if k_major else gradient, p.dtype, order="C")
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef int64_t rows = p.shape[0] if k_major else 1, n = p.shape[1] if k_major else size(p), i
    cdef int64_t apart = _step(p, 0) if k_major else 0
    for i in range(rows):
        kernels.regularise(_at(data(g), i * n, dtype), _at(data(p), i * apart, dtype), n, l1, l2, clip)
    return g.T if k_major else g


def average(ndarray average, ndarray param, double share):
    """average += share (param - average), in place; see fnn_kernels.average."""
    cdef bint k_major = _k_major(average)
    cdef int dtype = FNN_F32 if typenum(average) == NPY_FLOAT32 else FNN_F64
    cdef ndarray a = _as_stored(average, k_major, dtype), p = _as_stored(param, k_major, dtype)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef int64_t rows = a.shape[0] if k_major else 1, n = a.shape[1] if k_major else size(a), i
    cdef int64_t apart = _step(a, 0) if k_major else 0
    cdef int64_t p_apart = _step(p, 0) if k_major else 0
    for i in range(rows):
        kernels.average(_at(data(a), i * apart, dtype), _at(data(p), i * p_apart, dtype), share, n)
    if data(a) != data(average):
        np.copyto(average, a)


def hold_norms(ndarray weight, double most):
    """Scale the weights of each unit, row of a weight, whose norm is larger than `most`; see fnn_hold_norms."""
    cdef bint k_major = _k_major(weight)
    cdef int dtype = FNN_F32 if typenum(weight) == NPY_FLOAT32 else FNN_F64
    cdef ndarray w = _as_stored(weight, k_major, dtype), unit
    cdef int64_t rows = w.shape[0], columns = size(w) // max(rows, 1)
    unit = np.empty(max(rows, columns), w.dtype)
    fnn_hold_norms(dtype, data(w), rows, columns, _step(w, 0) if k_major else columns, k_major, most, data(unit))
    if data(w) != data(weight):
        np.copyto(weight, w)


def penalty(ndarray weight, double l1, double l2):
    """l1 sum |w| + l2 sum w^2 of a weight, as a network has it in memory; see fnn_penalty."""
    cdef bint k_major = _k_major(weight)
    cdef int dtype = FNN_F32 if typenum(weight) == NPY_FLOAT32 else FNN_F64
    cdef ndarray w = _as_stored(weight, k_major, dtype)
    if k_major:
        w = np.pad(w, ((0, 0), (0, -w.shape[1] % 16)))
    return fnn_penalty(dtype, data(w), size(w), l1, l2)


def standardize(object x, ndarray mean, ndarray scale, ndarray places, object func):
    """(x - mean) / scale, or x / scale where mean is None, with these of float64 and the places of each number of a row."""
    cdef ndarray a = _array(x, func, "x")
    cdef int dtype = _dtype(a, func, "x")
    a = _ready(a, dtype)
    cdef ndarray y = _new(a.ndim, a.shape, dtype)
    cdef int64_t n = size(places)
    fnn_plain_for(dtype).standardize(data(y), data(a), <const double *>_data(mean), <const double *>data(scale),
                                     <const int64_t *>data(places), size(a) // n, n)
    return y


def sum_of_indices(ndarray index, object dy, ndarray like, str func):
    """The sum of the rows of dy with each index, in the shape and dtype of `like`."""
    cdef ndarray rows = _array(dy, func, "dy"), sums
    cdef int dtype = FNN_F32 if typenum(like) == NPY_FLOAT32 else FNN_F64
    cdef ndarray total = _new(2, like.shape, dtype)
    rows = _ready(rows, dtype)
    index = _labels(index, func, "x")
    sums = np.empty(size(total))
    fnn_plain_for(dtype).sum_of_indices(data(total), <double *>data(sums), <const int64_t *>data(index), data(rows), size(index),
                                        like.shape[0], like.shape[1])
    return total


def sum_last(object a, object b, str func):
    """The sum over the last axis of a b, or of a where b is None."""
    cdef ndarray first = _array(a, func, "dy"), second = None
    cdef int dtype = _dtype(first, func, "dy")
    if b is not None:
        second = _array(b, func, "x")
        dtype = max(dtype, _dtype(second, func, "x"))
        second = _ready(second, dtype)
    first = _ready(first, dtype)
    cdef ndarray y = _new(first.ndim - 1, first.shape, dtype)
    fnn_plain_for(dtype).sum_last(data(y), data(first), _data(second), _rows(first), _last(first))
    return y


def waves(object x, object weight, str func):
    """Cosines and sines of 2 pi x[..., i] weight[i, :] side by side; see fnn_plain.waves."""
    cdef ndarray a = _array(x, func, "x"), w = weight
    cdef int dtype = _common(a, w, func)
    cdef npy_intp shape[MAX_NDIM]
    cdef ndarray y = _new(_shape_and(shape, a, 2 * w.shape[1], func, "x"), shape, dtype)
    a = _ready(a, dtype)
    w = _ready(w, dtype)
    fnn_plain_for(dtype).waves(data(y), data(a), data(w), size(a) // w.shape[0], w.shape[0], w.shape[1])
    return y


def waves_backward(object grad, ndarray y, object x, ndarray weight, bint need_dx, str func):
    """dx, or None, and dweight from dy and the output of waves; see fnn_plain.waves_backward."""
    cdef ndarray dy = _array(grad, func, "dy"), a = _array(x, func, "x"), w, dphase, products
    cdef int dtype = max(_dtype(dy, func, "dy"), _dtype(y, func, "y"))
    cdef int64_t frequencies = weight.shape[1], numbers = size(a)
    cdef npy_intp shape[MAX_NDIM]
    cdef int ndim = _shape_and(shape, a, frequencies, func, "x")
    dy = _ready(dy, dtype)
    y = _ready(y, dtype)
    a = _ready(a, dtype)
    w = _ready(weight, dtype)
    dphase = _new(ndim, shape, dtype)
    products = _new(ndim, shape, dtype)
    cdef const fnn_plain *plain = fnn_plain_for(dtype)
    plain.waves_backward(data(dphase), data(dy), data(y), numbers, frequencies)
    plain.scale_each(data(products), data(dphase), data(a), numbers, frequencies)
    dweight = sum_products(products, None, weight, func)
    if not need_dx:
        return None, dweight
    plain.scale_rows(data(products), data(dphase), data(w), numbers // w.shape[0], size(w))
    return sum_last(products, None, func), dweight


def bins(object x, ndarray edges, str func, bint slopes):
    """The piecewise linear encoding of x, or its slopes; see fnn_plain.bins."""
    cdef ndarray a = _array(x, func, "x")
    cdef int dtype = _dtype(a, func, "x")
    cdef npy_intp shape[MAX_NDIM]
    cdef ndarray y = _new(_shape_and(shape, a, edges.shape[1] - 1, func, "x"), shape, dtype)
    a = _ready(a, dtype)
    edges = _ready(edges, FNN_F64)
    fnn_plain_for(dtype).bins(NULL if slopes else data(y), data(y) if slopes else NULL, data(a), <const double *>data(edges),
                              size(a) // edges.shape[0], edges.shape[0], edges.shape[1] - 1)
    return y
