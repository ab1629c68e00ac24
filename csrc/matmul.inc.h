/*
 * matmul.inc.h: matrix products with a fused epilogue, and sums over rows.
 *
 * Design
 * A. Sums over k run in chunks of FNN_K_CHUNK; a chunk is one fma chain from +0, chunk sums are added in increasing
 *    order. The chunk is also the cache block in k. A chain may be stored and reloaded between tiles; a store of T does
 *    not round.
 * B. Six ways through a product, by shape and layout, all with the same bits:
 *      one row       where rows of b are contiguous, near_rows() for a small b whose rows are near, the sums of a block of
 *                    columns in registers, else whole rows of b in order, gemv()
 *      few rows      against weights (out, in), weight_tile(): blocks of b are transposed in registers; else thin(): b is
 *                    read once, where it lies if its rows are contiguous, in which case a single vector of columns has
 *                    any number of rows
 *      few columns   one_column(), the row of the transposed product; else thin(), transposed
 *      along n       b in panels of PANEL columns; where its rows are contiguous, the first micro-panel of a reads it
 *                    in place and leaves the panels behind, so that packing costs no pass of its own
 *      along m       the transposed product: a in panels, b broadcast where it lies, c transposed at the end. For
 *                    weights (out, in) and batches smaller than `out`
 *    The last two are chosen by cost_along().
 * C. Numbers that were tuned stand in the table of each isa_*.c; those that suit all ISAs stand where they are used.
 */

/* Scratch by a bump allocator, which the same lines of code size and place: they run once without memory, which counts
 * what they take, and once with it.
 *     scratch s = {NULL, 0};
 *     do { x = take(&s, n); ... } while (again(&s));
 *     if (!s.base) return FNN_NO_MEMORY; */
typedef struct {
    char *base;
    int64_t used;
} scratch;

static T *take(scratch *s, int64_t n)
{
    T *const place = s->base ? (T *)(s->base + s->used) : NULL;
    s->used += round_up(n * (int64_t)sizeof(T), 64);
    return place;
}

static int again(scratch *s)
{
    if (s->base) return 0;
    s->base = fnn_scratch(s->used);
    s->used = 0;
    return s->base != NULL;
}

/* What a loop has to apply to finished rows: an activation, or a derivative. */
static void finish_rows(const store_to *to, int64_t i, int64_t j, int64_t rows, int64_t columns)
{
    if (to->loop == FNN_identity && !to->derivative) return;
    T *c = to->c + place(to, i, j);
    if (to->derivative) {
        const fnn_derivative *d = to->derivative;
        const T *saved = (const T *)d->saved + (c - to->c);
        for (; columns > 0; columns -= PANEL, c += to->panel, saved += to->panel)
            d->loop(c, c, saved, rows * PANEL, d->params);
        return;
    }
    const fnn_forward_fn activate = forward_loops[to->loop];
    if (to->panel != PANEL)
        for (; columns > 0; columns -= PANEL, c += to->panel) activate(c, c, rows * PANEL, to->params);
    else
        for (int64_t r = 0; r < rows; r++, c += to->row) activate(c, c, columns, to->params);
}

/* Where the panels of multiply_block lie, `stride` apart; the first columns_in_place columns still lie at in_place as rows
 * of a matrix, for the first micro-panel to read there and leave in panels. */
typedef struct {
    T *data;
    int64_t stride;
    const T *in_place;
    int64_t in_place_row, columns_in_place;
} operand_b;

/* Of n columns those that are read in place: whole panels of tiles of NR columns. */
static int64_t columns_in_place(int64_t n) { return whole_tiles(n) * NR / PANEL * PANEL; }

/* One micro-panel of a, its steps given, against the columns [first, last) of b. */
static void multiply_micro_panel(const store_to *to, const operand_b *b, k_loop *s, int64_t i, int64_t rows,
                                 int first_of_several, int64_t first, int64_t last)
{
    for (int64_t j = first, columns; j < last; j += columns) {
        columns = tile_columns(last - j);
        T *const panel = b->data + j / PANEL * b->stride + j % PANEL;
        const int in_place = i == 0 && j + columns <= b->columns_in_place,
                  copying = COPY_AHEAD > 0 && in_place && first_of_several;
        s->b = in_place ? b->in_place + j : panel;
        s->b_row = in_place ? b->in_place_row : PANEL;
        s->panel = in_place && !copying ? PANEL : b->stride;
        s->copy = panel;
        s->lanes = VL;
        if (copying)
            copying_tile_of(rows, to, i, j, s);
        else if (columns == NR) {
            const int64_t count = in_place ? 1 : whole_tiles(last - j);
            tiles_of(rows, to, i, j, count, s);
            columns *= count;
        } else
            last_tile_of(rows, columns, to, i, j, s);
    }
}

