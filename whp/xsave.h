/* SPDX-License-Identifier: MIT */
/* The compacted XSAVE image of a processor. */
#ifndef WHP_XSAVE_H
#define WHP_XSAVE_H

#include "whp/error.h"
#include "state/vcpu.h"

HRESULT xsave_get(struct vcpu *cpu, void *buffer, u32 size, u32 *written);
HRESULT xsave_set(struct vcpu *cpu, const void *buffer, u32 size);
u32 xsave_size(const struct vcpu *cpu);

#endif
