/* SPDX-License-Identifier: MIT */
/*
 * The synthetic MSRs. Those that place pages change the map that all processors rely on, so they do it in a meeting, as
 * mapping does; a WRMSR ends its block, so what it knew of memory isn't used any more.
 */
#include "cpu/synthetic.h"

#include "cpu/apic.h"
#include "mem/ram.h"
#include "state/clock.h"
#include "state/host.h"
#include "state/meet.h"

/* ---- pages ---- */

_Static_assert(SYNTHETIC_PAGES + MAX_PROCESSORS * SYNIC_PAGES <= MOST_OVERLAYS, "all of them have a place");

/* By the processor's own instruction, or by a call of the API, which holds the processor and has asked. */
static void begin(struct vcpu *cpu)
{
    if (cpu->at)
        meet_begin_inside(cpu);
    else
        meet_begin(cpu->partition);
}

static void end(struct vcpu *cpu)
{
    if (cpu->at)
        meet_end_inside(cpu);
    else
        meet_end(cpu->partition);
}

/* Where the MSR places its page; ~0: nowhere, also beyond the guest's memory. */
static u64 place_of(const struct partition *p, u64 msr)
{
    u64 gpa = msr & PAGE_MASK;

    return msr & HV_PAGE_ENABLED && !(gpa >> p->physical_width) ? gpa : ~(u64)0;
}

static void cover(struct partition *p, u8 *host, u64 msr, u32 rights)
{
    ram_overlay(p->ram, host, place_of(p, msr), rights);
    p->generation++;
    for (u32 i = 0; i < p->processors; i++)
        if (p->cpu[i])
            vcpu_call(p->cpu[i], ATTENTION_TLB);
}

/* While no processor runs. Written back, nothing moves. */
static void move_page(struct partition *p, u64 *msr, u64 v, u8 *host, u32 rights)
{
    bool moves = place_of(p, *msr) != place_of(p, v);

    __atomic_store_n(msr, v, __ATOMIC_SEQ_CST);
    if (moves)
        cover(p, host, v, rights);
}

static void set_page(struct vcpu *cpu, u64 *msr, u64 v, enum synic_page page)
{
    begin(cpu);
    move_page(cpu->partition, msr, v, synic_page(cpu->synic, page), PAGE_READ | PAGE_WRITE);
    end(cpu);
}

void synthetic_uncover(struct vcpu *cpu)
{
    for (unsigned i = 0; cpu->synic && i < SYNIC_PAGES; i++)
        cover(cpu->partition, synic_page(cpu->synic, (enum synic_page)i), 0, 0);
}

void synthetic_reset(struct partition *p)
{
    struct synthetic *s = &p->synthetic;

    s->guest_os_id = s->hypercall = s->reference_tsc = 0;
    s->sequence = 0;
    for (unsigned i = 0; s->pages && i < SYNTHETIC_PAGES; i++)
        cover(p, s->pages + i * PAGE_SIZE, 0, 0);
}

/* ---- hypercalls ---- */

/* The page has AMD's instruction, as the profile is AMD's, and RET; INT3 catches jumps to elsewhere. */
bool synthetic_open(struct partition *p)
{
    static const u8 code[] = { 0x0f, 0x01, 0xd9, 0xc3 };
    u8 *pages = host_alloc(SYNTHETIC_PAGES * PAGE_SIZE);

    if (!pages)
        return false;
    memset(pages + PAGE_HYPERCALL * PAGE_SIZE, 0xcc, PAGE_SIZE);
    memcpy(pages + PAGE_HYPERCALL * PAGE_SIZE, code, sizeof code);
    p->synthetic.pages = pages;
    return true;
}

void synthetic_close(struct partition *p)
{
    if (p->synthetic.pages)
        host_free(p->synthetic.pages, SYNTHETIC_PAGES * PAGE_SIZE);
}

/* While no processor runs. Without a guest's identity the page isn't enabled. */
static void move_hypercall(struct partition *p, u64 v)
{
    struct synthetic *s = &p->synthetic;

    if (!s->guest_os_id)
        v &= ~HV_PAGE_ENABLED;
    move_page(p, &s->hypercall, v, s->pages + PAGE_HYPERCALL * PAGE_SIZE, PAGE_READ | PAGE_EXECUTE);
}

/* What is locked may be written back. */
static bool hypercall_may_be(const struct partition *p, u64 v)
{
    u64 now = __atomic_load_n(&p->synthetic.hypercall, __ATOMIC_SEQ_CST);

    return now & HV_HYPERCALL_LOCKED ? v == now : !((v & PAGE_MASK) >> p->physical_width);
}

static enum msr_result set_hypercall(struct vcpu *cpu, u64 v, bool really)
{
    bool may_be;

