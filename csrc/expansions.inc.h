/*
 * expansions.inc.h: polynomials for where terms would cancel, near the root of a derivative and for tanhshrink near 0,
 * and, for float64, for the normal distribution. docs/numerics/expansions.py makes them; above each array stands the
 * call of its show(f, from, to, terms, pairs), and ROOT is mp.findroot(). A bound is the relative error of the
 * polynomial. NAME_rests[i] is the low part of coefficient i, for the leading ones, which are kept as pairs.
 */

#if FNN_DTYPE == 64

#define ROOT_RADIUS 0.375 /* the expansions of derivatives hold that near */
static const double gelu_root[2] = {-0x1.80ead197f00b4p-1, 0x1.13e74c58cada8p-56};
static const double silu_root[2] = {-0x1.474973c84120bp+0, -0x1.f8d74bc9ac154p-54};
static const double gelu_tanh_root[2] = {-0x1.81429f9e97e4dp-1, 0x1.4f523ed77dbdcp-55};
static const double mish_root[2] = {-0x1.31432c0d12d84p+0, -0x1.bf319154da21p-55};
#define TANHSHRINK_NEAR 1
/* (x - tanh(x)) / x^3 in x^2, |x| <= TANHSHRINK_NEAR: 2^-59.4
 * show(shrink, 0, 1, 17, 2) */
static const T tanhshrink_rests[] = {0x1.4d4a6054f3893p-56, -0x1.2db36aee6050fp-59};
static const T tanhshrink_poly[] = {0x1.5555555555555p-2,   -0x1.1111111111108p-3,  0x1.ba1ba1ba1acb1p-5,
                                    -0x1.664f4882816d9p-6,  0x1.226e35547455dp-7,   -0x1.d6d3cefa366a6p-9,
                                    0x1.7da34583d6f74p-10,  -0x1.3556c7c6376a5p-11, 0x1.f5671e8f536a9p-13,
                                    -0x1.95f60b09c75d5p-14, 0x1.470ce69fee56dp-15,  -0x1.028bad1a1427bp-16,
                                    0x1.835855f8452aap-18,  -0x1.0169702003e91p-19, 0x1.1215f8b19ed71p-21,
                                    -0x1.901f709e9e59p-24,  0x1.2350d74b7ff89p-27};
#define GAUSS_LIMIT 38.7
/* silu'(x) over x - root in it: 2^-58.7
 * show(silu(ROOT + t) / t, -3 / 8, 3 / 8, 15, 2) */
static const double silu_root_rests[] = {-0x1.2ee4f0bcbbfd6p-58, -0x1.d482798d48037p-61};
static const double silu_root_poly[] = {0x1.be1410460527fp-3,   0x1.2c563458cc0acp-3,   0x1.353eb573ca473p-6,
                                        -0x1.f2d0e32bc1f6ap-7,  -0x1.b0f82c499319bp-8,  0x1.098e92acaad55p-13,
                                        0x1.a2a7caf5ac8dcp-11,  0x1.8574d2d914782p-13,  -0x1.5723948636616p-15,
                                        -0x1.f2d97c536a0aap-16, -0x1.8aeee5fa6b2a7p-19, 0x1.3b2445047b7bap-19,
                                        0x1.cd2695761b0d8p-21,  -0x1.575d948d96d7dp-25, -0x1.7f252087b347ap-24};
/* gelu_tanh'(x) over x - root in it: 2^-64.9
 * show(gelu_tanh(ROOT + t) / t, -3 / 8, 3 / 8, 18, 2) */
static const double gelu_tanh_root_rests[] = {0x1.7658a0345a556p-56, -0x1.dc50550d23c5bp-56};
static const double gelu_tanh_root_poly[] = {0x1.b8bacd2c96b91p-2,   0x1.8cd1a2b2fff33p-2,   -0x1.029615edb077dp-6,
                                             -0x1.d2b77346470a6p-4,  -0x1.104a83edc0b52p-6,  0x1.427996dc241e8p-6,
                                             0x1.58c9ed7105178p-8,   -0x1.3d8d641651a06p-9,  -0x1.e63f290bfca93p-11,
                                             0x1.14bf88c6b3a2cp-12,  0x1.04935d0ee28ebp-13,  -0x1.253b8a68f5bc6p-15,
                                             -0x1.0b95b068c92c9p-16, 0x1.8d1e378a80ec7p-18,  0x1.4515b729087a1p-19,
                                             -0x1.0836e1d0ac659p-20, -0x1.9ed5b93a39154p-22, 0x1.0f648cfc53225p-23};
