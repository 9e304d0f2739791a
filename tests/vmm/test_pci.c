/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space: accesses of every size, what can't be written, and what the registers switch.
 */
#include "cases.h"

#include "../../vmm/bus.h"
#include "../../vmm/memory.h"
#include "../../vmm/pci.h"

static struct pci pci;
static unsigned changes;

static void note_change(void *context)
{
    (void)context;
    changes++;
}

static void setup(void)
{
    pci_reset(&pci, false);
    pci.changed = note_change;
    changes = 0;
}

static void point_at(unsigned devfn, unsigned offset)
{
    pci_write(&pci, 0xcf8, 4, 0x80000000 | devfn << 8 | offset, 0);
}

static uint32_t in(unsigned devfn, unsigned offset, unsigned size)
{
    point_at(devfn, offset);
    return pci_read(&pci, (uint16_t)(0xcfc + (offset & 3)), size, 0);
}

static void out(unsigned devfn, unsigned offset, unsigned size, uint32_t value)
{
    point_at(devfn, offset);
    pci_write(&pci, (uint16_t)(0xcfc + (offset & 3)), size, value, 0);
}

/* As firmware tells mechanism 1 from its absence. */
START_TEST(the_address_reads_back_as_a_dword_only)
{
    pci_write(&pci, 0xcf8, 4, 0x80000000, 0);
    ck_assert_uint_eq(pci_read(&pci, 0xcf8, 4, 0), 0x80000000);
    pci_write(&pci, 0xcf8, 4, 0xffffffff, 0);
    ck_assert_uint_eq(pci_read(&pci, 0xcf8, 4, 0), 0x80fffffc);
    pci_write(&pci, 0xcf8, 1, 0, 0);
    pci_write(&pci, 0xcfb, 1, 1, 0);
    ck_assert_uint_eq(pci_read(&pci, 0xcf8, 4, 0), 0x80fffffc);
    ck_assert_uint_eq(pci_read(&pci, 0xcf8, 1, 0) & 0xff, 0xff);
}
END_TEST

START_TEST(functions_are_where_they_belong)
{
    static const struct {
        uint8_t devfn;
        uint32_t id, class;
    } there[] = {{0, 0x12378086, 0x06000002}, {8, 0x70008086, 0x06010000}, {9, 0x70108086, 0x01010000},
                 {11, 0x71138086, 0x06800003}};
    unsigned found = 0;

    for (unsigned devfn = 0; devfn < 256; devfn++)
        found += in(devfn, 0, 4) != 0xffffffff;
    ck_assert_uint_eq(found, 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(in(there[i].devfn, 0, 4), there[i].id);
        ck_assert_uint_eq(in(there[i].devfn, 8, 4), there[i].class);
        for (unsigned bar = 0x10; bar < 0x28; bar += 4) {
            out(there[i].devfn, bar, 4, 0xffffffff);
            ck_assert_uint_eq(in(there[i].devfn, bar, 4), 0); /* no base addresses */
        }
        out(there[i].devfn, 0, 4, 0);
        ck_assert_uint_eq(in(there[i].devfn, 0, 4), there[i].id);
    }
    ck_assert_uint_eq(in(8, 0x0e, 1) & 0xff, 0x80); /* more than one function */
    pci_write(&pci, 0xcf8, 4, 0x80010000, 0);       /* bus 1 */
    ck_assert_uint_eq(pci_read(&pci, 0xcfc, 4, 0), 0xffffffff);
    pci_write(&pci, 0xcf8, 4, 0, 0);                /* not enabled */
    ck_assert_uint_eq(pci_read(&pci, 0xcfc, 4, 0), 0xffffffff);
}
END_TEST

START_TEST(parts_of_a_register)
{
    ck_assert_uint_eq(in(0, 0, 1) & 0xff, 0x86);
    ck_assert_uint_eq(in(0, 1, 1) & 0xff, 0x80);
    ck_assert_uint_eq(in(0, 2, 2) & 0xffff, 0x1237);
    ck_assert_uint_eq(in(0, 2, 1) & 0xff, 0x37);
    out(8, 0x61, 1, 0x0b);
    out(8, 0x62, 2, 0x0a05);
    ck_assert_uint_eq(in(8, 0x60, 4), 0x0a050b80);
    out(8, 0x63, 4, 0x01020307); /* reaches beyond CFF */
    ck_assert_uint_eq(in(8, 0x60, 4), 0x07050b80);
    ck_assert_uint_eq(in(8, 0x64, 4), 0);
    ck_assert_uint_eq(in(8, 0x63, 2) & 0xffff, 0xff07);
}
END_TEST

