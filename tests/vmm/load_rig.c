/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the loaders share.
 */
#include "load_rig.h"

#include <stdlib.h>
#include <string.h>

#include "cases.h"

#include "../../vmm/acpi.h"

struct memory memory;
struct layout layout;
struct start start;
struct problem problem;
uint8_t bytes[RIG_FILE_SIZE];
struct image image;
struct guest_files files;

void rig_setup(void)
{
    memset(bytes, 0, sizeof bytes);
    memset(&layout, 0, sizeof layout);
    memset(&start, 0, sizeof start);
    memset(&problem, 0, sizeof problem);
    ck_assert(memory_make(&memory, RIG_MEMORY, &problem));
    layout.memory = &memory;
    layout_take(&layout, ACPI_RSDP, 0x1000);
    image = (struct image){"guest", bytes, sizeof bytes};
    files = (struct guest_files){&image, NULL, "console=ttyS0"};
}

void rig_teardown(void)
{
    memory_free(&memory);
}

void afresh(void)
{
    rig_teardown();
    memset(&layout, 0, sizeof layout);
    ck_assert(memory_make(&memory, RIG_MEMORY, &problem));
    layout.memory = &memory;
    layout_take(&layout, ACPI_RSDP, 0x1000);
}

void refused(bool loaded)
{
    ck_assert(!loaded);
    ck_assert_int_eq(problem.status, STATUS_USAGE);
    ck_assert_str_ne(problem.text, "");
}

uint32_t guest_u32(uint64_t gpa)
{
    uint32_t value;

    memory_read(&memory, gpa, &value, 4);
    return value;
}

uint64_t guest_u64(uint64_t gpa)
{
    return guest_u32(gpa) | (uint64_t)guest_u32(gpa + 4) << 32;
}

void load_changed(void (*make)(unsigned round), size_t from, size_t span)
{
    uint32_t x = 42;

    for (unsigned i = 0; i < 1500; i++) {
        uint8_t *copy;

        memset(bytes, 0, sizeof bytes);
        image.bytes = bytes;
        image.size = sizeof bytes;
        make(i);
        for (unsigned j = 0; j < 1 + i % 5; j++) {
            x = x * 1664525 + 1013904223;
            bytes[from + (x >> 8) % span] = (uint8_t)(x >> 24);
        }
        copy = malloc(image.size); /* so that a sanitizer sees what is read behind it */
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, bytes, image.size);
        image.bytes = copy;
        if (elf_is_elf(&image))
            load_elf(&layout, &files, &start, &problem);
        if (linux_is_kernel(&image))
            load_linux(&layout, &files, &start, &problem);
        free(copy);
        afresh();
    }
}
