"""What scikit-learn's two perceptrons share: their parameters, the rules of ``fit``, their attributes.

Everything here follows scikit-learn, errors and warnings included, except what the docstring of ``MLPClassifier`` names as added.
"""

import dataclasses
import inspect
import warnings
from numbers import Integral, Real

import numpy as np
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn import functional as F
from fastnn.layers.activations import Activation
from fastnn.optim import SGD, Adam, Optimizer
from fastnn.sklearn.engine import Design, Engine, Rows
from fastnn.sklearn.pickling import Versioned
from fastnn.specification import Specification

_ACTIVATIONS = {"logistic", *F.activations()}
DTYPES = (np.float64, np.float32)
_EPOCH_ENDED = "{} did not improve more than tol={:f} for {} consecutive epochs."


def _copies(engine):
    """Return copies of an engine's coefficients and intercepts."""
    return [array.copy() for array in (*engine.coefs, *engine.intercepts)]


class Rate:
    """The learning rate of an estimator's optimizer, and what changes it.

    Attributes
    ----------
    spec : Optimizer
    learning_rate : float
        Of the latest step; Adam's with its corrections, as scikit-learn has it.
    """

    def __init__(self, estimator):
        self.solver = solver = estimator.solver
        self.schedule = estimator.learning_rate if solver == "sgd" else "constant"
        self.power_t = estimator.power_t
        if isinstance(solver, Optimizer):
            self.spec = solver
        elif solver == "adam":
            betas = estimator.beta_1, estimator.beta_2
            self.spec = Adam(lr=estimator.learning_rate_init, betas=betas, eps=estimator.epsilon, eps_hat=True)
        else:
            momentum = estimator.momentum
            nesterov = bool(estimator.nesterovs_momentum and momentum)
            self.spec = SGD(lr=estimator.learning_rate_init, momentum=momentum, nesterov=nesterov)
        self.learning_rate = self.initial = self.spec.rate(0, 0)

    def iteration_ends(self, engine, samples, epochs):
        """Set the rate of the next epoch, after so many rows and epochs."""
        if self.schedule == "invscaling":
            self.learning_rate = self.initial / (samples + 1) ** self.power_t
            engine.set_factor(self.learning_rate / self.initial)
        elif self.solver == "adam":
            beta_1, beta_2 = self.spec.betas
            self.learning_rate = self.initial * np.sqrt(1 - beta_2**engine.steps) / (1 - beta_1**engine.steps)
        else:
            self.learning_rate = self.spec.rate(engine.steps, epochs) * engine.network.lr_factor

    def trigger_stopping(self, engine, message, verbose):
        """Return whether the training stops where nothing improves; an adaptive rate goes down first."""
        adaptive = self.schedule == "adaptive"
        stops = not adaptive or self.learning_rate <= 1e-6
        if not stops:
            self.learning_rate /= 5.0
            engine.set_factor(self.learning_rate / self.initial)
        if verbose:
            end = f"Setting learning rate to {self.learning_rate:f}"
            print(message, end if not stops else "Learning rate too small. Stopping." if adaptive else "Stopping.")
        return stops


