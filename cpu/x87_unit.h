/* SPDX-License-Identifier: MIT */
/*
 * The x87's operations, as the unit at hand computes them (cpu/fp_unit.h): the host's own x87, or MPFR and
 * integers. Each takes its operands, the guest's control word and nothing else, and gives results and the status
 * word's flags; the register stack is the caller's.
 */
#ifndef CPU_X87_UNIT_H
#define CPU_X87_UNIT_H

#include "cpu/fp.h"

/*
 * One operation under the guest's own control word, exceptions unmasked and all. An unmasked exception leaves what
 * hardware leaves: no result at all, or one with its exponent wrapped.
 */
struct x87_run {
    struct x87_register a, b; /* ST(0) and ST(1); memory operands are the first bytes of b */
    struct x87_register r, s; /* what the operation left in ST(0) and ST(1); a store's bytes are left in b */
    u16 guest, host;          /* control words: the guest's, and the one to go back to */
    u16 sw;                   /* the status word the operation left, TOP apart */
};

typedef void x87_fn(struct x87_run *run);

/* What the second operand is: a register, or memory of a kind. */
enum x87_source { X87_ST, X87_F32, X87_F64, X87_I16, X87_I32, X87_SOURCES };

struct x87_unit {
    /* a op b, and b op a where the name ends in r. Of two NaNs and for DE, the operand's form counts. */
    x87_fn *add[X87_SOURCES], *sub[X87_SOURCES], *subr[X87_SOURCES], *mul[X87_SOURCES], *div[X87_SOURCES],
        *divr[X87_SOURCES];
    x87_fn *com[X87_SOURCES], *ucom[X87_SOURCES], *tst, *xam; /* ucom of registers only */
    x87_fn *sqrt, *rndint, *xtract, *prem, *prem1, *scale;
    x87_fn *ld_real[2], *ld_integer[3], *ld_bcd; /* 32 and 64 bits; 16, 32 and 64; with all exceptions masked */
    x87_fn *st_real[2], *st_integer[3], *st_bcd;
    x87_fn *ld1, *ldz, *ldpi, *ldl2e, *ldl2t, *ldlg2, *ldln2;
};

extern const struct x87_unit x87_native, x87_portable;

#ifdef SWHP_PORTABLE_FP
#define X87_UNIT x87_portable
#else
#define X87_UNIT x87_native
#endif

#endif
