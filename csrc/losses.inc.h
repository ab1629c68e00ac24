/*
 * losses.inc.h: the expressions of the pointwise losses of losses.h, their loop, and the weights of rows, which all losses share.
 *
 * Design
 * A. NAME is the value of a loss, NAME_dx its derivative by the input, both as functions of the input x, the target t and the
 *    parameters p in wide lanes: in them the difference of two float32 is nearly exact. NaN gives NaN.
 * B. A row's values are summed in struct lanes, rows in increasing order in float64.
 * C. The factor 1 / N of a mean is multiplied once: by the caller into the sum, here into each gradient.
 */

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

#define LOSS(name) static FNN_INLINE W loss_##name##_w(W x, W t, FNN_UNUSED row_params p)

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
    W c = loss_huber_dx_w(x, t, p);
    return w_mul(c, w_madd(w_set1(-0.5), c, w_sub(x, t)));
}

#undef LOSS

typedef W loss_expression(W x, W t, row_params p);

/* Sum of one row's values; writes values times w, and derivatives times slope, unless NULL. */
static FNN_INLINE double loss_row(T *values, T *dx, const T *x, const T *t, int64_t n, double w, double slope,
                                  loss_expression *value, loss_expression *derivative, row_params p)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        FNN_UNROLL(16)
        for (int v = 0; v < FNN_ROW_LANES; v += VL) {
            int64_t j = i + v, left = n - j;
            V xv = v_load_upto(x + j, left, 0), tv = v_load_upto(t + j, left, 0);
            W loss[V_PARTS], gradient[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) {
                W xw = v_widen(xv, h), tw = v_widen(tv, h);
                W one = value(xw, tw, p);
                lanes_add(&sum, v, h, one);
                loss[h] = w_mul(w_set1(w), one);
                gradient[h] = w_mul(w_set1(slope), derivative(xw, tw, p));
            }
            if (values) v_store_upto(values + j, v_narrow(loss), left);
            if (dx) v_store_upto(dx + j, v_narrow(gradient), left);
        }
    }
    return lanes_total(&sum);
}

static FNN_INLINE void loss_rows(double *sum, T *values, T *dx, const T *x, const fnn_target *target, double scale,
                                 int64_t batch, int64_t n, loss_expression *value, loss_expression *derivative,
                                 row_params p)
{
    const T *t = target->values;
    for (int64_t i = 0; i < batch; i++) {
        const double w = row_weight(target, i);
        if (w == 0) { /* +0, whatever the row holds */
            if (values) memset(values + i * n, 0, (size_t)n * sizeof(T));
            if (dx) memset(dx + i * n, 0, (size_t)n * sizeof(T));
            continue;
        }
        *sum += w * loss_row(values ? values + i * n : NULL, dx ? dx + i * n : NULL, x + i * n, t + i * n, n, w,
                             w * scale, value, derivative, p);
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
