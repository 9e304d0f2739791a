/* SPDX-License-Identifier: MIT */
/* x87 arithmetic and comparison: of registers, of a register with memory. */
#include "cpu/x87.h"

static enum x87_source source_of(IN, bool integer)
{
    if (in->shape != S_M)
        return X87_ST;
    if (integer)
        return in->width == W16 ? X87_I16 : X87_I32;
    return in->width == W32 ? X87_F32 : X87_F64;
}

/* Reads the memory operand into run->b, and leaves FIP and company behind. */
static void fetch(CPU, IN, struct x87_run *run)
{
    struct place p;
    unsigned size = width_size(in->width);

    place_operand(cpu, in, &p, size, ACCESS_READ);
    copy_bytes(&run->b, p.bytes, size);
    x87_note_memory(cpu, in);
}

static void arith(CPU, IN, x87_fn *const forms[X87_SOURCES], bool integer, bool pop)
{
    struct x87_run run;
    enum x87_source source = source_of(in, integer);
    unsigned dst = 0;
    bool empty;

    if (source == X87_ST) {
        dst = in->dst;
        empty = x87_empty(cpu, dst) || x87_empty(cpu, in->src);
        run.b = *x87_st(cpu, in->src);
        x87_note(cpu, in);
    } else {
        empty = x87_empty(cpu, 0);
        fetch(cpu, in, &run);
    }
    if (empty) {
        if (!x87_underflow(cpu))
            return;
        run.r = X87_INDEFINITE;
    } else {
        run.a = *x87_st(cpu, dst);
        x87_begin(cpu, &run);
        forms[source](&run);
        if (!x87_end(cpu, run.sw))
            return;
    }
    x87_set(cpu, dst, &run.r);
    if (pop)
        x87_pop(cpu);
}

#define ARITH(name)                                                                                          \
    void op_f##name(CPU, IN)                                                                                 \
    {                                                                                                        \
        arith(cpu, in, X87_UNIT.name, false, false);                                                          \
    }                                                                                                        \
    void op_f##name##p(CPU, IN)                                                                              \
    {                                                                                                        \
        arith(cpu, in, X87_UNIT.name, false, true);                                                           \
    }                                                                                                        \
    void op_fi##name(CPU, IN)                                                                                \
    {                                                                                                        \
        arith(cpu, in, X87_UNIT.name, true, false);                                                           \
    }

ARITH(add)
ARITH(sub)
ARITH(subr)
ARITH(mul)
ARITH(div)
ARITH(divr)

/* ---- comparison ---- */

/* C3, C2 and C0 say equal, unordered and less. */
enum { UNORDERED = X87_C3 | X87_C2 | X87_C0 };

/*
 * The condition codes or RFLAGS tell the outcome even where an unmasked exception keeps the stack from
 * being popped. So does Zen, on which FCOMI and its kin leave C1 alone.
 */
static bool outcome(CPU, struct x87_run *run, x87_fn *f, bool empty, bool to_flags)
{
    u16 c1 = cpu->x87.fsw & X87_C1;
    bool go_on;

    if (empty) {
        go_on = x87_underflow(cpu);
        run->sw = UNORDERED;
    } else {
        run->a = *x87_st(cpu, 0);
        x87_begin(cpu, run);
        run->guest = run->host; /* masked: else there is no outcome */
        f(run);
        go_on = x87_end(cpu, run->sw);
        if (to_flags)
            x87_condition(cpu, X87_C1, c1);
    }
    if (!to_flags)
        x87_condition(cpu, UNORDERED, run->sw);
    else
        x87_to_flags(cpu, run->sw);
    return go_on;
}

static void compare(CPU, IN, x87_fn *const forms[X87_SOURCES], bool integer, bool to_flags, unsigned pops)
{
    struct x87_run run;
    enum x87_source source = source_of(in, integer);
    bool empty = x87_empty(cpu, 0);

    if (source == X87_ST) {
        unsigned other = in->shape == S_ ? 1 : in->shape == S_R ? in->dst : in->src;

        empty = empty || x87_empty(cpu, other);
        run.b = *x87_st(cpu, other);
        x87_note(cpu, in);
    } else {
        fetch(cpu, in, &run);
    }
    if (!outcome(cpu, &run, forms[source], empty, to_flags))
        return;
    while (pops--)
        x87_pop(cpu);
}

#define COMPARE(name, forms, integer, to_flags, pops)                                                        \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        compare(cpu, in, forms, integer, to_flags, pops);                                                    \
    }

COMPARE(fcom, X87_UNIT.com, false, false, 0)
COMPARE(fcomp, X87_UNIT.com, false, false, 1)
COMPARE(fcompp, X87_UNIT.com, false, false, 2)
COMPARE(ficom, X87_UNIT.com, true, false, 0)
COMPARE(ficomp, X87_UNIT.com, true, false, 1)
COMPARE(fucom, X87_UNIT.ucom, false, false, 0)
COMPARE(fucomp, X87_UNIT.ucom, false, false, 1)
COMPARE(fucompp, X87_UNIT.ucom, false, false, 2)
COMPARE(fcomi, X87_UNIT.com, false, true, 0)
COMPARE(fcomip, X87_UNIT.com, false, true, 1)
COMPARE(fucomi, X87_UNIT.ucom, false, true, 0)
COMPARE(fucomip, X87_UNIT.ucom, false, true, 1)

void op_ftst(CPU, IN)
{
    struct x87_run run;

    x87_note(cpu, in);
    outcome(cpu, &run, X87_UNIT.tst, x87_empty(cpu, 0), false);
}

/* Looks at anything, raises nothing. An empty register is C3 and C0, with the sign of what lies in it. */
void op_fxam(CPU, IN)
{
    struct x87_run run = { .a = *x87_st(cpu, 0) };

    x87_note(cpu, in);
    x87_begin(cpu, &run);
    X87_UNIT.xam(&run);
    if (x87_empty(cpu, 0))
        run.sw = (u16)(X87_C3 | X87_C0 | (run.sw & X87_C1));
    x87_condition(cpu, X87_CONDITION, run.sw);
}
