/* SPDX-License-Identifier: MIT */
/*
 * What firmware is told through fw_cfg: the memory, the kernel that it may start, files.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* The parts of a bzImage, and where QEMU would have them (Documentation/arch/x86/boot.rst). */
enum {
    SETUP_SECTORS = 0x1f1,
    INITRD_LIMIT = 0x22c,
    SECTOR = 512,
    SETUP_GPA = 0x10000,
    ARGUMENTS_GPA = 0x20000,
    KERNEL_GPA = 0x100000,
    TOP_ROOM = 0x28000, /* below the end of memory: for firmware's tables */
};

/* An entry of etc/e820, as BIOS function E820 has them. */
struct e820 {
    uint64_t gpa, size;
    uint32_t type;
} __attribute__((packed));

static bool add_memory(struct fw_cfg *f, const struct memory *memory)
{
    uint64_t high = memory->size - memory->low_size;
    struct e820 map[] = {{0, htole64(memory->low_size), htole32(MEMORY_RAM)},
                         {htole64(MEMORY_HIGH_START), htole64(high), htole32(MEMORY_RAM)}};

    return fw_cfg_add_number(f, FW_CFG_RAM_SIZE, memory->size, 8) &&
           fw_cfg_add_file(f, "etc/e820", map, high ? sizeof map : sizeof map[0]);
}

static bool add_file(struct fw_cfg *f, const char *name, const void *bytes, size_t size, struct problem *problem)
{
    return fw_cfg_add_file(f, name, bytes, size) ||
           problem_is(problem, STATUS_HOST, "the host has no memory for %s, or there are too many files", name);
}

/* A floppy in memory, of the smallest size that there is for the image: SeaBIOS takes no other. */
static bool add_floppy(struct fw_cfg *f, const char *file, struct problem *problem)
{
    static const unsigned kib[] = {160, 180, 320, 360, 720, 1200, 1440, 2880};
    static const char order[] = "/rom@floppyimg/floppy";
    struct image image;
    size_t size = 0;
    uint8_t *padded = NULL;
    bool fine;

    if (!image_read(&image, file, problem))
        return false;
    for (unsigned i = 0; i < sizeof kib / sizeof kib[0] && size < image.size; i++)
        size = kib[i] * 1024;
    if (size < image.size)
        fine = problem_is(problem, STATUS_USAGE, "%s: is larger than any floppy, which has at most 2880 KiB", file);
    else if (!(padded = calloc(1, size)))
        fine = problem_is(problem, STATUS_HOST, "the host has no memory for the floppy");
    else {
        memcpy(padded, image.bytes, image.size);
        fine = add_file(f, "floppyimg/floppy", padded, size, problem) &&
               add_file(f, "bootorder", order, sizeof order, problem);
    }
    free(padded);
    image_free(&image);
    return fine;
}

/* NAME=FILE; as the last, so that they replace ours. */
static bool add_named(struct fw_cfg *f, const char *words, struct problem *problem)
{
    size_t length = strcspn(words, "=");
    char name[FW_CFG_NAME_SIZE] = "";
    struct image image;
    bool fine;

    memcpy(name, words, length);
    if (!image_read(&image, words + length + 1, problem))
        return false;
    fine = add_file(f, name, image.bytes, image.size, problem);
    image_free(&image);
    return fine;
}

static bool add_kernel(struct fw_cfg *f, const struct image *kernel, const char *arguments, struct problem *problem)
{
    size_t setup;

    if (!linux_is_kernel(kernel))
        return problem_is(problem, STATUS_USAGE, "%s: is no bzImage, and firmware starts nothing else", kernel->name);
    setup = (size_t)((kernel->bytes[SETUP_SECTORS] ? kernel->bytes[SETUP_SECTORS] : 4) + 1) * SECTOR;
    if (setup >= kernel->size)
        return problem_is(problem, STATUS_USAGE, "%s: is cut off", kernel->name);
    return (fw_cfg_add_number(f, FW_CFG_SETUP_ADDRESS, SETUP_GPA, 4) &&
            fw_cfg_add_number(f, FW_CFG_SETUP_SIZE, setup, 4) &&
            fw_cfg_add(f, FW_CFG_SETUP_DATA, kernel->bytes, setup) &&
            fw_cfg_add_number(f, FW_CFG_KERNEL_ADDRESS, KERNEL_GPA, 4) &&
            fw_cfg_add_number(f, FW_CFG_KERNEL_SIZE, kernel->size - setup, 4) &&
            fw_cfg_add(f, FW_CFG_KERNEL_DATA, kernel->bytes + setup, kernel->size - setup) &&
            fw_cfg_add_number(f, FW_CFG_ARGUMENTS_ADDRESS, ARGUMENTS_GPA, 4) &&
            fw_cfg_add_number(f, FW_CFG_ARGUMENTS_SIZE, strlen(arguments) + 1, 4) &&
            fw_cfg_add(f, FW_CFG_ARGUMENTS_DATA, arguments, strlen(arguments) + 1)) ||
           problem_is(problem, STATUS_HOST, "the host has no memory for %s", kernel->name);
}

