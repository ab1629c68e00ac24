/* plain.inc.h: the kernels of plain.h for the dtype T, FNN_T of the enum, whose names end in SUFFIX; plain.c includes it for each. */
#define PLAIN_JOIN(name, suffix) name##_##suffix
#define PLAIN_NAME(name, suffix) PLAIN_JOIN(name, suffix)
#define PLAIN(name) PLAIN_NAME(name, SUFFIX)

static void PLAIN(move)(void *running_, const double *value, double momentum, double factor, int64_t n)
{
    T *running = running_;
    for (int64_t i = 0; i < n; i++) running[i] = (T)((1 - momentum) * running[i] + momentum * (factor * value[i]));
}

static void PLAIN(add_number)(void *y_, const void *x_, double number, int64_t n)
{
    const T *x = x_, more = (T)number;
    T *y = y_;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + more;
}

static void PLAIN(scale_rows)(void *y_, const void *x_, const void *factor_, int64_t rows, int64_t n)
{
    const T *x = x_, *factor = factor_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, x += n, y += n)
        for (int64_t j = 0; j < n; j++) y[j] = x[j] * factor[j];
}

static void PLAIN(add_rows)(void *y_, const void *x_, const void *more_, int64_t rows, int64_t n)
{
    const T *x = x_, *more = more_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, x += n, y += n)
        for (int64_t j = 0; j < n; j++) y[j] = x[j] + more[j];
}

static void PLAIN(scale_and_add)(void *y_, const void *x_, const void *factor_, const void *more_, int64_t rows,
                                 int64_t n)
{
    const T *x = x_, *factor = factor_, *more = more_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, x += n, y += n)
        for (int64_t j = 0; j < n; j++) y[j] = x[j] * factor[j] + more[j];
}

static void PLAIN(scale_and_add_backward)(void *dx_, void *dfactor_, void *dmore_, double *sums, const void *dy_,
                                          const void *x_, const void *factor_, int64_t rows, int64_t n)
{
    const T *dy = dy_, *x = x_, *factor = factor_;
    T *dx = dx_, *dfactor = dfactor_, *dmore = dmore_;
    double *const more = sums + n;
    memset(sums, 0, (size_t)(2 * n) * sizeof(double));
    for (int64_t i = 0; i < rows; i++, dy += n, x += n) {
        for (int64_t j = 0; j < n; j++) {
            const T product = dy[j] * x[j];
            sums[j] += product;
        }
        for (int64_t j = 0; dmore && j < n; j++) more[j] += dy[j];
        for (int64_t j = 0; dx && j < n; j++) dx[j] = dy[j] * factor[j];
        dx = dx ? dx + n : NULL;
    }
    for (int64_t j = 0; j < n; j++) dfactor[j] = (T)sums[j];
    for (int64_t j = 0; dmore && j < n; j++) dmore[j] = (T)more[j];
}

static void PLAIN(divide)(void *x_, double number, int64_t n)
{
    T *x = x_;
    for (int64_t i = 0; i < n; i++) x[i] /= (T)number;
}

static void PLAIN(spread)(void *y_, const void *x_, int64_t rows, int64_t copies, int64_t n)
{
    const T *x = x_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, x += n)
        for (int64_t k = 0; k < copies; k++, y += n) memcpy(y, x, (size_t)n * sizeof(T));
}

static void PLAIN(gather)(void *x_, const void *y_, int64_t rows, int64_t copies, int64_t n, double divisor)
{
    const T *y = y_;
    T *x = x_;
    for (int64_t i = 0; i < rows; i++, x += n, y += copies * n)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < copies; k++) sum += y[k * n + j];
            x[j] = (T)(sum / divisor);
        }
}

static void PLAIN(sum_products)(void *to_, double *sums, const void *a_, const void *b_, int64_t rows, int64_t n)
{
    const T *a = a_, *b = b_;
    T *to = to_;
    memset(sums, 0, (size_t)n * sizeof(double));
    for (int64_t i = 0; i < rows; i++, a += n) {
        for (int64_t j = 0; j < n; j++) {
            const T product = b ? a[j] * b[j] : a[j];
            sums[j] += product;
        }
        b = b ? b + n : NULL;
    }
    for (int64_t j = 0; j < n; j++) to[j] = (T)sums[j];
}

static void PLAIN(transpose)(void *y_, const void *x_, int64_t matrices, int64_t rows, int64_t columns)
{
    const T *x = x_;
    T *y = y_;
    for (int64_t m = 0; m < matrices; m++, x += rows * columns, y += rows * columns)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j];
}

