/*
 * vmath.inc.h: exp, expm1, log1p and the Gaussian tail in wide lanes.
 *
 * Design
 * A. float32 evaluates here in float64 lanes and rounds once, so short polynomials, to about 2^-32, are enough for
 *    it; float64 uses the full ones. Same expressions, other lists of coefficients. The _full functions take the full
 *    lists in float32 too: a derivative needs them near its root, where terms cancel.
 * B. Coefficients and bounds: docs/numerics/coefficients.sollya. A bound is the relative error of the approximation.
 * C. Arguments are clamped so that every scale factor is a normal number; NaN passes through the clamps and the
 *    polynomial, and a factor made from its bits cannot undo it.
 */

/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2: 2^-57.8 */
static const double exp_full[] = {
    0x1.000000000000ap-1,  0x1.55555555554fep-3,  0x1.55555555506bap-5,  0x1.1111111126b3p-7,   0x1.6c16c18477aefp-10,
    0x1.a01a012ff2942p-13, 0x1.a019995cdc802p-16, 0x1.71df18e254781p-19, 0x1.28adfefa69a53p-22, 0x1.ad9303ff16be2p-26,
};
/* R(a) in t = (a - 4) / (a + 4), 0 <= a <= 38.7: 2^-54.9 */
static const double gauss_full[] = {
    0x1.82b4bb8c94dcep-4,   -0x1.5cf97b0ae882cp-3,  0x1.fd751a1fba3cap-4,   -0x1.25b6aa9658226p-4,
    0x1.f9b05f0efc739p-6,   -0x1.1644dc2f70b03p-7,  0x1.0a1bd417e427p-11,   0x1.4eec24dd2c929p-11,
    -0x1.888dc9b1a19fcp-13, -0x1.7e246b160ec03p-15, 0x1.e0a39ef333a67p-16,  0x1.36d2b4bb91eebp-18,
    -0x1.20cd0a3a5b3a9p-18, -0x1.bd6707fff9687p-21, 0x1.62fe88066cc15p-21,  0x1.bb5a9099a8f66p-23,
    -0x1.91ef79e7ff148p-24, -0x1.cac950575583p-25,  0x1.257e7bf32434fp-27,  0x1.a9baeaee995f2p-27,
    0x1.f07d06e9cc047p-31,  -0x1.33b22321fbd35p-29, -0x1.4ad66ac4a9628p-31, 0x1.f98ae5d2c671ep-33,
    0x1.b592f5e53739ap-34,
};

/* (a cosh(a) - sinh(a)) / a^3 in a^2, |a| <= 1: the Taylor series, 2 n / (2 n + 1)!; what it leaves out is below 2^-55 of it,
 * in float32 below 2^-34 */
#define SINH_DIFFERENCE 1.0 / 3, 1.0 / 30, 1.0 / 840, 1.0 / 45360, 1.0 / 3991680, 1.0 / 518918400, 1.0 / 93405312000
#if FNN_DTYPE == 32
static const double sinh_difference[] = {SINH_DIFFERENCE};
#else
static const double sinh_difference[] = {SINH_DIFFERENCE, 1.0 / 22230464256000, 1.0 / 6758061133824000};
#endif

#if FNN_DTYPE == 32

#define EXP_LOW (-700.0) /* e^-700 rounds to 0 in float32 */
#define GAUSS_LIMIT 15.0 /* x Q(x) and x phi(x) round to 0 in float32 */
/* as exp_full: 2^-34.1 */
static const double exp_short[] = {
    0x1.0000003a23729p-1, 0x1.555554433c112p-3,  0x1.55548dc49e727p-5,
    0x1.111270b30bbf7p-7, 0x1.6d8d06d04ec6cp-10, 0x1.9f089615c6e56p-13,
};
/* as gauss_full for a <= GAUSS_LIMIT: 2^-31.5 */
static const double gauss_short[] = {
    0x1.82b4bb8d22a11p-4,   -0x1.5cf97b1bcb2cap-3,  0x1.fd751a07a64cfp-4,  -0x1.25b6a4917a34cp-4,
    0x1.f9b061426c43ep-6,   -0x1.1647417c44561p-7,  0x1.0a13700f3ee08p-11, 0x1.4fb93b2c86761p-11,
    -0x1.86e908d88286ep-13, -0x1.9ce8cf29eb252p-15, 0x1.ab4cc8aa3a8abp-16, 0x1.0053db1da37c8p-17,
};
/* (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, |s| <= 1 / 3: 2^-33.0 */
static const double log_poly[] = {
    0x1.5555584c24141p-1, 0x1.9996af969d707p-2, 0x1.2508b0f868861p-2, 0x1.b6e6cdab387c4p-3, 0x1.f1733bcf0ccbdp-3,
};

