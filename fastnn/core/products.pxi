# Matrix products: matmul, linear and its gradients, and the forms of a compiled network.
#
# Design
# A. A matrix reaches the kernel with its own strides: transposed, reversed and strided views cost no copy, and the kernel writes
#    contiguous rows. More than two dimensions are rows of one matrix.
# B. linear_backward is one elementwise pass, dz = grad act'(z), and then products alone: dx = dz weight, dweight = dz.T x, or
#    dweight.T = x.T dz where the weight is k-major, so that its gradient lies as it does.
# C. Whether the derivative of an activation can be had from y is asked of the row (activations.pxi), for these parameters.

cdef ndarray _made(int code, ndarray out):
    """out, unless the kernel that was to fill it found no memory."""
    if code == FNN_NO_MEMORY:
        raise MemoryError("fastnn: no memory for scratch space")
    return out


cdef enum:
    LEAST_SIDE = 144  # of a piece, as long as c reaches: smaller ones would pack each operand too often
    WHOLE_TILES = 48  # sides are multiples of it: tiles of 6 rows or 16 columns stay whole


cdef int64_t _side(int64_t sums, int64_t other, int64_t length) noexcept:
    """The side of a rectangle of so many sums whose other side is given, on an axis of this length."""
    return min(length, max(sums // other // WHOLE_TILES * WHOLE_TILES, LEAST_SIDE))


cdef fnn_rectangle _piece_of_product(int64_t m, int64_t n, int64_t k, int dtype) noexcept:
    """How large the rectangles of c are that are computed between two looks at signals: about squares, for each to meet as much
    as can be of what it packs. k is not cut."""
    cdef fnn_rectangle piece = {"row": 0, "column": 0, "rows": m, "columns": n}
    cdef double most = <double>_per_look(dtype) * MULTIPLY_ADDS
    cdef int64_t sums
    if <double>m * n * k > most:
        sums = <int64_t>(most * fnn_get_num_threads() / k)
        if m * n <= sums:
            return piece
        piece.rows = _side(sums, <int64_t>sqrt(<double>sums) + 1, m)
        piece.columns = _side(sums, piece.rows, n)
        piece.rows = _side(sums, piece.columns, m)
    return piece


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
    cdef fnn_rectangle piece = _piece_of_product(m, n, k, dtype), part
    cdef cut down = _cut_at(m, piece.rows), across
    with nogil:
        while _next(&down):
            across = _cut_at(n, piece.columns)
            while _next(&across):
                part.row, part.rows, part.column, part.columns = down.first, down.count, across.first, across.count
                code = fnn_matmul(dtype, data(c), n, a, b, part, k, epilogue)
                if code:
                    break
            if code:
                break
    _made(code, c)


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
    cdef npy_intp shape[MAX_NDIM]
    cdef int ndim = _shape_like(shape, left, n) - (right.ndim == 1)
    left = _as_matrix(left, dtype)
    right = _strided_ready(right if right.ndim == 2 else right.reshape(-1, 1), dtype)
    c = _apart(_apart(_output(out, ndim, shape, dtype, "matmul"), out, left, False), out, right, False)
    _multiply(c, _strided(left), _strided(right), m, n, k, dtype, NULL)
    return _deliver(out, c)


# The forms of a compiled network (fastnn.h), for tests and benchmarks: arrays of one dtype whose sizes and layouts are right.
# Panels are [batch / 16][features][16] with any first stride, weights (in, out) with any first stride.

cdef const fnn_kernels *_kernels_of(ndarray x) except NULL:
    return fnn_kernels_for(_dtype(x, "panels", "x"))


cdef inline int64_t _stride(ndarray x) noexcept:
    """Elements from x[0] to x[1]."""
    return x.strides[0] // x.itemsize


cdef inline fnn_panels _in_panels(ndarray x) noexcept:
    cdef fnn_panels panels
    panels.data = data(x)
    panels.panel = _stride(x)
    return panels


_ELEMENTS = {
    "f4": FNN_FROM_F32, "f8": FNN_FROM_F64, "u1": FNN_FROM_U8, "i1": FNN_FROM_I8, "i2": FNN_FROM_I16, "u2": FNN_FROM_U16,
    "i4": FNN_FROM_I32, "u4": FNN_FROM_U32, "i8": FNN_FROM_I64, "u8": FNN_FROM_U64, "b1": FNN_FROM_BOOL,
}


def _gather_panels(ndarray panels, ndarray x, ndarray order=None, ndarray next=None):
    """Panels of the rows x[order] of an array of numbers; order and next are int64."""
    _kernels_of(panels).gather_panels(
        _in_panels(panels), data(x), _ELEMENTS[x.dtype.str[1:]], _stride(x), <const int64_t *>_data(order),
        x.shape[0] if order is None else order.shape[0], x.shape[1], <const int64_t *>_data(next),
        0 if next is None else next.shape[0])
    return panels


def _to_panels(ndarray panels, ndarray rows):
    """Panels of rows (batch, features)."""
    _kernels_of(rows).to_panels(_in_panels(panels), data(rows), _stride(rows), rows.shape[0], rows.shape[1])
    return panels


def _from_panels(ndarray rows, ndarray panels):
    """Rows (batch, features) of panels."""
    _kernels_of(rows).from_panels(data(rows), _stride(rows), _in_panels(panels), rows.shape[0], rows.shape[1])
    return rows


def _transpose_panels(ndarray transposed, ndarray panels, int64_t batch, ndarray sums=None):
    """Panels transposed: [features / 16][batch][16]; sums receives those over the batch."""
    _kernels_of(panels).transpose_panels(_in_panels(transposed), _data(sums), _in_panels(panels), batch, panels.shape[1])
    return transposed


def _forward_panels(ndarray y, ndarray x, ndarray weight, int64_t batch, ndarray bias=None, activation=None, ndarray z=None):
    """y = activation(x weight + bias), x and y in panels."""
    cdef double values[FNN_MAX_PARAMS]
    cdef fnn_epilogue epilogue
    epilogue.bias = _data(bias)
    epilogue.z = _data(z)
    epilogue.activation = _row(activation, "_forward_panels")
    epilogue.params = values
    _params(values, epilogue.activation, {}, "_forward_panels")
    return _made(_kernels_of(x).forward_panels(_in_panels(y), _in_panels(x), data(weight), _stride(weight), batch,
                                               weight.shape[0], weight.shape[1], &epilogue), y)


def _dx_panels(ndarray dx, ndarray dz, ndarray weight, int64_t batch, activation=None, ndarray z=None):
    """dx = dz weight.T, both in panels, times the derivative of an activation at z, which lies as dx."""
    cdef double values[FNN_MAX_PARAMS]
    cdef fnn_derivative derivative
    cdef const fnn_kernels *kernels = _kernels_of(dz)
    cdef int row = _row(activation, "_dx_panels")
    _params(values, row, {}, "_dx_panels")
    derivative.loop = kernels.backward_x[row]
    derivative.saved = _data(z)
    derivative.params = values
    return _made(kernels.dx_panels(_in_panels(dx), _in_panels(dz), data(weight), _stride(weight), batch, weight.shape[0],
                                   weight.shape[1], NULL if z is None else &derivative), dx)


cdef struct strips:  # where strips go
    char *data
    int64_t row  # bytes


cdef void _keep_strip(void *context, void *strip, int64_t first, int64_t rows) noexcept nogil:
    cdef strips *to = <strips *>context
    memcpy(to.data + first * to.row, strip, rows * to.row)


def _dweight_panels(ndarray dweight, ndarray x, ndarray transposed, int64_t batch, bint in_scratch=False, rows=None):
    """dweight = x.T dz, x in panels and dz in transposed panels: all rows or those [first, last), where they belong or in scratch,
    from which the finished strips, with all that pads them, are brought here."""
    cdef strips to
    to.data = <char *>data(dweight)
    to.row = dweight.strides[0]
    cdef int64_t first, last
    first, last = rows or (0, dweight.shape[0])
    cdef fnn_strip_fn done = NULL
    if in_scratch:
        done = _keep_strip
    return _made(_kernels_of(x).dweight_panels(
        NULL if in_scratch else data(dweight), _stride(dweight), _in_panels(x), _in_panels(transposed), batch,
        dweight.shape[1], first, last, data(dweight), done, &to), dweight)


def _descend_panels(ndarray weight, ndarray x, ndarray transposed, int64_t batch, double rate):
    """weight += rate x.T dz, x in panels and dz in transposed panels."""
    _kernels_of(x).descend_panels(
        data(weight), _stride(weight), _in_panels(x), _in_panels(transposed), batch, weight.shape[1], 0, weight.shape[0], rate)
    return weight


def _fma_chains(int64_t steps, int dtype=FNN_F32):
    """Run 12 independent chains of multiply-adds in registers; returns how many operations; for benchmarks."""
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    with nogil:
        steps = kernels.fma_chains(steps)
    return steps


cdef object _check_weight(ndarray x, ndarray weight, str func):
    if weight.ndim != 2:
        raise ValueError(f"{func}: weight has shape {_shape(weight)} but (out_features, in_features) was expected")
    if x.ndim == 0:
        raise ValueError(f"{func}: x has shape () but (..., in_features) was expected")
    if _last(x) != weight.shape[1]:
        raise ValueError(f"{func}: x has {_last(x)} features but weight expects {weight.shape[1]} "
                         f"(x {_shape(x)}, weight {_shape(weight)})")


def linear(object x, object weight, object bias, object activation, object out, object return_preactivation, dict params):
    cdef double values[FNN_MAX_PARAMS]
    cdef int row = _row(activation, "linear")
    cdef bint with_z = _flag(return_preactivation, "linear", "return_preactivation")
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
    cdef npy_intp shape[MAX_NDIM]
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
    if with_z and row != FNN_identity:
        z = cnp.PyArray_EMPTY(y.ndim, y.shape, typenum(y), 0)
        epilogue.z = data(z)
    _multiply(y, _strided(source), _strided(w.T), m, n, k, dtype, &epilogue)
    if with_z:
        return _deliver(out, y), y.copy() if z is None else z
    return _deliver(out, y)


def linear_backward(object grad, object x, object weight, object activation, object z, object y, object need_dx, dict params):
    cdef str func = "linear_backward"
    cdef double values[FNN_MAX_PARAMS]
    cdef int row = _row(activation, func)
    cdef bint with_dx = _flag(need_dx, func, "need_dx")
    _params(values, row, params, func)
    cdef ndarray dy = _array(grad, func, "grad"), source = _array(x, func, "x"), w = _array(weight, func, "weight"), saved
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(source, func, "x"), _dtype(w, func, "weight"))
    _check_weight(source, w, func)
    cdef int64_t batch = _rows(source), features = w.shape[1], outputs = w.shape[0]
    cdef npy_intp shape[MAX_NDIM]
    if dy.ndim != _shape_like(shape, source, outputs) or not cnp.PyArray_CompareLists(dy.shape, shape, dy.ndim):
        raise ValueError(f"{func}: grad has shape {_shape(dy)} but {tuple([shape[i] for i in range(source.ndim)])} was expected "
                         f"(x {_shape(source)}, weight {_shape(w)})")
    cdef bint from_y = y is not None and _reads_y(row, values)
    if row == FNN_identity:
        dy = _ready(dy, dtype)
    else:
        if not from_y and z is None:
            raise TypeError(f"{func}: {activation} needs {'z or y' if _reads_y(row, values) else 'z'} of the forward call")
        saved = _array(y if from_y else z, func, "y" if from_y else "z")
        _require_same_shape(func, "grad", dy, "y" if from_y else "z", saved)
        dtype = max(dtype, _dtype(saved, func, "y" if from_y else "z"))
        dy = _ready(dy, dtype)
        dz = _new(dy.ndim, dy.shape, dtype)
        _differentiate(dz, dy, _ready(saved, dtype), row, from_y, values, dtype)
        dy = dz
    cdef ndarray dx = None, rows = _as_matrix(source, dtype), dz2 = dy.reshape(batch, outputs)
    cdef ndarray dweight = (w.T if _k_major(w) else w), dbias = _new(1, w.shape, dtype)
    dweight = _new(2, dweight.shape, dtype)
    if with_dx:
        dx = _new(source.ndim, source.shape, dtype)
        _multiply(dx, _strided(dz2), _strided(_strided_ready(w, dtype)), batch, features, outputs, dtype, NULL)
    if _k_major(w):
        _multiply(dweight, _strided(rows.T), _strided(dz2), features, outputs, batch, dtype, NULL)
        dweight = dweight.T
    else:
        _multiply(dweight, _matrix(dz2, 1, outputs), _strided(rows), outputs, features, batch, dtype, NULL)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut p = _cut(outputs, batch, dtype)
    with nogil:
        while _next(&p):
            kernels.sum_rows(_at(data(dbias), p.first, dtype), _at(data(dz2), p.first, dtype), outputs, batch, p.count)
    return dx, dweight, dbias
