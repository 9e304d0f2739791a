/* SPDX-License-Identifier: MIT */
/* Hardware task switches. SDM 3A 7.3, APM 2 12.3. */
#include "cpu/descriptor.h"
#include "cpu/event.h"
#include "exits/exit.h"
#include "mem/tlb.h"
#include "mem/walk.h"

/* What a TSS says, of either size. */
struct task {
    u32 cr3, rip, flags, gpr[8];
    u16 selector[6]; /* by segment number: ES CS SS DS FS GS */
    u16 ldt;
    bool trap;
};

static bool is_tss32(u64 attributes)
{
    return attributes & 8;
}

/* Checks of the new task's descriptor: what fails is #GP, but #TS when it is returned to. */
static struct descriptor check_tss(CPU, u16 selector, enum task_source source)
{
    u8 vector = source == TASK_IRET ? VECTOR_TS : VECTOR_GP;
    unsigned wanted = source == TASK_IRET ? TYPE_TSS16_BUSY : TYPE_TSS16;
    u32 error = error_of(cpu, selector);
    struct descriptor d;

    if ((selector & 4) || is_null_selector(selector) || !descriptor_read(cpu, selector, &d) ||
        (raw_type(d.raw) & 0x17) != wanted)
        vcpu_raise(cpu, vector, error);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error);
    if (raw_limit(d.raw) < (is_tss32(raw_type(d.raw)) ? 0x67u : 0x2bu))
        vcpu_raise(cpu, VECTOR_TS, error);
    return d;
}

static u16 word(const u8 *image, unsigned at)
{
    return (u16)load_bytes(image + at, 2);
}

static u32 doubleword(const u8 *image, unsigned at)
{
    return (u32)load_bytes(image + at, 4);
}

static void read_bytes(CPU, u64 linear, u8 *to, unsigned size)
{
    for (unsigned done = 0, part; done < size; done += part) {
        struct place p;

        part = size - done < 64 ? size - done : 64;
        place_linear(cpu, &p, table_linear(cpu, linear, done), part, ACCESS_READ | ACCESS_SYSTEM);
        copy_bytes(to + done, p.bytes, part);
    }
}

static struct task read_task(CPU, u64 linear, bool is32)
{
    u8 image[104];
    struct task t = { 0 };

    read_bytes(cpu, linear, image, is32 ? 104 : 44);
    if (is32) {
        t.cr3 = doubleword(image, 0x1c);
        t.rip = doubleword(image, 0x20);
        t.flags = doubleword(image, 0x24);
        for (unsigned i = 0; i < 8; i++)
            t.gpr[i] = doubleword(image, 0x28 + 4 * i);
        for (unsigned i = 0; i < 6; i++)
            t.selector[i] = word(image, 0x48 + 4 * i);
        t.ldt = word(image, 0x60);
        t.trap = image[0x64] & 1;
    } else {
        t.rip = word(image, 0x0e);
        t.flags = word(image, 0x10);
        for (unsigned i = 0; i < 8; i++)
            t.gpr[i] = word(image, 0x12 + 2 * i);
        for (unsigned i = 0; i < 4; i++)
            t.selector[i] = word(image, 0x22 + 2 * i);
        t.ldt = word(image, 0x2a);
    }
    return t;
}

/* Where the old task's state goes: from EIP to the last segment, in one place. */
static void resolve_old(CPU, struct place *p)
{
    const struct segment *tr = &cpu->seg[TR];
    bool is32 = is_tss32(tr->attributes);
    unsigned first = is32 ? 0x20 : 0x0e, size = is32 ? 64 : 28;

    if (first + size - 1 > tr->limit)
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, tr->selector));
    place_linear(cpu, p, table_linear(cpu, tr->base, first), size,
                 ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_SYSTEM);
}

static void save_old(CPU, struct place *p, u64 back, u64 flags)
{
    bool is32 = is_tss32(cpu->seg[TR].attributes);
    unsigned size = is32 ? 4 : 2;
    u8 *to = p->bytes;

    store_bytes(to, back, size);
    store_bytes(to + size, flags, size);
    for (unsigned i = 0; i < 8; i++)
        store_bytes(to + (2 + i) * size, cpu->gpr[i], size);
    for (unsigned i = 0; i < (is32 ? 6u : 4u); i++) /* a doubleword's upper half stays as it is */
        store_bytes(to + (10 + i) * size, cpu->seg[i].selector, 2);
    place_commit(cpu, p);
}

static void load_ldt(CPU, u16 selector)
{
    struct descriptor d;

    cpu->seg[LDTR] = segment_null(selector, 0);
    if (is_null_selector(selector))
        return;
    if ((selector & 4) || !descriptor_read(cpu, selector, &d) || raw_type(d.raw) != TYPE_LDT ||
        !raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, selector));
    cpu->seg[LDTR] = segment_of(selector, d.raw);
}

static struct descriptor task_descriptor(CPU, u16 selector)
{
    struct descriptor d;

    if (is_null_selector(selector) || !descriptor_read(cpu, selector, &d))
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, selector));
    return d;
}

static void load_code(CPU, u16 selector)
{
    struct descriptor d = task_descriptor(cpu, selector);
    unsigned rpl = selector & 3, dpl = raw_dpl(d.raw);

    if (!raw_is_code(d.raw) || (raw_is_conforming(d.raw) ? dpl > rpl : dpl != rpl))
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, selector));
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error_of(cpu, selector));
    descriptor_set_accessed(cpu, &d);
    cpu->seg[CS] = segment_of(selector, d.raw);
}

