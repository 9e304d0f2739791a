/* SPDX-License-Identifier: MIT */
/* Instructions whose operands are implied: strings, division, x87, MMX. Encoded by hand. */
#include <string.h>

#include "tests/cpu/draft.h"

void emit_string(struct draft *d)
{
    static const u8 opcodes[] = { 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf };
    const u32 needs = 1u << RCX | 1u << RSI | 1u << RDI;
    u8 bytes[8], opcode = opcodes[pick(d, sizeof opcodes)];
    unsigned n = 0;

    if ((d->free & needs) != needs)
        return;
    bool is_other = (d->is_wide || d->has_segments) && chance(d, 5); /* 32-bit addresses, or in 32-bit code 16-bit ones */
    bool is_whole = is_other || !d->is_16;
    /* sometimes they reach what can't be written, or isn't there */
    u32 end = chance(d, 15) ? DATA_SIZE : chance(d, 5) ? DATA_SIZE + FIXED_SIZE : 0;
    u32 count = pick(d, 20);
    u32 source = end && chance(d, 50) ? DATA_AT + end - 40 + pick(d, 48) : DATA_AT + 512 + pick(d, DATA_SIZE - 1024);
    u32 target = end && chance(d, 50) ? DATA_AT + end - 40 + pick(d, 48) : DATA_AT + 512 + pick(d, DATA_SIZE - 1024);

    source = offset_in(d, DS, source);
    target = offset_in(d, ES, target);
    if (d->is_16 && chance(d, 5)) /* where they wrap */
        *(chance(d, 50) ? &source : &target) = (pick(d, 80) - 40) & 0xffff;
    is_whole ? emit_whole_constant(d, RCX, count) : emit_constant(d, RCX, count);
    if (is_other || chance(d, 80))
        is_whole ? emit_whole_constant(d, RSI, source) : emit_constant(d, RSI, source);
    is_whole ? emit_whole_constant(d, RDI, target) : emit_constant(d, RDI, target);
    if (chance(d, 25))
        EMIT(d, 0xfd);
    else if (chance(d, 60))
        EMIT(d, 0xfc);
    if (is_other)
        bytes[n++] = 0x67;
    if (d->has_segments && chance(d, 15))
        bytes[n++] = (u8[]){ 0x26, 0x2e, 0x36, 0x64, 0x65 }[pick(d, 5)];
    if (chance(d, 80))
        bytes[n++] = 0xf2 | (chance(d, 70) || (opcode & 6) != 6);
    if (opcode & 1) {
        unsigned width = pick(d, 3);

        if (width == 0)
            bytes[n++] = 0x66;
        else if (width == 1 && d->is_wide)
            bytes[n++] = 0x48;
    }
    bytes[n++] = opcode;
    emit_bytes(d, bytes, n);
}

/* MOV between the accumulator and an address alone, of any size. */
void emit_moffs(struct draft *d)
{
    u64 at = offset_in(d, DS, chance(d, 5) ? FIXED_AT - pick(d, 12) : some_data(d, 8, 1));
    u8 bytes[12] = { 0 };
    unsigned n = 0, width = pick(d, 3), turned = chance(d, 15);
    unsigned size = d->is_wide ? 8 >> turned : d->is_16 == !turned ? 2 : 4;

    if (!(d->free & 1u << RAX))
        return;
    if (d->is_wide && chance(d, 5)) /* far from all memory, or not canonical */
        at |= random_next(&d->random) << 32;
    if (turned)
        bytes[n++] = 0x67;
    if (width == 0)
        bytes[n++] = 0x66;
    else if (width == 1 && d->is_wide)
        bytes[n++] = 0x48;
    bytes[n++] = (u8)(0xa0 + pick(d, 4));
    memcpy(bytes + n, &at, size);
    emit_bytes(d, bytes, n + size);
}

/* CLZERO, whose address is RAX in any segment. */
void emit_line(struct draft *d)
{
    static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x67, 0x64, 0x65 };
    bool is_prefixed = chance(d, 40), has_own = !d->is_wide || d->s->has_bases; /* FS and GS, which are the host's else */
    u32 at = offset_in(d, DS, chance(d, 5) ? FIXED_AT - pick(d, 128) : some_data(d, 64, 1));
    u8 bytes[] = { prefixes[pick(d, has_own ? 7 : 5)], 0x0f, 0x01, 0xfc };

    if (!d->is_amd || !(d->free & 1u << RAX))
        return;
    emit_constant(d, RAX, at);
    emit_bytes(d, bytes + !is_prefixed, sizeof bytes - !is_prefixed);
}

/* DIV and IDIV, mostly of what can't overflow. */
void emit_division(struct draft *d)
{
    unsigned by = free_register(d), width = pick(d, d->is_wide ? 4 : 3);
    bool is_signed = chance(d, 50);
    u8 rex = (u8)((width == 3 ? 0x48 : 0x40) | by >> 3);
    u8 low = (u8)(by & 7);

    if (by == RAX || by == RDX)
        return;
    if (chance(d, 90)) {
        u8 make_odd[5] = { (u8)(0x48 | by >> 3), 0x83, (u8)(0xc8 | low), (u8)(1 | pick(d, 127)) };

        emit_turned(d, make_odd, 4); /* OR by, odd */
        if (width == 0)
            is_signed ? emit_turned(d, (u8[]){ 0x66, 0x40, 0x98 }, 3)
                      : emit_turned(d, (u8[]){ 0x40, 0x0f, 0xb6, 0xc0 }, 4); /* CBW; MOVZX EAX, AL */
        else if (!is_signed)
            emit_turned(d, (u8[]){ 0x40, 0x31, 0xd2 }, 3);
        else if (width == 1)
            emit_turned(d, (u8[]){ 0x66, 0x40, 0x99 }, 3);
        else if (width == 2)
            emit_turned(d, (u8[]){ 0x40, 0x99 }, 2);
        else
            EMIT(d, 0x48, 0x99);
    }
    if (width == 1) {
        u8 bytes[] = { 0x66, rex, 0xf7, (u8)((is_signed ? 0xf8 : 0xf0) | low) };

        emit_turned(d, bytes, 4);
    } else {
        u8 bytes[] = { rex, (u8)(width ? 0xf7 : 0xf6), (u8)((is_signed ? 0xf8 : 0xf0) | low) };

        emit_turned(d, bytes, 3);
    }
}

