/*
 * network_columns.inc.h: kinds of rows of network_ops.c for the columns of a table.
 *
 * Design
 * A. A layer that reads any dtype, first in a network or in its branch of `columns`, reads float64: so indices and dates keep
 *    their digits. What is computed in float32 layer by layer, because it comes as float32 or as small integers, is rounded to
 *    that first.
 * B. `standardize` as the first row reads the input where it lies, so that images of bytes, say, are converted and scaled
 *    while they are in L1; it has no value before it.
 */

/* Whether numbers of the input are computed in float64, as NumPy's result_type of theirs and the network's dtype says. */
static int computes_wide(const fnn_pass *pass)
{
    const int from = pass->source->from;
    return pass->network->dtype == FNN_F64 || from == FNN_FROM_F64 || from == FNN_FROM_I32 || from == FNN_FROM_U32 ||
           from == FNN_FROM_I64 || from == FNN_FROM_U64;
}

/* n numbers of float64 in the network's dtype. */
static void narrow(const fnn_pass *pass, void *to, const void *from, int64_t n)
{
    pass->kernels->gather_rows(to, from, FNN_FROM_F64, n, NULL, 1, n);
}

static int64_t numbers_of(const fnn_pass *pass, int number)
{
    return pass->batch * value(pass, number)->times * value(pass, number)->features;
}

static void columns_place(fnn_network *n, fnn_op *op)
{
    for (int i = 0; i < op->many_count; i++) fnn_place_value(n, op->many[i]);
}

/* Copy columns of rows of n numbers: where each goes is a number, so that no call is made for it. */
#define TAKE_COLUMNS(type)                                                                                             \
    for (int64_t i = 0; i < rows; i++)                                                                                 \
        for (int64_t j = 0; j < count; j++)                                                                            \
    memcpy((type *)to + i * count + j, (const type *)from + i * n + column[j], sizeof(type))
static void take_columns(void *to, const void *from, const int64_t *column, int64_t rows, int64_t n, int64_t count,
                         int64_t itemsize)
{
    if (itemsize == sizeof(float))
        TAKE_COLUMNS(float);
    else
        TAKE_COLUMNS(double);
}
#undef TAKE_COLUMNS

/* Each branch gets its columns of the one input or of the other; buffers[0] has their numbers, branch after branch. */
static void columns_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t *column = op->buffers[0];
    for (int b = 0; b < op->many_count; b++) {
        const fnn_value *branch = value(pass, op->many[b]), *x = value(pass, op->inputs[branch->wide]);
        take_columns(at(pass, branch->y), y_of(pass, op->inputs[branch->wide]), column, pass->batch * branch->times,
                     x->features, branch->features, branch->wide ? 8 : pass->itemsize);
        column += branch->features;
    }
}

static void columns_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t *column = op->buffers[0], n = value(pass, op->inputs[0])->features;
    char *const dx = dy_of(pass, op->inputs[0]);
    memset(dx, 0, (size_t)(numbers_of(pass, op->inputs[0]) * pass->itemsize));
    for (int b = 0; b < op->many_count; b++) {
        const int64_t each = value(pass, op->many[b])->features;
        plain_of(pass)->add_columns(dx, dy_of(pass, op->many[b]), column, rows_in(pass, op), n, each);
        column += each;
    }
}

/* Copies between the rows of the output, or its gradient, and those of each branch. */
static void join(const fnn_pass *pass, const fnn_op *op, int backward)
{
    const fnn_value *y = value(pass, op->outputs[0]);
    const int64_t rows = pass->batch * y->times, row = y->features * pass->itemsize;
    char *joined = backward ? dy_of(pass, op->outputs[0]) : y_of(pass, op->outputs[0]);
    for (int b = 0; b < op->many_count; b++) {
        const fnn_value *branch = value(pass, op->many[b]);
        const int64_t bytes = branch->times * branch->features / y->times * pass->itemsize;
        char *part = backward ? at(pass, branch->dy) : at(pass, branch->y);
        for (int64_t i = 0; i < rows; i++)
            memcpy(backward ? part + i * bytes : joined + i * row, backward ? joined + i * row : part + i * bytes,
                   (size_t)bytes);
        joined += bytes;
    }
}

static void concatenate_forward(fnn_pass *pass, const fnn_op *op) { join(pass, op, 0); }

static void concatenate_backward(fnn_pass *pass, const fnn_op *op) { join(pass, op, 1); }

