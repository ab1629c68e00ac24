/*
 * activations.inc.h: the vector expressions of the activations and their derivatives, once for every ISA and dtype.
 *
 * Design
 * A. Expressions are functions of one variable x and, but for EXTENDED, of the row's parameters p. NAME is the
 *    function, NAME_dx its derivative as a function of x, NAME_dy as a function of y (then called x); the backward loop
 *    multiplies by the incoming gradient.
 * B. NARROW(f) { ... } is evaluated in lanes of T. EXTENDED(f) { ... } is evaluated in extended numbers (pair.inc.h)
 *    and rounded once to T. A function of an exponential has two bodies, between which the loop stores the exponentials
 *    of a tile: EXPONENT(f, what is kept of it) { ... } gives the exponential e of x, and FROM_EXPONENT(f) { ... } the
 *    value from x and e. NARROW_BY(f, vectors) { ... } is NARROW with so many vectors in a step of the loop instead of
 *    STEP: fewer, as the long chains of multiply-adds on the tables of piecewise.inc.h take many registers; those are
 *    for float32 alone.
 * C. NaN gives NaN: comparisons are written so that an unordered lane keeps x.
 */

NARROW(identity) { return x; }
NARROW(identity_dx) { return v_set1(1); } /* even where x is NaN: x is never read */
NARROW(identity_dy) { return v_set1(1); }

static FNN_INLINE V v_zero_or_nan(V x) { return v_select(v_eq(x, x), v_set1(0), x); }
/* open ? 1 : 0, and NaN where x is: the derivative of a function of straight pieces */
static FNN_INLINE V v_step01(VM open, V x) { return v_select(open, v_set1(1), v_zero_or_nan(x)); }
static FNN_INLINE V v_step01_between(V low, V x, V high)
{
    return v_select(v_lt(low, x), v_step01(v_lt(x, high), x), v_zero_or_nan(x));
}

/* relu(x) = x < 0 ? 0 : x, which keeps -0 and NaN */
NARROW(relu) { return v_max(v_set1(0), x); }
NARROW(relu_dx) { return v_step01(v_lt(v_set1(0), x), x); }
NARROW(relu_dy) { return relu_dx_v(x, p); }

/* leaky_relu(x) = x > 0 ? x : negative_slope x */
NARROW(leaky_relu) { return v_select(v_lt(v_set1(0), x), x, v_mul(x, v_set1((T)p.v[0]))); }
NARROW(leaky_relu_dx) { return v_select(v_lt(v_set1(0), x), v_set1(1), v_select(v_eq(x, x), v_set1((T)p.v[0]), x)); }
NARROW(leaky_relu_dy) { return leaky_relu_dx_v(x, p); }

/* elu(x) = x < 0 ? alpha (e^x - 1) : x, which keeps -0 */
EXPONENT(elu, HEAD_AND_TAIL) { return exponential_expm1(p_from(v_max(v_set1(-SATURATED), x))); }
FROM_EXPONENT(elu) { return v_select(v_lt(x, v_set1(0)), p_mul_rounded(p_constant(p.v[0]), p_expm1(e)), x); }
EXPONENT(elu_dx, HEAD) { return exponential_scaled(p_exp_domain(x)); }
FROM_EXPONENT(elu_dx)
{
    pair y = p_mul(p_constant(p.v[0]), p_exp_scaled(e));
    return v_select(v_lt(v_set1(0), x), v_set1(1), p_unscaled_rounded(y));
}
NARROW(elu_dy) { return v_select(v_lt(v_set1(0), x), v_set1(1), v_add(x, v_set1((T)p.v[0]))); }

