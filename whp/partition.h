/* SPDX-License-Identifier: MIT */
/* Partitions, for the other files of this folder. */
#ifndef WHP_PARTITION_H
#define WHP_PARTITION_H

#include "whp/handle.h"

/* Lets time go on that WHvSuspendPartitionTime stopped. */
void partition_resume_time(struct partition *p);

/* What the environment variable SOFTWHP asks for. E_INVALIDARG for a word that isn't known; also says so on
 * stderr. */
HRESULT environment_apply(struct partition *p);

/* Sets a partition property as WHvSetPartitionProperty does, before Setup or with all processors stopped. */
HRESULT property_set(struct partition *p, u32 code, const void *buffer, u32 size);

/* The same for the properties that are no plain values, at a time when they may be set. */
HRESULT property_set_list(struct partition *p, u32 code, const void *buffer, u32 size);
HRESULT property_set_banks(struct partition *p, const void *buffer, u32 size, bool synthetic);
HRESULT property_set_profile(struct partition *p, const void *buffer, u32 size);
HRESULT property_set_time(struct partition *p, const void *buffer, u32 size);

/* What this build offers: capabilities, and what the properties of the same names accept. */
enum {
    OFFERED_FEATURES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | /* PartialUnmap, LocalApicEmulation, Xsave, DirtyPageTracking */
                       1 << 6,                            /* IdleSuspend */
    OFFERED_EXITS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 |   /* CPUID, MSR, exceptions, RDTSC */
                    1 << 5 |                              /* hypercalls */
                    1 << 4 | 1 << 6 |                     /* the APIC's SMI, INIT and SIPI */
                    7 << 7 | 3 << 12,                     /* writes to LINT0, LINT1, SVR, LDR, DFR */
    OFFERED_EXCEPTIONS = 0xf7dfb,                         /* all vectors that exceptions have, but NMI */
    OFFERED_MSR_EXITS = 0x3f
};

#endif
