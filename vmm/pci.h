/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space by mechanism 1, and what sits on bus 0: the functions of an i440FX host bridge and of a
 * PIIX3 and PIIX4 south bridge that firmware looks for. They are configuration registers; what those switch, the
 * machine does when it is told of a change.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PCI_PORT_ADDRESS = 0xcf8,
    PCI_PORT_DATA = 0xcfc,
    PCI_PORT_LAST = 0xcff,

    /* The IDE controller's ports, of which none has a drive. */
    IDE_PRIMARY = 0x1f0,
    IDE_PRIMARY_CONTROL = 0x3f6,
    IDE_SECONDARY = 0x170,
    IDE_SECONDARY_CONTROL = 0x376,
};

enum pci_function_name { PCI_HOST, PCI_ISA, PCI_IDE, PCI_POWER, PCI_FUNCTIONS };

struct pci {
    uint32_t address; /* as written to CF8 */
    uint8_t config[PCI_FUNCTIONS][256];
    void (*changed)(void *context); /* the shadow's registers, or the place of power management */
    void *context;
};

/* The state at power-on; is_set_up: as firmware leaves it, for a kernel that is started without any. */
void pci_reset(struct pci *pci, bool is_set_up);

uint32_t pci_read(void *device, uint16_t port, unsigned size, uint64_t now);
void pci_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

/* What RAM does in the n-th 16 KiB from C0000 on: SHADOW_READS and SHADOW_WRITES of memory.h. */
unsigned pci_shadow(const struct pci *pci, unsigned piece);

/* Where the ports of power management are, or 0: nowhere. */
uint16_t pci_power_base(const struct pci *pci);

/* An IDE channel without drives: nobody drives the lines of its registers, whose pull-downs make them zeros. */
uint32_t ide_read(void *device, uint16_t port, unsigned size, uint64_t now);
void ide_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
