/*
 * optimizers.inc.h: one step of each optimizer of optimizers.h, in place; and the sums of squares by which gradients and
 * weights are held within a norm.
 *
 * Design
 * A. The formulas are torch.optim's. Each multiply-add is one explicit fma, in the order written here.
 * B. SCALARS(name) { ... } forms what depends only on the hyper-parameters h, in the order of the row, and on the number
 *    of the step: k, in float64, once per step. STEP(name) { ... } is the expression for one vector: it updates the slots
 *    s[], in the order of the row, and returns the parameter after the step from p, the parameter, and g, the gradient;
 *    k.v[] are the scalars rounded to T.
 * C. No moment is subnormal: where gradients have stopped, as at a dead ReLU, it would stay so for ever, and operations on
 *    subnormal numbers take up to a hundred cycles.
 * D. A switch or a term that is off is tested on the scalar, not computed as a multiple of 0: 0 * infinity is NaN.
 */

/* The scalars of a step, by what they do. */
enum {
    RATE,       /* p += RATE * direction: minus the learning rate, with the step's correction */
    RATE_NEW,   /* the same for the gradient, where it counts once more beside its moment */
    DECAY,      /* what a multiple of p adds to the gradient */
    SHRINK,     /* and to p itself */
    KEEP1,      /* how much a first moment keeps of itself */
    NEW1,       /* and takes of what is new */
    KEEP2,      /* how much a second moment keeps of itself */
    NEW2,       /* and takes of what is new */
    CORRECTION, /* of the root of a second moment */
    EPSILON,    /* added to a denominator */
    INITIAL,    /* in step 1, what a slot starts with */
    GROW,       /* factor of a step size whose gradient has kept its sign */
    FALL,       /* and of one whose gradient has changed it */
    SMALLEST,   /* step size */
    BIGGEST,    /* step size */
    NESTEROV,   /* switches */
    AMSGRAD,
    CENTERED,
    RECTIFIED,
    SCALAR_COUNT
};
_Static_assert((int)SCALAR_COUNT <= (int)FNN_MAX_SCALARS, "callers keep FNN_MAX_SCALARS of them");

#define SMALLEST_NORMAL ((T)(FNN_DTYPE == 32 ? 0x1p-126 : 0x1p-1022))

typedef struct {
    double d[SCALAR_COUNT];
    V v[SCALAR_COUNT];
} scalars;

typedef V update_expression(V p, V g, V *s, const scalars *k);

#define SCALARS(name) static void FNN(name##_scalars)(double *k, const double *h, FNN_UNUSED double step)
#define STEP(name) static FNN_INLINE V name##_step(V p, V g, FNN_UNUSED V *s, const scalars *k)

/* g + DECAY p */
static FNN_INLINE V decayed(V g, V p, const scalars *k) { return k->d[DECAY] != 0 ? v_fma(k->v[DECAY], p, g) : g; }

/* p + SHRINK p */
static FNN_INLINE V shrunk(V p, const scalars *k) { return k->d[SHRINK] != 0 ? v_fma(k->v[SHRINK], p, p) : p; }

/* An average that takes the share `new` of x: average + new (x - average) */
static FNN_INLINE V v_towards(V average, V x, V new) { return v_fma(new, v_sub(x, average), average); }

/* A moment, or 0 where it is subnormal. */
static FNN_INLINE V settled(V moment)
{
    return v_select(v_lt(v_abs(moment), v_set1(SMALLEST_NORMAL)), v_set1(0), moment);
}

/* The next first moment, an average that takes the share NEW1 of x; and second one, KEEP2 v + NEW2 x^2. */
static FNN_INLINE V first_moment(V m, V x, const scalars *k) { return settled(v_towards(m, x, k->v[NEW1])); }
static FNN_INLINE V second_moment(V v, V x, const scalars *k)
{
    return settled(v_fma(k->v[KEEP2], v, v_mul(v_mul(k->v[NEW2], x), x)));
}

/* -1, 0 or 1; NaN stays NaN. */
static FNN_INLINE V v_sign(V x) { return v_select(v_lt(v_set1(0), v_abs(x)), v_signed(v_set1(1), x), x); }

/* g = grad + weight_decay param; v = momentum v + (1 - dampening) g, or g in step 1; param -= lr v, or lr (g + momentum
 * v) with nesterov */
