"""A person's own table: reading it, training on it, predicting with what was learned."""

from fastnn.table.reading import Column, Table, read_table

__all__ = ["Column", "Table", "TableModel", "read_table", "train_table"]


def __getattr__(name):
    if name not in ("TableModel", "train_table"):
        raise AttributeError(f"module 'fastnn.table' has no attribute {name!r}")
    from fastnn.table import model, training  # on first use: these need fastnn.preprocessing, which needs this module

    return model.TableModel if name == "TableModel" else training.train_table
