/* SPDX-License-Identifier: MIT */
/*
 * What a partition's processor makes of what was taken from it: reserved bits, missing MSRs, and bytes that mean
 * something older. Each row runs on a whole processor first, where it must come to its HLT.
 */
#include <stdio.h>

#include "state/x86.h"
#include "tests/whp/guest.h"

Suite *lacking_suite(void);

enum { NONE = 0x100, DATA = 0x9000 }; /* no exception; what the rows' code works on */

struct row {
    const char *name;
    u8 bank;
    u64 away;              /* bits of the bank */
    enum guest_mode mode;
    u64 cr4;               /* set beforehand, beside the mode's */
    const char *code;      /* in hex; the registers at first: RAX 5, RBX DATA, RCX 0, RDX 0 */
    u32 vector, error;     /* NONE: it halts there too */
    u64 rax_with, rax_without; /* 0: not looked at */
};

#define BIT(n) ((u64)1 << (n))
#define SET_CR4(imm) "0f20e0 0d" imm " 0f22e0 f4"
#define UD VECTOR_UD, 0
#define GP VECTOR_GP, 0

static const struct row rows[] = {
    { "CR4.UMIP", 0, BIT(58), GUEST_LONG, 0, SET_CR4("00080000"), GP, 0, 0 },
    { "CR4.LA57", 1, BIT(4), GUEST_PROTECTED, 0, SET_CR4("00100000"), GP, 0, 0 },
    { "CR4.FSGSBASE", 0, BIT(22), GUEST_LONG, 0, SET_CR4("00000100"), GP, 0, 0 },
    { "CR4.PCIDE", 0, BIT(18), GUEST_LONG, 0, SET_CR4("00000200"), GP, 0, 0 },
    { "CR4.OSXSAVE", 2, BIT(0), GUEST_LONG, 0, SET_CR4("00000400"), GP, 0, 0 },
    { "CR4.SMEP", 0, BIT(23), GUEST_PROTECTED, 0, SET_CR4("00001000"), GP, 0, 0 },
    { "CR4.SMAP", 0, BIT(35), GUEST_LONG, 0, SET_CR4("00002000"), GP, 0, 0 },
    { "CR4.PKE", 2, BIT(0), GUEST_LONG, 0, SET_CR4("00004000"), GP, 0, 0 },
    { "CR4.DE, which no bank has", 0, 0, GUEST_LONG, 0, SET_CR4("08000000"), NONE, 0, 0, 0 },

    /* mov eax, 7; xsetbv */
    { "XCR0.AVX", 2, BIT(2), GUEST_LONG, CR4_OSXSAVE, "b807000000 0f01d1 f4", GP, 0, 0 },
    { "XCR0.SSE without AVX", 2, BIT(2), GUEST_LONG, CR4_OSXSAVE, "b803000000 0f01d1 f4", NONE, 0, 0, 0 },
    { "XGETBV 1", 2, BIT(13), GUEST_LONG, CR4_OSXSAVE, "b101 0f01d0 f4", GP, 0, 0 },
    { "XGETBV 0", 2, BIT(13), GUEST_LONG, CR4_OSXSAVE, "0f01d0 f4", NONE, 0, 0, 0 },

    /* rdmsr of TSC_AUX, which two features come with; of IA32_XSS; wrmsr of PRED_CMD */
    { "TSC_AUX", 0, BIT(38) | BIT(57), GUEST_LONG, 0, "b9030100c0 0f32 f4", GP, 0, 0 },
    { "TSC_AUX without RDTSCP", 0, BIT(38), GUEST_LONG, 0, "b9030100c0 0f32 f4", NONE, 0, 0, 0 },
    { "IA32_XSS", 2, BIT(12), GUEST_LONG, 0, "b9a00d0000 0f32 f4", GP, 0, 0 },
    { "MPERF", 1, BIT(0), GUEST_LONG, 0, "b9e7000000 0f32 f4", GP, 0, 0 },
    { "APERF", 1, BIT(0), GUEST_LONG, 0, "b9e8000000 0f30 f4", GP, 0, 0 },
    { "RDPRU doesn't need their MSRs", 1, BIT(0), GUEST_LONG, 0, "0f01fd f4", NONE, 0, 0, 0 },
    { "RDPRU", 1, BIT(3), GUEST_LONG, 0, "0f01fd f4", UD, 0, 0 },
    { "PRED_CMD", 0, BIT(46), GUEST_LONG, 0, "b801000000 b949000000 0f30 f4", GP, 0, 0 },

    /* ldmxcsr [rbx] with MM */
    { "MXCSR.MM", 0, BIT(11), GUEST_LONG, CR4_OSFXSR, "c703801f0200 0fae13 f4", GP, 0, 0 },

    { "LAHF in 64-bit code", 0, BIT(1), GUEST_LONG, 0, "9f f4", UD, 0, 0 },
    { "LAHF in 32-bit code", 0, BIT(1), GUEST_PROTECTED, 0, "9f f4", NONE, 0, 0, 0 },
    { "LOCK MOV CR0", 0, BIT(9), GUEST_PROTECTED, 0, "f00f20c0 f4", UD, 0, 0 },

    /* tzcnt eax, edx is bsf eax, edx, which leaves eax alone; mov edx, 8; lzcnt eax, edx is bsr */
    { "TZCNT of 0", 0, BIT(25), GUEST_LONG, 0, "f30fbcc2 f4", NONE, 0, 32, 5 },
    { "TZCNT of 8", 0, BIT(25), GUEST_LONG, 0, "b208 f30fbcc2 f4", NONE, 0, 3, 3 },
    { "LZCNT of 8", 0, BIT(10), GUEST_LONG, 0, "b208 f30fbdc2 f4", NONE, 0, 28, 3 },

    { "POPCNT", 0, BIT(7), GUEST_LONG, 0, "f30fb8c2 f4", UD, 0, 0 },
    { "CLFLUSHOPT", 0, BIT(39), GUEST_LONG, 0, "660fae3b f4", UD, 0, 0 },
    { "CLWB", 0, BIT(40), GUEST_LONG, 0, "660fae33 f4", UD, 0, 0 },
    { "MOVBE", 0, BIT(29), GUEST_LONG, 0, "0f38f003 f4", UD, 0, 0 },
    { "RDRAND", 0, BIT(21), GUEST_LONG, 0, "0fc7f0 f4", UD, 0, 0 },
    { "RDPID", 0, BIT(57), GUEST_LONG, 0, "f30fc7f8 f4", UD, 0, 0 },
    { "CMPXCHG16B", 0, BIT(8), GUEST_LONG, 0, "480fc70b f4", UD, 0, 0 },
    { "CMPXCHG8B stays", 0, BIT(8), GUEST_LONG, 0, "0fc70b f4", NONE, 0, 0, 0 },
    { "CLZERO", 1, BIT(2), GUEST_LONG, 0, "4889d8 0f01fc f4", UD, 0, 0 },

    /* mov eax, 7; xsetbv; then vfmadd132ps; vaesenc ymm; vaesenc xmm; andn */
    { "FMA", 2, BIT(4), GUEST_LONG, CR4_OSXSAVE | CR4_OSFXSR, "b807000000 0f01d1 c4e27198c1 f4", UD, 0, 0 },
    { "VAES", 2, BIT(20), GUEST_LONG, CR4_OSXSAVE | CR4_OSFXSR, "b807000000 0f01d1 c4e275dcc1 f4", UD, 0, 0 },
    { "AES stays without VAES", 2, BIT(20), GUEST_LONG, CR4_OSXSAVE | CR4_OSFXSR,
      "b807000000 0f01d1 c4e271dcc1 f4", NONE, 0, 0, 0 },
    { "VEX AES goes with AES", 0, BIT(16), GUEST_LONG, CR4_OSXSAVE | CR4_OSFXSR, "b807000000 0f01d1 c4e271dcc1 f4",
      UD, 0, 0 },
    { "ANDN needs no AVX", 2, BIT(2), GUEST_LONG, 0, "c4e268f2c0 f4", NONE, 0, 0, 0 },

    /* fninit; fld1; mov word [rbx+6], 0x1234; fxsave [rbx]; movzx eax, word [rbx+6]; inc eax: zero or what was there */
    { "x87 pointers", 0, BIT(42), GUEST_LONG, CR4_OSFXSR, "dbe3 d9e8 66c743063412 0fae03 0fb74306 ffc0 f4", NONE, 0, 1,
      0x1235 },
    /* the same with an exception pending: fnstcw's word gets all unmasked; fldz; fdiv by itself is 0/0 */
    { "x87 pointers of an exception", 0, BIT(42), GUEST_LONG, CR4_OSFXSR,
      "dbe3 66c7034003 d92b d9ee d8f0 66c743063412 0fae03 0fb74306 f4", NONE, 0, 0xf0, 0xf0 },

    /* mov dword [rbx+524], 0x80000000; xrstor [rbx]: of the compacted form, SDM 1 13.8 */
    { "XRSTOR of what XSAVEC wrote", 2, BIT(11), GUEST_LONG, CR4_OSXSAVE, "c7830c02000000000080 0fae2b f4", GP, 0, 0 },

    /* mov byte [0x3000], 0x87, a PDPTE with PS; then flush: the next fetch walks through it */
    { "1 GiB pages", 0, BIT(15), GUEST_LONG, 0, "b887000000 48890425003000000f20d80f22d8 f4", VECTOR_PF, 0x19, 0, 0 },
};

