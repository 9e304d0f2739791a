/* SPDX-License-Identifier: MIT */
/* Synthetic timers. At 1 GHz and one tick a count, a unit of 100 ns is 100 counts. */
#include "tests/whp/synic.h"

#include "state/host.h"

enum { SOURCE = 2, SLOT = MESSAGES_AT + SOURCE * 256, VECTOR = 0x40 + SOURCE, UNIT = 100 };
#define EXPIRED 0x80000010u

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

static u64 direct(u32 vector)
{
    return STIMER_DIRECT | (u64)vector << 4;
}

static u64 by_message(u32 source)
{
    return (u64)source << 16;
}

static void set(u32 timer, u64 config, u64 count)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 2 * timer + 1, count), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 2 * timer, config), BOARD_DONE);
}

static u64 config(u32 timer)
{
    return board_rdmsr(&b, 0, HV_STIMER0_CONFIG + 2 * timer);
}

static u64 now(void)
{
    return board_clock(&b) / UNIT;
}

START_TEST(a_direct_timer_expires_at_its_time)
{
    u64 due = now() + 50;

    set((u32)_i, direct(0x77) | STIMER_ENABLED, due);
    ck_assert_uint_eq(synic_spin(&b, 0, 100000), 0x77);
    ck_assert_uint_eq(board_clock(&b), due * UNIT + 1); /* the delivery */
    ck_assert_uint_eq(config((u32)_i), direct(0x77)); /* disabled itself */
    board_write(&b, 0, APIC_EOI, 0);
    ck_assert_uint_eq(synic_spin(&b, 0, 100000), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0);
}
END_TEST

START_TEST(a_message_tells_when)
{
    u64 due = now() + 50;

    set(3, by_message(SOURCE) | STIMER_ENABLED, due);
    ck_assert_uint_eq(synic_spin(&b, 0, 100000), VECTOR);
    ck_assert_uint_eq(board_clock(&b), due * UNIT + 1);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), EXPIRED);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 4, 1), 24);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 16, 4), 3);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 24, 8), due);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 32, 8), due);
}
END_TEST

START_TEST(one_that_is_past_expires_at_once)
{
    u64 before;

    ck_ok(SwhpAdvanceClock(b.partition, 100000));
    set(0, direct(0x77), 1);
    before = board_clock(&b);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG, direct(0x77) | STIMER_ENABLED), BOARD_DONE);
    ck_assert_uint_eq(synic_spin(&b, 0, 1000), 0x77);
    ck_assert_uint_le(board_clock(&b), before + 12);
}
END_TEST

START_TEST(a_period_never_drifts)
{
    u64 first;

    set(1, direct(0x66), 7);
    set(1, direct(0x66) | STIMER_PERIODIC | STIMER_ENABLED, 7);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x66);
    first = board_clock(&b);
    ck_assert_uint_eq(first % UNIT, 1);
    for (u64 i = 1; i < 40; i++) {
        board_pass(&b, 0);
        ck_assert_uint_eq(board_run(&b, 0), 0x66);
        ck_assert_uint_eq(board_clock(&b), first + i * 7 * UNIT);
    }
    ck_assert_uint_ne(config(1) & STIMER_ENABLED, 0);
    ck_ok(SwhpAdvanceClock(b.partition, 7 * UNIT * 100 + 350)); /* a hundred are missed: one comes, and the rest in step */
    board_loop(&b, 0);
    board_write(&b, 0, APIC_EOI, 0);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x66);
    board_pass(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x66);
    ck_assert_uint_eq((board_clock(&b) - first) % (7 * UNIT), 0);
}
END_TEST

/* A period whose end no reference time reaches: it isn't over at once. */
START_TEST(a_period_may_be_longer_than_time)
{
    ck_ok(SwhpAdvanceClock(b.partition, 100000));
    set(0, (_i & 1 ? by_message(SOURCE) : direct(0x77)) | STIMER_PERIODIC | STIMER_ENABLED,
        _i & 2 ? ~(u64)0 : ~(u64)0 - 500);
    ck_assert_uint_eq(synic_spin(&b, 0, 100000), 0);
    ck_assert_uint_ne(config(0) & STIMER_ENABLED, 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0);
}
END_TEST

