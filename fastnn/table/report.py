"""What a person is told: what was understood of a table, how good the model is beside a baseline, and what to do next."""

import warnings

import numpy as np

from fastnn import metrics
from fastnn.table.reading import as_text, counted

_THREADED = 10_000  # rows from which LightGBM trains on all processors
_SHOWN = 8  # classes of a confusion matrix, columns of a list


def line(head, text):
    """Return a line of a report."""
    return f"{head:<11} {text}"


def _listed(items, most=_SHOWN):
    items = list(items)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def understood(table, target, y, preprocessing, folds, seed):
    """Return what was understood of a table, before training."""
    lines = [
        line(
            "table",
            f"{table.source}: {counted(len(table), 'row')}, {counted(len(table.columns), 'column')} ({table.kinds()})",
        )
    ]
    if target.task == "classification":
        counts = np.bincount(y, minlength=len(target.classes)).tolist()
        classes = [f"{label} {count:,}" for label, count in zip(target.classes, counts, strict=True)]
        lines.append(line("target", f"{target.name}: {counted(len(classes), 'class')} ({_listed(classes)})"))
    else:
        low, middle, high = (as_text(float(f"{number:.4g}")) for number in (y.min(), y.mean(), y.max()))
        lines.append(line("target", f"{target.name}: a number from {low} to {high}, mean {middle}"))
    layout = preprocessing.layout
    made = [(layout.numeric, "scaled"), (layout.one_hot, "of 0 and 1"), (len(layout.embedded), "embedded")]
    parts = ", ".join(f"{number:,} {kind}" for number, kind in made if number)
    lines.append(line("used", f"{counted(len(preprocessing.features), 'column')} become {layout.width:,} ({parts})"))
    if preprocessing.ignored:
        lines.append(line("ignored", _listed(f"{name} ({why})" for name, why in preprocessing.ignored.items())))
    gaps = {name: int(table[name].missing().sum()) for name in preprocessing.features}
    if any(gaps.values()):
        lines.append(line("missing", _listed(f"{name} {count:,}" for name, count in gaps.items() if count)))
    lines.append(line("split", _split(len(y), folds, seed)))
    return "\n".join(lines)


def _split(rows, folds, seed):
    if len(folds) == 1:
        return f"{rows - len(folds[0]):,} rows to train, {len(folds[0]):,} held out (seed {seed})"
    return f"{len(folds)} networks, each with another {len(folds[0]):,} of {rows:,} rows held out (seed {seed})"


def measured(model, outputs, y, base):
    """Return how well rows are predicted, and by the baseline, which knows the targets ``base`` alone: their majority or mean."""
    if model.task == "classification":
        most = int(np.bincount(base).argmax())
        baseline = {"always": model.classes[most], "accuracy": float((y == most).mean())}
    else:
        mean = float(base.mean())
        baseline = {"always": mean, "rmse": metrics.rmse(np.full(len(y), mean), y)}
    return {"rows": len(y), **model.measured(outputs, y), "baseline": baseline}


def result(model, outputs, y, found, head="held out"):
    """Return what ``measured`` found, for a person: metric, baseline, and where the errors are."""
    base, rows = found["baseline"], counted(found["rows"], "row")
    if model.task == "classification":
        first = f"accuracy {found['accuracy']:.4f}, loss {found['loss']:.4f} on {rows}; always {base['always']!r}: {base['accuracy']:.4f}"
        return "\n".join([line(head, first), *_confusion(model.classes, outputs, y)])
    first = f"r2 {found['r2']:.4f}, rmse {found['rmse']:.4g} on {rows}; always {base['always']:.5g}: rmse {base['rmse']:.4g}"
    errors = np.abs(model.decided(outputs) - y)
    half, most = np.quantile(errors, (0.5, 0.9))
    spread = f"half of the rows within {half:.4g}, nine tenths within {most:.4g}, the worst {errors.max():.4g} off"
    return "\n".join([line(head, first), line("errors", spread)])


