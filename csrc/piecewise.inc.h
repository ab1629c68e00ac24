/*
 * piecewise.inc.h: functions of |x| in float32 by a polynomial for each of eight intervals, whose coefficients are
 * looked up in registers.
 *
 * Design
 * A. A lookup in a table of eight is one operation (lookup8), so that a polynomial of its own for each interval costs
 *    little and needs neither exponential nor division.
 * B. Intervals are half octaves of t = SCALE a + 3/4 for 0 <= a <= LIMIT: [0, LIMIT / 45) is the first, and t's bits
 *    are the index. The entries of a table stand in its order; the first interval's is the sixth.
 * C. In an interval f(a) = f(c) + r P(r) with r = a - c, which is exact, as c has 20 bits. c is chosen such that
 *    f(c) is a float32 but for 2^-9 ulp (Gal, 1986): the value needs no low part, and only what r P(r) loses and the
 *    last addition count. In the first interval c is 0, and no branch looks after small numbers.
 * D. The last operation of a function is an fma, on every ISA.
 * E. Tables are made by docs/numerics/piecewise.py, which asserts all that. The bound above them is the relative error
 *    of the approximation.
 */

#if FNN_DTYPE == 32

/* Which interval a lies in, and its distance from the centre. */
typedef struct {
    VI index;
    V r;
} piece;
static FNN_INLINE piece piece_of(V a, T scale, const T centre[8])
{
    piece p = {.index = v_index8(v_fma(v_set1(scale), a, v_set1(0.75f)))};
    p.r = v_sub(a, v_lookup8(centre, p.index));
    return p;
}
/* P(r): c[0] + c[1] r + ... of the interval */
#define PIECE_POLY(p, c) piece_poly(p, c, (int)(sizeof(c) / sizeof *(c)))
static FNN_INLINE V piece_poly(piece p, const T (*c)[8], int n)
{
    V sum = v_lookup8(c[n - 1], p.index);
    FNN_UNROLL(16)
    for (int i = n - 2; i >= 0; i--) sum = v_madd(sum, p.r, v_lookup8(c[i], p.index));
    return sum;
}

/* tanh: 2^-26.0 */
#define TANH_LIMIT 0x1.20a3d8p+3f
#define TANH_SCALE 0x1.3f4a46p+0f
static const T tanh_centre[8] = {0x1.67712p+0f, 0x1.1a4d6p+1f, 0x1.0d566p+2f, 0x1.73ff2p+2f,
                                 0x1.154a4p+3f, 0x0p+0f,       0x1.9a8e4p-3f, 0x1.33e34p-1f};
static const T tanh_value[8] = {0x1.c5bfb4p-1f, 0x1.f3b6e2p-1f, 0x1.ffc60cp-1f, 0x1.fffda8p-1f,
                                0x1.fffffep-1f, 0x1p+0f,        0x1.95249cp-3f, 0x1.137558p-1f};
static const T tanh_poly[][8] = {{0x1.b77ffap-3f, 0x1.846c44p-5f, 0x1.cfe3f4p-11f, 0x1.2c509ep-15f, 0x1.c9b25cp-24f,
                                  0x0p+0f, 0x1.ebf69cp-1f, 0x1.6bcd56p-1f},
                                 {-0x1.857f16p-3f, -0x1.7b19eep-5f, -0x1.c9a388p-11f, -0x1.26f63cp-15f,
                                  -0x1.3ff362p-23f, 0x0p+0f, -0x1.854c9ap-3f, -0x1.87739cp-2f},
                                 {0x1.8d5ed6p-4f, 0x1.e10f3ap-6f, 0x1.523512p-11f, 0x1.c45698p-16f, 0x1.650464p-23f,
                                  -0x1.555542p-2f, -0x1.215842p-2f, -0x1.ffdcc2p-6f},
                                 {-0x1.7237fp-6f, -0x1.b1c28cp-7f, -0x1.45d174p-13f, -0x1.230b0ep-18f, 0x1.12bcdp-22f,
                                  -0x1.d77f8p-17f, 0x1.e32d76p-4f, 0x1.28920ap-3f},
                                 {-0x1.f0cdc8p-8f, 0x1.12462p-8f, 0x1.35c97cp-12f, 0x1.e293f4p-17f, 0x1.53fd06p-22f,
                                  0x1.119024p-3f, 0x1.98203p-4f, -0x1.bff39ap-5f},
                                 {0x1.4d48d6p-7f, -0x1.4da1bcp-11f, 0x1.5b0048p-14f, 0x1.4215c8p-18f, 0x1.1365f6p-23f,
                                  -0x1.e2dbdep-10f, -0x1.63de14p-4f, -0x1.3df3b6p-6f},
                                 {-0x1.21ac0ep-8f, -0x1.9c33e8p-13f, 0x1.9f0c48p-15f, 0x1.415068p-19f, 0x1.b0315ap-26f,
                                  -0x1.8c5686p-5f, 0x1.f7ecdcp-7f, 0x1.1f306ap-6f}};

#endif
