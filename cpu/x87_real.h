/* SPDX-License-Identifier: MIT */
/*
 * Double-extended numbers as real numbers of GNU MPFR, and back: with the one rounding that the x87 gives a result, and
 * the flags that it raises.
 */
#ifndef CPU_X87_REAL_H
#define CPU_X87_REAL_H

#include <stdint.h>
#define MPFR_USE_INTMAX_T
#include <mpfr.h>

#include "cpu/x87.h"

enum real_class { REAL_ZERO, REAL_FINITE, REAL_INFINITE, REAL_QUIET, REAL_SIGNALING, REAL_UNSUPPORTED };

enum real_class real_classify(const struct x87_register *r);

/* Denormals and pseudo-denormals, which raise DE. */
bool real_is_denormal(const struct x87_register *r);

INLINE bool real_is_negative(const struct x87_register *r)
{
    return r->sign_exponent >> 15;
}

/* What a set mpfr_t takes: 64 bits are enough for a register. Finite or infinite. */
void real_load(mpfr_t to, const struct x87_register *r);

/*
 * A function of a and b that MPFR rounds correctly, to the precision of `to` in the given way: the ternary value.
 */
typedef int real_fn(mpfr_t to, mpfr_srcptr a, mpfr_srcptr b, mpfr_rnd_t way);

/*
 * Rounds f(a, b), which is neither zero nor infinite, to so many bits under the control word's rounding: the result in
 * *r, and its flags and C1 in *sw. Under an unmasked overflow or underflow the exponent comes wrapped. SDM 1, 8.5.4 and
 * 8.5.5.
 */
void real_round(real_fn *f, mpfr_srcptr a, mpfr_srcptr b, unsigned precision, u16 fcw, struct x87_register *r, u16 *sw);

/* Both results of an operation, and those of one that is invalid. */
void real_give(struct x87_run *run, struct x87_register r);
void real_invalid(struct x87_run *run);

/*
 * NaNs and what isn't a number at all have their say first. False: that is the result. b is NULL for functions of one
 * operand.
 */
bool real_are_valid(struct x87_run *run, const struct x87_register *a, const struct x87_register *b);

/* The same, and then a denormal operand's exception, which unmasked comes before any result. */
bool real_are_numbers(struct x87_run *run, const struct x87_register *a, const struct x87_register *b);

struct x87_register real_zero(bool is_negative);
struct x87_register real_infinity(bool is_negative);

#endif
