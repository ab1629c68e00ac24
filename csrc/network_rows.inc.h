/*
 * network_rows.inc.h: kinds of rows of network_ops.c whose kernels are, in part, those of plain.h.
 */
#include <math.h>

#include "plain.h"

static const fnn_plain *plain_of(const fnn_pass *pass) { return fnn_plain_for(pass->network->dtype); }

/* Buffers of batch norm: running mean, running variance, and how many minibatches they have seen. */
enum { RUNNING_MEAN, RUNNING_VARIANCE, TRACKED };

/* Mean and variance of each feature are kept. */
static void batch_norm_place(fnn_network *n, fnn_op *op)
{
    norm_place(n, op);
    op->kept = fnn_take(n, 2 * n->values[op->inputs[0]].features * (int64_t)sizeof(double));
}

static void widen(const fnn_pass *pass, double *to, const void *from, int64_t n)
{
    const int dtype = pass->network->dtype;
    for (int64_t j = 0; j < n; j++) to[j] = dtype == FNN_F32 ? ((const float *)from)[j] : ((const double *)from)[j];
}

static void batch_norm_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t rows = rows_in(pass, op), n = value(pass, op->inputs[0])->features;
    double *const mean = (double *)at(pass, op->kept), *const variance = mean + n;
    const char *const x = y_of(pass, op->inputs[0]);
    if (!pass->training && op->buffers[RUNNING_MEAN]) {
        widen(pass, mean, op->buffers[RUNNING_MEAN], n);
        widen(pass, variance, op->buffers[RUNNING_VARIANCE], n);
    } else if (rows < 2) {
        pass->code = FNN_REFUSED;
        return;
    } else {
        double *const sums = zero_sums(pass, 2 * sums_length(n));
        pass->kernels->batch_moments(mean, variance, sums, sums + sums_length(n), x, 0, rows, n);
    }
    pass->kernels->batch_norm_forward(y_of(pass, op->outputs[0]), x, mean, variance, parameter(pass, op, 0),
                                      parameter(pass, op, 1), op->params[0], rows, n);
}

static void batch_norm_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t rows = rows_in(pass, op), n = value(pass, op->inputs[0])->features;
    const double *const mean = (double *)at(pass, op->kept), *const variance = mean + n;
    double *const dweight = zero_sums(pass, 2 * sums_length(n)), *const dbias = dweight + sums_length(n);
    const char *const dy = dy_of(pass, op->outputs[0]), *const x = y_of(pass, op->inputs[0]);
    pass->kernels->batch_norm_sums(dweight, dbias, dy, x, mean, variance, op->params[0], rows, n);
    pass->kernels->batch_norm_backward(dy_of(pass, op->inputs[0]), dy, x, mean, variance, parameter(pass, op, 0),
                                       dweight, dbias, op->params[0], rows, rows, n);
    round_sums(pass, op, 0, dweight);
    round_sums(pass, op, 1, dbias);
}

static void batch_norm_commit(const fnn_pass *pass, const fnn_op *op)
{
    const int64_t n = value(pass, op->inputs[0])->features;
    const double rows = (double)rows_in(pass, op), *const mean = (double *)at(pass, op->kept);
    int64_t *const tracked = op->buffers[TRACKED];
    if (!tracked) return;
    ++*tracked;
    const double momentum = isnan(op->params[1]) ? 1 / (double)*tracked : op->params[1];
    plain_of(pass)->move(op->buffers[RUNNING_MEAN], mean, momentum, 1, n);
    plain_of(pass)->move(op->buffers[RUNNING_VARIANCE], mean + n, momentum, rows / (rows - 1), n);
}

static void drop_alpha(const fnn_pass *pass, const fnn_op *op, char *to, const char *from, int backward)
{
    const int64_t n = rows_in(pass, op) * value(pass, op->inputs[0])->features;
    if (pass->training && op->params[0] != 0)
        fnn_alpha_dropout(pass->network->dtype, to, from, op->params[0], op->seed, (uint32_t)pass->step,
                          (uint32_t)op->number, 0, n, backward);
    else if (to != from)
        memcpy(to, from, (size_t)(n * pass->itemsize));
}

static void alpha_dropout_forward(fnn_pass *pass, const fnn_op *op)
{
    drop_alpha(pass, op, y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), 0);
}

static void alpha_dropout_backward(fnn_pass *pass, const fnn_op *op)
{
    drop_alpha(pass, op, dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), 1);
}

static void scale_place(fnn_network *n, fnn_op *op)
{
    fnn_place_value(n, op->outputs[0]);
    need_sums(n, op, 1);
}

/* A weight of one factor is that of all features: each element is then a row. */
static int64_t scale_rows(const fnn_pass *pass, const fnn_op *op, int64_t *n)
{
    *n = pass->network->parameters[op->parameters[0]].columns;
    return rows_in(pass, op) * value(pass, op->inputs[0])->features / *n;
}

