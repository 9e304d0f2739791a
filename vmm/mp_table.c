/* SPDX-License-Identifier: MIT */
/*
 * The tables of Intel's MultiProcessor Specification 1.4, chapter 4: a floating pointer that says where the
 * configuration table is, and in that the processors, buses, the I/O APIC and where each interrupt goes.
 */
#include <stddef.h>
#include <string.h>

#include "acpi.h"
#include "ioapic.h"
#include "mp_table.h"

/* 4.1 */
struct floating_pointer {
    char signature[4];
    uint32_t table;
    uint8_t length, revision, checksum, features[5];
};

/* 4.2 */
struct header {
    char signature[4];
    uint16_t length;
    uint8_t revision, checksum;
    char oem_id[8], product_id[12];
    uint32_t oem_table;
    uint16_t oem_size, entries;
    uint32_t local_apic;
    uint16_t extended_length;
    uint8_t extended_checksum, reserved;
};

/* 4.3.1 to 4.3.5 */
struct processor_entry {
    uint8_t type, apic_id, apic_version, flags;
    uint32_t signature, features, reserved[2];
};

struct bus_entry {
    uint8_t type, id;
    char name[6];
};

struct io_apic_entry {
    uint8_t type, id, version, flags;
    uint32_t gpa;
};

struct interrupt_entry {
    uint8_t type, kind;
    uint16_t flags;
    uint8_t bus, irq, apic, pin;
};

_Static_assert(sizeof(struct floating_pointer) == 16 && sizeof(struct header) == 44, "MP 4.1 and 4.2");
_Static_assert(sizeof(struct processor_entry) == 20 && sizeof(struct bus_entry) == 8 &&
                   sizeof(struct io_apic_entry) == 8 && sizeof(struct interrupt_entry) == 8,
               "MP, table 4-3");

enum {
    REVISION = 4, /* 1.4 */
    TYPE_PROCESSOR = 0,
    TYPE_BUS = 1,
    TYPE_IO_APIC = 2,
    TYPE_IO_INTERRUPT = 3,
    TYPE_LOCAL_INTERRUPT = 4,
    ENABLED = 1,
    BOOTSTRAP = 2,
    KIND_VECTOR = 0,
    KIND_NMI = 1,
    KIND_EXTINT = 3,
    AS_ITS_BUS = 0,
    HIGH_LEVEL = 0xd,
    BUS_PCI = 0,
    BUS_ISA = 1,
    IO_APIC_ID = 0,
    IO_APIC_VERSION = 0x11,
    ALL_APICS = 0xff,
    ISA_IRQS = 16,
    IRQ_CASCADE = 2, /* which nothing but the second 8259A is at */
};

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

struct table {
    uint8_t *end;
    uint16_t entries;
};

static void append(struct table *t, const void *entry, size_t size)
{
    memcpy(t->end, entry, size);
    t->end += size;
    t->entries++;
}

static void append_interrupt(struct table *t, uint8_t type, uint8_t kind, uint8_t irq, uint8_t apic, uint8_t pin)
{
    uint16_t flags = type == TYPE_IO_INTERRUPT && irq == ACPI_IRQ ? HIGH_LEVEL : AS_ITS_BUS;
    const struct interrupt_entry e = {type, kind, flags, BUS_ISA, irq, apic, pin};

    append(t, &e, sizeof e);
}

static void append_processors(struct table *t, unsigned count, const struct mp_kind *kind)
{
    for (unsigned i = 0; i < count; i++) {
        const struct processor_entry e = {.type = TYPE_PROCESSOR,
                                          .apic_id = (uint8_t)i,
                                          .apic_version = kind->apic_version,
                                          .flags = i ? ENABLED : ENABLED | BOOTSTRAP,
                                          .signature = kind->signature,
                                          .features = kind->features};

        append(t, &e, sizeof e);
    }
}

/* Sorted by type, as 4.3 wants it. The 8259A's output is at the I/O APIC's first input and at the first processor's
 * LINT0. */
static void append_all(struct table *t, unsigned processors, const struct mp_kind *kind)
{
    const struct bus_entry pci = {TYPE_BUS, BUS_PCI, {'P', 'C', 'I', ' ', ' ', ' '}};
    const struct bus_entry isa = {TYPE_BUS, BUS_ISA, {'I', 'S', 'A', ' ', ' ', ' '}};
    const struct io_apic_entry io = {TYPE_IO_APIC, IO_APIC_ID, IO_APIC_VERSION, ENABLED, (uint32_t)IOAPIC_GPA};

    append_processors(t, processors, kind);
    append(t, &pci, sizeof pci);
    append(t, &isa, sizeof isa);
    append(t, &io, sizeof io);
    append_interrupt(t, TYPE_IO_INTERRUPT, KIND_EXTINT, 0, IO_APIC_ID, IOAPIC_PIN_PIC);
    for (uint8_t irq = 0; irq < ISA_IRQS; irq++)
        if (irq != IRQ_CASCADE)
            append_interrupt(t, TYPE_IO_INTERRUPT, KIND_VECTOR, irq, IO_APIC_ID, irq ? irq : IOAPIC_PIN_TIMER);
    append_interrupt(t, TYPE_LOCAL_INTERRUPT, KIND_EXTINT, 0, 0, 0);
    append_interrupt(t, TYPE_LOCAL_INTERRUPT, KIND_NMI, 0, ALL_APICS, 1);
}

uint32_t mp_build(uint8_t bytes[MP_ROOM], unsigned processors, const struct mp_kind *kind)
{
    struct floating_pointer pointer = {.signature = {'_', 'M', 'P', '_'},
                                       .table = MP_GPA + sizeof pointer,
                                       .length = sizeof pointer / 16,
                                       .revision = REVISION}; /* its features: a table, virtual wire mode */
    struct header header = {.signature = {'P', 'C', 'M', 'P'},
                            .revision = REVISION,
                            .oem_id = {'S', 'O', 'F', 'T', 'W', 'H', 'P', ' '},
                            .product_id = {'P', 'C', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '},
                            .local_apic = 0xfee00000};
    uint8_t *start = bytes + sizeof pointer;
    struct table table = {start + sizeof header, 0};

    append_all(&table, processors, kind);
    header.entries = table.entries;
    header.length = (uint16_t)(table.end - start);
    memcpy(start, &header, sizeof header);
    start[offsetof(struct header, checksum)] = checksum(start, header.length);
    pointer.checksum = checksum((const uint8_t *)&pointer, sizeof pointer);
    memcpy(bytes, &pointer, sizeof pointer);
    return (uint32_t)(table.end - bytes);
}
