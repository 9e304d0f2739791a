/* SPDX-License-Identifier: MIT */
/*
 * Flat binaries: bytes that are put at an address and entered there.
 */
#include <string.h>

#include "load.h"

/* Room that a flat binary leaves in its low memory for a GDT and page tables. */
#define TABLES_FROM UINT64_C(0x1000)

static bool check_base(const struct image *image, enum start_mode mode, uint64_t base,
                       struct problem *problem)
{
    if (mode != START_REAL)
        return true;
    if (base & 15 || base > 0xffff0)
        return problem_is(problem, STATUS_USAGE,
                          "%s: in real mode --base must be a multiple of 16 below 0x100000, not %#llx",
                          image->name, (unsigned long long)base);
    return true;
}

bool load_flat(struct layout *layout, const struct image *image, enum start_mode mode, uint64_t base,
               struct start *start, struct problem *problem)
{
    const struct memory *memory = layout->memory;
    void *at = memory_at(memory, base, image->size);
    uint64_t tables;

    if (!check_base(image, mode, base, problem))
        return false;
    if (!at)
        return problem_is(
            problem, STATUS_USAGE,
            "%s: its %zu bytes don't fit into RAM at %#llx; try another --base or more --memory", image->name,
            image->size, (unsigned long long)base);
    if (mode != START_REAL && base >= MEMORY_HIGH_START)
        return problem_is(problem, STATUS_USAGE, "%s: --base must be below 4 GiB, not %#llx", image->name,
                          (unsigned long long)base);
    memcpy(at, image->bytes, image->size);
    layout_take(layout, base, image->size);

    start->mode = mode;
    if (mode == START_REAL) {
        start->real_segment = (uint16_t)(base >> 4);
        start->rip = 0;
        start->rsp = 0xfff0;
        return true;
    }
    start->rip = base;
    start->rsp = memory->low_size - 16;
    tables = layout_find_low(layout, BOOT_TABLES_SIZE, TABLES_FROM, memory->low_size);
    if (!tables)
        return problem_is(problem, STATUS_USAGE, "%s: leaves no room for page tables; try more --memory",
                          image->name);
    boot_tables(memory, tables, start);
    return true;
}
