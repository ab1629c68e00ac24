"""The network behind a trainer: ``step``, ``gradients``, ``predict`` and ``state`` of a model.

Design
A. A step is all or nothing. Whatever can be refused happens before the first parameter changes: forward pass, loss, backward pass,
   penalties, and bringing gradients to the parameters' shape and dtype.
B. The updates that follow are short and cannot fail, so Ctrl-C waits until they are done; that costs a microsecond, where updating a
   copy would cost up to a third of the step.
C. An optimizer of the user's own can fail; only for one of those, parameters and state are copied before and put back.
"""

import contextlib
import math
import threading
from _signal import SIGINT, getsignal  # not from signal, whose Python functions around these take ten times as long
from _signal import signal as set_handler

import numpy as np

from fastnn import _fastnn_core as core
from fastnn.schedules import Schedule


class _CtrlCWaits:
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


class Layered:
    """A model trained layer by layer, through the functions of its layers.

    Parameters
    ----------
    model : Sequential
    optimizer
        A specification: ``slots``, names of the arrays kept per parameter, and ``update(param, grad, slots, step)``, in place.
    l1, l2, clip_norm, clip_value
        As ``Trainer`` has them.

    Attributes
    ----------
    parameters : dict
        From name to array, the model's own.
    state : dict
        From the name of a parameter to a dict from slot to array.
    output : ndarray or None
        Of the latest minibatch.
    steps_done : int
    lr_factor : float
        Multiplies each learning rate.
    """

    def __init__(self, model, optimizer, *, l1, l2, clip_norm, clip_value):
        self.model, self.optimizer = model, optimizer
        self.l1, self.l2, self.clip_norm, self.clip_value = l1, l2, clip_norm, clip_value
        self._checked = not model.is_native or any((l1, l2, clip_norm is not None, clip_value is not None))
        self.output, self.steps_done, self.lr_factor = None, 0, 1.0
        self.parameters = dict(model.named_parameters())  # load_state_dict copies into these arrays: they stay
        self.state = {
            name: {slot: np.zeros_like(value) for slot in optimizer.slots} for name, value in self.parameters.items()
        }

    def predict(self, x, out=None):
        """Return the model's output."""
        try:
            return self.model(x, out=out)
        except ValueError as error:
            raise self._explained(error, x) from None

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

    def gradients(self, x, loss):
        """Return the loss and the gradients by name; no parameter changes.

        Parameters
        ----------
        x : ndarray
        loss : callable
            From the output to (value, gradient by the output).
        """
        try:
            self.output, backward = self.model.vjp(x, step=self.steps_done)
        except ValueError as error:
            raise self._explained(error, x) from None
        value, gradient = loss(self.output)
        backward(gradient, need_dx=False)
        return value, backward.grads

    def step(self, x, loss, epoch=0):
        """Make one step and return the loss before it. What ``loss`` raises changes nothing.

        Parameters
        ----------
        x, loss
            As ``gradients`` has them.
        epoch : int
            How many are done, for learning rates that follow it.
        """
        value, gradients = self.gradients(x, loss)
        self._apply(self._regularised(gradients) if self._checked else gradients, self._rate(epoch))
        return value

    def _rate(self, epoch):
        """Return the learning rate of the next step; None for the specification's own number."""
        rate = getattr(self.optimizer, "lr", None)
        if isinstance(rate, Schedule):
            rate = rate(self.steps_done, epoch)
            if not 0 <= rate < math.inf:
                after = f"{self.steps_done} steps and {epoch} epochs"
                raise ValueError(f"Trainer: lr is {rate} after {after} ({self.optimizer.lr!r})")
        elif self.lr_factor == 1:
            return None
        return rate * self.lr_factor

    def _regularised(self, gradients):
        """Return new gradients with penalties and clipping, in the shape and dtype of their parameters."""
        result = {}
        for name, param in self.parameters.items():
            g = np.ascontiguousarray(gradients[name], param.dtype)
            if g.shape != param.shape:
                raise ValueError(f"{name} has shape {param.shape} but its gradient has shape {g.shape}")
            if (self.l1 or self.l2) and param.ndim > 1:  # weights, not biases: d/dw (l1 |w| + l2 w^2)
                g = g + (self.l1 * np.sign(param) + 2 * self.l2 * param)
            if self.clip_value is not None:
                g = np.clip(g, -self.clip_value, self.clip_value)
            result[name] = g.copy() if np.may_share_memory(g, param) else g
        if self.clip_norm is not None:
            norm = math.sqrt(sum(core.sums_of_squares(g.reshape(1, -1)).item() for g in result.values()))
            if norm > self.clip_norm:
                return {name: g * (self.clip_norm / norm) for name, g in result.items()}
        return result

    def _apply(self, gradients, rate):
        """Update every parameter, or none; with a learning rate of its own, unless None."""
        given = {} if rate is None else {"lr": rate}
        arrays = []
        if getattr(self.optimizer.update, "__module__", None) != "fastnn.optim":
            arrays = [*self.parameters.values(), *(slot for slots in self.state.values() for slot in slots.values())]
        with _CtrlCWaits():
            before = [array.copy() for array in arrays]
            try:
                for name, param in self.parameters.items():
                    self.optimizer.update(param, gradients[name], self.state[name], self.steps_done + 1, **given)
            except BaseException:
                for array, value in zip(arrays, before, strict=True):
                    array[...] = value
                raise
            self.steps_done += 1
