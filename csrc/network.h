/*
 * network.h: the contract of a compiled network: a table of rows, one for each operation, and the arena they work on.
 *
 * Design
 * A. A row names its kind, the values it reads and makes, and its parameters, all by their number in the tables of the
 *    network. A chain is the common case; a residual block is a fork and an addition, rows like any other.
 * B. A value is an activation of `times` rows for each row of the batch, in rows or in panels (fastnn.h). It has one reader,
 *    for which a fork makes two of one; so its gradient has one writer, and nothing adds up in an order of its own.
 * C. Values, their gradients and what a row keeps for its backward pass are offsets into one arena. The same pass over the
 *    rows sizes and places them, for batches of up to `capacity` rows.
 * D. A step is all or nothing. The loss is computed and judged before the backward pass begins; updates and what training
 *    makes of buffers follow, for which all memory has been taken. C knows no signals and no clock: who calls for many minibatches says how many.
 * E. Where all gradients are needed before the first update, each goes to a buffer; else a weight is updated strip by strip,
 *    as its gradient is finished. Either way by the same functions, with the same bits.
 * F. A network for inference keeps nothing: any number of threads pass through it at once, each with an arena of its own.
 *    Input and output lie with the caller, values that no row reads any more make room for others, and blocks of rows go
 *    through all layers while their activations are in L2. Products read and write rows: weights are k-major, so the rows
 *    of a block need no panels.
 */
#ifndef FNN_NETWORK_H
#define FNN_NETWORK_H

#include "fastnn.h"

/* The kinds of rows: network_ops.c has a size, a forward and a backward function for each. */
/* clang-format off */
#define FNN_OPS(OP)                                                                                                    \
    OP(to_panels) OP(to_rows) OP(fork) OP(add)                                                                         \
    OP(reshape) OP(linear) OP(activation) OP(prelu) OP(maxout) OP(softmax) OP(log_softmax) OP(dropout)                 \
    OP(alpha_dropout) OP(layer_norm) OP(rms_norm) OP(batch_norm) OP(scale) OP(members_in) OP(members_out) OP(mean)   \
    OP(columns) OP(concatenate) OP(standardize) OP(embedding) OP(periodic) OP(piecewise_linear) OP(transpose)
/* clang-format on */

enum { FNN_MAX_BUFFERS = 3 };

#define FNN_OP_ENUM(name) FNN_OP_##name,
enum fnn_op_kind { FNN_OPS(FNN_OP_ENUM) FNN_OP_COUNT };

enum fnn_network_error {
    FNN_NOT_FINITE = FNN_NO_MEMORY + 1, /* the loss of a minibatch; nothing of its step was applied */
    FNN_REFUSED,                        /* an output that the loss does not accept; likewise */
};

typedef struct {
    int64_t features, times; /* of a row of the value; rows of it for each of the batch */
    int in_panels;
    int wide; /* whether its numbers are float64 and not of the network's dtype: the input as layers of any dtype read it */
    int64_t panel; /* elements between panels */
    int64_t y, dy; /* offsets into the arena, in bytes; y of the output of an inference is not used */
} fnn_value;

typedef struct {
    int kind;       /* enum fnn_op_kind */
    int inputs[2];  /* values, or -1; a first `standardize` has none, it reads the rows of the data */
    int outputs[2]; /* values, or -1 */
    int *many;      /* values that `columns` makes and `concatenate` reads, beside these */
    int many_count;
    int parameters[2];  /* weight and bias, or -1 */
    int activation;     /* enum fnn_activation, of `linear` and `activation` */
    int from_y;         /* whether its derivative is computed from y */
    int differentiates; /* the row whose activation's derivative this row's dx is multiplied by, or -1 */
    int differentiated; /* whether another row does that for this one */
    int need_dx;
    double params[FNN_MAX_PARAMS];  /* of the activation; p of dropout, eps of a norm, and momentum or NaN */
    void *buffers[FNN_MAX_BUFFERS]; /* arrays of the row's state that are not trained, or NULL */
    int64_t number;                 /* pieces of maxout, number of the layer of dropout, members of an ensemble */
    uint64_t seed;
    int64_t kept; /* offset of what the forward pass keeps for the backward pass */
} fnn_op;

/* A parameter, as rows of `columns` elements, `row` apart. Slots of the optimizer, sums of gradients and averages, NULL where
 * there are none, are laid out like it. */
typedef struct {
    void *data, *slots[FNN_MAX_SLOTS], *sum, *average;
    int64_t rows, columns, row;
    int k_major; /* whether a unit's weights are a column */
    int group;
    int is_weight;    /* whether penalties count it */
    int in_strips;    /* whether its gradient is finished strip by strip */
    int64_t gradient; /* offset into the arena */
} fnn_parameter;

