/* SPDX-License-Identifier: MIT */
/* Every register of the local APIC as the guest reads and writes it, in the page and as MSRs, and the modes. */
#include "tests/whp/apic.h"

enum { XAPIC = WHvX64LocalApicEmulationModeXApic, X2APIC = WHvX64LocalApicEmulationModeX2Apic };
#define X2_ENABLED (0xfee00000 | APIC_BASE_EXTD | APIC_BASE_EN | APIC_BASE_BSP)

static struct board b;

static void teardown(void)
{
    board_close(&b);
}

static void open_x(void)
{
    board_open(&b, XAPIC, 1, SwhpClockVirtual, 0);
}

static void open_x2(void)
{
    board_open(&b, X2APIC, 1, SwhpClockVirtual, 0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, X2_ENABLED), BOARD_DONE);
}

/* What all ones, written to each, leave there; what it holds before. */
static const struct rule {
    u32 n, before, after;
} rules[] = {
    { APIC_ID, 0, 0xff000000 },
    { APIC_VERSION, 0x00050010, 0x00050010 },
    { APIC_TPR, 0, 0xff },
    { APIC_APR, 0, 0 },
    { APIC_PPR, 0, 0 },
    { APIC_EOI, 0, 0 },
    { APIC_LDR, 0, 0xff000000 },
    { APIC_DFR, 0xffffffff, 0xffffffff },
    { APIC_SVR, 0xff, 0x3ff },
    { APIC_ISR, 0, 0 },
    { APIC_ISR + 7, 0, 0 },
    { APIC_TMR + 3, 0, 0 },
    { APIC_IRR + 1, 0, 0 },
    { APIC_ESR, 0, 0 },
    { APIC_ICR_HIGH, 0, 0xff000000 },
    { APIC_LVT_TIMER, 0x10000, 0x700ff },
    { APIC_LVT_THERMAL, 0x10000, 0x107ff },
    { APIC_LVT_PERFMON, 0x10000, 0x107ff },
    { APIC_LVT_LINT0, 0x10000, 0x1a7ff },
    { APIC_LVT_LINT1, 0x10000, 0x1a7ff },
    { APIC_LVT_ERROR, 0x10000, 0x100ff },
    { APIC_CURRENT_COUNT, 0, 0 },
    { APIC_DIVIDE, 0, 0xb },
};

START_TEST(each_register_takes_its_own_bits)
{
    const struct rule *r = &rules[_i];

    ck_assert_uint_eq(board_read(&b, 0, r->n), r->before);
    ck_assert_uint_eq(board_write(&b, 0, r->n, 0xffffffff), BOARD_DONE);
    ck_assert_uint_eq(board_read(&b, 0, r->n), r->after);
    if (r->n != APIC_APR && r->n != APIC_DFR && r->n != APIC_ICR_HIGH) /* those have no names */
        ck_assert_uint_eq(board_get(&b, 0, 0x3000 + r->n), r->after);
    board_write(&b, 0, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), 0);
}
END_TEST

START_TEST(reserved_registers_read_zero_and_note_an_error)
{
    static const u32 reserved[] = { 0, 1, 4, 7, 0x29, 0x2f, 0x3a, 0x3d, 0x3f, 0x40, 0x50, 0xff };
    struct code c = { .size = 0 };

    ck_assert_uint_eq(board_read(&b, 0, reserved[_i]), 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), 0); /* shows with the next write only */
    board_write(&b, 0, APIC_ESR, 0x77);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), ESR_ILLEGAL_REGISTER);
    board_write(&b, 0, reserved[_i], 5);
    board_write(&b, 0, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), ESR_ILLEGAL_REGISTER);
    board_write(&b, 0, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), 0);

    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_write(&b, 0, APIC_LVT_ERROR, 0x45);
    code_write(&c, reserved[_i], 1);
    CODE(&c, 0xfb, 0x90, 0x90); /* sti; nop; nop */
    ck_assert_uint_eq(board_do(&b, 0, &c), 0x45);
}
END_TEST

