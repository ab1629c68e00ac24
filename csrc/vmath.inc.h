/*
 * vmath.inc.h: exp, expm1, log1p and the Gaussian tail, for the expressions of activations.h and for softmax.
 *
 * Design
 * A. Two ways to an error well below one ulp. In lanes of T, with pairs hi + lo for whatever a rounding would spoil: most
 *    activations, in float32 twice as fast as the other. Or in wide lanes: float32 is evaluated in float64 and
 *    rounded once, so short polynomials, to about 2^-32, are enough for it; where terms cancel, near the root of a
 *    derivative, the _full functions take the long ones. float64 has no wider lanes.
 * B. Coefficients and bounds: docs/numerics/coefficients.sollya. A bound is the relative error of the approximation,
 *    unless it says "within".
 * C. Arguments are clamped so that every scale factor is a normal number; NaN passes through the clamps and the
 *    polynomial, and a factor made from its bits cannot undo it.
 * D. What limits the lanes of T is the latency of a chain of operations times their number: hence polynomials in groups,
 *    and sums that do not wait for one another.
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

#define LN2_HIGH 0x1.62e4p-1f /* 16 bits: times k it is exact */
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_LOWEST (-110) /* 110 e^-110 rounds to 0 */
#define EXP_SCALE 40
#define EXP_DOWN 0x1p-40f
#define LARGEST 0x1.fffffep127f
#define SATURATED 20 /* 1 + e^-x and tanh(x / 2) round to 1 */
/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2: 2^-28.1 */
static const float exp_poly[] = {0x1.fffffap-2f, 0x1.555492p-3f, 0x1.555a26p-5f, 0x1.12398p-7f, 0x1.694ca6p-10f};
/* (log(1 + u) - u) / u^2, 0 <= u <= e^-1: within 2^-27.76 */
static const float log1p_poly[] = {
    -0x1p-1f, 0x1.555522p-2f, -0x1.ffe9fep-3f, 0x1.980244p-3f, -0x1.477c2p-3f, 0x1.c98aa2p-4f, -0x1.79e46ep-5f,
};
/* log(cosh(z / 2)) / z^2 in z^2, |z| <= 1: within 2^-31.56 */
static const float log_cosh_poly[] = {
    0x1p-3f, -0x1.55552ap-8f, 0x1.6bfc0cp-12f, -0x1.b4f17cp-16f, 0x1.d63374p-20f,
};
#define LN2_NEAREST 0x1.62e43p-1f
#define LN2_REST -0x1.05c61p-29f

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

#define LN2_HIGH 0x1.62e42feep-1 /* 32 bits */
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_LOWEST (-760)
#define EXP_SCALE 100
#define EXP_DOWN 0x1p-100
#define LARGEST 0x1.fffffffffffffp1023
#define SATURATED 40
#define exp_poly exp_full
/* as above: within 2^-58.10 */
static const double log1p_poly[] = {
    -0x1p-1,
    0x1.5555555555528p-2,
    -0x1.fffffffffa81ap-3,
    0x1.99999997b83c6p-3,
    -0x1.55555501a6883p-3,
    0x1.2492407ac2db8p-3,
    -0x1.fffed5531019p-4,
    0x1.c70ea397e3dbdp-4,
    -0x1.9925976c6ad7bp-4,
    0x1.719a489b91037p-4,
    -0x1.48ffff0f08c2dp-4,
    0x1.1287fc7fdb1f3p-4,
    -0x1.852d537d0e5fcp-5,
    0x1.8c8c95cda4b09p-6,
    -0x1.9f9eea91d3355p-8,
};
/* as above: within 2^-59.33 */
static const double log_cosh_poly[] = {
    0x1p-3,
    -0x1.555555555548dp-8,
    0x1.6c16c16bf77ccp-12,
    -0x1.ba1ba19f0a70ap-16,
    0x1.1ea5cdd734be5p-19,
    -0x1.833c36ff7bf13p-23,
    0x1.0cf10a153c4d5p-26,
    -0x1.7b3c314162f7p-30,
    0x1.01b7860d677edp-33,
    -0x1.020eedd191e2cp-37,
};
#define LN2_NEAREST 0x1.62e42fefa39efp-1
#define LN2_REST 0x1.abc9e3b39803fp-56

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

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1), n >= 2 and a constant where it is called. Horner's scheme in x^4 over groups
 * of four terms: latency is what limits the loops. */
