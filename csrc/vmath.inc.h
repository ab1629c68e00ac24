/*
 * vmath.inc.h: exp, expm1, log1p and the Gaussian tail, for the expressions of activations.inc.h and for softmax.
 *
 * Design
 * A. Two ways to an error below one ulp. In lanes of T, with pairs hi + lo for whatever a rounding would spoil: most
 *    activations, in float32 twice as fast as the other, and softmax. In wide lanes, for float32 rounded once at the
 *    end: what needs more digits on the way, like gelu and the derivatives with a root, where float64 takes pairs
 *    ("extended numbers"); and single numbers like a row's loss.
 * B. docs/numerics/coefficients.sollya makes the coefficients and their bounds; above each array stands its command, with
 *    h = log(2) / 2 * 1.0001. A bound is the relative error of the approximation, unless it says "within". Polynomials
 *    with pairs: expansions.inc.h.
 * C. Arguments are clamped so that every scale factor is a normal number; NaN passes through the clamps and the
 *    polynomial, and a factor made from its bits cannot undo it.
 * D. What limits the lanes of T is the latency of a chain of operations times their number: hence polynomials in
 *    groups, and sums that do not wait for one another.
 */

/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2: 2^-57.8
 * fpminimax(exp(x), [|2,...,11|], [|D...|], [-h; h], 1 + x) */
static const double exp_double[] = {
    0x1.000000000000ap-1,  0x1.55555555554fep-3,  0x1.55555555506bap-5,  0x1.1111111126b3p-7,   0x1.6c16c18477aefp-10,
    0x1.a01a012ff2942p-13, 0x1.a019995cdc802p-16, 0x1.71df18e254781p-19, 0x1.28adfefa69a53p-22, 0x1.ad9303ff16be2p-26,
};

#if FNN_DTYPE == 32

#define LN2_HIGH 0x1.62e4p-1f /* 16 bits: times k it is exact */
#define LN2_LOW 0x1.7f7d1cp-20f
#define V_EXP_MIN (-110)         /* 110 e^-110 rounds to 0 */
#define V_EXP_IS_ZERO (-115.75f) /* here, and 0.3 around, the scaled exponential has the exponent of 0 and is 0 */
#define EXP_SCALE 40
#define EXP_DOWN 0x1p-40f
#define LARGEST 0x1.fffffep127f
#define NEGLIGIBLE 0x1p-30f
#define SATURATED 20 /* 1 + e^-x and tanh(x / 2) round to 1 */
/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2, in float32: 2^-28.1
 * fpminimax(exp(x), [|2,...,6|], [|SG...|], [-h; h], 1 + x) */
static const float exp_poly[] = {0x1.fffffap-2f, 0x1.555492p-3f, 0x1.555a26p-5f, 0x1.12398p-7f, 0x1.694ca6p-10f};
/* (log(1 + u) - u + u^2 / 2) / u^3, 0 <= u <= e^-1: u times this within 2^-27.7
 * fpminimax((log1p(x) - x) / x^2, 6, [|SG...|], [1b-20; 0.3679], absolute), without its first coefficient, -1 / 2 */
static const float log1p_poly[] = {
    0x1.555522p-2f, -0x1.ffe9fep-3f, 0x1.980244p-3f, -0x1.477c2p-3f, 0x1.c98aa2p-4f, -0x1.79e46ep-5f,
};
/* log(cosh(z / 2)) / z^2 in z^2, |z| <= 1: within 2^-31.5
 * fpminimax(log(cosh(sqrt(x) / 2)) / x, 4, [|SG...|], [1b-30; 1.0001], absolute) */
static const float log_cosh_poly[] = {
    0x1p-3f, -0x1.55552ap-8f, 0x1.6bfc0cp-12f, -0x1.b4f17cp-16f, 0x1.d63374p-20f,
};

#define W_EXP_MIN (-700.0) /* even 700 e^-700 rounds to 0 in float32 */
/* (e^r - 1 - r) / r^2, |r| <= ln(2) / 2, for results of float32: 2^-28.2
 * fpminimax(exp(x), [|2,...,6|], [|D...|], [-h; h], 1 + x) */
static const double exp_wide[] = {
    0x1.fffffb9a575c8p-2, 0x1.5554915418dd7p-3, 0x1.5558f17d9b9a9p-5, 0x1.1239e2a867b87p-7, 0x1.6a2433e30e30cp-10,
};
/* (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, |s| <= 1 / 3: 2^-33.0
 * fpminimax(log((1 + x) / (1 - x)), [|3,5,...,11|], [|D...|], [1b-20; 1/3], 2 * x) */
