/* SPDX-License-Identifier: MIT */
/* Numbers as integers with an exponent: taking apart, adding, multiplying, and the one rounding. SDM 1, 4.8 and 4.9. */
#include "cpu/fp_number.h"

const struct fp_format fp_half = { 16, 10 }, fp_single = { 32, 23 }, fp_double = { 64, 52 };

struct fp_rounding fp_rounding_of(u32 mxcsr)
{
    return (struct fp_rounding){ .mode = mxcsr >> 13 & 3,
                                 .zero_operands = mxcsr & MXCSR_DAZ,
                                 .zero_results = (mxcsr & MXCSR_FTZ) && (mxcsr & MXCSR_UM),
                                 .traps_tiny = !(mxcsr & MXCSR_UM),
                                 .traps_huge = !(mxcsr & MXCSR_OM) };
}

static unsigned leading_bit(u128 m)
{
    u64 high = (u64)(m >> 64);

    return high ? 127 - (unsigned)__builtin_clzll(high) : 63 - (unsigned)__builtin_clzll((u64)m);
}

void number_normalize(struct number *n)
{
    unsigned at;

    if (!n->m)
        return;
    at = leading_bit(n->m);
    if (at > NUMBER_TOP)
        n->m = n->m >> (at - NUMBER_TOP) | !!(n->m & (((u128)1 << (at - NUMBER_TOP)) - 1));
    else
        n->m <<= NUMBER_TOP - at;
    n->e += (i32)at - NUMBER_TOP;
}

struct number number_unpack(const struct fp_format *f, u64 v)
{
    u64 magnitude = magnitude_of(f, v), one_bit = (u64)1 << f->fraction;
    i32 exponent = (i32)(magnitude >> f->fraction);
    struct number n = { .sign = v & sign_of(f), .m = magnitude & (one_bit - 1) };

    n.e = (exponent ? exponent : 1) - bias_of(f) - (i32)f->fraction;
    if (exponent)
        n.m |= one_bit;
    number_normalize(&n);
    return n;
}

u64 number_shift(u128 m, unsigned count, unsigned mode, bool sign, bool *inexact)
{
    u128 kept = count < 128 ? m >> count : 0, rest = m - (count < 128 ? kept << count : 0);
    u128 half = count <= 128 ? (u128)1 << (count - 1) : 0; /* past that, rest is less than a half */
    bool up;

    *inexact = rest != 0;
    if (mode == 0)
        up = half && (rest > half || (rest == half && (kept & 1)));
    else
        up = rest && mode == (sign ? 1 : 2);
    return (u64)kept + up;
}

/*
 * Where underflow or overflow is unmasked, it is the result with an unbounded exponent that is inexact or not
 * (SDM 1, 4.9.1.4 and 4.9.1.5).
 */
u64 number_round(const struct fp_format *f, const struct number *n, const struct fp_rounding *how, u32 *flags)
{
    u64 sign = n->sign ? sign_of(f) : 0, m;
    unsigned drop = NUMBER_TOP - f->fraction;
    i32 exponent = n->e + NUMBER_TOP + bias_of(f); /* biased */
    bool unbounded, inexact, tiny;

    m = number_shift(n->m, drop, how->mode, n->sign, &unbounded);
    inexact = unbounded;
    tiny = exponent + (m >> (f->fraction + 1) ? 1 : 0) <= 0; /* after rounding, the exponent unbounded */
    if (tiny && how->zero_results) {
        *flags |= MXCSR_UE | MXCSR_PE;
        return sign;
    }
    if (exponent <= 0) {
        drop += (unsigned)(1 - exponent);
        m = number_shift(n->m, drop > 200 ? 200 : drop, how->mode, n->sign, &inexact);
        exponent = 1;
    }
    if (tiny && how->traps_tiny)
        inexact = unbounded;
    if (tiny && (inexact || how->traps_tiny))
        *flags |= MXCSR_UE;
    if (inexact)
        *flags |= MXCSR_PE;
    /* The leading bit counts as one in the exponent; a denormal has none, a carry one more. */
    m += ((u64)(exponent - 1) << f->fraction);
    if (exponent > 2 * bias_of(f) + 1 || m >= infinity_of(f)) {
        bool away = how->mode == 0 || how->mode == (n->sign ? 1 : 2);

        *flags |= MXCSR_OE | (how->traps_huge ? 0 : MXCSR_PE);
        return sign | (away ? infinity_of(f) : infinity_of(f) - 1);
    }
    return sign | m;
}

/* a + b, neither normalized for it: the smaller keeps a sticky bit. Both zero, or the sum is: m is 0. */
struct number number_add(struct number a, struct number b)
{
    struct number big = a, small = b;
    unsigned distance;

    if (!a.m || (b.m && (b.e > a.e || (b.e == a.e && b.m > a.m)))) {
        big = b;
        small = a;
    }
    if (!small.m)
        return big;
    distance = (unsigned)(big.e - small.e);
    if (distance > NUMBER_TOP)
        small.m = 1;
    else if (distance)
        small.m = small.m >> distance | !!(small.m & (((u128)1 << distance) - 1));
    big.m = big.sign == small.sign ? big.m + small.m : big.m - small.m;
    number_normalize(&big);
    return big;
}

/* Of numbers, exact: their 53 bits are the top ones. */
struct number number_multiply(const struct number *a, const struct number *b)
{
    struct number r = { a->sign ^ b->sign, (u128)(u64)(a->m >> 64) * (u64)(b->m >> 64), a->e + b->e + 128 };

    number_normalize(&r);
    return r;
}
