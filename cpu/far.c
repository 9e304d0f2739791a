/* SPDX-License-Identifier: MIT */
/*
 * Far JMP, CALL and RET: directly, through call gates, to other tasks; and loads of far pointers. APM 2 4.11.
 */
#include "cpu/descriptor.h"

body_fn op_jmp_far, op_call_far, op_ret_far, op_load_far_es, op_load_far_ss, op_load_far_ds, op_load_far_fs,
    op_load_far_gs;

struct far_pointer {
    u64 offset;
    u16 selector;
};

/* REX.W is ignored by far JMP and CALL and by LFS and the like, as on AMD's processors. */
static unsigned far_width(const struct insn *in)
{
    return in->width == W16 ? 16 : 32;
}

/*
 * From the immediate or from memory: offset first, selector behind it. They are two accesses, each of which may be #AC,
 * and the second wraps at the address size.
 */
static struct far_pointer far_operand(CPU, IN, unsigned n, unsigned width)
{
    struct far_pointer to;
    struct place p;

    if (shape_operand(in, n) == 'I') {
        to.offset = in->imm & ones(width);
        to.selector = (u16)(in->imm >> 32);
        return to;
    }
    u64 offset = operand_offset(cpu, in);

    place_segment(cpu, &p, in->segment, offset, width / 8, ACCESS_READ);
    to.offset = load_bytes(p.bytes, width / 8);
    offset = (offset + width / 8) & ones(width_bits(in->address));
    place_segment(cpu, &p, in->segment, offset, 2, ACCESS_READ);
    to.selector = (u16)load_bytes(p.bytes, 2);
    return to;
}

/* The present stack, for a return address at the same level. */
static void frame_here(const struct vcpu *cpu, struct frame *f, unsigned size)
{
    f->is64 = in_code64(cpu);
    f->ss = cpu->seg[SS];
    f->sp = cpu->gpr[RSP];
    f->size = size;
    f->n = 0;
    f->inner = false;
    f->error = 0;
}

/* CS and where to return to, one after the other: CS is there below the pointer when the second faults (Zen 3). */
static void push_back(CPU, struct frame *f, u64 back)
{
    const u64 values[] = { cpu->seg[CS].selector, back };

    for (unsigned i = 0; i < 2; i++) {
        f->n = 0;
        frame_push(f, values[i]);
        frame_resolve(cpu, f);
        frame_commit(cpu, f);
    }
}

