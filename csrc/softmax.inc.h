/*
 * softmax.inc.h: softmax, log_softmax and the fused softmax cross-entropy, row by row.
 *
 * Design
 * A. Sums over a row: struct lanes (kernels.inc.h), in float64.
 * B. log sum_j e^(x_j) = m + log1p(rest): m is the row's maximum, whose own term is exactly 1, and rest the sum of the
 *    other terms. A loss near 0 keeps its digits that way.
 * C. Labels, label smoothing, class weights and probabilities are one formula: the loss of a row is sum_j q_j (m -
 *    x_j) + Q log1p(rest), with q_j = class_weight_j ((1 - s) target_j + s / classes) and Q = sum_j q_j. A label is a
 *    spike in q, added by itself; where nothing else is in q no vector of it is formed.
 * D. A row without a finite maximum, or with NaN, gives NaN, as in PyTorch.
 */

static double row_max(const T *x, int64_t n)
{
    T best[VL];
    V max = v_set1(-INFINITY);
    for (int64_t i = 0; i < n; i += VL) max = v_max(v_load_upto(x + i, n - i, -INFINITY), max);
    v_store(best, max);
    for (int l = 1; l < VL; l++)
        if (best[l] > best[0]) best[0] = best[l];
    return best[0];
}

static FNN_INLINE double scalar_exp(double x) { return w_first(w_exp(w_set1(x))); }
static FNN_INLINE double scalar_log1p(double x) { return w_first(w_log1p(w_set1(x))); }

/* e^d with d = x - m <= 0. float32 subtracts in float64, where hardly a bit is lost; for float64 the rounding error of
 * the difference, which e^d would magnify |d| times, is put back, except where d is far below the range of e^d. */
static FNN_INLINE W w_exp_shifted(W d, FNN_UNUSED W x, FNN_UNUSED W m)
{
    W e = w_exp(d);
#if FNN_DTYPE == 64
    W m_rounded = w_sub(x, d), x_rounded = w_add(d, m_rounded);
    W low = w_add(w_sub(x, x_rounded), w_sub(m_rounded, m));
    e = w_madd(w_select(w_lt(w_set1(-1000), d), low, w_set1(0)), e, e);
#endif
    return e;
}

/* Returns rest = sum_j e^(x_j - m) - 1; writes e^(x_j - m), rounded to T, unless e is NULL. e may be x. */
static double exp_row(T *e, const T *x, int64_t n, double m)
{
    lanes sum = lanes_zero(), largest = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        FNN_UNROLL(16)
        for (int v = 0; v < FNN_ROW_LANES; v += VL) {
            V xv = v_load_upto(x + i + v, n - i - v, -INFINITY);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) {
                W xw = v_widen(xv, h), d = w_sub(xw, w_set1(m));
                WM is_max = w_eq(d, w_set1(0));
                part[h] = w_exp_shifted(d, xw, w_set1(m));
                lanes_add(&sum, v, h, w_select(is_max, w_set1(0), part[h]));
                lanes_add(&largest, v, h, w_select(is_max, w_set1(1), w_set1(0)));
            }
            if (e) v_store_upto(e + i + v, v_narrow(part), n - i - v);
        }
    }
    return lanes_total(&sum) + (lanes_total(&largest) - 1);
}

/* y = a x for a row, in wide lanes. */
static void scale_row(T *y, const T *x, int64_t n, double a)
{
    for (int64_t i = 0; i < n; i += VL) {
        V xv = v_load_upto(x + i, n - i, 0);
        W part[V_PARTS];
        for (int h = 0; h < V_PARTS; h++) part[h] = w_mul(v_widen(xv, h), w_set1(a));
        v_store_upto(y + i, v_narrow(part), n - i);
    }
}

/* softmax(x)_j = e^(x_j - m) / sum */
static void FNN(softmax_forward)(void *y_, const void *x_, int64_t batch, int64_t classes)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t i = 0; i < batch; i++, x += classes, y += classes) {
        double rest = exp_row(y, x, classes, row_max(x, classes));
        scale_row(y, y, classes, 1 / (1 + rest));
    }
}

