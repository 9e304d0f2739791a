/* SPDX-License-Identifier: MIT */
/*
 * A client as some are written that find the API at run time, by name: types of functions made by a macro over a list, two
 * tables of pointers, and registers by tables of names. tests/include/standards.sh compiles it with our headers and Windows'.
 */
#include <WinHvPlatform.h>
#include <WinHvEmulation.h>

#define LIST_PLATFORM(X)                                                                                               \
    X(HRESULT, WHvGetCapability,                                                                                       \
      (WHV_CAPABILITY_CODE CapabilityCode, VOID * Buffer, UINT32 Size, UINT32 * Written))                              \
    X(HRESULT, WHvCreatePartition, (WHV_PARTITION_HANDLE * Partition))                                                 \
    X(HRESULT, WHvMapGpaRange,                                                                                         \
      (WHV_PARTITION_HANDLE Partition, VOID * Source, WHV_GUEST_PHYSICAL_ADDRESS Gpa, UINT64 Size,                     \
       WHV_MAP_GPA_RANGE_FLAGS Flags))                                                                                 \
    X(HRESULT, WHvRunVirtualProcessor,                                                                                 \
      (WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, VOID * ExitContext, UINT32 Size))                               \
    X(HRESULT, WHvGetVirtualProcessorRegisters,                                                                        \
      (WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, const WHV_REGISTER_NAME *Names, UINT32 Count,                   \
       WHV_REGISTER_VALUE *Values))                                                                                    \
    X(HRESULT, WHvSetVirtualProcessorRegisters,                                                                        \
      (WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, const WHV_REGISTER_NAME *Names, UINT32 Count,                   \
       const WHV_REGISTER_VALUE *Values))                                                                              \
    X(HRESULT, WHvRequestInterrupt,                                                                                    \
      (WHV_PARTITION_HANDLE Partition, const WHV_INTERRUPT_CONTROL *Interrupt, UINT32 Size))

#define DEFINE_TYPE(result, name, signature) typedef result(WINAPI *name##_t) signature;
#define DEFINE_MEMBER(result, name, signature) name##_t name;
#define TAKE_MEMBER(result, name, signature) .name = name,

LIST_PLATFORM(DEFINE_TYPE)

struct dispatch {
    LIST_PLATFORM(DEFINE_MEMBER)
};

/* The pointers have the types of the functions that the headers declare, or this isn't C. */
extern const struct dispatch whp_dispatch;
const struct dispatch whp_dispatch = { LIST_PLATFORM(TAKE_MEMBER) };

static const WHV_REGISTER_NAME names[] = {
    WHvX64RegisterRax,  WHvX64RegisterRip,      WHvX64RegisterRflags,           WHvX64RegisterCs,
    WHvX64RegisterGdtr, WHvX64RegisterXmm0,     WHvX64RegisterFpControlStatus,  WHvX64RegisterXmmControlStatus,
    WHvX64RegisterEfer, WHvX64RegisterApicBase, WHvRegisterPendingInterruption, WHvX64RegisterDeliverabilityNotifications,
};
enum { REGISTERS = sizeof names / sizeof names[0] };

struct cpu {
    WHV_PARTITION_HANDLE partition;
    UINT32 index;
    WHV_REGISTER_VALUE values[REGISTERS];
    WHV_RUN_VP_EXIT_CONTEXT exit_context;
    int window_registered;
};

static void set_segment(WHV_X64_SEGMENT_REGISTER *s, UINT16 selector, UINT64 base, UINT32 limit, unsigned type)
{
    s->Selector = selector;
    s->Base = base;
    s->Limit = limit;
    s->SegmentType = (UINT16)(type & 15);
    s->NonSystemSegment = 1;
    s->DescriptorPrivilegeLevel = 0;
    s->Present = 1;
    s->Attributes = (UINT16)(s->Attributes | (limit > 0xfffff ? 1u << 15 : 0));
}

HRESULT client_run(struct cpu *cpu);
HRESULT client_run(struct cpu *cpu)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = &cpu->exit_context;
    WHV_INTERRUPT_CONTROL interrupt = { .Type = WHvX64InterruptTypeFixed,
                                        .DestinationMode = WHvX64InterruptDestinationModePhysical,
                                        .TriggerMode = WHvX64InterruptTriggerModeEdge,
                                        .Destination = cpu->index,
                                        .Vector = 0x30 };
    HRESULT hr;

    set_segment(&cpu->values[3].Segment, 8, 0, 0xffffffff, 11);
    cpu->values[10].PendingInterruption.InterruptionPending = 1;
    cpu->values[10].PendingInterruption.InterruptionType = WHvX64PendingInterrupt;
    cpu->values[10].PendingInterruption.InterruptionVector = 0x20;
    cpu->values[11].DeliverabilityNotifications.InterruptNotification = 1;
    hr = whp_dispatch.WHvSetVirtualProcessorRegisters(cpu->partition, cpu->index, names, REGISTERS, cpu->values);
    if (FAILED(hr))
        return hr;
    hr = whp_dispatch.WHvRunVirtualProcessor(cpu->partition, cpu->index, x, sizeof *x);
    if (FAILED(hr))
        return hr;
    switch (x->ExitReason) {
    case WHvRunVpExitReasonMemoryAccess:
        return x->MemoryAccess.AccessInfo.AccessType == WHvMemoryAccessWrite ? E_FAIL : S_OK;
    case WHvRunVpExitReasonX64IoPortAccess:
        return x->IoPortAccess.AccessInfo.StringOp || x->IoPortAccess.PortNumber > 0x3ff ? E_NOTIMPL : S_OK;
    case WHvRunVpExitReasonX64InterruptWindow: cpu->window_registered = 0; return S_OK;
    case WHvRunVpExitReasonX64MsrAccess: return x->MsrAccess.AccessInfo.IsWrite ? S_OK : E_INVALIDARG;
    case WHvRunVpExitReasonX64Halt:
        return whp_dispatch.WHvRequestInterrupt(cpu->partition, &interrupt, sizeof interrupt);
    case WHvRunVpExitReasonCanceled:
        return x->CancelReason.CancelReason == WhvRunVpCancelReasonUser ? S_FALSE : E_UNEXPECTED;
    default: return x->VpContext.ExecutionState.InterruptShadow ? E_UNEXPECTED : HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED);
    }
}
