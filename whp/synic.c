/* SPDX-License-Identifier: MIT */
/* Messages and events from outside, and the state of the synthetic interrupt controller. Reference 1.5, 7.4. */
#include "whp/synic.h"

#include "cpu/synthetic.h"
#include "state/clock.h"
#include "whp/handle.h"
#include "whp/level.h"

/* ---- messages and events, while the processor runs or not ---- */

static bool has_synic(const struct vcpu *cpu)
{
    return cpu->synic && synthetic_has(cpu->partition, SYNTHETIC_SYNIC);
}

static HRESULT is_off(void)
{
    return fail(HV_INVALID_SYNIC_STATE, "VpIndex: its guest hasn't enabled the SynIC, the page or the source");
}

HRESULT WINAPI WHvPostVirtualProcessorSynicMessage(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 SintIndex,
                                                   const VOID *Message, UINT32 MessageSizeInBytes)
{
    enum { HEADER = 16 };
    u8 message[WHV_SYNIC_MESSAGE_SIZE];
    struct vcpu *cpu;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!Message)
        return fail(E_POINTER, "Message is NULL");
    if (SintIndex >= SYNIC_SOURCES)
        return fail(E_INVALIDARG, "SintIndex: %u, 0 to 15", SintIndex);
    if (MessageSizeInBytes < HEADER || MessageSizeInBytes > sizeof message)
        return fail(E_INVALIDARG, "MessageSizeInBytes: %u, a header of 16 to 256", MessageSizeInBytes);
    memcpy(message, Message, MessageSizeInBytes);
    if (!load_bytes(message, 4))
        return fail(HV_INVALID_PARAMETER, "Message: its type is 0, which is that of an empty slot");

    HRESULT hr = vcpu_pin(Partition, VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    if (!has_synic(cpu)) {
        hr = is_off();
    } else {
        switch (synic_post(cpu, SintIndex, message, MessageSizeInBytes)) {
        case SYNIC_DONE: break;
        case SYNIC_OFF: hr = is_off(); break;
        case SYNIC_BUSY:
            hr = fail(HV_OBJECT_IN_USE, "SintIndex: the slot of source %u holds a message; the Sint bits of "
                                        "DeliverabilityNotifications ask for an exit when it doesn't", SintIndex);
            break;
        }
    }
    vcpu_unpin(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSignalVirtualProcessorSynicEvent(WHV_PARTITION_HANDLE Partition,
                                                   WHV_SYNIC_EVENT_PARAMETERS SynicEvent, BOOL *NewlySignaled)
{
    struct vcpu *cpu;
    bool is_new = false;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (SynicEvent.TargetVtl)
        return fail(E_INVALIDARG, "SynicEvent: TargetVtl must be 0");
    if (SynicEvent.TargetSint >= SYNIC_SOURCES || SynicEvent.FlagNumber >= SYNIC_FLAGS)
        return fail(E_INVALIDARG, "SynicEvent: there are 16 sources of 2048 flags");

    HRESULT hr = vcpu_pin(Partition, SynicEvent.VpIndex, &cpu);

    if (FAILED(hr))
        return hr;
    if (!has_synic(cpu) || synic_signal(cpu, SynicEvent.TargetSint, SynicEvent.FlagNumber, &is_new) == SYNIC_OFF)
        hr = is_off();
    vcpu_unpin(Partition, SynicEvent.VpIndex);
    if (SUCCEEDED(hr) && NewlySignaled)
        *NewlySignaled = is_new;
    return hr;
}

/* ---- state ---- */

/* The hypervisor's structure, as the one known client of it declares it. */
struct timer_state {
    u32 is_queued, reserved;
    u64 config, count;
    u64 adjustment; /* of a periodic timer: how long until it expires */
    u64 expired;
};
struct timers_state {
    struct timer_state timer[SYNIC_TIMERS];
    u64 reserved[5];
};
_Static_assert(sizeof(struct timers_state) == 200, "the layout of the state");

static HRESULT no_state(u32 kind)
{
    return fail(HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED), "StateType: %#x comes with the feature AccessSynicRegs", kind);
}

static enum synic_page page_of(u32 kind)
{
    return kind == WHvVirtualProcessorStateTypeSynicMessagePage ? PAGE_MESSAGES : PAGE_EVENTS;
}

static HRESULT timers_get(struct vcpu *cpu, void *buffer, u32 size, u32 *written)
{
    struct timers_state state = { 0 };
    u64 now = clock_reference_time(cpu->partition);

    synic_catch_up(cpu);
    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        const struct synic_timer *t = &cpu->synic->timer[i];
        bool counts = t->is_armed && t->config & STIMER_PERIODIC;

        state.timer[i] = (struct timer_state){ .is_queued = t->is_queued,
                                               .config = t->config,
                                               .count = t->count,
                                               .adjustment = counts && t->due > now ? t->due - now : 0,
                                               .expired = t->is_queued ? t->expired : 0 };
    }
    return give(buffer, size, written, &state, sizeof state);
}

