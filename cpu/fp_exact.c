/* SPDX-License-Identifier: MIT */
/*
 * Floating point in integers: rounding to integers, fused products, conversions. SDM 1, 11.5 and 14.5 for flags
 * and NaNs.
 */
#include "cpu/fp_number.h"

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
    a = number_unpack(f, v.a);
    b = number_unpack(f, v.b);
    c = number_unpack(f, v.c);
    r = number_multiply(&a, &b);
    r.sign = product_sign;
    c.sign = c_sign;
    if (!r.m && !c.m && product_sign == c_sign)
        return product_sign ? sign_of(f) : 0;
    r = number_add(r, c);
    if (!r.m) /* a difference of equals */
        return how->mode == 1 ? sign_of(f) : 0;
    return number_round(f, &r, how, flags);
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
    n = number_unpack(from, v);
    if (magnitude_of(from, v) == infinity_of(from) || !n.m)
        return (n.sign ? sign_of(to) : 0) | (n.m ? infinity_of(to) : 0);
    return number_round(to, &n, how, flags);
}

u64 fp_widen(const struct fp_format *from, const struct fp_format *to, u64 v, u32 *flags)
{
    static const struct fp_rounding exact = { 0, false, false, false, false };

    if (is_nan(from, v)) {
        *flags |= is_signaling(from, v) ? MXCSR_IE : 0;
        return convert_nan(from, to, v);
    }
    struct number n = number_unpack(from, v);

    if (magnitude_of(from, v) == infinity_of(from) || !n.m)
        return (n.sign ? sign_of(to) : 0) | (n.m ? infinity_of(to) : 0);
    return number_round(to, &n, &exact, flags);
}