START_TEST(accesses_of_other_sizes)
{
    struct code c = { .size = 0 };

    board_write(&b, 0, APIC_SVR, 0x1f0);
    CODE(&c, 0xa0, 0xf1, 0, 0xe0, 0xfe);                      /* mov al, [f1] */
    CODE(&c, 0x66, 0x8b, 0x1d, 0xf0, 0, 0xe0, 0xfe);          /* mov bx, [f0] */
    CODE(&c, 0x8b, 0x0d, 0xf4, 0, 0xe0, 0xfe);                /* mov ecx, [f4] */
    CODE(&c, 0x8b, 0x15, 0xf2, 0, 0xe0, 0xfe);                /* mov edx, [f2] */
    CODE(&c, 0xc6, 0x05, 0xf0, 0, 0xe0, 0xfe, 0x22);          /* mov byte [f0], 22: dropped */
    CODE(&c, 0xc7, 0x05, 0xf4, 0, 0xe0, 0xfe, 1, 2, 3, 4);    /* dropped */
    CODE(&c, 0x83, 0x0d, 0x80, 0, 0xe0, 0xfe, 0x21);          /* or dword [80], 21 */
    CODE(&c, 0xf0, 0x83, 0x0d, 0x80, 0, 0xe0, 0xfe, 0x02);    /* lock or dword [80], 2 */
    CODE(&c, 0xbe, 0x7c, 0, 0, 0, 0x87, 0x35, 0x80, 0x03, 0xe0, 0xfe); /* mov esi, 7c; xchg [380], esi */
    CODE(&c, 0x8b, 0x3d, 0xfe, 0x0f, 0xe0, 0xfe);             /* mov edi, [ffe]: leaves the page */
    ck_assert_uint_eq(board_do(&b, 0, &c), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0xfee01000);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax) & 0xff, 1);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRbx) & 0xffff, 0x1f0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRcx), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRdx), 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_SVR), 0x1f0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_TPR), 0x23);
    ck_assert_uint_eq(board_read(&b, 0, APIC_INITIAL_COUNT), 0x7c);
}
END_TEST

START_TEST(the_page_hides_what_is_mapped_there)
{
    static u8 page[4096] __attribute__((aligned(4096)));

    memset(page, 0x55, sizeof page);
    ck_ok(WHvMapGpaRange(b.partition, page, 0xfee00000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert_uint_eq(board_read(&b, 0, APIC_VERSION), 0x50010);
    board_write(&b, 0, APIC_TPR, 0x30);
    ck_assert_uint_eq(page[0x80], 0x55);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 3);
}
END_TEST

START_TEST(accesses_from_outside_go_there_too)
{
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = 6 };
    u32 v = 0x40;

    ck_ok(WHvWriteGpaRange(b.partition, 0, 0xfee00080, controls, &v, 4));
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 4);
    ck_ok(WHvReadGpaRange(b.partition, 0, 0xfee00030, controls, &v, 4));
    ck_assert_uint_eq(v, 0x50010);
}
END_TEST

/* Two processors do to their APICs, and by them to each other, whatever comes to mind. */
START_TEST(any_traffic_is_survived)
{
    u64 random = (u64)_i + 1, exits = 0x3fd0;

    board_close(&b);
    board_open(&b, _i & 1 ? X2APIC : XAPIC, 2, SwhpClockVirtual, exits & ~(u64)(1 << 5 | 3 << 10));
    for (u32 i = 0; i < 400; i++) {
        struct code c = { .size = 0 };
        u32 vp = i & 1;

        for (u32 n = 0; n < 8; n++) {
            u32 reg, value;

            random = random * 6364136223846793005u + 1442695040888963407u;
            reg = (u32)(random >> 58);
            value = (u32)(random >> 24) >> (random >> 20 & 15);
            if (random >> 19 & _i & 1)
                code_wrmsr(&c, 0x800 + reg, reg == APIC_ICR ? value & 0xccfff : value >> 14);
            else if (random >> 12 & 63)
                code_write(&c, reg, value);
            else
                code_wrmsr(&c, 0x1b, APIC_PAGE | (value & 0xd00));
            if (random >> 18 & 1)
                CODE(&c, 0xfb, 0xf4); /* sti; hlt */
        }
        if (board_get(&b, vp, WHvRegisterInternalActivityState) || i % 64 < 2) { /* after an INIT: all is different */
            board_ready(&b, vp);
            board_set(&b, vp, WHvRegisterInternalActivityState, 0);
            board_set(&b, vp, 0x3000 + APIC_SVR, 0x1ff);
        }
        board_put(&b, vp, &c);
        for (u32 n = 0; n < 20; n++) {
            ck_ok(SwhpRunVirtualProcessorUntil(b.partition, vp, board_count(&b, vp) + 30, &b.exit[vp],
                                               sizeof b.exit[vp]));
            if (b.exit[vp].ExitReason == WHvRunVpExitReasonX64IoPortAccess)
                board_pass(&b, vp);
        }
    }
}
END_TEST

