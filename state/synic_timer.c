/* SPDX-License-Identifier: MIT */
/* The synthetic timers, on the partition's reference time: TLFS "Synthetic timers". */
#include "state/clock.h"
#include "state/synic.h"

#define STIMER_SINT(config) ((config) >> 16 & 15)
#define STIMER_VECTOR(config) ((config) >> 4 & 0xff)

/* RsvdZ. Direct mode is a part of its own. */
bool synic_timer_may_be(const struct partition *p, u64 config)
{
    bool has_direct = p->synthetic.has >> SYNTHETIC_DIRECT_TIMERS & 1;

    return !(config & ~(u64)(has_direct ? 0xf1fff : 0xf000f));
}

/*
 * Enabled timers whose count isn't 0 run: a period begins, or the count is the time itself. One whose period ends behind
 * all time never expires.
 */
static void arm(struct synic_timer *t, u64 now)
{
    u64 start = t->config & STIMER_PERIODIC ? now : 0;

    t->is_armed = !__builtin_add_overflow(start, t->count, &t->due) && t->config & STIMER_ENABLED && t->count;
}

void synic_timer_configure(struct synic_timer *t, u64 config, u64 now)
{
    bool has_target = config & STIMER_DIRECT ? STIMER_VECTOR(config) >= 16 : STIMER_SINT(config) != 0;

    t->config = has_target ? config : config & ~STIMER_ENABLED;
    arm(t, now);
}

void synic_timer_count(struct synic_timer *t, u64 count, u64 now)
{
    t->count = count;
    if (!count)
        t->config &= ~STIMER_ENABLED;
    else if (t->config & STIMER_AUTO_ENABLE)
        synic_timer_configure(t, t->config | STIMER_ENABLED, now);
    arm(t, now);
}

/*
 * Periods that went by unseen are skipped, for lazy timers and others: TLFS allows both. What comes is always a whole
 * number of periods behind the start.
 */
bool synic_timer_settle(struct synic_timer *t, u64 now, u64 *when)
{
    if (!t->is_armed || t->due > now)
        return false;
    *when = t->due;
    if (t->config & STIMER_PERIODIC) {
        u64 missed = (now - t->due) / t->count, then;

        *when = t->due + missed * t->count;
        t->is_armed = !__builtin_add_overflow(*when, t->count, &then); /* else it is never again */
        t->due = then;
        return true;
    }
    t->is_armed = false;
    t->config &= ~STIMER_ENABLED;
    return true;
}

bool synic_timer_next(struct vcpu *cpu, u32 wanted, u64 *ticks)
{
    const struct synic *s = cpu->synic;
    u64 first = 0;
    bool has_one = false;

    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        const struct synic_timer *t = &s->timer[i];

        if (t->is_armed && wanted >> i & 1 && (!has_one || t->due < first)) {
            first = t->due;
            has_one = true;
        }
    }
    return has_one && clock_ticks_to(cpu, first, ticks);
}
