/* SPDX-License-Identifier: MIT */
/*
 * Sums, products, quotients, roots, comparisons and integers, in integers, as SSE has them. SDM 1, 4.8.3.5 and
 * table 4-7 for NaNs, 4.9.2 for which exception hides which.
 */
#include "cpu/fp_number.h"

u64 fp_flushed(const struct fp_format *f, u64 v, bool zero_operand)
{
    return zero_operand && is_denormal(f, v) ? v & sign_of(f) : v;
}

/* DAZ, or the flag that tells a denormal operand. */
static u64 operand(const struct fp_format *f, u64 v, bool zero_operands, u32 *flags)
{
    if (!is_denormal(f, v))
        return v;
    if (zero_operands)
        return v & sign_of(f);
    *flags |= MXCSR_DE;
    return v;
}

static u64 default_nan(const struct fp_format *f, u32 *flags)
{
    *flags |= MXCSR_IE;
    return sign_of(f) | infinity_of(f) | quiet_of(f);
}

static u64 signed_as(const struct fp_format *f, bool is_negative, u64 magnitude)
{
    return (is_negative ? sign_of(f) : 0) | magnitude;
}

/* a + b, the sign of b turned already. */
static u64 sum(const struct fp_format *f, u64 a, u64 b, const struct fp_rounding *how, u32 *flags)
{
    bool a_sign = a & sign_of(f), b_sign = b & sign_of(f);
    struct number r;

    if (magnitude_of(f, a) == infinity_of(f))
        return magnitude_of(f, b) == infinity_of(f) && a_sign != b_sign ? default_nan(f, flags) : a;
    if (magnitude_of(f, b) == infinity_of(f))
        return b;
    r = number_add(number_unpack(f, a), number_unpack(f, b));
    if (r.m)
        return number_round(f, &r, how, flags);
    return signed_as(f, a_sign == b_sign ? a_sign : how->mode == 1, 0);
}

static u64 product(const struct fp_format *f, u64 a, u64 b, const struct fp_rounding *how, u32 *flags)
{
    bool is_negative = (a ^ b) & sign_of(f);
    struct number x, y, r;

    if (magnitude_of(f, a) == infinity_of(f) || magnitude_of(f, b) == infinity_of(f))
        return magnitude_of(f, a) && magnitude_of(f, b) ? signed_as(f, is_negative, infinity_of(f))
                                                        : default_nan(f, flags);
    if (!magnitude_of(f, a) || !magnitude_of(f, b))
        return signed_as(f, is_negative, 0);
    x = number_unpack(f, a);
    y = number_unpack(f, b);
    r = number_multiply(&x, &y);
    return number_round(f, &r, how, flags);
}

static u64 quotient(const struct fp_format *f, u64 a, u64 b, const struct fp_rounding *how, u32 *flags)
{
    bool is_negative = (a ^ b) & sign_of(f);
    u64 infinity = infinity_of(f), divisor;
    struct number x, y, r;
    u128 dividend;

    if (magnitude_of(f, a) == infinity)
        return magnitude_of(f, b) == infinity ? default_nan(f, flags) : signed_as(f, is_negative, infinity);
    if (magnitude_of(f, b) == infinity)
        return signed_as(f, is_negative, 0);
    if (!magnitude_of(f, b)) {
        if (!magnitude_of(f, a))
            return default_nan(f, flags);
        *flags = (*flags & ~MXCSR_DE) | MXCSR_ZE;
        return signed_as(f, is_negative, infinity);
    }
    if (!magnitude_of(f, a))
        return signed_as(f, is_negative, 0);
    x = number_unpack(f, a);
    y = number_unpack(f, b);
    dividend = x.m >> 64 << 64; /* 53 bits at most, and they are the top ones */
    divisor = (u64)(y.m >> 64);
    r = (struct number){ is_negative, dividend / divisor | (dividend % divisor != 0), x.e - y.e - 64 };
    number_normalize(&r);
    return number_round(f, &r, how, flags);
}

