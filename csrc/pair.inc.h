/*
 * pair.inc.h: numbers with more digits than T: pairs of T, and extended numbers, which are whatever holds enough
 * digits.
 *
 * Design
 * A. A pair is hi + lo with |lo| at most about an ulp of hi, so that a result is rounded once, at the end. A function
 *    p_NAME gives a pair, or a number where its name ends in _rounded. "quick" assumes |a| >= |b| or a = 0, "exact"
 *    loses nothing.
 * B. Extended numbers, for what costs more in pairs of float32: float64 lanes for float32, which round nothing that
 *    matters, pairs for float64. One expression serves both.
 */

typedef struct {
    V hi, lo;
} pair;
static FNN_INLINE pair p_from(V a) { return (pair){a, v_set1(0)}; }

/* a + b, where |a| >= |b| or a = 0 */
static FNN_INLINE pair p_quick_sum(V a, V b)
{
    V hi = v_add(a, b);
    return (pair){hi, v_add(v_sub(a, hi), b)};
}
static FNN_INLINE pair p_quick_add(V a, pair b)
{
    pair sum = p_quick_sum(a, b.hi);
    return (pair){sum.hi, v_add(sum.lo, b.lo)};
}

/* a - b of any two numbers */
static FNN_INLINE pair p_exact_difference(V a, V b)
{
    V hi = v_sub(a, b), back = v_sub(hi, a);
    return (pair){hi, v_sub(v_sub(a, v_sub(hi, back)), v_add(b, back))};
}

/* a + b in any order */
static FNN_INLINE pair p_add(pair a, pair b)
{
    V hi = v_add(a.hi, b.hi), back = v_sub(hi, a.hi);
    return (pair){hi, v_add(v_add(v_sub(a.hi, v_sub(hi, back)), v_sub(b.hi, back)), v_add(a.lo, b.lo))};
}

/* a b */
static FNN_INLINE pair p_times(V a, pair b)
{
    V hi = v_mul(a, b.hi);
    return (pair){hi, v_madd(a, b.lo, v_fms(a, b.hi, hi))};
}
static FNN_INLINE pair p_mul(pair a, pair b)
{
    pair p = p_times(a.hi, b);
    return (pair){p.hi, v_madd(a.lo, b.hi, p.lo)};
}
static FNN_INLINE V p_mul_rounded(pair a, pair b) { return v_fma(a.hi, b.hi, v_madd(a.hi, b.lo, v_mul(a.lo, b.hi))); }

/* a power of two times b */
static FNN_INLINE pair p_scaled(V a, pair b) { return (pair){v_mul(a, b.hi), v_mul(a, b.lo)}; }

/* A constant given as a float64 and what that lacks. */
static FNN_INLINE pair p_exactly(double a, double rest) { return (pair){v_set1((T)a), v_set1((T)((a - (T)a) + rest))}; }
/* A parameter and its reciprocal, in two parts. */
static FNN_INLINE pair p_constant(double a) { return p_exactly(a, 0); }
static FNN_INLINE pair p_reciprocal(double a)
{
    const T hi = (T)(1 / a);
    return (pair){v_set1(hi), v_set1((T)(fma(-hi, a, 1) / a))};
}

/* a, and lowest instead of what is below */
static FNN_INLINE pair p_max(T lowest, pair a)
{
    return (pair){v_max(v_set1(lowest), a.hi), v_select(v_lt(a.hi, v_set1(lowest)), v_set1(0), a.lo)};
}

/* a, and highest instead of what is above */
static FNN_INLINE pair p_min(T highest, pair a)
{
    return (pair){v_min(v_set1(highest), a.hi), v_select(v_lt(v_set1(highest), a.hi), v_set1(0), a.lo)};
}

/* y = n.hi / d.hi is a first quotient and q = 1 / d.hi. fma forms y d.hi - n.hi without rounding it, so that the
 * residual r = y d - n, which is returned, keeps its digits; n / d = y - r q (Karp and Markstein, 1997). r is y d - n
 * and not n - y d, so that a quotient -0 stays one. */
