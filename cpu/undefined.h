/* SPDX-License-Identifier: MIT */
/* What the manuals leave undefined: the table, and the policies other than the profile's hardware. */
#ifndef CPU_UNDEFINED_H
#define CPU_UNDEFINED_H

#include "decoder/ops.h"

enum undefined_result {
    RESULT_DEFINED,
    RESULT_OPERAND, /* operand 0, a general one; all status flags are undefined then, or none */
    RESULT_ST0,     /* ST(0), as the instruction leaves the stack */
    RESULT_HIGH,    /* an XMM register's upper half */
    RESULT_XMM      /* all of it */
};

struct undefined {
    u16 flags;      /* of STATUS */
    u16 conditions; /* X87_C0 to X87_C3 */
    u8 result;      /* enum undefined_result */
};

/* What an instruction leaves undefined; `more` makes that right for the operands at hand, before they change. */
struct undefined_row {
    struct undefined usual;
    void (*more)(struct vcpu *cpu, const struct insn *in, struct undefined *u);
};

enum { UNDEFINED_ROWS = PSEUDO_MOV_SEGMENT };

extern const struct undefined_row undefined_rows[UNDEFINED_ROWS]; /* by Zydis' mnemonic */

/* Instead of the row's body: carries it out, then overwrites what is undefined. */
body_fn undefined_body;

#endif