/* c = a times b, over one chunk: `rows` rows of a against `columns` columns. A block of MC rows stays in L2 beside a
 * block of columns, one micro-panel of it in L1. micro_panels: MICRO_PANELS(depth) elements of
 * scratch, or NULL without packing. */
#define MICRO_PANELS(depth) ((MC + MR) * ((depth) + VL))
enum { FINISHED_ROWS = 24 }; /* that wait in L1, to be finished by few long loops */

static void multiply_block(const store_to *to, const operand_a *a, const operand_b *b, int64_t rows, int64_t columns,
                           int64_t depth, int packing, T *micro_panels)
{
    const int64_t most = packing ? MC : MC_IN_PLACE;
    const int finishing = to->loop != FNN_identity || to->derivative;
    k_loop s = {.a_row = packing ? 1 : a->row, .a_col = a->col, .run = depth, .depth = depth};
    if (!packing && a->panel) {
        s.run = PANEL;
        s.past = a->panel - PANEL;
    }
    for (int64_t first_row = 0, block_rows; first_row < rows; first_row += block_rows) {
        const operand_a from = operand_rows(a, first_row);
        block_rows = rows - first_row < most + MR ? rows - first_row : most; /* no short block at the end */
        if (packing) pack_micro_panels(micro_panels, &from, block_rows, depth);
        for (int64_t j = 0; j < columns; j += NC)
            for (int64_t i = 0, height, finished = 0; i < block_rows; i += height) {
                const int64_t last = columns - j < NC ? columns : j + NC;
                height = tile_rows(block_rows - i);
                s.a = packing ? micro_panels + micro_panel_place(i, depth) : from.data + i * a->row;
                if (packing) s.a_col = height;
                multiply_micro_panel(to, b, &s, first_row + i, height, height < rows, j, last);
                if (!finishing || (i + height - finished < FINISHED_ROWS && i + height < block_rows)) continue;
                finish_rows(to, first_row + finished, j, i + height - finished, last - j);
                finished = i + height;
            }
    }
}

/* Whether packing a pays: for many columns; fewer where k is strided. */
static int packing_pays(const operand_a *a, int64_t rows, int64_t columns, int64_t depth)
{
    return depth >= PACK_K && (a->col != 1 ? columns >= PACK_N_STRIDED : columns >= PACK_N && rows >= MC);
}

/* What a product's epilogue asks of the tiles and loops, before and after the last chunk. */
static store_to make_store_to(T *c, T *z, int64_t row, int64_t panel, const T *bias, int bias_of_rows,
                              const fnn_epilogue *e, int first, int last)
{
    const int in_registers = e->activation == FNN_relu || e->activation == FNN_leaky_relu;
    store_to to = {.c = c, .row = row, .panel = panel, .add = !first, .params = e->params};
    to.activation = last && in_registers ? e->activation : FNN_identity;
    to.loop = last && !in_registers ? e->activation : FNN_identity;
    to.z = last ? z : NULL;
    to.bias = last ? bias : NULL;
    to.bias_of_rows = bias_of_rows;
    to.plain = !to.add && !to.bias && !to.z && to.activation == FNN_identity;
    return to;
}

/* A product as matmul is asked for it, with its pointers typed. */
typedef struct {
    T *c, *z;
    int64_t row;
    fnn_matrix a, b;
    int64_t m, n, k;
    const T *bias;
    const fnn_epilogue *e;
} product;

enum { SUMS_OF_ROW = 8 }; /* of one row's sums in registers: with as many chains no multiply-add waits for another */

static const fnn_epilogue no_epilogue = {NULL, NULL, FNN_identity, NULL};

/* Columns of the widest tile for m rows. */
static int64_t wide_columns(int64_t m) { return (m > MR ? NV : wide_vectors[m - 1]) * VL; }

/* The steps [first, last) of a thin product: where their sums start from and go. A chain that is not the first of its
 * sums waits in `waiting`, (m, n), for its chunk to end. */
