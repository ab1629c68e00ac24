"""Summaries: what the table of a model says."""

import re

import numpy as np
import pytest
from support import refused

import fastnn as fnn


class Half(fnn.Layer):
    """A user's layer without rows: the first half of the features, scaled."""

    def __init__(self):
        super().__init__()
        self._parameters["weight"] = np.ones(1, np.float32)

    def __call__(self, x, out=None):
        return x[..., : x.shape[-1] // 2] * self.weight

    def vjp(self, x, step=0, train=True):
        raise NotImplementedError


def test_the_table_of_an_mlp():
    summary = fnn.MLP([64, 256, 10], dropout=0.5, seed=0).summary((64,))
    assert str(summary).splitlines() == [
        "layer      output       parameters  fused",
        "0 Linear   (None, 256)      16,640      1",
        "1 ReLU     (None, 256)                  1",
        "2 Dropout  (None, 256)                  1",
        "3 Linear   (None, 10)        2,570",
        "parameters: 19,210 (75.0 KiB)",
    ]
    assert repr(summary) == str(summary)
    assert summary.parameters == 19210
    assert str(fnn.MLP([64, 256, 10], dropout=0.5, seed=0).summary(64)) == str(summary)


def test_the_table_of_nested_layers():
    model = fnn.Sequential(
        fnn.Columns([([1, 2], fnn.Standardize(2)), (0, fnn.Sequential(fnn.Embedding(5, 4), fnn.Flatten()))]),
        fnn.Linear(6, 8),
        fnn.Dropout(),
        fnn.Residual(fnn.Linear(8, 8), fnn.GELU()),
        fnn.Maxout(8, 3),
        fnn.Softmax(),
    )
    summary = model.summary([3])
    assert [(row.layer, row.output, row.parameters, row.fused) for row in summary.rows] == [
        ("0.0 Standardize", (None, 2), 0, None),
        ("0.1.0 Embedding", (None, 1, 4), 20, None),
        ("0.1.1 Flatten", (None, 4), 0, None),
        ("0 Columns", (None, 6), 0, None),
        ("1 Linear", (None, 8), 56, None),
        ("2 Dropout", (None, 8), 0, None),
        ("3.0 Linear", (None, 8), 72, 1),
        ("3.1 GELU", (None, 8), 0, 1),
        ("3 Residual", (None, 8), 0, None),
        ("4 Maxout", (None, 3), 54, None),
        ("5 Softmax", (None, 3), 0, None),
    ]
    assert str(summary).endswith("parameters: 202 (0.8 KiB), statistics: 4")


def test_what_is_fused_is_a_product_its_activation_and_their_dropout():
    model = fnn.Sequential(
        fnn.Linear(2, 2),
        fnn.ReLU(),
        fnn.ReLU(),
        fnn.Linear(2, 2),
        fnn.Tanh(),
        fnn.Dropout(),
        fnn.Dropout(),
        fnn.Linear(2, 2),
    )
    assert [row.fused for row in model.summary(2).rows] == [1, 1, None, 2, 2, 2, None, None]


def test_the_html_is_the_same_table():
    summary = fnn.MLP([3, 4, 2], seed=0).summary(3)
    cells = re.findall("<t[dh](?: [^>]*)?>(.*?)</t[dh]>", summary._repr_html_())
    assert cells == ["layer", "output", "parameters", "fused", *(text for row in summary.rows for text in row.texts()),
                     "parameters: 26 (0.1 KiB)"]  # fmt: skip


def test_layers_of_ones_own_are_tried_out():
    model = fnn.Sequential(fnn.Linear(6, 4), fnn.Residual(fnn.Sequential(Half(), fnn.Linear(2, 4))), Half())
    assert [(row.layer, row.output, row.parameters) for row in model.summary(6).rows] == [
        ("0 Linear", (None, 4), 28),
        ("1.0.0 Half", (None, 2), 1),
        ("1.0.1 Linear", (None, 4), 12),
        ("1 Residual", (None, 4), 0),
        ("2 Half", (None, 2), 1),
    ]
    assert str(Half().summary((2, 6))).splitlines()[1] == "Half   (None, 2, 3)           1"
    with pytest.raises(NotImplementedError, match="^lower: Half has no rows; it runs as a layer$"):
        model.lower((None, 6))


def test_a_layer_that_has_no_rows_has_an_empty_table():
    assert str(fnn.Sequential().summary(3)).splitlines() == [
        "layer  output  parameters  fused", "parameters: 0 (0.0 KiB)"]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "given"),
    [((None, 64), "(None, 64)"), ("64", "'64'"), (-1, "-1"), (True, "True"), (None, "None"), ((2.0,), "(2.0,)")],
)
def test_the_input_shape_is_that_of_a_row(shape, given):
    refused(lambda: fnn.ReLU().summary(shape), ValueError,
            f"summary: input_shape is {given} but the shape of one row, such as (64,), was expected")  # fmt: skip


def test_a_shape_that_the_layers_do_not_take():
    refused(
        lambda: fnn.MLP([3, 2]).summary(4), ValueError, "Linear: the input has shape (None, 4) but in_features is 3"
    )
