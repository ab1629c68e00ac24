"""What a person is told about a table and a model of it."""


def understood(table, target, y, preprocessing, folds):
    """Return what was understood of a table, before training."""
    kinds = [f"{table.source}: {len(table):,} rows, {table.kinds()}"]
    return "\n".join(kinds)


def result(model, outputs, y, held):
    """Return how well the rows held out are predicted, beside the baseline that knows the target alone."""
    return {"rows": len(held), **model.measured(outputs, y[held])}


def told(model, outputs, y):
    """Return the result for a person."""
    return str(model.held_out)
