/*
 * kernels.inc.h: every kernel for one ISA and one dtype. An isa_*.c file includes its vector header and then this; the
 * build compiles that file once per dtype, with FNN_DTYPE = 32 or 64.
 */
/* In this order: each file uses those before it alone. */
#include "base.inc.h"

#include "pair.inc.h"

#include "vmath.inc.h"

#include "expansions.inc.h"

#include "piecewise.inc.h"

#include "elementwise.inc.h"

#define FORWARD(name, ...) [FNN_##name] = FNN(name##_forward),
static const fnn_forward_fn forward_loops[FNN_ACTIVATION_COUNT] = {FNN_ACTIVATIONS(FORWARD)}; /* for the epilogue */

#include "tile.inc.h"

#include "pack.inc.h"

#include "matmul.inc.h"

#include "panels.inc.h"

#include "losses.inc.h"

#include "softmax_columns.inc.h"

#include "softmax.inc.h"

#include "norms.inc.h"

#include "optimizers.inc.h"

#define BACKWARD_X(name, ...) [FNN_##name] = FNN(name##_backward_x),
#define BACKWARD_Y_X(name)
#define BACKWARD_Y_Y(name) [FNN_##name] = FNN(name##_backward_y),
#define BACKWARD_Y_Y_IF_NONNEGATIVE BACKWARD_Y_Y
#define BACKWARD_Y(name, saves, ...) BACKWARD_Y_##saves(name)
#define LOSS(name, ...) [FNN_LOSS_##name] = FNN(loss_##name),
#define SCALARS(name, ...) [FNN_OPTIMIZER_##name] = FNN(name##_scalars),
#define UPDATES(name, ...) [FNN_OPTIMIZER_##name] = FNN(name##_update),

const fnn_kernels FNN_KERNELS = {
    .per_look = PER_LOOK,
    .matmul = FNN(matmul),
    .sum_rows = FNN(sum_rows),
    .gather_rows = FNN(gather_rows),
    .gather_panels = FNN(gather_panels),
    .to_panels = FNN(to_panels),
    .from_panels = FNN(from_panels),
    .transpose_panels = FNN(transpose_panels),
    .forward_panels = FNN(forward_panels),
    .dx_panels = FNN(dx_panels),
    .dweight_panels = FNN(dweight_panels),
    .descend_panels = FNN(descend_panels),
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
    .layer_norm_forward = FNN(layer_norm_forward),
    .rms_norm_forward = FNN(rms_norm_forward),
    .layer_norm_backward = FNN(layer_norm_backward),
    .rms_norm_backward = FNN(rms_norm_backward),
    .batch_moments = FNN(batch_moments),
    .batch_norm_forward = FNN(batch_norm_forward),
    .batch_norm_sums = FNN(batch_norm_sums),
    .batch_norm_backward = FNN(batch_norm_backward),
    .dropout = FNN(dropout),
    .random_words = FNN(random_words),
    .sum_of_weights = FNN(sum_of_weights),
    .first_refused = FNN(first_refused),
    .losses = {FNN_LOSSES(LOSS)},
    .cross_entropy_panels = FNN(cross_entropy_panels),
    .scalars = {FNN_OPTIMIZERS(SCALARS)},
    .updates = {FNN_OPTIMIZERS(UPDATES)},
    .descent = FNN(descent),
    .sums_of_squares = FNN(sums_of_squares),
    .add = FNN(add),
    .scale = FNN(scale),
    .add_scaled = FNN(add_scaled),
    .average = FNN(average),
    .regularise = FNN(regularise),
};
