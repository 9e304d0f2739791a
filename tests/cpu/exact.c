/* SPDX-License-Identifier: MIT */
/* Floating point in integers: beside the host's own, where it has FMA and F16C, and in examples. */
#include <check.h>

#include "cpu/fp_exact.h"
#include "cpu/fp_native.h"

Suite *exact_suite(void);

static u64 state;

static u64 random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33 ^ state << 31;
}

/* Numbers of all kinds but NaNs, with many near each other and near the ends of the range. */
static u64 number(const struct fp_format *f)
{
    u64 fraction = ((u64)1 << f->fraction) - 1, sign = (random_bits() & 1) << (f->width - 1);
    u64 greatest = ((u64)1 << (f->width - 1 - f->fraction)) - 1, exponent;

    switch (random_bits() % 8) {
    case 0: return sign;
    case 1: return sign | greatest << f->fraction;
    case 2: return sign | (random_bits() & fraction);
    case 3: return sign | ((greatest << f->fraction) - 1 - random_bits() % 4);
    case 4: exponent = random_bits() % (3 * f->fraction); break;
    default: exponent = greatest / 2 + random_bits() % 8 - 4; break;
    }
    if (random_bits() & 1) /* few bits */
        fraction &= ~(fraction >> random_bits() % f->fraction);
    return sign | (exponent % greatest) << f->fraction | (random_bits() & fraction);
}

static struct fp_rounding rounding(u32 mxcsr)
{
    return (struct fp_rounding){ .mode = mxcsr >> 13 & 3, .zero_operands = mxcsr & MXCSR_DAZ,
                                 .zero_results = mxcsr & MXCSR_FTZ };
}

static u32 random_mxcsr(void)
{
    return MXCSR_MASKS | ((u32)random_bits() & (MXCSR_RC | MXCSR_DAZ | MXCSR_FTZ));
}

typedef v128 host_fn(v128 a, v128 b, v128 c);

/* What the host makes of it, and its flags. */
static u64 on_host(host_fn *f, u32 mxcsr, const struct fp_fused *v, u32 *flags)
{
    u32 before = fpu_stmxcsr();
    v128 r;

    fpu_ldmxcsr(mxcsr);
    r = f((v128){ v->a, 0 }, (v128){ v->b, 0 }, (v128){ v->c, 0 });
    *flags = fpu_stmxcsr() & MXCSR_FLAGS;
    fpu_ldmxcsr(before);
    return r[0];
}

START_TEST(fused_products_are_the_hosts)
{
    static const struct {
        const struct fp_format *format;
        bool negates_product, negates_c;
        host_fn *host;
    } kinds[] = {
        { &fp_single, false, false, fpu_fmadd231ss },  { &fp_single, false, true, fpu_fmsub231ss },
        { &fp_single, true, false, fpu_fnmadd231ss },  { &fp_single, true, true, fpu_fnmsub231ss },
        { &fp_double, false, false, fpu_fmadd231sd },  { &fp_double, false, true, fpu_fmsub231sd },
        { &fp_double, true, false, fpu_fnmadd231sd },  { &fp_double, true, true, fpu_fnmsub231sd },
    };

    state = (u64)_i;
    for (unsigned i = 0; fpu_has_fma() && i < 50000; i++) {
        const struct fp_format *f = kinds[_i].format;
        struct fp_fused v = { number(f), number(f), number(f), kinds[_i].negates_product,
                              kinds[_i].negates_c };
        u32 mxcsr = random_mxcsr(), want_flags, flags = 0;
        struct fp_rounding how = rounding(mxcsr);
        u64 want = on_host(kinds[_i].host, mxcsr, &v, &want_flags), got = fp_fused(f, &v, &how, &flags);

        ck_assert_msg(got == want && flags == want_flags,
                      "%lx * %lx + %lx under %x: %lx and %x, the host has %lx and %x", v.a, v.b, v.c, mxcsr,
                      got, flags, want, want_flags);
    }
}
END_TEST

static v128 host_narrow(v128 a, v128 b, v128 c)
{
    (void)b;
    (void)c;
    __asm__ volatile("vcvtps2ph $4, %0, %0" : "+x"(a));
    return a;
}

static v128 host_widen(v128 a, v128 b, v128 c)
{
    (void)b;
    (void)c;
    __asm__ volatile("vcvtph2ps %0, %0" : "+x"(a));
    return a;
}

