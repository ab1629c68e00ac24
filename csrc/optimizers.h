/*
 * optimizers.h: THE TABLE of optimizers, one row each. The expressions stand in optimizers.inc.h.
 *
 * Design
 * A. A row gives the enum, the update of every ISA and dtype, the function NAME_update, the class for the trainer and the
 *    tests. To add one: a row, its scalars and its step, its twin in fastnn/reference/, a line of fastnn/functional/
 *    and one of fastnn/optim.py, docs.
 *
 * Columns: the name, then designated initialisers of fnn_optimizer_row.
 *    .layer      class name, torch.optim's
 *    .slots      arrays kept per parameter, which start as zeros: SLOT(name), or SLOT_IF(name, parameter) where the array
 *                exists only if that parameter is not 0. What starts otherwise is set by the expression in step 1.
 *    .params     hyper-parameters, torch.optim's: name, default, which values are accepted. "betas[0]" and "betas[1]" make
 *                the pair `betas`.
 *    .counts     1 where the step's number, which counts from 1, takes part,
 *    .counts_if  or the parameter without which it does not
 */
#ifndef FNN_OPTIMIZERS_H
#define FNN_OPTIMIZERS_H

#include "params.h"

/* clang-format off */
enum { FNN_MAX_SLOTS = 3, FNN_MAX_HYPER = 7, FNN_MAX_SCALARS = 20 };

#define SLOT(name) {name, NULL}
#define SLOT_IF(name, param) {name, param}

#define FNN_OPTIMIZERS(ROW)                                                                                            \
    ROW(sgd, .layer = "SGD", .slots = {SLOT_IF("velocity", "momentum")}, .counts_if = "dampening",                     \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"momentum", 0, NONNEGATIVE}, {"dampening", 0, FROM_0_TO_1},             \
                   {"nesterov", 0, SWITCH_OF_MOMENTUM}, {"weight_decay", 0, NONNEGATIVE}})                             \
    ROW(adagrad, .layer = "Adagrad", .slots = {SLOT("sum")}, .counts = 1,                                              \
        .params = {{"lr", 1e-2, NONNEGATIVE}, {"lr_decay", 0, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE},          \
                   {"initial_accumulator_value", 0, NONNEGATIVE}, {"eps", 1e-10, NONNEGATIVE}})                        \
    ROW(adadelta, .layer = "Adadelta", .slots = {SLOT("square_avg"), SLOT("acc_delta")},                               \
        .params = {{"lr", 1, NONNEGATIVE}, {"rho", 0.9, FROM_0_TO_1}, {"eps", 1e-6, NONNEGATIVE},                      \
                   {"weight_decay", 0, NONNEGATIVE}})                                                                  \
    ROW(rmsprop, .layer = "RMSprop",                                                                                   \
        .slots = {SLOT("square_avg"), SLOT_IF("momentum_buffer", "momentum"), SLOT_IF("grad_avg", "centered")},        \
        .params = {{"lr", 1e-2, NONNEGATIVE}, {"alpha", 0.99, FROM_0_TO_1}, {"eps", 1e-8, NONNEGATIVE},                \
                   {"weight_decay", 0, NONNEGATIVE}, {"momentum", 0, NONNEGATIVE}, {"centered", 0, SWITCH}})           \
    ROW(adam, .layer = "Adam", .counts = 1,                                                                            \
        .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq"), SLOT_IF("max_exp_avg_sq", "amsgrad")},                          \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE}, {"amsgrad", 0, SWITCH},               \
                   {"eps_hat", 0, SWITCH}})                                                                            \
    ROW(adamw, .layer = "AdamW", .counts = 1,                                                                          \
        .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq"), SLOT_IF("max_exp_avg_sq", "amsgrad")},                          \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 1e-2, NONNEGATIVE}, {"amsgrad", 0, SWITCH}})           \
    ROW(adamax, .layer = "Adamax", .slots = {SLOT("exp_avg"), SLOT("exp_inf")}, .counts = 1,                           \
        .params = {{"lr", 2e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE}})                                      \
    ROW(nadam, .layer = "NAdam", .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq")}, .counts = 1,                          \
        .params = {{"lr", 2e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE},                                       \
                   {"momentum_decay", 4e-3, NONNEGATIVE}, {"decoupled_weight_decay", 0, SWITCH}})                      \
    ROW(radam, .layer = "RAdam", .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq")}, .counts = 1,                          \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE},                                       \
                   {"decoupled_weight_decay", 0, SWITCH}})                                                             \
    ROW(lion, .layer = "Lion", .slots = {SLOT("exp_avg")},                                                             \
        .params = {{"lr", 1e-4, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.99, BELOW_1},                 \
                   {"weight_decay", 0, NONNEGATIVE}})                                                                  \
    ROW(rprop, .layer = "Rprop", .slots = {SLOT("prev"), SLOT("step_size")}, .counts = 1,                              \
        .params = {{"lr", 1e-2, NONNEGATIVE}, {"etas[0]", 0.5, BETWEEN_0_AND_1}, {"etas[1]", 1.2, ABOVE_1},            \
                   {"step_sizes[0]", 1e-6, NONNEGATIVE}, {"step_sizes[1]", 50, AT_LEAST_PREVIOUS}})
/* clang-format on */

#define FNN_OPTIMIZER_ENUM(name, ...) FNN_OPTIMIZER_##name,
enum fnn_optimizer { FNN_OPTIMIZERS(FNN_OPTIMIZER_ENUM) FNN_OPTIMIZER_COUNT };

typedef struct {
    const char *name;  /* NULL after the last */
    const char *needs; /* a parameter, or NULL */
} fnn_slot;

typedef struct {
    const char *name, *layer;
    fnn_slot slots[FNN_MAX_SLOTS];
    fnn_param params[FNN_MAX_HYPER];
    int counts;
    const char *counts_if;
} fnn_optimizer_row;

extern const fnn_optimizer_row fnn_optimizer_rows[FNN_OPTIMIZER_COUNT]; /* tables.c */

#endif
