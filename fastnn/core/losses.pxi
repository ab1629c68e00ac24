# softmax and the losses.

cdef ndarray _axis_last(ndarray x, int axis, int dtype):
    return _ready(x if axis == x.ndim - 1 else np.moveaxis(x, axis, -1), dtype)


cdef int _axis(object axis, ndarray x, str func) except -1:
    if x.ndim == 0:
        raise ValueError(f"{func}: x is a 0-d array but at least one dimension was expected")
    cdef int a = _integer(axis, func, "axis", -x.ndim, x.ndim - 1)
    return a if a >= 0 else a + x.ndim


cdef object _softmax(str func, bint log, object x, object axis, object out):
    """softmax, or its logarithm."""
    cdef ndarray source = _array(x, func, "x"), y
    cdef int dtype = _dtype(source, func, "x"), last = _axis(axis, source, func)
    cdef bint moved = last != source.ndim - 1
    y = _output(out, source.ndim, source.shape, dtype, func)
    source = _axis_last(source, last, dtype)
    y = _new(source.ndim, source.shape, dtype) if moved else _apart(y, out, source, True)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef fnn_rows_fn kernel = kernels.log_softmax_forward if log else kernels.softmax_forward
    cdef int64_t batch = _rows(source), classes = _last(source)
    with nogil:
        kernel(data(y), data(source), batch, classes)
    return _deliver_moved(out, y, moved, last)


def softmax(object x, object axis, object out):
    return _softmax("softmax", False, x, axis, out)


def log_softmax(object x, object axis, object out):
    return _softmax("log_softmax", True, x, axis, out)


cdef object _deliver_moved(object out, ndarray y, bint moved, int axis):
    if moved:
        y = np.moveaxis(y, -1, axis)
        if out is None:
            y = np.ascontiguousarray(y)
    return _deliver(out, y)


cdef object _softmax_backward(str func, bint log, object grad, object y, object axis, object out):
    """The gradient of softmax from its output, or that of its logarithm."""
    cdef ndarray dy = _array(grad, func, "grad"), result = _array(y, func, "y"), dx
    _require_same_shape(func, "grad", dy, "y", result)
    cdef int dtype = max(_dtype(dy, func, "grad"), _dtype(result, func, "y")), last = _axis(axis, dy, func)
    cdef bint moved = last != dy.ndim - 1
    dx = _output(out, dy.ndim, dy.shape, dtype, func)
    dy = _axis_last(dy, last, dtype)
    result = _axis_last(result, last, dtype)
    dx = _new(dy.ndim, dy.shape, dtype) if moved else _apart(_apart(dx, out, dy, True), out, result, True)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef fnn_rows_backward_fn kernel = kernels.log_softmax_backward if log else kernels.softmax_backward
    cdef int64_t batch = _rows(dy), classes = _last(dy)
    with nogil:
        kernel(data(dx), data(dy), data(result), batch, classes)
    return _deliver_moved(out, dx, moved, last)


def softmax_backward(object grad, object y, object axis, object out):
    return _softmax_backward("softmax_backward", False, grad, y, axis, out)


def log_softmax_backward(object grad, object y, object axis, object out):
    return _softmax_backward("log_softmax_backward", True, grad, y, axis, out)


cdef ndarray _weights(object weight, int64_t n, int dtype, str func, str arg):
    """A weight per class or per sample."""
    cdef ndarray w = _array(weight, func, arg)
    if w.ndim == 2 and w.shape[1] == 1:
        w = w.reshape(-1)
    if w.ndim != 1 or w.shape[0] != n:
        raise ValueError(f"{func}: {arg} has shape {_shape(w)} but ({n},) was expected")
    _dtype(w, func, arg)
    return _ready(w, dtype)


cdef int _reduction(object reduction, str func) except -1:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{func}: reduction is {reduction!r} but 'mean', 'sum' or 'none' was expected")
    return ("mean", "sum", "none").index(reduction)


cdef double _scale(int reduction, object divisor, int dtype, const fnn_target *target, int64_t batch, int64_t features):
    """1 / N: what a mean multiplies the sum of the losses by, infinite where nothing counts. N is the number of losses a row
    has times the sum of the rows' weights, or times the divisor that a caller sets in its place."""
    cdef double n = 1
    if divisor is not None:
        n = float(divisor) * features
    elif reduction == 0:
        n = fnn_kernels_for(dtype).sum_of_weights(target, batch) * features
    return 1 / n if n != 0 else INFINITY


cdef fnn_target _no_target() noexcept:
    cdef fnn_target t
    t.labels = NULL
    t.probabilities = NULL
    t.class_weight = NULL
    t.sample_weight = NULL
    t.ignore_index = 0
    t.label_smoothing = 0
    return t


