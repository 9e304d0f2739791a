/* SPDX-License-Identifier: MIT */
/* Vector state: who may use AVX, what clears upper halves, XSAVE, faults amid masked moves and gathers. */
#include "tests/cpu/system_machine.h"

#define OSXSAVE GPR(Cr4, 0x40620) /* with OSFXSR, OSXMMEXCPT and PAE */
#define XCR0(v) { WHvX64RegisterXCr0, (v) }
#define AVX OSXSAVE, XCR0(7)
#define VADDPS "c5 f4 58 c2" /* vaddps ymm0, ymm1, ymm2 */
#define ONES "c5 f5 76 c9"   /* vpcmpeqd ymm1, ymm1, ymm1 */
#define STORE "c5 fe 7f 0c 25 00 60 00 00" /* vmovdqu [0x6000], ymm1 */
#define ALL "b8 07 00 00 00 31 d2"         /* mov eax, 7; xor edx, edx */
#define ALL_ONES 0xffffffffffffffff

static const struct scenario scenarios[] = {
    { "AVX", LONG0, VADDPS, .set = { AVX }, HALTS },
    { "AVX without OSXSAVE", LONG0, VADDPS, .set = { OSXSAVE, XCR0(7), GPR(Cr4, 0x620) }, FAULT(6, 0) },
    { "AVX without its state", LONG0, VADDPS, .set = { OSXSAVE, XCR0(3) }, FAULT(6, 0) },
    { "AVX with TS", LONG0, VADDPS, .set = { AVX, GPR(Cr0, 0x80010039) }, FAULT(7, 0) },
    { "AVX doesn't care for EM", LONG0, VADDPS, .set = { AVX, GPR(Cr0, 0x80010035) }, HALTS },
    { "SSE does", LONG0, "0f 58 c1", .set = { AVX, GPR(Cr0, 0x80010035) }, FAULT(6, 0) },
    { "no AVX in real mode", REAL, VADDPS, .set = { AVX }, FAULT(6, 0) },
    { "no AVX in virtual-8086 mode", VM86, VADDPS, .set = { AVX }, FAULT(6, 0) },
    { "AVX in protected mode", PROTECTED3, VADDPS " f4", .set = { AVX }, FAULT(13, 0), .rip = CODE + 4 },
    { "66 before VEX", LONG0, "66 " VADDPS, .set = { AVX }, FAULT(6, 0) },
    { "REX before VEX", LONG0, "40 " VADDPS, .set = { AVX }, FAULT(6, 0) },
    { "LOCK before VEX", LONG0, "f0 " VADDPS, .set = { AVX }, FAULT(6, 0) },
    { "vvvv that isn't used", LONG0, "c5 f4 28 c2", .set = { AVX }, FAULT(6, 0) },
    { "a gather into its own mask", LONG0, "c4 e2 71 90 0c 15 00 60 00 00", .set = { AVX }, FAULT(6, 0) },

    { "YMM", LONG0, ONES STORE, .set = { AVX }, HALTS,
      .see = { { 0x6000, 8, ALL_ONES }, { 0x6018, 8, ALL_ONES }, { 0x6020, 8, 0 } } },
    { "128 bits of VEX clear the rest", LONG0, ONES "c5 f1 ef c9" STORE, .set = { AVX },
      .poke = { { 0x6018, 8, 5 } }, HALTS, .see = { { 0x6000, 8, 0 }, { 0x6018, 8, 0 } } },
    { "SSE keeps it", LONG0, ONES "66 0f ef c9" STORE, .set = { AVX }, HALTS,
      .see = { { 0x6008, 8, 0 }, { 0x6010, 8, ALL_ONES }, { 0x6018, 8, ALL_ONES } } },
    { "VZEROUPPER", LONG0, ONES "c5 f8 77" STORE, .set = { AVX }, .poke = { { 0x6018, 8, 5 } }, HALTS,
      .see = { { 0x6008, 8, ALL_ONES }, { 0x6010, 8, 0 }, { 0x6018, 8, 0 } } },
    { "VMOVAPS wants 32 bytes", LONG0, "c5 fc 28 0c 25 10 60 00 00", .set = { AVX }, FAULT(13, 0) },
    { "VADDPS doesn't", LONG0, "c5 f4 58 0c 25 01 60 00 00", .set = { AVX }, HALTS },

    { "XSAVE and XRSTOR", LONG0,
      ONES ALL "0f ae 24 25 00 60 00 00 c5 fc 77 0f ae 2c 25 00 60 00 00 c5 fe 7f 0c 25 00 68 00 00",
      .set = { AVX }, HALTS,
      .see = { { 0x6000 + 512, 8, 6 },
               { 0x6000 + 576 + 16, 8, ALL_ONES },
               { 0x6000 + 576 + 24, 8, ALL_ONES },
               { 0x6000 + 576 + 32, 8, 0 },
               { 0x6800, 8, ALL_ONES },
               { 0x6818, 8, ALL_ONES } } },
    { "XSAVE of initial state", LONG0, "c5 fc 77" ALL "0f ae 24 25 00 60 00 00", .set = { AVX }, HALTS,
      .see = { { 0x6000 + 512, 8, 0 } } },
    { "XSAVEC writes what isn't initial, and XRSTOR takes it", LONG0,
      ONES ALL "0f c7 24 25 00 60 00 00 c5 fc 77 0f ae 2c 25 00 60 00 00 c5 fe 7f 0c 25 00 68 00 00",
      .set = { AVX }, .poke = { { 0x6000, 8, 5 } }, HALTS,
      .see = { { 0x6000, 8, 5 }, /* the x87 is as it was */
               { 0x6000 + 512, 8, 6 },
               { 0x6000 + 520, 8, (UINT64)1 << 63 | 7 },
               { 0x6000 + 576 + 16, 8, ALL_ONES },
               { 0x6800, 8, ALL_ONES },
               { 0x6818, 8, ALL_ONES } } },
    { "XSAVEC of what EAX names", LONG0, ONES "31 d2 b8 02 00 00 00 0f c7 24 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 576 + 16, 8, 5 } }, HALTS,
      .see = { { 0x6000 + 512, 8, 2 }, { 0x6000 + 520, 8, (UINT64)1 << 63 | 2 }, { 0x6000 + 576 + 16, 8, 5 } } },
    { "XSAVEC counts MXCSR with SSE", LONG0,
      "c5 fc 77" ALL "c7 04 25 00 68 00 00 80 9f 00 00 0f ae 14 25 00 68 00 00 0f c7 24 25 00 60 00 00",
      .set = { AVX }, HALTS, .see = { { 0x6000 + 512, 8, 2 }, { 0x6000 + 24, 4, 0x9f80 } } },
    { "XSAVEOPT leaves what is initial", LONG0, "c5 fc 77" ALL "0f ae 34 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000, 8, 5 }, { 0x6000 + 160, 8, 5 }, { 0x6000 + 512, 8, 7 } }, HALTS,
      .see = { { 0x6000, 8, 5 }, { 0x6000 + 160, 8, 5 }, { 0x6000 + 512, 8, 0 } } },
    { "XSAVES and XRSTORS", LONG0,
      ONES ALL "0f c7 2c 25 00 60 00 00 c5 fc 77 0f c7 1c 25 00 60 00 00 c5 fe 7f 0c 25 00 68 00 00",
      .set = { AVX }, HALTS,
      .see = { { 0x6000 + 512, 8, 6 }, { 0x6000 + 520, 8, (UINT64)1 << 63 | 7 }, { 0x6818, 8, ALL_ONES } } },
    { "XSAVES at level 3", LONG3, "0f c7 2c 25 00 60 00 00", .set = { AVX }, FAULT(13, 0) },
    { "XRSTORS at level 3", LONG3, "0f c7 1c 25 00 60 00 00", .set = { AVX }, FAULT(13, 0) },
    { "XRSTORS of the standard form", LONG0, ALL "0f c7 1c 25 00 60 00 00", .set = { AVX }, FAULT(13, 0), .rip = CODE + 7 },
    { "XSAVEC, not aligned", LONG0, ALL "0f c7 24 25 20 60 00 00", .set = { AVX }, FAULT(13, 0), .rip = CODE + 7 },
    { "XSAVEC without OSXSAVE", LONG0, "0f c7 24 25 00 60 00 00", FAULT(6, 0) },
    { "XSAVEC of a register", LONG0, "0f c7 e0", .set = { AVX }, FAULT(6, 0) },
    { "XCOMP_BV beyond XCR0", LONG0, ALL "0f ae 2c 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 520, 8, (UINT64)1 << 63 | 15 } }, FAULT(13, 0), .rip = CODE + 7 },
    { "XSTATE_BV beyond XCOMP_BV", LONG0, ALL "0f ae 2c 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 512, 8, 4 }, { 0x6000 + 520, 8, (UINT64)1 << 63 | 3 } }, FAULT(13, 0), .rip = CODE + 7 },
    { "the compacted header's last byte", LONG0, ALL "0f ae 2c 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 520, 8, (UINT64)1 << 63 | 7 }, { 0x6000 + 575, 1, 1 } }, FAULT(13, 0), .rip = CODE + 7 },
    { "which the standard form doesn't look at", LONG0, ALL "0f ae 2c 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 24, 4, 0x1f80 }, { 0x6000 + 575, 1, 1 } }, HALTS },
    { "XCOMP_BV without its first bit", LONG0, ALL "0f ae 2c 25 00 60 00 00", .set = { AVX },
      .poke = { { 0x6000 + 520, 8, 2 } }, FAULT(13, 0), .rip = CODE + 7 },
    { "a compacted area without SSE makes MXCSR initial", LONG0,
      ALL "0f ae 2c 25 00 60 00 00 0f ae 1c 25 00 68 00 00", .set = { AVX },
      .poke = { { 0x6000 + 24, 4, 0xffffffff }, { 0x6000 + 520, 8, (UINT64)1 << 63 | 7 } }, HALTS,
      .see = { { 0x6800, 4, 0x1f80 } } },
    { "XGETBV of what is in use", LONG0, ONES "b9 01 00 00 00 0f 01 d0", .set = { AVX }, HALTS,
      .want = { GPR(Rax, 6) } },
    { "XGETBV of nothing", LONG0, "b9 02 00 00 00 0f 01 d0", .set = { AVX }, FAULT(13, 0), .rip = CODE + 5 },
    { "IA32_XSS has no bits", LONG0, "b9 a0 0d 00 00 31 d2 b8 00 01 00 00 0f 30", FAULT(13, 0), .rip = CODE + 12 },
    { "and can be read", LONG0, "b9 a0 0d 00 00 0f 32 f4", HALTS, .want = { GPR(Rcx, 0xda0) } },
    { "XSETBV and XGETBV", LONG0, ALL "31 c9 0f 01 d1 31 c0 0f 01 d0", .set = { OSXSAVE }, HALTS,
      .want = { GPR(Rax, 7), XCR0(7) } },
    { "AVX state needs SSE's", LONG0, "b8 05 00 00 00 31 d2 31 c9 0f 01 d1", .set = { OSXSAVE }, FAULT(13, 0),
      .rip = CODE + 9 },

    /* The second element lies behind all memory. */
    { "masked moves touch what the mask names", LONG0,
      "b8 ff ff ff ff c5 f9 6e c8 c4 e2 7d 58 d1 c4 e2 75 2e 14 25 fc ff 0f 00", .set = { AVX }, HALTS,
      .see = { { 0xffffc, 4, 0xffffffff } } },
    { "all or nothing", LONG0, "c5 f5 76 c9 c4 e2 75 2e 0c 25 fc ff 0f 00", .set = { AVX },
      .reason = WHvRunVpExitReasonMemoryAccess, .rip = CODE + 4, .see = { { 0xffffc, 4, 0 } } },
    { "a gather keeps what it has", LONG0,
      "c5 f1 76 c9 b8 00 00 00 40 c5 f9 6e d0 c5 e9 73 fa 04 c4 e2 71 90 1c 15 00 60 00 00",
      .set = { AVX }, .poke = { { 0x6000, 4, 0x11223344 } }, FAULT(14, 0), .rip = CODE + 18,
      .want = { { WHvX64RegisterXmm3, 0x11223344 }, { WHvX64RegisterXmm1, 0xffffffff00000000 } } },
    { "CLZERO", LONG0, "b8 44 60 00 00 0f 01 fc",
      .poke = { { 0x6038, 8, 5 }, { 0x6040, 8, 5 }, { 0x6078, 8, 5 }, { 0x6080, 8, 5 } }, HALTS,
      .see = { { 0x6038, 8, 5 }, { 0x6040, 4, 0 }, { 0x6078, 4, 0 }, { 0x6080, 8, 5 } } },
    /* GS begins at 420; the line is that of 420 + 5c3c, whatever DS is named behind it (Zen 3) */
    { "CLZERO of GS", LONG0, "b9 01 01 00 c0 b8 20 04 00 00 31 d2 0f 30 b8 3c 5c 00 00 65 3e 0f 01 fc",
      .poke = { { 0x6038, 8, 5 }, { 0x6040, 8, 5 }, { 0x6078, 8, 5 }, { 0x6080, 8, 5 } }, HALTS,
      .see = { { 0x6038, 8, 5 }, { 0x6040, 4, 0 }, { 0x6078, 4, 0 }, { 0x6080, 8, 5 } } },
};

START_TEST(one)
{
    play(&scenarios[_i]);
}
END_TEST

TCase *system_vector_cases(void)
{
    TCase *t = tcase_create("vector state");

    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
