/*
 * activations.h: THE TABLE of activations, rows only. The vector expressions stand in activations.inc.h.
 *
 * Design
 * A. A row gives the enum, the loops on every ISA and dtype, the fused forms, the layer class, the tests and the
 *    benchmarks. To add one: a row, its expressions, its twin in fastnn/reference/, a line of fastnn/functional/
 *    and of fastnn/layers/activations.py, docs.
 *
 * Columns
 *    name      of the function
 *    saves     what the backward call can take: X, the input alone; Y, the output too (NAME_dy then gives the
 *              derivative from y); Y_IF_NONNEGATIVE, the output while all parameters are >= 0 (with a negative slope y
 *              does not tell the sign of x)
 *    .layer    class name, torch.nn's where it has one
 *    .ulp      bound on the error in ulp: float32 forward, backward from x; float64 forward, backward from x. Default
 *              parameters, gradient 1.
 *    .domain   of x, where the bounds hold
 *    .output   the smallest closed interval that holds f(x) for all x, with default parameters
 *    .gain     factor of a weight's standard deviation at initialisation that keeps the scale of signals: PyTorch's
 *              torch.nn.init.calculate_gain where it defines one (sqrt(2) for relu, sqrt(2 / (1 + slope^2)) for
 *              leaky_relu with its default slope), else 1
 *    .params   name, default, which values are accepted
 */
#ifndef FNN_ACTIVATIONS_H
#define FNN_ACTIVATIONS_H

#include <math.h>

#include "params.h"

enum fnn_saves { FNN_SAVES_X, FNN_SAVES_Y, FNN_SAVES_Y_IF_NONNEGATIVE };