#define ROWS (sizeof rows / sizeof *rows)

static unsigned assemble(const char *hex, u8 *bytes)
{
    unsigned n = 0;

    for (const char *p = hex; *p; p++) {
        unsigned byte;

        if (*p == ' ')
            continue;
        ck_assert_int_eq(sscanf(p++, "%2x", &byte), 1);
        bytes[n++] = (u8)byte;
    }
    return n;
}

static void play(const struct row *r, bool is_whole)
{
    u64 away[GUEST_BANKS] = { 0 };
    u64 rax = is_whole ? r->rax_with : r->rax_without;
    bool halts = is_whole || r->vector == NONE;
    struct guest g;
    u8 code[64];
    unsigned n = assemble(r->code, code);
    u32 reason;

    if (!is_whole)
        away[r->bank] = r->away;
    guest_open_in(&g, partition_without(away), r->mode, code, n);
    guest_enable_exits(&g, 4, 1 << VECTOR_UD | 1 << VECTOR_GP | 1 << VECTOR_PF);
    guest_set(&g, WHvX64RegisterCr4, guest_get(&g, WHvX64RegisterCr4) | r->cr4);
    guest_set(&g, WHvX64RegisterRax, 5);
    guest_set(&g, WHvX64RegisterRbx, DATA);
    guest_set(&g, WHvX64RegisterRdx, 0);
    reason = guest_run(&g);
    ck_assert_msg(reason == (u32)(halts ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonException), "%s, %s: exit %x",
                  r->name, is_whole ? "whole" : "without", reason);
    if (!halts) {
        ck_assert_msg(g.exit.VpException.ExceptionType == r->vector, "%s: vector %u", r->name,
                      g.exit.VpException.ExceptionType);
        ck_assert_msg(g.exit.VpException.ErrorCode == r->error, "%s: error %x", r->name, g.exit.VpException.ErrorCode);
    } else if (rax) {
        u64 got = guest_get(&g, WHvX64RegisterRax);

        ck_assert_msg(got == rax, "%s, %s: RAX is %llx", r->name, is_whole ? "whole" : "without", (unsigned long long)got);
    }
    guest_close(&g);
}

