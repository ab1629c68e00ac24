"""Metrics: functions (output, target) -> number over all rows, with scikit-learn's values, and the table of their names.

Design
A. A metric is computed from all rows at once: the mean of its values over minibatches would be another number.
B. A row of ``METRICS`` says what a metric takes, to which the trainer turns the model's output: "labels", which the metric decides on
   itself, by the largest of several columns or by a threshold of one; "probabilities"; or "numbers", the output as it is.
C. Options are keywords: ``functools.partial(metrics.f1, average="weighted")`` is a metric too.
"""

import functools
import inspect
import warnings
from dataclasses import dataclass

import numpy as np

from fastnn.data import as_rows, as_weights, require_finite
from fastnn.layers.base import as_count, as_number

# ------------------------------------------------------------------------------------------------------------------- rows


def _columns(func, output, name="output"):
    """Return an array of two dimensions, rows and columns; numbers of one dimension are one column."""
    output = as_rows(output, func, name)
    output = output[:, None] if output.ndim == 1 else output
    if output.ndim != 2 or output.shape[1] == 0:
        raise ValueError(f"{func}: {name} has shape {output.shape} but (rows,) or (rows, columns) was expected")
    return output


def _weights(func, weight, rows):
    return np.ones(rows) if weight is None else as_weights(weight, rows, func, y_name="target")


def _mean(values, weight):
    """Return the weighted mean over rows; NaN where no row counts."""
    total = weight.sum()
    return float((weight * values).sum() / total) if total else float("nan")


def _target(func, target):
    """Return the target as an array of finite numbers."""
    target = as_rows(target, func, "target")
    require_finite(target, target.dtype, func, "target")
    return target


def _labels(func, output, target, ignore_index=None):
    """Return the target's labels, shape (rows,): of several columns that of one of them, of one column any numbers."""
    target = _target(func, target)
    if target.shape == output.shape and output.shape[1] > 1:
        return target.argmax(-1)
    if target.shape not in ((len(output),), (len(output), 1)):
        raise ValueError(
            f"{func}: target has shape {target.shape} but one label per row of output {output.shape} was expected"
        )
    labels = target.reshape(-1)
    if output.shape[1] > 1:
        _require_labels(func, labels, output.shape[1], ignore_index)
    return labels


def _require_labels(func, labels, classes, ignore_index=None):
    bad = ~((labels >= 0) & (labels < classes)) | (labels % 1 != 0)
    also = ""
    if ignore_index is not None:
        bad, also = bad & (labels != ignore_index), f" or ignore_index ({ignore_index})"
    if bad.any():
        row = int(bad.argmax())
        raise IndexError(f"{func}: target[{row}] is {labels[row]} but a label in [0, {classes}){also} was expected")


def _indicators(func, output, target):
    """Return which labels hold, a bool for each element of the output."""
    target = _columns(func, _target(func, target), "target")
    if target.shape != output.shape:
        raise ValueError(f"{func}: target has shape {target.shape} but that of output, {output.shape}, was expected")
    return target > 0.5


def _decided(func, output, labels, threshold):
    """Return the labels that an output predicts and the true ones, shape (rows,), alike in what they are."""
    threshold = as_number(threshold, func, "threshold")
    if output.shape[1] > 1:
        return output.argmax(-1), labels
    if output.dtype.kind in "iu":  # labels already
        return output[:, 0], labels
    return (output[:, 0] > threshold).astype(np.int64), (labels > 0.5).astype(np.int64)


def _classified(func, output, target, threshold, multilabel):
    """Return what is predicted and what is true: labels, shape (rows,), or for ``multilabel`` bools, shape (rows, columns)."""
    output = _columns(func, output)
    if multilabel:
        return output > as_number(threshold, func, "threshold"), _indicators(func, output, target)
    return _decided(func, output, _labels(func, output, target), threshold)


# ----------------------------------------------------------------------------------------------------------------- labels


