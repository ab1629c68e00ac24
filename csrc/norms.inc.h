/*
 * norms.inc.h: layer norm and RMS norm, row by row; batch norm, feature by feature.
 *
 * Design
 * A. Moments are those of d = x - shift in float64, where shift is the first number of the row, or of the feature:
 *    mean = shift + E[d] and variance = E[d^2] - E[d]^2. Because the first number is one of the n, (mean - shift)^2 is at
 *    most n times the variance: the difference loses no more than n roundings of float64, however far from 0 the numbers
 *    are, and one pass over memory suffices.
 * B. A number is standardised in lanes of T. The mean is head + rest, head of type T: x - head is exact for x near the
 *    mean, and the rest comes into the addition that follows.
 * C. Sums over a row run in struct lanes. Sums over rows are float64, one for each feature, rows in increasing order; they go
 *    on from call to call. A few rows at a time meet the columns, so that these sums stay in registers.
 * D. Batch norm brings the numbers of each feature into T once, for as many columns as stay in L1, and passes all rows of
 *    these columns by them.
 * E. The gradients g of a row count only as their mean and that of g x^, each of which is rounded to T: a lane adds up a few
 *    of them in T, and such sums in float64. To widen every one of them was a quarter of the work on a row.
 */

/* Part h of the vector at p, which has been loaded: to load and widen at once is one operation, to widen half a register two. */
static FNN_INLINE W wide_part(const T *p, V loaded, int64_t left, int h)
{
    return left >= VL ? w_load_narrow(p + h * WL) : v_widen(loaded, h);
}

/* In all: x^ = (x - mean) scale with scale = 1 / sqrt(variance + eps). */
typedef struct {
    double mean, scale;
} moments;

/* From sums of n numbers d and of d^2; share is 1 / n. */
static FNN_INLINE double variance_of(double sum, double squares, double share)
{
    const double mean = sum * share;
    return squares * share - mean * mean;
}

/* FNN_ROW_LANES numbers, of which `left` exist. */
static FNN_INLINE void moments_add(lanes *sum, lanes *squares, const T *x, int64_t left, T shift, const int centred)
{
    FNN_UNROLL(16)
    for (int v = 0; v < FNN_ROW_LANES; v += VL) {
        const V xv = v_load_upto(x + v, left - v, shift); /* lanes beyond the row add nothing */
        for (int h = 0; h < V_PARTS; h++) {
            const W wide = wide_part(x + v, xv, left - v, h), d = centred ? w_sub(wide, w_set1(shift)) : wide;
            W *square = &squares->w[v / WL + h];
            *square = w_madd(d, d, *square);
            if (centred) lanes_add(sum, v, h, d);
        }
    }
}

/* Of a row; where it is not centred, the mean is taken as 0. */
static FNN_INLINE moments row_moments(const T *x, int64_t n, double share, double eps, const int centred)
{
    const T shift = centred && n > 0 ? x[0] : 0;
    const int64_t whole = n - n % FNN_ROW_LANES;
    lanes sum = lanes_zero(), squares = lanes_zero();
    for (int64_t i = 0; i < whole; i += FNN_ROW_LANES)
        moments_add(&sum, &squares, x + i, FNN_ROW_LANES, shift, centred);
    if (whole < n) moments_add(&sum, &squares, x + whole, n - whole, shift, centred);
    const double total = centred ? lanes_total(&sum) : 0;
    const double variance = variance_of(total, lanes_total(&squares), share);
    return (moments){shift + total * share, 1 / sqrt(variance + eps)};
}

/* x^ = (x - head) scale + rest */
typedef struct {
    T head;
    V scale, rest;
} standard;

static FNN_INLINE standard standard_of(moments m)
{
    const T head = (T)m.mean;
    return (standard){head, v_set1((T)m.scale), v_set1((T)((head - m.mean) * m.scale))};
}

static FNN_INLINE V standardised(V x, standard s) { return v_madd(v_sub(x, v_set1(s.head)), s.scale, s.rest); }

