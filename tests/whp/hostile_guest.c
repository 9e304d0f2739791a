/* SPDX-License-Identifier: MIT */
/* The hostile guest's machine and its registers: tests/whp/hostile.h. */
#include "tests/whp/hostile.h"

#include <sys/mman.h>

#include "state/x86.h"

enum { GUARD = 4096, MODES = 9 };
enum mode { REAL, UNREAL, V86, PROTECTED16, PROTECTED32, PAGED32, PAE, COMPATIBLE, LONG64 };

u64 hostile_value(struct chance *c)
{
    static const u64 edges[] = { 0,
                                 1,
                                 0x7f,
                                 0x80,
                                 0xff,
                                 0xfff,
                                 0x1000,
                                 0x7fff,
                                 0x8000,
                                 0xffff,
                                 0x10000,
                                 0xfffff,
                                 0x100000,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x100000000,
                                 0x7fffffffffff,
                                 0x800000000000,
                                 0xffffffffffff,
                                 0xffff800000000000,
                                 0xffff7fffffffffff,
                                 0x8000000000000000,
                                 0x7fffffffffffffff,
                                 ~(u64)0,
                                 0xfee00000,
                                 0xff000000000000 };

    switch (chance_below(c, 6)) {
    case 0: return chance_any(c);
    case 1: return CHANCE_OF(c, edges) + chance_below(c, 17) - 8;
    case 2: return chance_below(c, HOSTILE_PAGES + 4) * 4096u + chance_below(c, 33) - 16;
    case 3: return chance_any(c) & chance_any(c) & chance_any(c);
    default: return HOSTILE_DATA + chance_below(c, HOSTILE_MAPPED - HOSTILE_DATA);
    }
}

static void map(struct hostile *h, u32 from, u64 gpa, u32 size, u32 flags)
{
    HRESULT hr = WHvMapGpaRange(h->partition, h->memory + from, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)flags);

    ck_assert_msg(hr == S_OK || (hr == E_INVALIDARG && gpa + size > (u64)1 << 36), "mapping %llx: %08x",
                  (unsigned long long)gpa, (u32)hr);
}

void hostile_remap(struct hostile *h)
{
    static const u8 flags[] = { 7, 7, 7, 1, 3, 5 };
    struct chance *c = &h->chance;
    u64 gpa = chance_below(c, HOSTILE_PAGES) * 4096u;
    u32 page = (u32)(gpa >> 12), size = 4096 * (1 + chance_below(c, 4)), rights = CHANCE_OF(c, flags);
    HRESULT hr;

    if (chance_percent(c, 25)) {
        hr = WHvUnmapGpaRange(h->partition, gpa, size);
        ck_assert(hr == S_OK || hr == WHV_E_GPA_RANGE_NOT_FOUND);
        return;
    }
    if (page > HOSTILE_MAPPED / 4096 - 4 ||
        chance_percent(c, 30)) { /* memory that is elsewhere too: read-only */
        page = chance_below(c, HOSTILE_PAGES - 4);
        rights = 1;
    }
    if (chance_percent(c, 20) && rights == 1)
        gpa = chance_percent(c, 50) ? ((u64)1 << 48) - size : hostile_value(c) & 0xfffffffff000;
    hr = WHvMapGpaRange(h->partition, h->memory + page * 4096u, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)rights);
    ck_assert_msg(hr == S_OK || hr == E_INVALIDARG, "remapping %llx: %08x", (unsigned long long)gpa, (u32)hr);
}

static void property(struct hostile *h, u32 code, u64 value, u32 size)
{
    HRESULT hr = WHvSetPartitionProperty(h->partition, (WHV_PARTITION_PROPERTY_CODE)code, &value, size);
    char text[256] = "";

    SwhpGetLastErrorText(text, sizeof text, NULL);
    ck_assert_msg(hr == S_OK, "property %x: %08x, %s", code, (u32)hr, text);
}

/* SMI, INIT and SIPI, writes to LINT0, LINT1, SVR, LDR, DFR */
enum { APIC_EXITS = 0x33d0 };