def accuracy(output, target, *, sample_weight=None, threshold=0.5, multilabel=False, ignore_index=-100):
    """Share of rows whose prediction is the target (scikit-learn's ``accuracy_score``).

    Parameters
    ----------
    output : array_like, shape (rows, classes), (rows, 1) or (rows,)
        Scores or probabilities: of several columns the largest is the prediction, of one column whether it exceeds the threshold.
        Integers in one column are labels themselves.
    target : array_like
        Labels, shape (rows,) or (rows, 1), of any dtype; or of the shape of ``output``, where the largest is meant, or with
        ``multilabel`` those above 0.5.
    sample_weight : array_like, shape (rows,), optional
        Weight of each row; rows of weight 0 count nothing.
    threshold : float
        Of one column, and of each with ``multilabel``: 0 for logits, 0.5 for probabilities and for targets 0 and 1.
    multilabel : bool
        Whether each column is a label of its own. A row is right where all its columns are.
    ignore_index : int
        Rows with this label count nothing.

    Returns
    -------
    float
        NaN where no row counts.

    Raises
    ------
    ValueError
        Where there is not one target per row of ``output``, and for a target that is not finite.
    TypeError
        For what holds no real numbers.
    IndexError
        For a label that is none of several columns' and not ``ignore_index``.
    """
    output = _columns("accuracy", output)
    weight = _weights("accuracy", sample_weight, len(output))
    if multilabel:
        predicted, true = _classified("accuracy", output, target, threshold, multilabel)
        return _mean((predicted == true).all(-1), weight)
    labels = _labels("accuracy", output, target, ignore_index)
    predicted, true = _decided("accuracy", output, labels, threshold)
    return _mean(predicted == true, np.where(labels == ignore_index, 0.0, weight))


def top_k_accuracy(output, target, *, k=2, sample_weight=None, threshold=0.5):
    """Share of rows whose label is among the k largest of its outputs (scikit-learn's ``top_k_accuracy_score``).

    Parameters
    ----------
    output : array_like, shape (rows, classes)
        Of equal outputs the later class counts as larger. Of one column, (rows,) or (rows, 1), k = 1 is ``accuracy``, and k = 2 gives 1.
    target, sample_weight, threshold
        As for ``accuracy``.
    k : int

    Returns
    -------
    float
    """
    func = "top_k_accuracy"
    output, k = _columns(func, output), as_count(k, func, "k")
    labels = _labels(func, output, target)
    if output.shape[1] == 1:
        predicted, labels = _decided(func, output, labels, threshold)
        output = predicted[:, None] == np.arange(2)
    best = np.argsort(output, 1, kind="stable")[:, ::-1][:, :k]
    return _mean((best == labels[:, None]).any(1), _weights(func, sample_weight, len(output)))


def confusion_matrix(output, target, *, sample_weight=None, threshold=0.5):
    """How many rows of each class, by row, are predicted as each class, by column (scikit-learn's ``confusion_matrix``).

    Parameters
    ----------
    output, target, sample_weight, threshold
        As for ``accuracy``.

    Returns
    -------
    ndarray, shape (classes, classes)
        A class for each column of the output, two for one column, up to the largest label for labels. int64; float64 with weights.
    """
    return _cells("confusion_matrix", output, target, sample_weight, threshold)


def _cells(func, output, target, sample_weight, threshold):
    """Return the confusion matrix."""
    predicted, true = _classified(func, output, target, threshold, False)
    columns = _columns(func, output).shape[1]
    largest = int(max(predicted.max(), true.max())) if len(true) else 0
    classes = columns if columns > 1 else max(2, largest + 1)
    _require_labels(func, true, classes)
    weight = None if sample_weight is None else _weights(func, sample_weight, len(true))
    cells = true.astype(np.int64) * classes + predicted
    return np.bincount(cells, weight, classes * classes).reshape(classes, classes)


def balanced_accuracy(output, target, *, sample_weight=None, threshold=0.5):
    """Mean over the classes that occur in the target of the share of their rows that are right (``balanced_accuracy_score``).

    Parameters
    ----------
    output, target, sample_weight, threshold
        As for ``accuracy``.

    Returns
    -------
    float
        NaN where no row counts.
    """
    cells = _cells("balanced_accuracy", output, target, sample_weight, threshold)
    occurring = cells.sum(1) > 0
    return float((cells.diagonal()[occurring] / cells.sum(1)[occurring]).mean()) if occurring.any() else float("nan")


