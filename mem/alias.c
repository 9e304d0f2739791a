/* SPDX-License-Identifier: MIT */
/*
 * How often each page of the host is mapped: a tree by host address, of three levels. What is mapped 16 MiB at a time
 * is counted once for them all; single pages are counted in a leaf.
 */
#include "mem/alias.h"

#include "state/host.h"

enum {
    LEAF_PAGES = 1 << 12, /* 16 MiB */
    MIDDLE_SHIFT = 24,
    MIDDLE_REGIONS = 1 << 12, /* 64 GiB */
    ROOT_SHIFT = 36,
    ROOT_MIDDLES = 1 << 21 /* 57 bits, what a host's processes can have */
};

#define REGION_SIZE ((u64)1 << MIDDLE_SHIFT)

/* Places where the guest finds a page: by writable mappings, index 1, and others. */
struct places {
    u32 n[2];
};

/* 16 MiB. A page's places are those of `all` and those of its entry in the leaf. */
struct region {
    struct places all;
    struct places *leaf;
};

struct aliases {
    u32 changes;
    bool is_blind;   /* there was no memory to count with: anything may be an alias */
    u64 first, last; /* of the middles: the others were never made */
    struct region *middle[ROOT_MIDDLES];
};

#define LEAF_SIZE (LEAF_PAGES * sizeof(struct places))
#define MIDDLE_SIZE (MIDDLE_REGIONS * sizeof(struct region))

struct aliases *alias_new(void)
{
    struct aliases *a = host_alloc(sizeof *a);

    if (a)
        a->first = ROOT_MIDDLES;
    return a;
}

void alias_delete(struct aliases *a)
{
    for (u64 i = a->first; i <= a->last; i++) {
        for (u64 n = 0; a->middle[i] && n < MIDDLE_REGIONS; n++)
            host_free(a->middle[i][n].leaf, LEAF_SIZE);
        host_free(a->middle[i], MIDDLE_SIZE);
    }
    host_free(a, sizeof *a);
}

static struct region *region_at(const struct aliases *a, u64 host)
{
    struct region *middle = host >> ROOT_SHIFT < ROOT_MIDDLES ? a->middle[host >> ROOT_SHIFT] : NULL;

    return middle ? &middle[(host >> MIDDLE_SHIFT) & (MIDDLE_REGIONS - 1)] : NULL;
}

/* NULL: no memory. */
static struct region *region_make(struct aliases *a, u64 host)
{
    u64 i = host >> ROOT_SHIFT;

    if (i >= ROOT_MIDDLES)
        return NULL;
    if (!a->middle[i])
        a->middle[i] = host_alloc(MIDDLE_SIZE);
    if (a->middle[i]) {
        a->first = i < a->first ? i : a->first;
        a->last = i > a->last ? i : a->last;
    }
    return region_at(a, host);
}

/* The pages' own entries, into which `spread` of the places that were counted for all now go. False: no memory. */
static bool leaf_make(struct region *r, bool kind, u32 spread)
{
    if (!r->leaf)
        r->leaf = host_alloc(LEAF_SIZE);
    if (!r->leaf)
        return false;
    for (unsigned i = 0; spread && i < LEAF_PAGES; i++)
        r->leaf[i].n[kind] += spread;
    r->all.n[kind] -= spread;
    return true;
}

static struct places places_of(const struct region *r, unsigned page)
{
    struct places sum = r->all;

    for (unsigned kind = 0; r->leaf && kind < 2; kind++)
        sum.n[kind] += r->leaf[page].n[kind];
    return sum;
}

static bool is_alias(struct places p)
{
    return p.n[1] && p.n[0] + p.n[1] > 1;
}

static unsigned page_index(u64 host)
{
    return (unsigned)(host >> 12) & (LEAF_PAGES - 1);
}

/* How much of [host, end) lies in host's region. */
static u64 part_of(u64 host, u64 end)
{
    u64 next = (host | (REGION_SIZE - 1)) + 1;

    return (next < end ? next : end) - host;
}

static void go_blind(struct aliases *a)
{
    a->is_blind = true;
    a->changes++;
}

void alias_add(struct aliases *a, u64 host, u64 size, bool is_writable)
{
    u64 end = host + size, part;

    for (; host < end && !a->is_blind; host += part) {
        struct region *r = region_make(a, host);

        part = part_of(host, end);
        if (r && part == REGION_SIZE) {
            r->all.n[is_writable]++;
            a->changes += r->leaf || is_alias(r->all);
        } else if (r && leaf_make(r, is_writable, 0)) {
            for (u64 n = 0; n < part / PAGE_SIZE; n++) {
                unsigned page = page_index(host) + (unsigned)n;

                r->leaf[page].n[is_writable]++;
                a->changes += is_alias(places_of(r, page));
            }
        } else {
            go_blind(a);
        }
    }
}

void alias_remove(struct aliases *a, u64 host, u64 size, bool is_writable)
{
    u64 end = host + size, part;

    for (; host < end && !a->is_blind; host += part) {
        struct region *r = region_at(a, host);

        part = part_of(host, end);
        if (part == REGION_SIZE && r->all.n[is_writable]) {
            r->all.n[is_writable]--;
            continue;
        }
        for (u64 n = 0; n < part / PAGE_SIZE && !a->is_blind; n++) {
            unsigned page = page_index(host) + (unsigned)n;

            if ((r->leaf && r->leaf[page].n[is_writable]) || leaf_make(r, is_writable, 1))
                r->leaf[page].n[is_writable]--;
            else
                go_blind(a);
        }
    }
}

bool alias_at(const struct aliases *a, u64 host)
{
    const struct region *r = region_at(a, host);

    return a->is_blind || (r && is_alias(places_of(r, page_index(host))));
}

void alias_note(struct aliases *a)
{
    a->changes++;
}

u32 alias_changes(const struct aliases *a)
{
    return a->changes;
}
