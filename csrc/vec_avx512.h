/*
 * vec_avx512.h: the vector vocabulary on AVX-512 (F, DQ, BW and VL). vec_avx2.h says what each name means.
 *
 * Design
 * A. A mask is one bit a lane, in a mask register. The first n lanes are loaded and stored under a mask, so that a tail
 *    costs what a full vector does.
 * B. Whatever a lane computes is what it computes on AVX2: the same operations, each rounded in the same way.
 */
#ifndef FNN_VEC_H
#define FNN_VEC_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512d W;
typedef __mmask8 WM;
enum { WL = 8, V_MASKED = 1 };

static inline W w_set1(double a) { return _mm512_set1_pd(a); }
static inline W w_load(const double *p) { return _mm512_loadu_pd(p); }
static inline void w_store(double *p, W a) { _mm512_storeu_pd(p, a); }
static inline W w_add(W a, W b) { return _mm512_add_pd(a, b); }
static inline W w_sub(W a, W b) { return _mm512_sub_pd(a, b); }
static inline W w_mul(W a, W b) { return _mm512_mul_pd(a, b); }
static inline W w_div(W a, W b) { return _mm512_div_pd(a, b); }
static inline W w_sqrt(W a) { return _mm512_sqrt_pd(a); }
static inline W w_fma(W a, W b, W c) { return _mm512_fmadd_pd(a, b, c); }
static inline W w_fms(W a, W b, W c) { return _mm512_fmsub_pd(a, b, c); }
static inline W w_madd(W a, W b, W c) { return _mm512_fmadd_pd(a, b, c); }
static inline W w_nmadd(W a, W b, W c) { return _mm512_fnmadd_pd(a, b, c); }
static inline W w_max(W a, W b) { return _mm512_max_pd(a, b); }
static inline W w_min(W a, W b) { return _mm512_min_pd(a, b); }
static inline W w_neg(W a) { return _mm512_xor_pd(a, w_set1(-0.0)); }
static inline W w_abs(W a) { return _mm512_andnot_pd(w_set1(-0.0), a); }
static inline W w_neg_abs(W a) { return _mm512_or_pd(w_set1(-0.0), a); }
static inline W w_signed(W a, W s) { return _mm512_or_pd(a, _mm512_and_pd(w_set1(-0.0), s)); }
static inline WM w_lt(W a, W b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline WM w_le(W a, W b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
static inline WM w_eq(W a, W b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
static inline W w_select(WM m, W yes, W no) { return _mm512_mask_blend_pd(m, no, yes); }
static inline int w_any(WM m) { return m != 0; }
static inline int w_count(WM m) { return __builtin_popcount(m); }
static inline W w_select_sign(W s, W yes, W no)
{
    return _mm512_mask_blend_pd(_mm512_movepi64_mask(_mm512_castpd_si512(s)), no, yes);
}

#define W_BIAS (0x1.8p52 + 1023)
static inline W w_pow2(W biased) { return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(biased), 52)); }

static inline W w_split_exponent(W x, W *m)
{
    const __m512i sqrt_half = _mm512_castpd_si512(w_set1(0x1.6a09e667f3bcdp-1));
    const __m512i one = _mm512_castpd_si512(w_set1(1.0));
    const __m512i two52 = _mm512_castpd_si512(w_set1(0x1p52)),
                  fraction = _mm512_castpd_si512(w_set1(0x0.fffffffffffffp-1022));
    __m512i shifted = _mm512_add_epi64(_mm512_sub_epi64(_mm512_castpd_si512(x), sqrt_half), one);
    __m512i biased = _mm512_srli_epi64(shifted, 52);
    W e = w_sub(_mm512_castsi512_pd(_mm512_or_si512(biased, two52)), w_set1(0x1p52 + 1023));
    *m = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_and_si512(shifted, fraction), sqrt_half));
    return e;
}

typedef __m512i U;
enum { UL = 16 };

static inline U u_set1(uint32_t a) { return _mm512_set1_epi32((int)a); }
static inline U u_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
static inline void u_store(uint32_t *p, U a) { _mm512_storeu_si512(p, a); }
static inline U u_xor(U a, U b) { return _mm512_xor_si512(a, b); }
static inline U u_mul_wide(U a, uint32_t m, U *high)
{
    __m512i even = _mm512_mul_epu32(a, u_set1(m)), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), u_set1(m));
    *high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

#if FNN_DTYPE == 32

typedef float T;
typedef __m512 V;
typedef __mmask16 VM;
enum { VL = 16 };

