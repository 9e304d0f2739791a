/* SPDX-License-Identifier: MIT */
/*
 * The transcendental functions of the x87. Processors compute each in their own way, so the host's is of no use where
 * all hosts must agree: these are the true values, rounded once as the control word says. docs/floating-point.md tells
 * how far from a Zen 4's they are.
 */
#include "cpu/x87_transcend.h"

#include "cpu/x87_real.h"

enum { PRECISION = 64, TOO_LARGE = 63 }; /* FSIN and its like take operands below 2^63 */

static const struct x87_register one = { (u64)1 << 63, 0x3fff };

/* Of positive values. */
static int compare_one(const struct x87_register *x)
{
    bool is_greater = x->sign_exponent > one.sign_exponent ||
                      (x->sign_exponent == one.sign_exponent && x->mantissa > one.mantissa);

    return is_greater ? 1 : x->sign_exponent == one.sign_exponent && x->mantissa == one.mantissa ? 0 : -1;
}

/* r = f(a, b), which is neither zero nor infinite. */
static void compute(struct x87_run *run, struct x87_register *r, real_fn *f, const struct x87_register *a,
                    const struct x87_register *b)
{
    mpfr_t x, y;

    mpfr_init2(x, PRECISION);
    mpfr_init2(y, PRECISION);
    real_load(x, a);
    real_load(y, b);
    real_round(f, x, y, PRECISION, run->guest, r, &run->sw);
    run->sw |= X87_PE; /* exact or not, as seen on a Zen 3 and a Zen 4 */
    if (real_is_denormal(r))
        run->sw |= X87_UE;
    mpfr_clear(x);
    mpfr_clear(y);
    mpfr_free_cache(); /* it belongs to the thread, which may end */
}

/* ---- of ST(0) ---- */

/*
 * Angles are reduced by pi as the x87 has it, with 66 bits: far from 0 that, and not pi itself, decides. What is left
 * of a, exactly, and how many quarters of the circle came off, up to four.
 */
static unsigned reduce(mpfr_t rest, mpfr_srcptr a)
{
    enum { EXACT = 256 };
    mpfr_t quarter, turns;
    unsigned quarters;

    mpfr_init2(rest, EXACT);
    mpfr_init2(quarter, EXACT);
    mpfr_init2(turns, EXACT);
    mpfr_set_str(quarter, "1.921fb54442d184698", 16, MPFR_RNDN);
    mpfr_div(turns, a, quarter, MPFR_RNDN);
    mpfr_rint(turns, turns, MPFR_RNDN);
    mpfr_mul(rest, turns, quarter, MPFR_RNDN);
    mpfr_sub(rest, a, rest, MPFR_RNDN);
    quarters = (unsigned)mpfr_get_sj(turns, MPFR_RNDN) & 3;
    mpfr_clear(quarter);
    mpfr_clear(turns);
    return quarters;
}

static mpfr_rnd_t opposite(mpfr_rnd_t way)
{
    return way == MPFR_RNDD ? MPFR_RNDU : way == MPFR_RNDU ? MPFR_RNDD : way;
}

/* The sine of a and so many quarters more. */
static int sine_after(mpfr_t to, mpfr_srcptr a, unsigned quarters, mpfr_rnd_t way)
{
    mpfr_t rest;
    int ternary;

    quarters += reduce(rest, a);
    if (quarters & 2)
        way = opposite(way);
    ternary = quarters & 1 ? mpfr_cos(to, rest, way) : mpfr_sin(to, rest, way);
    if (quarters & 2) {
        mpfr_neg(to, to, MPFR_RNDN);
        ternary = -ternary;
    }
    mpfr_clear(rest);
    return ternary;
}

static int sine(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)b;
    return sine_after(to, a, 0, way);
}

static int cosine(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)b;
    return sine_after(to, a, 1, way);
}

