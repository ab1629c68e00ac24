/* The rule for sums over k, as plain loops: chunks of 512, each one chain of fused (or, for `portable`, separate)
 * multiply-adds from +0 in increasing k; chunk sums added in increasing order. */
#include <math.h>
#include <stdint.h>

#define ORACLE(name, T, FMA)                                                                                           \
    void name(T *c, const T *a, const T *b, int64_t m, int64_t n, int64_t k, int fused)                                \
    {                                                                                                                  \
        for (int64_t i = 0; i < m * n; i++) {                                                                          \
            T total = 0;                                                                                               \
            for (int64_t p = 0; p < k; p += 512) {                                                                     \
                T sum = 0;                                                                                             \
                for (int64_t q = p; q < k && q < p + 512; q++) {                                                       \
                    T x = a[i / n * k + q], y = b[q * n + i % n], product = x * y;                                     \
                    sum = fused ? FMA(x, y, sum) : product + sum;                                                      \
                }                                                                                                      \
                total = p == 0 ? sum : total + sum;                                                                    \
            }                                                                                                          \
            c[i] = total;                                                                                              \
        }                                                                                                              \
    }

ORACLE(matmul_f32, float, fmaf)
ORACLE(matmul_f64, double, fma)
