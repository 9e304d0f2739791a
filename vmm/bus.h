/* SPDX-License-Identifier: MIT */
/*
 * Who answers at which port. A port that nobody owns reads as ones and swallows what is written; if it is logged, it
 * reads as a debug console.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdbool.h>
#include <stdint.h>

struct port_device {
    void *device;
    uint32_t (*read)(void *device, uint16_t port, unsigned size, uint64_t now);
    void (*write)(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);
    bool is_timed; /* wants to know the time, and a write may change when it wants attention next */
    bool is_wide;  /* takes two and four bytes as one access; others get them byte by byte, as on ISA */
};

enum { BUS_DEVICES = 32 };

struct bus {
    uint8_t owner[65536]; /* index of the device, or 0 */
    bool is_logged[65536];
    struct port_device devices[BUS_DEVICES];
    unsigned count;
    bool timed_write; /* set when a timed device was written; the machine clears it */
    uint64_t (*clock)(void *context);
    void *clock_context;
    void (*log)(void *context, uint8_t byte);
    void *log_context;
};

void bus_init(struct bus *bus);

/* Makes a device known, without ports: its number. */
unsigned bus_add(struct bus *bus, const struct port_device *device);

/* The same, and gives it ports first to last; taken ones change hands. */
unsigned bus_attach(struct bus *bus, uint16_t first, uint16_t last, const struct port_device *device);

/* A device whose ports firmware may place: it takes those of the range that nobody owns, and leaves those it has. */
void bus_offer(struct bus *bus, uint16_t first, uint16_t last, unsigned device);
void bus_withdraw(struct bus *bus, uint16_t first, uint16_t last, unsigned device);

uint32_t bus_read(struct bus *bus, uint16_t port, unsigned size);
void bus_write(struct bus *bus, uint16_t port, unsigned size, uint32_t value);

#endif