START_TEST(without_an_apic_the_page_is_memory_or_nothing)
{
    struct code c = { .size = 0 };

    board_close(&b);
    board_open(&b, 0, 1, SwhpClockVirtual, 0);
    code_write(&c, APIC_TPR, 1);
    ck_assert_uint_eq(board_do(&b, 0, &c), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0xfee00080);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x803), ~(u64)0);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x6e0), ~(u64)0);
}
END_TEST

START_TEST(tpr_and_cr8_are_one)
{
    board_write(&b, 0, APIC_TPR, 0x7b);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 7);
    board_set(&b, 0, WHvX64RegisterCr8, 7); /* a client's batch: nothing changes */
    ck_assert_uint_eq(board_read(&b, 0, APIC_TPR), 0x7b);
    board_set(&b, 0, WHvX64RegisterCr8, 4);
    ck_assert_uint_eq(board_read(&b, 0, APIC_TPR), 0x40);
    board_set(&b, 0, WHvX64RegisterApicTpr, 0x95);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 9);
    ck_assert_uint_eq(b.exit[0].VpContext.Cr8, 4);
    ck_assert_uint_eq(board_read(&b, 0, APIC_PPR), 0x95);
}
END_TEST

START_TEST(local_vectors_stay_masked_while_the_apic_is_off)
{
    board_write(&b, 0, APIC_LVT_LINT0, 0x700);
    ck_assert_uint_eq(board_read(&b, 0, APIC_LVT_LINT0), 0x10700);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_write(&b, 0, APIC_LVT_LINT0, 0x700);
    ck_assert_uint_eq(board_read(&b, 0, APIC_LVT_LINT0), 0x700);
    board_write(&b, 0, APIC_SVR, 0xff);
    ck_assert_uint_eq(board_read(&b, 0, APIC_LVT_LINT0), 0x10700);
}
END_TEST

/* ---- modes ---- */

static u32 cpuid(u32 leaf, u32 word)
{
    WHV_CPUID_OUTPUT out;
    u32 words[4];

    ck_ok(WHvGetVirtualProcessorCpuidOutput(b.partition, 0, leaf, 0, &out));
    words[0] = out.Eax;
    words[1] = out.Ebx;
    words[2] = out.Ecx;
    words[3] = out.Edx;
    return words[word];
}

START_TEST(cpuid_follows_the_mode)
{
    ck_assert_uint_eq(cpuid(1, 3) >> 9 & 1, 1);
    ck_assert_uint_eq(cpuid(0x80000001, 3) >> 9 & 1, 1);
    ck_assert_uint_eq(cpuid(1, 2) >> 21 & 1, 0);
    ck_assert_uint_eq(cpuid(1, 2) >> 24 & 1, 1);
    ck_assert_uint_eq(cpuid(6, 0) >> 2 & 1, 1);
    board_close(&b);
    board_open(&b, X2APIC, 1, SwhpClockVirtual, 0);
    ck_assert_uint_eq(cpuid(1, 2) >> 21 & 1, 1);
    board_wrmsr(&b, 0, 0x1b, 0xfee00100); /* off */
    ck_assert_uint_eq(cpuid(1, 3) >> 9 & 1, 0);
    board_close(&b);
    board_open(&b, 0, 1, SwhpClockVirtual, 0);
    ck_assert_uint_eq(cpuid(1, 3) >> 9 & 1, 0);
    ck_assert_uint_eq(cpuid(1, 2) >> 21 & 9, 0);
}
END_TEST

