/* SPDX-License-Identifier: MIT */
/*
 * The tables that describe this machine (ACPI 6.3, chapter 5).
 */
#include <string.h>

#include "acpi.h"
#include "ioapic.h"
#include "memory.h"

struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct generic_address {
    uint8_t space, width, offset, access;
    uint64_t address;
} __attribute__((packed));

/* ACPI 6.3, table 5-33; revision 5 ends before the hypervisor's identity. */
struct fadt {
    struct table_header header;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci_irq;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_size, pm1_control_size, pm2_control_size, pm_timer_size, gpe0_size, gpe1_size,
        gpe1_base, cst;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_flags;
    uint8_t reserved1;
    uint32_t flags;
    struct generic_address reset_register;
    uint8_t reset_value;
    uint16_t arm_flags;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct generic_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control,
        x_pm_timer;
    struct generic_address x_gpe0, x_gpe1, sleep_control, sleep_status;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 268, "FADT of revision 5");

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct madt_start {
    uint32_t local_apic, flags;
} __attribute__((packed));

struct madt_header {
    uint8_t type, length;
} __attribute__((packed));

struct madt_processor {
    struct madt_header header;
    uint8_t uid, apic_id;
    uint32_t flags;
} __attribute__((packed));

struct madt_io_apic {
    struct madt_header header;
    uint8_t id, reserved;
    uint32_t gpa, first_interrupt;
} __attribute__((packed));

struct madt_override {
    struct madt_header header;
    uint8_t bus, irq;
    uint32_t interrupt;
    uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
    struct madt_header header;
    uint8_t uid; /* FF: all */
    uint16_t flags;
    uint8_t lint;
} __attribute__((packed));

enum {
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_OVERRIDE = 2,
    MADT_LOCAL_NMI = 4,
    MADT_ENABLED = 1,
    MADT_HAS_PIC = 1,
    MADT_HIGH_LEVEL = 0xd,

    BOOT_LEGACY_DEVICES = 1, /* and no flag for the 8042: nobody types on this machine */
    BOOT_NO_DISPLAY = 4,
    FADT_WBINVD = 1,
    FADT_NO_POWER_BUTTON = 0x10,
    FADT_NO_SLEEP_BUTTON = 0x20,
    FADT_TIMER_32_BITS = 0x100,
    FADT_RESET = 0x400,
    SPACE_IO = 1,

    HEADER_SIZE = sizeof(struct table_header),

    /* Places in the piece. */
    AT_RSDP = 0,
    AT_RSDT = 0x40,
    AT_XSDT = 0x80,
    AT_FADT = 0x100,
    AT_FACS = 0x240, /* of 64 bytes, and aligned so */
    AT_DSDT = 0x280,
    AT_MADT = 0x400,
};

/*
 * DefinitionBlock ("", "DSDT", 2, "SWHP", "SOFTWHP", 1)
 * {
 *     Name (\_S5, Package () {5, 5, 0, 0})
 *     Scope (\_SB)
 *     {
 *         Device (COM1) { Name (_HID, EisaId ("PNP0501")) Name (_UID, 1)
 *             Name (_CRS, ResourceTemplate () { IO (Decode16, 0x3F8, 0x3F8, 1, 8) IRQNoFlags () {4} }) }
 *         Device (RTC0) { Name (_HID, EisaId ("PNP0B00"))
 *             Name (_CRS, ResourceTemplate () { IO (Decode16, 0x70, 0x70, 1, 2) IRQNoFlags () {8} }) }
 *     }
 * }
 */
static const uint8_t dsdt_code[] = {
    0x08, '\\', '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00, /* _S5 */
    0x10, 0x4b, 0x05, '\\', '_', 'S', 'B', '_',                                           /* Scope (\_SB) */
    0x5b, 0x82, 0x2b, 'C', 'O', 'M', '1',
    0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x05, 0x01,
    0x08, '_', 'U', 'I', 'D', 0x01,
    0x08, '_', 'C', 'R', 'S', 0x11, 0x10, 0x0a, 0x0d,
    0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08, 0x22, 0x10, 0x00, 0x79, 0x00,
    0x5b, 0x82, 0x25, 'R', 'T', 'C', '0',
    0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0b, 0x00,
    0x08, '_', 'C', 'R', 'S', 0x11, 0x10, 0x0a, 0x0d,
    0x47, 0x01, 0x70, 0x00, 0x70, 0x00, 0x01, 0x02, 0x22, 0x00, 0x01, 0x79, 0x00,
};

