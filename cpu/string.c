/* SPDX-License-Identifier: MIT */
/*
 * MOVS, STOS, LODS, SCAS and CMPS with all forms of REP. A round is one element. Rounds go in chunks: as
 * many as stay on one page on each side, straight on the host's bytes; where a page is missing, watched or
 * not memory, one round at a time through mem/place.h, which may raise or leave. Each chunk commits
 * registers and count, so that whatever happens next finds the instruction restartable.
 */
#include "cpu/handler.h"
#include "cpu/verbs.h"
#include "state/partition.h"

enum kind { MOVS, STOS, LODS, SCAS, CMPS };

body_fn op_movs, op_stos, op_lods, op_scas, op_cmps;

/*
 * Which sides a kind has: the source by rSI, the destination by rDI in ES, and which way the latter is used.
 */
INLINE bool has_source(enum kind kind)
{
    return kind == MOVS || kind == LODS || kind == CMPS;
}

INLINE bool has_destination(enum kind kind)
{
    return kind != LODS;
}

INLINE unsigned destination_access(enum kind kind)
{
    return kind == MOVS || kind == STOS ? ACCESS_WRITE | ACCESS_RINGS : ACCESS_READ;
}

/*
 * Which side of CMPS faults first: on a Zen 4 the destination, but for REPE CMPSB, which has microcode of its own there
 * (the fast short form that CPUID knows as FSRC). 67 vectors in which both sides fault tell.
 */
INLINE bool destination_first(IN)
{
    return in->rep != REP_E || in->width != W8;
}

INLINE u64 least(u64 a, u64 b)
{
    return a < b ? a : b;
}

/*
 * One side of the next chunk: how many of n elements from `offset` on stand on one page, inside the segment,
 * before the offset wraps; *host is the first. 0: the TLB doesn't have the page. May raise, for the first
 * element.
 */
static u64 span(CPU, IN, unsigned segment, u64 offset, unsigned access, u64 n, u8 **host)
{
    const struct segment *s = &cpu->seg[segment];
    unsigned shift = in->width, size = 1u << shift;
    bool down = cpu->rflags & DF, flat = in_code64(cpu) && segment != FS && segment != GS;
    u64 linear = flat ? offset : segment_linear(cpu, segment, offset, size, access);
    u64 on_page = linear & ~PAGE_MASK;

    *host = place_hit(cpu, linear, size, access & ACCESS_WRITE);
    if (!*host)
        return 0;
    n = least(n, down ? (on_page >> shift) + 1 : (PAGE_SIZE - on_page) >> shift);
    if (in->address != W64)
        n = least(n, (down ? offset >> shift : (ones(width_bits(in->address)) - offset) >> shift) + 1);
    if (in_code64(cpu))
        return n;
    if (!(s->attributes & SEG_CODE) && (s->attributes & SEG_DOWN))
        return 1; /* expand-down: the limit is below */
    return down ? n : least(n, ((u64)s->limit - offset + 1) >> shift);
}

/*
 * memmove() and memset() may store what lies in the middle twice, which another processor that answers at once could
 * see: its own store is gone. So where there are others, the host's REP stores each element, once. The destination
 * doesn't begin inside the source.
 */
INLINE bool has_others(CPU)
{
    return MAX_PROCESSORS > 1 && cpu->partition->processors > 1;
}

static void copy_once(u8 *to, const u8 *from, u64 n, unsigned size)
{
#ifdef __x86_64__
    switch (size) {
    case 1: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    }
#else
    memmove(to, from, n * size);
#endif
}

static void fill_once(u8 *to, u64 v, u64 n, unsigned size)
{
#ifdef __x86_64__
    switch (size) {
    case 1: __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    case 2: __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    case 4: __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    default: __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    }
#else
    for (u64 i = 0; i < n; i++)
        store_bytes(to + i * size, v, size);
#endif
}

/*
 * Copies n elements as one after the other would: where the destination begins inside the source, what was
 * written is read again, and a pattern repeats.
 */
