/* SPDX-License-Identifier: MIT */
/* What random sequences look like: blocks of instructions, jumps over some, bounded loops, calls, code that
 * changes itself. */
#include <stdio.h>
#include <string.h>

#include "tests/cpu/draft.h"

static void some(struct draft *d, unsigned n, unsigned depth);

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

static void skip_some(struct draft *d, unsigned depth)
{
    if (chance(d, 60)) {
        if (d->tainted && chance(d, 50))
            emit_cleaner(d);
        emit_compare(d);
    }

    struct item *jump = emit_jump(d, (u8)(chance(d, 4) ? 0xe3 : 0x70 + pick(d, 16)));
    u32 tainted = d->tainted;

    some(d, 1 + pick(d, 4), depth);
    label_here(d, jump);
    d->tainted |= tainted;
}

static void jump_over_bytes(struct draft *d)
{
    struct item *jump = emit_jump(d, 0xeb);

    if (chance(d, 70))
        EMIT(d, 0x0f, 0x0b); /* UD2 */
    label_here(d, jump);
}

/* A few rounds of something, by LOOP, or by DEC and JNZ, or by SUB and JA. */
static void loop_over(struct draft *d, unsigned depth)
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
    some(d, 1 + pick(d, 5), depth);
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
static void call_function(struct draft *d)
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

static void append_functions(struct draft *d)
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
        some(d, 1 + pick(d, 5), 1);
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

static void push_and_pop(struct draft *d, unsigned depth)
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
        some(d, pick(d, 3), depth);
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
static void flags_by_stack(struct draft *d)
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

static void enter_and_leave(struct draft *d, unsigned depth)
{
    if (!(d->free >> RBP & 1))
        return;
    emit_bytes(d, (u8[]){ 0xc8, (u8)(pick(d, 8) * 8), 0, (u8)(chance(d, 5) ? 1 : chance(d, 4) ? pick(d, 64) : 0) }, 4);
    d->free &= ~(1u << RBP);
    some(d, pick(d, 4), depth);
    d->free |= 1u << RBP;
    EMIT(d, 0xc9);
}

/* Overwrites the immediate of a MOV, after it or a little before it: by a store, or by a REP MOVSB, or by
 * parts. */
static void patch_code(struct draft *d, unsigned depth)
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
    some(d, pick(d, 4), depth);
    i->label = (u8)d->s->n;
    /* behind the opcode of MOV */
    i->plus = 1 + (d->is_wide || d->is_16) + (d->has_segments || i->length == 10 ? 0 : pick(d, 4));
    emit_whole_constant(d, reg, value + 1);
}

/*
 * Something on a stack that is nearly over, read-only, or anywhere; where it went well, the pointer is as before again.
 */
static void wild_stack(struct draft *d)
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
    d->is_wide ? emit_bytes(d, (u8[]){ 0x48, 0x89, 0x24, 0x25, (u8)slot, (u8)(slot >> 8), (u8)(slot >> 16), (u8)(slot >> 24) }, 8)
               : emit_at(d, (u8[]){ 0x66, 0x89 } + !d->is_16, 1 + d->is_16, RSP, slot);
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
    d->is_wide ? emit_bytes(d, (u8[]){ 0x48, 0x8b, 0x24, 0x25, (u8)slot, (u8)(slot >> 8), (u8)(slot >> 16), (u8)(slot >> 24) }, 8)
               : emit_at(d, (u8[]){ 0x66, 0x8b } + !d->is_16, 1 + d->is_16, RSP, slot);
}

static void rare(struct draft *d)
{
    switch (pick(d, 12)) {
    case 8:
    case 9: emit_moffs(d); break;
    case 10: wild_stack(d); break;
    case 11: /* INT n where Linux lets none in */
        if (chance(d, 10) && d->is_amd)
            emit_bytes(d, (u8[]){ 0xcd, (u8[]){ 0, 1, 2, 5, 6, 13, 14, 0x20, 0x81, 0xff }[pick(d, 10)] }, 2);
        break;
    case 0: d->has_newer ? emit_gather(d) : emit_bit_string(d); break;
    case 1: emit_bit_string(d); break;
    case 2:
    case 3: emit_control(d); break;
    case 4:
    case 5: emit_state(d); break;
    case 6: d->is_wide ? emit_bit_string(d) : emit_old(d); break;
    default: chance(d, 10) ? emit_narrow_branch(d) : emit_old(d); break;
    }
}

