/* SPDX-License-Identifier: MIT */
/* Makes the twins, runs them, and serves the emulator's callbacks. */
#include "tests/whp/twins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "state/x86.h"

#define STATUS_IO 4u
#define STATUS_MEMORY 8u
#define STATUS_TRANSLATE 16u
#define STATUS_MISALIGNED 32u
#define STATUS_GET 64u
#define STATUS_SET 128u

static void need(HRESULT hr, const char *what)
{
    char text[256] = "";

    if (SUCCEEDED(hr))
        return;
    SwhpGetLastErrorText(text, sizeof text, NULL);
    fprintf(stderr, "%s: %x: %s\n", what, (unsigned)hr, text);
    abort();
}
#define must(call) need(call, #call)

/* ---- registers ---- */

static WHV_REGISTER_NAME names[TWIN_NAMES];

static void name_all(void)
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
        { WHvRegisterPendingInterruption, 1 },
    };
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof runs / sizeof *runs; i++)
        for (u32 k = 0; k < runs[i].count; k++)
            names[n++] = (WHV_REGISTER_NAME)(runs[i].first + k);
    if (n != TWIN_NAMES)
        abort();
}

unsigned twin_index(u32 name)
{
    unsigned n = 0;

    while (n < TWIN_NAMES && (u32)names[n] != name)
        n++;
    return n;
}

#define REG(s, name) ((s)->v[twin_index(WHvX64Register##name)])

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
        if (page != TWIN_ABSENT >> 12)
            put(memory, TWIN_TABLES + 0x3000 + size * page, page << 12 | (page == TWIN_READ_ONLY >> 12 ? 5 : 7), size);
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
    REG(s, Cr4).Reg64 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (is_long ? CR4_PAE : 0);
    REG(s, Efer).Reg64 = is_long ? EFER_LME | EFER_LMA | EFER_NXE : 0;
    REG(s, XCr0).Reg64 = 0x207;
    REG(s, Dr6).Reg64 = 0xffff0ff0;
    REG(s, Dr7).Reg64 = 0x400;
    REG(s, FpControlStatus).FpControlStatus.FpControl = 0x37f;
    REG(s, XmmControlStatus).XmmControlStatus.XmmStatusControl = 0x1f80;
    REG(s, XmmControlStatus).XmmControlStatus.XmmStatusControlMask = 0x2ffff;
}

/* ---- callbacks ---- */

/* Is it this call's turn to fail? */
static bool fails_now(struct twins *t, u32 bit)
{
    if (t->calls++ != t->fail_at)
        return false;
    t->failed = bit;
    return true;
}

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    if (io->Direction == 0)
        io->Data = 0x81828384;
    return fails_now(context, STATUS_IO) ? E_FAIL : S_OK;
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    struct twins *t = context;
    u64 gpa = m->GpaAddress;
    bool is_bad = m->AccessSize < 1 || m->AccessSize > 8 || (gpa & 0xfff) + m->AccessSize > 0x1000;

    if (is_bad || gpa > TWIN_MEMORY - 8) {
        snprintf(t->why, sizeof t->why, "an access of %u bytes at %llx", m->AccessSize, (unsigned long long)gpa);
        return E_FAIL;
    }
    if (fails_now(t, STATUS_MEMORY))
        return E_FAIL;
    if (m->Direction)
        memcpy(t->served.memory + gpa, m->Data, m->AccessSize);
    else
        memcpy(m->Data, t->served.memory + gpa, m->AccessSize);
    if ((gpa < TWIN_CODE || gpa >= TWIN_TABLES) && t->touches < sizeof t->touch / sizeof *t->touch)
        t->touch[t->touches++] = (struct touch){ (u16)gpa, m->AccessSize, m->Direction };
    return S_OK;
}