/* celu(x) = x < 0 ? alpha (e^(x / alpha) - 1) : x */
EXPONENT(celu, HEAD_AND_TAIL) { return exponential_expm1(p_max(-SATURATED, p_times(x, p_reciprocal(p.v[0])))); }
FROM_EXPONENT(celu) { return elu_of(x, e, p); }
EXPONENT(celu_dx, HEAD) { return exponential_scaled(p_max(V_EXP_MIN, p_times(x, p_reciprocal(p.v[0])))); }
FROM_EXPONENT(celu_dx) { return v_select(v_lt(v_set1(0), x), v_set1(1), p_unscaled_rounded(p_exp_scaled(e))); }
NARROW(celu_dy)
{
    V alpha = v_set1((T)p.v[0]), sum = v_add(x, alpha);
    return v_select(v_lt(v_set1(0), x), v_set1(1), p.v[0] == 1 ? sum : v_div(sum, alpha));
}

/* sigmoid(x) = 1 / (1 + e^-x) */
EXPONENT(sigmoid, HEAD) { return exponential_logistic(p_neg_clamped(x)); }
FROM_EXPONENT(sigmoid) { return v_logistic(v_set1(1), e, p_plus_head); }
/* sigmoid'(x) = e / (1 + e)^2 with e = e^-|x| */
static FNN_INLINE V v_logistic_slope(exponential e, T scale)
{
    pair scaled = p_exp_scaled(e), d = p_quick_add(v_set1(1), p_unscaled(scaled));
    return v_mul(p_div_rounded(scaled, p_mul(d, d)), v_set1(scale * EXP_DOWN));
}
EXPONENT(sigmoid_dx, HEAD) { return exponential_scaled(p_exp_domain(v_neg_abs(x))); }
FROM_EXPONENT(sigmoid_dx) { return v_logistic_slope(e, 1); }
/* y (1 - y) = y - y^2, rounded once */
NARROW(sigmoid_dy) { return v_fma(v_neg(x), x, x); }

#if FNN_DTYPE == 32
/* In the first interval it is a + a P(a): there the value is 1, elsewhere tanh(c) < a. */
NARROW_BY(tanh, 4)
{
    const V a = v_min(v_set1(TANH_LIMIT), v_abs(x));
    const piece at = piece_of(a, TANH_SCALE, tanh_centre);
    return v_signed(v_fma(at.r, PIECE_POLY(at, tanh_poly), v_min(a, v_lookup8(tanh_value, at.index))), x);
}
#else
/* tanh(x) = (1 - e) / (1 + e) with e = e^(-2|x|) = e^r / t, odd: (t - e^r) / (t + e^r) */
static FNN_INLINE exponential exponential_tanh(V x)
{
    return exponential_of(p_from(v_max(v_set1(-SATURATED), v_neg_abs(v_add(x, x)))), OVER, 0);
}
static FNN_INLINE void p_tanh_parts(exponential e, pair *n, pair *d)
{
    const V below = v_sub(e.power, v_set1(1)), above = v_add(e.power, v_set1(1));
    n->hi = v_sub(v_sub(below, e.head), e.tail);
    n->lo = v_sub(v_sub(v_sub(below, n->hi), e.head), e.tail);
    d->hi = v_add(v_add(above, e.head), e.tail);
    d->lo = v_add(v_add(v_sub(above, d->hi), e.head), e.tail);
    d->lo = v_add(d->lo, v_sub(v_set1(2), v_sub(above, below))); /* what both lost */
}
EXPONENT(tanh, HEAD_AND_TAIL) { return exponential_tanh(x); }
FROM_EXPONENT(tanh)
{
    pair n, d;
    p_tanh_parts(e, &n, &d);
    return v_signed(p_div_rounded(n, d), x);
}
#endif
/* tanh'(x) = 1 - tanh(x)^2 = 4 sigmoid'(2 x) */
EXPONENT(tanh_dx, HEAD) { return exponential_scaled(p_exp_domain(v_neg_abs(v_add(x, x)))); }
FROM_EXPONENT(tanh_dx) { return v_logistic_slope(e, 4); }
NARROW(tanh_dy) { return v_fma(v_neg(x), x, v_set1(1)); }

