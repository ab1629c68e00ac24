/*
 * tile.inc.h: the innermost room of a matrix product: a register tile, which adds up `rows` x `vectors` sums in
 * registers.
 *
 * Glossary, in the field's words
 *    k_loop        the steps of a sum over k: at each, one element of a for each row and a few vectors of b
 *    tile          MR x NR sums in registers, MR rows of a against NR = NV * VL columns of b
 *    chunk         FNN_K_CHUNK = 512 steps of k, KC of the literature: one fma chain of every sum
 *    panel         PANEL = 16 columns of an operand, k-major: [k][16]. What b is packed into, and how a network keeps
 *                  its activations; the transposed panel holds 16 features instead of 16 rows of the batch
 *    micro-panel   up to MR rows of a, packed as tiles read them: [k][MR]
 *    MC, NC        rows of a and columns of b that meet in L2: a block
 *
 * A tile in a block in a chunk
 *
 *          k: a chunk of 512                        n: NC columns of b, in panels of 16
 *        +------------------+                     +----+----+----+
 *     MR | micro-panel of a |                     |    |    |    |
 *        +------------------+                  k  | p  | p  | p  |  each panel [512][16] contiguous
 *     MC |       ...        |                     |    |    |    |
 *        +------------------+                     +----+----+----+
 *                                                    |
 *                 c:  MR x NR tile  <- registers  <--+  one micro-panel in L1, a block of panels in L2
 *
 * A panel and a transposed panel of a batch x features array (fastnn.h)
 *
 *        panels [batch / 16][features][16]            transposed [features / 16][batch][16]
 *        feature 0: rows 0 1 2 ... 15                 row 0: features 0 1 2 ... 15
 *        feature 1: rows 0 1 2 ... 15                 row 1: features 0 1 2 ... 15
 *           ...                                          ...
 *        then rows 16 ... 31                          then features 16 ... 31
 *
 * Design
 * A. A tile is `rows` broadcast elements of a against `vectors` vectors of b. 6 x 2 has 12 chains, which hide the
 *    latency of two fma units, and takes 15 of 16 registers. The register loops carry an unroll pragma; without it gcc
 *    keeps the sums in memory (a third of the speed).
 * B. Bias, relu and leaky_relu are applied in registers, every other activation by its ordinary loop on the finished
 *    rows while they are in L1: fused and unfused have the same bits.
 */

enum { NR = NV * VL, PANEL = FNN_PANEL };
/* What an ISA's table may not change without the code. */
_Static_assert(PANEL % NR == 0, "a tile lies within a panel");
_Static_assert(MR == 6, "tile_of() has tiles of 1 to 6 rows");
_Static_assert(FNN_K_CHUNK % THIN_K == 0, "the parts of a thin product end where a chunk ends");

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
    int loop;         /* an activation that the ordinary loop applies to the finished rows; FNN_identity: none */
    const double *params;
} store_to;

static FNN_INLINE int64_t place(const store_to *to, int64_t i, int64_t j)
{
    return to->panel ? i * PANEL + j / PANEL * to->panel + j % PANEL : i * to->row + j;
}

/* The steps of a tile: element (i, p) of a is broadcast from a + i * a_row + p * a_col, vector v of b at step p stands
 * at b + p * b_row + v * VL. */
typedef struct {
    const T *a, *b;
    int64_t a_row, a_col, b_row, depth;
    T *copy; /* receives the vectors of b in rows of PANEL */
} k_loop;

/* rows x vectors sums, from element (i, j) of the block on. */
static FNN_INLINE void tile(const int rows, const int vectors, const int copying, const store_to *to, int64_t i,
                            int64_t j, const k_loop *s)
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
    for (int64_t steps_left = s->depth; steps_left > 0; steps_left--, a += a_col, b += b_row) {
        V bv[MOST_VECTORS];
        FNN_UNROLL(16)
        for (int v = 0; v < vectors; v++) bv[v] = v_load(b + v * VL);
        if (copying) {
            FNN_PREFETCH(b + COPY_AHEAD * b_row);
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

/* One compiled tile per tile_rows; those that copy b are the first of several micro-panels, to which tile_rows() gives
 * 4 rows or more. */
static void tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
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
static void wide_tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
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
static void edge_tile(int64_t rows, int64_t columns, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
    T c[MR * NR], z[MR * NR], start[MR * NR] = {0}, bias[MR + NR] = {0};
    const int64_t at = place(to, i, j);
    store_to edge = *to;
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

/* The height of the next tile of `rows_left` rows: 7 to 9 rows make two tiles of about a half, as 1 to 3 rows have too
 * few chains to be fast. */
static int64_t tile_rows(int64_t rows_left)
{
    return rows_left <= MR ? rows_left : rows_left < MR + 4 ? (rows_left + 1) / 2 : MR;
}

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
