"""The network behind a trainer: ``step``, ``gradients``, ``predict`` and ``state`` of a model.

Design
A. A step is all or nothing. Whatever can be refused happens before the first parameter changes: forward pass, loss, backward pass,
   penalties, and bringing gradients to the parameters' shape and dtype.
B. The updates that follow are short and cannot fail, so Ctrl-C waits until they are done; that costs a microsecond, where updating a
   copy would cost up to a third of the step.
C. An optimizer of the user's own can fail; only for one of those, parameters and state are copied before and put back.
D. Gradients of minibatches that wait for others are summed in arrays that change, with the counters beside them, only once nothing
   can fail any more; so a minibatch which fails leaves the others.
E. What both ways of making a step read and change (parameters, slots, sums, counters) lies in arrays that stay where they are.
"""

import contextlib
import copy
import math
import threading
from _signal import SIGINT, getsignal  # not from signal, whose Python functions around these take ten times as long
from _signal import signal as set_handler

import numpy as np

from fastnn import _fastnn_core as core
from fastnn.layers.base import parameter_like
from fastnn.optim import in_groups
from fastnn.schedules import Schedule, rate_of


class CtrlCWaits:
    """A context in which Ctrl-C is noted and answered at the end."""

    def __enter__(self):
        self.pressed, self.handler = None, None
        if threading.current_thread() is threading.main_thread():  # no other thread is interrupted
            handler = getsignal(SIGINT)
            if callable(handler):
                set_handler(SIGINT, self._note)
                self.handler = handler

    def _note(self, *arguments):
        self.pressed = arguments

    def __exit__(self, *error):
        if self.handler is not None:
            set_handler(SIGINT, self.handler)
            if self.pressed is not None:
                self.handler(*self.pressed)


class Turn:
    """One training of a network at a time. A call that comes meanwhile is refused, not queued: it was made for other parameters.

    Attributes
    ----------
    thread : int or None
        The identifier of the thread whose ``fit`` runs, and with it its callbacks.
    """

    def __init__(self):
        self._lock, self.thread = threading.Lock(), None

    def __reduce__(self):
        return Turn, ()  # a copy of a trainer takes turns of its own

    def take(self, func, callbacks=False):
        """Return a context that trains alone; with ``callbacks``, also one for a callback of the ``fit`` that runs.

        It is the lock itself, whose methods no signal interrupts, so that Ctrl-C never leaves it locked. Of two threads that find it free
        at the same moment one waits for the other.
        """
        if callbacks and self.thread == threading.get_ident():
            return contextlib.nullcontext()
        if self._lock.locked():
            raise RuntimeError(
                f"{func}: the trainer is training already, in another thread or in the fit that calls this callback"
            )
        return self._lock


def _members_of(output):
    """Return the outputs of an ensemble's members, each contiguous."""
    return [np.ascontiguousarray(member) for member in np.moveaxis(output, -2, 0)]


