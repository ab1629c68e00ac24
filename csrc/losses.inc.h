/*
 * losses.inc.h: the loops of losses.h.
 *
 * Design
 * A. As elementwise.inc.h; a row's values are summed in struct lanes, rows in increasing order in float64.
 * B. The factor 1 / N of a mean arrives in scale and is multiplied once: into the sum and into each gradient.
 */

#define LOSS(name) static FNN_INLINE W loss_##name##_w(W x, W t)
#include "losses.h" /* the expressions */
#undef LOSS

typedef W loss_expression(W x, W t);

/* Sum of one row's values; writes values times w, and derivatives times slope, unless NULL. */
static FNN_INLINE double loss_row(T *values, T *dx, const T *x, const T *t, int64_t n, double w, double slope,
                                  loss_expression *value, loss_expression *derivative)
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
                W one = value(xw, tw);
                lanes_add(&sum, v, h, one);
                loss[h] = w_mul(w_set1(w), one);
                gradient[h] = w_mul(w_set1(slope), derivative(xw, tw));
            }
            if (values) v_store_upto(values + j, v_narrow(loss), left);
            if (dx) v_store_upto(dx + j, v_narrow(gradient), left);
        }
    }
    return lanes_total(&sum);
}

static FNN_INLINE void loss_rows(double *total, T *values, T *dx, const T *x, const T *t, const T *sample_weight,
                                 double scale, int64_t batch, int64_t n, loss_expression *value,
                                 loss_expression *derivative)
{
    double sum = 0;
    for (int64_t i = 0; i < batch; i++) {
        double w = sample_weight ? sample_weight[i] : 1;
        if (w == 0) {
            if (values) memset(values + i * n, 0, (size_t)n * sizeof(T)); /* +0 */
            if (dx) memset(dx + i * n, 0, (size_t)n * sizeof(T));
            continue;
        }
        sum += w * loss_row(values ? values + i * n : NULL, dx ? dx + i * n : NULL, x + i * n, t + i * n, n, w,
                            w * scale, value, derivative);
    }
    *total = sum * scale;
}

#define LOSS_LOOP(name)                                                                                                \
    static void FNN(loss_##name)(double *total, void *values, void *dx, const void *x, const void *t,                  \
                                 const void *sample_weight, double scale, int64_t batch, int64_t features)             \
    {                                                                                                                  \
        loss_rows(total, values, dx, x, t, sample_weight, scale, batch, features, loss_##name##_w,                     \
                  loss_##name##_dx_w);                                                                                 \
    }
FNN_LOSSES(LOSS_LOOP)
