/*
 * activations.h: THE TABLE. One row per activation; beside it the vector expressions of the function and its
 * derivative.
 *
 * Design
 * A. A row gives the enum, the loops on every ISA and dtype, the fused forms, the layer class, the tests and the
 *    benchmarks. To add one: a row, its expressions, its twin in fastnn/reference.py, a line of fastnn/functional.py, docs.
 * B. Expressions are functions of one variable. WIDE(f) { ... } is evaluated in float64 lanes and rounded once to T;
 *    NARROW(f) { ... } in lanes of T; they define f_w (wide only) and f_v. x is the argument, p the parameters. NAME is
 *    the function, NAME_dx its derivative as a function of x, NAME_dy as a function of y (then called x); the backward
 *    loop multiplies by the incoming gradient.
 * C. NaN gives NaN: comparisons are written so that an unordered lane keeps x.
 *
 * Columns
 *    name      of the function
 *    layer     class name, torch.nn's where it has one
 *    saves     Y when NAME_dy exists (backward then takes y); P when it exists and holds for parameters >= 0 (with a
 *              negative slope y does not tell the sign of x); else X
 *    ulp       bound on the error in ulp: float32 forward, backward from x; float64 forward, backward from x. Default
 *              parameters, gradient 1. INFINITY: near a root of f' float64 cancels; absolutely it is within 4 epsilon.
 *    domain    of x, where the bounds hold
 *    params    name, default, which values are accepted
 */
#ifndef FNN_ACTIVATIONS_H
#define FNN_ACTIVATIONS_H

#include <math.h>
#include <stddef.h>

/* clang-format off */
enum { FNN_MAX_PARAMS = 2 };
enum fnn_accepted { ANY, NONZERO, NONNEGATIVE, POSITIVE };

#define ULP(...) {__VA_ARGS__}
#define REALS {-INFINITY, INFINITY}
#define NO_PARAMS {NULL, 0, ANY}

#define FNN_ACTIVATIONS(ROW)                                                                                                        \
    /*  name        layer         saves  ulp                             domain  params */                                          \
    ROW(identity,    "Identity",   Y,     ULP(0, 0, 0, 0),                REALS,  NO_PARAMS)                                        \
    ROW(relu,        "ReLU",       Y,     ULP(0, 0, 0, 0),                REALS,  NO_PARAMS)                                        \
    ROW(leaky_relu,  "LeakyReLU",  P,     ULP(0.9, 0.25, 0.5, 0),         REALS,  {"negative_slope", 0.01, ANY})                    \
    ROW(elu,         "ELU",        P,     ULP(0.85, 0.85, 1, 1),          REALS,  {"alpha", 1.0, ANY})                              \
    ROW(celu,        "CELU",       Y,     ULP(0.85, 0.85, 1, 1),          REALS,  {"alpha", 1.0, POSITIVE})                         \
    ROW(sigmoid,     "Sigmoid",    Y,     ULP(0.85, 0.85, 1, 1),          REALS,  NO_PARAMS)                                        \
    ROW(tanh,        "Tanh",       Y,     ULP(0.9, 0.85, 1.5, 1),         REALS,  NO_PARAMS)                                        \
    ROW(softplus,    "Softplus",   X,     ULP(1, 0.85, 1, 1),             REALS,  {"beta", 1.0, NONZERO}, {"threshold", 20.0, ANY}) \
    ROW(logsigmoid,  "LogSigmoid", X,     ULP(1, 0.85, 1, 1),             REALS,  NO_PARAMS)                                        \
    ROW(hardshrink,  "Hardshrink", X,     ULP(0, 0, 0, 0),                REALS,  {"lambd", 0.5, ANY})                              \
    ROW(square,      "Square",     X,     ULP(0.5, 0, 0.5, 0),            REALS,  NO_PARAMS)                                        \
    ROW(silu,        "SiLU",       X,     ULP(0.95, 0.51, 1, INFINITY),   REALS,  NO_PARAMS)                                        \
    ROW(gelu,        "GELU",       X,     ULP(0.51, 0.6, 20, INFINITY),   REALS,  NO_PARAMS)                                        \
    ROW(gelu_tanh,   "GELUTanh",   X,     ULP(0.51, 0.6, 3, INFINITY),    REALS,  NO_PARAMS)                                        \
    ROW(mish,        "Mish",       X,     ULP(0.51, 0.6, 4, INFINITY),    REALS,  NO_PARAMS)                                        \
    ROW(selu,        "SELU",       Y,     ULP(1, 0.85, 1.5, 1),           REALS,  NO_PARAMS)                                        \
    ROW(softsign,    "Softsign",   X,     ULP(0.51, 0.9, 0.51, 1),        REALS,  NO_PARAMS)                                        \
    ROW(tanhshrink,  "Tanhshrink", X,     ULP(0.51, 1.35, 5, 2),          REALS,  NO_PARAMS)                                        \
    ROW(softshrink,  "Softshrink", Y,     ULP(0.5, 0, 0.5, 0),            REALS,  {"lambd", 0.5, NONNEGATIVE})                      \
    ROW(threshold,   "Threshold",  X,     ULP(0, 0, 0, 0),                REALS,  {"threshold", 1.0, ANY}, {"value", 0.0, ANY})     \
    ROW(relu6,       "ReLU6",      Y,     ULP(0, 0, 0, 0),                REALS,  NO_PARAMS)                                        \
    ROW(hardtanh,    "Hardtanh",   Y,     ULP(0, 0, 0, 0),                REALS,  {"min_val", -1.0, ANY}, {"max_val", 1.0, ANY})    \
    ROW(hardsigmoid, "Hardsigmoid", Y,    ULP(0.51, 0.34, 1, 0.34),       REALS,  NO_PARAMS)                                        \
    ROW(hardswish,   "Hardswish",  X,     ULP(1, 0.51, 1, 1),             REALS,  NO_PARAMS)
