/*
 * losses.inc.h: the expressions of the pointwise losses of losses.h, their loop, and the weights of rows, which all losses share.
 *
 * Design
 * A. NAME is the value of a loss, NAME_dx its derivative by the input, both as functions of the input x, the target t, the
 *    second number c, which is 1 where the row of the table has none or none is given, and the parameters p. They are in wide
 *    lanes: in them the difference of two float32 is nearly exact. NaN gives NaN. The compiler computes once what both have
 *    in common.
 * B. A row's values are summed in struct lanes, rows in increasing order in float64.
 * C. The factor 1 / N of a mean is multiplied once: by the caller into the sum, here into each gradient.
 * D. A switch among the parameters is a branch in every expression, and costs short ones a third of their speed. Where all
 *    parameters of such a row stand as by default they are constants of a loop of their own, which has no branches.
 */

/* The first of n numbers that is not accepted (FROM_0_TO_1, NONNEGATIVE, SIGN), or -1. NaN is accepted: it gives NaN. */
static int64_t FNN(first_refused)(const void *x_, int64_t n, int accepted)
{
    const T *x = x_, low = accepted == SIGN, high = accepted == NONNEGATIVE ? INFINITY : 1;
    V beyond = v_set1(0); /* how far outside the worst lies; NaN never is the larger */
    for (int64_t i = 0; i < n; i += VL) {
        V v = v_load_upto(x + i, n - i, 1);
        if (accepted == SIGN) v = v_abs(v);
        beyond = v_max(v_max(v_sub(v_set1(low), v), v_sub(v, v_set1(high))), beyond);
    }
    for (int64_t i = 0; v_any(v_lt(v_set1(0), beyond)) && i < n; i++) {
        const T v = accepted == SIGN ? (T)fabs(x[i]) : x[i];
        if (v < low || v > high) return i;
    }
    return -1;
}

/* The weight of row i in the mean: its sample weight and, for labels, its class weight; 0 where it is ignored. */
static double row_weight(const fnn_target *t, int64_t i)
{
    const T *class_weight = t->class_weight, *sample_weight = t->sample_weight;
    double w = sample_weight ? sample_weight[i] : 1;
    if (!t->labels) return w;
    if (t->labels[i] == t->ignore_index) return 0;
    return class_weight ? w * class_weight[t->labels[i]] : w;
}

static double FNN(sum_of_weights)(const fnn_target *target, int64_t batch)
{
    double sum = 0;
    for (int64_t i = 0; i < batch; i++) sum += row_weight(target, i);
    return sum;
}

#define LOSS(name) static FNN_INLINE W loss_##name##_w(FNN_UNUSED W x, W t, FNN_UNUSED W c, FNN_UNUSED row_params p)
#define VALUE_OF(name) loss_##name##_w(x, t, c, p)

/* mse(x, t) = (x - t)^2 */
LOSS(mse)
{
    W d = w_sub(x, t);
    return w_mul(d, d);
}
LOSS(mse_dx) { return w_mul(w_set1(2), w_sub(x, t)); }

/* huber(x, t) = d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = x - t: that is c (d - c / 2) with c = d
 * clamped to +-delta, which is the derivative */
LOSS(huber_dx) { return w_min(w_set1(p.v[0]), w_max(w_set1(-p.v[0]), w_sub(x, t))); }
LOSS(huber)
{
    W slope = VALUE_OF(huber_dx);
    return w_mul(slope, w_madd(w_set1(-0.5), slope, w_sub(x, t)));
}

/* half_mse(x, t) = (x - t)^2 / 2 */
LOSS(half_mse)
{
    W d = w_sub(x, t);
    return w_mul(w_set1(0.5), w_mul(d, d));
}
LOSS(half_mse_dx) { return w_sub(x, t); }

/* l1(x, t) = |x - t|; its derivative is the sign, of which that of 0 is 0 */
LOSS(l1) { return w_abs(w_sub(x, t)); }
LOSS(l1_dx)
{
    W d = w_sub(x, t);
    return w_select(w_lt(w_set1(0), w_abs(d)), w_signed(w_set1(1), d), d);
}

/* smooth_l1(x, t) = d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, with d = x - t: that is s (d - s beta / 2) with s =
 * d / beta clamped to +-1, which is the derivative. For beta = 0 it is l1. */
