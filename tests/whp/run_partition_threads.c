/* SPDX-License-Identifier: MIT */
/* SwhpRunPartition and other threads: cancels, interrupts, the map of memory, calls that are refused meanwhile. */
#include "tests/whp/run_partition.h"

#include <pthread.h>
#include <unistd.h>

static struct board b;

static void setup(void)
{
    board_seed = 1;
    team_open(&b, 3, SwhpClockVirtual);
    for (u32 i = 0; i < 3; i++)
        board_loop(&b, i);
}

static void teardown(void)
{
    board_close(&b);
}

/* While the partition runs: what the other thread does before it ends that by a cancel. */
static u32 run_beside(void *(*work)(void *), u32 *vp)
{
    pthread_t thread;
    u32 port;

    ck_assert_int_eq(pthread_create(&thread, NULL, work, NULL), 0);
    port = team_run(&b, NO_CLOCK, vp);
    pthread_join(thread, NULL);
    return port;
}

/* Until the partition runs: its processors are refused. */
static void wait_until_it_runs(void)
{
    WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v));
    while (WHvSetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v) == S_OK)
        usleep(100);
}

static u32 victim;

static void *cancel_one(void *context)
{
    (void)context;
    usleep(3000);
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, victim, 0));
    return NULL;
}

START_TEST(a_cancel_of_any_ends_it)
{
    u32 vp;

    for (u32 i = 0; i < 12; i++) {
        victim = i % 3;
        ck_assert_uint_eq(run_beside(cancel_one, &vp), REASON(WHvRunVpExitReasonCanceled));
        ck_assert_uint_eq(vp, victim);
    }
}
END_TEST

START_TEST(a_cancel_of_any_ends_a_nap)
{
    u32 vp;

    for (u32 i = 0; i < 3; i++)
        TEAM_PUT(&b, i, 0xfa, 0xf4);
    for (u32 i = 0; i < 12; i++) {
        victim = i % 3;
        ck_assert_uint_eq(run_beside(cancel_one, &vp), REASON(WHvRunVpExitReasonCanceled));
        ck_assert_uint_eq(vp, victim);
        ck_assert_uint_eq(board_get(&b, vp, WHvRegisterInternalActivityState), 2);
    }
}
END_TEST

START_TEST(cancels_are_latched_and_come_first)
{
    u64 clock = board_clock(&b);
    u32 vp;

    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 2, 0));
    ck_assert_uint_eq(team_run_of(&b, clock, 2), REASON(WHvRunVpExitReasonCanceled));
    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED);
}
END_TEST

/* A cancel in the middle doesn't change who is next. */
START_TEST(cancels_leave_the_run_as_it_is)
{
    SWHP_DIGEST whole, cut;

    for (u32 times = 0; times < 2; times++) {
        u64 end = board_clock(&b) + 3000000;
        u32 vp, port;

        do {
            pthread_t thread;

            victim = 1;
            if (times)
                ck_assert_int_eq(pthread_create(&thread, NULL, cancel_one, NULL), 0);
            port = team_run(&b, end, &vp);
            if (times)
                pthread_join(thread, NULL);
        } while (port != COUNTED);
        team_hash(&b, times ? &cut : &whole);
        if (!times) {
            board_close(&b);
            setup();
        }
    }
    ck_assert_mem_eq(&whole, &cut, sizeof whole);
}
END_TEST

static void *interrupt_one(void *context)
{
    (void)context;
    usleep(3000);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, victim, 0x41, 0));
    return NULL;
}

START_TEST(an_interrupt_ends_a_nap)
{
    u32 vp;

    for (u32 i = 0; i < 3; i++)
        TEAM_PUT(&b, i, 0xfb, 0xf4, 0xeb, 0xfd);
    for (u32 i = 0; i < 6; i++) {
        victim = i % 3;
        ck_assert_uint_eq(run_beside(interrupt_one, &vp), 0x41);
        ck_assert_uint_eq(vp, victim);
        TEAM_PUT(&b, vp, 0xfb, 0xf4, 0xeb, 0xfd);
        board_write(&b, vp, APIC_EOI, 0);
        TEAM_PUT(&b, vp, 0xfb, 0xf4, 0xeb, 0xfd);
    }
}
END_TEST

static u8 page[4096] __attribute__((aligned(4096)));

static void *map_always(void *context)
{
    (void)context;
    wait_until_it_runs();
    for (u32 i = 0; i < 300; i++) {
        ck_ok(WHvMapGpaRange(b.partition, page, 0x10000000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
        ck_ok(WHvUnmapGpaRange(b.partition, 0x10000000, 4096));
    }
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 1, 0));
    return NULL;
}

