/*
 * fastnn.h: the contract between the Python extension and the C kernels.
 *
 * Design
 * A. Kernels know no Python. They take pointers, sizes and strides, return a code of fnn_error and never
 *    print, abort or allocate; packing scratch comes from pool.c.
 * B. A kernel exists once per (ISA, dtype). All of one such pair stand in a struct fnn_kernels; its members take
 *    `void *` so that one caller serves both dtypes. The member's comment says what the pointers mean; T is the
 *    dtype of the struct. Scalars and parameters are always double.
 * C. Arguments are outputs, inputs, sizes. Sizes and strides are int64_t and count elements, not bytes. The caller
 *    has checked that products of sizes fit and that arrays are aligned to their dtype.
 * D. Arrays are contiguous unless a stride is passed. Outputs do not overlap inputs, except that an elementwise output
 *    may be exactly one of the inputs. A size of zero is legal everywhere.
 * E. NaN in, NaN out; the rounding mode and the subnormal flags are never touched.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stdint.h>

#include "activations.h"
#include "losses.h"
#include "optimizers.h"

enum fnn_error {
    FNN_OK = 0,
    FNN_NO_MEMORY, /* scratch could not be allocated; outputs are unspecified */
};

enum fnn_dtype { FNN_F32, FNN_F64, FNN_DTYPES };

enum { FNN_ROW_LANES = 16 }; /* virtual lanes of a row reduction, the same on every ISA */
enum { FNN_K_CHUNK = 512 };  /* length of one fma chain of a sum over k */
enum { FNN_PANEL = 16 };     /* width of a panel, on every ISA and for every dtype */

/* A matrix operand: element (i, j) is data[i * row + j * col]. Strides may be negative or zero. */
typedef struct {
    const void *data;
    int64_t row, col;
} fnn_matrix;

/* A part of a matrix: rows [row, row + rows) and columns [column, column + columns). */
typedef struct {
    int64_t row, column, rows, columns;
} fnn_rectangle;

/* What happens to a finished sum s of a matrix product, in this order: z = s + bias; y = activation(z). */
typedef struct {
    const void *bias; /* T[n], or NULL */
    void *z;          /* like c, receives z when an activation follows and z is wanted; or NULL */
    int activation;   /* enum fnn_activation */
    const double *params;
} fnn_epilogue;

/* An activation (batch, features) in panels: element (i, j) at data[i / 16 * panel + j * 16 + i % 16], panel >= 16 *
 * features. Transposed: element (i, j) at data[j / 16 * panel + i * 16 + j % 16], panel >= 16 * batch. The stride is free
 * so that it need not be a multiple of 4 KiB, which all panels would share sets of L1 with. What pads the batch is read as
 * numbers and never reaches another row; what pads the features is written as 0. */
typedef struct {
    void *data;
    int64_t panel;
} fnn_panels;

/* The kinds of numbers that gather_panels() reads. */
enum fnn_element {
    FNN_FROM_F32,
    FNN_FROM_F64,
    FNN_FROM_U8,
    FNN_FROM_I8,
    FNN_FROM_I16,
    FNN_FROM_U16,
    FNN_FROM_I32,
    FNN_FROM_U32,
    FNN_FROM_I64,
    FNN_FROM_U64,
    FNN_FROM_BOOL, /* a byte: 1 unless it is 0 */
    FNN_ELEMENTS
};

/* What a loss compares its input with, and the weights. Exactly one of labels and values is set. */
typedef struct {
    const int64_t *labels; /* [batch], each in [0, features) or ignore_index: the caller has checked them */
    const void *values; /* T[batch * features]: numbers, or one probability per class; T[batch] for FNN_NUMBER_A_ROW */
    const void *second; /* T[features], what the row of the table calls so, or NULL; T[batch * features] for FNN_PAIR */
    void *dsecond;      /* T[batch * features], receives the gradient by second for FNN_PAIR; or NULL */
    const void *class_weight;  /* T[features], or NULL */
    const void *sample_weight; /* T[batch], or NULL */
    int64_t ignore_index;      /* rows with this label count nothing */
} fnn_target;

/* y[i] = f(x[i]) over n elements. y may be x. */
typedef void (*fnn_forward_fn)(void *y, const void *x, int64_t n, const double *params);

/* dx[i] = dy[i] * f'(saved[i]) over n elements; saved is x or y of the forward call. dx may be dy or saved. */
typedef void (*fnn_backward_fn)(void *dx, const void *dy, const void *saved, int64_t n, const double *params);

