/* SPDX-License-Identifier: MIT */
/*
 * Floating point in integers, for what the host's SSE2 lacks: rounding to integers, fused products, half
 * precision. Each result is the exact one, rounded once; flags are MXCSR's, added to *flags.
 */
#ifndef CPU_FP_EXACT_H
#define CPU_FP_EXACT_H

#include "state/types.h"

struct fp_format {
    unsigned width, fraction; /* bits */
};

extern const struct fp_format fp_half, fp_single, fp_double;

/* How to round: MXCSR's ways, and what is done about denormals. */
struct fp_rounding {
    unsigned mode;       /* 0 nearest, 1 down, 2 up, 3 toward zero */
    bool zero_operands;  /* DAZ */
    bool zero_results;   /* FTZ, where underflow is masked */
    bool traps_tiny;     /* underflow is unmasked: exact tiny results tell too */
    bool traps_huge;     /* overflow is */
};

/* To the integer nearby, in the same format. */
u64 fp_to_integer(const struct fp_format *f, u64 v, unsigned mode, bool zero_operand, u32 *flags);

/* a * b + c, with the product or c negated first. Of NaNs the first counts (as on a Zen 4). */
struct fp_fused {
    u64 a, b, c;
    bool negates_product, negates_c;
};
u64 fp_fused(const struct fp_format *f, const struct fp_fused *v, const struct fp_rounding *how, u32 *flags);

/* a / b, of which NaNs, infinities and zeros tell nothing: for the flags. */
u64 fp_divide(const struct fp_format *f, u64 a, u64 b, const struct fp_rounding *how, u32 *flags);

/* Single to half and back; double to single. */
u64 fp_narrow(const struct fp_format *from, const struct fp_format *to, u64 v, const struct fp_rounding *how,
              u32 *flags);
u64 fp_widen(const struct fp_format *from, const struct fp_format *to, u64 v, u32 *flags);

#endif
