/* SPDX-License-Identifier: MIT */
/*
 * Aliases in guest-physical memory. The map is swept in the order of host addresses: where two or more mappings are
 * open at once, and one of them can be written, the host's bytes have another name.
 */
#include "mem/alias.h"

#include <stdlib.h>

#include "mem/ram.h"
#include "state/partition.h"

/* A mapping begins or ends at a host address. */
struct edge {
    u64 host;
    i32 step;      /* 1, or -1: an end */
    bool writable;
};

/* Host addresses, `to` excluded. */
struct span {
    u64 from, to;
};

struct aliases {
    u32 seen;       /* the generation of the map that was looked at */
    u32 changes;
    bool is_blind;  /* no memory to look with: anything may be an alias */
    size_t spans;
    struct span *span; /* in ascending order */
};

struct aliases *alias_new(void)
{
    return calloc(1, sizeof(struct aliases));
}

void alias_delete(struct aliases *aliases)
{
    if (aliases)
        free(aliases->span);
    free(aliases);
}

struct sweep {
    struct edge *edge;
    size_t edges, room;
    bool failed;
};

static void add_edges(void *context, u64 gpa, u8 *host, u64 size, u32 rights)
{
    struct sweep *s = context;
    u64 from = (u64)(uintptr_t)host;

    (void)gpa;
    if (s->edges + 2 > s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct edge *more = realloc(s->edge, room * sizeof *more);

        if (!more) {
            s->failed = true;
            return;
        }
        s->edge = more;
        s->room = room;
    }
    s->edge[s->edges++] = (struct edge){ from, 1, rights & PAGE_WRITE };
    s->edge[s->edges++] = (struct edge){ from + size, -1, rights & PAGE_WRITE };
}

static int by_host(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;

    return x->host < y->host ? -1 : x->host > y->host;
}

/* Joined with the one before where it follows on. False: no memory. */
static bool add_span(struct aliases *a, size_t *room, u64 from, u64 to)
{
    if (a->spans && a->span[a->spans - 1].to == from) {
        a->span[a->spans - 1].to = to;
        return true;
    }
    if (a->spans == *room) {
        size_t more = *room ? 2 * *room : 16;
        struct span *span = realloc(a->span, more * sizeof *span);

        if (!span)
            return false;
        a->span = span;
        *room = more;
    }
    a->span[a->spans++] = (struct span){ from, to };
    return true;
}

static bool find_spans(struct aliases *a, struct sweep *s)
{
    i64 open = 0, writable = 0;
    size_t room = 0;

    qsort(s->edge, s->edges, sizeof *s->edge, by_host);
    for (size_t i = 0; i < s->edges; i++) {
        const struct edge *e = &s->edge[i];

        if (i && open >= 2 && writable && s->edge[i - 1].host != e->host &&
            !add_span(a, &room, s->edge[i - 1].host, e->host))
            return false;
        open += e->step;
        writable += e->writable ? e->step : 0;
    }
    return true;
}

static bool is_same(const struct aliases *a, const struct aliases *b)
{
    return a->is_blind == b->is_blind && a->spans == b->spans &&
           (!a->spans || !memcmp(a->span, b->span, a->spans * sizeof *a->span));
}

u32 alias_look(struct partition *p)
{
    struct aliases *a = p->aliases, fresh = { .seen = p->generation };
    struct sweep sweep = { 0 };
    u32 changes;

    pthread_mutex_lock(&p->alias_lock);
    if (a->seen != fresh.seen) {
        ram_visit(p->ram, add_edges, &sweep);
        fresh.is_blind = sweep.failed || (sweep.edges && !find_spans(&fresh, &sweep));
        free(sweep.edge);
        fresh.changes = a->changes + !is_same(&fresh, a);
        free(a->span);
        *a = fresh;
    }
    changes = a->changes;
    pthread_mutex_unlock(&p->alias_lock);
    return changes;
}

bool alias_at(const struct partition *p, const u8 *host)
{
    const struct aliases *a = p->aliases;
    u64 address = (u64)(uintptr_t)host;
    size_t low = 0, high;

    if (a->is_blind)
        return true;
    for (high = a->spans; low < high;) {
        size_t middle = (low + high) / 2;

        if (address >= a->span[middle].to)
            low = middle + 1;
        else
            high = middle;
    }
    return low < a->spans && address >= a->span[low].from;
}
