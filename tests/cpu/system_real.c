/* SPDX-License-Identifier: MIT */
/* Real mode. */
#include "tests/cpu/system_machine.h"

static const struct scenario scenarios[] = {
    { "INT and its frame", REAL, "cd 21", .set = { GPR(Rflags, 0x302) }, .deliver = true, HALTS,
      .rip = HANDLER(0x21) + 1, .want = { GPR(Rsp, STACK0 - 6), GPR(Rflags, 2) },
      .see = { { STACK0 - 6, 2, CODE + 2 }, { STACK0 - 4, 2, 0 }, { STACK0 - 2, 2, 0x302 } } },
    { "a fault pushes no error code", REAL, "0f 00 d0", DELIVERS(6), .want = { GPR(Rsp, STACK0 - 6) },
      .see = { { STACK0 - 6, 2, CODE } } },
    { "INT past the table", REAL, "cd 21", .set = { GPR(Idtr, 0x83) }, FAULT(13, 0) },
    { "the stack wraps", REAL, "cd 21", .set = { GPR(Rsp, 2) }, .deliver = true, HALTS,
      .rip = HANDLER(0x21) + 1, .want = { GPR(Rsp, 0xfffc) } },
    { "an odd stack doesn't", REAL, "cd 21", .set = { GPR(Rsp, 1) }, FAULT(12, 0) },
    { "IRET", REAL, "cf", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 2, 0x10 }, { 0x6002, 2, 0x8ff }, { 0x6004, 2, 0x7202 } }, HALTS, .rip = 0x11,
      .want = { GPR(Cs, 0x8ff), GPR(Rsp, 0x6006), GPR(Rflags, 0x7202) } },
    { "IRETD past the limit", REAL, "66 cf", .set = { GPR(Rsp, 0x6000) }, .poke = { { 0x6000, 4, 0x10000 } },
      FAULT(13, 0) },
    { "far CALL", REAL, "9a 10 00 ff 08", HALTS, .rip = 0x11,
      .want = { GPR(Cs, 0x8ff), GPR(Rsp, STACK0 - 4) },
      .see = { { STACK0 - 4, 2, CODE + 5 }, { STACK0 - 2, 2, 0 } } },
    { "far RET", REAL, "ca 04 00", .set = { GPR(Rsp, 0x6000) },
      .poke = { { 0x6000, 2, 0x10 }, { 0x6002, 2, 0x8ff } }, HALTS, .rip = 0x11,
      .want = { GPR(Cs, 0x8ff), GPR(Rsp, 0x6008) } },
    { "STI casts a shadow", REAL, "fb f4", HALTS, .want = { GPR(Rflags, 0x202) } },
    { "INTO", REAL, "ce", .set = { GPR(Rflags, 0x802) }, .deliver = true, HALTS, .rip = HANDLER(4) + 1,
      .see = { { STACK0 - 6, 2, CODE + 1 } } },
    { "INTO without OF", REAL, "ce", HALTS, .rip = CODE + 2 },
    { "LGDT takes three bytes of base", REAL, "0f 01 16 00 60",
      .poke = { { 0x6000, 2, 0xff }, { 0x6002, 4, 0x12345678 } }, HALTS },
    { "into protected mode", REAL, "0f 20 c0 0c 01 0f 22 c0 ea 00 90 18 00",
      .poke = { { GDT + CODE32, 8, 0x00cf9b000000ffff } }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Cs, CODE32), GPR(Cr0, 0x11) } },
    { "SMSW", REAL, "66 0f 01 e0", HALTS, .want = { GPR(Rax, 0x10) } },
    { "ports are open", REAL, "ec", .set = { GPR(Rdx, 0x3f8) }, .reason = WHvRunVpExitReasonX64IoPortAccess,
      .rip = CODE },
    { "shutdown", REAL, "0f 0b", .set = { GPR(Idtr, 0) }, .deliver = true,
      .reason = WHvRunVpExitReasonUnrecoverableException },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_real_cases(void)
{
    TCase *t = tcase_create("real mode");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
