/* SPDX-License-Identifier: MIT */
/* XSAVE state in its compacted form: AMD64 APM volume 2, 11.5.4; reference 7.3. All components that the
 * profile has. */
#include "whp/xsave.h"

#include "state/partition.h"
#include "state/xstate.h"
#include "whp/fx_image.h"
#include "whp/handle.h"
#include "whp/interrupt.h"
#include "whp/level.h"
#include "whp/synic.h"

enum { HEADER_END = XSTATE_HEADER_END, MOST = HEADER_END + 256 + 8 };

static u64 components(const struct vcpu *cpu)
{
    return cpu->partition->xcr0_valid | STATE_X87 | STATE_SSE;
}

static u32 size_of(u64 all)
{
    return xstate_end(all | XCOMP_COMPACTED, all & ~XCOMP_COMPACTED);
}

/* A component behind the header, of an image or of the processor. */
static void store(const struct vcpu *cpu, const struct xstate *x, u8 *to)
{
    if (xstate_bit(x) == STATE_PKRU)
        store_bytes(to, cpu->pkru, 4);
    for (unsigned i = 0; xstate_bit(x) == STATE_AVX && i < 16; i++)
        memcpy(to + i * 16, cpu->vec[i].b + 16, 16);
}

static void load(struct vcpu *cpu, const struct xstate *x, const u8 *from)
{
    if (xstate_bit(x) == STATE_PKRU) {
        cpu->pkru = (u32)load_bytes(from, 4);
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_TLB, __ATOMIC_SEQ_CST);
    }
    for (unsigned i = 0; xstate_bit(x) == STATE_AVX && i < 16; i++)
        memcpy(cpu->vec[i].b + 16, from + i * 16, 16);
}

u32 xsave_size(const struct vcpu *cpu)
{
    return size_of(components(cpu));
}

HRESULT xsave_get(struct vcpu *cpu, void *buffer, u32 size, u32 *written)
{
    u8 image[MOST] = { 0 };
    u64 all = components(cpu);

    fx_store(cpu, image);
    store_bytes(image + XSTATE_BV, all, 8);
    store_bytes(image + XCOMP_BV, all | XCOMP_COMPACTED, 8);
    for (unsigned i = 0; i < XSTATE_OTHERS; i++)
        if (all & xstate_bit(&xstates[i]))
            store(cpu, &xstates[i], image + xstate_at(all | XCOMP_COMPACTED, &xstates[i]));
    return give(buffer, size, written, image, size_of(all));
}

static HRESULT check(const struct vcpu *cpu, const u8 *image, u32 size)
{
    static const u8 zero[48];
    u64 present = load_bytes(image + XSTATE_BV, 8), layout = load_bytes(image + XCOMP_BV, 8);
    u64 unknown = layout & ~(XCOMP_COMPACTED | components(cpu));
    u32 mxcsr = (u32)load_bytes(image + FX_MXCSR, 4);

    if (!(layout & XCOMP_COMPACTED))
        return fail(E_INVALIDARG,
                    "Buffer: XCOMP_BV (byte 520) has bit 63 clear; the image must be compacted");
    if (unknown)
        return fail(E_INVALIDARG, "Buffer: XCOMP_BV has components %#llx that this processor lacks",
                    (unsigned long long)unknown);
    if (present & ~layout)
        return fail(E_INVALIDARG, "Buffer: XSTATE_BV (byte 512) has components that XCOMP_BV lacks");
    if (memcmp(image + XCOMP_BV + 8, zero, sizeof zero))
        return fail(E_INVALIDARG, "Buffer: bytes 528 to 575 of the header must be zero");
    if (size < size_of(layout))
        return fail(E_INVALIDARG, "Buffer: %u bytes, the components in XCOMP_BV need %u", size,
                    size_of(layout));
    if ((present & STATE_SSE) && (mxcsr & ~cpu->partition->mxcsr_mask))
        return fail(E_INVALIDARG, "Buffer: MXCSR %#x has reserved bits", mxcsr);
    return S_OK;
}

