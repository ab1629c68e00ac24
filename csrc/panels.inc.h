/*
 * panels.inc.h: the forms of a compiled network, whose activations lie in panels and whose weights are k-major: products that
 * read and write them, and the ways there and back. fastnn.h says what each does.
 *
 * Design
 * A. The operand that a tile broadcasts lies as its product needs it: a weight in the forward product and in dx, the input's
 *    panels in dweight. Panels are always the other operand, which is read a vector at a time.
 * B. A gradient of a weight is made in strips of whole rows, so that an update finds them in a cache and in one piece.
 */

enum { OWN_KIND = sizeof(T) == sizeof(float) ? FNN_FROM_F32 : FNN_FROM_F64 };

/* The 16 numbers of a kind that stand at `from`. */
static void convert_panel(T *to, const void *from, int kind)
{
#define CONVERT(name, type, expression)                                                                                \
    case FNN_FROM_##name: {                                                                                            \
        type x[PANEL];                                                                                                 \
        memcpy(x, from, sizeof x);                                                                                     \
        for (int j = 0; j < PANEL; j++) to[j] = (T)(expression);                                                       \
    } break;
    switch (kind) {
        CONVERT(F32, float, x[j])
        CONVERT(F64, double, x[j])
        CONVERT(U8, uint8_t, x[j])
        CONVERT(I8, int8_t, x[j])
        CONVERT(I16, int16_t, x[j])
        CONVERT(U16, uint16_t, x[j])
        CONVERT(I32, int32_t, x[j])
        CONVERT(U32, uint32_t, x[j])
        CONVERT(I64, int64_t, x[j])
        CONVERT(U64, uint64_t, x[j])
        CONVERT(BOOL, uint8_t, x[j] != 0)
    }
#undef CONVERT
}

/* n numbers of a kind. */
FNN_APART static void convert(T *to, const char *from, int kind, int64_t bytes, int64_t n)
{
    if (kind == OWN_KIND)
        for (; n >= VL; n -= VL, to += VL, from += VL * bytes) v_store(to, v_load((const T *)(const void *)from));
    for (; n >= PANEL; n -= PANEL, to += PANEL, from += PANEL * bytes) convert_panel(to, from, kind);
    if (n > 0) {
        char last[PANEL * sizeof(double)] = {0}; /* no kind is larger */
        T converted[PANEL];
        memcpy(last, from, (size_t)(n * bytes));
        convert_panel(converted, last, kind);
        memcpy(to, converted, (size_t)n * sizeof(T));
    }
}

static const int8_t element_sizes[FNN_ELEMENTS] = {4, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1};

static void FNN(gather_rows)(void *to, const void *x, int from, int64_t row, const int64_t *order, int64_t batch,
                             int64_t features)
{
    const int64_t bytes = element_sizes[from];
    for (int64_t i = 0; i < batch; i++)
        convert((T *)to + i * features, (const char *)x + (order ? order[i] : i) * row * bytes, from, bytes, features);
}

static void FNN(gather_panels)(fnn_panels to, const void *x, int from, int64_t row, const int64_t *order, int64_t batch,
                               int64_t features, const int64_t *next, int64_t next_batch)
{
    enum { AT_ONCE = 64 }; /* columns of a panel's rows that wait in L1, side by side and of one type, for their turn */
    const int64_t bytes = element_sizes[from], in_place = from == OWN_KIND && !order;
    T waiting[PANEL * AT_ONCE];
    for (int64_t i = 0; i < batch; i += PANEL)
        for (int64_t j = 0; j < features; j += AT_ONCE) {
            const int64_t columns = features - j < AT_ONCE ? features - j : AT_ONCE;
            const T *rows = in_place ? (const T *)x + i * row + j : waiting;
            for (int64_t r = i; next && r < i + PANEL && r < next_batch; r++)
                for (int64_t at = 0; at < columns * bytes; at += 64)
                    FNN_PREFETCH((const char *)x + (next[r] * row + j) * bytes + at);
            for (int64_t r = 0; !in_place && r < PANEL && i + r < batch; r++) {
                const char *at = (const char *)x + ((order ? order[i + r] : i + r) * row + j) * bytes;
                T *const to_wait = waiting + r * AT_ONCE;
                if (from == OWN_KIND && columns == AT_ONCE) {
                    FNN_UNROLL(16)
                    for (int q = 0; q < AT_ONCE; q += VL) v_store(to_wait + q, v_load((const T *)(const void *)at + q));
                } else
                    convert(to_wait, at, from, bytes, columns);
            }
            pack(PANEL, (T *)to.data + i / PANEL * to.panel + j * PANEL, rows, 1, in_place ? row : AT_ONCE, batch - i,
                 columns);
        }
}

