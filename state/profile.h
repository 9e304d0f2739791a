/* SPDX-License-Identifier: MIT */
/*
 * What kind of processor this is: CPUID leaves, MSRs and vendor choices. Nothing in a profile comes from the host.
 */
#ifndef STATE_PROFILE_H
#define STATE_PROFILE_H

#include "state/partition.h"
#include "state/vcpu.h"

enum vendor { VENDOR_AMD = 0, VENDOR_INTEL = 1 };

struct profile {
    const char *name;            /* "zen" */
    enum vendor vendor;
    u32 physical_width;          /* bits */
    u64 features, features1, xsave_features; /* as WHV_PROCESSOR_FEATURES and the like */
    u64 frequency, interrupt_frequency;
    u32 signature;               /* CPUID.1:EAX, and RDX after reset */
    bool has_monitor;            /* MONITOR and MWAIT, MONITORX and MWAITX; else #UD at every level, as under a
                                  * hypervisor that doesn't offer them */
};

/* NULL: no profile of that name. */
const struct profile *profile_find(const char *name);

/* Makes a partition's processors this one, with all that it has. */
void profile_use(struct partition *p, const struct profile *profile);

/* What follows from the feature banks: the partition's `has` and valid bits of registers. After each change of a bank. */
void profile_settle(struct partition *p);

/* CPUID as the guest sees it, dynamic bits (OSXSAVE, APIC ID, XSAVE sizes) and the caller's CpuidResultList included. */
void profile_cpuid(const struct vcpu *cpu, u32 leaf, u32 subleaf, u32 out[4]); /* EAX EBX ECX EDX */

/* An MSR: done, refused with #GP(0), or one that we don't have. */
enum msr_result { MSR_DONE, MSR_REFUSED, MSR_UNKNOWN };
enum msr_result msr_read(struct vcpu *cpu, u32 index, u64 *value);
enum msr_result msr_write(struct vcpu *cpu, u32 index, u64 value); /* side effects on mode included; not on the TLB: caller flushes on EFER, PAT */

/* Would msr_write() do it? Changes nothing. */
enum msr_result msr_check(struct vcpu *cpu, u32 index, u64 value);

#endif
