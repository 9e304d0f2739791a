/* SPDX-License-Identifier: MIT */
/*
 * The segments of sequences that have some of their own: where they begin and end, operands of 16-bit code in them, and
 * instructions that load segment registers or look at descriptors.
 */
#include <string.h>

#include "tests/cpu/draft.h"

u64 descriptor_raw(const struct descriptor *d)
{
    static const struct descriptor none;
    bool by_pages = d->limit > 0xfffff;
    u64 limit = by_pages ? d->limit >> 12 : d->limit, base = d->base;
    u64 attributes = SEG_ACCESSED | SEG_S | 3 << SEG_DPL_SHIFT | (d->is_fixed ? 0 : SEG_WRITE) | (d->is_down ? SEG_DOWN : 0) |
                     (d->is_code ? SEG_CODE : 0) | (d->is_absent ? 0 : SEG_P) | (d->is_big ? SEG_DB : 0) |
                     (by_pages ? SEG_G : 0);

    if (!memcmp(d, &none, sizeof none))
        return 0;
    return (limit & 0xffff) | (base & 0xffffff) << 16 | attributes << 40 | (limit >> 16) << 48 | (base >> 24) << 56;
}

void sequence_print_segments(FILE *to, const struct sequence *s)
{
    for (unsigned i = 1; s->ldt[LDT_EXECUTE_ONLY].limit && i < LDT_USED; i++) {
        const struct descriptor *d = &s->ldt[i];

        fprintf(to, " %x: %08x to %x%s%s%s%s%s,", LDT_SELECTOR(i), d->base, d->limit, d->is_code ? " code" : "",
                d->is_big ? " big" : "", d->is_down ? " down" : "",
                !d->is_fixed ? "" : d->is_code ? " execute-only" : " read-only", d->is_absent ? " absent" : "");
    }
}

void flat_selectors(u16 *selector, u8 mode)
{
    static const u16 flat_64[8] = { 0, 0x33, 0x2b, 0, 0, 0 }, flat_32[8] = { 0x2b, 0x23, 0x2b, 0x2b, 0, 0x2b };

    memcpy(selector, mode == 64 ? flat_64 : flat_32, sizeof flat_64);
}

/* What data may lie at in its segment. */
static u32 some_offset(struct draft *d, unsigned size)
{
    u32 offset = chance(d, 30) ? 0 : chance(d, 30) ? 0x10000 - size : pick(d, 13) * 0x1000;

    if (offset + size > 0x10000)
        offset = 0x10000 - size;
    return offset;
}

/*
 * A limit for a segment that holds `size` bytes from `offset` on: most of all one that's never met, else one that just lets
 * them in, one on the way, or one that is no 16 bits. Or a segment that expands down.
 */
static void choose_limit(struct draft *d, struct descriptor *e, u32 offset, u32 size, bool may_go_down)
{
    u32 near_middle = offset + size / 2 - 32 + pick(d, 64);

    switch (pick(d, may_go_down ? 12 : 9)) {
    case 0: e->limit = offset + size - 1; break;
    case 1: e->limit = chance(d, 50) ? near_middle : 0xffff; break;
    case 2: e->limit = 0x1ffff; break;
    case 3: e->limit = 0xffffffff; break;
    case 4: e->limit = 0x10000 + pick(d, 8) - 4; break;
    case 9:
    case 10:
        e->is_down = true;
        e->limit = offset ? offset - 1 : 0;
        break;
    case 11:
        e->is_down = true;
        e->limit = chance(d, 50) ? near_middle : 0;
        break;
    default: e->limit = 0xffff; break;
    }
}

