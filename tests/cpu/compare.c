/* SPDX-License-Identifier: MIT */
/*
 * Runs a sequence in whole blocks, count by count, in short runs, and on the host's own processor, and says in what two of
 * them differ.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cpu/sequences.h"

#define NO_LIMIT ((u64)20000) /* counts: no sequence is that long */
#define NO_USERS 0x7ffffffff000 /* linear addresses from here on are Linux's own */

/* What is comparable between this profile and whatever the host is. */
enum { MXCSR_PE = 1 << 5, MXCSR_OVERFLOW_MASK = 1 << 10, MXCSR_UNDERFLOW_MASK = 1 << 11 };
enum { FSW_COMPARED = 0xb8ff | 0x0200 }; /* without C0, C2, C3: undefined after most instructions */

struct outcome {
    struct state state;
    u64 memory; /* digest */
    u64 counts;
};

struct bench {
    struct arena arena, host;
    struct emulated *machine;
    bool has_host;
    bool is_quiet;
    u64 trail[COUNTS]; /* digest of the registers after each count */
};

static u64 digest_of(u64 seed, const void *bytes, size_t size)
{
    const u64 *q = bytes;

    for (size_t i = 0; i < size / 8; i++)
        seed = (seed ^ q[i]) * 0x9fb21c651e98df25, seed ^= seed >> 29;
    return seed;
}

static u64 memory_of(const struct arena *a)
{
    return digest_of(digest_of(digest_of(1, a->code, CODE_SIZE), a->data, DATA_SIZE), a->stack, STACK_SIZE);
}

static const char *differs(const struct state *a, const struct state *b, u64 flags, bool x87, u16 fsw)
{
    static char text[128];

    for (unsigned i = 0; i < 16; i++)
        if (a->gpr[i] != b->gpr[i]) {
            snprintf(text, sizeof text, "general register %u: %llx, %llx", i, (unsigned long long)a->gpr[i],
                     (unsigned long long)b->gpr[i]);
            return text;
        }
    for (unsigned i = 0; i < 16; i++)
        if (memcmp(a->xmm[i], b->xmm[i], 16)) {
            snprintf(text, sizeof text, "XMM%u", i);
            return text;
        }
    for (unsigned i = ES; i <= GS; i++)
        if (a->selector[i] != b->selector[i]) {
            snprintf(text, sizeof text, "segment register %u: %x, %x", i, a->selector[i], b->selector[i]);
            return text;
        }
    if (memcmp(a->base, b->base, sizeof a->base)) {
        snprintf(text, sizeof text, "bases of FS and GS: %llx and %llx, %llx and %llx", (unsigned long long)a->base[0],
                 (unsigned long long)a->base[1], (unsigned long long)b->base[0], (unsigned long long)b->base[1]);
        return text;
    }
    if (a->rip != b->rip || ((a->rflags ^ b->rflags) & flags) || a->mxcsr != b->mxcsr)
        return a->rip != b->rip ? "RIP" : a->mxcsr != b->mxcsr ? "MXCSR" : "RFLAGS";
    if (a->vector != b->vector || a->error != b->error || a->cr2 != b->cr2)
        return a->vector != b->vector ? "vector" : a->cr2 != b->cr2 ? "CR2" : "error code";
    if (!x87)
        return NULL;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a->st[i], b->st[i], 16)) {
            snprintf(text, sizeof text, "ST(%u)", i);
            return text;
        }
    if (a->fcw != b->fcw || ((a->fsw ^ b->fsw) & fsw) || a->ftw != b->ftw)
        return a->ftw != b->ftw ? "x87 tags" : "x87 status";
    return NULL;
}

static void print_state(const char *name, const struct outcome *o)
{
    const struct state *s = &o->state;

    fprintf(stderr, "  %-8s rip %llx flags %llx counts %llu vector %u error %x cr2 %llx fcw %x fsw %x ftw %x mxcsr %x "
                    "memory %llx",
            name, (unsigned long long)s->rip, (unsigned long long)s->rflags, (unsigned long long)o->counts,
            s->vector, s->error, (unsigned long long)s->cr2, s->fcw, s->fsw, s->ftw, s->mxcsr,
            (unsigned long long)o->memory);
    for (unsigned i = 0; i < 16; i++)
        fprintf(stderr, "%s%2u %016llx", i % 4 ? "  " : "\n      ", i, (unsigned long long)s->gpr[i]);
    fprintf(stderr, "\n");
}

