/* SPDX-License-Identifier: MIT */
/* What a processor counts, as a client that profiles its exits reads it: reference 7.5. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/whp/guest.h"

#define SET(name) WHvProcessorCounterSet##name

enum { HANDLER = 0x9000 }; /* of every vector in real mode: HLT */

static WHV_PROCESSOR_ACTIVITY_COUNTERS intercepts(struct guest *g)
{
    WHV_PROCESSOR_ACTIVITY_COUNTERS c;
    u32 written = 0;

    ck_ok(WHvGetVirtualProcessorCounters(g->partition, 0, SET(Intercepts), &c, sizeof c, &written));
    ck_assert_uint_eq(written, 224);
    return c;
}

static WHV_PROCESSOR_GUEST_EVENT_COUNTERS events(struct guest *g)
{
    WHV_PROCESSOR_GUEST_EVENT_COUNTERS c;
    u32 written = 0;

    ck_ok(WHvGetVirtualProcessorCounters(g->partition, 0, SET(Events), &c, sizeof c, &written));
    ck_assert_uint_eq(written, 24);
    return c;
}

static u64 runtime(struct guest *g)
{
    WHV_PROCESSOR_RUNTIME_COUNTERS c = { 77, 77 };
    u32 written = 0;

    ck_ok(WHvGetVirtualProcessorCounters(g->partition, 0, SET(Runtime), &c, sizeof c, &written));
    ck_assert_uint_eq(written, 16);
    ck_assert_uint_eq(c.HypervisorRuntime100ns, 0);
    return c.TotalRuntime100ns;
}

static void complete(struct guest *g)
{
    guest_set(g, WHvX64RegisterRip, g->exit.VpContext.Rip + g->exit.VpContext.InstructionLength);
}

START_TEST(each_exit_is_an_intercept_of_its_kind)
{
    static const u8 code[] = { 0xe6, 0x42, 0xe6, 0x42, 0x0f, 0xa2, 0x0f, 0x32, 0x0f, 0x31,
                               0x0f, 0x0b, 0xa2, 0x10, 0x60, 0xf4, 0x90 };
    WHV_PROCESSOR_ACTIVITY_COUNTERS wanted;
    struct guest g;

    memset(&wanted, 0, sizeof wanted);
    guest_open(&g, GUEST_REAL, code, sizeof code);
    guest_enable_exits(&g, 15, 1 << 6);
    guest_set(&g, WHvX64RegisterRcx, 0x12345678); /* no MSR */
    for (unsigned i = 0; i < 4; i++) { /* out, out, cpuid, rdmsr */
        guest_run(&g);
        complete(&g);
    }
    wanted.IoInstructions.Count = 2;
    wanted.CpuidInstructions.Count = wanted.MsrAccesses.Count = 1;

    WHV_PROCESSOR_ACTIVITY_COUNTERS got = intercepts(&g);

    ck_assert_mem_eq(&got, &wanted, sizeof got);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Rdtsc);
    complete(&g);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonException);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 12);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 15);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    guest_set(&g, WHvX64RegisterDeliverabilityNotifications, 1);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64InterruptWindow);
    wanted.OtherIntercepts.Count = 2; /* RDTSC, #UD */
    wanted.NestedPageFaultIntercepts.Count = 1;
    wanted.HaltInstructions.Count = 1;
    wanted.PendingInterrupts.Count = 1;
    got = intercepts(&g);
    ck_assert_mem_eq(&got, &wanted, sizeof got);

    /* What the guest has no part in is none: a cancel, a count, a state that can't run. */
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonCanceled);
    ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, 0, &g.exit, sizeof g.exit));
    got = intercepts(&g);
    ck_assert_mem_eq(&got, &wanted, sizeof got);
    guest_close(&g);
}
END_TEST

START_TEST(a_page_fault_that_exits_has_its_own_row)
{
    static const u8 code[] = { 0xa0, 0, 0, 0, 0, 1, 0, 0, 0 }; /* mov al, [100000000]: past the tables */
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_enable_exits(&g, 4, 1 << 14);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonException);
    ck_assert_uint_eq(intercepts(&g).PageFaultIntercepts.Count, 1);
    ck_assert_uint_eq(intercepts(&g).OtherIntercepts.Count, 0);
    ck_assert_uint_eq(events(&g).PageFaultCount, 0); /* the guest has not seen it */
    guest_close(&g);
}
END_TEST