LOSS(smooth_l1_dx) { return w_clamp(-1, w_mul(w_set1(1 / (p.v[0] > 0x1p-1000 ? p.v[0] : 0x1p-1000)), w_sub(x, t)), 1); }
LOSS(smooth_l1)
{
    W slope = VALUE_OF(smooth_l1_dx);
    return w_mul(slope, w_madd(w_set1(-0.5 * p.v[0]), slope, w_sub(x, t)));
}

/* log_cosh(x, t) = log((e^d + e^-d) / 2) with d = x - t. With u = e^-|d| it is 2 artanh(((1 - u) / (1 + u))^2), where no term
 * cancels, up to 1.25, and |d| - log(2) + log(1 + u^2) beyond. */
LOSS(log_cosh)
{
    W d = w_abs(w_sub(x, t)), expm1 = w_expm1_clamped(w_neg(d)), one = w_add(w_set1(2), expm1);
    W u = w_add(w_set1(1), expm1), u2 = w_mul(u, u);
    WM near = w_lt(d, w_set1(1.25));
    W ratio = w_div(w_select(near, w_mul(expm1, expm1), u2), w_select(near, w_mul(one, one), w_add(w_set1(2), u2)));
    W line = w_select(near, w_set1(0), w_sub(d, w_set1(0x1.62e42fefa39efp-1)));
    return w_add(line, w_log_ratio(ratio));
}
/* tanh(d), and tanh(|d|) = (1 - u^2) / (1 + u^2) */
LOSS(log_cosh_dx)
{
    W d = w_sub(x, t), expm1 = w_expm1_clamped(w_neg_abs(d)), u = w_add(w_set1(1), expm1);
    W rest = w_neg(w_mul(expm1, w_add(w_set1(2), expm1)));
    return w_signed(w_div(rest, w_madd(u, u, w_set1(1))), d);
}

/* binary_cross_entropy(x, t) = -(t log(x) + (1 - t) log(1 - x)) of a probability x, logarithms at least -100 */
LOSS(binary_cross_entropy)
{
    W yes = w_max(w_set1(-100), w_log_normal(w_abs(x))), no = w_max(w_set1(-100), w_log1m(x));
    W value = w_neg(w_madd(t, yes, w_mul(w_sub(w_set1(1), t), no)));
    return w_select(w_eq(x, x), value, x); /* a logarithm is taken from bits: NaN would look like a number */
}
/* (x - t) / (x (1 - x)), whose denominator is at least 1e-12, as in PyTorch */
LOSS(binary_cross_entropy_dx) { return w_div(w_sub(x, t), w_max(w_set1(1e-12), w_mul(x, w_sub(w_set1(1), x)))); }

/* binary_cross_entropy_with_logits(x, t) = -(c t log(sigmoid(x)) + (1 - t) log(sigmoid(-x))), where -log(sigmoid(x)) =
 * max(-x, 0) + log(1 + e^-|x|): a sum of terms >= 0 */
LOSS(binary_cross_entropy_with_logits)
{
    W yes = w_mul(c, t), no = w_sub(w_set1(1), t);
    W line = w_madd(yes, w_max(w_set1(0), w_neg(x)), w_mul(no, w_max(w_set1(0), x)));
    return w_madd(w_add(yes, no), w_logistic(x).log1p, line);
}
LOSS(binary_cross_entropy_with_logits_dx)
{
    const logistic s = w_logistic(x);
    return w_nmadd(w_mul(c, t), s.minus, w_mul(w_sub(w_set1(1), t), s.plus));
}

/* focal_with_logits(x, t) = (t alpha + (1 - t) (1 - alpha)) miss^gamma binary_cross_entropy_with_logits(x, t), where miss = t
 * sigmoid(-x) + (1 - t) sigmoid(x) is how far the prediction is off; without alpha, its factor is 1 */