/* It has expired in a leap of the clock, and nobody has looked: what the caller changes after that is too late for it. */
START_TEST(a_change_comes_after_what_has_expired)
{
    u64 zero = 0;
    u8 state[512] = { 0 };
    u32 size;

    ck_ok(WHvGetVirtualProcessorState(b.partition, 0, WHvVirtualProcessorStateTypeSynicTimerState, state, sizeof state, &size));
    set(0, direct(0x77) | STIMER_ENABLED, now() + 50);
    ck_ok(SwhpAdvanceClock(b.partition, 100 * UNIT));
    if (_i) {
        ck_ok(WHvSetVirtualProcessorState(b.partition, 0, WHvVirtualProcessorStateTypeSynicTimerState, state, size));
    } else {
        ck_ok(WHvSuspendPartitionTime(b.partition));
        ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeReferenceTime, &zero, sizeof zero));
        ck_ok(WHvResumePartitionTime(b.partition));
    }
    ck_assert_uint_eq(synic_spin(&b, 0, 20), 0x77);
}
END_TEST

START_TEST(how_it_is_enabled)
{
    set(0, direct(0x77) | STIMER_AUTO_ENABLE, 0);
    ck_assert_uint_eq(config(0), direct(0x77) | STIMER_AUTO_ENABLE);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, now() + 30), BOARD_DONE);
    ck_assert_uint_eq(config(0), direct(0x77) | STIMER_AUTO_ENABLE | STIMER_ENABLED);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, 0), BOARD_DONE); /* stops it */
    ck_assert_uint_eq(config(0), direct(0x77) | STIMER_AUTO_ENABLE);
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0);

    set(0, STIMER_ENABLED, now() + 30); /* no source 0 */
    ck_assert_uint_eq(config(0), 0);
    set(0, direct(15) | STIMER_ENABLED, now() + 30); /* no such vector */
    ck_assert_uint_eq(config(0), direct(15));
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0);

    set(0, direct(0x77) | STIMER_ENABLED, now() + 30);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG, direct(0x77)), BOARD_DONE); /* disabled in time */
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0);

    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, 0), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG, direct(0x77) | STIMER_ENABLED), BOARD_DONE);
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0); /* enabled, with nothing to count */
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_STIMER0_CONFIG + 1, now() + 30), BOARD_DONE);
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0x77);
}
END_TEST

/* The slot is full: the message waits for EOM, or for an EOI. */
START_TEST(a_message_waits_for_its_slot)
{
    u64 due = now() + 60;

    synic_poke(&b, SLOT, 1, 4);
    set(0, by_message(SOURCE) | STIMER_ENABLED, due);
    set(1, by_message(SOURCE) | STIMER_ENABLED, due + 10);
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 1);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 1);
    ck_assert_uint_eq(config(0), by_message(SOURCE)); /* expired */
    synic_poke(&b, SLOT, 0, 4);
    ck_assert_uint_eq(synic_spin(&b, 0, 1000), 0);
    board_set(&b, 0, WHvX64RegisterRflags, 2);
    if (_i)
        ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), BOARD_DONE);
    else
        ck_assert_uint_eq(board_wrmsr(&b, 0, HV_EOM, 0), BOARD_DONE);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), EXPIRED);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 1); /* the other one */
    ck_assert_uint_eq(synic_peek(&b, SLOT + 16, 4), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 24, 8), due);
    ck_assert_uint_ge(synic_peek(&b, SLOT + 32, 8), due + 50);
    ck_assert_uint_eq(synic_spin(&b, 0, 100), VECTOR);
    synic_poke(&b, SLOT, 0, 4);
    board_set(&b, 0, WHvX64RegisterRflags, 2);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_EOM, 0), BOARD_DONE);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 16, 4), 1);
    ck_assert_uint_eq(synic_peek(&b, SLOT + 5, 1), 0);
}
END_TEST

START_TEST(a_disabled_synic_keeps_the_message)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SCONTROL, 0), BOARD_DONE);
    set(0, by_message(SOURCE) | STIMER_ENABLED, now() + 20);
    ck_assert_uint_eq(synic_spin(&b, 0, 10000), 0);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), 0);
    board_set(&b, 0, WHvX64RegisterRflags, 2);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SCONTROL, 1), BOARD_DONE);
    ck_assert_uint_eq(synic_peek(&b, SLOT, 4), EXPIRED);
}
END_TEST

