/* SPDX-License-Identifier: MIT */
/*
 * The loaders: small guests of each kind, then the same with headers that lie.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

#include "../../vmm/acpi.h"
#include "../../vmm/load.h"

enum { MEMORY = 32 << 20, FILE_SIZE = 0x4000 };

static struct memory memory;
static struct layout layout;
static struct start start;
static struct problem problem;
static uint8_t bytes[FILE_SIZE];
static struct image image;
static struct guest_files files;

static void setup(void)
{
    memset(bytes, 0, sizeof bytes);
    memset(&layout, 0, sizeof layout);
    memset(&start, 0, sizeof start);
    memset(&problem, 0, sizeof problem);
    ck_assert(memory_make(&memory, MEMORY, &problem));
    layout.memory = &memory;
    layout_take(&layout, ACPI_RSDP, 0x1000);
    image = (struct image){"guest", bytes, sizeof bytes};
    files = (struct guest_files){&image, NULL, "console=ttyS0"};
}

static void teardown(void)
{
    memory_free(&memory);
}

/* Starts again from nothing, for many loads in one test. */
static void afresh(void)
{
    teardown();
    memset(&layout, 0, sizeof layout);
    ck_assert(memory_make(&memory, MEMORY, &problem));
    layout.memory = &memory;
    layout_take(&layout, ACPI_RSDP, 0x1000);
}

static void refused(bool loaded)
{
    ck_assert(!loaded);
    ck_assert_int_eq(problem.status, STATUS_USAGE);
    ck_assert_str_ne(problem.text, "");
}

static uint32_t guest_u32(uint64_t gpa)
{
    uint32_t value;

    memory_read(&memory, gpa, &value, 4);
    return value;
}

static uint64_t guest_u64(uint64_t gpa)
{
    return guest_u32(gpa) | (uint64_t)guest_u32(gpa + 4) << 32;
}

START_TEST(flat_in_real_mode)
{
    ck_assert(load_flat(&layout, &image, START_REAL, 0x7c00, &start, &problem));
    ck_assert_uint_eq(start.real_segment, 0x7c0);
    ck_assert_uint_eq(start.rip, 0);
    ck_assert_uint_eq(start.rsp, 0xfff0);
}
END_TEST

START_TEST(flat_in_long_mode)
{
    bytes[0] = 0xf4;
    ck_assert(load_flat(&layout, &image, START_LONG, 0x100000, &start, &problem));
    ck_assert_uint_eq(start.rip, 0x100000);
    ck_assert_uint_eq(start.rsp, MEMORY - 16);
    ck_assert_uint_eq(guest_u32(0x100000), 0xf4);
    /* the last page of the first 4 GiB */
    ck_assert_uint_eq(guest_u64(start.cr3) & 0xfff, 3);
    ck_assert_uint_eq(guest_u64((guest_u64((guest_u64(start.cr3) & ~4095ull) + 24) & ~4095ull) + 8 * 511),
                      0xffe00083);
}
END_TEST

START_TEST(flat_over_the_tables_moves_them)
{
    ck_assert(load_flat(&layout, &image, START_LONG, 0x1000, &start, &problem));
    ck_assert_uint_ge(start.gdt_gpa, 0x1000 + FILE_SIZE);
}
END_TEST

START_TEST(flat_must_fit)
{
    refused(load_flat(&layout, &image, START_REAL, 0x7c08, &start, &problem));
    refused(load_flat(&layout, &image, START_REAL, 0x100000, &start, &problem));
    refused(load_flat(&layout, &image, START_LONG, MEMORY - 1, &start, &problem));
    refused(load_flat(&layout, &image, START_LONG, UINT64_MAX, &start, &problem));
    refused(load_flat(&layout, &image, START_PROTECTED, 0x9f000, &start, &problem));
}
END_TEST

/* A 64-bit ELF file: one loaded segment with a note beside it. */
static Elf64_Phdr *make_elf(void)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Phdr *segments = (Elf64_Phdr *)(void *)(bytes + sizeof *header);

    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_machine = EM_X86_64;
    header->e_entry = 0xffffffff80100010;
    header->e_phoff = sizeof *header;
    header->e_phentsize = sizeof *segments;
    header->e_phnum = 2;
    segments[0] = (Elf64_Phdr){PT_LOAD, 7, 0x1000, 0xffffffff80100000, 0x100000, 0x1000, 0x2000, 0x1000};
    segments[1] = (Elf64_Phdr){PT_NOTE, 4, 0x2000, 0, 0, 0x20, 0x20, 4};
    bytes[0x1000] = 0xf4;
    return segments;
}

static void make_pvh_note(uint32_t entry)
{
    static const uint32_t note[] = {4, 4, 18};

    memcpy(bytes + 0x2000, note, sizeof note);
    memcpy(bytes + 0x200c, "Xen", 4);
    memcpy(bytes + 0x2010, &entry, 4);
}

