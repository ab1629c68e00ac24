/*
 * guard.c: every kernel on memory that ends at protected pages: `make guard ROUNDS=20000`.
 *
 * Design
 * A. A round draws its ISA, dtype, kernel, sizes and layouts from its seed alone: `build/guard 1 SEED` repeats it.
 * B. Each operand lies flush against a protected page, at its end or at its start, so that touching one element too
 *    many stops the program. What lies on the other side, and in gaps between rows, is a pattern that must survive.
 *    The kernels' scratch comes from here too, on such pages.
 * C. Products and sums are compared with plain loops in the order that fastnn.h promises, everything else with the same
 *    kernel on single elements or rows, which lie elsewhere: bit for bit, but that one NaN is as good as another.
 */
#include "guarded.h"

/* Parameters of an activation, those of its table or others that it accepts. */
static const double *draw_params(int row)
{
    const fnn_param *p = fnn_activation_rows[row].params;
    for (int i = 0; i < FNN_MAX_PARAMS; i++) {
        params[i] = p[i].name ? p[i].value : 0;
        if (draw(2) && p[i].name)
            params[i] =
                p[i].accepted == ANY ? draw_value() : (double)(1 + draw(40)) / (p[i].accepted == NONZERO ? -16 : 16);
    }
    return params;
}

/* Strides of a (rows, columns) operand: one way of lying contiguous or the other, with gaps, backwards, or any. */
static fnn_matrix draw_strides(int64_t rows, int64_t columns)
{
    static const int64_t odd[] = {-3, -1, 0, 1, 2, 5};
    const int64_t gap = draw(2) ? 0 : draw(20), far = draw(24) ? 0 : 512;
    int64_t wide = columns + gap, tall = rows + gap;
    if (far && rows < 800 && columns < 800) {
        wide = (wide + far - 1) / far * far;
        tall = (tall + far - 1) / far * far;
    }
    const int64_t step = rows * columns < 40000 && !far ? odd[draw(6)] : 1; /* within the memory of an operand */
    switch (draw(8)) {
    case 0: return (fnn_matrix){NULL, -wide, draw(2) ? 1 : -1};
    case 1: return (fnn_matrix){NULL, draw(2) ? 1 : -1, -tall};
    case 2: return (fnn_matrix){NULL, step * wide, odd[draw(6)]};
    case 3: return (fnn_matrix){NULL, odd[draw(6)], step * tall};
    case 4:
    case 5: return (fnn_matrix){NULL, 1, tall};
    default: return (fnn_matrix){NULL, wide, 1};
    }
}

/* An operand of a product with strides, and its elements once more in copy, contiguous. */
static fnn_matrix take_matrix(int64_t rows, int64_t columns, void *copy)
{
    fnn_matrix x = draw_strides(rows, columns);
    if (rows == 0 || columns == 0) {
        x.data = take_numbers(0);
        return x;
    }
    const int64_t down = (rows - 1) * x.row, across = (columns - 1) * x.col;
    const int64_t before = (down < 0 ? -down : 0) + (across < 0 ? -across : 0);
    const int64_t after = (down > 0 ? down : 0) + (across > 0 ? across : 0);
    char *first =
        (char *)take(&operands[used++], (before + after + 1) * itemsize, BEYOND, (int)draw(2)) + before * itemsize;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) put(dtype, first, i * x.row + j * x.col, draw_value());
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            put(dtype, copy, i * columns + j, get(dtype, first, i * x.row + j * x.col));
    x.data = first;
    return x;
}

/* From the sums in copies[0], (m, n), what an epilogue makes of them: z = sum + bias to copies[1], y to copies[0]. */
static void plain_epilogue(const fnn_epilogue *e, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m * n && e->bias; i++)
        put(dtype, copies[0], i, add(dtype, get(dtype, copies[0], i), get(dtype, e->bias, i % n)));
    memcpy(copies[1], copies[0], (size_t)(m * n * itemsize));
    kernels->forward[e->activation](copies[0], copies[1], m * n, e->params);
}

/* Sizes that take every way through a product: one row, few rows, few columns, along n, along m; one chunk and several,
 * one block and several, packed or not. */
