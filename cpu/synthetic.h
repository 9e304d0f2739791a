/* SPDX-License-Identifier: MIT */
/* The synthetic MSRs, and the pages that they place in the guest's memory. */
#ifndef CPU_SYNTHETIC_H
#define CPU_SYNTHETIC_H

#include "cpu/synic.h"
#include "state/profile.h"

/* MSRs 40000000 to 400000FF, of which a partition has those that its features bring. */
INLINE bool synthetic_is_msr(const struct vcpu *cpu, u32 index)
{
    return index >> 8 == 0x400000 && cpu->partition->synthetic.has;
}
enum msr_result synthetic_read(struct vcpu *cpu, u32 index, u64 *value);
enum msr_result synthetic_write(struct vcpu *cpu, u32 index, u64 value);
enum msr_result synthetic_check(struct vcpu *cpu, u32 index, u64 value); /* would the write be done? Changes nothing */

/* At Setup, and at the partition's end. False: no memory. */
bool synthetic_open(struct partition *p);
void synthetic_close(struct partition *p);

/* RDMSR of GUEST_IDLE: the processor sleeps. */
void synthetic_idle(struct vcpu *cpu);

/* A processor's TSC was set, or the reference time: the reference TSC page follows. */
void synthetic_tsc_moved(struct vcpu *cpu);

/* The same while no processor runs. */
void synthetic_settle_tsc(struct partition *p);

/* The page's sequence, as the caller restores it. */
void synthetic_set_sequence(struct vcpu *cpu, u32 sequence);

/* While no processor runs: takes a processor's pages, or the partition's, out of the guest's memory. */
void synthetic_uncover(struct vcpu *cpu);
void synthetic_reset(struct partition *p);

#endif