/* What a gradient is multiplied with: f'(saved), by the loop of a row of the table. saved lies as the gradient does. */
typedef struct {
    fnn_backward_fn loop;
    const void *saved;
    const double *params;
} fnn_derivative;

/* Receives rows [first, first + rows) of a gradient, a strip, whose row stride is the weight's. It may change the strip, and
 * asks for no scratch. */
typedef void (*fnn_strip_fn)(void *context, void *strip, int64_t first, int64_t rows);

/*
 * A loss of an input (batch, features), its target and the parameters of its row of the table, and the gradient by the input,
 * in one pass. With w[i] = sample_weight[i] or 1, and l[i, j] the value of element j, or l[i] of row i for kind ROW:
 *   *sum += sum_i w[i] * sum_j l[i, j]              (16 lanes a row, rows in increasing order, float64)
 *   losses[i, j] or losses[i] = w[i] * l            unless losses is NULL
 *   dinput[i, j] = scale * d *sum / d input[i, j]   unless dinput is NULL; may be input
 * The caller forms scale before: 1 / N for a mean, with N from sum_of_weights, else 1; the loss is scale times *sum, which
 * starts as 0 and goes on from call to call where the rows come in pieces. A row that counts nothing has losses and a
 * gradient of +0 whatever its input is: one of weight 0 or, for labels, ignored or of a class without weight.
 */
typedef void (*fnn_loss_fn)(double *sum, void *losses, void *dinput, const void *input, const fnn_target *target,
                            double scale, const double *params, int64_t batch, int64_t features);

/* What an optimizer's hyper-parameters, in the order of its row, make of the number of the step, which counts from 1; once
 * per step. scalars[FNN_MAX_SCALARS] arrive as zeros. */
typedef void (*fnn_scalars_fn)(double *scalars, const double *params, double step);

/* Rows of an array that an update walks, `row` elements apart. */
typedef struct {
    void *data;
    int64_t row;
} fnn_rows;

/* One step over `rows` rows of n parameters, in place, in each of param and the slots; what lies between the rows stays as
 * it is. A slot that the hyper-parameters do not need has NULL as data. */
typedef void (*fnn_update_fn)(fnn_rows param, const fnn_rows *slots, fnn_rows grad, int64_t rows, int64_t n,
                              const double *scalars);

/* y from x, row by row of a (batch, features) array; and dx from dy and y. */
typedef void (*fnn_rows_fn)(void *y, const void *x, int64_t batch, int64_t features);
typedef void (*fnn_rows_backward_fn)(void *dx, const void *dy, const void *y, int64_t batch, int64_t features);

/* Layer and RMS norm of the rows of x (batch, features), with x^ = (x - mean) / sqrt(variance + eps) of its row; for RMS the
 * mean is 0 and the variance the mean square. y = x^ weight + bias; weight and bias are T[features], or NULL for 1 and 0. y
 * may be x. */
typedef void (*fnn_norm_fn)(void *y, const void *x, const void *weight, const void *bias, double eps, int64_t batch,
                            int64_t features);

/* dx from dy and x. dweight and dbias, double[features] rounded up to FNN_ROW_LANES, hold the sums over the rows before, at
 * first zeros, and receive those of dy x^ and of dy, rows in increasing order; dbias may be NULL. */
typedef void (*fnn_norm_backward_fn)(void *dx, double *dweight, double *dbias, const void *dy, const void *x,
                                     const void *weight, double eps, int64_t batch, int64_t features);

