/* SPDX-License-Identifier: MIT */
/*
 * The timer, by its data sheet: counts, outputs and edges at exact ticks of 1193182 Hz.
 */
#include "cases.h"

#include "../../vmm/pic.h"
#include "../../vmm/pit.h"

static struct pic pic;
static struct pit pit;

/* The first nanosecond of a tick. */
static uint64_t at(uint64_t tick)
{
    return (tick * 1000000000 + 1193181) / 1193182;
}

static void out(uint16_t port, uint8_t value, uint64_t tick)
{
    pit_write(&pit, port, 1, value, at(tick));
}

static uint8_t in(uint16_t port, uint64_t tick)
{
    return (uint8_t)pit_read(&pit, port, 1, at(tick));
}

static void setup(void)
{
    pic_reset(&pic);
    pit_reset(&pit, &pic);
}

/* Programs a channel at tick 100, so that its count is loaded at tick 101. */
static void program(unsigned channel, unsigned mode, uint16_t count)
{
    out(0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1), 100);
    out((uint16_t)(0x40 + channel), (uint8_t)count, 100);
    out((uint16_t)(0x40 + channel), (uint8_t)(count >> 8), 100);
}

static unsigned latched(unsigned channel, uint64_t tick)
{
    unsigned low;

    out(0x43, (uint8_t)(channel << 6), tick);
    low = in((uint16_t)(0x40 + channel), tick + 500); /* later: the latch holds */
    return low | in((uint16_t)(0x40 + channel), tick + 900) << 8;
}

START_TEST(mode_0_rises_one_tick_after_the_count)
{
    program(0, 0, 1000);
    ck_assert(!pit_output(&pit, 0, at(1100)));
    ck_assert(pit_output(&pit, 0, at(1101)));
    ck_assert_uint_eq(pit_deadline(&pit), at(1101));
    ck_assert_uint_eq(latched(0, 101), 1000);
    ck_assert_uint_eq(latched(0, 601), 500);
    ck_assert_uint_eq(latched(0, 1102), 0xffff); /* it goes on */
    pit_update(&pit, at(1101));
    ck_assert_uint_eq(pit_deadline(&pit), UINT64_MAX);
    ck_assert_uint_eq(pic.master.irr & 1, 1);
}
END_TEST

START_TEST(mode_2_is_low_for_the_last_tick)
{
    program(0, 2, 1000);
    ck_assert(pit_output(&pit, 0, at(1099)));
    ck_assert(!pit_output(&pit, 0, at(1100)));
    ck_assert(pit_output(&pit, 0, at(1101)));
    ck_assert_uint_eq(latched(0, 101), 1000);
    ck_assert_uint_eq(latched(0, 1100), 1);
    ck_assert_uint_eq(latched(0, 1101), 1000);
    pit_update(&pit, at(1101));
    ck_assert_uint_eq(pit_deadline(&pit), at(2101));
}
END_TEST

START_TEST(each_period_of_mode_2_interrupts)
{
    program(0, 2, 100);
    pic.master.imr = 0;
    for (unsigned i = 1; i <= 5; i++) {
        ck_assert_uint_eq(pit_deadline(&pit), at(101 + 100 * i));
        pit_update(&pit, pit_deadline(&pit));
        ck_assert(pic_is_requesting(&pic));
        pic_acknowledge(&pic);
        pic_write(&pic, 0x20, 1, 0x20, 0);
        pit_update(&pit, at(101 + 100 * i + 50));
        ck_assert(!pic_is_requesting(&pic));
    }
    /* Who comes late finds one, not several. */
    pit_update(&pit, at(5050));
    ck_assert(pic_is_requesting(&pic));
    pic_acknowledge(&pic);
    pic_write(&pic, 0x20, 1, 0x20, 0);
    ck_assert(!pic_is_requesting(&pic));
}
END_TEST

START_TEST(mode_3_is_square)
{
    program(2, 3, 1000);
    out(0x61, 1, 100); /* the gate loads it again, at the same tick */
    ck_assert(pit_output(&pit, 2, at(600)));
    ck_assert(!pit_output(&pit, 2, at(601)));
    ck_assert(!pit_output(&pit, 2, at(1100)));
    ck_assert(pit_output(&pit, 2, at(1101)));
    ck_assert_uint_eq(latched(2, 101), 1000);
    ck_assert_uint_eq(latched(2, 102), 998);
    ck_assert_uint_eq(latched(2, 600), 2);
    ck_assert_uint_eq(latched(2, 601), 1000);
}
END_TEST

START_TEST(mode_3_with_an_odd_count_is_longer_high)
{
    program(0, 3, 5);
    ck_assert(pit_output(&pit, 0, at(103)));
    ck_assert(!pit_output(&pit, 0, at(104)));
    ck_assert(!pit_output(&pit, 0, at(105)));
    ck_assert(pit_output(&pit, 0, at(106)));
    ck_assert_uint_eq(latched(0, 101), 4);
    ck_assert_uint_eq(latched(0, 103), 0);
    ck_assert_uint_eq(latched(0, 104), 4);
    ck_assert_uint_eq(latched(0, 105), 2);
}
END_TEST