cdef ndarray _class_labels(ndarray given, str func, int64_t classes, int64_t ignore_index):
    """Label gate: int64 labels, each in [0, classes) or ignore_index."""
    cdef ndarray labels = _labels(given, func, "target")
    cdef const int64_t *label = <const int64_t *>data(labels)
    cdef int64_t row
    for row in range(size(labels)):
        if label[row] != ignore_index and not 0 <= label[row] < classes or \
                label[row] < 0 and given.dtype.kind == "u":  # a uint64 beyond int64 has wrapped around
            raise IndexError(f"{func}: target[{row}] is {given.flat[row]} but a label in [0, {classes}) or "
                             f"ignore_index ({ignore_index}) was expected")
    return labels


def cross_entropy(str func, object logits, object target, object weight, object sample_weight, object ignore_index,
                  object label_smoothing, object reduction, object divisor, bint with_grad, object out):
    """cross_entropy or cross_entropy_with_grad; divisor, unless None, stands in for the sum of the weights."""
    cdef ndarray x = _array(logits, func, "logits"), t = _array(target, func, "target"), dlogits = None, losses = None
    cdef ndarray class_weights = None, sample_weights = None
    cdef int dtype = _dtype(x, func, "logits"), kind = _reduction(reduction, func)
    if not 1 <= x.ndim <= 2:
        raise ValueError(f"{func}: logits have shape {_shape(x)} but (batch, classes) or (classes,) was expected")
    cdef int64_t batch = _rows(x), classes = _last(x)
    cdef fnn_target spec = _no_target()
    spec.ignore_index = _integer(ignore_index, func, "ignore_index", -2**63, 2**63 - 1)
    spec.label_smoothing = label_smoothing
    if not 0 <= spec.label_smoothing <= 1:
        raise ValueError(f"{func}: label_smoothing is {label_smoothing} but a value in [0, 1] was expected")
    if cnp.PyArray_SAMESHAPE(t, x) and t.dtype.kind not in "iu":
        _dtype(t, func, "target")
        t = _ready(t, dtype)
        spec.probabilities = data(t)
    elif size(t) == batch and (t.ndim == x.ndim - 1 or t.ndim == x.ndim and _last(t) == 1):
        t = _class_labels(t, func, classes, spec.ignore_index)
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
    cdef double scale = _scale(kind, divisor, dtype, &spec, batch, 1), total = 0
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
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef void *to = _data(dlogits)
    cdef void *each = _data(losses)
    with nogil:
        kernels.cross_entropy(&total, each, to, data(x), &spec, scale, batch, classes)
    loss = total if losses is None else losses
    return (loss, _deliver(out, dlogits)) if with_grad else loss


def pointwise_loss(str func, int row, object input, object target, object sample_weight, object reduction, object divisor,
                   bint with_grad, object out):
    """NAME_loss or NAME_loss_with_grad of a row of the table of losses; divisor, unless None, stands in for the sum of the
    weights. All is computed in the dtype of the input, whose gradient is wanted."""
    cdef ndarray x = _array(input, func, "input"), t = _array(target, func, "target"), dx = None, losses = None
    cdef ndarray sample_weights = None
    cdef int dtype = _dtype(x, func, "input"), kind = _reduction(reduction, func)
    _dtype(t, func, "target")
    if not cnp.PyArray_SAMESHAPE(x, t):
        if _shape(x) == _shape(t) + (1,) or _shape(t) == _shape(x) + (1,):
            t = t.reshape(_shape(x))
        else:
            raise ValueError(f"{func}: input has shape {_shape(x)} but target has shape {_shape(t)}; equal shapes were expected")
    cdef int64_t batch = x.shape[0] if x.ndim else 1
    cdef int64_t features = size(x) // batch if batch else 0
    cdef fnn_target spec = _no_target()
    if sample_weight is not None:
        sample_weights = _weights(sample_weight, batch, dtype, func, "sample_weight")
        spec.sample_weight = data(sample_weights)
    cdef double scale = _scale(kind, divisor, dtype, &spec, batch, features), total = 0
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
    cdef fnn_loss_fn kernel = fnn_kernels_for(dtype).losses[row]
    cdef void *to = _data(dx)
    cdef void *each = _data(losses)
    with nogil:
        kernel(&total, each, to, data(x), data(t), spec.sample_weight, scale, batch, features)
    loss = total if losses is None else losses
    return (loss, _deliver(out, dx)) if with_grad else loss


MSE = FNN_LOSS_mse
