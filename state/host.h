/* SPDX-License-Identifier: MIT */
/* What we ask of the host: memory, time, waiting, randomness. The only file that calls it for these. */
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

#endif
