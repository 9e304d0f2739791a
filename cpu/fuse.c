/* SPDX-License-Identifier: MIT */
/*
 * CMP and TEST fused with the conditional jump behind them: the condition comes from the operands, and the flags are written for
 * whoever reads them later. On a TLB miss the two go one by one.
 */
#include "cpu/fuse.h"

#include <Zydis/Mnemonic.h>

#include "cpu/branch.h"
#include "cpu/verbs.h"

enum site { RR, RI, RM, MR, MI };
#define NO_FORM FORM_BASE

INLINE i64 as_signed(u64 v, unsigned w)
{
    return (i64)sign_extend(v, w);
}

/* Jcc's condition after a - b. */
INLINE bool compares(u64 a, u64 b, unsigned w, unsigned cc)
{
    bool yes;

    a &= ones(w);
    b &= ones(w);
    switch (cc >> 1) {
    case 1: yes = a < b; break;
    case 2: yes = a == b; break;
    case 3: yes = a <= b; break;
    case 4: yes = as_signed(a - b, w) < 0; break;
    case 6: yes = as_signed(a, w) < as_signed(b, w); break;
    default: yes = as_signed(a, w) <= as_signed(b, w); break;
    }
    return yes ^ (cc & 1);
}

/* Jcc's condition after a & b: CF and OF are clear. */
INLINE bool tests(u64 r, unsigned w, unsigned cc)
{
    bool yes;

    switch (cc >> 1) {
    case 1: yes = false; break;
    case 2:
    case 3: yes = (r & ones(w)) == 0; break;
    case 4:
    case 6: yes = as_signed(r, w) < 0; break;
    default: yes = as_signed(r, w) <= 0; break;
    }
    return yes ^ (cc & 1);
}

#define FUSED(name, verb, site, form, w, cc)                                                                           \
    static next name(CPU, IN)                                                                                          \
    {                                                                                                                  \
        const u8 *m = NULL;                                                                                            \
        if (site >= RM) {                                                                                              \
            m = place_hit(cpu, plain_linear(cpu, in, form), w / 8, false);                                             \
            if (unlikely(!m))                                                                                          \
                return run_body(cpu, in);                                                                              \
        }                                                                                                              \
        u64 a = site <= RM ? reg_read(cpu, in->dst, w) : load_bytes(m, w / 8);                                         \
        u64 b = site == RR || site == MR ? reg_read(cpu, in->src, w) : site == RM ? load_bytes(m, w / 8) : in->imm;    \
        verb_##verb(cpu, a, b, w, true);                                                                               \
        BRANCH_IF(IS_##verb(a, b, w, cc), in + 2);                                                                     \
    }
#define IS_sub(a, b, w, cc) compares(a, b, w, cc)
#define IS_and(a, b, w, cc) tests((a) & (b), w, cc)

/* Conditions that compilers use: B NB Z NZ BE NBE S NS L NL LE NLE. */
#define CONDITIONS(X, ...)                                                                                             \
    X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__)        \
    X(8, __VA_ARGS__) X(9, __VA_ARGS__) X(12, __VA_ARGS__) X(13, __VA_ARGS__) X(14, __VA_ARGS__) X(15, __VA_ARGS__)
#define MAKE(cc, verb, site, form, w) FUSED(verb##_##site##_##form##_##w##_##cc, verb, site, form, w, cc)
#define NAME(cc, verb, site, form, w) [cc] = verb##_##site##_##form##_##w##_##cc,

/* The combinations there are: every condition of each. */
#define COMBINATIONS(X)                                                                                                \
    X(sub, RR, NO_FORM, 8) X(sub, RR, NO_FORM, 32) X(sub, RR, NO_FORM, 64)                                             \
    X(sub, RI, NO_FORM, 8) X(sub, RI, NO_FORM, 32) X(sub, RI, NO_FORM, 64)                                             \
    X(sub, RM, FORM_BASE, 32) X(sub, RM, FORM_BASE, 64) X(sub, RM, FORM_INDEX, 32) X(sub, RM, FORM_INDEX, 64)          \
    X(sub, MR, FORM_BASE, 32) X(sub, MR, FORM_BASE, 64) X(sub, MR, FORM_INDEX, 32) X(sub, MR, FORM_INDEX, 64)          \
    X(sub, MI, FORM_BASE, 8) X(sub, MI, FORM_BASE, 32) X(sub, MI, FORM_BASE, 64)                                       \
    X(sub, MI, FORM_INDEX, 8) X(sub, MI, FORM_INDEX, 32)                                                               \
    X(and, RR, NO_FORM, 8) X(and, RR, NO_FORM, 32) X(and, RR, NO_FORM, 64)                                             \
    X(and, RI, NO_FORM, 8) X(and, RI, NO_FORM, 32) X(and, MI, FORM_BASE, 8) X(and, MI, FORM_BASE, 32)

#define MAKE_ALL(verb, site, form, w) CONDITIONS(MAKE, verb, site, form, w)
COMBINATIONS(MAKE_ALL)

enum { verb_is_sub, verb_is_and };

static const struct {
    u8 verb, site, form, width;
    run_fn *run[16];
} fused[] = {
#define ROW(verb, site, form, w) { verb_is_##verb, site, form, w, { CONDITIONS(NAME, verb, site, form, w) } },
    COMBINATIONS(ROW)
};

run_fn *fuse_compare(const struct insn *in, u32 mode, unsigned n)
{
    unsigned verb, site, form = FORM_BASE;

    if (n != 2 || in[1].op == in->op || ops[in[1].op].body != ops[ZYDIS_MNEMONIC_JZ].body || in[1].run == run_last)
        return NULL;
    if (in->op == ZYDIS_MNEMONIC_CMP)
        verb = verb_is_sub;
    else if (in->op == ZYDIS_MNEMONIC_TEST)
        verb = verb_is_and;
    else
        return NULL;
    switch (in->shape) {
    case S_RR: site = RR; break;
    case S_RI: site = RI; break;
    case S_RM: site = RM; break;
    case S_MR: site = MR; break;
    case S_MI: site = MI; break;
    default: return NULL;
    }
    if (verb == verb_is_and && site == MR)
        return NULL;
    if (site >= RM)
        form = address_form(in, mode);
    for (unsigned i = 0; i < sizeof fused / sizeof *fused; i++)
        if (fused[i].verb == verb && fused[i].site == site && fused[i].form == form &&
            fused[i].width == width_bits(in->width))
            return fused[i].run[in[1].disp & 15];
    return NULL;
}

run_fn *bind_fused(const struct insn *in, u32 mode, unsigned n)
{
    run_fn *run = fuse_compare(in, mode, n);

    return run ? run : fuse_stack(in, mode, n);
}
