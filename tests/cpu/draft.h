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
    bool is_amd;        /* the host is an AMD's, as the profile: nothing is undefined, and AMD's own are in */
    bool is_wide;       /* 64-bit code */
    unsigned functions; /* called so far, to be appended */
    struct {
        u32 free;
        u8 caller; /* item */
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

/* Appends an instruction. NULL: it reads a flag that is undefined here, or there is no room. */
struct item *emit_bytes(struct draft *d, const u8 *bytes, unsigned size);
struct item *emit(struct draft *d, ZydisEncoderRequest *r);
/* The same with a REX prefix, which 32-bit code does without. */
struct item *emit_rex(struct draft *d, const u8 *bytes, unsigned size);
#define EMIT(d, ...)                                                                                         \
    ({                                                                                                       \
        static const u8 bytes_[] = { __VA_ARGS__ };                                                          \
        emit_bytes(d, bytes_, sizeof bytes_);                                                                \
    })

/* MOV r32, imm32; an ADD that makes all status flags defined. */
struct item *emit_constant(struct draft *d, unsigned reg, u32 value);
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
void emit_string(struct draft *d);
void emit_division(struct draft *d);

ZydisRegister register_named(unsigned n, unsigned width);

#endif