/* Runs to the handler, whose HLT leaves, and goes back to `at`. */
static void take(struct guest *g, u64 at)
{
    ck_assert_uint_eq(guest_run(g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(g, WHvX64RegisterRip), HANDLER + 1);
    guest_set(g, WHvX64RegisterRip, at);
}

START_TEST(events_are_counted_as_the_guest_takes_them)
{
    static const u8 code[] = { 0x0f, 0x0b, 0xcc, 0xcd, 0x30, 0x90 }; /* ud2; int3; int 30h; nop */
    struct guest g;

    guest_open(&g, GUEST_REAL, code, sizeof code);
    for (u32 i = 0; i < 256; i++)
        memcpy(g.memory + i * 4, &(u32){ HANDLER }, 4);
    g.memory[HANDLER] = 0xf4;
    ck_assert_uint_eq(events(&g).ExceptionCount, 0);
    take(&g, GUEST_CODE + 2);
    ck_assert_uint_eq(events(&g).ExceptionCount, 1);
    take(&g, GUEST_CODE + 3);
    ck_assert_uint_eq(events(&g).ExceptionCount, 2);
    take(&g, GUEST_CODE + 5);
    ck_assert_uint_eq(events(&g).ExceptionCount, 2); /* INT n is neither */
    ck_assert_uint_eq(events(&g).InterruptCount, 0);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 0x21 << 16);
    take(&g, GUEST_CODE + 5);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 2 << 1 | 2 << 16); /* NMI */
    take(&g, GUEST_CODE + 5);
    ck_assert_uint_eq(events(&g).InterruptCount, 2);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 3 << 1 | 14 << 16); /* #PF */
    take(&g, GUEST_CODE + 5);
    ck_assert_uint_eq(events(&g).InterruptCount, 2);
    ck_assert_uint_eq(events(&g).ExceptionCount, 3);
    ck_assert_uint_eq(events(&g).PageFaultCount, 1);
    guest_close(&g);
}
END_TEST

static const u8 spin[] = { 0xff, 0xc0, 0xeb, 0xfc }; /* 1: inc eax; jmp 1b */

START_TEST(runtime_is_what_was_retired_on_the_virtual_clock)
{
    struct guest g;
    u64 frequency = 0;
    u32 rate = 0;

    guest_open(&g, GUEST_LONG, spin, sizeof spin);
    ck_ok(WHvGetPartitionProperty(g.partition, WHvPartitionPropertyCodeProcessorClockFrequency, &frequency, 8, NULL));
    ck_ok(WHvGetPartitionProperty(g.partition, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClockRate, &rate,
                                  4, NULL));
    ck_assert_uint_eq(runtime(&g), 0);
    ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, 1000000, &g.exit, sizeof g.exit));
    ck_assert_uint_eq(runtime(&g), (u64)1000000 * rate * 10000000 / frequency);
    ck_assert_uint_gt(runtime(&g), 0);

    u64 before = runtime(&g);

    ck_ok(SwhpAdvanceClock(g.partition, 1000000)); /* time that nobody runs in */
    ck_assert_uint_eq(runtime(&g), before);
    guest_close(&g);
}
END_TEST

START_TEST(runtime_is_time_inside_run_on_the_host_clock)
{
    u32 count = 1, clock = SwhpClockHost;
    WHV_PARTITION_HANDLE p;
    struct guest g;
    pthread_t thread;
    u64 ran = 0, was;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, spin, sizeof spin);
    ck_assert_uint_eq(runtime(&g), 0); /* and counts from now on */
    ck_ok(SwhpRunVirtualProcessorUntil(p, 0, 3000000, &g.exit, sizeof g.exit));
    ran = runtime(&g);
    ck_assert_uint_gt(ran, 0);
    sched_yield();
    ck_assert_uint_eq(runtime(&g), ran);

    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (runtime(&g) == ran)
        sched_yield();
    was = runtime(&g);
    while (runtime(&g) == was)
        sched_yield();
    ck_ok(WHvCancelRunVirtualProcessor(p, 0, 0));
    pthread_join(thread, NULL);
    ck_assert_uint_gt(runtime(&g), was);
    guest_close(&g);
}
END_TEST

