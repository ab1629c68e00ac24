/*
 * network_ops.h: what network.c and network_ops.c share: the state of one pass over the rows, and the table of their kinds.
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
    int updating; /* whether the backward pass makes the step, each parameter as its gradient is finished */
    double share; /* of the penalties that the gradient of a weight gets */
    int64_t step; /* number of the step, which tells masks of dropout apart */
    int code;     /* of the first kernel that failed */
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

#endif
