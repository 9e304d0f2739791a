/* SPDX-License-Identifier: MIT */
/* The host's memory, time, waiting and randomness. */
#include "state/host.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
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