/* y = x^ weight + bias */
static FNN_INLINE void norm_forward(T *y, const T *x, const T *weight, const T *bias, double eps, int64_t batch,
                                    int64_t n, const int centred)
{
    const double share = 1 / (double)n;
    for (int64_t i = 0; i < batch; i++, x += n, y += n) {
        const standard s = standard_of(row_moments(x, n, share, eps, centred));
        for (int64_t j = 0; j < n; j += VL) {
            V a = standardised(v_load_upto(x + j, n - j, 0), s);
            const V w = weight ? v_load_upto(weight + j, n - j, 0) : v_set1(1);
            a = bias ? v_madd(a, w, v_load_upto(bias + j, n - j, 0)) : v_mul(a, w);
            v_store_upto(y + j, a, n - j);
        }
    }
}

static void FNN(layer_norm_forward)(void *y, const void *x, const void *weight, const void *bias, double eps,
                                    int64_t batch, int64_t features)
{
    norm_forward(y, x, weight, bias, eps, batch, features, 1);
}

static void FNN(rms_norm_forward)(void *y, const void *x, const void *weight, const void *bias, double eps,
                                  int64_t batch, int64_t features)
{
    norm_forward(y, x, weight, bias, eps, batch, features, 0);
}

/* y = x^ weight, where x^ depends on all of its row: with g = dy weight, dx = scale (g - mean(g) - x^ mean(g x^)), without
 * mean(g) where the row is not centred. That is g scale + (x^ slope + level). */
typedef struct {
    standard s;
    V level, slope;
} row_gradient;

/* The sums over a row of d = x - shift, d^2, g and g d. */
typedef struct {
    lanes d, squares, g, products;
} row_sums;

enum {
    NORM_TERMS = 16, /* that a lane adds up in T before float64 takes over, Design E */
    LANE_VECTORS = FNN_ROW_LANES / VL,
};

/* The sums of g and g d over NORM_TERMS FNN_ROW_LANES numbers, in T. */
typedef struct {
    V g[LANE_VECTORS], products[LANE_VECTORS];
} short_sums;

/* FNN_ROW_LANES numbers, of which `left` exist. That part of dx, which is written soon, is fetched meanwhile. */
static FNN_INLINE void row_sums_add(row_sums *s, short_sums *t, const T *dx, const T *dy, const T *x, const T *weight,
                                    int64_t left, T shift, const int centred)
{
    moments_add(&s->d, &s->squares, x, left, shift, centred);
    FNN_UNROLL(16)
    for (int v = 0; v < FNN_ROW_LANES; v += VL) {
        const V d = v_sub(v_load_upto(x + v, left - v, shift), v_set1(shift)); /* lanes beyond the row add nothing */
        const V w = weight ? v_load_upto(weight + v, left - v, 0) : v_set1(1);
        const V g = v_mul(v_load_upto(dy + v, left - v, 0), w);
        if (v * sizeof(T) % 64 == 0) FNN_PREFETCH(dx + v); /* a cache line at a time */
        if (centred) t->g[v / VL] = v_add(t->g[v / VL], g);
        t->products[v / VL] = v_madd(g, d, t->products[v / VL]);
    }
}

/* At most NORM_TERMS FNN_ROW_LANES numbers. */
static FNN_INLINE void row_sums_add_many(row_sums *s, const T *dx, const T *dy, const T *x, const T *weight, int64_t n,
                                         T shift, const int centred)
{
    short_sums t;
    for (int v = 0; v < LANE_VECTORS; v++) t.g[v] = t.products[v] = v_set1(0);
    for (int64_t i = 0; i < n; i += FNN_ROW_LANES)
        row_sums_add(s, &t, dx + i, dy + i, x + i, weight ? weight + i : NULL, n - i, shift, centred);
    for (int v = 0; v < FNN_ROW_LANES; v += VL)
        for (int h = 0; h < V_PARTS; h++) {
            if (centred) lanes_add(&s->g, v, h, v_widen(t.g[v / VL], h));
            lanes_add(&s->products, v, h, v_widen(t.products[v / VL], h));
        }
}

