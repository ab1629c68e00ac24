/* count.c: one call of a kernel, whose instructions tests/test_work.py has counted: build/count ISA BITS KERNEL SIZE.
 * KERNEL is matmul, of SIZE rows, columns and terms, or the name of an activation, or softmax in rows of 8, of SIZE elements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastnn.h"

void *fnn_scratch(int64_t bytes)
{
    static char memory[1 << 24] __attribute__((aligned(64)));
    return bytes <= (int64_t)sizeof memory ? memory : NULL;
}

static double x[1 << 18], y[1 << 18], z[1 << 18];

static int row_named(const char *name)
{
    for (int row = 0; row < FNN_ACTIVATION_COUNT; row++)
        if (strcmp(fnn_activation_rows[row].name, name) == 0) return row;
    return -1;
}

/* What is counted. */
__attribute__((noinline)) static void measured(const fnn_kernels *kernels, const char *kernel, int64_t n)
{
    static const double params[FNN_MAX_PARAMS];
    static const fnn_epilogue plain = {.activation = FNN_identity};
    const int row = row_named(kernel);
    if (strcmp(kernel, "softmax") == 0)
        kernels->softmax_forward(y, x, n / 8, 8);
    else if (row < 0)
        kernels->matmul(z, n, (fnn_matrix){x, n, 1}, (fnn_matrix){y, n, 1}, n, n, n, &plain);
    else
        kernels->forward[row](y, x, n, params);
}

int main(int count, char **arguments)
{
    if (count != 5 || fnn_isa_use(arguments[1])) return 1;
    const fnn_kernels *kernels = fnn_kernels_for(strcmp(arguments[2], "32") == 0 ? FNN_F32 : FNN_F64);
    measured(kernels, arguments[3], atoll(arguments[4]));
    return 0;
}
