/* SPDX-License-Identifier: MIT */
/* The hostile guest's caller, who answers each exit at random and whose devices fail at times. */
#include <stdio.h>

#include "tests/whp/hostile.h"

bool hostile_traces;

static WHV_EMULATOR_HANDLE emulator;

/* ---- the caller's devices ---- */

static HRESULT whim(struct hostile *h)
{
    HRESULT hr = h->is_lying && chance_percent(&h->chance, 5) ? E_FAIL : S_OK;

    if (hostile_traces)
        printf("  a callback: %08x\n", (u32)hr);
    return hr;
}

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    struct hostile *h = context;

    ck_assert(io->AccessSize == 1 || io->AccessSize == 2 || io->AccessSize == 4);
    if (!io->Direction)
        io->Data = (u32)chance_any(&h->chance);
    return whim(h);
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *access)
{
    struct hostile *h = context;

    if (hostile_traces)
        printf("  memory %llx, %u bytes\n", (unsigned long long)access->GpaAddress, access->AccessSize);
    ck_assert_uint_ge(access->AccessSize, 1);
    ck_assert_uint_le(access->AccessSize, 8);
    if (!access->Direction && access->GpaAddress < HOSTILE_MAPPED - 8)
        memcpy(access->Data, h->memory + access->GpaAddress, access->AccessSize);
    else if (!access->Direction)
        store_bytes(access->Data, chance_any(&h->chance), access->AccessSize);
    else if (access->GpaAddress < HOSTILE_MAPPED - 8)
        memcpy(h->memory + access->GpaAddress, access->Data, access->AccessSize);
    return whim(h);
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               WHV_REGISTER_VALUE *values)
{
    struct hostile *h = context;
    HRESULT hr = whim(h);

    return FAILED(hr) ? hr : WHvGetVirtualProcessorRegisters(h->partition, 0, names, count, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    struct hostile *h = context;
    HRESULT hr = whim(h);

    return FAILED(hr) ? hr : WHvSetVirtualProcessorRegisters(h->partition, 0, names, count, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva,
                                     WHV_TRANSLATE_GVA_FLAGS flags, WHV_TRANSLATE_GVA_RESULT_CODE *result,
                                     WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    struct hostile *h = context;
    WHV_TRANSLATE_GVA_RESULT r = { .ResultCode = WHvTranslateGvaResultSuccess };
    HRESULT hr = whim(h);

    if (FAILED(hr))
        return hr;
    hr = WHvTranslateGva(h->partition, 0, gva, flags, &r, gpa);
    *result = r.ResultCode;
    if (h->is_lying && chance_percent(&h->chance, 3))
        *gpa = hostile_value(&h->chance);
    return hr;
}

void hostile_devices_open(void)
{
    static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                      on_get,           on_set, on_translate };

    ck_ok(WHvEmulatorCreateEmulator(&callbacks, &emulator));
}

void hostile_devices_close(void)
{
    ck_ok(WHvEmulatorDestroyEmulator(emulator));
}

/* ---- answering exits ---- */

static u64 rip_of(const struct hostile *h)
{
    WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(h->partition, 0, &name, 1, &v));
    return v.Reg64;
}

static void skip(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    u32 length = x->VpContext.InstructionLength;

    hostile_set64(h, WHvX64RegisterRip,
                  x->VpContext.Rip + (length ? length : 1 + chance_below(&h->chance, 4)));
}

static void look(struct hostile *h)
{
    static const u32 flags[] = { 0, 1, 2, 4, 7, 9, 0x10 | 2, 0x12, 0x101, 0x202 };
    WHV_TRANSLATE_GVA_RESULT result;
    SWHP_DIGEST digest;
    char text[256];
    u64 gpa;

    ck_ok(WHvTranslateGva(h->partition, 0, hostile_value(&h->chance),
                          (WHV_TRANSLATE_GVA_FLAGS)CHANCE_OF(&h->chance, flags), &result, &gpa));
    if (chance_percent(&h->chance, 20))
        ck_ok(SwhpStateHash(h->partition, &digest));
    HRESULT hr = SwhpExplainLastExit(h->partition, 0, text, sizeof text, NULL);
    ck_assert(hr == S_OK || hr == WHV_E_INSUFFICIENT_BUFFER);
}

