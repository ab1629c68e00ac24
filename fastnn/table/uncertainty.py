"""What outputs of networks mean, and how sure they are: quantiles, variances, intervals and probabilities that keep their word.

Design
A. A ``Head`` stands between networks and predictions: which loss trains the outputs, how those of several networks become one, and what
   rows held out, whose outputs come from networks that had not seen them, tell about the error.
B. Every kind of interval is one formula. Outputs give low and high ends and a unit; the score of a row is how far outside its target
   lies, max(low - y, y - high) / unit, and an interval widens both ends by a quantile of the scores. A single number is both ends and its
   unit is 1 (split-conformal prediction; Vovk, Gammerman and Shafer, 2005; with folds, cross-conformal); lowest and highest quantile are
   the ends (conformalised quantile regression; Romano, Patterson and Candes, 2019); a standard deviation is the unit (scaled residuals).
C. The quantile is the ceil((n + 1) interval)-th smallest of n scores: a new row, one of n + 1 alike, is covered with that probability.
"""

import math

import numpy as np

from fastnn.losses import MSE, GaussianNLL, Quantile

_MOST_ROWS = 10_000  # that are learned from: more would change the share of rows covered by less than 1 %
_WIDEST = math.log(5.0)  # the temperature lies between 1 / 5 and 5


