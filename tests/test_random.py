"""Random numbers: known words, NumPy's names, distributions, and that nothing of NumPy's streams is left."""

import re
import statistics
from pathlib import Path

import mpmath
import numpy as np
import pytest

import fastnn as fnn
from fastnn import _fastnn_core as core
from fastnn import functional as F
from fastnn import random
from fastnn.random import ORDERS, WEIGHTS, Philox, _log, normal_quantile, permutation


def _philox(block, step, layer, seed):
    """Philox4x32-10 in Python's integers."""
    c, key = [block % 2**32, block >> 32, step, layer], [seed % 2**32, seed >> 32]
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [second >> 32 ^ c[1] ^ key[0], second % 2**32, first >> 32 ^ c[3] ^ key[1], first % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return c


def test_words_are_those_of_philox(isa):
    known = [
        0x6627E8D5,
        0xE169C58D,
        0xBC57AC4C,
        0x9B00DBD8,
    ]  # Random123's answer (Salmon et al.) for a key and counter of zeros
    np.testing.assert_array_equal(core.random_words(4, 0, 0, 0, 0), known)
    for block, step, layer, seed in (
        (0, 0, 0, 0),
        (1, 2, 3, 2**64 - 5),
        (0xA4B9C4D1, 2**32 - 1, 9, 5),
        (2**40 + 3, 0, 2**31, 7),
    ):
        np.testing.assert_array_equal(
            core.random_words(4, seed, step, layer, 4 * block), _philox(block, step, layer, seed)
        )


def test_words_are_a_stream_that_may_be_read_in_parts(isa):
    whole = core.random_words(1000, 3, 4, 5, 0)
    for first, n in ((0, 1), (1, 3), (63, 2), (64, 64), (700, 300), (5, 0)):
        np.testing.assert_array_equal(core.random_words(n, 3, 4, 5, first), whole[first : first + n])
    assert (
        len({core.random_words(2, *stream, 0).tobytes() for stream in ((3, 4, 5), (4, 4, 5), (3, 5, 5), (3, 4, 6))})
        == 4
    )


def test_dropout_reads_these_words(isa, dtype):
    kept = F.dropout(np.ones(1000, dtype), 0.25, seed=3, step=4) != 0
    np.testing.assert_array_equal(kept, core.random_words(1000, 3, 4, 0, 0) >= 2**30)


def test_a_word_is_two_halves_lower_first_and_the_next_call_goes_on():
    halves = core.random_words(12, 7, 1, 2, 0).astype(object)
    stream = Philox(7, 1, 2)
    np.testing.assert_array_equal(
        np.concatenate([stream.words(2), stream.words(4)]), halves[::2] + halves[1::2] * 2**32
    )
    assert repr(stream) == "Philox(seed=7, step=1, layer=2)"


def test_uniform_and_normal_have_the_shapes_of_numpy():
    for name, arguments in (("uniform", (-1, 1)), ("normal", (0, 1)), ("standard_normal", ())):
        for size in (None, 3, (2, 3), (0, 3), ()):
            ours, numpys = (getattr(rng, name)(*arguments, size) for rng in (Philox(0), np.random.default_rng(0)))
            assert np.shape(ours) == np.shape(numpys)
            assert ours.dtype == np.float64


def test_uniform_fills_its_interval_evenly():
    x = Philox(1).uniform(-3, 5, 100000)
    assert -3 <= x.min() < -2.999
    assert 4.999 < x.max() < 5
    np.testing.assert_allclose(np.histogram(x, 10)[0], 10000, atol=400)  # 4 standard deviations
    np.testing.assert_array_equal(Philox(1).uniform(size=9), (Philox(1).words(9) >> np.uint64(11)) / 2.0**53)


def test_the_quantile_of_the_normal_distribution_is_exact_to_a_few_ulp():
    p = np.concatenate([np.linspace(0.001, 0.999, 500), 10.0 ** -np.arange(3, 17), 1 - 10.0 ** -np.arange(3, 15)])
    with mpmath.workdps(60):
        want = [float(mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(v) - 1)) for v in p]
    np.testing.assert_allclose(normal_quantile(p.copy()), want, rtol=2e-15, atol=1e-16)
    x = np.concatenate([p, [2.0**-53, 0.5, 0.7071067811865475, 0.7071067811865477]])
    np.testing.assert_allclose(_log(x), [float(mpmath.log(mpmath.mpf(v))) for v in x], rtol=1e-15)