def _ratio(func, of, output, target, average, sample_weight, threshold, multilabel):
    """Return the average over classes of a ratio of counts.

    ``of`` takes the rows of each class that are right, predicted and true, each a weighted count, and returns numerator and
    denominator. A class whose denominator is 0 counts as 0, as in scikit-learn, without its warning.
    """
    predicted, true = _classified(func, output, target, threshold, multilabel)
    weight = _weights(func, sample_weight, len(true))
    if average not in ("auto", "binary", "micro", "macro", "weighted"):
        raise ValueError(f"{func}: average is {average!r} but auto, binary, micro, macro or weighted was expected")
    if not multilabel:
        classes = np.union1d(predicted, true)
        columns = _columns(func, output).shape[1]
        two = columns == 2 or (columns == 1 and np.isin(classes, (0, 1)).all())
        if average == "binary" or (average == "auto" and two):
            if not two:
                raise ValueError(f"{func}: average is 'binary' but there are {max(columns, len(classes))} classes")
            classes = np.array([1])
        predicted, true = predicted[:, None] == classes, true[:, None] == classes
    elif average == "binary":
        raise ValueError(f"{func}: average is 'binary' but multilabel is set")
    if not weight.sum():
        return float("nan")
    right, predicted, true = (weight @ hits for hits in (predicted & true, predicted, true))
    above, below = of(right, predicted, true)
    if average == "micro":
        above, below = above.sum(keepdims=True), below.sum(keepdims=True)
    ratios = np.divide(above, below, out=np.zeros(len(above)), where=below != 0)
    if average == "weighted":
        return float((true * ratios).sum() / true.sum()) if true.sum() else 0.0
    return float(ratios.mean())


def precision(output, target, *, average="auto", sample_weight=None, threshold=0.5, multilabel=False):
    """Share of the rows predicted as a class that are of it (scikit-learn's ``precision_score``).

    Parameters
    ----------
    output, target, sample_weight, threshold, multilabel
        As for ``accuracy``.
    average : str
        "binary" for class 1 of two, "macro" for the mean over the classes that occur in output or target, "weighted" for their mean
        weighted by how often they are true, "micro" for the ratio of sums over classes. "auto" is "binary" for two classes, else
        "macro".

    Returns
    -------
    float
        A class without denominator counts as 0. NaN where no row counts.
    """

    def of(right, predicted, true):
        return right, predicted

    return _ratio("precision", of, output, target, average, sample_weight, threshold, multilabel)


def recall(output, target, *, average="auto", sample_weight=None, threshold=0.5, multilabel=False):
    """Share of the rows of a class that are predicted as it (``recall_score``); parameters and result are those of ``precision``."""

    def of(right, predicted, true):
        return right, true

    return _ratio("recall", of, output, target, average, sample_weight, threshold, multilabel)


def f1(output, target, *, average="auto", sample_weight=None, threshold=0.5, multilabel=False):
    """Harmonic mean of precision and recall (``f1_score``); parameters and result are those of ``precision``."""

    def of(right, predicted, true):
        return 2 * right, predicted + true

    return _ratio("f1", of, output, target, average, sample_weight, threshold, multilabel)


# ---------------------------------------------------------------------------------------------------------- probabilities


def _ranked(func, binary, output, target, average, sample_weight, multilabel):
    """Return the average over classes of a function (scores, whether true, weight) -> number of one class against the rest."""
    scores = _columns(func, output).astype(np.float64, copy=False)
    weight = _weights(func, sample_weight, len(scores))
    if average not in ("micro", "macro", "weighted"):
        raise ValueError(f"{func}: average is {average!r} but micro, macro or weighted was expected")
    if multilabel:
        true = _indicators(func, scores, target)
    else:
        labels = _labels(func, scores, target)
        if scores.shape[1] == 1:
            true = labels[:, None] > 0.5
        else:
            true = labels[:, None] == np.arange(scores.shape[1])
            if scores.shape[1] == 2:
                scores, true = scores[:, 1:], true[:, 1:]
    if not weight.sum() or np.isnan(scores[weight > 0]).any():
        return float("nan")
    if average == "micro":
        return binary(scores.reshape(-1), true.reshape(-1), np.repeat(weight, scores.shape[1]))
    # map adds no frame to the stack of a warning, which points at the caller.
    values = np.array(list(map(binary, scores.T, true.T, [weight] * len(scores.T))))
    if average == "weighted":
        counts = weight @ true
        return float((counts * values)[counts > 0].sum() / counts.sum()) if counts.sum() else 0.0
    return float(values.mean())


