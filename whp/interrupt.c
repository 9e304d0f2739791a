/* SPDX-License-Identifier: MIT */
/* Interrupts from outside, and the state of a processor's local APIC. Reference 5.1, 7.2. */
#include "whp/interrupt.h"

#include "cpu/apic.h"
#include "whp/handle.h"
#include "whp/level.h"

static HRESULT no_apic(void)
{
    return fail(HV_OPERATION_DENIED, "Partition: it emulates no local APIC");
}

/* ---- messages ---- */

/* Processors that exist, kept from being deleted until unpin_all(). */
struct pinned {
    struct vcpu *cpu[MAX_PROCESSORS];
    u32 n;
};

static void pin_all(WHV_PARTITION_HANDLE handle, const struct partition *p, struct pinned *all)
{
    all->n = p->processors;
    for (u32 i = 0; i < all->n; i++)
        if (!__atomic_load_n(&p->doors[i].state, __ATOMIC_SEQ_CST) || FAILED(vcpu_pin(handle, i, &all->cpu[i])))
            all->cpu[i] = NULL;
}

static void unpin_all(WHV_PARTITION_HANDLE handle, const struct pinned *all)
{
    for (u32 i = 0; i < all->n; i++)
        if (all->cpu[i])
            vcpu_unpin(handle, i);
}

static HRESULT check_control(const WHV_INTERRUPT_CONTROL *c)
{
    switch (c->Type) {
    case WHvX64InterruptTypeFixed:
    case WHvX64InterruptTypeLowestPriority:
    case WHvX64InterruptTypeSipi:
        if (c->Vector > 255)
            return fail(E_INVALIDARG, "Interrupt: Vector %#x is above 255", c->Vector);
        break;
    case WHvX64InterruptTypeNmi:
    case WHvX64InterruptTypeInit:
    case WHvX64InterruptTypeLocalInt1: break;
    default: return fail(E_INVALIDARG, "Interrupt: there is no Type %u", (u32)c->Type);
    }
    if (c->DestinationMode > WHvX64InterruptDestinationModeLogical)
        return fail(E_INVALIDARG, "Interrupt: there is no DestinationMode %u", (u32)c->DestinationMode);
    if (c->TriggerMode > WHvX64InterruptTriggerModeLevel)
        return fail(E_INVALIDARG, "Interrupt: there is no TriggerMode %u", (u32)c->TriggerMode);
    if (c->TargetVtl || c->Reserved)
        return fail(E_INVALIDARG, "Interrupt: TargetVtl and reserved bits must be zero");
    return S_OK;
}

HRESULT WINAPI WHvRequestInterrupt(WHV_PARTITION_HANDLE Partition, const WHV_INTERRUPT_CONTROL *Interrupt,
                                   UINT32 InterruptControlSize)
{
    WHV_INTERRUPT_CONTROL c;
    struct partition *p;

    if (!Interrupt)
        return fail(E_POINTER, "Interrupt is NULL");
    if (InterruptControlSize != sizeof c)
        return fail(E_INVALIDARG, "InterruptControlSize: %u, not %u", InterruptControlSize, (u32)sizeof c);

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    memcpy(&c, Interrupt, sizeof c);
    if (!__atomic_load_n(&p->is_set_up, __ATOMIC_RELAXED))
        hr = fail(HV_INVALID_PARTITION_STATE, "Partition: not set up");
    else
        hr = p->apic_mode ? check_control(&c) : no_apic();
    if (SUCCEEDED(hr)) { /* where nobody is addressed, it is lost as on the bus */
        struct apic_message m = { .delivery = (u8)c.Type,
                                  .vector = (u8)c.Vector,
                                  .is_level = c.TriggerMode == WHvX64InterruptTriggerModeLevel,
                                  .is_logical = c.DestinationMode == WHvX64InterruptDestinationModeLogical,
                                  .destination = c.Destination,
                                  .broadcast = 0xffffffff };
        struct pinned all;

        pin_all(Partition, p, &all);
        apic_send(all.cpu, all.n, &m);
        unpin_all(Partition, &all);
    }
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvGetInterruptTargetVpSet(WHV_PARTITION_HANDLE Partition, UINT64 Destination,
                                          WHV_INTERRUPT_DESTINATION_MODE DestinationMode, UINT32 *TargetVps,
                                          UINT32 VpCount, UINT32 *TargetVpCount)
{
    struct partition *p;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!TargetVpCount || (VpCount && !TargetVps))
        return fail(E_POINTER, "TargetVps or TargetVpCount is NULL");
    if ((u32)DestinationMode > WHvX64InterruptDestinationModeLogical)
        return fail(E_INVALIDARG, "DestinationMode: there is no %u", (u32)DestinationMode);

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (!__atomic_load_n(&p->is_set_up, __ATOMIC_RELAXED)) {
        hr = fail(HV_INVALID_PARTITION_STATE, "Partition: not set up");
    } else if (!p->apic_mode) {
        hr = no_apic();
    } else if (Destination >> 32) {
        hr = fail(E_INVALIDARG, "Destination: an APIC ID has 32 bits");
    } else {
        struct apic_message m = { .is_logical = DestinationMode == WHvX64InterruptDestinationModeLogical,
                                  .destination = (u32)Destination,
                                  .broadcast = 0xffffffff };
        struct pinned all;
        u32 found[MAX_PROCESSORS], n = 0;

        pin_all(Partition, p, &all);
        for (u32 i = 0; i < all.n; i++)
            if (all.cpu[i] && apic_matches(all.cpu[i], &m))
                found[n++] = i;
        unpin_all(Partition, &all);
        if (n > VpCount) {
            hr = fail(E_INVALIDARG, "VpCount: room for %u, the targets are %u", VpCount, n);
        } else {
            *TargetVpCount = n;
            if (n)
                memcpy(TargetVps, found, n * sizeof *found);
        }
    }
    partition_leave(Partition);
    return hr;
}

