/*
 * plain.h: kernels in plain C, once for all instruction sets: what takes little of a network's time. They keep to the rules of
 * fastnn.h; each operation rounds once, in the order written here, so bits do not depend on the compiler.
 */
#ifndef FNN_PLAIN_H
#define FNN_PLAIN_H

#include "fastnn.h"

/* T is the dtype of the struct; sums are float64, rows in increasing order, and rounded to T at the end. */
typedef struct {
    /* A statistic that follows those of minibatches: running = (1 - momentum) running + momentum factor value, in float64. */
    void (*move)(void *running, const double *value, double momentum, double factor, int64_t n);

    /* y = x + number */
    void (*add_number)(void *y, const void *x, double number, int64_t n);

    /* Of rows of n: y = x factor, y = x + more. y may be x. */
    void (*scale_rows)(void *y, const void *x, const void *factor, int64_t rows, int64_t n);
    void (*add_rows)(void *y, const void *x, const void *more, int64_t rows, int64_t n);

    /* What members of an ensemble make of rows of n: y = x factor + more; and, with dy the gradient by y, dfactor = the sum of
     * dy x over rows, dmore that of dy, unless NULL, and dx = dy factor, unless NULL. sums is double[2 n] of scratch; dx may
     * be dy. */
    void (*scale_and_add)(void *y, const void *x, const void *factor, const void *more, int64_t rows, int64_t n);
    void (*scale_and_add_backward)(void *dx, void *dfactor, void *dmore, double *sums, const void *dy, const void *x,
                                   const void *factor, int64_t rows, int64_t n);

    /* x = x / number */
    void (*divide)(void *x, double number, int64_t n);

    /* y[i, k, j] = x[i, j] for each of `copies` k; and x[i, j] = the sum of y[i, k, j] over k in increasing order, in float64,
     * divided by a number. */
    void (*spread)(void *y, const void *x, int64_t rows, int64_t copies, int64_t n);
    void (*gather)(void *x, const void *y, int64_t rows, int64_t copies, int64_t n, double divisor);

    /* y[m, j, i] = x[m, i, j] of matrices of so many rows. */
    void (*transpose)(void *y, const void *x, int64_t matrices, int64_t rows, int64_t columns);

    /* y[i, j] = x[i, j] factor[i] of rows of n; and y[i] = the sum over j of a[i, j] b[i, j], or of a[i, j] where b is NULL,
     * in increasing order. */
    void (*scale_each)(void *y, const void *x, const void *factor, int64_t rows, int64_t n);
    void (*sum_last)(void *y, const void *a, const void *b, int64_t rows, int64_t n);

    /* dx[i, columns[j]] += dy[i, j] of rows of n and of `each`, j in increasing order. */
    void (*add_columns)(void *dx, const void *dy, const int64_t *columns, int64_t rows, int64_t n, int64_t each);

    /* y[i, j] = (x[i, j] - mean[k]) / scale[k] with k = places[j]; mean may be NULL for 0. y may be x. */
    void (*standardize)(void *y, const void *x, const double *mean, const double *scale, const int64_t *places,
                        int64_t rows, int64_t n);

    /* Numbers as indices; whether all are whole and in [0, limit). */
    int (*indices)(int64_t *to, const void *x, int64_t n, int64_t limit);

    /* to[k, j] = the sum of dy[i, j] over i with index[i] = k; sums is double[rows * n] of scratch. */
    void (*sum_of_indices)(void *to, double *sums, const int64_t *index, const void *dy, int64_t count, int64_t rows,
                           int64_t n);

    /* Waves (Gorishniy, Rubachev and Babenko, 2022): y[i, j] = cos and then sin of 2 pi x[i, j] weight[j, k], k in
     * [0, frequencies); and what their gradient is by the products x weight, of so many numbers x. */
    void (*waves)(void *y, const void *x, const void *weight, int64_t rows, int64_t n, int64_t frequencies);
    void (*waves_backward)(void *dphase, const void *dy, const void *y, int64_t numbers, int64_t frequencies);

    /* The piecewise linear encoding (the same): y[i, j, t] = (x[i, j] - edges[j, t]) / (edges[j, t + 1] - edges[j, t]),
     * at least 0 but in the first bin and at most 1 but in the last, and its slope; 0 in a bin whose width is 0 or not finite.
     * edges is double[n * (bins + 1)], rounded to T first. y or slope may be NULL. */
    void (*bins)(void *y, void *slope, const void *x, const double *edges, int64_t rows, int64_t n, int64_t bins);

    /* to[j] = the sum of a[i, j] b[i, j] over rows i, or of a[i, j] where b is NULL; sums is double[n] of scratch. */
    void (*sum_products)(void *to, double *sums, const void *a, const void *b, int64_t rows, int64_t n);
} fnn_plain;

const fnn_plain *fnn_plain_for(int dtype);

/* Alpha dropout (Klambauer et al., 2017) of x or, with `backward`, the gradient by it from that by the output: an element is
 * -ALPHA with probability p, the limit of selu at minus infinity; then all becomes a x + b, which keeps mean 0 and variance 1.
 * The mask is that of dropout, m = mask / (1 - p): a (1 - p) (m (x + ALPHA) - ALPHA). y may be x. */
void fnn_alpha_dropout(int dtype, void *y, const void *x, double p, uint64_t seed, uint32_t step, uint32_t layer,
                       int64_t first, int64_t n, int backward);

/* Scale each unit's weights whose norm is larger than `most`: the rows of an array of rows that are `row` elements apart, or
 * with k_major its columns. unit is scratch for the weights of one. */
void fnn_hold_norms(int dtype, void *weight, int64_t rows, int64_t columns, int64_t row, int k_major, double most,
                    void *unit);

/* l1 sum |w| + l2 sum w^2 of all n elements of a weight, the zeros that pad its rows included, in float64. */
double fnn_penalty(int dtype, const void *weight, int64_t n, double l1, double l2);

#endif
