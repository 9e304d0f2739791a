/* SPDX-License-Identifier: MIT */
/*
 * The host's own SSE arithmetic, one instruction each, for x86-64 hosts. asm volatile throughout: the
 * compiler moves C operators on floats across reads and writes of MXCSR, but keeps these in order. The
 * MXCSR in force is the guest's (cpu/fp.h).
 */
#ifndef CPU_FP_HOST_H
#define CPU_FP_HOST_H

#include "cpu/vector.h"

#ifndef __x86_64__
#error "guest floating point needs an x86-64 host"
#endif

HOST_FP u32 host_stmxcsr(void)
{
    u32 v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

HOST_FP void host_ldmxcsr(u32 v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

HOST_FP u16 host_fnstcw(void)
{
    u16 v;

    __asm__ volatile("fnstcw %0" : "=m"(v));
    return v;
}

HOST_FP void host_fldcw(u16 v)
{
    __asm__ volatile("fldcw %0" : : "m"(v));
}

HOST_FP u16 host_fnstsw(void)
{
    u16 v;

    __asm__ volatile("fnstsw %0" : "=a"(v));
    return v;
}

HOST_FP void host_fnclex(void)
{
    __asm__ volatile("fnclex");
}

/* a op= b: packed, or scalar in the low lane with the rest of a kept. */
#define HOST_BINARY(name)                                                                                   \
    HOST_FP v128 host_##name(v128 a, v128 b)                                                                \
    {                                                                                                       \
        __asm__ volatile(#name " %1, %0" : "+x"(a) : "x"(b));                                               \
        return a;                                                                                           \
    }
#define HOST_BINARY4(op)                                                                                    \
    HOST_BINARY(op##ps)                                                                                     \
    HOST_BINARY(op##pd)                                                                                     \
    HOST_BINARY(op##ss)                                                                                     \
    HOST_BINARY(op##sd)

HOST_BINARY4(add)
HOST_BINARY4(sub)
HOST_BINARY4(mul)
HOST_BINARY4(div)
HOST_BINARY4(min)
HOST_BINARY4(max)
HOST_BINARY4(sqrt) /* packed: a is ignored */
HOST_BINARY4(cmpeq)
HOST_BINARY4(cmplt)
HOST_BINARY4(cmple)
HOST_BINARY4(cmpunord)
HOST_BINARY4(cmpneq)
HOST_BINARY4(cmpnlt)
HOST_BINARY4(cmpnle)
HOST_BINARY4(cmpord)
HOST_BINARY(cvtss2sd)
HOST_BINARY(cvtsd2ss)
HOST_BINARY(cvtps2pd)
HOST_BINARY(cvtpd2ps)
HOST_BINARY(cvtdq2ps)
HOST_BINARY(cvtps2dq)
HOST_BINARY(cvttps2dq)
HOST_BINARY(cvtdq2pd)
HOST_BINARY(cvtpd2dq)
HOST_BINARY(cvttpd2dq)

/* Scalar from an integer. */
#define HOST_FROM_INTEGER(name, insn, type)                                                                 \
    HOST_FP v128 host_##name(v128 a, type i)                                                                \
    {                                                                                                       \
        __asm__ volatile(insn " %1, %0" : "+x"(a) : "r"(i));                                                \
        return a;                                                                                           \
    }
HOST_FROM_INTEGER(cvtsi2ss32, "cvtsi2ssl", u32)
HOST_FROM_INTEGER(cvtsi2ss64, "cvtsi2ssq", u64)
HOST_FROM_INTEGER(cvtsi2sd32, "cvtsi2sdl", u32)
HOST_FROM_INTEGER(cvtsi2sd64, "cvtsi2sdq", u64)

/* Scalar to an integer. */
#define HOST_TO_INTEGER(name, insn, type)                                                                   \
    HOST_FP u64 host_##name(v128 b)                                                                         \
    {                                                                                                       \
        type r;                                                                                             \
                                                                                                            \
        __asm__ volatile(insn " %1, %0" : "=r"(r) : "x"(b));                                                \
        return r;                                                                                           \
    }
HOST_TO_INTEGER(cvtss2si32, "cvtss2si", u32)
HOST_TO_INTEGER(cvtss2si64, "cvtss2si", u64)
HOST_TO_INTEGER(cvttss2si32, "cvttss2si", u32)
HOST_TO_INTEGER(cvttss2si64, "cvttss2si", u64)
HOST_TO_INTEGER(cvtsd2si32, "cvtsd2si", u32)
HOST_TO_INTEGER(cvtsd2si64, "cvtsd2si", u64)
HOST_TO_INTEGER(cvttsd2si32, "cvttsd2si", u32)
HOST_TO_INTEGER(cvttsd2si64, "cvttsd2si", u64)

/* Comparisons that set ZF, PF and CF. */
struct host_order {
    bool zf, pf, cf;
};

#define HOST_COMPARE(name)                                                                                  \
    HOST_FP struct host_order host_##name(v128 a, v128 b)                                                   \
    {                                                                                                       \
        struct host_order o;                                                                                \
                                                                                                            \
        __asm__ volatile(#name " %4, %3" : "=@ccz"(o.zf), "=@ccp"(o.pf), "=@ccc"(o.cf) : "x"(a), "x"(b));   \
        return o;                                                                                           \
    }
HOST_COMPARE(comiss)
HOST_COMPARE(comisd)
HOST_COMPARE(ucomiss)
HOST_COMPARE(ucomisd)

/* FMA, for hosts that have it: a * b + c, and c's rest with scalars. */
typedef v128 fused_fn(v128 a, v128 b, v128 c);

HOST_FP bool host_has_fma(void)
{
    return __builtin_cpu_supports("fma");
}

#define HOST_FUSED(name)                                                                                    \
    HOST_FP v128 host_##name(v128 a, v128 b, v128 c)                                                        \
    {                                                                                                       \
        __asm__ volatile("v" #name " %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));                               \
        return c;                                                                                           \
    }
#define HOST_FUSED2(op)                                                                                     \
    HOST_FUSED(op##231ps)                                                                                   \
    HOST_FUSED(op##231pd)
#define HOST_FUSED4(op)                                                                                     \
    HOST_FUSED2(op)                                                                                         \
    HOST_FUSED(op##231ss)                                                                                   \
    HOST_FUSED(op##231sd)

HOST_FUSED4(fmadd)
HOST_FUSED4(fmsub)
HOST_FUSED4(fnmadd)
HOST_FUSED4(fnmsub)
HOST_FUSED2(fmaddsub)
HOST_FUSED2(fmsubadd)

#undef HOST_BINARY
#undef HOST_BINARY4
#undef HOST_FROM_INTEGER
#undef HOST_TO_INTEGER
#undef HOST_COMPARE
#undef HOST_FUSED
#undef HOST_FUSED2
#undef HOST_FUSED4

#endif
