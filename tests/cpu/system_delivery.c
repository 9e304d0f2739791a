/* SPDX-License-Identifier: MIT */
/* From a vector to its handler, branch by branch: SDM 2A INT n, APM 3 INT, APM 2 8. */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)
#define TS(e) FAULT(10, e)
#define NP(e) FAULT(11, e)
#define SS(e) FAULT(12, e)
#define UNRECOVERABLE .deliver = true, .reason = WHvRunVpExitReasonUnrecoverableException, .rip = CODE

enum { V = 0x30, GATE_ERROR = V * 8 + 2 };

/* Of a vector's gate, outside and in long mode: its selector, type byte, and IST. */
#define SELECTOR(v, s) { IDT + (v)*8 + 2, 2, s }
#define TYPE(v, t) { IDT + (v)*8 + 5, 1, t }
#define SELECTOR64(v, s) { IDT + (v)*16 + 2, 2, s }
#define TYPE64(v, t) { IDT + (v)*16 + 5, 1, t }
#define IST64(v) { IDT + (v)*16 + 4, 1, 1 }
/* Of a descriptor: its type byte, its flags, the low half of its limit. */
#define ACCESS_BYTE(s, b) { GDT + ((s) & ~7u) + 5, 1, b }
#define FLAGS_BYTE(s, b) { GDT + ((s) & ~7u) + 6, 1, b }
#define LIMIT(s, l) { GDT + ((s) & ~7u), 2, l }

/*
 * INT 30 and an interrupt 30 that fail alike: the second's error codes have EXT. The gate's DPL is asked by the
 * first alone.
 */
