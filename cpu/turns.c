/* SPDX-License-Identifier: MIT */
/*
 * Who is next, and for how long: a function of the guest's state, of the seed and of what the caller does.
 *
 * A turn has a length in counts, drawn with its processor. It ends early at a PAUSE (who spins waits for somebody else)
 * and at a HLT. An exit, or a clock that the caller wants to stop at, only interrupts it: the next call goes on with its
 * rest. A processor that sleeps has no turns; when it wakes, by its timer or by a message, it gets one at once, and the
 * turn that it cuts is over. So wake-ups come at their exact clock, however the caller cuts the run into calls: they
 * are looked for behind each instruction that sends a message and at each deadline. So do the messages of synthetic
 * timers, whatever their processor does meanwhile: others see them in memory, and they tell their time.
 */
#include "cpu/turns.h"

#include "cpu/apic.h"
#include "cpu/fp.h"
#include "cpu/run.h"
#include "cpu/synic.h"
#include "state/clock.h"
#include "state/host.h"
#include "state/meet.h"

/* Long enough that a switch costs nothing beside it, short enough that nobody's guest takes a neighbour for dead. */
enum { TURN_LEAST = 1000, TURN_MOST = 20000 };

#define NEVER (~(u64)0)
#define NO_CLOCK ((u64)1 << 63) /* the clock never gets there: SwhpAdvanceClock */

struct run {
    struct partition *p;
    struct vcpu *const *cpus;
    u32 n;
    u64 clock;               /* counts */
    u64 wakes_at;            /* the earliest of all sleepers' */
    struct vcpu *unit;       /* whose control words the host's unit has; NULL: the host's own */
};

static bool is_asleep(const struct vcpu *cpu)
{
    return cpu->apic && cpu->activity;
}

static u32 asked(const struct vcpu *cpu)
{
    return __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST);
}

/* ---- sleep ---- */

/* A processor fell asleep, or was looked at and goes on sleeping. */
static void set_alarm(struct vcpu *cpu)
{
    u64 ticks, now = clock_ticks(cpu);

    cpu->wakes_at = apic_timer_wakes(cpu, &ticks) && ticks < NEVER - now ? now + ticks : NEVER;
}

static void set_earliest(struct run *r)
{
    r->wakes_at = NEVER;
    for (u32 i = 0; i < r->n; i++)
        if (is_asleep(r->cpus[i]) && r->cpus[i]->wakes_at < r->wakes_at)
            r->wakes_at = r->cpus[i]->wakes_at;
}

/* Counts of the virtual clock until the first synthetic timer expires, wherever it is; NEVER: none is armed. */
static u64 counts_to_expiry(const struct run *r)
{
    u64 ticks = 0;
    bool has = false;

    for (u32 i = 0; i < r->n; i++)
        has = synic_sooner(r->cpus[i], ~0u, has, &ticks);
    return has ? apic_counts_of(r->p, ticks) : NEVER;
}

static void expire(const struct run *r)
{
    for (u32 i = 0; i < r->n; i++)
        if (r->cpus[i]->synic)
            synic_catch_up(r->cpus[i]);
}

/* Counts of the virtual clock from now to a tick of it; NEVER for that. */
static u64 counts_to(const struct run *r, u64 tick)
{
    u64 now = clock_ticks(r->cpus[0]);

    return tick == NEVER ? NEVER : tick <= now ? 0 : apic_counts_of(r->p, tick - now);
}

static u64 counts_to_end(const struct run *r)
{
    u64 now;

    if (r->clock >= NO_CLOCK)
        return NEVER;
    now = clock_now(r->p);
    return now < r->clock ? r->clock - now : 0;
}

/* Real time until something is due on the host's clock, an hour at most; NEVER: nothing ever is. */
static u64 nanoseconds_to_next(const struct run *r)
{
    u64 now = clock_ticks(r->cpus[0]), most = 3600000000000u, counts = counts_to_end(r);
    u128 ticks = r->wakes_at == NEVER ? NEVER : r->wakes_at > now ? r->wakes_at - now : 0, wait;

    if (counts != NEVER && (u128)counts * r->p->rate < ticks)
        ticks = (u128)counts * r->p->rate;
    if (ticks >= NEVER)
        return NEVER;
    wait = (ticks * 1000000000u + r->p->frequency - 1) / r->p->frequency;
    return wait < most ? (u64)wait : most;
}

