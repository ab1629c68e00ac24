"""One pass of ``fit`` over all rows: the steps of its minibatches, and what the progress line tells of them.

Design
A. Where the network is compiled a pass runs in slices; the outputs of a slice are kept only where the line shows the accuracy, and
   measured after it. Else a pass goes minibatch by minibatch.
"""

from fastnn.losses import fused
from fastnn.random import MIXUP, Philox


class Epoch:
    """A pass over all rows.

    Parameters
    ----------
    trainer : Trainer
    network : fastnn.compiled.Compiled
        The trainer's.
    rows : fastnn.data.TrainingRows
    batch_size : int
    order : ndarray of int64, or None
    progress : fastnn.history.Progress
    accuracy : bool
        Whether the line shows the accuracy over the minibatches, where the loss has one.
    """

    def __init__(self, trainer, network, rows, batch_size, order, progress, accuracy):
        self.trainer, self.network, self.rows = trainer, network, rows
        self.batch_size, self.order, self.progress = batch_size, order, progress
        self.metric = trainer._all_metrics(trainer.loss).get("accuracy") if accuracy and progress.mode else None
        self.place = f"fit, epoch {trainer.epochs_done + 1}"
        self.counted, self.total, self.right = 0, 0.0, 0.0

    def run(self):
        """Train on every row once; return the loss over the minibatches, a dict, and all that is to be shown, another."""
        self.progress.begin_epoch()
        if not self._run_compiled():
            self._run_by_minibatches()
        return {"loss": self.total / self.counted}, self._means()

    def _means(self):
        """Return what is known so far."""
        values = {"loss": self.total / max(self.counted, 1)}
        return values if self.metric is None else values | {"accuracy": self.right / max(self.counted, 1)}

    def _run_compiled(self):
        """Train by the compiled network, and return whether there is one."""
        trainer = self.trainer
        return self.network.try_epoch(
            self.rows, self.batch_size, self.order, trainer.loss, fused(trainer.loss, trainer.model),
            trainer.epochs_done, self._layered_step, self._report, None if self.metric is None else self._see,
        )  # fmt: skip

    def _layered_step(self, x, y, weight, counting):
        trainer = self.trainer
        return trainer._update_layered(self.network, trainer.loss, x, y, weight, self._divisor(counting), self.place)

    def _divisor(self, counting):
        """Return what the loss of a minibatch is divided by; None where it is the number of its rows."""
        return None if self.rows.weight is None and self.rows.counts is None else counting

    def _report(self, done, total, counted):
        self.total, self.counted = total, counted
        self.progress.minibatch(done, self._means)

    def _see(self, starts, counting, output):
        """Measure the outputs of minibatches between the rows ``starts``; those without weights all at once."""
        weight = self.rows.weight
        if weight is None:
            starts, counting = starts[[0, -1]], counting.sum(keepdims=True)
        for start, stop, n in zip(starts.tolist(), starts[1:].tolist(), counting.tolist(), strict=False):
            if n:
                chosen = slice(start, stop) if self.order is None else self.order[start:stop]
                part = output[start - starts[0] : stop - starts[0]]
                self._measure(part, self.rows.y[chosen], None if weight is None else weight[chosen], n)

    def _measure(self, output, y, weight, counting):
        self.right += counting * self.trainer._measure(self.metric, output, y, weight)

    def _run_by_minibatches(self):
        trainer, done = self.trainer, 0
        with self.network.whole_steps(trainer.epochs_done):
            for x, y, weight, counting in self._minibatches():
                done += len(x)
                if counting:
                    divisor = self._divisor(counting)
                    value = trainer._update(self.network, trainer.loss, x, y, weight, divisor, self.place)
                    self.total += counting * value
                    self.counted += counting
                    if self.metric is not None:
                        self._measure(self.network.output, y, weight, counting)
                self.progress.minibatch(done, self._means)

    def _minibatches(self):
        """Return the minibatches, mixed where they are to be."""
        rows, trainer = self.rows, self.trainer
        minibatches = rows.minibatches(self.batch_size, self.order, trainer.model._least_rows)
        if rows.mixup is None:
            return minibatches
        return rows.mixup.minibatches(minibatches, Philox(trainer.seed, trainer.epochs_done, MIXUP))