static void draw_product(int64_t *m, int64_t *n, int64_t *k)
{
    const int64_t way = draw(200);
    *m = draw_size(40), *n = draw_size(40), *k = draw_size(40);
    if (way < 20) *m = 1, *n = draw_size(400), *k = draw_size(1200);
    if (way >= 20 && way < 40) *m = draw_size(12), *n = draw_size(200), *k = draw_size(1100);
    if (way >= 40 && way < 60) *m = draw_size(200), *n = draw_size(12), *k = draw_size(1100);
    if (way >= 60 && way < 80) *m = draw_size(150), *n = draw_size(150);
    if (way >= 80 && way < 90) *k = 480 + draw(600);
    if (way == 90) *m = 13 + draw(90), *n = 250 + draw(30), *k = 126 + draw(5);
    if (way == 91) *m = 94 + draw(30), *n = 1022 + draw(20), *k = 126 + draw(5);
    if (way == 92) *m = 510 + draw(20), *n = 2046 + draw(60), *k = draw(3);
    if (way == 94 && draw(2)) *m = (dtype ? 256 : 512) + draw(20), *n = 256 + draw(9), *k = 128 + draw(3);
    if (way == 93) *m = 14 + draw(20), *n = 500 + draw(60), *k = draw(30);
}

static fnn_epilogue draw_epilogue(int64_t biases)
{
    fnn_epilogue e = {draw(2) ? take_numbers(biases) : NULL, NULL, (int)draw(FNN_ACTIVATION_COUNT), NULL};
    if (draw(3) == 0) e.activation = FNN_identity;
    e.params = draw_params(e.activation);
    return e;
}

/* Row strides of an output: its length, a panel's, or more. */
static int64_t draw_row(int64_t n)
{
    const int64_t more[] = {n, n, n + 1, n + draw(20), n < FNN_PANEL ? FNN_PANEL : n};
    return more[draw(5)];
}

static int64_t extent(int64_t rows, int64_t row, int64_t columns)
{
    return rows && columns ? (rows - 1) * row + columns : 0;
}

/* from, (rows, columns) and contiguous, is expected at `to`, with row stride `row`. */
static void expect_rows(const void *to, int64_t row, const char *from, int64_t rows, int64_t columns)
{
    if (rows == 0 || columns == 0) return;
    char *want = want_of(to);
    for (int64_t i = 0; i < rows; i++)
        memcpy(want + i * row * itemsize, from + i * columns * itemsize, (size_t)(columns * itemsize));
}

static void matmul_round(void)
{
    int64_t m, n, k;
    draw_product(&m, &n, &k);
    const fnn_matrix a = take_matrix(m, k, copies[2]), b = take_matrix(k, n, copies[3]);
    fnn_epilogue e = draw_epilogue(n);
    const int64_t ldc = draw_row(n);
    void *c = take_unwritten(extent(m, ldc, n));
    if (draw(2)) e.z = take_unwritten(extent(m, ldc, n));
    snprintf(what, sizeof what,
             "matmul m %" PRId64 " n %" PRId64 " k %" PRId64 ", a strides %" PRId64 " %" PRId64 ", b strides %" PRId64
             " %" PRId64 ", ldc %" PRId64 ", %s, bias %d, z %d",
             m, n, k, a.row, a.col, b.row, b.col, ldc, fnn_activation_rows[e.activation].name, e.bias != NULL,
             e.z != NULL);
    expect_nothing();
    if (kernels->matmul(c, ldc, a, b, m, n, k, &e)) fail("returns an error");
    plain_product(copies[0], copies[2], copies[3], m, n, k, fused, dtype);
    plain_epilogue(&e, m, n);
    expect_rows(c, ldc, copies[0], m, n);
    if (e.z && e.activation != FNN_identity) expect_rows(e.z, ldc, copies[1], m, n);
    check();
}

static void sum_rows_round(void)
{
    const int64_t batch = draw(4) ? draw_size(40) : draw_size(1200), features = draw_size(70);
    const void *x = take_numbers(batch * features);
    void *y = take_unwritten(features);
    snprintf(what, sizeof what, "sum_rows batch %" PRId64 " features %" PRId64, batch, features);
    expect_nothing();
    kernels->sum_rows(y, x, features, batch, features);
    for (int64_t i = 0; i < batch; i++) put(dtype, copies[2], i, 1);
    plain_product(want_of(y), copies[2], x, 1, features, batch, fused, dtype);
    check();
}

