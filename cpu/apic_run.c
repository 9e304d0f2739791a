/* SPDX-License-Identifier: MIT */
/* The local APIC between instructions: INIT and SIPI, the timer, delivery, and the sleep of HLT inside Run. */
#include "cpu/apic.h"

#include "cpu/event.h"
#include "cpu/run.h"
#include "cpu/synic.h"
#include "exits/exit.h"
#include "mem/tlb.h"
#include "state/clock.h"

/* With the host's clock: how often a running processor asks it whether the timer is due. Some 50 microseconds. */
enum { LOOK_EVERY = 16384 };

void apic_leave_for_trap(struct vcpu *cpu)
{
    struct apic *a = cpu->apic;
    u32 reason = a->trap_reason;

    if (likely(!reason))
        return;
    a->trap_reason = 0;
    exit_apic(cpu, reason, a->trap_type, a->trap_value);
}

/* ---- INIT and SIPI ---- */

/* SDM 3A "Processor state after INIT". The bootstrap processor begins anew, others wait for the SIPI. */
static void take_init(struct vcpu *cpu)
{
    vcpu_init(cpu);
    apic_reset(cpu, true);
    cpu->activity = cpu->apic_base & APIC_BASE_BSP ? 0 : STARTUP_SUSPEND;
    cpu->link = NULL;
    tlb_flush(cpu, false);
}

static void take_sipi(struct vcpu *cpu, u8 vector)
{
    cpu->seg[CS] = (struct segment){ (u64)vector << 12, 0xffff, (u16)(vector << 8), 0x9b };
    cpu->rip = 0;
    cpu->activity = 0;
    mode_update(cpu);
}

static void take_signals(struct vcpu *cpu)
{
    struct apic *a = cpu->apic;
    u32 signals = __atomic_fetch_and(&a->signals, SIGNAL_NMI, __ATOMIC_SEQ_CST);

    if (likely(!(signals & ~SIGNAL_NMI)))
        return;
    if (signals & SIGNAL_INIT)
        take_init(cpu);
    if (signals & SIGNAL_SIPI && cpu->activity & STARTUP_SUSPEND)
        take_sipi(cpu, (u8)(signals >> 8));
    if (signals & SIGNAL_ERROR)
        apic_fire(cpu, APIC_LVT_ERROR);
    if (signals & SIGNAL_LINT1)
        apic_fire(cpu, APIC_LVT_LINT1);
}

/* ---- the timer ---- */

u64 apic_counts_of(const struct partition *p, u64 ticks)
{
    u32 rate = p->rate;

    return ticks / rate + (ticks % rate != 0);
}

static void set_stop(struct vcpu *cpu)
{
    bool is_virtual = cpu->partition->clock == SwhpClockVirtual;
    u64 ticks, counts, room = cpu->until > cpu->count ? cpu->until - cpu->count : 0;

    cpu->stop = cpu->until;
    if (!synic_sooner(cpu, ~0u, apic_timer_next(cpu, &ticks), &ticks))
        return;
    counts = is_virtual ? apic_counts_of(cpu->partition, ticks) : ticks ? LOOK_EVERY : 0;
    if (counts < room)
        cpu->stop = cpu->count + counts;
}

/* What expired by now, and when to look again. */
static void run_timer(struct vcpu *cpu)
{
    apic_catch_up(cpu);
    if (cpu->synic)
        synic_catch_up(cpu);
    set_stop(cpu);
}

/* ---- sleep ---- */

/* Could a timer's interrupt end the sleep? Else waiting for it would only burn time. */
bool apic_timer_wakes(struct vcpu *cpu, u64 *ticks)
{
    const struct apic *a = cpu->apic;
    bool has, is_idle = cpu->activity & IDLE_SUSPEND;

    if (cpu->activity & STARTUP_SUSPEND || !(cpu->rflags & IF || is_idle))
        return false;
    has = (is_idle || (a->lvt[0] & 0xf0) > (apic_ppr(a) & 0xf0)) && apic_timer_next(cpu, ticks);
    return cpu->synic ? synic_sooner(cpu, synic_waking(cpu), has, ticks) : has;
}

/*
 * Does what has come end it? Hyper-V's idle state is for those who wait with interrupts off, perhaps in a handler of the
 * highest class: any interrupt that arrives ends it, whether or not it can be delivered.
 */
