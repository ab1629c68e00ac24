"""The compiled network behind a trainer: steps and epochs in calls without the GIL, where model, loss and optimizer have rows.

Design
A. ``Compiled`` is ``Layered`` that first tries its plan. A plan is made at the first step of a loss and an input shape; where there is
   none, ``prevented`` names what has no row, and everything runs layer by layer, with the same bits.
B. What a plan does not take it refuses before anything changes, and the same minibatch then goes layer by layer: errors are made in
   one place.
C. The number of steps lies where C counts it: so Ctrl-C, which Python raises after a call, finds it in step with the parameters.
"""

import time

import numpy as np

from fastnn._fastnn_core import is_labels
from fastnn.losses import SparseCategoricalCrossentropy
from fastnn.network import Layered
from fastnn.plan import NotCompiledError, compiled, row_of

_SLICE = 0.05  # seconds of training between two looks at signals and progress


class Compiled(Layered):
    """A model whose steps are made by a compiled network; see ``Layered``.

    Attributes
    ----------
    prevented : str or None
        What keeps the model, with the latest loss, from being compiled.
    """

    def __init__(self, *args, **options):
        self._plan = self._planned_for = self.prevented = None
        self._repeatable = None  # the loss of the latest step, where one like it depends on nothing but x and y
        self._pace = 1  # rows that the plan trains on in a slice
        self._lazy = None  # the network of the latest minibatch, whose output nobody has asked for yet
        super().__init__(*args, **options)

    def __getstate__(self):
        """Return what is pickled and copied: all but the plan, which is made again."""
        self.output  # noqa: B018  # brings it here
        return self.__dict__ | {"_plan": None, "_planned_for": None, "_repeatable": None}

    @property
    def output(self):
        """The output of the latest minibatch."""
        if self._lazy is not None:
            network, before_last = self._lazy
            self._output, self._lazy = self._shaped(network.latest_output(), before_last), None
        return self._output

    @output.setter
    def output(self, value):
        self._output, self._lazy = value, None

    def _shaped(self, output, before_last):
        """Return the model's output from that of a network."""
        return self._finished(output[:, 0] if self.model._members is None else output, before_last)

    def _planned(self, loss, before_last, shape):
        """Return the compiled network for a loss and rows of a shape, or None."""
        wanted = loss, before_last, shape
        if self._planned_for != wanted:
            self._planned_for, self._plan, self.prevented, self._pace = wanted, None, None, 1
            self._repeatable = None
            try:
                self._plan = compiled(self, loss, before_last, shape)
            except NotCompiledError as error:
                self.prevented = str(error)
            except ValueError:
                self._planned_for = None  # rows of a wrong shape; layer by layer they raise
        return self._plan

    @staticmethod
    def _as_target(loss, before_last, y):
        """Return targets as the network reads them and whether they are labels; None where it does not."""
        has_labels = hasattr(loss, "ignore_index")
        if has_labels and is_labels(y):
            return y, True
        if has_labels and y.dtype.kind in "iu":
            return (np.ascontiguousarray(y.reshape(-1), np.int64), True) if y.shape[1:] in ((), (1,)) else None
        info = row_of(loss, before_last).info
        labels_alone = isinstance(loss, SparseCategoricalCrossentropy) or info.labels and not info.probabilities
        return None if labels_alone else (y, False)

    def try_step(self, x, y, weight, rows, divide, loss, before_last, epoch):
        """Make a step by the compiled network and return the loss before it; None where that cannot be done.

        Parameters
        ----------
        x, y, weight : ndarray
        rows : float
            How many of them count: their share in a step of several.
        divide : bool
            Whether the loss is divided by that; else by the sum of the rows' weights.
        loss : object
        before_last : bool
            Whether the loss is computed from what comes before the last layer.
        epoch : int
            How many are done.
        """
        network = self._planned(loss, before_last, x.shape[1:])
        target = None if network is None else self._as_target(loss, before_last, y)
        if target is None or not rows:
            return None
        (y, labels), weight, rates = target, _contiguous(weight), self._rate_rows((rows,), epoch)
        self._repeatable = loss if rates is None and self.accumulate == 1 else None
        value = network.step(x, y, labels, weight, rows, divide, rates)
        if value is not None:
            self._lazy = network, before_last
        return value

    def try_again(self, x, y, loss):
        """Make a step as ``try_step`` made the latest, and return the loss before it; None where that may be another.

        Parameters
        ----------
        x, y : object
            Anything: what is not like the arrays of that step is left to it.
        loss : object
        """
        if self._repeatable is None or self._repeatable is not loss or self.lr_factor != 1:
            return None
        value = self._plan.step_again(x, y)
        if value is not None:
            self._lazy = self._plan, self._planned_for[1]
        return value

    def _rate_rows(self, rows, epoch):
        """Return the learning rates of minibatches to come, one for each group; None where they are the specifications'.

        Parameters
        ----------
        rows : sequence of float
            Of each minibatch; one of 0 makes no step.
        epoch : int
        """
        if self.lr_factor == 1 and not self._scheduled:
            return None
        specs, rates = {id(spec): spec for spec in self.optimizers.values()}.values(), []
        minibatches = self._minibatches_done
        for n in rows:
            try:
                rates.append([self._rate(spec.lr, epoch, minibatches // self.accumulate) for spec in specs])
            except ValueError:
                if not rates:
                    raise
                break  # the steps before it are made first
            minibatches += n != 0
        return np.array(rates)

    def try_epoch(self, rows, batch_size, order, loss, before_last, epoch, layered_step, report, seen=None):
        """Train on all rows once, by the compiled network; return whether it can.

        Parameters
        ----------
        rows : fastnn.data.TrainingRows
        batch_size : int
        order : ndarray of int64, or None
        loss, before_last, epoch
            As ``try_step`` has them.
        layered_step : callable
            Makes, layer by layer, the step of a minibatch (x, y, weight, counting) that the network has refused.
        report : callable
            Of (rows done, sum, number), after each slice: the sum of the losses times the rows that counted, and their number.
        seen : callable, optional
            Of (starts, counting, outputs) of minibatches, before they are reported.

        Returns
        -------
        bool
            Where False, nothing has been done.
        """
        network = None if rows.mixup else self._planned(loss, before_last, rows.x.shape[1:])
        target = None if network is None else self._as_target(loss, before_last, rows.y)
        if target is None:
            return False
        starts = rows.starts(batch_size, self.model._least_rows)
        counting = rows.counting(starts, order)
        weighted = rows.weight is not None or rows.counts is not None
        arguments = rows.x, *target, _contiguous(rows.weight), order

        def refused(i):
            return layered_step(*rows.minibatch(slice(*starts[i : i + 2].tolist()), order))

        def see(first, stop, outputs):
            output = self.output if outputs is None else self._shaped(outputs, before_last)
            seen(starts[first : stop + 1], counting[first:stop], output)

        see = None if seen is None else see
        total, counted, done = 0.0, 0, 0
        self.waiting[0] = 0, 0
        try:
            for losses in self.slices(network, arguments, starts, counting, weighted, epoch, refused, seen=see):
                if losses is None:
                    return False
                for value, n in zip(losses, counting[done : done + len(losses)].tolist(), strict=True):
                    if n:
                        total += n * value
                        counted += n
                done += len(losses)
                report(int(starts[done]), total, counted)
            network.flush(self._rate_rows((1,), epoch))
        finally:
            self.waiting[0] = 0, 0
        return True

    def slices(self, network, arguments, starts, counting, divide, epoch, refused, penalties=None, seen=None):
        """Train on minibatches in order, in calls of about 50 ms; yield after each the losses it has made, a list.

        Parameters
        ----------
        network : Network
            A plan of this model.
        arguments : tuple
            The first five of ``Network.train``: rows, targets, whether these are labels, weights, order.
        starts : ndarray of int64, shape (minibatches + 1,)
        counting : ndarray of float64, shape (minibatches,)
            How many rows of each count.
        divide, epoch
            As ``try_step`` has them.
        refused : callable
            Makes the step of a minibatch, by its number, that the network has refused, and returns its loss.
        penalties : ndarray of float64, shape (minibatches,), optional
            Receives the penalties before each step.
        seen : callable, optional
            Of (first, stop, outputs of the network for minibatches first to before stop); for one that was refused outputs is None.

        Yields
        ------
        list of float, or None where the network cannot read the arrays
        """
        first, rows = 0, max(1, int(starts[1] - starts[0]))
        while first < len(starts) - 1:
            last = min(first + max(1, self._pace // rows), len(starts) - 1)
            rates = self._rate_rows(counting[first:last].tolist(), epoch)
            last = last if rates is None else first + len(rates)
            began = time.perf_counter()
            part = None if penalties is None else penalties[first:last]
            outputs = None if seen is None else network.new_outputs(starts[last] - starts[first])
            minibatches = starts[first : last + 1], counting[first:last]
            result = network.train(*arguments, *minibatches, divide, rates, part, outputs)
            if result is None:
                yield None
                return
            losses, code = result[0].tolist(), result[1]
            stop = first + len(losses)
            if seen is not None and stop > first:
                seen(first, stop, outputs[: starts[stop] - starts[first]])
            if code:
                losses.append(refused(stop))
                if seen is not None:
                    seen(stop, stop + 1, None)
            taken = max(time.perf_counter() - began, 1e-6)
            first += len(losses)
            if first < len(starts) - 1 or taken > _SLICE:
                self._pace = rows * max(1, min(int(len(losses) * _SLICE / taken), 2 * len(losses)))
            yield losses


def _contiguous(weight):
    return None if weight is None else np.ascontiguousarray(weight, np.float64)
