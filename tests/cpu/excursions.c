/* SPDX-License-Identifier: MIT */
/*
 * What 64-bit code has of segments: the bases of FS and GS, selectors that it loads, far branches and IRETQ, and 32- or 16-bit
 * code that it goes to and comes back from.
 */
#include <string.h>

#include "tests/cpu/draft.h"

enum { CODE64 = 0x33, CODE32 = 0x23, DATA = 0x2b }; /* Linux's */

void choose_far_places(struct draft *d)
{
    struct sequence *s = d->s;
    struct descriptor *e = s->ldt;

    for (unsigned i = LDT_READ_ONLY; i < LDT_USED; i++)
        e[i] = (struct descriptor){ .base = pick(d, 64) * 16, .limit = chance(d, 50) ? 0xffffffff : pick(d, 0x10000),
                                    .is_big = chance(d, 50) };
    e[LDT_READ_ONLY].is_fixed = true;
    e[LDT_ABSENT].is_absent = true;
    e[LDT_DOWN].is_down = true;
    e[LDT_EXECUTE_ONLY] = e[LDT_CODE_TOO] = e[LDT_CODE_ABSENT] =
        (struct descriptor){ .base = CODE_AT - pick(d, 13) * 0x1000, .limit = 0xffff, .is_code = true };
    e[LDT_EXECUTE_ONLY].is_fixed = true;
    e[LDT_CODE_ABSENT].is_absent = true;
    for (unsigned i = 0; i < 2; i++) /* mostly so that operands in data stay there */
        s->base[i] = chance(d, 80) ? pick(d, 64) * 16 : chance(d, 50) ? random_next(&d->random) >> 17 : 0 - (u64)pick(d, 4096);
}

static u16 some_selector(struct draft *d)
{
    static const u8 entries[] = { LDT_READ_ONLY, LDT_SMALL, LDT_DOWN, LDT_FLAT, LDT_CODE_TOO, LDT_SMALL,
                                  LDT_ABSENT, LDT_EXECUTE_ONLY, LDT_CODE_ABSENT };

    if (chance(d, 25))
        return (u16)pick(d, 4);
    return chance(d, 20) ? (u16)DATA : LDT_SELECTOR(entries[chance(d, 85) ? pick(d, 6) : pick(d, sizeof entries)]);
}

/* MOV, PUSH and POP, LFS and LGS, and LSS, which is #GP or changes little. */
static void load_selector(struct draft *d)
{
    unsigned segment = chance(d, 60) ? FS + pick(d, 2) : ES + pick(d, 2) * (DS - ES);
    unsigned reg = pick(d, 8), has_no_rex = chance(d, 70);
    u16 selector = some_selector(d);
    u32 at = some_data(d, 16, 1);

    if (!(d->free >> reg & 1))
        return;
    if (chance(d, 5)) {
        segment = SS;
        selector = chance(d, 60) ? DATA : selector;
    }
    switch (pick(d, 3)) {
    case 0:
        emit_whole_constant(d, reg, selector);
        emit_bytes(d, (u8[]){ 0x48, 0x8e, (u8)(0xc0 | segment << 3 | reg) } + has_no_rex, 3 - has_no_rex);
        break;
    case 1:
        if (segment < FS)
            return;
        emit_bytes(d, (u8[]){ 0x68, (u8)selector, (u8)(selector >> 8), 0, 0 }, 5);
        emit_bytes(d, (u8[]){ 0x0f, segment == FS ? 0xa1 : 0xa9 }, 2);
        break;
    default: {
        unsigned width = pick(d, 3); /* 4 + 2, 2 + 2; REX.W has no say on an AMD */
        u8 opcode[] = { 0x66, 0x48, 0x0f, segment == FS ? 0xb4 : segment == GS ? 0xb5 : 0xb2 };

        if (segment < FS && segment != SS)
            return;
        emit_store(d, at, (u32)random_next(&d->random));
        emit_store_word(d, at + (width == 1 ? 2 : 4), selector);
        if (width == 1)
            emit_at(d, (u8[]){ 0x66, 0x0f, opcode[3] }, 3, reg, at);
        else
            emit_at(d, opcode + (width == 0 ? 2 : 1), width == 0 ? 2 : 3, reg, at);
        break;
    }
    }
    if (chance(d, 30)) /* what it says now */
        emit_bytes(d, (u8[]){ 0x48, 0x8c, (u8)(0xc0 | segment << 3 | reg) } + has_no_rex, 3 - has_no_rex);
}

/* RDFSBASE and its like, of 32 and 64 bits. */
static void emit_base(struct draft *d)
{
    unsigned reg = free_register(d), way = pick(d, 4);
    u8 bytes[] = { 0xf3, (u8)((chance(d, 60) ? 0x48 : 0x40) | reg >> 3), 0x0f, 0xae, (u8)(0xc0 | way << 3 | (reg & 7)) };

    if (way >= 2 && chance(d, 85))
        emit_whole_constant(d, reg, pick(d, 64) * 16);
    emit_bytes(d, bytes, 5);
}

