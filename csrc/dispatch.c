/*
 * dispatch.c: which kernels run.
 *
 * Design
 * A. ISAs are a list, best first: name, what the CPU must have, kernels per dtype. To add one: its isa_*.c and
 *    vec_*.h, a line here, a line in setup.py. What it requires of the CPU gets a row of `features`.
 * B. The choice is made once, at the first question, and stays until fnn_isa_use. Its index is atomic: any thread may
 *    ask, and two that ask first come to the same answer.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "fastnn.h"

/* What an ISA may require: an instruction set of the CPU, with the registers that the system keeps for it when it
 * switches between programs. */
enum { CPU_FMA = 1, CPU_AVX2 = 2, CPU_AVX512F = 4, CPU_AVX512DQ = 8, CPU_AVX512BW = 16, CPU_AVX512VL = 32 };

#ifdef __x86_64__
#include <cpuid.h>

/* Bits of CPUID (Intel, Software Developer's Manual, volume 2A) and of XCR0, the list of registers that the system keeps. */
enum { LEAF1_ECX_OSXSAVE = 1 << 27, XCR0_YMM = 2 | 4, XCR0_ZMM = XCR0_YMM | 32 | 64 | 128 };
static const struct {
    unsigned has, leaf, in_ebx, in_ecx, kept; /* the bit of ours, where CPUID says it, the registers it needs */
} features[] = {
    {CPU_FMA, 1, 0, 1u << 12, XCR0_YMM},      {CPU_AVX2, 7, 1u << 5, 0, XCR0_YMM},
    {CPU_AVX512F, 7, 1u << 16, 0, XCR0_ZMM},  {CPU_AVX512DQ, 7, 1u << 17, 0, XCR0_ZMM},
    {CPU_AVX512BW, 7, 1u << 30, 0, XCR0_ZMM}, {CPU_AVX512VL, 7, 1u << 31, 0, XCR0_ZMM},
};

/* __builtin_cpu_supports is not asked: it answers 0 in some tool chains. */
static unsigned cpu_has(void)
{
    unsigned eax, ebx, ecx, edx, kept, upper, has = 0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & LEAF1_ECX_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(upper) : "c"(0));
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!__get_cpuid_count(features[i].leaf, 0, &eax, &ebx, &ecx, &edx)) continue;
        const int there = (features[i].in_ebx & ebx) || (features[i].in_ecx & ecx);
        if (there && (features[i].kept & ~kept) == 0) has |= features[i].has;
    }
    return has;
}
#else
static unsigned cpu_has(void) { return 0; }
#endif

typedef struct {
    const char *name;
    unsigned required;
    const fnn_kernels *kernels[FNN_DTYPES];
} isa;

extern const fnn_kernels fnn_kernels_portable_f32, fnn_kernels_portable_f64;
extern const fnn_kernels fnn_kernels_avx2_f32, fnn_kernels_avx2_f64;
extern const fnn_kernels fnn_kernels_avx512_f32, fnn_kernels_avx512_f64;

static const isa isas[] = {
#ifdef __x86_64__
    {"avx512",
     CPU_AVX512F | CPU_AVX512DQ | CPU_AVX512BW | CPU_AVX512VL,
     {&fnn_kernels_avx512_f32, &fnn_kernels_avx512_f64}},
    {"avx2", CPU_AVX2 | CPU_FMA, {&fnn_kernels_avx2_f32, &fnn_kernels_avx2_f64}},
#endif
    {"portable", 0, {&fnn_kernels_portable_f32, &fnn_kernels_portable_f64}},
};

enum { ISA_COUNT = sizeof isas / sizeof *isas };

static atomic_int active = -1;

int fnn_isa_count(void) { return ISA_COUNT; }
const char *fnn_isa_name(int i) { return isas[i].name; }
int fnn_isa_supported(int i) { return (isas[i].required & ~cpu_has()) == 0; }

int fnn_isa_active(void)
{
    if (active < 0) {
        int i = 0;
        while (!fnn_isa_supported(i)) i++; /* the last one always is */
        active = i;
    }
    return active;
}

int fnn_isa_use(const char *name)
{
    for (int i = 0; i < ISA_COUNT; i++)
        if (strcmp(isas[i].name, name) == 0 && fnn_isa_supported(i)) {
            active = i;
            return 0;
        }
    return -1;
}

const fnn_kernels *fnn_kernels_for(int dtype) { return isas[fnn_isa_active()].kernels[dtype]; }
