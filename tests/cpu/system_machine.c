/* SPDX-License-Identifier: MIT */
/* Builds the machine of a scenario, runs it, and compares. On the public API alone. */
#include "tests/cpu/system_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(UINT8 *memory, UINT32 at, UINT64 value, unsigned size)
{
    memcpy(memory + at, &value, size);
}

/* ---- tables ---- */

static const struct {
    UINT16 selector;
    UINT64 raw;
} descriptors[] = {
    { CODE64, 0x00af9b000000ffff },       { DATA0, 0x00cf93000000ffff },
    { CODE32, 0x00cf9b000000ffff },       { USER_CODE32, 0x00cffb000000ffff },
    { USER_DATA, 0x00cff3000000ffff },    { USER_CODE64, 0x00affb000000ffff },
    { CODE16, 0x00009b000000ffff },       { DATA16, 0x000093000000ffff },
    { CONFORMING, 0x00cf9f000000ffff },   { ABSENT_CODE, 0x00cf1b000000ffff },
    { TSS32, 0x00008b004000020f },        { TSS64, 0x00008b004000020f },
    { GATE32, 0x0000ec0200189000 },       { GATE64, 0x0000ec0000089000 },
    { SECOND_TASK, 0x0000e90044000067 },  { TASK_GATE_SELECTOR, 0x0000e50000880000 },
    { BAD_CODE, 0x00ef9b000000ffff },     { ABSENT_DATA, 0x00cf73000000ffff },
    { LDT_SELECTOR, 0x000082005000001f }, { DATA1, 0x00cfb3000000ffff },
    { CODE1, 0x00cfbb000000ffff },        { FREE_TSS64, 0x000089004000006f },
    { SHORT_TSS, 0x00008b0040000008 },    { OLD_TSS, 0x000083004000002b },
};

static void build_gates(UINT8 *memory, bool is_long)
{
    UINT64 selector = is_long ? CODE64 : CODE32;

    /* interrupt gates; DPL 3 from 30 hex on, trap gates from 40 hex on */
    for (unsigned v = 0; v < 256; v++) {
        UINT64 type = (v >= 0x40 ? 0x8f : 0x8e) | (v >= 0x30 ? 0x60 : 0);
        UINT64 raw = HANDLER(v) | selector << 16 | type << 40;

        put(memory, IDT + v * (is_long ? 16 : 8), raw, 8);
        if (is_long)
            put(memory, IDT + v * 16 + 8, 0, 8);
        memory[HANDLER(v)] = 0xf4;
    }
}

static void build(UINT8 *memory, enum mode mode)
{
    bool is_long = mode >= LONG0;

    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        put(memory, GDT + (descriptors[i].selector & ~7u), descriptors[i].raw, 8);
    if (mode == REAL || mode == VM86)
        for (unsigned v = 0; v < 256; v++)
            put(memory, VECTORS + 4 * v, HANDLER(v), 4);
    build_gates(memory, is_long);
    if (is_long) {
        put(memory, TSS + 4, STACK0, 8);
        put(memory, TSS + 36, IST1, 8);
        put(memory, TSS + 0x66, 0x80, 2);
        put(memory, PML4, PDPT | 7, 8);
        put(memory, PDPT, PD | 7, 8);
        for (unsigned i = 0; i < 512; i++)
            put(memory, PD + 8 * i, (UINT64)i << 21 | 0x87, 8);
    } else {
        put(memory, TSS + 4, STACK0, 4);
        put(memory, TSS + 8, DATA0, 4);
        put(memory, TSS + 12, 0x6c00, 4);
        put(memory, TSS + 16, DATA1, 4);
        put(memory, TSS + 0x66, 0x80, 2);
        put(memory, TASK2 + 0x20, TARGET, 4);
        put(memory, TASK2 + 0x24, 2, 4);
        put(memory, TASK2 + 0x28, 0x11112222, 4); /* EAX */
        put(memory, TASK2 + 0x38, 0x6000, 4);     /* ESP */
        for (unsigned i = 0; i < 6; i++)
            put(memory, TASK2 + 0x48 + 4 * i, i == 1 ? CODE32 : DATA0, 4);
    }
    memset(memory + TSS + 0x80, 0xff, 0x21);
    memory[TSS + 0x80 + 0x60 / 8] = 0xfe; /* port 60 is open to all */
    memset(memory + TARGET, 0xf4, 16);
    memset(memory + USER, 0xf4, 16);
}

/* ---- registers ---- */

static WHV_REGISTER_VALUE segment(UINT16 selector, UINT64 base, UINT32 limit, UINT16 attributes)
{
    WHV_REGISTER_VALUE v = { .Segment = { .Base = base, .Limit = limit, .Selector = selector } };

    v.Segment.Attributes = attributes;
    return v;
}

static WHV_REGISTER_VALUE of_raw(UINT16 selector, UINT64 raw)
{
    UINT32 limit = (UINT32)((raw & 0xffff) | (raw >> 32 & 0xf0000));

    return segment(selector, (raw >> 16 & 0xffffff) | raw >> 56 << 24, raw >> 55 & 1 ? limit << 12 | 0xfff : limit,
                   (UINT16)(raw >> 40 & 0xf0ff));
}

