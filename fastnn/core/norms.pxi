# Layer norm, RMS norm, batch norm.
#
# Design
# A. A value per feature is checked by _per_feature. Sums over rows are float64 arrays of _sums, padded to whole vectors, which a
#    kernel goes on from piece to piece.
# B. Statistics of batch norm are float64, whatever the dtype of x: those of another dtype take no part in that of the result.
# C. Batch norm has its features on axis 1, as PyTorch; further axes are moved before it, into rows.

cdef ndarray _per_feature(object given, int64_t features, ndarray x, str func, str arg):
    """One real number per feature, in whatever dtype; None for None."""
    if given is None:
        return None
    cdef ndarray a = _array(given, func, arg)
    _dtype(a, func, arg)
    if a.ndim != 1 or a.shape[0] != features:
        raise ValueError(f"{func}: {arg} has shape {_shape(a)} but ({features},) was expected (x {_shape(x)})")
    return a


cdef int _common_dtype(int dtype, ndarray a, str func, str arg) except -1:
    return dtype if a is None else max(dtype, _dtype(a, func, arg))


cdef inline ndarray _ready_or_none(ndarray a, int dtype):
    return None if a is None else _ready(a, dtype)


cdef double _epsilon(object eps, str func) except? -1:
    cdef double number = _number(eps, func, "eps")
    if not number >= 0:
        raise ValueError(f"{func}: eps is {number:g} but a number of at least 0 was expected")
    return number


cdef ndarray _sums(int64_t features):
    cdef npy_intp padded = (features + FNN_ROW_LANES - 1) // FNN_ROW_LANES * FNN_ROW_LANES
    return cnp.PyArray_ZEROS(1, &padded, NPY_FLOAT64, 0)


cdef ndarray _rounded(ndarray sums, npy_intp features, int dtype):
    """The first sums in dtype."""
    cdef ndarray a = _new(1, &features, dtype)
    cdef const double *source = <const double *>data(sums)
    cdef float *to = <float *>data(a)
    cdef npy_intp j
    if dtype == FNN_F64:
        memcpy(to, source, features * sizeof(double))
    else:
        for j in range(features):
            to[j] = <float>source[j]
    return a


cdef object _norm(str func, bint centred, object x, object weight, object bias, object eps, object out):
    """Layer norm or, not centred, RMS norm, whose eps may be None."""
    cdef ndarray source = _array(x, func, "x"), w, b
    cdef int dtype = _dtype(source, func, "x")
    cdef int64_t batch = _rows(source), features = _last(source), at
    w = _per_feature(weight, features, source, func, "weight")
    b = _per_feature(bias, features, source, func, "bias")
    dtype = _common_dtype(_common_dtype(dtype, w, func, "weight"), b, func, "bias")
    cdef double epsilon = _norm_epsilon(eps, centred, dtype, func)
    cdef ndarray y = _output(out, source.ndim, source.shape, dtype, func)
    source = _ready(source, dtype)
    w = _ready_or_none(w, dtype)
    b = _ready_or_none(b, dtype)
    y = _apart(y, out, source, True)
    for read in (w, b):
        if read is not None:
            y = _apart(y, out, read, False)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef fnn_norm_fn kernel = kernels.layer_norm_forward if centred else kernels.rms_norm_forward
    cdef void *weights = _data(w)
    cdef void *biases = _data(b)
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernel(_at(data(y), at, dtype), _at(data(source), at, dtype), weights, biases, epsilon, p.count, features)
    return _deliver(out, y)


cdef double _norm_epsilon(object eps, bint centred, int dtype, str func) except? -1:
    """eps; of RMS norm None is the epsilon of the dtype."""
    if eps is None and not centred:
        return FLT_EPSILON if dtype == FNN_F32 else DBL_EPSILON
    return _epsilon(eps, func)


def layer_norm(object x, object weight, object bias, object eps, object out):
    return _norm("layer_norm", True, x, weight, bias, eps, out)


def rms_norm(object x, object weight, object eps, object out):
    return _norm("rms_norm", False, x, weight, None, eps, out)


