/* SPDX-License-Identifier: MIT */
/*
 * Calls of the system: SYSCALL, SYSENTER and their returns, SWAPGS, INT n and its relatives. As AMD's
 * processors do them.
 */
#include "cpu/event.h"
#include "cpu/handler.h"
#include "exits/exit.h"
#include "state/partition.h"

body_fn op_syscall, op_sysret, op_sysenter, op_sysexit, op_swapgs, op_int, op_int1, op_int3, op_into;

enum { FLAT_CODE64 = 0xa09b, FLAT_CODE32 = 0xc09b, FLAT_DATA = 0xc093 };

static struct segment flat(u32 selector, unsigned attributes, unsigned dpl)
{
    return (struct segment){ 0, 0xffffffff, (u16)selector, (u16)(attributes | dpl << SEG_DPL_SHIFT) };
}

/* APM 3 SYSCALL. */
void op_syscall(CPU, IN)
{
    u32 selector = (u32)(cpu->star >> 32) & 0xffff;
    bool is_long = in_long_mode(cpu);

    (void)in;
    if (!(cpu->efer & EFER_SCE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (is_long) {
        u64 flags = rflags_read(cpu) & ~(u64)RF;

        cpu->gpr[RCX] = cpu->rip;
        cpu->gpr[R11] = flags;
        cpu->rip = in_code64(cpu) ? cpu->lstar : cpu->cstar;
        rflags_write(cpu, flags & ~cpu->sfmask);
        cpu->trap_due = cpu->trap_due && (cpu->rflags & TF);
    } else {
        cpu->gpr[RCX] = (u32)cpu->rip;
        cpu->rip = (u32)cpu->star;
        cpu->rflags &= ~(u64)(IF | RF | VM);
    }
    cpu->seg[CS] = flat(selector & 0xfffc, is_long ? FLAT_CODE64 : FLAT_CODE32, 0);
    cpu->seg[SS] = flat(selector + 8, FLAT_DATA, 0); /* with STAR's RPL, should it have one */
    cpu->cpl = 0;
    mode_update(cpu);
}

/*
 * APM 3 SYSRET. SS gets a selector, and keeps whatever it held; an RCX that isn't canonical faults at level
 * 3, when it is fetched from.
 */
void op_sysret(CPU, IN)
{
    u32 selector = (u32)(cpu->star >> 48);

    if (!(cpu->efer & EFER_SCE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (in_real_mode(cpu) || cpu->cpl != 0)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (in_code64(cpu)) {
        bool to64 = in->width == W64;

        cpu->seg[CS] = to64 ? flat((selector + 16) | 3, FLAT_CODE64, 3) : flat(selector | 3, FLAT_CODE32, 3);
        cpu->rip = to64 ? cpu->gpr[RCX] : (u32)cpu->gpr[RCX];
        if (!is_canonical(cpu, cpu->rip))
            cpu->stray_rip = cpu->rip;
        rflags_write(cpu, cpu->gpr[R11] & ~(u64)(RF | VM));
        cpu->trap_due = false;
        if (cpu->rflags & TF) { /* trapped at once, as if the SYSCALL had been stepped over */
            cpu->pending_debug |= DR6_BS;
            __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
        }
    } else {
        cpu->seg[CS] = flat(selector | 3, FLAT_CODE32, 3);
        cpu->rip = (u32)cpu->gpr[RCX];
        cpu->rflags |= IF;
    }
    cpu->seg[SS].selector = (u16)(selector + 8);
    cpu->seg[SS].attributes |= 3 << SEG_DPL_SHIFT;
    cpu->cpl = 3;
    mode_update(cpu);
}

/* APM 3 SYSENTER: legacy mode only. */
void op_sysenter(CPU, IN)
{
    u32 selector = (u32)cpu->sysenter_cs & 0xfffc;

    (void)in;
    if (in_long_mode(cpu))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (in_real_mode(cpu) || !selector)
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->rflags &= ~(u64)(VM | IF | RF);
    cpu->seg[CS] = flat(selector, FLAT_CODE32, 0);
    cpu->seg[SS] = flat(selector + 8, FLAT_DATA, 0);
    cpu->gpr[RSP] = (u32)cpu->sysenter_esp;
    cpu->rip = (u32)cpu->sysenter_eip;
    cpu->cpl = 0;
    mode_update(cpu);
}

void op_sysexit(CPU, IN)
{
    u32 selector = (u32)cpu->sysenter_cs & 0xfffc;

    (void)in;
    if (in_long_mode(cpu))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (in_real_mode(cpu) || cpu->cpl != 0 || !selector)
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->seg[CS] = flat((selector + 16) | 3, FLAT_CODE32, 3);
    cpu->seg[SS] = flat((selector + 24) | 3, FLAT_DATA, 3);
    cpu->gpr[RSP] = (u32)cpu->gpr[RCX];
    cpu->rip = (u32)cpu->gpr[RDX];
    cpu->cpl = 3;
    mode_update(cpu);
}

void op_swapgs(CPU, IN)
{
    u64 base = cpu->seg[GS].base;

    (void)in;
    cpu->seg[GS].base = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
}

/* RIP is past the instruction already. */
static void software_event(CPU, IN, enum event_type type, u8 vector)
{
    const struct partition *p = cpu->partition;
    struct event e = { .pending = true, .type = (u8)type, .vector = vector, .length = in->length };

    /* Reference 4.7: INT n doesn't exit so. */
    if (type != EVENT_SOFTWARE_INTERRUPT && p->exits.ExceptionExit && p->exception_bitmap >> vector & 1)
        exit_exception(cpu, &e);
    event_deliver(cpu, &e);
}

void op_int(CPU, IN)
{
    software_event(cpu, in, EVENT_SOFTWARE_INTERRUPT, (u8)in->imm);
}

void op_int1(CPU, IN)
{
    software_event(cpu, in, EVENT_PRIVILEGED_SOFTWARE, VECTOR_DB);
}

void op_int3(CPU, IN)
{
    software_event(cpu, in, EVENT_SOFTWARE_EXCEPTION, VECTOR_BP);
}

void op_into(CPU, IN)
{
    if (flag_of(cpu))
        software_event(cpu, in, EVENT_SOFTWARE_EXCEPTION, VECTOR_OF);
}