void choose_segments(struct draft *d)
{
    struct sequence *s = d->s;
    u32 code, stack, data, extra;
    struct descriptor *e = s->ldt;
    bool is_big;

    d->has_segments = d->is_16 || (!d->is_wide && chance(d, 30));
    if (!d->has_segments) {
        flat_selectors(s->selector, s->mode);
        return;
    }
    is_big = !d->is_16;
    d->has_odd_data = chance(d, 8);
    d->call_prefix = chance(d, 15) ? 0x66 : 0;
    for (unsigned i = ES; i <= GS; i++)
        s->selector[i] = LDT_SELECTOR(LDT_OF(i));
    code = some_offset(d, CODE_SIZE);
    stack = some_offset(d, STACK_SIZE);
    data = chance(d, 50) && stack + DATA_SIZE <= 0x10000 ? stack : some_offset(d, DATA_SIZE);
    extra = chance(d, 50) ? data : some_offset(d, DATA_SIZE);
    d->keeps_stack = data == stack;

    e[LDT_OF(CS)] = (struct descriptor){ .base = CODE_AT - code, .limit = 0xffff, .is_code = true, .is_big = is_big };
    if (chance(d, 30))
        choose_limit(d, &e[LDT_OF(CS)], code, CODE_SIZE / 2, false);
    e[LDT_OF(SS)] = (struct descriptor){ .base = STACK_AT - stack, .limit = 0xffff, .is_big = is_big != chance(d, 25) };
    if (chance(d, 40))
        choose_limit(d, &e[LDT_OF(SS)], stack, STACK_SIZE, true);
    e[LDT_OF(DS)] = (struct descriptor){ .base = DATA_AT - data, .is_big = chance(d, 40) };
    e[LDT_OF(ES)] = (struct descriptor){ .base = DATA_AT - extra, .is_big = chance(d, 40) };
    e[LDT_OF(FS)] = (struct descriptor){ .base = DATA_AT - data + pick(d, 16) * 16, .is_big = chance(d, 40) };
    if (d->has_odd_data) {
        e[LDT_OF(DS)].base -= data ? pick(d, 16) : 0;
        e[LDT_OF(ES)].base -= extra ? pick(d, 16) : 0;
    }
    choose_limit(d, &e[LDT_OF(DS)], data, DATA_SIZE + FIXED_SIZE, true);
    choose_limit(d, &e[LDT_OF(ES)], extra, DATA_SIZE + FIXED_SIZE, true);
    choose_limit(d, &e[LDT_OF(FS)], data, DATA_SIZE, true);
    if (chance(d, 5))
        e[LDT_OF(FS)] = (struct descriptor){ .base = 0xffff0000 + pick(d, 0x10000), .limit = 0xffffffff, .is_big = true };
    e[LDT_OF(GS)] = (struct descriptor){ .base = e[LDT_OF(CS)].base, .limit = 0xffff, .is_big = chance(d, 40) };

    e[LDT_READ_ONLY] = (struct descriptor){ .base = e[LDT_OF(DS)].base, .limit = 0xffff, .is_fixed = true, .is_big = is_big };
    e[LDT_ABSENT] = (struct descriptor){ .base = e[LDT_OF(DS)].base, .limit = 0xffff, .is_absent = true };
    e[LDT_SMALL] = (struct descriptor){ .base = e[LDT_OF(DS)].base, .limit = data + pick(d, DATA_SIZE) };
    e[LDT_DOWN] = (struct descriptor){ .base = e[LDT_OF(DS)].base, .limit = data + pick(d, DATA_SIZE), .is_down = true,
                                       .is_big = chance(d, 50), .is_fixed = chance(d, 20) };
    e[LDT_FLAT] = (struct descriptor){ .limit = 0xffffffff, .is_big = true };
    e[LDT_EXECUTE_ONLY] = e[LDT_CODE_TOO] = e[LDT_CODE_ABSENT] = e[LDT_OF(CS)];
    e[LDT_EXECUTE_ONLY].is_fixed = true;
    e[LDT_CODE_ABSENT].is_absent = true;
}

static ZydisRegister word_register(unsigned n)
{
    return register_named(n, 16);
}

