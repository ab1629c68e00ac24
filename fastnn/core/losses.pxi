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
    cdef int64_t batch = _rows(source), classes = _last(source), at
    cdef cut p = _cut(batch, classes, dtype)
    with nogil:
        while _next(&p):
            at = p.first * classes
            kernel(_at(data(y), at, dtype), _at(data(source), at, dtype), p.count, classes)
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
    cdef int64_t batch = _rows(dy), classes = _last(dy), at
    cdef cut p = _cut(batch, classes, dtype)
    with nogil:
        while _next(&p):
            at = p.first * classes
            kernel(_at(data(dx), at, dtype), _at(data(dy), at, dtype), _at(data(result), at, dtype), p.count, classes)
    return _deliver_moved(out, dx, moved, last)


def softmax_backward(object grad, object y, object axis, object out):
    return _softmax_backward("softmax_backward", False, grad, y, axis, out)


def log_softmax_backward(object grad, object y, object axis, object out):
    return _softmax_backward("log_softmax_backward", True, grad, y, axis, out)


LossInfo = namedtuple("LossInfo", "name layer function labels probabilities shared tasks outputs second columns pair accepts "
                      "weighs_values params")


cdef object _text(const char *s):
    return None if s == NULL else s.decode()


cdef dict _defaults(const fnn_param *params, int most):
    """From name to default."""
    cdef int i
    found = {}
    for i in range(most):
        if params[i].name == NULL:
            break
        found[params[i].name.decode()] = params[i].value
    return found


cdef class Loss:
    """A row of the table of losses. ``info.labels`` says whether targets are labels, ``info.probabilities`` whether they may be
    probabilities instead, ``info.shared`` whether a target is one number for all columns; ``info.second`` names the second
    argument, or is None, ``info.columns`` is its default, and ``info.pair`` says that it is of the shape of the input and has a
    gradient; ``info.accepts`` says which numbers are targets and inputs, None for all; ``info.weighs_values``, that class
    weights are not part of what a mean divides by."""
    cdef const fnn_loss_row *row
    cdef int index
    cdef list names  # of the parameters
    cdef str second
    cdef readonly object info

    def __cinit__(self, int index):
        cdef const fnn_loss_row *row = &fnn_loss_rows[index]
        cdef int i
        self.row = row
        self.index = index
        params = _defaults(&row.params[0], FNN_MAX_PARAMS)
        self.names = list(params)
        params = {name: self.value(i, number) for i, (name, number) in enumerate(params.items())}
        self.second = _text(row.second.name)
        columns = tuple([row.second.values[i] for i in range(row.second.count)]) or None
        tasks = tuple([row.tasks[i].decode() for i in range(FNN_MAX_TASKS) if row.tasks[i] != NULL])
        accepts = _description(row.accepts.target), _description(row.accepts.input)
        self.info = LossInfo(row.name.decode(), row.layer.decode(), row.function.decode(), row.target >= FNN_LABELS,
                             row.target == FNN_LABELS_OR_PROBABILITIES, row.target == FNN_NUMBER_A_ROW, tasks,
                             _text(row.outputs), self.second, columns, row.kind == FNN_PAIR, accepts,
                             bool(row.weighs_values), params)

    cdef object value(self, int i, double number):
        """A parameter as Python has it."""
        cdef int accepted = self.row.params[i].accepted
        if number != number:
            return None
        return bool(number) if accepted == SWITCH else int(number) if accepted == ONE_OR_TWO else number

    cdef object params(self, double *numbers, dict given, str func):
        """Fills numbers with the row's defaults and what is given, checked; returns the second argument."""
        cdef int i, accepted
        for i in range(FNN_MAX_PARAMS):
            numbers[i] = self.row.params[i].value
        if not given:
            return self.info.columns
        for name, value in given.items():
            if name in self.names:
                i = self.names.index(name)
                accepted = self.row.params[i].accepted
                if accepted == SWITCH:
                    numbers[i] = flag(value, func, name)
                elif value is not None or accepted != FROM_0_TO_1_OR_NONE:
                    numbers[i] = _number(value, func, name)
                    if numbers[i] != numbers[i]:  # which is how the table writes None
                        raise ValueError(f"{func}: {name} is nan but a number was expected")
            elif name != self.second:
                names = self.names + ([self.second] if self.second else [])
                raise TypeError(f"{func}: unknown parameter {name!r} ({func} takes {', '.join(names) or 'none'})")
        _check_numbers(numbers, &self.row.params[0], len(self.names), func)
        return given.get(self.second, self.info.columns)

    def check(self, str func, dict given):
        """The parameters as plain values, checked; func makes the messages. A second argument is None or a tuple of numbers."""
        cdef double numbers[FNN_MAX_PARAMS]
        second = self.params(numbers, given, func)
        found = {name: self.value(i, numbers[i]) for i, name in enumerate(self.names)}
        if second is not None:
            second = tuple(_second(second, self.row.second.accepted, FNN_F64, func, self.second).tolist())
        return found | ({self.second: second} if self.second in given else {})

    def first_refused(self, object target):
        """The place of the first number of an array that is no target, as a tuple of indices; None where all are targets."""
        cdef str func = self.info.function
        cdef ndarray t = _array(target, func, "target")
        cdef int dtype = _dtype(t, func, "target")
        cdef int64_t found = _first_refused(_ready(t, dtype), self.row.accepts.target, dtype)
        return None if found < 0 else _place(t, found)


