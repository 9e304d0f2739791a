/* SPDX-License-Identifier: MIT */
/* The tests' machine: tests/whp/guest.h. */
#include "tests/whp/guest.h"

#include <stdio.h>
#include <sys/mman.h>

enum { GDT = 0x1000, TABLES = 0x2000 };

static WHV_PARTITION_HANDLE partition_begin(u32 processors)
{
    WHV_PARTITION_HANDLE p = NULL;
    u32 clock = SwhpClockVirtual;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock,
                                  sizeof clock));
    return p;
}

WHV_PARTITION_HANDLE partition_new(u32 processors)
{
    WHV_PARTITION_HANDLE p = partition_begin(processors);

    ck_ok(WHvSetupPartition(p));
    return p;
}

WHV_PARTITION_HANDLE partition_without(const u64 away[GUEST_BANKS])
{
    WHV_PARTITION_HANDLE p = partition_begin(1);
    WHV_PROCESSOR_FEATURES_BANKS banks;
    u64 xsave;

    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeaturesBanks, &banks, sizeof banks, NULL));
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorXsaveFeatures, &xsave, sizeof xsave, NULL));
    for (unsigned i = 0; i < 2; i++)
        banks.AsUINT64[i] &= ~away[i];
    xsave &= ~away[2];
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeaturesBanks, &banks, sizeof banks));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorXsaveFeatures, &xsave, sizeof xsave));
    ck_ok(WHvSetupPartition(p));
    return p;
}

static void map(struct guest *g, u32 from, u32 to, u32 rights)
{
    ck_ok(WHvMapGpaRange(g->partition, g->memory + from, from, to - from, (WHV_MAP_GPA_RANGE_FLAGS)rights));
}

static void put(struct guest *g, u32 at, u64 value)
{
    memcpy(g->memory + at, &value, sizeof value);
}

/* Flat segments; in long mode the first gigabyte is mapped one to one, by 2 MiB pages. */
static void build_tables(struct guest *g)
{
    put(g, GDT + 8, 0x00cf9b000000ffff);
    put(g, GDT + 16, 0x00cf93000000ffff);
    put(g, GDT + 24, 0x00af9b000000ffff);
    put(g, TABLES, (TABLES + 0x1000) | 7);
    put(g, TABLES + 0x1000, (TABLES + 0x2000) | 7);
    for (u32 i = 0; i < 512; i++)
        put(g, TABLES + 0x2000 + i * 8, (u64)i << 21 | 0xe7);
}

static void set_segments(struct guest *g, enum guest_mode mode)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs, WHvX64RegisterDs,
                                               WHvX64RegisterEs, WHvX64RegisterFs, WHvX64RegisterGs };
    WHV_REGISTER_VALUE v[6];

    memset(v, 0, sizeof v);
    for (u32 i = 0; i < 6; i++) {
        v[i].Segment.Limit = mode == GUEST_REAL ? 0xffff : 0xffffffff;
        v[i].Segment.Selector = mode == GUEST_REAL ? 0 : i ? 16 : mode == GUEST_LONG ? 24 : 8;
        v[i].Segment.Attributes = mode == GUEST_REAL ? 0x93 : 0xc093;
    }
    v[0].Segment.Attributes = mode == GUEST_REAL ? 0x9b : mode == GUEST_LONG ? 0xa09b : 0xc09b;
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, names, 6, v));
}

void guest_open(struct guest *g, enum guest_mode mode, const void *code, size_t size)
{
    guest_open_in(g, partition_new(1), mode, code, size);
}

void guest_open_in(struct guest *g, WHV_PARTITION_HANDLE p, enum guest_mode mode, const void *code, size_t size)
{
    static const WHV_REGISTER_NAME gdtr = WHvX64RegisterGdtr;
    WHV_REGISTER_VALUE table;

    g->partition = p;
    g->memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g->memory, MAP_FAILED);
    ck_ok(WHvCreateVirtualProcessor(g->partition, 0, 0));
    map(g, 0, GUEST_READ_ONLY, 7);
    map(g, GUEST_READ_ONLY, GUEST_HOLE, 5);
    map(g, GUEST_NO_EXECUTE, GUEST_CODE, 3);
    map(g, GUEST_CODE, GUEST_MEMORY, 7);
    build_tables(g);
    memcpy(g->memory + GUEST_CODE, code, size);

    memset(&table, 0, sizeof table);
    table.Table.Base = GDT;
    table.Table.Limit = 31;
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, &gdtr, 1, &table));
    set_segments(g, mode);
    if (mode == GUEST_PROTECTED)
        guest_set(g, WHvX64RegisterCr0, 0x31);
    if (mode == GUEST_LONG) {
        static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCr0, WHvX64RegisterCr3, WHvX64RegisterCr4,
                                                   WHvX64RegisterEfer };
        WHV_REGISTER_VALUE v[4];

        memset(v, 0, sizeof v);
        v[0].Reg64 = 0x80000031;
        v[1].Reg64 = TABLES;
        v[2].Reg64 = 0x20;
        v[3].Reg64 = 0xd01; /* SCE, LME, LMA, NXE */
        ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, names, 4, v));
    }
    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRsp, GUEST_STACK);
}

void guest_close(struct guest *g)
{
    ck_ok(WHvDeletePartition(g->partition));
    munmap(g->memory, GUEST_MEMORY);
}

void guest_enable_exits(struct guest *g, u64 exits, u64 exceptions)
{
    ck_ok(WHvSetPartitionProperty(g->partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, 8));
    ck_ok(WHvSetPartitionProperty(g->partition, WHvPartitionPropertyCodeExceptionExitBitmap, &exceptions, 8));
}

u32 guest_run(struct guest *g)
{
    memset(&g->exit, 0xcc, sizeof g->exit);
    ck_ok(WHvRunVirtualProcessor(g->partition, 0, &g->exit, sizeof g->exit));
    return (u32)g->exit.ExitReason;
}

void *guest_run_thread(void *guest)
{
    guest_run(guest);
    return NULL;
}

long resident_pages(void)
{
    long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f || fscanf(f, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident;
}

SWHP_DIGEST partition_digest(WHV_PARTITION_HANDLE p)
{
    SWHP_DIGEST d;

    ck_ok(SwhpStateHash(p, &d));
    return d;
}

u64 guest_get(struct guest *g, WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(g->partition, 0, &name, 1, &v));
    return v.Reg64;
}

void guest_set(struct guest *g, WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, &name, 1, &v));
}
