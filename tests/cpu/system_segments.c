/* SPDX-License-Identifier: MIT */
/*
 * Segment registers, LDTR and TR, and questions about descriptors: how they are loaded in every mode, and what is then
 * seen through them. What a selector's descriptor must be is in system_rules.c. Rows with "(Zen 3)" were seen on one.
 */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)
#define NP(e) FAULT(11, e)
#define PF(e) FAULT(14, e)
#define UD FAULT(6, 0)

/* SLOT is a descriptor to make things of, and AT is where data is. */
enum { SLOT = ABSENT_DATA, AT = 0x6000 };
#define IS(raw) { GDT + SLOT, 8, raw }
#define LDT_IS(i, raw) { LDT + 8 * (i), 8, raw }
#define HIGH_HALF(selector, raw) { GDT + (selector) + 8, 8, raw }

/* The first 2 MiB once more at 4 MiB, read-only; and the GDT there. */
#define READ_ONLY { PD + 16, 8, 0x85 }
#define GDT_READ_ONLY GPR(Gdtr, (UINT64)(0x400000 | GDT) << 16 | GDT_LIMIT)
/* And nothing at 2 MiB. */
#define NOTHING { PD + 8, 8, 0 }
#define GDT_NOWHERE GPR(Gdtr, (UINT64)(0x200000 | GDT) << 16 | GDT_LIMIT)
#define HIGH_ALIAS { PML4 + 8, 8, PDPT | 7 }

