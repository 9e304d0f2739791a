/* SPDX-License-Identifier: MIT */
/* The portable x87's functions of ST(0), and of ST(0) and ST(1): rounding, taking apart, remainders, scaling. */
#include "cpu/fp_number.h"
#include "cpu/x87_portable.h"

/* The result m * 2^e, exactly; tiny with the underflow unmasked, it tells, and its exponent comes wrapped. */
static void give_exactly(struct x87_run *run, bool is_negative, u64 m, i32 e)
{
    enum { WRAP = 24576 };
    unsigned up = (unsigned)__builtin_clzll(m | 1);

    if (m && e + 63 - (i32)up < 1 - X87_BIAS && !(run->guest & X87_UE)) {
        run->sw |= X87_UE;
        e += WRAP;
    }
    run->r = portable_exact(is_negative, m, e);
}

void portable_rndint(struct x87_run *run)
{
    const struct x87_register *a = &run->a;
    bool is_negative = real_is_negative(a), inexact;
    i32 e = x87_exponent(a);
    u64 v;

    if (!real_are_numbers(run, a, NULL))
        return;
    run->r = *a;
    if (real_classify(a) != REAL_FINITE || e >= 0)
        return;
    v = number_shift(a->mantissa, e < -200 ? 200 : (unsigned)-e, run->guest >> 10 & 3, is_negative, &inexact);
    run->r = portable_exact(is_negative, v, 0);
    if (inexact)
        run->sw |= X87_PE | (e <= -64 ? (v ? X87_C1 : 0) : v > a->mantissa >> -e ? X87_C1 : 0);
}

/* ST(1) gets the exponent, ST(0) the significand. */
void portable_xtract(struct x87_run *run)
{
    const struct x87_register *a = &run->a;
    unsigned up;
    i32 exponent;

    if (!real_are_valid(run, a, NULL))
        return;
    run->r = *a;
    if (real_classify(a) == REAL_ZERO) {
        run->sw = X87_ZE;
        run->s = real_infinity(true);
        return;
    }
    if (real_classify(a) == REAL_INFINITE) {
        run->s = real_infinity(false);
        return;
    }
    if (!real_are_numbers(run, a, NULL))
        return;
    up = (unsigned)__builtin_clzll(a->mantissa);
    exponent = x87_exponent(a) + 63 - (i32)up;
    run->r = (struct x87_register){ a->mantissa << up, (u16)(real_is_negative(a) << 15 | X87_BIAS) };
    run->s = portable_exact(exponent < 0, (u64)(exponent < 0 ? -exponent : exponent), 0);
}

/* The quotient's low bits: C1, C3 and C0 from the lowest on. */
static u16 quotient_bits(u64 q)
{
    return (u16)((q & 1 ? X87_C1 : 0) | (q & 2 ? X87_C3 : 0) | (q & 4 ? X87_C0 : 0));
}

/*
 * a - q * b, with the quotient rounded toward zero or to the nearest, exactly. Where the exponents are 64 or more
 * apart, 32 to 63 bits of the quotient come off, truncated, as many as leave a multiple of 32: so does a Zen. C2
 * then says that there is more to do.
 */
static void remainder_of(struct x87_run *run, bool nearest)
{
    const struct x87_register *a = &run->a, *b = &run->b;
    enum real_class x = real_classify(a), y = real_classify(b);
    bool is_negative = real_is_negative(a);
    u64 q = 0, divisor;
    u128 rest;
    i32 e, distance, left;

    if (!real_are_valid(run, a, b))
        return;
    if (x == REAL_INFINITE || y == REAL_ZERO) {
        real_invalid(run);
        return;
    }
    if (!real_are_numbers(run, a, b))
        return;
    run->r = *a;
    if (x == REAL_ZERO)
        return;
    give_exactly(run, is_negative, a->mantissa, x87_exponent(a));
    if (y == REAL_INFINITE)
        return;
    rest = a->mantissa << __builtin_clzll(a->mantissa);
    divisor = b->mantissa << __builtin_clzll(b->mantissa);
    e = x87_exponent(b) - __builtin_clzll(b->mantissa);
    distance = x87_exponent(a) - __builtin_clzll(a->mantissa) - e;
    if (distance < -1 || (distance < 0 && !nearest))
        return;
    left = distance < 64 ? 0 : distance / 32 * 32 - 32;
    if (distance < 0) { /* a is below b: in units of a's lowest bit, b is twice as much */
        e--;
    } else {
        for (i32 i = distance - left;; i--) {
            q <<= 1;
            if (rest >= divisor) {
                rest -= divisor;
                q |= 1;
            }
            if (!i)
                break;
            rest <<= 1;
        }
    }
    if (nearest && !left) {
        u128 whole = distance < 0 ? (u128)divisor << 1 : divisor;

        if (2 * rest > whole || (2 * rest == whole && (q & 1))) {
            rest = whole - rest;
            is_negative = !is_negative;
            q++;
        }
    }
    run->sw &= (u16)~X87_UE; /* that was of a itself */
    run->sw |= left ? X87_C2 : quotient_bits(q);
    if (rest)
        give_exactly(run, is_negative, (u64)rest, e + left);
    else
        run->r = real_zero(real_is_negative(a));
}

void portable_prem(struct x87_run *run)
{
    remainder_of(run, false);
}

void portable_prem1(struct x87_run *run)
{
    remainder_of(run, true);
}

/* a * 2^b, b without its fraction; past what any exponent can hold, it is all the same. */
static int scale(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    return mpfr_mul_2si(to, a, mpfr_get_si(b, MPFR_RNDZ), way);
}

void portable_scale(struct x87_run *run)
{
    enum { MOST = 1 << 16 };
    const struct x87_register *a = &run->a, *b = &run->b;
    enum real_class x = real_classify(a), y = real_classify(b);
    bool grows = !real_is_negative(b);
    mpfr_t v, n;

    if (!real_are_valid(run, a, b))
        return;
    if (y == REAL_INFINITE && (grows ? x == REAL_ZERO : x == REAL_INFINITE)) {
        real_invalid(run);
        return;
    }
    if (!real_are_numbers(run, a, b))
        return;
    run->r = *a;
    if (x != REAL_FINITE)
        return;
    if (y == REAL_INFINITE) {
        run->r = grows ? real_infinity(real_is_negative(a)) : real_zero(real_is_negative(a));
        return;
    }
    mpfr_init2(v, 64);
    mpfr_init2(n, 64);
    real_load(v, a);
    real_load(n, b);
    if (mpfr_cmpabs_ui(n, MOST) > 0)
        mpfr_set_si(n, grows ? MOST : -MOST, MPFR_RNDN);
    real_round(scale, v, n, 64, run->guest, &run->r, &run->sw);
    mpfr_clear(v);
    mpfr_clear(n);
}