static void some(struct draft *d, unsigned n, unsigned depth)
{
    for (unsigned i = 0; i < n && !d->failed; i++) {
        unsigned way = pick(d, 110);

        if (depth == 0 || way < 60)
            way < 66 || depth == 0 ? emit_integer(d) : emit_vector(d);
        else if (way < 67)
            emit_vector(d);
        else if (way < 70)
            emit_x87(d);
        else if (way < 71)
            emit_mmx(d);
        else if (way < 80)
            skip_some(d, depth - 1);
        else if (way < 83)
            loop_over(d, depth - 1);
        else if (way < 86)
            call_function(d);
        else if (way < 90)
            push_and_pop(d, depth - 1);
        else if (way < 92)
            emit_string(d);
        else if (way < 94)
            flags_by_stack(d);
        else if (way < 96)
            emit_division(d);
        else if (way < 97)
            patch_code(d, depth - 1);
        else if (way < 98)
            enter_and_leave(d, depth - 1);
        else if (way < 100)
            jump_over_bytes(d);
        else if (way < 106)
            emit_anything(d);
        else if (d->s->has_bases && chance(d, 60))
            emit_far_place(d);
        else if (d->has_segments && chance(d, 40))
            emit_segment(d);
        else
            rare(d);
    }
}

/* Elsewhere all runs are our own, and agree about anything. */
static bool host_has_newer(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("vaes") && __builtin_cpu_supports("pclmul");
#else
    return true;
#endif
}

/*
 * 16-bit code has four registers for addresses: of those one for bases, the same for both, and half the time one for an index,
 * or strings would have none.
 */
static void choose_bases_16(struct draft *d)
{
    static const u8 registers[] = { RBX, RBP, RSI, RDI };
    unsigned base = registers[pick(d, 4)];

    d->free = 0xffu & ~(1u << RSP | 1u << base);
    d->base[0] = d->base[1] = d->index = base;
    if (chance(d, 50)) {
        d->index = base == RBX || base == RBP ? registers[2 + pick(d, 2)] : registers[pick(d, 2)];
        d->free &= ~(1u << d->index);
    }
}

static bool host_has_bases(void)
{
#ifdef __x86_64__
    return native_has_bases();
#else
    return true;
#endif
}

static bool host_has_gfni(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("gfni");
#else
    return true;
#endif
}

/* Three registers for addresses in 64-bit code, two in 32-bit code, which has fewer; never one that is implied often. */
static void choose_bases(struct draft *d)
{
    if (d->is_16) {
        choose_bases_16(d);
        return;
    }
    d->free = (d->is_wide ? 0xffffu : 0xffu) & ~(1u << RSP);
    for (unsigned i = 0; i < 3; i++) {
        unsigned reg;

        if (i == 1 && !d->is_wide) {
            d->base[1] = d->base[0];
            continue;
        }
        do
            reg = free_register(d);
        while (reg == RAX || reg == RCX || reg == RDX);
        *(i < 2 ? &d->base[i] : &d->index) = reg;
        d->free &= ~(1u << reg);
    }
}

static bool is_amd(void)
{
#ifdef __x86_64__
    return native_is_amd();
#else
    return true;
#endif
}

