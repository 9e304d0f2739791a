/* SPDX-License-Identifier: MIT */
/*
 * The chipset's part of the machine: PCI configuration and what it switches, and what firmware is told through fw_cfg.
 */
#ifndef VMM_BOARD_H
#define VMM_BOARD_H

#include <stdbool.h>

#include "fw_cfg.h"
#include "pci.h"
#include "problem.h"

struct machine;

/* The ACPI tables as etc/table-loader and its files. */
bool fw_cfg_add_acpi(struct fw_cfg *fw_cfg, unsigned processors, bool has_apic, struct problem *problem);

/* Firmware has placed the ports of power management: the tables that it loads from now on say so. */
void fw_cfg_place_power(struct fw_cfg *fw_cfg, uint16_t base);

/* Fills fw_cfg from the options. */
bool board_make(struct machine *machine, struct problem *problem);

/* Attaches the devices; after the bus and those devices that they use. */
void board_connect(struct machine *machine);

/* Maps C0000 to FFFFF as the chipset shows it. */
bool board_map(struct machine *machine, struct problem *problem);

#endif
