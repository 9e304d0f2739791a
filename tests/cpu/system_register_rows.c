/* SPDX-License-Identifier: MIT */
/* Control registers and descriptor tables, row by row: what the bit-by-bit tests of system_registers.c can't say. */
#include "tests/cpu/system_machine.h"

#define GP(e) FAULT(13, e)
#define UD FAULT(6, 0)

#define PDPTES { 0x13000, 8, 0x15001 }, { 0x15000, 8, 0x87 }
#define PAE .set = { GPR(Rax, 0x14000), GPR(Cr4, 0x20), GPR(Cr3, 0x13000), GPR(Cr0, 0x80000031) }
/* LGDT and SGDT of 16 bytes behind; see it at 6010. */
#define STORED(bytes, v) .see = { { 0x6010, 2, 0x1234 }, { 0x6012, bytes, v } }
#define TABLE(v) .set = { GPR(Rbx, 0x6000), GPR(Rdi, 0x6000) }, .poke = { { 0x6000, 2, 0x1234 }, { 0x6002, 8, v } }

static const struct scenario scenarios[] = {
    /* Descriptor tables by operand size: 24, 32, 64 bits of base. */
    { "LGDT in real mode", REAL, "0f 01 17 0f 01 47 10", TABLE(0x99887766554433), HALTS, STORED(8, 0x554433) },
    { "LGDT of 32 bits in real mode", REAL, "66 0f 01 17 0f 01 47 10", TABLE(0x99887766554433), HALTS,
      STORED(8, 0x66554433) },
    { "LGDT in protected mode", PROTECTED0, "0f 01 17 0f 01 47 10", TABLE(0x99887766554433), HALTS,
      STORED(8, 0x66554433) },
    { "LIDT of 16 bits in protected mode", PROTECTED0, "66 0f 01 1f 0f 01 4f 10", TABLE(0x99887766554433), HALTS,
      STORED(8, 0x554433) },
    { "SGDT of 16 bits stores all", PROTECTED0, "0f 01 17 66 0f 01 47 10", TABLE(0x99887766554433), HALTS,
      STORED(8, 0x66554433) },
    { "LGDT in 64-bit code", LONG0, "66 0f 01 17 66 0f 01 47 10", TABLE(0xffff887766554433), HALTS,
      STORED(8, 0xffff887766554433) },
    { "LIDT that isn't canonical", LONG0, "0f 01 1f", TABLE(0x887766554433), GP(0) },
    { "INVLPG that isn't canonical", LONG0, "0f 01 3f", .set = { GPR(Rdi, 0x887766554433) }, HALTS },
    { "INVLPG of a register", LONG0, "0f 01 ff", UD },

    /* INVPCID: its privilege, its types and what is reserved in its descriptor. */
    { "INVPCID at level 3", LONG3, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 2) }, GP(0) },
    { "INVPCID in virtual-8086 mode", VM86, "66 0f 38 82 05", .set = { GPR(Rdi, 0x6000), GPR(Rax, 2) }, GP(0) },
    { "INVPCID in real mode", REAL, "66 0f 38 82 05", .set = { GPR(Rdi, 0x6000), GPR(Rax, 2) }, HALTS },
    { "INVPCID, high bits of the type", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 0x100000002) },
      GP(0) },
    { "which protected mode doesn't have", PROTECTED0, "66 0f 38 82 07",
      .set = { GPR(Rdi, 0x6000), GPR(Rax, 0x100000002) }, HALTS },
    { "INVPCID, reserved bits", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 2) },
      .poke = { { 0x6000, 8, 0x1000 } }, GP(0) },
    { "INVPCID of a PCID without PCIDE", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 1) },
      .poke = { { 0x6000, 8, 5 } }, GP(0) },
    { "with PCIDE", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 1), GPR(Cr4, 0x20020) },
      .poke = { { 0x6000, 8, 5 } }, HALTS },
    { "INVPCID of an address that isn't canonical", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000) },
      .poke = { { 0x6008, 8, 0x800000000000 } }, GP(0) },
    { "which other types don't look at", LONG0, "66 0f 38 82 07", .set = { GPR(Rdi, 0x6000), GPR(Rax, 3) },
      .poke = { { 0x6008, 8, 0x800000000000 } }, HALTS },
    { "INVPCID of a register", LONG0, "66 0f 38 82 c7", UD },
    { "INVPCID without 66", LONG0, "0f 38 82 07", UD },

    /* Registers that aren't there, and ways to name those that are. */
    { "MOV from CR1", REAL, "0f 20 c8", UD },
    { "MOV from CR5", PROTECTED0, "0f 20 e8", UD },
    { "MOV to CR7", LONG0, "0f 22 f8", UD },
    { "MOV from CR9", LONG0, "44 0f 20 c8", UD },
    { "MOV from DR8", LONG0, "44 0f 21 c0", UD },
    { "DR5 with DE", PROTECTED0, "0f 21 e8", .set = { GPR(Cr4, 8) }, UD },
    { "DE comes before GD", PROTECTED0, "0f 21 e8", .set = { GPR(Cr4, 8), GPR(Dr7, 0x2400) }, UD },
    { "GD comes before reserved bits", LONG0, "0f 23 f8", .set = { GPR(Rax, ~(UINT64)0), GPR(Dr7, 0x2400) },
      FAULT(1, 0) },
    { "MOV from CR0 ignores mod", LONG0, "0f 20 00 f4", HALTS, .rip = CODE + 4, .want = { GPR(Rax, 0x80010031) } },
    { "MOV to DR0 ignores mod", LONG0, "0f 23 44 f4", .set = { GPR(Rsp, 0x7654) }, HALTS, .rip = CODE + 4,
      .want = { GPR(Dr0, 0x7654) } },
    { "MOV from CR0 has 64 bits, whatever the prefix", LONG0, "66 0f 20 c0", .set = { GPR(Rax, ~(UINT64)0) }, HALTS,
      .want = { GPR(Rax, 0x80010031) } },
    { "MOV from CR0 has 32 bits, whatever the prefix", REAL, "66 0f 20 c0", .set = { GPR(Rax, ~(UINT64)0) }, HALTS,
      .want = { GPR(Rax, 0x10) } },
    { "XSETBV of XCR1", LONG0, "0f 01 d1", .set = { GPR(Cr4, 0x40020), GPR(Rax, 1), GPR(Rcx, 1), GPR(Rdx, 0) }, GP(0) },
    { "ECX alone counts", LONG0, "0f 01 d1",
      .set = { GPR(Cr4, 0x40020), GPR(Rax, 1), GPR(Rcx, 0x100000000), GPR(Rdx, 0) }, HALTS },
    { "XSETBV with 66", LONG0, "66 0f 01 d1", .set = { GPR(Cr4, 0x40020), GPR(Rax, 1) }, UD },
    { "LLDT in real mode of 32-bit code", REAL, "0f 00 d0", .set = { GPR(Cs, CODE32) }, UD },
    { "VEX in real mode of 32-bit code", REAL, "c4 e2 78 f2 c0", .set = { GPR(Cs, CODE32) }, UD },

    /* LMSW and SMSW. */
    { "LMSW sets PE", REAL, "0f 01 f0", .set = { GPR(Rax, 0xffff) }, HALTS, .want = { GPR(Cr0, 0x1f) } },
    { "LMSW from memory", LONG0, "0f 01 37", .set = { GPR(Rdi, 0x6000) }, .poke = { { 0x6000, 2, 0xfffe } }, HALTS,
      .want = { GPR(Cr0, 0x8001003f) } },
    { "SMSW to memory has 16 bits", LONG0, "48 0f 01 27", .set = { GPR(Rdi, 0x6000) }, .poke = { { 0x6000, 8, ~0ull } },
      HALTS, .see = { { 0x6000, 8, 0xffffffffffff0031 } } },
    { "SMSW of 16 bits", LONG0, "66 0f 01 e0", .set = { GPR(Rax, ~(UINT64)0) }, HALTS,
      .want = { GPR(Rax, 0xffffffffffff0031) } },
    { "SMSW of 64 bits", LONG0, "48 0f 01 e0", .set = { GPR(Rax, ~(UINT64)0) }, HALTS,
      .want = { GPR(Rax, 0x80010031) } },

    /* Into and out of long mode. */
    { "PG with LME and PAE", PROTECTED0, "0f 22 c0",
      .set = { GPR(Rax, 0x80000031), GPR(Efer, 0x100), GPR(Cr4, 0x20), GPR(Cr3, PML4) },
      .poke = { { PML4, 8, PDPT | 7 }, { PDPT, 8, PD | 7 }, { PD, 8, 0x87 } }, HALTS,
      .want = { GPR(Efer, 0x500), GPR(Cr0, 0x80000031) } },
    { "PG with LME in code of L", PROTECTED0, "0f 22 c0",
      .set = { GPR(Rax, 0x80000031), GPR(Efer, 0x100), GPR(Cr4, 0x20), GPR(Cr3, PML4), GPR(Cs, CODE64) }, GP(0) },
    { "PG off in compatibility mode", LONG0, "0f 22 c0", .set = { GPR(Cs, CODE32), GPR(Rax, 0x31) }, HALTS,
      .want = { GPR(Cr0, 0x31), GPR(Efer, 0x101) } },
    { "PG off with PCIDE", LONG0, "0f 22 c0", .set = { GPR(Cs, CODE32), GPR(Rax, 0x31), GPR(Cr4, 0x20020) }, GP(0) },
    { "PAE off in compatibility mode", LONG0, "0f 22 e0", .set = { GPR(Cs, CODE32) }, GP(0) },
    /* What PAE's CR3, CR0 and CR4 load: four entries, all or none. */
    { "CR3 of PAE", PROTECTED0, "0f 22 d8", PAE, .poke = { PDPTES, { 0x14000, 8, 0x15001 } }, HALTS,
      .want = { GPR(Cr3, 0x14000) } },
    { "CR3 of PAE with a bad entry", PROTECTED0, "0f 22 d8", PAE, .poke = { PDPTES, { 0x14018, 8, 0x15003 } }, GP(0),
      .want = { GPR(Cr3, 0x13000) } },
    { "CR3 of PAE ignores bits 4 to 0", PROTECTED0, "0f 22 d8",
      .set = { GPR(Rax, 0x1403f), GPR(Cr4, 0x20), GPR(Cr3, 0x13000), GPR(Cr0, 0x80000031) },
      .poke = { PDPTES, { 0x14020, 8, 0x15001 } }, HALTS, .want = { GPR(Cr3, 0x1403f) } },
    { "CR4.PGE loads them again", PROTECTED0, "c6 05 00 30 01 00 03 0f 22 e0",
      .set = { GPR(Rax, 0xa0), GPR(Cr4, 0x20), GPR(Cr3, 0x13000), GPR(Cr0, 0x80000031) }, .poke = { PDPTES }, GP(0),
      .rip = CODE + 7, .want = { GPR(Cr4, 0x20) } },
    { "CR4.TSD doesn't", PROTECTED0, "c6 05 00 30 01 00 03 0f 22 e0",
      .set = { GPR(Rax, 0x24), GPR(Cr4, 0x20), GPR(Cr3, 0x13000), GPR(Cr0, 0x80000031) }, .poke = { PDPTES }, HALTS },
    { "CR0.CD loads them again", PROTECTED0, "c6 05 00 30 01 00 03 0f 22 c0",
      .set = { GPR(Rax, 0xc0000031), GPR(Cr4, 0x20), GPR(Cr3, 0x13000), GPR(Cr0, 0x80000031) }, .poke = { PDPTES },
      GP(0), .rip = CODE + 7 },
    { "CR0.PG with a bad entry", PROTECTED0, "0f 22 c0",
      .set = { GPR(Rax, 0x80000031), GPR(Cr4, 0x20), GPR(Cr3, 0x14000) }, .poke = { PDPTES, { 0x14000, 8, 0x15003 } },
      GP(0), .want = { GPR(Cr0, 0x31) } },
    { "PE off while paging", PROTECTED0, "0f 22 c0", .set = { GPR(Rax, 0x80000030), GPR(Cr4, 0x10) },
      .poke = { { 0, 4, 0x87 } }, GP(0) },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_register_rows_cases(void)
{
    TCase *t = tcase_create("register-rows");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
