/* SPDX-License-Identifier: MIT */
/* Misuses: virtual processors. */
#include "tests/whp/misuse.h"

enum { CONTEXT = sizeof(WHV_RUN_VP_EXIT_CONTEXT), CONTEXT_OLD = 144 };

static HRESULT create2(struct scene *s, u32 code, u32 node, u32 count)
{
    WHV_VIRTUAL_PROCESSOR_PROPERTY properties[2];

    memset(properties, 0, sizeof properties);
    properties[0].PropertyCode = WHvVirtualProcessorPropertyCodeNumaNode;
    properties[1].PropertyCode = (WHV_VIRTUAL_PROCESSOR_PROPERTY_CODE)code;
    properties[1].NumaNode = (USHORT)node;
    return WHvCreateVirtualProcessor2(s->p, 1, properties, count);
}

static HRESULT delete_twice(struct scene *s)
{
    ck_ok(WHvCreateVirtualProcessor(s->fixed, 2, 0));
    ck_ok(WHvDeleteVirtualProcessor(s->fixed, 2));
    return WHvDeleteVirtualProcessor(s->fixed, 2);
}

/* Run and RunUntil refuse alike. */
static HRESULT run(WHV_PARTITION_HANDLE p, u32 vp, void *context, u32 size)
{
    HRESULT hr = WHvRunVirtualProcessor(p, vp, context, size);

    ck_assert(SwhpRunVirtualProcessorUntil(p, vp, 0, context, size) == hr);
    return hr;
}

void processor_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvCreateVirtualProcessor, TAKES_PARTITION, "P....VI", "processor 2 of 3 here", (s->p, 2, 0));
    ROW("before Setup", HV(7), "Partition", "1.3", WHvCreateVirtualProcessor(s->raw, 0, 0));
    ROW("it exists", WHV_E_VP_ALREADY_EXISTS, "VpIndex", "1.5", WHvCreateVirtualProcessor(s->p, 0, 0));
    ROW("VpIndex is ProcessorCount", E_INVALIDARG, "VpIndex", "1.5", WHvCreateVirtualProcessor(s->p, 3, 0));
    ROW("VpIndex is 64", E_INVALIDARG, "VpIndex", "1.5", WHvCreateVirtualProcessor(s->p, 64, 0));
    ROW("VpIndex is ffffffff", E_INVALIDARG, "VpIndex", "1.5", WHvCreateVirtualProcessor(s->p, 0xffffffff, 0));
    ROW("Flags isn't 0", E_INVALIDARG, "Flags", "1.3", WHvCreateVirtualProcessor(s->p, 1, 1));

    FUNCTION(WHvCreateVirtualProcessor2, TAKES_PARTITION, "P....VI", "with properties: NUMA node 0",
             (s->p, 2, NULL, 0));
    ROW("Properties is NULL", E_POINTER, "Properties", "1.5", WHvCreateVirtualProcessor2(s->p, 1, NULL, 1));
    ROW("there is no such property", E_INVALIDARG, "Properties[1]", "1.5", create2(s, 7, 0, 2));
    ROW("there is no such NUMA node", E_INVALIDARG, "Properties[1]", "1.5",
        create2(s, WHvVirtualProcessorPropertyCodeNumaNode, 9, 2));
    ROW("it exists", WHV_E_VP_ALREADY_EXISTS, "VpIndex", "1.5", WHvCreateVirtualProcessor2(s->p, 0, NULL, 0));
    ROW("VpIndex is ProcessorCount", E_INVALIDARG, "VpIndex", "1.5", WHvCreateVirtualProcessor2(s->p, 3, NULL, 0));

    FUNCTION(WHvDeleteVirtualProcessor, TAKES_VP, "XX.V.VI", "its index may be made again", (s->p, s->vp));
    ROW("a second time", WHV_E_VP_DOES_NOT_EXIST, "VpIndex", "1.5", delete_twice(s));

    FUNCTION(WHvRunVirtualProcessor, TAKES_VP, "XX.VVVI",
             "until an exit; with the virtual clock one processor at a time, with the host's all at once",
             (s->p, s->vp, s->room, CONTEXT));
    ROW("ExitContext is NULL", E_POINTER, "ExitContext", "1.5", run(s->p, 0, NULL, CONTEXT));
    ROW("ExitContextSizeInBytes is 143", WHV_E_INSUFFICIENT_BUFFER, "ExitContextSizeInBytes", "1.5",
        run(s->p, 0, s->out, CONTEXT_OLD - 1));
    ROW("ExitContextSizeInBytes is 0", WHV_E_INSUFFICIENT_BUFFER, "ExitContextSizeInBytes", "1.5",
        run(s->p, 0, s->out, 0));

    FUNCTION(WHvCancelRunVirtualProcessor, TAKES_VP, "XX....I", "this Run ends, or else the next one",
             (s->p, s->vp, 0));
    ROW("Flags isn't 0", E_INVALIDARG, "Flags", "1.4", WHvCancelRunVirtualProcessor(s->p, 0, 1));
    ROW("Flags isn't 0, all bits", E_INVALIDARG, "Flags", "1.4", WHvCancelRunVirtualProcessor(s->apic, 1, 0xffffffff));

    FUNCTION(WHvGetVirtualProcessorCpuidOutput, TAKES_VP, "XX...VI", "what CPUID says now",
             (s->p, s->vp, 1, 0, (void *)s->room));
    ROW("CpuidOutput is NULL", E_POINTER, "CpuidOutput", "1.5", WHvGetVirtualProcessorCpuidOutput(s->p, 0, 1, 0, NULL));
}
