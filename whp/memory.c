/* SPDX-License-Identifier: MIT */
/* Guest-physical memory: mapping, unmapping, translating, and small accesses from outside. Reference 6. */
#include "mem/ram.h"

#include "mem/translate.h"
#include "whp/level.h"
#include "whp/memory.h"
#include "whp/processor.h"

enum { RIGHTS = PAGE_READ | PAGE_WRITE | PAGE_EXECUTE };

/* ---- the map ---- */

HRESULT check_range(const struct partition *p, u64 gpa, u64 size)
{
    u64 end = (u64)1 << p->physical_width;

    if (!__atomic_load_n(&p->is_set_up, __ATOMIC_RELAXED))
        return fail(HV_INVALID_PARTITION_STATE,
                    "Partition: not set up; WHvSetupPartition comes before its memory");
    if (gpa & ~PAGE_MASK)
        return fail(E_INVALIDARG, "GuestAddress: %#llx is no multiple of 4096", (unsigned long long)gpa);
    if (!size || size & ~PAGE_MASK)
        return fail(E_INVALIDARG, "SizeInBytes: %#llx is no multiple of 4096, or zero",
                    (unsigned long long)size);
    if (gpa >= end || size > end - gpa)
        return fail(E_INVALIDARG,
                    "GuestAddress: %#llx and the size go beyond the partition's %u address bits",
                    (unsigned long long)gpa, p->physical_width);
    return S_OK;
}

static HRESULT check_source(const void *source, u64 size, u32 flags)
{
    u64 address = (u64)(uintptr_t)source;

    if (!source || address & ~PAGE_MASK)
        return fail(E_INVALIDARG, "SourceAddress: %p is no multiple of 4096, or NULL", source);
    if (size > ~(u64)0 - address)
        return fail(E_INVALIDARG, "SourceAddress: %p and the size wrap around", source);
    if (flags & ~(u32)(RIGHTS | PAGE_TRACK))
        return fail(E_INVALIDARG, "Flags: %#x has unknown bits", flags);
    if ((flags & (PAGE_READ | PAGE_WRITE)) == PAGE_WRITE)
        return fail(E_INVALIDARG, "Flags: Write without Read, which processors can't do");
    return S_OK;
}

void map_changed(struct partition *p)
{
    p->generation++;
    for (u32 i = 0; i < p->processors; i++) {
        if (p->doors[i].cpu)
            vcpu_call(p->doors[i].cpu, ATTENTION_TLB);
    }
}

static HRESULT change_map(struct partition *p, u64 gpa, u64 size, void *source, u32 flags)
{
    if (!meet_begin(p))
        return fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");

    HRESULT hr = S_OK;

    if (source) {
        if (!ram_map(p->ram, gpa, size, source, flags))
            hr = fail(E_OUTOFMEMORY, "no memory for the map");
    } else if (!ram_unmap(p->ram, gpa, size)) {
        hr = fail(WHV_E_GPA_RANGE_NOT_FOUND, "GuestAddress: nothing is mapped from %#llx on for %#llx bytes",
                  (unsigned long long)gpa, (unsigned long long)size);
    }
    if (SUCCEEDED(hr))
        map_changed(p);
    meet_end(p);
    return hr;
}

HRESULT WINAPI WHvMapGpaRange(WHV_PARTITION_HANDLE Partition, VOID *SourceAddress,
                              WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 SizeInBytes,
                              WHV_MAP_GPA_RANGE_FLAGS Flags)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = check_range(p, GuestAddress, SizeInBytes);
    if (SUCCEEDED(hr))
        hr = check_source(SourceAddress, SizeInBytes, (u32)Flags);
    if (SUCCEEDED(hr))
        hr = change_map(p, GuestAddress, SizeInBytes, SourceAddress, (u32)Flags);
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvMapGpaRange2(WHV_PARTITION_HANDLE Partition, HANDLE Process, VOID *SourceAddress,
                               WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 SizeInBytes,
                               WHV_MAP_GPA_RANGE_FLAGS Flags)
{
    /* -1 is GetCurrentProcess() */
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (Process && (intptr_t)Process != -1)
        return fail(E_INVALIDARG,
                    "Process: %p; only memory of the calling process, NULL or -1, can be mapped", Process);
    return WHvMapGpaRange(Partition, SourceAddress, GuestAddress, SizeInBytes, Flags);
}

HRESULT WINAPI WHvUnmapGpaRange(WHV_PARTITION_HANDLE Partition, WHV_GUEST_PHYSICAL_ADDRESS GuestAddress,
                                UINT64 SizeInBytes)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = check_range(p, GuestAddress, SizeInBytes);
    if (SUCCEEDED(hr))
        hr = change_map(p, GuestAddress, SizeInBytes, NULL, 0);
    partition_leave(Partition);
    return hr;
}

