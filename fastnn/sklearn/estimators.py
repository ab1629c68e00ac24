"""scikit-learn's two multilayer perceptrons, trained by fastnn's engine.

The constructors are scikit-learn's, and so are initial weights, the order of rows, losses, rules of convergence, fitted attributes,
warnings and errors: for one ``random_state`` and float64 data the loss curves agree. What scikit-learn has not comes as further
keywords, whose defaults change nothing.
"""

import numpy as np
from scipy import special
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier as StockClassifier
from sklearn.neural_network import MLPRegressor as StockRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from fastnn import losses
from fastnn.sklearn.base import DTYPES, Perceptron

_LOSSES = {  # of the regressor, from name to specification
    "squared_error": losses.HalfMSE(),
    "poisson": losses.PoissonNLL(),
    "absolute_error": losses.L1(),
    "huber": losses.Huber(),
    "quantile": losses.Quantile(quantiles=(0.5,)),
    "log_cosh": losses.LogCosh(),
}
_NUMERIC = (
    losses.HalfMSE,
    losses.MSE,
    losses.L1,
    losses.SmoothL1,
    losses.Huber,
    losses.LogCosh,
    losses.PoissonNLL,
    losses.Quantile,
)


class MLPClassifier(ClassifierMixin, Perceptron):
    """scikit-learn's ``MLPClassifier`` on fastnn's engine; what scikit-learn documents holds, and this is added.

    Parameters
    ----------
    activation : str, activation layer, or sequence of them, default="relu"
        Any of ``fastnn.functional.activations()``, or a layer with parameters such as ``fastnn.LeakyReLU(0.2)``; a sequence has one for
        each hidden layer.
    solver : {"lbfgs", "sgd", "adam"} or optimizer, default="adam"
        Or a specification, such as ``fastnn.AdamW(lr=1e-3)``, with its own learning rate.
    l1 : float, default=0.0
        Adds l1 times the sum of all weights' magnitudes to the objective, divided by the rows as alpha's penalty is.
    dropout : float, default=0.0
        Probability of dropout after each hidden layer.
    class_weight : dict, "balanced" or None, default=None
        Multiplies the weights of rows, those that validate included.
    restore_best : bool, default=False
        Whether to end with the coefficients of the epoch with the least loss: of ``validation_data`` where it is given to ``fit``. With
        ``early_stopping`` those of the best score are restored in any case.
    keep_optimizer : bool, default=False
        Whether ``fit`` with ``warm_start`` goes on with the optimizer's state and learning rate.

    Attributes
    ----------
    validation_loss_curve_ : list or None
        Loss of the validation rows after each epoch, without penalties.
    """

    _parameter_constraints = Perceptron._parameter_constraints | {
        "class_weight": [dict, StrOptions({"balanced"}), None]
    }
    _stock = StockClassifier
    loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        l1=0.0,
        dropout=0.0,
        class_weight=None,
        restore_best=False,
        keep_optimizer=False,
    ):
        vars(self).update({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=DTYPES, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                    f"got {self.classes_}, `y` has {classes}"
                )
        else:
            self._require_known(classes)
        return X, y

    def _require_known(self, y):
        classes = unique_labels(y)
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _encoded(self, y, dtype):
        """Return labels of several classes, else zeros and ones in columns."""
        if self._label_binarizer.y_type_ == "multiclass":
            return np.searchsorted(self.classes_, y).astype(np.int64)
        return self._label_binarizer.transform(y).astype(dtype)

    def _strata(self, y):
        return y.astype(bool)

    def _weighted(self, y, sample_weight, incremental):
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            raise ValueError("MLPClassifier: partial_fit takes no class_weight='balanced'; pass a dict of weights")
        weight = compute_sample_weight(self.class_weight, y)
        return weight if sample_weight is None else weight * sample_weight

    def _out_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss(self):
        return losses.CrossEntropy() if self.out_activation_ == "softmax" else losses.BCEWithLogits()

    def _score_of(self, output, rows):
        """Return the accuracy of an output."""
        hits = output.argmax(1) == rows.y if rows.y.ndim == 1 else ((output > 0.5) == rows.y).all(1)
        return float(np.average(hits, weights=rows.weight))

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Train for one epoch.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        classes : array of shape (n_classes,), default=None
            All that will ever come; needed in the first call.

        Returns
        -------
        self : object
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, True)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        output = self._output(X)
        if self.out_activation_ == "softmax":
            return self.classes_[output.argmax(1)]
        return self._label_binarizer.inverse_transform(output.ravel() if self.n_outputs_ == 1 else output)

    def predict_proba(self, X):
        """Predict the probabilities of classes, in the order of ``classes_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        output = self._output(X)
        return np.hstack([1 - output, output]) if self.n_outputs_ == 1 else output

    def predict_log_proba(self, X):
        """Predict the logarithms of ``predict_proba``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Perceptron):
    """scikit-learn's ``MLPRegressor`` on fastnn's engine; what scikit-learn documents holds, and this is added.

    Parameters
    ----------
    loss : str or loss, default="squared_error"
        Also "absolute_error", "huber", "log_cosh", "quantile" (the median); or a specification, such as ``fastnn.Huber(delta=2)`` or
        ``fastnn.Quantile(quantiles=(0.9,))``, which takes one output.
    activation, solver, l1, dropout, restore_best, keep_optimizer
        As ``MLPClassifier`` has them.

    Attributes
    ----------
    validation_loss_curve_ : list or None
        Loss of the validation rows after each epoch, without penalties.
    """

    _parameter_constraints = {"loss": [StrOptions(set(_LOSSES)), losses.Loss]} | Perceptron._parameter_constraints
    _stock = StockRegressor

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        l1=0.0,
        dropout=0.0,
        restore_best=False,
        keep_optimizer=False,
    ):
        vars(self).update({name: value for name, value in locals().items() if name not in ("self", "__class__")})

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True, dtype=DTYPES, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self._is_poisson and y.min() < 0:
            raise ValueError(f"MLPRegressor: y has {y.min()} but the poisson loss takes numbers of at least 0")
        return X, y

    def _encoded(self, y, dtype):
        """Return numbers in columns."""
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype)

    def _strata(self, y):
        return None

    @property
    def _is_poisson(self):
        return self.loss == "poisson" or isinstance(self.loss, losses.PoissonNLL)

    def _constant(self, y):
        return (special.xlogy(y, y) - y).sum(1, dtype=np.float64) if self._is_poisson else None

    def _out_activation(self):
        return "exp" if self._is_poisson else "identity"

    def _loss(self):
        loss = _LOSSES.get(self.loss, self.loss) if isinstance(self.loss, str) else self.loss
        name = f"MLPRegressor: loss is {loss!r}"
        if isinstance(loss, losses.PoissonNLL) and not loss.log_input:
            raise ValueError(f"{name} but rates are exponentials of the outputs: log_input=True was expected")
        if isinstance(loss, losses.Quantile) and (len(loss.quantiles) > 1 or self.n_outputs_ > 1):
            raise ValueError(f"{name} and y has {self.n_outputs_} columns, but one quantile of one column was expected")
        if not isinstance(loss, _NUMERIC):
            raise ValueError(f"{name} but one of {', '.join(kind.__name__ for kind in _NUMERIC)} was expected")
        return loss

    def _score_of(self, output, rows):
        """Return the coefficient of determination of an output."""
        if not np.isfinite(output).all():
            return np.nan
        return r2_score(rows.y, output, sample_weight=rows.weight)

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        return self._fit(X, y, sample_weight, True)

    def predict(self, X):
        """Predict numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        output = self._output(X)
        return output.ravel() if output.shape[1] == 1 else output
