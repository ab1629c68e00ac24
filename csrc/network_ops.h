/*
 * network_ops.h: what network.c, inference.c and network_ops.c share: the state of one pass over the rows, and the table of their kinds.
 */
#ifndef FNN_NETWORK_OPS_H
#define FNN_NETWORK_OPS_H

#include "network.h"

/* One pass over the rows of a network. */
typedef struct {
    const fnn_network *network;
    const fnn_kernels *kernels;
    char *arena, *x, *y; /* x and y are where the network's input and output lie */
    int64_t batch, itemsize;
    int training;
    int panels_alone; /* whether the loss reads the panels of the output, whose rows are not made */
    int updating;     /* whether the backward pass makes the step, each parameter as its gradient is finished */
    double share;     /* of the penalties that the gradient of a weight gets */
    int64_t step;     /* number of the step, which tells masks of dropout apart */
    int code;         /* of the first kernel that failed */
    const fnn_array
        *source; /* whose rows are the input: the first `batch`, or, unless NULL, those that `order` names */
    const int64_t *order;
} fnn_pass;

typedef struct {
    const char *name;
    void (*place)(fnn_network *, fnn_op *); /* the outputs, and what the row keeps */
    void (*forward)(fnn_pass *, const fnn_op *);
    void (*backward)(fnn_pass *, const fnn_op *);
    int in_place; /* whether the gradient by the first input is written over that by the output */
    void (*commit)(const fnn_pass *,
                   const fnn_op *); /* what training makes of buffers, once nothing can fail; or NULL */
    int keeps_at_inference;         /* whether the forward pass needs what `place` places, without training too */
} fnn_op_row;

extern const fnn_op_row fnn_op_rows[FNN_OP_COUNT]; /* network_ops.c */

enum { FNN_LINE = 64 }; /* bytes of a line of the caches */

/* network.c. Numbers that a value has for a row of the batch; bytes of a value, or of its gradient, for `capacity` rows. */
int64_t fnn_numbers_a_row(const fnn_network *network, int value);
int64_t fnn_bytes_of(const fnn_network *network, const fnn_value *value);

/* network.c. A pass of so many rows through an arena; the first rows of x, to where the first row of the network reads them,
 * while those of the `soon` rows that follow are fetched; and all rows forward. */
fnn_pass fnn_new_pass(const fnn_network *network, char *arena, int64_t batch);
void fnn_gather_input(const fnn_pass *pass, const fnn_array *x, const int64_t *order, int64_t soon);
void fnn_forward(fnn_pass *pass);

/* network.c. The next `bytes` of the arena, aligned to cache lines; returns their offset. */
int64_t fnn_take(fnn_network *network, int64_t bytes);

/* network.c. Place a value; and have scratch of so many bytes in each backward function. */
void fnn_place_value(fnn_network *network, int value);
void fnn_need_scratch(fnn_network *network, int64_t bytes);

/* network_ops.c. Have the calling thread take the scratch that kernels of the backward pass will ask it for: FNN_OK or
 * FNN_NO_MEMORY. */
int fnn_reserve_scratch(fnn_pass *pass);

/* network.c. One step of the optimizer on the rows [first, first + rows) of a parameter by their gradient, which penalties
 * and clipping may change. */
void fnn_update_rows(fnn_pass *pass, int parameter, void *gradient, int64_t first, int64_t rows);

/* network.c. The rate where the step of a parameter that the backward pass updates is its gradient times that and nothing else,
 * which the product that makes the gradient can add at once; else 0. */
double fnn_descent(const fnn_pass *pass, int parameter);

#endif