/* clang-format on */

#define FNN_ENUM(name, ...) FNN_##name,
enum fnn_activation { FNN_ACTIVATIONS(FNN_ENUM) FNN_ACTIVATION_COUNT };

typedef struct {
    const char *name, *layer;
    char saves; /* 'x', 'y' or 'p' */
    double ulp[4], domain[2];
    struct {
        const char *name; /* NULL after the last */
        double value;
        int accepted; /* enum fnn_accepted */
    } params[FNN_MAX_PARAMS];
} fnn_activation_row;

extern const fnn_activation_row fnn_activation_rows[FNN_ACTIVATION_COUNT]; /* dispatch.c */

#endif

#ifdef NARROW /* the expressions, inside elementwise.inc.h */

NARROW(identity) { return x; }
NARROW(identity_dx) { return v_set1(1); } /* even where x is NaN: x is never read */
NARROW(identity_dy) { return v_set1(1); }

/* open ? 1 : 0, and NaN where x is: the derivative of a function of straight pieces */
static FNN_INLINE V v_gate(VM open, V x) { return v_select(open, v_set1(1), v_select(v_eq(x, x), v_set1(0), x)); }
static FNN_INLINE V v_gate_between(V low, V x, V high)
{
    return v_select(v_lt(low, x), v_gate(v_lt(x, high), x), v_gate(v_lt(x, x), x));
}

/* relu(x) = x < 0 ? 0 : x, which keeps -0 and NaN */
NARROW(relu) { return v_max(v_set1(0), x); }
NARROW(relu_dx) { return v_gate(v_lt(v_set1(0), x), x); }
NARROW(relu_dy) { return relu_dx_v(x, p); }

/* leaky_relu(x) = x > 0 ? x : negative_slope x */
NARROW(leaky_relu) { return v_select(v_lt(v_set1(0), x), x, v_mul(x, v_set1((T)p.v[0]))); }
NARROW(leaky_relu_dx) { return v_select(v_lt(v_set1(0), x), v_set1(1), v_select(v_eq(x, x), v_set1((T)p.v[0]), x)); }
NARROW(leaky_relu_dy) { return leaky_relu_dx_v(x, p); }