SCALARS(sgd)
{
    k[RATE] = -h[0];
    k[KEEP1] = h[1];
    k[NEW1] = step == 1 ? 1 : 1 - h[2];
    k[NESTEROV] = h[3];
    k[DECAY] = h[4];
}
STEP(sgd)
{
    g = decayed(g, p, k);
    if (k->d[KEEP1] != 0) {
        s[0] = settled(v_fma(k->v[KEEP1], s[0], v_mul(k->v[NEW1], g)));
        g = k->d[NESTEROV] != 0 ? v_fma(k->v[KEEP1], s[0], g) : s[0];
    }
    return v_fma(k->v[RATE], g, p);
}

/* RATE of a step that is p += RATE g and nothing else, which a product can make of its sums; 0 of any other. */
static double FNN(descent)(int optimizer, const double *k)
{
    return optimizer == FNN_OPTIMIZER_sgd && k[KEEP1] == 0 && k[DECAY] == 0 ? (T)k[RATE] : 0;
}

/* Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR
 * 2011: g = grad + weight_decay param; sum += g^2, from initial_accumulator_value on; param -= lr / (1 + (step - 1)
 * lr_decay) g / (sqrt(sum) + eps) */
SCALARS(adagrad)
{
    k[RATE] = -h[0] / (1 + (step - 1) * h[1]);
    k[DECAY] = h[2];
    k[INITIAL] = step == 1 ? h[3] : 0;
    k[EPSILON] = h[4];
}
STEP(adagrad)
{
    g = decayed(g, p, k);
    s[0] = v_fma(g, g, v_max(k->v[INITIAL], s[0]));
    return v_fma(k->v[RATE], v_div(g, v_add(v_sqrt(s[0]), k->v[EPSILON])), p);
}

/* Zeiler, "ADADELTA: an adaptive learning rate method", 2012: g = grad + weight_decay param; v = rho v + (1 - rho) g^2;
 * delta = sqrt(u + eps) / sqrt(v + eps) g; u = rho u + (1 - rho) delta^2; param -= lr delta */
SCALARS(adadelta)
{
    k[RATE] = -h[0];
    k[KEEP2] = h[1];
    k[NEW2] = 1 - h[1];
    k[EPSILON] = h[2];
    k[DECAY] = h[3];
}
STEP(adadelta)
{
    g = decayed(g, p, k);
    s[0] = second_moment(s[0], g, k);
    const V root = v_sqrt(v_add(s[0], k->v[EPSILON]));
    const V delta = v_mul(v_div(v_sqrt(v_add(s[1], k->v[EPSILON])), root), g);
    s[1] = second_moment(s[1], delta, k);
    return v_fma(k->v[RATE], delta, p);
}

/* Hinton, lecture 6e of "Neural networks for machine learning", 2012: g = grad + weight_decay param; v = alpha v +
 * (1 - alpha) g^2; d = g / (sqrt(v) + eps), where centered takes v - m^2 for v, with m += (1 - alpha) (g - m); param
 * -= lr d, or lr b with b = momentum b + d. Rounding can make v - m^2 negative: then it is 0. */
SCALARS(rmsprop)
{
    k[RATE] = -h[0];
    k[KEEP2] = h[1];
    k[NEW2] = 1 - h[1];
    k[EPSILON] = h[2];
    k[DECAY] = h[3];
    k[KEEP1] = h[4];
    k[CENTERED] = h[5];
}
STEP(rmsprop)
{
    g = decayed(g, p, k);
    V v = s[0] = second_moment(s[0], g, k);
    if (k->d[CENTERED] != 0) {
        s[2] = settled(v_towards(s[2], g, k->v[NEW2]));
        v = v_max(v_set1(0), v_fma(v_neg(s[2]), s[2], v));
    }
    V direction = v_div(g, v_add(v_sqrt(v), k->v[EPSILON]));
    if (k->d[KEEP1] != 0) direction = s[1] = settled(v_fma(k->v[KEEP1], s[1], direction));
    return v_fma(k->v[RATE], direction, p);
}

/* 1 - beta^step for 0 <= beta < 1 and a whole step >= 0. The power is formed by squaring in pairs of doubles, 106 bits:
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

/* What the optimizers of Adam's family share: the averages m and v of g and g^2, with the corrections 1 / (1 - beta1^t)
 * and 1 / sqrt(1 - beta2^t). */
