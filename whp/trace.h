/* SPDX-License-Identifier: MIT */
/* Traces: SwhpTraceStart's lines. */
#ifndef WHP_TRACE_H
#define WHP_TRACE_H

#include "state/vcpu.h"

/* Tells the partition's trace, if there is one, of the exit in *cpu->exit. */
void trace_exit(struct vcpu *cpu);

#endif
