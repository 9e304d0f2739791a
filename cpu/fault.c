/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an exception: an exit, its delivery, a double fault, the shutdown. And what a state must be
 * to run at all.
 */
#include "cpu/event.h"

#include <stdio.h>

#include "cpu/descriptor.h"
#include "exits/exit.h"
#include "mem/walk.h"
#include "state/partition.h"
#include "state/profile.h"

static const char *vector_name(u8 vector)
{
    static const char *const names[] = { "#DE", "#DB",       "NMI",      "#BP", "#OF", "#BR", "#UD",
                                         "#NM", "#DF",       "vector 9", "#TS", "#NP", "#SS", "#GP",
                                         "#PF", "vector 15", "#MF",      "#AC", "#MC", "#XM" };

    return vector < sizeof names / sizeof *names ? names[vector] : "vector";
}

/* One event in words. */
static void tell_event(CPU, const char *before, const struct event *e)
{
    char text[160];
    int n = 0;

    if (e->type == EVENT_INTERRUPT || e->type == EVENT_SOFTWARE_INTERRUPT)
        n = snprintf(text, sizeof text, "%s %u", e->type == EVENT_INTERRUPT ? "interrupt" : "INT", e->vector);
    else
        n = snprintf(text, sizeof text, "%s", vector_name(e->vector));
    if (e->has_error)
        n += snprintf(text + n, sizeof text - (size_t)n, ", error code %x", e->error);
    if (e->vector == VECTOR_PF && e->type == EVENT_EXCEPTION)
        n += snprintf(text + n, sizeof text - (size_t)n, ", CR2 %llx",
                      (unsigned long long)(e->parameter ? e->parameter : cpu->cr2));
    explain(cpu, "%s%s at CS:RIP %x:%llx, CPL %u", before, text, cpu->seg[CS].selector,
            (unsigned long long)cpu->rip, cpu->cpl);
}

/* The walk that a page fault came from, line by line. */
static void tell_walk(CPU, const struct event *e)
{
    char story[512] = "";
    struct translation t;
    struct walk w = { .linear = e->parameter,
                      .access = e->error & PF_W   ? ACCESS_WRITE
                                : e->error & PF_I ? ACCESS_EXECUTE
                                                  : ACCESS_READ,
                      .user = e->error & PF_U,
                      .check_rights = true,
                      .story = story };

    if (!(cpu->cr0 & CR0_PG))
        return;
    walk(cpu, &w, &t);
    explain(cpu, "%.*s", (int)strcspn(story, "\n"), story);
    for (const char *line = strchr(story, '\n'); line && line[1]; line = strchr(line + 1, '\n'))
        explain(cpu, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
}

/* A fault `e` came up while cpu->delivering was delivered: what, and why. */
static void tell_nested(CPU, const struct event *e)
{
    if (cpu->fault_depth++ == 0) {
        explain_clear(cpu);
        tell_event(cpu, "", &cpu->delivering);
    }
    explain(cpu, "delivering it failed: %s", cpu->trouble ? cpu->trouble : "no reason noted");
    tell_event(cpu, "so ", e);
    if (e->vector == VECTOR_PF)
        tell_walk(cpu, e);
}

/* SDM 3A table 6-4. */
enum severity { BENIGN, CONTRIBUTORY, PAGE_FAULT };

static enum severity severity(u8 vector)
{
    if (vector == VECTOR_PF)
        return PAGE_FAULT;
    return vector == VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP) ? CONTRIBUTORY : BENIGN;
}

static bool is_intercepted(const struct vcpu *cpu, const struct event *e)
{
    const struct partition *p = cpu->partition;

    return !e->injected && p->exits.ExceptionExit && e->vector < 32 && p->exception_bitmap >> e->vector & 1;
}

/* What registers an exception changes besides what it pushes. */
static void take_effects(CPU, const struct event *e)
{
    if (e->vector == VECTOR_PF) {
        cpu->cr2 = e->parameter;
    } else if (e->vector == VECTOR_DB) {
        cpu->dr[6] = (cpu->dr[6] & ~(u64)15) | (e->parameter & (15 | DR6_BD | DR6_BS | DR6_BT));
        cpu->dr[7] &= ~(u64)DR7_GD;
    }
}

/*
 * Benign faults may follow each other for ever: #AC, whose handler's frame is misaligned at CPL 3. Processors hang
 * then, deaf to all but INIT and the like; callers want their thread back.
 */
enum { MOST_NESTED = 1000 };

