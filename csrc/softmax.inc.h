/*
 * softmax.inc.h: softmax, log_softmax and the fused softmax cross-entropy, row by row; few classes: softmax_columns.inc.h.
 *
 * Design
 * A. Sums over a row: struct lanes (base.inc.h), in float64, after at most four numbers have been summed in lanes of T.
 * B. log sum_j e^(x_j) = m + log1p(rest): m is the row's maximum, whose own term is exactly 1, and rest the sum of the
 *    other terms. A loss near 0 keeps its digits that way.
 * C. Labels, label smoothing, class weights and probabilities are one formula: the loss of a row is sum_j q_j (m -
 *    x_j) + Q log1p(rest), with q_j = class_weight_j ((1 - s) target_j + s / classes) and Q = sum_j q_j. A label is a
 *    one-hot target: its one term is added apart, so that a plain label never forms the vector q.
 * D. A row is read twice: for its exponentials, block by block, and to scale them. Blocks of 8 KiB stay in L1 from the search
 *    for their maximum on; one that comes before the row's maximum is shifted by a smaller one, and scaled accordingly.
 * E. A row without a finite maximum, or with NaN, gives NaN, as in PyTorch.
 * F. Several rows are taken a step, as far as they stay in L1, and all of them go through one part before the next part
 *    starts: maxima, exponentials, scaling. What ends a part is a chain of operations, which overlaps with the next row's.
 */

enum {
    SOFT_BLOCK = 2048, /* 8 KiB of float32: what a pass over it leaves in L1 */
    SOFT_BLOCKS = 64,
    SUMMED = 4 * FNN_ROW_LANES /* numbers summed in lanes of T before they go to float64: three roundings */
};

static T row_max(const T *x, int64_t n)
{
    T best[VL];
    V max[2] = {v_set1(-INFINITY), v_set1(-INFINITY)};
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        for (int h = 0; h < 2; h++) max[h] = v_max(v_load(x + i + h * VL), max[h]);
    for (; i < n; i += VL) max[0] = v_max(v_load_upto(x + i, n - i, -INFINITY), max[0]);
    v_store(best, v_max(max[0], max[1]));
    FNN_UNROLL(4)
    for (int half = VL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) best[l] = best[l] > best[l + half] ? best[l] : best[l + half];
    return best[0];
}

static FNN_INLINE double scalar_exp(double x) { return w_first(w_exp_clamped(w_set1(x))); }
/* e^(a - b) for a <= b; what the difference loses to rounding is put back. */
static double exp_of_difference(double a, double b)
{
    const double d = a - b, back = d - a, e = scalar_exp(d);
    return d > W_EXP_MIN ? e + e * ((a - (d - back)) - (b + back)) : 0;
}
static FNN_INLINE double scalar_log1p(double x) { return w_first(w_log1p(w_set1(x))); }

/* The exponentials of a row, while they are being summed and when they are. */
typedef struct {
    double max;  /* so far */
    double rest; /* the sum of e^(x_j - max) over all but count_of_max elements; at the end over all but one of them */
    double count_of_max;   /* elements equal to max that the sum leaves out */
    int64_t block;         /* length of a block */
    T maxima[SOFT_BLOCKS]; /* that the blocks were shifted by */
} exponentials;

enum {
    ROW_VECTORS = FNN_ROW_LANES / VL,
    EXP_UNROLLED = VL > 1 ? 16 : 1, /* numbers one by one would be large code and no faster */
    EXP_GROUP = ROW_VECTORS > EXP_VECTORS ? ROW_VECTORS : EXP_VECTORS /* vectors of whole groups of lanes */
};

/* `vectors` vectors of whole groups of lanes, of which `left` numbers exist: their scaled exponentials are added to part, group
 * after group, and go to e unless that is NULL. WITH_MAX counts those of numbers that equal m in `equal` and leaves them out
 * of part. */
static FNN_INLINE void exp_lanes(T *e, const T *x, int64_t left, T m, const int kind, const int vectors, V *part,
                                 V *equal)
{
    V value[EXP_VECTORS];
    VM is_max[EXP_VECTORS];
    const int together = vectors < EXP_VECTORS ? vectors : EXP_VECTORS;
    FNN_UNROLL(EXP_UNROLLED)
    for (int first = 0; first < vectors; first += together, left -= together * VL) {
        FNN_UNROLL(16)
        for (int v = 0; v < together; v++) {
            V xv = v_load_upto(x + (first + v) * VL, left - v * VL, -INFINITY);
            value[v] = exp_below(xv, v_set1(m), kind, &is_max[v]);
        }
        FNN_UNROLL(16)
        for (int v = 0; v < together; v++) {
            V *sum = part + (first + v) % ROW_VECTORS, *count = equal + (first + v) % ROW_VECTORS;
            if (kind & WITH_MAX) *count = v_add(*count, v_select(is_max[v], v_set1(1), v_set1(0)));
            *sum = v_add(*sum, kind & WITH_MAX ? v_select(is_max[v], v_set1(0), value[v]) : value[v]);
            if (e) v_store_upto(e + (first + v) * VL, value[v], left - v * VL);
        }
    }
}

