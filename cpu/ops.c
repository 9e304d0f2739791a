/* SPDX-License-Identifier: MIT */
/* The table of instructions, from the rows in cpu/ops/: a mnemonic, what it means, its fast forms, what it's allowed. */
#include "decoder/ops.h"

#include <Zydis/Mnemonic.h>


/* Prototypes. */
#define OP(mnemonic, body, bind, attributes)                                                                           \
    body_fn op_##body;                                                                                                 \
    bind_fn bind_##bind;
#define OP_PSEUDO OP
#include "cpu/ops/all.inc"
#undef OP
#undef OP_PSEUDO

run_fn *bind_none(const struct insn *in, u32 mode, u32 live)
{
    (void)in;
    (void)mode;
    (void)live;
    return NULL;
}

#define OP(mnemonic, body, bind, attributes) [ZYDIS_MNEMONIC_##mnemonic] = { op_##body, bind_##bind, attributes },
#define OP_PSEUDO(name, body, bind, attributes) [PSEUDO_##name] = { op_##body, bind_##bind, attributes },

const struct op ops[PSEUDO_OPS] = {
#include "cpu/ops/all.inc"
};