/* softplus(x) = log(1 + e^(beta x)) / beta, and x where beta x > threshold */
EXPONENT(softplus, HEAD)
{
    return exponential_scaled(p.v[0] == 1 ? p_exp_domain(v_neg_abs(x))
                                          : p_max(V_EXP_MIN, p_neg_abs(p_times(x, p_constant(p.v[0])))));
}
FROM_EXPONENT(softplus)
{
    if (p.v[0] == 1 && p.v[1] >= SATURATED) return v_log1p_exp(x, e); /* which rounds to x from SATURATED on */
    const V z = v_mul(x, v_set1((T)p.v[0])), soft = v_log1p_exp(z, e);
    const VM linear = v_lt(v_min(v_set1((T)p.v[1]), v_set1(SATURATED)), z);
    return v_select(linear, x, p.v[0] == 1 ? soft : v_mul(soft, v_set1((T)(1 / p.v[0]))));
}
/* softplus'(x) = sigmoid(beta x), and 1 where beta x > threshold */
EXPONENT(softplus_dx, HEAD)
{
    return exponential_logistic(p.v[0] == 1 ? p_neg_clamped(x)
                                            : p_max(-SATURATED, p_min(-V_EXP_MIN, p_times(x, p_constant(-p.v[0])))));
}
FROM_EXPONENT(softplus_dx)
{
    const V z = v_mul(x, v_set1((T)p.v[0]));
    return v_select(v_lt(v_set1((T)p.v[1]), z), v_set1(1), v_logistic(v_set1(1), e, p_plus_head));
}

/* logsigmoid(x) = log(sigmoid(x)) = -log(1 + e^-x) */
EXPONENT(logsigmoid, HEAD) { return exponential_scaled(p_exp_domain(v_neg_abs(x))); }
FROM_EXPONENT(logsigmoid) { return v_neg(v_log1p_exp(v_neg(x), e)); }
/* logsigmoid'(x) = 1 - sigmoid(x) = sigmoid(-x) */
EXPONENT(logsigmoid_dx, HEAD) { return exponential_logistic(p_neg_clamped(v_neg(x))); }
FROM_EXPONENT(logsigmoid_dx) { return v_logistic(v_set1(1), e, p_plus_head); }

/* hardshrink(x) = |x| <= lambd ? 0 : x */
NARROW(hardshrink) { return v_select(v_le(v_abs(x), v_set1((T)p.v[0])), v_set1(0), x); }
NARROW(hardshrink_dx) { return v_step01(v_lt(v_set1((T)p.v[0]), v_abs(x)), x); }

/* square(x) = x^2 */
NARROW(square) { return v_mul(x, x); }
NARROW(square_dx) { return v_add(x, x); }

static FNN_INLINE extended e_minus_root(W x, const double *root)
{
    return e_sub(e_from(x), e_exactly(root[0], root[1]));
}
/* Near the root of a derivative its terms cancel. For float32 there are digits enough; for float64 its expansion takes
 * over. */