    if (!really)
        return hypercall_may_be(cpu->partition, v) ? MSR_DONE : MSR_REFUSED;
    begin(cpu); /* nobody else locks it meanwhile */
    may_be = hypercall_may_be(cpu->partition, v);
    if (may_be)
        move_hypercall(cpu->partition, v);
    end(cpu);
    return may_be ? MSR_DONE : MSR_REFUSED;
}

static void set_guest_os_id(struct vcpu *cpu, u64 v)
{
    struct synthetic *s = &cpu->partition->synthetic;

    begin(cpu);
    __atomic_store_n(&s->guest_os_id, v, __ATOMIC_SEQ_CST);
    move_hypercall(cpu->partition, s->hypercall);
    end(cpu);
}

/* ---- the reference TSC ---- */

/* TLFS HV_REFERENCE_TSC_PAGE. While no processor runs. */
static void write_tsc_page(struct partition *p)
{
    struct synthetic *s = &p->synthetic;
    u8 *page = s->pages + PAGE_REFERENCE_TSC * PAGE_SIZE;

    store_bytes(page, s->sequence, 4);
    store_bytes(page + 8, s->scale, 8);
    store_bytes(page + 16, p->reference_offset, 8);
}

/* Sequence 0 tells guests to read TIME_REF_COUNT: the page is one, and TSCs may be several. */
void synthetic_settle_tsc(struct partition *p)
{
    struct synthetic *s = &p->synthetic;
    const struct vcpu *first = NULL;
    bool is_one = true;

    if (!(s->reference_tsc & HV_PAGE_ENABLED))
        return;
    for (u32 i = 0; i < p->processors; i++) {
        if (!p->cpu[i])
            continue;
        first = first ? first : p->cpu[i];
        is_one = is_one && p->cpu[i]->tsc_offset == first->tsc_offset;
    }
    if (first && is_one)
        clock_set_reference_tsc(p, first->tsc_offset);
    s->sequence = !is_one || !s->scale ? 0 : s->sequence + 1 ? s->sequence + 1 : 1;
    write_tsc_page(p);
}

void synthetic_set_sequence(struct vcpu *cpu, u32 sequence)
{
    begin(cpu);
    cpu->partition->synthetic.sequence = sequence;
    write_tsc_page(cpu->partition);
    end(cpu);
}

void synthetic_tsc_moved(struct vcpu *cpu)
{
    if (!(cpu->partition->synthetic.reference_tsc & HV_PAGE_ENABLED))
        return;
    begin(cpu);
    synthetic_settle_tsc(cpu->partition);
    end(cpu);
}

static void set_reference_tsc(struct vcpu *cpu, u64 v)
{
    struct partition *p = cpu->partition;
    struct synthetic *s = &p->synthetic;

    begin(cpu);
    move_page(p, &s->reference_tsc, v, s->pages + PAGE_REFERENCE_TSC * PAGE_SIZE, PAGE_READ);
    synthetic_settle_tsc(p);
    end(cpu);
}

/* ---- the APIC's registers ---- */

static enum msr_result read_apic(struct vcpu *cpu, u32 index, u64 *v)
{
    if (cpu->apic->mode == APIC_OFF || index == HV_EOI)
        return MSR_REFUSED;
    *v = index == HV_ICR ? cpu->apic->icr : apic_register_read(cpu, APIC_TPR);
    return MSR_DONE;
}

static enum msr_result write_apic(struct vcpu *cpu, u32 index, u64 v, bool really)
{
    bool x2 = cpu->apic->mode == APIC_X2APIC;

    if (cpu->apic->mode == APIC_OFF || (index == HV_EOI && v >> 32) || (index == HV_TPR && v >> 8) ||
        (index == HV_ICR && x2 && !apic_x2_ok(cpu, APIC_ICR, v, true)))
        return MSR_REFUSED;
    if (!really)
        return MSR_DONE;
    if (index == HV_ICR && !x2) {
        apic_put(cpu, APIC_ICR_HIGH, v >> 32);
        v = (u32)v;
    }
    apic_register_write(cpu, index == HV_EOI ? APIC_EOI : index == HV_ICR ? APIC_ICR : APIC_TPR, v);
    return MSR_DONE;
}

/* ---- all ---- */

enum msr_result synthetic_read(struct vcpu *cpu, u32 index, u64 *v)
{
    struct partition *p = cpu->partition;
    const struct synic *s = cpu->synic;

