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
    return t;
}