START_TEST(pvh_gets_its_start_info)
{
    struct image module = {"module", (uint8_t *)"hello", 5};
    uint64_t modules;

    make_elf();
    make_pvh_note(0x100010);
    files.initrd = &module;
    ck_assert(load_elf(&layout, &files, &start, &problem));
    ck_assert_int_eq(start.mode, START_PROTECTED);
    ck_assert_uint_eq(start.rip, 0x100010);
    ck_assert_uint_eq(guest_u32(0x100000), 0xf4);
    ck_assert_uint_eq(guest_u32(start.rbx), 0x336ec578);
    ck_assert_uint_eq(guest_u32(start.rbx + 4), 1);
    ck_assert_uint_eq(guest_u32(start.rbx + 12), 1);
    modules = guest_u64(start.rbx + 16);
    ck_assert_int_eq(memcmp(memory_at(&memory, guest_u64(modules), 5), "hello", 5), 0);
    ck_assert_uint_eq(guest_u64(modules + 8), 5);
    ck_assert_str_eq(memory_at(&memory, guest_u64(start.rbx + 24), 14), "console=ttyS0");
    ck_assert_uint_eq(guest_u64(start.rbx + 32), ACPI_RSDP);
    ck_assert_uint_eq(guest_u32(start.rbx + 48), 4);
}
END_TEST

static void make_multiboot(uint32_t flags)
{
    uint32_t header[] = {0x1badb002, flags, -(0x1badb002 + flags)};

    memcpy(bytes + 0x1000, header, sizeof header);
}

START_TEST(multiboot_gets_its_information)
{
    struct image module = {"module", (uint8_t *)"hello", 5};
    uint64_t modules;

    make_elf();
    make_multiboot(3);
    files.initrd = &module;
    ck_assert(load_elf(&layout, &files, &start, &problem));
    ck_assert_uint_eq(start.rip, 0x100010); /* the entry, where it was loaded */
    ck_assert_uint_eq(start.rax, 0x2badb002);
    ck_assert_uint_eq(guest_u32(start.rbx), 0x24d);
    ck_assert_uint_eq(guest_u32(start.rbx + 8), (MEMORY >> 10) - 1024);
    ck_assert_str_eq(memory_at(&memory, guest_u32(start.rbx + 16), 14), "console=ttyS0");
    modules = guest_u32(start.rbx + 24);
    ck_assert_uint_eq(guest_u32(modules + 4) - guest_u32(modules), 5);
    ck_assert_uint_eq(guest_u32(modules) & 4095, 0);
    ck_assert_uint_eq(guest_u32(guest_u32(start.rbx + 48)), 20);
    ck_assert_str_eq(memory_at(&memory, guest_u32(start.rbx + 64), 8), "softwhp");
}
END_TEST

START_TEST(multiboot_by_its_own_addresses)
{
    uint32_t addresses[] = {0x200000, 0x200000, 0x200100, 0x200200, 0x200020};

    make_elf();
    make_multiboot(0x10000);
    memcpy(bytes + 0x100c, addresses, sizeof addresses);
    ck_assert(load_elf(&layout, &files, &start, &problem));
    ck_assert_uint_eq(start.rip, 0x200020);
    ck_assert_uint_eq(guest_u32(0x200000), 0x1badb002);
    for (unsigned i = 0; i < 5; i++) {
        uint32_t lies[] = {0, 1, 0x7fffffff, 0xffffffff, 0x1ffff0};

        for (unsigned j = 0; j < 5; j++) {
            uint32_t changed[5];

            afresh();
            memcpy(changed, addresses, sizeof changed);
            changed[i] = lies[j];
            memcpy(bytes + 0x100c, changed, sizeof changed);
            load_elf(&layout, &files, &start, &problem); /* whatever it says, it doesn't crash */
        }
    }
}
END_TEST

START_TEST(multiboot_demands_are_respected)
{
    make_elf();
    make_multiboot(4);
    refused(load_elf(&layout, &files, &start, &problem));
}
END_TEST

START_TEST(elf_without_a_known_entry_is_refused)
{
    make_elf();
    refused(load_elf(&layout, &files, &start, &problem));
    ck_assert_ptr_nonnull(strstr(problem.text, "multiboot"));
}
END_TEST

