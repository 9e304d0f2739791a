/* SPDX-License-Identifier: MIT */
/*
 * IRET, branch by branch as APM 3 has it. What a selector's descriptor must be is in system_rules.c; here: modes,
 * widths, flags, stacks, and which check comes before which. Rows with "(Zen 3)" were seen on one.
 */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)

/* Frames at 6000 hex, and a page that ends before SS:RSP of one. */
#define FRAME 0x6000
#define AT_FRAME GPR(Rsp, FRAME)
#define THREE(size, ip, cs, flags)                                                                                     \
    { FRAME, size, ip }, { FRAME + (size), size, cs }, { FRAME + 2 * (size), size, flags }
#define FIVE(size, ip, cs, flags, sp, ss)                                                                              \
    THREE(size, ip, cs, flags), { FRAME + 3 * (size), size, sp }, { FRAME + 4 * (size), size, ss }
#define HOLE { PD + 8, 8, 0x13007 }, { 0x13000, 8, FRAME | 7 }

/* What ABSENT_DATA and ABSENT_CODE may be made of. */
#define IS(selector, raw) { GDT + ((selector) & ~7), 8, raw }
#define USER_DATA16 (ABSENT_DATA | 3)
#define IS_USER_DATA16 IS(USER_DATA16, 0x0000f3000000ffff)
#define NONCANONICAL 0x800000000000
#define CHECKED GPR(Cr0, 0x80050031), GPR(Rflags, 0x40002) /* by CR0.AM and AC */

/* Every flag but TF, RF and VM; and that, cut to 16 bits. */
#define FLAGS 0x3c7ed7
#define FLAGS16 0x7ed7