/* mean(g x^) = (E[g d] - E[d] E[g]) scale: one pass over the row gives all four sums. */
static FNN_INLINE row_gradient gradient_of_row(const T *dx, const T *dy, const T *x, const T *weight, double eps,
                                               int64_t n, double share, const int centred)
{
    const T shift = centred && n > 0 ? x[0] : 0;
    const int64_t most = FNN_ROW_LANES * NORM_TERMS;
    row_sums s = {lanes_zero(), lanes_zero(), lanes_zero(), lanes_zero()};
    for (int64_t i = 0; i < n; i += most)
        row_sums_add_many(&s, dx + i, dy + i, x + i, weight ? weight + i : NULL, n - i < most ? n - i : most, shift,
                          centred);
    const double total = centred ? lanes_total(&s.d) : 0, level = centred ? lanes_total(&s.g) * share : 0;
    const moments m = {shift + total * share, 1 / sqrt(variance_of(total, lanes_total(&s.squares), share) + eps)};
    const double slope = (lanes_total(&s.products) - total * level) * share * m.scale;
    return (row_gradient){standard_of(m), v_set1((T)(-level * m.scale)), v_set1((T)(-slope * m.scale))};
}

enum { NORM_ROWS = 3 }; /* that meet a column together */

/* One column of vectors: dx of each row, and sum of dy x^ and of dy over rows. */
static FNN_INLINE void norm_backward_column(T *dx, double *dweight, double *dbias, const T *dy, const T *x,
                                            const T *weight, const row_gradient *rows, int64_t count, int64_t n,
                                            int64_t left)
{
    const V w = weight ? v_load_upto(weight, left, 0) : v_set1(1);
    W slopes[V_PARTS], levels[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) {
        slopes[h] = w_load(dweight + h * WL);
        levels[h] = dbias ? w_load(dbias + h * WL) : w_set1(0);
    }
    for (int64_t r = 0; r < count; r++) {
        const row_gradient *row = rows + r;
        const V g = v_load_upto(dy + r * n, left, 0);
        const V a = standardised(v_load_upto(x + r * n, left, row->s.head), row->s);
        for (int h = 0; h < V_PARTS; h++) {
            const W wide = wide_part(dy + r * n, g, left, h);
            slopes[h] = w_madd(wide, v_widen(a, h), slopes[h]);
            levels[h] = w_add(levels[h], wide);
        }
        const V rest = v_madd(a, row->slope, row->level);
        v_store_upto(dx + r * n, v_madd(v_mul(g, w), row->s.scale, rest), left);
    }
    for (int h = 0; h < V_PARTS; h++) {
        w_store(dweight + h * WL, slopes[h]);
        if (dbias) w_store(dbias + h * WL, levels[h]);
    }
}

static FNN_INLINE void norm_backward(T *dx, double *dweight, double *dbias, const T *dy, const T *x, const T *weight,
                                     double eps, int64_t batch, int64_t n, const int centred)
{
    const double share = 1 / (double)n;
    row_gradient rows[NORM_ROWS];
    for (int64_t i = 0, count; i < batch; i += count, dx += count * n, dy += count * n, x += count * n) {
        count = batch - i < NORM_ROWS ? batch - i : NORM_ROWS;
        for (int64_t r = 0; r < count; r++)
            rows[r] = gradient_of_row(dx + r * n, dy + r * n, x + r * n, weight, eps, n, share, centred);
        const int64_t whole = count == NORM_ROWS ? n - n % VL : 0;
        for (int64_t j = 0; j < whole; j += VL)
            norm_backward_column(dx + j, dweight + j, dbias ? dbias + j : NULL, dy + j, x + j,
                                 weight ? weight + j : NULL, rows, NORM_ROWS, n, VL);
        for (int64_t j = whole; j < n; j += VL)
            norm_backward_column(dx + j, dweight + j, dbias ? dbias + j : NULL, dy + j, x + j,
                                 weight ? weight + j : NULL, rows, count, n, n - j);
    }
}

static void FNN(layer_norm_backward)(void *dx, double *dweight, double *dbias, const void *dy, const void *x,
                                     const void *weight, double eps, int64_t batch, int64_t features)
{
    norm_backward(dx, dweight, dbias, dy, x, weight, eps, batch, features, 1);
}

static void FNN(rms_norm_backward)(void *dx, double *dweight, double *dbias, const void *dy, const void *x,
                                   const void *weight, double eps, int64_t batch, int64_t features)
{
    norm_backward(dx, dweight, dbias, dy, x, weight, eps, batch, features, 0);
}