static bool is_called(const struct run *r)
{
    for (u32 i = 0; i < r->n; i++)
        if (asked(r->cpus[i]) & ATTENTION_WAKES)
            return true;
    return false;
}

/* All sleep. Virtual time leaps to what comes next; where nothing does, and on the host's clock, the thread waits. */
static void nap(struct run *r)
{
    struct turns *t = &r->p->turns;
    bool is_virtual = r->p->clock == SwhpClockVirtual;
    u64 to_timer = counts_to(r, r->wakes_at), to_end = counts_to_end(r), to_expiry;
    u64 counts = to_timer < to_end ? to_timer : to_end;

    if (is_virtual && counts != NEVER) {
        to_expiry = counts_to_expiry(r); /* which wakes nobody: no reason to leap by itself */
        counts = to_expiry < counts ? to_expiry : counts;
        if (!is_called(r)) /* by a cancel, say, which comes first */
            r->p->advanced += counts;
        return;
    }
    /* Who sleeps says so, then looks whether he was called; who calls does it the other way round. */
    __atomic_store_n(&t->asleep, 1, __ATOMIC_SEQ_CST);
    if (!is_called(r))
        host_wait(&t->asleep, 1, is_virtual ? NEVER : nanoseconds_to_next(r));
    __atomic_store_n(&t->asleep, 0, __ATOMIC_SEQ_CST);
}

/* ---- turns ---- */

static void load_unit(struct run *r, struct vcpu *cpu)
{
    if (r->unit && r->unit != cpu)
        fp_switch(r->unit, cpu);
    else if (!r->unit)
        fp_enter(cpu);
    r->unit = cpu;
}

static u32 execute(struct run *r, struct vcpu *cpu, u64 until)
{
    u32 reason;

    __atomic_store_n(&r->p->turns.now, cpu->index + 1, __ATOMIC_SEQ_CST);
    load_unit(r, cpu);
    if (unlikely(cpu->is_timed))
        cpu->ran_since = host_nanoseconds();
    __atomic_store_n(&cpu->is_running, 1, __ATOMIC_RELAXED);
    reason = vcpu_turn(cpu, until);
    fp_sync(cpu);
    __atomic_store_n(&cpu->is_running, 0, __ATOMIC_RELAXED);
    if (unlikely(cpu->is_timed))
        cpu->ran += host_nanoseconds() - cpu->ran_since;
    return reason;
}

/* Wakes a sleeper if something is there that does; else notes when its timer will. TURN_OVER, or an exit. */
static u32 look(struct vcpu *cpu)
{
    u32 reason = vcpu_look(cpu);

    if (is_asleep(cpu))
        set_alarm(cpu);
    return reason;
}

/* What is left of the turn, for all that wants to interrupt it. */
static u64 counts_for(const struct run *r)
{
    u64 counts = r->p->turns.rest, other = counts_to_end(r);

    if (r->p->clock != SwhpClockVirtual)
        return counts; /* looked at when the turn is over: some 100 microseconds */
    if (other < counts)
        counts = other;
    other = counts_to(r, r->wakes_at);
    if (other < counts)
        counts = other;
    other = counts_to_expiry(r);
    return other < counts ? other : counts;
}

/* Of the turn so many counts. TURN_OVER, or an exit. */
static u32 spend(struct run *r, struct vcpu *cpu, u64 counts)
{
    struct turns *t = &r->p->turns;
    u64 before = cpu->count, used;
    u32 reason = execute(r, cpu, before + counts);

    used = cpu->count - before;
    t->rest -= used < t->rest ? used : t->rest;
    return reason;
}

/* The turn goes on. TURN_OVER, or an exit. */
static u32 go_on(struct run *r, struct vcpu *cpu)
{
    struct turns *t = &r->p->turns;
    u32 reason = spend(r, cpu, counts_for(r));

    if (reason == TURN_OVER && is_asleep(cpu))
        reason = look(cpu); /* the count may have been reached right behind the HLT, which may wake at once */
    if (is_asleep(cpu) || cpu->yields || reason == WHvRunVpExitReasonX64Halt ||
        reason == SwhpRunVpExitReasonFerrFreeze)
        t->rest = 0;
    cpu->yields = false;
    set_earliest(r);
    return reason;
}