/* MOV DWORD [at], where a label comes. */
static struct item *store_label(struct draft *d, u32 at)
{
    u8 bytes[11] = { 0xc7, 0x04, 0x25 };

    memcpy(bytes + 3, &at, 4);
    return offset_at(emit_bytes(d, bytes, 11), 7, 4);
}

static struct item *push_label(struct draft *d)
{
    return offset_at(emit_bytes(d, (u8[5]){ 0x68 }, 5), 1, 4);
}

/* By JMP and CALL through memory, by RETF, or by IRETQ. */
static struct item *go_far(struct draft *d, u16 selector)
{
    u32 at = some_data(d, 16, 1);
    unsigned reg = free_register(d);
    struct item *i;

    switch (pick(d, 3)) {
    case 0:
        i = store_label(d, at);
        emit_store_word(d, at + 4, selector);
        EMIT_AT(d, 5, at, 0xff);
        return i;
    case 1:
        emit_bytes(d, (u8[]){ 0x6a, (u8)selector }, 2);
        i = push_label(d);
        EMIT(d, 0x48, 0xcb);
        return i;
    default:
        emit_bytes(d, (u8[]){ (u8)(0x48 | reg >> 3), 0x89, (u8)(0xe0 | (reg & 7)) }, 3); /* MOV reg, RSP */
        emit_bytes(d, (u8[]){ 0x6a, chance(d, 90) ? DATA : 0 }, 2);
        emit_bytes(d, (u8[]){ (u8)(0x40 | reg >> 3), (u8)(0x50 | (reg & 7)) }, 2);
        EMIT(d, 0x9c);
        emit_bytes(d, (u8[]){ 0x6a, (u8)selector }, 2);
        i = push_label(d);
        EMIT(d, 0x48, 0xcf);
        return i;
    }
}

/* Bytes that mean something else in code of another size, or the same with other registers. */
static void some_foreign(struct draft *d)
{
    static const struct {
        u8 size, bytes[6];
    } ways[] = { { 1, { 0x40 } }, { 1, { 0x4a } }, { 2, { 0x48, 0x90 } }, { 1, { 0x27 } }, { 1, { 0x3f } },
                 { 2, { 0xd4, 10 } }, { 2, { 0x60, 0x61 } }, { 2, { 0x06, 0x07 } }, { 2, { 0x9c, 0x9d } }, { 2, { 0x50, 0x58 } },
                 { 2, { 0x01, 0xc8 } },
                 { 3, { 0x66, 0x01, 0xd0 } }, { 3, { 0x66, 0x31, 0xc0 } }, { 2, { 0x89, 0xc2 } }, { 2, { 0x88, 0xe2 } },
                 { 3, { 0x0f, 0xb6, 0xc2 } }, { 3, { 0x0f, 0xaf, 0xc2 } }, { 3, { 0x83, 0xe8, 7 } }, { 2, { 0xf7, 0xd0 } },
                 { 2, { 0xd1, 0xe0 } }, { 3, { 0x0f, 0x57, 0xc1 } }, { 3, { 0x0f, 0x58, 0xd1 } }, { 2, { 0xd9, 0xe8 } },
                 { 2, { 0x86, 0xe0 } }, { 3, { 0x0f, 0x44, 0xc2 } }, { 2, { 0x8c, 0xd8 } }, { 2, { 0x8c, 0xe0 } } };

    for (unsigned n = 1 + pick(d, 5); n-- > 0;) {
        unsigned way = pick(d, sizeof ways / sizeof *ways);

        emit_undecoded(d, ways[way].bytes, ways[way].size);
    }
}

/* To 32- or 16-bit code, and back by a far jump that has its pointer within. */
static void emit_excursion(struct draft *d)
{
    bool is_16 = chance(d, 25);
    unsigned entry;
    u8 back[8] = { 0x66, 0xea, 0, 0, 0, 0, CODE64 };
    struct item *i;

    if ((d->free & 5) != 5) /* RAX and RDX are what it writes */
        return;
    entry = chance(d, 50) ? LDT_CODE_TOO : LDT_EXECUTE_ONLY;
    i = go_far(d, is_16 ? LDT_SELECTOR(entry) : (u16)CODE32);
    if (i && is_16)
        i->in_segment = LDT_CODE_TOO;
    label_here(d, i);
    d->s->uses_x87 = true;
    some_foreign(d);
    emit_undecoded(d, back + !is_16, 7 + is_16);
    if (d->failed)
        return;
    i = offset_at(&d->s->item[d->s->n - 1], 1 + is_16, 4);
    label_here(d, i);
}

void emit_far_place(struct draft *d)
{
    switch (pick(d, 6)) {
    case 0:
    case 1: emit_base(d); break;
    case 2:
    case 3: load_selector(d); break;
    case 4: emit_excursion(d); break;
    default: label_here(d, go_far(d, CODE64)); break;
    }
}