static const struct scenario failures[] = {
    /* Protected mode. */
    { "past the IDT", PROTECTED3, .set = { GPR(Idtr, V * 8 + 6) }, GP(GATE_ERROR) },
    { "an absent gate", PROTECTED3, .poke = { TYPE(V, 0x6e) }, NP(GATE_ERROR) },
    { "an absent task gate", PROTECTED3, .poke = { TYPE(V, 0x65) }, NP(GATE_ERROR) },
    { "the type comes before presence", PROTECTED3, .poke = { TYPE(V, 0x6c) }, GP(GATE_ERROR) },
    { "a null handler", PROTECTED3, .poke = { SELECTOR(V, 3) }, GP(0) },
    { "a handler past the GDT", PROTECTED3, .poke = { SELECTOR(V, 0x1f8) }, GP(0x1f8) },
    { "a handler without an LDT", PROTECTED3, .poke = { SELECTOR(V, 0xc) }, GP(0xc) },
    { "a handler in data", PROTECTED3, .poke = { SELECTOR(V, DATA0) }, GP(DATA0) },
    { "a handler in a TSS", PROTECTED3, .poke = { SELECTOR(V, TSS32) }, GP(TSS32) },
    { "a handler outwards", PROTECTED0, .poke = { SELECTOR(V, USER_CODE32) }, GP(USER_CODE32 & ~3) },
    { "an absent handler outwards", PROTECTED0, .poke = { SELECTOR(V, USER_CODE32), ACCESS_BYTE(USER_CODE32, 0x7b) },
      GP(USER_CODE32 & ~3) },
    { "an absent handler", PROTECTED3, .poke = { SELECTOR(V, ABSENT_CODE) }, NP(ABSENT_CODE) },
    { "a TSS that ends in the stack pointer", PROTECTED3, .poke = { LIMIT(TSS32, 8) }, .set = { GPR(Tr, TSS32) },
      TS(TSS32) },
    { "a 16-bit TSS that does", PROTECTED3, .poke = { LIMIT(TSS32, 4), ACCESS_BYTE(TSS32, 0x83) },
      .set = { GPR(Tr, TSS32) }, TS(TSS32) },
    { "no SS0", PROTECTED3, .poke = { { TSS + 8, 2, 0 } }, TS(0) },
    { "an SS0 that is null, with an RPL", PROTECTED3, .poke = { { TSS + 8, 2, 3 } }, TS(0) },
    { "an SS0 past the GDT", PROTECTED3, .poke = { { TSS + 8, 2, 0x1f8 } }, TS(0x1f8) },
    { "an SS0 without an LDT", PROTECTED3, .poke = { { TSS + 8, 2, 0xc } }, TS(0xc) },
    { "an SS0 of another RPL", PROTECTED3, .poke = { { TSS + 8, 2, DATA0 | 1 } }, TS(DATA0) },
    { "an SS0 of another DPL", PROTECTED3, .poke = { { TSS + 8, 2, DATA1 & ~3 } }, TS(DATA1 & ~3) },
    { "an SS0 of code", PROTECTED3, .poke = { { TSS + 8, 2, CODE32 } }, TS(CODE32) },
    { "an SS0 for reading", PROTECTED3, .poke = { ACCESS_BYTE(DATA0, 0x91) }, TS(DATA0) },
    { "an SS0 for reading, absent", PROTECTED3, .poke = { ACCESS_BYTE(DATA0, 0x11) }, TS(DATA0) },
    { "an absent SS0", PROTECTED3, .poke = { ACCESS_BYTE(DATA0, 0x13) }, SS(DATA0) },
    { "no room on the stack of level 0", PROTECTED3, .poke = { { TSS + 8, 2, DATA16 }, { TSS + 4, 4, 0x12 } },
      SS(DATA16) },
    { "no room on the stack in use", PROTECTED0, .set = { GPR(Rsp, 10) }, SS(0) },
    { "a handler past its segment", PROTECTED3, .poke = { SELECTOR(V, CODE16), { IDT + V * 8 + 6, 2, 1 } }, GP(0) },
    { "the stack comes before the handler's address", PROTECTED0, .set = { GPR(Rsp, 10) },
      .poke = { SELECTOR(V, CODE16), { IDT + V * 8 + 6, 2, 1 } }, SS(0) },
    { "on the stack of level 0 too", PROTECTED3,
      .poke = { SELECTOR(V, CODE16), { IDT + V * 8 + 6, 2, 1 }, { TSS + 8, 2, DATA16 }, { TSS + 4, 4, 0x12 } },
      SS(DATA16) },
    { "virtual-8086 mode to level 1", VM86, .poke = { SELECTOR(V, CODE1 & ~3) }, GP(CODE1 & ~3) },
    { "virtual-8086 mode to conforming code", VM86, .poke = { SELECTOR(V, CONFORMING) }, GP(CONFORMING) },
    { "virtual-8086 mode to absent code of level 1", VM86,
      .poke = { SELECTOR(V, CODE1 & ~3), ACCESS_BYTE(CODE1, 0x3b) }, NP(CODE1 & ~3) },
    { "virtual-8086 mode without SS0", VM86, .poke = { { TSS + 8, 2, 0 } }, TS(0) },
    { "virtual-8086 mode without room", VM86, .poke = { { TSS + 8, 2, DATA16 }, { TSS + 4, 4, 0x22 } }, SS(DATA16) },

    /* Long mode. */
    { "past the IDT", LONG3, .set = { GPR(Idtr, V * 16 + 14) }, GP(GATE_ERROR) },
    { "past the IDT by its upper half", LONG3, .set = { GPR(Idtr, V * 16 + 7) }, GP(GATE_ERROR) },
    { "an absent gate", COMPAT3, .poke = { TYPE64(V, 0x6e) }, NP(GATE_ERROR) },
    { "a null handler", LONG3, .poke = { SELECTOR64(V, 3) }, GP(0) },
    { "a handler past the GDT", LONG3, .poke = { SELECTOR64(V, 0x1f8) }, GP(0x1f8) },
    { "a handler without an LDT", LONG3, .poke = { SELECTOR64(V, 0xc) }, GP(0xc) },
    { "a handler in data", LONG3, .poke = { SELECTOR64(V, DATA0) }, GP(DATA0) },
    { "a handler in 32-bit code", COMPAT3, .poke = { SELECTOR64(V, CODE32) }, GP(CODE32) },
    { "a handler in code of L and D", LONG3, .poke = { SELECTOR64(V, BAD_CODE) }, GP(BAD_CODE) },
    { "a handler outwards", LONG0, .poke = { SELECTOR64(V, USER_CODE64) }, GP(USER_CODE64 & ~3) },
    { "an absent handler", LONG3, .poke = { SELECTOR64(V, ABSENT_CODE), FLAGS_BYTE(ABSENT_CODE, 0xaf) },
      NP(ABSENT_CODE) },
    { "an absent handler in 32-bit code", LONG3, .poke = { SELECTOR64(V, ABSENT_CODE) }, GP(ABSENT_CODE) },
    { "a TSS that ends in RSP0", LONG3, .poke = { LIMIT(TSS64, 10) }, .set = { GPR(Tr, TSS64) }, TS(TSS64) },
    { "a TSS that ends in IST1", LONG0, .poke = { LIMIT(TSS64, 42), IST64(V) }, .set = { GPR(Tr, TSS64) }, TS(TSS64) },
    { "an RSP0 that isn't canonical", LONG3, .poke = { { TSS + 4, 8, 0x800000001000 } }, SS(0) },
    { "an RSP0 whose frame isn't", LONG3, .poke = { { TSS + 4, 8, 0xffff800000000020 } }, SS(0) },
    { "an IST1 that isn't canonical", LONG0, .poke = { { TSS + 36, 8, 0x800000001000 }, IST64(V) }, SS(0) },
    { "an RSP that isn't canonical", LONG0, .set = { GPR(Rsp, 0x800000001000) }, SS(0) },
    { "a handler that isn't canonical", LONG3, .poke = { { IDT + V * 16 + 8, 4, 0x8000 } }, GP(0) },
    { "the stack comes before the handler's address", LONG3,
      .poke = { { IDT + V * 16 + 8, 4, 0x8000 }, { TSS + 4, 8, 0x800000001000 } }, SS(0) },
};