/* elu(x) = x < 0 ? alpha (e^x - 1) : x, which keeps -0 */
NARROW(elu)
{
    V y = v_rounded_product(v_constant(p.v[0]), v_expm1(v_max(v_set1(-SATURATED), x), NULL));
    return v_select(v_lt(x, v_set1(0)), y, x);
}
NARROW(elu_dx)
{
    pair y = v_product(v_constant(p.v[0]), v_exp_scaled(v_max(v_set1(EXP_LOWEST), x), NULL));
    return v_select(v_lt(v_set1(0), x), v_set1(1), v_rounded_unscaled(y));
}
NARROW(elu_dy) { return v_select(v_lt(v_set1(0), x), v_set1(1), v_add(x, v_set1((T)p.v[0]))); }

/* celu(x) = x < 0 ? alpha (e^(x / alpha) - 1) : x */
NARROW(celu)
{
    pair z = v_at_least(-SATURATED, v_times(x, v_reciprocal(p.v[0])));
    return v_select(v_lt(x, v_set1(0)), v_rounded_product(v_constant(p.v[0]), v_expm1(z.hi, &z.lo)), x);
}
NARROW(celu_dx)
{
    pair z = v_at_least(EXP_LOWEST, v_times(x, v_reciprocal(p.v[0])));
    return v_select(v_lt(v_set1(0), x), v_set1(1), v_rounded_unscaled(v_exp_scaled(z.hi, &z.lo)));
}
WIDE(celu_dy)
{
    W alpha = w_set1(p.v[0]);
    return w_select(w_lt(w_set1(0), x), w_set1(1), w_div(w_add(x, alpha), alpha));
}

/* sigmoid(x) = 1 / (1 + e^-x), as e / (1 + e) with e = e^x where x < 0: no overflow, and the tail keeps its digits */
NARROW(sigmoid) { return v_logistic(x, v_neg_abs_exp(x), NULL); }
/* sigmoid'(x) = e / (1 + e)^2 with e = e^-|x| */
NARROW(sigmoid_dx)
{
    pair e = v_exp_scaled(v_neg_abs_exp(x), NULL), d = v_plus(v_set1(1), v_unscaled(e));
    return v_mul(v_quotient(e, v_product(d, d)), v_set1(EXP_DOWN));
}
/* y (1 - y) = y - y^2, rounded once */
NARROW(sigmoid_dy) { return v_fma(v_neg(x), x, x); }

/* tanh(x) = (1 - e) / (1 + e) with e = e^(-2|x|) = e^r / t, odd: (t - e^r) / (t + e^r) */
static FNN_INLINE void v_tanh_parts(V x, pair *n, pair *d)
{
    V t, r = v_reduce(v_max(v_set1(-SATURATED), v_neg_abs(v_add(x, x))), NULL, 1, 0, &t);
    const V below = v_sub(t, v_set1(1)), above = v_add(t, v_set1(1));
    *n = v_plus_expm1(below, v_neg(r), r);
    *d = v_plus_expm1(above, r, r);
    d->lo = v_add(d->lo, v_sub(v_set1(2), v_sub(above, below))); /* what both lost */
}
NARROW(tanh)
{
    pair n, d;
    v_tanh_parts(x, &n, &d);
    return v_copysign(v_quotient(n, d), x);
}
/* tanh'(x) = 1 - tanh(x)^2 = 4 e / (1 + e)^2 with e = e^(-2|x|) */
NARROW(tanh_dx)
{
    pair e = v_exp_scaled(v_neg_abs_exp(v_add(x, x)), NULL), d = v_plus(v_set1(1), v_unscaled(e));
    return v_mul(v_quotient(e, v_product(d, d)), v_set1(4 * EXP_DOWN));
}
NARROW(tanh_dy) { return v_fma(v_neg(x), x, v_set1(1)); }

