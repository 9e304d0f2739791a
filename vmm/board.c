/* SPDX-License-Identifier: MIT */
/*
 * The chipset's part of the machine: what the registers of PCI configuration switch, which are the RAM in the ROM's
 * place and the ports of power management.
 */
#include "machine.h"

enum { PAGE = 4096, POWER_PORTS = 64, CMOS_BOOT_ORDER = 0x3d, CMOS_BOOT_ORDER_LAST = 0x38 };
enum { CMOS_OTHER_PROCESSORS = 0x5f /* for SeaBIOS to wait for */ };

/* ---- The shadow ---- */

/* Pages, since a small ROM may begin in the middle of a piece. */
static HRESULT map_page(struct machine *m, uint64_t gpa, unsigned bits)
{
    uint8_t *ram = m->memory.host + gpa, *rom = memory_low_rom(&m->memory, gpa);
    WHV_MAP_GPA_RANGE_FLAGS rights = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;

    if (bits & SHADOW_READS && bits & SHADOW_WRITES)
        rights |= WHvMapGpaRangeFlagWrite;
    if (bits & SHADOW_READS || rom)
        return WHvMapGpaRange(m->partition, bits & SHADOW_READS ? ram : rom, gpa, PAGE, rights);
    return WHvUnmapGpaRange(m->partition, gpa, PAGE);
}

static HRESULT map_piece(struct machine *m, unsigned piece)
{
    for (uint64_t at = 0; at < SHADOW_SIZE; at += PAGE) {
        HRESULT result = map_page(m, SHADOW_START + piece * SHADOW_SIZE + at, m->memory.shadow[piece]);

        if (result != S_OK && result != WHV_E_GPA_RANGE_NOT_FOUND) /* what was nothing stays nothing */
            return result;
    }
    return S_OK;
}

bool board_map(struct machine *m, struct problem *problem)
{
    for (unsigned i = 0; i < SHADOW_PIECES; i++) {
        HRESULT result = map_piece(m, i);

        if (result != S_OK)
            return platform_problem(problem, STATUS_HOST, "WHvMapGpaRange", result);
    }
    return true;
}

/* ---- What PCI configuration switches ---- */

/* A read of the timer takes one of its periods, where other accesses take no time at all: on a PC it takes longer, and
 * who waits for its next tick, or counts on finding it moved, needn't try hundreds of times. */
static uint32_t read_power(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct machine *m = device;
    unsigned offset = port - m->power_base;

    if (offset < ACPI_PORT_TIMER - ACPI_PORT_EVENT + 4u && offset + size > ACPI_PORT_TIMER - ACPI_PORT_EVENT) {
        machine_spend(m, ACPI_TIMER_PERIOD_NS);
        m->bus.timed_write = true;
        now = machine_now(m);
    }
    return acpi_read(&m->acpi, (uint16_t)(offset + ACPI_PORT_EVENT), size, now);
}

static void write_power(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct machine *m = device;

    acpi_write(&m->acpi, (uint16_t)(port - m->power_base + ACPI_PORT_EVENT), size, value, now);
}

static void place_power(struct machine *m)
{
    uint16_t base = pci_power_base(&m->pci);

    if (base == m->power_base)
        return;
    if (m->power_base)
        bus_withdraw(&m->bus, m->power_base, m->power_base + POWER_PORTS - 1, m->power_device);
    if (base) {
        bus_offer(&m->bus, base, base + POWER_PORTS - 1, m->power_device);
        fw_cfg_place_power(&m->fw_cfg, base);
    }
    m->power_base = base;
}

static void configuration_changed(void *context)
{
    struct machine *m = context;
    HRESULT result;

    for (unsigned i = 0; i < SHADOW_PIECES; i++) {
        uint8_t bits = (uint8_t)pci_shadow(&m->pci, i);

        if (m->memory.shadow[i] == bits)
            continue;
        m->memory.shadow[i] = bits;
        result = map_piece(m, i);
        if (result != S_OK) {
            machine_fail(m, "WHvMapGpaRange", result);
            return;
        }
    }
    place_power(m);
}

/* ---- The ports ---- */

static bool has_signal(void *context)
{
    return machine_signal(context) != 0;
}

void board_connect(struct machine *m)
{
    const struct port_device pci = {&m->pci, pci_read, pci_write, false, true};
    const struct port_device fw_cfg = {&m->fw_cfg, fw_cfg_read, fw_cfg_write, false, true};
    const struct port_device ide = {NULL, ide_read, ide_write, false, true};
    const struct port_device power = {m, read_power, write_power, true, true};
    struct bus *bus = &m->bus;

    bus_attach(bus, PCI_PORT_ADDRESS, PCI_PORT_LAST, &pci);
    bus_attach(bus, FW_CFG_PORT, FW_CFG_PORT_LAST, &fw_cfg);
    bus_attach(bus, IDE_PRIMARY, IDE_PRIMARY + 7, &ide);
    bus_attach(bus, IDE_PRIMARY_CONTROL, IDE_PRIMARY_CONTROL, &ide);
    bus_attach(bus, IDE_SECONDARY, IDE_SECONDARY + 7, &ide);
    bus_attach(bus, IDE_SECONDARY_CONTROL, IDE_SECONDARY_CONTROL, &ide);

    m->power_device = bus_add(bus, &power);
    m->power_base = 0;
    m->fw_cfg.must_stop = has_signal;
    m->fw_cfg.stop_context = m;
    pci_reset(&m->pci, !m->options->firmware);
    m->pci.changed = configuration_changed;
    m->pci.context = m;
    place_power(m);
    m->rtc.cmos[CMOS_OTHER_PROCESSORS] = (uint8_t)(m->processor_count - 1);
    /* Disk, floppy, CD, as the firmware of PCs does it. */
    m->rtc.cmos[CMOS_BOOT_ORDER] = 0x12;
    m->rtc.cmos[CMOS_BOOT_ORDER_LAST] = 0x30;
}
