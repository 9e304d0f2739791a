/* SPDX-License-Identifier: MIT */
/* state/host.h on Linux. */
#ifdef __linux__
#include "state/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *host_alloc(size_t size)
{
    void *p;

    if (!size)
        return NULL;
    p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void host_free(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

u64 host_nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail for this clock */
    return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

void host_wait(u32 *word, u32 value, u64 nanoseconds)
{
    struct timespec t = { .tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u) };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ~nanoseconds ? &t : NULL, NULL, 0);
}

void host_wake(u32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

u64 host_random(void)
{
    u64 v;

    /* Eight bytes come whole or not at all; only the wait for the host's first seed can be interrupted. */
    while (getrandom(&v, sizeof(v), 0) != sizeof(v)) {
        if (errno != EINTR)
            abort(); /* a host without getrandom: no answer would be random */
    }
    return v;
}

/* ---- threads ---- */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct host_lock), "a mutex has room in a lock");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(struct host_condition), "a condition has room in one");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(struct host_lock), "and is aligned");

/* Of glibc and musl, PTHREAD_MUTEX_INITIALIZER and PTHREAD_COND_INITIALIZER are zeros. */
static pthread_mutex_t *mutex(struct host_lock *l)
{
    return (pthread_mutex_t *)l;
}

static pthread_cond_t *condition(struct host_condition *c)
{
    return (pthread_cond_t *)c;
}

void host_lock(struct host_lock *l)
{
    pthread_mutex_lock(mutex(l));
}

void host_unlock(struct host_lock *l)
{
    pthread_mutex_unlock(mutex(l));
}

void host_condition_wait(struct host_condition *c, struct host_lock *l)
{
    pthread_cond_wait(condition(c), mutex(l));
}

void host_condition_wait_for(struct host_condition *c, struct host_lock *l, u64 nanoseconds)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until); /* what a condition of zeros waits by */
    nanoseconds += (u64)until.tv_nsec;
    until.tv_sec += (time_t)(nanoseconds / 1000000000u);
    until.tv_nsec = (long)(nanoseconds % 1000000000u);
    pthread_cond_timedwait(condition(c), mutex(l), &until);
}

void host_condition_wake_all(struct host_condition *c)
{
    pthread_cond_broadcast(condition(c));
}

void host_yield(void)
{
    sched_yield();
}

/* ---- events and files ---- */

static int descriptor(void *event)
{
    intptr_t fd = (intptr_t)event;

    return fd >= 0 && fd <= INT32_MAX ? (int)fd : -1;
}

/* Where the host tells (/proc may not be there), a descriptor of something else is refused: nobody's file gets our 1. */
static bool is_eventfd(int fd)
{
    char path[32], name[32];
    ssize_t n;

    if (fcntl(fd, F_GETFD) < 0)
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, name, sizeof name - 1);
    if (n < 0)
        return true;
    name[n] = 0;
    return strstr(name, "[eventfd]") != NULL;
}

void *host_event_copy(void *event, bool *is_event)
{
    int fd = descriptor(event);

    *is_event = event && is_eventfd(fd);
    fd = *is_event ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1; /* 0 would be NULL; 1 and 2 belong to others */
    return fd < 0 ? NULL : (void *)(intptr_t)fd;
}

void host_event_close(void *copy)
{
    close(descriptor(copy));
}

void host_event_signal(void *event)
{
    struct pollfd room = { .fd = descriptor(event), .events = POLLOUT };
    u64 one = 1;

    /* A full one would block, and who waits for it is awake. */
    if (poll(&room, 1, 0) > 0 && room.revents & POLLOUT)
        while (write(room.fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

void *host_log_open(const char *path)
{
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666) : dup(2);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "a");

    if (!file && fd >= 0)
        close(fd);
    return file;
}

#endif
