/* SPDX-License-Identifier: MIT */
/* Double-extended numbers and MPFR's: classes, loading, and the rounding of results. */
#include "cpu/x87_real.h"

enum {
    BIAS = 16383,
    EXPONENT_MOST = 16384, /* of MPFR, whose significands lie in [1/2, 1) */
    EXPONENT_LEAST = -16381,
    WRAP = 24576,          /* SDM 1, 8.5.4: what an unmasked overflow or underflow takes off or adds */
    WIDTH = 64
};

#define INTEGER_BIT ((u64)1 << 63)

enum real_class real_classify(const struct x87_register *r)
{
    unsigned exponent = r->sign_exponent & 0x7fff;

    if (exponent == 0)
        return r->mantissa ? REAL_FINITE : REAL_ZERO;
    if (!(r->mantissa & INTEGER_BIT))
        return REAL_UNSUPPORTED;
    if (exponent < 0x7fff)
        return REAL_FINITE;
    if (!(r->mantissa << 1))
        return REAL_INFINITE;
    return r->mantissa >> 62 & 1 ? REAL_QUIET : REAL_SIGNALING;
}

bool real_is_denormal(const struct x87_register *r)
{
    return !(r->sign_exponent & 0x7fff) && r->mantissa;
}

void real_load(mpfr_t to, const struct x87_register *r)
{
    int exponent = r->sign_exponent & 0x7fff;

    if (exponent == 0x7fff) {
        mpfr_set_inf(to, real_is_negative(r) ? -1 : 1);
        return;
    }
    mpfr_set_uj_2exp(to, r->mantissa, (exponent ? exponent : 1) - BIAS - 63, MPFR_RNDN);
    mpfr_setsign(to, to, real_is_negative(r), MPFR_RNDN);
}

struct x87_register real_zero(bool is_negative)
{
    return (struct x87_register){ 0, (u16)(is_negative << 15) };
}

struct x87_register real_infinity(bool is_negative)
{
    return (struct x87_register){ INTEGER_BIT, (u16)(is_negative << 15 | 0x7fff) };
}

static mpfr_rnd_t way_of(u16 fcw)
{
    static const mpfr_rnd_t ways[4] = { MPFR_RNDN, MPFR_RNDD, MPFR_RNDU, MPFR_RNDZ };

    return ways[fcw >> 10 & 3];
}

/* Does rounding make it larger, sign apart? Of what lies between two neighbours, neither halfway. */
static bool goes_outwards(mpfr_rnd_t way, bool is_negative)
{
    return way == (is_negative ? MPFR_RNDD : MPFR_RNDU);
}

static void set_outcome(u16 *sw, int ternary, bool is_negative)
{
    if (ternary)
        *sw |= X87_PE;
    if (ternary && (ternary > 0) != is_negative)
        *sw |= X87_C1;
}

/* A significand of at most 64 bits with its exponent, as the register has them. */
static void store(struct x87_register *r, mpfr_srcptr v, long exponent)
{
    mpfr_t magnitude;

    mpfr_init2(magnitude, WIDTH);
    mpfr_abs(magnitude, v, MPFR_RNDN);
    mpfr_set_exp(magnitude, WIDTH); /* an integer now */
    r->mantissa = mpfr_get_uj(magnitude, MPFR_RNDN);
    r->sign_exponent = (u16)((mpfr_signbit(v) ? 0x8000 : 0) | (exponent + BIAS - 1));
    mpfr_clear(magnitude);
}

/*
 * Below the normal range there are fewer bits: rounded anew, to those. Precision control cuts the register's low bits
 * there too, as seen on a Zen.
 */
static void round_denormal(real_fn *f, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way, mpfr_srcptr near,
                           struct x87_register *r, u16 *sw)
{
    const long precision = mpfr_get_prec(near), bits = precision - (EXPONENT_LEAST - mpfr_get_exp(near));
    bool is_negative = mpfr_signbit(near), is_one;
    mpfr_t v;
    int ternary;

    r->sign_exponent = (u16)(is_negative << 15);
    if (bits < 1) { /* less than the least denormal: half of it, or nothing, is between */
        is_one = goes_outwards(way, is_negative);
        if (way == MPFR_RNDN && bits == 0) {
            mpfr_init2(v, 2 * WIDTH);
            ternary = f(v, a, b, MPFR_RNDN);
            mpfr_abs(v, v, MPFR_RNDN);
            is_one = mpfr_cmp_ui_2exp(v, 1, EXPONENT_LEAST - precision - 1) > 0 ||
                     (ternary && !is_negative == (ternary < 0) &&
                      mpfr_cmp_ui_2exp(v, 1, EXPONENT_LEAST - precision - 1) == 0);
            mpfr_clear(v);
        }
        r->mantissa = (u64)is_one << (WIDTH - precision);
        *sw |= X87_UE | X87_PE | (is_one ? X87_C1 : 0);
        return;
    }
    mpfr_init2(v, bits);
    ternary = f(v, a, b, way);
    set_outcome(sw, ternary, is_negative);
    if (ternary)
        *sw |= X87_UE;
    mpfr_abs(v, v, MPFR_RNDN);
    mpfr_mul_2si(v, v, WIDTH - EXPONENT_LEAST, MPFR_RNDN);
    r->mantissa = mpfr_get_uj(v, MPFR_RNDN);
    if (r->mantissa & INTEGER_BIT) /* it was rounded up to the least normal number */
        r->sign_exponent |= 1;
    mpfr_clear(v);
}

