/* SPDX-License-Identifier: MIT */
/* x87 loads, stores and moves between registers. */
#include "cpu/x87.h"

static void push_value(CPU, bool room, const struct x87_register *value)
{
    if (room) {
        x87_condition(cpu, X87_C1, 0);
        x87_push(cpu, value);
    } else if (x87_overflow(cpu)) {
        x87_push(cpu, &X87_INDEFINITE);
    }
}

/* Constants round as the control word says. */
static void constant(CPU, IN, x87_fn *f)
{
    struct x87_run run;

    x87_note(cpu, in);
    x87_begin(cpu, &run);
    f(&run);
    push_value(cpu, x87_empty(cpu, 7), &run.r);
}

#define CONSTANT(name)                                                                                       \
    void op_f##name(CPU, IN)                                                                                 \
    {                                                                                                        \
        constant(cpu, in, X87_UNIT.name);                                                                    \
    }

CONSTANT(ld1)
CONSTANT(ldz)
CONSTANT(ldpi)
CONSTANT(ldl2e)
CONSTANT(ldl2t)
CONSTANT(ldlg2)
CONSTANT(ldln2)

/* ---- loads ---- */

static void fetch(CPU, IN, void *bytes, unsigned size)
{
    struct place p;
    struct span s;

    if (size == SPAN_EXTENDED) {
        span_open(cpu, in, &s, size, 0, ACCESS_READ);
        span_load(cpu, in, &s, bytes);
    } else {
        place_operand(cpu, in, &p, size, ACCESS_READ);
        copy_bytes(bytes, p.bytes, size);
    }
}

/*
 * As seen on a Zen 3, a denormal operand is pushed, and #MF comes after it, also where DM is clear: the conversion is
 * exact, and DE isn't what stops it.
 */
static void load(CPU, IN, x87_fn *f, unsigned size)
{
    struct x87_run run;

    fetch(cpu, in, &run.b, size);
    x87_note_memory(cpu, in);
    if (!x87_empty(cpu, 7)) {
        push_value(cpu, false, NULL);
        return;
    }
    x87_begin(cpu, &run);
    f(&run);
    if (x87_end(cpu, run.sw) || !(run.sw & (X87_IE | X87_ZE)))
        push_value(cpu, true, &run.r);
}

void op_fld(CPU, IN)
{
    struct x87_register value;

    if (in->shape == S_M && in->width != W80) {
        load(cpu, in, X87_UNIT.ld_real[in->width == W64], width_size(in->width));
        return;
    }
    if (in->shape == S_M) {
        fetch(cpu, in, &value, SPAN_EXTENDED);
        x87_note_memory(cpu, in);
    } else {
        x87_note(cpu, in);
        if (x87_empty(cpu, in->dst)) { /* before the push overflows */
            if (x87_underflow(cpu))
                x87_push(cpu, &X87_INDEFINITE);
            return;
        }
        value = *x87_st(cpu, in->dst);
    }
    push_value(cpu, x87_empty(cpu, 7), &value);
}

void op_fild(CPU, IN)
{
    load(cpu, in, X87_UNIT.ld_integer[in->width - W16], width_size(in->width));
}

void op_fbld(CPU, IN)
{
    load(cpu, in, X87_UNIT.ld_bcd, SPAN_EXTENDED);
}

/* ---- stores ---- */

/* A result with OE or UE unmasked has no place in memory: nothing is stored, nothing popped. */
static bool is_stored(const struct vcpu *cpu, u16 sw)
{
    return x87_masked(cpu, sw & (X87_IE | X87_DE | X87_ZE | X87_OE | X87_UE));
}

/*
 * What a store does to the stack, and which bytes it has for memory. `indefinite`: those of an empty
 * register.
 */
static bool convert(CPU, x87_fn *f, const struct x87_register *indefinite, struct x87_run *run)
{
    if (x87_empty(cpu, 0)) {
        run->b = *indefinite;
        return x87_underflow(cpu);
    }
    run->a = *x87_st(cpu, 0);
    x87_begin(cpu, run);
    f(run);
    x87_end(cpu, run->sw);
    return is_stored(cpu, run->sw);
}

static void store(CPU, IN, x87_fn *f, unsigned size, const struct x87_register *indefinite, bool pop)
{
    struct x87_run run;
    struct place p;

    place_operand(cpu, in, &p, size, ACCESS_WRITE);
    x87_note_memory(cpu, in);
    if (!convert(cpu, f, indefinite, &run))
        return;
    copy_bytes(p.bytes, &run.b, size);
    place_commit(cpu, &p);
    if (pop)
        x87_pop(cpu);
}

static void store_real(CPU, IN, bool pop)
{
    static const struct x87_register indefinite32 = { 0xffc00000u, 0 };
    static const struct x87_register indefinite64 = { 0xfff8000000000000u, 0 };

    if (in->width == W32)
        store(cpu, in, X87_UNIT.st_real[0], 4, &indefinite32, pop);
    else
        store(cpu, in, X87_UNIT.st_real[1], 8, &indefinite64, pop);
}

