"""The tables of csrc/piecewise.inc.h and their errors.  Run: python docs/numerics/piecewise.py (mpmath, NumPy)

A function of a >= 0 is cut into eight intervals, half octaves of t = scale a + 3/4 (struct piece in csrc/piecewise.inc.h), and is on each
of them f(c) + r P(r) with r = a - c. The centre c is taken near where it is wanted, such that f(c) is a float32 but for 2^-9 ulp (Gal,
"Computing elementary functions", 1986), so that f(c) needs no low part. P is a least-squares fit of the relative error of f at Chebyshev
nodes, its coefficients rounded to float32 one after the other: later ones make up for what earlier ones lost. The conditions that the C
code relies on are asserted.
"""

import re

import mpmath as mp
import numpy as np

mp.mp.dps = 50
EDGES = [0.75, 1, 1.5, 2, 3, 4, 6, 8, 12]  # of t
FIRST = 5  # bits 22 to 24 of the float32 3/4: where the first interval stands in a table
BITS = 20  # of a centre, so that r is exact
NODES = 48


def float32(x):
    return mp.mpf(float(np.float32(float(x))))


def ulp(x):
    """The unit in the last place of float32 at x."""
    return mp.ldexp(1, int(mp.floor(mp.log(abs(x), 2))) - 23)


def coarse(x):
    """The nearest multiple of 2^-BITS."""
    return mp.nint(mp.ldexp(x, BITS)) / 2**BITS


def centre_near(f, wanted, direction, rounded=float32):
    """The first c from `wanted` on, of BITS bits, whose f(c) is within 2^-9 ulp of a float32, or of what else `rounded` gives; c and that."""
    step = direction * ulp(wanted) * 2 ** (24 - BITS)
    c = mp.nint(wanted / step) * step
    while abs(f(c) - rounded(f(c))) > mp.ldexp(ulp(f(c)), -9):
        c += step
    return c, rounded(f(c))


def is_exact(c, low, high):
    """Whether a - c is a float32 for every float32 a between low and high."""
    if c == 0:
        return True
    grid, a = ulp(c), low
    while mp.fmod(c, 2 * grid) == 0:
        grid *= 2
    while a < high:  # one binade after the other
        end = min(high, ulp(a) * 2**24)
        if max(abs(a - c), abs(end - c)) > 2**24 * min(ulp(a), grid):
            return False
        a = end
    return True


def chebyshev(low, high):
    return [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * NODES)) for i in range(NODES)]


def fit(p, weight, nodes, terms, known=()):
    """Coefficients of P, lowest degree first: the known ones, and those of a least-squares fit of weight(r) (P(r) - p(r))."""
    left, rounded = [p(r) for r in nodes], []
    weights = [weight(r) for r in nodes]
    for j in range(terms):
        if j < len(known):
            rounded.append(mp.mpf(known[j]))
        else:
            powers = mp.matrix([[w * r**k for k in range(j, terms)] for r, w in zip(nodes, weights, strict=True)])
            wanted = mp.matrix([w * rest for rest, w in zip(left, weights, strict=True)])
            rounded.append(float32(mp.lu_solve(powers.T * powers, powers.T * wanted)[0]))
        left = [rest - rounded[j] * r**j for r, rest in zip(nodes, left, strict=True)]
    return rounded


def approximate(f, base, c, low, high, terms, known=()):
    """The coefficients of P in f(c + r) = base(c + r) + r P(r), and the relative error of that."""
    widened = (high - low) * mp.mpf("1e-5")  # t is rounded
    nodes = chebyshev(low - c - (widened if c else 0), high - c + widened)
    poly = fit(lambda r: (f(c + r) - base(c + r)) / r, lambda r: r / f(c + r), nodes, terms, known)
    grid = [low - c + (high - low) * (i + mp.mpf(0.5)) / 200 for i in range(200)]
    return poly, max(abs((base(c + r) + r * mp.polyval(poly[::-1], r)) / f(c + r) - 1) for r in grid)


def edges(limit):
    """The scale, and the ends of the intervals of a; the last is `limit`."""
    scale = float32((EDGES[-1] - EDGES[0]) / limit * (1 - mp.mpf("1e-6")))
    assert scale * limit + EDGES[0] < EDGES[-1] - mp.mpf(2) ** -19, "the limit is in the last interval"
    return scale, [(mp.mpf(t) - EDGES[0]) / scale for t in EDGES]


def literal(x):
    """A float32 in C."""
    return re.sub(r"\.?0*p", "p", float(x).hex()) + "f"


def table(entries):
    """A line of C, the entries in the order of the index."""
    entries = list(entries)
    return "{" + ", ".join(map(literal, entries[-FIRST:] + entries[:-FIRST])) + "}"


def show(name, limit, scale, centres, values, polys, errors):
    print(f"/* {name}: 2^{float(mp.log(max(errors), 2)):.1f} */")
    print(f"#define {name.upper()}_LIMIT {literal(limit)}\n#define {name.upper()}_SCALE {literal(scale)}")
    print(f"static const T {name}_centre[8] = {table(centres)};\nstatic const T {name}_value[8] = {table(values)};")
    print(f"static const T {name}_poly[][8] = {{" + ", ".join(table(c) for c in zip(*polys, strict=True)) + "};")


