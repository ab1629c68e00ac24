/*
 * kernels.inc.h: every kernel for one ISA and one dtype. An isa_*.c file includes its vector header and then this; the
 * build compiles that file once per dtype, with FNN_DTYPE = 32 or 64.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "fastnn.h"

#if defined(__clang__)
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

/* For a function that gcc's first scheduling pass, asked for in setup.py, makes a sixth slower. */
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

/* The row reduction: element i of a row belongs to virtual lane i mod 16; lanes fold 8-4-2-1. The same on every ISA. */
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
    for (int half = FNN_ROW_LANES / WL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) folded.w[l] = w_add(folded.w[l], folded.w[l + half]);
    w_store(lane, folded.w[0]);
    for (int half = WL / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

#include "vmath.inc.h"

#include "expansions.inc.h"

#include "elementwise.inc.h"

#define FORWARD(name, ...) [FNN_##name] = FNN(name##_forward),
static const fnn_forward_fn forward_loops[FNN_ACTIVATION_COUNT] = {FNN_ACTIVATIONS(FORWARD)}; /* for the epilogue */

#include "losses.inc.h"
#include "matmul.inc.h"
#include "optimizers.inc.h"
#include "softmax.inc.h"

#define BACKWARD_X(name, ...) [FNN_##name] = FNN(name##_backward_x),
#define BACKWARD_Y_X(name)
#define BACKWARD_Y_Y(name) [FNN_##name] = FNN(name##_backward_y),
#define BACKWARD_Y_P BACKWARD_Y_Y
#define BACKWARD_Y(name, layer, saves, ...) BACKWARD_Y_##saves(name)
#define LOSS_ENTRY(name) [FNN_LOSS_##name] = FNN(loss_##name),

const fnn_kernels FNN_KERNELS = {
    .matmul = FNN(matmul),
    .sum_rows = FNN(sum_rows),
    .to_panels = FNN(to_panels),
    .from_panels = FNN(from_panels),
    .turn_panels = FNN(turn_panels),
    .forward_panels = FNN(forward_panels),
    .dx_panels = FNN(dx_panels),
    .dweight_panels = FNN(dweight_panels),
    .fma_chains = FNN(fma_chains),
    .forward = {FNN_ACTIVATIONS(FORWARD)},
    .backward_x = {FNN_ACTIVATIONS(BACKWARD_X)},
    .backward_y = {FNN_ACTIVATIONS(BACKWARD_Y)},
    .prelu_forward = FNN(prelu_forward),
    .prelu_backward = FNN(prelu_backward),
    .maxout_forward = FNN(maxout_forward),
    .maxout_backward = FNN(maxout_backward),
    .softmax_forward = FNN(softmax_forward),
    .log_softmax_forward = FNN(log_softmax_forward),
    .softmax_backward = FNN(softmax_backward),
    .log_softmax_backward = FNN(log_softmax_backward),
    .dropout = FNN(dropout),
    .sum_of_weights = FNN(sum_of_weights),
    .cross_entropy = FNN(cross_entropy),
    .losses = {FNN_LOSSES(LOSS_ENTRY)},
    .sgd = FNN(sgd),
    .adam = FNN(adam),
};
