"""The trainer: minibatches, loss, gradients, optimizer, history."""

import sys
import time
import warnings
import weakref

import numpy as np

from fastnn.init import draw_seed
from fastnn.layers import Layer, Sequential, Softmax
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.optim import OPTIMIZERS


class History(dict):
    """From a name ("loss", "val_loss", "val_accuracy", ...) to a list with one number per epoch; ``seed`` is the trainer's."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def record(self, values):
        """Append the values of an epoch."""
        for name, value in values.items():
            self.setdefault(name, []).append(value)


def _named(value, known, what):
    if isinstance(value, str):
        if value not in known:
            raise ValueError(f"Trainer: {what} is {value!r} but one of {', '.join(known)} was expected")
        value = known[value]
    return value


def _as_rows(x, func, name):
    x = np.asarray(x)
    if x.ndim == 0:
        raise ValueError(f"{func}: {name} is a scalar but one row per sample was expected")
    return x


class Trainer:
    """Trains a model.

    Parameters
    ----------
    model : Sequential
        Its layers belong to this trainer from now on.
    loss : str, object or callable, optional
        ``"cross_entropy"``, ``"mse"``; an object of ``fastnn.losses``; or a callable (output, target) -> (loss, gradient by output).
        If None the model's ``task`` decides, and without one the first targets: integers mean cross_entropy, floats mse.
    optimizer : str or object
        ``"adam"``, ``"sgd"``, or a specification such as ``fastnn.SGD(lr=0.1)``.
    metrics : sequence of str or callable
        Beside those of the loss: ``"accuracy"``, or callables (output, target) -> float.
    l1, l2 : float
        Add l1 * sum |w| + l2 * sum w^2 over weights, not biases, to the objective (its gradient; losses are reported without).
    clip_norm, clip_value : float, optional
        Scale the gradients so that their common norm is at most clip_norm; clip each element to +-clip_value.
    seed : int, optional
        Of the order of samples; drawn and recorded in ``seed`` if None.
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
        seed=None,
    ):
        if not isinstance(model, Layer):
            raise TypeError(
                f"Trainer: model is {type(model).__name__} but a fastnn layer, such as Sequential, was expected"
            )
        self.model = model if isinstance(model, Sequential) else Sequential(model)
        if loss is None and self.model.task is not None:
            loss = {"classification": "cross_entropy", "regression": "mse"}[self.model.task]
        self.loss = self._checked_loss(loss)
        optimizer = _named(optimizer, OPTIMIZERS, "optimizer")
        self.optimizer = optimizer() if isinstance(optimizer, type) else optimizer
        if not hasattr(self.optimizer, "update"):
            raise TypeError(f"Trainer: optimizer is {optimizer!r} but a name or a specification was expected")
        self.metrics = {getattr(m, "__name__", m): _named(m, METRICS, "metric") for m in metrics}
        self.l1, self.l2, self.clip_norm, self.clip_value = l1, l2, clip_norm, clip_value
        self.seed = draw_seed() if seed is None else seed
        self.epochs_done = self.steps_done = 0
        self._claim_layers()
        self._state = {
            name: {slot: np.zeros_like(value) for slot in self.optimizer.slots}
            for name, value in self.model.named_parameters()
        }

    def _claim_layers(self):
        leaves = list(self.model._leaves())
        for layer in leaves:
            owner = layer._owner and layer._owner()
            if owner is not None:
                raise ValueError(f"Trainer: {layer!r} belongs to another trainer already")
        for layer in leaves:
            layer._owner = weakref.ref(self)

    def _checked_loss(self, loss):
        if loss is None:
            return None
        loss = _named(loss, LOSSES, "loss")
        loss = loss() if isinstance(loss, type) else loss
        if not callable(loss):
            raise TypeError(f"Trainer: loss is {loss!r} but a name, an object or a callable was expected")
        if type(loss) is LOSSES["cross_entropy"] and len(self.model) and isinstance(self.model[-1], Softmax):
            warnings.warn("Trainer: cross_entropy takes logits, but the model ends with Softmax", stacklevel=4)
        return loss

    def _loss_of(self, output, y, sample_weight=None):
        if self.loss is None:
            self.loss = self._checked_loss("cross_entropy" if y.dtype.kind in "iu" else "mse")
        if type(self.loss) in LOSSES.values():
            return self.loss(output, y, sample_weight)
        if sample_weight is not None:
            raise TypeError("Trainer: a callable loss takes no sample_weight")
        return self.loss(output, y)

    def _differentiate(self, x, y, sample_weight=None):
        output, backward = self.model.vjp(x, step=self.steps_done)
        loss, gradient = self._loss_of(output, y, sample_weight)
        backward(gradient, need_dx=False)
        return loss, backward.grads

    def gradients(self, x, y):
        """Loss of one minibatch and its gradients, without penalties and clipping; no parameter changes.

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
        return self._differentiate(_as_rows(x, "gradients", "x"), np.asarray(y))

    def step(self, x, y, sample_weight=None):
        """Train on one minibatch.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.
        sample_weight : array_like, shape (batch,), optional

        Returns
        -------
        float
            The loss before the update, without penalties.
        """
        loss, gradients = self._differentiate(_as_rows(x, "step", "x"), np.asarray(y), sample_weight)
        self.steps_done += 1
        params = dict(self.model.named_parameters())
        self._regularise(params, gradients)
        for name, param in params.items():
            self.optimizer.update(param, gradients[name], self._state[name], self.steps_done)
        return loss

    def _regularise(self, params, gradients):
        for name, w in params.items() if self.l1 or self.l2 else ():
            if w.ndim > 1:  # weights, not biases: d/dw (l1 |w| + l2 w^2)
                gradients[name] += self.l1 * np.sign(w) + 2 * self.l2 * w
        if self.clip_value is not None:
            for g in gradients.values():
                np.clip(g, -self.clip_value, self.clip_value, out=g)
        if self.clip_norm is not None:
            norm = np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values()))
            if norm > self.clip_norm:
                for g in gradients.values():
                    g *= float(self.clip_norm / norm)

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
        verbose="auto",
    ):
        """Train for ``epochs`` more epochs.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.
        epochs, batch_size : int
            The last minibatch of an epoch may be smaller.
        validation_data : pair (x, y), optional
            Evaluated after each epoch.
        validation_split : float
            Share of the last rows to hold out as validation data instead.
        sample_weight : array_like, shape (batch,), optional
        class_weight : dict or array_like, optional
            From label to weight; multiplies the sample weights.
        shuffle : bool
            A new order each epoch, fixed by ``seed`` and the number of the epoch.
        callbacks : sequence of callable
            Called as callback(trainer, history) after each epoch; training stops where one returns True.
        verbose : "auto", bool
            A progress line; "auto" prints it where the standard error stream is a terminal.

        Returns
        -------
        History
        """
        x, y = _as_rows(x, "fit", "x"), _as_rows(y, "fit", "y")
        if len(x) != len(y):
            raise ValueError(f"fit: x has {len(x)} rows but y has {len(y)}")
        if len(x) == 0:
            raise ValueError("fit: x has no rows")
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"fit: epochs is {epochs!r} but an integer of at least 0 was expected")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"fit: batch_size is {batch_size!r} but a positive integer was expected")
        if not 0 <= validation_split < 1:
            raise ValueError(f"fit: validation_split is {validation_split} but a share in [0, 1) was expected")
        weight = self._sample_weights(y, sample_weight, class_weight)
        if validation_split and validation_data is None:
            kept = len(x) - round(len(x) * validation_split)
            validation_data = x[kept:], y[kept:]
            x, y, weight = x[:kept], y[:kept], None if weight is None else weight[:kept]
        x = np.ascontiguousarray(x, self.model.dtype)
        verbose = sys.stderr.isatty() if verbose == "auto" else verbose
        history = History(self.seed)
        for i in range(epochs):
            start = time.perf_counter()
            values = {"loss": self._epoch(x, y, weight, batch_size, shuffle)}
            seconds = time.perf_counter() - start
            if validation_data is not None:
                values |= {f"val_{name}": value for name, value in self.evaluate(*validation_data).items()}
            history.record(values)
            if verbose:
                shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
                end = "\n" if i == epochs - 1 else ""
                print(
                    f"\repoch {i + 1}/{epochs}  {shown}  {len(x) / seconds:,.0f} rows/s ",
                    end=end,
                    file=sys.stderr,
                    flush=True,
                )
            if any([callback(self, history) for callback in callbacks]):
                break
        return history

    def _sample_weights(self, y, sample_weight, class_weight):
        weight = None if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(-1)
        if weight is not None and len(weight) != len(y):
            raise ValueError(f"fit: sample_weight has {len(weight)} rows but y has {len(y)}")
        if class_weight is not None:
            if y.dtype.kind not in "iu":
                raise TypeError(f"fit: class_weight needs integer labels but y has dtype {y.dtype}")
            labels = y.reshape(-1)
            if isinstance(class_weight, dict):
                by_label = np.array([class_weight.get(int(label), 1.0) for label in labels])
            else:
                by_label = np.asarray(class_weight, np.float64)[labels]
            weight = by_label if weight is None else weight * by_label
        return weight

    def _epoch(self, x, y, weight, batch_size, shuffle):
        """Train on every row once and return the mean of the minibatches' losses, weighted by their rows."""
        order = np.arange(len(x))
        if shuffle:
            order = np.random.Generator(np.random.Philox(key=self.seed, counter=self.epochs_done << 128)).permutation(
                len(x)
            )
        total = 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            total += len(rows) * self.step(x[rows], y[rows], None if weight is None else weight[rows])
        self.epochs_done += 1
        return total / len(x)

    def _outputs(self, x, batch_size):
        """Yield (first row, output) of each batch."""
        for start in range(0, len(x), batch_size):
            yield start, self.model(x[start : start + batch_size])

    def predict(self, x, *, batch_size=1024, out=None):
        """Return the model's output: logits for a classifier trained on cross_entropy; labels are ``.argmax(-1)``.

        Parameters
        ----------
        x : array_like, shape (rows, ...)
        batch_size : int
            Rows at a time; the result does not depend on it.
        out : ndarray, optional
            Receives the result.

        Returns
        -------
        ndarray, shape (rows, ...)
        """
        x = _as_rows(x, "predict", "x")
        if len(x) <= batch_size:
            return self.model(x, out=out)
        for start, output in self._outputs(x, batch_size):
            if start == 0:
                shape = (len(x), *output.shape[1:])
                if out is None:
                    out = np.empty(shape, output.dtype)
                elif out.shape != shape or out.dtype != output.dtype:
                    raise ValueError(f"predict: out is {out.dtype} {out.shape} but {output.dtype} {shape} was expected")
            out[start : start + len(output)] = output
        return out

    def predict_proba(self, x):
        """Class probabilities.

        Parameters
        ----------
        x : array_like, shape (rows, ...)

        Returns
        -------
        ndarray, shape (rows, classes)

        Raises
        ------
        ValueError
            Where the loss has no probabilities, such as mse.
        """
        output = self.predict(x)
        if len(self.model) and isinstance(self.model[-1], Softmax):
            return output
        if not hasattr(self.loss, "probabilities"):
            raise ValueError(
                f"predict_proba: the loss ({self.loss!r}) gives no probabilities; cross_entropy was expected"
            )
        return self.loss.probabilities(output)

    def evaluate(self, x, y):
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y : array_like
            Inputs and targets, one row per sample.

        Returns
        -------
        dict
            {"loss": ..., "accuracy": ...}: the loss, its own metrics and the trainer's.
        """
        x, y = _as_rows(x, "evaluate", "x"), _as_rows(y, "evaluate", "y")
        if len(x) != len(y):
            raise ValueError(f"evaluate: x has {len(x)} rows but y has {len(y)}")
        output = self.predict(x)
        values = {"loss": self._loss_of(output, y)[0]}
        metrics = {name: METRICS[name] for name in getattr(self.loss, "metrics", ())} | self.metrics
        return values | {name: float(metric(output, y)) for name, metric in metrics.items()}
