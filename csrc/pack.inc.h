/*
 * pack.inc.h: operands of a matrix product brought into the order in which tiles read them, and transposed.
 *
 * Design
 * A. b is packed into panels, a into micro-panels (tile.inc.h draws both). What is missing of a last vector is zero.
 * B. Blocks are transposed in registers, VC columns of VL rows at a time.
 */

/* v_load_columns where only some rows and columns are left; the others are zero. */
static FNN_INLINE void load_columns(V column[VC], const T *p, int64_t row, int64_t rows_left, int64_t columns_left)
{
    T part[VL * VC];
    if (rows_left < VL || columns_left < VC) {
        for (int64_t r = 0; r < VL; r++) {
            T *const to = part + r * VC;
            if (r < rows_left && columns_left >= VC) {
                memcpy(to, p + r * row, VC * sizeof(T));
                continue;
            }
            memset(to, 0, VC * sizeof(T)); /* +0 */
            for (int64_t q = 0; r < rows_left && q < columns_left; q++) to[q] = p[r * row + q];
        }
        p = part;
        row = VC;
    }
    v_load_columns(column, p, row);
}

static void pack_vector(int64_t width, T *packed, const T *x, int64_t row, int64_t col, int64_t columns, int64_t depth);

/* The same of fewer columns than a vector has, perhaps none, each of them contiguous: rows of zeros make them whole blocks. */
static void pack_part(int64_t width, T *packed, const T *x, int64_t col, int64_t columns, int64_t depth)
{
    enum { RUN = 4 * VL };
    const int64_t there = columns > 0 ? columns : 0;
    T padded[VL * RUN];
    memset(padded + there * RUN, 0, (size_t)((VL - there) * RUN) * sizeof(T)); /* +0 */
    for (int64_t p = 0, steps; p < depth; p += steps) {
        steps = depth - p < RUN ? depth - p : RUN;
        for (int64_t j = 0; j < there; j++)
            for (int64_t q = 0; q < steps; q += VL)
                v_store(padded + j * RUN + q, v_load_upto(x + p + j * col + q, steps - q, 0));
        pack_vector(width, packed + p * width, padded, 1, RUN, VL, steps);
    }
}

/* One vector of columns of pack(), of which `columns` exist. */
static void pack_vector(int64_t width, T *packed, const T *x, int64_t row, int64_t col, int64_t columns, int64_t depth)
{
    int64_t p = 0;
    if (col == 1) {
        for (; p < depth; p++) v_store(packed + p * width, v_load_upto(x + p * row, columns, 0));
    } else if (row == 1 && columns < VL) {
        pack_part(width, packed, x, col, columns, depth);
    } else if (row == 1) {
        V column[VC];
        for (; p + VC <= depth; p += VC) {
            v_load_columns(column, x + p, col);
            FNN_UNROLL(8)
            for (int q = 0; q < VC; q++) v_store(packed + (p + q) * width, column[q]);
        }
        for (; p < depth; p += VC) {
            load_columns(column, x + p, col, VL, depth - p);
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

/* rows[i, j] = transposed[j, i]: `columns` columns i of transposed, n of its rows j; more of them may be read up to
 * `readable`. */
static void transpose(T *rows, int64_t row, const T *transposed, int64_t transposed_row, int64_t n, int64_t readable,
                      int64_t columns)
{
    for (int64_t j = 0; j < n; j += VL)
        for (int64_t i = 0; i < columns; i += VC) {
            V column[VC];
            load_columns(column, transposed + j * transposed_row + i, transposed_row, readable - j, columns - i);
            for (int q = 0; q < VC && i + q < columns; q++) v_store_upto(rows + (i + q) * row + j, column[q], n - j);
        }
}

/* Rows of b to panels, `stride` apart, row by row: far rows are far in memory. Whole panels only. */
static void pack_rows(T *panels, int64_t stride, const T *b, int64_t row, int64_t columns, int64_t depth)
{
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = 0; j + PANEL <= columns; j += PANEL)
            memcpy(panels + j / PANEL * stride + p * PANEL, b + p * row + j, PANEL * sizeof(T));
}

/* The broadcast operand: element (i, p) is data[i * row + p * col]; or, with `panel`, row = PANEL and col = 1, data[p /
 * PANEL * panel + i * PANEL + p % PANEL]. */
typedef struct {
    const T *data;
    int64_t row, col, panel;
} operand_a;

static operand_a operand_rows(const operand_a *a, int64_t i)
{
    operand_a part = *a;
    part.data += i * a->row;
    return part;
}

static operand_a operand_from(const operand_a *a, int64_t p) /* p a multiple of PANEL */
{
    operand_a part = *a;
    part.data += a->panel ? p / PANEL * a->panel : p * a->col;
    return part;
}

/* Where the micro-panel of a block that starts with row i lies when packed: (depth, its rows), with room for what a
 * vector writes too far. */
static int64_t micro_panel_place(int64_t i, int64_t depth) { return i * (depth + VL); }

/* Steps [first, last) of one micro-panel of an operand that is no panel. What a store writes too far, the next step's
 * corrects. */
static void pack_micro_panel(T *packed, const operand_a *a, int64_t height, int64_t rows_left, int64_t first,
                             int64_t last)
{
    if (a->col == 1) {
        for (int64_t p = first; p < last; p += VC) {
            V column[(MR + VL - 1) / VL][VC];
            for (int r = 0; r < height; r += VL)
                load_columns(column[r / VL], a->data + p + r * a->row, a->row, rows_left - r, last - p);
            for (int q = 0; q < VC && p + q < last; q++)
                for (int r = 0; r < height; r += VL) v_store(packed + (p + q) * height + r, column[r / VL][q]);
        }
    } else if (a->row == 1 && height == MR && rows_left >= MR + VL) {
        for (int64_t p = first; p < last; p++)
            for (int r = 0; r < MR; r += VL) v_store(packed + p * MR + r, v_load(a->data + p * a->col + r));
    } else {
        for (int64_t p = first; p < last; p++)
            for (int64_t r = 0; r < height; r++) packed[p * height + r] = a->data[p * a->col + r * a->row];
    }
}

/* The micro-panels of a block, the rows of a line of memory together: micro-panels of their own would fetch each line
 * three times. */
static void pack_micro_panels(T *packed, const operand_a *a, int64_t rows, int64_t depth)
{
    for (int64_t first = 0, last; first < depth; first = last) {
        last = depth - first < L1_WAYS ? depth : first + L1_WAYS;
        for (int64_t p = first; a->row == 1 && p < last; p++)
            for (int64_t i = 0; i < rows; i += 64 / (int64_t)sizeof(T)) FNN_PREFETCH(a->data + i + p * a->col);
        for (int64_t i = 0, height; i < rows; i += height) {
            const operand_a part = operand_rows(a, i);
            height = tile_rows(rows - i);
            pack_micro_panel(packed + micro_panel_place(i, depth), &part, height, rows - i, first, last);
        }
    }
}
