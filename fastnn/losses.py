"""Losses as frozen specifications for the trainer: one class per row of the table of losses.

A loss is called as ``loss(output, target, sample_weight=None, divisor=None) -> (value, gradient)``. With w_i the weight of row i and
l_i its loss, the mean over its elements where it has several, the value is sum(w_i l_i) / divisor; the gradient is its gradient by
the output and has the output's dtype. A divisor of None means PyTorch's weighted mean, whose divisor is the sum of the rows' weights.
"""

import operator
import warnings
from typing import NamedTuple

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import data
from fastnn import functional as F
from fastnn.layers import Layer
from fastnn.specification import Specification, specification, specified

LOSSES = {}  # from name to class
_IGNORED = -100  # the label that counts nothing, PyTorch's


class Loss(Specification):
    """What all losses share; see the module."""

    metrics = ()
    _requires_head = False  # whether the model has to end with a certain layer

    def __post_init__(self):
        layer = type(self).__name__
        info = self._row.info
        names = [*info.params] if info.second is None or info.pair else [*info.params, info.second]
        checked = self._row.check(layer, {key: getattr(self, key) for key in names})
        if info.labels:
            checked["weight"] = _class_weights(layer, self.weight)
        if hasattr(self, "ignore_index"):
            try:
                checked["ignore_index"] = operator.index(self.ignore_index)
            except TypeError:
                raise TypeError(f"{layer}: ignore_index is {self.ignore_index!r} but an integer was expected") from None
        for key, value in checked.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "_params", {key: checked[key] for key in names})

    def __call__(self, output, target, sample_weight=None, divisor=None):
        """Return the loss and its gradient by the output."""
        if self._row.info.pair:
            return self._of_heads(output, target, sample_weight, divisor)
        return self._of_row(self._row, output, target, sample_weight, divisor)

    def _of_row(self, row, output, target, sample_weight, divisor):
        """Return what a row of the table says with these parameters."""
        weight, ignore_index = getattr(self, "weight", None), getattr(self, "ignore_index", _IGNORED)
        return _core.loss(
            self._function, row, True, output, target, weight, sample_weight, ignore_index, self._params, "mean",
            divisor, None,
        )  # fmt: skip

    def _of_heads(self, output, target, sample_weight, divisor):
        """Return the loss of an output that holds the inputs first, and then the logarithms of the second ones."""
        info, output = self._row.info, np.asarray(output)
        if output.ndim != 2 or output.shape[1] % 2:
            raise ValueError(
                f"{info.layer}: output has shape {output.shape} but (batch, 2 k) was expected: k means, then k logarithms of variances"
            )
        first, second = np.split(output, 2, axis=1)
        params = self._params | {info.second: second}
        value, *gradients = _core.loss(
            info.function,
            self._row,
            True,
            first,
            target,
            None,
            sample_weight,
            None,
            params,
            "mean",
            divisor,
            None,
            True,
        )
        return value, np.concatenate(gradients, axis=1)

    def row_weights(self, target):
        """Return the weight that the loss itself gives each row: its label's class weight, 0 where ignored; None if all are 1.

        Parameters
        ----------
        target : array_like

        Returns
        -------
        ndarray of float64, shape (rows,), or None

        Raises
        ------
        IndexError
            For a label without a class weight.
        """
        info = self._row.info
        target = np.asarray(target)
        if not hasattr(self, "ignore_index") or target.dtype.kind not in "iu":
            return None  # numbers or probabilities
        labels = target.reshape(-1)
        counted = labels != self.ignore_index
        if self.weight is None:
            return None if counted.all() else counted.astype(np.float64)
        wrong = counted & ((labels < 0) | (labels >= len(self.weight)))
        if wrong.any():
            row = int(wrong.argmax())
            raise IndexError(
                f"{self._function}: target[{row}] is {labels[row]} but a label in [0, {len(self.weight)}) or ignore_index "
                f"({self.ignore_index}) was expected"
            )
        if info.weighs_values:
            return None if counted.all() else counted.astype(np.float64)
        weights = np.zeros(len(labels))
        weights[counted] = np.array(self.weight)[labels[counted].astype(np.int64)]
        return weights


def _class_weights(layer, weight):
    """Return weights of classes as a tuple of numbers, which compares, hashes and saves; None stays None."""
    if weight is None:
        return None
    weight = np.asarray(weight)
    if weight.dtype.kind not in "biuf":
        raise TypeError(f"{layer}: weight has dtype {weight.dtype} but numbers were expected")
    if weight.ndim != 1:
        raise ValueError(f"{layer}: weight has shape {weight.shape} but one weight per class was expected")
    if not ((weight >= 0) & np.isfinite(weight)).all():
        raise ValueError(f"{layer}: weight is {weight} but finite weights of at least 0 were expected")
    return tuple(weight.astype(np.float64).tolist())


