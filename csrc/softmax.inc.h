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
 * D. A long row is read twice: for its exponentials, block by block, and to scale them. Blocks of 8 KiB stay in L1 from the
 *    search for their maximum on; one that comes before the row's maximum is shifted by a smaller one, and scaled accordingly.
 * E. A row without a finite maximum, or with NaN, gives NaN, as in PyTorch.
 * F. Shorter rows are taken several a step, as far as they stay in L1, and all of them go through one part before the next part
 *    starts: maxima, exponentials, what is left out of their sums, sums, scaling. What ends a part is a chain of operations,
 *    which overlaps with the next row's. Exponentials wait in a buffer where each row has room for whole groups, so that nothing
 *    is stored by halves and loaded whole; what will be read and written next is fetched meanwhile.
 * G. Where in a row the maximum is, nothing foretells: short rows look for it without branches, as a mispredicted one costs as
 *    much as 20 exponentials. In a long row stores on the way would wait behind those of the exponentials before.
 */

enum {
    SOFT_BLOCK = 2048, /* 8 KiB of float32: what a pass over it leaves in L1 */
    SOFT_BLOCKS = 64,
    SUMMED = 4 * FNN_ROW_LANES, /* numbers summed in lanes of T before they go to float64, a group: three roundings */
    GROUP = SUMMED / VL,        /* its vectors */
    ROW_VECTORS = FNN_ROW_LANES / VL, /* vectors that hold a number of each lane */
    EXP_UNROLLED = VL > 1 ? 16 : 1,   /* numbers one by one would be large code and no faster */
    TOGETHER = VL > 1 ? EXP_VECTORS : 1,
    LANES_TOGETHER = ROW_VECTORS > TOGETHER ? ROW_VECTORS : TOGETHER, /* vectors of whole rows of lanes */
    STEP_ROWS = 16,
    FAR_RESULT = (1 << 21) / sizeof(T) /* numbers that L2 does not hold beside as many inputs: 2 MiB */
};

/* The largest lane. */
static FNN_INLINE T largest(V a)
{
    T best[VL];
    v_store(best, a);
    FNN_UNROLL(4)
    for (int half = VL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) best[l] = best[l] > best[l + half] ? best[l] : best[l + half];
    return best[0];
}

static T row_max(const T *x, int64_t n)
{
    V max[2] = {v_set1(-INFINITY), v_set1(-INFINITY)};
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        for (int h = 0; h < 2; h++) max[h] = v_max(v_load(x + i + h * VL), max[h]);
    for (; i < n; i += VL) max[0] = v_max(v_load_upto(x + i, n - i, -INFINITY), max[0]);
    return largest(v_max(max[0], max[1]));
}

/* Where the first group that holds m starts; one does. */
static int64_t first_group(const T *x, int64_t n, T m)
{
    int64_t i = 0;
    while (i + VL < n && !v_any(v_eq(v_load(x + i), v_set1(m)))) i += VL;
    return i / SUMMED * SUMMED;
}

