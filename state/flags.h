/* SPDX-License-Identifier: MIT */
/*
 * The six status flags, kept lazily in two words that every arithmetic result leaves behind:
 *
 *   result   sign-extended to 64 bits: ZF, SF and PF follow from it
 *   carries  63: CF | 62: OF ^ CF | 16: flips SF | 15..8: flips PF (by parity) | 3: AF
 *
 * The flips are zero after arithmetic; they let POPF, SAHF, COMISD set what no result has (ZF with SF, say).
 * Handlers see the functions below only.
 */
#ifndef STATE_FLAGS_H
#define STATE_FLAGS_H

#include "state/vcpu.h"

#define CARRY_CF ((u64)1 << 63)
#define CARRY_OF ((u64)1 << 62) /* xor CF */
#define CARRY_SF ((u64)1 << 16)
#define CARRY_PF ((u64)1 << 8)
#define CARRY_AF ((u64)1 << 3)

INLINE bool flag_cf(const struct vcpu *cpu)
{
    return cpu->carries >> 63;
}

INLINE bool flag_of(const struct vcpu *cpu)
{
    return (cpu->carries ^ cpu->carries << 1) >> 63;
}

INLINE bool flag_zf(const struct vcpu *cpu)
{
    return cpu->result == 0;
}

INLINE bool flag_sf(const struct vcpu *cpu)
{
    return (cpu->result ^ cpu->carries << 47) >> 63;
}

INLINE bool flag_pf(const struct vcpu *cpu)
{
    return !__builtin_parity((u8)(cpu->result ^ cpu->carries >> 8));
}

INLINE bool flag_af(const struct vcpu *cpu)
{
    return cpu->carries & CARRY_AF;
}

/*
 * The flags follow from a result of `width` bits and the vector of its carries: bit n the carry (or borrow) out of
 * bit n. Bits of either above the width don't matter.
 */
INLINE void flags_follow(struct vcpu *cpu, u64 result, u64 carries, unsigned width)
{
    cpu->result = sign_extend(result, width);
    if (width == 64)
        cpu->carries = carries & (CARRY_CF | CARRY_OF | CARRY_AF);
    else
        cpu->carries = carries << (64 - width) | (carries & CARRY_AF);
}

/* The same with CF, OF and AF told one by one. */
INLINE void flags_set(struct vcpu *cpu, u64 result, unsigned width, bool cf, bool of, bool af)
{
    cpu->result = sign_extend(result, width);
    cpu->carries = (u64)cf << 63 | (u64)(cf ^ of) << 62 | (u64)af << 3;
}

/* Logic: CF, OF clear; AF, which is undefined, clear as on AMD's and Intel's processors. */
INLINE void flags_logic(struct vcpu *cpu, u64 result, unsigned width)
{
    cpu->result = sign_extend(result, width);
    cpu->carries = 0;
}

/* The carry vectors of a + b (+ carry) = sum and of a - b (- borrow) = difference. */
INLINE u64 carries_add(u64 a, u64 b, u64 sum)
{
    return (a & b) | ((a | b) & ~sum);
}

INLINE u64 carries_sub(u64 a, u64 b, u64 difference)
{
    return (~a & b) | (~(a ^ b) & difference);
}

/* All six as RFLAGS has them, and back. */
INLINE u64 flags_read(const struct vcpu *cpu)
{
    return (u64)flag_cf(cpu) * CF | (u64)flag_pf(cpu) * PF | (u64)flag_af(cpu) * AF | (u64)flag_zf(cpu) * ZF |
           (u64)flag_sf(cpu) * SF | (u64)flag_of(cpu) * OF;
}

INLINE void flags_write(struct vcpu *cpu, u64 rflags)
{
    bool cf = rflags & CF, of = rflags & OF;
    u64 result = !(rflags & ZF);             /* 0: PF set, 1: PF clear */
    bool pf_of_result = rflags & ZF;

    cpu->result = result;
    cpu->carries = (u64)cf << 63 | (u64)(cf ^ of) << 62 | (rflags & SF ? CARRY_SF : 0) |
                   ((bool)(rflags & PF) != pf_of_result ? CARRY_PF : 0) | (rflags & AF ? CARRY_AF : 0);
}

/* Changes the flags in `which` only. */
INLINE void flags_change(struct vcpu *cpu, u64 which, u64 rflags)
{
    flags_write(cpu, (flags_read(cpu) & ~which) | (rflags & which));
}

/* CF alone: the cheap one. OF stays, so its bit flips with CF. */
INLINE void flags_set_cf(struct vcpu *cpu, bool cf)
{
    u64 change = (u64)(flag_cf(cpu) ^ cf);

    cpu->carries ^= change << 63 | change << 62;
}

/* RFLAGS whole. */
INLINE u64 rflags_read(const struct vcpu *cpu)
{
    return cpu->rflags | flags_read(cpu);
}

INLINE void rflags_write(struct vcpu *cpu, u64 rflags)
{
    flags_write(cpu, rflags);
    cpu->rflags = (rflags & (u64)(RFLAGS_ALL & ~STATUS)) | RFLAGS_FIXED;
}

/* Condition 0 to 15 as Jcc's opcode has it: O NO B NB Z NZ BE NBE S NS P NP L NL LE NLE. */
INLINE bool condition(const struct vcpu *cpu, unsigned cc)
{
    bool yes;

    switch (cc >> 1) {
    case 0: yes = flag_of(cpu); break;
    case 1: yes = flag_cf(cpu); break;
    case 2: yes = flag_zf(cpu); break;
    case 3: yes = flag_cf(cpu) || flag_zf(cpu); break;
    case 4: yes = flag_sf(cpu); break;
    case 5: yes = flag_pf(cpu); break;
    case 6: yes = flag_sf(cpu) != flag_of(cpu); break;
    default: yes = flag_zf(cpu) || flag_sf(cpu) != flag_of(cpu); break;
    }
    return yes ^ (cc & 1);
}

#endif
