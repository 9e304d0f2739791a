/* SPDX-License-Identifier: MIT */
/* Makes the twins, runs them, and compares them. */
#include "tests/whp/twins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void twin_need(HRESULT hr, const char *what)
{
    char text[256] = "";

    if (SUCCEEDED(hr))
        return;
    SwhpGetLastErrorText(text, sizeof text, NULL);
    fprintf(stderr, "%s: %x: %s\n", what, (unsigned)hr, text);
    abort();
}

/* ---- running ---- */

static struct twin open_twin(bool is_served, bool hides_code)
{
    const WHV_MAP_GPA_RANGE_FLAGS all =
        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;
    u32 one = 1, clock = SwhpClockVirtual;
    u64 exits = 4, vectors = 0xf7dfb; /* exceptions */
    struct twin w = { 0 };

    w.memory = mmap(NULL, TWIN_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    twin_need(w.memory == MAP_FAILED ? E_OUTOFMEMORY : S_OK, "mmap");
    must(WHvCreatePartition(&w.partition));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    must(WHvSetPartitionProperty(w.partition, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock,
                                 sizeof clock));
    must(WHvSetupPartition(w.partition));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, 8));
    must(WHvSetPartitionProperty(w.partition, WHvPartitionPropertyCodeExceptionExitBitmap, &vectors, 8));
    must(WHvCreateVirtualProcessor(w.partition, 0, 0));
    if (is_served) {
        if (!hides_code)
            must(WHvMapGpaRange(w.partition, w.memory + TWIN_CODE, TWIN_CODE, 0x1000, all));
        must(WHvMapGpaRange(w.partition, w.memory + TWIN_TABLES, TWIN_TABLES, TWIN_TABLES_END - TWIN_TABLES, all));
    } else {
        must(WHvMapGpaRange(w.partition, w.memory, 0, TWIN_MEMORY, all));
    }
    return w;
}

void twins_open(struct twins *t, bool hides_code)
{
    memset(t, 0, sizeof *t);
    twins_name_all();
    t->plain = open_twin(false, false);
    t->served = open_twin(true, hides_code);
    must(WHvEmulatorCreateEmulator(&twin_callbacks, &t->emulator));
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
            if (!twins_emulate(t))
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
    must(WHvGetVirtualProcessorRegisters(t->plain.partition, 0, twin_names, TWIN_NAMES, t->plain.state.v));
    must(WHvGetVirtualProcessorRegisters(t->served.partition, 0, twin_names, TWIN_NAMES, t->served.state.v));
    for (unsigned i = 0; i < TWIN_NAMES; i++) {
        u64 a[2], b[2];
        char what[32];

        memcpy(a, &t->plain.state.v[i], 16);
        memcpy(b, &t->served.state.v[i], 16);
        if (a[0] == b[0] && a[1] == b[1])
            continue;
        snprintf(what, sizeof what, "register %x%s", (u32)twin_names[i], a[0] == b[0] ? " (high)" : "");
        return differ(t, what, a[a[0] == b[0]], b[a[0] == b[0]]);
    }
    return true;
}

bool twins_run(struct twins *t, const struct twin_state *s)
{
    u64 rip = REG(s, Rip).Reg64;

    memcpy(t->before, t->plain.memory, TWIN_MEMORY);
    memcpy(t->served.memory, t->plain.memory, TWIN_MEMORY);
    must(WHvSetVirtualProcessorRegisters(t->plain.partition, 0, twin_names, TWIN_NAMES, s->v));
    must(WHvSetVirtualProcessorRegisters(t->served.partition, 0, twin_names, TWIN_NAMES, s->v));
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
