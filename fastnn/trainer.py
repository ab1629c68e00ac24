"""The trainer: what ``fit``, ``step``, ``evaluate`` and ``predict`` mean; data.py checks what they are given, network.py does the steps."""

import math
import threading
import weakref

import numpy as np

from fastnn import data
from fastnn.callbacks import Callback, as_callbacks
from fastnn.compiled import Compiled
from fastnn.epochs import Epoch
from fastnn.history import History, Progress
from fastnn.layers import Layer, Sequential
from fastnn.layers.base import as_count, as_decay, as_flag, as_integer, as_limit, as_nonnegative, as_number
from fastnn.losses import LOSSES, TASKS, as_loss, differentiate, fused, require_targets, require_weighable
from fastnn.metrics import METRICS, as_metrics, measure
from fastnn.network import CtrlCWaits, Turn
from fastnn.optim import as_optimizer
from fastnn.random import Philox, draw_seed, permutation
from fastnn.serialization import load_trainer, save_trainer
from fastnn.specification import specified


def as_model(model, loss=None, func="Trainer"):
    """Return a model as a Sequential; a loss given too may tell what was mixed up."""
    if isinstance(model, Layer):
        return model if isinstance(model, Sequential) else Sequential(model)
    given = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    hint = ""
    if isinstance(loss, Layer):
        hint = f"; pass the model first: {func}(model, loss)"
    elif isinstance(model, type):
        hint = "; pass an object, made by calling the class"
    raise TypeError(f"{func}: model is {given} but a fastnn layer, such as Sequential, was expected{hint}")