void sequence_generate(struct sequence *s, u64 seed, unsigned mode)
{
    struct draft d = { .s = s };

    for (u64 attempt = 0;; attempt++) {
        memset(s, 0, sizeof *s);
        d = (struct draft){ .s = s, .random = seed * 0x2545f4914f6cdd1d + attempt };
        s->seed = seed;
        s->mode = (u8)mode;
        d.is_wide = mode == 64;
        d.is_16 = mode == 16;
        d.is_amd = is_amd();
        choose_segments(&d);
        s->has_bases = d.is_wide && d.is_amd && chance(&d, 30) && host_has_bases();
        if (s->has_bases)
            choose_far_places(&d);
        choose_bases(&d);
        d.has_newer = chance(&d, 40) && host_has_newer();
        d.has_gfni = d.has_newer && host_has_gfni();
        if (d.has_newer)
            EMIT(&d, 0xc5, 0xf8, 0x77); /* VZEROUPPER: the upper halves aren't part of the start */
        some(&d, 2 + pick(&d, 30), 3);
        if (d.has_newer)
            emit_upper_halves(&d);
        EMIT(&d, 0xf4);
        append_functions(&d);

        unsigned where = pick(&d, d.has_segments ? 5 : 4);

        s->code_offset = where == 0   ? 0x1000 - pick(&d, 120)
                         : where == 1 ? 0x2000 - pick(&d, 300)
                         : where == 2 ? pick(&d, 0x800)
                         : where == 4 ? CODE_SIZE - pick(&d, 400)
                                      : pick(&d, 64) * 16;
        s->random_memory = random_next(&d.random);
        for (unsigned i = 0; i < 16; i++)
            s->role[i] = i == d.base[0]   ? ROLE_ALIGNED
                         : i == d.base[1] ? ROLE_BASE
                         : i == d.index   ? ROLE_INDEX
                                          : ROLE_FREE;
        if (!d.failed && sequence_layout(s))
            return;
    }
}

/* A value that is likely to make something happen. */
static u64 interesting(u64 *random)
{
    u64 v = random_next(random), way = random_next(random) % 8;

    switch (way) {
    case 0: return v & 0xff;
    case 1: return (u64)(i64)(i8)v;
    case 2: return (u32)v;
    case 3: return (u64)1 << (v & 63);
    case 4: return ((u64)1 << (v & 63)) - 1;
    case 5: return v & 1 ? 0 : ~(u64)0;
    default: return v;
    }
}

static u64 a_float(u64 *random)
{
    static const double some_doubles[] = {
        0.0, -0.0, 1.0, -2.5, 1e300, 1e-310, 3.14159, 65535.0, -1e18, 0.1
    };
    u64 v = random_next(random), bits;

    if (v & 3)
        return interesting(random);
    memcpy(&bits, &some_doubles[v / 4 % 10], 8);
    return bits;
}

static u64 stack_pointer(const struct sequence *s, u64 *random)
{
    const struct descriptor *d = &s->ldt[LDT_OF(SS)];
    u64 v = random_next(random);
    u32 at = STACK_AT + STACK_SIZE / 2 + 8 * (u32)(v % 64) - d->base;

    if (s->mode != 16)
        return at;
    at += 0x1800;
    if (v >> 8 & 1)
        at += v >> 9 & 7;
    if ((v >> 16) % 16 == 0) /* where it wraps, or soon meets the end of what is mapped, or the limit */
        at = (v >> 20 & 1 ? 0 : v >> 21 & 1 ? d->limit : STACK_AT - d->base) + (u32)(v >> 22) % 24;
    at &= 0xffff;
    if (!d->is_big && (v >> 32) % 2)
        at |= (u32)(v >> 33) & 0xffff0000;
    return at;
}

