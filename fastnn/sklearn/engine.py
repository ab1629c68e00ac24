"""The network behind an estimator: its layers, the optimizer's state and whole epochs on fastnn's engine.

Design
A. scikit-learn's objective of a minibatch is (sum of the losses of its rows and outputs + penalties) / (sum of its rows' weights). The
   engine takes the mean over outputs, so it is told the number of rows, or their weights, divided by that of the outputs, and penalties
   divided likewise.
B. scikit-learn keeps learning rates inside its velocity, the engine beside it. They agree while the rate stays, and where it changes
   the velocity is multiplied by old rate / new rate.
C. Coefficients are views of the layers' arrays. Where somebody has put other arrays in their place, ``link`` copies these in.
D. What is pickled is the design and what the optimizer keeps; the layers are made again from the estimator's coefficients.
"""

import copy
import dataclasses

import numpy as np
from scipy import sparse

from fastnn import functional as F
from fastnn import layers
from fastnn.compiled import Compiled
from fastnn.layers import Dropout, Layer, Linear, Sequential
from fastnn.optim import SGD

_BLOCK = 1 << 20  # numbers of a sparse matrix that are made dense at a time
_BLOCK_ROWS = 256  # rows of a part of the gradients of all rows, whose activations stay in L2
_ENDLESS = 1 << 62  # minibatches a step: the gradients of all are summed and no step is made


class DivergedError(Exception):
    """The loss of a minibatch is not finite."""


def as_layer(activation):
    """Return a new layer for an activation: a name of the table, or a layer, which is copied."""
    if isinstance(activation, Layer):
        return copy.deepcopy(activation)
    name = "sigmoid" if activation == "logistic" else activation
    return getattr(layers, F.activations()[name].layer)()


@dataclasses.dataclass(frozen=True)
class Design:
    """What a network is made from, beside its coefficients.

    Attributes
    ----------
    activations : tuple
        Of each hidden layer.
    loss : Loss
    mean : bool
        Whether the loss that is told is a mean over outputs; it is trained on their sum either way.
    limited : bool
        Whether probabilities count as at least the dtype's epsilon in the loss that is told.
    optimizer : Optimizer, or None for gradients alone
    alpha, l1 : float
        Penalties: alpha / 2 times the sum of squares of all weights, and l1 times that of their magnitudes.
    dropout : float
    seed : int
        Of dropout.
    """

    activations: tuple
    loss: object
    mean: bool
    limited: bool
    optimizer: object
    alpha: float
    l1: float
    dropout: float
    seed: int


