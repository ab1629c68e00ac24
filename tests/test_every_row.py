"""Every row of every table has what a row needs: a reference, a check of its gradient, a docstring, a peer, a benchmark.

A row that is new has none of them until somebody writes it; the sets below hold those that have.
"""

import inspect
import re

import numpy as np
import pytest
import test_init
import test_layer_peers
import test_layers
import test_losses
import test_metrics
import test_optimizers
import test_pointwise_losses
import test_row_losses
import test_schedules
from support import parts

from fastnn import _fastnn_core as core
from fastnn import benchmarks, features, init, layers, losses, metrics, schedules
from fastnn import functional as F
from fastnn import reference as R
from fastnn.reference.layers import FORWARD

ACTIVATIONS = {info.layer: name for name, info in F.activations().items()}
LOSSES = {name: row.info for name, row in core.LOSSES.items()}
LAYERS = {name: getattr(layers, name) for name in layers.__all__ if name != "Layer"}
TABLES = {
    "losses": LOSSES,
    "layers": LAYERS,
    "optimizers": dict(core.OPTIMIZERS),
    "schedules": dict(schedules.SCHEDULES),
    "initialisers": dict(init.INITIALISERS),
    "metrics": {name: getattr(row.function, "func", row.function) for name, row in metrics.METRICS.items()},
}
BENCHMARKS = {(case.group, case.name) for case in benchmarks.cases()}
# A formula has an operator, an index or a function in it; a source is a package's name for the thing, its paper, or a function
# whose docstring names them.
FORMULA = re.compile(r"[=^*/+|<>\[]|\w\(|^x,")
SOURCE = re.compile(r"``torch\.|scikit-learn|Keras|PyTorch|\b(?:19|20)\d\d\b|``functional\.\w+``")


def rows_of(test, argument):
    """Return what a parametrized test is given for an argument."""
    for mark in test.pytestmark:
        names = mark.args[0] if mark.name == "parametrize" else ()
        names = [names] if isinstance(names, str) else list(names)
        if argument in names:
            rows = [getattr(row, "values", row if len(names) > 1 else [row]) for row in mark.args[1]]
            return [row[names.index(argument)] for row in rows]
    return []


def differentiated_losses():
    numbers = test_pointwise_losses.test_gradients_of_losses_of_numbers_against_central_differences
    labels = test_row_losses.test_gradients_of_losses_of_labels_against_central_differences
    both = {info.name for test in (numbers, labels) for info in rows_of(test, "info")}
    targets = rows_of(test_losses.test_cross_entropy_gradient_against_central_differences, "target")
    return both | ({"cross_entropy"} if "labels" in targets and "probabilities" in targets else set())


def differentiated_layers():
    made = [make(np.float32) for make in rows_of(test_layers.test_gradients_against_central_differences, "make")]
    return {type(part).__name__ for layer in made for part in parts(layer)}


def described(things, formula=FORMULA, source=SOURCE):
    """Return the names of those whose docstring begins with a formula and says where it is from."""
    docs = {name: (inspect.getdoc(thing) or "").partition("Parameters\n---")[0] for name, thing in things.items()}
    return {name for name, doc in docs.items() if formula.search(doc) and source.search(doc)}


def in_words(things):
    """The same for those whose formula may be one in words."""
    return described(things, formula=re.compile(r"^\w.*\w"))


def functions(names):
    return {name: getattr(F, function) for name, function in names.items() if hasattr(F, function)}


def measured(cases):
    """Return the names all of whose cases, pairs of group and name, are among the benchmarks."""
    return {name for name, wanted in cases.items() if wanted <= BENCHMARKS}


def loss_cases(info):
    group, name = ("cross_entropy", "with_grad") if info.probabilities else ("loss", info.layer)
    return {(group, f"{name} {shape}") for shape in ("64x10", "256x100", "4096x100")}