static void far_real(CPU, struct far_pointer to, unsigned size, bool is_call, u64 back)
{
    struct frame f;

    if (is_call) {
        frame_here(cpu, &f, size);
        push_back(cpu, &f, back); /* before the target is checked, as Zen does it: what is below RSP is nobody's */
    }
    if (to.offset > cpu->seg[CS].limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (is_call)
        cpu->gpr[RSP] = f.sp;
    segment_load_real(cpu, CS, to.selector);
    cpu->rip = to.offset;
    mode_update(cpu);
}

static struct descriptor read_or_fault(CPU, u16 selector)
{
    struct descriptor d;

    if (is_null_selector(selector))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (!descriptor_read(cpu, selector, &d))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    return d;
}

/* A code segment that a far JMP or CALL names itself. */
static void far_to_code(CPU, struct far_pointer to, struct descriptor *d, unsigned size, bool is_call,
                        u64 back)
{
    unsigned dpl = raw_dpl(d->raw), rpl = to.selector & 3u;
    u32 error = to.selector & 0xfffcu;
    struct segment cs = segment_of(to.selector, d->raw);
    bool to64 = in_long_mode(cpu) && (cs.attributes & SEG_L);
    struct frame f;

    if (raw_is_conforming(d->raw) ? dpl > cpu->cpl : rpl > cpu->cpl || dpl != cpu->cpl)
        vcpu_raise(cpu, VECTOR_GP, error);
    if (in_long_mode(cpu) && (cs.attributes & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB))
        vcpu_raise(cpu, VECTOR_GP, error);
    if (!raw_present(d->raw))
        vcpu_raise(cpu, VECTOR_NP, error);
    descriptor_set_accessed(cpu, d);
    if (is_call) { /* the stack is already that of the target's mode */
        frame_here(cpu, &f, size);
        f.is64 = to64;
        push_back(cpu, &f, back); /* before the target is checked */
    }
    check_rip(cpu, &cs, to.offset, 0);
    if (is_call)
        commit_stack_pointer(cpu, to64, &f.ss, f.sp);
    else if (!to64) /* even behind a 16-bit stack (Zen 3) */
        cpu->gpr[RSP] = (u32)cpu->gpr[RSP];
    commit_code(cpu, &cs, cpu->cpl, to.offset);
}

/*
 * A call gate's way inwards: the stack of the new level, and the parameters on it. As APM 3 CALL (Far) has it:
 * the new stack is looked at before the old one, and both before the target's offset.
 */
static void call_inner(CPU, const struct segment *cs, unsigned cpl, u64 rip, unsigned size,
                       unsigned parameters, u64 back)
{
    bool is_long = in_long_mode(cpu);
    u16 selector = (u16)cpl;
    u64 old = stack_pointer(cpu);
    struct frame f;

    f.is64 = is_long;
    f.size = size;
    f.n = 0;
    f.inner = true;
    f.error = 0;
    if (is_long) {
        f.sp = tss_stack64(cpu, 4 + 8 * cpl);
    } else {
        f.sp = tss_stack(cpu, cpl, &selector);
        f.ss = check_inner_stack(cpu, selector, cpl);
        f.error = selector & 0xfffcu;
    }
    frame_push(&f, cpu->seg[SS].selector);
    frame_push(&f, cpu->gpr[RSP]);
    if (is_long)
        parameters = 0;
    for (unsigned i = 0; i < parameters; i++)
        frame_push(&f, 0);
    frame_push(&f, cpu->seg[CS].selector);
    frame_push(&f, back);
    frame_resolve(cpu, &f);
    for (unsigned i = 0; i < parameters; i++)
        f.value[2 + i] = stack_read(cpu, old + (parameters - 1 - i) * size, size);
    frame_commit(cpu, &f);
    check_rip(cpu, cs, rip, 0);
    cpu->gpr[RSP] = is_long ? f.sp : (u32)f.sp;
    cpu->seg[SS] = is_long ? segment_null((u16)cpl, cpl) : f.ss;
    commit_code(cpu, cs, cpl, rip);
}

static void far_to_gate(CPU, u16 gate_selector, struct descriptor *gate, bool is_call, u64 back)
{
    bool is_long = in_long_mode(cpu), is32 = gate->raw >> 40 & 8;
    u32 error = gate_selector & 0xfffcu;
    u16 selector = (u16)(gate->raw >> 16);
    u64 rip = (gate->raw & 0xffff) | (is32 ? gate->raw >> 32 & 0xffff0000 : 0);
    unsigned size = is_long ? 8 : is32 ? 4 : 2, cpl = cpu->cpl;
    struct descriptor d;

    if (raw_dpl(gate->raw) < cpu->cpl || raw_dpl(gate->raw) < (gate_selector & 3u))
        vcpu_raise(cpu, VECTOR_GP, error);
    if (!raw_present(gate->raw))
        vcpu_raise(cpu, VECTOR_NP, error);
    if (is_long) { /* 16 bytes, whose upper type must be zero: APM 2 4.8.3; read last: APM 3 CALL (Far) */
        if (!descriptor_read_high(cpu, gate_selector, gate) || (gate->high >> 40 & 0x1f))
            vcpu_raise(cpu, VECTOR_GP, error);
        rip |= gate->high << 32;
    }

    d = read_or_fault(cpu, selector);
    unsigned dpl = raw_dpl(d.raw);
    struct segment cs = segment_of(selector, d.raw);

    error = selector & 0xfffcu;
    if (!raw_is_code(d.raw) || dpl > cpu->cpl || (!is_call && !raw_is_conforming(d.raw) && dpl != cpu->cpl))
        vcpu_raise(cpu, VECTOR_GP, error);
    if (is_long && (cs.attributes & (SEG_L | SEG_DB)) != SEG_L)
        vcpu_raise(cpu, VECTOR_GP, error);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error);
    descriptor_set_accessed(cpu, &d);
    if (!raw_is_conforming(d.raw))
        cpl = dpl;
    if (is_call && cpl < cpu->cpl) {
        call_inner(cpu, &cs, cpl, rip, size, gate->raw >> 32 & 31, back);
        return;
    }
    if (is_call) {
        struct frame f;

        frame_here(cpu, &f, size);
        f.is64 = is_long;
        frame_push(&f, cpu->seg[CS].selector);
        frame_push(&f, back);
        frame_resolve(cpu, &f);
        frame_commit(cpu, &f); /* before the target is checked */
        check_rip(cpu, &cs, rip, 0);
        commit_stack_pointer(cpu, is_long, &f.ss, f.sp);
    } else {
        check_rip(cpu, &cs, rip, 0);
    }
    commit_code(cpu, &cs, cpl, rip);
}