static void FNN(to_panels)(fnn_panels to, const void *rows, int64_t row, int64_t batch, int64_t features)
{
    FNN(gather_panels)(to, rows, OWN_KIND, row, NULL, batch, features, NULL, 0);
}

static void FNN(from_panels)(void *rows, int64_t row, fnn_panels from, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i += PANEL)
        transpose((T *)rows + i * row, row, (const T *)from.data + i / PANEL * from.panel, PANEL, features, features,
                  batch - i < PANEL ? batch - i : PANEL);
}

/* A line of 16 rows for each of VL features, of which `features` exist; the others are 0. */
static FNN_INLINE const T *lines_of(T padded[VL * PANEL], const T *lines, int64_t features)
{
    if (features >= VL) return lines;
    memset(padded, 0, VL * PANEL * sizeof(T));
    return features > 0 ? memcpy(padded, lines, (size_t)(features * PANEL) * sizeof(T)) : padded;
}

static void FNN(transpose_panels)(fnn_panels transposed, void *sums, fnn_panels from, int64_t batch, int64_t features)
{
    T padded[VL * PANEL];
    V column[VC];
    for (int64_t j = 0; j < round_up(features, PANEL); j += VL) {
        V total = v_set1(0), sum = v_set1(0);
        for (int64_t i = 0; i < batch; i += PANEL) {
            const T *lines = (const T *)from.data + i / PANEL * from.panel + j * PANEL;
            T *const to = (T *)transposed.data + along_row(j, transposed.panel) + i * PANEL;
            const int64_t rows = batch - i < PANEL ? batch - i : PANEL;
            lines = lines_of(padded, lines, features - j);
            for (int64_t r = 0; r < rows; r += VC) {
                v_load_columns(column, lines + r, PANEL);
                FNN_UNROLL(16)
                for (int q = 0; q < VC; q++) {
                    if (r + q >= rows) break;
                    v_store(to + (r + q) * PANEL, column[q]);
                    sum = v_add(sum, column[q]);
                }
            }
            if ((i + PANEL) % FNN_K_CHUNK) continue;
            total = v_add(total, sum);
            sum = v_set1(0);
        }
        if (sums && j < features) v_store_upto((T *)sums + j, v_add(total, sum), features - j);
    }
}

/* `rows` rows of c = a times panels, chunk by chunk; `last` says what becomes of the last one. micro_panels: NULL where a is
 * read as it lies. */
static void multiply_panels(const store_to *last, const operand_a *a, fnn_panels b, int64_t rows, int64_t columns,
                            int64_t k, T *micro_panels)
{
    int64_t p = 0;
    do { /* once even for k = 0: an empty sum is +0 */
        const int64_t depth = k - p < FNN_K_CHUNK ? k - p : FNN_K_CHUNK;
        const operand_a from = operand_from(a, p);
        const operand_b panels = {.data = (T *)b.data + p * PANEL, .stride = b.panel}; /* and is not written */
        store_to to = *last;
        if (p + depth < k) {
            to = (store_to){.c = last->c, .row = last->row, .panel = last->panel, .plain = 1};
            to.activation = to.loop = FNN_identity;
        }
        to.add = p > 0;
        to.plain &= !to.add;
        multiply_block(&to, &from, &panels, rows, columns, depth, micro_panels != NULL, micro_panels);
        p += depth;
    } while (p < k);
}

