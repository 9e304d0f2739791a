/* SPDX-License-Identifier: MIT */
/*
 * The translations that code was fetched by, apart from those of data. Links and jumps between blocks rely on them without
 * asking, so none is forgotten for another one's sake: when a page is translated anew, and by which tables, doesn't depend
 * on how code falls into blocks, or a run into pieces.
 */
#ifndef STATE_FETCHED_H
#define STATE_FETCHED_H

#include "state/types.h"

enum {
    FETCHED_SLOTS = 4096, /* a hash table by page and privilege */
    FETCHED_MOST = 2048   /* of them in use; then all are forgotten */
};

struct fetched_page {
    u64 key;   /* fetched_key(); 0: a slot never used */
    u64 epoch; /* of the table when it was translated: it has been forgotten where that is another now */
    u64 host, gpa;
    bool is_global;
};

struct fetched {
    struct fetched_page slot[FETCHED_SLOTS];
    u64 local, global; /* epochs: of what MOV CR3 forgets, and of global pages */
    u32 used;
    u64 large;     /* where pages larger than 4 KiB are among them: a bit for bits 35:30 of the address */
    u64 pages[64]; /* from which code was fetched since links were last broken: a bit for bits 23:12 */
};

INLINE u64 fetched_key(u64 linear, bool is_user)
{
    return (linear & PAGE_MASK) | 1 | (u64)is_user << 1;
}

/* The key's slot, or the free one where it would be. */
INLINE struct fetched_page *fetched_slot(const struct fetched *f, u64 key)
{
    u32 i = (u32)(key * 0x9e3779b97f4a7c15u >> 52);

    while (f->slot[i].key && f->slot[i].key != key)
        i = (i + 1) & (FETCHED_SLOTS - 1);
    return (struct fetched_page *)&f->slot[i];
}

/* NULL: not remembered. */
INLINE const struct fetched_page *fetched_find(const struct fetched *f, u64 linear, bool is_user)
{
    const struct fetched_page *p = fetched_slot(f, fetched_key(linear, is_user));

    return p->key && p->epoch == (p->is_global ? f->global : f->local) ? p : NULL;
}

#endif
