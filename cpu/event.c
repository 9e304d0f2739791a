/* SPDX-License-Identifier: MIT */
/*
 * Exceptions and interrupts: from a vector through the IDT to the handler's first instruction. SDM 3A 6, APM
 * 2 8.
 */
#include "cpu/event.h"

#include "cpu/descriptor.h"
#include "exits/exit.h"

/* A gate of the IDT, of whatever size. */
struct gate {
    u64 offset;
    u16 selector;
    u8 type; /* with the S bit */
    u8 dpl;
    u8 ist;
    bool present;
};

static bool is_software(u8 type) /* checked against the gate's DPL; INT1 isn't */
{
    return type == EVENT_SOFTWARE_INTERRUPT || type == EVENT_SOFTWARE_EXCEPTION;
}

static u32 gate_error(const struct vcpu *cpu, u8 vector)
{
    return vector * 8u + 2u + error_ext(cpu);
}

/*
 * Faults push RF as set, so that the instruction isn't stopped at its breakpoint again. Debug exceptions
 * don't.
 */
static bool is_fault(const struct event *e)
{
    return e->type == EVENT_EXCEPTION && e->vector != VECTOR_DB && e->vector != VECTOR_NMI &&
           e->vector != VECTOR_BP && e->vector != VECTOR_OF && e->vector != VECTOR_DF &&
           e->vector != VECTOR_MC;
}

u64 event_flags(const struct vcpu *cpu)
{
    return rflags_read(cpu) | (is_fault(&cpu->delivering) ? RF : 0);
}

static u64 pushed_rip(const struct vcpu *cpu)
{
    u64 rip = cpu->at ? cpu->rip : cpu->rip + cpu->delivering.length;

    return in_code64(cpu) ? rip : (u32)rip;
}

static struct gate read_gate(CPU, u8 vector)
{
    bool is_long = in_long_mode(cpu);
    unsigned size = is_long ? 16 : 8;
    u64 linear = table_linear(cpu, cpu->idtr.base, (u64)vector * size);
    struct gate g;
    u64 raw;

    cpu->trouble = "the IDT ends before the gate";
    if (vector * size + size - 1 > cpu->idtr.limit)
        vcpu_raise(cpu, VECTOR_GP, gate_error(cpu, vector));
    cpu->trouble = "reading the gate";
    raw = system_read(cpu, linear, 8);
    g.offset = (raw & 0xffff) | (raw >> 32 & 0xffff0000);
    g.selector = (u16)(raw >> 16);
    g.type = (u8)raw_type(raw);
    g.dpl = (u8)raw_dpl(raw);
    g.ist = is_long ? raw >> 32 & 7 : 0;
    g.present = raw_present(raw);
    if (is_long)
        g.offset |= system_read(cpu, linear + 8, 4) << 32;
    return g;
}

static void check_gate(CPU, const struct gate *g, u8 vector)
{
    bool is_long = in_long_mode(cpu);
    bool ok = g->type == TYPE_INT32 || g->type == TYPE_TRAP32 ||
              (!is_long && (g->type == TYPE_INT16 || g->type == TYPE_TRAP16 || g->type == TYPE_TASK));

    cpu->trouble = "the gate's type isn't that of an interrupt gate";
    if (!ok)
        vcpu_raise(cpu, VECTOR_GP, gate_error(cpu, vector));
    cpu->trouble = "the gate's DPL keeps software from using it";
    if (is_software(cpu->delivering.type) && g->dpl < cpu->cpl)
        vcpu_raise(cpu, VECTOR_GP, gate_error(cpu, vector));
    cpu->trouble = "the gate isn't present";
    if (!g->present)
        vcpu_raise(cpu, VECTOR_NP, gate_error(cpu, vector));
}

/* The handler's code segment. *cpl becomes the level that it runs at. */
static struct segment check_handler_code(CPU, u16 selector, unsigned *cpl)
{
    struct descriptor d;
    bool is_long = in_long_mode(cpu);

    cpu->trouble = "the gate's code selector is null";
    if (is_null_selector(selector))
        vcpu_raise(cpu, VECTOR_GP, error_ext(cpu));
    cpu->trouble = "the gate's code selector names no code segment that may be entered from here";
    if (!descriptor_read(cpu, selector, &d) || !raw_is_code(d.raw) || raw_dpl(d.raw) > cpu->cpl)
        vcpu_raise(cpu, VECTOR_GP, error_of(cpu, selector));
    struct segment cs = segment_of(selector, d.raw);

    cpu->trouble = "the gate's code segment isn't a 64-bit one";
    if (is_long && (cs.attributes & (SEG_L | SEG_DB)) != SEG_L)
        vcpu_raise(cpu, VECTOR_GP, error_of(cpu, selector));
    cpu->trouble = "the gate's code segment isn't present";
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error_of(cpu, selector));
    *cpl = raw_is_conforming(d.raw) ? cpu->cpl : raw_dpl(d.raw);
    cpu->trouble = "virtual-8086 mode can be left for level 0 only";
    if (in_vm86(cpu) && *cpl != 0)
        vcpu_raise(cpu, VECTOR_GP, error_of(cpu, selector));
    descriptor_set_accessed(cpu, &d);
    return cs;
}

