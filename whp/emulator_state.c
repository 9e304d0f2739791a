/* SPDX-License-Identifier: MIT */
/* Registers of an emulated instruction: from the caller's callback. */
#include "include/softwhp.h"
#include "state/flags.h"
#include "state/profile.h"
#include "whp/emulator.h"
#include "whp/registers.h"

const WHV_REGISTER_NAME asked_names[ASKED] = {
    WHvX64RegisterRax,  WHvX64RegisterRcx,  WHvX64RegisterRdx,  WHvX64RegisterRbx,  WHvX64RegisterRsp,
    WHvX64RegisterRbp,  WHvX64RegisterRsi,  WHvX64RegisterRdi,  WHvX64RegisterR8,   WHvX64RegisterR9,
    WHvX64RegisterR10,  WHvX64RegisterR11,  WHvX64RegisterR12,  WHvX64RegisterR13,  WHvX64RegisterR14,
    WHvX64RegisterR15,  WHvX64RegisterCr0,  WHvX64RegisterCr4,  WHvX64RegisterEfer, WHvX64RegisterEs,
    WHvX64RegisterSs,   WHvX64RegisterDs,   WHvX64RegisterFs,   WHvX64RegisterGs,   WHvX64RegisterCr3,
    WHvX64RegisterGdtr, WHvX64RegisterIdtr, WHvX64RegisterLdtr, WHvX64RegisterTr,   WHvX64RegisterXCr0,
    WHvRegisterInterruptState,
    WHvX64RegisterPendingDebugException,
    WHvX64RegisterDr0,  WHvX64RegisterDr1,  WHvX64RegisterDr2,  WHvX64RegisterDr3,  WHvX64RegisterDr7,
#define OURS(name) (WHV_REGISTER_NAME)SwhpX64Register##name
    OURS(Pkru), OURS(FpSelectors), OURS(Features), OURS(Ignne), OURS(ShadowSs),
    OURS(Pdpte0), OURS(Pdpte0 + 1), OURS(Pdpte0 + 2), OURS(Pdpte3)
#undef OURS
};
const u8 asked_segments[AT_SYSTEM - AT_SEGMENTS] = { ES, SS, DS, FS, GS };

static void put_segment(struct segment *to, const WHV_X64_SEGMENT_REGISTER *from)
{
    to->base = from->Base;
    to->limit = from->Limit;
    to->selector = from->Selector;
    to->attributes = from->Attributes;
}

/* Asks for a part of the list. False: the callback failed. */
static bool try_to_ask(struct emulator *e, unsigned from, unsigned to)
{
    return SUCCEEDED(e->callbacks.WHvEmulatorGetVirtualProcessorRegisters(e->context, asked_names + from,
                                                                          to - from, e->asked + from));
}