def tanh(terms=7):
    """From 9.011 on it rounds to 1. In the first interval f is a + a P(a), a rounding instead of two: its value is 1, and the C code takes
    the lesser of a and the value. Where tanh increases by less than an ulp from one float32 to the next, the roundings of r P must
    not undo that: a centre stands in the middle, and in the last three intervals at the far end, so that r P shrinks as the slope does.
    """
    limit = float32(9.02)
    scale, ends = edges(limit)
    centres, values, polys, errors = [mp.mpf(0)], [mp.mpf(1)], [], []
    for i in range(8):
        low, high = ends[i], ends[i + 1]
        if i > 0:
            wanted = low if i < 3 else (low + high) / 2 if i < 5 else high
            c, value = centre_near(mp.tanh, wanted, 1 if i < 5 else -1)
            assert is_exact(c, low, high)
            assert value <= float32(low) * (1 - mp.mpf(2) ** -20)
            centres.append(c)
            values.append(value)
        base = (lambda a: a) if i == 0 else lambda a, value=value: value
        poly, error = approximate(mp.tanh, base, centres[i], low, high, terms, (0, 0) if i == 0 else ())
        polys.append(poly)
        errors.append(error)
    show("tanh", limit, scale, centres, values, polys, errors)


def gauss_tail(a):
    """Q(a) e^(a^2 / 2), Q the tail of the normal distribution."""
    return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2)


GELU_ROOT = mp.findroot(lambda x: mp.ncdf(x) + x * mp.npdf(x), mp.mpf(-0.7518))


def gelu_slope(root):
    """gelu'(-a) e^(a^2 / 2) / (root - a), given an approximate root or the root."""
    return lambda a: (gauss_tail(a) - a / mp.sqrt(2 * mp.pi)) / (root - a)


def factor(name, functions, limit, terms, places=None, fine=8):
    """A positive function, for each interval one. Centres are in the middle, where r P(r) is small beside f(c), and both are a pair; some
    have places of their own, where an ulp is small beside what f is a factor of. After the first `fine` intervals f(c) is a multiple of
    2^-BITS, so that a - f(c) is exact.
    """
    limit = float32(limit)
    scale, ends = edges(limit)
    centres, values, polys, errors = [], [], [], []
    for i, (f, low, high) in enumerate(zip(functions, ends, ends[1:], strict=False)):
        wanted = low + (high - low) * mp.mpf((places or {}).get(i, 0.5))
        c, value = centre_near(f, wanted, 1, float32 if i < fine else coarse)
        assert is_exact(c, low or c / 2, high), "but for the smallest a, where r loses 2^-28 at most"
        poly, error = approximate(f, lambda a, value=value: value, c, low, high, terms)
        for each, one in zip((centres, values, polys, errors), (c, value, poly, error), strict=True):
            each.append(one)
    show(name, limit, scale, centres, values, polys, errors)


def show_roots(name, roots, rest):
    print(f"static const T {name}_root[8] = {table(roots)};\n#define {name.upper()}_ROOT_REST ({literal(rest)})")


def gelu():
    """Both are e^(-a^2 / 2) times a function; their limits are where they round to 0."""
    # a Q(a) is nearly constant beyond the second interval, where a factor 1 / 2 stands for a: the lesser of a and `most`.
    factor("gelu", [gauss_tail] * 2 + [lambda a: 2 * a * gauss_tail(a)] * 6, 14.36, 7)
    print(f"static const T gelu_most[8] = {table([mp.mpf(16)] * 2 + [mp.mpf(0.5)] * 6)};")
    # root - a is exact but for what (root - (root - a)) - a gives: to 24 bits where a may be below it or near, else to 2^-20.
    near, far = float32(-GELU_ROOT), mp.nint(-GELU_ROOT * 2**20) / 2**20
    roots, rest = [near] * 2 + [far] * 6, float32(-GELU_ROOT - near)
    factor("gelu_dx", [gelu_slope(-GELU_ROOT)] * 2 + [gelu_slope(root + rest) for root in roots[2:]], 14.55, 7)
    show_roots("gelu_dx", roots, rest)


SILU_ROOT = mp.findroot(lambda a: 1 + mp.exp(-a) - a, mp.mpf("1.278"))


def silu_slope(root):
    """silu'(-a) e^a / (root - a)."""
    return lambda a: (1 + mp.exp(-a) - a) / ((1 + mp.exp(-a)) ** 2 * (root - a))


def silu():
    """The derivative is e^-a (root - a) times a function, which from the limit on is 1 if the root is taken for 1."""
    near, far = float32(SILU_ROOT), mp.nint(SILU_ROOT * 2**20) / 2**20  # exact below twice the root, and from there on
    roots, rest = [near] * 3 + [far] * 4 + [mp.mpf(1)], float32(SILU_ROOT - near)
    slopes = [silu_slope(SILU_ROOT)] * 3 + [silu_slope(far + rest)] * 4 + [silu_slope(mp.mpf(1))]
    factor("silu_dx", slopes, 19, 8, places={0: 0.3})
    show_roots("silu_dx", roots, rest)


def tanhshrink():
    """Near 0 a - tanh(a) is a^3 times a function, and tanh(a)^2 is a^2 times one; elsewhere the one needs tanh(a), the other is taken as it
    is. Both are constant from their limits on.
    """
    cubic, squared = lambda a: (a - mp.tanh(a)) / a**3, lambda a: (mp.tanh(a) / a) ** 2
    factor("tanhshrink", [cubic] * 3 + [mp.tanh] * 5, 12, 8, places={2: 0.8}, fine=3)
    factor("tanhshrink_dx", [squared] * 3 + [lambda a: mp.tanh(a) ** 2] * 5, 9.5, 8)


if __name__ == "__main__":
    tanh()
    gelu()
    silu()
    tanhshrink()
