/*
 * split.c: which calls are cut into parts for several threads, and how.
 *
 * Design
 * A. A part is an ordinary call of a kernel on a rectangle of the output. The order of every sum is fixed by the rules of
 *    number, so where the cuts lie cannot change a bit.
 * B. The cost model: a call gets one thread per so much work, up to the bound. The amounts stand in one table.
 */
#include "fastnn.h"

#include <stdatomic.h>

/* Amounts of work. One more thread pays for 40 us of a product, at 50 multiply-adds a nanosecond, or 100 us and more of a
 * function, cheap ones being bound by memory: waking it and sharing the caches with it costs about 10 us. More pieces
 * than threads pay where each is that large: smaller ones pack operands more often than they help a late thread. */
static const struct {
    double multiply_adds; /* of a matrix product */
    double elements;      /* of an elementwise function */
} work_per_thread = {2e6, 5e5}, work_per_piece = {3e7, 2.5e5};

/* Pieces end where panels of b, tiles of eight rows of a and lines of memory do; strips with the tiles of every ISA. */
enum { COLUMNS = FNN_PANEL, ROWS = 8, STRIP_ROWS = 24, ELEMENTS = 64 };

enum { PIECES = 4 }; /* a thread, at most */

/* c = epilogue(a @ b), as fnn_matmul is asked for it. */
typedef struct {
    const fnn_kernels *kernels;
    char *c;
    int64_t ldc, k, itemsize;
    const fnn_matrix *a, *b;
    const fnn_epilogue *epilogue;
} product;

static int multiply(const product *g, int64_t row, int64_t column, int64_t rows, int64_t columns)
{
    const int64_t at = (row * g->ldc + column) * g->itemsize;
    const fnn_matrix a = {(const char *)g->a->data + row * g->a->row * g->itemsize, g->a->row, g->a->col};
    const fnn_matrix b = {(const char *)g->b->data + column * g->b->col * g->itemsize, g->b->row, g->b->col};
    fnn_epilogue e = *g->epilogue;
    if (e.bias) e.bias = (const char *)e.bias + column * g->itemsize;
    if (e.z) e.z = (char *)e.z + at;
    return g->kernels->matmul(g->c + at, g->ldc, a, b, rows, columns, g->k, &e);
}

typedef struct {
    const product *product;
    fnn_rectangle whole;
    int64_t rows, columns; /* of a part */
    atomic_int code;
} product_job;

static void run_product_part(void *context, int part)
{
    product_job *g = context;
    const int64_t across = (g->whole.columns + g->columns - 1) / g->columns;
    const int64_t row = part / across * g->rows, column = part % across * g->columns;
    const int64_t rows = g->whole.rows - row, columns = g->whole.columns - column;
    const int code = multiply(g->product, g->whole.row + row, g->whole.column + column, rows < g->rows ? rows : g->rows,
                              columns < g->columns ? columns : g->columns);
    if (code) g->code = code;
}

/* The length of a piece when n of so much work is cut for `threads` threads: into one piece a thread, or as many more as
 * are of `per_piece` work and of four units, up to PIECES a thread, so that one which is late or slowed down leaves work to
 * the others. From four units on a length is a multiple of `unit`, but when a test forces threads. */
static int64_t piece(int64_t n, int64_t unit, int threads, double work, double per_piece)
{
    const double large = work / per_piece, long_enough = (double)n / (double)(4 * unit);
    const double pieces = large < long_enough ? large : long_enough;
    const int each = fnn_forcing_threads() || pieces < threads ? 1
                     : pieces < 1.0 * PIECES * threads         ? (int)(pieces / threads)
                                                               : PIECES;
    const int64_t count = (int64_t)each * threads, length = (n + count - 1) / count;
    return fnn_forcing_threads() || length < 4 * unit ? length : (length + unit - 1) / unit * unit;
}

