/* guard_norms.h: the rounds of guard.c for layer, RMS and batch norm, written on guarded.h as all are. */

/* A weight, or a bias, for each feature; or none. */
static void *take_per_feature(int64_t features) { return draw(3) ? take_numbers(features) : NULL; }

/* One of these rows of a contiguous array. */
static char *row_of(const void *rows, int64_t i, int64_t features) { return (char *)rows + i * features * itemsize; }

/* Layer and RMS norm against themselves row by row: dx one row at a time, sums over rows as plain sums. */
static void norm_round(void)
{
    const fnn_norm_fn forward[] = {kernels->layer_norm_forward, kernels->rms_norm_forward};
    const fnn_norm_backward_fn backward[] = {kernels->layer_norm_backward, kernels->rms_norm_backward};
    const int64_t rms = draw(2), features = draw_classes(), batch = draw_size(features > 100 ? 6 : 20);
    const int64_t n = batch * features, lanes = padded(features);
    const void *dy = take_numbers(n), *weight = take_per_feature(features), *bias = take_per_feature(features);
    void *x = take_numbers(n), *y = draw(2) ? take_unwritten(n) : x, *dx = take_unwritten(n);
    double *dweight = take_doubles(lanes), *dbias = rms ? NULL : take_doubles(lanes);
    const double eps = draw(2) ? 1e-5 : 0.125;
    snprintf(what, sizeof what, "%s norm batch %" PRId64 " features %" PRId64 ", weight %d, bias %d, in place %d",
             rms ? "rms" : "layer", batch, features, weight != NULL, bias != NULL, y == x);
    memcpy(copies[0], x, (size_t)(n * itemsize));
    memset(dweight, 0, (size_t)lanes * 8);
    if (dbias) memset(dbias, 0, (size_t)lanes * 8);
    expect_nothing();
    const int64_t first = batch ? draw(batch) : 0, at = first * features * itemsize;
    backward[rms](dx, dweight, dbias, dy, x, weight, eps, first, features);
    backward[rms]((char *)dx + at, dweight, dbias, (const char *)dy + at, (const char *)x + at, weight, eps,
                  batch - first, features);
    forward[rms](y, x, weight, bias, eps, batch, features);
    for (int64_t i = 0; i < batch; i++) {
        const char *row = row_of(copies[0], i, features);
        forward[rms](row_of(want_of(y), i, features), row, weight, bias, eps, 1, features);
        backward[rms](row_of(want_of(dx), i, features), want_of(dweight), dbias ? want_of(dbias) : NULL,
                      row_of(dy, i, features), row, weight, eps, 1, features);
    }
    expect_anything(dweight + features, (lanes - features) * 8);
    if (dbias) expect_anything(dbias + features, (lanes - features) * 8);
    check();
}

/* The elements of one feature, which has rows of its own length in an array of its own. */
static char *feature_of(char *to, const void *rows, int64_t j, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i++) put(dtype, to, i, get(dtype, rows, i * features + j));
    return to;
}

/* Batch norm against itself feature by feature, and in two pieces. */
static void batch_norm_round(void)
{
    const int64_t features = draw_classes(), batch = 1 + draw_size(features > 100 ? 12 : 40), n = batch * features;
    const int64_t lanes = padded(features), first = draw(batch), at = first * features * itemsize;
    const int64_t rows = draw(2) ? batch : 0;
    const void *dy = take_numbers(n), *weight = take_per_feature(features), *bias = take_per_feature(features);
    void *x = take_numbers(n), *y = draw(2) ? take_unwritten(n) : x, *dx = take_unwritten(n);
    double *mean = take_doubles(features), *variance = take_doubles(features), *sums[4];
    for (int i = 0; i < 4; i++) {
        sums[i] = take_doubles(lanes);
        memset(sums[i], 0, (size_t)lanes * 8);
    }
    const double eps = draw(2) ? 1e-5 : 0.125;
    snprintf(what, sizeof what,
             "batch norm batch %" PRId64 ", %" PRId64 " before, features %" PRId64 ", weight %d, bias %d", batch, first,
             features, weight != NULL, bias != NULL);
    memcpy(copies[0], x, (size_t)(n * itemsize));
    expect_nothing();
    kernels->batch_moments(mean, variance, sums[0], sums[1], x, 0, first, features);
    kernels->batch_moments(mean, variance, sums[0], sums[1], x, first, batch - first, features);
    kernels->batch_norm_sums(sums[2], sums[3], dy, x, mean, variance, eps, first, features);
    kernels->batch_norm_sums(sums[2], sums[3], (const char *)dy + at, (const char *)x + at, mean, variance, eps,
                             batch - first, features);
    kernels->batch_norm_backward(dx, dy, x, mean, variance, weight, sums[2], sums[3], eps, rows, batch, features);
    kernels->batch_norm_forward(y, x, mean, variance, weight, bias, eps, batch, features);
    for (int64_t j = 0; j < features; j++) {
        double sum[4][FNN_ROW_LANES] = {{0}}, *m = (double *)want_of(mean) + j, *v = (double *)want_of(variance) + j;
        const char *xj = feature_of(copies[1], copies[0], j, batch, features);
        const char *dyj = feature_of(copies[2], dy, j, batch, features);
        const char *w = weight ? (const char *)weight + j * itemsize : NULL;
        const char *b = bias ? (const char *)bias + j * itemsize : NULL;
        kernels->batch_moments(m, v, sum[0], sum[1], xj, 0, batch, 1);
        kernels->batch_norm_sums(sum[2], sum[3], dyj, xj, m, v, eps, batch, 1);
        kernels->batch_norm_backward(copies[3], dyj, xj, m, v, w, sum[2], sum[3], eps, rows, batch, 1);
        for (int64_t i = 0; i < batch; i++) put(dtype, want_of(dx), i * features + j, get(dtype, copies[3], i));
        kernels->batch_norm_forward(copies[3], xj, m, v, w, b, eps, batch, 1);
        for (int64_t i = 0; i < batch; i++) put(dtype, want_of(y), i * features + j, get(dtype, copies[3], i));
        for (int i = 0; i < 4; i++) ((double *)want_of(sums[i]))[j] = sum[i][0];
    }
    for (int i = 0; i < 4; i++) expect_anything(sums[i] + features, (lanes - features) * 8);
    check();
}
