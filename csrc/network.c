/*
 * network.c: the passes over the rows of a compiled network in training, its arena, and the steps.
 */
#include "platform.h" /* first: it asks the system for more than C11 */

#include "network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network_ops.h"
#include "plain.h"

enum { PAGE = 4096 };

int64_t fnn_take(fnn_network *network, int64_t bytes)
{
    const int64_t offset = network->used;
    network->used += (bytes + FNN_LINE - 1) / FNN_LINE * FNN_LINE;
    return offset;
}

void fnn_need_scratch(fnn_network *network, int64_t bytes)
{
    if (network->scratch_size < bytes) network->scratch_size = bytes;
}

static int64_t itemsize_of(const fnn_network *n) { return n->dtype == FNN_F32 ? 4 : 8; }

int64_t fnn_numbers_a_row(const fnn_network *n, int value)
{
    return n->values[value].times * n->values[value].features;
}

int64_t fnn_bytes_of(const fnn_network *n, const fnn_value *v)
{
    const int64_t rows = n->capacity * v->times, panels = (rows + FNN_PANEL - 1) / FNN_PANEL;
    return (v->in_panels ? panels * v->panel : rows * v->features) * (v->wide ? 8 : itemsize_of(n));
}

void fnn_place_value(fnn_network *n, int value)
{
    fnn_value *const v = &n->values[value];
    v->panel = v->features * FNN_PANEL;
    if (v->panel * itemsize_of(n) % PAGE == 0) v->panel += FNN_PANEL; /* panels a page apart share sets of L1 */
    v->y = fnn_take(n, fnn_bytes_of(n, v));
}

/* Gradients, from the output to the input: each is read by one row, which writes those by its inputs. */
static void place_gradients(fnn_network *n)
{
    n->values[n->output].dy = fnn_take(n, fnn_bytes_of(n, &n->values[n->output]));
    for (int i = n->ops_count - 1; i >= 0; i--) {
        const fnn_op *op = &n->ops[i];
        for (int j = 0; j < 2; j++)
            if (op->inputs[j] >= 0) {
                fnn_value *const x = &n->values[op->inputs[j]];
                x->dy = j == 0 && fnn_op_rows[op->kind].in_place ? n->values[op->outputs[0]].dy
                                                                 : fnn_take(n, fnn_bytes_of(n, x));
            }
        for (int j = 0; op->kind == FNN_OP_concatenate && j < op->many_count; j++)
            n->values[op->many[j]].dy = fnn_take(n, fnn_bytes_of(n, &n->values[op->many[j]]));
    }
}

/* Place everything; how much memory that takes is then in n->used. */
static void place(fnn_network *n)
{
    const int64_t batch = n->capacity, features = n->values[n->output].features;
    const int64_t each = batch * features * itemsize_of(n); /* bytes of the output of one member */
    n->used = n->scratch_size = 0;
    if (n->input >= 0) fnn_place_value(n, n->input);
    if (n->wide_input >= 0) fnn_place_value(n, n->wide_input);
    for (int i = 0; i < n->ops_count; i++) fnn_op_rows[n->ops[i].kind].place(n, &n->ops[i]);
    place_gradients(n);
    for (int i = 0; i < n->parameters_count; i++) {
        fnn_parameter *const p = &n->parameters[i];
        if (n->keeps_gradients || !p->in_strips) p->gradient = fnn_take(n, p->rows * p->row * itemsize_of(n));
    }
    n->target = fnn_take(n, each);
    fnn_need_scratch(n, 4 * each); /* for losses of members and of pairs */
    n->labels = fnn_take(n, batch * (int64_t)sizeof(int64_t));
    n->sample_weight = fnn_take(n, batch * itemsize_of(n));
    for (int i = 0; i < n->parameters_count; i++) /* for the weights of a unit */
        fnn_need_scratch(n, (n->parameters[i].k_major ? n->parameters[i].rows : n->parameters[i].columns) *
                                itemsize_of(n));
    n->scratch = fnn_take(n, n->scratch_size);
}

