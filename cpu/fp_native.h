/* SPDX-License-Identifier: MIT */
/*
 * The unit of cpu/fp_unit.h that x86-64 hosts have: their own SSE, one instruction each. asm volatile throughout: the
 * compiler moves C operators on floats across reads and writes of MXCSR, but keeps these in order.
 */
#ifndef CPU_FP_NATIVE_H
#define CPU_FP_NATIVE_H

#include "cpu/fp_unit.h"

INLINE u32 fpu_stmxcsr(void)
{
    u32 v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

INLINE void fpu_ldmxcsr(u32 v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

INLINE u16 fpu_fnstcw(void)
{
    u16 v;

    __asm__ volatile("fnstcw %0" : "=m"(v));
    return v;
}

INLINE void fpu_fldcw(u16 v)
{
    __asm__ volatile("fldcw %0" : : "m"(v));
}

INLINE u16 fpu_fnstsw(void)
{
    u16 v;

    __asm__ volatile("fnstsw %0" : "=a"(v));
    return v;
}

INLINE void fpu_fnclex(void)
{
    __asm__ volatile("fnclex");
}

#define NATIVE(name)                                                                                                 \
    INLINE v128 fpu_##name(v128 a, v128 b)                                                                           \
    {                                                                                                                \
        __asm__ volatile(#name " %1, %0" : "+x"(a) : "x"(b));                                                        \
        return a;                                                                                                    \
    }
FPU_BINARY(NATIVE)
#undef NATIVE

#define NATIVE(name, w)                                                                                              \
    INLINE v128 fpu_##name##w(v128 a, u##w i)                                                                        \
    {                                                                                                                \
        __asm__ volatile(#name " %1, %0" : "+x"(a) : "r"(i));                                                        \
        return a;                                                                                                    \
    }
FPU_FROM_INTEGER(NATIVE)
#undef NATIVE

#define NATIVE(name, w)                                                                                              \
    INLINE u64 fpu_##name##w(v128 b)                                                                                 \
    {                                                                                                                \
        u##w r;                                                                                                      \
                                                                                                                     \
        __asm__ volatile(#name " %1, %0" : "=r"(r) : "x"(b));                                                        \
        return r;                                                                                                    \
    }
FPU_TO_INTEGER(NATIVE)
#undef NATIVE

#define NATIVE(name)                                                                                                 \
    INLINE struct fpu_order fpu_##name(v128 a, v128 b)                                                               \
    {                                                                                                                \
        struct fpu_order o;                                                                                          \
                                                                                                                     \
        __asm__ volatile(#name " %4, %3" : "=@ccz"(o.zf), "=@ccp"(o.pf), "=@ccc"(o.cf) : "x"(a), "x"(b));            \
        return o;                                                                                                    \
    }
FPU_COMPARE(NATIVE)
#undef NATIVE

/* Scalars keep the rest of c. */
INLINE bool fpu_has_fma(void)
{
    return __builtin_cpu_supports("fma");
}

#define NATIVE(name)                                                                                                 \
    INLINE v128 fpu_##name(v128 a, v128 b, v128 c)                                                                   \
    {                                                                                                                \
        __asm__ volatile("v" #name " %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));                                        \
        return c;                                                                                                    \
    }
FPU_FUSED(NATIVE)
#undef NATIVE

#endif
