"""The list of what there is, made from the tables and docstrings: ``fastnn info --features`` and docs/features.md."""

import inspect

from fastnn import callbacks, layers, schedules
from fastnn import functional as F
from fastnn.init import INITIALISERS
from fastnn.losses import LOSSES
from fastnn.metrics import METRICS
from fastnn.optim import OPTIMIZERS

BAR = "\\|"  # in a cell of a table


def _summary(thing):
    """Return the first sentence or line of a docstring, which names formula and source."""
    return inspect.getdoc(thing).partition("\n")[0]


def _layer(name):
    """Return what describes a layer: an activation's function, else its class."""
    cls = getattr(layers, name)
    return getattr(F, cls.name) if isinstance(getattr(cls, "name", None), str) else cls


def _metric(name, row):
    average = name.removeprefix(row.function.func.__name__ + "_") if hasattr(row.function, "func") else None
    return _summary(getattr(row.function, "func", row.function)) + (
        f" {average.capitalize()} average." if average else ""
    )


def features():
    """Return a dict from kind to a dict from name to a line of what it is and where it comes from."""
    return {
        "Losses": {
            f"{name} ({cls.__name__})": _summary(getattr(F, cls._function, cls)) for name, cls in LOSSES.items()
        },
        "Layers": {name: _summary(_layer(name)) for name in layers.__all__ if name != "Layer"},
        "Optimizers": {cls.__name__: _summary(getattr(F, f"{name}_update")) for name, cls in OPTIMIZERS.items()},
        "Schedules": {name: _summary(getattr(schedules, name)) for name in schedules.__all__ if name != "Schedule"},
        "Initialisers": {name: _summary(function) for name, function in INITIALISERS.items()},
        "Metrics": {name: _metric(name, row) for name, row in METRICS.items()},
        "Callbacks": {thing.__name__: _summary(thing) for thing in callbacks.CALLBACKS},
    }


def page():
    """Return the features as Markdown."""
    lines = ["# Features", "", "Made by `make features` from the tables and docstrings of the code.", ""]
    for kind, rows in features().items():
        lines += [f"## {kind}", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {text.replace('|', BAR)} |" for name, text in rows.items()]
        lines.append("")
    return "\n".join(lines)
