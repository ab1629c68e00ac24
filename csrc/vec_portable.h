/*
 * vec_portable.h: the vector vocabulary in plain C, one lane; vec_avx2.h says what each name means.
 *
 * Design
 * A. One lane keeps the code trivially right and lets any compiler vectorise the simple loops by itself.
 * B. madd is a plain multiply and add: on a machine without FMA an exact fma costs a library call an element. Sums over
 * k therefore differ here from the ISAs with FMA.
 */
#ifndef FNN_VEC_H
#define FNN_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef double W;
typedef int WM;
enum { WL = 1, V_MASKED = 0 };

static inline W w_set1(double a) { return a; }
static inline W w_load(const double *p) { return *p; }
static inline void w_store(double *p, W a) { *p = a; }
static inline W w_add(W a, W b) { return a + b; }
static inline W w_sub(W a, W b) { return a - b; }
static inline W w_mul(W a, W b) { return a * b; }
static inline W w_div(W a, W b) { return a / b; }
static inline W w_sqrt(W a) { return sqrt(a); }
static inline W w_fma(W a, W b, W c) { return fma(a, b, c); }
static inline W w_fms(W a, W b, W c) { return fma(a, b, -c); }
static inline W w_madd(W a, W b, W c) { return a * b + c; }
static inline W w_nmadd(W a, W b, W c) { return c - a * b; }
static inline W w_max(W a, W b) { return a > b ? a : b; }
static inline W w_min(W a, W b) { return a < b ? a : b; }
static inline W w_neg(W a) { return -a; }
static inline W w_abs(W a) { return fabs(a); }
static inline W w_neg_abs(W a) { return -fabs(a); }
static inline W w_signed(W a, W s) { return copysign(a, s); } /* where a has the sign of s or none */
static inline WM w_lt(W a, W b) { return a < b; }
static inline WM w_le(W a, W b) { return a <= b; }
static inline WM w_eq(W a, W b) { return a == b; }
static inline W w_select(WM m, W yes, W no) { return m ? yes : no; }
static inline int w_any(WM m) { return m; }
static inline int w_count(WM m) { return m; }
static inline W w_select_sign(W s, W yes, W no) { return signbit(s) ? yes : no; }

#define W_BIAS (0x1.8p52 + 1023)
static inline W w_pow2(W biased)
{
    uint64_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 52;
    memcpy(&biased, &bits, sizeof bits);
    return biased;
}

static inline W w_split_exponent(W x, W *m)
{
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcd, one = 0x3ff0000000000000;
    uint64_t bits, biased;
    memcpy(&bits, &x, sizeof bits);
    biased = (bits - sqrt_half + one) >> 52;
    bits = bits - (biased << 52) + one;
    memcpy(m, &bits, sizeof bits);
    return (double)biased - 1023;
}

typedef uint32_t U;
enum { UL = 1 };

static inline U u_set1(uint32_t a) { return a; }
static inline U u_load(const uint32_t *p) { return *p; }
static inline void u_store(uint32_t *p, U a) { *p = a; }
static inline U u_xor(U a, U b) { return a ^ b; }
static inline U u_mul_wide(U a, uint32_t m, U *high)
{
    uint64_t product = (uint64_t)a * m;
    *high = (uint32_t)(product >> 32);
    return (uint32_t)product;
}

#if FNN_DTYPE == 32

typedef float T;
typedef float V;
typedef int VM;
enum { VL = 1 };

static inline V v_set1(T a) { return a; }
static inline V v_load(const T *p) { return *p; }
static inline void v_store(T *p, V a) { *p = a; }
static inline V v_add(V a, V b) { return a + b; }
static inline V v_sub(V a, V b) { return a - b; }
static inline V v_mul(V a, V b) { return a * b; }
static inline V v_div(V a, V b) { return a / b; }
static inline V v_sqrt(V a) { return sqrtf(a); }
static inline V v_fma(V a, V b, V c) { return fmaf(a, b, c); }
static inline V v_fms(V a, V b, V c) { return fmaf(a, b, -c); }
static inline V v_madd(V a, V b, V c) { return a * b + c; }
static inline V v_nmadd(V a, V b, V c) { return c - a * b; }
static inline V v_max(V a, V b) { return a > b ? a : b; }
static inline V v_min(V a, V b) { return a < b ? a : b; }
static inline V v_neg(V a) { return -a; }
static inline V v_abs(V a) { return fabsf(a); }
static inline V v_neg_abs(V a) { return -fabsf(a); }
static inline V v_signed(V a, V s) { return copysignf(a, s); }
static inline VM v_lt(V a, V b) { return a < b; }
static inline VM v_le(V a, V b) { return a <= b; }
static inline VM v_eq(V a, V b) { return a == b; }
static inline V v_select(VM m, V yes, V no) { return m ? yes : no; }
static inline int v_any(VM m) { return m; }
static inline int v_count(VM m) { return m; }
static inline V v_select_sign(V s, V yes, V no) { return signbit(s) ? yes : no; }

#define V_BIAS (0x1.8p23f + 127)
static inline V v_pow2(V biased)
{
    uint32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits <<= 23;
    memcpy(&biased, &bits, sizeof bits);
    return biased;
}

typedef uint32_t VI;
static inline VI v_index8(V t)
{
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    return bits >> 22 & 7;
}
static inline V v_lookup8(const T table[8], VI index) { return table[index]; }

enum { V_PARTS = 1 };
static inline W w_load_narrow(const T *p) { return *p; }
static inline W v_widen(V a, int part)
{
    (void)part;
    return a;
}
static inline V v_narrow(const W part[V_PARTS]) { return (V)part[0]; }

#else

typedef double T;
typedef W V;
typedef WM VM;
enum { VL = WL };

#include "vec_f64.h"

#endif

enum { VC = 1 };
static inline void v_load_columns(V column[VC], const T *p, int64_t row)
{
    (void)row;
    column[0] = *p;
}

/* One lane has no parts: these are never reached, but the loops name them. */
static inline V v_load_part(const T *p, int64_t n, T fill) { return n > 0 ? *p : fill; }
static inline void v_store_part(T *p, V a, int64_t n)
{
    if (n > 0) *p = a;
}
#endif
