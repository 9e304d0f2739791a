/* SPDX-License-Identifier: MIT */
/* The synthetic interrupt controller at work: messages, event flags, timers; all where cpu->synic. TLFS "Virtual interrupts". */
#ifndef CPU_SYNIC_H
#define CPU_SYNIC_H

#include "state/partition.h"
#include "state/vcpu.h"

INLINE bool synthetic_has(const struct partition *p, enum synthetic_feature feature)
{
    return p->synthetic.has >> feature & 1;
}

/* ---- from any thread ---- */

enum synic_result {
    SYNIC_DONE,
    SYNIC_OFF,  /* the guest has disabled what would receive it */
    SYNIC_BUSY  /* the slot holds a message; the guest will say when it has taken it */
};

/* Puts a message of 16 to 256 bytes into a source's slot, and raises its interrupt. */
enum synic_result synic_post(struct vcpu *cpu, unsigned source, const void *message, unsigned size);

/* Sets one of a source's event flags; raises its interrupt where it wasn't set. */
enum synic_result synic_signal(struct vcpu *cpu, unsigned source, unsigned flag, bool *is_new);

/* One of its pages, copied out or in while no message and no flag is put there: PAGE_SIZE bytes. */
void synic_page_get(struct vcpu *cpu, enum synic_page page, void *to);
void synic_page_set(struct vcpu *cpu, enum synic_page page, const void *from);

/* ---- by the processor itself, or while it is nobody's ---- */

/* A source's register, whose vectors may end by themselves. False: refused. */
bool synic_source_may_be(u64 v);
void synic_set_source(struct vcpu *cpu, unsigned n, u64 v);

/* The guest may have emptied a slot, or enabled something: what is queued tries again. */
void synic_scan(struct vcpu *cpu);

/* As they were saved. */
void synic_set_timers(struct vcpu *cpu, const struct synic_timer timer[SYNIC_TIMERS]);

/* Lets timers expire that have by now: before what rules them changes. */
void synic_catch_up(struct vcpu *cpu);
void synic_catch_up_direct(struct vcpu *cpu); /* those in direct mode alone, which send no messages */

/* The timers whose expiration would wake the processor now. */
u32 synic_waking(struct vcpu *cpu);

/* Leaves where the caller waits for a slot to become free, and one is. */
void synic_notify(struct vcpu *cpu);

/* The first of the armed timers that `wanted` has, if that comes before *ticks. has: there is something at *ticks. */
INLINE bool synic_sooner(struct vcpu *cpu, u32 wanted, bool has, u64 *ticks)
{
    u64 its;

    if (!cpu->synic || !synic_timer_next(cpu, wanted, &its))
        return has;
    *ticks = has && *ticks < its ? *ticks : its;
    return true;
}

#endif
