/* SPDX-License-Identifier: MIT */
/* What a sequence starts with: registers and memory, from its seed. And how it is shown. */
#include <stdio.h>
#include <string.h>

#include "tests/cpu/draft.h"

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
        t->fcw &= (u16) ~(random_next(&random) & (host_is_amd() ? 0x3f : 0x3d)); /* DM: what FLD does then differs */
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
