/* SPDX-License-Identifier: MIT */
/* What the value of each kind of register looks like, and what setting it brings about. */
#include "cpu/synthetic.h"
#include "mem/tlb.h"
#include "state/clock.h"
#include "state/flags.h"
#include "state/profile.h"
#include "whp/fx_image.h"
#include "whp/processor.h"
#include "whp/registers.h"

#define CR0_BITS                                                                                             \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define DR6_BITS (0xfu | DR6_BD | DR6_BS | DR6_BT)
#define DR7_RESERVED 0xd800u /* bits 11, 12, 14, 15: zero */
#define SEG_RESERVED 0x0f00u

#define FIELD64(cpu, where) ((u64 *)((char *)(cpu) + (where)))

/* ---- reading ---- */

static void read_interruption(const struct event *e, WHV_X64_PENDING_INTERRUPTION_REGISTER *v)
{
    if (!e->pending)
        return;
    v->InterruptionPending = 1;
    v->InterruptionType = (unsigned)e->type & 7u;
    v->DeliverErrorCode = e->has_error;
    v->InstructionLength = (unsigned)e->length & 15u;
    v->InterruptionVector = e->vector;
    v->ErrorCode = e->has_error ? e->error : 0;
}

static void read_fx(const struct vcpu *cpu, unsigned offset, WHV_REGISTER_VALUE *v)
{
    u8 image[FX_SIZE];

    fx_store(cpu, image);
    memcpy(v, image + offset, sizeof *v);
}

/* The kinds that aren't simply 64 bits; *v is zero before. */
static void read_wide(const struct vcpu *cpu, unsigned kind, u64 where, WHV_REGISTER_VALUE *v)
{
    switch (kind) {
    case KIND_TABLE: {
        const struct table *t = (const struct table *)FIELD64(cpu, where);

        v->Table.Base = t->base;
        v->Table.Limit = t->limit;
        break;
    }
    case KIND_XMM: memcpy(v, cpu->vec[where].b, 16); break;
    case KIND_YMM_HIGH: memcpy(v, cpu->vec[where].b + 16, 16); break;
    case KIND_ST: read_fx(cpu, FX_ST + (unsigned)where * 16, v); break;
    case KIND_X87_STATUS: read_fx(cpu, FX_STATUS, v); break;
    case KIND_MXCSR: read_fx(cpu, FX_MXCSR_LINE, v); break;
    case KIND_INTERRUPTION: read_interruption(&cpu->interruption, &v->PendingInterruption); break;
    case KIND_INTERRUPT_STATE:
        v->InterruptState.InterruptShadow = cpu->shadow;
        v->InterruptState.NmiMasked = cpu->nmi_masked;
        break;
    case KIND_EVENT:
        if (cpu->queued.pending || (cpu->apic && cpu->apic->has_ext_int))
            memcpy(v, cpu->pending_event[0], 16);
        break;
    default: break;
    }
}

INLINE struct register_bytes of_64(u64 v)
{
    return (struct register_bytes){ v, 0 };
}

struct register_bytes register_read(struct vcpu *cpu, unsigned kind, u64 where)
{
    WHV_REGISTER_VALUE v = { .Reg128 = { .Low64 = 0, .High64 = 0 } };
    u64 msr = 0;

    switch ((enum kind)kind) {
    case KIND_64: return of_64(*FIELD64(cpu, where));
    case KIND_RFLAGS: return of_64(rflags_read(cpu));
    case KIND_SEGMENT: {
        const struct segment *s = &cpu->seg[where];

        return (struct register_bytes){ s->base, load_bytes(&s->limit, 8) }; /* laid out as the API has it */
    }
    case KIND_CR0: return of_64(cpu->cr0);
    case KIND_CR3: return of_64(cpu->cr3);
    case KIND_CR4: return of_64(cpu->cr4);
    case KIND_CR8: return of_64(cpu->cr8);
    case KIND_DR: return of_64(cpu->dr[where]);
    case KIND_XCR0: return of_64(cpu->xcr0);
    case KIND_TSC: return of_64(clock_tsc(cpu));
    case KIND_EFER: return of_64(cpu->efer);
    case KIND_APIC_ID: return of_64(cpu->apic_id);
    case KIND_MSR: return of_64(msr_read(cpu, (u32)where, &msr) == MSR_DONE ? msr : 0);
    case KIND_SYNTHETIC: return of_64(synthetic_read(cpu, (u32)where, &msr) == MSR_DONE ? msr : 0);
    case KIND_SEQUENCE: return of_64(cpu->partition->synthetic.sequence);
    case KIND_NOTIFICATIONS: return of_64(cpu->deliverability);
    case KIND_ACTIVITY: return of_64(cpu->apic ? apic_activity(cpu) : cpu->activity);
    case KIND_DEBUG: return of_64(debug_shown(cpu->pending_debug));
    case KIND_NO_EVENT: return of_64(0);
    case KIND_APIC: return of_64(where == APIC_ICR ? cpu->apic->icr : apic_read(cpu, (unsigned)where));
    case KIND_PKRU: return of_64(cpu->pkru);
    case KIND_FP_SELECTORS: return of_64(cpu->x87.fcs | (u64)cpu->x87.fds << 16);
    case KIND_FEATURES: return (struct register_bytes){ cpu->partition->features, cpu->partition->xsave_features };
    case KIND_IGNNE: return of_64(cpu->ignne);
    case KIND_SHADOW_SS: return of_64(cpu->shadow_ss);
    case KIND_PDPTE: return of_64(cpu->load_pdptes ? processor_pdpte(cpu, (unsigned)where) : cpu->pdpte[where]);
    case KIND_TABLE:
    case KIND_XMM:
    case KIND_YMM_HIGH:
    case KIND_ST:
    case KIND_X87_STATUS:
    case KIND_MXCSR:
    case KIND_INTERRUPTION:
    case KIND_INTERRUPT_STATE:
    case KIND_EVENT: break;
    }
    read_wide(cpu, kind, where, &v);
    return (struct register_bytes){ v.Reg128.Low64, v.Reg128.High64 };
}

