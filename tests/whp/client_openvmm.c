/* SPDX-License-Identifier: MIT */
/* openvmm: it imports nearly every function, asks each for what it may lack, and falls back by the error's code. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

void client_open_openvmm(struct client *c, u32 processors)
{
    client_partition(c, processors);
    client_property(c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    client_property(c, EXITS, EXIT_MSR | EXIT_EXCEPTION | EXIT_INIT_SIPI, 8);
    client_property(c, PROP(X64MsrExitBitmap), 1, 8);
    client_property(c, VECTORS, 1 << 13, 8);
}

/* A capability that may be missing: its size must be its type's at least. */
static bool capability(u32 code, void *value, u32 size)
{
    u32 written = 0;
    HRESULT hr = WHvGetCapability((WHV_CAPABILITY_CODE)code, value, size, &written);

    if (hr == WHV_E_UNKNOWN_CAPABILITY)
        return false;
    ck_ok(hr);
    ck_assert_uint_ge(written, size);
    return true;
}

START_TEST(openvmm_falls_back_where_a_code_is_unknown)
{
    struct client c;
    WHV_PROCESSOR_FEATURES_BANKS banks;
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS synthetic;
    u64 value[8] = { 0 };

    memset(&banks, 0, sizeof banks);
    memset(&synthetic, 0, sizeof synthetic);
    banks.BanksCount = 2;
    synthetic.BanksCount = 1;
    ck_assert(capability(WHvCapabilityCodeFeatures, value, 8));
    ck_assert(capability(WHvCapabilityCodeProcessorFeaturesBanks, &banks, sizeof banks));
    ck_assert(capability(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, &synthetic, sizeof synthetic));
    ck_assert(capability(WHvCapabilityCodePhysicalAddressWidth, value, 4));
    ck_assert(!capability(0x2000, value, 8)); /* nested VMX */
    ck_assert(!capability(0xffff, value, 8));
    client_open_openvmm(&c, 1);
    ck_hr(WHvSetPartitionProperty(c.p, (WHV_PARTITION_PROPERTY_CODE)0x7777, value, 8), WHV_E_UNKNOWN_PROPERTY);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_knows_a_hypervisors_code_by_its_facility)
{
    struct client c;
    HRESULT hr;

    client_open_openvmm(&c, 1);
    hr = WHvCreateVirtualProcessor(c.p, 0, 0);
    ck_assert(FAILED(hr) && ((u32)hr & 0x3fff0000) == 0x00350000);
    CLIENT_START(&c, 0xf4);
    hr = client_try(&c, REG(Rflags), 8);
    ck_assert(FAILED(hr) && ((u32)hr & 0x3fff0000) == 0x00350000);
    client_stop(&c);
}
END_TEST

