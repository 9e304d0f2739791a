/* SPDX-License-Identifier: MIT */
/* Several instructions that belong together: jumps over some, bounded loops, calls, stacks, code that changes itself. */
#include "tests/cpu/draft.h"

struct item *label_at(struct item *i, unsigned patch, unsigned size)
{
    if (i) {
        i->patch = (u8)patch;
        i->patch_size = (u8)size;
        i->to_label = true;
    }
    return i;
}

struct item *offset_at(struct item *i, unsigned patch, unsigned size)
{
    if (i)
        i->is_absolute = true;
    return label_at(i, patch, size);
}

void label_here(struct draft *d, struct item *i)
{
    if (i)
        i->label = (u8)d->s->n;
}

static struct item *emit_jump(struct draft *d, u8 opcode)
{
    u8 bytes[2] = { opcode, 0 };

    return label_at(emit_bytes(d, bytes, 2), 1, 1);
}

void emit_skipped(struct draft *d, unsigned depth)
{
    if (chance(d, 60)) {
        if (d->tainted && chance(d, 50))
            emit_cleaner(d);
        emit_compare(d);
    }

    struct item *jump = emit_jump(d, (u8)(chance(d, 4) ? 0xe3 : 0x70 + pick(d, 16)));
    u32 tainted = d->tainted;

    emit_some(d, 1 + pick(d, 4), depth);
    label_here(d, jump);
    d->tainted |= tainted;
}

void emit_bytes_between(struct draft *d)
{
    struct item *jump = emit_jump(d, 0xeb);

    if (chance(d, 70))
        EMIT(d, 0x0f, 0x0b); /* UD2 */
    label_here(d, jump);
}

/* A few rounds of something, by LOOP, or by DEC and JNZ, or by SUB and JA. */
void emit_loop(struct draft *d, unsigned depth)
{
    unsigned counter, head, way = pick(d, 3);

    do
        counter = way == 0 ? RCX : free_register(d);
    while (counter == RAX || counter == RDX);
    if (!(d->free >> counter & 1) || (d->free & ~(1u << counter | 1u << RAX | 1u << RDX)) == 0)
        return;
    emit_whole_constant(d, counter, 1 + pick(d, 6));
    d->free &= ~(1u << counter);
    head = d->s->n;
    d->tainted = STATUS; /* as it may be when it comes round */
    emit_some(d, 1 + pick(d, 5), depth);
    u8 rex = (u8)(0x48 | counter >> 3), low = (u8)(counter & 7);
    u8 dec[] = { rex, 0xff, (u8)(0xc8 | low) }, sub[] = { rex, 0x83, (u8)(0xe8 | low), 1 };
    struct item *jump;

    if (way == 0) {
        /* counted by ECX with 67, in 32-bit code by CX */
        jump = chance(d, 20) ? label_at(EMIT(d, 0x67, 0xe2, 0), 2, 1)
                             : emit_jump(d, (u8)(chance(d, 70) ? 0xe2 : 0xe0 + pick(d, 2)));
    } else if (way == 1) {
        emit_rex(d, dec, 3);
        jump = emit_jump(d, 0x75);
    } else {
        emit_rex(d, sub, 4);
        jump = emit_jump(d, 0x77);
    }
    if (jump)
        jump->label = (u8)head;
    else
        d->failed = true;
    d->free |= 1u << counter;
}

/* A call of a function that is appended later, directly, by a register or through memory; pops what the
 * function doesn't. */
void emit_call(struct draft *d)
{
    unsigned way = pick(d, 3), reg, prefixes = d->call_prefix != 0, size = d->is_16 == !prefixes ? 2 : 4;
    struct item *i;

    if (d->functions == 8)
        return;
    if (d->has_segments && chance(d, 25)) {
        i = emit_far_call(d);
        d->function[d->functions].is_far = true;
    } else if (way == 0) {
        u8 call[6] = { 0x66, 0xe8 };

        i = emit_bytes(d, call + !d->call_prefix, 1 + prefixes + size);
        label_at(i, 1 + prefixes, size);
    } else {
        reg = free_register(d);
        u8 lea[7] = { (u8)(0x48 | (reg >> 3) << 2), 0x8d, (u8)(0x05 | (reg & 7) << 3) }, mov[6] = { 0x66, (u8)(0xb8 | reg) };

        i = d->is_wide ? label_at(emit_bytes(d, lea, 7), 3, 4)
                       : offset_at(emit_bytes(d, mov + !d->call_prefix, 1 + prefixes + size), 1 + prefixes, size);
        if (way == 1) {
            u8 call[4] = { 0x66, (u8)(0x40 | reg >> 3), 0xff, (u8)(0xd0 | (reg & 7)) };

            emit_rex(d, call + !d->call_prefix, 3 + prefixes);
        } else if (d->is_wide) {
            u32 slot = DATA_AT + pick(d, DATA_SIZE / 8) * 8;
            u8 store[8] = { (u8)(0x48 | (reg >> 3) << 2), 0x89, (u8)(0x04 | (reg & 7) << 3), 0x25 };

            memcpy(store + 4, &slot, 4);
            emit_bytes(d, store, 8);
            EMIT_AT(d, 2, slot, 0xff);
        } else {
            u32 slot = some_data(d, 8, 8);
            u8 store[2] = { 0x66, 0x89 }, call[2] = { 0x66, 0xff };

            emit_at(d, store + !d->call_prefix, 1 + prefixes, reg, slot);
            emit_at(d, call + !d->call_prefix, 1 + prefixes, 2, slot);
        }
    }
    if (!i) {
        d->failed = true;
        return;
    }
    d->function[d->functions].caller = (u8)(i - d->s->item);
    d->function[d->functions++].free = d->free;
    d->tainted = STATUS;
}