START_TEST(elf_that_lies_is_refused)
{
    static const uint64_t lies[] = {0x4000, 0x3fff, 0x7fffffffffffffff, 0xffffffffffffffff,
                                    0xfffffffffffff000};
    Elf64_Phdr *segments, whole[2];

    segments = make_elf();
    make_pvh_note(0x100010);
    memcpy(whole, segments, sizeof whole);
    for (unsigned i = 0; i < 5; i++) {
        memcpy(segments, whole, sizeof whole);
        segments[0].p_offset = lies[i];
        refused(load_elf(&layout, &files, &start, &problem));
        memcpy(segments, whole, sizeof whole);
        segments[0].p_filesz = lies[i];
        refused(load_elf(&layout, &files, &start, &problem));
        memcpy(segments, whole, sizeof whole);
        segments[1].p_offset = lies[i];
        refused(load_elf(&layout, &files, &start, &problem));
        memcpy(segments, whole, sizeof whole);
        segments[1].p_filesz = lies[i];
        refused(load_elf(&layout, &files, &start, &problem));
    }
    memcpy(segments, whole, sizeof whole);
    segments[0].p_memsz = (uint64_t)1 << 62;
    refused(load_elf(&layout, &files, &start, &problem));
    memcpy(segments, whole, sizeof whole);
    segments[0].p_paddr = ACPI_RSDP - 0x800;
    refused(load_elf(&layout, &files, &start, &problem));
    segments[0].p_paddr = UINT64_MAX - 0x800;
    refused(load_elf(&layout, &files, &start, &problem));
}
END_TEST

START_TEST(elf_cut_anywhere_is_refused)
{
    make_elf();
    make_pvh_note(0x100010);
    for (size_t size = EI_NIDENT; size < 0x2014; size += size < 0x200 ? 1 : 97) {
        uint8_t *copy = malloc(size); /* so that a sanitizer sees what is read behind it */

        memcpy(copy, bytes, size);
        image.bytes = copy;
        image.size = size;
        refused(load_elf(&layout, &files, &start, &problem));
        free(copy);
        afresh();
    }
}
END_TEST

/* A bzImage: 4 setup sectors and 0x1000 bytes of kernel. */
static void make_linux(void)
{
    static const uint32_t init_size = 0x100000, system_size = 0x1000 / 16, initrd_limit = 0x7fffffff;
    static const uint64_t preferred = 0x1000000;

    bytes[0x1f1] = 4;
    memcpy(bytes + 0x1f4, &system_size, 4);
    memcpy(bytes + 0x1fe, "\x55\xaa\xeb\x66HdrS\x0f\x02", 10);
    bytes[0x211] = 1;
    memcpy(bytes + 0x22c, &initrd_limit, 4);
    bytes[0x236] = 1;
    memcpy(bytes + 0x238, "\xff\x07", 2);
    memcpy(bytes + 0x258, &preferred, 8);
    memcpy(bytes + 0x260, &init_size, 4);
    bytes[5 * 512 + 0x200] = 0x90;
    image.size = 5 * 512 + 0x1000;
}

START_TEST(linux_by_the_64_bit_entry)
{
    struct image initrd = {"initrd", bytes, 0x3000};

    make_linux();
    files.initrd = &initrd;
    ck_assert(linux_is_kernel(&image));
    ck_assert(load_linux(&layout, &files, &start, &problem));
    ck_assert_int_eq(start.mode, START_LONG);
    ck_assert_uint_eq(start.rip, 0x100200);
    ck_assert_uint_eq(guest_u32(0x100200) & 0xff, 0x90);
    ck_assert_uint_eq(guest_u32(start.rsi + 0x202), 0x53726448);
    ck_assert_uint_eq(guest_u64(start.rsi + 0x70), ACPI_RSDP);
    ck_assert_uint_eq(guest_u32(start.rsi + 0x1e8) & 0xff, 4);
    ck_assert_str_eq(memory_at(&memory, guest_u32(start.rsi + 0x228), 14), "console=ttyS0");
    ck_assert_uint_eq(guest_u32(start.rsi + 0x21c), 0x3000);
    ck_assert_int_eq(memcmp(memory_at(&memory, guest_u32(start.rsi + 0x218), 0x3000), bytes, 0x3000), 0);
}
END_TEST

START_TEST(linux_by_the_32_bit_entry)
{
    make_linux();
    bytes[0x236] = 0;
    ck_assert(load_linux(&layout, &files, &start, &problem));
    ck_assert_int_eq(start.mode, START_PROTECTED);
    ck_assert_uint_eq(start.rip, 0x100000);
}
END_TEST

