/* SPDX-License-Identifier: MIT */
/* hyperlight and libkrun: a small guest for one function or one container, cancelled or woken from other threads. */
#include <pthread.h>
#include <unistd.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

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
    ck_hr(WHvMapGpaRange2(c.p, (HANDLE)(intptr_t)0x1234, c.ram, 0x100000, CLIENT_RAM, (WHV_MAP_GPA_RANGE_FLAGS)7),
          E_INVALIDARG); /* another's */
    client_set(&c, REG(Rip), CLIENT_CODE);
    ck_assert_uint_eq(client_port(&c), 0x90);
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

static bool is_over;

/* The timer of the host's, in a thread: an edge on the same vector, again and again. */
static void *tick(void *context)
{
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeFixed, .Vector = 0x20 };

    while (!__atomic_load_n(&is_over, __ATOMIC_SEQ_CST)) {
        ck_ok(WHvRequestInterrupt(context, &request, sizeof request));
        usleep(200);
    }
    return NULL;
}

/* With interrupts by hardware: it enables the APIC by the state that it read, and ticks by requests. */
START_TEST(hyperlight_enables_the_apic_by_its_state_and_ticks_by_requests)
{
    static u8 page[4096];
    WHV_REGISTER_NAME fs = REG(Fs);
    WHV_REGISTER_VALUE v = { .Segment = { .Base = 0xfee00000, .Limit = 0xffff, .Attributes = 0x93 } };
    pthread_t thread;
    struct client c;
    u32 size = 0;

    client_partition(&c, 1);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    CLIENT_START(&c, 0xfb, 0xeb, 0xfe); /* sti; jmp to itself */
    /* the tick's handler: inc word [9000]; EOI; cmp word [9000], 5; jb 1f; out 90; 1: iret */
    store_bytes(c.ram + 0x20 * 4, 0x3000, 4);
    memcpy(c.ram + 0x3000,
           "\xff\x06\x00\x90\x64\x66\xc7\x06\xb0\x00\0\0\0\0\x83\x3e\x00\x90\x05\x72\x02\xe6\x90\xcf", 24);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &fs, 1, &v));
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page, &size));
    store_bytes(page + 0xf0, 0x1ff, 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(c.p, 0, page, size));
    ck_assert_int_eq(pthread_create(&thread, NULL, tick, c.p), 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    __atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(load_bytes(c.ram + 0x9000, 2), 5);
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
    static const WHV_X64_CPUID_RESULT result = { .Function = 0x40000100, .Ebx = 0x1234 };
    static const u64 synthetic[2] = { 1, 3 }; /* a hypervisor, Hv1 */
    WHV_PROCESSOR_FEATURES_BANKS banks = { .BanksCount = 2 };
    pthread_t thread;
    struct client c;

    client_partition(&c, 1);
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeaturesBanks, &banks, sizeof banks, NULL));
    ck_ok(WHvSetPartitionProperty(c.p, PROP(ProcessorFeaturesBanks), &banks, sizeof banks));
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    client_property(&c, EXITS, EXIT_CPUID | EXIT_MSR, 8);
    client_property(&c, PROP(X64MsrExitBitmap), 1, 8);
    ck_ok(WHvSetPartitionProperty(c.p, PROP(SyntheticProcessorFeaturesBanks), synthetic, sizeof synthetic));
    ck_ok(WHvSetPartitionProperty(c.p, PROP(CpuidResultList), &result, sizeof result));
    CLIENT_START(&c, 0xfb, 0xf4, 0xe6, 0x90); /* sti; hlt; out 90 */
    client_set(&c, REG(ApicSpurious), 0x1ff);
    ck_assert_int_eq(pthread_create(&thread, NULL, request_soon, c.p), 0);
    ck_assert_uint_eq(client_port(&c), 0x31); /* no exit for the HLT */
    ck_assert_uint_eq(client_port(&c), 0x90);
    pthread_join(thread, NULL);
    client_stop(&c);
}
END_TEST

TCase *client_sandbox_case(void)
{
    TCase *t = tcase_create("client-sandboxes");

    tcase_add_test(t, hyperlight_cancels_before_and_the_next_run_ends_at_once);
    tcase_add_test(t, hyperlight_cancels_while_it_deletes);
    tcase_add_test(t, hyperlight_resets_the_fpu_by_an_image);
    tcase_add_test(t, hyperlight_attaches_its_debugger_late);
    tcase_add_test(t, hyperlight_maps_memory_of_a_process_by_handle);
    tcase_add_test(t, hyperlight_is_refused_the_apic_where_there_is_none);
    tcase_add_test(t, hyperlight_enables_the_apic_by_its_state_and_ticks_by_requests);
    tcase_add_test(t, libkrun_has_wide_stores_to_devices_emulated);
    tcase_add_test(t, libkrun_wakes_a_halted_guest_by_a_request);
    return t;
}