static void PLAIN(scale_each)(void *y_, const void *x_, const void *factor_, int64_t rows, int64_t n)
{
    const T *x = x_, *factor = factor_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, x += n, y += n)
        for (int64_t j = 0; j < n; j++) y[j] = x[j] * factor[i];
}

static void PLAIN(sum_last)(void *y_, const void *a_, const void *b_, int64_t rows, int64_t n)
{
    const T *a = a_, *b = b_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++, a += n) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) {
            const T product = b ? a[j] * b[j] : a[j];
            sum += product;
        }
        y[i] = (T)sum;
        b = b ? b + n : NULL;
    }
}

static void PLAIN(add_columns)(void *dx_, const void *dy_, const int64_t *columns, int64_t rows, int64_t n,
                               int64_t each)
{
    const T *dy = dy_;
    T *dx = dx_;
    for (int64_t i = 0; i < rows; i++, dx += n, dy += each)
        for (int64_t j = 0; j < each; j++) dx[columns[j]] += dy[j];
}

static void PLAIN(standardize)(void *y_, const void *x_, const double *mean, const double *scale, const int64_t *places,
                               int64_t rows, int64_t n)
{
    enum { AT_ONCE = 512 };
    T means[AT_ONCE], scales[AT_ONCE]; /* of a part of all rows */
    for (int64_t first = 0; first < n; first += AT_ONCE) {
        const int64_t count = n - first < AT_ONCE ? n - first : AT_ONCE;
        const T *x = (const T *)x_ + first;
        T *y = (T *)y_ + first;
        for (int64_t j = 0; j < count; j++) {
            means[j] = mean ? (T)mean[places[first + j]] : 0;
            scales[j] = (T)scale[places[first + j]];
        }
        for (int64_t i = 0; i < rows; i++, x += n, y += n)
            for (int64_t j = 0; j < count; j++) y[j] = (x[j] - means[j]) / scales[j];
    }
}

static int PLAIN(indices)(int64_t *to, const void *x_, int64_t n, int64_t limit)
{
    const T *x = x_;
    for (int64_t i = 0; i < n; i++) {
        if (!(x[i] >= 0 && (double)x[i] < (double)limit)) return 0;
        to[i] = (int64_t)x[i];
        if ((T)to[i] != x[i]) return 0;
    }
    return 1;
}

static void PLAIN(sum_of_indices)(void *to_, double *sums, const int64_t *index, const void *dy_, int64_t count,
                                  int64_t rows, int64_t n)
{
    const T *dy = dy_;
    T *to = to_;
    memset(sums, 0, (size_t)(rows * n) * sizeof(double));
    for (int64_t i = 0; i < count; i++, dy += n)
        for (int64_t j = 0; j < n; j++) sums[index[i] * n + j] += dy[j];
    for (int64_t j = 0; j < rows * n; j++) to[j] = (T)sums[j];
}

/* The nearest whole number, of two the even one: beyond ROUND, 1 / epsilon, all numbers are whole. */
static inline T PLAIN(nearest)(T x)
{
    const T magic = x < 0 ? -ROUND : ROUND;
    return (x < 0 ? -x : x) < ROUND ? (x + magic) - magic : x;
}

/* cos(2 pi t) and sin(2 pi t). q quarters of a turn are taken off, exactly; |a| <= pi / 4 is left, where the series of Taylor
 * is short, and the result is turned back by the cosine and the sine of q quarters, which are -1, 0 or 1. */
static inline void PLAIN(cos_sin)(T *cosine, T *sine, T t)
{
    T a = t - PLAIN(nearest)(t), c = 0, s = 0;
    const T q = PLAIN(nearest)(a * 4), magnitude = q < 0 ? -q : q;
    a = (a - q * (T)0.25) * (T)TWO_PI;
    const T square = a * a;
    for (int n = TERMS - 1; n >= 0; n--) {
        c = c * square + (T)cosine_series[n];
        s = s * square + (T)sine_series[n];
    }
    s *= a;
    const T turn_cos = 1 - magnitude, turn_sin = q * (2 - magnitude);
    *cosine = c * turn_cos - s * turn_sin;
    *sine = s * turn_cos + turn_sin * c;
}

static void PLAIN(waves)(void *y_, const void *x_, const void *weight_, int64_t rows, int64_t n, int64_t frequencies)
{
    const T *x = x_;
    T *y = y_;
    for (int64_t i = 0; i < rows; i++) {
        const T *weight = weight_;
        for (int64_t j = 0; j < n; j++, x++, weight += frequencies, y += 2 * frequencies)
            for (int64_t k = 0; k < frequencies; k++) PLAIN(cos_sin)(y + k, y + frequencies + k, *x * weight[k]);
    }
}

