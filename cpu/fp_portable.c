/* SPDX-License-Identifier: MIT */
/* SSE arithmetic in C: lanes and flags around cpu/fp_exact.h. Built everywhere, for the tests' sake. */
#ifndef SWHP_PORTABLE_FP
#define SWHP_PORTABLE_FP
#endif

#include "cpu/fp_unit.h"

#include "cpu/fp_exact.h"

_Thread_local struct fp_unit fp_unit = { .mxcsr = MXCSR_MASKS, .fcw = 0x37f };

union lanes {
    v128 v;
    u32 w32[4];
    u64 w64[2];
    i32 i32[4];
};

/*
 * An operation on `count` elements of the operands, of the widths `from`, that makes elements of the widths `to`
 * over those of `base`: `expr` of x and y, the elements of a and b, and of f, how, flags.
 */
#define LANES(name, format, from, to, count, base, expr)                                                             \
    v128 fpu_##name(v128 a, v128 b)                                                                                  \
    {                                                                                                                \
        const struct fp_format *f = &format;                                                                         \
        const struct fp_rounding how = fp_rounding_of(fp_unit.mxcsr);                                                \
        union lanes p = { a }, q = { b }, r = { base };                                                              \
        u32 flags = 0;                                                                                               \
                                                                                                                     \
        (void)how;                                                                                                   \
        (void)f;                                                                                                     \
        for (unsigned i = 0; i < count; i++) {                                                                       \
            u64 x = p.from[i], y = q.from[i];                                                                        \
                                                                                                                     \
            (void)x;                                                                                                 \
            r.to[i] = (__typeof__(r.to[i]))(expr);                                                                   \
        }                                                                                                            \
        fp_unit.mxcsr |= flags;                                                                                      \
        return r.v;                                                                                                  \
    }