void sequence_start(struct sequence *s, unsigned round)
{
    u64 random = s->random_memory + round * 77777;
    struct state *t = &s->start;

    u64 garbage = s->mode == 16 && random_next(&random) % 4 == 0 ? (u32)random_next(&random) & 0xffff0000 : 0;
    u32 data = s->ldt[LDT_OF(DS)].base;

    s->round = round;

    memset(t, 0, sizeof *t);
    t->mode = s->mode;
    memcpy(t->ldt, s->ldt, sizeof t->ldt);
    memcpy(t->selector, s->selector, sizeof t->selector);
    memcpy(t->base, s->base, sizeof t->base);
    t->has_bases = s->has_bases;
    for (unsigned i = 0; i < 16; i++) {
        u64 v = interesting(&random), at = random_next(&random), index = random_next(&random) % 32;

        /* near the border between the two pages more often than not, sometimes near the end of what is writable */
        at = DATA_AT + (at % 16 == 0 ? DATA_SIZE - 96 + (at >> 8) % 128
                        : at & 1     ? DATA_SIZE / 2 - 64 + (at >> 8) % 128
                                     : 512 + (at >> 8) % (DATA_SIZE - 1024));
        if (s->mode != 64)
            v = i < 8 ? (u32)v : 0;
        index |= garbage;
        switch (s->role[i]) {
        case ROLE_ALIGNED: t->gpr[i] = (u32)((at & ~(u64)15) - data) | garbage; break;
        case ROLE_BASE: t->gpr[i] = (u32)(at - data) | garbage; break;
        case ROLE_INDEX: t->gpr[i] = index; break;
        default: t->gpr[i] = v; break;
        }
    }
    t->gpr[RSP] = stack_pointer(s, &random);
    t->rip = CODE_AT + s->code_offset - s->ldt[LDT_OF(CS)].base;
    t->rflags = 0x202 | (random_next(&random) & STATUS);
    for (unsigned i = 0; i < (s->mode == 64 ? 16 : 8); i++)
        for (unsigned h = 0; h < 2; h++) {
            u64 v = a_float(&random);

            memcpy(t->xmm[i] + 8 * h, &v, 8);
        }
    t->fcw = 0x37f;
    t->mxcsr = 0x1f80;
    if (random_next(&random) % 4 == 0) {
        t->fcw = (u16)(0x7f | (random_next(&random) & 0xf00));
        t->mxcsr |= random_next(&random) & 0xe040;
    }
    if (random_next(&random) % 16 == 0)
        t->mxcsr &= ~(u32)(random_next(&random) & 0x1f80);
    if (random_next(&random) % 16 == 0)
        t->fcw &= (u16) ~(random_next(&random) & (is_amd() ? 0x3f : 0x3d)); /* DM: what FLD does then differs */
    for (unsigned i = 0; i < 8; i++) {
        u64 v = random_next(&random);

        if (v & 1) {
            u64 mantissa = random_next(&random) | (u64)1 << 63;
            u16 exponent = (u16)(0x3fff - 20 + (v >> 8) % 40 + ((v & 2) << 14));

            t->ftw |= (u8)(1 << i);
            memcpy(t->st[i], &mantissa, 8);
            memcpy(t->st[i] + 8, &exponent, 2);
        }
    }
}

void sequence_fill(const struct sequence *s, const struct arena *a)
{
    u64 random = s->random_memory;

    memset(a->code, 0xf4, CODE_SIZE);
    for (unsigned n = 0; n < s->n; n++)
        memcpy(a->code + s->item[n].at, s->item[n].bytes, s->item[n].length);
    memset(a->stack, 0, STACK_SIZE);
    for (unsigned i = 0; i < DATA_SIZE; i += 8) {
        u64 v = a_float(&random);

        memcpy(a->data + i, &v, 8);
    }
}

void sequence_fill_fixed(const struct arena *a)
{
    u64 random = FIXED_AT;

    for (unsigned i = 0; i < FIXED_SIZE; i += 8) {
        u64 v = a_float(&random);

        memcpy(a->fixed + i, &v, 8);
    }
}

void sequence_print(const struct sequence *s)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;

    sequence_decoder(s, &decoder);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    fprintf(stderr, "sequence of seed %llu:\n", (unsigned long long)s->seed);
    sequence_print_segments(stderr, s);
    for (unsigned n = 0; n < s->n; n++) {
        const struct item *i = &s->item[n];
        ZydisDecodedInstruction z;
        ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
        char text[96] = "?";

        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, i->bytes, i->length, &z, operand)))
            ZydisFormatterFormatInstruction(&formatter, &z, operand, z.operand_count_visible, text,
                                            sizeof text, CODE_AT + i->at, NULL);
        fprintf(stderr, "  %08x %c ", CODE_AT + i->at, i->tainted ? '*' : ' ');
        for (unsigned b = 0; b < 11; b++)
            b < i->length ? fprintf(stderr, "%02x", i->bytes[b]) : fprintf(stderr, "  ");
        fprintf(stderr, " %s\n", text);
    }
}