/* Two write to a page, whole and with locks across lines and pages; a third sleeps. */
START_TEST(memory_may_be_mapped_meanwhile)
{
    u32 vp;

    for (u32 i = 0; i < 2; i++)
        TEAM_PUT(&b, i, 0xf0, 0xff, 0x05, 0x3e, 0, 8, 0, 0x66, 0xf0, 0xff, 0x0d, 0xff, 0x0f, 8, 0, 0xf3, 0x90, 0xeb, 0xed);
    TEAM_PUT(&b, 2, 0xfb, 0xf4, 0xeb, 0xfd);
    ck_assert_uint_eq(run_beside(map_always, &vp), REASON(WHvRunVpExitReasonCanceled));
    for (u32 i = 0; i < 3; i++)
        TEAM_PUT(&b, i, 0xfa, 0xf4);
    ck_assert_uint_eq(run_beside(map_always, &vp), REASON(WHvRunVpExitReasonCanceled)); /* while all sleep */
}
END_TEST

static void *unmap_soon(void *context)
{
    (void)context;
    wait_until_it_runs();
    ck_ok(WHvUnmapGpaRange(b.partition, 0x80000, 4096));
    memset(b.memory + 0x80000, 0, 4096); /* nobody writes there any more */
    usleep(1000);
    for (u32 i = 0; i < 4096; i++)
        ck_assert_uint_eq(b.memory[0x80000 + i], 0);
    return NULL;
}

START_TEST(nobody_writes_to_what_was_unmapped)
{
    u32 vp;

    for (u32 i = 0; i < 3; i++)
        TEAM_PUT(&b, i, 0xff, 0x05, 0x40, 0, 8, 0, 0xeb, 0xf8);
    ck_assert_uint_eq(run_beside(unmap_soon, &vp), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0x80040);
}
END_TEST

static void expect_text(const char *part)
{
    char text[256];

    ck_ok(SwhpGetLastErrorText(text, sizeof text, NULL));
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" has no \"%s\"", text, part);
}

static void *try_calls(void *context)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;
    SWHP_DIGEST d;
    UINT64 count;
    u32 vp;

    (void)context;
    wait_until_it_runs();
    for (u32 i = 0; i < 3; i++) {
        ck_hr(WHvRunVirtualProcessor(b.partition, i, &x, sizeof x), WHV_E_INVALID_VP_STATE);
        expect_text("SwhpRunPartition");
        ck_hr(WHvSetVirtualProcessorRegisters(b.partition, i, &name, 1, &v), WHV_E_INVALID_VP_STATE);
        ck_hr(WHvDeleteVirtualProcessor(b.partition, i), WHV_E_INVALID_VP_STATE);
        ck_ok(SwhpGetInstructionCount(b.partition, i, &count));
    }
    ck_hr(SwhpRunPartition(b.partition, 0, &vp, &x, sizeof x), WHV_E_INVALID_VP_STATE);
    expect_text("SwhpRunPartition");
    ck_hr(SwhpStateHash(b.partition, &d), WHV_E_INVALID_VP_STATE);
    ck_hr(SwhpAdvanceClock(b.partition, 1), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvDeletePartition(b.partition), WHV_E_INVALID_VP_STATE);
    ck_ok(SwhpGetClock(b.partition, &count));
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 0, 0));
    return NULL;
}

START_TEST(calls_meet_running_processors)
{
    u32 vp;

    ck_assert_uint_eq(run_beside(try_calls, &vp), REASON(WHvRunVpExitReasonCanceled));
}
END_TEST

static void *run_one(void *context)
{
    WHV_RUN_VP_EXIT_CONTEXT x;

    (void)context;
    ck_ok(WHvRunVirtualProcessor(b.partition, 0, &x, sizeof x));
    ck_assert_uint_eq(x.ExitReason, WHvRunVpExitReasonCanceled);
    return NULL;
}

START_TEST(one_that_runs_by_itself_refuses_the_team)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    pthread_t thread;
    u32 vp;

    ck_assert_int_eq(pthread_create(&thread, NULL, run_one, NULL), 0);
    wait_until_it_runs();
    ck_hr(SwhpRunPartition(b.partition, 0, &vp, &x, sizeof x), WHV_E_INVALID_VP_STATE);
    expect_text("processor 0");
    ck_hr(WHvRunVirtualProcessor(b.partition, 1, &x, sizeof x), WHV_E_INVALID_VP_STATE);
    expect_text("use SwhpRunPartition");
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 0, 0));
    pthread_join(thread, NULL);
}
END_TEST

TCase *turn_thread_case(void)
{
    TCase *t = tcase_create("turns-threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_cancel_of_any_ends_it);
    tcase_add_test(t, a_cancel_of_any_ends_a_nap);
    tcase_add_test(t, cancels_are_latched_and_come_first);
    tcase_add_test(t, cancels_leave_the_run_as_it_is);
    tcase_add_test(t, an_interrupt_ends_a_nap);
    tcase_add_test(t, memory_may_be_mapped_meanwhile);
    tcase_add_test(t, nobody_writes_to_what_was_unmapped);
    tcase_add_test(t, calls_meet_running_processors);
    tcase_add_test(t, one_that_runs_by_itself_refuses_the_team);
    return t;
}
