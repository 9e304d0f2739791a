/* SPDX-License-Identifier: MIT */
/*
 * Instructions that change the flags of the system: CLI, STI, PUSHF, POPF, CLAC, STAC; with virtual
 * interrupts. SDM 3A 20.3.
 */
#include "cpu/handler.h"

body_fn op_cli, op_sti, op_pushf, op_popf, op_clac, op_stac;

static bool has_iopl(const struct vcpu *cpu)
{
    return in_real_mode(cpu) || cpu->cpl <= (cpu->rflags & IOPL) >> 12; /* CPL is 3 in virtual-8086 mode */
}

/* Below IOPL: do CLI and STI act on VIF, or fault? */
static bool has_virtual_if(const struct vcpu *cpu)
{
    return in_vm86(cpu) ? cpu->cr4 & CR4_VME : (cpu->cr4 & CR4_PVI) && cpu->cpl == 3;
}

void op_cli(CPU, IN)
{
    (void)in;
    if (has_iopl(cpu))
        cpu->rflags &= ~(u64)IF;
    else if (has_virtual_if(cpu))
        cpu->rflags &= ~(u64)VIF;
    else
        vcpu_raise(cpu, VECTOR_GP, 0);
}

void op_sti(CPU, IN)
{
    (void)in;
    if (has_iopl(cpu)) {
        if (!(cpu->rflags & IF))
            cpu->shadow = true;
        cpu->rflags |= IF;
    } else if (has_virtual_if(cpu) && !(cpu->rflags & VIP)) {
        cpu->rflags |= VIF;
    } else {
        vcpu_raise(cpu, VECTOR_GP, 0);
    }
}

void op_pushf(CPU, IN)
{
    unsigned size = width_size(in->width);
    u64 flags = rflags_read(cpu) & ~(u64)(VM | RF), sp;

    if (in_vm86(cpu) && !has_iopl(cpu)) {
        if (!(cpu->cr4 & CR4_VME) || size != 2)
            vcpu_raise(cpu, VECTOR_GP, 0);
        flags = (flags & ~(u64)IF) | IOPL | (flags & VIF ? IF : 0);
    }
    sp = stack_pointer(cpu) - size;
    stack_write(cpu, sp, size, flags);
    stack_set_pointer(cpu, sp);
}

void op_popf(CPU, IN)
{
    unsigned size = width_size(in->width);
    u64 allowed = STATUS | TF | DF | NT | (size > 2 ? AC | ID : 0);
    bool virtual = in_vm86(cpu) && !has_iopl(cpu);
    u64 sp = stack_pointer(cpu), flags;

    if (virtual && (!(cpu->cr4 & CR4_VME) || size != 2))
        vcpu_raise(cpu, VECTOR_GP, 0);
    flags = stack_read(cpu, sp, size);
    if (virtual) {
        if ((flags & TF) || ((flags & IF) && (cpu->rflags & VIP)))
            vcpu_raise(cpu, VECTOR_GP, 0);
        allowed |= VIF;
        flags = (flags & ~(u64)VIF) | (flags & IF ? VIF : 0);
    } else {
        if (has_iopl(cpu))
            allowed |= IF;
        if (cpu->cpl == 0)
            allowed |= IOPL;
    }
    stack_set_pointer(cpu, sp + size);
    rflags_write(cpu, (rflags_read(cpu) & ~(allowed | RF)) | (flags & allowed));
    mode_update(cpu);
}

/* Only the rights of accesses change, and with them the bank of translations. */
void op_clac(CPU, IN)
{
    (void)in;
    if (cpu->cpl != 0)
        vcpu_raise(cpu, VECTOR_UD, 0);
    cpu->rflags &= ~(u64)AC;
    mode_update(cpu);
}

void op_stac(CPU, IN)
{
    (void)in;
    if (cpu->cpl != 0)
        vcpu_raise(cpu, VECTOR_UD, 0);
    cpu->rflags |= AC;
    mode_update(cpu);
}