/* softplus(x) = log(1 + e^(beta x)) / beta, and x where beta x > threshold */
NARROW(softplus)
{
    const V linear = v_min(v_set1((T)p.v[1]), v_set1(SATURATED));
    if (p.v[0] == 1) return v_select(v_lt(linear, x), x, v_log1p_exp(x, v_neg_abs_exp(x), NULL));
    pair z = v_times(x, v_constant(p.v[0])), a = v_neg_abs_pair(z);
    V soft = v_log1p_exp(z.hi, a.hi, &a.lo);
    return v_select(v_lt(linear, z.hi), x, v_mul(soft, v_set1((T)(1 / p.v[0]))));
}
/* softplus'(x) = sigmoid(beta x), and 1 where beta x > threshold */
NARROW(softplus_dx)
{
    const V linear = v_set1((T)p.v[1]);
    if (p.v[0] == 1) return v_select(v_lt(linear, x), v_set1(1), v_logistic(x, v_neg_abs_exp(x), NULL));
    pair z = v_times(x, v_constant(p.v[0])), a = v_neg_abs_pair(z);
    return v_select(v_lt(linear, z.hi), v_set1(1), v_logistic(z.hi, a.hi, &a.lo));
}

/* logsigmoid(x) = log(sigmoid(x)) = -log(1 + e^-x) */
NARROW(logsigmoid)
{
    V soft = v_log1p_exp(v_neg(x), v_neg_abs_exp(x), NULL);
    return v_select(v_lt(x, v_set1(-SATURATED)), x, v_neg(soft));
}
/* logsigmoid'(x) = 1 - sigmoid(x) = sigmoid(-x) */
NARROW(logsigmoid_dx) { return v_logistic(v_neg(x), v_neg_abs_exp(x), NULL); }

/* hardshrink(x) = |x| <= lambd ? 0 : x */
NARROW(hardshrink) { return v_select(v_le(v_abs(x), v_set1((T)p.v[0])), v_set1(0), x); }
NARROW(hardshrink_dx) { return v_gate(v_lt(v_set1((T)p.v[0]), v_abs(x)), x); }

/* square(x) = x^2 */
NARROW(square) { return v_mul(x, x); }
NARROW(square_dx) { return v_add(x, x); }

/* silu(x) = x sigmoid(x) = x e / (1 + e) with e = e^x where x < 0, x / (1 + e) with e = e^-x else. Below -760 it is 0
 * and the clamp keeps inf * 0 away. */
NARROW(silu)
{
    const V up = v_set1(1 / (EXP_DOWN * EXP_DOWN)), down = v_set1(EXP_DOWN * EXP_DOWN); /* n is scaled, x may be tiny */
    V t, c = v_min(v_set1(SATURATED), v_max(v_set1(EXP_LOWEST), x));
    pair e = v_exp_ratio(v_neg_abs(c), NULL, &t), n = {v_select_sign(x, e.hi, t), v_select_sign(x, e.lo, v_set1(0))};
    V y = v_mul(v_quotient(v_times(v_mul(c, up), n), v_plus(t, e)), down);
    return v_select(v_lt(v_set1(SATURATED), x), x, y);
}
/* f' of f(x) = x sigmoid(u(x)), with e = e^-|u| and xdu = x u'(x): (1 + e + xdu) e / (1 + e)^2 where x < 0,
 * (1 + e + xdu e) / (1 + e)^2 else */
static FNN_INLINE W w_gated_dx(WM negative, W e, W xdu)
{
    W d = w_add(w_set1(1), e), n = w_add(d, w_mul(xdu, w_select(negative, w_set1(1), e)));
    return w_div(w_mul(n, w_select(negative, e, w_set1(1))), w_mul(d, d));
}
/* silu'(x) = sigmoid(x) (1 + x sigmoid(-x)) */
WIDE(silu_dx)
{
    W c = w_min(w_set1(760), w_max(w_set1(-760), x));
    return w_gated_dx(w_lt(x, w_set1(0)), w_exp_full(w_neg_abs(c)), c);
}

/* gelu(x) = x Phi(x) with Phi the normal distribution: x Q(|x|) where x < 0, x - x Q(x) else. Q(a) = Phi(-a) =
 * e^(-a^2 / 2) R(a) keeps the tail's digits. Beyond |x| = GAUSS_LIMIT it is 0 and the clamp keeps inf * 0 away. */
