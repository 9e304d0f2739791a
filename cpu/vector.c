/* SPDX-License-Identifier: MIT */
/* Reading and writing the operands of vector instructions. */
#include "cpu/vector.h"

static void check_aligned(CPU, IN, unsigned size)
{
    if (is_misaligned(cpu, in, size))
        vcpu_raise(cpu, VECTOR_GP, 0);
}

/* The common sizes without a call. */
static void copy(void *to, const void *from, unsigned size)
{
    switch (size) {
    case 4: copy_bytes(to, from, 4); break;
    case 8: copy_bytes(to, from, 8); break;
    case 16: copy_bytes(to, from, 16); break;
    case 32: copy_bytes(to, from, 32); break;
    default: copy_bytes(to, from, size); break;
    }
}

void vector_load(CPU, IN, void *to, unsigned size, unsigned access)
{
    struct place p;

    if (access & ACCESS_ALIGNED)
        check_aligned(cpu, in, size);
    place_operand(cpu, in, &p, size, ACCESS_READ | access);
    copy(to, p.bytes, size);
}

void vector_store(CPU, IN, const void *from, unsigned size, unsigned access)
{
    struct place p;

    if (access & ACCESS_ALIGNED)
        check_aligned(cpu, in, size);
    place_operand(cpu, in, &p, size, ACCESS_WRITE | ACCESS_RINGS | access);
    copy(p.bytes, from, size);
    place_commit(cpu, &p);
}

void vector_get(CPU, unsigned reg, union vector *v)
{
    if (is_xmm(reg)) {
        LANE(v, 0) = LANE(xmm(cpu, reg), 0);
        LANE(v, 1) = LANE(xmm(cpu, reg), 1);
    } else {
        LANE(v, 0) = (v128){ is_mmx(reg) ? mmx_read(cpu, reg) : REG64(reg), 0 };
        LANE(v, 1) = (v128){ 0, 0 };
    }
}

static void source(CPU, IN, union vector *v, unsigned size, unsigned access)
{
    unsigned n = right_operand(in);

    if (shape_operand(in, n) == 'M') {
        LANE(v, 0) = LANE(v, 1) = (v128){ 0, 0 };
        vector_load(cpu, in, v, size, access);
        return;
    }
    vector_get(cpu, operand_register(in, n), v);
    if (size < 32)
        LANE(v, 1) = (v128){ 0, 0 };
    if (size < 16)
        v->q[1] = 0;
    if (size < 8)
        v->q[0] &= ones(8 * size);
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
    union vector *to = xmm(cpu, in->dst);

    if (is_mmx(in->dst)) {
        mmx_write(cpu, in->dst, v->q[0]);
    } else if (size < 16) {
        memcpy(to, v, size); /* no form of VEX does */
    } else {
        LANE(to, 0) = LANE(v, 0);
        if (size == 32)
            LANE(to, 1) = LANE(v, 1);
        else if (in->vex)
            LANE(to, 1) = (v128){ 0, 0 };
    }
}
