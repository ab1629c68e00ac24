/* failing.c: an aligned_alloc that fails on demand, to be loaded before the C library: tests/test_memory.py. */
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