static void complain(bool is_quiet, const struct sequence *s, unsigned round, const char *what, const struct outcome *a,
                     const char *a_is, const struct outcome *b, const char *b_is)
{
    if (is_quiet)
        return;
    sequence_print(s);
    print_state("start", &(struct outcome){ .state = s->start });
    print_state(a_is, a);
    print_state(b_is, b);
    fprintf(stderr, "seed %llu, round %u: %s and %s differ in %s\n", (unsigned long long)s->seed, round, a_is,
            b_is, what);
}

struct bench *bench_open(void)
{
    struct bench *b = calloc(1, sizeof *b);

    if (!b)
        abort();
#ifdef __x86_64__
    b->has_host = native_open(&b->host);
#endif
    b->machine = emulated_open(&b->arena);
    return b;
}

void bench_close(struct bench *b)
{
    emulated_close(b->machine);
#ifdef __x86_64__
    if (b->has_host)
        native_close();
#endif
    free(b);
}

static void finish(struct bench *b, struct outcome *o, u64 begin)
{
    emulated_get(b->machine, &o->state);
    o->memory = memory_of(&b->arena);
    o->counts = emulated_count(b->machine) - begin;
}

static u64 prepare(struct bench *b, const struct sequence *s)
{
    sequence_fill(s, &b->arena);
    emulated_set(b->machine, &s->start);
    return emulated_count(b->machine);
}

static void run_whole(struct bench *b, const struct sequence *s, struct outcome *o)
{
    u64 begin = prepare(b, s);

    emulated_run(b->machine, begin + NO_LIMIT);
    finish(b, o, begin);
}

static u64 trail_of(struct bench *b)
{
    struct state s;

    emulated_get(b->machine, &s);
    return digest_of(digest_of(3, &s, offsetof(struct state, xmm)), s.xmm, sizeof s.xmm);
}

static bool run_by_counts(struct bench *b, const struct sequence *s, struct outcome *o)
{
    u64 begin = prepare(b, s), n = 0;
    bool exact = true;

    while (n < NO_LIMIT && emulated_run(b->machine, begin + n + 1)) {
        exact &= emulated_count(b->machine) == begin + n + 1;
        if (n < COUNTS)
            b->trail[n] = trail_of(b);
        n++;
    }
    finish(b, o, begin);
    return exact;
}

/* In short runs; the registers at each stop are those that were there count by count. */
static bool run_by_parts(struct bench *b, const struct sequence *s, struct outcome *o, u64 random)
{
    u64 begin = prepare(b, s), n = 0;
    bool same = true;

    for (;;) {
        n += 1 + random_next(&random) % (random & 256 ? 3 : 40);
        if (n > NO_LIMIT || !emulated_run(b->machine, begin + n))
            break;
        same &= n > COUNTS || trail_of(b) == b->trail[n - 1];
    }
    finish(b, o, begin);
    return same;
}

static bool run_on_host(struct bench *b, const struct sequence *s, struct outcome *o)
{
    memset(o, 0, sizeof *o);
    if (s->start.selector[CS] & 4 && !native_is_amd())
        return false; /* what segments' ends, and pushes that fault, do there is the vendor's own way */
    sequence_fill(s, &b->host);
    if (!native_run(&s->start, &o->state))
        return false;
    o->memory = memory_of(&b->host);
    return true;
}

/* Where, after both have run. */
static const char *memory_differs(const struct bench *b)
{
    static const struct {
        u32 at, size;
    } areas[] = { { CODE_AT, CODE_SIZE }, { DATA_AT, DATA_SIZE }, { STACK_AT, STACK_SIZE } };
    const u8 *mine[] = { b->arena.code, b->arena.data, b->arena.stack },
             *theirs[] = { b->host.code, b->host.data, b->host.stack };
    static char text[64];

    for (unsigned i = 0; i < 3; i++)
        for (u32 k = 0; k < areas[i].size; k++)
            if (mine[i][k] != theirs[i][k]) {
                snprintf(text, sizeof text, "memory at %x: %02x, %02x", areas[i].at + k, mine[i][k], theirs[i][k]);
                return text;
            }
    return "memory";
}

/* CMPSB with REPE, or by the mask 0xfe any CMPS. */
static bool is_compare_of_strings(const struct sequence *s, u64 rip, u8 mask)
{
    for (unsigned n = 0; n < s->n; n++) {
        const struct item *i = &s->item[n];

        if (sequence_offset(s, n) == rip)
            return (i->bytes[i->length - 1] & mask) == 0xa6 &&
                   (mask != 0xff || (i->length > 1 && i->bytes[i->length - 2] == 0xf3));
    }
    return false;
}

