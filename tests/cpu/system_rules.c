/* SPDX-License-Identifier: MIT */
/*
 * Every kind of descriptor, at every DPL, RPL and CPL, against the rules of APM volume 2 4.8 to 4.12 for what
 * loads it or asks about it: written here a second time, as sentences, not as the processor does it.
 */
#include <stdio.h>
#include <string.h>

#include "tests/cpu/system_machine.h"

/* The descriptor in question is the LDT's second; its first is data of level 2. Gates are the third (and fourth). */
enum { SLOT = LDT + 8, SELECTOR = 0x0c, DATA2 = 0x06, GATE = LDT + 16, GATE_SELECTOR = 0x14, POINTER = 0x6000 };
enum { STACK1 = 0x6c00, STACK2 = 0x6400 };

static const struct {
    enum mode mode;
    unsigned cpl;
} places[] = { { PROTECTED0, 0 }, { PROTECTED0, 1 }, { PROTECTED3, 3 }, { LONG0, 0 }, { LONG3, 3 }, { COMPAT3, 3 } };
enum { PLACES = sizeof places / sizeof *places };

struct situation {
    enum mode mode;
    unsigned cpl;
    unsigned type; /* 0x10 to 0x1f: data and code */
    unsigned dpl, rpl;
    bool present, l, d;
    unsigned gate_dpl; /* of a call gate to it, whose selector has the RPL */
    bool gate_present;
};

static bool is_long(const struct situation *s) { return s->mode >= LONG0; }
static bool is_system(const struct situation *s) { return !(s->type & 0x10); }
static bool is_code(const struct situation *s) { return s->type >= 0x18; }
static bool is_data(const struct situation *s) { return !is_system(s) && !is_code(s); }
static bool is_conforming(const struct situation *s) { return is_code(s) && s->type & 4; }
static bool is_readable(const struct situation *s) { return is_data(s) || (is_code(s) && s->type & 2); }
static bool is_writable(const struct situation *s) { return is_data(s) && s->type & 2; }

/* As privileged as the descriptor wants it, both who asks and whom he asks for. */
static bool is_reachable(const struct situation *s)
{
    return is_conforming(s) || (s->cpl <= s->dpl && s->rpl <= s->dpl);
}

static bool is_one_of(unsigned type, const char *types) { return strchr(types, "0123456789ABCDEF"[type]) != NULL; }

/* What happens: 0, or a vector. */
enum { GOES = 0, NP = 11, SS = 12, GP = 13 };

static unsigned load_data(const struct situation *s)
{
    if (!is_readable(s) || !is_reachable(s))
        return GP;
    return s->present ? GOES : NP;
}

static unsigned load_stack(const struct situation *s)
{
    if (!is_writable(s) || s->rpl != s->cpl || s->dpl != s->cpl)
        return GP;
    return s->present ? GOES : SS;
}

static unsigned enter_code(const struct situation *s, bool may)
{
    if (!is_code(s) || !may || (is_long(s) && s->l && s->d))
        return GP;
    return s->present ? GOES : NP;
}

/* By JMP and CALL: conforming code from its own level and those outside of it, other code from its own level alone. */
static unsigned go_to_code(const struct situation *s)
{
    return enter_code(s, is_conforming(s) ? s->dpl <= s->cpl : s->dpl == s->cpl && s->rpl <= s->cpl);
}

/* By RET and IRET: the selector's RPL is the level returned to, which isn't inwards. */
static unsigned return_to_code(const struct situation *s)
{
    return enter_code(s, s->rpl >= s->cpl && (is_conforming(s) ? s->dpl <= s->rpl : s->dpl == s->rpl));
}

/* Through a gate: inwards by CALL, and by JMP at the same level alone. In long mode to 64-bit code alone. */
static unsigned go_by_gate(const struct situation *s, bool is_call)
{
    if (is_long(s) && !s->l)
        return GP;
    return enter_code(s, is_call || is_conforming(s) ? s->dpl <= s->cpl : s->dpl == s->cpl);
}

static UINT64 raw(const struct situation *s)
{
    return 0x008f00000000ffff | (UINT64)s->type << 40 | (UINT64)s->dpl << 45 | (UINT64)s->present << 47 |
           (UINT64)s->l << 53 | (UINT64)s->d << 54;
}