/* log_softmax(x)_j = (x_j - m) - log1p(rest) */
static void FNN(log_softmax_forward)(void *y_, const void *x_, int64_t batch, int64_t classes)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t i = 0; i < batch; i++, x += classes, y += classes) {
        double m = row_max(x, classes), log_sum = scalar_log1p(exp_row(NULL, x, classes, m));
        for (int64_t j = 0; j < classes; j += VL) {
            V xv = v_load_upto(x + j, classes - j, 0);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) part[h] = w_sub(w_sub(v_widen(xv, h), w_set1(m)), w_set1(log_sum));
            v_store_upto(y + j, v_narrow(part), classes - j);
        }
    }
}

/* sum_j a_j b_j, or sum_j a_j where b is NULL */
static double dot_row(const T *a, const T *b, int64_t n)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        FNN_UNROLL(16)
        for (int v = 0; v < FNN_ROW_LANES; v += VL) {
            V av = v_load_upto(a + i + v, n - i - v, 0);
            V bv = b ? v_load_upto(b + i + v, n - i - v, 0) : v_set1(1);
            for (int h = 0; h < V_PARTS; h++) lanes_add(&sum, v, h, w_mul(v_widen(av, h), v_widen(bv, h)));
        }
    }
    return lanes_total(&sum);
}

/* y = softmax(x), so dx = y (dy - sum_j dy_j y_j) */
static void FNN(softmax_backward)(void *dx_, const void *dy_, const void *y_, int64_t batch, int64_t classes)
{
    T *dx = dx_;
    const T *dy = dy_, *y = y_;
    for (int64_t i = 0; i < batch; i++, dx += classes, dy += classes, y += classes) {
        W dot = w_set1(dot_row(dy, y, classes));
        for (int64_t j = 0; j < classes; j += VL) {
            V g = v_load_upto(dy + j, classes - j, 0), yv = v_load_upto(y + j, classes - j, 0);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) part[h] = w_mul(v_widen(yv, h), w_sub(v_widen(g, h), dot));
            v_store_upto(dx + j, v_narrow(part), classes - j);
        }
    }
}

/* y = log_softmax(x), so dx = dy - e^y sum_j dy_j */
static void FNN(log_softmax_backward)(void *dx_, const void *dy_, const void *y_, int64_t batch, int64_t classes)
{
    T *dx = dx_;
    const T *dy = dy_, *y = y_;
    for (int64_t i = 0; i < batch; i++, dx += classes, dy += classes, y += classes) {
        W sum = w_set1(-dot_row(dy, NULL, classes));
        for (int64_t j = 0; j < classes; j += VL) {
            V g = v_load_upto(dy + j, classes - j, 0), yv = v_load_upto(y + j, classes - j, 0);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++) part[h] = w_madd(w_exp(v_widen(yv, h)), sum, v_widen(g, h));
            v_store_upto(dx + j, v_narrow(part), classes - j);
        }
    }
}

/* The smooth part of q (Design C): class_weight_j ((1 - s) probability_j + s / classes); a label's spike comes on top.
 */
typedef struct {
    const T *class_weight, *probabilities; /* of this row; or NULL */
    double keep, floor;                    /* 1 - s and s / classes */
} soft_target;

static FNN_INLINE W soft_q(const soft_target *t, int64_t j, int64_t left, int h)
{
    W q = w_set1(t->floor);
    if (t->probabilities) q = w_madd(w_set1(t->keep), v_widen(v_load_upto(t->probabilities + j, left, 0), h), q);
    if (t->class_weight) q = w_mul(q, v_widen(v_load_upto(t->class_weight + j, left, 0), h));
    return q;
}

/* sum_j q_j over the smooth part of a row. */
static double soft_total(const soft_target *t, int64_t n)
{
    double total = t->floor ? t->floor * (t->class_weight ? dot_row(t->class_weight, NULL, n) : (double)n) : 0;
    return t->probabilities ? total + t->keep * dot_row(t->probabilities, t->class_weight, n) : total;
}

/* sum_j q_j (m - x_j) over the smooth part of a row. 0 times infinity counts as 0. */
static double soft_cost(const soft_target *t, const T *x, int64_t n, double m)
{
    lanes cost = lanes_zero();
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES) {
        FNN_UNROLL(16)
        for (int v = 0; v < FNN_ROW_LANES; v += VL) {
            int64_t left = n - i - v;
            V xv = v_load_upto(x + i + v, left, (T)m); /* lanes beyond the row cost nothing */
            for (int h = 0; h < V_PARTS; h++) {
                W q = soft_q(t, i + v, left, h), d = w_sub(w_set1(m), v_widen(xv, h));
                lanes_add(&cost, v, h, w_select(w_eq(q, w_set1(0)), w_set1(0), w_mul(q, d)));
            }
        }
    }
    return lanes_total(&cost);
}

