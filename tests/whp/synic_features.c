/* SPDX-License-Identifier: MIT */
/* The property, the capability, CPUID's leaves, and which MSRs come with which feature. */
#include "tests/whp/synic.h"

static struct board b;

static void cpuid(struct board *at, u32 leaf, u32 out[4])
{
    WHV_CPUID_OUTPUT o;

    ck_ok(WHvGetVirtualProcessorCpuidOutput(at->partition, 0, leaf, 0, &o));
    out[0] = o.Eax;
    out[1] = o.Ebx;
    out[2] = o.Ecx;
    out[3] = o.Edx;
}

static void open_with(u64 features, u32 mode)
{
    board_synthetic = features;
    board_open(&b, mode, 1, SwhpClockVirtual, 0);
    board_synthetic = 0;
}

/* TLFS "Synthetic MSRs", by the API's features; what can only be written reads as #GP. */
static const struct {
    u32 first, last;
    u64 feature;
} owners[] = {
    { 0x40000000, 0x40000001, 1 << 7 }, { 0x40000002, 0x40000002, 1 << 8 }, { 0x40000010, 0x40000010, 1 << 2 },
    { 0x40000020, 0x40000020, 1 << 3 }, { 0x40000021, 0x40000021, 1 << 9 }, { 0x40000022, 0x40000023, 1 << 11 },
    { 0x40000071, 0x40000073, 1 << 6 }, { 0x40000080, 0x40000084, 1 << 4 }, { 0x40000090, 0x4000009f, 1 << 4 },
    { 0x400000b0, 0x400000b7, 1 << 5 | 1 << 4 },
};

static bool owned(u32 index, u64 features)
{
    for (unsigned i = 0; i < sizeof owners / sizeof owners[0]; i++)
        if (index >= owners[i].first && index <= owners[i].last)
            return (features & owners[i].feature) == owners[i].feature;
    return false;
}

static void check_msrs(u64 features)
{
    for (u32 index = 0x40000000; index < 0x40000100; index++) {
        if (index == 0x400000f0)
            continue; /* sleeps */
        ck_assert_msg((board_rdmsr(&b, 0, index) != ~(u64)0) == owned(index, features), "MSR %x with features %llx", index,
                      (unsigned long long)features);
    }
}

START_TEST(without_the_property_there_is_nothing)
{
    u32 out[4];

    open_with(0, 1);
    cpuid(&b, 1, out);
    ck_assert_uint_eq(out[2] >> 31, 0);
    for (u32 leaf = 0x40000000; leaf < 0x40000100; leaf++) {
        cpuid(&b, leaf, out);
        ck_assert_uint_eq(out[0] | out[1] | out[2] | out[3], 0);
    }
    check_msrs(0);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_GUEST_OS_ID, 1), BOARD_GP);
    board_close(&b);
}
END_TEST

START_TEST(each_feature_brings_its_msrs_and_no_others)
{
    u64 features = 1ull << _i | 3;

    open_with(features, 1);
    check_msrs(features);
    board_close(&b);
}
END_TEST

START_TEST(all_features_and_their_needs)
{
    open_with(SYNTHETIC_OFFERED, 1);
    check_msrs(SYNTHETIC_OFFERED);
    board_close(&b);
    open_with(SYNTHETIC_OFFERED & ~FEATURE(HV1), 1);
    check_msrs(0);
    board_close(&b);
    open_with(SYNTHETIC_OFFERED & ~FEATURE(PRESENT), 1);
    check_msrs(0);
    board_close(&b);
    open_with(SYNTHETIC_OFFERED, 0); /* no local APIC */
    check_msrs(SYNTHETIC_OFFERED & ~(FEATURE(APIC) | FEATURE(SYNIC) | FEATURE(TIMERS)));
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_GUEST_IDLE), ~(u64)0);
    board_close(&b);
}
END_TEST

START_TEST(what_cpuid_says)
{
    u32 out[4];

    open_with(SYNTHETIC_OFFERED, 1);
    cpuid(&b, 1, out);
    ck_assert_uint_eq(out[2] >> 31, 1);
    cpuid(&b, 0x40000000, out);
    ck_assert_uint_eq(out[0], 0x40000006);
    ck_assert_mem_eq(out + 1, "Microsoft Hv", 12);
    cpuid(&b, 0x40000001, out);
    ck_assert_mem_eq(out, "Hv#1", 4);
    cpuid(&b, 0x40000003, out);
    ck_assert_uint_eq(out[0], 0xe7f);         /* HV_PARTITION_PRIVILEGE_MASK: bits 7 and 8 are reset and statistics */
    ck_assert_uint_eq(out[1], 1u << 5);       /* SignalEvents */
    ck_assert_uint_eq(out[3], 1u << 4 | 1u << 5 | 1u << 8 | 1u << 14 | 1u << 17 | 1u << 18 | 1u << 19);
    cpuid(&b, 0x40000004, out);
    ck_assert_uint_eq(out[0], 1u << 2 | 1u << 3 | 1u << 5 | 1u << 10 | 1u << 11);
    ck_assert_uint_eq(out[2], 48);
    cpuid(&b, 0x40000005, out);
    ck_assert_uint_ge(out[0], 1);
    cpuid(&b, 0x40000007, out);
    ck_assert_uint_eq(out[0] | out[1] | out[2] | out[3], 0);
    board_close(&b);

    open_with(1, 1); /* a hypervisor, and no interface */
    cpuid(&b, 0x40000000, out);
    ck_assert_uint_eq(out[0], 0x40000001);
    cpuid(&b, 0x40000001, out);
    ck_assert_uint_eq(out[0], 0);
    cpuid(&b, 0x40000003, out);
    ck_assert_uint_eq(out[0] | out[1] | out[3], 0);
    board_close(&b);
}
END_TEST