int fnn_network_reserve(fnn_network *n, int64_t capacity)
{
    const int64_t before = n->capacity;
    if (capacity <= before) return FNN_OK;
    n->capacity = capacity;
    place(n);
    char *const arena = aligned_alloc(PAGE, (size_t)(n->used + PAGE - 1) / PAGE * PAGE);
    if (!arena) {
        n->capacity = before;
        if (before) place(n);
        return FNN_NO_MEMORY;
    }
    memset(arena, 0, (size_t)n->used); /* what pads batches and gradients of weights starts as 0 */
    free(n->arena);
    n->arena = arena;
    return FNN_OK;
}

void fnn_network_free(fnn_network *n) { free(n->arena); }

/* The data from its i-th row on. */
static fnn_data data_from(const fnn_data *data, int64_t i)
{
    fnn_data d = *data;
    if (d.order) {
        d.order += i;
        return d;
    }
    d.x.data = (const char *)d.x.data + i * d.x.row * d.x.itemsize;
    if (d.labels)
        d.labels += i;
    else
        d.target.data = (const char *)d.target.data + i * d.target.row * d.target.itemsize;
    if (d.sample_weight) d.sample_weight += i;
    return d;
}

/* The first rows of an array, to contiguous rows of `to`. */
static void gather(const fnn_pass *pass, void *to, const fnn_array *x, const int64_t *order, int64_t features)
{
    pass->kernels->gather_rows(to, x->data, x->from, x->row, order, pass->batch, features);
}

/* Numbers in a row of a loss's input: half of the output's where the loss is of a pair. */
static int64_t loss_features(const fnn_network *n)
{
    return n->values[n->output].features / (fnn_loss_rows[n->loss].kind == FNN_PAIR ? 2 : 1);
}

/* The targets of the first rows of the data. FNN_REFUSED where the loss does not accept one. */
static int gather_target(const fnn_pass *pass, const fnn_data *data, fnn_target *t)
{
    const fnn_network *n = pass->network;
    const fnn_loss_row *row = &fnn_loss_rows[n->loss];
    const int64_t outputs = loss_features(n);
    *t = (fnn_target){.class_weight = n->class_weight, .second = n->second, .ignore_index = n->ignore_index};
    if (data->sample_weight) {
        const fnn_array weights = {data->sample_weight, FNN_FROM_F64, 1, sizeof(double)};
        gather(pass, n->arena + n->sample_weight, &weights, data->order, 1);
        t->sample_weight = n->arena + n->sample_weight;
    }
    if (data->labels) {
        int64_t *const labels = (int64_t *)(n->arena + n->labels);
        t->labels = labels;
        for (int64_t i = 0; i < pass->batch; i++) {
            labels[i] = data->labels[data->order ? data->order[i] : i];
            if ((labels[i] < 0 || labels[i] >= outputs) && labels[i] != n->ignore_index) return FNN_REFUSED;
        }
        return FNN_OK;
    }
    const int64_t each = row->target == FNN_NUMBER_A_ROW ? 1 : outputs;
    t->values = n->arena + n->target;
    gather(pass, n->arena + n->target, &data->target, data->order, each);
    const int refused = row->accepts.target != ANY &&
                        pass->kernels->first_refused(t->values, pass->batch * each, row->accepts.target) >= 0;
    return refused ? FNN_REFUSED : FNN_OK;
}

void fnn_gather_input(const fnn_pass *pass, const fnn_array *x, const int64_t *order, int64_t soon)
{
    const fnn_network *n = pass->network;
    if (n->wide_input >= 0) {
        const fnn_value *wide = &n->values[n->wide_input];
        fnn_kernels_for(FNN_F64)->gather_rows(pass->arena + wide->y, x->data, x->from, x->row, order, pass->batch,
                                              wide->features * wide->times);
    }
    if (n->input < 0) return;
    const fnn_value *to = &n->values[n->input];
    if (to->in_panels)
        pass->kernels->gather_panels((fnn_panels){pass->x, to->panel}, x->data, x->from, x->row, order, pass->batch,
                                     to->features, order ? order + pass->batch : NULL, soon);
    else
        gather(pass, pass->x, x, order, to->features * to->times);
}

