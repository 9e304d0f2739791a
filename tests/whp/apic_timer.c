/* SPDX-License-Identifier: MIT */
/* The timer on the virtual clock, where each interrupt has its exact count, and on the host's. */
#include "tests/whp/apic.h"

#include "state/host.h"

enum { VECTOR = 0x40, DIVIDE_1 = 11 };

static struct board b;

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_eoi(&b);
}

static void teardown(void)
{
    board_close(&b);
}

/* Arms the timer in the guest and goes into a loop; *armed is the clock before the store that arms. */
static void arm(u32 lvt, u32 divide, u32 initial, u64 *armed)
{
    struct code c = { .size = 0 };

    code_write(&c, APIC_LVT_TIMER, lvt);
    code_write(&c, APIC_DIVIDE, divide);
    code_write(&c, APIC_INITIAL_COUNT, initial);
    CODE(&c, 0xfb, 0x90, 0xeb, 0xfe);
    board_put(&b, 0, &c);
    *armed = board_clock(&b) + 3; /* the OUT that the last exit left counts as completed */
}

static u32 next(void)
{
    board_pass(&b, 0);
    return board_run(&b, 0);
}

/* 200 MHz beside 1 GHz: five counts a tick. */
START_TEST(one_shot_fires_at_its_count_under_each_divider)
{
    static const u32 encoded[8] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
    u64 armed, length = (u64)1000 * 5 << _i;

    arm(VECTOR, encoded[_i], 1000, &armed);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b), armed + length + 1); /* the delivery */
    board_pass(&b, 0);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 2 * length, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount); /* once */
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicCurrentCount), 0);
}
END_TEST

START_TEST(periodic_never_drifts)
{
    u64 armed;

    arm(VECTOR | LVT_PERIODIC, DIVIDE_1, 77, &armed);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    for (u32 i = 1; i <= 50; i++) {
        ck_assert_uint_eq(board_clock(&b), armed + i * 77 * 5 + 1);
        ck_assert_uint_eq(next(), VECTOR);
    }
}
END_TEST

START_TEST(frequencies_that_are_no_multiples)
{
    u64 armed;

    board_close(&b);
    board_hz = 300000000;
    board_rate = 7;
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_eoi(&b);
    arm(VECTOR | LVT_PERIODIC, DIVIDE_1, 100, &armed);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    for (u64 i = 1; i <= 20; i++) { /* i * 100 counts of 10/3 ticks, seven ticks an instruction */
        u64 ticks = (i * 1000 + 2) / 3;

        ck_assert_uint_eq(board_clock(&b), armed + (ticks + 6) / 7 + 1);
        ck_assert_uint_eq(next(), VECTOR);
    }
}
END_TEST

START_TEST(the_current_count_falls)
{
    struct code c = { .size = 0 };
    u32 first;

    code_write(&c, APIC_LVT_TIMER, VECTOR | LVT_MASKED);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    code_write(&c, APIC_INITIAL_COUNT, 100);
    CODE(&c, 0xa1, 0x90, 3, 0xe0, 0xfe); /* mov eax, [390]: one count later, of five */
    CODE(&c, 0x90, 0x90, 0x90);
    CODE(&c, 0x8b, 0x1d, 0x90, 3, 0xe0, 0xfe); /* mov ebx, [390]: after five */
    CODE(&c, 0x8b, 0x0d, 0x90, 3, 0xe0, 0xfe);
    ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 100);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRbx), 99);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRcx), 99);
    first = board_read(&b, 0, APIC_CURRENT_COUNT);
    ck_ok(SwhpAdvanceClock(b.partition, 50));
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicCurrentCount), first - 10);
    ck_ok(SwhpAdvanceClock(b.partition, 1000));
    ck_assert_uint_eq(board_read(&b, 0, APIC_CURRENT_COUNT), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 0); /* it was masked */
    ck_assert_uint_eq(board_read(&b, 0, APIC_INITIAL_COUNT), 100);
}
END_TEST

