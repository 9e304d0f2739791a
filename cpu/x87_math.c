/* SPDX-License-Identifier: MIT */
/* x87 functions of ST(0), and of ST(0) and ST(1): signs, roots, remainders, scaling, transcendentals. */
#include "cpu/x87_transcend.h"

/* Signs alone: no exception but the stack's, NaNs and unsupported forms included. */
static void sign(CPU, IN, u16 keep, u16 flip)
{
    x87_note(cpu, in);
    if (x87_empty(cpu, 0)) {
        if (x87_underflow(cpu))
            x87_set(cpu, 0, &X87_INDEFINITE);
        return;
    }

    struct x87_register *st = x87_st(cpu, 0);

    st->sign_exponent = (u16)((st->sign_exponent & keep) ^ flip);
    x87_condition(cpu, X87_C1, 0);
}

void op_fabs(CPU, IN)
{
    sign(cpu, in, 0x7fff, 0);
}

void op_fchs(CPU, IN)
{
    sign(cpu, in, 0xffff, 0x8000);
}

/*
 * ST(0) = f(ST(0)), or f(ST(0), ST(1)) where `binary`. `conditions`: what it tells in the condition codes
 * besides C1. True: it has a result.
 */
static bool function(CPU, IN, x87_fn *f, bool binary, u16 conditions, struct x87_run *run)
{
    x87_note(cpu, in);
    if (x87_empty(cpu, 0) || (binary && x87_empty(cpu, 1))) {
        x87_condition(cpu, conditions & X87_C2, 0);
        run->r = run->s = X87_INDEFINITE;
        run->sw = 0;
        return x87_underflow(cpu);
    }
    run->a = *x87_st(cpu, 0);
    run->b = *x87_st(cpu, 1);
    x87_begin(cpu, run);
    f(run);
    if (x87_end(cpu, run->sw)) {
        x87_condition(cpu, conditions, run->sw);
        return true;
    }
    x87_condition(cpu, conditions & X87_C2, 0);
    return false;
}

static void unary(CPU, IN, x87_fn *f, bool binary, u16 conditions)
{
    struct x87_run run;

    if (function(cpu, in, f, binary, conditions, &run))
        x87_set(cpu, 0, &run.r);
}

#define UNARY(name, f, binary, conditions)                                                                   \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        unary(cpu, in, f, binary, conditions);                                                               \
    }

UNARY(fsqrt, X87_UNIT.sqrt, false, 0)
UNARY(frndint, X87_UNIT.rndint, false, 0)
UNARY(f2xm1, x87_f2xm1, false, 0)
UNARY(fsin, x87_sin, false, X87_C2)
UNARY(fcos, x87_cos, false, X87_C2)
UNARY(fscale, X87_UNIT.scale, true, 0)

/*
 * Remainders: the quotient's low bits are in C0, C3 and C1, which without a quotient (a NaN) stay but for
 * C1.
 */
static void divide(CPU, IN, x87_fn *f)
{
    struct x87_run run;
    u16 old = cpu->x87.fsw & (X87_C0 | X87_C3);
    bool yes = function(cpu, in, f, true, X87_CONDITION, &run);

    if (yes && (run.r.sign_exponent & 0x7fff) == 0x7fff)
        x87_condition(cpu, X87_CONDITION, old);
    if (yes)
        x87_set(cpu, 0, &run.r);
}

void op_fprem(CPU, IN)
{
    divide(cpu, in, X87_UNIT.prem);
}

void op_fprem1(CPU, IN)
{
    divide(cpu, in, X87_UNIT.prem1);
}

/* ST(1) = f(ST(0), ST(1)), and a pop. */
static void popping(CPU, IN, x87_fn *f)
{
    struct x87_run run;

    if (function(cpu, in, f, true, 0, &run)) {
        x87_set(cpu, 1, &run.r);
        x87_pop(cpu);
    }
}

void op_fpatan(CPU, IN)
{
    popping(cpu, in, x87_patan);
}

void op_fyl2x(CPU, IN)
{
    popping(cpu, in, x87_yl2x);
}

void op_fyl2xp1(CPU, IN)
{
    popping(cpu, in, x87_yl2xp1);
}

/* One value in, two out: the second is pushed. An operand out of range (C2) leaves all as it is. */
static void pushing(CPU, IN, x87_fn *f, u16 conditions)
{
    struct x87_run run;

    if (!x87_empty(cpu, 0) && !x87_empty(cpu, 7)) {
        x87_note(cpu, in);
        x87_condition(cpu, conditions, 0);
        if (!x87_overflow(cpu))
            return;
        run.r = run.s = X87_INDEFINITE;
    } else if (!function(cpu, in, f, false, conditions, &run) || (conditions & run.sw & X87_C2)) {
        return;
    }
    x87_set(cpu, 0, &run.s);
    x87_push(cpu, &run.r);
}

void op_fxtract(CPU, IN)
{
    pushing(cpu, in, X87_UNIT.xtract, 0);
}

void op_fsincos(CPU, IN)
{
    pushing(cpu, in, x87_sincos, X87_C2);
}

void op_fptan(CPU, IN)
{
    pushing(cpu, in, x87_ptan, X87_C2);
}
