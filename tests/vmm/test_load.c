/* SPDX-License-Identifier: MIT */
/*
 * The loaders of flat binaries, Linux and firmware: small guests of each kind, and headers that lie.
 */
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "load_rig.h"

#include "../../vmm/acpi.h"

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
    ck_assert_uint_eq(start.rsp, RIG_MEMORY - 16);
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
    ck_assert_uint_ge(start.gdt_gpa, 0x1000 + RIG_FILE_SIZE);
}
END_TEST

START_TEST(flat_must_fit)
{
    refused(load_flat(&layout, &image, START_REAL, 0x7c08, &start, &problem));
    refused(load_flat(&layout, &image, START_REAL, 0x100000, &start, &problem));
    refused(load_flat(&layout, &image, START_LONG, RIG_MEMORY - 1, &start, &problem));
    refused(load_flat(&layout, &image, START_LONG, UINT64_MAX, &start, &problem));
    refused(load_flat(&layout, &image, START_PROTECTED, 0x9f000, &start, &problem));
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
    struct image initrd = {"initrd", NULL, RIG_MEMORY};
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

static void make_any(unsigned round)
{
    (void)round;
    make_linux();
}

START_TEST(changed_headers_crash_nothing)
{
    load_changed(make_any, 0x1f1, 0x80);
}
END_TEST

START_TEST(firmware_ends_at_4_gib)
{
    uint32_t word;

    bytes[RIG_FILE_SIZE - 16] = 0xea;
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

    tcase_add_checked_fixture(cases, rig_setup, rig_teardown);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, flat_in_real_mode);
    tcase_add_test(cases, flat_in_long_mode);
    tcase_add_test(cases, flat_over_the_tables_moves_them);
    tcase_add_test(cases, flat_must_fit);
    tcase_add_test(cases, linux_by_the_64_bit_entry);
    tcase_add_test(cases, linux_by_the_32_bit_entry);
    tcase_add_test(cases, linux_that_lies_is_refused);
    tcase_add_test(cases, changed_headers_crash_nothing);
    tcase_add_test(cases, firmware_ends_at_4_gib);
    tcase_add_test(cases, files_that_are_none);
    return cases;
}
