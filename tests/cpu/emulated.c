/* SPDX-License-Identifier: MIT */
/* Runs sequences on softwhp, through the API alone: one processor in long mode at CPL 3 on a virtual
 * clock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "include/softwhp.h"
#include "tests/cpu/sequences.h"

enum { TABLES = 0x1000, TABLE_SIZE = 0x8000, AREA = 0x24000, DESCRIPTORS = 0x7000, LDT_PART = 0x800, TSS_PART = 0xc00 };
#define DESCRIPTORS_AT 0xffff800000000000u /* where user code can't see them */

struct emulated {
    WHV_PARTITION_HANDLE partition;
    WHV_RUN_VP_EXIT_CONTEXT exit;
    u8 *memory, *tables;
    bool has_bases; /* the run's own */
};

/* Outside of Check too: the fuzzer uses this. */
#define must(call) give_up_unless((call) == S_OK, #call)

static void give_up_unless(bool well, const char *call)
{
    char text[512] = "";

    if (well)
        return;
    SwhpGetLastErrorText(text, sizeof text, NULL);
    fprintf(stderr, "%s failed: %s\n", call, text);
    abort();
}

static void set64(struct emulated *m, WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v = { .Reg64 = value };

    must(WHvSetVirtualProcessorRegisters(m->partition, 0, &name, 1, &v));
}

static void put(struct emulated *m, u32 at, u64 value)
{
    memcpy(m->tables + at, &value, 8);
}

#define NO_EXECUTE ((u64)1 << 63)

/* The areas' pages and nothing else, at their own addresses, user and but for one writable. */
static void build_tables(struct emulated *m)
{
    static const struct {
        u32 at, size;
    } areas[] = { { CODE_AT, CODE_SIZE }, { DATA_AT, DATA_SIZE }, { STACK_AT, STACK_SIZE } };

    put(m, 0, (TABLES + 0x1000) | 7);
    put(m, 0x1000, (TABLES + 0x2000) | 7);
    put(m, 0x2000 + (CODE_AT >> 21) * 8, (TABLES + 0x3000) | 7);
    for (unsigned i = 0; i < 3; i++)
        for (u32 page = areas[i].at; page < areas[i].at + areas[i].size; page += 0x1000)
            put(m, 0x3000 + (page >> 12 & 511) * 8, page | 7 | (i ? NO_EXECUTE : 0));
    put(m, 0x3000 + (FIXED_AT >> 12 & 511) * 8, FIXED_AT | 5 | NO_EXECUTE);
    for (u32 table = 0; table < 4; table++)
        put(m, table ? 0x3000 + table * 0x1000 : 256 * 8,
            (TABLES + 0x4000 + table * 0x1000) | 3 | (table == 3 ? NO_EXECUTE : 0));
}

/* What 64-bit Linux has in its global table for users. */
static void build_descriptors(struct emulated *m)
{
    static const u64 gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
                               0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff };
    WHV_REGISTER_NAME names[] = { WHvX64RegisterGdtr, WHvX64RegisterLdtr, WHvX64RegisterTr, WHvX64RegisterIdtr };
    WHV_REGISTER_VALUE v[4] = { { .Table = { .Base = DESCRIPTORS_AT, .Limit = 0x7f } },
                                { .Segment = { .Base = DESCRIPTORS_AT + LDT_PART, .Limit = LDT_USED * 8 - 1, .Selector = 0x48,
                                               .Attributes = 0x82 } },
                                { .Segment = { .Base = DESCRIPTORS_AT + TSS_PART, .Limit = 0x67, .Selector = 0x40,
                                               .Attributes = 0x8b } },
                                { .Table = { .Base = DESCRIPTORS_AT, .Limit = 0 } } }; /* exceptions leave, INT n is #GP */

    memcpy(m->tables + DESCRIPTORS, gdt, sizeof gdt);
    put(m, DESCRIPTORS + TSS_PART + 0x60, 0xffff000000000000); /* no port is allowed */
    must(WHvSetVirtualProcessorRegisters(m->partition, 0, names, 4, v));
}

