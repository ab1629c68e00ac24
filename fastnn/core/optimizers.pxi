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


cdef object _update(str func, Optimizer row, const double *hyper, object step, object param, object grad, list slots):
    """One step with checked hyper-parameters; slots holds None where an array is not given."""
    cdef double scalars[FNN_MAX_SCALARS]
    cdef void *kept[FNN_MAX_SLOTS]
    cdef void *slots_from[FNN_MAX_SLOTS]
    cdef int j
    cdef ndarray p = _in_place(param, func, "param"), g = _array(grad, func, "grad"), slot, ready
    cdef int dtype = FNN_F32 if typenum(p) == NPY_FLOAT32 else FNN_F64
    cdef list names = ["param", "grad"], arrays = [p, g], copies = []
    _require_same_shape(func, "grad", g, "param", p)
    _dtype(g, func, "grad")
    memset(scalars, 0, sizeof(scalars))
    memset(kept, 0, sizeof(kept))
    for j in range(len(row.slots)):
        needs, name = row.needs[j], row.slots[j]
        if needs is not None and hyper[<int>needs] == 0:
            continue
        if slots[j] is None and needs is not None:
            value = True if row.is_switch(needs) else f"{hyper[<int>needs]:g}"
            raise ValueError(f"{func}: {row.names[needs]} is {value} but {name} is None; an array shaped like "
                             "param was expected")
        slot = _updated(slots[j], func, name, p)
        names.append(name)
        arrays.append(slot)
        ready = _ready(slot, dtype)
        if ready is not slot:
            copies.append((slot, ready))
        kept[j] = data(ready)
    _require_apart(arrays, names, func)
    ready = _ready(p, dtype)
    if ready is not p:
        copies.append((p, ready))
    g = _ready(g, dtype)
    cdef const fnn_kernels *kernels = fnn_kernels_for(dtype)
    cdef int64_t n = size(p)
    cdef double number = step or 0
    cdef cut piece = _cut(n, 1, dtype)
    with nogil:
        kernels.scalars[row.index](scalars, hyper, number)
        while _next(&piece):
            for j in range(FNN_MAX_SLOTS):
                slots_from[j] = _at(kept[j], piece.first, dtype)
            kernels.updates[row.index](_at(data(ready), piece.first, dtype), slots_from, _at(data(g), piece.first, dtype), piece.count,
                                       scalars)
    for array, done in copies:
        np.copyto(array, done)


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
