/* SPDX-License-Identifier: MIT */
/* Moves of vector registers, whole and in part, and the stores under a mask. */
#include "cpu/vector.h"

/* All bytes between registers and memory. */
static void move(CPU, IN, unsigned access)
{
    unsigned size = in->width == W256 ? 32 : 16;
    union vector v;

    if (shape_operand(in, 1) == 'M') {
        vector_load(cpu, in, &v, size, access);
        vector_put(cpu, in, &v, size);
    } else if (shape_operand(in, 0) == 'M') {
        vector_store(cpu, in, xmm(cpu, in->src), size, access);
    } else {
        vector_put(cpu, in, xmm(cpu, in->src), size);
    }
}

#define MOVE(name, access)                                                                                  \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        move(cpu, in, access);                                                                              \
    }

MOVE(movaps, ACCESS_ALIGNED)
MOVE(movups, 0)

/*
 * The low 4 or 8 bytes between registers of any kind and memory; what the destination has beyond becomes
 * zero.
 */
static void move_low(CPU, IN, unsigned size)
{
    bool from_memory = shape_operand(in, 1) == 'M', to_memory = shape_operand(in, 0) == 'M';
    union vector v;

    if (from_memory) {
        v.q[0] = 0;
        vector_load(cpu, in, &v, size, 0);
    } else {
        vector_get(cpu, in->src, &v);
        v.q[0] &= ones(8 * size);
    }
    v.q[1] = 0;
    if (to_memory)
        vector_store(cpu, in, &v, size, 0);
    else if (in->dst >= REG_XMM)
        vector_put(cpu, in, &v, 16);
    else
        REG64(in->dst) = v.q[0];
    if (!from_memory && is_mmx(in->src))
        mmx_enter(cpu);
}

void op_movd(CPU, IN)
{
    move_low(cpu, in, 4);
}

void op_movq(CPU, IN)
{
    move_low(cpu, in, 8);
}

/* MOVQ2DQ and MOVDQ2Q are that too, by their operands' kinds. MOVNTQ only stores. */

/* MOVSS and MOVSD: between registers, the rest is the left source's; from memory it becomes zero. */
static void move_scalar(CPU, IN, unsigned size)
{
    union vector a, b;

    if (in->shape == S_RM || in->shape == S_MR) {
        move_low(cpu, in, size);
        return;
    }
    vector_source(cpu, in, &b, size);
    vector_get(cpu, left_register(in), &a);
    memcpy(&a, &b, size);
    vector_put(cpu, in, &a, 16);
}

void op_movss(CPU, IN)
{
    move_scalar(cpu, in, 4);
}

void op_movsd_vector(CPU, IN)
{
    move_scalar(cpu, in, 8);
}

/*
 * 8 bytes from half `from` of the right source or from memory to half `to` of the destination, whose other
 * half is the left source's.
 */
static void move_half(CPU, IN, unsigned to, unsigned from)
{
    unsigned n = right_operand(in);
    union vector a;
    u64 v;

    if (shape_operand(in, 0) == 'M') {
        vector_store(cpu, in, &xmm(cpu, in->src)->q[from], 8, 0);
        return;
    }
    if (shape_operand(in, n) == 'M')
        vector_load(cpu, in, &v, 8, 0);
    else
        v = xmm(cpu, operand_register(in, n))->q[from];
    vector_get(cpu, left_register(in), &a);
    a.q[to] = v;
    vector_put(cpu, in, &a, 16);
}

void op_movlps(CPU, IN)
{
    move_half(cpu, in, 0, 0);
}

void op_movhps(CPU, IN)
{
    move_half(cpu, in, 1, 1);
}

void op_movhlps(CPU, IN)
{
    move_half(cpu, in, 0, 1);
}

void op_movlhps(CPU, IN)
{
    move_half(cpu, in, 1, 0);
}

/*
 * Bytes of the source whose mask byte has its top bit set go to DS:rDI; the others aren't touched. As seen on a Zen 3
 * and a Zen 4, all of the bytes must be writable whatever the mask, 8 of them after the other 8 (the end of canonical
 * addresses in the second half is no #GP while the first half's page is missing), and a fault finds the MMX state
 * entered.
 */
static void move_masked(CPU, IN, unsigned size)
{
    union vector v, mask;
    struct place p[2];
    u64 rdi = cpu->gpr[RDI], address_mask = ones(16u << (in->address - W16)), written[2] = { 0 };

    vector_get(cpu, in->dst, &v);
    vector_get(cpu, in->src, &mask);
    if (is_mmx(in->dst))
        mmx_enter(cpu);
    for (unsigned i = 0; i < size / 8; i++)
        place_segment(cpu, &p[i], in->segment, (rdi + 8 * i) & address_mask, 8,
                      ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_PROBE);
    for (unsigned i = 0; i < size; i++)
        if (mask.b[i] >> 7) {
            p[i / 8].bytes[i % 8] = v.b[i];
            written[i / 8] |= (u64)1 << i % 8;
        }
    for (unsigned i = 0; i < size / 8; i++)
        place_commit_masked(cpu, &p[i], written[i]);
}

void op_maskmovdqu(CPU, IN)
{
    move_masked(cpu, in, 16);
}

void op_maskmovq(CPU, IN)
{
    move_masked(cpu, in, 8);
}

/*
 * The cache line that rAX points into, zeroed. Where the segment begins within a line, the line is found by linear address, and
 * must be in the segment from its first byte on (Zen 3).
 */
void op_clzero(CPU, IN)
{
    struct place p;
    bool is_flat = in_code64(cpu) && in->segment < FS;
    u64 rax = cpu->gpr[RAX] & ones(16u << (in->address - W16)), base = is_flat ? 0 : cpu->seg[in->segment].base;
    u64 offset = rax - ((base + rax) & 63);

    if (!in_code64(cpu))
        offset = (u32)offset;
    place_segment(cpu, &p, in->segment, offset, 64, ACCESS_WRITE | ACCESS_PLAIN);
    fill_bytes(p.bytes, 0, 64);
    place_commit(cpu, &p);
}

void op_emms(CPU, IN)
{
    (void)in;
    mmx_enter(cpu);
    cpu->x87.valid = 0;
}