class Layered:
    """A model trained layer by layer, through the functions of its layers.

    Parameters
    ----------
    model : Sequential
    optimizer
        A specification: ``slots``, names of the arrays kept per parameter, and ``update(param, grad, slots, step)``, in place.
    l1, l2, clip_norm, clip_value, groups, accumulate, ema, max_norm
        As ``Trainer`` has them.
    of_sum : bool
        Whether l1 and l2 are penalties of the sum of a minibatch's losses: divided by what its loss is divided by.

    Attributes
    ----------
    parameters : dict
        From name to array, the model's own.
    state : dict
        From the name of a parameter to a dict from slot to array.
    output : ndarray or None
        Of the latest minibatch.
    steps_done : int
        Updates made.
    lr_factor : float
        Multiplies each learning rate.
    averaged : Layer or None
        With ``ema``, a copy of the model that holds the averages of its parameters.
    """

    def __init__(
        self, model, optimizer, *, l1, l2, clip_norm, clip_value, groups, accumulate, ema, max_norm, of_sum=False
    ):
        self.model, self.optimizer = model, optimizer
        self.l1, self.l2, self.of_sum = l1, l2, of_sum
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.accumulate, self.ema, self.max_norm = accumulate, ema, max_norm
        self._weights = frozenset(model._weights())
        options = (l1, l2, clip_norm is not None, clip_value is not None, accumulate > 1)
        self._checked = not model.is_native or any(options)
        self.output, self.lr_factor = None, 1.0
        self.steps = np.zeros(1, np.int64)
        self.waiting = np.zeros(1, [("minibatches", np.int64), ("rows", np.float64)])
        self.parameters = dict(model.named_parameters())  # load_state_dict copies into these arrays: they stay
        self.buffers = dict(model.named_buffers())  # and these
        self.optimizers = in_groups(optimizer, groups, self.parameters)
        self._scheduled = any(isinstance(getattr(spec, "lr", None), Schedule) for spec in self.optimizers.values())
        self.averaged = None if ema is None else copy.deepcopy(model)
        self.sums = {name: parameter_like(value) for name, value in self.parameters.items() if accumulate > 1}
        self.state = {
            name: {slot: parameter_like(value) for slot in optimizer.slots} for name, value in self.parameters.items()
        }

    @property
    def steps_done(self):
        """Updates made."""
        return self.steps.item()

    @steps_done.setter
    def steps_done(self, value):
        self.steps[0] = value

    def __setstate__(self, state):
        """Take what was copied or pickled, but the model's own arrays as parameters, and blocks of memory for the slots."""
        self.__dict__.update(state)
        self.parameters = dict(self.model.named_parameters())
        self.sums = {name: self._moved(value, name) for name, value in self.sums.items()}
        for name, slots in self.state.items():
            for slot, value in slots.items():
                slots[slot] = self._moved(value, name)

    def _moved(self, value, name):
        """Return a copy of an array that is kept for a parameter, in a block like the parameter's."""
        block = parameter_like(self.parameters[name])
        block[...] = value
        return block

    def evaluated(self):
        """Return the model that predictions are made with: where there are averages, the one that holds them."""
        if self.averaged is None or not self.steps_done:
            return self.model
        for (_, value), (_, kept) in zip(self.model.named_buffers(), self.averaged.named_buffers(), strict=True):
            kept[...] = value
        return self.averaged

    def counters(self):
        """Return a dict of the numbers that say where the training stands; ``resume`` takes them."""
        minibatches, rows = self.waiting[0].tolist()
        return {
            "steps_done": self.steps_done,
            "lr_factor": self.lr_factor,
            "gathered_rows": rows,
            "gathered_minibatches": minibatches,
        }

    def kept(self):
        """Return what the training keeps for each parameter, from a kind to a dict from the parameter's name to an array.

        Kinds are "slots.exp_avg" and the like; "gathered", sums of gradients, where some wait for others; and "parameters" where the model
        that predicts has others than those that are trained.
        """
        kept = {
            f"slots.{slot}": {name: slots[slot] for name, slots in self.state.items()} for slot in self.optimizer.slots
        }
        if self.waiting["minibatches"][0]:
            kept["gathered"] = self.sums
        return kept if self.evaluated() is self.model else kept | {"parameters": self.parameters}

    def resume(self, kept, averages, steps_done, lr_factor, gathered_rows, gathered_minibatches):
        """Go on from a state that ``kept`` and ``counters`` told, of the same model and options.

        Parameters
        ----------
        kept : dict
            Read only; "parameters" are those of the model already.
        averages : dict
            From name to array, of the parameters of the model that predicts.
        steps_done, lr_factor, gathered_rows, gathered_minibatches
            What ``counters`` returned.
        """
        for slot in self.optimizer.slots:
            for name, value in kept[f"slots.{slot}"].items():
                self.state[name][slot][...] = value
        if self.averaged is not None:
            for name, average in self.averaged.named_parameters():
                average[...] = averages[name]
        if gathered_minibatches:
            for name, value in kept["gathered"].items():
                self.sums[name][...] = value
        self.waiting[0] = gathered_minibatches, gathered_rows
        self.steps_done, self.lr_factor = steps_done, lr_factor

    def predict(self, x, out=None, before_last=False):
        """Return the model's output, or that of the layer before the last."""
        model = self.evaluated()
        try:
            return (model._without_last() if before_last else model)(x, out=out)
        except ValueError as error:
            raise self._explained(error, x) from None

    def predicts_at_once(self, x, before_last=False):
        """Whether ``predict`` needs no memory for the activations of all rows of x."""
        model = self.evaluated()
        return (model._without_last() if before_last else model)._predicts(x)

    def _explained(self, error, x):
        """Return the error, with what to do where it came from rows of another number of dimensions than the model takes."""
        if x.ndim == 1:
            rows, hint = x[:1, None], "rows have no columns: pass x[:, None]"
        else:
            rows, hint = x[:1].reshape(1, -1), f"rows have shape {x.shape[1:]}: pass x.reshape(len(x), -1)"
        if rows.ndim != x.ndim:
            with contextlib.suppress(ValueError, IndexError):
                self.model(rows)
                return ValueError(f"{error}; {hint}")
        return error

    def gradients(self, x, loss, before_last=False):
        """Return the loss and the gradients by name; no parameter or buffer changes.

        Parameters
        ----------
        x : ndarray
        loss : callable
            From the output to (value, gradient by the output).
        before_last : bool
            Whether the loss is one of the output before the last layer.
        """
        value, backward, _ = self._differentiate(x, loss, before_last)
        return value, backward.grads

    def non_finite_place(self, x, before_last=False):
        """Return "layer 2 (ReLU)", the first whose output in training holds a NaN or an infinity; None where none does.

        Parameters
        ----------
        x, before_last
            As ``gradients`` has them; of the minibatch that would come next.
        """
        for place, layer, y in self._trained(before_last)._trace(x, self._minibatches_done):
            if not np.isfinite(y).all():
                return f"layer {place} ({type(layer).__name__})"
        return None

    @property
    def _minibatches_done(self):
        """The number of the next minibatch, which tells the masks of dropout apart."""
        return self.steps_done * self.accumulate + int(self.waiting["minibatches"][0])

    def _trained(self, before_last):
        """Return the model, or it without its last layer."""
        return self.model._without_last() if before_last else self.model

    def _differentiate(self, x, loss, before_last):
        """Return the loss, the model's backward function, which has run and holds gradients and what buffers become, and the output."""
        model = self._trained(before_last)
        try:
            output, backward = model.vjp(x, step=self._minibatches_done)
        except ValueError as error:
            raise self._explained(error, x) from None
        shown = self._finished(output, before_last)
        if model._members is None:
            value, gradient = loss(output)
        else:  # each member learns from its own loss, whose mean is that of the model
            pairs = [loss(member) for member in _members_of(output)]
            value = sum(pair[0] for pair in pairs) / len(pairs)
            gradient = np.stack([pair[1] for pair in pairs], axis=-2) / len(pairs)
        backward(gradient, need_dx=False)
        return value, backward, shown

    def _finished(self, output, before_last):
        """Return the model's output from that in training, which keeps the members of an ensemble, of it without its last layer or all."""
        finish = self.model._last if before_last else lambda y: y
        if self.model._members is None:
            return finish(output)
        return core.sum_of_members(
            np.stack([finish(member) for member in _members_of(output)], -2), self.model._members
        )

    prevented = None  # what keeps the network from being compiled; nobody has asked

    def try_step(self, *arguments):
        """Return None: no step is compiled. See ``Compiled``."""

    def try_again(self, *arguments):
        """Return None, as ``try_step``."""

    def try_epoch(self, *arguments):
        """Return None, as ``try_step``."""

    def step(self, x, loss, epoch=0, rows=1, before_last=False):
        """Make one step, or gather the gradients for one, and return the loss before it. What ``loss`` raises changes nothing.

        Parameters
        ----------
        x, loss, before_last
            As ``gradients`` has them.
        epoch : int
            How many are done, for learning rates that follow it.
        rows : float
            What the loss was divided by: the minibatch's share in a step of several.
        """
        value, backward, self.output = self._differentiate(x, loss, before_last)
        gradients, buffers = backward.grads, self._become(getattr(backward, "buffers", {}))
        if self._checked:
            gradients = self._as_arrays(gradients)
        if self.accumulate == 1:
            self._update(gradients, epoch, rows, buffers)
            return value
        minibatches, before = self.waiting[0].tolist()
        sums = {name: rows * g for name, g in gradients.items()}
        if minibatches:
            sums = {name: self.sums[name] + g for name, g in sums.items()}
        minibatches, rows = minibatches + 1, before + rows
        if minibatches == self.accumulate:
            self._update({name: (1 / rows) * g for name, g in sums.items()}, epoch, rows, buffers, ends_waiting=True)
        else:
            with CtrlCWaits():
                self._commit([*buffers, *((self.sums[name], g) for name, g in sums.items())])
                self.waiting[0] = minibatches, rows
        return value

    @contextlib.contextmanager
    def whole_steps(self, epoch):
        """Begin and end a context with no gradients that wait: those left at its end make a step, unless it fails."""
        self.waiting[0] = 0, 0
        try:
            yield
            minibatches, rows = self.waiting[0].tolist()
            if minibatches:
                self._update({name: (1 / rows) * g for name, g in self.sums.items()}, epoch, rows)
        finally:
            self.waiting[0] = 0, 0

    def _update(self, gradients, epoch, rows, buffers=(), ends_waiting=False):
        gradients = self._regularised(gradients, 1 / rows if self.of_sum else 1.0) if self._checked else gradients
        self._apply(gradients, self._rates(epoch), buffers, ends_waiting)

    def _become(self, new):
        """Return a list of (buffer, what it becomes)."""
        for name, value in new.items():
            if name not in self.buffers:
                raise ValueError(f"{name} has a new value but is no buffer of the model")
            if np.shape(value) != self.buffers[name].shape:
                shape = self.buffers[name].shape
                raise ValueError(f"{name} has shape {shape} but its new value has shape {np.shape(value)}")
        return [(self.buffers[name], value) for name, value in new.items()]

    @staticmethod
    def _commit(buffers):
        for buffer, value in buffers:
            buffer[...] = value

    def _rates(self, epoch):
        """Return the learning rate of each parameter in the next step, by name; None where all are their specifications' numbers."""
        if self.lr_factor == 1 and not self._scheduled:
            return None
        rates = {id(spec): self._rate(spec.lr, epoch) for spec in {id(s): s for s in self.optimizers.values()}.values()}
        return {name: rates[id(spec)] for name, spec in self.optimizers.items()}

    def _rate(self, lr, epoch, steps=None):
        steps = self.steps_done if steps is None else steps
        rate = rate_of(lr, steps, epoch)
        if not 0 <= rate < math.inf:
            raise ValueError(f"Trainer: lr is {rate} after {steps} steps and {epoch} epochs ({lr!r})")
        return rate * self.lr_factor

    def _as_arrays(self, gradients):
        """Return gradients in the shape and dtype of their parameters, apart from them."""
        result = {}
        for name, param in self.parameters.items():
            g = np.asarray(gradients[name], param.dtype)
            if g.shape != param.shape:
                raise ValueError(f"{name} has shape {param.shape} but its gradient has shape {g.shape}")
            result[name] = g.copy("K") if np.may_share_memory(g, param) else g
        return result

    def penalty(self):
        """Return l1 sum |w| + l2 sum w^2 over weights."""
        weights = (param for name, param in self.parameters.items() if name in self._weights)
        return sum(core.penalty(weight, self.l1, self.l2) for weight in weights)

    def _regularised(self, gradients, share):
        """Return new gradients with their share of the penalties, and clipping."""
        result = {}
        for name, param in self.parameters.items():
            l1, l2 = (share * self.l1, share * self.l2) if name in self._weights else (0.0, 0.0)  # not biases
            limit = math.inf if self.clip_value is None else self.clip_value
            wanted = l1 or l2 or limit < math.inf
            result[name] = core.regularised(gradients[name], param, l1, l2, limit) if wanted else gradients[name]
        if self.clip_norm is not None:
            norm = self._norm(result)
            if norm > self.clip_norm:
                return {name: g * (self.clip_norm / norm) for name, g in result.items()}
        return result

    def _norm(self, gradients):
        """Return the norm of all gradients: squares are added in the order of the parameters and, within one, of its memory."""
        total = 0.0
        for name, param in self.parameters.items():
            total += core.sum_of_squares(gradients[name], core.is_k_major(param))
        return math.sqrt(total)

    def _apply(self, gradients, rates, buffers, ends_waiting):
        """Update every parameter and these buffers, or none; with learning rates by name, unless None."""
        arrays = []
        if getattr(self.optimizer.update, "__module__", None) != "fastnn.optim":
            arrays = [*self.parameters.values(), *(slot for slots in self.state.values() for slot in slots.values())]
        with CtrlCWaits():
            before = [array.copy() for array in arrays]
            try:
                for name, param in self.parameters.items():
                    given = {} if rates is None else {"lr": rates[name]}
                    self.optimizers[name].update(param, gradients[name], self.state[name], self.steps_done + 1, **given)
            except BaseException:
                for array, value in zip(arrays, before, strict=True):
                    array[...] = value
                raise
            self._commit(buffers)
            if self.max_norm is not None:
                self._hold_norms()
            if self.averaged is not None:
                self._average()
            self.steps_done += 1
            if ends_waiting:
                self.waiting[0] = 0, 0

    def _hold_norms(self):
        """Scale each row of a weight, the unit's, whose norm is larger than max_norm."""
        for name, param in self.parameters.items():
            if name in self._weights:
                core.hold_norms(param, self.max_norm)

    def _average(self):
        """Let the averages take their share of the parameters; the first step's are the first averages."""
        for name, average in self.averaged.named_parameters():
            if self.steps_done:
                core.average(average, self.parameters[name], 1 - self.ema)
            else:
                average[...] = self.parameters[name]
