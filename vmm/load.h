/* SPDX-License-Identifier: MIT */
/*
 * How a guest gets into memory: the files it is made of, what is placed where, and the processor state in
 * which it starts. Everything that is read from a file is hostile.
 */
#ifndef VMM_LOAD_H
#define VMM_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "problem.h"

/* A file, read whole. */
struct image {
    const char *name;
    uint8_t *bytes;
    size_t size;
};

bool image_read(struct image *image, const char *name, struct problem *problem);

/* Is it no pipe, which gives what it has once? */
bool image_is_lasting(const char *name, struct problem *problem);
void image_free(struct image *image);

/* Little-endian numbers at an offset that the caller has checked. */
uint16_t image_u16(const struct image *image, size_t offset);
uint32_t image_u32(const struct image *image, size_t offset);
uint64_t image_u64(const struct image *image, size_t offset);

/* Is [offset, offset + size) inside the file? */
bool image_has(const struct image *image, uint64_t offset, uint64_t size);

enum start_mode { START_RESET, START_REAL, START_PROTECTED, START_LONG };

/* The state of the processor when the guest begins; what isn't named is zero. */
struct start {
    enum start_mode mode;
    uint64_t rip, rsp;
    uint64_t rax, rbx, rsi;
    uint16_t real_segment;     /* START_REAL: CS, DS, ES and SS */
    uint64_t gdt_gpa, cr3;     /* from boot_tables; a GDT at 0 is no GDT */
};

/* What has been placed in the guest's memory. */
enum { LAYOUT_PIECES = 64 };
struct layout {
    const struct memory *memory;
    struct { uint64_t gpa, end; } piece[LAYOUT_PIECES];
    unsigned count;
};

/* Is all of it RAM that nobody has taken? */
bool layout_is_free(const struct layout *layout, uint64_t gpa, uint64_t size);

/* Notes that it is taken; false: the layout has no room for more pieces. */
bool layout_take(struct layout *layout, uint64_t gpa, uint64_t size);

/* Finds and takes the lowest or the highest page-aligned room within [from, to), or returns 0. */
uint64_t layout_find_low(struct layout *layout, uint64_t size, uint64_t from, uint64_t to);
uint64_t layout_find_high(struct layout *layout, uint64_t size, uint64_t from, uint64_t to);

/* A GDT (code 10, data 18) and, for long mode, tables that map the first 4 GiB one to one. */
enum { BOOT_CODE = 0x10, BOOT_DATA = 0x18, BOOT_GDT_SIZE = 0x20, BOOT_TABLES_SIZE = 0x7000 };
void boot_tables(const struct memory *memory, uint64_t gpa, struct start *start);

/* What the user gave. */
struct guest_files {
    const struct image *kernel;
    const struct image *initrd; /* or NULL */
    const char *arguments;      /* the kernel's command line */
};

bool linux_is_kernel(const struct image *image);
bool elf_is_elf(const struct image *image);

bool load_flat(struct layout *layout, const struct image *image, enum start_mode mode, uint64_t base,
               struct start *start, struct problem *problem);
bool load_elf(struct layout *layout, const struct guest_files *files, struct start *start,
              struct problem *problem);
/* Has a kernel that was loaded enter by PVH or by multiboot: in 32-bit protected mode without paging. */
bool start_pvh(struct layout *layout, const struct guest_files *files, uint64_t entry, struct start *start,
               struct problem *problem);
bool start_multiboot(struct layout *layout, const struct guest_files *files, uint64_t entry, struct start *start,
                     struct problem *problem);

bool load_linux(struct layout *layout, const struct guest_files *files, struct start *start,
                struct problem *problem);
bool load_firmware(struct memory *memory, const struct image *image, struct start *start,
                   struct problem *problem);

#endif
