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
 *    kind       FNN_POINT: value and derivative, NAME and NAME_dx, are functions of one input and its target. FNN_PAIR: of a pair
 *               of inputs, with a derivative by the second one too, NAME_dc. FNN_ROW: the loss of a row of the batch is a
 *               function of all its inputs; such a loss has a kernel of its own.
 *    .layer     class name, torch.nn's without `Loss`
 *    .function  name of the function in fastnn.functional, torch.nn.functional's
 *    .target    FNN_NUMBERS of the shape of the input; FNN_NUMBER_A_ROW, the same for all its columns; FNN_LABELS, class
 *               numbers; FNN_LABELS_OR_PROBABILITIES, the latter of the shape of the input
 *    .accepts   which numbers are accepted as a target, and which as an input, where not all are
 *    .weighs_values  1 where the weight of a class is a factor of the loss alone: a mean does not divide by it
 *    .tasks     of models that get this loss when none is named
 *    .outputs   the activation that makes probabilities of a model's outputs
 *    .second    what a value depends on besides input and target: its name, which numbers are accepted, and its default, of
 *               `count` numbers. One number for each column of the input, without a default 1; for the kind FNN_PAIR one for
 *               each element.
 *    .params    name, default, which values are accepted
 */
#ifndef FNN_LOSSES_H
#define FNN_LOSSES_H

#include <math.h>

#include "params.h"

/* clang-format off */
#define FNN_LOSSES(ROW)                                                                                                \
    ROW(cross_entropy, FNN_ROW, .layer = "CrossEntropy", .function = "cross_entropy",                                  \
        .target = FNN_LABELS_OR_PROBABILITIES, .tasks = {"classification", "multiclass"}, .outputs = "softmax",        \
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
        .accepts = {.target = FROM_0_TO_1, .input = FROM_0_TO_1}, .tasks = {"unit_interval"})                          \
    ROW(binary_cross_entropy_with_logits, FNN_POINT, .layer = "BCEWithLogits",                                         \
        .function = "binary_cross_entropy_with_logits", .target = FNN_NUMBERS, .accepts = {.target = FROM_0_TO_1},     \
        .tasks = {"binary", "multilabel"}, .outputs = "sigmoid",                                                       \
        .second = {.name = "pos_weight", .accepted = NONNEGATIVE})                                                     \
    ROW(focal_with_logits, FNN_POINT, .layer = "FocalWithLogits", .function = "focal_loss_with_logits",                \
        .target = FNN_NUMBERS, .accepts = {.target = FROM_0_TO_1},                                                     \
        .params = {{"gamma", 2, NONNEGATIVE}, {"alpha", NAN, FROM_0_TO_1_OR_NONE}})                                    \
    ROW(hinge, FNN_POINT, .layer = "Hinge", .function = "hinge_loss", .target = FNN_NUMBERS,                           \
        .accepts = {.target = SIGN})                                                                                   \
    ROW(squared_hinge, FNN_POINT, .layer = "SquaredHinge", .function = "squared_hinge_loss", .target = FNN_NUMBERS,    \
        .accepts = {.target = SIGN})                                                                                   \
    ROW(soft_margin, FNN_POINT, .layer = "SoftMargin", .function = "soft_margin_loss", .target = FNN_NUMBERS,          \
        .accepts = {.target = SIGN})                                                                                   \
    ROW(poisson_nll, FNN_POINT, .layer = "PoissonNLL", .function = "poisson_nll_loss", .target = FNN_NUMBERS,          \
        .params = {{"log_input", 1, SWITCH}, {"full", 0, SWITCH}, {"eps", 1e-8, NONNEGATIVE}})                         \
    ROW(kl_div, FNN_POINT, .layer = "KLDiv", .function = "kl_div", .target = FNN_NUMBERS,                              \
        .params = {{"log_target", 0, SWITCH}})                                                                         \
    ROW(quantile, FNN_POINT, .layer = "Quantile", .function = "quantile_loss", .target = FNN_NUMBER_A_ROW,             \
        .second = {.name = "quantiles", .accepted = BETWEEN_0_AND_1, .count = 3, .values = {0.1, 0.5, 0.9}})           \
    ROW(gaussian_nll, FNN_PAIR, .layer = "GaussianNLL", .function = "gaussian_nll_loss", .target = FNN_NUMBERS,        \
        .second = {.name = "var", .accepted = NONNEGATIVE}, .params = {{"full", 0, SWITCH}, {"eps", 1e-6, POSITIVE}})  \
    ROW(nll, FNN_ROW, .layer = "NLL", .function = "nll_loss", .target = FNN_LABELS)                                    \
    ROW(multiclass_hinge, FNN_ROW, .layer = "MulticlassHinge", .function = "multiclass_hinge_loss",                    \
        .target = FNN_LABELS, .params = {{"margin", 1, ANY}, {"p", 1, ONE_OR_TWO}})                                    \
    ROW(multi_margin, FNN_ROW, .layer = "MultiMargin", .function = "multi_margin_loss", .target = FNN_LABELS,          \
        .weighs_values = 1, .params = {{"p", 1, ONE_OR_TWO}, {"margin", 1, ANY}})
/* clang-format on */

enum fnn_loss_kind { FNN_POINT, FNN_PAIR, FNN_ROW };
enum fnn_target_kind { FNN_NUMBERS, FNN_NUMBER_A_ROW, FNN_LABELS, FNN_LABELS_OR_PROBABILITIES };

#define FNN_LOSS_ENUM(name, ...) FNN_LOSS_##name,
enum fnn_loss { FNN_LOSSES(FNN_LOSS_ENUM) FNN_LOSS_COUNT };

typedef struct {
    int target, input; /* enum fnn_accepted */
} fnn_accepts;

enum { FNN_MAX_TASKS = 2, FNN_MAX_SECOND = 3 };

typedef struct {
    const char *name; /* or NULL */
    int accepted;     /* enum fnn_accepted */
    int count;
    double values[FNN_MAX_SECOND];
} fnn_second;

typedef struct {
    const char *name;
    int kind; /* enum fnn_loss_kind */
    const char *layer, *function;
    int target; /* enum fnn_target_kind */
    fnn_accepts accepts;
    int weighs_values;
    const char *tasks[FNN_MAX_TASKS]; /* NULL after the last */
    const char *outputs;              /* or NULL */
    fnn_second second;
    fnn_param params[FNN_MAX_PARAMS];
} fnn_loss_row;

#define FNN_LOSS_AS_DATA(loss, of_kind, ...) {.name = #loss, .kind = of_kind, __VA_ARGS__},
extern const fnn_loss_row fnn_loss_rows[FNN_LOSS_COUNT]; /* tables.c */

#endif
