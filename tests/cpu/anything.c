/* SPDX-License-Identifier: MIT */
/*
 * Instructions from all of the opcode space, with prefixes that belong there and prefixes that don't, for hosts whose processor
 * is the profile's: what tables have forgotten is in here, and so is what must be #UD.
 */
#include <string.h>

#include "tests/cpu/draft.h"

#define M(name) ZYDIS_MNEMONIC_##name

/* What depends on more than the sequence, or is known to differ (docs/fuzzing.md). */
static bool is_left_out(const struct draft *d, const ZydisDecodedInstruction *z)
{
    static const u16 mnemonics[] = {
        M(SYSCALL), M(SYSENTER), M(INT), M(INT1), M(CPUID), M(RDTSC), M(RDPMC), M(RDPRU), M(RDRAND), M(RDSEED), M(RDPID),
        M(SLDT), M(STR), M(LAR), M(LSL), M(VERR), M(VERW), /* the host's tables */
        M(XSAVE), M(XSAVE64), M(XSAVEC), M(XSAVEC64), M(XSAVEOPT), M(XSAVEOPT64), M(XRSTOR), M(XRSTOR64), /* its PKRU */
        M(RDFSBASE), M(RDGSBASE), M(WRFSBASE), M(WRGSBASE), M(BSF), M(BSR), M(CMPSB),
        M(RCPPS), M(RCPSS), M(RSQRTPS), M(RSQRTSS),
        M(VRCPPS), M(VRCPSS), M(VRSQRTPS), M(VRSQRTSS), M(F2XM1), M(FYL2X), M(FYL2XP1), M(FPTAN), M(FPATAN), M(FSIN), M(FCOS),
        M(FSINCOS), M(GF2P8MULB), M(GF2P8AFFINEQB), M(GF2P8AFFINEINVQB), M(VGF2P8MULB), M(VGF2P8AFFINEQB), M(VGF2P8AFFINEINVQB),
    };

    if ((z->mnemonic == M(INT3) || z->mnemonic == M(INTO)) && z->length > 1)
        return true; /* where it began, a handler can't tell */
    if (d->is_wide && !d->s->has_bases &&
        (z->attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS)))
        return true;
    if (z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || (z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->opcode == 1))
        return true;
    for (unsigned i = 0; i < sizeof mnemonics / sizeof *mnemonics; i++)
        if (z->mnemonic == mnemonics[i])
            return true;
    return false;
}