/* mish'(x) over x - root in it: 2^-62.1
 * show(mish(ROOT + t) / t, -3 / 8, 3 / 8, 17, 2) */
static const double mish_root_rests[] = {0x1.1b181f49150b8p-56, 0x1.be321ee440c72p-58};
static const double mish_root_poly[] = {0x1.115acb42500bbp-2,   0x1.a34a251d8ad7bp-3,   0x1.574f121a868dap-5,
                                        -0x1.4c222fe64d5d8p-6,  -0x1.03369d4ac8f63p-6,  -0x1.b87ddfb4f044cp-9,
                                        0x1.1e5e1849b5562p-10,  0x1.0379917387487p-10,  0x1.0a79550f4f8acp-12,
                                        -0x1.5fff7333c8575p-15, -0x1.d453c0a950fc1p-15, -0x1.2240950caa091p-16,
                                        0x1.fa42738a811a4p-21,  0x1.8791bc278479cp-19,  0x1.1f74542934f62p-20,
                                        -0x1.271d08d941f82p-27, -0x1.2f4ae6f8d3173p-23};
/* gelu'(-a) e^(a^2 / 2) over -a - root in a / (a + 4) - 1 / 2, 0 <= a <= GAUSS_LIMIT: 2^-59.7
 * show(gelu_slope(ROOT), -1 / 2, 1 / 2 - 4 / (38.7 + 4), 23, 2) */
static const double gelu_dx_rests[] = {-0x1.b93063874b315p-58, -0x1.1074600241954p-57};
static const double gelu_dx_poly[] = {
    0x1.d94de78425463p-2,  -0x1.a763001ac67ddp-3,  0x1.ef4ff8013799fp-3,  -0x1.cc1e2623d91f4p-3,  0x1.37754d816b887p-3,
    -0x1.d4c8222aaa4b7p-5, -0x1.443f63e0995d6p-7,  0x1.85999c3133fdep-6,  -0x1.2538129c56a67p-8,  -0x1.2e93814c1f99ep-7,
    0x1.dafc05dd00ca3p-9,  0x1.2987914ba4fecp-8,   -0x1.083e64e7d2c21p-9, -0x1.77356658b19d8p-9,  0x1.c259ac0f8d59ap-11,
    0x1.10279607c6ea3p-9,  -0x1.a1e32f4a6dd23p-15, -0x1.88e896d9e34dp-10, -0x1.e6f59ba778523p-12, 0x1.d6c9a0235085ap-11,
    0x1.3504c37d98c1cp-11, -0x1.47f38ffbc8356p-12, -0x1.407a95387b124p-12};
/* Q(a) e^(a^2 / 2) in (a - 4) / (a + 4), 0 <= a <= GAUSS_LIMIT: 2^-60.2
 * show(gauss, -1, (38.7 - 4) / (38.7 + 4), 25, 7) */
static const double gelu_rests[] = {-0x1.a20248fbe4fbfp-59, -0x1.fcac3a0b31966p-64, -0x1.2823000039d8ep-60,
                                    0x1.c63ffac0f2c0ap-60,  -0x1.0b1a95dfbfd77p-61, 0x1.b662854149ecfp-65,
                                    0x1.82d89dc953b8dp-67};
static const double gelu_poly[] = {
    0x1.82b4bb8c94dcep-4,   -0x1.5cf97b0ae882cp-3,  0x1.fd751a1fba3e3p-4,   -0x1.25b6aa9658233p-4,
    0x1.f9b05f0efb957p-6,   -0x1.1644dc2f6f8bep-7,  0x1.0a1bd419ab3fep-11,  0x1.4eec24dbfda22p-11,
    -0x1.888dc9f294efdp-13, -0x1.7e246a76a9b56p-15, 0x1.e0a3aa60e3bfdp-16,  0x1.36d29c85b310ap-18,
    -0x1.20cdb1f8eab1cp-18, -0x1.bd64c94878349p-21, 0x1.630b68aa79f9fp-21,  0x1.bb4a205ced60ap-23,
    -0x1.92998b0fb06a6p-24, -0x1.ca81d0efe8a0bp-25, 0x1.2b4495583495p-27,   0x1.a9193e8d2ed2bp-27,
    0x1.b20bd119b0e7ep-31,  -0x1.3349993fcd18cp-29, -0x1.33aac579b84c2p-31, 0x1.fbbe0eeefa9b2p-33,
    0x1.9a5f076e22e24p-34};

#endif