static const double log_poly[] = {
    0x1.5555584c24141p-1, 0x1.9996af969d707p-2, 0x1.2508b0f868861p-2, 0x1.b6e6cdab387c4p-3, 0x1.f1733bcf0ccbdp-3,
};

#else

#define LN2_HIGH 0x1.62e42feep-1 /* 32 bits */
#define LN2_LOW 0x1.a39ef35793c76p-33
#define V_EXP_MIN (-760)
#define V_EXP_IS_ZERO (-778.4)
#define EXP_SCALE 100
#define EXP_DOWN 0x1p-100
#define LARGEST 0x1.fffffffffffffp1023
#define NEGLIGIBLE 0x1p-80
#define SATURATED 40
/* (log(1 + u) - u + u^2 / 2) / u^3, 0 <= u <= e^-1: u times this within 2^-58.1
 * fpminimax((log1p(x) - x) / x^2, 14, [|D...|], [1b-20; 0.3679], absolute), without its first coefficient, -1 / 2 */
static const double log1p_poly[] = {
    0x1.5555555555528p-2, -0x1.fffffffffa81ap-3, 0x1.99999997b83c6p-3,  -0x1.55555501a6883p-3, 0x1.2492407ac2db8p-3,
    -0x1.fffed5531019p-4, 0x1.c70ea397e3dbdp-4,  -0x1.9925976c6ad7bp-4, 0x1.719a489b91037p-4,  -0x1.48ffff0f08c2dp-4,
    0x1.1287fc7fdb1f3p-4, -0x1.852d537d0e5fcp-5, 0x1.8c8c95cda4b09p-6,  -0x1.9f9eea91d3355p-8,
};
/* log(cosh(z / 2)) / z^2 in z^2, |z| <= 1: within 2^-59.3
 * fpminimax(log(cosh(sqrt(x) / 2)) / x, 9, [|D...|], [1b-30; 1.0001], absolute) */
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

#define W_EXP_MIN (-760.0) /* even 760 times that is below half the smallest subnormal */
#define exp_poly exp_double
/* (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, |s| <= 1 / 3: 2^-64.5
 * fpminimax(log((1 + x) / (1 - x)), [|3,5,...,23|], [|D...|], [1b-20; 1/3], 2 * x) */
static const double log_poly[] = {
    0x1.5555555555556p-1, 0x1.999999999965fp-2, 0x1.24924924b9d4ap-2, 0x1.c71c71aa00c55p-3,
    0x1.745d1d6175358p-3, 0x1.3b12e56989628p-3, 0x1.11224cf76e132p-3, 0x1.dff6c1a8cccep-4,
    0x1.c0edbcb60d72ep-4, 0x1.2058f04afcecfp-4, 0x1.4fc6686f407f2p-3,
};

#endif

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1), n >= 2 and a constant where it is called. In lanes of T Horner's scheme in
 * x^4 over groups of four terms: latency is what limits their loops. Wide lanes come in pairs, and only their long
 * polynomials are cut in two, the even and the odd terms. */
static FNN_INLINE V v_poly_group(V x, V x2, const T *c, int n)
{
    V low = n > 1 ? v_madd(v_set1(c[1]), x, v_set1(c[0])) : v_set1(c[0]);
    if (n == 3) return v_madd(v_set1(c[2]), x2, low);
    return n > 3 ? v_madd(v_madd(v_set1(c[3]), x, v_set1(c[2])), x2, low) : low;
}
static FNN_INLINE V v_poly(V x, const T *c, int n)
{
    const int last = (n - 1) / 4 * 4;
    V x2 = v_mul(x, x), sum = v_poly_group(x, x2, c + last, n - last);
    if (n <= 4) return sum;
    if (n == 5)
        return v_madd(v_madd(v_set1(c[4]), x2, v_madd(v_set1(c[3]), x, v_set1(c[2]))), x2, v_poly_group(x, x2, c, 2));
    V x4 = v_mul(x2, x2);
    FNN_UNROLL(16)
    for (int i = last - 4; i >= 0; i -= 4) sum = v_madd(sum, x4, v_poly_group(x, x2, c + i, 4));
    return sum;
}
/* The same, a short one in Horner's scheme: fewer multiplications, for a loop whose vectors need not wait for each other. */
static FNN_INLINE V v_poly_in_turn(V x, const T *c, int n)
{
    if (n > 6) return v_poly(x, c, n);
    V sum = v_set1(c[n - 1]);
    FNN_UNROLL(8)
    for (int i = n - 2; i >= 0; i--) sum = v_madd(sum, x, v_set1(c[i]));
    return sum;
}
static FNN_INLINE W w_horner(W x, const double *c, int n, int step) /* of every step-th coefficient */
{
    const int last = (n - 1) / step * step;
    W sum = w_set1(c[last]);
    FNN_UNROLL(16)
    for (int i = last - step; i >= 0; i -= step) sum = w_madd(sum, x, w_set1(c[i]));
    return sum;
}
static FNN_INLINE W w_poly(W x, const double *c, int n)
{
    if (n <= 6) return w_horner(x, c, n, 1);
    W x2 = w_mul(x, x);
    return w_madd(w_horner(x2, c + 1, n - 1, 2), x, w_horner(x2, c, n, 2));
}
#define V_LENGTH(c) ((int)(sizeof(c) / sizeof *(c)))
#define W_POLY(x, c) w_poly(x, c, V_LENGTH(c))
#define V_POLY(x, c) v_poly(x, c, V_LENGTH(c))
#define V_POLY_IN_TURN(x, c) v_poly_in_turn(x, c, V_LENGTH(c))

