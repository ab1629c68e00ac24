"""Losses as frozen specifications for the trainer: one class per row of the table of losses.

A loss is called as ``loss(output, target, sample_weight=None, divisor=None) -> (value, gradient)``. With w_i the weight of row i and
l_i its loss, the mean over its elements where it has several, the value is sum(w_i l_i) / divisor; the gradient is its gradient by
the output and has the output's dtype. A divisor of None means PyTorch's weighted mean, whose divisor is the sum of the rows' weights.
"""

import functools
import operator
import warnings

import numpy as np

from fastnn import _fastnn_core as _core
from fastnn import functional as F
from fastnn.layers import Layer, Sequential
from fastnn.specification import Specification, specification, specified

LOSSES = {}  # from name to class


class Loss(Specification):
    """What all losses share; see the module."""

    metrics = ()

    def __post_init__(self):
        layer = type(self).__name__
        info = self._row.info
        names = [*info.params] if info.second is None or info.pair else [*info.params, info.second]
        checked = self._row.check(layer, {key: getattr(self, key) for key in names})
        if info.labels:
            checked["weight"] = _class_weights(layer, self.weight)
            try:
                checked["ignore_index"] = operator.index(self.ignore_index)
            except TypeError:
                raise TypeError(f"{layer}: ignore_index is {self.ignore_index!r} but an integer was expected") from None
        for key, value in checked.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "_params", {key: checked[key] for key in names})

    def __call__(self, output, target, sample_weight=None, divisor=None):
        """Return the loss and its gradient by the output."""
        info = self._row.info
        if info.pair:
            return self._of_heads(output, target, sample_weight, divisor)
        weight, ignore_index = (self.weight, self.ignore_index) if info.labels else (None, None)
        return _core.loss(
            info.function, self._row, True, output, target, weight, sample_weight, ignore_index, self._params, "mean",
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
        if not info.labels or target.dtype.kind not in "iu":
            return None  # numbers or probabilities
        labels = target.reshape(-1)
        counted = labels != self.ignore_index
        if self.weight is None:
            return None if counted.all() else counted.astype(np.float64)
        wrong = counted & ((labels < 0) | (labels >= len(self.weight)))
        if wrong.any():
            row = int(wrong.argmax())
            raise IndexError(
                f"{info.function}: target[{row}] is {labels[row]} but a label in [0, {len(self.weight)}) or ignore_index "
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
    if not (weight >= 0).all():
        raise ValueError(f"{layer}: weight is {weight} but weights of at least 0 were expected")
    return tuple(weight.astype(np.float64).tolist())


def _loss(name):
    """Make the class of a row of the table of losses."""
    row = _core.LOSSES[name]
    info = row.info
    fields = [("weight", object, None), ("ignore_index", int, -100)] if info.labels else []
    fields += [(info.second, object, info.columns)] if info.second and not info.pair else []
    fields += [(key, type(value), value) for key, value in info.params.items()]
    members = {"_row": row, "__module__": __name__}
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
    LOSSES[name] = specification(type(info.layer, (Loss,), members))
    return LOSSES[name]


CrossEntropy = _loss("cross_entropy")
MSE = _loss("mse")
Huber = _loss("huber")
HalfMSE = _loss("half_mse")
L1 = _loss("l1")
SmoothL1 = _loss("smooth_l1")
LogCosh = _loss("log_cosh")
BCE = _loss("binary_cross_entropy")
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

# What a loss takes, and which last layers give it. A probability that a last layer has rounded keeps fewer digits than its logit.
_TAKES = {
    "cross_entropy": "logits",
    "binary_cross_entropy_with_logits": "logits",
    "binary_cross_entropy": "probabilities",
}
_GIVES = {"Sigmoid": "probabilities", "Hardsigmoid": "probabilities", "Softmax": "probabilities"}

# A last layer and a loss that are computed as one: the loss of the logits before that layer.
_FUSED = {("Sigmoid", "binary_cross_entropy"): "binary_cross_entropy_with_logits"}


def _name(loss):
    """Return the name of a loss's row; None for a callable of the user's own."""
    return loss._row.info.name if isinstance(loss, Loss) else None


def mismatch(loss, last):
    """Return what is wrong with a loss after a last layer, as a sentence's end; None where nothing is.

    Parameters
    ----------
    loss : object
    last : layer
        The last of a model.
    """
    name, layer = _name(loss), type(last).__name__
    takes, gives = _TAKES.get(name), _GIVES.get(layer)
    if not type(last).__module__.startswith("fastnn.layers.") or layer == "Residual":
        return None  # what it gives is unknown
    if takes == "logits" and gives:
        return f"{name} takes logits, but the model ends with {layer}"
    if takes == "probabilities" and not gives:
        return f"{name} takes probabilities, but the model does not end with Sigmoid; {name}_with_logits takes logits"
    return None


def fused(loss, last):
    """Return the loss of the logits before a last layer that a loss after it amounts to; None where there is none."""
    name = _FUSED.get((type(last).__name__, _name(loss)))
    return None if name is None else _plain(name)


@functools.cache
def _plain(name):
    """Return the loss of a name without options; one object for all, as each step asks for it."""
    return LOSSES[name]()


def as_loss(loss, model, func="Trainer"):
    """Return the object or callable that a name, a class or an object means for this model."""
    loss = specified(loss, LOSSES, "loss", func)
    if isinstance(loss, (type, Layer)) or not callable(loss):
        hint = "; pass it as optimizer=" if hasattr(loss, "update") else ""
        raise TypeError(f"{func}: loss is {loss!r} but a name, an object or a callable was expected{hint}")
    last = model
    while isinstance(last, Sequential) and len(last):
        last = last[-1]
    wrong = mismatch(loss, last)
    if wrong is not None:
        warnings.warn(f"{func}: {wrong}", stacklevel=3)
    return loss


def require_weighable(loss, **weights):
    """Raise TypeError for weights of rows, by name, where a loss takes none."""
    for name, weight in weights.items():
        if weight is not None and not hasattr(loss, "row_weights"):
            raise TypeError(f"Trainer: a callable loss takes no {name}")


def differentiate(loss, output, y, weight=None, divisor=None, func="Trainer"):
    """Return value and gradient by the output of any kind of loss."""
    if hasattr(loss, "row_weights"):
        return loss(output, y, weight, divisor)
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
