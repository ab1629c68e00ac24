/*
 * matmul.inc.h: matrix products with a fused epilogue, and sums over rows.
 *
 * Design
 * A. Sums over k run in chunks of FNN_K_CHUNK; a chunk is one fma chain from +0, chunk sums are added in increasing
 *    order. The chunk is also the cache block in k. A chain may rest in memory between two tiles: that rounds nothing.
 * B. A tile is `rows` broadcast elements of a against `vectors` vectors of b. 6 x 2 has 12 chains, which hide the
 *    latency of two fma units, and takes 15 of 16 registers. The register loops carry an unroll pragma; without it gcc
 *    keeps the sums in memory (a third of the speed).
 * C. Five ways through a product, by shape and layout, all with the same bits:
 *      one row       against weights (out, in): blocks of b are transposed in registers
 *      few rows      thin(): b is read once, where it lies if its rows are contiguous
 *      few columns   thin(), transposed
 *      along n       b in panels of PANEL columns; where its rows are contiguous, the first strip of a reads it in
 *                    place and leaves the panels behind, so that packing costs no pass of its own
 *      along m       the transposed product: a in panels, b broadcast where it lies, c turned at the end. For weights
 *                    (out, in) and batches smaller than `out`
 *    The last two are chosen by cost_along().
 * D. Bias, relu and leaky_relu are applied in registers, every other activation by its ordinary loop on the finished
 *    strip while it is in L1: fused and unfused have the same bits.
 */

enum {
    NR = NV * VL,
    PANEL = FNN_PANEL,
    SHARE = sizeof(T) / 4,     /* float64 takes twice the room */
    BLOCK = 128 / SHARE,       /* columns of b in flight: with 512 k they take 256 KiB of L2 */
    GROUP = 48 / SHARE,        /* rows of a that meet them, read in place: 96 KiB */
    PACKED_GROUP = 96 / SHARE, /* the same, packed */
    WIDEST = 2048,             /* columns of b packed at a time: 4 MiB of L3 */
    TURNED = 512,              /* rows of a transposed block, which waits in scratch to be turned */
    SLAB = 128,                /* steps of a thin product at a time, at most */
    NARROW = 12,               /* rows or columns of a thin product, at most */
    MOST_VECTORS = 12,
    RUN = 8 /* rows of b, or of packed strips, read together: as many as L1 has ways */
};

/* What becomes of the sums of a block: element (i, j) of c stands at place(to, i, j). A matrix has rows `row` apart; in
 * panels, `panel` elements apart, the rows of a panel are PANEL apart. */
typedef struct {
    T *c, *z; /* z like c, or NULL */
    int64_t row;
    int64_t panel;  /* 0: c is a matrix, whatever its row stride */
    const T *start; /* sums of the same chunk to go on from, (i, j) at start + i * start_row + j; NULL: +0 */
    int64_t start_row;
    int add;          /* c holds the sum of the chunks before */
    const T *bias;    /* per column, or per row of the block; NULL: none */
    int bias_of_rows; /* which */
    int activation;   /* FNN_identity, FNN_relu or FNN_leaky_relu */
    int loop;         /* an activation that the ordinary loop applies to the finished strip; FNN_identity: none */
    const double *params;
} sink;

static FNN_INLINE int64_t place(const sink *to, int64_t i, int64_t j)
{
    return to->panel ? i * PANEL + j / PANEL * to->panel + j % PANEL : i * to->row + j;
}

/* The steps of a tile: element (i, p) of a is broadcast from a + i * a_row + p * a_col, vector v of b at step p stands
 * at b + p * b_row + v * VL. */
typedef struct {
    const T *a, *b;
    int64_t a_row, a_col, b_row, depth;
    T *copy; /* receives the vectors of b in rows of PANEL */
} steps;

