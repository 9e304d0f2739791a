/* SPDX-License-Identifier: MIT */
/* The local APIC's timer, on the partition's clock: state/apic.h. */
#include "state/apic.h"
#include "state/clock.h"

static u32 lvt(const struct apic *a)
{
    return a->lvt[0];
}

static bool is_deadline(const struct apic *a)
{
    return (lvt(a) & LVT_TIMER_MODE) == LVT_DEADLINE;
}

/* SDM "Divide configuration register": 2, 4, ... 128, 1. */
static u64 divider(u32 divide)
{
    return (u64)1 << ((((divide & 3) | (divide >> 1 & 4)) + 1) & 7);
}

/* Units of one count: the timer runs at the interrupt frequency over the divider, ticks at the TSC's frequency. */
static u64 unit(const struct vcpu *cpu)
{
    return cpu->partition->frequency * divider(cpu->apic->divide);
}

/* What is left of the count in units; may be negative. */
static i128 left(struct vcpu *cpu, u64 now)
{
    const struct apic_timer *t = &cpu->apic->timer;
    i128 gone = (i128)(i64)(now - t->since) * (i128)cpu->partition->interrupt_frequency;

    return (i128)t->count * (i128)unit(cpu) - (i128)t->phase - gone;
}

i128 apic_timer_expiry(const struct vcpu *cpu)
{
    const struct apic_timer *t = &cpu->apic->timer;
    i128 since = (i128)t->since * (i128)cpu->partition->interrupt_frequency;

    return t->count ? since + (i128)t->count * (i128)unit(cpu) - (i128)t->phase : 0;
}

/* Goes on from so many units, more than none. */
static void go_on(struct vcpu *cpu, u64 now, i128 units)
{
    struct apic_timer *t = &cpu->apic->timer;
    i128 one = (i128)unit(cpu), count = (units + one - 1) / one;

    t->since = now;
    t->count = (u32)count;
    t->phase = (u64)(count * one - units);
}

bool apic_timer_settle(struct vcpu *cpu)
{
    struct apic *a = cpu->apic;
    struct apic_timer *t = &a->timer;
    u64 now;
    i128 units, period;

    if (is_deadline(a)) {
        if (!t->deadline || clock_tsc(cpu) < t->deadline)
            return false;
        t->deadline = 0;
        return true;
    }
    if (!t->count)
        return false;
    now = clock_ticks(cpu);
    units = left(cpu, now);
    if (units > 0)
        return false;
    period = (i128)t->initial * (i128)unit(cpu);
    if (!(lvt(a) & LVT_PERIODIC) || !period)
        t->count = 0;
    else
        go_on(cpu, now, period - -units % period);
    return true;
}

bool apic_timer_next(struct vcpu *cpu, u64 *ticks)
{
    struct apic *a = cpu->apic;
    struct apic_timer *t = &a->timer;
    i128 units, step = (i128)cpu->partition->interrupt_frequency;

    if (lvt(a) & LVT_MASKED)
        return false;
    if (is_deadline(a)) {
        u64 tsc = clock_tsc(cpu);

        *ticks = tsc < t->deadline ? t->deadline - tsc : 0;
        return t->deadline != 0;
    }
    if (!t->count)
        return false;
    units = left(cpu, clock_ticks(cpu));
    *ticks = units > 0 ? (u64)((units + step - 1) / step) : 0;
    return true;
}

u32 apic_timer_current(struct vcpu *cpu)
{
    struct apic_timer t = cpu->apic->timer;
    u32 count;

    if (is_deadline(cpu->apic))
        return 0;
    if (!t.count)
        return 0;

    i128 one = (i128)unit(cpu), units = left(cpu, clock_ticks(cpu)), period = (i128)t.initial * one;

    if (units <= 0) {
        if (!(lvt(cpu->apic) & LVT_PERIODIC) || !period)
            return 0;
        units = period - -units % period;
    }
    count = (u32)((units + one - 1) / one);
    return count;
}

u64 apic_timer_phase(struct vcpu *cpu)
{
    i128 units = left(cpu, clock_ticks(cpu)), one = (i128)unit(cpu);

    if (!cpu->apic->timer.count || units <= 0)
        return 0;
    return (u64)((units + one - 1) / one * one - units);
}

void apic_timer_start(struct vcpu *cpu, u32 initial)
{
    struct apic_timer *t = &cpu->apic->timer;

    if (is_deadline(cpu->apic)) /* SDM "TSC-deadline mode": the write is ignored */
        return;
    t->initial = t->count = initial;
    t->since = clock_ticks(cpu);
    t->phase = 0;
}

void apic_timer_resume(struct vcpu *cpu, u32 current, u64 phase)
{
    struct apic_timer *t = &cpu->apic->timer;

    if (is_deadline(cpu->apic))
        return;
    t->count = current;
    t->since = clock_ticks(cpu);
    t->phase = current && phase < unit(cpu) ? phase : 0;
}

/* The count goes on at the new pace; what had gone of the current one stays the same part of it. */
void apic_timer_divide(struct vcpu *cpu, u32 v)
{
    struct apic *a = cpu->apic;
    u64 before = divider(a->divide), after = divider(v);

    if (a->timer.count && !is_deadline(a)) {
        i128 units = left(cpu, clock_ticks(cpu));

        if (units > 0)
            go_on(cpu, clock_ticks(cpu), units);
        a->timer.phase = (u64)((u128)a->timer.phase * after / before);
    }
    a->divide = v;
}

void apic_timer_mode(struct vcpu *cpu, u32 before)
{
    struct apic_timer *t = &cpu->apic->timer;

    if (((before & LVT_TIMER_MODE) == LVT_DEADLINE) != is_deadline(cpu->apic)) /* disarms: SDM "TSC-deadline mode" */
        *t = (struct apic_timer){ 0 };
}

/* The profile's processor has none; hypervisors offer it all the same, by the feature bit TscDeadlineTmr. */
bool apic_has_deadline(const struct vcpu *cpu)
{
    return cpu->apic && has(&cpu->partition->has, HAS_TSC_DEADLINE);
}

void apic_set_deadline(struct vcpu *cpu, u64 tsc)
{
    if (is_deadline(cpu->apic))
        cpu->apic->timer.deadline = tsc;
}
