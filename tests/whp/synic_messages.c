/* SPDX-License-Identifier: MIT */
/* Messages and event flags from outside: slots, interrupts, masks, polling, EOM, the exit when a slot is free. */
#include "tests/whp/synic.h"

#define OFF ((HRESULT)0xC0350018u)
#define BUSY ((HRESULT)0xC0350019u)

enum { SLOT = MESSAGES_AT + 2 * 256, FLAGS = EVENTS_AT + 2 * 256, VECTOR = 0x42 };

static struct board b;

static void setup(void)
{
    synic_open(&b, 1, SwhpClockVirtual);
    synic_enable(&b, 0, 2, 0);
}

static void teardown(void)
{
    board_close(&b);
}

START_TEST(a_message_comes_whole_with_its_interrupt)
{
    ck_ok(synic_message(&b, 0, 2, 77));
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 77);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 4, 1), 240);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 0); /* nothing waits */
    for (u32 i = 16; i < 256; i += 8) {
        u64 wanted = 0;

        for (u32 n = 0; n < 8; n++)
            wanted |= (u64)(u8)(77 + i + n) << (8 * n);
        ck_assert_uint_eq(synic_peek(&b, SLOT + i, 8), wanted);
    }
    ck_assert_uint_eq(synic_peek(&b, SLOT + 256, 8), 0);
    ck_assert_uint_eq(synic_spin(&b, 0, 100), VECTOR);
    ck_assert_uint_eq(b.memory[SLOT], 0); /* over the caller's memory, not in it */
}
END_TEST

START_TEST(a_full_slot_says_that_another_waits)
{
    ck_ok(synic_message(&b, 0, 2, 1));
    ck_hr(synic_message(&b, 0, 2, 2), BUSY);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 1);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 1);
    synic_poke(&b, SLOT, 0, 4);
    ck_ok(synic_message(&b, 0, 2, 2));
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 2);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 0);
}
END_TEST

/* DeliverabilityNotifications: one exit, for the sources that are free. */
START_TEST(the_caller_hears_of_a_free_slot)
{
    struct code c = { .size = 0 };
    u32 slot = SLOT;

    ck_ok(synic_message(&b, 0, 2, 1));
    board_set(&b, 0, WHvX64RegisterDeliverabilityNotifications, 1ull << (48 + 2));
    ck_assert_uint_eq(synic_spin(&b, 0, 50), VECTOR);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 1); /* so that the guest writes EOM */
    board_set(&b, 0, WHvX64RegisterRip, board_get(&b, 0, WHvX64RegisterRip) + 2);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 1000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount); /* it doesn't come by itself */
    CODE(&c, 0xc7, 0x05); /* mov dword [slot], 0 */
    code_bytes(&c, &slot, 4);
    CODE(&c, 0, 0, 0, 0);
    code_wrmsr(&c, HV_EOM, 0);
    CODE(&c, 0x90, 0xe6, BOARD_DONE);
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), REASON(WHvRunVpExitReasonSynicSintDeliverable));
    ck_assert_uint_eq(b.exit[0].SynicSintDeliverable.DeliverableSints, 1 << 2);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_CODE + c.size - 3); /* behind the WRMSR */
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterDeliverabilityNotifications), 0);
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);

    board_set(&b, 0, WHvX64RegisterDeliverabilityNotifications, 5ull << (48 + 2) | 1ull << 63);
    synic_poke(&b, SLOT + 512, 9, 4);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), REASON(WHvRunVpExitReasonSynicSintDeliverable)); /* at once */
    ck_assert_uint_eq(b.exit[0].SynicSintDeliverable.DeliverableSints, 1 << 2 | 1 << 15);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterDeliverabilityNotifications), 1ull << (48 + 4));
}
END_TEST

START_TEST(what_is_disabled_takes_nothing)
{
    static const u32 msrs[] = { HV_SCONTROL, HV_SIMP, HV_SIEFP };

    for (unsigned i = 0; i < 3; i++) {
        u64 was = board_rdmsr(&b, 0, msrs[i]);
        BOOL is_new = TRUE;

        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], was & ~1ull), BOARD_DONE);
        ck_hr(synic_message(&b, 0, 2, 5), i == 2 ? S_OK : OFF);
        ck_hr(synic_event(&b, 0, 2, 5, &is_new), i == 1 ? S_OK : OFF);
        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], was), BOARD_DONE);
    }
}
END_TEST

/* TLFS: a masked source's message is written and its interrupt lost; its event is refused. Polling: both, no interrupt. */
START_TEST(masked_and_polled)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SINT0 + 2, SINT_MASKED | VECTOR), BOARD_DONE);
    ck_ok(synic_message(&b, 0, 2, 5));
    ck_hr(synic_event(&b, 0, 2, 5, NULL), OFF);
    ck_assert_uint_eq(synic_spin(&b, 0, 100), 0);
    synic_poke(&b, SLOT, 0, 4);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SINT0 + 2, SINT_MASKED | SINT_POLLING | VECTOR), BOARD_DONE);
    ck_ok(synic_message(&b, 0, 2, 6));
    ck_ok(synic_event(&b, 0, 2, 5, NULL));
    ck_assert_uint_eq(synic_spin(&b, 0, 100), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 6);
    ck_assert_uint_eq(synic_peek(&b, FLAGS, 1), 1 << 5);
}
END_TEST