static FNN_INLINE V p_divide(pair n, pair d, V *y, V *q)
{
    *q = v_div(v_set1(1), d.hi);
    *y = v_mul(n.hi, *q);
    return v_sub(v_madd(*y, d.lo, v_fms(*y, d.hi, n.hi)), n.lo);
}
static FNN_INLINE V p_div_rounded(pair n, pair d)
{
    V y, q, r = p_divide(n, d, &y, &q);
    return v_nmadd(r, q, y);
}
static FNN_INLINE pair p_div(pair n, pair d)
{
    V y, q, r = p_divide(n, d, &y, &q);
    return (pair){y, v_neg(v_mul(r, q))};
}

/* -|x| */
static FNN_INLINE pair p_neg_abs(pair x) { return (pair){v_neg_abs(x.hi), v_select_sign(x.hi, x.lo, v_neg(x.lo))}; }

#if FNN_DTYPE == 32

typedef W extended;
static FNN_INLINE extended e_from(W a) { return a; }
static FNN_INLINE extended e_exactly(double a, FNN_UNUSED double rest) { return w_set1(a); }
static FNN_INLINE extended e_add(extended a, extended b) { return w_add(a, b); }
static FNN_INLINE extended e_sub(extended a, extended b) { return w_sub(a, b); }
static FNN_INLINE extended e_minus(W a, extended b) { return w_sub(a, b); } /* where |a| >= |b| or a = 0 */
static FNN_INLINE extended e_mul(extended a, extended b) { return w_mul(a, b); }
/* Rounded once on every ISA: near the root of a derivative digits are few. */
static FNN_INLINE extended e_madd(extended a, extended b, extended c) { return w_fma(a, b, c); }
static FNN_INLINE extended e_div(extended a, extended b) { return w_div(a, b); }
static FNN_INLINE extended e_scaled(double a, extended b) { return w_mul(w_set1(a), b); } /* a a power of two */
static FNN_INLINE extended e_select(WM m, extended yes, extended no) { return w_select(m, yes, no); }
static FNN_INLINE extended e_select_sign(W s, extended yes, extended no) { return w_select_sign(s, yes, no); }
static FNN_INLINE V e_rounded(const extended part[V_PARTS]) { return v_narrow(part); }

#else

typedef pair extended;
static FNN_INLINE extended e_from(W a) { return p_from(a); }
static FNN_INLINE extended e_exactly(double a, double rest) { return p_exactly(a, rest); }
static FNN_INLINE extended e_add(extended a, extended b) { return p_add(a, b); }
static FNN_INLINE extended e_sub(extended a, extended b) { return p_add(a, (pair){v_neg(b.hi), v_neg(b.lo)}); }
static FNN_INLINE extended e_minus(W a, extended b) { return p_quick_add(a, (pair){v_neg(b.hi), v_neg(b.lo)}); }
static FNN_INLINE extended e_mul(extended a, extended b) { return p_mul(a, b); }
static FNN_INLINE extended e_madd(extended a, extended b, extended c) { return p_add(p_mul(a, b), c); }
static FNN_INLINE extended e_div(extended a, extended b) { return p_div(a, b); }
static FNN_INLINE extended e_scaled(double a, extended b) { return p_scaled(v_set1(a), b); }
static FNN_INLINE extended e_select(WM m, extended yes, extended no)
{
    return (pair){v_select(m, yes.hi, no.hi), v_select(m, yes.lo, no.lo)};
}
static FNN_INLINE extended e_select_sign(W s, extended yes, extended no)
{
    return (pair){v_select_sign(s, yes.hi, no.hi), v_select_sign(s, yes.lo, no.lo)};
}
static FNN_INLINE V e_rounded(const extended part[V_PARTS]) /* infinity has no lower part */
{
    return v_select(v_lt(v_abs(part->hi), v_set1(INFINITY)), v_add(part->hi, part->lo), part->hi);
}

#endif