WIDE(gelu)
{
    W a = w_min(w_set1(GAUSS_LIMIT), w_abs(x));
    W xq = w_gauss_times(a, w_mul(w_copysign(a, x), w_gauss_tail(a)));
    return w_copysign(w_select(w_lt(x, w_set1(0)), xq, w_sub(x, xq)), x); /* for -0: -0 - -0 is 0 */
}
/* gelu'(x) = Phi(x) + x phi(x), phi(x) = e^(-x^2 / 2) / sqrt(2 pi): e (R(a) - a / sqrt(2 pi)) where x < 0, 1 minus it
 * else */
WIDE(gelu_dx)
{
    W a = w_min(w_set1(GAUSS_LIMIT), w_abs(x));
    W bracket = w_madd(a, w_set1(-0x1.9884533d43651p-2), w_gauss_tail_full(a));
    W d = w_gauss_times_full(a, bracket);
    return w_select(w_lt(x, w_set1(0)), d, w_sub(w_set1(1), d));
}

/* gelu_tanh(x) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x sigmoid(u) with u = x (c + d x^2); returns u,
 * x u'(x) = x (c + 3 d x^2), and what u lost to rounding: for float64, where e^u multiplies it by up to 745 */
static FNN_INLINE W w_gelu_tanh_u(W x, W *xdu, W *low)
{
    const W c = w_set1(0x1.9884533d43651p0), d = w_set1(0x1.2444f2a4d8b4bp-4);
    W x2 = w_mul(x, x), t = w_madd(d, x2, c), u = w_mul(x, t);
    *xdu = w_mul(x, w_madd(w_mul(w_set1(3), d), x2, c));
    *low = w_set1(0);
#if FNN_DTYPE == 64
    W p = w_mul(d, x2), p_low = w_madd(d, w_fma(x, x, w_neg(x2)), w_fma(d, x2, w_neg(p)));
    p_low = w_add(p_low, w_madd(x2, w_set1(-0x1.6c843a29d1c70p-61), w_set1(-0x1.cbc0d30ebfd15p-54))); /* of d and c */
    t = w_add(c, p);
    W back = w_sub(t, c), t_low = w_add(w_sub(c, w_sub(t, back)), w_sub(p, back));
    u = w_mul(x, t);
    *low = w_madd(x, w_add(t_low, p_low), w_fma(x, t, w_neg(u)));
#endif
    return u;
}
/* Beyond 30 as silu beyond 760. */
WIDE(gelu_tanh)
{
    W xe, xdu, low, c = w_max(w_set1(-30), x), u = w_gelu_tanh_u(c, &xdu, &low);
    W e = w_exp_and_times(w_neg_abs(u), w_madd(c, low, c), &xe);
    return w_div(w_select(w_lt(x, w_set1(0)), xe, c), w_add(w_set1(1), e));
}
WIDE(gelu_tanh_dx)
{
    W xdu, low, u = w_gelu_tanh_u(w_min(w_set1(30), w_max(w_set1(-30), x)), &xdu, &low);
    WM negative = w_lt(x, w_set1(0));
    W e = w_exp_full(w_neg_abs(u));
    return w_gated_dx(negative, w_madd(e, w_select(negative, low, w_neg(low)), e), xdu);
}

/* mish(x) = x tanh(log(1 + e^x)) = x n / d. With e = e^x where x < 0: n = e (e + 2), d = n + 2; with e = e^-x else:
 * n = 1 + 2 e, d = n + 2 e^2 */
static FNN_INLINE void w_mish_parts(WM negative, W e, W *n, W *d)
{
    W pair = w_madd(w_set1(2), e, w_select(negative, w_mul(e, e), w_set1(1)));
    *n = pair;
    *d = w_add(pair, w_select(negative, w_set1(2), w_mul(w_set1(2), w_mul(e, e))));
}
WIDE(mish)
{
    WM negative = w_lt(x, w_set1(0));
    W n, d, xe, c = w_max(w_set1(-760), x), e = w_exp_and_times(w_neg_abs(c), c, &xe);
    w_mish_parts(negative, e, &n, &d);
    return w_div(w_select(negative, w_mul(xe, w_add(e, w_set1(2))), w_mul(c, n)), d);
}
/* mish'(x) = e ((e + 2) d + 4 x (1 + e)) / d^2 where x < 0, (n d + 4 x e^2 (1 + e)) / d^2 else. The float32 nearest the
 * root, -1.1924312, needs the exact fma. */
