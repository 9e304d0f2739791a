/* SPDX-License-Identifier: MIT */
/* Filling exit contexts: shared by the functions of exit.h, nobody else's. */
#ifndef EXITS_CONTEXT_H
#define EXITS_CONTEXT_H

#include "include/softwhp.h"
#include "state/vcpu.h"

/* Rewinds the instruction under way and fills all but the union. length: the instruction's in bytes, 0 where the
 * reference says that it isn't told. */
WHV_RUN_VP_EXIT_CONTEXT *context_begin(struct vcpu *cpu, u32 reason, unsigned length);

u8 context_bytes(const struct vcpu *cpu, UINT8 bytes[16]);

_Static_assert(sizeof(WHV_X64_SEGMENT_REGISTER) == 16 && offsetof(WHV_X64_SEGMENT_REGISTER, Selector) == 12 &&
                   offsetof(struct segment, limit) == 8 && offsetof(struct segment, selector) == 12 &&
                   offsetof(struct segment, attributes) == 14,
               "struct segment is laid out as the API has it");

INLINE void context_segment(WHV_X64_SEGMENT_REGISTER *to, const struct segment *from)
{
    memcpy(to, from, sizeof *to);
}

/* The length of the instruction under way; 0 where there is none. Before context_begin(). */
INLINE unsigned context_length(const struct vcpu *cpu)
{
    return cpu->at ? cpu->at->length : 0;
}

#endif