static const struct scenario scenarios[] = {
    /* Real mode: all flags but VM, VIF and VIP. */
    { "real: 16 bits of flags", REAL, "cf", .set = { AT_FRAME, GPR(Rflags, 0x240002) },
      .poke = { THREE(2, TARGET, 0, FLAGS16) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rflags, 0x240000 | FLAGS16), GPR(Rsp, FRAME + 6) } },
    { "real: 32 bits", REAL, "66 cf", .set = { AT_FRAME }, .poke = { THREE(4, TARGET, 0xffff0000, FLAGS | 0x20000) },
      HALTS, .rip = TARGET + 1, .want = { GPR(Rflags, 0x240000 | FLAGS16), GPR(Rsp, FRAME + 12), GPR(Cs, 0) } },
    { "real: 32 bits clear what they may", REAL, "66 cf", .set = { AT_FRAME, GPR(Rflags, 0x247ed7) },
      .poke = { THREE(4, TARGET, 0, 0) }, HALTS, .want = { GPR(Rflags, 2) } },
    { "real: the stack wraps between values", REAL, "cf", .set = { GPR(Rsp, 0xfffe) },
      .poke = { { 0xfffe, 2, TARGET }, { 0, 2, 0 }, { 2, 2, 2 } }, HALTS, .rip = TARGET + 1, .want = { GPR(Rsp, 4) } },
    { "real: and not in one", REAL, "cf", .set = { GPR(Rsp, 0xffff) }, FAULT(12, 0) },
    { "real: RF keeps a breakpoint from being met again", REAL, "66 cf",
      .set = { AT_FRAME, GPR(Dr0, TARGET), GPR(Dr7, 0x401) }, .poke = { THREE(4, TARGET, 0, 0x10002) }, HALTS,
      .rip = TARGET + 1 },
    { "real: 16 bits have no RF", REAL, "cf", .set = { AT_FRAME, GPR(Dr0, TARGET), GPR(Dr7, 0x401) },
      .poke = { THREE(2, TARGET, 0, 2) }, FAULT(1, 0), .rip = TARGET },
    { "real: NMIs", REAL, "cf", .set = { AT_FRAME, { WHvRegisterInterruptState, 2 } },
      .poke = { THREE(2, TARGET, 0, 2) }, HALTS, .want = { { WHvRegisterInterruptState, 0 } } },

    /* Virtual-8086 mode. */
    { "VM86: IOPL 3 lets IF change, not IOPL", VM86, "cf", .set = { AT_FRAME },
      .poke = { THREE(2, 1, TARGET >> 4, FLAGS16 & ~0x3000) }, GP(0), .rip = 1,
      .want = { GPR(Cs, TARGET >> 4), GPR(Rflags, 0x20000 | FLAGS16) } },
    { "VM86: 32 bits, and neither VM, VIF nor VIP", VM86, "66 cf", .set = { AT_FRAME },
      .poke = { THREE(4, 1, TARGET >> 4, FLAGS) }, GP(0), .rip = 1, .want = { GPR(Rflags, 0x260000 | FLAGS16) } },
    { "VM86: VIF and VIP aren't cleared either", VM86, "66 cf", .set = { AT_FRAME, GPR(Rflags, 0x1a3002) },
      .poke = { THREE(4, 1, TARGET >> 4, 2) }, GP(0), .rip = 1, .want = { GPR(Rflags, 0x1a3002) } },
    { "VM86: past the limit", VM86, "66 cf", .set = { AT_FRAME }, .poke = { THREE(4, 0x10000, 0, 2) }, GP(0) },
    { "VM86: below IOPL 3", VM86, "cf", .set = { GPR(Rsp, 0xffff), GPR(Rflags, 0x22002) }, GP(0) },
    { "VME: IF becomes VIF", VM86, "cf", .set = { AT_FRAME, GPR(Rflags, 0x21002), GPR(Cr4, 1) },
      .poke = { THREE(2, 1, TARGET >> 4, FLAGS16) }, GP(0), .rip = 1,
      .want = { GPR(Rflags, 0xa1000 | (FLAGS16 & ~0x3200)) } },
    { "VME: and not VIF", VM86, "cf", .set = { AT_FRAME, GPR(Rflags, 0x1a1202), GPR(Cr4, 1) },
      .poke = { THREE(2, 1, TARGET >> 4, 2) }, GP(0), .rip = 1, .want = { GPR(Rflags, 0x121202) } },
    { "VME: IF with VIP", VM86, "cf", .set = { AT_FRAME, GPR(Rflags, 0x122002), GPR(Cr4, 1) },
      .poke = { THREE(2, 1, TARGET >> 4, 0x202) }, GP(0) },
    { "VME: TF", VM86, "cf", .set = { AT_FRAME, GPR(Rflags, 0x22002), GPR(Cr4, 1) },
      .poke = { THREE(2, 1, TARGET >> 4, 0x102) }, GP(0) },
    { "VME: 32 bits", VM86, "66 cf", .set = { AT_FRAME, GPR(Rflags, 0x22002), GPR(Cr4, 1) },
      .poke = { THREE(4, 1, TARGET >> 4, 2) }, GP(0) },
    { "VME: the stack is read before that", VM86, "66 cf",
      .set = { GPR(Rsp, 0xffff), GPR(Rflags, 0x22002), GPR(Cr4, 1) }, FAULT(12, 0) },
    { "VME at IOPL 3 is as without", VM86, "66 cf", .set = { AT_FRAME, GPR(Rflags, 0x123002), GPR(Cr4, 1) },
      .poke = { THREE(4, 1, TARGET >> 4, 0x3202) }, GP(0), .rip = 1, .want = { GPR(Rflags, 0x123202) } },

    /* Protected mode: flags by level and width. */
    { "flags at level 0", PROTECTED0, "cf", .set = { AT_FRAME }, .poke = { THREE(4, TARGET, CODE32, FLAGS) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Rflags, FLAGS), GPR(Rsp, FRAME + 12) } },
    { "flags at level 0 are cleared", PROTECTED0, "cf", .set = { AT_FRAME, GPR(Rflags, FLAGS & ~0x4000) },
      .poke = { THREE(4, TARGET, CODE32, 0) }, HALTS, .want = { GPR(Rflags, 2) } },
    { "16 bits of flags at level 0", PROTECTED0, "66 cf", .set = { AT_FRAME, GPR(Rflags, 0x3c0002) },
      .poke = { THREE(2, TARGET, CODE32, FLAGS16) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rflags, FLAGS), GPR(Rsp, FRAME + 6) } },
    { "flags at level 3", PROTECTED3, "cf", .set = { AT_FRAME },
      .poke = { THREE(4, USER, USER_CODE32, FLAGS | 0x20000) }, GP(0), .rip = USER, .want = { GPR(Rflags, 0x244cd7) } },
    { "flags at level 3 aren't cleared", PROTECTED3, "cf", .set = { AT_FRAME, GPR(Rflags, 0x180202) },
      .poke = { THREE(4, USER, USER_CODE32, 0) }, GP(0), .rip = USER, .want = { GPR(Rflags, 0x180202) } },
    { "flags at level 3 with IOPL 3", PROTECTED3, "cf", .set = { AT_FRAME, GPR(Rflags, 0x3002) },
      .poke = { THREE(4, USER, USER_CODE32, 0x4ed7) }, GP(0), .rip = USER, .want = { GPR(Rflags, FLAGS16) } },
    { "flags at level 1 with IOPL 1", PROTECTED0, "cf",
      .set = { AT_FRAME, GPR(Cs, CODE1), GPR(Ss, DATA1), GPR(Rflags, 0x1002) },
      .poke = { THREE(4, USER, CODE1, FLAGS) }, GP(0), .rip = USER, .want = { GPR(Rflags, 0x245ed7) } },
    { "the level left decides, not the new one", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, FLAGS, STACK3, USER_DATA) }, GP(0), .rip = USER,
      .want = { GPR(Rflags, FLAGS) } },
    { "RF", PROTECTED3, "cf", .set = { AT_FRAME, GPR(Dr0, USER), GPR(Dr7, 0x401) },
      .poke = { THREE(4, USER, USER_CODE32, 0x10002) }, GP(0), .rip = USER },
    { "NMIs", PROTECTED0, "cf", .set = { AT_FRAME, { WHvRegisterInterruptState, 2 } },
      .poke = { THREE(4, TARGET, CODE32, 2) }, HALTS, .want = { { WHvRegisterInterruptState, 0 } } },

    /* Protected mode: the stacks. */
    { "a 16-bit stack moves SP alone", PROTECTED0, "cf", .set = { GPR(Ss, DATA16), GPR(Rsp, 0x12346000) },
      .poke = { THREE(4, TARGET, CODE32, 2) }, HALTS, .rip = TARGET + 1, .want = { GPR(Rsp, 0x1234600c) } },
    { "a 16-bit stack ends in a value", PROTECTED0, "cf", .set = { GPR(Ss, DATA16), GPR(Rsp, 0xfffe) }, FAULT(12, 0) },
    { "to a 16-bit stack: the rest is that of level 0", PROTECTED0, "cf", .set = { GPR(Rsp, 0x16000) },
      .poke = { { 0x16000, 4, USER },
                { 0x16004, 4, USER_CODE32 },
                { 0x16008, 4, 2 },
                { 0x1600c, 4, 0x12347c00 },
                { 0x16010, 4, USER_DATA16 },
                IS_USER_DATA16 },
      GP(0), .rip = USER, .want = { GPR(Rsp, 0x17c00), GPR(Ss, USER_DATA16) } },
    { "16-bit values to a 32-bit stack", PROTECTED0, "66 cf", .set = { AT_FRAME },
      .poke = { FIVE(2, USER, USER_CODE32, 2, STACK3, USER_DATA) }, GP(0), .rip = USER, .want = { GPR(Rsp, STACK3) } },
    { "a null CS", PROTECTED0, "cf", .set = { AT_FRAME }, .poke = { THREE(4, TARGET, 0, 2) }, GP(0) },
    { "CS past the GDT", PROTECTED0, "cf", .set = { AT_FRAME }, .poke = { THREE(4, TARGET, 0x100, 2) }, GP(0x100) },
    { "a null SS", PROTECTED0, "cf", .set = { AT_FRAME }, .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, 3) }, GP(0) },
    { "SS past the GDT", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, 0x103) }, GP(0x100) },
    { "SS of another RPL", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA & ~3) }, GP(USER_DATA & ~3) },
    { "SS that is code", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_CODE32) }, GP(USER_CODE32 & ~3) },
    { "SS that can't be written", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA), { GDT + 0x2d, 1, 0xf1 } }, GP(USER_DATA & ~3) },
    { "an absent SS", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA), { GDT + 0x2d, 1, 0x73 } },
      FAULT(12, USER_DATA & ~3) },
    { "past the limit", PROTECTED0, "cf", .set = { AT_FRAME }, .poke = { THREE(4, 0x10000, CODE16, 2) }, GP(0) },
    { "past the limit comes before an absent SS", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, 0x10000, USER_CODE32, 2, STACK3, ABSENT_DATA | 3), IS(USER_CODE32, 0x0040fb000000ffff) },
      GP(0) },
    { "accessed bits of CS and SS", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA), { GDT + 0x25, 1, 0xfa }, { GDT + 0x2d, 1, 0xf2 } },
      GP(0), .rip = USER, .see = { { GDT + 0x25, 1, 0xfb }, { GDT + 0x2d, 1, 0xf3 } } },

    /* Data segments that an outer level may not keep. */
    { "only what it could load itself", PROTECTED0, "cf",
      .set = { AT_FRAME, GPR(Ds, CONFORMING), GPR(Es, USER_DATA), GPR(Fs, DATA0), GPR(Gs, CODE32) },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA) }, GP(0), .rip = USER,
      .want = { GPR(Ds, CONFORMING), GPR(Es, USER_DATA), GPR(Fs, 0), GPR(Gs, 0) } },
    { "and level 1 keeps its own", PROTECTED0, "cf", .set = { AT_FRAME, GPR(Ds, DATA1), GPR(Es, CODE1) },
      .poke = { FIVE(4, USER, CODE1, 2, STACK3, DATA1) }, GP(0), .rip = USER,
      .want = { GPR(Ds, DATA1), GPR(Es, CODE1), GPR(Fs, 0) } },
    { "a null selector loses its RPL", PROTECTED0, "8e d8 cf", .set = { AT_FRAME, GPR(Rax, 3) },
      .poke = { FIVE(4, USER, USER_CODE32, 2, STACK3, USER_DATA) }, GP(0), .rip = USER, .want = { GPR(Ds, 0) } },
    { "at the same level nothing is dropped", PROTECTED0, "8e d8 cf", .set = { AT_FRAME, GPR(Rax, 3) },
      .poke = { THREE(4, TARGET, CODE32, 2) }, HALTS, .want = { GPR(Ds, 3), GPR(Es, DATA0) } },

    /* To virtual-8086 mode. */
    { "to VM86: all flags", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, 1, TARGET >> 4, FLAGS | 0x20000, 8, 9) }, GP(0), .rip = 1,
      .want = { GPR(Rflags, FLAGS | 0x20000), GPR(Rsp, 8), GPR(Ss, 9), GPR(Ds, 0) } },
    { "to VM86: EIP is cut to 16 bits, as on AMD's", PROTECTED0, "cf", .set = { AT_FRAME },
      .poke = { FIVE(4, 0x10001, TARGET >> 4, 0x23002, 8, 9) }, GP(0), .rip = 1, .want = { GPR(Cs, TARGET >> 4) } },
    { "to VM86: the stack ends", PROTECTED0, "8e d0 cf", .set = { AT_FRAME, GPR(Rax, DATA16) },
      .poke = { FIVE(4, 1, TARGET >> 4, 0x23002, 8, 9), IS(DATA16, 0x0000930000006020) }, FAULT(12, 0),
      .rip = CODE + 2 },
    { "to VM86: level 3 can't", PROTECTED3, "cf", .set = { AT_FRAME }, .poke = { THREE(4, USER, USER_CODE32, 0x23002) },
      GP(0), .rip = USER, .want = { GPR(Rflags, 2), GPR(Cs, USER_CODE32) } },
    { "to VM86: 16 bits can't", PROTECTED0, "66 cf", .set = { AT_FRAME },
      .poke = { THREE(2, TARGET, CODE32, 2), { 0x6006, 2, 2 } }, HALTS, .rip = TARGET + 1 },

    /* Long mode: flags. */
    { "IRETQ: flags at level 0", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, TARGET, CODE64, ~(UINT64)0x10100, 0x6800, DATA0) }, HALTS, .rip = TARGET + 1,
      .want = { GPR(Rflags, FLAGS), GPR(Rsp, 0x6800) } },
    { "IRETQ: flags at level 3 (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, USER_CODE64, ~(UINT64)0x10100, 0x6800, USER_DATA) }, GP(0), .rip = USER,
      .want = { GPR(Rflags, 0x244cd7) } },
    { "IRETQ: NMIs", LONG3, "48 cf", .set = { AT_FRAME, { WHvRegisterInterruptState, 2 } },
      .poke = { FIVE(8, USER, USER_CODE64, 2, 0x6800, USER_DATA) }, GP(0), .rip = USER,
      .want = { { WHvRegisterInterruptState, 0 } } },

    /* Long mode: five values are popped whatever the level, of any width. */
    { "IRETD", LONG0, "cf", .set = { AT_FRAME }, .poke = { FIVE(4, TARGET, CODE64, 2, 0x12346800, DATA0) }, HALTS,
      .rip = TARGET + 1, .want = { GPR(Rsp, 0x12346800) } },
    { "IRET of 16 bits", LONG0, "66 cf", .set = { AT_FRAME }, .poke = { FIVE(2, TARGET, CODE64, 2, 0x6800, DATA0) },
      HALTS, .rip = TARGET + 1, .want = { GPR(Rsp, 0x6800) } },
    { "RSP needn't be canonical (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, USER_CODE64, 2, 0x8000000000000000, USER_DATA) }, GP(0), .rip = USER,
      .want = { GPR(Rsp, 0x8000000000000000) } },
    { "selectors have 16 bits (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, 0xffff0000 | USER_CODE64, 2, 0x6800, 0xffff0000 | USER_DATA) }, GP(0), .rip = USER },
    { "SS and RSP are read before CS is looked at (Zen 3)", LONG3, "48 cf", .set = { GPR(Rsp, 0x200fe8) },
      .poke = { HOLE, { 0x6fe8, 8, USER }, { 0x6ff0, 8, 4 } }, DELIVERS(14), .want = { GPR(Cr2, 0x201008) } },
    { "of what comes first, the flags are read first (Zen 3)", LONG3, "48 cf", .set = { GPR(Rsp, 0x200ff8) },
      .poke = { HOLE, { 0x6ff8, 8, USER } }, DELIVERS(14), .want = { GPR(Cr2, 0x201008) } },
    { "IRETD from compatibility mode pops three", COMPAT3, "cf", .set = { AT_FRAME },
      .poke = { THREE(4, USER, USER_CODE64, 2) }, GP(0), .rip = USER,
      .want = { GPR(Cs, USER_CODE64), GPR(Rsp, FRAME + 12), GPR(Ss, USER_DATA) } },
    { "and counts RSP as its target does (Zen 3)", COMPAT3, "cf", .set = { GPR(Rsp, 0xfffffff4) },
      .poke = { { PDPT + 24, 8, 0x13007 },
                { 0x13ff8, 8, 0x14007 },
                { 0x14ff8, 8, 0x15007 },
                { 0x15ff4, 4, USER },
                { 0x15ff8, 4, USER_CODE64 },
                { 0x15ffc, 4, 2 } },
      GP(0), .rip = USER, .want = { GPR(Rsp, 0x100000000) } },

    /* Long mode: RSP is as wide as the target's stack. */
    { "to a 32-bit stack", LONG3, "48 cf", .set = { GPR(Rsp, 0x8000000000 | FRAME) },
      .poke = { FIVE(8, USER, USER_CODE32, 2, 0x1234567800007000, USER_DATA), { PML4 + 8, 8, PDPT | 7 } }, GP(0),
      .rip = USER, .want = { GPR(Rsp, 0x7000) } },
    { "to a 16-bit one: 48 bits stay (Zen 3)", LONG3, "48 cf", .set = { GPR(Rsp, 0x8000000000 | FRAME) },
      .poke = { FIVE(8, USER, USER_CODE32, 2, 0x1234567812347000, USER_DATA16),
                { PML4 + 8, 8, PDPT | 7 },
                IS_USER_DATA16 },
      GP(0), .rip = USER, .want = { GPR(Rsp, 0x8000007000) } },
    { "and an exception pushes them (Zen 3)", LONG3, "48 cf", .set = { GPR(Rsp, 0x8000000000 | FRAME) },
      .poke = { FIVE(8, USER, USER_CODE32, 2, 0x7000, USER_DATA16), { PML4 + 8, 8, PDPT | 7 }, IS_USER_DATA16 },
      DELIVERS(13), .see = { { STACK0 - 16, 8, 0x8000007000 } } },
    { "in 64-bit mode SS.B means nothing (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, USER_CODE64, 2, 0x1234567812347000, USER_DATA16), IS_USER_DATA16 }, GP(0), .rip = USER,
      .want = { GPR(Rsp, 0x1234567812347000), GPR(Ss, USER_DATA16) } },

    /* Long mode: checks. */
    { "IRETQ: a null CS", LONG0, "48 cf", .set = { AT_FRAME }, .poke = { FIVE(8, TARGET, 0, 2, 0x6800, DATA0) },
      GP(0) },
    { "IRETQ: a null SS to level 1", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, ABSENT_CODE | 1, 2, 0x6800, 1), IS(ABSENT_CODE, 0x00afbb000000ffff) }, GP(0), .rip = USER,
      .want = { GPR(Cs, ABSENT_CODE | 1), GPR(Ss, 1) } },
    { "IRETQ: a null SS to compatibility mode", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, TARGET, CODE32, 2, 0x6800, 0) }, GP(0) },
    { "IRETQ: a null SS at level 3 (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, USER_CODE64, 2, 0x6800, 3) }, GP(0) },
    { "IRETQ: SS of another level at the same level", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, TARGET, CODE64, 2, 0x6800, USER_DATA) }, GP(USER_DATA & ~3) },
    { "IRETQ: an absent SS (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, USER, USER_CODE64, 2, 0x6800, ABSENT_DATA | 3) }, FAULT(12, ABSENT_DATA) },
    { "IRETQ: RIP comes before SS (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, NONCANONICAL, USER_CODE64, 2, 0x6800, ABSENT_DATA | 3) }, GP(0) },
    { "IRETQ: to an outer level too", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, NONCANONICAL, USER_CODE64, 2, 0x6800, ABSENT_DATA | 3) }, GP(0) },
    { "IRETQ: CS comes before RIP (Zen 3)", LONG3, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, NONCANONICAL, ABSENT_CODE | 3, 2, 0x6800, USER_DATA), IS(ABSENT_CODE, 0x00cf7b000000ffff) },
      FAULT(11, ABSENT_CODE) },
    { "IRETQ: RIP past 4 GiB in compatibility mode", LONG0, "48 cf", .set = { AT_FRAME },
      .poke = { FIVE(8, 0x100000000 | USER, USER_CODE32, 2, STACK3, USER_DATA) }, GP(0) },
    { "IRETQ: a frame that isn't canonical", LONG0, "48 cf", .set = { GPR(Rsp, NONCANONICAL - 16) }, FAULT(12, 0) },

    /* #AC: each value is an access of its own (Zen 3). */
    { "#AC: IRETQ", LONG3, "48 cf", .set = { CHECKED, GPR(Rsp, FRAME + 4) }, FAULT(17, 0) },
    { "#AC: IRETD is aligned by 4", LONG3, "cf", .set = { CHECKED, GPR(Rsp, FRAME + 4) },
      .poke = { { 0x6004, 4, USER }, { 0x6008, 4, USER_CODE64 }, { 0x600c, 4, 2 }, { 0x6014, 4, USER_DATA } }, GP(0),
      .rip = USER },
};

START_TEST(one) { play(&scenarios[_i]); }
END_TEST

TCase *system_iret_cases(void)
{
    TCase *t = tcase_create("iret");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
