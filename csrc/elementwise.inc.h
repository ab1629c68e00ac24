/*
 * elementwise.inc.h: the loops of activations.h, prelu, maxout, dropout and random words.
 *
 * Design
 * A. Full vectors and the tail go through the same expression: the tail is a partial load and store.
 * B. An expression is passed as a function and inlined into its loop; the macros below only name functions.
 * C. Exponentials are computed for a tile of elements before what is made of them: the chain of operations of an
 *    activation is longer than what a processor looks ahead, and either half lets it work on several vectors.
 * D. A step of a loop loads all its vectors before it stores any, and rows of few operations take many vectors in a
 *    step. A load whose address agrees with that of an earlier store in its last 12 bits waits for it, and where y
 *    stands shortly behind x, modulo 4 KiB, that is the load after each store: arrays of equal size often lie so.
 */

/* The parameters of a row, by value, so that stores to y cannot seem to change them. */
typedef struct {
    double v[FNN_MAX_PARAMS];
} row_params;

static FNN_INLINE row_params load_params(const double *params)
{
    row_params p;
    for (int i = 0; i < FNN_MAX_PARAMS; i++) p.v[i] = params ? params[i] : 0;
    return p;
}

typedef exponential exponent_fn(V x, row_params p);
typedef V expression_fn(V x, exponential e, row_params p);
/* What a loop keeps of an exponential: nothing, as it needs none; the sum of head and tail, rounded to T; or both. */
enum kept { NOTHING, HEAD, HEAD_AND_TAIL };

/* What activations.inc.h is written in. NAME_of is the expression, given the exponential NAME_exponent; the loop takes
 * NAME_vectors vectors in a step. */
