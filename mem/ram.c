/* SPDX-License-Identifier: MIT */
/* The map of guest-physical memory: making, changing and looking up. Its tree: mem/ram_tree.h. */
#include "mem/ram_tree.h"

#include <stdlib.h>

#include "mem/alias.h"

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
            host_free(middle[n].leaf, sizeof(struct leaf)), host_free(middle[n].spare, sizeof(struct leaf));
        host_free(middle, MIDDLE_SIZE);
    }
    alias_delete(ram->aliases);
    host_free(ram, sizeof(struct ram));
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

/* The leaf of a region, made from its whole where there is none yet. NULL: no memory. */
static struct leaf *leaf_make(struct ram *ram, struct region *region)
{
    struct leaf *leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
    u64 whole;

    if (leaf)
        return leaf;
    host_lock(&ram->lock); /* processors may race to make it */
    if (!region->leaf) {
        if (!region->spare)
            region->spare = host_alloc(sizeof *region->spare);
        leaf = region->spare;
        whole = __atomic_load_n(&region->whole, __ATOMIC_RELAXED);
        for (unsigned i = 0; leaf && i < LEAF_PAGES; i++)
            __atomic_store_n(&leaf->host[i], whole ? whole + (u64)i * PAGE_SIZE : 0, __ATOMIC_RELAXED);
        if (leaf) {
            leaf->joints = whole ? LEAF_PAGES - 1 : 0;
            region->spare = NULL;
            __atomic_store_n(&region->leaf, leaf, __ATOMIC_RELEASE);
        }
    }
    host_unlock(&ram->lock);
    return region->leaf;
}

/* Does page n's mapping go on in the next page's? */
static bool is_joint(const struct leaf *leaf, unsigned n)
{
    u64 here = leaf->host[n] & (PAGE_MASK | RIGHTS), next = leaf->host[n + 1] & (PAGE_MASK | RIGHTS);

    return here && next == here + PAGE_SIZE;
}

/* Changes what pages [n, n + count) of a leaf are: to `to` and its next ones, or to nothing. Facts that are kept stay. */
static void leaf_set(struct leaf *leaf, unsigned n, unsigned count, u64 to)
{
    unsigned first = n ? n - 1 : 0, last = n + count < LEAF_PAGES ? n + count : LEAF_PAGES - 1;

    for (unsigned i = first; i < last; i++)
        leaf->joints -= is_joint(leaf, i);
    for (unsigned i = n; i < n + count; i++) {
        u64 kept = (to && leaf->granules[i] ? KEPT_FACTS : 0) | (leaf->host[i] & PAGE_BELL);

        __atomic_store_n(&leaf->host[i], (to ? to + (u64)(i - n) * PAGE_SIZE : 0) | kept, __ATOMIC_RELEASE);
    }
    for (unsigned i = first; i < last; i++)
        leaf->joints += is_joint(leaf, i);
}

/* A region whose pages follow each other, and have no facts of their own, needs no leaf: however many calls mapped it. */
static void leaf_fold(struct region *region)
{
    struct leaf *leaf = region->leaf;
    u64 whole;

    if (!leaf || leaf->joints < LEAF_PAGES - 1)
        return;
    whole = leaf->host[0] & (PAGE_MASK | RIGHTS);
    for (unsigned i = 0; i < LEAF_PAGES; i++)
        if (leaf->host[i] != whole + (u64)i * PAGE_SIZE)
            return;
    __atomic_store_n(&region->whole, whole, __ATOMIC_RELEASE);
    __atomic_store_n(&region->leaf, NULL, __ATOMIC_RELEASE);
    region->spare = leaf;
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
                host = region->leaf->host[leaf_index(at) + n];
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
        if (!region || (part < REGION_SIZE && !leaf_make(ram, region)))
            return false;
    }
    leave_hosts(ram, gpa, end);
    alias_add(ram->aliases, to & PAGE_MASK, size, rights & PAGE_WRITE);
    for (u64 at = gpa; at < end; at += part, to += part) {
        struct region *region = region_find(ram, at);

        part = part_of(at, end);
        __atomic_store_n(&region->whole, part == REGION_SIZE ? to : 0, __ATOMIC_RELEASE);
        if (region->leaf)
            leaf_set(region->leaf, leaf_index(at), (unsigned)(part / PAGE_SIZE), to);
        leaf_fold(region);
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
        struct leaf *leaf;

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
        leaf = leaf_make(ram, region);
        __atomic_store_n(&region->whole, 0, __ATOMIC_RELEASE);
        if (!leaf) {
            found = true; /* no memory to keep the rest of the region: give up more than was asked, never less */
            continue;
        }
        for (u64 n = 0; n < part / PAGE_SIZE; n++)
            found |= (leaf->host[leaf_index(at) + n] & ~(u64)PAGE_BELL) != 0;
        leaf_set(leaf, leaf_index(at), (unsigned)(part / PAGE_SIZE), 0);
    }
    return found;
}