/* ---- scenarios made of situations ---- */

struct draft {
    struct scenario scenario;
    char name[160];
    unsigned sets, pokes, wants, sees;
};

static void set(struct draft *d, WHV_REGISTER_NAME name, UINT64 value)
{
    d->scenario.set[d->sets++] = (struct reg){ name, value };
}

static void poke(struct draft *d, UINT32 at, UINT32 size, UINT64 value)
{
    d->scenario.poke[d->pokes++] = (struct poke){ at, size, value };
}

static void want(struct draft *d, WHV_REGISTER_NAME name, UINT64 value)
{
    d->scenario.want[d->wants++] = (struct reg){ name, value };
}

static void see(struct draft *d, UINT32 at, UINT32 size, UINT64 value)
{
    d->scenario.see[d->sees++] = (struct poke){ at, size, value };
}

static void begin(struct draft *d, const struct situation *s, const char *what, const char *code)
{
    memset(d, 0, sizeof *d);
    snprintf(d->name, sizeof d->name, "%s: mode %d, CPL %u, type %02x, DPL %u, RPL %u, P %d, L %d, D %d", what, s->mode,
             s->cpl, s->type, s->dpl, s->rpl, s->present, s->l, s->d);
    d->scenario.name = d->name;
    d->scenario.mode = s->mode;
    d->scenario.code = code;
    poke(d, SLOT, 8, raw(s));
    poke(d, LDT + (DATA2 & ~7), 8, 0x00cfd3000000ffff);
    set(d, WHvX64RegisterLdtr, LDT_SELECTOR);
    if (s->cpl == 1) {
        set(d, WHvX64RegisterCs, CODE1);
        set(d, WHvX64RegisterSs, DATA1);
        set(d, WHvX64RegisterDs, DATA1);
    }
}

/* The HLT at an address is reached. */
static void expect_goes(struct draft *d, UINT64 at, unsigned cpl)
{
    d->scenario.reason = cpl ? (UINT32)WHvRunVpExitReasonException : (UINT32)WHvRunVpExitReasonX64Halt;
    d->scenario.vector = GP;
    d->scenario.rip = cpl ? at : at + 1;
}

static void expect_fault(struct draft *d, unsigned vector, unsigned error)
{
    d->scenario.reason = WHvRunVpExitReasonException;
    d->scenario.vector = vector;
    d->scenario.error = error;
}

/* The accessed bit is set by what goes, and by nothing else. */
static void expect_accessed(struct draft *d, const struct situation *s, unsigned vector)
{
    see(d, SLOT, 8, raw(s) | (vector == GOES ? (UINT64)1 << 40 : 0));
}

static void try_load(const struct situation *s, bool stack)
{
    struct draft d;
    unsigned vector = stack ? load_stack(s) : load_data(s);

    begin(&d, s, stack ? "MOV SS" : "MOV DS", stack ? "8e d0" : "8e d8");
    set(&d, WHvX64RegisterRax, SELECTOR | s->rpl);
    expect_accessed(&d, s, vector);
    if (vector == GOES) {
        expect_goes(&d, CODE + 2, s->cpl);
        want(&d, stack ? WHvX64RegisterSs : WHvX64RegisterDs, SELECTOR | s->rpl);
    } else {
        expect_fault(&d, vector, SELECTOR);
    }
    play(&d.scenario);
}

/* VERR, VERW, LAR and LSL one after the other; their ZF in DL, DH, CL and CH. */
static void ask(const struct situation *s)
{
    bool lar = is_one_of(s->type & 15, is_long(s) ? "29BC" : "123459BC");
    bool lsl = is_one_of(s->type & 15, is_long(s) ? "29B" : "1239B");
    struct draft d;

    if (!is_system(s))
        lar = lsl = true;
    lar = lar && is_reachable(s);
    lsl = lsl && is_reachable(s);
    begin(&d, s, "questions", "0f 00 e6  0f 94 c2  0f 00 ee  0f 94 c6  0f 02 c6  0f 94 c1  0f 03 fe  0f 94 c5");
    set(&d, WHvX64RegisterRsi, SELECTOR | s->rpl);
    set(&d, WHvX64RegisterRdi, 0x1234);
    set(&d, WHvX64RegisterRdx, 0);
    expect_goes(&d, CODE + 24, s->cpl);
    want(&d, WHvX64RegisterRdx, (is_readable(s) && is_reachable(s)) | (is_writable(s) && is_reachable(s)) << 8);
    want(&d, WHvX64RegisterRcx, lar | lsl << 8);
    want(&d, WHvX64RegisterRdi, lsl ? 0xffffffff : 0x1234);
    if (lar)
        want(&d, WHvX64RegisterRax, raw(s) >> 32 & 0xffff00);
    see(&d, SLOT, 8, raw(s));
    play(&d.scenario);
}