#if FNN_DTYPE == 32
/* e^r - 1 where x = k ln(2) + r and |r| <= ln(2) / 2, for |x| <= -W_EXP_MIN, by a polynomial for (e^r - 1 - r) / r^2;
 * *power is 2^k. That ln(2) is rounded to float64 does no harm. */
static FNN_INLINE W w_expm1_reduced(W x, const double *poly, int n_poly, W *power)
{
    const W bias = w_set1(W_BIAS);
    W biased = w_madd(x, w_set1(0x1.71547652b82fep0), bias), k = w_sub(biased, bias);
    W r = w_madd(k, w_set1(-0x1.62e42fefa39efp-1), x);
    *power = w_pow2(biased);
    return w_madd(w_mul(r, r), w_poly(r, poly, n_poly), r);
}
/* e^x for |x| <= -W_EXP_MIN */
static FNN_INLINE W w_exp(W x)
{
    W power, expm1 = w_expm1_reduced(x, exp_wide, V_LENGTH(exp_wide), &power);
    return w_madd(power, expm1, power);
}
#else
/* The same. k times the first part of ln(2) is exact. Scaled in two steps: the first keeps e normal, the second rounds
 * once to a subnormal number, or to infinity. */
static FNN_INLINE W w_exp(W x)
{
    const W bias = w_set1(W_BIAS);
    W biased = w_madd(x, w_set1(0x1.71547652b82fep0), bias), k = w_sub(biased, bias);
    W r = w_madd(k, w_set1(-LN2_LOW), w_madd(k, w_set1(-LN2_HIGH), x));
    W e = w_add(w_set1(1), w_madd(w_mul(r, r), W_POLY(r, exp_double), r));
    W half = w_sub(w_madd(k, w_set1(0.5), bias), bias);
    return w_mul(w_mul(e, w_pow2(w_add(half, bias))), w_pow2(w_add(w_sub(k, half), bias)));
}
#endif
/* The same for any x <= 0. */
static FNN_INLINE W w_exp_clamped(W x) { return w_exp(w_max(w_set1(W_EXP_MIN), x)); }
/* The same for any x: infinity beyond the range of T. */
static FNN_INLINE W w_exp_any(W x)
{
    const W e = w_exp_clamped(w_min(w_set1(-W_EXP_MIN), x));
    return w_select(w_lt(w_set1(-W_EXP_MIN), x), w_set1(INFINITY), e);
}

/* log((1 + s) / (1 - s)) = 2 artanh(s) for |s| <= 1 / 3 */
static FNN_INLINE W w_log_ratio(W s)
{
    W z = w_mul(s, s);
    return w_madd(w_mul(s, z), W_POLY(z, log_poly), w_add(s, s));
}

/* log(m) of a normal number f = 2^e m > 0, 1 / 2 <= m^2 <= 2, by s = (m - 1) / (m + 1). For 0, e log(2) is -709. */
static FNN_INLINE W w_log_fraction(W f, W *e)
{
    W m;
    *e = w_split_exponent(f, &m);
    return w_log_ratio(w_div(w_sub(m, w_set1(1)), w_add(m, w_set1(1))));
}
static FNN_INLINE W w_plus_log_of_power(W e, W a)
{
    return w_madd(e, w_set1(0x1.62e42feep-1), w_madd(e, w_set1(0x1.a39ef35793c76p-33), a));
}
/* log(f), and log(f) + rest for a small rest */
static FNN_INLINE W w_log_normal(W f)
{
    W e, log_m = w_log_fraction(f, &e);
    return w_plus_log_of_power(e, log_m);
}
static FNN_INLINE W w_log_and(W f, W rest)
{
    W e, log_m = w_log_fraction(f, &e);
    return w_plus_log_of_power(e, w_add(log_m, rest));
}

