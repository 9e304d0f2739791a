/* SPDX-License-Identifier: MIT */
/* The portable x87 beside the host's own: the same results, flags and condition codes, whatever the operands. */
#ifdef __x86_64__
#include <check.h>
#include <stdio.h>

#include "cpu/x87.h"
#include "tests/cpu/unit.h"

/* What an operation has for a result, besides the flags. */
enum leaves { LEAVES_R, LEAVES_R_AND_S, LEAVES_BYTES, LEAVES_CODES };
enum takes { TAKES_REGISTERS, TAKES_F32, TAKES_F64, TAKES_I16, TAKES_I32, TAKES_I64, TAKES_BCD };

#define BY_SOURCE(name, leaves)                                                                                      \
    { #name, offsetof(struct x87_unit, name[X87_ST]), TAKES_REGISTERS, leaves, 0 },                                  \
    { #name " m32", offsetof(struct x87_unit, name[X87_F32]), TAKES_F32, leaves, 0 },                                \
    { #name " m64", offsetof(struct x87_unit, name[X87_F64]), TAKES_F64, leaves, 0 },                                \
    { #name " i16", offsetof(struct x87_unit, name[X87_I16]), TAKES_I16, leaves, 0 },                                \
    { #name " i32", offsetof(struct x87_unit, name[X87_I32]), TAKES_I32, leaves, 0 }
#define ONE(name, takes, leaves, size) { #name, offsetof(struct x87_unit, name), takes, leaves, size }

static const struct {
    const char *name;
    size_t at;
    enum takes takes;
    enum leaves leaves;
    unsigned size; /* of the bytes */
} operations[] = {
    BY_SOURCE(add, LEAVES_R),
    BY_SOURCE(sub, LEAVES_R),
    BY_SOURCE(subr, LEAVES_R),
    BY_SOURCE(mul, LEAVES_R),
    BY_SOURCE(div, LEAVES_R),
    BY_SOURCE(divr, LEAVES_R),
    BY_SOURCE(com, LEAVES_CODES),
    ONE(ucom[X87_ST], TAKES_REGISTERS, LEAVES_CODES, 0),
    ONE(tst, TAKES_REGISTERS, LEAVES_CODES, 0),
    ONE(xam, TAKES_REGISTERS, LEAVES_CODES, 0),
    ONE(sqrt, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(rndint, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(xtract, TAKES_REGISTERS, LEAVES_R_AND_S, 0),
    ONE(prem, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(prem1, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(scale, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ld_real[0], TAKES_F32, LEAVES_R, 0),
    ONE(ld_real[1], TAKES_F64, LEAVES_R, 0),
    ONE(ld_integer[0], TAKES_I16, LEAVES_R, 0),
    ONE(ld_integer[1], TAKES_I32, LEAVES_R, 0),
    ONE(ld_integer[2], TAKES_I64, LEAVES_R, 0),
    ONE(ld_bcd, TAKES_BCD, LEAVES_R, 0),
    ONE(st_real[0], TAKES_REGISTERS, LEAVES_BYTES, 4),
    ONE(st_real[1], TAKES_REGISTERS, LEAVES_BYTES, 8),
    ONE(st_integer[0], TAKES_REGISTERS, LEAVES_BYTES, 2),
    ONE(st_integer[1], TAKES_REGISTERS, LEAVES_BYTES, 4),
    ONE(st_integer[2], TAKES_REGISTERS, LEAVES_BYTES, 8),
    ONE(st_bcd, TAKES_REGISTERS, LEAVES_BYTES, 10),
    ONE(ld1, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldz, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldpi, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldl2e, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldl2t, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldlg2, TAKES_REGISTERS, LEAVES_R, 0),
    ONE(ldln2, TAKES_REGISTERS, LEAVES_R, 0),
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static u64 state;

static u64 random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33 ^ state << 31;
}

/*
 * Of every kind: unsupported forms, pseudo-denormals, neighbours, few bits, integers, what singles and doubles
 * can't hold.
 */
static struct x87_register any_register(void)
{
    u64 m = random_bits(), integer_bit = (u64)1 << 63;
    unsigned sign = (unsigned)(random_bits() & 1) << 15, exponent = 0x3fff + (unsigned)(random_bits() % 130) - 65;

    if (random_bits() & 1)
        m &= ~(u64)0 << random_bits() % 64;
    if (random_bits() % 4 == 0)
        m |= random_bits() & 1 ? 0x7ff : (u64)0xffffffffff;
    switch (random_bits() % 20) {
    case 0: return (struct x87_register){ 0, (u16)sign };
    case 1: return (struct x87_register){ integer_bit, (u16)(sign | 0x7fff) };
    case 2: return (struct x87_register){ m | integer_bit, (u16)(sign | 0x7fff) };
    case 3: return (struct x87_register){ m, (u16)random_bits() }; /* perhaps unsupported */
    case 4: return (struct x87_register){ m & ~integer_bit, (u16)sign };
    case 5: return (struct x87_register){ m | integer_bit, (u16)sign };
    case 6: exponent = (unsigned)(random_bits() % 130); break;
    case 7: exponent = 0x7ffe - (unsigned)(random_bits() % 70); break;
    case 8: exponent = (0x3fff - 1023 - 53 + (unsigned)(random_bits() % 60)) & 0x7fff; break;
    case 9: exponent = 0x3fff - 127 - 24 + (unsigned)(random_bits() % 30); break;
    case 10: exponent = 0x3fff + 1020 + (unsigned)(random_bits() % 6); break;
    case 11: exponent = 0x3fff + 125 + (unsigned)(random_bits() % 5); break;
    case 12: exponent = (unsigned)(random_bits() % 0x7fff); break;
    case 13: /* an integer */
        exponent = 0x3fff + (unsigned)(random_bits() % 66);
        m &= ~(u64)0 << (exponent - 0x3fff > 63 ? 0 : 63 - (exponent - 0x3fff));
        break;
    case 14: return (struct x87_register){ (m & ~(integer_bit >> 1)) | integer_bit, (u16)(sign | 0x7fff) };
    default: break;
    }
    return (struct x87_register){ m | integer_bit, (u16)(sign | exponent) };
}

static void fill(struct x87_run *run, enum takes takes)
{
    static const struct fp {
        unsigned width, fraction;
    } formats[] = { { 32, 23 }, { 64, 52 } };
    u64 v = random_bits();

    run->a = any_register();
    run->b = random_bits() % 16 ? any_register() : run->a;
    if (random_bits() % 16 == 0)
        run->b.sign_exponent ^= 0x8000;
    if (takes == TAKES_F32 || takes == TAKES_F64) {
        unsigned fraction = formats[takes == TAKES_F64].fraction, width = formats[takes == TAKES_F64].width;
        u64 exponents = ((u64)1 << (width - 1 - fraction)) - 1, exponent = v >> 7 & 0x7ff, kind = v % 8;

        exponent = kind == 0 ? 0 : kind == 1 ? exponents : kind == 2 ? exponent : exponents / 2 + exponent % 64 - 32;
        v = random_bits() & (((u64)1 << fraction) - 1);
        v = v & (random_bits() & 1 ? ~(u64)0 << random_bits() % fraction : ~(u64)0);
        v |= (exponent & exponents) << fraction | (random_bits() & 1) << (width - 1);
    }
    if (takes >= TAKES_I16 && random_bits() % 4 == 0)
        v = random_bits() % 5 - 2;
    if (takes == TAKES_BCD) {
        u8 bytes[10];

        for (unsigned i = 0; i < 10; i++)
            bytes[i] = (u8)(random_bits() % 10 | random_bits() % 10 << 4);
        memcpy(&run->b, bytes, 10);
    } else if (takes != TAKES_REGISTERS) {
        memcpy(&run->b, &v, 8);
    }
}

static void carry_out(const struct x87_unit *u, size_t at, struct x87_run *run)
{
    x87_fn *f = *(x87_fn *const *)((const char *)u + at);
    u16 before;

    __asm__ volatile("fnstcw %0" : "=m"(before));
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(run->host));
    f(run);
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(before));
}

static bool is_same(const struct x87_register *a, const struct x87_register *b)
{
    return a->mantissa == b->mantissa && a->sign_exponent == b->sign_exponent;
}

static bool agree(const struct x87_run *want, const struct x87_run *got, unsigned n, u16 sw)
{
    u16 blocked = want->sw & ~want->guest & (X87_IE | X87_DE | X87_ZE); /* no result, then */

    if ((want->sw ^ got->sw) & sw)
        return false;
    if (operations[n].leaves == LEAVES_CODES || blocked)
        return true;
    if (operations[n].leaves == LEAVES_BYTES)
        return (want->sw & ~want->guest & (X87_OE | X87_UE)) || !memcmp(&want->b, &got->b, operations[n].size);
    return is_same(&want->r, &got->r) && (operations[n].leaves != LEAVES_R_AND_S || is_same(&want->s, &got->s));
}

static void tell(const char *whose, const struct x87_run *run)
{
    fprintf(stderr, "%-8s a %04x.%016lx b %04x.%016lx r %04x.%016lx s %04x.%016lx sw %04x\n", whose,
            run->a.sign_exponent, run->a.mantissa, run->b.sign_exponent, run->b.mantissa, run->r.sign_exponent,
            run->r.mantissa, run->s.sign_exponent, run->s.mantissa, run->sw);
}

START_TEST(both_x87s_give_the_same)
{
    state = (u64)_i;
    for (unsigned i = 0; i < 15000; i++) {
        struct x87_run want, got;
        u16 sw = X87_FLAGS | X87_CONDITION;

        memset(&want, 0, sizeof want);
        fill(&want, operations[_i].takes);
        want.guest = (u16)((random_bits() & 0xf3f) | X87_FCW_FIXED);
        if (random_bits() & 1 || operations[_i].leaves == LEAVES_CODES)
            want.guest |= X87_FLAGS;
        if (operations[_i].takes >= TAKES_F32 && !strncmp(operations[_i].name, "ld", 2))
            want.guest |= X87_FLAGS;
        want.host = want.guest | X87_FLAGS;
        got = want;
        struct x87_run in = want;

        carry_out(&x87_native, operations[_i].at, &want);
        carry_out(&x87_portable, operations[_i].at, &got);
        if (operations[_i].leaves != LEAVES_CODES)
            sw = X87_FLAGS | X87_C1;
        if (!strncmp(operations[_i].name, "prem", 4) && (want.r.sign_exponent & 0x7fff) != 0x7fff &&
            !(want.sw & ~want.guest & (X87_IE | X87_DE | X87_ZE)))
            sw = X87_FLAGS | X87_CONDITION; /* without a quotient there is nothing to tell */
        if (agree(&want, &got, (unsigned)_i, sw))
            continue;
        tell("operands", &in);
        tell("host", &want);
        tell("portable", &got);
        ck_abort_msg("%s under %03x: see above", operations[_i].name, in.guest);
    }
}
END_TEST

TCase *unit_x87_case(void)
{
    TCase *t = tcase_create("x87");

    tcase_add_loop_test(t, both_x87s_give_the_same, 0, OPERATIONS);
    return t;
}
#endif
