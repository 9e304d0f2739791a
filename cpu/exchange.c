/* SPDX-License-Identifier: MIT */
/* Exchanges: two operands change places, or one changes if it is what was expected. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

body_fn op_xchg, op_xadd, op_cmpxchg, op_cmpxchg8b, op_cmpxchg16b;

/* Register and memory change places, always atomically. */
static void exchange_memory(CPU, struct operand *o, unsigned reg)
{
    u128 old = operand_value(cpu, o);

    while (!place_compare_exchange(cpu, &o->place, &old, reg_read(cpu, reg, o->width)))
        ;
    reg_write(cpu, reg, o->width, (u64)old);
}

void op_xchg(CPU, IN)
{
    unsigned width = width_bits(in->width);
    bool second = in->shape == S_RM; /* memory may stand on either side */
    unsigned reg = second ? in->dst : in->src;
    struct operand o;

    operand_open(cpu, in, second, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    if (o.in_memory) {
        exchange_memory(cpu, &o, reg);
        return;
    }
    u64 a = reg_read(cpu, in->dst, width), b = reg_read(cpu, in->src, width);

    reg_write(cpu, in->src, width, a);
    reg_write(cpu, in->dst, width, b);
}

void op_xadd(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 b = reg_read(cpu, in->src, width), a;
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    if (!o.in_memory) { /* the sum goes last: both may be one register */
        a = operand_value(cpu, &o);
        reg_write(cpu, in->src, width, a);
        operand_close(cpu, &o, verb_add(cpu, a, b, width, true));
        return;
    }
    do {
        a = operand_value(cpu, &o);
    } while (!operand_exchange(cpu, in, &o, a, verb_add(cpu, a, b, width, false)));
    verb_add(cpu, a, b, width, true);
    reg_write(cpu, in->src, width, a);
}

/* Memory is written whether it was equal or not; a register, and the accumulator, only where they change. */
void op_cmpxchg(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 accumulator = reg_read(cpu, RAX * 8, width), b = reg_read(cpu, in->src, width), a;
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    if (in->lock && o.in_memory) {
        u128 old = accumulator;

        place_compare_exchange(cpu, &o.place, &old, b);
        a = (u64)old; /* the accumulator, if it was equal */
    } else {
        a = operand_value(cpu, &o);
        if (o.in_memory || a == accumulator)
            operand_close(cpu, &o, a == accumulator ? b : a);
    }
    verb_sub(cpu, accumulator, a, width, true);
    if (a != accumulator)
        reg_write(cpu, RAX * 8, width, a);
}

/* EDX:EAX or RDX:RAX is compared, ECX:EBX or RCX:RBX stored; ZF alone tells. */
static void exchange_pair(CPU, IN, unsigned half)
{
    u128 old = (u128)reg_read(cpu, RDX * 8, half) << half | reg_read(cpu, RAX * 8, half);
    u128 desired = (u128)reg_read(cpu, RCX * 8, half) << half | reg_read(cpu, RBX * 8, half);
    struct place p;
    bool equal;

    place_operand(cpu, in, &p, half / 4, ACCESS_WRITE | ACCESS_READ_TOO);
    if (in->lock) {
        equal = place_compare_exchange(cpu, &p, &old, desired);
    } else {
        u128 now = 0;

        copy_bytes(&now, p.bytes, half / 4);
        equal = now == old;
        if (equal)
            now = desired;
        else
            old = now;
        copy_bytes(p.bytes, &now, half / 4);
        place_commit(cpu, &p);
    }
    flags_change(cpu, ZF, equal ? ZF : 0);
    if (!equal) {
        reg_write(cpu, RAX * 8, half, (u64)old);
        reg_write(cpu, RDX * 8, half, (u64)(old >> half));
    }
}

void op_cmpxchg8b(CPU, IN)
{
    exchange_pair(cpu, in, 32);
}

void op_cmpxchg16b(CPU, IN)
{
    u64 base = in->segment == FS || in->segment == GS ? cpu->seg[in->segment].base : 0;

    if ((operand_offset(cpu, in) + base) & 15) /* before the address is looked at otherwise */
        vcpu_raise(cpu, VECTOR_GP, 0);
    exchange_pair(cpu, in, 64);
}
