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

/* Which interval a lies in, its distance from the centre, and t. */
typedef struct {
    VI index;
    V r, t;
} piece;
static FNN_INLINE piece piece_of(V a, T scale, const T centre[8])
{
    piece p = {.t = v_fma(v_set1(scale), a, v_set1(0.75f))};
    p.index = v_index8(p.t);
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
/* silu_dx: 2^-29.1 */
#define SILU_DX_LIMIT 0x1.3p+4f
#define SILU_DX_SCALE 0x1.2f2858p-1f
static const T silu_dx_centre[8] = {0x1.7a65p+1f, 0x1.296ap+2f, 0x1.cb8ap+2f,  0x1.51d92p+3f,
                                    0x1.f812p+3f, 0x1.0372p-3f, 0x1.b0e22p-1f, 0x1.b05e8p+0f};
static const T silu_dx_value[8] = {0x1.0687fp+0f,  0x1.0f34f4p+0f, 0x1.0ba354p+0f, 0x1.07aafep+0f,
                                   0x1.fffff6p-1f, 0x1.b8d0e4p-2f, 0x1.51efep-1f,  0x1.c01abap-1f};
static const T silu_dx_poly[][8] = {{0x1.d0c43ap-5f, -0x1.584742p-12f, -0x1.99007ep-8f, -0x1.a070dcp-9f,
                                     0x1.401b08p-22f, 0x1.43023ep-2f, 0x1.386d8ep-2f, 0x1.93aae6p-3f},
                                    {-0x1.1e8e1p-5f, -0x1.67bb2cp-8f, 0x1.df3e38p-12f, 0x1.4f5db4p-12f,
                                     -0x1.412384p-23f, 0x1.002e66p-5f, -0x1.601872p-5f, -0x1.26732p-4f},
                                    {0x1.4ca6fap-7f, 0x1.3e0164p-9f, 0x1.4a6564p-14f, -0x1.d3b9dap-16f, 0x1.b4a7dp-25f,
                                     -0x1.19a194p-5f, -0x1.c1084ep-6f, 0x1.76557p-9f},
                                    {-0x1.4aa19p-10f, -0x1.4f1ee6p-11f, -0x1.59b7dp-15f, 0x1.ab5e48p-20f,
                                     -0x1.b6d792p-27f, -0x1.637d24p-8f, 0x1.1f7842p-7f, 0x1.9b4b48p-8f},
                                    {-0x1.fccde8p-13f, 0x1.e3850ep-14f, 0x1.56d1f6p-17f, 0x1.0b5c84p-24f,
                                     0x1.3a8592p-29f, 0x1.18389ep-8f, 0x1.089cf4p-9f, -0x1.0629bcp-9f},
                                    {0x1.59aa7ap-13f, -0x1.9d5abp-17f, -0x1.f8f76cp-20f, -0x1.49576ap-25f,
                                     -0x1.9a961cp-32f, 0x1.cada88p-11f, -0x1.5a9194p-10f, -0x1.e9b16ep-15f},
                                    {-0x1.3a28fep-15f, -0x1.79905ep-21f, 0x1.3f74f8p-22f, 0x1.1f805ep-27f,
                                     0x1.7bc7ep-34f, -0x1.48c11ep-11f, -0x1.7314f6p-15f, 0x1.b668f4p-13f},
                                    {0x1.0498a6p-19f, 0x1.524834p-21f, -0x1.2710bep-25f, -0x1.3b96c2p-30f,
                                     -0x1.95e62cp-37f, -0x1.2517f6p-12f, 0x1.314edep-13f, -0x1.70f65cp-15f}};
static const T silu_dx_root[8] = {0x1.47497p+0f, 0x1.47497p+0f,  0x1.47497p+0f,  0x1.47497p+0f,
                                  0x1p+0f,       0x1.474974p+0f, 0x1.474974p+0f, 0x1.474974p+0f};
#define SILU_DX_ROOT_REST (-0x1.bdf6fap-27f)
/* tanhshrink: 2^-28.4 */
#define TANHSHRINK_FAR 2 /* of t, as edges are */
#define TANHSHRINK_LIMIT 0x1.8p+3f
#define TANHSHRINK_SCALE 0x1.dfffep-1f
static const T tanhshrink_centre[8] = {0x1.de53ep+0f, 0x1.7cb3ap+1f, 0x1.228b6p+2f, 0x1.aea36p+2f,
                                       0x1.79128p+3f, 0x1.1116ap-3f, 0x1.1118ep-1f, 0x1.3a29ap+0f};
static const T tanhshrink_value[8] = {0x1.e82b4p-1f, 0x1.fd55ap-1f,  0x1.ffe22p-1f,  0x1.ffffap-1f,
                                      0x1p+0f,       0x1.52ec4cp-2f, 0x1.327fd8p-2f, 0x1.ab1b12p-3f};
static const T tanhshrink_poly[][8] = {{0x1.746c5ep-4f, 0x1.544ca4p-7f, 0x1.ddeccep-12f, 0x1.7ffe5p-18f,
                                        0x1.0c11f6p-31f, -0x1.1f2574p-5f, -0x1.d4834p-4f, -0x1.02ec46p-3f},
                                       {-0x1.6316bap-4f, -0x1.528722p-7f, -0x1.ddd332p-12f, -0x1.800ca8p-18f,
                                        -0x1.61a6d4p-29f, -0x1.057c22p-3f, -0x1.01d792p-4f, 0x1.b00468p-6f},
                                       {0x1.acd2ep-5f, 0x1.bea9d8p-8f, 0x1.3ea64cp-12f, 0x1.00380ap-18f,
                                        -0x1.3352e4p-27f, 0x1.c6f4b6p-6f, 0x1.0db0b4p-4f, 0x1.f7d9dap-7f},
                                       {-0x1.584cacp-6f, -0x1.b54b56p-9f, -0x1.3e4b24p-13f, -0x1.0006bep-19f,
                                        -0x1.bc76d2p-27f, 0x1.8bf5ccp-5f, -0x1.61f51ap-9f, -0x1.08853cp-6f},
                                       {0x1.2fa5cap-8f, 0x1.4f1002p-10f, 0x1.f61e82p-15f, 0x1.946838p-21f,
                                        -0x1.38ca12p-27f, -0x1.0afbp-6f, -0x1.76cf94p-6f, 0x1.8fa2c2p-8f},
                                       {0x1.653c2ep-11f, -0x1.98811p-12f, -0x1.4e35a2p-16f, -0x1.0db57cp-22f,
                                        -0x1.e48bep-29f, -0x1.2b5686p-6f, 0x1.425954p-7f, 0x1.90f3eap-13f},
                                       {-0x1.5f7f3p-10f, 0x1.75f972p-14f, 0x1.b5a5d4p-18f, 0x1.6719ecp-24f,
                                        -0x1.83c81p-31f, 0x1.ae3e04p-8f, 0x1.2b3b0ap-8f, -0x1.00fddap-9f},
                                       {0x1.5aea9cp-11f, -0x1.4f77ecp-17f, -0x1.a9febcp-20f, -0x1.70f6ecp-26f,
                                        -0x1.0ca0d8p-34f, 0x1.57eeb8p-6f, -0x1.4b6a58p-8f, 0x1.abce94p-11f}};
/* tanhshrink_dx: 2^-26.5 */
#define TANHSHRINK_DX_FAR 2
#define TANHSHRINK_DX_LIMIT 0x1.3p+3f
#define TANHSHRINK_DX_SCALE 0x1.2f2858p+0f
static const T tanhshrink_dx_centre[8] = {0x1.7a5d8p+0f, 0x1.29762p+1f, 0x1.cb8f6p+1f, 0x1.51de8p+2f,
                                          0x1.f3f5ep+2f, 0x1.b05f4p-4f, 0x1.b0766p-2f, 0x1.b0602p-1f};
static const T tanhshrink_dx_value[8] = {0x1.9fb9c6p-1f, 0x1.ecbf04p-1f, 0x1.fe7186p-1f, 0x1.fff262p-1f,
                                         0x1.ffffeap-1f, 0x1.fc387p-1f,  0x1.c8bf7p-1f,  0x1.5401b2p-1f};
static const T tanhshrink_dx_poly[][8] = {{0x1.5b01e4p-2f, 0x1.2e36b6p-4f, 0x1.8ddebep-8f, 0x1.b3b996p-13f,
                                           0x1.5f509ep-20f, -0x1.1ca3aep-3f, -0x1.da93dap-2f, -0x1.1d12aap-1f},
                                          {-0x1.147a98p-2f, -0x1.22af3cp-4f, -0x1.8ca90ap-8f, -0x1.b3af82p-13f,
                                           -0x1.5fe55ep-20f, -0x1.489662p-1f, -0x1.5eef62p-2f, 0x1.3ada2ap-4f},
                                          {0x1.93661ep-4f, 0x1.657c84p-5f, 0x1.06d584p-8f, 0x1.2272cap-13f,
                                           0x1.dc4258p-21f, 0x1.3d594ap-3f, 0x1.9d1214p-2f, 0x1.a6a1f4p-3f},
                                          {0x1.29c82ep-6f, -0x1.2b4042p-6f, -0x1.039766p-9f, -0x1.224392p-14f,
                                           -0x1.d8ae84p-22f, 0x1.61fb3ap-2f, 0x1.68dap-6f, -0x1.591c72p-3f},
                                          {-0x1.7d26acp-5f, 0x1.2e729ep-8f, 0x1.94d968p-11f, 0x1.cde53p-16f,
                                           0x1.55d072p-23f, -0x1.e69b82p-4f, -0x1.b0cac8p-3f, 0x1.4bbd6ep-6f},
                                          {0x1.ddc51ap-6f, 0x1.0e06bcp-13f, -0x1.012802p-12f, -0x1.346af6p-17f,
                                           -0x1.d6ce8ap-25f, -0x1.5050dp-3f, 0x1.141d2ep-4f, 0x1.c621bap-5f},
                                          {-0x1.94b2b4p-8f, -0x1.000a02p-10f, 0x1.0b6002p-14f, 0x1.7facbcp-19f,
                                           0x1.95ed0cp-26f, 0x1.828fep-4f, 0x1.2c3758p-4f, -0x1.55dp-5f},
                                          {-0x1.c693a6p-9f, 0x1.37e278p-11f, -0x1.73a13ep-17f, -0x1.72a4dep-21f,
                                           -0x1.819696p-28f, -0x1.d990dp-5f, -0x1.b89b24p-5f, 0x1.221c88p-8f}};

#endif
