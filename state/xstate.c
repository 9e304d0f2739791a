/* SPDX-License-Identifier: MIT */
/* Where the components of an XSAVE area lie. Sizes and offsets are a Zen's: PKRU stands behind AVX-512's room. */
#include "state/xstate.h"

const struct xstate xstates[XSTATE_OTHERS] = {
    {.number = 2, .size = 256, .offset = 576, .used = 256}, /* AVX: the upper halves of YMM0 to YMM15 */
    {.number = 9, .size = 8, .offset = 2432, .used = 4},    /* PKRU */
};

/* In the compacted form each stands right behind those before it: none asks for alignment. */
u32 xstate_at(u64 layout, const struct xstate *x)
{
    u32 at = XSTATE_HEADER_END;

    if (!(layout & XCOMP_COMPACTED))
        return x->offset;
    for (const struct xstate *before = xstates; before < x; before++)
        at += layout & xstate_bit(before) ? before->size : 0;
    return at;
}

u32 xstate_end(u64 layout, u64 components)
{
    u32 end = XSTATE_HEADER_END;

    for (unsigned i = 0; i < XSTATE_OTHERS; i++)
        if (components & xstate_bit(&xstates[i]))
            end = xstate_at(layout, &xstates[i]) + xstates[i].size;
    return end;
}
