/* SPDX-License-Identifier: MIT */
/* Fast handlers of the commoner integer vector instructions, and of those that only move bits. */
#include "cpu/fast_vector.h"
#include "cpu/vector_verbs.h"

#define FAST_INTEGER(name) FAST_VECTOR(name, verb_##name, 0)

FAST_INTEGER(pand)
FAST_INTEGER(pandn)
FAST_INTEGER(por)
FAST_INTEGER(pxor)
FAST_INTEGER(paddb)
FAST_INTEGER(paddw)
FAST_INTEGER(paddd)
FAST_INTEGER(paddq)
FAST_INTEGER(psubb)
FAST_INTEGER(psubw)
FAST_INTEGER(psubd)
FAST_INTEGER(psubq)
FAST_INTEGER(pcmpeqb)
FAST_INTEGER(pcmpeqw)
FAST_INTEGER(pcmpeqd)
FAST_INTEGER(pcmpgtb)
FAST_INTEGER(pcmpgtw)
FAST_INTEGER(pcmpgtd)
FAST_INTEGER(pminub)
FAST_INTEGER(pmaxub)
FAST_INTEGER(pminsw)
FAST_INTEGER(pmaxsw)
FAST_INTEGER(pmullw)
FAST_INTEGER(pmuludq)
FAST_INTEGER(punpcklbw)
FAST_INTEGER(punpcklwd)
FAST_INTEGER(punpckldq)
FAST_INTEGER(punpcklqdq)
FAST_INTEGER(punpckhbw)
FAST_INTEGER(punpckhwd)
FAST_INTEGER(punpckhdq)
FAST_INTEGER(punpckhqdq)
FAST_INTEGER(pshufb)
FAST_INTEGER(pcmpeqq)
FAST_INTEGER(pminud)
FAST_INTEGER(pmaxud)
FAST_INTEGER(pmulld)

/* Shifts of registers, by an immediate or by a register. */
typedef v128 shift_fn(v128 a, u64 count);

INLINE bool vex_shift(CPU, IN, shift_fn *verb, unsigned size)
{
    const union vector *a = xmm(cpu, in->src);
    v128 low = verb(LANE(a, 0), (u8)in->imm), high = { 0, 0 };

    if (size == 32)
        high = verb(LANE(a, 1), (u8)in->imm);
    return vex_put(cpu, in, low, high);
}

#define FAST_SHIFT(name)                                                                                    \
    FAST(fast_##name##_imm, (VEC(in->dst) = verb_##name(VEC(in->dst), (u8)in->imm), true))                  \
    FAST(fast_##name##_reg, (VEC(in->dst) = verb_##name(VEC(in->dst), xmm(cpu, in->src)->q[0]), true))      \
    FAST(vex16_##name##_imm, vex_shift(cpu, in, verb_##name, 16))                                           \
    FAST(vex32_##name##_imm, vex_shift(cpu, in, verb_##name, 32))                                           \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        (void)mode;                                                                                         \
        (void)live;                                                                                         \
        if (in->vex)                                                                                        \
            return in->shape != S_RRI ? NULL : in->width == W256 ? vex32_##name##_imm : vex16_##name##_imm; \
        if (!is_xmm(in->dst))                                                                               \
            return NULL;                                                                                    \
        return in->shape == S_RI ? fast_##name##_imm : in->shape == S_RR ? fast_##name##_reg : NULL;        \
    }

FAST_SHIFT(psllw)
FAST_SHIFT(pslld)
FAST_SHIFT(psllq)
FAST_SHIFT(psrlw)
FAST_SHIFT(psrld)
FAST_SHIFT(psrlq)
FAST_SHIFT(psraw)
FAST_SHIFT(psrad)
FAST_SHIFT(pslldq)
FAST_SHIFT(psrldq)

/* Shuffles by an immediate, of registers. */
INLINE v128 shuffle(const u32 *a, const u32 *b, u64 imm)
{
    return (v128)(v4u32){ a[imm & 3], a[imm >> 2 & 3], b[imm >> 4 & 3], b[imm >> 6 & 3] };
}

FAST(fast_pshufd, (VEC(in->dst) = shuffle(xmm(cpu, in->src)->d, xmm(cpu, in->src)->d, in->imm), true))
FAST(fast_shufps, (VEC(in->dst) = shuffle(xmm(cpu, in->dst)->d, xmm(cpu, in->src)->d, in->imm), true))
INLINE v128 shuffle_q(const u64 *a, const u64 *b, u64 imm)
{
    return (v128){ a[imm & 1], b[imm >> 1 & 1] };
}

FAST(fast_shufpd, (VEC(in->dst) = shuffle_q(xmm(cpu, in->dst)->q, xmm(cpu, in->src)->q, in->imm), true))

#define BIND_SHUFFLE(name)                                                                                  \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        (void)mode;                                                                                         \
        (void)live;                                                                                         \
        return in->shape == S_RRI && !in->vex ? fast_##name : NULL;                                         \
    }

BIND_SHUFFLE(pshufd)
BIND_SHUFFLE(shufps)
BIND_SHUFFLE(shufpd)

/* Sign masks. */
INLINE u64 byte_signs(const union vector *v)
{
    return signs_of_bytes(v->q[0]) | signs_of_bytes(v->q[1]) << 8;
}

FAST(fast_pmovmskb, (REG64(in->dst) = byte_signs(xmm(cpu, in->src)), true))
INLINE u64 byte_signs_256(const union vector *v)
{
    return byte_signs(v) | (u64)signs_of_bytes(v->q[2]) << 16 | (u64)signs_of_bytes(v->q[3]) << 24;
}

FAST(fast_pmovmskb_256, (REG64(in->dst) = byte_signs_256(xmm(cpu, in->src)), true))
INLINE u64 double_signs(const union vector *v)
{
    return v->q[0] >> 63 | v->q[1] >> 63 << 1;
}

FAST(fast_movmskpd, (REG64(in->dst) = double_signs(xmm(cpu, in->src)), true))

run_fn *bind_pmovmskb(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    return !is_xmm(in->src) ? NULL : in->imm32 == W256 ? fast_pmovmskb_256 : fast_pmovmskb;
}

run_fn *bind_movmskpd(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    return in->imm32 == W256 ? NULL : fast_movmskpd;
}

/* PTEST of registers: ZF and CF, the others clear. */
INLINE bool test(CPU, IN, unsigned size)
{
    const union vector *a = xmm(cpu, in->dst), *b = xmm(cpu, in->src);
    v128 common = LANE(a, 0) & LANE(b, 0), beyond = ~LANE(a, 0) & LANE(b, 0);

    if (size == 32) {
        common |= LANE(a, 1) & LANE(b, 1);
        beyond |= ~LANE(a, 1) & LANE(b, 1);
    }
    flags_order(cpu, !(common[0] | common[1]), false, !(beyond[0] | beyond[1]));
    return true;
}

FAST(fast_ptest, test(cpu, in, 16))
FAST(fast_ptest_256, test(cpu, in, 32))

run_fn *bind_ptest(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    return in->shape != S_RR ? NULL : in->width == W256 ? fast_ptest_256 : fast_ptest;
}
