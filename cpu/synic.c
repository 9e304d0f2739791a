/* SPDX-License-Identifier: MIT */
/* Sources, their message slots and event flags, and the timers that use them. TLFS "Inter-partition communication". */
#include "cpu/synic.h"

#include "cpu/apic.h"
#include "exits/exit.h"
#include "state/clock.h"
#include "state/host.h"

/* A message: type, payload's size, flags, 2 bytes reserved, sender, payload. TLFS HV_MESSAGE. */
enum { MESSAGE_TYPE = 0, MESSAGE_PAYLOAD_SIZE = 4, MESSAGE_FLAGS = 5, MESSAGE_PAYLOAD = 16, TIMER_PAYLOAD = 24 };
#define MESSAGE_TIMER_EXPIRED 0x80000010u

/* ---- interrupts ---- */

bool synic_source_may_be(u64 v)
{
    return (v & 0xff) >= 16 || v & SINT_MASKED;
}

/* Polling counts as unmasked, without the interrupt. */
static bool is_masked(u64 source)
{
    return (source & (SINT_MASKED | SINT_POLLING)) == SINT_MASKED;
}

static bool interrupts(u64 source)
{
    return !(source & (SINT_MASKED | SINT_POLLING));
}

static void interrupt(struct vcpu *cpu, u64 source)
{
    if (!interrupts(source))
        return;
    __atomic_fetch_add(&cpu->counters[COUNT_SYNTHETIC], 1, __ATOMIC_RELAXED);
    apic_raise(cpu, (u8)source);
}

void synic_set_source(struct vcpu *cpu, unsigned n, u64 v)
{
    struct synic *s = cpu->synic;

    synic_lock(s);
    s->source[n] = v;
    memset(s->auto_eoi, 0, sizeof s->auto_eoi);
    for (unsigned i = 0; i < SYNIC_SOURCES; i++)
        if (s->source[i] & SINT_AUTO_EOI && interrupts(s->source[i]))
            apic_set_bit(s->auto_eoi, s->source[i] & 0xff);
    synic_unlock(s);
}

/* ---- messages; all with the lock held ---- */

static u8 *slot(const struct synic *s, unsigned source)
{
    return synic_page(s, PAGE_MESSAGES) + (size_t)source * MESSAGE_SIZE;
}

static u32 type_of(const u8 *message)
{
    return __atomic_load_n((const u32 *)(const void *)(message + MESSAGE_TYPE), __ATOMIC_SEQ_CST);
}

static bool is_enabled(const u64 *msr)
{
    return __atomic_load_n(msr, __ATOMIC_SEQ_CST) & 1;
}

static bool takes_messages(const struct synic *s)
{
    return is_enabled(&s->control) && is_enabled(&s->message_page);
}

/*
 * May a message be put there? Else the one that is there says that another waits. The guest clears the type, then looks at
 * the flag; we set the flag, then look at the type: one of us sees the other.
 */
static bool claim(struct synic *s, unsigned source)
{
    u8 *at = slot(s, source);

    if (!type_of(at))
        return true;
    __atomic_fetch_or(at + MESSAGE_FLAGS, MESSAGE_PENDING, __ATOMIC_SEQ_CST);
    return !type_of(at);
}

/* Does a timer's message wait for this slot? */
static bool waits(const struct synic *s, unsigned source)
{
    for (unsigned i = 0; i < SYNIC_TIMERS; i++)
        if (s->timer[i].is_queued && s->timer[i].source == source)
            return true;
    return false;
}

/* The type goes last, since it is what the guest looks at. */
static void put(struct vcpu *cpu, unsigned source, const u8 *message)
{
    struct synic *s = cpu->synic;
    u8 *at = slot(s, source);
    u64 head = load_bytes(message, 8);

    if (waits(s, source))
        head |= (u64)MESSAGE_PENDING << (8 * MESSAGE_FLAGS);
    for (unsigned i = 8; i < MESSAGE_SIZE; i += 8)
        store_bytes(at + i, load_bytes(message + i, 8), 8);
    store_bytes(at + 4, head >> 32, 4);
    __atomic_store_n((u32 *)(void *)at, (u32)head, __ATOMIC_RELEASE);
    interrupt(cpu, s->source[source]);
}

enum synic_result synic_post(struct vcpu *cpu, unsigned source, const void *message, unsigned size)
{
    struct synic *s = cpu->synic;
    enum synic_result result = SYNIC_DONE;
    u8 whole[MESSAGE_SIZE] = { 0 };

    memcpy(whole, message, size);
    synic_lock(s);
    if (!takes_messages(s))
        result = SYNIC_OFF;
    else if (!claim(s, source))
        result = SYNIC_BUSY;
    else
        put(cpu, source, whole);
    synic_unlock(s);
    return result;
}

enum synic_result synic_signal(struct vcpu *cpu, unsigned source, unsigned flag, bool *is_new)
{
    struct synic *s = cpu->synic;
    enum synic_result result = SYNIC_DONE;

