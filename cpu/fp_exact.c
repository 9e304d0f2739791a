/* SPDX-License-Identifier: MIT */
/*
 * Floating point in integers. A finite number other than zero is m * 2^e with m's leading bit at TOP, so that
 * sums and products keep all their bits or a sticky one. IEEE 754; SDM 1, 11.5 and 14.5 for flags and NaNs.
 */
#include "cpu/fp_exact.h"

#include "cpu/fp.h"

const struct fp_format fp_half = { 16, 10 }, fp_single = { 32, 23 }, fp_double = { 64, 52 };

enum { TOP = 125 }; /* two bits of room for sums */

static u64 sign_of(const struct fp_format *f)
{
    return (u64)1 << (f->width - 1);
}

static u64 infinity_of(const struct fp_format *f)
{
    return sign_of(f) - ((u64)1 << f->fraction);
}

static u64 quiet_of(const struct fp_format *f)
{
    return (u64)1 << (f->fraction - 1);
}

static i32 bias_of(const struct fp_format *f)
{
    return (i32)(infinity_of(f) >> (f->fraction + 1));
}

static u64 magnitude_of(const struct fp_format *f, u64 v)
{
    return v & (sign_of(f) - 1);
}

static bool is_nan(const struct fp_format *f, u64 v)
{
    return magnitude_of(f, v) > infinity_of(f);
}

static bool is_signaling(const struct fp_format *f, u64 v)
{
    return is_nan(f, v) && !(v & quiet_of(f));
}

static bool is_denormal(const struct fp_format *f, u64 v)
{
    u64 magnitude = magnitude_of(f, v);

    return magnitude && magnitude < (u64)1 << f->fraction;
}

struct number {
    bool sign;
    u128 m; /* 0: the number is zero */
    i32 e;
};

static unsigned leading_bit(u128 m)
{
    u64 high = (u64)(m >> 64);

    return high ? 127 - (unsigned)__builtin_clzll(high) : 63 - (unsigned)__builtin_clzll((u64)m);
}

/* The leading bit to TOP; what falls off stays as a sticky bit. */
static void normalize(struct number *n)
{
    unsigned at;

    if (!n->m)
        return;
    at = leading_bit(n->m);
    if (at > TOP)
        n->m = n->m >> (at - TOP) | !!(n->m & (((u128)1 << (at - TOP)) - 1));
    else
        n->m <<= TOP - at;
    n->e += (i32)at - TOP;
}

static struct number unpack(const struct fp_format *f, u64 v)
{
    u64 magnitude = magnitude_of(f, v), one_bit = (u64)1 << f->fraction;
    i32 exponent = (i32)(magnitude >> f->fraction);
    struct number n = { .sign = v & sign_of(f), .m = magnitude & (one_bit - 1) };

    n.e = (exponent ? exponent : 1) - bias_of(f) - (i32)f->fraction;
    if (exponent)
        n.m |= one_bit;
    normalize(&n);
    return n;
}