/* log(1 + u) = log(f) + c / f for u >= 0, where c is what f = 1 + u lost to rounding: a whole ulp of u where the sum
 * crosses a power of two, so the division matters for large u too. */
static FNN_INLINE W w_log1p(W u)
{
    W f = w_add(w_set1(1), u), c = w_sub(u, w_sub(f, w_set1(1)));
    return w_log_and(f, w_div(c, f));
}

/* log(x) for any x: -infinity for 0, NaN below. Subnormal numbers, which only float64 has here, are scaled first. */
static FNN_INLINE W w_log(W x)
{
#if FNN_DTYPE == 32
    const W ordinary = w_log_normal(x);
#else
    const WM tiny = w_lt(x, w_set1(0x1p-1022));
    const W scaled = w_log_normal(w_select(tiny, w_mul(x, w_set1(0x1p54)), x));
    const W ordinary = w_add(scaled, w_select(tiny, w_set1(-54 * 0x1.62e42fefa39efp-1), w_set1(0)));
#endif
    const W below = w_select(w_eq(x, w_set1(0)), w_set1(-INFINITY), w_set1(NAN));
    return w_select(w_lt(x, w_set1(INFINITY)), w_select(w_lt(w_set1(0), x), ordinary, below), x);
}

/* log(1 - x) for 0 <= x <= 1, and -709 for x = 1. What 1 - x loses to rounding is at most half an ulp of 1, and nothing for
 * x > 1 / 2. */
static FNN_INLINE W w_log1m(W x)
{
    W f = w_sub(w_set1(1), x);
    return w_log_and(f, w_sub(w_sub(w_set1(1), f), x));
}

/* Of a number x: log(1 + e^-|x|), sigmoid(x) and sigmoid(-x), each with all its digits. With u = e^-|x|, log(1 + u) = 2
 * artanh(u / (2 + u)), and one division serves all: 1 / ((1 + u) (2 + u)). */
typedef struct {
    W log1p, plus, minus;
} logistic;
static FNN_INLINE logistic w_logistic(W x)
{
    W u = w_exp_clamped(w_neg_abs(x)), one = w_add(w_set1(1), u), two = w_add(w_set1(2), u);
    W inverse = w_div(w_set1(1), w_mul(one, two)), large = w_mul(two, inverse), small = w_mul(u, large);
    return (logistic){w_log_ratio(w_mul(u, w_mul(one, inverse))), w_select_sign(x, small, large),
                      w_select_sign(x, large, small)};
}

/* e^x = (1 + head + tail) times power, or over it, where power is a power of two. head + tail is e^r - 1 for x = k
 * ln(2) + r, |r| <= ln(2) / 2; head is r, or e^r - 1 rounded to T where that suffices, and the tail of no use. */
typedef struct {
    V power, head, tail;
} exponential;
enum { OVER = 1, TIMES = -1 };

/* Returns r in two parts. power is scaled by 2^scale. */
static FNN_INLINE pair p_reduce(pair x, int kind, int scale, V *power)
{
    const V bias = v_set1(V_BIAS + scale);
    V biased = v_madd(x.hi, v_set1((T)(-kind * 0x1.71547652b82fep0)), bias), n = v_sub(biased, bias); /* -kind k */
    *power = v_pow2(biased);
    return (pair){v_madd(n, v_set1(kind * LN2_HIGH), x.hi), v_madd(n, v_set1(kind * LN2_LOW), x.lo)};
}
static FNN_INLINE exponential exponential_of(pair x, int kind, int scale)
{
    exponential e;
    pair parts = p_reduce(x, kind, scale, &e.power);
    V r = v_add(parts.hi, parts.lo);
    e.head = parts.hi;
    e.tail = v_madd(v_mul(r, r), V_POLY(r, exp_poly), parts.lo);
    return e;
}
static FNN_INLINE exponential exponential_rounded(exponential e)
{
    e.head = v_add(e.head, e.tail);
    return e;
}

