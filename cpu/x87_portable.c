/* SPDX-License-Identifier: MIT */
/*
 * Arithmetic and comparison of the portable x87, and the unit that all of it makes. SDM 1, 8.3.5, 8.5 and table
 * 4-7.
 */
#include "cpu/x87_portable.h"

static const struct x87_register zero;

/* Precision control; 1 is reserved, and as good as 3. */
static unsigned precision_of(u16 fcw)
{
    static const unsigned bits[4] = { 24, 64, 53, 64 };

    return bits[fcw >> 8 & 3];
}

enum verb { ADD, SUB, SUBR, MUL, DIV, DIVR };

static bool is_zero(const struct x87_register *r)
{
    return real_classify(r) == REAL_ZERO;
}

static bool is_infinite(const struct x87_register *r)
{
    return real_classify(r) == REAL_INFINITE;
}

/*
 * Numbers that a and b are, with a denormal's exception; what is zero or infinite needs no rounding. True: it is
 * done.
 */
static bool is_special(struct x87_run *run, enum verb verb, const struct x87_register *a, const struct x87_register *b,
                       bool is_denormal)
{
    bool a_sign = real_is_negative(a), b_sign = real_is_negative(b), sign = a_sign ^ b_sign;
    bool is_invalid = verb == MUL   ? (is_zero(a) && is_infinite(b)) || (is_infinite(a) && is_zero(b))
                      : verb == DIV ? (is_zero(a) && is_zero(b)) || (is_infinite(a) && is_infinite(b))
                                    : is_infinite(a) && is_infinite(b) && sign;

    if (is_invalid) {
        real_invalid(run);
        return true;
    }
    if (verb == DIV && is_zero(b) && !is_infinite(a)) {
        run->sw = X87_ZE;
        real_give(run, real_infinity(sign));
        return true;
    }
    if (is_denormal) {
        run->sw = X87_DE;
        if (!(run->guest & X87_DE)) /* unmasked, it comes before any result */
            return true;
    }
    if (verb == MUL || verb == DIV) {
        bool to_infinity = is_infinite(a) || (verb == MUL && is_infinite(b)) || (verb == DIV && is_zero(b));
        bool to_zero = is_zero(a) || (verb == MUL && is_zero(b)) || (verb == DIV && is_infinite(b));

        if (to_infinity || to_zero)
            real_give(run, to_infinity ? real_infinity(sign) : real_zero(sign));
        return to_infinity || to_zero;
    }
    if (is_infinite(a) || is_infinite(b)) {
        real_give(run, is_infinite(a) ? *a : *b);
        return true;
    }
    return false;
}

static int root(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)b;
    return mpfr_sqrt(to, a, way);
}

/* Two finite numbers, of which a sum may be nothing. */
static void compute(struct x87_run *run, real_fn *f, const struct x87_register *a, const struct x87_register *b)
{
    mpfr_t x, y;

    mpfr_init2(x, 64);
    mpfr_init2(y, 64);
    real_load(x, a);
    real_load(y, b);
    if (f == mpfr_add && !mpfr_cmpabs(x, y) && (mpfr_signbit(x) != mpfr_signbit(y) || mpfr_zero_p(x)))
        real_give(run, real_zero(mpfr_signbit(x) == mpfr_signbit(y) ? mpfr_signbit(x) : (run->guest >> 10 & 3) == 1));
    else
        real_round(f, x, y, precision_of(run->guest), run->guest, &run->r, &run->sw);
    mpfr_clear(x);
    mpfr_clear(y);
}

static void arithmetic(struct x87_run *run, enum verb verb, enum x87_source source)
{
    struct x87_register a = run->a, b;
    bool is_denormal = portable_widen(source, &run->b, &b) || real_is_denormal(&a);

    if (!real_are_valid(run, &a, &b))
        return;
    if (verb == SUBR || verb == DIVR) {
        b = a;
        portable_widen(source, &run->b, &a);
        verb--;
    }
    if (verb == SUB)
        b.sign_exponent ^= 0x8000;
    if (!is_special(run, verb, &a, &b, is_denormal))
        compute(run, verb == MUL ? mpfr_mul : verb == DIV ? mpfr_div : mpfr_add, &a, &b);
}

static void portable_sqrt(struct x87_run *run)
{
    const struct x87_register *a = &run->a;

    if (!real_are_valid(run, a, NULL))
        return;
    if (is_zero(a) || (is_infinite(a) && !real_is_negative(a)))
        real_give(run, *a);
    else if (real_is_negative(a))
        real_invalid(run);
    else if (real_are_numbers(run, a, NULL))
        compute(run, root, a, a);
}