static void copy(CPU, u8 *to, const u8 *from, u64 n, unsigned size, bool down)
{
    u64 bytes = n * size, ahead;

    if (down) {
        to -= bytes - size;
        from -= bytes - size;
        if ((u64)(from - to) >= bytes && (u64)(to - from) >= bytes && has_others(cpu)) {
            copy_once(to, from, n, size);
        } else if (((u64)(from - to) >= bytes || to == from) && !has_others(cpu)) {
            move_bytes(to, from, bytes);
        } else {
            for (u64 i = n; i-- > 0;)
                store_sized(to + i * size, load_sized(from + i * size, size), size);
        }
        return;
    }
    ahead = (u64)(to - from);
    if (ahead >= bytes || ahead == 0) {
        if (has_others(cpu))
            copy_once(to, from, n, size);
        else
            move_bytes(to, from, bytes);
    } else if (ahead < size || has_others(cpu)) {
        for (u64 i = 0; i < n; i++)
            store_sized(to + i * size, load_sized(from + i * size, size), size);
    } else {
        for (u64 part; bytes; bytes -= part, to += part, ahead += part) {
            part = least(ahead, bytes);
            copy_bytes(to, from, part);
        }
    }
}

static void fill(CPU, u8 *to, u64 v, u64 n, unsigned size, bool down)
{
    u64 bytes = n * size;

    if (down)
        to -= bytes - size;
    if (has_others(cpu)) {
        fill_once(to, v, n, size);
        return;
    }
    if (size == 1 || v == (v & 0xff) * (ones(8 * size) / 0xff)) {
        fill_bytes(to, (u8)v, bytes);
        return;
    }
    for (; size < 8; size *= 2)
        v |= v << (8 * size);
    for (; bytes >= 8; bytes -= 8, to += 8)
        store_bytes(to, v, 8);
    if (bytes)
        copy_bytes(to, &v, bytes);
}

/* What a comparing instruction looked at last. */
struct pair {
    u64 a, b;
};

/* Compares until a pair ends the repetition or n are through: returns how many were looked at. */
INLINE u64 compare_sized(struct pair *last, const u8 *source, const u8 *destination, u64 n, unsigned size,
                         i64 step, bool ends_when_equal)
{
    u64 i = 0;

    do {
        if (source)
            last->a = load_sized(source + (i64)i * step, size);
        last->b = load_sized(destination + (i64)i * step, size);
        i++;
    } while (i < n && (last->a == last->b) != ends_when_equal);
    return i;
}

INLINE u64 compare(struct pair *last, const u8 *source, const u8 *destination, u64 n, unsigned size,
                   bool down, bool ends_when_equal)
{
    i64 step = down ? -(i64)size : (i64)size;

    switch (size) {
    case 1: return compare_sized(last, source, destination, n, 1, step, ends_when_equal);
    case 2: return compare_sized(last, source, destination, n, 2, step, ends_when_equal);
    case 4: return compare_sized(last, source, destination, n, 4, step, ends_when_equal);
    default: return compare_sized(last, source, destination, n, 8, step, ends_when_equal);
    }
}

/* A chunk of up to n rounds on the host's bytes; 0: it takes the slow way. May raise. */
INLINE u64 chunk(CPU, IN, enum kind kind, u64 n, struct pair *last)
{
    unsigned size = 1u << in->width;
    u64 address_mask = ones(width_bits(in->address));
    bool down = cpu->rflags & DF;
    u8 *source = NULL, *destination = NULL;

    if (kind == CMPS && destination_first(in)) {
        n = span(cpu, in, ES, cpu->gpr[RDI] & address_mask, ACCESS_READ, n, &destination);
        if (!n)
            return 0;
    }
    if (has_source(kind)) {
        n = span(cpu, in, in->segment, cpu->gpr[RSI] & address_mask, ACCESS_READ, n, &source);
        if (!n)
            return 0;
    }
    if (has_destination(kind) && !destination) {
        n = span(cpu, in, ES, cpu->gpr[RDI] & address_mask, destination_access(kind), n, &destination);
        if (!n)
            return 0;
    }
    switch (kind) {
    case MOVS: copy(cpu, destination, source, n, size, down); return n;
    case STOS: fill(cpu, destination, cpu->gpr[RAX] & ones(8 * size), n, size, down); return n;
    case LODS: last->a = load_sized(down ? source - (n - 1) * size : source + (n - 1) * size, size); return n;
    default: return compare(last, source, destination, n, size, down, in->rep == REP_NE);
    }
}

