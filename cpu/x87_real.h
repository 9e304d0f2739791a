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
 * Rounds f(a, b), which is neither zero nor infinite, to 64 bits under the control word's rounding: the result in *r, and its
 * flags and C1 in *sw. Under an unmasked overflow or underflow the exponent comes wrapped. SDM 1, 8.5.4 and 8.5.5.
 */
void real_round(real_fn *f, mpfr_srcptr a, mpfr_srcptr b, u16 fcw, struct x87_register *r, u16 *sw);

struct x87_register real_zero(bool is_negative);
struct x87_register real_infinity(bool is_negative);

#endif
