"""A plugin of pytest: tests that are imported after it find fastnn's estimators in the place of scikit-learn's own."""

from fastnn.sklearn import patch

patch()
