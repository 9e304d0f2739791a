/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables as firmware takes them from fw_cfg: two files to be put where firmware has room, and etc/table-loader,
 * a list of commands that says which pointers and checksums to mend then (QEMU's hw/acpi/bios-linker-loader.c).
 */
#include <endian.h>
#include <string.h>

#include "acpi.h"
#include "board.h"

enum {
    TABLES_AT = 0x40, /* behind the RSDP, where acpi_build() puts the rest */
    TABLES_GPA = 0,   /* so that pointers say where in the piece the tables are */
    RSDP_SIZE = 36,
    HEADER_CHECKSUM = 9,

    ALLOCATE = 1,
    ADD_POINTER = 2,
    ADD_CHECKSUM = 3,
    ZONE_HIGH = 1,
    ZONE_F_SEGMENT = 2,
    COMMANDS = 64,
};

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

/* The file that a byte of the piece is in, whose offset *offset becomes. */
static const char *file_of(uint32_t *offset)
{
    if (*offset < TABLES_AT)
        return rsdp_file;
    *offset -= TABLES_AT;
    return tables_file;
}

/* Makes a pointer that lies in the piece relative to the tables, and has it mended. */
static void mend(struct loader *l, uint8_t *piece, uint32_t at, uint8_t size)
{
    uint8_t *pointer = piece + at;
    const char *file = file_of(&at);
    struct command *c = next(l, ADD_POINTER, file);
    uint64_t value = 0;

    memcpy(&value, pointer, size);
    value = htole64(le64toh(value) - TABLES_AT);
    memcpy(pointer, &value, size);
    strcpy(c->pointer.to, tables_file);
    c->pointer.offset = htole32(at);
    c->pointer.size = size;
}

static void sum_up(struct loader *l, const char *file, unsigned checksum, unsigned start, unsigned length)
{
    struct command *c = next(l, ADD_CHECKSUM, file);

    c->checksum.offset = htole32(checksum);
    c->checksum.start = htole32(start);
    c->checksum.length = htole32(length);
}

bool fw_cfg_add_acpi(struct fw_cfg *f, unsigned processors, bool has_apic, struct problem *problem)
{
    struct acpi_tables t;
    struct loader l = {0};

    acpi_build(&t, TABLES_GPA, processors, has_apic);
    allocate(&l, rsdp_file, ZONE_F_SEGMENT);
    allocate(&l, tables_file, ZONE_HIGH);
    for (unsigned i = 0; i < t.pointer_count; i++)
        mend(&l, t.bytes, t.pointer[i].offset, t.pointer[i].size);
    for (unsigned i = 0; i < t.table_count; i++) {
        uint32_t start = t.table[i].offset - TABLES_AT;

        if (memcmp(t.table[i].signature, "FACS", 4) != 0) /* the one table without a checksum */
            sum_up(&l, tables_file, start + HEADER_CHECKSUM, start, t.table[i].size);
    }
    sum_up(&l, rsdp_file, 8, 0, 20);
    sum_up(&l, rsdp_file, 32, 0, RSDP_SIZE);
    return (!l.too_many && fw_cfg_add_file(f, rsdp_file, t.bytes, RSDP_SIZE) &&
            fw_cfg_add_file(f, tables_file, t.bytes + TABLES_AT, t.size - TABLES_AT) &&
            fw_cfg_add_file(f, "etc/table-loader", l.command, l.count * sizeof l.command[0])) ||
           problem_is(problem, STATUS_HOST, "the host has no memory for the ACPI tables");
}
