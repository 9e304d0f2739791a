/* SPDX-License-Identifier: MIT */
/*
 * What a processor counts: reference 7.5. An intercept is an exit to the caller; the time that it takes is the
 * caller's own, so times of intercepts are 0, and so is the hypervisor's part of the runtime.
 */
#include "state/clock.h"
#include "whp/handle.h"
#include "whp/level.h"

enum { INTERCEPTS_OF_1809 = 11, INTERCEPTS_GREW = 18362 }; /* rows that the set had at first, and until which build */

_Static_assert(sizeof(WHV_PROCESSOR_ACTIVITY_COUNTERS) == INTERCEPTS * sizeof(WHV_PROCESSOR_INTERCEPT_COUNTER) &&
                   offsetof(WHV_PROCESSOR_ACTIVITY_COUNTERS, IoInstructions) == COUNT_IO * 16 &&
                   offsetof(WHV_PROCESSOR_ACTIVITY_COUNTERS, PendingInterrupts) == COUNT_WINDOW * 16 &&
                   offsetof(WHV_PROCESSOR_ACTIVITY_COUNTERS, NestedPageFaultIntercepts) == COUNT_MEMORY * 16,
               "counters are in the order of the set");
_Static_assert(sizeof(WHV_PROCESSOR_APIC_COUNTERS) == (COUNT_SYNTHETIC - COUNT_APIC_PAGE) * sizeof(u64) &&
                   offsetof(WHV_PROCESSOR_APIC_COUNTERS, SentIpiCount) == (COUNT_APIC_IPI - COUNT_APIC_PAGE) * sizeof(u64),
               "and of this one");
_Static_assert(sizeof(WHV_PROCESSOR_SYNTHETIC_FEATURES_COUNTERS) == (COUNTERS - COUNT_SYNTHETIC) * sizeof(u64) &&
                   offsetof(WHV_PROCESSOR_ACTIVITY_COUNTERS, Hypercalls) == COUNT_HYPERCALL * 16,
               "and of the last");

/* A caller of an older SDK has a shorter set, and gets that much. */
static HRESULT give_intercepts(const struct vcpu *cpu, void *buffer, u32 size, u32 *written)
{
    WHV_PROCESSOR_INTERCEPT_COUNTER rows[INTERCEPTS] = { 0 };
    bool is_old = (size >= INTERCEPTS_OF_1809 * sizeof rows[0] && size < sizeof rows) ||
                  cpu->partition->api_level < INTERCEPTS_GREW;

    for (unsigned i = 0; i < INTERCEPTS; i++)
        rows[i].Count = cpu->counters[i];
    return give(buffer, size, written, rows, is_old ? INTERCEPTS_OF_1809 * sizeof rows[0] : sizeof rows);
}

/* Other threads, which signal it, count too. */
static HRESULT give_counters(const struct vcpu *cpu, unsigned first, unsigned n, void *buffer, u32 size, u32 *written)
{
    u64 values[COUNTERS];

    for (unsigned i = 0; i < n; i++)
        values[i] = __atomic_load_n(&cpu->counters[first + i], __ATOMIC_RELAXED);
    return give(buffer, size, written, values, n * (u32)sizeof values[0]);
}

static HRESULT give_set(struct vcpu *cpu, u32 set, void *buffer, u32 size, u32 *written)
{
    if (set < 32 && !(level_bits(cpu->partition->api_level, LEVEL_COUNTERS) >> set & 1))
        return fail(WHV_E_UNKNOWN_PROPERTY, "CounterSet: there is no %#x at the API level %u", set,
                    cpu->partition->api_level);
    switch (set) {
    case WHvProcessorCounterSetRuntime: {
        WHV_PROCESSOR_RUNTIME_COUNTERS runtime = { .TotalRuntime100ns = clock_runtime(cpu) };

        return give(buffer, size, written, &runtime, sizeof runtime);
    }
    case WHvProcessorCounterSetIntercepts: return give_intercepts(cpu, buffer, size, written);
    case WHvProcessorCounterSetEvents: {
        WHV_PROCESSOR_GUEST_EVENT_COUNTERS events = { .PageFaultCount = cpu->counters[COUNT_FAULTED_PAGES],
                                                      .ExceptionCount = cpu->counters[COUNT_EXCEPTIONS],
                                                      .InterruptCount = cpu->counters[COUNT_INTERRUPTS] };

        return give(buffer, size, written, &events, sizeof events);
    }
    case WHvProcessorCounterSetApic:
        return give_counters(cpu, COUNT_APIC_PAGE, COUNT_SYNTHETIC - COUNT_APIC_PAGE, buffer, size, written);
    case WHvProcessorCounterSetSyntheticFeatures:
        return give_counters(cpu, COUNT_SYNTHETIC, COUNTERS - COUNT_SYNTHETIC, buffer, size, written);
    default: return fail(WHV_E_UNKNOWN_PROPERTY, "CounterSet: there is no %#x", set);
    }
}

HRESULT WINAPI WHvGetVirtualProcessorCounters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                              WHV_PROCESSOR_COUNTER_SET CounterSet, VOID *Buffer,
                                              UINT32 BufferSizeInBytes, UINT32 *BytesWritten)
{
    struct reading r;
    HRESULT hr = vcpu_read_begin(Partition, VpIndex, &r);

    if (FAILED(hr))
        return hr;
    hr = give_set(r.cpu, (u32)CounterSet, Buffer, BufferSizeInBytes, BytesWritten);
    vcpu_read_end(&r);
    return hr;
}