static void fails(const struct scenario *row, bool is_software)
{
    struct scenario s = *row;
    unsigned i = 0;

    s.code = is_software ? "cd 30" : "90";
    while (s.set[i].name || s.set[i].value)
        i++;
    if (!is_software) {
        s.set[i] = (struct reg)INJECTED(V);
        s.error |= 1;
    }
    play(&s);
}

START_TEST(INT_and_an_interrupt_fail_alike)
{
    fails(&failures[_i], true);
    fails(&failures[_i], false);
}
END_TEST

/* Which gates does the IDT take? All types, present, DPL 3. */
START_TEST(the_types_of_gates)
{
    enum mode mode = (enum mode)_i;
    bool is_long = mode >= LONG0;

    for (unsigned type = 0; type < 32; type++) {
        bool interrupt = type == 0xe || type == 0xf, old = type == 6 || type == 7, task = type == 5;
        struct scenario s = { .name = "a gate's type", .mode = mode };

        s.poke[0] = (struct poke){ IDT + V * (is_long ? 16 : 8) + 5, 1, 0xe0 | type };
        s.poke[1] = (struct poke){ IDT + V * (is_long ? 16 : 8) + 2, 2,
                                   task && !is_long ? SECOND_TASK
                                   : is_long        ? CODE64
                                                    : CODE32 };
        s.reason = WHvRunVpExitReasonX64Halt;
        s.rip = task ? TARGET + 1 : HANDLER(V) + 1;
        if (!interrupt && (is_long || !(old || task))) {
            s.reason = WHvRunVpExitReasonException;
            s.rip = 0;
            s.vector = 13;
            s.error = GATE_ERROR;
        }
        fails(&s, true);
        if (s.reason == (UINT32)WHvRunVpExitReasonException)
            fails(&s, false);
    }
}
END_TEST

