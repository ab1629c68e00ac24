/*
 * softmax_columns.inc.h: softmax and cross-entropy of few classes, a row of the batch per lane; before it the formulas
 * shared with softmax.inc.h, which takes all other rows, and whose bits these are.
 *
 * Design
 * A. With at most 16 classes each virtual lane of a row reduction (base.inc.h) holds one number at most, and its fold is a
 *    fixed tree over the classes: here one of vectors, in which lane r belongs to row r. No lane waits for a sum across a
 *    vector, and none is empty.
 * B. VL rows are transposed on the way in and out, through a tile: tile[j] is class j of all of them. Fewer rows are
 *    padded. A block that holds a row without a finite maximum, or with a huge one, is refused and goes by rows.
 * C. In panels, where a compiled network has them, rows lie so already.
 */

/* m from which on m + V_EXP_IS_ZERO is too coarse to clamp with */
#define HUGE_MAX 0x1p20

/* e^(x - m) 2^EXP_SCALE of `vectors` vectors side by side, for x <= m, rounded to T, where m is not huge. The difference is
 * exact, as e^d would magnify its rounding error |d| times. */
static FNN_INLINE void exp_below(V *e, const V *x, V m, const int vectors)
{
    const V lowest = v_add(m, v_set1(V_EXP_IS_ZERO));
    pair d[EXP_VECTORS];
    FNN_UNROLL(16)
    for (int v = 0; v < vectors; v++) d[v] = p_exact_difference(v_max(lowest, x[v]), m);
    v_exp_scaled_rounded(e, d, vectors);
}

/* factor e, of an exponential that is scaled */
static FNN_INLINE V exp_times(V e, pair factor)
{
    return v_mul(v_fma(e, factor.hi, v_mul(e, factor.lo)), v_set1(EXP_DOWN));
}

enum { FEW_CLASSES = FNN_ROW_LANES };

/* Whether this way pays: for few classes, where there are rows for a quarter of the lanes. */
static FNN_INLINE int has_columns(int64_t batch, int64_t classes)
{
    return 0 < classes && classes <= FEW_CLASSES && 4 * batch >= VL;
}

/* VL rows of few classes; a lane of any member is one row's. */
typedef struct {
    T tile[FEW_CLASSES][VL]; /* x, and then the exponentials */
    V max;
    W rest[V_PARTS]; /* of all exponentials but one of them that are 1, as in softmax.inc.h */
} columns;

/* Classes there are none of are -inf, up to whole groups of EXP_VECTORS. */
static FNN_INLINE void pad_columns(columns *s, int64_t n)
{
    for (int64_t j = n; j % EXP_VECTORS; j++) v_store(s->tile[j], v_set1(-INFINITY));
}

/* The tile from `rows` rows, at most VL. */
static void read_columns(columns *s, const T *x, int64_t rows, int64_t n)
{
    T padded[VL * FEW_CLASSES];
    V column[VC];
    if (rows < VL) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, x, (size_t)(rows * n) * sizeof(T));
        x = padded;
    }
    for (int64_t j = 0; n >= VC && j < n; j += VC) {
        const int64_t at = j + VC <= n ? j : n - VC;
        v_load_columns(column, x + at, n);
        for (int c = 0; c < VC; c++) v_store(s->tile[at + c], column[c]);
    }
    for (int64_t j = 0; n < VC && j < n; j++)
        for (int r = 0; r < VL; r++) s->tile[j][r] = x[r * n + j];
    pad_columns(s, n);
}

/* The rows of a tile, one after another: what a vector writes beyond the end of a row, the next row overwrites. */
static void write_columns(T *y, const columns *s, int64_t rows, int64_t n)
{
    T padded[VL * FEW_CLASSES], *to = rows < VL ? padded : y;
    V row[FEW_CLASSES / VL][VC];
    for (int r = 0; r < VL; r += VC) {
        for (int64_t j = 0; j < n; j += VL) v_load_columns(row[j / VL], s->tile[j] + r, VL);
        for (int c = 0; c < VC; c++)
            for (int64_t j = 0, at = (r + c) * n; j < n; j += VL, at += VL)
                v_store_upto(to + at, row[j / VL][c], at + VL <= VL * n ? VL : n - j);
    }
    if (rows < VL) memcpy(y, padded, (size_t)(rows * n) * sizeof(T));
}

