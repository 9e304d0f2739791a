/* SPDX-License-Identifier: MIT */
/*
 * Whether a result is inexact, while underflow or overflow is unmasked. The host has both masked, and so
 * looks at the result that the format can hold; the processor looks at the one with an unbounded exponent
 * (SDM 1, 4.9.1.4 and 4.9.1.5).
 */
#include "cpu/fp_exact.h"
#include "cpu/fp_unit.h"

static bool is_inexact(const struct fp_format *f, enum fp_operation operation, u64 a, u64 b,
                       const struct fp_rounding *how)
{
    u32 flags = 0;

    if (operation == FP_NARROW)
        fp_narrow(&fp_double, &fp_single, a, how, &flags);
    else
        fp_arithmetic(f, operation, a, b, how, &flags);
    return flags & MXCSR_PE;
}

void fp_settle_slow(struct vcpu *cpu, enum fp_operation operation, enum fp_kind kind, const void *a,
                    const void *b, unsigned size)
{
    u32 mxcsr = fpu_stmxcsr(), masks = cpu->mxcsr & (MXCSR_OM | MXCSR_UM);
    const struct fp_format *f = kind == FP_F64 || operation == FP_NARROW ? &fp_double : &fp_single;
    struct fp_rounding how = fp_rounding_of(cpu->mxcsr);

    if (!(mxcsr & MXCSR_PE) || !(mxcsr & (MXCSR_OE | MXCSR_UE)) || masks == (MXCSR_OM | MXCSR_UM))
        return;
    for (unsigned i = 0; i < size; i += f->width / 8) {
        u64 x = load_bytes((const u8 *)a + i, f->width / 8);
        u64 y = load_bytes((const u8 *)b + i, f->width / 8);

        if (is_inexact(f, operation, x, y, &how))
            return;
    }
    fpu_ldmxcsr(mxcsr & ~MXCSR_PE);
}
