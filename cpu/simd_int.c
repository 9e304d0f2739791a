/* SPDX-License-Identifier: MIT */
/*
 * Integer arithmetic, logic, comparisons, packing and shifts of MMX and SSE2, on MMX and XMM registers
 * alike.
 */
#include "cpu/vector_verbs.h"

typedef v128 binary_fn(v128 a, v128 b);
typedef v128 shift_fn(v128 a, u64 count);

INLINE v128 low_lane(const union vector *v)
{
    return *(const v128 *)v->q;
}

/*
 * Where the 64-bit form's result is in the lane: halves of an MMX register are interleaved or packed closer
 * together.
 */
enum mmx_form { MMX_LOW, MMX_INTERLEAVED_LOW, MMX_INTERLEAVED_HIGH, MMX_PACKED };

static void binary(CPU, IN, binary_fn *f, enum mmx_form form)
{
    union vector a, b, r;
    unsigned size = vector_size(in);

    vector_source(cpu, in, &b, size == 8 && form == MMX_INTERLEAVED_LOW ? 4 : size);
    vector_get(cpu, in->dst, &a);
    *(v128 *)r.q = f(low_lane(&a), low_lane(&b));
    if (size == 8 && form == MMX_INTERLEAVED_HIGH)
        r.q[0] = r.q[1];
    if (size == 8 && form == MMX_PACKED)
        r.d[1] = r.d[2];
    vector_put(cpu, in->dst, &r, size);
}

#define BINARY_FORM(name, verb, form)                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        binary(cpu, in, verb_##verb, form);                                                                 \
    }
#define BINARY(name) BINARY_FORM(name, name, MMX_LOW)

BINARY(pand)
BINARY(pandn)
BINARY(por)
BINARY(pxor)
BINARY(paddb)
BINARY(paddw)
BINARY(paddd)
BINARY(paddq)
BINARY(psubb)
BINARY(psubw)
BINARY(psubd)
BINARY(psubq)
BINARY(paddsb)
BINARY(paddsw)
BINARY(paddusb)
BINARY(paddusw)
BINARY(psubsb)
BINARY(psubsw)
BINARY(psubusb)
BINARY(psubusw)
BINARY(pavgb)
BINARY(pavgw)
BINARY(psadbw)
BINARY(pcmpeqb)
BINARY(pcmpeqw)
BINARY(pcmpeqd)
BINARY(pcmpgtb)
BINARY(pcmpgtw)
BINARY(pcmpgtd)
BINARY(pminub)
BINARY(pmaxub)
BINARY(pminsw)
BINARY(pmaxsw)
BINARY(pmullw)
BINARY(pmulhw)
BINARY(pmulhuw)
BINARY(pmuludq)
BINARY(pmaddwd)
BINARY_FORM(punpcklbw, punpcklbw, MMX_INTERLEAVED_LOW)
BINARY_FORM(punpcklwd, punpcklwd, MMX_INTERLEAVED_LOW)
BINARY_FORM(punpckldq, punpckldq, MMX_INTERLEAVED_LOW)
BINARY(punpcklqdq)
BINARY(punpckhqdq)
BINARY_FORM(packsswb, packsswb, MMX_PACKED)
BINARY_FORM(packuswb, packuswb, MMX_PACKED)
BINARY_FORM(packssdw, packssdw, MMX_PACKED)

/* The high half of an MMX register is interleaved as the low lane's second half is. */
#define INTERLEAVE_HIGH(name, low)                                                                          \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        if (is_mmx(in->dst))                                                                                \
            binary(cpu, in, verb_##low, MMX_INTERLEAVED_HIGH);                                              \
        else                                                                                                \
            binary(cpu, in, verb_##name, MMX_LOW);                                                          \
    }

INTERLEAVE_HIGH(punpckhbw, punpcklbw)
INTERLEAVE_HIGH(punpckhwd, punpcklwd)
INTERLEAVE_HIGH(punpckhdq, punpckldq)

/* UNPCKLPS and friends move bits; only their names know of floats. */
BINARY_FORM(unpcklps, punpckldq, MMX_LOW)
BINARY_FORM(unpckhps, punpckhdq, MMX_LOW)
BINARY_FORM(unpcklpd, punpcklqdq, MMX_LOW)
BINARY_FORM(unpckhpd, punpckhqdq, MMX_LOW)

/* The count is an immediate, or the low 64 bits of operand 1. */
static void shift(CPU, IN, shift_fn *f)
{
    union vector a, b, r;
    unsigned size = vector_size(in);
    u64 count = (u8)in->imm;

    if (in->shape != S_RI) {
        vector_source(cpu, in, &b, size);
        count = b.q[0];
    }
    vector_get(cpu, in->dst, &a);
    *(v128 *)r.q = f(low_lane(&a), count);
    vector_put(cpu, in->dst, &r, size);
}

#define SHIFT(name)                                                                                         \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        shift(cpu, in, verb_##name);                                                                        \
    }

SHIFT(psllw)
SHIFT(pslld)
SHIFT(psllq)
SHIFT(psrlw)
SHIFT(psrld)
SHIFT(psrlq)
SHIFT(psraw)
SHIFT(psrad)
SHIFT(pslldq)
SHIFT(psrldq)