    *is_new = false;
    synic_lock(s);
    if (!is_enabled(&s->control) || !is_enabled(&s->event_page) || is_masked(s->source[source])) {
        result = SYNIC_OFF;
    } else {
        u8 *at = synic_page(s, PAGE_EVENTS) + (size_t)source * (SYNIC_FLAGS / 8) + flag / 8, bit = (u8)(1 << flag % 8);

        *is_new = !(__atomic_fetch_or(at, bit, __ATOMIC_SEQ_CST) & bit);
        if (*is_new)
            interrupt(cpu, s->source[source]);
    }
    synic_unlock(s);
    return result;
}

void synic_page_get(struct vcpu *cpu, enum synic_page page, void *to)
{
    synic_lock(cpu->synic);
    memcpy(to, synic_page(cpu->synic, page), PAGE_SIZE);
    synic_unlock(cpu->synic);
}

void synic_page_set(struct vcpu *cpu, enum synic_page page, const void *from)
{
    synic_lock(cpu->synic);
    memcpy(synic_page(cpu->synic, page), from, PAGE_SIZE);
    synic_unlock(cpu->synic);
}

void synic_notify(struct vcpu *cpu)
{
    struct synic *s = cpu->synic;
    u64 asked = cpu->deliverability >> 48, ready = 0;

    synic_lock(s);
    for (unsigned i = 0; i < SYNIC_SOURCES && takes_messages(s); i++)
        if (asked >> i & 1 && claim(s, i))
            ready |= (u64)1 << i;
    synic_unlock(s);
    if (!ready)
        return; /* the guest's write to EOM comes back here */
    cpu->deliverability &= ~(ready << 48);
    exit_synic_sint(cpu, (u16)ready);
}

/* ---- timers ---- */

static void try_timer(struct vcpu *cpu, unsigned i)
{
    struct synic *s = cpu->synic;
    struct synic_timer *t = &s->timer[i];
    u8 message[MESSAGE_SIZE] = { 0 };

    if (!takes_messages(s) || !claim(s, t->source))
        return;
    store_bytes(message, MESSAGE_TIMER_EXPIRED, 4);
    message[MESSAGE_PAYLOAD_SIZE] = TIMER_PAYLOAD;
    store_bytes(message + MESSAGE_PAYLOAD, i, 4);
    store_bytes(message + MESSAGE_PAYLOAD + 8, t->expired, 8);
    store_bytes(message + MESSAGE_PAYLOAD + 16, clock_reference_time(cpu->partition), 8);
    t->is_queued = false;
    put(cpu, t->source, message);
}

void synic_scan(struct vcpu *cpu)
{
    struct synic *s = cpu->synic;

    synic_lock(s);
    for (unsigned i = 0; i < SYNIC_TIMERS; i++)
        if (s->timer[i].is_queued)
            try_timer(cpu, i);
    synic_unlock(s);
}

void synic_set_timers(struct vcpu *cpu, const struct synic_timer timer[SYNIC_TIMERS])
{
    synic_lock(cpu->synic);
    memcpy(cpu->synic->timer, timer, sizeof cpu->synic->timer);
    synic_unlock(cpu->synic);
    synic_scan(cpu);
}

/* A timer has one message: where the last one still waits, the two are one. */
static void expire(struct vcpu *cpu, unsigned i, u64 when, u64 config)
{
    struct synic *s = cpu->synic;
    struct synic_timer *t = &s->timer[i];

    if (config & STIMER_DIRECT) {
        __atomic_fetch_add(&cpu->counters[COUNT_SYNTHETIC], 1, __ATOMIC_RELAXED);
        apic_raise(cpu, (u8)(config >> 4));
        return;
    }
    synic_lock(s);
    if (!t->is_queued) {
        t->is_queued = true;
        t->expired = when;
        t->source = config >> 16 & 15;
    }
    try_timer(cpu, i);
    synic_unlock(s);
}

static void catch_up(struct vcpu *cpu, bool is_direct_alone)
{
    struct synic *s = cpu->synic;
    u64 now = 0, when;

    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        struct synic_timer *t = &s->timer[i];
        u64 config = t->config;

        if (!t->is_armed || (is_direct_alone && !(config & STIMER_DIRECT)))
            continue;
        if (!now)
            now = clock_reference_time(cpu->partition);
        if (synic_timer_settle(t, now, &when))
            expire(cpu, i, when, config);
    }
}

void synic_catch_up(struct vcpu *cpu)
{
    catch_up(cpu, false);
}

void synic_catch_up_direct(struct vcpu *cpu)
{
    catch_up(cpu, true);
}

u32 synic_waking(struct vcpu *cpu)
{
    struct synic *s = cpu->synic;
    u32 wanted = 0, priority = cpu->activity & IDLE_SUSPEND ? 0 : apic_ppr(cpu->apic) & 0xf0;

    if (!(__atomic_load_n(&cpu->apic->svr, __ATOMIC_RELAXED) & SVR_ENABLED))
        return 0;
    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        const struct synic_timer *t = &s->timer[i];
        unsigned source = t->config >> 16 & 15;
        bool will = t->config & STIMER_DIRECT ? (t->config >> 4 & 0xf0) > priority
                                              : takes_messages(s) && !type_of(slot(s, source)) && !t->is_queued &&
                                                    interrupts(s->source[source]) &&
                                                    (s->source[source] & 0xf0) > priority;

        wanted |= (u32)will << i;
    }
    return wanted;
}