def _steps(scores, true, weight):
    """Return how much the true rows, and how much the others, weigh among the rows with the highest scores.

    Each is an array: a 0, and a number for each distinct score from the highest down, of the rows with at least this score.
    """
    counted = weight != 0
    scores, true, weight = scores[counted], true[counted], weight[counted]
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    sums = (np.cumsum(np.where(part, weight, 0.0)[order])[last] for part in (true, ~true))
    return tuple(np.concatenate([[0.0], part]) for part in sums)


def roc_auc(output, target, *, average="macro", sample_weight=None, multilabel=False):
    """Area under the receiver operating characteristic (scikit-learn's ``roc_auc_score``, of several classes each against the rest).

    It is the share of pairs of a row that is true and one that is not in which the true one has the higher score; ties count half.

    Parameters
    ----------
    output : array_like, shape (rows, classes), (rows, 1) or (rows,)
        Probabilities or other scores; of two columns the second.
    target, sample_weight, multilabel
        As for ``accuracy``.
    average : {"macro", "weighted", "micro"}
        Over classes: the mean, the mean weighted by how often they are true, or the area of all classes' scores at once.

    Returns
    -------
    float
        NaN, with a warning, where only one class occurs; NaN too where a score is.
    """

    def binary(scores, true, weight):
        right, wrong = _steps(scores, true, weight)
        if not (right[-1] and wrong[-1]):
            warnings.warn(
                "roc_auc: the target holds one class only, so there is no area: NaN", RuntimeWarning, stacklevel=4
            )
            return float("nan")
        return float((np.diff(wrong) * (right[1:] + right[:-1])).sum() / 2 / (right[-1] * wrong[-1]))

    return _ranked("roc_auc", binary, output, target, average, sample_weight, multilabel)


def average_precision(output, target, *, average="macro", sample_weight=None, multilabel=False):
    """Sum over the distinct scores, from the highest, of the precision there times the gain in recall (``average_precision_score``).

    Parameters
    ----------
    output, target, average, sample_weight, multilabel
        As for ``roc_auc``.

    Returns
    -------
    float
        0, with a warning, where no row is true.
    """

    def binary(scores, true, weight):
        right, wrong = _steps(scores, true, weight)
        if not right[-1]:
            warnings.warn("average_precision: the target holds no row of a class: 0", RuntimeWarning, stacklevel=4)
            return 0.0
        return float((np.diff(right) * right[1:] / (right[1:] + wrong[1:])).sum() / right[-1])

    return _ranked("average_precision", binary, output, target, average, sample_weight, multilabel)


def _require_probabilities(func, p, name):
    """ValueError for a number outside [0, 1]; NaN is none, it gives NaN."""
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"{func}: {name} is not in [0, 1] but probabilities were expected")


def _probabilities(func, output, target, multilabel):
    """Return probabilities and targets of the same shape, float64; of one column that of class 0 stands first."""
    given = _columns(func, output)
    p = given.astype(np.float64)
    _require_probabilities(func, p, "output")
    if multilabel:
        return p, _indicators(func, p, target).astype(np.float64)
    labels = _labels(func, p, target)
    if p.shape[1] == 1:
        _require_probabilities(func, labels, "target")
        positive = labels[:, None].astype(np.float64)
        return np.concatenate([1 - p, p], 1), np.concatenate([1 - positive, positive], 1)
    if np.shape(target) == p.shape:
        target = _target(func, target)
        _require_probabilities(func, target, "target")
        return p, target.astype(np.float64)
    return p, (labels[:, None] == np.arange(p.shape[1])).astype(np.float64)