typedef struct fnn_kernels {
    /* How many elements of a function, where 128 multiply-adds of a product count as one, a caller that answers signals
     * computes at a time. */
    int64_t per_look;

    /* c (m, n), row-major with row stride ldc, = epilogue(a (m, k) @ b (k, n)). Sums over k: chunks of FNN_K_CHUNK,
     * each one fma chain from +0 in increasing k; chunk sums added in increasing order. FNN_NO_MEMORY. */
    int (*matmul)(void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, int64_t m, int64_t n, int64_t k,
                  const fnn_epilogue *epilogue);

    /* y[j] = sum_i x[i, j] over batch rows with row stride `row`, in the order of matmul's sums over k. */
    void (*sum_rows)(void *y, const void *x, int64_t row, int64_t batch, int64_t features);

    /* The forms of a compiled network: activations in panels, weights k-major. Sums over k as in matmul, same bits.
     *
     * Rows of x to contiguous rows, and to panels: row i of the batch is row order[i] of x, or row i where order is NULL;
     * rows of x are `row` elements of the kind `from` (enum fnn_element) apart, contiguous each. What pads the last panel is
     * 0. `next` is the order of the minibatch that follows, or NULL: meanwhile next_batch rows of it are fetched towards the
     * caches. */
    void (*gather_rows)(void *to, const void *x, int from, int64_t row, const int64_t *order, int64_t batch,
                        int64_t features);
    void (*gather_panels)(fnn_panels to, const void *x, int from, int64_t row, const int64_t *order, int64_t batch,
                          int64_t features, const int64_t *next, int64_t next_batch);

    /* rows (batch, features), row-major with row stride `row`, to panels and back; and panels transposed, and sums[j], unless
     * that is NULL, = the sum over the batch, in the order of sum_rows. */
    void (*to_panels)(fnn_panels to, const void *rows, int64_t row, int64_t batch, int64_t features);
    void (*from_panels)(void *rows, int64_t row, fnn_panels from, int64_t batch, int64_t features);
    void (*transpose_panels)(fnn_panels transposed, void *sums, fnn_panels from, int64_t batch, int64_t features);

    /* A weight is k-major, (in, out): element (i, o) at weight[i * ldw + o], ldw >= out rounded up to FNN_PANEL.
     *
     * y = epilogue(x weight); z of the epilogue has y's panel stride. FNN_NO_MEMORY. */
    int (*forward_panels)(fnn_panels y, fnn_panels x, const void *weight, int64_t ldw, int64_t batch, int64_t in,
                          int64_t out, const fnn_epilogue *epilogue);

    /* dx = dz weight^T, and then, where derivative is not NULL, dx *= f'(saved). FNN_NO_MEMORY. */
    int (*dx_panels)(fnn_panels dx, fnn_panels dz, const void *weight, int64_t ldw, int64_t batch, int64_t in,
                     int64_t out, const fnn_derivative *derivative);

    /* Rows [first_row, last_row) of dweight = x^T dz, k-major as the weight: sums over the batch. They are made in strips
     * of whole rows, at dweight or, where that is NULL, in scratch; what pads a row, up to ldw, is 0. Each finished strip
     * is handed to `done`, unless that is NULL, while it is in a cache. weight, or NULL, is what `done` will read, with
     * the strides of dweight: it is fetched in time. FNN_NO_MEMORY, before any strip.
     *
     * descend_panels: weight += rate x^T dz instead, for a batch of at most FNN_K_CHUNK; its padding is 0 and stays so. */
    int (*dweight_panels)(void *dweight, int64_t ldw, fnn_panels x, fnn_panels dz_transposed, int64_t batch,
                          int64_t out, int64_t first_row, int64_t last_row, const void *weight, fnn_strip_fn done,
                          void *context);
    void (*descend_panels)(void *weight, int64_t ldw, fnn_panels x, fnn_panels dz_transposed, int64_t batch,
                           int64_t out, int64_t first_row, int64_t last_row, double rate);

    /* steps times 12 independent multiply-adds of one vector, in registers; returns how many floating-point operations
     * that were: the speed nothing else can exceed. */
    int64_t (*fma_chains)(int64_t steps);

    fnn_forward_fn forward[FNN_ACTIVATION_COUNT];
    fnn_backward_fn backward_x[FNN_ACTIVATION_COUNT];
    fnn_backward_fn backward_y[FNN_ACTIVATION_COUNT]; /* NULL where f' is no function of y */

    /* y = x > 0 ? x : weight * x. weight is T[features], or T[1] with `shared` set. */
    void (*prelu_forward)(void *y, const void *x, const void *weight, int64_t batch, int64_t features, int shared);

    /* dx = dy * (x > 0 ? 1 : weight); dweight = sum over rows, in float64, of x > 0 ? 0 : dy * x. sums holds the sums of
     * the rows before, at first zeros, and receives those of these too: double[FNN_ROW_LANES] with `shared` (rows are
     * then 16 consecutive elements), else features rounded up to such. */
    void (*prelu_backward)(void *dx, void *dweight, double *sums, const void *dy, const void *x, const void *weight,
                           int64_t batch, int64_t features, int shared);

    /* y[u] = max_p x[u, p] over n units of `pieces`; index[u] = the first p that attains it, or the first NaN.
     * index may be NULL. */
    void (*maxout_forward)(void *y, int64_t *index, const void *x, int64_t n, int64_t pieces);

    /* dx[u, p] = p == index[u] ? dy[u] : 0. */
    void (*maxout_backward)(void *dx, const void *dy, const int64_t *index, int64_t n, int64_t pieces);

    /* y = softmax or log_softmax of each row of x (batch, classes). y may be x. */
    fnn_rows_fn softmax_forward, log_softmax_forward;

    /* dx from dy and the forward output y. dx may be dy or y. */
    fnn_rows_backward_fn softmax_backward, log_softmax_backward;

    fnn_norm_fn layer_norm_forward, rms_norm_forward;
    fnn_norm_backward_fn layer_norm_backward, rms_norm_backward;

    /* Batch norm, of each feature of x (batch, features) over the rows. Mean and variance, which divides by the number of
     * rows, of the rows [0, first + batch) of x, of which those before first are in sums and squares: double[features]
     * rounded up to FNN_ROW_LANES, at first zeros. NaN of no rows. */
    void (*batch_moments)(double *mean, double *variance, double *sums, double *squares, const void *x, int64_t first,
                          int64_t batch, int64_t features);

    /* y = x^ weight + bias with x^ = (x - mean) / sqrt(variance + eps); weight and bias are T[features], or NULL for 1 and
     * 0. y may be x. */
    void (*batch_norm_forward)(void *y, const void *x, const double *mean, const double *variance, const void *weight,
                               const void *bias, double eps, int64_t batch, int64_t features);

    /* Adds dy x^ and dy, rows in increasing order, to dweight and dbias: double[features] rounded up to FNN_ROW_LANES. */
    void (*batch_norm_sums)(double *dweight, double *dbias, const void *dy, const void *x, const double *mean,
                            const double *variance, double eps, int64_t batch, int64_t features);

    /* dx, where mean and variance are those of all `rows` rows of x and dweight and dbias their sums; or, with rows = 0,
     * where mean and variance are constants. */
    void (*batch_norm_backward)(void *dx, const void *dy, const void *x, const double *mean, const double *variance,
                                const void *weight, const double *dweight, const double *dbias, double eps,
                                int64_t rows, int64_t batch, int64_t features);

    /* y[i] = keep(first + i) ? x[i] / (1 - p) : 0, where keep reads Philox4x32-10 with key seed and counter
     * (element / 4, step, layer), word element mod 4: kept when the word is >= p * 2^32. y may be x. */
    void (*dropout)(void *y, const void *x, double p, uint64_t seed, uint32_t step, uint32_t layer, int64_t first,
                    int64_t n);

    /* words[i] = word (first + i) mod 4 of Philox4x32-10 with key seed and counter ((first + i) / 4, step, layer): the
     * stream that dropout reads. */
    void (*random_words)(uint32_t *words, uint64_t seed, uint32_t step, uint32_t layer, int64_t first, int64_t n);

    /* The sum of the rows' weights, which a mean divides by: sample weight times, for labels, class weight; 0 where the
     * label is ignored. */
    double (*sum_of_weights)(const fnn_target *target, int64_t batch);

    /* The index of the first of x[n] that is not accepted (FROM_0_TO_1, NONNEGATIVE, SIGN), or -1. NaN is. */
    int64_t (*first_refused)(const void *x, int64_t n, int accepted);

    /* cross_entropy: l[i] = -sum_j q_j log softmax(input)_j with q_j = class_weight_j ((1 - s) target_j + s / features), s the
     * label smoothing. The others: losses.inc.h. */
    fnn_loss_fn losses[FNN_LOSS_COUNT];

    /* cross_entropy by labels, without class weights and smoothing, of logits in panels: *sum += its values, and dlogits, 0 in
     * what pads the last panel, = scale times its gradient. 0 where it cannot: of more than a few classes, of few rows, and of
     * rows that are not finite, which only show on the way. */
    int (*cross_entropy_panels)(double *sum, fnn_panels dlogits, fnn_panels logits, const fnn_target *target,
                                double scale, int64_t batch, int64_t classes);

    fnn_scalars_fn scalars[FNN_OPTIMIZER_COUNT];
    fnn_update_fn updates[FNN_OPTIMIZER_COUNT];

    /* The rate of a step of an optimizer with such scalars that is param += rate grad and nothing else, 0 of any other. */
    double (*descent)(int optimizer, const double *scalars);

    /* sums[i] = sum_j x[i, j]^2 of each row of x (batch, features), in float64, in the order of a row reduction. */
    void (*sums_of_squares)(double *sums, const void *x, int64_t batch, int64_t features);

    /* to[i] = a[i] + b[i]; factor a[i]; to[i] + factor a[i]; average[i] + share (x[i] - average[i]). to may be a or b. */
    void (*add)(void *to, const void *a, const void *b, int64_t n);
    void (*scale)(void *to, const void *a, double factor, int64_t n);
    void (*add_scaled)(void *to, const void *a, double factor, int64_t n);
    void (*average)(void *average, const void *x, double share, int64_t n);

    /* grad += the gradient of l1 sum |param| + l2 sum param^2; then each element is clipped to +-clip, which may be
     * infinite. */
    void (*regularise)(void *grad, const void *param, int64_t n, double l1, double l2, double clip);
} fnn_kernels;