/* What 16 bits can't say without a 67 prefix: in 32-bit code's way, whatever the registers' upper halves hold. */
static void put_memory_67(struct draft *d, ZydisEncoderRequest *r, ZydisEncoderOperand *o, unsigned size, bool written)
{
    r->address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_32;
    switch (pick(d, 4)) {
    case 0: o->mem.displacement = (int)offset_in(d, DS, DATA_AT + pick(d, DATA_SIZE - size)); return;
    case 1:
        o->mem.base = ZYDIS_REGISTER_ESP;
        o->mem.displacement = written ? -(int)pick(d, 100) - 64 : (int)pick(d, 64);
        return;
    case 2:
        if (d->index != d->base[0]) {
            o->mem.index = register_named(d->index, 32);
            o->mem.scale = (ZyanU8)(1 << pick(d, 4));
        }
        break;
    default: break;
    }
    o->mem.base = register_named(d->base[0], 32);
    if (d->base[0] == RBP && !d->keeps_stack)
        r->prefixes |= ZYDIS_ATTRIB_HAS_SEGMENT_DS;
}

void put_memory_16(struct draft *d, ZydisEncoderRequest *r, ZydisEncoderOperand *o, unsigned size, bool written, bool aligned)
{
    static const u8 registers[] = { RBX, RBP, RSI, RDI };
    unsigned way = aligned ? pick(d, 2) : pick(d, 24), base = d->base[0];

    r->address_size_hint = ZYDIS_ADDRESS_SIZE_HINT_16;
    switch (way) {
    case 0: /* nothing but an address */
    case 2:
        o->mem.displacement =
            (i16)offset_in(d, DS, DATA_AT + (aligned ? pick(d, DATA_SIZE / 16 - 4) * 16 : pick(d, DATA_SIZE - 64)));
        return;
    case 3: /* across the end of what can be written, or is there */
        if (chance(d, 80))
            break;
        o->mem.displacement =
            (i16)offset_in(d, DS, FIXED_AT + (chance(d, 30) ? FIXED_SIZE : 0) - pick(d, size + 4));
        return;
    case 4: /* across the end of 16 bits, or of what is in the segment */
        if (chance(d, 85))
            break;
        o->mem.displacement = (i16)(chance(d, 50) ? 0 : d->s->ldt[LDT_OF(DS)].limit + 1);
        o->mem.displacement = (i16)(o->mem.displacement - (int)pick(d, size + 4));
        return;
    case 5:
    case 6: put_memory_67(d, r, o, size, written); return;
    case 7:
    case 8:
        r->prefixes |= ZYDIS_ATTRIB_HAS_SEGMENT_ES;
        if (d->s->ldt[LDT_OF(ES)].base == d->s->ldt[LDT_OF(DS)].base && chance(d, 70))
            break;
        o->mem.displacement = (i16)offset_in(d, ES, DATA_AT + pick(d, DATA_SIZE - 64));
        return;
    case 9: r->prefixes |= ZYDIS_ATTRIB_HAS_SEGMENT_FS; break;
    case 10:
        if (written && chance(d, 95))
            break;
        r->prefixes |= chance(d, 50) ? ZYDIS_ATTRIB_HAS_SEGMENT_CS : ZYDIS_ATTRIB_HAS_SEGMENT_GS;
        o->mem.displacement = (i16)offset_in(d, CS, CODE_AT + pick(d, CODE_SIZE - 64));
        return;
    case 11:
        if (d->keeps_stack)
            r->prefixes |= ZYDIS_ATTRIB_HAS_SEGMENT_SS;
        break;
    case 12: /* goes wrong */
        if (chance(d, 90))
            break;
        base = registers[pick(d, 4)];
        break;
    case 13:
        if (chance(d, written ? 92 : 50))
            break;
        o->mem.displacement = (i16)offset_in(d, DS, FIXED_AT + pick(d, FIXED_SIZE - 64));
        return;
    case 14:
    case 15:
    case 16:
    case 17:
        if (d->index != base)
            o->mem.index = word_register(d->index);
        break;
    default: break;
    }
    if (o->mem.index == ZYDIS_REGISTER_NONE && chance(d, 5)) /* 16 bits of it */
        o->mem.displacement = (i16)(o->mem.displacement + (chance(d, 50) ? 0 : (int)pick(d, 0x1000) - 0x800));
    o->mem.base = word_register(base);
    if (o->mem.index && (base == RSI || base == RDI)) {
        o->mem.base = o->mem.index;
        o->mem.index = word_register(base);
    }
    if (o->mem.index)
        o->mem.scale = 1;
    if ((o->mem.base == ZYDIS_REGISTER_BP) && !(r->prefixes & ZYDIS_ATTRIB_HAS_SEGMENT) &&
        (!d->keeps_stack || chance(d, 50)))
        r->prefixes |= ZYDIS_ATTRIB_HAS_SEGMENT_DS;
}

