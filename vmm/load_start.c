/* SPDX-License-Identifier: MIT */
/*
 * What an ELF kernel is told by the two ways to start one, Xen's "x86/HVM direct boot ABI" (hvm/start_info.h) and the
 * Multiboot Specification 0.6.96: its command line, the module, the map of memory.
 */
#include <string.h>

#include "acpi.h"
#include "load.h"

enum { MULTIBOOT_LOADER = 0x2badb002 };

/* Room below 1 MiB for what the kernel is told, else anywhere below 4 GiB. */
static void *room(struct layout *layout, uint64_t size, uint64_t *gpa)
{
    *gpa = layout_find_low(layout, size, 0x9000, layout->memory->low_size);
    return *gpa ? memory_at(layout->memory, *gpa, size) : NULL;
}

/* What both protocols have: the command line, the module, and a page that tells of them. */
struct extras {
    uint64_t arguments, module, module_size, page;
};

/* Places them, the page without its contents, which are the caller's: where it is for him, or NULL. */
static void *put_extras(struct layout *layout, const struct guest_files *files, size_t page_size,
                        struct extras *extras, struct problem *problem)
{
    size_t length = strlen(files->arguments) + 1;
    void *at = room(layout, length, &extras->arguments);

    if (!at) {
        problem_is(problem, STATUS_USAGE, "%s: leaves no room for its command line; try more --memory",
                   files->kernel->name);
        return NULL;
    }
    memcpy(at, files->arguments, length);
    if (files->initrd) {
        extras->module_size = files->initrd->size;
        extras->module = layout_find_high(layout, files->initrd->size, 0x100000, layout->memory->low_size);
        if (!extras->module) {
            problem_is(problem, STATUS_USAGE,
                       "%s: its %zu bytes don't fit into RAM beside the kernel; try more --memory",
                       files->initrd->name, files->initrd->size);
            return NULL;
        }
        memcpy(memory_at(layout->memory, extras->module, files->initrd->size), files->initrd->bytes,
               files->initrd->size);
    }
    at = room(layout, page_size, &extras->page);
    if (!at)
        problem_is(problem, STATUS_USAGE, "%s: leaves no room for its boot information; try more --memory",
                   files->kernel->name);
    return at;
}

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, arguments, rsdp, memory_map;
    uint32_t memory_map_count, reserved;
};

struct pvh_module {
    uint64_t gpa, size, arguments, reserved;
};

struct pvh_range {
    uint64_t gpa, size;
    uint32_t type, reserved;
};

struct pvh_page {
    struct pvh_start_info info;
    struct pvh_module module;
    struct pvh_range ranges[MEMORY_RANGES];
};

bool start_pvh(struct layout *layout, const struct guest_files *files, uint64_t entry, struct start *start,
               struct problem *problem)
{
    struct memory_range ranges[MEMORY_RANGES];
    unsigned count = memory_map(layout->memory, ranges);
    struct extras extras = {0};
    struct pvh_page *page = put_extras(layout, files, sizeof *page, &extras, problem);

    if (!page)
        return false;
    *page = (struct pvh_page){
        .info = {
            .magic = 0x336ec578,
            .version = 1,
            .module_count = files->initrd ? 1 : 0,
            .modules = files->initrd ? extras.page + offsetof(struct pvh_page, module) : 0,
            .arguments = extras.arguments,
            .rsdp = ACPI_RSDP,
            .memory_map = extras.page + offsetof(struct pvh_page, ranges),
            .memory_map_count = count,
        },
        .module = {extras.module, extras.module_size, 0, 0},
    };
    for (unsigned i = 0; i < count; i++)
        page->ranges[i] = (struct pvh_range){ranges[i].gpa, ranges[i].size, ranges[i].type, 0};
    start->mode = START_PROTECTED;
    start->rip = entry;
    start->rbx = extras.page;
    return true;
}

struct multiboot_info {
    uint32_t flags, lower_kib, upper_kib, boot_device, arguments, module_count, modules, symbols[4];
    uint32_t map_size, map, drive_size, drives, config_table, loader_name;
};

struct multiboot_module {
    uint32_t start, end, arguments, reserved;
};

struct multiboot_range {
    uint32_t size;
    uint64_t gpa, length;
    uint32_t type;
} __attribute__((packed));

struct multiboot_page {
    struct multiboot_info info;
    struct multiboot_module module;
    struct multiboot_range ranges[MEMORY_RANGES];
    char loader[8];
};

bool start_multiboot(struct layout *layout, const struct guest_files *files, uint64_t entry, struct start *start,
                     struct problem *problem)
{
    struct memory_range ranges[MEMORY_RANGES];
    unsigned count = memory_map(layout->memory, ranges);
    struct extras extras = {0};
    struct multiboot_page *page = put_extras(layout, files, sizeof *page, &extras, problem);

    if (!page)
        return false;
    *page = (struct multiboot_page){
        .info = {
            /* memory, arguments, modules, map, name */
            .flags = 1u | 4 | (files->initrd ? 8 : 0) | 0x40 | 0x200,
            .lower_kib = 639,
            .upper_kib = (uint32_t)((layout->memory->low_size - 0x100000) >> 10),
            .arguments = (uint32_t)extras.arguments,
            .module_count = files->initrd ? 1 : 0,
            .modules = (uint32_t)(extras.page + offsetof(struct multiboot_page, module)),
            .map_size = count * (uint32_t)sizeof(struct multiboot_range),
            .map = (uint32_t)(extras.page + offsetof(struct multiboot_page, ranges)),
            .loader_name = (uint32_t)(extras.page + offsetof(struct multiboot_page, loader)),
        },
        .module = {(uint32_t)extras.module, (uint32_t)(extras.module + extras.module_size),
                   (uint32_t)extras.arguments, 0},
        .loader = "softwhp",
    };
    for (unsigned i = 0; i < count; i++)
        page->ranges[i] = (struct multiboot_range){sizeof(struct multiboot_range) - 4, ranges[i].gpa,
                                                   ranges[i].size, ranges[i].type};
    start->mode = START_PROTECTED;
    start->rip = entry;
    start->rax = MULTIBOOT_LOADER;
    start->rbx = extras.page;
    return true;
}
