/*
 * tables.c: the tables of activations, losses and optimizers as data, for the extension module.
 */
#include "fastnn.h"

#define ACTIVATION(row, what, ...) {.name = #row, .saves = FNN_SAVES_##what, __VA_ARGS__},
const fnn_activation_row fnn_activation_rows[FNN_ACTIVATION_COUNT] = {FNN_ACTIVATIONS(ACTIVATION)};

const fnn_loss_row fnn_loss_rows[FNN_LOSS_COUNT] = {FNN_LOSSES(FNN_LOSS_AS_DATA)};

#define OPTIMIZER(optimizer, ...) {.name = #optimizer, __VA_ARGS__},
const fnn_optimizer_row fnn_optimizer_rows[FNN_OPTIMIZER_COUNT] = {FNN_OPTIMIZERS(OPTIMIZER)};