static FNN_INLINE W focal_factor(W t, W miss, row_params p)
{
    const W power = p.v[0] == 2 ? w_mul(miss, miss) : w_exp_clamped(w_mul(w_set1(p.v[0]), w_log_normal(miss)));
    if (p.v[1] != p.v[1]) return power;
    return w_mul(power, w_madd(t, w_set1(p.v[1]), w_mul(w_sub(w_set1(1), t), w_set1(1 - p.v[1]))));
}
LOSS(focal_with_logits)
{
    const logistic s = w_logistic(x);
    const W miss = w_madd(t, s.minus, w_mul(w_sub(w_set1(1), t), s.plus));
    return w_mul(focal_factor(t, miss, p), VALUE_OF(binary_cross_entropy_with_logits));
}
/* factor (bce' + gamma bce miss' / miss), where miss' = (1 - 2 t) sigmoid(x) sigmoid(-x); miss may round to 0 */
LOSS(focal_with_logits_dx)
{
    const logistic s = w_logistic(x);
    const W miss = w_madd(t, s.minus, w_mul(w_sub(w_set1(1), t), s.plus));
    const W share = w_div(w_mul(s.plus, s.minus), w_max(w_set1(0x1p-1020), miss));
    const W slope = w_mul(w_mul(w_set1(p.v[0]), w_madd(w_set1(-2), t, w_set1(1))), share);
    const W bce = VALUE_OF(binary_cross_entropy_with_logits), dbce = VALUE_OF(binary_cross_entropy_with_logits_dx);
    return w_mul(focal_factor(t, miss, p), w_madd(slope, bce, dbce));
}

/* hinge(x, t) = max(0, 1 - t x) for t = +-1; its derivative is -t where that is positive, else 0 */
LOSS(hinge) { return w_max(w_set1(0), w_nmadd(t, x, w_set1(1))); }
LOSS(hinge_dx)
{
    const W value = VALUE_OF(hinge);
    return w_select(w_lt(w_set1(0), value), w_neg(t), value);
}

/* squared_hinge(x, t) = max(0, 1 - t x)^2 */
LOSS(squared_hinge)
{
    const W value = VALUE_OF(hinge);
    return w_mul(value, value);
}
LOSS(squared_hinge_dx) { return w_mul(w_mul(w_set1(-2), t), VALUE_OF(hinge)); }

/* soft_margin(x, t) = log(1 + e^(-t x)) */
LOSS(soft_margin)
{
    const W z = w_neg(w_mul(t, x));
    return w_add(w_max(w_set1(0), z), w_logistic(z).log1p);
}
LOSS(soft_margin_dx) { return w_neg(w_mul(t, w_logistic(w_neg(w_mul(t, x))).plus)); }

/* poisson_nll(x, t) = e^x - t x, or x - t log(x + eps) where x is the rate itself; with `full` Stirling's approximation of
 * log(t!), t log(t) - t + log(2 pi t) / 2, is added for t > 1 */
LOSS(poisson_nll)
{
    const W e = w_exp_any(x), log_rate = p.v[0] ? x : w_log(w_add(x, w_set1(p.v[2])));
    const W value = w_nmadd(t, log_rate, p.v[0] ? e : x);
    if (!p.v[1]) return value;
    const W half_log = w_log(w_mul(w_set1(0x1.921fb54442d18p2), t)), log_t = w_log(t);
    const W rest = w_madd(t, w_sub(log_t, w_set1(1)), w_mul(w_set1(0.5), half_log));
    return w_add(value, w_select(w_lt(w_set1(1), t), rest, w_set1(0)));
}
LOSS(poisson_nll_dx)
{
    const W e = w_exp_any(x);
    if (p.v[0]) return w_sub(e, t);
    return w_sub(w_set1(1), w_div(t, w_add(x, w_set1(p.v[2]))));
}

/* kl_div(x, t) = t (log(t) - x) for logarithms x of probabilities, 0 log(0) = 0; or e^t (t - x) where t is a logarithm too */
LOSS(kl_div)
{
    if (p.v[0]) return w_mul(w_exp_any(t), w_sub(t, x));
#if FNN_DTYPE == 32 /* without subnormal numbers in wide lanes; infinity and NaN come back by the product with t */
    const W log_t = w_select(w_lt(t, w_set1(0)), w_set1(NAN), w_log_normal(t));
#else
    const W log_t = w_log(t);
#endif
    return w_mul(t, w_sub(w_select(w_eq(t, w_set1(0)), w_set1(0), log_t), x));
}
LOSS(kl_div_dx) { return w_neg(p.v[0] ? w_exp_any(t) : t); }