class Head:
    """What is predicted, and with which uncertainty.

    Parameters
    ----------
    classes : int, optional
        For classification, how many.
    quantiles : sequence of float, optional
        For regression, what is predicted, in ascending order; the mean if None.
    variance : bool
        For regression, predict the variance too.

    Attributes
    ----------
    task : {"classification", "regression"}
    outputs : int
        Of the network.
    loss : object or None
        That trains them; None for classification, where the recipe has one.
    temperature : float
        Of classification: probabilities are p^(1 / temperature), with a sum of 1.
    scores : ndarray of float64
        Of regression: ascending, those of rows held out.

    Raises
    ------
    TypeError, ValueError
        For quantiles that are none or do not ascend, both kinds at once, or either with classification.
    """

    def __init__(self, classes=None, *, quantiles=None, variance=False):
        self.classes, self.variance = classes, variance
        self.quantiles = None if quantiles is None else _as_quantiles(quantiles)
        if classes is not None and (quantiles is not None or variance):
            raise ValueError("train_table: quantiles and variance are for regression but the target has classes")
        if quantiles is not None and variance:
            raise ValueError("train_table: pass at most one of quantiles and variance")
        self.temperature, self.scores = 1.0, np.zeros(0)

    @property
    def task(self):
        """Classification or regression."""
        return "regression" if self.classes is None else "classification"

    @property
    def outputs(self):
        """The number of outputs of a network."""
        return self.classes or (2 if self.variance else len(self.quantiles or (1,)))

    @property
    def is_mean(self):
        """Whether the mean of a number is predicted, and nothing else."""
        return self.classes is None and self.quantiles is None and not self.variance

    @property
    def loss(self):
        """The loss of regression."""
        if self.classes is not None:
            return None
        if self.quantiles is not None:
            return Quantile(quantiles=self.quantiles)
        return GaussianNLL() if self.variance else MSE()

    def combined(self, outputs):
        """Return what the outputs of several networks are together.

        Means of probabilities, numbers and ascending quantiles, which so never cross (Chernozhukov, Fernandez-Val and Galichon, 2010);
        mean and logarithm of the variance of the mixture of normal distributions.

        Parameters
        ----------
        outputs : list of ndarray of float64, shape (rows, outputs)

        Returns
        -------
        ndarray, of that shape
        """
        if self.quantiles is not None:
            outputs = [np.sort(output, axis=1) for output in outputs]
        if not self.variance:
            return self.tempered(sum(outputs) / len(outputs))
        mean, log_variance = np.stack(outputs, axis=2).transpose(1, 0, 2)
        variance = np.exp(log_variance).mean(axis=1) + mean.var(axis=1)
        return np.stack([mean.mean(axis=1), np.log(variance)], axis=1)

    def tempered(self, outputs):
        """Return probabilities at the temperature; other outputs as they are."""
        return outputs if self.temperature == 1 else _tempered(outputs, self.temperature)

    def point(self, outputs):
        """Return the one number of a row that outputs predict: the mean, or the quantile nearest to the median."""
        nearest = 0 if self.quantiles is None else int(np.abs(np.array(self.quantiles) - 0.5).argmin())
        return outputs[:, nearest]

    def calibrate(self, outputs, y):
        """Learn from rows held out.

        Parameters
        ----------
        outputs : ndarray, shape (rows, outputs)
            ``combined`` ones of networks that have not seen the rows.
        y : ndarray
            Classes from 0 on, or numbers.
        """
        some = slice(None, None, -(-len(y) // _MOST_ROWS))
        outputs, y = outputs[some], np.reshape(y, -1)[some]
        if self.classes is not None:
            self.temperature = best_temperature(outputs, y)
            return
        low, high, unit = self._ends(outputs)
        self.scores = np.sort(np.maximum(low - y, y - high) / unit)

    def _ends(self, outputs):
        unit = np.exp(outputs[:, 1] / 2) if self.variance else 1.0
        return outputs[:, 0], outputs[:, 0 if self.variance else -1], unit

    def bounds(self, outputs, interval):
        """Return low and high ends of intervals that hold the target with a probability.

        Parameters
        ----------
        outputs : ndarray, shape (rows, outputs)
        interval : float
            The probability, between 0 and 1.

        Returns
        -------
        ndarray, shape (rows, 2)

        Raises
        ------
        TypeError, ValueError
            For classification; a probability that is none; and where too few rows were held out.
        """
        if self.classes is not None:
            raise ValueError("predict: interval is for regression; predict_proba tells how sure a class is")
        if isinstance(interval, bool) or not isinstance(interval, (int, float, np.number)):
            raise TypeError(f"predict: interval is {interval!r} but a probability, such as 0.9, was expected")
        if not 0 < interval < 1:
            raise ValueError(f"predict: interval is {interval} but a probability between 0 and 1 was expected")
        n = len(self.scores)
        rank = math.ceil((n + 1) * interval - 1e-9)
        if rank > n:
            needed = math.ceil(interval / (1 - interval) - 1e-9)
            raise ValueError(
                f"predict: an interval of {interval} needs at least {needed} rows held out in training but there were {n}"
            )
        low, high, unit = self._ends(outputs)
        low, high = low - self.scores[rank - 1] * unit, high + self.scores[rank - 1] * unit
        middle = (low + high) / 2  # where quantiles were too far apart, their ends may have passed each other
        return np.stack([np.minimum(low, middle), np.maximum(high, middle)], axis=1)

    def describe(self):
        """Return a dict that JSON takes, of which ``of`` makes the head again."""
        return {
            "classes": self.classes, "quantiles": self.quantiles, "variance": self.variance, "temperature": self.temperature,
            "scores": self.scores.tolist(),
        }  # fmt: skip

    @classmethod
    def of(cls, description):
        """Return the head of a description.

        Raises
        ------
        TypeError, ValueError, KeyError
            For one that ``describe`` would not have made.
        """
        if not isinstance(description, dict):
            raise TypeError("the outputs in the file are not described as save does it")
        classes, quantiles, variance, temperature, scores = (
            description[key] for key in ("classes", "quantiles", "variance", "temperature", "scores")
        )
        if classes is not None and (type(classes) is not int or classes < 1) or type(variance) is not bool:
            raise ValueError("the outputs in the file are not described as save does it")
        made = cls(classes, quantiles=quantiles, variance=variance)
        made.temperature, made.scores = float(temperature), np.array(scores, np.float64)
        widest = 1.001 * math.exp(_WIDEST)
        ascending = made.scores.ndim == 1 and np.isfinite(made.scores).all() and (np.diff(made.scores) >= 0).all()
        if not (1 / widest <= made.temperature <= widest and ascending):
            raise ValueError("the calibration in the file is not one that save writes")
        return made


def _as_quantiles(quantiles):
    """Return quantiles as a tuple of numbers."""
    try:
        taken = tuple(float(q) for q in quantiles)
    except (TypeError, ValueError):
        raise TypeError(
            f"train_table: quantiles is {quantiles!r} but numbers, such as (0.1, 0.5, 0.9), were expected"
        ) from None
    if not taken or not all(0 < q < 1 for q in taken) or any(a >= b for a, b in zip(taken, taken[1:], strict=False)):
        raise ValueError(f"train_table: quantiles is {quantiles!r} but ascending numbers between 0 and 1 were expected")
    return taken


def _logarithms(p):
    return np.log(np.maximum(p, np.finfo(np.float64).tiny))


def _tempered(p, temperature):
    """Return p^(1 / temperature), divided by its sum in each row."""
    logs = _logarithms(p) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def best_temperature(p, labels):
    """Return the temperature at which probabilities fit labels best (Guo, Pleiss, Sun and Weinberger, 2017).

    It minimises -sum log p(label) + log(temperature)^2 / 2. The second term, a rumour that it is near 1, keeps a few rows that were all
    predicted right from making every prediction sure.

    Parameters
    ----------
    p : ndarray, shape (rows, classes)
    labels : ndarray of int, shape (rows,)

    Returns
    -------
    float
        Between 1 / 5 and 5.
    """
    logs, rows = _logarithms(p), np.arange(len(p))

    def slope(inverse):  # of the sum of -log p(label), by the inverse temperature
        return ((_tempered(p, 1 / inverse) * logs).sum(axis=1) - logs[rows, labels]).sum()

    low, high = -_WIDEST, _WIDEST  # of log(1 / temperature), by which the objective grows above its minimum: bisection
    for _ in range(40):
        middle = (low + high) / 2
        inverse = math.exp(middle)
        if inverse * slope(inverse) + middle > 0:
            high = middle
        else:
            low = middle
    return math.exp(-(low + high) / 2)