/* The lengths of elementwise calls: short, several tiles, and long enough for stores to be aligned. */
static int64_t draw_length(void) { return draw(20) ? draw_size(100) : draw(4) ? draw(700) : 4090 + draw(700); }

static void activation_round(void)
{
    const int row = (int)draw(FNN_ACTIVATION_COUNT), way = (int)draw(3);
    const int64_t n = draw_length();
    const double *p = draw_params(row);
    const fnn_backward_fn backward =
        way == 2 && kernels->backward_y[row] ? kernels->backward_y[row] : kernels->backward_x[row];
    void *x = take_numbers(n), *dy = way ? take_numbers(n) : NULL;
    const int64_t in_place = draw(way ? 3 : 2);
    void *y = in_place == 0 ? take_unwritten(n) : in_place == 1 ? x : dy;
    snprintf(what, sizeof what, "%s %s n %" PRId64 ", params %a %a, in place %" PRId64, fnn_activation_rows[row].name,
             way == 0                               ? "forward"
             : backward == kernels->backward_x[row] ? "backward_x"
                                                    : "backward_y",
             n, p[0], p[1], in_place);
    memcpy(copies[0], x, (size_t)(n * itemsize));
    if (dy) memcpy(copies[1], dy, (size_t)(n * itemsize));
    expect_nothing();
    if (way == 0)
        kernels->forward[row](y, x, n, p);
    else
        backward(y, dy, x, n, p);
    for (int64_t at = 0; at < n * itemsize; at += itemsize) {
        if (way == 0)
            kernels->forward[row]((char *)want_of(y) + at, copies[0] + at, 1, p);
        else
            backward((char *)want_of(y) + at, copies[1] + at, copies[0] + at, 1, p);
    }
    check();
}

