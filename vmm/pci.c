/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space (PCI Local Bus Specification 2.1, 3.2.2.3) and its functions, by Intel's data sheets: 82441FX
 * (PMC), 290549; 82371SB (PIIX3), 290550; 82371AB (PIIX4), 290562. One table says what a register holds at reset and
 * which of its bits can be written; all others read as zero.
 */
#include "pci.h"

#include <string.h>

#include "memory.h"

enum {
    ADDRESS_ENABLE = 1u << 31,

    PAM = 0x59,          /* of the host bridge: F0000 in bits 4 and 5, then two areas of 16 KiB in each byte */
    PAM_COUNT = 7,
    PAM_F_READS = 0x10,
    PAM_F_WRITES = 0x20,

    POWER_BASE = 0x40,
    POWER_ENABLE = 0x80, /* PMREGMISC, bit 0 */
    POWER_PLACED_AT = 0x600,
};

static const uint8_t devfns[PCI_FUNCTIONS] = {
    [PCI_HOST] = 0 << 3 | 0, [PCI_ISA] = 1 << 3 | 0, [PCI_IDE] = 1 << 3 | 1, [PCI_POWER] = 1 << 3 | 3};

static const struct {
    uint8_t function, offset, size;
    uint32_t value, writable;
} registers[] = {
    /* The subsystem is QEMU's, by which SeaBIOS knows the machine that has fw_cfg. */
    {PCI_HOST, 0x00, 4, 0x12378086, 0},
    {PCI_HOST, 0x04, 4, 0x02800006, 0x0100},
    {PCI_HOST, 0x08, 4, 0x06000002, 0},
    {PCI_HOST, 0x0d, 1, 0, 0xff},
    {PCI_HOST, 0x2c, 4, 0x11001af4, 0},
    {PCI_HOST, 0x50, 2, 0, 0xffff},       /* PMCCFG */
    {PCI_HOST, 0x52, 2, 0, 0xffff},       /* DETURBO, DRAM control */
    {PCI_HOST, 0x57, 2, 0x0001, 0xffff},  /* DRAM control and timing */
    {PCI_HOST, PAM + 0, 1, 0, 0x30},
    {PCI_HOST, PAM + 1, 1, 0, 0x33},
    {PCI_HOST, PAM + 2, 1, 0, 0x33},
    {PCI_HOST, PAM + 3, 1, 0, 0x33},
    {PCI_HOST, PAM + 4, 1, 0, 0x33},
    {PCI_HOST, PAM + 5, 1, 0, 0x33},
    {PCI_HOST, PAM + 6, 1, 0, 0x33},
    {PCI_HOST, 0x60, 4, 0x01010101, ~0u}, /* DRAM rows */
    {PCI_HOST, 0x64, 4, 0x01010101, ~0u},
    {PCI_HOST, 0x68, 1, 0, 0xc0},         /* fixed DRAM hole */
    {PCI_HOST, 0x72, 1, 0x02, 0x08},      /* SMRAM: no SMM here, so the area can't be opened */

    {PCI_ISA, 0x00, 4, 0x70008086, 0},
    {PCI_ISA, 0x04, 4, 0x02000007, 0x0008},
    {PCI_ISA, 0x08, 4, 0x06010000, 0},
    {PCI_ISA, 0x0e, 1, 0x80, 0},          /* more functions follow */
    {PCI_ISA, 0x2c, 4, 0x11001af4, 0},
    {PCI_ISA, 0x4c, 1, 0x4d, 0x7f},       /* recovery timing */
    {PCI_ISA, 0x4e, 2, 0x0003, 0x0fff},   /* XBCS */
    {PCI_ISA, 0x60, 4, 0x80808080, 0x8f8f8f8f}, /* PIRQRC: no line is routed */
    {PCI_ISA, 0x69, 1, 0x02, 0xfe},       /* top of memory */
    {PCI_ISA, 0x6a, 2, 0, 0x8003},
    {PCI_ISA, 0x70, 2, 0x8080, 0xefef},   /* motherboard IRQs */
    {PCI_ISA, 0x76, 2, 0x0c0c, 0x8787},
    {PCI_ISA, 0x78, 2, 0x0002, 0xffff},
    {PCI_ISA, 0x82, 1, 0, 0x0f},

    {PCI_IDE, 0x00, 4, 0x70108086, 0},
    {PCI_IDE, 0x04, 4, 0x02800000, 0x0001},
    {PCI_IDE, 0x08, 4, 0x01010000, 0},    /* at the compatible ports, without bus mastering */
    {PCI_IDE, 0x0d, 1, 0, 0xff},
    {PCI_IDE, 0x2c, 4, 0x11001af4, 0},
    {PCI_IDE, 0x40, 4, 0, 0xffffffff},    /* timing, and the channels' decoding */
    {PCI_IDE, 0x44, 1, 0, 0xff},

    {PCI_POWER, 0x00, 4, 0x71138086, 0},
    {PCI_POWER, 0x04, 4, 0x02800000, 0x0001},
    {PCI_POWER, 0x08, 4, 0x06800003, 0},
    {PCI_POWER, 0x2c, 4, 0x11001af4, 0},
    {PCI_POWER, 0x3c, 2, 0x0109, 0x00ff}, /* the SCI is hardwired to IRQ 9 */
    {PCI_POWER, POWER_BASE, 4, 0x00000001, 0x0000ffc0},
    {PCI_POWER, 0x58, 4, 0x02000000, 0xfdffffff}, /* DEVACTB: APMC_EN stands, so firmware leaves SMM alone */
    {PCI_POWER, 0x5c, 4, 0x90000000, 0x6fffffff},
    {PCI_POWER, 0x60, 4, 0x60000000, 0x1fffffff},
    {PCI_POWER, 0x64, 4, 0x08000000, 0xf7ffffff}, /* serial port 1 is decoded */
    {PCI_POWER, POWER_ENABLE, 1, 0, 0x01},
    {PCI_POWER, 0x90, 4, 0x00000001, 0x0000fff0}, /* SMBus: it can be placed and has no devices */
    {PCI_POWER, 0xd2, 1, 0, 0x0f},
};