static store_to thin_store_to(const product *g, int bias_of_rows, T *waiting, int64_t first, int64_t last)
{
    const int64_t chunk = first / FNN_K_CHUNK * FNN_K_CHUNK;
    store_to to = make_store_to(g->c, g->z, g->row, PANEL, g->bias, bias_of_rows, g->e, chunk == 0, last == g->k);
    if (first > chunk) {
        to.start = chunk > 0 ? waiting : g->c;
        to.start_row = chunk > 0 ? g->n : g->row;
    }
    if (chunk > 0 && last < g->k && last < chunk + FNN_K_CHUNK) {
        to.c = waiting;
        to.row = g->n;
        to.add = 0;
        to.plain = 1;
    }
    return to;
}

/* Thin products, of few rows of a. b is read once, in parts of few k, so that the hardware sees few streams; in place
 * where its rows are contiguous, else packed a wide tile at a time, which stays in L1. */
static void thin(const product *g, int bias_of_rows, T *waiting)
{
    const int64_t m = g->m, n = g->n, k = g->k, wide = wide_columns(m);
    T packed[THIN_L1];
    const int64_t apart = g->b.row * (int64_t)sizeof(T); /* far rows share few sets of the caches */
    int64_t part = g->b.col != 1 || apart < FAR_ROWS / 2 ? THIN_K : apart < FAR_ROWS ? THIN_K / 2 : L1_WAYS;
    while (g->b.col != 1 && part * (n < wide ? round_up(n, VL) : wide) > THIN_L1) part /= 2;
    for (int64_t p = 0, depth; p < k; p += depth) {
        depth = k - p < part ? k - p : part;
        const store_to to = thin_store_to(g, bias_of_rows, waiting, p, p + depth);
        for (int64_t j = 0, columns; j < n; j += columns) {
            const int64_t columns_left = n - j;
            const T *b = (const T *)g->b.data + p * g->b.row + j * g->b.col;
            k_loop s = {.b = b,
                        .a_row = g->a.row,
                        .a_col = g->a.col,
                        .run = depth,
                        .b_row = g->b.row,
                        .panel = PANEL,
                        .depth = depth,
                        .lanes = VL};
            columns = m <= MR && columns_left >= wide ? wide : tile_columns(columns_left);
            if (g->b.col != 1) {
                s.b_row = round_up(columns, VL);
                s.b = packed;
                pack(s.b_row, packed, b, g->b.row, g->b.col, columns_left, depth);
            }
            for (int64_t i = 0, height; i < m; i += height) {
                height = tile_rows(m - i);
                s.a = (const T *)g->a.data + i * g->a.row + p * g->a.col;
                if (m <= MR && columns_left >= wide)
                    wide_tile_of(m, &to, i, j, &s);
                else if (columns == NR)
                    tiles_of(height, &to, i, j, 1, &s);
                else
                    last_tile_of(height, columns, &to, i, j, &s);
            }
        }
        finish_rows(&to, 0, 0, m, n);
    }
}

/* Columns [j, j + n) of a product. */
static product columns_of(const product *g, int64_t j, int64_t n)
{
    product part = *g;
    part.c += j;
    part.b.data = (const T *)g->b.data + j * g->b.col;
    part.n = n;
    if (g->z) part.z += j;
    if (g->bias) part.bias += j;
    return part;
}

/* Many rows go in blocks, whose waiting sums take no more memory than those of few. */
static int few_rows(const product *g)
{
    const int64_t block = g->b.col == 1 ? g->n : wide_columns(g->m), most = MC_IN_PLACE + MR;
    T *waiting = g->c;
    if (g->k > FNN_K_CHUNK) waiting = fnn_scratch((g->m < most ? g->m : most) * block * (int64_t)sizeof(T));
    if (!waiting) return FNN_NO_MEMORY;
    for (int64_t i = 0, rows; i < g->m; i += rows) {
        product of_rows = *g;
        rows = g->m - i < most ? g->m - i : MC_IN_PLACE; /* no short block at the end */
        of_rows.c += i * g->row;
        if (g->z) of_rows.z += i * g->row;
        of_rows.a.data = (const T *)g->a.data + i * g->a.row;
        of_rows.m = rows;
        for (int64_t j = 0; j < g->n; j += block) {
            const product part = columns_of(&of_rows, j, g->n - j < block ? g->n - j : block);
            thin(&part, 0, waiting);
        }
    }
    return FNN_OK;
}

