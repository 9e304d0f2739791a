/* SPDX-License-Identifier: MIT */
/*
 * Control, debug and model-specific registers: who may, and what they take, bit by bit. APM 2 3, 13.1; SDM 3A 2.5,
 * 3B 17.2.
 */
#include "tests/cpu/system_machine.h"

#include <stdio.h>

#define GP(e) FAULT(13, e)
#define UD FAULT(6, 0)

static bool is_level0(enum mode mode)
{
    return mode == REAL || mode == PROTECTED0 || mode == LONG0;
}

static unsigned length_of(const char *code)
{
    unsigned n = 0;

    for (; *code; code++)
        n += *code != ' ';
    return n / 2;
}

/* ---- who may ---- */

#define UMIP 0x800
#define OSXSAVE 0x40000

/*
 * One instruction in each mode, in the order of enum mode. A dot: it is carried out; G: #GP(0); U: #UD. ECX, EAX and
 * EDX suit all of them; EBX and EDI point to a limit and a base.
 */
static const struct {
    const char *name, *code, *outcomes;
    UINT64 cr4, rcx, rax;
} who[] = {
    { "HLT", "", ".G.G.GG", 0, 0, 0 },
    { "CLTS", "0f 06", ".G.G.GG", 0, 0, 0 },
    { "LMSW", "0f 01 f0", ".G.G.GG", 0, 0, 0 },
    { "SMSW", "0f 01 e0", ".......", 0, 0, 0 },
    { "SMSW with UMIP", "0f 01 e0", ".G.G.GG", UMIP, 0, 0 },
    { "SMSW to memory with UMIP", "0f 01 27", ".G.G.GG", UMIP, 0, 0 },
    { "INVD", "0f 08", ".G.G.GG", 0, 0, 0 },
    { "WBINVD", "0f 09", ".G.G.GG", 0, 0, 0 },
    { "INVLPG", "0f 01 3f", ".G.G.GG", 0, 0, 0 },
    { "RDMSR", "0f 32", ".G.G.GG", 0, 0xc0000080, 0 },
    { "WRMSR", "0f 30", ".G.G.GG", 0, 0x174, 0 },
    { "MOV from CR0", "0f 20 c0", ".G.G.GG", 0, 0, 0 },
    { "MOV from CR2", "0f 20 d0", ".G.G.GG", 0, 0, 0 },
    { "MOV from CR3", "0f 20 d8", ".G.G.GG", 0, 0, 0 },
    { "MOV from CR4", "0f 20 e0", ".G.G.GG", 0, 0, 0 },
    { "MOV to CR2", "0f 22 d0", ".G.G.GG", 0, 0, 0 },
    { "MOV from DR7", "0f 21 f8", ".G.G.GG", 0, 0, 0 },
    { "MOV to DR0", "0f 23 c0", ".G.G.GG", 0, 0, 0 },
    { "LGDT", "0f 01 17", ".G.G.GG", 0, 0, 0 },
    { "LIDT", "0f 01 1f", ".G.G.GG", 0, 0, 0 },
    { "LGDT of a register", "0f 01 d7", "UUUUUUU", 0, 0, 0 },
    { "SGDT", "0f 01 07", ".......", 0, 0, 0 },
    { "SIDT", "0f 01 0f", ".......", 0, 0, 0 },
    { "SGDT with UMIP", "0f 01 07", ".G.G.GG", UMIP, 0, 0 },
    { "SIDT with UMIP", "0f 01 0f", ".G.G.GG", UMIP, 0, 0 },
    { "SLDT", "0f 00 c0", "UU.....", 0, 0, 0 },
    { "STR", "0f 00 c8", "UU.....", 0, 0, 0 },
    { "SLDT with UMIP", "0f 00 c0", "UU.G.GG", UMIP, 0, 0 },
    { "STR with UMIP", "0f 00 c8", "UU.G.GG", UMIP, 0, 0 },
    { "LLDT", "0f 00 d0", "UU.G.GG", 0, 0, 0 },
    { "LTR of null", "0f 00 d8", "UUGGGGG", 0, 0, 0 },
    { "VERR", "0f 00 e0", "UU.....", 0, 0, 0 },
    { "VERW", "0f 00 e8", "UU.....", 0, 0, 0 },
    { "LAR", "0f 02 c0", "UU.....", 0, 0, 0 },
    { "LSL", "0f 03 c0", "UU.....", 0, 0, 0 },
    { "ARPL, or MOVSXD", "63 c0", "UU.....", 0, 0, 0 },
    { "RDTSC", "0f 31", ".......", 0, 0, 0 },
    { "RDTSC with TSD", "0f 31", ".G.G.GG", 4, 0, 0 },
    { "RDTSCP", "0f 01 f9", ".......", 0, 0, 0 },
    { "RDTSCP with TSD", "0f 01 f9", ".G.G.GG", 4, 0, 0 },
    { "RDPMC", "0f 33", ".G.G.GG", 0, 0, 0 },
    { "RDPMC with PCE", "0f 33", ".......", 0x100, 0, 0 },
    { "XGETBV without OSXSAVE", "0f 01 d0", "UUUUUUU", 0, 0, 0 },
    { "XGETBV", "0f 01 d0", ".......", OSXSAVE, 0, 0 },
    { "XSETBV without OSXSAVE", "0f 01 d1", "UUUUUUU", 0, 0, 1 },
    { "XSETBV", "0f 01 d1", ".G.G.GG", OSXSAVE, 0, 1 },
    { "SWAPGS", "0f 01 f8", "UUUU.GU", 0, 0, 0 },
    { "CLAC", "0f 01 ca", ".U.U.UU", 0, 0, 0 },
    { "STAC", "0f 01 cb", ".U.U.UU", 0, 0, 0 },
    { "RDFSBASE", "f3 0f ae c0", "UUUU..U", 0x10000, 0, 0 },
    { "RDFSBASE without the bit", "f3 0f ae c0", "UUUUUUU", 0, 0, 0 },
    { "RDPKRU", "0f 01 ee", ".......", 0x400000, 0, 0 },
    { "RDPKRU without PKE", "0f 01 ee", "UUUUUUU", 0, 0, 0 },
    { "RSM", "0f aa", "UUUUUUU", 0, 0, 0 },
    { "VMRUN", "0f 01 d8", "UUUUUUU", 0, 0, 0 },
    { "CLGI", "0f 01 dd", "UUUUUUU", 0, 0, 0 },
    { "INVLPGA", "0f 01 df", "UUUUUUU", 0, 0, 0 },
    { "LOCK CLTS", "f0 0f 06", "UUUUUUU", 0, 0, 0 },
    { "LOCK LGDT", "f0 0f 01 17", "UUUUUUU", 0, 0, 0 },
};