/* Buffers of standardize: mean, scale, and which of their numbers each of a row has. */
enum { MEAN, SCALE, PLACES };

/* Numbers [from, from + count) of rows i, i + 1 ... of the input, in a dtype. */
static void read_input(const fnn_pass *pass, int dtype, void *to, int64_t i, int64_t rows, int64_t from, int64_t count)
{
    const fnn_array *x = pass->source;
    const int64_t at = (pass->order ? 0 : i * x->row) + from;
    fnn_kernels_for(dtype)->gather_rows(to, (const char *)x->data + at * x->itemsize, x->from, x->row,
                                        pass->order ? pass->order + i : NULL, rows, count);
}

static void standardize_input(fnn_pass *pass, const fnn_op *op)
{
    enum { IN_L1 = 4096, AT_ONCE = 512 }; /* numbers */
    const int64_t n = op->number, each = numbers_of(pass, op->outputs[0]) / pass->batch;
    const int64_t *const places = op->buffers[PLACES];
    const double *const mean = op->buffers[MEAN], *const scale = op->buffers[SCALE];
    const int dtype = pass->network->dtype;
    char *y = y_of(pass, op->outputs[0]);
    if (dtype == FNN_F64 || !computes_wide(pass)) {
        for (int64_t i = 0, rows = 1 + IN_L1 / each; i < pass->batch; i += rows, y += rows * each * pass->itemsize) {
            if (rows > pass->batch - i) rows = pass->batch - i;
            read_input(pass, dtype, y, i, rows, 0, each);
            plain_of(pass)->standardize(y, y, mean, scale, places, rows * each / n, n);
        }
        return;
    }
    for (int64_t i = 0; i < pass->batch * each; i += n)
        for (int64_t j = 0; j < n; j += AT_ONCE) {
            const int64_t count = n - j < AT_ONCE ? n - j : AT_ONCE;
            double wide[AT_ONCE];
            read_input(pass, FNN_F64, wide, i / each, 1, i % each + j, count);
            fnn_plain_for(FNN_F64)->standardize(wide, wide, mean, scale, places + j, 1, count);
            narrow(pass, y + (i + j) * pass->itemsize, wide, count);
        }
}

static void standardize_forward(fnn_pass *pass, const fnn_op *op)
{
    if (op->inputs[0] < 0) {
        standardize_input(pass, op);
        return;
    }
    const int64_t all = numbers_of(pass, op->inputs[0]), n = op->number;
    char *const y = y_of(pass, op->outputs[0]), *x = y_of(pass, op->inputs[0]);
    const double *const mean = op->buffers[MEAN], *const scale = op->buffers[SCALE];
    const int wide = value(pass, op->inputs[0])->wide;
    if (wide && computes_wide(pass)) {
        fnn_plain_for(FNN_F64)->standardize(x, x, mean, scale, op->buffers[PLACES], all / n, n);
        narrow(pass, y, x, all);
        return;
    }
    if (wide) {
        narrow(pass, y, x, all);
        x = y;
    }
    plain_of(pass)->standardize(y, x, mean, scale, op->buffers[PLACES], all / n, n);
}

static void standardize_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t n = op->number;
    plain_of(pass)->standardize(dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), NULL, op->buffers[SCALE],
                                op->buffers[PLACES], numbers_of(pass, op->inputs[0]) / n, n);
}

/* The indices are kept. */
static void embedding_place(fnn_network *n, fnn_op *op)
{
    const fnn_value *x = &n->values[op->inputs[0]];
    const fnn_parameter *w = &n->parameters[op->parameters[0]];
    fnn_place_value(n, op->outputs[0]);
    op->kept = fnn_take(n, n->capacity * x->times * x->features * (int64_t)sizeof(int64_t));
    fnn_need_scratch(n, w->rows * w->columns * (int64_t)sizeof(double));
}