static int penalised(const fnn_network *n, const fnn_parameter *p)
{
    return p->is_weight && (n->regularisation.l1 != 0 || n->regularisation.l2 != 0);
}

/* Whether penalties or clipping by value change the gradient of a parameter. */
static int regularised(const fnn_network *n, const fnn_parameter *p)
{
    return penalised(n, p) || n->regularisation.clip_value < INFINITY;
}

/* g, the gradient of rows of a parameter, with penalties and clipping by value. */
static void regularise(const fnn_pass *pass, const fnn_parameter *p, void *g, int64_t first, int64_t n)
{
    const fnn_regularisation *r = &pass->network->regularisation;
    const int penalises = penalised(pass->network, p);
    if (regularised(pass->network, p))
        pass->kernels->regularise(g, (char *)p->data + first * pass->itemsize, n, penalises ? pass->share * r->l1 : 0,
                                  penalises ? pass->share * r->l2 : 0, r->clip_value);
}

/* One step of the optimizer on n elements of a parameter from element `at` on. */
static void update(const fnn_pass *pass, const fnn_parameter *p, void *gradient, int64_t at, int64_t n)
{
    const fnn_group *const group = &pass->network->groups[p->group];
    const int64_t bytes = at * pass->itemsize;
    const int one_run = group->keeps_zeros; /* with what pads the rows */
    const int64_t row = one_run ? n : p->row, columns = one_run ? n : p->columns;
    fnn_rows slots[FNN_MAX_SLOTS];
    for (int i = 0; i < FNN_MAX_SLOTS; i++)
        slots[i] = (fnn_rows){p->slots[i] ? (char *)p->slots[i] + bytes : NULL, row};
    pass->kernels->updates[group->optimizer]((fnn_rows){(char *)p->data + bytes, row}, slots, (fnn_rows){gradient, row},
                                             n / row, columns, group->scalars);
}

double fnn_descent(const fnn_pass *pass, int parameter)
{
    const fnn_parameter *const p = &pass->network->parameters[parameter];
    const fnn_group *const group = &pass->network->groups[p->group];
    if (!pass->updating || regularised(pass->network, p)) return 0;
    return pass->kernels->descent(group->optimizer, group->scalars);
}

void fnn_update_rows(fnn_pass *pass, int parameter, void *gradient, int64_t first, int64_t rows)
{
    const fnn_parameter *const p = &pass->network->parameters[parameter];
    regularise(pass, p, gradient, first * p->row, rows * p->row);
    update(pass, p, gradient, first * p->row, rows * p->row);
}

/* The square of the norm of a gradient, in the order of its memory. */
static double square_of_norm(const fnn_pass *pass, const fnn_parameter *p, const char *gradient)
{
    double total = 0, row;
    for (int64_t i = 0; i < p->rows; i++, gradient += p->row * pass->itemsize) {
        pass->kernels->sums_of_squares(&row, gradient, 1, p->columns);
        total += row;
    }
    return total;
}

/* A step by gradients that are all there. */
static void update_all(fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    const double limit = n->regularisation.clip_norm;
    double total = 0;
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        regularise(pass, p, n->arena + p->gradient, 0, p->rows * p->row);
        if (limit < INFINITY) total += square_of_norm(pass, p, n->arena + p->gradient);
    }
    const double norm = sqrt(total);
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        void *const g = n->arena + p->gradient;
        if (norm > limit) pass->kernels->scale(g, g, limit / norm, p->rows * p->row);
        update(pass, p, g, 0, p->rows * p->row);
    }
}

