/* SPDX-License-Identifier: MIT */
/*
 * Instructions that change how others run, or save and load states, and others that need something prepared: control
 * words, FXSAVE and XSAVE, the x87 environment, gathers, bit strings, what 64-bit code has lost.
 */
#include <string.h>

#include "tests/cpu/draft.h"

/* MXCSR and the x87's control word: loaded, rarely with exceptions unmasked, and stored. */
void emit_control(struct draft *d)
{
    u32 at = some_data(d, 8, 4), masked = chance(d, 70) ? 0x1f80 : (u32)random_next(&d->random) & 0x1f80;
    u32 mxcsr = masked | ((u32)random_next(&d->random) & 0xe040) | (chance(d, 5) ? 0x10000u << pick(d, 16) : 0);

    switch (pick(d, 5)) {
    case 0:
        emit_store(d, at, mxcsr);
        EMIT_AT(d, 2, at, 0x0f, 0xae);
        break;
    case 1: EMIT_AT(d, 3, at, 0x0f, 0xae); break;
    case 2:
        d->s->uses_x87 = true;
        emit_store(d, at, (masked >> 7 & (d->is_amd ? 0x3f : 0x3d)) | (d->is_amd ? 0 : 2) | 0x40 |
                              ((u32)random_next(&d->random) & 0xf00));
        EMIT_AT(d, 5, at, 0xd9);
        break;
    case 3:
        d->s->uses_x87 = true;
        EMIT_AT(d, 7, at, 0xd9);
        break;
    default:
        if (chance(d, 5))
            EMIT(d, 0xcc); /* INT3 */
        else
            chance(d, 50) ? EMIT(d, 0x9b) : EMIT(d, 0xdb, 0xe2); /* FWAIT, FNCLEX */
        break;
    }
}

/*
 * The x87 environment and all of its state. Where the last instruction and its operand were is AMD's own way to tell.
 */
static void emit_environment(struct draft *d)
{
    static const u8 ways[][3] = { { 0xd9, 6, 4 }, { 0xdd, 6, 4 } }; /* FNSTENV and FLDENV, FNSAVE and FRSTOR */
    const u8 *way = ways[pick(d, 2)];
    u32 at = some_data(d, 108, 4);
    bool is_narrow = chance(d, 25);

    d->s->uses_x87 = true;
    is_narrow ? EMIT_AT(d, way[1], at, 0x66, way[0]) : EMIT_AT(d, way[1], at, way[0]);
    if (chance(d, 60))
        is_narrow ? EMIT_AT(d, way[2], at, 0x66, way[0]) : EMIT_AT(d, way[2], at, way[0]);
}

/* An XSAVE area: a header of zeros but for what XSAVE puts there, so that XRSTOR takes it. */
static void emit_xsave(struct draft *d)
{
    u32 at = some_data(d, 1024, 64), mask = chance(d, 60) ? 7 : pick(d, 8);

    if (!(d->free >> RAX & 1) || !(d->free >> RDX & 1))
        return;
    for (u32 i = 512; i < 536; i += 4)
        emit_store(d, at + i, 0);
    if (chance(d, 50)) {
        mask &= ~4u;
    } else { /* AVX is in use for sure: how long it is after its upper halves are zero is the processor's own way to tell */
        unsigned reg = pick(d, 8);

        emit_bytes(d, (u8[]){ 0xc5, (u8)(0x85 | (~reg & 15) << 3), 0x76, (u8)(0xc0 | reg << 3 | reg) }, 4); /* VPCMPEQD */
    }
    emit_whole_constant(d, RAX, mask);
    emit_whole_constant(d, RDX, 0);
    chance(d, 30) ? EMIT_AT(d, 4, at, 0x0f, 0xc7) : EMIT_AT(d, 4, at, 0x0f, 0xae); /* XSAVEC, XSAVE */
    if (chance(d, 25))
        emit_store(d, at + 512, pick(d, 8));
    if (chance(d, 10))
        emit_store(d, at + 512 + 4 * pick(d, 8), pick(d, 16));
    if (chance(d, 30))
        emit_whole_constant(d, RAX, pick(d, 8));
    EMIT_AT(d, 5, at, 0x0f, 0xae); /* XRSTOR */
}

