/* SPDX-License-Identifier: MIT */
/* Creating, running, cancelling and deleting virtual processors. */
#include "whp/processor.h"

#include "whp/level.h"

#include "cpu/apic.h"
#include "cpu/fp.h"
#include "cpu/run.h"
#include "cpu/synthetic.h"
#include "decoder/block.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/clock.h"
#include "state/host.h"
#include "state/profile.h"
#include "whp/partition.h"
#include "whp/trace.h"

/* ---- creating and deleting ---- */

static HRESULT fail_inside(void)
{
    return fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
}

static void processor_free(struct vcpu *cpu)
{
    if (cpu->synic)
        host_free(cpu->synic->pages, (size_t)SYNIC_PAGES * PAGE_SIZE);
    host_free(cpu->explain, EXPLAIN_SIZE);
    host_free(cpu, sizeof *cpu);
}

static struct vcpu *processor_new(struct partition *p, u32 index)
{
    struct vcpu *cpu = host_alloc(sizeof *cpu);

    if (!cpu)
        return NULL;
    cpu->partition = p;
    cpu->index = index;
    cpu->explain = host_alloc(EXPLAIN_SIZE);
    if (p->apic_mode && p->synthetic.has >> SYNTHETIC_HV1 & 1) {
        cpu->synic = &cpu->synthetic_interrupts;
        cpu->synic->pages = host_alloc((size_t)SYNIC_PAGES * PAGE_SIZE);
    }
    if (!cpu->explain || (cpu->synic && !cpu->synic->pages) || !code_init(cpu)) {
        processor_free(cpu);
        return NULL;
    }
    tlb_init(cpu);
    if (p->apic_mode) {
        cpu->apic = &cpu->local_apic;
        cpu->apic_access = apic_access;
    }
    vcpu_reset(cpu);
    cpu->be_exact = fp_sync;
    cpu->attention |= ATTENTION_TLB; /* of the map it knows nothing yet */
    return cpu;
}

void processor_close(struct door *door)
{
    __atomic_store_n(&door->state, DOOR_CLOSING, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&door->pins, __ATOMIC_SEQ_CST))
        host_yield(); /* a cancel, say, that we overtook */
}

void processor_delete(struct partition *p, u32 index)
{
    struct vcpu *cpu = p->doors[index].cpu;

    synthetic_uncover(cpu);
    p->advanced += cpu->count;
    if (p->turns.whose == index)
        p->turns.rest = 0;
    p->cpu[index] = NULL;
    p->doors[index].cpu = NULL;
    __atomic_fetch_sub(&p->created, 1, __ATOMIC_SEQ_CST);
    code_free(cpu);
    processor_free(cpu);
    __atomic_store_n(&p->doors[index].state, 0, __ATOMIC_SEQ_CST);
}

static HRESULT create(WHV_PARTITION_HANDLE handle, struct partition *p, u32 index)
{
    if (!p->is_set_up)
        return fail(HV_INVALID_PARTITION_STATE,
                    "Partition: not set up; WHvSetupPartition comes before its processors");
    if (index >= p->processors)
        return fail(E_INVALIDARG, "VpIndex: %u, but ProcessorCount is %u", index, p->processors);
    if (__atomic_load_n(&p->doors[index].state, __ATOMIC_SEQ_CST))
        return fail(WHV_E_VP_ALREADY_EXISTS, "VpIndex: processor %u exists", index);

    struct vcpu *cpu = processor_new(p, index);

    if (!cpu)
        return fail(E_OUTOFMEMORY, "no memory for processor %u", index);
    p->doors[index].cpu = p->cpu[index] = cpu;
    synthetic_settle_tsc(p); /* one more TSC */
    __atomic_fetch_add(&p->created, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&p->doors[index].state, handle_number(handle), __ATOMIC_SEQ_CST);
    return S_OK;
}

static HRESULT create_new(WHV_PARTITION_HANDLE handle, u32 index)
{
    struct partition *p;
    HRESULT hr = partition_enter(handle, &p);

    if (FAILED(hr))
        return hr;
    if (meet_begin(p)) { /* running processors look at each other's counts */
        hr = create(handle, p, index);
        meet_end(p);
    } else {
        hr = fail_inside();
    }
    partition_leave(handle);
    return hr;
}

HRESULT WINAPI WHvCreateVirtualProcessor2(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                          const WHV_VIRTUAL_PROCESSOR_PROPERTY *Properties,
                                          UINT32 PropertyCount)
{
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    if (PropertyCount && !Properties)
        return fail(E_POINTER, "Properties is NULL");
    for (u32 i = 0; i < PropertyCount; i++) {
        if (Properties[i].PropertyCode != WHvVirtualProcessorPropertyCodeNumaNode)
            return fail(E_INVALIDARG, "Properties[%u]: there is no property %u", i,
                        (u32)Properties[i].PropertyCode);
        if (Properties[i].NumaNode)
            return fail(E_INVALIDARG, "Properties[%u]: there is no NUMA node %u, only 0", i,
                        Properties[i].NumaNode);
    }

    return create_new(Partition, VpIndex);
}