/* What this platform doesn't do is there to be called, and says so. */
START_TEST(openvmm_finds_what_is_not_supported_exported)
{
    struct client c;
    HANDLE h = NULL;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_hr(WHvStartPartitionMigration(c.p, &h), (HRESULT)0x80070032u);
    ck_hr(WHvDeleteVpciDevice(c.p, 1), (HRESULT)0x80070032u);
    ck_hr(WHvAcceptPartitionMigration(h, &h), (HRESULT)0x80070032u);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_asks_for_rare_registers_one_by_one)
{
    static const WHV_REGISTER_NAME rare[] = { REG(Xss),           REG(UCet),        REG(SCet),      REG(Ssp),
                                              REG(Pl0Ssp),        REG(TscDeadline), REG(TscAdjust), REG(Xfd),
                                              REG(UmwaitControl), REG(Bndcfgs) };
    struct client c;
    u32 there = 0;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xf4);
    for (u32 i = 0; i < sizeof rare / sizeof *rare; i++) {
        WHV_REGISTER_VALUE v;
        HRESULT hr = WHvGetVirtualProcessorRegisters(c.p, 0, &rare[i], 1, &v);

        ck_assert(hr == S_OK || hr == WHV_E_INVALID_VP_REGISTER_NAME);
        if (SUCCEEDED(hr))
            ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &rare[i], 1, &v));
        there += hr == S_OK;
    }
    ck_assert_uint_ge(there, 1);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_sets_every_tsc_while_time_stands_still)
{
    struct client c;
    WHV_REGISTER_NAME name = REG(Tsc);
    WHV_REGISTER_VALUE v = { .Reg64 = 0x123456789a };
    u64 reference, again;

    client_open_openvmm(&c, 2);
    CLIENT_START(&c, 0xe6, 0x90);
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    ck_ok(WHvSuspendPartitionTime(c.p));
    for (u32 vp = 0; vp < 2; vp++)
        ck_ok(WHvSetVirtualProcessorRegisters(c.p, vp, &name, 1, &v));
    client_property(&c, PROP(ReferenceTime), 777, 8);
    for (u32 vp = 0; vp < 2; vp++) {
        WHV_REGISTER_VALUE back;

        ck_ok(WHvGetVirtualProcessorRegisters(c.p, vp, &name, 1, &back));
        ck_assert_uint_eq(back.Reg64, v.Reg64);
    }
    ck_ok(WHvGetPartitionProperty(c.p, PROP(ReferenceTime), &reference, 8, NULL));
    ck_ok(WHvGetPartitionProperty(c.p, PROP(ReferenceTime), &again, 8, NULL));
    ck_assert_uint_eq(reference, 777);
    ck_assert_uint_eq(again, 777);
    ck_ok(WHvResumePartitionTime(c.p));
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_saves_the_apic_as_a_page_and_puts_it_back)
{
    static u8 page[4096], again[4096];
    struct client c;
    u32 written = 0;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x90);
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page, &written));
    ck_assert_uint_eq(written, 4096); /* it asserts that */
    store_bytes(page + 0xf0, 0x1ff, 4);
    store_bytes(page + 0x200 + 0x20, 1 << 3, 4); /* vector 0x43 in IRR */
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(c.p, 0, page, written));
    ck_ok(WHvGetVirtualProcessorState(c.p, 0, WHvVirtualProcessorStateTypeInterruptControllerState2, again,
                                      sizeof again, &written));
    ck_assert_uint_eq(load_bytes(again + 0x220, 4), 1 << 3);
    ck_assert_uint_eq(client_port(&c), 0x43);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_starts_the_others_when_it_sees_init_and_sipi)
{
    struct client c;
    WHV_REGISTER_NAME name = WHvRegisterInternalActivityState;
    WHV_REGISTER_VALUE v;

    client_open_openvmm(&c, 2);
    CLIENT_START(&c, 0xe6, 0x90);
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    ck_assert_uint_eq(client_get(&c, name), 0); /* the first runs */
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 1, &name, 1, &v));
    ck_assert_uint_eq(v.InternalActivity.StartupSuspend, 1); /* the others wait */
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 1, 0));
    ck_ok(WHvRunVirtualProcessor(c.p, 1, &c.x, sizeof c.x));
    ck_assert_uint_eq((u32)c.x.ExitReason, WHvRunVpExitReasonCanceled);
    client_set(&c, name, 1); /* and the first too, if it is told to: it had it wait for a loader */
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE); /* nothing was executed */
    ck_assert_uint_eq(client_get(&c, name), 1);
    client_set(&c, name, 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* A #GP that VMware's backdoor may mean: looked at, then handed to the guest by PendingEvent. */
START_TEST(openvmm_hands_a_protection_fault_back)
{
    struct client c;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x66, 0xba, 0xff, 0xff, 0xff, 0xff, 0x0f,
                 0x30); /* bad APIC_BASE */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 13);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 12);
    client_set(&c, WHvRegisterPendingEvent,
               1 | (u64)c.x.VpException.ExceptionInfo.ErrorCodeValid << 8 | 13 << 16 |
                   (u64)c.x.VpException.ErrorCode << 32);
    ck_assert_uint_eq(client_port(&c), 13); /* not intercepted once more */
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_relies_on_notifications_that_ring_once)
{
    struct client c;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x90, 0xe6, 0x91);
    client_set(&c, REG(DeliverabilityNotifications), 3); /* NMIs and interrupts */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    ck_assert_uint_eq((u32)c.x.InterruptWindow.DeliverableType, WHvX64PendingNmi); /* the NMI's first */
    ck_assert_uint_eq(client_get(&c, REG(DeliverabilityNotifications)), 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    ck_assert_uint_eq((u32)c.x.InterruptWindow.DeliverableType, WHvX64PendingInterrupt);
    ck_assert_uint_eq(client_get(&c, REG(DeliverabilityNotifications)), 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* The PIC's interrupt: by PendingEvent, at any time; the guest takes it when it can, and the APIC has no part in it. */
START_TEST(openvmm_leaves_the_pics_interrupt_for_the_guest_to_take)
{
    struct client c;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xfa, 0xe6, 0x8f, 0x90, 0xfb, 0x90, 0xe6, 0x91); /* cli; out 8f; nop; sti; nop; out 91 */
    ck_assert_uint_eq(client_port(&c), 0x8f);
    client_set(&c, WHvRegisterPendingEvent, 1 | WHvX64PendingEventExtInt << 1 | 0x48 << 8);
    ck_assert_uint_eq(client_get(&c, WHvRegisterPendingEvent) & 1, 1);
    ck_assert_uint_eq(client_port(&c), 0x48);
    ck_assert_uint_eq(load_bytes(c.ram + CLIENT_STACK - 6, 2), CLIENT_CODE + 6); /* behind the shadow */
    ck_assert_uint_eq(client_get(&c, WHvRegisterPendingEvent), 0);
    for (u32 i = 0; i < 8; i++)
        ck_assert_uint_eq(client_get(&c, (WHV_REGISTER_NAME)(REG(ApicIsr0) + i)), 0);
    ck_assert_uint_eq(client_port(&c), 0x91);
    client_stop(&c);
}
END_TEST

#define APIC_STORE(offset, value)                                                                                      \
    0x64, 0x66, 0xc7, 0x06, (offset) & 0xff, (offset) >> 8, (value) & 0xff, (value) >> 8 & 0xff, 0, 0

/* SMIs, and what is written to some of the APIC's registers: the write is done, the message isn't sent. */
START_TEST(openvmm_sees_smis_and_writes_to_the_apic)
{
    static const struct {
        u32 at, value;
    } rows[] = { { 0x350, 0x700 }, { 0x360, 0x400 }, { 0xf0, 0x1ee } };
    WHV_REGISTER_NAME fs = REG(Fs);
    WHV_REGISTER_VALUE v = { .Segment = { .Base = 0xfee00000, .Limit = 0xffff, .Attributes = 0x93 } };
    struct client c;

    client_open_openvmm(&c, 1);
    client_property(&c, EXITS, EXIT_MSR | 1 << 4 | 7 << 7, 8); /* SMI; LINT0, LINT1, SVR */
    CLIENT_START(&c, APIC_STORE(0x300, 0x200), APIC_STORE(0x350, 0x700), APIC_STORE(0x360, 0x400),
                 APIC_STORE(0xf0, 0x1ee), 0xe6, 0x90);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &fs, 1, &v));
    client_set(&c, REG(ApicSpurious), 0x1ff); /* from outside that is no exit */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64ApicSmiTrap);
    ck_assert_uint_eq(c.x.ApicSmi.ApicIcr & 0x700, 0x200);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 10);
    for (u32 i = 0; i < 3; i++) {
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64ApicWriteTrap);
        ck_assert_uint_eq((u32)c.x.ApicWrite.Type, rows[i].at);
        ck_assert_uint_eq(c.x.ApicWrite.WriteValue, rows[i].value);
        ck_assert_uint_eq(client_get(&c, (WHV_REGISTER_NAME)(0x3000 + rows[i].at / 16)), rows[i].value);
        ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 10 * (i + 2));
    }
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* It asks which hints there are, and gives them for what it mapped. */
START_TEST(openvmm_hints_at_memory_that_the_guest_will_use)
{
    WHV_ADVISE_GPA_RANGE_POPULATE populate;
    WHV_MEMORY_RANGE_ENTRY range = { 0, CLIENT_RAM };
    struct client c;
    u32 flags = 0;

    ck_assert(capability(WHvCapabilityCodeGpaRangePopulateFlags, &flags, sizeof flags));
    memset(&populate, 0, sizeof populate);
    populate.Flags.AsUINT32 = flags;
    populate.AccessType = WHvMemoryAccessWrite;
    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvAdviseGpaRange(c.p, &range, 1, WHvAdviseGpaRangeCodePopulate, &populate, sizeof populate));
    ck_ok(WHvAdviseGpaRange(c.p, &range, 1, WHvAdviseGpaRangeCodePin, NULL, 0));
    ck_ok(WHvAdviseGpaRange(c.p, &range, 1, WHvAdviseGpaRangeCodeUnpin, NULL, 0));
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_asks_whom_an_interrupt_would_reach)
{
    struct client c;
    u32 vps[4] = { 9, 9, 9, 9 }, n = 0;

    client_open_openvmm(&c, 3);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    ck_ok(WHvCreateVirtualProcessor(c.p, 2, 0));
    ck_ok(WHvGetInterruptTargetVpSet(c.p, 2, WHvX64InterruptDestinationModePhysical, vps, 4, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(vps[0], 2);
    ck_ok(WHvGetInterruptTargetVpSet(c.p, 0xffffffff, WHvX64InterruptDestinationModePhysical, vps, 4, &n));
    ck_assert_uint_eq(n, 3);
    for (u32 i = 0; i < 3; i++)
        ck_assert_uint_eq(vps[i], i);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_masks_bits_of_cpuid_by_the_second_list)
{
    WHV_X64_CPUID_RESULT2 rows[2];
    WHV_CPUID_OUTPUT was, is;
    struct client c;

    client_open_openvmm(&c, 1);
    memset(rows, 0, sizeof rows);
    rows[0].Function = 1;
    rows[0].Output.Ecx = 1u << 31;
    rows[0].Mask.Ecx = 1u << 31 | 1u << 30; /* a hypervisor, and no RDRAND */
    rows[1].Function = 0x40000000;
    rows[1].Output.Ebx = 0x7263694d;
    rows[1].Mask.Ebx = 0xffffffff;
    ck_ok(WHvSetPartitionProperty(c.p, PROP(CpuidResultList2), rows, sizeof rows));
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &is));
    ck_assert_uint_eq(is.Ecx >> 30, 2);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 0x40000000, 0, &was));
    ck_assert_uint_eq(was.Ebx, 0x7263694d);
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_resets_a_partition_and_keeps_its_memory)
{
    struct client c;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0xe6, 0x90);
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_ok(WHvResetPartition(c.p));
    ck_assert_uint_eq(client_get(&c, REG(Rip)), 0xfff0);
    client_stand(&c, 0, CLIENT_CODE); /* CS isn't as it wants it */
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