enum { REGISTERS = sizeof registers / sizeof registers[0] };

static uint8_t writable_bits(unsigned function, unsigned offset)
{
    for (unsigned i = 0; i < REGISTERS; i++)
        if (registers[i].function == function && offset - registers[i].offset < registers[i].size)
            return (uint8_t)(registers[i].writable >> 8 * (offset - registers[i].offset));
    return 0;
}

/* The function that CF8 points at, or none. */
static int pointed_at(const struct pci *pci)
{
    if (!(pci->address & ADDRESS_ENABLE) || pci->address >> 16 & 0xff)
        return -1;
    for (int i = 0; i < PCI_FUNCTIONS; i++)
        if (devfns[i] == (pci->address >> 8 & 0xff))
            return i;
    return -1;
}

uint32_t pci_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct pci *pci = device;
    uint32_t value = 0;
    int function = pointed_at(pci);

    (void)now;
    if (port < PCI_PORT_DATA) /* anything but a dword passes on to ISA, where nobody is */
        return port == PCI_PORT_ADDRESS && size == 4 ? pci->address : UINT32_MAX;
    if (function < 0)
        return UINT32_MAX;
    for (unsigned i = 0; i < size; i++) {
        unsigned offset = (pci->address & 0xfc) + (port & 3) + i;

        value |= (uint32_t)((port & 3) + i < 4 ? pci->config[function][offset] : 0xff) << 8 * i;
    }
    return value;
}

void pci_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct pci *pci = device;
    int function = pointed_at(pci);

    (void)now;
    if (port < PCI_PORT_DATA) {
        if (port == PCI_PORT_ADDRESS && size == 4)
            pci->address = value & 0x80fffffc;
        return;
    }
    if (function < 0)
        return;
    for (unsigned i = 0; i < size && (port & 3) + i < 4; i++) {
        unsigned offset = (pci->address & 0xfc) + (port & 3) + i;
        uint8_t mask = writable_bits((unsigned)function, offset), *at = &pci->config[function][offset];

        *at = (uint8_t)((*at & ~mask) | (value >> 8 * i & mask));
    }
    if (pci->changed)
        pci->changed(pci->context);
}

unsigned pci_shadow(const struct pci *pci, unsigned piece)
{
    const uint8_t *pam = &pci->config[PCI_HOST][PAM];
    unsigned bits = piece < 12 ? pam[1 + piece / 2] >> 4 * (piece & 1) : pam[0] >> 4;

    return (bits & 1 ? SHADOW_READS : 0) | (bits & 2 ? SHADOW_WRITES : 0);
}

uint16_t pci_power_base(const struct pci *pci)
{
    const uint8_t *config = pci->config[PCI_POWER];

    if (!(config[POWER_ENABLE] & 1))
        return 0;
    return (uint16_t)(config[POWER_BASE + 1] << 8 | (config[POWER_BASE] & 0xc0));
}

void pci_reset(struct pci *pci, bool is_set_up)
{
    pci->address = 0;
    memset(pci->config, 0, sizeof pci->config);
    for (unsigned i = 0; i < REGISTERS; i++)
        for (unsigned k = 0; k < registers[i].size; k++)
            pci->config[registers[i].function][registers[i].offset + k] = (uint8_t)(registers[i].value >> 8 * k);
    if (!is_set_up)
        return;
    memset(&pci->config[PCI_HOST][PAM], 0x33, PAM_COUNT);
    pci->config[PCI_HOST][PAM] = PAM_F_READS | PAM_F_WRITES;
    pci->config[PCI_POWER][POWER_BASE] = 1;
    pci->config[PCI_POWER][POWER_BASE + 1] = POWER_PLACED_AT >> 8;
    pci->config[PCI_POWER][POWER_ENABLE] = 1;
}

uint32_t ide_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)now;
    return 0;
}

void ide_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)value;
    (void)now;
}
