/* SPDX-License-Identifier: MIT */
/* Reading and writing the operands of vector instructions. */
#include "cpu/vector.h"

static void check_aligned(CPU, IN, unsigned size)
{
    if (is_misaligned(cpu, in, size))
        vcpu_raise(cpu, VECTOR_GP, 0);
}

void vector_load(CPU, IN, void *to, unsigned size, unsigned access)
{
    struct place p;

    if (access & ACCESS_ALIGNED)
        check_aligned(cpu, in, size);
    place_operand(cpu, in, &p, size, ACCESS_READ | access);
    memcpy(to, p.bytes, size);
}

void vector_store(CPU, IN, const void *from, unsigned size, unsigned access)
{
    struct place p;

    if (access & ACCESS_ALIGNED)
        check_aligned(cpu, in, size);
    place_operand(cpu, in, &p, size, ACCESS_WRITE | access);
    memcpy(p.bytes, from, size);
    place_commit(cpu, &p);
}

void vector_get(CPU, unsigned reg, union vector *v)
{
    memset(v, 0, sizeof *v);
    if (is_mmx(reg))
        v->q[0] = mmx_read(cpu, reg);
    else if (is_xmm(reg))
        memcpy(v, xmm(cpu, reg), 32);
    else
        v->q[0] = REG64(reg);
}

static void source(CPU, IN, union vector *v, unsigned size, unsigned access)
{
    unsigned n = right_operand(in);

    if (shape_operand(in, n) == 'M') {
        memset(v, 0, sizeof *v);
        vector_load(cpu, in, v, size, access);
    } else {
        vector_get(cpu, operand_register(in, n), v);
        memset(v->b + size, 0, sizeof *v - size);
    }
}

void vector_source(CPU, IN, union vector *v, unsigned size)
{
    source(cpu, in, v, size, size == 16 && !in->vex ? arithmetic_alignment(cpu) : 0);
}

void vector_source_loose(CPU, IN, union vector *v, unsigned size)
{
    source(cpu, in, v, size, 0);
}

void vector_put(CPU, IN, const union vector *v, unsigned size)
{
    if (is_mmx(in->dst)) {
        mmx_write(cpu, in->dst, v->q[0]);
        return;
    }
    union vector *to = xmm(cpu, in->dst);

    memmove(to, v, size);
    if (in->vex)
        memset(to->b + size, 0, sizeof *to - size);
}
