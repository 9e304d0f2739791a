/* SPDX-License-Identifier: MIT */
/*
 * The local APIC: what accesses to its registers bring about. Whatever the loop has to do after one is noted as
 * ATTENTION_APIC, which ends the block behind the instruction.
 */
#include "cpu/apic.h"

#include "cpu/synic.h"

static void look_again(struct vcpu *cpu)
{
    __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
}

static void trap(struct vcpu *cpu, u32 reason, u32 type, u64 value)
{
    cpu->apic->trap_reason = reason;
    cpu->apic->trap_type = type;
    cpu->apic->trap_value = value;
}

/* The value stands in the register already; the caller wants to hear of it. */
static void trap_write(struct vcpu *cpu, unsigned n, u64 v)
{
    const WHV_EXTENDED_VM_EXITS *exits = &cpu->partition->exits;
    bool asked = n == APIC_LDR         ? exits->X64ApicWriteLdrExitTrap
                 : n == APIC_DFR       ? exits->X64ApicWriteDfrExitTrap
                 : n == APIC_SVR       ? exits->X64ApicWriteSvrExitTrap
                 : n == APIC_LVT_LINT0 ? exits->X64ApicWriteLint0ExitTrap
                                       : exits->X64ApicWriteLint1ExitTrap;

    if (asked)
        trap(cpu, WHvRunVpExitReasonX64ApicWriteTrap, n << 4, v);
}

/* ---- errors and local vectors ---- */

/* Puts a vector into the IRR. False: vectors 0 to 15 aren't the APIC's. */
static bool accept(struct vcpu *cpu, unsigned vector, bool is_level)
{
    struct apic *a = cpu->apic;

    if (vector < 16) {
        __atomic_fetch_or(&a->errors, ESR_RECEIVE_ILLEGAL, __ATOMIC_SEQ_CST);
        return false;
    }
    if (is_level)
        apic_set_bit(a->tmr, vector);
    else
        apic_clear_bit(a->tmr, vector);
    if (!(apic_set_bit(a->irr, vector) >> (vector & 31) & 1))
        vcpu_call(cpu, ATTENTION_APIC);
    return true;
}

static void set_signal(struct vcpu *cpu, u32 signal)
{
    __atomic_fetch_or(&cpu->apic->signals, signal, __ATOMIC_SEQ_CST);
    vcpu_call(cpu, ATTENTION_APIC);
}

/* An error that stands in `errors` raises its interrupt; if that has an illegal vector, nothing more comes of it. */
static void raise_error(struct vcpu *cpu)
{
    u32 lvt = cpu->apic->lvt[APIC_LVT_ERROR - APIC_LVT_TIMER];

    if (!(lvt & LVT_MASKED))
        accept(cpu, lvt & 0xff, false);
}

static void note_error(struct vcpu *cpu, u32 error)
{
    __atomic_fetch_or(&cpu->apic->errors, error, __ATOMIC_SEQ_CST);
    raise_error(cpu);
}

/* A local source fires; each LVT but the timer's and the error's has a delivery mode. */
void apic_fire(struct vcpu *cpu, unsigned n)
{
    u32 lvt = cpu->apic->lvt[n - APIC_LVT_TIMER];

    if (lvt & LVT_MASKED)
        return;
    switch (lvt >> 8 & 7) {
    case DELIVER_FIXED:
        if (!accept(cpu, lvt & 0xff, n == APIC_LVT_LINT1 && lvt & ICR_LEVEL))
            raise_error(cpu);
        break;
    case DELIVER_NMI: set_signal(cpu, SIGNAL_NMI); break;
    case DELIVER_INIT: set_signal(cpu, SIGNAL_INIT); break;
    default: break; /* SMI has no mode to enter, ExtINT nobody who would tell the vector */
    }
}

/* ---- messages ---- */

bool apic_matches(const struct vcpu *cpu, const struct apic_message *m)
{
    const struct apic *a = cpu->apic;
    u32 mode = __atomic_load_n(&a->mode, __ATOMIC_RELAXED), ldr = __atomic_load_n(&a->ldr, __ATOMIC_RELAXED);
    u32 to = m->destination;

    if (mode == APIC_OFF)
        return false;
    if (to == 0xffffffff || to == m->broadcast)
        return true;
    if (mode == APIC_X2APIC) {
        if (!m->is_logical)
            return to == __atomic_load_n(&cpu->apic_id, __ATOMIC_RELAXED);
        return to >> 16 == ldr >> 16 && to & ldr & 0xffff;
    }
    if (to >= 0xff)
        return to == 0xff; /* everybody, whoever sends */
    if (!m->is_logical)
        return to == __atomic_load_n(&a->id, __ATOMIC_RELAXED);
    if (__atomic_load_n(&a->dfr, __ATOMIC_RELAXED) >> 28 == 15) /* flat: a bit each */
        return to & ldr >> 24;
    return (to >> 4 == 15 || to >> 4 == ldr >> 28) && to & ldr >> 24 & 15; /* clusters of four */
}

