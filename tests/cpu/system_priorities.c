/* SPDX-License-Identifier: MIT */
/*
 * What comes first where several exceptions wait at one instruction: SDM 3A table 6-2, APM 2 table 8-8. All
 * combinations, against that order in sentences.
 */
#include "tests/cpu/system_machine.h"

#include <stdio.h>

/* Linear 200000 is the page of CODE again; no page lies behind it. */
enum { TABLE = 0x13000, PAGE = 0x200000, BEHIND = PAGE + 0x1000, AT = PAGE + 0x800 };
#define WINDOW { PD + 8, 8, TABLE | 7 }, { TABLE, 8, CODE | 7 }

/* The instruction that all waits for: where, its bytes, and what is wrong with it, by stages. */
static const struct {
    const char *name, *code;
    UINT64 rip;
    int fetch, decode, execute; /* vectors, or -1 */
    UINT64 error, cr2;
} instructions[] = {
    { "HLT", "f4", AT, -1, -1, -1, 0, 0 },
    { "an absent page", "f4", BEHIND + 5, 14, -1, -1, 0, BEHIND + 5 },
    { "half in an absent page", "b8 00", PAGE + 0xffe, 14, -1, -1, 0, BEHIND },
    { "half in an absent page, and not for a repetition", "f0 b8", PAGE + 0xffe, 14, -1, -1, 0, BEHIND },
    { "14 prefixes and an absent page", "66 66 66 66 66 66 66 66 66 66 66 66 66 66", PAGE + 0xff2, 14, -1, -1, 0,
      BEHIND },
    { "15 prefixes and an absent page", "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66", PAGE + 0xff1, -1, 13, -1, 0,
      0 },
    { "UD2", "0f 0b", AT, -1, 6, -1, 0, 0 },
    { "UD2 at the page's end", "0f 0b", PAGE + 0xffe, -1, 6, -1, 0, 0 },
    { "UD0 without a ModRM byte", "0f ff", PAGE + 0xffe, -1, 6, -1, 0, 0 },
    { "UD1 without a ModRM byte", "0f b9", PAGE + 0xffe, -1, 6, -1, 0, 0 },
    { "an undefined opcode that has none", "0f 04", PAGE + 0xffe, -1, 6, -1, 0, 0 },
    { "an undefined opcode without its ModRM byte", "0f 38 0c", PAGE + 0xffd, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode with it", "0f 38 0c c0", PAGE + 0xffc, -1, 6, -1, 0, 0 },
    { "an undefined opcode without its SIB byte", "66 0f 38 0f 04", PAGE + 0xffb, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode amid its displacement", "0f 38 0c 05 00 00 00", PAGE + 0xff9, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode before its immediate", "0f 3a 00 05 00 00 00 00", PAGE + 0xff8, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode with all of it", "0f 3a 00 05 00 00 00 00 00", PAGE + 0xff7, -1, 6, -1, 0, 0 },
    { "an undefined member of a group before its immediate", "c7 c8 00 00 00", PAGE + 0xffb, 14, -1, -1, 0, BEHIND },
    { "far CALL, which 64-bit code hasn't, amid its pointer", "9a 00 00 00 00 00", PAGE + 0xffa, 14, -1, -1, 0,
      BEHIND },
    { "an undefined opcode of VEX before its ModRM byte", "c4 e2 78 ff", PAGE + 0xffc, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode of VEX before its immediate", "c4 e3 78 fe c0", PAGE + 0xffb, 14, -1, -1, 0, BEHIND },
    { "an undefined opcode of VEX with it", "c4 e3 78 fe c0 00", PAGE + 0xffa, -1, 6, -1, 0, 0 },
    { "a form that needs memory", "0f c7 c0", PAGE + 0xffd, -1, 6, -1, 0, 0 },
    { "LOCK of a register", "f0 01 c0", AT, -1, 6, -1, 0, 0 },
    { "a page that is absent", "a0 00 00 00 40 00 00 00 00", AT, -1, -1, 14, 0, 0x40000000 },
    { "LLDT of nothing", "0f 00 d0", AT, -1, -1, 13, 0x1f8, 0 },
    { "a division by zero", "f7 f1", AT, -1, -1, 0, 0, 0 },
};

static void first(unsigned n, bool trap, bool breakpoint, bool resume)
{
    char name[128];
    int vector = instructions[n].fetch >= 0    ? instructions[n].fetch
                 : instructions[n].decode >= 0 ? instructions[n].decode
                                               : instructions[n].execute;
    UINT64 dr6 = 0xffff0ff0;
    struct scenario s = { name,
                          LONG0,
                          trap ? "ff e0" : "90",
                          .set = { { WHvX64RegisterRip, trap ? CODE : instructions[n].rip },
                                   GPR(Rflags, 2 | (trap ? 0x100 : 0) | (resume ? 0x10000 : 0)),
                                   GPR(Dr0, instructions[n].rip),
                                   GPR(Dr7, breakpoint),
                                   GPR(Rcx, 0),
                                   GPR(Rax, trap ? instructions[n].rip : 0x1f8) },
                          .poke = { WINDOW },
                          .deliver = true,
                          .reason = WHvRunVpExitReasonX64Halt };
    unsigned at = CODE + (instructions[n].rip & 0xfff), bytes = 0;

    snprintf(name, sizeof name, "%s, trap %d, breakpoint %d, RF %d", instructions[n].name, trap, breakpoint, resume);
    /* poke by poke: eight bytes at most */
    for (const char *hex = instructions[n].code; *hex && instructions[n].rip < BEHIND; hex += hex[2] ? 3 : 2) {
        unsigned value, i = 2 + bytes / 8;

        sscanf(hex, "%2x", &value);
        s.poke[i].at = at + bytes / 8 * 8;
        s.poke[i].size = bytes % 8 + 1;
        s.poke[i].value |= (UINT64)value << bytes % 8 * 8;
        bytes++;
    }
    if (trap) { /* of the instruction before: first of all */
        vector = 1;
        dr6 |= 0x4000;
    } else if (breakpoint && !resume) { /* of this one: before it is fetched */
        vector = 1;
        dr6 |= 1;
    }
    s.rip = vector < 0 ? instructions[n].rip + 1 : HANDLER(vector) + 1;
    s.want[0] = (struct reg)GPR(Dr6, dr6);
    if (vector == 14 && instructions[n].cr2)
        s.want[1] = (struct reg)GPR(Cr2, instructions[n].cr2);
    if (vector >= 0) {
        bool has_error = vector >= 8 && vector <= 14;
        bool is_fault = vector != 1;

        s.see[0] = (struct poke){ STACK0 - 40, 8, instructions[n].rip };
        s.see[1] = (struct poke){ STACK0 - 24, 8, 2 | (trap ? 0x100 : 0) | (is_fault ? 0x10000 : 0) };
        if (has_error)
            s.see[2] = (struct poke){ STACK0 - 48, 8, instructions[n].error };
    }
    play(&s);
}

START_TEST(traps_before_breakpoints_before_fetching_before_decoding_before_the_rest)
{
    for (unsigned bits = 0; bits < 8; bits++)
        if ((bits & 5) != 5) /* RF is over with the instruction that is trapped */
            first((unsigned)_i, bits & 1, bits & 2, bits & 4);
}
END_TEST

static const struct scenario scenarios[] = {
    { "a frame that meets a breakpoint", LONG0, "cd 30", .set = { GPR(Dr0, STACK0 - 16), GPR(Dr7, 0x90002) },
      FAULT(1, 0), .rip = HANDLER(0x30) },
    { "an exception's frame that does", LONG3, "0f 0b", .set = { GPR(Dr0, STACK0 - 8), GPR(Dr7, 0x90002) }, DELIVERS(1),
      .want = { GPR(Dr6, 0xffff0ff1), GPR(Rsp, STACK0 - 48 - 40) }, .see = { { STACK0 - 88, 8, HANDLER(6) } } },
    { "a frame that meets one and fails", LONG0, "cd 30", .set = { GPR(Dr0, STACK0 - 16), GPR(Dr7, 0x90002) },
      .poke = { { IDT + 0x30 * 16 + 8, 4, 0x8000 } }, FAULT(13, 0) },
    { "STI's shadow doesn't hide a breakpoint", LONG0, "fb f4", .set = { GPR(Dr0, CODE + 1), GPR(Dr7, 2) }, FAULT(1, 0),
      .rip = CODE + 1 },
    { "MOV SS's does", LONG0, "8e d0 f4", .set = { GPR(Rax, DATA0), GPR(Dr0, CODE + 2), GPR(Dr7, 2) }, HALTS,
      .rip = CODE + 3 },
    { "MOV SS that faults casts none", LONG0, "8e d0", .set = { GPR(Rax, 0x1f8), GPR(Dr0, HANDLER(13)), GPR(Dr7, 2) },
      DELIVERS(1), .see = { { STACK0 - 48, 8, 0x1f8 } } },
    { "ICEBP under TF traps once", LONG0, "f1", .set = { GPR(Rflags, 0x102) }, DELIVERS(1),
      .want = { GPR(Dr6, 0xffff0ff0), GPR(Rsp, STACK0 - 40) }, .see = { { STACK0 - 40, 8, CODE + 1 } } },
    { "a breakpoint before the segment's end", PROTECTED0, "f4",
      .set = { { WHvX64RegisterRip, 0x10000 }, GPR(Cs, CODE16), GPR(Dr0, 0x10000), GPR(Dr7, 2) }, FAULT(1, 0),
      .rip = 0x10000 },
    { "the segment's end", PROTECTED0, "f4", .set = { { WHvX64RegisterRip, 0x10000 }, GPR(Cs, CODE16), GPR(Dr7, 2) },
      FAULT(13, 0), .rip = 0x10000 },
    { "half past the segment's end", PROTECTED0, "f4", .set = { { WHvX64RegisterRip, 0xfffe }, GPR(Cs, CODE16) },
      .poke = { { 0xfffe, 2, 0x00b8 } }, FAULT(13, 0), .rip = 0xfffe },
    { "UD2 at the segment's end", PROTECTED0, "f4", .set = { { WHvX64RegisterRip, 0xfffe }, GPR(Cs, CODE16) },
      .poke = { { 0xfffe, 2, 0x0b0f } }, FAULT(6, 0), .rip = 0xfffe },
    { "#NM before the operand's page", LONG0, "db 2c 25 00 00 00 40", .set = { GPR(Cr0, 0x80010039) }, FAULT(7, 0) },
    { "#UD before #NM", LONG0, "0f 58 04 25 00 00 00 40", .set = { GPR(Cr0, 0x8001003d) }, FAULT(6, 0) },
    { "#UD before privilege", LONG3, "f0 0f 06", FAULT(6, 0) },
    { "privilege before the operand's page", LONG3, "0f 01 14 25 00 00 00 40", FAULT(13, 0) },
    { "privilege before GD", LONG3, "0f 21 c0", .set = { GPR(Dr7, 0x2400) }, FAULT(13, 0) },
    { "a selector's page before the selector", LONG0, "8e 1c 25 00 00 00 40", FAULT(14, 0) },
    { "not canonical: #GP", LONG0, "8a 07", .set = { GPR(Rdi, 0x800000000000) }, FAULT(13, 0) },
    { "not canonical by its last byte", LONG0, "8b 07", .set = { GPR(Rdi, 0x7ffffffffffd) }, FAULT(13, 0) },
    { "not canonical by RSP: #SS", LONG0, "8a 04 24", .set = { GPR(Rsp, 0x800000000000) }, FAULT(12, 0) },
    { "not canonical by RBP: #SS", LONG0, "8a 45 00", .set = { GPR(Rbp, 0x800000000000) }, FAULT(12, 0) },
    { "not canonical by RBP, of DS", LONG0, "3e 8a 45 00", .set = { GPR(Rbp, 0x800000000000) }, FAULT(12, 0) },
    { "not canonical by RBP, of GS", LONG0, "65 8a 45 00", .set = { GPR(Rbp, 0x800000000000) }, FAULT(13, 0) },
    { "not canonical by R13: #GP", LONG0, "41 8a 45 00", .set = { GPR(R13, 0x800000000000) }, FAULT(13, 0) },
    { "not canonical by PUSH", LONG0, "50", .set = { GPR(Rsp, 0x800000000004) }, FAULT(12, 0) },
    { "not canonical by CALL, whose target isn't either", LONG0, "ff d0",
      .set = { GPR(Rsp, 0x800000000004), GPR(Rax, 0x800000000000) }, FAULT(12, 0) },
    { "a jump that isn't canonical", LONG0, "ff e0", .set = { GPR(Rax, 0x800000000000) }, FAULT(13, 0) },
    { "alignment before the page", LONG3, "8b 07",
      .set = { GPR(Rdi, 0x40000001), GPR(Rflags, 0x40002), GPR(Cr0, 0x80050031) }, FAULT(17, 0) },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_priorities_cases(void)
{
    TCase *t = tcase_create("priorities");

    tcase_add_loop_test(t, traps_before_breakpoints_before_fetching_before_decoding_before_the_rest, 0,
                        sizeof instructions / sizeof *instructions);
    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
