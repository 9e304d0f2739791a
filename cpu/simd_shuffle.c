/* SPDX-License-Identifier: MIT */
/* Shuffles by an immediate, single elements in and out of vectors, sign masks. */
#include "cpu/vector_verbs.h"

/* op xmm, xmm/m128, imm8 on copies of both operands. */
#define SHUFFLE(name, size, expr)                                                                           \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        union vector a, b, r;                                                                               \
        unsigned imm = (u8)in->imm;                                                                         \
                                                                                                            \
        vector_source(cpu, in, &b, size);                                                                   \
        vector_get(cpu, in->dst, &a);                                                                       \
        r = b;                                                                                              \
        expr;                                                                                               \
        vector_put(cpu, in->dst, &r, size);                                                                 \
    }

SHUFFLE(pshufd, 16, *(v128 *)r.q = shuffle_d(*(v128 *)b.q, *(v128 *)b.q, imm))
SHUFFLE(pshuflw, 16, r.q[0] = shuffle_w(b.q[0], imm))
SHUFFLE(pshufhw, 16, r.q[1] = shuffle_w(b.q[1], imm))
SHUFFLE(pshufw, 8, r.q[0] = shuffle_w(b.q[0], imm))
SHUFFLE(shufps, 16, *(v128 *)r.q = shuffle_d(*(v128 *)a.q, *(v128 *)b.q, imm))
SHUFFLE(shufpd, 16, r.q[0] = a.q[imm & 1]; r.q[1] = b.q[imm >> 1 & 1])

/* PINSRW: a word from a general register or memory. */
void op_pinsrw(CPU, IN)
{
    union vector v, w;
    unsigned size = vector_size(in);

    vector_source(cpu, in, &w, 2);
    vector_get(cpu, in->dst, &v);
    v.w[in->imm & (size / 2 - 1)] = w.w[0];
    vector_put(cpu, in->dst, &v, size);
}

/* PEXTRW: to a general register, zero-extended. SSE4.1's form has memory too. */
void op_pextrw(CPU, IN)
{
    union vector v;
    u16 word;

    vector_get(cpu, in->src, &v);
    word = v.w[in->imm & (is_mmx(in->src) ? 3 : 7)];
    if (shape_operand(in, 0) == 'M')
        vector_store(cpu, in, &word, 2, 0);
    else
        REG64(in->dst) = word;
    if (is_mmx(in->src))
        mmx_enter(cpu);
}

void op_pmovmskb(CPU, IN)
{
    union vector v;

    vector_get(cpu, in->src, &v);
    REG64(in->dst) = signs_of_bytes(v.q[0]) | signs_of_bytes(v.q[1]) << 8;
    if (is_mmx(in->src))
        mmx_enter(cpu);
}

void op_movmskps(CPU, IN)
{
    const union vector *v = xmm(cpu, in->src);

    REG64(in->dst) = v->d[0] >> 31 | v->d[1] >> 31 << 1 | v->d[2] >> 31 << 2 | v->d[3] >> 31 << 3;
}

void op_movmskpd(CPU, IN)
{
    const union vector *v = xmm(cpu, in->src);

    REG64(in->dst) = v->q[0] >> 63 | v->q[1] >> 63 << 1;
}