cdef object _norm_backward(str func, bint centred, object grad, object x, object weight, object eps):
    """dx, dweight and, centred, dbias."""
    cdef ndarray dy = _array(grad, func, "grad"), source = _array(x, func, "x"), w
    _require_same_shape(func, "grad", dy, "x", source)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(source, func, "x"))
    cdef int64_t batch = _rows(source), features = _last(source), at
    w = _per_feature(weight, features, source, func, "weight")
    dtype = _common_dtype(dtype, w, func, "weight")
    cdef double epsilon = _norm_epsilon(eps, centred, dtype, func)
    dy = _ready(dy, dtype)
    source = _ready(source, dtype)
    w = _ready_or_none(w, dtype)
    cdef ndarray dx = _new(source.ndim, source.shape, dtype), dweight = _sums(features), dbias = _sums(features)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef fnn_norm_backward_fn kernel = kernels.layer_norm_backward if centred else kernels.rms_norm_backward
    cdef void *weights = _data(w)
    cdef double *slopes = <double *>data(dweight)
    cdef double *levels = <double *>data(dbias) if centred else NULL
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernel(_at(data(dx), at, dtype), slopes, levels, _at(data(dy), at, dtype), _at(data(source), at, dtype), weights,
                   epsilon, p.count, features)
    if not centred:
        return dx, _rounded(dweight, features, dtype)
    return dx, _rounded(dweight, features, dtype), _rounded(dbias, features, dtype)


def layer_norm_backward(object grad, object x, object weight, object eps):
    return _norm_backward("layer_norm_backward", True, grad, x, weight, eps)


def rms_norm_backward(object grad, object x, object weight, object eps):
    return _norm_backward("rms_norm_backward", False, grad, x, weight, eps)


cdef int64_t _batch_features(ndarray x, str func) except -1:
    if x.ndim < 2:
        raise ValueError(f"{func}: x has shape {_shape(x)} but (batch, features) or (batch, features, ...) was expected")
    return x.shape[1]


cdef ndarray _statistic(object given, int64_t features, ndarray x, str func, str arg):
    """A mean or variance of each feature, in float64."""
    cdef ndarray a = _per_feature(given, features, x, func, arg)
    if a is None:
        raise TypeError(f"{func}: {arg} is None but an array of real numbers was expected")
    return _ready(a, FNN_F64)


cdef ndarray _running(object given, int64_t features, ndarray x, str func, str arg):
    """In-place gate of a running statistic; None for None."""
    if given is not None:
        given = _in_place(given, func, arg)
        _per_feature(given, features, x, func, arg)
    return given


cdef object _move(ndarray running, const double *value, double momentum, double factor):
    """running = (1 - momentum) running + momentum factor value, in float64."""
    cdef int dtype = FNN_F32 if typenum(running) == NPY_FLOAT32 else FNN_F64
    cdef ndarray ready = _ready(running, dtype)
    fnn_plain_for(dtype).move(data(ready), value, momentum, factor, size(ready))
    if ready is not running:
        np.copyto(running, ready)


cdef object _train_statistics(ndarray source, int64_t batch, npy_intp features, int dtype):
    """Mean and variance, the biased one, of the rows of a contiguous array, as float64."""
    cdef ndarray mean = _new(1, &features, FNN_F64), variance = _new(1, &features, FNN_F64)
    cdef ndarray sums = _sums(features), squares = _sums(features)
    cdef double *means = <double *>data(mean)
    cdef double *variances = <double *>data(variance)
    cdef double *sums_so_far = <double *>data(sums)
    cdef double *squares_so_far = <double *>data(squares)
    cdef const void *rows = data(source)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            kernels.batch_moments(means, variances, sums_so_far, squares_so_far, rows, p.first, p.count, features)
    return mean, variance


