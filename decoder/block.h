/* SPDX-License-Identifier: MIT */
/* A processor's cache of decoded blocks, keyed by address and mode key. Belongs to one processor. */
#ifndef DECODER_BLOCK_H
#define DECODER_BLOCK_H

#include "decoder/ops.h"

enum { CODE_HASH = 1 << 14, CODE_PAGES = 1 << 12, BLOCK_INSNS = 48 };

/* A page of guest memory that blocks were decoded from. */
struct code_page {
    u64 gpa;
    struct block *blocks;
    struct code_page *next;
};

struct code {
    struct block *hash[CODE_HASH];
    struct code_page *page[CODE_PAGES];
    u64 size, used;     /* of pool, in bytes */
    _Alignas(64) u8 pool[];
};

/* Where the blocks at an address hang. By RIP too: one page of code may be mapped anywhere, as often as a guest likes. */
INLINE struct block **code_slot(struct code *code, u64 gpa, u64 rip)
{
    return &code->hash[(gpa ^ gpa >> 14 ^ (rip >> 12) * 0x9e5) & (CODE_HASH - 1)];
}

/* False: out of memory. */
bool code_init(struct vcpu *cpu);
void code_free(struct vcpu *cpu);

/*
 * The entry of the block at cpu->rip, decoded anew where there is none or its text has changed. May raise (#PF, #GP) or
 * leave. one: a block of one instruction, whose successor is always the run loop.
 */
const struct insn *block_find(struct vcpu *cpu, bool one);

/* Code was overwritten: kills the blocks that cpu->stale[] tells of, or has all compared where it doesn't tell. */
void code_settle(struct vcpu *cpu);

/* Forgets all blocks. Not while one runs. */
void code_forget(struct vcpu *cpu);

/* From now on memory may hold other bytes than when blocks were decoded: each is compared before it runs again. */
void code_doubt(struct vcpu *cpu);

/* stale.c's side of it, for block.c. code_claim(): from now on each processor's writes to the page are seen. The
 * loop may have its turn first; does nothing where there is one processor alone. */
void code_claim(struct vcpu *cpu, u64 gpa);
struct block *block_of(const struct insn *entry);
struct code_page *code_page_of(struct vcpu *cpu, u64 gpa, bool make);
void block_mark(struct vcpu *cpu, struct block *b, u64 gpa, u64 granules);
void block_kill(struct vcpu *cpu, struct block *b);
bool block_is_current(struct vcpu *cpu, struct block *b);
bool block_is_same(const u8 *memory, const u8 *text, unsigned size);

#endif
