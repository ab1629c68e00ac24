/*
 * optimizers.h: THE TABLE of optimizers, one row each. The expressions stand in optimizers.inc.h.
 *
 * Design
 * A. A row gives the enum, the update of every ISA and dtype, the function NAME_update, the class for the trainer and the
 *    tests. To add one: a row, its scalars and its step, its twin in fastnn/reference/, a line of fastnn/functional/
 *    and one of fastnn/optim.py, docs.
 *
 * Columns: the name, then designated initialisers of fnn_optimizer_row.
 *    .layer   class name, torch.optim's
 *    .slots   arrays kept per parameter, which start as zeros: SLOT(name), or SLOT_IF(name, parameter) where the array exists
 *             only if that parameter is not 0
 *    .params  hyper-parameters, torch.optim's: name, default, which values are accepted. "betas[0]" and "betas[1]" make the
 *             pair `betas`.
 *    .counts  1 where the step's number, which counts from 1, takes part
 */
#ifndef FNN_OPTIMIZERS_H
#define FNN_OPTIMIZERS_H

#include "params.h"

/* clang-format off */
enum { FNN_MAX_SLOTS = 2, FNN_MAX_HYPER = 5, FNN_MAX_SCALARS = 12 };

#define SLOT(name) {name, NULL}
#define SLOT_IF(name, param) {name, param}

#define FNN_OPTIMIZERS(ROW)                                                                                            \
    ROW(sgd, .layer = "SGD", .slots = {SLOT_IF("velocity", "momentum")},                                               \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"momentum", 0, NONNEGATIVE}, {"nesterov", 0, SWITCH_OF_PREVIOUS},       \
                   {"weight_decay", 0, NONNEGATIVE}})                                                                  \
    ROW(adam, .layer = "Adam", .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq")}, .counts = 1,                            \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 0, NONNEGATIVE}})                                      \
    ROW(adamw, .layer = "AdamW", .slots = {SLOT("exp_avg"), SLOT("exp_avg_sq")}, .counts = 1,                          \
        .params = {{"lr", 1e-3, NONNEGATIVE}, {"betas[0]", 0.9, BELOW_1}, {"betas[1]", 0.999, BELOW_1},                \
                   {"eps", 1e-8, NONNEGATIVE}, {"weight_decay", 1e-2, NONNEGATIVE}})
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
} fnn_optimizer_row;

extern const fnn_optimizer_row fnn_optimizer_rows[FNN_OPTIMIZER_COUNT]; /* tables.c */

#endif
