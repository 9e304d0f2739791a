/* SPDX-License-Identifier: MIT */
/* PUSH and POP of general and segment registers, PUSHA, POPA, ENTER and LEAVE. The pointer moves last. */
#include "cpu/handler.h"
#include "cpu/segments.h"

body_fn op_push, op_push_segment, op_pop, op_pop_segment, op_pusha, op_popa, op_enter, op_leave;

static void push(CPU, u64 v, unsigned size)
{
    u64 sp = stack_pointer(cpu) - size;

    stack_write(cpu, sp, size, v);
    stack_set_pointer(cpu, sp);
}

void op_push(CPU, IN)
{
    unsigned width = width_bits(in->width);

    push(cpu, operand_read(cpu, in, 0, width), width / 8);
}

/* The selector is zero-extended to the operand size, as AMD's processors write it. */
void op_push_segment(CPU, IN)
{
    push(cpu, cpu->seg[in->dst].selector, width_size(in->width));
}

/* The destination's address counts from the pointer after the pop; the register's value after that. */
void op_pop(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8;
    u64 sp = stack_pointer(cpu), old = cpu->gpr[RSP], v = stack_read(cpu, sp, size);

    if (shape_operand(in, 0) == 'R') {
        stack_set_pointer(cpu, sp + size);
        reg_write(cpu, in->dst, width, v);
        return;
    }
    u64 offset = operand_offset(cpu, in);
    struct place p;

    if (in->base == RSP * 8) {
        stack_set_pointer(cpu, sp + size);
        offset = operand_offset(cpu, in);
        cpu->gpr[RSP] = old; /* the store may raise */
    }
    place_segment(cpu, &p, in->segment, offset, size, ACCESS_WRITE | ACCESS_RINGS);
    store_sized(p.bytes, v, size);
    place_commit(cpu, &p);
    stack_set_pointer(cpu, sp + size);
}

/*
 * POP of a segment register reads a whole operand and uses its low half. After POP SS nothing interrupts the
 * next one.
 */
void op_pop_segment(CPU, IN)
{
    unsigned size = width_size(in->width), segment = in->dst, pointer_width = stack_width(cpu);
    u64 sp = stack_pointer(cpu);
    u16 selector = (u16)stack_read(cpu, sp, size);

    segment_load(cpu, segment, selector);
    reg_write(cpu, RSP * 8, pointer_width, sp + size); /* POP SS may have changed SS.B */
    if (segment == SS) {
        cpu->shadow = cpu->shadow_ss = true;
        __atomic_fetch_or(&cpu->attention, ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    }
}

/* One store of several. */
static void frame_write(CPU, u64 offset, unsigned size, u64 value)
{
    mem_write(cpu, SS, offset & ones(stack_width(cpu)), size, value);
}

/* What was pushed before a fault is there below the pointer, which hasn't moved (Zen 3). */
void op_pusha(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8;
    u64 sp = stack_pointer(cpu);

    for (unsigned i = 0; i < 8; i++) /* the pointer as it was */
        frame_write(cpu, sp - (i + 1) * size, size, reg_read(cpu, i * 8, width));
    stack_set_pointer(cpu, sp - 8 * size);
}

/*
 * The stored pointer is read and not used. What was popped before a fault stays popped, as on AMD's
 * processors; the pointer hasn't moved then.
 */
void op_popa(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8;
    u64 sp = stack_pointer(cpu);

    for (unsigned i = 0; i < 8; i++) {
        u64 v = stack_read(cpu, sp + i * size, size);

        if (7 - i != RSP)
            reg_write(cpu, (7 - i) * 8, width, v);
    }
    stack_set_pointer(cpu, sp + 8 * size);
}

/*
 * ENTER size, level: bits 15:0 and 23:16 of imm. The old frame pointer, the level - 1 frame pointers of the
 * outer frames, and the new one go to the stack one by one, so that later ones may read earlier ones; then
 * the end of the new frame must be writable. Only then do the registers change: a fault leaves what was
 * pushed below the pointer.
 */
void op_enter(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8, level = (unsigned)(in->imm >> 16) & 31;
    u64 mask = ones(stack_width(cpu)), sp = stack_pointer(cpu) - size, outer = cpu->gpr[RBP];
    u64 frame = (cpu->gpr[RSP] & ~mask) | (sp & mask); /* of the operand's size, also with a 16-bit stack (Zen 3) */
    struct place end;

    frame_write(cpu, sp, size, reg_read(cpu, RBP * 8, width));
    for (unsigned i = 1; i < level; i++) {
        u64 v = stack_read(cpu, outer -= size, size);

        frame_write(cpu, sp -= size, size, v);
    }
    if (level > 0)
        frame_write(cpu, sp -= size, size, frame);
    sp = (sp - (u16)in->imm) & mask;
    place_segment(cpu, &end, SS, sp, size, ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_PROBE);
    reg_write(cpu, RBP * 8, width, frame);
    stack_set_pointer(cpu, sp);
}

void op_leave(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8;
    u64 sp = cpu->gpr[RBP] & ones(stack_width(cpu));
    u64 v = stack_read(cpu, sp, size);

    stack_set_pointer(cpu, sp + size);
    reg_write(cpu, RBP * 8, width, v);
}
