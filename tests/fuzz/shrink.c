/* SPDX-License-Identifier: MIT */
/* Shrinking: every change is kept that leaves a difference, until none does. */
#include "tests/fuzz/shrink.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

static bool still_differs(struct bench *b, struct sequence *s)
{
    return sequence_layout(s) && sequence_taints(s) && bench_compare(b, s, true);
}

static void drop(struct sequence *s, unsigned n)
{
    memmove(&s->item[n], &s->item[n + 1], (s->n - n - 1) * sizeof *s->item);
    s->n--;
    for (unsigned i = 0; i < s->n; i++)
        if (s->item[i].to_label && s->item[i].label > n)
            s->item[i].label--;
}

static bool drop_items(struct bench *b, struct sequence *s)
{
    bool any = false;

    for (unsigned n = s->n; n-- > 0;) {
        struct sequence smaller = *s;

        drop(&smaller, n);
        if (smaller.n && still_differs(b, &smaller)) {
            *s = smaller;
            any = true;
        }
    }
    return any;
}

/* Sets bytes of the starting state to those of a plain one. */
static bool plain_part(struct bench *b, struct sequence *s, void *part, const void *plain, size_t size)
{
    struct sequence before = *s;

    if (!memcmp(part, plain, size))
        return false;
    memcpy(part, plain, size);
    if (still_differs(b, s))
        return true;
    *s = before;
    return false;
}

static bool plain_start(struct bench *b, struct sequence *s)
{
    static const struct state plain = { .rflags = 0x202, .fcw = 0x37f, .mxcsr = 0x1f80 };
    struct state *t = &s->start;
    bool any = false;

    for (unsigned i = 0; i < 16; i++) {
        if (i != RSP)
            any |= plain_part(b, s, &t->gpr[i], &plain.gpr[i], 8);
        any |= plain_part(b, s, t->xmm[i], plain.xmm[i], 16);
    }
    for (unsigned i = 0; i < 8; i++)
        any |= plain_part(b, s, t->st[i], plain.st[i], 16);
    any |= plain_part(b, s, &t->rflags, &plain.rflags, 8);
    any |= plain_part(b, s, &t->fcw, &plain.fcw, 2);
    any |= plain_part(b, s, &t->ftw, &plain.ftw, 1);
    any |= plain_part(b, s, &t->mxcsr, &plain.mxcsr, 4);
    return any;
}

void shrink(struct bench *b, struct sequence *s)
{
    bool any;

    if (!still_differs(b, s))
        return; /* not as it stands: a jump's form, or flags that only its order defines */
    do
        any = drop_items(b, s) | plain_start(b, s);
    while (any);
    (void)still_differs(b, s); /* laid out as it is printed */
}

static void print_values(const char *name, const struct state *s)
{
    static const char *const gpr[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

    printf(", %s(", name);
    for (unsigned i = 0; i < 16; i++)
        if (s->gpr[i])
            printf(".%s = 0x%llx, ", gpr[i], (unsigned long long)s->gpr[i]);
    printf(".flags = 0x%x)", (u32)s->rflags & (STATUS | DF));
}

static void print_vectors(const struct state *s)
{
    for (unsigned i = 0; i < 16; i++) {
        u64 low, high;

        memcpy(&low, s->xmm[i], 8);
        memcpy(&high, s->xmm[i] + 8, 8);
        if (low | high)
            printf(" xmm%u %016llx%016llx", i, (unsigned long long)high, (unsigned long long)low);
    }
    for (unsigned i = 0; i < 8; i++) {
        u64 mantissa;
        u16 exponent;

        memcpy(&mantissa, s->st[i], 8);
        memcpy(&exponent, s->st[i] + 8, 2);
        if (s->ftw >> i & 1)
            printf(" st%u %04x%016llx", i, exponent, (unsigned long long)mantissa);
    }
    printf(" mxcsr %x fcw %x fsw %x", s->mxcsr, s->fcw, s->fsw);
}

void print_line(struct bench *b, const struct sequence *s, const char *what)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    struct state end;

    sequence_decoder(s, &decoder);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    printf("EXAMPLE(\"");
    for (unsigned n = 0; n < s->n; n++) {
        ZydisDecodedInstruction z;
        ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
        char text[128];

        ZydisDecoderDecodeFull(&decoder, s->item[n].bytes, s->item[n].length, &z, operand);
        ZydisFormatterFormatInstruction(&formatter, &z, operand, z.operand_count_visible, text, sizeof text,
                                        CODE_AT + s->item[n].at, ZYAN_NULL);
        printf("%s%s", n ? "; " : "", text);
    }
    printf("\"");
    print_values("IN", &s->start);
    if (bench_host(b, s, &end))
        print_values("OUT", &end);
    printf(") /* %u-bit code, seed %llu, round %u: %s differs;", s->mode, (unsigned long long)s->seed, s->round, what);
    print_vectors(&s->start);
    printf(" */\n");
    fflush(stdout);
}
