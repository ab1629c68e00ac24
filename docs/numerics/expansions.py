"""The expansions of csrc/expansions.inc.h, near a root or near 0, and their errors.  Run: python docs/numerics/expansions.py (mpmath)

Each is a least-squares fit of the relative error at Chebyshev nodes, close to the best polynomial of its degree, computed with 100
digits; the error is relative to the function, over 400 points of the interval (rounding in the evaluation comes on top).
"""

import mpmath as mp

mp.mp.dps = 100


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def gated_derivative(x, u, du):
    """(x sigmoid(u))' where u is a function of x."""
    s = sigmoid(u)
    return s + x * du * s * (1 - s)


def silu(x):
    return gated_derivative(x, x, 1)


def gelu(x):
    return mp.ncdf(x) + x * mp.npdf(x)


def gelu_tanh(x):
    c, d = 2 * mp.sqrt(2 / mp.pi), 2 * mp.sqrt(2 / mp.pi) * mp.mpf("0.044715")
    return gated_derivative(x, x * (c + d * x * x), c + 3 * d * x * x)


def mish(x):
    t = mp.tanh(mp.log1p(mp.exp(x)))
    return t + x * sigmoid(x) * (1 - t * t)


def gauss(t):
    """Q(a) e^(a^2 / 2) where t = (a - 4) / (a + 4); Q is the tail of the normal distribution."""
    a = 4 * (1 + t) / (1 - t)
    return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2)


def gelu_slope(root):
    """gelu'(-a) e^(a^2 / 2) / (-a - root) where t = a / (a + 4) - 1 / 2."""

    def slope(t):
        a = 4 / (mp.mpf(0.5) - t) - 4
        return gelu(-a) * mp.exp(a * a / 2) / (-a - root)

    return slope


def shrink(s):
    """(x - tanh(x)) / x^3 where s = x^2."""
    x = mp.sqrt(s)
    return (x - mp.tanh(x)) / x**3


def fit(f, low, high, terms, pairs):
    """Coefficients of a polynomial, lowest degree first, rounded to float64 one after the other: later ones make up for what
    earlier ones lost; and the rests of the first `pairs`.
    """
    middle, half = (mp.mpf(low) + high) / 2, (mp.mpf(high) - low) / 2
    nodes = [middle + half * mp.cos(mp.pi * (2 * i + 1) / 200) for i in range(100)]
    left, rounded, rests = [f(t) for t in nodes], [], []
    values = list(left)
    for j in range(terms):
        powers = mp.matrix([[t**k / v for k in range(j, terms)] for t, v in zip(nodes, values, strict=True)])
        wanted = mp.matrix([rest / v for rest, v in zip(left, values, strict=True)])
        best = mp.lu_solve(powers.T * powers, powers.T * wanted)[0]
        rounded.append(mp.mpf(float(best)))
        rests.append(mp.mpf(float(best - rounded[j])) if j < pairs else 0)
        left = [rest - (rounded[j] + rests[j]) * t**j for t, rest in zip(nodes, left, strict=True)]
    return rounded, rests


def show(name, f, low, high, terms, pairs=2):
    """Print a polynomial and its error."""
    rounded, rests = fit(f, low, high, terms, pairs)
    points = [low + (mp.mpf(high) - low) * (i + mp.mpf(0.5)) / 400 for i in range(400)]
    exact = [c + r for c, r in zip(rounded, rests, strict=True)]
    error = max(abs(mp.polyval(exact[::-1], t) / f(t) - 1) for t in points)
    print(f"/* {name}: 2^{float(mp.log(error, 2)):.1f} */")
    print("    rests: " + ", ".join(float(c).hex() for c in rests[:pairs]))
    print("    " + ", ".join(float(c).hex() for c in rounded))


def main():
    for name, f, guess, terms in [
        ("silu", silu, -1.278, 15),
        ("gelu", gelu, -0.7518, None),
        ("gelu_tanh", gelu_tanh, -0.7525, 18),
        ("mish", mish, -1.192, 17),
    ]:
        half, root = mp.mpf(0.375), mp.findroot(f, mp.mpf(guess))
        high = mp.mpf(float(root))
        print(f"root of {name}': {float(high).hex()} and {float(root - high).hex()}")
        if terms:
            show(f"{name}'", lambda t, f=f, root=root: f(root + t) / t, -half, half, terms)
    top, root = mp.mpf("38.7"), mp.findroot(gelu, mp.mpf(-0.7518))
    show("gelu' float64", gelu_slope(root), -0.5, mp.mpf(0.5) - 4 / (top + 4), 23, 2)
    show("Q(a) e^(a^2 / 2) float64", gauss, -1, (top - 4) / (top + 4), 25, 7)
    show("(x - tanh(x)) / x^3 in x^2", shrink, 0, 1, 17)


if __name__ == "__main__":
    main()
