/* SPDX-License-Identifier: MIT */
/*
 * Filling and forgetting translations. A slot's tags (two in the entry, two in its note, two of accesses that leave) are
 * all of the same linear page with the same host page; a slot that gets another page loses them first. Those of code are
 * apart: state/fetched.h.
 */
#include "mem/tlb.h"

#include "mem/ram.h"
#include "mem/walk.h"
#include "state/partition.h"

enum {
    SLOT_LOCAL = 1 << 0,  /* stands in locals[] */
    SLOT_GLOBAL = 1 << 1, /* stands in globals[] */
    SLOT_KEEP = 1 << 2,   /* holds a global page now: survives MOV CR3 */
    SLOT_LARGE = 1 << 3,  /* stands in larges[] */
    SLOT_LISTS = SLOT_LOCAL | SLOT_GLOBAL | SLOT_LARGE,
    SLOT_SIZE_SHIFT = 4   /* log2 of the page's size, less 12 */
};

static void slot_clear(struct tlb *tlb, unsigned i)
{
    tlb->entry[i].read = tlb->entry[i].write = TLB_NONE;
    tlb->note[i].read = tlb->note[i].write = tlb->note[i].leave_read = tlb->note[i].leave_write = TLB_NONE;
}

void tlb_init(struct vcpu *cpu)
{
    for (unsigned b = 0; b < BANKS; b++) {
        struct tlb *tlb = &cpu->banks[b];

        memset(tlb, 0, sizeof(*tlb));
        for (unsigned i = 0; i < TLB_ENTRIES; i++)
            slot_clear(tlb, i);
    }
}

/* Keeps what a global page has. */
static void larges_flush(struct tlb *tlb)
{
    u32 left = 0;

    for (u32 n = 0; n < tlb->larges_used; n++) {
        unsigned i = tlb->larges[n];

        if (tlb->state[i] & SLOT_KEEP)
            tlb->larges[left++] = (u16)i;
        else
            tlb->state[i] &= (u16)~SLOT_LARGE;
    }
    tlb->larges_used = left;
}

static void bank_flush(struct tlb *tlb, bool keep_global)
{
    for (u32 n = 0; n < tlb->locals_used; n++) {
        unsigned i = tlb->locals[n];

        tlb->state[i] &= (u16)~SLOT_LOCAL;
        if (!keep_global || !(tlb->state[i] & SLOT_KEEP))
            slot_clear(tlb, i);
    }
    tlb->locals_used = 0;
    if (keep_global) {
        larges_flush(tlb);
        return;
    }
    for (u32 n = 0; n < tlb->larges_used; n++)
        tlb->state[tlb->larges[n]] &= (u16)~SLOT_LARGE;
    tlb->larges_used = 0;
    for (u32 n = 0; n < tlb->globals_used; n++) {
        unsigned i = tlb->globals[n];

        tlb->state[i] = 0;
        slot_clear(tlb, i);
    }
    tlb->globals_used = 0;
}

/* ---- code ---- */

/* Links and jumps rely on code being where it was: they are looked up again. */
static void break_links(struct vcpu *cpu)
{
    memset(cpu->fetched.pages, 0, sizeof cpu->fetched.pages);
    cpu->generation++;
    cpu->page_generation++;
}

#define FETCHED_PAGE(cpu, linear) (&(cpu)->fetched.pages[(linear) >> 18 & 63])
#define FETCHED_BIT(linear) ((u64)1 << ((linear) >> 12 & 63))
#define FETCHED_LARGE_BIT(linear) ((u64)1 << ((linear) >> 30 & 63))

void tlb_fetched(struct vcpu *cpu, u64 linear)
{
    *FETCHED_PAGE(cpu, linear) |= FETCHED_BIT(linear);
}

static void fetched_flush(struct fetched *f, bool keep_global)
{
    f->local++;
    if (keep_global)
        return;
    f->global++;
    f->large = 0;
}

