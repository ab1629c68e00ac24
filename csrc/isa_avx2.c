/* isa_avx2.c: the kernels for x86-64 with AVX2 and FMA. */
#define FNN_ISA avx2
#include "vec_avx2.h"

/* 12 accumulators, 2 vectors of b and 1 of a: 15 of 16 registers; 12 chains hide the latency of 2 fma units. */
enum { MR = 6, NV = 2 };

#include "kernels.inc.h"