START_TEST(a_whole_processor_has_it)
{
    play(&rows[_i], true);
}
END_TEST

START_TEST(without_it)
{
    play(&rows[_i], false);
}
END_TEST

/* What the API takes of registers is what the guest could have set. */
START_TEST(the_caller_cannot_set_it_either)
{
    static const struct {
        u8 bank;
        u64 away;
        WHV_REGISTER_NAME name;
        u64 value;
    } sets[] = { { 0, BIT(23), WHvX64RegisterCr4, CR4_SMEP },
                 { 2, BIT(0), WHvX64RegisterCr4, CR4_OSXSAVE },
                 { 2, BIT(2), WHvX64RegisterXCr0, 7 },
                 { 2, BIT(0), WHvX64RegisterXCr0, 3 } };

    for (unsigned i = 0; i < sizeof sets / sizeof *sets; i++) {
        u64 away[GUEST_BANKS] = { 0 };
        WHV_REGISTER_VALUE v = { .Reg64 = sets[i].value };
        WHV_PARTITION_HANDLE p = partition_without(away);

        ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
        ck_ok(WHvSetVirtualProcessorRegisters(p, 0, &sets[i].name, 1, &v));
        ck_ok(WHvDeletePartition(p));
        away[sets[i].bank] = sets[i].away;
        p = partition_without(away);
        ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
        ck_assert(FAILED(WHvSetVirtualProcessorRegisters(p, 0, &sets[i].name, 1, &v)));
        v.Reg64 = sets[i].name == WHvX64RegisterXCr0;
        ck_ok(WHvSetVirtualProcessorRegisters(p, 0, &sets[i].name, 1, &v));
        ck_ok(WHvDeletePartition(p));
    }
}
END_TEST