START_TEST(the_property_and_the_capability)
{
    const WHV_PARTITION_PROPERTY_CODE code = WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks;
    u64 banks[2] = { 1, 0 }, offered[2] = { 1, 0 };
    WHV_PARTITION_HANDLE p;
    u32 count = 1, written;

    ck_ok(WHvGetCapability(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, offered, sizeof offered, &written));
    ck_assert_uint_eq(written, 16);
    ck_assert_uint_eq(offered[0], 1);
    ck_assert_uint_eq(offered[1], 0x2f408fff);
    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetPartitionProperty(p, code, banks, sizeof banks, &written));
    ck_assert_uint_eq(banks[1], 0);
    for (unsigned i = 0; i < 64; i++) {
        banks[0] = 1;
        banks[1] = 1ull << i;
        ck_hr(WHvSetPartitionProperty(p, code, banks, sizeof banks), offered[1] >> i & 1 ? S_OK : E_INVALIDARG);
    }
    banks[0] = 2;
    ck_hr(WHvSetPartitionProperty(p, code, banks, sizeof banks), E_INVALIDARG);
    ck_ok(WHvSetPartitionProperty(p, code, offered, sizeof offered));
    ck_ok(WHvGetPartitionProperty(p, code, banks, sizeof banks, &written));
    ck_assert_mem_eq(banks, offered, sizeof banks);
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    ck_ok(WHvSetupPartition(p));
    ck_hr(WHvSetPartitionProperty(p, code, offered, sizeof offered), E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(a_callers_list_comes_first)
{
    WHV_X64_CPUID_RESULT list = { .Function = 0x40000000, .Eax = 0x40000010, .Ebx = 0x4b4d564b };
    u64 banks[2] = { 1, SYNTHETIC_OFFERED };
    u32 count = 1, out[4];
    struct board at = { 0 };

    ck_ok(WHvCreatePartition(&at.partition));
    ck_ok(WHvSetPartitionProperty(at.partition, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    ck_ok(WHvSetPartitionProperty(at.partition, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks,
                                  sizeof banks));
    ck_ok(WHvSetPartitionProperty(at.partition, WHvPartitionPropertyCodeCpuidResultList, &list, sizeof list));
    ck_ok(WHvSetupPartition(at.partition));
    ck_ok(WHvCreateVirtualProcessor(at.partition, 0, 0));
    cpuid(&at, 0x40000000, out);
    ck_assert_uint_eq(out[0], 0x40000010);
    ck_assert_uint_eq(out[1], 0x4b4d564b);
    cpuid(&at, 0x40000001, out);
    ck_assert_mem_eq(out, "Hv#1", 4);
    ck_ok(WHvDeletePartition(at.partition));
}
END_TEST

/* Registers that have names are the MSRs. */
START_TEST(registers_by_name)
{
    static const struct {
        u32 name, index;
        u64 value;
    } rows[] = {
        { WHvRegisterGuestOsId, HV_GUEST_OS_ID, 0x8100000000001234 },
        { WHvX64RegisterHypercall, HV_HYPERCALL, HYPERCALL_AT | 1 },
        { WHvRegisterVpAssistPage, HV_VP_ASSIST_PAGE, ASSIST_AT | 1 },
        { WHvRegisterReferenceTsc, HV_REFERENCE_TSC, TSC_AT | 1 },
        { WHvRegisterScontrol, HV_SCONTROL, 1 },
        { WHvRegisterSiefp, HV_SIEFP, EVENTS_AT | 1 },
        { WHvRegisterSimp, HV_SIMP, MESSAGES_AT | 1 },
        { WHvRegisterSint0, HV_SINT0, 0x50 },
        { WHvRegisterSint15, HV_SINT0 + 15, 0x51 | SINT_AUTO_EOI },
    };
    WHV_REGISTER_NAME name = WHvRegisterSversion;
    WHV_REGISTER_VALUE v = { .Reg64 = 1 };

    open_with(SYNTHETIC_OFFERED, 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_set(&b, 0, rows[i].name, rows[i].value);
        ck_assert_uint_eq(board_get(&b, 0, rows[i].name), rows[i].value);
        ck_assert_uint_eq(board_rdmsr(&b, 0, rows[i].index), rows[i].value);
    }
    ck_assert_uint_eq(synic_peek(&b, HYPERCALL_AT, 4), 0xc3d9010f);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterSversion), 1);
    ck_ok(WHvSetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v)); /* unchanged */
    v.Reg64 = 2;
    ck_hr(WHvSetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v), (HRESULT)0xc0350050u);
    name = WHvRegisterSint0;
    v.Reg64 = 15;
    ck_hr(WHvSetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v), (HRESULT)0xc0350050u);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterSint0), 0x50);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterReferenceTscSequence), 1);
    board_set(&b, 0, WHvRegisterReferenceTscSequence, 77);
    ck_assert_uint_eq(synic_peek(&b, TSC_AT, 4), 77);
    board_close(&b);
    open_with(FEATURE(PRESENT) | FEATURE(HV1), 1);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        name = (WHV_REGISTER_NAME)rows[i].name;
        ck_hr(WHvGetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v), WHV_E_INVALID_VP_REGISTER_NAME);
    }
    board_close(&b);
}
END_TEST