static WHV_REGISTER_VALUE of_descriptor(UINT16 selector)
{
    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if ((descriptors[i].selector & ~3) == (selector & ~3))
            return of_raw(selector, descriptors[i].raw);
    return segment(selector, 0, 0, 0);
}

/* What a row puts into a segment register: as the row's GDT has it. */
static WHV_REGISTER_VALUE of_memory(const UINT8 *memory, UINT16 selector)
{
    UINT64 raw;

    memcpy(&raw, memory + GDT + (selector & ~7u), sizeof raw);
    return selector & ~3 ? of_raw(selector, raw) : segment(selector, 0, 0, 0);
}

static WHV_PARTITION_HANDLE partition;
static _Alignas(4096) UINT8 ram[SIZE]; /* of the partition */
static bool keeps; /* the partition between plays */
static bool kept;  /* there is one that was */

static void set(WHV_REGISTER_NAME name, WHV_REGISTER_VALUE v)
{
    HRESULT hr = WHvSetVirtualProcessorRegisters(partition, 0, &name, 1, &v);

    if (FAILED(hr)) /* as an assertion each of the many would be noted in a file */
        ck_abort_msg("setting register %x: %x", (unsigned)name, (unsigned)hr);
}

static void set64(WHV_REGISTER_NAME name, UINT64 value)
{
    set(name, (WHV_REGISTER_VALUE){ .Reg64 = value });
}

static UINT64 get64(WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE v;
    HRESULT hr = WHvGetVirtualProcessorRegisters(partition, 0, &name, 1, &v);

    if (FAILED(hr))
        ck_abort_msg("reading register %x: %x", (unsigned)name, (unsigned)hr);
    if (name >= WHvX64RegisterEs && name <= WHvX64RegisterTr)
        return v.Segment.Selector;
    return v.Reg64;
}

static bool is_segment(WHV_REGISTER_NAME name)
{
    return name >= WHvX64RegisterEs && name <= WHvX64RegisterTr;
}

static void set_table(WHV_REGISTER_NAME name, UINT64 base, UINT16 limit)
{
    set(name, (WHV_REGISTER_VALUE){ .Table = { .Base = base, .Limit = limit } });
}

static void set_state(enum mode mode)
{
    static const WHV_REGISTER_NAME data[] = { WHvX64RegisterEs, WHvX64RegisterSs, WHvX64RegisterDs,
                                              WHvX64RegisterFs, WHvX64RegisterGs };
    bool user = mode == PROTECTED3 || mode >= LONG3, is_long = mode >= LONG0;

    for (unsigned i = 0; kept && i < 16; i++)
        set64(WHvX64RegisterRax + (int)i, 0);
    set64(WHvX64RegisterRip, CODE);
    set64(WHvX64RegisterRsp, user ? STACK3 : STACK0);
    set64(WHvX64RegisterRflags, mode == VM86 ? 0x23002 : 2);
    set_table(WHvX64RegisterGdtr, GDT, GDT_LIMIT);
    set_table(WHvX64RegisterIdtr, mode == REAL ? VECTORS : IDT, 0xfff);
    set(WHvX64RegisterTr, of_descriptor(is_long ? TSS64 : TSS32));
    set(WHvX64RegisterLdtr, segment(0, 0, 0, 0));
    if (mode == REAL || mode == VM86) {
        UINT16 attributes = mode == REAL ? 0x93 : 0xf3;

        for (unsigned i = 0; i < 5; i++)
            set(data[i], segment(0, 0, 0xffff, attributes));
        set(WHvX64RegisterCs, segment(0, 0, 0xffff, mode == REAL ? 0x9b : 0xf3));
    } else {
        for (unsigned i = 0; i < 5; i++)
            set(data[i], of_descriptor(user ? USER_DATA : DATA0));
        set(WHvX64RegisterCs, of_descriptor(mode == PROTECTED0 ? CODE32
                                            : mode == LONG0    ? CODE64
                                            : mode == LONG3    ? USER_CODE64
                                                               : USER_CODE32));
    }
    set64(WHvX64RegisterCr3, is_long ? PML4 : 0);
    set64(WHvX64RegisterCr4, is_long ? 0x20 : 0);
    set64(WHvX64RegisterEfer, is_long ? 0x501 : 0);
    set64(WHvX64RegisterCr0, is_long ? 0x80010031 : mode == REAL ? 0x10 : 0x31);
}

/* ---- the play ---- */

static unsigned put_code(UINT8 *to, const char *hex)
{
    unsigned n = 0;

    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        unsigned value;

        if (sscanf(hex, "%2x", &value) != 1)
            ck_abort_msg("not hex: %s", hex);
        to[n++] = (UINT8)value;
        hex++;
    }
    return n;
}