#else

#define EXP_LOW (-760.0) /* even 760 times that is below half the smallest subnormal */
#define GAUSS_LIMIT 38.7
#define exp_short exp_full
#define gauss_short gauss_full
/* as above: 2^-64.5 */
static const double log_poly[] = {
    0x1.5555555555556p-1, 0x1.999999999965fp-2, 0x1.24924924b9d4ap-2, 0x1.c71c71aa00c55p-3,
    0x1.745d1d6175358p-3, 0x1.3b12e56989628p-3, 0x1.11224cf76e132p-3, 0x1.dff6c1a8cccep-4,
    0x1.c0edbcb60d72ep-4, 0x1.2058f04afcecfp-4, 0x1.4fc6686f407f2p-3,
};

#endif

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1); n is a constant where it is called. Horner's scheme in x^2 over pairs of
 * terms: half the latency of the one in x, which is what limits the loops. */
static FNN_INLINE W w_poly(W x, const double *c, int n)
{
    W x2 = w_mul(x, x), sum = n % 2 ? w_set1(c[n - 1]) : w_madd(w_set1(c[n - 1]), x, w_set1(c[n - 2]));
    FNN_UNROLL(16)
    for (int i = (n - n % 2) - (n % 2 ? 2 : 4); i >= 0; i -= 2)
        sum = w_madd(sum, x2, w_madd(w_set1(c[i + 1]), x, w_set1(c[i])));
    return sum;
}
#define W_POLY(x, c) w_poly(x, c, (int)(sizeof(c) / sizeof *(c)))

/* x = n ln(2) + r with |r| <= ln(2) / 2, for |x| < 2^20. For float32 the rounding of ln(2) to float64 does no harm; for
 * float64 it is taken in two parts, the first with 32 bits: n times it is exact. */
static FNN_INLINE W w_reduce_ln2(W x, W *r)
{
    const W shift = w_set1(0x1.8p52); /* adding it rounds to an integer */
    W n = w_sub(w_madd(x, w_set1(0x1.71547652b82fep0), shift), shift);
#if FNN_DTYPE == 32
    *r = w_madd(n, w_set1(-0x1.62e42fefa39efp-1), x);
#else
    *r = w_madd(n, w_set1(-0x1.a39ef35793c76p-33), w_madd(n, w_set1(-0x1.62e42feep-1), x));
#endif
    return n;
}

/* e^r - 1 for |r| <= ln(2) / 2; POLY is exp_short or exp_full */
#define W_EXPM1_REDUCED(r, POLY) w_madd(w_mul(r, r), W_POLY(r, POLY), r)

/* factor (1 + expm1) 2^n */
static FNN_INLINE W w_scale_exp(W factor, W expm1, W n)
{
    W e = w_madd(factor, expm1, factor);
#if FNN_DTYPE == 32
    return w_mul(e, w_pow2(n));
#else
    /* Two steps: the first keeps e normal, the second rounds once to a subnormal. */
    W shift = w_set1(0x1.8p52), half = w_sub(w_madd(n, w_set1(0.5), shift), shift);
    return w_mul(w_mul(e, w_pow2(half)), w_pow2(w_sub(n, half)));
#endif
}

