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

enum { LINE = 64 / sizeof(T) }; /* numbers of a line of memory */
enum { NR = NV * VL, PANEL = FNN_PANEL, TALLEST = 8, WIDEST = 4 };
/* What an ISA's table may not change without the code. */
_Static_assert(PANEL % NR == 0 || NR % PANEL == 0, "a tile lies within a panel or consists of panels");
_Static_assert(PANEL % VL == 0, "a vector lies within a panel");
_Static_assert((int)MR <= (int)TALLEST, "HEIGHTS() has tiles of 1 to TALLEST rows");
_Static_assert((int)NV <= (int)WIDEST, "last_tile_of() has tiles of up to WIDEST vectors");
_Static_assert(NC % NR == 0 && NC % PANEL == 0 && NC_MOST % NC == 0,
               "a block of columns consists of whole tiles and panels");
_Static_assert(FNN_K_CHUNK % THIN_K == 0, "the parts of a thin product end where a chunk ends");

/* Where column j >= 0 of a row stands whose panels are `panel` apart, and vector v of it. In a matrix they are PANEL apart. */
static FNN_INLINE int64_t along_row(int64_t j, int64_t panel)
{
    return (int64_t)((uint64_t)j / PANEL) * panel + (int64_t)((uint64_t)j % PANEL);
}
static FNN_INLINE int64_t across(int v, int64_t panel) { return along_row((int64_t)v * VL, panel); }

/* What becomes of the sums of a block: element (i, j) of c stands at place(to, i, j). A matrix has rows `row` apart and
 * `panel` = PANEL; in panels, `panel` elements apart, the rows of a panel are PANEL apart. */
typedef struct {
    T *c, *z; /* z like c, or NULL */
    int64_t row, panel;
    const T *start; /* sums of the same chunk to go on from, (i, j) at start + i * start_row + j; NULL: +0 */
    int64_t start_row;
    int plain;        /* the sums are stored as they are: nothing of the next five */
    int add;          /* c holds the sum of the chunks before */
    const T *bias;    /* per column, or per row of the block; NULL: none */
    int bias_of_rows; /* which */
    int activation;   /* FNN_identity, FNN_relu or FNN_leaky_relu */
    int loop;         /* an activation that the ordinary loop applies to the finished rows; FNN_identity: none */
    const double *params;
    const fnn_derivative *derivative; /* what finished rows in panels are multiplied with; NULL: nothing */
    const T *fetched;                 /* what lies like c, or c itself, fetched meanwhile; NULL: nothing */
    T rate;                           /* c += rate times the finished sums; 0: c = the sums */
} store_to;

static FNN_INLINE int64_t place(const store_to *to, int64_t i, int64_t j)
{
    return i * to->row + along_row(j, to->panel);
}

/* The steps of a tile: element (i, p) of a is broadcast from a + i * a_row + p * a_col, where a leaps `past` elements further
 * after every `run` steps, from one of its panels to the next; the vectors of b at step p stand from b + p * b_row on, in
 * panels `panel` apart. */
typedef struct {
    const T *a, *b;
    int64_t a_row, a_col, run, past;
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

#define PART (source == TO_EDGE && v == vectors - 1)

/* Adds the products of all steps to the sums. */
static FNN_INLINE void add_up(V sum[MR][MOST_VECTORS], const int rows, const int vectors, const enum source source,
                              const k_loop s, const T *b)
{
    const int64_t a_row = s.a_row, a_col = s.a_col, b_row = s.b_row, most = s.run, lanes = s.lanes,
                  b_panel = source == IN_PANELS || source == TO_EDGE ? s.panel : PANEL;
    const T *a = s.a;
    T *copy = s.copy;
    for (int64_t steps_left = s.depth; steps_left > 0; steps_left -= most, a += s.past)
        for (int64_t step = steps_left < most ? steps_left : most; step > 0; step--, a += a_col, b += b_row) {
            V bv[MOST_VECTORS];
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) bv[v] = load_lanes(b + across(v, b_panel), PART, lanes);
            FNN_UNROLL(16)
            for (int v = 0; v < vectors; v++) {
                const int64_t ahead = source == COPYING ? COPY_AHEAD : AHEAD;
                if (v * sizeof(V) % 64 == 0) FNN_PREFETCH(b + ahead * b_row + across(v, b_panel));
                if (source == COPYING) v_store(copy + across(v, s.panel), bv[v]);
            }
            if (source == COPYING) copy += PANEL;
            if (A_AHEAD > 0 && a_row == 1) FNN_PREFETCH(a + A_AHEAD * a_col);
            FNN_UNROLL(8)
            for (int r = 0; r < rows; r++) {
                V av = v_set1(a[r * a_row]);
                FNN_UNROLL(16)
                for (int v = 0; v < vectors; v++) sum[r][v] = v_madd(av, bv[v], sum[r][v]);
            }
        }
}