/* ---- translating ---- */

HRESULT WINAPI WHvTranslateGva(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, WHV_GUEST_VIRTUAL_ADDRESS Gva,
                               WHV_TRANSLATE_GVA_FLAGS TranslateFlags,
                               WHV_TRANSLATE_GVA_RESULT *TranslationResult, WHV_GUEST_PHYSICAL_ADDRESS *Gpa)
{
    const u32 smap = WHvTranslateGvaFlagEnforceSmap | WHvTranslateGvaFlagOverrideSmap;
    struct reading r;
    u64 gpa = 0;

    if (!TranslationResult || !Gpa)
        return fail(E_POINTER, "TranslationResult or Gpa is NULL");
    if ((u32)TranslateFlags & ~(0x1fu | smap))
        return fail(E_INVALIDARG, "TranslateFlags: %#x has unknown bits", (u32)TranslateFlags);
    if (((u32)TranslateFlags & smap) == smap)
        return fail(E_INVALIDARG, "TranslateFlags: SMAP can't be enforced and overridden");

    HRESULT hr = vcpu_read_begin(Partition, VpIndex, &r);

    if (FAILED(hr))
        return hr;
    if (r.cpu->load_pdptes)
        processor_load_pdptes(r.cpu);

    u32 code = translate_gva(r.cpu, Gva, (u32)TranslateFlags, &gpa);

    vcpu_read_end(&r);
    *TranslationResult = (WHV_TRANSLATE_GVA_RESULT){ .ResultCode = (WHV_TRANSLATE_GVA_RESULT_CODE)code };
    if (code == WHvTranslateGvaResultSuccess)
        *Gpa = gpa;
    return S_OK;
}

/* ---- small accesses, and hints ---- */

static HRESULT check_access(const struct partition *p, u64 gpa, WHV_ACCESS_GPA_CONTROLS controls,
                            const void *data, u32 size)
{
    u64 end = (u64)1 << p->physical_width;

    if (!data)
        return fail(E_POINTER, "Data is NULL");
    if (size < 1 || size > WHV_READ_WRITE_GPA_RANGE_MAX_SIZE)
        return fail(E_INVALIDARG, "DataSizeInBytes: %u, 1 to 16", size);
    if (gpa >= end || size > end - gpa || size > PAGE_SIZE - (gpa & ~PAGE_MASK))
        return fail(E_INVALIDARG, "GuestAddress: %#llx and the size cross a page's end, or the last address",
                    (unsigned long long)gpa);
    switch ((u32)controls.CacheType) {
    case WHvCacheTypeUncached:
    case WHvCacheTypeWriteCombining:
    case WHvCacheTypeWriteThrough:
    case WHvCacheTypeWriteProtected:
    case WHvCacheTypeWriteBack: break;
    default: return fail(E_INVALIDARG, "Controls: there is no CacheType %u", (u32)controls.CacheType);
    }
    if (controls.InputVtl.AsUINT8 || controls.Reserved || controls.Reserved1)
        return fail(E_INVALIDARG, "Controls: InputVtl and what is reserved must be zero");
    return S_OK;
}

static HRESULT access_gpa(WHV_PARTITION_HANDLE handle, u32 index, u64 gpa, WHV_ACCESS_GPA_CONTROLS controls,
                          void *into, const void *from, u32 size)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_pin(handle, index, &cpu);

    if (FAILED(hr))
        return hr;

    struct partition *p = cpu->partition;

    hr = check_access(p, gpa, controls, into ? into : from, size);
    if (SUCCEEDED(hr) && !meet_begin(p)) {
        hr = fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
    } else if (SUCCEEDED(hr)) {
        bool is_apic = cpu->apic && (gpa & PAGE_MASK) == cpu->apic_page;
        u64 page = ram_find(p->ram, gpa);
        u8 *host = (u8 *)(uintptr_t)((page & PAGE_MASK) + (gpa & ~PAGE_MASK));

        if (is_apic) { /* as the processor's own access would */
            u8 bytes[WHV_READ_WRITE_GPA_RANGE_MAX_SIZE];

            if (from)
                memcpy(bytes, from, size);
            cpu->apic_access(cpu, (u32)(gpa & ~PAGE_MASK), from ? bytes : into, size, from != NULL);
        } else if (!(page & (from ? PAGE_WRITE : PAGE_READ))) {
            hr = fail(E_ACCESSDENIED, "GuestAddress: %#llx is not mapped, or not with the right",
                      (unsigned long long)gpa);
        } else if (from) {
            memcpy(host, from, size);
        } else {
            memcpy(into, host, size);
        }
        if (SUCCEEDED(hr) && from && !is_apic) {
            if (page & PAGE_TRACK)
                ram_dirty(p->ram, gpa);
            map_changed(p); /* it may have been code */
        }
        meet_end(p);
    }
    vcpu_unpin(handle, index);
    return hr;
}