static uint8_t checksum(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)-sum;
}

static void note(struct acpi_tables *t, const char *signature, uint32_t offset, uint32_t size)
{
    memcpy(t->table[t->table_count].signature, signature, 4);
    t->table[t->table_count].offset = offset;
    t->table[t->table_count++].size = size;
    if (offset + size > t->size)
        t->size = offset + size;
}

/* Puts a table there: a header made here, and the body behind it. */
static void put_table(struct acpi_tables *t, uint32_t offset, const char *signature, uint8_t revision,
                      const void *body, size_t body_size)
{
    struct table_header header = {
        .length = (uint32_t)(sizeof header + body_size),
        .revision = revision,
        .oem_id = {'S', 'W', 'H', 'P', ' ', ' '},
        .oem_table_id = {'S', 'O', 'F', 'T', 'W', 'H', 'P', ' '},
        .oem_revision = 1,
        .creator_id = {'S', 'W', 'H', 'P'},
        .creator_revision = 1,
    };
    uint8_t *table = t->bytes + offset;

    memcpy(header.signature, signature, 4);
    memcpy(table, &header, sizeof header);
    memcpy(table + sizeof header, body, body_size);
    table[offsetof(struct table_header, checksum)] = checksum(table, sizeof header + body_size);
    note(t, signature, offset, header.length);
}

static void pointer(struct acpi_tables *t, uint32_t offset, uint8_t size)
{
    t->pointer[t->pointer_count].offset = offset;
    t->pointer[t->pointer_count++].size = size;
}

static struct generic_address port(uint16_t address, uint8_t bytes)
{
    return (struct generic_address){SPACE_IO, (uint8_t)(8 * bytes), 0, bytes == 4 ? 3 : bytes, address};
}

void acpi_place_ports(void *table, uint16_t base)
{
    struct fadt *fadt = table;
    uint16_t control = (uint16_t)(base + ACPI_PORT_CONTROL - ACPI_PORT_EVENT);
    uint16_t timer = (uint16_t)(base + ACPI_PORT_TIMER - ACPI_PORT_EVENT);

    fadt->pm1a_event = base;
    fadt->pm1a_control = control;
    fadt->pm_timer = timer;
    fadt->x_pm1a_event = port(base, 4);
    fadt->x_pm1a_control = port(control, 2);
    fadt->x_pm_timer = port(timer, 4);
}