/* dlogits_j = scale (Q e_j / S - q_j) over a row, from e_j in dlogits, without the spike. */
static void soft_gradient(T *dlogits, const soft_target *t, int64_t n, double softmax_scale, double scale)
{
    for (int64_t j = 0; j < n; j += VL) {
        V e = v_load_upto(dlogits + j, n - j, 0);
        W part[V_PARTS];
        for (int h = 0; h < V_PARTS; h++)
            part[h] = w_sub(w_mul(v_widen(e, h), w_set1(softmax_scale)), w_mul(soft_q(t, j, n - j, h), w_set1(scale)));
        v_store_upto(dlogits + j, v_narrow(part), n - j);
    }
}

/* Loss of one row; dlogits, unless NULL, receives its gradient times scale. label < 0 where there is no spike. */
static double cross_entropy_row(T *dlogits, const T *x, int64_t n, const soft_target *t, int64_t label, double scale)
{
    const double m = row_max(x, n);
    const int smooth = t->floor != 0 || t->probabilities;
    const double below = label < 0 ? 0 : m - x[label]; /* read before dlogits, which may be x, is written */
    const double spike = label < 0 ? 0 : t->keep * (t->class_weight ? t->class_weight[label] : 1);
    const double q_label =
        label < 0 || !smooth ? spike : spike + t->floor * (t->class_weight ? t->class_weight[label] : 1);
    const double total = spike + (smooth ? soft_total(t, n) : 0);
    double cost = spike == 0 ? 0 : spike * below;
    if (smooth) cost += soft_cost(t, x, n, m);

    const double rest = exp_row(dlogits, x, n, m), sum = 1 + rest;
    if (dlogits) {
        if (smooth)
            soft_gradient(dlogits, t, n, total / sum * scale, scale);
        else
            scale_row(dlogits, dlogits, n, total / sum * scale);
        if (label >= 0) { /* Q e / S - q = ((Q - q) e + q (e - S)) / S, and e - S = (e - 1) - rest does not cancel */
            double e = scalar_exp(-below);
            dlogits[label] = (T)(((total - q_label) * e + q_label * ((e - 1) - rest)) / sum * scale);
        }
    }
    return cost + total * scalar_log1p(rest);
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

static int FNN(cross_entropy)(double *total, void *losses_, void *dlogits_, int64_t *bad_row, const void *logits_,
                              const fnn_target *target, int mean, int64_t batch, int64_t classes)
{
    T *losses = losses_, *dlogits = dlogits_;
    const T *logits = logits_, *sample_weight = target->sample_weight;
    const int64_t *labels = target->labels;
    for (int64_t i = 0; labels && i < batch; i++)
        if (labels[i] != target->ignore_index && (labels[i] < 0 || labels[i] >= classes)) {
            *bad_row = i;
            return FNN_BAD_LABEL;
        }
    double weights = 0, sum = 0;
    for (int64_t i = 0; mean && i < batch; i++) weights += row_weight(target, i);
    const double scale = mean ? 1 / weights : 1;
    soft_target t = {target->class_weight, target->probabilities, 1 - target->label_smoothing,
                     target->label_smoothing / (double)classes};
    for (int64_t i = 0; i < batch; i++) {
        T *gradient = dlogits ? dlogits + i * classes : NULL;
        double loss = 0, w = sample_weight ? sample_weight[i] : 1;
        if (labels && labels[i] == target->ignore_index) {
            for (int64_t j = 0; gradient && j < classes; j++) gradient[j] = 0;
        } else {
            loss =
                w * cross_entropy_row(gradient, logits + i * classes, classes, &t, labels ? labels[i] : -1, w * scale);
        }
        if (losses) losses[i] = (T)loss;
        sum += loss;
        if (t.probabilities) t.probabilities += classes;
    }
    *total = sum * scale;
    return FNN_OK;
}