/* The virtual lanes of a row reduction: element i goes to lane i mod 16, and lanes fold 8-4-2-1. */
static double fold(double lane[FNN_ROW_LANES])
{
    for (int half = FNN_ROW_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

static void prelu_round(void)
{
    const int64_t batch = draw_size(20), features = draw_size(70), n = batch * features;
    const int shared = (int)draw(2);
    const void *x = take_numbers(n), *dy = take_numbers(n), *weight = take_numbers(shared ? 1 : features);
    void *y = take_unwritten(n), *dx = take_unwritten(n), *dweight = take_unwritten(shared ? 1 : features);
    const int64_t lanes = shared ? FNN_ROW_LANES : padded(features);
    double *sums = take_doubles(lanes), *lane = (double *)copies[2];
    snprintf(what, sizeof what, "prelu batch %" PRId64 " features %" PRId64 " shared %d", batch, features, shared);
    expect_nothing();
    for (int64_t j = 0; j < lanes; j++) sums[j] = 0;
    kernels->prelu_forward(y, x, weight, batch, features, shared);
    kernels->prelu_backward(dx, dweight, sums, dy, x, weight, batch, features, shared);
    expect_anything(sums, lanes * 8);
    memset(lane, 0, (size_t)lanes * 8);
    for (int64_t i = 0; i < n; i++) {
        const double xi = get(dtype, x, i), g = get(dtype, dy, i), w = get(dtype, weight, shared ? 0 : i % features);
        put(dtype, want_of(y), i, xi > 0 ? xi : w * xi);
        put(dtype, want_of(dx), i, xi > 0 ? g : g * w);
        double *sum = lane + (shared ? i % FNN_ROW_LANES : i % features);
        const double left = xi > 0 ? 0 : g, right = xi > 0 ? 0 : xi;
        *sum = fused ? fma(left, right, *sum) : left * right + *sum;
    }
    if (shared)
        put(dtype, want_of(dweight), 0, fold(lane));
    else
        for (int64_t j = 0; j < features; j++) put(dtype, want_of(dweight), j, lane[j]);
    check();
}

static void maxout_round(void)
{
    const int64_t n = draw_size(70), pieces = 1 + draw_size(8);
    const void *x = take_numbers(n * pieces), *dy = take_numbers(n);
    void *y = take_unwritten(n), *dx = take_unwritten(n * pieces);
    int64_t *index = take_integers(n, pieces), *winner = draw(2) ? take_integers(n, 1) : NULL;
    snprintf(what, sizeof what, "maxout n %" PRId64 " pieces %" PRId64 ", index %d", n, pieces, winner != NULL);
    expect_nothing();
    kernels->maxout_forward(y, winner, x, n, pieces);
    kernels->maxout_backward(dx, dy, index, n, pieces);
    for (int64_t u = 0; u < n; u++) {
        int64_t best = 0;
        for (int64_t p = 0; p < pieces; p++) {
            const double value = get(dtype, x, u * pieces + p), most = get(dtype, x, u * pieces + best);
            if (most == most && !(value <= most)) best = p;
            put(dtype, want_of(dx), u * pieces + p, p == index[u] ? get(dtype, dy, u) : 0);
        }
        put(dtype, want_of(y), u, get(dtype, x, u * pieces + best));
        if (winner) ((int64_t *)want_of(winner))[u] = best;
    }
    check();
}

static void dropout_round(void)
{
    const int64_t n = draw_length(), first = draw(1000);
    const double p = draw(8) ? (double)draw(1000) / 1000 : (double)draw(2);
    const uint64_t key = (uint64_t)draw(INT64_MAX);
    const uint32_t step = (uint32_t)draw(100), layer = (uint32_t)draw(100);
    const void *x = take_numbers(n);
    void *y = draw(2) ? take_unwritten(n) : (void *)x;
    uint32_t *words = take_words(n);
    snprintf(what, sizeof what, "dropout n %" PRId64 " first %" PRId64 " p %g", n, first, p);
    memcpy(copies[0], x, (size_t)(n * itemsize));
    expect_nothing();
    kernels->dropout(y, x, p, key, step, layer, first, n);
    kernels->random_words(words, key, step, layer, first, n);
    for (int64_t i = 0; i < n; i++)
        kernels->random_words((uint32_t *)want_of(words) + i, key, step, layer, first + i, 1);
    for (int64_t i = 0; i < n; i++)
        kernels->dropout((char *)want_of(y) + i * itemsize, copies[0] + i * itemsize, p, key, step, layer, first + i,
                         1);
    check();
}

/* Rows of a reduction: short, several blocks of them, long. */
static int64_t draw_classes(void) { return draw(20) ? draw_size(100) : draw(4) ? draw(700) : 2040 + draw(2100); }

static void softmax_round(void)
{
    static const char *const names[] = {"softmax_forward", "log_softmax_forward", "softmax_backward",
                                        "log_softmax_backward"};
    const fnn_rows_fn forward[] = {kernels->softmax_forward, kernels->log_softmax_forward};
    const fnn_rows_backward_fn backward[] = {kernels->softmax_backward, kernels->log_softmax_backward};
    const int64_t way = draw(4), classes = draw_classes(), batch = draw_size(classes > 100 ? 3 : 20);
    void *x = take_numbers(batch * classes), *dy = way < 2 ? NULL : take_numbers(batch * classes);
    const int64_t in_place = draw(dy ? 3 : 2);
    void *y = in_place == 0 ? take_unwritten(batch * classes) : in_place == 1 ? x : dy;
    snprintf(what, sizeof what, "%s batch %" PRId64 " classes %" PRId64 ", in place %" PRId64, names[way], batch,
             classes, in_place);
    memcpy(copies[0], x, (size_t)(batch * classes * itemsize));
    if (dy) memcpy(copies[1], dy, (size_t)(batch * classes * itemsize));
    expect_nothing();
    if (way < 2)
        forward[way](y, x, batch, classes);
    else
        backward[way - 2](y, dy, x, batch, classes);
    for (int64_t i = 0; i < batch; i++) {
        const int64_t at = i * classes * itemsize;
        if (way < 2)
            forward[way]((char *)want_of(y) + at, copies[0] + at, 1, classes);
        else
            backward[way - 2]((char *)want_of(y) + at, copies[1] + at, copies[0] + at, 1, classes);
    }
    check();
}

#include "guard_norms.h"

#include "guard_panels.h"

/* The weights of rows, some of them 0: those count nothing, whatever is in them. */
static void *take_row_weights(int64_t batch)
{
    void *weight = take_numbers(batch);
    for (int64_t i = 0; i < batch; i++)
        if (draw(8) == 0) put(dtype, weight, i, 0);
    return weight;
}

/* A target of `rows` rows cut out of one of more: those from row `first` on. */
static fnn_target rows_of(const fnn_target *t, int target, int64_t first, int64_t features)
{
    fnn_target row = *t;
    if (t->labels) row.labels += first;
    if (t->values)
        row.values = (const char *)t->values + first * (target == FNN_NUMBER_A_ROW ? 1 : features) * itemsize;
    if (t->sample_weight) row.sample_weight = (const char *)t->sample_weight + first * itemsize;
    return row;
}

static fnn_target take_target(const fnn_loss_row *loss, int64_t batch, int64_t features)
{
    enum { IGNORED = -100 };
    fnn_target t = {.ignore_index = IGNORED};
    const int labels = loss->target >= FNN_LABELS, pair = loss->kind == FNN_PAIR;
    int64_t *label = labels && (loss->target == FNN_LABELS || draw(2)) ? take_integers(batch, features) : NULL;
    for (int64_t i = 0; label && i < batch; i++)
        if (draw(8) == 0) label[i] = IGNORED;
    t.labels = label;
    if (!label) t.values = take_numbers(batch * (loss->target == FNN_NUMBER_A_ROW ? 1 : features));
    if (pair || loss->second.count || (loss->second.name && draw(2)))
        t.second = take_numbers(pair ? batch * features : features);
    if (pair && draw(2)) t.dsecond = take_unwritten(batch * features);
    if (labels && draw(2)) t.class_weight = take_numbers(features);
    if (draw(2)) t.sample_weight = take_row_weights(batch);
    return t;
}

#include "guard_elements.h"

/* What the kernels check of a loss's numbers, against a plain loop. */
static void refused_round(void)
{
    static const int kinds_of_numbers[] = {FROM_0_TO_1, NONNEGATIVE, SIGN};
    const int64_t n = draw_length();
    const int accepted = kinds_of_numbers[draw(3)];
    void *x = take_numbers(n);
    int64_t want = -1;
    for (int64_t i = 0; i < n; i++) {
        if (draw(8)) put(dtype, x, i, accepted == SIGN ? 1 - 2 * draw(2) : 0.125 * (double)draw(9));
        const double v = get(dtype, x, i);
        const int refused = accepted == SIGN ? fabs(v) < 1 || fabs(v) > 1 : v < 0 || (accepted == FROM_0_TO_1 && v > 1);
        if (want < 0 && refused) want = i;
    }
    snprintf(what, sizeof what, "first_refused n %" PRId64 " accepted %d", n, accepted);
    if (kernels->first_refused(x, n, accepted) != want) fail("finds another number");
}

/* A loss of kind ROW against itself row by row, one of kind POINT element by element. */
static void loss_round(void)
{
    const int loss = (int)draw(FNN_LOSS_COUNT), by_row = fnn_loss_rows[loss].kind == FNN_ROW;
    const int64_t features = by_row + draw_classes(), batch = draw_size(features > 100 ? 3 : 20), n = batch * features;
    const double scale = draw(2) ? 1 : 0.25;
    void *x = take_numbers(n);
    const int target = fnn_loss_rows[loss].target, pair = fnn_loss_rows[loss].kind == FNN_PAIR;
    const fnn_target t = take_target(&fnn_loss_rows[loss], batch, features);
    void *losses = draw(2) ? take_unwritten(by_row ? batch : n) : NULL;
    void *dx = draw(3) == 0 ? x : draw(2) ? take_unwritten(n) : NULL;
    double *total = take_doubles(2), sum = 0, weights = 0, params[FNN_MAX_PARAMS];
    for (int j = 0; j < FNN_MAX_PARAMS; j++) params[j] = draw(2) ? fnn_loss_rows[loss].params[j].value : 0.125;
    snprintf(what, sizeof what, "%s batch %" PRId64 " features %" PRId64 ", labels %d, parameter %g",
             fnn_loss_rows[loss].name, batch, features, t.labels != NULL, params[0]);
    memcpy(copies[0], x, (size_t)(n * itemsize));
    expect_nothing();
    total[0] = 0;
    total[1] = kernels->sum_of_weights(&t, batch);
    kernels->losses[loss](total, losses, dx, x, &t, scale, params, batch, features);
    for (int64_t i = 0; i < batch; i++) {
        const fnn_target row = rows_of(&t, target, i, features);
        const double weight = kernels->sum_of_weights(&row, 1), columns = by_row ? 1 : (double)features;
        double lane[FNN_ROW_LANES] = {0};
        for (int64_t j = 0; j < (int64_t)columns; j++) {
            const int64_t at = (i * features + j) * itemsize, width = by_row ? features : 1;
            double one = 0, ignored = 0;
            fnn_target part = row, unweighted;
            if (!by_row && target != FNN_NUMBER_A_ROW) part.values = (const char *)t.values + at;
            if (t.second) part.second = (const char *)t.second + (pair ? at : j * itemsize);
            part.dsecond = NULL;
            unweighted = part;
            if (!by_row) unweighted.sample_weight = NULL;
            if (t.dsecond) part.dsecond = (char *)want_of(t.dsecond) + at;
            kernels->losses[loss](&ignored, NULL, dx ? (char *)want_of(dx) + at : NULL, copies[0] + at, &part, scale,
                                  params, 1, width);
            part.dsecond = NULL;
            kernels->losses[loss](&ignored, losses ? (char *)want_of(losses) + (by_row ? i * itemsize : at) : NULL,
                                  NULL, copies[0] + at, &part, 1, params, 1, width);
            kernels->losses[loss](&one, NULL, NULL, copies[0] + at, &unweighted, 1, params, 1, width);
            lane[j % FNN_ROW_LANES] += one;
        }
        sum += by_row ? lane[0] : weight == 0 ? 0 : weight * fold(lane);
        weights += weight;
    }
    ((double *)want_of(total))[0] = sum;
    ((double *)want_of(total))[1] = weights;
    check();
}

/* Rows of numbers, up to 20 elements more than n apart. */
static fnn_rows take_walked(int64_t rows, int64_t n)
{
    const int64_t row = n + (draw(2) ? draw(21) : 0);
    return (fnn_rows){take_numbers(rows ? (rows - 1) * row + n : 0), row};
}

/* Element (i, j) of rows at `data`. */
static fnn_rows element_of(const fnn_rows *rows, void *data, int64_t i, int64_t j)
{
    return (fnn_rows){data ? (char *)data + (i * rows->row + j) * itemsize : NULL, 0};
}

/* An optimizer against itself element by element; where a hyper-parameter is 0, without the slots that it needs. */
static void optimizer_round(void)
{
    const int way = (int)draw(FNN_OPTIMIZER_COUNT);
    const fnn_optimizer_row *row = &fnn_optimizer_rows[way];
    const int64_t rows = draw(2) ? 1 : draw_size(9), n = rows == 1 ? draw_length() : draw_size(40);
    double *hyper = take_doubles(FNN_MAX_HYPER), *scalars = take_doubles(FNN_MAX_SCALARS);
    fnn_rows p = take_walked(rows, n), g = take_walked(rows, n), slots[FNN_MAX_SLOTS] = {{NULL, 0}}, one[FNN_MAX_SLOTS];
    for (int j = 0; j < FNN_MAX_HYPER; j++)
        hyper[j] = row->params[j].accepted == SWITCH               ? draw(2)
                   : row->params[j].accepted == SWITCH_OF_MOMENTUM ? hyper[j - 2] != 0 && hyper[j - 1] == 0 && draw(2)
                   : row->params[j].value != 0 || draw(2)          ? row->params[j].value
                                                                   : 0.125;
    for (int j = 0; j < FNN_MAX_SLOTS && row->slots[j].name; j++) {
        int needed = row->slots[j].needs == NULL;
        for (int k = 0; k < FNN_MAX_HYPER && !needed && row->params[k].name; k++)
            needed = strcmp(row->params[k].name, row->slots[j].needs) == 0 && hyper[k] != 0;
        if (needed) slots[j] = take_walked(rows, n);
    }
    snprintf(what, sizeof what, "%s rows %" PRId64 " n %" PRId64 ", second and last hyper-parameter %g, %g", row->name,
             rows, n, hyper[1], hyper[FNN_MAX_HYPER - 1]);
    memset(scalars, 0, FNN_MAX_SCALARS * sizeof *scalars);
    kernels->scalars[way](scalars, hyper, (double)(1 + draw(1000)));
    expect_nothing();
    kernels->updates[way](p, slots, g, rows, n, scalars);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int s = 0; s < FNN_MAX_SLOTS; s++)
                one[s] = element_of(&slots[s], slots[s].data ? want_of(slots[s].data) : NULL, i, j);
            kernels->updates[way](element_of(&p, want_of(p.data), i, j), one, element_of(&g, g.data, i, j), 1, 1,
                                  scalars);
        }
    check();
}

