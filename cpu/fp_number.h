/* SPDX-License-Identifier: MIT */
/*
 * Binary floating-point numbers taken apart: what a format's bits say, and numbers as integers with an exponent, whose
 * leading bit stands so high that sums and products keep all their bits or a sticky one. IEEE 754.
 */
#ifndef CPU_FP_NUMBER_H
#define CPU_FP_NUMBER_H

#include "cpu/fp_exact.h"

INLINE u64 sign_of(const struct fp_format *f)
{
    return (u64)1 << (f->width - 1);
}

INLINE u64 infinity_of(const struct fp_format *f)
{
    return sign_of(f) - ((u64)1 << f->fraction);
}

INLINE u64 quiet_of(const struct fp_format *f)
{
    return (u64)1 << (f->fraction - 1);
}

INLINE i32 bias_of(const struct fp_format *f)
{
    return (i32)(infinity_of(f) >> (f->fraction + 1));
}

INLINE u64 magnitude_of(const struct fp_format *f, u64 v)
{
    return v & (sign_of(f) - 1);
}

INLINE bool is_nan(const struct fp_format *f, u64 v)
{
    return magnitude_of(f, v) > infinity_of(f);
}

INLINE bool is_signaling(const struct fp_format *f, u64 v)
{
    return is_nan(f, v) && !(v & quiet_of(f));
}

INLINE bool is_denormal(const struct fp_format *f, u64 v)
{
    u64 magnitude = magnitude_of(f, v);

    return magnitude && magnitude < (u64)1 << f->fraction;
}

/* m * 2^e. */
struct number {
    bool sign;
    u128 m; /* 0: the number is zero */
    i32 e;
};

enum { NUMBER_TOP = 125 }; /* where the leading bit of a normalized m is: two bits of room for sums */

/* The leading bit to NUMBER_TOP; what falls off stays as a sticky bit. */
void number_normalize(struct number *n);

/* Of a finite value. */
struct number number_unpack(const struct fp_format *f, u64 v);

/* A normalized number, not zero, in the format, rounded once. */
u64 number_round(const struct fp_format *f, const struct number *n, const struct fp_rounding *how, u32 *flags);

/* Of normalized numbers; a sum of zero has m = 0 and no sign to speak of. */
struct number number_add(struct number a, struct number b);
struct number number_multiply(const struct number *a, const struct number *b);

/* m without its low `count` bits, rounded as MXCSR's mode says. */
u64 number_shift(u128 m, unsigned count, unsigned mode, bool sign, bool *inexact);

#endif