static void make_partition(const struct scenario *s, UINT8 *memory)
{
    WHV_PARTITION_PROPERTY p;

    ck_assert(SUCCEEDED(WHvCreatePartition(&partition)));
    memset(&p, 0, sizeof p);
    p.ProcessorCount = 1;
    ck_assert(
        SUCCEEDED(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeProcessorCount, &p, sizeof p)));
    memset(&p, 0, sizeof p);
    p.ExtendedVmExits.X64CpuidExit = 1;
    p.ExtendedVmExits.X64MsrExit = 1;
    p.ExtendedVmExits.ExceptionExit = !s->deliver;
    ck_assert(
        SUCCEEDED(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeExtendedVmExits, &p, sizeof p)));
    memset(&p, 0, sizeof p);
    p.ExceptionExitBitmap = 0xf7dfb; /* those that a processor raises */
    if (!s->deliver)
        ck_assert(SUCCEEDED(
            WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeExceptionExitBitmap, &p, sizeof p)));
    ck_assert(SUCCEEDED(WHvSetupPartition(partition)));
    ck_assert(SUCCEEDED(
        WHvMapGpaRange(partition, memory, 0, SIZE,
                       WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute)));
    ck_assert(SUCCEEDED(WHvCreateVirtualProcessor(partition, 0, 0)));
}

static void drop(void)
{
    WHvDeleteVirtualProcessor(partition, 0);
    WHvDeletePartition(partition);
}

void keep_machine(bool keep)
{
    keeps = keep;
    if (!keep && kept) {
        drop();
        kept = false;
    }
}

void play(const struct scenario *s)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    UINT8 *memory = ram;
    UINT64 count;


    memset(memory, 0, SIZE);
    build(memory, s->mode);
    memory[CODE + put_code(memory + CODE, s->code)] = 0xf4;
    for (unsigned i = 0; i < 8 && s->poke[i].size; i++)
        put(memory, s->poke[i].at, s->poke[i].value, s->poke[i].size);
    if (!kept)
        make_partition(s, memory);
    set_state(s->mode);
    for (unsigned i = 0; i < 8 && (s->set[i].name || s->set[i].value); i++) {
        if (is_segment(s->set[i].name))
            set(s->set[i].name, of_memory(memory, (UINT16)s->set[i].value));
        else if (s->set[i].name == WHvX64RegisterIdtr || s->set[i].name == WHvX64RegisterGdtr)
            set_table(s->set[i].name,
                      s->set[i].value >> 16                   ? s->set[i].value >> 16
                      : s->set[i].name == WHvX64RegisterIdtr ? IDT
                                                             : GDT,
                      (UINT16)s->set[i].value);
        else
            set64(s->set[i].name, s->set[i].value);
    }

    ck_assert(SUCCEEDED(SwhpGetInstructionCount(partition, 0, &count)));
    ck_assert(SUCCEEDED(SwhpRunVirtualProcessorUntil(partition, 0, count + 1000, &x, sizeof x)));
    ck_assert_msg((UINT32)x.ExitReason == s->reason, "%s: exit %x (vector %u, error %x, RIP %llx), not %x",
                  s->name, (unsigned)x.ExitReason, x.VpException.ExceptionType, x.VpException.ErrorCode,
                  (unsigned long long)x.VpContext.Rip, s->reason);
    if (s->reason == (UINT32)WHvRunVpExitReasonException) {
        ck_assert_msg(x.VpException.ExceptionType == s->vector, "%s: vector %u, error %x, not %u", s->name,
                      x.VpException.ExceptionType, x.VpException.ErrorCode, s->vector);
        ck_assert_msg(x.VpException.ErrorCode == s->error, "%s: error code %x, not %x", s->name,
                      x.VpException.ErrorCode, s->error);
        if (!s->rip)
            ck_assert_msg(x.VpContext.Rip == CODE, "%s: RIP %llx isn't at the instruction", s->name,
                          (unsigned long long)x.VpContext.Rip);
    }
    if (s->rip)
        ck_assert_msg(x.VpContext.Rip == s->rip, "%s: RIP %llx, not %llx", s->name,
                      (unsigned long long)x.VpContext.Rip, (unsigned long long)s->rip);
    for (unsigned i = 0; i < 10 && (s->want[i].name || s->want[i].value); i++) {
        UINT64 got = get64(s->want[i].name);

        ck_assert_msg(got == s->want[i].value, "%s: register %x is %llx, not %llx", s->name,
                      (unsigned)s->want[i].name, (unsigned long long)got,
                      (unsigned long long)s->want[i].value);
    }
    for (unsigned i = 0; i < 10 && s->see[i].size; i++) {
        UINT64 got = 0;

        memcpy(&got, memory + s->see[i].at, s->see[i].size);
        ck_assert_msg(got == s->see[i].value, "%s: memory at %x is %llx, not %llx", s->name, s->see[i].at,
                      (unsigned long long)got, (unsigned long long)s->see[i].value);
    }
    if (s->reason == (UINT32)WHvRunVpExitReasonUnrecoverableException) {
        char text[4096];

        ck_assert(SUCCEEDED(SwhpExplainLastExit(partition, 0, text, sizeof text, NULL)));
        ck_assert_msg(strstr(text, "shutdown") != NULL, "%s: explained as: %s", s->name, text);
        if (getenv("SYSTEM_EXPLAIN"))
            puts(text);
    }
    kept = keeps;
    if (!kept)
        drop();
}
