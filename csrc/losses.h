/*
 * losses.h: the table of pointwise losses; as activations.h. NAME is the value, NAME_dx its derivative by the input x,
 * both as functions of the input x and the target t in wide lanes.
 */
#ifndef FNN_LOSSES_H
#define FNN_LOSSES_H

#define FNN_LOSSES(ROW)                                                                                                \
    /*  name  */                                                                                                       \
    ROW(mse)

#define FNN_LOSS_ENUM(name) FNN_LOSS_##name,
enum fnn_loss { FNN_LOSSES(FNN_LOSS_ENUM) FNN_LOSS_COUNT };

#endif

#ifdef LOSS /* the expressions, inside losses.inc.h */

/* mse(x, t) = (x - t)^2; in wide lanes x - t is nearly exact for float32 */
LOSS(mse)
{
    W d = w_sub(x, t);
    return w_mul(d, d);
}
LOSS(mse_dx) { return w_mul(w_set1(2), w_sub(x, t)); }

#endif