void hostile_open(struct hostile *h, u64 seed)
{
    static const u8 widths[] = { 36, 40, 48, 48 };
    struct chance *c = &h->chance;
    u8 *raw = mmap(NULL, HOSTILE_SIZE + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(raw, MAP_FAILED);
    h->memory = raw + GUARD;
    h->is_lying = false;
    h->has_apic = seed % 3 == 0;
    c->state = seed;
    ck_assert_int_eq(mprotect(h->memory, HOSTILE_SIZE, PROT_READ | PROT_WRITE), 0);
    ck_ok(WHvCreatePartition(&h->partition));
    property(h, WHvPartitionPropertyCodeProcessorCount, 1, 4);
    property(h, SwhpPartitionPropertyCodeClock, SwhpClockVirtual, 4);
    property(h, SwhpPartitionPropertyCodeSeed, seed, 8);
    property(h, WHvPartitionPropertyCodePhysicalAddressWidth, CHANCE_OF(c, widths), 4);
    property(h, WHvPartitionPropertyCodeExtendedVmExits,
             chance_below(c, 16) | (h->has_apic ? chance_any(c) & APIC_EXITS : 0), 8);
    if (h->has_apic)
        property(h, WHvPartitionPropertyCodeLocalApicEmulationMode, 1 + chance_below(c, 2), 4);
    property(h, WHvPartitionPropertyCodeExceptionExitBitmap, chance_percent(c, 30) ? chance_any(c) & 0xb7dfb : 0, 8);
    ck_ok(WHvSetupPartition(h->partition));
    ck_ok(WHvCreateVirtualProcessor(h->partition, 0, 0));
    hostile_fill(h);
    map(h, 0, 0, HOSTILE_MAPPED, 7);
    if (chance_percent(c, 50))
        map(h, HOSTILE_MAPPED, 0x100000, HOSTILE_SIZE - HOSTILE_MAPPED, 7);
    for (u32 n = chance_below(c, 4); n; n--)
        hostile_remap(h);
    hostile_registers(h);
}

void hostile_close(struct hostile *h)
{
    ck_ok(WHvDeletePartition(h->partition));
    munmap(h->memory - GUARD, HOSTILE_SIZE + 2 * GUARD);
}

void hostile_set(struct hostile *h, WHV_REGISTER_NAME name, const WHV_REGISTER_VALUE *v)
{
    HRESULT hr = WHvSetVirtualProcessorRegisters(h->partition, 0, &name, 1, v);

    ck_assert_msg(hr == S_OK || hr == (HRESULT)0xC0350050u || hr == (HRESULT)0xC0350006u ||
                      (h->has_apic && hr == (HRESULT)0xC0350005u) ||
                      hr == WHV_E_INVALID_VP_REGISTER_NAME,
                  "setting %x: %08x", (u32)name, (u32)hr);
}

void hostile_set64(struct hostile *h, WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    hostile_set(h, name, &v);
}

void hostile_garbage(struct hostile *h)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterRip,
                                               WHvX64RegisterRflags,
                                               WHvX64RegisterIdtr,
                                               WHvX64RegisterGdtr,
                                               WHvX64RegisterCr0,
                                               WHvX64RegisterCr2,
                                               WHvX64RegisterCr3,
                                               WHvX64RegisterCr4,
                                               WHvX64RegisterCr8,
                                               WHvX64RegisterDr6,
                                               WHvX64RegisterDr7,
                                               WHvX64RegisterDr7,
                                               WHvX64RegisterXCr0,
                                               WHvX64RegisterFpControlStatus,
                                               WHvX64RegisterXmmControlStatus,
                                               WHvX64RegisterTsc,
                                               WHvX64RegisterEfer,
                                               WHvX64RegisterStar,
                                               WHvX64RegisterLstar,
                                               WHvX64RegisterSfmask,
                                               WHvX64RegisterPat,
                                               WHvX64RegisterApicBase,
                                               WHvX64RegisterSpecCtrl,
                                               WHvX64RegisterXss,
                                               WHvX64RegisterSysenterCs,
                                               WHvX64RegisterSysenterEip,
                                               WHvRegisterPendingInterruption,
                                               WHvRegisterInterruptState,
                                               WHvRegisterPendingEvent,
                                               WHvX64RegisterDeliverabilityNotifications,
                                               WHvX64RegisterPendingDebugException,
                                               WHvX64RegisterTscVirtualOffset,
                                               WHvX64RegisterTscAux };
    struct chance *c = &h->chance;
    WHV_REGISTER_NAME name = CHANCE_OF(c, names);
    WHV_REGISTER_VALUE v;

    v.Reg128.Low64 = chance_percent(c, 50) ? hostile_value(c) : chance_any(c) & chance_any(c);
    v.Reg128.High64 = hostile_value(c);
    switch (chance_below(c, 8)) {
    case 0: name = (WHV_REGISTER_NAME)(WHvX64RegisterEs + (int)chance_below(c, 8)); break;
    case 1: name = (WHV_REGISTER_NAME)chance_below(c, 16); break;
    case 2: name = (WHV_REGISTER_NAME)(WHvX64RegisterDr0 + (int)chance_below(c, 4)); break;
    case 3: name = (WHV_REGISTER_NAME)(WHvX64RegisterXmm0 + (int)chance_below(c, 24)); break;
    default: break;
    }
    if (name == WHvRegisterPendingInterruption && chance_percent(c, 80))
        v.Reg64 &= 0xffffffff003fffff;
    if (name == WHvRegisterPendingEvent && chance_percent(c, 80))
        v.Reg64 &= 0xffffffff001f0101;
    if (name == WHvX64RegisterDr7 && chance_percent(c, 80))
        v.Reg64 &= 0xffff27ff;
    if (name == WHvX64RegisterXmmControlStatus)
        v.XmmControlStatus.XmmStatusControl &= 0xffff;
    hostile_set(h, name, &v);
}

