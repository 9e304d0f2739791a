/* SPDX-License-Identifier: MIT */
/* Bit tests, scans, counts and the BMI instructions. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

body_fn op_bt, op_bts, op_btr, op_btc, op_bsf, op_bsr, op_lzcnt, op_tzcnt, op_popcnt, op_andn, op_bextr,
    op_blsi, op_blsmsk, op_blsr, op_bzhi, op_pdep, op_pext;

enum bit_change { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/*
 * A register counts bits from the memory operand on, in both directions: the bit string. An immediate stays
 * within the operand. CF is the bit; the other flags, undefined but for ZF, stay as they are on AMD's
 * processors.
 */
static void bit_test(CPU, IN, enum bit_change change)
{
    unsigned width = width_bits(in->width);
    unsigned access = change == BIT_TEST ? ACCESS_READ : ACCESS_WRITE | ACCESS_READ_TOO;
    u64 n = operand_read(cpu, in, 1, width), old, bit = (u64)1 << (n & (width - 1));
    struct operand o;

    if (in->shape == S_MR) {
        i64 units = (i64)sign_extend(n, width) >> (in->width + 3);
        u64 offset = operand_offset(cpu, in) + (u64)units * (width / 8);

        o.in_memory = true;
        o.width = (u8)width;
        place_segment(cpu, &o.place, in->segment, offset & ones(width_bits(in->address)), width / 8, access);
    } else {
        operand_open(cpu, in, 0, width, access, &o);
    }
    if (change == BIT_TEST) {
        flags_set_cf(cpu, operand_value(cpu, &o) & bit);
        return;
    }
    do {
        old = operand_value(cpu, &o);
    } while (!operand_exchange(cpu, in, &o, old,
                               change == BIT_SET     ? old | bit
                               : change == BIT_RESET ? old & ~bit
                                                     : old ^ bit));
    flags_set_cf(cpu, old & bit);
}

void op_bt(CPU, IN)
{
    bit_test(cpu, in, BIT_TEST);
}

void op_bts(CPU, IN)
{
    bit_test(cpu, in, BIT_SET);
}

void op_btr(CPU, IN)
{
    bit_test(cpu, in, BIT_RESET);
}

void op_btc(CPU, IN)
{
    bit_test(cpu, in, BIT_COMPLEMENT);
}

/*
 * BSF and BSR: a source of zero sets ZF and leaves the destination. AMD's processors make PF the result's
 * and clear the others.
 */
static void scan(CPU, IN, bool reverse)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width);
    unsigned n = !v ? 0 : reverse ? 63 - (unsigned)__builtin_clzll(v) : (unsigned)__builtin_ctzll(v);

    flags_write(cpu, (v ? 0 : ZF) | (__builtin_parity(n) ? 0 : PF));
    if (v)
        reg_write(cpu, in->dst, width, n);
}

void op_bsf(CPU, IN)
{
    scan(cpu, in, false);
}

void op_bsr(CPU, IN)
{
    scan(cpu, in, true);
}

/*
 * LZCNT and TZCNT: CF tells a source of zero, ZF a result of zero. AMD's processors keep OF and clear the
 * others.
 */
static void count_zeros(CPU, IN, bool leading)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width);
    unsigned n = width;

    if (v)
        n = leading ? (unsigned)__builtin_clzll(v) - (64 - width) : (unsigned)__builtin_ctzll(v);
    reg_write(cpu, in->dst, width, n);
    flags_change(cpu, STATUS & ~OF, (n ? 0 : ZF) | (v ? 0 : CF));
}

void op_lzcnt(CPU, IN)
{
    count_zeros(cpu, in, true);
}

void op_tzcnt(CPU, IN)
{
    count_zeros(cpu, in, false);
}

void op_popcnt(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width);

    reg_write(cpu, in->dst, width, (u64)__builtin_popcountll(v));
    flags_write(cpu, v ? 0 : ZF);
}

/* ---- BMI1 and BMI2 ---- */

void op_andn(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 r = ~operand_read(cpu, in, 1, width) & operand_read(cpu, in, 2, width);

    reg_write(cpu, in->dst, width, r);
    flags_logic(cpu, r, width);
}

void op_bextr(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), control = operand_read(cpu, in, 2, 16);
    unsigned start = control & 0xff, length = (unsigned)(control >> 8);
    u64 r = start < width ? v >> start : 0;

    if (length < width)
        r &= ((u64)1 << length) - 1;
    reg_write(cpu, in->dst, width, r);
    /* AF, PF and SF are undefined: as on AMD's processors */
    flags_write(cpu, AF | (r ? 0 : ZF) | (__builtin_parity((u8)r) ? 0 : PF));
}

void op_blsi(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), r = v & -v;

    reg_write(cpu, in->dst, width, r);
    flags_set(cpu, r, width, v != 0, false, false);
}

void op_blsmsk(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), r = v ^ (v - 1);

    reg_write(cpu, in->dst, width, r);
    flags_set(cpu, r, width, v == 0, false, false);
}

void op_blsr(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), r = v & (v - 1);

    reg_write(cpu, in->dst, width, r);
    flags_set(cpu, r, width, v == 0, false, false);
}

void op_bzhi(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), n = operand_read(cpu, in, 2, 8);
    u64 r = n < width ? v & (((u64)1 << n) - 1) : v;

    reg_write(cpu, in->dst, width, r);
    flags_set(cpu, r, width, n >= width, false, false);
}

void op_pdep(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), mask = operand_read(cpu, in, 2, width), r = 0;

    for (; mask; mask &= mask - 1, v >>= 1)
        r |= v & 1 ? mask & -mask : 0;
    reg_write(cpu, in->dst, width, r);
}

void op_pext(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width), mask = operand_read(cpu, in, 2, width), r = 0;

    for (u64 bit = 1; mask; mask &= mask - 1, bit <<= 1)
        r |= v & mask & -mask ? bit : 0;
    reg_write(cpu, in->dst, width, r);
}
