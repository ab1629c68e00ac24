# Optimizer updates, in place.

OptimizerInfo = namedtuple("OptimizerInfo", "name function layer slots params counts counts_if")


cdef object _argument(str name):
    """The argument that holds a hyper-parameter, "betas" for "betas[0]", and where in it."""
    argument, _, index = name.partition("[")
    return argument, int(index[:-1]) if index else None


cdef class Optimizer:
    """A row of the table of optimizers. ``info.slots`` maps the arrays kept per parameter to the hyper-parameter without which
    they are not kept, or None; ``info.params`` maps arguments to defaults: a bool for a switch, a tuple for a pair. The number of
    the step takes part where ``info.counts``, or where the hyper-parameter ``info.counts_if`` is not 0."""
    cdef const fnn_optimizer_row *row
    cdef int index
    cdef list names  # of the hyper-parameters, "betas[0]" among them
    cdef dict places  # from argument to the numbers of its hyper-parameters
    cdef list slots, needs
    cdef readonly object info

    def __cinit__(self, int index):
        cdef const fnn_optimizer_row *row = &fnn_optimizer_rows[index]
        self.row = row
        self.index = index
        self.names = list(_defaults(&row.params[0], FNN_MAX_HYPER))
        self.places = {}
        for i, name in enumerate(self.names):
            argument, at = _argument(name)
            self.places[argument] = i if at is None else (*self.places.get(argument, ()), i)
        slots = {row.slots[j].name.decode(): _text(row.slots[j].needs) for j in range(FNN_MAX_SLOTS) if row.slots[j].name != NULL}
        self.slots, self.needs = list(slots), [needs and self.places[needs] for needs in slots.values()]
        self.info = OptimizerInfo(row.name.decode(), row.name.decode() + "_update", row.layer.decode(), slots, self.check(row.name.decode(), {}), bool(row.counts), _text(row.counts_if))

    cdef bint is_switch(self, int i):
        return self.row.params[i].accepted in (SWITCH, SWITCH_OF_MOMENTUM)

    cdef bint counts(self, const double *numbers):
        """Whether the number of the step takes part, with these hyper-parameters."""
        return self.row.counts or self.info.counts_if is not None and numbers[<int>self.places[self.info.counts_if]] != 0

    cdef int set(self, double *numbers, str argument, object value, str func) except -1:
        """Sets the hyper-parameters that an argument holds."""
        place = self.places[argument]
        if type(place) is tuple:
            try:
                first, second = value
            except (TypeError, ValueError):
                raise TypeError(f"{func}: {argument} is {value!r} but a pair of numbers was expected") from None
            for i, one in zip(place, (first, second)):
                numbers[i] = _number(one, func, self.names[i])
        else:
            numbers[place] = flag(value, func, argument) if self.is_switch(place) else _number(value, func, argument)
        return 0

    cdef int check_set(self, const double *numbers, str func) except -1:
        cdef int i
        for i in range(len(self.names)):
            if self.row.params[i].accepted == SWITCH_OF_MOMENTUM and numbers[i]:
                if not numbers[i - 2]:
                    raise ValueError(f"{func}: {self.names[i]} needs a {self.names[i - 2]} other than 0")
                if numbers[i - 1]:
                    raise ValueError(f"{func}: {self.names[i]} needs a {self.names[i - 1]} of 0")
        return _check_numbers(numbers, &self.row.params[0], len(self.names), func)

    cdef void defaults(self, double *numbers):
        cdef int i
        for i in range(FNN_MAX_HYPER):
            numbers[i] = self.row.params[i].value

    def pack(self, dict given):
        """Checked hyper-parameters as a kernel takes them, for ``step``."""
        cdef double numbers[FNN_MAX_HYPER]
        self.defaults(numbers)
        for argument, value in given.items():
            self.set(numbers, argument, value, self.info.name)
        return (<char *>numbers)[:sizeof(numbers)]

    def step(self, bytes packed, object lr, object number, object param, object grad, dict slots):
        """Step ``number`` of a specification, whose hyper-parameters ``pack`` has brought into form; lr, unless None, in place
        of its own."""
        cdef double hyper[FNN_MAX_HYPER]
        cdef str func = self.info.function
        memcpy(hyper, <const char *>packed, sizeof(hyper))
        if lr is not None:
            self.set(hyper, "lr", lr, func)
            self.check_set(hyper, func)
        if self.counts(hyper):
            number = _integer(number, func, "step", 1, 2 ** 62)
        _update(func, self, hyper, number, param, grad, [slots.get(name) for name in self.slots])

    def check(self, str func, dict given):
        """The hyper-parameters as plain numbers, checked; func makes the messages."""
        cdef double numbers[FNN_MAX_HYPER]
        self.defaults(numbers)
        for argument, value in given.items():
            self.set(numbers, argument, value, func)
        self.check_set(numbers, func)
        found = {}
        for argument, place in self.places.items():
            if type(place) is tuple:
                found[argument] = tuple([numbers[i] for i in place])
            else:
                found[argument] = bool(numbers[place]) if self.is_switch(place) else numbers[place]
        return found