static void scale_forward(fnn_pass *pass, const fnn_op *op)
{
    int64_t n;
    const int64_t rows = scale_rows(pass, op, &n);
    plain_of(pass)->scale_rows(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), parameter(pass, op, 0), rows, n);
}

static void scale_backward(fnn_pass *pass, const fnn_op *op)
{
    int64_t n;
    const int64_t rows = scale_rows(pass, op, &n);
    const char *const dy = dy_of(pass, op->outputs[0]);
    if (op->need_dx) plain_of(pass)->scale_rows(dy_of(pass, op->inputs[0]), dy, parameter(pass, op, 0), rows, n);
    plain_of(pass)->sum_products(gradient(pass, op, 0), zero_sums(pass, n), dy, y_of(pass, op->inputs[0]), rows, n);
    finished(pass, op, 0);
}

/* The rows of an ensemble's k members lie together: each number of a row has factors of its own, k times as many as features. */
static int64_t groups_of(const fnn_pass *pass, const fnn_op *op)
{
    return pass->batch * value(pass, op->outputs[0])->times / op->number;
}

/* Whether the row is the first of its ensemble, before which one row stands for all members. */
static int spreads(const fnn_value *values, const fnn_op *op)
{
    return values[op->inputs[0]].times != values[op->outputs[0]].times;
}

static void members_in_place(fnn_network *n, fnn_op *op)
{
    const fnn_value *y = &n->values[op->outputs[0]];
    fnn_place_value(n, op->outputs[0]);
    if (spreads(n->values, op))
        op->kept = fnn_take(n, n->capacity * y->times * y->features * (n->dtype == FNN_F32 ? 4 : 8));
    need_sums(n, op, 2 * op->number);
}

/* x of each member. */
static char *members_of(const fnn_pass *pass, const fnn_op *op)
{
    return spreads(pass->network->values, op) ? at(pass, op->kept) : y_of(pass, op->inputs[0]);
}

/* y = x r */
static void members_in_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t groups = groups_of(pass, op), n = value(pass, op->inputs[0])->features;
    char *const x = members_of(pass, op);
    if (spreads(pass->network->values, op)) plain_of(pass)->spread(x, y_of(pass, op->inputs[0]), groups, op->number, n);
    plain_of(pass)->scale_rows(y_of(pass, op->outputs[0]), x, parameter(pass, op, 0), groups, op->number * n);
}

static void members_in_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t groups = groups_of(pass, op), n = value(pass, op->inputs[0])->features, all = op->number * n;
    char *const dy = dy_of(pass, op->outputs[0]), *const dx = dy_of(pass, op->inputs[0]);
    const int first = spreads(pass->network->values, op);
    plain_of(pass)->scale_and_add_backward(op->need_dx ? first ? dy : dx : NULL, gradient(pass, op, 0), NULL,
                                           zero_sums(pass, 2 * all), dy, members_of(pass, op), parameter(pass, op, 0),
                                           groups, all);
    if (op->need_dx && first) plain_of(pass)->gather(dx, dy, groups, op->number, n, 1);
    finished(pass, op, 0);
}

static void members_out_place(fnn_network *n, fnn_op *op)
{
    fnn_place_value(n, op->outputs[0]);
    need_sums(n, op, 2 * op->number);
}

/* y = z s + b */
static void members_out_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t groups = groups_of(pass, op), all = op->number * value(pass, op->inputs[0])->features;
    char *const y = y_of(pass, op->outputs[0]);
    plain_of(pass)->scale_and_add(y, y_of(pass, op->inputs[0]), parameter(pass, op, 0), parameter(pass, op, 1), groups,
                                  all);
}

static void members_out_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t groups = groups_of(pass, op), all = op->number * value(pass, op->inputs[0])->features;
    const char *const dy = dy_of(pass, op->outputs[0]), *const z = y_of(pass, op->inputs[0]);
    plain_of(pass)->scale_and_add_backward(dy_of(pass, op->inputs[0]), gradient(pass, op, 0), gradient(pass, op, 1),
                                           zero_sums(pass, 2 * all), dy, z, parameter(pass, op, 0), groups, all);
    finished(pass, op, 0);
    finished(pass, op, 1);
}

/* The mean over members; training has no such row, as each has a loss of its own. */
static void mean_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_value *y = value(pass, op->outputs[0]);
    plain_of(pass)->gather(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), pass->batch * y->times, op->number,
                           y->features, (double)op->number);
}
#define mean_backward rest

/* Matrices of `number` columns, so that what lies along their rows' axis is contiguous; and back. */
static void transpose_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_value *x = value(pass, op->inputs[0]);
    const int64_t rows = value(pass, op->outputs[0])->features, columns = op->number;
    plain_of(pass)->transpose(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]),
                              pass->batch * x->times * x->features / (rows * columns), rows, columns);
}

static void transpose_backward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_value *x = value(pass, op->inputs[0]);
    const int64_t rows = value(pass, op->outputs[0])->features, columns = op->number;
    plain_of(pass)->transpose(dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]),
                              pass->batch * x->times * x->features / (rows * columns), columns, rows);
}
