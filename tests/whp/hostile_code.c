/* SPDX-License-Identifier: MIT */
/* Random code: valid encodings of all opcode maps, what system software uses, and plain garbage. */
#include <Zydis/Zydis.h>

#include "tests/whp/hostile.h"

/* What chance alone finds too rarely: the opcode, without prefixes. Operands follow at random. */
static const char *const favourites[] = {
    "\xcf", "\xcb", "\xca", "\xcd", "\xcc", "\xce", "\xf1", "\xf4", "\xfa", "\xfb", "\x9d", "\x9c", "\x17",
    "\x1f", "\x07", "\x8e", "\x8c", "\xea", "\x9a", "\xff\x28", "\xff\x18", "\xff\x2d", "\xff\x1d",
    "\x0f\x01", "\x0f\x20", "\x0f\x22", "\x0f\x23", "\x0f\x21", "\x0f\x30", "\x0f\x32", "\x0f\x05",
    "\x0f\x07", "\x0f\x34", "\x0f\x35", "\x0f\x06", "\x0f\x01\xd1", "\x0f\x01\xd0", "\x0f\x01\xf8",
    "\x0f\x01\xf9", "\x0f\x01\xca", "\x0f\x01\xcb", "\x0f\xa2", "\x0f\x31", "\x0f\xae", "\x0f\xc7",
    "\x0f\x02", "\x0f\x03", "\x63", "\x62", "\xc8", "\xc9", "\x60", "\x61", "\xe4", "\xe6", "\xec", "\xee",
    "\x6c", "\x6e", "\xf3\x6c", "\xf3\x6f", "\xf3\xa4", "\xf3\xab", "\xf2\xae", "\xf3\xa6", "\xa4", "\xab",
    "\xdd", "\xd9", "\xdb", "\xdf", "\x9b", "\x0f\x77", "\xe8", "\xe9", "\xc3", "\xc2", "\xeb", "\x74",
    "\xe2", "\xe0", "\x50", "\x58", "\xff", "\x8f", "\xf0\x0f\xb1", "\xf0\x87", "\xf0\x01", "\x0f\xb2",
    "\x0f\xb4", "\xc4", "\xc5", "\x0f\xa1", "\x0f\xa9", "\x0f\x09", "\x0f\x08", "\x66\x0f\x38\x82",
    "\x0f\x0b", "\xd7", "\x0f\xc3", "\x0f\xe7"
};

static unsigned put_prefixes(struct chance *c, u8 *to, unsigned bits)
{
    static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65 };
    unsigned n = 0;

    while (n < 4 && chance_percent(c, 22))
        to[n++] = CHANCE_OF(c, prefixes);
    if (bits == 64 && chance_percent(c, 45))
        to[n++] =
            (u8)(0x40 | (chance_percent(c, 50) ? 8 : 0) | (chance_percent(c, 20) ? chance_below(c, 8) : 0));
    return n;
}

/* Bytes that may be an instruction. Displacements and immediates stay small, so that they meet what is
 * mapped. */
static void propose(struct chance *c, u8 *to, unsigned bits)
{
    static const u8 maps[] = { 0x38, 0x3a };
    unsigned n = put_prefixes(c, to, bits), kind = chance_below(c, 100);

    if (kind < 30) {
        const char *f = CHANCE_OF(c, favourites);

        while (*f)
            to[n++] = (u8)*f++;
    } else if (kind < 32) { /* LLDT, LTR and the like */
        to[n++] = 0x0f;
        to[n++] = 0x00;
    } else if (kind < 65) {
        to[n++] = (u8)chance_any(c);
    } else {
        to[n++] = 0x0f;
        if (kind > 92)
            to[n++] = CHANCE_OF(c, maps);
        to[n++] = (u8)chance_any(c);
    }
    to[n++] = (u8)chance_any(c);
    for (unsigned i = 0; n < 24; i++, n++)
        to[n] = i % 4 < 2 || chance_percent(c, 4) ? (u8)chance_any(c) : 0;
}

void hostile_code(struct chance *c, u8 *to, size_t size, unsigned bits)
{
    ZydisDecodedInstruction instruction;
    ZydisDecoder decoder;
    size_t n = 0;
    u8 bytes[24];

    ZydisDecoderInit(&decoder,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    while (n < size) {
        size_t length = 1 + chance_below(c, 6);

        propose(c, bytes, bits);
        if (ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, 15, &instruction)))
            length = instruction.length;
        else if (chance_percent(c, 90))
            continue;
        if (length > size - n)
            length = size - n;
        memcpy(to + n, bytes, length);
        n += length;
    }
}
