"""From layers and a loss to the rows of a compiled network.

Design
A. ``Plan`` takes the rows that the layers become (``layer.lower``) one by one, keeps track of the value that the last of them made, and
   appends the rows of the network (csrc/network.h). A kind of row is a method of the same name here, and a row in network_ops.c.
B. Products work on panels, everything else on rows, elementwise rows on either. A value is brought into the layout that its reader
   needs when it is needed.
C. An activation after a Linear is fused into its product; its derivative is applied by the product that takes the gradient back to it.
D. In training a value has one reader: a residual block starts with a fork, which makes two values of one.
E. At inference dropout rests and nothing is kept. A network for few rows has all its values in rows.
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
    features : int
        Of the input.
    dtype : numpy.dtype
        Of the parameters.
    training : bool
    in_rows : bool
        Whether products, too, work on rows.

    Attributes
    ----------
    values : list of [features, in_panels]
    rows : list of (kind, inputs, outputs, parameters, options)
    output : int
        The value that the last row makes, in rows.
    """

    def __init__(self, ops, names, features, dtype, training=True, in_rows=False):
        self.values, self.rows, self._dtype = [[features, None]], [], dtype
        self._training, self._in_rows = training, in_rows
        self._numbers = {name: i for i, name in enumerate(names)}
        self._skips, self.value = [], 0
        self._trained = [False]  # by value: whether a gradient is wanted
        starts = [i - op.numbers["ops"] for i, op in enumerate(ops) if op.kind == "residual"]
        for i, op in enumerate(ops):
            for _ in range(starts.count(i)):
                self._fork()
            self._append(op)
        self._bring(in_panels=False)
        self.output = self.value
        self._fuse_derivatives()

    # ------------------------------------------------------------------------------------------------------------- plumbing

    def _row(self, kind, features, in_panels, parameters=(), inputs=None, **options):
        """Append a row that makes one value."""
        inputs = (self.value,) if inputs is None else inputs
        numbers = tuple(self._numbers[name] for name in parameters)
        options["need_dx"] = any(self._trained[i] for i in inputs)
        self.values.append([features, in_panels])
        self._trained.append(bool(numbers) or options["need_dx"])
        self.value = len(self.values) - 1
        self.rows.append((kind, inputs, (self.value,), numbers, options))

    def _bring(self, in_panels):
        """Bring the value into a layout."""
        value = self.values[self.value]
        if value[1] is None:
            value[1] = in_panels
        elif value[1] != in_panels:
            self._row("to_panels" if in_panels else "to_rows", value[0], in_panels)

    def _settle(self):
        """Return the value's layout; that of an input which nobody has read yet is the products'."""
        if self.values[self.value][1] is None:
            self.values[self.value][1] = not self._in_rows
        return self.values[self.value][1]

    def _fork(self):
        in_panels, features = self._settle(), self.values[self.value][0]
        if not self._training:
            self._skips.append(self.value)
            return
        self.values += [[features, in_panels], [features, in_panels]]
        self._trained += [self._trained[self.value]] * 2
        first, second = len(self.values) - 2, len(self.values) - 1
        self.rows.append(("fork", (self.value,), (first, second), (), {"need_dx": self._trained[self.value]}))
        self._skips.append(first)
        self.value = second

    def _fuse_derivatives(self):
        """Let each product apply the derivative of the activation that made its input."""
        makers = {value: i for i, row in enumerate(self.rows) for value in row[2]}
        for kind, inputs, _, _, options in self.rows:
            maker = makers.get(inputs[0])
            if kind == "linear" and maker is not None and options["need_dx"]:
                made = self.rows[maker]
                if made[4].get("activation", "identity") != "identity":
                    options["differentiates"] = maker
                    made[4]["differentiated"] = True

    # ---------------------------------------------------------------------------------------------------------------- kinds

    def _append(self, op):
        if len(op.shape) != 2:
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
        self._bring(not self._in_rows)
        self._row("linear", op.shape[-1], not self._in_rows, op.params, activation="identity", params={})

    def _flatten(self, op):
        """Rows of the input are contiguous already."""

    def _residual(self, op):
        skip = self._skips.pop()
        self._bring(self.values[skip][1])
        self._row("add", op.shape[-1], self.values[skip][1], inputs=(skip, self.value))

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

    def _softmax(self, op):
        if op.numbers["axis"] not in (-1, 1):
            raise NotCompiledError(f"{op.kind} along axis {op.numbers['axis']}")
        self._on_rows(op)

    _log_softmax = _softmax

    def _layer_norm(self, op):
        self._on_rows(op, params=(op.numbers["eps"],))

    def _rms_norm(self, op):
        eps = op.numbers["eps"]
        self._on_rows(op, params=(float(np.finfo(self._dtype).eps) if eps is None else eps,))


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
    if (
        not isinstance(loss, Loss)
        or loss._row.info.pair
        or not (before_last or loss._row.info.layer == type(loss).__name__)
    ):
        raise NotCompiledError(f"the loss {loss!r}")
    _require_rows(network.model, network.parameters)
    if not isinstance(network.optimizer, Optimizer):
        raise NotCompiledError(f"the optimizer {network.optimizer!r}")
    model, parameters = network.model._without_last() if before_last else network.model, network.parameters
    try:
        ops = model.lower((None, *shape))
    except NotImplementedError as error:
        raise NotCompiledError(str(error)) from None
    plan = Plan(ops, list(parameters), math.prod(shape), model.dtype)
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
        plan.output,
        network.waiting,
        network.steps,
    )
    row, params = row_of(loss, before_last), dict(loss._params)
    second = params.pop(row.info.second, None)
    if second is not None:
        if len(second) not in (1, result.outputs):
            raise NotCompiledError(f"{row.info.second} of another number of columns")
        second = np.broadcast_to(second, (result.outputs,))
    result.set_loss(row, params, getattr(loss, "weight", None), second, getattr(loss, "ignore_index", None))
    limits = (
        math.inf if limit is None else limit for limit in (network.clip_value, network.clip_norm, network.max_norm)
    )
    result.set_options(network.l1, network.l2, *limits, network.ema or 0.0, network.accumulate)
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
        features = math.prod(shape[len(shape) > 1 :])
        plans = [Plan(ops, list(parameters), features, model.dtype, False, in_rows) for in_rows in (True, False)]
    except (NotCompiledError, NotImplementedError, ValueError):
        return None  # layer by layer they raise
    if not features or not plans[0].output:
        return None
    known = [(value, (), None, None, 0, False, False) for value in parameters.values()]
    networks = (_core.Network(str(model.dtype), plan.values, plan.rows, known, [], plan.output) for plan in plans)
    return _core.Predictor(*networks, shape)


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
    if model._any_dtype or model._members is not None:
        raise NotCompiledError(f"{model.layers[0 if model._any_dtype else -1]!r}")
    if not parameters or any(value.dtype != model.dtype for value in parameters.values()):
        raise NotCompiledError("parameters of several dtypes")
