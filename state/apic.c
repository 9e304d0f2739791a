/* SPDX-License-Identifier: MIT */
/* The local APIC's registers: state/apic.h. */
#include "state/apic.h"

#include "state/partition.h"
#include "state/vcpu.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, v) __atomic_store_n(&(field), (v), __ATOMIC_RELAXED)

enum { VERSION = 0x00050010 }; /* 10h, and six local vectors */

/* What may be written to each local vector; what others can read there is zero. APM 2 16.4. */
static const u32 lvt_writable[APIC_LVTS] = {
    0x000700ff, /* timer: mode, mask, vector */
    0x000107ff, /* thermal: mask, delivery mode, vector */
    0x000107ff, /* performance counters */
    0x0001a7ff, /* LINT0: trigger mode, polarity too */
    0x0001a7ff, /* LINT1 */
    0x000100ff, /* error */
};
#define LVT_READ_ONLY 0x5000u /* remote IRR and delivery status, which are never seen set */

/* ---- the whole ---- */

/* The modes of APIC_BASE, and what follows from them. */
static void set_mode(struct vcpu *cpu, enum apic_mode mode)
{
    STORE(cpu->apic->mode, mode);
    cpu->apic_page = mode == APIC_XAPIC ? APIC_PAGE : ~(u64)0;
    if (mode == APIC_X2APIC) /* SDM "Logical destination mode in x2APIC mode" */
        STORE(cpu->apic->ldr, cpu->apic_id >> 4 << 16 | 1u << (cpu->apic_id & 15));
}

void apic_reset(struct vcpu *cpu, bool by_init)
{
    struct apic *a = cpu->apic;

    for (unsigned i = 0; i < 8; i++) {
        STORE(a->irr[i], 0);
        STORE(a->isr[i], 0);
        STORE(a->tmr[i], 0);
    }
    if (!by_init) {
        STORE(a->id, cpu->apic_id & 0xff);
        STORE(a->signals, 0);
    }
    __atomic_fetch_and(&a->signals, ~SIGNAL_NMI, __ATOMIC_SEQ_CST);
    STORE(a->errors, 0);
    STORE(a->ldr, 0);
    STORE(a->dfr, 0xffffffff);
    STORE(a->svr, 0xff);
    STORE(a->tpr, 0);
    cpu->cr8 = 0;
    a->esr = 0;
    a->icr = 0;
    for (unsigned i = 0; i < APIC_LVTS; i++)
        a->lvt[i] = LVT_MASKED;
    a->divide = 0;
    a->timer = (struct apic_timer){ 0 };
    a->has_ext_int = false;
    a->trap_reason = 0;
    set_mode(cpu, !(cpu->apic_base & APIC_BASE_EN)    ? APIC_OFF
                  : cpu->apic_base & APIC_BASE_EXTD ? APIC_X2APIC
                                                    : APIC_XAPIC);
}

/*
 * Partitions of mode XApic have an APIC that is always on. Those of X2Apic have the states of SDM "x2APIC state
 * transitions": off, xAPIC, x2APIC; no way from off to x2APIC, nor from there to xAPIC, but by off.
 */
bool apic_base_ok(const struct vcpu *cpu, u64 v, bool by_caller)
{
    u64 known = (ones(cpu->partition->physical_width) & PAGE_MASK) | APIC_BASE_BSP | APIC_BASE_EN | APIC_BASE_EXTD;
    u64 state = APIC_BASE_EN | APIC_BASE_EXTD, from = cpu->apic_base & state, to = v & state;

    if (v & ~known)
        return false;
    if (cpu->partition->apic_mode != WHvX64LocalApicEmulationModeX2Apic)
        return !(v & APIC_BASE_EXTD);
    if (to == APIC_BASE_EXTD)
        return false;
    return by_caller || !((from == state && to == APIC_BASE_EN) || (from == 0 && to == state));
}

/* The base doesn't move, and the bit that tells the bootstrap processor is the caller's. Reference 7.1. */
void apic_set_base(struct vcpu *cpu, u64 v, bool by_caller)
{
    u64 state = APIC_BASE_EN | APIC_BASE_EXTD, was = cpu->apic_base;

    if (cpu->partition->apic_mode != WHvX64LocalApicEmulationModeX2Apic)
        v |= APIC_BASE_EN;
    cpu->apic_base = APIC_PAGE | (v & state) | ((by_caller ? v : was) & APIC_BASE_BSP);
    if ((was ^ cpu->apic_base) & state) {
        if (!(v & APIC_BASE_EN)) {
            apic_reset(cpu, false);
            return;
        }
        if (v & APIC_BASE_EXTD)
            cpu->apic->icr = (u32)cpu->apic->icr;
        else
            STORE(cpu->apic->ldr, 0);
        set_mode(cpu, v & APIC_BASE_EXTD ? APIC_X2APIC : APIC_XAPIC);
    }
}

