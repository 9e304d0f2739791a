/* SPDX-License-Identifier: MIT */
/*
 * The x87's operations in C, for any host: what cpu/x87_portable.c gathers into a unit. Arithmetic is GNU MPFR's,
 * rounded once (cpu/x87_real.h); conversions and remainders are integers.
 */
#ifndef CPU_X87_PORTABLE_H
#define CPU_X87_PORTABLE_H

#include "cpu/x87_real.h"

#define X87_INTEGER_BIT ((u64)1 << 63)
enum { X87_BIAS = 16383 };

/* cpu/x87_portable_move.c: loads, stores, constants. */
x87_fn portable_ld_f32, portable_ld_f64, portable_ld_i16, portable_ld_i32, portable_ld_i64, portable_ld_bcd;
x87_fn portable_st_f32, portable_st_f64, portable_st_i16, portable_st_i32, portable_st_i64, portable_st_bcd;
x87_fn portable_ld1, portable_ldz, portable_ldpi, portable_ldl2e, portable_ldl2t, portable_ldlg2, portable_ldln2;

/* cpu/x87_portable_math.c: functions of ST(0), and of ST(0) and ST(1). */
x87_fn portable_rndint, portable_xtract, portable_prem, portable_prem1, portable_scale;

/* A memory operand of this kind as the register that it becomes, NaNs as they are; true: it is a denormal. */
bool portable_widen(enum x87_source source, const struct x87_register *bytes, struct x87_register *r);

/* m * 2^e, exactly: it must fit. */
struct x87_register portable_exact(bool is_negative, u64 m, i32 e);

INLINE i32 x87_exponent(const struct x87_register *r) /* of the mantissa's lowest bit */
{
    i32 biased = r->sign_exponent & 0x7fff;

    return (biased ? biased : 1) - X87_BIAS - 63;
}

#endif