static void overflow(mpfr_rnd_t way, bool is_negative, unsigned precision, struct x87_register *r, u16 *sw)
{
    bool is_infinite = way == MPFR_RNDN || goes_outwards(way, is_negative);

    *r = is_infinite ? real_infinity(is_negative)
                     : (struct x87_register){ ~(u64)0 << (WIDTH - precision),
                                               (u16)(is_negative << 15 | 0x7ffe) };
    *sw = (u16)((*sw & ~X87_C1) | X87_OE | X87_PE | (is_infinite ? X87_C1 : 0));
}

/* FSCALE can get where no wrapping helps: infinity or zero then, whatever the rounding, as seen on a Zen. */
static void give_up(bool is_huge, bool is_negative, struct x87_register *r, u16 *sw)
{
    *r = is_huge ? real_infinity(is_negative) : real_zero(is_negative);
    *sw = (u16)((*sw & ~X87_C1) | X87_PE | (is_huge ? X87_C1 : 0));
}

void real_round(real_fn *f, mpfr_srcptr a, mpfr_srcptr b, unsigned precision, u16 fcw, struct x87_register *r, u16 *sw)
{
    mpfr_rnd_t way = way_of(fcw);
    mpfr_t v;
    long exponent;
    int ternary;

    mpfr_init2(v, precision);
    ternary = f(v, a, b, way);
    exponent = mpfr_get_exp(v);
    if (exponent > EXPONENT_MOST && (fcw & X87_OE)) {
        overflow(way, mpfr_signbit(v), precision, r, sw);
    } else if (exponent < EXPONENT_LEAST && (fcw & X87_UE)) {
        round_denormal(f, a, b, way, v, r, sw);
    } else {
        set_outcome(sw, ternary, mpfr_signbit(v));
        *sw |= (exponent > EXPONENT_MOST ? X87_OE : 0) | (exponent < EXPONENT_LEAST ? X87_UE : 0);
        exponent += exponent > EXPONENT_MOST ? -WRAP : exponent < EXPONENT_LEAST ? WRAP : 0;
        if (exponent < EXPONENT_LEAST || exponent > EXPONENT_MOST)
            give_up(exponent > 0, mpfr_signbit(v), r, sw);
        else
            store(r, v, exponent);
    }
    mpfr_clear(v);
}

void real_give(struct x87_run *run, struct x87_register r)
{
    run->r = run->s = r;
}

void real_invalid(struct x87_run *run)
{
    run->sw = X87_IE;
    real_give(run, X87_INDEFINITE);
}

/* Of two NaNs the one with the larger significand, then the positive one; it comes out quiet. SDM 1, table 4-7. */
static struct x87_register which_nan(const struct x87_register *a, const struct x87_register *b)
{
    bool is_a = real_classify(a) >= REAL_QUIET, is_b = real_classify(b) >= REAL_QUIET;
    u64 x = is_a ? a->mantissa : 0, y = is_b ? b->mantissa : 0;
    bool takes_b = is_a && is_b && x == y ? real_is_negative(a) : y > x;
    struct x87_register r = takes_b ? *b : *a;

    r.mantissa |= (u64)1 << 62;
    return r;
}

bool real_are_valid(struct x87_run *run, const struct x87_register *a, const struct x87_register *b)
{
    enum real_class x = real_classify(a), y = b ? real_classify(b) : REAL_ZERO;

    run->sw = 0;
    if (x == REAL_UNSUPPORTED || y == REAL_UNSUPPORTED) {
        real_invalid(run);
        return false;
    }
    if (x >= REAL_QUIET || y >= REAL_QUIET) {
        run->sw = x == REAL_SIGNALING || y == REAL_SIGNALING ? X87_IE : 0;
        real_give(run, which_nan(a, b ? b : a));
        return false;
    }
    return true;
}

bool real_are_numbers(struct x87_run *run, const struct x87_register *a, const struct x87_register *b)
{
    if (!real_are_valid(run, a, b))
        return false;
    if (!real_is_denormal(a) && (!b || !real_is_denormal(b)))
        return true;
    run->sw = X87_DE;
    real_give(run, *a);
    return run->guest & X87_DE;
}
