/*
 * vec_avx2.h: the vector vocabulary on AVX2 with FMA.
 *
 * Design
 * A. Every ISA header defines the same names for one dtype T, chosen by FNN_DTYPE (32 or 64):
 *      V  a narrow vector: VL lanes of T           v_*
 *      W  a wide vector: WL lanes of float64       w_*   where functions are evaluated before one rounding to T
 *      U  UL lanes of uint32                       u_*
 *    V splits into V_PARTS wide vectors. With T = float64 narrow and wide are the same type. w_load_narrow reads WL numbers
 *    of type T.
 * B. Masks are vectors of all-ones and all-zeros lanes: VM, WM.
 * C. max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b, so an unordered or equal pair gives b.
 * D. fma(a, b, c) = a * b + c and fms(a, b, c) = a * b - c round once on every ISA. madd and nmadd(a, b, c) =
 *    c - a * b do it however the machine is fastest; here that is the same.
 * E. With T = float32, lookup8(table, index) gives each lane one of the eight entries of a table, in one operation: the
 *    entries lie in a register. index8(t), of the type VI, is bits 22 to 24 of t, the last two bits of the exponent and
 *    the first of the fraction, in the form that the permutation takes: half octaves of t, counted modulo 8.
 */
#ifndef FNN_VEC_H
#define FNN_VEC_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256d W;
typedef __m256d WM;
enum { WL = 4, V_MASKED = 0 }; /* whether the first lanes are loaded as fast as all of them */

/* Sliding windows over these give the mask of the first n lanes. */
static const int64_t first_n_mask64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

static inline W w_set1(double a) { return _mm256_set1_pd(a); }
static inline W w_load(const double *p) { return _mm256_loadu_pd(p); }
static inline void w_store(double *p, W a) { _mm256_storeu_pd(p, a); }
static inline W w_add(W a, W b) { return _mm256_add_pd(a, b); }
static inline W w_sub(W a, W b) { return _mm256_sub_pd(a, b); }
static inline W w_mul(W a, W b) { return _mm256_mul_pd(a, b); }
static inline W w_div(W a, W b) { return _mm256_div_pd(a, b); }
static inline W w_sqrt(W a) { return _mm256_sqrt_pd(a); }
static inline W w_fma(W a, W b, W c) { return _mm256_fmadd_pd(a, b, c); }
static inline W w_fms(W a, W b, W c) { return _mm256_fmsub_pd(a, b, c); }
static inline W w_madd(W a, W b, W c) { return _mm256_fmadd_pd(a, b, c); }
static inline W w_nmadd(W a, W b, W c) { return _mm256_fnmadd_pd(a, b, c); }
static inline W w_max(W a, W b) { return _mm256_max_pd(a, b); }
static inline W w_min(W a, W b) { return _mm256_min_pd(a, b); }
static inline W w_neg(W a) { return _mm256_xor_pd(a, w_set1(-0.0)); }
static inline W w_abs(W a) { return _mm256_andnot_pd(w_set1(-0.0), a); }
static inline W w_neg_abs(W a) { return _mm256_or_pd(w_set1(-0.0), a); }
/* a with the sign of s, where a has that or none */
static inline W w_signed(W a, W s) { return _mm256_or_pd(a, _mm256_and_pd(w_set1(-0.0), s)); }
static inline WM w_lt(W a, W b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
static inline WM w_le(W a, W b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
static inline WM w_eq(W a, W b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
static inline W w_select(WM m, W yes, W no) { return _mm256_blendv_pd(no, yes, m); }
static inline int w_any(WM m) { return _mm256_movemask_pd(m) != 0; }
static inline int w_count(WM m) { return __builtin_popcount((unsigned)_mm256_movemask_pd(m)); }
/* yes where the sign bit of s is set */
static inline W w_select_sign(W s, W yes, W no) { return _mm256_blendv_pd(no, yes, s); }

/* 2^n for an integral n in [-1022, 1023], given as n + W_BIAS: adding that also rounds to an integer. */
#define W_BIAS (0x1.8p52 + 1023)
static inline W w_pow2(W biased) { return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(biased), 52)); }

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)), for normal x > 0; returns e. */
static inline W w_split_exponent(W x, W *m)
{
    const __m256i sqrt_half = _mm256_castpd_si256(w_set1(0x1.6a09e667f3bcdp-1));
    const __m256i one = _mm256_castpd_si256(w_set1(1.0));
    const __m256i two52 = _mm256_castpd_si256(w_set1(0x1p52)),
                  fraction = _mm256_castpd_si256(w_set1(0x0.fffffffffffffp-1022));
    __m256i shifted = _mm256_add_epi64(_mm256_sub_epi64(_mm256_castpd_si256(x), sqrt_half), one);
    __m256i biased = _mm256_srli_epi64(shifted, 52);
    W e = w_sub(_mm256_castsi256_pd(_mm256_or_si256(biased, two52)), w_set1(0x1p52 + 1023));
    *m = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_and_si256(shifted, fraction), sqrt_half));
    return e;
}

/* UL lanes of uint32, for random numbers. */
typedef __m256i U;
enum { UL = 8 };

static inline U u_set1(uint32_t a) { return _mm256_set1_epi32((int)a); }
static inline U u_load(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void u_store(uint32_t *p, U a) { _mm256_storeu_si256((__m256i *)p, a); }
static inline U u_xor(U a, U b) { return _mm256_xor_si256(a, b); }
/* a * m: returns the low half of each product, *high receives the high half. */
static inline U u_mul_wide(U a, uint32_t m, U *high)
{
    __m256i even = _mm256_mul_epu32(a, u_set1(m)), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), u_set1(m));
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