WIDE(mish_dx)
{
    WM negative = w_lt(x, w_set1(0));
    W n, d, c = w_min(w_set1(760), w_max(w_set1(-760), x)), e = w_exp_full(w_neg_abs(c));
    w_mish_parts(negative, e, &n, &d);
    W slope = w_mul(w_mul(w_set1(4), c), w_add(w_set1(1), e));
    W low = w_mul(e, w_fma(w_add(e, w_set1(2)), d, slope)), high = w_madd(n, d, w_mul(slope, w_mul(e, e)));
    return w_div(w_select(negative, low, high), w_mul(d, d));
}

/* selu(x) = scale (x < 0 ? alpha (e^x - 1) : x), Klambauer et al. (2017) */
#define SELU_SCALE 1.0507009873554804934193349852946
#define SELU_SCALE_ALPHA 1.7580993408473768599402175208123
#define SELU_SCALE_ALPHA_LOW 1.41535193800845e-17 /* what float64 leaves of it: y + scale alpha ends near 0 */
NARROW(selu)
{
    const pair scale = v_constant(SELU_SCALE);
    V y = v_rounded_product(v_constant(SELU_SCALE_ALPHA), v_expm1(v_max(v_set1(-SATURATED), x), NULL));
    V c = v_min(v_set1(LARGEST), x), line = v_copysign(v_fma(c, scale.hi, v_mul(c, scale.lo)), x); /* for -0 */
    return v_select(v_lt(x, v_set1(0)), y, line);
}
NARROW(selu_dx)
{
    pair y = v_product(v_constant(SELU_SCALE_ALPHA), v_exp_scaled(v_max(v_set1(EXP_LOWEST), x), NULL));
    return v_select(v_lt(v_set1(0), x), v_set1((T)SELU_SCALE), v_rounded_unscaled(y));
}
WIDE(selu_dy)
{
    W below = w_add(w_add(x, w_set1(SELU_SCALE_ALPHA)), w_set1(SELU_SCALE_ALPHA_LOW));
    return w_select(w_lt(w_set1(0), x), w_set1(SELU_SCALE), below);
}

/* softsign(x) = x / (1 + |x|); the largest number stands for infinity */
NARROW(softsign)
{
    V a = v_min(v_set1(LARGEST), v_abs(x)), one = v_set1(1);
    pair d = v_plus(v_max(one, a), (pair){v_min(one, a), v_set1(0)});
    return v_copysign(v_quotient((pair){a, v_set1(0)}, d), x);
}
/* softsign'(x) = 1 / (1 + |x|)^2; the root is scaled so that its square is no subnormal number */
NARROW(softsign_dx)
{
    V a = v_min(v_set1(LARGEST), v_abs(x)), one = v_set1(1);
    pair root = {v_set1(0x1p20), v_set1(0)}, d = v_plus(v_max(one, a), (pair){v_min(one, a), v_set1(0)});
    root = v_quotient_pair(root, d);
    root = v_product(root, root);
    return v_mul(v_add(root.hi, root.lo), v_set1((T)0x1p-40));
}

/* tanhshrink(x) = x - tanh(x), odd. With a = |x| and g = e^-a: a - 1 + 2 g^2 / (1 + g^2) where a > 1, else
 * (a cosh(a) - sinh(a)) / cosh(a), whose numerator is a^3 / 3 + a^5 / 30 + ...: nothing cancels */
