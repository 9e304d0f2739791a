/* SPDX-License-Identifier: MIT */
/*
 * Fast handlers of ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT: each verb in each width and shape, with and
 * without its flags. The bodies for everything else are in arith.c.
 */
#include "cpu/handler.h"
#include "cpu/verbs.h"

enum verb { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NEG, NOT };

/* Where the operands are. */
enum site { RR, RI, RM, MR, MI, R1, M1 };

INLINE u64 compute(CPU, enum verb verb, u64 a, u64 b, unsigned w, bool flags)
{
    switch (verb) {
    case ADD: return verb_add(cpu, a, b, w, flags);
    case OR: return verb_or(cpu, a, b, w, flags);
    case ADC: return verb_adc(cpu, a, b, w, flags);
    case SBB: return verb_sbb(cpu, a, b, w, flags);
    case AND:
    case TEST: return verb_and(cpu, a, b, w, flags);
    case SUB:
    case CMP: return verb_sub(cpu, a, b, w, flags);
    case XOR: return verb_xor(cpu, a, b, w, flags);
    case INC: return verb_inc(cpu, a, w, flags);
    case DEC: return verb_dec(cpu, a, w, flags);
    case NEG: return verb_neg(cpu, a, w, flags);
    default: return ~a;
    }
}

INLINE bool alu(CPU, IN, enum verb verb, enum site site, enum form form, unsigned w, bool flags)
{
    bool writes = verb != CMP && verb != TEST;
    u8 *m = NULL;

    if (site == RM || site == MR || site == MI || site == M1) {
        m = place(cpu, in, form, w / 8, site != RM && writes ? ACCESS_WRITE : ACCESS_READ, false);
        if (unlikely(!m))
            return false;
    }
    u64 a = site == RR || site == RI || site == RM || site == R1 ? reg_read(cpu, in->dst, w) : load_bytes(m, w / 8);
    u64 b = site == RR || site == MR ? reg_read(cpu, in->src, w) : site == RM ? load_bytes(m, w / 8) : in->imm;
    u64 r = compute(cpu, verb, a, b, w, flags);

    if (writes) {
        if (site == MR || site == MI || site == M1)
            store_bytes(m, r, w / 8);
        else
            reg_write(cpu, in->dst, w, r);
    }
    return true;
}

/* ---- the variants: names are verb_site_form_width_flags ---- */

#define ONE(verb, site, form, w, f) FAST(verb##_##site##_##form##_##w##_##f, alu(cpu, in, verb, site, form, w, f))
#define FLAGS2(verb, site, form, w) ONE(verb, site, form, w, 0) ONE(verb, site, form, w, 1)
#define WIDTHS(X, verb, site, form) X(verb, site, form, 8) X(verb, site, form, 16) X(verb, site, form, 32) X(verb, site, form, 64)
#define IN_FORMS(X, verb, site)                                                                                        \
    WIDTHS(X, verb, site, FORM_BASE) WIDTHS(X, verb, site, FORM_INDEX) WIDTHS(X, verb, site, FORM_ANY)
#define TWO(X, verb)                                                                                                   \
    WIDTHS(X, verb, RR, FORM_BASE) WIDTHS(X, verb, RI, FORM_BASE) IN_FORMS(X, verb, RM) IN_FORMS(X, verb, MR)          \
        IN_FORMS(X, verb, MI)
#define SINGLE(X, verb) WIDTHS(X, verb, R1, FORM_BASE) IN_FORMS(X, verb, M1)

TWO(FLAGS2, ADD)
TWO(FLAGS2, OR)
TWO(FLAGS2, ADC)
TWO(FLAGS2, SBB)
TWO(FLAGS2, AND)
TWO(FLAGS2, SUB)
TWO(FLAGS2, XOR)
TWO(FLAGS2, CMP)
TWO(FLAGS2, TEST)
SINGLE(FLAGS2, INC)
SINGLE(FLAGS2, DEC)
SINGLE(FLAGS2, NEG)
SINGLE(FLAGS2, NOT)

