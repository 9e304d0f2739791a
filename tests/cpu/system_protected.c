/* SPDX-License-Identifier: MIT */
/* Protected mode without long mode: gates, stacks, tasks; and virtual-8086 mode. */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)
#define TS(e) FAULT(10, e)

static const struct scenario scenarios[] = {
    /* Interrupts. */
    { "INT to level 0", PROTECTED3, "cd 30", .set = { GPR(Rflags, 0x202) }, DELIVERS(0x30),
      .want = { GPR(Cs, CODE32), GPR(Ss, DATA0), GPR(Rsp, STACK0 - 20), GPR(Rflags, 2) },
      .see = { { STACK0 - 20, 4, CODE + 2 }, { STACK0 - 16, 4, USER_CODE32 }, { STACK0 - 12, 4, 0x202 },
               { STACK0 - 8, 4, STACK3 }, { STACK0 - 4, 4, USER_DATA } } },
    { "INT at the same level", PROTECTED0, "cd 40", .set = { GPR(Rflags, 0x4302) }, DELIVERS(0x40),
      .want = { GPR(Rsp, STACK0 - 12), GPR(Rflags, 0x202) }, .see = { { STACK0 - 4, 4, 0x4302 } } },
    { "a 16-bit gate", PROTECTED0, "cd 30", .poke = { { IDT + 0x30 * 8 + 5, 1, 0xe6 } }, DELIVERS(0x30),
      .want = { GPR(Rsp, STACK0 - 6) }, .see = { { STACK0 - 6, 2, CODE + 2 }, { STACK0 - 4, 2, CODE32 } } },
    { "a gate to a conforming handler stays at its level", PROTECTED3, "cd 30",
      .poke = { { IDT + 0x30 * 8 + 2, 2, CONFORMING } }, GP(0), .rip = HANDLER(0x30),
      .want = { GPR(Cs, CONFORMING | 3), GPR(Rsp, STACK3 - 12) } },
    { "a call gate isn't an interrupt gate", PROTECTED0, "cd 30", .poke = { { IDT + 0x30 * 8 + 5, 1, 0xec } },
      GP(0x30 * 8 + 2) },
    { "an absent handler", PROTECTED0, "cd 30", .poke = { { IDT + 0x30 * 8 + 2, 2, ABSENT_CODE } }, FAULT(11, ABSENT_CODE) },
    { "a handler past its segment", PROTECTED0, "cd 30",
      .poke = { { IDT + 0x30 * 8 + 2, 2, CODE16 }, { IDT + 0x30 * 8 + 6, 2, 1 } }, GP(0) },
    { "a TSS whose SS0 is null", PROTECTED3, "cd 30", .poke = { { TSS + 8, 4, 0 } }, TS(0) },
    { "a TSS whose SS0 is for level 3", PROTECTED3, "cd 30", .poke = { { TSS + 8, 4, USER_DATA } }, TS(USER_DATA & ~3) },
    { "a TSS whose SS0 isn't present", PROTECTED3, "cd 30",
      .poke = { { TSS + 8, 4, ABSENT_DATA }, { GDT + ABSENT_DATA + 5, 1, 0x13 } }, FAULT(12, ABSENT_DATA) },
    { "the EXT bit of faults", PROTECTED3, "0f 0b", .poke = { { TSS + 8, 4, 0x1f8 } }, .deliver = true,
      .reason = WHvRunVpExitReasonUnrecoverableException },
    { "no room on the stack of the TSS", PROTECTED3, "cd 30", .poke = { { TSS + 8, 4, DATA16 }, { TSS + 4, 4, 0x12 } },
      FAULT(12, DATA16) },
    { "a 16-bit stack of the TSS wraps", PROTECTED3, "cd 30", .poke = { { TSS + 8, 4, DATA16 }, { TSS + 4, 4, 0x10 } },
      DELIVERS(0x30), .want = { GPR(Rsp, 0xfffc) } },
    { "an error code", PROTECTED3, "f4", DELIVERS(13), .see = { { STACK0 - 24, 4, 0 }, { STACK0 - 20, 4, CODE } } },

    /* IRET. */
    { "IRET to level 3", PROTECTED0, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 4, USER }, { 0x6004, 4, USER_CODE32 }, { 0x6008, 4, 0x3202 }, { 0x600c, 4, STACK3 },
                { 0x6010, 4, USER_DATA } },
      GP(0), .rip = USER,
      .want = { GPR(Cs, USER_CODE32), GPR(Ss, USER_DATA), GPR(Rsp, STACK3), GPR(Rflags, 0x3202), GPR(Ds, 0) } },
    { "IRET to level 3 with SS of level 0", PROTECTED0, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 4, USER }, { 0x6004, 4, USER_CODE32 }, { 0x6008, 4, 2 }, { 0x600c, 4, STACK3 },
                { 0x6010, 4, DATA0 } },
      GP(DATA0) },
    { "IRET to a level inwards", PROTECTED3, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 4, TARGET }, { 0x6004, 4, CODE32 }, { 0x6008, 4, 2 } }, GP(CODE32) },
    { "IRET to virtual-8086 mode", PROTECTED0, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 8, 0xa00000000000 | 0x10 }, { 0x6008, 4, 0x23202 }, { 0x600c, 4, 0x100 }, { 0x6010, 4, 0x700 },
                { 0x6014, 8, 0x0000022200000111 }, { 0x601c, 8, 0x0000044400000333 }, { 0x6004, 4, 0xa00 - 1 } },
      GP(0), .rip = 0x10,
      .want = { GPR(Cs, 0x9ff), GPR(Ss, 0x700), GPR(Es, 0x111), GPR(Ds, 0x222), GPR(Fs, 0x333), GPR(Gs, 0x444),
                GPR(Rsp, 0x100), GPR(Rflags, 0x23202) } },

    /* Far transfers. */
    { "call gate with two parameters", PROTECTED3, "68 22 22 00 00 68 11 11 00 00 9a 00 00 00 00 73 00", HALTS,
      .rip = TARGET + 1, .want = { GPR(Cs, CODE32), GPR(Ss, DATA0), GPR(Rsp, STACK0 - 24) },
      .see = { { STACK0 - 24, 4, CODE + 17 }, { STACK0 - 20, 4, USER_CODE32 }, { STACK0 - 16, 4, 0x1111 },
               { STACK0 - 12, 4, 0x2222 }, { STACK0 - 8, 4, STACK3 - 8 }, { STACK0 - 4, 4, USER_DATA } } },
    { "call gate of DPL 0", PROTECTED3, "9a 00 00 00 00 73 00", .poke = { { GDT + GATE32 + 5, 1, 0x8c } }, GP(GATE32) },
    { "an absent call gate", PROTECTED3, "9a 00 00 00 00 73 00", .poke = { { GDT + GATE32 + 5, 1, 0x6c } },
      FAULT(11, GATE32) },
    { "JMP through a call gate can't go inwards", PROTECTED3, "ea 00 00 00 00 73 00", GP(CODE32) },
    { "JMP to conforming code keeps the level", PROTECTED3, "ea 00 a0 00 00 48 00", GP(0), .rip = USER,
      .want = { GPR(Cs, CONFORMING | 3) } },
    { "JMP to code of level 0", PROTECTED3, "ea 00 a0 00 00 18 00", GP(CODE32) },
    { "JMP past the limit", PROTECTED0, "ea 00 00 01 00 38 00", GP(0) },
    { "JMP to 16-bit code", PROTECTED0, "ea 00 90 00 00 38 00", HALTS, .rip = TARGET + 1, .want = { GPR(Cs, CODE16) } },
    { "far RET to level 3 releases both stacks", PROTECTED0, "ca 08 00", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 4, USER }, { 0x6004, 4, USER_CODE32 }, { 0x6010, 4, STACK3 }, { 0x6014, 4, USER_DATA } }, GP(0),
      .rip = USER, .want = { GPR(Rsp, STACK3 + 8) } },
    { "SYSENTER", PROTECTED3, "0f 34",
      .set = { GPR(SysenterCs, CODE32), GPR(SysenterEip, TARGET), GPR(SysenterEsp, 0x6000), GPR(Rflags, 0x202) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Cs, CODE32), GPR(Ss, CODE32 + 8), GPR(Rsp, 0x6000), GPR(Rflags, 2) } },
    { "SYSENTER without a selector", PROTECTED3, "0f 34", GP(0) },
    { "SYSEXIT", PROTECTED0, "0f 35", .set = { GPR(SysenterCs, 0x10), GPR(Rdx, USER), GPR(Rcx, STACK3) }, GP(0),
      .rip = USER, .want = { GPR(Cs, 0x23), GPR(Ss, 0x2b), GPR(Rsp, STACK3) } },

    /* Tasks. */
    { "JMP to a task", PROTECTED0, "ea 00 00 00 00 88 00", .set = { GPR(Rax, 5) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Tr, SECOND_TASK), GPR(Rax, 0x11112222), GPR(Rsp, 0x6000), GPR(Cr0, 0x39), GPR(Rflags, 2) },
      .see = { { TSS + 0x20, 4, CODE + 7 }, { TSS + 0x28, 4, 5 }, { TSS + 0x4c, 2, CODE32 },
               { GDT + TSS32 + 5, 1, 0x89 }, { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "CALL of a task", PROTECTED3, "9a 00 00 00 00 88 00", HALTS, .rip = TARGET + 1,
      .want = { GPR(Tr, SECOND_TASK), GPR(Rflags, 0x4002) },
      .see = { { TASK2, 2, TSS32 }, { GDT + TSS32 + 5, 1, 0x8b }, { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "JMP through a task gate", PROTECTED3, "ea 00 00 00 00 90 00", HALTS, .want = { GPR(Tr, SECOND_TASK) } },
    { "IRET to the task before", PROTECTED0, "cf", .set = { GPR(Rflags, 0x4002) },
      .poke = { { TSS, 2, SECOND_TASK }, { GDT + SECOND_TASK + 5, 1, 0xeb } }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Tr, SECOND_TASK), GPR(Rflags, 2) },
      .see = { { TSS + 0x24, 4, 2 }, { GDT + TSS32 + 5, 1, 0x89 }, { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "IRET to a task that isn't busy", PROTECTED0, "cf", .set = { GPR(Rflags, 0x4002) }, .poke = { { TSS, 2, SECOND_TASK } },
      TS(SECOND_TASK) },
    { "a task gate in the IDT", PROTECTED0, "cd 30",
      .poke = { { IDT + 0x30 * 8 + 2, 2, SECOND_TASK }, { IDT + 0x30 * 8 + 5, 1, 0xe5 } }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rflags, 0x4002) }, .see = { { TSS + 0x20, 4, CODE + 2 } } },
    { "a task for a fault gets its error code", PROTECTED3, "f4",
      .poke = { { IDT + 13 * 8 + 2, 2, SECOND_TASK }, { IDT + 13 * 8 + 5, 1, 0x85 }, { 0x5ffc, 4, 0x7777 } }, .deliver = true,
      HALTS, .rip = TARGET + 1, .want = { GPR(Rsp, 0x5ffc) }, .see = { { 0x5ffc, 4, 0 }, { TSS + 0x20, 4, CODE } } },
    { "a busy task", PROTECTED0, "ea 00 00 00 00 88 00", .poke = { { GDT + SECOND_TASK + 5, 1, 0xeb } }, GP(SECOND_TASK) },
    { "a TSS that is too short", PROTECTED0, "ea 00 00 00 00 88 00", .poke = { { GDT + SECOND_TASK, 1, 0x66 } },
      TS(SECOND_TASK) },
    { "an absent TSS", PROTECTED0, "ea 00 00 00 00 88 00", .poke = { { GDT + SECOND_TASK + 5, 1, 0x69 } },
      FAULT(11, SECOND_TASK) },
    { "a new task's bad SS", PROTECTED0, "ea 00 00 00 00 88 00", .poke = { { TASK2 + 0x50, 2, USER_DATA } },
      TS(USER_DATA & ~3), .rip = TARGET, .want = { GPR(Tr, SECOND_TASK) } },
    { "the T bit", PROTECTED0, "ea 00 00 00 00 88 00", .poke = { { TASK2 + 0x64, 1, 1 } }, DELIVERS(1),
      .want = { GPR(Dr6, 0xffff8ff0), GPR(Rsp, 0x6000 - 12) } },

    /* Segments. */
    { "a null DS is loaded", PROTECTED0, "31 c0 8e d8 f4", HALTS, .want = { GPR(Ds, 0) } },
    { "a null SS isn't", PROTECTED0, "8e d0", GP(0) },
    { "SS for code", PROTECTED0, "8e d0", .set = { GPR(Rax, CODE32) }, GP(CODE32) },
    { "an absent SS", PROTECTED0, "8e d0", .set = { GPR(Rax, ABSENT_DATA) }, .poke = { { GDT + ABSENT_DATA + 5, 1, 0x13 } },
      FAULT(12, ABSENT_DATA) },
    { "DS of level 0 at level 3", PROTECTED3, "8e d8", .set = { GPR(Rax, DATA0 | 3) }, GP(DATA0) },
    { "LLDT and a selector of it", PROTECTED0, "b8 a8 00 00 00 0f 00 d0 b8 04 00 00 00 8e d8", 
      .poke = { { LDT, 8, 0x00cf93000000ffff } }, HALTS, .want = { GPR(Ldtr, LDT_SELECTOR), GPR(Ds, 4) } },
    { "LLDT of what isn't an LDT", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, TSS32) }, GP(TSS32) },
    { "CR0.PG with LME needs PAE", PROTECTED0, "0f 22 c0", .set = { GPR(Rax, 0x80000031), GPR(Efer, 0x100) }, GP(0) },
    { "MOV to CR0 of PE = 0", PROTECTED0, "0f 22 c0 f4", .set = { GPR(Rax, 0x30) }, HALTS, .want = { GPR(Cr0, 0x30) } },

    /* Virtual-8086 mode. */
    { "INT from virtual-8086 mode at IOPL 3", VM86, "cd 30", DELIVERS(0x30),
      .want = { GPR(Rflags, 0x3002), GPR(Cs, CODE32), GPR(Ds, 0), GPR(Rsp, STACK0 - 36) },
      .see = { { STACK0 - 36, 4, CODE + 2 }, { STACK0 - 28, 4, 0x23002 }, { STACK0 - 24, 4, STACK0 } } },
    { "INT below IOPL 3", VM86, "cd 30", .set = { GPR(Rflags, 0x22002) }, GP(0) },
    { "INT3 below IOPL 3 is not refused", VM86, "cc", .set = { GPR(Rflags, 0x22002) },
      .poke = { { IDT + 3 * 8 + 5, 1, 0xee } }, DELIVERS(3) },
    { "a handler that isn't of level 0", VM86, "cd 30",
      .poke = { { IDT + 0x30 * 8 + 2, 2, CODE1 & ~3 } }, GP(CODE1 & ~3) },
    { "VME leaves INT n to the program", VM86, "cd 21", .set = { GPR(Cr4, 1), GPR(Rflags, 0xa2202), GPR(Rsp, 0x6000) },
      DELIVERS(13), /* by the HLT at the vector's target */
      .see = { { 0x6000 - 6, 2, CODE + 2 }, { 0x6000 - 2, 2, 0x3202 }, { STACK0 - 36, 4, HANDLER(0x21) } } },
    { "CLI with VME", VM86, "fa f4", .set = { GPR(Cr4, 1), GPR(Rflags, 0xa2202) }, GP(0), .rip = CODE + 1,
      .want = { GPR(Rflags, 0x22202) } },
    { "CLI below IOPL 3", VM86, "fa", .set = { GPR(Rflags, 0x22002) }, GP(0) },
    { "PUSHF with VME", VM86, "9c f4", .set = { GPR(Cr4, 1), GPR(Rflags, 0x22202) }, GP(0), .rip = CODE + 1,
      .see = { { STACK0 - 2, 2, 0x3002 } } },
    { "PUSHF below IOPL 3", VM86, "9c", .set = { GPR(Rflags, 0x22002) }, GP(0) },
    { "POPF with VME and VIP", VM86, "9d", .set = { GPR(Cr4, 1), GPR(Rflags, 0x122002), GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 2, 0x202 } }, GP(0) },
    { "IRET in virtual-8086 mode", VM86, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 2, 0xa000 - 0x10 }, { 0x6002, 2, 1 }, { 0x6004, 2, 0x202 } }, GP(0), .rip = 0x9ff0,
      .want = { GPR(Cs, 1), GPR(Rsp, 0x6006), GPR(Rflags, 0x23202) } },
    { "ports ask the bitmap", VM86, "e4 61", GP(0) },
    { "LLDT in virtual-8086 mode", VM86, "0f 00 d0", FAULT(6, 0) },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_protected_cases(void)
{
    TCase *t = tcase_create("protected mode");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