#if FNN_DTYPE == 32
#define OR_EXPANSION(x, name, far) far
#else
#define OR_EXPANSION(x, name, far)                                                                                     \
    e_or_expansion(e_minus_root(x, name##_root), E_POLY(e_minus_root(x, name##_root), name##_root), far)
static FNN_INLINE extended e_or_expansion(extended distance, extended slope, extended far)
{
    return e_select(w_lt(w_abs(distance.hi), w_set1(ROOT_RADIUS)), e_mul(distance, slope), far);
}
#endif

/* min(|x|, limit) */
static FNN_INLINE W w_magnitude(W x, double limit) { return w_min(w_set1(limit), w_abs(x)); }
/* f where f(x) - f(-x) = x, given -f(-|x|), scaled */
static FNN_INLINE extended e_from_negative_half(W x, extended scaled)
{
    return e_select_sign(x, e_scaled(-E_DOWN, scaled), e_minus(x, e_scaled(E_DOWN, scaled)));
}
/* f' where f'(x) + f'(-x) = 1, given f'(-|x|), scaled */
static FNN_INLINE extended e_from_negative_half_dx(W x, extended scaled)
{
    const extended left = e_scaled(E_DOWN, scaled);
    return e_select_sign(x, left, e_minus(w_set1(1), left));
}

#if FNN_DTYPE == 32
/* (value + r slope) (1 + head + tail). What is small is added first: r slope, the largest beside the leading product,
 * then meets one rounding. */
static FNN_INLINE pair p_times_exponential(V value, V r, V slope, exponential e)
{
    const V hi = v_fma(value, e.head, value), error = v_fma(value, e.head, v_sub(value, hi));
    const V small = v_fma(v_mul(r, slope), v_add(e.head, e.tail), v_fma(value, e.tail, error));
    return (pair){hi, v_fma(r, slope, small)};
}
/* x < 0 ? f'(-a) : 1 - f'(-a) with f'(-a) = power slope (root - a), where the root is the float32 `root` and `rest`; d +
 * error is root - a, exactly but for the last digits of the root */
static FNN_INLINE V v_from_negative_half_dx(V x, V a, V root, T rest, V power, pair slope)
{
    const V d = v_sub(root, a), error = v_add(v_sub(v_sub(root, d), a), v_set1(rest));
    pair y = {.hi = v_mul(slope.hi, d)};
    y.lo = v_fma(slope.lo, d, v_fma(v_add(slope.hi, slope.lo), error, v_fms(slope.hi, d, y.hi)));
    const V down = v_select_sign(x, v_set1(EXP_DOWN), v_set1(-EXP_DOWN));
    return v_fma(v_mul(power, v_add(y.hi, y.lo)), down, v_select_sign(x, v_set1(0), v_set1(1)));
}
#endif

/* f(x) = x sigmoid(u(x)) with an odd u: f(-a) = -a e / (1 + e) with e = e^-u(a) */
static FNN_INLINE extended e_x_sigmoid(W x, extended a, extended u)
{
    const extended scaled = e_exp_scaled(e_scaled(-1, u)), d = e_minus(w_set1(1), e_scaled(-E_DOWN, scaled));
    return e_from_negative_half(x, e_mul(a, e_div(scaled, d))); /* in this order -0 stays one */
}
/* f'(-a) = e (1 + e - a u') / (1 + e)^2, given a u'(a) */
static FNN_INLINE extended e_x_sigmoid_dx(W x, extended u, extended adu)
{
    const extended scaled = e_exp_exact(e_scaled(-1, u)), d = e_minus(w_set1(1), e_scaled(-E_DOWN, scaled));
    return e_from_negative_half_dx(x, e_div(e_mul(scaled, e_sub(d, adu)), e_mul(d, d)));
}

/* silu(x) = x sigmoid(x): in lanes of T twice as fast as by the above */
EXPONENT(silu, HEAD_AND_TAIL) { return exponential_logistic(p_neg_clamped(x)); }
FROM_EXPONENT(silu)
{
    V y = v_logistic(v_max(v_set1(V_EXP_MIN), x), e, p_plus_expm1);
    return v_select(v_lt(v_set1(SATURATED), x), x, y);
}
/* silu'(-a) is e^-a (root - a) times a function that is 1 from the limit of its intervals on, if the root is taken for 1 */
#if FNN_DTYPE == 32
NARROW_BY(silu_dx, 3)
{
    const V a = v_min(v_set1(-V_EXP_MIN), v_abs(x));
    const piece at = piece_of(v_min(v_set1(SILU_DX_LIMIT), a), SILU_DX_SCALE, silu_dx_centre);
    const exponential e = exponential_scaled(p_from(v_neg(a)));
    const pair slope = p_times_exponential(v_lookup8(silu_dx_value, at.index), at.r, PIECE_POLY(at, silu_dx_poly), e);
    return v_from_negative_half_dx(x, a, v_lookup8(silu_dx_root, at.index), SILU_DX_ROOT_REST, e.power, slope);
}
#else
EXTENDED(silu_dx)
{
    const extended a = e_from(w_magnitude(x, E_LARGEST));
    return OR_EXPANSION(x, silu, e_x_sigmoid_dx(x, a, a));
}
#endif

/* gelu(x) = x Phi(x): gelu(-a) = -a Q(a) with Q(a) = Phi(-a). gelu'(x) = Phi(x) + x phi(x), phi(x) = e^(-x^2 / 2) /
 * sqrt(2 pi). Both Q(a), and gelu'(-a) over -a - root, are e^(-a^2 / 2) times a positive and smooth function: a
 * polynomial for each of eight intervals in float32, one in a / (a + 4) for all in float64. */
#if FNN_DTYPE == 32
/* e^(-a^2 / 2), scaled */
static FNN_INLINE exponential exponential_gauss(V a)
{
    const V half = v_mul(a, v_set1(-0.5f)), square = v_mul(a, half);
    return exponential_scaled((pair){square, v_fms(a, half, square)});
}
/* max(0, x) - a Q(a), the last operation; beyond the second interval a is a part of the polynomial */
NARROW_BY(gelu, PIECE_STEP)
{
    const V a = v_min(v_set1(GELU_LIMIT), v_abs(x));
    const piece at = piece_of(a, GELU_SCALE, gelu_centre);
    const exponential e = exponential_gauss(a);
    const pair ratio = p_times_exponential(v_lookup8(gelu_value, at.index), at.r, PIECE_POLY(at, gelu_poly), e);
    const V factor = v_mul(e.power, v_min(a, v_lookup8(gelu_most, at.index))), y = v_mul(factor, ratio.hi);
    const V low = v_fma(factor, ratio.lo, v_fms(factor, ratio.hi, y));
    return v_fma(v_add(y, low), v_set1(-EXP_DOWN), v_max(v_set1(0), x));
}
NARROW_BY(gelu_dx, 3)
{
    const V a = v_min(v_set1(GELU_DX_LIMIT), v_abs(x));
    const piece at = piece_of(a, GELU_DX_SCALE, gelu_dx_centre);
    const exponential e = exponential_gauss(a);
    const pair slope = p_times_exponential(v_lookup8(gelu_dx_value, at.index), at.r, PIECE_POLY(at, gelu_dx_poly), e);
    return v_from_negative_half_dx(x, a, v_lookup8(gelu_dx_root, at.index), GELU_DX_ROOT_REST, e.power, slope);
}
#else
/* e^(-a^2 / 2), scaled, for |a| <= GAUSS_LIMIT */
static FNN_INLINE extended e_gauss(extended a) { return e_exp_scaled(e_scaled(-0.5, e_mul(a, a))); }
/* here in (a - 4) / (a + 4) */
EXTENDED(gelu)
{
    const extended a = e_from(w_magnitude(x, GAUSS_LIMIT)), four = e_from(w_set1(4));
    extended ratio = E_POLY(e_div(e_sub(a, four), e_add(a, four)), gelu);
    return e_from_negative_half(x, e_mul(e_mul(a, ratio), e_gauss(a)));
}
/* gelu'(-a) is e^(-a^2 / 2) (-a - root) times a polynomial in a / (a + 4) */
EXTENDED(gelu_dx)
{
    const W magnitude = w_magnitude(x, GAUSS_LIMIT);
    const extended a = e_from(magnitude), t = e_sub(e_div(a, e_add(a, e_from(w_set1(4)))), e_from(w_set1(0.5)));
    extended slope = e_mul(e_minus_root(w_neg(magnitude), gelu_root), E_POLY(t, gelu_dx));
    return e_from_negative_half_dx(x, e_mul(slope, e_gauss(a)));
}
#endif

/* gelu_tanh(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x sigmoid(u) with u = x (c + d x^2), and |u| <=
 * E_LARGEST where |x| <= GELU_TANH_LIMIT */
#define GELU_TANH_LIMIT (FNN_DTYPE == 32 ? 15 : 21.6)
/* Returns |x|; and u and x u' there. */
static FNN_INLINE extended e_gelu_tanh_u(W x, extended *u, extended *xdu)
{
    const extended c = e_exactly(0x1.9884533d43651p0, -0x1.cbc0d30ebfd15p-54), three = e_from(w_set1(3));
    const extended d = e_exactly(0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c70p-61);
    const extended a = e_from(w_magnitude(x, GELU_TANH_LIMIT)), cubic = e_mul(d, e_mul(a, a));
    *u = e_mul(a, e_add(c, cubic));
    *xdu = e_mul(a, e_madd(three, cubic, c));
    return a;
}
EXTENDED(gelu_tanh)
{
    extended u, xdu, a = e_gelu_tanh_u(x, &u, &xdu);
    return e_x_sigmoid(x, a, u);
}
EXTENDED(gelu_tanh_dx)
{
    extended u, xdu;
    e_gelu_tanh_u(x, &u, &xdu);
    return OR_EXPANSION(x, gelu_tanh, e_x_sigmoid_dx(x, u, xdu));
}

/* mish(x) = x tanh(log(1 + e^x)) = x n / (n + 2) with n = w (w + 2) and w = e^x, which rounds to x from MISH_LIMIT
 * on */
#define MISH_LIMIT 40
EXTENDED(mish)
{
    const extended c = e_from(w_clamp(-E_LARGEST, x, MISH_LIMIT)), two = e_from(w_set1(2)), scaled = e_exp_scaled(c);
    extended n = e_mul(scaled, e_add(e_scaled(E_DOWN, scaled), two));
    extended y = e_scaled(E_DOWN, e_div(e_mul(c, n), e_add(e_scaled(E_DOWN, n), two)));
    return e_select(w_lt(w_set1(MISH_LIMIT), x), e_from(x), y);
}
/* mish'(x) = w ((w + 2) d + 4 x (w + 1)) / d^2 with d = w (w + 2) + 2 */
EXTENDED(mish_dx)
{
    const extended c = e_from(w_clamp(-E_LARGEST, x, MISH_LIMIT)), one = e_from(w_set1(1)), two = e_from(w_set1(2));
    const extended scaled = e_exp_exact(c), w = e_scaled(E_DOWN, scaled), w2 = e_add(w, two), d = e_madd(w, w2, two);
    extended n = e_mul(scaled, e_madd(w2, d, e_mul(e_scaled(4, c), e_add(w, one))));
    return OR_EXPANSION(x, mish, e_scaled(E_DOWN, e_div(n, e_mul(d, d))));
}

/* selu(x) = scale (x < 0 ? alpha (e^x - 1) : x), Klambauer et al. (2017) */
#define SELU_SCALE 1.0507009873554804934193349852946
#define SELU_SCALE_ALPHA 1.7580993408473768599402175208123
#define SELU_SCALE_ALPHA_REST 1.41535193800845e-17 /* what float64 lacks of it */
EXPONENT(selu, HEAD_AND_TAIL) { return elu_exponent(x, p); }
FROM_EXPONENT(selu)
{
    const pair scale = p_constant(SELU_SCALE);
    V y = p_mul_rounded(p_exactly(SELU_SCALE_ALPHA, SELU_SCALE_ALPHA_REST), p_expm1(e));
    V c = v_min(v_set1(LARGEST), x), line = v_signed(v_fma(c, scale.hi, v_mul(c, scale.lo)), x); /* for -0 */
    return v_select(v_lt(x, v_set1(0)), y, line);
}
EXPONENT(selu_dx, HEAD) { return exponential_scaled(p_exp_domain(x)); }
FROM_EXPONENT(selu_dx)
{
    pair y = p_mul(p_exactly(SELU_SCALE_ALPHA, SELU_SCALE_ALPHA_REST), p_exp_scaled(e));
    return v_select(v_lt(v_set1(0), x), v_set1((T)SELU_SCALE), p_unscaled_rounded(y));
}
NARROW(selu_dy)
{
    const pair alpha = p_exactly(SELU_SCALE_ALPHA, SELU_SCALE_ALPHA_REST);
    return v_select(v_lt(v_set1(0), x), v_set1((T)SELU_SCALE), v_add(v_add(x, alpha.hi), alpha.lo));
}

/* softsign(x) = x / (1 + |x|); the largest number stands for infinity */
static FNN_INLINE pair p_one_plus(V a) { return p_quick_sum(v_max(v_set1(1), a), v_min(v_set1(1), a)); }
NARROW(softsign)
{
    V a = v_min(v_set1(LARGEST), v_abs(x));
    return v_signed(p_div_rounded(p_from(a), p_one_plus(a)), x);
}
/* softsign'(x) = 1 / (1 + |x|)^2; the root is scaled so that its square is no subnormal number */
NARROW(softsign_dx)
{
    pair root = p_div(p_from(v_set1(0x1p20)), p_one_plus(v_min(v_set1(LARGEST), v_abs(x))));
    root = p_mul(root, root);
    return v_mul(v_add(root.hi, root.lo), v_set1((T)0x1p-40));
}

/* tanhshrink(x) = x - tanh(x), odd; tanhshrink'(x) = tanh(x)^2 */
#if FNN_DTYPE == 32
/* m (value + r slope) with m = power + rest, a power of a where a is near 0, and 1 or -1 elsewhere */
static FNN_INLINE pair p_times_piece(V power, V rest, V value, piece at, V slope)
{
    pair y = {.hi = v_mul(power, value)};
    y.lo = v_fma(v_mul(power, at.r), slope, v_fma(rest, value, v_fms(power, value, y.hi)));
    return y;
}
/* near 0 a^3 times a function, elsewhere a - tanh(a). The cube is scaled: its parts are no subnormal numbers. */
NARROW_BY(tanhshrink, PIECE_STEP)
{
    const V a = v_abs(x), c = v_min(v_set1(TANHSHRINK_LIMIT), a), up = v_mul(c, v_set1(0x1p16f));
    const V square = v_mul(up, up), cube = v_mul(square, up);
    const V cube_rest = v_fma(v_fms(up, up, square), up, v_fms(square, up, cube));
    const piece at = piece_of(c, TANHSHRINK_SCALE, tanhshrink_centre);
    const VM far = v_le(v_set1(TANHSHRINK_FAR), at.t);
    const V power = v_select(far, v_set1(-1), cube), rest = v_select(far, v_set1(0), cube_rest);
    const V value = v_lookup8(tanhshrink_value, at.index), base = v_select(far, a, v_set1(0));
    const pair y = p_times_piece(power, rest, value, at, PIECE_POLY(at, tanhshrink_poly));
    const V sum = v_add(v_add(base, y.hi), y.lo); /* the first of them is exact */
    return v_signed(v_mul(sum, v_select(far, v_set1(1), v_set1(0x1p-48f))), x);
}
/* near 0 a^2 times a function; the square is scaled likewise */
NARROW_BY(tanhshrink_dx, PIECE_STEP)
{
    const V a = v_min(v_set1(TANHSHRINK_DX_LIMIT), v_abs(x)), up = v_mul(a, v_set1(0x1p24f)), square = v_mul(up, up);
    const piece at = piece_of(a, TANHSHRINK_DX_SCALE, tanhshrink_dx_centre);
    const VM far = v_le(v_set1(TANHSHRINK_DX_FAR), at.t);
    const V power = v_select(far, v_set1(1), square), rest = v_select(far, v_set1(0), v_fms(up, up, square));
    const V value = v_lookup8(tanhshrink_dx_value, at.index);
    const pair y = p_times_piece(power, rest, value, at, PIECE_POLY(at, tanhshrink_dx_poly));
    return v_mul(v_add(y.hi, y.lo), v_select(far, v_set1(1), v_set1(0x1p-48f)));
}
#else
/* tanh(a) for a >= 0: -m / (2 + m) with m = e^(-2 a) - 1 */
static FNN_INLINE extended e_tanh(W a)
{
    const extended m = e_expm1_exact(e_scaled(-2, e_from(w_min(w_set1(SATURATED), a))));
    return e_div(e_scaled(-1, m), e_minus(w_set1(2), e_scaled(-1, m)));
}
/* a - tanh(a) near 0: a^3 times a polynomial in a^2. The cube is scaled: its parts are no subnormal numbers. */
static FNN_INLINE extended e_tanhshrink_near(extended a)
{
    const extended up = e_scaled(1 / E_DOWN, a), cube = e_mul(e_mul(up, up), up);
    return e_scaled(E_DOWN * E_DOWN * E_DOWN, e_mul(cube, E_POLY(e_mul(a, a), tanhshrink)));
}
EXTENDED(tanhshrink)
{
    const W a = w_abs(x);
    const extended ea = e_from(a), far = e_minus(a, e_tanh(a));
    extended y = e_select(w_lt(a, w_set1(TANHSHRINK_NEAR)), e_tanhshrink_near(ea), far);
    return e_select_sign(x, e_scaled(-1, y), y);
}
/* The square doubles errors: near 0 the expansion is more accurate. */
EXTENDED(tanhshrink_dx)
{
    const W a = w_abs(x);
    extended t = e_tanh(a), ea = e_from(a);
    t = e_select(w_lt(a, w_set1(TANHSHRINK_NEAR)), e_minus(a, e_tanhshrink_near(ea)), t);
    return e_mul(t, t);
}
#endif

/* softshrink(x) = x > lambd ? x - lambd : x < -lambd ? x + lambd : 0 */
NARROW(softshrink)
{
    V l = v_set1((T)p.v[0]);
    return v_select(v_lt(l, x), v_sub(x, l), v_select(v_lt(x, v_neg(l)), v_add(x, l), v_zero_or_nan(x)));
}
NARROW(softshrink_dx) { return v_step01(v_lt(v_set1((T)p.v[0]), v_abs(x)), x); }
NARROW(softshrink_dy) { return v_step01(v_lt(v_set1(0), v_abs(x)), x); }

/* threshold(x) = x > threshold ? x : value */
NARROW(threshold) { return v_select(v_le(x, v_set1((T)p.v[0])), v_set1((T)p.v[1]), x); }
NARROW(threshold_dx) { return v_step01(v_lt(v_set1((T)p.v[0]), x), x); }

/* relu6(x) = min(max(x, 0), 6) */
NARROW(relu6) { return v_clamp(0, x, 6); }
NARROW(relu6_dx) { return v_step01_between(v_set1(0), x, v_set1(6)); }
NARROW(relu6_dy) { return relu6_dx_v(x, p); }

/* hardtanh(x) = min(max(x, min_val), max_val) */
NARROW(hardtanh) { return v_clamp((T)p.v[0], x, (T)p.v[1]); }
NARROW(hardtanh_dx) { return v_step01_between(v_set1((T)p.v[0]), x, v_set1((T)p.v[1])); }
NARROW(hardtanh_dy) { return hardtanh_dx_v(x, p); }

/* hardsigmoid(x) = min(max(x + 3, 0), 6) / 6 */
#define SIXTH (1.0 / 6)
NARROW(hardsigmoid) { return p_mul_rounded(p_quick_sum(v_set1(3), v_clamp(-3, x, 3)), p_constant(SIXTH)); }
NARROW(hardsigmoid_dx) { return v_mul(v_step01_between(v_set1(-3), x, v_set1(3)), v_set1((T)SIXTH)); }
NARROW(hardsigmoid_dy) { return v_mul(v_step01_between(v_set1(0), x, v_set1(1)), v_set1((T)SIXTH)); }

/* hardswish(x) = x min(max(x + 3, 0), 6) / 6 */
NARROW(hardswish)
{
    V above = v_max(v_set1(-3), x), c = v_min(v_set1(3), above);
    pair w = p_mul(p_constant(SIXTH), p_quick_sum(v_set1(3), c)); /* from 3 on w.hi is 1 */
    return v_signed(v_fma(above, w.hi, v_mul(c, w.lo)), x);       /* for -0 */
}
/* hardswish'(x) = (2 x + 3) / 6 between -3 and 3 */
NARROW(hardswish_dx)
{
    V c = v_clamp(-3, x, 3), inside = p_mul_rounded(p_quick_sum(v_set1(3), v_add(c, c)), p_constant(SIXTH));
    return v_select(v_le(x, v_set1(-3)), v_set1(0), v_select(v_le(v_set1(3), x), v_set1(1), inside));
}
