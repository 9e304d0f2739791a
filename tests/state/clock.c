/* SPDX-License-Identifier: MIT */
/* Time and chance: the virtual clock follows counts and nothing else, the host's clock follows the host. */
#include "tests/state/cases.h"

#include "state/host.h"

static struct vcpu *cpu;
static struct partition *p;

static void setup(void)
{
    cpu = state_cpu();
    p = cpu->partition;
}

static void teardown(void)
{
    state_cpu_free(cpu);
}

START_TEST(virtual_clock_is_the_sum_of_counts)
{
    struct vcpu *second = host_alloc(sizeof *second);

    ck_assert_ptr_nonnull(second);
    cpu->count = 100;
    second->count = 23;
    p->processors = 6;
    p->cpu[5] = second;
    p->advanced = 1000;
    ck_assert_uint_eq(clock_now(p), 1123);
    ck_assert_uint_eq(clock_tsc(cpu), 1123);
    p->cpu[5] = NULL;
    host_free(second, sizeof *second);
}
END_TEST

START_TEST(inside_a_block_the_instruction_under_way_is_not_counted_yet)
{
    struct insn in = { .left = 3 };

    cpu->count = 110; /* its block ends at 110; 107 are retired */
    cpu->at = &in;
    ck_assert_uint_eq(clock_tsc(cpu), 107);
    cpu->at = NULL;
    ck_assert_uint_eq(clock_tsc(cpu), 110);
}
END_TEST

START_TEST(tsc_has_a_rate_and_an_offset)
{
    p->rate = 10;
    cpu->count = 7;
    ck_assert_uint_eq(clock_tsc(cpu), 70);
    clock_set_tsc(cpu, 1);
    ck_assert_uint_eq(clock_tsc(cpu), 1);
    cpu->count = 8;
    ck_assert_uint_eq(clock_tsc(cpu), 11);
    ck_assert_uint_eq(clock_now(p), 8);
}
END_TEST

START_TEST(reference_time_counts_100_ns)
{
    p->frequency = 1000000000;
    cpu->count = 1234567;
    ck_assert_uint_eq(clock_reference_time(p), 12345);
    cpu->count = 0;
    p->advanced = (u64)1 << 63; /* nothing is lost on the way */
    ck_assert_uint_eq(clock_reference_time(p), ((u64)1 << 63) / 100);
}
END_TEST

START_TEST(host_clock_follows_the_host)
{
    u64 before, after, tsc;

    p->clock = SwhpClockHost;
    p->frequency = 2000000000;
    p->host_start = host_nanoseconds() - 5000000000;
    before = host_nanoseconds() - p->host_start;
    tsc = clock_tsc(cpu);
    after = host_nanoseconds() - p->host_start;
    ck_assert_uint_ge(tsc, before * 2);
    ck_assert_uint_le(tsc, after * 2);
    ck_assert_uint_ge(clock_reference_time(p), before / 100);
    cpu->count = 1000000;
    ck_assert_uint_le(clock_now(p), (host_nanoseconds() - p->host_start) * 2);
}
END_TEST

START_TEST(random_numbers_come_from_the_seed)
{
    u64 first[8], other;

    p->seed = 7;
    for (unsigned i = 0; i < 8; i++)
        first[i] = clock_random(p);
    p->random = 0;
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(clock_random(p), first[i]);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < i; j++)
            ck_assert_uint_ne(first[i], first[j]);
    p->random = 0;
    p->seed = 8;
    other = clock_random(p);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_ne(first[i], other);
}
END_TEST

START_TEST(random_bits_are_even)
{
    unsigned set[64] = { 0 };

    for (unsigned i = 0; i < 4096; i++) {
        u64 v = clock_random(p);

        for (unsigned bit = 0; bit < 64; bit++)
            set[bit] += (unsigned)(v >> bit & 1);
    }
    for (unsigned bit = 0; bit < 64; bit++) /* five standard deviations */
        ck_assert_msg(set[bit] > 2048 - 160 && set[bit] < 2048 + 160, "bit %u: %u of 4096", bit, set[bit]);
}
END_TEST

TCase *clock_case(void)
{
    TCase *c = tcase_create("clock");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, virtual_clock_is_the_sum_of_counts);
    tcase_add_test(c, inside_a_block_the_instruction_under_way_is_not_counted_yet);
    tcase_add_test(c, tsc_has_a_rate_and_an_offset);
    tcase_add_test(c, reference_time_counts_100_ns);
    tcase_add_test(c, host_clock_follows_the_host);
    tcase_add_test(c, random_numbers_come_from_the_seed);
    tcase_add_test(c, random_bits_are_even);
    return c;
}