/* In 64-bit code null selectors; else those of the local table, or of Linux's flat segments. */
static void set_segments(struct emulated *m, const struct state *s)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterEs, WHvX64RegisterCs, WHvX64RegisterSs,
                                               WHvX64RegisterDs, WHvX64RegisterFs, WHvX64RegisterGs };
    WHV_REGISTER_VALUE v[6];

    for (unsigned i = 0; i < LDT_USED; i++)
        put(m, DESCRIPTORS + LDT_PART + i * 8, descriptor_raw(&s->ldt[i]));
    for (unsigned i = 0; i < 6; i++) {
        u16 selector = s->selector[i];
        const struct descriptor *d = &s->ldt[selector >> 3];

        v[i].Segment = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffffffff, .Selector = selector, .Attributes = 0xc0f3 };
        if (selector & 4) {
            v[i].Segment.Base = d->base;
            v[i].Segment.Limit = d->limit;
            v[i].Segment.Attributes = (u16)(descriptor_raw(d) >> 40 & 0xf0ff);
        } else if (i == CS) {
            v[i].Segment.Attributes = s->mode == 64 ? 0xa0fb : 0xc0fb;
        } else if (!selector && s->mode != 64) {
            v[i].Segment.Attributes = 0;
        }
    }
    if (s->has_bases) {
        v[FS].Segment.Base = s->base[0];
        v[GS].Segment.Base = s->base[1];
    }
    must(WHvSetVirtualProcessorRegisters(m->partition, 0, names, 6, v));
}

struct emulated *emulated_open(struct arena *a)
{
    struct emulated *m = calloc(1, sizeof *m);
    u32 one = 1, clock = SwhpClockVirtual;
    u64 exits = 4, vectors = 0xb7cfb & ~(u64)0x100; /* exceptions leave */
    WHV_MAP_GPA_RANGE_FLAGS all =
        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;

    give_up_unless(m != NULL, "calloc");
    m->memory = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    m->tables = mmap(NULL, TABLE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    give_up_unless(m->memory != MAP_FAILED && m->tables != MAP_FAILED, "mmap");
    build_tables(m);

    must(WHvCreatePartition(&m->partition));
    must(WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    must(WHvSetPartitionProperty(m->partition, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock,
                                 &clock, sizeof clock));
    must(WHvSetupPartition(m->partition));
    must(WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, 8));
    must(WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeExceptionExitBitmap, &vectors, 8));
    must(WHvCreateVirtualProcessor(m->partition, 0, 0));
    must(WHvMapGpaRange(m->partition, m->tables, TABLES, TABLE_SIZE, all));
    must(WHvMapGpaRange(m->partition, m->memory, CODE_AT, AREA, all));

    WHV_REGISTER_NAME names[] = { WHvX64RegisterCr0, WHvX64RegisterCr3, WHvX64RegisterCr4,
                                  WHvX64RegisterEfer, WHvX64RegisterXCr0 };
    WHV_REGISTER_VALUE v[5] = { { .Reg64 = CR0_PG | CR0_PE | CR0_NE | CR0_MP | CR0_AM | CR0_WP | CR0_ET },
                                { .Reg64 = TABLES },
                                { .Reg64 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE },
                                { .Reg64 = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE },
                                { .Reg64 = 7 } };

    must(WHvSetVirtualProcessorRegisters(m->partition, 0, names, 5, v));
    build_descriptors(m);
    set_segments(m, &(struct state){ .mode = 64, .selector = { 0, 0x33, 0x2b } });
    set64(m, WHvX64RegisterRflags, 0x202);
    *a = (struct arena){ m->memory, m->memory + (DATA_AT - CODE_AT), m->memory + (STACK_AT - CODE_AT),
                         m->memory + (FIXED_AT - CODE_AT) };
    sequence_fill_fixed(a);
    return m;
}

void emulated_close(struct emulated *m)
{
    must(WHvDeletePartition(m->partition));
    munmap(m->memory, AREA);
    munmap(m->tables, TABLE_SIZE);
    free(m);
}

enum { GENERAL = 18, SEGMENT = GENERAL + 16 + 8 + 2, REGISTERS = SEGMENT + 6 };

