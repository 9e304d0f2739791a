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
    ACPI_TIMER_PERIOD_NS = 280,
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

/* ---- The tables ---- */

enum { ACPI_ROOM = 0x1000, ACPI_TABLES = 8, ACPI_POINTERS = 16 };

/* All tables in one piece, with the RSDP at its start, and what is where in it: for who has to move them. */
struct acpi_tables {
    uint8_t bytes[ACPI_ROOM];
    uint32_t size;
    uint64_t gpa; /* where it is to stand */
    struct {
        char signature[4];
        uint32_t offset, size;
    } table[ACPI_TABLES]; /* but for the RSDP */
    unsigned table_count;
    struct {
        uint32_t offset;
        uint8_t size;
    } pointer[ACPI_POINTERS]; /* addresses within the piece, which are `gpa` and an offset */
    unsigned pointer_count;
};

/* Builds the tables of a machine with so many processors; without APICs there is no MADT. */
void acpi_build(struct acpi_tables *tables, uint64_t gpa, unsigned processors, bool has_apic);

/* Has an FADT say that the ports of power management are at a base; its checksum is the caller's. */
void acpi_place_ports(void *fadt, uint16_t base);

/* Writes them to ACPI_RSDP. A guest with less than 1 MiB finds none. */
void acpi_write_tables(const struct memory *memory, unsigned processors, bool has_apic);

#endif