#define POLYNOMIAL(name, LANES, NUMBER, set1, mul, madd)                                                               \
    static FNN_INLINE LANES name##_group(LANES x, LANES x2, const NUMBER *c, int n)                                    \
    {                                                                                                                  \
        LANES low = n > 1 ? madd(set1(c[1]), x, set1(c[0])) : set1(c[0]);                                              \
        if (n == 3) return madd(set1(c[2]), x2, low);                                                                  \
        return n > 3 ? madd(madd(set1(c[3]), x, set1(c[2])), x2, low) : low;                                           \
    }                                                                                                                  \
    static FNN_INLINE LANES name(LANES x, const NUMBER *c, int n)                                                      \
    {                                                                                                                  \
        int last = (n - 1) / 4 * 4;                                                                                    \
        LANES x2 = mul(x, x), sum = name##_group(x, x2, c + last, n - last);                                           \
        if (n <= 4) return sum;                                                                                        \
        if (n == 5) return madd(madd(set1(c[4]), x2, madd(set1(c[3]), x, set1(c[2]))), x2, name##_group(x, x2, c, 2)); \
        LANES x4 = mul(x2, x2);                                                                                        \
        FNN_UNROLL(16)                                                                                                 \
        for (int i = last - 4; i >= 0; i -= 4) sum = madd(sum, x4, name##_group(x, x2, c + i, 4));                     \
        return sum;                                                                                                    \
    }
POLYNOMIAL(w_poly, W, double, w_set1, w_mul, w_madd)
POLYNOMIAL(v_poly, V, T, v_set1, v_mul, v_madd)
#undef POLYNOMIAL
#define W_POLY(x, c) w_poly(x, c, (int)(sizeof(c) / sizeof *(c)))
#define V_POLY(x, c) v_poly(x, c, (int)(sizeof(c) / sizeof *(c)))

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
    return w_mul(e, w_pow2(w_add(n, w_set1(W_BIAS))));
#else
    /* Two steps: the first keeps e normal, the second rounds once to a subnormal. */
    W shift = w_set1(0x1.8p52), half = w_sub(w_madd(n, w_set1(0.5), shift), shift);
    return w_mul(w_mul(e, w_pow2(w_add(half, w_set1(W_BIAS)))), w_pow2(w_add(w_sub(n, half), w_set1(W_BIAS))));
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
    W r, n = w_reduce_ln2(w_max(w_set1(-50), x), &r), scale = w_pow2(w_add(n, w_set1(W_BIAS)));
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

/*
 * Pairs: hi + lo with |lo| at most about an ulp of hi, so that a result is rounded once, at the end.
 */
typedef struct {
    V hi, lo;
} pair;

/* a + b, where |a| >= |b| or a = 0 */
static FNN_INLINE pair v_plus(V a, pair b)
{
    V hi = v_add(a, b.hi);
    return (pair){hi, v_add(v_add(v_sub(a, hi), b.hi), b.lo)};
}

static FNN_INLINE pair v_minus(V a, pair b)
{
    V hi = v_sub(a, b.hi);
    return (pair){hi, v_sub(v_sub(v_sub(a, hi), b.hi), b.lo)};
}

/* a - b of any two numbers */
static FNN_INLINE pair v_difference(V a, V b)
{
    V hi = v_sub(a, b), back = v_sub(hi, a);
    return (pair){hi, v_sub(v_sub(a, v_sub(hi, back)), v_add(b, back))};
}

/* a b */
static FNN_INLINE pair v_times(V a, pair b)
{
    V hi = v_mul(a, b.hi);
    return (pair){hi, v_madd(a, b.lo, v_fms(a, b.hi, hi))};
}
static FNN_INLINE pair v_product(pair a, pair b)
{
    pair p = v_times(a.hi, b);
    return (pair){p.hi, v_madd(a.lo, b.hi, p.lo)};
}
static FNN_INLINE V v_rounded_product(pair a, pair b)
{
    return v_fma(a.hi, b.hi, v_madd(a.hi, b.lo, v_mul(a.lo, b.hi)));
}

/* a power of two times b */
static FNN_INLINE pair v_scaled(V a, pair b) { return (pair){v_mul(a, b.hi), v_mul(a, b.lo)}; }

/* A parameter and its reciprocal, in two parts. */
static FNN_INLINE pair v_constant(double a) { return (pair){v_set1((T)a), v_set1((T)(a - (T)a))}; }
static FNN_INLINE pair v_reciprocal(double a)
{
    const T hi = (T)(1 / a);
    return (pair){v_set1(hi), v_set1((T)(fma(-hi, a, 1) / a))};
}

/* a, and lowest instead of what is below */
static FNN_INLINE pair v_at_least(T lowest, pair a)
{
    return (pair){v_max(v_set1(lowest), a.hi), v_select(v_lt(a.hi, v_set1(lowest)), v_set1(0), a.lo)};
}

/* n / d = y - over q where y and q are n / d and 1 / d but for rounding: by fma what y d is over n is exact. This way
 * round a quotient -0 stays one. */
static FNN_INLINE V v_divide(pair n, pair d, V *y, V *q)
{
    *q = v_div(v_set1(1), d.hi);
    *y = v_mul(n.hi, *q);
    return v_add(v_fms(*y, d.hi, n.hi), v_msub(*y, d.lo, n.lo));
}
static FNN_INLINE V v_quotient(pair n, pair d)
{
    V y, q, over = v_divide(n, d, &y, &q);
    return v_nmadd(over, q, y);
}
static FNN_INLINE pair v_quotient_pair(pair n, pair d)
{
    V y, q, over = v_divide(n, d, &y, &q);
    return (pair){y, v_neg(v_mul(over, q))};
}

/* x = r - k ln(2) with |r| <= ln(2) / 2. Returns r; *power receives 2^(sign k + more). x may come with what it lost to
 * rounding. */
static FNN_INLINE V v_reduce(V x, const V *low, int sign, int more, V *power)
{
    const V bias = v_set1(V_BIAS + more);
    V biased = v_madd(x, v_set1((T)(-sign * 0x1.71547652b82fep0)), bias), n = v_sub(biased, bias); /* sign k */
    V r = v_madd(n, v_set1(sign * LN2_LOW), v_madd(n, v_set1(sign * LN2_HIGH), x));
    *power = v_pow2(biased);
    return low ? v_add(r, *low) : r;
}

/* base + c (e^r - 1), where |base| >= c |e^r - 1| or base = 0, given r and c r */
static FNN_INLINE pair v_plus_expm1(V base, V cr, V r)
{
    V poly = V_POLY(r, exp_poly), cr2 = v_mul(r, cr), hi = v_madd(cr2, poly, v_add(base, cr));
    return (pair){hi, v_madd(cr2, poly, v_add(v_sub(base, hi), cr))};
}

/* e^x 2^EXP_SCALE for EXP_LOWEST <= x <= 0: far from the subnormal numbers. */
static FNN_INLINE pair v_exp_scaled(V x, const V *low)
{
    V s, r = v_reduce(x, low, -1, EXP_SCALE, &s);
    return v_plus_expm1(s, v_mul(s, r), r);
}
static FNN_INLINE pair v_unscaled(pair a) { return v_scaled(v_set1(EXP_DOWN), a); }
static FNN_INLINE V v_rounded_unscaled(pair a) { return v_mul(v_add(a.hi, a.lo), v_set1(EXP_DOWN)); }

/* The same rounded to T, with an error of 0.8 ulp. */
static FNN_INLINE V v_exp_scaled_rounded(V x, const V *low)
{
    V s, r = v_reduce(x, low, -1, EXP_SCALE, &s), expm1 = v_madd(v_mul(r, r), V_POLY(r, exp_poly), r);
    return v_madd(s, expm1, s);
}

/* e^x = e / t for EXP_LOWEST <= x <= 0 with t a power of two, both scaled by 2^-EXP_SCALE: all normal numbers, and so
 * are e + t and its reciprocal. */
static FNN_INLINE pair v_exp_ratio(V x, const V *low, V *t)
{
    const V scale = v_set1(EXP_DOWN);
    V r = v_reduce(x, low, 1, -EXP_SCALE, t);
    return v_plus_expm1(scale, v_mul(scale, r), r);
}

/* e^x - 1 for -SATURATED <= x <= 0; there it is -1. */
static FNN_INLINE pair v_expm1(V x, const V *low)
{
    V s, r = v_reduce(x, low, -1, 0, &s);
    return v_plus_expm1(v_sub(s, v_set1(1)), v_mul(s, r), r);
}

/* -|x|, not below EXP_LOWEST */
static FNN_INLINE V v_neg_abs_exp(V x) { return v_max(v_set1(EXP_LOWEST), v_neg_abs(x)); }
static FNN_INLINE pair v_neg_abs_pair(pair x)
{
    return v_at_least(EXP_LOWEST, (pair){v_neg_abs(x.hi), v_select_sign(x.hi, x.lo, v_neg(x.lo))});
}

/* 1 / (1 + e^-z) where a = -|z|: e / (1 + e) with e = e^a where z < 0, 1 / (1 + e) else */
static FNN_INLINE V v_logistic(V z, V a, const V *low)
{
    V t;
    pair e = v_exp_ratio(a, low, &t), n = {v_select_sign(z, e.hi, t), v_select_sign(z, e.lo, v_set1(0))};
    return v_quotient(n, v_plus(t, e));
}

/* log(1 + e^z), where a = -|z| but not below EXP_LOWEST; from SATURATED on it is z. For |z| < 1 log(2) + z / 2 +
 * log(cosh(z / 2)), else max(z, 0) + log1p(u) with u = e^a: a pair and a small rest each, so that what rounding does to
 * the rest hardly moves the result. */
static FNN_INLINE V v_log1p_exp(V z, V a, const V *low)
{
    const V ln2 = v_set1(LN2_NEAREST), half = v_mul(z, v_set1((T)0.5)), z2 = v_mul(z, z);
    V sum = v_add(ln2, half), lo = v_add(v_add(v_sub(ln2, sum), half), v_set1(LN2_REST));
    V near = v_add(sum, v_madd(z2, V_POLY(z2, log_cosh_poly), lo));

    const V scale = v_set1(1 / EXP_DOWN), down = v_set1(EXP_DOWN), base = v_mul(v_max(v_set1(0), z), scale);
    const pair scaled = v_exp_scaled(a, low);
    V u = v_mul(scaled.hi, down), rest = v_nmadd(scaled.lo, u, scaled.lo); /* d log1p(u) / du is about 1 - u */
    rest = v_madd(v_mul(scaled.hi, u), V_POLY(u, log1p_poly), rest);
    pair far = v_plus(base, (pair){scaled.hi, rest});
    return v_select(v_lt(v_set1(-1), a), near, v_mul(v_add(far.hi, far.lo), down));
}