HRESULT WINAPI WHvCreateVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Flags)
{
    if (Flags)
        return fail(E_INVALIDARG, "Flags: %#x, must be 0", Flags);
    return create_new(Partition, VpIndex);
}

HRESULT WINAPI WHvDeleteVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex)
{
    struct partition *p;
    struct vcpu *cpu;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = meet_is_inside(p) ? fail_inside() : vcpu_enter(Partition, VpIndex, &cpu);
    if (SUCCEEDED(hr)) {
        struct door *door = handle_door(Partition, VpIndex);

        processor_close(door);
        meet_begin(p);
        processor_delete(p, VpIndex);
        meet_end(p);
    }
    partition_leave(Partition);
    return hr;
}

/* ---- running ---- */

/*
 * Whoever writes CR3 may write the tables after it, so PDPTEs are read as late as they can be. Entries that
 * can't be read are not present: a Set has no way to leave with a memory exit.
 */
u64 processor_pdpte(const struct vcpu *cpu, unsigned i)
{
    u64 gpa = (cpu->cr3 & 0xffffffe0) + i * 8, page;

    if (!(cpu->cr0 & CR0_PG) || !(cpu->cr4 & CR4_PAE) || (cpu->efer & EFER_LMA))
        return cpu->pdpte[i];
    page = ram_find(cpu->partition->ram, gpa);
    return page & PAGE_READ ? load_bytes((const u8 *)(page & PAGE_MASK) + (gpa & ~PAGE_MASK), 8) : 0;
}

void processor_load_pdptes(struct vcpu *cpu)
{
    cpu->load_pdptes = false;
    for (unsigned i = 0; i < 4; i++)
        cpu->pdpte[i] = processor_pdpte(cpu, i);
}

/* A meeting is held: steps back until it is over. */
static COLD void step_back(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu *cpu)
{
    struct door *door = handle_door(handle, index);

    __atomic_fetch_add(&door->pins, 1, __ATOMIC_SEQ_CST);
    vcpu_leave_door(handle, index);
    meet_wait(cpu->partition);
    vcpu_unpin(handle, index);
}

/* Whatever is rarely due before a Run. S_FALSE: the exit's context is to be an old one. */
static COLD HRESULT prepare(struct vcpu *cpu, bool is_exclusive)
{
    struct partition *p = cpu->partition;

    if (is_exclusive) {
        u32 other = p->processors;

        for (u32 i = 0; i < p->processors; i++) {
            if (i != cpu->index &&
                (__atomic_load_n(&p->doors[i].state, __ATOMIC_SEQ_CST) & DOOR_STATE) == DOOR_RUNNING)
                other = i;
        }
        if (other < p->processors)
            return fail(WHV_E_INVALID_VP_STATE,
                        "VpIndex: processor %u runs (or sleeps inside Run), and with the virtual clock they run one "
                        "at a time; use SwhpRunPartition to run several",
                        other);
    }
    if (__atomic_load_n(&p->is_suspended, __ATOMIC_ACQUIRE))
        partition_resume_time(p);
    if (cpu->load_pdptes)
        processor_load_pdptes(cpu);
    return level_has_old_context(p) ? S_FALSE : S_OK;
}

static COLD HRESULT enter_to_run(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu **cpu)
{
    for (;;) {
        HRESULT hr = vcpu_enter_slow(handle, index, DOOR_RUNNING, cpu);

        if (FAILED(hr) || !__atomic_load_n(&(*cpu)->partition->meeting, __ATOMIC_SEQ_CST))
            return hr;
        step_back(handle, index, *cpu);
    }
}