static void embedding_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_parameter *w = &pass->network->parameters[op->parameters[0]];
    const int wide = value(pass, op->inputs[0])->wide, dtype = wide ? FNN_F64 : pass->network->dtype;
    const int narrow_source = wide ? pass->source->from == FNN_FROM_F32 : dtype == FNN_F32;
    const int64_t all = numbers_of(pass, op->inputs[0]), exact = (int64_t)1 << (narrow_source ? 24 : 53);
    const int64_t bytes = w->columns * pass->itemsize;
    int64_t *const index = (int64_t *)at(pass, op->kept);
    char *y = y_of(pass, op->outputs[0]);
    if (!fnn_plain_for(dtype)->indices(index, y_of(pass, op->inputs[0]), all, w->rows < exact ? w->rows : exact)) {
        pass->code = FNN_REFUSED;
        return;
    }
    for (int64_t i = 0; i < all; i++, y += bytes) memcpy(y, (char *)w->data + index[i] * bytes, (size_t)bytes);
}

static void embedding_backward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_parameter *w = &pass->network->parameters[op->parameters[0]];
    const int64_t all = numbers_of(pass, op->inputs[0]);
    if (op->need_dx) memset(dy_of(pass, op->inputs[0]), 0, (size_t)(all * pass->itemsize));
    plain_of(pass)->sum_of_indices(gradient(pass, op, 0), (double *)at(pass, pass->network->scratch),
                                   (int64_t *)at(pass, op->kept), dy_of(pass, op->outputs[0]), all, w->rows,
                                   w->columns);
    finished(pass, op, 0);
}

static void periodic_place(fnn_network *n, fnn_op *op)
{
    const fnn_value *y = &n->values[op->outputs[0]];
    fnn_place_value(n, op->outputs[0]);
    fnn_need_scratch(n, (n->capacity * y->times * y->features + n->values[op->inputs[0]].features * y->features / 2) *
                            (int64_t)sizeof(double));
}

static void periodic_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_parameter *w = &pass->network->parameters[op->parameters[0]];
    plain_of(pass)->waves(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), w->data,
                          numbers_of(pass, op->inputs[0]) / w->rows, w->rows, w->columns);
}

static void periodic_backward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_parameter *w = &pass->network->parameters[op->parameters[0]];
    const int64_t numbers = numbers_of(pass, op->inputs[0]), rows = numbers / w->rows, n = w->columns;
    double *const sums = (double *)at(pass, pass->network->scratch);
    char *const dphase = (char *)(sums + w->rows * n), *const products = dphase + numbers * n * pass->itemsize;
    plain_of(pass)->waves_backward(dphase, dy_of(pass, op->outputs[0]), y_of(pass, op->outputs[0]), numbers, n);
    plain_of(pass)->scale_each(products, dphase, y_of(pass, op->inputs[0]), numbers, n);
    plain_of(pass)->sum_products(gradient(pass, op, 0), sums, products, NULL, rows, w->rows * n);
    if (op->need_dx) {
        plain_of(pass)->scale_rows(products, dphase, w->data, rows, w->rows * n);
        plain_of(pass)->sum_last(dy_of(pass, op->inputs[0]), products, NULL, numbers, n);
    }
    finished(pass, op, 0);
}

static void piecewise_linear_place(fnn_network *n, fnn_op *op)
{
    const fnn_value *y = &n->values[op->outputs[0]];
    fnn_place_value(n, op->outputs[0]);
    fnn_need_scratch(n, n->capacity * y->times * y->features * (int64_t)sizeof(double));
}

/* buffers[0] are the edges, of `number` features or of all alike. */
static void piecewise_linear_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t n = op->number, bins = value(pass, op->outputs[0])->features;
    const int64_t all = numbers_of(pass, op->inputs[0]);
    const int wide = value(pass, op->inputs[0])->wide;
    char *const y = y_of(pass, op->outputs[0]), *x = y_of(pass, op->inputs[0]),
                *scratch = at(pass, pass->network->scratch);
    if (wide && computes_wide(pass)) {
        fnn_plain_for(FNN_F64)->bins(scratch, NULL, x, op->buffers[0], all / n, n, bins);
        narrow(pass, y, scratch, all * bins);
        return;
    }
    if (wide) {
        narrow(pass, scratch, x, all);
        x = scratch;
    }
    plain_of(pass)->bins(y, NULL, x, op->buffers[0], all / n, n, bins);
}

static void piecewise_linear_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t n = op->number, bins = value(pass, op->outputs[0])->features;
    const int64_t all = numbers_of(pass, op->inputs[0]);
    char *const slopes = at(pass, pass->network->scratch);
    plain_of(pass)->bins(NULL, slopes, y_of(pass, op->inputs[0]), op->buffers[0], all / n, n, bins);
    plain_of(pass)->sum_last(dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), slopes, all, bins);
}