/* Gets the XSAVE image and sets it again, perhaps spoilt: then it may be refused. */
static void shuffle_xsave(struct hostile *h)
{
    u8 image[8192];
    u32 size;
    bool spoil = chance_percent(&h->chance, 50);

    ck_ok(WHvGetVirtualProcessorXsaveState(h->partition, 0, image, sizeof image, &size));
    for (u32 n = spoil ? 1 + chance_below(&h->chance, 8) : 0; n; n--)
        image[chance_below(&h->chance, size)] = (u8)chance_any(&h->chance);
    HRESULT hr = WHvSetVirtualProcessorXsaveState(h->partition, 0, image, size);
    ck_assert_msg(hr == S_OK || (spoil && hr == E_INVALIDARG), "XSAVE image: %08x", (u32)hr);
}

static void inject(struct hostile *h)
{
    static const u8 types[] = { 0, 0, 2, 3, 3, 3, 4, 5, 6 };
    struct chance *c = &h->chance;
    u64 type = CHANCE_OF(c, types), vector = type == 2               ? 2
                                             : type == 3 || type > 4 ? chance_below(c, 32)
                                                                     : chance_any(c) & 0xff;

    if (chance_percent(c, 30)) {
        WHV_REGISTER_VALUE v;

        v.Reg128.Low64 =
            1 | (u64)chance_below(c, 2) << 8 | (u64)chance_below(c, 32) << 16 | chance_any(c) << 32;
        v.Reg128.High64 = hostile_value(c);
        hostile_set(h, WHvRegisterPendingEvent, &v);
        return;
    }
    hostile_set64(h, WHvRegisterPendingInterruption,
                  1 | type << 1 | (u64)(type == 3 && chance_percent(c, 50)) << 4 |
                      (u64)chance_below(c, 16) << 5 | vector << 16 |
                      (type == 3 ? chance_any(c) & 0xffff00000000 : 0));
}

static u32 emulate(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    WHV_EMULATOR_STATUS status = { .AsUINT32 = 0 };
    WHV_VP_EXIT_CONTEXT vp = x->VpContext;
    HRESULT hr;

    if (h->is_lying && chance_percent(&h->chance, 5))
        vp.Rip = hostile_value(&h->chance);
    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess) {
        hr = WHvEmulatorTryIoEmulation(emulator, h, &vp, &x->IoPortAccess, &status);
    } else {
        WHV_MEMORY_ACCESS_CONTEXT m = x->MemoryAccess;

        if (h->is_lying && chance_percent(&h->chance, 5))
            m.InstructionByteCount = (u8)chance_any(&h->chance);
        if (h->is_lying && chance_percent(&h->chance, 5))
            m.InstructionBytes[chance_below(&h->chance, 16)] = (u8)chance_any(&h->chance);
        hr = WHvEmulatorTryMmioEmulation(emulator, h, &vp, &m, &status);
    }
    ck_assert_msg(hr == S_OK || (h->is_lying && hr == E_INVALIDARG), "emulation: %08x", (u32)hr);
    return status.AsUINT32;
}

u32 hostile_answer(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    struct chance *c = &h->chance;
    u32 status = 0;

    switch ((u32)x->ExitReason) {
    case WHvRunVpExitReasonMemoryAccess:
    case WHvRunVpExitReasonX64IoPortAccess:
        if (chance_percent(c, 60))
            status = emulate(h, x);
        else if (chance_percent(c, 30))
            inject(h);
        else
            skip(h, x);
        if (chance_percent(c, 25) || (!status && rip_of(h) == x->VpContext.Rip))
            hostile_registers(h);
        break;
    case WHvRunVpExitReasonUnrecoverableException:
    case WHvRunVpExitReasonInvalidVpRegisterValue:
    case WHvRunVpExitReasonUnsupportedFeature: hostile_registers(h); break;
    case WHvRunVpExitReasonX64Halt:
    case (u32)SwhpRunVpExitReasonCount: break;
    default: /* CPUID, MSRs, exceptions, windows */
        if (chance_percent(c, 80))
            skip(h, x);
        else
            hostile_registers(h);
    }
    hostile_interrupts(h);
    if (chance_percent(c, 12))
        hostile_remap(h);
    if (chance_percent(c, 10))
        inject(h);
    if (chance_percent(c, 10))
        hostile_garbage(h);
    if (chance_percent(c, 10))
        look(h);
    if (chance_percent(c, 8))
        shuffle_xsave(h);
    return status;
}
