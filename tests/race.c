/* Several callers of the pool at once, with and without the cost model, for ThreadSanitizer: `make sanitize`. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "fastnn.h"

enum { PARTS = 16 };

static void add_one(void *context, int part) { ((int *)context)[part] += 1; }

static void *call(void *unused)
{
    for (int round = 0; round < 3000; round++) {
        int count[PARTS] = {0}, threads = 1 + round % 5, parts = threads + round % 11;
        fnn_parallel(threads, parts, add_one, count);
        for (int i = 0; i < PARTS; i++)
            if (count[i] != (i < parts)) {
                printf("part %d of %d ran %d times\n", i, parts, count[i]);
                exit(1);
            }
    }
    return unused;
}

int main(void)
{
    enum { CALLERS = 4 };
    pthread_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, call, NULL);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    fnn_force_threads(1);
    call(NULL);
    return 0;
}