/* Would it write what the rest of the sequence needs: the stack pointer, bases, a loop's counter, segment registers? */
static bool spoils(const struct draft *d, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    for (unsigned i = 0; i < z->operand_count; i++) {
        if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY && o[i].mem.type == ZYDIS_MEMOP_TYPE_VSIB)
            return true;
        if (o[i].type != ZYDIS_OPERAND_TYPE_REGISTER || !(o[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;

        ZydisRegisterClass kind = ZydisRegisterGetClass(o[i].reg.value);
        unsigned n = (unsigned)ZydisRegisterGetId(o[i].reg.value);

        if (kind == ZYDIS_REGCLASS_GPR8)
            n = n < 4 ? n : n < 8 ? n - 4 : n - 4; /* AL to BL, AH to BH, SPL and on */
        if (kind == ZYDIS_REGCLASS_SEGMENT ||
            (kind >= ZYDIS_REGCLASS_GPR8 && kind <= ZYDIS_REGCLASS_GPR64 && !(d->free >> n & 1)))
            return true;
    }
    return false;
}

static unsigned put_prefixes(struct draft *d, u8 *bytes)
{
    static const u8 some[] = { 0x66, 0xf3, 0xf2, 0x66, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x67, 0x64, 0x65 };
    unsigned n = 0;

    while (n < 4 && chance(d, 35)) {
        if (d->is_wide && chance(d, 8)) /* a REX without effect, for it isn't the last */
            bytes[n++] = (u8)(0x40 | pick(d, 16));
        bytes[n++] = some[pick(d, sizeof some - (d->is_wide && !d->s->has_bases ? 2 : 0))];
    }
    return n;
}

/* The opcode, with VEX where it says so; `high`: bit 3 of the memory operand's base. */
static unsigned put_opcode(struct draft *d, u8 *bytes, bool is_memory, unsigned high)
{
    unsigned way = pick(d, 100), n = 0;
    u8 opcode = (u8)pick(d, 256);

    if (way < 4 && d->has_newer && !(is_memory && high)) {
        bytes[n++] = 0xc5;
        bytes[n++] = (u8)((d->is_wide ? chance(d, 50) << 7 : 0x80) | (d->is_wide ? 0 : 0x40) |
                          (chance(d, 30) ? 15 : pick(d, 16)) << 3 | chance(d, 50) << 2 | pick(d, 4));
        bytes[n++] = opcode;
        return n;
    }
    if (way < 12 && d->has_newer) {
        bytes[n++] = 0xc4;
        bytes[n++] = (u8)((d->is_wide ? chance(d, 50) << 7 | 1 << 6 | !(is_memory ? high : chance(d, 50)) << 5 : 0xe0) |
                          (1 + pick(d, 3)));
        bytes[n++] = (u8)(chance(d, 20) << 7 | (d->is_wide ? 0 : 0x40) | (chance(d, 30) ? 15 : pick(d, 16)) << 3 |
                          chance(d, 50) << 2 | pick(d, 4));
        bytes[n++] = opcode;
        return n;
    }
    if (d->is_wide && (high || chance(d, 40)))
        bytes[n++] = (u8)(0x40 | chance(d, 40) << 3 | chance(d, 40) << 2 | (is_memory ? high : chance(d, 40)));
    if (way < 30) {
        bytes[n++] = (u8)(0xd8 | (opcode & 7));
        return n;
    }
    if (way >= 60) {
        bytes[n++] = 0x0f;
        if (way >= 90)
            bytes[n++] = way >= 95 ? 0x3a : 0x38;
    }
    bytes[n++] = opcode;
    return n;
}

/* [base + disp8], an address alone, or a register. */
static unsigned put_modrm(struct draft *d, u8 *bytes, bool is_memory, unsigned base)
{
    unsigned n = 0;
    u8 reg = (u8)(pick(d, 8) << 3);

    if (!is_memory) {
        bytes[n++] = (u8)(0xc0 | reg | pick(d, 8));
    } else if (chance(d, 25)) {
        u32 at = offset_in(d, DS, some_data(d, 64, chance(d, 50) ? 16 : 1));

        bytes[n++] = (u8)(reg | (d->is_16 ? 6 : 5));
        memcpy(bytes + n, &at, 4);
        n += d->is_16 ? 2 : 4;
    } else if (d->is_16) {
        bytes[n++] = (u8)(0x40 | reg | base_16(base));
        bytes[n++] = (u8)pick(d, 256);
    } else {
        bytes[n++] = (u8)(0x40 | reg | (base & 7));
        if ((base & 7) == RSP)
            bytes[n++] = 0x24;
        bytes[n++] = (u8)(pick(d, 256) & (chance(d, 50) ? 0xf0 : 0xff));
    }
    return n;
}

static bool is_system_opcode(const u8 *opcode)
{
    return opcode[0] == 0x0f && (opcode[1] == 1 || opcode[1] == 5 || opcode[1] == 7 || opcode[1] == 0x34 || opcode[1] == 0x35);
}

void emit_anything(struct draft *d)
{
    ZydisDecoder decoder;

    if (!d->is_amd)
        return;
    sequence_decoder(d->s, &decoder);
    for (unsigned tries = 0; tries < 20 && !d->failed; tries++) {
        ZydisDecodedInstruction z;
        ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
        u8 bytes[32];
        unsigned known, base = d->base[pick(d, 2)], n = put_prefixes(d, bytes), at;
        bool is_memory = chance(d, 45) && !(d->is_16 && base == RBP && !d->keeps_stack);

        at = n;
        n += put_opcode(d, bytes + n, is_memory, base >> 3);
        while (d->is_wide && (bytes[at] & 0xf0) == 0x40)
            at++;
        n += put_modrm(d, bytes + n, is_memory, base);
        known = n;
        while (n < 15)
            bytes[n++] = (u8)random_next(&d->random);
        if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, bytes, 15, &z, operand))) {
            if (chance(d, 90) || is_system_opcode(bytes + at))
                continue;
            memset(bytes + known, 0xf4, sizeof bytes - known); /* where it's shorter than this, that's the end */
            emit_undecoded(d, bytes, 15);
        } else if (is_left_out(d, &z) || spoils(d, &z, operand) || (z.attributes & ZYDIS_ATTRIB_HAS_LOCK) ||
                   (z.meta.category == ZYDIS_CATEGORY_STRINGOP && n && chance(d, 90))) {
            continue;
        } else {
            struct item *i = emit_bytes(d, bytes, z.length);

            if (!i)
                continue;
            if (i->patch) /* by RIP */
                i->plus = some_data(d, 64, chance(d, 50) ? 16 : 1);
        }
        d->s->uses_x87 = true;
        return;
    }
}
