/* failing.c: calls of the C library that fail on demand, to be loaded before it: tests/test_memory.py. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_long left = -1;

/* How many more calls succeed; all, where it is negative. */
void allow_allocations(long calls) { left = calls; }

void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory;
    if (left == 0 || (left > 0 && atomic_fetch_sub(&left, 1) <= 0)) return NULL;
    return posix_memalign(&memory, alignment, size) ? NULL : memory;
}

static atomic_int refusing;

/* From now on there is no memory for what a fork is to do. */
void refuse_fork_handlers(void) { refusing = 1; }

typedef int register_fn(void (*)(void), void (*)(void), void (*)(void), void *);

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library)
{
    register_fn *const next = (register_fn *)dlsym(RTLD_NEXT, "__register_atfork");
    return refusing ? ENOMEM : next(prepare, parent, child, library);
}