/* Taking XSAVE takes all that needs it, in CPUID too. */
START_TEST(what_needs_it_goes_with_it)
{
    u64 away[GUEST_BANKS] = { 0, 0, BIT(0) };
    WHV_PARTITION_HANDLE p = partition_without(away);
    WHV_CPUID_OUTPUT out;

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvGetVirtualProcessorCpuidOutput(p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ecx & (1u << 12 | 1u << 26 | 1u << 28 | 1u << 29), 0); /* FMA, XSAVE, AVX, F16C */
    ck_ok(WHvGetVirtualProcessorCpuidOutput(p, 0, 7, 0, &out));
    ck_assert_uint_eq(out.Ebx & 1u << 5, 0);              /* AVX2 */
    ck_assert_uint_eq(out.Ecx & (1u << 3 | 1u << 9 | 1u << 10), 0); /* PKU, VAES, VPCLMULQDQ */
    ck_assert_uint_eq(out.Ecx & 1u << 8, 1u << 8);        /* GFNI has SSE forms */
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* What this profile doesn't claim: MONITOR, MWAIT, MONITORX, MWAITX, MCOMMIT, INVLPGB, TLBSYNC, VMMCALL, VMCALL, CLGI,
 * SERIALIZE, XEND, ENCLU, WRSSD, UMONITOR, RSM. #UD at level 0, which beats #GP at level 3. */
static const char *const absent[] = { "0f01c8", "0f01c9", "0f01fa", "0f01fb", "f30f01fa", "0f01fe", "0f01ff", "0f01d9",
                                      "0f01c1", "0f01dd", "0f01e8", "0f01d5", "0f01d7", "0f38f603", "f30faef0", "0faa" };

START_TEST(what_nobody_claims_is_undefined_at_any_level)
{
    for (unsigned level = 0; level < 4; level += 3) {
        WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs };
        WHV_REGISTER_VALUE v[2];
        struct guest g;
        u8 code[8];
        unsigned n = assemble(absent[_i], code);

        guest_open(&g, GUEST_LONG, code, n);
        guest_enable_exits(&g, 4, 1 << VECTOR_UD | 1 << VECTOR_GP);
        ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, names, 2, v));
        for (unsigned i = 0; i < 2; i++) {
            v[i].Segment.Selector |= (u16)level;
            v[i].Segment.Attributes |= (u16)(level << SEG_DPL_SHIFT);
        }
        ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names, 2, v));
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonException);
        ck_assert_msg(g.exit.VpException.ExceptionType == VECTOR_UD, "%s at level %u: vector %u", absent[_i], level,
                      g.exit.VpException.ExceptionType);
        guest_close(&g);
    }
}
END_TEST

/* And what is older there: CLDEMOTE and ENDBR64 are NOPs, WBNOINVD is WBINVD; TSC_ADJUST is no MSR. */
START_TEST(what_nobody_claims_may_be_something_older)
{
    static const char *const codes[] = { "0f1c03 f4", "f30f1efa f4", "f30f09 f4" };

    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct guest g;
        u8 code[8];
        unsigned n = assemble(codes[i], code);

        guest_open(&g, GUEST_LONG, code, n);
        guest_enable_exits(&g, 4, 1 << VECTOR_UD | 1 << VECTOR_GP);
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
        guest_close(&g);
    }
}
END_TEST