class LossOfProbabilities(Loss):
    """A loss of the probabilities that a last layer makes of logits. It can be computed from the logits, the two as one."""

    _head = None  # the class of that layer, by name
    _of = None  # the loss of the logits, by name

    def of_logits(self, logits, target, sample_weight=None, divisor=None):
        """Return the loss of the layer's output, and its gradient by the layer's input.

        A probability near 1 has lost what its logit told: 0.99999999 is 1 in float32.
        """
        return self._of_row(_core.LOSSES[self._of], logits, target, sample_weight, divisor)


def _loss(name, base=Loss, **members):
    """Make the class of a row of the table of losses."""
    row = _core.LOSSES[name]
    info = row.info
    fields = [("weight", object, None), ("ignore_index", int, _IGNORED)] if info.labels else []
    fields += [(info.second, object, info.columns)] if info.second and not info.pair else []
    fields += [(key, float | None if value is None else type(value), value) for key, value in info.params.items()]
    members |= {"_row": row, "_name": name, "_function": info.function, "__module__": __name__}
    members["__doc__"] = (
        f"See ``functional.{info.function}``, whose parameters it takes; checked here, not at the first call."
    )
    if info.pair:
        members["__doc__"] += " Half of the outputs are means, the others the logarithms of their variances."
    if info.outputs:
        outputs = getattr(F, info.outputs)

        def probabilities(self, output):
            """Return the probabilities of a model's output."""
            return outputs(output)

        members |= {"metrics": ("accuracy",), "probabilities": probabilities}
    members["__annotations__"] = {key: of_type for key, of_type, _ in fields}
    members |= {key: value for key, _, value in fields}
    LOSSES[name] = specification(type(info.layer, (base,), members))
    return LOSSES[name]


CrossEntropy = _loss("cross_entropy")
MSE = _loss("mse")
Huber = _loss("huber")
HalfMSE = _loss("half_mse")
L1 = _loss("l1")
SmoothL1 = _loss("smooth_l1")
LogCosh = _loss("log_cosh")
BCE = _loss("binary_cross_entropy", LossOfProbabilities, _head="Sigmoid", _of="binary_cross_entropy_with_logits")
BCEWithLogits = _loss("binary_cross_entropy_with_logits")
FocalWithLogits = _loss("focal_with_logits")
Hinge = _loss("hinge")
SquaredHinge = _loss("squared_hinge")
SoftMargin = _loss("soft_margin")
PoissonNLL = _loss("poisson_nll")
KLDiv = _loss("kl_div")
Quantile = _loss("quantile")
GaussianNLL = _loss("gaussian_nll")
NLL = _loss("nll")
MulticlassHinge = _loss("multiclass_hinge")
MultiMargin = _loss("multi_margin")

TASKS = {task: name for name, loss in LOSSES.items() for task in loss._row.info.tasks}  # from task to loss


def _keras(name):
    """Return a decorator that makes a class one of Keras' losses."""

    def made(cls):
        cls._name = cls._function = name
        LOSSES[name] = specification(cls)
        return LOSSES[name]

    return made


class _Keras(LossOfProbabilities):
    """What Keras' losses share: outputs that are probabilities, made by a last layer that has to be there."""

    metrics = ("accuracy",)
    _requires_head = True

    def probabilities(self, output):
        """Return the probabilities of a model's output, which it is."""
        return output


@_keras("binary_crossentropy")
class BinaryCrossentropy(_Keras, BCE):
    """-(target log(p) + (1 - target) log(1 - p)) of probabilities p in a mean over all elements, as Keras' ``binary_crossentropy``.

    Needs a last ``Sigmoid`` and is computed from its logits, where Keras keeps p 1e-7 away from 0 and 1. Targets are 0 and 1, or between.
    """


class _OfClasses(_Keras):
    """What Keras' losses of classes share: cross-entropy of probabilities with a sum of 1, by the formula of that of logits."""

    _row, _head, _of = CrossEntropy._row, "Softmax", "cross_entropy"

    def of_logits(self, logits, target, sample_weight=None, divisor=None):
        """Return the loss of the layer's output, and its gradient by the layer's input."""
        return super().of_logits(logits, self._as_target(target, np.shape(logits)), sample_weight, divisor)

    def __call__(self, output, target, sample_weight=None, divisor=None):
        """Return the loss and its gradient by the output; both are of output / sum(output), as Keras has it."""
        output = np.asarray(output)
        output = np.maximum(output, np.finfo(np.result_type(output, np.float32)).tiny)  # logarithms are finite
        value, gradient = self.of_logits(np.log(output), target, sample_weight, divisor)
        return value, gradient / output


