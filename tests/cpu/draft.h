/* SPDX-License-Identifier: MIT */
/* A sequence while it is made: what its registers stand for, which flags may be read. */
#ifndef TESTS_CPU_DRAFT_H
#define TESTS_CPU_DRAFT_H

#include <Zydis/Zydis.h>

#include "tests/cpu/sequences.h"

struct draft {
    struct sequence *s;
    u64 random;
    u32 free;           /* registers that anything may be written to */
    unsigned base[2];   /* hold addresses of data; base[0] is a multiple of 16 */
    unsigned index;     /* holds 0 to 31 */
    u32 tainted;        /* status flags that are undefined here */
    bool failed;        /* out of room */
    bool has_newer;     /* instructions that not every host has: SSE3 to AVX2 and their like */
    bool has_gfni;
    bool is_amd;        /* the host is an AMD's, as the profile: nothing is undefined, and AMD's own are in */
    bool is_wide;       /* 64-bit code */
    bool is_16;         /* 16-bit code */
    bool has_segments;  /* of a local descriptor table */
    bool has_odd_data;  /* which no multiples of 16 begin, so that nothing is known to lie in one cache line */
    bool keeps_stack;   /* what is written by BP without a prefix is where the stack is */
    u8 call_prefix;     /* 66, if near calls and returns have one; else 0 */
    unsigned functions; /* called so far, to be appended */
    struct {
        u32 free;
        u8 caller; /* item */
        bool is_far;
    } function[8];
};

INLINE unsigned pick(struct draft *d, unsigned n) /* 0 to n - 1 */
{
    return (unsigned)(random_next(&d->random) >> 33) % n;
}

INLINE bool chance(struct draft *d, unsigned percent)
{
    return pick(d, 100) < percent;
}

INLINE unsigned any_register(struct draft *d)
{
    return pick(d, d->is_wide ? 16 : 8);
}

INLINE unsigned free_register(struct draft *d)
{
    unsigned n;

    do
        n = any_register(d);
    while (!(d->free >> n & 1));
    return n;
}

/* ModRM's number of a 16-bit base alone. */
INLINE unsigned base_16(unsigned base)
{
    return base == RBX ? 7 : base == RBP ? 6 : base == RSI ? 4 : 5;
}

/* Appends an instruction. NULL: it reads a flag that is undefined here, or there is no room. */
struct item *emit_bytes(struct draft *d, const u8 *bytes, unsigned size);
struct item *emit(struct draft *d, ZydisEncoderRequest *r);
/* The same unseen: bytes that may be no instruction. */
void emit_undecoded(struct draft *d, const u8 *bytes, unsigned size);
/* The same with a REX prefix, which 32-bit code does without. */
struct item *emit_rex(struct draft *d, const u8 *bytes, unsigned size);
#define EMIT(d, ...)                                                                                         \
    ({                                                                                                       \
        static const u8 bytes_[] = { __VA_ARGS__ };                                                          \
        emit_bytes(d, bytes_, sizeof bytes_);                                                                \
    })

/* Bytes as 32-bit code would have them, which has no memory operand in them: in 16-bit code with 66 turned. */
struct item *emit_turned(struct draft *d, const u8 *bytes, unsigned size);
/* An opcode with a /digit and a linear address in the data alone. */
struct item *emit_at(struct draft *d, const u8 *opcode, unsigned size, unsigned digit, u32 address);
#define EMIT_AT(d, digit, address, ...) emit_at(d, (const u8[]){ __VA_ARGS__ }, sizeof(u8[]){ __VA_ARGS__ }, digit, address)
/* The same with [base + disp8]. */
struct item *emit_by_base(struct draft *d, const u8 *opcode, unsigned size, unsigned digit, unsigned base, u8 displacement);
/* MOV DWORD [address], value, and WORD. */
void emit_store(struct draft *d, u32 address, u32 value);
void emit_store_word(struct draft *d, u32 address, u16 value);
u32 some_data(struct draft *d, unsigned size, unsigned alignment);

/* MOV r32, imm32, in 16-bit code of 16 bits where those are enough; an ADD that makes all status flags defined. */
struct item *emit_constant(struct draft *d, unsigned reg, u32 value);
struct item *emit_whole_constant(struct draft *d, unsigned reg, u32 value);
void emit_cleaner(struct draft *d);

/* One instruction of the tables, with operands of any kind. */
void emit_integer(struct draft *d);
void emit_compare(struct draft *d);
void emit_vector(struct draft *d);
void emit_upper_halves(struct draft *d);
void emit_x87(struct draft *d);
void emit_mmx(struct draft *d);
void emit_gather(struct draft *d);
void emit_bit_string(struct draft *d);
void emit_control(struct draft *d);
void emit_state(struct draft *d);
void emit_old(struct draft *d);
void emit_narrow_branch(struct draft *d);
void emit_moffs(struct draft *d);
void emit_line(struct draft *d);
void emit_string(struct draft *d);
void emit_division(struct draft *d);

/* anything.c: an instruction with any opcode, and any prefixes. */
void emit_anything(struct draft *d);

/* segments.c: the sequence's segments; a memory operand of 16-bit code; instructions that load segments, or look at them. */
void choose_segments(struct draft *d);
void put_memory_16(struct draft *d, ZydisEncoderRequest *r, ZydisEncoderOperand *o, unsigned size, bool written, bool aligned);
void emit_segment(struct draft *d);
/* A far call of a label that comes later. */
struct item *emit_far_call(struct draft *d);
/* The offset of a linear address in the segment that `segment` starts with. */
INLINE u32 offset_in(const struct draft *d, unsigned segment, u32 linear)
{
    return linear - d->s->ldt[LDT_OF(segment)].base;
}

/* excursions.c: the local table and the bases of 64-bit code, and instructions for them. */
void choose_far_places(struct draft *d);
void emit_far_place(struct draft *d);

/* flow.c: `size` bytes from `patch` on lead to where a label is put later; the offset of that in the code's segment. */
struct item *label_at(struct item *i, unsigned patch, unsigned size);
struct item *offset_at(struct item *i, unsigned patch, unsigned size);
void label_here(struct draft *d, struct item *i);

/* What belongs together, with others in between, which may go `depth` deeper. */
void emit_skipped(struct draft *d, unsigned depth);
void emit_bytes_between(struct draft *d);
void emit_loop(struct draft *d, unsigned depth);
void emit_call(struct draft *d);
void append_functions(struct draft *d); /* those that were called */
void emit_push_and_pop(struct draft *d, unsigned depth);
void emit_flags_by_stack(struct draft *d);
void emit_enter_and_leave(struct draft *d, unsigned depth);
void emit_patch(struct draft *d, unsigned depth);
void emit_wild_stack(struct draft *d);

/* generate.c: so many of anything; is this machine an AMD's? */
void emit_some(struct draft *d, unsigned n, unsigned depth);
bool host_is_amd(void);

ZydisRegister register_named(unsigned n, unsigned width);

#endif