/* Add the gradients of a minibatch to those that wait. */
static void gather_gradients(fnn_pass *pass, double rows)
{
    const fnn_network *n = pass->network;
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        (n->waiting->minibatches ? pass->kernels->add_scaled : pass->kernels->scale)(p->sum, n->arena + p->gradient,
                                                                                     rows, p->rows * p->row);
    }
    n->waiting->minibatches++;
    n->waiting->rows += rows;
}

/* The gradients of all rows that wait, as of one minibatch. */
static void mean_of_gathered(fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    pass->share = n->regularisation.of_sum ? 1 / n->waiting->rows : 1;
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        pass->kernels->scale(n->arena + p->gradient, p->sum, 1 / n->waiting->rows, p->rows * p->row);
    }
    *n->waiting = (fnn_waiting){0, 0};
}

/* The penalties on all weights. */
static double penalty(const fnn_network *n)
{
    const fnn_regularisation *r = &n->regularisation;
    double total = 0;
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        if (p->is_weight) total += fnn_penalty(n->dtype, p->data, p->rows * p->row, r->l1, r->l2);
    }
    return total;
}

static void hold_norms(const fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    const double most = n->regularisation.max_norm;
    for (int i = 0; most < INFINITY && i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        if (p->is_weight)
            fnn_hold_norms(n->dtype, p->data, p->rows, p->columns, p->row, p->k_major, most, n->arena + n->scratch);
    }
}

/* Let the averages take their share of the parameters; those of the first step are the first averages. */
static void average(const fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    for (int i = 0; i < n->parameters_count; i++) {
        const fnn_parameter *p = &n->parameters[i];
        const int64_t length = p->rows * p->row;
        if (!p->average) continue;
        if (*n->steps == 0)
            memcpy(p->average, p->data, (size_t)(length * pass->itemsize));
        else
            pass->kernels->average(p->average, p->data, 1 - n->regularisation.ema, length);
    }
}

/* Buffers become what the minibatch has made of them. */
static void commit(const fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    for (int i = 0; i < n->ops_count; i++) {
        const fnn_op_row *row = &fnn_op_rows[n->ops[i].kind];
        if (row->commit) row->commit(pass, &n->ops[i]);
    }
}

/* What follows the updates of a step. */
static void end_step(const fnn_pass *pass)
{
    hold_norms(pass);
    average(pass);
    ++*pass->network->steps;
}

/* The clock, where somebody wants to know what rows take. */
static int64_t begin(const fnn_network *n) { return n->spent ? nanoseconds() : 0; }

static void end(const fnn_network *n, int i, int backward, int64_t began)
{
    if (n->spent) n->spent[2 * i + backward] += 1e-9 * (double)(nanoseconds() - began);
}

void fnn_forward(fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    for (int i = 0; i < n->ops_count && pass->code == FNN_OK; i++) {
        const int64_t began = begin(n);
        fnn_op_rows[n->ops[i].kind].forward(pass, &n->ops[i]);
        end(n, i, 0, began);
    }
}

static void backward(fnn_pass *pass)
{
    const fnn_network *n = pass->network;
    for (int i = n->ops_count - 1; i >= 0 && pass->code == FNN_OK; i--) {
        const int64_t began = begin(n);
        if (n->ops[i].need_dx || n->ops[i].parameters[0] >= 0) fnn_op_rows[n->ops[i].kind].backward(pass, &n->ops[i]);
        end(n, i, 1, began);
    }
}

/* Rows of n elements between arrays whose rows are so many elements apart. */
static void copy_rows(const fnn_pass *pass, char *to, int64_t to_row, const char *from, int64_t from_row, int64_t n)
{
    for (int64_t i = 0; i < pass->batch; i++)
        memcpy(to + i * to_row * pass->itemsize, from + i * from_row * pass->itemsize, (size_t)(n * pass->itemsize));
}

/* The row that makes the output of panels, where there is one and the output is that of one member; or NULL. */
static const fnn_op *last_to_rows(const fnn_network *n)
{
    const fnn_op *last = n->ops_count ? &n->ops[n->ops_count - 1] : NULL;
    return last && last->kind == FNN_OP_to_rows && n->values[n->output].times == 1 ? last : NULL;
}