static void fetched_fill(struct vcpu *cpu, u64 linear, const struct translation *t, u64 host)
{
    struct fetched *f = &cpu->fetched;
    u64 key = fetched_key(linear, cpu->cpl == 3);
    struct fetched_page *page = fetched_slot(f, key);

    if (!page->key && f->used == FETCHED_MOST) { /* also of what was forgotten long since */
        memset(f->slot, 0, sizeof f->slot);
        f->used = 0;
        f->large = 0;
        break_links(cpu);
        page = fetched_slot(f, key);
    }
    f->used += !page->key;
    if (t->size > PAGE_SIZE)
        f->large |= FETCHED_LARGE_BIT(linear);
    *page = (struct fetched_page){ .key = key,
                                   .epoch = t->global ? f->global : f->local,
                                   .host = host,
                                   .gpa = t->gpa & PAGE_MASK,
                                   .is_global = t->global };
}

/* INVLPG: the page; everything, where it may be a piece of a larger one. */
static void fetched_flush_page(struct vcpu *cpu, u64 linear)
{
    struct fetched *f = &cpu->fetched;
    bool may_be_large = f->large & FETCHED_LARGE_BIT(linear);

    for (unsigned user = 0; user < 2; user++)
        fetched_slot(f, fetched_key(linear, user))->epoch = ~(u64)0;
    if (may_be_large)
        fetched_flush(f, false);
    if (may_be_large || *FETCHED_PAGE(cpu, linear) & FETCHED_BIT(linear))
        break_links(cpu);
}

/* ---- all of it ---- */

void tlb_flush(struct vcpu *cpu, bool keep_global)
{
    for (unsigned b = 0; b < BANK_NONE; b++)
        bank_flush(&cpu->banks[b], keep_global);
    fetched_flush(&cpu->fetched, keep_global);
    break_links(cpu);
}

/* Forgets the pieces of a large page around `linear`. */
static void large_flush(struct tlb *tlb, u64 linear)
{
    for (u32 n = 0; n < tlb->larges_used; n++) {
        unsigned i = tlb->larges[n], shift = tlb->state[i] >> SLOT_SIZE_SHIFT;
        const struct tlb_entry *e = &tlb->entry[i];
        const struct tlb_note *note = &tlb->note[i];
        u64 tags[] = { e->read, e->write, note->read, note->write, note->leave_read, note->leave_write };

        for (unsigned t = 0; shift && t < sizeof(tags) / sizeof(tags[0]); t++) {
            if (tags[t] != TLB_NONE && (tags[t] ^ linear) >> (12 + shift) == 0) {
                slot_clear(tlb, i);
                break;
            }
        }
    }
}

void tlb_flush_page(struct vcpu *cpu, u64 linear)
{
    unsigned i = tlb_slot(linear);

    for (unsigned b = 0; b < BANK_NONE; b++) {
        struct tlb *tlb = &cpu->banks[b];

        slot_clear(tlb, i); /* of another page perhaps: forgetting is always right */
        large_flush(tlb, linear);
    }
    fetched_flush_page(cpu, linear);
}

static void watch_list(struct tlb *tlb, const u16 *list, u32 used, u64 host)
{
    for (u32 n = 0; n < used; n++) {
        struct tlb_entry *e = &tlb->entry[list[n]];

        if (e->write != TLB_NONE && e->write + e->addend == host) {
            tlb->note[list[n]].write = e->write; /* still known: what is decoded when changes no translation */
            e->write = TLB_NONE;
        }
    }
}

void tlb_watch(struct vcpu *cpu, const u8 *host_page)
{
    u64 host = (u64)(uintptr_t)host_page & PAGE_MASK;

    for (unsigned b = 0; b < BANK_NONE; b++) {
        struct tlb *tlb = &cpu->banks[b];

        watch_list(tlb, tlb->locals, tlb->locals_used, host);
        watch_list(tlb, tlb->globals, tlb->globals_used, host);
    }
}

bool tlb_breakpoint(const struct vcpu *cpu, u64 linear, bool write)
{
    u64 dr7 = cpu->dr[7];

    if (likely(!(dr7 & 0xff)))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = dr7 >> (16 + 4 * n) & 3;

        if (!(dr7 >> (2 * n) & 3) || !(kind == 3 || (kind == 1 && write)))
            continue;
        if (!((cpu->dr[n] ^ linear) & PAGE_MASK))
            return true;
    }
    return false;
}