bool twins_touched_twice(const struct twins *t, bool is_write)
{
    static u8 seen[TWIN_MEMORY];
    bool twice = false;

    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < t->touches; i++)
            for (unsigned k = 0; t->touch[i].is_write == is_write && k < t->touch[i].size; k++) {
                u8 *byte = &seen[(u16)(t->touch[i].gpa + k)];

                twice |= !pass && *byte;
                *byte = !pass;
            }
    return twice;
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *name, UINT32 n, WHV_REGISTER_VALUE *values)
{
    struct twins *t = context;

    if (fails_now(t, STATUS_GET))
        return E_FAIL;
    return WHvGetVirtualProcessorRegisters(t->served.partition, 0, name, n, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *name, UINT32 n, const WHV_REGISTER_VALUE *values)
{
    struct twins *t = context;

    if (fails_now(t, STATUS_SET))
        return E_FAIL;
    t->sets++;
    return WHvSetVirtualProcessorRegisters(t->served.partition, 0, name, n, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    struct twins *t = context;
    WHV_TRANSLATE_GVA_RESULT result;

    if (fails_now(t, t->misaligns ? STATUS_MISALIGNED : STATUS_TRANSLATE)) {
        *code = WHvTranslateGvaResultSuccess;
        *gpa = 0x1001;
        return t->misaligns ? S_OK : E_FAIL;
    }
    HRESULT hr = WHvTranslateGva(t->served.partition, 0, gva, flags, &result, gpa);

    *code = result.ResultCode;
    return hr;
}

static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                  on_get,           on_set, on_translate };

/* ---- running ---- */

static struct twin open_twin(bool is_served)
{
    const WHV_MAP_GPA_RANGE_FLAGS all =
        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;
    u32 one = 1, clock = SwhpClockVirtual;
    u64 exits = 4, vectors = 0xf7dfb; /* exceptions */
    struct twin w = { 0 };

    w.memory = mmap(NULL, TWIN_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(w.memory == MAP_FAILED ? E_OUTOFMEMORY : S_OK, "mmap");
    must(WHvCreatePartition(&w.partition));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    must(WHvSetPartitionProperty(w.partition, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock,
                                 sizeof clock));
    must(WHvSetupPartition(w.partition));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, 8));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeExceptionExitBitmap, &vectors, 8));
    must(WHvCreateVirtualProcessor(w.partition, 0, 0));
    if (is_served) {
        must(WHvMapGpaRange(w.partition, w.memory + TWIN_CODE, TWIN_CODE, 0x1000, all));
        must(WHvMapGpaRange(w.partition, w.memory + TWIN_TABLES, TWIN_TABLES, TWIN_TABLES_END - TWIN_TABLES, all));
    } else {
        must(WHvMapGpaRange(w.partition, w.memory, 0, TWIN_MEMORY, all));
    }
    return w;
}

void twins_open(struct twins *t)
{
    memset(t, 0, sizeof *t);
    name_all();
    t->plain = open_twin(false);
    t->served = open_twin(true);
    must(WHvEmulatorCreateEmulator(&callbacks, &t->emulator));
}

void twins_close(struct twins *t)
{
    must(WHvEmulatorDestroyEmulator(t->emulator));
    must(WHvDeletePartition(t->plain.partition));
    must(WHvDeletePartition(t->served.partition));
    munmap(t->plain.memory, TWIN_MEMORY);
    munmap(t->served.memory, TWIN_MEMORY);
}

/* One count more. */
static void run_one(struct twin *w)
{
    u64 count;

    must(SwhpGetInstructionCount(w->partition, 0, &count));
    must(SwhpRunVirtualProcessorUntil(w->partition, 0, count + 1, &w->exit, sizeof w->exit));
}

static u64 rip_of(struct twin *w)
{
    const WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;

    must(WHvGetVirtualProcessorRegisters(w->partition, 0, &name, 1, &v));
    return v.Reg64;
}