/* rows x vectors sums, from element (i, j) of the block on. */
static FNN_INLINE void tile(const int rows, const int vectors, const int copying, const sink *to, int64_t i, int64_t j,
                            const steps *s)
{
    V sum[MR][MOST_VECTORS];
#define EACH(...)                                                                                                      \
    FNN_UNROLL(8)                                                                                                      \
    for (int r = 0; r < rows; r++) {                                                                                   \
        FNN_UNROLL(16)                                                                                                 \
        for (int v = 0; v < vectors; v++) __VA_ARGS__;                                                                 \
    }
    EACH(sum[r][v] = v_set1(0))
    if (to->start) EACH(sum[r][v] = v_load(to->start + (i + r) * to->start_row + j + v * VL))
    T *const prefetched = to->c + place(to, i, j);
    FNN_UNROLL(8)
    for (int r = 0; r < rows; r++) FNN_PREFETCH(prefetched + r * to->row);

    const int64_t a_row = s->a_row, a_col = s->a_col, b_row = s->b_row;
    const T *a = s->a, *b = s->b;
    T *copy = s->copy;
    for (int64_t left = s->depth; left > 0; left--, a += a_col, b += b_row) {
        V bv[MOST_VECTORS];
        FNN_UNROLL(16)
        for (int v = 0; v < vectors; v++) bv[v] = v_load(b + v * VL);
        if (copying) {
            FNN_PREFETCH(b + 24 * b_row);
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) v_store(copy + v * VL, bv[v]);
            copy += PANEL;
        }
        FNN_UNROLL(8)
        for (int r = 0; r < rows; r++) {
            V av = v_set1(a[r * a_row]);
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) sum[r][v] = v_madd(av, bv[v], sum[r][v]);
        }
    }

    const int64_t row = to->row, at = place(to, i, j);
    T *const c = to->c + at;
    if (to->add) EACH(sum[r][v] = v_add(v_load(c + r * row + v * VL), sum[r][v]))
    if (to->bias && to->bias_of_rows) EACH(sum[r][v] = v_add(sum[r][v], v_set1(to->bias[i + r])))
    if (to->bias && !to->bias_of_rows) EACH(sum[r][v] = v_add(sum[r][v], v_load(to->bias + j + v * VL)))
    if (to->z) EACH(v_store(to->z + at + r * row + v * VL, sum[r][v]))
    if (to->activation != FNN_identity) {
        const row_params p = load_params(to->params);
        if (to->activation == FNN_relu)
            EACH(sum[r][v] = relu_v(sum[r][v], p))
        else
            EACH(sum[r][v] = leaky_relu_v(sum[r][v], p))
    }
    EACH(v_store(c + r * row + v * VL, sum[r][v]))
#undef EACH
}

/* One compiled tile per height; those that copy b are the first of several strips, to which height() gives 4 rows or
 * more. */
static void tile_of(int64_t rows, const sink *to, int64_t i, int64_t j, const steps *s)
{
    switch (rows + (s->copy ? MR : 0)) {
    case 1: tile(1, NV, 0, to, i, j, s); break;
    case 2: tile(2, NV, 0, to, i, j, s); break;
    case 3: tile(3, NV, 0, to, i, j, s); break;
    case 4: tile(4, NV, 0, to, i, j, s); break;
    case 5: tile(5, NV, 0, to, i, j, s); break;
    case 6: tile(6, NV, 0, to, i, j, s); break;
    case MR + 4: tile(4, NV, 1, to, i, j, s); break;
    case MR + 5: tile(5, NV, 1, to, i, j, s); break;
    default: tile(6, NV, 1, to, i, j, s); break;
    }
}

/* Tiles with 12 chains for fewer rows than 6; a single row waits for packing anyway, where one_row() does not apply. */
static const int wide_vectors[MR] = {4, 6, 4, 3, NV, NV};
static void wide_tile_of(int64_t rows, const sink *to, int64_t i, int64_t j, const steps *s)
{
    switch (rows) {
    case 1: tile(1, 4, 0, to, i, j, s); break;
    case 2: tile(2, 6, 0, to, i, j, s); break;
    case 3: tile(3, 4, 0, to, i, j, s); break;
    case 4: tile(4, 3, 0, to, i, j, s); break;
    default: tile_of(rows, to, i, j, s); break;
    }
}

/* to[i, j] = from[i, j] */
static void copy_rows(T *to, int64_t to_row, const T *from, int64_t from_row, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)columns * sizeof(T));
}

/* A tile of which only `columns` exist: it works in a buffer, b is already padded. */
static void edge_tile(int64_t rows, int64_t columns, const sink *to, int64_t i, int64_t j, const steps *s)
{
    T c[MR * NR], z[MR * NR], start[MR * NR] = {0}, bias[MR + NR] = {0};
    const int64_t at = place(to, i, j);
    sink edge = *to;
    edge.c = c;
    edge.row = NR;
    if (to->add) copy_rows(c, NR, to->c + at, to->row, rows, columns);
    if (to->z) edge.z = z;
    if (to->start) {
        copy_rows(start, NR, to->start + i * to->start_row + j, to->start_row, rows, columns);
        edge.start = start;
        edge.start_row = NR;
    }
    if (to->bias) {
        memcpy(bias, to->bias + (to->bias_of_rows ? i : j), (size_t)(to->bias_of_rows ? rows : columns) * sizeof(T));
        edge.bias = bias;
    }
    tile_of(rows, &edge, 0, 0, s);
    copy_rows(to->c + at, to->row, c, NR, rows, columns);
    if (to->z) copy_rows(to->z + at, to->row, z, NR, rows, columns);
}

/* The height of the next strip of `left` rows: 7 to 9 rows make two strips of about a half, as 1 to 3 rows have too few
 * chains to be fast. */
static int64_t height(int64_t left) { return left <= MR ? left : left < MR + 4 ? (left + 1) / 2 : MR; }

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* v_load_columns where only some rows and columns are left; the others are zero. */
static FNN_INLINE void load_columns(V column[VC], const T *p, int64_t row, int64_t rows_left, int64_t columns_left)
{
    T part[VL * VL];
    if (rows_left < VL || columns_left < VC) {
        for (int r = 0; r < VL; r++)
            v_store(part + r * VL, r < rows_left ? v_load_upto(p + r * row, columns_left, 0) : v_set1(0));
        p = part;
        row = VL;
    }
    v_load_columns(column, p, row);
}

