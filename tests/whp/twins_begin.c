/* SPDX-License-Identifier: MIT */
/* What the twins start from: names of registers, tables in memory, a state for each mode. */
#include <stdlib.h>
#include <string.h>

#include "state/x86.h"
#include "tests/whp/twins.h"

/* ---- registers ---- */

WHV_REGISTER_NAME twin_names[TWIN_NAMES];

void twins_name_all(void)
{
    static const struct {
        u32 first, count;
    } runs[] = {
        { WHvX64RegisterRax, 18 }, { WHvX64RegisterEs, 8 }, { WHvX64RegisterIdtr, 2 }, { WHvX64RegisterCr0, 1 },
        { WHvX64RegisterCr2, 3 }, { WHvX64RegisterCr8, 1 }, { WHvX64RegisterEfer, 1 }, { WHvX64RegisterXCr0, 1 },
        { WHvX64RegisterDr0, 4 }, { WHvX64RegisterDr6, 2 }, { WHvX64RegisterXmm0, 16 },
        { WHvX64RegisterFpControlStatus, 1 }, { WHvX64RegisterXmmControlStatus, 1 }, { WHvX64RegisterFpMmx0, 8 },
        { SwhpX64RegisterYmmHigh0, 16 }, { SwhpX64RegisterPkru, 1 }, { SwhpX64RegisterFpSelectors, 1 },
        { WHvRegisterInterruptState, 1 }, { WHvX64RegisterPendingDebugException, 1 }, { WHvRegisterPendingEvent, 1 },
        { WHvRegisterPendingInterruption, 1 }, { SwhpX64RegisterIgnne, 1 }, { SwhpX64RegisterShadowSs, 1 },
    };
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof runs / sizeof *runs; i++)
        for (u32 k = 0; k < runs[i].count; k++)
            twin_names[n++] = (WHV_REGISTER_NAME)(runs[i].first + k);
    if (n != TWIN_NAMES)
        abort();
}

unsigned twin_index(u32 name)
{
    unsigned n = 0;

    while (n < TWIN_NAMES && (u32)twin_names[n] != name)
        n++;
    return n;
}

static WHV_REGISTER_VALUE segment(u16 selector, u64 base, u32 limit, u16 attributes)
{
    WHV_REGISTER_VALUE v = { .Segment = { .Base = base, .Limit = limit, .Selector = selector } };

    v.Segment.Attributes = attributes;
    return v;
}

/* ---- memory ---- */

static void put(u8 *memory, u32 at, u64 value, unsigned size)
{
    memcpy(memory + at, &value, size);
}

static const struct {
    u16 selector;
    u64 raw;
} descriptors[] = {
    { TWIN_CODE64, 0x00af9a000000ffff },      { TWIN_DATA0, 0x00cf92000000ffff },
    { TWIN_CODE32, 0x00cf9a000000ffff },      { TWIN_USER_CODE32, 0x00cffa000000ffff },
    { TWIN_USER_DATA, 0x00cff2000000ffff },   { TWIN_USER_CODE64, 0x00affa000000ffff },
    { TWIN_CODE16, 0x00009a000000ffff },      { TWIN_DATA16, 0x000092000000ffff },
    { TWIN_LDT_SELECTOR, 0x000082002400002f }, { TWIN_FREE_TSS, 0x0000890028000067 },
    { TWIN_BUSY_TSS, 0x00008b002800006f },
};

/* Protection keys, which PKRU rules the use of. */
static u64 key_of(u32 page)
{
    return page == TWIN_READ_ONLY >> 12 ? 2 : page == (TWIN_DATA >> 12) + 1 ? 3 : 0;
}

static void build_tables(u8 *memory, bool is_long)
{
    const unsigned size = is_long ? 8 : 4;

    if (is_long) {
        put(memory, TWIN_TABLES, (TWIN_TABLES + 0x1000) | 7, 8);
        put(memory, TWIN_TABLES + 0x1000, (TWIN_TABLES + 0x2000) | 7, 8);
        put(memory, TWIN_TABLES + 0x2000, (TWIN_TABLES + 0x3000) | 7, 8);
    } else {
        put(memory, TWIN_TABLES, (TWIN_TABLES + 0x3000) | 7, 4);
    }
    for (u32 page = 0; page < TWIN_MEMORY >> 12; page++)
        if (page != TWIN_ABSENT >> 12) {
            u64 entry = page << 12 | (page == TWIN_READ_ONLY >> 12 ? 5 : 7);

            put(memory, TWIN_TABLES + 0x3000 + size * page, is_long ? key_of(page) << 59 | entry : entry, size);
        }
}

