/* SPDX-License-Identifier: MIT */
/*
 * Where Zydis differs from the profile's processor, one row each with bytes and evidence. "Zen 4": seen in the hardware
 * vectors or by hand on such a processor.
 */
#include "decoder/correction.h"

#include <string.h>

/* F0 0F 22 C0: LOCK MOV CR0 means CR8, in all modes (APM 3, MOV CRn; CPUID 8000_0001 ECX AltMovCr8; Zen 4). */
static bool alternate_cr8(const ZydisDecoder *decoder, const u8 *bytes, unsigned size, ZydisDecodedInstruction *z,
                          ZydisDecodedOperand *operand)
{
    u8 without[15];
    unsigned n = 0, locks = 0;

    for (unsigned i = 0; i < size && i < sizeof without; i++) {
        if (bytes[i] == 0xf0 && n == i - locks && (n == 0 || without[n - 1] != 0x0f))
            locks++;
        else
            without[n++] = bytes[i];
    }
    if (!locks || ZYAN_FAILED(ZydisDecoderDecodeFull(decoder, without, n, z, operand)) ||
        z->mnemonic != ZYDIS_MNEMONIC_MOV)
        return false;
    for (unsigned i = 0; i < 2; i++)
        if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && operand[i].reg.value == ZYDIS_REGISTER_CR0) {
            operand[i].reg.value = ZYDIS_REGISTER_CR8;
            z->length = (ZyanU8)(z->length + locks);
            return z->length <= 15;
        }
    return false;
}

/*
 * 0F 07, 0F 34, 0F 35: real mode answers #GP, virtual-8086 mode that or carries them out, and SYSRET is #UD for want of
 * SCE only (APM 3). Zydis knows nothing of them there.
 */
static bool system_call(const ZydisDecoder *decoder, const u8 *bytes, unsigned size, ZydisDecodedInstruction *z,
                        ZydisDecodedOperand *operand)
{
    ZydisDecoder legacy = *decoder;

    legacy.machine_mode = ZYDIS_MACHINE_MODE_LEGACY_16;
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&legacy, bytes, size, z, operand)) &&
           (z->mnemonic == ZYDIS_MNEMONIC_SYSRET || z->mnemonic == ZYDIS_MNEMONIC_SYSENTER ||
            z->mnemonic == ZYDIS_MNEMONIC_SYSEXIT);
}

/* C4 E3 7D 00 C8 12, C4 E3 7D 01 C8 12: VPERMQ and VPERMPD without VEX.W are themselves (Zen 3). */
static bool permutes_quadwords(const ZydisDecoder *decoder, const u8 *bytes, unsigned size, ZydisDecodedInstruction *z,
                               ZydisDecodedOperand *operand)
{
    u8 with[15];
    unsigned n = 0;

    if (size > sizeof with)
        size = sizeof with;
    while (n < size && bytes[n] != 0xc4)
        n++;
    if (n + 3 >= size || (bytes[n + 1] & 31) != 3 || bytes[n + 2] & 0x80 || bytes[n + 3] > 1)
        return false;
    memcpy(with, bytes, size);
    with[n + 2] |= 0x80;
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, with, size, z, operand)) &&
           (z->mnemonic == ZYDIS_MNEMONIC_VPERMQ || z->mnemonic == ZYDIS_MNEMONIC_VPERMPD);
}

bool correct_failure(const ZydisDecoder *decoder, const struct features *features, const u8 *bytes, unsigned size,
                     ZyanStatus status, ZydisDecodedInstruction *z, ZydisDecodedOperand *operand)
{
    if (status == ZYDIS_STATUS_ILLEGAL_LOCK)
        return has(features, HAS_ALT_CR8) && alternate_cr8(decoder, bytes, size, z, operand);
    if (permutes_quadwords(decoder, bytes, size, z, operand))
        return true;
    return decoder->machine_mode == ZYDIS_MACHINE_MODE_REAL_16 && system_call(decoder, bytes, size, z, operand);
}