static const struct scenario scenarios[] = {
    /* Real mode. */
    { "the last vector of the table", REAL, "cd 21", .set = { GPR(Idtr, 0x87) },
      .poke = { { IDT + 0x84, 4, HANDLER(0x21) } }, DELIVERS(0x21) },
    { "its last byte is missing", REAL, "cd 21", .set = { GPR(Idtr, 0x86) }, GP(0) },
    { "an interrupt past the table", REAL, "90", .set = { GPR(Idtr, 0x86), INJECTED(0x21) }, GP(0) },
    { "the third push at FFFF", REAL, "cd 21", .set = { GPR(Rsp, 5) }, SS(0) },
    { "the second", REAL, "cd 21", .set = { GPR(Rsp, 3) }, SS(0) },
    { "a stack that wraps amid the frame", REAL, "cd 21", .set = { GPR(Rsp, 0x12340004) }, DELIVERS(0x21),
      .want = { GPR(Rsp, 0x1234fffe) }, .see = { { 0, 2, 0 }, { 2, 2, 2 }, { 0xfffe, 2, CODE + 2 } } },
    { "a 32-bit stack that protected mode left", REAL, "cd 21", .set = { GPR(Ss, DATA0), GPR(Rsp, 0x16000) },
      DELIVERS(0x21), .want = { GPR(Rsp, 0x15ffa) }, .see = { { 0x15ffa, 2, CODE + 2 } } },
    { "real mode clears IF, TF, AC and RF", REAL, "cd 21", .set = { GPR(Rflags, 0x57fd7) }, DELIVERS(0x21),
      .want = { GPR(Rflags, 0x7cd7) }, .see = { { STACK0 - 2, 2, 0x7fd7 } } },
    { "INT3 in real mode", REAL, "cc", DELIVERS(3), .see = { { STACK0 - 6, 2, CODE + 1 } } },
    { "INT1 in real mode", REAL, "f1", DELIVERS(1), .see = { { STACK0 - 6, 2, CODE + 1 } } },
    { "#GP in real mode has no error code", REAL, "8b 1e ff ff", DELIVERS(13), .want = { GPR(Rsp, STACK0 - 6) },
      .see = { { STACK0 - 6, 2, CODE } } },
    { "#DE", REAL, "f7 f1", DELIVERS(0), .see = { { STACK0 - 6, 2, CODE } } },
    { "#BR", REAL, "62 06 00 60", .set = { GPR(Rax, 1) }, DELIVERS(5), .see = { { STACK0 - 6, 2, CODE } } },
    { "real mode, shutdown by the stack", REAL, "0f 0b", .set = { GPR(Rsp, 1) }, UNRECOVERABLE },

    /* Virtual-8086 mode. */
    { "virtual-8086 mode through a 16-bit gate", VM86, "cd 30", .poke = { TYPE(V, 0xe6) }, DELIVERS(V),
      .want = { GPR(Rsp, STACK0 - 18), GPR(Rflags, 0x3002), GPR(Es, 0), GPR(Gs, 0) },
      .see = { { STACK0 - 18, 2, CODE + 2 }, { STACK0 - 14, 2, 0x3002 }, { STACK0 - 12, 2, STACK0 } } },
    { "virtual-8086 mode through a trap gate", VM86, "cd 40", .set = { GPR(Rflags, 0x27202) }, DELIVERS(0x40),
      .want = { GPR(Rflags, 0x3202) }, .see = { { STACK0 - 28, 4, 0x27202 } } },
    { "a fault in virtual-8086 mode", VM86, "f4", .set = { GPR(Rflags, 0x20002) }, DELIVERS(13),
      .want = { GPR(Rsp, STACK0 - 40), GPR(Rflags, 2) },
      .see = { { STACK0 - 40, 4, 0 }, { STACK0 - 36, 4, CODE }, { STACK0 - 28, 4, 0x30002 } } },
    { "an interrupt below IOPL 3", VM86, "90", .set = { GPR(Rflags, 0x20202), INJECTED(V) }, DELIVERS(V),
      .see = { { STACK0 - 36, 4, CODE } } },
    { "a task gate from virtual-8086 mode", VM86, "cd 30", .poke = { SELECTOR(V, SECOND_TASK), TYPE(V, 0xe5) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Rflags, 0x4002), GPR(Ds, DATA0) }, .see = { { TSS + 0x24, 4, 0x23002 } } },
    { "the redirection bitmap needs a whole TSS", VM86, "cd 30", .poke = { LIMIT(TSS32, 0x66) },
      .set = { GPR(Cr4, 1), GPR(Tr, TSS32) }, GP(0) },
    { "the redirection bitmap needs a 32-bit TSS", VM86, "cd 30", .poke = { ACCESS_BYTE(TSS32, 0x83) },
      .set = { GPR(Cr4, 1), GPR(Tr, TSS32) }, GP(0) },
    { "a redirection bitmap past the TSS", VM86, "cd 30", .poke = { { TSS + 0x66, 2, 0x200 }, LIMIT(TSS32, 0x1e5) },
      .set = { GPR(Cr4, 1), GPR(Tr, TSS32) }, GP(0) },
    { "one whose byte is there", VM86, "cd 30", .poke = { { TSS + 0x66, 2, 0x200 }, LIMIT(TSS32, 0x1e6) },
      .set = { GPR(Cr4, 1), GPR(Tr, TSS32) }, GP(0), .rip = HANDLER(V) },
    { "INT3 isn't redirected", VM86, "cc", .set = { GPR(Cr4, 1) }, .poke = { TYPE(3, 0xee) }, DELIVERS(3) },
    { "INT3 of two bytes is", VM86, "cd 03", .set = { GPR(Cr4, 1) }, GP(0), .rip = HANDLER(3) },
    { "INTO isn't", VM86, "ce", .set = { GPR(Cr4, 1), GPR(Rflags, 0x20802) }, .poke = { TYPE(4, 0xee) }, DELIVERS(4) },
    { "INT1 isn't", VM86, "f1", .set = { GPR(Cr4, 1), GPR(Rflags, 0x20002) }, DELIVERS(1) },
    { "an interrupt isn't", VM86, "90", .set = { GPR(Cr4, 1), INJECTED(V) }, DELIVERS(V) },
    { "a redirected INT ends RF", VM86, "cd 30",
      .set = { GPR(Cr4, 1), GPR(Rflags, 0x33102), GPR(Dr0, HANDLER(V)), GPR(Dr7, 1) }, FAULT(1, 0), .rip = HANDLER(V),
      .want = { GPR(Rflags, 0x23002) }, .see = { { STACK0 - 2, 2, 0x3102 } } },
    { "a redirected INT without room", VM86, "cd 30", .set = { GPR(Cr4, 1), GPR(Rsp, 3) }, SS(0) },

    /* Protected mode. */
    { "an error code through a 16-bit gate", PROTECTED3, "f4", .poke = { TYPE(13, 0x86), { IDT + 13 * 8 + 6, 2, 9 } },
      DELIVERS(13), .want = { GPR(Rsp, STACK0 - 12) },
      .see = { { STACK0 - 12, 2, 0 },
               { STACK0 - 10, 2, CODE },
               { STACK0 - 8, 2, USER_CODE32 },
               { STACK0 - 6, 2, 2 },
               { STACK0 - 4, 2, STACK3 },
               { STACK0 - 2, 2, USER_DATA } } },
    { "a 16-bit trap gate", PROTECTED0, "cd 30", .poke = { TYPE(V, 0xe7) }, .set = { GPR(Rflags, 0x202) }, DELIVERS(V),
      .want = { GPR(Rflags, 0x202) } },
    { "a handler of level 1", PROTECTED3, "cd 30", .poke = { SELECTOR(V, CODE1 & ~3) }, GP(0), .rip = HANDLER(V),
      .want = { GPR(Cs, CODE1), GPR(Ss, DATA1), GPR(Rsp, 0x6c00 - 20) } },
    { "the RPL of the gate's selector doesn't matter", PROTECTED3, "cd 30", .poke = { SELECTOR(V, CODE32 | 3) },
      DELIVERS(V), .want = { GPR(Cs, CODE32) } },
    { "a stack of a 16-bit TSS", PROTECTED3, "cd 30",
      .poke = { ACCESS_BYTE(TSS32, 0x83), LIMIT(TSS32, 5), { TSS + 2, 4, DATA0 << 16 | 0x6e00 } },
      .set = { GPR(Tr, TSS32) }, DELIVERS(V), .want = { GPR(Rsp, 0x6e00 - 20), GPR(Ss, DATA0) } },
    { "a 16-bit stack that wraps amid the frame", PROTECTED0, "cd 30", .set = { GPR(Ss, DATA16), GPR(Rsp, 0x12340004) },
      DELIVERS(V), .want = { GPR(Rsp, 0x1234fff8) },
      .see = { { 0, 4, 2 }, { 0xfffc, 4, CODE32 }, { 0xfff8, 4, CODE + 2 } } },
    { "accessed bits of handler and stack", PROTECTED3, "cd 30",
      .poke = { ACCESS_BYTE(CODE32, 0x9a), ACCESS_BYTE(DATA0, 0x92) }, DELIVERS(V),
      .see = { { GDT + CODE32 + 5, 1, 0x9b }, { GDT + DATA0 + 5, 1, 0x93 } } },
    { "a gate of DPL 2 for level 3", PROTECTED3, "cd 30", .poke = { TYPE(V, 0xce) }, GP(GATE_ERROR) },
    { "an interrupt doesn't ask DPL", PROTECTED3, "90", .set = { INJECTED(0x20) }, DELIVERS(0x20) },
    { "nor does INT1", PROTECTED3, "f1", DELIVERS(1), .see = { { STACK0 - 20, 4, CODE + 1 } } },
    { "INT3 does", PROTECTED3, "cc", DELIVERS(13), .see = { { STACK0 - 24, 4, 3 * 8 + 2 }, { STACK0 - 20, 4, CODE } } },
    { "INTO does", PROTECTED3, "ce", .set = { GPR(Rflags, 0x802) }, DELIVERS(13),
      .see = { { STACK0 - 24, 4, 4 * 8 + 2 }, { STACK0 - 20, 4, CODE } } },
    { "INT1 is from outside, for its error codes", PROTECTED3, "f1", .poke = { TYPE(1, 0x0e) }, DELIVERS(11),
      .see = { { STACK0 - 24, 4, 1 * 8 + 3 }, { STACK0 - 20, 4, CODE } } },
    { "INT3 isn't", PROTECTED3, "cc", .poke = { TYPE(3, 0x6e) }, DELIVERS(11),
      .see = { { STACK0 - 24, 4, 3 * 8 + 2 }, { STACK0 - 20, 4, CODE } } },
    { "INT 13 isn't #GP: no double fault", PROTECTED3, "cd 0d", .poke = { TYPE(13, 0x6e) }, DELIVERS(11),
      .see = { { STACK0 - 24, 4, 13 * 8 + 2 } } },
    { "INT 13 pushes no error code", PROTECTED3, "cd 0d", .poke = { TYPE(13, 0xee) }, DELIVERS(13),
      .want = { GPR(Rsp, STACK0 - 20) } },

    /* Long mode. */
    { "a conforming handler", LONG3, "cd 30", .poke = { SELECTOR64(V, CONFORMING), FLAGS_BYTE(CONFORMING, 0xaf) },
      .set = { GPR(Rsp, STACK3 - 4) }, GP(0), .rip = HANDLER(V),
      .want = { GPR(Cs, CONFORMING | 3), GPR(Ss, USER_DATA), GPR(Rsp, STACK3 - 16 - 40) } },
    { "a conforming handler with IST", LONG3, "cd 30",
      .poke = { SELECTOR64(V, CONFORMING), FLAGS_BYTE(CONFORMING, 0xaf), IST64(V) }, GP(0), .rip = HANDLER(V),
      .want = { GPR(Cs, CONFORMING | 3), GPR(Ss, USER_DATA), GPR(Rsp, IST1 - 40) } },
    { "a handler of level 1", LONG3, "cd 30",
      .poke = { SELECTOR64(V, CODE1 & ~3), FLAGS_BYTE(CODE1, 0xaf), { TSS + 12, 8, 0x6c08 } }, GP(0), .rip = HANDLER(V),
      .want = { GPR(Cs, CODE1), GPR(Ss, 1), GPR(Rsp, 0x6c00 - 40) } },
    { "from compatibility mode, all of RSP is pushed (Zen 3)", COMPAT3, "cd 30",
      .set = { GPR(Rsp, 0x1200000000 | STACK3), GPR(Rflags, 0x4302) },
      DELIVERS(V), .want = { GPR(Cs, CODE64), GPR(Ss, 0), GPR(Rsp, STACK0 - 40), GPR(Rflags, 2) },
      .see = { { STACK0 - 40, 8, CODE + 2 },
               { STACK0 - 32, 8, USER_CODE32 },
               { STACK0 - 24, 8, 0x4302 },
               { STACK0 - 16, 8, 0x1200000000 | STACK3 },
               { STACK0 - 8, 8, USER_DATA } } },
    { "from compatibility mode of level 0", LONG0, "cd 30", .set = { GPR(Cs, CODE32) }, DELIVERS(V),
      .want = { GPR(Cs, CODE64), GPR(Ss, DATA0), GPR(Rsp, STACK0 - 40) } },
    { "an error code on an aligned stack", LONG0, "8e d8", .set = { GPR(Rax, 0x1f8), GPR(Rsp, STACK0 - 5) },
      DELIVERS(13), .want = { GPR(Rsp, STACK0 - 16 - 48), GPR(Ss, DATA0) }, .see = { { STACK0 - 64, 8, 0x1f8 } } },
    { "IST 7", LONG0, "cd 30", .poke = { { IDT + V * 16 + 4, 1, 0xff }, { TSS + 36 + 48, 8, 0x6c00 } }, DELIVERS(V),
      .want = { GPR(Rsp, 0x6c00 - 40) } },
    { "a fault in the delivery of INT is at the INT", LONG3, "cd 30", .poke = { IST64(14), { TSS + 4, 8, 0x40000100 } },
      DELIVERS(14), .want = { GPR(Cr2, 0x400000f8), GPR(Rsp, IST1 - 48) },
      .see = { { IST1 - 48, 8, 2 }, { IST1 - 40, 8, CODE } } },
    { "RSP0 on a supervisor's page", LONG3, "cd 30", .poke = { { PD + 8, 8, 0x83 }, { TSS + 4, 8, 0x207000 } },
      DELIVERS(V), .want = { GPR(Rsp, 0x207000 - 40) } },
    { "IST1 on a supervisor's page, for level 3", LONG3, "cd 30",
      .poke = { { PD + 8, 8, 0x83 },
                { TSS + 36, 8, 0x207000 },
                SELECTOR64(V, CONFORMING),
                FLAGS_BYTE(CONFORMING, 0xaf),
                IST64(V) },
      FAULT(14, 7) },
    { "RSP0 on a page for reading", LONG3, "cd 30", .poke = { { PD + 8, 8, 0x81 }, { TSS + 4, 8, 0x207000 } },
      FAULT(14, 3) },
    { "RSP on a user's page with SMAP", LONG0, "cd 30", .poke = { { PD, 8, 0x83 }, { PD + 8, 8, 0x87 } },
      .set = { GPR(Cr4, 0x200020), GPR(Rsp, 0x207000) }, FAULT(14, 3) },
    { "which AC allows", LONG0, "cd 30", .poke = { { PD, 8, 0x83 }, { PD + 8, 8, 0x87 } },
      .set = { GPR(Cr4, 0x200020), GPR(Rsp, 0x207000), GPR(Rflags, 0x40002) }, DELIVERS(V) },
    { "but not to RSP0", LONG3, "cd 30", .poke = { { PD, 8, 0x83 }, { PD + 8, 8, 0x87 }, { TSS + 4, 8, 0x209000 } },
      .set = { GPR(Cr4, 0x200020), { WHvX64RegisterRip, 0x201000 }, GPR(Rflags, 0x40002) }, FAULT(14, 3),
      .rip = 0x201000 },
    { "an IDT on a user's page with SMAP", LONG3, "cd 30", .set = { GPR(Cr4, 0x200020), GPR(Rflags, 0x40002) },
      FAULT(14, 1) },
    { "two page faults: the second's CR2", LONG3, "a0 00 00 00 41 00 00 00 00",
      .poke = { IST64(8), { TSS + 4, 8, 0x40000100 } }, DELIVERS(8), .want = { GPR(Cr2, 0x400000f8) },
      .see = { { IST1 - 48, 8, 0 }, { IST1 - 40, 8, CODE } } },
    { "a page fault and a contributory one", LONG3, "a0 00 00 00 41 00 00 00 00", .poke = { TYPE64(14, 0x0e) },
      DELIVERS(8), .want = { GPR(Cr2, 0x41000000) } },
    { "a contributory fault and a page fault come one by one", LONG3, "f4",
      .poke = { IST64(14), { TSS + 4, 8, 0x40000100 } }, DELIVERS(14), .see = { { IST1 - 40, 8, CODE } } },
    { "the first push that faults tells its address", LONG3, "cd 30", .poke = { IST64(14), { TSS + 4, 8, 0x40000010 } },
      DELIVERS(14), .want = { GPR(Cr2, 0x40000008) } },
    { "a benign fault, a contributory one, another", LONG3, "0f 0b",
      .poke = { TYPE64(6, 0x0e), TYPE64(11, 0x0e), IST64(8) }, DELIVERS(8) },
    { "a double fault without a gate", LONG3, "f4", .poke = { TYPE64(13, 0x0e), TYPE64(8, 0x0e) }, UNRECOVERABLE },
    { "a double fault and a page fault", LONG3, "f4", .poke = { TYPE64(13, 0x0e), { TSS + 4, 8, 0x40000100 } },
      UNRECOVERABLE },
    { "#DF pushes no RF", LONG3, "f4", .poke = { TYPE64(13, 0x0e) }, DELIVERS(8), .see = { { STACK0 - 24, 8, 2 } } },
    { "a trap pushes no RF", LONG3, "cc", .poke = { TYPE64(3, 0xee) }, DELIVERS(3), .see = { { STACK0 - 24, 8, 2 } } },
    { "all that long mode clears", LONG3, "cd 30", .set = { GPR(Rflags, 0x247fd7) }, DELIVERS(V),
      .want = { GPR(Rflags, 0x243cd7) }, .see = { { STACK0 - 24, 8, 0x247fd7 } } },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

