/* SPDX-License-Identifier: MIT */
/* SYSCALL, SYSENTER and their returns in each mode, as AMD's processors have them: APM 3. */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)
#define UD FAULT(6, 0)
#define STAR(sysret, syscall, eip) GPR(Star, (UINT64)(sysret) << 48 | (UINT64)(syscall) << 32 | (eip))

static const struct scenario scenarios[] = {
    { "SYSCALL from compatibility mode", COMPAT3, "0f 05",
      .set = { STAR(0x20, 8, 0), GPR(Cstar, TARGET), GPR(Lstar, USER), GPR(Rflags, 0x10246) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rcx, CODE + 2), GPR(R11, 0x246), GPR(Cs, CODE64), GPR(Ss, DATA0), GPR(Rflags, 0x246) } },
    { "SYSCALL's SS is CS + 8 with the RPL that STAR has", LONG3, "0f 05",
      .set = { STAR(0, 0xb, 0), GPR(Lstar, TARGET) }, HALTS, .want = { GPR(Cs, CODE64), GPR(Ss, 0x13) } },
    { "all of SFMASK", LONG3, "0f 05",
      .set = { STAR(0, 8, 0), GPR(Lstar, TARGET), GPR(Sfmask, 0xffffffff), GPR(Rflags, 0x247ed7) }, HALTS,
      .want = { GPR(R11, 0x247ed7), GPR(Rflags, 2) } },
    { "SYSCALL in legacy mode", PROTECTED3, "0f 05",
      .set = { GPR(Efer, 1), STAR(0, CODE32 | 3, TARGET), GPR(Rflags, 0x10246), GPR(Sfmask, 0xffff), GPR(R11, 7) },
      HALTS, .rip = TARGET + 1,
      .want = { GPR(Rcx, CODE + 2), GPR(R11, 7), GPR(Cs, CODE32), GPR(Ss, CODE32 + 8 + 3), GPR(Rflags, 0x46) } },
    { "SYSCALL in virtual-8086 mode", VM86, "0f 05", .set = { GPR(Efer, 1), STAR(0, CODE32, TARGET) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Rflags, 0x3002), GPR(Cs, CODE32) } },
    { "SYSCALL without SCE in legacy mode", PROTECTED3, "0f 05", UD },
    { "SYSRET to what isn't canonical faults there", LONG0, "48 0f 07",
      .set = { STAR(0x20, 8, 0), GPR(Rcx, 0x800000000000), GPR(R11, 0x202) }, GP(0), .rip = 0x800000000000,
      .want = { GPR(Cs, USER_CODE64), GPR(Rflags, 0x202) } },
    { "SYSRET's SS has the RPL that STAR has", LONG0, "48 0f 07", .set = { STAR(0x20, 8, 0), GPR(Rcx, USER) }, GP(0),
      .rip = USER, .want = { GPR(Cs, USER_CODE64), GPR(Ss, USER_DATA & ~3) } },
    { "SYSRET of 32 bits cuts RCX", LONG0, "0f 07", .set = { STAR(0x20, 8, 0), GPR(Rcx, 0x1200000000 | USER) }, GP(0),
      .rip = USER, .want = { GPR(Cs, USER_CODE32) } },
    { "SYSRET takes all flags but RF and VM", LONG0, "48 0f 07",
      .set = { STAR(0x20, 8, 0), GPR(Rcx, USER), GPR(R11, ~(UINT64)0x100) }, GP(0), .rip = USER,
      .want = { GPR(Rflags, 0x3c7ed7) } },
    { "SYSRET from compatibility mode", LONG0, "0f 07",
      .set = { GPR(Cs, CODE32), STAR(0x20, 8, 0), GPR(Rcx, USER), GPR(R11, 0x3002), GPR(Rflags, 0x46) }, GP(0),
      .rip = USER, .want = { GPR(Cs, USER_CODE32), GPR(Rflags, 0x246) } },
    { "SYSRET in legacy mode", PROTECTED0, "0f 07", .set = { GPR(Efer, 1), STAR(0x20, 8, 0), GPR(Rcx, USER) }, GP(0),
      .rip = USER, .want = { GPR(Cs, USER_CODE32), GPR(Ss, USER_DATA & ~3), GPR(Rflags, 0x202) } },
    { "SYSRET in real mode", REAL, "0f 07", .set = { GPR(Efer, 1) }, GP(0) },
    { "SYSRET in virtual-8086 mode", VM86, "0f 07", .set = { GPR(Efer, 1) }, GP(0) },
    { "SYSRET in legacy mode at level 3", PROTECTED3, "0f 07", .set = { GPR(Efer, 1) }, GP(0) },
    { "SYSRET without SCE at level 3", PROTECTED3, "0f 07", UD },

    /* SYSENTER and SYSEXIT, which AMD's long mode doesn't have. */
    { "SYSENTER in compatibility mode", COMPAT3, "0f 34", .set = { GPR(SysenterCs, 8) }, UD },
    { "SYSENTER in real mode", REAL, "0f 34", .set = { GPR(SysenterCs, 8) }, GP(0) },
    { "SYSENTER by an RPL alone", PROTECTED3, "0f 34", .set = { GPR(SysenterCs, 3) }, GP(0) },
    { "SYSENTER from virtual-8086 mode", VM86, "0f 34",
      .set = { GPR(SysenterCs, CODE32 | 3), GPR(SysenterEip, TARGET), GPR(SysenterEsp, 0x6000) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Cs, CODE32), GPR(Ss, CODE32 + 8), GPR(Rsp, 0x6000), GPR(Rflags, 0x3002) } },
    { "SYSEXIT in compatibility mode", LONG0, "0f 35", .set = { GPR(Cs, CODE32), GPR(SysenterCs, 8) }, UD },
    { "SYSEXIT in real mode", REAL, "0f 35", .set = { GPR(SysenterCs, 8) }, GP(0) },
    { "SYSEXIT at level 3", PROTECTED3, "0f 35", .set = { GPR(SysenterCs, 8) }, GP(0) },
    { "SYSEXIT without a selector", PROTECTED0, "0f 35", .set = { GPR(SysenterCs, 3) }, GP(0) },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_calls_cases(void)
{
    TCase *t = tcase_create("system calls");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