static void begin_turn(struct run *r, const u32 *candidates, u32 n)
{
    struct turns *t = &r->p->turns;
    u64 draw = clock_draw_turn(r->p);

    t->whose = candidates[(draw >> 32) * n >> 32];
    t->rest = TURN_LEAST + ((draw & 0xffffffff) * (TURN_MOST - TURN_LEAST + 1) >> 32);
}

/* ---- between turns ---- */

static struct vcpu *find_canceled(const struct run *r)
{
    for (u32 i = 0; i < r->n; i++)
        if (asked(r->cpus[i]) & ATTENTION_CANCEL)
            return r->cpus[i];
    return NULL;
}

/* Wakes those whose time has come; they share the next turn out among themselves. A processor that left meanwhile, or
 * NULL. */
static struct vcpu *rouse(struct run *r)
{
    u32 woken[MAX_PROCESSORS], n = 0;
    u64 now = r->wakes_at == NEVER ? 0 : clock_ticks(r->cpus[0]);
    bool has_looked = false;

    for (u32 i = 0; i < r->n; i++) {
        struct vcpu *cpu = r->cpus[i];

        if (!is_asleep(cpu))
            continue;
        if (asked(cpu) & ATTENTION_MEET)
            meet_stand(cpu);
        if (!(asked(cpu) & ATTENTION_APIC) && cpu->wakes_at > now)
            continue;
        has_looked = true;
        if (look(cpu) != TURN_OVER)
            return cpu;
        if (!is_asleep(cpu))
            woken[n++] = cpu->index;
    }
    if (has_looked)
        set_earliest(r);
    if (n)
        begin_turn(r, woken, n);
    return NULL;
}

/* The next turn goes to another processor, where one is awake. False: all sleep. */
static bool choose(struct run *r)
{
    struct turns *t = &r->p->turns;
    u32 awake[MAX_PROCESSORS], n = 0;
    bool is_awake = false;

    for (u32 i = 0; i < r->n; i++) {
        if (is_asleep(r->cpus[i]))
            continue;
        if (r->cpus[i]->index == t->whose)
            is_awake = true;
        else
            awake[n++] = r->cpus[i]->index;
    }
    if (!n && !is_awake)
        return false;
    if (!n)
        awake[n++] = t->whose;
    begin_turn(r, awake, n);
    return true;
}

/* The processor whose turn it is, or was; else the first. */
static struct vcpu *current(const struct run *r)
{
    for (u32 i = 0; i < r->n; i++)
        if (r->cpus[i]->index == r->p->turns.whose)
            return r->cpus[i];
    return r->cpus[0];
}

/* Whose exit it is. */
static struct vcpu *run_to_exit(struct run *r)
{
    struct turns *t = &r->p->turns;
    struct vcpu *cpu = current(r), *other;

    if (t->whose != cpu->index) { /* its processor is gone */
        t->whose = cpu->index;
        t->rest = 0;
    }
    if (spend(r, cpu, 0) != TURN_OVER) /* what the caller completed counts before anybody looks at the clock */
        return cpu;
    for (;;) {
        other = find_canceled(r);
        if (unlikely(other != NULL)) {
            if (execute(r, other, other->count) != TURN_OVER)
                return other;
            continue;
        }
        if (!counts_to_end(r)) {
            cpu = current(r);
            vcpu_leave_by_count(cpu);
            return cpu;
        }
        expire(r);
        other = rouse(r);
        if (unlikely(other != NULL))
            return other;
        if ((!t->rest || is_asleep(current(r))) && !choose(r)) {
            nap(r);
            continue;
        }
        cpu = current(r);
        if (go_on(r, cpu) != TURN_OVER)
            return cpu;
    }
}

struct vcpu *turns_run(struct partition *p, struct vcpu *const *cpus, u32 n, u64 clock, WHV_RUN_VP_EXIT_CONTEXT *x)
{
    struct run r = { .p = p, .cpus = cpus, .n = n, .clock = clock };
    struct vcpu *left;

    clear_exit(x);
    for (u32 i = 0; i < n; i++) {
        cpus[i]->exit = x;
        cpus[i]->entered = false;
        cpus[i]->yields = false;
        if (is_asleep(cpus[i]))
            set_alarm(cpus[i]);
    }
    set_earliest(&r);
    left = run_to_exit(&r);
    fp_leave(r.unit);
    __atomic_store_n(&p->turns.now, 0, __ATOMIC_SEQ_CST);
    return left;
}