START_TEST(what_can_not_be_written)
{
    static const u32 read_only[] = { HV_VP_INDEX, HV_VP_RUNTIME, HV_TIME_REF_COUNT, HV_TSC_FREQUENCY, HV_APIC_FREQUENCY,
                                     HV_SVERSION, HV_GUEST_IDLE };
    static const struct {
        u32 index;
        u64 value;
        u32 port;
    } rows[] = {
        { HV_SINT0 + 3, 15, BOARD_GP },
        { HV_SINT0 + 3, 16, BOARD_DONE },
        { HV_SINT0 + 3, SINT_MASKED, BOARD_DONE },
        { HV_EOI, 1ull << 32, BOARD_GP },
        { HV_EOI, 0xffffffff, BOARD_DONE },
        { HV_TPR, 0x100, BOARD_GP },
        { HV_TPR, 0x20, BOARD_DONE },
        { HV_STIMER0_CONFIG, 1ull << 13, BOARD_GP },
        { HV_STIMER0_CONFIG, 1ull << 20, BOARD_GP },
        { HV_STIMER0_CONFIG, 1ull << 63, BOARD_GP },
        { HV_STIMER0_CONFIG, 0xf1ffe, BOARD_DONE },
        { HV_HYPERCALL, 1ull << 48, BOARD_GP },
        { HV_SIMP, 1ull << 48 | 1, BOARD_DONE }, /* not accessible, TLFS says */
        { HV_EOM, ~0ull, BOARD_DONE },
    };

    open_with(SYNTHETIC_OFFERED, 1);
    for (unsigned i = 0; i < sizeof read_only / sizeof read_only[0]; i++)
        ck_assert_uint_eq(board_wrmsr(&b, 0, read_only[i], 0), BOARD_GP);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(board_wrmsr(&b, 0, rows[i].index, rows[i].value) == rows[i].port, "row %u", i);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 2);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_TPR), 0x20);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_EOI), ~(u64)0);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_VP_INDEX), 0);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_TSC_FREQUENCY), 1000000000);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_APIC_FREQUENCY), 200000000);
    board_close(&b);
    open_with(SYNTHETIC_OFFERED & ~FEATURE(DIRECT_TIMERS), 1);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG, STIMER_DIRECT), BOARD_GP);
    board_close(&b);
}
END_TEST

/* EOI, ICR and TPR by MSR are the APIC's. */
START_TEST(the_apic_by_msrs)
{
    struct code c = { .size = 0 };

    synic_open(&b, 2, SwhpClockHost);
    code_wrmsr(&c, HV_ICR, 1ull << 56 | 0x4077);
    ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_ICR), 1ull << 56 | 0x4077);
    board_loop(&b, 1);
    ck_assert_uint_eq(board_run(&b, 1), 0x77);
    ck_assert_uint_ne(board_get(&b, 1, WHvX64RegisterApicIsr3), 0);
    ck_assert_uint_eq(board_wrmsr(&b, 1, HV_EOI, 0), BOARD_DONE);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIsr3), 0);
    board_close(&b);
}
END_TEST

TCase *synic_feature_case(void)
{
    TCase *t = tcase_create("synic-features");

    tcase_add_test(t, without_the_property_there_is_nothing);
    tcase_add_loop_test(t, each_feature_brings_its_msrs_and_no_others, 2, 12);
    tcase_add_test(t, all_features_and_their_needs);
    tcase_add_test(t, what_cpuid_says);
    tcase_add_test(t, the_property_and_the_capability);
    tcase_add_test(t, a_callers_list_comes_first);
    tcase_add_test(t, registers_by_name);
    tcase_add_test(t, what_can_not_be_written);
    tcase_add_test(t, the_apic_by_msrs);
    return t;
}