static bool wakes(struct vcpu *cpu)
{
    if (cpu->activity & STARTUP_SUSPEND)
        return false;
    return apic_wakes(cpu) || (cpu->activity & IDLE_SUSPEND && apic_highest(cpu->apic->irr) >= 0);
}

/*
 * Virtual time doesn't wait: where nothing happens until the timer, it is that time now. A counted Run ends when the
 * clock has gone as far as the counts that were left would have brought it, so leaps are taken from those. False: there
 * is nothing to leap to.
 */
static bool leap(struct vcpu *cpu, bool is_timed, u64 ticks)
{
    u64 to_timer = is_timed ? apic_counts_of(cpu->partition, ticks) : ~(u64)0;
    u64 to_end = cpu->until < BLOCK_DEAD - 1 ? cpu->until - cpu->count : ~(u64)0; /* more than none: attend() looks */

    if (to_timer == ~(u64)0 && to_end == ~(u64)0)
        return false;
    if (__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) & ATTENTION_WAKES)
        return true; /* a cancel, say, which comes first */
    if (to_timer <= to_end) {
        cpu->partition->advanced += to_timer;
        if (to_end != ~(u64)0)
            cpu->until -= to_timer;
        return true;
    }
    cpu->partition->advanced += to_end;
    exit_count(cpu);
}

static void go_to_sleep(struct vcpu *cpu)
{
    const struct partition *p = cpu->partition;
    u64 ticks = 0, most = 3600000000000u, nanoseconds = ~(u64)0;
    bool is_timed = apic_timer_wakes(cpu, &ticks);

    __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_EVENT, __ATOMIC_SEQ_CST); /* the loop comes back here */
    if (p->clock == SwhpClockVirtual) {
        if (leap(cpu, is_timed, ticks))
            return;
    } else if (is_timed) {
        u128 wait = ((u128)ticks * 1000000000u + p->frequency - 1) / p->frequency;

        nanoseconds = wait < most ? (u64)wait : most;
    }
    vcpu_sleep(cpu, nanoseconds);
}

bool apic_rouse(struct vcpu *cpu)
{
    __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_APIC, __ATOMIC_SEQ_CST); /* before what it stands for is read */
    take_signals(cpu);
    run_timer(cpu);
    if (unlikely(cpu->activity) && wakes(cpu))
        cpu->activity = 0;
    return !cpu->activity;
}

bool apic_attend(struct vcpu *cpu)
{
    if (unlikely(!apic_rouse(cpu))) {
        if (__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED))
            turn_over(cpu); /* cpu/turns.c sees to it that it wakes */
        go_to_sleep(cpu);
        return false;
    }
    if (apic_is_waiting(cpu)) /* whatever comes first */
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    return true;
}

/* ---- delivery ---- */

static bool deliver(struct vcpu *cpu, struct event *e, u8 vector)
{
    e->vector = vector;
    cpu->link = NULL; /* what was looked for when it came is not where we go now */
    event_deliver(cpu, e);
    return true;
}

bool apic_deliver(struct vcpu *cpu)
{
    struct apic *a = cpu->apic;
    struct event e = { .pending = true, .type = EVENT_INTERRUPT };
    int vector;

    if (__atomic_load_n(&a->signals, __ATOMIC_SEQ_CST) & SIGNAL_NMI && !cpu->nmi_masked && !cpu->shadow_ss) {
        __atomic_fetch_and(&a->signals, ~SIGNAL_NMI, __ATOMIC_SEQ_CST);
        e.type = EVENT_NMI;
        return deliver(cpu, &e, VECTOR_NMI);
    }
    if (!(cpu->rflags & IF) || cpu->shadow)
        return false;
    if (a->has_ext_int) { /* the PIC's, which asks no priorities */
        a->has_ext_int = false;
        return deliver(cpu, &e, a->ext_vector);
    }
    vector = apic_deliverable(a);
    if (vector < 0)
        return false;
    apic_clear_bit(a->irr, (unsigned)vector);
    if (!cpu->synic || !apic_test(cpu->synic->auto_eoi, (unsigned)vector))
        apic_set_bit(a->isr, (unsigned)vector);
    return deliver(cpu, &e, (u8)vector);
}

bool apic_is_waiting(const struct vcpu *cpu)
{
    const struct apic *a = cpu->apic;

    return a->has_ext_int || __atomic_load_n(&a->signals, __ATOMIC_SEQ_CST) & SIGNAL_NMI || apic_highest(a->irr) >= 0;
}
