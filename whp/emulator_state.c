/* SPDX-License-Identifier: MIT */
/* Registers of an emulated instruction: from the caller's callback, and what changed back to it. */
#include "include/softwhp.h"
#include "state/flags.h"
#include "state/profile.h"
#include "whp/emulator.h"

static const WHV_REGISTER_NAME asked_names[ASKED] = {
    WHvX64RegisterRax,  WHvX64RegisterRcx,  WHvX64RegisterRdx,  WHvX64RegisterRbx,  WHvX64RegisterRsp,
    WHvX64RegisterRbp,  WHvX64RegisterRsi,  WHvX64RegisterRdi,  WHvX64RegisterR8,   WHvX64RegisterR9,
    WHvX64RegisterR10,  WHvX64RegisterR11,  WHvX64RegisterR12,  WHvX64RegisterR13,  WHvX64RegisterR14,
    WHvX64RegisterR15,  WHvX64RegisterCr0,  WHvX64RegisterCr4,  WHvX64RegisterEfer, WHvX64RegisterEs,
    WHvX64RegisterSs,   WHvX64RegisterDs,   WHvX64RegisterFs,   WHvX64RegisterGs,   WHvX64RegisterCr3,
    WHvX64RegisterGdtr, WHvX64RegisterIdtr, WHvX64RegisterLdtr, WHvX64RegisterTr,   WHvX64RegisterXCr0,
    (WHV_REGISTER_NAME)SwhpX64RegisterPkru,
    (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors,
    WHvRegisterInterruptState,
    WHvX64RegisterPendingDebugException,
    WHvX64RegisterDr0,  WHvX64RegisterDr1,  WHvX64RegisterDr2,  WHvX64RegisterDr3,  WHvX64RegisterDr7
};
static const u8 asked_segments[] = { ES, SS, DS, FS, GS };

/* ---- registers in ---- */

static void put_segment(struct segment *to, const WHV_X64_SEGMENT_REGISTER *from)
{
    to->base = from->Base;
    to->limit = from->Limit;
    to->selector = from->Selector;
    to->attributes = from->Attributes;
}

/* Asks for a part of the list. False: the callback failed, and the status says so. */
static bool ask(struct emulator *e, unsigned from, unsigned to)
{
    if (SUCCEEDED(e->callbacks.WHvEmulatorGetVirtualProcessorRegisters(e->context, asked_names + from,
                                                                       to - from, e->asked + from)))
        return true;
    e->status.GetVirtualProcessorRegistersCallbackFailed = 1;
    return false;
}

static void take_control(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;

    cpu->cr0 = e->asked[AT_CR0].Reg64;
    cpu->cr4 = e->asked[AT_CR4].Reg64;
    cpu->efer = e->asked[AT_EFER].Reg64;
}

/*
 * What 64-bit code runs under as a rule. Integer instructions with one memory operand don't look at what else
 * there may be, but for the width of linear addresses, and then they fault before they touch anything:
 * emulate() comes again with the truth.
 */
static void assume_control(struct vcpu *cpu, bool am)
{
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG | (am ? CR0_AM : 0);
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->xcr0 = 7;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
}

/* mode_update() under it, where what the exit tells isn't as last time. */
static void assumed_mode(struct emulator *e)
{
    const WHV_VP_EXIT_CONTEXT *vp = e->vp;
    u64 key = vp->ExecutionState.AsUINT16 | (vp->Rflags & (VM | AC)) << 8 | (u64)vp->Cs.Attributes << 32;

    if (unlikely(key != e->assumed_key)) {
        mode_update(e->cpu);
        e->assumed_key = key;
        e->assumed_mode = e->cpu->mode;
    }
    e->cpu->mode = e->assumed_mode;
}

static void take_segments(struct emulator *e)
{
    for (unsigned i = 0; i < sizeof asked_segments; i++)
        put_segment(&e->cpu->seg[asked_segments[i]], &e->asked[AT_SEGMENTS + i].Segment);
}

static void take_system(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    const WHV_REGISTER_VALUE *v = e->asked + AT_SYSTEM;

    cpu->cr3 = v[0].Reg64;
    cpu->gdtr = (struct table){ v[1].Table.Base, v[1].Table.Limit };
    cpu->idtr = (struct table){ v[2].Table.Base, v[2].Table.Limit };
    put_segment(&cpu->seg[LDTR], &v[3].Segment);
    put_segment(&cpu->seg[TR], &v[4].Segment);
}

static void take_xcr0(struct emulator *e)
{
    e->cpu->xcr0 = e->asked[AT_XCR0].Reg64;
}

static void take_pkru(struct emulator *e)
{
    e->cpu->pkru = (u32)e->asked[AT_PKRU].Reg64;
}

static void take_selectors(struct emulator *e)
{
    e->cpu->x87.fcs = (u16)e->asked[AT_SELECTORS].Reg64;
    e->cpu->x87.fds = (u16)(e->asked[AT_SELECTORS].Reg64 >> 16);
}

static void take_interrupt_state(struct emulator *e)
{
    e->cpu->nmi_masked = e->asked[AT_INTERRUPT_STATE].InterruptState.NmiMasked;
}

static void take_pending_debug(struct emulator *e)
{
    u64 v = e->asked[AT_PENDING_DEBUG].Reg64;

    e->cpu->pending_debug = e->cpu->debug_before = (v & 15) | (v & 16 ? DR6_BS : 0);
}

static void take_debug(struct emulator *e)
{
    for (unsigned i = 0; i < 4; i++)
        e->cpu->dr[i] = e->asked[AT_DEBUG + i].Reg64;
    e->cpu->dr[7] = e->asked[AT_DEBUG + 4].Reg64;
}

/* What is asked for together, in the order of the names. */
static const struct group {
    u16 need;
    u8 from, to;
    void (*take)(struct emulator *e);
} groups[] = {
    { NEEDS_CONTROL, AT_CONTROL, AT_SEGMENTS, take_control },
    { NEEDS_SEGMENTS, AT_SEGMENTS, AT_SYSTEM, take_segments },
    { NEEDS_SYSTEM, AT_SYSTEM, AT_XCR0, take_system },
    { NEEDS_XCR0, AT_XCR0, AT_PKRU, take_xcr0 },
    { NEEDS_PKRU, AT_PKRU, AT_SELECTORS, take_pkru },
    { NEEDS_SELECTORS, AT_SELECTORS, AT_INTERRUPT_STATE, take_selectors },
    { NEEDS_INTERRUPT_STATE, AT_INTERRUPT_STATE, AT_PENDING_DEBUG, take_interrupt_state },
    { NEEDS_PENDING_DEBUG, AT_PENDING_DEBUG, AT_DEBUG, take_pending_debug },
    { NEEDS_DEBUG, AT_DEBUG, ASKED, take_debug },
};
enum { GROUPS = sizeof groups / sizeof *groups };

/* The names of the lines that are needed, in order, and which line each is. All sets bring MXCSR. */
static unsigned fx_names(unsigned needs, WHV_REGISTER_NAME names[FX_NAMES], u8 lines[FX_NAMES])
{
    unsigned n = 0;

    for (u8 line = 0; line < LINES; line++) {
        unsigned wanted = line == 0            ? NEEDS_X87
                          : line < LINE_ST   ? NEEDS_FP
                          : line < LINE_XMM  ? NEEDS_X87
                          : line < LINE_NONE ? NEEDS_XMM
                          : line < LINE_YMM  ? 0
                                             : NEEDS_YMM;

        if (!(needs & wanted))
            continue;
        lines[n] = line;
        names[n++] = (WHV_REGISTER_NAME)(line == 0          ? WHvX64RegisterFpControlStatus
                                         : line < LINE_ST   ? WHvX64RegisterXmmControlStatus
                                         : line < LINE_XMM  ? WHvX64RegisterFpMmx0 + line - LINE_ST
                                         : line < LINE_NONE ? WHvX64RegisterXmm0 + line - LINE_XMM
                                                            : SwhpX64RegisterYmmHigh0 + line - LINE_YMM);
    }
    return n;
}

static void store_lines(const struct vcpu *cpu, u8 image[16 * LINES])
{
    fx_store(cpu, image);
    for (unsigned i = 0; i < 16; i++)
        memcpy(image + 16 * (LINE_YMM + i), cpu->vec[i].b + 16, 16);
}

static bool load_fx(struct emulator *e)
{
    WHV_REGISTER_NAME names[FX_NAMES];
    u8 lines[FX_NAMES];
    WHV_REGISTER_VALUE values[FX_NAMES];
    unsigned n = fx_names(e->needs, names, lines);

    memset(values, 0, sizeof values);
    if (FAILED(e->callbacks.WHvEmulatorGetVirtualProcessorRegisters(e->context, names, n, values))) {
        e->status.GetVirtualProcessorRegistersCallbackFailed = 1;
        return false;
    }
    store_lines(e->cpu, e->fx); /* what isn't asked for compares equal afterwards */
    for (unsigned i = 0; i < n; i++)
        memcpy(e->fx + 16 * lines[i], &values[i], 16);
    if (load_bytes(e->fx + FX_MXCSR, 4) & ~(u64)e->partition.mxcsr_mask) {
        e->status.InternalEmulationFailure = 1;
        return false;
    }
    fx_load(e->cpu, e->fx);
    for (unsigned i = 0; i < 16; i++)
        memcpy(e->cpu->vec[i].b + 16, e->fx + 16 * (LINE_YMM + i), 16);
    if (e->needs & NEEDS_SELECTORS)
        take_selectors(e);
    store_lines(e->cpu, e->fx); /* as we write it */
    return true;
}

bool state_load_more(struct emulator *e, unsigned needs)
{
    e->needs |= needs;
    for (unsigned i = 0, end; i < GROUPS; i = end) { /* neighbours by one call */
        for (end = i; end < GROUPS && groups[end].need & needs; end++)
            ;
        if (end == i)
            end++;
        else if (!ask(e, groups[i].from, groups[end - 1].to))
            return false;
    }
    for (unsigned i = 0; i < GROUPS; i++)
        if (groups[i].need & needs)
            groups[i].take(e);
    if (needs & NEEDS_FP && !load_fx(e)) /* under the control registers, which tell the image's form */
        return false;
    mode_update(e->cpu);
    return true;
}

/* TF and data breakpoints, which ask for more of the state than instructions do. */
static bool load_traps(struct emulator *e)
{
    e->cpu->trap_due = e->vp->Rflags & TF;
    return state_load_more(e, NEEDS_PENDING_DEBUG | (e->vp->ExecutionState.DebugActive ? NEEDS_DEBUG : 0));
}

bool state_load(struct emulator *e, unsigned needs)
{
    const WHV_VP_EXIT_CONTEXT *vp = e->vp;
    struct vcpu *cpu = e->cpu;
    bool flat = is_flat(vp);

    needs = flat ? needs & (NEEDS_CONTROL | NEEDS_SEGMENTS) : NEEDS_CONTROL | NEEDS_SEGMENTS;
    if (!ask(e, 0, needs & NEEDS_SEGMENTS ? AT_SYSTEM : needs ? AT_SEGMENTS : AT_CONTROL))
        return false;
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = e->asked[i].Reg64;
    assume_control(cpu, vp->ExecutionState.Cr0Am);
    cpu->cr8 = vp->Cr8;
    cpu->cpl = vp->ExecutionState.Cpl;
    cpu->rip = flat ? vp->Rip : (u32)vp->Rip;
    rflags_write(cpu, vp->Rflags);
    put_segment(&cpu->seg[CS], &vp->Cs);
    cpu->at = NULL;
    cpu->fault.pending = false;
    cpu->exit_reason = 0;
    cpu->attention = 0;
    cpu->in_delivery = cpu->shadow = cpu->shadow_ss = cpu->running_rf = cpu->running_shadow = cpu->trap_due = false;
    cpu->between_rounds = false;
    cpu->dr[7] = DR7_FIXED;
    cpu->pending_debug = 0;
    cpu->restored.components = 0; /* what the processor knows of that, nobody tells */
    cpu->count = 1;
    cpu->limit = MOST_ROUNDS;
    e->needs = needs;
    if (needs & NEEDS_CONTROL)
        take_control(e);
    if (needs & NEEDS_SEGMENTS)
        take_segments(e);
    if (needs)
        mode_update(cpu);
    else
        assumed_mode(e);
    return likely(!(vp->Rflags & TF) && !vp->ExecutionState.DebugActive) || load_traps(e);
}

/* ---- registers out ---- */

static WHV_REGISTER_VALUE *change(struct emulator *e, WHV_REGISTER_NAME name)
{
    e->names[e->changed] = name;
    memset(&e->values[e->changed], 0, sizeof e->values[0]);
    return &e->values[e->changed++];
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

static void change_fx(struct emulator *e)
{
    WHV_REGISTER_NAME names[FX_NAMES];
    u8 lines[FX_NAMES];
    _Alignas(16) u8 now[16 * LINES] = { 0 };
    unsigned n = fx_names(e->needs, names, lines);

    store_lines(e->cpu, now);
    for (unsigned i = 0; i < n; i++) {
        u8 *was = e->fx + 16 * lines[i], *is = now + 16 * lines[i];

        if (memcmp(is, was, 16) != 0)
            memcpy(change(e, names[i]), is, 16);
    }
}

/* The rest of what an instruction may bring about, behind all else. */
static void change_others(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    const WHV_REGISTER_VALUE *was = e->asked;
    u64 debug = (cpu->pending_debug & 15) | (cpu->pending_debug & DR6_BS ? 16 : 0);

    if (e->needs & NEEDS_PKRU)
        change_64(e, (WHV_REGISTER_NAME)SwhpX64RegisterPkru, was[AT_PKRU].Reg64, cpu->pkru);
    if (e->needs & NEEDS_SELECTORS) /* setting FpControlStatus may have cleared them */
        change(e, (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors)->Reg64 = cpu->x87.fcs | (u64)cpu->x87.fds << 16;
    if (e->needs & NEEDS_INTERRUPT_STATE) { /* an earlier shadow lasts: reference 5.2 */
        u64 state = was[AT_INTERRUPT_STATE].Reg64;

        change_64(e, WHvRegisterInterruptState, state, (state & ~(u64)2) | cpu->shadow | (u64)cpu->nmi_masked << 1);
    }
    if (e->needs & NEEDS_PENDING_DEBUG)
        change_64(e, WHvX64RegisterPendingDebugException, was[AT_PENDING_DEBUG].Reg64, debug);
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
            change_fx(e);
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
