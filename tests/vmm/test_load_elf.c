/* SPDX-License-Identifier: MIT */
/*
 * ELF kernels: what they are told by PVH and by multiboot, and headers that lie.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "load_rig.h"

#include "../../vmm/acpi.h"

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

static void load_with_module(void)
{
    static const struct image module = {"module", (uint8_t *)"hello", 5};

    files.initrd = &module;
    ck_assert(load_elf(&layout, &files, &start, &problem));
}

START_TEST(pvh_gets_its_start_info)
{
    uint64_t modules;

    make_elf();
    make_pvh_note(0x100010);
    load_with_module();
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
    uint64_t modules;

    make_elf();
    make_multiboot(3);
    load_with_module();
    ck_assert_uint_eq(start.rip, 0x100010); /* the entry, where it was loaded */
    ck_assert_uint_eq(start.rax, 0x2badb002);
    ck_assert_uint_eq(guest_u32(start.rbx), 0x24d);
    ck_assert_uint_eq(guest_u32(start.rbx + 8), (RIG_MEMORY >> 10) - 1024);
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

static void make_any(unsigned round)
{
    make_elf();
    make_pvh_note(0x100010);
    make_multiboot(round & 1 ? 0x10003 : 3);
}

START_TEST(changed_headers_crash_nothing)
{
    load_changed(make_any, 0, 0xc0);
}
END_TEST

TCase *load_elf_cases(void)
{
    TCase *cases = tcase_create("load_elf");

    tcase_add_checked_fixture(cases, rig_setup, rig_teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, pvh_gets_its_start_info);
    tcase_add_test(cases, multiboot_gets_its_information);
    tcase_add_test(cases, multiboot_by_its_own_addresses);
    tcase_add_test(cases, multiboot_demands_are_respected);
    tcase_add_test(cases, elf_without_a_known_entry_is_refused);
    tcase_add_test(cases, elf_that_lies_is_refused);
    tcase_add_test(cases, elf_cut_anywhere_is_refused);
    tcase_add_test(cases, changed_headers_crash_nothing);
    return cases;
}
