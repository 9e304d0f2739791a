/* SPDX-License-Identifier: MIT */
/* From segment and offset to a linear address: APM volume 2 chapter 4, and the effective addresses of
 * instructions. */
#include "mem/place.h"

/* A fault of the stack segment has its own vector. */
static NORETURN COLD void segment_fault(struct vcpu *cpu, unsigned segment)
{
    vcpu_raise(cpu, segment == SS ? VECTOR_SS : VECTOR_GP, 0);
}

static u64 linear_64(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size)
{
    u64 linear = offset;

    if (segment == FS || segment == GS)
        linear += cpu->seg[segment].base;
    if (unlikely(!is_canonical(cpu, linear) || !is_canonical(cpu, linear + size - 1)))
        segment_fault(cpu, segment);
    return linear;
}

/* Everything that isn't a plain data segment growing up: code, expand-down, unusable ones; finds the fault,
 * too. */
static COLD u64 linear_checked(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size, unsigned access)
{
    bool is_write = access & ACCESS_WRITE;
    const struct segment *s = &cpu->seg[segment];
    unsigned a = s->attributes;
    u64 last = offset + size - 1;

    if (in_real_mode(cpu) ||
        in_vm86(cpu)) { /* no types; limits are those of the register, 64 KiB as a rule */
        if (last > s->limit)
            segment_fault(cpu, segment);
        return (u32)(s->base + offset);
    }
    if (!(a & SEG_P)) /* a null selector */
        segment_fault(cpu, segment);
    if (is_write ? (a & SEG_CODE) || !(a & SEG_WRITE) : (a & SEG_CODE) && !(a & SEG_WRITE) && !(access & ACCESS_FLUSH))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (!(a & SEG_CODE) && a & SEG_DOWN) {
        if (offset <= s->limit || last > (a & SEG_DB ? 0xffffffff : 0xffff))
            segment_fault(cpu, segment);
    } else if (last > s->limit) {
        segment_fault(cpu, segment);
    }
    return (u32)(s->base + offset);
}

u64 segment_linear(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size, unsigned access)
{
    const struct segment *s = &cpu->seg[segment];
    bool is_write = access & ACCESS_WRITE;
    unsigned relevant = SEG_P | SEG_CODE | SEG_DOWN | (is_write ? SEG_WRITE : 0);
    unsigned wanted = SEG_P | (is_write ? SEG_WRITE : 0);

    if (in_code64(cpu))
        return linear_64(cpu, segment, offset, size);
    if (likely((s->attributes & relevant) == wanted && offset + size - 1 <= s->limit))
        return (u32)(s->base + offset);
    return linear_checked(cpu, segment, offset, size, access);
}

u64 operand_offset(const struct vcpu *cpu, const struct insn *in)
{
    const char *registers = (const char *)cpu;
    u64 offset = *(const u64 *)(registers + in->base) + (*(const u64 *)(registers + in->index) << in->scale) +
                 (u64)(i64)in->disp;

    return in->address == W64 ? offset : in->address == W32 ? (u32)offset : (u16)offset;
}

u64 operand_linear(struct vcpu *cpu, const struct insn *in, unsigned size, unsigned access)
{
    return segment_linear(cpu, in->segment, operand_offset(cpu, in), size, access);
}

void place_segment(struct vcpu *cpu, struct place *p, unsigned segment, u64 offset, unsigned size,
                   unsigned access)
{
    place_linear(cpu, p, segment_linear(cpu, segment, offset, size, access), size, access);
}

void place_operand(struct vcpu *cpu, const struct insn *in, struct place *p, unsigned size, unsigned access)
{
    place_linear(cpu, p, operand_linear(cpu, in, size, access), size, access);
}