void apic_set_id(struct vcpu *cpu, u32 id)
{
    STORE(cpu->apic_id, id);
    STORE(cpu->apic->id, id & 0xff);
    set_mode(cpu, (enum apic_mode)cpu->apic->mode);
}

/* ---- registers ---- */

bool apic_is_reserved(unsigned n)
{
    return n < APIC_ID || (n > APIC_VERSION && n < APIC_TPR) || (n > APIC_ESR && n < APIC_ICR) ||
           (n > APIC_CURRENT_COUNT && n != APIC_DIVIDE);
}

static bool is_lvt(unsigned n)
{
    return n >= APIC_LVT_TIMER && n <= APIC_LVT_ERROR;
}

static u32 lvt_mask(const struct vcpu *cpu, unsigned n)
{
    u32 mask = lvt_writable[n - APIC_LVT_TIMER];

    return n == APIC_LVT_TIMER && !apic_has_deadline(cpu) ? mask & ~LVT_DEADLINE : mask;
}

/* SDM "x2APIC register address space", table; reserved bits raise in "Reserved bit checking". */
bool apic_x2_ok(const struct vcpu *cpu, unsigned n, u64 v, bool is_write)
{
    if (!is_write)
        return n < APIC_REGISTERS && !apic_is_reserved(n) && n != APIC_APR && n != APIC_EOI && n != 0x0c &&
               n != APIC_DFR && n != APIC_ICR_HIGH && n != APIC_SELF_IPI;
    if (n == APIC_ICR)
        return !(v & 0xfff33000);
    if (v >> 32)
        return false;
    if (is_lvt(n))
        return !(v & ~(u64)(lvt_mask(cpu, n) | LVT_READ_ONLY));
    switch (n) {
    case APIC_TPR:
    case APIC_SELF_IPI: return v <= 0xff;
    case APIC_EOI:
    case APIC_ESR: return v == 0;
    case APIC_SVR: return !(v & ~(u64)0x3ff);
    case APIC_INITIAL_COUNT: return true;
    case APIC_DIVIDE: return !(v & ~(u64)0xb);
    default: return false;
    }
}

u32 apic_read(struct vcpu *cpu, unsigned n)
{
    const struct apic *a = cpu->apic;

    if (n >= APIC_ISR && n < APIC_ESR) {
        const u32 *bits = n < APIC_TMR ? a->isr : n < APIC_IRR ? a->tmr : a->irr;

        return __atomic_load_n(&bits[n & 7], __ATOMIC_SEQ_CST);
    }
    if (is_lvt(n))
        return a->lvt[n - APIC_LVT_TIMER];
    switch (n) {
    case APIC_ID: return a->mode == APIC_X2APIC ? cpu->apic_id : a->id << 24;
    case APIC_VERSION: return VERSION;
    case APIC_TPR: return a->tpr;
    case APIC_APR: return apic_arbitration(a);
    case APIC_PPR: return apic_ppr(a);
    case APIC_LDR: return a->ldr;
    case APIC_DFR: return a->mode == APIC_X2APIC ? 0 : a->dfr;
    case APIC_SVR: return a->svr;
    case APIC_ESR: return a->esr;
    case APIC_ICR: return (u32)a->icr;
    case APIC_ICR_HIGH: return (u32)(a->icr >> 32);
    case APIC_INITIAL_COUNT: return a->timer.initial;
    case APIC_CURRENT_COUNT: return apic_timer_current(cpu);
    case APIC_DIVIDE: return a->divide;
    default: return 0;
    }
}

static void put_lvt(struct vcpu *cpu, unsigned n, u32 v)
{
    struct apic *a = cpu->apic;
    u32 *lvt = &a->lvt[n - APIC_LVT_TIMER], before = *lvt;

    v &= lvt_mask(cpu, n);
    if (!(a->svr & SVR_ENABLED))
        v |= LVT_MASKED;
    *lvt = v;
    if (n == APIC_LVT_TIMER && ((before ^ v) & LVT_TIMER_MODE))
        apic_timer_mode(cpu, before);
}