HRESULT xsave_set(struct vcpu *cpu, const void *buffer, u32 size)
{
    u8 image[MOST] = { 0 }, legacy[FX_SIZE] = { 0 };

    if (!buffer)
        return fail(E_POINTER, "Buffer is NULL");
    if (size < HEADER_END)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "Buffer: %u bytes, an image has at least %u", size,
                    (u32)HEADER_END);
    memcpy(image, buffer, size < MOST ? size : MOST);

    HRESULT hr = check(cpu, image, size);

    if (FAILED(hr))
        return hr;

    u64 present = load_bytes(image + XSTATE_BV, 8), layout = load_bytes(image + XCOMP_BV, 8);

    /* Components that are absent take their initial values. */
    store_bytes(legacy, 0x37f, 2);
    store_bytes(legacy + FX_MXCSR, 0x1f80, 4);
    if (present & STATE_X87) {
        memcpy(legacy, image, FX_MXCSR);
        memcpy(legacy + FX_ST, image + FX_ST, 128);
    }
    if (present & STATE_SSE) {
        memcpy(legacy + FX_MXCSR, image + FX_MXCSR, 4);
        memcpy(legacy + FX_XMM, image + FX_XMM, 256);
    }
    fx_load(cpu, legacy);
    for (unsigned i = 0; i < XSTATE_OTHERS; i++) {
        static const u8 initial[256];
        u64 bit = xstate_bit(&xstates[i]);

        if (components(cpu) & bit)
            load(cpu, &xstates[i], present & bit ? image + xstate_at(layout, &xstates[i]) : initial);
    }
    mode_update(cpu);
    return S_OK;
}

HRESULT WINAPI WHvGetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, VOID *Buffer,
                                                UINT32 BufferSizeInBytes, UINT32 *BytesWritten)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = xsave_get(cpu, Buffer, BufferSizeInBytes, BytesWritten);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                const VOID *Buffer, UINT32 BufferSizeInBytes)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = xsave_set(cpu, Buffer, BufferSizeInBytes);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

/* ---- the newer calls: by kind of state ---- */

/* A kind that has no function of its own. */
static HRESULT check_kind(u32 kind)
{
    switch (kind) {
    case WHvVirtualProcessorStateTypeXsaveState: return S_OK;
    case WHvVirtualProcessorStateTypeNestedState:
        return fail(HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED), "StateType: %#x isn't there in this version",
                    kind);
    default: return fail(E_INVALIDARG, "StateType: there is no %#x", kind);
    }
}

HRESULT WINAPI WHvGetVirtualProcessorState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE StateType, VOID *Buffer,
                                           UINT32 BufferSizeInBytes, UINT32 *BytesWritten)
{
    struct vcpu *cpu;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (StateType == WHvVirtualProcessorStateTypeInterruptControllerState2)
        return WHvGetVirtualProcessorInterruptControllerState2(Partition, VpIndex, Buffer, BufferSizeInBytes,
                                                               BytesWritten);
    if ((u32)StateType <= WHvVirtualProcessorStateTypeSynicTimerState)
        return synic_state_get(Partition, VpIndex, (u32)StateType, Buffer, BufferSizeInBytes, BytesWritten);

    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = check_kind((u32)StateType);
    if (SUCCEEDED(hr))
        hr = xsave_get(cpu, Buffer, BufferSizeInBytes, BytesWritten);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSetVirtualProcessorState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE StateType, const VOID *Buffer,
                                           UINT32 BufferSizeInBytes)
{
    struct vcpu *cpu;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (StateType == WHvVirtualProcessorStateTypeInterruptControllerState2)
        return interrupt_state_set(Partition, VpIndex, Buffer, BufferSizeInBytes, true);
    if ((u32)StateType <= WHvVirtualProcessorStateTypeSynicTimerState)
        return synic_state_set(Partition, VpIndex, (u32)StateType, Buffer, BufferSizeInBytes);

    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = check_kind((u32)StateType);
    if (SUCCEEDED(hr) && Buffer && BufferSizeInBytes != xsave_size(cpu))
        hr = fail(E_INVALIDARG, "BufferSizeInBytes: %u, this processor's state has %u", BufferSizeInBytes,
                  xsave_size(cpu));
    if (SUCCEEDED(hr))
        hr = xsave_set(cpu, Buffer, BufferSizeInBytes);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}