static HRESULT emulate_once(struct twins *t)
{
    const WHV_RUN_VP_EXIT_CONTEXT *x = &t->served.exit;

    t->calls = t->sets = 0;
    t->failed = 0;
    t->touches = 0;
    return x->ExitReason == WHvRunVpExitReasonMemoryAccess
               ? WHvEmulatorTryMmioEmulation(t->emulator, t, &x->VpContext, &x->MemoryAccess, &t->status)
               : WHvEmulatorTryIoEmulation(t->emulator, t, &x->VpContext, &x->IoPortAccess, &t->status);
}

/* The n-th call of a callback fails: its bit, and nothing else. False: there is no n-th, and all is done. */
static bool fail_once(struct twins *t, unsigned n, bool misaligns)
{
    static u8 before[TWIN_MEMORY];

    memcpy(before, t->served.memory, TWIN_MEMORY);
    t->fail_at = n;
    t->misaligns = misaligns;
    need(emulate_once(t), "emulation");
    if (!t->failed)
        return false;
    memcpy(t->served.memory, before, TWIN_MEMORY); /* the caller's own affair */
    if (((t->status.AsUINT32 & ~512u) != t->failed || (t->status.GuestCannotBeFaulted && t->failed != STATUS_SET) ||
         t->sets) && !*t->why)
        snprintf(t->why, sizeof t->why, "callback %u fails: status %x, not %x; %u times set", n, t->status.AsUINT32,
                 t->failed, t->sets);
    return true;
}

/* False: no success. */
static bool emulate(struct twins *t)
{
    if (t->fails)
        for (unsigned n = 0; fail_once(t, n, false) && !*t->why; n++)
            if (t->failed == STATUS_TRANSLATE)
                fail_once(t, n, true);
    if (*t->why)
        return false;
    if (!t->fails) {
        t->fail_at = ~0u;
        need(emulate_once(t), "emulation");
    }
    t->emulations++;
    if (t->status.AsUINT32 != 1)
        snprintf(t->why, sizeof t->why, "status %x", t->status.AsUINT32);
    return t->status.AsUINT32 == 1;
}

enum { MOST = 64 }; /* rounds */

static void run_plain(struct twins *t, u64 rip)
{
    unsigned n = 0;

    do
        run_one(&t->plain);
    while (t->plain.exit.ExitReason == SwhpRunVpExitReasonCount && rip_of(&t->plain) == rip && ++n < MOST);
}

/* An event that the emulator injected, which wouldn't leave as the guest's own: made to look like one that does. */
static bool take_event(struct twin *w)
{
    const WHV_REGISTER_NAME name = WHvRegisterPendingEvent;
    WHV_REGISTER_VALUE v, none = { .Reg64 = 0 };

    must(WHvGetVirtualProcessorRegisters(w->partition, 0, &name, 1, &v));
    if (!v.ExceptionEvent.EventPending)
        return false;
    must(WHvSetVirtualProcessorRegisters(w->partition, 0, &name, 1, &none));
    w->exit.ExitReason = WHvRunVpExitReasonException;
    w->exit.VpException.ExceptionType = (UINT8)v.ExceptionEvent.Vector;
    w->exit.VpException.ErrorCode = v.ExceptionEvent.ErrorCode;
    w->exit.VpException.ExceptionParameter = v.ExceptionEvent.ExceptionParameter;
    return true;
}

static bool run_served(struct twins *t, u64 rip)
{
    struct twin *w = &t->served;
    unsigned n = 0;

    do {
        run_one(w);
        if ((w->exit.ExitReason == WHvRunVpExitReasonMemoryAccess ||
             w->exit.ExitReason == WHvRunVpExitReasonX64IoPortAccess)) {
            if (!emulate(t))
                return false;
            w->exit.ExitReason = SwhpRunVpExitReasonCount;
            if (take_event(w))
                return true;
        }
    } while (w->exit.ExitReason == SwhpRunVpExitReasonCount && rip_of(w) == rip && ++n < MOST);
    return true;
}

