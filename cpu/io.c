/* SPDX-License-Identifier: MIT */
/*
 * Ports. They belong to the caller: IN, OUT, INS and OUTS leave once they are allowed, before any memory is
 * looked at. Only where the emulator library lends its callbacks (cpu->seam), are they carried out here.
 */
#include "cpu/handler.h"
#include "cpu/segments.h"
#include "exits/exit.h"

body_fn op_in, op_out, op_ins, op_outs;

/* A callback said no, and has noted why: the emulation ends, before this round. */
static NORETURN void refused(CPU)
{
    vcpu_rewind(cpu);
    vcpu_land(cpu);
}

static void port_in(CPU, u16 port, unsigned size, u32 *value)
{
    *value = 0;
    if (!cpu->seam->port_in(cpu->seam->context, port, size, value))
        refused(cpu);
}

static void port_out(CPU, u16 port, unsigned size, u32 value)
{
    if (!cpu->seam->port_out(cpu->seam->context, port, size, value))
        refused(cpu);
}

static u16 port_of(CPU, IN, unsigned operand)
{
    return shape_operand(in, operand) == 'I' ? (u8)in->imm : (u16)cpu->gpr[RDX];
}

void op_in(CPU, IN)
{
    unsigned size = width_size(in->width);
    u16 port = port_of(cpu, in, 1);
    u32 value;

    if (!cpu->seam) {
        io_check(cpu, port, size);
        exit_io(cpu, port, size, false, false, false);
        return;
    }
    port_in(cpu, port, size, &value);
    reg_write(cpu, RAX * 8, size * 8, value);
}

/* OUT imm8, AL has the shape RI, as if the accumulator came first. */
void op_out(CPU, IN)
{
    unsigned size = width_size(in->width);
    u16 port = port_of(cpu, in, 1);

    if (!cpu->seam) {
        io_check(cpu, port, size);
        exit_io(cpu, port, size, true, false, false);
        return;
    }
    port_out(cpu, port, size, (u32)reg_read(cpu, RAX * 8, size * 8));
}

/* Moves a string register on by one element. */
static void advance(CPU, unsigned reg, unsigned width, unsigned size)
{
    u64 v = reg_read(cpu, reg * 8, width);

    reg_write(cpu, reg * 8, width, cpu->rflags & DF ? v - size : v + size);
}

static void one_round(CPU, IN, bool is_write, u16 port, unsigned size)
{
    unsigned width = width_bits(in->address), reg = is_write ? RSI : RDI;
    struct place p;
    u32 value;

    place_segment(cpu, &p, is_write ? in->segment : ES, reg_read(cpu, reg * 8, width), size,
                  is_write ? ACCESS_READ : ACCESS_WRITE);
    if (is_write) {
        port_out(cpu, port, size, (u32)load_bytes(p.bytes, size));
    } else {
        port_in(cpu, port, size, &value);
        store_bytes(p.bytes, value, size);
        place_commit(cpu, &p);
    }
    advance(cpu, reg, width, size);
}

static void port_string(CPU, IN, bool is_write)
{
    unsigned size = width_size(in->width), width = width_bits(in->address);
    u16 port = (u16)cpu->gpr[RDX];

    if (!cpu->seam)
        io_check(cpu, port, size); /* even where no round follows */
    if (in->rep != REP_NONE && reg_read(cpu, RCX * 8, width) == 0)
        return;
    if (!cpu->seam) {
        exit_io(cpu, port, size, is_write, true, in->rep != REP_NONE);
        return;
    }
    if (in->rep == REP_NONE) {
        one_round(cpu, in, is_write, port, size);
        return;
    }
    for (u64 left = reg_read(cpu, RCX * 8, width); left > 0; left--) {
        one_round(cpu, in, is_write, port, size);
        reg_write(cpu, RCX * 8, width, left - 1);
        cpu->running_rf = left > 1; /* shows, should a later round not come to its end */
        if (left > 1 && ((cpu->attention & ATTENTION_NOW) || cpu->trap_due))
            string_pause(cpu);
    }
}

void op_ins(CPU, IN)
{
    port_string(cpu, in, false);
}

void op_outs(CPU, IN)
{
    port_string(cpu, in, true);
}
