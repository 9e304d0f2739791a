/* SPDX-License-Identifier: MIT */
/* Saving, restoring and resetting the SynIC; the digest; what is counted; two processors in turns. */
#include "tests/whp/synic.h"

enum { SOURCE = 2, SLOT = MESSAGES_AT + SOURCE * 256, VECTOR = 0x40 + SOURCE, TIMERS_SIZE = 200 };
#define KIND(name) WHvVirtualProcessorStateType##name

static struct board b;

static void setup(void)
{
    synic_open(&b, 1, SwhpClockVirtual);
    synic_enable(&b, 0, SOURCE, 0);
}

static void teardown(void)
{
    board_close(&b);
}

static const u32 names[] = { WHvRegisterSint0 + SOURCE, WHvRegisterScontrol, WHvRegisterSiefp, WHvRegisterSimp,
                             WHvRegisterVpAssistPage };
enum { NAMES = sizeof names / sizeof names[0] };

static const struct {
    WHV_VIRTUAL_PROCESSOR_STATE_TYPE kind;
    u32 size;
} kinds[] = { { KIND(SynicMessagePage), 4096 }, { KIND(SynicEventFlagPage), 4096 }, { KIND(SynicTimerState), TIMERS_SIZE } };

/* Saved in the middle, restored in another partition, the same comes of it at the same time. */
START_TEST(save_and_restore)
{
    static u8 state[3][4096];
    struct board other;
    u64 value[NAMES], due, period, left;
    u32 written;

    board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 3, 13); /* periodic, direct */
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 2, STIMER_DIRECT | 0x66 << 4 | STIMER_PERIODIC | STIMER_ENABLED);
    due = board_clock(&b) / 100 + 400;
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, due); /* one-shot, by message */
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG, SOURCE << 16 | STIMER_ENABLED);
    synic_event(&b, 0, SOURCE, 100, NULL);
    ck_assert_uint_eq(synic_spin(&b, 0, 10), VECTOR);
    synic_poke(&b, SLOT + 256, 0x1234, 8);
    for (u32 i = 0; i < NAMES; i++)
        value[i] = board_get(&b, 0, names[i]);
    for (u32 i = 0; i < 3; i++) {
        ck_ok(WHvGetVirtualProcessorState(b.partition, 0, kinds[i].kind, state[i], kinds[i].size, &written));
        ck_assert_uint_eq(written, kinds[i].size);
    }
    memcpy(&left, state[2] + 40 + 24, 8); /* of the second timer */
    memcpy(&period, state[2] + 40 + 16, 8);
    ck_assert_uint_eq(period, 13);
    ck_assert_uint_gt(left, 0);
    ck_assert_uint_le(left, 13);

    synic_open(&other, 1, SwhpClockVirtual);
    ck_ok(SwhpAdvanceClock(other.partition, board_clock(&b) - board_clock(&other)));
    for (u32 i = 0; i < NAMES; i++)
        board_set(&other, 0, names[i], value[i]);
    for (u32 i = 0; i < 3; i++) {
        static u8 back[4096];

        ck_ok(WHvSetVirtualProcessorState(other.partition, 0, kinds[i].kind, state[i], kinds[i].size));
        ck_ok(WHvGetVirtualProcessorState(other.partition, 0, kinds[i].kind, back, sizeof back, NULL));
        ck_assert_mem_eq(back, state[i], kinds[i].size);
    }
    ck_assert_uint_eq(synic_peek(&other, SLOT + 256, 8), 0x1234);
    board_wrmsr(&b, 0, HV_EOI, 0);
    board_wrmsr(&other, 0, HV_EOI, 0);
    for (u32 i = 0; i < 8; i++) {
        ck_assert_uint_eq(synic_spin(&b, 0, 2000), synic_spin(&other, 0, 2000));
        ck_assert_uint_eq((board_clock(&b) + 99) / 100, (board_clock(&other) + 99) / 100);
        board_write(&b, 0, APIC_EOI, 0);
        board_write(&other, 0, APIC_EOI, 0);
    }
    board_close(&other);
}
END_TEST

START_TEST(states_are_checked)
{
    u8 state[4097] = { 0 };
    u32 written;

    for (u32 i = 0; i < 3; i++) {
        u32 size = kinds[i].size;

        ck_hr(WHvGetVirtualProcessorState(b.partition, 0, kinds[i].kind, state, size - 1, &written),
              WHV_E_INSUFFICIENT_BUFFER);
        ck_assert_uint_eq(written, size);
        ck_hr(WHvSetVirtualProcessorState(b.partition, 0, kinds[i].kind, state, size + 1), E_INVALIDARG);
        ck_hr(WHvSetVirtualProcessorState(b.partition, 0, kinds[i].kind, state, size - 1), E_INVALIDARG);
        ck_hr(WHvSetVirtualProcessorState(b.partition, 0, kinds[i].kind, NULL, size), E_POINTER);
        ck_hr(WHvSetVirtualProcessorState(b.partition, 1, kinds[i].kind, state, size), WHV_E_VP_DOES_NOT_EXIST);
    }
    state[8 + 7] = 0x80; /* a reserved bit of the first configuration */
    ck_hr(WHvSetVirtualProcessorState(b.partition, 0, KIND(SynicTimerState), state, TIMERS_SIZE), E_INVALIDARG);
}
END_TEST

