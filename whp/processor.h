/* SPDX-License-Identifier: MIT */
/* Processors, for the other files of this folder. */
#ifndef WHP_PROCESSOR_H
#define WHP_PROCESSOR_H

#include "whp/handle.h"

/* Takes a processor that nobody is in out of its partition (whose lock is held) and frees it. Its count stays
 * in the partition's clock. */
void processor_delete(struct partition *p, u32 index);

/* Loads PDPTEs from memory if the caller's registers make that due: before the next Run or translation. */
void processor_load_pdptes(struct vcpu *cpu);

#endif