START_TEST(zero_stops_it_and_unmasking_brings_nothing_back)
{
    u64 armed;

    arm(VECTOR, DIVIDE_1, 100, &armed);
    board_set(&b, 0, WHvX64RegisterRip, BOARD_CODE);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 50, &b.exit[0], sizeof b.exit[0]));
    board_write(&b, 0, APIC_INITIAL_COUNT, 0);
    board_loop(&b, 0);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 5000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);

    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_MASKED);
    board_write(&b, 0, APIC_INITIAL_COUNT, 10);
    ck_ok(SwhpAdvanceClock(b.partition, 1000));
    board_write(&b, 0, APIC_LVT_TIMER, VECTOR);
    board_loop(&b, 0);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 5000, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
}
END_TEST

START_TEST(a_counted_run_stops_before_and_behind_the_timer)
{
    u64 armed, start = board_count(&b, 0);

    arm(VECTOR, DIVIDE_1, 100, &armed);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, start + 1, &b.exit[0], sizeof b.exit[0]));
    for (u64 until = start + 3; until < armed + 500; until += 13) {
        ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, until, &b.exit[0], sizeof b.exit[0]));
        ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(board_count(&b, 0), until);
    }
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b), armed + 501);
}
END_TEST

START_TEST(a_repetition_is_interrupted_at_the_count)
{
    struct code c = { .size = 0 };
    u64 armed;

    code_write(&c, APIC_LVT_TIMER, VECTOR);
    code_write(&c, APIC_DIVIDE, DIVIDE_1);
    CODE(&c, 0xfb, 0xbf, 0, 0, 8, 0, 0xb9, 0, 0x10, 0, 0); /* sti; mov edi, 80000; mov ecx, 1000 */
    code_write(&c, APIC_INITIAL_COUNT, 100);
    CODE(&c, 0xf3, 0xaa); /* rep stosb */
    CODE(&c, 0xe6, 3);
    armed = board_clock(&b) + 6;
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b), armed + 501);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRcx), 0x1000 - 499); /* the store itself was one of the 500 */
    ck_assert_uint_eq(next(), 3);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRcx), 0);
}
END_TEST

/* ---- TSC-deadline ---- */

START_TEST(a_deadline_fires_when_the_tsc_reaches_it)
{
    struct code c = { .size = 0 };
    u64 tsc;

    board_set(&b, 0, WHvX64RegisterTsc, 1000000);
    tsc = 1000000 - board_clock(&b); /* the offset */
    code_write(&c, APIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
    code_wrmsr(&c, 0x6e0, 1001234);
    CODE(&c, 0xfb, 0x90, 0xeb, 0xfe);
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b) + tsc, 1001234 + 1);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x6e0), 0); /* spent */
}
END_TEST

START_TEST(a_deadline_that_is_past_fires_at_once_and_zero_disarms)
{
    struct code c = { .size = 0 };
    u64 before;

    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
    code_wrmsr(&c, 0x6e0, 1);
    CODE(&c, 0xfb, 0x90, 0xeb, 0xfe);
    before = board_count(&b, 0) + 1;
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_count(&b, 0), before + 4 + 1 + 1 + 1); /* WRMSR, STI, its shadow, the delivery */

    board_set(&b, 0, WHvX64RegisterRflags, 2);
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x6e0, board_get(&b, 0, WHvX64RegisterTsc) + 1000), BOARD_DONE);
    ck_assert_uint_ne(board_rdmsr(&b, 0, 0x6e0), 0);
    ck_assert_uint_ne(board_get(&b, 0, WHvX64RegisterTscDeadline), 0);
    board_wrmsr(&b, 0, 0x6e0, 0);
    ck_ok(SwhpAdvanceClock(b.partition, 10000));
    board_write(&b, 0, APIC_EOI, 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 0);
}
END_TEST

