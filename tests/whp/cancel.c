/* SPDX-License-Identifier: MIT */
/* Cancelling: latched, at once, and safe against deletion. Counting runs. */
#include "tests/whp/guest.h"

#include <pthread.h>
#include <unistd.h>

static const u8 forever[] = { 0xeb, 0xfe };

START_TEST(cancel_before_run_returns_at_once)
{
    struct guest g;
    u64 before, after;

    guest_open(&g, GUEST_LONG, "\x90\xf4", 2);
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &before));
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0)); /* collapses into the first */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq(g.exit.CancelReason.CancelReason, WHvRunVpCancelReasonUser);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &after));
    ck_assert_uint_eq(before, after);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    guest_close(&g);
}
END_TEST

START_TEST(cancel_comes_before_a_pending_event)
{
    struct guest g;

    guest_open(&g, GUEST_REAL, "\xf4", 1);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 0x20 << 16);
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq(guest_get(&g, WHvRegisterPendingInterruption), 1 | 0x20 << 16);
    guest_close(&g);
}
END_TEST

static void *cancel_soon(void *p)
{
    usleep(2000);
    ck_ok(WHvCancelRunVirtualProcessor(p, 0, 0));
    return NULL;
}

START_TEST(cancel_ends_an_endless_loop)
{
    struct guest g;
    pthread_t thread;

    guest_open(&g, (enum guest_mode)_i, forever, sizeof forever);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, g.partition), 0);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    pthread_join(thread, NULL);
    guest_close(&g);
}
END_TEST

struct race {
    WHV_PARTITION_HANDLE p;
    bool stop;
};

static void *cancel_always(void *context)
{
    struct race *r = context;

    while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
        WHV_PARTITION_HANDLE p = __atomic_load_n(&r->p, __ATOMIC_SEQ_CST);

        WHvCancelRunVirtualProcessor(p, 0, 0);
        WHvCancelRunVirtualProcessor(p, 1, 0);
    }
    return NULL;
}

START_TEST(cancel_may_race_with_deletion)
{
    struct race r = { NULL, false };
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_always, &r), 0);
    for (unsigned i = 0; i < 300; i++) {
        WHV_PARTITION_HANDLE p = partition_new(2);

        ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
        ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
        __atomic_store_n(&r.p, p, __ATOMIC_SEQ_CST);
        ck_ok(WHvDeleteVirtualProcessor(p, 1));
        ck_ok(WHvDeletePartition(p));
    }
    __atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(a_counted_run_stops_after_exactly_so_many)
{
    struct guest g;
    u64 count;

    guest_open(&g, GUEST_LONG, forever, sizeof forever);
    for (u64 until = 1; until < 200; until += 1 + until / 3) {
        ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, until, &g.exit, sizeof g.exit));
        ck_assert_uint_eq((u32)g.exit.ExitReason, (u32)SwhpRunVpExitReasonCount);
        ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
        ck_assert_uint_eq(count, until);
    }
    ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, 5, &g.exit, sizeof g.exit)); /* it is so already */
    ck_assert_uint_eq((u32)g.exit.ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
    ck_assert_uint_gt(count, 5);
    guest_close(&g);
}
END_TEST

START_TEST(an_old_programs_smaller_context_is_never_overrun)
{
    struct guest g;
    u8 bytes[240];

    guest_open(&g, GUEST_LONG, "\xe6\x42", 2);
    memset(bytes, 0xcc, sizeof bytes);
    ck_ok(WHvRunVirtualProcessor(g.partition, 0, bytes + 1, 144));
    ck_assert_uint_eq(bytes[1], WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(bytes[0], 0xcc);
    for (unsigned i = 145; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0xcc);
    guest_close(&g);
}
END_TEST

static void *run_first(void *context)
{
    struct guest *g = context;

    guest_run(g);
    return NULL;
}

START_TEST(the_virtual_clock_runs_one_processor_at_a_time)
{
    struct guest g;
    pthread_t thread;
    u64 count;
    WHV_RUN_VP_EXIT_CONTEXT x;
    HRESULT hr;

    guest_open(&g, GUEST_LONG, forever, sizeof forever);
    ck_ok(WHvDeletePartition(g.partition));
    g.partition = partition_new(2);
    ck_ok(WHvMapGpaRange(g.partition, g.memory, 0, GUEST_MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvCreateVirtualProcessor(g.partition, 0, 0));
    ck_ok(WHvCreateVirtualProcessor(g.partition, 1, 0));
    g.memory[0xffff0] = 0xeb;
    g.memory[0xffff1] = 0xfe;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_first, &g), 0);
    do
        ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
    while (!count);
    hr = WHvRunVirtualProcessor(g.partition, 1, &x, sizeof x);
    ck_hr(hr, WHV_E_INVALID_VP_STATE);
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    pthread_join(thread, NULL);
    ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 1, 10, &x, sizeof x));
    guest_close(&g);
}
END_TEST

