/* SPDX-License-Identifier: MIT */
/* libwhp by its unit tests, and whpexp. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

/* ---- libwhp ---- */

START_TEST(libwhp_knows_errors_by_their_values)
{
    static u8 page[8192] __attribute__((aligned(4096)));
    WHV_PARTITION_HANDLE p;
    u8 small[100];
    u32 one = 1;

    ck_ok(WHvCreatePartition(&p));
    ck_hr(WHvSetupPartition(p), (HRESULT)0x80370304u);
    ck_ok(WHvSetPartitionProperty(p, PROP(ProcessorCount), &one, sizeof one));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_hr(WHvRunVirtualProcessor(p, 0, small, sizeof small), (HRESULT)0x80370301u);
    ck_hr(WHvUnmapGpaRange(p, 0x10000, 4096), (HRESULT)0x80370305u);
    ck_ok(WHvMapGpaRange(p, page, 0x10000, 4096, WHvMapGpaRangeFlagRead));
    ck_ok(WHvUnmapGpaRange(p, 0x10000, 4096));
    ck_hr(WHvGetCapability((WHV_CAPABILITY_CODE)0xffff, small, sizeof small, &one), (HRESULT)0x80370300u);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(libwhp_runs_a_fresh_processor_into_a_memory_exit)
{
    struct client c;

    client_partition(&c, 1);
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvCreateVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessExecute);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    client_stop(&c);
}
END_TEST

START_TEST(libwhp_finds_the_initial_xsave_image)
{
    static u8 area[8192];
    struct client c;
    u32 size;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetVirtualProcessorXsaveState(c.p, 0, area, sizeof area, &size));
    ck_assert_uint_eq(load_bytes(area, 2), 0x37f);
    ck_assert_uint_eq(load_bytes(area + 24, 4), 0x1f80);
    ck_assert_uint_eq(load_bytes(area + 28, 4) & 0xffff,
                      0xffff); /* the mask, which depends on the processor above that */
    ck_ok(WHvSetVirtualProcessorXsaveState(c.p, 0, area, size));
    client_stop(&c);
}
END_TEST

START_TEST(libwhp_gets_counters_of_their_sizes)
{
    static const u32 sizes[] = { 16, 224, 24, 40 };
    u64 room[64];
    struct client c;
    u32 written;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetPartitionCounters(c.p, WHvPartitionCounterSetMemory, room, 24, &written));
    ck_assert_uint_eq(written, 24);
    ck_assert_uint_eq(room[0], CLIENT_RAM / 4096);
    for (u32 set = 0; set < 4; set++) {
        ck_ok(WHvGetVirtualProcessorCounters(c.p, 0, (WHV_PROCESSOR_COUNTER_SET)set, room, sizes[set], &written));
        ck_assert_uint_eq(written, sizes[set]);
    }
    /* by the first SDK's shorter structure */
    ck_ok(WHvGetVirtualProcessorCounters(c.p, 0, WHvProcessorCounterSetIntercepts, room, 11 * 16, &written));
    client_stop(&c);
}
END_TEST

START_TEST(libwhp_translates_and_reads_the_result)
{
    WHV_TRANSLATE_GVA_RESULT result;
    struct client c;
    u64 gpa = 0;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvTranslateGva(c.p, 0, 0x5123, WHvTranslateGvaFlagValidateRead, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa, 0x5123); /* paging is off: the same */
    client_stop(&c);
}
END_TEST

START_TEST(libwhp_requests_an_interrupt_and_keeps_the_apics_state)
{
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeFixed, .Vector = 0x37 };
    static u8 page[4096];
    struct client c;
    u32 written;

    client_partition(&c, 1);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvRequestInterrupt(c.p, &request, sizeof request));
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page, &written));
    ck_assert_uint_eq(load_bytes(page + 0xf0, 4) & 0x1ff, 0xff);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(c.p, 0, page, written));
    client_stop(&c);
}
END_TEST

START_TEST(libwhp_copies_the_default_results_of_any_leaf)
{
    struct client c;

    client_partition(&c, 1);
    client_property(&c, EXITS, EXIT_CPUID, 8);
    CLIENT_START(&c, 0x66, 0x31, 0xc0, 0x0f, 0xa2, 0xe6, 0x90); /* xor eax, eax; cpuid; out 90 */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
    client_set(&c, REG(Rax), c.x.CpuidAccess.DefaultResultRax);
    client_set(&c, REG(Rbx), c.x.CpuidAccess.DefaultResultRbx);
    client_set(&c, REG(Rcx), c.x.CpuidAccess.DefaultResultRcx);
    client_set(&c, REG(Rdx), c.x.CpuidAccess.DefaultResultRdx);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(client_get(&c, REG(Rbx)), 0x68747541); /* "Auth" */
    client_stop(&c);
}
END_TEST

