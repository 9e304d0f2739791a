/* SPDX-License-Identifier: MIT */
/* Which pages the guest has written: WHvQueryGpaRangeDirtyBitmap. Reference 6.4. */
#include "mem/ram.h"
#include "whp/memory.h"
#include "whp/processor.h"

static HRESULT check_bitmap(u64 pages, const void *bitmap, u32 size)
{
    u64 least = (pages + 63) / 64 * 8;

    if (!bitmap && !size)
        return S_OK; /* clears, and tells nothing */
    if (!bitmap)
        return fail(E_POINTER, "Bitmap is NULL; with BitmapSizeInBytes 0 it may be");
    if (size < least)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "BitmapSizeInBytes: %u, %llu for %llu pages", size,
                    (unsigned long long)least, (unsigned long long)pages);
    return S_OK;
}

static HRESULT take(struct partition *p, u64 gpa, u64 size, u64 *bitmap)
{
    HRESULT hr = S_OK;

    if (!meet_begin(p))
        return fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
    if (ram_take_dirty(p->ram, gpa, size, bitmap))
        map_changed(p); /* so that the next write to each page is seen */
    else
        hr = fail(WHV_E_GPA_RANGE_NOT_FOUND,
                  "GuestAddress: not all of the range is mapped with WHvMapGpaRangeFlagTrackDirtyPages");
    meet_end(p);
    return hr;
}

HRESULT WINAPI WHvQueryGpaRangeDirtyBitmap(WHV_PARTITION_HANDLE Partition,
                                           WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 RangeSizeInBytes,
                                           UINT64 *Bitmap, UINT32 BitmapSizeInBytes)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = check_range(p, GuestAddress, RangeSizeInBytes);
    if (SUCCEEDED(hr))
        hr = check_bitmap(RangeSizeInBytes / PAGE_SIZE, Bitmap, BitmapSizeInBytes);
    if (SUCCEEDED(hr))
        hr = take(p, GuestAddress, RangeSizeInBytes, Bitmap);
    partition_leave(Partition);
    return hr;
}