/* base + a (e^r - 1), where |base| >= a |e^r - 1| or base = 0 */
static FNN_INLINE pair p_plus_expm1(V base, V a, exponential e)
{
    V hi = v_madd(a, e.tail, v_madd(a, e.head, base));
    return (pair){hi, v_madd(a, e.tail, v_madd(a, e.head, v_sub(base, hi)))};
}
/* the same of a rounded one */
static FNN_INLINE pair p_plus_head(V base, V a, exponential e)
{
    V hi = v_madd(a, e.head, base);
    return (pair){hi, v_madd(a, e.head, v_sub(base, hi))};
}

/* e^x 2^EXP_SCALE for V_EXP_MIN <= x <= 0: far from the subnormal numbers. */
static FNN_INLINE exponential exponential_scaled(pair x) { return exponential_of(x, TIMES, EXP_SCALE); }
static FNN_INLINE pair p_exp_scaled(exponential e) { return p_plus_head(e.power, e.power, e); }
static FNN_INLINE pair p_unscaled(pair a) { return p_scaled(v_set1(EXP_DOWN), a); }
static FNN_INLINE V p_unscaled_rounded(pair a) { return v_mul(v_add(a.hi, a.lo), v_set1(EXP_DOWN)); }

/* The same rounded to T, with an error of 0.8 ulp, for V_EXP_IS_ZERO <= x <= 0: an operation less than from
 * exponential_of(), which is a twentieth of softmax. Step by step for `vectors` vectors: one alone leaves half of the time
 * to the latency of its chain, and a processor's window is too small for several one after another. */
static FNN_INLINE void v_exp_scaled_rounded(V *e, const pair *x, const int vectors)
{
    V r[EXP_VECTORS], p[EXP_VECTORS];
    FNN_UNROLL(16)
    for (int v = 0; v < vectors; v++) {
        const pair parts = p_reduce(x[v], TIMES, EXP_SCALE, &e[v]);
        r[v] = v_add(parts.hi, parts.lo);
    }
    FNN_UNROLL(16)
    for (int v = 0; v < vectors; v++) p[v] = V_POLY(r[v], exp_poly);
    FNN_UNROLL(16)
    for (int v = 0; v < vectors; v++) p[v] = v_madd(v_mul(r[v], r[v]), p[v], r[v]);
    FNN_UNROLL(16)
    for (int v = 0; v < vectors; v++) e[v] = v_madd(e[v], p[v], e[v]);
}

/* e^x - 1 for -SATURATED <= x <= 0; there it is -1. */
static FNN_INLINE exponential exponential_expm1(pair x) { return exponential_of(x, TIMES, 0); }
static FNN_INLINE pair p_expm1(exponential e) { return p_plus_expm1(v_sub(e.power, v_set1(1)), e.power, e); }

/* e^x - 1 for x <= 0, where all below -SATURATED counts as that */
static FNN_INLINE W w_expm1_clamped(W x)
{
    const W a = w_max(w_set1(-SATURATED), x);
#if FNN_DTYPE == 32
    W power, expm1 = w_expm1_reduced(a, exp_wide, V_LENGTH(exp_wide), &power);
    return w_madd(power, expm1, w_sub(power, w_set1(1)));
#else
    const pair expm1 = p_expm1(exponential_expm1(p_from(a)));
    return w_add(expm1.hi, expm1.lo);
#endif
}

static FNN_INLINE W w_clamp(double low, W x, double high) { return w_min(w_set1(high), w_max(w_set1(low), x)); }
static FNN_INLINE V v_clamp(T low, V x, T high) { return v_min(v_set1(high), v_max(v_set1(low), x)); }
/* a <= 0 where e^a = 1 is near enough from -NEGLIGIBLE on: products that underflow are slow. */
static FNN_INLINE V v_flush_tiny(V a) { return v_min(v_set1(-NEGLIGIBLE), a); }
/* Such an a within the range of an exponential. */
static FNN_INLINE pair p_exp_domain(V a) { return p_from(v_flush_tiny(v_max(v_set1(V_EXP_MIN), a))); }
/* -z, clamped to where e^-z is finite and still changes 1 + e^-z. */
static FNN_INLINE pair p_neg_clamped(V z) { return p_from(v_clamp(-SATURATED, v_neg(z), -V_EXP_MIN)); }
/* e^-z scaled down, for v_logistic: all normal numbers */
static FNN_INLINE exponential exponential_logistic(pair minus_z) { return exponential_of(minus_z, TIMES, -EXP_SCALE); }
/* a / (1 + e^-z), all of it scaled by 2^-EXP_SCALE. 1 + 2^k is exact unless k is beyond T's digits; `lost` is what it
 * then loses of the 1. plus, which adds the rest of e^-z, is p_plus_head or p_plus_expm1. */