u64 fp_arithmetic(const struct fp_format *f, enum fp_operation operation, u64 a, u64 b, const struct fp_rounding *how,
                  u32 *flags)
{
    u32 met = 0; /* by this operation alone: some hide others */
    u64 r;

    if (is_nan(f, a) || is_nan(f, b)) {
        *flags |= is_signaling(f, a) || is_signaling(f, b) ? MXCSR_IE : 0;
        return (is_nan(f, a) ? a : b) | quiet_of(f);
    }
    a = operand(f, a, how->zero_operands, &met);
    b = operand(f, b, how->zero_operands, &met);
    switch (operation) {
    case FP_ADD: r = sum(f, a, b, how, &met); break;
    case FP_SUBTRACT: r = sum(f, a, b ^ sign_of(f), how, &met); break;
    case FP_MULTIPLY: r = product(f, a, b, how, &met); break;
    default: r = quotient(f, a, b, how, &met); break;
    }
    *flags |= met;
    return r;
}

u64 fp_root(const struct fp_format *f, u64 v, const struct fp_rounding *how, u32 *flags)
{
    struct number n;
    u64 root = 0;

    if (is_nan(f, v)) {
        *flags |= is_signaling(f, v) ? MXCSR_IE : 0;
        return v | quiet_of(f);
    }
    if (is_denormal(f, v) && how->zero_operands)
        return v & sign_of(f);
    if (!magnitude_of(f, v) || v == infinity_of(f))
        return v;
    if (v & sign_of(f))
        return default_nan(f, flags);
    v = operand(f, v, false, flags);
    n = number_unpack(f, v);
    if (n.e & 1) {
        n.m <<= 1;
        n.e--;
    }
    for (u64 bit = (u64)1 << 63; bit; bit >>= 1)
        if ((u128)(root | bit) * (root | bit) <= n.m)
            root |= bit;
    n = (struct number){ false, (u128)root << 1 | ((u128)root * root != n.m), n.e / 2 - 1 };
    number_normalize(&n);
    return number_round(f, &n, how, flags);
}

/* Numbers in the order of their values: two's complement of sign and magnitude. */
static i64 rank(const struct fp_format *f, u64 v)
{
    i64 magnitude = (i64)magnitude_of(f, v);

    return v & sign_of(f) ? -magnitude : magnitude;
}

enum fp_relation fp_compare(const struct fp_format *f, u64 a, u64 b, bool signals, bool zero_operands, u32 *flags)
{
    if (is_nan(f, a) || is_nan(f, b)) {
        *flags |= signals || is_signaling(f, a) || is_signaling(f, b) ? MXCSR_IE : 0;
        return FP_UNORDERED;
    }
    a = operand(f, a, zero_operands, flags);
    b = operand(f, b, zero_operands, flags);
    return rank(f, a) < rank(f, b) ? FP_LESS : rank(f, a) > rank(f, b) ? FP_GREATER : FP_EQUAL;
}

u64 fp_from_integer(const struct fp_format *f, i64 v, const struct fp_rounding *how, u32 *flags)
{
    struct number n = { v < 0, v < 0 ? -(u64)v : (u64)v, 0 };

    if (!v)
        return 0;
    number_normalize(&n);
    return number_round(f, &n, how, flags);
}

u64 fp_to_bits(const struct fp_format *f, u64 v, unsigned width, unsigned mode, bool zero_operand, u32 *flags)
{
    const u64 least = (u64)1 << (width - 1);
    struct number n;
    u64 r;
    bool inexact = false;

    if (magnitude_of(f, v) >= infinity_of(f)) {
        *flags |= MXCSR_IE;
        return least;
    }
    if (is_denormal(f, v) && zero_operand)
        return 0;
    n = number_unpack(f, v);
    if (!n.m)
        return 0;
    if (n.e + NUMBER_TOP > 64) { /* past any range */
        *flags |= MXCSR_IE;
        return least;
    }
    r = number_shift(n.m, (unsigned)(n.e < -200 ? 200 : -n.e), mode, n.sign, &inexact); /* of 126 bits at most 65 stay */
    if (n.e + NUMBER_TOP >= 64 || r > least || (r == least && !n.sign)) {
        *flags |= MXCSR_IE;
        return least;
    }
    if (inexact)
        *flags |= MXCSR_PE;
    return (n.sign ? -r : r) & ones(width);
}

u64 fp_widen_single(u64 v, bool zero_operand, u32 *flags)
{
    return fp_widen(&fp_single, &fp_double, operand(&fp_single, v, zero_operand, flags), flags);
}