static void copy_output(const fnn_pass *pass, void *to)
{
    const fnn_network *n = pass->network;
    const fnn_op *last = last_to_rows(n);
    const fnn_value *x = last ? &n->values[last->inputs[0]] : NULL;
    if (x)
        pass->kernels->from_panels(to, x->features, (fnn_panels){n->arena + x->y, x->panel}, pass->batch, x->features);
    else
        memcpy(to, pass->y, (size_t)(pass->batch * fnn_numbers_a_row(n, n->output) * pass->itemsize));
}

/* Whether the loss has a form in panels, and there are the panels for it. */
static int has_loss_of_panels(const fnn_network *n, const fnn_target *target)
{
    return last_to_rows(n) && n->loss == FNN_LOSS_cross_entropy && n->loss_params[0] == 0 && n->most == INFINITY &&
           target->labels && !target->class_weight;
}

/* *sum receives the values of that loss, and the panels scale times its gradient. 0 where it goes by rows: they are made then. */
static int loss_of_panels(fnn_pass *pass, const fnn_target *target, double scale, double *sum)
{
    const fnn_network *n = pass->network;
    const fnn_op *last = last_to_rows(n);
    const fnn_value *x = &n->values[last->inputs[0]];
    pass->panels_alone = pass->kernels->cross_entropy_panels(sum, (fnn_panels){n->arena + x->dy, x->panel},
                                                             (fnn_panels){n->arena + x->y, x->panel}, target, scale,
                                                             pass->batch, x->features);
    if (!pass->panels_alone) fnn_op_rows[last->kind].forward(pass, last);
    return pass->panels_alone;
}

/* The sum of the values of a loss, each of which counts so much at most, times its weight, which may be negative. */
static double limited_sum(const fnn_pass *pass, const fnn_target *target, const char *y)
{
    const fnn_network *n = pass->network;
    const int64_t features = loss_features(n), each = fnn_loss_rows[n->loss].kind == FNN_ROW ? 1 : features;
    const int single = n->dtype == FNN_F32;
    const void *const values = n->arena + n->scratch, *const weights = target->sample_weight;
    double sum = 0;
    pass->kernels->losses[n->loss](&sum, n->arena + n->scratch, NULL, y, target, 1, n->loss_params, pass->batch,
                                   features);
    sum = 0;
    for (int64_t i = 0; i < pass->batch * each; i++) {
        const double value = single ? ((const float *)values)[i] : ((const double *)values)[i];
        const double weight = !weights ? 1
                              : single ? ((const float *)weights)[i / each]
                                       : ((const double *)weights)[i / each];
        sum += fabs(value) > fabs(weight) * n->most ? weight * n->most : value;
    }
    return sum;
}

/* The loss of an output y and dy, its gradient by it; for a pair, of y without its second half and dsecond, by that half. */
static int loss_of(fnn_pass *pass, const fnn_target *target, double divisor, char *dy, const char *y, double *loss)
{
    const fnn_network *n = pass->network;
    const fnn_loss_row *row = &fnn_loss_rows[n->loss];
    const int64_t features = loss_features(n);
    fnn_target weighing = *target;
    if (row->weighs_values) weighing.class_weight = NULL;
    if (isnan(divisor)) divisor = pass->kernels->sum_of_weights(&weighing, pass->batch);
    divisor *= row->kind == FNN_ROW ? 1 : (double)features;
    const double scale = divisor != 0 ? 1 / divisor : NAN; /* a mean over nothing */
    double sum = 0;
    if (row->accepts.input != ANY && pass->kernels->first_refused(y, pass->batch * features, row->accepts.input) >= 0)
        return FNN_REFUSED;
    if (!pass->panels_alone || !loss_of_panels(pass, target, scale, &sum)) {
        sum = 0;
        pass->kernels->losses[n->loss](&sum, NULL, dy, y, target, scale, n->loss_params, pass->batch, features);
    }
    if (n->most < INFINITY && (target->sample_weight || sum > n->most)) sum = limited_sum(pass, target, y);
    *loss = sum * scale;
    return FNN_OK;
}

