/* SPDX-License-Identifier: MIT */
/* The interrupt controller's state as one page, for the other files of this folder. */
#ifndef WHP_INTERRUPT_H
#define WHP_INTERRUPT_H

#include "state/vcpu.h"
#include "whp/error.h"

enum { INTERRUPT_STATE_SIZE = 4096 };

/* Of a processor that stands still. is_exact: the size must be that of the page. */
HRESULT interrupt_state_get(struct vcpu *cpu, void *state, u32 size, u32 *written);
HRESULT interrupt_state_set(struct vcpu *cpu, const void *state, u32 size, bool is_exact);

#endif