START_TEST(mode_4_strobes_once)
{
    program(0, 4, 1000);
    ck_assert(pit_output(&pit, 0, at(1100)));
    ck_assert(!pit_output(&pit, 0, at(1101)));
    ck_assert(pit_output(&pit, 0, at(1102)));
    ck_assert_uint_eq(pit_deadline(&pit), at(1102));
    pit_update(&pit, at(1102));
    ck_assert_uint_eq(pit_deadline(&pit), UINT64_MAX);
}
END_TEST

START_TEST(gate_of_channel_2_holds_mode_0)
{
    program(2, 0, 1000);
    ck_assert_uint_eq(latched(2, 700), 1000); /* the gate is low */
    out(0x61, 1, 1000);
    ck_assert_uint_eq(in(0x61, 1999) & 0x20, 0);
    ck_assert_uint_eq(in(0x61, 2000) & 0x20, 0x20);
    ck_assert_uint_eq(in(0x61, 2000) & 3, 1);
}
END_TEST

START_TEST(zero_counts_65536)
{
    program(0, 2, 0);
    ck_assert_uint_eq(latched(0, 101), 0);
    ck_assert_uint_eq(latched(0, 102), 65535);
    ck_assert_uint_eq(pit_deadline(&pit), at(101 + 65536));
}
END_TEST

START_TEST(bcd_counts_in_decimal)
{
    out(0x43, 0x31, 100); /* channel 0, mode 0, BCD */
    out(0x40, 0x00, 100);
    out(0x40, 0x10, 100); /* 1000 */
    ck_assert_uint_eq(latched(0, 101), 0x1000);
    ck_assert_uint_eq(latched(0, 102), 0x0999);
    ck_assert(pit_output(&pit, 0, at(1101)));
}
END_TEST

START_TEST(readback_tells_status_and_count)
{
    program(0, 2, 1000);
    out(0x43, 0xc2, 101); /* count and status of channel 0 */
    ck_assert_uint_eq(in(0x40, 200), 0xb4); /* OUT high, loaded, two bytes, mode 2, binary */
    ck_assert_uint_eq(in(0x40, 200), 1000 & 0xff);
    ck_assert_uint_eq(in(0x40, 200), 1000 >> 8);
}
END_TEST

START_TEST(single_byte_access)
{
    out(0x43, 0x10, 100); /* channel 0, low byte, mode 0 */
    out(0x40, 50, 100);
    ck_assert_uint_eq(in(0x40, 101), 50);
    ck_assert_uint_eq(in(0x40, 111), 40);
    ck_assert_uint_eq(in(0x40, 121), 30);
}
END_TEST

START_TEST(new_count_waits_for_the_end_of_the_period)
{
    program(0, 2, 1000);
    out(0x40, 200, 300);
    out(0x40, 0, 300);
    ck_assert_uint_eq(latched(0, 301), 800);
    ck_assert_uint_eq(pit_deadline(&pit), at(1101));
    pit_update(&pit, at(1101));
    ck_assert_uint_eq(pit_deadline(&pit), at(1301));
}
END_TEST

START_TEST(no_write_crashes_it)
{
    uint32_t x = 1;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t tick = i * 37u;

        x = x * 1664525 + 1013904223;
        if (x >> 28 == 0)
            out(0x61, (uint8_t)(x >> 8), tick);
        else
            out((uint16_t)(0x40 + (x >> 16 & 3)), (uint8_t)(x >> 8), tick);
        in((uint16_t)(0x40 + (x >> 20 & 3)), tick);
        pit_deadline(&pit);
    }
}
END_TEST

TCase *pit_cases(void)
{
    TCase *cases = tcase_create("pit");

    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, mode_0_rises_one_tick_after_the_count);
    tcase_add_test(cases, mode_2_is_low_for_the_last_tick);
    tcase_add_test(cases, each_period_of_mode_2_interrupts);
    tcase_add_test(cases, mode_3_is_square);
    tcase_add_test(cases, mode_3_with_an_odd_count_is_longer_high);
    tcase_add_test(cases, mode_4_strobes_once);
    tcase_add_test(cases, gate_of_channel_2_holds_mode_0);
    tcase_add_test(cases, zero_counts_65536);
    tcase_add_test(cases, bcd_counts_in_decimal);
    tcase_add_test(cases, readback_tells_status_and_count);
    tcase_add_test(cases, single_byte_access);
    tcase_add_test(cases, new_count_waits_for_the_end_of_the_period);
    tcase_add_test(cases, no_write_crashes_it);
    return cases;
}
