/* SPDX-License-Identifier: MIT */
/* Processors, for the other files of this folder. */
#ifndef WHP_PROCESSOR_H
#define WHP_PROCESSOR_H

#include "whp/handle.h"

/* Lets nobody else in, and waits until those who look in are out. The caller has the door busy. */
void processor_close(struct door *door);

/* Takes a processor whose door is closed out of its partition and frees it. All others stand still, and the
 * partition's lock is held, or nobody else can see the partition. Its count stays in the partition's clock.
 */
void processor_delete(struct partition *p, u32 index);

/* The size of exit contexts, and of those before there were hypercall exits. */
enum { CONTEXT_SIZE = sizeof(WHV_RUN_VP_EXIT_CONTEXT), CONTEXT_SIZE_OLD = 144 };

/* Can a run fill the caller's context in place: is it whole and aligned? */
INLINE bool context_fits(const void *context, u32 size)
{
    return size >= CONTEXT_SIZE && context && !((uintptr_t)context % _Alignof(WHV_RUN_VP_EXIT_CONTEXT));
}

/* Is it too small, or missing? */
HRESULT context_check(const void *context, u32 size);

/* What loading a PDPTE from memory, where PAE paging uses them, would make it. */
u64 processor_pdpte(const struct vcpu *cpu, unsigned i);

/* Loads PDPTEs from memory if the caller's registers make that due: before the next Run or translation. */
void processor_load_pdptes(struct vcpu *cpu);

#endif
