/* SPDX-License-Identifier: MIT */
/* Task switches: from each source, of both sizes of TSS, and each check. SDM 3A 7.3, table 7-1; APM 2 12.3. */
#include "tests/cpu/system_machine.h"

#include <stdio.h>

#define GP(e) FAULT(13, e)
#define TS(e) FAULT(10, e)
#define NP(e) FAULT(11, e)
#define SS(e) FAULT(12, e)

#define JMP "ea 00 00 00 00 88 00"
#define CALL "9a 00 00 00 00 88 00"
#define GATE { IDT + 0x30 * 8 + 2, 2, SECOND_TASK }, { IDT + 0x30 * 8 + 5, 1, 0xe5 } /* of vector 30 */
#define GATE_OF_GP { IDT + 13 * 8 + 2, 2, SECOND_TASK }, { IDT + 13 * 8 + 5, 1, 0x85 }
#define RETURNS GPR(Rflags, 0x4002)
#define BACK { TSS, 2, SECOND_TASK }, { GDT + SECOND_TASK + 5, 1, 0xeb }
#define NEW_TYPE(t) { GDT + SECOND_TASK + 5, 1, t }
#define NEW_LIMIT(l) { GDT + SECOND_TASK, 2, l }
#define OLD_TYPE(t) { GDT + TSS32 + 5, 1, t }
#define OLD_LIMIT(l) { GDT + TSS32, 2, l }
#define IN_NEW(at, size, v) { TASK2 + (at), size, v }
#define PAGED { 0x13000, 4, 0x87 }
#define PAGING .set = { GPR(Cr3, 0x13000), GPR(Cr4, 0x10), GPR(Cr0, 0x80010031) }
#define ACCESS_BYTE(s, b) { GDT + ((s) & ~7u) + 5, 1, b }

/* The new task as a 16-bit TSS has it, at level 0: IP, FLAGS, AX to DI, ES CS SS DS, LDT. */
#define SMALL                                                                                                          \
    NEW_TYPE(0xe1), NEW_LIMIT(0x2b), IN_NEW(0x0e, 8, 0x2222111100020000 | TARGET),                                     \
        IN_NEW(0x16, 8, 0x0000600044443333), IN_NEW(0x1e, 8, (UINT64)CODE32 << 48 | (UINT64)DATA0 << 32 | 0x88887777), \
        IN_NEW(0x26, 6, DATA0 << 16 | DATA0)

