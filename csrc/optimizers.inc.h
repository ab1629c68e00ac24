/*
 * optimizers.inc.h: one step of each optimizer of optimizers.h, in place.
 *
 * Design
 * A. The formulas are torch.optim's. Each multiply-add is one explicit fma, in the order written here.
 * B. SCALARS(name) { ... } forms what depends only on the hyper-parameters h, in the order of the row, and on the number
 *    of the step: k, in float64, once per step. STEP(name) { ... } is the expression for one vector: it updates the slots
 *    s[], in the order of the row, and returns the parameter after the step from p, the parameter, and g, the gradient;
 *    k.v[] are the scalars rounded to T.
 * C. A switch or a term that is off is tested on the scalar, not computed as a multiple of 0: 0 * infinity is NaN.
 */

/* The scalars of a step, by what they do. */
enum {
    RATE,       /* p += RATE * direction: minus the learning rate, with the step's correction */
    DECAY,      /* what a multiple of p adds to the gradient, or to p */
    KEEP1,      /* how much a first moment keeps of itself */
    NEW1,       /* and takes of what is new */
    KEEP2,      /* how much a second moment keeps of itself */
    NEW2,       /* and takes of what is new */
    CORRECTION, /* of the root of a second moment */
    EPSILON,    /* added to a denominator */
    NESTEROV,   /* a switch */
    SCALAR_COUNT
};
_Static_assert((int)SCALAR_COUNT <= (int)FNN_MAX_SCALARS, "callers keep FNN_MAX_SCALARS of them");

typedef struct {
    double d[SCALAR_COUNT];
    V v[SCALAR_COUNT];
} scalars;

typedef V update_expression(V p, V g, V *s, const scalars *k);

#define SCALARS(name) static void FNN(name##_scalars)(double *k, const double *h, FNN_UNUSED double step)
#define STEP(name) static FNN_INLINE V name##_step(V p, V g, FNN_UNUSED V *s, const scalars *k)

/* g + DECAY p */
static FNN_INLINE V decayed(V g, V p, const scalars *k) { return k->d[DECAY] != 0 ? v_fma(k->v[DECAY], p, g) : g; }

/* g = grad + weight_decay param; v = momentum v + g; param -= lr v, or lr (g + momentum v) with nesterov */
SCALARS(sgd)
{
    k[RATE] = -h[0];
    k[KEEP1] = h[1];
    k[NESTEROV] = h[2];
    k[DECAY] = h[3];
}
STEP(sgd)
{
    g = decayed(g, p, k);
    if (k->d[KEEP1] != 0) {
        s[0] = v_fma(k->v[KEEP1], s[0], g);
        g = k->d[NESTEROV] != 0 ? v_fma(k->v[KEEP1], s[0], g) : s[0];
    }
    return v_fma(k->v[RATE], g, p);
}

/* 1 - beta^step for 0 <= beta < 1 and a whole step >= 1. The power is formed by squaring in pairs of doubles, 106 bits:
 * a library's pow has a last bit of its own. */
static double one_minus_power(double beta, double step)
{
    double high = 1, low = 0, square = beta, square_low = 0;
    for (int64_t n = (int64_t)step; n > 0; n /= 2) {
        double product = high * square;
        if (n % 2) {
            low = fma(high, square, -product) + (high * square_low + low * square);
            high = product;
        }
        product = square * square;
        square_low = fma(square, square, -product) + 2 * square * square_low;
        square = product;
    }
    return (1 - high) - low;
}

/* Kingma and Ba, "Adam", ICLR 2015: g = grad + weight_decay param; m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2)
 * g^2; param -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps) */
SCALARS(adam)
{
    const double beta1 = h[1], beta2 = h[2];
    k[RATE] = -h[0] / one_minus_power(beta1, step);
    k[NEW1] = 1 - beta1;
    k[KEEP2] = beta2;
    k[NEW2] = 1 - beta2;
    k[CORRECTION] = 1 / sqrt(one_minus_power(beta2, step));
    k[EPSILON] = h[3];
    k[DECAY] = h[4];
}
/* The step of adam by a gradient without weight decay. */
static FNN_INLINE V adam_towards(V p, V g, V *s, const scalars *k)
{
    s[0] = v_fma(k->v[NEW1], v_sub(g, s[0]), s[0]);
    s[1] = v_fma(k->v[KEEP2], s[1], v_mul(v_mul(k->v[NEW2], g), g));
    return v_fma(k->v[RATE], v_div(s[0], v_fma(v_sqrt(s[1]), k->v[CORRECTION], k->v[EPSILON])), p);
}
STEP(adam) { return adam_towards(p, decayed(g, p, k), s, k); }

/* Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019: param -= lr weight_decay param; then as adam
 * without weight decay */
SCALARS(adamw)
{
    FNN(adam_scalars)(k, h, step);
    k[DECAY] = -h[0] * h[4];
}
STEP(adamw) { return adam_towards(decayed(p, p, k), g, s, k); }

#undef SCALARS
#undef STEP

static FNN_INLINE void update_loop(T *param, void *const *slots, const T *grad, int64_t n, const double *scalars_,
                                   update_expression *step)
{
    T *slot[FNN_MAX_SLOTS];
    scalars k;
    for (int j = 0; j < FNN_MAX_SLOTS; j++) slot[j] = slots[j];
    for (int j = 0; j < SCALAR_COUNT; j++) {
        k.d[j] = scalars_[j];
        k.v[j] = v_set1((T)scalars_[j]);
    }
    for (int64_t i = 0; i < n; i += VL) {
        V s[FNN_MAX_SLOTS];
        for (int j = 0; j < FNN_MAX_SLOTS; j++) s[j] = slot[j] ? v_load_upto(slot[j] + i, n - i, 0) : v_set1(0);
        const V p = step(v_load_upto(param + i, n - i, 0), v_load_upto(grad + i, n - i, 0), s, &k);
        for (int j = 0; j < FNN_MAX_SLOTS; j++)
            if (slot[j]) v_store_upto(slot[j] + i, s[j], n - i);
        v_store_upto(param + i, p, n - i);
    }
}

#define UPDATE(name, ...)                                                                                              \
    static void FNN(name##_update)(void *param, void *const *slots, const void *grad, int64_t n, const double *k)      \
    {                                                                                                                  \
        update_loop(param, slots, grad, n, k, name##_step);                                                            \
    }
FNN_OPTIMIZERS(UPDATE)
