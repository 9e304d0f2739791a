/* SPDX-License-Identifier: MIT */
/*
 * The components that XCR0 has bits for, and where an XSAVE area holds them: the one table for CPUID, XSAVE and its
 * kin, and the API. AMD64 APM volume 2, 11.5; Intel SDM volume 1, 13.4.
 */
#ifndef STATE_XSTATE_H
#define STATE_XSTATE_H

#include "state/types.h"

#define STATE_X87 ((u64)1 << 0)
#define STATE_SSE ((u64)1 << 1)
#define STATE_AVX ((u64)1 << 2)
#define STATE_PKRU ((u64)1 << 9)
#define XCOMP_COMPACTED ((u64)1 << 63)

/* x87 and SSE are in the legacy region; then comes the header, then the others. */
enum { XSTATE_BV = 512, XCOMP_BV = 520, XSTATE_HEADER_END = 576, XSTATE_OTHERS = 2, XSTATE_MOST = 2440 };

struct xstate {
    u16 number;         /* in XCR0, and CPUID's subleaf */
    u16 size, offset;   /* in the standard form */
    u16 used;           /* bytes that are moved, from its start on */
};
extern const struct xstate xstates[XSTATE_OTHERS];

INLINE u64 xstate_bit(const struct xstate *x)
{
    return (u64)1 << x->number;
}

/* Where an area of this layout (XCOMP_BV: with XCOMP_COMPACTED, else the standard form) holds a component. */
u32 xstate_at(u64 layout, const struct xstate *x);

/* The end of the last of these components in it: what the area is in size. */
u32 xstate_end(u64 layout, u64 components);

#endif