static void load_stack(CPU, u16 selector)
{
    cpu->seg[SS] = check_inner_stack(cpu, selector, cpu->cpl); /* the same rules */
}

static void load_data(CPU, unsigned segment, u16 selector)
{
    struct descriptor d;
    unsigned type, dpl;

    if (is_null_selector(selector))
        return;
    d = task_descriptor(cpu, selector);
    type = raw_type(d.raw);
    dpl = raw_dpl(d.raw);
    if (!(type & SEG_S) || (type & (SEG_CODE | SEG_WRITE)) == SEG_CODE ||
        ((type & (SEG_CODE | SEG_DOWN)) != (SEG_CODE | SEG_DOWN) &&
         (dpl < (selector & 3u) || dpl < cpu->cpl)))
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, selector));
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error_of(cpu, selector));
    descriptor_set_accessed(cpu, &d);
    cpu->seg[segment] = segment_of(selector, d.raw);
}

/* The new task's segments: what fails here, fails in the new task, with all selectors in place already. */
static void load_segments(CPU, const struct task *t)
{
    static const u8 data[] = { DS, ES, FS, GS };

    load_ldt(cpu, t->ldt);
    if (in_vm86(cpu)) {
        for (unsigned i = ES; i <= GS; i++)
            segment_load_real(cpu, i, t->selector[i]);
        mode_update(cpu);
        return;
    }
    load_code(cpu, t->selector[CS]);
    load_stack(cpu, t->selector[SS]);
    mode_update(cpu);
    for (unsigned i = 0; i < sizeof data; i++)
        load_data(cpu, data[i], t->selector[data[i]]);
    mode_update(cpu);
}

static void push_error(CPU, u32 error, unsigned size)
{
    struct frame f = { .ss = cpu->seg[SS], .sp = cpu->gpr[RSP], .size = size, .error = error_ext(cpu) };

    frame_push(&f, error);
    frame_resolve(cpu, &f);
    frame_commit(cpu, &f);
    cpu->gpr[RSP] = (u32)f.sp;
}

static void load_registers(CPU, const struct task *t, bool is32, bool nested)
{
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = t->gpr[i];
    cpu->rip = t->rip;
    rflags_write(cpu, t->flags | (nested ? NT : 0));
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~(u64)0x155; /* local breakpoints */
    if (is32 && (cpu->cr0 & CR0_PG)) {
        cpu->cr3 = t->cr3;
        tlb_flush(cpu, true);
    }
    for (unsigned i = ES; i <= GS; i++)
        cpu->seg[i] = segment_null(t->selector[i], 0);
    cpu->cpl = cpu->rflags & VM ? 3 : t->selector[CS] & 3;
    mode_update(cpu);
}

void task_switch(CPU, u16 selector, enum task_source source, u64 back, const u32 *error)
{
    if (cpu->seam) /* a new CR3 and DR7 are more than the emulator library's callbacks are asked for */
        exit_unsupported(cpu, WHvUnsupportedFeatureTaskSwitchTss, selector);

    struct descriptor to = check_tss(cpu, selector, source), from;
    bool is32 = is_tss32(raw_type(to.raw)), nested = source == TASK_CALL || source == TASK_GATE;
    bool frees = source == TASK_JMP || source == TASK_IRET; /* the old task isn't busy any more */
    u16 old = cpu->seg[TR].selector;
    u64 flags = source == TASK_GATE ? event_flags(cpu) : rflags_read(cpu) & ~(u64)(source == TASK_IRET ? NT : 0);
    u32 code = error ? *error : 0;
    struct place state, link, from_type, to_type;
    struct task t = read_task(cpu, raw_base(to.raw), is32);

    /* Everything that may fail in the old task. */
    resolve_old(cpu, &state);
    if (nested)
        place_linear(cpu, &link, raw_base(to.raw), 2, ACCESS_WRITE | ACCESS_SYSTEM);
    if (frees) {
        if (is_null_selector(old) || !descriptor_read(cpu, old, &from))
            vcpu_raise(cpu, VECTOR_TS, error_of(cpu, old));
        descriptor_type_resolve(cpu, &from, &from_type);
    }
    if (source != TASK_IRET)
        descriptor_type_resolve(cpu, &to, &to_type);
    if (is32 && (cpu->cr0 & CR0_PG) && (cpu->cr4 & CR4_PAE) && !walk_load_pdptes(cpu, t.cr3))
        vcpu_raise(cpu, VECTOR_GP, error_ext(cpu));

    if (frees)
        descriptor_type_change(cpu, &from, &from_type, TYPE_BUSY, 0);
    save_old(cpu, &state, back, flags);
    if (nested) {
        store_bytes(link.bytes, old, 2);
        place_commit(cpu, &link);
    }
    if (source != TASK_IRET)
        descriptor_type_change(cpu, &to, &to_type, 0, TYPE_BUSY);
    cpu->seg[TR] = segment_of(selector, to.raw);
    cpu->seg[TR].attributes |= TYPE_BUSY;
    cpu->at = NULL; /* the old task is done with; what goes wrong from here on belongs to the new one */
    cpu->trap_due = false;
    load_registers(cpu, &t, is32, nested);
    load_segments(cpu, &t);
    if (error)
        push_error(cpu, code, is32 ? 4 : 2);
    check_rip(cpu, &cpu->seg[CS], cpu->rip, error_ext(cpu));
    if (t.trap) {
        cpu->pending_debug |= DR6_BT;
        __atomic_fetch_or(&cpu->attention, ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
    }
}