/* context: whole and aligned. */
INLINE HRESULT run(WHV_PARTITION_HANDLE handle, u32 index, u64 until, WHV_RUN_VP_EXIT_CONTEXT *context)
{
    struct vcpu *cpu;
    HRESULT hr = S_OK;

    if (unlikely(!vcpu_try_enter(handle, index, DOOR_RUNNING, &cpu))) {
        hr = enter_to_run(handle, index, &cpu);
    } else if (unlikely(__atomic_load_n(&cpu->partition->meeting, __ATOMIC_SEQ_CST))) {
        step_back(handle, index, cpu);
        hr = enter_to_run(handle, index, &cpu);
    }
    if (unlikely(FAILED(hr)))
        return hr;

    struct partition *p = cpu->partition;
    struct door *door = handle_door(handle, index);
    bool is_exclusive = p->clock == SwhpClockVirtual && __atomic_load_n(&p->created, __ATOMIC_RELAXED) > 1;

    __atomic_store_n(&door->thread, thread_mark(), __ATOMIC_RELAXED);
    if (unlikely(is_exclusive || __atomic_load_n(&p->is_special, __ATOMIC_ACQUIRE) || cpu->load_pdptes))
        hr = prepare(cpu, is_exclusive);
    if (likely(SUCCEEDED(hr))) {
        u8 behind[CONTEXT_SIZE - CONTEXT_SIZE_OLD];

        if (unlikely(hr == S_FALSE))
            memcpy(behind, (char *)context + CONTEXT_SIZE_OLD, sizeof behind);
        cpu->exit = context;
        cpu->until = until;
        if (unlikely(cpu->is_timed))
            cpu->ran_since = host_nanoseconds();
        __atomic_store_n(&cpu->is_running, 1, __ATOMIC_RELAXED);
        vcpu_run(cpu);
        if (unlikely(cpu->is_timed))
            cpu->ran += host_nanoseconds() - cpu->ran_since;
        if (unlikely(p->trace != NULL))
            trace_exit(cpu);
        __atomic_store_n(&cpu->is_running, 0, __ATOMIC_RELAXED);
        if (unlikely(hr == S_FALSE)) {
            memcpy((char *)context + CONTEXT_SIZE_OLD, behind, sizeof behind);
            hr = S_OK;
        }
    }
    __atomic_store_n(&door->thread, NULL, __ATOMIC_RELAXED);
    vcpu_leave_door(handle, index);
    return hr;
}

HRESULT context_check(const void *context, u32 size)
{
    if (size < CONTEXT_SIZE_OLD)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "ExitContextSizeInBytes: %u, at least %u", size,
                    CONTEXT_SIZE_OLD);
    return context ? S_OK : fail(E_POINTER, "ExitContext is NULL");
}

/* A context of an older SDK, or not aligned. */
static COLD HRESULT run_aside(WHV_PARTITION_HANDLE handle, u32 index, u64 until, void *context, u32 size)
{
    WHV_RUN_VP_EXIT_CONTEXT own;

    HRESULT hr = context_check(context, size);

    if (FAILED(hr))
        return hr;
    hr = run(handle, index, until, &own);
    if (SUCCEEDED(hr))
        memcpy(context, &own, size < CONTEXT_SIZE ? size : CONTEXT_SIZE);
    return hr;
}

HRESULT WINAPI WHvRunVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, VOID *ExitContext,
                                      UINT32 ExitContextSizeInBytes)
{
    if (unlikely(!context_fits(ExitContext, ExitContextSizeInBytes)))
        return run_aside(Partition, VpIndex, ~(u64)0, ExitContext, ExitContextSizeInBytes);
    return run(Partition, VpIndex, ~(u64)0, ExitContext);
}

HRESULT WINAPI SwhpRunVirtualProcessorUntil(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT64 Count,
                                            VOID *ExitContext, UINT32 ExitContextSizeInBytes)
{
    if (unlikely(!context_fits(ExitContext, ExitContextSizeInBytes)))
        return run_aside(Partition, VpIndex, Count, ExitContext, ExitContextSizeInBytes);
    return run(Partition, VpIndex, Count, ExitContext);
}

HRESULT WINAPI WHvCancelRunVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Flags)
{
    struct vcpu *cpu;

    if (Flags)
        return fail(E_INVALIDARG, "Flags: %#x, must be 0", Flags);

    HRESULT hr = vcpu_pin(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    vcpu_call(cpu, ATTENTION_CANCEL);
    vcpu_unpin(Partition, VpIndex);
    return S_OK;
}

HRESULT WINAPI SwhpSetIgnne(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, BOOL Asserted)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    cpu->ignne = Asserted && (cpu->x87.fsw & 0x80);
    vcpu_leave_door(Partition, VpIndex);
    return S_OK;
}

/* ---- looking ---- */

HRESULT WINAPI SwhpGetInstructionCount(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT64 *Count)
{
    struct reading r;

    if (!Count)
        return fail(E_POINTER, "Count is NULL");

    HRESULT hr = vcpu_read_begin(Partition, VpIndex, &r);

    if (FAILED(hr))
        return hr;
    *Count = r.cpu->count;
    vcpu_read_end(&r);
    return S_OK;
}

HRESULT WINAPI SwhpExplainLastExit(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, char *Text, UINT32 Size,
                                   UINT32 *Written)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = give_text(Text, Size, Written, cpu->explain);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvGetVirtualProcessorCpuidOutput(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Eax,
                                                 UINT32 Ecx, WHV_CPUID_OUTPUT *CpuidOutput)
{
    struct reading r;
    u32 out[4];

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!CpuidOutput)
        return fail(E_POINTER, "CpuidOutput is NULL");

    HRESULT hr = vcpu_read_begin(Partition, VpIndex, &r);

    if (FAILED(hr))
        return hr;
    profile_cpuid(r.cpu, Eax, Ecx, out);
    vcpu_read_end(&r);
    *CpuidOutput = (WHV_CPUID_OUTPUT){ .Eax = out[0], .Ebx = out[1], .Ecx = out[2], .Edx = out[3] };
    return S_OK;
}
