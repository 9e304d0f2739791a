/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory as the host sees it. Pages are the host's to give when they are first touched.
 */
#include "memory.h"

#include <string.h>
#include <sys/mman.h>

bool memory_make(struct memory *memory, uint64_t size, struct problem *problem)
{
    void *host;

    memset(memory, 0, sizeof *memory);
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED)
        return problem_is(problem, STATUS_HOST,
                          "the host has no %llu MiB for the guest; try a smaller --memory",
                          (unsigned long long)(size >> 20));
    memory->host = host;
    memory->size = size;
    memory->low_size = size < MEMORY_LOW_LIMIT ? size : MEMORY_LOW_LIMIT;
    memset(memory->shadow, SHADOW_READS | SHADOW_WRITES, sizeof memory->shadow);
    return true;
}

void memory_free(struct memory *memory)
{
    if (memory->host)
        munmap(memory->host, memory->size);
    if (memory->rom)
        munmap(memory->rom, memory->rom_size);
    memset(memory, 0, sizeof *memory);
}

void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t size)
{
    if (gpa >= MEMORY_HIGH_START) {
        uint64_t in_high = gpa - MEMORY_HIGH_START, high_size = memory->size - memory->low_size;

        if (size > high_size || in_high > high_size - size)
            return NULL;
        return memory->host + memory->low_size + in_high;
    }
    if (size > memory->low_size || gpa > memory->low_size - size)
        return NULL;
    if (gpa < MEMORY_HOLE_END && gpa + size > MEMORY_HOLE_START)
        return NULL;
    return memory->host + gpa;
}

uint8_t *memory_low_rom(const struct memory *memory, uint64_t gpa)
{
    uint64_t shown = memory->rom_size < MEMORY_ROM_SHOWN ? memory->rom_size : MEMORY_ROM_SHOWN;
    uint64_t start = 0x100000 - shown;

    return gpa >= start && gpa < 0x100000 ? memory->rom + memory->rom_size - shown + (gpa - start) : NULL;
}

/* What is read or written at an address, or NULL, and how many bytes go on like it: to the end of a page. */
static uint8_t *span_at(const struct memory *memory, uint64_t gpa, unsigned wants, size_t *size)
{
    uint64_t room = 4096 - gpa % 4096;
    unsigned ram = SHADOW_READS | SHADOW_WRITES;

    if (*size > room)
        *size = room;
    if (gpa >= MEMORY_TEXT && gpa < MEMORY_HOLE_END)
        return memory->host + gpa;
    if (gpa >= SHADOW_START && gpa < 0x100000)
        ram = memory->shadow[(gpa - SHADOW_START) / SHADOW_SIZE];
    return ram & wants ? memory_at(memory, gpa, *size) : NULL;
}

static const uint8_t *rom_at(const struct memory *memory, uint64_t gpa)
{
    if (gpa < 0x100000)
        return memory_low_rom(memory, gpa);
    return gpa - memory->rom_gpa < memory->rom_size ? memory->rom + (gpa - memory->rom_gpa) : NULL;
}

void memory_read(const struct memory *memory, uint64_t gpa, void *data, size_t size)
{
    uint8_t *to = data;

    while (size) {
        size_t count = size;
        const uint8_t *from = span_at(memory, gpa, SHADOW_READS, &count);

        if (!from)
            from = rom_at(memory, gpa);
        if (from)
            memcpy(to, from, count);
        else
            memset(to, 0xff, count);
        gpa += count;
        to += count;
        size -= count;
    }
}

void memory_write(const struct memory *memory, uint64_t gpa, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size) {
        size_t count = size;
        uint8_t *to = span_at(memory, gpa, SHADOW_WRITES, &count);

        if (to)
            memcpy(to, from, count);
        gpa += count;
        from += count;
        size -= count;
    }
}

unsigned memory_map(const struct memory *memory, struct memory_range *ranges)
{
    unsigned count = 0;

    ranges[count++] = (struct memory_range){0, MEMORY_EBDA, MEMORY_RAM};
    ranges[count++] = (struct memory_range){MEMORY_EBDA, MEMORY_HOLE_START - MEMORY_EBDA, MEMORY_RESERVED};
    ranges[count++] = (struct memory_range){0xe0000, 0x20000, MEMORY_RESERVED};
    if (memory->low_size > 0x100000)
        ranges[count++] = (struct memory_range){0x100000, memory->low_size - 0x100000, MEMORY_RAM};
    if (memory->size > memory->low_size)
        ranges[count++] =
            (struct memory_range){MEMORY_HIGH_START, memory->size - memory->low_size, MEMORY_RAM};
    return count;
}
