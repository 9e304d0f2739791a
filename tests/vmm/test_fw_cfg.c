/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg: items by bytes and by DMA, the directory, and ACPI tables that a loader puts together.
 */
#include <endian.h>
#include <string.h>

#include "cases.h"

#include "../../vmm/board.h"
#include "../../vmm/fw_cfg.h"
#include "../../vmm/memory.h"

static struct fw_cfg f;
static struct memory memory;
static struct problem problem;

static void setup(void)
{
    ck_assert(memory_make(&memory, 2 << 20, &problem));
    fw_cfg_reset(&f, &memory);
}

static void teardown(void)
{
    fw_cfg_free(&f);
    memory_free(&memory);
}

static void take(uint16_t key, void *to, unsigned size)
{
    fw_cfg_write(&f, 0x510, 2, key, 0);
    for (unsigned i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)fw_cfg_read(&f, 0x511, 1, 0);
}

START_TEST(signature_and_numbers)
{
    uint8_t bytes[8];

    take(0, bytes, 6);
    ck_assert_int_eq(memcmp(bytes, "QEMU\0\0", 6), 0);
    take(1, bytes, 4);
    ck_assert_int_eq(memcmp(bytes, "\3\0\0\0", 4), 0);
    ck_assert(fw_cfg_add_number(&f, 3, 0x123456789a, 8));
    take(3, bytes, 8);
    ck_assert_int_eq(memcmp(bytes, "\x9a\x78\x56\x34\x12\0\0\0", 8), 0);
    take(0x7777, bytes, 8); /* unknown: zeros */
    ck_assert_int_eq(memcmp(bytes, "\0\0\0\0\0\0\0\0", 8), 0);
    fw_cfg_write(&f, 0x510, 1, 0, 0); /* not a selection, nor is data taken */
    fw_cfg_write(&f, 0x511, 1, 0, 0);
    ck_assert_uint_eq(fw_cfg_read(&f, 0x514, 4, 0), 0x554d4551); /* "QEMU" */
    ck_assert_uint_eq(fw_cfg_read(&f, 0x518, 4, 0), 0x47464320);
}
END_TEST

START_TEST(the_directory_tells_of_the_files)
{
    struct {
        uint32_t count;
        struct {
            uint32_t size;
            uint16_t key, reserved;
            char name[56];
        } file[3];
    } directory;
    char bytes[4], name[60];

    ck_assert(fw_cfg_add_file(&f, "a", "one", 3));
    ck_assert(fw_cfg_add_file(&f, "etc/b", "", 0));
    ck_assert(fw_cfg_add_file(&f, "a", "four", 4)); /* in its place */
    ck_assert(fw_cfg_finish(&f));
    take(0x19, &directory, sizeof directory);
    ck_assert_uint_eq(be32toh(directory.count), 2);
    ck_assert_uint_eq(be32toh(directory.file[0].size), 4);
    ck_assert_str_eq(directory.file[0].name, "a");
    ck_assert_str_eq(directory.file[1].name, "etc/b");
    ck_assert_uint_eq(directory.file[2].key, 0); /* zeros behind the end */
    take(be16toh(directory.file[0].key), bytes, 4);
    ck_assert_int_eq(memcmp(bytes, "four", 4), 0);

    memset(name, 'x', sizeof name);
    name[56] = 0;
    ck_assert(!fw_cfg_add_file(&f, name, "", 0));
    ck_assert(!fw_cfg_add_file(&f, "", "", 0));
    name[55] = 0;
    ck_assert(fw_cfg_add_file(&f, name, "", 0));
    for (unsigned i = 0; i < 100; i++) { /* until it is full */
        name[0] = (char)('A' + i % 26);
        name[1] = (char)('A' + i / 26);
        if (!fw_cfg_add_file(&f, name, "", 0))
            return;
    }
    ck_abort_msg("it never was full");
}
END_TEST

/* Puts a command at 1000, starts it, and returns what its control says then. */
static uint32_t command(uint32_t control, uint32_t length, uint64_t address)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } dma = {htobe32(control), htobe32(length), htobe64(address)};

    memory_write(&memory, 0x1000, &dma, sizeof dma);
    fw_cfg_write(&f, 0x514, 4, 0, 0);
    fw_cfg_write(&f, 0x518, 4, htobe32(0x1000), 0);
    memory_read(&memory, 0x1000, &dma, sizeof dma);
    return be32toh(dma.control);
}

