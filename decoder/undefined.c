/* SPDX-License-Identifier: MIT */
/*
 * How long an undefined instruction is. AMD's processors fetch all of it before they answer #UD: the ModRM byte,
 * displacement and immediates that its opcode map has there, so that an absent page with one of them is told first
 * (Zen 3, by execution at the end of a page). Zydis stops where it knows no further.
 */
#include "decoder/undefined.h"

/* Which opcodes of map 0F have a ModRM byte: a row for each high digit. */
static const u16 with_modrm[16] = { 0xa00f, 0xffff, 0xff0f, 0x0000, 0xffff, 0xffff, 0xffff, 0xf37f,
                                    0x0000, 0xffff, 0xf838, 0xfdff, 0x00ff, 0xffff, 0xffff, 0x7fff };

struct reader {
    const u8 *bytes;
    unsigned size, at;
    bool ended; /* more is needed than there is */
};

static u8 take(struct reader *r)
{
    if (r->at < r->size)
        return r->bytes[r->at++];
    r->ended = true;
    return 0;
}

/* The address behind a ModRM byte, of 16-bit or wider form. */
static void skip_address(struct reader *r, u8 modrm, bool address16)
{
    unsigned mod = modrm >> 6, rm = modrm & 7;

    if (mod == 3)
        return;
    if (address16) {
        r->at += mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
        return;
    }
    bool no_base = rm == 4 ? (take(r) & 7) == 5 : rm == 5;

    r->at += mod == 1 ? 1 : mod == 2 || no_base ? 4 : 0;
}

static void skip_prefixes(struct reader *r, bool code64, bool *operand, bool *address, bool *rex_w)
{
    for (; r->at < r->size; r->at++) {
        u8 b = r->bytes[r->at];

        if (code64 && (b & 0xf0) == 0x40) {
            *rex_w = b & 8;
            continue;
        }
        if (b == 0x66)
            *operand = true;
        else if (b == 0x67)
            *address = true;
        else if ((b & 0xe7) != 0x26 && b != 0x64 && b != 0x65 && b != 0xf0 && b != 0xf2 && b != 0xf3)
            break;
        *rex_w = false; /* counts right before the opcode alone */
    }
}

/* What follows an opcode of the one-byte map that may be undefined; `wide`: immediates have 32 bits. */
static bool follows_one_byte(u8 op, bool wide, unsigned *immediate)
{
    if (op == 0x80 || op == 0x82 || op == 0x83 || op == 0xc6 || op == 0xd4 || op == 0xd5)
        *immediate = 1;
    else if (op == 0x81 || op == 0xc7)
        *immediate = wide ? 4 : 2;
    else if (op == 0x9a || op == 0xea)
        *immediate = wide ? 6 : 4;
    return (op >= 0x80 && op <= 0x8f) || op == 0xc6 || op == 0xc7 || (op >= 0xd8 && op <= 0xdf) || op >= 0xfe;
}

/* Of map 0F, which VEX has as its first. */
static bool follows_0f(u8 op, unsigned *immediate)
{
    if ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6) || op == 0xa4 || op == 0xac ||
        op == 0xba || op == 0x0f)
        *immediate = 1;
    else if (op == 0x78) /* EXTRQ and INSERTQ */
        *immediate = 2;
    else if ((op & 0xf0) == 0x80) /* branches, which are none with VEX */
        *immediate = 4;
    return with_modrm[op >> 4] >> (op & 15) & 1;
}

bool undefined_at_once(u32 mode, const u8 *bytes, unsigned size)
{
    struct reader r = { .bytes = bytes, .size = size };
    bool ignored;

    skip_prefixes(&r, (mode & MODE_CODE) == MODE_CODE64, &ignored, &ignored, &ignored);
    if (take(&r) != 0x0f)
        return false;

    u8 op = take(&r);

    return op == 0xa6 || op == 0xa7 || op == 0xb9 || op == 0xff;
}

unsigned undefined_length(u32 mode, const u8 *bytes, unsigned size)
{
    struct reader r = { .bytes = bytes, .size = size };
    bool code64 = (mode & MODE_CODE) == MODE_CODE64, code32 = (mode & MODE_CODE) == MODE_CODE32;
    bool operand = false, address = false, rex_w = false;

    skip_prefixes(&r, code64, &operand, &address, &rex_w);

    bool wide = rex_w || (code64 || code32) != operand, modrm;
    u8 op = take(&r);
    unsigned immediate = 0, map = 0;

    if ((op == 0xc4 || op == 0xc5) && (code64 || (r.at < size && r.bytes[r.at] >= 0xc0))) { /* VEX */
        u8 second = take(&r);

        map = op == 0xc5 ? 1 : second & 31;
        if (op == 0xc4)
            take(&r);
        op = take(&r);
        modrm = map == 1 ? follows_0f(op, &immediate) : true;
    } else if (op != 0x0f) {
        modrm = follows_one_byte(op, wide, &immediate);
    } else {
        map = 1;
        op = take(&r);
        modrm = follows_0f(op, &immediate);
        if (op == 0x38 || op == 0x3a) {
            map = op == 0x38 ? 2 : 3;
            op = take(&r);
            modrm = true;
        }
    }
    if (map == 3)
        immediate = 1;
    if (map == 1 && op >= 0x20 && op <= 0x23) { /* MOV of CRn and DRn: a register, whatever mod says */
        take(&r);
        modrm = false;
    }
    if (modrm)
        skip_address(&r, take(&r), !code64 && code32 == address);
    return r.ended ? size + 1 : r.at + immediate;
}