void append_functions(struct draft *d)
{
    unsigned end = d->s->n; /* functions may call later ones only, or they'd never return */

    for (unsigned f = 0; f < d->functions && !d->failed; f++) {
        struct item *caller = &d->s->item[d->function[f].caller];
        unsigned earlier = pick(d, f + 1);

        if (earlier < f && d->function[f].caller < end && d->function[f].is_far == d->function[earlier].is_far &&
            !(d->function[earlier].free & ~d->function[f].free)) {
            caller->label = d->s->item[d->function[earlier].caller].label; /* two callers of one function */
            continue;
        }
        d->free = d->function[f].free;
        caller->label = (u8)d->s->n;
        d->tainted = STATUS;
        emit_some(d, 1 + pick(d, 5), 1);
        u8 far_return[] = { 0x66, 0xcb }, near_return[] = { 0x66, 0xc3 };

        if (chance(d, 10)) /* with room for parameters, which was hardly ever made */
            emit_bytes(d,
                       (u8[]){ d->call_prefix, d->function[f].is_far ? 0xca : 0xc2, (u8)(chance(d, 10) * 8), 0 } +
                           !d->call_prefix,
                       3 + (d->call_prefix != 0));
        else
            emit_bytes(d, (d->function[f].is_far ? far_return : near_return) + !d->call_prefix, 1 + (d->call_prefix != 0));
    }
}

void emit_push_and_pop(struct draft *d, unsigned depth)
{
    unsigned n = 1 + pick(d, 7), narrow = 0; /* with 66, as bits */

    for (unsigned i = 0; i < n; i++) {
        unsigned reg = any_register(d);
        u8 bytes[] = { 0x66, 0x40 | (reg >> 3 & 1), (u8)(0x50 | (reg & 7)) };

        if (chance(d, 8)) {
            emit_bytes(d, (u8[]){ 0x6a, (u8)pick(d, 256) }, 2);
        } else if (chance(d, 5)) {
            narrow |= 1u << i;
            emit_rex(d, bytes, 3);
        } else if (reg >= 8 || chance(d, 10)) {
            emit_rex(d, bytes + 1, 2);
        } else {
            emit_bytes(d, bytes + 2, 1);
        }
    }
    if (chance(d, 40))
        emit_some(d, pick(d, 3), depth);
    for (unsigned i = n; i-- > 0;) {
        unsigned reg = free_register(d);
        u8 bytes[] = { 0x66, 0x40 | (reg >> 3 & 1), (u8)(0x58 | (reg & 7)) };

        if (narrow >> i & 1)
            emit_rex(d, bytes, 3);
        else if (reg >= 8)
            emit_bytes(d, bytes + 1, 2);
        else
            emit_bytes(d, bytes + 2, 1);
    }
}

static void flags_by_register(struct draft *d, u32 flip)
{
    unsigned reg = free_register(d), narrow = chance(d, 40), size = narrow ? 5 : 7;
    u8 push_flags[] = { 0x66, 0x9c }, pop[] = { 0x66, (u8)(0x58 | reg) }, push[] = { 0x66, (u8)(0x50 | reg) };
    u8 pop_flags[] = { 0x66, 0x9d }, change[7] = { 0x66, 0x81, (u8)(0xf0 | reg) };

    memcpy(change + 3, &flip, 4);
    emit_bytes(d, push_flags + narrow, 2 - narrow);
    emit_bytes(d, pop + narrow, 2 - narrow);
    emit_bytes(d, change + narrow, size - narrow);
    emit_bytes(d, push + narrow, 2 - narrow);
    emit_bytes(d, pop_flags + narrow, 2 - narrow);
}

/* PUSHFQ, the status flags DF and rarely AC and TF changed on the stack, POPFQ. */
void emit_flags_by_stack(struct draft *d)
{
    u32 flip = (u32)random_next(&d->random) & (STATUS | DF | (chance(d, 3) ? AC : 0) | (chance(d, 4) ? TF : 0));
    u8 change[7] = { 0x81, 0x34, 0x24 };

    if (d->is_16) {
        flags_by_register(d, flip);
        return;
    }
    if (!EMIT(d, 0x9c))
        return;
    memcpy(change + 3, &flip, 4);
    emit_bytes(d, change, 7); /* XOR DWORD [RSP], flip */
    d->tainted = 0;
    EMIT(d, 0x9d);
    d->tainted = 0;
}