/* rows x vectors sums, from element (i, j) of the block on, with the vectors of b from b on. */
static FNN_INLINE void tile(const int rows, const int vectors, const enum source source, const store_to *to, int64_t i,
                            int64_t j, const k_loop *s, const T *b)
{
    V sum[MR][MOST_VECTORS];
    const int64_t lanes = s->lanes, row = to->row, panel = to->panel, first = place(to, i, j);
    /* For each vector v of each row r of sums; `at`, where there is one, goes along in rows as far apart as those of c. */
#define EACH_THEN(next, ...)                                                                                           \
    FNN_UNROLL(8)                                                                                                      \
    for (int r = 0; r < rows; r++, next) {                                                                             \
        FNN_UNROLL(16)                                                                                                 \
        for (int v = 0; v < vectors; v++) __VA_ARGS__;                                                                 \
    }
#define EACH(...) EACH_THEN((void)0, __VA_ARGS__)
#define EACH_AT(from, ...)                                                                                             \
    {                                                                                                                  \
        T *at = (from) + first;                                                                                        \
        EACH_THEN(at += row, __VA_ARGS__)                                                                              \
    }
    if (to->fetched) EACH_AT((T *)to->fetched, if (v * sizeof(V) % 64 == 0) FNN_PREFETCH(at + across(v, panel)))
    EACH(sum[r][v] = v_set1(0))
    if (to->start) EACH(sum[r][v] = load_lanes(to->start + (i + r) * to->start_row + j + v * VL, PART, lanes))
    k_loop steps = *s;
    if (source == IN_PANELS && VL > 1 && rows > 1 && s->a_row == 1) {
        steps.a_row = 1; /* as a constant, which needs no registers for the rows of a */
        add_up(sum, rows, vectors, source, steps, b);
    } else
        add_up(sum, rows, vectors, source, steps, b);
    if (!to->plain) {
        if (to->add) EACH_AT(to->c, sum[r][v] = v_add(load_lanes(at + across(v, panel), PART, lanes), sum[r][v]))
        if (to->bias && to->bias_of_rows) EACH(sum[r][v] = v_add(sum[r][v], v_set1(to->bias[i + r])))
        if (to->bias && !to->bias_of_rows)
            EACH(sum[r][v] = v_add(sum[r][v], load_lanes(to->bias + j + v * VL, PART, lanes)))
        if (to->z) EACH_AT(to->z, store_lanes(at + across(v, panel), sum[r][v], PART, lanes))
        if (to->activation != FNN_identity) {
            const row_params p = load_params(to->params);
            if (to->activation == FNN_relu)
                EACH(sum[r][v] = relu_v(sum[r][v], p))
            else
                EACH(sum[r][v] = leaky_relu_v(sum[r][v], p))
        }
    }
    if (to->rate != 0)
        EACH_AT(to->c, sum[r][v] = v_fma(v_set1(to->rate), sum[r][v], load_lanes(at + across(v, panel), PART, lanes)))
    EACH_AT(to->c, store_lanes(at + across(v, panel), sum[r][v], PART, lanes))
#undef EACH_AT
#undef EACH
#undef EACH_THEN
}
#undef PART

/* clang-format off */
/* One compiled tile for each number of rows, as a switch over `rows`: those of `least` to MR rows. */
#define HEIGHT(r, least, tiles, ...)                                                                                   \
    case r:                                                                                                            \
        if (least <= r && r <= MR) tiles(r, __VA_ARGS__);                                                              \
        break;
#define HEIGHTS(...)                                                                                                   \
    switch (rows) {                                                                                                    \
        HEIGHT(1, __VA_ARGS__) HEIGHT(2, __VA_ARGS__) HEIGHT(3, __VA_ARGS__) HEIGHT(4, __VA_ARGS__)                    \
        HEIGHT(5, __VA_ARGS__) HEIGHT(6, __VA_ARGS__) HEIGHT(7, __VA_ARGS__) HEIGHT(8, __VA_ARGS__)                    \
    }
#define ONE(rows, vectors, source) tile(rows, vectors, source, to, i, j, s, s->b)
#define SIDE_BY_SIDE(rows, vectors, source)                                                                            \
    for (; t < count * NR; t += NR) tile(rows, vectors, source, to, i, j + t, s, s->b + along_row(t, s->panel))
/* clang-format on */

/* `count` tiles of NR columns. That what they read does not overlap what they write spares a tile most of its loads. */
FNN_APART static void tiles_of(int64_t rows, const store_to *restrict to, int64_t i, int64_t j, int64_t count,
                               const k_loop *restrict s)
{
    int64_t t = 0;
    HEIGHTS(1, SIDE_BY_SIDE, NV, IN_PANELS)
}

/* A tile of fewer than NR columns, which end with s->lanes lanes of a vector. Whole vectors have code of their own where
 * that is faster. */
static FNN_INLINE void last_tile(const int vectors, int64_t rows, const store_to *to, int64_t i, int64_t j,
                                 const k_loop *s)
{
    if (VL == 1 || (!V_MASKED && vectors < NV && s->lanes == VL))
        HEIGHTS(1, ONE, vectors, IN_PANELS)
    else
        HEIGHTS(1, ONE, vectors, TO_EDGE)
}

/* clang-format off */
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

FNN_APART static void last_tile_of(int64_t rows, int64_t columns, const store_to *to, int64_t i, int64_t j, k_loop *s)
{
    s->lanes = (columns - 1) % VL + 1;
    FOR_VECTORS(last_tile)
}

/* A tile of NR columns that copies b: the first of several micro-panels, to which tile_rows() gives more than half of MR. */
static void copying_tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
    HEIGHTS(MR / 2 + 1, ONE, NV, COPYING)
}

/* The tile of a product of so few rows, whose columns are rows of a matrix. */
static void wide_tile_of(int64_t rows, const store_to *to, int64_t i, int64_t j, const k_loop *s)
{
#define WIDE(r) HEIGHT(r, 1, ONE, wide_vectors[r - 1], IN_ROWS)
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

/* How many tiles of NR columns come before one of another width. */
static int64_t whole_tiles(int64_t columns)
{
    const int64_t tiles = columns / NR, rest = columns % NR;
    return tiles - (NR == 3 * PANEL && tiles > 0 && rest > 0 && rest <= PANEL);
}

static int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
