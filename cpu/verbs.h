/* SPDX-License-Identifier: MIT */
/*
 * What the common integer instructions compute: shared by the bodies and the fast handlers. `width` (in
 * bits) and `flags` are constants to the compiler; flags = false leaves the flags alone, for where nobody
 * reads them. Bits of operands above the width don't matter; results come without them.
 */
#ifndef CPU_VERBS_H
#define CPU_VERBS_H

#include "state/flags.h"

/*
 * The flags of a sum or difference below 64 bits: a ^ b ^ r has the carry (or borrow) into bit n at bit n,
 * so the one out of the operand stands just above it.
 */
INLINE void verb_flags(struct vcpu *cpu, u64 a, u64 b, u64 r, u64 carries64, unsigned width)
{
    cpu->result = sign_extend(r, width);
    if (width == 64) {
        cpu->carries = carries64 & (CARRY_CF | CARRY_OF | CARRY_AF);
    } else {
        u64 into = a ^ b ^ r;

        cpu->carries = into << (63 - width) | (into >> 1 & CARRY_AF);
    }
}

INLINE u64 verb_add_carry(struct vcpu *cpu, u64 a, u64 b, bool carry, unsigned width, bool flags)
{
    a &= ones(width);
    b &= ones(width);
    u64 r = a + b + carry;

    if (flags)
        verb_flags(cpu, a, b, r, carries_add(a, b, r), width);
    return r & ones(width);
}

INLINE u64 verb_sub_borrow(struct vcpu *cpu, u64 a, u64 b, bool borrow, unsigned width, bool flags)
{
    a &= ones(width);
    b &= ones(width);
    u64 r = a - b - borrow;

    if (flags)
        verb_flags(cpu, a, b, r, carries_sub(a, b, r), width);
    return r & ones(width);
}

INLINE u64 verb_add(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_add_carry(cpu, a, b, false, width, flags);
}

INLINE u64 verb_adc(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_add_carry(cpu, a, b, flag_cf(cpu), width, flags);
}

INLINE u64 verb_sub(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_sub_borrow(cpu, a, b, false, width, flags);
}

INLINE u64 verb_sbb(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_sub_borrow(cpu, a, b, flag_cf(cpu), width, flags);
}

INLINE u64 verb_logic(struct vcpu *cpu, u64 r, unsigned width, bool flags)
{
    if (flags)
        flags_logic(cpu, r, width);
    return r & ones(width);
}

INLINE u64 verb_and(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_logic(cpu, a & b, width, flags);
}

INLINE u64 verb_or(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_logic(cpu, a | b, width, flags);
}

INLINE u64 verb_xor(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    return verb_logic(cpu, a ^ b, width, flags);
}

/* INC and DEC keep CF; `overflow` has OF in the operand's top bit. */
INLINE void verb_flags_keep_cf(struct vcpu *cpu, u64 a, u64 r, u64 overflow, unsigned width)
{
    u64 of = width == 64 ? overflow >> 1 : overflow << (63 - width);
    u64 cf = (u64)((i64)cpu->carries >> 63) << 62; /* in both of the top bits */

    cpu->result = sign_extend(r, width);
    cpu->carries = (cf ^ (of & CARRY_OF)) | ((a ^ r) >> 1 & CARRY_AF); /* b is 1: it doesn't reach bit 4 */
}

INLINE u64 verb_inc(struct vcpu *cpu, u64 a, unsigned width, bool flags)
{
    u64 r = a + 1;

    if (flags)
        verb_flags_keep_cf(cpu, a, r, ~a & r, width);
    return r & ones(width);
}

INLINE u64 verb_dec(struct vcpu *cpu, u64 a, unsigned width, bool flags)
{
    u64 r = a - 1;

    if (flags)
        verb_flags_keep_cf(cpu, a, r, a & ~r, width);
    return r & ones(width);
}

INLINE u64 verb_neg(struct vcpu *cpu, u64 a, unsigned width, bool flags)
{
    return verb_sub(cpu, 0, a, width, flags);
}

/*
 * Shifts and rotates by a count that was masked (by 31, or 63 at 64 bits) and isn't zero. It may exceed 8
 * and 16 bits. What is undefined is as on AMD's processors: AF is set, OF for counts other than 1 by the
 * same rule as for 1.
 */
INLINE u64 verb_shl(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    u64 r;

    a &= ones(width);
    if (width == 64) {
        u64 before = a << (count - 1);

        r = before << 1;
        if (flags)
            cpu->carries = (before & (CARRY_CF | CARRY_OF)) | CARRY_AF;
    } else {
        r = a << count;
        if (flags)
            cpu->carries = r << (63 - width) | CARRY_AF; /* CF is the bit above; OF ^ CF is the new top bit */
    }
    if (flags)
        cpu->result = sign_extend(r, width);
    return r & ones(width);
}

INLINE u64 verb_shr(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    u64 before = (a & ones(width)) >> (count - 1), r = before >> 1;

    if (flags) {
        u64 of = r << (64 - width) & CARRY_OF; /* the old top bit where the count is 1, else 0 */

        cpu->result = sign_extend(r, width);
        cpu->carries = (before << 63 | (before & 1) << 62 | CARRY_AF) ^ of;
    }
    return r;
}

INLINE u64 verb_sar(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    i64 before = (i64)sign_extend(a, width) >> (count - 1), r = before >> 1;

    if (flags) {
        cpu->result = (u64)r;
        cpu->carries = (u64)before << 63 | ((u64)before & 1) << 62 | CARRY_AF;
    }
    return (u64)r & ones(width);
}

/* Rotates change CF and OF only: `top` has CF in bit 63 and CF ^ OF in bit 62. */
INLINE void verb_flags_rotate(struct vcpu *cpu, u64 top)
{
    cpu->carries = (cpu->carries & ~(CARRY_CF | CARRY_OF)) | (top & (CARRY_CF | CARRY_OF));
}

INLINE u64 verb_rol(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    unsigned n = count & (width - 1);
    u64 r;

    a &= ones(width);
    r = (a << n | a >> ((width - n) & (width - 1))) & ones(width);
    if (flags)
        verb_flags_rotate(cpu, r << 63 | r >> (width - 1) << 62);
    return r;
}

INLINE u64 verb_ror(struct vcpu *cpu, u64 a, unsigned count, unsigned width, bool flags)
{
    unsigned n = count & (width - 1);
    u64 r;

    a &= ones(width);
    r = (a >> n | a << ((width - n) & (width - 1))) & ones(width);
    if (flags)
        verb_flags_rotate(cpu, r << (64 - width)); /* OF is the xor of the two top bits */
    return r;
}

/*
 * CF and OF tell that a product didn't fit; the other flags, undefined, stay as they are on AMD's
 * processors.
 */
INLINE void verb_flags_product(struct vcpu *cpu, bool over)
{
    cpu->carries = (cpu->carries & ~(CARRY_CF | CARRY_OF)) | (u64)over << 63;
}

/* IMUL with two or three operands. */
INLINE u64 verb_imul(struct vcpu *cpu, u64 a, u64 b, unsigned width, bool flags)
{
    i64 r;
    bool over;

    if (width == 64) {
        over = __builtin_mul_overflow((i64)a, (i64)b, &r);
    } else {
        r = (i64)sign_extend(a, width) * (i64)sign_extend(b, width);
        over = r != (i64)sign_extend((u64)r, width);
    }
    if (flags)
        verb_flags_product(cpu, over);
    return (u64)r & ones(width);
}

#endif
