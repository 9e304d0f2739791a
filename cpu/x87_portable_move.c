/* SPDX-License-Identifier: MIT */
/* Loads, stores and constants of the portable x87. SDM 1, 4.7, 4.8 and 8.3.4. */
#include "cpu/fp_number.h"
#include "cpu/x87_portable.h"

struct x87_register portable_exact(bool is_negative, u64 m, i32 e)
{
    i32 biased = e + 63 + X87_BIAS, up = __builtin_clzll(m | 1);
    struct x87_register r = { .mantissa = m };

    if (!m)
        return real_zero(is_negative);
    if (up > biased - 1)
        up = biased - 1; /* a denormal */
    r.mantissa = up < 0 ? m >> -up : m << up;
    biased -= up;
    r.sign_exponent = (u16)(is_negative << 15 | (r.mantissa & X87_INTEGER_BIT ? biased : 0));
    return r;
}

static struct x87_register of_real(const struct fp_format *f, u64 v, bool *is_tiny)
{
    unsigned shift = 63 - f->fraction;
    u64 fraction = v & (((u64)1 << f->fraction) - 1);
    bool is_negative = v & sign_of(f);
    i32 exponent = (i32)(magnitude_of(f, v) >> f->fraction);

    *is_tiny = is_denormal(f, v);
    if (magnitude_of(f, v) >= infinity_of(f))
        return (struct x87_register){ X87_INTEGER_BIT | fraction << shift, (u16)(is_negative << 15 | 0x7fff) };
    if (exponent)
        fraction |= (u64)1 << f->fraction;
    return portable_exact(is_negative, fraction, (exponent ? exponent : 1) - bias_of(f) - (i32)f->fraction);
}

static struct x87_register of_integer(i64 v)
{
    return portable_exact(v < 0, v < 0 ? -(u64)v : (u64)v, 0);
}

bool portable_widen(enum x87_source source, const struct x87_register *bytes, struct x87_register *r)
{
    bool is_tiny = false;

    switch (source) {
    case X87_F32: *r = of_real(&fp_single, load_bytes(bytes, 4), &is_tiny); break;
    case X87_F64: *r = of_real(&fp_double, load_bytes(bytes, 8), &is_tiny); break;
    case X87_I16: *r = of_integer((i16)load_bytes(bytes, 2)); break;
    case X87_I32: *r = of_integer((i32)load_bytes(bytes, 4)); break;
    default: *r = *bytes; is_tiny = real_is_denormal(r); break;
    }
    return is_tiny;
}

/* ---- loads ---- */

static void load_real(struct x87_run *run, enum x87_source source)
{
    bool is_tiny = portable_widen(source, &run->b, &run->r);

    run->sw = is_tiny ? X87_DE : 0;
    if (real_classify(&run->r) == REAL_SIGNALING) {
        run->sw = X87_IE;
        run->r.mantissa |= (u64)1 << 62;
    }
}

static void load_integer(struct x87_run *run, i64 v)
{
    run->sw = 0;
    run->r = of_integer(v);
}

void portable_ld_f32(struct x87_run *run)
{
    load_real(run, X87_F32);
}

void portable_ld_f64(struct x87_run *run)
{
    load_real(run, X87_F64);
}

void portable_ld_i16(struct x87_run *run)
{
    load_integer(run, (i16)load_bytes(&run->b, 2));
}

void portable_ld_i32(struct x87_run *run)
{
    load_integer(run, (i32)load_bytes(&run->b, 4));
}

void portable_ld_i64(struct x87_run *run)
{
    load_integer(run, (i64)load_bytes(&run->b, 8));
}

/*
 * Eighteen decimal digits, two a byte, and a sign bit. What digits above 9 stand for is undefined: their value,
 * here.
 */
void portable_ld_bcd(struct x87_run *run)
{
    const u8 *bytes = (const u8 *)&run->b;
    u64 v = 0;

    for (unsigned i = 9; i--;)
        v = 100 * v + 10u * (bytes[i] >> 4) + (bytes[i] & 15u);
    run->sw = 0;
    run->r = portable_exact(bytes[9] >> 7, v, 0);
}

/* ---- stores ---- */

static u16 flags_of(u32 mxcsr) /* the six exceptions stand at the same bits */
{
    return (u16)(mxcsr & X87_FLAGS);
}

