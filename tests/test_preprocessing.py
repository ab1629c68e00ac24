"""Preprocessing: what it learns from the rows to train on, and what it makes of others."""

import json

import numpy as np
import pytest

import fastnn as fnn
from fastnn.preprocessing import Layout, Preprocessing

NAN, INF = float("nan"), float("inf")


def fitted(table, **options):
    return fnn.Preprocessing(**options).fit(table)


def clipped(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


def test_numbers_are_scaled_by_quartiles_and_clipped_smoothly():
    x = np.random.default_rng(0).lognormal(size=101)
    first, median, third = np.quantile(x, (0.25, 0.5, 0.75))
    got = fitted({"x": x}).transform({"x": x})
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[:, 0], clipped((x - median) / (third - first)), rtol=1e-6, atol=1e-7)


def test_numbers_are_standardised_where_asked():
    x = np.random.default_rng(0).normal(5, 3, 101)
    got = fitted({"x": x}, scaling="standard").transform({"x": x})
    np.testing.assert_allclose(got[:, 0], (x - x.mean()) / x.std(), rtol=1e-6, atol=1e-7)


def test_equal_quartiles_leave_half_the_range():
    x = np.array([0.0] * 20 + [10.0])
    np.testing.assert_allclose(fitted({"x": x}).transform({"x": x})[[0, -1], 0], [0, clipped(2)], rtol=1e-6)


def test_dates_are_numbers_and_booleans_are_0_and_1():
    days = np.arange("2024-01-01", "2024-04-11", dtype="M8[D]")
    flags = np.arange(len(days)) % 2 == 0
    ready = fitted({"flag": flags, "day": days})
    got = ready.transform({"flag": flags, "day": days})
    assert ready.layout == Layout(1, 1, ())
    z = (np.arange(len(days)) - 50) / 50
    np.testing.assert_allclose(got, np.stack([clipped(z), flags], axis=1), rtol=1e-5, atol=1e-6)