/* quantile(x, t) = max(c d, (c - 1) d) with d = t - x: c d where the estimate x of the quantile c is too low */
LOSS(quantile)
{
    const W d = w_sub(t, x);
    return w_max(w_mul(c, d), w_mul(w_sub(c, w_set1(1)), d));
}
LOSS(quantile_dx)
{
    const W d = w_sub(t, x), zero = w_set1(0);
    return w_select(w_lt(zero, d), w_neg(c), w_select(w_lt(d, zero), w_sub(w_set1(1), c), d));
}

/* gaussian_nll(x, t) = (log(v) + (x - t)^2 / v) / 2, with `full` + log(2 pi) / 2, where v is the variance c, at least eps. The
 * derivative by c is that by v, as in PyTorch. The third parameter, which no caller of the function has, says that c is the
 * logarithm of the variance. */
static FNN_INLINE W gaussian_variance(W c, row_params p) { return p.v[2] ? w_exp_any(c) : c; }
static FNN_INLINE W gaussian_clamped(W c, row_params p) { return w_max(w_set1(p.v[1]), gaussian_variance(c, p)); }
LOSS(gaussian_nll)
{
    const W v = gaussian_clamped(c, p), d = w_sub(x, t), inverse = w_div(w_set1(1), v);
    return w_madd(w_set1(0.5), w_madd(w_mul(d, d), inverse, w_log(v)), w_set1(p.v[0] ? 0x1.d67f1c864beb5p-1 : 0));
}
LOSS(gaussian_nll_dx) { return w_mul(w_sub(x, t), w_div(w_set1(1), gaussian_clamped(c, p))); }
LOSS(gaussian_nll_dc)
{
    const W v = gaussian_clamped(c, p), d = w_sub(x, t), inverse = w_div(w_set1(1), v);
    const W slope = w_mul(w_mul(w_set1(0.5), inverse), w_sub(w_set1(1), w_mul(w_mul(d, d), inverse)));
    return p.v[2] ? w_mul(slope, gaussian_variance(c, p)) : slope;
}

#undef LOSS
#undef VALUE_OF

typedef W loss_expression(W x, W t, W c, row_params p);

typedef struct {
    loss_expression *value, *dx, *dc; /* dc is NULL but for a pair */
} loss_expressions;

/* A row: what is written, each of which may be NULL, and what it is computed from. t is one number, with a step of 0, where it
 * is the same for all columns. */
typedef struct {
    T *values, *dx, *dc;
    const T *x, *t, *c;
    int t_step;
    double weight, slope; /* factors of values and derivatives */
} loss_arrays;

static const fnn_loss_row loss_table[FNN_LOSS_COUNT] = {FNN_LOSSES(FNN_LOSS_AS_DATA)}; /* known when this is compiled */
static const double lane_numbers[FNN_ROW_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* In float64, and one by one, a group of lanes is many vectors: unrolled code would be large and no faster. */
enum { LOSS_UNROLLED = FNN_DTYPE == 32 && VL > 1, HALF_LANES = FNN_ROW_LANES / 2 };

/* Adds the values of the first n of a group of lanes, all or half of them, from i on, of which `left` exist at least in part. */
static FNN_INLINE void loss_lanes(lanes *sum, const loss_arrays *a, int64_t i, int64_t left, const int n,
                                  const loss_expressions f, row_params p)
{
    W one[FNN_ROW_LANES / WL];
    FNN_UNROLL(LOSS_UNROLLED ? 4 : 1)
    for (int v = 0; v < n; v += VL) {
        const int64_t j = i + v, count = left - v;
        V x = v_load_upto(a->x + j, count, 0), t = a->t_step ? v_load_upto(a->t + j, count, 0) : v_set1(*a->t);
        V c = a->c ? v_load_upto(a->c + j, count, 1) : v_set1(1);
        W value[V_PARTS], dx[V_PARTS], dc[V_PARTS];
        FNN_UNROLL(2)
        for (int h = 0; h < V_PARTS; h++) {
            value[h] = dx[h] = dc[h] = w_set1(0);
            if (v + h * WL >= n) continue;
            W xw = v_widen(x, h), tw = v_widen(t, h), cw = v_widen(c, h), one_value = f.value(xw, tw, cw, p);
            one[v / WL + h] = one_value;
            value[h] = w_mul(w_set1(a->weight), one_value);
            dx[h] = w_mul(w_set1(a->slope), f.dx(xw, tw, cw, p));
            if (f.dc) dc[h] = w_mul(w_set1(a->slope), f.dc(xw, tw, cw, p));
        }
        if (a->values) v_store_upto(a->values + j, v_narrow(value), count);
        if (a->dx) v_store_upto(a->dx + j, v_narrow(dx), count);
        if (f.dc && a->dc) v_store_upto(a->dc + j, v_narrow(dc), count);
    }
    if (left < n) { /* lanes behind the row add nothing */
        const W end = w_set1((double)left);
        for (int l = 0; l < n / WL; l++) one[l] = w_select(w_lt(w_load(lane_numbers + l * WL), end), one[l], w_set1(0));
    }
    for (int l = 0; l < n / WL; l++) sum->w[l] = w_add(sum->w[l], one[l]);
}

/* Sum of one row's values. */
static FNN_INLINE double loss_row(const loss_arrays *a, int64_t n, const loss_expressions f, row_params p)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        const int count = n - i > HALF_LANES ? FNN_ROW_LANES : HALF_LANES;
        if (LOSS_UNROLLED && count == FNN_ROW_LANES)
            loss_lanes(&sum, a, i, n - i, FNN_ROW_LANES, f, p);
        else
            loss_lanes(&sum, a, i, n - i, LOSS_UNROLLED ? HALF_LANES : count, f, p);
    }
    return lanes_total(&sum);
}