static void store_real(struct x87_run *run, const struct fp_format *f)
{
    const struct x87_register *a = &run->a;
    enum real_class class = real_classify(a);
    u64 sign = real_is_negative(a) ? sign_of(f) : 0, r;
    struct fp_rounding how = { .mode = run->guest >> 10 & 3,
                               .traps_tiny = !(run->guest & X87_UE),
                               .traps_huge = !(run->guest & X87_OE) };
    struct number n = { real_is_negative(a), a->mantissa, x87_exponent(a) };
    struct x87_register back;
    bool is_tiny;
    u32 flags = 0;

    run->sw = 0;
    if (class == REAL_UNSUPPORTED) {
        run->sw = X87_IE;
        r = sign_of(f) | infinity_of(f) | quiet_of(f);
    } else if (class >= REAL_QUIET) {
        run->sw = class == REAL_SIGNALING ? X87_IE : 0;
        r = sign | infinity_of(f) | quiet_of(f) | (a->mantissa << 1 >> (64 - f->fraction));
    } else if (class == REAL_FINITE) {
        number_normalize(&n);
        r = number_round(f, &n, &how, &flags);
        run->sw = flags_of(flags);
        back = of_real(f, r & ~sign, &is_tiny);
        if (flags & MXCSR_PE && (back.sign_exponent > (a->sign_exponent & 0x7fff) ||
                                 (back.sign_exponent == (a->sign_exponent & 0x7fff) && back.mantissa > a->mantissa)))
            run->sw |= X87_C1;
        if (run->sw & ~run->guest & (X87_OE | X87_UE)) /* nothing is stored, so nothing is inexact */
            run->sw &= (u16) ~(X87_PE | X87_C1);
    } else {
        r = sign | (class == REAL_INFINITE ? infinity_of(f) : 0);
    }
    store_bytes(&run->b, r, f->width / 8);
}

void portable_st_f32(struct x87_run *run)
{
    store_real(run, &fp_single);
}

void portable_st_f64(struct x87_run *run)
{
    store_real(run, &fp_double);
}

/* ST(0) as an integer of at most this magnitude; one more where the sign is negative and `more`. False: invalid. */
static bool to_integer(struct x87_run *run, u64 most, bool more, u64 *r)
{
    const struct x87_register *a = &run->a;
    bool is_negative = real_is_negative(a), inexact = false;
    i32 e = x87_exponent(a);
    u64 v = a->mantissa;

    run->sw = X87_IE;
    if (real_classify(a) > REAL_FINITE || e > 0)
        return false;
    if (e < 0)
        v = number_shift(v, e < -200 ? 200 : (unsigned)-e, run->guest >> 10 & 3, is_negative, &inexact);
    if (v > most + (is_negative && more))
        return false;
    run->sw = inexact ? X87_PE : 0;
    if (inexact && (e <= -64 ? v != 0 : v > a->mantissa >> -e))
        run->sw |= X87_C1;
    *r = v;
    return true;
}

static void store_integer(struct x87_run *run, unsigned width)
{
    u64 least = (u64)1 << (width - 1), r;

    if (!to_integer(run, least - 1, true, &r))
        r = least;
    else if (real_is_negative(&run->a))
        r = -r;
    store_bytes(&run->b, r, width / 8);
}

void portable_st_i16(struct x87_run *run)
{
    store_integer(run, 16);
}

void portable_st_i32(struct x87_run *run)
{
    store_integer(run, 32);
}

void portable_st_i64(struct x87_run *run)
{
    store_integer(run, 64);
}

void portable_st_bcd(struct x87_run *run)
{
    u8 *bytes = (u8 *)&run->b;
    u64 v;

    if (!to_integer(run, 999999999999999999u, false, &v)) {
        run->b = (struct x87_register){ (u64)3 << 62, 0xffff }; /* the indefinite of packed decimals */
        return;
    }
    for (unsigned i = 0; i < 9; i++, v /= 100)
        bytes[i] = (u8)(v % 10 | v / 10 % 10 << 4);
    bytes[9] = real_is_negative(&run->a) ? 0x80 : 0;
}

/* ---- constants: true values, rounded as the control word says, to 64 bits always ---- */

static int pi(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)a, (void)b;
    return mpfr_const_pi(to, way);
}

static int ln2(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)
{
    (void)a, (void)b;
    return mpfr_const_log2(to, way);
}

/* log2(10), log10(2) and log2(e) are what mpfr_set_str() makes of more digits than can matter. */
#define DIGITS(name, text)                                                                                           \
    static int name(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way)                                         \
    {                                                                                                                \
        (void)a, (void)b;                                                                                            \
        return mpfr_strtofr(to, text, NULL, 10, way);                                                                \
    }

DIGITS(l2e, "1.44269504088896340735992468100189213742664595415298593413544940693110921918118507988552662")
DIGITS(l2t, "3.32192809488736234787031942948939017586483139302458061205475639581593477660862521585013974")
DIGITS(lg2, "0.30102999566398119521373889472449302676818988146210854131042746112710818927442450948692725")

static void constant(struct x87_run *run, real_fn *f)
{
    u16 sw;

    real_round(f, NULL, NULL, 64, run->guest, &run->r, &sw);
    mpfr_free_cache();
    run->sw = 0; /* no PE, and C1 clear */
}

void portable_ld1(struct x87_run *run)
{
    load_integer(run, 1);
}

void portable_ldz(struct x87_run *run)
{
    load_integer(run, 0);
}

#define CONSTANT(name)                                                                                               \
    void portable_ld##name(struct x87_run *run)                                                                      \
    {                                                                                                                \
        constant(run, name);                                                                                         \
    }

CONSTANT(pi)
CONSTANT(l2e)
CONSTANT(l2t)
CONSTANT(lg2)
CONSTANT(ln2)
