/* SPDX-License-Identifier: MIT */
/* HLT sleeps inside Run: what ends it, what doesn't, and the leaps of virtual time. */
#include "tests/whp/apic.h"

#include <pthread.h>
#include <unistd.h>

#include "state/host.h"

enum { VECTOR = 0x40, DIVIDE_1 = 11, HALTED = 2 };

static struct board b;

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
}

static void teardown(void)
{
    board_close(&b);
}

/* sti or cli; hlt; out 3 */
static void put_halt(bool enabled)
{
    struct code c = { .size = 0 };

    CODE(&c, enabled ? 0xfb : 0xfa, 0xf4, 0xe6, 3);
    board_put(&b, 0, &c);
}

static void *wake_soon(void *context)
{
    u32 type = *(u32 *)context;

    usleep(5000);
    if (type == 100)
        ck_ok(WHvCancelRunVirtualProcessor(b.partition, 0, 0));
    else
        ck_ok(board_request(&b, type, 0, VECTOR, 0));
    return NULL;
}

static u32 run_and_wake(u32 type)
{
    pthread_t thread;
    u32 port;

    ck_assert_int_eq(pthread_create(&thread, NULL, wake_soon, &type), 0);
    port = board_run(&b, 0);
    pthread_join(thread, NULL);
    return port;
}

START_TEST(an_interrupt_wakes_and_returns_behind_the_hlt)
{
    u64 count = board_count(&b, 0) + 1;

    put_halt(true);
    ck_assert_uint_eq(run_and_wake(WHvX64InterruptTypeFixed), VECTOR);
    ck_assert_uint_eq(board_count(&b, 0), count + 3); /* STI, HLT, the delivery; sleep takes no count */
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), 0);
    board_pass(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 3);
}
END_TEST

START_TEST(an_nmi_wakes_even_without_if)
{
    put_halt(false);
    ck_assert_uint_eq(run_and_wake(WHvX64InterruptTypeNmi), 2);
}
END_TEST

START_TEST(an_init_wakes)
{
    put_halt(false);
    ck_assert_uint_eq(run_and_wake(WHvX64InterruptTypeInit), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0xfffffff0);
}
END_TEST

START_TEST(a_cancel_leaves_it_halted)
{
    put_halt(true);
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_CODE + 2);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALTED);
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled)); /* sleeps on */
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, VECTOR, 0));
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), 0); /* as the next Run will find it */
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
}
END_TEST

START_TEST(without_if_an_interrupt_does_not_wake)
{
    put_halt(false);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, VECTOR, 0));
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALTED);
    board_set(&b, 0, WHvRegisterInternalActivityState, 0); /* the caller's way out */
    ck_assert_uint_eq(board_run(&b, 0), 3);
}
END_TEST

START_TEST(nor_does_one_below_the_task_priority)
{
    board_write(&b, 0, APIC_TPR, 0x40);
    put_halt(true);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, VECTOR, 0));
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    board_set(&b, 0, WHvX64RegisterCr8, 3);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
}
END_TEST

/* Reference 5.5: the caller writes HaltSuspend too. */
START_TEST(pending_events_of_the_caller_wait_behind_the_hlt)
{
    put_halt(true);
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    board_set(&b, 0, WHvRegisterPendingInterruption, 1 | 0x50 << 16);
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterPendingInterruption), 1 | 0x50 << 16);
    board_set(&b, 0, WHvRegisterInternalActivityState, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x50);
    board_set(&b, 0, WHvRegisterPendingInterruption, 1 | 0x50 << 16);
    board_pass(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x50);
}
END_TEST

