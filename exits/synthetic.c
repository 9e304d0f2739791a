/* SPDX-License-Identifier: MIT */
/* Exits of Hyper-V's interface: reference 4.8, 4.10. */
#include "exits/context.h"
#include "exits/exit.h"

/* At a boundary: RIP is at the next instruction. */
void exit_synic_sint(struct vcpu *cpu, u16 sources)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonSynicSintDeliverable, 0);

    x->SynicSintDeliverable.DeliverableSints = sources;
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}

/* At the instruction, which the caller completes: RAX, and RIP. */
void exit_hypercall(struct vcpu *cpu)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonHypercall, context_length(cpu));
    WHV_HYPERCALL_CONTEXT *h = &x->Hypercall;

    h->Rax = cpu->gpr[RAX];
    h->Rbx = cpu->gpr[RBX];
    h->Rcx = cpu->gpr[RCX];
    h->Rdx = cpu->gpr[RDX];
    h->R8 = cpu->gpr[R8];
    h->Rsi = cpu->gpr[RSI];
    h->Rdi = cpu->gpr[RDI];
    for (unsigned i = 0; i < WHV_HYPERCALL_CONTEXT_MAX_XMM_REGISTERS; i++)
        memcpy(&h->XmmRegisters[i], cpu->vec[i].b, 16);
    cpu->counters[COUNT_HYPERCALL]++;
    vcpu_land(cpu);
}