#define LANES4(op, expr)                                                                                             \
    LANES(op##ps, fp_single, w32, w32, 4, a, expr)                                                                   \
    LANES(op##pd, fp_double, w64, w64, 2, a, expr)                                                                   \
    LANES(op##ss, fp_single, w32, w32, 1, a, expr)                                                                   \
    LANES(op##sd, fp_double, w64, w64, 1, a, expr)

LANES4(add, fp_arithmetic(f, FP_ADD, x, y, &how, &flags))
LANES4(sub, fp_arithmetic(f, FP_SUBTRACT, x, y, &how, &flags))
LANES4(mul, fp_arithmetic(f, FP_MULTIPLY, x, y, &how, &flags))
LANES4(div, fp_arithmetic(f, FP_DIVIDE, x, y, &how, &flags))
LANES4(sqrt, fp_root(f, y, &how, &flags))

/* The second operand, unless the first is less (or greater): so it is with NaNs, and with two zeros. */
static u64 choose(const struct fp_format *f, enum fp_relation wanted, u64 x, u64 y, const struct fp_rounding *how,
                  u32 *flags)
{
    u64 chosen = fp_compare(f, x, y, true, how->zero_operands, flags) == wanted ? x : y;

    return fp_flushed(f, chosen, how->zero_operands);
}

LANES4(min, choose(f, FP_LESS, x, y, &how, &flags))
LANES4(max, choose(f, FP_GREATER, x, y, &how, &flags))

#define COMPARE(name, signals, relations)                                                                            \
    LANES4(name, fp_compare(f, x, y, signals, how.zero_operands, &flags) & (relations) ? ~(u64)0 : 0)

COMPARE(cmpeq, false, FP_EQUAL)
COMPARE(cmplt, true, FP_LESS)
COMPARE(cmple, true, FP_LESS | FP_EQUAL)
COMPARE(cmpunord, false, FP_UNORDERED)
COMPARE(cmpneq, false, FP_LESS | FP_GREATER | FP_UNORDERED)
COMPARE(cmpnlt, true, FP_EQUAL | FP_GREATER | FP_UNORDERED)
COMPARE(cmpnle, true, FP_GREATER | FP_UNORDERED)
COMPARE(cmpord, false, FP_LESS | FP_EQUAL | FP_GREATER)

#define NOTHING (v128){ 0, 0 }
enum { TRUNCATE = 3 };

LANES(cvtss2sd, fp_single, w32, w64, 1, a, fp_widen_single(y, how.zero_operands, &flags))
LANES(cvtps2pd, fp_single, w32, w64, 2, NOTHING, fp_widen_single(y, how.zero_operands, &flags))
LANES(cvtsd2ss, fp_double, w64, w32, 1, a, fp_narrow(f, &fp_single, y, &how, &flags))
LANES(cvtpd2ps, fp_double, w64, w32, 2, NOTHING, fp_narrow(f, &fp_single, y, &how, &flags))
LANES(cvtdq2ps, fp_single, i32, w32, 4, NOTHING, fp_from_integer(f, (i64)y, &how, &flags))
LANES(cvtdq2pd, fp_double, i32, w64, 2, NOTHING, fp_from_integer(f, (i64)y, &how, &flags))
LANES(cvtps2dq, fp_single, w32, w32, 4, NOTHING, fp_to_bits(f, y, 32, how.mode, how.zero_operands, &flags))
LANES(cvttps2dq, fp_single, w32, w32, 4, NOTHING, fp_to_bits(f, y, 32, TRUNCATE, how.zero_operands, &flags))
LANES(cvtpd2dq, fp_double, w64, w32, 2, NOTHING, fp_to_bits(f, y, 32, how.mode, how.zero_operands, &flags))
LANES(cvttpd2dq, fp_double, w64, w32, 2, NOTHING, fp_to_bits(f, y, 32, TRUNCATE, how.zero_operands, &flags))

#define FROM_INTEGER(name, w, format, element)                                                                       \
    v128 fpu_##name##w(v128 a, u##w i)                                                                               \
    {                                                                                                                \
        const struct fp_rounding how = fp_rounding_of(fp_unit.mxcsr);                                                \
        union lanes r = { a };                                                                                       \
                                                                                                                     \
        r.element[0] = (__typeof__(r.element[0]))fp_from_integer(&format, (i##w)i, &how, &fp_unit.mxcsr);            \
        return r.v;                                                                                                  \
    }

FROM_INTEGER(cvtsi2ss, 32, fp_single, w32)
FROM_INTEGER(cvtsi2ss, 64, fp_single, w32)
FROM_INTEGER(cvtsi2sd, 32, fp_double, w64)
FROM_INTEGER(cvtsi2sd, 64, fp_double, w64)

#define TO_INTEGER(name, w, way, format, element)                                                                    \
    u64 fpu_##name##w(v128 b)                                                                                        \
    {                                                                                                                \
        const struct fp_rounding how = fp_rounding_of(fp_unit.mxcsr);                                                \
        union lanes q = { b };                                                                                       \
                                                                                                                     \
        return fp_to_bits(&format, q.element[0], w, way, how.zero_operands, &fp_unit.mxcsr);                         \
    }

TO_INTEGER(cvtss2si, 32, how.mode, fp_single, w32)
TO_INTEGER(cvtss2si, 64, how.mode, fp_single, w32)
TO_INTEGER(cvttss2si, 32, TRUNCATE, fp_single, w32)
TO_INTEGER(cvttss2si, 64, TRUNCATE, fp_single, w32)
TO_INTEGER(cvtsd2si, 32, how.mode, fp_double, w64)
TO_INTEGER(cvtsd2si, 64, how.mode, fp_double, w64)
TO_INTEGER(cvttsd2si, 32, TRUNCATE, fp_double, w64)
TO_INTEGER(cvttsd2si, 64, TRUNCATE, fp_double, w64)

#define ORDER(name, signals, format, element)                                                                        \
    struct fpu_order fpu_##name(v128 a, v128 b)                                                                      \
    {                                                                                                                \
        union lanes p = { a }, q = { b };                                                                            \
        enum fp_relation is = fp_compare(&format, p.element[0], q.element[0], signals,                               \
                                         fp_unit.mxcsr & MXCSR_DAZ, &fp_unit.mxcsr);                                 \
                                                                                                                     \
        return (struct fpu_order){ .zf = is & (FP_EQUAL | FP_UNORDERED),                                             \
                                   .pf = is == FP_UNORDERED,                                                         \
                                   .cf = is & (FP_LESS | FP_UNORDERED) };                                            \
    }

ORDER(comiss, true, fp_single, w32)
ORDER(comisd, true, fp_double, w64)
ORDER(ucomiss, false, fp_single, w32)
ORDER(ucomisd, false, fp_double, w64)

/* Bit 0 of `subtracts`: even elements' c is subtracted; bit 1: odd ones'. */
#define FUSED(name, format, element, count, negates, subtracts)                                                      \
    v128 fpu_##name(v128 a, v128 b, v128 c)                                                                          \
    {                                                                                                                \
        const struct fp_rounding how = fp_rounding_of(fp_unit.mxcsr);                                                \
        union lanes x = { a }, y = { b }, r = { c };                                                                 \
                                                                                                                     \
        for (unsigned i = 0; i < count; i++) {                                                                       \
            struct fp_fused v = { x.element[i], y.element[i], r.element[i], negates, (subtracts) >> (i & 1) & 1 };   \
                                                                                                                     \
            r.element[i] = (__typeof__(r.element[i]))fp_fused(&format, &v, &how, &fp_unit.mxcsr);                    \
        }                                                                                                            \
        return r.v;                                                                                                  \
    }
#define FUSED_PACKED(name, negates, subtracts)                                                                       \
    FUSED(name##231ps, fp_single, w32, 4, negates, subtracts)                                                        \
    FUSED(name##231pd, fp_double, w64, 2, negates, subtracts)
#define FUSED_ALL(name, negates, subtracts)                                                                          \
    FUSED_PACKED(name, negates, subtracts)                                                                           \
    FUSED(name##231ss, fp_single, w32, 1, negates, subtracts)                                                        \
    FUSED(name##231sd, fp_double, w64, 1, negates, subtracts)

FUSED_ALL(fmadd, false, 0)
FUSED_ALL(fmsub, false, 3)
FUSED_ALL(fnmadd, true, 0)
FUSED_ALL(fnmsub, true, 3)
FUSED_PACKED(fmaddsub, false, 1)
FUSED_PACKED(fmsubadd, false, 2)