static void sums_of_squares_round(void)
{
    const int64_t batch = draw_size(9), features = draw(4) ? draw_size(40) : draw_size(1200);
    const char *x = take_numbers(batch * features);
    double *sums = take_doubles(batch);
    snprintf(what, sizeof what, "sums_of_squares batch %" PRId64 " features %" PRId64, batch, features);
    expect_nothing();
    kernels->sums_of_squares(sums, x, batch, features);
    for (int64_t i = 0; i < batch; i++) {
        double lane[FNN_ROW_LANES] = {0};
        for (int64_t j = 0; j < features; j++) {
            const double a = get(dtype, x, i * features + j), sum = lane[j % FNN_ROW_LANES];
            lane[j % FNN_ROW_LANES] = fused ? fma(a, a, sum) : a * a + sum;
        }
        ((double *)want_of(sums))[i] = fold(lane);
    }
    check();
}

static void fma_chains_round(void)
{
    const int64_t steps = draw(100), done = kernels->fma_chains(steps);
    snprintf(what, sizeof what, "fma_chains steps %" PRId64, steps);
    if (done < steps * 24 || (steps && done % steps)) fail("counts its operations wrongly");
}

/* Each kind of round with its share of a hundred. */
static const struct {
    void (*run)(void);
    int share;
} kinds[] = {{matmul_round, 27},
             {layout_round, 5},
             {panels_round, 17},
             {sum_rows_round, 3},
             {gather_round, 3},
             {activation_round, 11},
             {prelu_round, 3},
             {maxout_round, 3},
             {dropout_round, 3},
             {softmax_round, 4},
             {loss_round, 6},
             {refused_round, 1},
             {optimizer_round, 2},
             {sums_of_squares_round, 1},
             {fma_chains_round, 1},
             {norm_round, 3},
             {batch_norm_round, 3},
             {arithmetic_round, 2},
             {cross_entropy_panels_round, 2}};

