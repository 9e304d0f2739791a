/* SPDX-License-Identifier: MIT */
/* Locked accesses: a place gets a new value if it still holds the old one, atomically between processors. */
#include "mem/notice.h"
#include "mem/place.h"
#include "state/meet.h"
#include "state/partition.h"

#define NO_ALIGNMENT __attribute__((no_sanitize("alignment"))) /* the host takes it, too */

/* Bytes that a locked access of the host has to stay inside of: a line on x86-64, its own size elsewhere. */
#ifdef __x86_64__
#define WITHIN(size) 64u
#else
#define WITHIN(size) (size)
#endif

/*
 * The host's own locked compare-exchange. False where it can't: across cache lines the host would stop all of
 * its processors, and some hosts punish or kill who does that.
 */
NO_ALIGNMENT static bool exchange_on_host(u8 *host, unsigned size, u128 expected, u128 desired, u128 *was)
{
    if (((uintptr_t)host & (WITHIN(size) - 1)) + size > WITHIN(size))
        return false;
    switch (size) {
    case 1: *was = __sync_val_compare_and_swap(host, (u8)expected, (u8)desired); return true;
    case 2: *was = __sync_val_compare_and_swap((u16 *)host, (u16)expected, (u16)desired); return true;
    case 4: *was = __sync_val_compare_and_swap((u32 *)host, (u32)expected, (u32)desired); return true;
    case 8: *was = __sync_val_compare_and_swap((u64 *)host, (u64)expected, (u64)desired); return true;
    default:
        if (size != 16 || (uintptr_t)host & 15)
            return false;
        *was = __sync_val_compare_and_swap((u128 *)host, expected, desired);
        return true;
    }
}

/* Until meet_end_inside(), no other processor of the partition executes. The instruction may start again. */
static void stop_others(struct vcpu *cpu)
{
    u32 watched = cpu->watched;

    meet_begin_inside(cpu);
    if (!meet_disturbed(cpu, watched))
        return;
    meet_end_inside(cpu);
    vcpu_rewind(cpu);
    vcpu_land(cpu);
}

/* Two lines, two pages, or bytes behind the seam: while the other processors stand still. */
static bool exchange_slowly(struct vcpu *cpu, struct place *p, u128 expected, u128 desired, u128 *was)
{
    unsigned rest = p->size - p->first;
    bool is_copy = cpu->seam || !p->host[0] || (rest && !p->host[1]); /* read when it was resolved, and nobody else's */
    bool has_others = !is_copy && cpu->partition->processors > 1, same;
    u128 now = 0;

    if (has_others)
        stop_others(cpu);

    if (is_copy) {
        memcpy(&now, p->bounce, p->size);
    } else {
        copy_bytes(&now, p->host[0], p->first);
        if (rest)
            copy_bytes((u8 *)&now + p->first, p->host[1], rest);
    }
    same = now == expected;
    if (same) {
        memcpy(p->bounce, &desired, p->size);
        if (!is_copy) {
            copy_bytes(p->host[0], p->bounce, p->first);
            if (rest)
                copy_bytes(p->host[1], p->bounce + p->first, rest);
            p->notice &= (u8)~NOTICE_BOUNCE; /* done, while nobody looks */
        }
    }
    if (has_others)
        meet_end_inside(cpu);
    if (!same)
        memcpy(p->bounce, &now, p->size); /* what the caller computes the next try from */
    *was = now;
    return same;
}

bool place_compare_exchange(struct vcpu *cpu, struct place *p, u128 *expected, u128 desired)
{
    u128 old = *expected & (p->size < 16 ? ((u128)1 << (8 * p->size)) - 1 : ~(u128)0), was;
    bool same;

    if (p->bytes != p->bounce && exchange_on_host(p->bytes, p->size, old, desired, &was))
        same = was == old;
    else
        same = exchange_slowly(cpu, p, old, desired, &was);
    if (!same) {
        place_written_back(cpu, p);
        *expected = was;
        return false;
    }
    place_commit(cpu, p);
    return true;
}
