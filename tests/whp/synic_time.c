/* SPDX-License-Identifier: MIT */
/* The reference counter, and the formula of the reference TSC page, which is to give the same to the unit. */
#include "tests/whp/synic.h"

#include "state/host.h"

static struct board b;

static u64 property(u32 code)
{
    u64 v = 0;

    ck_ok(WHvGetPartitionProperty(b.partition, (WHV_PARTITION_PROPERTY_CODE)code, &v, sizeof v, NULL));
    return v;
}

static u64 reference_time(void)
{
    return property(WHvPartitionPropertyCodeReferenceTime);
}

/* TLFS "Partition reference TSC mechanism". */
static u64 formula(u32 vp)
{
    u64 scale = synic_peek(&b, TSC_AT + 8, 8), offset = synic_peek(&b, TSC_AT + 16, 8);

    return (u64)((unsigned __int128)board_get(&b, vp, WHvX64RegisterTsc) * scale >> 64) + offset;
}

static void enable(void)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_REFERENCE_TSC, TSC_AT | 1), BOARD_DONE);
    ck_assert_uint_ne(synic_peek(&b, TSC_AT, 4), 0);
}

static void open_at(u64 hz, u32 rate)
{
    u64 banks[2] = { 1, SYNTHETIC_OFFERED };
    u32 count = 1, mode = 1, clock = SwhpClockVirtual;
    WHV_PARTITION_HANDLE p;

    memset(&b, 0, sizeof b);
    ck_ok(WHvCreatePartition(&p));
    b.partition = p;
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorClockFrequency, &hz, 8));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks, sizeof banks));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClockRate, &rate, 4));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
}

static const u64 frequencies[] = { 1000000000, 10000001, 3187654321, 100000000000, 2400000000, 999999999 };

static u64 units(u64 ticks, u64 hz)
{
    return (u64)((unsigned __int128)ticks * 10000000 / hz);
}

static bool units_are_whole(u64 ticks, u64 hz)
{
    return (unsigned __int128)ticks * 10000000 % hz == 0;
}

START_TEST(the_formula_is_the_counter)
{
    u64 hz = frequencies[_i], before = 0, random = 88172645463325252;
    u32 rate = _i & 1 ? 7 : 1;

    open_at(hz, rate);
    board_set(&b, 0, WHvRegisterReferenceTsc, TSC_AT | 1);
    ck_assert_uint_eq(synic_peek(&b, TSC_AT, 4), 1);
    for (unsigned i = 0; i < 3000; i++) {
        u64 now = reference_time(), ticks = board_get(&b, 0, WHvX64RegisterTsc), some;

        ck_assert_uint_eq(formula(0), now);
        ck_assert_uint_ge(now, before);
        ck_assert_uint_le(now - units(ticks, hz), units_are_whole(ticks, hz) ? 0 : 1);
        before = now;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        some = random >> (20 + random % 40);
        ck_ok(SwhpAdvanceClock(b.partition, some));
    }
    ck_ok(WHvDeletePartition(b.partition));
}
END_TEST

/* A scale of 64 bits is too small for it: the page says so, and all else works. */
START_TEST(a_tsc_slower_than_the_unit)
{
    open_at(1000000, 1);
    board_set(&b, 0, WHvRegisterReferenceTsc, TSC_AT | 1);
    ck_assert_uint_eq(synic_peek(&b, TSC_AT, 4), 0);
    ck_ok(SwhpAdvanceClock(b.partition, 123));
    ck_assert_uint_eq(reference_time(), 1230);
    ck_ok(WHvDeletePartition(b.partition));
}
END_TEST

/* Whatever the guest makes of its TSC, the time goes on, and the page tells it. */
START_TEST(a_moved_tsc_moves_the_page)
{
    static const u64 values[] = { 0, 1, 12345678901234567, 1ull << 62, 77 };
    u32 sequence = 0;

    synic_open(&b, 1, SwhpClockVirtual);
    enable();
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        u64 before = reference_time(), after;

        if (i & 1)
            board_set(&b, 0, WHvX64RegisterTsc, values[i]);
        else
            ck_assert_uint_eq(board_wrmsr(&b, 0, 0x10, values[i]), BOARD_DONE);
        after = reference_time();
        ck_assert_uint_ge(after, before);
        ck_assert_uint_le(after - before, 2);
        ck_assert_uint_eq(formula(0), after);
        ck_assert_uint_ne(synic_peek(&b, TSC_AT, 4), sequence);
        sequence = (u32)synic_peek(&b, TSC_AT, 4);
        ck_ok(SwhpAdvanceClock(b.partition, 987654321));
        ck_assert_uint_eq(formula(0), reference_time());
    }
    board_close(&b);
}
END_TEST

