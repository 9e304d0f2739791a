/* SPDX-License-Identifier: MIT */
/* The run loop. */
#ifndef CPU_RUN_H
#define CPU_RUN_H

#include "state/vcpu.h"

/* Runs the guest until something concerns the caller, and fills *cpu->exit (224 bytes, made zero first). cpu->until is the
 * count to stop at. The caller owns the processor. */
void vcpu_run(struct vcpu *cpu);

#endif
