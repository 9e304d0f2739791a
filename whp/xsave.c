/* SPDX-License-Identifier: MIT */
/* XSAVE state in its compacted form: AMD64 APM volume 2, 11.5.4; reference 7.3. All components that the
 * profile has. */
#include "whp/xsave.h"

#include "state/profile.h"
#include "whp/fx_image.h"
#include "whp/handle.h"
#include "whp/interrupt.h"

enum { XSTATE_BV = FX_SIZE, XCOMP_BV = FX_SIZE + 8, HEADER_END = FX_SIZE + 64, MOST = HEADER_END + 256 + 8 };
#define X87 (1u << 0)
#define SSE (1u << 1)
#define AVX (1u << 2)
#define PKRU (1u << 9)
#define COMPACTED ((u64)1 << 63)

static u64 components(const struct vcpu *cpu)
{
    return profile_xcr0(cpu->partition) & (X87 | SSE | AVX | PKRU);
}

/* Where a component beyond the first two lies in an image of these components. */
static u32 offset_of(u64 all, u64 component)
{
    return HEADER_END + (component > AVX && (all & AVX) ? 256 : 0);
}

static u32 size_of(u64 all)
{
    return offset_of(all, PKRU) + (all & PKRU ? 8 : 0);
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
    store_bytes(image + XCOMP_BV, all | COMPACTED, 8);
    if (all & AVX) {
        for (unsigned i = 0; i < 16; i++)
            memcpy(image + offset_of(all, AVX) + i * 16, cpu->vec[i].b + 16, 16);
    }
    if (all & PKRU)
        store_bytes(image + offset_of(all, PKRU), cpu->pkru, 4);
    return give(buffer, size, written, image, size_of(all));
}

static HRESULT check(const struct vcpu *cpu, const u8 *image, u32 size)
{
    static const u8 zero[48];
    u64 present = load_bytes(image + XSTATE_BV, 8), layout = load_bytes(image + XCOMP_BV, 8);
    u64 unknown = layout & ~(COMPACTED | components(cpu));
    u32 mxcsr = (u32)load_bytes(image + FX_MXCSR, 4);

    if (!(layout & COMPACTED))
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
    if ((present & SSE) && (mxcsr & ~cpu->partition->profile->mxcsr_mask))
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
    if (present & X87) {
        memcpy(legacy, image, FX_MXCSR);
        memcpy(legacy + FX_ST, image + FX_ST, 128);
    }
    if (present & SSE) {
        memcpy(legacy + FX_MXCSR, image + FX_MXCSR, 4);
        memcpy(legacy + FX_XMM, image + FX_XMM, 256);
    }
    fx_load(cpu, legacy);
    if (components(cpu) & AVX) {
        for (unsigned i = 0; i < 16; i++) {
            memset(cpu->vec[i].b + 16, 0, 16);
            if (present & AVX)
                memcpy(cpu->vec[i].b + 16, image + offset_of(layout, AVX) + i * 16, 16);
        }
    }
    if (components(cpu) & PKRU) {
        cpu->pkru = present & PKRU ? (u32)load_bytes(image + offset_of(layout, PKRU), 4) : 0;
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_TLB, __ATOMIC_SEQ_CST);
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

static HRESULT check_kind(u32 kind)
{
    switch (kind) {
    case WHvVirtualProcessorStateTypeXsaveState:
    case WHvVirtualProcessorStateTypeInterruptControllerState2: return S_OK;
    case WHvVirtualProcessorStateTypeSynicMessagePage:
    case WHvVirtualProcessorStateTypeSynicEventFlagPage:
    case WHvVirtualProcessorStateTypeSynicTimerState:
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
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = check_kind((u32)StateType);
    if (SUCCEEDED(hr) && (u32)StateType == WHvVirtualProcessorStateTypeInterruptControllerState2)
        hr = interrupt_state_get(cpu, Buffer, BufferSizeInBytes, BytesWritten);
    else if (SUCCEEDED(hr))
        hr = xsave_get(cpu, Buffer, BufferSizeInBytes, BytesWritten);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSetVirtualProcessorState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE StateType, const VOID *Buffer,
                                           UINT32 BufferSizeInBytes)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = check_kind((u32)StateType);
    if (SUCCEEDED(hr) && (u32)StateType == WHvVirtualProcessorStateTypeInterruptControllerState2) {
        hr = Buffer ? interrupt_state_set(cpu, Buffer, BufferSizeInBytes, true) : fail(E_POINTER, "Buffer is NULL");
        vcpu_leave_door(Partition, VpIndex);
        return hr;
    }
    if (SUCCEEDED(hr) && Buffer && BufferSizeInBytes != xsave_size(cpu))
        hr = fail(E_INVALIDARG, "BufferSizeInBytes: %u, this processor's state has %u", BufferSizeInBytes,
                  xsave_size(cpu));
    if (SUCCEEDED(hr))
        hr = xsave_set(cpu, Buffer, BufferSizeInBytes);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}
