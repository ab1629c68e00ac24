/*
 * guard_panels.h: the rounds of guard.c that check the forms of a compiled network: activations in panels, weights k-major.
 */

/* Panels: element (i, j) of (batch, features) stands at [i / 16][j][i % 16] with some stride of the first axis; transposed,
 * at [j / 16][i][j % 16]: those are the panels of the transposed array. */
static int64_t draw_stride(int64_t features) { return FNN_PANEL * features + (draw(2) ? 0 : draw(40)); }

static int64_t in_panels(fnn_panels p, int64_t i, int64_t j)
{
    return i / FNN_PANEL * p.panel + j * FNN_PANEL + i % FNN_PANEL;
}

static int64_t extent_of_panels(int64_t batch, int64_t panel, int64_t features)
{
    return batch ? (padded(batch) / FNN_PANEL - 1) * panel + FNN_PANEL * features : 0;
}

/* Random (batch, features) numbers in panels, and in copy, contiguous; what pads them is NaN, or 0. */
static fnn_panels take_panels(int64_t batch, int64_t features, char *copy, int zeros)
{
    fnn_panels p = {NULL, draw_stride(features)};
    p.data = take(&operands[used++], extent_of_panels(batch, p.panel, features) * itemsize, BEYOND, (int)draw(2));
    for (int64_t i = 0; i < padded(batch); i++)
        for (int64_t j = 0; j < features; j++) {
            if (i < batch || zeros) put(dtype, p.data, in_panels(p, i, j), i < batch ? draw_value() : 0);
            if (i < batch) put(dtype, copy, i * features + j, get(dtype, p.data, in_panels(p, i, j)));
        }
    return p;
}

static fnn_panels take_unwritten_panels(int64_t batch, int64_t features)
{
    const int64_t panel = draw_stride(features);
    return (fnn_panels){take_unwritten(extent_of_panels(batch, panel, features)), panel};
}

/* from, (batch, features) and contiguous, is expected in panels; what pads the batch is 0, or may be anything. */
static void expect_panels(fnn_panels to, const char *from, int64_t batch, int64_t features, int zeros)
{
    if (batch == 0 || features == 0) return;
    char *want = want_of(to.data);
    for (int64_t i = 0; i < padded(batch); i++)
        for (int64_t j = 0; j < features; j++) {
            const int64_t at = in_panels(to, i, j);
            if (i >= batch && !zeros)
                memcpy(want + at * itemsize, (char *)to.data + at * itemsize, (size_t)itemsize);
            else
                put(dtype, want, at, i < batch ? get(dtype, from, i * features + j) : 0);
        }
}

/* A matrix (rows, columns) with row stride ld, and in copy, contiguous. */
static void *take_rows(int64_t rows, int64_t ld, int64_t columns, char *copy)
{
    char *x = take(&operands[used++], extent(rows, ld, columns) * itemsize, BEYOND, (int)draw(2));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            put(dtype, x, i * ld + j, draw_value());
            put(dtype, copy, i * columns + j, get(dtype, x, i * ld + j));
        }
    return x;
}

/* A weight (in, out), k-major: rows of ldw, zeros beyond out; and in copy, contiguous. */
static void *take_weight(int64_t in, int64_t ldw, int64_t out, char *copy)
{
    char *w = take(&operands[used++], in * ldw * itemsize, 0, (int)draw(2));
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            put(dtype, w, i * ldw + j, draw_value());
            put(dtype, copy, i * out + j, get(dtype, w, i * ldw + j));
        }
    return w;
}

static void transpose(char *to, const char *from, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) put(dtype, to, j * rows + i, get(dtype, from, i * columns + j));
}

static void layout_round(void)
{
    const int64_t way = draw(3), batch = draw_size(way == 2 && !draw(4) ? 1200 : 70);
    const int64_t features = draw_size(70), row = draw_row(features);
    snprintf(what, sizeof what, "%s batch %" PRId64 " features %" PRId64 " row %" PRId64,
             way == 0   ? "to_panels"
             : way == 1 ? "from_panels"
                        : "transpose_panels",
             batch, features, row);
    if (way == 0) {
        const char *rows = take_rows(batch, row, features, copies[0]);
        const fnn_panels panels = take_unwritten_panels(batch, features);
        expect_nothing();
        kernels->to_panels(panels, rows, row, batch, features);
        expect_panels(panels, copies[0], batch, features, 1);
    } else if (way == 1) {
        const fnn_panels panels = take_panels(batch, features, copies[0], 0);
        void *rows = take_unwritten(extent(batch, row, features));
        expect_nothing();
        kernels->from_panels(rows, row, panels, batch, features);
        expect_rows(rows, row, copies[0], batch, features);
    } else {
        const fnn_panels panels = take_panels(batch, features, copies[0], 0),
                         transposed = take_unwritten_panels(features, batch);
        void *const sums = draw(3) ? take_unwritten(features) : NULL;
        expect_nothing();
        kernels->transpose_panels(transposed, sums, panels, batch, features);
        transpose(copies[1], copies[0], batch, features);
        expect_panels(transposed, copies[1], features, batch, 1);
        for (int64_t i = 0; i < batch; i++) put(dtype, copies[2], i, 1);
        if (sums) plain_product(want_of(sums), copies[2], copies[0], 1, features, batch, fused, dtype);
    }
    check();
}

/* Keeps a finished strip where the gradient is expected, as far as the strips before reach. */
typedef struct {
    char *to;
    int64_t row, next;
} strips;

