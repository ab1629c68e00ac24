"""Random numbers that are the same on every machine and with every version of NumPy: Philox4x32-10, from the kernel that dropout reads.

Design
A. A stream is (seed, step, layer): the key, and the half of the counter that dropout fills likewise. What the package itself draws has
   numbers of ``layer`` that no layer of a network reaches.
B. Words become numbers by additions, multiplications, divisions and square roots alone, which round alike everywhere; a library's
   logarithm does not.
"""

import math
import os

import numpy as np

from fastnn import _fastnn_core

# ``layer`` of the orders of rows, where ``step`` is the epoch, of initial weights, of generated data sets, and of mixup, where
# ``step`` is the epoch too.
ORDERS, WEIGHTS, DATA, MIXUP = 2**32 - 1, 2**32 - 2, 2**32 - 3, 2**32 - 4

# The inverse of the normal distribution: M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16, to about 1e-16.
# Numerator and denominator, highest power first.
_CENTRAL = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


def _polynomial(coefficients, x):
    value = coefficients[0]
    for c in coefficients[1:]:
        value = value * x + c
    return value


def _ratio(coefficients, x):
    return _polynomial(coefficients[0], x) / _polynomial(coefficients[1], x)


def _log(x):
    """Return the natural logarithm: log(m 2^e) = e log(2) + 2 artanh(s), s = (m - 1) / (m + 1), by the series of artanh."""
    m, e = np.frexp(x)
    low = m < 0.7071067811865476
    m, e = np.where(low, 2 * m, m), e - low
    s = (m - 1) / (m + 1)
    return 0.6931471805599453 * e + 2 * s * _polynomial([1 / n for n in range(21, 0, -2)], s * s)


def normal_quantile(p):
    """Return z with P(Z <= z) = p, for p in (0, 1)."""
    q = p - 0.5
    z = q * _ratio(_CENTRAL, 0.180625 - q * q)
    tail = np.abs(q) > 0.425
    r = np.sqrt(-_log(np.minimum(p[tail], 1 - p[tail])))
    z[tail] = np.copysign(np.where(r <= 5, _ratio(_TAIL, r - 1.6), _ratio(_FAR_TAIL, r - 5)), q[tail])
    return z


def normal_cdf(z):
    """Return p = P(Z <= z) of one number z, that with ``normal_quantile`` z, found by halving [0, 1]; to about 1e-16."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if normal_quantile(np.array([middle]))[0] < z else (low, middle)
    return high


class Philox:
    """Random numbers from a seed, by the names of ``numpy.random.Generator``.

    Parameters
    ----------
    seed : int
        In [0, 2^64).
    step, layer : int
        Which of the seed's streams, each in [0, 2^32).
    """

    def __init__(self, seed, step=0, layer=WEIGHTS):
        self.seed, self.step, self.layer = seed, step, layer
        self._taken = 0  # words

    def __repr__(self):
        return f"Philox(seed={self.seed}, step={self.step}, layer={self.layer})"

    def words(self, n):
        """Return the next n words of 64 random bits, as uint64."""
        first, self._taken = self._taken, self._taken + 2 * n
        halves = _fastnn_core.random_words(2 * n, self.seed, self.step, self.layer, first)  # the lower one first
        return halves.astype("<u4", copy=False).view("<u8").astype(np.uint64, copy=False)

    def _fractions(self, size, bits, offset):
        """Return (i + offset) / 2^bits with random i < 2^bits."""
        shape = () if size is None else size if isinstance(size, tuple) else (size,)
        i = self.words(math.prod(shape)) >> np.uint64(64 - bits)
        return ((i.astype(np.float64) + offset) / 2**bits).reshape(shape)

    def uniform(self, low=0.0, high=1.0, size=None):
        """Draw from [low, high).

        Parameters
        ----------
        low, high : float
        size : int or tuple, optional
            The shape of the result; a number if None.

        Returns
        -------
        ndarray of float64, or float64
        """
        return (low + (high - low) * self._fractions(size, 53, 0.0))[()]

    def standard_normal(self, size=None):
        """Draw from the normal distribution with mean 0 and standard deviation 1.

        Parameters
        ----------
        size : int or tuple, optional
            The shape of the result; a number if None.

        Returns
        -------
        ndarray of float64, or float64
        """
        p = self._fractions(size, 52, 0.5)
        return normal_quantile(p.reshape(-1)).reshape(p.shape)[()]

    def normal(self, loc=0.0, scale=1.0, size=None):
        """Draw from the normal distribution; parameters and result are those of ``standard_normal`` and of ``uniform``."""
        return loc + scale * self.standard_normal(size)

    def _log_gamma(self, shape):
        """Draw the logarithm of a gamma variate: G. Marsaglia and W. W. Tsang, ACM Trans. Math. Softw. 26 (2000)."""
        d = shape + (1 if shape < 1 else 0) - 1 / 3
        while True:
            z = self.standard_normal()
            root = 1 + z / np.sqrt(9 * d)
            if root > 0:
                v = root * root * root
                if _log(1 - self.uniform()) < z * z / 2 + d * (1 - v + _log(v)):
                    break
        smaller = _log(1 - self.uniform()) / shape if shape < 1 else 0.0
        return _log(d * v) + smaller

    def beta(self, a, b):
        """Draw a number from the beta distribution, as a quotient of gamma variates.

        Parameters
        ----------
        a, b : float
            Positive.

        Returns
        -------
        float
        """
        return float(_fastnn_core.activation_forward("sigmoid", self._log_gamma(a) - self._log_gamma(b), {}, None))


def permutation(n, seed, step):
    """Return a random order of n rows.

    Parameters
    ----------
    n : int
    seed, step : int
        As for ``Philox``; each step, such as an epoch, has an order of its own.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    return _fastnn_core.random_order(n, seed, step, ORDERS)


def draw_seed():
    """Return a seed of 32 bits from the operating system, for whoever gave none."""
    return int.from_bytes(os.urandom(4), "little")


def as_generator(rng, func):
    """Return a generator: one that is given, that of a seed, or of a drawn one for None; func makes the message."""
    if isinstance(rng, (Philox, np.random.Generator)):
        return rng
    if rng is None:
        return Philox(draw_seed())
    try:
        if not isinstance(rng, (int, np.integer)) or isinstance(rng, bool):
            return np.random.default_rng(rng)
        if 0 <= rng < 2**64:
            return Philox(int(rng))
        error = ValueError
    except (TypeError, ValueError) as refused:
        error = type(refused)
    raise error(f"{func}: rng is {rng!r} but a numpy.random.Generator or an integer from 0 to {2**64 - 1} was expected")
