/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical memory: which page is which bytes of the caller, with which rights, and who wants to know of
 * writes. A tree of pages; a large mapping takes no more than a leaf for each 16 MiB that needs page-wise
 * facts.
 */
#ifndef MEM_RAM_H
#define MEM_RAM_H

#include "state/types.h"

struct partition;
struct vcpu;

enum {
    PAGE_READ = 1, /* as WHV_MAP_GPA_RANGE_FLAGS */
    PAGE_WRITE = 2,
    PAGE_EXECUTE = 4,
    PAGE_TRACK = 8,  /* the caller asked for a dirty bitmap */
    PAGE_DIRTY = 16, /* written since the last query */
    PAGE_CODE = 32,  /* blocks were decoded from it: `granules` tells from where */
    PAGE_BELL = 64, /* a doorbell is in it, which hides what is mapped: ram_find() finds nothing */
    PAGE_OVERLAY = 128, /* a page of ours: what its rights don't allow is #GP, and no exit */
    PAGE_FACTS = 0xfff
};

/* Where a page's facts are; both NULL: nowhere. They live until the next map or unmap, and are written atomically. */
struct page {
    u64 *host;     /* address of its first byte | PAGE_* ; 0: not mapped */
    u64 *granules; /* bit n: code was decoded from bytes 64n to 64n + 63 */
};

struct ram;
struct aliases;

struct ram *ram_new(void);
void ram_delete(struct ram *ram);

/* size and both addresses in whole pages, checked by the caller. Replaces what is mapped there. False: out of
 * memory, nothing changed. */
bool ram_map(struct ram *ram, u64 gpa, u64 size, void *host, u32 rights);
/* False: no page of the range was mapped. */
bool ram_unmap(struct ram *ram, u64 gpa, u64 size);

/*
 * Puts a page of the host over whatever is mapped, or will be, at gpa, with its own rights; it has one place at a time.
 * ~0: nowhere. While no processor runs, all of which then have to forget their translations. At most MOST_OVERLAYS.
 */
enum { MOST_OVERLAYS = 256 };
void ram_overlay(struct ram *ram, void *host, u64 gpa, u32 rights);

/* What is at a guest-physical address; nowhere or host 0: nothing. May allocate its leaf. */
struct page ram_page(struct ram *ram, u64 gpa);

/* Lookup that allocates nothing: host | rights, 0 where nothing is mapped. */
u64 ram_find(const struct ram *ram, u64 gpa);

INLINE u8 *page_host(struct page page)
{
    return (u8 *)(__atomic_load_n(page.host, __ATOMIC_RELAXED) & PAGE_MASK);
}

/* Sets facts of a page (PAGE_DIRTY, PAGE_CODE). */
INLINE void ram_page_note(struct page page, u64 facts)
{
    __atomic_fetch_or(page.host, facts, __ATOMIC_ACQ_REL);
}

/* A write to a tracked page is about to happen: PAGE_DIRTY. Without memory for a leaf, for the whole 16 MiB
 * around. */
void ram_dirty(struct ram *ram, u64 gpa);

/* The page of gpa is hidden from now on, or shows again. While no processor runs. False: no memory. */
bool ram_hide(struct ram *ram, u64 gpa, bool is_hidden);

/* Which of the host's pages are mapped more than once: mem/alias.h. */
const struct aliases *ram_aliases(const struct ram *ram);

/*
 * Which pages of [gpa, gpa + size) have PAGE_DIRTY, from bit 0 of the first word on; they lose it. While no
 * processor runs, who then has to forget its translations. bits may be NULL. False: some page isn't mapped with
 * PAGE_TRACK, and nothing changed.
 */
bool ram_take_dirty(struct ram *ram, u64 gpa, u64 size, u64 *bits);

/* Has the region of 16 MiB around gpa become one piece, however many calls mapped it? As fast as such a mapping, then. */
bool ram_is_together(const struct ram *ram, u64 gpa);

/* Is something mapped at each page of the range, whatever its rights? */
bool ram_has_all(const struct ram *ram, u64 gpa, u64 size);

/* Calls back for each run of mapped pages in ascending order: hashing, digest, dirty bitmap. */
typedef void ram_visit_fn(void *context, u64 gpa, u8 *host, u64 size, u32 rights);
void ram_visit(struct ram *ram, ram_visit_fn *visit, void *context);

#endif
