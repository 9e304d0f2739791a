/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory as the host sees it: RAM below 3 GiB and from 4 GiB on, and a ROM.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

#define MEMORY_HOLE_START UINT64_C(0xa0000) /* a PC's display memory, which isn't there */
#define MEMORY_HOLE_END UINT64_C(0xc0000)
#define MEMORY_LOW_LIMIT UINT64_C(0xc0000000)
#define MEMORY_HIGH_START UINT64_C(0x100000000)
#define MEMORY_SMALLEST UINT64_C(0x100000)
#define MEMORY_LARGEST UINT64_C(0x4000000000)

struct memory {
    uint8_t *host;
    uint64_t size;     /* of all RAM */
    uint64_t low_size; /* of what lies below 3 GiB; the rest begins at 4 GiB */
    uint8_t *rom;
    uint64_t rom_gpa, rom_size;
};

bool memory_make(struct memory *memory, uint64_t size, struct problem *problem);
void memory_free(struct memory *memory);

/* The RAM at [gpa, gpa + size), or NULL when some of it isn't RAM. */
void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size);

/* What the guest's processor could not do by itself: bytes outside RAM read as ones, and are not written. */
void memory_read(const struct memory *memory, uint64_t gpa, void *data, size_t size);
void memory_write(const struct memory *memory, uint64_t gpa, const void *data, size_t size);

/* One piece of the map that firmware would give to an operating system; types as in E820. */
struct memory_range {
    uint64_t gpa, size;
    uint32_t type;
};
enum { MEMORY_RAM = 1, MEMORY_RESERVED = 2, MEMORY_RANGES = 5 };

/* Fills at most MEMORY_RANGES; returns how many. */
unsigned memory_map(const struct memory *memory, struct memory_range *ranges);

#endif
