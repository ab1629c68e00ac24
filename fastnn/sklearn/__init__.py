"""scikit-learn's multilayer perceptrons on fastnn's engine, and its recipes for tables as estimators.

``MLPClassifier`` and ``MLPRegressor`` take what scikit-learn's take and more; ``patch()`` puts them in the place of scikit-learn's own, and
``python -m fastnn.sklearn script.py`` runs a script so. ``TabularClassifier`` and ``TabularRegressor`` are ``fastnn.train_table``. Needs
scikit-learn: ``pip install fastnn-kernels[sklearn]``.
"""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("fastnn.sklearn needs scikit-learn: pip install 'fastnn-kernels[sklearn]'") from error

from fastnn.sklearn.estimators import MLPClassifier, MLPRegressor
from fastnn.sklearn.patching import patch, unpatch
from fastnn.sklearn.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor", "patch", "unpatch"]