static FNN_INLINE V v_logistic(V a, exponential e, pair plus(V, V, exponential))
{
    const V one = v_set1(EXP_DOWN), sum = v_add(one, e.power), lost = v_sub(one, v_sub(sum, e.power));
    pair d = plus(sum, e.power, e);
    d.lo = v_add(d.lo, lost);
    return v_mul(p_div_rounded(p_from(a), d), one);
}

/* log(1 + e^z), given e^-|z|, scaled. For |z| < 1 log(2) + z / 2 + log(cosh(z / 2)), else max(z, 0) + log1p(u) with u =
 * e^-|z|: a pair and a small rest each, so that what rounding does to the rest hardly moves the result. */
static FNN_INLINE V v_log1p_exp(V z, exponential e)
{
    const pair ln2 = p_exactly(0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56);
    const V a = v_flush_tiny(v_neg_abs(z)), z2 = v_mul(a, a);
    const pair line = p_quick_add(ln2.hi, (pair){v_mul(z, v_set1((T)0.5)), ln2.lo});
    V near = v_add(line.hi, v_madd(z2, V_POLY_IN_TURN(z2, log_cosh_poly), line.lo));

    const pair scaled = p_exp_scaled(e);
    const V down = v_set1(EXP_DOWN), u = v_mul(scaled.hi, down);
    V slope = v_mul(u, v_madd(u, V_POLY_IN_TURN(u, log1p_poly), v_set1((T)-0.5))); /* log1p(u) = u + slope u */
    V rest = v_madd(scaled.hi, slope, v_nmadd(scaled.lo, u, scaled.lo));           /* d log1p(u) / du is about 1 - u */
    V far = v_madd(v_add(scaled.hi, rest), down, v_max(v_set1(0), z));
    return v_select(v_lt(v_set1(-1), a), near, far);
}

/* c[0] + c[1] x + ...: the first coefficients and terms, as many as there are rests, as pairs. Each coefficient but the
 * first is larger than what is added to it. */
#define P_POLY(x, name) p_poly(x, name##_poly, V_LENGTH(name##_poly), name##_rests, V_LENGTH(name##_rests))
static FNN_INLINE pair p_poly(pair x, const T *c, int n, const T *rests, int pairs)
{
    pair sum = {v_mul(x.hi, v_poly(x.hi, c + pairs, n - pairs)), v_set1(0)};
    FNN_UNROLL(8)
    for (int i = pairs - 1; i > 0; i--)
        sum = p_mul(p_quick_add(v_set1(c[i]), (pair){sum.hi, v_add(sum.lo, v_set1(rests[i]))}), x);
    return p_add((pair){v_set1(c[0]), v_set1(rests[0])}, sum);
}

#define E_LARGEST (-W_EXP_MIN) /* e^-E_LARGEST and E_LARGEST e^-E_LARGEST round to 0 */
#if FNN_DTYPE == 32

#define E_POLY(x, name) W_POLY(x, name##_poly)
#define E_DOWN 1.0
/* e^x / E_DOWN for -E_LARGEST <= x <= 40 */
static FNN_INLINE extended e_exp_scaled(extended x) { return w_exp(x); }
/* The same with all digits of float64, where terms cancel */
static FNN_INLINE extended e_exp_exact(extended x)
{
    W power, expm1 = w_expm1_reduced(x, exp_double, V_LENGTH(exp_double), &power);
    return w_madd(power, expm1, power);
}

#else

#define E_POLY(x, name) P_POLY(x, name)
#define E_DOWN EXP_DOWN
static FNN_INLINE extended e_exp_scaled(extended x)
{
    exponential e = exponential_of(x, TIMES, EXP_SCALE);
    return p_plus_expm1(e.power, e.power, e);
}
/* Where terms cancel expansions do the rest. */
#define e_exp_exact e_exp_scaled
static FNN_INLINE extended e_expm1_exact(extended x) /* p_expm1() and what power - 1 lost, which tanhshrink' sees */
{
    exponential e = exponential_of(x, TIMES, 0);
    const pair base = p_quick_sum(v_set1(-1), e.power);
    pair sum = p_plus_expm1(base.hi, e.power, e);
    return (pair){sum.hi, v_add(sum.lo, base.lo)};
}

#endif
