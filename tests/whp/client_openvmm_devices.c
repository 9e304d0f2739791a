/* SPDX-License-Identifier: MIT */
/* openvmm: what its virtual devices say to the guest and hear from it, without an exit or by Hyper-V's ways. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

static u64 rings(int event)
{
    u64 n = 0;

    return read(event, &n, sizeof n) == sizeof n ? n : 0;
}

/* A queue of a virtual device is notified by a store that doesn't leave the guest. */
START_TEST(openvmm_has_stores_to_a_doorbell_signal_an_event)
{
    WHV_DOORBELL_MATCH_DATA match = { .GuestAddress = 0x9010, .Length = 2, .MatchOnLength = 1 };
    int event = eventfd(0, EFD_NONBLOCK);
    struct client c;

    client_open_openvmm(&c, 1);
    /* mov [9010], ax, twice; out 90; mov [9010], al; mov [9010], ax */
    CLIENT_START(&c, 0xa3, 0x10, 0x90, 0xa3, 0x10, 0x90, 0xe6, 0x90, 0xa2, 0x10, 0x90, 0xa3, 0x10, 0x90);
    ck_ok(WHvUnmapGpaRange(c.p, 0x9000, 0x1000));
    ck_ok(WHvRegisterPartitionDoorbellEvent(c.p, &match, (HANDLE)(intptr_t)event));
    ck_hr(WHvRegisterPartitionDoorbellEvent(c.p, &match, (HANDLE)(intptr_t)event), (HRESULT)0xC0350005u);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(rings(event), 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess); /* of another length */
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0x9010);
    ck_assert_uint_eq(rings(event), 0);
    client_set(&c, REG(Rip), CLIENT_CODE + 11);
    ck_ok(WHvUnregisterPartitionDoorbellEvent(c.p, &match));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_hr(WHvUnregisterPartitionDoorbellEvent(c.p, &match), (HRESULT)0x80070490u);
    client_stop(&c);
    close(event);
}
END_TEST

START_TEST(openvmm_makes_and_deletes_notification_ports)
{
    WHV_NOTIFICATION_PORT_PARAMETERS port = { .NotificationPortType = WHvNotificationPortTypeDoorbell,
                                              .Doorbell = { .GuestAddress = 0x9020, .Length = 4, .MatchOnLength = 1 } };
    WHV_NOTIFICATION_PORT_HANDLE handle;
    int event = eventfd(0, EFD_NONBLOCK);
    struct client c;

    client_open_openvmm(&c, 1);
    CLIENT_START(&c, 0x66, 0xa3, 0x20, 0x90, 0xe6, 0x90); /* mov [9020], eax; out 90 */
    ck_ok(WHvUnmapGpaRange(c.p, 0x9000, 0x1000));
    ck_ok(WHvCreateNotificationPort(c.p, &port, (HANDLE)(intptr_t)event, &handle));
    ck_ok(WHvSetNotificationPortProperty(c.p, handle, WHvNotificationPortPropertyPreferredTargetVp, WHV_ANY_VP));
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(rings(event), 1);
    ck_ok(WHvDeleteNotificationPort(c.p, handle));
    client_stop(&c);
    close(event);
}
END_TEST

/* Its guests see Hyper-V: calls come to it, and it posts messages, waiting for a slot by a notification. */
static void open_hyperv(struct client *c)
{
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS banks;

    memset(&banks, 0, sizeof banks);
    banks.BanksCount = 1;
    banks.AsUINT64[0] =
        1 << 0 | 1 << 1 | 1 << 4 | 1 << 7; /* HypervisorPresent, Hv1, AccessSynicRegs, AccessHypercallRegs */
    client_open_openvmm(c, 1);
    ck_ok(WHvSetPartitionProperty(c->p, PROP(SyntheticProcessorFeaturesBanks), &banks, sizeof banks));
    client_property(c, EXITS, EXIT_MSR | 1 << 5, 8);
}

START_TEST(openvmm_answers_hypercalls_itself)
{
    struct client c;
    struct guest g;

    open_hyperv(&c);
    ck_ok(WHvSetupPartition(c.p));
    guest_open_in(&g, c.p, GUEST_LONG, "\x0f\x01\xd9\xe6\x90", 5); /* vmmcall, the AMD's; out 90 */
    client_set(&c, REG(Rcx), 0x10008);
    client_set(&c, REG(Rdx), 0x1234);
    client_set(&c, REG(Xmm2), 0x5678);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonHypercall);
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE);
    ck_assert_uint_eq(c.x.VpContext.InstructionLength, 3);
    ck_assert_uint_eq(c.x.Hypercall.Rcx, 0x10008);
    ck_assert_uint_eq(c.x.Hypercall.Rdx, 0x1234);
    ck_assert_uint_eq(c.x.Hypercall.XmmRegisters[2].Low64, 0x5678);
    client_set(&c, REG(Rax), 0);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    guest_close(&g);
}
END_TEST

