/* SPDX-License-Identifier: MIT */
/*
 * SSE's floating point in integers: for what the host's SSE2 lacks (rounding to integers, fused products, half
 * precision), and all of it where there is no SSE (cpu/fp_portable.h). Each result is the exact one, rounded once;
 * flags are MXCSR's, added to *flags.
 */
#ifndef CPU_FP_EXACT_H
#define CPU_FP_EXACT_H

#include "cpu/fp.h"

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

struct fp_rounding fp_rounding_of(u32 mxcsr);

/* Of two NaNs, a counts. */
u64 fp_arithmetic(const struct fp_format *f, enum fp_operation operation, u64 a, u64 b, const struct fp_rounding *how,
                  u32 *flags);
u64 fp_root(const struct fp_format *f, u64 v, const struct fp_rounding *how, u32 *flags);

/* How a stands to b: one of these. With `signals`, quiet NaNs are invalid too. */
enum fp_relation { FP_LESS = 1, FP_EQUAL = 2, FP_GREATER = 4, FP_UNORDERED = 8 };
enum fp_relation fp_compare(const struct fp_format *f, u64 a, u64 b, bool signals, bool zero_operands, u32 *flags);

/* From and to integers; of `width` bits, 32 or 64, whose least one stands for all that don't fit. */
u64 fp_from_integer(const struct fp_format *f, i64 v, const struct fp_rounding *how, u32 *flags);
u64 fp_to_bits(const struct fp_format *f, u64 v, unsigned width, unsigned mode, bool zero_operand, u32 *flags);

/* To the integer nearby, in the same format. */
u64 fp_to_integer(const struct fp_format *f, u64 v, unsigned mode, bool zero_operand, u32 *flags);

/* a * b + c, with the product or c negated first. Of NaNs the first counts (as on a Zen 4). */
struct fp_fused {
    u64 a, b, c;
    bool negates_product, negates_c;
};
u64 fp_fused(const struct fp_format *f, const struct fp_fused *v, const struct fp_rounding *how, u32 *flags);

/* To a narrower format, and to a wider one. */
u64 fp_narrow(const struct fp_format *from, const struct fp_format *to, u64 v, const struct fp_rounding *how,
              u32 *flags);
u64 fp_widen(const struct fp_format *from, const struct fp_format *to, u64 v, u32 *flags);

/* Single to double, where denormals tell (halves don't). */
u64 fp_widen_single(u64 v, bool zero_operand, u32 *flags);

/* What DAZ makes of an operand. */
u64 fp_flushed(const struct fp_format *f, u64 v, bool zero_operand);

#endif
