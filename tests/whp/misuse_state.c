/* SPDX-License-Identifier: MIT */
/* Misuses: state by type, the local APIC's, XSAVE's, counters. */
#include "tests/whp/misuse.h"

enum { APIC_PAGE = 4096, XSAVE_LEAST = 576, NOBODY = 77 };
#define TYPE(n) ((WHV_VIRTUAL_PROCESSOR_STATE_TYPE)(n))
#define XSAVE TYPE(0x1001)
#define APIC TYPE(0x1000)

static u32 xsave_size(struct scene *s)
{
    u32 size = 0;

    ck_hr(WHvGetVirtualProcessorXsaveState(s->p, 0, NULL, 0, &size), WHV_E_INSUFFICIENT_BUFFER);
    return size;
}

/* The image as it is, spoilt in one place, by both calls. */
static HRESULT spoilt(struct scene *s, u32 offset, u64 value)
{
    u32 size;

    ck_ok(WHvGetVirtualProcessorXsaveState(s->p, 0, s->room, SCENE_ROOM, &size));
    store_bytes(s->room + offset, value, 8);
    HRESULT hr = WHvSetVirtualProcessorXsaveState(s->p, 0, s->room, size);
    ck_assert(WHvSetVirtualProcessorState(s->p, 0, XSAVE, s->room, size) == hr);
    return hr;
}

static HRESULT set_xsave(struct scene *s, u32 vp)
{
    u32 size = 0;
    HRESULT hr = WHvGetVirtualProcessorXsaveState(s->p, vp, s->room, SCENE_ROOM, &size);

    if (hr == WHV_E_INVALID_VP_STATE) { /* it runs: any image does */
        store_bytes(s->room + 520, (u64)1 << 63, 8);
        size = SCENE_ROOM;
    }
    return WHvSetVirtualProcessorXsaveState(s->p, vp, s->room, size ? size : SCENE_ROOM);
}

static HRESULT set_xsave_state(struct scene *s, u32 vp)
{
    u32 size = 0;

    (void)WHvGetVirtualProcessorXsaveState(s->p, vp, s->room, SCENE_ROOM, &size);
    return WHvSetVirtualProcessorState(s->p, vp, XSAVE, s->room, size);
}

static HRESULT set_apic(struct scene *s, HRESULT (*how)(WHV_PARTITION_HANDLE, UINT32, const VOID *, UINT32))
{
    (void)WHvGetVirtualProcessorInterruptControllerState2(s->p, s->vp, s->room, APIC_PAGE, NULL);
    return how(s->p, s->vp, s->room, APIC_PAGE);
}

static void xsave_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvGetVirtualProcessorXsaveState, TAKES_VP, "XX.V.VI", "compacted",
             (s->p, s->vp, s->room, SCENE_ROOM, NULL));
    ROW("a size of 0", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, xsave_size(s), WHvGetVirtualProcessorXsaveState(s->p, 0, NULL, 0, &s->written)));
    ROW("a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        WHvGetVirtualProcessorXsaveState(s->p, 0, s->out, xsave_size(s) - 1, NULL));
    ROW("Buffer is NULL", E_POINTER, "buffer", "1.5",
        WHvGetVirtualProcessorXsaveState(s->p, 0, NULL, SCENE_ROOM, NULL));

    static const struct function setting = { "WHvSetVirtualProcessorXsaveState", TAKES_VP, "XX.V.VI",
                                             "what XSTATE_BV lacks gets its initial values" };

    if (visit_function(v, &setting))
        visit_answer(v, set_xsave(s, s->vp));
    ROW("Buffer is NULL", E_POINTER, "Buffer", "1.5", WHvSetVirtualProcessorXsaveState(s->p, 0, NULL, XSAVE_LEAST));
    ROW("a size below 576", WHV_E_INSUFFICIENT_BUFFER, "Buffer", "7.3",
        WHvSetVirtualProcessorXsaveState(s->p, 0, s->room, XSAVE_LEAST - 1));
    ROW("XCOMP_BV isn't compacted", E_INVALIDARG, "XCOMP_BV", "7.3", spoilt(s, 520, 3));
    ROW("XCOMP_BV has what the processor lacks", E_INVALIDARG, "XCOMP_BV", "7.3",
        spoilt(s, 520, 1ull << 63 | 1ull << 40));
    ROW("XSTATE_BV has what XCOMP_BV lacks", E_INVALIDARG, "XSTATE_BV", "7.3", spoilt(s, 512, 1ull << 40));
    ROW("a reserved byte of the header", E_INVALIDARG, "header", "7.3", spoilt(s, 528, 1));
    ROW("the header's last byte", E_INVALIDARG, "header", "7.3", spoilt(s, 568, 1ull << 63));
    ROW("MXCSR has a reserved bit", E_INVALIDARG, "MXCSR", "7.3", spoilt(s, 24, 0xffff0000));
}

