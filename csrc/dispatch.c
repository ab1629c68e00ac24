/*
 * dispatch.c: which kernels run.
 *
 * Design
 * A. ISAs are a list, best first: name, what the CPU must have, kernels per dtype. To add one: its isa_*.c and
 *    vec_*.h, a line here, a line in setup.py. What it requires and cpu_has() does not know yet gets a bit there.
 * B. The choice is made once, at the first question, and stays until fnn_isa_use. An index is written whole, so
 *    readers need no lock.
 */
#include <stddef.h>
#include <string.h>

#include "fastnn.h"

/* What an ISA may require: an instruction set of the CPU, with the registers that the system keeps for it when it
 * switches between programs. */
enum { CPU_AVX2 = 1, CPU_FMA = 2 };

#ifdef __x86_64__
#include <cpuid.h>

/* Bits of CPUID (Intel, Software Developer's Manual, volume 2A) and of XCR0, the list of registers that the system keeps. */
enum { LEAF1_ECX_FMA = 1 << 12, LEAF1_ECX_OSXSAVE = 1 << 27, LEAF7_EBX_AVX2 = 1 << 5, XCR0_XMM_YMM = 2 | 4 };

/* __builtin_cpu_supports is not asked: it answers 0 in some tool chains. */
static unsigned cpu_has(void)
{
    unsigned eax, ebx, ecx, edx, kept, upper;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & LEAF1_ECX_OSXSAVE)) return 0;
    const unsigned fma = ecx & LEAF1_ECX_FMA ? CPU_FMA : 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(upper) : "c"(0));
    if ((kept & XCR0_XMM_YMM) != XCR0_XMM_YMM) return 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return fma;
    return fma | (ebx & LEAF7_EBX_AVX2 ? CPU_AVX2 : 0);
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

static const isa isas[] = {
#ifdef __x86_64__
    {"avx2", CPU_AVX2 | CPU_FMA, {&fnn_kernels_avx2_f32, &fnn_kernels_avx2_f64}},
#endif
    {"portable", 0, {&fnn_kernels_portable_f32, &fnn_kernels_portable_f64}},
};

enum { ISA_COUNT = sizeof isas / sizeof *isas };

static int active = -1;

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
