/* SPDX-License-Identifier: MIT */
/* What is asked of ranges of guest-physical memory: written pages, whether all is mapped, each run of pages. */
#include "mem/ram_tree.h"

bool ram_is_together(const struct ram *ram, u64 gpa)
{
    const struct region *region = region_find(ram, gpa);

    return region && region->whole && !region->leaf;
}

void ram_dirty(struct ram *ram, u64 gpa)
{
    struct page page = ram_page(ram, gpa);
    struct region *region;

    if (page.host) {
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
        some |= region->leaf->host[leaf_index(gpa) + n] & PAGE_FACTS;
        *all &= region->leaf->host[leaf_index(gpa) + n];
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
            take_one(&region->leaf->host[leaf_index(at) + n], bits, first + n, 1);
    }
    return true;
}

bool ram_has_all(const struct ram *ram, u64 gpa, u64 size)
{
    u64 end = gpa + size, part;

    for (u64 at = gpa; at < end; at += part) {
        const struct region *region = region_find(ram, at);
        const struct leaf *leaf;

        part = part_of(at, end);
        if (!region)
            return false;
        if (__atomic_load_n(&region->whole, __ATOMIC_RELAXED))
            continue;
        leaf = __atomic_load_n(&region->leaf, __ATOMIC_ACQUIRE);
        if (!leaf)
            return false;
        for (u64 n = 0; n < part / PAGE_SIZE; n++) { /* processors that run note facts meanwhile */
            if (!(__atomic_load_n(&leaf->host[leaf_index(at) + n], __ATOMIC_RELAXED) & ~(u64)PAGE_BELL))
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
            const struct leaf *leaf = __atomic_load_n(&middle[n].leaf, __ATOMIC_ACQUIRE);
            u64 whole = __atomic_load_n(&middle[n].whole, __ATOMIC_RELAXED);

            if (whole) {
                run_add(&run, gpa, REGION_SIZE, whole, visit, context);
                continue;
            }
            for (u64 p = 0; leaf && p < LEAF_PAGES; p++) { /* processors that run note facts meanwhile */
                u64 host = __atomic_load_n(&leaf->host[p], __ATOMIC_RELAXED);

                if (host & ~(u64)PAGE_BELL)
                    run_add(&run, gpa | p << LEAF_SHIFT, PAGE_SIZE, host, visit, context);
            }
        }
    }
    run_end(&run, visit, context);
}