TCase *client_openvmm_case(void)
{
    TCase *t = tcase_create("client-openvmm");

    tcase_add_test(t, openvmm_falls_back_where_a_code_is_unknown);
    tcase_add_test(t, openvmm_knows_a_hypervisors_code_by_its_facility);
    tcase_add_test(t, openvmm_finds_what_is_not_supported_exported);
    tcase_add_test(t, openvmm_asks_for_rare_registers_one_by_one);
    tcase_add_test(t, openvmm_sets_every_tsc_while_time_stands_still);
    tcase_add_test(t, openvmm_saves_the_apic_as_a_page_and_puts_it_back);
    tcase_add_test(t, openvmm_starts_the_others_when_it_sees_init_and_sipi);
    tcase_add_test(t, openvmm_hands_a_protection_fault_back);
    tcase_add_test(t, openvmm_relies_on_notifications_that_ring_once);
    tcase_add_test(t, openvmm_leaves_the_pics_interrupt_for_the_guest_to_take);
    tcase_add_test(t, openvmm_sees_smis_and_writes_to_the_apic);
    tcase_add_test(t, openvmm_hints_at_memory_that_the_guest_will_use);
    tcase_add_test(t, openvmm_asks_whom_an_interrupt_would_reach);
    tcase_add_test(t, openvmm_masks_bits_of_cpuid_by_the_second_list);
    tcase_add_test(t, openvmm_resets_a_partition_and_keeps_its_memory);
    return t;
}
