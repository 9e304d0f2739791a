/* SPDX-License-Identifier: MIT */
/*
 * The run loop: events between instructions, then the block at RIP, which goes on by itself from block to block until
 * one of its exits isn't linked, the limit is reached, or something lands here.
 */
#include "cpu/run.h"

#include "cpu/apic.h"
#include "cpu/event.h"
#include "cpu/fp.h"
#include "cpu/synic.h"
#include "decoder/block.h"
#include "exits/exit.h"
#include "mem/alias.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/flags.h"
#include "state/meet.h"
#include "state/partition.h"

/* Runs from an entry on. No locals live across it: it may end by landing. */
static NOINLINE void run_blocks(struct vcpu *cpu, const struct insn *entry)
{
#ifdef SWHP_LOOP
    while (entry)
        entry = entry->run(cpu, entry);
#else
    entry->run(cpu, entry);
#endif
}

/* Could an interrupt (priority: its class, 0 for one that ignores the task priority) be taken at this boundary? */
static bool interrupt_is_welcome(const struct vcpu *cpu, unsigned priority)
{
    unsigned now = cpu->apic ? apic_ppr(cpu->apic) >> 4 : (unsigned)cpu->cr8;

    return (cpu->rflags & IF) && !cpu->shadow && (priority == 0 || priority > now);
}

/* Reference 5.4: one-shot, NMI first; the bit that fired, and its priority, read 0 afterwards. */
static void notify(struct vcpu *cpu)
{
    u64 asked = cpu->deliverability;

    if ((asked & 1) && !cpu->nmi_masked && !cpu->shadow_ss) {
        cpu->deliverability &= ~(u64)1;
        exit_interrupt_window(cpu, WHvX64PendingNmi);
    }
    if ((asked & 2) && interrupt_is_welcome(cpu, (unsigned)(asked >> 2 & 15))) {
        cpu->deliverability &= ~(u64)0x3e;
        exit_interrupt_window(cpu, WHvX64PendingInterrupt);
    }
}

/* A trap that waits for the boundary: single step, data and I/O breakpoints. */
static bool debug_trap(struct vcpu *cpu)
{
    u64 bits = cpu->pending_debug;

    if (!bits || cpu->shadow_ss)
        return false;
    cpu->pending_debug = 0;
    cpu->fault = (struct event){ .pending = true, .type = EVENT_EXCEPTION, .vector = VECTOR_DB, .parameter = bits };
    return true;
}

void turn_over(struct vcpu *cpu)
{
    vcpu_show_rf(cpu);
    cpu->exit_reason = TURN_OVER;
    vcpu_land(cpu);
}

static NORETURN COLD void count_reached(struct vcpu *cpu)
{
    if (__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED))
        turn_over(cpu);
    exit_count(cpu);
}

/* The map of guest memory changed: translations of before are forgotten, and code, if other memory has aliases now. */
static void forget_map(struct vcpu *cpu)
{
    u32 aliases;

    __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_TLB, __ATOMIC_SEQ_CST);
    tlb_flush(cpu, false);
    code_doubt(cpu);
    aliases = alias_changes(ram_aliases(cpu->partition->ram));
    if (aliases != cpu->aliases)
        code_forget(cpu);
    cpu->aliases = aliases;
}

/* WHvRegisterPendingInterruption. */
static void inject(struct vcpu *cpu)
{
    struct event e = cpu->interruption;
    bool is_software = e.type == EVENT_SOFTWARE_INTERRUPT || e.type == EVENT_SOFTWARE_EXCEPTION;

    cpu->link = NULL;
    cpu->interruption.pending = false;
    if (!is_software || !cpu->shadow_ss) /* SDM 3C 26.7.3: it supersedes debug exceptions that wait */
        cpu->pending_debug = 0;
    event_deliver(cpu, &e);
}