static inline VM v_first(int64_t n) { return (VM)((1u << n) - 1); }
static inline V v_set1(T a) { return _mm512_set1_ps(a); }
static inline V v_load(const T *p) { return _mm512_loadu_ps(p); }
static inline void v_store(T *p, V a) { _mm512_storeu_ps(p, a); }
static inline V v_load_part(const T *p, int64_t n, T fill) { return _mm512_mask_loadu_ps(v_set1(fill), v_first(n), p); }
static inline void v_store_part(T *p, V a, int64_t n) { _mm512_mask_storeu_ps(p, v_first(n), a); }
static inline V v_add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V v_div(V a, V b) { return _mm512_div_ps(a, b); }
static inline V v_sqrt(V a) { return _mm512_sqrt_ps(a); }
static inline V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V v_fms(V a, V b, V c) { return _mm512_fmsub_ps(a, b, c); }
static inline V v_madd(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V v_nmadd(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
static inline V v_max(V a, V b) { return _mm512_max_ps(a, b); }
static inline V v_min(V a, V b) { return _mm512_min_ps(a, b); }
static inline V v_neg(V a) { return _mm512_xor_ps(a, v_set1(-0.0f)); }
static inline V v_abs(V a) { return _mm512_andnot_ps(v_set1(-0.0f), a); }
static inline V v_neg_abs(V a) { return _mm512_or_ps(v_set1(-0.0f), a); }
static inline V v_signed(V a, V s) { return _mm512_or_ps(a, _mm512_and_ps(v_set1(-0.0f), s)); }
static inline VM v_lt(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline VM v_le(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline VM v_eq(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline V v_select(VM m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
static inline int v_any(VM m) { return m != 0; }
static inline int v_count(VM m) { return __builtin_popcount(m); }
static inline V v_select_sign(V s, V yes, V no)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(s)), no, yes);
}
#define V_BIAS (0x1.8p23f + 127)
static inline V v_pow2(V biased) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(biased), 23)); }

typedef __m512i VI;
static inline VI v_index8(V t) { return _mm512_srli_epi32(_mm512_castps_si512(t), 22); }
static inline V v_lookup8(const T table[8], VI index) /* it stands twice in the register */
{
    return _mm512_permutexvar_ps(index, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
}

enum { VC = 8 };
static inline void v_load_columns(V column[VC], const T *p, int64_t row)
{
    V quad[2][4]; /* quad[h][c]: columns c and c + 4 of rows 8 h to 8 h + 7, four rows a part */
    for (int h = 0; h < 2; h++) {
        V rows[4], pair[4]; /* rows[r]: rows 8 h + r and 8 h + r + 4 */
        for (int r = 0; r < 4; r++) {
            const T *at = p + (8 * h + r) * row;
            rows[r] = _mm512_castps256_ps512(_mm256_loadu_ps(at));
            rows[r] = _mm512_insertf32x8(rows[r], _mm256_loadu_ps(at + 4 * row), 1);
        }
        for (int r = 0; r < 4; r += 2) {
            pair[r] = _mm512_unpacklo_ps(rows[r], rows[r + 1]);
            pair[r + 1] = _mm512_unpackhi_ps(rows[r], rows[r + 1]);
        }
        quad[h][0] = _mm512_shuffle_ps(pair[0], pair[2], 0x44);
        quad[h][1] = _mm512_shuffle_ps(pair[0], pair[2], 0xee);
        quad[h][2] = _mm512_shuffle_ps(pair[1], pair[3], 0x44);
        quad[h][3] = _mm512_shuffle_ps(pair[1], pair[3], 0xee);
    }
    for (int c = 0; c < 4; c++) {
        column[c] = _mm512_shuffle_f32x4(quad[0][c], quad[1][c], 0x88);
        column[c + 4] = _mm512_shuffle_f32x4(quad[0][c], quad[1][c], 0xdd);
    }
}

enum { V_PARTS = 2 };
static inline W w_load_narrow(const T *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
static inline W v_widen(V a, int part)
{
    return _mm512_cvtps_pd(part ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
}
static inline V v_narrow(const W part[V_PARTS])
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(part[0])), _mm512_cvtpd_ps(part[1]), 1);
}

#else

typedef double T;
typedef W V;
typedef WM VM;
enum { VL = WL };

static inline VM v_first(int64_t n) { return (VM)((1u << n) - 1); }
static inline V v_load_part(const T *p, int64_t n, T fill) { return _mm512_mask_loadu_pd(w_set1(fill), v_first(n), p); }
static inline void v_store_part(T *p, V a, int64_t n) { _mm512_mask_storeu_pd(p, v_first(n), a); }
enum { VC = 4 };
static inline void v_load_columns(V column[VC], const T *p, int64_t row)
{
    V pair[2][2]; /* pair[h][c]: columns c and c + 2 of rows 4 h to 4 h + 3, two rows a part */
    for (int h = 0; h < 2; h++) {
        V rows[2]; /* rows[r]: rows 4 h + r and 4 h + r + 2 */
        for (int r = 0; r < 2; r++) {
            const T *at = p + (4 * h + r) * row;
            rows[r] = _mm512_castpd256_pd512(_mm256_loadu_pd(at));
            rows[r] = _mm512_insertf64x4(rows[r], _mm256_loadu_pd(at + 2 * row), 1);
        }
        pair[h][0] = _mm512_unpacklo_pd(rows[0], rows[1]);
        pair[h][1] = _mm512_unpackhi_pd(rows[0], rows[1]);
    }
    for (int c = 0; c < 2; c++) {
        column[c] = _mm512_shuffle_f64x2(pair[0][c], pair[1][c], 0x88);
        column[c + 2] = _mm512_shuffle_f64x2(pair[0][c], pair[1][c], 0xdd);
    }
}

#include "vec_f64.h"

#endif
#endif