/* One vector of columns of pack(): `columns` of them exist. */
static void pack_vector(int64_t width, T *packed, const T *x, int64_t row, int64_t col, int64_t columns, int64_t depth)
{
    int64_t p = 0;
    if (col == 1) {
        for (; p < depth; p++) v_store(packed + p * width, v_load_upto(x + p * row, columns, 0));
    } else if (row == 1) {
        V column[VC];
        for (; columns >= VL && p + VC <= depth; p += VC) {
            v_load_columns(column, x + p, col);
            FNN_UNROLL(8)
            for (int q = 0; q < VC; q++) v_store(packed + (p + q) * width, column[q]);
        }
        for (; p < depth; p += VC) {
            load_columns(column, x + p, col, columns, depth - p);
            for (int q = 0; q < VC && p + q < depth; q++) v_store(packed + (p + q) * width, column[q]);
        }
    } else {
        for (; p < depth; p++)
            for (int64_t j = 0; j < VL; j++) packed[p * width + j] = j < columns ? x[p * row + j * col] : 0;
    }
}

/* `width` columns of x, whole vectors of them, to packed (depth, width); those beyond `columns` are zero. Element (p,
 * j) of x stands at x + p * row + j * col. */
static void pack(int64_t width, T *packed, const T *x, int64_t row, int64_t col, int64_t columns, int64_t depth)
{
    for (int64_t j = 0; j < width; j += VL) pack_vector(width, packed + j, x + j * col, row, col, columns - j, depth);
}

/* The activation of a finished strip, where its loop has to apply it. */
static void finish_strip(const sink *to, int64_t i, int64_t j, int64_t rows, int64_t columns)
{
    if (to->loop == FNN_identity) return;
    T *c = to->c + place(to, i, j);
    const fnn_forward_fn activate = forward_loops[to->loop];
    if (to->panel)
        for (; columns > 0; columns -= PANEL, c += to->panel) activate(c, c, rows * PANEL, to->params);
    else
        for (int64_t r = 0; r < rows; r++, c += to->row) activate(c, c, columns, to->params);
}

/* The broadcast operand: element (i, p) is data[i * row + p * col]; or, with `panel`, data[p / PANEL * panel + i *
 * PANEL + p % PANEL]. */
typedef struct {
    const T *data;
    int64_t row, col, panel;
} left;

static left left_rows(const left *a, int64_t i)
{
    left part = *a;
    part.data += i * (a->panel ? PANEL : a->row);
    return part;
}

static left left_from(const left *a, int64_t p) /* p a multiple of PANEL */
{
    left part = *a;
    part.data += a->panel ? p / PANEL * a->panel : p * a->col;
    return part;
}

/* Where strip i of a group lies when packed: (depth, height), with room for what a vector writes too far. */
static int64_t strip_place(int64_t i, int64_t depth) { return i * (depth + VL); }

/* Steps [first, last) of one strip of an operand with strided k. What a store writes too far, the next step's
 * corrects. */
static void pack_strip(T *packed, const left *a, int64_t strip, int64_t rows_left, int64_t first, int64_t last)
{
    if (a->panel || a->col == 1) {
        const int64_t row = a->panel ? PANEL : a->row;
        for (int64_t p = first; p < last; p += VC) {
            V column[(MR + VL - 1) / VL][VC];
            const T *from = a->data + (a->panel ? p / PANEL * a->panel + p % PANEL : p);
            for (int r = 0; r < strip; r += VL)
                load_columns(column[r / VL], from + r * row, row, rows_left - r, a->panel ? VC : last - p);
            for (int q = 0; q < VC && p + q < last; q++)
                for (int r = 0; r < strip; r += VL) v_store(packed + (p + q) * strip + r, column[r / VL][q]);
        }
    } else if (a->row == 1 && strip == MR && rows_left >= MR + VL) {
        for (int64_t p = first; p < last; p++)
            for (int r = 0; r < MR; r += VL) v_store(packed + p * MR + r, v_load(a->data + p * a->col + r));
    } else {
        for (int64_t p = first; p < last; p++)
            for (int64_t r = 0; r < strip; r++) packed[p * strip + r] = a->data[p * a->col + r * a->row];
    }
}

/* The strips of a group, the rows of a line of memory together: strips of their own would fetch each line three
 * times. */
static void pack_strips(T *packed, const left *a, int64_t rows, int64_t depth)
{
    for (int64_t first = 0, last; first < depth; first = last) {
        last = depth - first < RUN ? depth : first + RUN;
        for (int64_t p = first; a->row == 1 && p < last; p++)
            for (int64_t i = 0; i < rows; i += 64 / (int64_t)sizeof(T)) FNN_PREFETCH(a->data + i + p * a->col);
        for (int64_t i = 0, strip; i < rows; i += strip) {
            const left part = left_rows(a, i);
            strip = height(rows - i);
            pack_strip(packed + strip_place(i, depth), &part, strip, rows - i, first, last);
        }
    }
}