/* At most SUMMED numbers. Huge ones, which are rare, do without a loop of whole groups: it would be a fourth of the code here. */
static FNN_INLINE void exp_part(exponentials *s, lanes *sum, T *e, const T *x, int64_t n, T m, const int kind)
{
    V part[ROW_VECTORS], equal[ROW_VECTORS];
    int64_t i = 0;
    for (int v = 0; v < ROW_VECTORS; v++) part[v] = equal[v] = v_set1(0);
    for (; !(kind & HUGE_ROW) && i + EXP_GROUP * VL <= n; i += EXP_GROUP * VL)
        exp_lanes(e ? e + i : NULL, x + i, EXP_GROUP * VL, m, kind, EXP_GROUP, part, equal);
    for (; i < n; i += FNN_ROW_LANES) exp_lanes(e ? e + i : NULL, x + i, n - i, m, kind, ROW_VECTORS, part, equal);
    for (int v = 0; v < ROW_VECTORS; v++)
        for (int h = 0; h < V_PARTS; h++) lanes_add(sum, v * VL, h, v_widen(part[v], h));
    if (kind & WITH_MAX) {
        T count[VL];
        for (int v = 1; v < ROW_VECTORS; v++) equal[0] = v_add(equal[0], equal[v]);
        v_store(count, equal[0]);
        FNN_UNROLL(4)
        for (int half = VL / 2; half > 0; half /= 2)
            for (int l = 0; l < half; l++) count[l] += count[l + half];
        s->count_of_max = count[0];
    }
}

static int contains(const T *x, int64_t n, T m)
{
    int found = 0;
    for (int64_t i = 0; i < n; i += VL) found |= v_any(v_eq(v_load_upto(x + i, n - i, -INFINITY), v_set1(m)));
    return found;
}

/* One block, which reaches m for the first time or not: then nothing is left out. */
static FNN_INLINE void exp_block(exponentials *s, T *e, const T *x, int64_t n, T m, int first, const int kind)
{
    lanes sum = lanes_zero();
    for (int64_t i = 0; i < n; i += SUMMED) {
        const int64_t left = n - i < SUMMED ? n - i : SUMMED;
        if (first && contains(x + i, left, m)) {
            exp_part(s, &sum, e ? e + i : NULL, x + i, left, m, kind | WITH_MAX);
            first = 0;
        } else {
            exp_part(s, &sum, e ? e + i : NULL, x + i, left, m, kind);
        }
    }
    s->rest += lanes_total(&sum) * EXP_DOWN;
}

/* The length of a row's blocks, and the maximum of the first. */
static void first_max(exponentials *s, const T *x, int64_t n)
{
    s->block = SOFT_BLOCK;
    while (s->block * SOFT_BLOCKS < n) s->block *= 2;
    s->maxima[0] = row_max(x, n < s->block ? n : s->block);
}

/* The exponentials of a row in one pass over memory, after first_max(): a block is shifted by the largest number so far, or
 * by 0 while all are -inf. e may be x. In the scheduler's order AVX2 runs out of registers. */
static FNN_UNSCHEDULED void exp_row(exponentials *s, T *e, const T *x, int64_t n)
{
    s->max = -INFINITY;
    s->rest = s->count_of_max = 0;
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t length = n - i < s->block ? n - i : s->block;
        const T m = i > 0 ? row_max(x + i, length) : s->maxima[0];
        const int first = m > s->max;
        if (first) {
            if (i > 0) s->rest = (s->rest + s->count_of_max) * exp_of_difference(s->max, m);
            s->max = m;
            s->count_of_max = 0;
        }
        s->maxima[b] = (T)s->max;
        const T shift = s->max == -INFINITY ? 0 : (T)s->max;
        if (fabs(s->max) < HUGE_MAX)
            exp_block(s, e ? e + i : NULL, x + i, length, shift, first, PLAIN);
        else
            exp_block(s, e ? e + i : NULL, x + i, length, shift, first, HUGE_ROW);
    }
    s->rest = s->max == -INFINITY ? NAN : s->rest + (s->count_of_max - 1);
}

