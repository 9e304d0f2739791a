/* SPDX-License-Identifier: MIT */
/*
 * Linux kernels as bzImage (Documentation/arch/x86/boot.rst), by the 64-bit entry where the kernel has one
 * and by the 32-bit entry otherwise. Its real-mode part doesn't run.
 */
#include <string.h>

#include "acpi.h"
#include "load.h"

/* Offsets in the file, and in the zero page that the kernel is given. */
enum {
    EXT_MEMORY_KIB = 0x002,
    ACPI_RSDP_ADDRESS = 0x070,
    ALT_MEMORY_KIB = 0x1e0,
    E820_COUNT = 0x1e8,
    SETUP_SECTORS = 0x1f1,
    SYSTEM_SIZE = 0x1f4,
    VIDEO_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    HEADER_END = 0x201, /* the byte of a jump over the header */
    MAGIC = 0x202,
    VERSION = 0x206,
    LOADER_TYPE = 0x210,
    LOAD_FLAGS = 0x211,
    INITRD_ADDRESS = 0x218,
    INITRD_SIZE = 0x21c,
    ARGUMENTS_ADDRESS = 0x228,
    INITRD_LIMIT = 0x22c,
    EXTRA_LOAD_FLAGS = 0x236,
    ARGUMENTS_LIMIT = 0x238,
    PREFERRED_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    E820_TABLE = 0x2d0,
    HEADER_LIMIT = 0x290, /* what follows in the zero page isn't the header's */

    LOADED_HIGH = 1,
    HAS_64_BIT_ENTRY = 1,
    LOADER_UNKNOWN = 0xff,
    VERSION_OLDEST = 0x206,
    VERSION_PREFERRED_ADDRESS = 0x20a,
    VERSION_64_BIT = 0x20c,
    VERSION_RSDP = 0x20e,

    SECTOR = 512,
    KERNEL_GPA = 0x100000,
    ZERO_PAGE_GPA = 0x10000,
    TABLES_GPA = 0x11000,
    ARGUMENTS_GPA = 0x20000,
    ARGUMENTS_ROOM = 0x10000,
};

bool linux_is_kernel(const struct image *image)
{
    return image->size >= HEADER_LIMIT && image_u16(image, BOOT_FLAG) == 0xaa55 &&
           memcmp(image->bytes + MAGIC, "HdrS", 4) == 0;
}

