/* SPDX-License-Identifier: MIT */
/* The table of live handles: the one thing in the library that all partitions share. */
#include "whp/handle.h"

struct slot {
    u64 state; /* atomic; the handle, 0: free */
    u64 pins;  /* atomic: calls inside */
    struct partition *p;
    u32 level; /* atomic: p->api_level, for those who don't come in */
};
enum { RETIRING = 1 }; /* in slot.state: a delete is under way */

struct door handle_doors[HANDLES][MAX_PROCESSORS];
static struct slot slots[HANDLES];
static struct host_lock table_lock;
static u64 serial;

static struct slot *slot_of(WHV_PARTITION_HANDLE handle)
{
    return &slots[handle_number(handle) >> 4 & (HANDLES - 1)];
}

static HRESULT no_such_handle(WHV_PARTITION_HANDLE handle)
{
    return fail(E_INVALIDARG,
                handle ? "Partition: %p is no live partition; it may have been deleted"
                       : "Partition: the handle is NULL (%p)",
                handle);
}

/* Whoever pins looks at the state after that, whoever retires looks at the pins after changing the state. */
HRESULT partition_enter(WHV_PARTITION_HANDLE handle, struct partition **p)
{
    struct slot *slot = slot_of(handle);

    __atomic_fetch_add(&slot->pins, 1, __ATOMIC_SEQ_CST);
    if (!handle || __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) != handle_number(handle)) {
        __atomic_fetch_sub(&slot->pins, 1, __ATOMIC_SEQ_CST);
        return no_such_handle(handle);
    }
    *p = slot->p;
    return S_OK;
}

void partition_leave(WHV_PARTITION_HANDLE handle)
{
    __atomic_fetch_sub(&slot_of(handle)->pins, 1, __ATOMIC_SEQ_CST);
}

/* A handle's slot has its level before it has the handle, and no other handle's after that. */
u32 handle_level(WHV_PARTITION_HANDLE handle)
{
    struct slot *slot = slot_of(handle);
    u32 level = __atomic_load_n(&slot->level, __ATOMIC_SEQ_CST);

    return handle && __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == handle_number(handle) ? level : ~(u32)0;
}

void handle_set_level(const struct partition *p)
{
    size_t n = (size_t)(p->doors - handle_doors[0]) / MAX_PROCESSORS;

    __atomic_store_n(&slots[n].level, p->api_level, __ATOMIC_SEQ_CST);
}

WHV_PARTITION_HANDLE handle_new(struct partition *p)
{
    u64 number = 0;

    host_lock(&table_lock);
    for (unsigned i = 0; i < HANDLES && !number; i++) {
        unsigned n = (unsigned)(serial + 1 + i) % HANDLES;

        if (__atomic_load_n(&slots[n].state, __ATOMIC_SEQ_CST))
            continue;
        number = ++serial << 16 | (u64)n << 4;
        slots[n].p = p;
        p->doors = handle_doors[n];
        handle_set_level(p);
        __atomic_store_n(&slots[n].state, number, __ATOMIC_SEQ_CST);
    }
    host_unlock(&table_lock);
    return (WHV_PARTITION_HANDLE)(uintptr_t)number;
}

HRESULT handle_retire(WHV_PARTITION_HANDLE handle, struct partition **p)
{
    struct slot *slot = slot_of(handle);
    u64 number = handle_number(handle);
    HRESULT hr = partition_enter(handle, p);

    if (FAILED(hr))
        return hr;
    if (!__atomic_compare_exchange_n(&slot->state, &number, number | RETIRING, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST)) {
        partition_leave(handle);
        return no_such_handle(handle);
    }
    u64 held;

    hr = partition_stop(handle, *p, &held); /* early: a delete that fails keeps nobody out for long */
    if (SUCCEEDED(hr)) {
        partition_go(handle, held);
        while (__atomic_load_n(&slot->pins, __ATOMIC_SEQ_CST) > 1)
            host_yield();
        hr = partition_stop(handle, *p, &held); /* with those that were created meanwhile */
    }
    if (FAILED(hr))
        __atomic_store_n(&slot->state, handle_number(handle), __ATOMIC_SEQ_CST);
    partition_leave(handle);
    return hr;
}

void handle_free(WHV_PARTITION_HANDLE handle)
{
    struct slot *slot = slot_of(handle);

    slot->p = NULL;
    __atomic_store_n(&slot->state, 0, __ATOMIC_SEQ_CST);
}

static HRESULT no_such_processor(WHV_PARTITION_HANDLE handle, u32 index)
{
    if (!handle || __atomic_load_n(&slot_of(handle)->state, __ATOMIC_SEQ_CST) != handle_number(handle))
        return no_such_handle(handle);
    return fail(WHV_E_VP_DOES_NOT_EXIST,
                "VpIndex: the partition has no processor %u; WHvCreateVirtualProcessor makes it", index);
}

/*
 * Somebody is busy with a processor, and may hold a meeting meanwhile. Whoever asks from a callback has his own
 * processor stand still for that: else the two would wait for each other.
 */
