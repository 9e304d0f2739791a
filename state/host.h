/* SPDX-License-Identifier: MIT */
/* What we ask of the host: memory, time, randomness. The only file that calls it for these. */
#ifndef STATE_HOST_H
#define STATE_HOST_H

#include "state/types.h"

/* Zeroed memory in whole pages, given back lazily; NULL when there is none. */
void *host_alloc(size_t size);
void host_free(void *p, size_t size);
u64 host_nanoseconds(void);
u64 host_random(void);

#endif
