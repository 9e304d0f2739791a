/* SPDX-License-Identifier: MIT */
/*
 * The power-management ports (ACPI 6.3, chapter 4) of a PC that is always in ACPI mode, and can be powered off, reset,
 * and asked for the time.
 */
#include "acpi.h"

#include <string.h>

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
