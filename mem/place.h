/* SPDX-License-Identifier: MIT */
/*
 * From a linear address to bytes. The hit is inline; everything else may raise an exception in the guest or leave
 * with a memory exit, and doesn't return then. Once you hold a place, loading, storing and committing can't fail.
 *
 * Two doors lead here. Fast handlers call place_hit(), and on NULL their cold twin calls place_operand(), which
 * fills cpu->place. Everything else (instruction bodies, event delivery, descriptor tables) uses struct place
 * objects of its own.
 */
#ifndef MEM_PLACE_H
#define MEM_PLACE_H

#include "state/vcpu.h"

/* ACCESS_WRITE also serves read-modify-write: it faults as a write, once, before anything was read. */
enum access {
    ACCESS_READ = 0,
    ACCESS_WRITE = 1,
    ACCESS_EXECUTE = 2,
    ACCESS_RIGHT = 3,      /* mask of the three above */
    ACCESS_SYSTEM = 1 << 2, /* implicit supervisor access, whatever CPL: descriptor tables, TSS, event delivery */
    ACCESS_PLAIN = 1 << 3,  /* never alignment-checked, whatever CR0.AM */
    ACCESS_ALIGNED = 1 << 4, /* must be naturally aligned: else #GP(0) (SSE) */
    ACCESS_READ_TOO = 1 << 5, /* with WRITE: the old bytes are needed (a seam then reads them first) */
    /* with WRITE: the instruction's (or the round's) only store, committed before anything else has changed. It may ring
     * a doorbell; the commit may leave, where the value rings none */
    ACCESS_RINGS = 1 << 6,
    ACCESS_PROBE = 1 << 7,   /* whether it is allowed is all that counts: a seam reads nothing */
    ACCESS_FLUSH = 1 << 8    /* with READ: of code that may not be read too (SDM 2A CLFLUSH; Zen 3) */
};

INLINE struct tlb_entry *tlb_entry(const struct vcpu *cpu, u64 linear)
{
    return (struct tlb_entry *)((char *)cpu->tlb + TLB_OFFSET(linear));
}

/* Where an access that crosses a page's end goes on: at zero, outside of 64-bit addresses, after the last. */
INLINE u64 next_page(const struct vcpu *cpu, u64 linear, unsigned access)
{
    u64 second = (linear & PAGE_MASK) + PAGE_SIZE;

    return in_code64(cpu) || (access & ACCESS_SYSTEM && in_long_mode(cpu)) ? second : (u32)second;
}

/* The host's address of a linear one, or NULL on a miss; page crossings miss. */
INLINE void *place_hit(const struct vcpu *cpu, u64 linear, unsigned size, bool write)
{
    const struct tlb_entry *e = tlb_entry(cpu, linear);
    u64 tag = write ? e->write : e->read;

    if (unlikely(((linear + size - 1) & PAGE_MASK) != tag))
        return NULL;
    void *host = (void *)(linear + e->addend);

    if (!host)
        __builtin_unreachable(); /* else each access gains a branch */
    return host;
}

/*
 * Resolves `size` (1 to 64) bytes at a linear address that segmentation has passed already. Fills p, does page walks, accessed
 * and dirty bits, alignment and breakpoint checks. access: enum access.
 */
void place_linear(struct vcpu *cpu, struct place *p, u64 linear, unsigned size, unsigned access);

/* The same behind a segment: offset is the effective address, already cut to the address size. */
void place_segment(struct vcpu *cpu, struct place *p, unsigned segment, u64 offset, unsigned size, unsigned access);

/* After p->bytes was stored to: makes it so in guest memory, tells whoever wants to know. Can't fail, but for
 * ACCESS_RINGS. */
void place_commit(struct vcpu *cpu, struct place *p);

/* For a locked access that found another value than it expected: it writes that back, SDM 2A CMPXCHG. */
void place_written_back(struct vcpu *cpu, struct place *p);

/* The same where of the bytes only those of `mask` were stored: a seam writes no others. */
void place_commit_masked(struct vcpu *cpu, struct place *p, u64 mask);

/*
 * LOCK: p (resolved with WRITE | READ_TOO) gets `desired` if it holds `expected`, atomically between processors.
 * False: it didn't, and *expected is what it holds now. Commits by itself. size 1, 2, 4, 8, 16.
 */
bool place_compare_exchange(struct vcpu *cpu, struct place *p, u128 *expected, u128 desired);

/* Does segment + offset, with limit, rights and canonical checks (#GP or #SS, error 0); returns the linear address. */
u64 segment_linear(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size, unsigned access);

/* The effective address of the instruction's memory operand, cut to its address size. */
u64 operand_offset(const struct vcpu *cpu, const struct insn *in);

/* The memory operand of an instruction, of any address form, resolved into p. */
void place_operand(struct vcpu *cpu, const struct insn *in, struct place *p, unsigned size, unsigned access);

/* The linear address of an operand that isn't plainly base + index + disp: any segment, any address size.
 * May raise; needs cpu->at. */
u64 operand_linear(struct vcpu *cpu, const struct insn *in, unsigned size, unsigned access);

/* Shorthands: read and write a value of 1 to 8 bytes at once. */
u64 mem_read(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size);
void mem_write(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size, u64 value);
u64 mem_read_linear(struct vcpu *cpu, u64 linear, unsigned size, unsigned access);
void mem_write_linear(struct vcpu *cpu, u64 linear, unsigned size, u64 value, unsigned access);

/*
 * Where code is fetched from: host address of the byte at `linear` (canonical, segment checks done), and its
 * gpa; fills the execute tag. Raises #PF or leaves with an execute exit.
 */
const u8 *fetch_page(struct vcpu *cpu, u64 linear, u64 *gpa);

#endif
