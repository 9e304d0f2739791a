/* SPDX-License-Identifier: MIT */
/*
 * Time and chance: the partition's clock, the time stamp counters that follow it, and the generator behind
 * RDRAND. The virtual clock is a sum of counts and knows nothing of the host.
 */
#include "state/clock.h"

#include "state/host.h"

enum { NANOSECONDS = 1000000000, REFERENCE_UNITS = 10000000 };

/* value * up / down, without losing bits on the way. */
static u64 scale(u64 value, u64 up, u64 down)
{
    return down ? (u64)((u128)value * up / down) : 0;
}

/* What one processor has retired: before the instruction under way, where there is one. */
static u64 retired(const struct vcpu *cpu)
{
    return cpu->count - (cpu->at ? cpu->at->left : 0);
}

static u64 virtual_counts(const struct partition *p)
{
    u64 sum = p->advanced;

    for (unsigned i = 0; i < p->processors; i++)
        if (p->cpu[i])
            sum += retired(p->cpu[i]);
    return sum;
}

/* One word, since others look while a Run resumes time: when it started, or, with the top bit, how far it had come. */
#define STANDS ((u64)1 << 63)

static u64 host_elapsed(const struct partition *p)
{
    u64 start = __atomic_load_n(&p->host_start, __ATOMIC_RELAXED);

    return start & STANDS ? start & ~STANDS : host_nanoseconds() - start;
}

void clock_suspend(struct partition *p)
{
    __atomic_store_n(&p->host_start, host_elapsed(p) | STANDS, __ATOMIC_RELAXED);
}

void clock_resume(struct partition *p)
{
    __atomic_store_n(&p->host_start, host_nanoseconds() - host_elapsed(p), __ATOMIC_RELAXED);
}

static u64 ticks(const struct partition *p)
{
    if (p->clock == SwhpClockVirtual)
        return virtual_counts(p) * p->rate;
    return scale(host_elapsed(p), p->frequency, NANOSECONDS);
}

u64 clock_now(struct partition *p)
{
    if (p->clock == SwhpClockVirtual)
        return virtual_counts(p);
    return p->rate ? ticks(p) / p->rate : 0;
}

u64 clock_tsc(struct vcpu *cpu)
{
    return ticks(cpu->partition) + cpu->tsc_offset;
}

u64 clock_ticks(struct vcpu *cpu)
{
    return ticks(cpu->partition);
}

void clock_set_tsc(struct vcpu *cpu, u64 tsc)
{
    cpu->tsc_offset = tsc - ticks(cpu->partition);
}

/* Of a partition with synthetic features: what a guest computes from its TSC, without the offset. */
static u64 by_formula(const struct partition *p, u64 now)
{
    return (u64)((u128)(now + p->synthetic.tsc_offset) * p->synthetic.scale >> 64);
}

u64 clock_reference_time(struct partition *p)
{
    if (p->synthetic.scale)
        return by_formula(p, ticks(p)) + p->reference_offset;
    if (p->clock == SwhpClockVirtual)
        return scale(ticks(p), REFERENCE_UNITS, p->frequency) + p->reference_offset;
    return host_elapsed(p) / (NANOSECONDS / REFERENCE_UNITS) + p->reference_offset;
}

/* The TSC at which the formula reaches it: ((when - offset) << 64) / scale, rounded up. */
bool clock_ticks_to(struct vcpu *cpu, u64 when, u64 *to)
{
    const struct partition *p = cpu->partition;
    const struct synthetic *s = &p->synthetic;
    u64 now = ticks(p), time = s->scale ? by_formula(p, now) + p->reference_offset : clock_reference_time(cpu->partition);
    u128 at;

    *to = 0;
    if (when <= time)
        return true;
    if (!s->scale) { /* a tick is some units: no less than one of them is left */
        at = ((u128)(when - time) * p->frequency + REFERENCE_UNITS - 1) / REFERENCE_UNITS;
        *to = (u64)at;
        return !(at >> 63);
    }
    at = (((u128)(when - p->reference_offset) << 64) + s->scale - 1) / s->scale;
    if (at >> 63 || (u64)at < now + s->tsc_offset)
        return false;
    *to = (u64)at - (now + s->tsc_offset);
    return true;
}

void clock_set_reference_tsc(struct partition *p, u64 offset)
{
    u64 now = ticks(p), time = by_formula(p, now);

    if (!p->synthetic.scale)
        return;
    p->synthetic.tsc_offset = offset;
    p->reference_offset += time - by_formula(p, now);
}

u64 clock_runtime(struct vcpu *cpu)
{
    const struct partition *p = cpu->partition;

    if (p->clock == SwhpClockVirtual)
        return scale(retired(cpu) * p->rate, REFERENCE_UNITS, p->frequency);

    u64 now = host_nanoseconds();

    if (!cpu->is_timed) {
        cpu->is_timed = true;
        cpu->ran_since = now;
    }
    if (!__atomic_load_n(&cpu->is_running, __ATOMIC_RELAXED))
        return cpu->ran / (NANOSECONDS / REFERENCE_UNITS);
    return (cpu->ran + now - cpu->ran_since) / (NANOSECONDS / REFERENCE_UNITS);
}

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a permutation of 64 bits. */
static u64 mix(u64 v)
{
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

/* A generator's state is the number of draws; the seed is mixed in first, so that neighbouring seeds share nothing. */
static u64 draw(u64 seed, u64 n)
{
    return mix(mix(seed) + n * 0x9e3779b97f4a7c15u);
}

u64 clock_random(struct partition *p)
{
    if (p->clock != SwhpClockVirtual)
        return host_random();
    p->random++;
    return draw(p->seed ^ 0x6a09e667f3bcc909u, p->random);
}

u64 clock_draw_turn(struct partition *p)
{
    p->turns.draws++;
    return draw(p->seed ^ 0xbb67ae8584caa73bu, p->turns.draws);
}

u64 clock_draw_undefined(const struct vcpu *cpu, unsigned n)
{
    u64 stream = draw(cpu->partition->seed ^ 0x3c6ef372fe94f82bu, cpu->index);

    return draw(stream, 4 * retired(cpu) + n);
}