LOSSES = {loss.info.name: loss for loss in [Loss(i) for i in range(FNN_LOSS_COUNT)]}


cdef int _check_numbers(const double *numbers, const fnn_param *params, int n, str func) except -1:
    """ValueError where a number is not what its parameter accepts."""
    cdef int i
    for i in range(n):
        wanted = _refusal(numbers, params, i)
        if wanted is not None:
            raise ValueError(f"{func}: {params[i].name.decode()} is {numbers[i]:g} but {wanted} was expected")
    return 0


cdef object _refused_words(double value, int accepted):
    """What is accepted, where a value is not that; else None."""
    cdef fnn_param param
    param.accepted = accepted
    return _refusal(&value, &param, 0)


cdef object _description(int accepted):
    """The numbers that are accepted, in words; None for all."""
    return None if accepted == ANY else _refused_words(-2, accepted)


cdef tuple _place(ndarray a, int64_t i):
    """The indices of the i-th number of an array."""
    return tuple([int(k) for k in np.unravel_index(i, _shape(a))])


cdef int64_t _first_refused(ndarray a, int accepted, int dtype) except -2:
    """The index of the first number that is not accepted, or -1; NaN is accepted, it gives NaN."""
    cdef int64_t (*first_refused)(const void *, int64_t, int) noexcept nogil
    cdef int64_t found = -1
    cdef cut p = _cut(size(a), 1, dtype)
    if accepted == ANY:
        return -1
    first_refused = fnn_kernels_for(dtype).first_refused
    with nogil:
        while found < 0 and _next(&p):
            found = first_refused(_at(data(a), p.first, dtype), p.count, accepted)
    return p.first + found if found >= 0 else -1


cdef int _require_accepted(ndarray a, int accepted, int dtype, str func, str arg) except -1:
    """ValueError for the first number that is not accepted, by row and column."""
    cdef int64_t found = _first_refused(a, accepted, dtype)
    if found < 0:
        return 0
    at = _place(a, found)
    place = f" at row {at[0]}" if at else ""
    if len(at) > 1:
        place += f", column {at[1] if len(at) == 2 else at[1:]}"
    raise ValueError(f"{func}: {arg} is {a[at]}{place} but {_description(accepted)} was expected")


cdef ndarray _second(object given, int accepted, int dtype, str func, str arg):
    """A number for each column, or one for all."""
    cdef ndarray a = np.atleast_1d(_array(given, func, arg))
    _dtype(a, func, arg)
    if a.ndim != 1 and size(a) != 1:
        raise ValueError(f"{func}: {arg} has shape {_shape(a)} but one number per column was expected")
    a = _ready(a.reshape(-1), dtype)
    for i, value in enumerate(a.tolist()):
        wanted = _refused_words(value, accepted)
        if wanted is not None:
            raise ValueError(f"{func}: {arg}[{i}] is {value} but {wanted} was expected")
    return a