/* What attention was asked for. Anything may leave from here. False: nothing runs before another look. */
static NOINLINE bool attend(struct vcpu *cpu)
{
    u32 asked = __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST);

    if (cpu->apic)
        apic_leave_for_trap(cpu);
    if (asked & ATTENTION_CANCEL) {
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_CANCEL, __ATOMIC_SEQ_CST);
        exit_canceled(cpu);
    }
    if (asked & ATTENTION_MEET) {
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_MEET, __ATOMIC_SEQ_CST);
        meet_pass(cpu);
        asked = __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST); /* what the meeting was for */
    }
    if (asked & ATTENTION_CODE) {
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_CODE, __ATOMIC_SEQ_CST);
        code_settle(cpu);
        asked = __atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST); /* it may have waited for a meeting, too */
    }
    if (asked & ATTENTION_TLB)
        forget_map(cpu);
    if (asked & ATTENTION_DOUBT) {
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_DOUBT, __ATOMIC_SEQ_CST);
        code_doubt(cpu);
    }
    if (asked & ATTENTION_TURN) {
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_TURN, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED))
            turn_over(cpu);
    }
    if (cpu->count >= cpu->until) /* before any event: whatever waits goes on waiting */
        count_reached(cpu);
    if (unlikely(cpu->deliverability >> 48))
        synic_notify(cpu);
    if (cpu->apic && !apic_attend(cpu))
        return false;
    if (cpu->interruption.pending) { /* behind a HLT, which it doesn't end: reference 5.5 */
        inject(cpu);
        return false;
    }
    if (cpu->queued.pending) {
        cpu->fault = cpu->queued;
        cpu->fault.injected = true;
        cpu->queued.pending = false;
        return false;
    }
    __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
    if (debug_trap(cpu))
        return false;
    if (cpu->apic && apic_deliver(cpu))
        return false;
    if (cpu->deliverability & 3)
        notify(cpu);
    /* Look again at each turn: blocks can't change what matters. */
    if ((cpu->deliverability & 3) || cpu->pending_debug || (cpu->apic && apic_is_waiting(cpu)))
        __atomic_fetch_or(&cpu->attention, ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&cpu->attention, ~(u32)ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED) == cpu->stop; /* neither called nor with another deadline */
}

static bool is_code_breakpoint(const struct vcpu *cpu, unsigned n)
{
    return (cpu->dr[7] >> (2 * n) & 3) && (cpu->dr[7] >> (16 + 4 * n) & 3) == 0;
}

/* Instruction breakpoints at RIP, unless RF or the shadow of MOV SS lets this one instruction pass. SDM 3B 17.3.1.1. */
static u64 code_breakpoints(const struct vcpu *cpu)
{
    u64 linear = in_code64(cpu) ? cpu->rip : (u32)(cpu->seg[CS].base + cpu->rip), hit = 0;

    if ((cpu->rflags & RF) || cpu->between_rounds || cpu->shadow_ss)
        return 0;
    for (unsigned n = 0; n < 4; n++)
        if (is_code_breakpoint(cpu, n) && cpu->dr[n] == linear)
            hit |= 1u << n;
    return hit;
}

/*
 * One instruction by itself: in the shadow of STI or MOV SS, under TF, RF or breakpoints, or because the count allows
 * less than a block.
 */
static NOINLINE void step(struct vcpu *cpu)
{
    u64 hit = cpu->dr[7] & 0xff ? code_breakpoints(cpu) : 0;

    if (hit)
        vcpu_raise_debug(cpu, hit);

    const struct insn *entry = block_find(cpu, true);

    cpu->link = NULL;
    cpu->running_shadow = cpu->shadow;
    cpu->running_shadow_ss = cpu->shadow_ss;
    cpu->shadow = cpu->shadow_ss = false;
    cpu->running_rf = (cpu->rflags & RF) || cpu->between_rounds;
    cpu->between_rounds = false;
    cpu->rflags &= ~(u64)RF;
    cpu->trap_due = cpu->rflags & TF;
    cpu->debug_before = cpu->pending_debug;
    cpu->count += 1;
    __atomic_store_n(&cpu->limit, cpu->count, __ATOMIC_SEQ_CST); /* so that nothing enters another block */
    run_blocks(cpu, entry);
    cpu->at = NULL;
    if (cpu->exit_reason)
        return;
    cpu->running_shadow = cpu->running_rf = false;
    if (cpu->trap_due) {
        cpu->pending_debug |= DR6_BS;
        __atomic_fetch_or(&cpu->attention, ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
        cpu->trap_due = false;
    }
}

/* Lets a turn pass: the exit that we came from is linked to where it went, if it may be. */
static void link_exit(struct vcpu *cpu, const struct insn *entry)
{
    struct exits *x = cpu->link;
    struct block *b = block_of(entry);

    cpu->link = NULL;
    if (b->is_alone)
        return;
    if (cpu->link_taken) {
        x->taken = (u64)(i64)x->taken_offset < PAGE_SIZE ? b->insn : &b->enter;
        x->taken_generation = cpu->generation;
    } else {
        x->fall = (u64)(i64)x->fall_offset < PAGE_SIZE ? b->insn : &b->enter;
        x->fall_generation = cpu->generation;
    }
}

static void turn(struct vcpu *cpu)
{
    cpu->at = NULL;
    if (unlikely(cpu->fault.pending)) {
        cpu->running_shadow = cpu->running_rf = cpu->trap_due = false;
        cpu->link = NULL; /* what was looked for when it came is not where we go now */
        event_fault(cpu);
        return;
    }
    if (unlikely(__atomic_load_n(&cpu->limit, __ATOMIC_RELAXED) != cpu->stop))
        __atomic_store_n(&cpu->limit, cpu->stop, __ATOMIC_SEQ_CST); /* before attention is read */
    if (unlikely(__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE))) {
        if (!attend(cpu))
            return;
    }
    if (unlikely(cpu->count >= cpu->stop)) {
        if (cpu->count >= cpu->until)
            count_reached(cpu);
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST); /* the timer is due */
        return;
    }
    if (unlikely((cpu->rflags & (TF | RF)) || cpu->shadow || (cpu->dr[7] & 0xff))) {
        step(cpu);
        return;
    }

    const struct insn *entry = block_find(cpu, false);

    if (cpu->link)
        link_exit(cpu, entry);
    if (unlikely(cpu->stop - cpu->count < BLOCK_SIZE(entry))) {
        step(cpu);
        return;
    }
    if (unlikely(cpu->between_rounds)) {
        cpu->running_rf = true; /* until the repetition ends */
        cpu->between_rounds = false;
    }
    cpu->count += BLOCK_SIZE(entry);
    run_blocks(cpu, entry);
}

