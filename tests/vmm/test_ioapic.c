/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC: registers, edges and levels, masks, delivery modes.
 */
#include <string.h>

#include "cases.h"

#include "../../vmm/ioapic.h"
#include "../../vmm/pic.h"

enum { MASKED = 0x10000, LEVEL = 0x8000, REMOTE_IRR = 0x4000, LOGICAL = 0x800 };

static struct ioapic io;
static struct ioapic_message last;
static unsigned sent;

static void take(void *context, const struct ioapic_message *message)
{
    ck_assert_ptr_eq(context, &io);
    last = *message;
    sent++;
}

static void setup(void)
{
    memset(&io, 0, sizeof io);
    io.send = take;
    io.send_context = &io;
    ioapic_reset(&io);
    sent = 0;
}

static void put(uint64_t offset, uint32_t value)
{
    ioapic_write(&io, offset, (const uint8_t *)&value, 4);
}

static uint32_t get(uint64_t offset)
{
    uint32_t value = 0;

    ioapic_read(&io, offset, (uint8_t *)&value, 4);
    return value;
}

static void set(uint8_t index, uint32_t value)
{
    put(0, index);
    put(0x10, value);
}

static uint32_t read_at(uint8_t index)
{
    put(0, index);
    return get(0x10);
}

static void program(unsigned pin, uint32_t low, uint32_t high)
{
    set((uint8_t)(0x11 + 2 * pin), high);
    set((uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t low_of(unsigned pin)
{
    return read_at((uint8_t)(0x10 + 2 * pin));
}

START_TEST(registers)
{
    ck_assert_uint_eq(read_at(1), 0x00170011);
    set(1, 0);
    ck_assert_uint_eq(read_at(1), 0x00170011);
    set(0, UINT32_MAX);
    ck_assert_uint_eq(read_at(0), 0x0f000000);
    ck_assert_uint_eq(read_at(2), 0x0f000000);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        ck_assert_uint_eq(low_of(pin), MASKED);
        program(pin, UINT32_MAX, UINT32_MAX);
        ck_assert_uint_eq(low_of(pin), 0x1afff); /* no delivery status, no remote IRR */
        ck_assert_uint_eq(read_at((uint8_t)(0x11 + 2 * pin)), 0xff000000);
    }
    for (unsigned n = 0x10 + 2 * IOAPIC_PINS; n < 256; n++) {
        set((uint8_t)n, UINT32_MAX);
        ck_assert_uint_eq(read_at((uint8_t)n), 0);
    }
    ck_assert_uint_eq(sent, 0);
}
END_TEST

START_TEST(accesses_of_other_sizes_and_places)
{
    uint8_t bytes[16];

    ioapic_write(&io, 0, (const uint8_t *)"\1", 1); /* the index takes a byte */
    ck_assert_uint_eq(get(0), 1);
    ioapic_read(&io, 0x12, bytes, 1);
    ck_assert_uint_eq(bytes[0], 0x17);
    put(0, 0x10);
    ioapic_write(&io, 0x10, (const uint8_t *)"\0\0", 2); /* data has 32 bits */
    ioapic_write(&io, 0x11, (const uint8_t *)"\0\0\0\0", 4);
    ck_assert_uint_eq(low_of(0), MASKED);
    for (uint64_t offset = 0; offset < IOAPIC_SIZE - 16; offset++) {
        memset(bytes, 0xff, sizeof bytes);
        ioapic_read(&io, offset, bytes, 16);
        if (offset >= 0x14)
            for (unsigned i = 0; i < 16; i++)
                ck_assert_uint_eq(bytes[i], 0);
        if (offset != 0 && offset != 0x10)
            ioapic_write(&io, offset, bytes, 16);
    }
}
END_TEST

START_TEST(an_edge_is_sent_once)
{
    program(5, 0x41, 0x03000000);
    ioapic_set_pin(&io, 5, true);
    ck_assert_uint_eq(sent, 1);
    ck_assert_uint_eq(last.vector, 0x41);
    ck_assert_uint_eq(last.destination, 3);
    ck_assert(!last.is_level && !last.is_logical);
    ioapic_set_pin(&io, 5, true);
    ioapic_set_pin(&io, 5, false);
    ck_assert_uint_eq(sent, 1);
    ck_assert_uint_eq(low_of(5), 0x41);
    ioapic_set_pin(&io, 5, true);
    ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(a_masked_edge_is_lost)
{
    program(5, 0x41 | MASKED, 0);
    ioapic_set_pin(&io, 5, true);
    program(5, 0x41, 0);
    ck_assert_uint_eq(sent, 0);
    ioapic_set_pin(&io, 5, false);
    ioapic_set_pin(&io, 5, true);
    ck_assert_uint_eq(sent, 1);
}
END_TEST

START_TEST(a_level_is_sent_again_while_it_lasts)
{
    program(9, 0x51 | LEVEL | LOGICAL | IOAPIC_LOWEST << 8, 0x80000000);
    ioapic_set_pin(&io, 9, true);
    ck_assert_uint_eq(sent, 1);
    ck_assert(last.is_level && last.is_logical);
    ck_assert_uint_eq(last.delivery, IOAPIC_LOWEST);
    ck_assert_uint_eq(last.destination, 0x80);
    ck_assert_uint_eq(low_of(9), 0x51 | LEVEL | LOGICAL | 1 << 8 | REMOTE_IRR);
    ioapic_set_pin(&io, 9, false);
    ioapic_set_pin(&io, 9, true); /* the first one isn't ended */
    ioapic_end(&io, 0x52);
    ck_assert_uint_eq(sent, 1);
    ioapic_end(&io, 0x51);
    ck_assert_uint_eq(sent, 2);
    ioapic_set_pin(&io, 9, false);
    ioapic_end(&io, 0x51);
    ck_assert_uint_eq(sent, 2);
    ck_assert_uint_eq(low_of(9) & REMOTE_IRR, 0);
    ioapic_set_pin(&io, 9, true);
    ck_assert_uint_eq(sent, 3);
}
END_TEST

START_TEST(a_masked_level_waits)
{
    program(9, 0x51 | LEVEL | MASKED, 0);
    ioapic_set_pin(&io, 9, true);
    ck_assert_uint_eq(sent, 0);
    program(9, 0x51 | LEVEL, 0);
    ck_assert_uint_eq(sent, 1);
    program(9, 0x51 | LEVEL | MASKED, 0); /* masked before its end, which comes, and finds it there still */
    ioapic_end(&io, 0x51);
    ck_assert_uint_eq(sent, 1);
    program(9, 0x51 | LEVEL, 0);
    ck_assert_uint_eq(sent, 2);
}
END_TEST

/* How a guest ends a level by hand where there is no register for it. */
START_TEST(an_entry_that_becomes_an_edge_has_no_remote_irr)
{
    program(9, 0x51 | LEVEL, 0);
    ioapic_set_pin(&io, 9, true);
    set(0x10 + 18, 0x51 | MASKED);
    set(0x10 + 18, 0x51 | LEVEL);
    ck_assert_uint_eq(sent, 2);
}
END_TEST

START_TEST(two_levels_of_one_vector_end_together)
{
    program(10, 0x61 | LEVEL, 0);
    program(11, 0x61 | LEVEL, 0);
    ioapic_set_pin(&io, 10, true);
    ioapic_set_pin(&io, 11, true);
    ck_assert_uint_eq(sent, 2);
    ioapic_set_pin(&io, 10, false);
    ioapic_end(&io, 0x61);
    ck_assert_uint_eq(sent, 3);
}
END_TEST

START_TEST(other_modes_are_edges)
{
    static const uint8_t modes[] = {IOAPIC_SMI, IOAPIC_NMI, IOAPIC_INIT};

    for (unsigned i = 0; i < sizeof modes; i++) {
        setup();
        program(20, (uint32_t)(LEVEL | modes[i] << 8), 0);
        ioapic_set_pin(&io, 20, true);
        ck_assert_uint_eq(sent, 1);
        ck_assert_uint_eq(last.delivery, modes[i]);
        ck_assert(!last.is_level);
        ck_assert_uint_eq(low_of(20) & REMOTE_IRR, 0);
        ioapic_set_pin(&io, 20, true);
        ck_assert_uint_eq(sent, 1);
    }
}
END_TEST

START_TEST(ext_int_asks_the_other_controllers)
{
    struct ioapic_message m;

    ck_assert(!ioapic_ext_int(&io, &m));
    program(0, IOAPIC_EXTINT << 8 | MASKED, 0x02000000);
    ck_assert(!ioapic_ext_int(&io, &m));
    program(0, IOAPIC_EXTINT << 8 | LOGICAL, 0x02000000);
    ck_assert(ioapic_ext_int(&io, &m));
    ck_assert_uint_eq(m.destination, 2);
    ck_assert(m.is_logical);
    ioapic_set_pin(&io, 0, true);
    ck_assert_uint_eq(sent, 0);
}
END_TEST

/* The same lines as the 8259A's, but for the timer's. */
START_TEST(isa_lines)
{
    struct pic pic = {0};

    pic_reset(&pic);
    pic.wire = ioapic_set_irq;
    pic.wire_context = &io;
    for (unsigned irq = 0; irq < 16; irq++) {
        unsigned pin = irq == 0 ? 2 : irq;

        if (irq == 2) /* the cascade is nobody's line */
            continue;
        program(pin, 0x30 + irq, 0);
        ck_assert(ioapic_lets_through(&io, irq));
        sent = 0;
        pic_set_line(&pic, irq, true);
        ck_assert_uint_eq(sent, 1);
        ck_assert_uint_eq(last.vector, 0x30 + irq);
        pic_set_line(&pic, irq, false);
        program(pin, MASKED, 0);
        ck_assert(!ioapic_lets_through(&io, irq));
    }
}
END_TEST

TCase *ioapic_cases(void)
{
    TCase *cases = tcase_create("ioapic");

    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, registers);
    tcase_add_test(cases, accesses_of_other_sizes_and_places);
    tcase_add_test(cases, an_edge_is_sent_once);
    tcase_add_test(cases, a_masked_edge_is_lost);
    tcase_add_test(cases, a_level_is_sent_again_while_it_lasts);
    tcase_add_test(cases, a_masked_level_waits);
    tcase_add_test(cases, an_entry_that_becomes_an_edge_has_no_remote_irr);
    tcase_add_test(cases, two_levels_of_one_vector_end_together);
    tcase_add_test(cases, other_modes_are_edges);
    tcase_add_test(cases, ext_int_asks_the_other_controllers);
    tcase_add_test(cases, isa_lines);
    return cases;
}
