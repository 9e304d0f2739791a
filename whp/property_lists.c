/* SPDX-License-Identifier: MIT */
/* Partition properties that are lists: what CPUID says, and what leaves. Reference 2.2. */
#include <stdlib.h>

#include "whp/partition.h"

enum { MOST_ENTRIES = 65536 };

static HRESULT check_list(const char *name, u32 size, u32 element)
{
    if (size % element)
        return fail(E_INVALIDARG, "%s: %u bytes are no whole number of entries of %u", name, size, element);
    if (size / element > MOST_ENTRIES)
        return fail(E_INVALIDARG, "%s: more than %u entries", name, MOST_ENTRIES);
    return S_OK;
}

static HRESULT set_cpuid_exits(struct partition *p, const void *buffer, u32 size)
{
    HRESULT hr = check_list("CpuidExitList", size, sizeof(u32));

    if (FAILED(hr))
        return hr;

    u32 *list = malloc(size ? size : 1);

    if (!list)
        return fail(E_OUTOFMEMORY, "CpuidExitList: no memory");
    if (size)
        memcpy(list, buffer, size);
    free(p->cpuid_list);
    p->cpuid_list = list;
    p->cpuid_listed = size / (u32)sizeof(u32);
    p->has_cpuid_list = true;
    return S_OK;
}

static HRESULT set_cpuid_results(struct partition *p, const void *buffer, u32 size)
{
    HRESULT hr = check_list("CpuidResultList", size, sizeof(WHV_X64_CPUID_RESULT));

    if (FAILED(hr))
        return hr;

    u32 count = size / (u32)sizeof(WHV_X64_CPUID_RESULT);
    struct cpuid_result *results = calloc(count ? count : 1, sizeof *results);

    if (!results)
        return fail(E_OUTOFMEMORY, "CpuidResultList: no memory");
    for (u32 i = 0; i < count; i++) {
        WHV_X64_CPUID_RESULT from;

        memcpy(&from, (const char *)buffer + i * sizeof from, sizeof from);
        if (from.Reserved[0] || from.Reserved[1] || from.Reserved[2]) {
            free(results);
            return fail(E_INVALIDARG, "CpuidResultList[%u]: Reserved must be zero", i);
        }
        results[i] = (struct cpuid_result){ from.Function, from.Eax, from.Ebx, from.Ecx, from.Edx };
    }
    free(p->cpuid_results);
    p->cpuid_results = results;
    p->cpuid_resulted = count;
    return S_OK;
}

static struct cpuid_mask mask_of(const WHV_X64_CPUID_RESULT2 *from)
{
    struct cpuid_mask m = { from->Function, from->Index, from->VpIndex, false, false, { 0 }, { 0 } };

    m.is_of_subleaf = from->Flags & WHvX64CpuidResult2FlagSubleafSpecific;
    m.is_of_processor = from->Flags & WHvX64CpuidResult2FlagVpSpecific;
    memcpy(m.mask, &from->Mask, sizeof m.mask);
    memcpy(m.value, &from->Output, sizeof m.value);
    for (unsigned i = 0; i < 4; i++)
        m.value[i] &= m.mask[i];
    return m;
}

static HRESULT set_cpuid_masks(struct partition *p, const void *buffer, u32 size)
{
    const u32 flags = WHvX64CpuidResult2FlagSubleafSpecific | WHvX64CpuidResult2FlagVpSpecific;
    HRESULT hr = check_list("CpuidResultList2", size, sizeof(WHV_X64_CPUID_RESULT2));

    if (FAILED(hr))
        return hr;

    u32 count = size / (u32)sizeof(WHV_X64_CPUID_RESULT2);
    struct cpuid_mask *masks = calloc(count ? count : 1, sizeof *masks);

    if (!masks)
        return fail(E_OUTOFMEMORY, "CpuidResultList2: no memory");
    for (u32 i = 0; i < count; i++) {
        WHV_X64_CPUID_RESULT2 from;

        memcpy(&from, (const char *)buffer + i * sizeof from, sizeof from);
        if ((u32)from.Flags & ~flags) {
            free(masks);
            return fail(E_INVALIDARG, "CpuidResultList2[%u]: Flags %#x, there are 1 and 2", i, (u32)from.Flags);
        }
        masks[i] = mask_of(&from);
    }
    free(p->cpuid_masks);
    p->cpuid_masks = masks;
    p->cpuid_masked = count;
    return S_OK;
}

static HRESULT set_msr_actions(struct partition *p, const void *buffer, u32 size)
{
    HRESULT hr = check_list("MsrActionList", size, sizeof(WHV_MSR_ACTION_ENTRY));

    if (FAILED(hr))
        return hr;

    u32 count = size / (u32)sizeof(WHV_MSR_ACTION_ENTRY);
    WHV_MSR_ACTION_ENTRY *list = malloc(size ? size : 1);

    if (!list)
        return fail(E_OUTOFMEMORY, "MsrActionList: no memory");
    if (size)
        memcpy(list, buffer, size);
    for (u32 i = 0; i < count; i++) {
        if (list[i].ReadAction <= WHvMsrActionExit && list[i].WriteAction <= WHvMsrActionExit && !list[i].Reserved)
            continue;
        free(list);
        return fail(E_INVALIDARG, "MsrActionList[%u]: there are the actions 0 to 2, and Reserved must be zero", i);
    }
    free(p->msr_actions);
    p->msr_actions = list;
    p->msr_listed = count;
    return S_OK;
}

HRESULT property_set_list(struct partition *p, u32 code, const void *buffer, u32 size)
{
    switch (code) {
    case WHvPartitionPropertyCodeCpuidExitList: return set_cpuid_exits(p, buffer, size);
    case WHvPartitionPropertyCodeCpuidResultList: return set_cpuid_results(p, buffer, size);
    case WHvPartitionPropertyCodeCpuidResultList2: return set_cpuid_masks(p, buffer, size);
    default: return set_msr_actions(p, buffer, size);
    }
}