/* ---- overlays ---- */

#define OVERLAY_BIT(gpa) ((u64)1 << ((gpa) >> 12 & 63))

static COLD struct overlay *overlay_find(const struct ram *ram, u64 gpa)
{
    for (u32 i = 0; i < ram->overlays; i++)
        if (ram->overlay[i].gpa == (gpa & PAGE_MASK))
            return (struct overlay *)&ram->overlay[i];
    return NULL;
}

void ram_overlay(struct ram *ram, void *host, u64 gpa, u32 rights)
{
    u32 n = 0;

    for (u32 i = 0; i < ram->overlays; i++)
        if ((ram->overlay[i].host & PAGE_MASK) != (u64)(uintptr_t)host)
            ram->overlay[n++] = ram->overlay[i];
    if (gpa != ~(u64)0 && n < MOST_OVERLAYS)
        ram->overlay[n++] = (struct overlay){gpa, (u64)(uintptr_t)host | rights | PAGE_OVERLAY, 0};
    ram->overlays = n;
    ram->overlaid = 0;
    for (u32 i = 0; i < n; i++)
        ram->overlaid |= OVERLAY_BIT(ram->overlay[i].gpa);
    alias_note(ram->aliases); /* code that was decoded there is of another page now, whose writes nobody watches */
}

struct page ram_page(struct ram *ram, u64 gpa)
{
    struct region *region = region_find(ram, gpa);
    struct leaf *leaf;

    if (unlikely(ram->overlaid & OVERLAY_BIT(gpa))) {
        struct overlay *o = overlay_find(ram, gpa);

        if (o)
            return (struct page){ &o->host, &o->granules };
    }
    if (!region)
        return (struct page){ NULL, NULL };
    leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
    if (!leaf && __atomic_load_n(&region->whole, __ATOMIC_RELAXED))
        leaf = leaf_make(ram, region);
    if (!leaf)
        return (struct page){ NULL, NULL };
    return (struct page){ &leaf->host[leaf_index(gpa)], &leaf->granules[leaf_index(gpa)] };
}

u64 ram_find(const struct ram *ram, u64 gpa)
{
    struct region *region = region_find(ram, gpa);
    const struct leaf *leaf;
    u64 whole;

    if (unlikely(ram->overlaid & OVERLAY_BIT(gpa))) {
        const struct overlay *o = overlay_find(ram, gpa);

        if (o)
            return __atomic_load_n(&o->host, __ATOMIC_ACQUIRE);
    }
    if (!region)
        return 0;
    leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
    if (likely(leaf != NULL)) {
        u64 host = __atomic_load_n(&leaf->host[leaf_index(gpa)], __ATOMIC_ACQUIRE);

        return unlikely(host & PAGE_BELL) ? 0 : host;
    }
    whole = __atomic_load_n(&region->whole, __ATOMIC_ACQUIRE);
    return whole ? whole + (u64)leaf_index(gpa) * PAGE_SIZE : 0;
}

bool ram_hide(struct ram *ram, u64 gpa, bool is_hidden)
{
    struct region *region = region_make(ram, gpa);
    struct leaf *leaf = region ? leaf_make(ram, region) : NULL;

    if (!leaf)
        return false;
    if (is_hidden)
        __atomic_fetch_or(&leaf->host[leaf_index(gpa)], PAGE_BELL, __ATOMIC_ACQ_REL);
    else
        __atomic_fetch_and(&leaf->host[leaf_index(gpa)], ~(u64)PAGE_BELL, __ATOMIC_ACQ_REL);
    return true;
}