static void name_registers(WHV_REGISTER_NAME *name)
{
    for (int i = 0; i < GENERAL; i++) /* RAX to R15, RIP, RFLAGS */
        name[i] = (WHV_REGISTER_NAME)(WHvX64RegisterRax + i);
    for (int i = 0; i < 16; i++)
        name[GENERAL + i] = (WHV_REGISTER_NAME)(WHvX64RegisterXmm0 + i);
    for (int i = 0; i < 10; i++) /* FpMmx0 to 7, FpControlStatus, XmmControlStatus */
        name[GENERAL + 16 + i] = (WHV_REGISTER_NAME)(WHvX64RegisterFpMmx0 + i);
    for (int i = 0; i < 6; i++) /* ES to GS, which are read alone */
        name[SEGMENT + i] = (WHV_REGISTER_NAME)(WHvX64RegisterEs + i);
}

void emulated_set(struct emulated *m, const struct state *s)
{
    WHV_REGISTER_NAME name[REGISTERS];
    WHV_REGISTER_VALUE v[REGISTERS];

    memset(v, 0, sizeof v);
    name_registers(name);
    m->has_bases = s->has_bases;
    set_segments(m, s); /* code that was overwritten at random may have loaded any */
    for (unsigned i = 0; i < 16; i++)
        v[i].Reg64 = s->gpr[i];
    v[16].Reg64 = s->rip;
    v[17].Reg64 = s->rflags;
    for (unsigned i = 0; i < 16; i++)
        memcpy(&v[GENERAL + i], s->xmm[i], 16);
    for (unsigned i = 0; i < 8; i++)
        memcpy(&v[GENERAL + 16 + i], s->st[i], 16);
    v[GENERAL + 24].FpControlStatus.FpControl = s->fcw;
    v[GENERAL + 24].FpControlStatus.FpStatus = s->fsw;
    v[GENERAL + 24].FpControlStatus.FpTag = s->ftw;
    v[GENERAL + 25].XmmControlStatus.XmmStatusControl = s->mxcsr;
    v[GENERAL + 25].XmmControlStatus.XmmStatusControlMask = 0x2ffff;
    must(WHvSetVirtualProcessorRegisters(m->partition, 0, name, SEGMENT, v));
    set64(m, WHvRegisterPendingInterruption, 0); /* an INT n that was #GP would be delivered again */
    set64(m, (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors, 0); /* else they may stay with the pointers */
}

void emulated_get(struct emulated *m, struct state *s)
{
    WHV_REGISTER_NAME name[REGISTERS];
    WHV_REGISTER_VALUE v[REGISTERS];

    memset(s, 0, sizeof *s);
    name_registers(name);
    must(WHvGetVirtualProcessorRegisters(m->partition, 0, name, REGISTERS, v));
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = v[i].Reg64;
    s->rip = v[16].Reg64;
    s->rflags = v[17].Reg64 & (STATUS | DF | AC);
    for (unsigned i = 0; i < 16; i++)
        memcpy(s->xmm[i], &v[GENERAL + i], 16);
    for (unsigned i = 0; i < 8; i++)
        memcpy(s->st[i], &v[GENERAL + 16 + i], 10);
    s->fcw = v[GENERAL + 24].FpControlStatus.FpControl;
    s->fsw = v[GENERAL + 24].FpControlStatus.FpStatus;
    s->ftw = v[GENERAL + 24].FpControlStatus.FpTag;
    s->mxcsr = v[GENERAL + 25].XmmControlStatus.XmmStatusControl;
    for (unsigned i = 0; i < 6; i++)
        s->selector[i] = v[SEGMENT + i].Segment.Selector;
    for (unsigned i = 0; m->has_bases && i < 2; i++)
        s->base[i] = v[SEGMENT + FS + i].Segment.Base;
    s->vector = 256;
    if (m->exit.ExitReason == WHvRunVpExitReasonException) {
        const WHV_VP_EXCEPTION_CONTEXT *x = &m->exit.VpException;

        s->vector = x->ExceptionType;
        s->error = x->ExceptionInfo.ErrorCodeValid ? x->ErrorCode : 0;
        s->cr2 = s->vector == VECTOR_PF ? x->ExceptionParameter : 0;
    }
}

u64 emulated_count(struct emulated *m)
{
    u64 count;

    must(SwhpGetInstructionCount(m->partition, 0, &count));
    return count;
}

bool emulated_run(struct emulated *m, u64 count)
{
    must(SwhpRunVirtualProcessorUntil(m->partition, 0, count, &m->exit, sizeof m->exit));
    return m->exit.ExitReason == SwhpRunVpExitReasonCount;
}
