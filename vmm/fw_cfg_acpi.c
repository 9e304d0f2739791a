/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables as firmware takes them from fw_cfg: two files to be put where firmware has room, and
 * etc/table-loader, a list of commands that says which pointers and checksums to mend then (QEMU's hw/acpi/bios-linker-loader.c).
 */
#include <endian.h>
#include <string.h>

#include "acpi.h"
#include "board.h"

enum {
    RSDP_SIZE = 36,
    RSDP_CHECKSUM = 8, /* of the first 20 bytes */
    RSDP_CHECKSUM_ALL = 32,
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

/* The pointer holds an offset into the tables, to which their place is added. */
static void mend(struct loader *l, const char *file, uint32_t offset, uint8_t size)
{
    struct command *c = next(l, ADD_POINTER, file);

    strcpy(c->pointer.to, tables_file);
    c->pointer.offset = htole32(offset);
    c->pointer.size = size;
}

/* A checksum is zero until it is made: U-Boot sums it up with the rest and overwrites it. */
static void sum_up(struct loader *l, const char *file, uint8_t *bytes, uint32_t checksum, uint32_t start,
                   uint32_t length)
{
    struct command *c = next(l, ADD_CHECKSUM, file);

    bytes[checksum] = 0;
    c->checksum.offset = htole32(checksum);
    c->checksum.start = htole32(start);
    c->checksum.length = htole32(length);
}

bool fw_cfg_add_acpi(struct fw_cfg *f, unsigned processors, bool has_apic, struct problem *problem)
{
    struct acpi_tables t;
    struct loader l = {0};
    uint8_t rsdp[RSDP_SIZE];

    acpi_build(&t, 0, processors, has_apic);
    allocate(&l, rsdp_file, ZONE_F_SEGMENT);
    allocate(&l, tables_file, ZONE_HIGH);
    for (unsigned i = 0; i < t.pointer_count; i++)
        mend(&l, t.pointer[i].offset < RSDP_SIZE ? rsdp_file : tables_file, t.pointer[i].offset, t.pointer[i].size);
    for (unsigned i = 0; i < t.table_count; i++) {
        if (memcmp(t.table[i].signature, "FACP", 4) == 0)
            f->fadt = t.table[i].offset;
        if (memcmp(t.table[i].signature, "FACS", 4) != 0) /* which has none */
            sum_up(&l, tables_file, t.bytes, t.table[i].offset + HEADER_CHECKSUM, t.table[i].offset, t.table[i].size);
    }
    memcpy(rsdp, t.bytes, sizeof rsdp);
    memset(t.bytes, 0, sizeof rsdp); /* one is enough; its room keeps the offsets what they are */
    sum_up(&l, rsdp_file, rsdp, RSDP_CHECKSUM, 0, 20);
    sum_up(&l, rsdp_file, rsdp, RSDP_CHECKSUM_ALL, 0, RSDP_SIZE);
    if (!l.too_many && fw_cfg_add_file(f, rsdp_file, rsdp, sizeof rsdp) &&
        fw_cfg_add_file(f, tables_file, t.bytes, t.size) &&
        fw_cfg_add_file(f, "etc/table-loader", l.command, l.count * sizeof l.command[0]))
        return true;
    return problem_is(problem, STATUS_HOST, "the host has no memory for the ACPI tables");
}

/* A user's own tables stay what they are. */
void fw_cfg_place_power(struct fw_cfg *f, uint16_t base)
{
    struct fw_cfg_item *item = fw_cfg_find_file(f, tables_file);

    if (item && !item->is_replaced)
        acpi_place_ports(item->bytes + f->fadt, base);
}
