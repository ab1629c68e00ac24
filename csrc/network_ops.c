/*
 * network_ops.c: the kinds of rows of a compiled network: how each is placed, its forward and its backward pass.
 *
 * Design
 * A. A backward function reads the gradient by the row's output and writes that by its input, and hands each finished
 *    gradient of a parameter to finished() or, in strips, to fnn_update_rows().
 * B. Where a row's activation is followed by a product, the derivative is applied by that product's backward form, on what is
 *    finished and still in L1 (`differentiates`).
 * C. What has no form in panels stands between a row `to_rows` and a row `to_panels`.
 */
#include "network_ops.h"

#include <string.h>

static char *at(const fnn_pass *pass, int64_t offset) { return pass->arena + offset; }

static const fnn_value *value(const fnn_pass *pass, int number) { return &pass->network->values[number]; }

static char *y_of(const fnn_pass *pass, int number)
{
    if (number == pass->network->input) return pass->x;
    return number == pass->network->output ? pass->y : at(pass, value(pass, number)->y);
}

static char *dy_of(const fnn_pass *pass, int number) { return at(pass, value(pass, number)->dy); }

static fnn_panels y_panels(const fnn_pass *pass, int number)
{
    return (fnn_panels){y_of(pass, number), value(pass, number)->panel};
}

static fnn_panels dy_panels(const fnn_pass *pass, int number)
{
    return (fnn_panels){dy_of(pass, number), value(pass, number)->panel};
}

/* Rows of a row's first input. */
static int64_t rows_in(const fnn_pass *pass, const fnn_op *op)
{
    return pass->batch * value(pass, op->inputs[0])->times;
}

/* The values of a kind are contiguous runs: one of all rows, or one of each panel. */
typedef struct {
    int64_t count, elements, apart;
} runs;

static runs runs_of(const fnn_pass *pass, int number)
{
    const fnn_value *v = value(pass, number);
    const int64_t rows = pass->batch * v->times;
    if (!v->in_panels) return (runs){1, rows * v->features, 0};
    return (runs){(rows + FNN_PANEL - 1) / FNN_PANEL, FNN_PANEL * v->features, v->panel * pass->itemsize};
}

static void *parameter(const fnn_pass *pass, const fnn_op *op, int i)
{
    return op->parameters[i] < 0 ? NULL : pass->network->parameters[op->parameters[i]].data;
}

/* Where the gradient of a row's parameter is made. */
static void *gradient(const fnn_pass *pass, const fnn_op *op, int i)
{
    return at(pass, pass->network->parameters[op->parameters[i]].gradient);
}

static void finished(fnn_pass *pass, const fnn_op *op, int i)
{
    if (pass->updating && op->parameters[i] >= 0)
        fnn_update_rows(pass, op->parameters[i], gradient(pass, op, i), 0,
                        pass->network->parameters[op->parameters[i]].rows);
}

static void place_output(fnn_network *n, fnn_op *op) { fnn_place_value(n, op->outputs[0]); }

static void to_panels_forward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t features = value(pass, op->inputs[0])->features;
    pass->kernels->to_panels(y_panels(pass, op->outputs[0]), y_of(pass, op->inputs[0]), features, rows_in(pass, op),
                             features);
}

static void to_panels_backward(fnn_pass *pass, const fnn_op *op)
{
    const int64_t features = value(pass, op->inputs[0])->features;
    pass->kernels->from_panels(dy_of(pass, op->inputs[0]), features, dy_panels(pass, op->outputs[0]), rows_in(pass, op),
                               features);
}

/* Whether a row makes the output, and the loss reads the panels before it instead. */
static int is_left_out(const fnn_pass *pass, const fnn_op *op)
{
    return pass->panels_alone && op->outputs[0] == pass->network->output;
}

static void to_rows_forward(fnn_pass *pass, const fnn_op *op)
{
    if (is_left_out(pass, op)) return;
    const int64_t features = value(pass, op->inputs[0])->features;
    pass->kernels->from_panels(y_of(pass, op->outputs[0]), features, y_panels(pass, op->inputs[0]), rows_in(pass, op),
                               features);
}

