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
 */

/* The first of n numbers that is not accepted, FROM_0_TO_1 or at least 0, or -1. NaN is accepted: it gives NaN. */
static int64_t FNN(first_refused)(const void *x_, int64_t n, int accepted)
{
    const T *x = x_, high = accepted == FROM_0_TO_1 ? 1 : INFINITY;
    V beyond = v_set1(0); /* how far the worst lies outside; NaN never is the larger */
    for (int64_t i = 0; i < n; i += VL) {
        V v = v_load_upto(x + i, n - i, 0);
        beyond = v_max(v_max(v_neg(v), v_sub(v, v_set1(high))), beyond);
    }
    if (!v_any(v_lt(v_set1(0), beyond))) return -1;
    for (int64_t i = 0; i < n; i++)
        if (x[i] < 0 || x[i] > high) return i;
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

#define LOSS(name) static FNN_INLINE W loss_##name##_w(W x, W t, FNN_UNUSED W c, FNN_UNUSED row_params p)
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
LOSS(smooth_l1_dx) { return w_clamp(-1, w_mul(w_set1(1 / fmax(p.v[0], 0x1p-1000)), w_sub(x, t)), 1); }
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
    W yes = w_max(w_set1(-100), w_log_and(w_abs(x), w_set1(0))), no = w_max(w_set1(-100), w_log1m(x));
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

#undef LOSS
#undef VALUE_OF

typedef W loss_expression(W x, W t, W c, row_params p);

/* A row of `values` and `dx`, which may be NULL, and what they are computed from. */
typedef struct {
    T *values, *dx;
    const T *x, *t, *second;
    double weight, slope; /* factors of values and derivatives */
} loss_arrays;

/* Adds the values of a group of FNN_ROW_LANES lanes, from i on, of which `left` exist at least in part. */
static FNN_INLINE void loss_lanes(lanes *sum, const loss_arrays *a, int64_t i, int64_t left, loss_expression *value,
                                  loss_expression *derivative, row_params p)
{
    double lane[FNN_ROW_LANES];
    W one[FNN_ROW_LANES / WL];
    FNN_UNROLL(4)
    for (int v = 0; v < FNN_ROW_LANES; v += VL) {
        const int64_t j = i + v, count = left - v;
        V xv = v_load_upto(a->x + j, count, 0), tv = v_load_upto(a->t + j, count, 0);
        V cv = a->second ? v_load_upto(a->second + j, count, 1) : v_set1(1);
        W loss[V_PARTS], gradient[V_PARTS];
        for (int h = 0; h < V_PARTS; h++) {
            W xw = v_widen(xv, h), tw = v_widen(tv, h), cw = v_widen(cv, h), one_value = value(xw, tw, cw, p);
            one[v / WL + h] = one_value;
            loss[h] = w_mul(w_set1(a->weight), one_value);
            gradient[h] = w_mul(w_set1(a->slope), derivative(xw, tw, cw, p));
        }
        if (a->values) v_store_upto(a->values + j, v_narrow(loss), count);
        if (a->dx) v_store_upto(a->dx + j, v_narrow(gradient), count);
    }
    if (left < FNN_ROW_LANES) { /* lanes behind the row add nothing */
        for (int l = 0; l < FNN_ROW_LANES / WL; l++) w_store(lane + l * WL, one[l]);
        memset(lane + left, 0, (size_t)(FNN_ROW_LANES - left) * sizeof *lane);
        for (int l = 0; l < FNN_ROW_LANES / WL; l++) one[l] = w_load(lane + l * WL);
    }
    for (int l = 0; l < FNN_ROW_LANES / WL; l++) sum->w[l] = w_add(sum->w[l], one[l]);
}

/* Sum of one row's values. */
static FNN_INLINE double loss_row(const loss_arrays *a, int64_t n, loss_expression *value, loss_expression *derivative,
                                  row_params p)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) loss_lanes(&sum, a, i, n - i, value, derivative, p);
    return lanes_total(&sum);
}

static FNN_INLINE void loss_rows(double *sum, T *values, T *dx, const T *x, const fnn_target *target, double scale,
                                 int64_t batch, int64_t n, loss_expression *value, loss_expression *derivative,
                                 row_params p)
{
    loss_arrays a = {values, dx, x, target->values, target->second, 0, 0};
    for (int64_t i = 0; i < batch; i++) {
        const double w = row_weight(target, i);
        a.weight = w;
        a.slope = w * scale;
        if (w != 0) {
            *sum += w * loss_row(&a, n, value, derivative, p);
        } else { /* +0, whatever the row holds */
            if (values) memset(a.values, 0, (size_t)n * sizeof(T));
            if (dx) memset(a.dx, 0, (size_t)n * sizeof(T));
        }
        if (values) a.values += n;
        if (dx) a.dx += n;
        a.x += n;
        a.t += n;
    }
}

/* The kernel of a pointwise loss. A loss of kind FNN_ROW has one that somebody wrote: FNN(loss_NAME). */
#define LOSS_KERNEL_FNN_POINT(name)                                                                                    \
    static void FNN(loss_##name)(double *sum, void *losses, void *dinput, const void *input, const fnn_target *target, \
                                 double scale, const double *params, int64_t batch, int64_t features)                  \
    {                                                                                                                  \
        loss_rows(sum, losses, dinput, input, target, scale, batch, features, loss_##name##_w, loss_##name##_dx_w,     \
                  load_params(params));                                                                                \
    }
#define LOSS_KERNEL_FNN_ROW(name)
#define LOSS_KERNEL(name, kind, ...) LOSS_KERNEL_##kind(name)
FNN_LOSSES(LOSS_KERNEL)
