"""Neural-network kernels for CPUs: C behind one Cython extension, a thin layer API and a trainer on top."""

import os as _os

try:
    from fastnn import _fastnn_core
except ImportError as _error:
    _tree = _os.path.dirname(_os.path.dirname(_os.path.abspath(__file__)))
    if "FASTNN_ISA" in str(_error) or not _os.path.exists(_os.path.join(_tree, "csrc", "fastnn.h")):
        raise
    raise ImportError(
        f"fastnn is imported from its source tree ({_tree}), where the extension is not built: run `make build` there, or "
        "leave this folder to import the installed package"
    ) from _error

from fastnn import callbacks, datasets, functional, init, metrics, schedules
from fastnn._fastnn_core import __version__, available_isas, isa
from fastnn.gradients import input_gradient, jacobian
from fastnn.layers import *
from fastnn.losses import *
from fastnn.num_threads import get_num_threads, set_num_threads, threads
from fastnn.optim import *
from fastnn.serialization import load, save
from fastnn.trainer import History, Trainer

BITS = 1  # the version of results: a change that alters one bit of any raises it; see `fastnn verify`


def show_versions():
    """Print versions, ISA and threads; for bug reports."""
    from fastnn import cli

    cli.show_versions()


# Loaded on first use: who computes with the kernels, or has no tables, never needs them.
_LATER = {
    "reference": "fastnn.reference",
    "sklearn": "fastnn.sklearn",
    "Preprocessing": "fastnn.preprocessing",
    "read_table": "fastnn.table",
    "train_table": "fastnn.table",
}


def __dir__():
    return sorted({*globals(), *_LATER})


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_LATER[name])
    return module if module.__name__ == f"fastnn.{name}" else getattr(module, name)
