/* SPDX-License-Identifier: MIT */
/* Descriptor tables, the task register, and questions about selectors; MOV to and from segment registers. */
#include "cpu/descriptor.h"

body_fn op_lgdt, op_lidt, op_sgdt, op_sidt, op_lldt, op_ltr, op_sldt, op_str, op_verr, op_verw, op_lar,
    op_lsl, op_arpl, op_mov_segment;

/* APM 3 LGDT: 64-bit mode takes 8 bytes of base, a 16-bit operand size three. */
static struct table read_table(CPU, IN)
{
    unsigned size = in_code64(cpu) ? 8 : 4;
    struct place p;
    struct table t;

    place_operand(cpu, in, &p, 2 + size, ACCESS_READ | ACCESS_PLAIN);
    t.limit = (u16)load_bytes(p.bytes, 2);
    t.base = load_bytes(p.bytes + 2, size);
    if (size == 8 && !is_canonical(cpu, t.base))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (size == 4 && in->width == W16)
        t.base &= 0xffffff;
    return t;
}

static void write_table(CPU, IN, const struct table *t)
{
    unsigned size = in_code64(cpu) ? 8 : 4;
    struct place p;

    place_operand(cpu, in, &p, 2 + size, ACCESS_WRITE | ACCESS_PLAIN);
    store_bytes(p.bytes, t->limit, 2);
    store_bytes(p.bytes + 2, t->base, size);
    place_commit(cpu, &p);
}

void op_lgdt(CPU, IN)
{
    cpu->gdtr = read_table(cpu, in);
}

void op_lidt(CPU, IN)
{
    cpu->idtr = read_table(cpu, in);
}

void op_sgdt(CPU, IN)
{
    write_table(cpu, in, &cpu->gdtr);
}

void op_sidt(CPU, IN)
{
    write_table(cpu, in, &cpu->idtr);
}

/* A system descriptor of the GDT for LLDT and LTR; types: a bit for each that will do. */
static struct descriptor read_system(CPU, u16 selector, unsigned types, struct segment *s)
{
    u32 error = selector & 0xfffcu;
    struct descriptor d;

    if ((selector & 4) || !descriptor_read(cpu, selector, &d) || (raw_type(d.raw) & SEG_S) ||
        !(types >> raw_type(d.raw) & 1))
        vcpu_raise(cpu, VECTOR_GP, error);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, error);
    *s = segment_of(selector, d.raw);
    if (in_long_mode(cpu)) {
        if (!descriptor_read_high(cpu, selector, &d))
            vcpu_raise(cpu, VECTOR_GP, error);
        s->base |= d.high << 32;
        if ((d.high >> 40 & 0x1f) || !is_canonical(cpu, s->base))
            vcpu_raise(cpu, VECTOR_GP, error);
    }
    return d;
}

void op_lldt(CPU, IN)
{
    u16 selector = (u16)operand_read(cpu, in, 0, 16);
    struct segment s;

    if (is_null_selector(selector))
        s = segment_null(selector, 0);
    else
        read_system(cpu, selector, 1 << TYPE_LDT, &s);
    cpu->seg[LDTR] = s;
}

void op_ltr(CPU, IN)
{
    u16 selector = (u16)operand_read(cpu, in, 0, 16);
    unsigned types = 1 << TYPE_TSS32 | (in_long_mode(cpu) ? 0 : 1 << TYPE_TSS16);
    struct descriptor d;
    struct segment s;
    struct place p;

    if (is_null_selector(selector))
        vcpu_raise(cpu, VECTOR_GP, 0);
    d = read_system(cpu, selector, types, &s);
    descriptor_type_resolve(cpu, &d, &p);
    descriptor_type_change(cpu, &d, &p, 0, TYPE_BUSY);
    s.attributes |= TYPE_BUSY;
    cpu->seg[TR] = s;
}

static void store_selector(CPU, IN, u16 selector)
{
    unsigned width = shape_operand(in, 0) == 'M' ? 16 : width_bits(in->width);
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_RINGS, &o);
    operand_close(cpu, &o, selector);
}

void op_sldt(CPU, IN)
{
    store_selector(cpu, in, cpu->seg[LDTR].selector);
}