static void apic_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvGetVirtualProcessorInterruptControllerState2, TAKES_VP, "XX...VI", "the APIC's page",
             (s->p, s->vp, s->room, APIC_PAGE, NULL));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5",
        WHvGetVirtualProcessorInterruptControllerState2(s->p, 0, s->out, APIC_PAGE, NULL));
    ROW("a size of 0", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, APIC_PAGE, WHvGetVirtualProcessorInterruptControllerState2(s->apic, 0, NULL, 0, &s->written)));
    ROW("a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, APIC_PAGE,
             WHvGetVirtualProcessorInterruptControllerState2(s->apic, 0, s->out, APIC_PAGE - 1, &s->written)));
    ROW("State is NULL", E_POINTER, "buffer", "1.5",
        WHvGetVirtualProcessorInterruptControllerState2(s->apic, 0, NULL, APIC_PAGE, NULL));

    static const struct function setting = { "WHvSetVirtualProcessorInterruptControllerState2", TAKES_VP, "XX.V.VI",
                                             "993 bytes of it at least" };

    if (visit_function(v, &setting))
        visit_answer(v, set_apic(s, WHvSetVirtualProcessorInterruptControllerState2));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5",
        WHvSetVirtualProcessorInterruptControllerState2(s->p, 0, s->room, APIC_PAGE));
    ROW("State is NULL", E_POINTER, "State", "1.5",
        WHvSetVirtualProcessorInterruptControllerState2(s->apic, 0, NULL, APIC_PAGE));
    ROW("StateSize is below 993", E_POINTER, "StateSize", "1.5",
        WHvSetVirtualProcessorInterruptControllerState2(s->apic, 0, s->room, 992));

    FUNCTION(WHvGetVirtualProcessorInterruptControllerState, TAKES_VP, "XX...VI", "the older name of the same",
             (s->p, s->vp, s->room, APIC_PAGE, NULL));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5",
        WHvGetVirtualProcessorInterruptControllerState(s->p, 0, s->out, APIC_PAGE, NULL));
    ROW("a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, APIC_PAGE,
             WHvGetVirtualProcessorInterruptControllerState(s->apic, 0, s->out, APIC_PAGE - 1, &s->written)));

    static const struct function older = { "WHvSetVirtualProcessorInterruptControllerState", TAKES_VP, "XX.V.VI",
                                           "likewise" };

    if (visit_function(v, &older))
        visit_answer(v, set_apic(s, WHvSetVirtualProcessorInterruptControllerState));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5",
        WHvSetVirtualProcessorInterruptControllerState(s->p, 0, s->room, APIC_PAGE));
    ROW("State is NULL", E_POINTER, "State", "1.5",
        WHvSetVirtualProcessorInterruptControllerState(s->apic, 0, NULL, APIC_PAGE));
    ROW("StateSize is below 993", E_POINTER, "StateSize", "1.5",
        WHvSetVirtualProcessorInterruptControllerState(s->apic, 0, s->room, 1));
}