cdef ndarray _of_pair(ndarray x, object given, int dtype, str func, str arg):
    """The second input of a pair, which has the shape of the first."""
    cdef ndarray a = _array(given, func, arg)
    _dtype(a, func, arg)
    return _ready(_shaped_like(x, a, func, arg), dtype)


cdef ndarray _columns(ndarray second, bint alike, ndarray x, int dtype, str func, str arg):
    """The second argument for each element of a row of x; where columns may be alike, one number does for all."""
    row = _shape(x)[1:]
    if (size(second) != 1 or not alike) and (not row or size(second) != row[-1]):
        raise ValueError(f"{func}: {arg} has shape {_shape(second)} but one number per column, {row[-1:] or (1,)}, was expected")
    return _ready(np.broadcast_to(second.reshape(()) if size(second) == 1 else second, row), dtype)


cdef ndarray _weights(object weight, int64_t n, int dtype, str func, str arg):
    """A weight per class or per sample."""
    cdef ndarray w = _array(weight, func, arg)
    if w.ndim == 2 and w.shape[1] == 1:
        w = w.reshape(-1)
    if w.ndim != 1 or w.shape[0] != n:
        raise ValueError(f"{func}: {arg} has shape {_shape(w)} but ({n},) was expected")
    _dtype(w, func, arg)
    return _ready(w, dtype)


cdef ndarray _class_labels(ndarray given, str func, int64_t classes, int64_t ignore_index):
    """Label gate: int64 labels, each in [0, classes) or ignore_index."""
    cdef ndarray labels = _labels(given, func, "target")
    cdef const int64_t *label = <const int64_t *>data(labels)
    cdef int64_t row
    cdef bint wraps = cnp.PyTypeNum_ISUNSIGNED(typenum(given))  # a uint64 beyond int64, to a negative number
    for row in range(size(labels)):
        if not 0 <= label[row] < classes and (label[row] != ignore_index or wraps and label[row] < 0):
            raise IndexError(f"{func}: target[{row}] is {given.flat[row]} but a label in [0, {classes}) or "
                             f"ignore_index ({ignore_index}) was expected")
    return labels


cdef ndarray _label_target(fnn_target *spec, ndarray x, ndarray t, object ignore_index, bint or_probabilities, int dtype, str func,
                           str name):
    """The target of a loss of classes: labels, or probabilities in the dtype of the input."""
    if not 1 <= x.ndim <= 2:
        have = "have" if name == "logits" else "has"
        raise ValueError(f"{func}: {name} {have} shape {_shape(x)} but (batch, classes) or (classes,) was expected")
    spec.ignore_index = _integer(ignore_index, func, "ignore_index", -2 ** 63, 2 ** 63 - 1)
    if or_probabilities and cnp.PyArray_SAMESHAPE(t, x) and t.dtype.kind not in "iu":
        return _numbers_target(spec, t, dtype, func)
    if size(t) == _rows(x) and (t.ndim == x.ndim - 1 or t.ndim == x.ndim and _last(t) == 1):
        t = _class_labels(t, func, _last(x), spec.ignore_index)
        spec.labels = <const int64_t *>data(t)
        return t
    if or_probabilities and cnp.PyArray_SAMESHAPE(t, x):
        raise TypeError(f"{func}: target has dtype {t.dtype} and the shape of {name} {_shape(x)}; probabilities must be floats")
    expected = f"labels {_shape(x)[:-1]} or probabilities {_shape(x)} were" if or_probabilities else f"labels {_shape(x)[:-1]} were"
    raise ValueError(f"{func}: target has shape {_shape(t)} but {expected} expected")


cdef ndarray _numbers_target(fnn_target *spec, ndarray t, int dtype, str func):
    _dtype(t, func, "target")
    t = _ready(t, dtype)
    spec.values = data(t)
    return t