void emit_state(struct draft *d)
{
    u32 at = some_data(d, 512, 16) + (chance(d, 3) ? 8 : 0);
    bool is_long = d->is_wide && chance(d, 50);

    if (!d->is_amd)
        return;
    d->s->uses_x87 = true;
    switch (pick(d, 3)) {
    case 0: emit_environment(d); break;
    case 1:
        if (d->has_newer)
            emit_xsave(d);
        break;
    default:
        is_long ? EMIT_AT(d, 0, at, 0x48, 0x0f, 0xae) : EMIT_AT(d, 0, at, 0x0f, 0xae);
        if (chance(d, 10))
            emit_store(d, at + 24, (u32)random_next(&d->random) & 0xffff);
        if (chance(d, 60))
            is_long ? EMIT_AT(d, 1, at, 0x48, 0x0f, 0xae) : EMIT_AT(d, 1, at, 0x0f, 0xae);
        break;
    }
}

/* Indices below 256 or so, so that most elements lie in the data; near its end some don't. */
void emit_gather(struct draft *d)
{
    static const ZydisMnemonic ways[][2] = { { ZYDIS_MNEMONIC_VPGATHERDD, 4 }, { ZYDIS_MNEMONIC_VGATHERDPS, 4 },
                                             { ZYDIS_MNEMONIC_VPGATHERDQ, 8 }, { ZYDIS_MNEMONIC_VGATHERDPD, 8 },
                                             { ZYDIS_MNEMONIC_VPGATHERQQ, 8 }, { ZYDIS_MNEMONIC_VGATHERQPD, 8 } };
    unsigned way = pick(d, 6), index = any_register(d), to = any_register(d), mask = any_register(d);
    bool is_wide = chance(d, 50), by_quads = way >= 4;
    ZydisRegister registers = is_wide ? ZYDIS_REGISTER_YMM0 : ZYDIS_REGISTER_XMM0;
    ZydisRegister indices = is_wide && (by_quads || way < 2) ? ZYDIS_REGISTER_YMM0 : ZYDIS_REGISTER_XMM0;
    ZydisEncoderRequest shift = { .mnemonic = by_quads ? ZYDIS_MNEMONIC_VPSRLQ : ZYDIS_MNEMONIC_VPSRLD, .operand_count = 3 },
                        r = { .mnemonic = ways[way][0], .operand_count = 3 };

    for (unsigned i = 0; i < 2; i++) {
        shift.operands[i].type = ZYDIS_OPERAND_TYPE_REGISTER;
        shift.operands[i].reg.value = (ZydisRegister)(ZYDIS_REGISTER_YMM0 + (int)index);
    }
    shift.operands[2].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
    shift.operands[2].imm.u = (by_quads ? 55 : 23) + pick(d, 3);
    if (chance(d, 95))
        emit(d, &shift);
    r.operands[0].type = r.operands[2].type = ZYDIS_OPERAND_TYPE_REGISTER;
    r.operands[0].reg.value = (ZydisRegister)(registers + (int)to);
    r.operands[2].reg.value = (ZydisRegister)(registers + (int)mask);
    r.operands[1].type = ZYDIS_OPERAND_TYPE_MEMORY;
    r.operands[1].mem.base = register_named(d->base[pick(d, 2)], d->is_wide ? 64 : 32);
    r.operands[1].mem.index = (ZydisRegister)(indices + (int)index);
    r.operands[1].mem.scale = (ZyanU8)(1 << pick(d, 4));
    r.operands[1].mem.size = (ZyanU16)ways[way][1];
    r.operands[1].mem.displacement = (int)pick(d, 256) - 128;
    emit(d, &r);
}

/* BT and its like with an offset far from the operand, either way. */
void emit_bit_string(struct draft *d)
{
    static const u8 opcodes[] = { 0xa3, 0xab, 0xb3, 0xbb };
    unsigned reg = free_register(d), width = pick(d, 3);
    int near = (int)pick(d, 4096) - 2048;
    u8 bytes[11] = { 0x66, (u8)((width == 2 ? 0x48 : 0x40) | (reg >> 3) << 2), 0x0f, opcodes[pick(d, 4)],
                     (u8)((reg & 7) << 3 | (d->is_16 ? 6 : 4)), 0x25 };
    u32 at = offset_in(d, DS, DATA_AT + 512 + pick(d, DATA_SIZE - 1024));

    memcpy(bytes + (d->is_16 ? 5 : 6), &at, 4);
    emit_whole_constant(d, reg, (u32)near);
    if (width == 2 && d->is_wide) {
        u8 extend[3] = { (u8)(0x48 | (reg >> 3) << 2 | reg >> 3), 0x63, (u8)(0xc0 | (reg & 7) << 3 | (reg & 7)) };

        emit_bytes(d, extend, 3); /* MOVSXD */
    }
    emit_rex(d, bytes + (width != 0), (d->is_16 ? 7 : 10) - (width != 0));
}

