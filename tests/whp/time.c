/* SPDX-License-Identifier: MIT */
/* A partition's time: suspended, resumed, set, on both clocks. Reference 1.3, 1.5 and the property ReferenceTime. */
#include "tests/whp/guest.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

Suite *time_suite(void);

enum { INVALID_STATE = (int)0x8007139F, APIC = (int)0xfee00000, A_WHILE = 5000 /* microseconds */ };

static WHV_PARTITION_HANDLE partition_with(u32 clock, u32 processors, u32 apic)
{
    WHV_PARTITION_HANDLE p;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, sizeof clock));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &apic, sizeof apic));
    return p;
}

static u64 reference_time(WHV_PARTITION_HANDLE p)
{
    u64 time;

    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &time, sizeof time, NULL));
    return time;
}

static HRESULT set_reference_time(WHV_PARTITION_HANDLE p, u64 time)
{
    return WHvSetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &time, sizeof time);
}

static u64 tsc(WHV_PARTITION_HANDLE p, u32 index)
{
    WHV_REGISTER_NAME name = WHvX64RegisterTsc;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(p, index, &name, 1, &v));
    return v.Reg64;
}

/* Of the host, in 100 ns. */
static u64 host_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 10000000 + (u64)t.tv_nsec / 100;
}

static const u8 halt[] = { 0xf4, 0xf4, 0xf4 };

START_TEST(suspended_time_stands_still)
{
    WHV_PARTITION_HANDLE p = partition_with((u32)_i, 2, 0);
    u64 reference, ticks, before, after;

    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
    ck_ok(WHvResumePartitionTime(p)); /* which goes on already */
    ck_ok(WHvSuspendPartitionTime(p));
    reference = reference_time(p);
    ticks = tsc(p, 0);
    usleep(A_WHILE);
    ck_ok(WHvSuspendPartitionTime(p)); /* again, which changes nothing */
    usleep(A_WHILE);
    ck_assert_uint_eq(reference_time(p), reference);
    ck_assert_uint_eq(tsc(p, 0), ticks);
    before = host_time();
    ck_ok(WHvResumePartitionTime(p));
    ck_ok(WHvResumePartitionTime(p));
    after = reference_time(p);
    /* it goes on from where it stood: no more has passed than since the call */
    ck_assert_uint_ge(after, reference);
    ck_assert_uint_le(after - reference, host_time() - before + 1);
    usleep(A_WHILE);
    if (_i == SwhpClockHost)
        ck_assert_uint_ge(reference_time(p), after + A_WHILE * 10);
    else
        ck_assert_uint_eq(reference_time(p), after);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* As a VMM restores a partition: the same counters on each processor, whenever they are written. */
START_TEST(what_is_set_while_it_is_suspended_is_exact)
{
    WHV_PARTITION_HANDLE p = partition_with((u32)_i, 2, 0);
    WHV_REGISTER_NAME name = WHvX64RegisterTsc;
    WHV_REGISTER_VALUE v;
    u64 before;

    ck_ok(set_reference_time(p, 1234567)); /* before Setup at any time */
    ck_assert_uint_ge(reference_time(p), 1234567);
    ck_ok(WHvSetupPartition(p));
    ck_hr(set_reference_time(p, 5), E_INVALIDARG);
    for (u32 i = 0; i < 2; i++)
        ck_ok(WHvCreateVirtualProcessor(p, i, 0));
    ck_ok(WHvSuspendPartitionTime(p));
    memset(&v, 0, sizeof v);
    v.Reg64 = 0x123456789;
    for (u32 i = 0; i < 2; i++) {
        ck_ok(WHvSetVirtualProcessorRegisters(p, i, &name, 1, &v));
        usleep(A_WHILE);
    }
    ck_ok(set_reference_time(p, 98765));
    usleep(A_WHILE);
    for (u32 i = 0; i < 2; i++)
        ck_assert_uint_eq(tsc(p, i), 0x123456789);
    ck_assert_uint_eq(reference_time(p), 98765);
    ck_ok(set_reference_time(p, 0)); /* also backwards */
    ck_assert_uint_eq(reference_time(p), 0);
    ck_ok(set_reference_time(p, (u64)1 << 62));
    before = host_time();
    ck_ok(WHvResumePartitionTime(p));
    ck_assert_uint_le(reference_time(p) - ((u64)1 << 62), host_time() - before + 1);
    ck_hr(set_reference_time(p, 5), E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(time_resumes_by_itself_with_the_next_run)
{
    WHV_PARTITION_HANDLE p = partition_with((u32)_i, 1, 0);
    struct guest g;
    u64 then, before;

    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, halt, sizeof halt);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_ok(WHvSuspendPartitionTime(p));
    then = reference_time(p);
    usleep(A_WHILE);
    before = host_time();
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_le(reference_time(p) - then, host_time() - before + 1);
    ck_hr(set_reference_time(p, 5), E_INVALIDARG); /* it isn't suspended any more */
    if (_i == SwhpClockHost) {
        usleep(A_WHILE);
        ck_assert_uint_ge(reference_time(p), then + A_WHILE * 10);
    }
    /* a Run that only tells of a cancel is one, too */
    ck_ok(WHvSuspendPartitionTime(p));
    ck_ok(WHvCancelRunVirtualProcessor(p, 0, 0));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonCanceled);
    ck_hr(set_reference_time(p, 5), E_INVALIDARG);
    guest_close(&g);
}
END_TEST

/* Also one that sleeps inside Run, in HLT. */
START_TEST(time_of_a_running_partition_isnt_suspended)
{
    static const u8 spin[] = { 0xff, 0x03, 0xeb, 0xfc }, sleep[] = { 0xff, 0x03, 0xf4 }; /* inc dword [rbx]; jmp or hlt */
    bool sleeps = _i & 1;
    WHV_PARTITION_HANDLE p = partition_with(SwhpClockHost, 1, sleeps);
    struct guest g;
    pthread_t thread;
    u64 then;

    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, sleeps ? sleep : spin, sizeof spin - sleeps);
    guest_set(&g, WHvX64RegisterRbx, 0x9000);
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (!__atomic_load_n((u32 *)(g.memory + 0x9000), __ATOMIC_RELAXED))
        ;
    ck_hr(WHvSuspendPartitionTime(p), INVALID_STATE);
    ck_hr(set_reference_time(p, 5), WHV_E_INVALID_VP_STATE);
    ck_ok(WHvResumePartitionTime(p));
    then = reference_time(p);
    usleep(A_WHILE);
    ck_assert_uint_ge(reference_time(p), then + A_WHILE * 10);
    ck_ok(WHvCancelRunVirtualProcessor(p, 0, 0));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq((u32)g.exit.ExitReason, WHvRunVpExitReasonCanceled);
    ck_ok(WHvSuspendPartitionTime(p));
    guest_close(&g);
}
END_TEST