def test_missing_values_become_the_median_and_are_marked():
    x = np.array([1.0, NAN, 3.0, 8.0, 4.0, NAN])
    ready = fitted({"x": x, "b": [True, None, True, False, True, None]})
    assert ready.layout == Layout(1, 3, ())
    got = ready.transform({"x": x, "b": [True, None, True, False, True, None]})
    np.testing.assert_array_equal(got[:, 1], [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(got[:, 2], [1, 1, 1, 0, 1, 1])
    np.testing.assert_array_equal(got[:, 3], [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(got[1, 0], fitted({"x": x}).transform({"x": [3.5]})[0, 0])
    whole = fitted({"x": x[[0, 2, 3, 4]]})
    assert whole.layout == Layout(1, 0, ()), "no mark where none is missing in training"
    np.testing.assert_array_equal(whole.transform({"x": [NAN, 3.5]}), [[0], [0]])


def test_infinite_values_are_the_smallest_and_largest():
    x = np.array([-INF, 1.0, 2.0, 5.0, INF, 3.0])
    for scaling in ("robust", "standard"):
        ready = fitted({"x": x}, scaling=scaling)
        got = ready.transform({"x": x})
        np.testing.assert_array_equal(got, ready.transform({"x": [1.0, 1.0, 2.0, 5.0, 5.0, 3.0]}))
    assert ready.layout == Layout(1, 0, ()), "they are not missing"


@pytest.mark.parametrize("scaling", ["robust", "standard"])
@pytest.mark.parametrize(
    "x", [[1e308, -1e308, 0.0], [0.0, 5e-324, 1e-323], [1.0, 1.0 + 2**-52, 1.0], [1e-300, 2e-300, 1e300]]
)
def test_numbers_at_the_limits_stay_finite(x, scaling):
    ready = fitted({"x": np.array(x)}, scaling=scaling)
    assert ready.layout.width == 1
    assert np.isfinite(ready.transform({"x": [*x, 1.7e308, -1.7e308, INF, -INF, NAN]})).all()


def test_few_categories_are_one_hot_and_many_are_codes():
    few, many = list("abca"), ["p", "q", "p", "q"]
    ready = fitted({"few": few, "many": many}, max_one_hot=2)
    assert ready.layout == Layout(0, 2, (2,)), "b and c occur once: they share code 0 with what is not known"
    np.testing.assert_array_equal(
        ready.transform({"few": [*few, "z"], "many": [*many, "z"]}),
        [[1, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]],
    )


def test_a_missing_category_is_one_of_its_own_where_training_had_it():
    words = ["a", None, "b", "a"]
    for max_one_hot, want in (
        (8, [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]]),
        (1, [[1], [2], [0], [1], [0]]),
    ):
        ready = fitted({"w": words}, max_one_hot=max_one_hot)
        np.testing.assert_array_equal(ready.transform({"w": [*words, "z"]}), want)
    ready = fitted({"w": ["a", "b"]})
    np.testing.assert_array_equal(ready.transform({"w": [None, "b"]}), [[0, 0], [0, 1]])


def test_codes_are_within_the_sizes_of_the_layout():
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in rng.integers(0, 30, 200)], object)
    words[:5] = None
    ready = fitted({"w": words})
    ((size,),) = [ready.layout.embedded]
    codes = ready.transform({"w": [*words, "new"]})[:, 0]
    assert set(codes.tolist()) <= set(range(size))
    assert codes[0] == size - 1
    assert codes[-1] == 0


def test_columns_of_no_use_are_left_out_and_said():
    n = 40
    table = {
        "x": np.random.default_rng(0).random(n), "same": np.ones(n), "word": ["a"] * n, "gone": [None] * n, "infinite": np.full(n, INF),
        "customer_id": np.arange(n) + 1000, "text": [f"text {i}" for i in range(n)],
    }  # fmt: skip
    ready = fitted(table)
    assert ready.features == ("x",)
    assert ready.ignored == {
        "same": "always 1", "word": "always 'a'", "gone": "empty", "infinite": "no finite number", "customer_id": "an identifier: each row has another",
        "text": "an identifier, or free text: 40 values in 40 rows",
    }  # fmt: skip
    assert ready.warnings == []
    assert fitted({"x": table["x"], "Id": np.arange(n) ** 2, "n": np.arange(n) ** 2}).features == ("x", "n")
    assert fitted({"step": np.arange(n)}).warnings == [
        "column 'step' numbers the rows: if it is an identifier leave it out, as new rows have other numbers"
    ]
    with pytest.raises(
        ValueError, match="^Preprocessing: the table has no column to learn from \\('same': always 1\\)$"
    ):
        fitted({"same": np.ones(n)})


def test_a_constant_with_gaps_leaves_its_mark():
    ready = fitted({"x": [1.0, NAN, 1.0]})
    assert ready.layout == Layout(0, 1, ())
    np.testing.assert_array_equal(ready.transform({"x": [1.0, NAN, 7.0]}), [[0], [1], [0]])


def test_only_the_rows_to_train_on_are_learned_from():
    rng = np.random.default_rng(0)
    table = {"x": rng.random(60), "w": ["a", "b", "c"] * 20}
    table["w"][50] = "d"
    first = np.arange(40)
    want = fitted({"x": table["x"][:40], "w": table["w"][:40]})
    got = fnn.Preprocessing().fit(table, rows=first)
    assert got.describe() == want.describe()
    rows = np.array([50, 3, 59])
    np.testing.assert_array_equal(got.transform(table, rows=rows), got.transform(table)[rows])


def test_large_tables_are_transformed_in_pieces(monkeypatch):
    x = np.random.default_rng(0).random((70, 3))
    x[5, 1] = NAN
    ready, order = fitted(x), np.random.default_rng(1).permutation(70)
    want = ready.transform(x), ready.transform(x, rows=order)
    monkeypatch.setattr(fnn.preprocessing, "_PIECE", 16)
    for got, expected in zip((ready.transform(x), ready.transform(x, rows=order)), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_same_values_of_another_kind_are_understood():
    ready = fitted(
        {"w": ["1", "2", "x", "yes"], "n": [1.0, 2.0, 3.0, 5.0], "b": ["yes", "no", "yes", "no"]}, max_one_hot=4
    )
    want = ready.transform({"w": ["1", "2", "yes"], "n": [1.0, 0.0, 1.0], "b": ["yes", "no", "no"]})
    got = [
        ready.transform({"w": np.array([1, 2]), "n": np.array([True, False]), "b": np.array([1.0, 0.0])}),
        ready.transform({"w": ["yes", "yes"], "n": [1, 0], "b": [True, False]}),
    ]
    np.testing.assert_array_equal(got[0], want[:2])
    np.testing.assert_array_equal(got[1][0, :4], want[2, :4])
    empty = ready.transform({"w": ["", ""], "n": ["", ""], "b": ["", ""]})
    assert np.isfinite(empty).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"n": [1, 2]}, r"the table has no column 'b'; its columns: 'n'"),
        ({"n": ["1", "2,5"], "b": [True, False], "d": ["2024-01-01"] * 2}, "the table, column 'n', row 2: '2,5' but a number was expected"),
        ({"n": [1, 2], "b": ["yes", "maybe"], "d": ["2024-01-01"] * 2}, "the table, column 'b', row 2: 'maybe' but true or false was expected"),
        ({"n": [1, 2], "b": [0, 2], "d": ["2024-01-01"] * 2}, "the table, column 'b', row 2: '2' but 0 or 1 was expected"),
        ({"n": [1, 2], "b": [0, 1], "d": [None, "soon"]}, "the table, column 'd', row 2: 'soon' but a date was expected"),
    ],
)  # fmt: skip
def test_values_of_a_wrong_kind_are_named_by_column_and_row(table, message):
    ready = fitted({"n": [1.0, 2.0], "b": [True, False], "d": ["2024-01-01", "2024-01-02"]})
    hint = "" if "no column" in message else "; leave the cell empty if the value is not known"
    with pytest.raises(ValueError) as caught:
        ready.transform(table)
    assert str(caught.value) == f"transform: {message}{hint}"


def test_a_description_makes_it_again():
    table = {
        "x": [1.0, NAN, 3.5, 9.0], "w": ["a", None, "a", "b"], "m": ["p", "q", "p", "q"], "b": [True, False, None, True],
        "d": ["2024-01-01", "2024-01-02", "2024-01-05", ""],
    }  # fmt: skip
    ready = fitted(table, max_one_hot=1)
    again = Preprocessing.of(json.loads(json.dumps(ready.describe())))
    assert again.layout == ready.layout
    np.testing.assert_array_equal(again.transform(table), ready.transform(table))


def test_arguments_are_checked():
    for options, message in (
        ({"scaling": "none"}, "scaling is 'none' but 'robust' or 'standard' was expected"),
        ({"max_one_hot": -1}, "max_one_hot is -1 but an integer of at least 0 was expected"),
    ):
        with pytest.raises(ValueError, match=f"^Preprocessing: {message}$"):
            fnn.Preprocessing(**options)
    with pytest.raises(RuntimeError, match="^Preprocessing: fit comes first$"):
        fnn.Preprocessing().transform({"a": [1]})
    with pytest.raises(ValueError, match="^Preprocessing: the table has no rows to learn from$"):
        fitted({"a": np.ones(0)})
    assert repr(fnn.Preprocessing()) == "<Preprocessing scaling='robust', max_one_hot=8, not fitted>"
