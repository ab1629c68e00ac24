/*
 * base.inc.h: the ground floor of the kernels: what compilers call things differently, names per ISA and dtype, partial
 * loads and stores, and the lanes of a row reduction. Everything else is included after it.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "fastnn.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* an unrolling that the optimizer declines costs time alone */
#define FNN_PRAGMA(text) _Pragma(#text)
#define FNN_UNROLL(n) FNN_PRAGMA(unroll)
#elif defined(__GNUC__)
#define FNN_PRAGMA(text) _Pragma(#text)
#define FNN_UNROLL(n) FNN_PRAGMA(GCC unroll n)
#else
#define FNN_UNROLL(n)
#endif

#if defined(__GNUC__)
#define FNN_INLINE inline __attribute__((always_inline))
#define FNN_UNUSED __attribute__((unused))
#define FNN_PREFETCH(p) __builtin_prefetch(p)
#else
#define FNN_INLINE __forceinline
#define FNN_UNUSED
#define FNN_PREFETCH(p)
#endif

/* For a large function that several call and none shall hold a copy of. */
#if defined(__clang__)
#define FNN_APART __attribute__((noinline))
#elif defined(__GNUC__)
#define FNN_APART __attribute__((noinline, noclone))
#else
#define FNN_APART
#endif

/* For a function that runs a sixth slower under gcc's -fschedule-insns, which setup.py turns on. */
#if defined(__GNUC__) && !defined(__clang__)
#define FNN_UNSCHEDULED __attribute__((optimize("no-schedule-insns")))
#else
#define FNN_UNSCHEDULED
#endif

/* FNN(matmul) is fnn_matmul_f32 or fnn_matmul_f64. */
#define FNN_JOIN3(a, b, c) a##_##b##_##c
#define FNN_JOIN(a, b, c) FNN_JOIN3(a, b, c)
#if FNN_DTYPE == 32
#define FNN(op) fnn_##op##_f32
#define FNN_KERNELS FNN_JOIN(fnn_kernels, FNN_ISA, f32)
#else
#define FNN(op) fnn_##op##_f64
#define FNN_KERNELS FNN_JOIN(fnn_kernels, FNN_ISA, f64)
#endif

/* The first `left` elements at p, at most VL; other lanes are `fill`. */
static FNN_INLINE V v_load_upto(const T *p, int64_t left, T fill)
{
    return left >= VL ? v_load(p) : left > 0 ? v_load_part(p, left, fill) : v_set1(fill);
}

static FNN_INLINE void v_store_upto(T *p, V a, int64_t left)
{
    if (left >= VL)
        v_store(p, a);
    else if (left > 0)
        v_store_part(p, a, left);
}

static FNN_INLINE double w_first(W a)
{
    double lane[WL];
    w_store(lane, a);
    return lane[0];
}

/* The row reduction: element i of a row belongs to virtual lane i mod 16; lanes fold 8-4-2-1. The same on every ISA.
 * Where the loops of a fold are unrolled, the compiler folds in registers. */
typedef struct {
    W w[FNN_ROW_LANES / WL];
} lanes;

static FNN_INLINE lanes lanes_zero(void)
{
    lanes s;
    for (int l = 0; l < FNN_ROW_LANES / WL; l++) s.w[l] = w_set1(0);
    return s;
}

/* Adds part h of the vector that starts at lane v. */
static FNN_INLINE void lanes_add(lanes *s, int v, int h, W a) { s->w[v / WL + h] = w_add(s->w[v / WL + h], a); }

static FNN_INLINE double lanes_total(const lanes *s)
{
    double lane[WL];
    lanes folded = *s;
    FNN_UNROLL(4)
    for (int half = FNN_ROW_LANES / WL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) folded.w[l] = w_add(folded.w[l], folded.w[l + half]);
    w_store(lane, folded.w[0]);
    FNN_UNROLL(4)
    for (int half = WL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}