static void to_rows_backward(fnn_pass *pass, const fnn_op *op)
{
    if (is_left_out(pass, op)) return;
    const int64_t features = value(pass, op->inputs[0])->features;
    pass->kernels->to_panels(dy_panels(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), features, rows_in(pass, op),
                             features);
}

/* The outputs are the input. */
static void place_on_input(fnn_network *n, fnn_op *op)
{
    const fnn_value *x = &n->values[op->inputs[0]];
    for (int i = 0; i < 2 && op->outputs[i] >= 0; i++) {
        n->values[op->outputs[i]].y = x->y;
        n->values[op->outputs[i]].panel = x->panel;
    }
}

static void rest(fnn_pass *pass, const fnn_op *op)
{
    (void)pass;
    (void)op;
}

/* The same numbers as rows of another length: in training in the same place. */
static void reshape_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_value *x = value(pass, op->inputs[0]);
    char *const to = y_of(pass, op->outputs[0]);
    const char *const from = y_of(pass, op->inputs[0]);
    if (to != from) memcpy(to, from, (size_t)(pass->batch * x->times * x->features * pass->itemsize));
}
#define reshape_backward rest

#define fork_forward rest

/* to = a + b over the runs of a value; to may be a. */
static void add_runs(const fnn_pass *pass, int like, char *to, const char *a, const char *b)
{
    const runs r = runs_of(pass, like);
    for (int64_t i = 0; i < r.count; i++)
        pass->kernels->add(to + i * r.apart, a + i * r.apart, b + i * r.apart, r.elements);
}

static void fork_backward(fnn_pass *pass, const fnn_op *op)
{
    add_runs(pass, op->inputs[0], dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), dy_of(pass, op->outputs[1]));
}

static void add_forward(fnn_pass *pass, const fnn_op *op)
{
    add_runs(pass, op->inputs[0], y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), y_of(pass, op->inputs[1]));
}

/* The first input's gradient is the output's; the second, whose row may write over it, has a copy. */
static void add_backward(fnn_pass *pass, const fnn_op *op)
{
    const runs r = runs_of(pass, op->inputs[0]);
    char *const to = dy_of(pass, op->inputs[1]);
    const char *const from = dy_of(pass, op->outputs[0]);
    for (int64_t i = 0; i < r.count; i++)
        memcpy(to + i * r.apart, from + i * r.apart, (size_t)(r.elements * pass->itemsize));
}

/* Elements between the transposed panels of a gradient by a value of so many rows for each of the batch. */
static int64_t transposed_panel(const fnn_network *n, int64_t times) { return FNN_PANEL * (n->capacity * times + 1); }

static void linear_place(fnn_network *n, fnn_op *op)
{
    const fnn_value *y = &n->values[op->outputs[0]];
    const int64_t itemsize = n->dtype == FNN_F32 ? 4 : 8, rows = n->capacity * y->times;
    const int64_t panels = (rows + FNN_PANEL - 1) / FNN_PANEL;
    fnn_place_value(n, op->outputs[0]);
    if (op->activation != FNN_identity && !op->from_y)
        op->kept = fnn_take(n, (y->in_panels ? panels * y->panel : rows * y->features) * itemsize);
    fnn_need_scratch(n, (y->features + FNN_PANEL - 1) / FNN_PANEL * transposed_panel(n, y->times) * itemsize);
}

/* One of the three products of a row, and what its parts need to know. */
typedef struct {
    fnn_pass *pass;
    const fnn_op *op;
    const fnn_parameter *w;
    fnn_panels transposed; /* dz, for the gradient of the weight */
} product;

static double multiply_adds(const product *g)
{
    return (double)rows_in(g->pass, g->op) * (double)g->w->rows * (double)g->w->columns;
}

static fnn_panels from_feature(const product *g, fnn_panels panels, int64_t first)
{
    return (fnn_panels){(char *)panels.data + first * FNN_PANEL * g->pass->itemsize, panels.panel};
}

