/* SPDX-License-Identifier: MIT */
/*
 * The tree behind mem/ram.h, of three levels. A region of 16 MiB that is mapped in one piece has no leaf until somebody
 * needs facts of single pages. Nodes stay until the map is deleted, so that readers need no lock; map and unmap run while
 * no processor does.
 */
#ifndef MEM_RAM_TREE_H
#define MEM_RAM_TREE_H

#include "mem/ram.h"
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

/* The pages of 16 MiB. Hosts apart from granules: a guest that touches pages at random makes lookups miss the cache. */
struct leaf {
    u64 host[LEAF_PAGES];
    u64 granules[LEAF_PAGES];
    u32 joints; /* pages whose mapping goes on in the next page's */
};

/* 16 MiB. Pages' facts are the leaf's, where there is one; `whole` tells no more than the mapping then. */
struct region {
    struct leaf *leaf;
    struct leaf *spare; /* isn't needed now; somebody may still be reading in it */
    u64 whole; /* host | facts of the first page, the others follow it; 0: nothing mapped, or the leaf knows */
};

/* TLFS "Overlay pages": they hide memory without being part of its map. */
struct overlay {
    u64 gpa, host, granules;
};

struct ram {
    struct aliases *aliases;
    u64 overlaid; /* a bit for what an overlay's address hashes to: OVERLAY_BIT */
    struct overlay overlay[MOST_OVERLAYS];
    u32 overlays;
    struct host_lock lock; /* of who makes a leaf; innermost */
    struct region *middle[ROOT_MIDDLES];
    u64 middles; /* the others were never made */
};

INLINE unsigned leaf_index(u64 gpa)
{
    return (unsigned)(gpa >> LEAF_SHIFT) & (LEAF_PAGES - 1);
}

/* The 16 MiB around gpa; NULL: nothing was ever mapped in its 64 GiB. */
INLINE struct region *region_find(const struct ram *ram, u64 gpa)
{
    struct region *middle;

    if (unlikely(gpa >= SPACE_SIZE))
        return NULL;
    middle = __atomic_load_n(&ram->middle[gpa >> ROOT_SHIFT], __ATOMIC_ACQUIRE);
    return middle ? &middle[(gpa >> MIDDLE_SHIFT) & (MIDDLE_REGIONS - 1)] : NULL;
}

/* How much of [gpa, end) lies in gpa's region. */
INLINE u64 part_of(u64 gpa, u64 end)
{
    u64 next = (gpa | (REGION_SIZE - 1)) + 1;

    return (next < end ? next : end) - gpa;
}

#endif