static void put32(uint8_t *page, size_t offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

static void put64(uint8_t *page, size_t offset, uint64_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

/* What the header says, checked. */
struct kernel {
    unsigned version;
    uint64_t code_offset, code_size; /* the protected-mode part of the file */
    uint64_t end;                    /* of the room it needs while it unpacks itself */
    bool is_64;
};

static bool read_header(struct kernel *kernel, const struct image *image, struct problem *problem)
{
    unsigned setup_sectors = image->bytes[SETUP_SECTORS] ? image->bytes[SETUP_SECTORS] : 4;
    uint64_t expected = (uint64_t)image_u32(image, SYSTEM_SIZE) * 16;

    kernel->version = image_u16(image, VERSION);
    if (kernel->version < VERSION_OLDEST)
        return problem_is(problem, STATUS_USAGE,
                          "%s: speaks boot protocol %u.%02u; 2.06 (Linux 2.6.22) or newer is needed",
                          image->name, kernel->version >> 8, kernel->version & 0xff);
    if (!(image->bytes[LOAD_FLAGS] & LOADED_HIGH))
        return problem_is(problem, STATUS_USAGE, "%s: is a zImage; only a bzImage can be loaded",
                          image->name);
    kernel->code_offset = (setup_sectors + 1u) * SECTOR;
    /* Signatures may follow, but nothing may be missing; the size is in paragraphs. */
    if (!image_has(image, kernel->code_offset, expected > 15 ? expected - 15 : 1))
        return problem_is(problem, STATUS_USAGE,
                          "%s: is cut off: the kernel is %llu bytes long, and the file has %zu", image->name,
                          (unsigned long long)(kernel->code_offset + expected), image->size);
    kernel->code_size = image->size - kernel->code_offset;
    kernel->end = KERNEL_GPA + kernel->code_size;
    if (kernel->version >= VERSION_PREFERRED_ADDRESS) {
        uint64_t preferred = image_u64(image, PREFERRED_ADDRESS), size = image_u32(image, INIT_SIZE);

        if (preferred > MEMORY_HIGH_START)
            return problem_is(problem, STATUS_USAGE, "%s: wants to be at %#llx, above 4 GiB", image->name,
                              (unsigned long long)preferred);
        if (preferred < KERNEL_GPA)
            preferred = KERNEL_GPA;
        if (preferred + size > kernel->end)
            kernel->end = preferred + size;
    }
    kernel->is_64 =
        kernel->version >= VERSION_64_BIT && image_u16(image, EXTRA_LOAD_FLAGS) & HAS_64_BIT_ENTRY;
    return true;
}

static bool put_initrd(struct layout *layout, const struct image *initrd, const struct image *image,
                       uint8_t *zero_page, struct problem *problem)
{
    uint64_t limit = (uint64_t)image_u32(image, INITRD_LIMIT) + 1;
    uint64_t gpa = layout_find_high(layout, initrd->size, KERNEL_GPA, limit);

    if (!gpa)
        return problem_is(problem, STATUS_USAGE,
                          "%s: its %zu bytes don't fit into RAM beside the kernel; try more --memory",
                          initrd->name, initrd->size);
    memcpy(memory_at(layout->memory, gpa, initrd->size), initrd->bytes, initrd->size);
    put32(zero_page, INITRD_ADDRESS, (uint32_t)gpa);
    put32(zero_page, INITRD_SIZE, (uint32_t)initrd->size);
    return true;
}

static bool put_arguments(const struct layout *layout, const struct guest_files *files, uint8_t *zero_page,
                          struct problem *problem)
{
    uint32_t limit = image_u32(files->kernel, ARGUMENTS_LIMIT);
    size_t length = strlen(files->arguments);

    if (!limit)
        limit = 255;
    if (limit > ARGUMENTS_ROOM - 1)
        limit = ARGUMENTS_ROOM - 1;
    if (length > limit)
        return problem_is(problem, STATUS_USAGE,
                          "--kernel-args: %zu bytes are more than the %u that %s takes", length, limit,
                          files->kernel->name);
    memcpy(memory_at(layout->memory, ARGUMENTS_GPA, length + 1), files->arguments, length + 1);
    put32(zero_page, ARGUMENTS_ADDRESS, ARGUMENTS_GPA);
    return true;
}

static void put_memory_map(const struct memory *memory, uint8_t *zero_page)
{
    struct memory_range ranges[MEMORY_RANGES];
    unsigned count = memory_map(memory, ranges);
    uint64_t extended = (memory->low_size - 0x100000) >> 10;
    uint16_t extended_16 = extended > 0xffff ? 0xffff : (uint16_t)extended;

    zero_page[E820_COUNT] = (uint8_t)count;
    for (unsigned i = 0; i < count; i++) {
        put64(zero_page, E820_TABLE + 20 * i, ranges[i].gpa);
        put64(zero_page, E820_TABLE + 20 * i + 8, ranges[i].size);
        put32(zero_page, E820_TABLE + 20 * i + 16, ranges[i].type);
    }
    put32(zero_page, ALT_MEMORY_KIB, (uint32_t)extended);
    memcpy(zero_page + EXT_MEMORY_KIB, &extended_16, sizeof extended_16);
}

bool load_linux(struct layout *layout, const struct guest_files *files, struct start *start,
                struct problem *problem)
{
    const struct image *image = files->kernel;
    const struct memory *memory = layout->memory;
    struct kernel kernel = {0};
    uint8_t *zero_page;
    size_t header_end;

    if (!read_header(&kernel, image, problem))
        return false;
    if (!memory_at(memory, KERNEL_GPA, kernel.end - KERNEL_GPA))
        return problem_is(problem, STATUS_USAGE, "%s: needs %llu MiB to unpack itself; try more --memory",
                          image->name, (unsigned long long)((kernel.end + (1 << 20) - 1) >> 20));
    memcpy(memory_at(memory, KERNEL_GPA, kernel.code_size), image->bytes + kernel.code_offset,
           kernel.code_size);
    layout_take(layout, 0, ARGUMENTS_GPA + ARGUMENTS_ROOM);
    layout_take(layout, KERNEL_GPA, kernel.end - KERNEL_GPA);

    zero_page = memory_at(memory, ZERO_PAGE_GPA, 4096);
    header_end = MAGIC + image->bytes[HEADER_END];
    if (header_end > HEADER_LIMIT)
        header_end = HEADER_LIMIT;
    memcpy(zero_page + SETUP_SECTORS, image->bytes + SETUP_SECTORS, header_end - SETUP_SECTORS);
    zero_page[LOADER_TYPE] = LOADER_UNKNOWN;
    zero_page[VIDEO_MODE] = zero_page[VIDEO_MODE + 1] = 0xff;
    put32(zero_page, INITRD_ADDRESS, 0);
    put32(zero_page, INITRD_SIZE, 0);
    if (kernel.version >= VERSION_RSDP)
        put64(zero_page, ACPI_RSDP_ADDRESS, ACPI_RSDP);
    put_memory_map(memory, zero_page);
    if (!put_arguments(layout, files, zero_page, problem))
        return false;
    if (files->initrd && !put_initrd(layout, files->initrd, image, zero_page, problem))
        return false;

    start->mode = kernel.is_64 ? START_LONG : START_PROTECTED;
    start->rip = kernel.is_64 ? KERNEL_GPA + 0x200 : KERNEL_GPA;
    start->rsi = ZERO_PAGE_GPA;
    boot_tables(memory, TABLES_GPA, start);
    return true;
}