/* A selector for data: often that of the segment register itself, or of one that begins where it does. */
static u16 selector_for(struct draft *d, unsigned segment)
{
    static const u8 others[] = { LDT_READ_ONLY, LDT_READ_ONLY, LDT_SMALL, LDT_DOWN, LDT_ABSENT, LDT_EXECUTE_ONLY, LDT_CODE_TOO,
                                 LDT_CODE_ABSENT, LDT_FLAT, LDT_USED + 4, LDT_OF(CS), LDT_OF(GS) };

    if (chance(d, segment == SS ? 75 : 50))
        return LDT_SELECTOR(LDT_OF(segment));
    if (chance(d, 10))
        return (u16)pick(d, 4); /* null */
    if (chance(d, 10))
        return (u16)(LDT_SELECTOR(LDT_OF(segment)) & ~pick(d, 4)); /* another RPL */
    if (chance(d, 8))
        return (u16[]){ 0x2b, 0x23, 0x10, 0x18, 0x33, 0x28 }[pick(d, 6)]; /* Linux's, of the global table */
    if (segment != SS && chance(d, 40))
        return LDT_SELECTOR(LDT_OF(ES + pick(d, 2) * (DS - ES)));
    return LDT_SELECTOR(others[pick(d, sizeof others)]);
}

/* LES and its like: 32-bit code's pointers are longer. */
static void load_far_pointer(struct draft *d)
{
    static const struct {
        u8 bytes[2], size, segment;
    } ways[] = { { { 0xc4 }, 1, ES }, { { 0xc5 }, 1, DS }, { { 0x0f, 0xb4 }, 2, FS }, { { 0x0f, 0xb2 }, 2, SS },
                 { { 0xc4 }, 1, ES } };
    unsigned way = pick(d, 5), turned = chance(d, 20);
    u32 at = some_data(d, 8, 1);
    u8 opcode[3] = { 0x66 };

    memcpy(opcode + 1, ways[way].bytes, 2);
    emit_store(d, at, (u32)random_next(&d->random));
    emit_store_word(d, at + (d->is_16 != turned ? 2 : 4), selector_for(d, ways[way].segment));
    emit_at(d, opcode + !turned, ways[way].size + turned, free_register(d), at);
}

static void load_segment(struct draft *d)
{
    static const u8 pops[][2] = { { 0x07 }, { 0 }, { 0x17 }, { 0x1f }, { 0x0f, 0xa1 } };
    static const u8 segments[] = { ES, ES, DS, DS, FS, SS };
    unsigned segment = segments[pick(d, 6)], reg = free_register(d), turned = chance(d, 20);
    u16 selector = selector_for(d, segment);
    u32 at = some_data(d, 2, 1);

    switch (pick(d, 4)) {
    case 0:
        emit_store_word(d, at, selector);
        EMIT_AT(d, segment, at, 0x8e);
        break;
    case 1:
        emit_bytes(d, (u8[]){ 0x68, (u8)selector, (u8)(selector >> 8), 0, 0 }, d->is_16 ? 3 : 5);
        emit_bytes(d, pops[segment], segment == FS ? 2 : 1);
        break;
    case 2: { /* PUSH and POP of another size than the code's */
        u8 push[] = { 0x66, 0x68, (u8)selector, (u8)(selector >> 8), 0, 0 };
        u8 pop[] = { 0x66, pops[segment][0], pops[segment][1] };

        emit_bytes(d, push, d->is_16 ? 6 : 4);
        emit_bytes(d, pop, segment == FS ? 3 : 2);
        break;
    }
    default:
        emit_constant(d, reg, selector);
        emit_bytes(d, (u8[]){ 0x66, 0x8e, (u8)(0xc0 | segment << 3 | reg) } + !turned, 2 + turned);
        break;
    }
    if (chance(d, 30)) /* and back, in whole or to memory */
        chance(d, 50) ? emit_bytes(d, (u8[]){ 0x66, 0x8c, (u8)(0xc0 | segment << 3 | reg) } + !turned, 2 + turned)
                      : EMIT_AT(d, segment, at, 0x8c);
}

