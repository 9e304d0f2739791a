/* SPDX-License-Identifier: MIT */
/* Several processors on one thread: the machine of tests/whp/apic.h, run by SwhpRunPartition. */
#ifndef TESTS_WHP_RUN_PARTITION_H
#define TESTS_WHP_RUN_PARTITION_H

#include "tests/whp/apic.h"

enum {
    TEAM_WORD = 0x80000,  /* what the guests' code shares: locks, positions in the log */
    TEAM_VALUE = 0x80040,
    TEAM_COUNTS = 0x80100, /* interrupts taken, a dword for each processor */
    TEAM_LOG = 0x90000     /* 64 KiB: who was there, in order */
};

#define NO_CLOCK (~(u64)0)
#define COUNTED REASON((u32)SwhpRunVpExitReasonCount)

/* With local APICs, all of them enabled. */
void team_open(struct board *b, u32 processors, u32 clock);

/* Runs all until the clock or an exit: the port, or REASON(); *vp: whose. Its context is b->exit[0]. */
u32 team_run(struct board *b, u64 clock, u32 *vp);

/* The same with an exit of this processor alone. */
u32 team_run_of(struct board *b, u64 clock, u32 vp);

/* Code of bytes written out, for a processor to start at. */
#define TEAM_PUT(b, vp, ...) team_put(b, vp, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
void team_put(struct board *b, u32 vp, const void *code, u32 size);

/* From now on vectors 40 and up count in TEAM_COUNTS, end their interrupt and return. */
void team_handlers(struct board *b);

u32 team_load(const struct board *b, u32 at);
void team_hash(struct board *b, SWHP_DIGEST *d);

TCase *turn_case(void);
TCase *turn_call_case(void);
TCase *turn_apic_case(void);
TCase *turn_thread_case(void);
TCase *turn_hostile_case(void);

#endif