def log_loss(output, target, *, sample_weight=None, multilabel=False):
    """Mean of -log of the probability of what is true, probabilities clipped to [eps, 1 - eps] of their dtype (``log_loss``).

    Parameters
    ----------
    output : array_like, shape (rows, classes), (rows, 1) or (rows,)
        Probabilities; of one column those of class 1.
    target, sample_weight, multilabel
        As for ``accuracy``; with ``multilabel`` the mean over columns too.

    Returns
    -------
    float
        NaN where no row counts.
    """
    p, true = _probabilities("log_loss", output, target, multilabel)
    dtype = as_rows(output, "log_loss", "output").dtype
    eps = np.finfo(dtype if dtype.kind == "f" else np.float64).eps
    p = np.clip(p, eps, 1 - eps)
    loss = -(true * np.log(p)).sum(1) if not multilabel else -np.where(true > 0, np.log(p), np.log1p(-p)).mean(1)
    return _mean(loss, _weights("log_loss", sample_weight, len(p)))


def brier(output, target, *, sample_weight=None, multilabel=False):
    """Mean squared difference between probability and what is true: of class 1 for two classes, summed over more (``brier_score_loss``).

    Parameters
    ----------
    output, target, sample_weight, multilabel
        As for ``log_loss``.

    Returns
    -------
    float
        NaN where no row counts.
    """
    p, true = _probabilities("brier", output, target, multilabel)
    squares = (p - true) ** 2
    score = squares.mean(1) if multilabel or p.shape[1] == 2 else squares.sum(1)
    return _mean(score, _weights("brier", sample_weight, len(p)))


# ---------------------------------------------------------------------------------------------------------------- numbers


def _difference(func, output, target, sample_weight):
    """Return output - target, the target, both float64 of shape (rows, columns), and the weights of rows."""
    output, target = (a.astype(np.float64) for a in (as_rows(output, func, "output"), _target(func, target)))
    rows = len(output)
    if output.shape != target.shape and {output.shape, target.shape} != {(rows,), (rows, 1)}:
        raise ValueError(f"{func}: target has shape {target.shape} but that of output, {output.shape}, was expected")
    columns = max(1, int(np.prod(output.shape[1:])))
    target = target.reshape(rows, columns)
    return output.reshape(rows, columns) - target, target, _weights(func, sample_weight, rows)


def _column_means(values, weight):
    """Return the weighted mean of each column; NaN where no row counts."""
    total = weight.sum()
    return weight @ values / total if total else np.full(values.shape[1], np.nan)


def mse(output, target, *, sample_weight=None):
    """Mean squared error (scikit-learn's ``mean_squared_error``).

    Parameters
    ----------
    output, target : array_like, shape (rows, ...)
        (rows,) and (rows, 1) count as one shape.
    sample_weight : array_like, shape (rows,), optional
        Weight of each row.

    Returns
    -------
    float
        The mean over columns. NaN where no row counts.
    """
    difference, _, weight = _difference("mse", output, target, sample_weight)
    return float(_column_means(difference**2, weight).mean())


def rmse(output, target, *, sample_weight=None):
    """Root of each column's mean squared error (``root_mean_squared_error``); parameters and result are those of ``mse``."""
    difference, _, weight = _difference("rmse", output, target, sample_weight)
    return float(np.sqrt(_column_means(difference**2, weight)).mean())


def mae(output, target, *, sample_weight=None):
    """Mean absolute error (scikit-learn's ``mean_absolute_error``); parameters and result are those of ``mse``."""
    difference, _, weight = _difference("mae", output, target, sample_weight)
    return float(_column_means(np.abs(difference), weight).mean())


def r2(output, target, *, sample_weight=None):
    """Coefficient of determination, 1 - sum (output - target)^2 / sum (target - its mean)^2 (scikit-learn's ``r2_score``).

    Parameters
    ----------
    output, target, sample_weight
        As for ``mse``.

    Returns
    -------
    float
        The mean over columns. Of a column whose target is constant 1 where it is met exactly, else 0. NaN, with a warning, of fewer
        than two rows.
    """
    difference, target, weight = _difference("r2", output, target, sample_weight)
    if len(target) < 2:
        warnings.warn("r2: fewer than two rows have no variance: NaN", RuntimeWarning, stacklevel=2)
        return float("nan")
    residual = weight @ difference**2
    # Exactly 0 for a constant, whatever the rows hold that weigh nothing.
    shifted = target - target[weight.argmax()]
    spread = weight @ (shifted - _column_means(shifted, weight)) ** 2
    of_constants = np.where(residual == 0, 1.0, 0.0)
    return float((1 - np.divide(residual, spread, out=1 - of_constants, where=spread != 0)).mean())


