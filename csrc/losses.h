/*
 * losses.h: THE TABLE of losses, one row each. The expressions stand in losses.inc.h, softmax_cross_entropy in softmax.inc.h.
 *
 * Design
 * A. A row gives the enum, the kernel of every ISA and dtype, the functions NAME_loss and NAME_loss_with_grad, the class
 *    for the trainer, the tests and the benchmarks. To add a pointwise loss: a row and its two expressions, its twin in
 *    fastnn/reference/, a line of fastnn/functional/ and one of fastnn/losses.py, docs.
 * B. All losses share one kernel signature and one contract of reduction (fnn_loss_fn in fastnn.h).
 *
 * Columns: the name, the kind, then designated initialisers of fnn_loss_row: a column is added to the rows that use it.
 *    kind       FNN_POINT: value and derivative, NAME and NAME_dx, are functions of one input and its target. FNN_ROW: the loss
 *               of a row of the batch is a function of all its inputs; such a loss has a kernel of its own.
 *    .layer     class name, torch.nn's without `Loss`
 *    .function  name of the function in fastnn.functional, torch.nn.functional's
 *    .target    FNN_NUMBERS of the shape of the input, or FNN_LABELS: class numbers, or probabilities of the shape of the input
 *    .accepts   which numbers are accepted as a target, and which as an input, where not all are
 *    .tasks     of models that get this loss when none is named
 *    .outputs   the activation that makes probabilities of a model's outputs
 *    .second    what a value depends on besides input and target: its name, which numbers are accepted. One number for each
 *               column of the input; 1 where it is not given.
 *    .params    name, default, which values are accepted
 */
#ifndef FNN_LOSSES_H
#define FNN_LOSSES_H

#include "params.h"

/* clang-format off */
#define FNN_LOSSES(ROW)                                                                                                \
    ROW(cross_entropy, FNN_ROW, .layer = "CrossEntropy", .function = "cross_entropy", .target = FNN_LABELS,            \
        .tasks = {"classification", "multiclass"}, .outputs = "softmax",                                               \
        .params = {{"label_smoothing", 0, FROM_0_TO_1}})                                                               \
    ROW(mse, FNN_POINT, .layer = "MSE", .function = "mse_loss", .target = FNN_NUMBERS, .tasks = {"regression"})        \
    ROW(huber, FNN_POINT, .layer = "Huber", .function = "huber_loss", .target = FNN_NUMBERS,                           \
        .params = {{"delta", 1, POSITIVE}})                                                                            \
    ROW(half_mse, FNN_POINT, .layer = "HalfMSE", .function = "half_mse_loss", .target = FNN_NUMBERS)                   \
    ROW(l1, FNN_POINT, .layer = "L1", .function = "l1_loss", .target = FNN_NUMBERS)                                    \
    ROW(smooth_l1, FNN_POINT, .layer = "SmoothL1", .function = "smooth_l1_loss", .target = FNN_NUMBERS,                \
        .params = {{"beta", 1, NONNEGATIVE}})                                                                          \
    ROW(log_cosh, FNN_POINT, .layer = "LogCosh", .function = "log_cosh_loss", .target = FNN_NUMBERS)                   \
    ROW(binary_cross_entropy, FNN_POINT, .layer = "BCE", .function = "binary_cross_entropy", .target = FNN_NUMBERS,    \
        .accepts = {FROM_0_TO_1, FROM_0_TO_1}, .tasks = {"unit_interval"})                                             \
    ROW(binary_cross_entropy_with_logits, FNN_POINT, .layer = "BCEWithLogits",                                         \
        .function = "binary_cross_entropy_with_logits", .target = FNN_NUMBERS, .accepts = {FROM_0_TO_1},               \
        .tasks = {"binary", "multilabel"}, .outputs = "sigmoid", .second = {"pos_weight", NONNEGATIVE})
/* clang-format on */

enum fnn_loss_kind { FNN_POINT, FNN_ROW };
enum fnn_target_kind { FNN_NUMBERS, FNN_LABELS };

#define FNN_LOSS_ENUM(name, ...) FNN_LOSS_##name,
enum fnn_loss { FNN_LOSSES(FNN_LOSS_ENUM) FNN_LOSS_COUNT };

typedef struct {
    int target, input; /* enum fnn_accepted */
} fnn_accepts;

typedef struct {
    const char *name; /* or NULL */
    int accepted;     /* enum fnn_accepted */
} fnn_second;

enum { FNN_MAX_TASKS = 2 };

typedef struct {
    const char *name;
    int kind; /* enum fnn_loss_kind */
    const char *layer, *function;
    int target; /* enum fnn_target_kind */
    fnn_accepts accepts;
    const char *tasks[FNN_MAX_TASKS]; /* NULL after the last */
    const char *outputs;              /* or NULL */
    fnn_second second;
    fnn_param params[FNN_MAX_PARAMS];
} fnn_loss_row;

extern const fnn_loss_row fnn_loss_rows[FNN_LOSS_COUNT]; /* tables.c */

#endif