START_TEST(openvmm_posts_a_message_when_the_slot_is_free)
{
    static const u64 message[4] = { 0x80000000 | (u64)16 << 32, 0, 0xabcd, 0 };
    struct client c;

    open_hyperv(&c);
    CLIENT_START(&c, 0xe6, 0x8f, 0xc7, 0x06, 0x00, 0xa2, 0, 0, 0xc7, 0x06, 0x02, 0xa2, 0, 0, 0xe6,
                 0x90); /* empties a200 */
    ck_hr(WHvPostVirtualProcessorSynicMessage(c.p, 0, 2, message, sizeof message), (HRESULT)0xC0350018u);
    client_set(&c, WHvRegisterScontrol, 1);
    client_set(&c, WHvRegisterSimp, 0xa000 | 1);
    client_set(&c, WHvRegisterSint2, 1 << 16 | 0x52); /* masked: the guest polls */
    ck_ok(WHvPostVirtualProcessorSynicMessage(c.p, 0, 2, message, sizeof message));
    ck_hr(WHvPostVirtualProcessorSynicMessage(c.p, 0, 2, message, sizeof message), (HRESULT)0xC0350019u);
    client_set(&c, REG(DeliverabilityNotifications), (u64)1 << (48 + 2));
    ck_assert_uint_eq(client_port(&c), 0x8f);
    ck_assert_uint_eq(client_port(&c), 0x90); /* the slot is empty by now, and the guest says so */
    client_set(&c, WHvRegisterEom, 0);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonSynicSintDeliverable);
    ck_assert_uint_eq(c.x.SynicSintDeliverable.DeliverableSints, 1 << 2);
    ck_assert_uint_eq(client_get(&c, REG(DeliverabilityNotifications)), 0); /* once */
    ck_ok(WHvPostVirtualProcessorSynicMessage(c.p, 0, 2, message, sizeof message));
    client_stop(&c);
}
END_TEST

START_TEST(openvmm_signals_events_of_its_devices)
{
    WHV_SYNIC_EVENT_PARAMETERS e = { .VpIndex = 0, .TargetSint = 4, .FlagNumber = 17 };
    struct client c;
    BOOL is_new = 0;

    open_hyperv(&c);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x90); /* sti; nop; out 90 */
    ck_hr(WHvSignalVirtualProcessorSynicEvent(c.p, e, &is_new), (HRESULT)0xC0350018u); /* before the guest is there */
    client_set(&c, REG(ApicSpurious), 0x1ff);
    client_set(&c, WHvRegisterScontrol, 1);
    client_set(&c, WHvRegisterSiefp, 0xb000 | 1);
    client_set(&c, WHvRegisterSint4, 0x54);
    ck_ok(WHvSignalVirtualProcessorSynicEvent(c.p, e, &is_new));
    ck_assert_int_eq(is_new, TRUE);
    ck_ok(WHvSignalVirtualProcessorSynicEvent(c.p, e, &is_new));
    ck_assert_int_eq(is_new, FALSE); /* the guest hasn't looked yet */
    ck_assert_uint_eq(client_port(&c), 0x54);
    client_stop(&c);
}
END_TEST

/* Into another partition, as it moves a guest: pages, timers, registers. */
START_TEST(openvmm_saves_and_restores_what_hyperv_keeps)
{
    static const WHV_REGISTER_NAME names[] = { WHvRegisterScontrol, WHvRegisterSimp, WHvRegisterSiefp,
                                               WHvRegisterSint2 };
    static const u64 message[2] = { 0x80000000 };
    static u8 page[4096], again[4096];
    WHV_REGISTER_VALUE v[4], back[4];
    struct client c, to;
    u32 written = 0;

    open_hyperv(&c);
    CLIENT_START(&c, 0xf4);
    client_set(&c, WHvRegisterScontrol, 1);
    client_set(&c, WHvRegisterSimp, 0xa000 | 1);
    client_set(&c, WHvRegisterSint2, 1 << 16 | 0x52);
    ck_ok(WHvPostVirtualProcessorSynicMessage(c.p, 0, 2, message, sizeof message));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, 4, v));
    open_hyperv(&to);
    CLIENT_START(&to, 0xf4);
    ck_ok(WHvSetVirtualProcessorRegisters(to.p, 0, names, 4, v));
    ck_ok(WHvGetVirtualProcessorRegisters(to.p, 0, names, 4, back));
    ck_assert(!memcmp(v, back, sizeof v));
    for (u32 type = WHvVirtualProcessorStateTypeSynicMessagePage; type <= WHvVirtualProcessorStateTypeSynicTimerState;
         type++) {
        ck_ok(WHvGetVirtualProcessorState(c.p, 0, (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)type, page, sizeof page, &written));
        ck_ok(WHvSetVirtualProcessorState(to.p, 0, (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)type, page, written));
        ck_ok(WHvGetVirtualProcessorState(to.p, 0, (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)type, again, sizeof again, NULL));
        ck_assert(!memcmp(page, again, written));
    }
    /* the message is there */
    ck_hr(WHvPostVirtualProcessorSynicMessage(to.p, 0, 2, message, sizeof message), (HRESULT)0xC0350019u);
    client_stop(&c);
    client_stop(&to);
}
END_TEST

TCase *client_openvmm_device_case(void)
{
    TCase *t = tcase_create("client-openvmm-devices");

    tcase_add_test(t, openvmm_has_stores_to_a_doorbell_signal_an_event);
    tcase_add_test(t, openvmm_makes_and_deletes_notification_ports);
    tcase_add_test(t, openvmm_answers_hypercalls_itself);
    tcase_add_test(t, openvmm_posts_a_message_when_the_slot_is_free);
    tcase_add_test(t, openvmm_signals_events_of_its_devices);
    tcase_add_test(t, openvmm_saves_and_restores_what_hyperv_keeps);
    return t;
}