/* ---- setting ---- */

/* As a part of the whole image, so that FpMmx n stays ST(n) whatever order TOP and the registers come in. */
static unsigned write_fx(struct vcpu *cpu, unsigned offset, const WHV_REGISTER_VALUE *v, unsigned size)
{
    const struct x87 was = cpu->x87;
    u8 image[FX_SIZE];

    fx_store(cpu, image);
    memcpy(image + offset, v, size);
    fx_load(cpu, image);
    if (cpu->efer & EFER_LMA) { /* the image has no selectors: they stay with the pointers */
        cpu->x87.fcs = cpu->x87.fip == was.fip ? was.fcs : 0;
        cpu->x87.fds = cpu->x87.fdp == was.fdp ? was.fds : 0;
    }
    return EFFECT_MODE;
}

static void write_interruption(struct event *e, const WHV_X64_PENDING_INTERRUPTION_REGISTER *v)
{
    *e = (struct event){ .pending = v->InterruptionPending };
    if (!e->pending)
        return;
    e->type = v->InterruptionType & 7;
    e->vector = (u8)v->InterruptionVector;
    e->has_error = v->DeliverErrorCode;
    e->error = v->DeliverErrorCode ? v->ErrorCode : 0;
    e->length = e->type >= EVENT_SOFTWARE_INTERRUPT ? v->InstructionLength & 15 : 0;
}

static void write_event(struct vcpu *cpu, const WHV_X64_PENDING_EXCEPTION_EVENT *v)
{
    bool is_ext_int = v->EventPending && v->EventType == WHvX64PendingEventExtInt;

    memcpy(cpu->pending_event[0], v, 16);
    if (cpu->apic) {
        cpu->apic->has_ext_int = is_ext_int;
        cpu->apic->ext_vector = (u8)(cpu->pending_event[0][0] >> 8);
    }
    cpu->queued = (struct event){ .pending = v->EventPending && !is_ext_int,
                                  .type = EVENT_EXCEPTION,
                                  .vector = (u8)v->Vector,
                                  .has_error = v->DeliverErrorCode,
                                  .error = v->DeliverErrorCode ? v->ErrorCode : 0,
                                  .parameter = v->ExceptionParameter };
}

/* Effects of a control register, if it changes at all: clients write them back unchanged with every batch. */
static unsigned write_control(u64 *reg, u64 v, unsigned effects)
{
    if (*reg == v)
        return 0;
    *reg = v;
    return effects;
}

static unsigned write_dr(struct vcpu *cpu, u64 n, u64 v)
{
    if (n == 6)
        v = (v & DR6_BITS) | DR6_FIXED;
    if (n == 7)
        v = (v & ~(u64)DR7_RESERVED) | DR7_FIXED;
    return write_control(&cpu->dr[n], v, n == 6 ? 0 : EFFECT_TLB | EFFECT_MODE | EFFECT_EVENT);
}

/* The ID that CPUID tells, the APIC's own in both modes, and what follows from it. */
static void write_apic_id(struct vcpu *cpu, u32 id)
{
    if (cpu->apic)
        apic_set_id(cpu, id);
    else
        cpu->apic_id = id;
}