/* m without its low `count` bits, by the mode. */
static u64 shift_rounded(u128 m, unsigned count, unsigned mode, bool sign, bool *inexact)
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
static u64 round_to(const struct fp_format *f, const struct number *n, const struct fp_rounding *how,
                    u32 *flags)
{
    u64 sign = n->sign ? sign_of(f) : 0, m;
    unsigned drop = TOP - f->fraction;
    i32 exponent = n->e + TOP + bias_of(f); /* biased */
    bool unbounded, inexact, tiny;

    m = shift_rounded(n->m, drop, how->mode, n->sign, &unbounded);
    inexact = unbounded;
    tiny = exponent + (m >> (f->fraction + 1) ? 1 : 0) <= 0; /* after rounding, the exponent unbounded */
    if (tiny && how->zero_results) {
        *flags |= MXCSR_UE | MXCSR_PE;
        return sign;
    }
    if (exponent <= 0) {
        drop += (unsigned)(1 - exponent);
        m = shift_rounded(n->m, drop > 200 ? 200 : drop, how->mode, n->sign, &inexact);
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

u64 fp_to_integer(const struct fp_format *f, u64 v, unsigned mode, bool zero_operand, u32 *flags)
{
    const u64 one_bit = (u64)1 << f->fraction, one = (u64)bias_of(f) << f->fraction;
    u64 sign = v & sign_of(f), magnitude = v ^ sign, rest, unit;
    bool up;

    if (is_nan(f, v)) {
        *flags |= is_signaling(f, v) ? MXCSR_IE : 0;
        return v | quiet_of(f);
    }
    if (zero_operand && magnitude < one_bit)
        return sign;
    if (magnitude < one) {
        unit = one;
        rest = magnitude;
        up = rest > one - one_bit; /* above a half; the half itself goes to the even zero */
    } else {
        u64 exponent = (magnitude >> f->fraction) - (u64)bias_of(f);

        if (exponent >= f->fraction)
            return v;
        unit = one_bit >> exponent;
        rest = magnitude & (unit - 1);
        up = rest > unit / 2 || (rest == unit / 2 && (magnitude & unit));
    }
    if (!rest)
        return v;
    *flags |= MXCSR_PE;
    if (mode != 0)
        up = mode == (sign ? 1 : 2);
    return sign | (magnitude - rest + (up ? unit : 0)); /* a carry goes into the exponent */
}

/* a + b, neither normalized for it: the smaller keeps a sticky bit. Both zero, or the sum is: m is 0. */
static struct number add(struct number a, struct number b)
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
    if (distance > TOP)
        small.m = 1;
    else if (distance)
        small.m = small.m >> distance | !!(small.m & (((u128)1 << distance) - 1));
    big.m = big.sign == small.sign ? big.m + small.m : big.m - small.m;
    normalize(&big);
    return big;
}

/* Of numbers, exact: their 53 bits are the top ones. */
static struct number multiply(const struct number *a, const struct number *b)
{
    struct number r = { a->sign ^ b->sign, (u128)(u64)(a->m >> 64) * (u64)(b->m >> 64), a->e + b->e + 128 };

    normalize(&r);
    return r;
}

/* Inf * 0, or Inf - Inf. */
static bool is_invalid(const struct fp_format *f, const struct fp_fused *v, bool product_sign, bool c_sign)
{
    u64 a = magnitude_of(f, v->a), b = magnitude_of(f, v->b), c = magnitude_of(f, v->c);
    u64 infinity = infinity_of(f);

    if ((a == infinity && !b) || (b == infinity && !a))
        return true;
    return (a == infinity || b == infinity) && c == infinity && product_sign != c_sign;
}

u64 fp_fused(const struct fp_format *f, const struct fp_fused *in, const struct fp_rounding *how, u32 *flags)
{
    struct fp_fused v = *in;
    u64 *const operand[3] = { &v.a, &v.b, &v.c };
    u64 infinity = infinity_of(f);
    struct number a, b, c, r;
    bool denormal = false, product_sign, c_sign;

    for (unsigned i = 0; i < 3; i++) {
        if (is_signaling(f, *operand[i]))
            *flags |= MXCSR_IE;
        if (is_denormal(f, *operand[i]) && how->zero_operands)
            *operand[i] &= sign_of(f);
        denormal = denormal || is_denormal(f, *operand[i]);
    }
    product_sign = ((v.a ^ v.b) & sign_of(f)) != 0;
    product_sign ^= v.negates_product;
    c_sign = (v.c & sign_of(f)) != 0;
    c_sign ^= v.negates_c;
    for (unsigned i = 0; i < 3; i++)
        if (is_nan(f, *operand[i]))
            return *operand[i] | quiet_of(f);
    if (is_invalid(f, &v, product_sign, c_sign)) {
        *flags |= MXCSR_IE;
        return sign_of(f) | infinity | quiet_of(f);
    }
    if (denormal)
        *flags |= MXCSR_DE;
    if (magnitude_of(f, v.a) == infinity || magnitude_of(f, v.b) == infinity)
        return (product_sign ? sign_of(f) : 0) | infinity;
    if (magnitude_of(f, v.c) == infinity)
        return (c_sign ? sign_of(f) : 0) | infinity;
    a = unpack(f, v.a);
    b = unpack(f, v.b);
    c = unpack(f, v.c);
    r = multiply(&a, &b);
    r.sign = product_sign;
    c.sign = c_sign;
    if (!r.m && !c.m && product_sign == c_sign)
        return product_sign ? sign_of(f) : 0;
    r = add(r, c);
    if (!r.m) /* a difference of equals */
        return how->mode == 1 ? sign_of(f) : 0;
    return round_to(f, &r, how, flags);
}

u64 fp_divide(const struct fp_format *f, u64 a, u64 b, const struct fp_rounding *how, u32 *flags)
{
    struct number x, y, r;
    u128 dividend;

    if (how->zero_operands) {
        a &= is_denormal(f, a) ? sign_of(f) : ~(u64)0;
        b &= is_denormal(f, b) ? sign_of(f) : ~(u64)0;
    }
    if (magnitude_of(f, a) >= infinity_of(f) || magnitude_of(f, b) >= infinity_of(f) || !magnitude_of(f, a) ||
        !magnitude_of(f, b))
        return 0;
    x = unpack(f, a);
    y = unpack(f, b);
    dividend = (x.m >> 64) << 64; /* 53 bits at most, and they are the top ones */
    r.sign = x.sign ^ y.sign;
    r.m = dividend / (u64)(y.m >> 64);
    r.m |= dividend % (u64)(y.m >> 64) != 0;
    r.e = x.e - y.e - 64;
    normalize(&r);
    return round_to(f, &r, how, flags);
}

/* A NaN's payload, from the top. */
static u64 convert_nan(const struct fp_format *from, const struct fp_format *to, u64 v)
{
    u64 payload = v & (((u64)1 << from->fraction) - 1), sign = v & sign_of(from) ? sign_of(to) : 0;

    payload = to->fraction > from->fraction ? payload << (to->fraction - from->fraction)
                                            : payload >> (from->fraction - to->fraction);
    return sign | infinity_of(to) | quiet_of(to) | payload;
}

u64 fp_narrow(const struct fp_format *from, const struct fp_format *to, u64 v, const struct fp_rounding *how,
              u32 *flags)
{
    struct number n;

    if (is_nan(from, v)) {
        *flags |= is_signaling(from, v) ? MXCSR_IE : 0;
        return convert_nan(from, to, v);
    }
    if (is_denormal(from, v)) {
        if (how->zero_operands)
            v &= sign_of(from);
        else
            *flags |= MXCSR_DE;
    }
    n = unpack(from, v);
    if (magnitude_of(from, v) == infinity_of(from) || !n.m)
        return (n.sign ? sign_of(to) : 0) | (n.m ? infinity_of(to) : 0);
    return round_to(to, &n, how, flags);
}

u64 fp_widen(const struct fp_format *from, const struct fp_format *to, u64 v, u32 *flags)
{
    static const struct fp_rounding exact = { 0, false, false, false, false };

    if (is_nan(from, v)) {
        *flags |= is_signaling(from, v) ? MXCSR_IE : 0;
        return convert_nan(from, to, v);
    }
    struct number n = unpack(from, v);

    if (magnitude_of(from, v) == infinity_of(from) || !n.m)
        return (n.sign ? sign_of(to) : 0) | (n.m ? infinity_of(to) : 0);
    return round_to(to, &n, &exact, flags);
}