/* The last of F2 and F3 among the prefixes; 0: there is none. */
static u8 last_repeat(const ZydisDecodedInstruction *z)
{
    for (unsigned i = z->raw.prefix_count; i-- > 0;)
        if (z->raw.prefixes[i].value == 0xf2 || z->raw.prefixes[i].value == 0xf3)
            return z->raw.prefixes[i].value;
    return 0;
}

static bool is_memory(const struct insn *in)
{
    return in->shape == S_M || in->shape == S_MR || in->shape == S_MI;
}

bool correct_insn(const ZydisDecodedInstruction *z, u32 mode, struct insn *in, struct decoded *d)
{
    bool rex_w = (z->attributes & ZYDIS_ATTRIB_HAS_REX) && z->raw.rex.W;

    /* 0F 0D C0: the register forms of PREFETCHW are #UD (Zen 4); Zydis makes them NOPs. */
    if (z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->opcode == 0x0d && z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
        !is_memory(in))
        return false;
    /* C4 E2 78 F2 C0 in real mode with 32-bit code, as it is right behind a cleared CR0.PE: VEX is for protected mode
     * (APM 3, ANDN). Zydis has 32-bit code in protected mode only. */
    if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && (!(mode & MODE_PE) || (mode & MODE_VM86)))
        return false;
    /* C4 E3 F9 16 C8 12, C4 E3 F9 22 C8 12: VPEXTRQ and VPINSRQ are #UD outside of 64-bit code (Zen 3); for Zydis they are
     * VPEXTRD and VPINSRD there. */
    if ((z->mnemonic == ZYDIS_MNEMONIC_VPEXTRD || z->mnemonic == ZYDIS_MNEMONIC_VPINSRD) && z->raw.vex.W)
        return false;
    /* F2 E1 03, F3 E0 03: F2 makes LOOPNE of both, F3 LOOPE, and the last one counts (Zen 3). */
    if (in->op == ZYDIS_MNEMONIC_LOOPE || in->op == ZYDIS_MNEMONIC_LOOPNE) {
        u8 repeat = last_repeat(z);

        if (repeat)
            in->op = repeat == 0xf2 ? ZYDIS_MNEMONIC_LOOPNE : ZYDIS_MNEMONIC_LOOPE;
    }
    /* 66 C3, 66 74 05, 66 FF D0: in 64-bit code near branches with 66 have 16-bit operands and go to a 16-bit RIP
     * (APM 3, 1.2.1; Zen 4). Zydis knows the rel32 forms only. */
    if ((ops[in->op].attributes & BRANCH) && (mode & MODE_CODE) == MODE_CODE64 &&
        (z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) && !rex_w) {
        in->width = W16;
        d->branch_width = W16;
    }
    /* F3 41 90: with REX.B it is XCHG rAX, R8 whatever stands before it (Zen 4); Zydis calls it PAUSE. */
    if (z->mnemonic == ZYDIS_MNEMONIC_PAUSE && (z->attributes & ZYDIS_ATTRIB_HAS_REX) && z->raw.rex.B) {
        in->op = ZYDIS_MNEMONIC_XCHG;
        in->shape = S_RR;
        in->dst = 8 * R8;
        in->src = 8 * RAX;
        in->width = rex_w ? W64 : z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? W16 : W32;
        d->attributes = ops[in->op].attributes;
    }
    /* 67 49 0F 41 0C BD 9D A3 C6 11: with REX.B and 32-bit addresses Zydis takes R13 for the base that mod 0 says there isn't. */
    if ((z->attributes & ZYDIS_ATTRIB_HAS_SIB) && z->raw.modrm.mod == 0 && z->raw.sib.base == 5 &&
        in->address == W32 && in->base != OFFSET_ZERO) {
        in->base = OFFSET_ZERO;
        in->disp = (i32)z->raw.disp.value;
    }
    return true;
}