/* Few columns: the transposed product is thin; each block of its columns is transposed. */
static int few_columns(const product *g)
{
    const int64_t block = wide_columns(g->n);
    T transposed[3][MOST_VECTORS * VL * (VL + 1) + THIN * NR]; /* with VL rows more, which transpose() may read */
    for (int64_t i = 0; i < g->m; i += block) {
        const int64_t rows = g->m - i < block ? g->m - i : block;
        const product t = {transposed[0],
                           g->z ? transposed[1] : NULL,
                           rows,
                           {g->b.data, g->b.col, g->b.row},
                           {(const T *)g->a.data + i * g->a.row, g->a.col, g->a.row},
                           g->n,
                           rows,
                           g->k,
                           g->bias,
                           g->e};
        thin(&t, 1, transposed[2]);
        transpose(g->c + i * g->row, g->row, transposed[0], rows, g->n, g->n + VL, rows);
        if (g->z) transpose(g->z + i * g->row, g->row, transposed[1], rows, g->n, g->n + VL, rows);
    }
    return FNN_OK;
}

/* One row against b with contiguous rows: L1_WAYS of them at a time, with the sums in `to`, so that all is read in
 * order. */
static void add_rows(T *to, const T *a, const T *b, int64_t b_row, int64_t n, int64_t depth)
{
    int64_t p = 0;
    for (; p + L1_WAYS <= depth; p += L1_WAYS) {
        V x[L1_WAYS];
        const T *at = b + p * b_row;
        for (int r = 0; r < L1_WAYS; r++) x[r] = v_set1(a[p + r]);
        int64_t j = 0;
        for (; j + VL <= n; j += VL) {
            V sum = v_load(to + j);
            FNN_UNROLL(8)
            for (int r = 0; r < L1_WAYS; r++) sum = v_madd(x[r], v_load(at + r * b_row + j), sum);
            v_store(to + j, sum);
        }
        if (j < n) {
            V sum = v_load_part(to + j, n - j, 0);
            for (int r = 0; r < L1_WAYS; r++) sum = v_madd(x[r], v_load_part(at + r * b_row + j, n - j, 0), sum);
            v_store_part(to + j, sum, n - j);
        }
    }
    for (; p < depth; p++)
        for (int64_t j = 0; j < n; j += VL) {
            const V sum = v_madd(v_set1(a[p]), v_load_upto(b + p * b_row + j, n - j, 0), v_load_upto(to + j, n - j, 0));
            v_store_upto(to + j, sum, n - j);
        }
}

static void gemv_rows(const product *g, const T *a, T *waiting)
{
    for (int64_t chunk = 0; chunk < g->k; chunk += FNN_K_CHUNK) {
        T *to = chunk == 0 ? g->c : waiting;
        memset(to, 0, (size_t)g->n * sizeof(T)); /* +0 */
        add_rows(to, a + chunk, (const T *)g->b.data + chunk * g->b.row, g->b.row, g->n,
                 g->k - chunk < FNN_K_CHUNK ? g->k - chunk : FNN_K_CHUNK);
        for (int64_t j = 0; to != g->c && j < g->n; j += VL)
            v_store_upto(g->c + j, v_add(v_load_upto(g->c + j, g->n - j, 0), v_load_upto(to + j, g->n - j, 0)),
                         g->n - j);
    }
}

enum { MOST_BLOCKS = 4, MOST_ROWS = 4 }; /* of a tile of weights */

typedef V weight_sums[MOST_BLOCKS][MOST_ROWS];

/* Adds columns [p, last) of blocks of VL rows of b, k long, times those of rows of a to the sums. */
FNN_APART static void add_columns(weight_sums sum, int64_t rows, int64_t blocks, const T *a, int64_t a_row, const T *b,
                                  int64_t b_col, int64_t k, int64_t p, int64_t last)
{
    V column[VC];
    for (int64_t from, end; p < last; p = end) {
        from = p + VC <= k || k < VC ? p : k - VC;
        end = from + VC < last ? from + VC : last;
        for (int64_t h = 0; h < blocks; h++) {
            load_columns(column, b + h * VL * b_col + from, b_col, VL, k - from);
            for (int64_t t = p - from; t < end - from; t++)
                for (int64_t r = 0; r < rows; r++)
                    sum[h][r] = v_madd(column[t], v_set1(a[r * a_row + from + t]), sum[h][r]);
        }
    }
}

/* Few rows against `blocks` blocks of VL columns of b with contiguous k, a weight (out, in): the blocks are transposed in
 * registers, `step` columns of k at a time, and never stored. Whole lines of the caches begin where lines do. */
