"""``python -m fastnn.sklearn script.py [arguments]``: runs a script with fastnn's estimators in the place of scikit-learn's."""

import os
import runpy
import sys

from fastnn.sklearn import patch

if len(sys.argv) < 2:
    sys.exit("usage: python -m fastnn.sklearn script.py [arguments]")
script = sys.argv[1]
if not os.path.isfile(script):
    sys.exit(f"fastnn.sklearn: {script} is no file")
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(script))
patch()
runpy.run_path(script, run_name="__main__")
