# A compiled network (network.h): its tables filled from Python, and calls that run many minibatches without the GIL.
#
# Design
# A. A Network holds references to the arrays whose memory its table points into; they never move.
# B. Whatever can be wrong with rows and targets has been checked by the caller. What a call cannot take it says by returning
#    None, or a code and how far it came: the caller then goes the way layer by layer, whose errors say more.

_OP_KINDS = {fnn_op_rows[i].name.decode(): i for i in range(FNN_OP_COUNT)}


cdef bint _is_gathered(fnn_array *to, ndarray a, int64_t features):
    """Whether rows of so many elements can be gathered from a; they are then described in `to`."""
    cdef int i
    cdef npy_intp expected = cnp.PyArray_ITEMSIZE(a)
    cdef int number = typenum(a)
    if a.ndim == 0 or not cnp.PyArray_ISBEHAVED_RO(a):
        return False
    to.from_ = FNN_FROM_F32 if number == NPY_FLOAT32 else FNN_FROM_F64 if number == NPY_FLOAT64 else _ELEMENTS.get(a.dtype.str[1:], -1)
    if to.from_ < 0:
        return False
    for i in range(a.ndim - 1, 0, -1):
        if a.shape[i] != 1 and a.strides[i] != expected:
            return False
        expected *= a.shape[i]
    if expected != features * cnp.PyArray_ITEMSIZE(a) or a.strides[0] % cnp.PyArray_ITEMSIZE(a):
        return False
    to.data = data(a)
    to.itemsize = cnp.PyArray_ITEMSIZE(a)
    to.row = _step(a, 0)
    return True