/* ---- everything at once ---- */

struct crowd {
    WHV_PARTITION_HANDLE p;
    u8 *memory;
    bool stop;
    u32 index;
};

static bool is_over(struct crowd *c)
{
    return __atomic_load_n(&c->stop, __ATOMIC_RELAXED);
}

static void *run_always(void *context)
{
    struct crowd *c = context;
    u32 index = __atomic_fetch_add(&c->index, 1, __ATOMIC_RELAXED) & 1;
    WHV_RUN_VP_EXIT_CONTEXT x;

    while (!is_over(c)) {
        HRESULT hr = WHvRunVirtualProcessor(c->p, index, &x, sizeof x);

        ck_assert(hr == S_OK || hr == WHV_E_VP_DOES_NOT_EXIST || hr == WHV_E_INVALID_VP_STATE);
        if (hr == WHV_E_VP_DOES_NOT_EXIST && index == 1)
            WHvCreateVirtualProcessor(c->p, 1, 0);
        if (hr == S_OK)
            ck_assert((u32)x.ExitReason == WHvRunVpExitReasonCanceled ||
                      (u32)x.ExitReason == WHvRunVpExitReasonMemoryAccess);
    }
    return NULL;
}

static void *disturb_always(void *context)
{
    struct crowd *c = context;
    WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;
    u64 clock;

    for (u32 i = 0; !is_over(c); i++) {
        WHvCancelRunVirtualProcessor(c->p, i & 1, 0);
        WHvGetVirtualProcessorRegisters(c->p, i & 1, &name, 1, &v);
        WHvSetVirtualProcessorRegisters(c->p, i & 1, &name, 1, &v);
        ck_ok(SwhpGetClock(c->p, &clock));
        if (i % 4 == 0)
            WHvDeleteVirtualProcessor(c->p, 1);
        WHvSuspendPartitionTime(c->p);
    }
    return NULL;
}

static void *remap_always(void *context)
{
    struct crowd *c = context;

    while (!is_over(c)) {
        ck_ok(WHvUnmapGpaRange(c->p, 0xff000, 4096));
        ck_ok(WHvMapGpaRange(c->p, c->memory, 0xff000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    }
    return NULL;
}

START_TEST(calls_from_all_sides_are_a_result_or_an_error)
{
    static u8 page[4096] __attribute__((aligned(4096)));
    struct crowd c = { .memory = page };
    void *(*const roles[])(void *) = { run_always, run_always, disturb_always, remap_always };
    pthread_t threads[4];
    u32 two = 2;

    page[0xff0] = 0xeb; /* where a fresh processor starts */
    page[0xff1] = 0xfe;
    ck_ok(WHvCreatePartition(&c.p));
    ck_ok(WHvSetPartitionProperty(c.p, WHvPartitionPropertyCodeProcessorCount, &two, sizeof two));
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvMapGpaRange(c.p, page, 0xff000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvCreateVirtualProcessor(c.p, 0, 0));
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, roles[i], &c), 0);
    usleep(300000);
    __atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++) {
        WHvCancelRunVirtualProcessor(c.p, 0, 0);
        WHvCancelRunVirtualProcessor(c.p, 1, 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        WHvCancelRunVirtualProcessor(c.p, i, 0);
        pthread_join(threads[i], NULL);
    }
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    ck_ok(WHvDeletePartition(c.p));
}
END_TEST

TCase *cancel_case(void)
{
    TCase *t = tcase_create("cancel");

    tcase_add_test(t, cancel_before_run_returns_at_once);
    tcase_add_test(t, cancel_comes_before_a_pending_event);
    tcase_add_loop_test(t, cancel_ends_an_endless_loop, 0, GUEST_MODES);
    tcase_add_test(t, cancel_may_race_with_deletion);
    tcase_add_test(t, a_counted_run_stops_after_exactly_so_many);
    tcase_add_test(t, an_old_programs_smaller_context_is_never_overrun);
    tcase_add_test(t, calls_from_all_sides_are_a_result_or_an_error);
    tcase_add_test(t, the_virtual_clock_runs_one_processor_at_a_time);
    return t;
}
