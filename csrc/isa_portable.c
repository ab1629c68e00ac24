/* isa_portable.c: the kernels in plain C, for every machine; multiply and add instead of fma. */
#define FNN_ISA portable
#include "vec_portable.h"

enum { MR = 6, NV = 4 };

#include "kernels.inc.h"
