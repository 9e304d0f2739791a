/* SPDX-License-Identifier: MIT */
/* QEMU 11: no emulator library, features by banks, optional things probed by calls that may fail. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

/* Banks as the capability has them, written back; what fails is left out. It answers many leaves itself. */
static void open_qemu11(struct client *c)
{
    static const u32 leaves[] = { 0,          1,          2,          4,          5,          6,          7,
                                  0xa,        0xb,        0xd,        0x14,       0x15,       0x16,       0x1f,
                                  0x40000000, 0x40000001, 0x40000003, 0x40000004, 0x40000005, 0x80000000, 0x80000001,
                                  0x80000007, 0x80000008, 0x8000000a, 0x8000001d, 0x8000001e };
    WHV_PROCESSOR_FEATURES_BANKS banks = { .BanksCount = WHV_PROCESSOR_FEATURES_BANKS_COUNT };
    WHV_CAPABILITY cap;
    u32 size = 0;

    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeaturesBanks, &banks, sizeof banks, &size));
    ck_assert_uint_eq(size, sizeof banks);
    ck_assert_uint_eq(banks.BanksCount, 2);
    client_partition(c, 1);
    ck_ok(WHvSetPartitionProperty(c->p, PROP(ProcessorFeaturesBanks), &banks, sizeof banks));
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorPerfmonFeatures, &cap, sizeof cap, &size)); /* no old Windows */
    ck_ok(WHvSetPartitionProperty(c->p, PROP(ProcessorPerfmonFeatures), &cap, 8));
    client_property(c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeX2Apic, 4);
    client_property(c, PROP(X64MsrExitBitmap), 1 | 1 << 3, 8); /* unhandled, writes to APIC_BASE */
    client_property(c, EXITS, EXIT_MSR | EXIT_CPUID | EXIT_EXCEPTION | EXIT_INIT_SIPI, 8);
    ck_ok(WHvSetPartitionProperty(c->p, PROP(CpuidExitList), leaves, sizeof leaves));
}

START_TEST(qemu11_probes_what_is_optional_by_calls_that_may_fail)
{
    struct client c;
    WHV_PARTITION_PROPERTY p;

    open_qemu11(&c);
    client_property(&c, PROP(SeparateSecurityDomain), TRUE, sizeof p);
    memset(&p, 0, sizeof p);
    p.NestedVirtualization = TRUE;
    ck_assert(FAILED(WHvSetPartitionProperty(c.p, PROP(NestedVirtualization), &p, sizeof p)));
    CLIENT_START(&c, 0xe6, 0x90);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(qemu11_learns_what_cpuid_says_without_an_exit)
{
    static const u32 leaves[] = { 0, 1, 7, 0xb, 0xd, 0x80000000, 0x80000001, 0x80000008 };
    struct client c;

    open_qemu11(&c);
    CLIENT_START(&c, 0x0f, 0xa2, 0xeb, 0xfc); /* cpuid; again */
    for (u32 i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        WHV_CPUID_OUTPUT out;

        client_set(&c, REG(Rax), leaves[i]);
        client_set(&c, REG(Rcx), 0);
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
        ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, leaves[i], 0, &out));
        ck_assert_uint_eq(out.Eax, c.x.CpuidAccess.DefaultResultRax);
        ck_assert_uint_eq(out.Ebx, c.x.CpuidAccess.DefaultResultRbx);
        ck_assert_uint_eq(out.Ecx, c.x.CpuidAccess.DefaultResultRcx);
        ck_assert_uint_eq(out.Edx, c.x.CpuidAccess.DefaultResultRdx);
    }
    client_stop(&c);
}
END_TEST

/* All of Hyper-V's interface that the capability tells of. */
START_TEST(qemu11_offers_hyperv_as_the_capability_has_it)
{
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS banks = { .BanksCount = 1 };
    WHV_CPUID_OUTPUT out;
    struct client c;

    ck_ok(WHvGetCapability(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, &banks, sizeof banks, NULL));
    ck_assert_uint_eq(banks.AsUINT64[0] & 3, 3);
    open_qemu11(&c);
    ck_ok(WHvSetPartitionProperty(c.p, PROP(SyntheticProcessorFeaturesBanks), &banks, sizeof banks));
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ecx >> 31, 1);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 0x40000000, 0, &out));
    ck_assert_uint_ge(out.Eax, 0x40000005);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 0x40000001, 0, &out));
    ck_assert_uint_eq(out.Eax, 0x31237648); /* "Hv#1" */
    client_stop(&c);
}
END_TEST