static void round_of_seed(void)
{
    int64_t kind = 0, at = draw(100);
    while (at >= kinds[kind].share) at -= kinds[kind++].share;
    used = 0;
    operands[OPERANDS].data = NULL;
    awkward_values = draw(6) == 0;
    snprintf(what, sizeof what, "kind %" PRId64, kind);
    kinds[kind].run();
}

int main(int count, char **argument)
{
    enum { MOST_ISAS = 16 };
    int64_t rounds = count > 1 ? atoll(argument[1]) : 1, done[MOST_ISAS][FNN_DTYPES] = {{0}};
    const uint64_t first_seed = count > 2 ? strtoull(argument[2], NULL, 10) : 0;
    int isas[MOST_ISAS], isa_count = 0;
    for (int i = 0; i < fnn_isa_count(); i++)
        if (fnn_isa_supported(i)) isas[isa_count++] = i;
    prepare_memory();
    for (int64_t r = 0; r < rounds; r++) {
        seed = first_seed + (uint64_t)r;
        state = seed;
        const int isa = (int)(seed % (uint64_t)isa_count);
        dtype = (int)(seed / (uint64_t)isa_count % FNN_DTYPES);
        itemsize = dtype == FNN_F64 ? 8 : 4;
        isa_name = fnn_isa_name(isas[isa]);
        fused = strcmp(isa_name, "portable") != 0;
        fnn_isa_use(isa_name);
        kernels = fnn_kernels_for(dtype);
        round_of_seed();
        done[isa][dtype]++;
    }
    for (int i = 0; i < isa_count; i++)
        for (dtype = 0; dtype < FNN_DTYPES; dtype++)
            printf("%s %s: %" PRId64 " rounds\n", fnn_isa_name(isas[i]), dtype_name(), done[i][dtype]);
    return 0;
}