static FNN_INLINE void weight_tile(const int rows, const int blocks, const int step, const product *g, int64_t i,
                                   int64_t j)
{
    const int64_t k = g->k, b_col = g->b.col, a_row = g->a.row;
    const T *a = (const T *)g->a.data + i * a_row, *b = (const T *)g->b.data + j * b_col, *at[MOST_BLOCKS];
    const int64_t into_line = (int64_t)((uintptr_t)b % 64 / sizeof(T));
#define EACH_SUM(...)                                                                                                  \
    for (int h = 0; h < blocks; h++)                                                                                   \
        for (int r = 0; r < rows; r++) __VA_ARGS__;
    for (int64_t chunk = 0; chunk < k; chunk += FNN_K_CHUNK) {
        const int64_t end = k - chunk < FNN_K_CHUNK ? k : chunk + FNN_K_CHUNK;
        weight_sums sum, waiting;
        int64_t p = chunk;
        EACH_SUM(sum[h][r] = v_set1(0))
        if (step == LINE && into_line > 0 && p + LINE <= end) {
            p += LINE - into_line;
            EACH_SUM(waiting[h][r] = sum[h][r])
            add_columns(waiting, rows, blocks, a, a_row, b, b_col, k, chunk, p);
            EACH_SUM(sum[h][r] = waiting[h][r])
        }
        for (int h = 0; h < blocks; h++) at[h] = b + h * VL * b_col + p;
        for (; p + step <= end; p += step) {
            FNN_UNROLL(4)
            for (int h = 0; h < blocks; h++) { /* their chains run side by side */
                FNN_UNROLL(4)
                for (int q = 0; q < step; q += VC, at[h] += VC) {
                    V column[VC];
                    v_load_columns(column, at[h], b_col);
                    FNN_UNROLL(8)
                    for (int t = 0; t < VC; t++) {
                        FNN_UNROLL(4)
                        for (int r = 0; r < rows; r++)
                            sum[h][r] = v_madd(column[t], v_set1(a[r * a_row + p + q + t]), sum[h][r]);
                    }
                }
            }
        }
        EACH_SUM(waiting[h][r] = sum[h][r])
        add_columns(waiting, rows, blocks, a, a_row, b, b_col, k, p, end);
        T *const c = g->c + i * g->row + j;
        if (chunk > 0) EACH_SUM(waiting[h][r] = v_add(v_load(c + r * g->row + h * VL), waiting[h][r]))
        EACH_SUM(v_store(c + r * g->row + h * VL, waiting[h][r]))
    }
#undef EACH_SUM
}

FNN_UNSCHEDULED static void weight_tile_of(int64_t rows, int many_blocks, const product *g, int64_t i, int64_t j)
{
    if (many_blocks)
        weight_tile(1, BLOCKS, BLOCK_STEP, g, i, j);
    else if (BY_LINES >= 1 && rows == 1)
        weight_tile(1, 1, LINE, g, i, j);
    else if (BY_LINES >= 2 && rows == 2)
        weight_tile(2, 1, LINE, g, i, j);
    else if (BY_LINES >= 3 && rows == 3)
        weight_tile(3, 1, LINE, g, i, j);
    else if (BY_LINES > 3)
        weight_tile(MOST_ROWS, 1, LINE, g, i, j);
}

/* Whether one row meets several blocks of a weight side by side: not where its rows share sets of L1. */
static int meets_many_blocks(const product *g)
{
    return g->m == 1 && g->b.col * (int64_t)sizeof(T) % ALIASED_ROWS != 0;
}

/* Columns of a block of weights where there are no more blocks side by side. */
enum { LAST_BLOCK = (BY_LINES > 0 ? 1 : BLOCKS) * VL };

/* Up to how many rows gemv() pays. More of them read a weight by its lines if these are whole ones for the most part, and more
 * than a tile has, which read it twice, if they are long. */
static int64_t rows_of_gemv(const product *g)
{
    if (g->b.col == 1) return 1;
    if (g->b.row != 1 || g->n < LAST_BLOCK) return 0;
    if (meets_many_blocks(g)) return 1;
    if (g->a.col != 1 || g->k < 4 * LINE) return BY_LINES > 0;
    return g->k < 16 * LINE && BY_LINES > (int)MOST_ROWS ? MOST_ROWS : BY_LINES;
}

/* A last block of fewer columns overlaps the one before: some are computed twice, which costs less than a way of their own. */
static void gemv_transposed(const product *g)
{
    const int many_blocks = meets_many_blocks(g);
    for (int64_t j = 0, columns; j < g->n; j += columns) {
        const int64_t left = g->n - j;
        const int many = many_blocks && (BY_LINES == 0 || left >= BLOCKS * VL);
        columns = many ? BLOCKS * VL : VL;
        for (int64_t i = 0; i < g->m; i += MOST_ROWS)
            weight_tile_of(g->m - i < MOST_ROWS ? g->m - i : MOST_ROWS, many, g, i,
                           left < columns ? g->n - columns : j);
    }
}