START_TEST(who_may)
{
    for (unsigned mode = REAL; mode <= COMPAT3; mode++) {
        char outcome = who[_i].outcomes[mode], name[80];
        struct scenario s = { name, (enum mode)mode, who[_i].code,
                              .set = { GPR(Rbx, 0x6000), GPR(Rdi, 0x6000), GPR(Rcx, who[_i].rcx), GPR(Rdx, 0),
                                       GPR(Cr4, who[_i].cr4 | (mode >= LONG0 ? 0x20 : 0)), GPR(Rax, who[_i].rax) },
                              .poke = { { 0x6000, 2, 0xffff }, { 0x6002, 8, IDT } } };

        snprintf(name, sizeof name, "%s, mode %u", who[_i].name, mode);
        s.reason = WHvRunVpExitReasonException;
        s.vector = outcome == 'U' ? 6 : 13;
        s.rip = CODE;
        if (outcome == '.' && is_level0((enum mode)mode)) {
            s.reason = WHvRunVpExitReasonX64Halt;
            s.rip = CODE + length_of(who[_i].code) + 1;
        } else if (outcome == '.') {
            s.rip = CODE + length_of(who[_i].code); /* the HLT behind it */
        }
        play(&s);
    }
}
END_TEST

/* ---- what they take ---- */

