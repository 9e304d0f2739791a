/* SPDX-License-Identifier: MIT */
/*
 * What all loaders share: reading files, finding room in the guest's memory, and the tables that a processor
 * needs before a guest brings its own.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE UINT64_C(4096)
#define LARGEST_FILE (UINT64_C(4) << 30)
#define LARGEST_PIPE (UINT64_C(256) << 20)

static bool read_all(struct image *image, int fd, uint64_t limit, struct problem *problem)
{
    size_t capacity = 0;

    for (;;) {
        ssize_t got;

        if (image->size == capacity) {
            uint8_t *larger;

            if (capacity > limit)
                return problem_is(problem, STATUS_USAGE, "%s: is larger than %llu MiB", image->name,
                                  (unsigned long long)(limit >> 20));
            capacity = capacity ? 2 * capacity : 1 << 20;
            larger = realloc(image->bytes, capacity);
            if (!larger)
                return problem_is(problem, STATUS_HOST, "%s: the host has no memory to read it", image->name);
            image->bytes = larger;
        }
        got = read(fd, image->bytes + image->size, capacity - image->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return problem_is(problem, STATUS_USAGE, "%s: can't be read: %s", image->name, strerror(errno));
        if (got == 0)
            return true;
        image->size += (size_t)got;
    }
}

bool image_read(struct image *image, const char *name, struct problem *problem)
{
    struct stat info;
    bool fine;
    int fd;

    *image = (struct image){.name = *name ? name : "(a file without a name)"};
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return problem_is(problem, STATUS_USAGE, "%s: can't be opened: %s", image->name, strerror(errno));
    if (fstat(fd, &info) < 0)
        fine = problem_is(problem, STATUS_USAGE, "%s: can't be read: %s", name, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        fine = problem_is(problem, STATUS_USAGE, "%s: is a directory", name);
    else if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
        fine = problem_is(problem, STATUS_USAGE, "%s: is neither a file nor a pipe", name);
    else
        fine = read_all(image, fd, S_ISREG(info.st_mode) ? LARGEST_FILE : LARGEST_PIPE, problem);
    close(fd);
    if (fine && !image->size)
        fine = problem_is(problem, STATUS_USAGE, "%s: is empty", name);
    if (!fine)
        image_free(image);
    return fine;
}

bool image_is_lasting(const char *name, struct problem *problem)
{
    struct stat info;

    return stat(name, &info) < 0 || !S_ISFIFO(info.st_mode) ||
           problem_is(problem, STATUS_USAGE, "%s: is a pipe, which can't be read again for --restart", name);
}

void image_free(struct image *image)
{
    free(image->bytes);
    image->bytes = NULL;
    image->size = 0;
}

bool image_has(const struct image *image, uint64_t offset, uint64_t size)
{
    return size <= image->size && offset <= image->size - size;
}

uint16_t image_u16(const struct image *image, size_t offset)
{
    const uint8_t *p = image->bytes + offset;

    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t image_u32(const struct image *image, size_t offset)
{
    return image_u16(image, offset) | (uint32_t)image_u16(image, offset + 2) << 16;
}

uint64_t image_u64(const struct image *image, size_t offset)
{
    return image_u32(image, offset) | (uint64_t)image_u32(image, offset + 4) << 32;
}

/* The end of a taken piece that overlaps, or 0. */
static uint64_t collision(const struct layout *layout, uint64_t gpa, uint64_t size, uint64_t *piece_start)
{
    for (unsigned i = 0; i < layout->count; i++) {
        if (gpa < layout->piece[i].end && gpa + size > layout->piece[i].gpa) {
            *piece_start = layout->piece[i].gpa;
            return layout->piece[i].end;
        }
    }
    return 0;
}

bool layout_is_free(const struct layout *layout, uint64_t gpa, uint64_t size)
{
    uint64_t start;

    return memory_at(layout->memory, gpa, size) && !collision(layout, gpa, size, &start);
}

bool layout_take(struct layout *layout, uint64_t gpa, uint64_t size)
{
    if (layout->count == LAYOUT_PIECES)
        return false;
    layout->piece[layout->count].gpa = gpa;
    layout->piece[layout->count++].end = gpa + size;
    return true;
}

static uint64_t page_up(uint64_t at)
{
    return (at + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

uint64_t layout_find_low(struct layout *layout, uint64_t size, uint64_t from, uint64_t to)
{
    uint64_t at = page_up(from), start, end;

    while (size && at < to && size <= to - at) {
        end = collision(layout, at, size, &start);
        if (!end && memory_at(layout->memory, at, size))
            return layout_take(layout, at, size) ? at : 0;
        if (!end)
            end = at < MEMORY_HOLE_END ? MEMORY_HOLE_END : to;
        at = page_up(end);
    }
    return 0;
}

uint64_t layout_find_high(struct layout *layout, uint64_t size, uint64_t from, uint64_t to)
{
    uint64_t at, start;

    if (to > layout->memory->low_size)
        to = layout->memory->low_size;
    while (size && to > from && size <= to - from) {
        at = (to - size) & ~(PAGE_SIZE - 1);
        if (at < from || at < MEMORY_HOLE_END)
            return 0;
        if (!collision(layout, at, size, &start))
            return layout_take(layout, at, size) ? at : 0;
        to = start;
    }
    return 0;
}

void boot_tables(const struct memory *memory, uint64_t gpa, struct start *start)
{
    uint64_t *page = memory_at(memory, gpa, BOOT_TABLES_SIZE);
    uint64_t *gdt = page, *pml4 = page + 512, *pdpt = page + 1024, *directories = page + 1536;
    uint64_t code = start->mode == START_LONG ? 0x00af9b000000ffff : 0x00cf9b000000ffff;

    gdt[BOOT_CODE / 8] = code;
    gdt[BOOT_DATA / 8] = 0x00cf93000000ffff;
    start->gdt_gpa = gpa;
    if (start->mode != START_LONG)
        return;
    /* Present, writable, and large pages at the last level. */
    pml4[0] = (gpa + 2 * PAGE_SIZE) | 3;
    for (unsigned i = 0; i < 4; i++)
        pdpt[i] = (gpa + (3 + i) * PAGE_SIZE) | 3;
    for (uint64_t i = 0; i < 4 * 512; i++)
        directories[i] = i << 21 | 0x83;
    start->cr3 = gpa + PAGE_SIZE;
}