cdef ndarray _shaped_like(ndarray x, ndarray a, str func, str arg):
    """An array in the shape of the input, where (batch,) and (batch, 1) count as one."""
    if cnp.PyArray_SAMESHAPE(x, a):
        return a
    if _shape(x) != _shape(a) + (1,) and _shape(a) != _shape(x) + (1,):
        raise ValueError(f"{func}: input has shape {_shape(x)} but {arg} has shape {_shape(a)}; equal shapes were expected")
    return a.reshape(_shape(x))


cdef ndarray _shared_target(ndarray x, ndarray t, str func):
    """A target with one number for each row of the input."""
    if x.ndim != 2:
        raise ValueError(f"{func}: input has shape {_shape(x)} but (batch, columns) was expected")
    if _shape(t) != (x.shape[0],) and _shape(t) != (x.shape[0], 1):
        raise ValueError(f"{func}: target has shape {_shape(t)} but one number per row, {_shape(x)[:1]}, was expected")
    return t


cdef double _scale(object reduction, object divisor, int dtype, fnn_target target, bint weighs_values, int64_t batch, int64_t terms):
    """1 / N: what a mean multiplies the sum of the losses by, NaN where N is 0. N is the sum of the rows' weights,
    or the divisor that a caller sets in its place, times the terms of a row."""
    cdef double n = 1
    if weighs_values:
        target.class_weight = NULL
    if divisor is not None:
        n = float(divisor) * terms
    elif reduction == "mean":
        n = fnn_kernels_for(dtype).sum_of_weights(&target, batch) * terms
    return 1 / n if n != 0 else NAN


cdef inline fnn_target _target_from(const fnn_target *t, const fnn_loss_row *loss, int64_t row, int64_t features,
                                    int dtype) noexcept nogil:
    """The target from a row on."""
    cdef fnn_target part = t[0]
    if part.labels != NULL:
        part.labels += row
    part.values = _at(part.values, row if loss.target == FNN_NUMBER_A_ROW else row * features, dtype)
    if loss.kind == FNN_PAIR:
        part.second = _at(part.second, row * features, dtype)
        part.dsecond = _at(part.dsecond, row * features, dtype)
    part.sample_weight = _at(part.sample_weight, row, dtype)
    return part


# What a loss is given as second input, input and target, and which numbers it accepts there; NULL where all are accepted.
cdef struct checks:
    const void *numbers[3]
    int accepted[3]


cdef inline void _check(checks *wanted, int i, object a, int accepted) noexcept:
    wanted.accepted[i] = accepted
    wanted.numbers[i] = _data(a) if accepted != ANY else NULL


cdef enum:
    CHECKED_AT_ONCE = 4096  # elements, which stay in the first-level cache until they are read again


cdef int _require_all_accepted(const checks *wanted, tuple arrays, tuple names, int dtype, str func) except -1:
    for i in range(3):
        if wanted.numbers[i] != NULL:
            _require_accepted(arrays[i], wanted.accepted[i], dtype, func, names[i])
    return 0


cdef inline bint _are_accepted(const checks *wanted, int64_t first, int64_t count, int dtype) noexcept nogil:
    cdef int i
    for i in range(3):
        if wanted.numbers[i] != NULL and fnn_kernels_for(dtype).first_refused(
                _at(wanted.numbers[i], first, dtype), count, wanted.accepted[i]) >= 0:
            return False
    return True