/* ---- comparison, all exceptions masked ---- */

static void compare(struct x87_run *run, enum x87_source source, bool signals)
{
    struct x87_register b;
    bool is_denormal = portable_widen(source, &run->b, &b) || real_is_denormal(&run->a);
    mpfr_t x, y;
    int order;

    if (!real_are_valid(run, &run->a, &b)) {
        run->sw |= X87_C3 | X87_C2 | X87_C0 | (signals ? X87_IE : 0);
        return;
    }
    mpfr_init2(x, 64);
    mpfr_init2(y, 64);
    real_load(x, &run->a);
    real_load(y, &b);
    order = mpfr_cmp(x, y);
    mpfr_clear(x);
    mpfr_clear(y);
    run->sw = (is_denormal ? X87_DE : 0) | (order < 0 ? X87_C0 : order == 0 ? X87_C3 : 0);
}

static void portable_ucom(struct x87_run *run)
{
    compare(run, X87_ST, false);
}

static void portable_tst(struct x87_run *run)
{
    run->b = zero;
    compare(run, X87_ST, true);
}

static void portable_xam(struct x87_run *run)
{
    static const u16 classes[] = {
        [REAL_ZERO] = X87_C3,           [REAL_FINITE] = X87_C2, [REAL_INFINITE] = X87_C2 | X87_C0,
        [REAL_QUIET] = X87_C0,          [REAL_SIGNALING] = X87_C0,
        [REAL_UNSUPPORTED] = 0,
    };

    run->sw = classes[real_classify(&run->a)] | (real_is_denormal(&run->a) ? X87_C3 : 0) |
              (real_is_negative(&run->a) ? X87_C1 : 0);
}

/* ---- the unit ---- */

#define ARITH_FORM(name, verb, source)                                                                               \
    static void portable_##name##_##source(struct x87_run *run)                                                      \
    {                                                                                                                \
        arithmetic(run, verb, source);                                                                               \
    }
#define COM_FORM(name, signals, source)                                                                              \
    static void portable_##name##_##source(struct x87_run *run)                                                      \
    {                                                                                                                \
        compare(run, source, signals);                                                                               \
    }
#define BY_SOURCE(FORM, name, what)                                                                                  \
    FORM(name, what, X87_ST)                                                                                         \
    FORM(name, what, X87_F32)                                                                                        \
    FORM(name, what, X87_F64)                                                                                        \
    FORM(name, what, X87_I16)                                                                                        \
    FORM(name, what, X87_I32)
#define ROW(name)                                                                                                    \
    .name = { portable_##name##_X87_ST, portable_##name##_X87_F32, portable_##name##_X87_F64,                        \
              portable_##name##_X87_I16, portable_##name##_X87_I32 }

BY_SOURCE(ARITH_FORM, add, ADD)
BY_SOURCE(ARITH_FORM, sub, SUB)
BY_SOURCE(ARITH_FORM, subr, SUBR)
BY_SOURCE(ARITH_FORM, mul, MUL)
BY_SOURCE(ARITH_FORM, div, DIV)
BY_SOURCE(ARITH_FORM, divr, DIVR)
BY_SOURCE(COM_FORM, com, true)

const struct x87_unit x87_portable = {
    ROW(add),
    ROW(sub),
    ROW(subr),
    ROW(mul),
    ROW(div),
    ROW(divr),
    ROW(com),
    .ucom = { portable_ucom }, .tst = portable_tst, .xam = portable_xam,
    .sqrt = portable_sqrt, .rndint = portable_rndint, .xtract = portable_xtract,
    .prem = portable_prem, .prem1 = portable_prem1, .scale = portable_scale,
    .ld_real = { portable_ld_f32, portable_ld_f64 },
    .ld_integer = { portable_ld_i16, portable_ld_i32, portable_ld_i64 },
    .ld_bcd = portable_ld_bcd,
    .st_real = { portable_st_f32, portable_st_f64 },
    .st_integer = { portable_st_i16, portable_st_i32, portable_st_i64 },
    .st_bcd = portable_st_bcd,
    .ld1 = portable_ld1, .ldz = portable_ldz, .ldpi = portable_ldpi, .ldl2e = portable_ldl2e,
    .ldl2t = portable_ldl2t, .ldlg2 = portable_ldlg2, .ldln2 = portable_ldln2,
};