/* Parameters with the same optimizer and hyper-parameters. */
typedef struct {
    int optimizer;
    double hyper[FNN_MAX_HYPER], scalars[FNN_MAX_SCALARS];
    int keeps_zeros; /* whether a step by them leaves zeros, as they pad rows, as they are */
} fnn_group;

/* What a step does besides the optimizer's update. */
typedef struct {
    double l1, l2;     /* penalties on weights, which come first */
    int of_sum;        /* whether they are divided by what a minibatch's loss is divided by */
    double clip_value; /* limit of each element of a gradient, then; or infinity */
    double clip_norm;  /* limit of the norm of all gradients, at last; or infinity */
    double max_norm;   /* limit of the norm of a unit's weights, after the update; or infinity */
    double ema;        /* share that averages keep of themselves */
} fnn_regularisation;

/* Minibatches whose gradients wait for those of others, until there are `accumulate` of them. */
typedef struct {
    int64_t minibatches;
    double rows;
} fnn_waiting;

typedef struct {
    int dtype, ops_count, values_count, parameters_count, groups_count;
    fnn_op *ops;
    fnn_value *values;
    fnn_parameter *parameters;
    fnn_group *groups;
    fnn_regularisation regularisation;
    int input, wide_input; /* values, or -1: the same numbers in two dtypes */
    int output;            /* a value; the output lies in rows, of an ensemble one for each member */
    int loss;              /* enum fnn_loss */
    double loss_params[FNN_MAX_PARAMS];
    double most; /* that a value counts, times its row's weight, in the loss told; not of pairs and ensembles */
    const void *class_weight, *second; /* T[features], or NULL */
    int64_t ignore_index;
    int keeps_gradients; /* whether each gradient has a buffer, because all are needed before the first update */
    int64_t accumulate;  /* minibatches a step */
    fnn_waiting *waiting;
    int64_t *steps; /* made so far */
    int64_t capacity;
    double multiply_adds, elements; /* that an inference computes for a row */
    double *spent;                  /* seconds that each row's forward and backward passes took, added up; or NULL */
    char *arena;
    int64_t used;                                   /* bytes of it */
    int64_t target, labels, sample_weight, scratch; /* offsets of those of a minibatch, and of scratch */
    int64_t scratch_size;
} fnn_network;

/* An array whose rows are gathered, contiguous each. */
typedef struct {
    const void *data;
    int from;              /* enum fnn_element */
    int64_t row, itemsize; /* elements from row to row; bytes of one */
} fnn_array;

/* The rows that are trained on: row order[i] is the i-th, or row i where order is NULL. */
typedef struct {
    fnn_array x, target;         /* target.data NULL where there are labels */
    const int64_t *labels;       /* or NULL */
    const double *sample_weight; /* or NULL */
    const int64_t *order;
} fnn_data;

/* Size and place all values for batches of up to `capacity` rows. FNN_NO_MEMORY, which leaves the network as it was. */
int fnn_network_reserve(fnn_network *network, int64_t capacity);
void fnn_network_free(fnn_network *network);

/* Train on minibatches of rows [starts[i], starts[i + 1]) of the data, i in [0, count). rows[i] is how many of minibatch i
 * count, its share in a step of several; one with 0 is left out. Its loss is divided by rows[i] with `divide`, else by the
 * sum of its rows' weights. rates, unless NULL, has one learning rate for each minibatch and group. losses[i] receives the
 * loss before its update, and penalties[i], unless that is NULL, l1 sum |w| + l2 sum w^2; outputs, unless NULL, the network's
 * for the rows of all minibatches but those left out. *done counts the minibatches that are done; where it is less than count,
 * the code tells why: fnn_error or fnn_network_error. */
int fnn_network_train(fnn_network *network, const fnn_data *data, const int64_t *starts, int64_t count,
                      const double *rows, int divide, const double *rates, double *losses, double *penalties,
                      void *outputs, int64_t *done);

/* The output of the latest minibatch, of so many rows. */
void fnn_network_output(const fnn_network *network, void *to, int64_t batch);

/* A step by the gradients that wait, if there are any. */
void fnn_network_flush(fnn_network *network, const double *rates);

/* Prepare a network for inference alone: size and place its values for blocks of as many rows as stay in L2. All values are
 * rows; it has no fork, dropout, loss or gradients, and a row FNN_OP_mean where training keeps the members of an ensemble. */
void fnn_network_prepare(fnn_network *network);

/* y, contiguous, = the output of such a network for the first rows of x, from any number of threads at once. y does not overlap
 * x. FNN_NO_MEMORY, or FNN_REFUSED for an input that a layer does not accept; some rows of y may then be written. */
int fnn_network_predict(const fnn_network *network, void *y, const fnn_array *x, int64_t rows);

#endif
