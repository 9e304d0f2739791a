/* SPDX-License-Identifier: MIT */
/* From one block to the next: for handlers that end a block. */
#ifndef CPU_BRANCH_H
#define CPU_BRANCH_H

#include "cpu/handler.h"

/* An exit that isn't linked, or that the limit forbids to take: the loop goes on at its address. */
next exit_taken(CPU, const struct exits *x);
next exit_fall(CPU, const struct exits *x);
next exit_undo(CPU, const struct insn *entry, u64 rip);

/* Goes on at an exit: counts the block that it's linked to, and enters it. */
#define GO(side, x)                                                                                                    \
    do {                                                                                                               \
        const struct insn *entry_ = (x)->side;                                                                         \
        if (unlikely((x)->side##_generation != cpu->generation))                                                       \
            return exit_##side(cpu, x);                                                                                \
        if (unlikely((cpu->count += BLOCK_SIZE(entry_)) > __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED)))                                                 \
            return exit_undo(cpu, entry_, cpu->code_base + (u64)(i64)(x)->side##_offset);                              \
        NEXT_AT(entry_);                                                                                               \
    } while (0)

/* Both ways of a conditional branch whose exits are at x. */
#define BRANCH_IF(yes, x)                                                                                              \
    do {                                                                                                               \
        const struct exits *x_ = (const struct exits *)(x);                                                            \
        if (yes)                                                                                                       \
            GO(taken, x_);                                                                                             \
        GO(fall, x_);                                                                                                  \
    } while (0)

#endif
