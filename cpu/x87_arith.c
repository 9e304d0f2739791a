/* SPDX-License-Identifier: MIT */
/* x87 arithmetic and comparison: of registers, of a register with memory. */
#include "cpu/x87.h"

/* What the second operand is: a register, or memory of a kind. */
enum source { SOURCE_ST, SOURCE_F32, SOURCE_F64, SOURCE_I16, SOURCE_I32, SOURCES };

/* Memory operands go to the host's instruction as they are: which NaN wins, and DE, depend on their form. */
#define X87_ARITH(name)                                                                                      \
    X87_BINARY(name, "f" #name " %%st(1), %%st")                                                             \
    X87_UNARY(name##_f32, "f" #name "s %[b]")                                                                \
    X87_UNARY(name##_f64, "f" #name "l %[b]")                                                                \
    X87_UNARY(name##_i16, "fi" #name "s %[b]")                                                               \
    X87_UNARY(name##_i32, "fi" #name "l %[b]")                                                               \
    static x87_fn *const name##_forms[SOURCES] = { x87_##name, x87_##name##_f32, x87_##name##_f64,           \
                                                   x87_##name##_i16, x87_##name##_i32 };

X87_ARITH(add)
X87_ARITH(sub)
X87_ARITH(subr)
X87_ARITH(mul)
X87_ARITH(div)
X87_ARITH(divr)

X87_BINARY(com, "fcom %%st(1)")
X87_UNARY(com_f32, "fcoms %[b]")
X87_UNARY(com_f64, "fcoml %[b]")
X87_UNARY(com_i16, "ficoms %[b]")
X87_UNARY(com_i32, "ficoml %[b]")
X87_BINARY(ucom, "fucom %%st(1)")
X87_UNARY(tst, "ftst")
X87_UNARY(xam, "fxam")

static x87_fn *const com_forms[SOURCES] = { x87_com, x87_com_f32, x87_com_f64, x87_com_i16, x87_com_i32 };

static enum source source_of(IN, bool integer)
{
    if (in->shape != S_M)
        return SOURCE_ST;
    if (integer)
        return in->width == W16 ? SOURCE_I16 : SOURCE_I32;
    return in->width == W32 ? SOURCE_F32 : SOURCE_F64;
}

/* Reads the memory operand into run->b, and leaves FIP and company behind. */
static void fetch(CPU, IN, struct x87_run *run)
{
    struct place p;
    unsigned size = width_size(in->width);

    place_operand(cpu, in, &p, size, ACCESS_READ);
    memcpy(&run->b, p.bytes, size);
    x87_note_memory(cpu, in);
}

static void arith(CPU, IN, x87_fn *const forms[SOURCES], bool integer, bool pop)
{
    struct x87_run run;
    enum source source = source_of(in, integer);
    unsigned dst = 0;
    bool empty;

    if (source == SOURCE_ST) {
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
        arith(cpu, in, name##_forms, false, false);                                                          \
    }                                                                                                        \
    void op_f##name##p(CPU, IN)                                                                              \
    {                                                                                                        \
        arith(cpu, in, name##_forms, false, true);                                                           \
    }                                                                                                        \
    void op_fi##name(CPU, IN)                                                                                \
    {                                                                                                        \
        arith(cpu, in, name##_forms, true, false);                                                           \
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

static void compare(CPU, IN, x87_fn *const forms[SOURCES], bool integer, bool to_flags, unsigned pops)
{
    struct x87_run run;
    enum source source = source_of(in, integer);
    bool empty = x87_empty(cpu, 0);

    if (source == SOURCE_ST) {
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

static x87_fn *const ucom_forms[SOURCES] = { x87_ucom };

#define COMPARE(name, forms, integer, to_flags, pops)                                                        \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        compare(cpu, in, forms, integer, to_flags, pops);                                                    \
    }

COMPARE(fcom, com_forms, false, false, 0)
COMPARE(fcomp, com_forms, false, false, 1)
COMPARE(fcompp, com_forms, false, false, 2)
COMPARE(ficom, com_forms, true, false, 0)
COMPARE(ficomp, com_forms, true, false, 1)
COMPARE(fucom, ucom_forms, false, false, 0)
COMPARE(fucomp, ucom_forms, false, false, 1)
COMPARE(fucompp, ucom_forms, false, false, 2)
COMPARE(fcomi, com_forms, false, true, 0)
COMPARE(fcomip, com_forms, false, true, 1)
COMPARE(fucomi, ucom_forms, false, true, 0)
COMPARE(fucomip, ucom_forms, false, true, 1)

void op_ftst(CPU, IN)
{
    struct x87_run run;

    x87_note(cpu, in);
    outcome(cpu, &run, x87_tst, x87_empty(cpu, 0), false);
}

/* Looks at anything, raises nothing. An empty register is C3 and C0, with the sign of what lies in it. */
void op_fxam(CPU, IN)
{
    struct x87_run run = { .a = *x87_st(cpu, 0) };

    x87_note(cpu, in);
    x87_begin(cpu, &run);
    x87_xam(&run);
    if (x87_empty(cpu, 0))
        run.sw = (u16)(X87_C3 | X87_C0 | (run.sw & X87_C1));
    x87_condition(cpu, X87_CONDITION, run.sw);
}
