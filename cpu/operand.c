/* SPDX-License-Identifier: MIT */
/* Operands of integer instructions as bodies see them, whatever their shape, and the stack. */
#include "cpu/handler.h"

u64 operand_read(CPU, IN, unsigned n, unsigned width)
{
    struct place p;

    switch (shape_operand(in, n)) {
    case 'R': return reg_read(cpu, operand_register(in, n), width);
    case 'I': return in->imm & ones(width);
    default:
        place_operand(cpu, in, &p, width / 8, ACCESS_READ);
        return load_sized(p.bytes, width / 8);
    }
}

void operand_open(CPU, IN, unsigned n, unsigned width, unsigned access, struct operand *o)
{
    o->width = (u8)width;
    o->in_memory = shape_operand(in, n) == 'M';
    if (o->in_memory)
        place_operand(cpu, in, &o->place, width / 8, access);
    else
        o->offset = (u8)operand_register(in, n);
}

u64 operand_value(CPU, const struct operand *o)
{
    return o->in_memory ? load_sized(o->place.bytes, o->width / 8u) : reg_read(cpu, o->offset, o->width);
}

void operand_close(CPU, struct operand *o, u64 value)
{
    if (o->in_memory) {
        store_sized(o->place.bytes, value, o->width / 8u);
        place_commit(cpu, &o->place);
    } else {
        reg_write(cpu, o->offset, o->width, value);
    }
}

bool operand_exchange(CPU, IN, struct operand *o, u64 old, u64 value)
{
    u128 expected = old;

    if (!in->lock || !o->in_memory) {
        operand_close(cpu, o, value);
        return true;
    }
    if (place_compare_exchange(cpu, &o->place, &expected, value & ones(o->width)))
        return true;
    if (o->place.bytes == o->place.bounce) /* a copy, which the next operand_value() reads */
        store_sized(o->place.bytes, (u64)expected, o->width / 8u);
    return false;
}

unsigned stack_width(const struct vcpu *cpu)
{
    return 16u << ((cpu->mode & MODE_STACK) >> MODE_STACK_SHIFT);
}

u64 stack_pointer(const struct vcpu *cpu)
{
    return cpu->gpr[RSP] & ones(stack_width(cpu));
}

void stack_set_pointer(CPU, u64 rsp)
{
    reg_write(cpu, RSP * 8, stack_width(cpu), rsp);
}

u64 stack_read(CPU, u64 offset, unsigned size)
{
    if (in_code64(cpu)) {
        const void *host = place_hit(cpu, offset, size, false);

        if (likely(host != NULL))
            return load_sized(host, size);
    }
    return mem_read(cpu, SS, offset & ones(stack_width(cpu)), size);
}

void stack_write(CPU, u64 offset, unsigned size, u64 value)
{
    struct place p;

    place_segment(cpu, &p, SS, offset & ones(stack_width(cpu)), size, ACCESS_WRITE | ACCESS_RINGS);
    store_sized(p.bytes, value, size);
    place_commit(cpu, &p);
}