/* Without what processors may do as they like, and this profile's and the host's may differ in. */
static const char *differs_from_host(const struct bench *b, const struct sequence *s, const struct outcome *o,
                                     const struct outcome *host)
{
    u64 flags = (STATUS | DF | AC) & ~(u64)sequence_tainted(s, host->state.rip);
    struct state mine = o->state, theirs = host->state;
    bool is_amd = native_is_amd();
    const char *what;

#ifdef __SANITIZE_ADDRESS__
    if (mine.vector == VECTOR_PF)
        return NULL; /* a wild address may be one of the sanitizer's */
#endif
    if (mine.vector == VECTOR_AC && !is_amd)
        return NULL; /* SDM 2B MOVDQU: whether unaligned 16 bytes are checked is the processor's choice */
    if (mine.vector == VECTOR_XM && !is_amd && (~mine.mxcsr & (MXCSR_UNDERFLOW_MASK | MXCSR_OVERFLOW_MASK)))
        mine.mxcsr = (mine.mxcsr & ~(u32)MXCSR_PE) |
                     (host->state.mxcsr & MXCSR_PE); /* is PE reported beside UE and OE? */
    if (mine.vector == VECTOR_PF && mine.cr2 >= NO_USERS)
        theirs.error = mine.error; /* the kernel doesn't tell whether one of its own pages is present */
    if (mine.vector != VECTOR_UD && is_compare_of_strings(s, mine.rip, is_amd ? 0xff : 0xfe)) {
        /* which of two that both fault: tests/vectors/README.md */
        theirs.vector = mine.vector;
        theirs.cr2 = mine.cr2;
        theirs.error = mine.error;
    }
    for (unsigned i = ES; i <= GS; i++) /* returning to user code, a processor makes 0 of null selectors */
        if (mine.selector[i] < 4 && theirs.selector[i] == 0)
            mine.selector[i] = 0;
    what = differs(&mine, &theirs, flags, s->uses_x87, is_amd ? 0xffff : FSW_COMPARED);
    return what ? what : o->memory != host->memory ? memory_differs(b) : NULL;
}

const char *bench_compare(struct bench *b, struct sequence *s, bool is_quiet)
{
    unsigned round = s->round;
    struct outcome whole, counted, parts, host;
    const char *what;

    b->is_quiet = is_quiet;
    run_whole(b, s, &whole);
    if (whole.counts >= NO_LIMIT) { /* the host would not come back either */
        if (!is_quiet)
            complain(false, s, round, "whether they end", &whole, "blocks", &whole, "what was meant");
        return is_quiet ? NULL : "whether it ends";
    }
    if (b->has_host && run_on_host(b, s, &host)) {
        what = differs_from_host(b, s, &whole, &host);
        /* once more: an AMD's x87 forgets its pointers when the process is preempted, for FXSAVE keeps them with exceptions only */
        if (what && run_on_host(b, s, &host))
            what = differs_from_host(b, s, &whole, &host);
        if (what) {
            complain(b->is_quiet, s, round, what, &whole, "blocks", &host, "host");
            return what;
        }
    }
    bool exact = run_by_counts(b, s, &counted);
    what = differs(&whole.state, &counted.state, STATUS | DF | AC, true, 0xffff);
    if (!what &&
        (whole.memory != counted.memory || whole.counts != counted.counts))
        what = whole.counts != counted.counts ? "counts" : "memory";
    if (!what && !exact)
        what = "where counts stop";
    if (what) {
        complain(b->is_quiet, s, round, what, &whole, "blocks", &counted, "counts");
        return what;
    }
    bool same = run_by_parts(b, s, &parts, s->seed + round);
    what = differs(&whole.state, &parts.state, STATUS | DF | AC, true, 0xffff);
    if (!what &&
        (whole.memory != parts.memory || whole.counts != parts.counts))
        what = whole.counts != parts.counts ? "counts" : "memory";
    if (!what && !same)
        what = "a stop on the way";
    if (what)
        complain(b->is_quiet, s, round, what, &whole, "blocks", &parts, "parts");
    return what;
}

bool bench_host(struct bench *b, const struct sequence *s, struct state *end)
{
    struct outcome o;

    if (!b->has_host || !run_on_host(b, s, &o))
        return false;
    *end = o.state;
    return true;
}
