"""Arrays that overlap: random calls of every function with `out=` or arrays updated in place, all views of one buffer.

    make alias ROUNDS=100000 [SEED=0]

SEED is that of the first round; the next rounds count on from it.

Each round must give, bit by bit, what the call gives on copies, and write nothing but its outputs; or it is refused with a
ValueError and has changed nothing, which is right only where arrays that it updates share memory. Exits with 1 at the first
round that does neither, and says how to repeat it.
"""

import sys
from collections import Counter
from functools import cache

import numpy as np
from calls import calls

from fastnn import _fastnn_core as core
from fastnn import functional as F

BUFFER = 1 << 14  # bytes: room for the largest array at the largest offset and step
LARGEST = 12  # rows and columns


@cache
def table(dtype, rows, columns):
    """Return the calls of the table that write into an array of the caller: activations, which share their code, and others."""
    every = calls(dtype, np.random.default_rng(0), rows, columns)
    every = [call for call in every if call.takes_out or call.in_place]
    names = {f"{name}{suffix}" for name in F.activations() for suffix in ("", "_backward")}
    return [[call for call in every if (call.function in names) == activations] for activations in (True, False)]


class Place:
    """A way to lay an array of `shape` and `dtype` into a buffer; the same place in any buffer."""

    def __init__(self, rng, shape, dtype, origin, aligned=False):
        self.shape, self.dtype = shape, np.dtype(dtype)
        item = self.dtype.itemsize
        shift = rng.choice([0, 0, 1, 2, 3, 7, 16]) * item + (
            rng.integers(1, item) if rng.random() < 0.05 and not aligned else 0
        )
        self.start = origin + int(shift)
        self.form = rng.choice(["plain", "plain", "plain", "reversed", "transposed", "every second", "wide rows"])

    def view(self, buffer):
        shape, step = self.shape, 2 if self.form == "every second" else 1
        wide = (*shape[:-1], shape[-1] + 1) if self.form == "wide rows" else shape
        count = int(np.prod(wide)) * step
        flat = buffer[self.start : self.start + count * self.dtype.itemsize].view(self.dtype)[::step]
        if self.form == "transposed":
            return flat.reshape(shape[::-1]).T
        if self.form == "reversed":
            return flat[::-1].reshape(shape)
        return flat.reshape(wide)[..., : shape[-1]]


def pick(rng, dtype):
    """Return a random call, a place of each of its arrays and a buffer that holds valid values for them."""
    candidates = table(dtype, int(rng.integers(1, LARGEST + 1)), int(rng.integers(1, LARGEST + 1)))[rng.random() < 0.8]
    call = candidates[rng.integers(len(candidates))]
    origin = int(rng.integers(0, 8)) * 8
    places = {}
    for name, a in call.arrays.items():
        kind = a.dtype
        if kind == dtype and name not in call.in_place and call.numbers == "any" and rng.random() < 0.1:
            kind = np.float64 if dtype is np.float32 else np.float32
        places[name] = Place(rng, a.shape, kind, origin, aligned=call.numbers != "any")
    count = BUFFER // np.dtype(dtype).itemsize
    values = rng.uniform(0.1, 0.9, count)
    if call.numbers == "signs":
        values = rng.choice([-1.0, 1.0], count)
    if call.numbers == "any":
        values *= rng.choice([1, 1, 1, -1], count)
    buffer = values.astype(dtype).view(np.uint8)
    for name, a in call.arrays.items():
        if a.dtype.kind == "i":  # last, so that they are labels whatever lies upon them
            np.copyto(places[name].view(buffer), a)
    return call, places, buffer, origin


def one_round(number):
    """Make one call; return (what was done, what is wrong or None)."""
    rng = np.random.default_rng(number)
    core._use_isa(str(rng.choice(core.available_isas())))
    call, places, buffer, origin = pick(rng, (np.float32, np.float64)[rng.integers(2)])
    arrays = {name: place.view(buffer) for name, place in places.items()}
    want = call.run({name: a.copy() for name, a in arrays.items()})
    position = "with_grad" in call.function  # a loss comes before its gradient
    written, keywords = {name: places[name] for name in call.in_place}, {}
    if call.takes_out:
        written["out"] = Place(rng, want[position].shape, want[position].dtype, origin)
        keywords["out"] = written["out"].view(buffer)
    before = buffer.copy()
    what = f"{call.id} {' '.join(f'{name}:{p.form}@{p.start}' for name, p in (places | written).items())}"
    try:
        got = [a.copy() for a in call.run(arrays, **keywords)]
    except ValueError as error:
        every = arrays | keywords
        shared = any(np.shares_memory(every[a], every[b]) for a in call.in_place for b in every if a != b)
        if not shared:
            return what, f"refused without a cause: {error}"
        return what, None if np.array_equal(buffer, before) else f"changed arrays although it was refused: {error}"
    if not all(np.array_equal(g, w, equal_nan=True) for g, w in zip(got, want, strict=True)):
        return what, "differs from the call on copies"
    results = got[len(got) - len(call.in_place) :] + [got[position]] * call.takes_out
    for place, result in zip(written.values(), results, strict=True):
        np.copyto(place.view(before), result)
    return what, None if np.array_equal(buffer, before) else "wrote beyond its output"


def main(rounds, seed=0):
    """Run the rounds of seeds `seed`, `seed` + 1, ...; return the exit status."""
    done, isa = Counter(), core.isa()
    try:
        with np.errstate(all="ignore"):  # views of another dtype hold any bits
            for number in range(seed, seed + rounds):
                what, wrong = one_round(number)
                done[what.split("-")[0].split(" ")[0]] += 1
                if wrong:
                    print(f"round {number}: {what}\n{wrong}; repeat with: make alias ROUNDS=1 SEED={number}")
                    return 1
    finally:
        core._use_isa(isa)
    print(f"{rounds} rounds of {len(done)} functions: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