/* Where the panels of multiply_block lie, `stride` apart; in_place, unless NULL, is where the full ones still lie as
 * rows of a matrix, for the first strip to read there and leave in panels. */
typedef struct {
    T *data;
    int64_t stride;
    const T *in_place;
    int64_t in_place_row;
} right;

/* One strip of a, its steps given, against the columns [first, last) of b, of which `columns` exist. */
static void multiply_strip(const sink *to, const right *b, steps s, int64_t i, int64_t rows, int first_of_several,
                           int64_t first, int64_t last, int64_t columns)
{
    for (int64_t j = first; j < last; j += NR) {
        T *const panel = b->data + j / PANEL * b->stride + j % PANEL;
        const int in_place = i == 0 && b->in_place && j / PANEL * PANEL + PANEL <= columns;
        s.b = in_place ? b->in_place + j : panel;
        s.b_row = in_place ? b->in_place_row : PANEL;
        s.copy = in_place && first_of_several ? panel : NULL;
        if (columns - j >= NR)
            tile_of(rows, to, i, j, &s);
        else
            edge_tile(rows, columns - j, to, i, j, &s);
    }
    finish_strip(to, i, first, rows, last - first);
}

/* c = a times b, over one chunk: `rows` rows of a against `columns` columns. A group of rows stays in L2 beside a block
 * of columns, one strip of it in L1. strips: STRIPS(depth) elements of scratch. */
#define STRIPS(depth) ((PACKED_GROUP + MR) * ((depth) + VL))

static void multiply_block(const sink *to, const left *a, const right *b, int64_t rows, int64_t columns, int64_t depth,
                           int packing, T *strips)
{
    const int64_t most = packing ? PACKED_GROUP : GROUP;
    for (int64_t group = 0, group_rows; group < rows; group += group_rows) {
        const left from = left_rows(a, group);
        group_rows = rows - group < most + MR ? rows - group : most; /* no short group at the end */
        if (packing) pack_strips(strips, &from, group_rows, depth);
        for (int64_t j = 0; j < columns; j += BLOCK)
            for (int64_t i = 0, strip; i < group_rows; i += strip) {
                const int64_t last = columns - j < BLOCK ? columns : j + BLOCK;
                strip = height(group_rows - i);
                steps s = {from.data + i * from.row, NULL, from.row, from.col, 0, depth, NULL};
                if (packing) {
                    s.a = strips + strip_place(i, depth);
                    s.a_row = 1;
                    s.a_col = strip;
                }
                multiply_strip(to, b, s, group + i, strip, strip < rows, j, last, columns);
            }
    }
}

/* Whether packing strips pays: for many columns; fewer where k is strided. */
static int packing_pays(const left *a, int64_t rows, int64_t columns, int64_t depth)
{
    return depth >= 128 && (a->col != 1 ? columns >= 256 : columns >= 1024 && rows >= PACKED_GROUP);
}