START_TEST(buffers_and_sets_are_checked)
{
    static const struct {
        u32 set, size;
    } sets[] = { { SET(Runtime), 16 }, { SET(Intercepts), 224 }, { SET(Events), 24 }, { SET(Apic), 40 },
                 { SET(SyntheticFeatures), 48 } };
    struct guest g;
    u64 buffer[32];
    u32 written;

    guest_open(&g, GUEST_LONG, spin, sizeof spin);
    for (unsigned i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        WHV_PROCESSOR_COUNTER_SET set = (WHV_PROCESSOR_COUNTER_SET)sets[i].set;

        written = 0;
        ck_hr(WHvGetVirtualProcessorCounters(g.partition, 0, set, NULL, 0, &written), WHV_E_INSUFFICIENT_BUFFER);
        ck_assert_uint_eq(written, sets[i].size);
        ck_ok(WHvGetVirtualProcessorCounters(g.partition, 0, set, buffer, sizeof buffer, &written));
        ck_assert_uint_eq(written, sets[i].size);
        ck_ok(WHvGetVirtualProcessorCounters(g.partition, 0, set, buffer, sets[i].size, NULL));
        ck_hr(WHvGetVirtualProcessorCounters(g.partition, 0, set, NULL, sets[i].size, NULL), E_POINTER);
        ck_hr(WHvGetVirtualProcessorCounters(g.partition, 0, set, buffer, 8, NULL), WHV_E_INSUFFICIENT_BUFFER);
        ck_hr(WHvGetVirtualProcessorCounters(g.partition, 1, set, buffer, sizeof buffer, NULL),
              WHV_E_VP_DOES_NOT_EXIST);
    }
    ck_hr(WHvGetVirtualProcessorCounters(g.partition, 0, (WHV_PROCESSOR_COUNTER_SET)5, buffer, sizeof buffer, NULL),
          WHV_E_UNKNOWN_PROPERTY);
    ck_hr(WHvGetPartitionCounters(g.partition, (WHV_PARTITION_COUNTER_SET)1, buffer, sizeof buffer, NULL),
          WHV_E_UNKNOWN_PROPERTY);
    ck_hr(WHvGetPartitionCounters(g.partition, WHvPartitionCounterSetMemory, buffer, 23, &written),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(written, 24);
    guest_close(&g);
}
END_TEST

/* The set of intercepts had eleven rows in the SDK of 1809. */
START_TEST(an_older_client_gets_the_set_of_its_time)
{
    static const u8 halt[] = { 0xf4 };
    struct guest g;
    u64 buffer[29];
    u32 written = 0;

    guest_open(&g, GUEST_LONG, halt, sizeof halt);
    guest_run(&g);
    memset(buffer, 0xaa, sizeof buffer);
    ck_ok(WHvGetVirtualProcessorCounters(g.partition, 0, SET(Intercepts), buffer, 176, &written));
    ck_assert_uint_eq(written, 176);
    ck_assert_uint_eq(buffer[6], 1); /* HaltInstructions */
    ck_assert_uint_eq(buffer[21], 0);
    ck_assert_uint_eq(buffer[22], 0xaaaaaaaaaaaaaaaa);
    ck_hr(WHvGetVirtualProcessorCounters(g.partition, 0, SET(Intercepts), buffer, 175, &written),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(written, 224);
    guest_close(&g);
}
END_TEST

TCase *counter_case(void)
{
    TCase *t = tcase_create("counters");

    tcase_add_test(t, each_exit_is_an_intercept_of_its_kind);
    tcase_add_test(t, a_page_fault_that_exits_has_its_own_row);
    tcase_add_test(t, events_are_counted_as_the_guest_takes_them);
    tcase_add_test(t, runtime_is_what_was_retired_on_the_virtual_clock);
    tcase_add_test(t, runtime_is_time_inside_run_on_the_host_clock);
    tcase_add_test(t, buffers_and_sets_are_checked);
    tcase_add_test(t, an_older_client_gets_the_set_of_its_time);
    return t;
}
