/* SPDX-License-Identifier: MIT */
/*
 * What ACPI asks of this machine: the tables that describe it, and the power-management ports.
 */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct memory;
struct pic;

enum {
    ACPI_PORT_EVENT = 0x600,   /* PM1a status and enable, 4 bytes */
    ACPI_PORT_CONTROL = 0x604, /* PM1a control, 2 bytes */
    ACPI_PORT_TIMER = 0x608,   /* the power-management timer, 4 bytes */
    ACPI_PORT_LAST = 0x60b,
    ACPI_IRQ = 9,
    ACPI_RSDP = 0xe0000,
};

struct acpi {
    uint16_t status, enable, control;
    bool wants_power_off;
    struct pic *pic;
};

void acpi_reset(struct acpi *acpi, struct pic *pic);
uint32_t acpi_read(void *device, uint16_t port, unsigned size, uint64_t now);
void acpi_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

/* Writes the tables from ACPI_RSDP on. */
void acpi_write_tables(const struct memory *memory);

#endif
