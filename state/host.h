/* SPDX-License-Identifier: MIT */
/*
 * What we ask of the host's system: memory, threads, waiting, events, time, randomness. Nothing else in these floors calls
 * it: state/host.c does for Linux, state/host_windows.c for Windows. What the C library of any host has is asked directly.
 */
#ifndef STATE_HOST_H
#define STATE_HOST_H

#include "state/types.h"

/* Zeroed memory in whole pages, given back lazily; NULL when there is none. */
void *host_alloc(size_t size);
void host_free(void *p, size_t size);
u64 host_nanoseconds(void);

/* Sleeps while *word is `value`, at most so many nanoseconds (~0: without end), or for no reason shorter. */
void host_wait(u32 *word, u32 value, u64 nanoseconds);
void host_wake(u32 *word); /* whoever waits on it */
u64 host_random(void);

/*
 * Locks, and conditions that are waited for with one held. Zeros are an open lock and a condition that nobody waits for, so
 * neither needs a beginning or an end. The hot paths take none.
 */
struct host_lock {
    u64 opaque[6];
};
struct host_condition {
    u64 opaque[6];
};
void host_lock(struct host_lock *l);
void host_unlock(struct host_lock *l);
void host_condition_wait(struct host_condition *c, struct host_lock *l);
void host_condition_wait_for(struct host_condition *c, struct host_lock *l, u64 nanoseconds);
void host_condition_wake_all(struct host_condition *c);
void host_yield(void); /* lets other threads run */

/* An address that no other living thread has. */
INLINE const void *thread_mark(void)
{
#ifdef _WIN32
    const void *teb;

    __asm__("movq %%gs:0x30, %0" : "=r"(teb)); /* the TEB's address of itself */
    return teb;
#else
    return __builtin_thread_pointer();
#endif
}

/*
 * A caller's event: the HANDLE that the API takes, on Linux an eventfd as (HANDLE)(intptr_t)fd. A copy of ours stays good when
 * the caller closes his; NULL: it's no event (*is_event), or there is no room for another. Signalling never blocks.
 */
void *host_event_copy(void *event, bool *is_event);
void host_event_close(void *copy);
void host_event_signal(void *event);

/* A FILE that others of the same name add to also, starting empty; standard error for NULL. NULL: it can't be written. */
void *host_log_open(const char *path);

#endif
