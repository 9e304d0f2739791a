/* SPDX-License-Identifier: MIT */
/*
 * The rest of the board: the bus, the keyboard controller, power management and its tables, memory.
 */
#include <string.h>

#include "cases.h"

#include "../../vmm/acpi.h"
#include "../../vmm/bus.h"
#include "../../vmm/keyboard.h"
#include "../../vmm/memory.h"
#include "../../vmm/pic.h"

static uint32_t seen_value, seen_count;
static char logged[16];
static unsigned logged_count;

static uint32_t read_port_number(void *device, uint16_t port, unsigned size, uint64_t now)
{
    (void)device;
    (void)size;
    (void)now;
    return port;
}

static void write_seen(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)now;
    seen_value = value;
    seen_count++;
}

static void log_byte(void *context, uint8_t byte)
{
    (void)context;
    logged[logged_count++ % sizeof logged] = (char)byte;
}

START_TEST(nobody_answers_with_ones)
{
    static struct bus bus;

    bus_init(&bus);
    ck_assert_uint_eq(bus_read(&bus, 0x1234, 1), 0xff);
    ck_assert_uint_eq(bus_read(&bus, 0x1234, 2), 0xffff);
    ck_assert_uint_eq(bus_read(&bus, 0xffff, 4), 0xffffffff);
    bus_write(&bus, 0xffff, 4, 0);
}
END_TEST

START_TEST(wide_accesses_are_split_over_ports)
{
    static struct bus bus;
    struct port_device device = {NULL, read_port_number, write_seen, false, false};

    bus_init(&bus);
    bus_attach(&bus, 0x10, 0x11, &device);
    ck_assert_uint_eq(bus_read(&bus, 0x10, 1), 0x10);
    ck_assert_uint_eq(bus_read(&bus, 0x10, 4), 0xffff1110);
    seen_count = 0;
    bus_write(&bus, 0x10, 4, 0x44332211);
    ck_assert_uint_eq(seen_count, 2);
    ck_assert_uint_eq(seen_value, 0x22);
}
END_TEST

START_TEST(logged_port_keeps_its_owner)
{
    static struct bus bus;
    struct port_device device = {NULL, read_port_number, write_seen, false, false};

    bus_init(&bus);
    bus.log = log_byte;
    bus_attach(&bus, 0x80, 0x80, &device);
    bus.is_logged[0x80] = true;
    seen_count = logged_count = 0;
    bus_write(&bus, 0x80, 1, 'a');
    bus_write(&bus, 0x80, 2, 'c' << 8 | 'b');
    ck_assert_uint_eq(logged_count, 3);
    ck_assert_int_eq(memcmp(logged, "abc", 3), 0);
    ck_assert_uint_eq(seen_count, 2);
}
END_TEST

START_TEST(keyboard_controller_resets_and_tests)
{
    struct pic pic;
    struct keyboard k;

    pic_reset(&pic);
    keyboard_reset(&k, &pic);
    keyboard_write(&k, 0x64, 1, 0xaa, 0);
    ck_assert_uint_eq(keyboard_read(&k, 0x64, 1, 0) & 1, 1);
    ck_assert_uint_eq(keyboard_read(&k, 0x60, 1, 0), 0x55);
    ck_assert_uint_eq(keyboard_read(&k, 0x64, 1, 0) & 1, 0);
    keyboard_write(&k, 0x64, 1, 0xd1, 0);
    keyboard_write(&k, 0x60, 1, 0xdf, 0); /* A20 on */
    ck_assert_uint_eq(keyboard_read(&k, 0x92, 1, 0), 2);
    ck_assert(!k.wants_reset);
    keyboard_write(&k, 0x64, 1, 0xfe, 0);
    ck_assert(k.wants_reset);
    for (unsigned i = 0; i < 100; i++) /* more answers than fit */
        keyboard_write(&k, 0x60, 1, 0xf2, 0);
    for (unsigned i = 0; i < 100; i++)
        keyboard_read(&k, 0x60, 1, 0);
}
END_TEST