/* SIPI is kept once, with its first vector; an INIT forgets one that waits. */
static void signal_start(struct vcpu *cpu, const struct apic_message *m)
{
    u32 *signals = &cpu->apic->signals, was = __atomic_load_n(signals, __ATOMIC_SEQ_CST), now;

    do {
        if (m->delivery == DELIVER_INIT)
            now = (was & ~(SIGNAL_SIPI | 0xff00)) | SIGNAL_INIT;
        else
            now = was & SIGNAL_SIPI ? was : was | SIGNAL_SIPI | (u32)m->vector << 8;
    } while (!__atomic_compare_exchange_n(signals, &was, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    vcpu_call(cpu, ATTENTION_APIC);
}

static void post(struct vcpu *cpu, const struct apic_message *m)
{
    bool is_enabled = __atomic_load_n(&cpu->apic->svr, __ATOMIC_RELAXED) & SVR_ENABLED;

    switch (m->delivery) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (is_enabled && !accept(cpu, m->vector, m->is_level))
            set_signal(cpu, SIGNAL_ERROR);
        break;
    case DELIVER_NMI: set_signal(cpu, SIGNAL_NMI); break;
    case DELIVER_LINT1: set_signal(cpu, SIGNAL_LINT1); break;
    case DELIVER_INIT:
    case DELIVER_SIPI: signal_start(cpu, m); break;
    default: break;
    }
}

void apic_raise(struct vcpu *cpu, u8 vector)
{
    if (__atomic_load_n(&cpu->apic->svr, __ATOMIC_RELAXED) & SVR_ENABLED && !accept(cpu, vector, false))
        set_signal(cpu, SIGNAL_ERROR);
}

/* The arbitration priority decides, between equals the number: APM 2 16.6, "Lowest priority messages". */
static struct vcpu *lowest(struct vcpu *const *cpus, u32 n, const struct apic_message *m)
{
    struct vcpu *best = NULL;
    u32 priority = 0;

    for (u32 i = 0; i < n; i++) {
        if (!cpus[i] || !apic_matches(cpus[i], m) ||
            !(__atomic_load_n(&cpus[i]->apic->svr, __ATOMIC_RELAXED) & SVR_ENABLED))
            continue;

        u32 its = apic_arbitration(cpus[i]->apic);

        if (!best || its < priority) {
            best = cpus[i];
            priority = its;
        }
    }
    return best;
}

void apic_send(struct vcpu *const *cpus, u32 n, const struct apic_message *m)
{
    if (m->delivery == DELIVER_LOWEST) {
        struct vcpu *one = lowest(cpus, n, m);

        if (one)
            post(one, m);
        return;
    }
    for (u32 i = 0; i < n; i++)
        if (cpus[i] && apic_matches(cpus[i], m))
            post(cpus[i], m);
}

/* ---- sending ---- */

static void send_shorthand(struct vcpu *cpu, unsigned shorthand, struct apic_message *m)
{
    struct vcpu *others[MAX_PROCESSORS];
    u32 n = cpu->partition->processors;

    m->destination = 0xffffffff;
    if (shorthand == 1) {
        if (m->delivery == DELIVER_FIXED || m->delivery == DELIVER_NMI) /* others aren't valid: APM 2 table 16-4 */
            post(cpu, m);
        return;
    }
    for (u32 i = 0; i < n; i++)
        others[i] = shorthand == 3 && i == cpu->index ? NULL : cpu->partition->cpu[i];
    if (shorthand == 2 && (m->delivery == DELIVER_INIT || m->delivery == DELIVER_SIPI))
        return;
    apic_send(others, n, m);
}

/* Timers that have expired since their processors' turns come before the message. Others' own threads settle theirs. */
static void settle_others(struct vcpu *cpu)
{
    const struct partition *p = cpu->partition;

    if (!__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED))
        return;
    for (u32 i = 0; i < p->processors; i++)
        if (p->cpu[i])
            apic_settle(p->cpu[i]);
}

/* The low half of the ICR was written. */
static void send(struct vcpu *cpu, u64 icr)
{
    const struct partition *p = cpu->partition;
    bool x2 = cpu->apic->mode == APIC_X2APIC;
    struct apic_message m = { .delivery = icr >> 8 & 7,
                              .vector = (u8)icr,
                              .is_level = icr & ICR_LEVEL,
                              .is_logical = icr & ICR_LOGICAL,
                              .destination = x2 ? (u32)(icr >> 32) : (u32)(icr >> 56),
                              .broadcast = x2 ? 0xffffffff : 0xff };
    unsigned shorthand = icr >> 18 & 3;

    switch (m.delivery) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (m.vector < 16) {
            note_error(cpu, ESR_SEND_ILLEGAL);
            return;
        }
        break;
    case DELIVER_SMI:
        if (p->exits.X64ApicSmiExitTrap)
            trap(cpu, WHvRunVpExitReasonX64ApicSmiTrap, 0, icr);
        return;
    case DELIVER_NMI: break;
    case DELIVER_INIT:
    case DELIVER_SIPI:
        if (m.delivery == DELIVER_INIT && (icr & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL)
            return; /* de-assert, which loaded arbitration IDs once */
        if (p->exits.X64ApicInitSipiExitTrap) {
            trap(cpu, WHvRunVpExitReasonX64ApicInitSipiTrap, 0, icr);
            return;
        }
        break;
    default: return; /* remote reads are refused as a property, ExtINT has no PIC to ask */
    }
    if (m.is_level && !(icr & ICR_ASSERT))
        return;
    cpu->counters[COUNT_APIC_IPI]++;
    cpu->counters[COUNT_APIC_SELF] += shorthand == 1;
    settle_others(cpu);
    if (shorthand)
        send_shorthand(cpu, shorthand, &m);
    else
        apic_send(p->cpu, p->processors, &m);
}

