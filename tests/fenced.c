/* fenced.c: an aligned_alloc whose memory ends at a protected page, to be loaded before the C library: tests/test_memory.py. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, MOST = 1 << 16 };

static void *fenced[MOST]; /* what was given out */
static int count;
static void (*free_other)(void *);

void *aligned_alloc(size_t alignment, size_t size)
{
    const size_t pages = (size + alignment + PAGE - 1) / PAGE * PAGE;
    char *const start = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int number = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    if (start == MAP_FAILED || number >= MOST || mprotect(start + pages, PAGE, PROT_NONE)) abort();
    fenced[number] = (void *)(((uintptr_t)start + pages - size) / alignment * alignment);
    return fenced[number];
}

/* Memory behind a fence stays; its number is small, and so is what the test gives out. */
void free(void *memory)
{
    for (int i = 0; i < count && i < MOST; i++)
        if (fenced[i] == memory) return;
    if (!free_other) free_other = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    free_other(memory);
}