static void build(u8 *memory, enum twin_mode mode)
{
    bool is_long = mode <= TWIN_COMPAT3;

    memset(memory, 0, TWIN_MEMORY);
    for (unsigned i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        put(memory, TWIN_GDT + (descriptors[i].selector & ~7u), descriptors[i].raw, 8);
    put(memory, TWIN_GDT + TWIN_GATE, is_long ? 0x0000ec0000081010 : 0x0000ec0100181010, 8); /* to CPL 0 */
    put(memory, TWIN_LDT + (TWIN_IN_LDT & ~7), 0x00cff2000000ffff, 8);
    put(memory, TWIN_TSS + 4, TWIN_STACK + 0x600, is_long ? 8 : 4);
    if (!is_long)
        put(memory, TWIN_TSS + 8, TWIN_DATA0, 4);
    build_tables(memory, is_long);
}

void twins_begin(struct twins *t, enum twin_mode mode, struct twin_state *s)
{
    bool is_long = mode <= TWIN_COMPAT3;
    bool is_user = mode == TWIN_LONG3 || mode == TWIN_COMPAT3 || mode == TWIN_PROTECTED3;
    bool is_16 = mode >= TWIN_SHORT0, has_tables = mode < TWIN_REAL;
    u16 data = mode == TWIN_VM86 ? 0xf3 : is_16 ? 0x93 : is_user ? 0xc0f3 : 0xc093;
    u16 selector = mode >= TWIN_REAL ? 0 : is_16 ? TWIN_DATA16 : is_user ? TWIN_USER_DATA : TWIN_DATA0;
    u32 limit = is_16 ? 0xffff : 0xffffffff;

    build(t->plain.memory, mode);
    memset(s, 0, sizeof *s);
    REG(s, Rip).Reg64 = TWIN_CODE;
    REG(s, Rflags).Reg64 = mode == TWIN_VM86 ? 0x23002 : 2;
    for (u32 i = 0; i < 6; i++)
        s->v[twin_index(WHvX64RegisterEs + i)] = segment(selector, 0, limit, data);
    REG(s, Cs) = mode == TWIN_LONG0        ? segment(TWIN_CODE64, 0, limit, 0xa09b)
                 : mode == TWIN_LONG3      ? segment(TWIN_USER_CODE64, 0, limit, 0xa0fb)
                 : is_user                 ? segment(TWIN_USER_CODE32, 0, limit, 0xc0fb)
                 : mode == TWIN_PROTECTED0 ? segment(TWIN_CODE32, 0, limit, 0xc09b)
                 : mode == TWIN_SHORT0     ? segment(TWIN_CODE16, 0, limit, 0x9b)
                                           : segment(0, 0, limit, mode == TWIN_REAL ? 0x9b : 0xf3);
    REG(s, Fs).Segment.Base = 0x100;
    REG(s, Gs).Segment.Base = 0x200;
    if (mode == TWIN_VM86) {
        REG(s, Fs).Segment.Selector = 0x10;
        REG(s, Gs).Segment.Selector = 0x20;
    }
    REG(s, Ldtr) = has_tables ? segment(TWIN_LDT_SELECTOR, TWIN_LDT, 0x2f, 0x82) : segment(0, 0, 0, 0);
    REG(s, Tr) = segment(TWIN_BUSY_TSS, TWIN_TSS, 0x6f, 0x8b);
    REG(s, Gdtr).Table = (WHV_X64_TABLE_REGISTER){ .Base = TWIN_GDT, .Limit = 0x87 };
    REG(s, Idtr).Table = (WHV_X64_TABLE_REGISTER){ .Base = TWIN_GDT, .Limit = 0x87 };
    REG(s, Cr0).Reg64 = CR0_ET | CR0_NE | CR0_MP | (mode != TWIN_REAL ? CR0_PE : 0) | CR0_AM | CR0_WP |
                        (mode <= TWIN_PROTECTED3 ? CR0_PG : 0);
    REG(s, Cr3).Reg64 = TWIN_TABLES;
    REG(s, Cr4).Reg64 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (is_long ? CR4_PAE | CR4_PKE | CR4_FSGSBASE : 0);
    REG(s, Efer).Reg64 = is_long ? EFER_LME | EFER_LMA | EFER_NXE : 0;
    REG(s, XCr0).Reg64 = 0x207;
    REG(s, Dr6).Reg64 = 0xffff0ff0;
    REG(s, Dr7).Reg64 = 0x400;
    REG(s, FpControlStatus).FpControlStatus.FpControl = 0x37f;
    REG(s, XmmControlStatus).XmmControlStatus.XmmStatusControl = 0x1f80;
    REG(s, XmmControlStatus).XmmControlStatus.XmmStatusControlMask = 0x2ffff;
}
