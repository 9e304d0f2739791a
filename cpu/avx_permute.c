/* SPDX-License-Identifier: MIT */
/* What AVX and AVX2 move between lanes and elements, and shifts of each element by its own count. */
#include "cpu/vector_verbs.h"

/* ---- one element in all places ---- */

static void broadcast(CPU, IN, unsigned piece)
{
    unsigned size = vector_size(in);
    union vector v;

    vector_source(cpu, in, &v, piece);
    for (unsigned i = piece; i < size; i += piece)
        memcpy(v.b + i, v.b, piece);
    vector_put(cpu, in, &v, size);
}

void op_broadcast8(CPU, IN)
{
    broadcast(cpu, in, 1);
}

void op_broadcast16(CPU, IN)
{
    broadcast(cpu, in, 2);
}

void op_broadcast32(CPU, IN)
{
    broadcast(cpu, in, 4);
}

void op_broadcast64(CPU, IN)
{
    broadcast(cpu, in, 8);
}

void op_broadcast128(CPU, IN)
{
    broadcast(cpu, in, 16);
}

/* ---- 128-bit halves ---- */

void op_insert128(CPU, IN)
{
    union vector a, b;

    vector_source(cpu, in, &b, 16);
    vector_get(cpu, in->src, &a);
    LANE(&a, in->imm & 1) = LANE(&b, 0);
    vector_put(cpu, in, &a, 32);
}

void op_extract128(CPU, IN)
{
    union vector v;

    vector_get(cpu, in->src, &v);
    LANE(&v, 0) = LANE(&v, in->imm & 1);
    if (shape_operand(in, 0) == 'M')
        vector_store(cpu, in, &v, 16, 0);
    else
        vector_put(cpu, in, &v, 16);
}

/* Each half of the result: one of four, or zeros. */
void op_permute128(CPU, IN)
{
    union vector a, b, r;

    vector_source(cpu, in, &b, 32);
    vector_get(cpu, in->src, &a);
    for (unsigned i = 0; i < 2; i++) {
        unsigned control = (unsigned)in->imm >> 4 * i;

        const union vector *from = control & 2 ? &b : &a;

        LANE(&r, i) = control & 8 ? (v128){ 0, 0 } : LANE(from, control & 1);
    }
    vector_put(cpu, in, &r, 32);
}

/* ---- elements within their lane: by an immediate, or by the right source ---- */

void op_permilps(CPU, IN)
{
    unsigned size = vector_size(in);
    bool by_vector = has_two_sources(in);
    union vector v, control, r;

    vector_source(cpu, in, by_vector ? &control : &v, size);
    if (by_vector)
        vector_get(cpu, in->src, &v);
    for (unsigned i = 0; i < size / 4; i++) {
        u64 n = by_vector ? control.d[i] : in->imm >> 2 * (i & 3);

        r.d[i] = v.d[(i & ~3u) | (n & 3)];
    }
    vector_put(cpu, in, &r, size);
}

void op_permilpd(CPU, IN)
{
    unsigned size = vector_size(in);
    bool by_vector = has_two_sources(in);
    union vector v, control, r;

    vector_source(cpu, in, by_vector ? &control : &v, size);
    if (by_vector)
        vector_get(cpu, in->src, &v);
    for (unsigned i = 0; i < size / 8; i++) {
        u64 n = by_vector ? control.q[i] >> 1 : in->imm >> i;

        r.q[i] = v.q[(i & ~1u) | (n & 1)];
    }
    vector_put(cpu, in, &r, size);
}

/* ---- elements of the whole register ---- */

void op_permd(CPU, IN)
{
    union vector v, control, r;

    vector_source(cpu, in, &v, 32);
    vector_get(cpu, in->src, &control);
    for (unsigned i = 0; i < 8; i++)
        r.d[i] = v.d[control.d[i] & 7];
    vector_put(cpu, in, &r, 32);
}

void op_permq(CPU, IN)
{
    union vector v, r;

    vector_source(cpu, in, &v, 32);
    for (unsigned i = 0; i < 4; i++)
        r.q[i] = v.q[in->imm >> 2 * i & 3];
    vector_put(cpu, in, &r, 32);
}

/* ---- shifts by counts of the elements' own ---- */

LANE_VERB(psllvd, u32, y < 32 ? x << y : 0)
LANE_VERB(psllvq, u64, y < 64 ? x << y : 0)
LANE_VERB(psrlvd, u32, y < 32 ? x >> y : 0)
LANE_VERB(psrlvq, u64, y < 64 ? x >> y : 0)
LANE_VERB(psravd, i32, x >> ((u32)y < 32 ? y : 31))

#define VARIABLE_SHIFT(name)                                                                                \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        vector_binary(cpu, in, verb_##name, MMX_LOW);                                                       \
    }

VARIABLE_SHIFT(psllvd)
VARIABLE_SHIFT(psllvq)
VARIABLE_SHIFT(psrlvd)
VARIABLE_SHIFT(psrlvq)
VARIABLE_SHIFT(psravd)

/* ---- all registers ---- */

static void zero(CPU, unsigned from)
{
    for (unsigned i = 0; i < (in_code64(cpu) ? 16 : 8); i++)
        memset(cpu->vec[i].b + from, 0, sizeof cpu->vec[i] - from);
}

void op_zeroall(CPU, IN)
{
    (void)in;
    zero(cpu, 0);
}

void op_zeroupper(CPU, IN)
{
    (void)in;
    zero(cpu, 16);
}