cdef class Network:
    """The table of a compiled network.

    Parameters are lists of tuples: values (times, features, in_panels, wide); rows (kind, inputs, outputs, parameters, options), where
    options is a dict of members of fnn_op; parameters (array, slots, sum, average, group, is_weight, in_strips), where slots, sum and
    average may be None; groups (Optimizer, packed hyper-parameters). inputs are two values, or -1: the input in the network's dtype and
    in float64. waiting is one fnn_waiting and steps one int64, which the network reads and counts on; None for a network of inference."""
    cdef fnn_network network
    cdef list kept
    cdef readonly int features, outputs
    cdef int targets  # numbers in a row of the loss's target
    cdef public bint own_dtype_alone  # whether the input must be what is computed in the network's dtype anyway
    cdef bint refuses  # whether there is an input of a dtype it takes that it refuses
    cdef npy_intp shape[MAX_NDIM]  # of the input of the latest step
    cdef int ndim, target_number  # of that input; of the elements of its targets
    cdef bint labels  # whether these were labels
    cdef int64_t batch  # how many rows it had

    def __cinit__(self, str dtype, list values, list ops, list parameters, list groups, tuple inputs, int output, ndarray waiting=None,
                  ndarray steps=None):
        cdef fnn_network *n = &self.network
        self.kept = []
        n.dtype = FNN_F32 if dtype == "float32" else FNN_F64
        n.values_count, n.ops_count, n.parameters_count, n.groups_count = len(values), len(ops), len(parameters), len(groups)
        n.values = <fnn_value *>calloc(len(values) + 1, sizeof(fnn_value))
        n.ops = <fnn_op *>calloc(len(ops) + 1, sizeof(fnn_op))
        n.parameters = <fnn_parameter *>calloc(len(parameters) + 1, sizeof(fnn_parameter))
        n.groups = <fnn_group *>calloc(len(groups) + 1, sizeof(fnn_group))
        if not (n.values and n.ops and n.parameters and n.groups):
            raise MemoryError
        n.most = INFINITY
        n.output, n.accumulate, n.waiting, n.steps = output, 1, <fnn_waiting *>_data(waiting), <int64_t *>_data(steps)
        self.kept += [waiting, steps]
        n.input, n.wide_input = inputs
        for i, (times, features, in_panels, wide) in enumerate(values):
            n.values[i].times, n.values[i].features, n.values[i].in_panels, n.values[i].wide = times, features, bool(in_panels), wide
        for i, op in enumerate(ops):
            self.fill_op(&n.ops[i], op)
            self.refuses |= op[0] == "embedding"
        for i, parameter in enumerate(parameters):
            self.fill_parameter(&n.parameters[i], parameter)
        for i, (row, packed) in enumerate(groups):
            n.groups[i].optimizer = (<Optimizer>row).index
            memcpy(n.groups[i].hyper, <const char *><bytes>packed, sizeof(n.groups[i].hyper))
        self.features, self.outputs = n.values[0].times * n.values[0].features, n.values[output].features

    def __dealloc__(self):
        fnn_network_free(&self.network)
        free(self.network.values)
        free(self.network.ops)
        free(self.network.parameters)
        free(self.network.groups)

    cdef int fill_op(self, fnn_op *op, tuple row) except -1:
        cdef int i
        kind, inputs, outputs, parameters, options = row
        op.kind = _OP_KINDS[kind]
        for i in range(2):
            op.inputs[i] = inputs[i] if i < len(inputs) else -1
            op.outputs[i] = outputs[i] if i < len(outputs) else -1
            op.parameters[i] = parameters[i] if i < len(parameters) and parameters[i] is not None else -1
        op.activation, params = FNN_identity, options.get("params", ())
        if "activation" in options:
            op.activation = _row(options["activation"], "Network")
            _params(op.params, op.activation, params, "Network")
            op.from_y = _reads_y(op.activation, op.params)
        else:
            for i, value in enumerate(params):
                op.params[i] = value
        op.differentiates = options.get("differentiates", -1)
        op.differentiated, op.need_dx = options.get("differentiated", False), options.get("need_dx", True)
        op.number, op.seed = options.get("number", 0), options.get("seed", 0)
        cdef ndarray many = np.array(options.get("many", ()), np.intc)
        self.kept.append(many)
        op.many, op.many_count = <int *>data(many), size(many)
        for i, array in enumerate(options.get("buffers", ())):
            self.kept.append(array)
            op.buffers[i] = data(<ndarray>array)
        return 0

    cdef int fill_parameter(self, fnn_parameter *p, tuple row) except -1:
        cdef ndarray a = row[0]
        cdef int i
        array, slots, total, average, p.group, p.is_weight, p.in_strips = row
        p.k_major = _k_major(a)
        if p.k_major:
            a = a.T
        if a.ndim < 2 or not (a.ndim == 2 and a.strides[1] == cnp.PyArray_ITEMSIZE(a)):
            p.rows, p.columns, p.row = 1, size(a), size(a)
        else:
            p.rows, p.columns, p.row = a.shape[0], a.shape[1], _step(a, 0)
        p.data = self.laid_out(array, array)
        p.sum, p.average = self.laid_out(total, array), self.laid_out(average, array)
        for i in range(len(slots)):
            p.slots[i] = self.laid_out(slots[i], array)
        return 0

    cdef void *laid_out(self, object array, object like) except? NULL:
        """Where an array begins, which is kept and must be laid out like another; NULL for None."""
        if array is None:
            return NULL
        if (array.dtype, array.shape, array.strides) != (like.dtype, like.shape, like.strides):
            raise ValueError("Network: what is kept for a parameter is not laid out like it")
        self.kept.append(array)
        return data(<ndarray>array)

    def set_loss(self, Loss row, dict params, object class_weight, object second, object ignore_index):
        """The loss: its parameters, class weights and second numbers of each column, or None."""
        cdef fnn_network *n = &self.network
        row.params(n.loss_params, params, "Network")
        n.loss, self.targets = row.index, self.outputs
        if row.row.kind == FNN_PAIR:
            n.loss_params[FNN_MAX_PARAMS - 1], self.targets = 1, self.outputs // 2  # logarithms
        elif row.row.target == FNN_NUMBER_A_ROW:
            self.targets = 1
        n.ignore_index = ignore_index or 0
        for name, array in (("class_weight", class_weight), ("second", second)):
            if array is not None:
                array = np.ascontiguousarray(array, np.float32 if n.dtype == FNN_F32 else np.float64)
                self.kept.append(array)
            if name == "second":
                n.second = _data(array)
            else:
                n.class_weight = _data(array)

    def limit_told(self, double most):
        """What a value of the loss counts at most in the loss that is told; its gradient stays."""
        self.network.most = most

    def set_options(self, double l1, double l2, bint of_sum, double clip_value, double clip_norm, double max_norm, double ema, int64_t accumulate):
        """What a step does besides the update; a limit that there is not is infinite."""
        cdef fnn_regularisation *r = &self.network.regularisation
        r.l1, r.l2, r.of_sum = l1, l2, of_sum
        r.clip_value, r.clip_norm, r.max_norm, r.ema = clip_value, clip_norm, max_norm, ema
        self.network.accumulate = accumulate
        self.network.keeps_gradients = accumulate > 1 or clip_norm < INFINITY

    cdef int reserve(self, int64_t batch) except -1:
        if batch > self.network.capacity and fnn_network_reserve(&self.network, batch):
            raise MemoryError("fastnn: no memory for the activations of a network")
        return 0

    cdef bint takes(self, fnn_array *to, ndarray x):
        """Whether the network can read the input x; it is then described in `to`."""
        if not _is_gathered(to, x, self.features):
            return False
        if not self.own_dtype_alone:
            return True
        return np.result_type(x.dtype, np.float32) == (np.float32 if self.network.dtype == FNN_F32 else np.float64)

    cdef bint describe(self, fnn_data *to, ndarray x, ndarray target, bint labels, ndarray sample_weight, ndarray order):
        """Whether the network can read these arrays; they are then described in `to`."""
        memset(to, 0, sizeof(to[0]))
        if not self.takes(&to.x, x):
            return False
        if labels:
            to.labels = <const int64_t *>data(target)
        elif not _is_gathered(&to.target, target, self.targets):
            return False
        to.sample_weight = <const double *>_data(sample_weight)
        to.order = <const int64_t *>_data(order)
        return True

    def train(self, ndarray x, ndarray target, bint labels, ndarray sample_weight, ndarray order, ndarray starts, ndarray rows,
              bint divide, ndarray rates, ndarray penalties=None, ndarray outputs=None):
        """Train on the minibatches between the rows `starts`, of which `rows` count. Returns (losses of those done, code); None where
        the arrays cannot be read. labels says that target holds contiguous int64 labels; order and starts are contiguous int64,
        sample_weight, rows, rates (minibatches, groups) and penalties, which receives those of each minibatch, float64; outputs is what ``new_outputs`` returns, or None. See fnn_network_train."""
        cdef fnn_data described
        cdef int64_t count = size(starts) - 1, done = 0, longest = 0, i
        cdef const int64_t *start = <const int64_t *>data(starts)
        cdef ndarray losses = np.empty(count)
        cdef int code
        if not self.describe(&described, x, target, labels, sample_weight, order):
            return None
        for i in range(count):
            longest = max(longest, start[i + 1] - start[i])
        self.reserve(longest)
        cdef const double *counting = <const double *>data(rows)
        cdef const double *rate = <const double *>_data(rates)
        cdef double *loss = <double *>data(losses)
        cdef double *penalty = <double *>_data(penalties)
        cdef void *output = _data(outputs)
        with nogil:
            code = fnn_network_train(&self.network, &described, start, count, counting, divide, rate, loss, penalty, output, &done)
        if code == FNN_NO_MEMORY:
            raise MemoryError("fastnn: no memory for scratch space")
        return losses[:done], code

    def step(self, ndarray x, ndarray target, bint labels, ndarray sample_weight, double rows, bint divide, ndarray rates):
        """One minibatch: its loss, or None where ``train`` would return None or a code; see there."""
        cdef fnn_data described
        if not self.describe(&described, x, target, labels, sample_weight, None):
            return None
        self.ndim, self.labels, self.target_number = x.ndim, labels, typenum(target)
        memcpy(self.shape, x.shape, x.ndim * sizeof(npy_intp))
        return self.make_step(&described, x.shape[0], rows, divide, <const double *>_data(rates))

    def step_again(self, object x, object target):
        """One minibatch that has no weights and counts as one row, by the optimizers' own rates: its loss, as ``step`` returns it. None
        also where rows of x have another shape than in the latest ``step``, or targets are another kind of numbers."""
        cdef fnn_data described
        cdef ndarray a, y
        if type(x) is not ndarray or type(target) is not ndarray:
            return None
        a, y = x, target
        if a.ndim != self.ndim or self.ndim == 0 or not cnp.PyArray_CompareLists(a.shape + 1, self.shape + 1, self.ndim - 1):
            return None
        if typenum(y) != self.target_number or y.ndim == 0 or y.shape[0] != a.shape[0] or self.labels and not is_labels(y):
            return None
        if not self.describe(&described, a, y, self.labels, None, None):
            return None
        return self.make_step(&described, a.shape[0], 1, False, NULL)

    cdef object make_step(self, fnn_data *described, int64_t batch, double rows, bint divide, const double *rate):
        """The loss of one minibatch, or None where its step was not made."""
        cdef int64_t starts[2]
        cdef int64_t done = 0
        cdef double loss = 0
        cdef int code
        starts[0], starts[1] = 0, batch
        self.reserve(batch)
        with nogil:
            code = fnn_network_train(&self.network, described, starts, 1, &rows, divide, rate, &loss, NULL, NULL, &done)
        if code == FNN_NO_MEMORY:
            raise MemoryError("fastnn: no memory for scratch space")
        if code:
            return None
        self.batch = batch
        return loss

    def flush(self, ndarray rates):
        """A step by the gradients that wait, if there are any."""
        cdef const double *rate = <const double *>_data(rates)
        self.reserve(1)
        with nogil:
            fnn_network_flush(&self.network, rate)

    def start_clock(self):
        """From now on, note what each row takes."""
        cdef ndarray spent = np.zeros((self.network.ops_count, 2))
        self.kept.append(spent)
        self.network.spent = <double *>data(spent)

    def read_clock(self):
        """What each row has taken since the clock was started: a list of (kind, features of its input, of its output, seconds of its
        forward passes, of its backward passes, updates among them)."""
        cdef const fnn_op *op
        found = []
        for i in range(self.network.ops_count):
            op = &self.network.ops[i]
            sizes = [self.network.values[value].features if value >= 0 else 0 for value in (op.inputs[0], op.outputs[0])]
            found.append((fnn_op_rows[op.kind].name.decode(), *sizes, self.network.spent[2 * i], self.network.spent[2 * i + 1]))
        return found

    def new_outputs(self, int64_t batch):
        """An array for the outputs of so many rows, (rows, members, features); without an ensemble there is one member."""
        cdef npy_intp shape[3]
        shape[0], shape[1], shape[2] = batch, self.network.values[self.network.output].times, self.outputs
        return _new(3, shape, self.network.dtype)

    def latest_output(self):
        """The output of the latest step."""
        cdef ndarray y = self.new_outputs(self.batch)
        fnn_network_output(&self.network, data(y), self.batch)
        return y