START_TEST(fast_reset)
{
    struct pic pic;
    struct keyboard k;

    pic_reset(&pic);
    keyboard_reset(&k, &pic);
    keyboard_write(&k, 0x92, 1, 2, 0);
    ck_assert(!k.wants_reset);
    keyboard_write(&k, 0x92, 1, 3, 0);
    ck_assert(k.wants_reset);
}
END_TEST

START_TEST(sleep_5_powers_off)
{
    struct pic pic;
    struct acpi acpi;

    pic_reset(&pic);
    acpi_reset(&acpi, &pic);
    ck_assert_uint_eq(acpi_read(&acpi, 0x604, 2, 0), 1); /* always in ACPI mode */
    acpi_write(&acpi, 0x604, 2, 5 << 10, 0);
    ck_assert(!acpi.wants_power_off);
    acpi_write(&acpi, 0x604, 2, 1 << 10 | 1 << 13, 0);
    ck_assert(!acpi.wants_power_off);
    acpi_write(&acpi, 0x604, 2, 5 << 10 | 1 << 13, 0);
    ck_assert(acpi.wants_power_off);
    ck_assert_uint_eq(acpi_read(&acpi, 0x608, 4, 1000000000), 3579545);
}
END_TEST

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    for (size_t i = 0; i < size; i++)
        total = (uint8_t)(total + bytes[i]);
    return total;
}

START_TEST(tables_sum_to_zero)
{
    static const unsigned tables[] = {0x40, 0x80, 0x100, 0x280};
    struct memory memory;
    struct problem problem;
    const uint8_t *at;
    uint32_t size;

    ck_assert(memory_make(&memory, 2 << 20, &problem));
    acpi_write_tables(&memory);
    at = memory_at(&memory, ACPI_RSDP, 0x1000);
    ck_assert_int_eq(memcmp(at, "RSD PTR ", 8), 0);
    ck_assert_uint_eq(sum(at, 20), 0);
    ck_assert_uint_eq(sum(at, 36), 0);
    for (unsigned i = 0; i < 4; i++) {
        memcpy(&size, at + tables[i] + 4, 4);
        ck_assert_uint_lt(size, 0x1000);
        ck_assert_uint_eq(sum(at + tables[i], size), 0);
    }
    memory_free(&memory);
}
END_TEST

START_TEST(memory_has_a_hole_and_an_end)
{
    struct memory memory;
    struct problem problem;
    uint32_t word = 0;

    ck_assert(memory_make(&memory, 2 << 20, &problem));
    ck_assert_ptr_nonnull(memory_at(&memory, 0, 0xa0000));
    ck_assert_ptr_null(memory_at(&memory, 0, 0xa0001));
    ck_assert_ptr_null(memory_at(&memory, 0xbffff, 2));
    ck_assert_ptr_nonnull(memory_at(&memory, 0xc0000, 0x140000));
    ck_assert_ptr_null(memory_at(&memory, 0xc0000, 0x140001));
    ck_assert_ptr_null(memory_at(&memory, UINT64_MAX, 2));
    ck_assert_ptr_null(memory_at(&memory, 2, UINT64_MAX));
    ck_assert_ptr_null(memory_at(&memory, MEMORY_HIGH_START, 1));
    memory_write(&memory, 0x1ffffe, "\1\2\3\4", 4);
    memory_read(&memory, 0x1ffffe, &word, 4);
    ck_assert_uint_eq(word, 0xffff0201);
    memory_read(&memory, UINT64_MAX - 1, &word, 4);
    memory_free(&memory);
}
END_TEST

TCase *board_cases(void)
{
    TCase *cases = tcase_create("board");

    tcase_add_test(cases, nobody_answers_with_ones);
    tcase_add_test(cases, wide_accesses_are_split_over_ports);
    tcase_add_test(cases, logged_port_keeps_its_owner);
    tcase_add_test(cases, keyboard_controller_resets_and_tests);
    tcase_add_test(cases, fast_reset);
    tcase_add_test(cases, sleep_5_powers_off);
    tcase_add_test(cases, tables_sum_to_zero);
    tcase_add_test(cases, memory_has_a_hole_and_an_end);
    return cases;
}