@dataclasses.dataclass(eq=False)
class Rows:
    """What is trained on.

    Attributes
    ----------
    x : ndarray or CSR matrix
    y : ndarray
        Labels, int64 of shape (rows,), or targets of shape (rows, outputs).
    weight : ndarray of float64, shape (rows,), or None
    constant : ndarray of float64, shape (rows,), or None
        Added to the loss of each row as it is told.
    """

    x: object
    y: np.ndarray
    weight: np.ndarray | None = None
    constant: np.ndarray | None = None

    def take(self, taken):
        """Return some of the rows."""
        return Rows(*(None if a is None else a[taken] for a in (self.x, self.y, self.weight, self.constant)))

    def blocks(self, order, starts):
        """Yield (the first arguments of ``Network.train``, starts, numbers of the first and the last minibatch) of parts that are dense."""
        last, labels = len(starts) - 1, self.y.ndim == 1
        if not sparse.issparse(self.x):
            yield (self.x, self.y, labels, self.weight, order), starts, 0, last
            return
        first, rows = 0, max(1, _BLOCK // self.x.shape[1])
        while first < last:
            end = max(first + 1, int(np.searchsorted(starts, starts[first] + rows, "right")) - 1)
            taken = slice(starts[first], starts[end])
            taken = taken if order is None else order[taken]
            weight = None if self.weight is None else self.weight[taken]
            yield (
                (self.x[taken].toarray(), self.y[taken], labels, weight, None),
                starts[first : end + 1] - starts[first],
                first,
                end,
            )
            first = end


class Engine:
    """A network; see the module.

    Parameters
    ----------
    design : Design

    Attributes
    ----------
    coefs, intercepts : list of ndarray
        Views of the layers' arrays, (in, out) and (out,).
    """

    def __init__(self, design):
        self.design = design
        self.model = self.network = self._kept = None  # what the optimizer has kept, until there is a network
        self.coefs, self.intercepts = [], []

    def __getstate__(self):
        """Return what is pickled and copied."""
        return self.design, self.kept()

    def __setstate__(self, state):
        """Take what was pickled; ``link`` makes the layers."""
        self.__init__(state[0])
        self._kept = state[1]

    # ------------------------------------------------------------------------------------------------------ coefficients

    def link(self, coefs, intercepts):
        """Make the layers' arrays equal to these; return whether they were others."""
        given, own = [*coefs, *intercepts], [*self.coefs, *self.intercepts]
        if len(own) == len(given) and all(a is b for a, b in zip(own, given, strict=True)):
            return False
        given = [np.asarray(array) for array in given]
        if [(a.shape, a.dtype) for a in own] != [(a.shape, a.dtype) for a in given]:
            self._build([a.shape for a in given[: len(coefs)]], given[0].dtype)
            own = [*self.coefs, *self.intercepts]
        for to, value in zip(own, given, strict=True):
            to[...] = value
        return True

    def _build(self, shapes, dtype):
        chain, design = [], self.design
        for i, shape in enumerate(shapes):
            chain.append(Linear(*shape, init="zeros", dtype=dtype))
            if i < len(design.activations):
                chain.append(as_layer(design.activations[i]))
                chain += [Dropout(design.dropout, seed=design.seed, layer=i)] if design.dropout else []
        self._shares = 1 if hasattr(design.loss, "ignore_index") else shapes[-1][1]  # outputs whose losses are added
        self.model = Sequential(*chain)
        self.network = Compiled(
            self.model,
            SGD() if design.optimizer is None else design.optimizer,
            l1=design.l1 / self._shares,
            l2=design.alpha / 2 / self._shares,
            of_sum=True,
            accumulate=_ENDLESS if design.optimizer is None else 1,
            clip_norm=None, clip_value=None, groups={}, ema=None, max_norm=None,
        )  # fmt: skip
        parameters = list(self.network.parameters.values())  # weight and bias of each Linear
        self.coefs, self.intercepts = [weight.T for weight in parameters[::2]], parameters[1::2]
        self.keep(self._kept)

    # ---------------------------------------------------------------------------------------------------- the optimizer's

    @property
    def steps(self):
        """Steps made."""
        return self.network.steps_done

    def kept(self):
        """Return what the optimizer keeps: steps, the factor of the learning rate and the slots of each parameter."""
        if self.network is None:
            return self._kept
        slots = [{name: np.array(a) for name, a in slots.items()} for slots in self.network.state.values()]
        return self.network.steps_done, self.network.lr_factor, slots

    def keep(self, kept):
        """Go on with what ``kept`` has returned."""
        if self.network is None or kept is None:
            self._kept = kept
            return
        self.network.steps_done, self.network.lr_factor = kept[:2]
        for own, slots in zip(self.network.state.values(), kept[2], strict=True):
            for name, value in slots.items():
                own[name][...] = value

    def forget(self):
        """Begin the optimizer anew."""
        self.network.steps_done, self.network.lr_factor = 0, 1.0
        for slots in self.network.state.values():
            for value in slots.values():
                value[...] = 0

    def set_factor(self, factor):
        """Set what multiplies the optimizer's learning rate; see the module."""
        before, self.network.lr_factor = self.network.lr_factor, factor
        if factor != before:
            for slots in self.network.state.values():
                if "velocity" in slots:
                    slots["velocity"] *= before / factor

    # ----------------------------------------------------------------------------------------------------------- training

    def epoch(self, rows, order, starts, done):
        """Train on all minibatches once and return the mean of their objectives, each weighed by its number of rows.

        Parameters
        ----------
        rows : Rows
        order : ndarray of int64
        starts : ndarray of int64
            Rows at which minibatches start, and at last the number of rows.
        done : int
            Epochs.

        Returns
        -------
        float
            NaN once a loss has not been finite; all coefficients are NaN then.
        """
        lengths, divisors = starts[1:] - starts[:-1], self._divisors(rows, order, starts)
        penalties = np.zeros(len(lengths))
        try:
            losses = self._slices(rows, order, starts, divisors, done, penalties)
        except DivergedError:
            for parameter in self.network.parameters.values():
                parameter[...] = np.nan
            return np.nan
        divisors[divisors == 0] = 1  # where no row counts, loss and penalties are of no step
        told = self._told(losses) + penalties / divisors
        if rows.constant is not None:
            weighed = rows.constant if rows.weight is None else rows.weight * rows.constant
            told += np.add.reduceat(weighed[order], starts[:-1]) / (divisors * self._shares)
        return float(lengths @ told / starts[-1])

    def _told(self, losses):
        """Return losses, sums over outputs, as they are told."""
        return losses / self._shares if self.design.mean else losses

    def loss(self, output, rows):
        """Return the loss of an output, without penalties."""
        if not np.isfinite(output).all():
            return np.nan
        constant = 0.0 if rows.constant is None else np.average(rows.constant, weights=rows.weight)
        return float(self._told(self.design.loss(output, rows.y, rows.weight)[0] * self._shares) + constant)

    def _divisors(self, rows, order, starts):
        """Return what the engine divides the loss of each minibatch by."""
        if rows.weight is None:
            return np.diff(starts) / self._shares
        weight = rows.weight if order is None else rows.weight[order]
        return np.add.reduceat(weight, starts[:-1]) / self._shares

    def _slices(self, rows, order, starts, divisors, done, penalties=None):
        """Run the minibatches; return their losses."""
        plan = self.network._planned(self.design.loss, False, (rows.x.shape[1],))
        if plan is None:
            raise ValueError(f"MLP: {self.network.prevented} cannot be compiled")
        if self.design.limited:
            plan.limit_told(-np.log(np.finfo(self.model.dtype).eps))
        losses = []
        for arguments, part, first, last in rows.blocks(order, starts):
            told = None if penalties is None else penalties[first:last]
            for values in self.network.slices(plan, arguments, part, divisors[first:last], True, done, _diverged, told):
                losses += values
        return np.array(losses)

    def objective(self, packed, rows):
        """Return scikit-learn's objective of all rows and its gradient, at coefficients and then intercepts in one vector."""
        self.unpack(packed)
        starts = np.append(np.arange(0, rows.x.shape[0], _BLOCK_ROWS), rows.x.shape[0])
        divisors = self._divisors(rows, None, starts)
        self.network.waiting[0] = 0, 0
        try:
            losses = self._slices(rows, None, starts, divisors, 0)
        except DivergedError:
            return np.inf, np.full_like(packed, np.nan)
        total, sums = divisors.sum(), list(self.network.sums.values())
        coefs = np.concatenate([coef.ravel() for coef in self.coefs])
        gradient = np.concatenate([weight.T.ravel() for weight in sums[::2]] + sums[1::2]) / total
        gradient[: coefs.size] += self.design.alpha / (total * self._shares) * coefs
        loss = self._told(divisors @ losses / total)
        if rows.constant is not None:
            loss += np.average(rows.constant, weights=rows.weight)
        return loss + self.design.alpha / 2 * (coefs @ coefs) / (total * self._shares), gradient

    def unpack(self, packed):
        """Set the coefficients and then the intercepts from one vector."""
        at = 0
        for to in (*self.coefs, *self.intercepts):
            to[...] = packed[at : at + to.size].reshape(to.shape)
            at += to.size

    # --------------------------------------------------------------------------------------------------------- prediction

    def output(self, x):
        """Return the output of the last layer for the rows of an array or a sparse matrix."""
        if not sparse.issparse(x):
            return self.model(x)
        x, rows = x.tocsr(), max(1, _BLOCK // x.shape[1])
        return np.concatenate([self.model(x[i : i + rows].toarray()) for i in range(0, x.shape[0], rows)])


def _diverged(_):
    raise DivergedError