OPTIMIZERS = {optimizer.info.name: optimizer for optimizer in [Optimizer(i) for i in range(FNN_OPTIMIZER_COUNT)]}


cdef ndarray _updated(object x, str func, str name, ndarray param):
    """In-place gate of param and of the arrays kept for it."""
    cdef ndarray a = _in_place(x, func, name)
    if a is not param:
        _require_same_shape(func, name, a, "param", param)
        if typenum(a) != typenum(param):
            raise TypeError(f"{func}: {name} has dtype {a.dtype} but param has dtype {param.dtype}")
    return a


cdef object _arguments(double *hyper, Optimizer row, tuple slots, dict given, str func):
    """Fills hyper from the arguments of an update, checked; returns its slots, a list with None where one is not given, and
    the number of the step."""
    if len(slots) > len(row.slots):
        raise TypeError(f"{func}: {len(slots)} slots were given but it takes {len(row.slots)} ({', '.join(row.slots)})")
    arrays, step = list(slots) + [None] * (len(row.slots) - len(slots)), None
    row.defaults(hyper)
    for name, value in given.items():
        if name in row.places:
            row.set(hyper, name, value, func)
        elif name == "step" and (row.row.counts or row.info.counts_if):
            step = _integer(value, func, "step", 1, 2 ** 62)
        elif name in row.slots and arrays[row.slots.index(name)] is None:
            arrays[row.slots.index(name)] = value
        elif name in row.slots:
            raise TypeError(f"{func}: {name} given twice")
        else:
            raise TypeError(f"{func}: unknown parameter {name!r} ({func} takes {', '.join(row.places)})")
    if "lr" not in given or row.row.counts and step is None:
        raise TypeError(f"{func}: {'step' if 'lr' in given else 'lr'} is missing")
    row.check_set(hyper, func)
    if step is None and row.counts(hyper):
        raise TypeError(f"{func}: step is missing, which {row.info.counts_if} needs")
    return arrays, step


def update(str func, Optimizer row, object param, object grad, tuple slots, dict given):
    """One step of an optimizer of the table; slots by position or, with the hyper-parameters, in given."""
    cdef double hyper[FNN_MAX_HYPER]
    arrays, step = _arguments(hyper, row, slots, given, func)
    _update(func, row, hyper, step, param, grad, arrays)


cdef ndarray _walk(ndarray x, bint k_major, int dtype, fnn_rows *rows, list copies):
    """The array, ready, whose rows an update walks: x, or its transpose where the parameter is k-major. One that it updates
    without being x goes to `copies`, with what it is a copy of; None for a gradient."""
    cdef ndarray given = x.T if k_major else x, ready = _rows_ready(given, dtype)
    if copies is not None and ready is not given:
        copies.append((given, ready))
    rows.data = data(ready)
    rows.row = _last(ready) if cnp.PyArray_ISCARRAY_RO(ready) else _step(ready, 0)
    return ready


