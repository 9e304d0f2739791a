/* SPDX-License-Identifier: MIT */
/* libwhp by its unit tests, whpexp, hyperlight and libkrun. */
#include <pthread.h>

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

/* ---- hyperlight ---- */

START_TEST(hyperlight_cancels_before_and_the_next_run_ends_at_once)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xe6, 0x90);
    client_set(&c, WHvRegisterPendingEvent, 1 | 6 << 16);
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled); /* before the event, too */
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE);
    ck_assert_uint_eq(client_port(&c), 6);
    client_stop(&c);
}
END_TEST

static void *cancel_for_ever(void *context)
{
    HRESULT hr;

    while ((hr = WHvCancelRunVirtualProcessor(context, 0, 0)) == S_OK || hr == WHV_E_VP_DOES_NOT_EXIST)
        ;
    return (void *)(intptr_t)hr;
}

/* The host's timer may cancel what is being deleted. */
START_TEST(hyperlight_cancels_while_it_deletes)
{
    for (u32 i = 0; i < 50; i++) {
        pthread_t thread;
        struct client c;
        void *last;

        client_partition(&c, 1);
        CLIENT_START(&c, 0xeb, 0xfe);
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_for_ever, c.p), 0);
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
        ck_ok(WHvDeleteVirtualProcessor(c.p, 0));
        client_stop(&c);
        pthread_join(thread, &last);
        ck_assert_int_eq((intptr_t)last, E_INVALIDARG);
    }
}
END_TEST

START_TEST(hyperlight_resets_the_fpu_by_an_image)
{
    static u8 area[8192];
    struct client c;
    u64 mask;
    u32 size = 0;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    client_set(&c, REG(Xmm3), 77);
    ck_hr(WHvGetVirtualProcessorXsaveState(c.p, 0, NULL, 0, &size), WHV_E_INSUFFICIENT_BUFFER);
    ck_ok(WHvGetVirtualProcessorXsaveState(c.p, 0, area, size, &size));
    mask = load_bytes(area + 520, 8);
    memset(area, 0, sizeof area);
    store_bytes(area, 0x37f, 2);
    store_bytes(area + 24, 0x1f80, 4);
    store_bytes(area + 520, mask | (u64)1 << 63, 8);
    ck_ok(WHvSetVirtualProcessorXsaveState(c.p, 0, area, size));
    ck_assert_uint_eq(client_get(&c, REG(Xmm3)), 0);
    ck_assert_uint_eq(client_get(&c, REG(FpControlStatus)) & 0xffff, 0x37f);
    client_stop(&c);
}
END_TEST

/* gdb comes when the processor is there already. */
START_TEST(hyperlight_attaches_its_debugger_late)
{
    struct client c;
    u64 exits = EXIT_EXCEPTION, vectors = 1 << 1 | 1 << 3;

    client_partition(&c, 1);
    CLIENT_START(&c, 0x90, 0x90, 0xe6, 0x90);
    ck_ok(WHvSetPartitionProperty(c.p, EXITS, &exits, sizeof exits));
    ck_ok(WHvSetPartitionProperty(c.p, VECTORS, &vectors, sizeof vectors));
    client_set(&c, REG(Dr0), CLIENT_CODE + 1);
    client_set(&c, REG(Dr7), 1);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 1);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 1);
    ck_assert_uint_eq(c.x.VpException.ExceptionParameter & 1, 1); /* which breakpoint it was */
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.DebugActive, 1);
    client_set(&c, REG(Dr7), 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(hyperlight_maps_memory_of_a_process_by_handle)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xe6, 0x90);
    ck_ok(WHvMapGpaRange2(c.p, (HANDLE)(intptr_t)-1, c.ram, 0x100000, CLIENT_RAM, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvMapGpaRange2(c.p, NULL, c.ram, 0x100000, CLIENT_RAM, (WHV_MAP_GPA_RANGE_FLAGS)5)); /* over it */
    ck_ok(WHvUnmapGpaRange(c.p, 0x100000, CLIENT_RAM));
    client_stop(&c);
}
END_TEST

START_TEST(hyperlight_is_refused_the_apic_where_there_is_none)
{
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeFixed, .Vector = 0x37 };
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_hr(client_try(&c, REG(ApicTpr), 0), (HRESULT)0xC0350006u);
    ck_hr(WHvRequestInterrupt(c.p, &request, sizeof request), (HRESULT)0xC0350008u);
    client_stop(&c);
}
END_TEST

/* ---- libkrun ---- */

/* What the emulator of older Windows refuses: drivers of a guest do write device memory so. */
START_TEST(libkrun_has_wide_stores_to_devices_emulated)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    struct client c;
    struct client_device d = { .client = &c };

    client_partition(&c, 1);
    CLIENT_START(&c, 0xb8, 0x00, 0xb8, 0x8e, 0xd8, 0x0f, 0x11, 0x07, 0xe6,
                 0x90); /* ds = b800; movups [bx], xmm0; out 90 */
    client_set(&c, REG(Cr4), 1 << 9);
    client_set(&c, REG(Xmm0), 0x1122334455667788);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(d.writes, 2); /* 8 bytes at most each */
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

/* Linux with the platform's APIC: an IOAPIC of its own that requests, the guest in a sleep that it ends. */
static void *request_soon(void *context)
{
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeFixed, .Destination = 0, .Vector = 0x31 };

    ck_ok(WHvRequestInterrupt(context, &request, sizeof request));
    return NULL;
}

START_TEST(libkrun_wakes_a_halted_guest_by_a_request)
{
    WHV_PROCESSOR_FEATURES_BANKS banks = { .BanksCount = 2 };
    pthread_t thread;
    struct client c;

    client_partition(&c, 1);
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeaturesBanks, &banks, sizeof banks, NULL));
    ck_ok(WHvSetPartitionProperty(c.p, PROP(ProcessorFeaturesBanks), &banks, sizeof banks));
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    client_property(&c, EXITS, EXIT_CPUID | EXIT_MSR, 8);
    client_property(&c, PROP(X64MsrExitBitmap), 1, 8);
    CLIENT_START(&c, 0xfb, 0xf4, 0xe6, 0x90); /* sti; hlt; out 90 */
    client_set(&c, REG(ApicSpurious), 0x1ff);
    ck_assert_int_eq(pthread_create(&thread, NULL, request_soon, c.p), 0);
    ck_assert_uint_eq(client_port(&c), 0x31); /* no exit for the HLT */
    ck_assert_uint_eq(client_port(&c), 0x90);
    pthread_join(thread, NULL);
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
    tcase_add_test(t, whpexp_sees_the_exceptions_that_it_asks_for);
    tcase_add_test(t, hyperlight_cancels_before_and_the_next_run_ends_at_once);
    tcase_add_test(t, hyperlight_cancels_while_it_deletes);
    tcase_add_test(t, hyperlight_resets_the_fpu_by_an_image);
    tcase_add_test(t, hyperlight_attaches_its_debugger_late);
    tcase_add_test(t, hyperlight_maps_memory_of_a_process_by_handle);
    tcase_add_test(t, hyperlight_is_refused_the_apic_where_there_is_none);
    tcase_add_test(t, libkrun_has_wide_stores_to_devices_emulated);
    tcase_add_test(t, libkrun_wakes_a_halted_guest_by_a_request);
    return t;
}