/*
 * INT n in virtual-8086 mode, all that decides: a set bit of the bitmap, or no VME, leave it to level 0,
 * which takes it at IOPL 3 only. A clear one leaves it to the program, whose IF is VIF below IOPL 3. SDM
 * 3A 20.3.3.
 */
START_TEST(INT_n_in_virtual_8086_mode)
{
    for (unsigned bits = 0; bits < 64; bits++) {
        bool vme = bits & 1, is_set = bits & 2;
        UINT64 iopl = bits >> 2 & 3, flags = 0x20102 | iopl << 12 | (bits & 16 ? 0x200 : 0) | (bits & 32 ? 0x80000 : 0);
        UINT64 pushed = flags & 0xffff;
        struct scenario s = { "INT n", VM86, "cd 21", .set = { GPR(Rflags, flags), GPR(Cr4, vme) },
                              .poke = { { TSS + 0x64, 1, is_set ? 2 : 0xfd }, { IDT + 0x21 * 8 + 5, 1, 0xee } } };

        if (iopl < 3)
            pushed = (pushed & ~0x200u) | 0x3000 | (flags & 0x80000 ? 0x200 : 0);
        s.reason = WHvRunVpExitReasonException;
        s.vector = 13;
        if (vme && !is_set) {
            s.rip = HANDLER(0x21); /* the HLT there */
            s.want[0] = (struct reg)GPR(Rsp, STACK0 - 6);
            s.want[1] = (struct reg)GPR(Rflags, flags & ~(iopl == 3 ? 0x300ull : 0x80100));
            s.see[0] = (struct poke){ STACK0 - 2, 2, pushed };
            s.see[1] = (struct poke){ STACK0 - 6, 4, CODE + 2 };
        } else if (iopl == 3) {
            s.reason = WHvRunVpExitReasonX64Halt;
            s.rip = HANDLER(0x21) + 1;
            s.want[0] = (struct reg)GPR(Rflags, flags & ~0x20300ull);
            s.see[0] = (struct poke){ STACK0 - 28, 4, flags };
        }
        play(&s);
    }
}
END_TEST

TCase *system_delivery_cases(void)
{
    TCase *t = tcase_create("delivery");

    tcase_add_loop_test(t, INT_and_an_interrupt_fail_alike, 0, sizeof failures / sizeof *failures);
    tcase_add_loop_test(t, the_types_of_gates, PROTECTED0, PROTECTED3 + 1);
    tcase_add_loop_test(t, the_types_of_gates, LONG0, COMPAT3 + 1);
    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    tcase_add_test(t, INT_n_in_virtual_8086_mode);
    return t;
}
