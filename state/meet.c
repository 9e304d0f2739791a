/* SPDX-License-Identifier: MIT */
/* Meetings of processors: state/meet.h. */
#include "state/meet.h"

static bool is_running(const struct door *door)
{
    return (__atomic_load_n(&door->state, __ATOMIC_SEQ_CST) & DOOR_STATE) == DOOR_RUNNING;
}

static bool all_stand_still(const struct partition *p)
{
    for (u32 i = 0; i < p->processors; i++) {
        const struct vcpu *cpu = p->doors[i].cpu; /* stays: deleting takes the lock */

        if (is_running(&p->doors[i]) && cpu && !meet_is_parked(cpu))
            return false;
    }
    return true;
}

/* One that leaves Run needn't take the lock to say so, so waiting is by the clock too. */
static void wait_a_little(struct partition *p)
{
    host_condition_wait_for(&p->met, &p->lock, 50000);
}

bool meet_is_inside(const struct partition *p)
{
    for (u32 i = 0; i < p->processors; i++) {
        if (is_running(&p->doors[i]) &&
            __atomic_load_n(&p->doors[i].thread, __ATOMIC_RELAXED) == thread_mark())
            return true;
    }
    return false;
}

static void park(struct vcpu *cpu, bool is_parked)
{
    if (__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED))
        cpu->partition->turns.is_parked = is_parked;
    else
        cpu->is_parked = is_parked;
}

/* With the lock held: waits for the meeting that may be held now, then holds one. */
static void gather(struct partition *p)
{
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    /* Run marks its door, then looks at `meeting`; we do it the other way round: one of us sees the other. */
    __atomic_store_n(&p->meeting, 1, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < p->processors; i++) {
        struct vcpu *cpu = p->doors[i].cpu;

        if (cpu && is_running(&p->doors[i]) && !meet_is_parked(cpu)) /* who stands still goes on standing */
            vcpu_call(cpu, ATTENTION_MEET);
    }
    while (!all_stand_still(p))
        wait_a_little(p);
    p->meeting_depth = 1;
    __atomic_store_n(&p->met_by, thread_mark(), __ATOMIC_RELAXED);
}

bool meet_begin(struct partition *p)
{
    if (__atomic_load_n(&p->met_by, __ATOMIC_RELAXED) == thread_mark()) {
        p->meeting_depth++;
        return true;
    }
    if (meet_is_inside(p))
        return false;
    host_lock(&p->lock);
    gather(p);
    return true;
}

void meet_end(struct partition *p)
{
    if (--p->meeting_depth)
        return;
    __atomic_store_n(&p->met_by, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&p->meeting, 0, __ATOMIC_SEQ_CST);
    host_condition_wake_all(&p->met);
    host_unlock(&p->lock);
}

/* What readers see of a processor that stands still is exact. */
static void be_exact(struct vcpu *cpu)
{
    if (cpu->be_exact)
        cpu->be_exact(cpu);
}

void meet_begin_inside(struct vcpu *cpu)
{
    struct partition *p = cpu->partition;
    const struct insn *at = cpu->at;
    u64 rip = cpu->rip, count = cpu->count, rflags = cpu->rflags, pending_debug = cpu->pending_debug;
    bool shadow = cpu->shadow, shadow_ss = cpu->shadow_ss;

    be_exact(cpu);
    vcpu_rewind(cpu);
    host_lock(&p->lock);
    park(cpu, true);
    host_condition_wake_all(&p->met);
    gather(p);
    cpu->at = at;
    cpu->rip = rip;
    cpu->count = count;
    cpu->rflags = rflags;
    cpu->pending_debug = pending_debug;
    cpu->shadow = shadow;
    cpu->shadow_ss = shadow_ss;
}

void meet_end_inside(struct vcpu *cpu)
{
    park(cpu, false);
    meet_end(cpu->partition);
}

void meet_pass(struct vcpu *cpu)
{
    be_exact(cpu);
    meet_stand(cpu);
}

void meet_stand(struct vcpu *cpu)
{
    struct partition *p = cpu->partition;

    host_lock(&p->lock);
    __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_MEET, __ATOMIC_SEQ_CST);
    park(cpu, true);
    host_condition_wake_all(&p->met);
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    park(cpu, false);
    host_unlock(&p->lock);
}

/* Whoever pins looks at the door after that, whoever deletes looks at the pins after closing it. */
void meet_call_turns(struct vcpu *cpu)
{
    struct partition *p = cpu->partition;
    u32 now = __atomic_load_n(&p->turns.now, __ATOMIC_SEQ_CST);

    if (!now)
        return;
    if (now - 1 != cpu->index) {
        struct door *door = &p->doors[now - 1];

        __atomic_fetch_add(&door->pins, 1, __ATOMIC_SEQ_CST);
        if (is_running(door))
            vcpu_call(door->cpu, ATTENTION_TURN);
        __atomic_fetch_sub(&door->pins, 1, __ATOMIC_SEQ_CST);
    }
    vcpu_wake(&p->turns.asleep);
}

void meet_wait(struct partition *p)
{
    host_lock(&p->lock);
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    host_unlock(&p->lock);
}