START_TEST(transfers)
{
    uint8_t *ram = memory_at(&memory, 0, 0x2000);

    ck_assert(fw_cfg_add(&f, 0x12, "abcdefgh", 8));
    ck_assert_uint_eq(command(0x12 << 16 | 8 | 2, 3, 0x1800), 0);
    ck_assert_int_eq(memcmp(ram + 0x1800, "abc\0", 4), 0);
    ck_assert_uint_eq(command(4, 2, 0), 0); /* skip, and go on */
    ck_assert_uint_eq(command(2, 2, 0x1800), 0);
    ck_assert_int_eq(memcmp(ram + 0x1800, "fgc", 3), 0);
    ck_assert_uint_eq(command(2, 3, 0x1800), 0);
    ck_assert_int_eq(memcmp(ram + 0x1800, "h\0\0", 3), 0);
    ck_assert_uint_eq(fw_cfg_read(&f, 0x511, 1, 0) & 0xff, 0);
    ck_assert_uint_eq(command(0x12 << 16 | 8 | 16, 3, 0x1800), 1); /* nothing can be written */
    ck_assert_uint_eq(command(0x12 << 16 | 8 | 2, 1, 0xa0000), 1);
    ck_assert_uint_eq(command(2, 0xffffffff, 0x1800), 1);
    ck_assert_uint_eq(command(2, 16, UINT64_MAX - 3), 1);
    ck_assert_uint_eq(command(0x12 << 16 | 8 | 2, 0, UINT64_MAX), 0);
    fw_cfg_write(&f, 0x518, 4, htobe32(0xffffffff), 0); /* a command where no memory is */
    fw_cfg_write(&f, 0x514, 4, 0xffffffff, 0);
    fw_cfg_write(&f, 0x518, 4, 0xffffffff, 0);
}
END_TEST

static bool stops_at_third(void *context)
{
    return ++*(unsigned *)context == 3;
}

/* The signal that is to end the run doesn't wait for gigabytes. */
START_TEST(a_long_transfer_can_be_stopped)
{
    unsigned asked = 0;
    uint8_t *ram = memory_at(&memory, 0x100000, 0x10000);

    memset(ram, 0xcc, 0x10000);
    f.must_stop = stops_at_third;
    f.stop_context = &asked;
    ck_assert_uint_eq(command(2, 0x10000, 0x100000), 1);
    ck_assert_uint_eq(asked, 3);
    ck_assert_uint_eq(ram[0x1fff], 0);
    ck_assert_uint_eq(ram[0x2000], 0xcc);
}
END_TEST

START_TEST(a_transfer_respects_the_shadow)
{
    uint8_t *ram = memory_at(&memory, 0xc0000, 0x8000);

    ck_assert(fw_cfg_add(&f, 0x12, "abcdefgh", 8));
    memory.shadow[1] = SHADOW_READS;
    ck_assert_uint_eq(command(0x12 << 16 | 8 | 2, 8, 0xc3ffc), 0);
    ck_assert_int_eq(memcmp(ram + 0x3ffc, "abcd\0\0\0\0", 8), 0);
}
END_TEST

/* ---- The loader's side, as its specification has it ---- */

static uint8_t files[2][0x1000]; /* the RSDP, the tables */
static uint64_t places[2] = {0x5000, 0x7000};

static const struct fw_cfg_item *file(const char *name)
{
    const struct fw_cfg_item *item = fw_cfg_find_file(&f, name);

    ck_assert_msg(item != NULL, "no file %s", name);
    return item;
}

static unsigned which(const uint8_t *name)
{
    return strcmp((const char *)name, "etc/acpi/rsdp") == 0 ? 0 : 1;
}

static uint32_t u32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, 4);
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    while (size--)
        total = (uint8_t)(total + *bytes++);
    return total;
}

static void carry_out(const uint8_t *c)
{
    uint8_t *to = files[which(c + 4)];

    switch (u32(c)) {
    case 1:
        memcpy(to, file((const char *)c + 4)->bytes, file((const char *)c + 4)->size);
        break;
    case 2: {
        uint64_t pointer = 0;

        memcpy(&pointer, to + u32(c + 116), c[120]);
        pointer += places[which(c + 60)];
        memcpy(to + u32(c + 116), &pointer, c[120]);
        break;
    }
    case 3:
        ck_assert_uint_eq(to[u32(c + 60)], 0);
        to[u32(c + 60)] = (uint8_t)(to[u32(c + 60)] - sum(to + u32(c + 64), u32(c + 68)));
        break;
    default:
        ck_abort_msg("command %u", u32(c));
    }
}

