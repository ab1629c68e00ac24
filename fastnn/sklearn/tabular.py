"""``train_table`` as estimators of scikit-learn."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from fastnn.sklearn.pickling import Versioned
from fastnn.table import train_table


class _Tabular(Versioned):
    """What both estimators share."""

    def __init__(self, preset="realmlp", *, epochs=None, validation=None, random_state=None, verbose=False):
        self.preset = preset
        self.epochs = epochs
        self.validation = validation
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _validated(self, X, reset):
        """Return X and the names of its columns, None for an array, after scikit-learn's checks; ``reset`` learns the features."""
        names = getattr(getattr(X, "dtype", None), "names", None)
        if names:
            if reset:
                self.n_features_in_, self.feature_names_in_ = len(names), np.array(names, object)
            return X, list(names)
        if hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X, [str(name) for name in X.columns]
        options = {"dtype": None, "ensure_all_finite": False, "ensure_min_samples": 2 if reset else 1}
        return validate_data(self, X, reset=reset, **options), None

    def _checked(self, X, y):
        """Return the table to train on, as ``read_table`` takes it, and its targets."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        table, names = self._validated(X, reset=True)
        self._names = names or [f"x{i}" for i in range(table.shape[1])]
        check_consistent_length(X, y)
        return table, column_or_1d(y, warn=True)

    def _table(self, X):
        """Return the table to predict, as ``read_table`` takes it; columns without the names of ``fit`` are taken by position."""
        table, names = self._validated(X, reset=False)
        if names is None:
            return dict(zip(self._names, table.T, strict=True))
        if hasattr(X, "columns") and not set(self._names) <= set(names):
            return dict(zip(self._names, table.to_numpy().T, strict=True))
        return table

    def _train(self, table, y, task, **options):
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self.model_ = train_table(
            table, y, task=task, preset=self.preset, epochs=self.epochs, validation=self.validation, seed=seed,
            verbose=self.verbose, **options,
        )  # fmt: skip
        return self

    def _model(self):
        check_is_fitted(self)
        return self.model_


class TabularClassifier(ClassifierMixin, _Tabular):
    """``fastnn.train_table`` for classes, in one estimator: X may have text, missing values, dates.

    Parameters
    ----------
    preset : {"realmlp", "tabm", "plain"}
    epochs : int, optional
        At most; the recipe's own number if None.
    validation : float, optional
        Share of rows that are held out; of few rows each fifth in turn if None.
    random_state : int, RandomState or None
    verbose : bool, 2 or "auto"

    Attributes
    ----------
    classes_ : ndarray
    model_ : fastnn.table.TableModel
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of frames whose columns are all named by text.
    """

    def fit(self, X, y):
        """Train on a table and its classes.

        Parameters
        ----------
        X : DataFrame, structured array or array-like of shape (n_samples, n_features)
            Numbers, texts, booleans, dates; None and NaN are missing.
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For one class alone, and as ``fastnn.train_table``.
        """
        table, y = self._checked(X, y)
        if y.dtype == object and None in y.tolist():
            row = y.tolist().index(None)
            raise ValueError(f"TabularClassifier: y has no class in row {row + 1}; leave out rows without a class")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"TabularClassifier: y has one class, {self.classes_[0]!r}, but two or more were expected")
        return self._train(table, codes, "classification")

    def predict_proba(self, X):
        """Predict calibrated probabilities.

        Parameters
        ----------
        X : as for ``fit``

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return self._model().predict_proba(self._table(X))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : as for ``fit``

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        codes = self.predict_proba(X).argmax(axis=1)
        return self.classes_[codes]


class TabularRegressor(RegressorMixin, _Tabular):
    """``fastnn.train_table`` for numbers, in one estimator: X may have text, missing values, dates.

    Parameters
    ----------
    preset, epochs, validation, random_state, verbose
        As for ``TabularClassifier``.
    variance : bool
        Learn a standard deviation for each row too.

    Attributes
    ----------
    model_, n_features_in_, feature_names_in_
        As for ``TabularClassifier``.
    """

    def __init__(
        self, preset="realmlp", *, epochs=None, validation=None, variance=False, random_state=None, verbose=False
    ):
        super().__init__(preset, epochs=epochs, validation=validation, random_state=random_state, verbose=verbose)
        self.variance = variance

    def fit(self, X, y):
        """Train on a table and its targets.

        Parameters
        ----------
        X : DataFrame, structured array or array-like of shape (n_samples, n_features)
            Numbers, texts, booleans, dates; None and NaN are missing.
        y : array-like of shape (n_samples,)

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As ``fastnn.train_table``.
        """
        table, y = self._checked(X, y)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        return self._train(table, y, "regression", variance=self.variance)

    def predict(self, X, *, interval=None, return_std=False):
        """Predict numbers.

        Parameters
        ----------
        X : as for ``fit``
        interval, return_std
            As ``fastnn.table.TableModel.predict`` has them.

        Returns
        -------
        ndarray of shape (n_samples,)
            Or a tuple of it with the ends of intervals, or with standard deviations, as ``TableModel.predict`` returns them.
        """
        return self._model().predict(self._table(X), interval=interval, return_std=return_std)