enum { BATCH_ROWS = 8 }; /* that meet a column together */

/* Sums of d and of d^2 of one column of vectors. */
static FNN_INLINE void batch_moments_column(double *sums, double *squares, const T *x, const T *first, int64_t count,
                                            int64_t n, int64_t left)
{
    const V shift = v_load_upto(first, left, 0);
    W sum[V_PARTS], square[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) {
        sum[h] = w_load(sums + h * WL);
        square[h] = w_load(squares + h * WL);
    }
    for (int64_t r = 0; r < count; r++) {
        const V xv = v_load_upto(x + r * n, left, 0);
        for (int h = 0; h < V_PARTS; h++) {
            const W d = w_sub(wide_part(x + r * n, xv, left, h), v_widen(shift, h));
            sum[h] = w_add(sum[h], d);
            square[h] = w_madd(d, d, square[h]);
        }
    }
    for (int h = 0; h < V_PARTS; h++) {
        w_store(sums + h * WL, sum[h]);
        w_store(squares + h * WL, square[h]);
    }
}

static void FNN(batch_moments)(double *mean, double *variance, double *sums, double *squares, const void *x_,
                               int64_t first, int64_t batch, int64_t n)
{
    const T *x = x_;
    const int64_t rows = first + batch;
    for (int64_t i = first, count; i < rows; i += count) {
        count = rows - i < BATCH_ROWS ? rows - i : BATCH_ROWS;
        for (int64_t j = 0; j < n; j += VL)
            batch_moments_column(sums + j, squares + j, x + i * n + j, x + j, count, n, n - j);
    }
    for (int64_t j = 0; j < n; j++) {
        mean[j] = rows ? x[j] + sums[j] / (double)rows : NAN;
        variance[j] = variance_of(sums[j], squares[j], 1 / (double)rows);
    }
}

enum { NORM_COLUMNS = 512 }; /* standardised in L1 at a time, Design D: 6 to 12 KiB of L1 */

/* What the numbers of a feature are multiplied by and added to, for the columns at hand: y = (x - head) scale + rest. */
typedef struct {
    T head[NORM_COLUMNS], scale[NORM_COLUMNS], rest[NORM_COLUMNS];
} feature_maps;

/* y = x^ weight + bias */
static void prepare_maps(feature_maps *c, const double *mean, const double *variance, const T *weight, const T *bias,
                         double eps, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        const double scale = 1 / sqrt(variance[j] + eps) * (weight ? weight[j] : 1);
        c->head[j] = (T)mean[j];
        c->scale[j] = (T)scale;
        c->rest[j] = (T)((c->head[j] - mean[j]) * scale + (bias ? bias[j] : 0));
    }
    for (int64_t j = n; j % VL; j++) c->head[j] = c->scale[j] = c->rest[j] = 0; /* whole vectors are read */
}

static FNN_INLINE V mapped(V x, const feature_maps *c, int64_t j)
{
    return v_madd(v_sub(x, v_load(c->head + j)), v_load(c->scale + j), v_load(c->rest + j));
}

static void FNN(batch_norm_forward)(void *y_, const void *x_, const double *mean, const double *variance,
                                    const void *weight_, const void *bias_, double eps, int64_t batch, int64_t n)
{
    const T *x = x_, *weight = weight_, *bias = bias_;
    T *y = y_;
    feature_maps c;
    for (int64_t first = 0, count; first < n; first += count) {
        count = n - first < NORM_COLUMNS ? n - first : NORM_COLUMNS;
        prepare_maps(&c, mean + first, variance + first, weight ? weight + first : NULL, bias ? bias + first : NULL,
                     eps, count);
        for (int64_t i = 0; i < batch; i++) {
            const int64_t at = i * n + first;
            for (int64_t j = 0; j < count; j += VL) {
                const V xv = v_load_upto(x + at + j, count - j, 0);
                v_store_upto(y + at + j, mapped(xv, &c, j), count - j);
            }
        }
    }
}

