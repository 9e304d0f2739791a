/* SPDX-License-Identifier: MIT */
/* Code that is written to: which blocks fall, and who has to hear of it. */
#include "decoder/block.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/meet.h"
#include "state/partition.h"

struct block *block_of(const struct insn *entry)
{
    return (struct block *)((char *)entry - offsetof(struct block, enter));
}

static unsigned page_slot(u64 gpa)
{
    return (unsigned)(gpa >> 12) & (CODE_PAGES - 1);
}

struct code_page *code_page_of(struct vcpu *cpu, u64 gpa, bool make)
{
    struct code *code = cpu->code;
    struct code_page *p;

    gpa &= PAGE_MASK;
    for (p = code->page[page_slot(gpa)]; p; p = p->next)
        if (p->gpa == gpa)
            return p;
    if (!make)
        return NULL;
    p = (struct code_page *)(code->pool + code->used); /* block_make() left room */
    code->used += 64;
    *p = (struct code_page){ .gpa = gpa, .next = code->page[page_slot(gpa)] };
    code->page[page_slot(gpa)] = p;
    return p;
}

/* With all processors standing still: a page's next write is seen by whoever makes it. */
static void take_write_rights(struct partition *p, const u8 *host)
{
    for (u32 i = 0; i < p->processors; i++) {
        struct vcpu *other = p->cpu[i];

        if (!other)
            continue;
        if (meet_is_parked(other)) { /* as we are ourselves */
            tlb_watch(other, host);
            other->watched++;
        } else {
            vcpu_call(other, ATTENTION_TLB); /* in the hands of some call; before it runs */
        }
    }
}

static COLD void claim(struct vcpu *cpu, u64 gpa)
{
    struct partition *p = cpu->partition;

    meet_begin_inside(cpu);
    if (ram_find(p->ram, gpa)) { /* else unmapped meanwhile */
        struct page page = ram_page(p->ram, gpa);

        ram_page_note(page, PAGE_CODE);
        take_write_rights(p, page_host(page));
    }
    meet_end_inside(cpu);
    cpu->link = NULL;
    vcpu_land(cpu); /* what we knew of memory may be wrong by now */
}

void code_claim(struct vcpu *cpu, u64 gpa)
{
    struct ram *ram = cpu->partition->ram;

    if (cpu->partition->processors > 1 && !(ram_find(ram, gpa) & PAGE_CODE) && ram_page(ram, gpa).host)
        claim(cpu, gpa);
}

/*
 * Tells memory that these parts of a page were decoded, so that the next write to them is seen. gpa: the block's own, or
 * the page's that it goes on to.
 */
void block_mark(struct vcpu *cpu, struct block *b, u64 gpa, u64 granules)
{
    struct page page = ram_page(cpu->partition->ram, gpa);
    struct code_page *p = code_page_of(cpu, gpa, true);

    if (b->gpa == gpa) { /* its own page, once: an instruction may go on on the page that it began on, mapped again */
        b->page_next = p->blocks;
        p->blocks = b;
    }
    if (!page.host)
        return; /* no memory for its facts: the next Run compares */
    __atomic_fetch_or(page.granules, granules, __ATOMIC_SEQ_CST);
    if (!(__atomic_fetch_or(page.host, PAGE_CODE, __ATOMIC_SEQ_CST) & PAGE_CODE))
        tlb_watch(cpu, page_host(page)); /* with other processors code_claim() has done it */
}

void block_kill(struct vcpu *cpu, struct block *b)
{
    struct block **at = code_slot(cpu->code, b->gpa, b->rip);

    while (*at && *at != b)
        at = &(*at)->hash_next;
    if (*at)
        *at = b->hash_next;
    b->n = b->enter.size = BLOCK_DEAD;
}

/* memcmp() for what is mostly a few bytes: less than the call of it. */
bool block_is_same(const u8 *a, const u8 *b, unsigned size)
{
    if (size > 8) {
        unsigned at = 0;

        for (; at + 8 < size; at += 8)
            if (load_bytes(a + at, 8) != load_bytes(b + at, 8))
                return false;
        return load_bytes(a + size - 8, 8) == load_bytes(b + size - 8, 8);
    }
    if (size >= 4)
        return load_bytes(a, 4) == load_bytes(b, 4) && load_bytes(a + size - 4, 4) == load_bytes(b + size - 4, 4);
    return size < 2 ? !size || load_bytes(a, 1) == *b
                    : load_bytes(a, 2) == load_bytes(b, 2) && load_bytes(a + size - 1, 1) == b[size - 1];
}