static int tangent(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    mpfr_t rest;
    int ternary;

    (void)b;
    if (reduce(rest, a) & 1) {
        ternary = -mpfr_cot(to, rest, opposite(way));
        mpfr_neg(to, to, MPFR_RNDN);
    } else {
        ternary = mpfr_tan(to, rest, way);
    }
    mpfr_clear(rest);
    return ternary;
}

static int power_less_one(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)b;
    return mpfr_exp2m1(to, a, way);
}

/* An angle that can be worked with; else the result is there, or C2 says that the operand is too large. */
static bool is_angle(struct x87_run *run)
{
    if (!real_are_numbers(run, &run->a, NULL))
        return false;
    if (real_classify(&run->a) == REAL_INFINITE) {
        real_invalid(run);
        return false;
    }
    if ((run->a.sign_exponent & 0x7fff) >= 0x3fff + TOO_LARGE) {
        run->sw = X87_C2;
        real_give(run, run->a);
        return false;
    }
    return true;
}

static void odd(struct x87_run *run, struct x87_register *r, real_fn *f)
{
    if (real_classify(&run->a) == REAL_ZERO)
        *r = run->a;
    else
        compute(run, r, f, &run->a, &run->a);
}

static void put_cosine(struct x87_run *run, struct x87_register *r)
{
    if (real_classify(&run->a) == REAL_ZERO)
        *r = one;
    else
        compute(run, r, cosine, &run->a, &run->a);
}

void x87_sin(struct x87_run *run)
{
    if (is_angle(run))
        odd(run, &run->r, sine);
}

void x87_cos(struct x87_run *run)
{
    if (is_angle(run))
        put_cosine(run, &run->r);
}

/* ST(1) is the sine, ST(0) the cosine, whose rounding C1 tells. */
void x87_sincos(struct x87_run *run)
{
    if (!is_angle(run))
        return;
    odd(run, &run->s, sine);
    run->sw &= (u16)~X87_C1;
    put_cosine(run, &run->r);
}

void x87_ptan(struct x87_run *run)
{
    if (!is_angle(run))
        return;
    odd(run, &run->s, tangent);
    run->r = one;
}

/* Operands from -1 to 1. A Zen 4 leaves others as they are, and calls that inexact. */
void x87_f2xm1(struct x87_run *run)
{
    struct x87_register magnitude = { run->a.mantissa, run->a.sign_exponent & 0x7fff };

    if (!real_are_numbers(run, &run->a, NULL))
        return;
    if (real_classify(&run->a) == REAL_INFINITE) {
        real_give(run, real_is_negative(&run->a) ? (struct x87_register){ one.mantissa, 0xbfff } : run->a);
    } else if (compare_one(&magnitude) > 0) {
        run->sw |= X87_PE;
        real_give(run, run->a);
    } else {
        odd(run, &run->r, power_less_one);
    }
}

/* ---- of ST(1) and ST(0) ---- */

static int arc_tangent(mpfr_t to, mpfr_srcptr x, mpfr_srcptr y, mpfr_rnd_t way)
{
    return mpfr_atan2(to, y, x, way);
}

void x87_patan(struct x87_run *run)
{
    const struct x87_register *x = &run->a, *y = &run->b;
    bool is_finite = real_classify(y) != REAL_INFINITE;

    if (!real_are_numbers(run, x, y))
        return;
    if (!real_is_negative(x) &&
        (real_classify(y) == REAL_ZERO || (is_finite && real_classify(x) == REAL_INFINITE)))
        real_give(run, real_zero(real_is_negative(y)));
    else
        compute(run, &run->r, arc_tangent, x, y);
}

/*
 * y * log(x) by a logarithm that is rounded itself: with more bits, until those that are wrong can't matter.
 */