static int FNN(forward_panels)(fnn_panels y, fnn_panels x, const void *weight, int64_t ldw, int64_t batch, int64_t in,
                               int64_t out, const fnn_epilogue *e)
{
    const operand_a w = {weight, 1, ldw, 0};
    T *z = e->activation == FNN_identity ? NULL : e->z;
    const store_to to = make_store_to(y.data, z, PANEL, y.panel, e->bias, 1, e, 1, 1);
    T *micro_panels = NULL;
    if (batch >= PACK_N_WEIGHT && in >= PACK_K) {
        micro_panels = fnn_scratch(MICRO_PANELS(in < FNN_K_CHUNK ? in : FNN_K_CHUNK) * (int64_t)sizeof(T));
        if (!micro_panels) return FNN_NO_MEMORY;
    }
    multiply_panels(&to, &w, x, out, round_up(batch, PANEL), in, micro_panels);
    return FNN_OK;
}

static int FNN(dx_panels)(fnn_panels dx, fnn_panels dz, const void *weight, int64_t ldw, int64_t batch, int64_t in,
                          int64_t out, const fnn_derivative *derivative)
{
    const operand_a w = {weight, ldw, 1, 0};
    store_to to = make_store_to(dx.data, NULL, PANEL, dx.panel, NULL, 0, &no_epilogue, 1, 1);
    to.derivative = derivative;
    multiply_panels(&to, &w, dz, in, round_up(batch, PANEL), out, NULL);
    return FNN_OK;
}

/* What pads rows of a gradient, or of a weight: x may be infinite, and 0 times it NaN. */
static void clear_padding(T *rows, int64_t row, int64_t count, int64_t out)
{
    for (int64_t j = out / VL * VL; j < row; j += VL) {
        T *at = rows + j;
        if (j < out)
            for (int64_t r = 0; r < count; r++, at += row) v_store(at, v_load_part(at, out - j, 0));
        else
            for (int64_t r = 0; r < count; r++, at += row) v_store(at, v_set1(0));
    }
}

/* Rows of a strip of which each has `row` numbers. */
static int64_t strip_rows(int64_t row)
{
    const int64_t fitting = STRIP / (row > 0 ? row : 1) / MR * MR;
    return fitting < MR ? MR : fitting > MC ? MC : fitting;
}

/* Those of the next strip, where so many are left: no short strip at the end. */
static int64_t next_rows(int64_t left, int64_t most) { return left < most + MR ? left : most; }

static void FNN(descend_panels)(void *weight, int64_t ldw, fnn_panels x, fnn_panels dz_transposed, int64_t batch,
                                int64_t out, int64_t first_row, int64_t last_row, double rate)
{
    for (int64_t i = first_row, rows; i < last_row; i += rows) {
        T *const strip = (T *)weight + i * ldw;
        const operand_a from = {(const T *)x.data + i * PANEL, PANEL, 1, x.panel};
        store_to to = make_store_to(strip, NULL, ldw, PANEL, NULL, 0, &no_epilogue, 1, 1);
        to.rate = (T)rate;
        to.fetched = strip;
        rows = next_rows(last_row - i, strip_rows(ldw));
        multiply_panels(&to, &from, dz_transposed, rows, V_MASKED ? out : round_up(out, PANEL), batch, NULL);
        if (!V_MASKED) clear_padding(strip, ldw, rows, out);
    }
}

static int FNN(dweight_panels)(void *dweight, int64_t ldw, fnn_panels x, fnn_panels dz_transposed, int64_t batch,
                               int64_t out, int64_t first_row, int64_t last_row, const void *weight, fnn_strip_fn done,
                               void *context)
{
    const int64_t most = strip_rows(ldw);
    T *scratch = dweight ? NULL : fnn_scratch((most + MR) * ldw * (int64_t)sizeof(T));
    if (!dweight && !scratch) return FNN_NO_MEMORY;
    for (int64_t i = first_row, rows; i < last_row; i += rows) {
        rows = next_rows(last_row - i, most);
        T *const strip = dweight ? (T *)dweight + i * ldw : scratch;
        const operand_a from = {(const T *)x.data + i * PANEL, PANEL, 1, x.panel};
        store_to to = make_store_to(strip, NULL, ldw, PANEL, NULL, 0, &no_epilogue, 1, 1);
        if (weight) to.fetched = (const T *)weight + i * ldw;
        multiply_panels(&to, &from, dz_transposed, rows, round_up(out, PANEL), batch, NULL);
        clear_padding(strip, ldw, rows, out);
        if (done) done(context, strip, i, rows);
    }
    return FNN_OK;
}
