/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory as the host sees it: RAM below 3 GiB and from 4 GiB on, and a ROM below 4 GiB, whose end can be
 * seen at the end of the first megabyte too, where the chipset doesn't answer with RAM.
 */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

#define MEMORY_HOLE_START UINT64_C(0xa0000) /* a PC's display memory, which isn't there */
#define MEMORY_HOLE_END UINT64_C(0xc0000)
#define MEMORY_EBDA UINT64_C(0x9fc00) /* the last KiB below the hole: firmware's extended data area */
#define MEMORY_TEXT UINT64_C(0xb8000) /* but for a screen of text: RAM that nobody shows */
#define MEMORY_ROM_SHOWN UINT64_C(0x20000) /* of a ROM, at the end of the first megabyte */
#define MEMORY_LOW_LIMIT UINT64_C(0xc0000000)
#define MEMORY_HIGH_START UINT64_C(0x100000000)
#define MEMORY_SMALLEST UINT64_C(0x100000)
#define MEMORY_LARGEST UINT64_C(0x4000000000)

/* The chipset's choice for each 16 KiB from C0000 to FFFFF: what RAM does there. What it doesn't, the ROM does. */
#define SHADOW_START UINT64_C(0xc0000)
#define SHADOW_SIZE UINT64_C(0x4000)
enum { SHADOW_PIECES = 16, SHADOW_READS = 1, SHADOW_WRITES = 2 };

struct memory {
    uint8_t *host;
    uint64_t size;     /* of all RAM */
    uint64_t low_size; /* of what lies below 3 GiB; the rest begins at 4 GiB */
    uint8_t *rom;
    uint64_t rom_gpa, rom_size;
    uint8_t shadow[SHADOW_PIECES];
};

bool memory_make(struct memory *memory, uint64_t size, struct problem *problem);
void memory_free(struct memory *memory);

/* The RAM at [gpa, gpa + size), or NULL when some of it isn't RAM. Loaders use it, whatever the chipset shows. */
void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size);

/* What of the ROM shows at [gpa, gpa + SHADOW_SIZE) in the first megabyte, or NULL. */
uint8_t *memory_low_rom(const struct memory *memory, uint64_t gpa);

/* What a device or the guest's emulated instruction does: bytes outside RAM and ROM read as ones, and outside RAM
 * they are not written. */
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