static void keep_strip(void *context, void *strip, int64_t first, int64_t rows)
{
    strips *s = context;
    if (first != s->next || rows <= 0) fail("hands over strips out of turn");
    memcpy(s->to + first * s->row, strip, (size_t)(rows * s->row));
    s->next = first + rows;
}

/* The products of a network's layer, in panels. */
static void panels_round(void)
{
    static const char *const names[] = {"forward_panels", "dx_panels", "dweight_panels"};
    const int64_t way = draw(3), large = draw(30) == 0; /* a weight that is packed, a gradient of several strips */
    const int64_t k = large && way == 0 ? 120 + draw(20) : draw(10) ? draw_size(40) : draw_size(1100);
    const int64_t rows = draw_size(k > 40 ? 20 : 70);
    const int64_t columns = large ? (dtype ? 120 : 240) + draw(300) : draw_size(k > 40 ? 20 : 70);
    const int64_t batch = way == 2 ? k : columns, out = way == 1 ? k : rows,
                  in = way == 0   ? k
                       : way == 1 ? rows
                                  : columns;
    const int64_t ldw = padded(out) + FNN_PANEL * draw(2);
    fnn_epilogue e = {NULL, NULL, FNN_identity, NULL};
    int code;
    if (way == 0) {
        const fnn_panels x = take_panels(batch, in, copies[2], 0), y = take_unwritten_panels(batch, out);
        const void *weight = take_weight(in, ldw, out, copies[3]);
        e = draw_epilogue(out);
        if (draw(2)) e.z = take_unwritten(extent_of_panels(batch, y.panel, out));
        snprintf(what, sizeof what,
                 "%s batch %" PRId64 " in %" PRId64 " out %" PRId64 " ldw %" PRId64 ", %s, bias %d, z %d", names[way],
                 batch, in, out, ldw, fnn_activation_rows[e.activation].name, e.bias != NULL, e.z != NULL);
        expect_nothing();
        code = kernels->forward_panels(y, x, weight, ldw, batch, in, out, &e);
        plain_product(copies[0], copies[2], copies[3], batch, out, in, fused, dtype);
        plain_epilogue(&e, batch, out);
        expect_panels(y, copies[0], batch, out, 0);
        if (e.z && e.activation != FNN_identity) expect_panels((fnn_panels){e.z, y.panel}, copies[1], batch, out, 0);
    } else if (way == 1) {
        const fnn_panels dz = take_panels(batch, out, copies[2], 0), dx = take_unwritten_panels(batch, in);
        const void *weight = take_weight(in, ldw, out, copies[1]);
        const int row = (int)draw(FNN_ACTIVATION_COUNT);
        fnn_panels saved = {NULL, dx.panel};
        if (draw(2)) saved.data = take_numbers(extent_of_panels(batch, dx.panel, in));
        const fnn_derivative derivative = {kernels->backward_x[row], saved.data, draw_params(row)};
        snprintf(what, sizeof what, "%s batch %" PRId64 " in %" PRId64 " out %" PRId64 " ldw %" PRId64 ", %s'",
                 names[way], batch, in, out, ldw, saved.data ? fnn_activation_rows[row].name : "1");
        transpose(copies[3], copies[1], in, out);
        expect_nothing();
        code = kernels->dx_panels(dx, dz, weight, ldw, batch, in, out, saved.data ? &derivative : NULL);
        plain_product(copies[0], copies[2], copies[3], batch, in, out, fused, dtype);
        for (int64_t i = 0; i < batch && saved.data; i++)
            for (int64_t j = 0; j < in; j++) {
                char *at = copies[0] + (i * in + j) * itemsize;
                derivative.loop(at, at, (const char *)saved.data + in_panels(saved, i, j) * itemsize, 1, params);
            }
        expect_panels(dx, copies[0], batch, in, 0);
    } else {
        const fnn_panels x = take_panels(batch, in, copies[0], 0), dz = take_panels(out, batch, copies[1], 1);
        const int64_t first = draw(in + 1), last = first + draw(in - first + 1);
        void *dweight = take_unwritten(in * ldw);
        const int in_scratch = draw(2);
        strips kept = {dweight, ldw * itemsize, first};
        snprintf(what, sizeof what,
                 "%s batch %" PRId64 " in %" PRId64 " out %" PRId64 " ldw %" PRId64 ", rows %" PRId64 " to %" PRId64
                 "%s",
                 names[way], batch, in, out, ldw, first, last, in_scratch ? ", in scratch" : "");
        transpose(copies[2], copies[0], batch, in);
        transpose(copies[3], copies[1], out, batch);
        expect_nothing();
        if (!in_scratch && batch <= FNN_K_CHUNK && draw(2)) { /* added to zeros */
            memset((char *)dweight + first * ldw * itemsize, 0, (size_t)((last - first) * ldw * itemsize));
            kernels->descend_panels(dweight, ldw, x, dz, batch, out, first, last, 1);
            code = FNN_OK;
        } else
            code = kernels->dweight_panels(in_scratch ? NULL : dweight, ldw, x, dz, batch, out, first, last,
                                           draw(2) ? dweight : NULL, in_scratch ? keep_strip : NULL, &kept);
        plain_product(copies[0], copies[2], copies[3], in, out, batch, fused, dtype);
        memset((char *)want_of(dweight) + first * ldw * itemsize, 0, (size_t)((last - first) * ldw * itemsize));
        if (last > first)
            expect_rows((char *)dweight + first * ldw * itemsize, ldw, copies[0] + first * out * itemsize, last - first,
                        out);
    }
    if (code) fail("returns an error");
    check();
}
