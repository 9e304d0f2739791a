/* SPDX-License-Identifier: MIT */
/* The portable floating-point unit beside the host's own: the same bits and the same flags, whatever the operands. */
#ifdef __x86_64__
#undef SWHP_PORTABLE_FP
#include "cpu/fp_unit.h"
#include "tests/cpu/unit.h"

#include <check.h>

#define UNIT unit_native
#include "tests/cpu/unit_table.inc"

Suite *unit_suite(void);

static u64 state;

static u64 random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33 ^ state << 31;
}

/* Of every kind, as a double or as two singles: NaNs and infinities, denormals, neighbours, few bits, integers. */
static u64 element(unsigned fraction, unsigned width)
{
    u64 exponents = ((u64)1 << (width - 1 - fraction)) - 1, bits = random_bits() & (((u64)1 << fraction) - 1);
    u64 sign = (random_bits() & 1) << (width - 1), exponent = exponents / 2 + random_bits() % 12 - 6;

    switch (random_bits() % 16) {
    case 0: return sign;
    case 1: return sign | exponents << fraction;
    case 2: return sign | exponents << fraction | bits | 1;
    case 3: return sign | exponents << fraction | (u64)1 << (fraction - 1) | bits;
    case 4: return sign | bits;
    case 5: return sign | bits >> random_bits() % fraction;
    case 6: exponent = random_bits() % (fraction + 3); break;
    case 7: exponent = exponents - 1 - random_bits() % 3; break;
    case 8: exponent = exponents / 2 + random_bits() % 70; break;
    case 9: exponent = random_bits() % exponents; break;
    default: break;
    }
    if (random_bits() & 1) /* few bits, or many in a row */
        bits &= ~(u64)0 << random_bits() % fraction;
    if (random_bits() % 8 == 0)
        bits ^= ((u64)1 << fraction) - 1;
    return sign | exponent << fraction | bits;
}

static v128 operand(void)
{
    v128 v;

    for (unsigned i = 0; i < 2; i++)
        switch (random_bits() % 8) {
        case 0: v[i] = random_bits(); break;
        case 1: v[i] = random_bits() >> random_bits() % 64; break; /* an integer */
        case 2:
        case 3:
        case 4: v[i] = element(52, 64); break;
        default: v[i] = element(23, 32) | element(23, 32) << 32; break;
        }
    return v;
}

/* NaNs make the host's fused products the vendor's own; they don't reach them. */
static bool is_nan_anywhere(v128 v)
{
    for (unsigned i = 0; i < 2; i++)
        if ((v[i] & ~((u64)1 << 63)) > (u64)0x7ff << 52 || (v[i] & 0x7fffffff) > 0x7f800000 ||
            (v[i] >> 32 & 0x7fffffff) > 0x7f800000)
            return true;
    return false;
}

static v128 carry_out(const struct unit *u, unsigned n, u32 mxcsr, const v128 v[3], u32 *flags)
{
    u32 before = u->mxcsr();
    v128 r;

    u->set_mxcsr(mxcsr);
    r = u->operations[n].run(v[0], v[1], v[2]);
    *flags = u->mxcsr();
    u->set_mxcsr(before);
    return r;
}

START_TEST(both_units_give_the_same_bits_and_flags)
{
    const struct unit_operation *o = &unit_native.operations[_i];

    if (o->operands == 3 && !fpu_has_fma())
        return;
    ck_assert_str_eq(o->name, unit_portable.operations[_i].name);
    state = (u64)_i;
    for (unsigned i = 0; i < 15000; i++) {
        v128 v[3] = { operand(), operand(), operand() };
        u32 mxcsr = MXCSR_MASKS | ((u32)random_bits() & (MXCSR_RC | MXCSR_DAZ | MXCSR_FTZ)), want_flags, got_flags;

        if (random_bits() % 8 == 0) /* zeros of both signs, equals */
            v[1] = v[0] ^ (v128){ (random_bits() & 1) << 63, (random_bits() & 1) << 31 };
        if (o->operands == 3 && (is_nan_anywhere(v[0]) || is_nan_anywhere(v[1]) || is_nan_anywhere(v[2])))
            continue;

        v128 want = carry_out(&unit_native, (unsigned)_i, mxcsr, v, &want_flags);
        v128 got = carry_out(&unit_portable, (unsigned)_i, mxcsr, v, &got_flags);

        ck_assert_msg(got[0] == want[0] && got[1] == want[1] && got_flags == want_flags,
                      "%s %016lx%016lx, %016lx%016lx, %016lx%016lx under %x: %016lx%016lx and %x, not %016lx%016lx and %x",
                      o->name, v[0][1], v[0][0], v[1][1], v[1][0], v[2][1], v[2][0], mxcsr, got[1], got[0], got_flags,
                      want[1], want[0], want_flags);
    }
}
END_TEST

Suite *unit_suite(void)
{
    Suite *s = suite_create("unit");
    TCase *t = tcase_create("unit");

    tcase_add_loop_test(t, both_units_give_the_same_bits_and_flags, 0, (int)unit_native.count);
    suite_add_tcase(s, t);
    suite_add_tcase(s, unit_x87_case());
    return s;
}
#endif
