/* SPDX-License-Identifier: MIT */
/* Partitions from creation to deletion, and their time. */
#include "whp/partition.h"

#include <stdio.h>
#include <stdlib.h>

#include "cpu/synthetic.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/clock.h"
#include "state/host.h"
#include "state/port.h"
#include "state/profile.h"
#include "whp/level.h"
#include "whp/processor.h"

static void destroy(struct partition *p)
{
    synthetic_close(p);
    ports_delete(p);
    if (p->ram)
        ram_delete(p->ram);
    if (p->trace_file)
        fclose(p->trace_file);
    free(p->cpuid_list);
    free(p->cpuid_results);
    free(p->cpuid_masks);
    free(p->msr_actions);
    free(p);
}

HRESULT WINAPI WHvCreatePartition(WHV_PARTITION_HANDLE *Partition)
{
    if (!Partition)
        return fail(E_POINTER, "Partition is NULL");

    struct partition *p = calloc(1, sizeof *p);

    if (!p)
        return fail(E_OUTOFMEMORY, "no memory for a partition");
    profile_use(p, profile_find("zen"));
    p->msr_bitmap.UnhandledMsrs = 1;
    p->api_level = LEVEL_NEWEST;
    p->rate = 1;
    p->host_start = host_nanoseconds();
    p->ram = ram_new();

    HRESULT hr = p->ram ? environment_apply(p) : fail(E_OUTOFMEMORY, "no memory for a partition");

    if (SUCCEEDED(hr)) {
        WHV_PARTITION_HANDLE handle = handle_new(p);

        if (handle) {
            *Partition = handle;
            return S_OK;
        }
        hr = fail(E_OUTOFMEMORY, "%u partitions live already", HANDLES);
    }
    destroy(p);
    return hr;
}

HRESULT WINAPI WHvSetupPartition(WHV_PARTITION_HANDLE Partition)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    host_lock(&p->lock);
    if (p->is_set_up)
        hr = fail(HV_INVALID_PARTITION_STATE, "Partition: it is set up already");
    else if (!p->processors)
        hr = fail(WHV_E_INVALID_PARTITION_CONFIG, "Partition: the property ProcessorCount was never set");
    else if (p->synthetic.asked && !synthetic_open(p))
        hr = fail(E_OUTOFMEMORY, "no memory for the pages of Hyper-V's interface");
    if (SUCCEEDED(hr)) {
        profile_settle(p);
        synthetic_settle(p);
        __atomic_store_n(&p->is_set_up, true, __ATOMIC_RELAXED);
    }
    host_unlock(&p->lock);
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvResetPartition(WHV_PARTITION_HANDLE Partition)
{
    struct partition *p;
    u64 held;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (!__atomic_load_n(&p->is_set_up, __ATOMIC_RELAXED)) {
        hr = fail(HRESULT_FROM_WIN32(ERROR_INVALID_STATE), "Partition: not set up");
    } else if (FAILED(partition_freeze(Partition, p, &held))) { /* pages of Hyper-V's interface leave the map */
        hr = HRESULT_FROM_WIN32(ERROR_INVALID_STATE);
    } else {
        for (u32 i = 0; i < p->processors; i++) {
            if (!(held >> i & 1))
                continue;
            synthetic_uncover(p->doors[i].cpu);
            vcpu_reset(p->doors[i].cpu); /* forgets cancels too */
            p->doors[i].cpu->load_pdptes = false;
            tlb_flush(p->doors[i].cpu, false);
        }
        if (p->synthetic.has)
            synthetic_reset(p);
        p->turns.whose = 0;
        p->turns.rest = 0; /* the generator goes on, as RDRAND's does */
        partition_thaw(Partition, p, held);
    }
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvDeletePartition(WHV_PARTITION_HANDLE Partition)
{
    struct partition *p;
    HRESULT hr = handle_retire(Partition, &p);

    if (FAILED(hr))
        return hr;
    for (u32 i = 0; i < p->processors; i++) /* all, before any goes: who looks in on one may ask for the others */
        if (p->doors[i].cpu)
            processor_close(&p->doors[i]);
    for (u32 i = 0; i < p->processors; i++)
        if (p->doors[i].cpu)
            processor_delete(p, i);
    destroy(p);
    handle_free(Partition);
    return S_OK;
}

/* ---- time ---- */

void partition_resume_time(struct partition *p)
{
    host_lock(&p->lock);
    if (p->is_suspended) {
        clock_resume(p);
        __atomic_store_n(&p->is_suspended, false, __ATOMIC_RELAXED);
        __atomic_store_n(&p->is_special, level_has_old_context(p), __ATOMIC_RELEASE); /* Run reads it, then the rest */
    }
    host_unlock(&p->lock);
}

HRESULT WINAPI WHvSuspendPartitionTime(WHV_PARTITION_HANDLE Partition)
{
    struct partition *p;
    u64 held;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = partition_freeze(Partition, p, &held);
    if (FAILED(hr)) {
        hr = fail(HRESULT_FROM_WIN32(ERROR_INVALID_STATE),
                  "Partition: a processor runs, and so does its time");
    } else {
        clock_suspend(p); /* for a virtual clock too: before Setup it may become the host's */
        __atomic_store_n(&p->is_suspended, true, __ATOMIC_RELAXED);
        __atomic_store_n(&p->is_special, true, __ATOMIC_RELEASE);
        partition_thaw(Partition, p, held);
    }
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvResumePartitionTime(WHV_PARTITION_HANDLE Partition)
{
    struct partition *p;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    partition_resume_time(p);
    partition_leave(Partition);
    return S_OK;
}

HRESULT WINAPI SwhpGetClock(WHV_PARTITION_HANDLE Partition, UINT64 *Clock)
{
    struct partition *p;

    if (!Clock)
        return fail(E_POINTER, "Clock is NULL");

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (meet_begin(p)) { /* counts stand still */
        *Clock = clock_now(p);
        meet_end(p);
    } else {
        hr = fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
    }
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI SwhpAdvanceClock(WHV_PARTITION_HANDLE Partition, UINT64 Counts)
{
    struct partition *p;
    u64 held;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (p->clock != SwhpClockVirtual) {
        hr = fail(E_INVALIDARG, "Partition: its clock is the host's, which nobody moves");
    } else {
        hr = partition_freeze(Partition, p, &held);
        if (SUCCEEDED(hr)) {
            u64 now = clock_now(p), most = (u64)1 << 63;

            if (now > most || Counts > most - now)
                hr = fail(E_INVALIDARG, "Counts: the clock can't go past 2^63");
            else
                p->advanced += Counts;
            partition_thaw(Partition, p, held);
        }
    }
    partition_leave(Partition);
    return hr;
}
