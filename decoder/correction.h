/* SPDX-License-Identifier: MIT */
/* Where Zydis differs from the profile's processor: each row has its bytes and its evidence. */
#ifndef DECODER_CORRECTION_H
#define DECODER_CORRECTION_H

#include <Zydis/Zydis.h>

#include "decoder/decode.h"

/* Before decoding. True: the bytes are #UD whatever Zydis says. */
bool correct_bytes(ZydisDecoder *decoder, u32 mode, const u8 *bytes, unsigned *size, const struct insn *in);

/* After Zydis refused. True: z and operand hold what the processor makes of the bytes. */
bool correct_failure(const ZydisDecoder *decoder, u32 mode, const u8 *bytes, unsigned size, ZyanStatus status,
                     ZydisDecodedInstruction *z, ZydisDecodedOperand *operand);

/* After conversion: changes *in and *d where the meaning differs. */
void correct_insn(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand, u32 mode, struct insn *in,
                  struct decoded *d);

#endif