static void set_segment(struct hostile *h, u32 n, u64 base, u32 limit, u16 sel, u32 attributes)
{
    WHV_REGISTER_VALUE v;

    v.Segment.Base = base;
    v.Segment.Limit = limit;
    v.Segment.Selector = sel;
    v.Segment.Attributes = (u16)attributes;
    hostile_set(h, (WHV_REGISTER_NAME)(WHvX64RegisterEs + (int)n), &v);
}

static void set_segments(struct hostile *h, enum mode mode, u32 cpl)
{
    struct chance *c = &h->chance;
    bool is_flat = mode >= PROTECTED16;
    u32 limit = mode == REAL || mode == V86 ? 0xffff : 0xffffffff;

    for (u32 n = ES; n <= GS; n++) {
        u16 sel = is_flat ? (u16)(n == CS ? 8 : 0x10)
                          : (u16)(n == CS ? HOSTILE_CODE >> 4 : 0x1000 + chance_below(c, 0x2000));
        u32 attributes = mode == V86 ? 0xf3 : n == CS ? 0x9b : 0x93;

        if (is_flat) {
            if (cpl)
                sel = n == CS ? 0x33 : 0x3b;
            if (n == CS)
                attributes |= mode == LONG64 ? 0xa000 : mode == PROTECTED16 ? 0 : 0xc000;
            else
                attributes |= chance_percent(c, 85) ? 0xc000 : 0x8000;
            attributes |= cpl << 5;
        }
        set_segment(h, n, is_flat ? 0 : (u64)sel << 4, limit, sel, attributes);
    }
}

static void set_tables(struct hostile *h)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Table.Base = HOSTILE_GDT;
    v.Table.Limit = 0xfff;
    hostile_set(h, WHvX64RegisterGdtr, &v);
    v.Table.Base = HOSTILE_IDT;
    hostile_set(h, WHvX64RegisterIdtr, &v);
    set_segment(h, LDTR, HOSTILE_LDT, 0xfff, 0x50, 0x82);
    set_segment(h, TR, HOSTILE_TSS, 0x2100, 0x40, 0x8b);
}

