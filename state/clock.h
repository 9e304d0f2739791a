/* SPDX-License-Identifier: MIT */
/* Virtual time and seeded chance. With the virtual clock nothing here asks the host. */
#ifndef STATE_CLOCK_H
#define STATE_CLOCK_H

#include "state/partition.h"
#include "state/vcpu.h"

/* The partition's clock in counts, see SwhpGetClock. Called while `cpu` (or NULL) runs on this thread. */
u64 clock_now(struct partition *p);

/* The guest's time stamp counter, as RDTSC at the instruction under way reads it. */
u64 clock_tsc(struct vcpu *cpu);
void clock_set_tsc(struct vcpu *cpu, u64 tsc);

/* What all counters of the processor's clock count: the TSC without its offset. */
u64 clock_ticks(struct vcpu *cpu);

/* 100 ns units since the partition began. */
u64 clock_reference_time(struct partition *p);

/* How many ticks from now until the reference time has come to `when`? 0: it has. For partitions with synthetic features.
 * False: it never will. */
bool clock_ticks_to(struct vcpu *cpu, u64 when, u64 *ticks);

/*
 * The TSC of the guest's formula (TLFS "Partition reference TSC mechanism") is ticks + offset from now on; the reference
 * time goes on. While no processor runs.
 */
void clock_set_reference_tsc(struct partition *p, u64 offset);

/* 100 ns units that the processor spent running: what it retired with the virtual clock, else time inside Run since
 * this was first asked. It stands still. */
u64 clock_runtime(struct vcpu *cpu);

/* RDRAND and RDSEED: from the seed with the virtual clock, else from the host. */
u64 clock_random(struct partition *p);

/* The seed's other stream: who is next in SwhpRunPartition, and for how long. */
u64 clock_draw_turn(struct partition *p);

/* A third: word n of what the instruction under way leaves undefined. A function of seed, processor and count alone. */
u64 clock_draw_undefined(const struct vcpu *cpu, unsigned n);

/* The host's time stands still for the partition, or goes on. With the lock held; any number of times. */
void clock_suspend(struct partition *p);
void clock_resume(struct partition *p);

#endif