/* +0 in each of n losses or gradients, unless NULL: those of a row that counts nothing, whatever it holds */
static void zero_row(T *a, int64_t n)
{
    if (a) memset(a, 0, (size_t)n * sizeof(T));
}

static FNN_INLINE void loss_rows(double *sum, T *values, T *dx, const T *x, const fnn_target *target, double scale,
                                 int64_t batch, int64_t n, const fnn_loss_row *row, const loss_expressions f,
                                 row_params p)
{
    const T *t = target->values, *c = target->second;
    const int64_t t_row = row->target == FNN_NUMBER_A_ROW ? 1 : n, c_row = f.dc ? n : 0;
    for (int64_t i = 0; i < batch; i++) {
        const double w = row_weight(target, i);
        const loss_arrays a = {.values = values ? values + i * n : NULL,
                               .dx = dx ? dx + i * n : NULL,
                               .dc = f.dc && target->dsecond ? (T *)target->dsecond + i * n : NULL,
                               .x = x + i * n,
                               .t = t + i * t_row,
                               .c = c ? c + i * c_row : NULL,
                               .t_step = row->target != FNN_NUMBER_A_ROW,
                               .weight = w,
                               .slope = w * scale};
        if (w != 0) {
            *sum += w * loss_row(&a, n, f, p);
        } else {
            zero_row(a.values, n);
            zero_row(a.dx, n);
            zero_row(a.dc, n);
        }
    }
}

/* nll(x) = -x_y of the logarithms of probabilities and the label y */
static void FNN(loss_nll)(double *sum, void *losses_, void *dinput_, const void *input, const fnn_target *target,
                          double scale, FNN_UNUSED const double *params, int64_t batch, int64_t classes)
{
    T *losses = losses_, *dx = dinput_;
    const T *x = input;
    for (int64_t i = 0; i < batch; i++, x += classes) {
        const double w = row_weight(target, i), loss = w != 0 ? -w * x[target->labels[i]] : 0;
        *sum += loss;
        if (losses) losses[i] = (T)loss;
        if (!dx) continue;
        zero_row(dx, classes);
        if (w != 0) dx[target->labels[i]] = (T)(-w * scale);
        dx += classes;
    }
}

/* sum_j max(0, z_j)^p with z_j = x_j - x_y + margin over the classes j other than the label y, p = 1 or 2; the derivative by
 * x_j is [z_j > 0] or 2 max(0, z_j), that by x_y less the sum of these. dx, which may be NULL or x, receives slope times it. */