/* Makes slot i that of one linear and host page, keeping the tags it has for the same. */
static void slot_claim(struct tlb *tlb, unsigned i, u64 linear, u64 host, const struct translation *t)
{
    struct tlb_entry *e = &tlb->entry[i];
    struct tlb_note *note = &tlb->note[i];
    u64 tags[] = { e->read, e->write, note->read, note->write, note->leave_read, note->leave_write };
    bool is_other = e->addend != host - linear || e->gpa != (t->gpa & PAGE_MASK);
    unsigned large = 0;

    for (unsigned n = 0; n < sizeof(tags) / sizeof(tags[0]); n++) {
        if (tags[n] != TLB_NONE && (tags[n] != linear || is_other)) {
            slot_clear(tlb, i);
            break;
        }
    }
    e->addend = host - linear;
    e->gpa = t->gpa & PAGE_MASK;
    if (t->size > PAGE_SIZE) {
        large = (unsigned)__builtin_ctzll(t->size) - 12;
        if (!(tlb->state[i] & SLOT_LARGE))
            tlb->larges[tlb->larges_used++] = (u16)i;
        tlb->state[i] |= SLOT_LARGE;
    }
    if (t->global) {
        if (!(tlb->state[i] & SLOT_GLOBAL))
            tlb->globals[tlb->globals_used++] = (u16)i;
    } else if (!(tlb->state[i] & SLOT_LOCAL)) {
        tlb->locals[tlb->locals_used++] = (u16)i;
    }
    tlb->state[i] = (u16)((tlb->state[i] & SLOT_LISTS) | (t->global ? SLOT_GLOBAL | SLOT_KEEP : SLOT_LOCAL) |
                          large << SLOT_SIZE_SHIFT);
}

void tlb_fill(struct vcpu *cpu, u64 linear, unsigned access, const struct translation *t, u64 page)
{
    struct tlb *tlb = tlb_bank(cpu, access);
    bool is_user = tlb == &cpu->banks[BANK_USER], ac = tlb == &cpu->banks[BANK_SUPERVISOR_AC];
    unsigned i = tlb_slot(linear);
    struct tlb_entry *e = &tlb->entry[i];
    struct tlb_note *note = &tlb->note[i];

    if (cpu->seam)
        return; /* what a seam translates is not ours to remember */
    linear &= PAGE_MASK;
    if ((access & ACCESS_RIGHT) == ACCESS_EXECUTE) {
        fetched_fill(cpu, linear, t, page & PAGE_MASK);
        return;
    }
    slot_claim(tlb, i, linear, page & PAGE_MASK, t);
    if (!(page & PAGE_READ))
        return; /* write-only in the map: a hit couldn't tell a store from a read-modify-write */
    e->read = note->read = e->write = note->write = TLB_NONE;
    if ((access & ACCESS_RIGHT) == ACCESS_READ || !walk_denied(cpu, t, ACCESS_READ, is_user, ac)) {
        if (tlb_breakpoint(cpu, linear, false))
            note->read = linear;
        else
            e->read = linear;
    }
    if (!(page & PAGE_WRITE) || !t->dirty || (page & PAGE_TRACK && !(page & PAGE_DIRTY)))
        return;
    if ((access & ACCESS_RIGHT) == ACCESS_READ && walk_denied(cpu, t, ACCESS_WRITE, is_user, ac))
        return;
    if (page & PAGE_CODE || tlb_breakpoint(cpu, linear, true))
        note->write = linear;
    else
        e->write = linear;
}

void tlb_fill_leave(struct vcpu *cpu, u64 linear, unsigned access, const struct translation *t, u64 page)
{
    struct tlb *tlb = tlb_bank(cpu, access);
    unsigned i = tlb_slot(linear);

    linear &= PAGE_MASK;
    slot_claim(tlb, i, linear, page & PAGE_MASK, t);
    if (access & ACCESS_WRITE)
        tlb->note[i].leave_write = linear;
    else
        tlb->note[i].leave_read = linear;
}
