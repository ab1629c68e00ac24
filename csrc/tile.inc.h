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
 * A. A tile is `rows` broadcast elements of a against `vectors` vectors of b, which may lie in several panels. Its
 *    size is the ISA's: as many sums as there are registers beside the operands. The register loops carry an unroll
 *    pragma; without it gcc keeps the sums in memory (a third of the speed).
 * B. Bias, relu and leaky_relu are applied in registers, every other activation by its ordinary loop on the finished
 *    rows while they are in L1: fused and unfused have the same bits.
 */

enum { NR = NV * VL, PANEL = FNN_PANEL, TALLEST = 8, WIDEST = 4 };
/* What an ISA's table may not change without the code. */
_Static_assert(PANEL % NR == 0 || NR % PANEL == 0, "a tile lies within a panel or consists of panels");
_Static_assert(PANEL % VL == 0, "a vector lies within a panel");
_Static_assert((int)MR <= (int)TALLEST, "HEIGHTS() has tiles of 1 to TALLEST rows");
_Static_assert((int)NV <= (int)WIDEST, "last_tile_of() has tiles of up to WIDEST vectors");
_Static_assert(NC % NR == 0 && NC % PANEL == 0 && NC_MOST % NC == 0,
               "a block of columns consists of whole tiles and panels");
_Static_assert(FNN_K_CHUNK % THIN_K == 0, "the parts of a thin product end where a chunk ends");

/* Where vector v of a row stands whose panels are `panel` apart. In a matrix they are PANEL apart. */
static FNN_INLINE int64_t across(int v, int64_t panel) { return v * VL / PANEL * panel + v * VL % PANEL; }

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
    const fnn_derivative *derivative; /* what finished rows in panels are multiplied with; NULL: nothing */
    const T *fetched;                 /* a matrix like c whose lines are fetched meanwhile; NULL: none */
} store_to;

static FNN_INLINE int64_t place(const store_to *to, int64_t i, int64_t j)
{
    return to->panel ? i * PANEL + j / PANEL * to->panel + j % PANEL : i * to->row + j;
}

/* The steps of a tile: element (i, p) of a is broadcast from a + i * a_row + p * a_col, or, in panels, from a + i * a_row +
 * p / PANEL * a_panel + p % PANEL * a_col; the vectors of b at step p stand from b + p * b_row on, in panels `panel` apart. */
typedef struct {
    const T *a, *b;
    int64_t a_row, a_col;
    int64_t a_panel; /* 0: a is no panels */
    int64_t b_row, panel, depth;
    T *copy;       /* receives the vectors of b, then rows of a matrix, in panels `panel` apart */
    int64_t lanes; /* of the last vector of b that exist, at an edge */
} k_loop;

/* Whether b is read from panels, all of them or up to an edge within a vector, or from rows of a matrix and perhaps copied
 * into panels. */
enum source { IN_PANELS, TO_EDGE, IN_ROWS, COPYING };

static FNN_INLINE V load_lanes(const T *p, int part, int64_t lanes)
{
    return part ? v_load_part(p, lanes, 0) : v_load(p);
}

static FNN_INLINE void store_lanes(T *p, V a, int part, int64_t lanes)
{
    if (part)
        v_store_part(p, a, lanes);
    else
        v_store(p, a);
}

/* rows x vectors sums, from element (i, j) of the block on. */
static FNN_INLINE void tile(const int rows, const int vectors, const enum source source, const store_to *to, int64_t i,
                            int64_t j, const k_loop *s)
{
    V sum[MR][MOST_VECTORS];
    const int64_t lanes = s->lanes;
#define PART (source == TO_EDGE && v == vectors - 1)
#define EACH(...)                                                                                                      \
    FNN_UNROLL(8)                                                                                                      \
    for (int r = 0; r < rows; r++) {                                                                                   \
        FNN_UNROLL(16)                                                                                                 \
        for (int v = 0; v < vectors; v++) __VA_ARGS__;                                                                 \
    }
    EACH(sum[r][v] = v_set1(0))
    if (to->start) EACH(sum[r][v] = load_lanes(to->start + (i + r) * to->start_row + j + v * VL, PART, lanes))
    const int64_t row = to->row, at = place(to, i, j), c_panel = to->panel ? to->panel : PANEL;
    T *const c = to->c + at;
    EACH(if (v * sizeof(V) % 64 == 0) FNN_PREFETCH(c + r * row + across(v, c_panel)))
    if (to->fetched) EACH(if (v * sizeof(V) % 64 == 0) FNN_PREFETCH(to->fetched + at + r * row + v * VL))

    const int64_t a_row = s->a_row, a_col = s->a_col, b_row = s->b_row,
                  b_panel = source == IN_PANELS || source == TO_EDGE ? s->panel : PANEL;
    const T *a = s->a, *b = s->b;
    T *copy = s->copy;
    for (int64_t steps_left = s->depth, run; steps_left > 0; steps_left -= run, a += s->a_panel - PANEL * a_col) {
        run = s->a_panel && steps_left > PANEL ? PANEL : steps_left;
        for (int64_t step = run; step > 0; step--, a += a_col, b += b_row) {
            V bv[MOST_VECTORS];
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) bv[v] = load_lanes(b + across(v, b_panel), PART, lanes);
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) {
                const int64_t ahead = source == COPYING ? COPY_AHEAD : AHEAD;
                if (v * sizeof(V) % 64 == 0) FNN_PREFETCH(b + ahead * b_row + across(v, b_panel));
                if (source == COPYING) v_store(copy + across(v, s->panel), bv[v]);
            }
            if (source == COPYING) copy += PANEL;
            FNN_UNROLL(8)
            for (int r = 0; r < rows; r++) {
                V av = v_set1(a[r * a_row]);
                FNN_UNROLL(16)
                for (int v = 0; v < vectors; v++) sum[r][v] = v_madd(av, bv[v], sum[r][v]);
            }
        }
    }

    if (to->add) EACH(sum[r][v] = v_add(load_lanes(c + r * row + across(v, c_panel), PART, lanes), sum[r][v]))
    if (to->bias && to->bias_of_rows) EACH(sum[r][v] = v_add(sum[r][v], v_set1(to->bias[i + r])))
    if (to->bias && !to->bias_of_rows)
        EACH(sum[r][v] = v_add(sum[r][v], load_lanes(to->bias + j + v * VL, PART, lanes)))
    if (to->z) EACH(store_lanes(to->z + at + r * row + across(v, c_panel), sum[r][v], PART, lanes))
    if (to->activation != FNN_identity) {
        const row_params p = load_params(to->params);
        if (to->activation == FNN_relu)
            EACH(sum[r][v] = relu_v(sum[r][v], p))
        else
            EACH(sum[r][v] = leaky_relu_v(sum[r][v], p))
    }
    EACH(store_lanes(c + r * row + across(v, c_panel), sum[r][v], PART, lanes))
