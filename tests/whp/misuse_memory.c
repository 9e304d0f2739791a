/* SPDX-License-Identifier: MIT */
/* Misuses: guest-physical memory. */
#include "tests/whp/misuse.h"

#define PAGE_AT ((u64)(uintptr_t)s->room)
#define ALL ((WHV_MAP_GPA_RANGE_FLAGS)7)
#define CODE_AT 0x8000
static const WHV_ACCESS_GPA_CONTROLS back = { .CacheType = WHvCacheTypeWriteBack };

static HRESULT map(WHV_PARTITION_HANDLE p, u64 source, u64 gpa, u64 size, u32 flags)
{
    HRESULT hr = WHvMapGpaRange(p, (void *)(uintptr_t)source, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)flags);

    ck_assert(WHvMapGpaRange2(p, NULL, (void *)(uintptr_t)source, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)flags) == hr);
    return hr;
}

static HRESULT translate(struct scene *s, u32 flags)
{
    WHV_TRANSLATE_GVA_RESULT result;
    u64 gpa;

    return WHvTranslateGva(s->p, 0, CODE_AT, (WHV_TRANSLATE_GVA_FLAGS)flags, &result, &gpa);
}

static HRESULT advise(struct scene *s, u64 gpa, u64 size, u32 advice, u32 access, u32 flags, u32 buffer_size)
{
    WHV_MEMORY_RANGE_ENTRY entries[2] = { { CODE_AT, 4096 }, { gpa, size } };
    WHV_ADVISE_GPA_RANGE_POPULATE populate = { .Flags = { .AsUINT32 = flags },
                                               .AccessType = (WHV_MEMORY_ACCESS_TYPE)access };

    return WHvAdviseGpaRange(s->p, entries, 2, (WHV_ADVISE_GPA_RANGE_CODE)advice, buffer_size ? &populate : NULL,
                             buffer_size);
}
#define POPULATE WHvAdviseGpaRangeCodePopulate
#define PIN WHvAdviseGpaRangeCodePin
#define UNPIN WHvAdviseGpaRangeCodeUnpin

/* Reads and writes are refused alike, and nothing is read. */
static HRESULT access(struct scene *s, u64 gpa, WHV_ACCESS_GPA_CONTROLS controls, u32 size)
{
    HRESULT hr = WHvReadGpaRange(s->p, 0, gpa, controls, s->out, size);

    ck_assert_uint_eq(s->out[0], 0xcc);
    ck_assert(WHvWriteGpaRange(s->p, 0, gpa, controls, s->room, size) == hr);
    return hr;
}

static WHV_ACCESS_GPA_CONTROLS controls(u64 value)
{
    return (WHV_ACCESS_GPA_CONTROLS){ .AsUINT64 = value };
}

static HRESULT unmap_hole(struct scene *s)
{
    return WHvUnmapGpaRange(s->p, GUEST_HOLE, 4096);
}

static void map_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvMapGpaRange, TAKES_PARTITION, "P....VI", "what was mapped there is replaced",
             (s->p, s->plain.memory + 0x20000, 0x20000, 4096, ALL));
    ROW("before Setup", HV(7), "Partition", "1.5", map(s->raw, PAGE_AT, 0, 4096, 7));
    ROW("SourceAddress is no multiple of 4096", E_INVALIDARG, "SourceAddress", "1.5",
        map(s->p, PAGE_AT + 1, 0, 4096, 7));
    ROW("SourceAddress is NULL", E_INVALIDARG, "SourceAddress", "1.5", map(s->p, 0, 0, 4096, 7));
    ROW("SourceAddress and the size wrap around", E_INVALIDARG, "SourceAddress", "1.5",
        map(s->p, ~(u64)4095, 0, 8192, 7));
    ROW("GuestAddress is no multiple of 4096", E_INVALIDARG, "GuestAddress", "1.5", map(s->p, PAGE_AT, 1, 4096, 7));
    ROW("SizeInBytes is 0", E_INVALIDARG, "SizeInBytes", "1.5", map(s->p, PAGE_AT, 0, 0, 7));
    ROW("SizeInBytes is no multiple of 4096", E_INVALIDARG, "SizeInBytes", "1.5", map(s->p, PAGE_AT, 0, 4097, 7));
    ROW("Flags has an unknown bit", E_INVALIDARG, "Flags", "2.9", map(s->p, PAGE_AT, 0, 4096, 16 | 7));
    ROW("Flags has Write without Read", E_INVALIDARG, "Flags", "6.1", map(s->p, PAGE_AT, 0, 4096, 2));
    ROW("GuestAddress and the size wrap around", E_INVALIDARG, "GuestAddress", "1.5",
        map(s->p, PAGE_AT, ~(u64)4095, 8192, 7));
    ROW("GuestAddress is beyond PhysicalAddressWidth", E_INVALIDARG, "GuestAddress", "6.1",
        map(s->p, PAGE_AT, (u64)1 << 52, 4096, 7));
    ROW("the range ends beyond PhysicalAddressWidth", E_INVALIDARG, "GuestAddress", "6.1",
        map(s->p, PAGE_AT, ((u64)1 << 48) - 4096, 8192, 7));

    FUNCTION(WHvMapGpaRange2, TAKES_PARTITION, "P....VI", "Process: NULL or this one",
             (s->p, NULL, s->plain.memory + 0x20000, 0x20000, 4096, ALL));
    ROW("Process is another", E_INVALIDARG, "Process", "6.1", WHvMapGpaRange2(s->p, s, s->room, 0, 4096, ALL));
    ROW("whatever WHvMapGpaRange refuses", E_INVALIDARG, "Flags", "1.5",
        WHvMapGpaRange2(s->p, NULL, s->room, 0, 4096, (WHV_MAP_GPA_RANGE_FLAGS)16));

    FUNCTION(WHvUnmapGpaRange, TAKES_PARTITION, "P....VI", "any part of what is mapped", (s->p, 0x20000, 4096));
    ROW("before Setup", HV(7), "Partition", "1.5", WHvUnmapGpaRange(s->raw, 0, 4096));
    ROW("GuestAddress is no multiple of 4096", E_INVALIDARG, "GuestAddress", "1.5", WHvUnmapGpaRange(s->p, 1, 4096));
    ROW("SizeInBytes is 0", E_INVALIDARG, "SizeInBytes", "1.5", WHvUnmapGpaRange(s->p, 0, 0));
    ROW("SizeInBytes is no multiple of 4096", E_INVALIDARG, "SizeInBytes", "1.5", WHvUnmapGpaRange(s->p, 0, 100));
    ROW("the range goes beyond PhysicalAddressWidth", E_INVALIDARG, "GuestAddress", "1.5",
        WHvUnmapGpaRange(s->p, 4096, ~(u64)4095));
    ROW("nothing is mapped there", WHV_E_GPA_RANGE_NOT_FOUND, "GuestAddress", "6.3", unmap_hole(s));
    ROW("nothing is mapped there, a gigabyte", WHV_E_GPA_RANGE_NOT_FOUND, "GuestAddress", "6.3",
        WHvUnmapGpaRange(s->p, 0x40000000, 0x40000000));
}

