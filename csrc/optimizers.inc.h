/*
 * optimizers.inc.h: one step of each optimizer, in place, sorted by increasing complexity.
 *
 * Design
 * A. The formulas are torch.optim's. Each multiply-add is one explicit fma, in the order written here.
 * B. Factors that depend only on the step are formed once, in float64, and rounded to T.
 */

/* g = grad + weight_decay param; v = momentum v + g; param -= lr v, or lr (g + momentum v) with nesterov */
static void FNN(sgd)(void *param_, void *velocity_, const void *grad_, int64_t n, double lr, double momentum,
                     int nesterov, double weight_decay)
{
    T *param = param_, *velocity = velocity_;
    const T *grad = grad_;
    const V rate = v_set1((T)-lr), keep = v_set1((T)momentum), decay = v_set1((T)weight_decay);
    for (int64_t i = 0; i < n; i += VL) {
        V p = v_load_upto(param + i, n - i, 0), g = v_load_upto(grad + i, n - i, 0);
        if (weight_decay != 0) g = v_fma(decay, p, g);
        if (velocity) {
            V v = v_fma(keep, v_load_upto(velocity + i, n - i, 0), g);
            v_store_upto(velocity + i, v, n - i);
            g = nesterov ? v_fma(keep, v, g) : v;
        }
        v_store_upto(param + i, v_fma(rate, g, p), n - i);
    }
}

/* Kingma and Ba, "Adam", ICLR 2015: g = grad + weight_decay param; m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2)
 * g^2; param -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps) */
static void FNN(adam)(void *param_, void *exp_avg, void *exp_avg_sq, const void *grad_, int64_t n, int64_t step,
                      double lr, double beta1, double beta2, double eps, double weight_decay)
{
    T *param = param_, *first = exp_avg, *second = exp_avg_sq;
    const T *grad = grad_;
    const V rate = v_set1((T)(-lr / (1 - pow(beta1, (double)step))));
    const V root = v_set1((T)(1 / sqrt(1 - pow(beta2, (double)step)))), epsilon = v_set1((T)eps);
    const V new1 = v_set1((T)(1 - beta1)), new2 = v_set1((T)(1 - beta2)), keep2 = v_set1((T)beta2);
    const V decay = v_set1((T)weight_decay);
    for (int64_t i = 0; i < n; i += VL) {
        V p = v_load_upto(param + i, n - i, 0), g = v_load_upto(grad + i, n - i, 0);
        V m = v_load_upto(first + i, n - i, 0), v = v_load_upto(second + i, n - i, 0);
        if (weight_decay != 0) g = v_fma(decay, p, g);
        m = v_fma(new1, v_sub(g, m), m);
        v = v_fma(keep2, v, v_mul(v_mul(new2, g), g));
        v_store_upto(first + i, m, n - i);
        v_store_upto(second + i, v, n - i);
        v_store_upto(param + i, v_fma(rate, v_div(m, v_fma(v_sqrt(v), root, epsilon)), p), n - i);
    }
}