def layer_cases(name):
    if name in ACTIVATIONS:
        return {(group, f"{ACTIVATIONS[name]} 65536") for group in ("forward", "backward")}
    norm = {"BatchNorm1d": "batch_norm", "LayerNorm": "layer_norm", "RMSNorm": "rms_norm"}.get(name)
    ways = {(g, f"{norm} {shape}") for g in ("norm", "norm backward") for shape in ("128x512", "4096x256") if norm}
    return {("layer", f"{name} 256x64")} | ways


def names_its_peer(name, metric):
    return f"``{test_metrics.PEERS.get(name)}``" in (metric.__doc__ or "")


HAVE = {
    ("losses", "reference"): lambda: {n for n, info in LOSSES.items() if hasattr(R, f"{info.function}_with_grad")},
    ("losses", "gradient check"): differentiated_losses,
    ("losses", "docstring"): lambda: described(functions({name: info.function for name, info in LOSSES.items()})),
    ("losses", "peer"): lambda: {*test_pointwise_losses.PEERS, *test_row_losses.PEERS, *test_losses.PEERS},
    ("losses", "benchmark"): lambda: measured({name: loss_cases(info) for name, info in LOSSES.items()}),
    ("layers", "reference"): lambda: {*FORWARD, *(layer for layer, name in ACTIVATIONS.items() if hasattr(R, name))},
    ("layers", "gradient check"): differentiated_layers,
    ("layers", "docstring"): lambda: described(LAYERS | functions(ACTIVATIONS)),
    ("layers", "peer"): lambda: test_layer_peers.PEERS,
    ("layers", "benchmark"): lambda: measured({name: layer_cases(name) for name in LAYERS}),
    ("optimizers", "reference"): lambda: {name for name in TABLES["optimizers"] if hasattr(R, f"{name}_update")},
    ("optimizers", "docstring"): lambda: described(functions({n: f"{n}_update" for n in TABLES["optimizers"]})),
    ("optimizers", "peer"): lambda: set(test_optimizers.PEERS),
    ("optimizers", "benchmark"): lambda: measured({n: {("update", f"{n} 1048576")} for n in TABLES["optimizers"]}),
    ("schedules", "reference"): lambda: {type(schedule).__name__ for schedule, *_ in test_schedules.CASES},
    ("schedules", "docstring"): lambda: described(TABLES["schedules"]),
    ("schedules", "peer"): lambda: (
        {type(case[0]).__name__ for case in test_schedules.CASES if case[2]} | test_schedules.IN_SCIKIT_LEARN
    ),
    ("initialisers", "reference"): lambda: set(test_init.STD),
    ("initialisers", "docstring"): lambda: in_words(TABLES["initialisers"]),
    ("initialisers", "peer"): lambda: set(test_init.PEERS),
    ("metrics", "docstring"): lambda: {name for name, f in TABLES["metrics"].items() if names_its_peer(name, f)},
    ("metrics", "peer"): lambda: set(test_metrics.PEERS),  # which is their reference too
}


@pytest.mark.parametrize(("table", "what"), HAVE)
def test_every_row_of_a_table_has_its(table, what):
    assert set(TABLES[table]) - HAVE[table, what]() == set()


@pytest.mark.parametrize("table", TABLES)
def test_the_page_of_features_lists_every_row(table):
    listed = features.features()[table.capitalize()]
    wanted = (
        losses.LOSSES if table == "losses" else TABLES[table]
    )  # Keras' losses too, which are made of rows of the table
    assert len(listed) == len(wanted)
    assert set(TABLES[table]) <= set(wanted)
    assert all(name in " ".join(listed) for name in wanted if table != "optimizers")


@pytest.mark.parametrize(("table", "what"), HAVE)
def test_a_row_that_is_new_has_nothing_yet(table, what, monkeypatch):
    row = LOSSES["mse"]._replace(name="newcomer", layer="Newcomer", function="newcomer_loss")
    monkeypatch.setitem(TABLES[table], "newcomer", row if table == "losses" else lambda: None)
    assert set(TABLES[table]) - HAVE[table, what]() == {"newcomer"}
