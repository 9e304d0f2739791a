/* SPDX-License-Identifier: MIT */
/*
 * Host memory that the guest finds at more than one guest-physical address, and may write at one of them. What is
 * known of writes to a page is known by its guest-physical address, so code in such memory needs more care. Changes
 * while no processor runs, with the map (mem/ram.h).
 */
#ifndef MEM_ALIAS_H
#define MEM_ALIAS_H

#include "state/types.h"

struct aliases;

/* NULL: no memory. */
struct aliases *alias_new(void);
void alias_delete(struct aliases *a);

/* The guest finds `size` bytes from this address of the host on at one more place, or at one less. In whole pages. */
void alias_add(struct aliases *a, u64 host, u64 size, bool is_writable);
void alias_remove(struct aliases *a, u64 host, u64 size, bool is_writable);

/* Is the page at this address of the host such memory? */
bool alias_at(const struct aliases *a, u64 host);

/* The same, by something else than mapping: alias_changes() gives another number. */
void alias_note(struct aliases *a);

/* Another number once pages may have become such that were not. */
u32 alias_changes(const struct aliases *a);

#endif
