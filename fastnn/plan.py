"""From layers and a loss to the rows of a compiled network.

Design
A. ``Plan`` takes the rows that the layers become (``layer.lower``) one by one, keeps track of the value that the last of them made, and
   appends the rows of the network (csrc/network.h). A kind of row is a method of the same name here, and a row in network_ops.c.
B. Products work on panels, everything else on rows, elementwise rows on either. A value is brought into the layout that its reader
   needs when it is needed.
C. An activation after a Linear is fused into its product; its derivative is applied by the product that takes the gradient back to it.
D. In training a value has one reader: a residual block starts with a fork, which makes two values of one.
E. At inference dropout rests, nothing is kept, and all values are rows, which any number of rows may read.
"""

import math

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F
from fastnn.layers.containers import Container
from fastnn.losses import Loss
from fastnn.optim import Optimizer


class NotCompiledError(Exception):
    """Names what has no row in a compiled network, and so keeps a model from being compiled."""


class Plan:
    """The rows of a network.

    Parameters
    ----------
    ops : tuple of fastnn.layers.base.Op
        The rows that the layers become.
    names : list of str
        Of the parameters, in the order in which the network knows them.
    shape : tuple of int
        Of a row of the input.
    model : Sequential
        That was lowered.
    training : bool

    Attributes
    ----------
    values : list of [times, features, in_panels, wide]
        A value has so many rows for each of the batch; a wide one is float64.
    rows : list of (kind, inputs, outputs, parameters, options)
    inputs : (int, int)
        The input in the network's dtype and in float64, -1 where nobody reads it or a first ``standardize`` does, from where it lies.
    output : int
        The value that the last row makes, in rows.
    own_dtype_alone : bool
        Whether the input must be of a dtype that is computed in the network's.
    """

    def __init__(self, ops, names, shape, model, training=True):
        sizes = math.prod(shape[:-1]), math.prod(shape[-1:])
        self.values, self.rows, self.inputs = [[*sizes, None, False]], [], (0, -1)
        self._model, self._buffers = model, dict(model.named_buffers())
        self._training = training
        self._numbers = {name: i for i, name in enumerate(names)}
        self._skips, self.value, self._each = [], 0, 1
        self._trained = [False]  # by value: whether a gradient is wanted
        self.own_dtype_alone = False
        if model._any_dtype:
            self.value = self._add(*sizes, False, wide=True)
            self.inputs = -1, 1
        starts = [i - op.numbers["ops"] for i, op in enumerate(ops) if op.kind == "residual"]
        self._branches = []  # of each Columns around: (what its branches get, what those before have made of it, rows for one of the batch)
        self._columns_of = {
            i - sum(op.numbers["ops"]): (i, op.numbers["ops"]) for i, op in enumerate(ops) if op.kind == "concatenate"
        }
        for i, op in enumerate(ops):
            for _ in range(starts.count(i)):
                self._fork()
            self._following = ops[i + 1] if i + 1 < len(ops) else None
            if i in self._columns_of:
                self._split(ops, i)
            self._append(op)
        self._bring(in_panels=False)
        self.output = self.value
        self._fuse_derivatives()

    # ------------------------------------------------------------------------------------------------------------- plumbing

    def _row(self, kind, features, in_panels, parameters=(), inputs=None, times=None, **options):
        """Append a row that makes one value, of as many rows as its first input unless `times` says how many."""
        inputs = (self.value,) if inputs is None else inputs
        times = self.values[inputs[0]][0] if times is None else times
        numbers = tuple(self._numbers[name] for name in parameters)
        options["need_dx"] = any(self._trained[i] for i in inputs)
        self.value = self._add(times, features, in_panels, trained=bool(numbers) or options["need_dx"])
        self.rows.append((kind, inputs, (self.value,), numbers, options))

    def _add(self, times, features, in_panels, wide=False, trained=False):
        """Append a value and return its number."""
        self.values.append([times, features, in_panels, wide])
        self._trained.append(trained)
        return len(self.values) - 1

    def _bring(self, in_panels):
        """Bring the value into a layout."""
        value = self.values[self.value]
        if value[2] is None:
            value[2] = (
                in_panels and value[0] == 1
            )  # an input of several rows for one of the batch is gathered as one row
        if value[2] != in_panels:
            self._row("to_panels" if in_panels else "to_rows", value[1], in_panels)

    def _settle(self):
        """Return the value's layout; that of an input which nobody has read yet is the products' where it can be."""
        value = self.values[self.value]
        if value[2] is None:
            value[2] = value[0] == 1 and self._training
        return value[2]

    def _reshape(self, times, features):
        """Make of the value's numbers as many rows of another length."""
        value = self.values[self.value]
        if value[0] * value[1] != times * features:
            raise NotCompiledError("a layer that makes other rows of a batch")
        if value[2] is None:
            value[:2] = times, features  # which nobody has read
        elif value[:2] != [times, features]:
            self._bring(in_panels=False)
            self._row("reshape", features, False, times=times)

    def _fork(self):
        in_panels = self._settle()
        if not self._training:
            self._skips.append(self.value)
            return
        times, features = self.values[self.value][:2]
        first, second = (self._add(times, features, in_panels, trained=self._trained[self.value]) for _ in range(2))
        self.rows.append(("fork", (self.value,), (first, second), (), {"need_dx": self._trained[self.value]}))
        self._skips.append(first)
        self.value = second

    def _fuse_derivatives(self):
        """Let each product apply the derivative of the activation that made its input."""
        makers = {value: i for i, row in enumerate(self.rows) for value in row[2]}
        for kind, inputs, _, _, options in self.rows:
            maker = makers.get(inputs[0]) if inputs else None
            if kind == "linear" and maker is not None and options["need_dx"]:
                made = self.rows[maker]
                if made[4].get("activation", "identity") != "identity":
                    options["differentiates"] = maker
                    made[4]["differentiated"] = True

    # ---------------------------------------------------------------------------------------------------------------- kinds

    def _append(self, op):
        if not 2 <= len(op.shape) <= _core.MAX_DIMENSIONS or None in op.shape[1:] or 0 in op.shape[1:]:
            raise NotCompiledError(f"{op.kind} of shape {op.shape}")
        if op.kind in F.activations():
            self._activation(op)
        elif hasattr(self, f"_{op.kind}"):
            getattr(self, f"_{op.kind}")(op)
        else:
            raise NotCompiledError(op.kind)

    def _activation(self, op):
        options = {"activation": op.kind, "params": op.numbers}
        last = self.rows[-1] if self.rows else None
        alone = last and last[2] == (self.value,) and self.value not in self._skips
        if alone and last[0] == "linear" and last[4]["activation"] == "identity":
            last[4].update(options)
        else:
            self._row("activation", op.shape[-1], self._settle(), **options)

    def _linear(self, op):
        if self._following is not None and self._following.kind == "members":
            self._members_in(self._following)
        self._bring(self._training)
        self._row("linear", op.shape[-1], self._training, op.params, activation="identity", params={})

    def _members_in(self, op):
        """From its first product on, an ensemble has as many rows as members for one of its input."""
        k, times = op.numbers["k"], self.values[self.value][0]
        if self._each == 1:
            times = self._each = times * k
        self._bring(in_panels=False)
        self._row("members_in", self.values[self.value][1], False, op.params[:1], times=times, number=k)

    def _members(self, op):
        self._bring(in_panels=False)
        self._row("members_out", op.shape[-1], False, op.params[1:], number=op.numbers["k"])

    def _mean(self, op):
        """Members of an ensemble have losses of their own, so there is no mean in training."""
        if not self._training:
            if "head" in op.numbers:
                raise NotCompiledError("a mean of probabilities")
            k, (times, features) = op.numbers["k"], self.values[self.value][:2]
            self._bring(in_panels=False)
            self._row(op.kind, features, False, times=times // k, number=k)

    def _flatten(self, op):
        self._reshape(self._each * math.prod(op.shape[1:-1]), op.shape[-1])

    def _residual(self, op):
        skip = self._skips.pop()
        self._bring(self.values[skip][2])
        self._row("add", op.shape[-1], self.values[skip][2], inputs=(skip, self.value))

    def _on_rows(self, op, **options):
        self._bring(in_panels=False)
        self._row(op.kind, op.shape[-1], False, op.params, **options)

    def _prelu(self, op):
        self._on_rows(op)

    def _maxout(self, op):
        self._on_rows(op, number=op.numbers["pieces"])

    def _dropout(self, op):
        if self._training:
            self._on_rows(op, params=(op.numbers["p"],), seed=op.numbers["seed"], number=op.numbers["layer"])

    _alpha_dropout = _dropout

    def _softmax(self, op):
        axis = op.numbers["axis"] % len(op.shape)
        if axis == 0:
            raise NotCompiledError(f"{op.kind} along the batch")
        self._along(op, axis)

    def _along(self, op, axis, **options):
        """Append a row for what lies along an axis."""
        times, features = self.values[self.value][:2]
        n, inner = op.shape[axis], math.prod(op.shape[axis + 1 :])
        if inner > 1:
            self._transpose(n, inner)
        self._reshape(times * features // n, n)
        self._bring(in_panels=False)
        self._row(op.kind, n, False, op.params, **options)
        if inner > 1:
            self._transpose(inner, n)
        self._reshape(times, features)

    def _transpose(self, n, inner):
        self._bring(in_panels=False)
        times, features = self.values[self.value][:2]
        self._row("transpose", n, False, times=times * features // n, number=inner)

    _log_softmax = _softmax

    def _layer_norm(self, op):
        """The axes that are normalised are one row."""
        times, features = self.values[self.value][:2]
        eps = op.numbers["eps"]
        eps = float(np.finfo(self._model.dtype).eps) if eps is None else eps
        normalised = math.prod(op.shape[-op.numbers["axes"] :])
        self._reshape(times * features // normalised, normalised)
        self._bring(in_panels=False)
        self._row(op.kind, normalised, False, op.params, params=(eps,))
        self._reshape(times, features)

    _rms_norm = _layer_norm

    def _batch_norm(self, op):
        momentum = math.nan if op.numbers["momentum"] is None else op.numbers["momentum"]
        names = ("running_mean", "running_var", "num_batches_tracked")
        buffers = [self._buffers[f"{op.layer}.{name}"] for name in names if f"{op.layer}.{name}" in self._buffers]
        if not (self._training or buffers):
            raise NotCompiledError("statistics of all rows")
        self._along(op, 1, params=(op.numbers["eps"], momentum), buffers=buffers)

    def _scale(self, op):
        self._on_rows(op)

    # ---------------------------------------------------------------------------------------------------------- of columns

    def _split(self, ops, start):
        """Append the row that gives each branch of a Columns its columns; those of any dtype get them in float64 where x is the input."""
        taken = [start]
        for count in self._columns_of[start][1][:-1]:
            taken.append(taken[-1] + count)
        taken = [ops[i] for i in taken]
        self._bring(in_panels=False)
        value, first = self.value, self.value == self.inputs[1]
        times, _, _, wide = self.values[value]
        container = self._model
        for i in taken[0].layer.split("."):
            container = container.layers[int(i)]
        each = [first and getattr(layer, "_any_dtype", False) for layer in container.layers]
        if first and not all(each):
            self.inputs = 0, 1 if any(each) else -1
            self.values[0][2] = False
            self.own_dtype_alone = next(container.named_parameters(), None) is None
        if wide and not first:
            raise NotCompiledError("columns of columns")
        trained = self._trained[value]
        many = [self._add(times, op.shape[-1], False, wide, trained) for op, wide in zip(taken, each, strict=True)]
        columns = np.array([column for op in taken for column in op.numbers["columns"]], np.int64)
        inputs = self.inputs if first else (value,)
        self.rows.append(("columns", inputs, (), (), {"many": many, "buffers": (columns,), "need_dx": trained}))
        self._branches.append((many, [], times))
        self.value = None  # until the first branch begins

    def _columns(self, op):
        many, made, _ = self._branches[-1]
        if self.value is not None:
            self._end_branch()
        self.value = many[len(made)]

    def _end_branch(self):
        self._bring(in_panels=False)
        self._branches[-1][1].append(self.value)

    def _concatenate(self, op):
        self._end_branch()
        _, made, times = self._branches.pop()
        trained = any(self._trained[value] for value in made)
        self.value = self._add(times, op.shape[-1], False, trained=trained)
        self.rows.append(("concatenate", (), (self.value,), (), {"many": made, "need_dx": trained}))

    def _expand(self, op, **options):
        """Append a row that makes several numbers of each."""
        self._bring(in_panels=False)
        times, features = self.values[self.value][:2]
        self._row(op.kind, op.shape[-1], False, op.params, times=times * features, **options)

    _embedding = _periodic = _expand

    def _piecewise_linear(self, op):
        edges = self._buffers[f"{op.layer}.edges"]
        self._expand(op, buffers=(edges,), number=len(edges))

    def _standardize(self, op):
        mean, scale = (self._buffers[f"{op.layer}.{name}"] for name in ("mean", "scale"))
        if mean.ndim >= len(op.shape):
            raise NotCompiledError(f"{op.kind} of shape {op.shape}")
        places = np.broadcast_to(np.arange(mean.size).reshape(mean.shape), op.shape[len(op.shape) - mean.ndim :])
        self._bring(in_panels=False)
        inputs, (times, features) = (self.value,), self.values[self.value][:2]
        if self.value == self.inputs[1]:  # which it reads where it lies
            inputs, self.inputs = (), (-1, -1)
        self._row(
            op.kind, features, False, inputs=inputs, times=times,
            buffers=(mean, scale, places.astype(np.int64).reshape(-1)), number=places.size,
        )  # fmt: skip


def row_of(loss, before_last):
    """Return the row of the table of losses by which a loss is computed."""
    return _core.LOSSES[loss._of] if before_last else loss._row


def compiled(network, loss, before_last, shape):
    """Return the compiled network that makes the steps of a layered one.

    Parameters
    ----------
    network : fastnn.network.Layered
        Has the parameters, the state of the optimizer and the options.
    loss : object
    before_last : bool
        Whether the loss is computed from what comes before the last layer.
    shape : tuple of int
        Of a row of the input.

    Raises
    ------
    NotCompiledError
        Which names what has no row.
    ValueError
        For a shape that the model does not take.
    """
    if not isinstance(loss, Loss) or not (before_last or loss._row.info.layer == type(loss).__name__):
        raise NotCompiledError(f"the loss {loss!r}")
    _require_rows(network.model, network.parameters)
    if not isinstance(network.optimizer, Optimizer):
        raise NotCompiledError(f"the optimizer {network.optimizer!r}")
    model, parameters = network.model._without_last() if before_last else network.model, network.parameters
    try:
        ops = model.lower((None, *shape))
    except NotImplementedError as error:
        raise NotCompiledError(str(error)) from None
    plan = Plan(ops, list(parameters), shape, model)
    specs = list({id(spec): spec for spec in network.optimizers.values()}.values())
    numbers = {id(spec): i for i, spec in enumerate(specs)}
    averages = {} if network.averaged is None else dict(network.averaged.named_parameters())
    strips = {row[3][0] for row in plan.rows if row[0] == "linear"}
    result = _core.Network(
        str(model.dtype),
        plan.values,
        plan.rows,
        [
            (
                value,
                tuple(network.state[name].get(slot) for slot in network.optimizers[name]._row.info.slots),
                network.sums.get(name),
                averages.get(name),
                numbers[id(network.optimizers[name])],
                name in network._weights,
                i in strips,
            )
            for i, (name, value) in enumerate(parameters.items())
        ],
        [(spec._row, spec._packed) for spec in specs],
        plan.inputs,
        plan.output,
        network.waiting,
        network.steps,
    )
    result.own_dtype_alone = plan.own_dtype_alone
    row, params = row_of(loss, before_last), dict(loss._params)
    if plan.values[plan.output][0] != (network.model._members or 1):
        raise NotCompiledError("a loss of several rows for one of the batch")
    if row.info.pair and result.outputs % 2:
        raise ValueError(f"{row.info.layer}: the outputs are no pairs")
    second = params.pop(row.info.second, None)
    if second is not None:
        if len(second) not in (1, result.outputs):
            raise NotCompiledError(f"{row.info.second} of another number of columns")
        second = np.broadcast_to(second, (result.outputs,))
    result.set_loss(row, params, getattr(loss, "weight", None), second, getattr(loss, "ignore_index", None))
    limits = (
        math.inf if limit is None else limit for limit in (network.clip_value, network.clip_norm, network.max_norm)
    )
    result.set_options(network.l1, network.l2, network.of_sum, *limits, network.ema or 0.0, network.accumulate)
    return result


def predictor(model, shape):
    """Return what computes a model's output for inputs of a shape, or None where something has no row.

    Parameters
    ----------
    model : fastnn.Sequential
    shape : tuple of int
        (None, ...) for any number of rows, or (features,) for one.
    """
    parameters = dict(model.named_parameters())
    try:
        _require_rows(model, parameters)
        ops = model.lower((None, *shape[-1:]) if len(shape) == 1 else shape)
        if len(shape) == 1 and [op.shape for op in model.lower(shape)] != [op.shape[1:] for op in ops]:
            return None
        shape_of_row = shape[len(shape) > 1 :]
        plan = Plan(ops, list(parameters), shape_of_row, model, training=False)
    except (NotCompiledError, NotImplementedError, ValueError):
        return None  # layer by layer they raise
    made = ops[-1].shape[len(shape) == 1 :] if ops else ()
    if not math.prod(shape_of_row) or not plan.rows or (len(shape) == 1 and len(made) != 1):
        return None
    known = [(value, (), None, None, 0, False, False) for value in parameters.values()]
    network = _core.Network(str(model.dtype), plan.values, plan.rows, known, [], plan.inputs, plan.output)
    network.own_dtype_alone = plan.own_dtype_alone
    return _core.Predictor(network, shape, made)


def _first_own(model):
    """Return the first layer that is not fastnn's, or None."""
    for layer in model.layers:
        if isinstance(layer, Container) and layer.is_native:
            continue
        found = _first_own(layer) if isinstance(layer, Container) else layer
        if found is not None and not type(found).__module__.startswith("fastnn.layers."):
            return found
    return None if model.is_native else model


def _require_rows(model, parameters):
    """Raise NotCompiledError for a model that has no rows."""
    own = _first_own(model)
    if own is not None:
        raise NotCompiledError(f"the layer {own!r}")
    dtypes = {value.dtype for value in parameters.values()} | {
        np.dtype(leaf.dtype) for leaf in model._leaves() if hasattr(leaf, "dtype")
    }
    if dtypes != {model.dtype}:
        raise NotCompiledError("parameters of several dtypes")