/* JMP or CALL by the pointer. */
static const char *code_to_go(const struct situation *s, bool is_call)
{
    if (s->mode == LONG0 || s->mode == LONG3)
        return is_call ? "ff 1c 25 00 60 00 00" : "ff 2c 25 00 60 00 00";
    return is_call ? "ff 1d 00 60 00 00" : "ff 2d 00 60 00 00";
}

static void try_go(const struct situation *s, bool is_call)
{
    unsigned vector = go_to_code(s);
    struct draft d;

    if (is_system(s) && is_one_of(s->type, is_long(s) ? "C" : "1459C")) /* gates and tasks */
        return;
    begin(&d, s, is_call ? "CALL" : "JMP", code_to_go(s, is_call));
    poke(&d, POINTER, 4, TARGET);
    poke(&d, POINTER + 4, 2, SELECTOR | s->rpl);
    expect_accessed(&d, s, vector);
    if (vector == GOES) {
        expect_goes(&d, TARGET, s->cpl);
        want(&d, WHvX64RegisterCs, SELECTOR | s->cpl);
        want(&d, WHvX64RegisterRsp, (s->cpl == 3 ? STACK3 : STACK0) - (is_call ? 8 : 0));
    } else {
        expect_fault(&d, vector, SELECTOR);
    }
    play(&d.scenario);
}

static void try_gate(const struct situation *s, bool is_call)
{
    static const UINT32 tops[] = { STACK0, STACK1, STACK2, STACK3 };
    static const UINT16 stacks[] = { DATA0, DATA1, DATA2, USER_DATA };
    unsigned size = is_long(s) ? 8 : 4, level = is_conforming(s) ? s->cpl : s->dpl, vector = go_by_gate(s, is_call);
    bool is_allowed = s->gate_dpl >= s->cpl && s->gate_dpl >= s->rpl, is_inner = level < s->cpl;
    struct draft d;

    begin(&d, s, is_call ? "CALL by a gate" : "JMP by a gate", code_to_go(s, is_call));
    snprintf(d.name + strlen(d.name), sizeof d.name - strlen(d.name), ", gate DPL %u, P %d", s->gate_dpl,
             s->gate_present);
    poke(&d, POINTER + 4, 2, GATE_SELECTOR | s->rpl);
    poke(&d, GATE, 8, TARGET | (UINT64)SELECTOR << 16 | (UINT64)(0xc | s->gate_dpl << 5 | s->gate_present << 7) << 40);
    if (is_long(s)) {
        poke(&d, TSS + 12, 8, STACK1);
        poke(&d, TSS + 20, 8, STACK2);
    } else {
        poke(&d, TSS + 20, 8, STACK2 | (UINT64)DATA2 << 32);
    }
    if (!is_allowed || !s->gate_present) {
        expect_fault(&d, is_allowed ? NP : GP, GATE_SELECTOR);
        see(&d, SLOT, 8, raw(s));
    } else if (vector != GOES) {
        expect_fault(&d, vector, SELECTOR);
        see(&d, SLOT, 8, raw(s));
    } else {
        expect_goes(&d, TARGET, level);
        expect_accessed(&d, s, vector);
        want(&d, WHvX64RegisterCs, SELECTOR | level);
        want(&d, WHvX64RegisterSs, is_inner && is_long(s) ? level : stacks[level]);
        want(&d, WHvX64RegisterRsp,
             is_inner ? tops[level] - 4 * size : (s->cpl == 3 ? STACK3 : STACK0) - is_call * 2 * size);
    }
    play(&d.scenario);
}

