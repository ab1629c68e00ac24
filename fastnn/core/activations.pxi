# Activations, prelu, maxout, dropout and what else is random.
#
# Design
# A. The table of activations.h is the only list: names, parameters and what they accept are read from it, and a function is a
#    row's number. Nothing here knows an activation by name.
# B. The backward call takes x or y as its caller gives it. Where y is enough, layers keep y: the next layer keeps it anyway.

ActivationInfo = namedtuple("ActivationInfo", "name params saves ulp ulp_backward domain layer ulp_float64 "
                            "ulp_backward_float64 output gain")

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
        infos[name] = ActivationInfo(name, params, "x" if row.saves == FNN_SAVES_X else "y", row.ulp[0], row.ulp[1],
                                     (row.domain[0], row.domain[1]), row.layer.decode(), row.ulp[2], row.ulp[3],
                                     (row.output[0], row.output[1]), row.gain)
    return infos


cdef dict _infos = _describe_activations()
cdef dict _row_of = {name: i for i, name in enumerate(_infos)}


def activations():
    return dict(_infos)


cdef int _row(object name, str func) except -1:
    if name is None:
        return FNN_identity
    if not isinstance(name, str):
        raise TypeError(f"{func}: activation is {name!r} but a name was expected, such as 'relu'")
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
    activation = r.name.decode()
    names = list(_infos[activation].params)
    for name, value in given.items():
        if name not in names:
            raise TypeError(f"{func}: unknown parameter {name!r} ({activation} takes {', '.join(names) or 'none'})")
        values[names.index(name)] = _number(value, func, name)
    for i in range(len(names)):
        wanted = _refusal(values, r.params, i)
        if wanted is not None:
            raise ValueError(f"{func}: {names[i]} is {values[i]:g} but {wanted} was expected")
    return 0


cdef object _refusal(const double *values, const fnn_param *params, int i):
    """What the row accepts as its parameter i, where values[i] is not that; else None."""
    cdef double value = values[i]
    cdef int accepted = params[i].accepted
    if value != value:
        return None if accepted == FROM_0_TO_1_OR_NONE else "a number"
    if accepted == NONZERO and value == 0:
        return "a number other than 0"
    if accepted == NONNEGATIVE and value < 0:
        return "a number of at least 0"
    if accepted == NONNEGATIVE and value == INFINITY:
        return "a finite number"
    if accepted == POSITIVE and value <= 0:
        return "a positive number"
    if (accepted == FROM_0_TO_1 or accepted == FROM_0_TO_1_OR_NONE) and not 0 <= value <= 1:
        return "a value in [0, 1]"
    if accepted == BELOW_1 and not 0 <= value < 1:
        return "a value in [0, 1)"
    if accepted == BETWEEN_0_AND_1 and not 0 < value < 1:
        return "a value between 0 and 1"
    if accepted == ABOVE_1 and value <= 1:
        return "a number above 1"
    if accepted == SIGN and value != 1 and value != -1:
        return "-1 or 1"
    if accepted == ONE_OR_TWO and value != 1 and value != 2:
        return "1 or 2"
    if accepted == AT_LEAST_PREVIOUS and value < values[i - 1]:
        return f"at least {params[i - 1].name.decode()} ({values[i - 1]:g})"
    return None


cdef bint _reads_y(int row, const double *params) noexcept:
    """Whether the derivative can be had from y: the row has that form, and it holds for these parameters."""
    cdef int saved = fnn_activation_rows[row].saves
    return saved == FNN_SAVES_Y or saved == FNN_SAVES_Y_IF_NONNEGATIVE and params[0] >= 0 and params[1] >= 0


def backward_reads(str name, dict params):
    """"y" where the backward call of an activation with these parameters can take the output, else "x"."""
    cdef double values[FNN_MAX_PARAMS]
    cdef int row = _row(name, name)
    _params(values, row, params, name)
    return "y" if _reads_y(row, values) else "x"


