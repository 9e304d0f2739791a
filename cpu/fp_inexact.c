/* SPDX-License-Identifier: MIT */
/*
 * Whether a result is inexact, while underflow or overflow is unmasked. The host has both masked, and so
 * looks at the result that the format can hold; the processor looks at the one with an unbounded exponent
 * (SDM 1, 4.9.1.4 and 4.9.1.5).
 */
#include "cpu/fp_exact.h"
#include "cpu/fp_host.h"

static bool is_inexact(const struct fp_format *f, enum fp_operation operation, u64 a, u64 b,
                       const struct fp_rounding *how)
{
    u64 one = f == &fp_single ? 0x3f800000 : 0x3ff0000000000000, sign = (u64)1 << (f->width - 1);
    struct fp_fused v = { .a = a, .b = b };
    u32 flags = 0;

    switch (operation) {
    case FP_ADD:
    case FP_SUBTRACT:
        v = (struct fp_fused){ .a = a, .b = one, .c = b, .negates_c = operation == FP_SUBTRACT };
        fp_fused(f, &v, how, &flags);
        break;
    case FP_MULTIPLY:
        v.c = (a ^ b) & sign;
        fp_fused(f, &v, how, &flags);
        break;
    case FP_DIVIDE: fp_divide(f, a, b, how, &flags); break;
    case FP_NARROW: fp_narrow(&fp_double, &fp_single, a, how, &flags); break;
    default: return true; /* always told by the host */
    }
    return flags & MXCSR_PE;
}

void fp_settle_slow(struct vcpu *cpu, enum fp_operation operation, enum fp_kind kind, const void *a,
                    const void *b, unsigned size)
{
    u32 mxcsr = host_stmxcsr(), masks = cpu->mxcsr & (MXCSR_OM | MXCSR_UM);
    const struct fp_format *f = kind == FP_F64 || operation == FP_NARROW ? &fp_double : &fp_single;
    struct fp_rounding how = { .mode = cpu->mxcsr >> 13 & 3,
                               .zero_operands = cpu->mxcsr & MXCSR_DAZ,
                               .zero_results = (cpu->mxcsr & MXCSR_FTZ) && (cpu->mxcsr & MXCSR_UM),
                               .traps_tiny = !(cpu->mxcsr & MXCSR_UM),
                               .traps_huge = !(cpu->mxcsr & MXCSR_OM) };

    if (!(mxcsr & MXCSR_PE) || !(mxcsr & (MXCSR_OE | MXCSR_UE)) || masks == (MXCSR_OM | MXCSR_UM))
        return;
    for (unsigned i = 0; i < size; i += f->width / 8) {
        u64 x = load_bytes((const u8 *)a + i, f->width / 8);
        u64 y = load_bytes((const u8 *)b + i, f->width / 8);

        if (is_inexact(f, operation, x, y, &how))
            return;
    }
    host_ldmxcsr(mxcsr & ~MXCSR_PE);
}