static u32 apic_read(WHV_PARTITION_HANDLE p, u32 offset)
{
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeUncached };
    u32 value;

    ck_ok(WHvReadGpaRange(p, 0, (u32)APIC + offset, controls, &value, sizeof value));
    return value;
}

static void apic_write(WHV_PARTITION_HANDLE p, u32 offset, u32 value)
{
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeUncached };

    ck_ok(WHvWriteGpaRange(p, 0, (u32)APIC + offset, controls, &value, sizeof value));
}

START_TEST(the_apics_timer_stands_still_too)
{
    WHV_PARTITION_HANDLE p = partition_with((u32)_i, 1, WHvX64LocalApicEmulationModeXApic);
    struct guest g;
    u32 count;

    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, halt, sizeof halt);
    apic_write(p, 0xf0, 0x1ff);
    apic_write(p, 0x320, 0x10040); /* one shot, masked */
    apic_write(p, 0x3e0, 0xb);     /* undivided */
    apic_write(p, 0x380, ~0u);
    ck_ok(WHvSuspendPartitionTime(p));
    count = apic_read(p, 0x390);
    usleep(A_WHILE);
    ck_assert_uint_eq(apic_read(p, 0x390), count);
    apic_write(p, 0x380, 1000); /* armed meanwhile: it has all of its time left */
    usleep(A_WHILE);
    ck_assert_uint_eq(apic_read(p, 0x390), 1000);
    apic_write(p, 0x380, count);
    ck_ok(WHvResumePartitionTime(p));
    usleep(A_WHILE);
    if (_i == SwhpClockHost) /* 200 MHz: a count is 5 ns */
        ck_assert_uint_le(apic_read(p, 0x390), count - A_WHILE * 200);
    else
        ck_assert_uint_eq(apic_read(p, 0x390), count);
    guest_close(&g);
}
END_TEST

/* Suspended before anything is set up, whatever clock it gets after that. */
START_TEST(a_partition_can_be_made_suspended)
{
    WHV_PARTITION_HANDLE p = partition_with(SwhpClockVirtual, 1, 0);
    u32 clock = SwhpClockHost;
    u64 then;

    ck_ok(WHvSuspendPartitionTime(p));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, sizeof clock));
    then = reference_time(p);
    usleep(A_WHILE);
    ck_assert_uint_eq(reference_time(p), then);
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_assert_uint_eq(reference_time(p), then);
    ck_ok(set_reference_time(p, 77));
    ck_assert_uint_eq(reference_time(p), 77);
    ck_ok(WHvDeletePartition(p));
    ck_hr(WHvSuspendPartitionTime(p), E_INVALIDARG);
    ck_hr(WHvResumePartitionTime(p), E_INVALIDARG);
    ck_hr(WHvSuspendPartitionTime(NULL), E_INVALIDARG);
}
END_TEST

/* What is set before Setup says nothing of time. */
START_TEST(a_level_or_a_profile_leaves_time_suspended)
{
    WHV_PARTITION_HANDLE p = partition_with(SwhpClockHost, 1, 0);
    u32 level = 26100;
    struct guest g;

    ck_ok(WHvSuspendPartitionTime(p));
    if (_i)
        ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeProfile, "zen", 4));
    else
        ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeApiLevel, &level, 4));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_REAL, halt, sizeof halt);
    ck_ok(set_reference_time(p, 77));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_hr(set_reference_time(p, 5), E_INVALIDARG); /* the run let it go on */
    guest_close(&g);
}
END_TEST

Suite *time_suite(void)
{
    Suite *s = suite_create("time");
    TCase *t = tcase_create("partition time");

    tcase_add_loop_test(t, suspended_time_stands_still, 0, 2);
    tcase_add_loop_test(t, what_is_set_while_it_is_suspended_is_exact, 0, 2);
    tcase_add_loop_test(t, time_resumes_by_itself_with_the_next_run, 0, 2);
    tcase_add_loop_test(t, time_of_a_running_partition_isnt_suspended, 0, 2);
    tcase_add_loop_test(t, the_apics_timer_stands_still_too, 0, 2);
    tcase_add_test(t, a_partition_can_be_made_suspended);
    tcase_add_loop_test(t, a_level_or_a_profile_leaves_time_suspended, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
