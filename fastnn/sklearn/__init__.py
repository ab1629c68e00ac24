"""scikit-learn's multilayer perceptrons on fastnn's engine.

``MLPClassifier`` and ``MLPRegressor`` take what scikit-learn's take and more; ``patch()`` puts them in the place of scikit-learn's own, and
``python -m fastnn.sklearn script.py`` runs a script so. Needs scikit-learn: ``pip install fastnn-kernels[sklearn]``.
"""

from fastnn.sklearn.estimators import MLPClassifier, MLPRegressor
from fastnn.sklearn.patching import patch, unpatch

__all__ = ["MLPClassifier", "MLPRegressor", "patch", "unpatch"]
