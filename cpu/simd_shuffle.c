/* SPDX-License-Identifier: MIT */
/* Shuffles by an immediate, single elements in and out of vectors, sign masks. */
#include "cpu/vector_verbs.h"

void vector_shuffle(CPU, IN, shuffle_fn *f)
{
    union vector a, b, r;
    unsigned size = vector_size(in);

    vector_source(cpu, in, &b, size);
    vector_get(cpu, left_register(in), &a);
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(&r, i) = f(LANE(&a, i), LANE(&b, i), (u8)in->imm, i);
    vector_put(cpu, in, &r, size);
}

VECTOR_SHUFFLE(pshufd, shuffle_d(b, b, imm))
VECTOR_SHUFFLE(pshuflw, ((v128){ shuffle_w(b[0], imm), b[1] }))
VECTOR_SHUFFLE(pshufhw, ((v128){ b[0], shuffle_w(b[1], imm) }))
VECTOR_SHUFFLE(pshufw, ((v128){ shuffle_w(b[0], imm), 0 }))
VECTOR_SHUFFLE(shufps, shuffle_d(a, b, imm))
VECTOR_SHUFFLE(shufpd, ((v128){ a[imm >> 2 * lane & 1], b[imm >> (2 * lane + 1) & 1] }))

/* A piece from a general register or memory. */
static void insert(CPU, IN, unsigned piece)
{
    union vector v, w;
    unsigned size = vector_size(in);

    vector_source(cpu, in, &w, piece);
    vector_get(cpu, left_register(in), &v);
    memcpy(v.b + (in->imm & (size / piece - 1)) * piece, &w, piece);
    vector_put(cpu, in, &v, size);
}

void op_pinsrw(CPU, IN)
{
    insert(cpu, in, 2);
}

void op_pinsrb(CPU, IN)
{
    insert(cpu, in, 1);
}

void op_pinsrd(CPU, IN)
{
    insert(cpu, in, 4);
}

void op_pinsrq(CPU, IN)
{
    insert(cpu, in, 8);
}

/* A piece to memory, or zero-extended to a general register. */
static void extract(CPU, IN, unsigned piece)
{
    union vector v;
    u64 value;

    vector_get(cpu, in->src, &v);
    value = load_bytes(v.b + (in->imm & ((is_mmx(in->src) ? 8 : 16) / piece - 1)) * piece, piece);
    if (shape_operand(in, 0) == 'M')
        vector_store(cpu, in, &value, piece, 0);
    else
        REG64(in->dst) = value;
    if (is_mmx(in->src))
        mmx_enter(cpu);
}

void op_pextrw(CPU, IN)
{
    extract(cpu, in, 2);
}

void op_pextrb(CPU, IN)
{
    extract(cpu, in, 1);
}

void op_pextrd(CPU, IN)
{
    extract(cpu, in, 4);
}

void op_pextrq(CPU, IN)
{
    extract(cpu, in, 8);
}

/* imm is the source's width (WIDTH_SRC). */
void op_pmovmskb(CPU, IN)
{
    union vector v;
    u64 r;

    vector_get(cpu, in->src, &v);
    r = signs_of_bytes(v.q[0]);
    if (!is_mmx(in->src))
        r |= signs_of_bytes(v.q[1]) << 8;
    if (in->imm == W256)
        r |= signs_of_bytes(v.q[2]) << 16 | (u64)signs_of_bytes(v.q[3]) << 24;
    REG64(in->dst) = r;
    if (is_mmx(in->src))
        mmx_enter(cpu);
}

static void signs(CPU, IN, unsigned piece)
{
    const union vector *v = xmm(cpu, in->src);
    unsigned n = (in->imm == W256 ? 32 : 16) / piece;
    u64 r = 0;

    for (unsigned i = 0; i < n; i++)
        r |= (u64)(v->b[(i + 1) * piece - 1] >> 7) << i;
    REG64(in->dst) = r;
}

void op_movmskps(CPU, IN)
{
    signs(cpu, in, 4);
}

void op_movmskpd(CPU, IN)
{
    signs(cpu, in, 8);
}
