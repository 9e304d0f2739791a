/* SPDX-License-Identifier: MIT */
/* A caller whose arguments are garbage: what tests/whp/garbage*.c share. */
#ifndef TESTS_WHP_GARBAGE_H
#define TESTS_WHP_GARBAGE_H

#include "tests/whp/chance.h"
#include "tests/whp/guest.h"

enum { ROOM = 1 << 16 };

struct caller {
    struct chance chance;
    u64 rounds, done;
    u32 worst; /* an HRESULT that should not be */
    int worst_call;
    int event; /* an eventfd */
    _Alignas(16) u8 room[ROOM + 64];
};

/* A number at some edge, or any. */
u64 garbage_number(struct chance *c);

/* One of those that threads share, or something near one. */
WHV_PARTITION_HANDLE garbage_partition(struct chance *c);
u32 garbage_index(struct chance *c);

/* NULL, or a place with all of ROOM behind it, perhaps misaligned. */
void *garbage_place(struct caller *a);

/* NULL, or room for what has a type, which brings its alignment. */
void *garbage_typed(struct caller *a);

/* A size that a callee may believe. */
u32 garbage_size(struct chance *c);
void *garbage_u32(struct caller *a);

/* One call of those about state, lists, interrupts and counters: mostly sensible, so that it gets far. */
HRESULT garbage_state_call(struct caller *a);

#endif
