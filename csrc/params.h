/*
 * params.h: a parameter of a row of a table: of an activation, a loss or an optimizer.
 */
#ifndef FNN_PARAMS_H
#define FNN_PARAMS_H

#include <stddef.h>

enum { FNN_MAX_PARAMS = 3 }; /* of an activation or a loss */

/* Which values a parameter accepts; NaN never. NONNEGATIVE: and finite. BELOW_1: from 0, but less than 1. BETWEEN_0_AND_1: neither of the two.
 * AT_LEAST_PREVIOUS: not less than the parameter before it. SIGN: -1 or 1. ONE_OR_TWO: 1 or 2. OR_NONE: or none at all,
 * which is NaN. SWITCH: 0 or 1. SWITCH_OF_MOMENTUM: a switch that stands after a momentum and its dampening, and may be 1
 * only where the momentum is not 0 and the dampening is 0. */
enum fnn_accepted {
    ANY,
    NONZERO,
    NONNEGATIVE,
    POSITIVE,
    AT_LEAST_PREVIOUS,
    FROM_0_TO_1,
    BELOW_1,
    BETWEEN_0_AND_1,
    ABOVE_1,
    SIGN,
    ONE_OR_TWO,
    FROM_0_TO_1_OR_NONE,
    SWITCH,
    SWITCH_OF_MOMENTUM
};

typedef struct {
    const char *name; /* NULL after the last */
    double value;     /* unless another is given */
    int accepted;     /* enum fnn_accepted */
} fnn_param;

#endif