def activation_forward(str name, object x, dict params, object out):
    cdef double values[FNN_MAX_PARAMS]
    cdef int row = _row(name, name)
    _params(values, row, params, name)
    cdef ndarray source = _array(x, name, "x")
    cdef int dtype = _dtype(source, name, "x")
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim, source.shape, dtype, name), out, source, True)
    cdef cut p = _cut(size(source), 1, dtype)
    with nogil:
        while _next(&p):
            fnn_activation_forward(dtype, row, _at(data(y), p.first, dtype), _at(data(source), p.first, dtype), p.count, values)
    return _deliver(out, y)


cdef object _differentiate(ndarray dx, ndarray dy, ndarray saved, int row, bint from_y, const double *params,
                           int dtype):
    """dx = dy * f'(saved); contiguous arrays."""
    cdef cut p = _cut(size(dy), 1, dtype)
    with nogil:
        while _next(&p):
            fnn_activation_backward(dtype, row, from_y, _at(data(dx), p.first, dtype), _at(data(dy), p.first, dtype),
                                    _at(data(saved), p.first, dtype), p.count, params)


def activation_backward(str name, object grad, object x, object y, dict params, object out):
    cdef str func = name + "_backward"
    cdef double values[FNN_MAX_PARAMS]
    cdef int row = _row(name, func)
    _params(values, row, params, func)
    if (x is None) == (y is None):
        raise TypeError(f"{func}: pass {'x' if fnn_activation_rows[row].saves == FNN_SAVES_X else 'exactly one of x and y'}")
    cdef bint from_y = x is None
    if from_y and not _reads_y(row, values):
        raise ValueError(f"{func}: {name} has no derivative from y"
                         f"{' with a negative parameter' if fnn_activation_rows[row].saves == FNN_SAVES_Y_IF_NONNEGATIVE else ''}; pass x")
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
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef int shared = size(w) == 1
    cdef int64_t batch = _rows(source), features = _last(source), at
    if shared:
        batch, features = size(source), 1
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernels.prelu_forward(_at(data(y), at, dtype), _at(data(source), at, dtype), data(w), p.count, features, shared)
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
    cdef int64_t batch = _rows(source), features = _last(source), at
    cdef ndarray dx = _new(source.ndim, source.shape, dtype), dweight = _new(w.ndim, w.shape, dtype)
    cdef ndarray sums = _sums(max(features, 1))
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef int shared = size(w) == 1
    if shared:
        batch, features = size(source), 1
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernels.prelu_backward(_at(data(dx), at, dtype), data(dweight), <double *>data(sums), _at(data(dy), at, dtype),
                                   _at(data(source), at, dtype), data(w), p.count, features, shared)
    return dx, dweight


def maxout(object x, object return_index, object out):
    cdef ndarray source = _array(x, "maxout", "x"), index = None
    cdef bint with_index = _flag(return_index, "maxout", "return_index")
    cdef int dtype = _dtype(source, "maxout", "x")
    if source.ndim == 0 or _last(source) == 0:
        raise ValueError(f"maxout: x has shape {_shape(source)} but (..., units, pieces) with at least one piece was expected")
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim - 1, source.shape, dtype, "maxout"), out, source, False)
    cdef int64_t n = _rows(source), pieces = _last(source)
    cdef int64_t *winners = NULL
    if with_index:
        index = cnp.PyArray_EMPTY(source.ndim - 1, source.shape, cnp.NPY_INT64, 0)
        winners = <int64_t *>data(index)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut p = _cut(n, pieces, dtype)
    with nogil:
        while _next(&p):
            kernels.maxout_forward(_at(data(y), p.first, dtype), NULL if winners == NULL else winners + p.first,
                                   _at(data(source), p.first * pieces, dtype), p.count, pieces)
    return (_deliver(out, y), index) if with_index else _deliver(out, y)


