/* SPDX-License-Identifier: MIT */
/* The part that is common to all exits, and those that carry nothing of their own. */
#include "exits/exit.h"

#include <stdarg.h>
#include <stdio.h>

#include "exits/context.h"
#include "state/flags.h"

/* Reference 4.1. The union was zeroed by the run loop. */
WHV_RUN_VP_EXIT_CONTEXT *context_begin(struct vcpu *cpu, u32 reason, unsigned length)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = cpu->exit;
    WHV_X64_VP_EXECUTION_STATE state = { .AsUINT16 = 0 };

    cpu->left_instruction = cpu->at != NULL;
    vcpu_rewind(cpu);
    vcpu_show_rf(cpu);
    if (cpu->in_delivery) { /* what was being delivered is delivered again unless the caller drops it */
        cpu->interruption = cpu->delivering;
        cpu->in_delivery = false;
        cpu->left_instruction = false;
        state.InterruptionPending = 1;
    }
    state.Cpl = cpu->cpl & 3u;
    state.Cr0Pe = (cpu->cr0 & CR0_PE) != 0;
    state.Cr0Am = (cpu->cr0 & CR0_AM) != 0;
    state.EferLma = (cpu->efer & EFER_LMA) != 0;
    state.DebugActive = (cpu->dr[7] & 0xff) != 0;
    state.InterruptShadow = cpu->shadow;
    x->ExitReason = (WHV_RUN_VP_EXIT_REASON)reason;
    x->VpContext.ExecutionState = state;
    x->VpContext.InstructionLength = length & 15;
    x->VpContext.Cr8 = cpu->cr8 & 15;
    context_segment(&x->VpContext.Cs, &cpu->seg[CS]);
    x->VpContext.Rip = cpu->rip;
    x->VpContext.Rflags = rflags_read(cpu);
    cpu->completed_rip = cpu->rip;
    cpu->completed_debug = 0;
    cpu->exit_reason = reason;
    return x;
}

/* Bytes from RIP on, as far as its translation is remembered: exits promise no more. */
u8 context_bytes(const struct vcpu *cpu, UINT8 bytes[16])
{
    u64 linear = cpu->seg[CS].base + cpu->rip;
    unsigned got = 0;

    if (!in_code64(cpu))
        linear = (u32)linear;
    while (got < 16) {
        const struct fetched_page *page = fetched_find(&cpu->fetched, linear + got, cpu->cpl == 3);
        const u8 *from = page ? (const u8 *)(page->host | ((linear + got) & ~PAGE_MASK)) : NULL;
        unsigned part = PAGE_SIZE - (unsigned)((linear + got) & ~PAGE_MASK);

        if (!from)
            break;
        if (likely(part >= 16 && !got)) {
            copy_bytes(bytes, from, 16);
            return 16;
        }
        if (part > 16 - got)
            part = 16 - got;
        copy_bytes(bytes + got, from, part);
        got += part;
    }
    return (u8)got;
}

void exit_unrecoverable(struct vcpu *cpu)
{
    context_begin(cpu, WHvRunVpExitReasonUnrecoverableException, 0);
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}

void exit_invalid_state(struct vcpu *cpu, const char *rule, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, rule);
    vsnprintf(text, sizeof text, rule, ap);
    va_end(ap);
    explain_clear(cpu);
    explain(cpu, "the state isn't one that a processor can run in: %s", text);
    context_begin(cpu, WHvRunVpExitReasonInvalidVpRegisterValue, 0);
    vcpu_land(cpu);
}

void exit_halt(struct vcpu *cpu)
{
    if (cpu->trap_due) { /* HLT has happened: its single step comes at the next entry */
        cpu->pending_debug |= DR6_BS;
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
    }
    context_begin(cpu, WHvRunVpExitReasonX64Halt, 0);
    cpu->counters[COUNT_HALT]++;
}

void exit_count(struct vcpu *cpu)
{
    context_begin(cpu, (u32)SwhpRunVpExitReasonCount, 0);
    vcpu_land(cpu);
}

/* It waits for an interrupt, and so no shadow keeps one away, as after HLT. */
void exit_ferr_freeze(struct vcpu *cpu)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, (u32)SwhpRunVpExitReasonFerrFreeze, 0);

    cpu->shadow = cpu->shadow_ss = false;
    x->VpContext.ExecutionState.InterruptShadow = 0;
    cpu->left_instruction = false;
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}

void exit_canceled(struct vcpu *cpu)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonCanceled, 0);

    x->CancelReason.CancelReason = WHvRunVpCancelReasonUser;
    vcpu_land(cpu);
}

void exit_interrupt_window(struct vcpu *cpu, u32 type)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonX64InterruptWindow, 0);

    x->InterruptWindow.DeliverableType = (WHV_X64_PENDING_INTERRUPTION_TYPE)type;
    cpu->counters[COUNT_WINDOW]++;
    vcpu_land(cpu);
}

void explain_clear(struct vcpu *cpu)
{
    if (cpu->explain)
        cpu->explain[0] = 0;
}

void explain(struct vcpu *cpu, const char *format, ...)
{
    size_t used;
    va_list ap;

    if (!cpu->explain)
        return;
    used = strlen(cpu->explain);
    if (used + 2 >= EXPLAIN_SIZE)
        return;
    if (used)
        cpu->explain[used++] = '\n';
    va_start(ap, format);
    vsnprintf(cpu->explain + used, EXPLAIN_SIZE - used, format, ap);
    va_end(ap);
}
