/* SPDX-License-Identifier: MIT */
/* The parts that far transfers, gates and returns are made of: checks of code and stack segments, frames. */
#include "cpu/descriptor.h"

void check_rip(CPU, const struct segment *cs, u64 rip, u32 error)
{
    if (in_long_mode(cpu) && (cs->attributes & SEG_L) ? !is_canonical(cpu, rip) : rip > cs->limit)
        vcpu_raise(cpu, VECTOR_GP, error);
}

void commit_code(CPU, const struct segment *cs, unsigned cpl, u64 rip)
{
    cpu->seg[CS] = *cs;
    cpu->seg[CS].selector = (u16)((cs->selector & ~3u) | cpl);
    cpu->cpl = (u8)cpl;
    cpu->rip = rip;
    mode_update(cpu);
}

void commit_stack_pointer(CPU, bool to64, const struct segment *ss, u64 rsp)
{
    u64 mask = to64 ? ~(u64)0 : ss->attributes & SEG_DB ? 0xffffffff : 0xffff;

    cpu->gpr[RSP] = (mask == 0xffff ? cpu->gpr[RSP] & ~mask : 0) | (rsp & mask);
}

/* SDM 3A 6.12.1, APM 2 8.9.3. */
struct segment check_inner_stack(CPU, u16 selector, unsigned cpl)
{
    struct descriptor d;

    if (is_null_selector(selector))
        vcpu_raise(cpu, VECTOR_TS, error_ext(cpu));
    if (!descriptor_read(cpu, selector, &d) || (selector & 3u) != cpl || raw_dpl(d.raw) != cpl ||
        !raw_is_writable_data(d.raw))
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, selector));
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_SS, error_of(cpu, selector));
    descriptor_set_accessed(cpu, &d);
    return segment_of(selector, d.raw);
}

u64 tss_stack(CPU, unsigned cpl, u16 *ss)
{
    const struct segment *tr = &cpu->seg[TR];
    bool is32 = (tr->attributes & 8) != 0;
    u32 offset = is32 ? 4 + 8 * cpl : 2 + 4 * cpl;
    unsigned size = is32 ? 4 : 2;

    if (offset + size + 1 > tr->limit)
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, tr->selector));
    *ss = (u16)system_read(cpu, table_linear(cpu, tr->base, offset + size), 2);
    return system_read(cpu, table_linear(cpu, tr->base, offset), size);
}

u64 tss_stack64(CPU, unsigned offset)
{
    const struct segment *tr = &cpu->seg[TR];

    if (offset + 7 > tr->limit)
        vcpu_raise(cpu, VECTOR_TS, error_of(cpu, tr->selector));
    return system_read(cpu, tr->base + offset, 8);
}

struct segment check_return_code(CPU, u16 selector)
{
    struct descriptor d;
    unsigned rpl = selector & 3;

    if (is_null_selector(selector))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (!descriptor_read(cpu, selector, &d) || !raw_is_code(d.raw) || rpl < cpu->cpl ||
        (raw_is_conforming(d.raw) ? raw_dpl(d.raw) > rpl : raw_dpl(d.raw) != rpl))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    struct segment cs = segment_of(selector, d.raw);

    if (in_long_mode(cpu) && (cs.attributes & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_NP, selector & 0xfffcu);
    descriptor_set_accessed(cpu, &d);
    return cs;
}

struct segment check_outer_stack(CPU, u16 selector, unsigned cpl, bool to64)
{
    struct descriptor d;

    if (is_null_selector(selector)) {
        if (!to64 || cpl == 3)
            vcpu_raise(cpu, VECTOR_GP, 0);
        return segment_null(selector, cpl);
    }
    if (!descriptor_read(cpu, selector, &d) || (selector & 3u) != cpl || raw_dpl(d.raw) != cpl ||
        !raw_is_writable_data(d.raw))
        vcpu_raise(cpu, VECTOR_GP, selector & 0xfffcu);
    if (!raw_present(d.raw))
        vcpu_raise(cpu, VECTOR_SS, selector & 0xfffcu);
    descriptor_set_accessed(cpu, &d);
    return segment_of(selector, d.raw);
}

/* Null ones lose their RPL but not their base, behind which 64-bit programs have their FS. */
void drop_inner_segments(CPU)
{
    static const u8 data[] = { ES, FS, GS, DS };

    for (unsigned i = 0; i < sizeof data; i++) {
        struct segment *s = &cpu->seg[data[i]];

        if ((s->attributes & SEG_P) && (s->attributes & (SEG_CODE | SEG_DOWN)) == (SEG_CODE | SEG_DOWN))
            continue;
        if (!(s->attributes & SEG_P) || (s->attributes >> SEG_DPL_SHIFT & 3) < cpu->cpl) {
            s->selector = 0;
            s->attributes = 0;
        }
    }
}

static u64 frame_mask(const struct frame *f)
{
    return f->is64 ? ~(u64)0 : f->ss.attributes & SEG_DB ? 0xffffffff : 0xffff;
}

/* Where value i goes, as an offset in SS. */
static u64 frame_offset(const struct frame *f, unsigned i)
{
    return (f->sp - (u64)(i + 1) * f->size) & frame_mask(f);
}

void frame_resolve(CPU, struct frame *f)
{
    unsigned total = f->n * f->size;
    u64 low = (f->sp - total) & frame_mask(f);
    bool wraps = low + total - 1 > frame_mask(f) || low + total - 1 < low;

    /* Every push is checked on its own, top down, as the processor does them. */
    if (f->is64) {
        if (wraps || !is_canonical(cpu, low) || !is_canonical(cpu, low + total - 1))
            vcpu_raise(cpu, VECTOR_SS, f->error);
    } else if (wraps || !segment_fits(&f->ss, low, total)) {
        for (unsigned i = 0; i < f->n; i++)
            if (!segment_fits(&f->ss, frame_offset(f, i), f->size))
                vcpu_raise(cpu, VECTOR_SS, f->error);
    }

    u64 base = f->is64 ? 0 : f->ss.base;
    u64 linear = f->is64 ? low : (u32)(base + low);
    const struct tlb_entry *bank = f->inner ? cpu->banks[BANK_SUPERVISOR].entry : cpu->tlb;
    const struct tlb_entry *e = (const struct tlb_entry *)((const char *)bank + TLB_OFFSET(linear));

    f->bytes = NULL;
    if (likely(!wraps && ((linear + total - 1) & PAGE_MASK) == e->write)) {
        f->bytes = (u8 *)(linear + e->addend);
        return;
    }
    for (unsigned i = 0; i < f->n; i++) {
        u64 at = f->is64 ? frame_offset(f, i) : (u32)(base + frame_offset(f, i));

        e = (const struct tlb_entry *)((const char *)bank + TLB_OFFSET(at));
        if (likely(((at + f->size - 1) & PAGE_MASK) == e->write)) {
            f->place[i].bytes = (u8 *)(at + e->addend);
            f->place[i].notice = 0;
            continue;
        }
        place_linear(cpu, &f->place[i], at, f->size, ACCESS_WRITE | (f->inner ? ACCESS_SYSTEM : 0));
    }
}

void frame_commit(CPU, struct frame *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->bytes) {
            store_sized(f->bytes + (f->n - 1 - i) * f->size, f->value[i], f->size);
        } else {
            store_sized(f->place[i].bytes, f->value[i], f->size);
            place_commit(cpu, &f->place[i]);
        }
    }
    f->sp = (f->sp & ~frame_mask(f)) | frame_offset(f, f->n - 1); /* above the mask it stays */
}