/* ---- registers ---- */

static void end_of_interrupt(struct vcpu *cpu)
{
    struct apic *a = cpu->apic;
    int vector = apic_highest(a->isr);

    cpu->counters[COUNT_APIC_EOI]++;
    if (cpu->synic)
        synic_scan(cpu); /* TLFS "Messages": one of the three events that deliver what is queued */
    if (vector < 0)
        return;
    apic_clear_bit(a->isr, (unsigned)vector);
    if (apic_test(a->tmr, (unsigned)vector))
        trap(cpu, WHvRunVpExitReasonX64ApicEoi, 0, (u64)vector);
}

void apic_catch_up(struct vcpu *cpu)
{
    if (apic_timer_settle(cpu))
        apic_fire(cpu, APIC_LVT_TIMER);
}

void apic_settle(struct vcpu *cpu)
{
    apic_catch_up(cpu);
    if (cpu->synic)
        synic_catch_up_direct(cpu);
}

u64 apic_register_read(struct vcpu *cpu, unsigned n)
{
    cpu->counters[COUNT_APIC_TPR] += n == APIC_TPR;
    return apic_read(cpu, n);
}

void apic_register_write(struct vcpu *cpu, unsigned n, u64 v)
{
    struct apic *a = cpu->apic;

    cpu->counters[COUNT_APIC_TPR] += n == APIC_TPR;
    apic_catch_up(cpu);
    look_again(cpu);
    switch (n) {
    case APIC_VERSION:
    case APIC_PPR:
    case APIC_CURRENT_COUNT: break;
    case APIC_EOI: end_of_interrupt(cpu); break;
    case APIC_ESR: a->esr = __atomic_exchange_n(&a->errors, 0, __ATOMIC_SEQ_CST); break;
    case APIC_ICR:
        apic_put(cpu, n, v);
        send(cpu, a->icr);
        break;
    case APIC_SELF_IPI: send(cpu, 1u << 18 | (v & 0xff)); break;
    case APIC_LDR:
    case APIC_DFR:
    case APIC_SVR:
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1:
        apic_put(cpu, n, v);
        trap_write(cpu, n, v);
        break;
    default:
        if (n < APIC_ISR || n > APIC_ESR)
            apic_put(cpu, n, v);
        break;
    }
}

/* SDM "Local APIC registers": 32 bits at the start of each 16 bytes. */
void apic_access(struct vcpu *cpu, u32 offset, u8 *bytes, unsigned size, bool is_write)
{
    cpu->counters[COUNT_APIC_PAGE]++;
    if (is_write) {
        unsigned n = offset >> 4;

        if (size != 4 || offset & 15)
            return;
        if (n >= APIC_REGISTERS || apic_is_reserved(n)) {
            note_error(cpu, ESR_ILLEGAL_REGISTER);
            look_again(cpu);
        } else {
            apic_register_write(cpu, n, load_bytes(bytes, 4));
        }
        return;
    }
    memset(bytes, 0, size);
    for (u32 at = offset & ~15u; at < offset + size; at += 16) {
        unsigned n = at >> 4, from = at < offset ? offset - at : 0, past = offset + size - at;
        u8 word[4];

        if (n >= APIC_REGISTERS || apic_is_reserved(n)) {
            note_error(cpu, ESR_ILLEGAL_REGISTER);
            continue;
        }
        store_bytes(word, apic_register_read(cpu, n), 4);
        for (unsigned i = from; i < 4 && i < past; i++)
            bytes[at + i - offset] = word[i];
    }
}

enum msr_result apic_msr_read(struct vcpu *cpu, u32 index, u64 *value)
{
    unsigned n = index - 0x800;

    if (cpu->apic->mode != APIC_X2APIC || !apic_x2_ok(cpu, n, 0, false))
        return MSR_REFUSED;
    *value = n == APIC_ICR ? cpu->apic->icr : apic_register_read(cpu, n);
    return MSR_DONE;
}

enum msr_result apic_msr_write(struct vcpu *cpu, u32 index, u64 value)
{
    unsigned n = index - 0x800;

    if (cpu->apic->mode != APIC_X2APIC || !apic_x2_ok(cpu, n, value, true))
        return MSR_REFUSED;
    apic_register_write(cpu, n, value);
    return MSR_DONE;
}
