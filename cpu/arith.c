/* SPDX-License-Identifier: MIT */
/* Addition, subtraction, logic and their relatives: everything of the shape "operand 0 op= operand 1". */
#include "cpu/handler.h"
#include "cpu/verbs.h"

typedef u64 binary_fn(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags);
typedef u64 unary_fn(struct vcpu *cpu, u64 a, unsigned width, bool flags);

/* Flags come last: with LOCK the value may have to be computed again, and ADC reads what it writes. */
INLINE void binary(CPU, IN, binary_fn *verb)
{
    unsigned width = width_bits(in->width);
    u64 b = operand_read(cpu, in, 1, width), a;
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    do {
        a = operand_value(cpu, &o);
    } while (!operand_exchange(cpu, in, &o, a, verb(cpu, a, b, width, false)));
    verb(cpu, a, b, width, true);
}

INLINE void unary(CPU, IN, unary_fn *verb)
{
    unsigned width = width_bits(in->width);
    struct operand o;
    u64 a;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    do {
        a = operand_value(cpu, &o);
    } while (!operand_exchange(cpu, in, &o, a, verb(cpu, a, width, false)));
    verb(cpu, a, width, true);
}

#define BINARY(name)                                                                                         \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        binary(cpu, in, verb_##name);                                                                        \
    }
#define UNARY(name)                                                                                          \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        unary(cpu, in, verb_##name);                                                                         \
    }

body_fn op_add, op_or, op_adc, op_sbb, op_and, op_sub, op_xor, op_cmp, op_test, op_inc, op_dec, op_neg,
    op_not, op_adcx, op_adox;

BINARY(add)
BINARY(or)
BINARY(adc)
BINARY(sbb)
BINARY(and)
BINARY(sub)
BINARY(xor)
UNARY(inc)
UNARY(dec)
UNARY(neg)

void op_cmp(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 a = operand_read(cpu, in, 0, width), b = operand_read(cpu, in, 1, width);

    verb_sub(cpu, a, b, width, true);
}

void op_test(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 a = operand_read(cpu, in, 0, width), b = operand_read(cpu, in, 1, width);

    verb_and(cpu, a, b, width, true);
}

void op_not(CPU, IN)
{
    unsigned width = width_bits(in->width);
    struct operand o;
    u64 a;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    do {
        a = operand_value(cpu, &o);
    } while (!operand_exchange(cpu, in, &o, a, ~a & ones(width)));
}

/* ADCX and ADOX add with one flag as the carry, in and out, and leave the others alone. */
static u64 add_with(CPU, IN, bool *carry)
{
    unsigned width = width_bits(in->width);
    u64 a = operand_read(cpu, in, 0, width), b = operand_read(cpu, in, 1, width), sum = a + b + *carry;

    *carry = carries_add(a, b, sum) >> (width - 1) & 1;
    return sum;
}

void op_adcx(CPU, IN)
{
    bool carry = flag_cf(cpu);
    u64 sum = add_with(cpu, in, &carry);

    reg_write(cpu, in->dst, width_bits(in->width), sum);
    flags_set_cf(cpu, carry);
}

void op_adox(CPU, IN)
{
    bool carry = flag_of(cpu), old = carry;
    u64 sum = add_with(cpu, in, &carry);

    reg_write(cpu, in->dst, width_bits(in->width), sum);
    if (carry != old)
        cpu->carries ^= CARRY_OF;
}
