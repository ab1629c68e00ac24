"""What the gates take and refuse, argument by argument."""

import numpy as np
import pytest

from fastnn import _fastnn_core as core
from fastnn import functional as F


def refused(error, message, call, *arguments, **keywords):
    with pytest.raises(error) as caught:
        call(*arguments, **keywords)
    assert str(caught.value) == message


def test_real_array_brings_a_models_input_to_its_dtype(dtype):
    x = np.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3)
    assert core.real_array(x, dtype, "f", "x") is x
    for given in (x.tolist(), x.astype(np.float64), np.asfortranarray(x), x > 0, np.arange(6, dtype=np.int8)):
        got = core.real_array(given, dtype, "f", "x")
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, np.asarray(given, dtype))
    for given in ("1.5", ["1.5"], [1j], [object()], np.zeros(2, np.longdouble)):
        with pytest.raises(TypeError, match=r"^f: x has dtype .* but a real dtype of at most float64 was expected$"):
            core.real_array(given, dtype, "f", "x")
    refused(TypeError, "f: x is None but an array of real numbers was expected", core.real_array, None, dtype, "f", "x")


def test_a_result_of_more_dimensions_than_numpy_has_is_refused():
    grad, index = np.ones([1] * 64), np.zeros([1] * 64, np.int64)
    refused(ValueError, "maxout_backward: grad has 64 dimensions but at most 63 were expected",
            F.maxout_backward, grad, index, 2)  # fmt: skip
    assert F.maxout_backward(grad[0], index[0], 2).shape == (1,) * 63 + (2,)
    assert F.linear(grad, np.ones((3, 1))).shape == (1,) * 63 + (3,)
    assert F.matmul(grad, np.ones(1)).shape == (1,) * 63
    assert [g.shape for g in F.linear_backward(grad, grad, np.ones((1, 1)))] == [(1,) * 64, (1, 1), (1,)]


def test_indices_beyond_int64_do_not_wrap():
    index = np.array([[0, 1], [2**64 - 1, 0]], np.uint64)
    refused(IndexError, "maxout_backward: index has 18446744073709551615 but a piece in [0, 2) was expected",
            F.maxout_backward, np.ones((2, 2)), index, 2)  # fmt: skip


def test_bool_is_no_integer():
    refused(TypeError, "softmax: axis is True but an integer was expected", F.softmax, np.ones((2, 2)), True)
    refused(TypeError, "dropout: seed is False but an integer was expected", F.dropout, np.ones(2), 0.5, seed=False)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3)])
def test_an_output_whose_elements_share_memory_is_refused(shape, dtype):
    x = np.ones(shape, dtype)
    base = np.zeros(100, dtype)
    step = base.itemsize
    for strides in ([0] * len(shape), [step] * len(shape), [step * 2, step, step][-len(shape) :]):
        out = np.lib.stride_tricks.as_strided(base, shape, strides)
        if strides == [step]:
            F.relu(x, out=out)  # contiguous after all
            continue
        refused(
            ValueError, "relu: elements of out share memory with each other, but out is written", F.relu, x, out=out
        )
    assert not base[3:].any()
    odd = np.lib.stride_tricks.as_strided(base, (2, 3), (3 * step, 2 * step))  # 0 2 4 and 3 5 7: interlaced, yet apart
    assert F.relu(np.ones((2, 3), dtype), out=odd) is odd
    np.testing.assert_array_equal(odd, 1)