START_TEST(the_time_that_the_caller_sets)
{
    u64 time = 5555555555;

    synic_open(&b, 1, SwhpClockVirtual);
    enable();
    ck_ok(WHvSuspendPartitionTime(b.partition));
    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeReferenceTime, &time, sizeof time));
    ck_assert_uint_eq(reference_time(), time);
    ck_assert_uint_eq(formula(0), time);
    ck_ok(WHvResumePartitionTime(b.partition));
    board_close(&b);
}
END_TEST

START_TEST(several_tscs_have_no_page)
{
    synic_open(&b, 2, SwhpClockHost);
    enable();
    ck_ok(WHvSuspendPartitionTime(b.partition));
    ck_assert_uint_eq(formula(1), reference_time());
    board_set(&b, 1, WHvX64RegisterTsc, 0);
    ck_assert_uint_eq(synic_peek(&b, TSC_AT, 4), 0); /* read the MSR, it says */
    board_set(&b, 0, WHvX64RegisterTsc, 0);          /* as one who restores them writes them all */
    ck_assert_uint_ne(synic_peek(&b, TSC_AT, 4), 0);
    ck_assert_uint_eq(formula(0), reference_time());
    ck_assert_uint_eq(formula(1), reference_time());
    board_close(&b);
}
END_TEST

/* In the guest: RDTSC, then the MSR, then RDTSC. */
START_TEST(in_the_guest_too)
{
    struct code c = { .size = 0 };
    u64 scale, offset, first, second, middle;
    u8 *at;

    synic_open(&b, 1, _i ? SwhpClockHost : SwhpClockVirtual);
    enable();
    scale = synic_peek(&b, TSC_AT + 8, 8);
    offset = synic_peek(&b, TSC_AT + 16, 8);
    CODE(&c, 0x0f, 0x31, 0xa3, 0, 0, 9, 0, 0x89, 0x15, 4, 0, 9, 0);    /* rdtsc; mov [90000], eax; mov [90004], edx */
    CODE(&c, 0xb9, 0x20, 0, 0, 0x40, 0x0f, 0x32);                      /* mov ecx, 40000020; rdmsr */
    CODE(&c, 0xa3, 8, 0, 9, 0, 0x89, 0x15, 12, 0, 9, 0);
    CODE(&c, 0x0f, 0x31, 0xa3, 16, 0, 9, 0, 0x89, 0x15, 20, 0, 9, 0);
    for (unsigned i = 0; i < 200; i++) {
        struct code copy = c;

        ck_assert_uint_eq(board_do(&b, 0, &copy), BOARD_DONE);
        at = b.memory + 0x90000;
        memcpy(&first, at, 8);
        memcpy(&middle, at + 8, 8);
        memcpy(&second, at + 16, 8);
        first = (u64)((unsigned __int128)first * scale >> 64) + offset;
        second = (u64)((unsigned __int128)second * scale >> 64) + offset;
        ck_assert_uint_le(first, middle);
        ck_assert_uint_le(middle, second);
        if (!_i)
            ck_ok(SwhpAdvanceClock(b.partition, 97 * i));
    }
    board_close(&b);
}
END_TEST

START_TEST(the_runtime_is_of_the_processor)
{
    u64 before;

    synic_open(&b, 1, SwhpClockVirtual);
    before = board_rdmsr(&b, 0, HV_VP_RUNTIME);
    ck_ok(SwhpAdvanceClock(b.partition, 1000000)); /* somebody else's time */
    ck_assert_uint_le(board_rdmsr(&b, 0, HV_VP_RUNTIME), before + 1);
    synic_spin(&b, 0, 10000); /* 10000 ticks of 1 GHz */
    ck_assert_uint_ge(board_rdmsr(&b, 0, HV_VP_RUNTIME), before + 100);
    ck_assert_uint_le(board_rdmsr(&b, 0, HV_VP_RUNTIME), before + 102);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterVpRuntime), board_count(&b, 0) / 100);
    board_close(&b);
}
END_TEST

TCase *synic_time_case(void)
{
    TCase *t = tcase_create("synic-time");

    tcase_add_loop_test(t, the_formula_is_the_counter, 0, sizeof frequencies / sizeof frequencies[0]);
    tcase_add_test(t, a_tsc_slower_than_the_unit);
    tcase_add_test(t, a_moved_tsc_moves_the_page);
    tcase_add_test(t, the_time_that_the_caller_sets);
    tcase_add_test(t, several_tscs_have_no_page);
    tcase_add_loop_test(t, in_the_guest_too, 0, 2);
    tcase_add_test(t, the_runtime_is_of_the_processor);
    return t;
}