START_TEST(an_injection_comes_first_when_something_else_wakes)
{
    put_halt(true);
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    board_set(&b, 0, WHvRegisterPendingInterruption, 1 | 0x50 << 16);
    ck_assert_uint_eq(run_and_wake(WHvX64InterruptTypeFixed), 0x50);
    board_pass(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
}
END_TEST

START_TEST(virtual_time_leaps_to_the_deadline)
{
    struct code c = { .size = 0 };
    u64 armed, count;

    board_eoi(&b);
    code_write(&c, APIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    code_write(&c, APIC_INITIAL_COUNT, 200000000); /* a second */
    CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd); /* sti; hlt; jmp hlt */
    board_put(&b, 0, &c);
    armed = board_clock(&b) + 1 + 2;
    count = board_count(&b, 0) + 1;
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b), armed + 1000000000 + 1);
    ck_assert_uint_eq(board_count(&b, 0), count + 3 + 2 + 1);
    for (u64 i = 2; i < 100; i++) {
        board_pass(&b, 0);
        ck_assert_uint_eq(board_run(&b, 0), VECTOR);
        ck_assert_uint_eq(board_clock(&b), armed + i * 1000000000 + 1);
    }
}
END_TEST

START_TEST(a_timer_that_cannot_wake_moves_no_time)
{
    u64 clock;

    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
    board_write(&b, 0, APIC_INITIAL_COUNT, 100);
    put_halt(false);
    clock = board_clock(&b) + 3; /* the completed OUT, CLI, HLT */
    ck_assert_uint_eq(run_and_wake(100), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(board_clock(&b), clock);
}
END_TEST

START_TEST(a_counted_run_that_has_its_count_leaves_a_halted_processor)
{
    put_halt(true);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 3, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALTED);
}
END_TEST

/* So a caller with devices on the same clock gets its turn when they are due. */
START_TEST(a_counted_run_bounds_the_leap)
{
    struct code c = { .size = 0 };
    u64 clock, count;

    put_halt(true);
    count = board_count(&b, 0) + 3;
    clock = board_clock(&b) + 3;
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, count + 1000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_count(&b, 0), count);
    ck_assert_uint_eq(board_clock(&b), clock + 1000);
    board_set(&b, 0, WHvRegisterInternalActivityState, 0);
    ck_assert_uint_eq(board_run(&b, 0), 3);

    code_write(&c, APIC_LVT_TIMER, VECTOR);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    code_write(&c, APIC_INITIAL_COUNT, 1000);
    CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd);
    board_put(&b, 0, &c);
    count = board_count(&b, 0);
    clock = board_clock(&b) + 1 + 2 + 5000; /* of the deadline */
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, count + 4000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_clock(&b), clock - 3 - 1000);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 1500, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq(b.exit[0].IoPortAccess.PortNumber, VECTOR);
    ck_assert_uint_eq(board_clock(&b), clock + 1);
}
END_TEST

/* ... also behind others that are over by then: a periodic interrupt, whose handler leaves for nothing. */
START_TEST(a_counted_run_bounds_all_of_its_leaps)
{
    static const u8 eoi[] = { 0xc7, 0x05, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xcf }; /* mov dword [b0], 0; iret */
    struct code c = { .size = 0 };
    u64 clock;

    memcpy(b.memory + BOARD_STUBS + VECTOR * 16, eoi, sizeof eoi);
    code_write(&c, APIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    code_write(&c, APIC_INITIAL_COUNT, 1000);
    CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd); /* sti; hlt; jmp hlt */
    board_put(&b, 0, &c);
    clock = board_clock(&b);
    for (u64 i = 1; i < 20; i++) {
        ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 33333, &b.exit[0], sizeof b.exit[0]));
        ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(board_clock(&b), clock + i * 33333);
    }
    ck_assert_uint_lt(board_count(&b, 0), 1000);
}
END_TEST

START_TEST(a_single_step_ends_a_hlt)
{
    struct code c = { .size = 0 };

    CODE(&c, 0x68, 2, 3, 0, 0, 0x9d, 0xf4); /* push 302; popf; hlt */
    ck_assert_uint_eq(board_do(&b, 0, &c), 1); /* #DB */
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterDr6) >> 14 & 1, 1);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_STUBS + 16);
}
END_TEST

/* ---- the host's clock ---- */