/* Its tests set and read what the API had in 1809, one by one. */
START_TEST(libwhp_sets_and_reads_the_properties_of_1809)
{
    static const struct {
        WHV_PARTITION_PROPERTY_CODE code;
        u32 size;
        u64 value;
    } rows[] = { { PROP(ProcessorCount), 4, 1 },
                 { PROP(ExtendedVmExits), 8, EXIT_CPUID | EXIT_MSR | EXIT_EXCEPTION },
                 { PROP(ExceptionExitBitmap), 8, 1 << 14 },
                 { PROP(SeparateSecurityDomain), 4, 0 },
                 { PROP(LocalApicEmulationMode), 4, WHvX64LocalApicEmulationModeXApic },
                 { PROP(ProcessorClFlushSize), 1, 8 } };
    static const WHV_X64_CPUID_RESULT result = { .Function = 0x40000000, .Ebx = 0x1234 };
    static const u32 leaves[] = { 1, 2 };
    WHV_PARTITION_PROPERTY p;
    WHV_CAPABILITY cap;
    WHV_PARTITION_HANDLE h;

    ck_ok(WHvCreatePartition(&h));
    for (u32 i = 0; i < sizeof rows / sizeof *rows; i++) {
        u32 written = 0;

        memset(&p, 0, sizeof p);
        memcpy(&p, &rows[i].value, 8);
        ck_ok(WHvSetPartitionProperty(h, rows[i].code, &p, sizeof p));
        memset(&p, 0, sizeof p);
        ck_ok(WHvGetPartitionProperty(h, rows[i].code, &p, sizeof p, &written));
        ck_assert_uint_eq(written, rows[i].size);
        ck_assert(!memcmp(&p, &rows[i].value, rows[i].size));
    }
    memset(&cap, 0, sizeof cap);
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeatures, &cap, sizeof cap, NULL)); /* what the host has, back */
    ck_ok(WHvSetPartitionProperty(h, PROP(ProcessorFeatures), &cap, sizeof p));
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorXsaveFeatures, &cap, sizeof cap, NULL));
    ck_ok(WHvSetPartitionProperty(h, PROP(ProcessorXsaveFeatures), &cap, sizeof p));
    ck_ok(WHvSetPartitionProperty(h, PROP(CpuidExitList), leaves, sizeof leaves));
    ck_ok(WHvSetPartitionProperty(h, PROP(CpuidResultList), &result, sizeof result));
    ck_ok(WHvSetupPartition(h));
    ck_ok(WHvDeletePartition(h));
}
END_TEST

/* whpexp: an exception of each kind leaves when it is asked for. */
START_TEST(whpexp_sees_the_exceptions_that_it_asks_for)
{
    struct client c;

    client_partition(&c, 1);
    client_property(&c, EXITS, EXIT_EXCEPTION, 8);
    client_property(&c, VECTORS, 1 << 0 | 1 << 6, 8);
    CLIENT_START(&c, 0x0f, 0x0b, 0x31, 0xc9, 0xf7, 0xf1); /* ud2; xor cx, cx; div cx */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 6);
    ck_assert_uint_eq(c.x.VpException.ExceptionInfo.ErrorCodeValid, 0);
    client_set(&c, REG(Rip), c.x.VpContext.Rip + 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 0);
    client_stop(&c);
}
END_TEST

TCase *client_rust_case(void)
{
    TCase *t = tcase_create("client-rust");

    tcase_add_test(t, libwhp_knows_errors_by_their_values);
    tcase_add_test(t, libwhp_runs_a_fresh_processor_into_a_memory_exit);
    tcase_add_test(t, libwhp_finds_the_initial_xsave_image);
    tcase_add_test(t, libwhp_gets_counters_of_their_sizes);
    tcase_add_test(t, libwhp_translates_and_reads_the_result);
    tcase_add_test(t, libwhp_requests_an_interrupt_and_keeps_the_apics_state);
    tcase_add_test(t, libwhp_copies_the_default_results_of_any_leaf);
    tcase_add_test(t, libwhp_sets_and_reads_the_properties_of_1809);
    tcase_add_test(t, whpexp_sees_the_exceptions_that_it_asks_for);
    return t;
}