class Trainer:
    """Trains a model.

    Parameters
    ----------
    model : Sequential
        Or a single layer. It belongs to this trainer from now on; a trainer that had one of its layers before is of no more use.
    loss : str, object or callable, optional
        ``"cross_entropy"``, ``"mse"``, Keras' ``"categorical_crossentropy"``; an object of ``fastnn.losses``; or a callable (output, target) -> (loss, gradient by output).
        A callable takes no weights of rows, unless it is an object with ``row_weights(target)`` called as those of ``fastnn.losses``.
        If None the model's ``task`` decides, and without one the first targets: integers mean cross_entropy, floats mse.
    optimizer : str or object
        A name in lower case, such as ``"adam"``, or a specification such as ``fastnn.SGD(lr=0.1)``: an object with ``slots``, the names
        of the arrays kept per parameter, and ``update(param, grad, slots, step)``, which makes one step in place. One with ``lr``, a
        number or one of ``fastnn.schedules``, takes ``update(..., lr=rate)`` too.
    metrics : str, callable or sequence of them
        Beside those of the loss: names of ``fastnn.metrics``, such as ``"f1"``, ``functools.partial`` of its functions, or callables
        (output, target) -> float.
    l1, l2 : float
        Add l1 * sum |w| + l2 * sum w^2 over weights of linear maps, not biases and factors of norms, to the objective (its gradient;
        losses are reported without).
    clip_norm, clip_value : float, optional
        Scale the gradients so that their common norm is at most clip_norm; clip each element to +-clip_value, which comes first.
    groups : dict
        From a pattern of parameter names, as ``fnmatch`` has them, to options of the optimizer for those that match:
        ``{"*.bias": {"weight_decay": 0.0}, "0.*": {"lr": 1e-4}}``. Where several match, the later one's options win.
    accumulate : int
        Minibatches per step: their gradients are added up to those of all their rows at once. ``steps_done`` and schedules count
        steps, not minibatches. ``fit`` makes a step of what is left at the end of an epoch, and drops what calls of ``step`` left.
    ema : float, optional
        Keep an exponential moving average of the parameters, ema * average + (1 - ema) * parameter after each step, from the first
        step's on. ``predict``, ``evaluate`` and validation use the averages, and ``ema_state_dict`` returns them; the model itself
        goes on with its own.
    max_norm : float, optional
        After each step, scale each row of a weight (out, in), the weights of one unit, down to this norm.
    seed : int, optional
        Of the order of samples, in [0, 2^64); drawn and recorded in ``seed`` if None.

    Attributes
    ----------
    model, loss, optimizer, metrics, l1, l2, clip_norm, clip_value, groups, accumulate, ema, max_norm, seed
        The arguments; ``loss`` is None until the first targets where they decide.
    history : History
        Of the latest ``fit``, also of one that was interrupted.
    epochs_done, steps_done : int
    lr_factor : float
        Multiplies the learning rate from the next step on, 1 at first; a callback may set it.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value; the model then stays with the trainer it had.
    """

    def __init__(
        self,
        model,
        loss=None,
        optimizer="adam",
        *,
        metrics=(),
        l1=0.0,
        l2=0.0,
        clip_norm=None,
        clip_value=None,
        groups=None,
        accumulate=1,
        ema=None,
        max_norm=None,
        seed=None,
    ):
        self.model = as_model(model, loss)
        if loss is None and self.model.task is not None:
            loss = TASKS[self.model.task]
        self.loss = None if loss is None else as_loss(loss, self.model)
        self.optimizer = as_optimizer(optimizer)
        self.metrics = as_metrics(metrics)
        self.l1, self.l2 = as_nonnegative(l1, "Trainer", "l1"), as_nonnegative(l2, "Trainer", "l2")
        self.clip_norm, self.clip_value, self.max_norm = (
            as_limit(value, "Trainer", name)
            for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value), ("max_norm", max_norm))
        )
        self.groups = {} if groups is None else groups
        self.accumulate, self.ema = as_count(accumulate, "Trainer", "accumulate"), as_decay(ema, "Trainer", "ema")
        self.seed = draw_seed() if seed is None else as_integer(seed, "Trainer", "seed", 0, 2**64 - 1)
        self.history = History(self.seed)
        self.epochs_done = 0
        options = ("l1", "l2", "clip_norm", "clip_value", "groups", "accumulate", "ema", "max_norm")
        self._turn = Turn()
        self._owned = Compiled(self.model, self.optimizer, **{name: getattr(self, name) for name in options})
        self._take_over()

    def __repr__(self):
        if self._owned is None:
            return f"<Trainer of {type(self.model).__name__}, which a later Trainer has taken over>"
        return (
            f"<Trainer of {type(self.model).__name__}, loss={self.loss!r}, optimizer={self.optimizer!r}, seed={self.seed}, "
            f"{self.epochs_done} epochs and {self.steps_done} steps done{self._prevention}>"
        )

    @property
    def _prevention(self):
        """What the repr and the progress line add where something keeps the network from being compiled."""
        prevented = self._owned.prevented
        return "" if prevented is None else f", layer by layer because of {prevented}"

    @property
    def steps_done(self):
        """Steps that have updated the parameters."""
        return self._network("steps_done").steps_done

    @property
    def lr_factor(self):
        """What multiplies the learning rate, from the next step on."""
        return self._network("lr_factor").lr_factor

    @lr_factor.setter
    def lr_factor(self, value):
        factor = as_nonnegative(value, "Trainer", "lr_factor")
        if not hasattr(self.optimizer, "lr"):
            raise TypeError(f"Trainer: lr_factor needs an optimizer with lr, but {self.optimizer!r} has none")
        self._network("lr_factor").lr_factor = factor

    def ema_state_dict(self):
        """Return the model's ``state_dict`` with the averages of its parameters; ``model.load_state_dict`` takes it."""
        network = self._network("ema_state_dict")
        if self.ema is None:
            raise ValueError("ema_state_dict: the Trainer keeps no averages; pass it ema, such as ema=0.999")
        return network.evaluated().state_dict()

    def save(self, path):
        """Write the trainer to a safetensors file, from which ``Trainer.load`` goes on bit for bit; ``fastnn.load`` reads its model.

        The file holds the model, what the optimizer keeps, averages, options, counters and the history. An existing one is replaced
        only once the new one is complete and on the disk, so that a crash leaves one of the two.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            Where the file cannot be written.
        TypeError
            For arrays, values of the history, or schedules in ``groups`` that the file cannot hold.
        RuntimeError
            While another thread trains; a callback may save.
        """
        with self._turn.take("save", callbacks=True):
            save_trainer(self, path)

    @classmethod
    def load(cls, path, model=None, loss=None, optimizer=None, *, metrics=None):
        """Return the trainer that ``save`` wrote. It goes on bit for bit as the saved one would have; callbacks begin anew with ``fit``.

        Parameters
        ----------
        path : str or path-like
        model, loss, optimizer, metrics
            As for the constructor, in place of those in the file; needed where these hold what is not fastnn's own: a layer, a
            function. The arrays of ``model`` get the values of the file.

        Returns
        -------
        Trainer

        Raises
        ------
        ValueError
            For a file that is damaged, of a later version, or not a trainer's; where something needs to be passed, by its name; where
            what is passed does not fit the file. A model that was passed has not changed then.
        """
        model = None if model is None else as_model(model, func="Trainer.load")
        optimizer = None if optimizer is None else as_optimizer(optimizer)
        loss = specified(loss, LOSSES, "loss", "Trainer.load")
        return load_trainer(cls, path, model, loss, optimizer, metrics)

    def _take_over(self):
        for layer in self.model._leaves():
            earlier = layer._owner and layer._owner()
            if earlier is not None:
                earlier._owned = None
            layer._owner = weakref.ref(self)

    def _network(self, func):
        """Return the network, which an earlier trainer of the same layers has no more."""
        if self._owned is None:
            raise RuntimeError(
                f"{func}: the model was taken over by a later Trainer; use that one, or give each trainer a copy.deepcopy(model)"
            )
        return self._owned

    # ---------------------------------------------------------------------------------------------------------------- loss

    def _loss_for(self, y):
        """Return the loss, which these targets decide where nothing else has; it is kept once they have been used."""
        if self.loss is not None:
            return self.loss
        return as_loss("cross_entropy" if y.dtype.kind in "iu" else "mse", self.model)

    @staticmethod
    def _own_weights(loss, y):
        """Return the weight that the loss itself gives each row, or None for 1 each."""
        return loss.row_weights(y) if hasattr(loss, "row_weights") else None

    def _update(self, network, loss, x, y, weight=None, divisor=None, place="step"):
        """Make one step and return the loss before it."""
        rows = 1 if self.accumulate == 1 else self._divisor(loss, y, weight)
        rows = rows if divisor is None else divisor
        value = network.try_step(
            x, y, weight, rows, divisor is not None, loss, fused(loss, self.model), self.epochs_done
        )
        return self._update_layered(network, loss, x, y, weight, divisor, place) if value is None else value

    def _update_layered(self, network, loss, x, y, weight, divisor, place):
        """Make one step layer by layer, and return the loss before it."""
        before_last = fused(loss, self.model)

        def finite(output):
            value, gradient = differentiate(loss, output, y, weight, divisor, before_last=before_last)
            if not math.isfinite(value):
                layer = network.non_finite_place(x, before_last)
                cause = (
                    "every layer's output is finite"
                    if layer is None
                    else f"the first output that is not finite is that of {layer}"
                )
                raise FloatingPointError(
                    f"{place}: the loss is {value} at step {self.steps_done + 1}; {cause}; nothing of this step was applied"
                )
            return value, gradient

        rows = 1 if self.accumulate == 1 else self._divisor(loss, y, weight) if divisor is None else divisor
        return network.step(x, finite, self.epochs_done, rows, before_last)

    def _divisor(self, loss, y, weight):
        """Return what the loss of a minibatch is divided by: the sum of its rows' weights."""
        total = np.ones(len(y))
        for factor in (weight, self._own_weights(loss, y)):
            total = total if factor is None else total * factor
        return float(total.sum())

    # --------------------------------------------------------------------------------------------------------------- steps

    def gradients(self, x, y):
        """Loss of one minibatch and its gradients, without penalties and clipping; no parameter or running statistic changes.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.

        Returns
        -------
        loss : float
        gradients : dict
            From parameter name to array.
        """
        network = self._network("gradients")
        x, y = data.as_pair(x, y, "gradients")
        loss = self._loss_for(y)
        before_last = fused(loss, self.model)
        result = network.gradients(
            x, lambda output: differentiate(loss, output, y, before_last=before_last), before_last
        )
        self.loss = loss
        return result

    def step(self, x, y, sample_weight=None):
        """Train on one minibatch. A step that raises has changed nothing and does not count; Ctrl-C waits for the updates to end.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.
        sample_weight : array_like, shape (batch,), optional
            Finite, at least 0. The loss is their weighted mean.

        Returns
        -------
        float
            The loss before the update, without penalties. NaN where no row counts, because each has a weight of 0 or an ignored
            label; then nothing changes.

        Raises
        ------
        FloatingPointError
            For a loss that is not finite; it names the first layer whose output is not.
        RuntimeError
            While another thread trains, and in a callback.
        """
        network = self._network("step")
        with self._turn.take("step"):
            value = network.try_again(x, y, self.loss) if sample_weight is None else None
            return self._step(network, x, y, sample_weight) if value is None else value

    def _step(self, network, x, y, sample_weight):
        """Make a step that may be unlike the one before."""
        x, y = data.as_pair(x, y, "step")
        weight = data.as_weights(sample_weight, len(x), "step")
        loss = self._loss_for(y)
        try:
            value = self._update(network, loss, x, y, weight)
        except FloatingPointError:
            if data.count_rows(len(x), weight, self._own_weights(loss, y)) == 0:
                return math.nan
            raise
        self.loss = loss
        return value

    def fit(
        self,
        x,
        y,
        *,
        epochs=1,
        batch_size=32,
        validation_data=None,
        validation_split=0.0,
        sample_weight=None,
        class_weight=None,
        shuffle=True,
        callbacks=(),
        mixup=0.0,
        verbose="auto",
    ):
        """Train for ``epochs`` more epochs.

        What can be wrong with the data is found before the first step. Interrupted by Ctrl-C or an exception, the model is as after
        its last whole step, and ``trainer.history`` holds the epochs done.

        Weights of rows (``sample_weight`` times ``class_weight`` times the class weights of the loss itself) are scaled once, so that
        their mean over the training rows that count is 1; a row counts unless its weight is 0 or its label ignored. The loss of a
        minibatch is then sum(weight * loss) / (its rows that count): a row pulls equally hard in whatever minibatch it comes, and one in
        which no row counts changes nothing. ``history["loss"]`` is sum(weight * loss) / sum(weight) over the epoch's minibatches.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample; finite. Memory-mapped arrays are read piece by piece.
        epochs, batch_size : int
            The last minibatch of an epoch may be smaller; where a layer, such as BatchNorm1d, cannot be trained on one row, a last
            one of a single row joins the one before.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch.
        validation_split : float
            Share of the last rows, with their weights, to hold out as validation data instead.
        sample_weight : array_like, shape (batch,), optional
            Finite, at least 0.
        class_weight : dict, array_like or "balanced", optional
            From label to weight, 1 for a label the dict does not name; "balanced" means rows / (labels * its rows), over the training
            rows that count. Multiplies the sample weights; not used in validation.
        shuffle : bool
            A new order each epoch, fixed by ``seed`` and the number of the epoch.
        callbacks : callable or sequence of callable, such as those of ``fastnn.callbacks``
            Called as callback(trainer, history) after each epoch; training stops where one returns True.
        mixup : float
            Mix the rows of each minibatch by shares of Beta(mixup, mixup) (Zhang et al., 2018), unless 0; labels become probabilities,
            and so need a loss that takes these.
        verbose : "auto", bool or 2
            A progress line on standard error; "auto" prints it where that is a terminal; 2 prints a line for each epoch. The accuracy
            it shows without validation data is that of the epoch's minibatches, each before its update.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            Among others for NaN and infinity in x or y, by row and column, and where no row counts.
        IndexError
            For a label that is no class, by its row.
        FloatingPointError
            For a loss that is not finite, by epoch, step and first layer; nothing of that step has been applied.
        RuntimeError
            While another thread trains, and in a callback.
        """
        self._network("fit")
        if not isinstance(epochs, (int, np.integer)) or isinstance(epochs, bool) or epochs < 0:
            raise ValueError(f"fit: epochs is {epochs!r} but an integer of at least 0 was expected")
        batch_size, mixup = as_count(batch_size, "fit", "batch_size"), as_nonnegative(mixup, "fit", "mixup")
        callbacks, shuffle = as_callbacks(callbacks), as_flag(shuffle, "fit", "shuffle")
        given = x, y, validation_data, validation_split, sample_weight, class_weight, mixup
        with self._turn.take("fit"):
            rows, validation, loss = self._checked(*given)
            with Progress(verbose, epochs, len(rows.x)) as progress:
                self._train(loss, callbacks, validation, epochs, rows, batch_size, shuffle, progress)
        return self.history

    def _train(self, loss, callbacks, validation, *arguments):
        """Train by ``_epochs`` with the other arguments, and tell the callbacks of begin, end, and a loss that is not finite."""
        hooks = [callback for callback in callbacks if isinstance(callback, Callback)]
        validated = () if validation is None else ("loss", *self._all_metrics(loss))
        names = ["loss", *(f"val_{name}" for name in validated)]
        self._turn.thread = threading.get_ident()
        try:
            for hook in hooks:
                hook.begin(self, names)
            self.loss, self.history = loss, History(self.seed)
            try:
                self._epochs(callbacks, validation, *arguments)
            except FloatingPointError as error:
                if not any([hook.catch(self, error) for hook in hooks]):
                    raise
            for hook in hooks:
                hook.end(self)
        finally:
            self._turn.thread = None

    def _epochs(self, callbacks, validation, epochs, rows, batch_size, shuffle, progress):
        """Train for so many epochs, or until a callback returns True."""
        for _ in range(epochs):
            network = self._network("fit")
            order = permutation(len(rows.x), self.seed, self.epochs_done) if shuffle else None
            values, shown = Epoch(self, network, rows, batch_size, order, progress, validation is None).run()
            if validation is not None:
                shown = {f"val_{name}": value for name, value in self.evaluate(*validation).items()}
                values |= shown
            with CtrlCWaits():  # an epoch counts with all its values or not at all
                self.epochs_done += 1
                self.history.record(values)
            progress.end_epoch(values | shown)
            if any([callback(self, self.history) for callback in callbacks]):
                break

    def _checked(self, x, y, validation_data, validation_split, sample_weight, class_weight, mixup):
        """Return the rows to train on, those to validate on or None, and the loss; all that is wrong with them raises."""
        x, y = data.as_pair(x, y, "fit")
        if len(x) == 0:
            raise ValueError("fit: x has no rows")
        as_number(validation_split, "fit", "validation_split")
        kept = data.kept_rows(len(x), validation_split)
        weight = data.as_weights(sample_weight, len(x), "fit")
        if class_weight is not None and y.dtype.kind not in "iu":
            raise TypeError(f"fit: class_weight needs integer labels but y has dtype {y.dtype}")
        if class_weight is not None and y.shape[1:] not in ((), (1,)):
            raise ValueError(f"fit: class_weight needs one label per row but y has shape {y.shape}")
        loss = self._loss_for(y)
        require_weighable(loss, sample_weight=sample_weight, class_weight=class_weight)
        outputs = self._check_rows(loss, x, y)
        given, own = weight, self._own_weights(loss, y)
        if class_weight is not None:
            if isinstance(class_weight, str) and class_weight == "balanced":
                class_weight = data.balanced_weights(*(None if a is None else a[:kept] for a in (y, weight, own)))
            given = data.label_weights(class_weight, y, outputs if hasattr(loss, "ignore_index") else None, "fit")
            given = given if weight is None else given * weight
        validation = None
        if validation_data is not None:
            if validation_split:
                raise ValueError("fit: pass one of validation_data and validation_split")
            validation = data.as_validation(validation_data)
            self._check_rows(loss, *validation[:2], "validation ")
        elif validation_split:
            validation = x[kept:], y[kept:], None if weight is None else weight[kept:]
        first = [None if a is None else a[:kept] for a in (x, y, given, own)]
        return data.TrainingRows.weighted(*first, self._as_mixup(mixup, loss, x, y, outputs)), validation, loss

    def _as_mixup(self, alpha, loss, x, y, outputs):
        """Return what mixes the rows, or None; a loss that does not take mixed targets raises here."""
        if not alpha:
            return None
        if y.dtype.kind in "iu" and not hasattr(loss, "row_weights"):
            raise TypeError(
                f"fit: mixup with a callable loss needs targets of floats, such as one-hot labels, but y has dtype {y.dtype}"
            )
        labels = y.dtype.kind in "iu" and hasattr(loss, "ignore_index")
        mixup = data.Mixup(alpha, *((outputs, loss.ignore_index) if labels else ()))
        if hasattr(loss, "row_weights"):
            loss(self._owned.predict(x[:2]), mixup.mix(x[:2], y[:2], None, Philox(0))[1])
        return mixup

    def _check_rows(self, loss, x, y, prefix=""):
        """Raise what training on these rows would raise; return the number of outputs. Two rows are tried out."""
        data.require_finite(x, self.model.dtype, "fit", f"{prefix}x")
        data.require_finite(y, self.model.dtype, "fit", f"{prefix}y")
        self.model._check_rows(x)
        output = self._owned.predict(x[:2])
        if len(output) != len(x[:2]):
            raise ValueError(f"fit: {prefix}x has shape {x.shape}, of which the model makes no output per row")
        if y.dtype.kind in "iu" and hasattr(loss, "ignore_index"):
            if self.loss is None and output.shape[-1] == 1:
                raise ValueError(
                    f"fit: {prefix}y holds integers, which mean classes, but the model has one output; give it an output per class, "
                    "or pass loss='mse' to Trainer for regression"
                )
            data.require_labels(y, output.shape[-1], loss.ignore_index, "fit", f"{prefix}y")
        if hasattr(loss, "row_weights"):
            loss(output, y[:2])
        require_targets(loss, y, self.model.dtype, "fit", f"{prefix}y")
        return output.shape[-1]

    # ---------------------------------------------------------------------------------------------------------- prediction

    def predict(self, x, *, batch_size=1024, out=None):
        """Return the model's output: logits of a classifier, or probabilities where Softmax comes last; labels are ``.argmax(-1)``.

        Parameters
        ----------
        x : array_like, shape (rows, ...)
        batch_size : int
            Rows at a time. The result does not depend on it, unless a layer takes statistics of the rows it is given, as
            ``BatchNorm1d(track_running_stats=False)`` does: those of each batch, which needs two of them.
        out : ndarray, optional
            Receives the result; may overlap x.

        Returns
        -------
        ndarray, shape (rows, ...)
        """
        network = self._network("predict")
        x = data.as_rows(x, "predict", "x")
        batch_size = as_count(batch_size, "predict", "batch_size")
        if out is not None and not isinstance(out, np.ndarray):
            raise TypeError(f"predict: out is {type(out).__name__} but an ndarray was expected")
        return self._outputs(network, x, batch_size, out)

    def _outputs(self, network, x, batch_size=1024, out=None, before_last=False):
        """Return the model's output, or that before its last layer, computed by so many rows at a time."""
        if len(x) <= batch_size:
            return network.predict(x, out, before_last)
        if network.predicts_at_once(x, before_last):
            data.require_fit(out, len(x), network.predict(x[:1], None, before_last))
            return network.predict(x, out, before_last)
        self.model._check_rows(x)  # the rows of a batch have other numbers
        result = None
        for start in range(0, len(x), batch_size):
            output = network.predict(x[start : start + batch_size], None, before_last)
            if result is None:
                data.require_fit(out, len(x), output)
                apart = out is not None and not np.may_share_memory(out, x)
                result = out if apart else np.empty((len(x), *output.shape[1:]), output.dtype)
            result[start : start + len(output)] = output
        if out is not None and result is not out:
            out[...] = result
        return result if out is None else out

    def predict_proba(self, x):
        """Probabilities: of classes, or for binary_cross_entropy_with_logits of each output.

        Parameters
        ----------
        x : array_like, shape (rows, ...)

        Returns
        -------
        ndarray, shape (rows, outputs)

        Raises
        ------
        ValueError
            Where the loss has no probabilities, such as mse.
        """
        output = self.predict(x)
        if not hasattr(self.loss, "probabilities") and not self.model._gives_probabilities:
            raise ValueError(
                f"predict_proba: the loss ({self.loss!r}) gives no probabilities; cross_entropy was expected"
            )
        return self._probabilities(output)

    @property
    def _takes_logits(self):
        """Whether the model's outputs are logits, which the loss makes probabilities of."""
        return hasattr(self.loss, "probabilities") and not self.model._gives_probabilities

    def _probabilities(self, output):
        """Return the probabilities that an output means; the output itself where the loss has none."""
        return self.loss.probabilities(output) if self._takes_logits else output

    def evaluate(self, x, y, sample_weight=None):
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.
        sample_weight : array_like, shape (rows,), optional
            Finite, at least 0. Loss and metrics are weighted; metrics of the user's own see every row alike.

        Returns
        -------
        dict
            {"loss": ..., "accuracy": ...}: the loss, its own metrics and the trainer's, each computed from all rows at once. Rows with an
            ignored label count nothing; where no row counts, loss and accuracy are NaN.
        """
        network = self._network("evaluate")
        x, y = data.as_pair(x, y, "evaluate")
        weight = data.as_weights(sample_weight, len(x), "evaluate")
        loss = self._loss_for(y)
        before_last = fused(loss, self.model)
        output = self._outputs(network, x, before_last=before_last)
        values = {"loss": differentiate(loss, output, y, weight, before_last=before_last)[0]}
        output = self.model._last(output) if before_last else output
        self.loss = loss
        return values | {
            name: self._measure(metric, output, y, weight) for name, metric in self._all_metrics(loss).items()
        }

    def _all_metrics(self, loss):
        """Return the loss's own metrics and the trainer's, by name."""
        return {name: METRICS[name].function for name in getattr(loss, "metrics", ())} | self.metrics

    def _measure(self, metric, output, y, weight):
        """Return the value of a metric; those of fastnn leave out the rows that the loss ignores."""
        own = self._own_weights(self.loss, y)
        threshold = 0.0 if self._takes_logits else 0.5  # of one column: logits, or targets 0 and 1
        elementwise = isinstance(
            self.loss, (LOSSES["binary_cross_entropy"], LOSSES["binary_cross_entropy_with_logits"])
        )
        return measure(
            metric, output, y, weight, None if own is None else own != 0,
            probabilities=self._probabilities, threshold=threshold,
            multilabel=elementwise and output.shape[-1] > 1,
        )  # fmt: skip
