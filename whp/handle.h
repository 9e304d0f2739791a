/* SPDX-License-Identifier: MIT */
/*
 * From a caller's handle to a partition or a processor that stays while it is used. Any 64-bit value is safe
 * to ask for: a handle is never given twice, so a stale one is an error, and so is a call that a delete
 * overtakes.
 *
 *   WHV_PARTITION_HANDLE = serial number << 16 | slot << 4
 */
#ifndef WHP_HANDLE_H
#define WHP_HANDLE_H

#include "state/meet.h"
#include "whp/error.h"

enum { HANDLES = 1024 }; /* partitions that live at a time */

extern struct door handle_doors[HANDLES][MAX_PROCESSORS];

INLINE u64 handle_number(WHV_PARTITION_HANDLE handle)
{
    return (u64)(uintptr_t)handle;
}

INLINE struct door *handle_door(WHV_PARTITION_HANDLE handle, u32 index)
{
    return &handle_doors[handle_number(handle) >> 4 & (HANDLES - 1)][index & (MAX_PROCESSORS - 1)];
}

/* ---- partitions ---- */

/* S_OK: *p stays until partition_leave(). Else E_INVALIDARG, with its text. */
HRESULT partition_enter(WHV_PARTITION_HANDLE handle, struct partition **p);
void partition_leave(WHV_PARTITION_HANDLE handle);

/* A partition's API level, without entering it; what is no live partition has all levels. */
u32 handle_level(WHV_PARTITION_HANDLE handle);
void handle_set_level(const struct partition *p); /* when that has changed */

/* A new handle for p, whose doors it sets; NULL: too many live. */
WHV_PARTITION_HANDLE handle_new(struct partition *p);

/*
 * Takes a handle out of use, waits for the calls that are inside, and returns the partition with all its
 * doors busy: it is the caller's alone. Fails and changes nothing while a processor runs.
 */
HRESULT handle_retire(WHV_PARTITION_HANDLE handle, struct partition **p);
void handle_free(WHV_PARTITION_HANDLE handle); /* after that */

/* ---- processors ---- */

/* Alone with a processor, until vcpu_leave_door(): nobody runs it meanwhile. WHV_E_VP_DOES_NOT_EXIST;
 * WHV_E_INVALID_VP_STATE while it runs. */
HRESULT vcpu_enter_slow(WHV_PARTITION_HANDLE handle, u32 index, enum door_state as, struct vcpu **cpu);

/* The usual case alone: the door is there and free. */
INLINE bool vcpu_try_enter(WHV_PARTITION_HANDLE handle, u32 index, enum door_state as, struct vcpu **cpu)
{
    struct door *door = handle_door(handle, index);
    u64 expected = handle_number(handle);

    if (unlikely(index >= MAX_PROCESSORS || !expected || expected & DOOR_STATE ||
                 !__atomic_compare_exchange_n(&door->state, &expected, expected | as, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_RELAXED)))
        return false;
    *cpu = door->cpu;
    return true;
}

INLINE HRESULT vcpu_enter_as(WHV_PARTITION_HANDLE handle, u32 index, enum door_state as, struct vcpu **cpu)
{
    return likely(vcpu_try_enter(handle, index, as, cpu)) ? S_OK : vcpu_enter_slow(handle, index, as, cpu);
}

INLINE HRESULT vcpu_enter(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu **cpu)
{
    return vcpu_enter_as(handle, index, DOOR_BUSY, cpu);
}

INLINE void vcpu_leave_door(WHV_PARTITION_HANDLE handle, u32 index)
{
    __atomic_store_n(&handle_door(handle, index)->state, handle_number(handle), __ATOMIC_RELEASE);
}

/* Looks in on a processor whatever it does; it stays until vcpu_unpin(). */
HRESULT vcpu_pin(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu **cpu);
void vcpu_unpin(WHV_PARTITION_HANDLE handle, u32 index);

/*
 * To read a processor's state exactly, whatever it does: alone with it, or with all processors stopped where
 * it runs. Between the two nothing else of the API may be called.
 */
struct reading {
    struct vcpu *cpu;
    WHV_PARTITION_HANDLE handle;
    u32 index;
    bool is_meeting;
};
HRESULT vcpu_read_begin_slow(WHV_PARTITION_HANDLE handle, u32 index, struct reading *r);
void vcpu_read_end_slow(struct reading *r);

INLINE HRESULT vcpu_read_begin(WHV_PARTITION_HANDLE handle, u32 index, struct reading *r)
{
    *r = (struct reading){ .handle = handle, .index = index };
    return likely(vcpu_try_enter(handle, index, DOOR_BUSY, &r->cpu)) ? S_OK
                                                                     : vcpu_read_begin_slow(handle, index, r);
}

INLINE void vcpu_read_end(struct reading *r)
{
    if (likely(!r->is_meeting))
        vcpu_leave_door(r->handle, r->index);
    else
        vcpu_read_end_slow(r);
}

/*
 * A call that holds one processor and asks for the time, which may follow the counts of all: until counts_release()
 * none of them executes, comes or goes. A thread that runs one itself holds off all others as it is.
 */
INLINE bool counts_hold(struct partition *p)
{
    return unlikely(p->processors > 1 && (p->clock == SwhpClockVirtual || p->synthetic.has)) && meet_begin(p);
}

INLINE void counts_release(struct partition *p, bool is_held)
{
    if (unlikely(is_held))
        meet_end(p);
}

/* All processors of the partition at once, busy: nothing runs. WHV_E_INVALID_VP_STATE where one does, and
 * nothing held. held: bit n for processor n, for partition_go(). */
HRESULT partition_stop(WHV_PARTITION_HANDLE handle, struct partition *p, u64 *held);
void partition_go(WHV_PARTITION_HANDLE handle, u64 held);

/* The same with the partition's lock held, so that none is created either: what concerns them all stands still. */
HRESULT partition_freeze(WHV_PARTITION_HANDLE handle, struct partition *p, u64 *held);
void partition_thaw(WHV_PARTITION_HANDLE handle, struct partition *p, u64 held);

#endif
