/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables as firmware takes them from fw_cfg: two files to be put where firmware has room, and etc/table-loader,
 * a list of commands that says which pointers and checksums to mend then (QEMU's hw/acpi/bios-linker-loader.c).
 */
#include <endian.h>
#include <string.h>

#include "acpi.h"
#include "board.h"
#include "memory.h"

enum {
    RSDP_SIZE = 36,
    RSDP_RSDT = 16,
    RSDP_XSDT = 24,
    TABLES_AT = 0x40, /* behind the RSDP, where acpi_write_tables() puts the rest */
    TABLES_END = 0x1000,
    HEADER_SIZE = 36,
    HEADER_LENGTH = 4,
    HEADER_CHECKSUM = 9,
    FADT_FACS = 36,
    FADT_DSDT = 40,
    FADT_EVENT = 56,
    FADT_CONTROL = 64,
    FADT_TIMER = 76,
    FADT_X_FACS = 132,
    FADT_X_DSDT = 140,
    FADT_X_EVENT = 148, /* generic addresses: the address is behind their first 4 bytes */
    FADT_X_CONTROL = 172,
    FADT_X_TIMER = 208,
    FADT_SIZE = 244, /* as far as all revisions go */

    ALLOCATE = 1,
    ADD_POINTER = 2,
    ADD_CHECKSUM = 3,
    ZONE_HIGH = 1,
    ZONE_F_SEGMENT = 2,
    COMMANDS = 64,
};

#define TABLES_GPA (ACPI_RSDP + TABLES_AT)

static const char rsdp_file[] = "etc/acpi/rsdp", tables_file[] = "etc/acpi/tables";

/* All numbers have their lowest byte first. */
struct command {
    uint32_t kind;
    char file[FW_CFG_NAME_SIZE];
    union {
        struct {
            uint32_t align;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct {
            char to[FW_CFG_NAME_SIZE];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct {
            uint32_t offset, start, length;
        } checksum;
        uint8_t room[124 - FW_CFG_NAME_SIZE];
    };
} __attribute__((packed));

_Static_assert(sizeof(struct command) == 128, "a command of the loader");

struct loader {
    struct command command[COMMANDS];
    unsigned count;
    uint8_t *page; /* the RSDP, and the tables from TABLES_AT on */
    bool too_many;
};

static struct command *next(struct loader *l, uint32_t kind, const char *file)
{
    static struct command nowhere;
    struct command *c = l->count < COMMANDS ? &l->command[l->count++] : &nowhere;

    l->too_many |= c == &nowhere;
    c->kind = htole32(kind);
    strcpy(c->file, file);
    return c;
}

static void allocate(struct loader *l, const char *file, uint8_t zone)
{
    struct command *c = next(l, ALLOCATE, file);

    c->allocate.align = htole32(64); /* the FACS asks for it */
    c->allocate.zone = zone;
}

static uint64_t number(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, at, size);
    return le64toh(value);
}

/* Makes a pointer that lies in the page relative to the tables, and has it mended. Where it points in the page, or 0. */
static unsigned mend(struct loader *l, const char *file, unsigned file_at, unsigned at, unsigned size)
{
    uint64_t gpa = number(l->page + at, size), offset = htole64(gpa - TABLES_GPA);
    struct command *c;

    if (gpa < TABLES_GPA || gpa > ACPI_RSDP + TABLES_END - HEADER_SIZE)
        return 0;
    memcpy(l->page + at, &offset, size);
    c = next(l, ADD_POINTER, file);
    strcpy(c->pointer.to, tables_file);
    c->pointer.offset = htole32(at - file_at);
    c->pointer.size = (uint8_t)size;
    return (unsigned)(gpa - ACPI_RSDP);
}

/* The sum counts from a zero: SeaBIOS takes it from what stands there, and U-Boot overwrites that. */
static void sum_up(struct loader *l, const char *file, unsigned checksum, unsigned start, unsigned length)
{
    struct command *c = next(l, ADD_CHECKSUM, file);

    l->page[(file == tables_file ? TABLES_AT : 0) + checksum] = 0;
    c->checksum.offset = htole32(checksum);
    c->checksum.start = htole32(start);
    c->checksum.length = htole32(length);
}

static unsigned table_end(const struct loader *l, unsigned table)
{
    uint64_t length = number(l->page + table + HEADER_LENGTH, 4);

    return length <= TABLES_END - table ? table + (unsigned)length : table;
}

static void sum_up_table(struct loader *l, unsigned table)
{
    unsigned start = table - TABLES_AT;

    sum_up(l, tables_file, start + HEADER_CHECKSUM, start, table_end(l, table) - table);
}

static void mend_fadt(struct loader *l, unsigned fadt)
{
    static const struct {
        uint8_t at, size;
    } pointers[] = {{FADT_FACS, 4}, {FADT_DSDT, 4}, {FADT_X_FACS, 8}, {FADT_X_DSDT, 8}};

    for (unsigned i = 0; i < sizeof pointers / sizeof pointers[0]; i++)
        mend(l, tables_file, TABLES_AT, fadt + pointers[i].at, pointers[i].size);
    sum_up_table(l, fadt);
}

/* A root table, and what it points at: both roots point at the same, which is mended once. */
static void mend_root(struct loader *l, unsigned root, unsigned entry_size, bool is_first)
{
    unsigned end = table_end(l, root), table;

    for (unsigned at = root + HEADER_SIZE; at < end; at += entry_size) {
        table = mend(l, tables_file, TABLES_AT, at, entry_size);
        if (table && is_first && memcmp(l->page + table, "FACP", 4) == 0)
            mend_fadt(l, table);
    }
    sum_up_table(l, root);
}

bool fw_cfg_add_acpi(struct fw_cfg *f, struct problem *problem)
{
    struct memory scratch;
    struct loader l = {0};
    unsigned rsdt, xsdt;
    bool fine;

    if (!memory_make(&scratch, MEMORY_SMALLEST, problem))
        return false;
    acpi_write_tables(&scratch);
    l.page = memory_at(&scratch, ACPI_RSDP, TABLES_END);
    allocate(&l, rsdp_file, ZONE_F_SEGMENT);
    allocate(&l, tables_file, ZONE_HIGH);
    rsdt = mend(&l, rsdp_file, 0, RSDP_RSDT, 4);
    xsdt = mend(&l, rsdp_file, 0, RSDP_XSDT, 8);
    mend_root(&l, rsdt, 4, true);
    mend_root(&l, xsdt, 8, false);
    sum_up(&l, rsdp_file, 8, 0, 20);
    sum_up(&l, rsdp_file, 32, 0, RSDP_SIZE);
    fine = !l.too_many && fw_cfg_add_file(f, rsdp_file, l.page, RSDP_SIZE) &&
           fw_cfg_add_file(f, tables_file, l.page + TABLES_AT, TABLES_END - TABLES_AT) &&
           fw_cfg_add_file(f, "etc/table-loader", l.command, l.count * sizeof l.command[0]);
    memory_free(&scratch);
    return fine || problem_is(problem, STATUS_HOST, "the host has no memory for the ACPI tables");
}

static void place(uint8_t *fadt, unsigned at, unsigned x_at, uint16_t port)
{
    uint32_t value = htole32(port);

    memcpy(fadt + at, &value, sizeof value);
    memcpy(fadt + x_at + 4, &value, sizeof value);
}

void fw_cfg_place_power(struct fw_cfg *f, uint16_t base)
{
    struct fw_cfg_item *item = fw_cfg_find_file(f, tables_file);

    for (size_t at = 0; item && at + FADT_SIZE <= item->size; at += 4) {
        uint8_t *fadt = item->bytes + at;

        if (memcmp(fadt, "FACP", 4) != 0)
            continue;
        place(fadt, FADT_EVENT, FADT_X_EVENT, base);
        place(fadt, FADT_CONTROL, FADT_X_CONTROL, (uint16_t)(base + ACPI_PORT_CONTROL - ACPI_PORT_EVENT));
        place(fadt, FADT_TIMER, FADT_X_TIMER, (uint16_t)(base + ACPI_PORT_TIMER - ACPI_PORT_EVENT));
    }
}