/* Times 2^-EXP_SCALE it makes e^(x_j - max) of the exponentials in block b. */
static double block_factor(const exponentials *s, int64_t b)
{
    return s->maxima[b] == s->max ? 1 : exp_of_difference(s->maxima[b], s->max);
}

/* y_j = a e^(x_j - max), from the exponentials in y */
static void scale_row(T *y, int64_t n, double a, const exponentials *s)
{
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t end = n - i < s->block ? n : i + s->block;
        const pair factor = p_constant(a * block_factor(s, b));
        for (int64_t j = i; j < end; j += VL) {
            v_store_upto(y + j, exp_times(v_load_upto(y + j, end - j, 0), factor), end - j);
        }
    }
}

enum { STEP_ROWS = 16 };

/* As many as stay in L1 (Design F); by columns as many as there are lanes. */
static int64_t rows_a_step(int64_t classes, int by_columns)
{
    if (by_columns) return VL;
    return classes < SOFT_BLOCK / STEP_ROWS ? STEP_ROWS : classes < SOFT_BLOCK ? SOFT_BLOCK / classes : 1;
}

/* One step. */
static void softmax_rows(T *y, const T *x, int64_t rows, int64_t classes)
{
    exponentials s[STEP_ROWS];
    for (int64_t r = 0; r < rows; r++) first_max(s + r, x + r * classes, classes);
    for (int64_t r = 0; r < rows; r++) exp_row(s + r, y + r * classes, x + r * classes, classes);
    for (int64_t r = 0; r < rows; r++) scale_row(y + r * classes, classes, 1 / (1 + s[r].rest), s + r);
}

/* softmax(x)_j = e^(x_j - m) / sum */
static void FNN(softmax_forward)(void *y_, const void *x_, int64_t batch, int64_t classes)
{
    T *y = y_;
    const T *x = x_;
    const int few = has_columns(batch, classes);
    const int64_t step = rows_a_step(classes, few);
    for (int64_t i = 0, rows; i < batch; i += rows, x += rows * classes, y += rows * classes) {
        rows = batch - i < step ? batch - i : step;
        if (!few || !softmax_columns(y, x, rows, classes)) softmax_rows(y, x, rows, classes);
    }
}

/* log_softmax(x)_j = (x_j - m) - log1p(rest) */
static void FNN(log_softmax_forward)(void *y_, const void *x_, int64_t batch, int64_t classes)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t i = 0; i < batch; i++, x += classes, y += classes) {
        exponentials s;
        first_max(&s, x, classes);
        exp_row(&s, NULL, x, classes);
        const double m = s.max, log_sum = scalar_log1p(s.rest);
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
            for (int h = 0; h < V_PARTS; h++) part[h] = w_madd(w_exp_clamped(v_widen(yv, h)), sum, v_widen(g, h));
            v_store_upto(dx + j, v_narrow(part), classes - j);
        }
    }
}

/* The smooth part of q (Design C): class_weight_j ((1 - s) probability_j + s / classes); a label's own term comes on top.
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

/* dlogits_j = scale (Q e_j / S - q_j) over a row, from the exponentials in dlogits, without the label's own term. */
static void soft_gradient(T *dlogits, const soft_target *t, int64_t n, double softmax_scale, double scale,
                          const exponentials *s)
{
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t end = n - i < s->block ? n : i + s->block;
        const W factor = w_set1(softmax_scale * block_factor(s, b));
        for (int64_t j = i; j < end; j += VL) {
            V e = v_load_upto(dlogits + j, end - j, 0);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++)
                part[h] = w_sub(w_mul(w_mul(v_widen(e, h), w_set1(EXP_DOWN)), factor),
                                w_mul(soft_q(t, j, end - j, h), w_set1(scale)));
            v_store_upto(dlogits + j, v_narrow(part), end - j);
        }
    }
}

/* A row on its way to loss and gradient: the loss is cost + total log1p(e.rest). */
typedef struct {
    soft_target target;
    int64_t label;                  /* < 0 where the target is none */
    double one_hot, q_label, total; /* the label's own term of q, all of q at the label, sum_j q_j */
    double cost;
    exponentials e;
} loss_row_state;

