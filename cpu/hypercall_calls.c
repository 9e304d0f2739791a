/* SPDX-License-Identifier: MIT */
/* What hypercalls do: TLBs of other processors, interrupts to many, and those that only have an answer. */
#include "cpu/hypercall.h"

#include "cpu/apic.h"
#include "mem/tlb.h"
#include "state/meet.h"
#include "state/port.h"

/* ---- sets of processors ---- */

_Static_assert(MAX_PROCESSORS <= 64, "all are in the first bank of a set");

static u64 everybody(const struct partition *p)
{
    u64 all = 0;

    for (u32 i = 0; i < p->processors; i++)
        all |= (u64)(p->cpu[i] != NULL) << i;
    return all;
}

/* TLFS HV_VP_SET, from word `at` of the input on: format, mask of banks, and a word for each bank of the mask. */
static u16 take_set(const struct vcpu *cpu, const struct hypercall *h, u32 at, u64 *set)
{
    u64 format = h->input[at], banks = h->input[at + 1];

    if (format == 1) {
        *set = everybody(cpu->partition);
        return HV_STATUS_SUCCESS;
    }
    if (format)
        return HV_STATUS_INVALID_PARAMETER;
    if ((u32)__builtin_popcountll(banks) != h->variable)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    *set = banks & 1 ? h->input[at + 2] : 0;
    return HV_STATUS_SUCCESS;
}

/* ---- TLBs ---- */

enum {
    FLUSH_ALL_PROCESSORS = 1 << 0,
    FLUSH_ALL_SPACES = 1 << 1,
    FLUSH_NOT_GLOBAL = 1 << 2,
    FLUSH_LONG_RANGES = 1 << 3
};

/* More pages than that are all. A range: a page's address, and in its low bits how many follow. */
enum { FEW_PAGES = 64 };

static bool are_few(const u64 *ranges, u32 count)
{
    u64 pages = count;

    for (u32 i = 0; i < count; i++)
        pages += ranges[i] & ~PAGE_MASK;
    return pages <= FEW_PAGES;
}

static void flush_one(struct vcpu *cpu, const u64 *ranges, u32 count)
{
    if (!ranges || !are_few(ranges, count)) {
        tlb_flush(cpu, false);
        return;
    }
    for (u32 i = 0; i < count; i++)
        for (u64 n = 0; n <= (ranges[i] & ~PAGE_MASK); n++)
            tlb_flush_page(cpu, (ranges[i] & PAGE_MASK) + n * PAGE_SIZE);
}

/*
 * Of all address spaces: more than was asked may go. When the call returns nobody uses what was there, so others are met:
 * one that stands still loses it now, one that doesn't run before it does.
 */
static void flush(struct vcpu *cpu, u64 set, const u64 *ranges, u32 count)
{
    struct partition *p = cpu->partition;

    if (set >> cpu->index & 1)
        flush_one(cpu, ranges, count);
    set &= everybody(p) & ~((u64)1 << cpu->index);
    if (!set)
        return;
    meet_begin_inside(cpu);
    for (u32 i = 0; i < p->processors; i++) {
        struct vcpu *other = set >> i & 1 ? p->cpu[i] : NULL;

        if (!other)
            continue;
        if (other->is_parked) {
            flush_one(other, ranges, count);
            other->watched++; /* in the middle of an instruction it begins again */
        } else {
            vcpu_call(other, ATTENTION_TLB);
        }
    }
    meet_end_inside(cpu);
}

/* ranges: where they begin in the input; NULL: all addresses. */
static u16 flush_set(struct vcpu *cpu, const struct hypercall *h, u64 set, const u64 *ranges)
{
    u64 flags = h->input[1], known = FLUSH_ALL_PROCESSORS | FLUSH_ALL_SPACES;

    if (!ranges)
        known |= FLUSH_NOT_GLOBAL;
    else if (synthetic_has(cpu->partition, SYNTHETIC_LONG_RANGES))
        known |= FLUSH_LONG_RANGES;
    if (flags & ~known)
        return HV_STATUS_INVALID_PARAMETER;
    if (flags & FLUSH_ALL_PROCESSORS)
        set = everybody(cpu->partition);
    if (ranges && !(flags & FLUSH_LONG_RANGES)) /* which also tell of large pages: all go then */
        flush(cpu, set, ranges + h->start, h->count - h->start);
    else
        flush(cpu, set, NULL, 0);
    return HV_STATUS_SUCCESS;
}

static u16 flush_space(struct vcpu *cpu, const struct hypercall *h)
{
    return flush_set(cpu, h, h->input[2], NULL);
}