HRESULT WINAPI WHvReadGpaRange(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                               WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, WHV_ACCESS_GPA_CONTROLS Controls,
                               PVOID Data, UINT32 DataSizeInBytes)
{
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!Data)
        return fail(E_POINTER, "Data is NULL");
    return access_gpa(Partition, VpIndex, GuestAddress, Controls, Data, NULL, DataSizeInBytes);
}

HRESULT WINAPI WHvWriteGpaRange(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, WHV_ACCESS_GPA_CONTROLS Controls,
                                const VOID *Data, UINT32 DataSizeInBytes)
{
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!Data)
        return fail(E_POINTER, "Data is NULL");
    return access_gpa(Partition, VpIndex, GuestAddress, Controls, NULL, Data, DataSizeInBytes);
}

static HRESULT check_advice(u32 advice, const void *buffer, u32 size)
{
    WHV_ADVISE_GPA_RANGE_POPULATE populate;

    switch (advice) {
    case WHvAdviseGpaRangeCodePopulate:
        if (!buffer || size < sizeof populate)
            return fail(E_INVALIDARG, "AdviceBuffer: Populate wants %u bytes", (u32)sizeof populate);
        memcpy(&populate, buffer, sizeof populate);
        if (populate.Flags.AsUINT32 & ~3u || (u32)populate.AccessType > WHvMemoryAccessExecute)
            return fail(E_INVALIDARG, "AdviceBuffer: unknown flags or AccessType");
        return S_OK;
    case WHvAdviseGpaRangeCodePin:
    case WHvAdviseGpaRangeCodeUnpin:
        return size ? fail(E_INVALIDARG, "AdviceBufferSizeInBytes: %u, there is none for this advice", size)
                    : S_OK;
    default: return fail(E_INVALIDARG, "Advice: there is no %u", advice);
    }
}

/* The list is the caller's, who may have changed it since it was checked. */
static HRESULT check_mapped(struct partition *p, const WHV_MEMORY_RANGE_ENTRY *range, u32 n)
{
    u64 gpa = load_bytes(&range->GuestAddress, 8), size = load_bytes(&range->SizeInBytes, 8);
    HRESULT hr = check_range(p, gpa, size);

    if (FAILED(hr))
        return hr;
    host_lock(&p->lock); /* for one by one: there may be many */
    if (!ram_has_all(p->ram, gpa, size))
        hr = fail(WHV_E_GPA_RANGE_NOT_FOUND, "GpaRanges[%u]: not all of it is mapped", n);
    host_unlock(&p->lock);
    return hr;
}

/* Memory is the caller's and is there anyway, so this only checks. */
HRESULT WINAPI WHvAdviseGpaRange(WHV_PARTITION_HANDLE Partition, const WHV_MEMORY_RANGE_ENTRY *GpaRanges,
                                 UINT32 GpaRangesCount, WHV_ADVISE_GPA_RANGE_CODE Advice,
                                 const VOID *AdviceBuffer, UINT32 AdviceBufferSizeInBytes)
{
    struct partition *p;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (GpaRangesCount && !GpaRanges)
        return fail(E_POINTER, "GpaRanges is NULL");

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = check_advice((u32)Advice, AdviceBuffer, AdviceBufferSizeInBytes);
    for (u32 i = 0; i < GpaRangesCount && SUCCEEDED(hr); i++)
        hr = check_range(p, GpaRanges[i].GuestAddress, GpaRanges[i].SizeInBytes);
    for (u32 i = 0; i < GpaRangesCount && SUCCEEDED(hr); i++)
        hr = check_mapped(p, &GpaRanges[i], i);
    partition_leave(Partition);
    return hr;
}

static void add_size(void *context, u64 gpa, u8 *host, u64 size, u32 rights)
{
    (void)gpa;
    (void)host;
    (void)rights;
    *(u64 *)context += size;
}

HRESULT WINAPI WHvGetPartitionCounters(WHV_PARTITION_HANDLE Partition, WHV_PARTITION_COUNTER_SET CounterSet,
                                       VOID *Buffer, UINT32 BufferSizeInBytes, UINT32 *BytesWritten)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (CounterSet != WHvPartitionCounterSetMemory) {
        hr = fail(WHV_E_UNKNOWN_PROPERTY, "CounterSet: there is no %#x", (u32)CounterSet);
    } else {
        u64 size = 0;
        WHV_PARTITION_MEMORY_COUNTERS counters = { 0 };

        host_lock(&p->lock);
        ram_visit(p->ram, add_size, &size);
        host_unlock(&p->lock);
        counters.Mapped4KPageCount = size / PAGE_SIZE;
        hr = give(Buffer, BufferSizeInBytes, BytesWritten, &counters, sizeof counters);
    }
    partition_leave(Partition);
    return hr;
}
