/*
 * panels.inc.h: the forms of a compiled network, whose activations lie in panels: products that read and write them,
 * and the ways there and back. fastnn.h says what each does.
 */

static void FNN(to_panels)(void *panels, const void *rows, int64_t row, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i += PANEL)
        pack(PANEL, (T *)panels + i * features, (const T *)rows + i * row, 1, row, batch - i, features);
}

static void FNN(from_panels)(void *rows, int64_t row, const void *panels, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i += PANEL)
        transpose((T *)rows + i * row, row, (const T *)panels + i * features, PANEL, features, features,
                  batch - i < PANEL ? batch - i : PANEL);
}

static void FNN(transpose_panels)(void *transposed, const void *panels, int64_t batch, int64_t features)
{
    for (int64_t j = 0; j < features; j += PANEL)
        for (int64_t i = 0; i < batch; i += PANEL)
            pack(PANEL, (T *)transposed + j * batch + i * PANEL, (const T *)panels + i * features + j * PANEL, 1, PANEL,
                 features - j, batch - i < PANEL ? batch - i : PANEL);
}

/* c, a matrix or in panels `panel` apart, = a times panels, chunk by chunk; panel q of b starts at q * stride, its row
 * p at p * PANEL. Panels so far apart that they would drive one another out of L2 are brought together first, a chunk
 * at a time. */
static int multiply_panels(const product *g, int64_t panel, int bias_of_rows, const operand_a *a, const T *b,
                           int64_t stride, int packing)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK,
                  gathered = stride * (int64_t)sizeof(T) % ALIASED_PANELS == 0 && g->k > FNN_K_CHUNK;
    const int64_t columns = round_up(g->n, PANEL);
    scratch s = {NULL, 0};
    T *micro_panels, *together;
    do {
        micro_panels = take(&s, MICRO_PANELS(deepest));
        together = take(&s, gathered * deepest * columns);
    } while (again(&s));
    if (!s.base) return FNN_NO_MEMORY;
    int64_t p = 0;
    do {
        const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
        const operand_a from = operand_from(a, p);
        operand_b panels = {(T *)b + p * PANEL, stride, NULL, 0, 0}; /* not written: nothing lies elsewhere */
        const store_to to =
            make_store_to(g->c, g->z, g->row, panel, g->bias, bias_of_rows, g->e, p == 0, p + depth == g->k);
        if (gathered) {
            panels.data = together;
            panels.stride = depth * PANEL;
            for (int64_t q = 0; q < columns / PANEL; q++)
                memcpy(panels.data + q * panels.stride, b + q * stride + p * PANEL, (size_t)panels.stride * sizeof(T));
        }
        multiply_block(&to, &from, &panels, g->m, g->n, depth, packing, micro_panels);
        p += depth;
    } while (p < g->k);
    return FNN_OK;
}

static int FNN(forward_panels)(void *y, const void *x, const void *weight, int64_t ldw, int64_t batch, int64_t out,
                               int64_t in, const fnn_epilogue *e)
{
    const product g = {.c = y,
                       .z = e->activation == FNN_identity ? NULL : e->z,
                       .row = PANEL,
                       .m = out,
                       .n = round_up(batch, PANEL),
                       .k = in,
                       .bias = e->bias,
                       .e = e};
    const operand_a w = {weight, ldw, 1, 0};
    return multiply_panels(&g, out * PANEL, 1, &w, x, in * PANEL, 0);
}

static int FNN(dx_panels)(void *dx, const void *dz, const void *weight, int64_t ldw, int64_t batch, int64_t out,
                          int64_t in)
{
    const product g = {.c = dx, .row = PANEL, .m = in, .n = round_up(batch, PANEL), .k = out, .e = &no_epilogue};
    const operand_a w = {weight, 1, ldw, 0};
    return multiply_panels(&g, in * PANEL, 0, &w, dz, out * PANEL, 1);
}

static int FNN(dweight_panels)(void *dweight, int64_t ldw, const void *dz, const void *x_transposed, int64_t batch,
                               int64_t out, int64_t in)
{
    const product g = {.c = dweight, .row = ldw, .m = out, .n = in, .k = batch, .e = &no_epilogue};
    const operand_a d = {dz, 0, 0, out * PANEL};
    return multiply_panels(&g, 0, 0, &d, x_transposed, batch * PANEL, 1);
}