static u16 flush_list(struct vcpu *cpu, const struct hypercall *h)
{
    return flush_set(cpu, h, h->input[2], h->input + h->header);
}

static u16 flush_with_set(struct vcpu *cpu, const struct hypercall *h, const u64 *ranges)
{
    u64 set = 0;
    u16 status = h->input[1] & FLUSH_ALL_PROCESSORS ? (u16)HV_STATUS_SUCCESS : take_set(cpu, h, 2, &set);

    return status ? status : flush_set(cpu, h, set, ranges);
}

static u16 flush_space_ex(struct vcpu *cpu, const struct hypercall *h)
{
    return flush_with_set(cpu, h, NULL);
}

static u16 flush_list_ex(struct vcpu *cpu, const struct hypercall *h)
{
    return flush_with_set(cpu, h, h->input + h->header + h->variable);
}

/* ---- interrupts ---- */

/* The first word: a vector, and the VTL that is meant, of which there is one. */
static u16 send_to(struct vcpu *cpu, u64 first, u64 set)
{
    const struct partition *p = cpu->partition;
    u32 vector = (u32)first;

    if (vector < 16 || vector > 255 || first >> 32 & 0xff)
        return HV_STATUS_INVALID_PARAMETER;
    for (u32 i = 0; i < p->processors; i++)
        if (set >> i & 1 && p->cpu[i])
            apic_raise(p->cpu[i], (u8)vector);
    return HV_STATUS_SUCCESS;
}

static u16 send_ipi(struct vcpu *cpu, const struct hypercall *h)
{
    return send_to(cpu, h->input[0], h->input[1]);
}

static u16 send_ipi_ex(struct vcpu *cpu, const struct hypercall *h)
{
    u64 set = 0;
    u16 status = take_set(cpu, h, 1, &set);

    return status ? status : send_to(cpu, h->input[0], set);
}

/* ---- the rest ---- */

/* Whoever holds the lock runs on a thread of its own, or has its turn when this one's is over, as behind a PAUSE. */
static u16 note_long_spin(struct vcpu *cpu, const struct hypercall *h)
{
    (void)h;
    if (__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED)) {
        cpu->yields = true;
        vcpu_call(cpu, ATTENTION_TURN);
    }
    return HV_STATUS_SUCCESS;
}

/* A connection, a flag of its port, and 16 bits that are zero. */
static u16 signal_event(struct vcpu *cpu, const struct hypercall *h)
{
    u64 v = h->input[0];

    return v >> 48 ? HV_STATUS_INVALID_PARAMETER : (u16)port_signal(cpu->partition, (u32)v, (u32)(v >> 32) & 0xffff);
}

/* There are no ports for messages, but nobody comes as far as that. */
static u16 post_message(struct vcpu *cpu, const struct hypercall *h)
{
    (void)cpu;
    (void)h;
    return HV_STATUS_INVALID_CONNECTION_ID;
}

#define NEEDS(feature) ((u64)1 << SYNTHETIC_##feature)
enum { UNKNOWN = HV_STATUS_INVALID_HYPERCALL_CODE, DENIED = HV_STATUS_ACCESS_DENIED };

/* The privilege to post messages isn't among the API's features: nobody has it. */
#define NOBODY ((u64)1 << 63)

static const struct hypercall_row rows[] = {
    {0x0002, 24, 0, false, NEEDS(FLUSH), UNKNOWN, COUNT_CALL_MMU, flush_space},
    {0x0003, 24, 8, false, NEEDS(FLUSH), UNKNOWN, COUNT_CALL_MMU, flush_list},
    {0x0008, 8, 0, false, NEEDS(SPIN), UNKNOWN, COUNT_CALL_SPIN, note_long_spin},
    {0x000b, 16, 0, false, NEEDS(IPI), UNKNOWN, COUNT_CALL_INTERRUPT, send_ipi},
    {0x0013, 32, 0, true, NEEDS(FLUSH) | NEEDS(SETS), UNKNOWN, COUNT_CALL_MMU, flush_space_ex},
    {0x0014, 32, 8, true, NEEDS(FLUSH) | NEEDS(SETS), UNKNOWN, COUNT_CALL_MMU, flush_list_ex},
    {0x0015, 24, 0, true, NEEDS(IPI) | NEEDS(SETS), UNKNOWN, COUNT_CALL_INTERRUPT, send_ipi_ex},
    {0x005c, 0, 0, false, NOBODY, DENIED, COUNT_CALL_SYNTHETIC, post_message},
    {0x005d, 8, 0, false, NEEDS(SIGNAL), DENIED, COUNT_CALL_SYNTHETIC, signal_event},
};

const struct hypercall_row *hypercall_find(u16 code)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}