static void type_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvGetVirtualProcessorState, TAKES_VP, "XX.V.VI", "XSAVE here; the APIC's page also while it runs",
             (s->p, s->vp, XSAVE, s->room, SCENE_ROOM, NULL));
    ROW("there is no such StateType", E_INVALIDARG, "StateType", "1.5",
        WHvGetVirtualProcessorState(s->p, 0, TYPE(NOBODY), s->out, SCENE_ROOM, NULL));
    ROW("a SynIC's state, where there is none", NOT_SUPPORTED, "StateType", "7.4",
        WHvGetVirtualProcessorState(s->p, 0, TYPE(0), s->out, SCENE_ROOM, NULL));
    ROW("a SynIC's page in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, 4096, WHvGetVirtualProcessorState(s->apic, 0, TYPE(1), s->out, 4095, &s->written)));
    ROW("a SynIC's timers in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, 200, WHvGetVirtualProcessorState(s->apic, 0, TYPE(2), s->out, 199, &s->written)));
    ROW("nested state", NOT_SUPPORTED, "StateType", "7.4",
        WHvGetVirtualProcessorState(s->p, 0, TYPE(0x1002), s->out, SCENE_ROOM, NULL));
    ROW("XSAVE in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, xsave_size(s), WHvGetVirtualProcessorState(s->p, 0, XSAVE, s->out, xsave_size(s) - 1, &s->written)));
    ROW("the APIC's page in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, APIC_PAGE, WHvGetVirtualProcessorState(s->apic, 0, APIC, s->out, APIC_PAGE - 1, &s->written)));
    ROW("the APIC's page, where none is emulated", HV(8), "Partition", "1.5",
        WHvGetVirtualProcessorState(s->p, 0, APIC, s->out, APIC_PAGE, NULL));
    ROW("Buffer is NULL", E_POINTER, "buffer", "1.5",
        WHvGetVirtualProcessorState(s->p, 0, XSAVE, NULL, SCENE_ROOM, NULL));

    static const struct function setting = { "WHvSetVirtualProcessorState", TAKES_VP, "XX.V.VI",
                                             "of exactly its size" };

    if (visit_function(v, &setting))
        visit_answer(v, set_xsave_state(s, s->vp));
    ROW("there is no such StateType", E_INVALIDARG, "StateType", "1.5",
        WHvSetVirtualProcessorState(s->p, 0, TYPE(NOBODY), s->room, 8));
    ROW("a SynIC's state, where there is none", NOT_SUPPORTED, "StateType", "7.4",
        WHvSetVirtualProcessorState(s->p, 0, TYPE(0), s->room, 4096));
    ROW("a SynIC's page of another size", E_INVALIDARG, "BufferSizeInBytes", "1.5",
        WHvSetVirtualProcessorState(s->apic, 0, TYPE(0), s->room, 4095));
    ROW("a SynIC's page, NULL", E_POINTER, "Buffer", "1.5",
        WHvSetVirtualProcessorState(s->apic, 0, TYPE(0), NULL, 4096));
    ROW("nested state", NOT_SUPPORTED, "StateType", "7.4",
        WHvSetVirtualProcessorState(s->p, 0, TYPE(0x1002), s->room, SCENE_ROOM));
    ROW("Buffer is NULL", E_POINTER, "Buffer", "1.5", WHvSetVirtualProcessorState(s->p, 0, XSAVE, NULL, xsave_size(s)));
    ROW("XSAVE of another size", E_INVALIDARG, "BufferSizeInBytes", "1.5",
        WHvSetVirtualProcessorState(s->p, 0, XSAVE, s->room, xsave_size(s) + 1));
    ROW("the APIC's page of another size", E_INVALIDARG, "BufferSizeInBytes", "1.5",
        WHvSetVirtualProcessorState(s->apic, 0, APIC, s->room, APIC_PAGE - 1));
    ROW("the APIC's page, NULL", E_POINTER, "NULL", "1.5",
        WHvSetVirtualProcessorState(s->apic, 0, APIC, NULL, APIC_PAGE));
    ROW("the APIC's page, where none is emulated", HV(8), "Partition", "1.5",
        WHvSetVirtualProcessorState(s->p, 0, APIC, s->room, APIC_PAGE));
}

#define SET(n) ((WHV_PROCESSOR_COUNTER_SET)(n))
#define SHORT_SET(what, set, size)                                                                                     \
    ROW(what " in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "7.5",                                         \
        TOLD(s, size, WHvGetVirtualProcessorCounters(s->p, 0, SET(set), s->out, (size)-1, &s->written)))

void state_rows(struct visit *v, struct scene *s)
{
    type_rows(v, s);
    xsave_rows(v, s);
    apic_rows(v, s);

    FUNCTION(WHvGetPartitionCounters, TAKES_PARTITION, "......I", "pages that are mapped",
             (s->p, WHvPartitionCounterSetMemory, s->room, 24, NULL));
    ROW("there is no such CounterSet", WHV_E_UNKNOWN_PROPERTY, "CounterSet", "1.5",
        WHvGetPartitionCounters(s->p, (WHV_PARTITION_COUNTER_SET)1, s->out, 24, NULL));
    ROW("a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "1.5",
        TOLD(s, 24, WHvGetPartitionCounters(s->p, WHvPartitionCounterSetMemory, s->out, 23, &s->written)));
    ROW("Buffer is NULL", E_POINTER, "buffer", "1.5",
        WHvGetPartitionCounters(s->p, WHvPartitionCounterSetMemory, NULL, 24, NULL));

    FUNCTION(WHvGetVirtualProcessorCounters, TAKES_VP, "XX...VI", "since the processor was made",
             (s->p, s->vp, SET(0), s->room, 16, NULL));
    ROW("there is no such CounterSet", WHV_E_UNKNOWN_PROPERTY, "CounterSet", "1.5",
        WHvGetVirtualProcessorCounters(s->p, 0, SET(5), s->out, 512, NULL));
    SHORT_SET("Runtime", 0, 16);
    SHORT_SET("Events", 2, 24);
    SHORT_SET("Apic", 3, 40);
    SHORT_SET("SyntheticFeatures", 4, 48);
    ROW("Intercepts in less than the first SDK's", WHV_E_INSUFFICIENT_BUFFER, "buffer", "7.5",
        TOLD(s, 224, WHvGetVirtualProcessorCounters(s->p, 0, SET(1), s->out, 175, &s->written)));
    ROW("Buffer is NULL", E_POINTER, "buffer", "1.5", WHvGetVirtualProcessorCounters(s->p, 0, SET(0), NULL, 16, NULL));
}