static void adam_moments(double *k, const double *h, double step)
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

/* Turns the decay of the gradient into one of p, lr weight_decay p, which no moment sees. */
static void decouple(double *k, const double *h)
{
    k[SHRINK] = -h[0] * k[DECAY];
    k[DECAY] = 0;
}

/* Kingma and Ba, "Adam", ICLR 2015: g = grad + weight_decay param; m += (1 - beta1) (g - m); v = beta2 v + (1 -
 * beta2) g^2; param -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps). With amsgrad (Reddi, Kale and Kumar,
 * ICLR 2018) the largest v so far takes the place of v. With eps_hat, eps is the paper's epsilon hat, added to
 * sqrt(v) before that is corrected. */
SCALARS(adam)
{
    adam_moments(k, h, step);
    k[AMSGRAD] = h[5];
    if (h[6] != 0) k[EPSILON] *= k[CORRECTION];
}
/* The step of adam by a gradient without weight decay. */
static FNN_INLINE V adam_towards(V p, V g, V *s, const scalars *k)
{
    s[0] = first_moment(s[0], g, k);
    V v = s[1] = second_moment(s[1], g, k);
    if (k->d[AMSGRAD] != 0) v = s[2] = v_max(s[2], v);
    return v_fma(k->v[RATE], v_div(s[0], v_fma(v_sqrt(v), k->v[CORRECTION], k->v[EPSILON])), p);
}
STEP(adam) { return adam_towards(p, decayed(g, p, k), s, k); }

/* Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019: param -= lr weight_decay param; then as
 * adam without weight decay */
SCALARS(adamw)
{
    FNN(adam_scalars)(k, h, step);
    decouple(k, h);
}
STEP(adamw) { return adam_towards(shrunk(p, k), g, s, k); }

/* Kingma and Ba, "Adam", ICLR 2015, section 7.1: g = grad + weight_decay param; m += (1 - beta1) (g - m); u =
 * max(beta2 u, |g| + eps); param -= lr / (1 - beta1^t) m / u */
SCALARS(adamax) { adam_moments(k, h, step); }
STEP(adamax)
{
    g = decayed(g, p, k);
    s[0] = first_moment(s[0], g, k);
    s[1] = v_max(v_mul(k->v[KEEP2], s[1]), v_add(v_abs(g), k->v[EPSILON]));
    return v_fma(k->v[RATE], v_div(s[0], s[1]), p);
}

/* NAdam's mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2) */
static double nadam_momentum(double beta1, double decay, double t)
{
    const double log_of_096 = -0x1.4e69ed6d80eb3p-5;
    return beta1 * (1 - 0.5 * w_first(w_exp_clamped(w_set1(t * decay * log_of_096))));
}
/* The product of mu_1 to mu_t, as far as 1 minus it can tell: a number of the step alone, so nothing need be kept.
 * Once mu has reached beta1 the rest is a power; until then the product falls by half a step. */
static double nadam_product(double beta1, double decay, double step)
{
    double product = 1;
    for (double t = 1; t <= step && product > 0x1p-60; t++) {
        const double mu = nadam_momentum(beta1, decay, t);
        if (mu == beta1) return product * (1 - one_minus_power(beta1, step - t + 1));
        product *= mu;
    }
    return product;
}

/* Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016: g, m and v as adam's; param -= lr ((1 -
 * mu_t) / (1 - mu_1 ... mu_t) g + mu_t+1 / (1 - mu_1 ... mu_t+1) m) / (sqrt(v / (1 - beta2^t)) + eps), where mu_t =
 * beta1 (1 - 0.96^(t momentum_decay) / 2) */
SCALARS(nadam)
{
    const double mu = nadam_momentum(h[1], h[5], step), next = nadam_momentum(h[1], h[5], step + 1);
    const double product = nadam_product(h[1], h[5], step);
    adam_moments(k, h, step);
    k[RATE] = -h[0] * next / (1 - product * next);
    k[RATE_NEW] = -h[0] * (1 - mu) / (1 - product);
    if (h[6] != 0) decouple(k, h);
}
STEP(nadam)
{
    g = decayed(g, p, k);
    s[0] = first_moment(s[0], g, k);
    s[1] = second_moment(s[1], g, k);
    const V direction = v_fma(k->v[RATE_NEW], g, v_mul(k->v[RATE], s[0]));
    return v_add(shrunk(p, k), v_div(direction, v_fma(v_sqrt(s[1]), k->v[CORRECTION], k->v[EPSILON])));
}

/* Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020: g, m and v as adam's; rho_inf =
 * 2 / (1 - beta2) - 1; rho = rho_inf - 2 t beta2^t / (1 - beta2^t); where rho > 5, param -= lr / (1 - beta1^t) r m
 * sqrt(1 - beta2^t) / (sqrt(v) + eps) with r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho);
 * elsewhere param -= lr / (1 - beta1^t) m */
SCALARS(radam)
{
    adam_moments(k, h, step);
    const double unbiased = one_minus_power(h[2], step), most = 2 / (1 - h[2]) - 1;
    const double length = most - 2 * step * (1 - unbiased) / unbiased;
    k[RECTIFIED] = length > 5;
    if (length > 5) {
        k[RATE] *= sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)) * sqrt(unbiased);
    }
    if (h[5] != 0) decouple(k, h);
}
STEP(radam)
{
    g = decayed(g, p, k);
    s[0] = first_moment(s[0], g, k);
    s[1] = second_moment(s[1], g, k);
    const V direction = k->d[RECTIFIED] != 0 ? v_div(s[0], v_add(v_sqrt(s[1]), k->v[EPSILON])) : s[0];
    return v_fma(k->v[RATE], direction, shrunk(p, k));
}

/* Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023: param -= lr weight_decay param; param
 * -= lr sign(beta1 m + (1 - beta1) grad); m += (1 - beta2) (grad - m) */
SCALARS(lion)
{
    k[RATE] = -h[0];
    k[NEW1] = 1 - h[1];
    k[NEW2] = 1 - h[2];
    k[SHRINK] = -h[0] * h[3];
}
STEP(lion)
{
    const V direction = v_sign(v_towards(s[0], g, k->v[NEW1]));
    s[0] = settled(v_towards(s[0], g, k->v[NEW2]));
    return v_fma(k->v[RATE], direction, shrunk(p, k));
}

/* Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning", ICNN 1993, as PyTorch has
 * it: a step size for each element, lr at first, grows by etas[1] where the gradient has kept its sign and falls by
 * etas[0] where it has changed it, within step_sizes; where it has changed, the gradient then counts as 0; param -=
 * sign(g) step_size */
SCALARS(rprop)
{
    k[INITIAL] = step == 1 ? h[0] : 0;
    k[FALL] = h[1];
    k[GROW] = h[2];
    k[SMALLEST] = h[3];
    k[BIGGEST] = h[4];
}
STEP(rprop)
{
    const V zero = v_set1(0), both = v_mul(g, s[0]), before = k->d[INITIAL] != 0 ? k->v[INITIAL] : s[1];
    const VM changed = v_lt(both, zero);
    const V factor = v_select(changed, k->v[FALL], v_select(v_lt(zero, both), k->v[GROW], v_set1(1)));
    s[0] = v_select(changed, zero, g);
    s[1] = v_min(k->v[BIGGEST], v_max(k->v[SMALLEST], v_mul(before, factor)));
    return v_sub(p, v_mul(v_sign(s[0]), s[1]));
}

#undef SCALARS
#undef STEP

/* One vector, or the `left` elements before the end of one. */
static FNN_INLINE void update_part(T *param, T *const *slot, const T *grad, int64_t i, int64_t left, const scalars *k,
                                   update_expression *step)
{
    V s[FNN_MAX_SLOTS];
    FNN_UNROLL(4)
    for (int j = 0; j < FNN_MAX_SLOTS; j++) s[j] = slot[j] ? v_load_upto(slot[j] + i, left, 0) : v_set1(0);
    const V p = step(v_load_upto(param + i, left, 0), v_load_upto(grad + i, left, 0), s, k);
    FNN_UNROLL(4)
    for (int j = 0; j < FNN_MAX_SLOTS; j++)
        if (slot[j]) v_store_upto(slot[j] + i, s[j], left);
    v_store_upto(param + i, p, left);
}

