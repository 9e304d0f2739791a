/* SPDX-License-Identifier: MIT */
/*
 * Integer arithmetic, logic, comparisons, packing and shifts, on MMX, XMM and YMM registers alike.
 */
#include "cpu/vector_verbs.h"

typedef v128 shift_fn(v128 a, u64 count);

void vector_binary(CPU, IN, binary_fn *f, enum mmx_form form)
{
    union vector a, b, r;
    unsigned size = vector_size(in);

    vector_source(cpu, in, &b, size == 8 && form == MMX_INTERLEAVED_LOW ? 4 : size);
    vector_get(cpu, left_register(in), &a);
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(&r, i) = f(LANE(&a, i), LANE(&b, i));
    if (size == 8 && form == MMX_INTERLEAVED_HIGH)
        r.q[0] = r.q[1];
    if (size == 8 && form == MMX_PACKED)
        r.d[1] = r.d[2];
    vector_put(cpu, in, &r, size);
}

#define BINARY_FORM(name, verb, form)                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        vector_binary(cpu, in, verb_##verb, form);                                                          \
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

/* SSSE3 */
BINARY(pabsb)
BINARY(pabsw)
BINARY(pabsd)
BINARY_FORM(phaddw, phaddw, MMX_PACKED)
BINARY_FORM(phaddd, phaddd, MMX_PACKED)
BINARY_FORM(phaddsw, phaddsw, MMX_PACKED)
BINARY_FORM(phsubw, phsubw, MMX_PACKED)
BINARY_FORM(phsubd, phsubd, MMX_PACKED)
BINARY_FORM(phsubsw, phsubsw, MMX_PACKED)
BINARY(pmaddubsw)
BINARY(pmulhrsw)
BINARY(psignb)
BINARY(psignw)
BINARY(psignd)

void op_pshufb(CPU, IN)
{
    vector_binary(cpu, in, is_mmx(in->dst) ? verb_pshufb_mmx : verb_pshufb, MMX_LOW);
}

/* SSE4.1 and SSE4.2: no MMX registers */
BINARY(packusdw)
BINARY(pcmpeqq)
BINARY(pcmpgtq)
BINARY(pminsb)
BINARY(pminsd)
BINARY(pminud)
BINARY(pminuw)
BINARY(pmaxsb)
BINARY(pmaxsd)
BINARY(pmaxud)
BINARY(pmaxuw)
BINARY(pmuldq)
BINARY(pmulld)
BINARY(phminposuw)

/* The high half of an MMX register is interleaved as the low lane's second half is. */
#define INTERLEAVE_HIGH(name, low)                                                                          \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        if (is_mmx(in->dst))                                                                                \
            vector_binary(cpu, in, verb_##low, MMX_INTERLEAVED_HIGH);                                       \
        else                                                                                                \
            vector_binary(cpu, in, verb_##name, MMX_LOW);                                                   \
    }

INTERLEAVE_HIGH(punpckhbw, punpcklbw)
INTERLEAVE_HIGH(punpckhwd, punpcklwd)
INTERLEAVE_HIGH(punpckhdq, punpckldq)

/* UNPCKLPS and friends move bits; only their names know of floats. */
BINARY_FORM(unpcklps, punpckldq, MMX_LOW)
BINARY_FORM(unpckhps, punpckhdq, MMX_LOW)
BINARY_FORM(unpcklpd, punpcklqdq, MMX_LOW)
BINARY_FORM(unpckhpd, punpckhqdq, MMX_LOW)

/* The count is an immediate, or the low 64 bits of the right source, of which memory has 16 bytes. */
static void shift(CPU, IN, shift_fn *f)
{
    union vector a, b, r;
    unsigned size = vector_size(in);
    u64 count = (u8)in->imm;
    bool by_immediate = in->shape == S_RI || in->shape == S_RRI;

    if (!by_immediate) {
        vector_source(cpu, in, &b, size == 8 ? 8 : 16);
        count = b.q[0];
    }
    vector_get(cpu, in->shape == S_RRI ? in->src : left_register(in), &a);
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(&r, i) = f(LANE(&a, i), count);
    vector_put(cpu, in, &r, size);
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