/* The handler runs: what all deliveries end with. */
static void delivered(CPU, bool is_instruction)
{
    if (cpu->delivering.type == EVENT_NMI)
        cpu->nmi_masked = true;
    if (!is_instruction)
        cpu->count++;
    cpu->shadow = cpu->shadow_ss = false;
    cpu->trap_due = false; /* TF is clear now; INT n isn't trapped */
    cpu->in_delivery = false;
    cpu->fault_depth = 0;
}

/* 64-bit mode and compatibility mode. APM 2 8.9. */
static void deliver_long(CPU)
{
    const struct event *e = &cpu->delivering;
    struct gate g = read_gate(cpu, e->vector);
    unsigned cpl;
    struct frame f;

    check_gate(cpu, &g, e->vector);
    struct segment cs = check_handler_code(cpu, g.selector, &cpl);

    u64 rsp = cpu->gpr[RSP]; /* whole: behind an IRET to a 16-bit stack it isn't zero above 32 bits (Zen 3) */

    f.sp = rsp;
    cpu->trouble = "the TSS ends before the stack pointer";
    if (g.ist)
        f.sp = tss_stack64(cpu, 36 + 8 * (g.ist - 1u));
    else if (cpl < cpu->cpl)
        f.sp = tss_stack64(cpu, 4 + 8 * cpl);
    f.sp &= ~(u64)15;
    f.is64 = true;
    f.size = 8;
    f.n = 0;
    f.inner = cpl < cpu->cpl;
    f.error = error_ext(cpu);
    frame_push(&f, cpu->seg[SS].selector);
    frame_push(&f, rsp);
    frame_push(&f, event_flags(cpu));
    frame_push(&f, cpu->seg[CS].selector);
    frame_push(&f, pushed_rip(cpu));
    if (e->has_error)
        frame_push(&f, e->error);
    cpu->trouble = "pushing onto the stack";
    frame_resolve(cpu, &f);
    frame_commit(cpu, &f); /* before the target is checked, as by CALL */
    cpu->trouble = "the handler's address isn't canonical";
    check_rip(cpu, &cs, g.offset, error_ext(cpu));

    cpu->gpr[RSP] = f.sp;
    if (cpl != cpu->cpl)
        cpu->seg[SS] = segment_null((u16)cpl, cpl);
    cpu->rflags &= ~(u64)(TF | NT | RF | VM | (g.type == TYPE_INT32 ? IF : 0));
    commit_code(cpu, &cs, cpl, g.offset);
    delivered(cpu, cpu->at);
}

/* Protected mode without long mode, and virtual-8086 mode. SDM 3A 6.12, 20.3.1. */
static void deliver_protected(CPU)
{
    const struct event *e = &cpu->delivering;
    struct gate g = read_gate(cpu, e->vector);
    bool vm86 = in_vm86(cpu);
    unsigned cpl;
    struct frame f;

    check_gate(cpu, &g, e->vector);
    if (g.type == TYPE_TASK) {
        cpu->trouble = "switching to the gate's task";
        bool is_instruction = cpu->at; /* the switch forgets it */

        task_switch(cpu, g.selector, TASK_GATE, pushed_rip(cpu), e->has_error ? &e->error : NULL);
        delivered(cpu, is_instruction);
        return;
    }
    bool is32 = g.type & 8;
    struct segment cs = check_handler_code(cpu, g.selector, &cpl);

    f.is64 = false;
    f.size = is32 ? 4 : 2;
    f.n = 0;
    f.inner = cpl < cpu->cpl;
    f.sp = cpu->gpr[RSP];
    f.ss = cpu->seg[SS];
    f.error = error_ext(cpu);
    if (cpl < cpu->cpl) {
        u16 ss;

        cpu->trouble = "the TSS ends before the stack pointer";
        f.sp = tss_stack(cpu, cpl, &ss);
        cpu->trouble = "the stack segment of the TSS";
        f.ss = check_inner_stack(cpu, ss, cpl);
        f.error = error_of(cpu, ss);
        if (vm86) {
            frame_push(&f, cpu->seg[GS].selector);
            frame_push(&f, cpu->seg[FS].selector);
            frame_push(&f, cpu->seg[DS].selector);
            frame_push(&f, cpu->seg[ES].selector);
        }
        frame_push(&f, cpu->seg[SS].selector);
        frame_push(&f, cpu->gpr[RSP]);
    }
    frame_push(&f, event_flags(cpu));
    frame_push(&f, cpu->seg[CS].selector);
    frame_push(&f, pushed_rip(cpu));
    if (e->has_error)
        frame_push(&f, e->error);
    if (!is32)
        g.offset &= 0xffff;
    cpu->trouble = "pushing onto the stack";
    frame_resolve(cpu, &f);
    frame_commit(cpu, &f);
    cpu->trouble = "the handler's address is past its code segment";
    check_rip(cpu, &cs, g.offset, error_ext(cpu));

    cpu->gpr[RSP] = (u32)f.sp;
    cpu->seg[SS] = f.ss;
    if (vm86)
        for (unsigned i = 0; i < 4; i++) {
            static const u8 data[] = { ES, DS, FS, GS };

            cpu->seg[data[i]] = segment_null(0, 0);
        }
    cpu->rflags &= ~(u64)(TF | NT | RF | VM | (g.type & 1 ? 0 : IF));
    commit_code(cpu, &cs, cpl, g.offset);
    delivered(cpu, cpu->at);
}