/* The same, and the status says so. */
static bool ask(struct emulator *e, unsigned from, unsigned to)
{
    if (likely(try_to_ask(e, from, to)))
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

static void take_interrupt_state(struct emulator *e)
{
    e->cpu->nmi_masked = e->asked[AT_INTERRUPT_STATE].InterruptState.NmiMasked;
}

static void take_pending_debug(struct emulator *e)
{
    e->cpu->pending_debug = e->cpu->debug_before = debug_pending(e->asked[AT_PENDING_DEBUG].Reg64);
}

static void take_debug(struct emulator *e)
{
    for (unsigned i = 0; i < 4; i++)
        e->cpu->dr[i] = e->asked[AT_DEBUG + i].Reg64;
    e->cpu->dr[7] = e->asked[AT_DEBUG + 4].Reg64;
}

/* ---- private names ---- */

static void take_pkru(struct emulator *e)
{
    e->cpu->pkru = (u32)e->asked[AT_PKRU].Reg64;
}

static void take_selectors(struct emulator *e)
{
    e->cpu->x87.fcs = (u16)e->asked[AT_SELECTORS].Reg64;
    e->cpu->x87.fds = (u16)(e->asked[AT_SELECTORS].Reg64 >> 16);
}

/* What the profile has and the partition hasn't: bytes may mean something older (TZCNT is BSF), and images differ. */
static void take_features(struct emulator *e)
{
    const struct profile *profile = e->partition.profile;
    u64 features = e->asked[AT_FEATURES].Reg128.Low64 & profile->features;
    u64 xsave = e->asked[AT_FEATURES].Reg128.High64 & profile->xsave_features;

    if (e->refused & NEEDS_FEATURES || (features == profile->features && xsave == profile->xsave_features))
        return;
    e->has_less = true;
    e->partition.features = features;
    e->partition.xsave_features = xsave;
    profile_settle(&e->partition);
}

/* Where nobody tells: a processor comes to its operand only if nothing holds it back. */
static void take_ignne(struct emulator *e)
{
    e->cpu->ignne = e->refused & NEEDS_IGNNE ? !e->is_fetch : e->asked[AT_IGNNE].Reg64 & 1;
}

static void take_nothing(struct emulator *e)
{
    (void)e;
}

/* What is asked for together, in the order of the names: each up to where the next begins. */
static const struct group {
    u16 need;
    u8 from;
    void (*take)(struct emulator *e);
} groups[] = {
    { NEEDS_CONTROL, AT_CONTROL, take_control },
    { NEEDS_SEGMENTS, AT_SEGMENTS, take_segments },
    { NEEDS_SYSTEM, AT_SYSTEM, take_system },
    { NEEDS_XCR0, AT_XCR0, take_xcr0 },
    { NEEDS_INTERRUPT_STATE, AT_INTERRUPT_STATE, take_interrupt_state },
    { NEEDS_PENDING_DEBUG, AT_PENDING_DEBUG, take_pending_debug },
    { NEEDS_DEBUG, AT_DEBUG, take_debug },
    { NEEDS_PKRU, AT_PKRU, take_pkru },
    { NEEDS_SELECTORS, AT_SELECTORS, take_selectors },
    { NEEDS_FEATURES, AT_FEATURES, take_features },
    { NEEDS_IGNNE, AT_IGNNE, take_ignne },
    { NEEDS_SHADOW_SS, AT_SHADOW_SS, take_nothing },
    { NEEDS_PDPTES, AT_PDPTES, take_nothing },
    { 0, ASKED, NULL },
};
enum { GROUPS = sizeof groups / sizeof *groups - 1 };

/* What is published, neighbours by one call. */
static bool ask_published(struct emulator *e, unsigned needs)
{
    for (unsigned i = 0, end; i < GROUPS; i = end) {
        for (end = i; end < GROUPS && groups[end].need & needs; end++)
            ;
        if (end == i)
            end++;
        else if (!ask(e, groups[i].from, groups[end].from))
            return false;
    }
    return true;
}

/* What is private, each by itself: the callback may know some of it. */
static void ask_private(struct emulator *e, unsigned needs)
{
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned from = groups[i].from, to = groups[i + 1].from;

        if (groups[i].need & needs && !try_to_ask(e, from, to)) {
            memset(e->asked + from, 0, (to - from) * sizeof *e->asked);
            e->refused |= groups[i].need;
        }
    }
}

bool state_load_more(struct emulator *e, unsigned needs)
{
    e->needs |= needs;
    if (!ask_published(e, needs & ~(unsigned)NEEDS_PRIVATE))
        return false;
    if (unlikely(needs & NEEDS_PRIVATE))
        ask_private(e, needs & NEEDS_PRIVATE);
    for (unsigned i = 0; i < GROUPS; i++)
        if (groups[i].need & needs)
            groups[i].take(e);
    if (needs & NEEDS_FP && !lines_load(e, needs)) /* under the control registers, which tell the image's form */
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

    if (unlikely(e->has_less)) { /* what the partition of the call before was, or this one's before it comes again */
        e->has_less = false;
        profile_use(&e->partition, e->partition.profile);
    }
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
    cpu->ignne = false;
    cpu->restored.components = 0; /* what the processor knows of that, nobody tells */
    cpu->count = 1;
    cpu->limit = MOST_ROUNDS;
    e->needs = needs;
    e->refused = 0;
    e->is_short = e->flushes = false;
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