void event_fault(CPU)
{
    struct event e = cpu->fault;

    cpu->fault.pending = false;
    if (is_intercepted(cpu, &e))
        exit_exception(cpu, &e);
    if (e.vector == VECTOR_DB && !e.injected)
        e.parameter |= cpu->pending_debug;
    cpu->pending_debug = 0; /* an exception supersedes those that wait behind MOV SS: SDM 3C 26.7.3 */
    take_effects(cpu, &e);
    if (!cpu->in_delivery) {
        cpu->fault_depth = 0;
    } else {
        bool is_exception = cpu->delivering.type == EVENT_EXCEPTION;
        enum severity first = is_exception ? severity(cpu->delivering.vector) : BENIGN;
        enum severity second = severity(e.vector);

        tell_nested(cpu, &e);
        if (cpu->fault_depth >= MOST_NESTED) {
            cpu->fault_depth = 0;
            explain(cpu, "and so on without end: shutdown");
            exit_unrecoverable(cpu);
        }
        if (is_exception && cpu->delivering.vector == VECTOR_DF && second != BENIGN) {
            explain(cpu, "a fault in the delivery of a double fault: shutdown");
            exit_unrecoverable(cpu);
        }
        cpu->in_delivery = false;
        if ((first == CONTRIBUTORY && second == CONTRIBUTORY) || (first == PAGE_FAULT && second != BENIGN)) {
            explain(cpu, "which makes a double fault");
            e = (struct event){
                .pending = true, .type = EVENT_EXCEPTION, .vector = VECTOR_DF, .has_error = !in_real_mode(cpu)
            };
            if (is_intercepted(cpu, &e))
                exit_exception(cpu, &e);
        }
    }
    event_deliver(cpu, &e);
}

/* ---- what a state must be to run: reference 4.9 ---- */

#define RULE(ok, ...)                                                                                        \
    do {                                                                                                     \
        if (unlikely(!(ok)))                                                                                 \
            exit_invalid_state(cpu, __VA_ARGS__);                                                            \
    } while (0)

static void check_control(CPU)
{
    const struct partition *p = cpu->partition;
    bool lma = cpu->efer & EFER_LMA;

    RULE(!(cpu->cr0 >> 32), "CR0's upper half must be zero");
    RULE((cpu->cr0 & CR0_PE) || !(cpu->cr0 & CR0_PG), "CR0.PG without CR0.PE");
    RULE((cpu->cr0 & CR0_CD) || !(cpu->cr0 & CR0_NW), "CR0.NW without CR0.CD");
    RULE(!(cpu->cr4 & ~p->cr4_valid), "CR4 has bits that the processor doesn't have: %llx",
         (unsigned long long)(cpu->cr4 & ~p->cr4_valid));
    RULE(!(cpu->efer & ~(p->efer_valid | EFER_LMA)),
         "EFER has bits that the processor doesn't have: %llx",
         (unsigned long long)(cpu->efer & ~(p->efer_valid | EFER_LMA)));
    RULE(lma == ((cpu->efer & EFER_LME) && (cpu->cr0 & CR0_PG)),
         "EFER.LMA must equal EFER.LME and CR0.PG together");
    RULE(!lma || (cpu->cr4 & CR4_PAE), "EFER.LMA without CR4.PAE");
    RULE(lma || !(cpu->cr4 & CR4_PCIDE), "CR4.PCIDE without EFER.LMA");
    RULE(!(cpu->cr0 & CR0_PG) || !(cpu->cr3 >> cpu->partition->physical_width),
         "CR3 has bits above the physical address width");
}

static void check_segments(CPU)
{
    static const char *const names[] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    const struct segment *cs = &cpu->seg[CS];
    bool lma = cpu->efer & EFER_LMA, vm86 = cpu->rflags & VM;

    if (vm86) {
        RULE(!lma, "RFLAGS.VM in long mode");
        RULE(cpu->cr0 & CR0_PE, "RFLAGS.VM without CR0.PE");
        for (unsigned i = ES; i <= GS; i++)
            RULE(cpu->seg[i].base == (u64)cpu->seg[i].selector << 4 && cpu->seg[i].limit == 0xffff &&
                     (cpu->seg[i].attributes & 0xff) == 0xf3,
                 "%s must be as virtual-8086 mode has it", names[i]);
        return;
    }
    RULE(!lma || (cs->attributes & (SEG_L | SEG_DB)) != (SEG_L | SEG_DB), "CS has both L and D");
    if (cpu->cr0 & CR0_PE) {
        RULE((cs->attributes & (SEG_P | SEG_S)) == (SEG_P | SEG_S), "CS must be present and a code segment");
        RULE((cs->attributes & SEG_CODE) || (cs->attributes & SEG_TYPE) == 3, "CS must be a code segment");
    }
}

void event_check_state(CPU)
{
    const struct event *e = &cpu->interruption;

    check_control(cpu);
    check_segments(cpu);
    RULE(!(cpu->rflags & ~(u64)RFLAGS_ALL) && (cpu->rflags & RFLAGS_FIXED), "RFLAGS has reserved bits");
    if ((cpu->efer & EFER_LMA) && (cpu->seg[CS].attributes & SEG_L))
        RULE(is_canonical(cpu, cpu->rip) || cpu->rip == cpu->stray_rip, "RIP isn't canonical");
    else
        cpu->rip = (u32)cpu->rip; /* callers add lengths without wrapping: reference 4.1 */
    if (e->pending) {
        RULE(e->type != 1 && e->type != 7, "PendingInterruption has a reserved type");
        RULE(e->type != EVENT_NMI || e->vector == VECTOR_NMI, "PendingInterruption: an NMI has vector 2");
        RULE((e->type != EVENT_EXCEPTION && e->type != EVENT_SOFTWARE_EXCEPTION) || e->vector < 32,
             "PendingInterruption: an exception's vector is below 32");
    }
}