/* e^x for x <= 0; what comes of a positive x is unspecified, and no caller uses it. */
static FNN_INLINE W w_exp(W x)
{
    W r, n = w_reduce_ln2(w_max(w_set1(EXP_LOW), x), &r);
    return w_scale_exp(w_set1(1), W_EXPM1_REDUCED(r, exp_short), n);
}

/* e^x, and factor e^x, which keeps its digits where e^x is subnormal. */
static FNN_INLINE W w_exp_and_times(W x, W factor, W *times)
{
    W r, n = w_reduce_ln2(w_max(w_set1(EXP_LOW), x), &r), expm1 = W_EXPM1_REDUCED(r, exp_short);
    *times = w_scale_exp(factor, expm1, n);
    return w_scale_exp(w_set1(1), expm1, n);
}

static FNN_INLINE W w_exp_full(W x)
{
    W r, n = w_reduce_ln2(w_max(w_set1(EXP_LOW), x), &r);
    return w_scale_exp(w_set1(1), W_EXPM1_REDUCED(r, exp_full), n);
}

/* e^x - 1 for x <= 0, likewise; -0 may become 0. Below -50 the result is -1. */
static FNN_INLINE W w_expm1(W x)
{
    W r, n = w_reduce_ln2(w_max(w_set1(-50), x), &r), scale = w_pow2(n);
    return w_madd(scale, W_EXPM1_REDUCED(r, exp_short), w_sub(scale, w_set1(1)));
}

/* log((1 + s) / (1 - s)) = 2 artanh(s) for |s| <= 1 / 3 */
static FNN_INLINE W w_log_ratio(W s)
{
    W z = w_mul(s, s);
    return w_madd(w_mul(s, z), W_POLY(z, log_poly), w_add(s, s));
}

/* log(1 + u) for 0 <= u <= 1, with s = u / (2 + u) */
static FNN_INLINE W w_log1p_unit(W u) { return w_log_ratio(w_div(u, w_add(w_set1(2), u))); }

/* log(1 + u) = log(f) + c / f for u >= 0, where c is what f = 1 + u lost to rounding: a whole ulp of u where the sum
 * crosses a power of two, so the division matters for large u too. f = 2^e m and s = (m - 1) / (m + 1). */
static FNN_INLINE W w_log1p(W u)
{
    W f = w_add(w_set1(1), u), c = w_sub(u, w_sub(f, w_set1(1)));
    W m, e = w_split_exponent(f, &m);
    W log_m = w_log_ratio(w_div(w_sub(m, w_set1(1)), w_add(m, w_set1(1))));
    W low = w_madd(e, w_set1(0x1.a39ef35793c76p-33), w_add(log_m, w_div(c, f)));
    return w_madd(e, w_set1(0x1.62e42feep-1), low);
}

/* R(a) = Q(a) e^(a^2 / 2) with Q(a) = Phi(-a), for 0 <= a <= GAUSS_LIMIT; by gauss_short or gauss_full */
static FNN_INLINE W w_gauss_tail(W a) { return W_POLY(w_div(w_sub(a, w_set1(4)), w_add(a, w_set1(4))), gauss_short); }
static FNN_INLINE W w_gauss_tail_full(W a)
{
    return W_POLY(w_div(w_sub(a, w_set1(4)), w_add(a, w_set1(4))), gauss_full);
}

/* factor e^(-a^2 / 2). The square of a float32 is exact in float64; for float64 its rounding error is put back. */
static FNN_INLINE W w_gauss_correct(W a, W factor)
{
#if FNN_DTYPE == 64
    W h = w_mul(a, a), low = w_fma(a, a, w_neg(h));
    factor = w_madd(w_mul(w_set1(-0.5), low), factor, factor);
#else
    (void)a;
#endif
    return factor;
}
static FNN_INLINE W w_gauss_times(W a, W factor)
{
    W times;
    w_exp_and_times(w_mul(w_set1(-0.5), w_mul(a, a)), w_gauss_correct(a, factor), &times);
    return times;
}
static FNN_INLINE W w_gauss_times_full(W a, W factor)
{
    return w_mul(w_exp_full(w_mul(w_set1(-0.5), w_mul(a, a))), w_gauss_correct(a, factor));
}
