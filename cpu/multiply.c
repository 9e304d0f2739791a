/* SPDX-License-Identifier: MIT */
/* Multiplication and division. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

body_fn op_mul, op_imul, op_div, op_idiv, op_mulx;

/* The double-width accumulator: AX, DX:AX, EDX:EAX or RDX:RAX. */
static u128 accumulator_read(CPU, unsigned width)
{
    if (width == 8)
        return (u16)cpu->gpr[RAX];
    return (u128)reg_read(cpu, RDX * 8, width) << width | reg_read(cpu, RAX * 8, width);
}

static void accumulator_write(CPU, unsigned width, u64 low, u64 high)
{
    if (width == 8) {
        reg_write(cpu, RAX * 8, 16, (low & 0xff) | high << 8);
    } else {
        reg_write(cpu, RAX * 8, width, low);
        reg_write(cpu, RDX * 8, width, high);
    }
}

void op_mul(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 b = operand_read(cpu, in, 0, width);
    u128 product = (u128)reg_read(cpu, RAX * 8, width) * b;
    u64 high = (u64)(product >> width);

    accumulator_write(cpu, width, (u64)product, high);
    verb_flags_product(cpu, high != 0);
}

void op_imul(CPU, IN)
{
    unsigned width = width_bits(in->width);

    if (in->shape == S_R || in->shape == S_M) {
        i64 b = (i64)sign_extend(operand_read(cpu, in, 0, width), width);
        i128 product = (i128)(i64)sign_extend(cpu->gpr[RAX], width) * b;
        bool over = product != (i64)sign_extend((u64)product, width);

        accumulator_write(cpu, width, (u64)product, (u64)(product >> width));
        verb_flags_product(cpu, over);
        return;
    }
    /* r *= r/m, or r = r/m * imm */
    bool three = shape_operand(in, 2);
    u64 a = operand_read(cpu, in, three ? 1 : 0, width), b = operand_read(cpu, in, three ? 2 : 1, width);

    reg_write(cpu, in->dst, width, verb_imul(cpu, a, b, width, true));
}

/* The flags are undefined after division. AMD's processors keep CF and OF, set AF and clear the rest. */
static void flags_divided(CPU)
{
    flags_change(cpu, PF | AF | ZF | SF, AF);
}

void op_div(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 divisor = operand_read(cpu, in, 0, width);
    u128 dividend = accumulator_read(cpu, width);

    if (dividend >> width >= divisor) /* the quotient doesn't fit, or by zero */
        vcpu_raise(cpu, VECTOR_DE, 0);
    accumulator_write(cpu, width, (u64)(dividend / divisor), (u64)(dividend % divisor));
    flags_divided(cpu);
}

/* By magnitudes: nothing overflows on the host. The remainder has the dividend's sign. */
void op_idiv(CPU, IN)
{
    unsigned width = width_bits(in->width);
    i64 b = (i64)sign_extend(operand_read(cpu, in, 0, width), width);
    u128 raw = accumulator_read(cpu, width);
    bool minus_a = raw >> (2 * width - 1) & 1, minus = minus_a != (b < 0);
    u64 divisor = b < 0 ? -(u64)b : (u64)b;

    if (minus_a)
        raw = -raw & (~(u128)0 >> (128 - 2 * width));
    if (raw >> width >= divisor)
        vcpu_raise(cpu, VECTOR_DE, 0);
    u64 quotient = (u64)(raw / divisor), rest = (u64)(raw % divisor);

    if (quotient > ones(width - 1) + minus)
        vcpu_raise(cpu, VECTOR_DE, 0);
    accumulator_write(cpu, width, minus ? -quotient : quotient, minus_a ? -rest : rest);
    flags_divided(cpu);
}

/* MULX high, low, r/m: by RDX, no flags. Where both are one register it gets the high half. */
void op_mulx(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u128 product = (u128)reg_read(cpu, RDX * 8, width) * operand_read(cpu, in, 2, width);

    reg_write(cpu, in->src, width, (u64)product);
    reg_write(cpu, in->dst, width, (u64)(product >> width));
}