/* What a product's epilogue asks of the tiles and loops, before and after the last chunk. */
static sink make_sink(T *c, T *z, int64_t row, int64_t panel, const T *bias, int bias_of_rows, const fnn_epilogue *e,
                      int first, int last)
{
    const int in_registers = e->activation == FNN_relu || e->activation == FNN_leaky_relu;
    sink to = {.c = c, .row = row, .panel = panel, .add = !first, .params = e->params};
    to.activation = last && in_registers ? e->activation : FNN_identity;
    to.loop = last && !in_registers ? e->activation : FNN_identity;
    to.z = last ? z : NULL;
    to.bias = last ? bias : NULL;
    to.bias_of_rows = bias_of_rows;
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

static const fnn_epilogue no_epilogue = {NULL, NULL, FNN_identity, NULL};

/* Columns of the widest tile for m rows. */
static int64_t wide_columns(int64_t m) { return (m > MR ? NV : wide_vectors[m - 1]) * VL; }

/* Thin products: `rows` <= NARROW rows of a. b is read once, in slabs of few k, so that the hardware sees few streams;
 * in place by wide tiles where its rows are contiguous, else packed a wide tile at a time, which stays in L1. A chain
 * that is not the first of its sums waits in `waiting`, (rows, n), for its chunk to end. */
static void thin(const product *g, int bias_of_rows, T *waiting)
{
    const int64_t m = g->m, n = g->n, k = g->k, wide = wide_columns(m);
    T packed[SLAB * (MOST_VECTORS > NR / VL ? MOST_VECTORS * VL : NR)];
    const int64_t apart = g->b.row * (int64_t)sizeof(T); /* far rows share few sets of the caches */
    int64_t slab = g->b.col != 1 || apart < 2048 ? SLAB : apart < 4096 ? SLAB / 2 : RUN;
    while (g->b.col != 1 && slab * wide > 4096) slab /= 2; /* 16 KiB of L1 */
    for (int64_t p = 0, depth; p < k; p += depth) {
        const int64_t chunk = p / FNN_K_CHUNK * FNN_K_CHUNK;
        depth = k - p < slab ? k - p : slab;
        sink to = make_sink(g->c, g->z, g->row, 0, g->bias, bias_of_rows, g->e, chunk == 0, p + depth == k);
        if (p > chunk) to.start = chunk > 0 ? waiting : g->c, to.start_row = chunk > 0 ? n : g->row;
        if (chunk > 0 && p + depth < k && p + depth < chunk + FNN_K_CHUNK) to.c = waiting, to.row = n, to.add = 0;
        for (int64_t j = 0, columns; j < n; j += columns) {
            const int64_t left = n - j;
            const T *b = (const T *)g->b.data + p * g->b.row + j * g->b.col;
            steps s = {NULL, b, g->a.row, g->a.col, g->b.row, depth, NULL};
            columns = left >= wide ? wide : left >= NR ? NR : left;
            if (g->b.col != 1 || left < NR) {
                s.b_row = left >= wide ? wide : NR;
                s.b = packed;
                pack(s.b_row, packed, b, g->b.row, g->b.col, left, depth);
            }
            for (int64_t i = 0, strip; i < m; i += strip) {
                strip = height(m - i);
                s.a = (const T *)g->a.data + i * g->a.row + p * g->a.col;
                if (left >= wide && m <= MR)
                    wide_tile_of(m, &to, i, j, &s);
                else if (left >= NR)
                    tile_of(strip, &to, i, j, &s);
                else
                    edge_tile(strip, left, &to, i, j, &s);
            }
        }
        finish_strip(&to, 0, 0, m, n);
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

static int few_rows(const product *g)
{
    const int64_t block = g->b.col == 1 ? g->n : wide_columns(g->m);
    T *waiting = g->k > FNN_K_CHUNK ? fnn_scratch(g->m * block * (int64_t)sizeof(T)) : g->c;
    if (!waiting) return FNN_NO_MEMORY;
    for (int64_t j = 0; j < g->n; j += block) {
        const product part = columns_of(g, j, g->n - j < block ? g->n - j : block);
        thin(&part, 0, waiting);
    }
    return FNN_OK;
}

/* rows[i, j] = turned[j, i]: `columns` columns i of turned, n of its rows j; more of them may be read up to
 * `readable`. */
static void turn(T *rows, int64_t row, const T *turned, int64_t turned_row, int64_t n, int64_t readable,
                 int64_t columns)
{
    for (int64_t j = 0; j < n; j += VL)
        for (int64_t i = 0; i < columns; i += VC) {
            V column[VC];
            load_columns(column, turned + j * turned_row + i, turned_row, readable - j, columns - i);
            for (int q = 0; q < VC && i + q < columns; q++) v_store_upto(rows + (i + q) * row + j, column[q], n - j);
        }
}

/* Few columns: the transposed product is thin; each block of its columns is turned. */
static int few_columns(const product *g)
{
    const int64_t block = wide_columns(g->n);
    T turned[3][MOST_VECTORS * VL * (VL + 1) + NARROW * NR]; /* with VL rows more, which turn() may read */
    for (int64_t i = 0; i < g->m; i += block) {
        const int64_t rows = g->m - i < block ? g->m - i : block;
        const product t = {turned[0],
                           g->z ? turned[1] : NULL,
                           rows,
                           {g->b.data, g->b.col, g->b.row},
                           {(const T *)g->a.data + i * g->a.row, g->a.col, g->a.row},
                           g->n,
                           rows,
                           g->k,
                           g->bias,
                           g->e};
        thin(&t, 1, turned[2]);
        turn(g->c + i * g->row, g->row, turned[0], rows, g->n, g->n + VL, rows);
        if (g->z) turn(g->z + i * g->row, g->row, turned[1], rows, g->n, g->n + VL, rows);
    }
    return FNN_OK;
}

/* One row against b with contiguous rows: RUN of them at a time, with the sums in `to`, so that all is read in
 * order. */
static void add_rows(T *to, const T *a, const T *b, int64_t b_row, int64_t n, int64_t depth)
{
    int64_t p = 0;
    for (; p + RUN <= depth; p += RUN) {
        V x[RUN];
        const T *at = b + p * b_row;
        for (int r = 0; r < RUN; r++) x[r] = v_set1(a[p + r]);
        int64_t j = 0;
        for (; j + VL <= n; j += VL) {
            V sum = v_load(to + j);
            FNN_UNROLL(8)
            for (int r = 0; r < RUN; r++) sum = v_madd(x[r], v_load(at + r * b_row + j), sum);
            v_store(to + j, sum);
        }
        if (j < n) {
            V sum = v_load_part(to + j, n - j, 0);
            for (int r = 0; r < RUN; r++) sum = v_madd(x[r], v_load_part(at + r * b_row + j, n - j, 0), sum);
            v_store_part(to + j, sum, n - j);
        }
    }
    for (; p < depth; p++)
        for (int64_t j = 0; j < n; j += VL) {
            const V sum = v_madd(v_set1(a[p]), v_load_upto(b + p * b_row + j, n - j, 0), v_load_upto(to + j, n - j, 0));
            v_store_upto(to + j, sum, n - j);
        }
}

static void one_row_rows(const product *g, const T *a, T *waiting)
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

/* One row against b with contiguous k, a weight (out, in): blocks of b are transposed in registers and never stored. */
enum { GROUPS = 4 }; /* chains */

FNN_UNSCHEDULED static void one_row_columns(T *c, const T *a, const T *b, int64_t b_col, int64_t k)
{
    const T *at[GROUPS];
    for (int h = 0; h < GROUPS; h++) at[h] = b + h * VL * b_col;
    for (int64_t chunk = 0; chunk < k; chunk += FNN_K_CHUNK) {
        const int64_t end = k - chunk < FNN_K_CHUNK ? k : chunk + FNN_K_CHUNK;
        V sum[GROUPS], column[VC];
        int64_t p = chunk;
        for (int h = 0; h < GROUPS; h++) sum[h] = v_set1(0);
        for (; p + VC <= end; p += VC) {
            FNN_UNROLL(4)
            for (int h = 0; h < GROUPS; h++) { /* their chains run side by side */
                v_load_columns(column, at[h], b_col);
                FNN_UNROLL(8)
                for (int q = 0; q < VC; q++) sum[h] = v_madd(column[q], v_set1(a[p + q]), sum[h]);
                at[h] += VC;
            }
        }
        for (int h = 0; h < GROUPS; h++) {
            if (p < end) {
                load_columns(column, at[h], b_col, VL, end - p);
                for (int q = 0; q < end - p; q++) sum[h] = v_madd(column[q], v_set1(a[p + q]), sum[h]);
            }
            v_store(c + h * VL, chunk == 0 ? sum[h] : v_add(v_load(c + h * VL), sum[h]));
        }
    }
}

/* The epilogue of one row of finished sums in y, by loops. */
static void finish_row(T *y, T *z, const T *bias, int64_t n, const fnn_epilogue *e)
{
    for (int64_t j = 0; bias && j < n; j += VL)
        v_store_upto(y + j, v_add(v_load_upto(y + j, n - j, 0), v_load_upto(bias + j, n - j, 0)), n - j);
    if (z) memcpy(z, y, (size_t)n * sizeof *z);
    if (e->activation != FNN_identity) forward_loops[e->activation](y, y, n, e->params);
}

static void one_row_weights(const product *g, const T *a, T *waiting)
{
    const int64_t width = GROUPS * VL, whole = g->n / width * width;
    for (int64_t j = 0; j < whole; j += width)
        one_row_columns(g->c + j, a, (const T *)g->b.data + j * g->b.col, g->b.col, g->k);
    product rest = columns_of(g, whole, g->n - whole);
    rest.z = NULL;
    rest.bias = NULL;
    rest.e = &no_epilogue;
    if (rest.n) thin(&rest, 0, waiting);
}

static int one_row(const product *g)
{
    T *a = fnn_scratch((g->k + g->n) * (int64_t)sizeof(T));
    if (!a) return FNN_NO_MEMORY;
    for (int64_t p = 0; g->a.col != 1 && p < g->k; p++) a[p] = ((const T *)g->a.data)[p * g->a.col];
    (g->b.col == 1 ? one_row_rows : one_row_weights)(g, g->a.col == 1 ? g->a.data : a, a + g->k);
    finish_row(g->c, g->z, g->bias, g->n, g->e);
    return FNN_OK;
}

/* Rows of b to panels, `stride` apart, row by row: far rows are far in memory. Whole panels only. */
static void pack_rows(T *panels, int64_t stride, const T *b, int64_t row, int64_t columns, int64_t depth)
{
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = 0; j + PANEL <= columns; j += PANEL)
            memcpy(panels + j / PANEL * stride + p * PANEL, b + p * row + j, PANEL * sizeof(T));
}

/* b in panels; c where it belongs. */
static int along_n(const product *g)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK;
    const int64_t most = g->m < 4 * BLOCK ? BLOCK : WIDEST, widest = round_up(g->n < most ? g->n : most, PANEL);
    const int by_first_strip = g->b.col == 1 && g->m < BLOCK && g->b.row * (int64_t)sizeof(T) < 4096;
    T *panels = fnn_scratch((deepest * widest + STRIPS(deepest)) * (int64_t)sizeof(T));
    if (!panels) return FNN_NO_MEMORY;
    for (int64_t j = 0; j < g->n; j += most) {
        const product part = columns_of(g, j, g->n - j < most ? g->n - j : most);
        int64_t p = 0;
        do { /* once even for k = 0: an empty sum is +0 */
            const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
            const T *b = (const T *)part.b.data + p * g->b.row;
            const left a = {(const T *)g->a.data + p * g->a.col, g->a.row, g->a.col, 0};
            const right packed = {panels, depth * PANEL, by_first_strip ? b : NULL, g->b.row};
            const sink to = make_sink(part.c, part.z, g->row, 0, part.bias, 0, g->e, p == 0, p + depth == g->k);
            if (g->b.col == 1 && !by_first_strip) pack_rows(panels, packed.stride, b, g->b.row, part.n, depth);
            for (int64_t q = 0; q < part.n; q += PANEL)
                if (g->b.col != 1 || part.n - q < PANEL)
                    pack(PANEL, panels + q * depth, b + q * g->b.col, g->b.row, g->b.col, part.n - q, depth);
            multiply_block(&to, &a, &packed, g->m, part.n, depth, packing_pays(&a, g->m, part.n, depth),
                           panels + deepest * widest);
            p += depth;
        } while (p < g->k);
    }
    return FNN_OK;
}

/* The transposed product: a in panels, b broadcast; c and z are built in panels and turned. */
static int along_m(const product *g)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK;
    const int64_t widest = round_up(g->m < BLOCK ? g->m : BLOCK, PANEL), tallest = g->n < TURNED ? g->n : TURNED;
    T *panels = fnn_scratch(((deepest + 2 * tallest) * widest + STRIPS(deepest)) * (int64_t)sizeof(T));
    if (!panels) return FNN_NO_MEMORY;
    T *c = panels + deepest * widest, *z = g->z ? c + tallest * widest : NULL;
    T *strips = panels + (deepest + 2 * tallest) * widest;
    for (int64_t i = 0; i < g->m; i += BLOCK)
        for (int64_t j = 0; j < g->n; j += TURNED) {
            const int64_t columns = g->m - i < BLOCK ? g->m - i : BLOCK, rows = g->n - j < TURNED ? g->n - j : TURNED;
            int64_t p = 0;
            do {
                const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
                const T *a = (const T *)g->a.data + i * g->a.row + p * g->a.col;
                const sink to = make_sink(c, z, PANEL, rows * PANEL, g->bias ? g->bias + j : NULL, 1, g->e, p == 0,
                                          p + depth == g->k);
                const left w = {(const T *)g->b.data + j * g->b.col + p * g->b.row, g->b.col, g->b.row, 0};
                const right packed = {panels, depth * PANEL, NULL, 0};
                for (int64_t q = 0; q < columns; q += PANEL)
                    pack(PANEL, panels + q * depth, a + q * g->a.row, g->a.col, g->a.row, columns - q, depth);
                multiply_block(&to, &w, &packed, rows, round_up(columns, PANEL), depth,
                               packing_pays(&w, rows, columns, depth), strips);
                p += depth;
            } while (p < g->k);
            for (int64_t q = 0; q < columns; q += PANEL) {
                const int64_t wanted = columns - q < PANEL ? columns - q : PANEL, at = (i + q) * g->row + j;
                turn(g->c + at, g->row, c + q * rows, PANEL, rows, rows, wanted);
                if (z) turn(g->z + at, g->row, z + q * rows, PANEL, rows, rows, wanted);
            }
        }
    return FNN_OK;
}