START_TEST(shadow_registers)
{
    for (unsigned i = 0; i < SHADOW_PIECES; i++)
        ck_assert_uint_eq(pci_shadow(&pci, i), 0);
    out(0, 0x58, 4, 0xffffff00 | 0xff);
    ck_assert_uint_eq(in(0, 0x59, 1) & 0xff, 0x30);
    ck_assert_uint_eq(in(0, 0x5a, 1) & 0xff, 0x33);
    out(0, 0x59, 1, 0x10);
    out(0, 0x5a, 1, 0x21);
    out(0, 0x5b, 1, 0x00);
    ck_assert_uint_eq(changes, 4);
    ck_assert_uint_eq(pci_shadow(&pci, 0), SHADOW_READS);  /* C0000 */
    ck_assert_uint_eq(pci_shadow(&pci, 1), SHADOW_WRITES); /* C4000 */
    ck_assert_uint_eq(pci_shadow(&pci, 2), 0);
    for (unsigned i = 12; i < 16; i++)
        ck_assert_uint_eq(pci_shadow(&pci, i), SHADOW_READS); /* F0000 is one piece */
    pci_reset(&pci, true);
    for (unsigned i = 0; i < SHADOW_PIECES; i++)
        ck_assert_uint_eq(pci_shadow(&pci, i), SHADOW_READS | SHADOW_WRITES);
}
END_TEST

START_TEST(power_management_goes_where_it_is_told)
{
    ck_assert_uint_eq(pci_power_base(&pci), 0);
    out(11, 0x40, 4, 0xe401);
    ck_assert_uint_eq(pci_power_base(&pci), 0);
    out(11, 0x80, 1, 1);
    ck_assert_uint_eq(pci_power_base(&pci), 0xe400);
    out(11, 0x40, 4, 0xffffffff);
    ck_assert_uint_eq(in(11, 0x40, 4), 0xffc1);
    ck_assert_uint_eq(pci_power_base(&pci), 0xffc0);
    pci_reset(&pci, true);
    ck_assert_uint_eq(pci_power_base(&pci), 0x600);
    /* SMIs are on already, by which SeaBIOS sees that SMM isn't its to set up. */
    ck_assert_uint_eq(in(11, 0x58, 4) >> 25 & 1, 1);
    out(11, 0x58, 4, 0);
    ck_assert_uint_eq(in(11, 0x58, 4) >> 25 & 1, 1);
}
END_TEST

static uint32_t read_seven(void *device, uint16_t port, unsigned size, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)now;
    return 7;
}

START_TEST(placed_ports_take_only_what_is_free)
{
    static struct bus bus;
    struct port_device device = {NULL, read_seven, ide_write, false, false};
    unsigned first, second;

    bus_init(&bus);
    first = bus_attach(&bus, 0x20, 0x21, &device);
    second = bus_attach(&bus, 0x100, 0x100, &device);
    bus_offer(&bus, 0x10, 0x3f, second);
    ck_assert_uint_eq(bus.owner[0x10], second);
    ck_assert_uint_eq(bus.owner[0x20], first);
    ck_assert_uint_eq(bus.owner[0x3f], second);
    bus_withdraw(&bus, 0x10, 0x3f, second);
    ck_assert_uint_eq(bus.owner[0x10], 0);
    ck_assert_uint_eq(bus.owner[0x21], first);
    bus_offer(&bus, 0xffc0, 0xffff, second);
    ck_assert_uint_eq(bus_read(&bus, 0xffff, 1), 7);
}
END_TEST

TCase *pci_cases(void)
{
    TCase *cases = tcase_create("pci");

    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, the_address_reads_back_as_a_dword_only);
    tcase_add_test(cases, functions_are_where_they_belong);
    tcase_add_test(cases, parts_of_a_register);
    tcase_add_test(cases, shadow_registers);
    tcase_add_test(cases, power_management_goes_where_it_is_told);
    tcase_add_test(cases, placed_ports_take_only_what_is_free);
    return cases;
}