/* ---- state ---- */

/* What the registers don't tell stands behind them, so that a restored processor goes on to the tick. */
struct beyond {
    u32 magic, signals, errors, reserved;
    u64 phase, deadline;
};
enum {
    BEYOND_AT = 0x800,
    BEYOND_MAGIC = 0x31434150, /* "PAC1" */
    SMALLEST = 993             /* what a Windows was seen to give: up to the divider's low byte */
};

static HRESULT state_get(struct vcpu *cpu, void *state, u32 size, u32 *written)
{
    u8 page[INTERRUPT_STATE_SIZE] = { 0 };
    struct beyond beyond = { .magic = BEYOND_MAGIC };

    if (!cpu->apic)
        return no_apic();

    bool is_held = counts_hold(cpu->partition);

    apic_catch_up(cpu);
    for (unsigned n = 0; n < APIC_REGISTERS; n++)
        store_bytes(page + n * 16, apic_read(cpu, n), 4);
    beyond.signals = __atomic_load_n(&cpu->apic->signals, __ATOMIC_SEQ_CST);
    beyond.errors = __atomic_load_n(&cpu->apic->errors, __ATOMIC_SEQ_CST);
    beyond.phase = apic_timer_phase(cpu);
    beyond.deadline = cpu->apic->timer.deadline;
    counts_release(cpu->partition, is_held);
    memcpy(page + BEYOND_AT, &beyond, sizeof beyond);
    return give(state, size, written, page, sizeof page);
}

static HRESULT state_set(struct vcpu *cpu, const void *state, u32 size, bool is_exact)
{
    u8 page[INTERRUPT_STATE_SIZE] = { 0 };
    struct beyond beyond;
    static const u8 first[] = { APIC_SVR, APIC_ID, APIC_TPR, APIC_LDR, APIC_DFR, APIC_ESR };

    if (!cpu->apic)
        return no_apic();
    if (is_exact && size != INTERRUPT_STATE_SIZE)
        return fail(E_INVALIDARG, "BufferSizeInBytes: %u, the state has %u", size, INTERRUPT_STATE_SIZE);
    if (size < SMALLEST)
        return fail(E_POINTER, "StateSize: %u, the registers have %u", size, SMALLEST);
    memcpy(page, state, size < sizeof page ? size : sizeof page);
    memcpy(&beyond, page + BEYOND_AT, sizeof beyond);
    if (beyond.magic != BEYOND_MAGIC)
        beyond = (struct beyond){ 0 };

    bool is_held = counts_hold(cpu->partition);

#define REGISTER(n) load_bytes(page + (n)*16, 4)
    for (unsigned i = 0; i < sizeof first; i++) /* SVR decides which local vectors may be unmasked */
        apic_put(cpu, first[i], REGISTER(first[i]));
    apic_put(cpu, APIC_ICR, REGISTER(APIC_ICR));
    apic_put(cpu, APIC_ICR_HIGH, REGISTER(APIC_ICR_HIGH));
    for (unsigned n = APIC_ISR; n < APIC_ESR; n++)
        apic_put(cpu, n, REGISTER(n));
    for (unsigned n = APIC_LVT_TIMER; n <= APIC_LVT_ERROR; n++)
        apic_put(cpu, n, REGISTER(n));
    apic_put(cpu, APIC_DIVIDE, REGISTER(APIC_DIVIDE));
    apic_put(cpu, APIC_INITIAL_COUNT, REGISTER(APIC_INITIAL_COUNT));
    apic_timer_resume(cpu, (u32)REGISTER(APIC_CURRENT_COUNT), beyond.phase);
#undef REGISTER
    apic_set_deadline(cpu, beyond.deadline);
    __atomic_store_n(&cpu->apic->signals, beyond.signals & SIGNALS_ALL, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->apic->errors, beyond.errors & 0xff, __ATOMIC_SEQ_CST);
    counts_release(cpu->partition, is_held);
    return S_OK;
}

static HRESULT interrupt_state_get(WHV_PARTITION_HANDLE handle, u32 index, void *state, u32 size, u32 *written)
{
    struct reading r;
    HRESULT hr = vcpu_read_begin(handle, index, &r);

    if (FAILED(hr))
        return hr;
    hr = state_get(r.cpu, state, size, written);
    vcpu_read_end(&r);
    return hr;
}

HRESULT WINAPI WHvGetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                               VOID *State, UINT32 StateSize,
                                                               UINT32 *WrittenSize)
{
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    return interrupt_state_get(Partition, VpIndex, State, StateSize, WrittenSize);
}

HRESULT interrupt_state_set(WHV_PARTITION_HANDLE Partition, u32 VpIndex, const void *State, u32 StateSize,
                            bool is_exact)
{
    struct vcpu *cpu;

    if (!State)
        return fail(E_POINTER, "State is NULL");

    HRESULT hr = vcpu_enter(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    hr = state_set(cpu, State, StateSize, is_exact);
    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                               const VOID *State, UINT32 StateSize)
{
    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    return interrupt_state_set(Partition, VpIndex, State, StateSize, false);
}

/* The older calls, whose one known user reads the same page. Reference 11, row 5. */

HRESULT WINAPI WHvGetVirtualProcessorInterruptControllerState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                              VOID *State, UINT32 StateSize,
                                                              UINT32 *WrittenSize)
{
    return interrupt_state_get(Partition, VpIndex, State, StateSize, WrittenSize);
}

HRESULT WINAPI WHvSetVirtualProcessorInterruptControllerState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                              const VOID *State, UINT32 StateSize)
{
    return interrupt_state_set(Partition, VpIndex, State, StateSize, false);
}