/* Relative cost of a product in panels along `n`, in multiply-adds; b_row and b_col are the strides of what is packed.
 * An element in a contiguous row costs one to pack, one to be turned four, a scattered one two vectors. */
static int64_t cost_along(int64_t n, int64_t m, int64_t k, int64_t b_row, int64_t b_col)
{
    const int64_t pack = b_col == 1 ? 1 : b_row == 1 ? 4 : 2 * VL;
    return round_up(n, NR) * m * k + pack * n * k;
}

static int FNN(matmul)(void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k,
                       const fnn_epilogue *e)
{
    const product g = {c, e->activation == FNN_identity ? NULL : e->z, ldc, a, b, m, n, k, e->bias, e};
    if (m == 0 || n == 0) return FNN_OK;
    const int aliased = b.col != 1 && b.col * (int64_t)sizeof(T) % 2048 == 0; /* 32 rows would share two sets of L1 */
    if (k > 0 && n > NARROW && m == 1 && (b.col == 1 || b.row == 1) && !aliased) return one_row(&g);
    if (k > 0 && n > NARROW && m <= (b.col == 1 ? MR : NARROW)) return few_rows(&g);
    if (k > 0 && n <= NARROW) return few_columns(&g);
    const int64_t along_rows = cost_along(n, m, k, b.row, b.col);
    const int64_t along_columns = cost_along(m, n, k, a.col, a.row) + 4 * m * n;
    return along_rows <= along_columns ? along_n(&g) : along_m(&g);
}