class Perceptron(Versioned):
    """What both estimators share."""

    _parameter_constraints = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(_ACTIVATIONS), list, tuple, Activation],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"}), Optimizer],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "l1": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "restore_best": ["boolean"],
        "keep_optimizer": ["boolean"],
    }

    # --------------------------------------------------------------------------------------------------------- parameters

    def get_params(self, deep=True):
        """Return the parameters; with ``deep`` those of specifications too, as ``solver__lr``.

        Parameters
        ----------
        deep : bool

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        for name, value in list(params.items()):
            if deep and isinstance(value, Specification):
                params |= {f"{name}__{one.name}": getattr(value, one.name) for one in dataclasses.fields(value)}
        return params

    def set_params(self, **params):
        """Set parameters; ``solver__lr=0.1`` replaces a specification by one with another value.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self
        """
        nested = {key: params.pop(key) for key in list(params) if "__" in key}
        super().set_params(**params)
        for key, value in nested.items():
            name, _, field = key.partition("__")
            spec = getattr(self, name, None)
            if isinstance(spec, str):
                raise ValueError(
                    f"{type(self).__name__}: {key} is given but {name} is {spec!r}, which has no parameters; set {name} to a specification, "
                    f"such as fastnn.{'Huber' if name == 'loss' else 'Adam'}()"
                )
            if not isinstance(spec, Specification):
                super().set_params(**{key: value})
                continue
            taken = [one.name for one in dataclasses.fields(spec)]
            if field not in taken:
                raise ValueError(f"Invalid parameter {field!r} for {spec!r}. Valid parameters are: {taken!r}.")
            setattr(self, name, dataclasses.replace(spec, **{field: value}))
        return self

    def _sizes(self):
        """Return the sizes of the hidden layers."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return sizes

    def _activation_of_each(self, n):
        """Return the activations of n hidden layers."""
        if not isinstance(self.activation, (list, tuple)):
            return (self.activation,) * n
        name = type(self).__name__
        if len(self.activation) != n:
            raise ValueError(f"{name}: activation has {len(self.activation)} entries but there are {n} hidden layers")
        for one in self.activation:
            if not (isinstance(one, Activation) or isinstance(one, str) and one in _ACTIVATIONS):
                raise ValueError(
                    f"{name}: activation has {one!r} but one of {', '.join(sorted(_ACTIVATIONS))} was expected"
                )
        return tuple(self.activation)

    @property
    def _stochastic(self):
        return self.solver != "lbfgs"

    def _check_solver(self):
        if not self._stochastic:
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    # ---------------------------------------------------------------------------------------------------------------- fit

    def fit(self, X, y, sample_weight=None, *, validation_data=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Sparse rows are made dense minibatch by minibatch.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, label indicators, or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            A minibatch's loss is divided by the sum of its weights.
        validation_data : tuple (X, y) or (X, y, sample_weight), default=None
            Scored after each epoch; early stopping uses it in place of a part of the training rows.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, False, validation_data)

    def _fit(self, X, y, sample_weight, incremental, validation_data=None):
        self._validate_params()
        if not self._stochastic and (self.dropout or self.l1):
            raise ValueError(f"{type(self).__name__}: dropout and l1 need solver='sgd' or 'adam' but it is 'lbfgs'")
        sizes = self._sizes()
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = np.asarray(_check_sample_weight(sample_weight, X), np.float64)
        rows = self._rows(X, y, self._weighted(y, sample_weight, incremental))
        validation = None if validation_data is None else self._validation_rows(*validation_data)
        self.n_outputs_ = rows.y.shape[1] if rows.y.ndim == 2 else len(self.classes_)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize([X.shape[1], *sizes, self.n_outputs_], X.dtype)
        keeps = incremental or self.keep_optimizer and self._stochastic and not first_pass
        engine = self._prepared(sizes, first_pass, not keeps)
        if self._stochastic:
            self._fit_stochastic(engine, rows, validation, incremental)
        else:
            self._fit_lbfgs(engine, rows)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _rows(self, X, y, weight):
        """Return checked rows as the engine reads them."""
        X = X.tocsr() if sparse.issparse(X) else np.ascontiguousarray(X)
        y = self._encoded(y, X.dtype)
        return Rows(X, y, weight, self._constant(y))

    def _validation_rows(self, X, y, sample_weight=None):
        """Return validation_data as the engine reads it."""
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=DTYPES, reset=False)
        self._require_known(y)
        if sample_weight is not None:
            sample_weight = np.asarray(_check_sample_weight(sample_weight, X), np.float64)
        return self._rows(X, y, self._weighted(y, sample_weight, False))

    def _require_known(self, y):
        """Raise ValueError for labels that ``fit`` has not seen."""

    def _constant(self, y):
        """Return what the loss of each row, as it is told, has beyond the engine's; None for nothing."""

    def _weighted(self, y, sample_weight, incremental):
        """Return the weight of each row, or None."""
        return sample_weight

    def _initialize(self, units, dtype):
        """Draw the coefficients and set what a first pass begins with."""
        self.__dict__.pop("_best", None)
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_ = self._out_activation()
        activations = self._activation_of_each(len(units) - 2)
        self.coefs_, self.intercepts_ = [], []
        for i, (fan_in, fan_out) in enumerate(zip(units, units[1:], strict=False)):
            activation = activations[min(i, len(activations) - 1)] if activations else self.activation
            bound = np.sqrt((2.0 if activation in ("logistic", "sigmoid") else 6.0) / (fan_in + fan_out))
            for kept, shape in ((self.coefs_, (fan_in, fan_out)), (self.intercepts_, fan_out)):
                drawn = self._random_state.uniform(-bound, bound, shape).astype(dtype, copy=False)
                kept.append(drawn if self._stochastic else drawn.astype(np.float64))
        self._dropout_seed = int(self._random_state.randint(2**31)) if self.dropout else 0
        if self._stochastic:
            self.loss_curve_, self._no_improvement_count = [], 0
            self.best_loss_ = None if self.early_stopping else np.inf
            self.validation_scores_ = self.best_validation_score_ = self.validation_loss_curve_ = None

    def _prepared(self, sizes, first_pass, anew):
        """Return the engine, with an optimizer that begins anew or goes on, linked to the coefficients."""
        if anew:
            self._optimizer = None
        before, design = self.__dict__.get("_engine"), self._design(sizes)
        if before is None or first_pass or before.design != design:
            self._engine = Engine(design)
            if before is not None and not anew:
                self._engine.keep(before.kept())
        engine = self._linked()
        if anew:
            engine.forget()
        return engine

    def _design(self, sizes):
        """Return what the network is made from."""
        if not isinstance(self.__dict__.get("_optimizer"), Rate):
            self._optimizer = Rate(self) if self._stochastic else None
        return Design(
            activations=self._activation_of_each(len(sizes)),
            loss=self._loss(),
            mean=self.out_activation_ == "identity",
            limited=self.out_activation_ in ("softmax", "logistic"),
            optimizer=self._optimizer.spec if self._stochastic else None,
            alpha=float(self.alpha),
            l1=float(self.l1),
            dropout=float(self.dropout),
            seed=self.__dict__.get("_dropout_seed", 0),
        )

    def _linked(self):
        """Return the engine, whose arrays the coefficients then are."""
        engine = self.__dict__.get("_engine")
        if engine is None:  # coefficients of a stock estimator, or set by hand
            engine = Engine(self._design([len(bias) for bias in self.intercepts_[:-1]]))
        if engine.link(self.coefs_, self.intercepts_):
            self._engine, self.coefs_, self.intercepts_ = engine, list(engine.coefs), list(engine.intercepts)
        return engine

    def _fit_lbfgs(self, engine, rows):
        """Minimise by SciPy's L-BFGS-B."""
        start = np.concatenate([array.ravel() for array in (*engine.coefs, *engine.intercepts)])
        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        found = optimize.minimize(engine.objective, start, (rows,), method="L-BFGS-B", jac=True, options=options)
        self.n_iter_ = _check_optimize_result("lbfgs", found, self.max_iter)
        self.loss_ = found.fun
        engine.unpack(found.x)

    def _split(self, rows):
        """Return the numbers of the rows to train on and those to validate on, as scikit-learn draws them."""
        stratify = self._strata(rows.y) if self.n_outputs_ == 1 else None
        train, held = train_test_split(
            np.arange(rows.x.shape[0]),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if len(held) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, rows.take(held)

    def _fit_stochastic(self, engine, rows, validation, incremental):
        """Train for epochs until nothing improves."""
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        taken = np.arange(rows.x.shape[0])
        if self.early_stopping and validation is None:
            taken, validation = self._split(rows)
        n = len(taken)
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
        batch_size = min(200 if self.batch_size == "auto" else self.batch_size, n)
        starts = np.append(np.arange(0, n, batch_size), n)
        self._begin_monitoring(engine, validation is not None)
        order = np.arange(n)
        try:
            self.n_iter_ = 0
            while self.n_iter_ < self.max_iter:
                if self.shuffle:
                    shuffled = np.arange(n)
                    self._random_state.shuffle(shuffled)
                    order = order[shuffled]
                self.loss_ = engine.epoch(rows, taken[order], starts, self.n_iter_)
                if self._epoch_ended(engine, validation, n) or incremental:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't"
                        " converged yet.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if self.early_stopping or self.restore_best and not incremental:
            for own, best in zip((*engine.coefs, *engine.intercepts), self._best, strict=True):
                own[...] = best

    def _begin_monitoring(self, engine, validated):
        """Set what is compared from epoch to epoch, where an earlier fit has not."""
        if (self.early_stopping or self.restore_best) and not hasattr(self, "_best"):
            self._best = _copies(engine)
        if validated and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
        if self.early_stopping and self.best_validation_score_ is None:
            self.best_validation_score_ = -np.inf
        if not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf

    def _epoch_ended(self, engine, validation, n):
        """Record an epoch; return whether the training stops."""
        self.n_iter_ += 1
        self.t_ += n
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        if validation is not None:
            self._validate(engine, validation)
        if self.early_stopping:
            improved = self._improved(self.validation_scores_[-1], "best_validation_score_", 1)
        else:
            improved = self._improved(self.loss_, "best_loss_", -1)
        if self.restore_best and not self.early_stopping and validation is not None:
            improved = self.validation_loss_curve_[-1] < min(self.validation_loss_curve_[:-1], default=np.inf)
        if improved and (self.early_stopping or self.restore_best):
            self._best = _copies(engine)
        self._optimizer.iteration_ends(engine, self.t_, self.n_iter_)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        message = _EPOCH_ENDED.format(what, self.tol, self.n_iter_no_change)
        stops = self._optimizer.trigger_stopping(engine, message, self.verbose)
        if not stops:
            self._no_improvement_count = 0
        return stops

    def _improved(self, value, best, sign):
        """Count an epoch without improvement by ``tol``; return whether it is the best so far, which is kept as an attribute."""
        before = getattr(self, best)
        stays = value < before + self.tol if sign > 0 else value > before - self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if stays else 0
        if sign * value > sign * before:
            setattr(self, best, value)
            return True
        return False

    def _validate(self, engine, rows):
        """Record score and loss of the validation rows."""
        output = engine.output(rows.x)
        self.validation_loss_curve_.append(engine.loss(output, rows))
        self.validation_scores_.append(self._score_of(self._activated(output), rows))
        if self.verbose:
            print(f"Validation score: {self.validation_scores_[-1]:f}")

    # --------------------------------------------------------------------------------------------------------- prediction

    def _output(self, X):
        """Return the output, after the last activation, for checked rows."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        output = self._activated(self._linked().output(X))
        # The dtype that a product of X and the coefficients would have.
        return output.astype(np.result_type(X.dtype, output.dtype), copy=False)

    def _activated(self, output):
        if self.out_activation_ == "softmax":
            return F.softmax(output)
        if self.out_activation_ == "logistic":
            return F.sigmoid(output)
        return np.exp(output) if self.out_activation_ == "exp" else output

    def to_sklearn(self):
        """Return scikit-learn's own estimator with this one's fit, which predicts without fastnn.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor

        Raises
        ------
        ValueError
            For activations that scikit-learn has not.
        """
        check_is_fitted(self)
        activations = {"logistic" if a == "sigmoid" else a for a in self._linked().design.activations} or {"relu"}
        if len(activations) > 1 or not activations <= {"identity", "logistic", "tanh", "relu"}:
            raise ValueError(
                f"to_sklearn: activation is {self.activation!r} but scikit-learn has one for all layers: identity, logistic, "
                "tanh or relu"
            )
        names = inspect.signature(self._stock.__init__).parameters
        params = {name: value for name, value in self.get_params(deep=False).items() if name in names}
        params["activation"] = activations.pop()
        if isinstance(self.solver, Specification):
            params["solver"] = "adam"
        if params.get("loss", "poisson") not in ("squared_error", "poisson"):
            params["loss"] = "squared_error"
        stock = self._stock(**params)
        own = ("_engine", "_optimizer", "_best", "_dropout_seed", "validation_loss_curve_")
        fitted = {key: value for key, value in vars(self).items() if key.endswith("_") or key.startswith("_")}
        vars(stock).update({key: value for key, value in fitted.items() if key not in own})
        stock.coefs_ = [np.ascontiguousarray(coef) for coef in self.coefs_]
        stock.intercepts_ = [intercept.copy() for intercept in self.intercepts_]
        if hasattr(self, "_best"):
            n = len(self.coefs_)
            stock._best_coefs, stock._best_intercepts = self._best[:n], self._best[n:]
        return stock

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