WIDE(tanhshrink)
{
    W a = w_abs(x), g = w_exp(w_neg(a)), g2 = w_mul(g, g), a2 = w_mul(a, a);
    WM small = w_le(a, w_set1(1));
    W n = w_mul(w_mul(a2, a), W_POLY(a2, sinh_difference));
    W q = w_div(w_mul(w_mul(w_set1(2), g), w_select(small, n, g)), w_add(w_set1(1), g2));
    return w_copysign(w_select(small, q, w_add(w_sub(a, w_set1(1)), q)), x);
}
/* tanhshrink'(x) = tanh(x)^2. The square doubles the error of the exponential: more than 1 ulp. */
NARROW(tanhshrink_dx)
{
    pair n, d;
    v_tanh_parts(x, &n, &d);
    n = v_quotient_pair(n, d);
    n = v_product(n, n);
    return v_add(n.hi, n.lo);
}

/* softshrink(x) = x > lambd ? x - lambd : x < -lambd ? x + lambd : 0 */
NARROW(softshrink)
{
    V l = v_set1((T)p.v[0]);
    V inside = v_select(v_eq(x, x), v_set1(0), x);
    return v_select(v_lt(l, x), v_sub(x, l), v_select(v_lt(x, v_neg(l)), v_add(x, l), inside));
}
NARROW(softshrink_dx) { return v_gate(v_lt(v_set1((T)p.v[0]), v_abs(x)), x); }
NARROW(softshrink_dy) { return v_gate(v_lt(v_set1(0), v_abs(x)), x); }

/* threshold(x) = x > threshold ? x : value */
NARROW(threshold) { return v_select(v_le(x, v_set1((T)p.v[0])), v_set1((T)p.v[1]), x); }
NARROW(threshold_dx) { return v_gate(v_lt(v_set1((T)p.v[0]), x), x); }

/* relu6(x) = min(max(x, 0), 6) */
NARROW(relu6) { return v_min(v_set1(6), v_max(v_set1(0), x)); }
NARROW(relu6_dx) { return v_gate_between(v_set1(0), x, v_set1(6)); }
NARROW(relu6_dy) { return relu6_dx_v(x, p); }

/* hardtanh(x) = min(max(x, min_val), max_val) */
NARROW(hardtanh) { return v_min(v_set1((T)p.v[1]), v_max(v_set1((T)p.v[0]), x)); }
NARROW(hardtanh_dx) { return v_gate_between(v_set1((T)p.v[0]), x, v_set1((T)p.v[1])); }
NARROW(hardtanh_dy) { return hardtanh_dx_v(x, p); }

/* hardsigmoid(x) = min(max(x + 3, 0), 6) / 6 */
#define SIXTH (1.0 / 6)
static FNN_INLINE V v_clamp(V low, V x, V high) { return v_min(high, v_max(low, x)); }
NARROW(hardsigmoid)
{
    pair above = v_plus(v_set1(3), (pair){v_clamp(v_set1(-3), x, v_set1(3)), v_set1(0)});
    return v_rounded_product(above, v_constant(SIXTH));
}
NARROW(hardsigmoid_dx) { return v_mul(v_gate_between(v_set1(-3), x, v_set1(3)), v_set1((T)SIXTH)); }
NARROW(hardsigmoid_dy) { return v_mul(v_gate_between(v_set1(0), x, v_set1(1)), v_set1((T)SIXTH)); }

/* hardswish(x) = x min(max(x + 3, 0), 6) / 6 */
NARROW(hardswish)
{
    V c = v_clamp(v_set1(-3), x, v_set1(3));
    pair product = v_times(c, v_plus(v_set1(3), (pair){c, v_set1(0)}));
    V y = v_copysign(v_rounded_product(product, v_constant(SIXTH)), x); /* for -0 */
    return v_select(v_lt(v_set1(3), x), x, y);
}
/* hardswish'(x) = (2 x + 3) / 6 between -3 and 3 */
NARROW(hardswish_dx)
{
    V c = v_clamp(v_set1(-3), x, v_set1(3));
    V inside = v_rounded_product(v_plus(v_set1(3), (pair){v_add(c, c), v_set1(0)}), v_constant(SIXTH));
    return v_select(v_le(x, v_set1(-3)), v_set1(0), v_select(v_le(v_set1(3), x), v_set1(1), inside));
}

#endif
