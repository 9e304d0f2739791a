/* SPDX-License-Identifier: MIT */
/* What the calls about guest-physical memory share: whp/memory.c. */
#ifndef WHP_MEMORY_H
#define WHP_MEMORY_H

#include "whp/error.h"

struct partition;

/* Whole pages, some, within the partition's addresses, and the partition is set up; else says what is wrong. */
HRESULT check_range(const struct partition *p, u64 gpa, u64 size);

/* With all processors standing still: each looks at the map anew before it goes on. */
void map_changed(struct partition *p);

#endif
