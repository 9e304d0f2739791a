/* SPDX-License-Identifier: MIT */
/* The callbacks of the served twin, and its emulations: with each callback failing once, where that is wished. */
#include <stdio.h>
#include <string.h>

#include "tests/whp/twins.h"

#define STATUS_IO 4u
#define STATUS_MEMORY 8u
#define STATUS_TRANSLATE 16u
#define STATUS_MISALIGNED 32u
#define STATUS_GET 64u
#define STATUS_SET 128u

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

    t->is_private = (u32)name[0] >> 16 == 0x5357;
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

const WHV_EMULATOR_CALLBACKS twin_callbacks = { sizeof twin_callbacks, 0,      on_port,     on_memory,
                                                on_get,                on_set, on_translate };

/* ---- emulating ---- */

static HRESULT emulate_once(struct twins *t)
{
    const WHV_RUN_VP_EXIT_CONTEXT *x = &t->served.exit;

    t->calls = t->sets = 0;
    t->is_private = false;
    t->failed = 0;
    t->touches = 0;
    return x->ExitReason == WHvRunVpExitReasonMemoryAccess
               ? WHvEmulatorTryMmioEmulation(t->emulator, t, &x->VpContext, &x->MemoryAccess, &t->status)
               : WHvEmulatorTryIoEmulation(t->emulator, t, &x->VpContext, &x->IoPortAccess, &t->status);
}

/*
 * The n-th call of a callback fails: its bit, and nothing else. False: there is no n-th, and all is done. Without what
 * a private name is for many instructions can go on: that is put back.
 */
static bool fail_once(struct twins *t, unsigned n, bool misaligns)
{
    static u8 before[TWIN_MEMORY];
    static struct twin_state s;

    memcpy(before, t->served.memory, TWIN_MEMORY);
    must(WHvGetVirtualProcessorRegisters(t->served.partition, 0, twin_names, TWIN_NAMES, s.v));
    t->fail_at = n;
    t->misaligns = misaligns;
    must(emulate_once(t));
    if (!t->failed)
        return false;
    memcpy(t->served.memory, before, TWIN_MEMORY); /* the caller's own affair */
    if (t->failed == STATUS_GET && t->is_private && t->status.AsUINT32 == 1) {
        must(WHvSetVirtualProcessorRegisters(t->served.partition, 0, twin_names, TWIN_NAMES, s.v));
        return true;
    }
    if (((t->status.AsUINT32 & ~512u) != t->failed || (t->status.GuestCannotBeFaulted && t->failed != STATUS_SET) ||
         t->sets) && !*t->why)
        snprintf(t->why, sizeof t->why, "callback %u fails: status %x, not %x; %u times set", n, t->status.AsUINT32,
                 t->failed, t->sets);
    return true;
}

/* False: no success. */
bool twins_emulate(struct twins *t)
{
    if (t->fails)
        for (unsigned n = 0; fail_once(t, n, false) && !*t->why; n++)
            if (t->failed == STATUS_TRANSLATE)
                fail_once(t, n, true);
    if (*t->why)
        return false;
    if (!t->fails) {
        t->fail_at = ~0u;
        must(emulate_once(t));
    }
    t->emulations++;
    if (t->status.AsUINT32 != 1)
        snprintf(t->why, sizeof t->why, "status %x", t->status.AsUINT32);
    return t->status.AsUINT32 == 1;
}