/* rdtsc; mov esi, eax; mov ecx, NUMBER; rdpru; mov edi, eax; sub eax, esi; hlt */
static const u8 rdpru[] = { 0x0f, 0x31, 0x89, 0xc6, 0xb9, 0, 0, 0, 0, 0x0f, 0x01, 0xfd, 0x89, 0xc7, 0x29, 0xf0, 0xf4 };

static void open_rdpru(struct guest *g, u32 number)
{
    u8 code[sizeof rdpru];

    memcpy(code, rdpru, sizeof code);
    memcpy(code + 5, &number, 4);
    guest_open(g, GUEST_LONG, code, sizeof code);
}

START_TEST(rdpru_counts_as_the_clock_does)
{
    for (u32 number = 0; number < 2; number++) {
        WHV_REGISTER_NAME name = number ? WHvX64RegisterACount : WHvX64RegisterMCount;
        struct guest g;

        open_rdpru(&g, number);
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 3); /* instructions after RDTSC */
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), 0);

        guest_set(&g, name, 0x700000000); /* as WRMSR; the other one goes on as it was */
        ck_assert_uint_eq(guest_get(&g, name), 0x700000000);
        ck_assert_uint_eq(guest_get(&g, number ? WHvX64RegisterMCount : WHvX64RegisterACount), 7);
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), 7);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdi), 3); /* RDTSC, MOV, MOV retired before it */
        guest_close(&g);
    }
}
END_TEST

START_TEST(rdpru_of_other_registers_is_zero)
{
    static const u32 numbers[] = { 2, 0x80000000, 0xffffffff };

    for (unsigned i = 0; i < 3; i++) {
        struct guest g;

        open_rdpru(&g, numbers[i]);
        guest_set(&g, WHvX64RegisterRdx, 5);
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdi), 0);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), 0);
        guest_close(&g);
    }
}
END_TEST

/* #UD above level 0 with CR4.TSD; and the exit of RDTSC isn't for it. */
START_TEST(rdpru_and_tsd)
{
    for (unsigned level = 0; level < 4; level += 3) {
        WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs };
        WHV_REGISTER_VALUE v[2];
        struct guest g;

        guest_open(&g, GUEST_LONG, "\x0f\x01\xfd\x0f\x0b", 5);
        guest_enable_exits(&g, 4 | 8, 1 << VECTOR_UD);
        guest_set(&g, WHvX64RegisterCr4, 0x20 | CR4_TSD);
        guest_set(&g, WHvX64RegisterRdx, 5);
        ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, names, 2, v));
        for (unsigned i = 0; i < 2; i++) {
            v[i].Segment.Selector |= (u16)level;
            v[i].Segment.Attributes |= (u16)(level << SEG_DPL_SHIFT);
        }
        ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names, 2, v));
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonException);
        ck_assert_uint_eq(g.exit.VpException.ExceptionType, VECTOR_UD);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + (level ? 0 : 3));
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), level ? 5 : 0);
        guest_close(&g);
    }
}
END_TEST

Suite *lacking_suite(void)
{
    Suite *s = suite_create("lacking");
    TCase *t = tcase_create("lacking");

    tcase_add_loop_test(t, a_whole_processor_has_it, 0, ROWS);
    tcase_add_loop_test(t, without_it, 0, ROWS);
    tcase_add_test(t, the_caller_cannot_set_it_either);
    tcase_add_test(t, what_needs_it_goes_with_it);
    tcase_add_loop_test(t, what_nobody_claims_is_undefined_at_any_level, 0, sizeof absent / sizeof *absent);
    tcase_add_test(t, what_nobody_claims_may_be_something_older);
    tcase_add_test(t, rdpru_counts_as_the_clock_does);
    tcase_add_test(t, rdpru_of_other_registers_is_zero);
    tcase_add_test(t, rdpru_and_tsd);
    suite_add_tcase(s, t);
    return s;
}