#undef EACH
#undef PART
}

/* clang-format off */
/* One compiled tile for each number of rows, as a switch over `rows`: those of `least` to MR rows. */
#define HEIGHT(r, least, vectors, source)                                                                              \
    case r:                                                                                                            \
        if (least <= r && r <= MR) tile(r, vectors, source, to, i, j, s);                                              \
        break;
#define HEIGHTS(...)                                                                                                   \
    switch (rows) {                                                                                                    \
        HEIGHT(1, __VA_ARGS__) HEIGHT(2, __VA_ARGS__) HEIGHT(3, __VA_ARGS__) HEIGHT(4, __VA_ARGS__)                    \
        HEIGHT(5, __VA_ARGS__) HEIGHT(6, __VA_ARGS__) HEIGHT(7, __VA_ARGS__) HEIGHT(8, __VA_ARGS__)                    \
    }
/* clang-format on */

static void tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
    HEIGHTS(1, NV, IN_PANELS)
}

/* A tile of fewer than NR columns, which end with s->lanes lanes of a vector. */
static FNN_INLINE void last_tile(const int vectors, int64_t rows, const store_to *to, int64_t i, int64_t j,
                                 const k_loop *s)
{
    if (vectors < NV && s->lanes == VL)
        HEIGHTS(1, vectors, IN_PANELS)
    else
        HEIGHTS(1, vectors, TO_EDGE)
}

/* A tile that copies b, whole panels of it: the first of several micro-panels, to which tile_rows() gives more than half of
 * MR. */
/* clang-format off */
static FNN_INLINE void copying_tile(const int vectors, int64_t rows, const store_to *to, int64_t i, int64_t j,
                                    const k_loop *s)
{
    HEIGHTS(MR / 2 + 1, vectors, COPYING)
}

/* Calls f for as many vectors as hold `columns` columns. */
#define FOR_VECTORS(f)                                                                                                 \
    switch ((columns + VL - 1) / VL) {                                                                                 \
        VECTORS(f, 1) VECTORS(f, 2) VECTORS(f, 3) VECTORS(f, 4)                                                        \
    }
#define VECTORS(f, vectors)                                                                                            \
    case vectors:                                                                                                      \
        if (vectors <= NV) f(vectors, rows, to, i, j, s);                                                              \
        break;
/* clang-format on */

static void last_tile_of(int64_t rows, int64_t columns, const store_to *to, int64_t i, int64_t j, k_loop *s)
{
    s->lanes = (columns - 1) % VL + 1;
    FOR_VECTORS(last_tile)
}

static void copying_tile_of(int64_t rows, int64_t columns, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
    FOR_VECTORS(copying_tile)
}

/* The tile of a product of so few rows, whose columns are rows of a matrix. */
static void wide_tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
#define WIDE(r) HEIGHT(r, 1, wide_vectors[r - 1], IN_ROWS)
    switch (rows) {
        WIDE(1) WIDE(2) WIDE(3) WIDE(4) WIDE(5) WIDE(6) WIDE(7) WIDE(8)
    }
#undef WIDE
}

/* The height of the next tile of `rows_left` rows: up to three rows more than MR make two tiles of about a half, as 1 to
 * 3 rows have too few chains to be fast. */
static int64_t tile_rows(int64_t rows_left)
{
    return rows_left <= MR ? rows_left : rows_left < MR + 4 ? (rows_left + 1) / 2 : MR;
}

/* The width of the next tile of `columns_left` columns: four panels left make two and two, as a tile of one vector loads an
 * element of a for each multiply-add. */
static int64_t tile_columns(int64_t columns_left)
{
    if (NR == 3 * PANEL && columns_left > NR && columns_left <= NR + PANEL) return NR - PANEL;
    return columns_left < NR ? columns_left : NR;
}

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