static void PLAIN(waves_backward)(void *dphase_, const void *dy_, const void *y_, int64_t numbers, int64_t frequencies)
{
    const T *y = y_, *dy = dy_;
    T *dphase = dphase_;
    for (int64_t i = 0; i < numbers; i++, y += 2 * frequencies, dy += 2 * frequencies, dphase += frequencies)
        for (int64_t k = 0; k < frequencies; k++)
            dphase[k] = (T)TWO_PI * (y[k] * dy[frequencies + k] - y[frequencies + k] * dy[k]);
}

/* Whether there is a bin between two edges. */
static int PLAIN(is_bin)(const double *edges, int64_t t)
{
    const T width = (T)edges[t + 1] - (T)edges[t];
    return width > 0 && width < (T)INFINITY;
}

static void PLAIN(bins)(void *y_, void *slope_, const void *x_, const double *edges, int64_t rows, int64_t n,
                        int64_t bins)
{
    const T *x = x_, infinite = (T)INFINITY;
    T *y = y_, *slope = slope_;
    for (int64_t j = 0; j < n; j++, edges += bins + 1) {
        int64_t first = 0, last = bins - 1;
        while (first < bins && !PLAIN(is_bin)(edges, first)) first++;
        while (last >= 0 && !PLAIN(is_bin)(edges, last)) last--;
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t t = 0, at = (i * n + j) * bins; t < bins; t++, at++) {
                const int real = PLAIN(is_bin)(edges, t);
                const T start = real ? (T)edges[t] : 0, width = real ? (T)edges[t + 1] - (T)edges[t] : 1;
                const T least = t == first ? -infinite : 0, largest = !real ? 0 : t == last ? infinite : 1;
                const T free = (x[i * n + j] - start) / width;
                if (slope) slope[at] = free >= least && free < largest ? 1 / width : 0;
                if (y) y[at] = free < least ? least : free > largest ? largest : free;
            }
        }
    }
}

/* Element k of the weights of unit u. */
static int64_t PLAIN(place_of)(int64_t u, int64_t k, int64_t row, int k_major)
{
    return k_major ? k * row + u : u * row + k;
}

static void PLAIN(hold_norms)(void *weight, int64_t rows, int64_t columns, int64_t row, int k_major, double most,
                              void *unit_)
{
    const int64_t units = k_major ? columns : rows, length = k_major ? rows : columns;
    T *w = weight, *unit = unit_;
    for (int64_t u = 0; u < units; u++) {
        double norm;
        for (int64_t k = 0; k < length; k++) unit[k] = w[PLAIN(place_of)(u, k, row, k_major)];
        fnn_kernels_for(FNN_T)->sums_of_squares(&norm, unit, 1, length);
        norm = sqrt(norm);
        for (int64_t k = 0; norm > most && k < length; k++)
            w[PLAIN(place_of)(u, k, row, k_major)] = (T)(unit[k] * (most / norm));
    }
}

static double PLAIN(penalty)(const T *w, int64_t n, double l1, double l2)
{
    double magnitudes = 0, squares = 0;
    if (l2 != 0) fnn_kernels_for(FNN_T)->sums_of_squares(&squares, w, 1, n);
    for (int64_t i = 0; l1 != 0 && i < n; i++) magnitudes += fabs((double)w[i]);
    return l1 * magnitudes + l2 * squares;
}

static const fnn_plain PLAIN(plain) = {
    .move = PLAIN(move),
    .add_number = PLAIN(add_number),
    .scale_rows = PLAIN(scale_rows),
    .add_rows = PLAIN(add_rows),
    .divide = PLAIN(divide),
    .transpose = PLAIN(transpose),
    .scale_each = PLAIN(scale_each),
    .sum_last = PLAIN(sum_last),
    .add_columns = PLAIN(add_columns),
    .standardize = PLAIN(standardize),
    .indices = PLAIN(indices),
    .sum_of_indices = PLAIN(sum_of_indices),
    .waves = PLAIN(waves),
    .waves_backward = PLAIN(waves_backward),
    .bins = PLAIN(bins),
    .spread = PLAIN(spread),
    .gather = PLAIN(gather),
    .scale_and_add = PLAIN(scale_and_add),
    .scale_and_add_backward = PLAIN(scale_and_add_backward),
    .sum_products = PLAIN(sum_products),
};

#undef PLAIN
#undef PLAIN_NAME
#undef PLAIN_JOIN