/* That of a pair: the first half of each row of y, and the logarithms of the second inputs. */
static int loss_of_halves(fnn_pass *pass, const fnn_target *target, double divisor, char *dy, const char *y,
                          char *scratch, double *loss)
{
    const int64_t half = loss_features(pass->network), bytes = pass->batch * half * pass->itemsize;
    char *const first = scratch, *const second = first + bytes, *const dfirst = second + bytes;
    char *const dsecond = dfirst + bytes;
    fnn_target both = *target;
    both.second = second;
    both.dsecond = dsecond;
    copy_rows(pass, first, half, y, 2 * half, half);
    copy_rows(pass, second, half, y + half * pass->itemsize, 2 * half, half);
    const int code = loss_of(pass, &both, divisor, dfirst, first, loss);
    copy_rows(pass, dy, 2 * half, dfirst, half, half);
    copy_rows(pass, dy + half * pass->itemsize, 2 * half, dsecond, half, half);
    return code;
}

/* The loss of the output, and its gradient by it: the mean over the members of an ensemble, each of which has its own. */
static int differentiate(fnn_pass *pass, const fnn_target *target, double divisor, double *loss)
{
    const fnn_network *n = pass->network;
    const fnn_value *output = &n->values[n->output];
    const int pair = fnn_loss_rows[n->loss].kind == FNN_PAIR;
    const int64_t members = output->times, features = output->features;
    char *const y = n->arena + output->y, *const dy = n->arena + output->dy;
    char *const one = n->arena + n->scratch, *const done = one + pass->batch * features * pass->itemsize;
    char *const halves = done + pass->batch * features * pass->itemsize;
    double total = 0;
    for (int64_t m = 0; m < members; m++) {
        const int64_t at = m * features * pass->itemsize;
        double value = 0;
        if (members > 1) copy_rows(pass, one, features, y + at, members * features, features);
        const char *const of = members > 1 ? one : y;
        char *const to = members > 1 ? done : dy;
        const int code = pair ? loss_of_halves(pass, target, divisor, to, of, halves, &value)
                              : loss_of(pass, target, divisor, to, of, &value);
        if (code) return code;
        if (members > 1) copy_rows(pass, dy + at, members * features, done, features, features);
        total += value;
    }
    if (members > 1) fnn_plain_for(n->dtype)->divide(dy, (double)members, pass->batch * members * features);
    *loss = total / (double)members;
    return isfinite(*loss) ? FNN_OK : FNN_NOT_FINITE;
}

/* Forward pass, loss, and the backward pass with or without the updates, of the first rows of the data; `soon` rows follow. */
static int run(fnn_pass *pass, const fnn_data *data, int64_t soon, double divisor, double *loss)
{
    fnn_target target;
    pass->source = &data->x;
    pass->order = data->order;
    pass->code = gather_target(pass, data, &target);
    if (pass->code) return pass->code;
    fnn_gather_input(pass, &data->x, data->order, soon);
    pass->panels_alone = has_loss_of_panels(pass->network, &target);
    fnn_forward(pass);
    if (pass->code == FNN_OK) pass->code = differentiate(pass, &target, divisor, loss);
    if (pass->code == FNN_OK) backward(pass);
    return pass->code;
}

fnn_pass fnn_new_pass(const fnn_network *n, char *arena, int64_t batch)
{
    return (fnn_pass){.network = n,
                      .kernels = fnn_kernels_for(n->dtype),
                      .arena = arena,
                      .x = n->input < 0 ? NULL : arena + n->values[n->input].y,
                      .y = arena + n->values[n->output].y,
                      .batch = batch,
                      .itemsize = itemsize_of(n)};
}

