"""A person's own table: reading it, training on it, predicting with what was learned."""

from fastnn.table.model import TableModel
from fastnn.table.reading import Column, Table, read_table
from fastnn.table.training import train_table

__all__ = ["Column", "Table", "TableModel", "read_table", "train_table"]
