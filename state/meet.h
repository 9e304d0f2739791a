/* SPDX-License-Identifier: MIT */
/*
 * The doors to processors, and meetings: how one thread makes sure that no other is inside guest execution
 * while it changes what all of them rely on (the map of memory).
 */
#ifndef STATE_MEET_H
#define STATE_MEET_H

#include "state/host.h"
#include "state/partition.h"
#include "state/vcpu.h"

/*
 * What stands between callers and one processor. Doors live in static memory and are never freed, so a call
 * that comes too late finds a door that no longer opens. `state` is the partition's handle with one of these
 * in its low bits.
 */
enum door_state {
    DOOR_FREE = 0,    /* nobody inside */
    DOOR_BUSY = 1,    /* a call looks at or changes the processor; over soon */
    DOOR_RUNNING = 2, /* a thread is inside Run */
    DOOR_STATE = 15,
    DOOR_CLOSING = DOOR_BUSY /* without a handle: nobody comes in, and its place isn't free yet */
};

struct door {
    _Alignas(64) u64 state; /* atomic; 0: no processor */
    struct vcpu *cpu;
    u64 pins; /* atomic: calls that look in while somebody else is inside; a delete waits for them */
    const void *thread; /* who runs it: thread_mark() of that thread */
};

/* Is the calling thread inside Run of one of the partition's processors: in a callback? */
bool meet_is_inside(const struct partition *p);

/*
 * Stops all processors at a block border, and returns with partition->lock held: until meet_end() none
 * executes and none starts to. False: the calling thread itself is inside Run (a callback), which would wait
 * for itself; nothing held. Who holds one may begin and end another in it.
 */
bool meet_begin(struct partition *p);
void meet_end(struct partition *p);

/*
 * The same for a thread inside Run, by its processor: between blocks, or in an instruction that has committed
 * nothing. Waiting for its turn it stands still like the others, so what it knew of memory may be wrong by now:
 * meet_disturbed() says so. Then it ends the meeting, and the instruction starts again after the loop had its turn.
 */
void meet_begin_inside(struct vcpu *cpu);
void meet_end_inside(struct vcpu *cpu);

/* Has the map of memory changed, or write rights been taken, since `watched` was cpu->watched? */
INLINE bool meet_disturbed(const struct vcpu *cpu, u32 watched)
{
    return cpu->watched != watched || __atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & ATTENTION_TLB;
}

/* Does it stand still, for a meeting? With partition->lock held. Those that one thread runs in turns all do, or none. */
INLINE bool meet_is_parked(const struct vcpu *cpu)
{
    return __atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED) ? cpu->partition->turns.is_parked : cpu->is_parked;
}

/* A processor was called, and may be one that waits for its turn: so is the one that executes there, and the thread. */
void meet_call_turns(struct vcpu *cpu);

/* A running processor at a block border that sees ATTENTION_MEET: waits until the meeting is over. RIP, count
 * and flags must be right. Afterwards look at the other bits of attention again: ATTENTION_TLB may be among
 * them. */
void meet_pass(struct vcpu *cpu);
void meet_stand(struct vcpu *cpu); /* the same for one whose state is exact as it is */

/* A thread that wanted to enter Run while a meeting is held: waits until it is over. */
void meet_wait(struct partition *p);

#endif