/* One round, of whatever kind of memory. */
INLINE void slow_round(CPU, IN, enum kind kind, struct pair *last)
{
    unsigned size = 1u << in->width;
    u64 address_mask = ones(width_bits(in->address));
    struct place source, destination;

    if (kind == CMPS && destination_first(in))
        place_segment(cpu, &destination, ES, cpu->gpr[RDI] & address_mask, size, ACCESS_READ);
    if (has_source(kind))
        place_segment(cpu, &source, in->segment, cpu->gpr[RSI] & address_mask, size, ACCESS_READ);
    if (has_destination(kind) && !(kind == CMPS && destination_first(in)))
        place_segment(cpu, &destination, ES, cpu->gpr[RDI] & address_mask, size, destination_access(kind));
    if (has_source(kind))
        last->a = load_sized(source.bytes, size);
    if (kind == SCAS || kind == CMPS)
        last->b = load_sized(destination.bytes, size);
    if (kind == MOVS || kind == STOS) {
        store_sized(destination.bytes, kind == MOVS ? last->a : cpu->gpr[RAX], size);
        place_commit(cpu, &destination);
    }
}

static void advance(CPU, unsigned reg, u64 by, unsigned address_width)
{
    reg_write(cpu, reg * 8, address_width, cpu->gpr[reg] + by);
}

INLINE void commit(CPU, IN, enum kind kind, u64 rounds, const struct pair *last)
{
    unsigned width = 8u << in->width, address_width = width_bits(in->address);
    u64 bytes = rounds << in->width, by = cpu->rflags & DF ? -bytes : bytes;

    if (has_source(kind))
        advance(cpu, RSI, by, address_width);
    if (has_destination(kind))
        advance(cpu, RDI, by, address_width);
    if (kind == LODS)
        reg_write(cpu, RAX * 8, width, last->a);
    if (kind == SCAS || kind == CMPS)
        verb_sub(cpu, last->a, last->b, width, true);
}

/* How many rounds the count allows. At least one: whoever entered the block made sure of it. */
static u64 budget(const struct vcpu *cpu, const struct insn *in)
{
    i64 rest = (i64)(__atomic_load_n(&cpu->limit, __ATOMIC_RELAXED) - (cpu->count - in->left));

    return rest > 1 ? (u64)rest : 1;
}

/*
 * Between two rounds: gives the loop its turn, with RIP at the instruction. vcpu_rewind() takes back what
 * the block counted ahead; the rounds that are done stay counted. A single-step trap comes after each round.
 */
NORETURN COLD void string_pause(CPU)
{
    u64 met = cpu->pending_debug; /* by the rounds that are done */

    cpu->running_shadow = cpu->running_rf = false; /* interrupts may come between rounds, and breakpoints stand again */
    vcpu_rewind(cpu);
    cpu->pending_debug = met;
    cpu->between_rounds = true;
    if (cpu->trap_due) {
        cpu->trap_due = false;
        cpu->pending_debug |= DR6_BS;
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
    }
    vcpu_land(cpu);
}

/*
 * After the last round, when the count has no room for the rest of the block: goes on at the next
 * instruction by the loop.
 */
static NORETURN COLD void string_stop(CPU, IN)
{
    u64 rip = next_rip(cpu, in);

    vcpu_rewind(cpu);
    cpu->count++;
    cpu->rip = rip;
    vcpu_land(cpu);
}

