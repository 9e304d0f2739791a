/* SPDX-License-Identifier: MIT */
/*
 * The real-time clock: dates, flags, and interrupts when they are due.
 */
#include "cases.h"

#include "../../vmm/pic.h"
#include "../../vmm/rtc.h"

#define SECOND UINT64_C(1000000000)

static struct pic pic;
static struct rtc rtc;

static void out(uint8_t reg, uint8_t value, uint64_t now)
{
    rtc_write(&rtc, 0x70, 1, reg, now);
    rtc_write(&rtc, 0x71, 1, value, now);
}

static unsigned in(uint8_t reg, uint64_t now)
{
    rtc_write(&rtc, 0x70, 1, reg, now);
    return rtc_read(&rtc, 0x71, 1, now);
}

static void setup(void)
{
    pic_reset(&pic);
    rtc_reset(&rtc, &pic, 256 << 20, 0, RTC_VIRTUAL_START);
}

START_TEST(it_starts_on_the_first_of_2026)
{
    ck_assert_uint_eq(in(9, 0), 0x26);
    ck_assert_uint_eq(in(0x32, 0), 0x20);
    ck_assert_uint_eq(in(8, 0), 1);
    ck_assert_uint_eq(in(7, 0), 1);
    ck_assert_uint_eq(in(6, 0), 5); /* a Thursday */
    ck_assert_uint_eq(in(4, 0), 0);
    ck_assert_uint_eq(in(0, 0), 0);
    ck_assert_uint_eq(in(13, 0), 0x80);
}
END_TEST

START_TEST(it_follows_the_time)
{
    uint64_t later = (59 * 86400 + 13 * 3600 + 47 * 60 + 58) * SECOND; /* March 1st */

    ck_assert_uint_eq(in(8, later), 3);
    ck_assert_uint_eq(in(7, later), 1);
    ck_assert_uint_eq(in(4, later), 0x13);
    ck_assert_uint_eq(in(2, later), 0x47);
    ck_assert_uint_eq(in(0, later), 0x58);
    out(11, 0, later); /* 12 hours, BCD */
    ck_assert_uint_eq(in(4, later), 0x81);
    out(11, 6, later); /* 24 hours, binary */
    ck_assert_uint_eq(in(2, later), 47);
}
END_TEST

START_TEST(a_new_date_holds_while_it_is_set)
{
    out(11, 0x82, 0);
    out(9, 0x24, 0);
    out(8, 0x02, 0);
    out(7, 0x29, 0);
    out(4, 0x23, 0);
    out(2, 0x59, 0);
    out(0, 0x59, 0);
    ck_assert_uint_eq(in(0, 5 * SECOND), 0x59);
    out(11, 0x02, 5 * SECOND);
    ck_assert_uint_eq(in(7, 5 * SECOND), 0x29);
    ck_assert_uint_eq(in(7, 6 * SECOND), 0x01);
    ck_assert_uint_eq(in(8, 6 * SECOND), 0x03);
    ck_assert_uint_eq(in(0, 6 * SECOND), 0x00);
}
END_TEST

START_TEST(update_is_announced)
{
    ck_assert_uint_eq(in(10, SECOND / 2) & 0x80, 0);
    ck_assert_uint_eq(in(10, SECOND - 200000) & 0x80, 0x80);
    ck_assert_uint_eq(in(10, SECOND) & 0x80, 0);
}
END_TEST

START_TEST(periodic_interrupt)
{
    ck_assert_uint_eq(rtc_deadline(&rtc), UINT64_MAX);
    out(11, 0x42, 0);
    ck_assert_uint_eq(rtc_deadline(&rtc), 976562); /* 1024 Hz */
    rtc_update(&rtc, 976562);
    ck_assert_uint_eq(pic.slave.lines & 1, 1);
    ck_assert_uint_eq(rtc_deadline(&rtc), UINT64_MAX);
    ck_assert_uint_eq(in(12, 976563), 0xc0);
    ck_assert_uint_eq(in(12, 976564), 0);
    ck_assert_uint_eq(pic.slave.lines & 1, 0);
    ck_assert_uint_eq(rtc_deadline(&rtc), 2 * 976562);
}
END_TEST

START_TEST(alarm_comes_once_a_day)
{
    out(1, 0x05, 0);
    out(3, 0x00, 0);
    out(5, 0x00, 0);
    out(11, 0x22, 0);
    rtc_update(&rtc, 4 * SECOND);
    ck_assert_uint_eq(pic.slave.lines & 1, 0);
    rtc_update(&rtc, 5 * SECOND);
    ck_assert_uint_eq(pic.slave.lines & 1, 1);
    ck_assert_uint_eq(in(12, 5 * SECOND) & 0xa0, 0xa0);
    rtc_update(&rtc, 86404 * SECOND);
    ck_assert_uint_eq(pic.slave.lines & 1, 0);
    rtc_update(&rtc, 3 * 86405 * SECOND);
    ck_assert_uint_eq(pic.slave.lines & 1, 1);
}
END_TEST

START_TEST(any_byte_is_a_date_to_it)
{
    uint32_t x = 7;

    for (unsigned i = 0; i < 100000; i++) {
        x = x * 1664525 + 1013904223;
        out((uint8_t)(x >> 24 & 0x3f), (uint8_t)(x >> 8), i * 1000003ull);
        in((uint8_t)(x >> 16 & 0x3f), i * 1000003ull);
        ck_assert_uint_ge(rtc_deadline(&rtc), rtc.seen);
    }
}
END_TEST

TCase *rtc_cases(void)
{
    TCase *cases = tcase_create("rtc");

    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, it_starts_on_the_first_of_2026);
    tcase_add_test(cases, it_follows_the_time);
    tcase_add_test(cases, a_new_date_holds_while_it_is_set);
    tcase_add_test(cases, update_is_announced);
    tcase_add_test(cases, periodic_interrupt);
    tcase_add_test(cases, alarm_comes_once_a_day);
    tcase_add_test(cases, any_byte_is_a_date_to_it);
    return cases;
}