@_keras("categorical_crossentropy")
class CategoricalCrossentropy(_OfClasses):
    """-sum_j target_j log(p_j) of probabilities p, as Keras' ``categorical_crossentropy``.

    Needs a last ``Softmax`` and is computed from its logits, where Keras keeps p 1e-7 away from 0 and 1. Targets are one-hot rows or
    probabilities; ``weight`` and ``label_smoothing`` are those of ``functional.cross_entropy``.
    """

    weight: object = None
    label_smoothing: float = 0.0

    def _as_target(self, target, shape):
        target = np.asarray(target)
        if target.shape != shape:
            raise ValueError(
                f"{self._name}: target has shape {target.shape} but probabilities {shape} were expected; "
                "sparse_categorical_crossentropy takes labels"
            )
        return target.astype(np.float64) if target.dtype.kind in "iu" else target


@_keras("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(_OfClasses):
    """-log(p_target) of probabilities p, as Keras' ``sparse_categorical_crossentropy``.

    Needs a last ``Softmax`` and is computed from its logits, where Keras keeps p 1e-7 away from 0 and 1. Targets are integer labels;
    ``weight``, ``ignore_index`` and ``label_smoothing`` are those of ``functional.cross_entropy``.
    """

    weight: object = None
    ignore_index: int = _IGNORED
    label_smoothing: float = 0.0

    def _as_target(self, target, shape):
        target = np.asarray(target)
        if target.dtype.kind not in "iu":
            raise TypeError(
                f"{self._name}: target has dtype {target.dtype} but integer labels were expected; "
                "categorical_crossentropy takes one-hot rows and probabilities"
            )
        if target.shape not in (shape[:-1], (*shape[:-1], 1)):
            raise ValueError(
                f"{self._name}: target has shape {target.shape} but labels {shape[:-1]} were expected; "
                "categorical_crossentropy takes one-hot rows"
            )
        return target


class _Pair(NamedTuple):
    """Which last layers a loss fits.

    Attributes
    ----------
    takes : str
        What the loss takes the outputs for, as a message says it.
    after : tuple of str
        Classes of the last layers that give this; empty where most do.
    not_after : tuple of str
        Those that give something else; read where ``after`` is empty.
    hint : str
        What to do instead.
    """

    takes: str
    after: tuple = ()
    not_after: tuple = ()
    hint: str = ""


def _of_head(head, of_logits):
    return _Pair("probabilities", (head,), hint=f"add it, or use {of_logits}, which takes logits")


_PROBABILITIES, _LOGARITHMS = ("Sigmoid", "Hardsigmoid", "Softmax"), ("LogSoftmax", "LogSigmoid")
_POSITIVE = ("Softplus", "ReLU", "ReLU6", "Square")
_LOGITS = _Pair("logits", not_after=(*_PROBABILITIES, *_LOGARITHMS))
_SCORES = _Pair("scores of any sign", not_after=(*_PROBABILITIES, *_LOGARITHMS))

# The lectures' table of last layers and losses. cross_entropy takes log-probabilities too: their softmax are the probabilities.
_PAIRS = {
    "cross_entropy": _LOGITS._replace(not_after=(*_PROBABILITIES, "LogSigmoid")),
    "binary_cross_entropy_with_logits": _LOGITS,
    "focal_with_logits": _LOGITS,
    "soft_margin": _LOGITS,
    "hinge": _SCORES,
    "squared_hinge": _SCORES,
    "multiclass_hinge": _SCORES,
    "multi_margin": _SCORES,
    "binary_cross_entropy": _Pair(
        "probabilities", _PROBABILITIES, hint="binary_cross_entropy_with_logits takes logits"
    ),
    "binary_crossentropy": _of_head("Sigmoid", "binary_cross_entropy_with_logits"),
    "categorical_crossentropy": _of_head("Softmax", "cross_entropy"),
    "sparse_categorical_crossentropy": _of_head("Softmax", "cross_entropy"),
    "nll": _Pair("log-probabilities", _LOGARITHMS, hint="cross_entropy takes logits"),
    "kl_div": _Pair("log-probabilities", _LOGARITHMS),
    "poisson_nll": _Pair(
        "logarithms of rates", not_after=(*_POSITIVE, *_PROBABILITIES, *_LOGARITHMS), hint="log_input=False takes rates"
    ),
    "gaussian_nll": _Pair("means and logarithms of variances", not_after=(*_POSITIVE, *_PROBABILITIES, *_LOGARITHMS)),
}
_RATES = _Pair("rates", (*_POSITIVE, *_PROBABILITIES), hint="log_input=True takes their logarithms")
_UNKNOWN = ("Columns", "Flatten", "Identity", "Residual")  # layers that do not tell what they give


def mismatch(loss, last):
    """Return what is wrong with a loss after a last layer, as a sentence's end; None where nothing is.

    Parameters
    ----------
    loss : object
    last : layer
        That makes a model's output.
    """
    pair = _PAIRS.get(loss._name) if isinstance(loss, Loss) else None
    if pair is None:
        return None
    pair = _RATES if isinstance(loss, PoissonNLL) and not loss.log_input else pair
    layer, own = type(last).__name__, type(last).__module__.startswith("fastnn.layers.")
    if loss._requires_head:
        if _belong(loss, last):
            return None
    elif not own or layer in _UNKNOWN or (layer in pair.after if pair.after else layer not in pair.not_after):
        return None
    hint = f"; {pair.hint}" if pair.hint else ""
    if not pair.after:
        return f"{loss._name} takes {pair.takes}, but the model ends with {layer}{hint}"
    wrong_axis = (
        f" over the last axis, but with {last!r}" if loss._requires_head and own and layer in pair.after else ""
    )
    return f"{loss._name} takes {pair.takes}, but the model does not end with {pair.after[0]}{wrong_axis}{hint}"


def _belong(loss, last):
    """Whether a last layer makes the probabilities of which ``loss.of_logits`` is the loss."""
    return (
        loss._head == type(last).__name__
        and type(last).__module__.startswith("fastnn.layers.")
        and getattr(last, "axis", -1) in (-1, 1)  # of rows (batch, classes)
    )


def fused(loss, model):
    """Whether a loss is computed from what comes before a model's last layer, the two as one, by ``loss.of_logits``.

    A class of the user's own, even one of these losses changed, is called as it is.
    """
    known = isinstance(loss, LossOfProbabilities) and type(loss) is LOSSES[loss._name]
    return known and model._is_chain and _belong(loss, model._last)


def as_loss(loss, model, func="Trainer"):
    """Return the object or callable that a name, a class or an object means for this model."""
    loss = specified(loss, LOSSES, "loss", func)
    if isinstance(loss, (type, Layer)) or not callable(loss):
        hint = "; pass it as optimizer=" if hasattr(loss, "update") else ""
        raise TypeError(f"{func}: loss is {loss!r} but a name, an object or a callable was expected{hint}")
    wrong = mismatch(loss, model._last)
    if wrong is not None and loss._requires_head:
        raise ValueError(f"{func}: {wrong}")
    if wrong is not None:
        warnings.warn(f"{func}: {wrong}", stacklevel=3)
    return loss


def require_weighable(loss, **weights):
    """Raise TypeError for weights of rows, by name, where a loss takes none."""
    for name, weight in weights.items():
        if weight is not None and not hasattr(loss, "row_weights"):
            raise TypeError(f"Trainer: a callable loss takes no {name}")


def require_targets(loss, y, dtype, func, name):
    """Raise ValueError for the first number of y that is no target of a loss, by row and column; of a user's own, any is one."""
    expected = loss._row.info.accepts[0] if isinstance(loss, Loss) and type(loss) is LOSSES[loss._name] else None
    if expected is not None:
        data.require_targets(y, dtype, loss._row.first_refused, expected, func, name)


def differentiate(loss, output, y, weight=None, divisor=None, func="Trainer", *, before_last=False):
    """Return value and gradient of any kind of loss by the output; or by what comes before the last layer, given in its place."""
    if hasattr(loss, "row_weights"):
        return (loss.of_logits if before_last else loss)(output, y, weight, divisor)
    require_weighable(loss, sample_weight=weight)
    result = loss(output, y)
    if not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(f"{func}: the loss returned {type(result).__name__} but a pair (loss, gradient) was expected")
    gradient = np.asarray(result[1], output.dtype)
    if gradient.shape != output.shape:
        raise ValueError(
            f"{func}: the loss's gradient has shape {gradient.shape} but the output has shape {output.shape}"
        )
    return float(result[0]), gradient


__all__ = [loss.__name__ for loss in LOSSES.values()]
