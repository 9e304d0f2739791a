/* SPDX-License-Identifier: MIT */
/*
 * Fast handlers of floating-point arithmetic, comparisons and conversions, for while every exception is
 * masked.
 */
#include "cpu/fast_vector.h"
#include "cpu/fp_unit.h"

#define FAST_PACKED(name) FAST_VECTOR(name, fpu_##name, MODE_SSE_SLOW)
#define FAST_FLOAT(name, size) FAST_SCALAR(name, fpu_##name, size, MODE_SSE_SLOW)
#define FAST_FLOAT4(op)                                                                                     \
    FAST_PACKED(op##ps)                                                                                     \
    FAST_PACKED(op##pd)                                                                                     \
    FAST_FLOAT(op##ss, 4)                                                                                   \
    FAST_FLOAT(op##sd, 8)

FAST_FLOAT4(add)
FAST_FLOAT4(sub)
FAST_FLOAT4(mul)
FAST_FLOAT4(div)
FAST_FLOAT4(sqrt)
FAST_FLOAT4(min)
FAST_FLOAT4(max)
FAST_FLOAT(cvtss2sd, 4)
FAST_FLOAT(cvtsd2ss, 8)
FAST_PACKED(cvtdq2ps)
FAST_PACKED(cvttps2dq)

/* COMISD and its like. */
typedef struct fpu_order order_fn(v128 a, v128 b);

INLINE bool order(CPU, IN, order_fn *f, v128 b)
{
    struct fpu_order o = f(VEC(in->dst), b);

    flags_order(cpu, o.zf, o.pf, o.cf);
    return true;
}

INLINE bool order_memory(CPU, IN, enum form form, order_fn *f, unsigned size)
{
    const u8 *m = vector_place(cpu, in, form, size, UNALIGNED, ACCESS_READ);

    return likely(m) && order(cpu, in, f, vector_fetch(m, size));
}

#define FAST_ORDER_MEMORY(form, name, size)                                                                 \
    FAST(fast_##name##_##form, order_memory(cpu, in, form, fpu_##name, size))
#define FAST_ORDER(name, size)                                                                              \
    FAST(fast_##name, order(cpu, in, fpu_##name, VEC(in->src)))                                            \
    VECTOR_FORMS(FAST_ORDER_MEMORY, name, size)                                                             \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        static run_fn *const handlers[] = { fast_##name, VECTOR_HANDLERS(fast_##name) };                    \
                                                                                                            \
        (void)live;                                                                                         \
        return mode & MODE_SSE_SLOW ? NULL : vector_choose(in, mode, handlers);                             \
    }

FAST_ORDER(comiss, 4)
FAST_ORDER(comisd, 8)
FAST_ORDER(ucomiss, 4)
FAST_ORDER(ucomisd, 8)

/* From a general register or memory of 32 or 64 bits. */
#define FROM_INTEGER(name, w, value) (VEC(in->dst) = fpu_##name##w(VEC(in->dst), (u##w)(value)), true)

#define FAST_FROM_MEMORY(form, name, w)                                                                     \
    INLINE bool name##_##w##_##form(CPU, IN)                                                                \
    {                                                                                                       \
        const u8 *m = vector_place(cpu, in, form, w / 8, UNALIGNED, ACCESS_READ);                           \
                                                                                                            \
        return likely(m) && FROM_INTEGER(name, w, load_bytes(m, w / 8));                                    \
    }                                                                                                       \
    FAST(fast_##name##_##w##_##form, name##_##w##_##form(cpu, in))
#define FAST_FROM_INTEGER(name)                                                                             \
    FAST(fast_##name##_32, FROM_INTEGER(name, 32, REG64(in->src)))                                          \
    FAST(fast_##name##_64, FROM_INTEGER(name, 64, REG64(in->src)))                                          \
    VECTOR_FORMS(FAST_FROM_MEMORY, name, 32)                                                                \
    VECTOR_FORMS(FAST_FROM_MEMORY, name, 64)                                                                \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        static run_fn *const handlers[2][4] = { { fast_##name##_32, VECTOR_HANDLERS(fast_##name##_32) },    \
                                                { fast_##name##_64, VECTOR_HANDLERS(fast_##name##_64) } };  \
                                                                                                            \
        (void)live;                                                                                         \
        if (mode & MODE_SSE_SLOW)                                                                           \
            return NULL;                                                                                    \
        return handlers[in->imm == W64][in->shape == S_RM ? 1 + address_form(in, mode) : 0];                \
    }

FAST_FROM_INTEGER(cvtsi2ss)
FAST_FROM_INTEGER(cvtsi2sd)

/* To a general register of 32 or 64 bits, by truncation. */
#define FAST_TO_INTEGER(name)                                                                               \
    FAST(fast_##name##_32, (REG64(in->dst) = fpu_##name##32(VEC(in->src)), true))                          \
    FAST(fast_##name##_64, (REG64(in->dst) = fpu_##name##64(VEC(in->src)), true))                          \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        (void)live;                                                                                         \
        if (in->shape != S_RR || (mode & MODE_SSE_SLOW))                                                    \
            return NULL;                                                                                    \
        return in->width == W64 ? fast_##name##_64 : fast_##name##_32;                                      \
    }

FAST_TO_INTEGER(cvttss2si)
FAST_TO_INTEGER(cvttsd2si)