static void put_fadt(struct acpi_tables *t)
{
    uint32_t base = (uint32_t)t->gpa;
    struct fadt fadt = {
        .facs = base + AT_FACS,
        .dsdt = base + AT_DSDT,
        .sci_irq = ACPI_IRQ,
        .pm1_event_size = 4,
        .pm1_control_size = 2,
        .pm_timer_size = 4,
        .c2_latency = 0xffff, /* there is no C2 and no C3 */
        .c3_latency = 0xffff,
        .century = 0x32,
        .boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_DISPLAY,
        .flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_TIMER_32_BITS | FADT_RESET,
        .reset_register = {SPACE_IO, 8, 0, 1, 0xcf9},
        .reset_value = 6,
        .x_dsdt = t->gpa + AT_DSDT,
    };

    acpi_place_ports(&fadt, ACPI_PORT_EVENT);
    put_table(t, AT_FADT, "FACP", 5, (uint8_t *)&fadt + sizeof fadt.header, sizeof fadt - sizeof fadt.header);
    pointer(t, AT_FADT + offsetof(struct fadt, facs), 4);
    pointer(t, AT_FADT + offsetof(struct fadt, dsdt), 4);
    pointer(t, AT_FADT + offsetof(struct fadt, x_dsdt), 8);
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

/* ACPI 6.3, 5.2.12. The processors' numbers are their APIC IDs; all are below 255, so none needs an x2APIC entry. */
static void put_madt(struct acpi_tables *t, unsigned processors)
{
    struct {
        struct madt_start start;
        uint8_t entries[ACPI_ROOM - AT_MADT - sizeof(struct table_header) - sizeof(struct madt_start)];
    } __attribute__((packed)) body = {{.local_apic = 0xfee00000, .flags = MADT_HAS_PIC}, {0}};
    const struct madt_io_apic io = {{MADT_IO_APIC, sizeof io}, 0, 0, (uint32_t)IOAPIC_GPA, 0};
    const struct madt_override timer = {{MADT_OVERRIDE, sizeof timer}, 0, 0, IOAPIC_PIN_TIMER, 0};
    const struct madt_override sci = {{MADT_OVERRIDE, sizeof sci}, 0, ACPI_IRQ, ACPI_IRQ, MADT_HIGH_LEVEL};
    const struct madt_nmi nmi = {{MADT_LOCAL_NMI, sizeof nmi}, 0xff, 0, 1};
    uint8_t *at = body.entries;

    for (unsigned i = 0; i < processors; i++) {
        const struct madt_processor p = {{MADT_LOCAL_APIC, sizeof p}, (uint8_t)i, (uint8_t)i, MADT_ENABLED};

        at = append(at, &p, sizeof p);
    }
    at = append(at, &io, sizeof io);
    at = append(at, &timer, sizeof timer);
    at = append(at, &sci, sizeof sci);
    at = append(at, &nmi, sizeof nmi);
    put_table(t, AT_MADT, "APIC", 4, &body, (size_t)(at - (uint8_t *)&body));
}

void acpi_build(struct acpi_tables *t, uint64_t gpa, unsigned processors, bool has_apic)
{
    struct rsdp rsdp = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'S', 'W', 'H', 'P', ' ', ' '},
        .revision = 2,
        .rsdt = (uint32_t)gpa + AT_RSDT,
        .length = sizeof rsdp,
        .xsdt = gpa + AT_XSDT,
    };
    const uint8_t facs[64] = {'F', 'A', 'C', 'S', sizeof facs, [32] = 2 /* version */};
    const uint64_t wide[2] = {gpa + AT_FADT, gpa + AT_MADT};
    const uint32_t narrow[2] = {(uint32_t)wide[0], (uint32_t)wide[1]};
    unsigned count = has_apic ? 2 : 1;

    memset(t, 0, sizeof *t);
    t->gpa = gpa;
    rsdp.checksum = checksum(&rsdp, 20);
    rsdp.extended_checksum = checksum(&rsdp, sizeof rsdp);
    memcpy(t->bytes + AT_RSDP, &rsdp, sizeof rsdp);
    pointer(t, AT_RSDP + offsetof(struct rsdp, rsdt), 4);
    pointer(t, AT_RSDP + offsetof(struct rsdp, xsdt), 8);
    put_table(t, AT_RSDT, "RSDT", 1, narrow, count * sizeof narrow[0]);
    put_table(t, AT_XSDT, "XSDT", 1, wide, count * sizeof wide[0]);
    for (uint32_t i = 0; i < count; i++) {
        pointer(t, AT_RSDT + HEADER_SIZE + 4 * i, 4);
        pointer(t, AT_XSDT + HEADER_SIZE + 8 * i, 8);
    }
    put_fadt(t);
    memcpy(t->bytes + AT_FACS, facs, sizeof facs);
    note(t, "FACS", AT_FACS, sizeof facs);
    put_table(t, AT_DSDT, "DSDT", 2, dsdt_code, sizeof dsdt_code);
    if (has_apic)
        put_madt(t, processors);
}

void acpi_write_tables(const struct memory *memory, unsigned processors, bool has_apic)
{
    struct acpi_tables tables;
    uint8_t *at;

    acpi_build(&tables, ACPI_RSDP, processors, has_apic);
    at = memory_at(memory, ACPI_RSDP, tables.size);
    if (at)
        memcpy(at, tables.bytes, tables.size);
}