/* Units [first, first + count) of y = activation(x weight + bias), and of z = x weight + bias where training needs it. */
static int forward_part(void *context, int64_t first, int64_t count)
{
    const product *g = context;
    const fnn_pass *pass = g->pass;
    const fnn_op *op = g->op;
    const int keeps_z = pass->training && op->activation != FNN_identity && !op->from_y;
    char *const z = keeps_z ? at(pass, op->kept) + first * FNN_PANEL * pass->itemsize : NULL;
    const char *bias = parameter(pass, op, 1), *weight = (const char *)g->w->data + first * pass->itemsize;
    const fnn_epilogue e = {bias ? bias + first * pass->itemsize : NULL, z, op->activation, op->params};
    return pass->kernels->forward_panels(from_feature(g, y_panels(pass, op->outputs[0]), first),
                                         y_panels(pass, op->inputs[0]), weight, g->w->row, rows_in(pass, op),
                                         g->w->rows, count, &e);
}

static void linear_forward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_parameter *w = &pass->network->parameters[op->parameters[0]];
    product g = {pass, op, w, {NULL, 0}};
    int code;
    if (value(pass, op->outputs[0])->in_panels) {
        code = fnn_split_rows(w->columns, multiply_adds(&g), forward_part, &g);
    } else {
        const fnn_epilogue e = {parameter(pass, op, 1), NULL, op->activation, op->params};
        const fnn_matrix x = {y_of(pass, op->inputs[0]), w->rows, 1}, weight = {w->data, w->row, 1};
        const fnn_rectangle whole = {0, 0, rows_in(pass, op), w->columns};
        code = fnn_matmul(pass->network->dtype, y_of(pass, op->outputs[0]), w->columns, x, weight, whole, w->rows, &e);
    }
    if (code) pass->code = code;
}

/* What act' of a row is computed from. */
static const char *saved(const fnn_pass *pass, const fnn_op *op)
{
    if (op->from_y) return y_of(pass, op->outputs[0]);
    return op->kind == FNN_OP_linear ? at(pass, op->kept) : y_of(pass, op->inputs[0]);
}

static fnn_backward_fn derivative(const fnn_pass *pass, const fnn_op *op)
{
    return op->from_y ? pass->kernels->backward_y[op->activation] : pass->kernels->backward_x[op->activation];
}

/* dx = dy act'(saved) over the gradient by the output. */
static void differentiate(const fnn_pass *pass, const fnn_op *op)
{
    if (op->differentiated || op->activation == FNN_identity) return;
    const runs r = runs_of(pass, op->outputs[0]);
    char *const dy = dy_of(pass, op->outputs[0]);
    const char *const from = saved(pass, op);
    for (int64_t i = 0; i < r.count; i++)
        derivative(pass, op)(dy + i * r.apart, dy + i * r.apart, from + i * r.apart, r.elements, op->params);
}

/* Features [first, first + count) of dx = dz weight^T, times the derivative of the row before. */
static int dx_part(void *context, int64_t first, int64_t count)
{
    const product *g = context;
    const fnn_pass *pass = g->pass;
    const fnn_op *op = g->op, *before = op->differentiates < 0 ? NULL : &pass->network->ops[op->differentiates];
    fnn_derivative d = {NULL, NULL, NULL};
    if (before) {
        d = (fnn_derivative){derivative(pass, before), saved(pass, before), before->params};
        d.saved = (const char *)d.saved + first * FNN_PANEL * pass->itemsize;
    }
    return pass->kernels->dx_panels(from_feature(g, dy_panels(pass, op->inputs[0]), first),
                                    dy_panels(pass, op->outputs[0]),
                                    (const char *)g->w->data + first * g->w->row * pass->itemsize, g->w->row,
                                    rows_in(pass, op), count, g->w->columns, before ? &d : NULL);
}

static void update_strip(void *context, void *strip, int64_t first, int64_t rows)
{
    const product *g = context;
    if (g->pass->updating) fnn_update_rows(g->pass, g->op->parameters[0], strip, first, rows);
}

