/*
 * params.h: a parameter of a row of a table: of an activation, a loss or an optimizer.
 */
#ifndef FNN_PARAMS_H
#define FNN_PARAMS_H

#include <stddef.h>

enum { FNN_MAX_PARAMS = 2 }; /* of an activation or a loss */

/* Which values a parameter accepts; NaN never. BELOW_1: from 0, but less than 1. AT_LEAST_PREVIOUS: not less than the parameter
 * before it. SWITCH_OF_PREVIOUS: 0 or 1, and 1 only where the parameter before it is not 0. */
enum fnn_accepted { ANY, NONZERO, NONNEGATIVE, POSITIVE, AT_LEAST_PREVIOUS, FROM_0_TO_1, BELOW_1, SWITCH_OF_PREVIOUS };

typedef struct {
    const char *name; /* NULL after the last */
    double value;     /* unless another is given */
    int accepted;     /* enum fnn_accepted */
} fnn_param;

#endif
