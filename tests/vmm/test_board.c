/* SPDX-License-Identifier: MIT */
/*
 * The rest of the board: the bus, the keyboard controller, power management and its tables, memory, time.
 */
#include <stdlib.h>
#include <string.h>

#include "cases.h"

#include "../../vmm/acpi.h"
#include "../../vmm/bus.h"
#include "../../vmm/keyboard.h"
#include "../../vmm/machine.h"
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

/* QEMU's isa-debugcon answers so; whoever owns the port comes first, as late as firmware may place it. */
START_TEST(logged_port_without_an_owner_is_a_debug_console)
{
    static struct bus bus;
    struct port_device device = {NULL, read_port_number, write_seen, false, false};
    unsigned number;

    bus_init(&bus);
    bus.is_logged[0x402] = true;
    ck_assert_uint_eq(bus_read(&bus, 0x402, 1), 0xe9);
    ck_assert_uint_eq(bus_read(&bus, 0x402, 2), 0xffe9);
    ck_assert_uint_eq(bus_read(&bus, 0x401, 1), 0xff);
    number = bus_add(&bus, &device);
    bus_offer(&bus, 0x400, 0x43f, number);
    ck_assert_uint_eq(bus_read(&bus, 0x402, 1), 0x02);
    bus_withdraw(&bus, 0x400, 0x43f, number);
    ck_assert_uint_eq(bus_read(&bus, 0x402, 1), 0xe9);
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

static void expect(struct keyboard *k, uint8_t command, uint8_t byte, const char *answers)
{
    keyboard_write(k, 0x60, 1, command, 0);
    ck_assert_uint_eq(keyboard_read(k, 0x60, 1, 0), 0xfa);
    keyboard_write(k, 0x60, 1, byte, 0);
    for (; *answers; answers++)
        ck_assert_uint_eq(keyboard_read(k, 0x60, 1, 0), (uint8_t)*answers);
    ck_assert_uint_eq(keyboard_read(k, 0x64, 1, 0) & 1, 0);
}

/* GRUB waits for an answer that isn't an acknowledgement. */
START_TEST(keyboard_tells_its_scan_codes)
{
    struct pic pic;
    struct keyboard k;

    pic_reset(&pic);
    keyboard_reset(&k, &pic);
    expect(&k, 0xf0, 0, "\xfa\2");
    expect(&k, 0xf0, 1, "\xfa");
    expect(&k, 0xf0, 0, "\xfa\1");
    keyboard_write(&k, 0x64, 1, 0x60, 0);
    keyboard_write(&k, 0x60, 1, 0x40, 0); /* translated */
    expect(&k, 0xf0, 0, "\xfa\x43");
    expect(&k, 0xf0, 2, "\xfa");
    expect(&k, 0xf0, 0, "\xfa\x41");
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

static const uint8_t *find_table(const struct acpi_tables *t, const char *signature)
{
    for (unsigned i = 0; i < t->table_count; i++)
        if (memcmp(t->table[i].signature, signature, 4) == 0)
            return t->bytes + t->table[i].offset;
    return NULL;
}

START_TEST(tables_sum_to_zero)
{
    static struct acpi_tables t;

    for (unsigned has_apic = 0; has_apic < 2; has_apic++) {
        acpi_build(&t, 0x12345000, 64, has_apic);
        ck_assert_int_eq(memcmp(t.bytes, "RSD PTR ", 8), 0);
        ck_assert_uint_eq(sum(t.bytes, 20), 0);
        ck_assert_uint_eq(sum(t.bytes, 36), 0);
        ck_assert_uint_eq(t.table_count, 5 + has_apic);
        for (unsigned i = 0; i < t.table_count; i++) {
            const uint8_t *at = t.bytes + t.table[i].offset;
            uint32_t size;

            memcpy(&size, at + 4, 4);
            ck_assert_uint_eq(size, t.table[i].size);
            ck_assert_uint_le(t.table[i].offset + size, t.size);
            for (unsigned j = 0; j < i; j++)
                ck_assert(t.table[i].offset + size <= t.table[j].offset ||
                          t.table[j].offset + t.table[j].size <= t.table[i].offset);
            if (memcmp(at, "FACS", 4) != 0)
                ck_assert_uint_eq(sum(at, size), 0);
        }
        ck_assert_ptr_nonnull(find_table(&t, "FACP"));
        ck_assert_int_eq(find_table(&t, "APIC") != NULL, has_apic);
    }
}
END_TEST

/* Each pointer leads to a table, and no other byte depends on where they stand: but the checksums. */
START_TEST(tables_tell_where_their_pointers_are)
{
    static struct acpi_tables low, high;
    uint8_t known[ACPI_ROOM] = {0};

    acpi_build(&low, 0, 2, true);
    acpi_build(&high, 0x7fff0000, 2, true);
    ck_assert_uint_eq(low.size, high.size);
    for (unsigned i = 0; i < low.pointer_count; i++) {
        uint64_t there = 0, here = 0;
        bool found = false;

        memcpy(&there, low.bytes + low.pointer[i].offset, low.pointer[i].size);
        memcpy(&here, high.bytes + high.pointer[i].offset, high.pointer[i].size);
        ck_assert_uint_eq(here, there + 0x7fff0000);
        for (unsigned j = 0; j < low.table_count; j++)
            found |= low.table[j].offset == there;
        ck_assert(found);
        memset(known + low.pointer[i].offset, 1, low.pointer[i].size);
    }
    known[8] = known[32] = 1;
    for (unsigned j = 0; j < low.table_count; j++)
        known[low.table[j].offset + 9] = 1;
    for (unsigned i = 0; i < low.size; i++)
        ck_assert(known[i] || low.bytes[i] == high.bytes[i]);
}
END_TEST

START_TEST(madt_lists_all_controllers)
{
    static struct acpi_tables t;
    unsigned processors = 0, others = 0;
    const uint8_t *madt;
    uint32_t size;

    acpi_build(&t, ACPI_RSDP, 5, true);
    madt = find_table(&t, "APIC");
    memcpy(&size, madt + 4, 4);
    for (uint32_t at = 44; at < size; at += madt[at + 1]) {
        ck_assert_uint_ge(madt[at + 1], 2);
        if (madt[at] == 0) {
            ck_assert_uint_eq(madt[at + 3], processors);
            ck_assert_uint_eq(madt[at + 4], 1);
            processors++;
        } else {
            others |= 1u << madt[at];
        }
    }
    ck_assert_uint_eq(processors, 5);
    ck_assert_uint_eq(others, 1 << 1 | 1 << 2 | 1 << 4); /* the I/O APIC, overrides, NMI */
}
END_TEST

START_TEST(tables_are_written_where_there_is_room)
{
    struct memory memory;
    struct problem problem;

    ck_assert(memory_make(&memory, 2 << 20, &problem));
    acpi_write_tables(&memory, 1, true);
    ck_assert_int_eq(memcmp(memory_at(&memory, ACPI_RSDP, 8), "RSD PTR ", 8), 0);
    memory_free(&memory);
    memory = (struct memory){0};
    acpi_write_tables(&memory, 1, true);
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
    memory_write(&memory, 0xb7ffe, "\1\2\3\4", 4); /* text memory is RAM, and what is below it nothing */
    memory_read(&memory, 0xb7ffe, &word, 4);
    ck_assert_uint_eq(word, 0x0403ffff);
    memory_write(&memory, 0x1ffffe, "\1\2\3\4", 4);
    memory_read(&memory, 0x1ffffe, &word, 4);
    ck_assert_uint_eq(word, 0xffff0201);
    memory_read(&memory, UINT64_MAX - 1, &word, 4);
    memory_free(&memory);
}
END_TEST

/* In turns, with --max-insns: what was due before now is due now, however many instructions are left. */
START_TEST(what_is_overdue_is_served_at_once)
{
    struct options options = {.max_insns = 1000000};
    struct machine *m = calloc(1, sizeof *m);
    WHV_PARTITION_PROPERTY property = {.ProcessorCount = 1};

    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(WHvCreatePartition(&m->partition), S_OK);
    ck_assert_int_eq(WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeProcessorCount, &property,
                                             sizeof property), S_OK);
    ck_assert_int_eq(WHvSetPartitionProperty(m->partition, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock,
                                             &(UINT32){SwhpClockVirtual}, sizeof(UINT32)), S_OK);
    ck_assert_int_eq(WHvSetupPartition(m->partition), S_OK);
    ck_assert_int_eq(WHvCreateVirtualProcessor(m->partition, 0, 0), S_OK);
    m->options = &options;
    m->processor_count = 1;
    m->is_in_turns = true;
    m->ns_per_count = UINT64_C(1) << 32;
    pic_reset(&m->pic);
    pit_reset(&m->pit, &m->pic);
    rtc_reset(&m->rtc, &m->pic, 0, 0, RTC_VIRTUAL_START);
    m->poll_time = 5000;
    machine_schedule(m);
    ck_assert_uint_eq(m->until, 5000);
    ck_assert_int_eq(SwhpAdvanceClock(m->partition, 5001), S_OK);
    machine_schedule(m);
    ck_assert_uint_eq(m->until, 5000);
    WHvDeletePartition(m->partition);
    free(m);
}
END_TEST

TCase *board_cases(void)
{
    TCase *cases = tcase_create("board");

    tcase_add_test(cases, nobody_answers_with_ones);
    tcase_add_test(cases, wide_accesses_are_split_over_ports);
    tcase_add_test(cases, logged_port_keeps_its_owner);
    tcase_add_test(cases, logged_port_without_an_owner_is_a_debug_console);
    tcase_add_test(cases, keyboard_controller_resets_and_tests);
    tcase_add_test(cases, keyboard_tells_its_scan_codes);
    tcase_add_test(cases, fast_reset);
    tcase_add_test(cases, sleep_5_powers_off);
    tcase_add_test(cases, tables_sum_to_zero);
    tcase_add_test(cases, tables_tell_where_their_pointers_are);
    tcase_add_test(cases, madt_lists_all_controllers);
    tcase_add_test(cases, tables_are_written_where_there_is_room);
    tcase_add_test(cases, memory_has_a_hole_and_an_end);
    tcase_add_test(cases, what_is_overdue_is_served_at_once);
    return cases;
}