/* x is read for the last time: dlogits, unless NULL, may be x and receives the exponentials. */
static void start_loss(loss_row_state *s, T *dlogits, const T *x, int64_t n, const soft_target *t, int64_t label)
{
    const int smooth = t->floor != 0 || t->probabilities;
    const double weight = label < 0         ? 0
                          : t->class_weight ? t->class_weight[label]
                                            : 1,
                 x_label = label < 0 ? 0 : x[label];
    s->target = *t;
    s->label = label;
    s->one_hot = weight * t->keep;
    s->q_label = s->one_hot + weight * t->floor;
    s->total = s->one_hot + (smooth ? soft_total(t, n) : 0);
    s->cost = smooth ? soft_cost(t, x, n, row_max(x, n)) : 0;
    exp_row(&s->e, dlogits, x, n);
    if (s->one_hot != 0) s->cost += s->one_hot * (s->e.max - x_label);
}

/* scale times the gradient, from the exponentials in dlogits */
static void finish_gradient(T *dlogits, const loss_row_state *s, int64_t n, double scale)
{
    const double unit = scale / (1 + s->e.rest), label = s->label < 0 ? 0 : dlogits[s->label];
    if (s->target.floor != 0 || s->target.probabilities)
        soft_gradient(dlogits, &s->target, n, s->total * unit, scale, &s->e);
    else
        scale_row(dlogits, n, s->total * unit, &s->e);
    if (s->label >= 0) { /* Q e / S - q = ((Q - q) e + q (e - S)) / S, and e - S = (e - 1) - rest does not cancel */
        const double e = label * EXP_DOWN * block_factor(&s->e, s->label / s->e.block);
        dlogits[s->label] = (T)(((s->total - s->q_label) * e + s->q_label * ((e - 1) - s->e.rest)) * unit);
    }
}

/* Whether row i adds to the loss. A label whose class has no weight still does where smoothing spreads it over others. */
static int row_counts(const fnn_target *t, double smoothing, int64_t i)
{
    const T *sample_weight = t->sample_weight;
    if (smoothing == 0 || (t->labels && t->labels[i] == t->ignore_index)) return row_weight(t, i) != 0;
    return !sample_weight || sample_weight[i] != 0;
}

/* One step, of `rows` rows from `start` on. */
static void cross_entropy_rows(double *sum, T *losses, T *dlogits, const T *logits, const fnn_target *target,
                               double scale, double smoothing, int64_t start, int64_t rows, int64_t classes)
{
    const T *sample_weight = target->sample_weight, *const probabilities = target->values;
    const int64_t *labels = target->labels, end = start + rows;
    soft_target t = {target->class_weight, probabilities, 1 - smoothing, smoothing / (double)classes};
    loss_row_state row[STEP_ROWS];
    double rest[STEP_ROWS] = {0}, logarithm[STEP_ROWS];
    int counts[STEP_ROWS];
    for (int64_t r = 0, i = start; i < end; r++, i++) {
        counts[r] = row_counts(target, smoothing, i);
        if (counts[r]) first_max(&row[r].e, logits + i * classes, classes);
    }
    for (int64_t r = 0, i = start; i < end; r++, i++) {
        if (!counts[r]) continue;
        if (probabilities) t.probabilities = probabilities + i * classes;
        start_loss(row + r, dlogits ? dlogits + i * classes : NULL, logits + i * classes, classes, &t,
                   labels ? labels[i] : -1);
        rest[r] = row[r].e.rest;
    }
    for (int64_t r = 0; r < rows; r += WL) w_store(logarithm + r, w_log1p(w_load(rest + r)));
    for (int64_t r = 0, i = start; i < end; r++, i++) {
        const double w = sample_weight ? sample_weight[i] : 1;
        const double loss = counts[r] ? w * (row[r].cost + row[r].total * logarithm[r]) : 0;
        if (losses) losses[i] = (T)loss;
        *sum += loss;
        if (dlogits && !counts[r]) memset(dlogits + i * classes, 0, (size_t)classes * sizeof(T)); /* +0 */
        if (dlogits && counts[r]) finish_gradient(dlogits + i * classes, row + r, classes, w * scale);
    }
}

static void FNN(loss_cross_entropy)(double *sum, void *losses, void *dlogits, const void *logits,
                                    const fnn_target *target, double scale, const double *params, int64_t batch,
                                    int64_t classes)
{
    const double smoothing = params[0];
    const int few = has_columns(batch, classes) && target->labels && !target->class_weight && smoothing == 0;
    const int64_t step = rows_a_step(classes, few);
    for (int64_t i = 0, rows; i < batch; i += rows) {
        rows = batch - i < step ? batch - i : step;
        if (!few || !cross_entropy_columns(sum, losses, dlogits, logits, target, scale, i, rows, classes))
            cross_entropy_rows(sum, losses, dlogits, logits, target, scale, smoothing, i, rows, classes);
    }
}