/* MOV to a register of `value`: refused, or read back as `result`. */
static void takes(const struct scenario *row, UINT64 value, bool refused, WHV_REGISTER_NAME name, UINT64 result)
{
    struct scenario s = *row;
    char text[96];
    unsigned i = 0;

    snprintf(text, sizeof text, "%s of %llx, mode %d", row->name, (unsigned long long)value, (int)row->mode);
    s.name = text;
    while (s.set[i].name || s.set[i].value)
        i++;
    s.set[i] = (struct reg)GPR(Rax, (UINT32)value);
    s.set[i + 1] = (struct reg)GPR(Rdx, value >> 32); /* of WRMSR and XSETBV */
    if (row->code[0] == '0' && row->code[1] == 'f' && row->code[3] == '2')
        s.set[i].value = value;
    s.reason = refused ? WHvRunVpExitReasonException : WHvRunVpExitReasonX64Halt;
    s.vector = 13;
    s.rip = refused ? CODE : CODE + length_of(row->code) + 1;
    if (!refused)
        s.want[0] = (struct reg){ name, result };
    play(&s);
}

/* PG needs PE, NW needs CD, 64-bit code can't clear PG; the upper half must be zero; other bits without a name stay
 * 0, ET 1. */
static void take_cr0(const struct scenario *row, UINT64 v)
{
    bool pe = v & 1, nw = v & 1 << 29, cd = v & 1 << 30, pg = v >> 31 & 1;

    takes(row, v, v >> 32 || (pg && !pe) || (nw && !cd) || (row->mode == LONG0 && !pg), WHvX64RegisterCr0,
          (v & 0xe005002f) | 0x10);
}

START_TEST(each_bit_of_CR0)
{
    /* without paging at first: tables for when it is turned on */
    static const struct scenario rows[] = {
        { "CR0", PROTECTED0, "0f 22 c0", .set = { GPR(Cr4, 0x10) }, .poke = { { 0, 4, 0x87 } } },
        { .name = "CR0", .mode = LONG0, .code = "0f 22 c0" },
    };
    const struct scenario *row = &rows[_i];
    UINT64 base = _i ? 0x80010031 : 0x31;

    for (unsigned a = 0; a < (_i ? 64 : 32); a++)
        for (unsigned b = a; b < 32; b++)
            take_cr0(row, base ^ (UINT64)1 << a ^ (a == b ? 0 : (UINT64)1 << b));
    for (unsigned a = 32; _i && a < 64; a++)
        take_cr0(row, base ^ (UINT64)1 << a);
}
END_TEST

/*
 * The processor has all bits but those of VMX, SMX, CET and what came later. In long mode PAE and LA57 are
 * pinned; PCIDE is for long mode, and for a CR3 without PCID.
 */
static bool refuses_cr4(bool is_long, UINT64 v)
{
    UINT64 has = 0x1fff | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 20 | 1 << 21 | 1 << 22;

    if (v & ~has)
        return true;
    return is_long ? (v & 0x1020) != 0x20 : v >> 17 & 1;
}

START_TEST(each_bit_of_CR4)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct scenario protected = { .name = "CR4", .mode = PROTECTED0, .code = "0f 22 e0" },
                        is_long = { .name = "CR4", .mode = LONG0, .code = "0f 22 e0" };
        UINT64 v = (UINT64)1 << bit;

        if (bit < 32)
            takes(&protected, v, refuses_cr4(false, v), WHvX64RegisterCr4, v);
        if (bit == 20)
            continue; /* SMEP: the machine's pages are user's */
        takes(&is_long, v ^ 0x20, refuses_cr4(true, v ^ 0x20), WHvX64RegisterCr4, v ^ 0x20);
        is_long.set[0] = (struct reg)GPR(Cr3, PML4 | 8);
        takes(&is_long, v ^ 0x20, refuses_cr4(true, v ^ 0x20) || bit == 17, WHvX64RegisterCr4, v ^ 0x20);
    }
}
END_TEST

/* Physical addresses have 48 bits; the rest is reserved, but bit 63 with PCIDE, which isn't kept. */
START_TEST(each_bit_of_CR3)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct scenario s = { .name = "CR3", .mode = LONG0, .code = "0f 22 d8" };
        UINT64 v = PML4 | (UINT64)1 << bit;

        if (bit >= 12 && bit < 48)
            continue;
        takes(&s, v, bit >= 48, WHvX64RegisterCr3, v);
        s.set[0] = (struct reg)GPR(Cr4, 0x20020);
        takes(&s, v, bit >= 48 && bit < 63, WHvX64RegisterCr3, bit == 63 ? PML4 : v);
    }
}
END_TEST

