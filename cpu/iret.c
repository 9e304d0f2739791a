/* SPDX-License-Identifier: MIT */
/* IRET in all its forms. SDM 2A IRET, APM 3 IRET. */
#include "cpu/descriptor.h"

/* Which flags IRET and POPF take from the stack, at a width and privilege. */
static u64 flags_allowed(const struct vcpu *cpu, unsigned width)
{
    u64 allowed = STATUS | TF | DF | NT;

    if (width > 16)
        allowed |= RF | AC | ID;
    if (cpu->cpl <= (cpu->rflags & IOPL) >> 12)
        allowed |= IF;
    if (cpu->cpl == 0)
        allowed |= IOPL | (width > 16 ? VIF | VIP : 0);
    return allowed;
}

/* Sets those flags. Who waits for IF has attention set already, and is asked after this block. */
static void commit_flags(CPU, u64 flags, u64 allowed)
{
    u64 old = rflags_read(cpu);

    rflags_write(cpu, (old & ~allowed) | (flags & allowed));
    cpu->nmi_masked = false;
}

static void iret_real(CPU, unsigned size)
{
    u64 sp = stack_pointer(cpu);
    u64 ip = stack_read(cpu, sp, size);
    u16 cs = (u16)stack_read(cpu, sp + size, size);
    u64 flags = stack_read(cpu, sp + 2 * size, size);
    u64 allowed = STATUS | TF | IF | DF | IOPL | NT | (size == 4 ? RF | AC | ID : 0);

    if (ip > cpu->seg[CS].limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    stack_set_pointer(cpu, sp + 3 * size);
    segment_load_real(cpu, CS, cs);
    cpu->rip = ip;
    commit_flags(cpu, flags, allowed);
    mode_update(cpu);
}

/* SDM 3A 20.2.7, 20.3.3. */
static void iret_vm86(CPU, unsigned size)
{
    bool virtual = (cpu->rflags & IOPL) != IOPL;
    u64 sp = stack_pointer(cpu), ip, flags, allowed;
    u16 cs;

    if (virtual && !(cpu->cr4 & CR4_VME))
        vcpu_raise(cpu, VECTOR_GP, 0);
    ip = stack_read(cpu, sp, size);
    cs = (u16)stack_read(cpu, sp + size, size);
    flags = stack_read(cpu, sp + 2 * size, size);
    if (ip > cpu->seg[CS].limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    allowed = STATUS | TF | DF | NT | (size == 4 ? RF | AC | ID : 0);
    if (virtual) {
        if (size == 4 || ((flags & IF) && (cpu->rflags & VIP)) || (flags & TF))
            vcpu_raise(cpu, VECTOR_GP, 0);
        allowed |= VIF;
        flags = (flags & ~(u64)VIF) | (flags & IF ? VIF : 0);
    } else {
        allowed |= IF;
    }
    stack_set_pointer(cpu, sp + 3 * size);
    segment_load_real(cpu, CS, cs);
    cpu->rip = ip;
    commit_flags(cpu, flags, allowed);
    mode_update(cpu);
}

/* From level 0 into virtual-8086 mode: nine doublewords are on the stack. */
static void iret_to_vm86(CPU, u64 sp, u32 eip, u16 cs, u64 flags)
{
    static const u8 order[] = { SS, ES, DS, FS, GS };
    u16 selector[5];
    u32 esp = (u32)stack_read(cpu, sp + 12, 4);

    for (unsigned i = 0; i < 5; i++)
        selector[i] = (u16)stack_read(cpu, sp + 16 + 4 * i, 4);
    cpu->rflags |= VM;
    commit_flags(cpu, flags, STATUS | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID);
    cpu->cpl = 3;
    mode_update(cpu); /* virtual-8086 from here on, so that segments load so */
    segment_load_real(cpu, CS, cs);
    for (unsigned i = 0; i < 5; i++)
        segment_load_real(cpu, order[i], selector[i]);
    cpu->gpr[RSP] = esp;
    cpu->rip = eip & 0xffff; /* APM 3 IRET; an Intel faults on the upper half */
    mode_update(cpu);
}

static void iret_task(CPU)
{
    const struct segment *tr = &cpu->seg[TR];

    if (in_long_mode(cpu))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (tr->limit < 1)
        vcpu_raise(cpu, VECTOR_TS, tr->selector & 0xfffcu);
    task_switch(cpu, (u16)system_read(cpu, tr->base, 2), TASK_IRET, cpu->rip, NULL);
    cpu->nmi_masked = false;
}

/* What was popped: the whole of a 64-bit frame, or the parts that the return needs. */
struct popped {
    u64 rip, cs, flags, rsp, ss;
    bool whole; /* with rsp and ss */
};

static struct popped pop_frame(CPU, u64 sp, unsigned size)
{
    struct popped f = { 0 };
    const u64 *hit;

    if (size == 8 && in_code64(cpu) && (hit = place_hit(cpu, sp, 40, false)) != NULL) {
        copy_bytes(&f, hit, 40);
        f.whole = true;
        return f;
    }
    f.flags = stack_read(cpu, sp + 2 * size, size); /* Zen reads top down */
    f.cs = stack_read(cpu, sp + size, size);
    f.rip = stack_read(cpu, sp, size);
    return f;
}

static void pop_stack(CPU, u64 sp, unsigned size, struct popped *f)
{
    f->ss = stack_read(cpu, sp + 4 * size, size);
    f->rsp = stack_read(cpu, sp + 3 * size, size);
}

static void iret_protected(CPU, unsigned size)
{
    u64 sp = stack_pointer(cpu);
    struct popped f = pop_frame(cpu, sp, size);
    bool is64 = in_code64(cpu);
    u64 allowed = flags_allowed(cpu, size * 8);

    if ((f.flags & VM) && size == 4 && cpu->cpl == 0 && !in_long_mode(cpu)) {
        iret_to_vm86(cpu, sp, (u32)f.rip, (u16)f.cs, f.flags);
        return;
    }
    unsigned cpl = f.cs & 3;

    if ((is64 || cpl != cpu->cpl) && !f.whole)
        pop_stack(cpu, sp, size, &f);
    struct segment cs = check_return_code(cpu, (u16)f.cs), ss = cpu->seg[SS];
    bool to64 = in_long_mode(cpu) && (cs.attributes & SEG_L);

    bool is_outer = cpl != cpu->cpl;

    check_rip(cpu, &cs, f.rip, 0); /* before SS, as APM 3 has it and Zen does it */
    if (is64 || is_outer)
        ss = check_outer_stack(cpu, (u16)f.ss, cpl, to64);
    else
        f.rsp = cpu->gpr[RSP] + 3 * size;
    commit_stack_pointer(cpu, to64, &ss, f.rsp);
    cpu->seg[SS] = ss;
    commit_flags(cpu, f.flags, allowed);
    commit_code(cpu, &cs, cpl, f.rip);
    if (is_outer)
        drop_inner_segments(cpu);
}

body_fn op_iret;

void op_iret(CPU, IN)
{
    unsigned size = width_size(in->width);

    if (in_real_mode(cpu))
        iret_real(cpu, size);
    else if (in_vm86(cpu))
        iret_vm86(cpu, size);
    else if (cpu->rflags & NT)
        iret_task(cpu);
    else
        iret_protected(cpu, size);
}
