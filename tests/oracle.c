/* The rule for sums over k, as a plain loop: chunks of 512, each one chain of fused (or, for `portable`, separate)
 * multiply-adds from +0 in increasing k; chunk sums added in increasing order. Every value is a number of the dtype, float
 * or double, and is held as a double in between. */
#include <math.h>
#include <stdint.h>

static double get(int is_double, const void *x, int64_t i)
{
    return is_double ? ((const double *)x)[i] : ((const float *)x)[i];
}

static void put(int is_double, void *x, int64_t i, double value)
{
    if (is_double)
        ((double *)x)[i] = value;
    else
        ((float *)x)[i] = (float)value;
}

static double add(int is_double, double a, double b) { return is_double ? a + b : (float)a + (float)b; }

static double madd(int is_double, int fused, double a, double b, double sum)
{
    if (is_double) return fused ? fma(a, b, sum) : a * b + sum;
    const float product = (float)a * (float)b;
    return fused ? fmaf((float)a, (float)b, (float)sum) : product + (float)sum;
}

/* c (m, n) = a (m, k) b (k, n), all of them contiguous */
void plain_product(void *c, const void *a, const void *b, int64_t m, int64_t n, int64_t k, int fused, int is_double)
{
    for (int64_t i = 0; i < m * n; i++) {
        double total = 0;
        for (int64_t p = 0; p < k; p += 512) {
            double sum = 0;
            for (int64_t q = p; q < k && q < p + 512; q++)
                sum = madd(is_double, fused, get(is_double, a, i / n * k + q), get(is_double, b, q * n + i % n), sum);
            total = p == 0 ? sum : add(is_double, total, sum);
        }
        put(is_double, c, i, total);
    }
}