cdef object _update(str func, Optimizer row, const double *hyper, object step, object param, object grad, list slots):
    """One step with checked hyper-parameters; slots holds None where an array is not given."""
    cdef fnn_rows rows[2 + FNN_MAX_SLOTS]  # of param, gradient and slots
    cdef int j
    cdef ndarray p = _in_place(param, func, "param"), g = _array(grad, func, "grad")
    cdef int dtype = FNN_F32 if typenum(p) == NPY_FLOAT32 else FNN_F64
    cdef bint k_major = _k_major(p)
    cdef list names = ["param", "grad"], arrays = [p, g], copies = [], ready  # which keeps what is walked alive
    _require_same_shape(func, "grad", g, "param", p)
    _dtype(g, func, "grad")
    memset(rows, 0, sizeof(rows))
    ready = [_walk(p, k_major, dtype, &rows[0], copies)]
    for j in range(len(row.slots)):
        needs, name = row.needs[j], row.slots[j]
        if needs is not None and hyper[<int>needs] == 0:
            continue
        if slots[j] is None and needs is not None:
            value = True if row.is_switch(needs) else f"{hyper[<int>needs]:g}"
            raise ValueError(f"{func}: {row.names[needs]} is {value} but {name} is None; an array shaped like "
                             "param was expected")
        names.append(name)
        arrays.append(_updated(slots[j], func, name, p))
        ready.append(_walk(arrays[-1], k_major, dtype, &rows[2 + j], copies))
    _require_apart(arrays, names, func)
    ready.append(_walk(g, k_major, dtype, &rows[1], None))
    _run_update(row, hyper, step or 0, rows, _rows(ready[0]), _last(ready[0]), dtype)
    for array, done in copies:
        np.copyto(array, done)


cdef object _run_update(Optimizer row, const double *hyper, double step, const fnn_rows *arrays, int64_t rows, int64_t n,
                        int dtype):
    """One step on rows of n elements of param, gradient and slots, in pieces."""
    cdef double scalars[FNN_MAX_SCALARS]
    cdef fnn_rows part[2 + FNN_MAX_SLOTS]
    cdef bint one_row = True  # whether nothing lies between the rows
    cdef int j
    for j in range(2 + FNN_MAX_SLOTS):
        one_row = one_row and (arrays[j].data == NULL or arrays[j].row == n)
    if one_row:
        rows, n = 1, rows * n
    memset(scalars, 0, sizeof(scalars))
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef cut down = _cut(rows, n, dtype), whole = _cut(n, 1, dtype), across
    with nogil:
        kernels.scalars[row.index](scalars, hyper, step)
        while _next(&down):
            across = whole
            while _next(&across):
                for j in range(2 + FNN_MAX_SLOTS):
                    part[j] = arrays[j]
                    if part[j].data != NULL:
                        part[j].data = _at(part[j].data, down.first * part[j].row + across.first, dtype)
                kernels.updates[row.index](part[0], &part[2], part[1], down.count, across.count, scalars)


cdef object _require_apart(list arrays, list names, str func):
    """ValueError where two of the arrays, all of which but the gradient are updated in place, share memory."""
    cdef int i, k
    for i in range(len(arrays)):
        for k in range(i):
            if _near(<ndarray>arrays[k], <ndarray>arrays[i]) and np.shares_memory(arrays[k], arrays[i]):
                raise ValueError(f"{func}: {names[k]} and {names[i]} share memory, but arrays that are updated in place must "
                                 "stand apart")


def sums_of_squares(object x):
    """Sum of squares of each row of a matrix, in an order of its own; float64."""
    cdef ndarray a = _array(x, "sums_of_squares", "x")
    cdef int dtype = _dtype(a, "sums_of_squares", "x")
    a = _ready(a, dtype)
    cdef int64_t batch = a.shape[0], features = a.shape[1]
    cdef ndarray sums = np.empty(batch)
    with nogil:
        fnn_kernels_for(dtype).sums_of_squares(<double *>data(sums), data(a), batch, features)
    return sums


def sum_of_squares(ndarray x, bint k_major):
    """Sum of squares of an array in the order of its memory: sums_of_squares of its rows, of those of its transpose where it is
    k-major, added in increasing order; a float."""
    cdef ndarray sums = sums_of_squares(x.T if k_major else x.reshape(_rows(x), _last(x)))
    cdef double total = 0
    cdef npy_intp i
    for i in range(size(sums)):
        total += (<double *>data(sums))[i]
    return total