unsigned register_write(struct vcpu *cpu, unsigned kind, u64 where, const WHV_REGISTER_VALUE *v)
{
    const unsigned paging = EFFECT_MODE | EFFECT_TLB | EFFECT_PDPTES;
    u64 q = v->Reg64;

    switch ((enum kind)kind) {
    case KIND_64:
        *FIELD64(cpu, where) = q;
        if (unlikely(where == offsetof(struct vcpu, tsc_offset)))
            synthetic_tsc_moved(cpu);
        return 0;
    case KIND_RFLAGS: rflags_write(cpu, q); return EFFECT_MODE | EFFECT_EVENT;
    case KIND_SEGMENT:
        cpu->seg[where] = (struct segment){ .base = v->Segment.Base,
                                            .limit = v->Segment.Limit,
                                            .selector = v->Segment.Selector,
                                            .attributes = v->Segment.Attributes & (u16)~SEG_RESERVED };
        return EFFECT_MODE;
    case KIND_TABLE:
        *(struct table *)FIELD64(cpu, where) =
            (struct table){ .base = v->Table.Base, .limit = v->Table.Limit };
        return 0;
    case KIND_CR0: return write_control(&cpu->cr0, (q & CR0_BITS) | CR0_ET, paging);
    case KIND_CR3:
        write_control(&cpu->cr3, q, 0);
        return paging; /* written back unchanged it flushes all the same, as MOV CR3 does */
    case KIND_CR4: return write_control(&cpu->cr4, q, paging);
    case KIND_CR8:
        if (cpu->apic && cpu->cr8 != q)
            apic_put(cpu, APIC_TPR, q << 4);
        return write_control(&cpu->cr8, q, EFFECT_EVENT);
    case KIND_DR: return write_dr(cpu, where, q);
    case KIND_XCR0: return write_control(&cpu->xcr0, q, EFFECT_MODE);
    case KIND_XMM: memcpy(cpu->vec[where].b, v, 16); return 0;
    case KIND_YMM_HIGH: memcpy(cpu->vec[where].b + 16, v, 16); return 0;
    case KIND_PKRU:
        if (cpu->pkru == (u32)q)
            return 0;
        cpu->pkru = (u32)q;
        return EFFECT_TLB;
    case KIND_FP_SELECTORS:
        cpu->x87.fcs = (u16)q;
        cpu->x87.fds = (u16)(q >> 16);
        return 0;
    case KIND_IGNNE: cpu->ignne = q && (cpu->x87.fsw & 0x80); return 0;
    case KIND_SHADOW_SS: cpu->shadow_ss = q && cpu->shadow; return EFFECT_EVENT;
    case KIND_PDPTE: cpu->pdpte[where] = q; return EFFECT_TLB | EFFECT_OWN_PDPTES;
    case KIND_ST: return write_fx(cpu, FX_ST + (unsigned)where * 16, v, 10);
    case KIND_X87_STATUS: return write_fx(cpu, FX_STATUS, v, 16);
    case KIND_MXCSR: return write_fx(cpu, FX_MXCSR_LINE, v, 12);
    case KIND_TSC:
        clock_set_tsc(cpu, q);
        synthetic_tsc_moved(cpu);
        return 0;
    case KIND_SYNTHETIC: synthetic_write(cpu, (u32)where, q); return EFFECT_EVENT;
    case KIND_SEQUENCE: synthetic_set_sequence(cpu, (u32)q); return 0;
    case KIND_EFER: return write_control(&cpu->efer, q, paging);
    case KIND_APIC_ID: write_apic_id(cpu, (u32)q); return 0;
    case KIND_MSR:
        if (where == MSR_APIC_BASE && cpu->apic) {
            apic_set_base(cpu, q, true);
            return EFFECT_TLB;
        }
        msr_write(cpu, (u32)where, q);
        return 0;
    case KIND_INTERRUPTION:
        write_interruption(&cpu->interruption, &v->PendingInterruption);
        return EFFECT_EVENT;
    case KIND_INTERRUPT_STATE:
        cpu->shadow_ss = cpu->shadow_ss && v->InterruptState.InterruptShadow;
        cpu->shadow = v->InterruptState.InterruptShadow;
        cpu->nmi_masked = v->InterruptState.NmiMasked;
        return EFFECT_EVENT;
    case KIND_EVENT: write_event(cpu, &v->ExceptionEvent); return EFFECT_EVENT;
    case KIND_NOTIFICATIONS: cpu->deliverability = q; return EFFECT_EVENT;
    case KIND_DEBUG: cpu->pending_debug = debug_pending(q); return EFFECT_EVENT;
    case KIND_ACTIVITY: cpu->activity = cpu->apic ? q : 0; return 0;
    case KIND_APIC:
        if (where == APIC_ID)
            write_apic_id(cpu, cpu->apic->mode == APIC_X2APIC ? (u32)q : (u32)q >> 24);
        else
            apic_put(cpu, (unsigned)where, q);
        if (where == APIC_ICR)
            apic_put(cpu, APIC_ICR_HIGH, q >> 32);
        return 0;
    case KIND_FEATURES:
    case KIND_NO_EVENT: return 0;
    }
    return 0;
}

void registers_settle(struct vcpu *cpu, unsigned effects)
{
    if (effects & EFFECT_MODE) {
        if (!(cpu->cr0 & CR0_PE))
            cpu->cpl = 0;
        else if (cpu->rflags & VM)
            cpu->cpl = 3;
        else
            cpu->cpl = cpu->seg[SS].attributes >> SEG_DPL_SHIFT & 3;
        mode_update(cpu);
    }
    if (effects & (EFFECT_PDPTES | EFFECT_OWN_PDPTES))
        cpu->load_pdptes = !(effects & EFFECT_OWN_PDPTES);
    if (effects & EFFECT_TLB)
        tlb_flush(cpu, false);
    if (effects & EFFECT_EVENT)
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_EVENT, __ATOMIC_SEQ_CST);
}
