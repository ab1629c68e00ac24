/*
 * dispatch.c: which kernels run, and the activation table as data.
 *
 * Design
 * A. ISAs are a list, best first: name, what the CPU must have, kernels per dtype. To add one: its isa_*.c and
 *    vec_*.h, a line here, a line in setup.py.
 * B. The choice is made once, at the first question, and stays until fnn_isa_use. An index is written whole, so
 *    readers need no lock.
 */
#include <stddef.h>
#include <string.h>

#include "fastnn.h"

#if defined(__x86_64__) || defined(_M_X64)
#define FNN_X86 1
#else
#define FNN_X86 0
#endif

typedef struct {
    const char *name;
    int (*supported)(void);
    const fnn_kernels *kernels[FNN_DTYPES];
} isa;

static int always(void) { return 1; }

extern const fnn_kernels fnn_kernels_portable_f32, fnn_kernels_portable_f64;

#if FNN_X86
extern const fnn_kernels fnn_kernels_avx2_f32, fnn_kernels_avx2_f64;

static int avx2_and_fma(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static const isa isas[] = {
#if FNN_X86
    {"avx2", avx2_and_fma, {&fnn_kernels_avx2_f32, &fnn_kernels_avx2_f64}},
#endif
    {"portable", always, {&fnn_kernels_portable_f32, &fnn_kernels_portable_f64}},
};

enum { ISA_COUNT = sizeof isas / sizeof *isas };

static int active = -1;

int fnn_isa_count(void) { return ISA_COUNT; }
const char *fnn_isa_name(int i) { return isas[i].name; }
int fnn_isa_supported(int i) { return isas[i].supported(); }

int fnn_isa_active(void)
{
    if (active < 0) {
        int i = 0;
        while (!isas[i].supported()) i++; /* the last one always is */
        active = i;
    }
    return active;
}

int fnn_isa_use(const char *name)
{
    for (int i = 0; i < ISA_COUNT; i++)
        if (strcmp(isas[i].name, name) == 0 && isas[i].supported()) {
            active = i;
            return 0;
        }
    return -1;
}

const fnn_kernels *fnn_active(int dtype) { return isas[fnn_isa_active()].kernels[dtype]; }

#define ROW(name, layer, saves, ulp, domain, ...) {#name, layer, FNN_SAVES_##saves, ulp, domain, {__VA_ARGS__}},
#define FNN_SAVES_X 'x'
#define FNN_SAVES_Y 'y'
#define FNN_SAVES_P 'p'
const fnn_activation_row fnn_activation_rows[FNN_ACTIVATION_COUNT] = {FNN_ACTIVATIONS(ROW)};
