/* SPDX-License-Identifier: MIT */
/* Several processors on one thread, in turns by instruction count: SwhpRunPartition. */
#ifndef CPU_TURNS_H
#define CPU_TURNS_H

#include "state/partition.h"
#include "state/vcpu.h"

/*
 * Runs these processors, one of them at least, until one has an exit, which is whose processor's comes back; *x is
 * filled. SwhpRunVpExitReasonCount as soon as the partition's clock is `clock` or more. The caller owns all of them,
 * and each has in_turns.
 */
struct vcpu *turns_run(struct partition *p, struct vcpu *const *cpus, u32 n, u64 clock, WHV_RUN_VP_EXIT_CONTEXT *x);

#endif
