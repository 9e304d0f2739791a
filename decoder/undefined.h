/* SPDX-License-Identifier: MIT */
/* How many bytes of an undefined instruction the processor wants to see before it says so. */
#ifndef DECODER_UNDEFINED_H
#define DECODER_UNDEFINED_H

#include "state/vcpu.h"

/* More than `size`, where the bytes end before that is known. EVEX and XOP aren't looked into. */
unsigned undefined_length(u32 mode, const u8 *bytes, unsigned size);

/* 0F A6, A7, B9 (UD1) and FF (UD0), which Zydis has ModRM bytes for. */
bool undefined_at_once(u32 mode, const u8 *bytes, unsigned size);

#endif
