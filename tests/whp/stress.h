/* SPDX-License-Identifier: MIT */
/*
 * Two processors that share memory on two threads, while others call all that may be called meanwhile. For the thread
 * sanitizer (make tsan) most of all, so what is the test's own is atomic, or changed by one thread alone.
 *
 *   2000 tables   7000 IDT   8000 code   e000, f000 stacks, downwards   20000 data   30000 code that is written   34000 frames
 *   200000 linear: the pages that come and go
 */
#ifndef TESTS_WHP_STRESS_H
#define TESTS_WHP_STRESS_H

#include "tests/whp/chance.h"
#include "tests/whp/guest.h"

enum {
    STRESS_MEMORY = 0x40000, /* where a fresh processor starts, or a SIPI sends it, nothing is */
    STRESS_DATA = 0x20000,
    STRESS_TARGET = 0x200000, /* gpa, and linear */
    STRESS_PAGES = 4
};

TCase *stress_call_case(void);
TCase *stress_hyperv_case(void);
TCase *stress_delete_case(void);

struct stress {
    WHV_PARTITION_HANDLE partition;
    u32 mode;       /* WHV_X64_LOCAL_APIC_EMULATION_MODE */
    u8 *memory;     /* mapped at 0 */
    u8 *target[2];  /* mapped at STRESS_TARGET, in turn */
    u32 over;       /* atomic: all threads end */
    u32 is_mapper_over; /* atomic */
    u64 rounds[8];  /* of each thread */
    char wrong[8][160]; /* what each thread found */
};

void stress_fill(struct stress *s);
void stress_start(struct stress *s, u32 vp);
void stress_check(struct stress *s); /* counters, after all */

#endif
