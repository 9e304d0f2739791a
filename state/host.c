/* SPDX-License-Identifier: MIT */
/* The host's memory, time, waiting, randomness and events. */
#include "state/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
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

/* Where the host tells (/proc may not be there), a descriptor of something else is refused: nobody's file gets our 1. */
static bool is_eventfd(int fd)
{
    char path[32], name[32];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, name, sizeof name - 1);
    if (n < 0)
        return fcntl(fd, F_GETFD) >= 0;
    name[n] = 0;
    return strstr(name, "[eventfd]") != NULL;
}

bool host_event_open(const void *handle, i64 *event, bool *is_event)
{
    intptr_t fd = (intptr_t)handle;

    *is_event = fd > 0 && fd == (int)fd && fcntl((int)fd, F_GETFD) >= 0 && is_eventfd((int)fd);
    *event = *is_event ? fcntl((int)fd, F_DUPFD_CLOEXEC, 0) : -1;
    return *event >= 0;
}

void host_event_close(i64 event)
{
    close((int)event);
}

void host_event_signal(i64 event)
{
    struct pollfd room = { .fd = (int)event, .events = POLLOUT };
    u64 one = 1;

    /* A full one would block, and who waits for it is awake. */
    if (poll(&room, 1, 0) > 0 && room.revents & POLLOUT)
        while (write((int)event, &one, sizeof one) < 0 && errno == EINTR)
            ;
}