int fnn_matmul(int dtype, void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, fnn_rectangle part, int64_t k,
               const fnn_epilogue *epilogue)
{
    const int64_t m = part.rows, n = part.columns;
    const double work = (double)m * (double)n * (double)k;
    const int threads = fnn_threads_for(work, work_per_thread.multiply_adds);
    const product g = {fnn_kernels_for(dtype), c, ldc, k, dtype == FNN_F32 ? 4 : 8, &a, &b, epilogue};
    if (threads == 1 || m == 0 || n == 0) return multiply(&g, part.row, part.column, m, n);
    product_job job = {&g, part, m, n, 0};
    if (n >= m)
        job.columns = piece(n, COLUMNS, threads, work, work_per_piece.multiply_adds);
    else
        job.rows = piece(m, ROWS, threads, work, work_per_piece.multiply_adds);
    const int64_t parts = (m + job.rows - 1) / job.rows * ((n + job.columns - 1) / job.columns);
    fnn_parallel(threads, (int)parts, run_product_part, &job);
    return job.code;
}

int fnn_threads_for_rows(double multiply_adds, double elements)
{
    return fnn_threads_for(multiply_adds / work_per_thread.multiply_adds + elements / work_per_thread.elements, 1);
}

typedef struct {
    fnn_part_fn part;
    void *context;
    int64_t rows, length; /* of a part */
    unsigned char codes[PIECES * FNN_MAX_THREADS];
} rows_job;

static void run_rows_part(void *context, int number)
{
    rows_job *job = context;
    const int64_t first = number * job->length, left = job->rows - first;
    job->codes[number] = (unsigned char)job->part(job->context, first, left < job->length ? left : job->length);
}

int fnn_split_rows(int64_t rows, double multiply_adds, fnn_part_fn part, void *context)
{
    const int threads = fnn_threads_for(multiply_adds, work_per_thread.multiply_adds);
    if (threads == 1 || rows == 0) return part(context, 0, rows);
    rows_job job = {.part = part, .context = context, .rows = rows};
    job.length = piece(rows, STRIP_ROWS, threads, multiply_adds, work_per_piece.multiply_adds);
    const int parts = (int)((rows + job.length - 1) / job.length);
    int code = FNN_OK;
    fnn_parallel(threads, parts, run_rows_part, &job);
    for (int i = 0; i < parts; i++) {
        if (job.codes[i] == FNN_NO_MEMORY) run_rows_part(&job, i); /* here, where memory may have been taken before */
        if (job.codes[i]) code = job.codes[i];
    }
    return code;
}

typedef struct {
    fnn_forward_fn forward;
    fnn_backward_fn backward; /* one of the two */
    char *out;
    const char *x, *saved;
    int64_t n, length; /* of a part */
    int64_t itemsize;
    const double *params;
} map_job;

static void run_map_part(void *context, int part)
{
    const map_job *f = context;
    const int64_t first = part * f->length, n = f->n - first < f->length ? f->n - first : f->length;
    const int64_t at = first * f->itemsize;
    if (f->forward)
        f->forward(f->out + at, f->x + at, n, f->params);
    else
        f->backward(f->out + at, f->x + at, f->saved + at, n, f->params);
}

static void run_map(map_job f)
{
    const int threads = fnn_threads_for((double)f.n, work_per_thread.elements);
    f.length = threads == 1 ? f.n : piece(f.n, ELEMENTS, threads, (double)f.n, work_per_piece.elements);
    fnn_parallel(threads, f.n == 0 ? 0 : (int)((f.n + f.length - 1) / f.length), run_map_part, &f);
}

void fnn_activation_forward(int dtype, int row, void *y, const void *x, int64_t n, const double *params)
{
    run_map((map_job){.forward = fnn_kernels_for(dtype)->forward[row],
                      .out = y,
                      .x = x,
                      .n = n,
                      .itemsize = dtype == FNN_F32 ? 4 : 8,
                      .params = params});
}

void fnn_activation_backward(int dtype, int row, int from_y, void *dx, const void *dy, const void *saved, int64_t n,
                             const double *params)
{
    const fnn_kernels *kernels = fnn_kernels_for(dtype);
    run_map((map_job){.backward = from_y ? kernels->backward_y[row] : kernels->backward_x[row],
                      .out = dx,
                      .x = dy,
                      .saved = saved,
                      .n = n,
                      .itemsize = dtype == FNN_F32 ? 4 : 8,
                      .params = params});
}