START_TEST(each_bit_of_CR2_and_CR8)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct scenario cr2 = { .name = "CR2", .mode = LONG0, .code = "0f 22 d0" };
        struct scenario cr8 = { "CR8", LONG0, "44 0f 22 c0", .set = { GPR(Rax, (UINT64)1 << bit) } };

        takes(&cr2, (UINT64)1 << bit, false, WHvX64RegisterCr2, (UINT64)1 << bit);
        cr8.reason = bit < 4 ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonException;
        cr8.vector = 13;
        if (bit < 4)
            cr8.want[0] = (struct reg)GPR(Cr8, 1u << bit);
        play(&cr8);
    }
}
END_TEST

/* DR6 has B0 to B3, BD, BS, BT; DR7 all but bits 10 to 12, 14 and 15. Upper halves must be zero;
 * addresses may be anything. */
START_TEST(each_bit_of_debug_registers)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct scenario dr6 = { .name = "DR6", .mode = LONG0, .code = "0f 23 f0" },
                        dr7 = { .name = "DR7", .mode = LONG0, .code = "0f 23 f8" };
        struct scenario dr3 = { .name = "DR3", .mode = LONG0, .code = "0f 23 d8" },
                        dr4 = { .name = "DR4", .mode = LONG0, .code = "0f 23 e0" };
        struct scenario dr5 = { .name = "DR5", .mode = PROTECTED0, .code = "0f 23 e8" };
        UINT64 v = (UINT64)1 << bit, six = (v & 0xe00f) | 0xffff0ff0, seven = (v & 0xffff23ff) | 0x400;

        takes(&dr3, v, false, WHvX64RegisterDr3, v);
        takes(&dr4, v, bit >= 32, WHvX64RegisterDr6, six);
        takes(&dr6, v, bit >= 32, WHvX64RegisterDr6, six);
        takes(&dr7, v, bit >= 32, WHvX64RegisterDr7, seven);
        if (bit < 32)
            takes(&dr5, v, false, WHvX64RegisterDr7, seven);
    }
}
END_TEST

/* SCE, LME, NXE and AIBRSE; LME not while paging; LMA is the processor's, whatever is written.
 */
START_TEST(each_bit_of_EFER)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        struct scenario protected = { "EFER", PROTECTED0, "0f 30", .set = { GPR(Rcx, 0xc0000080) } };
        struct scenario is_long = { "EFER", LONG0, "0f 30", .set = { GPR(Rcx, 0xc0000080) } };
        UINT64 v = (UINT64)1 << bit;
        bool has = bit == 0 || bit == 8 || bit == 10 || bit == 11 || bit == 21;

        takes(&protected, v, !has, WHvX64RegisterEfer, bit == 10 ? 0 : v);
        takes(&is_long, 0x501 ^ v, !has || bit == 8, WHvX64RegisterEfer, bit == 10 ? 0x501 : 0x501 ^ v);
    }
}
END_TEST

/* The x87's state is always there, AVX's needs SSE's, bit 9 is PKRU, and there is no other. */
START_TEST(each_value_of_XCR0)
{
    for (UINT64 low = 0; low < 8; low++)
        for (unsigned bit = 2; bit < 64; bit++) {
            struct scenario s = { "XCR0", LONG0, "0f 01 d1", .set = { GPR(Cr4, 0x40020) } };
            UINT64 v = low | (bit > 2 ? (UINT64)1 << bit : 0);

            takes(&s, v, (bit > 2 && bit != 9) || !(low & 1) || (low & 6) == 4, WHvX64RegisterXCr0, v);
            if (low != 7 && bit > 9)
                break;
        }
}
END_TEST

/* ---- rows ---- */

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

TCase *system_registers_cases(void)
{
    TCase *t = tcase_create("registers");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, who_may, 0, sizeof who / sizeof *who);
    tcase_add_loop_test(t, each_bit_of_CR0, 0, 2);
    tcase_add_test(t, each_bit_of_CR4);
    tcase_add_test(t, each_bit_of_CR3);
    tcase_add_test(t, each_bit_of_CR2_and_CR8);
    tcase_add_test(t, each_bit_of_debug_registers);
    tcase_add_test(t, each_bit_of_EFER);
    tcase_add_test(t, each_value_of_XCR0);
    tcase_add_loop_test(t, one, 0, sizeof scenarios / sizeof *scenarios);
    return t;
}