static void emit_in_memory(struct draft *d, u8 opcode, unsigned digit)
{
    emit_by_base(d, &opcode, 1, digit, d->base[pick(d, 2)], (u8)pick(d, 256));
}

void emit_x87(struct draft *d)
{
    static const struct {
        u8 opcode, digit;
    } memory[] = { { 0xd9, 0 }, { 0xd9, 2 }, { 0xd9, 3 }, { 0xd9, 7 }, { 0xdd, 0 }, { 0xdd, 2 }, { 0xdd, 3 },
                   { 0xdb, 5 }, { 0xdb, 7 }, { 0xdb, 0 }, { 0xdb, 2 }, { 0xdb, 3 }, { 0xdf, 0 }, { 0xdf, 5 },
                   { 0xdf, 7 }, { 0xd8, 0 }, { 0xd8, 1 }, { 0xd8, 4 }, { 0xd8, 6 }, { 0xdc, 0 }, { 0xdc, 1 },
                   { 0xdc, 5 }, { 0xdc, 7 }, { 0xda, 0 }, { 0xde, 1 } };
    static const u8 alone[] = { 0xe0, 0xe1, 0xe8, 0xe9, 0xea, 0xeb, 0xec,
                                0xed, 0xee, 0xfa, 0xfc, 0xf6, 0xf7, 0xd0, 0xf4, 0xf5, 0xf8, 0xfd };
    /* with ST(i) */
    static const u8 both[][2] = { { 0xd9, 0xc0 }, { 0xd9, 0xc8 }, { 0xd8, 0xc0 }, { 0xd8, 0xc8 },
                                  { 0xd8, 0xe0 }, { 0xd8, 0xe8 }, { 0xd8, 0xf0 }, { 0xd8, 0xf8 },
                                  { 0xdc, 0xc0 }, { 0xdc, 0xc8 }, { 0xdc, 0xe0 }, { 0xdc, 0xf8 },
                                  { 0xde, 0xc0 }, { 0xde, 0xc8 }, { 0xde, 0xe8 }, { 0xde, 0xf0 },
                                  { 0xdd, 0xc0 }, { 0xdd, 0xd0 }, { 0xdd, 0xd8 }, { 0xdb, 0xe8 },
                                  { 0xdb, 0xf0 }, { 0xdf, 0xe8 }, { 0xda, 0xc0 }, { 0xda, 0xc8 },
                                  { 0xdb, 0xd0 } };
    /* comparisons, whose condition codes go to AX before they are undefined again */
    static const u8 comparing[][2] = { { 0xd8, 0xd1 }, { 0xd8, 0xd9 }, { 0xdd, 0xe1 },
                                       { 0xda, 0xe9 }, { 0xd9, 0xe5 }, { 0xd9, 0xe4 } };
    unsigned way = pick(d, 100);

    d->s->uses_x87 = true;
    if (way < 12) {
        static const u8 control[8] = { 0, 0xf0, 0, 0x50, 0, 0xf0, 0, 0 }; /* /digits that aren't numbers, or are none */
        unsigned escape = pick(d, 8), digit = pick(d, 8);

        if (!(control[escape] >> digit & 1))
            emit_in_memory(d, (u8)(0xd8 | escape), digit);
    } else if (way < 40) {
        unsigned n = pick(d, sizeof memory / sizeof *memory);

        emit_in_memory(d, memory[n].opcode, memory[n].digit);
    } else if (way < 55) {
        u8 bytes[] = { 0xd9, alone[pick(d, sizeof alone)] };

        emit_bytes(d, bytes, 2);
    } else if (way < 90) {
        unsigned n = pick(d, sizeof both / sizeof *both);
        u8 bytes[] = { both[n][0], (u8)(both[n][1] + pick(d, 8)) };

        emit_bytes(d, bytes, 2);
    } else {
        emit_bytes(d, comparing[pick(d, 6)], 2);
        EMIT(d, 0xdf, 0xe0);
    }
}

void emit_mmx(struct draft *d)
{
    static const u8 opcodes[] = { 0xfc, 0xfd, 0xfe, 0xd4, 0xf8, 0xfb, 0xef, 0xeb, 0xdb, 0xdf,
                                  0x74, 0x66, 0xd5, 0xf4, 0xf5, 0xdc, 0xe9, 0x60, 0x6a, 0x6b,
                                  0x67, 0xf1, 0xe2, 0xd3, 0x6f, 0xda, 0xe4, 0xf6 };
    u8 bytes[3] = { 0x0f, opcodes[pick(d, sizeof opcodes)], (u8)(0xc0 | pick(d, 64)) };

    d->s->uses_x87 = true;
    if (chance(d, 10)) {
        EMIT(d, 0x0f, 0x77);
        return;
    }
    emit_bytes(d, bytes, 3);
}
