/* SPDX-License-Identifier: MIT */
/* Registers of an emulated instruction: what changed, back to the caller by its callback. */
#include "include/softwhp.h"
#include "state/flags.h"
#include "whp/emulator.h"
#include "whp/registers.h"

/* Was it asked for, and told? */
static bool knows(const struct emulator *e, unsigned need)
{
    return e->needs & ~e->refused & need;
}

static void change_64(struct emulator *e, WHV_REGISTER_NAME name, u64 was, u64 is)
{
    if (is != was)
        change(e, name)->Reg64 = is;
}

static void change_segment(struct emulator *e, WHV_REGISTER_NAME name, const WHV_X64_SEGMENT_REGISTER *was,
                           unsigned s)
{
    const struct segment *is = &e->cpu->seg[s];

    if (is->base == was->Base && is->limit == was->Limit && is->selector == was->Selector &&
        is->attributes == was->Attributes)
        return;
    WHV_X64_SEGMENT_REGISTER *to = &change(e, name)->Segment;

    to->Base = is->base;
    to->Limit = is->limit;
    to->Selector = is->selector;
    to->Attributes = is->attributes;
}

static void change_table(struct emulator *e, WHV_REGISTER_NAME name, const WHV_X64_TABLE_REGISTER *was,
                         const struct table *is)
{
    if (is->base == was->Base && is->limit == was->Limit)
        return;
    WHV_X64_TABLE_REGISTER *to = &change(e, name)->Table;

    to->Base = is->base;
    to->Limit = is->limit;
}

static void change_system(struct emulator *e)
{
    const struct vcpu *cpu = e->cpu;
    const WHV_REGISTER_VALUE *v = e->asked + AT_SYSTEM;

    if (e->flushes) /* written back as it is, it makes our processors forget all translations, as MOV CR3 would */
        change(e, WHvX64RegisterCr3)->Reg64 = cpu->cr3;
    else
        change_64(e, WHvX64RegisterCr3, v[0].Reg64, cpu->cr3);
    change_table(e, WHvX64RegisterGdtr, &v[1].Table, &cpu->gdtr);
    change_table(e, WHvX64RegisterIdtr, &v[2].Table, &cpu->idtr);
    change_segment(e, WHvX64RegisterLdtr, &v[3].Segment, LDTR);
    change_segment(e, WHvX64RegisterTr, &v[4].Segment, TR);
    change_64(e, WHvX64RegisterCr0, e->asked[AT_CR0].Reg64, cpu->cr0);
    change_64(e, WHvX64RegisterCr4, e->asked[AT_CR4].Reg64, cpu->cr4);
    change_64(e, WHvX64RegisterEfer, e->asked[AT_EFER].Reg64, cpu->efer);
    change_64(e, WHvX64RegisterCr8, e->vp->Cr8, cpu->cr8);
}

/* The rest of what an instruction may bring about, behind all else. */
static void change_others(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    const WHV_REGISTER_VALUE *was = e->asked;

    if (knows(e, NEEDS_PKRU))
        change_64(e, (WHV_REGISTER_NAME)SwhpX64RegisterPkru, was[AT_PKRU].Reg64, cpu->pkru);
    if (knows(e, NEEDS_SELECTORS)) /* setting FpControlStatus may have cleared them */
        change(e, (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors)->Reg64 = cpu->x87.fcs | (u64)cpu->x87.fds << 16;
    for (unsigned i = 0; i < 4 && knows(e, NEEDS_PDPTES); i++) /* else setting CR3 or CR0 has them loaded */
        change(e, asked_names[AT_PDPTES + i])->Reg64 = was[AT_PDPTES + i].Reg64;
    if (e->needs & NEEDS_INTERRUPT_STATE) { /* an earlier shadow lasts: reference 5.2 */
        u64 state = was[AT_INTERRUPT_STATE].Reg64;

        change_64(e, WHvRegisterInterruptState, state, (state & ~(u64)2) | cpu->shadow | (u64)cpu->nmi_masked << 1);
    }
    if (knows(e, NEEDS_SHADOW_SS) && cpu->shadow_ss) /* behind InterruptState */
        change_64(e, (WHV_REGISTER_NAME)SwhpX64RegisterShadowSs, was[AT_SHADOW_SS].Reg64, 1);
    if (e->needs & NEEDS_PENDING_DEBUG)
        change_64(e, WHvX64RegisterPendingDebugException, was[AT_PENDING_DEBUG].Reg64,
                  debug_shown(cpu->pending_debug));
}

/* A fault of the guest's becomes a pending event; the platform delivers it at the next Run. */
static void change_event(struct emulator *e)
{
    const struct event *fault = &e->cpu->fault;
    WHV_X64_PENDING_EXCEPTION_EVENT *to = &change(e, WHvRegisterPendingEvent)->ExceptionEvent;

    to->EventPending = 1;
    to->EventType = WHvX64PendingEventException;
    to->DeliverErrorCode = fault->has_error;
    to->Vector = fault->vector;
    to->ErrorCode = fault->error;
    to->ExceptionParameter = fault->parameter;
}

void state_store(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    bool faulted = cpu->fault.pending;

    e->changed = 0;
    change(e, WHvX64RegisterRip)->Reg64 = cpu->rip;
    for (unsigned i = 0; i < 16; i++)
        change_64(e, asked_names[i], e->asked[i].Reg64, cpu->gpr[i]);
    vcpu_show_rf(cpu);
    change_64(e, WHvX64RegisterRflags, e->vp->Rflags, rflags_read(cpu));
    if (e->needs) {
        if (e->needs & NEEDS_SEGMENTS)
            for (unsigned i = 0; i < sizeof asked_segments; i++)
                change_segment(e, asked_names[AT_SEGMENTS + i], &e->asked[AT_SEGMENTS + i].Segment,
                               asked_segments[i]);
        if (e->needs & NEEDS_SYSTEM) {
            change_segment(e, WHvX64RegisterCs, &e->vp->Cs, CS);
            change_system(e);
        }
        if (e->needs & NEEDS_FP)
            lines_change(e);
        change_others(e);
    }
    if (faulted)
        change_event(e);
    if (SUCCEEDED(e->callbacks.WHvEmulatorSetVirtualProcessorRegisters(e->context, e->names, e->changed,
                                                                       e->values))) {
        e->status.EmulationSuccessful = 1;
        return;
    }
    e->status.SetVirtualProcessorRegistersCallbackFailed = 1;
    e->status.GuestCannotBeFaulted = faulted;
}