def _confusion(classes, outputs, y):
    """Return the lines of a confusion matrix; of many classes the pairs that are confused most."""
    cells = metrics.confusion_matrix(outputs, y)
    if len(classes) > _SHOWN:
        wrong = cells - np.diag(np.diag(cells))
        pairs = [np.unravel_index(i, wrong.shape) for i in (-wrong).ravel().argsort(kind="stable")[:5]]
        told = [f"{classes[i]} taken for {classes[j]} {wrong[i, j]:,}" for i, j in pairs if wrong[i, j]]
        return [line("confused", ", ".join(told) or "none")]
    names = [str(label)[:20] for label in classes]
    width = max(7, *(len(name) for name in names), *(len(f"{cell:,}") for cell in cells.ravel().tolist()))
    lines = [line("confusion", "a row for each class, a column for each prediction")]
    rows = [
        ("", names),
        *((name, [f"{cell:,}" for cell in row]) for name, row in zip(names, cells.tolist(), strict=True)),
    ]
    return lines + [
        line("", f"{name:>{width}}  " + "  ".join(f"{cell:>{width}}" for cell in row)) for name, row in rows
    ]


# --------------------------------------------------------------------------------------------------------------- compare


def compared(model, x, t, y, folds):
    """Train other libraries' models on the same rows, where they are installed.

    Parameters
    ----------
    model : TableModel
    x, t : ndarray
        Transformed rows; numbers of classes, or standardised numbers.
    y : ndarray
        The same targets as ``model.measured`` takes them.
    folds : list of ndarray
        Rows to hold out, in turn.

    Returns
    -------
    dict
        From name to metrics on the rows held out, None where the library is not installed.
    """
    found = {}
    for name, fit in (("scikit-learn's MLP", _perceptron), ("LightGBM", _trees)):
        try:
            outputs = np.concatenate([_outputs(fit, model, x, t, held) for held in folds])
        except ImportError:
            found[name] = None
        else:
            found[name] = model.measured(outputs, y[np.concatenate(folds)])
    return found


def told(peers):
    """Return the lines of ``compared`` for a person."""
    lines = []
    for name, held in peers.items():
        values = "not installed" if held is None else ", ".join(f"{key} {value:.4g}" for key, value in held.items())
        lines.append(line("beside", f"{name}: {values}"))
    return "\n".join(lines)


def _outputs(fit, model, x, t, held):
    """Return what a model makes of the rows held out when it is trained on the others: probabilities, or standardised numbers."""
    kept = np.setdiff1d(np.arange(len(x)), held)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of theirs: iterations that ended, names of columns
        predict = fit(model, x[kept], t[kept])
        if model.task == "regression":
            return predict(x[held])[:, None]
        p = np.zeros((len(held), len(model.classes)))
        p[:, np.unique(t[kept])] = predict(x[held])
    return p


def _perceptron(model, x, t):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    embedded = model.preprocessing.layout.embedded

    def one_hot(x):
        plain = x.shape[1] - len(embedded)
        codes = [np.eye(size, dtype=x.dtype)[x[:, plain + i].astype(int)] for i, size in enumerate(embedded)]
        return np.concatenate([x[:, :plain], *codes], axis=1)

    peer = (MLPClassifier if model.task == "classification" else MLPRegressor)(random_state=0).fit(one_hot(x), t)
    return lambda x: (peer.predict_proba if model.task == "classification" else peer.predict)(one_hot(x))


def _trees(model, x, t):
    from lightgbm import LGBMClassifier, LGBMRegressor

    codes = list(range(x.shape[1] - len(model.preprocessing.layout.embedded), x.shape[1]))
    kind = LGBMClassifier if model.task == "classification" else LGBMRegressor
    threads = 1 if len(x) < _THREADED else None  # OpenMP's threads wait for one another longer than small tables take
    peer = kind(verbose=-1, random_state=0, n_jobs=threads).fit(x, t, categorical_feature=codes)
    return peer.predict_proba if model.task == "classification" else peer.predict