def maxout_backward(object grad, object index, object pieces, object out):
    cdef str func = "maxout_backward"
    cdef ndarray dy = _array(grad, func, "grad"), given = _array(index, func, "index"), chosen = _labels(given, func, "index")
    _require_same_shape(func, "grad", dy, "index", chosen)
    cdef int dtype = _dtype(dy, func, "grad")
    cdef int64_t count = _integer(pieces, func, "pieces", 1, 2 ** 31), n = size(dy), u
    dy = _ready(dy, dtype)
    cdef const int64_t *winners = <const int64_t *>data(chosen)
    for u in range(n):
        if winners[u] < 0 or winners[u] >= count:
            raise IndexError(f"{func}: index has {given.flat[u]} but a piece in [0, {count}) was expected")
    cdef npy_intp shape[MAX_NDIM]
    cdef int ndim = _shape_and(shape, dy, count, func, "grad")
    cdef ndarray dx = _apart(_output(out, ndim, shape, dtype, func), out, dy, False)
    dx = _apart(dx, out, chosen, False)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut p = _cut(n, count, dtype)
    with nogil:
        while _next(&p):
            kernels.maxout_backward(_at(data(dx), p.first * count, dtype), _at(data(dy), p.first, dtype), winners + p.first,
                                    p.count, count)
    return _deliver(out, dx)


def dropout(object x, object p, object seed, object step, object out, object layer=0, object first=0):
    """functional.dropout for one of several layers, or for a part of an array that starts at element `first` of it."""
    cdef ndarray source = _array(x, "dropout", "x")
    cdef int dtype = _dtype(source, "dropout", "x")
    cdef double probability = _number(p, "dropout", "p")
    if not 0 <= probability <= 1:
        raise ValueError(f"dropout: p is {p} but a probability in [0, 1] was expected")
    cdef uint64_t key = _integer(seed, "dropout", "seed", 0, 2 ** 64 - 1)
    cdef uint32_t at = _integer(step, "dropout", "step", 0, 2 ** 32 - 1)
    cdef uint32_t stream = _integer(layer, "dropout", "layer", 0, 2 ** 32 - 1)
    cdef int64_t start = _integer(first, "dropout", "first", 0, 2 ** 62)
    source = _ready(source, dtype)
    cdef ndarray y = _apart(_output(out, source.ndim, source.shape, dtype, "dropout"), out, source, True)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut piece = _cut(size(source), 1, dtype)
    with nogil:
        while _next(&piece):
            kernels.dropout(_at(data(y), piece.first, dtype), _at(data(source), piece.first, dtype), probability, key, at, stream,
                            start + piece.first, piece.count)
    return _deliver(out, y)


def random_words(int64_t n, uint64_t seed, uint32_t step, uint32_t layer, int64_t first):
    """Words [first, first + n) of the stream that dropout reads, as uint32."""
    cdef npy_intp count = n
    cdef ndarray words = cnp.PyArray_EMPTY(1, &count, cnp.NPY_UINT32, 0)
    cdef uint32_t *to = <uint32_t *>data(words)
    cdef const fnn_kernels *kernels = fnn_kernels_for(FNN_F32)
    cdef cut piece = _cut(n, 1, FNN_F32)
    with nogil:
        while _next(&piece):
            kernels.random_words(to + piece.first, seed, step, layer, first + piece.first, piece.count)
    return words


cdef enum:
    WORDS = 1024  # drawn at a time for an order


def random_order(int64_t n, uint64_t seed, uint32_t step, uint32_t layer):
    """A permutation of n < 2^32 rows, as int64: Fisher and Yates' shuffle, of which row i reads words 2 i and 2 i + 1."""
    cdef npy_intp count = n
    cdef ndarray order = cnp.PyArray_EMPTY(1, &count, cnp.NPY_INT64, 0)
    cdef int64_t *to = <int64_t *>data(order)
    cdef const fnn_kernels *kernels = fnn_kernels_for(FNN_F32)
    cdef uint32_t words[WORDS]
    cdef uint64_t low, high, among
    cdef int64_t i, j
    cdef cut piece = _cut(n, 1, FNN_F32)
    with nogil:
        while _next(&piece):
            for i in range(piece.first, piece.first + piece.count):
                if 2 * i % WORDS == 0:
                    kernels.random_words(words, seed, step, layer, 2 * i, WORDS)
                low, high, among = words[2 * i % WORDS], words[2 * i % WORDS + 1], i + 1
                j = <int64_t>((high * among + (low * among >> 32)) >> 32)  # 64 random bits times i + 1, divided by 2^64
                to[i] = to[j]
                to[j] = i
    return order
