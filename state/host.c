/* SPDX-License-Identifier: MIT */
/* The host's memory, time and randomness. */
#include "state/host.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

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
