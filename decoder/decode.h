/* SPDX-License-Identifier: MIT */
/* Bytes to one instruction ready to run. decode.c is the only user of Zydis' decoder. */
#ifndef DECODER_DECODE_H
#define DECODER_DECODE_H

#include "decoder/ops.h"
#include "state/feature.h"

enum decode_result {
    DECODED,
    DECODE_MORE,     /* the bytes end before the instruction does */
    DECODE_INVALID,  /* #UD; in is bound to it */
    DECODE_TOO_LONG  /* more than 15 bytes: #GP(0) */
};

/* What the block builder wants to know beyond the instruction itself. */
struct decoded {
    u32 attributes;      /* of its row */
    u32 flags_read, flags_written; /* status flags; written: always, whatever the operands */
    bool may_fault;      /* or leave: status flags must be right before it */
    i64 branch;          /* BRANCH, relative: distance from its own first byte to the target */
    bool is_relative;
    u8 branch_width;     /* enum width that the target is cut to */
};

/*
 * Decodes the first instruction of `bytes` for a mode key, on a processor with these features. `offset` is its place on its
 * page (RIP-relative operands need it). Fills *in with everything but `run`, `left`; in->run is set only where the
 * instruction is forbidden or lacking.
 */
enum decode_result decode(const struct features *features, u32 mode, const u8 *bytes, unsigned size, unsigned offset,
                          struct insn *in, struct decoded *d);

#endif
