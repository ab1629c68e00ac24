/*
 * pool.c: threads, and the scratch memory each thread owns.
 *
 * Design
 * A. A job is a task with numbered parts. The caller works on it with the pool's threads; each takes the next part when
 *    it has finished one. A thread that comes late, or that the system has put aside, takes fewer: the caller waits only
 *    for parts that somebody has begun.
 * B. Everything a thread must know to take a part is one atomic word: the number of the job, how many threads may take
 *    part, how many parts are left. Taking one is a compare-and-exchange, so a thread that wakes for a job long over
 *    takes nothing of the next one by mistake. Who has taken a part may read the rest of the job: it cannot end before.
 * C. Threads start with the first job that wants them. They wait up to SPIN nanoseconds awake, because minibatches
 *    follow one another closely, then asleep, each on a condition of its own: a job wakes the threads that it uses and
 *    no others. One that wakes on the caller's processor moves to another.
 * D. One job at a time. A caller that finds the pool busy runs its parts itself, and one that finds other callers asks
 *    for its share of the threads alone: none waits for another. Inside a part of a job every call is serial; inside
 *    one that a caller runs alone, a call may find the pool free.
 * E. After fork the child has one thread. It starts with no pool, allocates a new one when it needs it, and never
 *    touches the locks of the old one, whose state is unknown.
 * F. Scratch of kernels, and arenas of passes over a network, which call kernels, grow to the largest request of their
 *    thread and are freed when the thread ends, by the destructor of a key. After fork the child's only thread keeps its
 *    own.
 */
#include "platform.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "fastnn.h"

enum { ALIGNMENT = 64, SPIN = 20000 };

typedef struct {
    void *data;
    size_t size;
} memory;

enum { SCRATCH, ARENA, MEMORIES };
static _Thread_local memory own[MEMORIES];
static pthread_key_t free_at_exit[MEMORIES];
static int key_error; /* of making the keys: a process has a limited number of them */
static atomic_llong grown;

/* Of a thread that ends: what other keys' destructors still call may ask for memory again. */
static void free_own(void *data)
{
    for (int i = 0; i < MEMORIES; i++)
        if (own[i].data == data) own[i] = (memory){NULL, 0};
    free(data);
}

static void make_keys(void)
{
    for (int i = 0; i < MEMORIES && !key_error; i++) key_error = pthread_key_create(&free_at_exit[i], free_own);
}

static void *grow(int which, size_t size)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    pthread_once(&made, make_keys);
    if (key_error) return NULL; /* nothing would free the memory of threads that end */
    void *data = aligned_alloc(ALIGNMENT, size);
    if (!data || pthread_setspecific(free_at_exit[which], data)) {
        free(data);
        return NULL;
    }
    free(own[which].data);
    own[which] = (memory){data, size};
    grown++;
    return data;
}