static void look_rows(struct visit *v, struct scene *s)
{
    static const WHV_MEMORY_RANGE_ENTRY entry = { CODE_AT, 4096 };

    FUNCTION(WHvTranslateGva, TAKES_VP, "XX...VI", "S_OK also where there is no translation: the result tells",
             (s->p, s->vp, CODE_AT, WHvTranslateGvaFlagNone, (void *)s->room, (void *)(s->room + 16)));
    ROW("TranslateFlags has an unknown bit", E_INVALIDARG, "TranslateFlags", "6.5", translate(s, 0x20));
    ROW("TranslateFlags enforces and overrides SMAP", E_INVALIDARG, "TranslateFlags", "6.5", translate(s, 0x300));
    ROW("TranslationResult is NULL", E_POINTER, "TranslationResult", "1.5",
        WHvTranslateGva(s->p, 0, 0, WHvTranslateGvaFlagNone, NULL, (void *)s->out));
    ROW("Gpa is NULL", E_POINTER, "Gpa", "1.5",
        WHvTranslateGva(s->p, 0, 0, WHvTranslateGvaFlagNone, (void *)s->out, NULL));

    FUNCTION(WHvQueryGpaRangeDirtyBitmap, TAKES_PARTITION, "P....VI", "what the guest has written, and starts anew",
             (s->p, SCENE_TRACKED, 4096, (void *)s->room, 8));
    ROW("before Setup", HV(7), "Partition", "1.5", WHvQueryGpaRangeDirtyBitmap(s->raw, 0, 4096, (void *)s->out, 8));
    ROW("GuestAddress is no multiple of 4096", E_INVALIDARG, "GuestAddress", "1.5",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED + 8, 4096, (void *)s->out, 8));
    ROW("RangeSizeInBytes is 0", E_INVALIDARG, "SizeInBytes", "1.5",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED, 0, (void *)s->out, 8));
    ROW("RangeSizeInBytes is no multiple of 4096", E_INVALIDARG, "SizeInBytes", "1.5",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED, 100, (void *)s->out, 8));
    ROW("Bitmap is NULL and has a size", E_POINTER, "Bitmap", "1.5",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED, 4096, NULL, 8));
    ROW("BitmapSizeInBytes is too small", WHV_E_INSUFFICIENT_BUFFER, "BitmapSizeInBytes", "1.5",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED, 4096, (void *)s->out, 7));
    ROW("a page of the range isn't tracked", WHV_E_GPA_RANGE_NOT_FOUND, "TrackDirtyPages", "6.4",
        WHvQueryGpaRangeDirtyBitmap(s->p, SCENE_TRACKED, 8192, (void *)s->out, 8));
    ROW("a page of the range isn't mapped", WHV_E_GPA_RANGE_NOT_FOUND, "GuestAddress", "6.4",
        WHvQueryGpaRangeDirtyBitmap(s->p, GUEST_HOLE, 4096, (void *)s->out, 8));
    ROW("not tracked, only to clear", WHV_E_GPA_RANGE_NOT_FOUND, "GuestAddress", "6.4",
        WHvQueryGpaRangeDirtyBitmap(s->p, CODE_AT, 4096, NULL, 0));

    FUNCTION(WHvAdviseGpaRange, TAKES_PARTITION, "P.....I", "checked, and nothing to do",
             (s->p, &entry, 1, PIN, NULL, 0));
    ROW("before Setup", HV(7), "Partition", "1.5", WHvAdviseGpaRange(s->raw, &entry, 1, PIN, NULL, 0));
    ROW("GpaRanges is NULL", E_POINTER, "GpaRanges", "1.5", WHvAdviseGpaRange(s->p, NULL, 1, PIN, NULL, 0));
    ROW("there is no such Advice", E_INVALIDARG, "Advice", "6.6", advise(s, CODE_AT, 4096, 3, 0, 0, 0));
    ROW("Populate without a buffer", E_INVALIDARG, "AdviceBuffer", "6.6", advise(s, CODE_AT, 4096, POPULATE, 0, 0, 0));
    ROW("Populate with 7 bytes", E_INVALIDARG, "AdviceBuffer", "6.6", advise(s, CODE_AT, 4096, POPULATE, 0, 0, 7));
    ROW("Populate with an unknown flag", E_INVALIDARG, "AdviceBuffer", "6.6",
        advise(s, CODE_AT, 4096, POPULATE, 0, 4, 8));
    ROW("Populate with an unknown access type", E_INVALIDARG, "AdviceBuffer", "6.6",
        advise(s, CODE_AT, 4096, POPULATE, 3, 0, 8));
    ROW("Pin with a buffer", E_INVALIDARG, "AdviceBuffer", "6.6", advise(s, CODE_AT, 4096, PIN, 0, 0, 8));
    ROW("a range is not aligned", E_INVALIDARG, "GuestAddress", "6.6", advise(s, CODE_AT + 1, 4096, PIN, 0, 0, 0));
    ROW("a range is empty", E_INVALIDARG, "SizeInBytes", "6.6", advise(s, CODE_AT, 0, UNPIN, 0, 0, 0));
    ROW("a range goes beyond PhysicalAddressWidth", E_INVALIDARG, "GuestAddress", "6.6",
        advise(s, CODE_AT, ~(u64)4095, PIN, 0, 0, 0));
    ROW("a range isn't mapped whole", WHV_E_GPA_RANGE_NOT_FOUND, "GpaRanges[1]", "1.5",
        advise(s, GUEST_HOLE - 4096, 8192, PIN, 0, 0, 0));
}

