/* SPDX-License-Identifier: MIT */
/*
 * The map of guest-physical memory: a tree of three levels. A region of 16 MiB that is mapped in one piece
 * has no leaf until somebody needs facts of single pages. Nodes stay until the map is deleted, so that
 * readers need no lock; map and unmap run while no processor does.
 */
#include "mem/ram.h"

#include <stdlib.h>

#include "mem/alias.h"
#include "state/host.h"

enum {
    LEAF_SHIFT = 12,
    LEAF_PAGES = 1 << 12, /* 16 MiB */
    MIDDLE_SHIFT = 24,
    MIDDLE_REGIONS = 1 << 12, /* 64 GiB */
    ROOT_SHIFT = 36,
    ROOT_MIDDLES = 1 << 16 /* 52 bits, the architecture's most */
};

#define REGION_SIZE ((u64)1 << MIDDLE_SHIFT)
#define SPACE_SIZE ((u64)1 << 52)

/* Facts that belong to a page of the guest, whatever is mapped there: code that was decoded stays known. */
#define KEPT_FACTS PAGE_CODE
#define RIGHTS (PAGE_READ | PAGE_WRITE | PAGE_EXECUTE | PAGE_TRACK)

/* 16 MiB. Pages' facts are the leaf's, where there is one; `whole` tells no more than the mapping then. */
struct region {
    struct page *leaf;
    u64 whole; /* host | facts of the first page, the others follow it; 0: nothing mapped, or the leaf knows */
};

/* TLFS "Overlay pages": they hide memory without being part of its map. */
struct overlay {
    u64 gpa;
    struct page page;
};

struct ram {
    struct aliases *aliases;
    u64 overlaid; /* a bit for what an overlay's address hashes to: OVERLAY_BIT */
    struct overlay overlay[MOST_OVERLAYS];
    u32 overlays;
    struct region *middle[ROOT_MIDDLES];
    u64 middles; /* the others were never made */
};

#define LEAF_SIZE (LEAF_PAGES * sizeof(struct page))
#define MIDDLE_SIZE (MIDDLE_REGIONS * sizeof(struct region))

struct ram *ram_new(void)
{
    struct ram *ram = host_alloc(sizeof(struct ram));

    if (ram)
        ram->aliases = alias_new();
    if (ram && !ram->aliases) {
        host_free(ram, sizeof *ram);
        return NULL;
    }
    return ram;
}

const struct aliases *ram_aliases(const struct ram *ram)
{
    return ram->aliases;
}

void ram_delete(struct ram *ram)
{
    if (!ram)
        return;
    for (unsigned i = 0; i < ROOT_MIDDLES; i++) {
        struct region *middle = ram->middle[i];

        if (!middle)
            continue;
        for (unsigned n = 0; n < MIDDLE_REGIONS; n++)
            host_free(middle[n].leaf, LEAF_SIZE);
        host_free(middle, MIDDLE_SIZE);
    }
    alias_delete(ram->aliases);
    host_free(ram, sizeof(struct ram));
}

static unsigned leaf_index(u64 gpa)
{
    return (unsigned)(gpa >> LEAF_SHIFT) & (LEAF_PAGES - 1);
}

/* The 16 MiB around gpa; NULL: nothing was ever mapped in its 64 GiB. */
static struct region *region_find(const struct ram *ram, u64 gpa)
{
    struct region *middle;

    if (unlikely(gpa >= SPACE_SIZE))
        return NULL;
    middle = __atomic_load_n(&ram->middle[gpa >> ROOT_SHIFT], __ATOMIC_ACQUIRE);
    return middle ? &middle[(gpa >> MIDDLE_SHIFT) & (MIDDLE_REGIONS - 1)] : NULL;
}

static struct region *region_make(struct ram *ram, u64 gpa)
{
    struct region **middle = &ram->middle[gpa >> ROOT_SHIFT];

    if (!*middle) {
        struct region *fresh = host_alloc(MIDDLE_SIZE);

        if (!fresh)
            return NULL;
        __atomic_store_n(middle, fresh, __ATOMIC_RELEASE);
        if (ram->middles <= gpa >> ROOT_SHIFT)
            ram->middles = (gpa >> ROOT_SHIFT) + 1;
    }
    return &(*middle)[(gpa >> MIDDLE_SHIFT) & (MIDDLE_REGIONS - 1)];
}

/* The leaf of a region, made from its whole where there is none yet. Processors may race to make it. NULL: no
 * memory. */