START_TEST(xapic_partitions_keep_their_apic)
{
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x1b), 0xfee00900);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, 0xfec00100), BOARD_DONE); /* off and elsewhere: ignored */
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x1b), 0xfee00900);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, X2_ENABLED), BOARD_GP);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, (u64)1 << 50), BOARD_GP);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x802), ~(u64)0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x808, 0), BOARD_GP);
}
END_TEST

START_TEST(states_of_x2apic_partitions)
{
    board_close(&b);
    board_open(&b, X2APIC, 1, SwhpClockVirtual, 0);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x1b), 0xfee00900);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x802), ~(u64)0);
    board_write(&b, 0, APIC_TPR, 0x20);
    board_write(&b, 0, APIC_ICR_HIGH, 0x33000000);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, 0xfee00500), BOARD_GP); /* EXTD without EN */
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, X2_ENABLED), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x1b), X2_ENABLED);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x808), 0x20);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x830), 0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, 0xfee00900), BOARD_GP); /* back to xAPIC */
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, 0xfee00100), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x808), ~(u64)0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, X2_ENABLED), BOARD_GP); /* from off */
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x1b, 0xfee00900), BOARD_DONE);
    ck_assert_uint_eq(board_read(&b, 0, APIC_TPR), 0); /* it was reset */
}
END_TEST

START_TEST(while_x2apic_the_page_is_memory_again)
{
    struct code c = { .size = 0 };

    board_close(&b);
    board_open(&b, X2APIC, 1, SwhpClockVirtual, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_VERSION), 0x50010);
    board_wrmsr(&b, 0, 0x1b, X2_ENABLED);
    code_write(&c, APIC_TPR, 1);
    ck_assert_uint_eq(board_do(&b, 0, &c), REASON(WHvRunVpExitReasonMemoryAccess));
}
END_TEST

/* ---- MSRs ---- */

static const struct msr_rule {
    u32 n;
    bool reads, writes;
    u64 first;   /* what a read gives */
    u64 good, bad;
} msr_rules[] = {
    { APIC_ID, true, false, 0, 0, 0 },
    { APIC_VERSION, true, false, 0x50010, 0, 0 },
    { APIC_TPR, true, true, 0, 0xff, 0x100 },
    { APIC_APR, false, false, 0, 0, 0 },
    { APIC_PPR, true, false, 0, 0, 0 },
    { APIC_EOI, false, true, 0, 0, 1 },
    { 0x0c, false, false, 0, 0, 0 },
    { APIC_LDR, true, false, 1, 0, 0 },
    { APIC_DFR, false, false, 0, 0, 0 },
    { APIC_SVR, true, true, 0xff, 0x3ff, 0x400 },
    { APIC_ISR, true, false, 0, 0, 0 },
    { APIC_TMR + 7, true, false, 0, 0, 0 },
    { APIC_IRR, true, false, 0, 0, 0 },
    { APIC_ESR, true, true, 0, 0, 1 },
    { 0x2f, false, false, 0, 0, 0 },
    { APIC_ICR, true, true, 0, 0x55000c4041, 0x1000 },
    { APIC_ICR_HIGH, false, false, 0, 0, 0 },
    { APIC_LVT_TIMER, true, true, 0x10000, 0x700ff, 0x800 },
    { APIC_LVT_THERMAL, true, true, 0x10000, 0x107ff, 0x800 },
    { APIC_LVT_PERFMON, true, true, 0x10000, 0x107ff, (u64)1 << 32 },
    { APIC_LVT_LINT0, true, true, 0x10000, 0x1a7ff, 0x20000 },
    { APIC_LVT_LINT1, true, true, 0x10000, 0x1a7ff, 0x800 },
    { APIC_LVT_ERROR, true, true, 0x10000, 0x100ff, 0x700 },
    { APIC_INITIAL_COUNT, true, true, 0, 0xffffffff, (u64)1 << 32 },
    { APIC_CURRENT_COUNT, true, false, 0, 0, 0 },
    { APIC_DIVIDE, true, true, 0, 0xb, 4 },
    { APIC_SELF_IPI, false, true, 0, 0x41, 0x100 },
    { 0x40, false, false, 0, 0, 0 },
    { 0xff, false, false, 0, 0, 0 },
};