def test_normal_numbers_are_normal():
    x = Philox(2).normal(3, 2, 100000)
    want = statistics.NormalDist(3, 2)
    edges = np.array([want.inv_cdf(i / 10) for i in range(1, 10)])
    np.testing.assert_allclose(np.bincount(np.searchsorted(edges, x)), 10000, atol=400)
    np.testing.assert_array_equal(x, 3 + 2 * Philox(2).standard_normal(100000))
    np.testing.assert_array_equal(Philox(2).normal(size=5), Philox(2).standard_normal(5))
    assert 4 < abs((x - 3) / 2).max() < 6


@pytest.mark.parametrize("n", [0, 1, 2, 3, 511, 512, 513, 5000])
def test_a_permutation_holds_every_row_once(n):
    order = permutation(n, 3, 4)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, permutation(n, 3, 4))


def test_a_permutation_is_the_shuffle_by_philox():
    words, order = Philox(3, 4, ORDERS).words(700), []
    for i, word in enumerate(words.tolist()):  # row i changes places with one of the rows up to itself
        order.append(i)
        j = word * (i + 1) >> 64
        order[i], order[j] = order[j], i
    np.testing.assert_array_equal(permutation(700, 3, 4), order)


def test_every_permutation_is_as_likely():
    codes = [tuple(permutation(4, seed, 0)) for seed in range(12000)]
    counts = [codes.count(code) for code in set(codes)]
    assert len(counts) == 24
    np.testing.assert_allclose(counts, 500, atol=100)  # 4.6 standard deviations


def test_the_words_do_not_depend_on_the_isa():
    before, drawn = core.isa(), set()
    for name in core.available_isas():
        core._use_isa(name)
        drawn.add((permutation(600, 1, 2).tobytes(), Philox(1).standard_normal(600).tobytes()))
    core._use_isa(before)
    assert len(drawn) == 1


def test_a_seed_gives_the_weights_of_its_stream():
    layer, stream = fnn.Linear(3, 2, rng=5), Philox(5, 0, WEIGHTS)
    bound = 1 / np.sqrt(3)
    np.testing.assert_array_equal(layer.weight, stream.uniform(-bound, bound, (2, 3)).astype(np.float32))
    np.testing.assert_array_equal(layer.bias, stream.uniform(-bound, bound, (2, 3))[:, 0].astype(np.float32))
    np.testing.assert_array_equal(fnn.MLP([3, 2], seed=5)[0].weight, layer.weight)
    assert (fnn.Linear(3, 2).weight != fnn.Linear(3, 2).weight).all()


def test_rng_takes_generators_as_they_are_and_init_functions_draw_from_either():
    def init(shape, rng):
        return rng.standard_normal(shape)

    for make in (np.random.default_rng, Philox):
        np.testing.assert_array_equal(
            fnn.Linear(3, 2, init=init, rng=make(1)).weight, make(1).standard_normal((2, 3)).astype(np.float32)
        )
    sequence = np.random.SeedSequence(4)
    want = np.random.default_rng(np.random.SeedSequence(4)).standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(fnn.Linear(3, 2, init=init, rng=sequence).weight, want)
    assert fnn.Linear(3, 2, rng=2**64 - 1).weight.all()


@pytest.mark.parametrize(("rng", "error"), [(2**64, ValueError), (-1, ValueError), ("x", TypeError), (1.5, TypeError)])
def test_what_rng_is_refused(rng, error):
    with pytest.raises(error) as caught:
        fnn.Linear(3, 2, rng=rng)
    expected = "a numpy.random.Generator or an integer from 0 to 18446744073709551615 was expected"
    assert str(caught.value) == f"Linear: rng is {rng!r} but {expected}"


def test_a_seed_needs_nothing_of_numpys_random_numbers(monkeypatch):
    for name in ("default_rng", "Generator", "Philox", "permutation"):
        monkeypatch.setattr(np.random, name, None)
    model = fnn.MLP([4, 8, 3], dropout=0.5, seed=1)
    x, y = np.arange(40.0).reshape(10, 4) / 40, np.arange(10) % 3
    fnn.Trainer(model, "cross_entropy", seed=2).fit(x, y, epochs=2, verbose=False)


@pytest.mark.parametrize(
    "source", sorted((Path(__file__).parents[1] / "csrc").glob("*.[ch]")), ids=lambda path: path.name
)
def test_no_kernel_asks_the_c_library_for_a_last_bit(source):
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", source.read_text(), flags=re.S)
    inexact = "exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|tan|sinh|cosh|tanh|asinh|acosh|atanh|erf|erfc|cbrt|hypot|tgamma|lgamma"
    assert not re.findall(rf"\b(?:{inexact})[fl]?\(", code)


def test_a_drawn_seed_has_32_bits_of_the_operating_system(monkeypatch):
    monkeypatch.setattr(random.os, "urandom", lambda n: bytes(range(1, n)) + b"\xff")
    assert random.draw_seed() == 0xFF030201