/* Both for at most SOFT_BLOCK numbers, without branches (Design G). */
static FNN_INLINE T max_and_group(const T *x, int64_t n, int64_t *first)
{
    V group[SOFT_BLOCK / SUMMED], max = v_set1(-INFINITY);
    int64_t g = 0, i = 0;
    for (; i + SUMMED <= n; i += SUMMED, g++) {
        group[g] = v_set1(-INFINITY);
        FNN_UNROLL(EXP_UNROLLED)
        for (int v = 0; v < GROUP; v++) group[g] = v_max(v_load(x + i + v * VL), group[g]);
        max = v_max(group[g], max);
    }
    for (; i < n; i += VL) max = v_max(v_load_upto(x + i, n - i, -INFINITY), max);
    const T m = largest(max);
    int64_t found = g; /* a last group that is not whole, unless one before it holds m */
    while (g-- > 0) found = v_any(v_eq(group[g], v_set1(m))) ? g : found;
    *first = found * SUMMED;
    return m;
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

typedef V parts[ROW_VECTORS]; /* the sums of a group by lanes, in T */

/* The exponentials of rows of n <= SOFT_BLOCK numbers, row r shifted by m[r], which is not huge. They go to e, where each row has
 * room for so many, zeros behind them. Meanwhile as much of x_next and y_next is fetched. */
static FNN_APART void exp_plain(parts *part, T *e, int64_t room, const T *const *row, int64_t rows, int64_t n,
                                const T *m, const T *x_next, const T *y_next)
{
    V value[LANES_TOGETHER], sum[ROW_VECTORS];
    for (int64_t r = 0; r < rows; r++, e += room, x_next += n, y_next += n) {
        const T *x = row[r];
        const V max = v_set1(m[r]);
        int64_t i = 0;
        for (; i + SUMMED <= n; i += SUMMED, part++) {
            for (int v = 0; v < ROW_VECTORS; v++) sum[v] = v_set1(0);
            FNN_UNROLL(16)
            for (int l = 0; l < SUMMED; l += LINE) {
                FNN_PREFETCH(x_next + i + l);
                FNN_PREFETCH(y_next + i + l);
            }
            for (int g = 0; g < GROUP; g += LANES_TOGETHER) {
                FNN_UNROLL(EXP_UNROLLED)
                for (int v = 0; v < LANES_TOGETHER; v++) value[v] = v_load(x + i + (g + v) * VL);
                FNN_UNROLL(EXP_UNROLLED)
                for (int v = 0; v < LANES_TOGETHER; v += TOGETHER) exp_below(value + v, value + v, max, TOGETHER);
                FNN_UNROLL(EXP_UNROLLED)
                for (int v = 0; v < LANES_TOGETHER; v++) {
                    sum[v % ROW_VECTORS] = v_add(sum[v % ROW_VECTORS], value[v]);
                    v_store(e + i + (g + v) * VL, value[v]);
                }
            }
            for (int v = 0; v < ROW_VECTORS; v++) part[0][v] = sum[v];
        }
        if (i == n) continue;
        for (int v = 0; v < ROW_VECTORS; v++) sum[v] = v_set1(0);
        for (; i < n; i += FNN_ROW_LANES) {
            FNN_PREFETCH(x_next + i);
            FNN_PREFETCH(y_next + i);
            for (int v = 0; v < ROW_VECTORS; v++) {
                *value = v_load_upto(x + i + v * VL, n - i - v * VL, -INFINITY);
                exp_below(value, value, max, 1);
                sum[v] = v_add(sum[v], *value);
                v_store_upto(e + i + v * VL, *value, room - i - v * VL);
            }
        }
        for (; i < room; i += VL) v_store_upto(e + i, v_set1(0), room - i);
        for (int v = 0; v < ROW_VECTORS; v++) part[0][v] = sum[v];
        part++;
    }
}

/* The same of any rows, one vector at a time: huge ones are rare. */
static FNN_APART void exp_any(parts *part, T *e, int64_t room, const T *const *row, int64_t rows, int64_t n, const T *m)
{
    const int64_t end = round_up(n, FNN_ROW_LANES) > room ? round_up(n, FNN_ROW_LANES) : room;
    for (int64_t r = 0; r < rows; r++, e += room, part += (n + SUMMED - 1) / SUMMED)
        for (int64_t i = 0; i < end; i += VL) {
            const pair d = p_exact_difference(v_load_upto(row[r] + i, n - i, -INFINITY), v_set1(m[r]));
            const pair clamped = p_max(V_EXP_IS_ZERO, d);
            V value, *sum = &part[i / SUMMED][i / VL % ROW_VECTORS];
            v_exp_scaled_rounded(&value, &clamped, 1);
            *sum = i % SUMMED < FNN_ROW_LANES ? value : v_add(*sum, value);
            v_store_upto(e + i, value, room - i);
        }
}

/* v_load_upto() without branches. */
static FNN_INLINE V load_some(const T *p, int64_t left, T fill)
{
    const int64_t n = left < 0 ? 0 : left;
    return v_load_part(p, n > VL ? VL : n, fill);
}

/* The sums of a group of which n numbers exist, from its exponentials, without those of numbers equal to m; returns how many
 * these are. Their differences are compared, so that an infinite m leaves nothing out. */
static FNN_INLINE int sum_without_max(parts *part, const T *e, int64_t room, const T *x, int64_t n, T m)
{
    V sum[ROW_VECTORS];
    int equal = 0;
    for (int v = 0; v < ROW_VECTORS; v++) sum[v] = v_set1(0);
    FNN_UNROLL(GROUP <= 8 ? 8 : 1)
    for (int g = 0; g < GROUP; g += ROW_VECTORS)
        for (int v = 0; v < ROW_VECTORS; v++) {
            const int at = (g + v) * VL;
            const VM is_max = v_eq(v_sub(load_some(x + at, n - at, -INFINITY), v_set1(m)), v_set1(0));
            equal += v_count(is_max);
            const V value = room >= SUMMED ? v_load(e + at) : v_load_upto(e + at, room - at, 0);
            sum[v] = v_add(sum[v], v_select(is_max, v_set1(0), value));
        }
    for (int v = 0; v < ROW_VECTORS; v++) part[0][v] = sum[v];
    return equal;
}

static FNN_INLINE void add_parts(lanes *sum, const parts *part, int64_t groups)
{
    for (int64_t g = 0; g < groups; g++)
        for (int v = 0; v < ROW_VECTORS; v++)
            for (int h = 0; h < V_PARTS; h++) lanes_add(sum, v * VL, h, v_widen(part[g][v], h));
}

/* The sum of a block's exponentials, without those of numbers equal to m in the group that starts at `first`; < 0: without none.
 * e may be x, or NULL: then they are not kept. */
static double exp_block(exponentials *s, T *e, const T *x, int64_t n, T m, int64_t first)
{
    lanes sum = lanes_zero();
    parts part[SOFT_BLOCK / SUMMED];
    T unkept[SOFT_BLOCK], kept_x[SUMMED]; /* of that group: e may take its place */
    for (int64_t i = 0; i < n; i += SOFT_BLOCK) {
        const T *from = x + i;
        T *to = e ? e + i : unkept;
        const int64_t length = n - i < SOFT_BLOCK ? n - i : SOFT_BLOCK, at = first - i;
        const int here = 0 <= at && at < length;
        for (int64_t j = 0; here && j < SUMMED; j++) kept_x[j] = at + j < length ? from[at + j] : -INFINITY;
        if (fabs(m) < HUGE_MAX)
            exp_plain(part, to, length, &from, 1, length, &m, from, to); /* of what comes next the hardware knows */
        else
            exp_any(part, to, length, &from, 1, length, &m);
        if (here) s->count_of_max = sum_without_max(part + at / SUMMED, to + at, length - at, kept_x, SUMMED, m);
        add_parts(&sum, part, (length + SUMMED - 1) / SUMMED);
    }
    return lanes_total(&sum) * EXP_DOWN;
}

/* The exponentials of a row in one pass over memory: a block is shifted by the largest number so far, or by 0 while all are
 * -inf. e as above. */
static void exp_long_row(exponentials *s, T *e, const T *x, int64_t n)
{
    s->block = SOFT_BLOCK;
    while (s->block * SOFT_BLOCKS < n) s->block *= 2;
    s->max = -INFINITY;
    s->rest = s->count_of_max = 0;
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t length = n - i < s->block ? n - i : s->block;
        const T m = row_max(x + i, length);
        int64_t first = -1;
        if (m > s->max) {
            if (i > 0) s->rest = (s->rest + s->count_of_max) * exp_of_difference(s->max, m);
            s->max = m;
            s->count_of_max = 0;
            first = first_group(x + i, length, m);
        }
        s->maxima[b] = (T)s->max;
        s->rest += exp_block(s, e ? e + i : NULL, x + i, length, s->max == -INFINITY ? 0 : (T)s->max, first);
    }
    s->rest = s->max == -INFINITY ? NAN : s->rest + (s->count_of_max - 1);
}