/* The epilogue of one row of finished sums in y, by loops. */
FNN_APART static void finish_row(T *y, T *z, const T *bias, int64_t n, const fnn_epilogue *e)
{
    for (int64_t j = 0; bias && j < n; j += VL)
        v_store_upto(y + j, v_add(v_load_upto(y + j, n - j, 0), v_load_upto(bias + j, n - j, 0)), n - j);
    if (z) memcpy(z, y, (size_t)n * sizeof *z);
    if (e->activation != FNN_identity) forward_loops[e->activation](y, y, n, e->params);
}

/* `vectors` columns of one row from column j on, b with contiguous rows: their sums stay in registers. */
static FNN_INLINE void row_tile(int vectors, const product *g, int64_t j)
{
    const T *a = g->a.data, *b = (const T *)g->b.data + j;
    const int64_t at = (vectors - 1) * VL, left = g->n - j - at; /* of the last vector */
    T *const c = g->c + j;
    V sum[SUMS_OF_ROW];
    for (int64_t chunk = 0; chunk == 0 || chunk < g->k; chunk += FNN_K_CHUNK) {
        const int64_t end = g->k - chunk < FNN_K_CHUNK ? g->k : chunk + FNN_K_CHUNK;
        for (int v = 0; v < vectors; v++) sum[v] = v_set1(0);
        for (int64_t p = chunk; p < end; p++, b += g->b.row) {
            const V x = v_set1(a[p]);
            FNN_UNROLL(8)
            for (int v = 0; v < vectors - 1; v++) sum[v] = v_madd(x, v_load(b + v * VL), sum[v]);
            sum[vectors - 1] = v_madd(x, v_load_upto(b + at, left, 0), sum[vectors - 1]);
        }
        for (int v = 0; v < vectors; v++) {
            const int64_t n = v < vectors - 1 ? VL : left;
            if (chunk > 0) sum[v] = v_add(v_load_upto(c + v * VL, n, 0), sum[v]);
            if (g->bias && end == g->k) sum[v] = v_add(sum[v], v_load_upto(g->bias + j + v * VL, n, 0));
            v_store_upto(c + v * VL, sum[v], n);
        }
    }
}

/* One row against a b of contiguous rows that are not far from each other. */
static void near_rows(const product *g)
{
    for (int64_t j = 0; j < g->n; j += SUMS_OF_ROW * VL) {
        const int64_t vectors = (g->n - j + VL - 1) / VL;
        switch (vectors < SUMS_OF_ROW ? vectors : SUMS_OF_ROW) {
        case 1: row_tile(1, g, j); break;
        case 2: row_tile(2, g, j); break;
        case 3: row_tile(3, g, j); break;
        case 4: row_tile(4, g, j); break;
        case 5: row_tile(5, g, j); break;
        case 6: row_tile(6, g, j); break;
        case 7: row_tile(7, g, j); break;
        default: row_tile(SUMS_OF_ROW, g, j);
        }
    }
    finish_row(g->c, g->z, NULL, g->n, g->e);
}

/* One row; or few contiguous ones against a weight (out, in). */
static int gemv(const product *given)
{
    product g = *given;
    scratch s = {NULL, 0};
    T *a, *waiting;
    do {
        a = take(&s, g.k);
        waiting = take(&s, g.m * g.n);
    } while (again(&s));
    if (!s.base) return FNN_NO_MEMORY;
    if (g.a.col != 1) {
        for (int64_t p = 0; p < g.k; p++) a[p] = ((const T *)g.a.data)[p * g.a.col];
        g.a = (fnn_matrix){a, g.k, 1};
    }
    if (g.b.col == 1)
        gemv_rows(&g, g.a.data, waiting);
    else
        gemv_transposed(&g);
    for (int64_t i = 0; i < g.m; i++) finish_row(g.c + i * g.row, g.z ? g.z + i * g.row : NULL, g.bias, g.n, g.e);
    return FNN_OK;
}

enum { FETCHING_K = 256 }; /* steps that take as long as it does to fetch the places of their sums */