static const struct scenario scenarios[] = {
    /* Real mode: a base, and nothing else. */
    { "real: MOV DS and a read", REAL, "8e d8 a1 08 00", .set = { GPR(Rax, 0x5ff8 >> 4) },
      .poke = { { 0x5ff8, 2, 0x1234 } }, HALTS, .want = { GPR(Rax, 0x1234), GPR(Ds, 0x5ff) } },
    { "real: POP ES", REAL, "07", .set = { GPR(Rsp, AT) }, .poke = { { AT, 2, 0xffff } }, HALTS,
      .want = { GPR(Es, 0xffff), GPR(Rsp, AT + 2) } },
    { "real: POP of 32 bits", REAL, "66 1f", .set = { GPR(Rsp, AT) }, .poke = { { AT, 4, 0x56781234 } }, HALTS,
      .want = { GPR(Ds, 0x1234), GPR(Rsp, AT + 4) } },
    { "real: LES", REAL, "c4 06 00 60", .set = { GPR(Rax, 0xaaaabbbb) }, .poke = { { AT, 4, 0x12345678 } }, HALTS,
      .want = { GPR(Es, 0x1234), GPR(Rax, 0xaaaa5678) } },
    { "real: LDS of 32 bits", REAL, "66 c5 06 00 60", .poke = { { AT, 4, 0x12345678 }, { AT + 4, 2, 3 } }, HALTS,
      .want = { GPR(Ds, 3), GPR(Rax, 0x12345678) } },
    { "real: LSS", REAL, "0f b2 26 00 60", .poke = { { AT, 4, 0x12345678 } }, HALTS,
      .want = { GPR(Ss, 0x1234), GPR(Rsp, 0x5678) } },
    { "real: LGS whose selector is at the segment's start", REAL, "0f b5 06 fe ff",
      .poke = { { 0xfffe, 2, 1 }, { 0, 2, 0x1234 } }, HALTS, .want = { GPR(Gs, 0x1234), GPR(Rax, 1) } },
    { "real: LES that ends in the offset", REAL, "66 c4 06 fe ff", GP(0) },
    { "real: MOV CS", REAL, "8e c8", UD },
    { "real: LES of a register", REAL, "c4 c0", UD },
    { "real: the limit stays what it was", PROTECTED0, "0f 22 c0 8e d9 a1 f0 9f 0f 00",
      .set = { GPR(Rax, 0x30), GPR(Rcx, 1) }, .poke = { { 0xfa000, 4, 0x12345678 } }, HALTS,
      .want = { GPR(Rax, 0x12345678), GPR(Ds, 1) } },
    { "real: LAR", REAL, "0f 02 c0", UD },
    { "real: LSL", REAL, "0f 03 c0", UD },
    { "real: VERR", REAL, "0f 00 e0", UD },
    { "real: LTR", REAL, "0f 00 d8", UD },
    { "real: SLDT", REAL, "0f 00 c0", UD },

    /* Virtual-8086 mode: the same, with a limit of 64 KiB. */
    { "VM86: MOV DS and a read", VM86, "8e d8 a1 08 00", .set = { GPR(Rax, 0x5ff8 >> 4) },
      .poke = { { 0x5ff8, 2, 0x1234 } }, GP(0), .rip = CODE + 5, .want = { GPR(Rax, 0x1234), GPR(Ds, 0x5ff) } },
    { "VM86: a null selector is one too", VM86, "8e d0 8e d8 a1 00 60", .poke = { { AT, 2, 0x1234 } }, GP(0),
      .rip = CODE + 7, .want = { GPR(Rax, 0x1234) } },
    { "VM86: LFS", VM86, "0f b4 06 00 60", .poke = { { AT, 4, 0x12345678 } }, GP(0), .rip = CODE + 5,
      .want = { GPR(Fs, 0x1234), GPR(Rax, 0x5678) } },
    { "VM86: past 64 KiB", VM86, "67 a1 00 00 01 00", GP(0) },
    { "VM86: VERW", VM86, "0f 00 e8", UD },
    { "VM86: ARPL", VM86, "63 c0", UD },
    { "VM86: STR", VM86, "0f 00 c8", UD },

    /* Null selectors. */
    { "null: FS keeps the RPL", PROTECTED3, "8e e0", .set = { GPR(Rax, 3) }, GP(0), .rip = CODE + 2,
      .want = { GPR(Fs, 3) } },
    { "null: a read by DS", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, 2) }, GP(0), .rip = CODE + 2 },
    { "null: a write by ES", PROTECTED3, "8e c0 aa", GP(0), .rip = CODE + 2 },
    { "null: SS with an RPL", PROTECTED3, "8e d0", .set = { GPR(Rax, 3) }, GP(0) },
    { "null: SS in compatibility mode", COMPAT3, "8e d0", .set = { GPR(Rax, 3) }, GP(0) },
    { "null: POP SS", PROTECTED0, "17", .set = { GPR(Rsp, AT) }, GP(0), .want = { GPR(Rsp, AT), GPR(Ss, DATA0) } },
    { "null: LSS", PROTECTED0, "0f b2 05 00 60 00 00", .poke = { { AT, 4, 7 } }, GP(0), .want = { GPR(Rax, 0) } },
    { "null: an LDT's first isn't", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, 4), GPR(Ldtr, LDT_SELECTOR) },
      .poke = { LDT_IS(0, 0x00cf93000000ffff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "null: in 64-bit mode everything is there (Zen 3)", LONG3, "8e d8 8b 04 25 00 60 00 00", .set = { GPR(Rax, 3) },
      .poke = { { AT, 4, 9 } }, GP(0), .rip = CODE + 9, .want = { GPR(Rax, 9), GPR(Ds, 3) } },
    { "null: SS of level 0 in 64-bit mode, and a push", LONG0, "8e d0 50", HALTS,
      .want = { GPR(Rsp, STACK0 - 8), GPR(Ss, 0) } },
    { "null: GS loses its base (Zen 3)", LONG3, "8e e8 31 c0 8e e8 65 8b 04 25 00 60 00 00",
      .set = { GPR(Rax, SLOT | 3) }, .poke = { IS(0x0040f31000000fff), { AT, 4, 9 } }, GP(0), .rip = CODE + 14,
      .want = { GPR(Rax, 9) } },

    /* Tables. */
    { "GDT: the last byte", PROTECTED0, "8e d8", .set = { GPR(Rax, DATA0), GPR(Gdtr, DATA0 + 7) }, HALTS },
    { "GDT: and one less", PROTECTED0, "8e d8", .set = { GPR(Rax, DATA0), GPR(Gdtr, DATA0 + 6) }, GP(DATA0) },
    { "LDT: the last byte", PROTECTED0, "8e d8", .set = { GPR(Rax, 0x1c), GPR(Ldtr, LDT_SELECTOR) },
      .poke = { LDT_IS(3, 0x00cf93000000ffff) }, HALTS, .want = { GPR(Ds, 0x1c) } },
    { "LDT: past it", PROTECTED0, "8e d8", .set = { GPR(Rax, 0x24), GPR(Ldtr, LDT_SELECTOR) },
      .poke = { LDT_IS(4, 0x00cf93000000ffff) }, GP(0x24) },
    { "LDT: none", PROTECTED0, "8e d0", .set = { GPR(Rax, 4) }, GP(4) },
    { "accessed already: the table isn't written", LONG0, "8e d8", .set = { GPR(Rax, DATA0), GDT_READ_ONLY },
      .poke = { READ_ONLY }, HALTS, .want = { GPR(Ds, DATA0) } },
    { "accessed now: it is, by the supervisor", LONG3, "8e d8",
      .set = { GPR(Rax, USER_DATA), GDT_READ_ONLY, GPR(Cr0, 0x80010031) },
      .poke = { READ_ONLY, { GDT + (USER_DATA & ~7) + 5, 1, 0xf2 } }, PF(3) },
    { "absent and not accessed: it isn't", LONG3, "8e d8", .set = { GPR(Rax, SLOT | 3), GDT_READ_ONLY },
      .poke = { READ_ONLY, IS(0x00cf72000000ffff) }, NP(SLOT) },
    { "a table that isn't mapped", LONG3, "8e d8", .set = { GPR(Rax, USER_DATA), GDT_NOWHERE }, .poke = { NOTHING },
      PF(0) },
    { "far JMP: accessed now", LONG0, "ff 2c 25 00 60 00 00", .set = { GDT_READ_ONLY },
      .poke = { READ_ONLY, { AT, 4, TARGET }, { AT + 4, 2, CODE64 }, { GDT + CODE64 + 5, 1, 0x9a } }, PF(3) },
    { "LTR: busy now", LONG0, "0f 00 d8", .set = { GPR(Rax, FREE_TSS64), GDT_READ_ONLY }, .poke = { READ_ONLY }, PF(3),
      .want = { GPR(Tr, TSS64) } },

    /* POP and the like: widths. */
    { "POP of 32 bits", PROTECTED0, "1f", .set = { GPR(Rsp, AT) }, .poke = { { AT, 4, 0xffff0000 | DATA0 } }, HALTS,
      .want = { GPR(Rsp, AT + 4), GPR(Ds, DATA0) } },
    { "POP of 16 bits", PROTECTED0, "66 1f", .set = { GPR(Rsp, AT) }, .poke = { { AT, 2, DATA0 } }, HALTS,
      .want = { GPR(Rsp, AT + 2) } },
    { "POP of 64 bits (Zen 3)", LONG3, "0f a9", .set = { GPR(Rsp, AT) },
      .poke = { { AT, 8, 0xffffffffffff0000 | USER_DATA } }, GP(0), .rip = CODE + 2,
      .want = { GPR(Rsp, AT + 8), GPR(Gs, USER_DATA) } },
    { "POP SS to a 16-bit stack moves ESP as the old one", PROTECTED0, "17", .set = { GPR(Rsp, 0xfffc) },
      .poke = { { 0xfffc, 4, DATA16 } }, HALTS, .want = { GPR(Rsp, 0x10000), GPR(Ss, DATA16) } },
    { "a POP that fails", PROTECTED3, "1f", .set = { GPR(Rsp, AT) }, .poke = { { AT, 4, DATA0 } }, GP(DATA0),
      .want = { GPR(Rsp, AT), GPR(Ds, USER_DATA) } },
    { "LGS without REX.W (Zen 3)", LONG3, "0f b5 04 25 00 60 00 00", .set = { GPR(Rax, ~(UINT64)0) },
      .poke = { { AT, 8, 0x1122002b55667788 } }, GP(0), .rip = CODE + 8,
      .want = { GPR(Rax, 0x55667788), GPR(Gs, USER_DATA) } },
    { "LGS with it is the same (Zen 3)", LONG3, "48 0f b5 04 25 00 60 00 00", .set = { GPR(Rax, ~(UINT64)0) },
      .poke = { { AT, 8, 0x1122002b55667788 } }, GP(0), .rip = CODE + 9, .want = { GPR(Rax, 0x55667788) } },
    { "LGS of 16 bits (Zen 3)", LONG3, "66 0f b5 04 25 00 60 00 00", .set = { GPR(Rax, ~(UINT64)0) },
      .poke = { { AT, 4, 0x002b7788 } }, GP(0), .rip = CODE + 9, .want = { GPR(Rax, 0xffffffffffff7788) } },
    { "LGS that fails leaves the register (Zen 3)", LONG3, "0f b5 04 25 00 60 00 00", .set = { GPR(Rax, 5) },
      .poke = { { AT, 4, 1 }, { AT + 4, 2, SLOT | 3 } }, NP(SLOT), .want = { GPR(Rax, 5) } },
    { "LGS: #AC of the offset (Zen 3)", LONG3, "0f b5 04 25 02 60 00 00",
      .set = { GPR(Cr0, 0x80050031), GPR(Rflags, 0x40002) }, FAULT(17, 0) },
    { "LSS in 64-bit mode (Zen 3)", LONG3, "0f b2 24 25 00 60 00 00",
      .poke = { { AT, 4, 0x12345678 }, { AT + 4, 2, USER_DATA } }, GP(0), .rip = CODE + 8,
      .want = { GPR(Rsp, 0x12345678), GPR(Ss, USER_DATA) } },
    { "LES in 64-bit mode", LONG0, "c4 04 25 00 60 00 00", UD },
    { "POP DS in 64-bit mode", LONG0, "1f", UD },
    { "LFS of a register", PROTECTED0, "0f b4 c0", UD },
    { "MOV CS", PROTECTED0, "8e c8", UD },
    { "a sixth segment register", LONG0, "8e f0", UD },

    /* What is seen through them: limits. */
    { "bytes: the last doubleword", PROTECTED0, "8e d8 a1 fc 5f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040930000005fff), { 0x5ffc, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "bytes: past it", PROTECTED0, "8e d8 a1 fd 5f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040930000005fff) }, GP(0), .rip = CODE + 2 },
    { "bytes: 20 bits", PROTECTED0, "8e d8 a1 fc ff 0e 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x004e93000000ffff), { 0xefffc, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "pages: the last doubleword", PROTECTED0, "8e d8 a1 fc 5f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00c0930000000005), { 0x5ffc, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "pages: past it", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00c0930000000005) }, GP(0), .rip = CODE + 2 },
    { "pages: the limit of 0 is one page", PROTECTED0, "8e d8 a0 ff 0f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00c0930000000000), { 0xfff, 1, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "a base", PROTECTED0, "8e d8 a1 00 10 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00c09300500000ff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "a base and an offset wrap at 4 GiB", PROTECTED0, "8e d8 a1 00 70 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0xffcf93fff000ffff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "expand-down: above the limit", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040970000005fff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "expand-down: at the limit", PROTECTED0, "8e d8 a1 ff 5f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040970000005fff) }, GP(0), .rip = CODE + 2 },
    { "expand-down: past 64 KiB of a small one", PROTECTED0, "8e d8 a1 fd ff 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0000970000005fff) }, GP(0), .rip = CODE + 2 },
    { "expand-down: past 64 KiB of a big one", PROTECTED0, "8e d8 a1 fd ff 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040970000005fff), { 0xfffd, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "expand-down in pages", PROTECTED0, "8e d8 a1 fc 5f 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00c0970000000005) }, GP(0), .rip = CODE + 2 },
    { "a stack that expands down ends", PROTECTED0, "8e d0 50", .set = { GPR(Rax, SLOT), GPR(Rsp, 0x6003) },
      .poke = { IS(0x0040970000005fff) }, FAULT(12, 0), .rip = CODE + 2 },
    { "a small stack", PROTECTED0, "8e d0 50", .set = { GPR(Rax, SLOT), GPR(Rsp, 0x12340000) },
      .poke = { IS(0x000093000000ffff) }, HALTS, .want = { GPR(Rsp, 0x1234fffc) }, .see = { { 0xfffc, 4, SLOT } } },
    { "SS past its limit", PROTECTED0, "8e d0 36 a1 00 60 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0040930000005fff) }, FAULT(12, 0), .rip = CODE + 2 },

    /* Rights. */
    { "a write to read-only data", PROTECTED0, "8e d8 a3 00 60 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00cf91000000ffff) }, GP(0), .rip = CODE + 2 },
    { "a read of it", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x00cf91000000ffff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "a read of code", PROTECTED0, "8e d8 a1 00 60 00 00", .set = { GPR(Rax, CODE32) }, .poke = { { AT, 4, 9 } },
      HALTS, .want = { GPR(Rax, 9) } },
    { "a write to code", PROTECTED0, "8e d8 a3 00 60 00 00", .set = { GPR(Rax, CODE32) }, GP(0), .rip = CODE + 2 },
    { "a read of execute-only code", PROTECTED0, "ea 07 10 00 00 a0 00 2e a1 00 60 00 00",
      .poke = { IS(0x00cf99000000ffff) }, GP(0), .rip = CODE + 7 },
    { "compatibility mode knows them all", COMPAT3, "8e d8 a3 00 60 00 00", .set = { GPR(Rax, SLOT | 3) },
      .poke = { IS(0x00cff1000000ffff) }, GP(0), .rip = CODE + 2 },
    { "and limits", COMPAT3, "8e d8 a1 fd 5f 00 00", .set = { GPR(Rax, SLOT | 3) }, .poke = { IS(0x0040f30000005fff) },
      GP(0), .rip = CODE + 2 },

    /* 64-bit mode: no bases but those of FS and GS, no limits, no rights. */
    { "64-bit mode: DS without base, limit or rights (Zen 3)", LONG0, "8e d8 89 04 25 00 60 00 00",
      .set = { GPR(Rax, SLOT) }, .poke = { IS(0x0040911000000fff) }, HALTS, .see = { { AT, 4, SLOT } } },
    { "64-bit mode: SS", LONG0, "8e d0 50", .set = { GPR(Rax, SLOT) }, .poke = { IS(0x0000931000000fff) }, HALTS,
      .want = { GPR(Rsp, STACK0 - 8) }, .see = { { STACK0 - 8, 8, SLOT } } },
    { "64-bit mode: FS has a base, and no limit (Zen 3)", LONG0, "8e e0 64 8b 04 25 00 50 00 00",
      .set = { GPR(Rax, SLOT) }, .poke = { IS(0x0040910010000fff), { AT, 4, 9 } }, HALTS, .want = { GPR(Rax, 9) } },
    { "64-bit mode: and nothing wraps at 4 GiB", LONG0, "8e e0 64 8b 04 25 00 70 00 00", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0xff4093fff0000fff) }, PF(0), .rip = CODE + 2 },

    /* LLDT. */
    { "LLDT: null, and nothing is in it", PROTECTED0, "0f 00 d0 8e d9",
      .set = { GPR(Rax, 3), GPR(Rcx, 4), GPR(Ldtr, LDT_SELECTOR) }, .poke = { LDT_IS(0, 0x00cf93000000ffff) }, GP(4),
      .rip = CODE + 3, .want = { GPR(Ldtr, 3) } },
    { "LLDT: of the LDT", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, 4), GPR(Ldtr, LDT_SELECTOR) },
      .poke = { LDT_IS(0, 0x000082005000001f) }, GP(4) },
    { "LLDT: past the GDT", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, 0x103) }, GP(0x100) },
    { "LLDT: data of the same type", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, SLOT) },
      .poke = { IS(0x0000920000001fff) }, GP(SLOT) },
    { "LLDT: absent", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, LDT_SELECTOR) },
      .poke = { { GDT + LDT_SELECTOR + 5, 1, 2 } }, NP(LDT_SELECTOR) },
    { "LLDT: neither RPL nor DPL matter", PROTECTED0, "0f 00 d0", .set = { GPR(Rax, LDT_SELECTOR | 3) }, HALTS,
      .want = { GPR(Ldtr, LDT_SELECTOR | 3) } },
    { "LLDT: from memory", PROTECTED0, "0f 00 15 00 60 00 00", .poke = { { AT, 2, LDT_SELECTOR } }, HALTS,
      .want = { GPR(Ldtr, LDT_SELECTOR) } },
    { "LLDT: at level 3", PROTECTED3, "0f 00 d0", GP(0) },
    { "LLDT of 16 bytes: the GDT ends in it", LONG0, "0f 00 d0",
      .set = { GPR(Rax, LDT_SELECTOR), GPR(Gdtr, LDT_SELECTOR + 14) }, .poke = { HIGH_HALF(LDT_SELECTOR, 0) },
      GP(LDT_SELECTOR) },
    { "LLDT of 16 bytes: the upper type", LONG0, "0f 00 d0", .set = { GPR(Rax, LDT_SELECTOR) },
      .poke = { HIGH_HALF(LDT_SELECTOR, 0x0000100000000000) }, GP(LDT_SELECTOR) },
    { "LLDT of 16 bytes: a base that isn't canonical", LONG0, "0f 00 d0", .set = { GPR(Rax, LDT_SELECTOR) },
      .poke = { HIGH_HALF(LDT_SELECTOR, 0x8000) }, GP(LDT_SELECTOR) },
    { "LLDT of 16 bytes: a base above 4 GiB", LONG0, "0f 00 d0 8e d9", .set = { GPR(Rax, LDT_SELECTOR), GPR(Rcx, 4) },
      .poke = { HIGH_HALF(LDT_SELECTOR, 0x80), HIGH_ALIAS, LDT_IS(0, 0x00cf92000000ffff) }, HALTS,
      .want = { GPR(Ds, 4) }, .see = { { LDT, 8, 0x00cf93000000ffff } } },

    /* LTR. */
    { "LTR: null", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, 3) }, GP(0) },
    { "LTR: of the LDT", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, 4), GPR(Ldtr, LDT_SELECTOR) },
      .poke = { LDT_IS(0, 0x0000890040000067) }, GP(4) },
    { "LTR: past the GDT", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, 0x100) }, GP(0x100) },
    { "LTR: an LDT", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, LDT_SELECTOR) }, GP(LDT_SELECTOR) },
    { "LTR: a busy one", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, TSS32) }, GP(TSS32),
      .see = { { GDT + TSS32 + 5, 1, 0x8b } } },
    { "LTR: a busy one comes before an absent one", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, TSS32) },
      .poke = { { GDT + TSS32 + 5, 1, 0x0b } }, GP(TSS32) },
    { "LTR: absent", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, SECOND_TASK) },
      .poke = { { GDT + SECOND_TASK + 5, 1, 0x69 } }, NP(SECOND_TASK), .see = { { GDT + SECOND_TASK + 5, 1, 0x69 } } },
    { "LTR: busy from now on", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, SECOND_TASK | 3) }, HALTS,
      .want = { GPR(Tr, SECOND_TASK | 3) }, .see = { { GDT + SECOND_TASK + 5, 1, 0xeb } } },
    { "LTR: a 16-bit one", PROTECTED0, "0f 00 d8", .set = { GPR(Rax, SLOT) }, .poke = { IS(0x000081004000002b) }, HALTS,
      .see = { { GDT + SLOT + 5, 1, 0x83 } } },
    { "LTR: not in long mode", LONG0, "0f 00 d8", .set = { GPR(Rax, SLOT) }, .poke = { IS(0x000081004000002b) },
      GP(SLOT) },
    { "LTR: at level 3", LONG3, "0f 00 d8", GP(0) },
    { "LTR of 16 bytes: the GDT ends in it", LONG0, "0f 00 d8",
      .set = { GPR(Rax, FREE_TSS64), GPR(Gdtr, FREE_TSS64 + 14) }, GP(FREE_TSS64) },
    { "LTR of 16 bytes: the upper type", LONG0, "0f 00 d8", .set = { GPR(Rax, FREE_TSS64) },
      .poke = { HIGH_HALF(FREE_TSS64, 0x0000010000000000) }, GP(FREE_TSS64),
      .see = { { GDT + FREE_TSS64 + 5, 1, 0x89 } } },
    { "LTR of 16 bytes: a base that isn't canonical", LONG0, "0f 00 d8", .set = { GPR(Rax, FREE_TSS64) },
      .poke = { HIGH_HALF(FREE_TSS64, 0x8000) }, GP(FREE_TSS64), .see = { { GDT + FREE_TSS64 + 5, 1, 0x89 } } },
    { "LTR of 16 bytes: a base above 4 GiB, used", LONG0, "0f 00 d8 cd 30", .set = { GPR(Rax, FREE_TSS64) },
      .poke = { HIGH_HALF(FREE_TSS64, 0x80), HIGH_ALIAS, { IDT + 0x30 * 16 + 4, 1, 1 } }, DELIVERS(0x30),
      .want = { GPR(Rsp, IST1 - 40) } },

    /* Questions: selectors that name nothing, and widths. */
    { "LAR: null", PROTECTED0, "0f 02 c1", .set = { GPR(Rax, 7), GPR(Rcx, 3), GPR(Rflags, 0x8d7) }, HALTS,
      .want = { GPR(Rax, 7), GPR(Rflags, 0x897) } },
    { "LSL: past the GDT", PROTECTED0, "0f 03 c1", .set = { GPR(Rax, 7), GPR(Rcx, 0x100), GPR(Rflags, 0x8d7) }, HALTS,
      .want = { GPR(Rax, 7), GPR(Rflags, 0x897) } },
    { "VERR: no LDT", LONG3, "0f 00 e0", .set = { GPR(Rax, 0xf), GPR(Rflags, 0x8d7) }, GP(0), .rip = CODE + 3,
      .want = { GPR(Rflags, 0x897) } },
    { "VERW changes ZF alone", LONG3, "0f 00 e8", .set = { GPR(Rax, USER_DATA), GPR(Rflags, 0x897) }, GP(0),
      .rip = CODE + 3, .want = { GPR(Rflags, 0x8d7) } },
    { "LAR of 64 bits (Zen 3)", LONG3, "48 0f 02 c1", .set = { GPR(Rax, ~(UINT64)0), GPR(Rcx, USER_DATA) }, GP(0),
      .rip = CODE + 4, .want = { GPR(Rax, 0xcff300) } },
    { "LAR of 16 bits (Zen 3)", LONG3, "66 0f 02 c1", .set = { GPR(Rax, ~(UINT64)0), GPR(Rcx, USER_DATA) }, GP(0),
      .rip = CODE + 4, .want = { GPR(Rax, 0xfffffffffffff300) } },
    { "LSL of 64 bits (Zen 3)", LONG3, "48 0f 03 c1", .set = { GPR(Rax, ~(UINT64)0), GPR(Rcx, USER_DATA) }, GP(0),
      .rip = CODE + 4, .want = { GPR(Rax, 0xffffffff) } },
    { "LSL in bytes", PROTECTED0, "0f 03 c1", .set = { GPR(Rcx, SLOT) }, .poke = { IS(0x004e93000000fffe) }, HALTS,
      .want = { GPR(Rax, 0xefffe) } },
    { "LSL of 16 bits", PROTECTED0, "66 0f 03 c1", .set = { GPR(Rax, 0x12345678), GPR(Rcx, SLOT) },
      .poke = { IS(0x004e930000001234) }, HALTS, .want = { GPR(Rax, 0x12341234) } },
    { "LAR from memory reads two bytes", PROTECTED0, "0f 02 05 00 60 00 00", .poke = { { AT, 4, 0xffff0000 | DATA0 } },
      HALTS, .want = { GPR(Rax, 0xcf9300) } },
    { "LAR of a table that isn't mapped", LONG3, "0f 02 c1", .set = { GPR(Rcx, USER_DATA), GDT_NOWHERE },
      .poke = { NOTHING }, PF(0) },
    { "a question sets no accessed bit", LONG3, "0f 00 e0", .set = { GPR(Rax, USER_DATA) },
      .poke = { { GDT + (USER_DATA & ~7) + 5, 1, 0xf2 } }, GP(0), .rip = CODE + 3,
      .see = { { GDT + (USER_DATA & ~7) + 5, 1, 0xf2 } } },
};

START_TEST(one) { play(&scenarios[_i]); }
END_TEST

TCase *system_segment_cases(void)
{
    TCase *t = tcase_create("segments");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
