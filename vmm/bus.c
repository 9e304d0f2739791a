/* SPDX-License-Identifier: MIT */
/*
 * Who answers at which port.
 */
#include "bus.h"

#include <assert.h>
#include <string.h>

enum { DEBUG_CONSOLE = 0xe9 };

/* Firmware asks a debug console whether it is there (QEMU's isa-debugcon), and writes to it then. */
static uint32_t open_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    const struct bus *bus = device;

    (void)size;
    (void)now;
    return bus->is_logged[port] ? (UINT32_MAX & ~0xffu) | DEBUG_CONSOLE : UINT32_MAX;
}

static void open_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)value;
    (void)now;
}

void bus_init(struct bus *bus)
{
    memset(bus, 0, sizeof *bus);
    bus->devices[0] = (struct port_device){bus, open_read, open_write, false, true};
    bus->count = 1;
}

unsigned bus_add(struct bus *bus, const struct port_device *device)
{
    assert(bus->count < BUS_DEVICES);
    bus->devices[bus->count] = *device;
    return bus->count++;
}

unsigned bus_attach(struct bus *bus, uint16_t first, uint16_t last, const struct port_device *device)
{
    unsigned number = bus_add(bus, device);

    for (uint32_t port = first; port <= last; port++)
        bus->owner[port] = (uint8_t)number;
    return number;
}

static void change_hands(struct bus *bus, uint16_t first, uint16_t last, unsigned from, unsigned to)
{
    for (uint32_t port = first; port <= last; port++)
        if (bus->owner[port] == from)
            bus->owner[port] = (uint8_t)to;
}

void bus_offer(struct bus *bus, uint16_t first, uint16_t last, unsigned device)
{
    change_hands(bus, first, last, 0, device);
}

void bus_withdraw(struct bus *bus, uint16_t first, uint16_t last, unsigned device)
{
    change_hands(bus, first, last, device, 0);
}

static uint64_t now_for(struct bus *bus, const struct port_device *d)
{
    return d->is_timed ? bus->clock(bus->clock_context) : 0;
}

static uint32_t mask(unsigned size)
{
    return size == 4 ? UINT32_MAX : (1u << (8 * size)) - 1;
}

uint32_t bus_read(struct bus *bus, uint16_t port, unsigned size)
{
    const struct port_device *d = &bus->devices[bus->owner[port]];
    uint32_t value = 0;

    if (size == 1 || d->is_wide)
        return d->read(d->device, port, size, now_for(bus, d)) & mask(size);
    for (unsigned i = 0; i < size; i++)
        value |= bus_read(bus, (uint16_t)(port + i), 1) << (8 * i);
    return value;
}

void bus_write(struct bus *bus, uint16_t port, unsigned size, uint32_t value)
{
    const struct port_device *d = &bus->devices[bus->owner[port]];

    if (bus->is_logged[port])
        for (unsigned i = 0; i < size; i++)
            bus->log(bus->log_context, (uint8_t)(value >> (8 * i)));
    if (size == 1 || d->is_wide) {
        d->write(d->device, port, size, value & mask(size), now_for(bus, d));
        bus->timed_write |= d->is_timed;
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        uint16_t at = (uint16_t)(port + i);

        d = &bus->devices[bus->owner[at]];
        d->write(d->device, at, 1, value >> (8 * i) & 0xff, now_for(bus, d));
        bus->timed_write |= d->is_timed;
    }
}