/* The exponentials of a step's rows to e, where each has room for whole groups, or of one long row (Design D, F). y is fetched. */
static void exp_rows(exponentials *s, T *e, int64_t room, const T *const *row, int64_t rows, int64_t n, const T *y)
{
    const int64_t groups = room / SUMMED;
    parts part[SOFT_BLOCK / SUMMED];
    int64_t first[STEP_ROWS];
    T m[STEP_ROWS];
    int huge = 0;
    if (n > SOFT_BLOCK) {
        exp_long_row(s, e, row[0], n);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        s[r].block = SOFT_BLOCK;
        s[r].max = s[r].maxima[0] = max_and_group(row[r], n, first + r);
        m[r] = s[r].max == -INFINITY ? 0 : s[r].maxima[0];
        huge |= !(fabs(m[r]) < HUGE_MAX);
    }
    if (huge)
        exp_any(part, e, room, row, rows, n, m);
    else
        exp_plain(part, e, room, row, rows, n, m, row[rows - 1] + n, y);
    for (int64_t r = 0; r < rows; r++)
        s[r].count_of_max = sum_without_max(part + r * groups + first[r] / SUMMED, e + r * room + first[r], SUMMED,
                                            row[r] + first[r], n - first[r], m[r]);
    for (int64_t r = 0; r < rows; r++) {
        lanes sum = lanes_zero();
        add_parts(&sum, part + r * groups, groups);
        s[r].rest = s[r].max == -INFINITY ? NAN : lanes_total(&sum) * EXP_DOWN + (s[r].count_of_max - 1);
    }
}