void hostile_registers(struct hostile *h)
{
    static const u32 flags[] = { 0, TF, IF, AC, NT, IOPL, DF, IF | IOPL, RF, AC | IF, TF | IF };
    struct chance *c = &h->chance;
    enum mode mode = (enum mode)chance_below(c, MODES);
    u32 cpl = mode >= PROTECTED16 && chance_percent(c, 35) ? 3 : 0;
    u64 cr0 = 0x10, cr4 = 0, efer = chance_percent(c, 80) ? EFER_SCE : 0, cr3 = HOSTILE_TABLES + 0x5000;
    bool five = chance_percent(c, 30);
    u64 rflags = 2 | CHANCE_OF(c, flags);

    if (mode >= V86)
        cr0 |= CR0_PE;
    if (mode == PAGED32 || (mode == V86 && chance_percent(c, 50)))
        cr0 |= CR0_PG;
    if (mode >= PAE || chance_percent(c, 10))
        cr4 |= CR4_PAE;
    if (mode >= PAE)
        cr0 |= CR0_PG;
    if (mode == PAE)
        cr3 = HOSTILE_TABLES + 0x7000;
    if (mode >= COMPATIBLE) {
        efer |= EFER_LME | EFER_LMA;
        cr3 = HOSTILE_TABLES + 0x1000;
        if (five)
            cr3 = HOSTILE_TABLES, cr4 |= CR4_LA57;
    }
    if (cr4 & CR4_PAE && mode == V86)
        cr3 = HOSTILE_TABLES + 0x7000;
    if (chance_percent(c, 80))
        cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PSE;
    cr4 |= chance_any(c) & chance_any(c) &
           (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PGE | CR4_UMIP | CR4_FSGSBASE);
    cr4 |= chance_any(c) & chance_any(c) & chance_any(c) & (CR4_SMEP | CR4_SMAP | CR4_PKE);
    cr0 |= chance_any(c) & chance_any(c) & (CR0_WP | CR0_AM | CR0_MP | CR0_NE);
    cr0 |= chance_any(c) & chance_any(c) & chance_any(c) & (CR0_TS | CR0_EM);
    efer |= chance_any(c) & EFER_NXE;
    if (mode == V86)
        rflags |= VM;
    hostile_set64(h, WHvX64RegisterCr0, cr0);
    hostile_set64(h, WHvX64RegisterCr4, cr4);
    hostile_set64(h, WHvX64RegisterEfer, efer);
    hostile_set64(h, WHvX64RegisterCr3, cr3);
    hostile_set64(h, WHvX64RegisterRflags, rflags);
    set_segments(h, mode, cpl);
    set_tables(h);
    for (int i = 0; i < 16; i++)
        hostile_set64(h, (WHV_REGISTER_NAME)i, hostile_value(c));
    hostile_set64(h, WHvX64RegisterRsp,
                  (mode < PROTECTED16 ? 0x8000 : HOSTILE_DATA + 0x8000) + chance_below(c, 64));
    hostile_set64(h, WHvX64RegisterRip, (mode < PROTECTED16 ? 0 : HOSTILE_CODE) + chance_below(c, 0x4000));
    hostile_set64(h, WHvX64RegisterXCr0, chance_percent(c, 80) ? 3 : 1);
    hostile_set64(h, WHvX64RegisterStar, 0x0008000800000000 | (chance_percent(c, 20) ? chance_any(c) : 0));
    hostile_set64(h, WHvX64RegisterLstar, HOSTILE_CODE + chance_below(c, 0x4000));
    hostile_set64(h, WHvX64RegisterCstar, HOSTILE_CODE + chance_below(c, 0x4000));
    hostile_set64(h, WHvX64RegisterSysenterCs, chance_percent(c, 80) ? 8 : chance_any(c));
    hostile_set64(h, WHvX64RegisterSysenterEip, HOSTILE_CODE + chance_below(c, 0x4000));
    hostile_set64(h, WHvX64RegisterSysenterEsp, HOSTILE_DATA + chance_below(c, 0x4000));
    for (u32 n = chance_percent(c, 60) ? 0 : 1 + chance_below(c, 4); n; n--)
        hostile_garbage(h);
}