/*
 * Through the table of far pointers: real mode at the IDTR, and INT n of virtual-8086 mode with CR4.VME at
 * linear 0, where a program below IOPL 3 sees VIF as its IF. SDM 3A 20.3.3.
 */
static void deliver_vectors(CPU)
{
    const struct event *e = &cpu->delivering;
    bool vm86 = in_vm86(cpu);
    u64 base = vm86 ? 0 : cpu->idtr.base;
    bool virtual = vm86 && (cpu->rflags & IOPL) != IOPL;
    u64 flags = rflags_read(cpu);
    struct segment cs = cpu->seg[CS];
    struct frame f;

    cpu->trouble = "the vector table ends before the vector";
    if (!vm86 && e->vector * 4u + 3 > cpu->idtr.limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->trouble = "reading the vector";
    u32 to =
        (u32)mem_read_linear(cpu, (u32)(base + e->vector * 4u), 4, ACCESS_READ | (vm86 ? 0 : ACCESS_SYSTEM));

    if (virtual)
        flags = (flags & ~(u64)IF) | (flags & VIF ? IF : 0) | IOPL;
    f.is64 = false;
    f.ss = cpu->seg[SS];
    f.sp = cpu->gpr[RSP];
    f.size = 2;
    f.n = 0;
    f.inner = false;
    f.error = 0;
    frame_push(&f, flags);
    frame_push(&f, cs.selector);
    frame_push(&f, pushed_rip(cpu));
    cpu->trouble = "pushing onto the stack";
    frame_resolve(cpu, &f);
    frame_commit(cpu, &f);
    cpu->trouble = "the handler's address is past its code segment";
    check_rip(cpu, &cs, to & 0xffff, 0);

    cpu->gpr[RSP] = (cpu->gpr[RSP] & ~(u64)0xffff) | (f.sp & 0xffff);
    if (!vm86 && (cpu->seg[SS].attributes & SEG_DB))
        cpu->gpr[RSP] = (u32)f.sp;
    cpu->rflags &= ~(u64)(TF | (virtual ? VIF : IF));
    if (!vm86)
        cpu->rflags &= ~(u64)(AC | RF);
    segment_load_real(cpu, CS, (u16)(to >> 16));
    cpu->rip = to & 0xffff;
    mode_update(cpu);
    delivered(cpu, cpu->at);
}

/*
 * INT n in virtual-8086 mode: does the TSS's redirection bitmap leave it to the program? #GP(0) where it ends
 * too soon.
 */
static bool stays_in_vm86(CPU, u8 vector)
{
    const struct segment *tr = &cpu->seg[TR];
    u32 at;

    if (!in_vm86(cpu) || cpu->delivering.type != EVENT_SOFTWARE_INTERRUPT || !(cpu->cr4 & CR4_VME))
        return false;
    cpu->trouble = "the TSS has no interrupt redirection bitmap";
    if ((tr->attributes & 0xd) != TYPE_TSS32 || tr->limit < 0x67)
        vcpu_raise(cpu, VECTOR_GP, 0);
    at = (u32)system_read(cpu, table_linear(cpu, tr->base, 0x66), 2) - 32 + vector / 8;
    if (at > tr->limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    return !(system_read(cpu, table_linear(cpu, tr->base, at), 1) >> (vector & 7) & 1);
}

void event_deliver(CPU, const struct event *event)
{
    cpu->delivering = *event;
    cpu->delivering.pending = true;
    cpu->delivering.injected = false;
    cpu->in_delivery = true;
    vcpu_show_rf(cpu);
    cpu->trouble = NULL;
    if (in_long_mode(cpu)) {
        deliver_long(cpu);
    } else if (in_real_mode(cpu) || stays_in_vm86(cpu, event->vector)) {
        deliver_vectors(cpu);
    } else {
        cpu->trouble = "INT n below IOPL 3";
        if (in_vm86(cpu) && event->type == EVENT_SOFTWARE_INTERRUPT && (cpu->rflags & IOPL) != IOPL)
            vcpu_raise(cpu, VECTOR_GP, 0);
        deliver_protected(cpu);
    }
}