/* Times 2^-EXP_SCALE it makes e^(x_j - max) of the exponentials in block b. */
static double block_factor(const exponentials *s, int64_t b)
{
    return s->maxima[b] == s->max ? 1 : exp_of_difference(s->maxima[b], s->max);
}

/* y_j = a e^(x_j - max), from the exponentials in e, which may be y */
static void scale_row(T *y, const T *e, int64_t n, double a, const exponentials *s)
{
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t end = n - i < s->block ? n : i + s->block;
        const pair factor = p_constant(a * block_factor(s, b));
        for (int64_t j = i; j < end; j += VL)
            v_store_upto(y + j, exp_times(v_load_upto(e + j, end - j, 0), factor), end - j);
    }
}

/* As many as stay in L1 (Design F), with as many that are fetched from beyond L2; by columns as many as there are lanes. */
static int64_t rows_a_step(int64_t batch, int64_t classes, int by_columns)
{
    const int64_t n = round_up(classes, SUMMED);
    const int64_t most = batch * classes > FAR_RESULT ? SOFT_BLOCK / 2 : SOFT_BLOCK;
    return by_columns ? VL : n < most / STEP_ROWS ? STEP_ROWS : n < most ? most / n : 1;
}

/* One step. */
static void softmax_rows(T *y, const T *x, int64_t rows, int64_t classes)
{
    exponentials s[STEP_ROWS];
    const T *row[STEP_ROWS] = {x};
    _Alignas(64) T scratch[SOFT_BLOCK];
    T *e = classes <= SOFT_BLOCK ? scratch : y;
    const int64_t room = round_up(classes, SUMMED);
    for (int64_t r = 0; r < rows; r++) row[r] = x + r * classes;
    exp_rows(s, e, room, row, rows, classes, y);
    for (int64_t r = 0; r < rows; r++) scale_row(y + r * classes, e + r * room, classes, 1 / (1 + s[r].rest), s + r);
}