void emit_enter_and_leave(struct draft *d, unsigned depth)
{
    if (!(d->free >> RBP & 1))
        return;
    emit_bytes(d, (u8[]){ 0xc8, (u8)(pick(d, 8) * 8), 0, (u8)(chance(d, 5) ? 1 : chance(d, 4) ? pick(d, 64) : 0) }, 4);
    d->free &= ~(1u << RBP);
    emit_some(d, pick(d, 4), depth);
    d->free |= 1u << RBP;
    EMIT(d, 0xc9);
}

/* Overwrites the immediate of a MOV, after it or a little before it: by a store, or by a REP MOVSB, or by
 * parts. */
void emit_patch(struct draft *d, unsigned depth)
{
    unsigned reg = free_register(d);
    u8 store[] = { 0xc7, 0x05, 0, 0, 0, 0, 0, 0, 0, 0 }, byte[] = { 0xc6, 0x05, 0, 0, 0, 0, 0 };
    u32 value = (u32)random_next(&d->random);
    struct item *i;

    memcpy(store + 6, &value, 4);
    byte[6] = (u8)value;
    if (d->has_segments) { /* GS is the code's place for data */
        u8 by_segment[11] = { 0x65, 0x66, 0xc7, 0x06 };
        unsigned at = d->is_16 ? 4 : 3;

        if (!d->is_16)
            memcpy(by_segment + 1, store, 2);
        memcpy(by_segment + at + (d->is_16 ? 2 : 4), &value, 4);
        i = offset_at(emit_bytes(d, by_segment, d->is_16 ? 10 : 11), at, d->is_16 ? 2 : 4);
    } else {
        i = label_at(chance(d, 60) ? emit_bytes(d, store, 10) : emit_bytes(d, byte, 7), 2, 4);
        if (i)
            i->is_absolute = !d->is_wide;
    }
    if (!i)
        return;
    emit_some(d, pick(d, 4), depth);
    i->label = (u8)d->s->n;
    /* behind the opcode of MOV */
    i->plus = 1 + (d->is_wide || d->is_16) + (d->has_segments || i->length == 10 ? 0 : pick(d, 4));
    emit_whole_constant(d, reg, value + 1);
}

/* All of it, kept in memory or taken from there by an opcode of MOV. */
static void stack_pointer_by(struct draft *d, u8 opcode, u32 slot)
{
    bool is_plain = !d->is_wide && !d->is_16;

    emit_at(d, (u8[]){ d->is_wide ? 0x48 : 0x66, opcode } + is_plain, 2 - is_plain, RSP, slot);
}

/*
 * Something on a stack that is nearly over, read-only, or anywhere; where it went well, the pointer is as before again.
 */
void emit_wild_stack(struct draft *d)
{
    static const u8 ways[] = { 0x50, 0x58, 0x9c, 0x6a, 0xc8, 0x54, 0xc3, 0xe8 };
    u32 slot = some_data(d, 8, 8), bytes = d->is_wide ? 8 : d->is_16 ? 2 : 4;
    unsigned reg = free_register(d);
    u8 way = ways[pick(d, sizeof ways)], move[3] = { (u8)(0x48 | reg >> 3), 0x89, (u8)(0xe0 | (reg & 7)) };
    u32 at;

    switch (pick(d, 4)) {
    case 0: at = offset_in(d, SS, STACK_AT) + pick(d, 2 * bytes); break;
    case 1: at = offset_in(d, SS, STACK_AT + STACK_SIZE) - pick(d, 2 * bytes); break;
    case 2: at = d->has_segments ? d->s->ldt[LDT_OF(SS)].limit + 1 - pick(d, 2 * bytes) : FIXED_AT + pick(d, 100); break;
    default: at = (u32)random_next(&d->random); break;
    }
    stack_pointer_by(d, 0x89, slot);
    if (chance(d, 80)) /* else the register's value, whatever it is */
        emit_whole_constant(d, reg, at);
    move[2] = (u8)(0xc4 | (reg & 7) << 3);
    move[0] = (u8)(0x48 | (reg >> 3) << 2);
    emit_turned(d, move, 3); /* MOV RSP, reg */
    switch (way) {
    case 0x58: emit_bytes(d, (u8[]){ (u8)(0x58 | (reg & 7)) }, d->free >> (reg & 7) & 1); break;
    case 0x6a: emit_bytes(d, (u8[]){ 0x6a, 1 }, 2); break;
    case 0xc8: emit_bytes(d, (u8[]){ 0xc8, (u8)pick(d, 16), 0, 0 }, d->free >> RBP & 1 ? 4 : 0); break;
    case 0xe8: emit_bytes(d, (u8[5]){ 0xe8 }, d->is_16 ? 3 : 5); break; /* to the next instruction */
    default: emit_bytes(d, &way, 1); break;
    }
    stack_pointer_by(d, 0x8b, slot);
}