/* What the caller's writes and the entry itself ask for, once per Run; reference 4.1, order of checks on entry. */
static void enter(struct vcpu *cpu)
{
    if (cpu->left_instruction && cpu->rip != cpu->completed_rip) { /* the caller completed it */
        cpu->count++;
        cpu->rflags &= ~(u64)RF; /* which was for that one */
        if (cpu->completed_debug) {
            cpu->pending_debug |= cpu->completed_debug;
            __atomic_fetch_or(&cpu->attention, ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
        }
    }
    cpu->completed_debug = 0;
    cpu->left_instruction = false;
    cpu->running_shadow = cpu->running_rf = cpu->trap_due = false; /* of the instruction that left */
    code_doubt(cpu);
    if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) & ATTENTION_CANCEL) {
        attend(cpu);
        return;
    }
    if (__atomic_load_n(&cpu->attention, __ATOMIC_ACQUIRE) & ATTENTION_TLB)
        forget_map(cpu); /* before an event is delivered through old translations */
    event_check_state(cpu);
    if (cpu->count >= cpu->until)
        count_reached(cpu);
    if (cpu->queued.pending) /* comes after it, also where its delivery faults */
        __atomic_fetch_or(&cpu->attention, ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    if (cpu->apic) /* what came meanwhile, and the timer */
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
    if (cpu->interruption.pending && !cpu->activity)
        inject(cpu);
}

void vcpu_run(struct vcpu *cpu)
{
    clear_exit(cpu->exit);
    if (cpu->until >= BLOCK_DEAD) /* so that the size of a dead block is always past the limit */
        cpu->until = BLOCK_DEAD - 1;
    cpu->stop = cpu->until;
    cpu->exit_reason = 0;
    cpu->at = NULL;
    cpu->link = NULL;
    cpu->entered = false;
    fp_enter(cpu);

    (void)LAND_HERE(cpu->landing); /* every fault and every exit lands here */
    if (!cpu->entered) {
        cpu->entered = true;
        enter(cpu);
    }
    while (!cpu->exit_reason)
        turn(cpu);
    fp_leave(cpu);
}

/* ---- turns ---- */

u32 vcpu_turn(struct vcpu *cpu, u64 until)
{
    cpu->stop = cpu->until = until < BLOCK_DEAD ? until : BLOCK_DEAD - 1;
    cpu->exit_reason = 0;
    cpu->at = NULL;
    cpu->link = NULL;
    if (cpu->apic) /* others have moved the clock: when is the timer due? */
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);

    (void)LAND_HERE(cpu->landing);
    if (!cpu->entered) {
        cpu->entered = true;
        enter(cpu);
    }
    while (!cpu->exit_reason)
        turn(cpu);
    return cpu->exit_reason;
}

u32 vcpu_look(struct vcpu *cpu)
{
    cpu->stop = cpu->until = BLOCK_DEAD - 1;
    cpu->exit_reason = 0;

    (void)LAND_HERE(cpu->landing);
    if (cpu->exit_reason)
        return cpu->exit_reason;
    if (!cpu->entered) {
        cpu->entered = true;
        enter(cpu);
    }
    if (!cpu->exit_reason) {
        apic_leave_for_trap(cpu);
        apic_rouse(cpu);
    }
    return cpu->exit_reason ? cpu->exit_reason : TURN_OVER;
}

void vcpu_leave_by_count(struct vcpu *cpu)
{
    if (!LAND_HERE(cpu->landing))
        exit_count(cpu);
}