static bool differ(struct twins *t, const char *what, u64 a, u64 b)
{
    snprintf(t->why, sizeof t->why, "%s: %llx plain, %llx served", what, (unsigned long long)a, (unsigned long long)b);
    return false;
}

static bool same_exit(struct twins *t)
{
    const WHV_RUN_VP_EXIT_CONTEXT *a = &t->plain.exit, *b = &t->served.exit;

    if (a->ExitReason != b->ExitReason)
        return differ(t, "exit", (u32)a->ExitReason, (u32)b->ExitReason);
    if (a->ExitReason != WHvRunVpExitReasonException)
        return true;
    if (a->VpException.ExceptionType != b->VpException.ExceptionType)
        return differ(t, "vector", a->VpException.ExceptionType, b->VpException.ExceptionType);
    if (a->VpException.ErrorCode != b->VpException.ErrorCode)
        return differ(t, "error code", a->VpException.ErrorCode, b->VpException.ErrorCode);
    if (a->VpException.ExceptionParameter != b->VpException.ExceptionParameter)
        return differ(t, "parameter", a->VpException.ExceptionParameter, b->VpException.ExceptionParameter);
    return true;
}

static bool same_memory(struct twins *t)
{
    if (!memcmp(t->plain.memory, t->served.memory, TWIN_MEMORY))
        return true;
    for (u32 i = 0; i < TWIN_MEMORY; i++)
        if (t->plain.memory[i] != t->served.memory[i] && (i < TWIN_TABLES || i >= TWIN_TABLES_END)) {
            char what[32];

            snprintf(what, sizeof what, "memory at %x", i);
            return differ(t, what, t->plain.memory[i], t->served.memory[i]);
        }
    return true;
}

static bool same_registers(struct twins *t)
{
    must(WHvGetVirtualProcessorRegisters(t->plain.partition, 0, names, TWIN_NAMES, t->plain.state.v));
    must(WHvGetVirtualProcessorRegisters(t->served.partition, 0, names, TWIN_NAMES, t->served.state.v));
    for (unsigned i = 0; i < TWIN_NAMES; i++) {
        u64 a[2], b[2];
        char what[32];

        memcpy(a, &t->plain.state.v[i], 16);
        memcpy(b, &t->served.state.v[i], 16);
        if (a[0] == b[0] && a[1] == b[1])
            continue;
        /* What MOV SS holds back comes with the next instruction's: no register tells that its shadow is the deeper. */
        if (names[i] == WHvX64RegisterPendingDebugException && t->served.state.v[i - 1].InterruptState.InterruptShadow)
            continue;
        if (names[i] == (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors && t->loses_selectors)
            continue;
        snprintf(what, sizeof what, "register %x%s", (u32)names[i], a[0] == b[0] ? " (high)" : "");
        return differ(t, what, a[a[0] == b[0]], b[a[0] == b[0]]);
    }
    return true;
}

bool twins_run(struct twins *t, const struct twin_state *s)
{
    u64 rip = REG(s, Rip).Reg64;

    memcpy(t->before, t->plain.memory, TWIN_MEMORY);
    memcpy(t->served.memory, t->plain.memory, TWIN_MEMORY);
    must(WHvSetVirtualProcessorRegisters(t->plain.partition, 0, names, TWIN_NAMES, s->v));
    must(WHvSetVirtualProcessorRegisters(t->served.partition, 0, names, TWIN_NAMES, s->v));
    t->why[0] = 0;
    t->emulations = t->touches = 0;
    run_plain(t, rip);
    if (t->plain.exit.ExitReason == WHvRunVpExitReasonInvalidVpRegisterValue ||
        t->plain.exit.ExitReason == WHvRunVpExitReasonMemoryAccess) {
        must(SwhpExplainLastExit(t->plain.partition, 0, t->why, sizeof t->why, NULL));
        return false;
    }
    return run_served(t, rip) && same_exit(t) && same_registers(t) && same_memory(t);
}