/*
 * The commonest by far, with nothing that needs asking twice: MOVS and STOS forward through flat 64-bit
 * segments, n rounds that stay on one page on each side and that the count has room for. False: nothing has
 * happened.
 */
INLINE bool quick(CPU, IN, enum kind kind, u64 n)
{
    u64 bytes = n << in->width;
    unsigned size = (unsigned)bytes;

    if (!in_code64(cpu) || in->address != W64 || in->segment >= FS || (cpu->rflags & DF))
        return false;
    if (n > PAGE_SIZE || bytes > PAGE_SIZE)
        return false;
    if (cpu->count + n - 1 > __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED))
        return false;
    u8 *to = place_hit(cpu, cpu->gpr[RDI], size, true);

    if (!to)
        return false;
    if (kind == MOVS) {
        const u8 *from = place_hit(cpu, cpu->gpr[RSI], size, false);

        if (!from || ((u64)(to - from) < bytes && to != from))
            return false;
        if (has_others(cpu))
            copy_once(to, from, n, 1u << in->width);
        else
            move_bytes(to, from, size);
        cpu->gpr[RSI] += bytes;
    } else {
        fill(cpu, to, cpu->gpr[RAX] & ones(8u << in->width), n, 1u << in->width, false);
    }
    cpu->gpr[RDI] += bytes;
    return true;
}

/*
 * While it runs, cpu->count has one for each round that is done beyond what the block counted ahead, so that
 * a fault or an exit finds it right; the instruction itself was counted when its block was entered.
 */
INLINE void repeat(CPU, IN, enum kind kind)
{
    unsigned address_width = width_bits(in->address);
    bool compares = kind == SCAS || kind == CMPS;
    struct pair last = { .a = kind == SCAS ? cpu->gpr[RAX] & ones(8u << in->width) : 0 };
    u64 left = cpu->gpr[RCX] & ones(address_width);

    if (!left)
        return;
    if ((kind == MOVS || kind == STOS) && quick(cpu, in, kind, left)) {
        cpu->gpr[RCX] = 0;
        cpu->count += left - 1;
        return;
    }
    for (;;) {
        u64 rounds = chunk(cpu, in, kind, least(left, budget(cpu, in)), &last);

        if (!rounds) {
            slow_round(cpu, in, kind, &last);
            rounds = 1;
        }
        left -= rounds;
        commit(cpu, in, kind, rounds, &last);
        advance(cpu, RCX, -rounds, address_width);
        cpu->count += rounds;
        if (!left || (compares && (last.a == last.b) == (in->rep == REP_NE)))
            break;
        if (cpu->count - in->left >= __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED) ||
            (__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & ATTENTION_NOW) || cpu->trap_due)
            string_pause(cpu);
        cpu->running_rf = true; /* shows, should a later round not come to its end */
    }
    cpu->running_rf = false;
    cpu->count--;
    if (unlikely(cpu->count > __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED) && in->left > 1))
        string_stop(cpu, in);
}

INLINE void string(CPU, IN, enum kind kind)
{
    struct pair last = { .a = kind == SCAS ? cpu->gpr[RAX] & ones(8u << in->width) : 0 };

    if (in->rep) {
        repeat(cpu, in, kind);
        return;
    }
    if ((kind == MOVS || kind == STOS) && quick(cpu, in, kind, 1))
        return;
    if (!chunk(cpu, in, kind, 1, &last))
        slow_round(cpu, in, kind, &last);
    commit(cpu, in, kind, 1, &last);
}

void op_movs(CPU, IN)
{
    string(cpu, in, MOVS);
}

void op_stos(CPU, IN)
{
    string(cpu, in, STOS);
}

void op_lods(CPU, IN)
{
    string(cpu, in, LODS);
}

void op_scas(CPU, IN)
{
    string(cpu, in, SCAS);
}

void op_cmps(CPU, IN)
{
    string(cpu, in, CMPS);
}
