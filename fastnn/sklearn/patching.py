"""Putting fastnn's estimators in the place of scikit-learn's own."""

import sklearn.neural_network

from fastnn.sklearn.estimators import MLPClassifier, MLPRegressor


def patch():
    """Let ``sklearn.neural_network`` hold fastnn's MLPClassifier and MLPRegressor, for all who import them from now on."""
    for estimator in (MLPClassifier, MLPRegressor):
        setattr(sklearn.neural_network, estimator.__name__, estimator)


def unpatch():
    """Let ``sklearn.neural_network`` hold scikit-learn's own again."""
    for estimator in (MLPClassifier, MLPRegressor):
        setattr(sklearn.neural_network, estimator.__name__, estimator._stock)
