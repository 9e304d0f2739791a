/* SPDX-License-Identifier: MIT */
/*
 * Page walks: AMD64 APM volume 2 chapter 5, Intel SDM volume 3A chapter 4. Each level is a loop turn over one
 * entry; what differs by mode is in struct paging.
 */
#include "mem/walk.h"

#include <stdarg.h>
#include <stdio.h>

#include "exits/exit.h"
#include "mem/notice.h"
#include "mem/ram.h"
#include "state/partition.h"
#include "state/profile.h"

enum { STORY_SIZE = 512 };

#define PTE_ADDRESS 0x000ffffffffff000ull

struct paging {
    unsigned levels;     /* of tables in memory */
    unsigned entry_size; /* 4 or 8 bytes */
    unsigned bits;       /* of the linear address that each level takes */
    u64 top;             /* gpa of the first table */
    u64 reserved;        /* in every present entry */
};

/* Adds to the story, where somebody wants one. */
#define TELL(w, ...) (unlikely((w)->story != NULL) ? story_add(w, __VA_ARGS__) : (void)0)

/* One entry on the way, for setting its accessed bit once the walk has succeeded. */
struct step {
    u64 gpa, entry;
    void *host;
    u64 page; /* host | facts of the page that holds it */
};

static COLD void story_add(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void story_add(struct walk *w, const char *format, ...)
{
    size_t used;
    va_list args;

    used = strnlen(w->story, STORY_SIZE);
    if (used >= STORY_SIZE - 1)
        return;
    va_start(args, format);
    vsnprintf(w->story + used, STORY_SIZE - used, format, args);
    va_end(args);
}

static bool is_long(const struct vcpu *cpu)
{
    return cpu->efer & EFER_LMA;
}

/* Bits of a 64-bit entry that lie above the physical address space. */
static u64 beyond_physical(const struct vcpu *cpu)
{
    return PTE_ADDRESS & ~ones(cpu->partition->physical_width);
}

INLINE struct paging paging_of(const struct vcpu *cpu)
{
    struct paging p = {0};

    if (!(cpu->cr4 & CR4_PAE)) {
        p = (struct paging){.levels = 2, .entry_size = 4, .bits = 10, .top = cpu->cr3 & 0xfffff000};
        return p;
    }
    p.entry_size = 8;
    p.bits = 9;
    p.reserved = beyond_physical(cpu);
    if (!(cpu->efer & EFER_NXE))
        p.reserved |= PTE_NX;
    if (is_long(cpu)) {
        p.levels = cpu->cr4 & CR4_LA57 ? 5 : 4;
        p.top = cpu->cr3 & PTE_ADDRESS;
    } else {
        p.levels = 2;
        p.reserved |= 0x7ff0000000000000ull; /* bits 62:52 are ignored in long mode only */
    }
    return p;
}

/* Reserved bits of an entry that depend on its level; is_leaf: it maps a large page. */
INLINE u64 reserved_at(const struct vcpu *cpu, const struct paging *p, unsigned level, bool is_leaf)
{
    if (p->entry_size == 4) {
        u32 width = cpu->partition->physical_width;

        if (!is_leaf)
            return 0;
        /* PSE-36: bits 20:13 are bits 39:32 of the address, bit 21 is reserved. */
        return 1u << 21 | (width < 40 ? 0x1fe000u & ~(u32)(ones(width) >> 32 << 13) : 0);
    }
    if (level == 3 && !has(&cpu->partition->has, HAS_PAGE1G))
        return PTE_PS; /* whatever else it has */
    if (is_leaf)
        return level == 3 ? 0x3fffe000 : level == 2 ? 0x1fe000 : 0;
    if (level >= 4) /* no large pages here; AMD's processors reserve G too */
        return PTE_PS | (cpu->partition->profile->vendor == VENDOR_AMD ? PTE_G : 0);
    return 0;
}

static u64 entry_load(const struct step *s, unsigned size)
{
    return size == 8 ? __atomic_load_n((u64 *)s->host, __ATOMIC_ACQUIRE)
                     : __atomic_load_n((u32 *)s->host, __ATOMIC_ACQUIRE);
}

/* Sets bits of an entry. False: somebody changed it meanwhile, so the walk begins anew. */
static bool entry_set(struct vcpu *cpu, const struct walk *w, const struct step *s, unsigned size, u64 bits)
{
    u64 was = s->entry;
    u32 was32 = (u32)was;

    if ((was & bits) == bits)
        return true;
    if (s->page & PAGE_TRACK)
        ram_dirty(cpu->partition->ram, s->gpa);
    if (size == 8) {
        if (!__atomic_compare_exchange_n((u64 *)s->host, &was, was | bits, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            return false;
    } else if (!__atomic_compare_exchange_n((u32 *)s->host, &was32, was32 | (u32)bits, false,
                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return false;
    }
    if (s->page & PAGE_CODE && !w->is_host)
        notice_write(cpu, s->gpa, size);
    return true;
}

u32 walk_denied(const struct vcpu *cpu, const struct translation *t, unsigned access, bool user, bool ac)
{
    unsigned right = access & ACCESS_RIGHT;
    bool is_write = right == ACCESS_WRITE, is_fetch = right == ACCESS_EXECUTE;
    bool denied = false;
    u32 error = PF_P;

    if (!(cpu->cr0 & CR0_PG))
        return 0;
    if (user && !t->user)
        denied = true;
    if (is_write && !t->writable && (user || cpu->cr0 & CR0_WP))
        denied = true;
    if (is_fetch && !t->executable)
        denied = true;
    if (!user && t->user) {
        if (is_fetch && cpu->cr4 & CR4_SMEP)
            denied = true;
        if (!is_fetch && cpu->cr4 & CR4_SMAP && !ac)
            denied = true;
    }
    /* SDM 3A 4.6.2: keys rule data accesses to user pages, whoever makes them. PK joins other causes. */
    if (!is_fetch && t->user && cpu->cr4 & CR4_PKE && is_long(cpu)) {
        u32 rights = cpu->pkru >> (2 * t->key);
        bool access_disabled = rights & 1, write_disabled = rights & 2;

        if (access_disabled || (is_write && write_disabled && (user || cpu->cr0 & CR0_WP))) {
            denied = true;
            error |= PF_PK;
        }
    }
    return denied ? error : 0;
}

/* The bits of the error code that tell of the asker, not of the tables. */
static u32 asker_bits(const struct vcpu *cpu, const struct walk *w)
{
    unsigned right = w->access & ACCESS_RIGHT;
    u32 error = (right == ACCESS_WRITE ? PF_W : 0) | (w->user ? PF_U : 0);
    bool tells_fetch = cpu->cr4 & CR4_SMEP || (cpu->cr4 & CR4_PAE && cpu->efer & EFER_NXE);

    if (right == ACCESS_EXECUTE && tells_fetch)
        error |= PF_I;
    return error;
}

/* Finds the host's bytes of an entry, with read rights in the map. */
INLINE bool step_to(struct vcpu *cpu, struct walk *w, struct step *s, u64 gpa)
{
    s->gpa = gpa;
    s->page = ram_find(cpu->partition->ram, gpa);
    if (!(s->page & PAGE_READ)) {
        TELL(w, "entry at %llx: %s\n", (unsigned long long)gpa,
             s->page ? "not readable in the map" : "nothing is mapped there");
        w->table_gpa = gpa;
        w->table_write = false;
        return false;
    }
    s->host = (u8 *)(s->page & PAGE_MASK) + (gpa & ~PAGE_MASK);
    return true;
}

static enum walk_result fail(const struct vcpu *cpu, struct walk *w, enum walk_result result, u32 error)
{
    w->error = asker_bits(cpu, w) | error;
    return result;
}

/* Sets the accessed bits and the dirty bit of a finished walk, top first. *again: a table changed. */
static enum walk_result set_bits(struct vcpu *cpu, struct walk *w, struct step *steps, unsigned n,
                                 unsigned size, struct translation *t, bool *again)
{
    bool is_write = (w->access & ACCESS_RIGHT) == ACCESS_WRITE;

    for (unsigned i = 0; i < n; i++) {
        u64 bits = PTE_A | (i == n - 1 && is_write ? PTE_D : 0);

        if ((steps[i].entry & bits) == bits)
            continue;
        if (!(steps[i].page & PAGE_WRITE)) {
            TELL(w, "entry at %llx: its accessed and dirty bits can't be written\n",
                 (unsigned long long)steps[i].gpa);
            w->table_gpa = steps[i].gpa;
            w->table_write = true;
            return WALK_TABLE_UNMAPPED;
        }
        if (!entry_set(cpu, w, &steps[i], size, bits)) {
            *again = true;
            return WALK_OK;
        }
    }
    t->accessed = true;
    t->dirty |= is_write;
    return WALK_OK;
}

static enum walk_result walk_once(struct vcpu *cpu, struct walk *w, struct translation *t, bool *again)
{
    struct paging p = paging_of(cpu);
    struct step steps[5];
    unsigned n = 0, level = p.levels;
    u64 table = p.top, entry = 0;
    u32 denied;

    *t = (struct translation){.writable = true, .user = true, .executable = true, .accessed = true};
    if (p.entry_size == 8 && !is_long(cpu)) { /* PAE: the top level was loaded with CR3 */
        unsigned i = (unsigned)(w->linear >> 30) & 3;

        TELL(w, "PDPTE %u: %llx\n", i, (unsigned long long)cpu->pdpte[i]);
        if (!(cpu->pdpte[i] & PTE_P))
            return fail(cpu, w, WALK_NOT_PRESENT, 0);
        table = cpu->pdpte[i] & PTE_ADDRESS;
    }
    for (;; level--) {
        unsigned shift = 12 + p.bits * (level - 1);
        u64 index = (w->linear >> shift) & ones(p.bits), wrong;
        bool is_leaf;

        if (!step_to(cpu, w, &steps[n], table + index * p.entry_size))
            return WALK_TABLE_UNMAPPED;
        entry = steps[n].entry = entry_load(&steps[n], p.entry_size);
        n++;
        TELL(w, "level %u entry at %llx: %llx\n", level, (unsigned long long)steps[n - 1].gpa,
             (unsigned long long)entry);
        if (!(entry & PTE_P))
            return fail(cpu, w, WALK_NOT_PRESENT, 0);
        is_leaf =
            level == 1 || (entry & PTE_PS && (p.entry_size == 4 ? (bool)(cpu->cr4 & CR4_PSE) : level <= 3));
        wrong = entry & (p.reserved | reserved_at(cpu, &p, level, is_leaf && level > 1));
        if (wrong) {
            TELL(w, "  reserved bits are set: %llx\n", (unsigned long long)wrong);
            return fail(cpu, w, WALK_RESERVED, PF_P | PF_RSVD);
        }
        t->writable &= (entry & PTE_W) != 0;
        t->user &= (entry & PTE_U) != 0;
        t->accessed &= (entry & PTE_A) != 0;
        t->executable &= !(p.entry_size == 8 && entry & PTE_NX);
        if (is_leaf) {
            u64 base = entry & PTE_ADDRESS;

            t->size = (u64)1 << shift;
            if (p.entry_size == 4 && level == 2)
                base = (entry & 0xffc00000) | (entry & 0x1fe000) << 19;
            t->gpa = (base & ~(t->size - 1)) | (w->linear & (t->size - 1));
            break;
        }
        table = p.entry_size == 4 ? entry & 0xfffff000 : entry & PTE_ADDRESS;
    }
    t->global = entry & PTE_G && cpu->cr4 & CR4_PGE;
    t->dirty = entry & PTE_D;
    t->key = is_long(cpu) && cpu->cr4 & CR4_PKE ? (u8)(entry >> 59 & 15) : 0;
    denied = w->check_rights ? walk_denied(cpu, t, w->access, w->user, w->ac) : 0;
    if (denied) {
        TELL(w, "  %s%s%s page, not for this access\n", t->user ? "user" : "supervisor",
             t->writable ? "" : " read-only", t->executable ? "" : " no-execute");
        return fail(cpu, w, WALK_RIGHTS, denied);
    }
    return w->set_bits ? set_bits(cpu, w, steps, n, p.entry_size, t, again) : WALK_OK;
}

enum walk_result walk(struct vcpu *cpu, struct walk *w, struct translation *t)
{
    enum walk_result result;
    bool again;

    w->error = 0;
    if (!(cpu->cr0 & CR0_PG)) {
        *t = (struct translation){
            .writable = true, .user = true, .executable = true, .accessed = true, .dirty = true};
        t->gpa = w->linear;
        t->size = PAGE_SIZE;
        return WALK_OK;
    }
    do {
        again = false;
        if (w->story)
            w->story[0] = 0;
        result = walk_once(cpu, w, t, &again);
    } while (again);
    return result;
}

void walk_or_fault(struct vcpu *cpu, u64 linear, unsigned access, struct translation *t)
{
    struct walk w = {
        .linear = linear,
        .access = access,
        .user = cpu->cpl == 3 && !(access & ACCESS_SYSTEM),
        .ac = cpu->rflags & AC && !(access & ACCESS_SYSTEM),
        .set_bits = true,
        .check_rights = true,
    };

    switch (walk(cpu, &w, t)) {
    case WALK_OK: return;
    case WALK_TABLE_UNMAPPED:
        if (ram_find(cpu->partition->ram, w.table_gpa) & PAGE_OVERLAY)
            vcpu_raise(cpu, VECTOR_GP, 0);
        exit_memory(cpu, w.table_gpa, linear, false, w.table_write,
                    !ram_find(cpu->partition->ram, w.table_gpa));
    default: vcpu_raise_page_fault(cpu, linear, w.error);
    }
}

bool walk_pdpte_ok(const struct vcpu *cpu, u64 entry)
{
    return !(entry & PTE_P && entry & (beyond_physical(cpu) | 0xfff00000000001e6ull));
}

bool walk_load_pdptes(struct vcpu *cpu, u64 cr3)
{
    u64 entries[4], table = cr3 & 0xffffffe0, page;

    if (cpu->seam)
        return true; /* whoever gets the new CR3 loads them */
    page = ram_find(cpu->partition->ram, table);
    if (!(page & PAGE_READ))
        exit_memory(cpu, table, 0, false, 0, !page);
    for (unsigned i = 0; i < 4; i++) {
        entries[i] =
            __atomic_load_n((u64 *)((page & PAGE_MASK) + (table & ~PAGE_MASK)) + i, __ATOMIC_ACQUIRE);
        if (!walk_pdpte_ok(cpu, entries[i]))
            return false;
    }
    memcpy(cpu->pdpte, entries, sizeof(entries));
    return true;
}