START_TEST(each_msr_of_x2apic)
{
    const struct msr_rule *r = &msr_rules[_i];
    u32 index = 0x800 + r->n;

    ck_assert_uint_eq(board_rdmsr(&b, 0, index), r->reads ? r->first : ~(u64)0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, index, r->bad), BOARD_GP);
    ck_assert_uint_eq(board_wrmsr(&b, 0, index, r->good), r->writes ? BOARD_DONE : BOARD_GP);
    if (r->reads && r->writes)
        ck_assert_uint_eq(board_rdmsr(&b, 0, index), r->good);
}
END_TEST

START_TEST(ids_of_x2apic_have_32_bits)
{
    board_set(&b, 0, WHvX64RegisterInitialApicId, 0x12345);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x802), 0x12345);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x80d), 0x12340000 | 1 << 5);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicId), 0x12345);
    ck_assert_uint_eq(cpuid(0xb, 3), 0x12345);
    board_set(&b, 0, WHvX64RegisterApicId, 7);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x802), 7);
    ck_assert_uint_eq(cpuid(1, 1) >> 24, 7);
}
END_TEST

START_TEST(apic_base_by_the_caller)
{
    static const WHV_REGISTER_NAME name = WHvX64RegisterApicBase;
    WHV_REGISTER_VALUE v = { .Reg64 = X2_ENABLED };

    ck_assert_uint_eq((u32)WHvSetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v), 0xc0350005u);
    board_set(&b, 0, WHvX64RegisterApicBase, 0xfee00800); /* no longer the first */
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x1b), 0xfee00800);
    board_close(&b);
    board_open(&b, X2APIC, 1, SwhpClockVirtual, 0);
    board_set(&b, 0, WHvX64RegisterApicBase, X2_ENABLED);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x803), 0x50010);
    board_set(&b, 0, WHvX64RegisterApicBase, 0xfee00900); /* a restore knows no transitions */
    ck_assert_uint_eq(board_read(&b, 0, APIC_VERSION), 0x50010);
}
END_TEST

TCase *apic_register_case(void)
{
    TCase *t = tcase_create("apic-registers");

    tcase_add_checked_fixture(t, open_x, teardown);
    tcase_add_loop_test(t, each_register_takes_its_own_bits, 0, sizeof rules / sizeof *rules);
    tcase_add_loop_test(t, reserved_registers_read_zero_and_note_an_error, 0, 12);
    tcase_add_test(t, accesses_of_other_sizes);
    tcase_add_test(t, the_page_hides_what_is_mapped_there);
    tcase_add_test(t, accesses_from_outside_go_there_too);
    tcase_add_loop_test(t, any_traffic_is_survived, 0, 10);
    tcase_add_test(t, without_an_apic_the_page_is_memory_or_nothing);
    tcase_add_test(t, tpr_and_cr8_are_one);
    tcase_add_test(t, local_vectors_stay_masked_while_the_apic_is_off);
    tcase_add_test(t, cpuid_follows_the_mode);
    tcase_add_test(t, xapic_partitions_keep_their_apic);
    tcase_add_test(t, states_of_x2apic_partitions);
    tcase_add_test(t, while_x2apic_the_page_is_memory_again);
    tcase_add_test(t, apic_base_by_the_caller);
    return t;
}

TCase *apic_msr_case(void)
{
    TCase *t = tcase_create("apic-msrs");

    tcase_add_checked_fixture(t, open_x2, teardown);
    tcase_add_loop_test(t, each_msr_of_x2apic, 0, sizeof msr_rules / sizeof *msr_rules);
    tcase_add_test(t, ids_of_x2apic_have_32_bits);
    return t;
}
