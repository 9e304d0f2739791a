/* SPDX-License-Identifier: MIT */
/* Segment registers: reading descriptors, loading data and stack segments, and permission to touch ports. */
#include "cpu/descriptor.h"

bool descriptor_read(CPU, u16 selector, struct descriptor *d)
{
    u32 offset = selector & 0xfff8u;
    u64 base = cpu->gdtr.base;
    u32 limit = cpu->gdtr.limit;

    if (selector & 4) {
        if (!(cpu->seg[LDTR].attributes & SEG_P))
            return false;
        base = cpu->seg[LDTR].base;
        limit = cpu->seg[LDTR].limit;
    }
    if (offset + 7 > limit)
        return false;
    d->linear = table_linear(cpu, base, offset);
    d->raw = system_read(cpu, d->linear, 8);
    d->high = 0;
    return true;
}

bool descriptor_read_high(CPU, u16 selector, struct descriptor *d)
{
    u32 limit = selector & 4 ? cpu->seg[LDTR].limit : cpu->gdtr.limit;

    if ((selector & 0xfff8u) + 15 > limit)
        return false;
    d->high = system_read(cpu, d->linear + 8, 8);
    return true;
}

void descriptor_type_resolve(CPU, const struct descriptor *d, struct place *p)
{
    place_linear(cpu, p, table_linear(cpu, d->linear, 5), 1, ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_SYSTEM);
}

void descriptor_type_change(CPU, const struct descriptor *d, struct place *p, u8 clear, u8 set)
{
    u128 expected = (u8)(d->raw >> 40);

    while (!place_compare_exchange(cpu, p, &expected, (u8)((expected & (u8)~clear) | set)))
        ;
}

void descriptor_set_accessed(CPU, const struct descriptor *d)
{
    struct place p;

    if (likely(d->raw >> 40 & SEG_ACCESSED))
        return;
    descriptor_type_resolve(cpu, d, &p);
    descriptor_type_change(cpu, d, &p, 0, SEG_ACCESSED);
}

struct segment segment_of(u16 selector, u64 raw)
{
    u16 attributes = raw_attributes(raw);

    if (attributes & SEG_S)
        attributes |= SEG_ACCESSED;
    return (struct segment){ raw_base(raw), raw_limit(raw), selector, attributes };
}

struct segment segment_null(u16 selector, unsigned cpl)
{
    return (struct segment){ 0, 0, selector, (u16)(cpl << SEG_DPL_SHIFT) };
}

bool segment_fits(const struct segment *s, u64 offset, unsigned size)
{
    u64 last = offset + size - 1;

    if ((s->attributes & (SEG_CODE | SEG_DOWN)) == SEG_DOWN)
        return offset > s->limit && last <= (s->attributes & SEG_DB ? 0xffffffffu : 0xffffu);
    return last <= s->limit;
}

void segment_load_real(CPU, unsigned segment, u16 selector)
{
    struct segment *s = &cpu->seg[segment];

    s->selector = selector;
    s->base = (u64)selector << 4;
    if (in_vm86(cpu)) {
        s->limit = 0xffff;
        s->attributes = SEG_P | 3 << SEG_DPL_SHIFT | SEG_S | SEG_WRITE | SEG_ACCESSED;
    } else { /* the limit stays, and so does the size: "big real mode" */
        s->attributes = (s->attributes & (SEG_G | SEG_DB | SEG_AVL)) | SEG_P | SEG_S | SEG_WRITE |
                        SEG_ACCESSED | (segment == CS ? SEG_CODE : 0);
    }
}

static void load_stack(CPU, u16 selector)
{
    struct descriptor d;
    unsigned rpl = selector & 3;

    if (is_null_selector(selector)) {
        if (!in_code64(cpu) || cpu->cpl == 3 || rpl != cpu->cpl)
            vcpu_raise(cpu, VECTOR_GP, 0);
        cpu->seg[SS] = segment_null(selector, cpu->cpl);
        return;
    }
    if (!descriptor_read(cpu, selector, &d) || rpl != cpu->cpl || !raw_is_writable_data(d.raw) ||
        raw_dpl(d.raw) != cpu->cpl)
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_SS, selector & 0xfffcu);
    descriptor_set_accessed(cpu, &d);
    cpu->seg[SS] = segment_of(selector, d.raw);
}

static void load_data(CPU, unsigned segment, u16 selector)
{
    struct descriptor d;

    if (is_null_selector(selector)) {
        cpu->seg[segment] = segment_null(selector, 0);
        return;
    }
    if (!descriptor_read(cpu, selector, &d))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    unsigned type = raw_type(d.raw);
    unsigned dpl = raw_dpl(d.raw);

    if (!(type & SEG_S) || (type & (SEG_CODE | SEG_WRITE)) == SEG_CODE)
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu); /* neither data nor readable code */
    if ((type & (SEG_CODE | SEG_DOWN)) != (SEG_CODE | SEG_DOWN) && (dpl < (selector & 3u) || dpl < cpu->cpl))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, selector & 0xfffcu);
    descriptor_set_accessed(cpu, &d);
    cpu->seg[segment] = segment_of(selector, d.raw);
}

void segment_load(CPU, unsigned segment, u16 selector)
{
    if (in_real_mode(cpu) || in_vm86(cpu))
        segment_load_real(cpu, segment, selector);
    else if (segment == SS)
        load_stack(cpu, selector);
    else
        load_data(cpu, segment, selector);
    if (segment == SS || !in_code64(cpu))
        mode_update(cpu);
}

void io_check(CPU, u16 port, unsigned size)
{
    const struct segment *tr = &cpu->seg[TR];
    u32 base, bits;

    if (in_real_mode(cpu))
        return;
    if (!in_vm86(cpu) && cpu->cpl <= (cpu->rflags & IOPL) >> 12)
        return;
    /* SDM 1 19.5.2: a bit for each port, in a 32- or 64-bit TSS only; two bytes are always read. */
    if (!(tr->attributes & SEG_P) || (tr->attributes & 0xd) != TYPE_TSS32 || tr->limit < 0x67)
        vcpu_raise(cpu, VECTOR_GP, 0);
    base = (u32)system_read(cpu, table_linear(cpu, tr->base, 0x66), 2) + port / 8;
    if (base + 1 > tr->limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    bits = (u32)system_read(cpu, table_linear(cpu, tr->base, base), 2) >> port % 8;
    if (bits & ((1u << size) - 1))
        vcpu_raise(cpu, VECTOR_GP, 0);
}
