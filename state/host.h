/* SPDX-License-Identifier: MIT */
/* What we ask of the host: memory, time, waiting, randomness, events. The only file that calls it for these. */
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
 * Events of the caller's: its HANDLE is the descriptor of an eventfd. What we keep is a duplicate, so that the caller
 * may close its own. False: it is no such thing (*is_event), or the host has no more descriptors.
 */
bool host_event_open(const void *handle, i64 *event, bool *is_event);
void host_event_close(i64 event);
void host_event_signal(i64 event); /* adds 1, unless that's more than it can count: then it is signalled anyway */

#endif
