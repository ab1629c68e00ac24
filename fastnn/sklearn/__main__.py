"""``python -m fastnn.sklearn script.py [arguments]``: runs a script with fastnn's estimators in the place of scikit-learn's."""

import os
import runpy
import sys

from fastnn.sklearn import patch

if len(sys.argv) < 2:
    sys.exit("usage: python -m fastnn.sklearn script.py [arguments]")
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
patch()
runpy.run_path(sys.argv[0], run_name="__main__")