cdef enum:
    MOST_SHAPES = 100  # of which Predictors are kept
    HELD = 50000  # multiply-adds of a call that keeps the GIL: some 2 us, the price of handing it over and waiting for it again


cdef class Predictor:
    """What computes a model's output for inputs whose rows have one shape, by a network without training. Immutable.

    Parameters
    ----------
    network : Network
    shape, made : tuple of int
        Of an input and the output: a row's, after None; or that of one row alone."""
    cdef Network network
    cdef npy_intp shape[MAX_NDIM]
    cdef npy_intp made[MAX_NDIM]
    cdef int ndim, made_ndim, dtype
    cdef int64_t elements, outputs

    def __cinit__(self, Network network, tuple shape, tuple made):
        cdef fnn_network *n = &network.network
        self.network, self.ndim, self.made_ndim, self.dtype = network, len(shape), len(made), n.dtype
        for i, length in enumerate(shape):
            self.shape[i] = -1 if length is None else length
        for i, length in enumerate(made):
            self.made[i] = -1 if length is None else length
        self.outputs = n.values[n.output].times * n.values[n.output].features
        fnn_network_prepare(n)
        self.elements = <int64_t>(n.multiply_adds / MULTIPLY_ADDS + n.elements)

    cdef bint takes(self, ndarray x) noexcept:
        cdef int i
        if x.ndim != self.ndim or not self.ndim:
            return False
        for i in range(self.ndim):
            if x.shape[i] != self.shape[i] and self.shape[i] >= 0:
                return False
        return x.shape[0] > 0

    cdef object written(self, object out, ndarray x, npy_intp *shape):
        """The array to write: out, or a new one where it cannot be written at once; None where it is not accepted."""
        cdef ndarray a
        cdef int ndim = self.made_ndim
        if out is None:
            return _new(ndim, shape, self.dtype)
        if type(out) is ndarray:
            a = out
            if (a.ndim == ndim and typenum(a) == _type_number(self.dtype) and cnp.PyArray_CompareLists(a.shape, shape, ndim)
                    and cnp.PyArray_ISCARRAY(a)):
                return _new(ndim, shape, self.dtype) if self.network.refuses else _apart(a, out, x, False)
        try:
            a = _output(out, ndim, shape, self.dtype, "out")
        except (TypeError, ValueError):  # the last layer will say so
            return None
        return _new(ndim, shape, self.dtype) if self.network.refuses else _apart(a, out, x, False)

    cdef object run(self, ndarray x, object out):
        """The output for x; None where x or out is none that can be taken here."""
        cdef fnn_array source
        cdef npy_intp shape[MAX_NDIM]
        cdef int64_t rows = 1 if self.ndim == 1 else x.shape[0]
        cdef fnn_network *n = &self.network.network
        cdef int code, i
        cdef cut p
        if typenum(x) == _type_number(self.dtype) and cnp.PyArray_ISCARRAY_RO(x):
            source.data, source.from_ = data(x), FNN_FROM_F32 if self.dtype == FNN_F32 else FNN_FROM_F64
            source.row, source.itemsize = self.network.features, _itemsize(self.dtype)
        elif not self.network.takes(&source, x if self.ndim > 1 else x[None]):
            return None
        for i in range(self.made_ndim):
            shape[i] = self.made[i]
        if self.ndim > 1:
            shape[0] = rows
        cdef ndarray y = self.written(out, x, shape)
        if y is None:
            return None
        if rows * n.multiply_adds <= HELD and rows * n.elements <= HELD / 4:
            code = fnn_network_predict(n, data(y), &source, rows)
        else:
            p = _cut_at(rows, self.rows_per_look())
            with nogil:
                while _next(&p):
                    code = self.predict(data(y), &source, p.first, p.count)
                    if code:
                        break
        return None if code == FNN_REFUSED else _deliver(out, _made(code, y))

    cdef int64_t rows_per_look(self) noexcept:
        """How many rows are computed between two looks at signals: a whole block, for which weights are packed once, where that takes
        no more than four times as long as between other looks."""
        cdef int64_t most = _per_look(self.dtype), each = max(self.elements, 1)
        return max(most // each, min(4 * most // each, self.network.network.capacity), 1)

    cdef int predict(self, void *y, const fnn_array *x, int64_t first, int64_t rows) noexcept nogil:
        """Rows [first, first + rows)."""
        cdef fnn_array part = x[0]
        part.data = <const char *>x.data + first * x.row * x.itemsize
        return fnn_network_predict(&self.network.network, _at(y, first * self.outputs, self.dtype), &part, rows)


cdef class Predictors:
    """The Predictors of a model, made by ``make(shape)`` when inputs of a shape first come; None where that has none."""
    cdef dict by_shape
    cdef Predictor latest

    def __cinit__(self):
        self.by_shape = {}

    def run(self, object x, object out):
        """The output for an array like the one before, else None."""
        cdef Predictor p = self.latest
        return p.run(x, out) if p is not None and type(x) is ndarray and p.takes(x) else None

    def find(self, ndarray x, make):
        """Whether there is a Predictor for x, which ``run`` then uses."""
        cdef tuple shape = _shape(x)
        if x.ndim > 1:
            shape = (None, *shape[1:])
        if shape not in self.by_shape:
            if len(self.by_shape) == MOST_SHAPES:
                self.by_shape.clear()
            self.by_shape[shape] = make(shape)
        cdef Predictor p = self.by_shape[shape]
        if p is None or not p.takes(x):
            return False
        self.latest = p
        return True
