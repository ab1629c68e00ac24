"""The table of a model: its layers, the shapes of their outputs, their parameters, and what is fused. Made from ``lower``'s rows."""

import contextlib
import dataclasses
import html

import numpy as np

from fastnn import functional as F
from fastnn.layers.base import Op
from fastnn.layers.containers import rows_of

_HEAD = "layer", "output", "parameters", "fused"


@dataclasses.dataclass(frozen=True)
class SummaryRow:
    """A line of a summary.

    Attributes
    ----------
    layer : str
        Where the layer stands, as the names of its parameters have it, and its class: ``"2.0 Linear"``.
    output : tuple
        Shape of its output; the batch is None.
    parameters : int
        Trained numbers of the layer's own.
    fused : int or None
        Lines of one number can be computed in one pass: a product, the activation after it, and the dropout after that.
    """

    layer: str
    output: tuple
    parameters: int
    fused: int | None = None

    def texts(self):
        """Return the line as texts."""
        return self.layer, str(self.output), f"{self.parameters:,}" if self.parameters else "", str(self.fused or "")


def _row_shape(input_shape):
    """Return the shape of one row as a tuple."""
    shape = input_shape if isinstance(input_shape, (tuple, list)) else (input_shape,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise ValueError(
            f"summary: input_shape is {input_shape!r} but the shape of one row, such as (64,), was expected"
        )
    return tuple(int(n) for n in shape)


def _leaf(layer, shape):
    """Return the rows of a layer; a user's own that has none is tried out on a row of zeros."""
    if hasattr(layer, "lower"):
        with contextlib.suppress(NotImplementedError):
            return layer.lower(shape)
    y = layer(np.zeros((1, *shape[1:]), np.float32))
    names = (name for name, _ in getattr(layer, "named_parameters", tuple)())
    return (Op(type(layer).__name__, (None, *np.shape(y)[1:]), tuple(names)),)


def _groups(ops):
    """Return the number of the group that each row is fused in, or None."""
    groups, activations = [None] * len(ops), F.activations()
    for i, op in enumerate(ops[:-1]):
        if op.kind == "linear" and ops[i + 1].kind in activations:
            number = 1 + max((group for group in groups if group), default=0)
            dropped = i + 2 < len(ops) and ops[i + 2].kind == "dropout"
            groups[i : i + 2 + dropped] = [number] * (2 + dropped)
    return groups


def _class_at(model, path):
    for i in path.split(".") if path else ():
        model = model.layers[int(i)]
    return type(model).__name__


class Summary:
    """A table of the layers of a model; see ``Layer.summary``.

    Attributes
    ----------
    rows : tuple of SummaryRow
        In the order in which the layers are computed; a container such as ``Residual`` stands behind its layers, where it joins
        what they return.
    parameters : int
        Numbers that are trained, in all.
    statistics : int
        Numbers that belong to the state but are not trained.
    """

    def __init__(self, model, input_shape):
        shape = (None, *_row_shape(input_shape))
        ops = tuple(rows_of(model, shape, _leaf))
        arrays = dict(model.named_parameters())
        rows, previous = [], None
        for op, group in zip(ops, _groups(ops), strict=True):
            count = sum(arrays[name].size for name in op.params)
            if op.kind == "columns":
                previous = None  # a branch of the table begins; the container has its line at the end
            elif previous == op.layer:  # another row of the same layer
                rows[-1] = dataclasses.replace(rows[-1], output=op.shape, parameters=rows[-1].parameters + count)
            else:
                name = f"{op.layer} {_class_at(model, op.layer)}".strip()
                rows.append(SummaryRow(name, op.shape, count, group))
                previous = op.layer
        self.rows = tuple(rows)
        self.parameters = sum(array.size for array in arrays.values())
        self.statistics = sum(array.size for _, array in model.named_buffers())
        self._bytes = sum(array.nbytes for array in arrays.values())

    def _totals(self):
        text = f"parameters: {self.parameters:,} ({self._bytes / 1024:,.1f} KiB)"
        return text + (f", statistics: {self.statistics:,}" if self.statistics else "")

    def __repr__(self):
        lines = [_HEAD, *(row.texts() for row in self.rows)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(_HEAD))]
        aligned = (
            [
                text.ljust(width) if k < 2 else text.rjust(width)
                for k, (text, width) in enumerate(zip(line, widths, strict=True))
            ]
            for line in lines
        )
        return "\n".join([*("  ".join(line).rstrip() for line in aligned), self._totals()])

    def _repr_html_(self):
        def line(texts, tag):
            return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"

        body = "".join(line(row.texts(), "td") for row in self.rows)
        foot = f'<tr><td colspan="{len(_HEAD)}">{html.escape(self._totals())}</td></tr>'
        return f"<table><thead>{line(_HEAD, 'th')}</thead><tbody>{body}</tbody><tfoot>{foot}</tfoot></table>"
