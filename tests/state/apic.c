/* SPDX-License-Identifier: MIT */
/* The local APIC's registers by themselves: priorities against their definition, the timer's arithmetic. */
#include "tests/state/cases.h"

#include "state/apic.h"

static struct vcpu *cpu;
static struct partition *p;
static struct apic *a;

static void setup(void)
{
    cpu = state_cpu();
    p = cpu->partition;
    p->apic_mode = WHvX64LocalApicEmulationModeX2Apic;
    p->interrupt_frequency = 200000000;
    a = cpu->apic = &cpu->local_apic;
    vcpu_reset(cpu);
    apic_put(cpu, APIC_SVR, 0x1ff);
    apic_put(cpu, APIC_DIVIDE, 0xb);
}

static void teardown(void)
{
    state_cpu_free(cpu);
}

static u32 larger(u32 x, u32 y)
{
    return x > y ? x : y;
}

/* SDM 3A "Processor priority", "Arbitration priority register", over all classes of TPR, ISR and IRR. */
START_TEST(priorities_are_as_defined)
{
    for (u32 tpr = 0; tpr < 256; tpr += 5)
        for (u32 isr = 0; isr < 256; isr += 17)
            for (u32 irr = 0; irr < 256; irr += 15) {
                u32 in_service = isr < 16 ? 0 : isr & 0xf0, asked = irr < 16 ? 0 : irr & 0xf0, ppr, apr;

                memset(a->isr, 0, sizeof a->isr);
                memset(a->irr, 0, sizeof a->irr);
                if (isr >= 16)
                    apic_set_bit(a->isr, isr);
                if (irr >= 16)
                    apic_set_bit(a->irr, irr);
                apic_put(cpu, APIC_TPR, tpr);
                ppr = (tpr & 0xf0) >= in_service ? tpr : in_service;
                apr = (tpr & 0xf0) >= asked && (tpr & 0xf0) > in_service ? tpr : larger(in_service, asked);
                ck_assert_uint_eq(apic_read(cpu, APIC_PPR), ppr);
                ck_assert_uint_eq(apic_read(cpu, APIC_APR), apr);
                ck_assert_int_eq(apic_deliverable(a), asked > (ppr & 0xf0) ? (int)irr : -1);
            }
}
END_TEST

START_TEST(the_highest_of_a_bitmap)
{
    ck_assert_int_eq(apic_highest(a->irr), -1);
    for (unsigned v = 16; v < 256; v++) {
        apic_set_bit(a->irr, v);
        ck_assert_int_eq(apic_highest(a->irr), (int)v);
    }
    for (unsigned v = 255; v > 16; v--) {
        apic_clear_bit(a->irr, v);
        ck_assert_int_eq(apic_highest(a->irr), (int)v - 1);
    }
}
END_TEST

/* A timer that is looked at now and then and one that isn't expire at the same ticks, and show the same counts. */
START_TEST(looking_changes_nothing)
{
    static const u32 encoded[8] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
    u64 ticks, random = 1;

    p->interrupt_frequency = 123456789; /* no multiple of anything */
    for (unsigned d = 0; d < 8; d++) {
        u64 fired = 0, n = 0, begin;

        apic_put(cpu, APIC_DIVIDE, encoded[d]);
        apic_put(cpu, APIC_LVT_TIMER, 0x40 | LVT_PERIODIC);
        apic_put(cpu, APIC_INITIAL_COUNT, 1234);
        begin = clock_ticks(cpu);
        while (n < 20) {
            u64 to_go = clock_ticks(cpu) - begin, step;

            ck_assert(apic_timer_next(cpu, &ticks));
            fired = (u64)(((u128)(n + 1) * 1234 * p->frequency * (1u << d) + p->interrupt_frequency - 1) /
                          p->interrupt_frequency);
            ck_assert_uint_eq(to_go + ticks, fired);

            u128 gone = (u128)to_go * p->interrupt_frequency / ((u128)p->frequency << d);

            ck_assert_uint_eq(apic_timer_current(cpu), (u32)(1234 - gone % 1234));
            random = random * 6364136223846793005u + 1442695040888963407u;
            step = (random >> 40) % (ticks + 1);
            p->advanced += step ? step : ticks;
            if (apic_timer_settle(cpu))
                n++;
        }
    }
}
END_TEST