static int product(mpfr_t to, mpfr_srcptr x, mpfr_srcptr y, mpfr_rnd_t way,
                   int (*logarithm)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t))
{
    mpfr_t l, p;
    int ternary, inexact = 0;

    mpfr_init(l);
    mpfr_init(p);
    for (mpfr_prec_t bits = 2 * PRECISION;; bits *= 2) {
        mpfr_set_prec(l, bits);
        mpfr_set_prec(p, bits + PRECISION); /* the product of both is exact */
        inexact = logarithm(l, x, MPFR_RNDN);
        mpfr_mul(p, l, y, MPFR_RNDN);
        if (!inexact || mpfr_can_round(p, bits - 2, MPFR_RNDN, MPFR_RNDZ, mpfr_get_prec(to) + (way == MPFR_RNDN)))
            break;
    }
    ternary = mpfr_set(to, p, way);
    mpfr_clear(l);
    mpfr_clear(p);
    return ternary;
}

static int log_product(mpfr_t to, mpfr_srcptr x, mpfr_srcptr y, mpfr_rnd_t way)
{
    return product(to, x, y, way, mpfr_log2);
}

static int log1_product(mpfr_t to, mpfr_srcptr x, mpfr_srcptr y, mpfr_rnd_t way)
{
    return product(to, x, y, way, mpfr_log2p1);
}

/* y times a logarithm that is infinite, zero or of this sign. True: that is the result. */
static bool is_special_product(struct x87_run *run, enum real_class logarithm, bool is_negative)
{
    enum real_class y = real_classify(&run->b);

    is_negative ^= real_is_negative(&run->b);
    if ((y == REAL_ZERO && logarithm == REAL_INFINITE) || (y == REAL_INFINITE && logarithm == REAL_ZERO))
        real_invalid(run);
    else if (y == REAL_INFINITE || logarithm == REAL_INFINITE)
        real_give(run, real_infinity(is_negative));
    else if (y == REAL_ZERO || logarithm == REAL_ZERO)
        real_give(run, real_zero(is_negative));
    else
        return false;
    return true;
}

/* On a Zen 3 what x says about the logarithm comes before DE, where y is a number. */
static bool is_number(const struct x87_register *y)
{
    enum real_class class = real_classify(y);

    return class == REAL_ZERO || class == REAL_FINITE || class == REAL_INFINITE;
}

void x87_yl2x(struct x87_run *run)
{
    const struct x87_register *x = &run->a;
    enum real_class class = real_classify(x);

    if (is_number(&run->b) && real_is_negative(x) && (class == REAL_FINITE || class == REAL_INFINITE)) {
        real_invalid(run);
    } else if (class == REAL_ZERO && real_classify(&run->b) == REAL_FINITE) {
        run->sw = X87_ZE;
        (void)is_special_product(run, REAL_INFINITE, true);
    } else if (!real_are_numbers(run, x, &run->b)) {
        return;
    } else if (class == REAL_ZERO) {
        (void)is_special_product(run, REAL_INFINITE, true);
    } else if (class == REAL_INFINITE) {
        (void)is_special_product(run, REAL_INFINITE, false);
    } else if (!is_special_product(run, compare_one(x) ? REAL_FINITE : REAL_ZERO, compare_one(x) < 0)) {
        compute(run, &run->r, log_product, x, &run->b);
    }
}

/* Meant for x near 0. A Zen 4 goes on above; at -1 and below it gives x, and calls that inexact. */
void x87_yl2xp1(struct x87_run *run)
{
    const struct x87_register *x = &run->a;
    enum real_class class = real_classify(x);
    struct x87_register magnitude = { x->mantissa, (u16)(x->sign_exponent & 0x7fff) };

    if (class == REAL_INFINITE && real_is_negative(x) && is_number(&run->b)) {
        real_invalid(run);
    } else if (!real_are_numbers(run, x, &run->b)) {
        return;
    } else if (is_special_product(run, class, real_is_negative(x))) {
        return;
    } else if (real_is_negative(x) && compare_one(&magnitude) >= 0) {
        run->sw |= X87_PE;
        real_give(run, *x);
    } else {
        compute(run, &run->r, log1_product, x, &run->b);
    }
}