static const struct scenario scenarios[] = {
    /* What each source does to busy bits, back link and NT; where the old task goes on. */
    { "JMP", PROTECTED0, JMP, .set = { GPR(Rflags, 0xcd7), GPR(Dr7, 0x7ff) }, .poke = { IN_NEW(0, 4, 0xaaaabbbb) },
      HALTS, .rip = TARGET + 1, .want = { GPR(Tr, SECOND_TASK), GPR(Rflags, 2), GPR(Cr0, 0x39), GPR(Dr7, 0x6aa) },
      .see = { { TASK2, 4, 0xaaaabbbb },
               { TSS + 0x20, 4, CODE + 7 },
               { TSS + 0x24, 4, 0xcd7 },
               { GDT + TSS32 + 5, 1, 0x89 },
               { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "JMP takes NT as it comes", PROTECTED0, JMP, .poke = { IN_NEW(0x24, 4, 0x4002) }, HALTS,
      .want = { GPR(Rflags, 0x4002) } },
    { "JMP keeps the old NT in the old task", PROTECTED0, JMP, .set = { RETURNS }, HALTS,
      .see = { { TSS + 0x24, 4, 0x4002 } } },
    { "CALL", PROTECTED0, CALL, .poke = { IN_NEW(0, 4, 0xaaaabbbb) }, HALTS,
      .want = { GPR(Rflags, 0x4002), GPR(Cr0, 0x39) },
      .see = { { TASK2, 4, 0xaaaa0000 | TSS32 },
               { TSS + 0x20, 4, CODE + 7 },
               { TSS + 0x24, 4, 2 },
               { GDT + TSS32 + 5, 1, 0x8b },
               { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "INT", PROTECTED3, "cd 30", .poke = { GATE }, .set = { GPR(Rflags, 0x202) }, HALTS,
      .want = { GPR(Rflags, 0x4002), GPR(Cr0, 0x39), GPR(Rsp, 0x6000) },
      .see = { { TASK2, 2, TSS32 },
               { TSS + 0x20, 4, CODE + 2 },
               { TSS + 0x24, 4, 0x202 },
               { TSS + 0x38, 4, STACK3 },
               { TSS + 0x4c, 2, USER_CODE32 },
               { TSS + 0x50, 2, USER_DATA },
               { GDT + TSS32 + 5, 1, 0x8b },
               { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "an interrupt", PROTECTED3, "90", .poke = { GATE }, .set = { INJECTED(0x30) }, HALTS,
      .see = { { TASK2, 2, TSS32 }, { TSS + 0x20, 4, CODE }, { TSS + 0x24, 4, 2 } } },
    { "a fault is restarted with RF", PROTECTED3, "f4", .poke = { GATE_OF_GP }, .deliver = true, HALTS,
      .rip = TARGET + 1, .see = { { TSS + 0x20, 4, CODE }, { TSS + 0x24, 4, 0x10002 } } },
    { "IRET", PROTECTED0, "cf", .set = { RETURNS }, .poke = { BACK }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rflags, 2), GPR(Cr0, 0x39) },
      .see = { { TSS + 0x20, 4, CODE + 1 },
               { TSS + 0x24, 4, 2 },
               { TASK2, 2, 0 },
               { GDT + TSS32 + 5, 1, 0x89 },
               { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "IRET to a task with NT", PROTECTED0, "cf", .set = { RETURNS }, .poke = { BACK, IN_NEW(0x24, 4, 0x4002) }, HALTS,
      .want = { GPR(Rflags, 0x4002) } },
    { "IRET with NT at level 3", PROTECTED3, "cf", .set = { RETURNS }, .poke = { BACK }, HALTS, .rip = TARGET + 1 },

    /* What the new task brings. */
    { "a task of level 3", PROTECTED0, JMP,
      .poke = { IN_NEW(0x4c, 2, USER_CODE32), IN_NEW(0x50, 2, USER_DATA), IN_NEW(0x24, 4, 0x3202),
                IN_NEW(0x54, 2, USER_DATA), IN_NEW(0x48, 2, 0), IN_NEW(0x58, 8, 0) },
      GP(0), .rip = TARGET,
      .want = { GPR(Cs, USER_CODE32), GPR(Ss, USER_DATA), GPR(Ds, USER_DATA), GPR(Rflags, 0x3202) } },
    { "a task in conforming code", PROTECTED0, JMP,
      .poke = { IN_NEW(0x4c, 2, CONFORMING | 3), IN_NEW(0x50, 2, USER_DATA), IN_NEW(0x54, 2, 3), IN_NEW(0x48, 2, 0),
                IN_NEW(0x58, 8, 0) },
      GP(0), .rip = TARGET, .want = { GPR(Cs, CONFORMING | 3), GPR(Ds, 3) } },
    { "a task in virtual-8086 mode", PROTECTED0, JMP,
      .poke = { IN_NEW(0x20, 8, 0x0002300200000010), IN_NEW(0x48, 2, 1), IN_NEW(0x4c, 2, 0x8ff), IN_NEW(0x50, 2, 3),
                IN_NEW(0x54, 2, 4), IN_NEW(0x58, 2, 5), IN_NEW(0x5c, 2, 6) },
      GP(0), .rip = 0x10,
      .want = { GPR(Rflags, 0x23002), GPR(Cs, 0x8ff), GPR(Ss, 3), GPR(Es, 1), GPR(Ds, 4), GPR(Fs, 5), GPR(Gs, 6) } },
    { "an LDT and segments of it", PROTECTED0, JMP,
      .poke = { IN_NEW(0x60, 2, LDT_SELECTOR), IN_NEW(0x54, 2, 0xc), { LDT + 8, 8, 0x00cf92000000ffff } }, HALTS,
      .want = { GPR(Ldtr, LDT_SELECTOR), GPR(Ds, 0xc) }, .see = { { LDT + 13, 1, 0x93 } } },
    { "CR3 without paging stays", PROTECTED0, JMP, .poke = { IN_NEW(0x1c, 4, 0x14000) }, .set = { GPR(Cr3, 0x13000) },
      HALTS, .want = { GPR(Cr3, 0x13000) } },
    { "CR3 with paging", PROTECTED0, JMP,
      .poke = { IN_NEW(0x1c, 4, 0x14000), { 0x13000, 4, 0x87 }, { 0x14000, 4, 0x87 } },
      .set = { GPR(Cr3, 0x13000), GPR(Cr4, 0x10), GPR(Cr0, 0x80000031) }, HALTS, .want = { GPR(Cr3, 0x14000) } },
    { "CR3 of PAE, reserved bits", PROTECTED0, JMP,
      .poke = { IN_NEW(0x1c, 4, 0x14000), { 0x13000, 8, 0x15001 }, { 0x14000, 8, 0x15003 }, { 0x15000, 4, 0x87 } },
      .set = { GPR(Cr3, 0x13000), GPR(Cr4, 0x20), GPR(Cr0, 0x80000031) }, GP(0), .want = { GPR(Tr, TSS32) } },
    { "the T bit of a called task", PROTECTED0, CALL, .poke = { IN_NEW(0x64, 1, 1) }, FAULT(1, 0), .rip = TARGET },
    { "without T", PROTECTED0, CALL, .poke = { IN_NEW(0x64, 1, 0xfe) }, HALTS, .rip = TARGET + 1 },
    { "T comes before a breakpoint on the first instruction", PROTECTED0, CALL, .poke = { IN_NEW(0x64, 1, 1) },
      .set = { GPR(Dr0, TARGET), GPR(Dr7, 2) }, DELIVERS(1), .want = { GPR(Dr6, 0xffff8ff0) },
      .see = { { 0x6000 - 12, 4, TARGET } } },
    { "which comes then", PROTECTED0, CALL, .set = { GPR(Dr0, TARGET), GPR(Dr7, 2) }, DELIVERS(1),
      .want = { GPR(Dr6, 0xffff0ff1) } },
    { "which RF of the new task passes over", PROTECTED0, CALL, .poke = { IN_NEW(0x24, 4, 0x10002) },
      .set = { GPR(Dr0, TARGET), GPR(Dr7, 2) }, HALTS, .rip = TARGET + 1, .want = { GPR(Rflags, 0x4002) } },
    { "local breakpoints are gone", PROTECTED0, CALL, .set = { GPR(Dr0, TARGET), GPR(Dr7, 1) }, HALTS },
    { "an error code on the new stack", PROTECTED3, "8e d8", .set = { GPR(Rax, 0x1f8) }, .poke = { GATE_OF_GP },
      .deliver = true, HALTS, .want = { GPR(Rsp, 0x5ffc) }, .see = { { 0x5ffc, 4, 0x1f8 } } },
    { "INT 13 has none", PROTECTED3, "cd 0d", .poke = { GATE_OF_GP, { IDT + 13 * 8 + 5, 1, 0xe5 } }, .deliver = true,
      HALTS, .want = { GPR(Rsp, 0x6000) } },

    /* 16-bit tasks. */
    { "to a 16-bit task", PROTECTED0, JMP, .poke = { SMALL, IN_NEW(0x2c, 4, 0xffffffff) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Tr, SECOND_TASK), GPR(Rflags, 2), GPR(Rsp, 0x6000), GPR(Ss, DATA0), GPR(Fs, 0), GPR(Cr0, 0x39) },
      .see = { { TSS + 0x20, 4, CODE + 7 }, { GDT + SECOND_TASK + 5, 1, 0xe3 } } },
    { "CALL of a 16-bit task", PROTECTED0, CALL, .poke = { SMALL }, HALTS, .want = { GPR(Rflags, 0x4002) },
      .see = { { TASK2, 2, TSS32 } } },
    { "a 16-bit task gets a word of error code", PROTECTED3, "8e d8", .set = { GPR(Rax, 0x1f8) },
      .poke = { SMALL, GATE_OF_GP }, .deliver = true, HALTS, .want = { GPR(Rsp, 0x5ffe) },
      .see = { { 0x5ffe, 2, 0x1f8 } } },
    { "from a 16-bit task", PROTECTED0, JMP, .poke = { OLD_TYPE(0x83), OLD_LIMIT(0x2b), { TSS + 0x2a, 2, 0x7777 } },
      .set = { GPR(Tr, TSS32), GPR(Rax, 0x12345678), GPR(Rdi, 0x9abcdef0) }, HALTS, .rip = TARGET + 1,
      .see = { { TSS + 0x0e, 4, 2 << 16 | (CODE + 7) },
               { TSS + 0x12, 2, 0x5678 },
               { TSS + 0x20, 4, DATA0 << 16 | 0xdef0 },
               { TSS + 0x24, 4, DATA0 << 16 | CODE32 },
               { TSS + 0x28, 4, 0x77770000 | DATA0 },
               { GDT + TSS32 + 5, 1, 0x81 } } },

    /* The old TSS. */
    { "an old TSS that is too short", PROTECTED0, JMP, .poke = { OLD_LIMIT(0x5e) }, .set = { GPR(Tr, TSS32) },
      TS(TSS32) },
    { "one that is long enough", PROTECTED0, JMP, .poke = { OLD_LIMIT(0x5f) }, .set = { GPR(Tr, TSS32) }, HALTS },
    { "an old 16-bit TSS that is too short", PROTECTED0, JMP, .poke = { OLD_TYPE(0x83), OLD_LIMIT(0x28) },
      .set = { GPR(Tr, TSS32) }, TS(TSS32) },
    { "IRET without a back link", PROTECTED0, "cf", .set = { RETURNS }, TS(0) },

    /* Pages of the tasks: supervisor accesses, whatever the level. */
    { "a new TSS that isn't there", PROTECTED3, JMP, .poke = { PAGED, { GDT + SECOND_TASK + 7, 1, 1 } }, PAGING,
      FAULT(14, 0), .see = { { GDT + SECOND_TASK + 5, 1, 0xe9 } } },
    { "an old TSS for reading", PROTECTED3, JMP, .poke = { { 0x13000, 4, 0x85 } }, PAGING, FAULT(14, 3),
      .want = { GPR(Tr, TSS32) }, .see = { { GDT + SECOND_TASK + 5, 1, 0xe9 }, { GDT + TSS32 + 5, 1, 0x8b } } },
    { "a new CR3 without anything", PROTECTED0, JMP, .poke = { PAGED, IN_NEW(0x1c, 4, 0x15000) }, PAGING, FAULT(14, 0),
      .rip = TARGET, .want = { GPR(Tr, SECOND_TASK), GPR(Cr3, 0x15000) } },

    /* Privilege: of the TSS or the gate, for JMP and CALL; the TSS of a gate may have any. */
    { "a TSS of DPL 0 at level 3", PROTECTED3, JMP, .poke = { NEW_TYPE(0x89) }, GP(SECOND_TASK) },
    { "a TSS of DPL 0 by RPL 3", PROTECTED0, "ea 00 00 00 00 8b 00", .poke = { NEW_TYPE(0x89) }, GP(SECOND_TASK) },
    { "the busy bit stays if that fails", PROTECTED0, "ea 00 00 00 00 8b 00", .poke = { NEW_TYPE(0x89) },
      GP(SECOND_TASK), .see = { { GDT + SECOND_TASK + 5, 1, 0x89 }, { GDT + TSS32 + 5, 1, 0x8b } } },
    { "an absent TSS of DPL 0 at level 3", PROTECTED3, JMP, .poke = { NEW_TYPE(0x09) }, GP(SECOND_TASK) },
    { "a gate to a TSS of DPL 0", PROTECTED3, "ea 00 00 00 00 90 00", .poke = { NEW_TYPE(0x89) }, HALTS },
    { "a gate of DPL 0 at level 3", PROTECTED3, "ea 00 00 00 00 90 00",
      .poke = { ACCESS_BYTE(TASK_GATE_SELECTOR, 0x85) }, GP(TASK_GATE_SELECTOR) },
    { "a gate of DPL 0 by RPL 3", PROTECTED0, "9a 00 00 00 00 93 00", .poke = { ACCESS_BYTE(TASK_GATE_SELECTOR, 0x85) },
      GP(TASK_GATE_SELECTOR) },
    { "an absent gate", PROTECTED3, "9a 00 00 00 00 90 00", .poke = { ACCESS_BYTE(TASK_GATE_SELECTOR, 0x65) },
      NP(TASK_GATE_SELECTOR) },
    { "a task gate of the IDT with DPL 0", PROTECTED3, "cd 30", .poke = { GATE, { IDT + 0x30 * 8 + 5, 1, 0x85 } },
      GP(0x30 * 8 + 2) },
    { "an interrupt doesn't ask", PROTECTED3, "90", .poke = { GATE, { IDT + 0x30 * 8 + 5, 1, 0x85 } },
      .set = { INJECTED(0x30) }, HALTS, .rip = TARGET + 1 },

    /* Long mode has none. */
    { "JMP in long mode", LONG3, "ff 2c 25 00 60 00 00", .poke = { { 0x6000, 6, (UINT64)SECOND_TASK << 32 } },
      GP(SECOND_TASK) },
    { "CALL in long mode", LONG3, "ff 1c 25 00 60 00 00", .poke = { { 0x6000, 6, (UINT64)SECOND_TASK << 32 } },
      GP(SECOND_TASK) },
    { "JMP to a gate in long mode", LONG0, "ff 2c 25 00 60 00 00",
      .poke = { { 0x6000, 6, (UINT64)TASK_GATE_SELECTOR << 32 } }, GP(TASK_GATE_SELECTOR) },
    { "CALL in compatibility mode", COMPAT3, CALL, GP(SECOND_TASK) },
    { "IRET with NT in compatibility mode", COMPAT3, "cf", .set = { RETURNS }, GP(0) },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

enum source { BY_JMP, BY_GATE, BY_INT, BY_INTERRUPT, BY_IRET, SOURCES };

static unsigned room(const struct scenario *s)
{
    unsigned n = 0;

    while (s->poke[n].size)
        n++;
    return n;
}

/* The same switch from each source, to `selector`. */
static struct scenario from(enum source source, const struct scenario *row, UINT16 selector)
{
    static const char *const codes[] = { JMP, "9a 00 00 00 00 90 00", "cd 30", "90", "cf" };
    static char jmp[32];
    struct scenario s = *row;
    unsigned n = room(row);

    s.mode = PROTECTED0;
    s.code = codes[source];
    if (source == BY_JMP) {
        snprintf(jmp, sizeof jmp, "ea 00 00 00 00 %02x %02x", selector & 0xff, selector >> 8);
        s.code = jmp;
    } else if (source == BY_GATE) {
        s.poke[n] = (struct poke){ GDT + TASK_GATE_SELECTOR + 2, 2, selector };
    } else if (source == BY_IRET) {
        s.set[0] = (struct reg)RETURNS;
        s.poke[n] = (struct poke){ TSS, 2, selector };
    } else {
        s.poke[n] = (struct poke){ IDT + 0x30 * 8 + 2, 2, selector };
        s.poke[n + 1] = (struct poke){ IDT + 0x30 * 8 + 5, 1, 0xe5 };
        if (source == BY_INTERRUPT) {
            s.set[0] = (struct reg)INJECTED(0x30);
            s.error |= 1;
        }
    }
    return s;
}

/* Checks of the descriptor: #GP, where IRET has #TS; then presence and the limit. */
START_TEST(descriptors_of_tasks)
{
    enum source source = (enum source)_i;
    UINT32 refused = source == BY_IRET ? 10 : 13;
    UINT64 good = source == BY_IRET ? 0xb : 9, good16 = source == BY_IRET ? 3 : 1;
    static const UINT16 selectors[] = { 0, 3, 0x1f8, SECOND_TASK | 4 };

    for (unsigned type = 0; type < 32; type++) {
        struct scenario s = { "a task's type", .poke = { NEW_TYPE(0xe0 | type) } };

        if (type == good || type == good16)
            continue;
        if (source == BY_JMP && (type & 0x17) != 1 && (type & 0x17) != 3)
            continue; /* other kinds of far transfers */
        s.reason = WHvRunVpExitReasonException;
        s.vector = refused;
        s.error = SECOND_TASK;
        s = from(source, &s, SECOND_TASK);
        play(&s);
        s.poke[0].value &= 0x7f; /* absent, too */
        play(&s);
    }
    for (unsigned i = 0; i < 4; i++) {
        struct scenario s = { .name = "a task's selector" };

        s.reason = WHvRunVpExitReasonException;
        s.vector = refused;
        s.error = selectors[i] & 0xfffc;
        s = from(source, &s, selectors[i]);
        play(&s);
    }
    for (unsigned i = 0; i < 4; i++) {
        static const UINT64 limits[] = { 0, 0x66, 0x2a, 0 };
        struct scenario s = { "a task that is too short", .poke = { NEW_LIMIT(limits[i]) } };

        s.poke[1] = (struct poke)NEW_TYPE((i < 2 ? 0 : 0x80) | 0x60 | (i & 1 ? good : good16));
        s.reason = WHvRunVpExitReasonException;
        s.vector = i < 2 ? 11 : 10; /* the first two are absent */
        s.error = SECOND_TASK;
        s = from(source, &s, SECOND_TASK);
        play(&s);
    }
}
END_TEST

/* What fails in the new task's context: TR and EIP are its own. */
static const struct scenario inside[] = {
    { "an LDT past the GDT", .poke = { IN_NEW(0x60, 2, 0x1f8) }, TS(0x1f8) },
    { "an LDT of an LDT", .poke = { IN_NEW(0x60, 2, LDT_SELECTOR | 4) }, TS(LDT_SELECTOR | 4) },
    { "an LDT that is a TSS", .poke = { IN_NEW(0x60, 2, TSS32) }, TS(TSS32) },
    { "an absent LDT", .poke = { IN_NEW(0x60, 2, LDT_SELECTOR), ACCESS_BYTE(LDT_SELECTOR, 2) }, TS(LDT_SELECTOR) },
    { "a null CS", .poke = { IN_NEW(0x4c, 2, 0) }, TS(0) },
    { "a CS past the GDT", .poke = { IN_NEW(0x4c, 2, 0x1f8) }, TS(0x1f8) },
    { "a CS without an LDT", .poke = { IN_NEW(0x4c, 2, 0xc) }, TS(0xc) },
    { "a CS of data", .poke = { IN_NEW(0x4c, 2, DATA0) }, TS(DATA0) },
    { "a CS of another RPL", .poke = { IN_NEW(0x4c, 2, CODE32 | 3) }, TS(CODE32) },
    { "a CS of another DPL", .poke = { IN_NEW(0x4c, 2, USER_CODE32 & ~3) }, TS(USER_CODE32 & ~3) },
    { "conforming code below", .poke = { IN_NEW(0x4c, 2, CONFORMING), ACCESS_BYTE(CONFORMING, 0xff) }, TS(CONFORMING) },
    { "an absent CS", .poke = { IN_NEW(0x4c, 2, ABSENT_CODE) }, NP(ABSENT_CODE) },
    { "a null SS", .poke = { IN_NEW(0x50, 2, 0) }, TS(0) },
    { "an SS past the GDT", .poke = { IN_NEW(0x50, 2, 0x1f8) }, TS(0x1f8) },
    { "an SS of another RPL", .poke = { IN_NEW(0x50, 2, DATA0 | 3) }, TS(DATA0) },
    { "an SS of another DPL", .poke = { IN_NEW(0x50, 2, USER_DATA & ~3) }, TS(USER_DATA & ~3) },
    { "an SS of code", .poke = { IN_NEW(0x50, 2, CODE32) }, TS(CODE32) },
    { "an SS for reading", .poke = { ACCESS_BYTE(DATA0, 0x91) }, TS(DATA0) },
    { "an absent SS", .poke = { IN_NEW(0x50, 2, ABSENT_DATA), ACCESS_BYTE(ABSENT_DATA, 0x13) }, SS(ABSENT_DATA) },
    { "a DS past the GDT", .poke = { IN_NEW(0x54, 2, 0x1f8) }, TS(0x1f8) },
    { "an ES past the GDT", .poke = { IN_NEW(0x48, 2, 0x1f8) }, TS(0x1f8) },
    { "an FS past the GDT", .poke = { IN_NEW(0x58, 2, 0x1f8) }, TS(0x1f8) },
    { "a GS past the GDT", .poke = { IN_NEW(0x5c, 2, 0x1f8) }, TS(0x1f8) },
    { "a DS of a TSS", .poke = { IN_NEW(0x54, 2, TSS32) }, TS(TSS32) },
    { "a DS of code for execution", .poke = { IN_NEW(0x54, 2, CODE16), ACCESS_BYTE(CODE16, 0x99) }, TS(CODE16) },
    { "a DS by RPL 3", .poke = { IN_NEW(0x54, 2, DATA0 | 3) }, TS(DATA0) },
    { "an absent ES", .poke = { IN_NEW(0x48, 2, ABSENT_DATA) }, NP(ABSENT_DATA) },
    { "a DS of level 0 at level 3",
      .poke = { IN_NEW(0x4c, 2, USER_CODE32), IN_NEW(0x50, 2, USER_DATA), IN_NEW(0x24, 4, 2), IN_NEW(0x54, 2, DATA0) },
      TS(DATA0) },
    { "an EIP past its segment", .poke = { IN_NEW(0x4c, 2, CODE16), IN_NEW(0x20, 4, 0x10000) }, GP(0), .rip = 0x10000 },
    { "T waits for a context without faults", .poke = { IN_NEW(0x64, 1, 1), IN_NEW(0x50, 2, 0) }, TS(0) },
};

START_TEST(what_fails_in_the_new_task)
{
    for (unsigned source = 0; source < SOURCES; source++) {
        struct scenario s = inside[_i];

        if (!s.rip)
            s.rip = TARGET;
        s.want[0] = (struct reg)GPR(Tr, SECOND_TASK);
        s.see[0] = (struct poke){ GDT + SECOND_TASK + 5, 1, 0xeb };
        if (source == BY_IRET)
            s.poke[room(&s)] = (struct poke)NEW_TYPE(0xeb);
        s = from((enum source)source, &s, SECOND_TASK);
        play(&s);
    }
}
END_TEST

/* An exception with an error code, for whose push the new stack has no room. */
START_TEST(no_room_for_the_error_code)
{
    struct scenario s = { "no room",
                          PROTECTED3,
                          "90",
                          .set = { { WHvRegisterPendingInterruption, 0x1f8000d0017 } },
                          .poke = { GATE_OF_GP, IN_NEW(0x38, 4, 2) },
                          SS(1),
                          .rip = TARGET,
                          .want = { GPR(Tr, SECOND_TASK), GPR(Rsp, 2) } };

    play(&s);
}
END_TEST

TCase *system_task_cases(void)
{
    TCase *t = tcase_create("tasks");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    tcase_add_loop_test(t, descriptors_of_tasks, 0, SOURCES);
    tcase_add_loop_test(t, what_fails_in_the_new_task, 0, sizeof inside / sizeof *inside);
    tcase_add_test(t, no_room_for_the_error_code);
    return t;
}