def loss(str func, Loss row, bint with_grad, object input, object target, object weight, object sample_weight,
         object ignore_index, dict given, object reduction, object divisor, object out, bint logarithms=False):
    """A loss of the table, or (loss, gradient), or (loss, gradient, second gradient). All is computed in the dtype of the input,
    whose gradient is wanted. divisor, unless None, stands in for the sum of the rows' weights in a mean. logarithms says that
    the second input is the logarithm of what it else is."""
    cdef const fnn_loss_row *table = row.row
    cdef bint labels = table.target >= FNN_LABELS, by_row = table.kind == FNN_ROW, shared = table.target == FNN_NUMBER_A_ROW
    cdef str name = "logits" if table.target == FNN_LABELS_OR_PROBABILITIES else "input"
    cdef ndarray x = _array(input, func, name), t = _array(target, func, "target")
    cdef ndarray class_weights = None, sample_weights = None, second = None, dx = None, dsecond = None, each = None
    cdef int dtype = _dtype(x, func, name)
    if reduction != "mean" and reduction != "sum" and reduction != "none":
        raise ValueError(f"{func}: reduction is {reduction!r} but 'mean', 'sum' or 'none' was expected")
    cdef double params[FNN_MAX_PARAMS]
    second_given = row.params(params, given, func)
    cdef fnn_target spec
    memset(&spec, 0, sizeof(spec))
    if labels:
        t = _label_target(&spec, x, t, ignore_index, table.target == FNN_LABELS_OR_PROBABILITIES, dtype, func, name)
    else:
        t = _numbers_target(&spec, _shared_target(x, t, func) if shared else _shaped_like(x, t, func, "target"), dtype, func)
    cdef int64_t batch = _rows(x) if by_row else x.shape[0] if x.ndim else 1
    cdef int64_t features = _last(x) if by_row else size(x) // batch if batch else 0
    if weight is not None:
        class_weights = _weights(weight, features, dtype, func, "weight")
        spec.class_weight = data(class_weights)
    if sample_weight is not None:
        sample_weights = _weights(sample_weight, batch, dtype, func, "sample_weight")
        spec.sample_weight = data(sample_weights)
    if table.kind == FNN_PAIR:
        params[FNN_MAX_PARAMS - 1] = logarithms
        second = _of_pair(x, second_given, dtype, func, row.second)
        dsecond = _new(x.ndim, x.shape, dtype) if with_grad else None
    elif second_given is not None:
        second = _second(second_given, table.second.accepted, dtype, func, row.second)
        second = _columns(second, table.second.count == 0, x, dtype, func, row.second)
    spec.second = _data(second)
    spec.dsecond = _data(dsecond)
    cdef double scale = _scale(reduction, divisor, dtype, spec, table.weighs_values, batch, 1 if by_row else features), sum = 0
    if with_grad:
        dx = _output(out, x.ndim, x.shape, dtype, func)
    x = _ready(x, dtype)
    cdef checks wanted
    _check(&wanted, 0, second, table.second.accepted if table.kind == FNN_PAIR and not logarithms else ANY)
    _check(&wanted, 1, x, table.accepts.input)
    _check(&wanted, 2, t, table.accepts.target if spec.values != NULL else ANY)
    if with_grad:
        dx = _apart(_apart(dx, out, x, True), out, t, not by_row and not shared)
        for weights in (class_weights, sample_weights, second):
            if weights is not None:
                dx = _apart(dx, out, weights, False)
    if reduction == "none":
        each = _new(x.ndim - 1 if by_row else x.ndim, x.shape, dtype)
    cdef fnn_loss_fn kernel = fnn_kernels_for(dtype).losses[row.index]
    cdef void *to = _data(dx)
    cdef void *each_to = _data(each)
    cdef int64_t at, first, count, rows = batch
    cdef bint refused = False, checking = False
    if wanted.numbers[0] != NULL or wanted.numbers[1] != NULL or wanted.numbers[2] != NULL:
        checking = out is None and not shared  # some rows at a time: what a refused call has written by then, nobody sees
        if checking:
            rows = max(CHECKED_AT_ONCE // max(features, 1), 1)
        else:
            _require_all_accepted(&wanted, (second, x, t), (row.second, name, "target"), dtype, func)
    cdef cut p = _cut(batch, features, dtype)
    cdef fnn_target part
    with nogil:
        while not refused and _next(&p):
            first = p.first
            while first < p.first + p.count:
                at = first * features
                count = min(rows, p.first + p.count - first)
                refused = checking and not _are_accepted(&wanted, at, count * features, dtype)
                if refused:
                    break
                part = _target_from(&spec, table, first, features, dtype)
                kernel(&sum, _at(each_to, first if by_row else at, dtype), _at(to, at, dtype), _at(data(x), at, dtype), &part, scale,
                       params, count, features)
                first += count
    if refused:
        _require_all_accepted(&wanted, (second, x, t), (row.second, name, "target"), dtype, func)
    result = sum * scale if each is None else each
    if not with_grad:
        return result
    return (result, _deliver(out, dx)) if dsecond is None else (result, _deliver(out, dx), dsecond)