/* dispatch.c. The active ISA is process-wide; the first call chooses the best one the CPU supports. */
int fnn_isa_count(void);
const char *fnn_isa_name(int i);               /* best first */
int fnn_isa_supported(int i);                  /* by this CPU */
int fnn_isa_active(void);                      /* index */
int fnn_isa_use(const char *name);             /* 0, or -1 when unknown or unsupported */
const fnn_kernels *fnn_kernels_for(int dtype); /* of the active ISA */

/* pool.c. A scratch buffer of at least `bytes`, aligned to 64, owned by the calling thread and valid until its next
 * call to fnn_scratch; NULL when memory is out. */
void *fnn_scratch(int64_t bytes);

/* pool.c. The same for a pass over a network, which calls functions that ask for scratch; valid until the thread's next call
 * to fnn_arena. And how often memory of either kind has grown, in all threads; for tests. */
void *fnn_arena(int64_t bytes);
int64_t fnn_times_grown(void);

/* pool.c. The upper bound on threads: of the process, or of the calling thread where it is > 0. */
enum { FNN_MAX_THREADS = 1024 };
void fnn_set_num_threads(int n);
int fnn_get_num_threads(void);
int fnn_set_thread_bound(int n); /* of the calling thread; 0 lifts it; returns the previous bound */