START_TEST(deadlines_belong_to_their_mode)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, 0x6e0, 1), BOARD_DONE); /* one-shot: ignored */
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x6e0), 0);
    board_write(&b, 0, APIC_INITIAL_COUNT, 1000);
    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_DEADLINE); /* stops the count */
    ck_assert_uint_eq(board_read(&b, 0, APIC_INITIAL_COUNT), 0);
    board_write(&b, 0, APIC_INITIAL_COUNT, 1000);
    ck_assert_uint_eq(board_read(&b, 0, APIC_INITIAL_COUNT), 0);
    board_wrmsr(&b, 0, 0x6e0, (u64)1 << 60);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x6e0), (u64)1 << 60);
    board_write(&b, 0, APIC_LVT_TIMER, VECTOR);
    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, 0x6e0), 0);
}
END_TEST

START_TEST(moving_the_tsc_moves_the_deadline)
{
    struct code c = { .size = 0 };
    u64 written;

    board_write(&b, 0, APIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
    board_wrmsr(&b, 0, 0x6e0, (u64)1 << 40);
    code_wrmsr(&c, 0x10, ((u64)1 << 40) - 100); /* read as that before its own count */
    CODE(&c, 0xfb, 0x90, 0xeb, 0xfe);
    written = board_clock(&b) + 1 + 3;
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), VECTOR);
    ck_assert_uint_eq(board_clock(&b), written + 100 + 1);
}
END_TEST

/* ---- the host's clock ---- */

/* What a digest tells of a timer doesn't depend on when somebody looked at it. */
START_TEST(a_digest_is_the_same_in_pieces)
{
    static const u32 lvts[] = { VECTOR | LVT_MASKED | LVT_PERIODIC, VECTOR | LVT_MASKED };
    SWHP_DIGEST digest[2];
    u64 armed;

    for (u32 is_cut = 0; is_cut < 2; is_cut++) {
        u64 end;

        if (is_cut) {
            board_close(&b);
            setup();
        }
        arm(lvts[_i], DIVIDE_1, 77, &armed);
        end = board_count(&b, 0) + 10007;
        for (u64 at = is_cut ? end - 10000 : end; at <= end; at += 1000) {
            ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, at, &b.exit[0], sizeof b.exit[0]));
            ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
        }
        ck_ok(SwhpStateHash(b.partition, &digest[is_cut]));
    }
    ck_assert_mem_eq(&digest[0], &digest[1], sizeof digest[0]);
}
END_TEST

START_TEST(on_the_hosts_clock_it_fires_in_time)
{
    u64 armed, before;

    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockHost, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_eoi(&b);
    before = host_nanoseconds();
    arm(VECTOR | LVT_PERIODIC, DIVIDE_1, 400000, &armed); /* 2 ms */
    for (u32 i = 0; i < 5; i++) {
        ck_assert_uint_eq(i ? next() : board_run(&b, 0), VECTOR);
        ck_assert_uint_ge(host_nanoseconds() - before, (i + 1) * 2000000);
    }
    ck_assert_uint_le(host_nanoseconds() - before, 2000000000);
}
END_TEST

TCase *apic_timer_case(void)
{
    TCase *t = tcase_create("apic-timer");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, one_shot_fires_at_its_count_under_each_divider, 0, 8);
    tcase_add_test(t, periodic_never_drifts);
    tcase_add_test(t, frequencies_that_are_no_multiples);
    tcase_add_test(t, the_current_count_falls);
    tcase_add_test(t, zero_stops_it_and_unmasking_brings_nothing_back);
    tcase_add_test(t, a_counted_run_stops_before_and_behind_the_timer);
    tcase_add_test(t, a_repetition_is_interrupted_at_the_count);
    tcase_add_test(t, a_deadline_fires_when_the_tsc_reaches_it);
    tcase_add_test(t, a_deadline_that_is_past_fires_at_once_and_zero_disarms);
    tcase_add_test(t, deadlines_belong_to_their_mode);
    tcase_add_test(t, moving_the_tsc_moves_the_deadline);
    tcase_add_loop_test(t, a_digest_is_the_same_in_pieces, 0, 2);
    tcase_add_test(t, on_the_hosts_clock_it_fires_in_time);
    return t;
}