static fnn_pass training_pass(const fnn_network *n, int64_t batch)
{
    fnn_pass pass = fnn_new_pass(n, n->arena, batch);
    pass.training = 1;
    pass.share = 1;
    pass.updating = !n->keeps_gradients;
    pass.step = *n->steps * n->accumulate + n->waiting->minibatches;
    return pass;
}

/* Whether a step leaves zeros as they are: none that starts a slot with another number, or divides by it without an epsilon. */
static int keeps_zeros(const fnn_pass *pass, const fnn_group *group)
{
    double arrays[2 + FNN_MAX_SLOTS] = {0};
    fnn_rows slots[FNN_MAX_SLOTS];
    for (int i = 0; i < FNN_MAX_SLOTS; i++) slots[i] = (fnn_rows){&arrays[2 + i], 1};
    pass->kernels->updates[group->optimizer]((fnn_rows){&arrays[0], 1}, slots, (fnn_rows){&arrays[1], 1}, 1, 1,
                                             group->scalars);
    for (int i = 0; i < 2 + FNN_MAX_SLOTS; i++)
        if (arrays[i] != 0) return 0;
    return 1;
}

/* What each group's optimizer makes of the number of the step, which counts from 1. */
static void form_scalars(const fnn_pass *pass, const double *rates)
{
    for (int i = 0; i < pass->network->groups_count; i++) {
        fnn_group *const g = &pass->network->groups[i];
        double hyper[FNN_MAX_HYPER];
        memcpy(hyper, g->hyper, sizeof hyper);
        if (rates) hyper[0] = rates[i];
        pass->kernels->scalars[g->optimizer](g->scalars, hyper, (double)(*pass->network->steps + 1));
        g->keeps_zeros = keeps_zeros(pass, g);
    }
}

int fnn_network_train(fnn_network *n, const fnn_data *data, const int64_t *starts, int64_t count, const double *rows,
                      int divide, const double *rates, double *losses, double *penalties, void *outputs, int64_t *done)
{
    const int64_t bytes = fnn_numbers_a_row(n, n->output) * itemsize_of(n); /* of a row of the output */
    *done = 0;
    if (count > 0) { /* all memory before the first update; a thread's scratch stays */
        fnn_pass pass = training_pass(n, starts[1] - starts[0]);
        if (fnn_reserve_scratch(&pass)) return FNN_NO_MEMORY;
    }
    for (; *done < count; (*done)++) {
        const int64_t i = *done, soon = i + 1 < count ? starts[i + 2] - starts[i + 1] : 0;
        const fnn_data minibatch = data_from(data, starts[i]);
        fnn_pass pass = training_pass(n, starts[i + 1] - starts[i]);
        losses[i] = 0;
        if (penalties) penalties[i] = penalty(n);
        if (rows[i] == 0) continue;
        if (n->regularisation.of_sum) pass.share = 1 / rows[i];
        form_scalars(&pass, rates ? rates + i * n->groups_count : NULL);
        const int code = run(&pass, &minibatch, soon, divide ? rows[i] : NAN, &losses[i]);
        if (code) return code;
        if (outputs) copy_output(&pass, (char *)outputs + (starts[i] - starts[0]) * bytes);
        commit(&pass);
        if (n->accumulate > 1) {
            gather_gradients(&pass, rows[i]);
            if (n->waiting->minibatches < n->accumulate) continue;
            mean_of_gathered(&pass);
        }
        if (n->keeps_gradients) update_all(&pass);
        end_step(&pass);
    }
    return FNN_OK;
}

void fnn_network_output(const fnn_network *n, void *to, int64_t batch)
{
    const fnn_pass pass = fnn_new_pass(n, n->arena, batch);
    copy_output(&pass, to);
}

void fnn_network_flush(fnn_network *n, const double *rates)
{
    fnn_pass pass = training_pass(n, 0);
    if (n->waiting->minibatches == 0) return;
    form_scalars(&pass, rates);
    mean_of_gathered(&pass);
    update_all(&pass);
    end_step(&pass);
}