static double hinge_row(T *dx, const T *x, int64_t n, int64_t label, double margin, int squared, double slope)
{
    lanes sum = lanes_zero(), slopes = lanes_zero();
    const double shift = margin - x[label];
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        const int whole = i + FNN_ROW_LANES <= n && (label < i || label >= i + FNN_ROW_LANES);
        double z[FNN_ROW_LANES]; /* 0, which adds nothing, for the label and behind the row */
        for (int l = 0; !whole && l < FNN_ROW_LANES; l++) z[l] = i + l < n && i + l != label ? x[i + l] + shift : 0;
        FNN_UNROLL(16)
        for (int v = 0; v < FNN_ROW_LANES; v += VL) {
            W d[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) {
                W beyond = whole ? w_add(v_widen(v_load(x + i + v), h), w_set1(shift)) : w_load(z + v + h * WL);
                beyond = w_max(w_set1(0), beyond);
                d[h] = squared ? w_add(beyond, beyond) : w_select(w_lt(w_set1(0), beyond), w_set1(1), beyond);
                lanes_add(&sum, v, h, squared ? w_mul(beyond, beyond) : beyond);
                lanes_add(&slopes, v, h, d[h]);
                d[h] = w_mul(w_set1(slope), d[h]);
            }
            if (dx) v_store_upto(dx + i + v, v_narrow(d), n - i - v);
        }
    }
    if (dx) dx[label] = (T)(0 - slope * lanes_total(&slopes));
    return lanes_total(&sum);
}

/* The losses of rows are hinge_row() over a divisor. */
static void hinge_rows(double *sum, T *losses, T *dx, const T *x, const fnn_target *target, double scale, double margin,
                       int squared, double divisor, int64_t batch, int64_t classes)
{
    for (int64_t i = 0; i < batch; i++, x += classes, dx = dx ? dx + classes : NULL) {
        const double w = row_weight(target, i) / divisor;
        const double loss = w != 0 ? w * hinge_row(dx, x, classes, target->labels[i], margin, squared, w * scale) : 0;
        *sum += loss;
        if (losses) losses[i] = (T)loss;
        if (w == 0) zero_row(dx, classes);
    }
}

/* multiclass_hinge is the sum over the wrong classes, multi_margin that over the number of all classes. */
static void FNN(loss_multiclass_hinge)(double *sum, void *losses, void *dinput, const void *input,
                                       const fnn_target *target, double scale, const double *params, int64_t batch,
                                       int64_t classes)
{
    hinge_rows(sum, losses, dinput, input, target, scale, params[0], params[1] == 2, 1, batch, classes);
}
static void FNN(loss_multi_margin)(double *sum, void *losses, void *dinput, const void *input, const fnn_target *target,
                                   double scale, const double *params, int64_t batch, int64_t classes)
{
    hinge_rows(sum, losses, dinput, input, target, scale, params[1], params[0] == 2, (double)classes, batch, classes);
}

/* loss_rows(), with constants in place of parameters where Design D says so */
static FNN_INLINE void loss_rows_by_switches(double *sum, void *losses, void *dinput, const void *input,
                                             const fnn_target *target, double scale, int64_t batch, int64_t features,
                                             const fnn_loss_row *row, const loss_expressions f, row_params p)
{
    const fnn_param *d = row->params;
    const row_params defaults = {{d[0].value, d[1].value, d[2].value}};
    const int as_defaults = p.v[0] == d[0].value && p.v[1] == d[1].value && p.v[2] == d[2].value;
    if (d[0].accepted == SWITCH && as_defaults)
        loss_rows(sum, losses, dinput, input, target, scale, batch, features, row, f, defaults);
    else
        loss_rows(sum, losses, dinput, input, target, scale, batch, features, row, f, p);
}

/* The kernel of a pointwise loss. A loss of kind FNN_ROW has one that somebody wrote: FNN(loss_NAME). */
#define LOSS_KERNEL_OF(name, ...)                                                                                      \
    static void FNN(loss_##name)(double *sum, void *losses, void *dinput, const void *input, const fnn_target *target, \
                                 double scale, const double *params, int64_t batch, int64_t features)                  \
    {                                                                                                                  \
        loss_rows_by_switches(                                                                                         \
            sum, losses, dinput, input, target, scale, batch, features, loss_table + FNN_LOSS_##name,                  \
            (loss_expressions){loss_##name##_w, loss_##name##_dx_w, __VA_ARGS__}, load_params(params));                \
    }
#define LOSS_KERNEL_FNN_POINT(name) LOSS_KERNEL_OF(name, NULL)
#define LOSS_KERNEL_FNN_PAIR(name) LOSS_KERNEL_OF(name, loss_##name##_dc_w)
#define LOSS_KERNEL_FNN_ROW(name)
#define LOSS_KERNEL(name, kind, ...) LOSS_KERNEL_##kind(name)
FNN_LOSSES(LOSS_KERNEL)