/* b in panels; c where it belongs. */
static int along_n(const product *g)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK;
    const int64_t most = g->m < NC_PAYS_ROWS ? NC : NC_MOST, widest = round_up(g->n < most ? g->n : most, PANEL);
    const int by_first_tiles = COPY_AHEAD > 0 && g->b.col == 1 && g->m < NC && g->b.row * (int64_t)sizeof(T) < FAR_ROWS;
    scratch s = {NULL, 0};
    T *panels, *micro_panels;
    do {
        panels = take(&s, deepest * widest);
        micro_panels = take(&s, MICRO_PANELS(deepest));
    } while (again(&s));
    if (!s.base) return FNN_NO_MEMORY;
    for (int64_t j = 0; j < g->n; j += most) {
        const product part = columns_of(g, j, g->n - j < most ? g->n - j : most);
        int64_t p = 0;
        do { /* once even for k = 0: an empty sum is +0 */
            const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
            const T *b = (const T *)part.b.data + p * g->b.row;
            const operand_a a = {(const T *)g->a.data + p * g->a.col, g->a.row, g->a.col, 0};
            const int64_t in_place = by_first_tiles ? columns_in_place(part.n) : 0;
            const operand_b packed = {panels, depth * PANEL, b, g->b.row, in_place};
            store_to to = make_store_to(part.c, part.z, g->row, PANEL, part.bias, 0, g->e, p == 0, p + depth == g->k);
            if (g->m * g->n >= FETCHED && depth >= FETCHING_K)
                to.fetched = part.c; /* L2 has no room for c beside the operands */
            if (g->b.col == 1 && !by_first_tiles) pack_rows(panels, packed.stride, b, g->b.row, part.n, depth);
            for (int64_t q = 0; q < part.n; q += PANEL)
                if (g->b.col != 1 || part.n - q < PANEL || (by_first_tiles && q >= in_place))
                    pack(PANEL, panels + q * depth, b + q * g->b.col, g->b.row, g->b.col, part.n - q, depth);
            multiply_block(&to, &a, &packed, g->m, part.n, depth, packing_pays(&a, g->m, part.n, depth), micro_panels);
            p += depth;
        } while (p < g->k);
    }
    return FNN_OK;
}

/* The transposed product: a in panels, b broadcast; c and z are built in panels and transposed. */
static int along_m(const product *g)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK;
    const int64_t widest = round_up(g->m < NC ? g->m : NC, PANEL), tallest = g->n < TRANSPOSED ? g->n : TRANSPOSED;
    scratch s = {NULL, 0};
    T *panels, *c, *z;
    do {
        panels = take(&s, deepest * widest);
        c = take(&s, tallest * widest);
        z = g->z ? take(&s, tallest * widest) : NULL;
    } while (again(&s));
    if (!s.base) return FNN_NO_MEMORY;
    for (int64_t i = 0; i < g->m; i += NC)
        for (int64_t j = 0; j < g->n; j += TRANSPOSED) {
            const int64_t columns = g->m - i < NC ? g->m - i : NC, rows = g->n - j < TRANSPOSED ? g->n - j : TRANSPOSED;
            int64_t p = 0;
            do {
                const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
                const T *a = (const T *)g->a.data + i * g->a.row + p * g->a.col;
                const store_to to = make_store_to(c, z, PANEL, rows * PANEL, g->bias ? g->bias + j : NULL, 1, g->e,
                                                  p == 0, p + depth == g->k);
                const operand_a w = {(const T *)g->b.data + j * g->b.col + p * g->b.row, g->b.col, g->b.row, 0};
                const operand_b packed = {panels, depth * PANEL, NULL, 0, 0};
                for (int64_t q = 0; q < columns; q += PANEL)
                    pack(PANEL, panels + q * depth, a + q * g->a.row, g->a.col, g->a.row, columns - q, depth);
                multiply_block(&to, &w, &packed, rows, round_up(columns, PANEL), depth, 0, NULL);
                p += depth;
            } while (p < g->k);
            for (int64_t q = 0; q < columns; q += PANEL) {
                const int64_t wanted = columns - q < PANEL ? columns - q : PANEL, at = (i + q) * g->row + j;
                transpose(g->c + at, g->row, c + q * rows, PANEL, rows, rows, wanted);
                if (z) transpose(g->z + at, g->row, z + q * rows, PANEL, rows, rows, wanted);
            }
        }
    return FNN_OK;
}

/* Relative cost of a product in panels along `n`, in multiply-adds; b_row and b_col are the strides of what is packed,
 * a_col the stride along k of what is broadcast. A tile of one vector takes as long as one of two. An element in a
 * contiguous row costs one to pack, one to be transposed four, a scattered one two vectors. Broadcasting along k from row
 * to row takes a sixteenth more than along a row. */