/* ---- binding: [flags][width][site and form] ---- */

enum { SLOTS = 11 };

#define CELL(verb, site, form, w, f) verb##_##site##_##form##_##w##_##f
#define MEMORY3(verb, site, w, f)                                                                                      \
    CELL(verb, site, FORM_BASE, w, f), CELL(verb, site, FORM_INDEX, w, f), CELL(verb, site, FORM_ANY, w, f)
#define ROW2(verb, w, f)                                                                                               \
    {                                                                                                                  \
        CELL(verb, RR, FORM_BASE, w, f), CELL(verb, RI, FORM_BASE, w, f), MEMORY3(verb, RM, w, f),                     \
            MEMORY3(verb, MR, w, f), MEMORY3(verb, MI, w, f)                                                           \
    }
#define ROW1(verb, w, f) { CELL(verb, R1, FORM_BASE, w, f), NULL, MEMORY3(verb, M1, w, f) }
#define TABLE(ROW, verb)                                                                                               \
    [verb] = { { ROW(verb, 8, 0), ROW(verb, 16, 0), ROW(verb, 32, 0), ROW(verb, 64, 0) },                              \
               { ROW(verb, 8, 1), ROW(verb, 16, 1), ROW(verb, 32, 1), ROW(verb, 64, 1) } }

static run_fn *const handlers[][2][4][SLOTS] = {
    TABLE(ROW2, ADD), TABLE(ROW2, OR),  TABLE(ROW2, ADC),  TABLE(ROW2, SBB), TABLE(ROW2, AND), TABLE(ROW2, SUB), TABLE(ROW2, XOR),
    TABLE(ROW2, CMP), TABLE(ROW2, TEST), TABLE(ROW1, INC), TABLE(ROW1, DEC), TABLE(ROW1, NEG), TABLE(ROW1, NOT),
};

static run_fn *bind_verb(const struct insn *in, u32 mode, u32 live, enum verb verb)
{
    unsigned slot;

    if (in->lock || in->width > W64)
        return NULL;
    switch (in->shape) {
    case S_R:
    case S_RR: slot = 0; break;
    case S_RI: slot = 1; break;
    case S_M:
    case S_RM: slot = 2 + address_form(in, mode); break;
    case S_MR: slot = 5 + address_form(in, mode); break;
    case S_MI: slot = 8 + address_form(in, mode); break;
    default: return NULL;
    }
    return handlers[verb][live != 0][in->width][slot];
}

#include <Zydis/Mnemonic.h>

run_fn *bind_alu(const struct insn *in, u32 mode, u32 live)
{
    switch (in->op) {
    case ZYDIS_MNEMONIC_ADD: return bind_verb(in, mode, live, ADD);
    case ZYDIS_MNEMONIC_OR: return bind_verb(in, mode, live, OR);
    case ZYDIS_MNEMONIC_ADC: return bind_verb(in, mode, live, ADC);
    case ZYDIS_MNEMONIC_SBB: return bind_verb(in, mode, live, SBB);
    case ZYDIS_MNEMONIC_AND: return bind_verb(in, mode, live, AND);
    case ZYDIS_MNEMONIC_SUB: return bind_verb(in, mode, live, SUB);
    case ZYDIS_MNEMONIC_XOR: return bind_verb(in, mode, live, XOR);
    case ZYDIS_MNEMONIC_CMP: return bind_verb(in, mode, live, CMP);
    default: return NULL;
    }
}

run_fn *bind_test(const struct insn *in, u32 mode, u32 live)
{
    return bind_verb(in, mode, live, TEST);
}

run_fn *bind_incdec(const struct insn *in, u32 mode, u32 live)
{
    return bind_verb(in, mode, live, in->op == ZYDIS_MNEMONIC_INC ? INC : DEC);
}

run_fn *bind_negnot(const struct insn *in, u32 mode, u32 live)
{
    return bind_verb(in, mode, live, in->op == ZYDIS_MNEMONIC_NEG ? NEG : NOT);
}
