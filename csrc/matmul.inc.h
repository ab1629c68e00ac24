/*
 * matmul.inc.h: matrix products with a fused epilogue, and sums over rows.
 *
 * Design
 * A. Sums over k run in chunks of FNN_K_CHUNK; a chunk is one fma chain from +0 in a register, chunk sums are added in
 * memory. The chunk is at the same time the cache block in k, so blocking cannot change a bit. B. The tile is MR rows
 * by NR columns: MR x NV accumulators, each step broadcasts MR elements of a and loads NV vectors of b. a is read where
 * it lies, with any strides; b is packed into panels [n / NR][k][NR], zero-padded, and stays in L2. Padding reaches no
 * output: each output is a chain of its own. C. The register loops carry an unroll pragma; without it gcc keeps the
 * accumulators in memory (a third of the speed). D. The epilogue runs on rows of a finished strip while it is in L1, by
 * the ordinary loops: fused and unfused have the same bits.
 */

enum { NR = NV * VL, NC = 128 / NR * NR };

/* c[i, j] = (first ? 0 + : c[i, j] +) sum_p a[i, p] b[p, j] for MR rows and `columns` <= NR columns. */
static FNN_INLINE void tile(const int rows, T *c, int64_t ldc, const T *a, int64_t a_row, int64_t a_col, const T *b,
                            int64_t k, int64_t columns, int first)
{
    V sum[MR][NV];
    FNN_UNROLL(8)
    for (int i = 0; i < rows; i++) {
        FNN_UNROLL(8)
        for (int j = 0; j < NV; j++) sum[i][j] = v_set1(0);
    }
    for (int64_t p = 0; p < k; p++, a += a_col, b += NR) {
        V bv[NV];
        FNN_UNROLL(8)
        for (int j = 0; j < NV; j++) bv[j] = v_load(b + j * VL);
        FNN_UNROLL(8)
        for (int i = 0; i < rows; i++) {
            V av = v_set1(a[i * a_row]);
            FNN_UNROLL(8)
            for (int j = 0; j < NV; j++) sum[i][j] = v_madd(av, bv[j], sum[i][j]);
        }
    }
    FNN_UNROLL(8)
    for (int i = 0; i < rows; i++) {
        FNN_UNROLL(8)
        for (int j = 0; j < NV; j++) {
            int64_t left = columns - j * VL;
            T *to = c + i * ldc + j * VL;
            if (left > 0) v_store_upto(to, first ? sum[i][j] : v_add(v_load_upto(to, left, 0), sum[i][j]), left);
        }
    }
}

/* The same for any rows <= MR: one compiled tile per height. */
static void tile_of(int64_t rows, T *c, int64_t ldc, const T *a, int64_t a_row, int64_t a_col, const T *b, int64_t k,
                    int64_t columns, int first)
{
    switch (rows) {
    case 1: tile(1, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    case 2: tile(2, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    case 3: tile(3, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    case 4: tile(4, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    case 5: tile(5, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    default: tile(6, c, ldc, a, a_row, a_col, b, k, columns, first); break;
    }
}

/* b[0..k, 0..n] into panels of NR columns, the last one padded with zeros. */
static void pack(T *panel, const T *b, int64_t b_row, int64_t b_col, int64_t k, int64_t n)
{
    for (int64_t j = 0; j < n; j += NR, panel += k * NR) {
        int64_t columns = n - j < NR ? n - j : NR;
        for (int64_t p = 0; p < k; p++) {
            const T *from = b + p * b_row + j * b_col;
            T *to = panel + p * NR;
            if (columns == NR)
                for (int64_t q = 0; q < NR; q++) to[q] = from[q * b_col];
            else
                for (int64_t q = 0; q < NR; q++) to[q] = q < columns ? from[q * b_col] : 0;
        }
    }
}

/* z = s + bias, y = activation(z) on one row of n finished sums in y; z may be NULL. */
static void finish_row(T *y, T *z, const T *bias, int64_t n, const fnn_epilogue *e)
{
    if (bias)
        for (int64_t i = 0; i < n; i += VL)
            v_store_upto(y + i, v_add(v_load_upto(y + i, n - i, 0), v_load_upto(bias + i, n - i, 0)), n - i);
    if (z) memcpy(z, y, (size_t)n * sizeof *z);
    if (e->activation != FNN_identity) forward_loops[e->activation](y, y, n, e->params);
}

static int FNN(matmul)(void *c_, int64_t ldc, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k,
                       const fnn_epilogue *e)
{
    T *c = c_;
    const T *a_data = a.data, *b_data = b.data, *bias = e->bias;
    int64_t deepest = k < FNN_K_CHUNK ? k : FNN_K_CHUNK, widest = (n < NC ? n + NR - 1 : NC) / NR * NR;
    T *panels = fnn_scratch(deepest * widest * (int64_t)sizeof(T));
    if (!panels) return FNN_NO_MEMORY;
    for (int64_t j = 0; j < n; j += NC) {
        int64_t width = n - j < NC ? n - j : NC, p = 0;
        do { /* once even for k = 0: an empty sum is +0 */
            int64_t depth = k - p < FNN_K_CHUNK ? k - p : FNN_K_CHUNK;
            int last = p + depth == k;
            pack(panels, b_data + p * b.row + j * b.col, b.row, b.col, depth, width);
            for (int64_t i = 0; i < m; i += MR) {
                int64_t rows = m - i < MR ? m - i : MR;
                for (int64_t q = 0; q < width; q += NR)
                    tile_of(rows, c + i * ldc + j + q, ldc, a_data + i * a.row + p * a.col, a.row, a.col,
                            panels + q * depth, depth, width - q < NR ? width - q : NR, p == 0);
                for (int64_t r = i; last && r < i + rows; r++)
                    finish_row(c + r * ldc + j, e->z ? (T *)e->z + r * n + j : NULL, bias ? bias + j : NULL, width, e);
            }
            p += depth;
        } while (p < k);
    }
    return FNN_OK;
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
