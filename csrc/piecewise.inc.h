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
    for (int i = n - 2; i > 0; i--) sum = v_madd(sum, p.r, v_lookup8(c[i], p.index));
    return v_fma(sum, p.r, v_lookup8(c[0], p.index));
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
/* gelu: 2^-26.6 */
#define GELU_LIMIT 0x1.cb851ep+3f
#define GELU_SCALE 0x1.911d22p-1f
static const T gelu_centre[8] = {0x1.1e07ep+1f, 0x1.c1542p+1f, 0x1.5b37ap+2f, 0x1.fe9b8p+2f,
                                 0x1.79f04p+3f, 0x1.46e0cp-3f, 0x1.47492p-1f, 0x1.46c6cp+0f};
static const T gelu_value[8] = {0x1.6179f6p-1f, 0x1.7d46bep-1f, 0x1.8bdb3p-1f,  0x1.926146p-1f,
                                0x1.95a62ap-1f, 0x1.c4cdd6p-2f, 0x1.4844e2p-2f, 0x1.29d8dep-1f};
static const T gelu_poly[][8] = {{0x1.1980d2p-4f, 0x1.9fa82cp-6f, 0x1.11c3a6p-7f, 0x1.790c16p-9f, 0x1.e718cap-11f,
                                  -0x1.503edep-2f, -0x1.8d5ae6p-3f, 0x1.704792p-3f},
                                 {-0x1.f7328ep-6f, -0x1.1c486cp-7f, -0x1.0ea7d2p-9f, -0x1.0bdc6p-11f, -0x1.e1953ap-14f,
                                  0x1.8f22eep-3f, 0x1.928982p-4f, -0x1.9f42a8p-4f},
                                 {0x1.786534p-7f, 0x1.4c0b32p-9f, 0x1.d0b724p-12f, 0x1.4df68ap-14f, 0x1.a47c42p-17f,
                                  -0x1.95dd1cp-4f, -0x1.6642dep-5f, 0x1.7f2edep-5f},
                                 {-0x1.f431ep-9f, -0x1.5e645ep-11f, -0x1.6cc8d6p-14f, -0x1.8131f2p-17f,
                                  -0x1.549d8cp-20f, 0x1.6ebe48p-5f, 0x1.1ffcdep-6f, -0x1.35135ep-6f},
                                 {0x1.309212p-10f, 0x1.578632p-13f, 0x1.0dc73ap-16f, 0x1.a5a0ecp-20f, 0x1.07d632p-23f,
                                  -0x1.2b7e6ap-6f, -0x1.aa525cp-8f, 0x1.c26092p-8f},
                                 {-0x1.6dc9cp-12f, -0x1.497f04p-15f, -0x1.a1a876p-19f, -0x1.d28f6ep-23f,
                                  -0x1.b98c56p-27f, 0x1.cb5caap-8f, 0x1.2b0ad2p-9f, -0x1.34908ep-9f},
                                 {0x1.8cbcd6p-14f, 0x1.210428p-17f, 0x1.1e3a5ep-21f, 0x1.dea956p-26f, 0x1.47461p-30f,
                                  -0x1.32dcdep-8f, -0x1.7039a8p-11f, 0x1.8d989cp-11f}};
static const T gelu_most[8] = {0x1p-1f, 0x1p-1f, 0x1p-1f, 0x1p-1f, 0x1p-1f, 0x1p+4f, 0x1p+4f, 0x1p-1f};
/* gelu_dx: 2^-28.8 */
#define GELU_DX_LIMIT 0x1.d1999ap+3f
#define GELU_DX_SCALE 0x1.8be03ap-1f
static const T gelu_dx_centre[8] = {0x1.21d94p+1f, 0x1.c768cp+1f, 0x1.60062p+2f, 0x1.02b88p+3f,
                                    0x1.7edb6p+3f, 0x1.4b1fep-3f, 0x1.4b32p-1f,  0x1.4b1e6p+0f};
static const T gelu_dx_value[8] = {0x1.fc0dap-2f,  0x1.dfb6cp-2f, 0x1.ca0668p-2f, 0x1.bb9baep-2f,
                                   0x1.b0e224p-2f, 0x1.471b6p-1f, 0x1.29d71ap-1f, 0x1.12170cp-1f};
static const T gelu_dx_poly[][8] = {{-0x1.e19bb6p-6f, -0x1.fc3138p-7f, -0x1.f4dea6p-8f, -0x1.fc15d8p-9f,
                                     -0x1.ec7d1p-10f, -0x1.30163ep-3f, -0x1.7ca4fcp-4f, -0x1.c3140ep-5f},
                                    {0x1.12559ep-7f, 0x1.b5968ep-9f, 0x1.36ca1p-10f, 0x1.c74176p-12f, 0x1.358eap-13f,
                                     0x1.3ddf22p-4f, 0x1.538ddap-5f, 0x1.4b70aep-6f},
                                    {-0x1.2873dcp-9f, -0x1.6c9466p-11f, -0x1.7abe58p-13f, -0x1.93f69ap-15f,
                                     -0x1.8343fcp-17f, -0x1.250c5p-5f, -0x1.11622p-6f, -0x1.c29446p-8f},
                                    {0x1.31655p-11f, 0x1.267ee4p-13f, 0x1.c4e12ep-16f, 0x1.62e194p-18f, 0x1.e1356ep-21f,
                                     0x1.e9093ep-7f, 0x1.94962ep-8f, 0x1.1eb3f6p-9f},
                                    {-0x1.2d8d74p-13f, -0x1.ce182p-16f, -0x1.0a7516p-18f, -0x1.34d066p-21f,
                                     -0x1.29e98ep-24f, -0x1.7baddep-8f, -0x1.16a576p-9f, -0x1.59208ap-11f},
                                    {0x1.2adfd2p-15f, 0x1.6b187p-18f, 0x1.4a2dd6p-21f, 0x1.145a14p-24f, 0x1.8dc4f2p-28f,
                                     0x1.056a06p-9f, 0x1.6fcb12p-11f, 0x1.e01bfcp-13f},
                                    {-0x1.145f34p-17f, -0x1.150bcap-20f, -0x1.7c065p-24f, -0x1.de8e74p-28f,
                                     -0x1.ec965p-32f, 0x1.40bb24p-11f, -0x1.caf098p-13f, -0x1.25f202p-13f}};
static const T gelu_dx_root[8] = {0x1.80eaep-1f, 0x1.80eaep-1f,  0x1.80eaep-1f,  0x1.80eaep-1f,
                                  0x1.80eaep-1f, 0x1.80ead2p-1f, 0x1.80ead2p-1f, 0x1.80eaep-1f};
#define GELU_DX_ROOT_REST (-0x1.a03fd4p-27f)

#endif