static void wait_for_door(WHV_PARTITION_HANDLE handle)
{
    for (u32 i = 0; i < MAX_PROCESSORS; i++) {
        const struct door *door = handle_door(handle, i);

        if (__atomic_load_n(&door->thread, __ATOMIC_RELAXED) == thread_mark() &&
            __atomic_load_n(&door->state, __ATOMIC_SEQ_CST) == (handle_number(handle) | DOOR_RUNNING) &&
            __atomic_load_n(&door->cpu->partition->meeting, __ATOMIC_SEQ_CST))
            meet_stand(door->cpu);
    }
    host_yield();
}

HRESULT vcpu_enter_slow(WHV_PARTITION_HANDLE handle, u32 index, enum door_state as, struct vcpu **cpu)
{
    u64 number = handle_number(handle);

    if (index >= MAX_PROCESSORS || !number || number & DOOR_STATE)
        return no_such_processor(handle, index);

    struct door *door = handle_door(handle, index);

    for (;;) {
        u64 seen = number;

        if (__atomic_compare_exchange_n(&door->state, &seen, number | as, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            *cpu = door->cpu;
            return S_OK;
        }
        if ((seen & ~(u64)DOOR_STATE) != number)
            return no_such_processor(handle, index);
        if (seen == (number | DOOR_RUNNING))
            return fail(WHV_E_INVALID_VP_STATE,
                        "VpIndex: processor %u is inside WHvRunVirtualProcessor or SwhpRunPartition; "
                        "WHvCancelRunVirtualProcessor ends that",
                        index);
        wait_for_door(handle);
    }
}

HRESULT vcpu_pin(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu **cpu)
{
    u64 number = handle_number(handle);

    if (index >= MAX_PROCESSORS || !number || number & DOOR_STATE)
        return no_such_processor(handle, index);

    struct door *door = handle_door(handle, index);

    __atomic_fetch_add(&door->pins, 1, __ATOMIC_SEQ_CST);
    if ((__atomic_load_n(&door->state, __ATOMIC_SEQ_CST) & ~(u64)DOOR_STATE) != number) {
        __atomic_fetch_sub(&door->pins, 1, __ATOMIC_SEQ_CST);
        return no_such_processor(handle, index);
    }
    *cpu = door->cpu;
    return S_OK;
}

void vcpu_unpin(WHV_PARTITION_HANDLE handle, u32 index)
{
    __atomic_fetch_sub(&handle_door(handle, index)->pins, 1, __ATOMIC_SEQ_CST);
}

HRESULT vcpu_read_begin_slow(WHV_PARTITION_HANDLE handle, u32 index, struct reading *r)
{
    struct door *door = handle_door(handle, index);
    HRESULT hr = vcpu_enter(handle, index, &r->cpu);

    if (hr != WHV_E_INVALID_VP_STATE)
        return hr;
    hr = vcpu_pin(handle, index, &r->cpu);
    if (FAILED(hr))
        return hr;
    if (!meet_begin(r->cpu->partition)) {
        vcpu_unpin(handle, index);
        return fail(WHV_E_INVALID_VP_STATE, "VpIndex: this is the thread that runs processor %u (%p)", index,
                    (const void *)door);
    }
    r->is_meeting = true;
    return S_OK;
}

void vcpu_read_end_slow(struct reading *r)
{
    meet_end(r->cpu->partition);
    vcpu_unpin(r->handle, r->index);
}

HRESULT partition_stop(WHV_PARTITION_HANDLE handle, struct partition *p, u64 *held)
{
    *held = 0;
    for (u32 i = 0; i < __atomic_load_n(&p->processors, __ATOMIC_RELAXED); i++) {
        struct vcpu *cpu;

        if (!__atomic_load_n(&p->doors[i].state, __ATOMIC_SEQ_CST))
            continue;
        HRESULT hr = vcpu_enter(handle, i, &cpu);

        if (SUCCEEDED(hr)) {
            *held |= (u64)1 << i;
        } else if (hr == WHV_E_INVALID_VP_STATE) {
            partition_go(handle, *held);
            return hr;
        }
    }
    return S_OK;
}

void partition_go(WHV_PARTITION_HANDLE handle, u64 held)
{
    for (u32 i = 0; i < MAX_PROCESSORS; i++) {
        if (held >> i & 1)
            vcpu_leave_door(handle, i);
    }
}

/* Doors before the lock, as a delete takes them. One that was created between the two may run by now: once more. */
HRESULT partition_freeze(WHV_PARTITION_HANDLE handle, struct partition *p, u64 *held)
{
    for (;;) {
        bool is_whole = true;
        HRESULT hr = partition_stop(handle, p, held);

        if (FAILED(hr))
            return hr;
        host_lock(&p->lock);
        for (u32 i = 0; i < p->processors; i++) /* one without a handle is being deleted */
            is_whole &= *held >> i & 1 || !__atomic_load_n(&p->doors[i].state, __ATOMIC_SEQ_CST) ||
                        __atomic_load_n(&p->doors[i].state, __ATOMIC_SEQ_CST) == DOOR_CLOSING;
        if (is_whole)
            return S_OK;
        partition_thaw(handle, p, *held);
    }
}

void partition_thaw(WHV_PARTITION_HANDLE handle, struct partition *p, u64 held)
{
    host_unlock(&p->lock);
    partition_go(handle, held);
}