START_TEST(linux_that_lies_is_refused)
{
    struct image initrd = {"initrd", NULL, MEMORY};
    char *arguments;

    make_linux();
    image.size = 5 * 512 + 0xf00;
    refused(load_linux(&layout, &files, &start, &problem));
    ck_assert_ptr_nonnull(strstr(problem.text, "cut off"));
    make_linux();
    memset(bytes + 0x1f4, 0xff, 4);
    refused(load_linux(&layout, &files, &start, &problem));
    make_linux();
    memset(bytes + 0x260, 0xff, 4);
    refused(load_linux(&layout, &files, &start, &problem));
    ck_assert_ptr_nonnull(strstr(problem.text, "--memory"));
    make_linux();
    memset(bytes + 0x258, 0xff, 8);
    refused(load_linux(&layout, &files, &start, &problem));
    make_linux();
    bytes[0x206] = 5;
    refused(load_linux(&layout, &files, &start, &problem));
    make_linux();
    bytes[0x211] = 0;
    refused(load_linux(&layout, &files, &start, &problem));
    make_linux();
    bytes[0x1f1] = 0xff;
    refused(load_linux(&layout, &files, &start, &problem));
    make_linux();
    files.initrd = &initrd;
    refused(load_linux(&layout, &files, &start, &problem));
    ck_assert_ptr_nonnull(strstr(problem.text, "initrd"));
    files.initrd = NULL;
    arguments = calloc(1, 5000);
    memset(arguments, 'a', 4999);
    files.arguments = arguments;
    afresh();
    refused(load_linux(&layout, &files, &start, &problem));
    free(arguments);
}
END_TEST

START_TEST(random_headers_crash_nothing)
{
    uint32_t x = 42;

    for (unsigned i = 0; i < 3000; i++) {
        uint8_t *copy;

        memset(bytes, 0, sizeof bytes);
        image.bytes = bytes;
        image.size = sizeof bytes;
        if (i & 1) {
            make_elf();
            make_pvh_note(0x100010);
            make_multiboot(i & 2 ? 0x10003 : 3);
        } else {
            make_linux();
        }
        for (unsigned j = 0; j < 1 + i % 5; j++) {
            x = x * 1664525 + 1013904223;
            bytes[i & 1 ? (x >> 8) % 0xc0 : 0x1f1 + (x >> 8) % 0x80] = (uint8_t)(x >> 24);
        }
        copy = malloc(image.size);
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
END_TEST

START_TEST(firmware_ends_at_4_gib)
{
    uint32_t word;

    bytes[FILE_SIZE - 16] = 0xea;
    ck_assert(load_firmware(&memory, &image, &start, &problem));
    ck_assert_int_eq(start.mode, START_RESET);
    memory_read(&memory, 0xfffffff0, &word, 4);
    ck_assert_uint_eq(word, 0xea);
    ck_assert_uint_eq(guest_u32(0xffff0), 0xea);
    memory_write(&memory, 0xfffffff0, "xxxx", 4);
    memory_write(&memory, 0xffff0, "xxxx", 4);
    memory_read(&memory, 0xfffffff0, &word, 4);
    ck_assert_uint_eq(word, 0xea);
    ck_assert_uint_eq(guest_u32(0xffff0), 0xea);
    ck_assert_uint_eq(guest_u32(0xc0000), 0xffffffff); /* nothing there before the chipset shows RAM */
    memory.shadow[15] = SHADOW_WRITES;
    memory_write(&memory, 0xffff0, "\1\2\3\4", 4);
    ck_assert_uint_eq(guest_u32(0xffff0), 0xea);
    memory.shadow[15] = SHADOW_READS;
    memory_write(&memory, 0xffff0, "xxxx", 4);
    ck_assert_uint_eq(guest_u32(0xffff0), 0x04030201);
    image.size = 4095;
    refused(load_firmware(&memory, &image, &start, &problem));
}
END_TEST

START_TEST(files_that_are_none)
{
    struct image missing;

    refused(image_read(&missing, "/nonexistent/guest", &problem));
    ck_assert_ptr_nonnull(strstr(problem.text, "/nonexistent/guest"));
    refused(image_read(&missing, "/", &problem));
    refused(image_read(&missing, "/dev/null", &problem));
    refused(image_read(&missing, "/dev/zero", &problem));
}
END_TEST

TCase *load_cases(void)
{
    TCase *cases = tcase_create("load");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, flat_in_real_mode);
    tcase_add_test(cases, flat_in_long_mode);
    tcase_add_test(cases, flat_over_the_tables_moves_them);
    tcase_add_test(cases, flat_must_fit);
    tcase_add_test(cases, pvh_gets_its_start_info);
    tcase_add_test(cases, multiboot_gets_its_information);
    tcase_add_test(cases, multiboot_by_its_own_addresses);
    tcase_add_test(cases, multiboot_demands_are_respected);
    tcase_add_test(cases, elf_without_a_known_entry_is_refused);
    tcase_add_test(cases, elf_that_lies_is_refused);
    tcase_add_test(cases, elf_cut_anywhere_is_refused);
    tcase_add_test(cases, linux_by_the_64_bit_entry);
    tcase_add_test(cases, linux_by_the_32_bit_entry);
    tcase_add_test(cases, linux_that_lies_is_refused);
    tcase_add_test(cases, random_headers_crash_nothing);
    tcase_add_test(cases, firmware_ends_at_4_gib);
    tcase_add_test(cases, files_that_are_none);
    return cases;
}
