/* SPDX-License-Identifier: MIT */
/* Shifts and rotates. Counts are cut to 5 bits, 6 for 64-bit operands; a count of zero changes no flag. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

typedef u64 shift_fn(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags);

static unsigned count_mask(unsigned width)
{
    return width == 64 ? 63 : 31;
}

INLINE void shift(CPU, IN, shift_fn *verb)
{
    unsigned width = width_bits(in->width);
    unsigned count = (unsigned)operand_read(cpu, in, 1, 8) & count_mask(width);
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    u64 a = operand_value(cpu, &o);

    operand_close(cpu, &o, count ? verb(cpu, a, count, width, true) : a);
}

#define SHIFT(name)                                                                                          \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        shift(cpu, in, verb_##name);                                                                         \
    }

body_fn op_shl, op_shr, op_sar, op_rol, op_ror, op_rcl, op_rcr, op_shld, op_shrd, op_shlx, op_shrx, op_sarx,
    op_rorx;

SHIFT(shl)
SHIFT(shr)
SHIFT(sar)
SHIFT(rol)
SHIFT(ror)

/*
 * Through carry: width + 1 bits go round, CF above the operand. OF is the xor of the result's two top bits
 * (RCR), or of CF and the top bit (RCL), for any count.
 */
static u64 verb_rcl(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    unsigned n = count % (width + 1);
    u128 mask = ((u128)1 << (width + 1)) - 1, whole = (u128)flag_cf(cpu) << width | a;

    whole = (whole << n | whole >> (width + 1 - n)) & mask;
    if (flags)
        verb_flags_rotate(cpu, (u64)(whole << 63 >> width)); /* CF on bit 63, the top bit below it */
    return (u64)whole & ones(width);
}

static u64 verb_rcr(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    unsigned n = count % (width + 1);
    u128 mask = ((u128)1 << (width + 1)) - 1, whole = (u128)flag_cf(cpu) << width | a;

    whole = (whole >> n | whole << (width + 1 - n)) & mask;
    if (flags) {
        u64 r = (u64)whole & ones(width);
        u64 of = (r >> (width - 1) ^ r >> (width - 2)) & 1, cf = (u64)(whole >> width);

        verb_flags_rotate(cpu, cf << 63 | (cf ^ of) << 62);
    }
    return (u64)whole & ones(width);
}

SHIFT(rcl)
SHIFT(rcr)

/*
 * SHLD and SHRD: the shifted operand and what comes in stand side by side. With 16 bits a count above 16 is
 * undefined: on AMD's processors the second operand comes in again, and CF is clear.
 */
static void shift_double(CPU, IN, bool left)
{
    unsigned width = width_bits(in->width);
    unsigned count = (unsigned)operand_read(cpu, in, 2, 8) & count_mask(width);
    unsigned below = width == 16 ? 32 : width; /* bits that come in after the operand's own */
    u64 b = operand_read(cpu, in, 1, width), r;
    u128 row;
    bool last;
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    u64 a = operand_value(cpu, &o);

    if (count == 0) {
        operand_close(cpu, &o, a);
        return;
    }
    if (left) {
        row = width == 16 ? a << 32 | b << 16 | b : (u128)a << width | b;
        r = (u64)(row >> (below - count));
        last = row >> (below + width - count) & 1;
    } else {
        row = width == 16 ? b << 32 | b << 16 | a : (u128)b << width | a;
        r = (u64)(row >> count);
        last = row >> (count - 1) & 1;
    }
    r &= ones(width);
    if (count > width)
        last = false;
    bool top = r >> (width - 1) & 1, second = r >> (width - 2) & 1;
    bool of = left && count >= width ? last : top ^ (left ? last : second); /* undefined but for a count of 1 */

    operand_close(cpu, &o, r);
    flags_set(cpu, r, width, last, of, true);
}

void op_shld(CPU, IN)
{
    shift_double(cpu, in, true);
}

void op_shrd(CPU, IN)
{
    shift_double(cpu, in, false);
}

/* The VEX forms: no flags. */
static void shift_plain(CPU, IN, shift_fn *verb)
{
    unsigned width = width_bits(in->width);
    u64 a = operand_read(cpu, in, 1, width);
    unsigned count = (unsigned)operand_read(cpu, in, 2, 8) & count_mask(width);

    reg_write(cpu, in->dst, width, count ? verb(cpu, a, count, width, false) : a);
}

void op_shlx(CPU, IN)
{
    shift_plain(cpu, in, verb_shl);
}

void op_shrx(CPU, IN)
{
    shift_plain(cpu, in, verb_shr);
}

void op_sarx(CPU, IN)
{
    shift_plain(cpu, in, verb_sar);
}

void op_rorx(CPU, IN)
{
    shift_plain(cpu, in, verb_ror);
}