/* Sums of dy x^ and of dy of one column of vectors. */
static FNN_INLINE void batch_sums_column(double *dweight, double *dbias, const T *dy, const T *x, const feature_maps *c,
                                         int64_t j, int64_t rows, int64_t n, int64_t left)
{
    W slope[V_PARTS], level[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) {
        slope[h] = w_load(dweight + h * WL);
        level[h] = w_load(dbias + h * WL);
    }
    for (int64_t r = 0; r < rows; r++) {
        const V g = v_load_upto(dy + r * n, left, 0), a = mapped(v_load_upto(x + r * n, left, 0), c, j);
        for (int h = 0; h < V_PARTS; h++) {
            const W wide = wide_part(dy + r * n, g, left, h);
            slope[h] = w_madd(wide, v_widen(a, h), slope[h]);
            level[h] = w_add(level[h], wide);
        }
    }
    for (int h = 0; h < V_PARTS; h++) {
        w_store(dweight + h * WL, slope[h]);
        w_store(dbias + h * WL, level[h]);
    }
}

static void FNN(batch_norm_sums)(double *dweight, double *dbias, const void *dy_, const void *x_, const double *mean,
                                 const double *variance, double eps, int64_t batch, int64_t n)
{
    const T *dy = dy_, *x = x_;
    feature_maps c;
    for (int64_t first = 0, count; first < n; first += count) {
        count = n - first < NORM_COLUMNS ? n - first : NORM_COLUMNS;
        prepare_maps(&c, mean + first, variance + first, NULL, NULL, eps, count);
        for (int64_t i = 0, rows; i < batch; i += rows) {
            rows = batch - i < BATCH_ROWS ? batch - i : BATCH_ROWS;
            for (int64_t j = 0; j < count; j += VL) {
                const int64_t at = i * n + first + j;
                batch_sums_column(dweight + first + j, dbias + first + j, dy + at, x + at, &c, j, rows, n, count - j);
            }
        }
    }
}

/* y = x^ weight, so dx = scale weight (dy - mean(dy) - x^ mean(dy x^)), written as (dy - (x - head) slope - level) factor; and
 * dy scale weight where mean and variance are constants, rows = 0. */
typedef struct {
    T head[NORM_COLUMNS], slope[NORM_COLUMNS], level[NORM_COLUMNS], factor[NORM_COLUMNS];
} feature_gradients;

static void prepare_gradients(feature_gradients *c, const double *mean, const double *variance, const T *weight,
                              const double *dweight, const double *dbias, double eps, int64_t rows, int64_t n)
{
    const double share = rows ? 1 / (double)rows : 0;
    for (int64_t j = 0; j < n; j++) {
        const double scale = 1 / sqrt(variance[j] + eps), slope = dweight[j] * share * scale;
        c->head[j] = (T)mean[j];
        c->slope[j] = (T)slope;
        c->level[j] = (T)((c->head[j] - mean[j]) * slope + dbias[j] * share);
        c->factor[j] = (T)(scale * (weight ? weight[j] : 1));
    }
    for (int64_t j = n; j % VL; j++) c->head[j] = c->slope[j] = c->level[j] = c->factor[j] = 0;
}

static void FNN(batch_norm_backward)(void *dx_, const void *dy_, const void *x_, const double *mean,
                                     const double *variance, const void *weight_, const double *dweight,
                                     const double *dbias, double eps, int64_t rows, int64_t batch, int64_t n)
{
    const T *dy = dy_, *x = x_, *weight = weight_;
    T *dx = dx_;
    feature_gradients c;
    for (int64_t first = 0, count; first < n; first += count) {
        count = n - first < NORM_COLUMNS ? n - first : NORM_COLUMNS;
        prepare_gradients(&c, mean + first, variance + first, weight ? weight + first : NULL, dweight + first,
                          dbias + first, eps, rows, count);
        for (int64_t i = 0; i < batch; i++) {
            const int64_t at = i * n + first;
            for (int64_t j = 0; j < count; j += VL) {
                V g = v_load_upto(dy + at + j, count - j, 0);
                if (rows) {
                    const V d = v_sub(v_load_upto(x + at + j, count - j, 0), v_load(c.head + j));
                    g = v_sub(v_nmadd(d, v_load(c.slope + j), g), v_load(c.level + j));
                }
                v_store_upto(dx + at + j, v_mul(g, v_load(c.factor + j)), count - j);
            }
        }
    }
}