/* Rows [first, first + count) of dweight = x^T dz, strip by strip, and their update. */
static int dweight_in_strips(const product *g, int64_t first, int64_t count)
{
    const fnn_pass *pass = g->pass;
    return pass->kernels->dweight_panels(pass->network->keeps_gradients ? gradient(pass, g->op, 0) : NULL, g->w->row,
                                         y_panels(pass, g->op->inputs[0]), g->transposed, rows_in(pass, g->op),
                                         g->w->columns, first, first + count, pass->updating ? g->w->data : NULL,
                                         update_strip, (void *)g);
}

/* The same; a plain step of SGD by tiles, without strips. */
static int dweight_part(void *context, int64_t first, int64_t count)
{
    const product *g = context;
    const fnn_pass *pass = g->pass;
    const double rate = rows_in(pass, g->op) > FNN_K_CHUNK ? 0 : fnn_descent(pass, g->op->parameters[0]);
    if (rate != 0) {
        pass->kernels->descend_panels(g->w->data, g->w->row, y_panels(pass, g->op->inputs[0]), g->transposed,
                                      rows_in(pass, g->op), g->w->columns, first, first + count, rate);
        return FNN_OK;
    }
    return dweight_in_strips(g, first, count);
}

/* z = x weight + bias: dx = dz weight^T, before weight changes; dweight = x^T dz; dbias = sum of dz */
static void linear_backward(fnn_pass *pass, const fnn_op *op)
{
    const fnn_network *n = pass->network;
    const fnn_parameter *w = &n->parameters[op->parameters[0]];
    product g = {pass, op, w, {at(pass, n->scratch), transposed_panel(n, value(pass, op->outputs[0])->times)}};
    int code = FNN_OK;
    differentiate(pass, op);
    if (op->need_dx) code = fnn_split_rows(w->rows, multiply_adds(&g), dx_part, &g);
    if (code == FNN_OK) {
        void *const dbias = op->parameters[1] < 0 ? NULL : gradient(pass, op, 1);
        pass->kernels->transpose_panels(g.transposed, dbias, dy_panels(pass, op->outputs[0]), rows_in(pass, op),
                                        w->columns);
        finished(pass, op, 1);
        code = fnn_split_rows(w->rows, multiply_adds(&g), dweight_part, &g);
    }
    if (code) pass->code = code;
}

/* The gradients of weights, of no rows: they take their scratch first. */
int fnn_reserve_scratch(fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    int code = FNN_OK;
    for (int i = 0; i < n->ops_count && code == FNN_OK; i++) {
        product g = {pass, &n->ops[i], NULL, {NULL, 0}};
        if (g.op->kind != FNN_OP_linear) continue;
        g.w = &n->parameters[g.op->parameters[0]];
        code = dweight_in_strips(&g, 0, 0); /* which some minibatches may need and others not */
    }
    return code;
}

static void activation_forward(fnn_pass *pass, const fnn_op *op)
{
    const runs r = runs_of(pass, op->inputs[0]);
    char *const y = y_of(pass, op->outputs[0]);
    const char *const x = y_of(pass, op->inputs[0]);
    for (int64_t i = 0; i < r.count; i++)
        pass->kernels->forward[op->activation](y + i * r.apart, x + i * r.apart, r.elements, op->params);
}

static void activation_backward(fnn_pass *pass, const fnn_op *op) { differentiate(pass, op); }

static int64_t shared_prelu(const fnn_pass *pass, const fnn_op *op)
{
    return pass->network->parameters[op->parameters[0]].columns == 1;
}

/* A sum for each feature, in whole vectors. */
static int64_t sums_length(int64_t features) { return (features + FNN_ROW_LANES) / FNN_ROW_LANES * FNN_ROW_LANES; }

/* Scratch for `each` times such sums over rows, in float64. */
static void need_sums(fnn_network *n, const fnn_op *op, int64_t each)
{
    fnn_need_scratch(n, each * sums_length(n->values[op->inputs[0]].features) * (int64_t)sizeof(double));
}

