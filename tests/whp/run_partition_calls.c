/* SPDX-License-Identifier: MIT */
/* SwhpRunPartition and the calls around it: arguments, invalid states, traces. */
#include "tests/whp/run_partition.h"

static struct board b;

static void setup(void)
{
    board_seed = 1;
    board_open(&b, WHvX64LocalApicEmulationModeNone, 2, SwhpClockVirtual, 0);
}

static void teardown(void)
{
    board_close(&b);
}

static void expect_text(const char *part)
{
    char text[256];

    ck_ok(SwhpGetLastErrorText(text, sizeof text, NULL));
    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" has no \"%s\"", text, part);
}

START_TEST(bad_arguments)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_PARTITION_HANDLE empty = partition_new(2);
    char unaligned[sizeof x + 1];
    u32 vp = 77;

    ck_hr(SwhpRunPartition(b.partition, 0, NULL, &x, sizeof x), E_POINTER);
    expect_text("VpIndex");
    ck_hr(SwhpRunPartition(b.partition, 0, &vp, NULL, sizeof x), E_POINTER);
    expect_text("ExitContext");
    ck_hr(SwhpRunPartition(b.partition, 0, &vp, &x, 143), WHV_E_INSUFFICIENT_BUFFER);
    expect_text("143");
    ck_hr(SwhpRunPartition(NULL, 0, &vp, &x, sizeof x), E_INVALIDARG);
    ck_hr(SwhpRunPartition((WHV_PARTITION_HANDLE)(uintptr_t)0x123450, 0, &vp, &x, sizeof x), E_INVALIDARG);
    ck_hr(SwhpRunPartition(empty, 0, &vp, &x, sizeof x), WHV_E_VP_DOES_NOT_EXIST);
    expect_text("no processor");
    ck_ok(WHvDeletePartition(empty));
    ck_hr(SwhpRunPartition(empty, 0, &vp, &x, sizeof x), E_INVALIDARG);
    ck_assert_uint_eq(vp, 77);

    memset(unaligned, 0x5a, sizeof unaligned);
    TEAM_PUT(&b, 0, 0xe6, 3);
    TEAM_PUT(&b, 1, 0xe6, 3);
    ck_ok(SwhpRunPartition(b.partition, NO_CLOCK, &vp, unaligned + 1, sizeof x));
    memcpy(&x, unaligned + 1, sizeof x);
    ck_assert_uint_eq(x.IoPortAccess.PortNumber, 3);
    ck_ok(SwhpRunPartition(b.partition, NO_CLOCK, &vp, &x, 144));
}
END_TEST

START_TEST(an_invalid_state_is_the_exit_of_its_processor)
{
    board_loop(&b, 0);
    board_loop(&b, 1);
    board_set(&b, 1, WHvX64RegisterCr0, 0x80000030); /* PG without PE */
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 1), REASON(WHvRunVpExitReasonInvalidVpRegisterValue));
}
END_TEST

static void note(void *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    u32 *seen = context, index;
    WHV_RUN_VP_EXIT_CONTEXT x;

    ck_assert_uint_eq(kind, SwhpTraceExit);
    ck_assert(strstr(line, "port") != NULL);
    ck_assert_uint_gt(count, 0);
    ck_hr(SwhpRunPartition(b.partition, 0, &index, &x, sizeof x), WHV_E_INVALID_VP_STATE);
    seen[vp]++;
}

START_TEST(a_trace_hears_of_exits)
{
    u32 seen[2] = { 0 }, vp;

    ck_ok(SwhpTraceStart(b.partition, SwhpTraceExit, note, seen));
    TEAM_PUT(&b, 0, 0x90, 0xe6, 3);
    TEAM_PUT(&b, 1, 0x90, 0xe6, 3);
    ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 3);
    ck_assert_uint_eq(seen[vp], 1);
    ck_assert_uint_eq(seen[1 - vp], 0);
}
END_TEST

TCase *turn_call_case(void)
{
    TCase *t = tcase_create("turn-calls");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, bad_arguments);
    tcase_add_test(t, an_invalid_state_is_the_exit_of_its_processor);
    tcase_add_test(t, a_trace_hears_of_exits);
    return t;
}