/* What only 32-bit code has; in both, XLAT, CMPXCHG8B and CMPXCHG16B, PUSH and POP of memory. */
void emit_old(struct draft *d)
{
    static const u8 alone[] = { 0x37, 0x3f, 0x27, 0x2f, 0xd6, 0xce }; /* AAA, AAS, DAA, DAS, SALC, INTO */
    static const u8 segments[] = { 0x06, 0x0e, 0x16, 0x1e };
    unsigned reg = free_register(d), base = d->base[0];
    u8 pop[2] = { (u8)(0x40 | reg >> 3), (u8)(0x58 | (reg & 7)) };

    if (d->is_wide || chance(d, 20)) {
        if ((base & 7) == RSP)
            return;
        if (chance(d, 50)) {
            if (d->base[1] == RBX)
                EMIT(d, 0xd7);
            if (d->is_wide && (d->free & 5) == 5) {
                u8 exchange[5] = { (u8)(0x48 | base >> 3), 0x0f, 0xc7, (u8)(0x48 | (base & 7)), (u8)(pick(d, 8) * 16) };

                emit_bytes(d, exchange, 5);
            }
            return;
        }
        /* PUSH, and POP to another place */
        emit_by_base(d, (u8[]){ 0xff }, 1, 6, base, (u8)(pick(d, 32) * 4));
        emit_by_base(d, (u8[]){ 0x8f }, 1, 0, base, (u8)(pick(d, 32) * 4));
        return;
    }
    switch (pick(d, 7)) {
    case 0: emit_bytes(d, &alone[pick(d, 6)], 1); break;
    case 1: emit_bytes(d, (u8[]){ chance(d, 50) ? 0xd4 : 0xd5, (u8)(chance(d, 50) ? 10 : pick(d, 256)) }, 2); break;
    case 2: emit_bytes(d, (u8[]){ (u8)((chance(d, 50) ? 0x40 : 0x48) + reg) }, 1); break;
    case 3: /* PUSH of a segment register, POP */
        emit_bytes(d, &segments[pick(d, 4)], 1);
        emit_rex(d, pop, 2);
        break;
    case 4:
        if (chance(d, 30)) {
            EMIT(d, 0x66, 0x60);
            EMIT(d, 0x66, 0x61);
        } else {
            EMIT(d, 0x60);
            EMIT(d, 0x61);
        }
        break;
    case 5: emit_bytes(d, (u8[]){ 0x63, (u8)(0xc0 | any_register(d) << 3 | reg) }, 2); break; /* ARPL */
    default:
        /* BOUND, which mostly faults; the group that 82 is another opcode of */
        if (chance(d, 20))
            emit_by_base(d, (u8[]){ 0x62 }, 1, reg, base, (u8)pick(d, 128));
        else
            emit_bytes(d, (u8[]){ 0x82, (u8)(0xc0 | pick(d, 8) << 3 | (d->free & 7 ? 0 : 1)), (u8)pick(d, 256) }, 3);
        break;
    }
}

/* Near branches with 66: a 16-bit RIP, where nothing is mapped, so that one which is taken ends the sequence. */
void emit_narrow_branch(struct draft *d)
{
    if (!d->is_amd)
        return;
    if (d->has_segments) { /* where it isn't the end */
        emit_segment(d);
        return;
    }
    switch (pick(d, 6)) {
    case 0: emit_bytes(d, (u8[]){ 0x66, (u8)(0x70 + pick(d, 16)), (u8)pick(d, 128) }, 3); break;
    case 1: emit_bytes(d, (u8[]){ 0x66, 0x0f, (u8)(0x80 + pick(d, 16)), (u8)pick(d, 256), (u8)pick(d, 256) }, 5); break;
    case 2: emit_bytes(d, (u8[]){ 0x66, 0xe8, (u8)pick(d, 256), (u8)pick(d, 256) }, 4); break;
    case 3:
        if (d->free >> RCX & 1)
            emit_bytes(d, (u8[]){ 0x66, 0xe2, (u8)pick(d, 128) }, 3);
        break;
    case 4: emit_bytes(d, (u8[]){ 0x66, 0xff, (u8)(0xd0 | (any_register(d) & 7)) }, 3); break;
    default: EMIT(d, 0x66, 0xc3); break;
    }
}
