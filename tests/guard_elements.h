/*
 * guard_elements.h: the rounds of guard.c that check arithmetic on elements, rows that are gathered, and cross-entropy in panels,
 * each against itself on single elements or rows.
 */

enum { ADD, SCALE, ADD_SCALED, AVERAGE, REGULARISE, ARITHMETIC };

static void compute(int64_t way, void *to, const void *a, const void *b, double factor, int64_t n)
{
    switch (way) {
    case ADD: kernels->add(to, a, b, n); break;
    case SCALE: kernels->scale(to, a, factor, n); break;
    case ADD_SCALED: kernels->add_scaled(to, a, factor, n); break;
    case AVERAGE: kernels->average(to, a, factor, n); break;
    default: kernels->regularise(to, a, n, factor > 0.5 ? 0 : factor, 1 - factor, factor > 0.75 ? INFINITY : factor);
    }
}

static void arithmetic_round(void)
{
    static const char *const names[] = {"add", "scale", "add_scaled", "average", "regularise"};
    const int64_t way = draw(ARITHMETIC), n = draw_length();
    const double factor = (double)draw(9) / 8;
    void *const a = take_numbers(n), *const b = take_numbers(n);
    void *const to = way == ADD && draw(2) ? b : way == SCALE && draw(2) ? a : take_numbers(n);
    snprintf(what, sizeof what, "%s n %" PRId64 " factor %g, in place %d", names[way], n, factor, to == a || to == b);
    memcpy(copies[0], a, (size_t)(n * itemsize));
    memcpy(copies[1], b, (size_t)(n * itemsize));
    expect_nothing();
    compute(way, to, a, b, factor, n);
    for (int64_t at = 0; at < n * itemsize; at += itemsize)
        compute(way, (char *)want_of(to) + at, copies[0] + at, copies[1] + at, factor, 1);
    check();
}

/* Rows in any order and of any kind of numbers, as rows or in panels. */
static void gather_round(void)
{
    static const int64_t sizes[FNN_ELEMENTS] = {4, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1};
    const int64_t there = 1 + draw(50), batch = draw_size(70), features = draw_size(150), row = draw_row(features);
    const int from = draw(2) ? dtype : (int)draw(FNN_ELEMENTS), in_panels = draw(3) > 0;
    const int64_t bytes = sizes[from], next_batch = draw(70), count = extent(there, row, features);
    char *const x = take(&operands[used++], count * bytes, BEYOND, (int)draw(2));
    for (int64_t i = 0; i < count * bytes; i++) x[i] = (char)draw(256);
    for (int64_t i = 0; from <= FNN_FROM_F64 && i < count; i++) put(from, x, i, draw_value());
    const int64_t *const order = draw(4) || batch > there ? take_integers(batch, there) : NULL, *const next =
                                                                                                    take_integers(
                                                                                                        next_batch,
                                                                                                        there);
    snprintf(what, sizeof what, "gather %s batch %" PRId64 " features %" PRId64 " row %" PRId64 " kind %d, order %d",
             in_panels ? "panels" : "rows", batch, features, row, from, order != NULL);
    for (int64_t i = 0; i < batch; i++)
        for (int64_t j = 0; j < features; j++)
            kernels->gather_rows(copies[0] + (i * features + j) * itemsize,
                                 x + ((order ? order[i] : i) * row + j) * bytes, from, 0, NULL, 1, 1);
    if (in_panels) {
        const fnn_panels panels = take_unwritten_panels(batch, features);
        expect_nothing();
        kernels->gather_panels(panels, x, from, row, order, batch, features, draw(2) ? next : NULL, next_batch);
        expect_panels(panels, copies[0], batch, features, 1);
    } else {
        void *const rows = take_unwritten(batch * features);
        expect_nothing();
        kernels->gather_rows(rows, x, from, row, order, batch, features);
        expect_rows(rows, features, copies[0], batch, features);
    }
    check();
}

/* Against the loss by rows; where the kernel refuses what it cannot do, it may have written anything within its operands. */
static void cross_entropy_panels_round(void)
{
    enum { MOST_CLASSES = 16 };
    const double none[FNN_MAX_PARAMS] = {0}, scale = draw(2) ? 1 : 0.25;
    const int64_t batch = draw_size(70), classes = 1 + draw_size(19);
    const fnn_panels logits = take_panels(batch, classes, copies[0], 1);
    const fnn_panels dlogits = take_unwritten_panels(batch, classes);
    fnn_target t = take_target(&fnn_loss_rows[FNN_LOSS_nll], batch, classes);
    t.class_weight = NULL;
    double *const sum = take_doubles(1);
    snprintf(what, sizeof what, "cross_entropy_panels batch %" PRId64 " classes %" PRId64, batch, classes);
    *sum = 0;
    expect_nothing();
    const int made = kernels->cross_entropy_panels(sum, dlogits, logits, &t, scale, batch, classes);
    if (!made && !awkward_values && classes <= MOST_CLASSES && batch >= FNN_PANEL) fail("refuses its rows");
    if (!made) {
        expect_anything(dlogits.data, extent_of_panels(batch, dlogits.panel, classes) * itemsize);
        expect_anything(sum, sizeof *sum);
    } else {
        for (int64_t i = 0; i < batch; i++) {
            const fnn_target row = rows_of(&t, FNN_LABELS, i, classes);
            const int64_t at = i * classes * itemsize;
            kernels->losses[FNN_LOSS_cross_entropy](want_of(sum), NULL, copies[1] + at, copies[0] + at, &row, scale,
                                                    none, 1, classes);
        }
        expect_panels(dlogits, copies[1], batch, classes, 1);
    }
    check();
}