void memory_rows(struct visit *v, struct scene *s)
{
    map_rows(v, s);
    look_rows(v, s);

    FUNCTION(WHvReadGpaRange, TAKES_VP, "XX...VI", "up to 16 bytes, of the local APIC too",
             (s->p, s->vp, CODE_AT, back, s->room, 8));
    ROW("Data is NULL", E_POINTER, "Data", "1.5", WHvReadGpaRange(s->p, 0, CODE_AT, back, NULL, 8));
    ROW("DataSizeInBytes is 0", E_INVALIDARG, "DataSizeInBytes", "6.6", access(s, CODE_AT, back, 0));
    ROW("DataSizeInBytes is 17", E_INVALIDARG, "DataSizeInBytes", "6.6", access(s, CODE_AT, back, 17));
    ROW("the end of a page is crossed", E_INVALIDARG, "GuestAddress", "6.6", access(s, CODE_AT + 4090, back, 8));
    ROW("GuestAddress is beyond PhysicalAddressWidth", E_INVALIDARG, "GuestAddress", "6.6",
        access(s, (u64)1 << 52, back, 8));
    ROW("there is no such CacheType", E_INVALIDARG, "Controls", "6.6", access(s, CODE_AT, controls(2), 8));
    ROW("CacheType is far off", E_INVALIDARG, "Controls", "6.6", access(s, CODE_AT, controls(0xffffffff), 8));
    ROW("InputVtl isn't 0", E_INVALIDARG, "Controls", "6.6", access(s, CODE_AT, controls(1ull << 32 | 6), 8));
    ROW("a reserved bit of Controls", E_INVALIDARG, "Controls", "6.6", access(s, CODE_AT, controls(1ull << 63 | 6), 8));
    ROW("nothing is mapped there", E_ACCESSDENIED, "GuestAddress", "6.6", access(s, GUEST_HOLE, back, 8));

    FUNCTION(WHvWriteGpaRange, TAKES_VP, "XX...VI", "likewise", (s->p, s->vp, 0x20000, back, s->room, 8));
    ROW("Data is NULL", E_POINTER, "Data", "1.5", WHvWriteGpaRange(s->p, 0, CODE_AT, back, NULL, 8));
    ROW("the page has no right to be written", E_ACCESSDENIED, "GuestAddress", "6.6",
        WHvWriteGpaRange(s->p, 0, GUEST_READ_ONLY, back, s->room, 8));
    ROW("whatever WHvReadGpaRange refuses", E_INVALIDARG, "DataSizeInBytes", "6.6",
        WHvWriteGpaRange(s->p, 0, CODE_AT, back, s->room, 17));
}
