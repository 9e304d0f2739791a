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

        if (is_running(&p->doors[i]) && cpu && !cpu->is_parked)
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

/* With the lock held: waits for the meeting that may be held now, then holds one. */
static void gather(struct partition *p)
{
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    /* Run marks its door, then looks at `meeting`; we do it the other way round: one of us sees the other. */
    __atomic_store_n(&p->meeting, 1, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < p->processors; i++) {
        if (p->doors[i].cpu && is_running(&p->doors[i]))
            vcpu_call(p->doors[i].cpu, ATTENTION_MEET);
    }
    while (!all_stand_still(p))
        wait_a_little(p);
}

bool meet_begin(struct partition *p)
{
    if (meet_is_inside(p))
        return false;
    host_lock(&p->lock);
    gather(p);
    return true;
}

void meet_end(struct partition *p)
{
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
    cpu->is_parked = true;
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
    cpu->is_parked = false;
    meet_end(cpu->partition);
}

void meet_pass(struct vcpu *cpu)
{
    struct partition *p = cpu->partition;

    be_exact(cpu);
    host_lock(&p->lock);
    __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_MEET, __ATOMIC_SEQ_CST);
    cpu->is_parked = true;
    host_condition_wake_all(&p->met);
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    cpu->is_parked = false;
    host_unlock(&p->lock);
}

void meet_wait(struct partition *p)
{
    host_lock(&p->lock);
    while (p->meeting)
        host_condition_wait(&p->met, &p->lock);
    host_unlock(&p->lock);
}