static double *zero_sums(const fnn_pass *pass, int64_t count)
{
    return memset(at(pass, pass->network->scratch), 0, (size_t)count * sizeof(double));
}

static void prelu_place(fnn_network *n, fnn_op *op)
{
    fnn_place_value(n, op->outputs[0]);
    need_sums(n, op, 1);
}

static void prelu_forward(fnn_pass *pass, const fnn_op *op)
{
    pass->kernels->prelu_forward(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), parameter(pass, op, 0),
                                 rows_in(pass, op), value(pass, op->inputs[0])->features, (int)shared_prelu(pass, op));
}

static void prelu_backward(fnn_pass *pass, const fnn_op *op)
{
    const int shared = (int)shared_prelu(pass, op);
    int64_t batch = rows_in(pass, op), features = value(pass, op->inputs[0])->features;
    double *const sums = zero_sums(pass, sums_length(features));
    if (shared) {
        batch *= features;
        features = 1;
    }
    pass->kernels->prelu_backward(dy_of(pass, op->inputs[0]), gradient(pass, op, 0), sums, dy_of(pass, op->outputs[0]),
                                  y_of(pass, op->inputs[0]), parameter(pass, op, 0), batch, features, shared);
    finished(pass, op, 0);
}

static void maxout_place(fnn_network *n, fnn_op *op)
{
    fnn_place_value(n, op->outputs[0]);
    const fnn_value *y = &n->values[op->outputs[0]];
    op->kept = fnn_take(n, n->capacity * y->times * y->features * (int64_t)sizeof(int64_t));
}

static void maxout_forward(fnn_pass *pass, const fnn_op *op)
{
    int64_t *const index = pass->training ? (int64_t *)at(pass, op->kept) : NULL;
    pass->kernels->maxout_forward(y_of(pass, op->outputs[0]), index, y_of(pass, op->inputs[0]),
                                  rows_in(pass, op) * value(pass, op->outputs[0])->features, op->number);
}

static void maxout_backward(fnn_pass *pass, const fnn_op *op)
{
    pass->kernels->maxout_backward(dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]),
                                   (const int64_t *)at(pass, op->kept),
                                   rows_in(pass, op) * value(pass, op->outputs[0])->features, op->number);
}

static void by_rows(const fnn_pass *pass, const fnn_op *op, fnn_rows_fn f)
{
    f(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), rows_in(pass, op), value(pass, op->inputs[0])->features);
}

static void by_rows_backward(const fnn_pass *pass, const fnn_op *op, fnn_rows_backward_fn f)
{
    f(dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]), y_of(pass, op->outputs[0]), rows_in(pass, op),
      value(pass, op->inputs[0])->features);
}

static void softmax_forward(fnn_pass *pass, const fnn_op *op) { by_rows(pass, op, pass->kernels->softmax_forward); }

static void softmax_backward(fnn_pass *pass, const fnn_op *op)
{
    by_rows_backward(pass, op, pass->kernels->softmax_backward);
}

static void log_softmax_forward(fnn_pass *pass, const fnn_op *op)
{
    by_rows(pass, op, pass->kernels->log_softmax_forward);
}

static void log_softmax_backward(fnn_pass *pass, const fnn_op *op)
{
    by_rows_backward(pass, op, pass->kernels->log_softmax_backward);
}

/* Linear in its input, so its own gradient. */
static void drop(const fnn_pass *pass, const fnn_op *op, char *to, const char *from)
{
    pass->kernels->dropout(to, from, op->params[0], op->seed, (uint32_t)pass->step, (uint32_t)op->number, 0,
                           rows_in(pass, op) * value(pass, op->inputs[0])->features);
}

static void dropout_forward(fnn_pass *pass, const fnn_op *op)
{
    drop(pass, op, y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]));
}

static void dropout_backward(fnn_pass *pass, const fnn_op *op)
{
    drop(pass, op, dy_of(pass, op->inputs[0]), dy_of(pass, op->outputs[0]));
}

static void norm_place(fnn_network *n, fnn_op *op)
{
    fnn_place_value(n, op->outputs[0]);
    need_sums(n, op, 2);
}

