/* SPDX-License-Identifier: MIT */
/* Where Zydis differs from the profile's processor. Evidence: the hardware vectors, taken on a Zen 4. */
#include "decoder/correction.h"

bool correct_bytes(ZydisDecoder *decoder, u32 mode, const u8 *bytes, unsigned *size, const struct insn *in)
{
    (void)decoder;
    (void)mode;
    (void)bytes;
    (void)size;
    (void)in;
    return false;
}

bool correct_failure(const ZydisDecoder *decoder, u32 mode, const u8 *bytes, unsigned size, ZyanStatus status,
                     ZydisDecodedInstruction *z, ZydisDecodedOperand *operand)
{
    (void)decoder;
    (void)mode;
    (void)bytes;
    (void)size;
    (void)status;
    (void)z;
    (void)operand;
    return false;
}

void correct_insn(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand, u32 mode, struct insn *in,
                  struct decoded *d)
{
    (void)operand;
    (void)mode;
    /* F3 41 90: with REX.B it is XCHG rAX, R8 whatever stands before it; Zydis calls it PAUSE. */
    if (z->mnemonic == ZYDIS_MNEMONIC_PAUSE && (z->attributes & ZYDIS_ATTRIB_HAS_REX) && z->raw.rex.B) {
        in->op = ZYDIS_MNEMONIC_XCHG;
        in->shape = S_RR;
        in->dst = 8 * R8;
        in->src = 8 * RAX;
        in->width = z->raw.rex.W ? W64 : z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? W16 : W32;
        d->attributes = ops[in->op].attributes;
    }
    /* 67 49 0F 41 0C BD 9D A3 C6 11: with REX.B and 32-bit addresses Zydis takes R13 for the base that mod 0 says there isn't. */
    if ((z->attributes & ZYDIS_ATTRIB_HAS_SIB) && z->raw.modrm.mod == 0 && z->raw.sib.base == 5 &&
        in->address == W32 && in->base != OFFSET_ZERO) {
        in->base = OFFSET_ZERO;
        in->disp = (i32)z->raw.disp.value;
    }
}