/* HLT and GUEST_IDLE: the clock leaps to the timer; the idle state asks no IF. */
START_TEST(sleep_ends_at_the_timer)
{
    u64 due = now() + 1000000;
    struct code c = { .size = 0 };
    bool is_idle = _i & 1, has_if = _i < 2 || is_idle;

    set(0, (_i & 1 ? direct(0x77) : by_message(SOURCE)) | STIMER_ENABLED, due);
    if (has_if && !is_idle)
        CODE(&c, 0xfb);
    if (is_idle)
        CODE(&c, 0xb9, 0xf0, 0, 0, 0x40, 0x0f, 0x32, 0x85, 0xc0); /* mov ecx, 400000f0; rdmsr; test eax, eax */
    else
        CODE(&c, 0xf4);
    CODE(&c, 0xe6, 3);
    board_put(&b, 0, &c);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 200000000, &b.exit[0], sizeof b.exit[0]));
    if (!has_if) { /* nothing ends it */
        ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALT_SUSPEND);
        return;
    }
    ck_assert_uint_eq(b.exit[0].IoPortAccess.PortNumber, is_idle ? 3 : VECTOR);
    ck_assert_uint_ge(board_clock(&b), due * UNIT);
    ck_assert_uint_le(board_clock(&b), due * UNIT + 4);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), 0);
    if (is_idle) {
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 0);
        ck_assert_uint_ne(board_get(&b, 0, WHvX64RegisterApicIrr3), 0); /* it waits for IF */
    }
}
END_TEST

/* Any interrupt that arrives, also one below the priority of the handler that waits. */
START_TEST(the_idle_state_asks_no_priority)
{
    struct code c = { .size = 0 };

    board_set(&b, 0, WHvX64RegisterCr8, 15);
    CODE(&c, 0xb9, 0xf0, 0, 0, 0x40, 0x0f, 0x32, 0xe6, 3);
    board_put(&b, 0, &c);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 1000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), IDLE_SUSPEND);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, 0x31, 0));
    ck_assert_uint_eq(board_run(&b, 0), 3);
    board_set(&b, 0, WHvRegisterInternalActivityState, IDLE_SUSPEND);
    board_set(&b, 0, WHvRegisterInternalActivityState, 0);
}
END_TEST

START_TEST(on_the_hosts_clock)
{
    u64 before;

    board_close(&b);
    synic_open(&b, 1, SwhpClockHost);
    synic_enable(&b, 0, SOURCE, 0);
    before = host_nanoseconds();
    set(0, direct(0x77) | STIMER_PERIODIC | STIMER_ENABLED, 20000); /* 2 ms */
    if (_i) {
        struct code c = { .size = 0 };

        CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd); /* sti; hlt; jmp to the hlt */
        board_put(&b, 0, &c);
    } else {
        board_loop(&b, 0);
    }
    for (u32 i = 0; i < 5; i++) {
        if (i)
            board_pass(&b, 0);
        ck_assert_uint_eq(board_run(&b, 0), 0x77);
        ck_assert_uint_ge(host_nanoseconds() - before, (i + 1) * 2000000);
    }
}
END_TEST

TCase *synic_timer_case(void)
{
    TCase *t = tcase_create("synic-timers");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_direct_timer_expires_at_its_time, 0, 4);
    tcase_add_test(t, a_message_tells_when);
    tcase_add_test(t, one_that_is_past_expires_at_once);
    tcase_add_test(t, a_period_never_drifts);
    tcase_add_loop_test(t, a_period_may_be_longer_than_time, 0, 4);
    tcase_add_loop_test(t, a_change_comes_after_what_has_expired, 0, 2);
    tcase_add_test(t, how_it_is_enabled);
    tcase_add_loop_test(t, a_message_waits_for_its_slot, 0, 2);
    tcase_add_test(t, a_disabled_synic_keeps_the_message);
    tcase_add_loop_test(t, sleep_ends_at_the_timer, 0, 4);
    tcase_add_test(t, the_idle_state_asks_no_priority);
    tcase_add_loop_test(t, on_the_hosts_clock, 0, 2);
    return t;
}
