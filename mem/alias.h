/* SPDX-License-Identifier: MIT */
/*
 * Host memory that the guest finds at more than one guest-physical address, and may write at one of them. What is
 * known of a page's writes is known by guest-physical address, so code in such memory needs more care.
 */
#ifndef MEM_ALIAS_H
#define MEM_ALIAS_H

#include "state/types.h"

struct partition;
struct aliases;

/* Looks anew where the map of memory has changed. The number that comes back is another one once the answers of
 * alias_at() may be others. While the map can't change: from a processor's own thread. */
u32 alias_look(struct partition *p);

/* Is the memory at this address of the host such? As alias_look() saw it. */
bool alias_at(const struct partition *p, const u8 *host);

/* NULL: no memory. */
struct aliases *alias_new(void);
void alias_delete(struct aliases *aliases);

#endif