/* Its own decoder takes the exit's bytes where there are any, and else the guest's memory. */
START_TEST(qemu11_decodes_what_touches_devices_itself)
{
    struct client c;

    open_qemu11(&c);
    CLIENT_START(&c, 0x66, 0xa3, 0x11, 0x00, 0x66, 0xa1, 0x12, 0x00, 0xe6, 0x90); /* mov [11], eax; mov eax, [12] */
    WHV_REGISTER_NAME ds = REG(Ds);
    WHV_REGISTER_VALUE v = { .Segment = { .Base = 0xb8000, .Limit = 0xffff, .Selector = 0xb800, .Attributes = 0x93 } };
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &ds, 1, &v));
    client_set(&c, REG(Rax), 0xdeadbeef);
    for (u32 i = 0; i < 2; i++) {
        const WHV_MEMORY_ACCESS_CONTEXT *m = &c.x.MemoryAccess;
        u64 at = CLIENT_CODE + 4 * i;

        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(c.x.VpContext.Cs.Base + c.x.VpContext.Rip, at);
        ck_assert_uint_le(m->InstructionByteCount, 16);
        ck_assert(!memcmp(m->InstructionBytes, c.ram + at, m->InstructionByteCount));
        for (u32 n = m->InstructionByteCount; n < 16; n++)
            ck_assert_uint_eq(m->InstructionBytes[n], 0);
        ck_assert_uint_eq((u32)m->AccessInfo.AccessType, i ? WHvMemoryAccessRead : WHvMemoryAccessWrite);
        ck_assert_uint_eq(m->AccessInfo.GpaUnmapped, 1);
        ck_assert_uint_eq(m->Gpa, 0xb8011 + i);
        ck_assert_uint_eq(client_get(&c, REG(Rax)), 0xdeadbeef); /* nothing has happened */
        if (i)
            client_set(&c, REG(Rax), 0x12345678);
        client_set(&c, REG(Rip), c.x.VpContext.Rip + 4); /* its own length: the exit's may be 0 */
    }
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.IoPortAccess.Rax, 0x12345678);
    client_stop(&c);
}
END_TEST

START_TEST(qemu11_sets_the_initial_apic_id)
{
    WHV_CPUID_OUTPUT out;
    struct client c;

    open_qemu11(&c);
    CLIENT_START(&c, 0xf4);
    client_set(&c, REG(InitialApicId), 6);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ebx >> 24, 6);
    ck_ok(WHvResetPartition(c.p)); /* puts it back to the index */
    ck_assert_uint_eq(client_get(&c, REG(InitialApicId)), 0);
    client_stop(&c);
}
END_TEST

START_TEST(qemu11_answers_an_msr_by_a_protection_fault)
{
    struct client c;
    u64 gp = 1 | 1 << 8 | 13 << 16;

    open_qemu11(&c);
    CLIENT_START(&c, 0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32); /* mov ecx, 12345678; rdmsr */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);
    client_set(&c, WHvRegisterPendingEvent, gp); /* and RIP stays */
    ck_assert_uint_eq(client_port(&c), 13);
    ck_assert_uint_eq(load_bytes(c.ram + CLIENT_STACK - 6, 2), CLIENT_CODE + 6);
    client_stop(&c);
}
END_TEST

START_TEST(qemu11_sees_writes_to_apic_base)
{
    struct client c;

    open_qemu11(&c);
    CLIENT_START(&c, 0x66, 0xb9, 0x1b, 0, 0, 0, 0x0f, 0x32, 0x0f, 0x30, 0xe6, 0x90); /* mov ecx, 1b; rdmsr; wrmsr */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);               /* reading is no exit */
    ck_assert_uint_eq(c.x.MsrAccess.AccessInfo.IsWrite, 1);
    ck_assert_uint_eq(c.x.MsrAccess.MsrNumber, 0x1b);
    ck_assert_uint_eq((u32)c.x.MsrAccess.Rax, 0xfee00900);
    client_set(&c, REG(ApicBase), (u32)c.x.MsrAccess.Rax | c.x.MsrAccess.Rdx << 32);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(qemu11_unmaps_ranges_that_are_mapped_in_part)
{
    struct client c;

    open_qemu11(&c);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvUnmapGpaRange(c.p, 0x8000, 0x1000));
    ck_ok(WHvUnmapGpaRange(c.p, 0x7000, 0x3000));   /* with a hole in it */
    ck_ok(WHvUnmapGpaRange(c.p, 0xf000, 0x100000)); /* far beyond its end */
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x7000, 0x7000, 0x3000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    client_stop(&c);
}
END_TEST

TCase *client_qemu11_case(void)
{
    TCase *t = tcase_create("client-qemu11");

    tcase_add_test(t, qemu11_probes_what_is_optional_by_calls_that_may_fail);
    tcase_add_test(t, qemu11_learns_what_cpuid_says_without_an_exit);
    tcase_add_test(t, qemu11_offers_hyperv_as_the_capability_has_it);
    tcase_add_test(t, qemu11_decodes_what_touches_devices_itself);
    tcase_add_test(t, qemu11_sets_the_initial_apic_id);
    tcase_add_test(t, qemu11_answers_an_msr_by_a_protection_fault);
    tcase_add_test(t, qemu11_sees_writes_to_apic_base);
    tcase_add_test(t, qemu11_unmaps_ranges_that_are_mapped_in_part);
    return t;
}