# ------------------------------------------------------------------------------------------------------------------ table


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes
    ----------
    function : callable
        (output, target, *, sample_weight) -> number.
    takes : {"labels", "probabilities", "numbers"}
        See the module.
    better : {"max", "min", None}
        Which of two values is better; None where they are no numbers.
    """

    function: object
    takes: str
    better: str = "max"


def _averages(function, takes):
    return {
        f"{function.__name__}_{average}": Metric(functools.partial(function, average=average), takes)
        for average in ("micro", "macro", "weighted")
    }


METRICS = {
    "accuracy": Metric(accuracy, "labels"),
    "top_k_accuracy": Metric(top_k_accuracy, "labels"),
    "balanced_accuracy": Metric(balanced_accuracy, "labels"),
    "confusion_matrix": Metric(confusion_matrix, "labels", None),
    "precision": Metric(precision, "labels"),
    "recall": Metric(recall, "labels"),
    "f1": Metric(f1, "labels"),
    **_averages(precision, "labels"),
    **_averages(recall, "labels"),
    **_averages(f1, "labels"),
    "roc_auc": Metric(roc_auc, "probabilities"),
    "average_precision": Metric(average_precision, "probabilities"),
    "log_loss": Metric(log_loss, "probabilities", "min"),
    "brier": Metric(brier, "probabilities", "min"),
    "mse": Metric(mse, "numbers", "min"),
    "rmse": Metric(rmse, "numbers", "min"),
    "mae": Metric(mae, "numbers", "min"),
    "r2": Metric(r2, "numbers"),
}


def _row(metric):
    """Return the row of a metric of this module, or of a partial of one; None for a function of the user's own."""
    function = getattr(metric, "func", metric)
    return next((row for row in METRICS.values() if row.function is function), None)


def as_metrics(metrics):
    """Return a dict from name to function, of the argument ``metrics`` of Trainer."""
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not hasattr(metrics, "__iter__"):
        raise TypeError(
            f"Trainer: metrics is {metrics!r} but names or functions (output, target) -> float were expected"
        )
    named = {}
    for metric in metrics:
        if isinstance(metric, str) and metric not in METRICS:
            raise ValueError(f"Trainer: metric is {metric!r} but one of {', '.join(METRICS)} was expected")
        if not (isinstance(metric, str) or callable(metric)):
            raise TypeError(
                f"Trainer: metric is {metric!r} but a name or a function (output, target) -> float was expected"
            )
        function = METRICS[metric].function if isinstance(metric, str) else metric
        name = (
            metric
            if isinstance(metric, str)
            else getattr(getattr(metric, "func", metric), "__name__", type(metric).__name__)
        )
        if name in named or name == "loss":
            raise ValueError(f"Trainer: {name!r} names two values; each metric needs a name of its own")
        named[name] = function
    return named


def measure(metric, output, target, weight, counts, *, probabilities, threshold, multilabel):
    """Return the value of a metric on a model's output.

    Parameters
    ----------
    metric : callable
        Of this module, or a function (output, target) -> float, which sees every row alike.
    output, target : ndarray
    weight : ndarray, shape (rows,), or None
    counts : ndarray of bool, shape (rows,), or None
        Rows that the loss does not ignore.
    probabilities : callable
        Turns the output into probabilities.
    threshold : float
        Of one column.
    multilabel : bool
        Whether each column is a label of its own.

    Returns
    -------
    float, or ndarray for ``confusion_matrix``
    """
    row = _row(metric)
    if row is None:
        return float(metric(output, target))
    if counts is not None:
        output, target, weight = output[counts], target[counts], None if weight is None else weight[counts]
    options = {"sample_weight": weight}
    if row.takes == "labels":
        options["threshold"] = threshold
    if multilabel and row.takes != "numbers":
        if "multilabel" not in inspect.signature(metric).parameters:
            raise ValueError(
                f"{row.function.__name__}: one label per row was expected but each column is a label of its own"
            )
        options["multilabel"] = True
    return metric(probabilities(output) if row.takes == "probabilities" else output, target, **options)