START_TEST(on_the_hosts_clock_the_timer_ends_the_sleep)
{
    struct code c = { .size = 0 };
    u64 before, count;

    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockHost, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    code_write(&c, APIC_LVT_TIMER, VECTOR);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    code_write(&c, APIC_INITIAL_COUNT, 4000000); /* 20 ms */
    CODE(&c, 0xfb, 0xf4);
    count = board_count(&b, 0) + 1;
    before = host_nanoseconds();
    ck_assert_uint_eq(board_do(&b, 0, &c), VECTOR);
    ck_assert_uint_ge(host_nanoseconds() - before, 20000000);
    ck_assert_uint_eq(board_count(&b, 0), count + 3 + 2 + 1);
}
END_TEST

static void *map_always(void *context)
{
    static u8 page[4096] __attribute__((aligned(4096)));

    for (u32 i = 0; i < 200; i++) {
        ck_ok(WHvMapGpaRange(b.partition, page, 0x10000000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
        ck_ok(WHvUnmapGpaRange(b.partition, 0x10000000, 4096));
    }
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, VECTOR, 0));
    (void)context;
    return NULL;
}

START_TEST(a_sleeper_holds_up_no_meeting)
{
    pthread_t thread;

    put_halt(true);
    ck_assert_int_eq(pthread_create(&thread, NULL, map_always, NULL), 0);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    pthread_join(thread, NULL);
}
END_TEST

/* A sleep through the expiration of a timer that wakes nobody, at once or in pieces. */
static void sleep_past_timer(bool in_pieces)
{
    u64 clock;

    board_write(&b, 0, APIC_DIVIDE, DIVIDE_1);
    board_write(&b, 0, APIC_LVT_TIMER, VECTOR);
    board_write(&b, 0, APIC_INITIAL_COUNT, 100); /* 500 counts */
    put_halt(false);
    clock = board_clock(&b);
    while (board_clock(&b) < clock + 4000)
        ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + (in_pieces ? 100 : 4000), &b.exit[0],
                                           sizeof b.exit[0]));
}

START_TEST(a_request_comes_after_a_timer_that_expired_in_the_sleep)
{
    sleep_past_timer(_i);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, VECTOR, LEVEL));
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 100, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicTmr2), 1); /* the last one's mode */
}
END_TEST

/* Masked or stopped: too late for what has expired. */
START_TEST(a_change_comes_after_a_timer_that_expired_in_the_sleep)
{
    static const struct {
        u32 name, value;
    } changes[] = { { WHvX64RegisterApicLvtTimer, 0x10000 | VECTOR }, { WHvX64RegisterApicInitCount, 0 } };

    sleep_past_timer(_i & 1);
    board_set(&b, 0, changes[_i / 2].name, changes[_i / 2].value);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1);
}
END_TEST

TCase *apic_sleep_case(void)
{
    TCase *t = tcase_create("apic-sleep");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, an_interrupt_wakes_and_returns_behind_the_hlt);
    tcase_add_loop_test(t, a_request_comes_after_a_timer_that_expired_in_the_sleep, 0, 2);
    tcase_add_loop_test(t, a_change_comes_after_a_timer_that_expired_in_the_sleep, 0, 4);
    tcase_add_test(t, an_nmi_wakes_even_without_if);
    tcase_add_test(t, an_init_wakes);
    tcase_add_test(t, a_cancel_leaves_it_halted);
    tcase_add_test(t, without_if_an_interrupt_does_not_wake);
    tcase_add_test(t, nor_does_one_below_the_task_priority);
    tcase_add_test(t, pending_events_of_the_caller_wait_behind_the_hlt);
    tcase_add_test(t, an_injection_comes_first_when_something_else_wakes);
    tcase_add_test(t, virtual_time_leaps_to_the_deadline);
    tcase_add_test(t, a_timer_that_cannot_wake_moves_no_time);
    tcase_add_test(t, a_counted_run_that_has_its_count_leaves_a_halted_processor);
    tcase_add_test(t, a_counted_run_bounds_the_leap);
    tcase_add_test(t, a_counted_run_bounds_all_of_its_leaps);
    tcase_add_test(t, a_single_step_ends_a_hlt);
    tcase_add_test(t, on_the_hosts_clock_the_timer_ends_the_sleep);
    tcase_add_test(t, a_sleeper_holds_up_no_meeting);
    return t;
}
