/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controllers, as a guest and the lines of the devices see them.
 */
#include "cases.h"

#include "../../vmm/pic.h"

static struct pic pic;

static void out(uint16_t port, uint8_t value)
{
    pic_write(&pic, port, 1, value, 0);
}

static uint8_t in(uint16_t port)
{
    return (uint8_t)pic_read(&pic, port, 1, 0);
}

/* As Linux does it: vectors 30 and 38, everything allowed. */
static void initialize(uint8_t icw4)
{
    pic_reset(&pic);
    out(0x20, 0x11);
    out(0x21, 0x30);
    out(0x21, 0x04);
    out(0x21, icw4);
    out(0xa0, 0x11);
    out(0xa1, 0x38);
    out(0xa1, 0x02);
    out(0xa1, icw4);
}

static void edge(unsigned irq)
{
    pic_set_line(&pic, irq, false);
    pic_set_line(&pic, irq, true);
}

START_TEST(nothing_passes_before_initialization)
{
    pic_reset(&pic);
    edge(0);
    edge(8);
    ck_assert(!pic_is_requesting(&pic));
}
END_TEST

START_TEST(edge_is_served_once)
{
    initialize(1);
    edge(4);
    ck_assert(pic_is_requesting(&pic));
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x34);
    ck_assert(!pic_is_requesting(&pic));
    out(0x20, 0x20);
    ck_assert(!pic_is_requesting(&pic)); /* the line is still high, and that's no edge */
    edge(4);
    ck_assert(pic_is_requesting(&pic));
}
END_TEST

START_TEST(mask_holds_a_request_back)
{
    initialize(1);
    out(0x21, 0x10);
    edge(4);
    ck_assert(!pic_is_requesting(&pic));
    ck_assert_uint_eq(in(0x20), 0x10); /* IRR shows it */
    ck_assert(!pic_lets_through(&pic, 4));
    out(0x21, 0);
    ck_assert(pic_is_requesting(&pic));
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x34);
}
END_TEST

START_TEST(lower_priority_waits_for_the_end_of_interrupt)
{
    initialize(1);
    edge(3);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x33);
    edge(4);
    ck_assert(!pic_is_requesting(&pic));
    edge(1);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x31);
    out(0x20, 0x0b); /* show ISR */
    ck_assert_uint_eq(in(0x20), 0x0a);
    out(0x20, 0x20); /* ends the highest: 1 */
    ck_assert_uint_eq(in(0x20), 0x08);
    ck_assert(!pic_is_requesting(&pic));
    out(0x20, 0x63); /* specific: 3 */
    ck_assert_uint_eq(in(0x20), 0x00);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x34);
}
END_TEST

START_TEST(slave_answers_through_input_2)
{
    initialize(1);
    edge(8);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x38);
    edge(12);
    ck_assert(!pic_is_requesting(&pic));
    out(0xa0, 0x20);
    out(0x20, 0x62);
    ck_assert(pic_is_requesting(&pic));
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x3c);
    out(0xa0, 0x20);
    out(0x20, 0x62);
    ck_assert(!pic_is_requesting(&pic));
}
END_TEST

START_TEST(second_slave_request_comes_after_the_first)
{
    initialize(1);
    edge(14);
    edge(9);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x39);
    ck_assert(!pic_is_requesting(&pic));
    out(0xa0, 0x20);
    ck_assert(!pic_is_requesting(&pic)); /* the master still serves its input 2 */
    out(0x20, 0x20);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x3e);
}
END_TEST

START_TEST(level_asks_again_while_the_line_is_high)
{
    initialize(1);
    out(0x4d1, 0x02); /* IRQ 9 */
    ck_assert_uint_eq(in(0x4d1), 0x02);
    pic_set_line(&pic, 9, true);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x39);
    out(0xa0, 0x20);
    out(0x20, 0x20);
    ck_assert(pic_is_requesting(&pic));
    pic_set_line(&pic, 9, false);
    ck_assert(!pic_is_requesting(&pic));
}
END_TEST

START_TEST(fixed_edges_cannot_be_made_levels)
{
    initialize(1);
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    ck_assert_uint_eq(in(0x4d0), 0xf8);
    ck_assert_uint_eq(in(0x4d1), 0xde);
}
END_TEST

START_TEST(request_that_vanished_is_spurious_7)
{
    initialize(1);
    edge(4);
    pic_set_line(&pic, 4, false);
    ck_assert(!pic_is_requesting(&pic));
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x37);
    out(0x20, 0x0b);
    ck_assert_uint_eq(in(0x20), 0); /* nothing is in service */
}
END_TEST

START_TEST(automatic_end_of_interrupt)
{
    initialize(3);
    edge(5);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x35);
    out(0x20, 0x0b);
    ck_assert_uint_eq(in(0x20), 0);
}
END_TEST

START_TEST(rotation_puts_the_served_one_last)
{
    initialize(1);
    edge(0);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x30);
    out(0x20, 0xa0);
    edge(0);
    edge(7);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x37);
    out(0x20, 0xe0 | 7); /* specific, and rotate: 0 is highest again */
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x30);
}
END_TEST

START_TEST(poll_acknowledges_by_reading)
{
    initialize(1);
    out(0x20, 0x0c);
    ck_assert_uint_eq(in(0x20), 0);
    edge(6);
    out(0x20, 0x0c);
    ck_assert_uint_eq(in(0x20), 0x86);
    ck_assert(!pic_is_requesting(&pic));
}
END_TEST

START_TEST(special_mask_lets_lower_ones_pass)
{
    initialize(1);
    edge(1);
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x31);
    edge(5);
    ck_assert(!pic_is_requesting(&pic));
    out(0x21, 0x02);
    out(0x20, 0x68);
    ck_assert(pic_is_requesting(&pic));
    ck_assert_uint_eq(pic_acknowledge(&pic), 0x35);
}
END_TEST

TCase *pic_cases(void)
{
    TCase *cases = tcase_create("pic");

    tcase_add_test(cases, nothing_passes_before_initialization);
    tcase_add_test(cases, edge_is_served_once);
    tcase_add_test(cases, mask_holds_a_request_back);
    tcase_add_test(cases, lower_priority_waits_for_the_end_of_interrupt);
    tcase_add_test(cases, slave_answers_through_input_2);
    tcase_add_test(cases, second_slave_request_comes_after_the_first);
    tcase_add_test(cases, level_asks_again_while_the_line_is_high);
    tcase_add_test(cases, fixed_edges_cannot_be_made_levels);
    tcase_add_test(cases, request_that_vanished_is_spurious_7);
    tcase_add_test(cases, automatic_end_of_interrupt);
    tcase_add_test(cases, rotation_puts_the_served_one_last);
    tcase_add_test(cases, poll_acknowledges_by_reading);
    tcase_add_test(cases, special_mask_lets_lower_ones_pass);
    return cases;
}
