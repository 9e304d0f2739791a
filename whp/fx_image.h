/* SPDX-License-Identifier: MIT */
/*
 * The x87 and SSE state as FXSAVE's image shows it: what the registers FpMmx, FpControlStatus, Xmm and
 * XmmControlStatus are parts of, and what an XSAVE image begins with.
 */
#ifndef WHP_FX_IMAGE_H
#define WHP_FX_IMAGE_H

#include "state/vcpu.h"

enum { FX_SIZE = 512, FX_STATUS = 0, FX_MXCSR_LINE = 16, FX_MXCSR = 24, FX_ST = 32, FX_XMM = 160 };

void fx_store(const struct vcpu *cpu, u8 image[FX_SIZE]);

/* The image's MXCSR must be valid. mode_update() is the caller's. */
void fx_load(struct vcpu *cpu, const u8 image[FX_SIZE]);

#endif
