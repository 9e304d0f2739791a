/* SPDX-License-Identifier: MIT */
/* Where Zydis differs from the profile's processor: each row has its bytes and its evidence. */
#ifndef DECODER_CORRECTION_H
#define DECODER_CORRECTION_H

#include <Zydis/Zydis.h>

#include "decoder/decode.h"

/* Zydis as the profile's processor decodes. decode.c. */
void decoder_init(ZydisDecoder *decoder, const struct features *features, u32 mode);

/* Do these features include the instruction? feature.c. */
bool is_there(const struct features *features, u32 mode, const ZydisDecodedInstruction *z);

/*
 * After Zydis refused: true where the processor has an instruction all the same, which z and operand then hold.
 */
bool correct_failure(const ZydisDecoder *decoder, const struct features *features, const u8 *bytes, unsigned size,
                     ZyanStatus status, ZydisDecodedInstruction *z, ZydisDecodedOperand *operand);

/* After conversion: changes *in and *d where the meaning differs. False: #UD. */
bool correct_insn(const ZydisDecodedInstruction *z, u32 mode, struct insn *in, struct decoded *d);

#endif