/* The forms of a compiled network; fastnn.h says what they do. */

static void FNN(to_panels)(void *panels, const void *rows, int64_t row, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i += PANEL)
        pack(PANEL, (T *)panels + i * features, (const T *)rows + i * row, 1, row, batch - i, features);
}

static void FNN(from_panels)(void *rows, int64_t row, const void *panels, int64_t batch, int64_t features)
{
    for (int64_t i = 0; i < batch; i += PANEL)
        turn((T *)rows + i * row, row, (const T *)panels + i * features, PANEL, features, features,
             batch - i < PANEL ? batch - i : PANEL);
}

static void FNN(turn_panels)(void *turned, const void *panels, int64_t batch, int64_t features)
{
    for (int64_t j = 0; j < features; j += PANEL)
        for (int64_t i = 0; i < batch; i += PANEL)
            pack(PANEL, (T *)turned + j * batch + i * PANEL, (const T *)panels + i * features + j * PANEL, 1, PANEL,
                 features - j, batch - i < PANEL ? batch - i : PANEL);
}

/* c, a matrix or in panels `panel` apart, = a times panels, chunk by chunk; panel q of b starts at q * stride, its row
 * p at p * PANEL. Panels so far apart that they would drive one another out of L2 are brought together first, a chunk
 * at a time. */