/* pool.c. How many threads a call with so much work gets, when one pays for work_per_thread: within the bound and the
 * processors the caller may run on now; 1 inside a part of a job. */
int fnn_threads_for(double work, double work_per_thread);

/* pool.c. task(context, part) for every part in [0, parts), parts < 2^24, each once, on at most `threads` threads, the
 * caller among them; returns when all are done. Serial inside a part of a job, or when the pool is busy or cannot start. */
typedef void (*fnn_task)(void *context, int part);
void fnn_parallel(int threads, int parts, fnn_task task, void *context);

/* pool.c. For tests: no cost model, every call in as many parts as the bound says, each on a thread of its own. Returns
 * the setting before. And how many threads worked on the last job of the calling thread, and of how many parts it was. */
int fnn_force_threads(int on);
int fnn_forcing_threads(void);
int fnn_threads_of_last_job(void);
int fnn_parts_of_last_job(void);

/* split.c. part(context, first, count) for parts of [0, rows), on as many threads as pay for so many multiply-adds; returns
 * FNN_OK or what a part returned. Parts begin at whole tiles of each ISA. One that returned FNN_NO_MEMORY, and so did nothing, is
 * called again by the caller, which may have memory where a worker has none. */
typedef int (*fnn_part_fn)(void *context, int64_t first, int64_t count);
int fnn_split_rows(int64_t rows, double multiply_adds, fnn_part_fn part, void *context);

/* split.c. Kernels of the active ISA, on as many threads as pay. */
void fnn_activation_forward(int dtype, int row, void *y, const void *x, int64_t n, const double *params);
void fnn_activation_backward(int dtype, int row, int from_y, void *dx, const void *dy, const void *saved, int64_t n,
                             const double *params);
int fnn_matmul(int dtype, void *c, int64_t ldc, fnn_matrix a, fnn_matrix b, fnn_rectangle part, int64_t k,
               const fnn_epilogue *epilogue); /* that part of c alone */

/* split.c. How many threads pay for so many multiply-adds of products and elements of functions. */
int fnn_threads_for_rows(double multiply_adds, double elements);

#endif
