"""One valid call, or a few, of every function of fastnn.functional: the table that test_arguments.py and alias.py drive."""

import inspect
from itertools import product
from typing import NamedTuple

import numpy as np
from support import ROWS

from fastnn import _fastnn_core as core
from fastnn import functional as F

FUNCTIONS = sorted(name for name, f in vars(F).items() if inspect.isfunction(f) and not name.startswith("_"))


class Call(NamedTuple):
    """A call with its arrays by name; those of dtype int64 hold labels, those in `in_place` are updated. `numbers` says which
    other ones are valid: any, those in (0, 1), or signs, -1 and 1."""

    function: str
    arrays: dict
    options: dict
    in_place: tuple = ()
    numbers: str = "any"

    @property
    def id(self):
        return "-".join([self.function, *self.arrays, *(v for v in self.options.values() if isinstance(v, str))])

    @property
    def takes_out(self):
        return "out" in inspect.signature(getattr(F, self.function)).parameters

    def optional(self, name):
        return inspect.signature(getattr(F, self.function)).parameters[name].default is not inspect.Parameter.empty

    def run(self, arrays=None, **keywords):
        """Return all results of the call as a list of arrays: what it returns, then what it updated."""
        arrays = dict(arrays or self.arrays)
        returned = getattr(F, self.function)(**arrays, **self.options, **keywords)
        returned = returned if isinstance(returned, tuple) else (returned,)
        return [np.asarray(r) for r in (*returned, *(arrays[name] for name in self.in_place)) if r is not None]

    def copies(self):
        return {name: a.copy() for name, a in self.arrays.items()}


def calls(dtype, rng, rows=4, columns=3):
    """Return the table, with arrays of random numbers in [0.1, 0.9) and `rows` x `columns` elements or the like."""

    def array(*shape):
        return rng.uniform(0.1, 0.9, shape).astype(dtype)

    def labels(size, end):
        return rng.integers(0, end, size)

    table = []

    def add(function, options=None, in_place=(), numbers="any", **arrays):
        table.append(Call(function, arrays, options or {}, in_place, numbers))

    for row in ROWS:
        add(row.name, x=array(rows, columns) * 6 - 3)
        for saved in ("x", "y") if row.saves == "y" else ("x",):
            add(f"{row.name}_backward", grad=array(rows, columns), **{saved: array(rows, columns)})
    add("prelu", x=array(rows, columns) - 0.5, weight=array(columns))
    add("prelu_backward", grad=array(rows, columns), x=array(rows, columns) - 0.5, weight=array(columns))
    add("maxout", x=array(rows, columns, 2))
    add("maxout", {"return_index": True}, x=array(rows, columns, 2))
    add("maxout_backward", {"pieces": 3}, grad=array(rows, columns), index=labels((rows, columns), 3))
    add("dropout", {"p": 0.5, "seed": 1}, x=array(rows, columns))
    add("matmul", a=array(rows, columns), b=array(columns, rows))
    add("matmul", a=array(rows, columns), b=array(columns))
    linear = {"x": array(rows, columns), "weight": array(rows, columns)}
    add("linear", **linear)
    add("linear", {"activation": "tanh", "return_preactivation": True}, **linear, bias=array(rows))
    grad = array(rows, rows)
    add("linear_backward", grad=grad, **linear)
    add("linear_backward", {"activation": "gelu"}, grad=grad, **linear, z=array(rows, rows))
    add("linear_backward", {"activation": "tanh"}, grad=grad, **linear, y=array(rows, rows))
    for name, parameters in (("layer_norm", ("weight", "bias")), ("rms_norm", ("weight",))):
        add(name, x=array(rows, columns))
        add(name, {"eps": 0.1}, x=array(rows, columns), **{key: array(columns) for key in parameters})
        add(f"{name}_backward", grad=array(rows, columns), x=array(rows, columns))
        add(f"{name}_backward", grad=array(rows, columns), x=array(rows, columns), weight=array(columns))
    running = {"running_mean": array(columns), "running_var": array(columns)}
    affine = {"weight": array(columns), "bias": array(columns)}
    statistics = {"mean": array(columns), "var": array(columns)}
    for shape in ((rows + 1, columns), (rows, columns, 2)):
        add("batch_norm", x=array(*shape), **running)
        add("batch_norm", {"training": True}, tuple(running), x=array(*shape), **running, **affine)
        add("batch_norm", {"training": True, "return_statistics": True}, x=array(*shape), **affine)
        both = {"grad": array(*shape), "x": array(*shape)} | statistics
        add("batch_norm_backward", **both)
        add("batch_norm_backward", {"training": True}, **both, weight=array(columns))
    for axis in (-1, 0):
        for name in ("softmax", "log_softmax"):
            add(name, {"axis": axis}, x=array(rows, columns))
            add(f"{name}_backward", {"axis": axis}, grad=array(rows, columns), y=array(rows, columns))
    for info in (row.info for row in core.LOSSES.values()):
        weights = {"sample_weight": array(rows)} | ({"weight": array(columns)} if info.labels else {})
        numbers, target, second = "any", array(rows, columns), {}
        if info.accepts[0] == "-1 or 1":
            numbers, target = "signs", np.copysign(dtype(1), target - dtype(0.5))
        elif any(info.accepts) or info.second:
            numbers = "(0, 1)"
        if info.second:
            second = {info.second: array(rows, columns) if info.pair else array(columns)}
        targets = [labels(rows, columns)] if info.labels else []
        targets += [array(rows) if info.shared else target] if info.probabilities or not info.labels else []
        needed = second if info.pair or info.columns else {}
        for name in (info.function, f"{info.function}_with_grad"):
            for reduction, given in product(("mean", "none"), targets):
                arrays = {"logits" if info.probabilities else "input": array(rows, columns), "target": given}
                add(name, {"reduction": reduction}, numbers=numbers, **arrays, **needed)
                add(name, {"reduction": reduction}, numbers=numbers, **arrays, **second, **weights)
    for name in FUNCTIONS:
        if name.endswith("_update"):
            parameters = inspect.signature(getattr(F, name)).parameters
            names = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
            options = {"lr": 0.1, "step": 2, "momentum": 0.9, "weight_decay": 0.1, "amsgrad": True, "centered": True}
            arrays = {key: array(rows, columns) for key in names}
            add(name, {key: value for key, value in options.items() if key in parameters},
                tuple(key for key in names if key != "grad"), **arrays)  # fmt: skip
    return table