static struct page *leaf_make(struct region *region)
{
    struct page *leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE), *fresh;
    u64 whole;

    if (leaf)
        return leaf;
    fresh = host_alloc(LEAF_SIZE);
    if (!fresh)
        return NULL;
    whole = __atomic_load_n(&region->whole, __ATOMIC_RELAXED);
    for (unsigned i = 0; whole && i < LEAF_PAGES; i++)
        fresh[i].host = whole + (u64)i * PAGE_SIZE;
    if (__atomic_compare_exchange_n(&region->leaf, &leaf, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    host_free(fresh, LEAF_SIZE);
    return leaf;
}

/* How much of [gpa, end) lies in gpa's region. */
static u64 part_of(u64 gpa, u64 end)
{
    u64 next = (gpa | (REGION_SIZE - 1)) + 1;

    return (next < end ? next : end) - gpa;
}

/* What is mapped in [gpa, end) is about to go: the host's pages are there no longer. */
static void leave_hosts(struct ram *ram, u64 gpa, u64 end)
{
    u64 part;

    for (u64 at = gpa; at < end; at += part) {
        struct region *region = region_find(ram, at);
        u64 host;

        part = part_of(at, end);
        if (!region) {
            part = (at | (((u64)1 << ROOT_SHIFT) - 1)) + 1 - at; /* none in these 64 GiB */
        } else if (region->whole) {
            host = (region->whole & PAGE_MASK) + (u64)leaf_index(at) * PAGE_SIZE;
            alias_remove(ram->aliases, host, part, region->whole & PAGE_WRITE);
        } else if (region->leaf) {
            for (u64 n = 0; n < part / PAGE_SIZE; n++) {
                host = region->leaf[leaf_index(at) + n].host;
                if (host & ~(u64)PAGE_BELL)
                    alias_remove(ram->aliases, host & PAGE_MASK, PAGE_SIZE, host & PAGE_WRITE);
            }
        }
    }
}

bool ram_map(struct ram *ram, u64 gpa, u64 size, void *host, u32 rights)
{
    u64 end = gpa + size, to = (u64)(uintptr_t)host | (rights & RIGHTS), part;

    if (size > SPACE_SIZE || end > SPACE_SIZE)
        return false;
    for (u64 at = gpa; at < end; at += part) { /* whatever may fail comes first */
        struct region *region = region_make(ram, at);

        part = part_of(at, end);
        if (!region || (part < REGION_SIZE && !leaf_make(region)))
            return false;
    }
    leave_hosts(ram, gpa, end);
    alias_add(ram->aliases, to & PAGE_MASK, size, rights & PAGE_WRITE);
    for (u64 at = gpa; at < end; at += part, to += part) {
        struct region *region = region_find(ram, at);
        struct page *leaf = region->leaf;

        part = part_of(at, end);
        __atomic_store_n(&region->whole, part == REGION_SIZE ? to : 0, __ATOMIC_RELEASE);
        if (!leaf)
            continue;
        for (u64 n = 0; n < part / PAGE_SIZE; n++) {
            struct page *page = &leaf[leaf_index(at) + n];
            u64 kept = (page->granules ? KEPT_FACTS : 0) | (page->host & PAGE_BELL);

            __atomic_store_n(&page->host, (to + n * PAGE_SIZE) | kept, __ATOMIC_RELEASE);
        }
    }
    return true;
}

bool ram_unmap(struct ram *ram, u64 gpa, u64 size)
{
    bool found = false;
    u64 end = gpa + size, part;

    if (size > SPACE_SIZE || end > SPACE_SIZE)
        return false;
    leave_hosts(ram, gpa, end);
    for (u64 at = gpa; at < end; at += part) {
        struct region *region = region_find(ram, at);
        struct page *leaf;

        part = part_of(at, end);
        if (!region) {
            part = (at | (((u64)1 << ROOT_SHIFT) - 1)) + 1 - at; /* none in these 64 GiB */
            continue;
        }
        if (!region->leaf && !region->whole)
            continue;
        if (!region->leaf && part == REGION_SIZE) {
            __atomic_store_n(&region->whole, 0, __ATOMIC_RELEASE);
            found = true;
            continue;
        }
        leaf = leaf_make(region);
        if (!leaf) {
            /* No memory to keep the rest of the region: give up more than was asked, never less. */
            __atomic_store_n(&region->whole, 0, __ATOMIC_RELEASE);
            found = true;
            continue;
        }
        __atomic_store_n(&region->whole, 0, __ATOMIC_RELEASE);
        for (u64 n = 0; n < part / PAGE_SIZE; n++) {
            struct page *page = &leaf[leaf_index(at) + n];

            found |= (page->host & ~(u64)PAGE_BELL) != 0;
            __atomic_store_n(&page->host, page->host & PAGE_BELL, __ATOMIC_RELEASE);
        }
    }
    return found;
}

/* ---- overlays ---- */

#define OVERLAY_BIT(gpa) ((u64)1 << ((gpa) >> 12 & 63))

static COLD const struct overlay *overlay_find(const struct ram *ram, u64 gpa)
{
    for (u32 i = 0; i < ram->overlays; i++)
        if (ram->overlay[i].gpa == (gpa & PAGE_MASK))
            return &ram->overlay[i];
    return NULL;
}

void ram_overlay(struct ram *ram, void *host, u64 gpa, u32 rights)
{
    u32 n = 0;

    for (u32 i = 0; i < ram->overlays; i++)
        if (page_host(&ram->overlay[i].page) != host)
            ram->overlay[n++] = ram->overlay[i];
    if (gpa != ~(u64)0 && n < MOST_OVERLAYS)
        ram->overlay[n++] = (struct overlay){gpa, {.host = (u64)(uintptr_t)host | rights | PAGE_OVERLAY}};
    ram->overlays = n;
    ram->overlaid = 0;
    for (u32 i = 0; i < n; i++)
        ram->overlaid |= OVERLAY_BIT(ram->overlay[i].gpa);
    alias_note(ram->aliases); /* code that was decoded there is of another page now, whose writes nobody watches */
}

struct page *ram_page(struct ram *ram, u64 gpa)
{
    struct region *region = region_find(ram, gpa);
    struct page *leaf;

    if (unlikely(ram->overlaid & OVERLAY_BIT(gpa))) {
        const struct overlay *o = overlay_find(ram, gpa);

        if (o)
            return &ram->overlay[o - ram->overlay].page;
    }
    if (!region)
        return NULL;
    leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
    if (!leaf) {
        if (!__atomic_load_n(&region->whole, __ATOMIC_RELAXED))
            return NULL;
        leaf = leaf_make(region);
    }
    return leaf ? &leaf[leaf_index(gpa)] : NULL;
}

u64 ram_find(const struct ram *ram, u64 gpa)
{
    struct region *region = region_find(ram, gpa);
    struct page *leaf;
    u64 whole;

    if (unlikely(ram->overlaid & OVERLAY_BIT(gpa))) {
        const struct overlay *o = overlay_find(ram, gpa);

        if (o)
            return __atomic_load_n(&o->page.host, __ATOMIC_ACQUIRE);
    }
    if (!region)
        return 0;
    leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
    if (likely(leaf != NULL)) {
        u64 host = __atomic_load_n(&leaf[leaf_index(gpa)].host, __ATOMIC_ACQUIRE);

        return unlikely(host & PAGE_BELL) ? 0 : host;
    }
    whole = __atomic_load_n(&region->whole, __ATOMIC_ACQUIRE);
    return whole ? whole + (u64)leaf_index(gpa) * PAGE_SIZE : 0;
}

bool ram_hide(struct ram *ram, u64 gpa, bool is_hidden)
{
    struct region *region = region_make(ram, gpa);
    struct page *leaf = region ? leaf_make(region) : NULL;

    if (!leaf)
        return false;
    if (is_hidden)
        __atomic_fetch_or(&leaf[leaf_index(gpa)].host, PAGE_BELL, __ATOMIC_ACQ_REL);
    else
        __atomic_fetch_and(&leaf[leaf_index(gpa)].host, ~(u64)PAGE_BELL, __ATOMIC_ACQ_REL);
    return true;
}

void ram_dirty(struct ram *ram, u64 gpa)
{
    struct page *page = ram_page(ram, gpa);
    struct region *region;

    if (page) {
        ram_page_note(page, PAGE_DIRTY);
        return;
    }
    region = region_find(ram, gpa);
    if (region && __atomic_load_n(&region->whole, __ATOMIC_RELAXED))
        __atomic_fetch_or(&region->whole, PAGE_DIRTY, __ATOMIC_ACQ_REL);
}

/* The facts of all pages of a part of a region, or'ed; `all` has those that each of them has. */
static u64 facts_of(const struct region *region, u64 gpa, u64 pages, u64 *all)
{
    u64 some = 0;

    if (!region || !region->leaf)
        return *all = region ? region->whole & PAGE_FACTS : 0;
    *all = PAGE_FACTS;
    for (u64 n = 0; n < pages; n++) {
        some |= region->leaf[leaf_index(gpa) + n].host & PAGE_FACTS;
        *all &= region->leaf[leaf_index(gpa) + n].host;
    }
    return some;
}

static void take_one(u64 *host, u64 *bits, u64 first, u64 pages)
{
    if (!(__atomic_fetch_and(host, ~(u64)PAGE_DIRTY, __ATOMIC_ACQ_REL) & PAGE_DIRTY))
        return;
    for (u64 n = first; bits && n < first + pages; n++)
        bits[n / 64] |= (u64)1 << n % 64;
}

bool ram_take_dirty(struct ram *ram, u64 gpa, u64 size, u64 *bits)
{
    u64 end = gpa + size, part, all;

    for (u64 at = gpa; at < end; at += part) {
        part = part_of(at, end);
        (void)facts_of(region_find(ram, at), at, part / PAGE_SIZE, &all);
        if (!(all & PAGE_TRACK))
            return false;
    }
    if (bits)
        memset(bits, 0, (size / PAGE_SIZE + 63) / 64 * 8);
    for (u64 at = gpa; at < end; at += part) {
        struct region *region = region_find(ram, at);
        u64 first = (at - gpa) / PAGE_SIZE;

        part = part_of(at, end);
        if (!(facts_of(region, at, part / PAGE_SIZE, &all) & PAGE_DIRTY))
            continue;
        if (!region->leaf)
            take_one(&region->whole, bits, first, part / PAGE_SIZE); /* there was no memory to know which */
        for (u64 n = 0; region->leaf && n < part / PAGE_SIZE; n++)
            take_one(&region->leaf[leaf_index(at) + n].host, bits, first + n, 1);
    }
    return true;
}

bool ram_has_all(const struct ram *ram, u64 gpa, u64 size)
{
    u64 end = gpa + size, part;

    for (u64 at = gpa; at < end; at += part) {
        const struct region *region = region_find(ram, at);
        const struct page *leaf;

        part = part_of(at, end);
        if (!region)
            return false;
        if (__atomic_load_n(&region->whole, __ATOMIC_RELAXED))
            continue;
        leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
        if (!leaf)
            return false;
        for (u64 n = 0; n < part / PAGE_SIZE; n++) { /* processors that run note facts meanwhile */
            if (!(__atomic_load_n(&leaf[leaf_index(at) + n].host, __ATOMIC_RELAXED) & ~(u64)PAGE_BELL))
                return false;
        }
    }
    return true;
}

/* A run of mapped pages that grows until what follows doesn't continue it. */
struct run {
    u64 gpa, size, host; /* host: with rights */
};

static void run_end(struct run *run, ram_visit_fn *visit, void *context)
{
    if (run->size)
        visit(context, run->gpa, (u8 *)(run->host & PAGE_MASK), run->size, (u32)(run->host & RIGHTS));
    run->size = 0;
}

static void run_add(struct run *run, u64 gpa, u64 size, u64 host, ram_visit_fn *visit, void *context)
{
    host &= PAGE_MASK | RIGHTS;
    if (run->size && run->gpa + run->size == gpa && run->host + run->size == host) {
        run->size += size;
        return;
    }
    run_end(run, visit, context);
    *run = (struct run){gpa, size, host};
}

void ram_visit(struct ram *ram, ram_visit_fn *visit, void *context)
{
    struct run run = {0};

    for (u64 i = 0; i < ram->middles; i++) {
        const struct region *middle = ram->middle[i];

        for (u64 n = 0; middle && n < MIDDLE_REGIONS; n++) {
            u64 gpa = i << ROOT_SHIFT | n << MIDDLE_SHIFT;
            const struct page *leaf = __atomic_load_n(&middle[n].leaf, __ATOMIC_ACQUIRE);
            u64 whole = __atomic_load_n(&middle[n].whole, __ATOMIC_RELAXED);

            if (whole) {
                run_add(&run, gpa, REGION_SIZE, whole, visit, context);
                continue;
            }
            for (u64 p = 0; leaf && p < LEAF_PAGES; p++) { /* processors that run note facts meanwhile */
                u64 host = __atomic_load_n(&leaf[p].host, __ATOMIC_RELAXED);

                if (host & ~(u64)PAGE_BELL)
                    run_add(&run, gpa | p << LEAF_SHIFT, PAGE_SIZE, host, visit, context);
            }
        }
    }
    run_end(&run, visit, context);
}