static void norm(fnn_pass *pass, const fnn_op *op, fnn_norm_fn f)
{
    f(y_of(pass, op->outputs[0]), y_of(pass, op->inputs[0]), parameter(pass, op, 0), parameter(pass, op, 1),
      op->params[0], rows_in(pass, op), value(pass, op->inputs[0])->features);
}

/* A parameter's gradient from sums in float64. */
static void round_sums(fnn_pass *pass, const fnn_op *op, int i, const double *sums)
{
    if (op->parameters[i] < 0) return;
    void *const to = gradient(pass, op, i);
    const int64_t features = value(pass, op->inputs[0])->features;
    for (int64_t j = 0; j < features; j++) {
        if (pass->network->dtype == FNN_F32)
            ((float *)to)[j] = (float)sums[j];
        else
            ((double *)to)[j] = sums[j];
    }
    finished(pass, op, i);
}

static void norm_backward(fnn_pass *pass, const fnn_op *op, fnn_norm_backward_fn f, int centred)
{
    const int64_t features = value(pass, op->inputs[0])->features;
    double *const dweight = zero_sums(pass, 2 * sums_length(features)), *const dbias = dweight + sums_length(features);
    f(dy_of(pass, op->inputs[0]), dweight, centred ? dbias : NULL, dy_of(pass, op->outputs[0]),
      y_of(pass, op->inputs[0]), parameter(pass, op, 0), op->params[0], rows_in(pass, op), features);
    round_sums(pass, op, 0, dweight);
    round_sums(pass, op, 1, dbias);
}

static void layer_norm_forward(fnn_pass *pass, const fnn_op *op) { norm(pass, op, pass->kernels->layer_norm_forward); }

static void layer_norm_backward(fnn_pass *pass, const fnn_op *op)
{
    norm_backward(pass, op, pass->kernels->layer_norm_backward, 1);
}

static void rms_norm_forward(fnn_pass *pass, const fnn_op *op) { norm(pass, op, pass->kernels->rms_norm_forward); }

static void rms_norm_backward(fnn_pass *pass, const fnn_op *op)
{
    norm_backward(pass, op, pass->kernels->rms_norm_backward, 0);
}

#include "network_rows.inc.h"

#include "network_columns.inc.h"

/* clang-format off */
#define ROW(name, place, in_place) ROW_OF(name, place, in_place, NULL, 0)
#define ROW_OF(name, place, in_place, commit, keeps_at_inference)                                                      \
    [FNN_OP_##name] = {#name, place, name##_forward, name##_backward, in_place, commit, keeps_at_inference}
const fnn_op_row fnn_op_rows[FNN_OP_COUNT] = {
    ROW(to_panels, place_output, 0),
    ROW(to_rows, place_output, 0),
    ROW(fork, place_on_input, 1),
    ROW(reshape, place_on_input, 1),
    ROW(add, place_output, 1),
    ROW(linear, linear_place, 0),
    ROW(activation, place_output, 1),
    ROW(prelu, prelu_place, 0),
    ROW(maxout, maxout_place, 0),
    ROW(softmax, place_output, 0),
    ROW(log_softmax, place_output, 0),
    ROW(dropout, place_output, 1),
    ROW(layer_norm, norm_place, 0),
    ROW(rms_norm, norm_place, 0),
    ROW_OF(batch_norm, batch_norm_place, 0, batch_norm_commit, 1),
    ROW(alpha_dropout, place_output, 1),
    ROW(scale, scale_place, 0),
    ROW_OF(members_in, members_in_place, 0, NULL, 1),
    ROW(members_out, members_out_place, 0),
    ROW(mean, place_output, 0),
    ROW(columns, columns_place, 0),
    ROW(concatenate, place_output, 0),
    ROW(standardize, place_output, 0),
    ROW_OF(embedding, embedding_place, 0, NULL, 1),
    ROW(periodic, periodic_place, 0),
    ROW_OF(piecewise_linear, piecewise_linear_place, 0, NULL, 1),
    ROW(transpose, place_output, 0),
};
/* clang-format on */