START_TEST(many_missed_periods_are_one_interrupt_and_no_drift)
{
    u64 ticks;

    apic_put(cpu, APIC_LVT_TIMER, 0x40 | LVT_PERIODIC);
    apic_put(cpu, APIC_INITIAL_COUNT, 100); /* 500 ticks */
    p->advanced += 500 * 1000 + 123;
    ck_assert(apic_timer_settle(cpu));
    ck_assert(!apic_timer_settle(cpu));
    ck_assert(apic_timer_next(cpu, &ticks));
    ck_assert_uint_eq(ticks, 500 - 123);
}
END_TEST

START_TEST(a_new_divider_keeps_the_count)
{
    u64 ticks;

    apic_put(cpu, APIC_LVT_TIMER, 0x40);
    apic_put(cpu, APIC_INITIAL_COUNT, 100);
    p->advanced += 250; /* half of it */
    ck_assert_uint_eq(apic_timer_current(cpu), 50);
    apic_put(cpu, APIC_DIVIDE, 1); /* by 4 */
    ck_assert_uint_eq(apic_timer_current(cpu), 50);
    ck_assert(apic_timer_next(cpu, &ticks));
    ck_assert_uint_eq(ticks, 50 * 4 * 5);
}
END_TEST

START_TEST(the_longest_count_of_the_slowest_timer)
{
    u64 ticks;

    p->frequency = 100000000000;
    p->interrupt_frequency = 1000000;
    apic_put(cpu, APIC_LVT_TIMER, 0x40);
    apic_put(cpu, APIC_DIVIDE, 0xa);
    apic_put(cpu, APIC_INITIAL_COUNT, 0xffffffff);
    ck_assert(apic_timer_next(cpu, &ticks));
    ck_assert_uint_eq(ticks, (u64)0xffffffff * 128 * 100000);
    p->advanced += ticks - 1;
    ck_assert(!apic_timer_settle(cpu));
    ck_assert_uint_eq(apic_timer_current(cpu), 1);
    p->advanced++;
    ck_assert(apic_timer_settle(cpu));
}
END_TEST

START_TEST(a_deadline_is_the_tscs)
{
    u64 ticks;

    apic_put(cpu, APIC_LVT_TIMER, 0x40 | LVT_DEADLINE);
    clock_set_tsc(cpu, 5000);
    ck_assert_int_eq(msr_write(cpu, MSR_TSC_DEADLINE, 6000), MSR_DONE);
    ck_assert(apic_timer_next(cpu, &ticks));
    ck_assert_uint_eq(ticks, 1000);
    p->advanced += 999;
    ck_assert(!apic_timer_settle(cpu));
    p->advanced++;
    ck_assert(apic_timer_settle(cpu));
    ck_assert(!apic_timer_next(cpu, &ticks));

    p->features1 &= ~((u64)1 << 17);
    profile_settle(p); /* a partition without the feature */
    ck_assert_int_eq(msr_write(cpu, MSR_TSC_DEADLINE, 1), MSR_UNKNOWN);
    apic_put(cpu, APIC_LVT_TIMER, 0x700ff);
    ck_assert_uint_eq(apic_read(cpu, APIC_LVT_TIMER), 0x300ff);
}
END_TEST

TCase *apic_case(void)
{
    TCase *t = tcase_create("apic-arithmetic");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, priorities_are_as_defined);
    tcase_add_test(t, the_highest_of_a_bitmap);
    tcase_add_test(t, looking_changes_nothing);
    tcase_add_test(t, many_missed_periods_are_one_interrupt_and_no_drift);
    tcase_add_test(t, a_new_divider_keeps_the_count);
    tcase_add_test(t, the_longest_count_of_the_slowest_timer);
    tcase_add_test(t, a_deadline_is_the_tscs);
    return t;
}