/* An undelivered message is part of the state. */
START_TEST(a_queued_message_is_kept)
{
    u8 state[TIMERS_SIZE];
    u64 due = board_clock(&b) / 100 + 20, expired;

    synic_poke(&b, SLOT, 1, 4);
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, due);
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG, SOURCE << 16 | STIMER_ENABLED);
    synic_spin(&b, 0, 5000);
    ck_ok(WHvGetVirtualProcessorState(b.partition, 0, KIND(SynicTimerState), state, sizeof state, NULL));
    ck_assert_uint_eq(state[0], 1);
    memcpy(&expired, state + 32, 8);
    ck_assert_uint_eq(expired, due);
    ck_ok(WHvResetPartition(b.partition));
    board_ready(&b, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    synic_enable(&b, 0, SOURCE, 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0); /* a reset clears the page */
    ck_ok(WHvSetVirtualProcessorState(b.partition, 0, KIND(SynicTimerState), state, sizeof state));
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0x80000010);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 24, 8), due);
}
END_TEST

START_TEST(a_reset_forgets_all)
{
    SWHP_DIGEST fresh, after;
    struct board one;

    board_wrmsr(&b, 0, HV_GUEST_OS_ID, 1);
    board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 3);
    board_wrmsr(&b, 0, HV_REFERENCE_TSC, TSC_AT | 1);
    board_wrmsr(&b, 0, HV_VP_ASSIST_PAGE, ASSIST_AT | 1);
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, 1000);
    board_wrmsr(&b, 0, HV_STIMER0_CONFIG, STIMER_DIRECT | 0x66 << 4 | STIMER_PERIODIC | STIMER_ENABLED);
    synic_message(&b, 0, SOURCE, 5);
    ck_ok(WHvResetPartition(b.partition));
    for (u32 i = 0; i < NAMES; i++)
        ck_assert_uint_eq(board_get(&b, 0, names[i]), names[i] == WHvRegisterSint0 + SOURCE ? SINT_MASKED : 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterHypercall), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterGuestOsId), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterReferenceTsc), 0);
    ck_assert_uint_eq(synic_peek(&b, TSC_AT, 8), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0);
    board_ready(&b, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    ck_assert_uint_eq(synic_spin(&b, 0, 200000), 0);

    synic_open(&one, 1, SwhpClockVirtual); /* the digest tells the pages' contents */
    ck_ok(SwhpStateHash(one.partition, &fresh));
    board_set(&one, 0, WHvRegisterSimp, MESSAGES_AT | 1);
    board_set(&one, 0, WHvRegisterScontrol, 1);
    synic_message(&one, 0, SOURCE, 5);
    board_set(&one, 0, WHvRegisterSimp, 0);
    board_set(&one, 0, WHvRegisterScontrol, 0);
    ck_ok(SwhpStateHash(one.partition, &after));
    ck_assert_mem_ne(&fresh, &after, sizeof fresh);
    board_close(&one);
}
END_TEST

START_TEST(what_is_counted)
{
    WHV_PROCESSOR_SYNTHETIC_FEATURES_COUNTERS c;
    struct code code = { .size = 0 };

    synic_message(&b, 0, SOURCE, 5);
    synic_event(&b, 0, SOURCE, 5, NULL);
    synic_event(&b, 0, SOURCE, 5, NULL); /* no interrupt */
    board_set(&b, 0, WHvX64RegisterRflags, 2);
    board_wrmsr(&b, 0, HV_GUEST_OS_ID, 1);
    board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 1);
    /* In 32-bit code EDX:EAX is the control word: fast calls of 2, 8, b, 5d, ffff. */
    for (u32 i = 0; i < 5; i++) {
        static const u16 calls[] = { 2, 8, 0xb, 0x5d, 0xffff };

        CODE(&code, 0x31, 0xd2, 0xb8, (u8)calls[i], (u8)(calls[i] >> 8), 1, 0, 0x0f, 0x01, 0xd9);
    }
    ck_assert_uint_eq(board_do(&b, 0, &code), BOARD_DONE);
    ck_ok(WHvGetVirtualProcessorCounters(b.partition, 0, WHvProcessorCounterSetSyntheticFeatures, &c, sizeof c, NULL));
    ck_assert_uint_eq(c.SyntheticInterruptsCount, 2);
    ck_assert_uint_eq(c.LongSpinWaitHypercallsCount, 1);
    ck_assert_uint_eq(c.OtherHypercallsCount, 1);
    ck_assert_uint_eq(c.SyntheticInterruptHypercallsCount, 1);
    ck_assert_uint_eq(c.VirtualInterruptHypercallsCount, 1);
    ck_assert_uint_eq(c.VirtualMmuHypercallsCount, 1);
}
END_TEST

TCase *synic_state_case(void)
{
    TCase *t = tcase_create("synic-state");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, save_and_restore);
    tcase_add_test(t, states_are_checked);
    tcase_add_test(t, a_queued_message_is_kept);
    tcase_add_test(t, a_reset_forgets_all);
    tcase_add_test(t, what_is_counted);
    return t;
}