static void put_svr(struct apic *a, u32 v)
{
    STORE(a->svr, v & 0x3ff);
    for (unsigned i = 0; !(v & SVR_ENABLED) && i < APIC_LVTS; i++)
        a->lvt[i] |= LVT_MASKED;
}

void apic_put(struct vcpu *cpu, unsigned n, u64 v)
{
    struct apic *a = cpu->apic;
    bool x2 = a->mode == APIC_X2APIC;

    if (n >= APIC_ISR && n < APIC_ESR) {
        u32 *bits = n < APIC_TMR ? a->isr : n < APIC_IRR ? a->tmr : a->irr;

        __atomic_store_n(&bits[n & 7], (u32)v & (n & 7 ? ~0u : 0xffff0000), __ATOMIC_SEQ_CST);
        return;
    }
    if (is_lvt(n)) {
        put_lvt(cpu, n, (u32)v);
        return;
    }
    switch (n) {
    case APIC_ID:
        if (!x2)
            STORE(a->id, (u32)v >> 24);
        break;
    case APIC_TPR:
        STORE(a->tpr, (u32)v & 0xff);
        cpu->cr8 = v >> 4 & 15;
        break;
    case APIC_LDR:
        if (!x2)
            STORE(a->ldr, (u32)v & 0xff000000);
        break;
    case APIC_DFR:
        if (!x2)
            STORE(a->dfr, (u32)v | 0x0fffffff);
        break;
    case APIC_SVR: put_svr(a, (u32)v); break;
    case APIC_ESR: a->esr = (u32)v & 0xff; break;
    case APIC_ICR: a->icr = x2 ? v & ~(u64)0xfff33000 : (a->icr & ~(u64)0xffffffff) | (v & 0xccfff); break;
    case APIC_ICR_HIGH: a->icr = (u32)a->icr | (u64)((u32)v & (x2 ? ~0u : 0xff000000)) << 32; break;
    case APIC_INITIAL_COUNT: apic_timer_start(cpu, (u32)v); break;
    case APIC_CURRENT_COUNT: apic_timer_resume(cpu, (u32)v, 0); break;
    case APIC_DIVIDE: apic_timer_divide(cpu, (u32)v & 0xb); break;
    default: break;
    }
}

/* ---- priorities: SDM "Interrupt, task, and processor priority" ---- */

int apic_highest(const u32 bits[8])
{
    for (int i = 7; i >= 0; i--) {
        u32 word = __atomic_load_n(&bits[i], __ATOMIC_SEQ_CST);

        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

static u32 of_vector(int vector) /* its class; 0 for none */
{
    return vector < 0 ? 0 : (u32)vector & 0xf0;
}

u32 apic_ppr(const struct apic *a)
{
    u32 tpr = LOAD(a->tpr), isr = of_vector(apic_highest(a->isr));

    return (tpr & 0xf0) >= isr ? tpr : isr;
}

u32 apic_arbitration(const struct apic *a)
{
    u32 tpr = LOAD(a->tpr), isr = of_vector(apic_highest(a->isr)), irr = of_vector(apic_highest(a->irr));

    if ((tpr & 0xf0) >= irr && (tpr & 0xf0) > isr)
        return tpr;
    return isr > irr ? isr : irr;
}

int apic_deliverable(const struct apic *a)
{
    int vector = apic_highest(a->irr);

    return vector >= 0 && of_vector(vector) > (apic_ppr(a) & 0xf0) ? vector : -1;
}

bool apic_wakes(struct vcpu *cpu)
{
    const struct apic *a = cpu->apic;
    u32 signals = __atomic_load_n(&a->signals, __ATOMIC_SEQ_CST);

    if ((signals & SIGNAL_NMI && !cpu->nmi_masked) || signals & SIGNAL_INIT || cpu->pending_debug)
        return true;
    return cpu->rflags & IF && apic_deliverable(a) >= 0;
}

u64 apic_activity(struct vcpu *cpu)
{
    u64 ticks;

    if (cpu->activity != HALT_SUSPEND)
        return cpu->activity;
    if (apic_wakes(cpu))
        return 0;
    if (!apic_timer_next(cpu, &ticks) || ticks || !(cpu->rflags & IF))
        return HALT_SUSPEND;
    return (cpu->apic->lvt[0] & 0xf0) > (apic_ppr(cpu->apic) & 0xf0) ? 0 : HALT_SUSPEND;
}