/* The text that a block was decoded from is still in memory? */
bool block_is_current(struct vcpu *cpu, struct block *b)
{
    const u8 *text = (const u8 *)(b->insn + b->slots);

    if (b->checked == cpu->run)
        return true;
    for (unsigned i = 0; i < b->ranges; i++) {
        if (!block_is_same(b->host + b->range[i].offset, text, b->range[i].size))
            return false;
        text += b->range[i].size;
    }
    b->checked = cpu->run;
    return true;
}

static u64 granules_of(u64 gpa, u32 size)
{
    unsigned first = (unsigned)(gpa & ~PAGE_MASK) / 64, last = (unsigned)((gpa & ~PAGE_MASK) + size - 1) / 64;

    return ones(last > 63 ? 64 : last + 1) & ~(((u64)1 << first) - 1);
}

static bool is_overwritten(const struct block *b, const u8 *host)
{
    const u8 *text = (const u8 *)(b->insn + b->slots);
    unsigned offset = (unsigned)(b->gpa & ~PAGE_MASK);

    if (b->crosses)
        return !host || !block_is_same(host + offset, text, PAGE_SIZE - offset);
    for (unsigned i = 0; i < b->ranges; i++) {
        if (!host || !block_is_same(host + b->range[i].offset, text, b->range[i].size))
            return true;
        text += b->range[i].size;
    }
    return false;
}

/*
 * Kills a processor's blocks of a page that overlap a write; or those whose text isn't in memory any more, where that is
 * given instead. The granules of those that live. Blocks that go on to this page from the one before aren't in its list:
 * they are compared each time anyway.
 */
static u64 kill_blocks(struct vcpu *cpu, u64 gpa, u64 written, const u8 *host)
{
    struct code_page *p = code_page_of(cpu, gpa, false);
    u64 left = 0;

    for (struct block **at = p ? &p->blocks : NULL; at && *at;) {
        struct block *b = *at;

        if (b->n == BLOCK_DEAD || b->granules & written || (!written && is_overwritten(b, host))) {
            block_kill(cpu, b);
            *at = b->page_next;
        } else {
            left |= b->granules;
            at = &b->page_next;
        }
    }
    return left;
}

/* What code of a page is left: lets go of marks that nobody needs any more. While no other processor decodes. */
static void set_marks(struct partition *p, u64 gpa, u64 granules)
{
    struct page page = ram_page(p->ram, gpa);

    if (!page.host)
        return;
    __atomic_store_n(page.granules, granules, __ATOMIC_RELAXED);
    if (!granules)
        __atomic_fetch_and(page.host, ~(u64)PAGE_CODE, __ATOMIC_RELAXED);
}

/* With all processors standing still: the marks of them all. */
static COLD void review(struct vcpu *cpu, u64 gpa)
{
    struct partition *p = cpu->partition;
    u64 left = 0;

    meet_begin_inside(cpu);
    for (u32 i = 0; i < p->processors; i++)
        if (p->cpu[i])
            left |= kill_blocks(p->cpu[i], gpa, 0, (const u8 *)(ram_find(p->ram, gpa) & PAGE_MASK));
    set_marks(p, gpa, left);
    meet_end_inside(cpu);
}

/* A meeting costs more than a few writes that are looked at for nothing. */
enum { REVIEW_EVERY = 16 };

static void settle_one(struct vcpu *cpu, const struct stale *s)
{
    u64 left = kill_blocks(cpu, s->gpa, granules_of(s->gpa, s->size), NULL);

    if (cpu->partition->processors == 1)
        set_marks(cpu->partition, s->gpa, left);
    else if (++cpu->overwrites % REVIEW_EVERY == 0)
        review(cpu, s->gpa);
}

void code_settle(struct vcpu *cpu)
{
    enum { KNOWN = sizeof cpu->stale / sizeof *cpu->stale };

    if (!cpu->stales || cpu->stales > KNOWN)
        code_doubt(cpu); /* another processor wrote, or too much to tell */
    for (u32 i = 0; i < cpu->stales && i < KNOWN; i++)
        settle_one(cpu, &cpu->stale[i]);
    cpu->stales = 0;
}

void code_doubt(struct vcpu *cpu)
{
    cpu->run++;
    if (++cpu->generation == 0) /* links of four thousand million Runs ago would look alive */
        code_forget(cpu);
}
