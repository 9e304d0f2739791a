/* SPDX-License-Identifier: MIT */
/*
 * What ACPI asks of this machine (ACPI 6.3, chapters 4 and 5): a PC without APICs, always in ACPI mode, that
 * can be powered off, reset, and asked for the time.
 */
#include "acpi.h"

#include <string.h>

#include "memory.h"
#include "pic.h"

enum {
    STATUS_TIMER = 0x001, /* the timer's top bit changed */
    STATUS_WRITABLE = 0x8f31,
    ENABLE_WRITABLE = 0x4721,
    CONTROL_SCI = 0x0001,
    CONTROL_SLEEP = 0x2000,
    SLEEP_TYPE_OFF = 5, /* as \_S5 in the DSDT says */
    TIMER_HZ = 3579545,
};

static uint32_t timer(uint64_t now)
{
    return (uint32_t)((unsigned __int128)now * TIMER_HZ / 1000000000u);
}

/* No event ever happens by itself; a guest may enable what it wants. The timer's carry is reported when
 * looked at and interrupts nobody, since its 32 bits make it needless. */
static uint8_t read_byte(struct acpi *acpi, unsigned offset, uint64_t now)
{
    switch (offset) {
    case 0:
    case 1:
        return (uint8_t)(acpi->status >> 8 * offset);
    case 2:
    case 3:
        return (uint8_t)(acpi->enable >> 8 * (offset - 2));
    case 4:
    case 5:
        return (uint8_t)((acpi->control | CONTROL_SCI) >> 8 * (offset - 4));
    case 8 ... 11:
        return (uint8_t)(timer(now) >> 8 * (offset - 8));
    }
    return 0xff;
}

uint32_t acpi_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(device, port - ACPI_PORT_EVENT + i, now) << 8 * i;
    return value;
}

static uint16_t replace(uint16_t word, unsigned index, uint8_t byte)
{
    return (uint16_t)((word & ~(0xff << 8 * index)) | byte << 8 * index);
}

void acpi_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct acpi *acpi = device;

    (void)now;
    for (unsigned i = 0; i < size; i++) {
        unsigned offset = port - ACPI_PORT_EVENT + i;
        uint8_t byte = (uint8_t)(value >> 8 * i);

        switch (offset) {
        case 0:
        case 1: /* writing ones clears */
            acpi->status &= (uint16_t)~(byte << 8 * offset);
            break;
        case 2:
        case 3:
            acpi->enable = replace(acpi->enable, offset - 2, byte) & ENABLE_WRITABLE;
            break;
        case 4:
        case 5:
            acpi->control = replace(acpi->control, offset - 4, byte);
            break;
        }
    }
    if (acpi->control & CONTROL_SLEEP && (acpi->control >> 10 & 7) == SLEEP_TYPE_OFF)
        acpi->wants_power_off = true;
    acpi->control &= (uint16_t)~CONTROL_SLEEP; /* it reads as zero */
    pic_set_line(acpi->pic, ACPI_IRQ, acpi->status & acpi->enable & STATUS_WRITABLE);
}

void acpi_reset(struct acpi *acpi, struct pic *pic)
{
    memset(acpi, 0, sizeof *acpi);
    acpi->pic = pic;
}

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

enum {
    BOOT_LEGACY_DEVICES = 1, /* and no flag for the 8042: nobody types on this machine */
    BOOT_NO_DISPLAY = 4,
    FADT_WBINVD = 1,
    FADT_NO_POWER_BUTTON = 0x10,
    FADT_NO_SLEEP_BUTTON = 0x20,
    FADT_TIMER_32_BITS = 0x100,
    FADT_RESET = 0x400,
    SPACE_IO = 1,

    AT_RSDT = ACPI_RSDP + 0x40,
    AT_XSDT = ACPI_RSDP + 0x80,
    AT_FADT = ACPI_RSDP + 0x100,
    AT_FACS = ACPI_RSDP + 0x240,
    AT_DSDT = ACPI_RSDP + 0x280,
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

/* Puts a table into the guest: a header made here, and the body behind it. */
static void put_table(const struct memory *memory, uint64_t gpa, const char *signature, uint8_t revision,
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
    uint8_t *table = memory_at(memory, gpa, sizeof header + body_size);

    memcpy(header.signature, signature, 4);
    memcpy(table, &header, sizeof header);
    memcpy(table + sizeof header, body, body_size);
    table[offsetof(struct table_header, checksum)] = checksum(table, sizeof header + body_size);
}

static struct generic_address port(uint16_t address, uint8_t bytes)
{
    return (struct generic_address){SPACE_IO, (uint8_t)(8 * bytes), 0, bytes == 4 ? 3 : bytes, address};
}

void acpi_write_tables(const struct memory *memory)
{
    struct fadt fadt = {
        .facs = AT_FACS,
        .dsdt = AT_DSDT,
        .sci_irq = ACPI_IRQ,
        .pm1a_event = ACPI_PORT_EVENT,
        .pm1a_control = ACPI_PORT_CONTROL,
        .pm_timer = ACPI_PORT_TIMER,
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
        .x_dsdt = AT_DSDT,
        .x_pm1a_event = port(ACPI_PORT_EVENT, 4),
        .x_pm1a_control = port(ACPI_PORT_CONTROL, 2),
        .x_pm_timer = port(ACPI_PORT_TIMER, 4),
    };
    struct rsdp rsdp = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'S', 'W', 'H', 'P', ' ', ' '},
        .revision = 2,
        .rsdt = AT_RSDT,
        .length = sizeof rsdp,
        .xsdt = AT_XSDT,
    };
    uint8_t facs[64] = {'F', 'A', 'C', 'S', sizeof facs};
    uint32_t rsdt_entry = AT_FADT;
    uint64_t xsdt_entry = AT_FADT;
    uint8_t *at;

    rsdp.checksum = checksum(&rsdp, 20);
    rsdp.extended_checksum = checksum(&rsdp, sizeof rsdp);
    at = memory_at(memory, ACPI_RSDP, sizeof rsdp);
    if (!at)
        return; /* a guest with less than 1 MiB finds no tables */
    memcpy(at, &rsdp, sizeof rsdp);
    facs[32] = 2; /* version */
    memcpy(memory_at(memory, AT_FACS, sizeof facs), facs, sizeof facs);
    put_table(memory, AT_RSDT, "RSDT", 1, &rsdt_entry, sizeof rsdt_entry);
    put_table(memory, AT_XSDT, "XSDT", 1, &xsdt_entry, sizeof xsdt_entry);
    put_table(memory, AT_FADT, "FACP", 5, (uint8_t *)&fadt + sizeof fadt.header,
              sizeof fadt - sizeof fadt.header);
    put_table(memory, AT_DSDT, "DSDT", 2, dsdt_code, sizeof dsdt_code);
}
