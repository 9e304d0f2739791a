/* SPDX-License-Identifier: MIT */
/* Decimal arithmetic on AL and AX: not in 64-bit code. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

body_fn op_daa, op_das, op_aaa, op_aas, op_aam, op_aad;

static u8 al(const struct vcpu *cpu)
{
    return (u8)cpu->gpr[RAX];
}

/*
 * Did the sign overflow on the way from old to r, in the direction of sign? OF is undefined; AMD's
 * processors do this.
 */
static bool overflows(u8 old, u8 r, int sign)
{
    return (sign > 0 ? r & ~old : old & ~r) & 0x80;
}

/* DAA and DAS add or take 6 for the low digit, 60h for the high one. */
static void adjust_packed(CPU, int sign)
{
    u8 old = al(cpu), r = old;
    bool af = (old & 15) > 9 || flag_af(cpu), cf = old > 0x99 || flag_cf(cpu);
    bool borrow = sign < 0 && af && old < 6; /* SDM: DAS takes over the borrow of its first step */

    if (af)
        r = (u8)(r + sign * 6);
    if (cf)
        r = (u8)(r + sign * 0x60);
    reg_write(cpu, RAX * 8, 8, r);
    flags_set(cpu, r, 8, cf || borrow, overflows(old, r, sign), af);
}

void op_daa(CPU, IN)
{
    (void)in;
    adjust_packed(cpu, 1);
}

void op_das(CPU, IN)
{
    (void)in;
    adjust_packed(cpu, -1);
}

/*
 * AAA and AAS carry into or borrow from AH. SF, ZF, PF and OF, which are undefined, are those of an addition to AX,
 * before AL's high digit goes: seen on a Zen 3, and in a Zen 4's vectors.
 */
static void adjust_unpacked(CPU, int sign)
{
    u16 old = (u16)cpu->gpr[RAX], ax = old;
    bool adjust = (ax & 15) > 9 || flag_af(cpu);

    if (adjust)
        ax = (u16)(ax + sign * 0x106);
    reg_write(cpu, RAX * 8, 16, ax & 0xff0f);
    flags_set(cpu, ax, 16, adjust, overflows((u8)(old >> 8), (u8)(ax >> 8), sign), adjust);
}

void op_aaa(CPU, IN)
{
    (void)in;
    adjust_unpacked(cpu, 1);
}

void op_aas(CPU, IN)
{
    (void)in;
    adjust_unpacked(cpu, -1);
}

void op_aam(CPU, IN)
{
    u8 base = (u8)in->imm, value = al(cpu);

    if (base == 0)
        vcpu_raise(cpu, VECTOR_DE, 0);
    reg_write(cpu, RAX * 8 + 1, 8, value / base);
    reg_write(cpu, RAX * 8, 8, value % base);
    flags_logic(cpu, value % base, 8);
}

/* CF, AF and OF, which are undefined, are those of the addition: seen on a Zen 3, and in a Zen 4's vectors. */
void op_aad(CPU, IN)
{
    u8 sum = (u8)verb_add(cpu, al(cpu), (u8)((u8)(cpu->gpr[RAX] >> 8) * (u8)in->imm), 8, true);

    reg_write(cpu, RAX * 8 + 1, 8, 0);
    reg_write(cpu, RAX * 8, 8, sum);
}
