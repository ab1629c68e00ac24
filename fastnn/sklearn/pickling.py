"""Pickles of fitted estimators, which name the version of fastnn that wrote them."""

import warnings

from sklearn.base import BaseEstimator

from fastnn import __version__


class Versioned(BaseEstimator):
    """An estimator that warns where a pickle of it is read by another version than the one that wrote it."""

    def __getstate__(self):
        return dict(super().__getstate__(), _fastnn_version=__version__)

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_fastnn_version", "of another version")
        if version != __version__:
            warnings.warn(
                f"{type(self).__name__}: the pickle was written by fastnn {version} but is read by fastnn {__version__}, which may not "
                "predict the same; fit the estimator again",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