START_TEST(events_interrupt_once)
{
    static const u32 flags[] = { 0, 7, 8, 63, 64, 1000, 2047 };
    BOOL is_new;

    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        u64 at = FLAGS + flags[i] / 8;

        ck_ok(synic_event(&b, 0, 2, flags[i], &is_new));
        ck_assert_int_eq(is_new, TRUE);
        ck_assert_uint_eq(synic_peek(&b, at, 1) >> flags[i] % 8 & 1, 1);
        ck_assert_uint_eq(synic_spin(&b, 0, 100), VECTOR);
        board_write(&b, 0, APIC_EOI, 0);
        ck_ok(synic_event(&b, 0, 2, flags[i], &is_new));
        ck_assert_int_eq(is_new, FALSE);
        ck_assert_uint_eq(synic_spin(&b, 0, 100), 0);
    }
    ck_assert_uint_eq(synic_peek(&b, FLAGS, 8), 0x8000000000000181);
}
END_TEST

/* Auto-EOI: the ISR stays clear, so the next comes without an EOI. */
START_TEST(a_source_that_ends_by_itself)
{
    for (unsigned i = 0; i < 2; i++) {
        u64 vector = VECTOR | (i ? SINT_AUTO_EOI : 0);

        ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SINT0 + 2, vector), BOARD_DONE);
        ck_ok(synic_event(&b, 0, 2, i, NULL));
        ck_assert_uint_eq(synic_spin(&b, 0, 100), VECTOR);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr2), i ? 0 : 1 << 2);
        board_write(&b, 0, APIC_EOI, 0);
    }
}
END_TEST

START_TEST(a_message_ends_a_halt)
{
    struct code c = { .size = 0 };

    CODE(&c, 0xfb, 0xf4);
    board_put(&b, 0, &c);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 10, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALT_SUSPEND);
    ck_ok(synic_message(&b, 0, 2, 1));
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
}
END_TEST

START_TEST(misuse)
{
    u8 message[260] = { 1 };
    WHV_SYNIC_EVENT_PARAMETERS e = { .TargetSint = 2 };
    BOOL is_new;

#define POST(vp, source, m, size) WHvPostVirtualProcessorSynicMessage(b.partition, vp, source, m, size)
    ck_hr(POST(0, 16, message, 256), E_INVALIDARG);
    ck_hr(POST(0, 2, message, 257), E_INVALIDARG);
    ck_hr(POST(0, 2, message, 15), E_INVALIDARG);
    ck_hr(POST(0, 2, NULL, 256), E_POINTER);
    ck_hr(POST(1, 2, message, 256), WHV_E_VP_DOES_NOT_EXIST);
    message[0] = 0;
    ck_hr(POST(0, 2, message, 256), (HRESULT)0xC0350005u);
    message[0] = 1;
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0);
    ck_ok(POST(0, 2, message, 16));
    e.TargetVtl = 1;
    ck_hr(WHvSignalVirtualProcessorSynicEvent(b.partition, e, &is_new), E_INVALIDARG);
    e.TargetVtl = 0;
    e.TargetSint = 16;
    ck_hr(WHvSignalVirtualProcessorSynicEvent(b.partition, e, &is_new), E_INVALIDARG);
    e.TargetSint = 2;
    e.FlagNumber = 2048;
    ck_hr(WHvSignalVirtualProcessorSynicEvent(b.partition, e, &is_new), E_INVALIDARG);
    e.FlagNumber = 0;
    e.VpIndex = 1;
    ck_hr(WHvSignalVirtualProcessorSynicEvent(b.partition, e, &is_new), WHV_E_VP_DOES_NOT_EXIST);
    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0); /* without a SynIC */
    ck_hr(synic_message(&b, 0, 2, 1), OFF);
    ck_hr(synic_event(&b, 0, 2, 1, &is_new), OFF);
}
END_TEST

TCase *synic_message_case(void)
{
    TCase *t = tcase_create("synic-messages");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_message_comes_whole_with_its_interrupt);
    tcase_add_test(t, a_full_slot_says_that_another_waits);
    tcase_add_test(t, the_caller_hears_of_a_free_slot);
    tcase_add_test(t, what_is_disabled_takes_nothing);
    tcase_add_test(t, masked_and_polled);
    tcase_add_test(t, events_interrupt_once);
    tcase_add_test(t, a_source_that_ends_by_itself);
    tcase_add_test(t, a_message_ends_a_halt);
    tcase_add_test(t, misuse);
    return t;
}