static void far_transfer(CPU, IN, bool is_call)
{
    unsigned width = far_width(in);
    struct far_pointer to = far_operand(cpu, in, 0, width);
    u64 back = cpu->rip;
    struct descriptor d;

    if (in_real_mode(cpu) || in_vm86(cpu)) {
        far_real(cpu, to, width / 8, is_call, back);
        return;
    }
    d = read_or_fault(cpu, to.selector);
    if (raw_type(d.raw) & SEG_S) {
        if (!raw_is_code(d.raw))
            vcpu_raise(cpu, VECTOR_GP, to.selector & 0xfffcu);
        far_to_code(cpu, to, &d, width / 8, is_call, back);
        return;
    }
    unsigned type = raw_type(d.raw);
    unsigned dpl = raw_dpl(d.raw);
    bool is_long = in_long_mode(cpu);

    if (type == TYPE_CALL32 || (type == TYPE_CALL16 && !is_long)) {
        far_to_gate(cpu, to.selector, &d, is_call, back);
        return;
    }
    if (is_long || (type != TYPE_TASK && (type & 0x15) != TYPE_TSS16) || dpl < cpu->cpl ||
        dpl < (to.selector & 3u))
        vcpu_raise(cpu, VECTOR_GP, to.selector & 0xfffcu);
    if (type == TYPE_TASK) {
        if (!raw_present(d.raw))
            vcpu_raise(cpu, VECTOR_NP, to.selector & 0xfffcu);
        to.selector = (u16)(d.raw >> 16);
    }
    task_switch(cpu, to.selector, is_call ? TASK_CALL : TASK_JMP, back, NULL);
}

void op_jmp_far(CPU, IN)
{
    far_transfer(cpu, in, false);
}

void op_call_far(CPU, IN)
{
    far_transfer(cpu, in, true);
}

void op_ret_far(CPU, IN)
{
    unsigned size = width_size(in->width), release = in->shape == S_I ? in->imm & 0xffff : 0;
    u64 sp = stack_pointer(cpu), rsp = 0;
    u16 selector = (u16)stack_read(cpu, sp + size, size), ss_selector = 0; /* Zen reads top down */
    u64 rip = stack_read(cpu, sp, size);

    if (in_real_mode(cpu) || in_vm86(cpu)) {
        if (rip > cpu->seg[CS].limit)
            vcpu_raise(cpu, VECTOR_GP, 0);
        stack_set_pointer(cpu, sp + 2 * size + release);
        segment_load_real(cpu, CS, selector);
        cpu->rip = rip;
        mode_update(cpu);
        return;
    }
    unsigned cpl = selector & 3;

    if (cpl != cpu->cpl) {
        ss_selector = (u16)stack_read(cpu, sp + 3 * size + release, size);
        rsp = stack_read(cpu, sp + 2 * size + release, size);
    }
    struct segment cs = check_return_code(cpu, selector);
    bool to64 = in_long_mode(cpu) && (cs.attributes & SEG_L);

    check_rip(cpu, &cs, rip, 0); /* before SS, as IRET has it */
    if (cpl == cpu->cpl) {
        commit_stack_pointer(cpu, to64, &cpu->seg[SS], cpu->gpr[RSP] + 2 * size + release);
        commit_code(cpu, &cs, cpl, rip);
        return;
    }
    struct segment ss = check_outer_stack(cpu, ss_selector, cpl, to64);

    commit_stack_pointer(cpu, to64, &ss, rsp + release);
    cpu->seg[SS] = ss;
    commit_code(cpu, &cs, cpl, rip);
    drop_inner_segments(cpu);
}

/* LES, LSS, LDS, LFS, LGS. LSS casts no shadow. */
static void load_far(CPU, IN, unsigned segment)
{
    unsigned width = far_width(in);
    struct far_pointer p = far_operand(cpu, in, 1, width);

    segment_load(cpu, segment, p.selector);
    reg_write(cpu, in->dst, width, p.offset);
}

#define LOAD_FAR(name, segment)                                                                              \
    void op_load_far_##name(CPU, IN)                                                                         \
    {                                                                                                        \
        load_far(cpu, in, segment);                                                                          \
    }

LOAD_FAR(es, ES)
LOAD_FAR(ss, SS)
LOAD_FAR(ds, DS)
LOAD_FAR(fs, FS)
LOAD_FAR(gs, GS)
