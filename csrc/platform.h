/*
 * platform.h: the platform's threads, as the pool needs them. POSIX; another platform is added here.
 */
#ifndef FNN_PLATFORM_H
#define FNN_PLATFORM_H

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;

static inline void mutex_init(mutex *m) { pthread_mutex_init(m, NULL); }
static inline void mutex_destroy(mutex *m) { pthread_mutex_destroy(m); }
static inline void lock(mutex *m) { pthread_mutex_lock(m); }
static inline void unlock(mutex *m) { pthread_mutex_unlock(m); }
static inline void condition_init(condition *c) { pthread_cond_init(c, NULL); }
static inline void condition_destroy(condition *c) { pthread_cond_destroy(c); }
static inline void condition_wait(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static inline void condition_signal(condition *c) { pthread_cond_signal(c); }

/* Start a detached thread that receives no signals sent to the process: they belong to the application's threads. Those
 * that report a fault of the thread itself stay open: blocked, they would end the process without its handler (Python's
 * faulthandler, a sanitizer) having a word. Returns 0, or an error number. */
static inline int thread_start(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    int code = pthread_attr_init(&attributes);
    if (code) return code;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    code = pthread_create(&thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return code;
}

/* In the child of every later fork, run `start_over` first. Returns 0, or an error number. */
static inline int on_fork_in_child(void (*start_over)(void)) { return pthread_atfork(NULL, NULL, start_over); }

static inline int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Tell the processor that this is a waiting loop. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Processors that the calling thread may run on. */
static inline int processors(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* The processor the calling thread runs on, or -1. */
static inline int this_processor(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Move the calling thread away from a processor, if it runs there and may run elsewhere. A system wakes a thread near the
 * one that woke it, and can leave both on one processor for many milliseconds. */
static inline void leave_processor(int busy)
{
#ifdef __linux__
    cpu_set_t may, elsewhere;
    if (busy < 0 || sched_getcpu() != busy || sched_getaffinity(0, sizeof may, &may) || CPU_COUNT(&may) < 2) return;
    elsewhere = may;
    CPU_CLR(busy, &elsewhere);
    sched_setaffinity(0, sizeof elsewhere, &elsewhere);
    sched_setaffinity(0, sizeof may, &may);
#else
    (void)busy;
#endif
}

#endif