static HRESULT timers_set(struct vcpu *cpu, const void *buffer)
{
    struct timers_state state;
    struct synic_timer timer[SYNIC_TIMERS];
    u64 now = clock_reference_time(cpu->partition);

    memcpy(&state, buffer, sizeof state);
    for (unsigned i = 0; i < SYNIC_TIMERS; i++)
        if (!synic_timer_may_be(cpu->partition, state.timer[i].config) || state.timer[i].is_queued > 1)
            return fail(E_INVALIDARG, "Buffer: timer %u has reserved bits set", i);
    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        const struct timer_state *from = &state.timer[i];
        struct synic_timer *t = &timer[i];

        *t = (struct synic_timer){ .count = from->count,
                                   .is_queued = from->is_queued,
                                   .source = from->config >> 16 & 15,
                                   .expired = from->expired };
        synic_timer_configure(t, from->config, now);
        if (t->is_armed && t->config & STIMER_PERIODIC && from->adjustment && from->adjustment <= t->count)
            t->due = now + from->adjustment;
    }
    synic_catch_up(cpu); /* what is replaced may have expired, unseen */
    synic_set_timers(cpu, timer);
    return S_OK;
}

HRESULT synic_state_get(WHV_PARTITION_HANDLE handle, u32 index, u32 kind, void *buffer, u32 size, u32 *written)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(handle, index, &cpu);

    if (FAILED(hr))
        return hr;
    if (!has_synic(cpu)) {
        hr = no_state(kind);
    } else if (kind == WHvVirtualProcessorStateTypeSynicTimerState) {
        bool is_held = counts_hold(cpu->partition);

        hr = timers_get(cpu, buffer, size, written);
        counts_release(cpu->partition, is_held);
    } else {
        u8 page[PAGE_SIZE];

        synic_page_get(cpu, page_of(kind), page);
        hr = give(buffer, size, written, page, sizeof page);
    }
    vcpu_leave_door(handle, index);
    return hr;
}

HRESULT synic_state_set(WHV_PARTITION_HANDLE handle, u32 index, u32 kind, const void *buffer, u32 size)
{
    u32 natural = kind == WHvVirtualProcessorStateTypeSynicTimerState ? sizeof(struct timers_state) : PAGE_SIZE;
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(handle, index, &cpu);

    if (FAILED(hr))
        return hr;
    if (!has_synic(cpu)) {
        hr = no_state(kind);
    } else if (!buffer) {
        hr = fail(E_POINTER, "Buffer is NULL");
    } else if (size != natural) {
        hr = fail(E_INVALIDARG, "BufferSizeInBytes: %u, the state has %u", size, natural);
    } else if (kind == WHvVirtualProcessorStateTypeSynicTimerState) {
        bool is_held = counts_hold(cpu->partition);

        hr = timers_set(cpu, buffer);
        counts_release(cpu->partition, is_held);
    } else {
        synic_page_set(cpu, page_of(kind), buffer);
    }
    vcpu_leave_door(handle, index);
    return hr;
}