/* sum over classes of term[j], folded 8-4-2-1 like lanes */
static FNN_INLINE W fold_columns(W term[FEW_CLASSES], int64_t n)
{
    FNN_UNROLL(4)
    for (int half = FEW_CLASSES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            if (l + half < n) term[l] = w_add(term[l], term[l + half]);
    return term[0];
}

/* The exponentials of the tile; 0 where a row is refused. */
static FNN_INLINE int exp_columns(columns *s, int64_t n)
{
    W term[V_PARTS][FEW_CLASSES];
    V equal = v_set1(0);
    s->max = v_set1(-INFINITY);
    for (int64_t j = 0; j < n; j++) s->max = v_max(v_load(s->tile[j]), s->max);
    if (v_any(v_le(v_set1((T)HUGE_MAX), v_abs(s->max)))) return 0;
    for (int64_t j = 0; j < n; j += EXP_VECTORS) {
        V x[EXP_VECTORS], value[EXP_VECTORS];
        FNN_UNROLL(16)
        for (int v = 0; v < EXP_VECTORS; v++) x[v] = v_load(s->tile[j + v]);
        exp_below(value, x, s->max, EXP_VECTORS);
        FNN_UNROLL(16)
        for (int v = 0; v < EXP_VECTORS; v++) {
            const VM is_max = v_eq(x[v], s->max);
            const V other = v_select(is_max, v_set1(0), value[v]);
            v_store(s->tile[j + v], value[v]);
            equal = v_add(equal, v_select(is_max, v_set1(1), v_set1(0)));
            for (int h = 0; h < V_PARTS; h++) term[h][j + v] = v_widen(other, h);
        }
    }
    for (int h = 0; h < V_PARTS; h++)
        s->rest[h] = w_add(w_mul(fold_columns(term[h], n), w_set1(EXP_DOWN)), w_sub(v_widen(equal, h), w_set1(1)));
    return 1;
}

/* p_constant() of every lane */
static FNN_INLINE pair p_constants(const W a[V_PARTS])
{
    const V hi = v_narrow(a);
    W low[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) low[h] = w_sub(a[h], v_widen(hi, h));
    return (pair){hi, v_narrow(low)};
}

/* softmax of `rows` rows, at most VL; 0, and nothing is written, where a row is refused. */
static int softmax_columns(T *y, const T *x, int64_t rows, int64_t n)
{
    columns s;
    read_columns(&s, x, rows, n);
    if (!exp_columns(&s, n)) return 0;
    W a[V_PARTS];
    for (int h = 0; h < V_PARTS; h++) a[h] = w_div(w_set1(1), w_add(w_set1(1), s.rest[h]));
    const pair factor = p_constants(a);
    for (int64_t j = 0; j < n; j++) v_store(s.tile[j], exp_times(v_load(s.tile[j]), factor));
    write_columns(y, &s, rows, n);
    return 1;
}

/* The labels and weights of VL rows; a row that does not count has the label -1. */
typedef struct {
    T label[VL];
    double weight[VL];
} row_targets;

static FNN_INLINE row_targets targets_of(const fnn_target *target, int64_t first, int64_t rows)
{
    row_targets t;
    for (int r = 0; r < VL; r++) {
        t.weight[r] = r < rows ? row_weight(target, first + r) : 0;
        t.label[r] = t.weight[r] != 0 ? (T)target->labels[first + r] : -1;
    }
    return t;
}

/* scale times the gradient of the rows' losses: w e_j / S, and w (e_j - S) / S = w ((e_j - 1) - rest) / S at the label. */
static void gradient_columns(columns *s, const row_targets *t, double scale, int64_t n)
{
    const V label = v_load(t->label);
    W unit[V_PARTS], at_label[V_PARTS];
    V e = v_set1(0);
    for (int64_t j = 0; j < n; j++) e = v_select(v_eq(label, v_set1((T)j)), v_load(s->tile[j]), e);
    for (int h = 0; h < V_PARTS; h++) {
        const W w = w_mul(w_load(t->weight + h * WL), w_set1(scale));
        unit[h] = w_div(w, w_add(w_set1(1), s->rest[h]));
        at_label[h] = w_sub(w_sub(w_mul(v_widen(e, h), w_set1(EXP_DOWN)), w_set1(1)), s->rest[h]);
        at_label[h] = w_mul(at_label[h], unit[h]);
    }
    const pair factor = p_constants(unit);
    const V own = v_narrow(at_label);
    for (int64_t j = 0; j < n; j++) {
        const V g = v_select(v_eq(label, v_set1((T)j)), own, exp_times(v_load(s->tile[j]), factor));
        v_store(s->tile[j], v_select(v_lt(label, v_set1(0)), v_set1(0), g));
    }
}

/* Cross-entropy of `rows` rows from `first` on, at most VL, whose targets are labels without class weights, and with
 * `differentiates` its gradient in their tile; 0, and nothing is added, where a row is refused. */
FNN_APART static int cross_entropy_tile(double *sum, T *losses, columns *s, const fnn_target *target, double scale,
                                        int64_t first, int64_t rows, int64_t n, int differentiates)
{
    const row_targets t = targets_of(target, first, rows);
    const V label = v_load(t.label);
    V x = v_set1(0);
    for (int64_t j = 0; j < n; j++) x = v_select(v_eq(label, v_set1((T)j)), v_load(s->tile[j]), x);
    if (!exp_columns(s, n)) return 0;
    double loss[VL];
    for (int h = 0; h < V_PARTS; h++) {
        const W cost = w_sub(v_widen(s->max, h), v_widen(x, h));
        w_store(loss + h * WL, w_mul(w_load(t.weight + h * WL), w_add(cost, w_log1p(s->rest[h]))));
    }
    for (int64_t r = 0; r < rows; r++) {
        if (t.label[r] < 0) loss[r] = 0;
        if (losses) losses[first + r] = (T)loss[r];
        *sum += loss[r];
    }
    if (differentiates) gradient_columns(s, &t, scale, n);
    return 1;
}

/* The same of rows of logits, of which nothing is written where one is refused. */
static int cross_entropy_columns(double *sum, T *losses, T *dlogits, const T *logits, const fnn_target *target,
                                 double scale, int64_t first, int64_t rows, int64_t n)
{
    columns s;
    read_columns(&s, logits + first * n, rows, n);
    if (!cross_entropy_tile(sum, losses, &s, target, scale, first, rows, n, dlogits != NULL)) return 0;
    if (dlogits) write_columns(dlogits + first * n, &s, rows, n);
    return 1;
}

static int FNN(cross_entropy_panels)(double *sum, fnn_panels dlogits, fnn_panels logits, const fnn_target *target,
                                     double scale, int64_t batch, int64_t classes)
{
    columns s;
    if (!has_columns(batch, classes)) return 0;
    for (int64_t first = 0; first < round_up(batch, PANEL); first += VL) {
        const int64_t rows = batch - first < VL ? batch - first : VL;
        const T *const from = (const T *)logits.data + along_row(first, logits.panel);
        T *const to = (T *)dlogits.data + along_row(first, dlogits.panel);
        for (int64_t j = 0; j < classes; j++) v_store(s.tile[j], v_load(from + j * PANEL));
        pad_columns(&s, classes);
        if (!cross_entropy_tile(sum, NULL, &s, target, scale, first, rows, classes, 1)) return 0;
        for (int64_t j = 0; j < classes; j++) v_store(to + j * PANEL, v_load(s.tile[j]));
    }
    return 1;
}