void op_str(CPU, IN)
{
    store_selector(cpu, in, cpu->seg[TR].selector);
}

/*
 * Reads a descriptor that the program may know about; types: the system ones that the question is allowed
 * for.
 */
static bool may_see(CPU, u16 selector, unsigned types, struct descriptor *d)
{
    if (is_null_selector(selector) || !descriptor_read(cpu, selector, d))
        return false;
    if (!(raw_type(d->raw) & SEG_S) && !(types >> raw_type(d->raw) & 1))
        return false;
    if (raw_is_code(d->raw) && raw_is_conforming(d->raw))
        return true;
    return raw_dpl(d->raw) >= cpu->cpl && raw_dpl(d->raw) >= (selector & 3u);
}

static void answer(CPU, bool yes)
{
    flags_change(cpu, ZF, yes ? ZF : 0);
}

void op_verr(CPU, IN)
{
    u16 selector = (u16)operand_read(cpu, in, 0, 16);
    struct descriptor d;

    answer(cpu, may_see(cpu, selector, 0, &d) && (raw_type(d.raw) & (SEG_CODE | SEG_WRITE)) != SEG_CODE);
}

void op_verw(CPU, IN)
{
    u16 selector = (u16)operand_read(cpu, in, 0, 16);
    struct descriptor d;

    answer(cpu, may_see(cpu, selector, 0, &d) && raw_is_writable_data(d.raw));
}

/* APM 3 LAR, LSL: the types they know, in legacy and in long mode. */
void op_lar(CPU, IN)
{
    unsigned long_types = 1 << TYPE_LDT | 1 << TYPE_TSS32 | 1 << TYPE_TSS32_BUSY | 1 << TYPE_CALL32;
    unsigned types = long_types | 1 << TYPE_TSS16 | 1 << TYPE_TSS16_BUSY | 1 << TYPE_CALL16 | 1 << TYPE_TASK;
    u16 selector = (u16)operand_read(cpu, in, 1, 16);
    struct descriptor d;
    bool yes = may_see(cpu, selector, in_long_mode(cpu) ? long_types : types, &d);

    if (yes)
        reg_write(cpu, in->dst, width_bits(in->width), d.raw >> 32 & 0xffff00);
    answer(cpu, yes);
}

void op_lsl(CPU, IN)
{
    unsigned long_types = 1 << TYPE_LDT | 1 << TYPE_TSS32 | 1 << TYPE_TSS32_BUSY;
    unsigned types = long_types | 1 << TYPE_TSS16 | 1 << TYPE_TSS16_BUSY;
    u16 selector = (u16)operand_read(cpu, in, 1, 16);
    struct descriptor d;
    bool yes = may_see(cpu, selector, in_long_mode(cpu) ? long_types : types, &d);

    if (yes)
        reg_write(cpu, in->dst, width_bits(in->width), raw_limit(d.raw));
    answer(cpu, yes);
}

void op_arpl(CPU, IN)
{
    unsigned rpl = (unsigned)operand_read(cpu, in, 1, 16) & 3;
    u16 selector = (u16)operand_read(cpu, in, 0, 16); /* faults as a read; written only where it changes */
    bool raised = (selector & 3u) < rpl;
    struct operand o;

    if (raised) {
        operand_open(cpu, in, 0, 16, ACCESS_WRITE, &o);
        operand_close(cpu, &o, (selector & ~3u) | rpl);
    }
    answer(cpu, raised);
}

/* MOV to and from a segment register; in->imm tells the direction. */
void op_mov_segment(CPU, IN)
{
    if (!in->imm) {
        unsigned width = shape_operand(in, 0) == 'M' ? 16 : width_bits(in->width);
        struct operand o;

        operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_RINGS, &o);
        operand_close(cpu, &o, cpu->seg[in->src].selector);
        return;
    }
    if (in->dst == CS)
        vcpu_raise(cpu, VECTOR_UD, 0);
    segment_load(cpu, in->dst, (u16)operand_read(cpu, in, 1, 16));
    if (in->dst == SS)
        cpu->shadow = cpu->shadow_ss = true;
}