START_TEST(halves_are_the_hosts)
{
    bool has = __builtin_cpu_supports("f16c");

    state = 1;
    for (u32 i = 0; has && i < 100000; i++) {
        struct fp_fused v = { .a = number(&fp_single) };
        u32 mxcsr = random_mxcsr(), want_flags, flags = 0;
        struct fp_rounding how = rounding(mxcsr);
        u64 want = on_host(host_narrow, mxcsr, &v, &want_flags) & 0xffff, got;

        how.zero_results = false;
        got = fp_narrow(&fp_single, &fp_half, v.a, &how, &flags);
        ck_assert_msg(got == want && flags == want_flags,
                      "%lx under %x: %lx and %x, the host has %lx and %x", v.a, mxcsr, got, flags, want,
                      want_flags);
    }
    for (u32 half = 0; has && half < 0x10000; half++) {
        struct fp_fused v = { .a = half };
        u32 want_flags, flags = 0;
        u64 want = (u32)on_host(host_widen, MXCSR_MASKS, &v, &want_flags);

        ck_assert_uint_eq(fp_widen(&fp_half, &fp_single, half, &flags), want);
        ck_assert_uint_eq(flags, want_flags);
    }
}
END_TEST

START_TEST(they_are_as_the_standard_says)
{
    static const struct {
        u32 a, b, c, r, flags;
        struct fp_rounding how;
    } rows[] = {
        { 0x3f800001, 0x3f800001, 0xbf800002, 0x28800000, 0, { 0 } }, /* the product's last bit */
        { 0x3f800001, 0x3f800001, 0x00000000, 0x3f800002, MXCSR_PE, { 0 } },
        { 0x3f800000, 0x3f800000, 0xbf800000, 0x00000000, 0, { 0 } }, /* a difference of equals */
        { 0x3f800000, 0x3f800000, 0xbf800000, 0x80000000, 0, { .mode = 1 } },
        { 0x7f7fffff, 0x40000000, 0x00000000, 0x7f800000, MXCSR_OE | MXCSR_PE, { 0 } },
        { 0x7f7fffff, 0x40000000, 0x00000000, 0x7f7fffff, MXCSR_OE | MXCSR_PE, { .mode = 3 } },
        { 0x7f7fffff, 0x40000000, 0x00000000, 0x7f800000, MXCSR_OE, { .traps_huge = true } },
        { 0x00800000, 0x3f000000, 0x00000000, 0x00400000, 0, { 0 } }, /* tiny and exact */
        { 0x00800000, 0x3f000000, 0x00000000, 0x00400000, MXCSR_UE, { .traps_tiny = true } },
        { 0x00800000, 0x3f000000, 0x00000000, 0x00000000, MXCSR_UE | MXCSR_PE, { .zero_results = true } },
        { 0x00800001, 0x3f000000, 0x00000000, 0x00400000, MXCSR_UE | MXCSR_PE, { 0 } },
        { 0x00800001, 0x3f000000, 0x00000000, 0x00400000, MXCSR_UE, { .traps_tiny = true } },
        { 0x7f800000, 0x00000000, 0x3f800000, 0xffc00000, MXCSR_IE, { 0 } },
        { 0x7f800000, 0x3f800000, 0xff800000, 0xffc00000, MXCSR_IE, { 0 } },
        { 0x00000001, 0x3f800000, 0x3f800000, 0x3f800000, MXCSR_DE | MXCSR_PE, { 0 } },
        { 0x00000001, 0x3f800000, 0x3f800000, 0x3f800000, 0, { .zero_operands = true } },
        { 0x7fa00001, 0x7fc00002, 0x7fc00003, 0x7fe00001, MXCSR_IE, { 0 } },
        { 0x3f800000, 0x3f800000, 0x7fc00003, 0x7fc00003, 0, { 0 } },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fp_fused v = { .a = rows[i].a, .b = rows[i].b, .c = rows[i].c };
        u32 flags = 0;
        u64 got = fp_fused(&fp_single, &v, &rows[i].how, &flags);

        ck_assert_msg(got == rows[i].r && flags == rows[i].flags, "row %u: %lx and %x, not %x and %x", i, got,
                      flags, rows[i].r, rows[i].flags);
    }
}
END_TEST

Suite *exact_suite(void)
{
    Suite *s = suite_create("exact");
    TCase *t = tcase_create("exact floating point");

    tcase_add_loop_test(t, fused_products_are_the_hosts, 0, 8);
    tcase_add_test(t, halves_are_the_hosts);
    tcase_add_test(t, they_are_as_the_standard_says);
    suite_add_tcase(s, t);
    return s;
}
