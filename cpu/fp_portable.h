/* SPDX-License-Identifier: MIT */
/*
 * The unit of cpu/fp_unit.h in C, for any host. Its control words and sticky flags belong to the thread, as the
 * host's own do.
 */
#ifndef CPU_FP_PORTABLE_H
#define CPU_FP_PORTABLE_H

#include "cpu/fp_unit.h"

struct fp_unit {
    u32 mxcsr;
    u16 fcw, fsw;
};

extern _Thread_local struct fp_unit fp_unit;

INLINE u32 fpu_stmxcsr(void)
{
    return fp_unit.mxcsr;
}

INLINE void fpu_ldmxcsr(u32 v)
{
    fp_unit.mxcsr = v;
}

INLINE u16 fpu_fnstcw(void)
{
    return fp_unit.fcw;
}

INLINE void fpu_fldcw(u16 v)
{
    fp_unit.fcw = v;
}

INLINE u16 fpu_fnstsw(void)
{
    return fp_unit.fsw;
}

INLINE void fpu_fnclex(void)
{
    fp_unit.fsw = 0;
}

INLINE bool fpu_has_fma(void)
{
    return true;
}

#define PORTABLE(name) v128 fpu_##name(v128 a, v128 b);
FPU_BINARY(PORTABLE)
#undef PORTABLE
#define PORTABLE(name, w) v128 fpu_##name##w(v128 a, u##w i);
FPU_FROM_INTEGER(PORTABLE)
#undef PORTABLE
#define PORTABLE(name, w) u64 fpu_##name##w(v128 b);
FPU_TO_INTEGER(PORTABLE)
#undef PORTABLE
#define PORTABLE(name) struct fpu_order fpu_##name(v128 a, v128 b);
FPU_COMPARE(PORTABLE)
#undef PORTABLE
#define PORTABLE(name) v128 fpu_##name(v128 a, v128 b, v128 c);
FPU_FUSED(PORTABLE)
#undef PORTABLE

#endif
