/*
 * guarded.h: the ground that guard.c stands on: random numbers, operands between protected pages, and the comparison of
 * what a kernel left in them with what was expected.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS and MAP_NORESERVE */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fastnn.h"
#include "oracle.c"

enum { PAGE = 1 << 16, MARGIN = 512, OPERANDS = 16, MOST = 1 << 24, BEYOND = 0xFF, UNWRITTEN = 0xA5 };

/* What the round is about, for its report. */
static uint64_t seed, state;
static int dtype, fused;
static int64_t itemsize;
static const char *isa_name;
static const fnn_kernels *kernels;
static char what[300];
static double params[FNN_MAX_PARAMS];

static const char *dtype_name(void) { return dtype == FNN_F64 ? "float64" : "float32"; }

static void fail(const char *reason)
{
    printf("seed %" PRIu64 ": %s %s %s: %s\nrepeat with: build/guard 1 %" PRIu64 "\n", seed, isa_name, dtype_name(),
           what, reason, seed);
    fflush(stdout);
    _exit(1);
}

/* On SIGSEGV and SIGBUS. */
static void on_fault(int number)
{
    (void)number;
    fail("touches memory outside of its operands");
}

/* A number in [0, n), by splitmix64 (Steele, Lea and Flood, 2014). */
static int64_t draw(int64_t n)
{
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)n);
}

/* A size in [0, most], often one around the lengths of vectors and panels. */
static int64_t draw_size(int64_t most)
{
    static const int64_t awkward[] = {0, 1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33};
    const int64_t size = awkward[draw(sizeof awkward / sizeof *awkward)];
    return draw(2) && size <= most ? size : draw(most + 1);
}

/* A size rounded up to whole panels. */
static int64_t padded(int64_t n) { return (n + FNN_PANEL - 1) / FNN_PANEL * FNN_PANEL; }

/* One of the numbers that most arrays hold, and in some rounds one of those that break things. */
static int awkward_values;
static double draw_value(void)
{
    static const double awkward[] = {0.0,   -0.0,  INFINITY, -INFINITY, NAN,     0x1p-149, -0x1p-1074, 0x1p-126, 3e38,
                                     -3e38, 1e308, 88.7,     -104.0,    -1e-300, 6,        3,          20,       -0.75};
    if (awkward_values && draw(8) == 0) return awkward[draw(sizeof awkward / sizeof *awkward)];
    return (double)(draw(1 << 24) - (1 << 23)) / (1 << 21);
}

typedef struct {
    char *low, *high; /* the pages that may be touched */
    char *data;       /* the operand, at one end of them */
    char *want;       /* what the operand must hold after the call */
    int64_t bytes;
} operand;

static operand operands[OPERANDS + 1]; /* the last one is the scratch */
static int used;
static char *copies[4]; /* room for plain results */

static char *protected_pages(int64_t bytes)
{
    char *p = mmap(NULL, (size_t)bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p + PAGE, (size_t)bytes, PROT_READ | PROT_WRITE)) exit(2);
    return p + PAGE;
}

static void prepare_memory(void)
{
    for (int i = 0; i <= OPERANDS; i++) {
        operands[i].low = protected_pages(MOST);
        operands[i].high = operands[i].low + MOST;
        operands[i].want = protected_pages(MOST);
    }
    for (int i = 0; i < 4; i++) copies[i] = protected_pages(MOST);
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
}

/* `bytes` at one end of an operand's pages, filled; those next to it hold BEYOND. */
static char *take(operand *o, int64_t bytes, int fill, int at_end)
{
    if (bytes > MOST - MARGIN) fail("needs more memory than it gets: MOST");
    o->bytes = bytes;
    o->data = at_end ? o->high - bytes : o->low;
    memset(o->data, fill, (size_t)bytes);
    memset(at_end ? o->data - MARGIN : o->data + bytes, BEYOND, MARGIN);
    return o->data;
}

/* An output, or an operand whose elements are written afterwards; n numbers of the round's dtype. */
static void *take_unwritten(int64_t n) { return take(&operands[used++], n * itemsize, UNWRITTEN, (int)draw(2)); }

/* An input of n numbers. */
static void *take_numbers(int64_t n)
{
    char *x = take(&operands[used++], n * itemsize, BEYOND, (int)draw(2));
    for (int64_t i = 0; i < n; i++) put(dtype, x, i, draw_value());
    return x;
}

static int64_t *take_integers(int64_t n, int64_t below)
{
    int64_t *x = (int64_t *)take(&operands[used++], n * 8, BEYOND, (int)draw(2));
    for (int64_t i = 0; i < n; i++) x[i] = draw(below);
    return x;
}

static uint32_t *take_words(int64_t n) { return (uint32_t *)take(&operands[used++], n * 4, UNWRITTEN, (int)draw(2)); }

static double *take_doubles(int64_t n) { return (double *)take(&operands[used++], n * 8, UNWRITTEN, (int)draw(2)); }

/* The kernels' scratch: at an end of its pages as far as its alignment allows; what is left of it must survive. */
void *fnn_scratch(int64_t bytes)
{
    const int64_t aligned = (bytes + 63) / 64 * 64;
    return take(&operands[OPERANDS], aligned, BEYOND, (int)draw(2));
}

static operand *operand_of(const void *data)
{
    for (int i = 0; i < used; i++)
        if ((const char *)data >= operands[i].low && (const char *)data <= operands[i].high) return &operands[i];
    fail("expects a value of no operand");
    return NULL;
}

/* Where the expected value of what stands at data is kept. */
static void *want_of(const void *data)
{
    const operand *o = operand_of(data);
    return o->want + ((const char *)data - o->data);
}

/* Called before the kernel: everything is expected to stay as it is. */
static void expect_nothing(void)
{
    for (int i = 0; i < used; i++) memcpy(operands[i].want, operands[i].data, (size_t)operands[i].bytes);
}

/* What a kernel may leave in these numbers is not specified. */
static void expect_anything(const void *data, int64_t bytes) { memcpy(want_of(data), data, (size_t)bytes); }

static void check_margin(const operand *o, const char *name)
{
    const char *beside = o->data == o->low ? o->data + o->bytes : o->data - MARGIN;
    for (int i = 0; i < MARGIN; i++)
        if (beside[i] != (char)BEYOND) {
            char text[100];
            snprintf(text, sizeof text, "%s: writes %td bytes beside its %" PRId64 " bytes", name, beside + i - o->data,
                     o->bytes);
            fail(text);
        }
}

/* Called after the kernel and after what it should give has been written where want_of() says. */
static void check(void)
{
    for (int i = 0; i < used; i++) {
        const operand *o = &operands[i];
        char name[40], text[160];
        snprintf(name, sizeof name, "operand %d", i);
        check_margin(o, name);
        if (memcmp(o->data, o->want, (size_t)o->bytes) == 0) continue;
        for (int64_t j = 0; j < o->bytes / itemsize; j++) {
            const double got = get(dtype, o->data, j), want = get(dtype, o->want, j);
            if (memcmp(o->data + j * itemsize, o->want + j * itemsize, (size_t)itemsize) == 0) continue;
            if (got != got && want != want) continue;
            snprintf(text, sizeof text, "%s: element %" PRId64 " is %a but %a was expected", name, j, got, want);
            fail(text);
        }
    }
    if (operands[OPERANDS].data) check_margin(&operands[OPERANDS], "scratch");
}