static int multiply_panels(const product *g, int64_t panel, int bias_of_rows, const left *a, const T *b, int64_t stride,
                           int packing)
{
    const int64_t deepest = g->k < FNN_K_CHUNK ? g->k : FNN_K_CHUNK,
                  gathered = stride * (int64_t)sizeof(T) % (1 << 15) == 0 && g->k > FNN_K_CHUNK;
    const int64_t columns = round_up(g->n, PANEL);
    T *strips = fnn_scratch((STRIPS(deepest) + gathered * deepest * columns) * (int64_t)sizeof(T));
    if (!strips) return FNN_NO_MEMORY;
    int64_t p = 0;
    do {
        const int64_t depth = g->k - p < FNN_K_CHUNK ? g->k - p : FNN_K_CHUNK;
        const left from = left_from(a, p);
        right panels = {(T *)b + p * PANEL, stride, NULL, 0}; /* not written: nothing lies elsewhere */
        const sink to = make_sink(g->c, g->z, g->row, panel, g->bias, bias_of_rows, g->e, p == 0, p + depth == g->k);
        if (gathered) {
            panels.data = strips + STRIPS(deepest);
            panels.stride = depth * PANEL;
            for (int64_t q = 0; q < columns / PANEL; q++)
                memcpy(panels.data + q * panels.stride, b + q * stride + p * PANEL, (size_t)panels.stride * sizeof(T));
        }
        multiply_block(&to, &from, &panels, g->m, g->n, depth, packing, strips);
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
    const left w = {weight, ldw, 1, 0};
    return multiply_panels(&g, out * PANEL, 1, &w, x, in * PANEL, 0);
}

static int FNN(dx_panels)(void *dx, const void *dz, const void *weight, int64_t ldw, int64_t batch, int64_t out,
                          int64_t in)
{
    const product g = {.c = dx, .row = PANEL, .m = in, .n = round_up(batch, PANEL), .k = out, .e = &no_epilogue};
    const left w = {weight, 1, ldw, 0};
    return multiply_panels(&g, in * PANEL, 0, &w, dz, out * PANEL, 1);
}

static int FNN(dweight_panels)(void *dweight, int64_t ldw, const void *dz, const void *x_turned, int64_t batch,
                               int64_t out, int64_t in)
{
    const product g = {.c = dweight, .row = ldw, .m = out, .n = in, .k = batch, .e = &no_epilogue};
    const left d = {dz, 0, 0, out * PANEL};
    return multiply_panels(&g, 0, 0, &d, x_turned, batch * PANEL, 1);
}

/* One chunk of rows, added in increasing order from +0; `left` columns. */
static FNN_INLINE V sum_chunk(const T *x, int64_t rows, int64_t features, int64_t left)
{
    V sum = v_set1(0);
    for (int64_t r = 0; r < rows && r < FNN_K_CHUNK; r++) sum = v_add(sum, v_load_upto(x + r * features, left, 0));
    return sum;
}

static void FNN(sum_rows)(void *y_, const void *x_, int64_t batch, int64_t features)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t j = 0; j < features; j += VL) {
        V total = sum_chunk(x + j, batch, features, features - j);
        for (int64_t i = FNN_K_CHUNK; i < batch; i += FNN_K_CHUNK)
            total = v_add(total, sum_chunk(x + i * features + j, batch - i, features, features - j));
        v_store_upto(y + j, total, features - j);
    }
}

static int64_t FNN(fma_chains)(int64_t steps)
{
    enum { CHAINS = 12 };
    V sum[CHAINS], factor = v_set1((T)0.999);
    for (int i = 0; i < CHAINS; i++) sum[i] = v_set1((T)i);
    for (int64_t p = 0; p < steps; p++) {
        FNN_UNROLL(16)
        for (int i = 0; i < CHAINS; i++) sum[i] = v_madd(sum[i], factor, factor);
    }
    volatile T used[VL];
    T lane[VL];
    for (int i = 0; i < CHAINS; i++) {
        v_store(lane, sum[i]);
        for (int l = 0; l < VL; l++) used[l] = lane[l];
    }
    (void)used;
    return steps * CHAINS * 2 * VL;
}