/* clang-format off */
#define REALS {-INFINITY, INFINITY}
#define FNN_ACTIVATIONS(ROW)                                                                                          \
    ROW(identity, Y, .layer = "Identity", .ulp = {0, 0, 0, 0}, .domain = REALS,                                       \
        .output = REALS, .gain = 1)                                                                                   \
    ROW(relu, Y, .layer = "ReLU", .ulp = {0, 0, 0, 0}, .domain = REALS,                                               \
        .output = {0, INFINITY}, .gain = 1.4142135623730951)                                                          \
    ROW(leaky_relu, Y_IF_NONNEGATIVE, .layer = "LeakyReLU", .ulp = {0.9, 0.25, 0.5, 0}, .domain = REALS,              \
        .output = REALS, .gain = 1.4141428569978354, .params = {{"negative_slope", 0.01, ANY}})                       \
    ROW(elu, Y_IF_NONNEGATIVE, .layer = "ELU", .ulp = {0.98, 0.9, 1.5, 1}, .domain = REALS,                           \
        .output = {-1, INFINITY}, .gain = 1, .params = {{"alpha", 1.0, ANY}})                                         \
    ROW(celu, Y, .layer = "CELU", .ulp = {0.98, 0.9, 1.5, 1}, .domain = REALS,                                        \
        .output = {-1, INFINITY}, .gain = 1, .params = {{"alpha", 1.0, POSITIVE}})                                    \
    ROW(sigmoid, Y, .layer = "Sigmoid", .ulp = {0.95, 0.95, 1, 1}, .domain = REALS,                                   \
        .output = {0, 1}, .gain = 1)                                                                                  \
    ROW(tanh, Y, .layer = "Tanh", .ulp = {0.95, 0.95, 1.5, 1}, .domain = REALS,                                       \
        .output = {-1, 1}, .gain = 5.0 / 3)                                                                           \
    ROW(softplus, X, .layer = "Softplus", .ulp = {1, 0.95, 1, 1}, .domain = REALS,                                    \
        .output = {0, INFINITY}, .gain = 1, .params = {{"beta", 1.0, NONZERO}, {"threshold", 20.0, ANY}})             \
    ROW(logsigmoid, X, .layer = "LogSigmoid", .ulp = {1, 0.95, 1, 1}, .domain = REALS,                                \
        .output = {-INFINITY, 0}, .gain = 1)                                                                          \
    ROW(hardshrink, X, .layer = "Hardshrink", .ulp = {0, 0, 0, 0}, .domain = REALS,                                   \
        .output = REALS, .gain = 1, .params = {{"lambd", 0.5, ANY}})                                                  \
    ROW(square, X, .layer = "Square", .ulp = {0.5, 0, 0.5, 0}, .domain = REALS,                                       \
        .output = {0, INFINITY}, .gain = 1)                                                                           \
    ROW(silu, X, .layer = "SiLU", .ulp = {0.9, 0.98, 1, 1}, .domain = REALS,                                          \
        .output = {-0.2784645427610738, INFINITY}, .gain = 1)                                                         \
    ROW(gelu, X, .layer = "GELU", .ulp = {0.95, 0.9, 1.5, 1.5}, .domain = REALS,                                  \
        .output = {-0.16997120747990369, INFINITY}, .gain = 1)                                                        \
    ROW(gelu_tanh, X, .layer = "GELUTanh", .ulp = {0.56, 0.51, 2, 2}, .domain = REALS,                                \
        .output = {-0.17004075057125403, INFINITY}, .gain = 1)                                                        \
    ROW(mish, X, .layer = "Mish", .ulp = {0.56, 0.51, 1, 1}, .domain = REALS,                                         \
        .output = {-0.30884341301725027, INFINITY}, .gain = 1)                                                        \
    ROW(selu, Y, .layer = "SELU", .ulp = {1, 0.9, 1.5, 1}, .domain = REALS,                                           \
        .output = {-1.7580993408473768, INFINITY}, .gain = 0.75)                                                      \
    ROW(softsign, X, .layer = "Softsign", .ulp = {0.51, 0.9, 0.51, 1}, .domain = REALS,                               \
        .output = {-1, 1}, .gain = 1)                                                                                 \
    ROW(tanhshrink, X, .layer = "Tanhshrink", .ulp = {0.98, 0.9, 1, 1}, .domain = REALS,                             \
        .output = REALS, .gain = 1)                                                                                   \
    ROW(softshrink, Y, .layer = "Softshrink", .ulp = {0.5, 0, 0.5, 0}, .domain = REALS,                               \
        .output = REALS, .gain = 1, .params = {{"lambd", 0.5, NONNEGATIVE}})                                          \
    ROW(threshold, X, .layer = "Threshold", .ulp = {0, 0, 0, 0}, .domain = REALS,                                     \
        .output = {0, INFINITY}, .gain = 1, .params = {{"threshold", 1.0, ANY}, {"value", 0.0, ANY}})                 \
    ROW(relu6, Y, .layer = "ReLU6", .ulp = {0, 0, 0, 0}, .domain = REALS,                                             \
        .output = {0, 6}, .gain = 1)                                                                                  \
    ROW(hardtanh, Y, .layer = "Hardtanh", .ulp = {0, 0, 0, 0}, .domain = REALS,                                       \
        .output = {-1, 1}, .gain = 1, .params = {{"min_val", -1.0, ANY}, {"max_val", 1.0, AT_LEAST_PREVIOUS}})        \
    ROW(hardsigmoid, Y, .layer = "Hardsigmoid", .ulp = {0.51, 0.34, 1, 0.34}, .domain = REALS,                        \
        .output = {0, 1}, .gain = 1)                                                                                  \
    ROW(hardswish, X, .layer = "Hardswish", .ulp = {0.51, 0.51, 1, 1}, .domain = REALS,                               \
        .output = {-0.375, INFINITY}, .gain = 1)
/* clang-format on */

#define FNN_ENUM(name, ...) FNN_##name,
enum fnn_activation { FNN_ACTIVATIONS(FNN_ENUM) FNN_ACTIVATION_COUNT };

typedef struct {
    const char *name, *layer;
    int saves; /* enum fnn_saves */
    double ulp[4], domain[2], output[2], gain;
    fnn_param params[FNN_MAX_PARAMS];
} fnn_activation_row;

extern const fnn_activation_row fnn_activation_rows[FNN_ACTIVATION_COUNT]; /* tables.c */

#endif