/* Memory of the calling thread. */
static void *memory_of(int which, int64_t bytes)
{
    const size_t size = ((size_t)bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT; /* at least one line: NULL is none left */
    return own[which].size < size ? grow(which, size) : own[which].data;
}

void *fnn_scratch(int64_t bytes) { return memory_of(SCRATCH, bytes); }
void *fnn_arena(int64_t bytes) { return memory_of(ARENA, bytes); }
int64_t fnn_times_grown(void) { return grown; }

static atomic_int process_bound = 1, forced = 0;
static _Thread_local int thread_bound; /* 0: none */

void fnn_set_num_threads(int n) { process_bound = n; }

int fnn_get_num_threads(void)
{
    const int bound = process_bound;
    return thread_bound && thread_bound < bound ? thread_bound : bound;
}

int fnn_set_thread_bound(int n)
{
    int previous = thread_bound;
    thread_bound = n;
    return previous;
}

int fnn_force_threads(int on) { return atomic_exchange(&forced, on); }
int fnn_forcing_threads(void) { return forced; }

typedef struct pool pool;
typedef struct {
    pool *pool;
    int number; /* from 1; the caller is 0 */
    int asleep; /* under the mutex of the pool */
    condition wake;
} worker;

struct pool {
    _Atomic uint64_t word; /* see below */
    fnn_task task;
    void *context;
    atomic_int unfinished, taking_part; /* parts; threads of the job that took any */
    atomic_int busy, callers;
    atomic_int caller_sleeps, processor; /* the caller's */
    mutex mutex;
    condition done;
    int started; /* workers; under the mutex */
    worker workers[FNN_MAX_THREADS];
};

/* word: job 24 bits, one part each 1 bit, threads 15 bits, parts left 24 bits. */
static uint64_t word_of(uint64_t job, int one_each, int threads, int parts)
{
    return job << 40 | (uint64_t)one_each << 39 | (uint64_t)threads << 24 | (uint64_t)parts;
}
static uint64_t job_of(uint64_t word) { return word >> 40; }
static int one_each_of(uint64_t word) { return (int)(word >> 39 & 1); }
static int threads_of(uint64_t word) { return (int)(word >> 24 & 0x7fff); }
static int parts_of(uint64_t word) { return (int)(word & 0xffffff); }

static _Atomic(pool *) current;
static _Thread_local int inside;                      /* a part of a job */
static _Thread_local int took_part = 1, cut_into = 1; /* of the thread's last job: threads, parts */

int fnn_threads_of_last_job(void) { return took_part; }
int fnn_parts_of_last_job(void) { return cut_into; }

static int fork_error; /* of asking for start_over */
static void start_over(void) { atomic_store(&current, NULL); }
static void watch_forks(void) { fork_error = on_fork_in_child(start_over); }

static pool *get_pool(void)
{
    static pthread_once_t watching = PTHREAD_ONCE_INIT;
    pool *p = atomic_load(&current), *none = NULL;
    if (p) return p;
    pthread_once(&watching, watch_forks);
    if (fork_error) return NULL; /* a child would wait for threads that it does not have */
    if (!(p = calloc(1, sizeof *p))) return NULL;
    mutex_init(&p->mutex);
    condition_init(&p->done);
    if (atomic_compare_exchange_strong(&current, &none, p)) return p;
    condition_destroy(&p->done);
    mutex_destroy(&p->mutex);
    free(p);
    return none;
}

/* Take and run parts of the job that `word` announced, as its thread `number`. */
static void work(pool *p, uint64_t word, int number)
{
    const uint64_t job = job_of(word);
    int taken = 0;
    while (job_of(word) == job && parts_of(word) > 0 && number < threads_of(word) && !(taken && one_each_of(word))) {
        if (!atomic_compare_exchange_weak(&p->word, &word, word - 1)) continue;
        if (!taken++) atomic_fetch_add(&p->taking_part, 1);
        inside = 1;
        p->task(p->context, parts_of(word) - 1);
        inside = 0;
        if (atomic_fetch_sub(&p->unfinished, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            lock(&p->mutex);
            condition_signal(&p->done);
            unlock(&p->mutex);
        }
        word = atomic_load(&p->word);
    }
}

/* Whether thread `number`, which has seen job `seen`, has something to do. */
static int wanted(uint64_t word, uint64_t seen, int number)
{
    return job_of(word) != seen && parts_of(word) > 0 && number < threads_of(word);
}

static void *run_worker(void *argument)
{
    worker *self = argument;
    pool *p = self->pool;
    uint64_t seen = 0;
    for (;;) {
        const int64_t until = nanoseconds() + SPIN;
        uint64_t word;
        while (!wanted(word = atomic_load(&p->word), seen, self->number) && nanoseconds() < until)
            for (int i = 0; i < 16; i++) relax();
        if (!wanted(word, seen, self->number)) {
            lock(&p->mutex);
            self->asleep = 1;
            while (!wanted(word = atomic_load(&p->word), seen, self->number)) condition_wait(&self->wake, &p->mutex);
            self->asleep = 0;
            unlock(&p->mutex);
        }
        seen = job_of(word);
        if (!forced) leave_processor(p->processor);
        work(p, word, self->number);
    }
    return NULL;
}

/* At most `threads` in all, the caller among them; returns how many there are. */
static int start_workers(pool *p, int threads)
{
    lock(&p->mutex);
    while (p->started < threads - 1) {
        worker *w = &p->workers[p->started];
        w->pool = p;
        w->number = p->started + 1;
        condition_init(&w->wake);
        if (thread_start(run_worker, w)) {
            condition_destroy(&w->wake);
            break;
        }
        p->started++;
    }
    const int available = p->started + 1;
    unlock(&p->mutex);
    return available < threads ? available : threads;
}

/* The caller has pool->busy. */
static void run_job(pool *p, int threads, int parts, fnn_task task, void *context)
{
    p->task = task;
    p->context = context;
    p->taking_part = 0;
    p->unfinished = parts;
    p->processor = this_processor();
    const uint64_t job = (job_of(p->word) + 1) & 0xffffff;
    const uint64_t word = word_of(job, forced && parts == threads, threads, parts);
    lock(&p->mutex); /* a thread that has found nothing and is about to sleep holds it */
    atomic_store(&p->word, word);
    for (int i = 0; i < threads - 1; i++)
        if (p->workers[i].asleep) condition_signal(&p->workers[i].wake);
    unlock(&p->mutex);
    work(p, word, 0);
    const int64_t until = nanoseconds() + SPIN;
    while (p->unfinished && nanoseconds() < until)
        for (int i = 0; i < 16; i++) relax();
    if (p->unfinished) {
        lock(&p->mutex);
        p->caller_sleeps = 1;
        while (p->unfinished) condition_wait(&p->done, &p->mutex);
        p->caller_sleeps = 0;
        unlock(&p->mutex);
    }
    took_part = p->taking_part;
}

int fnn_threads_for(double work, double work_per_thread)
{
    const int bound = fnn_get_num_threads();
    took_part = cut_into = 1;
    if (inside) return 1;
    if (forced || bound == 1) return bound;
    double paying = work / work_per_thread;
    if (paying < 2) return 1;
    const int n = processors();
    if (paying > n) paying = n;
    return paying < bound ? (int)paying : bound;
}

void fnn_parallel(int threads, int parts, fnn_task task, void *context)
{
    pool *p;
    cut_into = parts;
    if (threads > parts) threads = parts;
    p = threads > 1 && !inside ? get_pool() : NULL;
    if (p) {
        const int callers = atomic_fetch_add(&p->callers, 1) + 1;
        if (!forced && threads > 1) threads = (threads + callers - 1) / callers;
        if (threads > 1 && !atomic_exchange(&p->busy, 1)) {
            threads = start_workers(p, threads);
            run_job(p, threads, parts, task, context);
            atomic_store(&p->busy, 0);
            atomic_fetch_sub(&p->callers, 1);
            return;
        }
    }
    took_part = 1;
    for (int i = 0; i < parts; i++) task(context, i);
    if (p) atomic_fetch_sub(&p->callers, 1);
}