START_TEST(tables_are_loaded_anywhere)
{
    static const struct {
        uint8_t at, x_at, offset;
    } ports[] = {{56, 152, 0}, {64, 176, 4}, {76, 212, 8}};
    const struct fw_cfg_item *loader;
    const uint8_t *root, *table;
    bool has_fadt = false, has_madt = false;

    ck_assert(fw_cfg_add_acpi(&f, 4, _i, &problem));
    fw_cfg_place_power(&f, 0xe400);
    loader = file("etc/table-loader");
    ck_assert_uint_eq(loader->size % 128, 0);
    for (size_t at = 0; at < loader->size; at += 128)
        carry_out(loader->bytes + at);
    ck_assert_uint_eq(sum(files[0], 20), 0);
    ck_assert_uint_eq(sum(files[0], 36), 0);
    for (unsigned is_xsdt = 0; is_xsdt < 2; is_xsdt++) {
        root = files[1] + (u32(files[0] + (is_xsdt ? 24 : 16)) - places[1]);
        ck_assert_int_eq(memcmp(root, is_xsdt ? "XSDT" : "RSDT", 4), 0);
        ck_assert_uint_eq(sum(root, u32(root + 4)), 0);
        for (unsigned at = 36; at < u32(root + 4); at += is_xsdt ? 8 : 4) {
            ck_assert_uint_ge(u32(root + at), places[1]);
            ck_assert_uint_lt(u32(root + at), places[1] + 0x1000);
            table = files[1] + (u32(root + at) - places[1]);
            ck_assert_uint_eq(sum(table, u32(table + 4)), 0);
            has_madt |= memcmp(table, "APIC", 4) == 0;
            if (memcmp(table, "FACP", 4) != 0)
                continue;
            has_fadt = true;
            for (unsigned i = 0; i < 3; i++) {
                ck_assert_uint_eq(u32(table + ports[i].at), 0xe400u + ports[i].offset);
                ck_assert_uint_eq(u32(table + ports[i].x_at), 0xe400u + ports[i].offset);
            }
            ck_assert_int_eq(memcmp(files[1] + (u32(table + 36) - places[1]), "FACS", 4), 0);
            ck_assert_int_eq(memcmp(files[1] + (u32(table + 40) - places[1]), "DSDT", 4), 0);
            ck_assert_int_eq(memcmp(files[1] + (u32(table + 140) - places[1]), "DSDT", 4), 0);
        }
    }
    ck_assert(has_fadt);
    ck_assert_int_eq(has_madt, _i);
}
END_TEST

/* --fw-cfg etc/acpi/tables=FILE: nobody looks into it for what might be an FADT. */
START_TEST(a_users_tables_stay_what_they_are)
{
    static uint8_t tables[1024];
    const struct fw_cfg_item *item;

    for (size_t i = 0; i < sizeof tables; i += 4)
        memcpy(tables + i, "FACP", 4);
    ck_assert(fw_cfg_add_acpi(&f, 1, true, &problem));
    ck_assert(fw_cfg_add_file(&f, "etc/acpi/tables", tables, sizeof tables));
    fw_cfg_place_power(&f, 0xe400);
    item = file("etc/acpi/tables");
    ck_assert_uint_eq(item->size, sizeof tables);
    ck_assert_int_eq(memcmp(item->bytes, tables, sizeof tables), 0);
    ck_assert(fw_cfg_add_file(&f, "etc/acpi/tables", "x", 1));
    fw_cfg_place_power(&f, 0xe400);
}
END_TEST

TCase *fw_cfg_cases(void)
{
    TCase *cases = tcase_create("fw_cfg");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, signature_and_numbers);
    tcase_add_test(cases, the_directory_tells_of_the_files);
    tcase_add_test(cases, transfers);
    tcase_add_test(cases, a_long_transfer_can_be_stopped);
    tcase_add_test(cases, a_transfer_respects_the_shadow);
    tcase_add_loop_test(cases, tables_are_loaded_anywhere, 0, 2); /* without APICs, with */
    tcase_add_test(cases, a_users_tables_stay_what_they_are);
    return cases;
}