static bool add_initrd(struct fw_cfg *f, const struct image *initrd, const struct image *kernel,
                       struct problem *problem)
{
    uint64_t limit = (uint64_t)image_u32(kernel, INITRD_LIMIT) + 1, end = f->memory->low_size - TOP_ROOM;

    if (end > limit)
        end = limit;
    if (end < KERNEL_GPA || initrd->size > end - KERNEL_GPA)
        return problem_is(problem, STATUS_USAGE, "%s: its %zu bytes don't fit into RAM; try more --memory",
                          initrd->name, initrd->size);
    return (fw_cfg_add_number(f, FW_CFG_INITRD_ADDRESS, (end - initrd->size) & ~UINT64_C(4095), 4) &&
            fw_cfg_add_number(f, FW_CFG_INITRD_SIZE, initrd->size, 4) &&
            fw_cfg_add(f, FW_CFG_INITRD_DATA, initrd->bytes, initrd->size)) ||
           problem_is(problem, STATUS_HOST, "the host has no memory for %s", initrd->name);
}

/* The kernel beside firmware. */
static bool add_guest(struct fw_cfg *f, const struct options *options, struct problem *problem)
{
    struct image kernel = {0}, initrd = {0};
    bool fine = image_read(&kernel, options->file, problem) && add_kernel(f, &kernel, options->arguments, problem) &&
                (!options->initrd || (image_read(&initrd, options->initrd, problem) &&
                                      add_initrd(f, &initrd, &kernel, problem)));

    image_free(&kernel);
    image_free(&initrd);
    return fine;
}

bool board_make(struct machine *m, struct problem *problem)
{
    static const uint8_t console_port[8] = {0xf8, 0x03}, forever[4] = {0xff, 0xff, 0xff, 0xff};
    const struct options *options = m->options;
    struct fw_cfg *f = &m->fw_cfg;
    bool fine;

    fw_cfg_reset(f, &m->memory);
    fine = (add_memory(f, &m->memory) && fw_cfg_add_number(f, FW_CFG_NO_DISPLAY, 1, 2) &&
            fw_cfg_add_number(f, FW_CFG_PROCESSORS, m->processor_count, 2) &&
            fw_cfg_add_number(f, FW_CFG_MAX_PROCESSORS, m->processor_count, 2) &&
            /* The timer is at the I/O APIC's input 2: for firmware's MP tables and MADT. */
            fw_cfg_add_number(f, FW_CFG_IRQ0_OVERRIDE, 1, 4)) ||
           problem_is(problem, STATUS_HOST, "the host has no memory for fw_cfg");
    /* SeaBIOS shows its screen on the serial port, and doesn't restart when it finds nothing to boot. */
    fine = fine && add_file(f, "etc/sercon-port", console_port, sizeof console_port, problem) &&
           add_file(f, "etc/boot-fail-wait", forever, sizeof forever, problem) &&
           fw_cfg_add_acpi(f, m->processor_count, m->has_apic, problem) &&
           (!options->floppy || add_floppy(f, options->floppy, problem)) &&
           (!options->firmware || !options->file || add_guest(f, options, problem));
    for (unsigned i = 0; fine && i < options->fw_cfg_count; i++)
        fine = add_named(f, options->fw_cfg[i], problem);
    return fine && (fw_cfg_finish(f) || problem_is(problem, STATUS_HOST, "the host has no memory for fw_cfg"));
}
