/* SPDX-License-Identifier: MIT */
/* Synthetic timers of processors that share a thread: their messages come at their time, whoever's turn it is. */
#include "tests/whp/run_partition.h"
#include "tests/whp/synic.h"

enum { SOURCE = 2, UNIT = 100, PAGES_APART = 0x8000, PROCESSORS = 3 };
#define EXPIRED 0x80000010u

static struct board b;

static void setup(void)
{
    board_seed = 5;
    synic_open(&b, PROCESSORS, SwhpClockVirtual);
    for (u32 vp = 0; vp < PROCESSORS; vp++)
        synic_enable(&b, vp, SOURCE, SINT_POLLING); /* messages without interrupts */
}

static void teardown(void)
{
    board_close(&b);
}

static u64 slot(u32 vp)
{
    return MESSAGES_AT + vp * PAGES_APART + SOURCE * 256;
}

/* How processors spend their time: all work; all but the first sleep and nothing can wake them. */
static void put_guests(bool all_work)
{
    for (u32 vp = 0; vp < PROCESSORS; vp++) {
        if (all_work || !vp)
            TEAM_PUT(&b, vp, 0xeb, 0xfe);
        else
            TEAM_PUT(&b, vp, 0xfa, 0xf4);
    }
}

START_TEST(a_message_comes_at_its_time_whoever_runs)
{
    u64 due[PROCESSORS], end;
    u32 whose;

    for (u32 round = 0; round < 40; round++) {
        for (u32 vp = 0; vp < PROCESSORS; vp++) {
            due[vp] = board_clock(&b) / UNIT + 40 + 31 * (u64)vp + 7 * round;
            board_set(&b, vp, WHvRegisterInternalActivityState, 0);
            ck_assert_uint_eq(board_wrmsr(&b, vp, HV_STIMER0_CONFIG + 1, due[vp]), BOARD_DONE);
            ck_assert_uint_eq(board_wrmsr(&b, vp, HV_STIMER0_CONFIG, (u64)SOURCE << 16 | STIMER_ENABLED), BOARD_DONE);
        }
        put_guests(_i == 0);
        end = board_clock(&b) + 60000;
        ck_assert_uint_eq(team_run(&b, end, &whose), COUNTED);
        for (u32 vp = 0; vp < PROCESSORS; vp++) {
            ck_assert_uint_eq(synic_peek(&b, slot(vp), 4), EXPIRED);
            ck_assert_uint_eq(synic_peek(&b, slot(vp) + 24, 8), due[vp]);
            ck_assert_uint_eq(synic_peek(&b, slot(vp) + 32, 8), due[vp]);
            synic_poke(&b, slot(vp), 0, 4);
        }
    }
}
END_TEST

/* A timer whose message wakes nobody is no reason to burn time in: virtual time stands still, and a cancel ends the run. */
START_TEST(all_asleep_for_good_wait)
{
    u64 clock;

    put_guests(false);
    TEAM_PUT(&b, 0, 0xfa, 0xf4);
    ck_assert_uint_eq(board_wrmsr(&b, 1, HV_STIMER0_CONFIG + 1, 5), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(&b, 1, HV_STIMER0_CONFIG, (u64)SOURCE << 16 | STIMER_PERIODIC | STIMER_ENABLED),
                      BOARD_DONE);
    TEAM_PUT(&b, 1, 0xfa, 0xf4);
    clock = board_clock(&b);
    ck_assert_uint_eq(team_run(&b, clock + 10 * UNIT, &(u32){ 0 }), COUNTED); /* a limit is one */
    ck_assert_uint_eq(synic_peek(&b, slot(1) + 24, 8), synic_peek(&b, slot(1) + 32, 8));
    clock = board_clock(&b);
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 2, 0));
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 2), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(board_clock(&b), clock);
}
END_TEST

TCase *synic_turn_case(void)
{
    TCase *t = tcase_create("synic-turns");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, a_message_comes_at_its_time_whoever_runs, 0, 2);
    tcase_add_test(t, all_asleep_for_good_wait);
    return t;
}
