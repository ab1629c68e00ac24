"""``fastnn train FILE``, ``fastnn predict`` and ``fastnn evaluate``."""

import csv
import io
import json
import os
import shlex
import sys

import numpy as np

from fastnn.serialization import load
from fastnn.table import recipes, report
from fastnn.table.files import rows_of
from fastnn.table.model import TableModel
from fastnn.table.reading import counted, read
from fastnn.table.training import known_before, train

ENDINGS = (".gz", ".csv", ".tsv", ".txt", ".dat", ".data")


def default_out(path):
    """Return the name of the model of a data file: its own without the ending, and ".safetensors"."""
    folder, name = os.path.split(path)
    for ending in ENDINGS:
        name = name[: -len(ending)] if name.lower().endswith(ending) and len(name) > len(ending) else name
    return os.path.join(folder, f"{name}.safetensors")


def _read(options, names, known):
    """Return the table of the file that a command names, and whether it has a header: it has where names that are needed stand in it.

    ``known`` is what ``reading.read`` takes.
    """
    if not os.path.exists(options.data):
        known = "a CSV file, or digits," if options.command == "train" else "a CSV file"
        raise ValueError(f"{options.data}: No such file; {known} was expected")
    table = read(options.data, known)
    if any(name not in table for name in names):
        named = read(options.data, known, header=True)
        if all(name in named for name in names):
            return named, True
    return table, None


def _warn(model, table):
    """Say on standard error what whoever predicts should know about how a table was read, and what the model does not know of it."""
    for note in (*table.notes, *model.preprocessing.unknown(table)):
        print(report.line("warning", note), file=sys.stderr)


def _plain(value):
    """Return a value as JSON can hold it: None for a number that is not finite."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _check_apart(out, *inputs):
    """Raise ValueError where what is to be written would take the place of what is read."""
    for path in inputs:
        if os.path.exists(out) and os.path.samefile(out, path):
            raise ValueError(f"--out {out} is the file that is read; give it another name")


def train_file(options, check_output):
    """Train a model of a file's column, and say what came of it."""
    table, _ = _read(
        options, [] if options.target is None else [options.target], known_before(options.target, options.task)
    )
    if options.target is None:
        raise ValueError(
            f"which column is to be predicted? say --target COLUMN; the columns of {options.data}: {', '.join(table.names)}"
        )
    table[options.target]
    out = default_out(options.data) if options.out is None else options.out
    check_output(out)  # before the work, not after it
    _check_apart(out, options.data)
    doubts = []

    def say(text, warning=False):
        if warning:
            doubts.append(text)
        if not options.json:
            print(report.line("warning", text) if warning else text, flush=True)

    terminal = sys.stderr is not None and sys.stderr.isatty()
    given = {name: getattr(options, name) for name in ("task", "epochs", "seed", "compare")}
    given["preset"] = options.preset or recipes.DEFAULT
    model = train(table, options.target, say, **given, verbose=False if options.json else 1 if terminal else 2)
    model.save(out)
    if options.json:
        result = {
            "data": options.data, "rows": len(table), "target": model.target, "task": model.task, "classes": model.classes,
            "features": model.features, "ignored": model.preprocessing.ignored, "preset": model.preset, "seed": model.seed,
            "held_out": model.held_out, "warnings": doubts, "saved": out,
        }  # fmt: skip
        print(json.dumps(_plain(result)))
        return
    print(report.line("saved", out))
    print(report.line("next", f"fastnn predict {shlex.quote(out)} NEW.csv --out PREDICTED.csv"))


def _model(path):
    model = load(path)
    if not isinstance(model, TableModel):
        raise ValueError(f"{path} holds a network but no table's model; fastnn train FILE --target COLUMN makes one")
    return model


def _predictions(model, table, interval):
    """Return the columns that predictions add: name -> values."""
    if model.task == "regression":
        if interval is None:
            return {"prediction": model.predict(table).tolist()}
        predicted, bounds = model.predict(table, interval=interval)
        return {"prediction": predicted.tolist(), "low": bounds[:, 0].tolist(), "high": bounds[:, 1].tolist()}
    if interval is not None:
        raise ValueError(f"--interval is for numbers but {model.target} has classes, which get probabilities")
    p = model.predict_proba(table)
    labels = [model.classes[i] for i in p.argmax(axis=1).tolist()]
    columns = {f"probability_{label}": column.tolist() for label, column in zip(model.classes, p.T, strict=True)}
    return {"label": labels, **columns}


def predict_file(options, check_output):
    """Write a file with the columns of another and predictions."""
    model = _model(options.model)
    table, header = _read(options, model.features, model.known)
    _warn(model, table)
    if options.out is not None:
        check_output(options.out)
        _check_apart(options.out, options.data, options.model)
    added = _predictions(model, table, options.interval)
    if options.json:
        text = json.dumps(added) + "\n"
    else:
        names, rows = rows_of(options.data, header)
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*names, *(_unused(name, names) for name in added)])
        formatted = (column if name == "label" else [f"{v:.8g}" for v in column] for name, column in added.items())
        writer.writerows([*row, *extra] for row, extra in zip(rows, zip(*formatted, strict=True), strict=True))
        text = stream.getvalue()
    if options.out is None:
        sys.stdout.write(text)
        return
    with open(options.out, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    print(f"{counted(len(table), 'row')} with predictions of {model.target} in {options.out}", file=sys.stderr)


def _unused(name, names):
    """Return a name that no other column has."""
    while name in names:
        name = f"{name}_"
    return name


def evaluate_file(options):
    """Say how well a model predicts a file that has the target."""
    model = _model(options.model)
    table, _ = _read(options, [*model.features, model.target], model.known)
    _warn(model, table)
    outputs, y = model.outputs_and_target(table)
    if options.json:
        found = model.measured(outputs, y)
        print(json.dumps(_plain({"rows": len(y), **found})))
        return
    by = f"{model.target} by {counted(len(model.features), 'column')}, preset {model.preset}"
    print(report.line("model", f"{options.model}: {by}"))
    print(report.result(model, outputs, y, report.measured(model, outputs, y, y), "rows"))