static FNN_INLINE void update_loop(fnn_rows param, const fnn_rows *slots, fnn_rows grad, int64_t rows, int64_t n,
                                   const double *scalars_, update_expression *step)
{
    T *p = param.data, *g = grad.data, *slot[FNN_MAX_SLOTS];
    scalars k;
    for (int j = 0; j < FNN_MAX_SLOTS; j++) slot[j] = slots[j].data;
    for (int j = 0; j < SCALAR_COUNT; j++) {
        k.d[j] = scalars_[j];
        k.v[j] = v_set1((T)scalars_[j]);
    }
    for (int64_t r = 0; r < rows; r++, p += param.row, g += grad.row) {
        int64_t i = 0;
        for (; i + VL <= n; i += VL) update_part(p, slot, g, i, VL, &k, step);
        if (i < n) update_part(p, slot, g, i, n - i, &k, step);
        for (int j = 0; j < FNN_MAX_SLOTS; j++) slot[j] = slot[j] ? slot[j] + slots[j].row : NULL;
    }
}

#define UPDATE(name, ...)                                                                                              \
    static void FNN(name##_update)(fnn_rows param, const fnn_rows *slots, fnn_rows grad, int64_t rows, int64_t n,      \
                                   const double *k)                                                                    \
    {                                                                                                                  \
        update_loop(param, slots, grad, rows, n, k, name##_step);                                                      \
    }
FNN_OPTIMIZERS(UPDATE)

static void FNN(sums_of_squares)(double *sums, const void *x_, int64_t batch, int64_t features)
{
    const T *x = x_;
    for (int64_t i = 0; i < batch; i++, x += features) {
        lanes sum = lanes_zero();
        for (int64_t j = 0; j < features; j += FNN_ROW_LANES) {
            FNN_UNROLL(16)
            for (int v = 0; v < FNN_ROW_LANES; v += VL) {
                const V part = v_load_upto(x + j + v, features - j - v, 0);
                for (int h = 0; h < V_PARTS; h++) {
                    W *lane = &sum.w[v / WL + h], wide = v_widen(part, h);
                    *lane = w_madd(wide, wide, *lane);
                }
            }
        }
        sums[i] = lanes_total(&sum);
    }
}

/* What happens to gradients between the backward pass and the update. Each operation rounds once, as NumPy's does. */
#define EACH_VECTOR(...)                                                                                               \
    for (int64_t i = 0; i < n; i += VL) {                                                                              \
        const int64_t left = n - i;                                                                                    \
        __VA_ARGS__;                                                                                                   \
    }

static void FNN(add)(void *to_, const void *a_, const void *b_, int64_t n)
{
    T *to = to_;
    const T *a = a_, *b = b_;
    EACH_VECTOR(v_store_upto(to + i, v_add(v_load_upto(a + i, left, 0), v_load_upto(b + i, left, 0)), left))
}

static void FNN(scale)(void *to_, const void *a_, double factor, int64_t n)
{
    T *to = to_;
    const T *a = a_;
    const V f = v_set1((T)factor);
    EACH_VECTOR(v_store_upto(to + i, v_mul(f, v_load_upto(a + i, left, 0)), left))
}

static void FNN(add_scaled)(void *to_, const void *a_, double factor, int64_t n)
{
    T *to = to_;
    const T *a = a_;
    const V f = v_set1((T)factor);
    EACH_VECTOR(V more = v_mul(f, v_load_upto(a + i, left, 0));
                v_store_upto(to + i, v_add(v_load_upto(to + i, left, 0), more), left))
}

static void FNN(average)(void *average_, const void *x_, double share, int64_t n)
{
    T *average = average_;
    const T *x = x_;
    const V f = v_set1((T)share);
    EACH_VECTOR(V a = v_load_upto(average + i, left, 0); V more = v_mul(f, v_sub(v_load_upto(x + i, left, 0), a));
                v_store_upto(average + i, v_add(a, more), left))
}

static void FNN(regularise)(void *grad_, const void *param_, int64_t n, double l1, double l2, double clip)
{
    T *grad = grad_;
    const T *param = param_;
    const V sign = v_set1((T)l1), slope = v_set1((T)(2 * l2)), limit = v_set1((T)clip);
    const int penalised = l1 != 0 || l2 != 0, clipped = clip < INFINITY;
    EACH_VECTOR(V g = v_load_upto(grad + i, left, 0), p = v_load_upto(param + i, left, 0);
                if (penalised) g = v_add(g, v_add(v_mul(sign, v_sign(p)), v_mul(slope, p)));
                if (clipped) g = v_min(limit, v_max(v_neg(limit), g)); v_store_upto(grad + i, g, left))
}
#undef EACH_VECTOR
