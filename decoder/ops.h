/* SPDX-License-Identifier: MIT */
/* The table of instructions: the decoder reads it, cpu/ops.c defines it from the rows in cpu/ops/. */
#ifndef DECODER_OPS_H
#define DECODER_OPS_H

#include "state/vcpu.h"

/* What an instruction means, on operands of any shape: runs with cpu->at = in, may raise or leave. */
typedef void body_fn(struct vcpu *cpu, const struct insn *in);

/* Chooses a fast handler for the shape and width at hand, or NULL: the body runs then. live: the status flags that somebody
 * after it may read; a handler may skip writing others. */
typedef run_fn *bind_fn(const struct insn *in, u32 mode, u32 live);

enum op_attribute {
    ENDS = 1 << 0,       /* ends its block. The body finds RIP and count past it and may set them (RIP, mode, events) */
    CPL0 = 1 << 1,       /* #GP(0) at other levels */
    PROTECTED = 1 << 2,  /* #UD in real and virtual-8086 mode */
    LOCKS = 1 << 3,      /* takes LOCK with a memory destination; others: #UD */
    FPU = 1 << 4,        /* x87: #NM with CR0.EM or TS */
    MMX = 1 << 5,        /* #UD with EM, #NM with TS, then #MF if one is pending */
    SSE = 1 << 6,        /* #UD with EM or without CR4.OSFXSR, #NM with TS */
    AVX = 1 << 7,        /* #UD without OSXSAVE and XCR0, #NM with TS */
    COND = 1 << 8,       /* has a condition: opcode's low four bits go to imm (Jcc: disp) */
    OPSIZE = 1 << 9,     /* width is the operand size, whatever operand 0 is (PUSH, CALL, RET, IRET...) */
    STRING = 1 << 10,    /* hidden operands: shape S_, width of the element, segment of the source */
    WIDTH_SRC = 1 << 11, /* imm is the enum width of operand 1 (MOVZX, MOVSX, IN, OUT...) */
    UMIP = 1 << 12,      /* #GP(0) above CPL 0 with CR4.UMIP */
    FLAGS_MAYBE = 1 << 13, /* may leave its flags alone (shift by zero): they stay live before it */
    WAITS = 1 << 14,     /* x87: looks for a pending exception first (all but FN...) */
    KEEPS = 1 << 15,     /* a body that neither touches memory, nor raises, nor leaves: flags needn't be live before it */
    BRANCH = 1 << 16     /* near branch: ends its block with a slot of exits */
};

struct op {
    body_fn *body;       /* NULL: we don't have it; the profile doesn't claim it */
    bind_fn *bind;       /* NULL: always the body */
    u32 attributes;
};

/* Forms that share a mnemonic with quite another instruction have rows of their own, after Zydis' last. */
enum pseudo_op {
    PSEUDO_MOV_SEGMENT = 1800,
    PSEUDO_MOV_CONTROL,
    PSEUDO_MOV_DEBUG,
    PSEUDO_MOV_FAR,      /* MOV between the accumulator and a 64-bit address, which is in imm */
    PSEUDO_PUSH_SEGMENT,
    PSEUDO_POP_SEGMENT,
    PSEUDO_MOVSD_STRING, /* MOVSD and CMPSD of strings, whose names SSE2 has too */
    PSEUDO_CMPSD_STRING,
    PSEUDO_JMP_FAR,
    PSEUDO_CALL_FAR,
    PSEUDO_RET_FAR,
    PSEUDO_OPS
};

extern const struct op ops[PSEUDO_OPS]; /* by Zydis' mnemonic, or enum pseudo_op */

/* Handlers that the decoder binds by itself: cpu/handler.c. */
run_fn run_body;        /* calls ops[in->op].body and goes on */
run_fn run_last;        /* the same for ENDS: rip and count are set first, then the loop takes over */
run_fn run_enter;       /* a block's enter slot: code_base is imm */
run_fn run_end;         /* past the last instruction of a block without a branch: goes on at the next address */
run_fn run_nothing;     /* NOP, and direct jumps that the block follows */
run_fn run_ud, run_gp, run_nm, run_mf_or_body; /* forbidden here: #UD, #GP(0), #NM */
run_fn run_unsupported; /* the profile has it and we don't: leaves, saying so */
run_fn run_undefined;   /* as run_body or run_last, then what it leaves undefined as the partition's policy has it */

/* Does it leave anything undefined that somebody may see, if these status flags are live after it? cpu/undefined.c. */
bool is_left_undefined(const struct insn *in, u32 live);

/* Fuses in[0] with its successors, n with itself to the end of the block, where a handler for all exists; or NULL. */
run_fn *bind_fused(const struct insn *in, u32 mode, unsigned n);

#endif
