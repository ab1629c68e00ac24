/*
 * pool.c: threads, and the scratch memory each thread owns.
 *
 * Design
 * A. Kernels run on the calling thread; the bound on threads is kept here, where the workers that obey it will live.
 * B. Scratch grows to the largest request of its thread and is freed when the thread ends, by the destructor of a key.
 * After fork the child's only thread keeps its own.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "fastnn.h"

enum { ALIGNMENT = 64 };

typedef struct {
    void *data;
    size_t size;
} scratch;

static _Thread_local scratch own;
static pthread_key_t free_at_exit;
static pthread_once_t key_made = PTHREAD_ONCE_INIT;

static void make_key(void) { pthread_key_create(&free_at_exit, free); }

void *fnn_scratch(int64_t bytes)
{
    size_t size = ((size_t)bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT; /* at least one line: NULL means out of memory */
    if (own.size < size) {
        pthread_once(&key_made, make_key);
        void *data = aligned_alloc(ALIGNMENT, size);
        if (!data) return NULL;
        free(own.data);
        own.data = data;
        own.size = size;
        pthread_setspecific(free_at_exit, data);
    }
    return own.data;
}

int fnn_threads_available(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static int process_bound = 1;
static _Thread_local int thread_bound; /* 0: none */

void fnn_set_num_threads(int n) { process_bound = n; }

int fnn_get_num_threads(void) { return thread_bound && thread_bound < process_bound ? thread_bound : process_bound; }

int fnn_set_thread_bound(int n)
{
    int previous = thread_bound;
    thread_bound = n;
    return previous;
}