def batch_norm(object x, object running_mean, object running_var, object weight, object bias, object training, object momentum,
               object eps, object return_statistics, object out):
    cdef str func = "batch_norm"
    cdef bint trains = _flag(training, func, "training"), with_statistics = _flag(return_statistics, func, "return_statistics")
    cdef ndarray source = _array(x, func, "x"), w, b, mean, variance, means = None, variances = None, y
    cdef int dtype = _dtype(source, func, "x")
    cdef npy_intp features = _batch_features(source, func)
    cdef int64_t batch, at
    w = _per_feature(weight, features, source, func, "weight")
    b = _per_feature(bias, features, source, func, "bias")
    dtype = _common_dtype(_common_dtype(dtype, w, func, "weight"), b, func, "bias")
    cdef double epsilon = _epsilon(eps, func), share = _number(momentum, func, "momentum")
    if not 0 <= share <= 1:
        raise ValueError(f"{func}: momentum is {share:g} but a number in [0, 1] was expected")
    y = _output(out, source.ndim, source.shape, dtype, func)
    if trains:
        means = _running(running_mean, features, source, func, "running_mean")
        variances = _running(running_var, features, source, func, "running_var")
        updated = [(a, name) for a, name in ((means, "running_mean"), (variances, "running_var"), (out, "out")) if a is not None]
        _require_apart([a for a, _ in updated], [name for _, name in updated], func)
    elif running_mean is None or running_var is None:
        raise ValueError(f"{func}: pass running_mean and running_var, or training=True for the statistics of x")
    else:
        mean = _statistic(running_mean, features, source, func, "running_mean")
        variance = _statistic(running_var, features, source, func, "running_var")
    cdef bint moved = source.ndim > 2
    source = _axis_last(source, 1, dtype)
    batch = _rows(source)
    if trains:
        if batch == 1:
            raise ValueError(f"{func}: x {_shape(x)} has one value per feature but training needs at least two")
        mean, variance = _train_statistics(source, batch, features, dtype)
    w = _ready_or_none(w, dtype)
    b = _ready_or_none(b, dtype)
    if moved:
        y = _new(source.ndim, source.shape, dtype)
    else:
        y = _apart(y, out, source, True)
        for read in (w, b, mean, variance):
            if read is not None:
                y = _apart(y, out, read, False)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef const double *mean_from = <const double *>data(mean)
    cdef const double *variance_from = <const double *>data(variance)
    cdef void *weights = _data(w)
    cdef void *biases = _data(b)
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernels.batch_norm_forward(_at(data(y), at, dtype), _at(data(source), at, dtype), mean_from, variance_from, weights, biases,
                                       epsilon, p.count, features)
    if trains and batch:
        if means is not None:
            _move(means, mean_from, share, 1)
        if variances is not None:
            _move(variances, variance_from, share, batch / (batch - 1.0))
    result = _deliver_moved(out, y, moved, 1)
    if not with_statistics:
        return result
    return (result, mean, variance) if trains else (result, mean.copy(), variance.copy())


def batch_norm_backward(object grad, object x, object mean, object var, object weight, object training, object eps):
    cdef str func = "batch_norm_backward"
    cdef bint trains = _flag(training, func, "training")
    cdef ndarray dy = _array(grad, func, "grad"), source = _array(x, func, "x"), w, m, v
    _require_same_shape(func, "grad", dy, "x", source)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(source, func, "x"))
    cdef npy_intp features = _batch_features(source, func)
    m = _statistic(mean, features, source, func, "mean")
    v = _statistic(var, features, source, func, "var")
    w = _per_feature(weight, features, source, func, "weight")
    dtype = _common_dtype(dtype, w, func, "weight")
    cdef double epsilon = _epsilon(eps, func)
    cdef bint moved = source.ndim > 2
    dy = _axis_last(dy, 1, dtype)
    source = _axis_last(source, 1, dtype)
    w = _ready_or_none(w, dtype)
    cdef ndarray dx = _new(source.ndim, source.shape, dtype), dweight = _sums(features), dbias = _sums(features)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef const double *mean_from = <const double *>data(m)
    cdef const double *variance_from = <const double *>data(v)
    cdef void *weights = _data(w)
    cdef double *slopes = <double *>data(dweight)
    cdef double *levels = <double *>data(dbias)
    cdef int64_t batch = _rows(source), rows = batch if trains else 0, at
    cdef cut p = _cut(batch, features, dtype)
    with nogil:
        while _next(&p):
            at = p.first * features
            kernels.batch_norm_sums(slopes, levels, _at(data(dy), at, dtype), _at(data(source), at, dtype), mean_from, variance_from,
                                    epsilon, p.count, features)
        p = _cut_at(p.n, p.most)
        while _next(&p):
            at = p.first * features
            kernels.batch_norm_backward(_at(data(dx), at, dtype), _at(data(dy), at, dtype), _at(data(source), at, dtype), mean_from,
                                        variance_from, weights, slopes, levels, epsilon, rows, p.count, features)
    return _deliver_moved(None, dx, moved, 1), _rounded(dweight, features, dtype), _rounded(dbias, features, dtype)
