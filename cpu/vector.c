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
        memcpy(v, xmm(cpu, reg), 16);
    else
        v->q[0] = REG64(reg);
}

void vector_source(CPU, IN, union vector *v, unsigned size)
{
    if (shape_operand(in, 1) != 'M') {
        vector_get(cpu, in->src, v);
        memset(v->b + size, 0, sizeof *v - size);
        return;
    }
    memset(v, 0, sizeof *v);
    vector_load(cpu, in, v, size, size == 16 ? arithmetic_alignment(cpu) : 0);
}

void vector_put(CPU, unsigned reg, const union vector *v, unsigned size)
{
    if (is_mmx(reg))
        mmx_write(cpu, reg, v->q[0]);
    else
        memcpy(xmm(cpu, reg), v, size);
}