#if FNN_DTYPE == 32

typedef float T;
typedef __m256 V;
typedef __m256 VM;
enum { VL = 8 };

static const int32_t first_n_mask32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static inline __m256i v_first(int64_t n) { return _mm256_loadu_si256((const __m256i *)(first_n_mask32 + VL - n)); }

static inline V v_set1(T a) { return _mm256_set1_ps(a); }
static inline V v_load(const T *p) { return _mm256_loadu_ps(p); }
static inline void v_store(T *p, V a) { _mm256_storeu_ps(p, a); }
/* The first n lanes, 0 < n < VL; the others are `fill` and are not stored. */
static inline V v_load_part(const T *p, int64_t n, T fill)
{
    __m256i m = v_first(n);
    return _mm256_blendv_ps(v_set1(fill), _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
}
/* By powers of two: a masked store takes dozens of cycles on some processors. */
static inline void v_store_part(T *p, V a, int64_t n)
{
    __m128 left = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, left);
        left = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, left);
        left = _mm_movehl_ps(left, left);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, left);
}
static inline V v_add(V a, V b) { return _mm256_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
static inline V v_div(V a, V b) { return _mm256_div_ps(a, b); }
static inline V v_sqrt(V a) { return _mm256_sqrt_ps(a); }
static inline V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V v_fms(V a, V b, V c) { return _mm256_fmsub_ps(a, b, c); }
static inline V v_madd(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
static inline V v_nmadd(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
static inline V v_max(V a, V b) { return _mm256_max_ps(a, b); }
static inline V v_min(V a, V b) { return _mm256_min_ps(a, b); }
static inline V v_neg(V a) { return _mm256_xor_ps(a, v_set1(-0.0f)); }
static inline V v_abs(V a) { return _mm256_andnot_ps(v_set1(-0.0f), a); }
static inline V v_neg_abs(V a) { return _mm256_or_ps(v_set1(-0.0f), a); }
static inline V v_signed(V a, V s) { return _mm256_or_ps(a, _mm256_and_ps(v_set1(-0.0f), s)); }
static inline VM v_lt(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline VM v_le(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
static inline VM v_eq(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline V v_select(VM m, V yes, V no) { return _mm256_blendv_ps(no, yes, m); }
static inline int v_any(VM m) { return _mm256_movemask_ps(m) != 0; }
static inline int v_count(VM m) { return __builtin_popcount((unsigned)_mm256_movemask_ps(m)); }
static inline V v_select_sign(V s, V yes, V no) { return _mm256_blendv_ps(no, yes, s); }
/* 2^n for an integral n in [-126, 127], given as n + V_BIAS */
#define V_BIAS (0x1.8p23f + 127)
static inline V v_pow2(V biased) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(biased), 23)); }

typedef __m256i VI;
static inline VI v_index8(V t) { return _mm256_srli_epi32(_mm256_castps_si256(t), 22); }
static inline V v_lookup8(const T table[8], VI index)
{
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), index);
}

/* Columns [0, VC) of VL rows: lane r of column[j] = p[r * row + j]. */
enum { VC = 4 };
static inline void v_load_columns(V column[VC], const T *p, int64_t row)
{
    V half[4], pair[4];
    for (int r = 0; r < 4; r++) {
        const T *at = p + r * row;
        half[r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at)), _mm_loadu_ps(at + 4 * row), 1);
    }
    for (int r = 0; r < 4; r += 2) {
        pair[r] = _mm256_unpacklo_ps(half[r], half[r + 1]);
        pair[r + 1] = _mm256_unpackhi_ps(half[r], half[r + 1]);
    }
    column[0] = _mm256_shuffle_ps(pair[0], pair[2], 0x44);
    column[1] = _mm256_shuffle_ps(pair[0], pair[2], 0xee);
    column[2] = _mm256_shuffle_ps(pair[1], pair[3], 0x44);
    column[3] = _mm256_shuffle_ps(pair[1], pair[3], 0xee);
}

enum { V_PARTS = 2 };
static inline W w_load_narrow(const T *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
static inline W v_widen(V a, int part)
{
    return _mm256_cvtps_pd(part ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
}
static inline V v_narrow(const W part[V_PARTS])
{
    return _mm256_set_m128(_mm256_cvtpd_ps(part[1]), _mm256_cvtpd_ps(part[0]));
}

#else

typedef double T;
typedef W V;
typedef WM VM;
enum { VL = WL };

static inline __m256i v_first(int64_t n) { return _mm256_loadu_si256((const __m256i *)(first_n_mask64 + VL - n)); }
static inline V v_load_part(const T *p, int64_t n, T fill)
{
    __m256i m = v_first(n);
    return _mm256_blendv_pd(w_set1(fill), _mm256_maskload_pd(p, m), _mm256_castsi256_pd(m));
}
static inline void v_store_part(T *p, V a, int64_t n)
{
    __m128d left = _mm256_castpd256_pd128(a);
    if (n & 2) {
        _mm_storeu_pd(p, left);
        left = _mm256_extractf128_pd(a, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, left);
}
enum { VC = 2 };
static inline void v_load_columns(V column[VC], const T *p, int64_t row)
{
    V half[2];
    for (int r = 0; r < 2; r++) {
        const T *at = p + r * row;
        half[r] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(at)), _mm_loadu_pd(at + 2 * row), 1);
    }
    column[0] = _mm256_unpacklo_pd(half[0], half[1]);
    column[1] = _mm256_unpackhi_pd(half[0], half[1]);
}

#include "vec_f64.h"

#endif
#endif
