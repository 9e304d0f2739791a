/* SPDX-License-Identifier: MIT */
/*
 * Firmware: a ROM that ends at 4 GiB, where the processor's reset vector is, and whose end is seen at the
 * end of the first megabyte too, until firmware has the chipset show RAM there.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "load.h"

enum { PAGE = 4096, SMALLEST_ROM = 4096, LARGEST_ROM = 16 << 20 };

bool load_firmware(struct memory *memory, const struct image *image, struct start *start,
                   struct problem *problem)
{
    void *rom;

    if (image->size < SMALLEST_ROM || image->size > LARGEST_ROM || image->size % PAGE)
        return problem_is(problem, STATUS_USAGE,
                          "%s: firmware is 4 KiB to 16 MiB long, in whole pages, not %zu bytes", image->name,
                          image->size);
    rom = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rom == MAP_FAILED)
        return problem_is(problem, STATUS_HOST, "the host has no memory for the firmware");
    memcpy(rom, image->bytes, image->size);
    memory->rom = rom;
    memory->rom_size = image->size;
    memory->rom_gpa = MEMORY_HIGH_START - image->size;
    memset(memory->shadow, 0, sizeof memory->shadow);
    start->mode = START_RESET;
    return true;
}