#define LOOP(name, what, vectors)                                                                                      \
    static const enum kept name##_kept = what;                                                                         \
    enum { name##_vectors = vectors };                                                                                 \
    static FNN_INLINE exponential name##_exponent(FNN_UNUSED V x, FNN_UNUSED row_params p)
#define EXPONENT(name, what) LOOP(name, what, 2)
#define FROM_EXPONENT(name)                                                                                            \
    static FNN_INLINE V name##_of(FNN_UNUSED V x, FNN_UNUSED exponential e, FNN_UNUSED row_params p)
#define NARROW_BY(name, vectors)                                                                                       \
    static FNN_INLINE V name##_v(V x, row_params p);                                                                   \
    LOOP(name, NOTHING, vectors) { return (exponential){x, x, x}; }                                                    \
    FROM_EXPONENT(name) { return name##_v(x, p); }                                                                     \
    static FNN_INLINE V name##_v(FNN_UNUSED V x, FNN_UNUSED row_params p)
#define NARROW(name) NARROW_BY(name, STEP)
#define EXTENDED(name)                                                                                                 \
    static FNN_INLINE extended name##_e(W x);                                                                          \
    NARROW_BY(name, 2) { return rounded_once(x, name##_e); }                                                           \
    static FNN_INLINE extended name##_e(W x)

static FNN_INLINE V rounded_once(V x, extended f(W))
{
    extended part[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) part[h] = f(v_widen(x, h));
    return e_rounded(part);
}

#include "activations.inc.h"

/* The exponential that a loop stores; without its tail, the head is rounded for both. */
static FNN_INLINE exponential exponential_at(V x, enum kept kept, exponent_fn *exponent, row_params p)
{
    const exponential e = exponent(x, p);
    return kept == HEAD ? exponential_rounded(e) : e;
}

/* At most VL elements of map(). */
static FNN_INLINE void map_part(T *y, const T *dy, const T *x, int64_t n, enum kept kept, exponent_fn *exponent,
                                expression_fn *f, row_params p)
{
    V xv = v_load_upto(x, n, 0), value = f(xv, exponential_at(xv, kept, exponent, p), p);
    v_store_upto(y, dy ? v_mul(v_load_upto(dy, n, 0), value) : value, n);
}

enum { MOST_STEP = STEP > 4 ? STEP : 4 }; /* vectors in a step; a longer array costs mish on AVX2 a twentieth */

/* y = f(x), or dy f'(x) where dy is given, several vectors at a time: the compiler interleaves their chains of
 * operations. */
static FNN_INLINE void map(T *y, const T *dy, const T *x, int64_t n, int vectors, enum kept kept, exponent_fn *exponent,
                           expression_fn *f, row_params p)
{
    const int64_t step = vectors * VL;
    T power[EXP_TILE], head[EXP_TILE], tail[EXP_TILE];
    const int64_t first = n < ALIGNED ? 0 : (int64_t)(-(uintptr_t)y % sizeof(V) / sizeof(T));
    const int64_t whole = n - (n - first) % step, tile = kept ? EXP_TILE : whole;
    if (first) map_part(y, dy, x, first, kept, exponent, f, p);
    for (int64_t i = first; i < whole; i += tile) {
        const int64_t end = whole - i < tile ? whole : i + tile;
        for (int64_t j = i; kept && j < end; j += 2 * VL) {
            exponential e[2] = {exponential_at(v_load(x + j), kept, exponent, p),
                                exponential_at(v_load(x + j + VL), kept, exponent, p)};
            for (int h = 0; h < 2; h++) {
                const int64_t at = j - i + h * VL;
                v_store(power + at, e[h].power);
                v_store(head + at, e[h].head);
                if (kept == HEAD_AND_TAIL) v_store(tail + at, e[h].tail);
            }
        }
        for (int64_t j = i; j < end; j += step) {
            V value[MOST_STEP];
            FNN_UNROLL(8)
            for (int h = 0; h < vectors; h++) {
                const int64_t k = j + h * VL, at = k - i;
                V xk = v_load(x + k);
                exponential e = {xk, xk, xk};
                if (kept) e = (exponential){v_load(power + at), v_load(head + at), xk};
                if (kept == HEAD_AND_TAIL) e.tail = v_load(tail + at);
                value[h] = f(xk, e, p);
            }
            FNN_UNROLL(8)
            for (int h = 0; dy && h < vectors; h++) value[h] = v_mul(v_load(dy + j + h * VL), value[h]);
            FNN_UNROLL(8)
            for (int h = 0; h < vectors; h++) v_store(y + j + h * VL, value[h]);
        }
    }
    for (int64_t i = whole; i < n; i += VL) map_part(y + i, dy ? dy + i : NULL, x + i, n - i, kept, exponent, f, p);
}

/* map() with the parameters given. Where the first of a row is 1 by default, its defaults get a loop of their own,
 * without the operations and tests that they save. */
static FNN_INLINE void map_row(T *y, const T *dy, const T *x, int64_t n, int vectors, enum kept kept,
                               exponent_fn *exponent, expression_fn *f, const fnn_activation_row *row,
                               const double *params)
{
    const row_params p = load_params(params), defaults = {{1, row->params[1].value}};
    if (row->params[0].value == 1 && p.v[0] == 1 && p.v[1] == defaults.v[1])
        map(y, dy, x, n, vectors, kept, exponent, f, defaults);
    else
        map(y, dy, x, n, vectors, kept, exponent, f, p);
}

/* The loops of a row: NAME_forward, NAME_backward_x and, where it saves y, NAME_backward_y. */
#define FORWARD_LOOP(name)                                                                                             \
    static void FNN(name##_forward)(void *y, const void *x, int64_t n, const double *params)                           \
    {                                                                                                                  \
        map_row(y, NULL, x, n, name##_vectors, name##_kept, name##_exponent, name##_of, &name##_row, params);          \
    }
#define BACKWARD_LOOP(name, loop, f)                                                                                   \
    static void FNN(loop)(void *dx, const void *dy, const void *saved, int64_t n, const double *params)                \
    {                                                                                                                  \
        map_row(dx, dy, saved, n, f##_vectors, f##_kept, f##_exponent, f##_of, &name##_row, params);                   \
    }
#define BACKWARD_Y_LOOP_X(name)
#define BACKWARD_Y_LOOP_Y(name) BACKWARD_LOOP(name, name##_backward_y, name##_dy)
#define BACKWARD_Y_LOOP_Y_IF_NONNEGATIVE BACKWARD_Y_LOOP_Y
#define LOOPS(name, saves, ...)                                                                                        \
    static const fnn_activation_row name##_row = {__VA_ARGS__};                                                        \
    FORWARD_LOOP(name)                                                                                                 \
    BACKWARD_LOOP(name, name##_backward_x, name##_dx)                                                                  \
    BACKWARD_Y_LOOP_##saves(name)
FNN_ACTIVATIONS(LOOPS)

/* One row of prelu; weight points at `features` values, or at the shared one. y = x > 0 ? x : weight x */
static FNN_INLINE V prelu_v(V x, V w) { return v_select(v_lt(v_set1(0), x), x, v_mul(w, x)); }

static void prelu_row(T *y, const T *x, const T *weight, int64_t n, int shared)
{
    for (int64_t i = 0; i < n; i += VL) {
        V w = shared ? v_set1(*weight) : v_load_upto(weight + i, n - i, 0);
        v_store_upto(y + i, prelu_v(v_load_upto(x + i, n - i, 0), w), n - i);
    }
}

static void FNN(prelu_forward)(void *y_, const void *x_, const void *weight, int64_t batch, int64_t features,
                               int shared)
{
    T *y = y_;
    const T *x = x_;
    if (shared) {
        features *= batch;
        batch = 1;
    }
    for (int64_t i = 0; i < batch; i++) prelu_row(y + i * features, x + i * features, weight, features, shared);
}

/* One row of prelu's backward pass, adding to sums (float64, padded to whole vectors).
 * y = x > 0 ? x : weight x, so dx = dy (x > 0 ? 1 : weight) and dweight = x > 0 ? 0 : dy x, whatever dy and x are
 * there: both factors become 0, as 0 times infinity would be NaN. */
static void prelu_backward_row(T *dx, double *sums, const T *dy, const T *x, const T *weight, int64_t n, int shared)
{
    for (int64_t i = 0; i < n; i += VL) {
        V w = shared ? v_set1(*weight) : v_load_upto(weight + i, n - i, 0);
        V g = v_load_upto(dy + i, n - i, 0), xi = v_load_upto(x + i, n - i, 0);
        VM positive = v_lt(v_set1(0), xi);
        v_store_upto(dx + i, v_mul(g, v_select(positive, v_set1(1), w)), n - i);
        g = v_select(positive, v_set1(0), g);
        xi = v_select(positive, v_set1(0), xi);
        for (int h = 0; h < V_PARTS; h++) {
            double *s = sums + i + h * WL;
            w_store(s, w_madd(v_widen(g, h), v_widen(xi, h), w_load(s)));
        }
    }
}

static void FNN(prelu_backward)(void *dx_, void *dweight_, double *sums, const void *dy_, const void *x_,
                                const void *weight, int64_t batch, int64_t features, int shared)
{
    T *dx = dx_, *dweight = dweight_;
    const T *dy = dy_, *x = x_;
    int64_t n = batch * features, row = shared ? FNN_ROW_LANES : features;
    for (int64_t i = 0; i < n; i += row)
        prelu_backward_row(dx + i, sums, dy + i, x + i, weight, n - i < row ? n - i : row, shared);
    if (shared) {
        lanes sum;
        for (int l = 0; l < FNN_ROW_LANES / WL; l++) sum.w[l] = w_load(sums + l * WL);
        dweight[0] = (T)lanes_total(&sum);
    } else {
        for (int64_t j = 0; j < features; j++) dweight[j] = (T)sums[j];
    }
}

static void FNN(maxout_forward)(void *y_, int64_t *index, const void *x_, int64_t n, int64_t pieces)
{
    T *y = y_;
    const T *x = x_;
    for (int64_t u = 0; u < n; u++, x += pieces) {
        int64_t best = 0;
        for (int64_t p = 1; p < pieces && x[best] == x[best]; p++)
            if (x[p] > x[best] || x[p] != x[p]) best = p;
        y[u] = x[best];
        if (index) index[u] = best;
    }
}

static void FNN(maxout_backward)(void *dx_, const void *dy_, const int64_t *index, int64_t n, int64_t pieces)
{
    T *dx = dx_;
    const T *dy = dy_;
    for (int64_t u = 0; u < n; u++, dx += pieces)
        for (int64_t p = 0; p < pieces; p++) dx[p] = p == index[u] ? dy[u] : 0;
}

enum { PHILOX_BLOCKS = 2 * (UL > 8 ? UL : 8), PHILOX_WORDS = 4 * PHILOX_BLOCKS };

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) for PHILOX_BLOCKS consecutive
 * counters {block, block >> 32, step, layer}: word w of block b goes to out[4 b + w]. The vectors of a round are
 * independent and hide the latency of its multiplications. */
static void philox(uint32_t out[PHILOX_WORDS], uint64_t first_block, uint32_t step, uint32_t layer, uint64_t seed)
{
    enum { VECTORS = PHILOX_BLOCKS / UL };
    uint32_t word[4][PHILOX_BLOCKS], key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    U c[VECTORS][4];
    for (int b = 0; b < PHILOX_BLOCKS; b++) {
        word[0][b] = (uint32_t)(first_block + (uint64_t)b);
        word[1][b] = (uint32_t)((first_block + (uint64_t)b) >> 32);
    }
    for (int v = 0; v < VECTORS; v++) {
        c[v][0] = u_load(word[0] + v * UL);
        c[v][1] = u_load(word[1] + v * UL);
        c[v][2] = u_set1(step);
        c[v][3] = u_set1(layer);
    }
    for (int round = 0; round < 10; round++) {
        FNN_UNROLL(16)
        for (int v = 0; v < VECTORS; v++) {
            U high0, low0 = u_mul_wide(c[v][0], 0xD2511F53, &high0);
            U high2, low2 = u_mul_wide(c[v][2], 0xCD9E8D57, &high2);
            c[v][0] = u_xor(u_xor(high2, c[v][1]), u_set1(key0));
            c[v][1] = low2;
            c[v][2] = u_xor(u_xor(high0, c[v][3]), u_set1(key1));
            c[v][3] = low0;
        }
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    for (int v = 0; v < VECTORS; v++)
        for (int w = 0; w < 4; w++) u_store(word[w] + v * UL, c[v][w]);
    for (int b = 0; b < PHILOX_BLOCKS; b++)
        for (int w = 0; w < 4; w++) out[4 * b + w] = word[w][b];
}

/* The PHILOX_WORDS words among which that of `element` stands, at words[*start]. Returns for how many of the n elements
 * from there on they are. */
static int64_t words_around(uint32_t words[PHILOX_WORDS], int64_t *start, uint64_t seed, uint32_t step, uint32_t layer,
                            int64_t element, int64_t n)
{
    *start = element % PHILOX_WORDS;
    philox(words, (uint64_t)(element - *start) / 4, step, layer, seed);
    return n < PHILOX_WORDS - *start ? n : PHILOX_WORDS - *start;
}

static void FNN(random_words)(uint32_t *to, uint64_t seed, uint32_t step, uint32_t layer, int64_t first, int64_t n)
{
    uint32_t words[PHILOX_WORDS];
    for (int64_t i = 0, count, start; i < n; i += count) {
        count = words_around(words, &start, seed, step, layer, first + i, n - i);
        memcpy(to + i, words + start, (size_t)count * sizeof *to);
    }
}

/* y = x scale where the sign of keep is set, else 0; at most VL elements */
static FNN_INLINE void dropout_part(T *y, const T *x, const T *keep, int64_t left, T scale)
{
    const V kept = v_mul(v_load_upto(x, left, 0), v_set1(scale));
    v_store_upto(y, v_select_sign(v_load_upto(keep, left, 0), kept, v_set1(0)), left);
}

static void FNN(dropout)(void *y_, const void *x_, double p, uint64_t seed, uint32_t step, uint32_t layer,
                         int64_t first, int64_t n)
{
    T *y = y_;
    const T *x = x_;
    const T scale = (T)(1 / (1 - p));
    const uint32_t all = p == 0 ? UINT32_MAX : 0;                           /* with p = 0 even word 0 is kept */
    const uint32_t dropped = p == 0 ? 0 : (uint32_t)(ceil(p * 0x1p32) - 1); /* words up to this one are dropped */
    uint32_t words[PHILOX_WORDS];
    T keep[PHILOX_WORDS]; /* the sign says which: a compiler vectorises this comparison, but not one that stores to y */
    for (int64_t i = 0, count, start; i < n; i += count) {
        count = words_around(words, &start, seed, step, layer, first + i, n - i);
        for (int j = 0; j < PHILOX_WORDS; j++) keep[j] = (words[j] | all) > dropped ? -1 : 0;
        int64_t j = 0;
        for (; j + VL <= count; j += VL) dropout_part(y + i + j, x + i + j, keep + start + j, VL, scale);
        if (j < count) dropout_part(y + i + j, x + i + j, keep + start + j, count - j, scale);
    }
}
