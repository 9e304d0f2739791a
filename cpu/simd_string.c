/* SPDX-License-Identifier: MIT */
/* SSE4.2's comparisons of strings in registers (SDM 1, 12.10 and SDM 2, 4.1), and CRC32. */
#include "cpu/vector.h"

/* The control byte. */
enum {
    WORDS = 1 << 0,
    SIGNED = 1 << 1,
    AGGREGATION = 3 << 2,
    NEGATIVE = 1 << 4,
    MASKED = 1 << 5,    /* the negation concerns what is valid in the second string only */
    HIGH = 1 << 6       /* index: the last one; mask: of whole elements */
};
enum { EQUAL_ANY = 0 << 2, RANGES = 1 << 2, EQUAL_EACH = 2 << 2, EQUAL_ORDERED = 3 << 2 };

struct string {
    i32 e[16];
    unsigned n; /* elements before the end */
};

static unsigned elements(unsigned control)
{
    return control & WORDS ? 8 : 16;
}

/* Strings end at a zero, or have a length, of which the absolute value counts. */
static void string_take(struct string *s, const union vector *v, unsigned control, bool is_explicit,
                        i64 length)
{
    unsigned all = elements(control);

    s->n = all;
    for (unsigned i = 0; i < all; i++) {
        bool word = control & WORDS;

        s->e[i] = control & SIGNED ? (word ? (i16)v->w[i] : (i8)v->b[i]) : (word ? v->w[i] : v->b[i]);
        if (!is_explicit && s->e[i] == 0 && s->n == all)
            s->n = i;
    }
    if (is_explicit && length > -(i64)all && length < (i64)all)
        s->n = (unsigned)(length < 0 ? -length : length);
}

/* Which elements of b match: bit j. */
static u32 aggregate(const struct string *a, const struct string *b, unsigned control)
{
    unsigned all = elements(control);
    u32 r = 0;

    for (unsigned j = 0; j < all; j++) {
        bool match = false;

        switch (control & AGGREGATION) {
        case EQUAL_ANY:
            for (unsigned i = 0; i < a->n; i++)
                match = match || a->e[i] == b->e[j];
            match = match && j < b->n;
            break;
        case RANGES:
            for (unsigned i = 0; i + 1 < a->n; i += 2)
                match = match || (a->e[i] <= b->e[j] && b->e[j] <= a->e[i + 1]);
            match = match && j < b->n;
            break;
        case EQUAL_EACH: /* what has ended in both is equal */
            match = j < a->n ? j < b->n && a->e[j] == b->e[j] : j >= b->n;
            break;
        default: /* does a stand in b from j on? b's end is the register's too. */
            match = true;
            for (unsigned i = 0; i < a->n && i + j < all; i++)
                match = match && i + j < b->n && a->e[i] == b->e[i + j];
            break;
        }
        r |= (u32)match << j;
    }
    return r;
}

static u32 compare(CPU, IN, bool is_explicit)
{
    unsigned control = (u8)in->imm, all = elements(control);
    i64 length_a = (i64)cpu->gpr[RAX], length_b = (i64)cpu->gpr[RDX];
    union vector v;
    struct string a, b;
    u32 r;

    if (in->width != W64) {
        length_a = (i32)length_a;
        length_b = (i32)length_b;
    }
    vector_source_loose(cpu, in, &v, 16);
    string_take(&b, &v, control, is_explicit, length_b);
    string_take(&a, xmm(cpu, in->dst), control, is_explicit, length_a);
    r = aggregate(&a, &b, control);
    if (control & NEGATIVE)
        r ^= control & MASKED ? (1u << b.n) - 1 : (1u << all) - 1;
    flags_write(cpu, (r ? CF : 0) | (b.n < all ? ZF : 0) | (a.n < all ? SF : 0) | (r & 1 ? OF : 0));
    return r;
}

static void to_index(CPU, IN, u32 r)
{
    unsigned all = elements((u8)in->imm);

    cpu->gpr[RCX] = !r ? all : (unsigned)(in->imm & HIGH ? 31 - __builtin_clz(r) : __builtin_ctz(r));
}

static void to_mask(CPU, IN, u32 r)
{
    unsigned size = 16 / elements((u8)in->imm);
    union vector *to = xmm(cpu, REG_XMM);

    memset(to, 0, in->vex ? sizeof *to : 16);
    if (in->imm & HIGH) {
        for (unsigned i = 0; i < 16; i++)
            to->b[i] = r >> i / size & 1 ? 0xff : 0;
    } else {
        to->q[0] = r;
    }
}

void op_pcmpestri(CPU, IN)
{
    to_index(cpu, in, compare(cpu, in, true));
}

void op_pcmpestrm(CPU, IN)
{
    to_mask(cpu, in, compare(cpu, in, true));
}

void op_pcmpistri(CPU, IN)
{
    to_index(cpu, in, compare(cpu, in, false));
}

void op_pcmpistrm(CPU, IN)
{
    to_mask(cpu, in, compare(cpu, in, false));
}

/* CRC-32C, four bits at a time; polynomial 11EDC6F41, reflected. imm32 is the source's width (WIDTH_SRC). */
void op_crc32(CPU, IN)
{
    static const u32 nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    unsigned width = width_bits(in->imm32);
    u64 v = operand_read(cpu, in, 1, width);
    u32 crc = (u32)REG64(in->dst);

    for (unsigned i = 0; i < width; i += 4)
        crc = crc >> 4 ^ nibble[(crc ^ v >> i) & 15];
    REG64(in->dst) = crc;
}