static void try_return(const struct situation *s, bool is_iret)
{
    static const UINT16 stacks[] = { DATA0, DATA1, DATA2, USER_DATA };
    bool is64 = s->mode == LONG0 || s->mode == LONG3, is_outer = s->rpl > s->cpl;
    unsigned vector = return_to_code(s), size = is64 ? 8 : 4;
    UINT32 at = POINTER;
    struct draft d;

    begin(&d, s, is_iret ? "IRET" : "RET", is_iret ? (is64 ? "48 cf" : "cf") : (is64 ? "48 cb" : "cb"));
    set(&d, WHvX64RegisterRsp, POINTER);
    poke(&d, at, size, TARGET);
    poke(&d, at += size, size, SELECTOR | s->rpl);
    if (is_iret)
        poke(&d, at += size, size, 2);
    poke(&d, at += size, size, STACK3);
    poke(&d, at += size, size, stacks[s->rpl]);
    expect_accessed(&d, s, vector);
    if (vector == GOES) {
        expect_goes(&d, TARGET, s->rpl);
        want(&d, WHvX64RegisterCs, SELECTOR | s->rpl);
        want(&d, WHvX64RegisterSs, stacks[s->rpl]);
        want(&d, WHvX64RegisterRsp, is_outer || (is_iret && is64) ? STACK3 : POINTER + (is_iret ? 3 : 2) * size);
        want(&d, WHvX64RegisterDs, is_outer ? 0 : s->cpl == 3 ? USER_DATA : s->cpl == 1 ? DATA1 : DATA0);
    } else {
        expect_fault(&d, vector, SELECTOR);
    }
    play(&d.scenario);
}

static void mov_ds(const struct situation *s) { try_load(s, false); }
static void mov_ss(const struct situation *s) { try_load(s, true); }
static void jmp(const struct situation *s) { try_go(s, false); }
static void call(const struct situation *s) { try_go(s, true); }
static void ret(const struct situation *s) { try_return(s, false); }
static void iret(const struct situation *s) { try_return(s, true); }

static const struct {
    void (*try)(const struct situation *s);
    bool for_code; /* L and D matter */
} tries[] = {
    { mov_ds, false }, { mov_ss, false }, { ask, false }, { jmp, true }, { call, true }, { ret, true }, { iret, true },
};
enum { TRIES = sizeof tries / sizeof *tries };

START_TEST(descriptors_are_judged_as_the_manual_says)
{
    struct situation s = { .mode = places[_i % PLACES].mode, .cpl = places[_i % PLACES].cpl };
    unsigned which = (unsigned)_i / PLACES;

    keep_machine(true);
    for (unsigned bits = 0; bits < 1 << 12; bits++) {
        s.type = bits & 31, s.dpl = bits >> 5 & 3, s.rpl = bits >> 7 & 3, s.present = bits >> 9 & 1;
        s.d = bits >> 10 & 1, s.l = bits >> 11 & 1;
        if ((s.l || s.d) && (!tries[which].for_code || !is_code(&s)))
            continue;
        tries[which].try(&s);
    }
    keep_machine(false);
}
END_TEST

START_TEST(gates_are_judged_as_the_manual_says)
{
    static const UINT8 types[] = { 0x02, 0x13, 0x1b, 0x1f }; /* an LDT, data, code, conforming code */
    struct situation s = { .mode = places[_i % PLACES].mode, .cpl = places[_i % PLACES].cpl };

    keep_machine(true);
    for (unsigned bits = 0; bits < 1 << 12; bits++) {
        s.type = types[bits & 3], s.dpl = bits >> 2 & 3, s.rpl = bits >> 4 & 3, s.gate_dpl = bits >> 6 & 3;
        s.present = bits >> 8 & 1, s.gate_present = bits >> 9 & 1, s.d = bits >> 10 & 1, s.l = bits >> 11 & 1;
        if (s.l == is_long(&s))
            try_gate(&s, _i >= PLACES);
    }
    keep_machine(false);
}
END_TEST

TCase *system_rule_cases(void)
{
    TCase *t = tcase_create("rules");

    tcase_add_loop_test(t, descriptors_are_judged_as_the_manual_says, 0, TRIES * PLACES);
    tcase_add_loop_test(t, gates_are_judged_as_the_manual_says, 0, 2 * PLACES);
    return t;
}