    if (!synthetic_is_there(p, index))
        return MSR_UNKNOWN;
    if (index >= HV_SINT0 && index <= HV_SINT15) {
        *v = s->source[index - HV_SINT0];
        return MSR_DONE;
    }
    if (index >= HV_STIMER0_CONFIG && index <= HV_STIMER3_COUNT) {
        const struct synic_timer *t = &s->timer[(index - HV_STIMER0_CONFIG) / 2];

        synic_catch_up(cpu);
        *v = index & 1 ? t->count : t->config;
        return MSR_DONE;
    }
    switch (index) {
    case HV_GUEST_OS_ID: *v = __atomic_load_n(&p->synthetic.guest_os_id, __ATOMIC_SEQ_CST); break;
    case HV_HYPERCALL: *v = __atomic_load_n(&p->synthetic.hypercall, __ATOMIC_SEQ_CST); break;
    case HV_VP_INDEX: *v = cpu->index; break;
    case HV_VP_RUNTIME: *v = clock_runtime(cpu); break;
    case HV_TIME_REF_COUNT: *v = clock_reference_time(p); break;
    case HV_REFERENCE_TSC: *v = __atomic_load_n(&p->synthetic.reference_tsc, __ATOMIC_SEQ_CST); break;
    case HV_TSC_FREQUENCY: *v = p->frequency; break;
    case HV_APIC_FREQUENCY: *v = p->interrupt_frequency; break;
    case HV_EOI:
    case HV_ICR:
    case HV_TPR: return read_apic(cpu, index, v);
    case HV_VP_ASSIST_PAGE: *v = s->assist_page; break;
    case HV_SCONTROL: *v = s->control; break;
    case HV_SVERSION: *v = 1; break;
    case HV_SIEFP: *v = s->event_page; break;
    case HV_SIMP: *v = s->message_page; break;
    default: *v = 0; break; /* EOM; GUEST_IDLE, when the guest has slept */
    }
    return MSR_DONE;
}

/* What can't be refused; each of these may let a message go. */
static void set_synic(struct vcpu *cpu, u32 index, u64 v)
{
    struct synic *s = cpu->synic;

    switch (index) {
    case HV_SCONTROL: __atomic_store_n(&s->control, v, __ATOMIC_SEQ_CST); break;
    case HV_SIEFP: set_page(cpu, &s->event_page, v, PAGE_EVENTS); break;
    case HV_SIMP: set_page(cpu, &s->message_page, v, PAGE_MESSAGES); break;
    case HV_EOM: break;
    default: synic_set_source(cpu, index - HV_SINT0, v); break;
    }
    synic_scan(cpu);
}

static enum msr_result write_timer(struct vcpu *cpu, u32 index, u64 v, bool really)
{
    struct synic_timer *t = &cpu->synic->timer[(index - HV_STIMER0_CONFIG) / 2];
    u64 now;

    if (!(index & 1) && !synic_timer_may_be(cpu->partition, v))
        return MSR_REFUSED;
    if (!really)
        return MSR_DONE;
    synic_catch_up(cpu);
    now = clock_reference_time(cpu->partition);
    if (index & 1)
        synic_timer_count(t, v, now);
    else
        synic_timer_configure(t, v, now);
    return MSR_DONE;
}

static enum msr_result write(struct vcpu *cpu, u32 index, u64 v, bool really)
{
    struct synic *s = cpu->synic;

    if (!synthetic_is_there(cpu->partition, index))
        return MSR_UNKNOWN;
    if (index >= HV_STIMER0_CONFIG && index <= HV_STIMER3_COUNT)
        return write_timer(cpu, index, v, really);
    if (index >= HV_SINT0 && index <= HV_SINT15 && !synic_source_may_be(v))
        return MSR_REFUSED;
    switch (index) {
    case HV_HYPERCALL: return set_hypercall(cpu, v, really);
    case HV_VP_INDEX:
    case HV_VP_RUNTIME:
    case HV_TIME_REF_COUNT:
    case HV_TSC_FREQUENCY:
    case HV_APIC_FREQUENCY:
    case HV_SVERSION:
    case HV_GUEST_IDLE: return MSR_REFUSED;
    case HV_EOI:
    case HV_ICR:
    case HV_TPR: return write_apic(cpu, index, v, really);
    default: break;
    }
    if (!really)
        return MSR_DONE;
    switch (index) {
    case HV_GUEST_OS_ID: set_guest_os_id(cpu, v); break;
    case HV_REFERENCE_TSC: set_reference_tsc(cpu, v); break;
    case HV_VP_ASSIST_PAGE: set_page(cpu, &s->assist_page, v, PAGE_ASSIST); break;
    default: set_synic(cpu, index, v); break;
    }
    return MSR_DONE;
}

enum msr_result synthetic_write(struct vcpu *cpu, u32 index, u64 value)
{
    enum msr_result result = write(cpu, index, value, true);

    if (result == MSR_DONE && cpu->apic)
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST); /* timers, slots, priorities */
    return result;
}

enum msr_result synthetic_check(struct vcpu *cpu, u32 index, u64 value)
{
    return write(cpu, index, value, false);
}

/* TLFS "Virtual processor idle sleep state": until an interrupt comes, whatever IF says. */
void synthetic_idle(struct vcpu *cpu)
{
    cpu->activity |= IDLE_SUSPEND;
    __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
}