static double cost_along(int64_t n, int64_t m, int64_t k, int64_t b_row, int64_t b_col, int64_t a_col)
{
    const double pack = b_col == 1 ? 1 : b_row == 1 ? TRANSPOSING : 2 * VL;
    const double products = (double)round_up(n, 2 * VL) * (double)m * (double)k;
    return products + (a_col == 1 ? 0 : products / 16) + pack * (double)n * (double)k;
}

/* Up to how many rows few_rows() pays. A single vector of columns is read where it lies for any number of them; at most THIN
 * columns are left to few_columns(), unless it would have to transpose so few rows that they fill no vector. */
static int64_t rows_of_few(const product *g)
{
    if (g->n <= THIN) return (g->b.col == 1 || g->n > VL ? VL : g->n) - 1;
    if (g->b.col != 1) return THIN;
    if (g->b.row * (int64_t)sizeof(T) >= FAR_ROWS) return MR;
    return g->n <= VL ? INT64_MAX : FEW_ROWS;
}

static int FNN(matmul)(void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k,
                       const fnn_epilogue *e);

/* One column whose numbers are contiguous: the row of the transposed product. */
static int one_column(const product *g)
{
    const fnn_matrix a = {g->b.data, 0, g->b.row}, b = {g->a.data, g->a.col, g->a.row};
    const int error = FNN(matmul)(g->c, g->m, a, b, 1, g->m, g->k, &no_epilogue);
    if (error) return error;
    for (int64_t i = 0; g->bias && i < g->m; i += VL)
        v_store_upto(g->c + i, v_add(v_load_upto(g->c + i, g->m - i, 0), v_set1(*g->bias)), g->m - i);
    finish_row(g->c, g->z, NULL, g->m, g->e);
    return FNN_OK;
}

static int FNN(matmul)(void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k,
                       const fnn_epilogue *e)
{
    const product g = {c, e->activation == FNN_identity ? NULL : e->z, ldc, a, b, m, n, k, e->bias, e};
    if (m == 0 || n == 0) return FNN_OK;
    if (m == 1 && a.col == 1 && b.col == 1 && b.row * (int64_t)sizeof(T) < FAR_ROWS && (n <= THIN || k * n <= NEAR)) {
        near_rows(&g);
        return FNN_OK;
    }
    if (n == 1 && m > THIN && ldc == 1) return one_column(&g);
    if (k > 0 && n > THIN && m <= rows_of_gemv(&g)) return gemv(&g);
    if (k > 0 && m <= rows_of_few(&g)) return few_rows(&g);
    if (k > 0 && n <= THIN) return few_columns(&g);
    const double along_rows = cost_along(n, m, k, b.row, b.col, a.col);
    const double along_columns = cost_along(m, n, k, a.col, a.row, b.row) + (double)TRANSPOSING * (double)m * (double)n;
    return along_rows <= along_columns ? along_n(&g) : along_m(&g);
}

/* One chunk of rows, added in increasing order from +0; `columns_left` columns. */
static FNN_INLINE V sum_chunk(const T *x, int64_t row, int64_t rows, int64_t columns_left)
{
    V sum = v_set1(0);
    for (int64_t r = 0; r < rows && r < FNN_K_CHUNK; r++) sum = v_add(sum, v_load_upto(x + r * row, columns_left, 0));
    return sum;
}

static void FNN(sum_rows)(void *y_, const void *x_, int64_t row, int64_t batch, int64_t features)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t j = 0; j < features; j += VL) {
        V total = sum_chunk(x + j, row, batch, features - j);
        for (int64_t i = FNN_K_CHUNK; i < batch; i += FNN_K_CHUNK)
            total = v_add(total, sum_chunk(x + i * row + j, row, batch - i, features - j));
        v_store_upto(y + j, total, features - j);
    }
}

static int64_t FNN(fma_chains)(int64_t steps)
{
    enum { INDEPENDENT = 12 };
    V sum[INDEPENDENT], factor = v_set1((T)0.999);
    for (int i = 0; i < INDEPENDENT; i++) sum[i] = v_set1((T)i);
    for (int64_t p = 0; p < steps; p++) {
        FNN_UNROLL(16)
        for (int i = 0; i < INDEPENDENT; i++) sum[i] = v_madd(sum[i], factor, factor);
    }
    volatile T used[VL];
    T lane[VL];
    for (int i = 0; i < INDEPENDENT; i++) {
        v_store(lane, sum[i]);
        for (int l = 0; l < VL; l++) used[l] = lane[l];
    }
    (void)used;
    return steps * INDEPENDENT * 2 * VL;
}