/* LAR, LSL, VERR and VERW. */
static void look_at_descriptor(struct draft *d)
{
    unsigned reg = free_register(d), to = free_register(d), turned = chance(d, 30);
    u16 selector = chance(d, 80) ? LDT_SELECTOR(pick(d, LDT_USED + 1)) : selector_for(d, ES);

    emit_constant(d, reg, selector);
    switch (pick(d, 3)) {
    case 0: emit_bytes(d, (u8[]){ 0x66, 0x0f, 0x02, (u8)(0xc0 | to << 3 | reg) } + !turned, 3 + turned); break;
    case 1: emit_bytes(d, (u8[]){ 0x66, 0x0f, 0x03, (u8)(0xc0 | to << 3 | reg) } + !turned, 3 + turned); break;
    default: emit_bytes(d, (u8[]){ 0x0f, 0x00, (u8)(0xe0 | pick(d, 2) << 3 | reg) }, 3); break;
    }
}

static u16 code_selector(struct draft *d)
{
    static const u8 entries[] = { LDT_CODE_TOO, LDT_EXECUTE_ONLY, LDT_CODE_ABSENT, LDT_READ_ONLY, LDT_USED + 2, 0 };

    if (chance(d, 75))
        return LDT_SELECTOR(LDT_OF(CS));
    if (chance(d, 10))
        return LDT_SELECTOR(LDT_OF(CS)) & ~3u;
    return LDT_SELECTOR(entries[chance(d, 80) ? pick(d, 2) : pick(d, sizeof entries)]);
}

static struct item *emit_far(struct draft *d, u8 opcode)
{
    bool prefixed = d->call_prefix != 0;
    unsigned size = d->is_16 == !prefixed ? 2 : 4;
    u8 bytes[8] = { 0x66, opcode };
    u16 selector = code_selector(d);

    memcpy(bytes + 2 + size, &selector, 2);
    return offset_at(emit_bytes(d, bytes + !prefixed, 1 + prefixed + size + 2), 1 + prefixed, size);
}

struct item *emit_far_call(struct draft *d)
{
    return emit_far(d, 0x9a);
}

/* PUSHF, PUSH CS, PUSH where, IRET. */
static struct item *return_from_nothing(struct draft *d)
{
    struct item *i;

    EMIT(d, 0x9c);
    EMIT(d, 0x0e);
    i = emit_bytes(d, (u8[5]){ 0x68 }, d->is_16 ? 3 : 5);
    offset_at(i, 1, d->is_16 ? 2 : 4);
    EMIT(d, 0xcf);
    return i;
}

/* Branches with 66 to near places. */
static struct item *branch_66(struct draft *d)
{
    unsigned size = d->is_16 ? 4 : 2, condition = pick(d, 16);

    switch (pick(d, 4)) {
    case 0: return label_at(emit_bytes(d, (u8[]){ 0x66, (u8)(0x70 | condition), 0 }, 3), 2, 1);
    case 1: return label_at(emit_bytes(d, (u8[7]){ 0x66, 0x0f, (u8)(0x80 | condition) }, 3 + size), 3, size);
    case 2: return label_at(emit_bytes(d, (u8[6]){ 0x66, 0xe9 }, 2 + size), 2, size);
    default: return label_at(EMIT(d, 0x66, 0xe3, 0), 2, 1);
    }
}

void emit_segment(struct draft *d)
{
    struct item *i = NULL;

    switch (pick(d, 9)) {
    case 0:
    case 1: load_far_pointer(d); return;
    case 2:
    case 3: load_segment(d); return;
    case 4: look_at_descriptor(d); return;
    case 5: i = emit_far(d, 0xea); break;
    case 6: i = return_from_nothing(d); break;
    default: i = branch_66(d); break;
    }
    if (!i)
        return;
    if (chance(d, 70))
        EMIT(d, 0x0f, 0x0b);
    else
        emit_integer(d);
    label_here(d, i);
}
