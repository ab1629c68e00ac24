/*
 * plain.c: the kernels of plain.h.
 */
#include "plain.h"

#include <math.h>
#include <string.h>

#define TWO_PI 6.283185307179586

/* (-1)^n / (2 n)! and (-1)^n / (2 n + 1)! */
static const double cosine_series[] = {1.0,
                                       -1.0 / 2,
                                       1.0 / 24,
                                       -1.0 / 720,
                                       1.0 / 40320,
                                       -1.0 / 3628800,
                                       1.0 / 479001600,
                                       -1.0 / 87178291200,
                                       1.0 / 20922789888000};
static const double sine_series[] = {1.0,
                                     -1.0 / 6,
                                     1.0 / 120,
                                     -1.0 / 5040,
                                     1.0 / 362880,
                                     -1.0 / 39916800,
                                     1.0 / 6227020800,
                                     -1.0 / 1307674368000,
                                     1.0 / 355687428096000};

#define T float
#define FNN_T FNN_F32
#define SUFFIX f32
#define ROUND 0x1p23f
#define TERMS 6
#include "plain.inc.h"
#undef T
#undef FNN_T
#undef SUFFIX
#undef ROUND
#undef TERMS

#define T double
#define FNN_T FNN_F64
#define SUFFIX f64
#define ROUND 0x1p52
#define TERMS 9
#include "plain.inc.h"

const fnn_plain *fnn_plain_for(int dtype) { return dtype == FNN_F32 ? &plain_f32 : &plain_f64; }

void fnn_hold_norms(int dtype, void *weight, int64_t rows, int64_t columns, int64_t row, int k_major, double most,
                    void *unit)
{
    (dtype == FNN_F32 ? hold_norms_f32 : hold_norms_f64)(weight, rows, columns, row, k_major, most, unit);
}

double fnn_penalty(int dtype, const void *weight, int64_t n, double l1, double l2)
{
    return dtype == FNN_F32 ? penalty_f32(weight, n, l1, l2) : penalty_f64(weight, n, l1, l2);
}

void fnn_alpha_dropout(int dtype, void *y, const void *x, double p, uint64_t seed, uint32_t step, uint32_t layer,
                       int64_t first, int64_t n, int backward)
{
    const double alpha = 1.7580993408473766, factor = sqrt((1 - p) / (1 + p * (alpha * alpha)));
    const fnn_kernels *kernels = fnn_kernels_for(dtype);
    const fnn_plain *plain = fnn_plain_for(dtype);
    if (!backward) plain->add_number(y, x, alpha, n);
    kernels->dropout(y, backward ? x : y, p, seed, step, layer, first, n);
    if (!backward) plain->add_number(y, y, -alpha, n);
    kernels->scale(y, y, factor, n);
}
