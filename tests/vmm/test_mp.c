/* SPDX-License-Identifier: MIT */
/*
 * The MP tables, read back by the specification's rules.
 */
#include <string.h>

#include "cases.h"

#include "../../vmm/mp_table.h"

static unsigned number(const uint8_t *at, unsigned size)
{
    unsigned value = 0;

    while (size--)
        value = value << 8 | at[size];
    return value;
}

static unsigned sum(const uint8_t *at, unsigned size)
{
    uint8_t total = 0;

    for (unsigned i = 0; i < size; i++)
        total = (uint8_t)(total + at[i]);
    return total;
}

static void check_processor(const uint8_t *at, unsigned index)
{
    ck_assert_uint_eq(at[1], index);
    ck_assert_uint_eq(at[2], 0x10);
    ck_assert_uint_eq(at[3], index ? 1 : 3);
    ck_assert_uint_eq(number(at + 4, 4), 0xa10f11);
    ck_assert_uint_eq(number(at + 8, 4), 0x178bfbff);
    ck_assert_uint_eq(number(at + 12, 4), 0);
}

/* Interrupts of the timer, of the SCI, which is a level, of the 8259A; any other input has its IRQ's number. */
static void check_interrupt(const uint8_t *at)
{
    ck_assert_uint_eq(at[4], 1);
    ck_assert_uint_eq(at[6], 0);
    ck_assert_uint_eq(number(at + 2, 2), at[5] == 9 ? 0xd : 0);
    ck_assert_uint_ne(at[5], 2);
    if (at[1] == 3)
        ck_assert_uint_eq(at[5] + at[7], 0);
    else
        ck_assert_uint_eq(at[7], at[5] ? at[5] : 2);
}

START_TEST(tables_follow_the_specification)
{
    static const unsigned processors[] = {1, 5, 64}, sizes[] = {20, 8, 8, 8, 8};
    const struct mp_kind kind = {0x10, 0xa10f11, 0x178bfbff};
    unsigned n = processors[_i], count[5] = {0}, type = 0, size;
    uint8_t bytes[MP_ROOM];
    const uint8_t *table = bytes + 16, *at = table + 44;

    memset(bytes, 0xff, sizeof bytes);
    size = mp_build(bytes, n, &kind);
    ck_assert_uint_le(size, MP_ROOM);
    ck_assert_int_eq(memcmp(bytes, "_MP_", 4), 0);
    ck_assert_uint_eq(number(bytes + 4, 4), MP_GPA + 16);
    ck_assert_uint_eq(bytes[8], 1);
    ck_assert_uint_eq(bytes[9], 4);
    ck_assert_uint_eq(number(bytes + 11, 4) | bytes[15], 0);
    ck_assert_uint_eq(sum(bytes, 16), 0);
    ck_assert_int_eq(memcmp(table, "PCMP", 4), 0);
    ck_assert_uint_eq(number(table + 4, 2) + 16, size);
    ck_assert_uint_eq(table[6], 4);
    ck_assert_uint_eq(number(table + 36, 4), 0xfee00000);
    ck_assert_uint_eq(sum(table, number(table + 4, 2)), 0);
    for (unsigned i = 0; i < number(table + 34, 2); i++) {
        ck_assert_uint_ge(at[0], type);
        type = at[0];
        ck_assert_uint_le(type, 4);
        if (type == 0)
            check_processor(at, count[0]);
        else if (type == 3)
            check_interrupt(at);
        count[type]++;
        at += sizes[type];
    }
    ck_assert_ptr_eq(at, bytes + size);
    ck_assert_uint_eq(count[0], n);
    ck_assert_uint_eq(count[1], 2);
    ck_assert_uint_eq(count[2], 1);
    ck_assert_uint_eq(count[3], 16);
    ck_assert_uint_eq(count[4], 2);
}
END_TEST

TCase *mp_cases(void)
{
    TCase *cases = tcase_create("mp");

    tcase_add_loop_test(cases, tables_follow_the_specification, 0, 3);
    return cases;
}