/* softmax(x)_j = e^(x_j - m) / sum */
static void FNN(softmax_forward)(void *y_, const void *x_, int64_t batch, int64_t classes)
{
    T *y = y_;
    const T *x = x_;
    const int few = has_columns(batch, classes);
    const int64_t step = rows_a_step(batch, classes, few);
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
        exp_long_row(&s, NULL, x, classes);
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

/* dlogits_j = scale (Q e_j / S - q_j) over a row, from the exponentials in e, which may be dlogits, without the label's own
 * term. */
static void soft_gradient(T *dlogits, const T *e, const soft_target *t, int64_t n, double softmax_scale, double scale,
                          const exponentials *s)
{
    for (int64_t i = 0, b = 0; i < n; i += s->block, b++) {
        const int64_t end = n - i < s->block ? n : i + s->block;
        const W factor = w_set1(softmax_scale * block_factor(s, b));
        for (int64_t j = i; j < end; j += VL) {
            V ev = v_load_upto(e + j, end - j, 0);
            W part[V_PARTS];
            for (int h = 0; h < V_PARTS; h++)
                part[h] = w_sub(w_mul(w_mul(v_widen(ev, h), w_set1(EXP_DOWN)), factor),
                                w_mul(soft_q(t, j, end - j, h), w_set1(scale)));
            v_store_upto(dlogits + j, v_narrow(part), end - j);
        }
    }
}

/* A row on its way to loss and gradient: the loss is cost + total log1p(rest). */
typedef struct {
    int64_t number; /* of the row */
    soft_target target;
    int64_t label;                  /* < 0 where the target is none */
    double one_hot, q_label, total; /* the label's own term of q, all of q at the label, sum_j q_j */
    double cost, x_label;
} loss_row_state;

static void start_loss(loss_row_state *s, const T *x, int64_t n, const soft_target *t, int64_t label)
{
    const int smooth = t->floor != 0 || t->probabilities;
    const double weight = label < 0 ? 0 : t->class_weight ? t->class_weight[label] : 1;
    s->target = *t;
    s->label = label;
    s->x_label = label < 0 ? 0 : x[label];
    s->one_hot = weight * t->keep;
    s->q_label = s->one_hot + weight * t->floor;
    s->total = s->one_hot + (smooth ? soft_total(t, n) : 0);
    s->cost = smooth ? soft_cost(t, x, n, row_max(x, n)) : 0;
}

/* scale times the gradient, from the exponentials in e */
static void finish_gradient(T *dlogits, const T *e, const loss_row_state *s, const exponentials *sums, int64_t n,
                            double scale)
{
    const double unit = scale / (1 + sums->rest), label = s->label < 0 ? 0 : e[s->label];
    if (s->target.floor != 0 || s->target.probabilities)
        soft_gradient(dlogits, e, &s->target, n, s->total * unit, scale, sums);
    else
        scale_row(dlogits, e, n, s->total * unit, sums);
    if (s->label >= 0) { /* Q e / S - q = ((Q - q) e + q (e - S)) / S, and e - S = (e - 1) - rest does not cancel */
        const int64_t block = s->label < sums->block ? 0 : s->label / sums->block;
        const double own = label * EXP_DOWN * block_factor(sums, block);
        dlogits[s->label] = (T)(((s->total - s->q_label) * own + s->q_label * ((own - 1) - sums->rest)) * unit);
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
    const T *sample_weight = target->sample_weight, *const probabilities = target->values, *x[STEP_ROWS];
    soft_target t = {target->class_weight, probabilities, 1 - smoothing, smoothing / (double)classes};
    exponentials sums[STEP_ROWS];
    loss_row_state row[STEP_ROWS];
    double rest[STEP_ROWS] = {0}, logarithm[STEP_ROWS];
    _Alignas(64) T scratch[SOFT_BLOCK];
    T *e = classes <= SOFT_BLOCK ? scratch : dlogits ? dlogits + start * classes : NULL;
    const int64_t room = round_up(classes, SUMMED);
    int64_t counted = 0;
    for (int64_t i = start; i < start + rows; i++) {
        if (row_counts(target, smoothing, i)) {
            row[counted].number = i;
            x[counted] = logits + i * classes;
            if (probabilities) t.probabilities = probabilities + i * classes;
            start_loss(row + counted, x[counted], classes, &t, target->labels ? target->labels[i] : -1);
            counted++;
        } else {
            if (losses) losses[i] = 0;
            if (dlogits) memset(dlogits + i * classes, 0, (size_t)classes * sizeof(T)); /* +0 */
        }
    }
    if (counted > 0) exp_rows(sums, e, room, x, counted, classes, dlogits ? dlogits + start * classes : e);
    for (int64_t r = 0; r < counted; r++) rest[r] = sums[r].rest;
    for (int64_t r = 0; r < rows; r += WL) w_store(logarithm + r, w_log1p(w_load(rest + r)));
    for (int64_t r = 0; r < counted; r++) {
        const loss_row_state *s = row + r;
        const double w = sample_weight ? sample_weight[s->number] : 1;
        const double cost = s->one_hot != 0 ? s->cost + s->one_hot * (sums[r].max - s->x_label) : s->cost;
        const double loss = w * (cost + s->total * logarithm[r]);
        if (losses) losses[s->number] = (T)loss;
        *sum += loss;
        if (dlogits) finish_gradient(dlogits + s->number * classes, e + r * room, s, sums + r, classes, w * scale);
    }
}

static void FNN(loss_cross_entropy)(double *sum, void *losses, void *dlogits, const void *logits,
                                    const fnn_target *target, double scale, const double *params, int64_t batch,
                                    int64_t classes)
{
    const double smoothing = params[0];
    const int few = has_columns(batch, classes) && target->labels && !target->class_weight && smoothing == 0;
    const int64_t step = rows_a_step(batch, classes, few);
    for (int64_t i = 0, rows; i < batch; i += rows) {
        rows = batch - i < step ? batch - i : step;
        if (!few || !cross_entropy_columns(sum, losses, dlogits, logits, target, scale, i, rows, classes))
            cross_entropy_rows(sum, losses, dlogits, logits, target, scale, smoothing, i, rows, classes);
    }
}