/* ST(0) as it is, unconverted: only the stack can fault. */
static void store_extended(CPU, IN)
{
    struct x87_register value = *x87_st(cpu, 0);
    struct span s;

    span_open(cpu, in, &s, SPAN_EXTENDED, 0, ACCESS_WRITE);
    x87_note_memory(cpu, in);
    if (x87_empty(cpu, 0)) {
        if (!x87_underflow(cpu))
            return;
        value = X87_INDEFINITE;
    } else {
        x87_condition(cpu, X87_C1, 0);
    }
    span_store(cpu, in, &s, &value);
    x87_pop(cpu);
}

static void store_register(CPU, IN, bool pop)
{
    struct x87_register value = *x87_st(cpu, 0);

    x87_note(cpu, in);
    if (x87_empty(cpu, 0)) {
        if (!x87_underflow(cpu))
            return;
        value = X87_INDEFINITE;
    } else {
        x87_condition(cpu, X87_C1, 0);
    }
    x87_set(cpu, in->dst, &value);
    if (pop)
        x87_pop(cpu);
}

void op_fst(CPU, IN)
{
    if (in->shape == S_M)
        store_real(cpu, in, false);
    else
        store_register(cpu, in, false);
}

void op_fstp(CPU, IN)
{
    if (in->shape != S_M)
        store_register(cpu, in, true);
    else if (in->width == W80)
        store_extended(cpu, in);
    else
        store_real(cpu, in, true);
}

/* D9 D8+i, undocumented: FSTP that from an empty register stores nothing, instead of faulting. */
void op_fstpnce(CPU, IN)
{
    struct x87_register value = *x87_st(cpu, 0);

    x87_note(cpu, in);
    x87_condition(cpu, X87_C1, 0);
    if (!x87_empty(cpu, 0))
        x87_set(cpu, in->dst, &value);
    x87_pop(cpu);
}

static void store_integer(CPU, IN, x87_fn *const by[3], bool pop)
{
    static const struct x87_register indefinite[3] = { { 0x8000, 0 }, { 0x80000000u, 0 },
                                                       { 0x8000000000000000u, 0 } };
    unsigned n = in->width - W16;

    store(cpu, in, by[n], 2u << n, &indefinite[n], pop);
}

void op_fist(CPU, IN)
{
    store_integer(cpu, in, X87_UNIT.st_integer, false);
}

void op_fistp(CPU, IN)
{
    store_integer(cpu, in, X87_UNIT.st_integer, true);
}

/* FISTTP, which is SSE3's: toward zero, whatever the control word says. */
#define TRUNCATION(n)                                                                                        \
    static void truncation_##n(struct x87_run *run)                                                          \
    {                                                                                                        \
        run->guest |= 3 << 10;                                                                               \
        X87_UNIT.st_integer[n](run);                                                                         \
    }

TRUNCATION(0)
TRUNCATION(1)
TRUNCATION(2)

void op_fisttp(CPU, IN)
{
    static x87_fn *const truncated[3] = { truncation_0, truncation_1, truncation_2 };

    store_integer(cpu, in, truncated, true);
}

void op_fbstp(CPU, IN)
{
    static const struct x87_register indefinite = { 0xc000000000000000u, 0xffff }; /* of packed decimals */
    struct x87_run run;
    struct span s;

    span_open(cpu, in, &s, SPAN_EXTENDED, 0, ACCESS_WRITE);
    x87_note_memory(cpu, in);
    if (!convert(cpu, X87_UNIT.st_bcd, &indefinite, &run))
        return;
    span_store(cpu, in, &s, &run.b);
    x87_pop(cpu);
}

/* ---- between registers ---- */

void op_fxch(CPU, IN)
{
    unsigned i = in->dst;

    x87_note(cpu, in);
    if (x87_empty(cpu, 0) || x87_empty(cpu, i)) {
        if (!x87_underflow(cpu))
            return;
        if (x87_empty(cpu, 0))
            x87_set(cpu, 0, &X87_INDEFINITE);
        if (x87_empty(cpu, i))
            x87_set(cpu, i, &X87_INDEFINITE);
    }

    struct x87_register a = *x87_st(cpu, 0), b = *x87_st(cpu, i);

    x87_set(cpu, 0, &b);
    x87_set(cpu, i, &a);
    x87_condition(cpu, X87_C1, 0);
}

/* An empty register faults whatever the condition says. */
static void move_if(CPU, IN, bool yes)
{
    x87_note(cpu, in);
    if (x87_empty(cpu, 0) || x87_empty(cpu, in->src)) {
        if (x87_underflow(cpu))
            x87_set(cpu, 0, &X87_INDEFINITE);
        return;
    }
    if (yes) /* C1 stays */
        x87_set(cpu, 0, x87_st(cpu, in->src));
}

#define MOVE_IF(name, yes)                                                                                   \
    void op_##name(CPU, IN)                                                                                  \
    {                                                                                                        \
        move_if(cpu, in, yes);                                                                               \
    }

MOVE_IF(fcmovb, flag_cf(cpu))
MOVE_IF(fcmove, flag_zf(cpu))
MOVE_IF(fcmovbe, flag_cf(cpu) || flag_zf(cpu))
MOVE_IF(fcmovu, flag_pf(cpu))
MOVE_IF(fcmovnb, !flag_cf(cpu))
MOVE_IF(fcmovne, !flag_zf(cpu))
MOVE_IF(fcmovnbe, !flag_cf(cpu) && !flag_zf(cpu))
MOVE_IF(fcmovnu, !flag_pf(cpu))
