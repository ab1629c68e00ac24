/*
 * inference.c: how the values of a network of inference share an arena, and predictions by blocks of rows on several threads.
 */
#include <stdatomic.h>

#include "network_ops.h"

/* Of an inference: bytes of a block's activations, which stay in L2 beside the weights; and at least so many times 16 rows
 * of a product, for which weights that come from further away are read and packed. */
enum { BLOCK = 1 << 18, LEAST_BLOCK = 32 };

enum { TILE = 8 }; /* rows that the parts of a prediction are multiples of */

static int reads(const fnn_op *op, int value)
{
    int found = op->inputs[0] == value || op->inputs[1] == value;
    for (int j = 0; op->kind == FNN_OP_concatenate && j < op->many_count; j++) found |= op->many[j] == value;
    return found;
}

/* The last row that reads a value, or what is the same memory by another shape; -2 where none does. */
static int last_reader(const fnn_network *n, int value)
{
    int last = -2;
    for (int i = 0; i < n->ops_count; i++) {
        if (!reads(&n->ops[i], value)) continue;
        const int next = n->ops[i].kind == FNN_OP_reshape ? last_reader(n, n->ops[i].outputs[0]) : i;
        if (last < i) last = i;
        if (last < next) last = next;
    }
    return last;
}

/* Place what row `maker` makes, apart from all values that it or a later row reads. */
static void place_apart(fnn_network *n, int value, int maker)
{
    fnn_value *const v = &n->values[value];
    const int64_t bytes = (fnn_bytes_of(n, v) + FNN_LINE - 1) / FNN_LINE * FNN_LINE;
    v->y = 0;
    for (int u = 0; u < value; u++) {
        const fnn_value *other = &n->values[u];
        const int64_t end = other->y + (fnn_bytes_of(n, other) + FNN_LINE - 1) / FNN_LINE * FNN_LINE;
        if (last_reader(n, u) >= maker && v->y < end && other->y < v->y + bytes) {
            v->y = end;
            u = -1; /* from there on, compared with all again */
        }
    }
    if (n->used < v->y + bytes) n->used = v->y + bytes;
}

/* Let what a row makes lie where its input does, if it is the same memory by another shape; whether it is. */
static int place_on_input(fnn_network *n, const fnn_op *op)
{
    const int same = op->kind == FNN_OP_reshape && op->inputs[0] != n->input && op->outputs[0] != n->output;
    if (same) n->values[op->outputs[0]].y = n->values[op->inputs[0]].y;
    return same;
}

/* Place what a row makes, but for the output of the network: that and its input may lie with the caller. */
static void place_made(fnn_network *n, int i)
{
    const fnn_op *op = &n->ops[i];
    if (op->kind == FNN_OP_columns)
        for (int j = 0; j < op->many_count; j++) place_apart(n, op->many[j], i);
    else if (op->outputs[0] != n->output && !place_on_input(n, op))
        place_apart(n, op->outputs[0], i);
}

/* Place all values for blocks of so many rows. */
static void place_block(fnn_network *n, int64_t rows)
{
    n->capacity = rows;
    n->used = n->scratch_size = 0;
    if (n->input >= 0) place_apart(n, n->input, -1);
    if (n->wide_input >= 0) place_apart(n, n->wide_input, -1);
    for (int i = 0; i < n->ops_count; i++) place_made(n, i);
    for (int i = 0; i < n->ops_count; i++) /* what a row keeps lies behind all values, and its output too */
        if (fnn_op_rows[n->ops[i].kind].keeps_at_inference) fnn_op_rows[n->ops[i].kind].place(n, &n->ops[i]);
    for (int i = 0; i < n->ops_count; i++) place_on_input(n, &n->ops[i]);
    n->scratch = fnn_take(n, n->scratch_size);
}

void fnn_network_prepare(fnn_network *n)
{
    int64_t times = 1; /* rows of a product for one of the batch, as those of an ensemble's members */
    n->multiply_adds = n->elements = 0;
    for (int i = 0; i < n->ops_count; i++) {
        const fnn_op *op = &n->ops[i];
        const int64_t outputs = op->outputs[0] < 0 ? 0 : fnn_numbers_a_row(n, op->outputs[0]);
        n->elements += (double)outputs;
        if (op->kind != FNN_OP_linear) continue;
        const fnn_value *x = &n->values[op->inputs[0]];
        n->multiply_adds += (double)x->features * (double)outputs;
        if (times < x->times) times = x->times;
    }
    place_block(n, FNN_PANEL);
    const int64_t panels = BLOCK / (n->used + FNN_LINE); /* a single row of the table needs nothing */
    const int64_t least = times < LEAST_BLOCK ? LEAST_BLOCK / times : 1;
    place_block(n, (panels < least ? least : panels) * FNN_PANEL);
}

/* A block of rows through all layers. */
static int predict_block(const fnn_network *n, void *y, const fnn_array *x, int64_t rows)
{
    char *const arena = fnn_arena(n->used);
    if (!arena) return FNN_NO_MEMORY;
    fnn_pass pass = fnn_new_pass(n, arena, rows);
    pass.y = y;
    pass.source = x;
    if (n->input >= 0 && n->wide_input < 0 && x->from == (n->dtype == FNN_F32 ? FNN_FROM_F32 : FNN_FROM_F64) &&
        x->row == fnn_numbers_a_row(n, n->input))
        pass.x = (char *)x->data; /* read where it lies */
    else
        fnn_gather_input(&pass, x, NULL, 0);
    fnn_forward(&pass);
    return pass.code;
}

typedef struct {
    const fnn_network *network;
    char *y;
    const fnn_array *x;
    int64_t rows, block;
    atomic_int code;
} prediction;

static void run_block(void *context, int part)
{
    prediction *p = context;
    const fnn_network *n = p->network;
    const int64_t first = part * p->block, rows = p->rows - first < p->block ? p->rows - first : p->block;
    fnn_array x = *p->x;
    x.data = (const char *)x.data + first * x.row * x.itemsize;
    const int code =
        predict_block(n, p->y + first * fnn_numbers_a_row(n, n->output) * (n->dtype == FNN_F32 ? 4 : 8), &x, rows);
    if (code) p->code = code;
}

int fnn_network_predict(const fnn_network *n, void *y, const fnn_array *x, int64_t rows)
{
    const int64_t blocks = (rows + n->capacity - 1) / n->capacity;
    if (rows < FNN_PANEL) return predict_block(n, y, x, rows);
    const int threads = fnn_threads_for_rows((double)rows * n->multiply_adds, (double)rows * n->elements);
    const int64_t even = (blocks + threads - 1) / threads * threads, block = (rows + even - 1) / even;
    prediction p = {n, y, x, rows, (block + TILE - 1) / TILE * TILE, FNN_OK};
    fnn_parallel(threads, (int)((rows + p.block - 1) / p.block), run_block, &p);
    return p.code;
}
